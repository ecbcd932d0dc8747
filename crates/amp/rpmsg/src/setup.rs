//! What a link is made from.

use tutti_metal::Memory;
use tutti_virtio::{Features, Layout, LayoutError, QueueSize, Vring};

use crate::F_NS;

/// Two queues in a row at a place that both sides know since they were built, as Zephyr's `ipc_service` and rpmsg-lite
/// have them, without a resource table: queue 0, then, on the next multiple of `align`, queue 1; behind them, on the
/// next multiple, room for buffers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StaticVrings {
    /// Where queue 0 starts in the memory.
    pub at: usize,
    /// How many entries each has.
    pub entries: u32,
    /// The alignment of the used rings and of the queues: Zephyr and rpmsg-lite take 4 or 16, or 32 for cache lines.
    pub align: u32,
}

impl StaticVrings {
    /// Both queues.
    ///
    /// # Errors
    /// If they cannot be, or do not fit.
    pub fn both<M: Memory>(&self, memory: M) -> Result<[Vring<M>; 2], LayoutError> {
        let [first, second, _] = self.places()?;
        let size = QueueSize::new(self.entries)?;
        let vring = |memory, at| Vring::new(memory, Layout::legacy(size, self.align, at)?);
        Ok([vring(memory.clone(), first)?, vring(memory, second)?])
    }

    /// Where the buffers of a host can start.
    ///
    /// # Errors
    /// If the queues cannot be.
    pub fn buffers(&self) -> Result<usize, LayoutError> {
        let [.., buffers] = self.places()?;
        Ok(buffers)
    }

    fn places(&self) -> Result<[usize; 3], LayoutError> {
        let outside = LayoutError::Outside { end: usize::MAX, memory: 0 };
        let bytes = Layout::legacy_bytes(QueueSize::new(self.entries)?, self.align)?;
        let align = (self.align as usize).max(16);
        let next = |at: usize| at.checked_add(bytes)?.checked_next_multiple_of(align);
        let second = next(self.at).ok_or(outside)?;
        Ok([self.at, second, next(second).ok_or(outside)?])
    }
}

/// A host's part: queues that it will zero, and memory for buffers that it owns.
#[derive(Clone, Debug)]
pub struct HostSetup<M> {
    /// Queue 0, remote to host, and queue 1, host to remote.
    pub vrings: [Vring<M>; 2],
    /// The memory in which the buffers lie.
    pub buffers: M,
    /// Where they start in it: those of queue 0, then those of queue 1, one for each entry.
    pub at: usize,
    /// How long each is, header included.
    pub buffer_size: u32,
    /// What was agreed on.
    pub features: Features,
    /// What to ring for each queue.
    pub notify: [u32; 2],
}

impl<M: Memory> HostSetup<M> {
    /// As everybody has it: buffers of 512 bytes, the name service, notify ids 0 and 1.
    pub fn new(vrings: [Vring<M>; 2], buffers: M, at: usize) -> Self {
        Self { vrings, buffers, at, buffer_size: 512, features: F_NS, notify: [0, 1] }
    }
}

/// A remote's part: the host has described the buffers in the queues.
#[derive(Clone, Debug)]
pub struct RemoteSetup<M> {
    /// Queue 0, remote to host, and queue 1, host to remote.
    pub vrings: [Vring<M>; 2],
    /// The memory in which buffers may lie; an address outside of it is refused.
    pub buffers: M,
    /// What was agreed on.
    pub features: Features,
    /// What to ring for each queue.
    pub notify: [u32; 2],
}

impl<M: Memory> RemoteSetup<M> {
    /// As everybody has it: the name service, notify ids 0 and 1.
    pub fn new(vrings: [Vring<M>; 2], buffers: M) -> Self {
        Self { vrings, buffers, features: F_NS, notify: [0, 1] }
    }
}
