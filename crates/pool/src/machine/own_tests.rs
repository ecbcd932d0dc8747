use tutti_model::{Text, Unit};

use super::*;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

fn id(number: u8) -> DeviceId {
    DeviceId::from_bytes(key(number).verifying_key().to_bytes())
}

fn identity(called: &str) -> Identity {
    Identity {
        name: name(called),
        kind: Text::EMPTY,
        architecture: Text::EMPTY,
        os: Text::EMPTY,
        profile: Text::EMPTY,
        software: Text::EMPTY,
        capacity: None,
    }
}

fn start(called: &str, saved: Option<&[u8]>) -> Result<Own, RestoreError> {
    Own::restore(id(1), key(1), identity(called), vec![], saved)
}

fn at(millis: u64) -> BootTime {
    BootTime::from_nanos(millis * 1_000_000)
}

#[test]
fn numbers_grow_across_restarts_and_only_with_changes() {
    let mut own = start("a", None).unwrap();
    assert!(own.current().is_none(), "nothing is shown before it is durable");
    let saved = own.make(at(0)).unwrap().unwrap();
    assert!(own.current().is_none());
    assert_eq!(own.saved().unwrap().record().seq, 1);

    let mut same = start("a", Some(&saved)).unwrap();
    assert_eq!(same.make(at(0)), Ok(None), "nothing changed");
    assert_eq!(same.current().unwrap().record().seq, 1);

    let mut renamed = start("b", Some(&saved)).unwrap();
    assert_eq!(renamed.current().unwrap().record().name, name("a"), "the new name is not durable yet");
    renamed.make(at(0)).unwrap().unwrap();
    assert_eq!(renamed.saved().unwrap().record().seq, 2);
}

#[test]
fn a_number_seen_elsewhere_is_jumped_over() {
    let mut own = start("a", None).unwrap();
    own.make(at(0)).unwrap();
    own.saved();
    assert!(!own.saw(1, true), "its own record came back");
    assert!(own.saw(40, false), "from before a backup was restored");
    own.make(at(1000)).unwrap().unwrap();
    assert_eq!(own.saved().unwrap().record().seq, 41);
    assert!(own.saw(41, false), "another with the same number");
    assert!(!own.saw(7, false), "an old one");
    own.make(at(2000)).unwrap().unwrap();
    assert_eq!(own.saved().unwrap().record().seq, 42);
}

#[test]
fn the_last_of_all_numbers_does_not_wrap() {
    let mut own = start("a", None).unwrap();
    own.saw(u64::MAX, false);
    assert_eq!(own.make(at(0)), Ok(None));
    assert_eq!(own.due(), None, "and nobody waits for it");
}

#[test]
fn changes_gather_and_failures_are_tried_again() {
    let mut own = start("a", None).unwrap();
    own.make(at(0)).unwrap().unwrap();
    own.rename(name("b"));
    assert_eq!(own.due(), None, "one at a time");
    own.failed(at(500));
    own.rename(name("c"));
    assert_eq!(own.make(at(499)), Ok(None));
    own.make(at(500)).unwrap().unwrap();
    let record = own.saved().unwrap().record().clone();
    assert_eq!((record.seq, record.name), (2, name("c")), "the failed number may be on disk: it is not used again");
}

#[test]
fn what_cannot_be_described_leaves_the_description_before() {
    let mut own = start("a", None).unwrap();
    let lamp = ResourceDescription::actuator(name("lamp"), Unit::EMPTY);
    assert_eq!(own.set_resources(vec![lamp.clone()]), Ok(true));
    assert_eq!(own.set_resources(vec![lamp.clone()]), Ok(false));
    assert_eq!(own.set_resources(vec![lamp.clone(), lamp]), Err(RecordError::RepeatedResource(name("lamp"))));
    assert_eq!(own.resources().len(), 1);
}

#[test]
fn the_state_of_another_device_or_none_at_all_is_an_error() {
    let mut other = Own::restore(id(2), key(2), identity("b"), vec![], None).unwrap();
    let theirs = other.make(at(0)).unwrap().unwrap();
    assert!(matches!(start("a", Some(&theirs)), Err(RestoreError::Foreign { key: KEY })));
    assert!(matches!(start("a", Some(b"junk")), Err(RestoreError::Unreadable { key: KEY, .. })));
    let mut altered = theirs;
    altered[20] ^= 1;
    assert!(matches!(start("a", Some(&altered)), Err(RestoreError::Unreadable { .. })));
}
