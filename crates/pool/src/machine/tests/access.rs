//! Who may do what.

use super::*;

#[test]
fn every_request_is_checked_against_group_and_policy() {
    let mut node = Node::new(1);
    let read = |what: &str| Request::Read(Read { resource: ResourceId { device: id(1), name: name(what) } });
    assert_eq!(node.request(2, &read("warmth")), None, "under way");
    let (perform, work) = node.performing().unwrap();
    assert_eq!(work, Work::Read);
    let taken = Reading { value: Value::Int(1), at: WallTime::default() };
    node.give(Input::Performed { id: perform, result: Ok(Performed::Reading(taken.clone())) });
    assert_eq!(node.answer(CallId(1)), Some(Reply::Reading(taken)));

    let guest = refusal(node.request(4, &read("warmth")));
    assert_eq!(guest.to_string(), "a guest may not read it; only members and owners of the group may");
    assert_eq!(node.request(4, &read("open")), None, "open to guests");
    assert!(matches!(refusal(node.request(9, &read("open"))), Refusal::NotAllowed { .. }), "not in the group");
    assert!(matches!(refusal(node.request(9, &read("nothing"))), Refusal::NotAllowed { .. }), "nor told what is there");
    assert_eq!(refusal(node.request(2, &read("nothing"))), Refusal::NoSuchResource);
    assert_eq!(refusal(node.request(2, &Request::Read(Read { resource: lamp(3) }))), Refusal::NoSuchResource);
    assert!(matches!(refusal(node.request(4, &ask(1))), Refusal::NotAllowed { .. }), "nor a lease");
    assert_eq!(refusal(node.request(2, &write(None))), Refusal::LeaseNeeded);
    assert_eq!(refusal(node.request(2, &write(Some(Token(1))))), Refusal::StaleToken);
    node.give(Input::Request { call: CallId(900), from: id(2), bytes: Bytes::from_static(b"what?") });
    assert_eq!(node.answer(CallId(900)), Some(Reply::Refused(Refusal::Malformed)));
    node.give(Input::Request { call: CallId(901), from: id(2), bytes: Bytes::from_static(&[9, 9, 1, 0, 0, 0, 0, 0]) });
    assert_eq!(node.answer(CallId(901)), Some(Reply::Refused(Refusal::Unsupported)), "from a later version");
}

#[test]
fn what_runs_is_cut_when_it_is_not_allowed_any_more() {
    let mut node = Node::new(1);
    let token = lease(node.request(2, &ask(1)));
    node.request(2, &write(Some(token)));
    let (writing, _) = node.performing().unwrap();
    node.request(3, &Request::Read(Read { resource: ResourceId { device: id(1), name: name("warmth") } }));
    let reading_call = CallId(node.calls);
    let (reading, _) = node.performing().unwrap();
    node.give(Input::Group(group(&[(1, Role::Owner), (2, Role::Guest)])));
    let cut: Vec<PerformId> = node.cuts().into_iter().map(|(id, _)| id).collect();
    assert_eq!(cut, [writing, reading]);
    // It was read a moment too late to be told.
    let taken = Reading { value: Value::Int(1), at: WallTime::default() };
    node.give(Input::Performed { id: reading, result: Ok(Performed::Reading(taken)) });
    assert!(matches!(node.answer(reading_call), Some(Reply::Refused(Refusal::NotAllowed { .. }))));
}

#[test]
fn a_device_can_only_have_so_much_under_way() {
    let mut node = Node::new(1);
    let read = Request::Read(Read { resource: ResourceId { device: id(1), name: name("warmth") } });
    for _ in 0..crate::limits::MAX_OPS_PER_DEVICE {
        assert_eq!(node.request(2, &read), None);
    }
    assert_eq!(node.request(2, &read), Some(Reply::Refused(Refusal::Busy)));
    assert_eq!(node.request(3, &read), None, "others are not in its way");
}
