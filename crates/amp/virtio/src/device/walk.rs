//! A walk along a chain of descriptors, in the queue's own table or in one of the driver's.

use tutti_metal::{DeviceAddr, Memory};

use crate::ring::{Descriptor, INDIRECT, NEXT, WRITE, read_descriptor};
use crate::{Corrupt, Field, Piece, Vring};

/// Follows a chain from its first descriptor; says how many pieces it has, and how many bytes of either kind.
pub(super) fn walk<M: Memory>(
    ring: &Vring<M>,
    buffers: &M,
    indirect: bool,
    first: Descriptor,
    pieces: &mut [Piece],
) -> Result<(usize, u32, u32), Corrupt> {
    let mut walk = Walk { pieces, count: 0, readable: 0, writable: 0 };
    if first.flags() & INDIRECT == 0 {
        let n = ring.size();
        let mut descriptor = first;
        while walk.step(buffers, descriptor)? {
            let next = descriptor.next();
            if next >= n {
                return Err(corrupt(Field::DescriptorNext, u64::from(next), u64::from(n)));
            }
            descriptor = ring.peer_descriptor(next);
        }
    } else {
        if !indirect {
            return Err(corrupt(Field::DescriptorFlags, u64::from(first.flags()), u64::from(INDIRECT)));
        }
        walk_indirect(ring, buffers, first, &mut walk)?;
    }
    Ok((walk.count, walk.readable, walk.writable))
}

fn walk_indirect<M: Memory>(
    ring: &Vring<M>,
    buffers: &M,
    table: Descriptor,
    walk: &mut Walk<'_>,
) -> Result<(), Corrupt> {
    if table.flags() != INDIRECT {
        return Err(corrupt(Field::DescriptorFlags, u64::from(table.flags()), u64::from(INDIRECT)));
    }
    let most = u64::from(ring.size()) * Descriptor::BYTES as u64;
    let count = table.len() / Descriptor::BYTES as u32;
    if count == 0 || !table.len().is_multiple_of(Descriptor::BYTES as u32) || u64::from(table.len()) > most {
        return Err(corrupt(Field::IndirectLength, u64::from(table.len()), most));
    }
    let at = place(buffers, table.addr, table.len())?;
    if !at.is_multiple_of(8) {
        return Err(corrupt(Field::DescriptorAddress, table.addr, 8));
    }
    buffers.invalidate(at, table.len() as usize);
    let mut index = 0u32;
    loop {
        // SAFETY: `index < count`, the table lies inside whole, and `at` is a multiple of 8.
        let descriptor = unsafe { read_descriptor(buffers, at + index as usize * Descriptor::BYTES) };
        if !walk.step(buffers, descriptor)? {
            return Ok(());
        }
        index = u32::from(descriptor.next());
        if index >= count {
            return Err(corrupt(Field::DescriptorNext, u64::from(index), u64::from(count)));
        }
    }
}

fn corrupt(field: Field, value: u64, limit: u64) -> Corrupt {
    Corrupt { field, value, limit }
}

pub(super) fn place<M: Memory>(memory: &M, addr: u64, len: u32) -> Result<usize, Corrupt> {
    memory.offset_of(DeviceAddr(addr), len).map_err(|_| {
        corrupt(Field::DescriptorAddress, addr, memory.device_base().0.saturating_add(memory.len() as u64))
    })
}

/// A walk along a chain, which ends after `pieces.len()` steps whatever the descriptors say.
struct Walk<'a> {
    pieces: &'a mut [Piece],
    count: usize,
    readable: u32,
    writable: u32,
}

impl Walk<'_> {
    /// Takes one descriptor in; true if another one follows.
    #[inline(always)]
    fn step<M: Memory>(&mut self, buffers: &M, descriptor: Descriptor) -> Result<bool, Corrupt> {
        let (addr, len, flags) = (descriptor.addr, descriptor.len(), descriptor.flags());
        let writable = flags & WRITE != 0;
        if flags & !(NEXT | WRITE) != 0 || (self.writable > 0 && !writable) {
            return Err(corrupt(Field::DescriptorFlags, u64::from(flags), u64::from(NEXT | WRITE)));
        }
        let most = self.pieces.len() as u64;
        let piece = self.pieces.get_mut(self.count).ok_or(corrupt(Field::ChainLength, most + 1, most))?;
        let at = place(buffers, addr, len)?;
        let total = self.readable.checked_add(self.writable).and_then(|sum| sum.checked_add(len));
        if total.is_none() {
            return Err(corrupt(Field::DescriptorLength, u64::from(len), u64::from(u32::MAX)));
        }
        *piece = Piece { at, len, writable };
        *if writable { &mut self.writable } else { &mut self.readable } += len;
        self.count += 1;
        Ok(flags & NEXT != 0)
    }
}
