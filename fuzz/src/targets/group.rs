//! Entries of a trust group and whole groups, from strangers and from members who sign what they like.

use ed25519_dalek::SigningKey;
use tutti_fabric::group::{Action, Entry, EntryHash, Group, GroupError, GroupId, MAX_HELD};
use tutti_model::{
    DeviceId, Name, Role, WallTime,
    signed::{Context, Signed},
};

/// What is accepted comes out as something that reads the same.
pub(crate) fn entry(bytes: &[u8]) {
    let Ok(entry) = Entry::parse(bytes) else { return };
    let emitted = entry.emit().expect("an entry that was read can be written");
    assert_eq!(Entry::parse(&emitted).as_ref(), Ok(&entry));
}

pub(crate) fn entry_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let names = ["set_role", "add", "leave", "set_recovery", "recover"];
    let bytes = script().into_iter().map(|entry| entry.emit().expect("an example can be written"));
    let root = fixed().missing_from(&Default::default()).remove(0).unverified().to_vec();
    names.into_iter().zip(bytes).chain([("found", root)]).collect()
}

/// A whole group, as it is kept and shown as a proof: what is accepted is written and read as the same.
pub(crate) fn group(bytes: &[u8]) {
    let Ok(group) = Group::decode(bytes) else { return };
    assert!(group.len() > 0 && group.members().len() <= group.len());
    let again = Group::decode(&group.encode()).expect("a group that was read can be written");
    assert_same(&group, &again);
}

pub(crate) fn group_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut changed = fixed();
    changed.merge(sign(&script())).expect("the script is good");
    vec![("fixed", fixed().encode()), ("changed", changed.encode())]
}

/// Entries as they come over the wire, into a small group.
pub(crate) fn merge(bytes: &[u8]) {
    let Ok((entries, _)) = postcard::take_from_bytes::<Vec<Signed>>(bytes) else { return };
    converge(entries);
}

pub(crate) fn merge_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let bytes = |entries: &[Signed]| postcard::to_allocvec(entries).expect("bytes have a postcard form");
    let entries = sign(&script());
    let orphan: Vec<_> = entries.iter().skip(1).cloned().collect();
    let root = fixed().missing_from(&Default::default());
    vec![("script", bytes(&entries)), ("orphans", bytes(&orphan)), ("known", bytes(&root)), ("nothing", bytes(&[]))]
}

/// Entries that holders of keys of the group made up: each is signed with the key of whoever it names as its author.
/// Hashes that begin with a number and are zero otherwise stand for the entry of that number, so that mutations keep
/// what links entries to each other.
pub(crate) fn members(bytes: &[u8]) {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while let Some(([low, high], after)) = rest.split_first_chunk()
        && entries.len() < 64
    {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(after.len());
        let (entry, after) = after.split_at(length);
        rest = after;
        entries.extend(Entry::parse(entry));
    }
    converge(sign(&entries));
}

pub(crate) fn members_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let bytes = |entries: Vec<Entry>| {
        let framed = |entry: Entry| {
            let bytes = entry.emit().expect("an example can be written");
            [&(bytes.len() as u16).to_le_bytes(), bytes.as_slice()].concat()
        };
        entries.into_iter().flat_map(framed).collect::<Vec<u8>>()
    };
    let feud = vec![
        change(OWNER, &[0], 0, Action::SetRole { device: device(MEMBER), add: place(1), role: Role::Owner }),
        change(OWNER, &[3], 0, Action::Remove { device: device(MEMBER), add: place(1) }),
        change(MEMBER, &[3], 3, Action::Remove { device: device(OWNER), add: place(0) }),
        change(MEMBER, &[3], 3, Action::SetRecovery { key: device(STRANGER) }),
        change(STRANGER, &[6], 6, Action::Recover { device: device(GUEST), name: name("phoenix") }),
        change(GUEST, &[1, 2, 5], 7, Action::Add { device: device(OWNER), role: Role::Owner, name: name("again") }),
    ];
    vec![("script", bytes(script())), ("feud", bytes(feud))]
}

/// Takes the entries in, once together and once one by one in the opposite order: both must end as the same group,
/// which can be kept and read again.
fn converge(entries: Vec<Signed>) {
    let (mut together, mut single) = (fixed(), fixed());
    let outcome = together.merge(entries.clone());
    let merge = match outcome {
        Ok(merge) => merge,
        Err(GroupError::BadEntry { index, merge, .. }) => {
            assert!(index < entries.len(), "the bad entry is one of those that came");
            *merge
        }
        Err(other) => panic!("merging cannot fail otherwise: {other}"),
    };
    assert_eq!(together.len(), fixed().len() + merge.added.len());
    assert!(merge.waiting_for.iter().all(|hash| !together.contains(*hash)));
    if entries.len() < MAX_HELD {
        for entry in entries.into_iter().rev() {
            let _ = single.merge(vec![entry]);
        }
        assert_same(&together, &single);
    }
    let again = Group::decode(&together.encode()).expect("a group can be kept");
    assert_same(&together, &again);
}

fn assert_same(a: &Group, b: &Group) {
    assert_eq!(a.id(), b.id());
    assert!(a.hashes().eq(b.hashes()), "the same entries");
    assert_eq!((a.members(), a.recovery_key()), (b.members(), b.recovery_key()));
}

const OWNER: u8 = 1;
const MEMBER: u8 = 2;
const GUEST: u8 = 3;
const STRANGER: u8 = 4;

fn key(of: u8) -> SigningKey {
    SigningKey::from_bytes(&[of; 32])
}

fn device(of: u8) -> DeviceId {
    DeviceId::from_bytes(key(of).verifying_key().to_bytes())
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a valid name")
}

/// An owner, a member and a guest: entries 0, 1 and 2.
fn fixed() -> Group {
    let mut group = Group::found(&key(OWNER), name("owner"), [0; 16], WallTime::from_unix_millis(1));
    for (of, role, called) in [(MEMBER, Role::Member, "member"), (GUEST, Role::Guest, "guest")] {
        let at = WallTime::from_unix_millis(2);
        group.add(&key(OWNER), device(of), role, name(called), [of; 16], at).expect("the owner may add");
    }
    group
}

/// The hash that stands for the entry of this number.
fn place(number: u8) -> EntryHash {
    let mut hash = [0; 32];
    hash[0] = number;
    EntryHash(hash)
}

fn change(author: u8, parents: &[u8], authority: u8, action: Action) -> Entry {
    Entry {
        group: Some(GroupId([0; 32])),
        parents: parents.iter().map(|number| place(*number)).collect(),
        authority: Some(place(authority)),
        author: device(author),
        at: WallTime::from_unix_millis(3),
        nonce: [9; 16],
        action,
    }
}

/// One of each action, in order.
fn script() -> Vec<Entry> {
    let (member, stranger) = (device(MEMBER), device(STRANGER));
    let recovery = SigningKey::from_bytes(&[STRANGER; 32]).verifying_key().to_bytes();
    vec![
        change(OWNER, &[2], 0, Action::SetRole { device: member, add: place(1), role: Role::Owner }),
        change(MEMBER, &[3], 3, Action::Add { device: stranger, role: Role::Member, name: name("stranger") }),
        change(STRANGER, &[4], 4, Action::Remove { device: stranger, add: place(4) }),
        change(OWNER, &[5], 0, Action::SetRecovery { key: DeviceId::from_bytes(recovery) }),
        change(STRANGER, &[6], 6, Action::Recover { device: device(5), name: name("phoenix") }),
    ]
}

/// Signs the entries with the keys of their authors, as far as these are known, what stands for a hash replaced.
fn sign(entries: &[Entry]) -> Vec<Signed> {
    let group = fixed();
    let mut hashes: Vec<EntryHash> = group.missing_from(&Default::default()).iter().map(EntryHash::of).collect();
    let mut signed = Vec::new();
    for entry in entries {
        let mut entry = entry.clone();
        let resolve = |hash: &mut EntryHash| {
            if let [number, zeroes @ ..] = hash.0
                && zeroes == [0; 31]
                && let Some(found) = hashes.get(usize::from(number))
            {
                *hash = *found;
            }
        };
        entry.parents.iter_mut().chain(&mut entry.authority).for_each(resolve);
        entry.parents.sort();
        entry.parents.dedup();
        if entry.group == Some(GroupId([0; 32])) {
            entry.group = Some(group.id());
        }
        match &mut entry.action {
            Action::Remove { add, .. } | Action::SetRole { add, .. } => resolve(add),
            _ => {}
        }
        let author = (OWNER..=5).find(|of| device(*of) == entry.author).unwrap_or(STRANGER);
        let Ok(bytes) = entry.emit() else { continue };
        let entry = Signed::sign(Context::GROUP_ENTRY, bytes, &key(author));
        hashes.push(EntryHash::of(&entry));
        signed.push(entry);
    }
    signed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_good_and_does_something() {
        let mut group = fixed();
        let merge = group.merge(sign(&script())).unwrap();
        assert_eq!(merge.added.len(), script().len());
        assert_eq!(group.role_of(device(MEMBER)), Some(Role::Owner));
        assert_eq!(group.role_of(device(STRANGER)), None);
        assert_eq!(group.role_of(device(5)), Some(Role::Owner));
    }
}
