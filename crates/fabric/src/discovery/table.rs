//! What a source sees, merged by device, bounded, and told onwards without ever waiting.
//!
//! A source sees *sightings*: an announced service, a file. Several may be of the same device (two interfaces with
//! different names, an impostor), so a device is told onwards with the addresses of all of its sightings. There are at
//! most [`MAX_DEVICES`] sightings, and few of one device; a flood pushes out the oldest that nobody vouched for. What
//! the receiver was told is remembered, so that it is told only changes, and told of losses first.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use tokio::sync::mpsc::{self, error::TrySendError};
use tutti_model::{DeviceId, Name};

use super::{DiscoveryEvent, MAX_ADDRS};
use crate::{Nearby, Source};

/// The most sightings that are kept, and devices that the receiver hears of.
pub const MAX_DEVICES: usize = 1024;
/// The most sightings of one device.
const MAX_OF_ONE: usize = 4;

/// One announcement of a device.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sighting {
    pub(crate) device: DeviceId,
    pub(crate) name: Name,
    pub(crate) addrs: Vec<SocketAddr>,
    pub(crate) pairing_open: bool,
}

/// What one source sees now.
#[derive(Debug)]
pub(super) struct Table {
    source: Source,
    /// By what the source calls them, with the order in which they were last seen anew.
    sightings: BTreeMap<String, (u64, Sighting)>,
    by_device: BTreeMap<DeviceId, BTreeSet<String>>,
    /// Devices that somebody vouches for.
    trusted: BTreeSet<DeviceId>,
    /// What the receiver was told.
    told: BTreeMap<DeviceId, Nearby>,
    /// Devices about which there may be something to tell.
    changed: BTreeSet<DeviceId>,
    seen: u64,
}

impl Table {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            sightings: BTreeMap::new(),
            by_device: BTreeMap::new(),
            trusted: BTreeSet::new(),
            told: BTreeMap::new(),
            changed: BTreeSet::new(),
            seen: 0,
        }
    }

    /// A sighting, new or changed.
    pub(super) fn see(&mut self, key: &str, sighting: Sighting) {
        if self.sightings.get(key).is_some_and(|(_, known)| *known == sighting) {
            return;
        }
        self.lose(key);
        self.seen += 1;
        let device = sighting.device;
        self.sightings.insert(key.to_owned(), (self.seen, sighting));
        self.by_device.entry(device).or_default().insert(key.to_owned());
        self.changed.insert(device);
        if let Some(oldest) = self.excess(device) {
            self.lose(&oldest);
        }
    }

    /// A sighting is over.
    pub(super) fn lose(&mut self, key: &str) {
        let Some((_, sighting)) = self.sightings.remove(key) else { return };
        self.changed.insert(sighting.device);
        if let Some(keys) = self.by_device.get_mut(&sighting.device) {
            keys.remove(key);
            if keys.is_empty() {
                self.by_device.remove(&sighting.device);
            }
        }
    }

    /// Sightings that the source does not have any more.
    pub(super) fn keep_only(&mut self, keys: &BTreeSet<String>) {
        let over: Vec<_> = self.sightings.keys().filter(|key| !keys.contains(*key)).cloned().collect();
        over.iter().for_each(|key| self.lose(key));
    }

    /// Devices whose sightings a flood of others does not push out.
    #[cfg(any(feature = "iroh", test))]
    pub(super) fn trust(&mut self, devices: impl IntoIterator<Item = DeviceId>) {
        self.trusted = devices.into_iter().take(MAX_DEVICES / 2).collect();
    }

    /// What the source calls the sightings of a device.
    #[cfg(any(feature = "iroh", test))]
    pub(super) fn keys_of(&self, device: DeviceId) -> impl Iterator<Item = &str> {
        self.by_device.get(&device).into_iter().flatten().map(String::as_str)
    }

    /// Which sighting is too much: another of the same device, or the oldest of a device without trust.
    fn excess(&self, device: DeviceId) -> Option<String> {
        let oldest = |keys: &mut dyn Iterator<Item = (&String, u64)>| {
            keys.min_by_key(|&(_, seen)| seen).map(|(key, _)| key.clone())
        };
        let same = self.by_device.get(&device)?;
        if same.len() > MAX_OF_ONE {
            return oldest(&mut same.iter().filter_map(|key| Some((key, self.sightings.get(key)?.0))));
        }
        if self.sightings.len() <= MAX_DEVICES {
            return None;
        }
        let mut strangers = self.sightings.iter().filter(|(_, (_, sighting))| !self.trusted.contains(&sighting.device));
        oldest(&mut strangers.by_ref().map(|(key, (seen, _))| (key, *seen)))
            .or_else(|| oldest(&mut self.sightings.iter().map(|(key, (seen, _))| (key, *seen))))
    }

    /// Tells what changed. `false` if not all of it found room; `None` if there is nobody to tell any more.
    pub(super) fn tell(&mut self, to: &mpsc::Sender<DiscoveryEvent>) -> Option<bool> {
        loop {
            if self.changed.is_empty() {
                return (!to.is_closed()).then_some(true);
            }
            match to.try_reserve() {
                Err(TrySendError::Closed(())) => return None,
                Err(TrySendError::Full(())) => return Some(false),
                Ok(place) => {
                    if let Some(event) = self.next_event() {
                        place.send(event);
                    }
                }
            }
        }
    }

    /// The next thing to tell. Losses come first, so that the receiver never knows of more devices than there are here.
    fn next_event(&mut self) -> Option<DiscoveryEvent> {
        let lost = self.changed.iter().find(|device| !self.by_device.contains_key(device)).copied();
        if let Some(device) = lost {
            self.changed.remove(&device);
            return self.told.remove(&device).map(|_| DiscoveryEvent::Lost { device, source: self.source });
        }
        let device = self.changed.pop_first()?;
        let nearby = self.merged(device)?;
        let known = self.told.insert(nearby.device, nearby.clone());
        (known.as_ref() != Some(&nearby)).then_some(DiscoveryEvent::Found(nearby))
    }

    /// A device with all that its sightings say; where they differ, the newest counts.
    fn merged(&self, device: DeviceId) -> Option<Nearby> {
        let keys = self.by_device.get(&device)?;
        let mut sightings: Vec<_> = keys.iter().filter_map(|key| self.sightings.get(key)).collect();
        sightings.sort_by_key(|(seen, _)| std::cmp::Reverse(*seen));
        let (_, newest) = sightings.first()?;
        let mut addrs: Vec<SocketAddr> = Vec::new();
        // In turns, so that one sighting with many addresses leaves room for those of the others.
        for turn in 0..MAX_ADDRS {
            for addr in sightings.iter().filter_map(|(_, sighting)| sighting.addrs.get(turn)) {
                if addrs.len() < MAX_ADDRS && !addrs.contains(addr) {
                    addrs.push(*addr);
                }
            }
        }
        Some(Nearby { device, name: newest.name, addrs, pairing_open: newest.pairing_open, source: self.source })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn device(n: u16) -> DeviceId {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&n.to_le_bytes());
        DeviceId::from_bytes(id)
    }

    fn sighting(n: u16, addrs: &[u8]) -> Sighting {
        let addrs = addrs.iter().map(|&last| ([10, 0, 0, last], 1).into()).collect();
        Sighting { device: device(n), name: Name::new("kitchen").unwrap(), addrs, pairing_open: false }
    }

    fn drain(receiver: &mut mpsc::Receiver<DiscoveryEvent>) -> Vec<DiscoveryEvent> {
        std::iter::from_fn(|| receiver.try_recv().ok()).collect()
    }

    #[test]
    fn changes_are_told_once() {
        let (sender, mut receiver) = mpsc::channel(8);
        let mut table = Table::new(Source::Mdns);
        table.see("a", sighting(1, &[1]));
        table.see("a", sighting(1, &[1]));
        assert_eq!(table.tell(&sender), Some(true));
        let told = drain(&mut receiver);
        assert!(matches!(&told[..], [DiscoveryEvent::Found(nearby)] if nearby.addrs.len() == 1), "{told:?}");
        table.see("b", sighting(1, &[2, 1]));
        table.tell(&sender);
        let told = drain(&mut receiver);
        assert!(matches!(&told[..], [DiscoveryEvent::Found(nearby)] if nearby.addrs.len() == 2), "{told:?}");
        table.lose("a");
        table.lose("a");
        table.tell(&sender);
        assert!(drain(&mut receiver).is_empty(), "the other sighting says the same");
        table.keep_only(&BTreeSet::new());
        table.tell(&sender);
        assert_eq!(drain(&mut receiver), [DiscoveryEvent::Lost { device: device(1), source: Source::Mdns }]);
    }

    #[test]
    fn what_comes_and_goes_before_it_is_told_is_not_told() {
        let (sender, mut receiver) = mpsc::channel(8);
        let mut table = Table::new(Source::Mdns);
        table.see("a", sighting(1, &[1]));
        table.lose("a");
        assert_eq!(table.tell(&sender), Some(true));
        assert!(drain(&mut receiver).is_empty());
    }

    #[test]
    fn a_flood_is_bounded_and_spares_the_trusted() {
        let (sender, mut receiver) = mpsc::channel(16);
        let mut table = Table::new(Source::Mdns);
        table.trust([device(1)]);
        table.see("one", sighting(1, &[1]));
        for n in 2..5000 {
            table.see(&n.to_string(), sighting(n, &[2]));
            if n % 7 == 0 {
                table.tell(&sender);
            }
        }
        assert_eq!(table.sightings.len(), MAX_DEVICES);
        assert!(table.sightings.contains_key("one") && table.sightings.contains_key("4999"));
        assert!(table.told.len() <= MAX_DEVICES);
        let mut known = BTreeSet::new();
        loop {
            let all = table.tell(&sender) == Some(true);
            for event in drain(&mut receiver) {
                match event {
                    DiscoveryEvent::Found(nearby) => drop(known.insert(nearby.device)),
                    DiscoveryEvent::Lost { device, .. } => drop(known.remove(&device)),
                }
                assert!(known.len() <= MAX_DEVICES);
            }
            if all {
                break;
            }
        }
        assert_eq!(known, table.by_device.keys().copied().collect());
    }

    #[test]
    fn impostors_leave_room_for_the_real_addresses() {
        let mut table = Table::new(Source::Mdns);
        table.see("real", sighting(1, &[1]));
        for n in 0..3u8 {
            table.see(&n.to_string(), sighting(1, &std::array::from_fn::<u8, 16, _>(|at| n * 20 + 10 + at as u8)));
        }
        let addrs = table.merged(device(1)).unwrap().addrs;
        assert_eq!(addrs.len(), MAX_ADDRS);
        assert!(addrs.contains(&([10, 0, 0, 1], 1).into()));
        for n in 0..20u8 {
            table.see(&format!("more {n}"), sighting(1, &[n]));
        }
        assert_eq!(table.keys_of(device(1)).count(), MAX_OF_ONE);
    }

    #[test]
    fn nobody_to_tell_is_noticed() {
        let (sender, receiver) = mpsc::channel(1);
        let mut table = Table::new(Source::Mdns);
        drop(receiver);
        assert_eq!(table.tell(&sender), None);
        table.see("a", sighting(1, &[1]));
        assert_eq!(table.tell(&sender), None);
    }

    proptest! {
        #[test]
        fn the_receiver_ends_up_with_what_is_there(
            steps in proptest::collection::vec((0u8..12, 0u16..5, proptest::collection::vec(0u8..4, 0..3), 0u8..4), 0..120),
            queue in 1usize..5,
        ) {
            let (sender, mut receiver) = mpsc::channel(queue);
            let mut table = Table::new(Source::SameHost);
            let mut known: BTreeMap<DeviceId, Nearby> = BTreeMap::new();
            let mut take = |receiver: &mut mpsc::Receiver<DiscoveryEvent>| {
                for event in drain(receiver) {
                    match event {
                        DiscoveryEvent::Found(nearby) => drop(known.insert(nearby.device, nearby)),
                        DiscoveryEvent::Lost { device, .. } => assert!(known.remove(&device).is_some()),
                    }
                }
                known.clone()
            };
            for (key, n, addrs, what) in steps {
                match what {
                    0 => table.lose(&key.to_string()),
                    1 => drop(table.tell(&sender)),
                    2 => drop(take(&mut receiver)),
                    _ => table.see(&key.to_string(), sighting(n, &addrs)),
                }
            }
            while table.tell(&sender) == Some(false) {
                take(&mut receiver);
            }
            let known = take(&mut receiver);
            let there: BTreeMap<_, _> = table.by_device.keys().map(|&id| (id, table.merged(id).unwrap())).collect();
            prop_assert_eq!(known, there);
        }
    }
}
