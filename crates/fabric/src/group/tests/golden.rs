//! The bytes of every kind of entry, and what is refused about them.

use tutti_model::{
    section::{SectionError, SectionWriter, Sections, Tag},
    signed::{BadSignature, Context},
};

use super::*;

fn entry(action: Action) -> Entry {
    Entry {
        group: Some(GroupId([1; 32])),
        parents: vec![EntryHash([2; 32]), EntryHash([3; 32])],
        authority: Some(EntryHash([4; 32])),
        author: DeviceId::from_bytes([5; 32]),
        at: WallTime::from_unix_millis(1_700_000_000_000),
        nonce: [6; 16],
        action,
    }
}

fn found(recovery: Option<DeviceId>) -> Entry {
    let action = Action::Found { name: name("kitchen"), recovery };
    Entry { group: None, parents: Vec::new(), authority: None, ..entry(action) }
}

/// Every kind, with its golden bytes behind the header (of the root: all of them).
fn kinds() -> Vec<Entry> {
    let (device, add) = (DeviceId::from_bytes([7; 32]), EntryHash([8; 32]));
    vec![
        found(None),
        found(Some(DeviceId::from_bytes([9; 32]))),
        entry(Action::Add { device, role: Role::Guest, name: name("hall") }),
        entry(Action::Remove { device, add }),
        entry(Action::SetRole { device, add, role: Role::Owner }),
        entry(Action::SetRecovery { key: DeviceId::from_bytes([9; 32]) }),
        entry(Action::Recover { device, name: name("hall") }),
        entry(Action::Allow(AppGrant {
            author: device,
            name: name("thermo"),
            floor: (1, 2, 300),
            wants: vec![name("screen")],
            memory_kib: 1024,
        })),
        entry(Action::Disallow { name: name("thermo") }),
    ]
}

#[test]
fn golden_bytes() {
    let lines = kinds().into_iter().map(|entry| {
        let bytes = entry.emit().unwrap();
        // Long runs of one byte are shortened, each as `byte*count`.
        let mut text = String::new();
        for run in bytes.chunk_by(|a, b| a == b) {
            let byte = format!("{:02x}", run[0]);
            text += &if run.len() >= 16 { format!("({byte}*{})", run.len()) } else { byte.repeat(run.len()) };
        }
        format!("{}: {text}", format!("{:?}", entry.action).split([' ', '{', '(']).next().unwrap())
    });
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r"
    Found: 0100010039000000000000(05*32)80d095ffbc31(06*16)1000010009000000076b69746368656e00
    Found: 0100010039000000000000(05*32)80d095ffbc31(06*16)1000010029000000076b69746368656e01(09*32)
    Add: 01000100b9000000(01*33)(02*33)(03*32)01(04*32)(05*32)80d095ffbc31(06*16)1100010026000000(07*32)000468616c6c
    Remove: 01000100b9000000(01*33)(02*33)(03*32)01(04*32)(05*32)80d095ffbc31(06*16)1200010040000000(07*32)(08*32)
    SetRole: 01000100b9000000(01*33)(02*33)(03*32)01(04*32)(05*32)80d095ffbc31(06*16)1300010041000000(07*32)(08*32)02
    SetRecovery: 01000100b9000000(01*33)(02*33)(03*32)01(04*32)(05*32)80d095ffbc31(06*16)1400010020000000(09*32)
    Recover: 01000100b9000000(01*33)(02*33)(03*32)01(04*32)(05*32)80d095ffbc31(06*16)1500010025000000(07*32)0468616c6c
    Allow: 01000100b9000000(01*33)(02*33)(03*32)01(04*32)(05*32)80d095ffbc31(06*16)1600010035000000(07*32)06746865726d6f0102ac02010673637265656e8008
    Disallow: 01000100b9000000(01*33)(02*33)(03*32)01(04*32)(05*32)80d095ffbc31(06*16)170001000700000006746865726d6f
    ");
}

#[test]
fn golden_group() {
    let (a, b) = (device(0), device(1));
    let mut group = Group::found(&a.key, name("kitchen"), [1; 16], at(1));
    group.add(&a.key, b.id, Role::Member, name("hall"), [2; 16], at(2)).unwrap();
    // Ed25519 signatures are deterministic, so ids and whole encodings are fixed.
    insta::assert_snapshot!(format!("{}\n{}", group.id(), hex(blake3::hash(&group.encode()).as_bytes())), @r"
    372f256cb7980e72764c934033a82a2e4ba1cf16a2d5f667798107eef9b2f3f6
    8432de205daf3a6643eca174fba1547307989019d4b55dbcaf7d1c02aa791dd2
    ");
}

#[test]
fn entries_read_back() {
    for entry in kinds() {
        assert_eq!(Entry::parse(&entry.emit().unwrap()), Ok(entry));
    }
}

#[test]
fn entries_of_the_future_read_back() {
    let known = entry(Action::SetRecovery { key: DeviceId::from_bytes([9; 32]) });
    let bytes = known.emit().unwrap();
    let mut writer = SectionWriter::new();
    for section in Sections::new_checked(&bytes).unwrap().iter() {
        let payload = [section.payload, b"appended"].concat();
        writer.push_raw(section.tag, section.version + 1, &payload).unwrap();
        writer.push_raw(Tag(900), 1, b"unknown").unwrap();
    }
    assert_eq!(Entry::parse(&writer.finish()), Ok(known.clone()));

    let mut writer = SectionWriter::new();
    writer.push_section(Sections::new_checked(&bytes).unwrap().iter().next().unwrap()).unwrap();
    writer.push_raw(Tag(40), 1, b"grant").unwrap();
    assert_eq!(Entry::parse(&writer.finish()), Ok(Entry { action: Action::Unknown, ..known }));
}

#[test]
fn malformed_entries_are_refused_by_name() {
    let good = entry(Action::SetRecovery { key: DeviceId::from_bytes([9; 32]) });
    let refused = |change: fn(&mut Entry)| {
        let mut entry = good.clone();
        change(&mut entry);
        entry.emit()
    };
    assert_eq!(refused(|entry| entry.parents.reverse()), Err(EntryFault::Links));
    assert_eq!(refused(|entry| entry.parents.push(EntryHash([3; 32]))), Err(EntryFault::Links));
    assert_eq!(refused(|entry| entry.parents.clear()), Err(EntryFault::Links));
    assert_eq!(refused(|entry| entry.parents = (0..17).map(|i| EntryHash([i; 32])).collect()), Err(EntryFault::Links));
    assert_eq!(refused(|entry| entry.authority = None), Err(EntryFault::Links));
    assert_eq!(refused(|entry| entry.group = None), Err(EntryFault::Links));
    assert_eq!(Entry { group: Some(GroupId([1; 32])), ..found(None) }.emit(), Err(EntryFault::Links));

    let bytes = good.emit().unwrap();
    assert_eq!(Entry::parse(&[]), Err(EntryFault::Sections(SectionError::Missing(Tag(1)))));
    assert_eq!(Entry::parse(&bytes[..9]), Err(EntryFault::Sections(SectionError::Truncated { at: 0 })));
    let other = entry(Action::Recover { device: DeviceId::from_bytes([7; 32]), name: name("x") }).emit().unwrap();
    let action = Sections::new_checked(&other).unwrap().iter().nth(1).unwrap();
    let mut writer = SectionWriter::new();
    writer.push_section(action).unwrap();
    assert_eq!(Entry::parse(&[bytes.clone(), writer.finish()].concat()), Err(EntryFault::TwoActions));
    let mut writer = SectionWriter::new();
    writer.push_raw(Tag(900), 1, &[0; MAX_ENTRY_LEN]).unwrap();
    let long = [bytes, writer.finish()].concat();
    assert_eq!(Entry::parse(&long), Err(EntryFault::TooLong { len: long.len() }));
}

#[test]
fn a_signature_for_another_purpose_does_not_do() {
    let a = device(0);
    let mut group = Group::found(&a.key, name("a"), [1; 16], at(1));
    let root = group.heads()[0];
    let action = Action::Add { device: device(1).id, role: Role::Owner, name: name("b") };
    let good = forge(&a.key, &group, &[root], root, action);
    let bad = Signed::sign(Context::DEVICE_RECORD, good.unverified().to_vec(), &a.key);
    let Err(GroupError::BadEntry { index, fault, .. }) = group.merge(vec![bad, good]) else { panic!() };
    assert_eq!((index, fault), (0, EntryFault::Signature(BadSignature)));
    assert_eq!(roles(&group), "a owner, b owner");
}
