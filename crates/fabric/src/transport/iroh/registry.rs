//! The connections there are, and how many more may come.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use ::iroh::endpoint::{Connection, VarInt};
use tutti_model::DeviceId;

use super::{MAX_CONNECTIONS, MAX_HALF_OPEN, MAX_HALF_OPEN_PER_IP, MAX_PER_IP};
use crate::transport::CloseCode;

/// Shared by the endpoint, the task that accepts, and one task for each connection.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    closing: bool,
    connections: HashMap<usize, (DeviceId, Connection)>,
    half_open: Counts,
    dialled_in: Counts,
}

/// How many there are in all and from each network.
#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_network: HashMap<IpAddr, usize>,
}

impl Counts {
    fn add(&mut self, network: IpAddr, max: usize, max_each: usize) -> bool {
        let here = self.by_network.get(&network).copied().unwrap_or(0);
        if self.total >= max || here >= max_each {
            return false;
        }
        self.total += 1;
        self.by_network.insert(network, here + 1);
        true
    }

    fn remove(&mut self, network: IpAddr) {
        self.total = self.total.saturating_sub(1);
        match self.by_network.get_mut(&network) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.by_network.remove(&network)),
        }
    }
}

/// An address as far as whoever has it cannot choose it: all of IPv4, the first half of IPv6.
pub(super) fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) if !ip.is_loopback() => {
            let kept = u128::from(ip) >> 64 << 64;
            Ipv6Addr::from(kept).into()
        }
        other => other,
    }
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No code that holds the lock can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many handshakes of others are under way.
    pub(super) fn half_open(&self) -> usize {
        self.lock().half_open.total
    }

    /// Room for one more handshake; given back when the guard is dropped.
    pub(super) fn begin_handshake(self: &Arc<Self>, from: IpAddr) -> Option<HalfOpen> {
        let network = network(from);
        let admitted = self.lock().half_open.add(network, MAX_HALF_OPEN, MAX_HALF_OPEN_PER_IP);
        admitted.then(|| HalfOpen { registry: self.clone(), network })
    }

    /// Keeps the connection until it is closed, whoever else holds it. `false` if there are too many.
    pub(super) fn adopt(
        self: &Arc<Self>,
        device: DeviceId,
        connection: &Connection,
        dialled_in: Option<IpAddr>,
    ) -> bool {
        let network = dialled_in.map(network);
        {
            let mut inner = self.lock();
            if inner.closing || inner.connections.len() >= MAX_CONNECTIONS {
                return false;
            }
            if let Some(network) = network
                && !inner.dialled_in.add(network, MAX_CONNECTIONS / 2, MAX_PER_IP)
            {
                return false;
            }
            inner.connections.insert(connection.stable_id(), (device, connection.clone()));
        }
        let (registry, closed) = (self.clone(), connection.clone());
        tokio::spawn(async move {
            closed.closed().await;
            let mut inner = registry.lock();
            inner.connections.remove(&closed.stable_id());
            if let Some(network) = network {
                inner.dialled_in.remove(network);
            }
        });
        true
    }

    /// The connections with a device.
    pub(super) fn with(&self, device: DeviceId) -> Vec<Connection> {
        let inner = self.lock();
        inner
            .connections
            .values()
            .filter(|(with, _)| *with == device)
            .map(|(_, connection)| connection.clone())
            .collect()
    }

    /// Whether [`close_all`](Self::close_all) was called.
    pub(super) fn is_closing(&self) -> bool {
        self.lock().closing
    }

    /// Counts connections that are not there.
    #[cfg(test)]
    pub(super) fn pretend(&self, from: IpAddr, count: usize) {
        let mut inner = self.lock();
        for _ in 0..count {
            assert!(inner.dialled_in.add(network(from), usize::MAX, usize::MAX));
        }
    }

    /// Closes all connections, and takes no more.
    pub(super) fn close_all(&self, code: CloseCode, reason: &str) {
        let mut inner = self.lock();
        inner.closing = true;
        let connections: Vec<_> = inner.connections.values().map(|(_, connection)| connection.clone()).collect();
        drop(inner);
        for connection in connections {
            connection.close(VarInt::from_u32(code.0), reason.as_bytes());
        }
    }
}

/// A place among the handshakes under way.
#[derive(Debug)]
pub(super) struct HalfOpen {
    registry: Arc<Registry>,
    network: IpAddr,
}

impl Drop for HalfOpen {
    fn drop(&mut self) {
        self.registry.lock().half_open.remove(self.network);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_are_bounded_in_all_and_for_each_address() {
        let registry = Arc::new(Registry::default());
        let one: IpAddr = [10, 0, 0, 1].into();
        let mut held: Vec<_> = std::iter::from_fn(|| registry.begin_handshake(one)).collect();
        assert_eq!(held.len(), MAX_HALF_OPEN_PER_IP);
        for n in 0..=255 {
            held.extend(registry.begin_handshake([10, 0, 1, n].into()));
        }
        assert_eq!((held.len(), registry.half_open()), (MAX_HALF_OPEN, MAX_HALF_OPEN));
        held.clear();
        assert_eq!(registry.half_open(), 0);
        assert!(registry.lock().half_open.by_network.is_empty());
    }

    #[test]
    fn who_may_choose_among_addresses_counts_as_one() {
        let parse = |text: &str| network(text.parse().unwrap());
        assert_eq!(parse("2001:db8:1:2:3::4"), parse("2001:db8:1:2:ffff::"));
        assert_ne!(parse("2001:db8:1:2::"), parse("2001:db8:1:3::"));
        assert_ne!(parse("10.0.0.1"), parse("10.0.0.2"));
        assert_eq!(parse("::ffff:10.0.0.1"), parse("10.0.0.1"));
    }
}
