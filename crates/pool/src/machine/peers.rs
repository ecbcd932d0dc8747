//! What each connected member is still to be told about records and leases.
//!
//! Nothing is queued as bytes: a peer has a set of records to get, and each is looked up when its turn comes, so a
//! slow peer gets the latest and costs no memory. [`NOTICE_WINDOW`] notices at most are with its session.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tutti_model::{BootTime, DeviceId, ProtocolVersion, message::LeaseEnded};

use crate::{
    catalogue::Key,
    limits::{LEASES_PACE, MAX_LEASES_PER_HOLDER, NOTICE_WINDOW, RELAY_PACE},
};

/// The first version in which peers compare digests instead of sending everything.
const DIGESTS: ProtocolVersion = ProtocolVersion(2);

#[derive(Debug)]
pub(super) struct Peer {
    pub(super) generation: u64,
    version: ProtocolVersion,
    /// Notices with its session.
    in_flight: usize,
    /// Records that it lacks.
    pub(super) records: BTreeSet<Key>,
    /// Records that it may lack: it is told their numbers and asks.
    news: BTreeSet<Key>,
    news_at: BootTime,
    /// Records in which it is ahead.
    pub(super) asks: BTreeSet<Key>,
    /// When to tell it everything: by digest, or by sending it all.
    sync_at: Option<BootTime>,
    /// When to tell it the leases.
    leases_at: Option<BootTime>,
    pub(super) ended: VecDeque<LeaseEnded>,
    /// The last list of leases that it sent.
    pub(super) leases_revision: u64,
}

/// The next thing to tell a peer.
#[derive(Debug, PartialEq)]
pub(super) enum Due {
    Ended(LeaseEnded),
    WholeDigest,
    Everything,
    PartDigest(BTreeSet<Key>),
    Leases,
    Record(Key),
}

impl Peer {
    pub(super) fn new(now: BootTime, version: ProtocolVersion, generation: u64) -> Self {
        Self {
            generation,
            version,
            in_flight: 0,
            records: BTreeSet::new(),
            news: BTreeSet::new(),
            news_at: now,
            asks: BTreeSet::new(),
            sync_at: Some(now),
            leases_at: Some(now),
            ended: VecDeque::new(),
            leases_revision: 0,
        }
    }

    pub(super) fn speaks_digests(&self) -> bool {
        self.version >= DIGESTS
    }

    /// There is a record that it may lack.
    pub(super) fn tell(&mut self, now: BootTime, key: Key) {
        if !self.speaks_digests() {
            self.records.insert(key);
            return;
        }
        if self.news.is_empty() {
            self.news_at = now + RELAY_PACE;
        }
        self.news.insert(key);
    }

    /// It holds what this device holds of that record.
    pub(super) fn knows(&mut self, key: &Key) {
        self.records.remove(key);
        self.news.remove(key);
        self.asks.remove(key);
    }

    pub(super) fn sync_by(&mut self, at: BootTime) {
        self.sync_at = Some(self.sync_at.map_or(at, |earlier| earlier.min(at)));
    }

    pub(super) fn leases_changed(&mut self, now: BootTime) {
        self.leases_at.get_or_insert(now + LEASES_PACE);
    }

    pub(super) fn lease_ended(&mut self, ended: LeaseEnded) {
        if self.ended.len() < MAX_LEASES_PER_HOLDER {
            self.ended.push_back(ended);
        }
    }

    /// What to tell it now, if its session has room. The caller sends it.
    pub(super) fn pop(&mut self, now: BootTime) -> Option<Due> {
        if self.in_flight >= NOTICE_WINDOW {
            return None;
        }
        let due = |at: &mut BootTime| *at <= now;
        let next = if let Some(ended) = self.ended.pop_front() {
            Due::Ended(ended)
        } else if self.sync_at.take_if(due).is_some() {
            if !self.speaks_digests() {
                return Some(Due::Everything);
            }
            Due::WholeDigest
        } else if !self.asks.is_empty() || (!self.news.is_empty() && self.news_at <= now) {
            let mut keys = std::mem::take(&mut self.asks);
            keys.append(&mut self.news);
            Due::PartDigest(keys)
        } else if self.leases_at.take_if(due).is_some() {
            Due::Leases
        } else {
            Due::Record(self.records.pop_first()?)
        };
        Some(next)
    }

    /// Something went to its session.
    pub(super) fn sending(&mut self) {
        self.in_flight += 1;
    }

    /// Its session is done with one notice.
    pub(super) fn sent(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// When there is something to tell it.
    pub(super) fn next(&self, now: BootTime) -> Option<BootTime> {
        if self.in_flight >= NOTICE_WINDOW {
            return None;
        }
        let at_once = !self.ended.is_empty() || !self.asks.is_empty() || !self.records.is_empty();
        let news = (!self.news.is_empty()).then_some(self.news_at);
        [at_once.then_some(now), news, self.sync_at, self.leases_at].into_iter().flatten().min()
    }
}

/// Everybody that there is a session with.
pub(super) type Peers = BTreeMap<DeviceId, Peer>;
