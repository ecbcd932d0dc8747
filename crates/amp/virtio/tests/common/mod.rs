//! What the tests of the ring share: seeded chance, and a queue with room for buffers behind it.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use tutti_metal::{DeviceAddr, Memory, Owned};
use tutti_virtio::{Layout, QueueSize, Vring};

/// Where the other side sees the memory.
pub const BASE: u64 = 0x3ed0_0000;
/// Where buffers start, behind the largest queue of these tests.
pub const BUFFERS: usize = 0x4000;

/// xorshift64*: enough chance for a test, and the same for the same seed.
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// A number from the environment, or the bounded default.
pub fn steps(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |text| text.parse().expect("a number of steps"))
}

pub fn owned() -> Owned {
    Owned::allocate(0x10000, DeviceAddr(BASE)).expect("an address")
}

pub fn layout(n: u32) -> Layout {
    Layout::legacy(QueueSize::new(n).expect("a size"), 64, 0).expect("a layout")
}

pub fn vring<M: Memory>(memory: &M, n: u32) -> Vring<M> {
    Vring::new(memory.clone(), layout(n)).expect("a queue")
}
