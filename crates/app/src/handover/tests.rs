//! The paths of a move one by one, in virtual time.

use std::time::Duration;

use ed25519_dalek::SigningKey;

use super::*;

const INSTANCE: InstanceId = InstanceId::from_bytes([7; 16]);
const A: DeviceId = DeviceId::from_bytes([1; 32]);
const B: DeviceId = DeviceId::from_bytes([2; 32]);
const T0: BootTime = BootTime::from_nanos(1);
const ATTEMPT: Attempt = Attempt(5);

fn outputs(of: &mut HandOver) -> Vec<Output> {
    std::iter::from_fn(|| of.poll_output()).collect()
}

/// Says that the last write is durable, if there is one.
fn persist(of: &mut HandOver, at: BootTime) -> Vec<Output> {
    let outputs = outputs(of);
    for output in &outputs {
        if let Output::Persist(ticket, _) = output {
            of.handle(at, Input::Persisted(*ticket));
        }
    }
    outputs
}

fn pair() -> (HandOver, HandOver) {
    let mut source = HandOver::install(T0, A, INSTANCE);
    persist(&mut source, T0);
    let mut target = HandOver::new(T0, B, INSTANCE, None);
    source.handle(T0, Input::PeerUp(B));
    target.handle(T0, Input::PeerUp(A));
    outputs(&mut source);
    (source, target)
}

/// Lets both sides, their stores and their drivers do what they ask for, until nothing is left; but what `hold` is true of stays undone.
fn play(sides: &mut [&mut HandOver], at: BootTime, hold: impl Fn(&Output) -> bool) -> Vec<(DeviceId, Output)> {
    let mut seen = Vec::new();
    loop {
        let mut all = Vec::new();
        for side in sides.iter_mut() {
            let me = side.me;
            all.extend(outputs(side).into_iter().map(|output| (me, output)));
        }
        if all.is_empty() {
            return seen;
        }
        for (me, output) in all {
            seen.push((me, output.clone()));
            if hold(&output) {
                continue;
            }
            let (to, input) = match output {
                Output::Send(to, message) => {
                    // Everything survives being bytes.
                    let (_, message) = Message::parse(&message.emit(INSTANCE).unwrap()).unwrap();
                    (to, Input::Message(me, message))
                }
                Output::Persist(ticket, _) => (me, Input::Persisted(ticket)),
                Output::Consider(_, offer) => (me, Input::Considered(offer.attempt, Ok(()))),
                Output::Copy(attempt, _) => (me, Input::Copied(attempt, Ok(()))),
                Output::Reserve(attempt, _) => (me, Input::Reserved(attempt, Ok(()))),
                Output::SendRest(attempt, to) => (to, Input::Stored(attempt, Ok(()))),
                _ => continue,
            };
            if let Some(side) = sides.iter_mut().find(|side| side.me == to) {
                side.handle(at, input);
            }
        }
    }
}

fn start_move(source: &mut HandOver, to: DeviceId, attempt: Attempt) {
    source.handle(T0, Input::Move { to, attempt, package: [0; 32], size: 1 });
}

#[test]
fn a_move_goes_as_drawn() {
    let (mut source, mut target) = pair();
    assert!(source.may_run().is_some());
    start_move(&mut source, B, ATTEMPT);
    let seen = play(&mut [&mut source, &mut target], T0, |_| false);
    assert_eq!((source.may_run(), target.may_run().map(|epoch| epoch.number)), (None, Some(2)));
    assert!(matches!(source.record().unwrap().standing, Standing::Gone { .. }));
    let place = |what: &dyn Fn(&Output) -> bool| seen.iter().position(|(_, output)| what(output)).unwrap();
    let stop = place(&|output| *output == Output::Stop);
    let decided =
        place(&|output| matches!(output, Output::Persist(_, Record { standing: Standing::Leaving { .. }, .. })));
    let commit = place(&|output| matches!(output, Output::Send(_, Message::Commit(..))));
    let start = place(&|output| matches!(output, Output::Start(epoch) if epoch.home == B));
    let remove = place(&|output| *output == Output::Remove);
    assert!(stop < decided && decided < commit && commit < start && start < remove, "{seen:?}");
}

#[test]
fn it_moves_back_and_forth() {
    let (mut a, mut b) = pair();
    for round in 0..5 {
        let (from, to) = if round % 2 == 0 { (&mut a, B) } else { (&mut b, A) };
        start_move(from, to, Attempt(round));
        play(&mut [&mut a, &mut b], T0, |_| false);
        assert_eq!((a.may_run().is_some(), b.may_run().is_some()), (round % 2 == 1, round % 2 == 0));
    }
    assert_eq!(b.may_run().map(|epoch| epoch.number), Some(6));
}

#[test]
fn what_prevents_a_move_prevents_it_before_the_pause() {
    let (mut source, mut target) = pair();
    start_move(&mut source, B, ATTEMPT);
    play(&mut [&mut source, &mut target], T0, |output| matches!(output, Output::Reserve(..)));
    assert!(source.may_run().is_some());
    source.handle(T0, Input::Reserved(ATTEMPT, Err(Why::Failed)));
    let outputs = outputs(&mut source);
    assert!(outputs.contains(&Output::Event(Event::NotMoved(ATTEMPT, Because::Failed(Why::Failed)))));
    assert!(outputs.contains(&Output::Release(ATTEMPT)) && !outputs.contains(&Output::Stop));
}

#[test]
fn every_wait_before_the_decision_ends_and_it_runs_on() {
    type Hold = fn(&Output) -> bool;
    let holds: [Hold; 6] = [
        |output| matches!(output, Output::Send(_, Message::Offer(_))),
        |output| matches!(output, Output::Consider(..)),
        |output| matches!(output, Output::Copy(..)),
        |output| matches!(output, Output::Reserve(..)),
        |output| matches!(output, Output::SendRest(..)),
        |output| matches!(output, Output::Send(_, Message::Prepared(_))),
    ];
    for (which, hold) in holds.into_iter().enumerate() {
        let (mut source, mut target) = pair();
        start_move(&mut source, B, ATTEMPT);
        play(&mut [&mut source, &mut target], T0, hold);
        let mut now = T0;
        let end = T0 + PROGRESS + Duration::from_secs(1);
        while let Some(next) = source.poll_timeout().filter(|next| *next <= end) {
            now = next.max(now);
            source.handle(now, Input::Tick);
            target.handle(now, Input::Tick);
            play(&mut [&mut source, &mut target], now, hold);
        }
        target.handle(end, Input::Tick);
        play(&mut [&mut source, &mut target], end, |_| false);
        assert!(source.may_run().is_some() && source.phase == Phase::Idle, "{which}");
        assert!(target.may_run().is_none() && target.phase == Phase::Idle, "{which}");
        assert_eq!(target.waiting_for(), None, "{which}");
    }
}

#[test]
fn a_lost_commit_is_said_again() {
    let (mut source, mut target) = pair();
    start_move(&mut source, B, ATTEMPT);
    play(&mut [&mut source, &mut target], T0, |output| matches!(output, Output::Send(_, Message::Commit(..))));
    assert_eq!((source.may_run(), target.may_run(), source.waiting_for()), (None, None, Some(B)));
    source.handle(T0 + RETRY, Input::Tick);
    play(&mut [&mut source, &mut target], T0 + RETRY, |_| false);
    assert!(target.may_run().is_some() && source.waiting_for().is_none());
}

#[test]
fn a_write_that_seems_to_fail_is_made_again_and_nothing_else_happens_meanwhile() {
    let (mut source, mut target) = pair();
    start_move(&mut source, B, ATTEMPT);
    let leaving =
        |output: &Output| matches!(output, Output::Persist(_, Record { standing: Standing::Leaving { .. }, .. }));
    let seen = play(&mut [&mut source, &mut target], T0, leaving);
    let Some((_, Output::Persist(ticket, _))) = seen.into_iter().find(|(_, output)| leaving(output)) else { panic!() };
    source.handle(T0, Input::PersistFailed(ticket));
    source.handle(T0, Input::Cancel);
    assert_eq!(outputs(&mut source), [Output::Event(Event::Refused(Because::Decided))]);
    assert_eq!(source.may_run(), None);
    source.handle(T0 + RETRY, Input::Tick);
    play(&mut [&mut source, &mut target], T0 + RETRY, |_| false);
    assert!(target.may_run().is_some());
}

fn waiting_pair() -> (HandOver, HandOver, SigningKey) {
    let (mut source, mut target) = pair();
    start_move(&mut source, B, ATTEMPT);
    play(&mut [&mut source, &mut target], T0, |output| matches!(output, Output::Send(_, Message::Commit(..))));
    (source, target, SigningKey::from_bytes(&[9; 32]))
}

#[test]
fn an_owner_can_accept_the_loss_of_the_target() {
    let (mut source, mut target, key) = waiting_pair();
    // The commit does arrive, but the source does not learn of it.
    source.handle(T0 + RETRY, Input::Tick);
    play(&mut [&mut source, &mut target], T0, |output| matches!(output, Output::Send(_, Message::Settled(_))));
    assert!(target.may_run().is_some());
    source.handle(T0, Input::PeerDown(B));
    source.handle(T0, Input::Recover(Warrant::sign(INSTANCE, 2, A, &key)));
    assert_eq!(outputs(&mut source), [Output::Event(Event::Refused(Because::BadWarrant))]);
    source.handle(T0, Input::Recover(Warrant::sign(INSTANCE, 1, A, &key)));
    persist(&mut source, T0);
    assert_eq!(source.may_run().map(|epoch| epoch.branch), Some(1));
    // It comes back.
    source.handle(T0, Input::PeerUp(B));
    for round in 2..5 {
        play(&mut [&mut source, &mut target], T0, |_| false);
        source.handle(T0 + round * RETRY, Input::Tick);
    }
    assert!(source.may_run().is_some() && target.may_run().is_none());
    assert!(matches!(target.record().unwrap().standing, Standing::Stray { .. }));
    assert_eq!(source.record().unwrap().claim.as_ref().unwrap().rival, None);
    // The stray is in the way of a move there until its owner has looked at it.
    start_move(&mut source, B, Attempt(6));
    let seen = play(&mut [&mut source, &mut target], T0, |_| false);
    assert!(seen.iter().any(|(_, it)| *it == Output::Event(Event::NotMoved(Attempt(6), Because::Refused(Why::Stray)))));
    target.handle(T0, Input::Discard);
    persist(&mut target, T0);
    start_move(&mut source, B, Attempt(7));
    play(&mut [&mut source, &mut target], T0, |_| false);
    assert!(target.may_run().is_some_and(|epoch| epoch.branch == 1) && source.may_run().is_none());
}

#[test]
fn an_owner_can_accept_the_loss_of_the_source() {
    let (mut source, mut target, key) = waiting_pair();
    target.handle(T0, Input::PeerDown(A));
    target.handle(T0, Input::Recover(Warrant::sign(INSTANCE, 1, B, &key)));
    persist(&mut target, T0);
    assert!(target.may_run().is_some_and(|epoch| epoch.branch == 1));
    target.handle(T0, Input::PeerUp(A));
    source.handle(T0, Input::PeerUp(B));
    for round in 2..5 {
        source.handle(T0 + round * RETRY, Input::Tick);
        play(&mut [&mut source, &mut target], T0, |_| false);
    }
    assert!(source.may_run().is_none() && source.waiting_for().is_none() && target.may_run().is_some());
}

#[test]
fn two_owners_may_recover_at_both_ends_and_one_copy_stays() {
    let (mut source, mut target, key) = waiting_pair();
    source.handle(T0, Input::Recover(Warrant::sign(INSTANCE, 1, A, &key)));
    target.handle(T0, Input::Recover(Warrant::sign(INSTANCE, 1, B, &key)));
    let mut now = T0;
    for _ in 0..6 {
        play(&mut [&mut source, &mut target], now, |_| false);
        now = now + RETRY;
        source.handle(now, Input::Tick);
        target.handle(now, Input::Tick);
    }
    assert!(source.may_run().is_none() && target.may_run().is_some());
    assert!(matches!(source.record().unwrap().standing, Standing::Stray { .. }));
}

#[test]
fn strangers_have_no_say() {
    let (mut source, mut target, _) = waiting_pair();
    let c = DeviceId::from_bytes([3; 32]);
    let next = Epoch::first(A).moved_to(B).unwrap();
    for side in [&mut source, &mut target] {
        side.handle(T0, Input::PeerUp(c));
        for message in [
            Message::Commit(ATTEMPT, next),
            Message::Abort(ATTEMPT),
            Message::Settled(next),
            Message::Accept(ATTEMPT),
            Message::Refuse(ATTEMPT, Why::Full),
            Message::Yielded(next, None),
        ] {
            let before = side.record().cloned();
            side.handle(T0, Input::Message(c, message));
            assert!(!outputs(side).iter().any(|output| matches!(output, Output::Persist(..) | Output::Start(_))));
            assert_eq!(side.record().cloned(), before);
        }
    }
}

#[test]
fn nothing_that_needs_run_leases_comes_to_a_device_that_has_none_to_do_with_them() {
    let (mut source, mut target) = pair();
    let settings = crate::standby::Settings::default();
    source.guard_by(Some(Terms { standby: B, pact: 1, settings }));
    start_move(&mut source, B, ATTEMPT);
    let seen = play(&mut [&mut source, &mut target], T0, |_| false);
    let refused = Output::Event(Event::NotMoved(ATTEMPT, Because::Refused(Why::NoStandby)));
    assert!(seen.contains(&(A, refused)) && source.may_run().is_some());
}
