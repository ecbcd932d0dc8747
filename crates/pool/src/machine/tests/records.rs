//! What members are told of each other.

use super::*;

#[test]
fn version_1_gets_everything_on_contact_and_version_2_only_what_it_lacks() {
    let mut node = Node::new(1);
    tell(&mut node, 2, &Notice::Record(described(2, 5)));
    node.up(3, 1);
    let notices = node.notices(3);
    assert_eq!(records(&notices).len(), 2, "its own and that of 2: {notices:?}");
    assert!(!notices.iter().any(|notice| matches!(notice, Notice::Digest(_))), "version 1 knows no digests");

    node.up(2, 2);
    let notices = node.notices(2);
    assert!(records(&notices).is_empty());
    let Some(Notice::Digest(digest)) = notices.iter().find(|notice| matches!(notice, Notice::Digest(_))) else {
        panic!("{notices:?}")
    };
    assert!(digest.whole && digest.entries.len() == 2);
    // What 2 has is what it said, so that only the other record goes there.
    let theirs = digest.entries.iter().filter(|entry| entry.device == id(2)).copied().collect();
    tell(&mut node, 2, &Notice::Digest(Digest { whole: true, entries: theirs }));
    assert_eq!(records(&node.notices(2)), [id(1)]);
    tell(&mut node, 2, &Notice::Digest(digest.clone()));
    assert!(records(&node.notices(2)).is_empty());
}

#[test]
fn news_are_passed_on_and_fetched_by_whoever_lacks_them() {
    let mut node = Node::new(1);
    node.up(2, 2);
    node.up(3, 2);
    node.up(4, 1);
    [2, 3, 4].into_iter().for_each(|peer| drop(node.notices(peer)));
    tell(&mut node, 2, &Notice::Record(described(2, 5)));
    assert_eq!(records(&node.notices(4)), [id(2)], "at once to version 1");
    assert!(node.notices(3).is_empty());
    node.wait(RELAY_PACE);
    let notices = node.notices(3);
    let [Notice::Digest(digest)] = notices.as_slice() else { panic!("{notices:?}") };
    assert!(!digest.whole);
    assert_eq!(node.notices(2), [], "not back to whom it came from");
    let lacks = digest.entries.iter().map(|entry| DigestEntry { seq: 0, ..*entry }).collect();
    tell(&mut node, 3, &Notice::Digest(Digest { whole: false, entries: lacks }));
    assert_eq!(records(&node.notices(3)), [id(2)]);

    // And the other way round: it asks for what it hears of.
    let entry = DigestEntry { device: id(2), via: None, seq: 9, mark: [0; 8] };
    tell(&mut node, 3, &Notice::Digest(Digest { whole: false, entries: vec![entry] }));
    let notices = node.notices(3);
    let [Notice::Digest(asking)] = notices.as_slice() else { panic!("{notices:?}") };
    assert_eq!(asking.entries.first().map(|entry| entry.seq), Some(5));
}

#[test]
fn digests_are_repeated_and_lost_notices_made_up_for() {
    let mut node = Node::new(1);
    node.up(2, 2);
    node.notices(2);
    node.wait(DIGEST_INTERVAL);
    assert!(node.notices(2).iter().any(|notice| matches!(notice, Notice::Digest(digest) if digest.whole)));
    node.give(Input::NoticeDone { to: id(2), generation: 1, sent: false });
    node.wait(crate::limits::RETRY);
    assert!(node.notices(2).iter().any(|notice| matches!(notice, Notice::Digest(digest) if digest.whole)));
}

#[test]
fn a_change_of_the_group_is_followed_by_a_digest_at_once() {
    let mut node = Node::new(1);
    node.up(2, 2);
    node.notices(2);
    node.give(Input::Group(group(&EVERYBODY[..3])));
    assert!(node.notices(2).iter().any(|notice| matches!(notice, Notice::Digest(digest) if digest.whole)));
}

#[test]
fn a_slow_peer_costs_a_window_and_gets_the_latest() {
    let mut node = Node::new(1);
    let many: Vec<(u8, Role)> = (1..40).map(|number| (number, Role::Member)).collect();
    node.give(Input::Group(group(&many)));
    for number in 3..40 {
        tell(&mut node, 3, &Notice::Record(described(number, 1)));
    }
    node.up(2, 1);
    let sent = |node: &Node| node.out.iter().filter(|out| matches!(out, Output::Notify { .. })).count();
    assert_eq!(sent(&node), NOTICE_WINDOW);
    node.wait(Duration::from_secs(60));
    assert_eq!(sent(&node), NOTICE_WINDOW, "nothing more until some have left");
    assert_eq!(records(&node.notices(2)).len(), 38, "all in the end");
}

#[test]
fn only_this_devices_own_word_moves_its_number() {
    let mut node = Node::new(1);
    node.up(2, 2);
    let seq = |node: &Node| node.pool.own.current().unwrap().record().seq;
    let lie = DigestEntry { device: id(1), via: None, seq: u64::MAX, mark: [0; 8] };
    tell(&mut node, 2, &Notice::Digest(Digest { whole: true, entries: vec![lie] }));
    node.wait(Duration::from_secs(1));
    assert_eq!(seq(&node), 1);
    let bytes = described(1, 500).unverified().to_vec();
    tell(&mut node, 2, &Notice::Record(Signed::sign(Context::DEVICE_RECORD, bytes, &key(2))));
    node.wait(Duration::from_secs(1));
    assert_eq!(seq(&node), 1);
    tell(&mut node, 2, &Notice::Record(described(1, 500)));
    node.wait(Duration::from_secs(1));
    assert_eq!(seq(&node), 501);
}

#[test]
fn known_devices_are_known_after_a_restart() {
    let mut node = Node::new(1);
    tell(&mut node, 2, &Notice::Record(described(2, 5)));
    tell(&mut node, 3, &Notice::Record(described(3, 5)));
    node.wait(SAVE_PACE);
    let mut saved = BTreeMap::new();
    for out in &node.out {
        if let Output::Persist { key, bytes, .. } = out {
            saved.insert(*key, bytes.clone());
        }
    }
    let fewer = group(&[(1, Role::Owner), (2, Role::Member)]);
    let again = Pool::new(node.now, WallTime::default(), setup(1, saved.clone()), fewer).unwrap();
    let names: Vec<Name> = again.catalogue().devices.values().map(|entry| entry.name).collect();
    assert!(names.contains(&name("somebody")) && names.len() == 2, "whoever was forgotten meanwhile is not: {names:?}");
    // That memory may be lost; the others may not.
    saved.insert(sync::KEY, b"junk".to_vec());
    assert!(Pool::new(node.now, WallTime::default(), setup(1, saved.clone()), Group::default()).is_ok());
    saved.insert(grants::KEY, b"junk".to_vec());
    let error = Pool::new(node.now, WallTime::default(), setup(1, saved), Group::default()).err();
    assert!(matches!(error, Some(RestoreError::Unreadable { key: grants::KEY, .. })), "{error:?}");
}

#[test]
fn in_a_large_group_peers_are_told_everything_in_turn() {
    let mut node = Node::new(1);
    let others: Vec<u8> = (2..22).collect();
    let members = std::iter::once((1, Role::Owner)).chain(others.iter().map(|number| (*number, Role::Member)));
    node.give(Input::Group(group(&members.collect::<Vec<_>>())));
    for &number in &others {
        node.up(number, 2);
        node.notices(number);
    }
    let mut told = std::collections::BTreeSet::new();
    for _ in 0..3 {
        node.wait(DIGEST_INTERVAL);
        let whole = |notice: &Notice| matches!(notice, Notice::Digest(digest) if digest.whole);
        let now: Vec<u8> = others.iter().copied().filter(|number| node.notices(*number).iter().any(whole)).collect();
        assert_eq!(now.len(), crate::limits::DIGEST_PEERS);
        told.extend(now);
    }
    assert_eq!(told.len(), others.len());
}

#[test]
fn a_pool_with_nothing_to_do_waits() {
    let mut node = Node::new(1);
    node.wait(Duration::from_secs(60));
    assert_eq!(node.pool.poll_timeout(), None);
    node.up(2, 2);
    node.notices(2);
    assert!(node.pool.poll_timeout().is_some_and(|due| due > node.now), "a digest, later");
}
