//! The node as a process, and what it says: its lines for the log, its words for its keeper.

use std::{
    fs, io,
    io::Read,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{net::UnixDatagram, process::CommandExt},
    },
    path::Path,
    process::{Command, Stdio},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::notify::{self, Said};

/// Where the node tells its keeper how it is.
pub(crate) const NOTIFY: &str = "/run/tutti/notify";

/// The longest line of a program; longer ones are cut in pieces.
const LINE: usize = 4096;

/// Lines and words that are taken at one time.
const AT_ONCE: usize = 64;

/// A program that was started. Its end is found out by whoever waits for all processes.
pub(crate) struct Process {
    pub(crate) pid: Pid,
    outputs: Vec<Lines>,
}

impl Process {
    /// Starts it with nothing to read, in a group of its own.
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn()?;
        let pid = Pid::from_child(&child);
        let out = child.stdout.take().map(OwnedFd::from);
        let err = child.stderr.take().map(OwnedFd::from);
        let outputs = out.into_iter().chain(err).map(Lines::new).collect::<io::Result<_>>()?;
        Ok(Self { pid, outputs })
    }

    pub(crate) fn terminate(&self) {
        // One that has ended already needs no signal.
        let _ = kill_process(self.pid, Signal::TERM);
    }

    pub(crate) fn kill(&self) {
        let _ = kill_process_group(self.pid, Signal::KILL);
    }

    pub(crate) fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.outputs.iter().filter(|output| output.open).map(|output| output.file.as_fd())
    }

    /// Gives the lines that it has said.
    pub(crate) fn read(&mut self, mut take: impl FnMut(&str)) {
        self.outputs.iter_mut().for_each(|output| output.read(&mut take));
    }
}

/// A pipe that lines come from.
struct Lines {
    file: fs::File,
    begun: Vec<u8>,
    open: bool,
}

impl Lines {
    fn new(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self { file: fd.into(), begun: Vec::new(), open: true })
    }

    fn read(&mut self, take: &mut impl FnMut(&str)) {
        let mut piece = [0; LINE];
        for _ in 0..AT_ONCE {
            if !self.open {
                return;
            }
            match self.file.read(&mut piece) {
                Ok(0) => self.open = false,
                Ok(len) => self.begun.extend(piece.get(..len).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => self.open = false,
            }
            while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.begun.drain(..=end).collect();
                take(String::from_utf8_lossy(&line).trim_end());
            }
            if !self.begun.is_empty() && (self.begun.len() >= LINE || !self.open) {
                let line = std::mem::take(&mut self.begun);
                take(String::from_utf8_lossy(&line).trim_end());
            }
        }
    }
}

/// The socket behind `$NOTIFY_SOCKET`.
pub(crate) struct Notify(UnixDatagram);

impl Notify {
    pub(crate) fn open() -> io::Result<Self> {
        if let Some(folder) = Path::new(NOTIFY).parent() {
            fs::create_dir_all(folder)?;
            // Whoever can reach the socket could speak for the node.
            fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        }
        let _ = fs::remove_file(NOTIFY);
        let socket = UnixDatagram::bind(NOTIFY)?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// What was said since the last time.
    pub(crate) fn hear(&self) -> Vec<Said> {
        let mut said = Vec::new();
        let mut datagram = [0; notify::MAX];
        for _ in 0..AT_ONCE {
            match self.0.recv(&mut datagram) {
                Ok(len) => said.extend(notify::parse(datagram.get(..len).unwrap_or_default())),
                Err(_) => break,
            }
        }
        said
    }
}
