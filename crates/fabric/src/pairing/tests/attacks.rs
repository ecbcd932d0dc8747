//! Each attack that the module's documentation names, and how it fails.

use std::{cell::RefCell, collections::VecDeque, rc::Rc, time::Duration};

use tutti_model::{DeviceId, ProtocolVersion, VersionRange, section::SectionError};

use super::{
    super::{
        AttemptEnd, AttemptId, Code, Fault, FrameKind, HostInput, HostOutput, HostPairing, JoinError, JoinTerms,
        JoinerInput, JoinerOutput, JoinerPairing, MAX_TICKET_ATTEMPTS, MAX_WAITING, OfferTerms, Outcome, Refusal,
        Secret, TicketSecret,
        frame::{Confirm, Frame, Hello, on_stream},
        pake::{self, Pake, Side},
        secret::Mode,
    },
    FixedRng,
    world::*,
};

/// A stranger's hello with this code, of which it keeps nothing.
fn hello(device: DeviceId, digits: &str) -> Frame<'static> {
    let password = digits.parse::<Code>().unwrap().password();
    let mut rng = FixedRng::seeded(digits);
    let (_, share) = pake::Chosen::start(Side::Joiner, &password, device, HOST, &mut rng);
    Frame::Hello(Hello::new(1, Mode::Code, share, None))
}

/// How many guesses the host has answered on the test's own connections; forgets what else it said.
fn replies(world: &mut World) -> usize {
    let attempts: Vec<AttemptId> = world.heard.keys().copied().collect();
    let mut count = 0;
    for attempt in attempts {
        while let Some(frame) = world.hear(attempt) {
            count += usize::from(matches!(Frame::parse(&frame), Ok(Frame::Reply(_))));
        }
    }
    count
}

#[test]
fn guessing_from_many_parallel_connections_gets_three_tries() {
    let mut world = World::open();
    let mut answered = 0;
    for round in 0..10u8 {
        // A hundred strangers connect and all guess at once; then they stall until the host loses patience.
        for stranger in 0..100 {
            let id = device(stranger.max(1));
            let attempt = world.connect(id);
            world.say(attempt, &hello(id, &format!("1{round}00{stranger:02}")));
        }
        answered += replies(&mut world);
        assert!(answered <= 3);
        assert_eq!(world.host.status().unwrap().tries_left, 3 - answered as u8);
        world.pass(Duration::from_secs(10));
    }
    assert_eq!(answered, 3);
    let last = world.join(device(1), code(CODE));
    assert_eq!(world.joined[&last], Err(JoinError::CodeDead));
    let holder = world.join(device(1), ticket());
    assert!(world.joined[&holder].is_ok());
}

#[test]
fn busy_is_not_counted_and_a_stalled_attempt_is() {
    let mut world = World::open();
    let staller = world.connect(device(1));
    world.say(staller, &hello(device(1), WRONG));
    let other = world.join(device(2), code(CODE));
    assert_eq!(world.joined[&other], Err(JoinError::Busy));
    assert_eq!(world.host.status().unwrap().tries_left, 2);
    world.pass(Duration::from_secs(10));
    assert_eq!(world.ended[&staller], AttemptEnd::Refused(Refusal::TimedOut));
    let other = world.join(device(2), code(CODE));
    assert!(world.joined[&other].is_ok(), "busy did not burn the code");
}

#[test]
fn speaking_ahead_of_the_count_is_refused_and_counted() {
    let mut world = World::open();
    world.disk_works = false;
    let attempt = world.connect(device(1));
    world.say(attempt, &hello(device(1), WRONG));
    world.say(attempt, &Frame::Confirm(Confirm { name: name("x") }));
    let fault = Fault::OutOfTurn { got: FrameKind::Confirm, due: None };
    assert_eq!(world.ended[&attempt], AttemptEnd::Misbehaved(fault));
    assert_eq!(world.host.status().unwrap().tries_left, 2);
    world.flush();
    assert_eq!(replies(&mut world), 0);
}

#[test]
fn a_share_that_is_none_is_a_wrong_try() {
    let mut world = World::open();
    let attempt = world.connect(device(1));
    world.say(attempt, &Frame::Hello(Hello::new(1, Mode::Code, [0; 32], None)));
    assert_eq!(world.ended[&attempt], AttemptEnd::Misbehaved(Fault::Share(pake::BadShare)));
    assert_eq!(world.host.status().unwrap().tries_left, 2);
}

#[test]
fn a_forged_confirmation_is_a_wrong_try() {
    let mut world = World::open();
    let attempt = world.connect(device(1));
    world.say(attempt, &hello(device(1), WRONG));
    world.say(attempt, &Frame::Confirm(Confirm { name: name("x") }));
    assert_eq!(world.ended[&attempt], AttemptEnd::Refused(Refusal::WrongCode));
    assert!(world.members.is_empty());
    let challenge = world.hear(attempt).unwrap();
    assert!(matches!(Frame::parse(&challenge), Ok(Frame::Challenge(_))));
    let reply = world.hear(attempt).unwrap();
    assert!(matches!(Frame::parse(&reply), Ok(Frame::Reply(_))));
    let refusal = world.hear(attempt).unwrap();
    assert_eq!(Frame::parse(&refusal), Ok(Frame::Refused(Refusal::WrongCode, Some(2))));
}

/// Somebody who sits between two devices that do not know each other: the joiner thinks it is the host, the host
/// thinks it is a joiner, and it passes every byte on.
#[test]
fn relaying_between_strangers_fails_because_the_keys_are_bound() {
    for secret in [code(CODE), ticket()] {
        let mut world = World::open();
        let middle = device(0xee);
        let terms = JoinTerms { me: device(1), name: name("garden"), host: middle, secret };
        let mut rng = FixedRng::seeded("relayed");
        let mut joiner = JoinerPairing::new(world.now, terms, &world.burnt, &mut rng).unwrap();
        let attempt = world.connect(middle);
        let mut result = None;
        while let Some(frame) = world.hear(attempt) {
            joiner.handle(world.now, JoinerInput::Received(on_stream(&frame)));
            while let Some(output) = joiner.poll_output() {
                match output {
                    JoinerOutput::Send(bytes) => world.host_in(HostInput::Received { attempt, bytes }),
                    JoinerOutput::Finished(end) => result = Some(end),
                    JoinerOutput::Burn(code) => world.burnt.add(code),
                    JoinerOutput::Store(..) => panic!("the joiner took a relayed group"),
                    JoinerOutput::Close => {}
                }
            }
        }
        assert!(matches!(result, Some(Err(JoinError::WrongCode { .. } | JoinError::WrongTicket))), "{result:?}");
        assert!(world.members.is_empty());
    }
}

/// A device that announces itself under the host's name gets one guess, and none the wiser with the next attempt.
#[test]
fn an_impostor_host_gets_one_guess_and_the_code_is_burnt() {
    let mut world = World::open();
    let terms = OfferTerms { code: WRONG.parse().unwrap(), ..terms() };
    world.host_in(HostInput::Open(terms));
    let attempt = world.join(device(1), code(CODE));
    assert_eq!(world.joined[&attempt], Err(JoinError::WrongCode { tries_left: Some(2) }));
    assert!(world.stored.is_empty());
    assert_eq!(world.joiner(device(1), code(CODE)).err(), Some(JoinError::Burnt));

    // With a ticket there is nothing to guess: the impostor cannot even let it in.
    world.host_in(HostInput::Open(OfferTerms { ticket: TicketSecret::from_bytes([1; 16]), ..self::terms() }));
    let attempt = world.join(device(1), ticket());
    assert_eq!(world.joined[&attempt], Err(JoinError::WrongTicket));
}

#[test]
fn frames_reflected_to_their_sender_are_out_of_turn() {
    let mut world = World::open();
    let attempt = world.connect(device(1));
    let challenge = world.hear(attempt).unwrap();
    world.host_in(HostInput::Received { attempt, bytes: on_stream(&challenge) });
    let fault = Fault::OutOfTurn { got: FrameKind::Challenge, due: Some(FrameKind::Hello) };
    assert_eq!(world.ended[&attempt], AttemptEnd::Misbehaved(fault));

    // The same to the joiner: its hello comes back.
    let attempt = world.joiner(device(1), code(CODE)).unwrap();
    world.joiners.get_mut(&attempt).unwrap().handle(world.now, JoinerInput::Received(on_stream(&challenge)));
    let Some(JoinerOutput::Send(bytes)) = world.joiners.get_mut(&attempt).unwrap().poll_output() else { panic!() };
    world.joiner_in(attempt, JoinerInput::Received(bytes));
    let fault = Fault::OutOfTurn { got: FrameKind::Hello, due: Some(FrameKind::Reply) };
    assert_eq!(world.joined[&attempt], Err(JoinError::HostMisbehaved(fault)));

    // The host's own share, sent back as the joiner's, gives no common key.
    let attempt = world.connect(device(2));
    let mut reflected = World::open();
    let other = reflected.connect(device(2));
    reflected.say(other, &hello(device(2), WRONG));
    let shares = [reflected.hear(other), reflected.hear(other)];
    let Some(Ok(Frame::Reply(reply))) = shares[1].as_deref().map(Frame::parse) else { panic!() };
    world.say(attempt, &Frame::Hello(Hello::new(1, Mode::Code, reply.share, None)));
    world.say(attempt, &Frame::Confirm(Confirm { name: name("x") }));
    assert_eq!(world.ended[&attempt], AttemptEnd::Refused(Refusal::WrongCode));
}

#[test]
fn a_recorded_attempt_is_worth_nothing_even_to_the_same_device() {
    for (secret, expected) in
        [(code(CODE), AttemptEnd::Refused(Refusal::WrongCode)), (ticket(), AttemptEnd::Refused(Refusal::WrongTicket))]
    {
        let mut world = World::open();
        let recorded = Rc::new(RefCell::new(Vec::new()));
        let record = Rc::clone(&recorded);
        // The honest attempt is cut off at its confirmation, so that the offer stays open.
        world.wire = Box::new(move |way, _, bytes| {
            if way == Way::ToHost {
                record.borrow_mut().push(bytes.clone());
            }
            (!matches!(Frame::parse(&bytes[4..]), Ok(Frame::Confirm(_)))).then_some(bytes)
        });
        let attempt = world.join(device(1), secret);
        world.joiner_in(attempt, JoinerInput::Closed);
        world.wire = Box::new(|_, _, bytes| Some(bytes));
        let replay = world.connect(device(1));
        for bytes in recorded.borrow().iter().take(2) {
            world.host_in(HostInput::Received { attempt: replay, bytes: bytes.clone() });
        }
        assert_eq!(world.ended[&replay], expected);
        assert!(world.members.is_empty());
    }
}

#[test]
fn a_wrong_ticket_is_refused_cheaply_and_uses_nothing_up() {
    let mut world = World::open();
    for stranger in 1..100 {
        let attempt = world.connect(device(stranger));
        // Not even a point of the curve: the proof is looked at first.
        let mut no_point = [0; 32];
        no_point[0] = 2;
        world.say(attempt, &Frame::Hello(Hello::new(1, Mode::Ticket, no_point, Some([stranger; 32]))));
        assert_eq!(world.ended[&attempt], AttemptEnd::Refused(Refusal::WrongTicket));
        let attempt = world.connect(device(stranger));
        world.say(attempt, &Frame::Hello(Hello::new(1, Mode::Ticket, no_point, None)));
        assert_eq!(world.ended[&attempt], AttemptEnd::Refused(Refusal::WrongTicket));
    }
    assert_eq!(world.host.status().unwrap().tries_left, 3);
    assert!(world.writes.is_empty());
    let right = world.join(device(1), code(CODE));
    assert!(world.joined[&right].is_ok());
}

#[test]
fn a_ticket_holder_gets_in_while_strangers_hold_everything_else() {
    let mut world = World::open();
    // The code is dead, its slot was never free, and every place for newcomers is taken by somebody silent.
    for stranger in 1..=3 {
        let attempt = world.connect(device(stranger));
        world.say(attempt, &hello(device(stranger), WRONG));
        world.host_in(HostInput::Closed { attempt });
    }
    let silent: Vec<AttemptId> = (0..MAX_WAITING as u8).map(|n| world.connect(device(100 + n))).collect();
    assert_eq!(world.host.status().unwrap().tries_left, 0);
    let holder = world.join(device(9), ticket());
    assert!(world.joined[&holder].is_ok());
    assert_eq!(world.ended[&silent[0]], AttemptEnd::Refused(Refusal::Busy), "the oldest silent one gave way");
    assert!(silent.iter().all(|id| world.ended.contains_key(id)), "the offer is over for everybody");
}

#[test]
fn connections_are_bounded_and_the_oldest_silent_one_gives_way() {
    let mut world = World::open();
    let attempts: Vec<AttemptId> = (0..1000u32).map(|n| world.connect(device((n % 150) as u8))).collect();
    let alive = attempts.iter().filter(|id| !world.ended.contains_key(id)).count();
    assert_eq!(alive, MAX_WAITING);
    assert!(attempts[..1000 - MAX_WAITING].iter().all(|id| world.ended[id] == AttemptEnd::Refused(Refusal::Busy)));
    world.pass(Duration::from_secs(3));
    assert!(attempts.iter().all(|id| world.ended.contains_key(id)), "silence ends");
}

#[test]
fn ticket_holders_are_bounded_too_and_one_that_comes_again_replaces_itself() {
    let mut world = World::open();
    world.wire = Box::new(|_, _, bytes| (!matches!(Frame::parse(&bytes[4..]), Ok(Frame::Confirm(_)))).then_some(bytes));
    let stalled: Vec<AttemptId> =
        (0..MAX_TICKET_ATTEMPTS as u8).map(|n| world.join(device(10 + n), ticket())).collect();
    let more = world.join(device(1), ticket());
    assert_eq!(world.joined[&more], Err(JoinError::Busy));
    world.wire = Box::new(|_, _, bytes| Some(bytes));
    let again = world.join(device(10), ticket());
    assert!(world.joined[&again].is_ok());
    assert_eq!(world.ended[&stalled[0]], AttemptEnd::Refused(Refusal::Busy));
}

#[test]
fn kill_9_gives_no_try_back() {
    let mut world = World::open();
    for left in [2, 1, 0] {
        // Killed before the count is on disk: then nothing was answered either.
        world.disk_works = false;
        let attempt = world.connect(device(1));
        world.say(attempt, &hello(device(1), WRONG));
        assert_eq!(replies(&mut world), 0);
        world.kill_host();
        assert_eq!(world.host.status().unwrap().tries_left, left + 1);

        // Killed right after the answer.
        world.disk_works = true;
        let attempt = world.connect(device(1));
        world.say(attempt, &hello(device(1), WRONG));
        assert_eq!(replies(&mut world), 1);
        world.kill_host();
        assert_eq!(world.host.status().unwrap().tries_left, left);
    }
    let right = world.join(device(1), code(CODE));
    assert_eq!(world.joined[&right], Err(JoinError::CodeDead));
}

#[test]
fn kill_9_after_the_right_code_leaves_the_offer_to_that_device() {
    let mut world = World::open();
    // The count and the binding reach the disk, the group is never added.
    world.wire = Box::new(|way, _, bytes| (way == Way::ToHost || bytes.len() < 1000).then_some(bytes));
    world.disk_works = false;
    let attempt = world.join(device(1), code(CODE));
    let (serial, _) = world.writes.pop_front().unwrap();
    world.host_in(HostInput::Persisted { serial });
    let (_, bound) = world.writes.pop_front().unwrap();
    assert!(world.members.is_empty(), "nobody is added before the binding is on disk");
    world.disk = bound;
    world.kill_host();
    assert_eq!(world.joined[&attempt], Err(JoinError::Lost));
    world.disk_works = true;
    let thief = world.join(device(2), ticket());
    assert_eq!(world.joined[&thief], Err(JoinError::Taken));
    let again = world.join(device(1), code(CODE));
    assert!(world.joined[&again].is_ok());
}

#[test]
fn a_downgrade_is_noticed() {
    let newer = VersionRange { min: ProtocolVersion(1), max: ProtocolVersion(2) };
    for secret in [code(CODE), ticket()] {
        let mut world = World::open();
        world.host.versions = newer;
        world.wire = Box::new(move |_, _, bytes| {
            let Ok(Frame::Challenge(mut challenge)) = Frame::parse(&bytes[4..]) else { return Some(bytes) };
            challenge.versions.max = ProtocolVersion(1);
            Some(on_stream(&Frame::Challenge(challenge).emit()))
        });
        let attempt = world.joiner(device(1), secret).unwrap();
        world.joiners.get_mut(&attempt).unwrap().versions = newer;
        world.host_in(HostInput::Connected { attempt, remote: device(1) });
        assert!(
            matches!(world.joined[&attempt], Err(JoinError::WrongCode { .. } | JoinError::WrongTicket)),
            "{:?}",
            world.joined[&attempt]
        );
        assert!(world.members.is_empty());
    }
}

#[test]
fn a_version_that_was_not_offered_is_refused_uncounted() {
    let mut world = World::open();
    let attempt = world.connect(device(1));
    world.say(attempt, &Frame::Hello(Hello::new(9, Mode::Code, [1; 32], None)));
    assert_eq!(world.ended[&attempt], AttemptEnd::Misbehaved(Fault::Version(9)));
    assert_eq!(world.host.status().unwrap().tries_left, 3);
}

#[test]
fn a_device_that_claims_to_be_the_host_itself_is_refused() {
    let mut world = World::open();
    let attempt = world.connect(HOST);
    assert_eq!(world.ended[&attempt], AttemptEnd::Misbehaved(Fault::Oneself));
}

#[test]
fn oversize_garbage_and_half_messages_are_named_and_cost_nothing() {
    let mut world = World::open();
    let attempt = world.connect(device(1));
    world.host_in(HostInput::Received { attempt, bytes: (1u32 << 30).to_le_bytes().to_vec() });
    let fault = Fault::TooLong { len: 1 << 30, max: 4096 };
    assert_eq!(world.ended[&attempt], AttemptEnd::Misbehaved(fault));
    // What is still on the way is dropped.
    world.host_in(HostInput::Received { attempt, bytes: vec![0; 1 << 20] });

    let attempt = world.connect(device(1));
    world.host_in(HostInput::Received { attempt, bytes: on_stream(b"garbage") });
    let fault = Fault::Garbled(SectionError::Truncated { at: 0 });
    assert_eq!(world.ended[&attempt], AttemptEnd::Misbehaved(fault));

    let attempt = world.connect(device(1));
    let bytes = on_stream(&hello(device(1), WRONG).emit());
    world.host_in(HostInput::Received { attempt, bytes: bytes[..bytes.len() - 1].to_vec() });
    world.pass(Duration::from_secs(3));
    assert_eq!(world.ended[&attempt], AttemptEnd::Refused(Refusal::TimedOut));
    assert_eq!(world.host.status().unwrap().tries_left, 3, "no guess was made");
}

/// One altered byte anywhere, in any frame, either way: nobody ends up in the wrong place.
#[test]
fn every_altered_byte_is_noticed() {
    for secret in [code(CODE), ticket()] {
        for frame in 0..6 {
            for at in 0.. {
                let mut world = World::open();
                let altered = Rc::new(RefCell::new(None));
                let (note, mut count) = (Rc::clone(&altered), 0);
                world.wire = Box::new(move |_, _, mut bytes| {
                    if count == frame
                        && let Some(byte) = bytes.get_mut(at)
                    {
                        *byte ^= 1;
                        *note.borrow_mut() =
                            Frame::parse(&bytes[4..]).ok().map(|frame| frame.kind()).or(Some(FrameKind::Refused));
                    }
                    count += 1;
                    Some(bytes)
                });
                let attempt = world.join(device(1), secret.clone());
                let Some(_) = *altered.borrow() else { break };
                for _ in 0..8 {
                    world.pass(Duration::from_secs(10));
                }
                let joined = world.joined[&attempt].is_ok();
                let paired = world.ended[&attempt] == AttemptEnd::Paired;
                assert!(!paired, "frame {frame} byte {at}");
                // Altering the receipt comes too late for the joiner, which is in.
                assert_eq!(joined, frame == 5, "frame {frame} byte {at}");
            }
        }
    }
}

#[test]
fn the_joiner_learns_nothing_of_the_group_before_it_has_shown_the_code() {
    let said = Rc::new(RefCell::new(Vec::new()));
    let mut world = World::open();
    let log = Rc::clone(&said);
    world.wire = Box::new(move |way, _, bytes| {
        if way == Way::ToJoiner {
            log.borrow_mut().extend_from_slice(&bytes);
        }
        Some(bytes)
    });
    let contains = |needle: &[u8]| said.borrow().windows(needle.len()).any(|window| window == needle);
    world.join(device(1), code(WRONG));
    let attempt = world.connect(device(1));
    world.say(attempt, &hello(device(1), "000000"));
    world.say(attempt, &Frame::Confirm(Confirm { name: name("x") }));
    assert!(!contains(&[0x66; 32]) && !contains(b"kitchen") && !contains(b"group with"));
    world.join(device(1), code(CODE));
    assert!(contains(&[0x66; 32]) && contains(b"kitchen") && contains(b"group with"));
}

#[test]
fn of_two_who_know_the_secrets_only_one_gets_in() {
    let mut world = World::open();
    // The code's holder is held up at its confirmation, the ticket's overtakes it.
    let held: Rc<RefCell<VecDeque<Vec<u8>>>> = Rc::default();
    let hold = Rc::clone(&held);
    world.wire = Box::new(move |_, id, bytes| {
        if id == AttemptId(1) && matches!(Frame::parse(&bytes[4..]), Ok(Frame::Confirm(_))) {
            hold.borrow_mut().push_back(bytes);
            return None;
        }
        Some(bytes)
    });
    let first = world.join(device(1), code(CODE));
    let second = world.join(device(2), ticket());
    assert!(world.joined[&second].is_ok());
    assert_eq!(world.joined[&first], Err(JoinError::Taken));
    let bytes = held.borrow_mut().pop_front().unwrap();
    world.host_in(HostInput::Received { attempt: first, bytes });
    assert_eq!(world.members.len(), 1);
    assert_eq!(world.finished, [Outcome::Paired(device(2), name("garden-2"))]);
}

/// What an adversary has who reads the disk of a host that is switched off: nothing that still opens anything.
#[test]
fn a_stored_offer_of_another_start_of_the_machine_is_dead_and_erased() {
    let world = World::open();
    let rng = Box::new(FixedRng::seeded("rebooted"));
    let mut host = HostPairing::restore(HOST, [1; 16], rng, world.now, &world.disk).unwrap();
    assert_eq!(host.status(), None);
    assert_eq!(host.poll_output(), Some(HostOutput::Persist { serial: 1, bytes: Vec::new() }));
}

#[test]
fn a_burnt_code_is_burnt_at_that_host_only() {
    let mut world = World::open();
    world.join(device(1), code(WRONG));
    let elsewhere = JoinTerms { me: device(1), name: name("x"), host: device(0xcc), secret: code(WRONG) };
    let mut rng = FixedRng::seeded("elsewhere");
    assert!(JoinerPairing::new(world.now, elsewhere.clone(), &world.burnt, &mut rng).is_ok());
    let here = JoinTerms { host: HOST, ..elsewhere };
    assert_eq!(JoinerPairing::new(world.now, here.clone(), &world.burnt, &mut rng).err(), Some(JoinError::Burnt));
    // A ticket is not burnt by anything.
    assert!(
        JoinerPairing::new(world.now, JoinTerms { secret: Secret::Ticket(TICKET), ..here }, &world.burnt, &mut rng)
            .is_ok()
    );
}
