//! What happens when nobody interferes, and when something merely breaks.

use std::{cell::RefCell, rc::Rc, time::Duration};

use tutti_model::Role;

use super::{
    super::{
        AttemptEnd, Fault, FrameKind, HostInput, JoinError, Joined, JoinerInput, MAX_GROUP, MAX_TICKET_LIFE,
        OFFER_LIFE, OfferTerms, Outcome, Refusal,
        frame::{Challenge, Frame},
    },
    world::*,
};

fn joined() -> Joined {
    Joined { group: [0x66; 32], role: Role::Member, host: HOST, host_name: name("kitchen") }
}

#[test]
fn with_code_and_with_ticket() {
    for secret in [code(CODE), ticket()] {
        let mut world = World::open();
        let attempt = world.join(device(1), secret);
        assert_eq!(world.joined[&attempt], Ok(joined()));
        assert_eq!(world.stored[&attempt], group_with(device(1)).bytes);
        assert_eq!(world.members, [(device(1), name("garden-1"), Role::Member)]);
        assert_eq!(world.ended[&attempt], AttemptEnd::Paired);
        assert_eq!(world.finished, [Outcome::Paired(device(1), name("garden-1"))]);
        assert_eq!(world.host.status().unwrap().tries_left, 3, "the right code is no wrong try");
        assert!(world.disk.is_empty(), "no secrets stay on disk");
        assert_eq!(world.host.poll_timeout(), None);
        // One offer, one device.
        let late = world.join(device(2), ticket());
        assert_eq!(world.joined[&late], Err(JoinError::Taken));
    }
}

/// Every byte of a pairing with fixed randomness, both ways. A change here is a change of the protocol: it needs a
/// new version.
#[test]
fn pinned_run() {
    for (secret, expected) in [(code(CODE), "code"), (ticket(), "ticket")] {
        let said = Rc::new(RefCell::new(Vec::new()));
        let mut world = World::open();
        let log = Rc::clone(&said);
        world.wire = Box::new(move |way, _, bytes| {
            let way = if way == Way::ToHost { "joiner" } else { "host  " };
            log.borrow_mut().push(format!("{way} {}", data_encoding::HEXLOWER.encode(&bytes)));
            Some(bytes)
        });
        world.join(device(1), secret);
        insta::assert_snapshot!(format!("pinned_run_{expected}"), said.borrow().join("\n"));
    }
}

#[test]
fn bytes_may_come_one_by_one() {
    let mut world = World::open();
    let held = Rc::new(RefCell::new(Vec::new()));
    let hold = Rc::clone(&held);
    world.wire = Box::new(move |way, id, bytes| {
        hold.borrow_mut().extend(bytes.into_iter().map(|byte| (way, id, byte)));
        None
    });
    let attempt = world.join(device(1), code(CODE));
    while let Some((way, id, byte)) = {
        let mut held = held.borrow_mut();
        (!held.is_empty()).then(|| held.remove(0))
    } {
        match way {
            Way::ToHost => world.host_in(HostInput::Received { attempt: id, bytes: vec![byte] }),
            Way::ToJoiner => world.joiner_in(id, JoinerInput::Received(vec![byte])),
        }
    }
    assert_eq!(world.joined[&attempt], Ok(joined()));
    assert_eq!(world.ended[&attempt], AttemptEnd::Paired);
}

#[test]
fn a_wrong_code_is_told_counted_and_burnt() {
    let mut world = World::open();
    for left in [2, 1, 0] {
        let attempt = world.join(device(1), code(&format!("00000{left}")));
        assert_eq!(world.joined[&attempt], Err(JoinError::WrongCode { tries_left: Some(left) }));
        assert_eq!(world.ended[&attempt], AttemptEnd::GaveUp(Refusal::WrongCode));
        assert_eq!(world.host.status().unwrap().tries_left, left);
    }
    let right = world.join(device(1), code(CODE));
    assert_eq!(world.joined[&right], Err(JoinError::CodeDead));
    assert_eq!(world.joiner(device(1), code("000001")).err(), Some(JoinError::Burnt));
    // The ticket outlives the code.
    let with_ticket = world.join(device(1), ticket());
    assert_eq!(world.joined[&with_ticket], Ok(joined()));
}

#[test]
fn no_offer_expired_cancelled_and_a_foreign_ticket_are_told_apart() {
    let mut world = World::new();
    let none = world.join(device(1), code(CODE));
    assert_eq!(world.joined[&none], Err(JoinError::NoOffer));

    world.host_in(HostInput::Open(terms()));
    let foreign = super::super::Secret::Ticket(super::super::TicketSecret::from_bytes([1; 16]));
    let foreign = world.join(device(1), foreign);
    assert_eq!(world.joined[&foreign], Err(JoinError::WrongTicket));

    assert_eq!(world.host.poll_timeout(), Some(world.now + OFFER_LIFE));
    world.pass(OFFER_LIFE);
    assert_eq!(world.finished, [Outcome::Expired]);
    assert!(world.disk.is_empty());
    for secret in [code(CODE), ticket()] {
        let late = world.join(device(1), secret);
        assert_eq!(world.joined[&late], Err(JoinError::Expired));
    }

    world.host_in(HostInput::Open(terms()));
    world.host_in(HostInput::Cancel);
    assert_eq!(world.finished.last(), Some(&Outcome::Cancelled));
    let cancelled = world.join(device(1), code(CODE));
    assert_eq!(world.joined[&cancelled], Err(JoinError::NoOffer));
}

#[test]
fn a_longer_ticket_is_for_one_device_and_its_code_dies_as_any() {
    let long = || HostInput::Open(OfferTerms { ticket_life: MAX_TICKET_LIFE, ..terms() });
    let mut world = World::new();
    world.host_in(long());
    world.pass(OFFER_LIFE);
    assert_eq!(world.finished, [], "the ticket lives on");
    let late = world.join(device(1), code(CODE));
    assert_eq!(world.joined[&late], Err(JoinError::Expired));
    assert_eq!(world.host.status().unwrap().tries_left, 3, "nothing was tried");
    world.pass(MAX_TICKET_LIFE - OFFER_LIFE - Duration::from_secs(1));
    let in_time = world.join(device(2), ticket());
    assert_eq!(world.joined[&in_time], Ok(joined()));
    assert_eq!(world.finished, [Outcome::Paired(device(2), name("garden-2"))]);
    let second = world.join(device(3), ticket());
    assert_eq!(world.joined[&second], Err(JoinError::Taken));

    world.host_in(long());
    world.pass(MAX_TICKET_LIFE);
    assert_eq!(world.finished.last(), Some(&Outcome::Expired));
    let late = world.join(device(4), ticket());
    assert_eq!(world.joined[&late], Err(JoinError::Expired));
    assert!(world.disk.is_empty());
}

#[test]
fn a_code_that_is_shown_as_it_dies_is_too_late() {
    let mut world = World::new();
    world.host_in(HostInput::Open(OfferTerms { ticket_life: MAX_TICKET_LIFE, ..terms() }));
    world.pass(OFFER_LIFE - Duration::from_secs(1));
    // The confirmation is held back until the code is dead; its connection is not.
    let held = Rc::new(RefCell::new(Vec::new()));
    let hold = Rc::clone(&held);
    world.wire = Box::new(move |_, _, bytes| {
        if matches!(Frame::parse(&bytes[4..]), Ok(Frame::Confirm(_))) {
            hold.borrow_mut().extend(bytes);
            return None;
        }
        Some(bytes)
    });
    let attempt = world.join(device(1), code(CODE));
    world.pass(Duration::from_secs(2));
    let bytes = held.borrow().clone();
    assert!(!bytes.is_empty());
    world.host_in(HostInput::Received { attempt, bytes });
    assert_eq!(world.ended[&attempt], AttemptEnd::Refused(Refusal::Expired));
    assert!(world.members.is_empty());
}

#[test]
fn an_attempt_does_not_outlive_the_offer() {
    let mut world = World::open();
    world.pass(OFFER_LIFE - Duration::from_secs(1));
    world.disk_works = false;
    let attempt = world.join(device(1), code(CODE));
    world.pass(Duration::from_secs(1));
    assert_eq!(world.joined[&attempt], Err(JoinError::Expired));
    assert_eq!(world.finished, [Outcome::Expired]);
}

#[test]
fn a_device_on_its_way_in_is_waited_for() {
    let mut world = World::open();
    world.pass(OFFER_LIFE - Duration::from_secs(1));
    // The receipt is held back.
    let held = Rc::new(RefCell::new(Vec::new()));
    let hold = Rc::clone(&held);
    world.wire = Box::new(move |_, _, bytes| {
        let is_receipt = matches!(Frame::parse(&bytes[4..]), Ok(Frame::Receipt));
        if is_receipt {
            hold.borrow_mut().extend(bytes);
            return None;
        }
        Some(bytes)
    });
    let attempt = world.join(device(1), code(CODE));
    world.now = world.now + Duration::from_secs(2);
    world.host_in(HostInput::Tick);
    assert_eq!(world.finished, []);
    let bytes = held.borrow().clone();
    world.host_in(HostInput::Received { attempt, bytes });
    assert_eq!(world.finished, [Outcome::Paired(device(1), name("garden-1"))]);
}

#[test]
fn lost_receipt_the_joiner_is_in_and_the_host_says_so() {
    let mut world = World::open();
    world.wire = Box::new(|_, _, bytes| (!matches!(Frame::parse(&bytes[4..]), Ok(Frame::Receipt))).then_some(bytes));
    let attempt = world.join(device(1), code(CODE));
    assert_eq!(world.joined[&attempt], Ok(joined()));
    world.pass(OFFER_LIFE);
    assert_eq!(world.ended[&attempt], AttemptEnd::Refused(Refusal::TimedOut));
    assert_eq!(world.finished, [Outcome::Unconfirmed(device(1), name("garden-1"))]);
    assert_eq!(world.members.len(), 1, "the host keeps the entry");
}

#[test]
fn lost_group_the_same_device_may_come_again_and_no_other() {
    for secret in [code(CODE), ticket()] {
        let mut world = World::open();
        world.wire =
            Box::new(|_, _, bytes| (!matches!(Frame::parse(&bytes[4..]), Ok(Frame::Group(..)))).then_some(bytes));
        let attempt = world.join(device(1), secret.clone());
        world.joiner_in(attempt, JoinerInput::Closed);
        assert_eq!(world.joined[&attempt], Err(JoinError::Lost));
        world.wire = Box::new(|_, _, bytes| Some(bytes));
        world.kill_host();
        let other = world.join(device(2), secret.clone());
        assert_eq!(world.joined[&other], Err(JoinError::Taken));
        let again = world.join(device(1), secret);
        assert_eq!(world.joined[&again], Ok(joined()));
    }
}

#[test]
fn a_full_disk_ends_the_attempt_and_gives_no_try_back() {
    let mut world = World::open();
    world.disk_works = false;
    let attempt = world.join(device(1), code(CODE));
    let (serial, _) = world.writes.pop_front().unwrap();
    world.host_in(HostInput::PersistFailed { serial });
    assert_eq!(world.joined[&attempt], Err(JoinError::HostFailed));
    assert_eq!(world.host.status().unwrap().tries_left, 2);

    let mut world = World::new();
    world.disk_works = false;
    world.host_in(HostInput::Open(terms()));
    assert!(!world.host.status().unwrap().open);
    let early = world.join(device(1), code(CODE));
    assert_eq!(world.joined[&early], Err(JoinError::NoOffer), "an offer that is not on disk is none yet");
    let (serial, _) = world.writes.pop_front().unwrap();
    world.host_in(HostInput::PersistFailed { serial });
    assert_eq!((world.opened, world.finished.as_slice()), (0, [Outcome::NotStored].as_slice()));
}

#[test]
fn a_group_that_refuses_or_is_too_large_is_told() {
    for group in [None, Some(vec![0; MAX_GROUP + 1])] {
        let mut world = World::open();
        world.disk_works = false;
        let attempt = world.join(device(1), ticket());
        // Step by step, because `World` would answer at once.
        let (serial, _) = world.writes.pop_front().unwrap();
        world.host.handle(world.now, HostInput::Persisted { serial });
        while world.host.poll_output().is_some() {}
        world.host_in(match group {
            None => HostInput::GroupRefused { attempt },
            Some(bytes) => {
                HostInput::GroupReady { attempt, group: crate::pairing::HostGroup { bytes, ..group_with(device(1)) } }
            }
        });
        assert_eq!(world.joined[&attempt], Err(JoinError::HostFailed));
    }
}

#[test]
fn the_largest_group_fits() {
    let mut world = World::open();
    world.disk_works = false;
    let attempt = world.join(device(1), ticket());
    let (serial, _) = world.writes.pop_front().unwrap();
    world.host.handle(world.now, HostInput::Persisted { serial });
    while world.host.poll_output().is_some() {}
    let group = crate::pairing::HostGroup { bytes: vec![7; MAX_GROUP], ..group_with(device(1)) };
    world.host_in(HostInput::GroupReady { attempt, group });
    assert_eq!(world.joined[&attempt], Ok(joined()));
    assert_eq!(world.stored[&attempt].len(), MAX_GROUP);
}

#[test]
fn silence_is_bounded_on_both_sides() {
    // The host says nothing at all.
    let mut world = World::open();
    world.wire = Box::new(|_, _, _| None);
    let attempt = world.join(device(1), code(CODE));
    world.pass(Duration::from_secs(10));
    assert_eq!(world.joined[&attempt], Err(JoinError::TimedOut(FrameKind::Challenge)));
    // The joiner says nothing at all.
    let silent = world.connect(device(2));
    world.pass(Duration::from_secs(3));
    assert_eq!(world.ended[&silent], AttemptEnd::Refused(Refusal::TimedOut));
}

#[test]
fn no_version_in_common_is_told_before_any_try_is_counted() {
    let mut world = World::open();
    let versions =
        tutti_model::VersionRange { min: tutti_model::ProtocolVersion(7), max: tutti_model::ProtocolVersion(8) };
    world.host.versions = versions;
    let attempt = world.join(device(1), code(CODE));
    assert_eq!(world.joined[&attempt], Err(JoinError::Version { host: versions }));
    assert_eq!(world.ended[&attempt], AttemptEnd::GaveUp(Refusal::Version));
    assert_eq!(world.host.status().unwrap().tries_left, 3);
}

#[test]
fn a_new_offer_replaces_the_old_and_its_attempts() {
    let mut world = World::open();
    let waiting = world.connect(device(2));
    let mut newer = terms();
    newer.code = "111111".parse().unwrap();
    world.host_in(HostInput::Open(newer));
    assert_eq!(world.ended[&waiting], AttemptEnd::Refused(Refusal::Cancelled));
    let old = world.join(device(1), code(CODE));
    assert_eq!(world.joined[&old], Err(JoinError::WrongCode { tries_left: Some(2) }));
    let new = world.join(device(1), code("111111"));
    assert!(world.joined[&new].is_ok());
}

#[test]
fn garbage_from_the_host_names_the_fault() {
    let mut world = World::new();
    let attempt = world.joiner(device(1), code(CODE)).unwrap();
    world.joiner_in(attempt, JoinerInput::Received(vec![0xff; 10]));
    let fault = Fault::TooLong { len: 0xffff_ffff, max: 4096 };
    assert_eq!(world.joined[&attempt], Err(JoinError::HostMisbehaved(fault)));

    let attempt = world.joiner(device(1), code(CODE)).unwrap();
    let challenge = Frame::Challenge(Challenge { versions: super::super::VERSIONS, nonce: [0; 32] }).emit();
    let framed = super::super::frame::on_stream(&challenge);
    world.joiner_in(attempt, JoinerInput::Received([framed.clone(), framed].concat()));
    let fault = Fault::OutOfTurn { got: FrameKind::Challenge, due: Some(FrameKind::Reply) };
    assert_eq!(world.joined[&attempt], Err(JoinError::HostMisbehaved(fault)));
}

#[test]
fn both_ends_can_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<crate::pairing::HostPairing>();
    is_send::<crate::pairing::JoinerPairing>();
}
