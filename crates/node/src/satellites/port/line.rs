//! A line of bytes: a serial one, made raw, or a Unix socket.
//!
//! Both carry frames as `tutti_satellite::serial` writes them. A serial line is opened for this device alone
//! (`TIOCEXCL`), and neither becomes a terminal of this process nor waits for a carrier.

use std::{fs::File, io, os::fd::OwnedFd, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

use rustix::{
    fs::OFlags,
    termios::{ControlModes, OptionalActions, QueueSelector, ioctl_tiocexcl, tcflush, tcgetattr, tcsetattr},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{UnixStream, unix::pipe},
    time::timeout,
};
use tutti_satellite::{
    MAX_FRAME,
    serial::{Decoder, encode, line_len},
};

/// How long a socket may take to be connected to.
const CONNECT: Duration = Duration::from_secs(2);
/// How long the other end may take nothing of what is sent.
const STUCK: Duration = Duration::from_secs(2);
/// How many bytes are read at a time.
const CHUNK: usize = 4096;

/// An open line.
pub(crate) struct Line {
    recv: Box<dyn AsyncRead + Send + Unpin>,
    send: Box<dyn AsyncWrite + Send + Unpin>,
    decoder: Box<Decoder>,
    chunk: Vec<u8>,
    encoded: Vec<u8>,
}

impl Line {
    fn new(recv: impl AsyncRead + Send + Unpin + 'static, send: impl AsyncWrite + Send + Unpin + 'static) -> Self {
        let (chunk, encoded) = (vec![0; CHUNK], vec![0; line_len(MAX_FRAME)]);
        Self { recv: Box::new(recv), send: Box::new(send), decoder: Box::default(), chunk, encoded }
    }

    /// A socket on which somebody listens.
    pub(super) async fn socket(path: &Path) -> Result<Self, String> {
        let connected = timeout(CONNECT, UnixStream::connect(path)).await;
        let stream = connected
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|error| format!("{} cannot be connected to: {error}{}", path.display(), advice(&error)))?;
        let (recv, send) = stream.into_split();
        Ok(Self::new(recv, send))
    }

    /// A serial line.
    pub(super) async fn serial(path: &Path, baud: u32) -> Result<Self, String> {
        let file = path.to_owned();
        let opened = tokio::task::spawn_blocking(move || serial(&file, baud)).await;
        let opened = opened.unwrap_or_else(|_| Err(io::Error::other("opening it broke off")));
        let ends = opened.and_then(|line| {
            let send = pipe::Sender::from_owned_fd_unchecked(line.try_clone()?)?;
            Ok((pipe::Receiver::from_owned_fd_unchecked(line)?, send))
        });
        let (recv, send) = ends.map_err(|error| {
            format!("{} cannot be used as a serial line: {error}{}", path.display(), advice(&error))
        })?;
        Ok(Self::new(recv, send))
    }

    pub(super) async fn send(&mut self, frame: &[u8]) -> Result<(), String> {
        let bytes = encode(frame, &mut self.encoded).and_then(|len| self.encoded.get(..len)).unwrap_or_default();
        match timeout(STUCK, self.send.write_all(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(format!("it cannot be written to: {error}")),
            Err(_) => Err("the other end takes nothing of what is sent".into()),
        }
    }

    /// Whoever drops this has lost nothing.
    pub(super) async fn receive(&mut self, frame: &mut (dyn FnMut(&[u8]) + Send)) -> Result<usize, String> {
        let read = match self.recv.read(&mut self.chunk).await {
            Ok(0) => return Err("the other end closed it".into()),
            Ok(read) => read,
            Err(error) => return Err(format!("it cannot be read: {error}")),
        };
        for byte in self.chunk.get(..read).unwrap_or_default() {
            if let Some(whole) = self.decoder.push(*byte) {
                frame(whole);
            }
        }
        Ok(read)
    }

    pub(super) fn dropped(&self) -> u32 {
        self.decoder.dropped()
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
