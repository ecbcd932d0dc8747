//! Endpoints as files: `/dev/rpmsg_ctrlN` makes them, `/dev/rpmsgN` is one.
#![allow(unsafe_code, reason = "the kernel's interface for making endpoints is an ioctl")]

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::ioctl::{Setter, opcode};
use tutti_rpmsg::{Address, Name};

/// The kernel's `struct rpmsg_endpoint_info` (`include/uapi/linux/rpmsg.h`).
#[repr(C)]
struct Info {
    name: [u8; 32],
    src: u32,
    dst: u32,
}

const CREATE: rustix::ioctl::Opcode = opcode::write::<Info>(0xb5, 1);
const DESTROY: rustix::ioctl::Opcode = opcode::none(0xb5, 2);

/// Why there is no endpoint.
#[derive(Debug)]
pub struct EndpointFileError {
    /// Which file it was about.
    pub path: PathBuf,
    /// What the kernel said.
    pub error: io::Error,
}

impl fmt::Display for EndpointFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; does the remote run, and may this user open it?", self.path.display(), self.error)
    }
}

impl std::error::Error for EndpointFileError {}

/// An endpoint on this side, open for messages. One that was created here goes away with it.
#[derive(Debug)]
pub struct EndpointFile {
    file: File,
    created: bool,
}

impl EndpointFile {
    /// Opens an endpoint that exists.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: &Path) -> Result<Self, EndpointFileError> {
        let opened = OpenOptions::new().read(true).write(true).open(path);
        let file = opened.map_err(|error| EndpointFileError { path: path.to_owned(), error })?;
        Ok(Self { file, created: false })
    }

    /// Makes an endpoint by the control device at `control`, and opens it. Below `root` are `sys` and `dev`.
    ///
    /// # Errors
    /// If the kernel refuses, or the device does not appear within two seconds.
    pub fn create(
        root: &Path,
        control: &Path,
        name: Name,
        source: Address,
        destination: Address,
    ) -> Result<Self, EndpointFileError> {
        let fault = |path: &Path, error: io::Error| EndpointFileError { path: path.to_owned(), error };
        let device = OpenOptions::new().read(true).write(true).open(control).map_err(|error| fault(control, error))?;
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(name.as_bytes()) {
            *to = *from;
        }
        let before = endpoints(root);
        let info = Info { name: bytes, src: source.0, dst: destination.0 };
        // SAFETY: this opcode takes a pointer to exactly this structure, reads it, and writes nothing.
        let made = unsafe { rustix::ioctl::ioctl(&device, Setter::<CREATE, Info>::new(info)) };
        made.map_err(|error| fault(control, error.into()))?;
        let end = Instant::now() + Duration::from_secs(2);
        loop {
            let fresh = endpoints(root).into_iter().find(|found| {
                !before.contains(found) && read_name(root, found).is_some_and(|text| text.as_bytes() == name.as_bytes())
            });
            if let Some(found) = fresh {
                let mut endpoint = Self::open(&root.join("dev").join(found))?;
                endpoint.created = true;
                return Ok(endpoint);
            }
            if Instant::now() > end {
                return Err(fault(control, io::ErrorKind::TimedOut.into()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// It goes away with this.
    pub(super) fn owned(mut self) -> Self {
        self.created = true;
        self
    }

    /// Neither sending nor receiving waits from now on.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn set_nonblocking(&self) -> io::Result<()> {
        let flags = rustix::fs::fcntl_getfl(&self.file)? | rustix::fs::OFlags::NONBLOCK;
        Ok(rustix::fs::fcntl_setfl(&self.file, flags)?)
    }

    /// Reads a message, if one is there or after it came.
    ///
    /// # Errors
    /// If there is none and it does not wait, or the remote is gone.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(buffer)
    }

    /// Sends a message.
    ///
    /// # Errors
    /// If the kernel refuses: it is too long, or no buffer came back in time.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let sent = (&self.file).write(bytes)?;
        if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// The next message, waiting at most so long; `None` if there was none.
    ///
    /// # Errors
    /// If the kernel refuses, or the remote is gone.
    pub fn receive(&self, buffer: &mut [u8], at_most: Duration) -> io::Result<Option<usize>> {
        let mut fds = [PollFd::new(&self.file, PollFlags::IN)];
        let tv_sec = i64::try_from(at_most.as_secs()).unwrap_or(i64::MAX);
        let timeout = Timespec { tv_sec, tv_nsec: i64::from(at_most.subsec_nanos()) };
        if rustix::event::poll(&mut fds, Some(&timeout))? == 0 {
            return Ok(None);
        }
        (&self.file).read(buffer).map(Some)
    }
}

impl AsFd for EndpointFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for EndpointFile {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl Drop for EndpointFile {
    fn drop(&mut self) {
        if self.created {
            // SAFETY: this opcode takes no argument.
            let _ = unsafe { rustix::ioctl::ioctl(self.file.as_fd(), rustix::ioctl::NoArg::<DESTROY>::new()) };
        }
    }
}

/// The names of all endpoints below this root.
pub(super) fn endpoints(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("sys/class/rpmsg")).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.strip_prefix("rpmsg").is_some_and(|rest| rest.parse::<u32>().is_ok())).collect()
}

fn read_name(root: &Path, endpoint: &str) -> Option<String> {
    let text = fs::read_to_string(root.join("sys/class/rpmsg").join(endpoint).join("name")).ok()?;
    Some(text.trim_end().to_owned())
}
