//! The handshake through the vdev entry of a resource table: status, features, where the queues are.
//!
//! The entry, without its leading type word (Linux `remoteproc.h`, `struct fw_rsc_vdev`): `id, notifyid, dfeatures,
//! gfeatures, config_len: u32; status, num_of_vrings: u8; reserved[2]`, then per queue `da, align, num, notifyid,
//! pa: u32`, then the config space.
//!
//! The two sides meet in the status byte. The driver zeroes the queues, writes the features it takes, then sets
//! [`Status::DRIVER_OK`]. Linux never rings for that, so the device polls; and it writes `da` and `notifyid` of a
//! queue only after it has started the core, so both are read only once `DRIVER_OK` stands.

use core::fmt;

use tutti_metal::{Memory, OutOfBounds};

use crate::{Features, Layout, LayoutError, QueueSize, Vring};

/// The status byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Status(pub u8);

impl Status {
    /// Nobody drives the device.
    pub const RESET: Self = Self(0);
    /// The driver has seen the device.
    pub const ACKNOWLEDGE: Self = Self(1);
    /// The driver knows how to drive it.
    pub const DRIVER: Self = Self(2);
    /// The driver is ready. Linux ends at 7, open-amp writes only this bit.
    pub const DRIVER_OK: Self = Self(4);
    /// The open-amp host asks the device to reset, and waits for [`RESET`](Self::RESET).
    pub const NEEDS_RESET: Self = Self(0x40);
    /// The driver has given up.
    pub const FAILED: Self = Self(0x80);

    /// Whether the queues may be used.
    #[must_use]
    pub const fn is_ready(self) -> bool {
        self.0 & Self::DRIVER_OK.0 != 0 && self.0 & (Self::NEEDS_RESET.0 | Self::FAILED.0) == 0
    }
}

/// What one queue's entry says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VringEntry {
    /// Where it is, in device addresses; 0xFFFFFFFF until the host has chosen.
    pub da: u32,
    /// The alignment of its used ring.
    pub align: u32,
    /// How many entries it has.
    pub num: u32,
    /// What to ring for it.
    pub notifyid: u32,
}

/// Why a vdev entry is of no use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VdevError {
    /// It does not lie in the memory of the table.
    Outside(OutOfBounds),
    /// It has fewer queues.
    NoSuchQueue {
        /// Which one was asked for.
        queue: usize,
        /// How many there are.
        queues: u8,
    },
    /// A queue cannot be as the entry says.
    Layout(LayoutError),
}

impl fmt::Display for VdevError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outside(error) => write!(f, "the vdev entry does not lie in the resource table: {error}"),
            Self::NoSuchQueue { queue, queues } => write!(f, "the vdev entry has {queues} queues, not a queue {queue}"),
            Self::Layout(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for VdevError {}

impl From<OutOfBounds> for VdevError {
    fn from(error: OutOfBounds) -> Self {
        Self::Outside(error)
    }
}

/// A vdev entry in shared memory.
#[derive(Clone, Debug)]
pub struct VdevEntry<M> {
    memory: M,
    at: usize,
    queues: u8,
}

const DFEATURES: usize = 8;
const GFEATURES: usize = 12;
const CONFIG_LEN: usize = 16;
const STATUS: usize = 20;
const QUEUES: usize = 21;
const FIXED: usize = 24;
const QUEUE: usize = 20;

impl<M: Memory> VdevEntry<M> {
    /// The entry that starts at `at`, behind its type word.
    ///
    /// # Errors
    /// If it does not lie in the memory whole, its config space included.
    pub fn new(memory: M, at: usize) -> Result<Self, VdevError> {
        memory.check(at, FIXED)?;
        memory.invalidate(at, FIXED);
        let queues: u8 = memory.get(at + QUEUES)?;
        let config: u32 = memory.get(at + CONFIG_LEN)?;
        memory.check(at, FIXED + QUEUE * usize::from(queues))?;
        memory.check(at + FIXED + QUEUE * usize::from(queues), config as usize)?;
        memory.get::<u32>(at)?;
        Ok(Self { memory, at, queues })
    }

    /// The kind of device: 7 is RPMsg.
    pub fn id(&self) -> u32 {
        self.word(0)
    }

    /// How many queues it has; read once, when the entry was opened.
    #[must_use]
    pub fn queues(&self) -> u8 {
        self.queues
    }

    /// What the device offers.
    pub fn offered(&self) -> Features {
        Features(u64::from(self.word(DFEATURES)))
    }

    /// What both sides agreed on: never more than was offered, whatever the driver wrote.
    pub fn agreed(&self) -> Features {
        Features(u64::from(self.word(GFEATURES))).common(self.offered())
    }

    /// The driver's choice; only what was offered is written.
    pub fn accept(&self, features: Features) {
        let features = features.common(self.offered());
        self.put_word(GFEATURES, features.0 as u32);
    }

    /// The status now.
    pub fn status(&self) -> Status {
        self.memory.invalidate(self.at + STATUS, 1);
        let status = self.memory.get(self.at + STATUS).unwrap_or(Status::FAILED.0);
        self.memory.fence();
        Status(status)
    }

    /// Sets the status, after everything else that this side wrote.
    pub fn set_status(&self, status: Status) {
        self.memory.fence();
        // `new` has checked the place.
        let _ = self.memory.put(self.at + STATUS, &status.0);
        self.memory.clean(self.at + STATUS, 1);
    }

    /// What the entry says about a queue.
    ///
    /// # Errors
    /// If there is no such queue.
    pub fn queue(&self, queue: usize) -> Result<VringEntry, VdevError> {
        if queue >= usize::from(self.queues) {
            return Err(VdevError::NoSuchQueue { queue, queues: self.queues });
        }
        let at = FIXED + QUEUE * queue;
        Ok(VringEntry {
            da: self.word(at),
            align: self.word(at + 4),
            num: self.word(at + 8),
            notifyid: self.word(at + 12),
        })
    }

    /// Writes where a queue is and what to ring for it: the host's part.
    ///
    /// # Errors
    /// If there is no such queue.
    pub fn set_queue(&self, queue: usize, da: u32, notifyid: u32) -> Result<(), VdevError> {
        self.queue(queue)?;
        let at = FIXED + QUEUE * queue;
        self.put_word(at, da);
        self.put_word(at + 12, notifyid);
        Ok(())
    }

    /// Copies the start of the config space into `to`, as far as there is one: how many bytes.
    pub fn config(&self, to: &mut [u8]) -> usize {
        let at = self.at + FIXED + QUEUE * usize::from(self.queues);
        let len = to.len().min(self.word(CONFIG_LEN) as usize);
        self.memory.invalidate(at, len);
        // The length may have changed since `new` has checked it: what is not inside is not read.
        let read = to.get_mut(..len).is_some_and(|to| self.memory.copy_out(at, to).is_ok());
        if read { len } else { 0 }
    }

    /// The queue itself, which lies in `memory`.
    ///
    /// # Errors
    /// If its size or place cannot be.
    pub fn vring<R: Memory>(&self, queue: usize, memory: R) -> Result<Vring<R>, VdevError> {
        let entry = self.queue(queue)?;
        let size = QueueSize::new(entry.num).map_err(VdevError::Layout)?;
        let bytes = Layout::legacy_bytes(size, entry.align).map_err(VdevError::Layout)?;
        let bytes = u32::try_from(bytes).map_err(|_| VdevError::Layout(LayoutError::Align(entry.align)))?;
        let at = memory.offset_of(tutti_metal::DeviceAddr(u64::from(entry.da)), bytes)?;
        let layout = Layout::legacy(size, entry.align, at).map_err(VdevError::Layout)?;
        Vring::new(memory, layout).map_err(VdevError::Layout)
    }

    fn word(&self, at: usize) -> u32 {
        self.memory.invalidate(self.at + at, 4);
        // `new` has checked the place and its alignment.
        self.memory.get(self.at + at).unwrap_or(0)
    }

    fn put_word(&self, at: usize, value: u32) {
        // `new` has checked the place and its alignment.
        let _ = self.memory.put(self.at + at, &value);
        self.memory.clean(self.at + at, 4);
    }
}
