//! A front end's connection: its socket, its files, and what it has described with them.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags};
use tutti_metal::Doorbell;
use tutti_rpmsg::RemoteSetup;
use tutti_virtio::{Features, Layout, Vring};

use super::wire::{self, MessageHeader};
use super::{Effect, GuestMemory, MOST_REGIONS, Offer, QUEUES, Session, Table, Unsealed, VhostError};
use crate::bell::timespec;

/// How long a message that has begun may take, either way.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a step saw.
#[derive(Debug)]
pub enum Event {
    /// Nothing, in the time that it had.
    Nothing,
    /// The driver kicked a queue: the link's turn.
    Kicked,
    /// The front end said something that changes nothing for the link.
    Said,
    /// The driver is there: a link can be made.
    Started(Rings),
    /// The driver wants its memory back: [halt](tutti_rpmsg::Link::halt) the link, and hand what that says to
    /// [`Connection::halted`]. The front end is answered by the next step, and waits until then.
    Stopping,
}

/// What a link over a front end's memory is made from.
#[derive(Clone, Debug)]
pub struct Rings {
    /// Queue 0, remote to host, and queue 1, host to remote.
    pub vrings: [Vring<GuestMemory>; QUEUES],
    /// The memory in which buffers may lie.
    pub memory: GuestMemory,
    /// What was agreed on.
    pub features: Features,
    /// At which index each queue goes on; not 0 if the driver did not start anew.
    pub base: [u16; QUEUES],
    /// What wakes the driver.
    pub bell: CallBell,
}

impl Rings {
    /// A remote's setup.
    #[must_use]
    pub fn setup(&self) -> RemoteSetup<GuestMemory> {
        let mut setup = RemoteSetup::new(self.vrings.clone(), self.memory.clone());
        setup.features = self.features;
        setup
    }
}

/// Wakes the driver by the files that the front end passed for it, whichever those are at the moment.
#[derive(Clone, Debug, Default)]
pub struct CallBell(Arc<[Mutex<Option<OwnedFd>>; QUEUES]>);

impl CallBell {
    fn set(&self, queue: usize, file: Option<OwnedFd>) {
        if let Some(slot) = self.0.get(queue) {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = file;
        }
    }
}

impl Doorbell for CallBell {
    fn ring(&self, queue: u32) {
        let Some(slot) = self.0.get(queue as usize) else { return };
        if let Some(file) = &*slot.lock().unwrap_or_else(PoisonError::into_inner) {
            // An eventfd or a pipe that never blocks. Full means that it has been rung; gone, that nobody listens.
            let _ = rustix::io::write(file, &1u64.to_ne_bytes());
        }
    }
}

/// The connection of one front end.
#[derive(Debug)]
pub struct Connection {
    socket: UnixStream,
    session: Session<OwnedFd>,
    unsealed: Unsealed,
    memory: Option<GuestMemory>,
    /// What replaces it, once the link has been halted.
    remapped: Option<GuestMemory>,
    calls: CallBell,
    /// The front end takes its device away when this is closed.
    kept: Option<OwnedFd>,
    running: bool,
    /// Whether a queue was kicked since both may run.
    kicked: bool,
    positions: [u16; QUEUES],
    /// Whether the queues start anew next time, wherever they stopped.
    was_reset: bool,
    /// What is to be answered once the link has been halted.
    owed: Option<Owed>,
}

/// An answer that waits.
#[derive(Debug)]
enum Owed {
    /// This.
    Bytes(Vec<u8>),
    /// Where this queue would go on.
    Position(usize),
}

impl Connection {
    /// Over a socket that a front end has connected to.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn new(socket: UnixStream, offer: Offer, unsealed: Unsealed) -> Result<Self, VhostError> {
        socket.set_nonblocking(true).map_err(VhostError::Os)?;
        Ok(Self {
            socket,
            session: Session::new(offer),
            unsealed,
            memory: None,
            remapped: None,
            calls: CallBell::default(),
            kept: None,
            running: false,
            kicked: false,
            positions: [0; QUEUES],
            was_reset: false,
            owed: None,
        })
    }

    /// The link has been halted; it said where its queues would go on. Those that cannot go on start from the
    /// beginning.
    pub fn halted(&mut self, positions: [Option<u16>; QUEUES]) {
        if self.was_reset {
            return;
        }
        self.positions = positions.map(Option::unwrap_or_default);
    }

    /// Whether both queues run.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Waits for the front end or the driver, but no longer than `within`, and takes in what one of them says.
    ///
    /// # Errors
    /// When the connection is over, whatever the reason. The link is to be dropped then, too.
    pub fn step(&mut self, within: Duration) -> Result<Event, VhostError> {
        self.pay()?;
        if self.kicked && !self.running {
            return self.start();
        }
        let (said, kicked) = self.wait(within)?;
        // The socket first: what it says may be that the queues are to stop.
        if said {
            return self.hear();
        }
        let mut any = false;
        for queue in (0..QUEUES).filter(|&queue| kicked[queue]) {
            any |= self.drain(queue);
        }
        if let Some(event) = self.stop() {
            return Ok(event);
        }
        match (any, self.running) {
            (true, true) => Ok(Event::Kicked),
            (true, false) => self.start(),
            (false, _) => Ok(Event::Nothing),
        }
    }

    /// Whether the link has to stop, now that the front end has spoken or a kick has gone.
    fn stop(&mut self) -> Option<Event> {
        if self.session.runs() {
            return None;
        }
        self.kicked = false;
        core::mem::take(&mut self.running).then_some(Event::Stopping)
    }

    /// Gives the answer that waited for the link.
    fn pay(&mut self) -> Result<(), VhostError> {
        let answer = match self.owed.take() {
            None => return Ok(()),
            Some(Owed::Bytes(answer)) => answer,
            Some(Owed::Position(queue)) => {
                self.session.position(queue, self.positions.get(queue).copied().unwrap_or_default())
            }
        };
        self.send(&answer, Instant::now() + PATIENCE)
    }

    /// Both queues may run, and one of them was kicked. Before that the driver is not ready, although its buffers may
    /// be there already: Linux would lose what it is told.
    fn start(&mut self) -> Result<Event, VhostError> {
        let rings = self.rings()?;
        (self.running, self.kicked, self.was_reset) = (true, true, false);
        Ok(Event::Started(rings))
    }

    /// Whether the socket has something, and which queues were kicked.
    fn wait(&self, within: Duration) -> Result<(bool, [bool; QUEUES]), VhostError> {
        let mut fds = vec![PollFd::new(&self.socket, PollFlags::IN)];
        let mut whose = Vec::new();
        for (index, queue) in self.session.queues().iter().enumerate() {
            if let Some(kick) = queue.kick.as_ref().filter(|_| self.session.runs()) {
                fds.push(PollFd::new(kick, PollFlags::IN));
                whose.push(index);
            }
        }
        match rustix::event::poll(&mut fds, Some(&timespec(within))) {
            // Interrupted: nothing happened, in less time than there was.
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut kicked = [false; QUEUES];
        for (fd, index) in fds.iter().skip(1).zip(whose) {
            kicked[index] = !fd.revents().is_empty();
        }
        Ok((fds.first().is_some_and(|fd| !fd.revents().is_empty()), kicked))
    }

    /// Empties a kick file; true if it was rung. One that is at its end is of no more use.
    fn drain(&mut self, queue: usize) -> bool {
        let Some(kick) = self.session.queues().get(queue).and_then(|queue| queue.kick.as_ref()) else { return false };
        match rustix::io::read(kick, &mut [0u8; 8]) {
            Ok(1..) => true,
            Err(Errno::AGAIN | Errno::INTR) => false,
            Ok(0) | Err(_) => {
                self.session.drop_kick(queue);
                false
            }
        }
    }

    /// Takes one message in, does what it asks, and answers; but if the link is to stop, only after that.
    fn hear(&mut self) -> Result<Event, VhostError> {
        let deadline = Instant::now() + PATIENCE;
        let (header, payload, files) = self.receive(deadline)?;
        let answer = match self.obey(header, &payload, files) {
            Ok(answer) => answer.or_else(|| self.session.acknowledgement(header, true).map(Owed::Bytes)),
            Err(error) => {
                if let Some(answer) = self.session.acknowledgement(header, false) {
                    // Why it was refused says more than that it did not stay for the answer.
                    let _ = self.send(&answer, deadline);
                }
                return Err(error);
            }
        };
        self.owed = answer;
        if let Some(event) = self.stop() {
            return Ok(event);
        }
        if let Some(remapped) = self.remapped.take() {
            // The rings that run lie in the new memory from now on: the link is made anew.
            self.memory = Some(remapped);
            self.running = false;
            return Ok(Event::Stopping);
        }
        self.pay()?;
        Ok(Event::Said)
    }

    fn obey(&mut self, header: MessageHeader, payload: &[u8], files: Vec<OwnedFd>) -> Result<Option<Owed>, VhostError> {
        for file in &files {
            never_block(file)?;
        }
        let (effect, answer) = self.session.handle(header, payload, files)?;
        match effect {
            Effect::None => {}
            Effect::Memory(regions, files) => {
                let table = Table::new(regions).map_err(super::GuestMemoryError::Table)?;
                let memory = GuestMemory::map(table, &files, self.unsealed)?;
                *if self.running { &mut self.remapped } else { &mut self.memory } = Some(memory);
            }
            Effect::Call(queue, file) => self.calls.set(queue, file),
            Effect::Position(queue) => return Ok(Some(Owed::Position(queue))),
            Effect::Base(queue, base) => {
                if let Some(position) = self.positions.get_mut(queue) {
                    *position = base;
                }
            }
            Effect::Reset => (self.positions, self.was_reset) = ([0; QUEUES], true),
            Effect::Keep(file) => self.kept = Some(file),
        }
        Ok(answer.map(Owed::Bytes))
    }

    /// The queues where the front end says that they are.
    fn rings(&self) -> Result<Rings, VhostError> {
        // Nothing runs without memory.
        let memory = self.memory.clone().ok_or(VhostError::Gone)?;
        let features = self.session.features();
        let vring = |index: usize| {
            let queue = &self.session.queues()[index];
            // Nothing runs without a size and addresses.
            let (size, at) = queue.size.zip(queue.at).ok_or(VhostError::Gone)?;
            let n = usize::from(size.get());
            let place = |user, len| {
                memory.offset_of_user(user, len).map_err(|address| VhostError::Outside { queue: index, address })
            };
            let layout = Layout {
                size,
                descriptors: place(at.descriptors, 16 * n)?,
                available: place(at.available, 6 + 2 * n)?,
                used: place(at.used, 6 + 8 * n)?,
            };
            Vring::new(memory.clone(), layout).map_err(|error| VhostError::Layout { queue: index, error })
        };
        let vrings = [vring(0)?, vring(1)?];
        Ok(Rings { vrings, memory, features, base: self.positions, bell: self.calls.clone() })
    }

    fn receive(&self, deadline: Instant) -> Result<(MessageHeader, Vec<u8>, Vec<OwnedFd>), VhostError> {
        let mut header = [0; wire::HEADER];
        let mut files = Vec::new();
        self.fill(&mut header, &mut files, deadline)?;
        let header = MessageHeader::parse(&header)?;
        let mut payload = vec![0; header.size];
        self.fill(&mut payload, &mut files, deadline)?;
        Ok((header, payload, files))
    }

    /// Fills `to` from the socket; files that come along are added.
    fn fill(&self, to: &mut [u8], files: &mut Vec<OwnedFd>, deadline: Instant) -> Result<(), VhostError> {
        let mut filled = 0;
        while filled < to.len() {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_REGIONS))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let rest = to.get_mut(filled..).unwrap_or_default();
            let received =
                rustix::net::recvmsg(&self.socket, &mut [IoSliceMut::new(rest)], &mut control, RecvFlags::CMSG_CLOEXEC);
            match received {
                Ok(received) => {
                    for message in control.drain() {
                        if let RecvAncillaryMessage::ScmRights(passed) = message {
                            files.extend(passed);
                        }
                    }
                    if received.flags.contains(ReturnFlags::CTRUNC) || files.len() > MOST_REGIONS {
                        return Err(VhostError::TooManyFiles);
                    }
                    match received.bytes {
                        0 => return Err(VhostError::Gone),
                        bytes => filled += bytes,
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.ready(PollFlags::IN, deadline)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn send(&self, bytes: &[u8], deadline: Instant) -> Result<(), VhostError> {
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            let mut none = rustix::net::SendAncillaryBuffer::default();
            match rustix::net::sendmsg(&self.socket, &[IoSlice::new(rest)], &mut none, SendFlags::NOSIGNAL) {
                Ok(bytes) => sent += bytes,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.ready(PollFlags::OUT, deadline)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Waits until the socket can go on, to the deadline.
    fn ready(&self, flags: PollFlags, deadline: Instant) -> Result<(), VhostError> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(VhostError::Stalled);
        }
        match rustix::event::poll(&mut [PollFd::new(&self.socket, flags)], Some(&timespec(left))) {
            Ok(0) => Err(VhostError::Stalled),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// So that a file of the front end's choice cannot hold us up.
fn never_block(file: &OwnedFd) -> Result<(), Errno> {
    let flags = rustix::fs::fcntl_getfl(file)?;
    rustix::fs::fcntl_setfl(file, flags | rustix::fs::OFlags::NONBLOCK)
}
