//! Apps on whole devices, each a process of its own: installed, run, moved with their state, killed, gone on. All through the control API.
#![cfg(feature = "apps")]

mod revoked;
mod standby;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use support::{
    Device, Host,
    apps::{COUNTER, RELAY, audited, code, count, counting, group, instance, is, on, package, relay_wants, stop},
    eventually,
};
use tutti_control::{AuditWhat, ErrorCode, InstanceState, OfferRequest, Presence, Role, RunRequest, Sharing, Value};

const HOSTILE: &[u8] = include_bytes!("../../../../apps/built/hostile.wasm");
const THERMO: &[u8] = include_bytes!("../../../../apps/built/thermo.wasm");

/// Not a test by itself: a device in a process of its own.
#[test]
#[ignore = "run by the other tests in processes of its own"]
fn device() {
    support::device();
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
    let (host, [kitchen, attic]) = group(["kitchen", "attic"]).await;
    let by_a_member = attic.client.install_app(package("counter", "0.2.0", COUNTER, "")).await;
    assert_eq!(code(by_a_member), Some(ErrorCode::NotOwner));
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
    for what in [AuditWhat::Arrived, AuditWhat::Left] {
        assert!(audited(&attic, &it, what, "").await, "{what}");
    }
    // Another one, begun elsewhere.
    let other = kitchen.client.run_app("counter", &on("attic")).await.unwrap();
    assert_eq!((other.device_name.as_str(), other.state), ("attic", InstanceState::Running));
    stop([kitchen, attic]).await;
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
    stop([kitchen, attic]).await;
}

/// The target is killed between the source's commit and its own word: nothing runs until an owner accepts the loss. If it comes back, its
/// copy does not run, and can be looked at and discarded.
#[tokio::test]
async fn an_owner_ends_the_wait_for_a_device_that_is_lost() {
    let (host, [kitchen, mut attic]) = group(["kitchen", "attic"]).await;
    let it = counting(&kitchen, &on("kitchen")).await;
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
    assert_eq!(count(&kitchen, &it).await, "4 (4)");

    let attic = host.start("attic");
    attic.sees("kitchen", Presence::Online).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let all = attic.client.instances().await.unwrap();
    let running: Vec<_> = all.iter().filter(|it| it.state == InstanceState::Running).collect();
    assert_eq!(running.len(), 1, "{all:#?}");
    assert_eq!(running[0].device_name, "kitchen");
    assert!(all.iter().all(|it| it.device_name == "kitchen" || it.state == InstanceState::GivenUp), "{all:#?}");
    stop([kitchen, attic]).await;
}

/// What has one user at a time is leased for as long as an app is bound to it; the lease moves with the app.
#[tokio::test]
async fn a_lease_moves_with_its_app() {
    let (_host, [kitchen, attic]) = group(["kitchen", "attic"]).await;
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
    let wants = relay_wants("°C", "step");
    kitchen.client.install_app(package("relay", "0.1.0", RELAY, &wants)).await.unwrap();
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
    stop([kitchen, attic]).await;
}
