//! The split virtqueue of [VIRTIO 1.2, section 2.7](https://docs.oasis-open.org/virtio/virtio/v1.2/virtio-v1.2.html),
//! from both ends.
//!
//! A queue is three tables in shared memory: *descriptors* say where buffers are, the *available* ring hands
//! buffers from the driver to the device, the *used* ring hands them back. A [`Driver`] owns the first two, a
//! [`Device`] the third, and each only ever reads what is the other's.
//!
//! # The life of a buffer, and why each barrier is enough
//!
//! ```text
//!       driver                        shared memory                       device
//!  1 add        write ──────────────▶ descriptor, avail.ring[i]
//!  2 publish    store release ──────▶ avail.idx ────── load acquire ──▶  pop        sees all of 1
//!               full fence                                     read ──▶  avail.ring[i], descriptor: once, checked
//!               load ◀── avail_event or used.flags                        (reads or writes the buffer)
//!                                     used.ring[j] ◀─────────── write    complete   3
//!  5 pop        load acquire ◀─────── used.idx ◀──────── store release   publish    4
//!               read ◀─────────────── used.ring[j]: once, checked        full fence
//!               sees all of 3, so                                        load ◀── used_event or avail.flags
//!               the buffer is its own again
//! ```
//!
//! The release in 2 orders the writes of 1 before the index; the acquire on the other side orders its reads behind it;
//! 4 and 5 are the same the other way round. The full fence stands between *publish* and the question whether the other
//! side wants to be woken, and between *asking to be woken* ([`Driver::listen`]) and the last look at the index. With
//! both fences at least one of the two sees what the other wrote, so no wake-up is lost; `tests/loom.rs` tries
//! every interleaving. A side whose peer polls uses [`publish_quietly`](Driver::publish_quietly), without a fence.
//!
//! # What a message costs
//!
//! Between two cores, time is cache lines that travel. A short message through a ring of one's own takes three of them
//! each way: the index, the entry beside or behind it, and the buffer's first line with header and payload. Everything
//! else stays where it is: descriptors are written only when they change, which for buffers of one size is never
//! ([`Driver`]); a descriptor that stands as it was when it was checked is compared, not checked again
//! ([`Device::next_whole`]); flags and event words are neither read nor written while both sides poll; who has
//! published does not look at what came back before it has to. Entries and buffers set out together, by where they
//! were last time round, and those of a batch a few ahead, so that their lines travel side by side. `tutti bench amp`
//! shows what is left.
//!
//! Who has many messages takes and gives many at a time ([`Device::next_many`], [`Driver::next_many`],
//! [`Driver::add_many`], [`Device::complete_many`]): what changes with each is then kept in registers.
//!
//! # An example
//!
//! ```
//! use tutti_metal::{DeviceAddr, Memory, Owned};
//! use tutti_virtio::{Device, DeviceSlot, Driver, DriverSlot, Features, Layout, Part, QueueSize, Vring};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let memory = Owned::allocate(0x2000, DeviceAddr(0x3ed0_0000))?;
//! let layout = Layout::legacy(QueueSize::new(4)?, 64, 0)?;
//! let ring = || Vring::new(memory.clone(), layout);
//! let mut driver = Driver::new(ring()?, Features::NONE, [DriverSlot::default(); 4])?;
//! let mut device = Device::new(ring()?, memory.clone(), Features::NONE, [DeviceSlot::default(); 4])?;
//!
//! driver.add_one(Part { addr: memory.addr_of(0x1000), len: 8, writable: true }, 77)?;
//! assert!(driver.publish(), "the device has not said that it polls: ring its doorbell");
//! let buffer = device.next_whole().expect("offered");
//! memory.put(buffer.at, &42u64)?;
//! device.complete(buffer.head, 8)?;
//! device.publish_quietly();
//! let used = driver.pop()?.expect("given back");
//! assert_eq!((used.token, used.written, memory.get(0x1000)), (77, 8, Ok(42u64)));
//! # Ok(())
//! # }
//! ```
//!
//! # The other side is hostile
//!
//! Whatever it wrote (an index, an id, a length, an address, a flag) is read exactly once, into a private copy, and
//! that copy is checked against private state that it cannot reach: how many buffers are out, which ids they have, how
//! long they are. What does not fit is [`Corrupt`], which names the field and the value. From then on the queue
//! refuses to move until it is reset: nothing that follows a lie can be trusted.
//!
//! * An index that jumps ahead would make us deliver buffers that were never sent: it may not pass what is out.
//! * An id out of range, or returned twice, would free a buffer that is in use: it must be out, and is then no more.
//! * A length beyond the buffer would leak whatever lies behind it.
//! * A chain that bites its tail would spin for ever: no chain has more parts than the caller's slice.
//!
//! # Without a heap, and sized at run time
//!
//! The size comes out of a resource table, so tables are slices that the caller hands over: anything that is a
//! [`Table`], from a `[DriverSlot; 16]` to a `Vec`.
#![no_std]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod bytes;
mod cursor;
mod device;
mod driver;
mod error;
mod layout;
#[cfg(any(kani, test))]
mod proofs;
mod ring;
mod table;
mod vdev;

pub use bytes::{Bytes, BytesMut};
pub use device::{Chain, Device, DeviceSlot, Whole};
pub use driver::{Driver, DriverSlot, Used};
pub use error::{AddError, CompleteError, Corrupt, Field, LayoutError};
pub use layout::{Layout, QueueSize};
pub use ring::Vring;
pub use table::Table;
pub use vdev::{Status, VdevEntry, VdevError, VringEntry};

use tutti_metal::DeviceAddr;

/// Feature bits of a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Features(pub u64);

impl Features {
    /// None at all.
    pub const NONE: Self = Self(0);
    /// Descriptors may point to tables of descriptors.
    pub const INDIRECT_DESC: Self = Self(1 << 28);
    /// Each side says at which index it wants to be woken.
    pub const EVENT_IDX: Self = Self(1 << 29);
    /// The device is a modern one.
    pub const VERSION_1: Self = Self(1 << 32);

    /// Whether all of `other` are here.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These and those.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both sides have.
    #[must_use]
    pub const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// One piece of a buffer, as a driver describes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part {
    /// Where it is, in the words of the other side.
    pub addr: DeviceAddr,
    /// Its length in bytes.
    pub len: u32,
    /// Whether the device may write it; if not, it may only read it.
    pub writable: bool,
}

/// One piece of a buffer, as a device receives it: checked to lie inside the memory for buffers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Piece {
    /// Where it starts in that memory.
    pub at: usize,
    /// Its length in bytes.
    pub len: u32,
    /// Whether it is there to be written.
    pub writable: bool,
}

/// Whether the step from `old` to `new` passes `event`: the other side wants to be woken when it does (VIRTIO 1.2,
/// 2.7.10).
#[must_use]
pub(crate) const fn passes(event: u16, new: u16, old: u16) -> bool {
    new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
}
