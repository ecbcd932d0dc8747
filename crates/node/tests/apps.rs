//! Apps on whole devices, each a process of its own: installed, run, moved with their state, killed, gone on. All through the control API.
#![cfg(feature = "apps")]

mod support;

use std::time::Duration;

use support::{Device, Host, eventually};
use tutti_app::package::Package;
use tutti_control::{
    AppInstance, AuditWhat, ErrorCode, InstanceState, OfferRequest, Presence, Role, RunRequest, Sharing, Value,
};

const COUNTER: &[u8] = include_bytes!("../../../apps/built/counter.wasm");
const HOSTILE: &[u8] = include_bytes!("../../../apps/built/hostile.wasm");
const RELAY: &[u8] = include_bytes!("../../../apps/built/relay.wasm");
const THERMO: &[u8] = include_bytes!("../../../apps/built/thermo.wasm");

/// Not a test by itself: a device in a process of its own.
#[test]
#[ignore = "run by the other tests in processes of its own"]
fn device() {
    support::device();
}

/// A package of this component.
fn package(name: &str, version: &str, component: &[u8], more: &str) -> std::io::Cursor<Vec<u8>> {
    let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let manifest =
        format!("name = {name:?}\nversion = {version:?}\nlimits.memory-kib = 16384\nlimits.cpu = 1000\n{more}");
    std::io::Cursor::new(Package::make(&manifest, component, None, &key).unwrap())
}

async fn instance(of: &Device, id: &str) -> AppInstance {
    of.client.instance(id).await.unwrap_or_else(|error| panic!("{}: {error}", of.name))
}

async fn is(of: &Device, id: &str, state: InstanceState, at: &str) {
    let begun = std::time::Instant::now();
    loop {
        let found = of.client.instance(id).await;
        if found.as_ref().is_ok_and(|it| it.state == state && it.device_name == at) {
            return;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{} sees {id} not {state} at {at}: {found:?}", of.name);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What the counter says of itself.
async fn count(of: &Device, id: &str) -> String {
    let log = of.client.instance_log(id, 0).await.unwrap();
    let before = log.last().map_or(0, |line| line.number);
    of.client.tell_instance(id, "show").await.unwrap();
    let begun = std::time::Instant::now();
    loop {
        let lines = of.client.instance_log(id, before).await.unwrap();
        if let Some(line) = lines.iter().find(|line| line.text.contains('(')) {
            return line.text.clone();
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{lines:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn code<T: std::fmt::Debug>(result: Result<T, tutti_control::ClientError>) -> Option<ErrorCode> {
    result.expect_err("it is refused").code()
}

fn on(device: &str) -> RunRequest {
    RunRequest { on: Some(device.into()), ..RunRequest::default() }
}

#[tokio::test]
async fn an_app_is_installed_run_stopped_and_there_after_kill_9() {
    let host = Host::new();
    let kitchen = host.start("kitchen");
    assert_eq!(code(kitchen.client.run_app("counter", &RunRequest::default()).await), Some(ErrorCode::NoSuchApp));
    let rubbish = std::io::Cursor::new(b"rubbish".to_vec());
    assert_eq!(code(kitchen.client.install_app(rubbish).await), Some(ErrorCode::BadPackage));
    let app = kitchen.client.install_app(package("counter", "0.2.0", COUNTER, "")).await.unwrap();
    assert_eq!((app.name.as_str(), app.floor.as_str(), app.obstacle, app.here), ("counter", "0.2.0", None, true));
    let older = kitchen.client.install_app(package("counter", "0.1.0", COUNTER, "")).await;
    assert_eq!(code(older), Some(ErrorCode::NotGranted));

    let it = kitchen.client.run_app("counter", &RunRequest::default()).await.unwrap();
    assert_eq!((it.state, it.device_name.as_str(), it.epoch), (InstanceState::Running, "kitchen", 1));
    for _ in 0..5 {
        kitchen.client.tell_instance(&it.id, "add 2").await.unwrap();
    }
    assert_eq!(count(&kitchen, &it.id).await, "10 (10 8 6 4 2)");
    let stopped = kitchen.client.stop_instance("counter").await.unwrap();
    assert_eq!(stopped.state, InstanceState::Stopped);
    assert_eq!(code(kitchen.client.tell_instance(&it.id, "show").await), Some(ErrorCode::WrongState));
    assert_eq!(kitchen.client.start_instance(&it.id).await.unwrap().state, InstanceState::Running);
    assert_eq!(count(&kitchen, &it.id).await, "10 (10 8 6 4 2)");

    kitchen.kill();
    let kitchen = host.start("kitchen");
    is(&kitchen, &it.id, InstanceState::Running, "kitchen").await;
    assert_eq!(count(&kitchen, &it.id).await, "10 (10 8 6 4 2)");
    let audit = kitchen.client.audit(0).await.unwrap();
    for what in [AuditWhat::Installed, AuditWhat::Started] {
        assert!(audit.iter().any(|line| line.what == what && line.app == "counter"), "{what}: {audit:?}");
    }
    assert_eq!(code(kitchen.client.remove_app("counter").await), Some(ErrorCode::WrongState));
    kitchen.client.end_instance(&it.id).await.unwrap();
    eventually("it is gone", async || kitchen.client.instances().await.unwrap().is_empty()).await;
    kitchen.client.remove_app("counter").await.unwrap();
    assert!(kitchen.client.apps().await.unwrap().is_empty());
    kitchen.stop().await;
}

#[tokio::test]
async fn an_app_that_breaks_is_begun_anew_with_what_was_durable() {
    let host = Host::new();
    let kitchen = host.start("kitchen");
    kitchen.client.install_app(package("hostile", "0.1.0", HOSTILE, "")).await.unwrap();
    kitchen.client.install_app(package("counter", "0.1.0", COUNTER, "")).await.unwrap();
    let counter = kitchen.client.run_app("counter", &RunRequest::default()).await.unwrap().id;
    let it = kitchen.client.run_app("hostile", &RunRequest::default()).await.unwrap().id;
    for (nth, (what, why)) in
        [("loop", "too long"), ("recursion", "recursed"), ("panic", "unreachable")].iter().enumerate()
    {
        kitchen.client.tell_instance(&it, what).await.unwrap();
        // Meanwhile the other answers at once.
        let begun = std::time::Instant::now();
        count(&kitchen, &counter).await;
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        eventually(&format!("{what} is left out"), async || {
            let log = kitchen.client.instance_log(&it, 0).await.unwrap();
            let left_out = log.iter().filter(|line| line.text.contains("is left out")).count();
            log.iter().any(|line| line.text.contains(why)) && left_out == nth + 1
        })
        .await;
    }
    let shown = instance(&kitchen, &it).await;
    assert_eq!((shown.state, shown.restarts), (InstanceState::Running, 9));
    kitchen.stop().await;
}

#[tokio::test]
async fn an_app_moves_with_its_state_and_back() {
    let host = Host::new();
    let (kitchen, attic) = (host.start("kitchen"), host.start("attic"));
    attic.pair_with(&kitchen, Role::Member).await;
    attic.sees("kitchen", Presence::Online).await;
    kitchen.sees("attic", Presence::Online).await;
    assert_eq!(
        code(attic.client.install_app(package("counter", "0.1.0", COUNTER, "")).await),
        Some(ErrorCode::NotOwner)
    );
    kitchen.client.install_app(package("counter", "0.1.0", COUNTER, "")).await.unwrap();
    let it = kitchen.client.run_app("counter", &on("kitchen")).await.unwrap().id;
    kitchen.client.tell_instance(&it, "add 7").await.unwrap();
    assert_eq!(count(&kitchen, &it).await, "7 (7)");
    // Asked for at the one where it is not.
    is(&attic, &it, InstanceState::Running, "kitchen").await;
    attic.client.move_instance(&it, "attic").await.unwrap();
    is(&attic, &it, InstanceState::Running, "attic").await;
    is(&kitchen, &it, InstanceState::Running, "attic").await;
    kitchen.client.tell_instance(&it, "add 1").await.unwrap();
    assert_eq!(count(&attic, &it).await, "8 (8 7)");
    assert_eq!(count(&kitchen, &it).await, "8 (8 7)");
    assert_eq!(instance(&kitchen, &it).await.epoch, 2);
    assert_eq!(code(kitchen.client.move_instance(&it, "attic").await), Some(ErrorCode::WrongState));

    // Killed at its new home, it is there again, and then goes back.
    attic.kill();
    is(&kitchen, &it, InstanceState::Away, "attic").await;
    let attic = host.start("attic");
    is(&kitchen, &it, InstanceState::Running, "attic").await;
    attic.sees("kitchen", Presence::Online).await;
    kitchen.client.move_instance(&it, "kitchen").await.unwrap();
    is(&kitchen, &it, InstanceState::Running, "kitchen").await;
    assert_eq!(count(&kitchen, &it).await, "8 (8 7)");
    assert_eq!(instance(&kitchen, &it).await.epoch, 3);
    let audit = attic.client.audit(0).await.unwrap();
    for what in [AuditWhat::Arrived, AuditWhat::Left] {
        assert!(audit.iter().any(|line| line.what == what && line.instance.as_deref() == Some(&it)), "{audit:?}");
    }
    // What an owner takes back runs nowhere any longer.
    let other = kitchen.client.run_app("counter", &on("attic")).await.unwrap();
    assert_eq!((other.device_name.as_str(), other.state), ("attic", InstanceState::Running));
    kitchen.stop().await;
    attic.stop().await;
}

#[tokio::test]
async fn what_an_app_wants_is_found_followed_and_audited() {
    let host = Host::new();
    let kitchen = host.start("kitchen");
    let wants = "[wants.thermometer]\nkind = \"sensor\"\nunit = \"°C\"\nrequired = true\n";
    kitchen.client.install_app(package("thermo", "0.1.0", THERMO, wants)).await.unwrap();
    let it = kitchen.client.run_app("thermo", &RunRequest::default()).await.unwrap().id;
    eventually("it reads", async || instance(&kitchen, &it).await.events > 2).await;
    let shown = instance(&kitchen, &it).await;
    assert_eq!(shown.bound[0].resource.as_deref(), Some("kitchen/room-temperature"));
    let audit = kitchen.client.audit(0).await.unwrap();
    assert!(audit.iter().any(|line| line.what == AuditWhat::Read && line.about == "thermometer"), "{audit:?}");
    let why = kitchen.client.place_why("thermo", None).await.unwrap();
    assert_eq!(why.best.unwrap().device_name, "kitchen");
    // What nothing can meet.
    let wants = "[wants.eye]\nkind = \"camera\"\nrequired = true\n";
    kitchen.client.install_app(package("spy", "0.1.0", COUNTER, wants)).await.unwrap();
    let refused = kitchen.client.run_app("spy", &RunRequest::default()).await;
    assert_eq!(code(refused), Some(ErrorCode::DoesNotFit));
    let why = kitchen.client.place_why("spy", None).await.unwrap();
    assert!(why.best.is_none() && why.obstacles[0].why.contains("camera"), "{why:?}");
    kitchen.stop().await;
}

/// One of two devices has little: what does not fit there goes to the other, or nowhere, and the reason is told with its numbers.
#[tokio::test]
async fn an_app_is_placed_where_there_is_room_for_it() {
    const MIB: u64 = 1 << 20;
    let host = Host::new();
    let (kitchen, attic) = (host.start_small("kitchen", 20 * MIB), host.start_small("attic", 40 * MIB));
    attic.pair_with(&kitchen, Role::Member).await;
    attic.sees("kitchen", Presence::Online).await;
    kitchen.sees("attic", Presence::Online).await;
    eventually("each says what it has", async || {
        let devices = kitchen.client.devices().await.unwrap();
        let has = |name: &str| devices.iter().find(|it| it.name == name).and_then(|it| it.room?.for_apps);
        has("kitchen") == Some(20 * MIB) && has("attic") == Some(40 * MIB)
    })
    .await;
    // 16 MiB each. The attic tells of its apps, and so that it runs some, a moment after it is there.
    kitchen.client.install_app(package("counter", "0.1.0", COUNTER, "")).await.unwrap();
    eventually("the attic runs apps", async || {
        let why = kitchen.client.place_why("counter", None).await.unwrap();
        why.best.is_some() && why.others.len() == 1
    })
    .await;
    let mut homes = Vec::new();
    for nth in 1..=3 {
        homes.push(kitchen.client.run_app("counter", &RunRequest::default()).await.unwrap().device_name);
        eventually("it is seen", async || kitchen.client.instances().await.unwrap().len() == nth).await;
    }
    homes.sort();
    assert_eq!(homes, ["attic", "attic", "kitchen"], "what fits is spread");
    let why = kitchen.client.place_why("counter", None).await.unwrap();
    assert!(why.best.is_none(), "{why:?}");
    let full = "needs 16 MiB of memory, has from 4 MiB to 8 MiB";
    assert_eq!((why.obstacles.len(), why.obstacles[0].devices, why.obstacles[0].why.as_str()), (1, 2, full));
    let refused = kitchen.client.run_app("counter", &RunRequest::default()).await;
    assert!(refused.as_ref().is_err_and(|error| error.to_string().contains(full)), "{refused:?}");
    assert_eq!(code(refused), Some(ErrorCode::DoesNotFit));
    // Nor by force, and nor by a move: a limit is one.
    for there in ["kitchen", "attic"] {
        assert_eq!(code(kitchen.client.run_app("counter", &on(there)).await), Some(ErrorCode::DoesNotFit));
    }
    let of_kitchen = kitchen.client.instances().await.unwrap().into_iter().find(|it| it.device_name == "kitchen");
    let id = of_kitchen.unwrap().id;
    kitchen.client.move_instance(&id, "attic").await.unwrap();
    eventually("the attic does not take it", async || {
        let audit = attic.client.audit(0).await.unwrap();
        audit.iter().any(|line| line.about.contains("needs 16 MiB of memory, has 8 MiB"))
    })
    .await;
    is(&kitchen, &id, InstanceState::Running, "kitchen").await;
    // Who makes room has it.
    kitchen.client.end_instance(&id).await.unwrap();
    eventually("there is room", async || {
        let why = kitchen.client.place_why("counter", None).await.unwrap();
        why.best.is_some_and(|best| best.device_name == "kitchen")
    })
    .await;
    kitchen.stop().await;
    attic.stop().await;
}

/// The target is killed between the source's commit and its own word: nothing runs until an owner accepts the loss. If it comes back, its
/// copy does not run, and can be looked at and discarded.
#[tokio::test]
async fn an_owner_ends_the_wait_for_a_device_that_is_lost() {
    let host = Host::new();
    let (kitchen, mut attic) = (host.start("kitchen"), host.start("attic"));
    attic.pair_with(&kitchen, Role::Member).await;
    attic.sees("kitchen", Presence::Online).await;
    kitchen.client.install_app(package("counter", "0.1.0", COUNTER, "")).await.unwrap();
    let it = kitchen.client.run_app("counter", &on("kitchen")).await.unwrap().id;
    kitchen.client.tell_instance(&it, "add 3").await.unwrap();
    assert_eq!(count(&kitchen, &it).await, "3 (3)");
    let mut waits = false;
    for _ in 0..30 {
        kitchen.sees("attic", Presence::Online).await;
        kitchen.client.move_instance(&it, "attic").await.unwrap();
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            let shown = instance(&kitchen, &it).await;
            match shown.state {
                InstanceState::Waiting => attic.process.kill().unwrap(),
                InstanceState::Running if shown.device_name == "attic" => {}
                _ => continue,
            }
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let shown = instance(&kitchen, &it).await;
        if shown.state == InstanceState::Waiting {
            assert_eq!(shown.waiting_for.as_deref(), Some("attic"));
            waits = true;
            break;
        }
        // It was too late this time: it is there, and comes back.
        if attic.process.try_wait().unwrap().is_some() {
            attic = host.start("attic");
        }
        is(&kitchen, &it, InstanceState::Running, "attic").await;
        attic.sees("kitchen", Presence::Online).await;
        kitchen.client.move_instance(&it, "kitchen").await.unwrap();
        is(&kitchen, &it, InstanceState::Running, "kitchen").await;
    }
    assert!(waits, "in 30 moves the moment was never hit");
    attic.process.wait().unwrap();
    assert_eq!(code(kitchen.client.recover_instance(&it, false).await), Some(ErrorCode::BadRequest));
    kitchen.client.recover_instance(&it, true).await.unwrap();
    is(&kitchen, &it, InstanceState::Running, "kitchen").await;
    assert_eq!(instance(&kitchen, &it).await.branch, 1);
    assert_eq!(count(&kitchen, &it).await, "3 (3)");

    let attic = host.start("attic");
    attic.sees("kitchen", Presence::Online).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let all = attic.client.instances().await.unwrap();
    let running: Vec<_> = all.iter().filter(|it| it.state == InstanceState::Running).collect();
    assert_eq!(running.len(), 1, "{all:#?}");
    assert_eq!(running[0].device_name, "kitchen");
    assert!(all.iter().all(|it| it.device_name == "kitchen" || it.state == InstanceState::GivenUp), "{all:#?}");
    kitchen.stop().await;
    attic.stop().await;
}

/// What has one user at a time is leased for as long as an app is bound to it; the lease moves with the app.
#[tokio::test]
async fn a_lease_moves_with_its_app() {
    let host = Host::new();
    let (kitchen, attic) = (host.start("kitchen"), host.start("attic"));
    attic.pair_with(&kitchen, Role::Member).await;
    attic.sees("kitchen", Presence::Online).await;
    kitchen.sees("attic", Presence::Online).await;
    let gate = OfferRequest {
        writable: true,
        value: Some(Value::Int(0)),
        unit: "step".into(),
        sharing: Sharing::Exclusive,
        ..OfferRequest::of_kind("actuator")
    };
    kitchen.client.offer("gate", &gate).await.unwrap();
    eventually("the gate is known", async || {
        let all = attic.client.resources(&Default::default()).await.unwrap();
        all.iter().any(|it| it.name == "gate")
    })
    .await;
    let mut commands = kitchen.client.commands("gate").await.unwrap();
    let wants = "[wants.sensor]\nkind = \"sensor\"\nunit = \"°C\"\nrequired = true\n[wants.actuator]\nkind = \"actuator\"\nunit = \"step\"\nrequired = true\n";
    kitchen.client.install_app(package("relay", "0.1.0", RELAY, wants)).await.unwrap();
    let it = kitchen.client.run_app("relay", &on("kitchen")).await.unwrap().id;
    let holder = async |of: &Device| {
        let all = of.client.resources(&Default::default()).await.unwrap();
        all.into_iter().find(|it| it.name == "gate").and_then(|it| it.lease).map(|lease| lease.holder_name)
    };
    kitchen.client.tell_instance(&it, "on 1 off 1").await.unwrap();
    while commands.next().await.unwrap().unwrap().value != Value::Int(1) {}
    assert_eq!(holder(&kitchen).await.as_deref(), Some("kitchen"));
    kitchen.client.move_instance(&it, "attic").await.unwrap();
    is(&kitchen, &it, InstanceState::Running, "attic").await;
    attic.client.tell_instance(&it, "on 2 off 2").await.unwrap();
    while commands.next().await.unwrap().unwrap().value != Value::Int(2) {}
    assert_eq!(holder(&kitchen).await.as_deref(), Some("attic"));
    let set = tutti_control::SetValue { value: Value::Int(9), token: None };
    assert_eq!(code(kitchen.client.set("kitchen", "gate", &set).await), Some(ErrorCode::Held));
    attic.client.end_instance(&it).await.unwrap();
    eventually("the lease is given back", async || holder(&kitchen).await.is_none()).await;
    kitchen.stop().await;
    attic.stop().await;
}

fn guarded(home: &str, standby: &str) -> RunRequest {
    RunRequest { standby: Some(standby.into()), ..on(home) }
}

/// Where an instance runs, by what each of them says of itself.
async fn running_at<'a>(devices: &[&'a Device], id: &str) -> Vec<&'a str> {
    let mut at = Vec::new();
    for device in devices {
        let all = device.client.instances().await.unwrap_or_default();
        if all.iter().any(|it| it.id == id && it.state == InstanceState::Running && it.device_name == device.name) {
            at.push(device.name);
        }
    }
    at
}

/// The old home finds that it was succeeded, and keeps its copy; exactly one runs.
async fn is_stray(home: &Device, standby: &Device, id: &str) {
    eventually("the old home has given its copy up", async || {
        assert!(running_at(&[home, standby], id).await.len() <= 1);
        let all = home.client.instances().await.unwrap();
        all.iter().any(|it| it.id == id && it.state == InstanceState::GivenUp && it.device_name == home.name)
    })
    .await;
    assert_eq!(running_at(&[home, standby], id).await, [standby.name]);
}

#[tokio::test]
async fn a_standby_goes_on_when_the_home_is_killed() {
    let host = Host::new();
    let (kitchen, attic) = (host.start("kitchen"), host.start("attic"));
    attic.pair_with(&kitchen, Role::Member).await;
    attic.sees("kitchen", Presence::Online).await;
    kitchen.sees("attic", Presence::Online).await;
    kitchen.client.install_app(package("counter", "0.1.0", COUNTER, "")).await.unwrap();
    let itself = kitchen.client.run_app("counter", &guarded("kitchen", "kitchen")).await;
    assert_eq!(code(itself), Some(ErrorCode::BadRequest));
    let it = kitchen.client.run_app("counter", &guarded("kitchen", "attic")).await.unwrap();
    assert_eq!((it.state, it.device_name.as_str()), (InstanceState::Running, "kitchen"));
    assert_eq!(it.standby.as_deref(), Some("attic"));
    let (fail_over, most_lost) = (it.fail_over_ms.unwrap(), it.most_lost_ms.unwrap());
    assert_eq!((fail_over, most_lost), (10_100, 10_000));
    // What is ended goes on nowhere.
    let other = kitchen.client.run_app("counter", &guarded("kitchen", "attic")).await.unwrap().id;
    kitchen.client.end_instance(&other).await.unwrap();

    for _ in 0..5 {
        kitchen.client.tell_instance(&it.id, "add 1").await.unwrap();
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    assert_eq!(count(&kitchen, &it.id).await, "5 (5 4 3 2 1)");
    // Checkpoints are made every two seconds: by then the standby has it. What comes after may be lost.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(running_at(&[&kitchen, &attic], &it.id).await, ["kitchen"]);
    kitchen.client.tell_instance(&it.id, "add 1").await.unwrap();
    kitchen.kill();
    let killed = std::time::Instant::now();
    while running_at(&[&attic], &it.id).await.is_empty() {
        let late = Duration::from_millis(fail_over) + Duration::from_secs(2);
        assert!(killed.elapsed() < late, "{:#?}", attic.client.instances().await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = killed.elapsed();
    assert!(took > Duration::from_millis(fail_over * 6 / 10), "the run-lease still lasted: {took:?}");
    let knows = count(&attic, &it.id).await;
    assert!(["5 (5 4 3 2 1)", "6 (6 5 4 3 2 1)"].contains(&knows.as_str()), "{knows}");
    let shown = instance(&attic, &it.id).await;
    assert_eq!((shown.epoch, shown.standby), (3, None));
    attic.client.tell_instance(&it.id, "add 10").await.unwrap();
    let knows = count(&attic, &it.id).await;

    let kitchen = host.start("kitchen");
    is_stray(&kitchen, &attic, &it.id).await;
    // It is durable where it went on, and moves on from there.
    attic.kill();
    let attic = host.start("attic");
    is(&attic, &it.id, InstanceState::Running, "attic").await;
    assert_eq!(count(&attic, &it.id).await, knows);
    let all = attic.client.instances().await.unwrap();
    assert!(all.iter().all(|shown| shown.id == it.id), "{all:#?}");
    kitchen.stop().await;
    attic.stop().await;
}

/// It was not killed but stood still for longer than its run-lease, and does not know. A standby that is killed and started meanwhile keeps its word.
#[tokio::test]
async fn a_home_that_slept_finds_itself_succeeded() {
    let host = Host::new();
    let (kitchen, attic) = (host.start("kitchen"), host.start("attic"));
    attic.pair_with(&kitchen, Role::Member).await;
    attic.sees("kitchen", Presence::Online).await;
    kitchen.sees("attic", Presence::Online).await;
    kitchen.client.install_app(package("counter", "0.1.0", COUNTER, "")).await.unwrap();
    let it = kitchen.client.run_app("counter", &guarded("kitchen", "attic")).await.unwrap().id;
    kitchen.client.tell_instance(&it, "add 4").await.unwrap();
    assert_eq!(count(&kitchen, &it).await, "4 (4)");
    tokio::time::sleep(Duration::from_secs(3)).await;
    // Both are begun anew, and go on as they were: the home with a new run-lease, from a standby that has its replica on the disk.
    attic.kill();
    kitchen.kill();
    let (kitchen, attic) = (host.start("kitchen"), host.start("attic"));
    is(&kitchen, &it, InstanceState::Running, "kitchen").await;
    assert_eq!(count(&kitchen, &it).await, "4 (4)");
    assert_eq!(instance(&kitchen, &it).await.standby.as_deref(), Some("attic"));

    let signal = |what: &str| {
        let done = std::process::Command::new("kill").args([what, &kitchen.process.id().to_string()]).status();
        assert!(done.unwrap().success());
    };
    signal("-STOP");
    let begun = std::time::Instant::now();
    while running_at(&[&attic], &it).await.is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(14), "{:#?}", attic.client.instances().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(count(&attic, &it).await, "4 (4)");
    signal("-CONT");
    is_stray(&kitchen, &attic, &it).await;
    kitchen.stop().await;
    attic.stop().await;
}

/// What has a standby moves with it: the standby goes on when the new home is lost.
#[tokio::test]
async fn a_standby_stays_when_the_app_moves() {
    let host = Host::new();
    let (kitchen, attic, shed) = (host.start("kitchen"), host.start("attic"), host.start("shed"));
    for other in [&attic, &shed] {
        other.pair_with(&kitchen, Role::Member).await;
    }
    shed.sees("attic", Presence::Online).await;
    shed.sees("kitchen", Presence::Online).await;
    attic.sees("shed", Presence::Online).await;
    kitchen.client.install_app(package("counter", "0.1.0", COUNTER, "")).await.unwrap();
    let it = kitchen.client.run_app("counter", &guarded("kitchen", "attic")).await.unwrap().id;
    kitchen.client.tell_instance(&it, "add 4").await.unwrap();
    assert_eq!(count(&kitchen, &it).await, "4 (4)");
    kitchen.client.move_instance(&it, "shed").await.unwrap();
    is(&kitchen, &it, InstanceState::Running, "shed").await;
    assert_eq!(instance(&kitchen, &it).await.standby.as_deref(), Some("attic"));
    kitchen.client.tell_instance(&it, "add 1").await.unwrap();
    assert_eq!(count(&shed, &it).await, "5 (5 4)");
    tokio::time::sleep(Duration::from_secs(5)).await;
    shed.kill();
    let killed = std::time::Instant::now();
    while running_at(&[&attic], &it).await.is_empty() {
        assert!(killed.elapsed() < Duration::from_secs(13), "{:#?}", attic.client.instances().await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(count(&attic, &it).await, "5 (5 4)");
    is(&kitchen, &it, InstanceState::Running, "attic").await;
    let shed = host.start("shed");
    is_stray(&shed, &attic, &it).await;
    // It ends where it is, and its stray is discarded where that is.
    attic.client.end_instance(&it).await.unwrap();
    eventually("only the stray is left", async || {
        let all = kitchen.client.instances().await.unwrap();
        matches!(&all[..], [stray] if stray.state == InstanceState::GivenUp && stray.device_name == "shed")
    })
    .await;
    kitchen.client.end_instance(&format!("{it}@shed")).await.unwrap();
    eventually("it is gone", async || kitchen.client.instances().await.unwrap().is_empty()).await;
    kitchen.stop().await;
    attic.stop().await;
    shed.stop().await;
}

/// A home that hears nothing of its standby stops in time and goes on when it is back; one that prefers to be available runs on.
#[tokio::test]
async fn a_home_without_its_standby_stands_still_unless_it_prefers_to_go_on() {
    let host = Host::new();
    let (kitchen, attic) = (host.start("kitchen"), host.start("attic"));
    attic.pair_with(&kitchen, Role::Member).await;
    attic.sees("kitchen", Presence::Online).await;
    kitchen.sees("attic", Presence::Online).await;
    kitchen.client.install_app(package("counter", "0.1.0", COUNTER, "")).await.unwrap();
    let alone = RunRequest { available: true, ..on("kitchen") };
    assert_eq!(code(kitchen.client.run_app("counter", &alone).await), Some(ErrorCode::BadRequest));
    let one = kitchen.client.run_app("counter", &guarded("kitchen", "attic")).await.unwrap().id;
    let available = RunRequest { available: true, ..guarded("kitchen", "attic") };
    let both = kitchen.client.run_app("counter", &available).await.unwrap();
    assert!(both.fail_over_ms.is_some() && both.most_lost_ms.is_none());
    kitchen.client.tell_instance(&one, "add 4").await.unwrap();
    attic.kill();
    let killed = std::time::Instant::now();
    while instance(&kitchen, &one).await.state == InstanceState::Running {
        assert!(killed.elapsed() < Duration::from_secs(10), "its run-lease is over, and it runs");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let shown = instance(&kitchen, &one).await;
    assert_eq!((shown.state, shown.waiting_for.as_deref()), (InstanceState::Waiting, Some("attic")));
    kitchen.client.tell_instance(&both.id, "add 1").await.unwrap();
    assert_eq!(count(&kitchen, &both.id).await, "1 (1)");
    let attic = host.start("attic");
    is(&kitchen, &one, InstanceState::Running, "kitchen").await;
    assert_eq!(count(&kitchen, &one).await, "4 (4)");
    // Longer than any run-lease: the home has its leases again, and nothing is taken over.
    tokio::time::sleep(Duration::from_secs(11)).await;
    for id in [&one, &both.id] {
        assert_eq!(running_at(&[&kitchen, &attic], id).await, ["kitchen"]);
    }
    kitchen.stop().await;
    attic.stop().await;
}

/// If the standby never comes back, an owner's word lets the home go on without one; should it come back after all, it takes nothing over.
#[tokio::test]
async fn an_owner_lets_a_home_go_on_whose_standby_is_lost() {
    let host = Host::new();
    let (kitchen, attic) = (host.start("kitchen"), host.start("attic"));
    attic.pair_with(&kitchen, Role::Member).await;
    attic.sees("kitchen", Presence::Online).await;
    kitchen.sees("attic", Presence::Online).await;
    kitchen.client.install_app(package("counter", "0.1.0", COUNTER, "")).await.unwrap();
    let it = kitchen.client.run_app("counter", &guarded("kitchen", "attic")).await.unwrap().id;
    kitchen.client.tell_instance(&it, "add 4").await.unwrap();
    assert_eq!(count(&kitchen, &it).await, "4 (4)");
    assert_eq!(code(kitchen.client.recover_instance(&it, true).await), Some(ErrorCode::WrongState));
    attic.kill();
    is(&kitchen, &it, InstanceState::Waiting, "kitchen").await;
    // Not before its run-lease is over: it may be only that its standby has yet to get what it did.
    eventually("it is recovered", async || kitchen.client.recover_instance(&it, true).await.is_ok()).await;
    is(&kitchen, &it, InstanceState::Running, "kitchen").await;
    let shown = instance(&kitchen, &it).await;
    assert_eq!((shown.branch, shown.standby), (1, None));
    assert_eq!(count(&kitchen, &it).await, "4 (4)");
    let attic = host.start("attic");
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(running_at(&[&kitchen, &attic], &it).await, ["kitchen"]);
    kitchen.stop().await;
    attic.stop().await;
}
