//! Sections, signatures and device records.

use ed25519_dalek::SigningKey;
use tutti_model::{
    Capacity, DeviceId, DeviceRecord, Name, ResourceDescription, SignedRecord, Text, Unit, Value,
    record::MAX_RESOURCES,
    section::{SectionWriter, Sections, Tag},
    signed::{Context, Signed},
};

/// What is accepted comes out as it went in.
pub(crate) fn sections(bytes: &[u8]) {
    let Ok(sections) = Sections::new_checked(bytes) else { return };
    let mut writer = SectionWriter::new();
    for section in sections.iter() {
        let found = sections.at_most_one(section.tag);
        assert!(found.is_err() || found == Ok(Some(section)));
        let _ = section.decode::<(u64, Name, Vec<Value>)>();
        writer.push_section(section).expect("a section that was read can be written");
    }
    assert_eq!(writer.finish(), bytes);
}

pub(crate) fn section_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut writer = SectionWriter::new();
    let values = vec![Value::Bool(true), Value::Float(1.5), Value::Text("on".into()), Value::Bytes(vec![1, 2])];
    let row = || -> Result<Vec<u8>, tutti_model::section::SectionError> {
        writer.push(Tag(1), 2, &(7u64, name("kitchen"), values))?.push_raw(Tag(9), 1, b"")?.push_raw(
            Tag(1),
            1,
            b"x",
        )?;
        Ok(writer.finish())
    };
    vec![("row", row().expect("plain values have a postcard form")), ("nothing", Vec::new())]
}

/// What is accepted can be written again and reads the same.
pub(crate) fn record(bytes: &[u8]) {
    let Ok(record) = DeviceRecord::parse(bytes) else { return };
    assert!(record.resources.len() <= MAX_RESOURCES);
    // A record of an older version may grow beyond the limit when it is written in this one.
    let Ok(emitted) = record.emit() else { return };
    let again = DeviceRecord::parse(&emitted).expect("a record that was written can be read");
    // Not compared for equality: a measure may be "not a number", which equals nothing.
    assert_eq!(format!("{again:?}"), format!("{record:?}"));
}

pub(crate) fn record_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut older = Vec::new();
    for section in Sections::new_checked(&emit(&example())).expect("just written").iter() {
        let mut writer = SectionWriter::new();
        writer.push_raw(section.tag, 1, section.payload).expect("just read");
        older.extend(writer.finish());
    }
    let satellite = DeviceRecord { via: Some(DeviceId::from_bytes([2; 32])), resources: Vec::new(), ..example() };
    let capacity = Capacity { memory: 512 << 20, processors: 4, for_apps: Some(64 << 20) };
    let told = DeviceRecord { capacity: Some(capacity), ..example() };
    let board = emit(&example());
    vec![("board", board), ("older", older), ("satellite", emit(&satellite)), ("told", emit(&told))]
}

/// Whatever verifies was signed by the one whom it describes.
pub(crate) fn signed(bytes: &[u8]) {
    let Ok((signed, _)) = postcard::take_from_bytes::<Signed>(bytes) else { return };
    let Ok(verified) = SignedRecord::verify(signed.clone()) else { return };
    let signer = verified.record().via.unwrap_or(verified.record().device);
    assert_eq!(signed.verify(Context::DEVICE_RECORD, signer), Ok(signed.unverified()));
    assert!(signed.verify(Context::GROUP_ENTRY, signer).is_err());
}

pub(crate) fn signed_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let signed = Signed::sign(Context::DEVICE_RECORD, emit(&example()), &key());
    let elsewhere = Signed::sign(Context::GROUP_ENTRY, emit(&example()), &key());
    let bytes = |signed| postcard::to_allocvec(signed).expect("bytes have a postcard form");
    vec![("record", bytes(&signed)), ("other_purpose", bytes(&elsewhere))]
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a valid name")
}

fn emit(record: &DeviceRecord) -> Vec<u8> {
    record.emit().expect("the example is valid")
}

fn example() -> DeviceRecord {
    let mut temperature = ResourceDescription::sensor(name("cpu-temperature"), Unit::lossy("°C"));
    temperature.properties.insert(name("max"), Value::Float(105.0));
    temperature.properties.insert(name("model"), Value::Text("k10temp".into()));
    DeviceRecord {
        device: DeviceId::from_bytes(key().verifying_key().to_bytes()),
        seq: 5,
        name: name("kitchen"),
        kind: Text::lossy("board"),
        architecture: Text::lossy("aarch64"),
        os: Text::lossy("Linux 6.12"),
        profile: Text::lossy("standard"),
        software: Text::lossy("0.1.0"),
        via: None,
        satellites: None,
        capacity: None,
        resources: vec![temperature, ResourceDescription::actuator(name("lamp"), Unit::EMPTY)],
    }
}
