//! A device's description of itself, signed by it: the only authority on what it is and offers.
//!
//! | section | version | fields |
//! |---|---|---|
//! | 1 device | 1 | device, seq, name, kind, architecture, operating system |
//! | | 2 | + profile, software version, via |
//! | 2 resource (one for each) | 1 | name, kind, unit, properties, access, operations, sharing, simulated |
//! | 3 satellites (at most one) | 1 | the ids of those that this device hosts now; without the section, nothing is said of them |
//! | 4 capacity (at most one) | 1 | memory, processors, memory for apps; without the section, nothing is known of them |
//!
//! What is in a record is what stays while a device runs: each new one is signed, saved by all and passed on. How busy it is at
//! the moment is told elsewhere (by the node, beside what it says of its apps).
//!
//! A reader of version 1 finds a version 2 record readable, and the other way round (`profile` is then
//! `standard`, the software version empty, `via` none). Sections with other tags are kept in the signed bytes.

use alloc::{collections::BTreeMap, vec::Vec};
use core::fmt;

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

use crate::{
    access::AccessPolicy,
    id::DeviceId,
    kind::ResourceKind,
    section::{Section, SectionError, SectionWriter, Sections, Tag},
    signed::{BadSignature, Context, Signed},
    text::{Name, Text, Unit},
    value::Value,
};

const DEVICE: Tag = Tag(1);
const RESOURCE: Tag = Tag(2);
const SATELLITES: Tag = Tag(3);
const CAPACITY: Tag = Tag(4);

/// The largest record that is accepted, in bytes: room for some 500 resources.
pub const MAX_RECORD_LEN: usize = 128 * 1024;

/// The most resources that one record may describe.
pub const MAX_RESOURCES: usize = 1024;

/// The most satellites that one device may host.
pub const MAX_SATELLITES: usize = 64;

/// How a resource may be leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Sharing {
    /// Whoever may control it does so; leases are shared.
    Shared,
    /// One holder at a time: controlling it needs the lease.
    Exclusive,
}

/// One resource, as its device describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceDescription {
    /// Its name, unique on its device.
    pub name: Name,
    /// What sort of thing it is.
    pub kind: ResourceKind,
    /// The unit of its values; empty for none.
    pub unit: Unit,
    /// What else is known: `min`, `max`, `model`, `resolution`, …
    pub properties: BTreeMap<Name, Value>,
    /// Who may use it.
    pub access: AccessPolicy,
    /// Whether it gives readings.
    pub readable: bool,
    /// Whether it takes values.
    pub writable: bool,
    /// How it is leased.
    pub sharing: Sharing,
    /// Whether its values are made up. Shown wherever the resource is shown.
    pub simulated: bool,
}

impl ResourceDescription {
    /// A readable sensor for members, with no properties.
    pub fn sensor(name: Name, unit: Unit) -> Self {
        Self {
            name,
            kind: ResourceKind::Sensor,
            unit,
            properties: BTreeMap::new(),
            access: AccessPolicy::MEMBERS,
            readable: true,
            writable: false,
            sharing: Sharing::Shared,
            simulated: false,
        }
    }

    /// An actuator for members that one device drives at a time, and whose state can be read.
    pub fn actuator(name: Name, unit: Unit) -> Self {
        Self { kind: ResourceKind::Actuator, writable: true, sharing: Sharing::Exclusive, ..Self::sensor(name, unit) }
    }
}

/// What a device has to run things with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Capacity {
    /// Bytes of memory; 0 if it does not know.
    pub memory: u64,
    /// How many processors; 0 if it does not know.
    pub processors: u16,
    /// How many bytes of memory its apps may have together; `None` if nobody said, and it does not know how much it has.
    pub for_apps: Option<u64>,
}

impl Capacity {
    /// Sizes are said in whole steps of this: what a kernel keeps for itself differs by less from start to start.
    pub const STEP: u64 = 1 << 20;

    /// Of a machine with this much of both. Without a word of its owner, apps may have half of its memory; `None` if nothing is
    /// known at all.
    pub fn of(memory: u64, processors: usize, for_apps: Option<u64>) -> Option<Self> {
        if memory == 0 && processors == 0 && for_apps.is_none() {
            return None;
        }
        let whole = |bytes: u64| bytes - bytes % Self::STEP;
        let for_apps = match for_apps {
            Some(limit) if memory == 0 => Some(limit),
            Some(limit) => Some(limit.min(memory)),
            None => (memory > 0).then_some(memory / 2),
        };
        let processors = u16::try_from(processors).unwrap_or(u16::MAX);
        Some(Self { memory: whole(memory), processors, for_apps: for_apps.map(whole) })
    }
}

/// A device's description of itself.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceRecord {
    /// Whom it describes.
    pub device: DeviceId,
    /// Grows with every change, across restarts; of two records the one with the higher number counts.
    pub seq: u64,
    /// What people call it.
    pub name: Name,
    /// What it is: `laptop`, `board`, `server`, `microcontroller`, …
    pub kind: Text<31>,
    /// Its processor architecture: `x86_64`, `aarch64`, `thumbv8m`, …
    pub architecture: Text<31>,
    /// Its operating system and version.
    pub os: Text<63>,
    /// The profile that its image was built from.
    pub profile: Text<31>,
    /// The version of the Tutti software it runs.
    pub software: Text<31>,
    /// For a satellite, the host device that it is reached through.
    pub via: Option<DeviceId>,
    /// For a host, the satellites that it has now; `None` if it says nothing about that.
    pub satellites: Option<Vec<DeviceId>>,
    /// What it has to run things with; `None` if it says nothing about that.
    pub capacity: Option<Capacity>,
    /// What it offers.
    pub resources: Vec<ResourceDescription>,
}

/// Version 1 of the device section.
#[derive(Serialize, Deserialize)]
struct DeviceV1 {
    device: DeviceId,
    seq: u64,
    name: Name,
    kind: Text<31>,
    architecture: Text<31>,
    os: Text<63>,
}

/// What version 2 appends.
#[derive(Serialize, Deserialize)]
struct DeviceV2 {
    profile: Text<31>,
    software: Text<31>,
    via: Option<DeviceId>,
}

impl Default for DeviceV2 {
    fn default() -> Self {
        Self { profile: Text::lossy("standard"), software: Text::EMPTY, via: None }
    }
}

/// Why a record was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// It is not made of the sections it should be.
    Sections(SectionError),
    /// It is larger than [`MAX_RECORD_LEN`], describes more than [`MAX_RESOURCES`] resources, or lists more than
    /// [`MAX_SATELLITES`].
    TooLarge,
    /// Two resources have this name.
    RepeatedResource(Name),
    /// The device that it describes did not sign it.
    Signature(BadSignature),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("device record refused: ")?;
        match self {
            Self::Sections(error) => error.fmt(f),
            Self::TooLarge => {
                write!(f, "more than {MAX_RECORD_LEN} bytes, {MAX_RESOURCES} resources or {MAX_SATELLITES} satellites")
            }
            Self::RepeatedResource(name) => write!(f, "two resources are named {name}"),
            Self::Signature(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for RecordError {}

impl From<SectionError> for RecordError {
    fn from(error: SectionError) -> Self {
        Self::Sections(error)
    }
}

impl DeviceRecord {
    /// The resource with this name.
    pub fn resource(&self, name: &Name) -> Option<&ResourceDescription> {
        self.resources.iter().find(|resource| resource.name == *name)
    }

    /// The record as bytes.
    ///
    /// # Errors
    /// [`RecordError::TooLarge`] and [`RecordError::RepeatedResource`]: a record that others would refuse is not
    /// made.
    pub fn emit(&self) -> Result<Vec<u8>, RecordError> {
        self.check_resources()?;
        let v1 = DeviceV1 {
            device: self.device,
            seq: self.seq,
            name: self.name,
            kind: self.kind,
            architecture: self.architecture,
            os: self.os,
        };
        let v2 = DeviceV2 { profile: self.profile, software: self.software, via: self.via };
        let mut writer = SectionWriter::new();
        writer.push(DEVICE, 2, &(v1, v2))?;
        for resource in &self.resources {
            writer.push(RESOURCE, 1, resource)?;
        }
        if let Some(satellites) = &self.satellites {
            writer.push(SATELLITES, 1, satellites)?;
        }
        if let Some(capacity) = &self.capacity {
            writer.push(CAPACITY, 1, capacity)?;
        }
        let bytes = writer.finish();
        if bytes.len() > MAX_RECORD_LEN { Err(RecordError::TooLarge) } else { Ok(bytes) }
    }

    /// Reads a record of this version or any other.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > MAX_RECORD_LEN {
            return Err(RecordError::TooLarge);
        }
        let sections = Sections::new_checked(bytes)?;
        let section = sections.one(DEVICE)?;
        let (v1, behind) = section.decode_front::<DeviceV1>()?;
        let v2 = match section.version {
            0 | 1 => DeviceV2::default(),
            _ => Section { payload: behind, ..section }.decode()?,
        };
        let resources = sections
            .iter()
            .filter(|section| section.tag == RESOURCE)
            .map(|section| section.decode())
            .collect::<Result<Vec<ResourceDescription>, _>>()?;
        let satellites = sections.at_most_one(SATELLITES)?.map(|section| section.decode()).transpose()?;
        let capacity = sections.at_most_one(CAPACITY)?.map(|section| section.decode()).transpose()?;
        let record = Self {
            device: v1.device,
            seq: v1.seq,
            name: v1.name,
            kind: v1.kind,
            architecture: v1.architecture,
            os: v1.os,
            profile: v2.profile,
            software: v2.software,
            via: v2.via,
            satellites,
            capacity,
            resources,
        };
        record.check_resources()?;
        Ok(record)
    }

    fn check_resources(&self) -> Result<(), RecordError> {
        let satellites = self.satellites.as_ref().map_or(0, Vec::len);
        if self.resources.len() > MAX_RESOURCES || satellites > MAX_SATELLITES {
            return Err(RecordError::TooLarge);
        }
        let mut names: Vec<&Name> = self.resources.iter().map(|resource| &resource.name).collect();
        names.sort();
        match names.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(RecordError::RepeatedResource(*pair[0])),
            None => Ok(()),
        }
    }
}

/// A record whose signature was checked, with the bytes to pass on.
#[derive(Clone, Debug, PartialEq)]
pub struct SignedRecord {
    record: DeviceRecord,
    signed: Signed,
}

impl SignedRecord {
    /// Signs one's own record. The key must be that of `record.device`.
    pub fn sign(record: DeviceRecord, key: &SigningKey) -> Result<Self, RecordError> {
        let signed = Signed::sign(Context::DEVICE_RECORD, record.emit()?, key);
        Self::verify(signed)
    }

    /// Checks a record that came from anywhere: who signed it must be whom it describes, or, for a satellite,
    /// the host it names as `via`.
    pub fn verify(signed: Signed) -> Result<Self, RecordError> {
        let record = DeviceRecord::parse(signed.unverified())?;
        let signer = record.via.unwrap_or(record.device);
        signed.verify(Context::DEVICE_RECORD, signer).map_err(RecordError::Signature)?;
        Ok(Self { record, signed })
    }

    /// What it says.
    pub fn record(&self) -> &DeviceRecord {
        &self.record
    }

    /// The bytes to store and pass on.
    pub fn signed(&self) -> &Signed {
        &self.signed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> (SigningKey, DeviceRecord) {
        let key = SigningKey::from_bytes(&[7; 32]);
        let name = |text: &str| Name::new(text).unwrap();
        let mut temperature = ResourceDescription::sensor(name("cpu-temperature"), Unit::new("°C").unwrap());
        temperature.properties.insert(name("max"), Value::Float(105.0));
        let record = DeviceRecord {
            device: DeviceId::from_bytes(key.verifying_key().to_bytes()),
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
        };
        (key, record)
    }

    #[test]
    fn golden_bytes() {
        let (_, record) = example();
        let hex: String = record.emit().unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
        insta::assert_snapshot!(hex);
    }

    #[test]
    fn round_trip_with_signature() {
        let (key, record) = example();
        let signed = SignedRecord::sign(record.clone(), &key).unwrap();
        let wire = postcard::to_allocvec(signed.signed()).unwrap();
        let back = SignedRecord::verify(postcard::from_bytes(&wire).unwrap()).unwrap();
        assert_eq!(back.record(), &record);
    }

    #[test]
    fn a_version_1_record_is_read_with_defaults() {
        let (_, record) = example();
        let v1 = DeviceV1 {
            device: record.device,
            seq: 5,
            name: record.name,
            kind: record.kind,
            architecture: record.architecture,
            os: record.os,
        };
        let mut writer = SectionWriter::new();
        writer.push(DEVICE, 1, &v1).unwrap();
        let parsed = DeviceRecord::parse(&writer.finish()).unwrap();
        assert_eq!(parsed.profile.as_str(), "standard");
        assert_eq!((parsed.software.as_str(), parsed.via), ("", None));
    }

    #[test]
    fn a_record_of_the_future_is_read_and_kept_whole() {
        let (key, record) = example();
        let mut bytes = Vec::new();
        for section in Sections::new_checked(&record.emit().unwrap()).unwrap().iter() {
            // A later version of each section, with fields appended, and a section of an unknown sort between.
            let mut writer = SectionWriter::new();
            let payload = [section.payload, b"appended"].concat();
            writer.push_raw(section.tag, section.version + 1, &payload).unwrap();
            writer.push_raw(Tag(900), 1, b"from the future").unwrap();
            bytes.extend(writer.finish());
        }
        let signed = Signed::sign(Context::DEVICE_RECORD, bytes.clone(), &key);
        let read = SignedRecord::verify(signed).unwrap();
        assert_eq!(read.record(), &record);
        assert_eq!(read.signed().unverified(), bytes);
    }

    #[test]
    fn only_the_device_itself_or_its_host_vouches() {
        let (_, record) = example();
        let stranger = SigningKey::from_bytes(&[9; 32]);
        let host = DeviceId::from_bytes(stranger.verifying_key().to_bytes());
        let refused = SignedRecord::sign(record.clone(), &stranger);
        assert_eq!(refused, Err(RecordError::Signature(BadSignature)));
        let satellite = DeviceRecord { via: Some(host), ..record };
        assert!(SignedRecord::sign(satellite, &stranger).is_ok());
    }

    #[test]
    fn a_host_lists_its_satellites_or_says_nothing() {
        let (_, record) = example();
        let thing = DeviceId::from_bytes([5; 32]);
        for satellites in [None, Some(vec![]), Some(vec![thing; MAX_SATELLITES])] {
            let host = DeviceRecord { satellites, ..record.clone() };
            assert_eq!(DeviceRecord::parse(&host.emit().unwrap()), Ok(host));
        }
        let crowded = DeviceRecord { satellites: Some(vec![thing; MAX_SATELLITES + 1]), ..record };
        assert_eq!(crowded.emit(), Err(RecordError::TooLarge));
    }

    /// A reader of before has no word for the section and passes it over; one of now finds nothing in a record of before.
    #[test]
    fn a_device_says_what_it_has_to_run_things_with_or_nothing() {
        let (_, record) = example();
        let capacity = Capacity { memory: 512 << 20, processors: 4, for_apps: Some(64 << 20) };
        let told = DeviceRecord { capacity: Some(capacity), ..record.clone() };
        let bytes = told.emit().unwrap();
        assert_eq!(DeviceRecord::parse(&bytes), Ok(told));
        let before = record.emit().unwrap();
        assert_eq!(DeviceRecord::parse(&before).unwrap().capacity, None);
        let (common, section) = bytes.split_at(before.len());
        assert_eq!(common, before, "what older versions read is as it was");
        assert_eq!(section, [4, 0, 1, 0, 11, 0, 0, 0, 0x80, 0x80, 0x80, 0x80, 2, 4, 1, 0x80, 0x80, 0x80, 0x20]);
    }

    #[test]
    fn a_capacity_is_in_whole_steps_and_within_the_machine() {
        const MIB: u64 = 1 << 20;
        assert_eq!(Capacity::of(0, 0, None), None);
        let half = Capacity::of(100 * MIB + 5, 2, None).unwrap();
        assert_eq!(half, Capacity { memory: 100 * MIB, processors: 2, for_apps: Some(50 * MIB) });
        let for_apps = |memory, limit| Capacity::of(memory, 1 << 20, limit).unwrap().for_apps;
        assert_eq!(for_apps(100 * MIB, Some(400 * MIB)), Some(100 * MIB));
        assert_eq!(for_apps(100 * MIB, Some(0)), Some(0));
        assert_eq!(for_apps(0, Some(32 * MIB)), Some(32 * MIB));
        assert_eq!(for_apps(0, None), None);
    }

    #[test]
    fn two_resources_of_one_name_are_refused() {
        let (key, mut record) = example();
        record.resources.push(record.resources[0].clone());
        let refused = SignedRecord::sign(record, &key).unwrap_err();
        assert_eq!(refused.to_string(), "device record refused: two resources are named cpu-temperature");
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_record_or_an_error(
            bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        ) {
            let _ = DeviceRecord::parse(&bytes);
        }
    }
}
