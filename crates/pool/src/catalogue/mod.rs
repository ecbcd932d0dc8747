//! The merge of signed records: who is in the pool, and what each offers.
//!
//! # The rules
//! - A record is its device's own word: signed by the device, or for a satellite by the host it is reached through.
//!   Whoever passes it on cannot alter it.
//! - The highest sequence number wins. Two different records with one number ("equivocation": a device restored
//!   from a backup, or a dishonest one) are reported, and everywhere the one with the lower BLAKE3 hash wins, so
//!   that views converge all the same.
//! - Only members' records count, and those of satellites that members vouch for. A host cannot speak for a
//!   member. When a member is removed, its record and those it vouches for vanish at once.
//! - A host's record may list its satellites. One that is not listed, and whose record bears no higher number than the
//!   host's, is over: it is dropped, and not taken back from anybody.
//! - A satellite may be vouched for by several hosts (it moved). Each host's record is kept; the newest is shown. So a
//!   removed host takes only its own word with it.
//!
//! # What a hostile member can do
//! Describe itself and made-up satellites, at most [`MAX_SATELLITES_PER_HOST`] of them, within
//! [`MAX_CATALOGUE_BYTES`] for the whole catalogue. It cannot speak for other members, bring back old
//! records, or make two devices show different views for long.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use tutti_model::{
    DeviceId, DeviceRecord, SignedRecord, WallTime,
    message::{DigestEntry, Mark},
    record::RecordError,
    signed::Signed,
};

use crate::{
    group::Group,
    limits::{MAX_CATALOGUE_BYTES, MAX_EARLY_RECORDS, MAX_RECORDS, MAX_SATELLITES_PER_HOST},
};

mod query;
mod view;

pub use query::{BadFilter, Lookup, PropertyFilter, PropertyTest, Query};
pub use view::{Catalogue, DeviceEntry, Presence, ResourceEntry};

/// Whose record, by whose word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) device: DeviceId,
    pub(crate) via: Option<DeviceId>,
}

impl Key {
    pub(crate) fn own(device: DeviceId) -> Self {
        Self { device, via: None }
    }

    pub(crate) fn of(record: &DeviceRecord) -> Self {
        Self { device: record.device, via: record.via }
    }
}

/// A record that counts.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) record: Arc<SignedRecord>,
    pub(crate) learned: WallTime,
    hash: [u8; 32],
}

impl Entry {
    pub(crate) fn new(record: SignedRecord, learned: WallTime) -> Self {
        let hash = blake3::hash(record.signed().unverified()).into();
        Self { record: Arc::new(record), learned, hash }
    }

    pub(crate) fn seq(&self) -> u64 {
        self.record.record().seq
    }

    pub(crate) fn mark(&self) -> Mark {
        let mut mark = Mark::default();
        mark.copy_from_slice(&self.hash[..8]);
        mark
    }

    fn len(&self) -> usize {
        self.record.signed().unverified().len()
    }
}

/// Which of two claims about one record is ahead. The lower mark wins among equals, as the lower hash does.
pub(crate) fn ahead(mine: (u64, Mark), theirs: (u64, Mark)) -> std::cmp::Ordering {
    mine.0.cmp(&theirs.0).then_with(|| theirs.1.cmp(&mine.1))
}

/// What became of a record that came in.
#[derive(Debug, PartialEq)]
pub(crate) enum Merged {
    /// It is news, and now counts.
    New(Key),
    /// It is what is held already.
    Known(Key),
    /// A later one is held.
    Old(Key),
    /// It is this device's own, with this number; whether it is ahead is for the own record to say.
    Own { seq: u64, same: bool },
    /// Another record of the same number is held. `replaced`: the one that came in won.
    Equivocation { key: Key, seq: u64, replaced: bool },
    /// Its device is not a member (yet).
    Early,
    /// It does not count.
    Refused(RecordRefusal),
}

/// Why a record does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordRefusal {
    /// It is not a record, or its signature is wrong.
    Record(RecordError),
    /// A host speaks for a device that speaks for itself.
    SpeaksForMember {
        /// The host.
        host: DeviceId,
        /// The member.
        member: DeviceId,
    },
    /// The catalogue is full, or the host vouches for too many satellites.
    TooMany,
}

impl std::fmt::Display for RecordRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Record(error) => error.fmt(f),
            Self::SpeaksForMember { host, member } => write!(
                f,
                "device record refused: {} describes {}, which is a member and describes itself",
                host.short(),
                member.short()
            ),
            Self::TooMany => write!(
                f,
                "device record refused: more than {MAX_SATELLITES_PER_HOST} satellites of one host, or the catalogue is full"
            ),
        }
    }
}

impl std::error::Error for RecordRefusal {}

/// All records that count, and a few that may soon.
#[derive(Debug)]
pub(crate) struct Records {
    me: DeviceId,
    entries: BTreeMap<Key, Entry>,
    bytes: usize,
    early: VecDeque<Signed>,
}

impl Records {
    pub(crate) fn new(me: DeviceId) -> Self {
        Self { me, entries: BTreeMap::new(), bytes: 0, early: VecDeque::new() }
    }

    /// Takes a record from anywhere.
    pub(crate) fn merge(&mut self, group: &Group, signed: Signed, wall: WallTime) -> Merged {
        let claim = match DeviceRecord::parse(signed.unverified()) {
            Ok(claim) => claim,
            Err(error) => return Merged::Refused(RecordRefusal::Record(error)),
        };
        let key = Key::of(&claim);
        if let Some(host) = claim.via.filter(|_| group.contains(claim.device)) {
            return Merged::Refused(RecordRefusal::SpeaksForMember { host, member: claim.device });
        }
        // What is held already needs no second look at its signature.
        let held = self.entries.get(&key);
        let same = held.is_some_and(|held| held.record.signed().unverified() == signed.unverified());
        // Of its own satellites this device is told by nobody.
        if key.via == Some(self.me) {
            return Merged::Old(Key::own(self.me));
        }
        if key == Key::own(self.me) {
            return match SignedRecord::verify(signed) {
                Ok(record) => Merged::Own { seq: record.record().seq, same },
                Err(error) => Merged::Refused(RecordRefusal::Record(error)),
            };
        }
        match held {
            Some(_) if same => return Merged::Known(key),
            Some(held) if held.seq() > claim.seq => return Merged::Old(key),
            _ => {}
        }
        let record = match SignedRecord::verify(signed) {
            Ok(record) => record,
            Err(error) => return Merged::Refused(RecordRefusal::Record(error)),
        };
        // Whoever sent it lacks what the host said since.
        if let Some(host) = key.via.filter(|_| self.is_over(&key, claim.seq)) {
            return Merged::Old(Key::own(host));
        }
        if !group.admits(key.device, key.via) {
            self.keep_early(record);
            return Merged::Early;
        }
        let equivocation = held.is_some_and(|held| held.seq() == claim.seq);
        let entry = Entry::new(record, wall);
        if equivocation && held.is_some_and(|held| held.hash < entry.hash) {
            return Merged::Equivocation { key, seq: claim.seq, replaced: false };
        }
        if !self.insert(key, entry) {
            return Merged::Refused(RecordRefusal::TooMany);
        }
        self.drop_over(key);
        if equivocation { Merged::Equivocation { key, seq: claim.seq, replaced: true } } else { Merged::New(key) }
    }

    /// Puts this device's own record in, with those of its satellites; gives those that are news.
    pub(crate) fn set_own(
        &mut self,
        record: SignedRecord,
        satellites: Vec<SignedRecord>,
        wall: WallTime,
    ) -> BTreeSet<Key> {
        let mine = Key::own(self.me);
        self.insert(mine, Entry::new(record, wall));
        let there: BTreeSet<Key> = satellites.iter().map(|record| Key::of(record.record())).collect();
        let gone = |key: &&Key| key.via == Some(self.me) && !there.contains(*key);
        let gone: Vec<Key> = self.entries.keys().filter(gone).copied().collect();
        gone.iter().for_each(|key| self.remove(key));
        let mut news = BTreeSet::from([mine]);
        for record in satellites {
            let (key, entry) = (Key::of(record.record()), Entry::new(record, wall));
            if self.entries.get(&key).is_none_or(|before| before.hash != entry.hash) && self.insert(key, entry) {
                news.insert(key);
            }
        }
        news
    }

    /// Whether a satellite's record with this number is over: its host has said since that it has no such satellite.
    pub(crate) fn is_over(&self, key: &Key, seq: u64) -> bool {
        let Some(host) = key.via.and_then(|host| self.entries.get(&Key::own(host))) else { return false };
        let listed = host.record.record().satellites.as_ref();
        listed.is_some_and(|listed| seq <= host.seq() && !listed.contains(&key.device))
    }

    /// The host that a satellite is reached through: of several hosts' words the newest counts, then the lower mark.
    pub(crate) fn host_of(&self, device: DeviceId) -> Option<DeviceId> {
        let first = Key { device, via: None };
        let of_device = self.entries.range(first..).take_while(|(key, _)| key.device == device);
        let newest = of_device
            .filter(|(key, _)| key.via.is_some())
            .max_by(|(_, one), (_, other)| ahead((one.seq(), one.mark()), (other.seq(), other.mark())));
        newest.and_then(|(key, _)| key.via)
    }

    /// Drops what this record says is over.
    fn drop_over(&mut self, key: Key) {
        if key.via.is_some() {
            return;
        }
        let of_host = self.entries.iter().filter(|(satellite, _)| satellite.via == Some(key.device));
        let over: Vec<Key> =
            of_host.filter(|(satellite, entry)| self.is_over(satellite, entry.seq())).map(|(key, _)| *key).collect();
        over.iter().for_each(|key| self.remove(key));
    }

    /// Follows a change of the group: drops what no longer counts, and tries what came too early. Returns whether
    /// anything is different, and which records are news.
    pub(crate) fn apply(&mut self, group: &Group, wall: WallTime) -> (bool, Vec<Key>) {
        let before = self.entries.len();
        let me = self.me;
        self.entries.retain(|key, _| key.device == me && key.via.is_none() || group.admits(key.device, key.via));
        self.bytes = self.entries.values().map(Entry::len).sum();
        let dropped = self.entries.len() != before;
        let mut news = Vec::new();
        for signed in std::mem::take(&mut self.early) {
            if let Merged::New(key) = self.merge(group, signed, wall) {
                news.push(key);
            }
        }
        (dropped || !news.is_empty(), news)
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries.iter()
    }

    /// What a digest says about one record; "none" if it is not held.
    pub(crate) fn digest_entry(&self, key: Key) -> DigestEntry {
        let (seq, mark) = self.entries.get(&key).map_or((0, Mark::default()), |entry| (entry.seq(), entry.mark()));
        DigestEntry { device: key.device, via: key.via, seq, mark }
    }

    fn keep_early(&mut self, record: SignedRecord) {
        let key = Key::of(record.record());
        self.early.retain(|kept| DeviceRecord::parse(kept.unverified()).is_ok_and(|kept| Key::of(&kept) != key));
        if self.early.len() >= MAX_EARLY_RECORDS {
            self.early.pop_front();
        }
        self.early.push_back(record.signed().clone());
    }

    /// Inserts unless that breaks a bound. Of too many satellites of one host, the highest id goes, whatever came
    /// first, so that all devices keep the same ones.
    fn insert(&mut self, key: Key, entry: Entry) -> bool {
        let freed = self.entries.get(&key).map_or(0, Entry::len);
        let bytes = self.bytes - freed + entry.len();
        let is_new = !self.entries.contains_key(&key);
        if key.device != self.me && (bytes > MAX_CATALOGUE_BYTES || (is_new && self.entries.len() >= MAX_RECORDS)) {
            return false;
        }
        if is_new && key.via.is_some() {
            let siblings = || self.entries.keys().filter(|other| other.via == key.via);
            if siblings().count() >= MAX_SATELLITES_PER_HOST {
                match siblings().max().copied() {
                    Some(last) if key < last => self.remove(&last),
                    _ => return false,
                }
            }
        }
        self.remove(&key);
        self.bytes += entry.len();
        self.entries.insert(key, entry);
        true
    }

    fn remove(&mut self, key: &Key) {
        if let Some(gone) = self.entries.remove(key) {
            self.bytes -= gone.len();
        }
    }
}

#[cfg(test)]
mod tests;
