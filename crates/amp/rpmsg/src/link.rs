//! Two queues, one each way, and the endpoints on this side of them.

use core::sync::atomic::{AtomicU16, Ordering};
use core::task::Waker;
use core::time::Duration;

use tutti_metal::{Clock, Doorbell, Lock, LockFamily, Memory, Sleep};
use tutti_virtio::{Corrupt, Features};

use crate::ends::sealed::Parts;
use crate::ends::{Buffer, End, Outgoing, Role, sealed};
use crate::extensions::{FRAGMENT, GRANT};
use crate::incoming::{In, Waiting};
use crate::queue::Queue;
use crate::registry::{EndpointSlot, Registry, Say, Saying};
use crate::wait::wait_within;
use crate::{
    Address, Endpoint, EndpointError, F_CREDITS, F_FRAGMENTS, HEADER, Header, Loan, LoanFuture, Message, Name,
    Received, SendError, Service, SetupError, Stats, Storage,
};

/// What a link stands on: one type for each port.
pub trait Platform {
    /// The shared memory.
    type Memory: Memory;
    /// What wakes the other side.
    type Doorbell: Doorbell;
    /// What keeps threads and interrupt handlers apart.
    type Locks: LockFamily;
    /// Where private tables are kept.
    type Storage: Storage;
}

type RingOf<P, T> = <<P as Platform>::Storage as Storage>::Ring<T>;
type TableOf<P, T> = <<P as Platform>::Storage as Storage>::Endpoints<T>;
pub(crate) type LockOf<P, T> = <<P as Platform>::Locks as LockFamily>::Lock<T>;
type GuardOf<'a, P, T> = <LockOf<P, T> as Lock<T>>::Guard<'a>;
pub(crate) type OutOf<P, R> = <R as sealed::Role>::Out<<P as Platform>::Memory, <P as Platform>::Storage>;
pub(crate) type InOf<P, R> = In<
    <R as sealed::Role>::In<<P as Platform>::Memory, <P as Platform>::Storage>,
    <P as Platform>::Memory,
    RingOf<P, Waiting>,
    TableOf<P, EndpointSlot>,
    TableOf<P, Option<Service>>,
>;

/// The sending half.
pub(crate) struct Sending<O> {
    pub(crate) end: O,
    pub(crate) generation: u32,
    /// Senders that wait for a buffer. When there are more, those here are woken to ask again.
    pub(crate) wakers: [Option<Waker>; 4],
}

/// One side's end of the connection between two cores.
///
/// It is shared by reference: endpoints, loans and received messages borrow it. Whether it may be shared between
/// threads is up to the platform's locks. One lock guards sending, another receiving; the second may take the first,
/// never the other way round.
pub struct Link<P: Platform, R: Role> {
    pub(crate) memory: P::Memory,
    pub(crate) bell: P::Doorbell,
    pub(crate) notify: [u32; 2],
    /// The flags of headers that mean something, by what was agreed on.
    extensions: AtomicU16,
    pub(crate) sending: LockOf<P, Sending<OutOf<P, R>>>,
    pub(crate) receiving: LockOf<P, InOf<P, R>>,
}

impl<P: Platform, R: Role> Link<P, R> {
    /// A link over the queues and buffers of `setup`. A host's queues are zeroed and its buffers offered by this, so
    /// the remote is to start (or to see `DRIVER_OK`) afterwards.
    ///
    /// # Errors
    /// If the queues or buffers do not fit, or the storage is too small for them.
    pub fn new(
        setup: <R as sealed::Role>::Setup<P::Memory>,
        bell: P::Doorbell,
        storage: P::Storage,
    ) -> Result<Self, SetupError> {
        let Parts { out, incoming, memory, features, notify, entries } = R::parts(setup, &storage)?;
        let extensions = AtomicU16::new(flags_of(features));
        let registry = Registry::new(storage.endpoints(), storage.endpoints());
        let incoming = In::new(incoming, memory.clone(), storage.ring(entries), registry, features);
        let sending = Sending { end: out, generation: 0, wakers: [const { None }; 4] };
        Ok(Self { memory, bell, notify, extensions, sending: Lock::new(sending), receiving: Lock::new(incoming) })
    }

    /// Opens an endpoint. With a name, it is announced to the other side, and bound to the service of that name there;
    /// with [`Address::ANY`] it gets a free address.
    ///
    /// # Errors
    /// If the address is taken or reserved, or the table is full.
    pub fn endpoint(&self, name: Option<Name>, address: Address) -> Result<Endpoint<'_, P, R>, EndpointError> {
        let (at, address) = self.receiving.with(|receiving| {
            let (at, address) = receiving.registry.open(name, address)?;
            if name.is_some() && receiving.names() {
                receiving.registry.say(at, Say::Created);
            }
            Ok((at, address))
        })?;
        // If there is no buffer for the announcement now, it goes out with a later `poll`.
        let _ = self.announce();
        Ok(Endpoint { link: self, at, address })
    }

    /// Lends a buffer to fill, if one is free.
    ///
    /// # Errors
    /// [`SendError::NoBuffer`] if none is, or if the link is corrupt.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub fn try_loan(&self) -> Result<Loan<'_, P, R>, SendError> {
        let mut sending = self.sending.lock();
        match sending.end.take() {
            Some(buffer) => {
                self.memory.prefetch_to_write(buffer.at);
                sending.end.queue().prepare();
                Ok(Loan { link: self, buffer, generation: sending.generation, sent: false })
            }
            None => Err(no_buffer(sending.end.queue().corrupt())),
        }
    }

    /// Lends a buffer as soon as one is free, but waits no longer than `within`.
    ///
    /// # Errors
    /// [`SendError::TimedOut`] if none came back in time, or if the link is corrupt.
    pub fn loan_within(
        &self,
        within: Duration,
        clock: &impl Clock,
        sleep: &impl Sleep,
    ) -> Result<Loan<'_, P, R>, SendError> {
        let attempt = || match self.try_loan() {
            Err(SendError::NoBuffer) => Ok(None),
            other => other.map(Some),
        };
        let listen = || Ok(self.sending.with(|sending| sending.end.listen())?);
        wait_within(within, clock, sleep, attempt, listen)?.ok_or(SendError::TimedOut)
    }

    /// Lends a buffer as soon as one is free. Somebody must call [`on_interrupt`](Self::on_interrupt) when the other
    /// side rings.
    pub fn loan(&self) -> LoanFuture<'_, P, R> {
        LoanFuture { link: self }
    }

    /// Hands everything that was [staged](Loan::stage) to the other side at once.
    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub fn publish(&self) {
        if self.sending.with(|sending| publish::<P, R>(sending)) {
            self.bell.ring(self.notify[0]);
        }
    }

    /// Takes in what has arrived, for whichever endpoint; says how many messages were put aside; sends announcements
    /// that are due.
    ///
    /// # Errors
    /// If the other side wrote something that cannot be.
    pub fn poll(&self) -> Result<usize, Corrupt> {
        let count = self.receiving.with(|receiving| {
            let count = receiving.take_all();
            receiving.settle(&self.bell, self.notify[1]);
            count
        })?;
        self.announce()?;
        Ok(count)
    }

    /// The other side rang: takes in what has arrived, and wakes who waits for a message or a buffer.
    ///
    /// # Errors
    /// As for [`poll`](Self::poll); everybody is woken then too, to find out.
    pub fn on_interrupt(&self) -> Result<usize, Corrupt> {
        let count = self.poll();
        self.sending.with(|sending| wake_all(&mut sending.wakers));
        count
    }

    /// Asks the other side to ring when the next message is there. If this says true, something is there already.
    ///
    /// # Errors
    /// As for [`poll`](Self::poll).
    pub fn listen(&self) -> Result<bool, Corrupt> {
        self.receiving.with(|receiving| receiving.listen())
    }

    /// Asks the other side not to ring, neither for messages nor for buffers: this side polls.
    pub fn ignore(&self) {
        self.receiving.with(|receiving| receiving.ignore());
        self.sending.with(|sending| sending.end.queue_mut().ignore());
    }

    /// Brings near what the next message will likely arrive in, and takes the buffer for the next one to be sent: for
    /// one who polls and has just found nothing.
    #[inline(always)]
    pub fn warm(&self) {
        self.sending.with(|sending| sending.end.reclaim());
        self.receiving.with(|receiving| receiving.warm());
    }

    /// The `index`-th service that the other side has announced and not taken back; gaps are skipped.
    pub fn service(&self, index: usize) -> Option<Service> {
        self.receiving.with(|receiving| {
            let mut left = index;
            for at in 0.. {
                match receiving.registry.service(at)? {
                    Some(service) if left == 0 => return Some(service),
                    Some(_) => left -= 1,
                    None => {}
                }
            }
            None
        })
    }

    /// What was given back unread.
    pub fn stats(&self) -> Stats {
        self.receiving.with(|receiving| receiving.stats())
    }

    /// Starts anew after the other side did, or after it corrupted the link: forgets every message and peer, and
    /// announces the named endpoints again. Loans and received messages from before are void.
    ///
    /// A host's queues are zeroed: the remote must not run then. A remote calls this when `DRIVER_OK` comes back.
    pub fn reset(&self, features: Features) {
        self.extensions.store(flags_of(features), Ordering::Relaxed);
        self.sending.with(|sending| {
            sending.end.reset(features);
            sending.generation = sending.generation.wrapping_add(1);
        });
        self.receiving.with(|receiving| receiving.reset(features));
        self.sending.with(|sending| wake_all(&mut sending.wakers));
        let _ = self.announce();
    }

    #[cold]
    fn announce_later(&self) -> Result<(), Corrupt> {
        self.announce()
    }

    /// Sends what is still to be said about endpoints, as far as there are buffers.
    fn announce(&self) -> Result<(), Corrupt> {
        let mut said = false;
        self.receiving.with(|receiving| {
            while receiving.registry.unsaid > 0
                && let Some((at, saying)) = receiving.registry.unsaid()
            {
                let staged = match saying {
                    Saying::Announcement(announcement) => {
                        let (from, to) = (announcement.address, Address::NAME_SERVICE);
                        self.stage(&announcement.emit(), from, to, 0)?
                    }
                    Saying::Grant { from, to, limit } => self.stage(&limit.to_le_bytes(), from, to, GRANT)?,
                };
                if !staged {
                    break;
                }
                receiving.registry.said(at, saying);
                said = true;
            }
            Ok::<(), Corrupt>(())
        })?;
        if said {
            self.publish();
        }
        Ok(())
    }

    /// Stages a message of the link itself; false if there is no buffer for it now.
    fn stage(&self, bytes: &[u8], source: Address, destination: Address, flags: u16) -> Result<bool, Corrupt> {
        self.sending.with(|sending| {
            let Some(buffer) = sending.end.take() else { return sending.end.queue().corrupt().map_or(Ok(false), Err) };
            if (buffer.len as usize) < HEADER + bytes.len() || self.memory.copy_in(buffer.at + HEADER, bytes).is_err() {
                // Buffers too small for it: there will never be one, so it counts as said.
                sending.end.put_back(buffer);
                return Ok(true);
            }
            let header = Header { source, destination, len: bytes.len() as u16, flags };
            submit::<P, R>(&self.memory, sending, buffer, header);
            Ok(true)
        })
    }

    /// Whether anything was agreed on that a plain peer does not know.
    #[inline(always)]
    pub(crate) fn extended(&self) -> bool {
        self.extensions.load(Ordering::Relaxed) != 0
    }

    pub(crate) fn has_fragments(&self) -> bool {
        self.extensions.load(Ordering::Relaxed) & FRAGMENT != 0
    }

    /// Takes a credit for a message, if its sender needs one.
    #[cold]
    fn has_credit(&self, header: &Header) -> bool {
        self.extensions.load(Ordering::Relaxed) & GRANT == 0
            || self.receiving.with(|receiving| receiving.registry.spend(header.source, header.destination))
    }

    /// Bounds what the peer of an endpoint may have under way.
    pub(crate) fn set_window(&self, at: usize, window: u16) {
        self.receiving.with(|receiving| {
            if receiving.credits {
                receiving.registry.set_window(at, window);
            }
        });
        let _ = self.announce();
    }

    #[inline(always)]
    pub(crate) fn send(&self, buffer: Buffer, generation: u32, header: Header, now: bool) -> Result<(), SendError> {
        if self.extended() && !self.has_credit(&header) {
            return Err(SendError::NoCredit);
        }
        let result = self.send_granted(buffer, generation, &header, now);
        if result.is_err() && self.extended() {
            self.receiving.with(|receiving| receiving.registry.unspend(header.source, header.destination));
        }
        result
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    fn send_granted(&self, buffer: Buffer, generation: u32, header: &Header, now: bool) -> Result<(), SendError> {
        let mut sending = self.sending.lock();
        if sending.generation != generation {
            return Err(SendError::Stale);
        }
        if now {
            sending.end.queue().prepare_to_publish();
        }
        submit::<P, R>(&self.memory, &mut sending, buffer, *header);
        let rings = now && publish::<P, R>(&mut sending);
        if let Some(corrupt) = sending.end.queue().corrupt() {
            return Err(SendError::Corrupt(corrupt));
        }
        drop(sending);
        if rings {
            self.bell.ring(self.notify[0]);
        }
        Ok(())
    }

    pub(crate) fn put_back(&self, buffer: Buffer, generation: u32) {
        self.sending.with(|sending| {
            if sending.generation == generation {
                sending.end.put_back(buffer);
                wake_all(&mut sending.wakers);
            }
        });
    }

    #[cfg_attr(target_pointer_width = "64", inline(always))]
    pub(crate) fn receive(&self, at: usize) -> Result<Option<Received<'_, P, R>>, Corrupt> {
        let mut receiving = self.receiving.lock();
        if let Some((buffer, header)) = receiving.receive(at) {
            let message = Message { link: self, buffer, header };
            return Ok(Some(Received { message, generation: receiving.generation }));
        }
        self.nothing(receiving).map(|()| None)
    }

    /// Nothing has arrived: time for what else is to be done.
    #[inline(always)]
    pub(crate) fn nothing(&self, mut receiving: GuardOf<'_, P, InOf<P, R>>) -> Result<(), Corrupt> {
        receiving.settle(&self.bell, self.notify[1]);
        let (corrupt, unsaid) = (receiving.corrupt(), receiving.registry.unsaid > 0);
        drop(receiving);
        match corrupt {
            Some(corrupt) => Err(corrupt),
            None if unsaid => self.announce_later(),
            None => Ok(()),
        }
    }

    #[inline(always)]
    pub(crate) fn done(&self, buffer: Buffer, generation: u32) {
        self.receiving.with(|receiving| receiving.done(buffer, generation, &self.bell, self.notify[1]));
    }

    pub(crate) fn close(&self, at: usize) {
        self.receiving.with(|receiving| {
            receiving.close(at);
            receiving.settle(&self.bell, self.notify[1]);
        });
        let _ = self.announce();
    }

    pub(crate) fn peer(&self, at: usize) -> Option<Address> {
        self.receiving.with(|receiving| receiving.registry.slot(at).and_then(|slot| slot.peer))
    }

    pub(crate) fn set_peer(&self, at: usize, peer: Option<Address>) {
        self.receiving.with(|receiving| {
            receiving.registry.set_peer(at, peer);
        });
        let _ = self.announce();
    }

    pub(crate) fn waiting(&self, at: usize) -> usize {
        self.receiving.with(|receiving| receiving.registry.slot(at).map_or(0, |slot| usize::from(slot.waiting)))
    }

    /// Leaves a waker with an endpoint, and asks to be rung; true if something is there already.
    pub(crate) fn wait_for_message(&self, at: usize, waker: &Waker) -> Result<bool, Corrupt> {
        self.receiving.with(|receiving| {
            if let Some(slot) = receiving.registry.slot_mut(at) {
                slot.waker = Some(waker.clone());
            }
            receiving.listen()
        })
    }

    /// Leaves a waker for when a buffer comes back, and asks to be rung; true if one is there already.
    pub(crate) fn wait_for_buffer(&self, waker: &Waker) -> Result<bool, Corrupt> {
        self.sending.with(|sending| {
            let known = sending.wakers.iter().flatten().any(|other| other.will_wake(waker));
            if !known {
                if sending.wakers.iter().all(Option::is_some) {
                    wake_all(&mut sending.wakers);
                }
                if let Some(slot) = sending.wakers.iter_mut().find(|slot| slot.is_none()) {
                    *slot = Some(waker.clone());
                }
            }
            sending.end.listen()
        })
    }
}

/// The flags of headers that these features give a meaning.
fn flags_of(features: Features) -> u16 {
    let flag = |feature, flag| if features.has(feature) { flag } else { 0 };
    flag(F_FRAGMENTS, FRAGMENT) | flag(F_CREDITS, GRANT)
}

impl<P: Platform> Link<P, crate::Remote> {
    /// Leaves the queues alone from now on, until a [`reset`](Self::reset): the driver is about to take their memory
    /// away. Endpoints can still be closed, without the other side hearing of it. Loans are void, and are not to be
    /// filled any more.
    ///
    /// Says where another link could [go on](Self::resume), for the queue to the host and the other; it receives again
    /// what was not given back before. `None` for a queue whose buffers went back in another order than they came:
    /// it is of no use before the driver resets it.
    pub fn halt(&self) -> [Option<u16>; 2] {
        let out = self.sending.with(|sending| {
            sending.generation = sending.generation.wrapping_add(1);
            sending.end.halt()
        });
        let incoming = self.receiving.with(|receiving| {
            receiving.forget();
            receiving.end().queue_mut().halt()
        });
        [out, incoming]
    }

    /// Goes on where another link over the same queues was [halted](Self::halt), if the driver has not reset them: to
    /// be called before anything else.
    pub fn resume(&self, positions: [u16; 2]) {
        self.sending.with(|sending| sending.end.queue_mut().resume(positions[0]));
        self.receiving.with(|receiving| receiving.end().queue_mut().resume(positions[1]));
    }
}

pub(crate) fn wake_all(wakers: &mut [Option<Waker>]) {
    for waker in wakers.iter_mut().filter_map(Option::take) {
        waker.wake();
    }
}

/// Why there is no buffer.
#[cold]
pub(crate) fn no_buffer(corrupt: Option<Corrupt>) -> SendError {
    corrupt.map_or(SendError::NoBuffer, SendError::Corrupt)
}

#[cfg_attr(target_pointer_width = "64", inline(always))]
fn publish<P: Platform, R: Role>(sending: &mut Sending<OutOf<P, R>>) -> bool {
    if P::Doorbell::HEARD {
        sending.end.queue_mut().publish()
    } else {
        sending.end.queue_mut().publish_quietly();
        false
    }
}

#[cfg_attr(target_pointer_width = "64", inline(always))]
pub(crate) fn submit<P: Platform, R: Role>(
    memory: &P::Memory,
    sending: &mut Sending<OutOf<P, R>>,
    buffer: Buffer,
    header: Header,
) {
    // The queue has checked that the buffer lies in this memory, and holds a header.
    let _ = memory.copy_in(buffer.at, &header.emit());
    let bytes = HEADER as u32 + u32::from(header.len);
    memory.clean(buffer.at, bytes as usize);
    sending.end.submit(buffer, bytes);
}
