//! Whole devices, each a process of its own with its own state folder, over the real network on loopback: they find
//! each other, pair, read and control each other's resources, and survive being killed. All through the control API.

mod support;

use std::time::Duration;

use support::{Host, eventually};
use tutti_control::{
    CheckState, Client, ErrorCode, Event, JoinRequest, LeaseMode, LeaseRequest, OfferRequest, Presence, RenewLease,
    Role, ScreenRequest, SetValue, Value, client::ResourceFilter,
};

/// Not a test by itself: a device in a process of its own.
#[test]
#[ignore = "run by the other tests in processes of its own"]
fn device() {
    support::device();
}

fn code(result: Result<impl std::fmt::Debug, tutti_control::ClientError>) -> Option<ErrorCode> {
    result.expect_err("it is refused").code()
}

/// Whoever has just entered a group knows who is there before it knows what they offer, and they of it.
#[tokio::test]
async fn what_is_set_right_after_pairing_gets_its_lease() {
    let host = Host::new();
    let (kitchen, attic) = (host.start("kitchen"), host.start("attic"));
    let half = SetValue { value: Value::Float(50.0), token: None };
    // From before they know each other until it goes well, without a pause between.
    let first = async |device: &Client, other: &str| {
        let begun = std::time::Instant::now();
        loop {
            match device.set(other, "lamp", &half).await {
                Ok(set) => return set,
                Err(error) => {
                    assert_ne!(error.code(), Some(ErrorCode::Held), "nobody else is there: {error}");
                    assert!(begun.elapsed() < Duration::from_secs(20), "{error}");
                }
            }
        }
    };
    let (_, ours, theirs) = tokio::join!(
        attic.pair_with(&kitchen, Role::Member),
        first(&attic.client, "kitchen"),
        first(&kitchen.client, "attic")
    );
    assert!(ours.token.is_some() && theirs.token.is_some(), "each was leased for the moment");
}

#[tokio::test]
async fn two_devices_become_one_pool() {
    let host = Host::new();
    let (kitchen, attic) = (host.start("kitchen"), host.start("attic"));
    assert!(kitchen.client.device().await.unwrap().group.alone);

    let wrong = JoinRequest { device: Some("kitchen".into()), code: Some("12".into()), ticket: None };
    eventually("nearby", async || attic.client.nearby().await.unwrap().len() == 1).await;
    assert_eq!(code(attic.client.join(&wrong).await), Some(ErrorCode::BadCode));
    attic.pair_with(&kitchen, Role::Member).await;
    attic.sees("kitchen", Presence::Online).await;
    kitchen.sees("attic", Presence::Online).await;
    let info = attic.client.device().await.unwrap();
    assert_eq!((info.group.members, info.group.alone, info.group.role), (2, false, Role::Member));
    assert_eq!(attic.client.devices().await.unwrap()[0].name, "attic", "itself first");
    assert_eq!(code(attic.client.offer_pairing(Role::Member).await), Some(ErrorCode::NotOwner));

    // Reading, following, controlling.
    let reading = attic.client.read("kitchen", "room-temperature").await.unwrap();
    assert!((10.0..30.0).contains(&reading.value.as_f64().unwrap()) && reading.simulated);
    assert_eq!((reading.device_name.as_str(), reading.unit.as_str()), ("kitchen", "°C"));
    let every = Some(Duration::from_millis(100));
    let mut follow = attic.client.follow("kitchen", "room-temperature", every).await.unwrap();
    assert_eq!(follow.next().await.unwrap().unwrap().name, "room-temperature");
    drop(follow);
    let half = SetValue { value: Value::Float(50.0), token: None };
    let controlled = attic.client.set("kitchen", "lamp", &half).await.unwrap();
    assert!(controlled.token.is_some(), "an exclusive resource was leased for the moment");
    eventually("the lamp is set", async || {
        kitchen.client.read("kitchen", "lamp").await.unwrap().value == Value::Float(50.0)
    })
    .await;
    assert_eq!(code(attic.client.read("kitchen", "nothing").await), Some(ErrorCode::NoSuchResource));
    assert_eq!(code(attic.client.read("cellar", "lamp").await), Some(ErrorCode::NoSuchDevice));
    let text = SetValue { value: Value::Text("bright".into()), token: None };
    assert_eq!(code(attic.client.set("kitchen", "lamp", &text).await), Some(ErrorCode::BadValue));

    // Leases.
    let wish = LeaseRequest { resource: "kitchen/lamp".into(), mode: LeaseMode::Exclusive, duration_ms: Some(20_000) };
    let lease = attic.client.take_lease(&wish).await.unwrap();
    assert_eq!(attic.client.leases().await.unwrap().len(), 1);
    assert_eq!(code(kitchen.client.set("kitchen", "lamp", &half).await), Some(ErrorCode::Held));
    let filter = ResourceFilter { name: Some("lamp".into()), ..ResourceFilter::default() };
    eventually("everybody knows who holds it", async || {
        let found = kitchen.client.resources(&filter).await.unwrap();
        found.iter().any(|lamp| lamp.lease.as_ref().is_some_and(|lease| lease.holder_name == "attic"))
    })
    .await;
    let renewed = attic.client.renew_lease(&lease.id, &RenewLease::default()).await.unwrap();
    assert_eq!(renewed.token, lease.token);
    let with_token = SetValue { value: Value::Float(10.0), token: Some(lease.token) };
    attic.client.set("kitchen", "lamp", &with_token).await.unwrap();
    attic.client.release_lease(&lease.id).await.unwrap();
    assert_eq!(code(attic.client.set("kitchen", "lamp", &with_token).await), Some(ErrorCode::LeaseLost));
    assert_eq!(code(attic.client.release_lease(&lease.id).await), Some(ErrorCode::LeaseLost));
    eventually("it is free again", async || kitchen.client.set("kitchen", "lamp", &half).await.is_ok()).await;

    // Files.
    let content: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
    let stored = attic.client.store("kitchen", "storage", "a/b.bin", std::io::Cursor::new(content.clone())).await;
    assert_eq!(stored.unwrap().size, 300_000);
    let list = kitchen.client.files("kitchen", "storage", "a/").await.unwrap();
    assert_eq!((list.entries.len(), list.used, list.entries[0].path.as_str()), (1, 300_000, "a/b.bin"));
    let mut download = attic.client.fetch("kitchen", "storage", "a/b.bin").await.unwrap();
    let mut got = Vec::new();
    while let Some(chunk) = download.chunk().await.unwrap() {
        got.extend_from_slice(&chunk);
    }
    assert!(got == content);
    assert_eq!(download.size(), Some(300_000));
    attic.client.remove("kitchen", "storage", "a/b.bin").await.unwrap();
    assert_eq!(code(attic.client.fetch("kitchen", "storage", "a/b.bin").await), Some(ErrorCode::NoSuchFile));
    assert_eq!(code(attic.client.remove("kitchen", "storage", "../x").await), Some(ErrorCode::BadPath));

    // Renaming shows everywhere.
    kitchen.client.rename("cuisine").await.unwrap();
    attic.sees("cuisine", Presence::Online).await;
    let doctor = attic.client.doctor().await.unwrap();
    assert!(doctor.iter().all(|check| check.ok != CheckState::Fail), "{doctor:?}");

    // Forgetting.
    assert_eq!(code(attic.client.forget("cuisine").await), Some(ErrorCode::NotOwner));
    kitchen.client.forget("attic").await.unwrap();
    eventually("the forgotten one is alone", async || attic.client.device().await.unwrap().group.alone).await;
    assert_eq!(code(kitchen.client.read("attic", "room-temperature").await), Some(ErrorCode::NoSuchDevice));
    assert!(attic.client.doctor().await.unwrap().iter().any(|check| check.name == "removed"));

    kitchen.stop().await;
    attic.stop().await;
    let left: Vec<_> = std::fs::read_dir(host.folder.path().join("run")).unwrap().collect();
    assert!(left.is_empty(), "nothing is left in the runtime folder: {left:?}");
}

#[tokio::test]
async fn outside_programs_offer_resources_and_screens() {
    let host = Host::new();
    let (kitchen, attic) = (host.start("kitchen"), host.start("attic"));
    attic.pair_with(&kitchen, Role::Member).await;
    attic.sees("kitchen", Presence::Online).await;

    let weather =
        OfferRequest { unit: "°C".into(), value: Some(Value::Float(4.5)), ..OfferRequest::of_kind("sensor") };
    let offered = kitchen.client.offer("weather", &weather).await.unwrap();
    assert_eq!((offered.name.as_str(), offered.value), ("weather", Some(Value::Float(4.5))));
    assert_eq!(code(kitchen.client.offer("lamp", &weather).await), Some(ErrorCode::NameTaken));
    eventually("the other device reads it", async || attic.client.read("kitchen", "weather").await.is_ok()).await;
    kitchen.client.withdraw("weather").await.unwrap();
    eventually("it is gone", async || attic.client.read("kitchen", "weather").await.is_err()).await;

    let gate = OfferRequest { writable: true, ..OfferRequest::of_kind("actuator") };
    kitchen.client.offer("gate", &gate).await.unwrap();
    let mut commands = kitchen.client.commands("gate").await.unwrap();
    let open = SetValue { value: Value::Bool(true), token: None };
    eventually("the command goes through", async || attic.client.set("kitchen", "gate", &open).await.is_ok()).await;
    let command = commands.next().await.unwrap().unwrap();
    assert_eq!((command.value, command.from_name.as_str()), (Value::Bool(true), "attic"));

    let size = ScreenRequest { columns: 40, rows: 10, width: None, height: None };
    let mut screen = kitchen.client.open_screen("window", &size).await.unwrap();
    assert!(screen.next().await.unwrap().unwrap().text.is_empty());
    let hello = SetValue { value: Value::Text("hello".into()), token: None };
    eventually("drawn", async || attic.client.set("kitchen", "window", &hello).await.is_ok()).await;
    let frame = screen.next().await.unwrap().unwrap();
    assert_eq!((frame.text, frame.from.as_deref()), (vec!["hello".to_owned()], Some("attic")));
    drop(screen);
    eventually("the screen is gone", async || {
        let filter = ResourceFilter { kind: Some("display".into()), ..ResourceFilter::default() };
        attic.client.resources(&filter).await.unwrap().is_empty()
    })
    .await;
}

#[tokio::test]
async fn events_show_the_present_and_every_change() {
    let host = Host::new();
    let (kitchen, attic) = (host.start("kitchen"), host.start("attic"));
    attic.pair_with(&kitchen, Role::Member).await;
    let mut changes = attic.client.changes().await.unwrap();
    let mut first = std::collections::BTreeSet::new();
    while first.len() < 6 {
        first.insert(changes.next().await.unwrap().unwrap().name());
    }
    let mut expect = async |what: &str, wish: &dyn Fn(&Event) -> bool| {
        let found = async { while !wish(&changes.next().await.unwrap().unwrap()) {} };
        tokio::time::timeout(Duration::from_secs(10), found).await.unwrap_or_else(|_| panic!("no event: {what}"));
    };
    expect("a live value of the other device", &|event| {
        let Event::Resources(all) = event else { return false };
        all.iter().any(|one| one.id == "kitchen/room-temperature" && one.value.is_some())
    })
    .await;
    kitchen.client.rename("cuisine").await.unwrap();
    expect(
        "the new name",
        &|event| matches!(event, Event::Devices(all) if all.iter().any(|device| device.name == "cuisine")),
    )
    .await;
    kitchen.kill();
    expect(
        "the loss",
        &|event| matches!(event, Event::Devices(all) if all.iter().any(|device| device.presence == Presence::Offline)),
    )
    .await;
}

#[tokio::test]
async fn a_killed_device_comes_back_as_it_was() {
    let host = Host::new();
    let (kitchen, attic) = (host.start("kitchen"), host.start("attic"));
    attic.pair_with(&kitchen, Role::Member).await;
    attic.sees("kitchen", Presence::Online).await;
    let before = kitchen.client.device().await.unwrap();
    kitchen.kill();
    attic.sees("kitchen", Presence::Offline).await;
    assert_eq!(code(attic.client.read("kitchen", "lamp").await), Some(ErrorCode::Offline));
    let kitchen = host.start("kitchen");
    attic.sees("kitchen", Presence::Online).await;
    let after = kitchen.client.device().await.unwrap();
    assert_eq!((before.id, before.group.id), (after.id, after.group.id));
    attic.client.read("kitchen", "room-temperature").await.unwrap();
}

#[tokio::test]
async fn bad_state_folders_get_clear_errors() {
    let host = Host::new();
    let kitchen = host.start("kitchen");
    let pid = kitchen.process.id();
    let refused = host.try_start("kitchen", false).err().unwrap();
    assert!(refused.contains(&format!("used by another process, {pid}")), "{refused}");
    let id = kitchen.client.device().await.unwrap().id;
    kitchen.stop().await;

    let state = host.state("kitchen");
    let read = |file: &str| std::fs::read(state.join(file)).unwrap();
    let sound = read("state.redb");
    std::fs::write(state.join("state.redb"), b"garbage").unwrap();
    let refused = host.try_start("kitchen", false).err().unwrap();
    assert!(refused.contains("state.redb is damaged") && refused.contains("--reset-corrupt"), "{refused}");
    assert_eq!(read("state.redb"), b"garbage");
    let kitchen = host.try_start("kitchen", true).unwrap();
    assert_eq!(kitchen.client.device().await.unwrap().id, id, "the key stays");
    assert_eq!(read("state.redb.aside-1"), b"garbage");
    kitchen.stop().await;

    std::fs::write(state.join("state.redb"), &sound).unwrap();
    std::fs::write(state.join("identity"), b"garbage").unwrap();
    let refused = host.try_start("kitchen", false).err().unwrap();
    assert!(refused.contains("device key") && refused.contains("damaged"), "{refused}");
    let kitchen = host.try_start("kitchen", true).unwrap();
    assert_ne!(kitchen.client.device().await.unwrap().id, id, "a new key is a new device");
    kitchen.stop().await;

    std::fs::write(state.join("format"), "7").unwrap();
    let refused = host.try_start("kitchen", true).err().unwrap();
    assert!(refused.contains("newer version"), "{refused}");
}

/// One request as it goes over the socket; gives the status and as much of the body as comes within a moment.
async fn raw(client: &Client, method: &str, target: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let tutti_control::Endpoint::Unix(socket) = client.endpoint() else { panic!() };
    let mut stream = tokio::net::UnixStream::connect(socket).await.unwrap();
    let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // Event streams do not end by themselves.
    let _ = tokio::time::timeout(Duration::from_millis(500), stream.read_to_end(&mut answer)).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("{method} {target}: {answer}")), answer)
}

#[tokio::test]
async fn every_described_route_is_there() {
    let host = Host::new();
    let kitchen = host.start("kitchen");
    let description = kitchen.client.description().await.unwrap();
    let mut routes = Vec::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for method in item
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| ["get", "put", "post", "patch", "delete"].contains(&key.as_str()))
        {
            routes.push((method.to_uppercase(), path.clone()));
        }
    }
    assert_eq!(routes.len(), tutti_control::ROUTES.len());
    // Stopping comes last.
    routes.sort_by_key(|(_, path)| path == "/v1/shutdown");
    for (method, path) in routes {
        let target =
            path.replace("{device}", "kitchen").replace("{path}", "x/y").replace("{id}", "x").replace("{name}", "lamp");
        let (status, answer) = raw(&kitchen.client, &method, &target).await;
        assert!(status < 500, "{method} {target}: {answer}");
        for absent in ["no-such-route", "method-not-allowed"] {
            assert!(!answer.contains(&format!("\"code\":\"{absent}\"")), "{method} {target}: {answer}");
        }
        if status >= 400 {
            assert!(answer.contains("\"code\"") && answer.contains("\"message\""), "{method} {target}: {answer}");
        }
    }
}

#[tokio::test]
async fn what_is_not_described_is_refused_in_the_agreed_form() {
    let host = Host::new();
    let kitchen = host.start("kitchen");
    for (method, target, status, code) in [
        ("GET", "/v1/nothing", 404, "no-such-route"),
        ("GET", "/", 404, "no-such-route"),
        ("POST", "/v1/devices", 405, "method-not-allowed"),
        ("GET", "/v1/resources?colour=red", 400, "bad-request"),
        ("GET", "/v1/resources?kind=spaceship", 400, "bad-request"),
        ("GET", "/v1/resources?kind=sensor&kind=sensor", 400, "bad-request"),
        ("GET", "/v1/resources/%FF/x", 400, "bad-request"),
        ("POST", "/v1/join", 400, "bad-request"),
        ("DELETE", "/v1/offers/nothing", 404, "no-such-offer"),
        ("GET", "/v1/screens/nothing/frames", 404, "no-such-screen"),
    ] {
        let (got, answer) = raw(&kitchen.client, method, target).await;
        assert_eq!(got, status, "{method} {target}: {answer}");
        assert!(answer.contains(code), "{method} {target}: {answer}");
    }
}
