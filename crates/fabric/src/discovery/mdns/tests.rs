//! Real daemons: two on this machine, and two hosts in network namespaces.

use tutti_model::Name;

use super::*;
use crate::discovery;

fn id(seed: u8) -> DeviceId {
    DeviceId::from_bytes([seed; 32])
}

fn announcement(seed: u8, name: &str) -> Announcement {
    Announcement { device: id(seed), name: Name::new(name).unwrap(), port: 4000 + u16::from(seed), pairing_open: false }
}

/// A port for multicast DNS that no other test and no other program uses.
fn config() -> MdnsConfig {
    let port = std::net::UdpSocket::bind("0.0.0.0:0").unwrap().local_addr().unwrap().port();
    MdnsConfig { port, loopback: true }
}

async fn until(
    events: &mut mpsc::Receiver<DiscoveryEvent>,
    wanted: impl Fn(&DiscoveryEvent) -> bool,
) -> DiscoveryEvent {
    let wait = async {
        loop {
            let event = events.recv().await.expect("the source ended");
            if wanted(&event) {
                return event;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("nothing happened")
}

fn found(event: &DiscoveryEvent, seed: u8, check: impl Fn(&crate::Nearby) -> bool) -> bool {
    matches!(event, DiscoveryEvent::Found(nearby) if nearby.device == id(seed) && check(nearby))
}

#[tokio::test]
async fn two_devices_see_each_other_change_and_go() {
    let config = config();
    let (sender_a, mut seen_by_a) = discovery::channel();
    let (sender_b, mut seen_by_b) = discovery::channel();
    let a = Mdns::start(config.clone(), announcement(1, "kitchen"), sender_a).unwrap();
    let b = Mdns::start(config, announcement(2, &"x".repeat(63)), sender_b).unwrap();
    until(&mut seen_by_a, |event| found(event, 2, |nearby| nearby.name.as_str() == "x".repeat(63))).await;
    until(&mut seen_by_b, |event| found(event, 1, |nearby| nearby.name.as_str() == "kitchen")).await;

    a.announce(Announcement { pairing_open: true, ..announcement(1, "kitchen") }).unwrap();
    let event = until(&mut seen_by_b, |event| found(event, 1, |nearby| nearby.pairing_open)).await;
    let DiscoveryEvent::Found(nearby) = event else { panic!() };
    assert_eq!(nearby.source, Source::Mdns);
    assert!(!nearby.addrs.is_empty() && nearby.addrs.iter().all(|addr| addr.port() == 4001), "{:?}", nearby.addrs);

    a.announce(announcement(1, "hall")).unwrap();
    until(&mut seen_by_b, |event| found(event, 1, |nearby| nearby.name.as_str() == "hall" && !nearby.pairing_open))
        .await;

    let started = Instant::now();
    a.shutdown().await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    until(&mut seen_by_b, |event| *event == DiscoveryEvent::Lost { device: id(1), source: Source::Mdns }).await;
    assert!(seen_by_a.recv().await.is_none() || seen_by_a.is_closed(), "the thread ended");
    b.shutdown().await;
}

#[tokio::test]
async fn who_does_not_listen_any_more_ends_it() {
    let (sender, events) = discovery::channel();
    let mdns = Mdns::start(config(), announcement(1, "kitchen"), sender).unwrap();
    drop(events);
    mdns.seek(true);
    mdns.trust([id(2)]);
    mdns.verify(id(2));
    let started = Instant::now();
    mdns.shutdown().await;
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_flood_of_invented_devices_is_heard_and_counted_and_the_real_one_stays() {
    let config = config();
    let (sender_a, mut seen_by_a) = discovery::channel();
    let a = Mdns::start(config.clone(), announcement(1, "kitchen"), sender_a).unwrap();
    a.trust([id(2)]);
    let (sender_b, _seen_by_b) = discovery::channel();
    let _b = Mdns::start(config.clone(), announcement(2, "hall"), sender_b).unwrap();
    until(&mut seen_by_a, |event| found(event, 2, |_| true)).await;

    // More than fits in the queues, and nobody reads meanwhile. The bound itself is tested with the table.
    let liar = ServiceDaemon::new_with_port(config.port).unwrap();
    let count = 400;
    for n in 0..count {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&u64::to_le_bytes(n));
        let lie = Announcement { device: DeviceId::from_bytes(bytes), ..announcement(3, "liar") };
        while announce(&liar, &lie).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let mut known = BTreeSet::new();
    let deadline = Instant::now() + Duration::from_secs(4);
    while Instant::now() < deadline && known.len() < count as usize {
        match tokio::time::timeout(Duration::from_millis(100), seen_by_a.recv()).await {
            Ok(Some(DiscoveryEvent::Found(nearby))) => drop(known.insert(nearby.device)),
            Ok(Some(DiscoveryEvent::Lost { device, .. })) => drop(known.remove(&device)),
            Ok(None) => panic!("the source ended"),
            Err(_) => {}
        }
        assert!(known.len() <= discovery::MAX_DEVICES);
    }
    assert!(known.len() > discovery::EVENT_QUEUE, "{}", known.len());
    assert_eq!(a.shared.lock().table.keys_of(id(2)).count(), 1, "the trusted one is still there");
    let cached = cached_records(&a.shared.lock().daemon.clone());
    assert!((400..MAX_CACHED).contains(&cached), "{cached}");
    let _ = liar.shutdown();
}

#[tokio::test]
async fn starting_over_finds_everybody_again() {
    let config = config();
    let (sender_a, mut seen_by_a) = discovery::channel();
    let (sender_b, mut seen_by_b) = discovery::channel();
    let a = Mdns::start(config.clone(), announcement(1, "kitchen"), sender_a).unwrap();
    let b = Mdns::start(config.clone(), announcement(2, "hall"), sender_b).unwrap();
    until(&mut seen_by_a, |event| found(event, 2, |_| true)).await;
    until(&mut seen_by_b, |event| found(event, 1, |_| true)).await;
    a.shared.lock().housekeeping(&config, MAX_CACHED + 1);
    b.announce(announcement(2, "cellar")).unwrap();
    until(&mut seen_by_a, |event| found(event, 2, |nearby| nearby.name.as_str() == "cellar")).await;
    a.announce(announcement(1, "attic")).unwrap();
    until(&mut seen_by_b, |event| found(event, 1, |nearby| nearby.name.as_str() == "attic")).await;
}
