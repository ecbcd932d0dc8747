//! The host's ends: a driver each, which owns all buffers.

use tutti_metal::Memory;
use tutti_virtio::{Driver, DriverSlot, Features, Part, Used, Vring};

use super::sealed::{self, Parts};
use super::{Buffer, End, Host, Incoming, Outgoing, Spare, put};
use crate::storage::Storage;
use crate::{HostSetup, LARGEST_BUFFER, SetupError};

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
    fn arrived(&self, used: Used) -> Buffer {
        Buffer { len: used.written, ..self.buffer(used.token as u16) }
    }

    #[inline(always)]
    fn part(&self, token: u16, writable: bool) -> Part {
        Part { addr: self.memory.addr_of(self.at(token)), len: self.size, writable }
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
    fn take_own(&mut self) -> Option<Buffer> {
        if self.driver.corrupt().is_some() {
            return None;
        }
        self.spare.pop().or_else(|| {
            self.fresh += 1;
            Some(self.pool.buffer(self.fresh - 1))
        })
    }
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn take_returned(&mut self) -> Option<Buffer> {
        self.driver.next_to_write(&self.pool.memory).map(|used| self.pool.buffer(used.token as u16))
    }
    #[inline(always)]
    fn take_many_returned(&mut self, buffers: &mut [Buffer]) -> usize {
        let pool = &self.pool;
        self.driver.next_many(buffers.len(), |i, used| put(buffers, i, pool.buffer(used.token as u16)))
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
    fn submit_many(&mut self, buffers: impl Iterator<Item = (Buffer, u32)>) {
        let pool = &self.pool;
        self.driver.add_many(buffers.map(|(buffer, _)| (pool.part(buffer.token, false), u32::from(buffer.token))));
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
        Some(self.pool.arrived(used))
    }
    #[inline(always)]
    fn take_many(&mut self, most: usize, mut each: impl FnMut(usize, Buffer)) -> usize {
        let pool = &self.pool;
        self.driver.next_many(most, |i, used| each(i, pool.arrived(used)))
    }
    #[inline(always)]
    fn give_back(&mut self, buffer: Buffer) {
        added(self.driver.add_one(self.pool.part(buffer.token, true), u32::from(buffer.token)));
    }
    #[inline(always)]
    fn give_back_many(&mut self, buffers: impl Iterator<Item = Buffer>) {
        let pool = &self.pool;
        self.driver.add_many(buffers.map(|buffer| (pool.part(buffer.token, true), u32::from(buffer.token))));
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
