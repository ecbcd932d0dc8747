//! The side that is given buffers, and gives them back.

use tutti_metal::{DeviceAddr, Memory};

use crate::ring::{Descriptor, INDIRECT, NEXT, QUIET, WRITE, read_descriptor};
use crate::{CompleteError, Corrupt, Features, Field, LayoutError, Piece, Table, Vring, passes};

/// What a device remembers about one descriptor, and one position of the available ring.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeviceSlot {
    /// Whether the chain whose head this is, is here.
    held: bool,
    /// How many bytes may be written into it; the readable bytes of a buffer that may not be written.
    room: u32,
    /// Where the buffer was that came at this position of the ring last time round: likely the same again.
    likely: usize,
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
    /// The next available entry to take, and the last index that was seen and believed.
    taken: u16,
    seen: u16,
    /// The index behind the last chain completed, and behind the last one published.
    completed: u16,
    published: u16,
    /// How many chains are here, completed but unpublished ones not counted.
    held: u16,
    corrupt: Option<Corrupt>,
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
            taken: 0,
            seen: 0,
            completed: 0,
            published: 0,
            held: 0,
            corrupt: None,
            halted: false,
        };
        device.reset(features);
        Ok(device)
    }

    /// Forgets everything. To be called whenever the driver has reset the queue, and after it has zeroed it.
    ///
    /// Buffers are given back from the index on that stands in the used ring, which is 0 but with rpmsg-lite's host: that
    /// starts with all its buffers given back. The index only says where in the ring this side writes.
    pub fn reset(&mut self, features: Features) {
        self.event_idx = features.has(Features::EVENT_IDX);
        self.indirect = features.has(Features::INDIRECT_DESC);
        for slot in self.slots.slots_mut() {
            *slot = DeviceSlot::default();
        }
        self.held = 0;
        self.resume(0);
        self.corrupt = None;
        self.halted = false;
    }

    /// Goes on where another device stopped, with a queue that the driver has not reset. To be called before anything else.
    pub fn resume(&mut self, index: u16) {
        let given_back = self.ring.peer_used_index();
        (self.taken, self.seen, self.completed, self.published) = (index, index, given_back, given_back);
    }

    /// Leaves the queue alone from now on, until a [`reset`](Self::reset): nothing is taken, given back or written any
    /// more, so that the driver may use its memory for something else.
    ///
    /// Says at which index another device could [go on](Self::resume), which takes again what is here now. `None` if it
    /// would also take what has been given back already, since buffers went back in another order than they came.
    pub fn halt(&mut self) -> Option<u16> {
        self.hand_over();
        // What is here ought to be what came last.
        let position = self.taken.wrapping_sub(self.held);
        let is_here = |step| {
            let head = self.ring.peer_avail_entry(position.wrapping_add(step));
            self.slots.slots().get(usize::from(head)).is_some_and(|slot| slot.held)
        };
        let position = (0..self.held).all(is_here).then_some(position);
        for slot in self.slots.slots_mut() {
            *slot = DeviceSlot::default();
        }
        (self.seen, self.held, self.halted) = (self.taken, 0, true);
        position
    }

    /// Takes the next buffer, and writes its pieces into `pieces`, the readable ones first.
    ///
    /// # Errors
    /// If the driver wrote something that cannot be, or a chain of more pieces than there is room for; from then
    /// on always the same, until the queue is reset.
    #[inline]
    pub fn pop(&mut self, pieces: &mut [Piece]) -> Result<Option<Chain>, Corrupt> {
        if self.taken == self.seen && !self.look()? {
            return Ok(None);
        }
        let at = self.ring.mask(self.taken);
        // The buffer that is likely behind the entry sets out now, while the entry itself is still on its way.
        let likely = self.slots.slots()[at].likely;
        self.buffers.prefetch(likely);
        let head = self.ring.peer_avail_entry(self.taken);
        let n = self.ring.size();
        if head >= n {
            return Err(self.found(Field::AvailEntry, u64::from(head), u64::from(n)));
        }
        if self.slots.slots()[usize::from(head)].held {
            return Err(self.found(Field::AvailEntryRepeated, u64::from(head), u64::from(n)));
        }
        let chain = match self.walk(head, pieces) {
            Ok(chain) => chain,
            Err(Corrupt { field, value, limit }) => return Err(self.found(field, value, limit)),
        };
        let slots = self.slots.slots_mut();
        if let Some(first) = pieces.first()
            && first.at != likely
        {
            slots[at].likely = first.at;
        }
        let slot = &mut slots[usize::from(head)];
        (slot.held, slot.room) = (true, if chain.writable > 0 { chain.writable } else { chain.readable });
        self.taken = self.taken.wrapping_add(1);
        self.held += 1;
        Ok(Some(chain))
    }

    /// Brings the lines near that the next message will arrive in. For one who polls and has just found nothing.
    #[inline(always)]
    pub fn warm(&self) {
        self.ring.prefetch_avail_entry(self.taken);
        self.buffers.prefetch(self.slots.slots()[self.ring.mask(self.taken)].likely);
    }

    /// Gives a buffer back, into whose writable pieces `written` bytes were written from the start. The driver does
    /// not see it before [`publish`](Self::publish).
    ///
    /// For a buffer that could only be read, `written` ought to be 0, but may be up to its length: C hosts of RPMsg
    /// take the size of their next buffer from there.
    ///
    /// # Errors
    /// If the buffer is not here, or cannot hold so much; nothing has changed then.
    #[inline]
    pub fn complete(&mut self, head: u16, written: u32) -> Result<(), CompleteError> {
        let slot = match self.slots.slots_mut().get_mut(usize::from(head)) {
            Some(slot) if slot.held => slot,
            _ => return Err(CompleteError::NotHeld),
        };
        if written > slot.room {
            return Err(CompleteError::TooLong { written, room: slot.room });
        }
        slot.held = false;
        self.held -= 1;
        self.ring.put_used_element(self.completed, u32::from(head), written);
        self.completed = self.completed.wrapping_add(1);
        Ok(())
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
    #[inline]
    pub fn publish_quietly(&mut self) {
        self.hand_over();
    }

    /// Asks to be woken when the driver adds the next buffer; to be asked again before each sleep. If this says true, one
    /// is there already: take it instead of sleeping.
    ///
    /// # Errors
    /// As for [`pop`](Self::pop).
    pub fn listen(&mut self) -> Result<bool, Corrupt> {
        if self.halted {
            return Ok(false);
        }
        if self.event_idx {
            self.ring.put_avail_event(self.taken);
        } else {
            self.ring.put_used_flags(0);
        }
        self.ring.memory().fence();
        Ok(self.taken != self.seen || self.look()?)
    }

    /// Asks not to be woken, for one who polls or is busy taking buffers. The driver may ring nevertheless.
    pub fn ignore(&mut self) {
        if self.halted {
        } else if self.event_idx {
            // The index just passed comes again after 65,535 more.
            self.ring.put_avail_event(self.taken.wrapping_sub(1));
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
        self.taken != self.seen
    }

    /// Stops the queue over something that the driver wrote and a layer above found to be wrong.
    pub fn refuse(&mut self, corrupt: Corrupt) -> Corrupt {
        self.found(corrupt.field, corrupt.value, corrupt.limit)
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
    pub fn corrupt(&self) -> Option<Corrupt> {
        self.corrupt
    }

    /// Looks at the driver's index, and believes it if it can be true.
    #[inline]
    fn look(&mut self) -> Result<bool, Corrupt> {
        if let Some(corrupt) = self.corrupt {
            return Err(corrupt);
        }
        if self.halted {
            return Ok(false);
        }
        let index = self.ring.peer_avail_index();
        let fresh = index.wrapping_sub(self.taken);
        // What is held here cannot be on offer too, so an honest driver has at most the rest in flight.
        let most = self.ring.size() - self.held;
        if fresh > most {
            return Err(self.found(Field::AvailIndex, u64::from(index), u64::from(self.taken.wrapping_add(most))));
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
    fn walk(&self, head: u16, pieces: &mut [Piece]) -> Result<Chain, Corrupt> {
        let first = self.ring.peer_descriptor(head);
        let mut walk = Walk { pieces, count: 0, readable: 0, writable: 0 };
        if first.flags & INDIRECT == 0 {
            let n = self.ring.size();
            let mut descriptor = first;
            while walk.step(&self.buffers, descriptor)? {
                if descriptor.next >= n {
                    return Err(corrupt(Field::DescriptorNext, u64::from(descriptor.next), u64::from(n)));
                }
                descriptor = self.ring.peer_descriptor(descriptor.next);
            }
        } else {
            self.walk_indirect(first, &mut walk)?;
        }
        Ok(Chain { head, pieces: walk.count, readable: walk.readable, writable: walk.writable })
    }

    fn walk_indirect(&self, table: Descriptor, walk: &mut Walk<'_>) -> Result<(), Corrupt> {
        if !self.indirect || table.flags != INDIRECT {
            return Err(corrupt(Field::DescriptorFlags, u64::from(table.flags), u64::from(INDIRECT)));
        }
        let most = u64::from(self.ring.size()) * Descriptor::BYTES as u64;
        let count = table.len / Descriptor::BYTES as u32;
        if count == 0 || !table.len.is_multiple_of(Descriptor::BYTES as u32) || u64::from(table.len) > most {
            return Err(corrupt(Field::IndirectLength, u64::from(table.len), most));
        }
        let at = place(&self.buffers, table.addr, table.len)?;
        if !at.is_multiple_of(8) {
            return Err(corrupt(Field::DescriptorAddress, table.addr, 8));
        }
        self.buffers.invalidate(at, table.len as usize);
        let mut index = 0u32;
        loop {
            // SAFETY: `index < count`, the table lies inside whole, and `at` is a multiple of 8.
            let descriptor = unsafe { read_descriptor(&self.buffers, at + index as usize * Descriptor::BYTES) };
            if !walk.step(&self.buffers, descriptor)? {
                return Ok(());
            }
            index = u32::from(descriptor.next);
            if index >= count {
                return Err(corrupt(Field::DescriptorNext, u64::from(index), u64::from(count)));
            }
        }
    }

    fn hand_over(&mut self) -> bool {
        if self.completed == self.published || self.corrupt.is_some() {
            return false;
        }
        self.published = self.completed;
        self.ring.put_used_index(self.published);
        true
    }
}

fn corrupt(field: Field, value: u64, limit: u64) -> Corrupt {
    Corrupt { field, value, limit }
}

fn place<M: Memory>(memory: &M, addr: u64, len: u32) -> Result<usize, Corrupt> {
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
        let Descriptor { addr, len, flags, .. } = descriptor;
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
