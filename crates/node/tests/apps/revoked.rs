//! What owners take back: an app does not run any more where it ran, or without what it may not use.

use std::time::{Duration, Instant};

use tutti_control::{AuditWhat, ErrorCode, EventStream, InstanceState, OfferRequest, Sharing, Value};

use super::support::{
    Device,
    apps::{
        COUNTER, RELAY, audited, code, counting, group, guarded, instance, is, on, package, quick, relay_wants,
        running_at, stop,
    },
    eventually,
};

/// How soon what was taken back is not used any more, at devices that are connected.
const BOUND: Duration = Duration::from_secs(3);

/// A gate of that device that has one user at a time, and what it is set to.
async fn offer_gate(of: &Device, seen_by: &Device) -> EventStream<tutti_control::Command> {
    let gate = OfferRequest {
        writable: true,
        value: Some(Value::Int(0)),
        unit: "step".into(),
        ttl_ms: Some(600_000),
        sharing: Sharing::Exclusive,
        ..OfferRequest::of_kind("actuator")
    };
    of.client.offer("gate", &gate).await.unwrap();
    eventually("the gate is known", async || {
        seen_by.client.resources(&Default::default()).await.unwrap().iter().any(|it| it.name == "gate")
    })
    .await;
    of.client.commands("gate").await.unwrap()
}

/// Who has leased the gate.
async fn holder(of: &Device) -> Option<String> {
    let all = of.client.resources(&Default::default()).await.unwrap();
    all.into_iter().find(|it| it.name == "gate").and_then(|it| it.lease).map(|lease| lease.holder_name)
}

/// It has stopped, by now, and says why: in the list, in its log and in the audit log of its device.
async fn has_stopped(at: &Device, id: &str, why: &str, since: Instant) {
    is(at, id, InstanceState::Failed, at.name).await;
    assert!(since.elapsed() < BOUND, "{:?}", since.elapsed());
    let reason = instance(at, id).await.reason.unwrap_or_default();
    assert!(reason.contains(why), "{reason}");
    let log = at.client.instance_log(id, 0).await.unwrap();
    assert!(log.iter().any(|line| line.text.contains(why)), "{log:?}");
    assert!(audited(at, id, AuditWhat::Refused, why).await);
}

/// Not at its home, not at its standby, not after a restart; until an owner allows it again.
#[tokio::test]
async fn an_app_that_is_removed_runs_nowhere_any_more() {
    let (host, [kitchen, attic]) = group(["kitchen", "attic"]).await;
    let mut commands = offer_gate(&kitchen, &attic).await;
    let relay = || package("relay", "0.1.0", RELAY, &relay_wants("°C", "step"));
    kitchen.client.install_app(relay()).await.unwrap();
    let it = kitchen.client.run_app("relay", &guarded("attic", quick("kitchen"))).await.unwrap().id;
    kitchen.client.tell_instance(&it, "on 1 off 1").await.unwrap();
    while commands.next().await.unwrap().unwrap().value != Value::Int(1) {}
    assert_eq!(holder(&kitchen).await.as_deref(), Some("attic"));
    assert_eq!(code(kitchen.client.remove_app("relay").await), Some(ErrorCode::WrongState));
    assert_eq!(code(attic.client.withdraw_app("relay").await), Some(ErrorCode::NotOwner));

    let taken_back = Instant::now();
    kitchen.client.withdraw_app("relay").await.unwrap();
    has_stopped(&attic, &it, "no owner allows an app of this name", taken_back).await;
    eventually("the lease is given back", async || holder(&kitchen).await.is_none()).await;
    assert!(kitchen.client.apps().await.unwrap().iter().all(|app| app.name != "relay"));
    assert_eq!(code(kitchen.client.tell_instance(&it, "on 2 off 2").await), Some(ErrorCode::WrongState));
    assert_eq!(code(kitchen.client.start_instance(&it).await), Some(ErrorCode::DoesNotFit));
    // Nor does who would have gone on with it.
    attic.kill();
    is(&kitchen, &it, InstanceState::Failed, "kitchen").await;
    assert!(running_at(&[&kitchen], &it).await.is_empty());
    let attic = host.start("attic");
    eventually("the old home has heard of it", async || {
        let all = attic.client.instances().await.unwrap();
        all.iter().any(|it| it.state == InstanceState::GivenUp)
            && all.iter().any(|it| it.state == InstanceState::Failed)
    })
    .await;
    kitchen.client.install_app(relay()).await.unwrap();
    assert_eq!(kitchen.client.start_instance(&it).await.unwrap().state, InstanceState::Running);
    kitchen.client.tell_instance(&it, "on 3 off 3").await.unwrap();
    let mut set = Vec::new();
    while set.last() != Some(&Value::Int(3)) {
        set.push(commands.next().await.unwrap().unwrap().value);
    }
    assert!(!set.contains(&Value::Int(2)), "{set:?}");
    stop([kitchen, attic]).await;
}

/// Who was away learns of it when it is back.
#[tokio::test]
async fn a_later_version_stops_what_is_older() {
    let (host, [kitchen, attic]) = group(["kitchen", "attic"]).await;
    let there = counting(&kitchen, &on("attic")).await;
    let here = counting(&kitchen, &on("kitchen")).await;
    let installed = Instant::now();
    kitchen.client.install_app(package("counter", "0.2.0", COUNTER, "")).await.unwrap();
    has_stopped(&attic, &there, "older than 0.2.0", installed).await;
    has_stopped(&kitchen, &here, "older than 0.2.0", installed).await;
    let later = kitchen.client.run_app("counter", &on("attic")).await.unwrap();
    assert_eq!((later.state, later.version.as_str()), (InstanceState::Running, "0.2.0"));
    is(&kitchen, &later.id, InstanceState::Running, "attic").await;
    attic.kill();
    is(&kitchen, &later.id, InstanceState::Away, "attic").await;
    kitchen.client.install_app(package("counter", "0.3.0", COUNTER, "")).await.unwrap();
    let attic = host.start("attic");
    is(&attic, &later.id, InstanceState::Failed, "attic").await;
    assert!(audited(&attic, &later.id, AuditWhat::Refused, "older than 0.3.0").await);
    stop([kitchen, attic]).await;
}

/// What it can do without is taken from it while it runs, and given back.
#[tokio::test]
async fn an_app_goes_on_without_what_it_may_not_use_any_more() {
    let (_host, [kitchen, attic]) = group(["kitchen", "attic"]).await;
    let mut commands = offer_gate(&kitchen, &attic).await;
    let sensor = "[wants.sensor]\nkind = \"sensor\"\nunit = \"°C\"\nrequired = true\n";
    let both = format!("{sensor}[wants.actuator]\nkind = \"actuator\"\nunit = \"step\"\n");
    kitchen.client.install_app(package("relay", "0.1.0", RELAY, &both)).await.unwrap();
    let it = kitchen.client.run_app("relay", &on("attic")).await.unwrap().id;
    kitchen.client.tell_instance(&it, "on 1 off 1").await.unwrap();
    while commands.next().await.unwrap().unwrap().value != Value::Int(1) {}
    let taken_back = Instant::now();
    kitchen.client.install_app(package("relay", "0.1.0", RELAY, sensor)).await.unwrap();
    eventually("the lease is given back", async || holder(&kitchen).await.is_none()).await;
    assert!(taken_back.elapsed() < BOUND, "{:?}", taken_back.elapsed());
    let shown = instance(&attic, &it).await;
    let actuator = shown.bound.iter().find(|bound| bound.want == "actuator").unwrap();
    assert_eq!((shown.state, actuator.resource.as_deref()), (InstanceState::Running, None));
    assert!(audited(&attic, &it, AuditWhat::Refused, "actuator may not be used any more").await);
    // It is told, and knows; but the gate does not move.
    kitchen.client.tell_instance(&it, "on 2 off 2").await.unwrap();
    let moved = tokio::time::timeout(Duration::from_secs(3), commands.next()).await;
    assert!(moved.is_err(), "{moved:?}");
    kitchen.client.install_app(package("relay", "0.1.0", RELAY, &both)).await.unwrap();
    while commands.next().await.unwrap().unwrap().value != Value::Int(2) {}
    assert_eq!(holder(&kitchen).await.as_deref(), Some("attic"));
    stop([kitchen, attic]).await;
}
