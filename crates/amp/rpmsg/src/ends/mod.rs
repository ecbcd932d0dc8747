//! The two ends of the two queues: what the host and the remote do differently, and nothing else.

mod host;
mod remote;

use tutti_metal::Memory;
use tutti_virtio::{Corrupt, Features, Table};

use crate::queue::Queue;
use crate::storage::Storage;
use crate::{HEADER, SetupError};

/// A buffer that is here: to be filled, or to be read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Buffer {
    /// What the queue calls it.
    pub token: u16,
    /// Where it starts in the memory of the buffers.
    pub at: usize,
    /// How many bytes may be written, or were.
    pub len: u32,
}

impl Buffer {
    /// How many bytes a message in it can have. No buffer is shorter than a header.
    #[inline(always)]
    pub(crate) fn capacity(&self) -> usize {
        (self.len as usize - HEADER).min(usize::from(u16::MAX))
    }
}

/// An end of a queue, and what RPMsg makes of it.
pub trait End {
    /// The ring's own end.
    type Queue: Queue;

    fn queue(&self) -> &Self::Queue;
    fn queue_mut(&mut self) -> &mut Self::Queue;
    fn reset(&mut self, features: Features);
}

/// The sending end of a queue.
pub trait Outgoing: End {
    /// A buffer that need not come back first; none if there is none, or if the queue is corrupt.
    fn take_own(&mut self) -> Option<Buffer>;
    /// The next buffer that came back; none if there is none, or if the queue is corrupt.
    fn take_returned(&mut self) -> Option<Buffer>;
    /// The next ones that came back, as many as there are and as there is room for; says how many.
    fn take_many_returned(&mut self, buffers: &mut [Buffer]) -> usize;
    /// The next free buffer; none if there is none, or if the queue is corrupt.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn take(&mut self) -> Option<Buffer> {
        if self.has_own() { self.take_own() } else { self.take_returned() }
    }
    /// The next ones, as many as there are and as there is room for; says how many.
    #[inline(always)]
    fn take_many(&mut self, buffers: &mut [Buffer]) -> usize {
        let mut own = 0;
        while self.has_own()
            && let Some(place) = buffers.get_mut(own)
            && let Some(buffer) = self.take_own()
        {
            *place = buffer;
            own += 1;
        }
        own + self.take_many_returned(buffers.get_mut(own..).unwrap_or_default())
    }
    fn put_back(&mut self, buffer: Buffer);
    /// A corrupt queue takes it in vain.
    fn submit(&mut self, buffer: Buffer, len: u32);
    fn submit_many(&mut self, buffers: impl Iterator<Item = (Buffer, u32)>);
    /// Nothing else is to be done: take the next buffer now, so that it need not be taken when a message is to be sent.
    fn reclaim(&mut self);
    /// Whether a buffer is here that need not come back first.
    fn has_own(&self) -> bool;
    /// Asks to be rung when a buffer comes back; true if one is here already.
    fn listen(&mut self) -> Result<bool, Corrupt> {
        Ok(self.queue_mut().listen()? || self.has_own())
    }
}

/// The receiving end of a queue.
pub trait Incoming: End {
    /// The next buffer that arrived; none if there is none, or if the queue is corrupt.
    fn take(&mut self) -> Option<Buffer>;
    /// The next ones, but at most so many: each with its number. Says how many.
    fn take_many(&mut self, most: usize, each: impl FnMut(usize, Buffer)) -> usize;
    /// A corrupt queue takes it in vain.
    fn give_back(&mut self, buffer: Buffer);
    fn give_back_many(&mut self, buffers: impl Iterator<Item = Buffer>);
    fn size(&self) -> u16;
    fn warm(&self);
}

/// Which side of a link one is.
pub trait Role: sealed::Role {}

pub(crate) mod sealed {
    use super::{Incoming, Memory, Outgoing, SetupError, Storage};

    pub trait Role {
        type Setup<M: Memory>;
        type Out<M: Memory, S: Storage>: Outgoing;
        type In<M: Memory, S: Storage>: Incoming;

        fn parts<M: Memory, S: Storage>(setup: Self::Setup<M>, storage: &S) -> Result<Parts<Self, M, S>, SetupError>
        where
            Self: Sized;
    }

    pub struct Parts<R: Role, M: Memory, S: Storage> {
        pub out: R::Out<M, S>,
        pub incoming: R::In<M, S>,
        pub memory: M,
        pub features: tutti_virtio::Features,
        /// What to ring: for the queue that one sends through, and for the other.
        pub notify: [u32; 2],
        pub entries: usize,
    }
}

/// The virtio driver, which owns the buffers: Linux on the application cores.
#[derive(Clone, Copy, Debug)]
pub enum Host {}

/// The virtio device: the firmware of a remote core.
#[derive(Clone, Copy, Debug)]
pub enum Remote {}

impl Role for Host {}
impl Role for Remote {}

/// Buffers that were lent and came back unsent.
#[derive(Debug)]
struct Spare<T> {
    buffers: T,
    count: usize,
}

impl<T: Table<Buffer>> Spare<T> {
    fn new(buffers: T) -> Self {
        Self { buffers, count: 0 }
    }

    #[inline(always)]
    fn push(&mut self, buffer: Buffer) {
        // There is a slot for every buffer of the queue, and a buffer is in one place only.
        if let Some(slot) = self.buffers.slots_mut().get_mut(self.count) {
            *slot = buffer;
            self.count += 1;
        }
    }

    #[inline(always)]
    fn pop(&mut self) -> Option<Buffer> {
        self.count = self.count.checked_sub(1)?;
        self.buffers.slots().get(self.count).copied()
    }
}

/// Writes into a table of buffers.
#[inline(always)]
fn put(buffers: &mut [Buffer], at: usize, buffer: Buffer) {
    if let Some(place) = buffers.get_mut(at) {
        *place = buffer;
    }
}
