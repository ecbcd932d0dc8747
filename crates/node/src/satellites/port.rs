//! What a link is to this machine: a serial line, made raw, or a Unix socket.
//!
//! Both carry frames as `tutti_satellite::serial` writes them. A serial line is opened for this device alone
//! (`TIOCEXCL`), and neither becomes a terminal of this process nor waits for a carrier.

use std::{fs::File, io, os::fd::OwnedFd, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

use rustix::{
    fs::OFlags,
    termios::{ControlModes, OptionalActions, QueueSelector, ioctl_tiocexcl, tcflush, tcgetattr, tcsetattr},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{UnixStream, unix::pipe},
    time::timeout,
};

use super::spec::Spec;

/// How long a socket may take to be connected to.
const CONNECT: Duration = Duration::from_secs(2);

/// An open link.
pub(super) struct Port {
    pub(super) recv: Box<dyn AsyncRead + Send + Unpin>,
    pub(super) send: Box<dyn AsyncWrite + Send + Unpin>,
}

impl Port {
    /// Opens it.
    pub(super) async fn open(spec: &Spec) -> Result<Self, String> {
        match spec {
            Spec::Unix(path) => {
                let connected = timeout(CONNECT, UnixStream::connect(path)).await;
                let stream = connected
                    .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
                    .map_err(|error| format!("{} cannot be connected to: {error}{}", path.display(), advice(&error)))?;
                let (recv, send) = stream.into_split();
                Ok(Self { recv: Box::new(recv), send: Box::new(send) })
            }
            Spec::Serial { path, baud } => {
                let (file, baud) = (path.clone(), *baud);
                let opened = tokio::task::spawn_blocking(move || serial(&file, baud)).await;
                let opened = opened.unwrap_or_else(|_| Err(io::Error::other("opening it broke off")));
                let ends = opened.and_then(|line| {
                    let send = pipe::Sender::from_owned_fd_unchecked(line.try_clone()?)?;
                    Ok((pipe::Receiver::from_owned_fd_unchecked(line)?, send))
                });
                let (recv, send) = ends.map_err(|error| {
                    format!("{} cannot be used as a serial line: {error}{}", path.display(), advice(&error))
                })?;
                Ok(Self { recv: Box::new(recv), send: Box::new(send) })
            }
        }
    }
}

fn serial(path: &Path, baud: u32) -> io::Result<OwnedFd> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC).bits();
    let file =
        File::options().read(true).write(true).custom_flags(i32::try_from(flags).unwrap_or_default()).open(path)?;
    let mut modes = tcgetattr(&file)?;
    modes.make_raw();
    modes.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
    modes.control_modes -= ControlModes::CRTSCTS;
    modes.set_speed(baud)?;
    tcsetattr(&file, OptionalActions::Now, &modes)?;
    ioctl_tiocexcl(&file)?;
    // What came before is half of something.
    tcflush(&file, QueueSelector::IOFlush)?;
    Ok(file.into())
}

fn advice(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::ACCESS) => "; this user needs the group that the device belongs to, often dialout",
        Some(rustix::io::Errno::BUSY) => "; another program has it open",
        Some(rustix::io::Errno::NOTTY) => "; it is no serial line",
        Some(rustix::io::Errno::NOENT) => "; is it plugged in?",
        Some(rustix::io::Errno::CONNREFUSED) => "; nobody listens there now",
        _ => "",
    }
}
