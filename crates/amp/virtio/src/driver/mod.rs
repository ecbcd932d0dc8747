//! The side that owns the buffers.

mod slots;

use tutti_metal::Memory;

pub use slots::DriverSlot;
use slots::{FreeList, add_one, describe, take_back};

use crate::cursor::{AHEAD, Cursor};
use crate::ring::{Descriptor, INDIRECT, NEXT, QUIET, WRITE, write_descriptor};
use crate::{AddError, Corrupt, Features, Field, LayoutError, Part, Table, Vring, passes};

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
    free: FreeList,
    /// The index behind the last chain added, and behind the last one published.
    added: u16,
    published: u16,
    /// How far used elements have been taken.
    cursor: Cursor,
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
            free: FreeList::default(),
            added: 0,
            published: 0,
            cursor: Cursor::default(),
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
        self.free = FreeList { first: 0, last: n - 1, count: n };
        (self.added, self.published) = (0, 0);
        self.cursor = Cursor::default();
        self.ring.clear();
    }

    /// Adds a buffer. The device does not see it before [`publish`](Self::publish).
    ///
    /// # Errors
    /// See [`AddError`]; nothing has changed then.
    #[inline]
    pub fn add(&mut self, parts: &[Part], token: u32) -> Result<(), AddError> {
        let room = self.check(parts)?;
        if parts.len() > usize::from(self.free.count) {
            return Err(AddError::Full);
        }
        let head = self.free.first;
        let mut index = head;
        let mut rest = parts;
        while let [part, behind @ ..] = rest {
            let link = self.slot(index).link;
            let flags = if part.writable { WRITE } else { 0 } | if behind.is_empty() { 0 } else { NEXT };
            let next = if behind.is_empty() { 0 } else { link };
            self.describe(index, Descriptor::new(part.addr.0, part.len, flags, next));
            index = link;
            rest = behind;
        }
        self.take_free(parts.len() as u16, index);
        self.place(head, parts.len() as u16, room, token);
        Ok(())
    }

    /// As [`add`](Self::add), for a buffer in one piece: the short way, for who sends many.
    ///
    /// # Errors
    /// See [`AddError`]; nothing has changed then.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub fn add_one(&mut self, part: Part, token: u32) -> Result<(), AddError> {
        if let Some(corrupt) = self.cursor.corrupt {
            return Err(AddError::Corrupt(corrupt));
        }
        if self.free.count == 0 {
            return Err(AddError::Full);
        }
        add_one(&self.ring, self.slots.slots_mut(), &mut self.free, self.added, part, token);
        self.added = self.added.wrapping_add(1);
        Ok(())
    }

    /// As [`add_one`](Self::add_one), for many; says how many of them were added: all, unless the queue is full or
    /// corrupt.
    #[inline(always)]
    pub fn add_many(&mut self, parts: impl IntoIterator<Item = (Part, u32)>) -> usize {
        if self.cursor.corrupt.is_some() {
            return 0;
        }
        // What changes with each is kept in registers.
        let (mut free, mut added, mut count) = (self.free, self.added, 0);
        let slots = self.slots.slots_mut();
        for (part, token) in parts {
            if free.count == 0 {
                break;
            }
            add_one(&self.ring, slots, &mut free, added, part, token);
            added = added.wrapping_add(1);
            count += 1;
        }
        (self.free, self.added) = (free, added);
        count
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
        if self.free.count == 0 {
            return Err(AddError::Full);
        }
        for (i, part) in parts.iter().enumerate() {
            let last = i + 1 == parts.len();
            let flags = if part.writable { WRITE } else { 0 } | if last { 0 } else { NEXT };
            let next = if last { 0 } else { i as u16 + 1 };
            let descriptor = Descriptor::new(part.addr.0, part.len, flags, next);
            // SAFETY: the whole table was checked to lie inside, at a multiple of 16.
            unsafe { write_descriptor(memory, at + i * Descriptor::BYTES, descriptor) };
        }
        memory.clean(at, bytes);
        let head = self.free.first;
        let link = self.slot(head).link;
        self.describe(head, Descriptor::new(memory.addr_of(at).0, bytes as u32, INDIRECT, 0));
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
    #[inline(always)]
    pub fn publish_quietly(&mut self) {
        self.hand_over();
    }

    /// Takes a buffer back that the device has used.
    ///
    /// # Errors
    /// If the device wrote something that cannot be; from then on always the same, until the queue is reset.
    #[inline]
    pub fn pop(&mut self) -> Result<Option<Used>, Corrupt> {
        match self.next_used() {
            None => self.cursor.nothing(),
            used => Ok(used),
        }
    }

    /// As [`pop`](Self::pop), the short way. `None` if there is none, or if the device wrote something that cannot be:
    /// [`corrupt`](Self::corrupt) tells. It guesses nothing about what comes next, so it is the one for who takes many
    /// at once, too.
    #[inline(always)]
    pub fn next_used(&mut self) -> Option<Used> {
        self.take(|_| ())
    }

    /// As [`next_used`](Self::next_used), for buffers in `memory` that will be read: the likely one sets out towards
    /// this core while the ring's own entry is still on its way.
    #[inline(always)]
    pub fn next_to_read(&mut self, memory: &M) -> Option<Used> {
        self.take(|driver| {
            // Messages mostly come back in the order in which their buffers were offered.
            driver.prefetch(memory, driver.cursor.taken);
            if let Some(later) = driver.cursor.ahead(AHEAD) {
                driver.prefetch(memory, later);
            }
        })
    }

    /// As [`next_used`](Self::next_used), for buffers in `memory` that will be written: one of a few turns later is
    /// asked for already, so that the lines of a batch come side by side.
    #[inline(always)]
    pub fn next_to_write(&mut self, memory: &M) -> Option<Used> {
        self.take(|driver| {
            if let Some(later) = driver.cursor.ahead(AHEAD) {
                memory.prefetch_to_write(driver.likely(memory, later));
            }
        })
    }

    /// The buffer that likely comes back at this position sets out.
    #[inline(always)]
    fn prefetch(&self, memory: &M, position: u16) {
        memory.prefetch(self.likely(memory, position));
    }

    #[inline(always)]
    fn likely(&self, memory: &M, position: u16) -> usize {
        let head = self.slot(position).likely;
        self.slot(head).written.addr.wrapping_sub(memory.device_base().0) as usize
    }

    /// Brings the lines near that the next message will likely arrive in. For one who polls and has just found nothing.
    #[inline(always)]
    pub fn warm(&self, memory: &M) {
        self.ring.prefetch_used_element(self.cursor.taken);
        self.prefetch(memory, self.cursor.taken);
    }

    /// As [`next_used`](Self::next_used), as many as there are, but at most so many: each with its number. Says how
    /// many.
    #[inline(always)]
    pub fn next_many(&mut self, most: usize, mut each: impl FnMut(usize, Used)) -> usize {
        if self.cursor.known() < most {
            self.look();
        }
        let most = most.min(self.cursor.known());
        // What changes with each is kept in registers.
        let (mut free, mut taken) = (self.free, self.cursor.taken);
        let slots = self.slots.slots_mut();
        let mut count = 0;
        while count < most
            && let Some(used) = take_back(&self.ring, slots, &mut free, taken, self.published, &mut self.cursor.corrupt)
        {
            each(count, used);
            taken = taken.wrapping_add(1);
            count += 1;
        }
        (self.free, self.cursor.taken) = (free, taken);
        if count < most {
            self.cursor.stop();
        }
        count
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn take(&mut self, before: impl FnOnce(&Self)) -> Option<Used> {
        if !self.cursor.has_more() && !self.look() {
            return None;
        }
        before(self);
        let (slots, free, position) = (self.slots.slots_mut(), &mut self.free, self.cursor.taken);
        let used = take_back(&self.ring, slots, free, position, self.published, &mut self.cursor.corrupt);
        if used.is_some() {
            self.cursor.advance();
        } else {
            self.cursor.stop();
        }
        used
    }

    /// Asks to be woken when the device uses the next buffer; to be asked again before each sleep. If this says true,
    /// one is there already: take it instead of sleeping.
    ///
    /// # Errors
    /// As for [`pop`](Self::pop).
    pub fn listen(&mut self) -> Result<bool, Corrupt> {
        if self.event_idx {
            self.ring.put_used_event(self.cursor.taken);
        } else {
            self.ring.put_avail_flags(0);
        }
        self.ring.memory().fence();
        let found = self.cursor.has_more() || self.look();
        self.cursor.verdict(found)
    }

    /// Asks not to be woken, for one who polls or is busy taking buffers. The device may ring nevertheless.
    pub fn ignore(&mut self) {
        if self.event_idx {
            // The index just passed comes again after 65,535 more.
            self.ring.put_used_event(self.cursor.taken.wrapping_sub(1));
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
        self.cursor.has_more()
    }

    /// Stops the queue over something that the device wrote and a layer above found to be wrong.
    pub fn refuse(&mut self, corrupt: Corrupt) -> Corrupt {
        self.cursor.found(corrupt)
    }

    /// How many descriptors are free.
    #[must_use]
    pub fn free(&self) -> u16 {
        self.free.count
    }

    /// How many published buffers have not been taken back.
    #[must_use]
    #[inline(always)]
    pub fn out(&self) -> u16 {
        // Each of them has one used element, in whatever order.
        self.published.wrapping_sub(self.cursor.taken)
    }

    /// What is wrong with the queue, if something is.
    #[must_use]
    #[inline(always)]
    pub fn corrupt(&self) -> Option<Corrupt> {
        self.cursor.corrupt
    }

    fn check(&self, parts: &[Part]) -> Result<u32, AddError> {
        if let Some(corrupt) = self.cursor.corrupt {
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

    /// Looks at the device's index, and believes it if it can be true: what is out may have come back, and no more.
    #[inline(always)]
    fn look(&mut self) -> bool {
        let most = self.out();
        self.cursor.look(self.ring.peer_used_index(), most, Field::UsedIndex)
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

    #[inline(always)]
    fn describe(&mut self, index: u16, descriptor: Descriptor) {
        let slot = &mut self.slots.slots_mut()[self.ring.mask(index)];
        describe(slot, &self.ring, index, descriptor);
    }

    #[inline(always)]
    fn take_free(&mut self, count: u16, next: u16) {
        self.free.count -= count;
        self.free.first = next;
    }

    #[inline(always)]
    fn place(&mut self, head: u16, parts: u16, room: u32, token: u32) {
        let position = self.added;
        let slot = self.slot_mut(head);
        (slot.parts, slot.room, slot.token, slot.position) = (parts, room, token, position);
        self.ring.put_avail_entry(position, head);
        self.added = position.wrapping_add(1);
    }

    /// Moves the index; false if there was nothing to hand over.
    #[inline(always)]
    fn hand_over(&mut self) -> bool {
        if self.added == self.published || self.cursor.corrupt.is_some() {
            return false;
        }
        self.published = self.added;
        self.ring.put_avail_index(self.published);
        true
    }
}
