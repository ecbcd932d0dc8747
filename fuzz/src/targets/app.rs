//! Apps: packages, manifests, snapshots, messages about moves, records of them, and the modules that are to be carried.

use ed25519_dalek::SigningKey;
use tutti_app::{
    carry,
    effects::{Effect, Receiver},
    handover::{Message, Record, Standing, Warrant},
    ids::{Attempt, EffectId, Epoch, InstanceId},
    package::{Manifest, Package},
    snapshot::{Image, MAX_PAGES, PAGE, Patch},
    standby::{self, Duty, Mark, Question, Settings, Terms},
    step::{self, Found, HEAD, Kept},
    wire::{self, Answer, Ask, CheckpointHead, Header, Notice, Order},
};
use tutti_model::{DeviceId, WallTime};

const THERMO: &str = include_str!("../../../apps/thermo/app.toml");
const INSTANCE: InstanceId = InstanceId::from_bytes([7; 16]);

fn key() -> SigningKey {
    SigningKey::from_bytes(&[5; 32])
}

fn epoch() -> Epoch {
    Epoch::first(DeviceId::from_bytes([1; 32]))
}

/// What is read is written as it was read.
pub(crate) fn message(bytes: &[u8]) {
    if let Ok((instance, message)) = Message::parse(bytes) {
        let again = message.emit(instance).expect("it was not too long");
        assert_eq!(Message::parse(&again), Ok((instance, message.clone())));
        if let Message::Supersede(epoch, warrant) = message {
            let _ = warrant.verify(instance, epoch.branch);
        }
    }
}

pub(crate) fn message_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let bytes = |message: Message| message.emit(INSTANCE).expect("it is short");
    let warrant = Warrant::sign(INSTANCE, 1, epoch().home, &key());
    vec![
        ("commit", bytes(Message::Commit(Attempt(9), epoch()))),
        ("supersede", bytes(Message::Supersede(epoch(), warrant))),
    ]
}

pub(crate) fn record(bytes: &[u8]) {
    if let Ok(record) = Record::restore(bytes) {
        let again = record.save().expect("it has a form in bytes");
        assert_eq!(Record::restore(&again), Ok(record));
    }
}

pub(crate) fn record_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let standing = Standing::Leaving { epoch: epoch(), attempt: Attempt(3), next: epoch() };
    let record = Record { standing, claim: None };
    vec![("leaving", record.save().expect("it has a form in bytes"))]
}

fn terms() -> Terms {
    Terms { standby: DeviceId::from_bytes([2; 32]), pact: 3, settings: Settings::default() }
}

fn mark() -> Mark {
    Mark { epoch: epoch(), saves: 0 }
}

/// What is read is written as it was read.
pub(crate) fn standby_message(bytes: &[u8]) {
    if let Ok((instance, message)) = standby::Message::parse(bytes) {
        let again = message.emit(instance).expect("it was not too long");
        assert_eq!(standby::Message::parse(&again), Ok((instance, message)));
    }
}

pub(crate) fn standby_message_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let bytes = |message: standby::Message| message.emit(INSTANCE).expect("it is short");
    let question = Question { run: 7, number: 300 };
    vec![
        ("renew", bytes(standby::Message::Renew(question, terms(), epoch(), 5))),
        ("succeeded", bytes(standby::Message::Succeeded(3, epoch(), Some(mark())))),
    ]
}

pub(crate) fn standby_record(bytes: &[u8]) {
    if let Ok(record) = standby::Record::restore(bytes) {
        let again = record.save().expect("it has a form in bytes");
        assert_eq!(standby::Record::restore(&again), Ok(record));
        if let Some(terms) = record.terms {
            let _ = (terms.settings.are_sound(), terms.settings.foretell().to_string());
        }
    }
}

pub(crate) fn standby_record_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let duty = Some(Duty::Granting { terms: terms(), granted: epoch() });
    let record = standby::Record { pact: 3, terms: Some(terms()), duty, floor: Some(epoch()) };
    vec![("granting", record.save().expect("it has a form in bytes"))]
}

fn base() -> Image {
    Image::new(vec![1], vec![0; PAGE])
}

/// What devices say to each other about apps: what is read is written as it was read.
pub(crate) fn wire(bytes: &[u8]) {
    fn one<T: serde::Serialize + for<'de> serde::Deserialize<'de> + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
        if let Some(read) = wire::parse::<T>(bytes) {
            assert_eq!(wire::parse(&wire::emit(&read)), Some(read));
        }
    }
    one::<Notice>(bytes);
    one::<Ask>(bytes);
    one::<Answer>(bytes);
    one::<Header>(bytes);
}

pub(crate) fn wire_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let id = EffectId { epoch: epoch(), sequence: 3 };
    let effect = Effect { id, previous: Some(id), to: Receiver::Instance(INSTANCE), body: vec![4; 5] };
    let head = CheckpointHead { pact: 2, mark: mark(), base: Some(mark()), package: [5; 32] };
    vec![
        ("applied", wire::emit(&Notice::Applied { of: INSTANCE, to: effect.to, id })),
        ("effect", wire::emit(&Ask::Effect { from: INSTANCE, home: epoch(), effect, token: None })),
        ("tell", wire::emit(&Ask::Do(Order::Tell(INSTANCE, "add 2".into())))),
        ("guard", wire::emit(&Ask::Do(Order::Guard(INSTANCE, [3; 32], Settings::default())))),
        ("never", wire::emit(&Answer::Never("no".into()))),
        ("checkpoint", wire::emit(&Header::Checkpoint(INSTANCE, head))),
    ]
}

/// The most bytes of a patch here.
const PATCH: usize = 1 << 16;

/// A file of steps: what is read of it is there again when the rest is cut off, and a step is read as it was written.
pub(crate) fn journal(bytes: &[u8]) {
    let read = |bytes: &[u8]| {
        let (mut steps, mut at) = (Vec::new(), 0);
        loop {
            let mut rest = &bytes[at..];
            match step::next(&mut rest, (bytes.len() - at) as u64, PATCH) {
                Ok(Found::Step(step, len)) => {
                    at += len as usize;
                    steps.push(step);
                }
                Ok(end) => return (steps, at, Some(matches!(end, Found::End))),
                Err(_) => return (steps, at, None),
            }
        }
    };
    let (steps, good, _) = read(bytes);
    assert!(good <= bytes.len());
    let (again, all, ended) = read(&bytes[..good]);
    assert_eq!((again.len(), all, ended), (steps.len(), good, Some(true)));
    let written: Vec<u8> = steps.iter().flat_map(|it| step::emit(&it.kept, &it.patch)).collect();
    let (same, _, ended) = read(&written);
    assert_eq!((format!("{same:?}"), ended), (format!("{steps:?}"), Some(true)));
}

/// One step whose digest is right, whatever it holds: two bytes say how many of the others are what is kept.
pub(crate) fn step(bytes: &[u8]) {
    let Some((length, bodies)) = bytes.split_first_chunk() else { return };
    let (kept, patch) = bodies.split_at(usize::from(u16::from_le_bytes(*length)).min(bodies.len()));
    let sealed = step::seal(kept, patch);
    let (head, _) = sealed.split_first_chunk::<HEAD>().expect("it has a head");
    if step::lengths(head, PATCH) == Ok((kept.len(), patch.len())) {
        match step::parse(head, kept, patch.to_vec()) {
            Ok(read) => assert!(read.kept.host.is_sound() && read.kept.home.outbox.is_sound() && read.patch == patch),
            Err(why) => assert_ne!(why, step::BadStep::Digest),
        }
    }
    journal(&sealed);
}

fn kept() -> Kept {
    let mut kept = Kept { events: 7, last: true, ..Kept::default() };
    kept.host.kv.insert("count".into(), vec![1, 2, 3]);
    kept.host.timers.insert(1, WallTime::from_unix_millis(5000));
    kept.host.follows.insert("thermometer".into(), 100);
    kept
}

pub(crate) fn journal_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let (first, second) = (step::emit(&Kept::default(), &[1; 60]), step::emit(&kept(), &[]));
    let two = [&first[..], &second].concat();
    vec![("two", two.clone()), ("torn", two[..two.len() - 3].to_vec()), ("zeros", [&first[..], &[0; 50]].concat())]
}

pub(crate) fn step_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let sealed = step::emit(&kept(), b"patch");
    let length = (sealed.len() - HEAD - 5) as u16;
    vec![("kept", [&length.to_le_bytes()[..], &sealed[HEAD..]].concat())]
}

/// What it leads to is what it says, or it is refused.
pub(crate) fn snapshot(bytes: &[u8]) {
    let Ok(patch) = Patch::parse(bytes, 16.min(MAX_PAGES)) else { return };
    if let Ok(image) = patch.apply(&base()) {
        assert_eq!(&image.digest(), patch.result());
        assert_eq!(image.since(&base()).apply(&base()), Ok(image));
    }
}

pub(crate) fn snapshot_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut memory = vec![0; 2 * PAGE];
    memory[70] = 1;
    memory[PAGE + 5] = 2;
    let patch = Image::new(vec![9], memory).since(&base());
    vec![("two-runs", patch.emit().expect("it is small"))]
}

pub(crate) fn package(bytes: &[u8]) {
    if let Ok(package) = Package::parse(bytes) {
        assert!(!package.manifest().name.as_str().is_empty());
    }
}

pub(crate) fn package_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let file = Package::make(THERMO, b"\0asm\x0d\0\x01\0", None, &key());
    vec![("thermo", file.expect("it is a package"))]
}

pub(crate) fn manifest(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Manifest::parse(text);
    }
}

pub(crate) fn manifest_seeds() -> Vec<(&'static str, Vec<u8>)> {
    vec![("thermo", THERMO.as_bytes().to_vec())]
}

/// A component, or a core module.
pub(crate) fn component(bytes: &[u8]) {
    let _ = carry::check_component(bytes);
    let _ = carry::check(bytes);
}

/// A module with a memory of one page, a mutable global and a function.
const MODULE: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x03\x02\x01\0\x05\x03\x01\0\x01\x06\x06\x01\x7f\x01\x41\x08\x0b\x0a\x04\x01\x02\0\x0b";

pub(crate) fn component_seeds() -> Vec<(&'static str, Vec<u8>)> {
    assert!(carry::check(MODULE).is_ok());
    vec![("module", MODULE.to_vec()), ("component", b"\0asm\x0d\0\x01\0".to_vec())]
}
