//! The tables in shared memory: every access to them is here, masked so that it cannot leave them.
//!
//! Peer-written words are read by the methods `peer_*`, own ones written by `put_*`. Both take care of caches that do
//! not snoop; on coherent memory that costs nothing.

use tutti_metal::Memory;

use crate::{Layout, LayoutError};

pub(crate) const NEXT: u16 = 1;
pub(crate) const WRITE: u16 = 2;
pub(crate) const INDIRECT: u16 = 4;
/// In the flags of either ring: do not wake me.
pub(crate) const QUIET: u16 = 1;

/// A descriptor as it stands in memory: the address, and behind it length, flags and next in one word, so that two
/// reads take it in and two comparisons tell whether it is one that was checked before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Descriptor {
    pub(crate) addr: u64,
    tail: u64,
}

impl Descriptor {
    pub(crate) const BYTES: usize = 16;
    /// One that no check accepts, for slots that hold none yet.
    pub(crate) const NONE: Self = Self { addr: 0, tail: u64::MAX };

    #[inline(always)]
    pub(crate) const fn new(addr: u64, len: u32, flags: u16, next: u16) -> Self {
        Self { addr, tail: len as u64 | (flags as u64) << 32 | (next as u64) << 48 }
    }

    #[inline(always)]
    pub(crate) const fn len(self) -> u32 {
        self.tail as u32
    }

    #[inline(always)]
    pub(crate) const fn flags(self) -> u16 {
        (self.tail >> 32) as u16
    }

    #[inline(always)]
    pub(crate) const fn next(self) -> u16 {
        (self.tail >> 48) as u16
    }
}

/// A queue at a checked place in shared memory.
#[derive(Clone, Debug)]
pub struct Vring<M> {
    memory: M,
    descriptors: usize,
    available: usize,
    used: usize,
    mask: u16,
}

impl<M: Memory> Vring<M> {
    /// The queue that lies in `memory` as `layout` says.
    ///
    /// # Errors
    /// If it does not fit, or a table is not aligned.
    pub fn new(memory: M, layout: Layout) -> Result<Self, LayoutError> {
        let base = memory.device_base().0 as usize;
        for (at, align) in [(layout.descriptors, 16), (layout.available, 2), (layout.used, 4)] {
            // The memory's own base is aligned to 8, so 16 is asked of the address that the other side sees.
            if !at.is_multiple_of(align.min(8)) || !base.wrapping_add(at).is_multiple_of(align) {
                return Err(LayoutError::Misaligned(at));
            }
        }
        let n = usize::from(layout.size.get());
        let ends = [(layout.descriptors, 16 * n), (layout.available, 6 + 2 * n), (layout.used, 6 + 8 * n)];
        for (at, len) in ends {
            if memory.check(at, len).is_err() {
                return Err(LayoutError::Outside { end: at.saturating_add(len), memory: memory.len() });
            }
        }
        Ok(Self {
            memory,
            descriptors: layout.descriptors,
            available: layout.available,
            used: layout.used,
            mask: layout.size.get() - 1,
        })
    }

    /// How many entries it has.
    #[must_use]
    pub fn size(&self) -> u16 {
        self.mask.wrapping_add(1)
    }

    /// The memory that it lies in.
    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    #[inline(always)]
    pub(crate) fn mask(&self, index: u16) -> usize {
        usize::from(index & self.mask)
    }

    /// Zeroes all three tables, as a driver does before it starts.
    pub(crate) fn clear(&self) {
        let n = usize::from(self.size());
        for (at, len) in [(self.descriptors, 16 * n), (self.available, 6 + 2 * n), (self.used, 6 + 8 * n)] {
            for word in (at..at + len).step_by(2) {
                // SAFETY: `new` has checked that the table lies inside and is aligned to 2; its length is even.
                unsafe { self.memory.write::<u16>(word, 0) };
            }
            self.memory.clean(at, len);
        }
        self.memory.fence();
    }

    #[inline(always)]
    fn peer_signal(&self, at: usize) -> u16 {
        self.memory.invalidate(at, 2);
        // SAFETY: called below only, with offsets of the tables' own words, which `new` has checked.
        unsafe { self.memory.load(at) }
    }

    #[inline(always)]
    fn put_signal(&self, at: usize, value: u16) {
        // SAFETY: called below only, with offsets of the tables' own words, which `new` has checked.
        unsafe { self.memory.store(at, value) };
        self.memory.clean(at, 2);
    }

    #[inline(always)]
    fn used_event_at(&self) -> usize {
        self.available + 4 + 2 * usize::from(self.size())
    }

    #[inline(always)]
    fn avail_event_at(&self) -> usize {
        self.used + 4 + 8 * usize::from(self.size())
    }

    /// Sets the available entry, or the used element, at `index` out towards this core.
    #[inline(always)]
    pub(crate) fn prefetch_avail_entry(&self, index: u16) {
        self.memory.prefetch(self.available + 4 + 2 * self.mask(index));
    }

    #[inline(always)]
    pub(crate) fn prefetch_used_element(&self, index: u16) {
        self.memory.prefetch(self.used + 4 + 8 * self.mask(index));
    }

    /// Asks for the available entry, or the used element, at `index` to be written here.
    #[inline(always)]
    pub(crate) fn claim_avail_entry(&self, index: u16) {
        self.memory.prefetch_to_write(self.available + 4 + 2 * self.mask(index));
    }

    #[inline(always)]
    pub(crate) fn claim_used_element(&self, index: u16) {
        self.memory.prefetch_to_write(self.used + 4 + 8 * self.mask(index));
    }

    #[inline(always)]
    pub(crate) fn claim_avail_index(&self) {
        self.memory.prefetch_to_write(self.available + 2);
    }

    #[inline(always)]
    pub(crate) fn claim_used_index(&self) {
        self.memory.prefetch_to_write(self.used + 2);
    }

    // What the driver writes.

    #[inline(always)]
    pub(crate) fn put_descriptor(&self, index: u16, descriptor: Descriptor) {
        let at = self.descriptors + Descriptor::BYTES * self.mask(index);
        // SAFETY: the masked index is below the size, so all 16 bytes lie in the table, which is aligned.
        unsafe { write_descriptor(&self.memory, at, descriptor) };
        self.memory.clean(at, Descriptor::BYTES);
    }

    #[inline(always)]
    pub(crate) fn put_avail_entry(&self, index: u16, head: u16) {
        let at = self.available + 4 + 2 * self.mask(index);
        // SAFETY: the masked index is below the size, so the entry lies in the table, which is aligned to 2.
        unsafe { self.memory.write(at, head) };
        self.memory.clean(at, 2);
    }

    #[inline(always)]
    pub(crate) fn put_avail_flags(&self, flags: u16) {
        self.put_signal(self.available, flags);
    }

    #[inline(always)]
    pub(crate) fn put_avail_index(&self, index: u16) {
        self.put_signal(self.available + 2, index);
    }

    #[inline(always)]
    pub(crate) fn put_used_event(&self, index: u16) {
        self.put_signal(self.used_event_at(), index);
    }

    // What the device reads of that.

    #[inline(always)]
    pub(crate) fn peer_descriptor(&self, index: u16) -> Descriptor {
        let at = self.descriptors + Descriptor::BYTES * self.mask(index);
        self.memory.invalidate(at, Descriptor::BYTES);
        // SAFETY: the masked index is below the size, so all 16 bytes lie in the table, which is aligned.
        unsafe { read_descriptor(&self.memory, at) }
    }

    #[inline(always)]
    pub(crate) fn peer_avail_entry(&self, index: u16) -> u16 {
        let at = self.available + 4 + 2 * self.mask(index);
        self.memory.invalidate(at, 2);
        // SAFETY: the masked index is below the size, so the entry lies in the table, which is aligned to 2.
        unsafe { self.memory.read(at) }
    }

    #[inline(always)]
    pub(crate) fn peer_avail_flags(&self) -> u16 {
        self.peer_signal(self.available)
    }

    #[inline(always)]
    pub(crate) fn peer_avail_index(&self) -> u16 {
        self.peer_signal(self.available + 2)
    }

    #[inline(always)]
    pub(crate) fn peer_used_event(&self) -> u16 {
        self.peer_signal(self.used_event_at())
    }

    // What the device writes.

    #[inline(always)]
    pub(crate) fn put_used_element(&self, index: u16, id: u32, len: u32) {
        let at = self.used + 4 + 8 * self.mask(index);
        // SAFETY: the masked index is below the size, so both words lie in the table, which is aligned to 4.
        unsafe {
            self.memory.write(at, id);
            self.memory.write(at + 4, len);
        }
        self.memory.clean(at, 8);
    }

    #[inline(always)]
    pub(crate) fn put_used_flags(&self, flags: u16) {
        self.put_signal(self.used, flags);
    }

    #[inline(always)]
    pub(crate) fn put_used_index(&self, index: u16) {
        self.put_signal(self.used + 2, index);
    }

    #[inline(always)]
    pub(crate) fn put_avail_event(&self, index: u16) {
        self.put_signal(self.avail_event_at(), index);
    }

    // What the driver reads of that.

    #[inline(always)]
    pub(crate) fn peer_used_element(&self, index: u16) -> (u32, u32) {
        let at = self.used + 4 + 8 * self.mask(index);
        self.memory.invalidate(at, 8);
        // SAFETY: the masked index is below the size, so both words lie in the table, which is aligned to 4.
        unsafe { (self.memory.read(at), self.memory.read(at + 4)) }
    }

    #[inline(always)]
    pub(crate) fn peer_used_flags(&self) -> u16 {
        self.peer_signal(self.used)
    }

    #[inline(always)]
    pub(crate) fn peer_used_index(&self) -> u16 {
        self.peer_signal(self.used + 2)
    }

    #[inline(always)]
    pub(crate) fn peer_avail_event(&self) -> u16 {
        self.peer_signal(self.avail_event_at())
    }
}

/// Reads a descriptor, each word once.
///
/// # Safety
/// `at + 16 <= memory.len()`, and `at` is a multiple of 8.
#[inline(always)]
pub(crate) unsafe fn read_descriptor<M: Memory>(memory: &M, at: usize) -> Descriptor {
    // SAFETY: the caller's promise covers both words.
    unsafe { Descriptor { addr: memory.read(at), tail: memory.read(at + 8) } }
}

/// Writes a descriptor.
///
/// # Safety
/// As for [`read_descriptor`].
#[inline(always)]
pub(crate) unsafe fn write_descriptor<M: Memory>(memory: &M, at: usize, descriptor: Descriptor) {
    // SAFETY: the caller's promise covers both words.
    unsafe {
        memory.write(at, descriptor.addr);
        memory.write(at + 8, descriptor.tail);
    }
}
