//! What arrives: each message to its endpoint, announcements to the registry, the rest back and counted.

use tutti_metal::{Doorbell, Memory};
use tutti_virtio::{Corrupt, Features, Field, Table};

use crate::ends::{Buffer, Incoming};
use crate::extensions::GRANT;
use crate::queue::Queue;
use crate::registry::{EndpointSlot, NONE, Registry};
use crate::{Address, Announcement, F_CREDITS, F_NS, HEADER, Header, Service};

/// What was given back unread, since the link was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Messages to addresses at which nobody receives.
    pub unknown_destination: u32,
    /// Messages to the name service that are not announcements.
    pub odd_announcement: u32,
    /// Announcements for which the table had no room.
    pub refused_announcement: u32,
    /// Messages beyond what their sender was granted.
    pub over_window: u32,
}

/// A message that was taken, its header as it was read: checked, and otherwise left as one piece, which is quicker to
/// keep.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Arrived {
    pub(crate) buffer: Buffer,
    pub(crate) header: [u8; HEADER],
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
    /// Whether endpoints may have windows.
    pub(crate) credits: bool,
    /// Whether this side polls, so that it will look again soon.
    polls: bool,
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
    pub(crate) fn new(end: I, memory: M, waiting: W, registry: Registry<E, S>, features: Features) -> Self {
        let (names, credits) = (features.has(F_NS), features.has(F_CREDITS));
        Self {
            end,
            memory,
            waiting,
            registry,
            generation: 0,
            returned: 0,
            names,
            credits,
            polls: false,
            stats: Stats::default(),
        }
    }

    /// The next message for the endpoint in slot `at`; those for others are put aside on the way. None if there is
    /// none, or if the queue is corrupt.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn receive(&mut self, at: usize) -> Option<(Buffer, Header)> {
        let slot = self.registry.slot(at)?;
        if slot.first != NONE {
            return self.unqueue(at);
        }
        let address = slot.address;
        // Nothing is published before this ends, so the other side can keep it busy for one queue's length at most.
        while let Some((buffer, header)) = self.next() {
            if header.destination.0 == address && !self.credits {
                self.learn(at, header.source);
                return Some((buffer, header));
            }
            // The long way, which ends in this endpoint's own list if the message is for it.
            self.sort(buffer, header);
            if self.credits
                && let Some(found) = self.unqueue(at)
            {
                return Some(found);
            }
        }
        None
    }

    /// What is wrong with the queue, if something is.
    pub(crate) fn corrupt(&self) -> Option<Corrupt> {
        self.end.queue().corrupt()
    }

    /// Takes in everything that has arrived, and says how many messages were put aside.
    pub(crate) fn take_all(&mut self) -> Result<usize, Corrupt> {
        let mut count = 0;
        while let Some((buffer, header)) = self.next() {
            count += usize::from(self.sort(buffer, header));
        }
        self.end.queue().corrupt().map_or(Ok(count), Err)
    }

    /// A message for somebody: true if it was put aside for an endpoint. No endpoint has the name service's address.
    #[cold]
    fn sort(&mut self, buffer: Buffer, header: Header) -> bool {
        if header.destination == Address::NAME_SERVICE && self.names {
            self.announcement(buffer, header);
            self.give_back(buffer);
            return false;
        }
        let Some(to) = self.registry.find(header.destination) else {
            self.stats.unknown_destination = self.stats.unknown_destination.saturating_add(1);
            self.give_back(buffer);
            return false;
        };
        if self.credits && header.flags & GRANT != 0 {
            self.granted(to, buffer, header);
            return false;
        }
        if self.credits && !self.registry.arrive(to, header.source) {
            self.stats.over_window = self.stats.over_window.saturating_add(1);
            self.give_back(buffer);
            return false;
        }
        self.queue(to, buffer, header);
        true
    }

    /// A grant for an endpoint; one of another length grants nothing.
    fn granted(&mut self, to: usize, buffer: Buffer, header: Header) {
        let mut limit = [0; 4];
        if usize::from(header.len) == limit.len() && self.memory.copy_out(buffer.at + HEADER, &mut limit).is_ok() {
            self.registry.granted(to, header.source, u32::from_le_bytes(limit));
        }
        self.give_back(buffer);
    }

    /// As [`receive`](Self::receive), as many as there are and `found` takes; says how many.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn receive_many(&mut self, at: usize, found: &mut [Arrived]) -> usize {
        let Some(slot) = self.registry.slot(at) else { return 0 };
        if slot.first != NONE || self.credits {
            return self.receive_each(at, found);
        }
        let address = slot.address;
        loop {
            // First all buffers, so that their lines set out together; then what is in them.
            let Self { end, memory, .. } = self;
            let arrived = end.take_many(found.len(), |i, buffer| {
                memory.prefetch(buffer.at);
                if let Some(place) = found.get_mut(i) {
                    place.buffer = buffer;
                }
            });
            let mut count = 0;
            for i in 0..arrived {
                let Some(&Arrived { buffer, .. }) = found.get(i) else { break };
                let Some(bytes) = self.header(buffer) else { return count };
                let header = Header::parse(&bytes);
                if header.destination.0 != address {
                    self.sort(buffer, header);
                } else if let Some(place) = found.get_mut(count) {
                    self.learn(at, header.source);
                    *place = Arrived { buffer, header: bytes };
                    count += 1;
                }
            }
            // As above: one queue's length at most.
            if count > 0 || arrived == 0 {
                return count;
            }
        }
    }

    #[cold]
    fn receive_each(&mut self, at: usize, found: &mut [Arrived]) -> usize {
        let mut count = 0;
        while let Some(place) = found.get_mut(count)
            && let Some((buffer, header)) = self.receive(at)
        {
            *place = Arrived { buffer, header: header.emit() };
            count += 1;
        }
        count
    }

    /// The next message.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn next(&mut self) -> Option<(Buffer, Header)> {
        let buffer = self.end.take()?;
        self.header(buffer).map(|bytes| (buffer, Header::parse(&bytes)))
    }

    /// A message's header: read once, and held against its buffer.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn header(&mut self, buffer: Buffer) -> Option<[u8; HEADER]> {
        self.memory.invalidate(buffer.at, buffer.len as usize);
        let mut bytes = [0; HEADER];
        let most = (buffer.len as usize).wrapping_sub(HEADER);
        if (buffer.len as usize) < HEADER || self.memory.copy_out(buffer.at, &mut bytes).is_err() {
            return self.refuse(Field::MessageBuffer, buffer.len as usize, HEADER);
        }
        let len = usize::from(Header::parse(&bytes).len);
        if len > most {
            return self.refuse(Field::MessageLength, len, most);
        }
        Some(bytes)
    }

    #[cold]
    fn refuse(&mut self, field: Field, value: usize, limit: usize) -> Option<[u8; HEADER]> {
        self.end.queue_mut().refuse(Corrupt { field, value: value as u64, limit: limit as u64 });
        None
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

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn give_back(&mut self, buffer: Buffer) {
        self.returned += 1;
        self.end.give_back(buffer);
    }

    /// Who first writes to an endpoint that has no peer is its peer.
    #[inline(always)]
    fn learn(&mut self, at: usize, source: Address) {
        if let Some(slot) = self.registry.slot_mut(at)
            && slot.peer.is_none()
        {
            self.registry.set_peer(at, Some(source));
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

    #[cold]
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
        if self.credits {
            self.registry.took(at, header.source);
        }
        Some((buffer, header))
    }

    /// Closes an endpoint: what waits for it goes back unread.
    pub(crate) fn close(&mut self, at: usize) {
        while let Some((buffer, _)) = self.unqueue(at) {
            self.give_back(buffer);
        }
        let told = self.names
            && self
                .registry
                .slot(at)
                .is_some_and(|slot| slot.name.is_some() && slot.say != crate::registry::Say::Created);
        self.registry.close(at, told);
    }

    /// A buffer has been read. It is published once a quarter of the queue has been, or when nothing more is known to
    /// wait; by who polls, not before it has looked once more and found nothing. Until then the other side has others.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn done(&mut self, buffer: Buffer, generation: u32, bell: &impl Doorbell, queue: u32) {
        if generation == self.generation {
            self.give_back(buffer);
            self.settle_if_due(bell, queue);
        }
    }

    /// Buffers have been read, as for [`done`](Self::done).
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn all_done(
        &mut self,
        buffers: impl Iterator<Item = Buffer>,
        generation: u32,
        bell: &impl Doorbell,
        queue: u32,
    ) {
        if generation != self.generation {
            return;
        }
        let mut count = 0;
        self.end.give_back_many(buffers.inspect(|_| count += 1));
        self.returned += count;
        self.settle_if_due(bell, queue);
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn settle_if_due(&mut self, bell: &impl Doorbell, queue: u32) {
        let now = !self.polls && !self.end.queue().has_more();
        if now || self.returned >= self.end.size() / 4 {
            self.settle(bell, queue);
        }
    }

    /// Publishes what was given back.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn settle<D: Doorbell>(&mut self, bell: &D, queue: u32) {
        if self.returned == 0 {
            return;
        }
        self.returned = 0;
        if !D::HEARD {
            self.end.queue_mut().publish_quietly();
        } else if self.end.queue_mut().publish() {
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

    pub(crate) fn reset(&mut self, features: Features) {
        self.end.reset(features);
        let names = features.has(F_NS);
        (self.names, self.credits) = (names, features.has(F_CREDITS));
        self.generation = self.generation.wrapping_add(1);
        self.returned = 0;
        self.registry.reset(names);
    }

    pub(crate) fn listen(&mut self) -> Result<bool, Corrupt> {
        self.polls = false;
        self.end.queue_mut().listen()
    }

    pub(crate) fn ignore(&mut self) {
        self.polls = true;
        self.end.queue_mut().ignore();
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
