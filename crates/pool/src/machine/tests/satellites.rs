//! Devices that are behind this one, or behind another.

use super::*;
use crate::{catalogue::Presence, io::Satellite};

const THING: DeviceId = DeviceId::from_bytes([77; 32]);

fn thing(called: &str) -> Satellite {
    let identity = Identity { name: name(called), ..setup(9, BTreeMap::new()).identity };
    Satellite { device: THING, identity, resources: resources() }
}

fn its(resource: &str) -> ResourceId {
    ResourceId { device: THING, name: name(resource) }
}

/// Gives the host's notices to the other as they are.
fn pass(from: &mut Node, from_number: u8, to: &mut Node, to_number: u8) {
    from.wait(Duration::from_millis(300));
    for notice in from.notices(to_number) {
        tell(to, from_number, &notice);
    }
}

/// Device 1, which hosts, and device 2.
fn host_and_user() -> (Node, Node) {
    let (mut host, mut user) = (Node::new(1), Node::new(2));
    host.up(2, 2);
    user.up(1, 2);
    host.give(Input::Satellites(vec![thing("sensor-board")]));
    pass(&mut host, 1, &mut user, 2);
    (host, user)
}

#[test]
fn a_satellite_is_there_with_its_host_and_gone_when_the_host_says_so() {
    let (mut host, mut user) = host_and_user();
    for node in [&host, &user] {
        let catalogue = node.pool.catalogue();
        let entry = catalogue.device(THING).expect("it is there");
        let expected = (name("sensor-board"), Some(id(1)), Presence::Online, 3, None);
        assert_eq!((entry.name, entry.via, entry.presence, entry.resources().len(), entry.role), expected);
    }
    let old: Vec<Notice> = {
        let record = user.pool.records.get(&crate::catalogue::Key { device: THING, via: Some(id(1)) }).unwrap();
        vec![Notice::Record(record.record.signed().clone())]
    };
    host.give(Input::Satellites(vec![]));
    pass(&mut host, 1, &mut user, 2);
    for node in [&host, &user] {
        assert!(node.pool.catalogue().device(THING).is_none(), "it is gone");
    }
    // What a third device, or this one's memory, still says of it does not bring it back.
    for notice in &old {
        tell(&mut user, 3, notice);
        tell(&mut host, 2, notice);
    }
    assert!(user.pool.catalogue().device(THING).is_none() && host.pool.catalogue().device(THING).is_none());
    // It comes back as another one.
    host.give(Input::Satellites(vec![thing("again")]));
    pass(&mut host, 1, &mut user, 2);
    assert_eq!(user.pool.catalogue().device(THING).unwrap().name, name("again"));
    for notice in &old {
        tell(&mut user, 3, notice);
    }
    assert_eq!(user.pool.catalogue().device(THING).unwrap().name, name("again"), "the newer word counts");
}

#[test]
fn the_records_may_come_in_any_order() {
    let mut host = Node::new(1);
    host.up(2, 2);
    host.give(Input::Satellites(vec![thing("board")]));
    host.wait(Duration::from_millis(300));
    let notices = host.notices(2);
    for backwards in [false, true] {
        let mut user = Node::new(2);
        user.up(1, 2);
        let mut notices: Vec<&Notice> = notices.iter().collect();
        if backwards {
            notices.reverse();
        }
        notices.into_iter().for_each(|notice| tell(&mut user, 1, notice));
        assert!(user.pool.catalogue().device(THING).is_some(), "backwards: {backwards}");
    }
}

#[test]
fn a_host_that_restarts_says_that_there_is_none_before_anything_else() {
    let mut saved = BTreeMap::new();
    let (mut host, mut user) = host_and_user();
    for output in host.out.drain(..) {
        if let Output::Persist { key, bytes, .. } = output {
            saved.insert(key, bytes);
        }
    }
    let pool = Pool::new(host.now, WallTime::default(), setup(1, saved), group(&EVERYBODY)).unwrap();
    let mut host = Node { pool, now: host.now, out: vec![], calls: 0 };
    host.collect(true);
    host.up(2, 2);
    assert!(host.pool.catalogue().device(THING).is_none());
    user.give(Input::PeerUp { device: id(1), version: ProtocolVersion(2), generation: 2 });
    // Both say what they have, and then what the other lacks.
    for _ in 0..2 {
        pass(&mut host, 1, &mut user, 2);
        pass(&mut user, 2, &mut host, 1);
    }
    assert!(user.pool.catalogue().device(THING).is_none());
}

#[test]
fn its_host_answers_for_it_under_the_same_rules() {
    let (mut host, mut user) = host_and_user();
    // A reading: the user asks the host, which asks the satellite.
    let call = command(&mut user, Command::Read(its("warmth")));
    let asked = user.out.iter().any(|out| matches!(out, Output::Request { to, .. } if *to == id(1)));
    assert!(asked, "the host is asked: {:?}", user.out);
    let at = user.out.iter().position(|out| matches!(out, Output::Request { .. })).unwrap();
    let Output::Request { id: request, bytes, .. } = user.out.remove(at) else { unreachable!() };
    host.give(Input::Request { call: CallId(900), from: id(2), bytes });
    let performed = host.out.iter().find_map(|out| match out {
        Output::Perform { id, resource, .. } => Some((*id, *resource)),
        _ => None,
    });
    let (perform, resource) = performed.expect("it is performed");
    assert_eq!(resource, its("warmth"));
    let reading = Reading { value: Value::Int(21), at: WallTime::default() };
    host.give(Input::Performed { id: perform, result: Ok(Performed::Reading(reading.clone())) });
    let at = host.out.iter().position(|out| matches!(out, Output::Reply { call: CallId(900), .. })).unwrap();
    let Output::Reply { bytes, .. } = host.out.remove(at) else { unreachable!() };
    user.give(Input::Response { id: request, result: Ok(bytes) });
    assert_eq!(outcome(&mut user, call), Some(Ok(Answer::Reading(reading))));

    // The lamp of the satellite needs a lease of its own: the host's lamp of that name is another.
    let refused = |node: &mut Node, resource| {
        let write = Write { resource, value: Value::Bool(true), token: None };
        refusal(node.request(2, &Request::Write(write)))
    };
    assert_eq!(refused(&mut host, its("lamp")), Refusal::LeaseNeeded);
    let duration = Duration::from_secs(10);
    let ask = |resource, count| {
        let nonce = Nonce { run: 7, count };
        Request::LeaseRequest(LeaseRequest { resource, mode: LeaseMode::Exclusive, duration, nonce })
    };
    let token = lease(host.request(2, &ask(its("lamp"), 1)));
    lease(host.request(3, &ask(lamp(1), 1)));
    let write = |resource| Request::Write(Write { resource, value: Value::Bool(true), token: Some(token) });
    assert_eq!(host.request(2, &write(its("lamp"))), None, "it is under way");
    assert!(matches!(refusal(host.request(2, &write(lamp(1)))), Refusal::StaleToken | Refusal::Superseded { .. }));
    // A guest may not, nor does anybody reach what is not there.
    let guest = host.request(4, &Request::Read(Read { resource: its("warmth") }));
    assert!(matches!(refusal(guest), Refusal::NotAllowed { .. }));
    assert_eq!(refused(&mut host, its("nothing")), Refusal::NoSuchResource);

    // When it goes, what runs is cut, and requests are refused.
    host.give(Input::Satellites(vec![]));
    assert_eq!(host.cuts().len(), 1);
    assert_eq!(refused(&mut host, its("lamp")), Refusal::NoSuchResource);
}

#[test]
fn a_lease_on_its_resource_ends_with_it_and_survives_a_restart_of_its_host() {
    let (mut host, mut user) = host_and_user();
    let wish = Command::Acquire {
        resource: its("lamp"),
        mode: LeaseMode::Exclusive,
        duration: Duration::from_secs(30),
        renewed: false,
    };
    let call = command(&mut user, wish);
    talk(&mut user, &mut host);
    let Some(Ok(Answer::Lease(held))) = outcome(&mut user, call) else { panic!("not granted") };
    let saved = host.out.iter().rev().find_map(|out| match out {
        Output::Persist { key: grants::KEY, bytes, .. } => Some(bytes.clone()),
        _ => None,
    });
    let boot = BootId([1; 16]);
    let restored = OwnerLeases::restore(&saved.unwrap(), id(1), boot, host.now).unwrap();
    assert_eq!(restored.check(id(2), &(its("lamp"), held.lease.token)), Ok(()));
    assert_eq!(user.pool.held(user.now).len(), 1);
    host.give(Input::Satellites(vec![]));
    pass(&mut host, 1, &mut user, 2);
    assert!(user.pool.held(user.now).is_empty(), "nothing is held of what is gone");
}

#[test]
fn what_cannot_be_a_satellite_is_left_out() {
    let mut host = Node::new(1);
    let mut twice = thing("twice");
    twice.resources.push(twice.resources[0].clone());
    let myself = Satellite { device: id(1), ..thing("me") };
    let crowd = (0..80).map(|number| Satellite { device: DeviceId::from_bytes([100 + number; 32]), ..thing("one") });
    host.give(Input::Satellites([twice, myself].into_iter().chain(crowd).collect()));
    host.wait(Duration::from_secs(1));
    let catalogue = host.pool.catalogue();
    let behind = catalogue.devices.values().filter(|device| device.via.is_some()).count();
    assert_eq!(behind, crate::limits::MAX_SATELLITES_PER_HOST);
    assert!(catalogue.device(THING).is_none());
    assert_eq!(catalogue.device(id(1)).unwrap().name, name("device-1"));
}
