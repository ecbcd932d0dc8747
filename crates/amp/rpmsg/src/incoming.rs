//! What arrives: each message to its endpoint, announcements to the registry, the rest back and counted.

use tutti_metal::{Doorbell, Memory};
use tutti_virtio::{Corrupt, Features, Field, Table};

use crate::ends::{Buffer, Incoming};
use crate::registry::{EndpointSlot, NONE, Registry};
use crate::{Address, Announcement, HEADER, Header, Service};

/// What was given back unread, since the link was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Messages to addresses at which nobody receives.
    pub unknown_destination: u32,
    /// Messages to the name service that are not announcements.
    pub odd_announcement: u32,
    /// Announcements for which the table had no room.
    pub refused_announcement: u32,
}

/// A message that waits in its buffer for its endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    buffer: Buffer,
    header: Header,
    next: u16,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { buffer: Buffer::default(), header: Header::parse(&[0; HEADER]), next: NONE }
    }
}

/// The receiving half of a link.
///
/// Its lists cannot overflow: what waits keeps its buffer, and there is a slot for every buffer of the queue.
pub(crate) struct In<I, M, W, E, S> {
    end: I,
    memory: M,
    waiting: W,
    pub(crate) registry: Registry<E, S>,
    pub(crate) generation: u32,
    /// Buffers that were given back and are not published yet.
    returned: u16,
    names: bool,
    stats: Stats,
}

impl<I, M, W, E, S> In<I, M, W, E, S>
where
    I: Incoming,
    M: Memory,
    W: Table<Waiting>,
    E: Table<EndpointSlot>,
    S: Table<Option<Service>>,
{
    pub(crate) fn new(end: I, memory: M, waiting: W, registry: Registry<E, S>, names: bool) -> Self {
        Self { end, memory, waiting, registry, generation: 0, returned: 0, names, stats: Stats::default() }
    }

    /// The next message for the endpoint in slot `at`; those for others are put aside on the way.
    #[inline]
    pub(crate) fn receive(&mut self, at: usize) -> Result<Option<(Buffer, Header)>, Corrupt> {
        if let Some(found) = self.unqueue(at) {
            return Ok(Some(found));
        }
        // Nothing is published before this ends, so the other side can keep it busy for one queue's length at most.
        while let Some((buffer, header)) = self.next()? {
            match self.registry.find(header.destination) {
                Some(to) if to == at => {
                    self.learn(to, header.source);
                    return Ok(Some((buffer, header)));
                }
                Some(to) => self.queue(to, buffer, header),
                None => self.unknown(buffer)?,
            }
        }
        Ok(None)
    }

    /// Takes in everything that has arrived, and says how many messages were put aside.
    pub(crate) fn take_all(&mut self) -> Result<usize, Corrupt> {
        let mut count = 0;
        while let Some((buffer, header)) = self.next()? {
            match self.registry.find(header.destination) {
                Some(to) => {
                    self.queue(to, buffer, header);
                    count += 1;
                }
                None => self.unknown(buffer)?,
            }
        }
        Ok(count)
    }

    /// The next message that is not an announcement: its header read once, and held against its buffer.
    #[inline]
    fn next(&mut self) -> Result<Option<(Buffer, Header)>, Corrupt> {
        while let Some(buffer) = self.end.take()? {
            self.memory.invalidate(buffer.at, buffer.len as usize);
            let mut bytes = [0; HEADER];
            let most = (buffer.len as usize).checked_sub(HEADER);
            let (Some(most), Ok(())) = (most, self.memory.copy_out(buffer.at, &mut bytes)) else {
                let (value, limit) = (u64::from(buffer.len), HEADER as u64);
                return Err(self.end.refuse(Corrupt { field: Field::MessageBuffer, value, limit }));
            };
            let header = Header::parse(&bytes);
            if usize::from(header.len) > most {
                let (value, limit) = (u64::from(header.len), most as u64);
                return Err(self.end.refuse(Corrupt { field: Field::MessageLength, value, limit }));
            }
            if header.destination != Address::NAME_SERVICE || !self.names {
                return Ok(Some((buffer, header)));
            }
            self.announcement(buffer, header);
            self.give_back(buffer)?;
        }
        Ok(None)
    }

    fn announcement(&mut self, buffer: Buffer, header: Header) {
        let mut bytes = [0; Announcement::BYTES];
        let fits = usize::from(header.len) == Announcement::BYTES;
        if fits && self.memory.copy_out(buffer.at + HEADER, &mut bytes).is_ok() {
            self.registry.hear(Announcement::parse(&bytes));
        } else {
            self.stats.odd_announcement = self.stats.odd_announcement.saturating_add(1);
        }
    }

    #[cold]
    fn unknown(&mut self, buffer: Buffer) -> Result<(), Corrupt> {
        self.stats.unknown_destination = self.stats.unknown_destination.saturating_add(1);
        self.give_back(buffer)
    }

    fn give_back(&mut self, buffer: Buffer) -> Result<(), Corrupt> {
        self.returned += 1;
        self.end.give_back(buffer)
    }

    /// Who first writes to an endpoint that has no peer is its peer.
    #[inline(always)]
    fn learn(&mut self, at: usize, source: Address) {
        if let Some(slot) = self.registry.slot_mut(at)
            && slot.peer.is_none()
        {
            slot.peer = Some(source);
        }
    }

    fn queue(&mut self, at: usize, buffer: Buffer, header: Header) {
        self.learn(at, header.source);
        let Some(slot) = self.registry.slot_mut(at) else { return };
        let last = slot.last;
        slot.last = buffer.token;
        slot.waiting += 1;
        if last == NONE {
            slot.first = buffer.token;
        }
        if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
        let waiting = self.waiting.slots_mut();
        if let Some(before) = waiting.get_mut(usize::from(last)) {
            before.next = buffer.token;
        }
        if let Some(here) = waiting.get_mut(usize::from(buffer.token)) {
            *here = Waiting { buffer, header, next: NONE };
        }
    }

    #[inline(always)]
    fn unqueue(&mut self, at: usize) -> Option<(Buffer, Header)> {
        let slot = self.registry.slot_mut(at)?;
        if slot.first == NONE {
            return None;
        }
        let Waiting { buffer, header, next } = *self.waiting.slots().get(usize::from(slot.first))?;
        slot.first = next;
        slot.waiting -= 1;
        if next == NONE {
            slot.last = NONE;
        }
        Some((buffer, header))
    }

    /// Closes an endpoint: what waits for it goes back unread.
    pub(crate) fn close(&mut self, at: usize) -> Result<(), Corrupt> {
        while let Some((buffer, _)) = self.unqueue(at) {
            self.give_back(buffer)?;
        }
        let told = self.names
            && self
                .registry
                .slot(at)
                .is_some_and(|slot| slot.name.is_some() && slot.say != crate::registry::Say::Created);
        self.registry.close(at, told);
        Ok(())
    }

    /// A buffer has been read. It is published once a quarter of the queue has been, or when nothing more is known to
    /// wait: until then the other side has others.
    #[inline]
    pub(crate) fn done(&mut self, buffer: Buffer, generation: u32, bell: &impl Doorbell, queue: u32) {
        if generation != self.generation {
            return;
        }
        // A corrupt queue has said so to whoever receives, and stands still.
        let _ = self.give_back(buffer);
        if !self.end.has_more() || self.returned >= self.end.size() / 4 {
            self.settle(bell, queue);
        }
    }

    /// Publishes what was given back.
    #[inline]
    pub(crate) fn settle<D: Doorbell>(&mut self, bell: &D, queue: u32) {
        if self.returned == 0 {
            return;
        }
        self.returned = 0;
        if !D::HEARD {
            self.end.publish_quietly();
        } else if self.end.publish() {
            bell.ring(queue);
        }
    }

    pub(crate) fn end(&mut self) -> &mut I {
        &mut self.end
    }

    /// Makes what was received void.
    pub(crate) fn forget(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.returned = 0;
    }

    pub(crate) fn reset(&mut self, features: Features, names: bool) {
        self.end.reset(features);
        self.names = names;
        self.generation = self.generation.wrapping_add(1);
        self.returned = 0;
        self.registry.reset(names);
    }

    pub(crate) fn listen(&mut self) -> Result<bool, Corrupt> {
        self.end.listen()
    }

    pub(crate) fn ignore(&mut self) {
        self.end.ignore();
    }

    #[inline(always)]
    pub(crate) fn warm(&self) {
        self.end.warm();
    }

    pub(crate) fn names(&self) -> bool {
        self.names
    }

    pub(crate) fn stats(&self) -> Stats {
        Stats { refused_announcement: self.registry.refused, ..self.stats }
    }
}
