//! The remote's side: what a program uses that is a remote core.

use std::fmt;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tutti_metal::{Doorbell, Memory, Sleep, Wake};
use tutti_remoteproc::life::Generation;
use tutti_remoteproc::trace::TraceWriter;
use tutti_rpmsg::{Heap, Link, RemoteSetup, SetupError};

use super::RemoteLink;
use super::control::{self, PATIENCE, Shared, read_byte};
use super::layout::{Header, LayoutFault, Word};
use crate::{EventBell, SharedMemory};

/// Where a remote is told to listen.
pub(super) const SOCKET: &str = "TUTTI_REMOTE_SOCKET";

/// Why a program is no remote.
#[derive(Debug)]
pub enum JoinError {
    /// It was not started as one.
    NotARemote,
    /// The host did not hand over what it should.
    Io(io::Error),
    /// The memory is not laid out as it should be.
    Layout(LayoutFault),
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARemote => f.write_str("this program was not started as a remote core; start it with a host"),
            Self::Io(error) => write!(f, "the host did not hand the shared memory over: {error}"),
            Self::Layout(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for JoinError {}

impl From<io::Error> for JoinError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<LayoutFault> for JoinError {
    fn from(error: LayoutFault) -> Self {
        Self::Layout(error)
    }
}

/// Why a link could not be had, or had again.
#[derive(Debug)]
pub enum PortError {
    /// The host did not get ready in time.
    NoHost,
    /// The memory is not laid out as it should be.
    Layout(LayoutFault),
    /// The link could not be set up.
    Setup(SetupError),
    /// The doorbell could not be used.
    Io(io::Error),
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHost => f.write_str("the host did not get ready in time; ask again when it is back"),
            Self::Layout(error) => error.fmt(f),
            Self::Setup(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PortError {}

impl From<LayoutFault> for PortError {
    fn from(error: LayoutFault) -> Self {
        Self::Layout(error)
    }
}

/// What the remote is to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// Its work.
    GoOn,
    /// A new host is there: take in and answer everything that waits, then call [`RemotePort::relink`].
    Relink,
}

/// A remote's end of what it shares with its host.
#[derive(Debug)]
pub struct RemotePort {
    header: Header,
    shared: Shared,
    epoch: u32,
}

impl RemotePort {
    /// Takes over what the host shares, and listens for hosts to come. The host is at the other end of standard input.
    ///
    /// # Errors
    /// If this program was not started as a remote, or the host does not do its part.
    pub fn join() -> Result<Self, JoinError> {
        let path = std::env::var_os(SOCKET).map(PathBuf::from).ok_or(JoinError::NotARemote)?;
        let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        stream.set_read_timeout(Some(PATIENCE))?;
        let shared = Shared::receive(&stream, super::DEVICE)?;
        let header = Header::open(shared.memory.clone())?;
        control::check_folder(&path)?;
        control::remove_stale(&path)?;
        let listener = UnixListener::bind(&path)?;
        let keep = Shared {
            memory: shared.memory.clone(),
            to_host: Shared::bell(&shared.to_host)?,
            to_remote: Shared::bell(&shared.to_remote)?,
        };
        stream.set_read_timeout(None)?;
        let first = stream.try_clone()?;
        std::thread::Builder::new().name("hosts".into()).spawn(move || serve(&first, &listener, &keep))?;
        header.put(Word::Life, 1);
        (&stream).write_all(b"r")?;
        Ok(Self { header, shared, epoch: 0 })
    }

    /// In which generation this is.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.header.generation()
    }

    /// The shared memory.
    #[must_use]
    pub fn memory(&self) -> &SharedMemory {
        &self.shared.memory
    }

    /// The link with the host, once that is ready.
    ///
    /// # Errors
    /// If it does not get ready in time, or described queues that cannot be.
    pub fn link(&mut self, endpoints: usize) -> Result<RemoteLink, PortError> {
        let end = Instant::now() + PATIENCE;
        let vdev = self.header.vdev()?;
        while !vdev.status().is_ready() || self.header.get(Word::Linked) == 0 {
            if Instant::now() > end {
                return Err(PortError::NoHost);
            }
            self.shared.to_remote.sleep(Duration::from_millis(2));
        }
        self.epoch = self.header.get(Word::Linked);
        let features = vdev.agreed();
        let notify =
            [vdev.queue(0).map_err(LayoutFault::from)?.notifyid, vdev.queue(1).map_err(LayoutFault::from)?.notifyid];
        let vrings = self.header.vrings()?;
        let setup = RemoteSetup { features, notify, ..RemoteSetup::new(vrings, self.shared.memory.clone()) };
        let bell = Shared::bell(&self.shared.to_host).map_err(PortError::Io)?;
        Link::new(setup, bell, Heap { endpoints }).map_err(PortError::Setup)
    }

    /// What to do next. To be asked in every round.
    #[must_use]
    pub fn work(&self) -> Work {
        if self.header.get(Word::Wanted) == self.epoch { Work::GoOn } else { Work::Relink }
    }

    /// Lets a new host zero the rings, and starts anew with it. Everything that had arrived must have been taken.
    ///
    /// # Errors
    /// [`PortError::NoHost`] if that host died, too; [`work`](Self::work) says when there is another one. The link must not
    /// be used until this has succeeded.
    pub fn relink(&mut self, link: &RemoteLink) -> Result<(), PortError> {
        let wanted = self.header.get(Word::Wanted);
        self.header.put(Word::Agreed, wanted);
        self.shared.to_host.ring(0);
        let end = Instant::now() + PATIENCE;
        while self.header.get(Word::Linked) != wanted {
            if Instant::now() > end || self.header.get(Word::Wanted) != wanted {
                return Err(PortError::NoHost);
            }
            self.heartbeat();
            self.shared.to_remote.sleep(Duration::from_millis(20));
        }
        self.epoch = wanted;
        link.reset(self.header.vdev()?.agreed());
        Ok(())
    }

    /// Gives a sign of life.
    pub fn heartbeat(&self) {
        let count = self.header.get(Word::Heartbeat);
        self.header.put(Word::Heartbeat, count.wrapping_add(1));
    }

    /// Sleeps until the host rings, but no longer than `at_most`.
    pub fn sleep(&self, at_most: Duration) -> Wake {
        self.shared.to_remote.sleep(at_most)
    }

    /// What makes the host look.
    #[must_use]
    pub fn bell(&self) -> &EventBell {
        &self.shared.to_host
    }

    /// A writer for the trace of this name in the resource table.
    #[must_use]
    pub fn trace(&self, name: &str) -> Option<TraceWriter<SharedMemory>> {
        let (_, at, len) = self.header.traces().into_iter().find(|(found, ..)| found == name)?;
        TraceWriter::new(self.shared.memory.clone(), at, len).ok()
    }

    /// Says that this ends well. To be called just before the program ends because it was asked to.
    pub fn end(self) {
        self.header.put(Word::Life, 2);
        self.shared.to_host.ring(0);
    }
}

/// Hands everything back to each host that comes, one after the other.
fn serve(first: &UnixStream, listener: &UnixListener, shared: &Shared) {
    // The first host holds its end until it dies.
    let _ = read_byte(first);
    for host in listener.incoming().flatten() {
        let _ = hand_over(&host, shared);
    }
}

fn hand_over(host: &UnixStream, shared: &Shared) -> io::Result<()> {
    host.set_read_timeout(Some(PATIENCE))?;
    host.set_write_timeout(Some(PATIENCE))?;
    if read_byte(host)? != b'A' {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a host asks with an A"));
    }
    shared.send(host)?;
    host.set_read_timeout(None)?;
    // Until it dies or lets go.
    while read_byte(host).is_ok() {}
    Ok(())
}

impl Drop for RemotePort {
    fn drop(&mut self) {
        // Wakes whoever waits for a sign; how this ended stands in the header, or does not.
        self.shared.memory.fence();
        self.shared.to_host.ring(0);
    }
}
