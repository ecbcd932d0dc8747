//! Rule 8: what apps are allowed.

use super::*;

fn grant(of: &str, minor: u16, wants: &[&str]) -> AppGrant {
    let author = device(20).id;
    AppGrant {
        author,
        name: name(of),
        floor: (0, minor, 0),
        wants: wants.iter().map(|it| name(it)).collect(),
        memory_kib: 64,
    }
}

/// Two owners, and what each can do on a copy of its own.
fn two() -> (Group, Group) {
    let mut group = Group::found(&device(0).key, name("a"), [0; 16], at(0));
    group.add(&device(0).key, device(1).id, Role::Owner, name("b"), [1; 16], at(1)).unwrap();
    (group.clone(), group)
}

fn sync(a: &mut Group, b: &mut Group) {
    let from = |it: &Group, to: &Group| it.missing_from(&to.hashes().collect());
    let (to_b, to_a) = (from(a, b), from(b, a));
    b.merge(to_b).unwrap();
    a.merge(to_a).unwrap();
    assert_eq!(a, b);
    assert_eq!(a.grants(), b.grants());
}

#[test]
fn a_grant_is_given_replaced_and_taken_back() {
    let (mut group, _) = two();
    let key = &device(0).key;
    group.allow(key, grant("thermo", 1, &["screen"]), [2; 16], at(2)).unwrap();
    let granted = &group.grants()[&name("thermo")];
    assert_eq!((granted.by, granted.at, &granted.grant), (device(0).id, at(2), &grant("thermo", 1, &["screen"])));
    group.allow(key, grant("thermo", 2, &[]), [3; 16], at(3)).unwrap();
    assert_eq!(group.grants()[&name("thermo")].grant, grant("thermo", 2, &[]));
    let older = group.allow(key, grant("thermo", 1, &[]), [4; 16], at(4));
    assert_eq!(older, Err(GroupError::Downgrade { floor: (0, 2, 0) }));
    group.disallow(key, name("thermo"), [5; 16], at(5)).unwrap();
    assert!(group.grants().is_empty());
    assert!(matches!(group.disallow(key, name("thermo"), [6; 16], at(6)), Err(GroupError::UnknownApp(_))));
    // An owner's fresh word may begin anywhere.
    group.allow(key, grant("thermo", 1, &[]), [7; 16], at(7)).unwrap();
    assert_eq!(Group::decode(&group.encode()).unwrap().grants(), group.grants());
}

#[test]
fn of_yes_and_no_at_the_same_time_no_holds() {
    let (mut a, mut b) = two();
    a.allow(&device(0).key, grant("thermo", 1, &[]), [2; 16], at(2)).unwrap();
    sync(&mut a, &mut b);
    a.allow(&device(0).key, grant("thermo", 2, &["lamp"]), [3; 16], at(3)).unwrap();
    b.disallow(&device(1).key, name("thermo"), [4; 16], at(4)).unwrap();
    sync(&mut a, &mut b);
    assert!(a.grants().is_empty());
    a.allow(&device(0).key, grant("thermo", 2, &["lamp"]), [5; 16], at(5)).unwrap();
    sync(&mut a, &mut b);
    assert_eq!(b.grants().len(), 1);
}

#[test]
fn of_two_versions_at_the_same_time_the_higher_holds() {
    let (mut a, mut b) = two();
    a.allow(&device(0).key, grant("thermo", 3, &[]), [2; 16], at(9)).unwrap();
    b.allow(&device(1).key, grant("thermo", 2, &[]), [3; 16], at(10)).unwrap();
    sync(&mut a, &mut b);
    assert_eq!(a.grants()[&name("thermo")].grant.floor, (0, 3, 0));
}

#[test]
fn what_a_removed_owner_allowed_behind_the_removal_is_void() {
    let (mut a, mut b) = two();
    a.remove(&device(0).key, device(1).id, [2; 16], at(2)).unwrap();
    b.allow(&device(1).key, grant("spy", 1, &["camera"]), [3; 16], at(1)).unwrap();
    sync(&mut a, &mut b);
    assert!(a.grants().is_empty());
}

#[test]
fn only_owners_allow() {
    let mut group = Group::found(&device(0).key, name("a"), [0; 16], at(0));
    group.add(&device(0).key, device(1).id, Role::Member, name("b"), [1; 16], at(1)).unwrap();
    let refused = group.allow(&device(1).key, grant("thermo", 1, &[]), [2; 16], at(2));
    assert_eq!(refused, Err(GroupError::NotAnOwner { role: Role::Member }));
    // Nor does it help to sign one all the same.
    let heads = group.heads();
    let added = group.members()[&device(1).id].add;
    let forged = forge(&device(1).key, &group, &heads, added, Action::Allow(grant("thermo", 1, &[])));
    let Err(GroupError::BadEntry { fault, .. }) = group.merge(vec![forged]) else { panic!() };
    assert_eq!(fault, EntryFault::NotAnOwner { author: device(1).id });
}

#[test]
fn a_grant_without_form_is_refused() {
    let (mut group, _) = two();
    let many: Vec<String> = (0..=MAX_GRANTED_WANTS).map(|it| format!("want-{it:03}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for wants in [&many[..], &["b", "a"], &["a", "a"]] {
        let forged = forge(
            &device(0).key,
            &group,
            &group.heads(),
            EntryHash(group.id().0),
            Action::Allow(grant("thermo", 1, wants)),
        );
        let Err(GroupError::BadEntry { fault, .. }) = group.merge(vec![forged]) else { panic!() };
        assert_eq!(fault, EntryFault::Grant);
        assert!(group.allow(&device(0).key, grant("thermo", 1, wants), [3; 16], at(3)).is_err());
    }
}
