//! The host's side: a remote core that is a process.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};
use tutti_metal::{Doorbell, Memory, PhysAddr, Region, Sleep};
use tutti_remoteproc::core_dump::{Area, CoreDump};
use tutti_remoteproc::elf::{Class, Loader, Machine, Want};
use tutti_remoteproc::life::{Abilities, Action, Cause, Generation, Sign};
use tutti_remoteproc::table::{buffer_len, emit};
use tutti_remoteproc::trace::{TraceReader, Traced};
use tutti_remoteproc::{Platform, Space, Spaces};
use tutti_rpmsg::{Address, Endpoint, F_NS, Heap, Host, HostSetup, Link};
use tutti_virtio::{Corrupt, Features, Status};

use super::config::{Doing, ProcessConfig, ProcessFault};
use super::control::{self, PATIENCE, Shared, read_byte};
use super::inbox::{Delivery, Inbox, InboxError};
use super::layout::{self, Header, LayoutFault, USUAL, Word};
use super::remote::SOCKET;
use super::ring::UsedRing;
use super::{DEVICE, HostLink, Processes};
use crate::{EventBell, Mapping};

/// A process that is there.
#[derive(Debug)]
struct Running {
    /// The socket that the remote sees close when this host dies.
    stream: UnixStream,
    pidfd: OwnedFd,
    /// If this host started it.
    child: Option<Child>,
    over: bool,
}

/// What is found when a host comes back: messages that its predecessor had not delivered.
#[derive(Debug)]
struct Found {
    ring: UsedRing,
    /// The remote has written something into it that cannot be: nothing can be delivered, which is said once.
    corrupt: Option<Corrupt>,
    index: u16,
    position: u64,
    left: u16,
}

/// A remote core that is a process.
pub struct ProcessCore {
    config: ProcessConfig,
    shared: Option<Shared>,
    header: Option<Header>,
    running: Option<Running>,
    /// A remote that was found by [`Platform::find`], to be attached to.
    waiting: Option<(UnixStream, Shared)>,
    found: Option<Found>,
    link: Option<Arc<HostLink>>,
    inbox: Option<Inbox>,
    /// The position of the message that was delivered last, until it is done with.
    delivered: Option<u64>,
    heartbeat: u32,
    traces: Vec<(String, TraceReader)>,
}

impl ProcessCore {
    /// A core that will run, or runs, this program.
    #[must_use]
    pub fn new(config: ProcessConfig) -> Self {
        Self {
            config,
            shared: None,
            header: None,
            running: None,
            waiting: None,
            found: None,
            link: None,
            inbox: None,
            delivered: None,
            heartbeat: 0,
            traces: Vec::new(),
        }
    }

    /// The link with it. After an attach there is none before everything that was found has been
    /// [delivered](Self::receive) and [`relink`](Self::relink) was called.
    #[must_use]
    pub fn link(&self) -> Option<Arc<HostLink>> {
        self.link.clone()
    }

    /// What wakes this host.
    #[must_use]
    pub fn bell(&self) -> Option<&EventBell> {
        self.shared.as_ref().map(|shared| &shared.to_host)
    }

    /// The position behind everything that was committed.
    #[must_use]
    pub fn committed(&self) -> u64 {
        self.header.as_ref().map_or(0, |header| header.get_long(Word::Delivered))
    }

    /// The next message for one of the endpoints (of [`link`](Self::link)), in the order of positions. After an attach, those
    /// that were found come first, whoever they are for.
    ///
    /// To ask for the next message is to say that the last one is done with; [`commit`](Self::commit) says so at once.
    ///
    /// # Errors
    /// If the remote wrote something that cannot be, or there is no link.
    pub fn receive(&mut self, endpoints: &[&Endpoint<'_, Processes, Host>]) -> Result<Option<Delivery>, InboxError> {
        let header = self.header.as_ref().ok_or(InboxError::NotLinked)?;
        if let Some(position) = self.delivered.take() {
            header.put_long(Word::Delivered, position + 1);
        }
        if let Some(corrupt) = self.found.as_mut().and_then(|found| found.corrupt.take()) {
            return Err(corrupt.into());
        }
        while let Some(found) = self.found.as_mut().filter(|found| found.left > 0) {
            let position = found.position;
            let message = match found.ring.at(found.index) {
                Ok(message) => message,
                Err(corrupt) => {
                    found.left = 0;
                    return Err(corrupt.into());
                }
            };
            let bytes = found.ring.contents(&message);
            (found.index, found.left, found.position) = (found.index.wrapping_add(1), found.left - 1, position + 1);
            let (source, destination) = (message.header.source, message.header.destination);
            if destination != Address::NAME_SERVICE {
                self.delivered = Some(position);
                return Ok(Some(Delivery { position, source, destination, bytes }));
            }
        }
        let (Some(link), Some(inbox)) = (&self.link, &mut self.inbox) else { return Err(InboxError::NotLinked) };
        let delivery = inbox.next(link, endpoints)?;
        match &delivery {
            Some(delivery) => self.delivered = Some(delivery.position),
            // Announcements and messages to nobody are done with, too.
            None => header.put_long(Word::Delivered, inbox.done()),
        }
        Ok(delivery)
    }

    /// Notes that the last message, and all before it, are done with: a host that comes back begins behind it.
    pub fn commit(&mut self) {
        if let (Some(position), Some(header)) = (self.delivered.take(), &self.header) {
            header.put_long(Word::Delivered, position + 1);
        }
    }

    /// How many messages that were found are still to be delivered. Announcements among them count until they are passed
    /// over.
    #[must_use]
    pub fn to_deliver(&self) -> usize {
        self.found.as_ref().map_or(0, |found| usize::from(found.left))
    }

    /// Starts a new link with a remote that was attached to. Everything found must have been delivered; a corrupt ring,
    /// once that was said, counts as delivered.
    ///
    /// # Errors
    /// If not everything was delivered, or the remote is not attached, or still does not agree.
    pub fn relink(&mut self) -> Result<(), ProcessFault> {
        let header = self.header.clone().ok_or(ProcessFault::NotNow("there is no remote to link with"))?;
        if self.link.is_some() {
            return Err(ProcessFault::NotNow("the link is there already"));
        }
        if self.found.is_none() {
            self.agree()?;
        }
        let Some(found) = &self.found else { return Ok(()) };
        if found.left > 0 || found.corrupt.is_some() {
            return Err(ProcessFault::NotNow("messages were found that are not delivered yet; receive them first"));
        }
        // From here until the rings are ready a successor must not read them.
        header.put_long(Word::Delivered, found.position);
        self.delivered = None;
        header.put(Word::Resetting, 1);
        let epoch = header.get(Word::Wanted);
        self.make_link(&header, epoch)?;
        self.found = None;
        Ok(())
    }

    /// Has the remote take in what its last host sent, and looks what that host had not delivered.
    fn agree(&mut self) -> Result<(), ProcessFault> {
        const NONE: ProcessFault = ProcessFault::NotNow("the remote does not run");
        let (header, shared) = self.header.clone().zip(self.shared.as_ref()).ok_or(NONE)?;
        let running = self.running.as_ref().ok_or(NONE)?;
        let epoch = header.get(Word::Wanted).wrapping_add(1).max(1);
        header.put(Word::Wanted, epoch);
        let end = Instant::now() + PATIENCE;
        while header.get(Word::Agreed) != epoch {
            if Instant::now() > end || ended(&running.pidfd, Duration::ZERO) {
                return Err(ProcessFault::Silent("agree to a new link"));
            }
            shared.to_remote.ring(0);
            shared.to_host.sleep(Duration::from_millis(5));
        }
        let ring = UsedRing::new(shared.memory.clone(), header.queue_to_host()?);
        // If the last host died while it zeroed the rings, there is nothing in them.
        let position = header.get_long(Word::Delivered);
        let index = position.wrapping_sub(header.get_long(Word::Base)) as u16;
        let behind = if header.get(Word::Resetting) == 0 { ring.behind(index) } else { Ok(0) };
        let (left, corrupt) = behind.map_or_else(|corrupt| (0, Some(corrupt)), |left| (left, None));
        self.found = Some(Found { ring, corrupt, index, position, left });
        Ok(())
    }

    /// Hands what was written to the trace of this name since the last time to `each`; `None` if there is no such trace. The
    /// bytes are the remote's own: make them harmless before showing them.
    pub fn trace(&mut self, name: &str, each: &mut impl FnMut(&[u8])) -> Option<Traced> {
        let header = self.header.as_ref()?;
        let (_, at, len) = header.traces().into_iter().find(|(found, ..)| found == name)?;
        let known = self.traces.iter().position(|(known, _)| known == name);
        let index = known.unwrap_or_else(|| {
            self.traces.push((name.to_owned(), TraceReader::new()));
            self.traces.len() - 1
        });
        let (_, reader) = self.traces.get_mut(index)?;
        reader.read(&header.0, at, len, each).ok()
    }

    /// The names of its traces.
    #[must_use]
    pub fn trace_names(&self) -> Vec<String> {
        self.header
            .as_ref()
            .map(|header| header.traces().into_iter().map(|(name, ..)| name).collect())
            .unwrap_or_default()
    }

    /// Where its core dumps go.
    #[must_use]
    pub fn dump_file(&self) -> Option<&std::path::Path> {
        self.config.dump.as_deref()
    }

    fn configure(&mut self) -> Result<(), ProcessFault> {
        control::check_folder(&self.config.socket).doing("use the folder of the remote's socket")?;
        self.shared = Some(Shared {
            memory: Mapping::create(self.config.memory, DEVICE)?,
            to_host: EventBell::create().doing("make a doorbell")?,
            to_remote: EventBell::create().doing("make a doorbell")?,
        });
        Ok(())
    }

    fn load(&mut self) -> Result<(), ProcessFault> {
        if self.header.take().is_some() {
            // Each life has memory and doorbells of its own: whoever still holds endpoints of the last one writes to nobody.
            self.configure()?;
        }
        let shared = self.shared.as_ref().ok_or(ProcessFault::NotNow("there is no memory yet"))?;
        let table = match table_of(&self.config.program)? {
            Some(table) => table,
            None => {
                let mut table = vec![0; buffer_len(USUAL)];
                // It is as long as it is, and has two queues.
                let _ = emit(USUAL, &mut table);
                table
            }
        };
        self.header = Some(layout::serve(&shared.memory, &table)?);
        self.traces.clear();
        Ok(())
    }

    fn make_link(&mut self, header: &Header, epoch: u32) -> Result<(), ProcessFault> {
        let shared = self.shared.as_ref().ok_or(ProcessFault::NotNow("there is no memory yet"))?;
        let vdev = header.vdev()?;
        header.put_long(Word::Base, header.get_long(Word::Delivered));
        vdev.set_status(Status::RESET);
        vdev.accept(F_NS.with(Features::EVENT_IDX));
        let notify = [0, 1].map(|queue| vdev.queue(queue).map_or(0, |entry| entry.notifyid));
        let setup = HostSetup {
            features: vdev.agreed(),
            notify,
            ..HostSetup::new(header.vrings()?, shared.memory.clone(), header.get(Word::Buffers) as usize)
        };
        let bell = Shared::bell(&shared.to_remote).doing("use a doorbell")?;
        let link = Link::new(setup, bell, Heap { endpoints: self.config.endpoints });
        let link = link.map_err(|error| ProcessFault::Io { doing: "make a link", error: io::Error::other(error) })?;
        vdev.set_status(Status(7));
        let ring = UsedRing::new(shared.memory.clone(), header.queue_to_host()?);
        self.inbox = Some(Inbox::new(ring, header.get_long(Word::Base)));
        self.link = Some(Arc::new(link));
        header.put(Word::Resetting, 0);
        header.put(Word::Linked, epoch);
        shared.to_remote.ring(0);
        Ok(())
    }

    fn start(&mut self, generation: Generation) -> Result<(), ProcessFault> {
        let header = self.header.clone().ok_or(ProcessFault::NotNow("there is no firmware yet"))?;
        for word in [Word::Life, Word::Heartbeat, Word::Agreed, Word::Linked] {
            header.put(word, 0);
        }
        header.put_long(Word::Delivered, 0);
        header.put(Word::Generation, generation.0);
        header.put(Word::Resetting, 1);
        header.put(Word::Wanted, 1);
        self.heartbeat = 0;
        (self.found, self.delivered) = (None, None);
        self.make_link(&header, 1)?;
        let shared = self.shared.as_ref().ok_or(ProcessFault::NotNow("there is no memory yet"))?;
        let (near, far) = UnixStream::pair().doing("make a socket")?;
        near.set_read_timeout(Some(PATIENCE)).doing("make a socket")?;
        let child = Command::new(&self.config.program)
            .args(&self.config.arguments)
            .envs(self.config.environment.iter().cloned())
            .env(SOCKET, &self.config.socket)
            .stdin(Stdio::from(OwnedFd::from(far)))
            // Not in this host's group: what ends the host from a terminal does not end the remote.
            .process_group(0)
            .spawn()
            .doing("start the program")?;
        let pid = Pid::from_child(&child);
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty()).doing("watch the program")?;
        self.running = Some(Running { stream: near, pidfd, child: Some(child), over: false });
        let ready = self.running.as_ref().map(|running| {
            shared.send(&running.stream)?;
            read_byte(&running.stream)
        });
        match ready {
            Some(Ok(b'r')) => Ok(()),
            other => {
                self.halt()?;
                let error = match other {
                    Some(Err(error)) => error,
                    _ => io::ErrorKind::InvalidData.into(),
                };
                Err(ProcessFault::Io { doing: "hand the memory over to the program", error })
            }
        }
    }

    fn ask(&self) -> Result<(), ProcessFault> {
        let shutdown = self.config.shutdown.as_ref().ok_or(ProcessFault::NotNow("no way to ask it was configured"))?;
        let link = self.link.as_ref().ok_or(ProcessFault::NotNow("the remote is not linked"))?;
        let from = link.endpoint(None, Address::ANY);
        let from =
            from.map_err(|error| ProcessFault::Io { doing: "open an endpoint", error: io::Error::other(error) })?;
        let sent = from.try_send(shutdown.to, &shutdown.bytes);
        sent.map_err(|error| ProcessFault::Io { doing: "send the message", error: io::Error::other(error) })
    }

    fn signal(&self, signal: Signal, doing: &'static str) -> Result<(), ProcessFault> {
        let running = self.running.as_ref().ok_or(ProcessFault::NotNow("the remote does not run"))?;
        match rustix::process::pidfd_send_signal(&running.pidfd, signal) {
            // It has ended already.
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(ProcessFault::Io { doing, error: error.into() }),
        }
    }

    fn halt(&mut self) -> Result<(), ProcessFault> {
        if self.running.is_none() {
            return Ok(());
        }
        self.signal(Signal::KILL, "kill the program")?;
        if let Some(running) = &mut self.running {
            if !ended(&running.pidfd, PATIENCE) {
                return Err(ProcessFault::Silent("end after it was killed"));
            }
            if let Some(child) = &mut running.child {
                let _ = child.wait();
            }
        }
        // The remote's socket has nobody behind it any more.
        let _ = control::remove_stale(&self.config.socket);
        (self.running, self.link, self.inbox, self.found) = (None, None, None, None);
        Ok(())
    }

    fn attach(&mut self) -> Result<Generation, ProcessFault> {
        let (stream, shared) = match self.waiting.take() {
            Some(found) => found,
            None => control::connect(&self.config.socket)
                .doing("connect to the remote")?
                .ok_or(ProcessFault::NotNow("no remote listens there any more"))?,
        };
        let header = Header::open(shared.memory.clone())?;
        let peer = rustix::net::sockopt::socket_peercred(&stream).doing("ask who the remote is")?;
        let pidfd = rustix::process::pidfd_open(peer.pid, PidfdFlags::empty()).doing("watch the remote")?;
        let child = self.running.take().and_then(|running| running.child);
        let generation = header.generation();
        self.heartbeat = header.get(Word::Heartbeat);
        (self.shared, self.header) = (Some(shared), Some(header));
        self.running = Some(Running { stream, pidfd, child, over: false });
        (self.link, self.inbox, self.found, self.delivered) = (None, None, None, None);
        match self.agree() {
            // It is attached all the same, so that it can be stopped; `relink` asks it again.
            Err(ProcessFault::Silent(_)) => return Ok(generation),
            other => other?,
        }
        if self.found.as_ref().is_some_and(|found| found.left == 0 && found.corrupt.is_none()) {
            self.relink()?;
        }
        Ok(generation)
    }

    fn detach(&mut self) -> Result<(), ProcessFault> {
        let running = self.running.as_mut().ok_or(ProcessFault::NotNow("the remote does not run"))?;
        running.stream.shutdown(std::net::Shutdown::Both).doing("let go of the remote")?;
        (self.link, self.inbox, self.found) = (None, None, None);
        Ok(())
    }

    fn dump(&self) -> Result<(), ProcessFault> {
        let path = self.config.dump.as_ref().ok_or(ProcessFault::NotNow("no place for core dumps was configured"))?;
        let shared = self.shared.as_ref().ok_or(ProcessFault::NotNow("there is no memory"))?;
        let name = "shared memory";
        let space = [Space { name, da: DEVICE, pa: PhysAddr(DEVICE.0), memory: shared.memory.clone() }];
        let areas = [Area { da: DEVICE, len: shared.memory.len() as u64, flags: 6 }];
        let machine = if cfg!(target_arch = "aarch64") { Machine::AARCH64 } else { Machine::X86_64 };
        let dump = CoreDump { class: Class::Elf64, machine, areas: &areas, registers: &[] };
        let file = File::create(path).doing("write the core dump")?;
        let mut file = io::BufWriter::new(file);
        let written = dump.write(&Spaces(&space), |bytes| file.write_all(bytes));
        written.map_err(io::Error::other).and_then(|()| file.flush()).doing("write the core dump")
    }
}

/// Whether a process has ended, waiting for it at most so long.
fn ended(pidfd: &OwnedFd, at_most: Duration) -> bool {
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    let tv_sec = i64::try_from(at_most.as_secs()).unwrap_or(i64::MAX);
    let timeout = Timespec { tv_sec, tv_nsec: i64::from(at_most.subsec_nanos()) };
    matches!(rustix::event::poll(&mut fds, Some(&timeout)), Ok(ready) if ready > 0)
}

/// The resource table in a program's file, if it has one.
fn table_of(program: &std::path::Path) -> Result<Option<Vec<u8>>, ProcessFault> {
    const DOING: &str = "read the program";
    let file = File::open(program).doing(DOING)?;
    let mut loader = Loader::<64>::new(file.metadata().doing(DOING)?.len(), 4096);
    let mut bytes = Vec::new();
    while let Some(Want { offset, len }) = loader.want()? {
        bytes.resize(len, 0);
        file.read_exact_at(&mut bytes, offset).doing(DOING)?;
        loader.give::<Region<'_>>(&bytes, None)?;
    }
    let Some(section) = loader.image().and_then(|image| image.table) else { return Ok(None) };
    let len = usize::try_from(section.len).ok().filter(|&len| len <= 1 << 16);
    let mut table = vec![0; len.ok_or(LayoutFault::TooLong(usize::MAX))?];
    file.read_exact_at(&mut table, section.offset).doing(DOING)?;
    Ok(Some(table))
}

impl Platform for ProcessCore {
    type Fault = ProcessFault;

    fn abilities(&self) -> Abilities {
        Abilities { ask: self.config.shutdown.is_some(), dump: self.config.dump.is_some(), ..Abilities::ALL }
    }

    fn find(&mut self) -> Result<Option<Generation>, ProcessFault> {
        if let Some(running) = &self.running
            && self.link.is_some()
        {
            let there = !ended(&running.pidfd, Duration::ZERO);
            return Ok(self.header.as_ref().filter(|_| there).map(Header::generation));
        }
        self.waiting = control::connect(&self.config.socket).doing("connect to the remote")?;
        let Some((_, shared)) = &self.waiting else { return Ok(None) };
        Ok(Some(Header::open(shared.memory.clone())?.generation()))
    }

    fn perform(&mut self, action: Action) -> Result<Option<Generation>, ProcessFault> {
        match action {
            Action::Configure => self.configure()?,
            Action::Load => self.load()?,
            Action::Start(generation) => self.start(generation)?,
            Action::Ask => self.ask()?,
            Action::Halt => self.halt()?,
            Action::Suspend => self.signal(Signal::STOP, "suspend the program")?,
            Action::Resume => self.signal(Signal::CONT, "resume the program")?,
            Action::Attach => return self.attach().map(Some),
            Action::Detach => self.detach()?,
            Action::Dump => self.dump()?,
            Action::Release => (self.shared, self.header) = (None, None),
        }
        Ok(None)
    }

    fn observe(&mut self) -> Option<(Generation, Sign)> {
        let header = self.header.as_ref()?;
        let generation = header.generation();
        let running = self.running.as_mut().filter(|running| !running.over)?;
        if ended(&running.pidfd, Duration::ZERO) {
            running.over = true;
            let status = running.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            let well = header.get(Word::Life) == 2;
            let fault = status.and_then(|status| {
                use std::os::unix::process::ExitStatusExt;
                status.signal().or(status.code()).map(|code| code as u32)
            });
            let sign = match fault {
                _ if well => Sign::Ended,
                Some(fault) => Sign::Crashed(Cause::Fault(fault)),
                None => Sign::Crashed(Cause::Ended),
            };
            return Some((generation, sign));
        }
        let heartbeat = header.get(Word::Heartbeat);
        (heartbeat != self.heartbeat).then(|| {
            self.heartbeat = heartbeat;
            (generation, Sign::Heartbeat)
        })
    }
}
