//! The remote's ends: a device each, which is lent the host's buffers.

use tutti_metal::Memory;
use tutti_virtio::{Corrupt, Device, DeviceSlot, Features, Field, Table, Whole};

use super::sealed::{self, Parts};
use super::{Buffer, End, Incoming, Outgoing, Remote, Spare, put};
use crate::storage::Storage;
use crate::{HEADER, RemoteSetup, SetupError};

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

/// The remote's sending end.
pub struct RemoteOut<M, S: Storage> {
    device: Device<M, S::Ring<DeviceSlot>>,
    spare: Spare<S::Ring<Buffer>>,
}

impl<M: Memory, S: Storage> RemoteOut<M, S> {
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
    fn take_own(&mut self) -> Option<Buffer> {
        if self.device.corrupt().is_some() { None } else { self.spare.pop() }
    }
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn take_returned(&mut self) -> Option<Buffer> {
        take(&mut self.device, true)
    }
    #[inline(always)]
    fn take_many_returned(&mut self, buffers: &mut [Buffer]) -> usize {
        take_many(&mut self.device, true, buffers.len(), |i, buffer| put(buffers, i, buffer))
    }
    fn put_back(&mut self, buffer: Buffer) {
        self.spare.push(buffer);
    }
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn submit(&mut self, buffer: Buffer, len: u32) {
        completed(self.device.complete(buffer.token, len));
    }
    #[inline(always)]
    fn submit_many(&mut self, buffers: impl Iterator<Item = (Buffer, u32)>) {
        self.device.complete_many(buffers.map(|(buffer, len)| (buffer.token, len)));
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
        take(&mut self.device, false)
    }
    #[inline(always)]
    fn take_many(&mut self, most: usize, each: impl FnMut(usize, Buffer)) -> usize {
        take_many(&mut self.device, false, most, each)
    }
    #[inline(always)]
    fn give_back(&mut self, buffer: Buffer) {
        // The whole length, though nothing was written: C hosts size their next buffer by it.
        completed(self.device.complete(buffer.token, buffer.len));
    }
    #[inline(always)]
    fn give_back_many(&mut self, buffers: impl Iterator<Item = Buffer>) {
        self.device.complete_many(buffers.map(|buffer| (buffer.token, buffer.len)));
    }
    fn size(&self) -> u16 {
        self.entries
    }
    #[inline(always)]
    fn warm(&self) {
        self.device.warm();
    }
}

/// Takes a buffer.
#[cfg_attr(target_pointer_width = "64", inline(always))]
fn take<M: Memory, T: Table<DeviceSlot>>(device: &mut Device<M, T>, writable: bool) -> Option<Buffer> {
    let whole = device.next_whole()?;
    let buffer = usable(whole, writable);
    if buffer.is_none() {
        odd(device, whole.len);
    }
    buffer
}

/// Takes buffers, each with its number, up to the first that cannot be.
#[inline(always)]
fn take_many<M: Memory, T: Table<DeviceSlot>>(
    device: &mut Device<M, T>,
    writable: bool,
    most: usize,
    mut each: impl FnMut(usize, Buffer),
) -> usize {
    let mut first_odd = None;
    let count = device.next_many(most, |i, whole| match usable(whole, writable) {
        Some(buffer) => each(i, buffer),
        None => _ = first_odd.get_or_insert((i, whole.len)),
    });
    first_odd.map_or(count, |(i, len)| {
        odd(device, len);
        i
    })
}

/// A buffer in one piece, if it is at least as long as a header, and there to be written or to be read. What may be
/// written may be read too: rpmsg-lite's host offers all its buffers for writing.
#[inline(always)]
fn usable(Whole { head, at, len, writable: found }: Whole, writable: bool) -> Option<Buffer> {
    let odd = (writable && !found) || (len as usize) < HEADER || !at.is_multiple_of(8);
    (!odd).then_some(Buffer { token: head, at, len })
}

#[cold]
fn odd<M: Memory, T: Table<DeviceSlot>>(device: &mut Device<M, T>, len: u32) {
    device.refuse(Corrupt { field: Field::MessageBuffer, value: u64::from(len), limit: HEADER as u64 });
}

/// A buffer that is here goes back once, with no more than it holds: the link sees to that. Once the queue was halted,
/// it holds none.
#[inline(always)]
fn completed(result: Result<(), tutti_virtio::CompleteError>) {
    debug_assert!(matches!(result, Ok(()) | Err(tutti_virtio::CompleteError::NotHeld)), "{result:?}");
}
