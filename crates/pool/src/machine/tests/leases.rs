//! Leases on this device's resources.

use super::*;

#[test]
fn nobody_hears_of_a_lease_before_it_is_durable() {
    let mut node = Node::new(1);
    let asking = |node: &mut Node, call: u64, from: u8| {
        let bytes = ask(call).emit().unwrap().into();
        node.pool.handle(node.now, WallTime::default(), Input::Request { call: CallId(call), from: id(from), bytes });
        node.collect(false);
    };
    asking(&mut node, 50, 2);
    assert_eq!(node.answer(CallId(50)), None);
    asking(&mut node, 51, 3);
    assert!(matches!(node.answer(CallId(51)), Some(Reply::Refused(Refusal::HeldBy { .. }))));
    let ticket = |node: &Node| match node.out.last() {
        Some(Output::Persist { ticket, key: grants::KEY, .. }) => *ticket,
        other => panic!("{other:?}"),
    };
    let first = ticket(&node);
    node.give(Input::PersistFailed { ticket: first, why: "disk full".into() });
    assert_eq!(refusal(node.answer(CallId(50))).to_string(), "it failed: disk full");
    assert_eq!(node.request(3, &ask(2)), None, "the disk is given a moment");
    let call = CallId(node.calls);
    node.wait(crate::limits::RETRY);
    assert!(lease(node.answer(call)) > Token(1), "the failed token may be on disk");
}

#[test]
fn a_new_lease_waits_for_what_runs_under_the_old_one() {
    let mut node = Node::new(1);
    let old = lease(node.request(2, &ask(1)));
    node.request(2, &write(Some(old)));
    let (writing, _) = node.performing().unwrap();
    node.wait(Duration::from_secs(11));
    assert_eq!(node.cuts().len(), 1, "its time is over");
    assert_eq!(node.request(3, &ask(1)), None, "not while the other may still write");
    let call = CallId(node.calls);
    node.give(Input::Performed { id: writing, result: Err(Refusal::StaleToken) });
    assert!(lease(node.answer(call)) > old);

    // A driver that never stops what it does costs the asker some patience, and nobody the lease.
    let held = lease(node.request(3, &ask(2)));
    node.request(3, &write(Some(held)));
    node.wait(Duration::from_secs(11));
    assert_eq!(node.request(2, &ask(9)), None);
    let call = CallId(node.calls);
    node.wait(GRANT_PATIENCE);
    assert_eq!(node.answer(call), Some(Reply::Refused(Refusal::Busy)));
}

#[test]
fn a_holder_is_told_when_its_lease_is_void() {
    let mut node = Node::new(1);
    node.up(2, 2);
    let token = lease(node.request(2, &ask(1)));
    node.notices(2);
    let mut closed = resources();
    closed[1].access.control = Audience::Owners;
    node.give(Input::Resources(closed));
    let told = |notice: &Notice| matches!(notice, Notice::LeaseEnded(ended) if ended.lease.token == token);
    assert_eq!(node.notices(2).iter().filter(|notice| told(notice)).count(), 1);
    assert!(matches!(refusal(node.request(2, &write(Some(token)))), Refusal::NotAllowed { .. }));
    node.wait(Duration::from_secs(1));
    assert!(!node.notices(2).iter().any(told), "once");
}

#[test]
fn leases_are_listed_for_those_who_may_use_the_resource() {
    let mut node = Node::new(1);
    node.up(3, 2);
    node.up(4, 2);
    let token = lease(node.request(2, &ask(1)));
    node.wait(Duration::from_secs(1));
    let listed = |notices: Vec<Notice>| {
        let leases = |notice| if let Notice::Leases(leases) = notice { leases.leases } else { vec![] };
        notices.into_iter().flat_map(leases).map(|info| info.lease.token).collect::<Vec<_>>()
    };
    assert_eq!(listed(node.notices(3)), [token]);
    assert_eq!(listed(node.notices(4)), [], "a guest may not even read the lamp");
}
