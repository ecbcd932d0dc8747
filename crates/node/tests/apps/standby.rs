//! Apps with a standby: it goes on with them when their home is lost, and never at both; named, changed and taken away while they run.

use std::time::{Duration, Instant};

use tutti_control::{ErrorCode, InstanceState, Presence, StandbyRequest};

use super::support::{
    apps::{code, count, counting, goes_on_at, group, guarded, instance, is, is_stray, on, quick, running_at, stop},
    eventually,
};

/// With the usual settings.
fn usual(standby: &str) -> StandbyRequest {
    StandbyRequest { device: standby.into(), ..StandbyRequest::default() }
}

/// What [`quick`] says of itself: how long until it goes on at the standby.
const FAIL_OVER: Duration = Duration::from_millis(3030);
/// By then the standby of [`quick`] has what was done before.
const REPLICATED: Duration = Duration::from_millis(1500);

#[tokio::test]
async fn a_standby_goes_on_when_the_home_is_killed() {
    let (host, [kitchen, attic]) = group(["kitchen", "attic"]).await;
    let itself = kitchen.client.run_app("counter", &guarded("kitchen", usual("kitchen"))).await;
    assert_eq!(code(itself), Some(ErrorCode::BadRequest));
    let it = kitchen.client.run_app("counter", &guarded("kitchen", usual("attic"))).await.unwrap();
    assert_eq!((it.state, it.device_name.as_str()), (InstanceState::Running, "kitchen"));
    assert_eq!(it.standby.as_deref(), Some("attic"));
    let (fail_over, most_lost) = (it.fail_over_ms.unwrap(), it.most_lost_ms.unwrap());
    assert_eq!((fail_over, most_lost), (10_100, 10_000));
    // What is ended goes on nowhere.
    let other = kitchen.client.run_app("counter", &guarded("kitchen", usual("attic"))).await.unwrap().id;
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
    let took = goes_on_at(&attic, &it.id, Duration::from_millis(fail_over)).await;
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
    stop([kitchen, attic]).await;
}

/// It was not killed but stood still for longer than its run-lease, and does not know. A standby that is killed and started meanwhile keeps its word.
#[tokio::test]
async fn a_home_that_slept_finds_itself_succeeded() {
    let (host, [kitchen, attic]) = group(["kitchen", "attic"]).await;
    // Long enough for both to come back within it.
    let standby = StandbyRequest { lease_ms: Some(6000), ..quick("attic") };
    let it = counting(&kitchen, &guarded("kitchen", standby)).await;
    tokio::time::sleep(REPLICATED).await;
    // Both are begun anew, and go on as they were: the home with a new run-lease, from a standby that has its replica on the disk.
    attic.kill();
    kitchen.kill();
    let (kitchen, attic) = (host.start("kitchen"), host.start("attic"));
    is(&kitchen, &it, InstanceState::Running, "kitchen").await;
    assert_eq!(count(&kitchen, &it).await, "4 (4)");
    assert_eq!(instance(&kitchen, &it).await.standby.as_deref(), Some("attic"));

    kitchen.signal("-STOP");
    goes_on_at(&attic, &it, Duration::from_millis(6060)).await;
    assert_eq!(count(&attic, &it).await, "4 (4)");
    kitchen.signal("-CONT");
    is_stray(&kitchen, &attic, &it).await;
    stop([kitchen, attic]).await;
}

/// What has a standby moves with it: the standby goes on when the new home is lost.
#[tokio::test]
async fn a_standby_stays_when_the_app_moves() {
    let (host, [kitchen, attic, shed]) = group(["kitchen", "attic", "shed"]).await;
    let it = counting(&kitchen, &guarded("kitchen", quick("attic"))).await;
    kitchen.client.move_instance(&it, "shed").await.unwrap();
    is(&kitchen, &it, InstanceState::Running, "shed").await;
    eventually("the new home says so", async || instance(&kitchen, &it).await.standby.as_deref() == Some("attic"))
        .await;
    kitchen.client.tell_instance(&it, "add 1").await.unwrap();
    assert_eq!(count(&shed, &it).await, "5 (5 4)");
    tokio::time::sleep(REPLICATED).await;
    shed.kill();
    goes_on_at(&attic, &it, FAIL_OVER).await;
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
    stop([kitchen, attic, shed]).await;
}

/// A home that hears nothing of its standby stops in time and goes on when it is back; one that prefers to be available runs on.
#[tokio::test]
async fn a_home_without_its_standby_stands_still_unless_it_prefers_to_go_on() {
    let (host, [kitchen, attic]) = group(["kitchen", "attic"]).await;
    let one = counting(&kitchen, &guarded("kitchen", quick("attic"))).await;
    let available = StandbyRequest { available: true, ..quick("attic") };
    let both = kitchen.client.run_app("counter", &guarded("kitchen", available)).await.unwrap();
    assert!(both.fail_over_ms.is_some() && both.most_lost_ms.is_none());
    attic.kill();
    let killed = Instant::now();
    while instance(&kitchen, &one).await.state == InstanceState::Running {
        assert!(killed.elapsed() < FAIL_OVER, "its run-lease is over, and it runs");
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
    tokio::time::sleep(FAIL_OVER + Duration::from_secs(1)).await;
    for id in [&one, &both.id] {
        assert_eq!(running_at(&[&kitchen, &attic], id).await, ["kitchen"]);
    }
    stop([kitchen, attic]).await;
}

/// If the standby never comes back, an owner's word lets the home go on without one; should it come back after all, it takes nothing over.
#[tokio::test]
async fn an_owner_lets_a_home_go_on_whose_standby_is_lost() {
    let (host, [kitchen, attic]) = group(["kitchen", "attic"]).await;
    let it = counting(&kitchen, &guarded("kitchen", quick("attic"))).await;
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
    tokio::time::sleep(FAIL_OVER + Duration::from_secs(1)).await;
    assert_eq!(running_at(&[&kitchen, &attic], &it).await, ["kitchen"]);
    stop([kitchen, attic]).await;
}

/// Its app runs all the while, wherever it is asked for; what is not possible changes nothing.
#[tokio::test]
async fn a_standby_is_named_changed_and_taken_away_while_the_app_runs() {
    let (host, [kitchen, attic, shed]) = group(["kitchen", "attic", "shed"]).await;
    let it = counting(&kitchen, &on("kitchen")).await;
    let means = kitchen.client.foretell_standby(&quick("attic")).await.unwrap();
    assert_eq!((means.device_name.as_str(), means.fail_over_ms, means.most_lost_ms), ("attic", 3030, Some(2500)));
    for wrong in [
        StandbyRequest { lease_ms: Some(999), ..quick("attic") },
        StandbyRequest { lease_ms: Some(3_600_001), ..quick("attic") },
        StandbyRequest { checkpoint_ms: Some(99), ..quick("attic") },
        quick("kitchen"),
    ] {
        assert_eq!(code(kitchen.client.set_standby(&it, &wrong).await), Some(ErrorCode::BadRequest), "{wrong:?}");
    }
    assert_eq!(instance(&kitchen, &it).await.standby, None);

    is(&shed, &it, InstanceState::Running, "kitchen").await;
    let shown = shed.client.set_standby(&it, &quick("attic")).await.unwrap();
    assert_eq!((shown.standby.as_deref(), shown.fail_over_ms), (Some("attic"), Some(3030)));
    let slower = StandbyRequest { lease_ms: Some(5000), ..quick("attic") };
    let shown = kitchen.client.set_standby(&it, &slower).await.unwrap();
    assert_eq!((shown.standby.as_deref(), shown.fail_over_ms), (Some("attic"), Some(5050)));
    let shown = kitchen.client.set_standby(&it, &quick("shed")).await.unwrap();
    assert_eq!((shown.standby.as_deref(), shown.fail_over_ms), (Some("shed"), Some(3030)));
    kitchen.client.tell_instance(&it, "add 1").await.unwrap();
    assert_eq!(count(&kitchen, &it).await, "5 (5 4)");

    // Who was it before has no say any more; who is goes on.
    attic.kill();
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(running_at(&[&kitchen, &shed], &it).await, ["kitchen"]);
    kitchen.kill();
    goes_on_at(&shed, &it, FAIL_OVER).await;
    assert_eq!(count(&shed, &it).await, "5 (5 4)");

    let attic = host.start("attic");
    shed.sees("attic", Presence::Online).await;
    assert_eq!(shed.client.set_standby(&it, &quick("attic")).await.unwrap().standby.as_deref(), Some("attic"));
    for _ in 0..2 {
        let shown = shed.client.remove_standby(&it).await.unwrap();
        assert_eq!((shown.standby, shown.fail_over_ms), (None, None));
    }
    shed.kill();
    tokio::time::sleep(FAIL_OVER + Duration::from_secs(2)).await;
    assert!(running_at(&[&attic], &it).await.is_empty());
    stop([attic]).await;
}

/// Cut off from each other, both run: each works while the other stands still. Both branches are kept, and an owner chooses.
#[tokio::test]
async fn who_prefers_to_be_available_gets_both_branches_and_an_owner_chooses() {
    let (_host, [kitchen, attic]) = group(["kitchen", "attic"]).await;
    let available = StandbyRequest { available: true, ..quick("attic") };
    let it = counting(&kitchen, &guarded("kitchen", available)).await;
    tokio::time::sleep(REPLICATED).await;
    attic.signal("-STOP");
    eventually("the home goes on alone", async || {
        let log = kitchen.client.instance_log(&it, 0).await.unwrap();
        log.iter().any(|line| line.text.contains("its run-lease is over"))
    })
    .await;
    kitchen.client.tell_instance(&it, "add 1").await.unwrap();
    assert_eq!(count(&kitchen, &it).await, "5 (5 4)");
    kitchen.signal("-STOP");
    attic.signal("-CONT");
    // What the home had said before it stood still may be heard now, and counts as long as it was meant to.
    goes_on_at(&attic, &it, FAIL_OVER * 2).await;
    attic.client.tell_instance(&it, "add 10").await.unwrap();
    assert_eq!(count(&attic, &it).await, "14 (14 4)");
    kitchen.signal("-CONT");

    eventually("the earlier copy is given up, and both are listed everywhere", async || {
        let mut seen = 0;
        for device in [&kitchen, &attic] {
            let all = device.client.instances().await.unwrap();
            let at = |name: &str, state| all.iter().find(|it| it.device_name == name && it.state == state);
            let given_up = at("kitchen", InstanceState::GivenUp).and_then(|it| it.reason.as_ref());
            let said = given_up.is_some_and(|why| why.contains("both ran") && why.contains("has not"));
            seen += usize::from(said && at("attic", InstanceState::Running).is_some() && all.len() == 2);
        }
        seen == 2
    })
    .await;
    assert_eq!(running_at(&[&kitchen, &attic], &it).await, ["attic"]);
    assert_eq!(count(&attic, &it).await, "14 (14 4)");

    // The other one, by an owner's word; then what was there is the copy that is kept, until it is discarded.
    let other = format!("{it}@kitchen");
    assert_eq!(code(kitchen.client.recover_instance(&other, false).await), Some(ErrorCode::BadRequest));
    kitchen.client.recover_instance(&other, true).await.unwrap();
    eventually("the other copy hears of it, and is given up", async || {
        let all = attic.client.instances().await.unwrap();
        let given_up = all.iter().any(|it| it.device_name == "attic" && it.state == InstanceState::GivenUp);
        given_up && running_at(&[&kitchen, &attic], &it).await == ["kitchen"]
    })
    .await;
    assert_eq!(count(&kitchen, &it).await, "5 (5 4)");
    assert_eq!(instance(&kitchen, &it).await.branch, 1);
    kitchen.client.end_instance(&format!("{it}@attic")).await.unwrap();
    eventually("one copy is left", async || {
        let all = attic.client.instances().await.unwrap();
        matches!(&all[..], [one] if one.device_name == "kitchen" && one.state == InstanceState::Running)
    })
    .await;
    stop([kitchen, attic]).await;
}
