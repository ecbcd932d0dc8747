//! Records and leases on their way between members.

use tutti_model::{
    BootTime, DeviceId, Operation, ProtocolVersion, SignedRecord,
    message::{Digest, LeaseEnded, LeaseId, LeaseInfo, Leases, Notice},
    section::{SectionWriter, Sections, Tag},
    signed::Signed,
};

use super::{
    Pool,
    peers::{Due, Peer},
};
use crate::{
    catalogue::{Key, Merged, ahead},
    group::Group,
    io::{Event, KnownLease},
    limits::{DIGEST_INTERVAL, DIGEST_PEERS, MAX_LEASES, MAX_RECORDS, MAX_SAVED_BYTES, RETRY},
};

pub(super) const KEY: &str = "pool/records";
const RECORD: Tag = Tag(1);

/// Whose turn it is to be told everything again.
#[derive(Debug, Default)]
pub(super) struct Digests {
    pub(super) next: BootTime,
    /// Who was told last.
    last: Option<DeviceId>,
}

impl Pool {
    // --- who is there ----------------------------------------------------------------------------------------

    pub(super) fn on_group(&mut self, group: Group) {
        let group = super::with_me(group, self.me, self.own.name());
        if group == self.group {
            return;
        }
        self.group = group;
        self.catalogue_changed = true;
        let (changed, news) = self.records.apply(&self.group, self.wall);
        if changed {
            self.records_slot.changed(self.now);
        }
        for key in news {
            self.tell_others(key, None);
        }
        // What was refused before the news of somebody's joining came is offered again after a digest.
        for peer in self.peers.values_mut() {
            if peer.speaks_digests() {
                peer.sync_by(self.now);
            }
            peer.leases_changed(self.now);
        }
        let members = &self.group;
        self.known.retain(|device, _| members.contains(*device));
        self.revalidate();
        self.drop_foreign_holds();
    }

    pub(super) fn on_peer_up(&mut self, device: DeviceId, version: ProtocolVersion, generation: u64) {
        if device == self.me {
            return;
        }
        if self.peers.is_empty() {
            self.digests.next = self.now + DIGEST_INTERVAL;
        }
        self.peers.insert(device, Peer::new(self.now, version, generation));
        let mut holds = std::mem::take(&mut self.holds);
        holds.hurry(self.now, |of| self.host_of(of) == Some(device));
        self.holds = holds;
        self.catalogue_changed = true;
    }

    pub(super) fn on_peer_down(&mut self, device: DeviceId) {
        if self.peers.remove(&device).is_some() {
            self.catalogue_changed = true;
        }
    }

    pub(super) fn on_notice_done(&mut self, to: DeviceId, generation: u64, sent: bool) {
        let now = self.now;
        let Some(peer) = self.peers.get_mut(&to).filter(|peer| peer.generation == generation) else { return };
        peer.sent();
        if !sent {
            peer.sync_by(now + RETRY);
            peer.leases_changed(now + RETRY);
        }
    }

    // --- what comes in ---------------------------------------------------------------------------------------

    pub(super) fn on_notice(&mut self, from: DeviceId, bytes: &[u8]) {
        if !self.group.contains(from) {
            return;
        }
        match Notice::parse(bytes) {
            Ok(Notice::Record(signed)) => self.on_record(from, signed),
            Ok(Notice::Digest(digest)) if digest.entries.len() <= MAX_RECORDS => self.on_digest(from, &digest),
            Ok(Notice::Leases(leases)) if leases.leases.len() <= MAX_LEASES => self.on_leases(from, leases),
            Ok(Notice::LeaseEnded(LeaseEnded { lease, why })) if self.host_of(lease.resource.device) == Some(from) => {
                self.lose(lease, Some(why));
            }
            // A newer member says something that this version does not know: not for this device.
            Err(tutti_model::message::MessageError::Unknown) => {}
            Ok(_) => {
                let what = tutti_model::message::MessageError::TooLong { max: MAX_RECORDS };
                self.event(Event::Misbehaved { from, what });
            }
            Err(what) => self.event(Event::Misbehaved { from, what }),
        }
    }

    fn on_record(&mut self, from: DeviceId, signed: Signed) {
        let merged = self.records.merge(&self.group, signed, self.wall);
        match merged {
            Merged::New(key) => self.record_changed(key, from),
            Merged::Known(key) => {
                if let Some(peer) = self.peers.get_mut(&from) {
                    peer.knows(&key);
                }
            }
            // The sender is behind.
            Merged::Old(key) => self.send_record(from, key),
            Merged::Own { seq, same } => {
                if self.own.saw(seq, same) {
                    self.event(Event::Equivocation { device: self.me, seq });
                }
                // A later one follows anyway if that one is not behind.
                if self.own.current().is_some_and(|current| current.record().seq > seq) {
                    self.send_record(from, Key::own(self.me));
                }
            }
            Merged::Equivocation { key, seq, replaced } => {
                self.event(Event::Equivocation { device: key.device, seq });
                if replaced {
                    self.record_changed(key, from);
                } else {
                    self.send_record(from, key);
                }
            }
            Merged::Early => {}
            Merged::Refused(why) => self.event(Event::RecordRefused { from, why }),
        }
    }

    fn record_changed(&mut self, key: Key, from: DeviceId) {
        self.catalogue_changed = true;
        self.records_slot.changed(self.now);
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.knows(&key);
        }
        self.tell_others(key, Some(from));
        // A satellite that its host vouches for no more is gone.
        self.drop_foreign_holds();
    }

    /// Passes news on to everybody but whom it came from and whom it is about.
    fn tell_others(&mut self, key: Key, from: Option<DeviceId>) {
        let now = self.now;
        let others = self.peers.iter_mut().filter(|(device, _)| Some(**device) != from && **device != key.device);
        for (_, peer) in others {
            peer.tell(now, key);
        }
    }

    fn send_record(&mut self, to: DeviceId, key: Key) {
        if let Some(peer) = self.peers.get_mut(&to) {
            peer.records.insert(key);
        }
    }

    fn on_digest(&mut self, from: DeviceId, digest: &Digest) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let mut listed = std::collections::BTreeSet::new();
        for entry in &digest.entries {
            let key = Key { device: entry.device, via: entry.via };
            listed.insert(key);
            if !self.group.admits(key.device, key.via) || self.records.is_over(&key, entry.seq) {
                continue;
            }
            let mine = self.records.digest_entry(key);
            match ahead((mine.seq, mine.mark), (entry.seq, entry.mark)) {
                std::cmp::Ordering::Equal => peer.knows(&key),
                std::cmp::Ordering::Greater if mine.seq > 0 => {
                    peer.records.insert(key);
                }
                // Whoever sends a whole digest gets one too, and then sends what this device lacks unasked.
                std::cmp::Ordering::Less if !digest.whole => {
                    peer.asks.insert(key);
                }
                _ => {}
            }
        }
        if digest.whole {
            let unlisted = self.records.iter().map(|(key, _)| *key).filter(|key| !listed.contains(key));
            peer.records.extend(unlisted);
        }
    }

    fn on_leases(&mut self, from: DeviceId, leases: Leases) {
        let Some(peer) = self.peers.get_mut(&from) else { return };
        if leases.revision <= peer.leases_revision {
            return;
        }
        peer.leases_revision = leases.revision;
        let now = self.now;
        let theirs = leases.leases.iter().filter(|info| self.host_of(info.lease.resource.device) == Some(from));
        let known: Vec<KnownLease> = theirs
            .map(|info| KnownLease {
                lease: info.lease,
                mode: info.mode,
                holder: info.holder,
                until: now + info.remaining.min(crate::lease::owner_term(crate::limits::MAX_LEASE)),
            })
            .collect();
        self.known.insert(from, known);
        self.leases_changed = true;
    }

    // --- what goes out ---------------------------------------------------------------------------------------

    pub(super) fn own_record_saved(&mut self) {
        let Some(record) = self.own.saved().cloned() else { return };
        let satellites = self.own.satellite_records().cloned().collect();
        let news = self.records.set_own(record, satellites, self.wall);
        self.catalogue_changed = true;
        for peer in self.peers.values_mut() {
            peer.records.extend(&news);
        }
        self.drop_foreign_holds();
    }

    /// Tells each peer what it is still to be told, as far as its session has room.
    pub(super) fn sync(&mut self) {
        self.repeat_digests();
        let is_member = |device: &&DeviceId| self.group.contains(**device);
        let devices: Vec<DeviceId> = self.peers.keys().filter(is_member).copied().collect();
        for device in devices {
            while let Some(due) = self.peers.get_mut(&device).and_then(|peer| peer.pop(self.now)) {
                self.tell(device, due);
            }
        }
    }

    /// Now and then the next few peers are told everything again.
    fn repeat_digests(&mut self) {
        if self.now < self.digests.next {
            return;
        }
        self.digests.next = self.now + DIGEST_INTERVAL;
        let last = self.digests.last;
        let speaks = |(device, peer): (&DeviceId, &Peer)| peer.speaks_digests().then_some(*device);
        let after = self.peers.iter().filter(|(device, _)| Some(**device) > last);
        let before = self.peers.iter().filter(|(device, _)| Some(**device) <= last);
        let turn: Vec<DeviceId> = after.chain(before).filter_map(speaks).take(DIGEST_PEERS).collect();
        for device in turn {
            self.digests.last = Some(device);
            if let Some(peer) = self.peers.get_mut(&device) {
                peer.sync_by(self.now);
            }
        }
    }

    fn tell(&mut self, to: DeviceId, due: Due) {
        let digest = |pool: &Self, whole, keys: &mut dyn Iterator<Item = Key>| {
            Notice::Digest(Digest { whole, entries: keys.map(|key| pool.records.digest_entry(key)).collect() })
        };
        match due {
            Due::Ended(ended) => self.notify(to, &Notice::LeaseEnded(ended)),
            Due::WholeDigest => {
                let notice = digest(self, true, &mut self.records.iter().map(|(key, _)| *key));
                self.notify(to, &notice);
            }
            Due::PartDigest(keys) => {
                let notice = digest(self, false, &mut keys.into_iter());
                self.notify(to, &notice);
            }
            Due::Everything => {
                let keys: Vec<Key> = self.records.iter().map(|(key, _)| *key).collect();
                if let Some(peer) = self.peers.get_mut(&to) {
                    peer.records.extend(keys);
                }
            }
            Due::Leases => {
                let notice = self.leases_for(to);
                self.notify(to, &notice);
            }
            Due::Record(key) => {
                // It may be gone since it was noted.
                if let Some(entry) = self.records.get(&key) {
                    let notice = Notice::Record(entry.record.signed().clone());
                    self.notify(to, &notice);
                }
            }
        }
    }

    /// The leases on those resources that a member may use.
    fn leases_for(&mut self, to: DeviceId) -> Notice {
        let revision = self.next_id();
        let role = self.group.role(to);
        let may_see = |resource: &tutti_model::ResourceId| {
            self.own.offered(resource).zip(role).is_some_and(|(resource, role)| {
                resource.access.allows(role, Operation::Read) || resource.access.allows(role, Operation::Control)
            })
        };
        let leases =
            self.granted.live().filter(|((of, _), _)| may_see(of)).map(|(&(resource, token), granted)| LeaseInfo {
                lease: LeaseId { resource, token },
                mode: granted.mode,
                holder: granted.holder,
                remaining: granted.until.since(self.now),
            });
        Notice::Leases(Leases { revision, leases: leases.collect() })
    }

    /// Something about the granted leases is different.
    pub(super) fn grants_changed(&mut self) {
        let now: BootTime = self.now;
        self.granted_slot.changed(now);
        self.leases_changed = true;
        self.peers.values_mut().for_each(|peer| peer.leases_changed(now));
    }

    // --- the memory of others' records -------------------------------------------------------------------------

    /// What is kept of others' records, so that the devices known before a restart are known after it. Smaller ones
    /// first, as many as fit.
    pub(super) fn save_records(&self) -> Vec<u8> {
        let mut records: Vec<&SignedRecord> = self
            .records
            .iter()
            .filter(|(key, _)| key.device != self.me && key.via != Some(self.me))
            .map(|(_, entry)| entry.record.as_ref())
            .collect();
        records.sort_by_key(|record| record.signed().unverified().len());
        let mut room = MAX_SAVED_BYTES;
        let mut writer = SectionWriter::new();
        for record in records {
            let Some(left) = room.checked_sub(record.signed().unverified().len()) else { break };
            room = left;
            if writer.push(RECORD, 1, record.signed()).is_err() {
                break;
            }
        }
        writer.finish()
    }

    pub(super) fn restore_records(&mut self, saved: Option<&[u8]>) {
        let Some(Ok(sections)) = saved.map(Sections::new_checked) else { return };
        for section in sections.iter().filter(|section| section.tag == RECORD) {
            if let Ok(signed) = section.decode::<Signed>() {
                // Checked like any other record: the disk is not trusted more than the network.
                self.records.merge(&self.group, signed, self.wall);
            }
        }
    }
}
