//! Each command against a device.

use insta::assert_snapshot;
use tutti_control::{
    Check, CheckState, Controlled, ErrorCode, Event, Joined, PairingOffer, PairingState, PairingStatus, RecoveryWords,
    Role, ScreenFrame, StorageEntry, StorageList, Stored, Value,
    fake::{Answer, Asked},
};

use super::{Host, sample};

/// A device that answers everything well.
fn well(asked: &Asked) -> Answer {
    let path = asked.target.split('?').next().unwrap_or_default();
    match (asked.method.as_str(), path) {
        ("GET", "/v1/device") => Answer::json(&sample::info()),
        ("PATCH", "/v1/device") => Answer::json(&tutti_control::DeviceInfo { name: "larder".into(), ..sample::info() }),
        ("GET", "/v1/devices") => Answer::json(&sample::devices()),
        ("GET", "/v1/nearby") => Answer::json(&sample::nearby()),
        ("GET", "/v1/resources") => Answer::json(&sample::resources()),
        ("GET", "/v1/resources/kitchen/temperature") => Answer::json(&sample::reading(21.25)),
        ("PUT", "/v1/resources/studio/lamp") => Answer::json(&Controlled {
            device: sample::id('b'),
            device_name: "studio".into(),
            name: "lamp".into(),
            value: Value::Bool(true),
            token: Some(8),
        }),
        ("POST", "/v1/leases") | ("PUT", "/v1/leases/l1") => Answer::json(&sample::lease()),
        ("GET", "/v1/leases") => Answer::json(&[sample::lease()]),
        ("POST", "/v1/join") => Answer::json(&Joined {
            group: sample::id('9'),
            host: sample::id('b'),
            host_name: "studio".into(),
            role: Role::Member,
        }),
        ("POST", "/v1/group/leave" | "/v1/group/recover") => Answer::json(&sample::group()),
        ("POST", "/v1/group/recovery") => Answer::json(&RecoveryWords { words: "abandon ability able".into() }),
        ("GET", "/v1/storage/kitchen/disk") => Answer::json(&StorageList {
            entries: vec![StorageEntry { path: "notes/a.txt".into(), size: 2048, modified: 0 }],
            used: 2048,
            quota: 1 << 20,
        }),
        ("GET", "/v1/storage/kitchen/disk/notes/a.txt") => Answer::with(200, "text/plain", "hello"),
        ("PUT", _) if path.starts_with("/v1/storage/") => {
            Answer::json(&Stored { path: "a.txt".into(), size: asked.body.len() as u64 })
        }
        ("DELETE", _) | ("PUT", "/v1/devices/studio/role") => Answer::done(),
        ("GET", "/v1/doctor") => Answer::json(&[Check {
            name: "heartbeat".into(),
            ok: CheckState::Warn,
            what: "garden was not heard for 190 s".into(),
            advice: Some("see whether it runs".into()),
        }]),
        _ => Answer::refused(ErrorCode::NoSuchRoute, &format!("there is no {}", asked.line()), ""),
    }
}

#[tokio::test]
async fn listings() {
    let host = Host::with(well);
    assert_snapshot!("status", host.tutti("status").await);
    assert_snapshot!("devices", host.tutti("devices").await);
    assert_snapshot!("devices_json", host.tutti("devices --json").await);
    assert_snapshot!("nearby", host.tutti("nearby").await);
    assert_snapshot!("resources", host.tutti("resources").await);
    assert_snapshot!("resources_long", host.tutti("resources --long").await);
    assert_snapshot!("lease_ls", host.tutti("lease ls").await);
    assert_snapshot!("store_ls", host.tutti("store ls kitchen/disk").await);
    host.tutti("resources kitchen --kind sensor --property unit=% --property a=b --name x").await;
    assert!(host.asked().contains(
        &"GET /v1/resources?kind=sensor&device=kitchen&name=x&property=unit%3D%25&property=a%3Db".to_owned()
    ));
    for listing in ["status", "nearby", "resources", "lease ls", "store ls kitchen/disk", "read kitchen/temperature"] {
        let shown = host.tutti(&format!("{listing} --json")).await;
        let json = shown.strip_suffix("[exit 0]").unwrap_or_else(|| panic!("{shown}"));
        serde_json::from_str::<serde_json::Value>(json).unwrap_or_else(|error| panic!("{listing}: {error}"));
    }
}

#[tokio::test]
async fn changes() {
    let host = Host::with(well);
    let mut all = String::new();
    for line in [
        "read kitchen/temperature",
        "set studio/lamp on",
        "set studio/lamp on --lease 7",
        "set studio/lamp on --text",
        "lease take studio/lamp --for 1m",
        "lease renew l1",
        "lease release l1",
        "pair studio --code 123456",
        "forget garden --yes",
        "leave --yes",
        "role studio owner",
        "rename larder",
        "rename kitchen larder",
        "recovery export --yes",
        "recovery use abandon ability able",
        "store rm kitchen/disk/notes/a.txt",
        "show studio/lamp hello there",
    ] {
        all += &format!("$ tutti {line}\n{}\n\n", host.tutti(line).await);
    }
    assert_snapshot!("changes", all);
    let asked: Vec<_> = host.asked().into_iter().filter(|line| !line.starts_with("GET")).collect();
    assert_snapshot!("changes_asked", asked.join("\n"));
}

#[tokio::test]
async fn questions_have_flags() {
    let host = Host::with(well);
    let mut all = String::new();
    for line in ["pair studio", "forget garden", "leave", "recovery export", "recovery use"] {
        all += &format!("$ tutti {line}\n{}\n\n", host.tutti(line).await);
    }
    assert_snapshot!("questions", all);
    assert!(host.asked().iter().all(|line| line.starts_with("GET")), "nothing was done");
}

#[tokio::test]
async fn errors_say_what_why_and_what_next() {
    let host = Host::with(|asked| match asked.method.as_str() {
        "GET" => {
            Answer::refused(ErrorCode::Offline, "garden cannot be reached; it was seen 3 min ago", "see: tutti devices")
        }
        "PUT" => Answer::refused(ErrorCode::Held, "kitchen holds studio/lamp for 4 s more", "try again then"),
        "POST" => Answer::raw("HTTP/1.1 200 X\r\ncontent-length: 2\r\n\r\n[]"),
        _ => Answer::raw("nonsense"),
    });
    let mut all = String::new();
    for line in [
        "devices",
        "read garden/rain",
        "set studio/lamp off",
        "pair studio --code 1",
        "forget studio -y",
        "--device x devices",
    ] {
        all += &format!("$ tutti {line}\n{}\n\n", host.tutti(line).await);
    }
    assert_snapshot!("errors", all);
    assert_snapshot!("nothing_runs", Host::empty().tutti("devices").await);
    assert_snapshot!("nothing_to_stop", Host::empty().tutti("down").await);
}

#[tokio::test]
async fn pairing_shows_a_code_and_waits() {
    let offer =
        PairingOffer { code: "042917".into(), ticket: "tutti0".repeat(20), role: Role::Guest, expires_in_ms: 120_000 };
    let host = |end: PairingStatus| {
        let offer = offer.clone();
        let polls = std::sync::atomic::AtomicU32::new(0);
        Host::with(move |asked| match (asked.method.as_str(), asked.target.as_str()) {
            ("POST", "/v1/pairing") => Answer::json(&offer),
            ("GET", "/v1/pairing") => match polls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
                0 => Answer::json(&PairingStatus { tries_left: Some(3), ..PairingStatus::of(PairingState::Open) }),
                1 => Answer::json(&PairingStatus { tries_left: Some(2), ..PairingStatus::of(PairingState::Open) }),
                _ => Answer::json(&end),
            },
            ("DELETE", "/v1/pairing") => Answer::done(),
            _ => well(asked),
        })
    };
    let paired = PairingStatus {
        name: Some("studio".into()),
        device: Some(sample::id('b')),
        ..PairingStatus::of(PairingState::Paired)
    };
    assert_snapshot!("pair", host(paired.clone()).tutti("pair --role guest").await);
    assert_snapshot!("pair_json", host(paired).tutti("pair --json").await);
    let failed =
        PairingStatus { why: Some("three wrong codes were tried".into()), ..PairingStatus::of(PairingState::Failed) };
    let failed = host(failed).tutti("pair").await;
    assert_snapshot!("pair_failed", failed.split_once("code back.\n").unwrap().1);
    let expired = host(PairingStatus::of(PairingState::Expired)).tutti("pair").await;
    assert!(expired.contains("the time ran out") && expired.ends_with("[exit 1]"));

    let open = PairingStatus::of(PairingState::Open);
    let waiting = host(open);
    let shown = waiting.tutti("pair --timeout 50ms").await;
    assert!(shown.contains("the code no longer counts") && shown.ends_with("[exit 1]"), "{shown}");
    assert!(waiting.asked().contains(&"DELETE /v1/pairing".to_owned()));
}

#[tokio::test]
async fn a_ticket_is_told_from_a_name() {
    let host = Host::with(well);
    let ticket = "x".repeat(120);
    host.tutti(&format!("pair {ticket}")).await;
    host.tutti("pair --ticket short").await;
    let joins: Vec<_> = host.asked().into_iter().filter(|line| line.contains("join")).collect();
    assert_eq!(
        joins,
        [format!(r#"POST /v1/join {{"ticket":"{ticket}"}}"#), r#"POST /v1/join {"ticket":"short"}"#.into()]
    );
}

#[tokio::test]
async fn following() {
    let host = Host::with(|asked| {
        let reading = |value| ("reading", serde_json::to_string(&sample::reading(value)).unwrap());
        match asked.target.as_str() {
            "/v1/events" => {
                let event = Event::Group(sample::group());
                Answer::events([(event.name(), event.data().unwrap())])
            }
            "/v1/screens/wall" => {
                let frame = ScreenFrame { text: vec!["hello".into()], image: None, from: Some("studio".into()) };
                Answer::events([("frame", serde_json::to_string(&frame).unwrap())])
            }
            _ if asked.target.ends_with("/follow?interval_ms=500") => Answer::events([reading(1.0), reading(2.0)]),
            _ => well(asked),
        }
    });
    assert_snapshot!("follow", host.tutti("read kitchen/temperature --follow --interval 500ms").await);
    let shown = host.tutti("read kitchen/temperature --follow --interval 500ms --json").await;
    assert_eq!(shown.lines().filter(|line| line.starts_with('{')).count(), 2);
    assert_snapshot!("watch_json", host.tutti("watch --json").await);
    assert_snapshot!("screen_json", host.tutti("screen wall --json --columns 40 --rows 10").await);
    assert!(host.asked().contains(&r#"PUT /v1/screens/wall {"columns":40,"rows":10}"#.to_owned()));
    assert!(host.tutti("watch").await.ends_with("[exit 2]"), "no terminal");
}

#[tokio::test]
async fn files() {
    let host = Host::with(well);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let got = host.tutti(&format!("store get kitchen/disk/notes/a.txt {}", at("b.txt"))).await;
    assert!(got.ends_with("b.txt: 5 B\n[exit 0]"), "{got}");
    assert_eq!(std::fs::read_to_string(at("b.txt")).unwrap(), "hello");
    host.tutti(&format!("store put {} kitchen/disk", at("b.txt"))).await;
    host.tutti(&format!("store put {} kitchen/disk/in/", at("b.txt"))).await;
    host.tutti(&format!("store put {} kitchen/disk/c.txt", at("b.txt"))).await;
    let puts: Vec<_> = host.asked().into_iter().filter(|line| line.starts_with("PUT")).collect();
    assert_eq!(puts, ["b.txt", "in/b.txt", "c.txt"].map(|path| format!("PUT /v1/storage/kitchen/disk/{path} hello")));
    let missing = host.tutti(&format!("store put {} kitchen/disk", at("none"))).await;
    assert!(missing.contains("cannot read") && missing.ends_with("[exit 1]"), "{missing}");
    assert!(host.tutti("store get kitchen/disk").await.ends_with("[exit 2]"));
    let before = std::fs::read_dir(folder.path()).unwrap().count();
    let gone = host.tutti(&format!("store get kitchen/disk/none {}", at("b.txt"))).await;
    assert!(gone.ends_with("[exit 1]"));
    assert_eq!(std::fs::read_to_string(at("b.txt")).unwrap(), "hello", "what was there stays");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), before, "nothing half is left");
}

#[tokio::test]
async fn a_command_is_offered_until_it_ends() {
    let host = Host::with(|asked| match asked.method.as_str() {
        "PUT" => Answer::refused(ErrorCode::NameTaken, "cpu-load is a resource of this machine", "choose another name"),
        _ => well(asked),
    });
    assert_snapshot!("offer_refused", host.tutti("offer cpu-load --unit % --interval 1s -- echo 5").await);
    assert_snapshot!("offer_asked", host.asked().join("\n"));
}

#[tokio::test]
async fn the_doctor_asks_the_device_too() {
    let shown = Host::with(well).tutti("doctor").await;
    assert!(shown.contains("warn  heartbeat: garden was not heard for 190 s"), "{shown}");
    assert!(shown.contains("→ see whether it runs"));
    let shown = Host::empty().tutti("doctor --json").await;
    let report: serde_json::Value = serde_json::from_str(shown.rsplit_once("[exit").unwrap().0).unwrap();
    let names: Vec<_> =
        report["machine"].as_array().unwrap().iter().map(|check| check["name"].as_str().unwrap()).collect();
    for name in ["interfaces", "multicast", "udp", "mdns port", "clock", "runtime folder", "device"] {
        assert!(names.contains(&name), "{name} is missing: {names:?}");
    }
    assert!(report["device"].is_null());
}
