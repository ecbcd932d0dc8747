//! Passing shared memory and doorbells to a process that is no child: over a Unix socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};

/// The most descriptors in one message: memory, and a doorbell each way.
pub const MOST: usize = 3;

/// Passes descriptors. They travel with a single byte, their number.
///
/// # Errors
/// If there are none or more than [`MOST`], or the kernel refuses.
pub fn send(socket: &UnixStream, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    if descriptors.is_empty() || descriptors.len() > MOST {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "one to three descriptors can be passed at once"));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(descriptors));
    let count = [descriptors.len() as u8];
    rustix::net::sendmsg(socket, &[IoSlice::new(&count)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives the descriptors of one [`send`]. The socket's read time-out bounds the wait.
///
/// # Errors
/// If the other side closed the socket, or sent something else.
pub fn receive(socket: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut count = [0];
    let received =
        rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut count)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            descriptors.extend(passed);
        }
    }
    match received.bytes {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ if descriptors.len() == usize::from(count[0]) && !descriptors.is_empty() => Ok(descriptors),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "the other side did not pass what it announced")),
    }
}
