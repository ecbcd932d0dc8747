//! The side that is given buffers, and gives them back.

mod slots;
mod walk;

use tutti_metal::Memory;

pub use slots::DeviceSlot;
use slots::{complete, head_at, offered};
use walk::walk;

use crate::cursor::{AHEAD, Cursor};
use crate::ring::{Descriptor, QUIET};
use crate::{CompleteError, Corrupt, Features, Field, LayoutError, Piece, Table, Vring, passes};

/// A buffer in one piece that was taken from the queue, and is to be given back by [`Device::complete`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Whole {
    /// Its descriptor, which names it.
    pub head: u16,
    /// Where it starts in the memory for buffers.
    pub at: usize,
    /// Its length in bytes.
    pub len: u32,
    /// Whether it is there to be written.
    pub writable: bool,
}

/// A buffer that was taken from the queue, and is to be given back by [`Device::complete`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chain {
    /// Its first descriptor, which names it.
    pub head: u16,
    /// How many pieces it has.
    pub pieces: usize,
    /// How many bytes there are to read.
    pub readable: u32,
    /// How many bytes there is room to write.
    pub writable: u32,
}

/// The device's end of a queue, whose buffers lie in `M` too.
#[derive(Debug)]
pub struct Device<M, T> {
    ring: Vring<M>,
    /// The memory in which buffers may lie.
    buffers: M,
    slots: T,
    event_idx: bool,
    indirect: bool,
    /// How far available entries have been taken.
    cursor: Cursor,
    /// The index behind the last chain completed, and behind the last one published.
    completed: u16,
    published: u16,
    /// How many chains are here, completed but unpublished ones not counted.
    held: u16,
    halted: bool,
}

impl<M: Memory, T: Table<DeviceSlot>> Device<M, T> {
    /// The device of `ring`, with its buffers in `buffers`; `features` are those agreed on.
    ///
    /// # Errors
    /// If `slots` are fewer than the queue has entries.
    pub fn new(ring: Vring<M>, buffers: M, features: Features, slots: T) -> Result<Self, LayoutError> {
        let (needed, found) = (usize::from(ring.size()), slots.slots().len());
        if found < needed {
            return Err(LayoutError::Slots { needed, found });
        }
        let mut device = Self {
            ring,
            buffers,
            slots,
            event_idx: false,
            indirect: false,
            cursor: Cursor::default(),
            completed: 0,
            published: 0,
            held: 0,
            halted: false,
        };
        device.reset(features);
        Ok(device)
    }

    /// Forgets everything. To be called whenever the driver has reset the queue, and after it has zeroed it.
    ///
    /// Buffers are given back from the index on that stands in the used ring, which is 0 but with rpmsg-lite's host:
    /// that starts with all its buffers given back. The index only says where in the ring this side writes.
    pub fn reset(&mut self, features: Features) {
        self.event_idx = features.has(Features::EVENT_IDX);
        self.indirect = features.has(Features::INDIRECT_DESC);
        for slot in self.slots.slots_mut() {
            *slot = DeviceSlot::default();
        }
        self.cursor = Cursor::default();
        self.held = 0;
        self.resume(0);
        self.halted = false;
    }

    /// Goes on where another device stopped, with a queue that the driver has not reset. To be called before anything
    /// else.
    pub fn resume(&mut self, index: u16) {
        let given_back = self.ring.peer_used_index();
        self.cursor.start_at(index);
        (self.completed, self.published) = (given_back, given_back);
    }

    /// Leaves the queue alone from now on, until a [`reset`](Self::reset): nothing is taken, given back or written any
    /// more, so that the driver may use its memory for something else.
    ///
    /// Says at which index another device could [go on](Self::resume), which takes again what is here now. `None` if it
    /// would also take what has been given back already, since buffers went back in another order than they came.
    pub fn halt(&mut self) -> Option<u16> {
        self.hand_over();
        // What is here ought to be what came last.
        let position = self.cursor.taken.wrapping_sub(self.held);
        let is_here = |step| {
            let head = self.ring.peer_avail_entry(position.wrapping_add(step));
            self.slots.slots().get(usize::from(head)).is_some_and(|slot| slot.held)
        };
        let position = (0..self.held).all(is_here).then_some(position);
        for slot in self.slots.slots_mut() {
            *slot = DeviceSlot::default();
        }
        self.cursor.start_at(self.cursor.taken);
        (self.held, self.halted) = (0, true);
        position
    }

    /// Takes the next buffer, and writes its pieces into `pieces`, the readable ones first.
    ///
    /// # Errors
    /// If the driver wrote something that cannot be, or a chain of more pieces than there is room for; from then
    /// on always the same, until the queue is reset.
    #[inline]
    pub fn pop(&mut self, pieces: &mut [Piece]) -> Result<Option<Chain>, Corrupt> {
        if !self.cursor.has_more() && !self.look() {
            return self.cursor.nothing();
        }
        let found = head_at(&self.ring, self.slots.slots_mut(), self.cursor.taken, &mut self.cursor.corrupt);
        let Some((head, _)) = found else {
            self.cursor.stop();
            return self.cursor.nothing();
        };
        let first = self.ring.peer_descriptor(head);
        let chain = match walk(&self.ring, &self.buffers, self.indirect, first, pieces) {
            Ok((pieces, readable, writable)) => Chain { head, pieces, readable, writable },
            Err(corrupt) => return Err(self.cursor.found(corrupt)),
        };
        if let Some(first) = pieces.first() {
            self.here(head, first.at, if chain.writable > 0 { chain.writable } else { chain.readable });
            // The place is now that of a chain, not that of the descriptor which was checked.
            self.slots.slots_mut()[usize::from(head)].checked = Descriptor::NONE;
        }
        Ok(Some(chain))
    }

    /// As [`pop`](Self::pop), for buffers in one piece, as RPMsg has them: the short way. A descriptor that stands as
    /// it was when it was last checked is not checked again. `None` if there is none, or if the driver wrote something
    /// that cannot be, a chain of several pieces included: [`corrupt`](Self::corrupt) tells.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub fn next_whole(&mut self) -> Option<Whole> {
        if !self.cursor.has_more() && !self.look() {
            return None;
        }
        // The buffer that is likely behind the entry sets out now, while the entry itself is still on its way.
        self.prefetch(self.cursor.taken);
        if let Some(later) = self.cursor.ahead(AHEAD) {
            self.prefetch(later);
        }
        self.one_whole()
    }

    /// As [`next_whole`](Self::next_whole), as many as there are, but at most so many: each with its number. Says how
    /// many. It guesses nothing about what comes next: who takes many can let all of them set out himself.
    #[inline(always)]
    pub fn next_many(&mut self, most: usize, mut each: impl FnMut(usize, Whole)) -> usize {
        if self.cursor.known() < most {
            self.look();
        }
        let most = most.min(self.cursor.known());
        // What changes with each is kept in registers.
        let mut taken = self.cursor.taken;
        let slots = self.slots.slots_mut();
        let mut count = 0;
        while count < most
            && let Some(whole) = offered(&self.ring, &self.buffers, slots, taken, &mut self.cursor.corrupt)
        {
            each(count, whole);
            taken = taken.wrapping_add(1);
            count += 1;
        }
        self.cursor.taken = taken;
        self.held += count as u16;
        if count < most {
            self.cursor.stop();
        }
        count
    }

    #[inline(always)]
    fn one_whole(&mut self) -> Option<Whole> {
        let (slots, position) = (self.slots.slots_mut(), self.cursor.taken);
        let whole = offered(&self.ring, &self.buffers, slots, position, &mut self.cursor.corrupt);
        if whole.is_some() {
            self.cursor.advance();
            self.held += 1;
        } else {
            self.cursor.stop();
        }
        whole
    }

    /// The buffer that likely comes at this position sets out.
    #[inline(always)]
    fn prefetch(&self, position: u16) {
        let slots = self.slots.slots();
        self.buffers.prefetch(slots[self.ring.mask(slots[self.ring.mask(position)].likely)].at);
    }

    /// Notes that the buffer of the next entry, at `at`, is here.
    #[inline(always)]
    fn here(&mut self, head: u16, at: usize, room: u32) {
        let position = self.ring.mask(self.cursor.taken);
        let slots = self.slots.slots_mut();
        slots[position].likely = head;
        let slot = &mut slots[usize::from(head)];
        (slot.held, slot.room, slot.at) = (true, room, at);
        self.cursor.advance();
        self.held += 1;
    }

    /// Brings the lines near that the next message will arrive in. For one who polls and has just found nothing.
    #[inline(always)]
    pub fn warm(&self) {
        self.ring.prefetch_avail_entry(self.cursor.taken);
        self.prefetch(self.cursor.taken);
    }

    /// Gives a buffer back, into whose writable pieces `written` bytes were written from the start. The driver does
    /// not see it before [`publish`](Self::publish).
    ///
    /// For a buffer that could only be read, `written` ought to be 0, but may be up to its length: C hosts of RPMsg
    /// take the size of their next buffer from there.
    ///
    /// # Errors
    /// If the buffer is not here, or cannot hold so much; nothing has changed then.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub fn complete(&mut self, head: u16, written: u32) -> Result<(), CompleteError> {
        complete(&self.ring, self.slots.slots_mut(), self.completed, head, written)?;
        self.held -= 1;
        self.completed = self.completed.wrapping_add(1);
        Ok(())
    }

    /// As [`complete`](Self::complete), for many; says how many of them went back: all, unless one cannot be.
    #[inline(always)]
    pub fn complete_many(&mut self, buffers: impl IntoIterator<Item = (u16, u32)>) -> usize {
        let (mut completed, mut count) = (self.completed, 0);
        let slots = self.slots.slots_mut();
        for (head, written) in buffers {
            if complete(&self.ring, slots, completed, head, written).is_err() {
                break;
            }
            completed = completed.wrapping_add(1);
            count += 1;
        }
        self.completed = completed;
        self.held -= count as u16;
        count
    }

    /// Hands everything completed so far to the driver at once, and says whether it wants to be woken for it.
    #[inline]
    #[must_use = "if it says true, ring the doorbell, or the driver may sleep on"]
    pub fn publish(&mut self) -> bool {
        let old = self.published;
        if !self.hand_over() {
            return false;
        }
        self.ring.memory().fence();
        if self.event_idx {
            passes(self.ring.peer_used_event(), self.published, old)
        } else {
            self.ring.peer_avail_flags() & QUIET == 0
        }
    }

    /// As [`publish`](Self::publish), for a driver that polls: without a fence, and without asking.
    #[inline(always)]
    pub fn publish_quietly(&mut self) {
        self.hand_over();
    }

    /// Asks to be woken when the driver adds the next buffer; to be asked again before each sleep. If this says true,
    /// one is there already: take it instead of sleeping.
    ///
    /// # Errors
    /// As for [`pop`](Self::pop).
    pub fn listen(&mut self) -> Result<bool, Corrupt> {
        if self.halted {
            return Ok(false);
        }
        if self.event_idx {
            self.ring.put_avail_event(self.cursor.taken);
        } else {
            self.ring.put_used_flags(0);
        }
        self.ring.memory().fence();
        let found = self.cursor.has_more() || self.look();
        self.cursor.verdict(found)
    }

    /// Asks not to be woken, for one who polls or is busy taking buffers. The driver may ring nevertheless.
    pub fn ignore(&mut self) {
        if self.halted {
        } else if self.event_idx {
            // The index just passed comes again after 65,535 more.
            self.ring.put_avail_event(self.cursor.taken.wrapping_sub(1));
        } else {
            self.ring.put_used_flags(QUIET);
        }
    }

    /// Asks for the line that the next entry will be written to, while the buffer is still being filled.
    #[inline(always)]
    pub fn prepare(&self) {
        self.ring.claim_used_element(self.completed);
    }

    /// Asks for the line of the index, just before it is published.
    #[inline(always)]
    pub fn prepare_to_publish(&self) {
        self.ring.claim_used_index();
    }

    /// Whether the last look at the index showed more than was taken since.
    #[must_use]
    #[inline(always)]
    pub fn has_more(&self) -> bool {
        self.cursor.has_more()
    }

    /// Stops the queue over something that the driver wrote and a layer above found to be wrong.
    pub fn refuse(&mut self, corrupt: Corrupt) -> Corrupt {
        self.cursor.found(corrupt)
    }

    /// How many buffers are here.
    #[must_use]
    pub fn held(&self) -> u16 {
        self.held
    }

    /// The memory in which buffers lie.
    #[must_use]
    pub fn buffers(&self) -> &M {
        &self.buffers
    }

    /// What is wrong with the queue, if something is.
    #[must_use]
    #[inline(always)]
    pub fn corrupt(&self) -> Option<Corrupt> {
        self.cursor.corrupt
    }

    /// Looks at the driver's index, and believes it if it can be true: what is held here cannot be on offer too, so an
    /// honest driver has at most the rest in flight.
    #[inline(always)]
    fn look(&mut self) -> bool {
        if self.halted {
            return false;
        }
        let most = self.ring.size() - self.held;
        self.cursor.look(self.ring.peer_avail_index(), most, Field::AvailIndex)
    }

    #[inline(always)]
    fn hand_over(&mut self) -> bool {
        if self.completed == self.published || self.cursor.corrupt.is_some() {
            return false;
        }
        self.published = self.completed;
        self.ring.put_used_index(self.published);
        true
    }
}
