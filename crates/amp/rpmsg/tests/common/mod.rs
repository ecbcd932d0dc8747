//! What the tests of links share: a desktop as the platform, a pair of links over it, and a time that only sleeping
//! moves.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::cell::Cell;
use std::time::Duration;

use tutti_metal::{Clock, DeviceAddr, Instant, Local, Owned, Silent, Sleep, Wake};
use tutti_rpmsg::{F_NS, Heap, Host, HostSetup, Link, Platform, Remote, RemoteSetup};
use tutti_virtio::{Features, Layout, QueueSize, Vring};

/// Where the other side sees the memory.
pub const BASE: DeviceAddr = DeviceAddr(0x3ed0_0000);
/// How many buffers a pair has each way.
pub const N: usize = 8;
/// Where the host's buffers start: those to the host, then those to the remote.
pub const BUFFERS: usize = 0x8000;

pub enum Desk {}
impl Platform for Desk {
    type Memory = Owned;
    type Doorbell = Silent;
    type Locks = Local;
    type Storage = Heap;
}

pub struct Pair {
    pub memory: Owned,
    pub host: Link<Desk, Host>,
    pub remote: Link<Desk, Remote>,
}

/// Each side takes other features to have been agreed on.
pub fn pair_with(features: [Features; 2], buffer_size: u32) -> Pair {
    let memory = Owned::allocate(0x40000, BASE).unwrap();
    let size = QueueSize::new(N as u32).unwrap();
    let vrings = || [0, 0x4000].map(|at| Vring::new(memory.clone(), Layout::legacy(size, 4096, at).unwrap()).unwrap());
    let storage = || Heap { endpoints: 8 };
    let setup = HostSetup::new(vrings(), memory.clone(), BUFFERS);
    let host = Link::new(HostSetup { features: features[0], buffer_size, ..setup }, Silent, storage()).unwrap();
    let setup = RemoteSetup { features: features[1], ..RemoteSetup::new(vrings(), memory.clone()) };
    let remote = Link::new(setup, Silent, storage()).unwrap();
    Pair { memory, host, remote }
}

pub fn pair(features: Features) -> Pair {
    pair_with([F_NS.with(features); 2], 512)
}

/// A clock that only sleeping moves, by a millisecond at most, and a sleeper during which the other side works.
pub struct Time<F>(Cell<u64>, F);

impl<F: Fn()> Time<F> {
    pub fn new(meanwhile: F) -> Self {
        Self(Cell::new(0), meanwhile)
    }
}

impl<F: Fn()> Clock for Time<F> {
    fn now(&self) -> Instant {
        Instant(self.0.get())
    }
}

impl<F: Fn()> Sleep for Time<F> {
    fn sleep(&self, at_most: Duration) -> Wake {
        self.0.set(self.0.get() + (at_most.as_nanos() as u64).min(1_000_000));
        (self.1)();
        Wake::Rung
    }
}
