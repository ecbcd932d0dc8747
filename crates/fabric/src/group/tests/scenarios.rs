//! Named scenarios: one for each rule and each attack of the module's documentation, each a few steps long.
//!
//! Every device has its own copy and acts on that; what happens between two `sync` happens at the same time.
//!
//! | step | what happens |
//! |---|---|
//! | `a+b=owner` | a adds b, who gets a copy of a's group |
//! | `a-b`, `a-a` | a removes b; a leaves |
//! | `a:b=guest` | a changes b's role |
//! | `a!` | a exports recovery words |
//! | `a>d`, `b>d with a` | d is recovered on a's copy by the words in force; by those that a exported |
//! | `keep a` | a's copy of now is kept as A: what A does is signed by a, but knows nothing later |
//! | `sync` | everybody gets everything (but A, who hears nothing) |
//! | `… ? text` | the step is refused with an error that contains this |

use std::collections::BTreeMap;

use super::*;

const SCENARIOS: &[(&str, &str, &str)] = &[
    // Rule 1
    ("owners add", "a+b=owner; b+c; sync", "a owner, b owner, c member"),
    ("members do not add", "a+b; b+c ? only an owner", "a owner, b member"),
    ("guests do not remove", "a+b; a+c=guest; sync; c-b ? only an owner", "a owner, b member, c guest"),
    ("a stranger does nothing", "a+b; sync; b-b; sync; b+c ? it left", "a owner"),
    ("who is in cannot be added", "a+b; a+b ? already, as member", "a owner, b member"),
    ("who is out cannot be removed", "a+b; a-b; a-b ? removed it", "a owner"),
    // Rule 2
    ("what a removal knows stays", "a+b=owner; sync; b+c; sync; a-b; sync", "a owner, c member"),
    ("what it does not know goes", "a+b=owner; sync; a-b; b+c; sync", "a owner"),
    ("back-dating", "a+b=owner; sync; keep b; a-b; sync; a+c; sync; B+x=owner; x+y=owner; sync", "a owner, c member"),
    ("back-dated removal by a removed owner", "a+b=owner; sync; keep b; a-b; sync; B-a; sync", "a owner"),
    ("a junior may remove its senior", "a+b=owner; sync; b-a; sync", "b owner"),
    ("who is removed meanwhile removes nobody", "a+b=owner; a+c; sync; b-a; a-c; sync", "b owner, c member"),
    ("a removal names the add", "a+b=owner; a+c; sync; b-c; a-c; a+c=guest; sync", "a owner, b owner, c guest"),
    ("coming back inherits nothing", "a+c=owner; sync; a-c; a+c; sync; c+d ? only an owner", "a owner, c member"),
    (
        "an old role change does not come back",
        "a+b=owner; a+c; sync; b:c=owner; a-c; a+c=guest; sync",
        "a owner, b owner, c guest",
    ),
    ("two remove the same", "a+b=owner; a+c; sync; a-c; b-c; sync", "a owner, b owner"),
    ("anybody may leave", "a+b; a+c=guest; sync; b-b; c-c; sync", "a owner"),
    // Rule 3
    ("the founder wins", "a+b=owner; sync; a-b; b-a; sync", "a owner"),
    ("the more senior wins", "a+b=owner; b+c=owner; sync; c-b; b-c; sync", "a owner, b owner"),
    ("a ring of three", "a+b=owner; b+c=owner; sync; a-b; b-c; c-a; sync", "a owner, c owner"),
    ("a ring of four", "a+b=owner; b+c=owner; c+d=owner; sync; a-b; b-c; c-d; d-a; sync", "a owner, c owner"),
    (
        "two pairs, one behind the other",
        "a+b=owner; b+c=owner; a+d=owner; d+e=owner; sync; a-d; d-a; d-b; b-c; c-b; sync",
        "a owner, b owner, e owner",
    ),
    ("a pair upstream decides about its senior", "a+b=owner; b+c=owner; sync; keep b; b-c; c-b; B-a; sync", "b owner"),
    (
        "dummies do not help",
        "a+b=owner; b+c=owner; sync; keep c; b-c; sync; C+x=owner; x-b; C+y=owner; y-b; sync",
        "a owner, b owner",
    ),
    ("a senior answers too late, but says otherwise", "a+b=owner; sync; keep a; b-a; sync; A-b; sync", "a owner"),
    ("harm is undone from before it", "a+b=owner; a+c=owner; sync; keep a; b-c; sync; A-b; sync", "a owner, c owner"),
    // Rule 5
    ("the lower role wins", "a+b=owner; a+c; sync; a:c=owner; b:c=guest; sync", "a owner, b owner, c guest"),
    ("the later role wins", "a+b=owner; a+c; sync; a:c=guest; sync; b:c=owner; sync", "a owner, b owner, c owner"),
    ("removal wins over promotion", "a+b=owner; a+c; sync; a-c; b:c=owner; sync", "a owner, b owner"),
    ("demotion ends ownership", "a+b=owner; sync; a:b=member; b+c=owner; sync", "a owner, b member"),
    ("of two demotions the senior's", "a+b=owner; sync; a:b=guest; b:a=guest; sync", "a owner, b guest"),
    ("demotion against removal", "a+b=owner; b+c=owner; sync; b:c=guest; c-b; sync", "a owner, b owner, c guest"),
    ("made an owner again", "a+b=owner; sync; a:b=member; a:b=owner; sync; b+c; sync", "a owner, b owner, c member"),
    (
        "the lower role wins over each of two later ones",
        "a+b=owner; a+c=owner; sync; a:b=guest; a:b=owner; c:b=member; sync",
        "a owner, b guest, c owner",
    ),
    ("who is demoted may still leave", "a+b=owner; sync; a:b=guest; b-b; sync", "a owner"),
    ("added twice, the lower role", "a+b=owner; sync; a+c=owner; b+c=guest; sync", "a owner, b owner, c guest"),
    (
        "added twice, then promoted",
        "a+b=owner; sync; a+c=owner; b+c=guest; sync; b:c=owner; sync; c+d; sync",
        "a owner, b owner, c owner, d member",
    ),
    (
        "added twice, then demoted",
        "a+b=owner; sync; a+c=owner; b+c=owner; sync; b:c=guest; sync",
        "a owner, b owner, c guest",
    ),
    ("added twice, then removed", "a+b=owner; sync; a+c; b+c=guest; sync; b-c; sync", "a owner, b owner"),
    ("added twice, one removed meanwhile", "a+b=owner; sync; a+c; a-c; b+c=guest; sync", "a owner, b owner, c guest"),
    // Rule 6
    ("words make an owner", "a!; a+b=owner; sync; b-a; sync; b>d; sync; d-b; sync", "d owner"),
    ("words make an owner of a member", "a!; a+b; sync; b>b; sync", "a owner, b owner"),
    ("words bring back who was removed", "a!; a+b=owner; sync; b-a; sync; a>a; sync", "a owner, b owner"),
    (
        "words are exported once",
        "a!; a+b=owner; sync; b! ? recovery words already; a! ? recovery words already",
        "a owner, b owner",
    ),
    (
        "a more senior owner may export anew",
        "a+b=owner; sync; b!; sync; a!; sync; a>c with b ? not the recovery words; a>d; sync",
        "a owner, b owner, d owner",
    ),
    (
        "of two exports the senior's",
        "a+b=owner; sync; a!; b!; sync; b>c with a; b>d with b ? not the recovery words; sync",
        "a owner, b owner, c owner",
    ),
    ("who used the words outranks who exported them", "a!; a>d; sync; a-d; d-a; sync", "d owner"),
    (
        "who used them may renew them",
        "a!; a>d; sync; d!; sync; a>e with d; a>f with a ? not the recovery words; sync",
        "a owner, d owner, e owner",
    ),
    (
        "and again",
        "a!; a>d; d!; d>e; e!; sync; a>f with e; a>g with d ? not the recovery words; sync",
        "a owner, d owner, e owner, f owner",
    ),
    ("old words end with new ones", "a!; a>d; sync; keep a; d!; A>f; sync", "a owner, d owner"),
    ("no words", "a>b ? no recovery words", "a owner"),
    (
        "a rogue owner cannot change the words",
        "a!; a+b=owner; sync; b-a; sync; b! ? recovery words already; b>c with a; c-b; sync",
        "c owner",
    ),
    // Rule 7
    ("the last owner stays", "a+b; a-a ? without an owner; a:a=member ? without an owner; sync", "a owner, b member"),
    ("one of two may go", "a+b=owner; sync; a-a; sync; b-b ? without an owner", "b owner"),
    ("both leave at once", "a+b=owner; sync; a-a; b-b; sync", "a owner"),
    ("all leave at once", "a+b=owner; a+c=owner; b+d=owner; sync; a-a; b-b; c-c; d-d; sync", "a owner"),
    ("one leaves, one steps back", "a+b=owner; sync; a-a; b:b=guest; sync", "a owner, b guest"),
    ("one is removed, one leaves", "a+b=owner; b+c=owner; sync; a-a; b-c; c:c=guest; b-b; sync", "a owner"),
    (
        "who had to stay goes on",
        "a+b=owner; sync; a-a; b-b; sync; a+d; sync; a+e=owner; sync; a-a; sync",
        "d member, e owner",
    ),
    ("seniors first removed, juniors then leave", "a+b=owner; b+c=owner; sync; b-a; sync; b-b; c-c; sync", "b owner"),
];

/// All devices' copies.
struct World {
    groups: BTreeMap<char, Group>,
    steps: u64,
}

fn by_letter(letter: char) -> Device {
    device(letter.to_ascii_lowercase() as u8 - b'a')
}

fn words_of(letter: char) -> SigningKey {
    SigningKey::from_bytes(&[letter as u8; 32])
}

impl World {
    fn step(&mut self, step: &str) -> Result<(), GroupError> {
        self.steps += 1;
        let (nonce, now) = ([self.steps as u8; 16], at(self.steps));
        if step == "sync" {
            let all: Vec<Signed> =
                self.groups.values().flat_map(|group| group.missing_from(&BTreeSet::new())).collect();
            for (_, group) in self.groups.iter_mut().filter(|(letter, _)| letter.is_lowercase()) {
                group.merge(all.clone()).unwrap();
            }
            return Ok(());
        }
        let letters: Vec<char> = step.chars().collect();
        if let Some(kept) = step.strip_prefix("keep ") {
            let kept = kept.chars().next().unwrap();
            self.groups.insert(kept.to_ascii_uppercase(), self.groups[&kept].clone());
            return Ok(());
        }
        let (who, verb) = (letters[0], letters[1]);
        let key = by_letter(who).key;
        let whom = letters.get(2).map_or(by_letter(who), |letter| by_letter(*letter)).id;
        let role = step.split_once('=').map_or(Role::Member, |(_, role)| role.parse().unwrap());
        let label = name(&letters.get(2).copied().unwrap_or('x').to_string());
        let group = self.groups.get_mut(&who).unwrap_or_else(|| panic!("{step}: {who} has no copy"));
        match verb {
            '+' => group.add(&key, whom, role, label, nonce, now).map(drop)?,
            '-' => return group.remove(&key, whom, nonce, now).map(drop),
            ':' => return group.set_role(&key, whom, role, nonce, now).map(drop),
            '!' => return group.set_recovery(&key, &words_of(who).verifying_key(), nonce, now).map(drop),
            '>' => {
                let owner = step.split_once(" with ").map(|(_, letter)| letter.chars().next().unwrap());
                let in_force = ('a'..='z').find(|&letter| {
                    group
                        .recovery_key()
                        .is_some_and(|key| *key.as_bytes() == words_of(letter).verifying_key().to_bytes())
                });
                let words = words_of(owner.or(in_force).unwrap_or('?'));
                group.recover(&words, whom, label, nonce, now).map(drop)?;
            }
            _ => panic!("no such step: {step}"),
        }
        let copy = group.clone();
        self.groups.entry(letters[2]).or_insert(copy);
        Ok(())
    }
}

#[test]
fn all_scenarios() {
    let mut failures = Vec::new();
    for (title, script, expected) in SCENARIOS {
        let founder = device(0);
        let group = Group::found(&founder.key, name("a"), [0; 16], at(0));
        let mut world = World { groups: [('a', group)].into(), steps: 0 };
        for step in script.split("; ") {
            match (step.split_once(" ? "), world.step(step.split(" ? ").next().unwrap())) {
                (None, Ok(())) => {}
                (Some((_, text)), Err(error)) if error.to_string().contains(text) => {}
                (_, result) => failures.push(format!("{title}: step {step} gave {result:?}")),
            }
        }
        world.step("sync").unwrap();
        for (letter, group) in world.groups.iter().filter(|(letter, _)| letter.is_lowercase()) {
            if roles(group) != *expected {
                failures.push(format!("{title}: {letter} sees {:?}, not {expected:?}", roles(group)));
            }
            let read = Group::decode(&group.encode()).unwrap();
            assert_eq!((&read, read.members()), (group, group.members()), "{title}");
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn pair() -> (Device, Device, Group) {
    let (a, b) = (device(0), device(1));
    let mut group = Group::found(&a.key, name("a"), [0; 16], at(0));
    group.add(&a.key, b.id, Role::Member, name("b"), [1; 16], at(1)).unwrap();
    (a, b, group)
}

fn fault(result: Result<Merge, GroupError>) -> EntryFault {
    match result {
        Err(GroupError::BadEntry { fault, .. }) => fault,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn who_was_removed_learns_by_whom() {
    let (a, b, mut group) = pair();
    let c = device(2);
    group.set_role(&a.key, b.id, Role::Owner, [2; 16], at(2)).unwrap();
    let mut theirs = group.clone();
    theirs.add(&b.key, c.id, Role::Member, name("c"), [3; 16], at(3)).unwrap();
    group.remove(&a.key, b.id, [4; 16], at(4)).unwrap();
    let merge = group.merge(theirs.missing_from(&BTreeSet::new())).unwrap();
    assert_eq!((merge.added.len(), merge.changed, merge.waiting_for.len()), (1, true, 0));
    assert_eq!(group.removed(b.id), Some(Removal { by: a.id, at: at(4), how: Departure::Removed }));
    assert_eq!(group.removed(c.id), Some(Removal { by: a.id, at: at(4), how: Departure::Cancelled }));
    assert_eq!((group.removed(a.id), group.removed(device(9).id)), (None, None));
    assert!(!group.counts(merge.added[0]));
    let refused = group.add(&c.key, device(3).id, Role::Member, name("d"), [5; 16], at(5)).unwrap_err();
    insta::assert_snapshot!(
        refused,
        @"47fa8761c6 is not in this group any more: 8e642c6ffe removed or demoted the owner that had added it; pair it first"
    );
}

#[test]
fn a_member_that_signs_what_only_an_owner_may_is_refused() {
    let (_, b, mut group) = pair();
    let add = group.members()[&b.id].add;
    let action = Action::Add { device: device(2).id, role: Role::Owner, name: name("c") };
    let entry = forge(&b.key, &group, &group.heads(), add, action.clone());
    assert_eq!(fault(group.merge(vec![entry])), EntryFault::NotAnOwner { author: b.id });
    // Nor by the founder's authority, nor by one that is not in the past of the entry.
    let root = group.members()[&device(0).id].add;
    let entry = forge(&b.key, &group, &group.heads(), root, action.clone());
    assert_eq!(fault(group.merge(vec![entry])), EntryFault::Authority);
    let entry = forge(&b.key, &group, &[root], add, action);
    assert_eq!(fault(group.merge(vec![entry])), EntryFault::Authority);
    let entry = forge(&b.key, &group, &[root], root, Action::Recover { device: b.id, name: name("b") });
    assert_eq!(fault(group.merge(vec![entry])), EntryFault::Authority);
    assert_eq!(group.len(), 2);
}

#[test]
fn a_removal_must_name_the_entry_that_added_the_device() {
    let (a, b, mut group) = pair();
    let root = group.members()[&a.id].add;
    let add = group.members()[&b.id].add;
    for (parents, named) in [(group.heads(), root), (vec![root], add), (group.heads(), EntryHash([0; 32]))] {
        for action in [
            Action::Remove { device: b.id, add: named },
            Action::SetRole { device: b.id, add: named, role: Role::Owner },
        ] {
            let entry = forge(&a.key, &group, &parents, root, action);
            assert_eq!(fault(group.merge(vec![entry])), EntryFault::Target { device: b.id });
        }
    }
}

#[test]
fn entries_of_another_group_are_refused() {
    let (a, _, mut group) = pair();
    let other = Group::found(&a.key, name("a"), [7; 16], at(0));
    assert_eq!(fault(group.merge(other.missing_from(&BTreeSet::new()))), EntryFault::OtherGroup);
    let root = group.members()[&a.id].add;
    let action = Action::SetRecovery { key: device(5).id };
    let entry = forge(&a.key, &other, &[root], root, action);
    assert_eq!(fault(group.merge(vec![entry])), EntryFault::OtherGroup);
}

#[test]
fn a_founder_may_have_recovery_words_from_the_start() {
    let (a, d) = (device(0), device(3));
    let words = words_of('a');
    let mut group = Group::found_recoverable(&a.key, name("a"), &words.verifying_key(), [0; 16], at(0));
    assert_eq!(
        group.set_recovery(&a.key, &words_of('b').verifying_key(), [1; 16], at(1)),
        Err(GroupError::RecoverySet)
    );
    group.recover(&words, d.id, name("d"), [2; 16], at(2)).unwrap();
    group.set_recovery(&d.key, &words_of('b').verifying_key(), [3; 16], at(3)).unwrap();
    assert_eq!(group.recover(&words, a.id, name("a"), [4; 16], at(4)), Err(GroupError::WrongRecovery));
    assert_eq!(Group::decode(&group.encode()).unwrap().recovery_key(), group.recovery_key());
}

#[test]
fn adding_a_member_anew_replaces_its_standing() {
    // No honest device does this: rule 4.
    let (a, b, mut group) = pair();
    group.set_role(&a.key, b.id, Role::Owner, [2; 16], at(2)).unwrap();
    let root = group.members()[&a.id].add;
    let action = Action::Add { device: b.id, role: Role::Guest, name: name("b2") };
    let again = forge(&a.key, &group, &group.heads(), root, action);
    let mut theirs = group.clone();
    theirs.add(&b.key, device(2).id, Role::Owner, name("c"), [3; 16], at(3)).unwrap();
    group.merge(vec![again]).unwrap();
    group.merge(theirs.missing_from(&BTreeSet::new())).unwrap();
    assert_eq!(roles(&group), "a owner, b guest");
    assert_eq!(group.members()[&b.id].name, name("b2"));
}

#[test]
fn unknown_actions_are_kept_and_relayed_without_effect() {
    let (a, b, mut group) = pair();
    let root = group.members()[&a.id].add;
    let known = forge(&a.key, &group, &group.heads(), root, Action::SetRecovery { key: device(5).id });
    let sections = tutti_model::section::Sections::new_checked(known.unverified()).unwrap();
    let mut writer = tutti_model::section::SectionWriter::new();
    writer.push_section(sections.iter().next().unwrap()).unwrap();
    writer.push_raw(tutti_model::section::Tag(40), 1, b"grant").unwrap();
    let grant = Signed::sign(tutti_model::signed::Context::GROUP_ENTRY, writer.finish(), &a.key);
    let merge = group.merge(vec![grant.clone()]).unwrap();
    assert_eq!((merge.added.as_slice(), merge.changed), ([EntryHash::of(&grant)].as_slice(), false));
    assert_eq!(group.entry(merge.added[0]).unwrap().action, Action::Unknown);
    // The next entry links to it, and both travel on.
    group.remove(&a.key, b.id, [4; 16], at(4)).unwrap();
    let read = Group::decode(&group.encode()).unwrap();
    assert!(read.contains(merge.added[0]) && read.missing_from(&BTreeSet::new()).contains(&grant));
    assert_eq!((read.len(), roles(&read)), (4, "a owner".to_owned()));
}
