//! One buffer on its way out and back: what a driver remembers of it, and the steps that take one and those that take
//! many have in common. They are given what changes with each, so that a loop keeps it in registers.

use tutti_metal::Memory;

use super::Used;
use crate::cursor::lie;
use crate::ring::{Descriptor, WRITE};
use crate::{Corrupt, Field, Part, Vring};

/// What a driver remembers about one descriptor, and one position of the available ring.
#[derive(Clone, Copy, Debug, Default)]
pub struct DriverSlot {
    /// What stands in shared memory: written again only when it changes, and never read back.
    pub(super) written: Descriptor,
    /// The next descriptor of the free list, or of the chain that this one belongs to.
    pub(super) link: u16,
    /// How many descriptors the chain has whose head this is; 0 if it is not a head that is out.
    pub(super) parts: u16,
    /// Where that chain stands in the available ring.
    pub(super) position: u16,
    /// Which head came back at this position of the used ring last time round: likely the same again.
    pub(super) likely: u16,
    /// How many bytes the device may write into the chain.
    pub(super) room: u32,
    /// What the caller wants to hear again.
    pub(super) token: u32,
}

/// The descriptors that are free, as a list through the slots: they go round first in, first out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FreeList {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) count: u16,
}

/// Writes a descriptor, unless it stands there already: buffers of one size come round in the same order, so that in
/// the long run this table is only read, by both sides from their own caches.
#[inline(always)]
pub(super) fn describe<M: Memory>(slot: &mut DriverSlot, ring: &Vring<M>, index: u16, descriptor: Descriptor) {
    if slot.written != descriptor {
        slot.written = descriptor;
        ring.put_descriptor(index, descriptor);
    }
}

/// Adds a buffer in one piece, for which there is a free descriptor, at this position.
#[inline(always)]
pub(super) fn add_one<M: Memory>(
    ring: &Vring<M>,
    slots: &mut [DriverSlot],
    free: &mut FreeList,
    position: u16,
    part: Part,
    token: u32,
) {
    let head = free.first;
    let (flags, room) = if part.writable { (WRITE, part.len) } else { (0, 0) };
    let slot = &mut slots[ring.mask(head)];
    (slot.parts, slot.room, slot.token, slot.position) = (1, room, token, position);
    (free.first, free.count) = (slot.link, free.count - 1);
    describe(slot, ring, head, Descriptor::new(part.addr.0, part.len, flags, 0));
    ring.put_avail_entry(position, head);
}

/// Takes the used element at this position, checks it, and frees its descriptors.
#[inline(always)]
pub(super) fn take_back<M: Memory>(
    ring: &Vring<M>,
    slots: &mut [DriverSlot],
    free: &mut FreeList,
    position: u16,
    published: u16,
    noted: &mut Option<Corrupt>,
) -> Option<Used> {
    let (id, len) = ring.peer_used_element(position);
    let n = ring.size();
    if id >= u32::from(n) {
        return lie(noted, Field::UsedId, id, u32::from(n));
    }
    let head = id as u16;
    let slot = &mut slots[ring.mask(head)];
    let DriverSlot { parts, position: placed, room, token, .. } = *slot;
    // Published chains are those whose position is behind the index, by no more than there are entries.
    let behind = published.wrapping_sub(placed).wrapping_sub(1);
    if parts == 0 || behind >= 1 << 15 {
        return lie(noted, Field::UsedIdRepeated, id, u32::from(n));
    }
    if room != 0 && len > room {
        return lie(noted, Field::UsedLength, len, room);
    }
    slot.parts = 0;
    let mut last = head;
    for _ in 1..parts {
        last = slots[ring.mask(last)].link;
    }
    if free.count == 0 {
        free.first = head;
    } else {
        slots[ring.mask(free.last)].link = head;
    }
    (free.last, free.count) = (last, free.count + parts);
    slots[ring.mask(position)].likely = head;
    Some(Used { token, written: if room == 0 { 0 } else { len } })
}
