//! The fabric's promises on a simulated network, in virtual time.
#![cfg(feature = "sim")]

use std::{collections::BTreeSet, time::Duration};

use bytes::Bytes;
use rand::{Rng, RngExt, SeedableRng, rngs::SmallRng};
use tutti_fabric::{
    service::{FabricError, Incoming, MAX_MESSAGE, Service},
    testing::{SimDevice, all_see_each_other, seeds, start_all},
    transport::{
        Priority,
        sim::{Conditions, SimNet},
    },
    view::View,
};
use tutti_model::{DeviceId, ProtocolVersion, Role, VersionRange};

const S: fn(u64) -> Duration = Duration::from_secs;

fn has_session(device: DeviceId) -> impl Fn(&View) -> bool {
    move |view| view.peers.get(&device).is_some_and(|peer| peer.session.is_some())
}

fn has_none(device: DeviceId) -> impl Fn(&View) -> bool {
    move |view| view.peers.get(&device).is_none_or(|peer| peer.session.is_none())
}

#[tokio::test(start_paused = true)]
async fn a_lost_device_is_noticed_and_a_returned_one_is_back_within_three_seconds() {
    for seed in seeds(8) {
        let net = SimNet::new(seed);
        net.set_default(Conditions::wireless());
        let mut devices = SimDevice::group_of(&net, 3, Role::Member);
        start_all(&mut devices).await;
        all_see_each_other(&devices, S(3)).await;
        // Long enough for the addresses of the others to be on its disk.
        tokio::time::sleep(S(11)).await;
        let lost = devices[2].id;
        devices[2].crash().await;
        for device in &devices[..2] {
            device.wait_for(S(3), "the crash", has_none(lost)).await;
        }
        tokio::time::sleep(S(seed * 7)).await;
        if seed % 2 == 0 {
            devices[2].addr.set_port(5000);
        }
        devices[2].start().await;
        for device in &devices[..2] {
            device.wait_for(S(3), "the return", has_session(lost)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_bear_a_lossy_network() {
    for seed in seeds(3) {
        let net = SimNet::new(seed);
        net.set_default(Conditions::default().with_loss(0.1));
        let mut devices = SimDevice::group_of(&net, 3, Role::Member);
        start_all(&mut devices).await;
        all_see_each_other(&devices, S(5)).await;
        tokio::time::sleep(S(5)).await;
        let generations = |device: &SimDevice| -> Vec<_> {
            device.view().peers.values().map(|peer| peer.session.as_ref().map(|s| s.generation)).collect()
        };
        let before: Vec<_> = devices.iter().map(generations).collect();
        tokio::time::sleep(S(600)).await;
        let after: Vec<_> = devices.iter().map(generations).collect();
        assert_eq!(before, after, "seed {seed}: a session broke within ten minutes of 10 % loss");
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_forgotten_during_a_cut_is_refused_by_the_one_that_returns() {
    for seed in seeds(4) {
        let net = SimNet::new(seed);
        let mut devices = SimDevice::group_of(&net, 3, Role::Member);
        start_all(&mut devices).await;
        all_see_each_other(&devices, S(3)).await;
        let [a, b, c] = [devices[0].id, devices[1].id, devices[2].id];
        net.isolate(c);
        tokio::time::sleep(S(5)).await;
        devices[0].fabric().forget(b).await.unwrap();
        devices[1].wait_for(S(1), "that it was removed", |view| view.removed.as_ref().is_some_and(|r| r.by == a)).await;
        assert!(devices[1].view().group.is_alone());
        tokio::time::sleep(S(25)).await;
        net.heal();
        devices[2].wait_for(S(3), "the owner again", has_session(a)).await;
        devices[2].wait_for(S(1), "the removal", |view| view.group.role_of(b).is_none()).await;
        assert!(devices[2].fabric().session_with(b).is_none(), "seed {seed}: still connected");
        let asked = devices[1].fabric().request(c, Service::TEST, Priority::Interactive, Bytes::new(), S(5)).await;
        assert_eq!(asked, Err(FabricError::NotAMember));
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_added_while_another_was_away_proves_itself_to_it() {
    let net = SimNet::new(1);
    let mut devices = SimDevice::group_of(&net, 3, Role::Member);
    // The third knows only an older history, without the second.
    let mut old = SimDevice::group_of(&net, 1, Role::Member).remove(0);
    old.start().await;
    let wall = tutti_model::WallTime::default();
    let mut group = tutti_fabric::group::Group::found(&devices[0].key, devices[0].name, [0; 16], wall);
    group.add(&devices[0].key, devices[2].id, Role::Member, devices[2].name, [2; 16], wall).unwrap();
    use tutti_fabric::store::Store;
    devices[2].store.save("group", &group.encode()).unwrap();
    let mut newer = group.clone();
    newer.add(&devices[0].key, devices[1].id, Role::Member, devices[1].name, [3; 16], wall).unwrap();
    devices[1].store.save("group", &newer.encode()).unwrap();
    old.stop().await;
    devices[1].start().await;
    devices[2].start().await;
    devices[1].meet(&devices);
    devices[2].wait_for(S(3), "the newcomer", has_session(devices[1].id)).await;
}

#[tokio::test(start_paused = true)]
async fn neighbouring_versions_talk_and_distant_ones_say_why_not() {
    let net = SimNet::new(1);
    let mut devices = SimDevice::group_of(&net, 3, Role::Member);
    let only = |version| VersionRange { min: ProtocolVersion(version), max: ProtocolVersion(version) };
    devices[1].versions = only(ProtocolVersion::PREVIOUS.0);
    devices[2].versions = only(ProtocolVersion::CURRENT.0 + 1);
    start_all(&mut devices).await;
    let [old, new] = [devices[1].id, devices[2].id];
    devices[0].wait_for(S(3), "the older device", has_session(old)).await;
    let version = devices[0].view().peers[&old].session.as_ref().unwrap().version;
    assert_eq!(version, ProtocolVersion::PREVIOUS);
    devices[0]
        .wait_for(S(5), "why not", |view| {
            let trouble = view.peers[&new].trouble.as_ref().map(ToString::to_string);
            trouble.is_some_and(|why| why.contains("no protocol version in common"))
        })
        .await;
    assert!(!devices[0].sees(new));
}

#[tokio::test(start_paused = true)]
async fn requests_notices_and_streams() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let net = SimNet::new(1);
    let mut devices = SimDevice::group_of(&net, 2, Role::Member);
    start_all(&mut devices).await;
    all_see_each_other(&devices, S(3)).await;
    let mut served = devices[1].fabric().serve(Service::TEST);
    let (noticed_in, mut noticed) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        while let Some(incoming) = served.recv().await {
            match incoming {
                Incoming::Request { body, reply, .. } => match body.as_ref() {
                    b"nothing" => drop(reply),
                    b"late" => std::mem::forget(reply),
                    b"too much" => reply.send(vec![0; MAX_MESSAGE + 1].into()),
                    _ => reply.send(body),
                },
                Incoming::Notice { body, .. } => noticed_in.send(body).await.unwrap(),
                Incoming::Stream { header, mut channel, .. } => {
                    tokio::spawn(async move {
                        channel.send.write_all(&header).await.unwrap();
                        tokio::io::copy(&mut channel.recv, &mut channel.send).await.unwrap();
                        channel.send.shutdown().await.unwrap();
                    });
                }
            }
        }
    });
    let fabric = devices[0].fabric();
    let to = devices[1].id;
    let ask = |body: Bytes| fabric.request(to, Service::TEST, Priority::Interactive, body, S(10));
    assert_eq!(ask(Bytes::from_static(b"echo")).await.unwrap(), "echo");
    assert_eq!(ask(Bytes::new()).await.unwrap(), "");
    assert_eq!(ask(vec![7; MAX_MESSAGE].into()).await.unwrap(), vec![7; MAX_MESSAGE]);
    assert_eq!(ask(vec![7; MAX_MESSAGE + 1].into()).await, Err(FabricError::TooLarge { max: MAX_MESSAGE }));
    assert_eq!(ask(Bytes::from_static(b"nothing")).await, Err(FabricError::NoAnswer));
    assert_eq!(ask(Bytes::from_static(b"too much")).await, Err(FabricError::NoAnswer));
    assert_eq!(ask(Bytes::from_static(b"late")).await, Err(FabricError::TimedOut));
    let elsewhere = fabric.request(to, Service(77), Priority::Bulk, Bytes::new(), S(10)).await;
    assert_eq!(elsewhere, Err(FabricError::NoSuchService));
    let nobody = DeviceId::from_bytes([9; 32]);
    let stranger = fabric.request(nobody, Service::TEST, Priority::Bulk, Bytes::new(), S(10)).await;
    assert_eq!(stranger, Err(FabricError::NotAMember));
    fabric.notify(to, Service::TEST, Priority::Interactive, Bytes::from_static(b"hear")).await.unwrap();
    assert_eq!(noticed.recv().await.unwrap(), "hear");
    let mut channel = fabric.open_stream(to, Service::TEST, Priority::Bulk, Bytes::from_static(b"head")).await.unwrap();
    let sent = vec![5; 3 << 20];
    let (mut send, expected) = (channel.send, sent.clone());
    let writer = tokio::spawn(async move {
        send.write_all(&sent).await.unwrap();
        send.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    channel.recv.read_to_end(&mut received).await.unwrap();
    writer.await.unwrap();
    assert_eq!(received[..4], *b"head");
    assert!(received[4..] == expected);
    devices[1].crash().await;
    let fabric = devices[0].fabric();
    let under_way = fabric.request(to, Service::TEST, Priority::Interactive, Bytes::new(), S(10)).await;
    assert_eq!(under_way, Err(FabricError::Lost("it fell silent".into())));
    devices[0].wait_for(S(3), "the crash", has_none(to)).await;
    let gone = fabric.request(to, Service::TEST, Priority::Interactive, Bytes::new(), S(10)).await;
    assert!(matches!(gone, Err(FabricError::NotConnected(_))), "{gone:?}");
}

#[tokio::test(start_paused = true)]
async fn what_a_forgotten_device_still_says_is_not_heard() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let net = SimNet::new(1);
    let mut devices = SimDevice::group_of(&net, 2, Role::Member);
    start_all(&mut devices).await;
    all_see_each_other(&devices, S(3)).await;
    let mut served = devices[1].fabric().serve(Service::TEST);
    tokio::spawn(async move {
        while let Some(incoming) = served.recv().await {
            match incoming {
                Incoming::Stream { mut channel, .. } => {
                    tokio::spawn(async move { while channel.send.write_all(&[1; 1000]).await.is_ok() {} });
                }
                Incoming::Request { body, reply, .. } => {
                    tokio::spawn(async move {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        reply.send(body);
                    });
                }
                Incoming::Notice { .. } => {}
            }
        }
    });
    let (fabric, to) = (devices[0].fabric().clone(), devices[1].id);
    let mut channel = fabric.open_stream(to, Service::TEST, Priority::Bulk, Bytes::new()).await.unwrap();
    let mut some = [0; 5000];
    channel.recv.read_exact(&mut some).await.unwrap();
    let asking = {
        let fabric = fabric.clone();
        let body = Bytes::from_static(b"late");
        tokio::spawn(async move { fabric.request(to, Service::TEST, Priority::Interactive, body, S(1)).await })
    };
    tokio::time::sleep(Duration::from_millis(15)).await;
    fabric.forget(to).await.unwrap();
    let more = channel.recv.read(&mut some).await;
    assert_eq!(more.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionReset));
    let more = channel.send.write(&some).await;
    assert_eq!(more.map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionReset));
    assert_eq!(asking.await.unwrap(), Err(FabricError::NotAMember));
}

/// Random partitions, crashes, restarts and changes of the group; then everything heals, and all members must see
/// the same group and each other.
#[tokio::test(start_paused = true)]
async fn after_any_troubles_all_members_agree() {
    for seed in seeds(8) {
        let mut rng = SmallRng::seed_from_u64(seed);
        let net = SimNet::new(seed);
        net.set_default(Conditions::wireless());
        let count = rng.random_range(3..7u8);
        let mut devices = SimDevice::group_of(&net, count, Role::Owner);
        start_all(&mut devices).await;
        for _ in 0..rng.random_range(5..25) {
            trouble(&net, &mut devices, &mut rng).await;
            tokio::time::sleep(Duration::from_millis(rng.random_range(1..4000))).await;
        }
        net.heal();
        for device in &mut devices {
            if !device.is_on() {
                device.start().await;
            }
        }
        for device in &devices {
            device.meet(&devices);
        }
        tokio::time::sleep(S(10)).await;
        let groups: BTreeSet<_> = devices.iter().map(|device| device.view().group.id).collect();
        for id in groups {
            let members: Vec<&SimDevice> = devices.iter().filter(|device| device.view().group.id == id).collect();
            let first = &members[0].view().group.members;
            for device in &members {
                assert_eq!(&device.view().group.members, first, "seed {seed}: {} disagrees", device.name);
                for other in members.iter().filter(|other| other.id != device.id) {
                    let peer = device.view().peers.get(&other.id).cloned();
                    let seen = peer.as_ref().is_some_and(|peer| peer.session.is_some());
                    assert!(seen, "seed {seed}: {} does not see {}: {peer:?}", device.name, other.name);
                }
            }
        }
    }
}

async fn trouble(net: &SimNet, devices: &mut [SimDevice], rng: &mut SmallRng) {
    let pick = |rng: &mut SmallRng| rng.random_range(0..devices.len());
    let (one, other) = (pick(rng), pick(rng));
    match rng.random_range(0..7) {
        0 => net.isolate(devices[one].id),
        1 => net.heal(),
        2 => {
            let left: Vec<DeviceId> = devices.iter().map(|device| device.id).filter(|_| rng.random_bool(0.5)).collect();
            net.partition(&[&left]);
        }
        3 => devices[one].crash().await,
        4 if !devices[one].is_on() => devices[one].start().await,
        5 if devices[one].is_on() => {
            // It may be refused by the rules, which is as good.
            let _ = devices[one].fabric().forget(devices[other].id).await;
        }
        6 if devices[one].is_on() => {
            let role = [Role::Guest, Role::Member, Role::Owner][rng.random_range(0..3)];
            let _ = devices[one].fabric().set_role(devices[other].id, role).await;
        }
        _ => {}
    }
    let _ = rng.next_u64();
}
