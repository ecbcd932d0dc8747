//! Messages to the host in the order of their positions.

use std::collections::VecDeque;
use std::fmt;

use tutti_rpmsg::{Address, Endpoint, Host};
use tutti_virtio::Corrupt;

use super::ring::UsedRing;
use super::{HostLink, Processes};

/// A message, copied out, with its place in the order of everything that this generation of the remote has sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Delivery {
    /// Its place.
    pub position: u64,
    /// Who sent it.
    pub source: Address,
    /// To whom.
    pub destination: Address,
    /// Its contents.
    pub bytes: Vec<u8>,
}

/// Why there is no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InboxError {
    /// There is no link: start the remote, or deliver what was found and link again.
    NotLinked,
    /// The remote wrote something that cannot be.
    Corrupt(Corrupt),
}

impl fmt::Display for InboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLinked => f.write_str("the remote is not linked; start it, or deliver what was found and relink"),
            Self::Corrupt(corrupt) => corrupt.fmt(f),
        }
    }
}

impl std::error::Error for InboxError {}

impl From<Corrupt> for InboxError {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}

/// Follows the ring beside the link.
///
/// The link sorts messages by endpoint and says nothing of their order, and a buffer that it has taken back may be written
/// again. So a message is read where it lies, and is taken from the link, which gives its buffer back, only when the next
/// one is asked for: until then a successor of this host finds it in the ring. The first message of its endpoint is then always
/// the one that was read, since both go through the ring in order.
#[derive(Debug)]
pub(super) struct Inbox {
    ring: UsedRing,
    /// The index of the next element to look at, and the position of that.
    index: u16,
    position: u64,
    /// Looked at, and not delivered: position, index, for whom.
    ahead: VecDeque<(u64, u16, Address)>,
    /// Delivered, and still in the ring.
    delivered: Option<(u64, Address)>,
}

impl Inbox {
    pub(super) fn new(ring: UsedRing, base: u64) -> Self {
        Self { ring, index: 0, position: base, ahead: VecDeque::new(), delivered: None }
    }

    /// The position behind everything that is done with, once the message delivered last is.
    pub(super) fn done(&self) -> u64 {
        self.ahead.front().map_or(self.position, |&(position, ..)| position)
    }

    /// Goes over what has arrived since. More than one ring's length behind cannot be told from less, but for that the remote
    /// would have to send a whole ring full of announcements between two looks; then the ring reads as corrupt, or
    /// announcements are passed over.
    fn look(&mut self) -> Result<(), Corrupt> {
        for _ in 0..self.ring.behind(self.index)? {
            let destination = self.ring.at(self.index)?.header.destination;
            self.ahead.push_back((self.position, self.index, destination));
            self.index = self.index.wrapping_add(1);
            self.position += 1;
        }
        Ok(())
    }

    /// The next message for one of the endpoints.
    pub(super) fn next(
        &mut self,
        link: &HostLink,
        endpoints: &[&Endpoint<'_, Processes, Host>],
    ) -> Result<Option<Delivery>, Corrupt> {
        let of = |address: Address| endpoints.iter().find(|endpoint| endpoint.address() == address);
        if let Some((_, destination)) = self.delivered.take()
            && let Some(endpoint) = of(destination)
        {
            drop(endpoint.try_receive()?);
        }
        self.look()?;
        while let Some((position, index, destination)) = self.ahead.pop_front() {
            if of(destination).is_some() {
                let message = self.ring.at(index)?;
                self.delivered = Some((position, destination));
                let (source, bytes) = (message.header.source, self.ring.contents(&message));
                return Ok(Some(Delivery { position, source, destination, bytes }));
            }
            // An announcement, or for nobody: the link deals with it when it takes it in.
            if self.ahead.is_empty() {
                link.poll()?;
                self.look()?;
            }
        }
        Ok(None)
    }
}
