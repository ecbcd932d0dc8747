//! A service that a remote core has announced on the kernel's RPMsg bus: a frame is a message.

use std::{io, os::fd::AsFd};

use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    time::{Interval, MissedTickBehavior, interval},
};
use tutti_amp_host::linux::{Channel, EndpointFile};
use tutti_rpmsg::Address;
use tutti_satellite::{HELLO, MAX_FRAME};

/// This side's address: below those that the kernel gives to others (1024 and up), and the same each time.
const ADDRESS: Address = Address(0x257);
/// No frame, so the satellite makes nothing of it; but now it knows whom to write to.
const KNOCK: &[u8] = &[0];

/// An endpoint of the kernel's.
pub(crate) struct Messages {
    file: EndpointFile,
    /// The same, to wait for what comes. When the core is gone nothing does; whoever found the channel sees that it is no more.
    recv: pipe::Receiver,
    buffer: Vec<u8>,
    /// Until something came.
    knock: Option<Interval>,
}

impl Messages {
    pub(super) async fn open(channel: Channel) -> Result<Self, String> {
        let device = channel.device.clone();
        let said = |why: &dyn std::fmt::Display| format!("{device} cannot be talked to: {why}");
        let opened = tokio::task::spawn_blocking(move || channel.open(ADDRESS)).await;
        let file = opened.map_err(|error| said(&error))?.map_err(|error| said(&error))?;
        let recv = file
            .set_nonblocking()
            .and_then(|()| pipe::Receiver::from_owned_fd_unchecked(file.as_fd().try_clone_to_owned()?));
        let recv = recv.map_err(|error| said(&error))?;
        let mut knock = interval(HELLO);
        knock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { file, recv, buffer: vec![0; MAX_FRAME], knock: Some(knock) })
    }

    /// Without room for it a message is lost, as on any link; what matters is said again.
    pub(super) fn send(&self, frame: &[u8]) -> Result<(), String> {
        match self.file.send(frame) {
            Ok(()) => Ok(()),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory) => Ok(()),
            Err(error) => Err(format!("it cannot be written to: {error}")),
        }
    }

    pub(super) async fn receive(&mut self, frame: &mut (dyn FnMut(&[u8]) + Send)) -> Result<usize, String> {
        loop {
            tokio::select! {
                read = self.recv.read(&mut self.buffer) => {
                    let read = read.map_err(|error| format!("the core is gone: {error}"))?;
                    self.knock = None;
                    frame(self.buffer.get(..read).unwrap_or_default());
                    // An empty message costs something too.
                    return Ok(read.max(1));
                }
                () = tick(&mut self.knock) => self.send(KNOCK)?,
            }
        }
    }
}

/// The next knock; never, if there is none to come.
async fn tick(knock: &mut Option<Interval>) {
    match knock {
        Some(knock) => drop(knock.tick().await),
        None => std::future::pending().await,
    }
}
