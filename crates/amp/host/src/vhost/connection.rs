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
    /// The driver is there. Whatever link there was is void.
    Started(Rings),
    /// The driver is gone: the link is to be dropped before the next step.
    Stopped,
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
    calls: CallBell,
    /// The front end takes its device away when this is closed.
    kept: Option<OwnedFd>,
    running: bool,
    positions: [u16; QUEUES],
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
            calls: CallBell::default(),
            kept: None,
            running: false,
            positions: [0; QUEUES],
        })
    }

    /// Tells at which index each queue would go on ([`Link::positions`](tutti_rpmsg::Link::positions)): to be told whenever a
    /// link is about to be left, so that a front end that stops the queues can hand them on.
    pub fn set_positions(&mut self, positions: [u16; QUEUES]) {
        self.positions = positions;
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
        let (said, kicked) = self.wait(within)?;
        // The socket first: what it says may be that the queues have stopped.
        if said {
            return self.hear();
        }
        let mut any = false;
        for queue in (0..QUEUES).filter(|&queue| kicked[queue]) {
            any |= self.drain(queue);
        }
        match (any, self.running, self.session.runs()) {
            (_, true, false) => {
                self.running = false;
                Ok(Event::Stopped)
            }
            (true, true, true) => Ok(Event::Kicked),
            _ => Ok(Event::Nothing),
        }
    }

    /// Whether the socket has something, and which queues were kicked.
    fn wait(&self, within: Duration) -> Result<(bool, [bool; QUEUES]), VhostError> {
        let mut fds = vec![PollFd::new(&self.socket, PollFlags::IN)];
        let mut whose = Vec::new();
        for (index, queue) in self.session.queues().iter().enumerate() {
            if let Some(kick) = queue.kick.as_ref().filter(|_| self.running) {
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

    /// Takes one message in, does what it asks, and answers.
    fn hear(&mut self) -> Result<Event, VhostError> {
        let deadline = Instant::now() + PATIENCE;
        let (header, payload, files) = self.receive(deadline)?;
        let result = self.obey(header, &payload, files);
        let answer = match &result {
            Ok((_, Some(answer))) => Some(answer.clone()),
            other => self.session.acknowledgement(header, other.is_ok()),
        };
        if let Some(answer) = answer {
            let sent = self.send(&answer, deadline);
            // The reason why it was refused says more than that it did not stay for the answer.
            if result.is_ok() {
                sent?;
            }
        }
        result.map(|(event, _)| event)
    }

    fn obey(
        &mut self,
        header: MessageHeader,
        payload: &[u8],
        files: Vec<OwnedFd>,
    ) -> Result<(Event, Option<Vec<u8>>), VhostError> {
        for file in &files {
            never_block(file)?;
        }
        let (effect, mut answer) = self.session.handle(header, payload, files)?;
        let mut remade = false;
        match effect {
            Effect::None => {}
            Effect::Memory(regions, files) => {
                let table = Table::new(regions).map_err(super::GuestMemoryError::Table)?;
                self.memory = Some(GuestMemory::map(table, &files, self.unsealed)?);
                // Rings that run on are looked for in the new memory.
                remade = self.running;
            }
            Effect::Call(queue, file) => self.calls.set(queue, file),
            Effect::Position(queue) => {
                answer = Some(self.session.position(queue, self.positions.get(queue).copied().unwrap_or(0)));
            }
            Effect::Keep(file) => self.kept = Some(file),
        }
        let event = match (self.running, self.session.runs()) {
            (false, true) => {
                self.positions = self.session.queues().each_ref().map(|queue| queue.base);
                Event::Started(self.rings()?)
            }
            (true, true) if remade => Event::Started(self.rings()?),
            (true, false) => Event::Stopped,
            _ => Event::Said,
        };
        self.running = self.session.runs();
        Ok((event, answer))
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
