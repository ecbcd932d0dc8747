//! Two or three pools joined by a network in memory, with tokio's time paused.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tutti_model::{
    DeviceId, ResourceId, Value,
    message::{LeaseMode, Refusal, StoragePath},
};

use crate::error::PoolError;

mod world;

use world::{name, pair, reading};

#[tokio::test(start_paused = true)]
async fn reads_and_writes_go_both_to_others_and_to_oneself() {
    let (_hub, a, b) = pair().await;
    for (asker, owner) in [(&a, &b), (&a, &a)] {
        assert_eq!(asker.pool.read(owner.thing("warmth")).await, Ok(reading(20)));
        let lamp = owner.thing("lamp");
        let refused = asker.pool.write(lamp, Value::Bool(true), None).await.unwrap_err();
        let PoolError::Refused { why: Refusal::LeaseNeeded, .. } = refused else { panic!("{refused}") };
        asker.pool.control(lamp, Value::Bool(true)).await.unwrap();
        let (value, caller) = owner.house.writes.lock().unwrap().pop().unwrap();
        assert_eq!((value, caller.device), (Value::Bool(true), a.id));
        assert!(caller.token.is_some());
    }
    let safe = b.pool.read(a.thing("safe")).await.unwrap_err();
    assert_eq!(safe.to_string(), "attic/safe: attic refused: a member may not read it; only owners of the group may");
    assert_eq!(a.pool.read(a.thing("safe")).await, Ok(reading(20)), "a device may do all with its own");
}

/// Right after pairing a device is there before its description is.
#[tokio::test(start_paused = true)]
async fn a_resource_that_is_not_described_yet_is_driven_under_a_lease_too() {
    let hub = world::Hub::new();
    hub.quiet.store(true, Ordering::Relaxed);
    let a = world::device(&hub, 1, "attic", tutti_model::Role::Owner).await;
    let b = world::device(&hub, 2, "bath", tutti_model::Role::Member).await;
    let lamp = b.thing("lamp");
    let mut catalogues = a.pool.catalogues();
    let online = |catalogue: &Arc<crate::Catalogue>| {
        catalogue.devices.get(&b.id).is_some_and(|entry| entry.presence == crate::Presence::Online)
    };
    tokio::time::timeout(Duration::from_secs(5), catalogues.wait_for(online)).await.unwrap().unwrap();
    assert!(a.pool.catalogue().resource(&lamp).is_none(), "it is described already");
    assert!(a.pool.control(lamp, Value::Bool(true)).await.unwrap().is_some());
    assert!(b.house.writes.lock().unwrap().pop().is_some_and(|(_, caller)| caller.token.is_some()));
}

#[tokio::test(start_paused = true)]
async fn errors_name_the_device_and_the_reason() {
    let (hub, a, b) = pair().await;
    let nothing = a.pool.read(b.thing("nothing")).await.unwrap_err();
    assert_eq!(nothing.to_string(), "bath/nothing: bath refused: it offers nothing by this name");
    hub.unplugged.send_modify(|gone| gone.push(b.id));
    tokio::time::sleep(Duration::from_millis(10)).await;
    let offline = a.pool.read(b.thing("warmth")).await.unwrap_err();
    assert_eq!(
        offline.to_string(),
        "bath/warmth: bath cannot be reached now; check that it is switched on and on the network"
    );
    let stranger = ResourceId { device: DeviceId::from_bytes([9; 32]), name: name("x") };
    assert_eq!(a.pool.read(stranger).await, Err(PoolError::UnknownDevice(stranger.device)));
    a.pool.stop().await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(a.pool.read(a.thing("warmth")).await, Err(PoolError::Stopped));
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_kept_while_it_is_used_and_given_back() {
    let (_hub, a, b) = pair().await;
    let lamp = b.thing("lamp");
    let holding = a.pool.hold(lamp, LeaseMode::Exclusive, Duration::from_secs(3)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(holding.is_held(), "renewed by itself");
    let refused = b.pool.acquire(lamp, LeaseMode::Exclusive, Duration::from_secs(3), false).await.unwrap_err();
    let PoolError::Refused { why: Refusal::HeldBy { holder, .. }, .. } = refused else { panic!("{refused}") };
    assert_eq!(holder, a.id);
    let known = b.pool.leases().known.clone();
    assert_eq!(known.first().map(|known| (known.lease, known.holder)), Some((holding.id(), a.id)));
    drop(holding);
    tokio::time::sleep(Duration::from_millis(100)).await;
    b.pool.acquire(lamp, LeaseMode::Exclusive, Duration::from_secs(3), false).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lease_moves_to_another_device_by_hand_over() {
    let (_hub, a, b) = pair().await;
    let lamp = b.thing("lamp");
    let held = a.pool.acquire(lamp, LeaseMode::Exclusive, Duration::from_secs(30), false).await.unwrap();
    let early = a.pool.hand_over(held.lease).await;
    assert_eq!(early.unwrap_err(), PoolError::NotReserved(held.lease));
    a.pool.reserve(held.lease, b.id).await.unwrap();
    let word = a.pool.hand_over(held.lease).await.unwrap();
    assert!(!a.pool.holds(&held.lease));
    let taken = b.pool.take(word, Duration::from_secs(30), false).await.unwrap();
    assert!(taken.lease.token > held.lease.token);
    assert!(b.pool.holds(&taken.lease));
    let late = a.pool.write(lamp, Value::Bool(true), Some(held.lease.token)).await;
    assert_eq!(late, Err(PoolError::NotHeld(held.lease)));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_nobody_waited_for_is_given_back() {
    let (_hub, a, b) = pair().await;
    let lamp = b.thing("lamp");
    let impatient = a.pool.acquire(lamp, LeaseMode::Exclusive, Duration::from_secs(60), true);
    assert!(tokio::time::timeout(Duration::ZERO, impatient).await.is_err());
    tokio::time::sleep(Duration::from_secs(1)).await;
    b.pool.acquire(lamp, LeaseMode::Exclusive, Duration::from_secs(3), false).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_write_under_way_is_stopped_when_its_device_is_forgotten() {
    let (hub, a, b) = pair().await;
    let lamp = a.thing("lamp");
    b.pool.acquire(lamp, LeaseMode::Exclusive, Duration::from_secs(60), false).await.unwrap();
    a.house.writes_take.store(3_000, Ordering::SeqCst);
    let writer = b.pool.clone();
    let writing = tokio::spawn(async move { writer.write(lamp, Value::Bool(true), None).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut readings = b.pool.follow(a.thing("warmth"), Duration::ZERO).await.unwrap();
    assert_eq!(readings.next().await, Some(Ok(reading(20))));
    // Only the attic has heard of it so far.
    hub.members.send_if_modified(|members| members.remove(&b.id).is_some());
    assert!(writing.await.unwrap().is_err());
    assert!(readings.next().await.unwrap().is_err(), "streams are cut");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(a.house.writes.lock().unwrap().is_empty());
    assert!(b.pool.read(a.thing("warmth")).await.is_err());
    assert!(a.pool.read(b.thing("warmth")).await.is_err());
    assert_eq!(a.pool.catalogue().devices.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_follows_slowly_gets_the_latest() {
    let (_hub, a, b) = pair().await;
    for owner in [&b, &a] {
        owner.house.warmth.send_replace(Some(reading(20)));
        let mut readings = a.pool.follow(owner.thing("warmth"), Duration::from_secs(1)).await.unwrap();
        assert_eq!(readings.next().await, Some(Ok(reading(20))));
        for count in 0..5_000 {
            owner.house.warmth.send_replace(Some(reading(count)));
            if count % 100 == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(readings.next().await, Some(Ok(reading(4_999))));
    }
}

#[tokio::test(start_paused = true)]
async fn stored_bytes_come_back_whole_or_not_at_all() {
    let (_hub, a, b) = pair().await;
    let big: Vec<u8> = (0..300_000_u32).map(|i| i as u8).collect();
    let path = |text: &str| StoragePath::new(text).unwrap();
    for owner in [&b, &a] {
        let disk = owner.thing("disk");
        a.pool.put(disk, path("a/big"), Some(big.len() as u64), &mut big.as_slice()).await.unwrap();
        a.pool.put(disk, path("a/empty"), None, &mut [].as_slice()).await.unwrap();
        let mut download = a.pool.get(disk, path("a/big")).await.unwrap();
        let mut back = Vec::new();
        download.read_to_end(&mut back).await.unwrap();
        assert!(back == big);
        let listing = a.pool.list(disk, "a/").await.unwrap();
        let paths: Vec<_> = listing.entries.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!((paths, listing.usage.used), (vec!["a/big", "a/empty"], 300_000));

        // Fewer bytes than promised, more, too many for the quota, and a caller that gives up half way.
        let short = a.pool.put(disk, path("b"), Some(5), &mut b"1234".as_slice()).await;
        assert!(matches!(short, Err(PoolError::Refused { why: Refusal::Malformed, .. })), "{short:?}");
        let long = a.pool.put(disk, path("b"), Some(3), &mut b"1234".as_slice()).await;
        assert!(matches!(long, Err(PoolError::Refused { why: Refusal::TooLarge { max: 3 }, .. })), "{long:?}");
        let huge = vec![0; 2_000_000];
        let full = a.pool.put(disk, path("b"), None, &mut huge.as_slice()).await;
        assert!(matches!(full, Err(PoolError::Refused { why: Refusal::NoSpace { .. }, .. })), "{full:?}");
        let (mut half, mut reader) = tokio::io::duplex(100);
        half.write_all(b"some").await.unwrap();
        let gave_up = tokio::time::timeout(Duration::from_secs(1), a.pool.put(disk, path("b"), None, &mut reader));
        assert!(gave_up.await.is_err());
        tokio::time::sleep(Duration::from_millis(100)).await;

        let missing = a.pool.get(disk, path("b")).await.unwrap_err();
        assert!(matches!(missing, PoolError::Refused { why: Refusal::NotFound, .. }), "{missing}");
        a.pool.delete(disk, path("a/big")).await.unwrap();
        assert_eq!(a.pool.list(disk, "").await.unwrap().entries.len(), 1);
        let sensor = a.pool.list(owner.thing("warmth"), "").await.unwrap_err();
        assert!(matches!(sensor, PoolError::Refused { why: Refusal::Unsupported, .. }), "{sensor}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_resource_times_out_by_name() {
    let (_hub, a, b) = pair().await;
    a.house.writes_take.store(60_000, Ordering::SeqCst);
    b.pool.acquire(a.thing("lamp"), LeaseMode::Exclusive, Duration::from_secs(60), false).await.unwrap();
    let slow = b.pool.write(a.thing("lamp"), Value::Bool(true), None).await.unwrap_err();
    assert_eq!(slow.to_string(), "attic/lamp: attic refused: the resource did not answer its device in time");
}

#[tokio::test(start_paused = true)]
async fn what_is_offered_and_called_shows_everywhere() {
    let (_hub, a, b) = pair().await;
    b.pool.rename(name("bathroom")).await.unwrap();
    b.house.offers.send_modify(|offers| drop(Arc::make_mut(offers).pop()));
    let mut catalogues = a.pool.catalogues();
    let shown = |catalogue: &Arc<crate::Catalogue>| {
        let entry = catalogue.device(b.id);
        entry.is_some_and(|entry| entry.name == name("bathroom") && entry.resources().len() == 3)
    };
    tokio::time::timeout(Duration::from_secs(5), catalogues.wait_for(shown)).await.unwrap().unwrap();
}
