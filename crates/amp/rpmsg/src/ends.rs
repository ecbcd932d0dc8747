//! The two ends of the two queues: what the host and the remote do differently, and nothing else.

use tutti_metal::Memory;
use tutti_virtio::{Corrupt, Device, DeviceSlot, Driver, DriverSlot, Features, Field, Part, Table, Used, Vring, Whole};

use crate::queue::Queue;
use crate::storage::Storage;
use crate::{HEADER, HostSetup, LARGEST_BUFFER, RemoteSetup, SetupError};

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
    /// The next free buffer; none if there is none, or if the queue is corrupt.
    fn take(&mut self) -> Option<Buffer>;
    /// The same, for who takes many at once, and lets all of them set out.
    fn take_of_many(&mut self) -> Option<Buffer>;
    fn put_back(&mut self, buffer: Buffer);
    /// A corrupt queue takes it in vain.
    fn submit(&mut self, buffer: Buffer, len: u32);
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
    /// The same, for who takes many at once, and lets all of them set out.
    fn take_of_many(&mut self) -> Option<Buffer>;
    /// A corrupt queue takes it in vain.
    fn give_back(&mut self, buffer: Buffer);
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

use sealed::Parts;

/// The virtio driver, which owns the buffers: Linux on the application cores.
#[derive(Clone, Copy, Debug)]
pub enum Host {}

/// The virtio device: the firmware of a remote core.
#[derive(Clone, Copy, Debug)]
pub enum Remote {}

impl Role for Host {}
impl Role for Remote {}

impl sealed::Role for Host {
    type Setup<M: Memory> = HostSetup<M>;
    type Out<M: Memory, S: Storage> = HostOut<M, S>;
    type In<M: Memory, S: Storage> = HostIn<M, S>;

    fn parts<M: Memory, S: Storage>(setup: HostSetup<M>, storage: &S) -> Result<Parts<Self, M, S>, SetupError> {
        let HostSetup { vrings: [from_remote, to_remote], buffers, at, buffer_size, features, notify } = setup;
        if !(24..=LARGEST_BUFFER).contains(&buffer_size) || !buffer_size.is_multiple_of(8) {
            return Err(SetupError::BufferSize(buffer_size));
        }
        let size = buffer_size as usize;
        let (received, sent) = (usize::from(from_remote.size()), usize::from(to_remote.size()));
        buffers.check(at, size * (received + sent)).map_err(SetupError::Buffers)?;
        let pool = |at| Pool { memory: buffers.clone(), at, size: buffer_size };
        let mut incoming =
            HostIn { driver: driver(from_remote, features, storage)?, pool: pool(at), entries: received as u16 };
        incoming.offer_all();
        let out = HostOut {
            driver: driver(to_remote, features, storage)?,
            pool: pool(at + size * received),
            entries: sent as u16,
            fresh: 0,
            spare: Spare::new(storage.ring(sent)),
        };
        Ok(Parts { out, incoming, memory: buffers, features, notify: [notify[1], notify[0]], entries: received })
    }
}

impl sealed::Role for Remote {
    type Setup<M: Memory> = RemoteSetup<M>;
    type Out<M: Memory, S: Storage> = RemoteOut<M, S>;
    type In<M: Memory, S: Storage> = RemoteIn<M, S>;

    fn parts<M: Memory, S: Storage>(setup: RemoteSetup<M>, storage: &S) -> Result<Parts<Self, M, S>, SetupError> {
        let RemoteSetup { vrings: [to_host, from_host], buffers, features, notify } = setup;
        let (sent, received) = (usize::from(to_host.size()), usize::from(from_host.size()));
        let slots = |n| storage.ring::<DeviceSlot>(n);
        let out = RemoteOut {
            device: Device::new(to_host, buffers.clone(), features, slots(sent))?,
            spare: Spare::new(storage.ring(sent)),
        };
        let incoming = RemoteIn {
            entries: received as u16,
            device: Device::new(from_host, buffers.clone(), features, slots(received))?,
        };
        Ok(Parts { out, incoming, memory: buffers, features, notify, entries: received })
    }
}

fn driver<M: Memory, S: Storage>(
    ring: Vring<M>,
    features: Features,
    storage: &S,
) -> Result<Driver<M, S::Ring<DriverSlot>>, SetupError> {
    let entries = usize::from(ring.size());
    Ok(Driver::new(ring, features, storage.ring(entries))?)
}

/// Buffers of one size in a row.
#[derive(Debug)]
struct Pool<M> {
    memory: M,
    at: usize,
    size: u32,
}

impl<M: Memory> Pool<M> {
    #[inline(always)]
    fn at(&self, token: u16) -> usize {
        self.at + self.size as usize * usize::from(token)
    }

    #[inline(always)]
    fn buffer(&self, token: u16) -> Buffer {
        Buffer { token, at: self.at(token), len: self.size }
    }

    #[inline(always)]
    fn part(&self, token: u16, writable: bool) -> Part {
        Part { addr: self.memory.addr_of(self.at(token)), len: self.size, writable }
    }
}

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

/// The host's sending end.
pub struct HostOut<M, S: Storage> {
    driver: Driver<M, S::Ring<DriverSlot>>,
    pool: Pool<M>,
    entries: u16,
    /// Buffers from here on have never been lent.
    fresh: u16,
    spare: Spare<S::Ring<Buffer>>,
}

impl<M: Memory, S: Storage> HostOut<M, S> {
    /// A buffer that need not come back first.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn take_own(&mut self) -> Option<Buffer> {
        if self.driver.corrupt().is_some() {
            return None;
        }
        self.spare.pop().or_else(|| {
            self.fresh += 1;
            Some(self.pool.buffer(self.fresh - 1))
        })
    }
}

impl<M: Memory, S: Storage> End for HostOut<M, S> {
    type Queue = Driver<M, S::Ring<DriverSlot>>;

    #[inline(always)]
    fn queue(&self) -> &Self::Queue {
        &self.driver
    }
    #[inline(always)]
    fn queue_mut(&mut self) -> &mut Self::Queue {
        &mut self.driver
    }
    fn reset(&mut self, features: Features) {
        self.driver.reset(features);
        (self.fresh, self.spare.count) = (0, 0);
    }
}

impl<M: Memory, S: Storage> Outgoing for HostOut<M, S> {
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn take(&mut self) -> Option<Buffer> {
        if self.has_own() {
            return self.take_own();
        }
        self.driver.next_to_write(&self.pool.memory).map(|used| self.pool.buffer(used.token as u16))
    }
    #[inline(always)]
    fn take_of_many(&mut self) -> Option<Buffer> {
        if self.has_own() {
            return self.take_own();
        }
        self.driver.next_used().map(|used| self.pool.buffer(used.token as u16))
    }
    fn put_back(&mut self, buffer: Buffer) {
        self.spare.push(buffer);
    }
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn submit(&mut self, buffer: Buffer, _: u32) {
        // The descriptor names the whole buffer, so that it is the same every time round; the header has the length.
        added(self.driver.add_one(self.pool.part(buffer.token, false), u32::from(buffer.token)));
    }
    #[inline(always)]
    fn reclaim(&mut self) {
        if !self.has_own()
            && let Some(used) = self.driver.next_used()
        {
            self.spare.push(self.pool.buffer(used.token as u16));
        }
    }
    #[inline(always)]
    fn has_own(&self) -> bool {
        self.spare.count > 0 || self.fresh < self.entries
    }
}

/// The host's receiving end.
pub struct HostIn<M, S: Storage> {
    driver: Driver<M, S::Ring<DriverSlot>>,
    pool: Pool<M>,
    entries: u16,
}

impl<M: Memory, S: Storage> HostIn<M, S> {
    #[inline(always)]
    fn arrived(&self, used: Used) -> Buffer {
        Buffer { len: used.written, ..self.pool.buffer(used.token as u16) }
    }

    fn offer_all(&mut self) {
        for token in 0..self.entries {
            // A fresh queue has room for each of its entries, and the parts are well formed.
            let _ = self.driver.add_one(self.pool.part(token, true), u32::from(token));
        }
        self.driver.publish_quietly();
    }
}

impl<M: Memory, S: Storage> End for HostIn<M, S> {
    type Queue = Driver<M, S::Ring<DriverSlot>>;

    #[inline(always)]
    fn queue(&self) -> &Self::Queue {
        &self.driver
    }
    #[inline(always)]
    fn queue_mut(&mut self) -> &mut Self::Queue {
        &mut self.driver
    }
    fn reset(&mut self, features: Features) {
        self.driver.reset(features);
        self.offer_all();
    }
}

impl<M: Memory, S: Storage> Incoming for HostIn<M, S> {
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn take(&mut self) -> Option<Buffer> {
        let used = self.driver.next_to_read(&self.pool.memory)?;
        Some(self.arrived(used))
    }
    #[inline(always)]
    fn take_of_many(&mut self) -> Option<Buffer> {
        let used = self.driver.next_used()?;
        Some(self.arrived(used))
    }
    #[inline(always)]
    fn give_back(&mut self, buffer: Buffer) {
        added(self.driver.add_one(self.pool.part(buffer.token, true), u32::from(buffer.token)));
    }
    fn size(&self) -> u16 {
        self.entries
    }
    #[inline(always)]
    fn warm(&self) {
        self.driver.warm(&self.pool.memory);
    }
}

/// Adding one well-formed part for a descriptor that is free can only fail on a corrupt queue.
#[inline(always)]
fn added(result: Result<(), tutti_virtio::AddError>) {
    debug_assert!(matches!(result, Ok(()) | Err(tutti_virtio::AddError::Corrupt(_))), "{result:?}");
}

/// The remote's sending end.
pub struct RemoteOut<M, S: Storage> {
    device: Device<M, S::Ring<DeviceSlot>>,
    spare: Spare<S::Ring<Buffer>>,
}

impl<M: Memory, S: Storage> RemoteOut<M, S> {
    /// A buffer that need not come back first.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn take_own(&mut self) -> Option<Buffer> {
        if self.device.corrupt().is_some() { None } else { self.spare.pop() }
    }

    pub(crate) fn halt(&mut self) -> Option<u16> {
        self.spare.count = 0;
        self.device.halt()
    }
}

impl<M: Memory, S: Storage> End for RemoteOut<M, S> {
    type Queue = Device<M, S::Ring<DeviceSlot>>;

    #[inline(always)]
    fn queue(&self) -> &Self::Queue {
        &self.device
    }
    #[inline(always)]
    fn queue_mut(&mut self) -> &mut Self::Queue {
        &mut self.device
    }
    fn reset(&mut self, features: Features) {
        self.device.reset(features);
        self.spare.count = 0;
    }
}

impl<M: Memory, S: Storage> Outgoing for RemoteOut<M, S> {
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn take(&mut self) -> Option<Buffer> {
        if self.has_own() {
            return self.take_own();
        }
        let whole = self.device.next_whole()?;
        take(&mut self.device, whole, true)
    }
    #[inline(always)]
    fn take_of_many(&mut self) -> Option<Buffer> {
        if self.has_own() {
            return self.take_own();
        }
        let whole = self.device.next_of_many()?;
        take(&mut self.device, whole, true)
    }
    fn put_back(&mut self, buffer: Buffer) {
        self.spare.push(buffer);
    }
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn submit(&mut self, buffer: Buffer, len: u32) {
        completed(self.device.complete(buffer.token, len));
    }
    #[inline(always)]
    fn reclaim(&mut self) {
        if !self.has_own()
            && let Some(buffer) = self.take()
        {
            self.spare.push(buffer);
        }
    }
    #[inline(always)]
    fn has_own(&self) -> bool {
        self.spare.count > 0
    }
}

/// The remote's receiving end.
pub struct RemoteIn<M, S: Storage> {
    device: Device<M, S::Ring<DeviceSlot>>,
    entries: u16,
}

impl<M: Memory, S: Storage> End for RemoteIn<M, S> {
    type Queue = Device<M, S::Ring<DeviceSlot>>;

    #[inline(always)]
    fn queue(&self) -> &Self::Queue {
        &self.device
    }
    #[inline(always)]
    fn queue_mut(&mut self) -> &mut Self::Queue {
        &mut self.device
    }
    fn reset(&mut self, features: Features) {
        self.device.reset(features);
    }
}

impl<M: Memory, S: Storage> Incoming for RemoteIn<M, S> {
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn take(&mut self) -> Option<Buffer> {
        let whole = self.device.next_whole()?;
        take(&mut self.device, whole, false)
    }
    #[inline(always)]
    fn take_of_many(&mut self) -> Option<Buffer> {
        let whole = self.device.next_of_many()?;
        take(&mut self.device, whole, false)
    }
    #[inline(always)]
    fn give_back(&mut self, buffer: Buffer) {
        // The whole length, though nothing was written: C hosts size their next buffer by it.
        completed(self.device.complete(buffer.token, buffer.len));
    }
    fn size(&self) -> u16 {
        self.entries
    }
    #[inline(always)]
    fn warm(&self) {
        self.device.warm();
    }
}

/// Checks a buffer that was taken: in one piece, at least as long as a header, to be written or to be read. What may be
/// written may be read too: rpmsg-lite's host offers all its buffers for writing.
#[inline(always)]
fn take<M: Memory, T: Table<DeviceSlot>>(device: &mut Device<M, T>, whole: Whole, writable: bool) -> Option<Buffer> {
    let Whole { head, at, len, writable: found } = whole;
    if (writable && !found) || (len as usize) < HEADER || !at.is_multiple_of(8) {
        odd(device, len);
        return None;
    }
    Some(Buffer { token: head, at, len })
}

#[cold]
fn odd<M: Memory, T: Table<DeviceSlot>>(device: &mut Device<M, T>, len: u32) {
    device.refuse(Corrupt { field: Field::MessageBuffer, value: u64::from(len), limit: HEADER as u64 });
}

/// A buffer that is here goes back once, with no more than it holds: the link sees to that. Once the queue was halted, it
/// holds none.
#[inline(always)]
fn completed(result: Result<(), tutti_virtio::CompleteError>) {
    debug_assert!(matches!(result, Ok(()) | Err(tutti_virtio::CompleteError::NotHeld)), "{result:?}");
}
