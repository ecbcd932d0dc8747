//! Bounds on room and time, and who can use them up.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::*;
use crate::group::evaluate::evaluate;

fn nonce(number: usize) -> [u8; 16] {
    (number as u128 + 1).to_le_bytes()
}

/// Signs an entry after `parents` that the authority of the author allows, as fast as it can.
fn entry(
    group: &Group,
    who: &Device,
    parents: Vec<EntryHash>,
    authority: EntryHash,
    number: usize,
    action: Action,
) -> Signed {
    let entry = Entry {
        group: Some(group.id()),
        parents,
        authority: Some(authority),
        author: who.id,
        at: at(1),
        nonce: nonce(number),
        action,
    };
    entry.sign(&who.key).unwrap()
}

/// A group of a and b, both owners, and the entries that made them so.
fn two_owners() -> (Device, Device, Group, EntryHash, EntryHash) {
    let (a, b) = (device(0), device(1));
    let mut group = Group::found(&a.key, name("a"), [0; 16], at(0));
    group.add(&a.key, b.id, Role::Owner, name("b"), [1; 16], at(1)).unwrap();
    let (root, add) = (group.members()[&a.id].add, group.members()[&b.id].add);
    (a, b, group, root, add)
}

fn any_device(number: usize) -> DeviceId {
    DeviceId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

/// The processor time of this thread: other tests beside it do not count.
fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn timed(what: &str, most: Duration, work: impl FnOnce()) {
    let start = now();
    work();
    let took = now() - start;
    assert!(took < most, "{what} took {took:?}, more than {most:?}");
}

#[test]
fn a_thousand_entries_are_quick() {
    let (a, _, mut group, root, _) = two_owners();
    let mut parents = group.heads();
    let mut entries = Vec::new();
    for number in 0..1000 {
        let action = Action::Add { device: any_device(number), role: Role::Member, name: name("x") };
        let signed = entry(&group, &a, parents, root, number, action);
        parents = vec![EntryHash::of(&signed)];
        entries.push(signed);
    }
    entries.reverse();
    let start = now();
    for signed in &entries {
        signed.verify(tutti_model::signed::Context::GROUP_ENTRY, a.id).unwrap();
    }
    let verifying = now() - start;
    timed("merging 1000 entries", verifying * 3 + Duration::from_secs(1), || {
        assert_eq!(group.merge(entries).unwrap().added.len(), 1000);
    });
    timed("evaluating 1000 entries", Duration::from_secs(1), || {
        assert_eq!(evaluate(&group.graph).members.len(), 1002);
    });
    timed("adding one", Duration::from_secs(1), || {
        group.add(&a.key, device(9).id, Role::Member, name("x"), [7; 16], at(9)).unwrap();
    });
}

#[test]
fn dense_contradictions_are_quick() {
    // Two owners remove each other 500 times each, all at the same time.
    let (a, b, mut group, root, add) = two_owners();
    let heads = group.heads();
    let entries: Vec<Signed> = (0..1000)
        .map(|number| match number % 2 {
            0 => entry(&group, &a, heads.clone(), root, number, Action::Remove { device: b.id, add }),
            _ => entry(&group, &b, heads.clone(), add, number, Action::Remove { device: a.id, add: root }),
        })
        .collect();
    assert_eq!(group.merge(entries).unwrap().added.len(), 1000);
    timed("evaluating it", Duration::from_secs(2), || {
        evaluate(&group.graph);
    });
    assert_eq!(roles(&group), "a owner");
    // More than 16 heads: a new entry names those that lead to what it needs, and then those that count.
    assert_eq!(group.heads().len(), 1000);
    group.add(&a.key, device(2).id, Role::Member, name("c"), [9; 16], at(9)).unwrap();
    assert_eq!(roles(&group), "a owner, c member");
    assert_eq!(group.heads().len(), 1000 - MAX_PARENTS + 1);
}

#[test]
fn an_only_owner_that_keeps_leaving_stays_and_costs_little() {
    let a = device(0);
    let mut group = Group::found(&a.key, name("a"), [0; 16], at(0));
    let root = group.heads()[0];
    let mut parents = group.heads();
    let mut entries = Vec::new();
    for number in 0..400 {
        let action = match number % 2 {
            0 => Action::Remove { device: a.id, add: root },
            _ => Action::Add { device: any_device(number), role: Role::Member, name: name("x") },
        };
        let signed = entry(&group, &a, parents, root, number, action);
        parents = vec![EntryHash::of(&signed)];
        entries.push(signed);
    }
    group.merge(entries).unwrap();
    assert_eq!((group.members().len(), group.role_of(a.id)), (201, Some(Role::Owner)));
    timed("evaluating it", Duration::from_secs(3), || {
        evaluate(&group.graph);
    });
}

#[test]
fn deep_delegation_needs_no_stack() {
    let a = device(0);
    let mut group = Group::found(&a.key, name("a"), [0; 16], at(0));
    let mut authority = group.heads()[0];
    let mut who = a;
    let mut entries = Vec::new();
    for number in 0..600usize {
        let key = SigningKey::from_bytes(blake3::hash(&number.to_le_bytes()).as_bytes());
        let next = Device { id: DeviceId::from_bytes(key.verifying_key().to_bytes()), key };
        let action = Action::Add { device: next.id, role: Role::Owner, name: name("x") };
        let signed = entry(&group, &who, vec![authority], authority, number, action);
        authority = EntryHash::of(&signed);
        entries.push(signed);
        who = next;
    }
    group.merge(entries).unwrap();
    assert_eq!(group.members().len(), 601);
    // The founder cuts the chain at its first link, at the same time as all of it was made.
    let root = group.id();
    let first = group.hashes().find(|hash| group.entry(*hash).unwrap().parents == [EntryHash(root.0)]).unwrap();
    let Action::Add { device: second, .. } = group.entry(first).unwrap().action else { panic!() };
    let action = Action::Remove { device: second, add: first };
    let cut = entry(&group, &device(0), vec![first], EntryHash(root.0), 7000, action);
    group.merge(vec![cut]).unwrap();
    assert_eq!(group.members().len(), 1);
}

#[test]
fn a_flooding_owner_does_not_take_the_others_room() {
    let (a, b, group, _, add) = two_owners();
    let action = |number| Action::Add { device: any_device(number), role: Role::Guest, name: name("x") };
    // Beside each other, so that what is kept depends on what comes first.
    let heads = group.heads();
    let flood: Vec<Signed> =
        (0..LINEAGE_SHARE + 40).map(|number| entry(&group, &b, heads.clone(), add, number, action(number))).collect();
    let (mut one, mut other) = (group.clone(), group);
    let refused = one.merge(flood[..LINEAGE_SHARE + 20].to_vec()).unwrap_err();
    let GroupError::BadEntry { fault, merge, .. } = refused else { panic!() };
    assert_eq!((fault, merge.added.len()), (EntryFault::OverShare { author: b.id }, LINEAGE_SHARE));
    assert!(!fault.is_misbehaviour());
    assert!(other.merge(flood[20..].to_vec()).is_err());
    assert_ne!(one, other);
    // The flooder cannot act any more, the founder can; and what it builds upon is taken everywhere.
    let refused = one.add(&b.key, device(2).id, Role::Member, name("c"), [8; 16], at(8));
    assert_eq!(refused, Err(GroupError::Refused(EntryFault::OverShare { author: b.id })));
    one.remove(&a.key, b.id, [9; 16], at(9)).unwrap();
    let known: BTreeSet<EntryHash> = other.hashes().collect();
    let _ = other.merge(one.missing_from(&known));
    assert_eq!((one.role_of(b.id), other.role_of(b.id)), (None, None));
    assert_eq!(one.role_of(a.id), Some(Role::Owner));
    assert_eq!(one.members().keys().next(), other.members().keys().next());
}

#[test]
fn a_guest_that_floods_separates_nobody() {
    let (a, _, mut group, _, _) = two_owners();
    let guest = device(5);
    group.add(&a.key, guest.id, Role::Guest, name("g"), [2; 16], at(2)).unwrap();
    let add = group.members()[&guest.id].add;
    let leave = |number| entry(&group, &guest, vec![add], add, number, Action::Remove { device: guest.id, add });
    let leaves: Vec<Signed> = (0..2 * PLAIN_SHARE).map(leave).collect();
    let (mut one, mut other) = (group.clone(), group);
    one.merge(leaves[..PLAIN_SHARE].to_vec()).unwrap();
    other.merge(leaves[PLAIN_SHARE..].to_vec()).unwrap();
    assert_eq!((roles(&one), one.members().len()), ("a owner, b owner".to_owned(), 2));
    // One more is refused, unless an owner has built upon it.
    assert!(other.merge(leaves[..1].to_vec()).is_err());
    one.add(&a.key, device(6).id, Role::Member, name("h"), [3; 16], at(3)).unwrap();
    let known: BTreeSet<EntryHash> = other.hashes().collect();
    other.merge(one.missing_from(&known)).unwrap();
    assert_eq!(roles(&other), "a owner, b owner, g member");
}

#[test]
fn orphans_are_held_up_to_a_bound_and_asked_for() {
    let (a, _, mut group, _, _) = two_owners();
    let before = group.clone();
    let mut entries = Vec::new();
    for number in 0..MAX_HELD + 50 {
        let signed = group.add(&a.key, any_device(number), Role::Guest, name("x"), nonce(number), at(2)).unwrap();
        entries.push(signed);
    }
    let mut copy = before.clone();
    let merge = copy.merge(entries[1..].to_vec()).unwrap();
    assert_eq!((merge.added.len(), merge.changed), (0, false));
    // The oldest were let go: they are asked for again.
    assert_eq!(copy.held.len(), MAX_HELD);
    let lacking = EntryHash::of(&entries[49]);
    assert_eq!(merge.waiting_for, [lacking]);
    let merge = copy.merge(entries[..50].to_vec()).unwrap();
    assert_eq!((merge.added.len(), copy.held.len(), merge.waiting_for.len()), (MAX_HELD + 50, 0, 0));
    assert_eq!(copy, group);
    // What is held is not in the group's bytes.
    let mut copy = before.clone();
    copy.merge(entries[1..2].to_vec()).unwrap();
    assert_eq!(copy.encode(), before.encode());
}

#[test]
fn whole_groups_are_checked_as_wholes() {
    use tutti_model::section::{SectionWriter, Tag};
    let (a, _, mut group, _, _) = two_owners();
    group.add(&a.key, device(2).id, Role::Member, name("c"), [3; 16], at(3)).unwrap();
    let entries = group.missing_from(&BTreeSet::new());
    let encode = |entries: &[Signed]| {
        let mut writer = SectionWriter::new();
        writer.push(Tag(2), 1, &entries).unwrap();
        writer.finish()
    };
    assert_eq!(Group::decode(&encode(&entries)).as_ref(), Ok(&group));
    assert_eq!(Group::decode(&encode(&[])), Err(GroupError::Empty));
    let lacking = Group::decode(&encode(&[entries[0].clone(), entries[2].clone()]));
    assert_eq!(lacking, Err(GroupError::Incomplete(EntryHash::of(&entries[1]))));
    let lacking = Group::decode(&encode(&entries[1..]));
    assert!(matches!(lacking, Err(GroupError::Incomplete(_))), "{lacking:?}");
    let other = Group::found(&a.key, name("z"), [7; 16], at(0)).missing_from(&BTreeSet::new());
    let two_roots = Group::decode(&encode(&[&entries[..], &other[..]].concat()));
    assert!(matches!(two_roots, Err(GroupError::BadEntry { index: 3, fault: EntryFault::OtherGroup, .. })));
    let many = vec![entries[1].clone(); MAX_ENTRIES + 1];
    assert_eq!(Group::decode(&encode(&many)), Err(GroupError::TooLarge { entries: MAX_ENTRIES + 1 }));
}
