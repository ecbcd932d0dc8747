//! This device's own record: described here, signed here, and durable before anybody sees it.
//!
//! # Its number only grows
//! The record is saved, number and all, before it is sent; so a restart goes on above it. If the state folder was
//! restored from a backup, others may hold records of this device with higher numbers: as soon as one of them
//! comes in (signed by this device's own key, so nobody can make one up), the next record goes above it. The same
//! happens if another record with the present number turns up.
//!
//! # Satellites
//! The records of this device's satellites are signed with it and bear the number of the record with which they came or
//! changed, so they need no number of their own to be remembered: after a restart there are none before they
//! come back, and the first record says so. Only this device's own record is saved.

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;
use tutti_model::{
    BootTime, DeviceId, DeviceRecord, Name, ResourceDescription, ResourceId, SignedRecord,
    record::RecordError,
    section::{SectionError, SectionWriter, Sections, Tag},
    signed::Signed,
};

use crate::{
    error::RestoreError,
    io::{Identity, Satellite},
    limits::{MAX_SATELLITES_PER_HOST, OWN_RECORD_PACE},
};

pub(super) const KEY: &str = "pool/own-record";
const STATE: Tag = Tag(1);

pub(super) struct Own {
    me: DeviceId,
    key: SigningKey,
    identity: Identity,
    resources: Vec<ResourceDescription>,
    /// The highest number used, or seen, so far.
    seq: u64,
    /// The record that is durable.
    current: Option<SignedRecord>,
    /// The record that is being saved.
    next: Option<SignedRecord>,
    satellites: BTreeMap<DeviceId, Satellite>,
    /// The records of the satellites that go with `current`, and with `next`.
    vouched: BTreeMap<DeviceId, SignedRecord>,
    vouching: BTreeMap<DeviceId, SignedRecord>,
    dirty: bool,
    not_before: BootTime,
}

impl Own {
    pub(super) fn restore(
        me: DeviceId,
        key: SigningKey,
        identity: Identity,
        resources: Vec<ResourceDescription>,
        saved: Option<&[u8]>,
    ) -> Result<Self, RestoreError> {
        let current = saved.map(|bytes| read(me, bytes)).transpose()?;
        let seq = current.as_ref().map_or(0, |record| record.record().seq);
        let mut own = Self {
            me,
            key,
            identity,
            resources,
            seq,
            current,
            next: None,
            satellites: BTreeMap::new(),
            vouched: BTreeMap::new(),
            vouching: BTreeMap::new(),
            dirty: false,
            not_before: BootTime::ZERO,
        };
        let described = own.describe(seq);
        described.emit().map_err(RestoreError::Description)?;
        own.dirty = own.current.as_ref().is_none_or(|current| *current.record() != described);
        Ok(own)
    }

    /// The record that others may see.
    pub(super) fn current(&self) -> Option<&SignedRecord> {
        self.current.as_ref()
    }

    /// The records of the satellites that others may see with it.
    pub(super) fn satellite_records(&self) -> impl Iterator<Item = &SignedRecord> {
        self.vouched.values()
    }

    #[cfg(test)]
    pub(super) fn resources(&self) -> &[ResourceDescription] {
        &self.resources
    }

    /// One resource, of this device or of a satellite of it.
    pub(super) fn offered(&self, id: &ResourceId) -> Option<&ResourceDescription> {
        let all = if id.device == self.me { &self.resources } else { &self.satellites.get(&id.device)?.resources };
        all.iter().find(|offered| offered.name == id.name)
    }

    /// Whether this device answers for that one: it is itself, or a satellite of it.
    pub(super) fn is_or_hosts(&self, device: DeviceId) -> bool {
        device == self.me || self.satellites.contains_key(&device)
    }

    /// Hosts these from now on. Returns whether that is anything new, and why some are left out.
    pub(super) fn set_satellites(&mut self, satellites: Vec<Satellite>) -> (bool, Vec<RecordError>) {
        let mut refused = Vec::new();
        let mut accepted = BTreeMap::new();
        for satellite in satellites {
            match self.describe_satellite(&satellite, self.seq).emit() {
                Ok(_) if accepted.len() < MAX_SATELLITES_PER_HOST && satellite.device != self.me => {
                    accepted.insert(satellite.device, satellite);
                }
                Ok(_) => refused.push(RecordError::TooLarge),
                Err(error) => refused.push(error),
            }
        }
        let changed = self.satellites != accepted;
        self.dirty |= changed;
        self.satellites = accepted;
        (changed, refused)
    }

    pub(super) fn set_resources(&mut self, resources: Vec<ResourceDescription>) -> Result<bool, RecordError> {
        if self.resources == resources {
            return Ok(false);
        }
        let before = std::mem::replace(&mut self.resources, resources);
        if let Err(error) = self.describe(self.seq).emit() {
            self.resources = before;
            return Err(error);
        }
        self.dirty = true;
        Ok(true)
    }

    pub(super) fn rename(&mut self, name: Name) {
        self.dirty |= self.identity.name != name;
        self.identity.name = name;
    }

    pub(super) fn name(&self) -> Name {
        self.identity.name
    }

    /// A record of this device came back from elsewhere. True if that means that the next one must go above it.
    pub(super) fn saw(&mut self, seq: u64, same: bool) -> bool {
        let present = self.current.as_ref().map_or(0, |record| record.record().seq);
        let surprising = seq > self.seq || (seq == present && !same);
        if surprising {
            self.seq = self.seq.max(seq);
            self.dirty = true;
            // Their records must go above what others hold, too.
            self.vouched.clear();
        }
        surprising
    }

    /// When the next record is to be made.
    pub(super) fn due(&self) -> Option<BootTime> {
        (self.dirty && self.next.is_none()).then_some(self.not_before)
    }

    /// The bytes to save for the next record, if there is to be one now.
    pub(super) fn make(&mut self, now: BootTime) -> Result<Option<Vec<u8>>, RecordError> {
        if self.due().is_none_or(|due| due > now) {
            return Ok(None);
        }
        self.dirty = false;
        self.not_before = now + OWN_RECORD_PACE;
        // At the end of all numbers (only this device's own key gets it there) the last record stays.
        let Some(seq) = self.seq.checked_add(1) else { return Ok(None) };
        let record = SignedRecord::sign(self.describe(seq), &self.key)?;
        self.vouching = self.vouch(seq)?;
        self.seq = seq;
        let bytes = write(&record)?;
        self.next = Some(record);
        Ok(Some(bytes))
    }

    /// The next record is durable: it is the current one. False if it was overtaken meanwhile and another follows.
    pub(super) fn saved(&mut self) -> Option<&SignedRecord> {
        self.vouched = std::mem::take(&mut self.vouching);
        self.current = self.next.take();
        self.current.as_ref()
    }

    /// The next record could not be saved; it may have been. Its number is not used again.
    pub(super) fn failed(&mut self, retry: BootTime) {
        self.next = None;
        self.dirty = true;
        self.not_before = retry;
    }

    pub(super) fn signing_key(&self) -> &SigningKey {
        &self.key
    }

    fn describe(&self, seq: u64) -> DeviceRecord {
        // Also if there are none: whoever restored an old backup may not know that there were some.
        let satellites = Some(self.satellites.keys().copied().collect());
        record(self.me, &self.identity, seq, None, satellites, &self.resources)
    }

    fn describe_satellite(&self, satellite: &Satellite, seq: u64) -> DeviceRecord {
        record(satellite.device, &satellite.identity, seq, Some(self.me), None, &satellite.resources)
    }

    /// The records of the satellites: those that say the same as before stay, the others get this number.
    fn vouch(&self, seq: u64) -> Result<BTreeMap<DeviceId, SignedRecord>, RecordError> {
        let vouch = |(device, satellite): (&DeviceId, &Satellite)| {
            let same = self
                .vouched
                .get(device)
                .filter(|before| *before.record() == self.describe_satellite(satellite, before.record().seq));
            let record = match same {
                Some(before) => before.clone(),
                None => SignedRecord::sign(self.describe_satellite(satellite, seq), &self.key)?,
            };
            Ok((*device, record))
        };
        self.satellites.iter().map(vouch).collect()
    }
}

fn record(
    device: DeviceId,
    identity: &Identity,
    seq: u64,
    via: Option<DeviceId>,
    satellites: Option<Vec<DeviceId>>,
    resources: &[ResourceDescription],
) -> DeviceRecord {
    let Identity { name, kind, architecture, os, profile, software, capacity } = *identity;
    let resources = resources.to_vec();
    DeviceRecord { device, seq, name, kind, architecture, os, profile, software, via, satellites, capacity, resources }
}

fn write(record: &SignedRecord) -> Result<Vec<u8>, SectionError> {
    let mut writer = SectionWriter::new();
    writer.push(STATE, 1, record.signed())?;
    Ok(writer.finish())
}

fn read(me: DeviceId, bytes: &[u8]) -> Result<SignedRecord, RestoreError> {
    let unreadable = |why| RestoreError::Unreadable { key: KEY, why };
    let sections = Sections::new_checked(bytes).map_err(unreadable)?;
    let signed: Signed = sections.one(STATE).and_then(|section| section.decode()).map_err(unreadable)?;
    let record = SignedRecord::verify(signed).map_err(|_| unreadable(SectionError::Malformed(STATE)))?;
    if record.record().device != me {
        return Err(RestoreError::Foreign { key: KEY });
    }
    Ok(record)
}

#[cfg(test)]
#[path = "own_tests.rs"]
mod tests;
