//! One buffer on its way in and back: what a device remembers of it, and the steps that take one and those that take
//! many have in common. They are given what changes with each, so that a loop keeps it in registers.

use tutti_metal::Memory;

use super::Whole;
use super::walk::place;
use crate::cursor::lie;
use crate::ring::{Descriptor, NEXT, WRITE};
use crate::{CompleteError, Corrupt, Field, Vring};

/// What a device remembers about one descriptor, and one position of the available ring.
#[derive(Clone, Copy, Debug)]
pub struct DeviceSlot {
    /// Whether the chain whose head this is, is here.
    pub(super) held: bool,
    /// How many bytes may be written into it; the readable bytes of a buffer that may not be written.
    pub(super) room: u32,
    /// The descriptor as it was when it was last checked as one whole buffer, and where that lies.
    pub(super) checked: Descriptor,
    pub(super) at: usize,
    /// Which buffer came at this position of the ring last time round: likely the same again.
    pub(super) likely: u16,
}

impl Default for DeviceSlot {
    fn default() -> Self {
        Self { held: false, room: 0, checked: Descriptor::NONE, at: 0, likely: 0 }
    }
}

/// The entry at this position, if it names a buffer that may be offered; and what is remembered of that.
#[inline(always)]
pub(super) fn head_at<'s, M: Memory>(
    ring: &Vring<M>,
    slots: &'s mut [DeviceSlot],
    position: u16,
    noted: &mut Option<Corrupt>,
) -> Option<(u16, &'s mut DeviceSlot)> {
    let head = ring.peer_avail_entry(position);
    let n = ring.size();
    if head >= n {
        return lie(noted, Field::AvailEntry, u32::from(head), u32::from(n));
    }
    let slot = &mut slots[usize::from(head)];
    if slot.held {
        return lie(noted, Field::AvailEntryRepeated, u32::from(head), u32::from(n));
    }
    Some((head, slot))
}

/// Takes the entry at this position, whose buffer is in one piece.
#[inline(always)]
pub(super) fn offered<M: Memory>(
    ring: &Vring<M>,
    buffers: &M,
    slots: &mut [DeviceSlot],
    position: u16,
    noted: &mut Option<Corrupt>,
) -> Option<Whole> {
    let (head, slot) = head_at(ring, slots, position, noted)?;
    let descriptor = ring.peer_descriptor(head);
    if slot.checked != descriptor {
        examine(slot, buffers, descriptor, noted)?;
    }
    let (at, len, writable) = (slot.at, descriptor.len(), descriptor.flags() & WRITE != 0);
    (slot.held, slot.room) = (true, len);
    slots[ring.mask(position)].likely = head;
    Some(Whole { head, at, len, writable })
}

/// Gives a buffer back at this position.
#[inline(always)]
pub(super) fn complete<M: Memory>(
    ring: &Vring<M>,
    slots: &mut [DeviceSlot],
    position: u16,
    head: u16,
    written: u32,
) -> Result<(), CompleteError> {
    let slot = slots.get_mut(usize::from(head)).filter(|slot| slot.held).ok_or(CompleteError::NotHeld)?;
    if written > slot.room {
        return Err(CompleteError::TooLong { written, room: slot.room });
    }
    slot.held = false;
    ring.put_used_element(position, u32::from(head), written);
    Ok(())
}

/// Checks a descriptor that is to describe a whole buffer, and remembers it.
#[cold]
fn examine<M: Memory>(
    slot: &mut DeviceSlot,
    buffers: &M,
    descriptor: Descriptor,
    noted: &mut Option<Corrupt>,
) -> Option<()> {
    let flags = descriptor.flags();
    slot.at = match flags {
        0 | WRITE => {
            place(buffers, descriptor.addr, descriptor.len()).map_err(|corrupt| *noted = Some(corrupt)).ok()?
        }
        _ if flags & !WRITE == NEXT => return lie(noted, Field::ChainLength, 2, 1),
        _ => return lie(noted, Field::DescriptorFlags, u32::from(flags), u32::from(WRITE)),
    };
    slot.checked = descriptor;
    Some(())
}
