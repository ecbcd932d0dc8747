//! The side that owns the buffers.

use tutti_metal::Memory;

use crate::ring::{Descriptor, INDIRECT, NEXT, QUIET, WRITE, write_descriptor};
use crate::{AddError, Corrupt, Features, Field, LayoutError, Part, Table, Vring, passes};

/// What a driver remembers about one descriptor, and one position of the available ring.
#[derive(Clone, Copy, Debug, Default)]
pub struct DriverSlot {
    /// What stands in shared memory: written again only when it changes, and never read back.
    written: Descriptor,
    /// The next descriptor of the free list, or of the chain that this one belongs to.
    link: u16,
    /// How many descriptors the chain has whose head this is; 0 if it is not a head that is out.
    parts: u16,
    /// Whether that chain has been published.
    published: bool,
    /// Which head stands at this position of the available ring (by position, not by descriptor).
    placed: u16,
    /// Which head came back at this position of the used ring last time round: likely the same again.
    likely: u16,
    /// How many bytes the device may write into the chain.
    room: u32,
    /// What the caller wants to hear again.
    token: u32,
}

/// A buffer that came back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Used {
    /// What the caller gave when it added the buffer.
    pub token: u32,
    /// How many bytes the device says it wrote: at most as many as it may. 0 for a buffer that it could only
    /// read, whatever it says (some write the buffer's length there).
    pub written: u32,
}

/// The driver's end of a queue.
#[derive(Debug)]
pub struct Driver<M, T> {
    ring: Vring<M>,
    slots: T,
    event_idx: bool,
    indirect: bool,
    /// The free list: first, last and length.
    free_first: u16,
    free_last: u16,
    free: u16,
    /// The index behind the last chain added, and behind the last one published.
    added: u16,
    published: u16,
    /// The next used element to take, and the last index that was seen and believed.
    taken: u16,
    seen: u16,
    /// How many published chains have not come back.
    out: u16,
    corrupt: Option<Corrupt>,
}

impl<M: Memory, T: Table<DriverSlot>> Driver<M, T> {
    /// The driver of `ring`, which it zeroes; `features` are those agreed on.
    ///
    /// # Errors
    /// If `slots` are fewer than the queue has entries.
    pub fn new(ring: Vring<M>, features: Features, slots: T) -> Result<Self, LayoutError> {
        let (needed, found) = (usize::from(ring.size()), slots.slots().len());
        if found < needed {
            return Err(LayoutError::Slots { needed, found });
        }
        let mut driver = Self {
            ring,
            slots,
            event_idx: false,
            indirect: false,
            free_first: 0,
            free_last: 0,
            free: 0,
            added: 0,
            published: 0,
            taken: 0,
            seen: 0,
            out: 0,
            corrupt: None,
        };
        driver.reset(features);
        Ok(driver)
    }

    /// Forgets everything and zeroes the queue: every buffer that was out belongs to the caller again. Only
    /// while the device does not run; how the two agree on that is the transport's business.
    pub fn reset(&mut self, features: Features) {
        self.event_idx = features.has(Features::EVENT_IDX);
        self.indirect = features.has(Features::INDIRECT_DESC);
        let n = self.ring.size();
        for (i, slot) in self.slots.slots_mut().iter_mut().take(usize::from(n)).enumerate() {
            *slot = DriverSlot { link: i as u16 + 1, ..DriverSlot::default() };
        }
        (self.free_first, self.free_last, self.free) = (0, n - 1, n);
        (self.added, self.published, self.taken, self.seen, self.out) = (0, 0, 0, 0, 0);
        self.corrupt = None;
        self.ring.clear();
    }

    /// Adds a buffer. The device does not see it before [`publish`](Self::publish).
    ///
    /// # Errors
    /// See [`AddError`]; nothing has changed then.
    #[inline]
    pub fn add(&mut self, parts: &[Part], token: u32) -> Result<(), AddError> {
        let room = self.check(parts)?;
        if parts.len() > usize::from(self.free) {
            return Err(AddError::Full);
        }
        let head = self.free_first;
        let mut index = head;
        let mut rest = parts;
        while let [part, behind @ ..] = rest {
            let link = self.slot(index).link;
            let flags = if part.writable { WRITE } else { 0 } | if behind.is_empty() { 0 } else { NEXT };
            let next = if behind.is_empty() { 0 } else { link };
            self.describe(index, Descriptor { addr: part.addr.0, len: part.len, flags, next });
            index = link;
            rest = behind;
        }
        self.take_free(parts.len() as u16, index);
        self.place(head, parts.len() as u16, room, token);
        Ok(())
    }

    /// Adds a buffer whose parts are described in a table of their own at `at` in `memory`, which takes only one
    /// descriptor of the queue. The table must stay untouched until the buffer comes back.
    ///
    /// # Errors
    /// See [`AddError`]; nothing has changed then.
    pub fn add_indirect(&mut self, memory: &M, at: usize, parts: &[Part], token: u32) -> Result<(), AddError> {
        let room = self.check(parts)?;
        let bytes = parts.len() * Descriptor::BYTES;
        if !self.indirect || !at.is_multiple_of(16) || memory.check(at, bytes).is_err() {
            return Err(AddError::Indirect);
        }
        if self.free == 0 {
            return Err(AddError::Full);
        }
        for (i, part) in parts.iter().enumerate() {
            let last = i + 1 == parts.len();
            let flags = if part.writable { WRITE } else { 0 } | if last { 0 } else { NEXT };
            let next = if last { 0 } else { i as u16 + 1 };
            let descriptor = Descriptor { addr: part.addr.0, len: part.len, flags, next };
            // SAFETY: the whole table was checked to lie inside, at a multiple of 16.
            unsafe { write_descriptor(memory, at + i * Descriptor::BYTES, descriptor) };
        }
        memory.clean(at, bytes);
        let head = self.free_first;
        let link = self.slot(head).link;
        self.describe(head, Descriptor { addr: memory.addr_of(at).0, len: bytes as u32, flags: INDIRECT, next: 0 });
        self.take_free(1, link);
        self.place(head, 1, room, token);
        Ok(())
    }

    /// Hands everything added so far to the device at once, and says whether it wants to be woken for it.
    #[inline]
    #[must_use = "if it says true, ring the doorbell, or the device may sleep on"]
    pub fn publish(&mut self) -> bool {
        let old = self.published;
        if !self.hand_over() {
            return false;
        }
        self.ring.memory().fence();
        if self.event_idx {
            passes(self.ring.peer_avail_event(), self.published, old)
        } else {
            self.ring.peer_used_flags() & QUIET == 0
        }
    }

    /// As [`publish`](Self::publish), for a device that polls: without a fence, and without asking.
    #[inline]
    pub fn publish_quietly(&mut self) {
        self.hand_over();
    }

    /// Takes a buffer back that the device has used.
    ///
    /// # Errors
    /// If the device wrote something that cannot be; from then on always the same, until the queue is reset.
    #[inline]
    pub fn pop(&mut self) -> Result<Option<Used>, Corrupt> {
        self.take(|_| ())
    }

    /// As [`pop`](Self::pop), for buffers in `memory` that will be read: the likely one sets out towards this core while
    /// the ring's own entry is still on its way.
    ///
    /// # Errors
    /// As for [`pop`](Self::pop).
    #[inline]
    pub fn pop_to_read(&mut self, memory: &M) -> Result<Option<Used>, Corrupt> {
        self.take(|driver| driver.warm(memory))
    }

    /// Brings the line near that the next message will likely arrive in. For one who polls and has just found nothing.
    #[inline(always)]
    pub fn warm(&self, memory: &M) {
        self.ring.prefetch_used_element(self.taken);
        let likely = self.slot(self.taken).likely;
        memory.prefetch(self.slot(likely).written.addr.wrapping_sub(memory.device_base().0) as usize);
    }

    #[inline(always)]
    fn take(&mut self, before: impl FnOnce(&Self)) -> Result<Option<Used>, Corrupt> {
        if self.taken == self.seen && !self.look()? {
            return Ok(None);
        }
        before(self);
        let (id, len) = self.ring.peer_used_element(self.taken);
        let n = self.ring.size();
        if id >= u32::from(n) {
            return Err(self.found(Field::UsedId, u64::from(id), u64::from(n)));
        }
        let head = id as u16;
        let slot = *self.slot(head);
        if slot.parts == 0 || !slot.published {
            return Err(self.found(Field::UsedIdRepeated, u64::from(id), u64::from(n)));
        }
        if slot.room != 0 && len > slot.room {
            return Err(self.found(Field::UsedLength, u64::from(len), u64::from(slot.room)));
        }
        self.give_free(head, slot.parts);
        let position = self.taken;
        self.slot_mut(position).likely = head;
        self.taken = self.taken.wrapping_add(1);
        self.out -= 1;
        Ok(Some(Used { token: slot.token, written: if slot.room == 0 { 0 } else { len } }))
    }

    /// Asks to be woken when the device uses the next buffer; to be asked again before each sleep. If this says true, one
    /// is there already: take it instead of sleeping.
    ///
    /// # Errors
    /// As for [`pop`](Self::pop).
    pub fn listen(&mut self) -> Result<bool, Corrupt> {
        if self.event_idx {
            self.ring.put_used_event(self.taken);
        } else {
            self.ring.put_avail_flags(0);
        }
        self.ring.memory().fence();
        Ok(self.taken != self.seen || self.look()?)
    }

    /// Asks not to be woken, for one who polls or is busy taking buffers. The device may ring nevertheless.
    pub fn ignore(&mut self) {
        if self.event_idx {
            // The index just passed comes again after 65,535 more.
            self.ring.put_used_event(self.taken.wrapping_sub(1));
        } else {
            self.ring.put_avail_flags(QUIET);
        }
    }

    /// Asks for the line that the next entry will be written to, while the buffer is still being filled.
    #[inline(always)]
    pub fn prepare(&self) {
        self.ring.claim_avail_entry(self.added);
    }

    /// Asks for the line of the index, just before it is published.
    #[inline(always)]
    pub fn prepare_to_publish(&self) {
        self.ring.claim_avail_index();
    }

    /// Whether the last look at the index showed more than was taken since.
    #[must_use]
    #[inline(always)]
    pub fn has_more(&self) -> bool {
        self.taken != self.seen
    }

    /// Stops the queue over something that the device wrote and a layer above found to be wrong.
    pub fn refuse(&mut self, corrupt: Corrupt) -> Corrupt {
        self.found(corrupt.field, corrupt.value, corrupt.limit)
    }

    /// How many descriptors are free.
    #[must_use]
    pub fn free(&self) -> u16 {
        self.free
    }

    /// How many published buffers have not been taken back.
    #[must_use]
    pub fn out(&self) -> u16 {
        self.out
    }

    /// What is wrong with the queue, if something is.
    #[must_use]
    pub fn corrupt(&self) -> Option<Corrupt> {
        self.corrupt
    }

    fn check(&self, parts: &[Part]) -> Result<u32, AddError> {
        if let Some(corrupt) = self.corrupt {
            return Err(AddError::Corrupt(corrupt));
        }
        if parts.is_empty() || parts.len() > usize::from(self.ring.size()) {
            return Err(AddError::Parts);
        }
        let (mut total, mut room) = (0u32, 0u32);
        let mut writable = false;
        for part in parts {
            if writable && !part.writable {
                return Err(AddError::Order);
            }
            writable = part.writable;
            total = total.checked_add(part.len).ok_or(AddError::TooLong)?;
            room += if part.writable { part.len } else { 0 };
        }
        Ok(room)
    }

    /// Looks at the device's index, and believes it if it can be true.
    #[inline]
    fn look(&mut self) -> Result<bool, Corrupt> {
        if let Some(corrupt) = self.corrupt {
            return Err(corrupt);
        }
        let index = self.ring.peer_used_index();
        let fresh = index.wrapping_sub(self.taken);
        if fresh > self.out {
            return Err(self.found(Field::UsedIndex, u64::from(index), u64::from(self.taken.wrapping_add(self.out))));
        }
        self.seen = index;
        Ok(fresh > 0)
    }

    #[cold]
    fn found(&mut self, field: Field, value: u64, limit: u64) -> Corrupt {
        // Whatever else was seen is not to be taken either.
        self.seen = self.taken;
        *self.corrupt.insert(Corrupt { field, value, limit })
    }

    #[inline(always)]
    fn slot(&self, index: u16) -> &DriverSlot {
        &self.slots.slots()[self.ring.mask(index)]
    }

    #[inline(always)]
    fn slot_mut(&mut self, index: u16) -> &mut DriverSlot {
        let at = self.ring.mask(index);
        &mut self.slots.slots_mut()[at]
    }

    /// Writes a descriptor, unless it stands there already: buffers of one size come round in the same order, so that
    /// in the long run this table is only read, by both sides from their own caches.
    #[inline(always)]
    fn describe(&mut self, index: u16, descriptor: Descriptor) {
        let slot = self.slot_mut(index);
        if slot.written != descriptor {
            slot.written = descriptor;
            self.ring.put_descriptor(index, descriptor);
        }
    }

    fn take_free(&mut self, count: u16, next: u16) {
        self.free -= count;
        self.free_first = next;
    }

    /// Puts a chain behind the others of the free list, so that descriptors go round first in, first out.
    fn give_free(&mut self, head: u16, parts: u16) {
        let mut last = head;
        for _ in 1..parts {
            last = self.slot(last).link;
        }
        self.slot_mut(head).parts = 0;
        if self.free == 0 {
            self.free_first = head;
        } else {
            let end = self.free_last;
            self.slot_mut(end).link = head;
        }
        self.free_last = last;
        self.free += parts;
    }

    fn place(&mut self, head: u16, parts: u16, room: u32, token: u32) {
        let slot = self.slot_mut(head);
        (slot.parts, slot.room, slot.token, slot.published) = (parts, room, token, false);
        let position = self.added;
        self.slot_mut(position).placed = head;
        self.ring.put_avail_entry(position, head);
        self.added = position.wrapping_add(1);
    }

    /// Moves the index; false if there was nothing to hand over.
    fn hand_over(&mut self) -> bool {
        if self.added == self.published || self.corrupt.is_some() {
            return false;
        }
        while self.published != self.added {
            let head = self.slot(self.published).placed;
            self.slot_mut(head).published = true;
            self.published = self.published.wrapping_add(1);
            self.out += 1;
        }
        self.ring.put_avail_index(self.published);
        true
    }
}
