//! The socket on which a remote hands its memory and doorbells back.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use tutti_metal::DeviceAddr;

use crate::{EventBell, Mapping, SharedMemory, socket};

/// How long either side waits for the other on the socket.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What a remote and its host share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) memory: SharedMemory,
    /// Rung by the remote, heard by the host.
    pub(super) to_host: EventBell,
    /// The other way round.
    pub(super) to_remote: EventBell,
}

fn again(fd: impl AsFd) -> io::Result<OwnedFd> {
    fd.as_fd().try_clone_to_owned()
}

impl Shared {
    pub(super) fn bell(bell: &EventBell) -> io::Result<EventBell> {
        again(bell).map(EventBell::from_fd)
    }

    pub(super) fn send(&self, stream: &UnixStream) -> io::Result<()> {
        socket::send(stream, &[self.memory.keeper().as_fd(), self.to_host.as_fd(), self.to_remote.as_fd()])
    }

    pub(super) fn receive(stream: &UnixStream, device: DeviceAddr) -> io::Result<Self> {
        let passed = socket::receive(stream)?;
        let [memory, to_host, to_remote]: [OwnedFd; 3] = passed
            .try_into()
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "three descriptors were expected"))?;
        let memory = Mapping::open(memory, device).map_err(io::Error::other)?;
        Ok(Self { memory, to_host: EventBell::from_fd(to_host), to_remote: EventBell::from_fd(to_remote) })
    }
}

/// Asks a running remote for what it shares; `None` if none listens there.
pub(super) fn connect(path: &Path) -> io::Result<Option<(UnixStream, Shared)>> {
    let mut stream = match UnixStream::connect(path) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"A")?;
    match Shared::receive(&stream, super::DEVICE) {
        Ok(shared) => Ok(Some((stream, shared))),
        // It ended just now.
        Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
            Err(io::Error::new(error.kind(), "the remote did not answer; another host may be attached to it"))
        }
        Err(error) => Err(error),
    }
}

/// Reads one byte: what the other side says, or that it is gone.
pub(super) fn read_byte(mut stream: &UnixStream) -> io::Result<u8> {
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    Ok(byte[0])
}

/// Whether the folder of a socket is this user's and closed to others.
pub(super) fn check_folder(path: &Path) -> io::Result<()> {
    let folder =
        path.parent().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the socket has no folder"))?;
    let metadata = std::fs::metadata(folder)?;
    if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
        let text = format!("{} must belong to this user and be writable by nobody else", folder.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(())
}

/// Removes a socket that nobody listens on any more; anything else stays.
pub(super) fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => std::fs::remove_file(path),
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is no socket", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}
