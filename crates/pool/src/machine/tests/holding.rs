//! Leases that this device holds.

use super::*;

#[test]
fn a_holder_renews_at_a_third_and_stops_believing_early() {
    let (mut owner, mut holder) = (Node::new(1), Node::new(2));
    holder.up(1, 2);
    let call = command(&mut holder, acquire(true));
    talk(&mut holder, &mut owner);
    let Some(Ok(Answer::Lease(held))) = outcome(&mut holder, call) else { panic!() };
    assert_eq!(held.until.since(holder.now), crate::lease::holder_term(Duration::from_secs(9)));
    holder.wait(Duration::from_secs(3));
    assert!(holder.out.iter().any(|out| matches!(out, Output::Request { .. })), "at a third of its time");
    talk(&mut holder, &mut owner);
    let renewed = holder.pool.held(holder.now)[0];
    assert!(renewed.until > held.until);
    // Cut off: it tries for a while, then believes no more, a little before the owner would grant to another.
    holder.give(Input::PeerDown { device: id(1) });
    holder.out.clear();
    holder.wait(Duration::from_secs(8));
    assert_eq!(holder.pool.held(holder.now).len(), 1);
    holder.wait(Duration::from_millis(911));
    assert_eq!(holder.pool.held(holder.now).len(), 0);
    assert!(holder.out.iter().any(|out| matches!(out, Output::Event(Event::LeaseLost { why: None, .. }))));
}

#[test]
fn an_answer_that_comes_too_late_gives_nothing() {
    let (mut owner, mut holder) = (Node::new(1), Node::new(2));
    holder.up(1, 2);
    let call = command(&mut holder, acquire(false));
    holder.now = holder.now + Duration::from_millis(8_911);
    talk(&mut holder, &mut owner);
    assert!(matches!(outcome(&mut holder, call), Some(Err(PoolError::NoAnswer { .. }))));
    assert!(holder.pool.held(holder.now).is_empty());
    talk(&mut holder, &mut owner);
    assert!(matches!(owner.request(3, &ask(1)), Some(Reply::Lease(_))), "and it was given back");
}

#[test]
fn two_programs_of_one_device_do_not_both_hold_it() {
    let (mut owner, mut holder) = (Node::new(1), Node::new(2));
    holder.up(1, 2);
    command(&mut holder, acquire(false));
    let second = command(&mut holder, acquire(false));
    assert!(matches!(outcome(&mut holder, second), Some(Err(PoolError::AlreadyHeld { .. }))), "while it is asked for");
    talk(&mut holder, &mut owner);
    let third = command(&mut holder, acquire(false));
    assert!(matches!(outcome(&mut holder, third), Some(Err(PoolError::AlreadyHeld { .. }))), "nor when it is held");
}

#[test]
fn a_refused_renewal_or_write_ends_the_belief() {
    for how in 0..2 {
        let (mut owner, mut holder) = (Node::new(1), Node::new(2));
        holder.up(1, 2);
        command(&mut holder, acquire(false));
        talk(&mut holder, &mut owner);
        let lease = holder.pool.held(holder.now)[0].lease;
        // The owner's state was lost, say: it does not know of the lease any more.
        let mut owner = Node::new(1);
        let again = match how {
            0 => Command::Renew { lease, duration: Duration::from_secs(5) },
            _ => Command::Write { resource: lamp(1), value: Value::Bool(true), token: None },
        };
        let call = command(&mut holder, again);
        talk(&mut holder, &mut owner);
        assert!(matches!(outcome(&mut holder, call), Some(Err(PoolError::Refused { .. }))));
        assert!(holder.pool.held(holder.now).is_empty());
        let lost = |out: &Output| matches!(out, Output::Event(Event::LeaseLost { why: Some(Refusal::StaleToken), .. }));
        assert!(holder.out.iter().any(lost));
    }
}

#[test]
fn leases_on_a_forgotten_device_are_dropped() {
    let (mut owner, mut holder) = (Node::new(1), Node::new(2));
    holder.up(1, 2);
    command(&mut holder, acquire(true));
    talk(&mut holder, &mut owner);
    holder.give(Input::Group(group(&[(2, Role::Owner)])));
    assert!(holder.pool.held(holder.now).is_empty());
    let call = command(&mut holder, Command::Read(lamp(1)));
    assert_eq!(outcome(&mut holder, call), Some(Err(PoolError::UnknownDevice(id(1)))));
}
