//! The devices that discovery sees.

use std::collections::BTreeMap;

use tutti_model::DeviceId;

use crate::view::{GroupView, Nearby, Source};

/// The most devices that are remembered: what a network says about itself is anybody's claim.
const MOST: usize = 1024;

/// What each source says about each device.
#[derive(Debug, Default)]
pub(crate) struct NearbyTable(BTreeMap<DeviceId, BTreeMap<Source, Nearby>>);

impl NearbyTable {
    /// A source sees a device. True if that is news. Beyond [`MOST`], new devices are not taken in until others
    /// vanish.
    pub(crate) fn found(&mut self, nearby: Nearby) -> bool {
        if self.0.len() >= MOST && !self.0.contains_key(&nearby.device) {
            return false;
        }
        let sources = self.0.entry(nearby.device).or_default();
        sources.insert(nearby.source, nearby.clone()).is_none_or(|before| before != nearby)
    }

    /// A source no longer sees a device.
    pub(crate) fn lost(&mut self, device: DeviceId, source: Source) {
        if let Some(sources) = self.0.get_mut(&device) {
            sources.remove(&source);
            if sources.is_empty() {
                self.0.remove(&device);
            }
        }
    }

    /// One device, as all sources together see it.
    pub(crate) fn device(&self, device: DeviceId) -> Option<Nearby> {
        let mut sources = self.0.get(&device)?.values();
        let mut merged = sources.next()?.clone();
        for nearby in sources {
            merged.pairing_open |= nearby.pairing_open;
            for addr in &nearby.addrs {
                if !merged.addrs.contains(addr) {
                    merged.addrs.push(*addr);
                }
            }
        }
        Some(merged)
    }

    /// The devices that are not in the group.
    pub(crate) fn strangers(&self, group: &GroupView) -> BTreeMap<DeviceId, Nearby> {
        let strangers = self.0.keys().filter(|device| !group.members.contains_key(device));
        strangers.filter_map(|&device| Some((device, self.device(device)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use tutti_model::Name;

    use super::*;

    fn seen(id: u16, source: Source, port: u16) -> Nearby {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&id.to_le_bytes());
        Nearby {
            device: DeviceId::from_bytes(bytes),
            name: Name::new("x").unwrap(),
            addrs: vec![([127, 0, 0, 1], port).into()],
            pairing_open: source == Source::Mdns,
            source,
        }
    }

    #[test]
    fn sources_are_merged_and_lost_one_by_one() {
        let mut table = NearbyTable::default();
        assert!(table.found(seen(1, Source::Mdns, 1)));
        assert!(!table.found(seen(1, Source::Mdns, 1)));
        assert!(table.found(seen(1, Source::SameHost, 2)));
        let device = seen(1, Source::Mdns, 1).device;
        let merged = table.device(device).unwrap();
        assert_eq!((merged.addrs.len(), merged.pairing_open), (2, true));
        table.lost(device, Source::Mdns);
        assert!(!table.device(device).unwrap().pairing_open);
        table.lost(device, Source::SameHost);
        assert_eq!(table.device(device), None);
    }

    #[test]
    fn a_flood_of_claims_is_bounded() {
        let mut table = NearbyTable::default();
        for id in 0..3000 {
            table.found(seen(id, Source::Mdns, 1));
        }
        assert_eq!(table.0.len(), MOST);
    }
}
