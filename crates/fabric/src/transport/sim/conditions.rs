//! What a path does to packets, and who is cut off from whom.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    time::Duration,
};

use tutti_model::DeviceId;

/// What one path (from one device to another, in that direction) does to what is sent over it.
///
/// Loss, repetition and overtaking are probabilities between 0 and 1. They hit datagrams as they are. Streams
/// stay in order and whole, as over QUIC: a lost packet is sent again after a round trip and a half.
#[derive(Clone, Debug, PartialEq)]
pub struct Conditions {
    /// How long a packet is under way; drawn anew for each.
    pub latency: RangeInclusive<Duration>,
    /// How often a packet is lost. With 1 nothing ever arrives.
    pub loss: f64,
    /// How often a datagram arrives twice.
    pub duplicate: f64,
    /// How often a datagram is held back so that later ones overtake it. The others arrive in order.
    pub reorder: f64,
    /// Bytes a second; `None` is unlimited.
    pub bandwidth: Option<u64>,
    /// How many bytes wait for a limited path before further datagrams are dropped. Streams wait at the sender.
    pub queue: u64,
}

impl Default for Conditions {
    /// A quiet local network.
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(1)..=Duration::from_millis(2),
            loss: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            bandwidth: None,
            queue: 64 * 1024,
        }
    }
}

impl Conditions {
    /// A busy wireless network: 2 to 30 ms, and one packet in fifty is lost.
    pub fn wireless() -> Self {
        Self {
            latency: Duration::from_millis(2)..=Duration::from_millis(30),
            loss: 0.02,
            duplicate: 0.01,
            reorder: 0.05,
            ..Self::default()
        }
    }

    /// The same with this latency.
    pub fn with_latency(self, latency: RangeInclusive<Duration>) -> Self {
        Self { latency, ..self }
    }

    /// The same with this loss.
    pub fn with_loss(self, loss: f64) -> Self {
        Self { loss, ..self }
    }

    /// The same with this many bytes a second.
    pub fn with_bandwidth(self, bandwidth: u64) -> Self {
        Self { bandwidth: Some(bandwidth), ..self }
    }

    /// How long this many bytes keep the path busy.
    pub(super) fn occupies(&self, bytes: usize) -> Duration {
        self.bandwidth.map_or(Duration::ZERO, |rate| {
            Duration::from_nanos((bytes as u64).saturating_mul(1_000_000_000) / rate.max(1))
        })
    }
}

/// Who cannot reach whom.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    island: BTreeMap<DeviceId, usize>,
    isolated: BTreeSet<DeviceId>,
}

impl Cuts {
    pub(super) fn partition(&mut self, islands: &[&[DeviceId]]) {
        self.island = islands.iter().enumerate().flat_map(|(n, ids)| ids.iter().map(move |id| (*id, n))).collect();
    }

    pub(super) fn isolate(&mut self, id: DeviceId) {
        self.isolated.insert(id);
    }

    pub(super) fn rejoin(&mut self, id: DeviceId) {
        self.isolated.remove(&id);
    }

    pub(super) fn heal(&mut self) {
        *self = Self::default();
    }

    pub(super) fn between(&self, a: DeviceId, b: DeviceId) -> bool {
        a != b
            && (self.isolated.contains(&a) || self.isolated.contains(&b) || self.island.get(&a) != self.island.get(&b))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_named_in_no_island_form_one_more() {
        let [a, b, c, d] = [1, 2, 3, 4].map(|n| DeviceId::from_bytes([n; 32]));
        let mut cuts = Cuts::default();
        assert!(!cuts.between(a, b));
        cuts.partition(&[&[a], &[b]]);
        assert!(cuts.between(a, b) && cuts.between(b, a) && cuts.between(a, c));
        assert!(!cuts.between(c, d) && !cuts.between(a, a));
        cuts.isolate(c);
        assert!(cuts.between(c, d));
        cuts.rejoin(c);
        assert!(!cuts.between(c, d));
        cuts.heal();
        assert!(!cuts.between(a, b));
    }

    #[test]
    fn bytes_take_their_time() {
        let slow = Conditions::default().with_bandwidth(1000);
        assert_eq!(slow.occupies(500), Duration::from_millis(500));
        assert_eq!(Conditions::default().occupies(500), Duration::ZERO);
    }
}
