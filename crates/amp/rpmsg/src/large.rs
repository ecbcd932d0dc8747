//! Messages longer than a buffer, in pieces, between peers that both have [`F_FRAGMENTS`](crate::F_FRAGMENTS).
//!
//! The pieces of a message leave in order, and the ring keeps them so; pieces of different senders may come between
//! each other, so an [`Assembly`] is for one sender at a time. What a sender says of its pieces is checked against the
//! assembly's own count, never against another piece: a length beyond the buffer, a hole, an overlap or a change of
//! mind is a fault that names itself, and throws the message away.

use core::fmt;
use core::time::Duration;

use tutti_metal::{Clock, Deadline, OutOfBounds, Sleep};
use tutti_virtio::Corrupt;

use crate::extensions::Fragment;
use crate::link::Platform;
use crate::{Address, Endpoint, Message, Role, SendError};

/// Why a long message did not arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LargeError {
    /// It is longer than the buffer for it.
    TooLong {
        /// How long it says it is.
        total: u32,
        /// How much fits.
        most: usize,
    },
    /// A piece does not continue the message: the sender lost one, began a new one, or lies.
    OutOfOrder {
        /// Where the piece says it belongs.
        offset: u32,
        /// Where the next one should.
        expected: u32,
    },
    /// A piece is shorter than its own head, or reaches beyond its message.
    Malformed,
    /// Another endpoint sent a piece in between; it was dropped.
    Interleaved(Address),
    /// The link is corrupt.
    Corrupt(Corrupt),
}

impl fmt::Display for LargeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { total, most } => {
                write!(f, "a message of {total} bytes does not fit into a buffer for {most}; enlarge it")
            }
            Self::OutOfOrder { offset, expected } => {
                write!(
                    f,
                    "a piece for {offset} came where {expected} was expected; the message is lost, ask for it again"
                )
            }
            Self::Malformed => f.write_str("a piece contradicts itself; the message is lost, the sender is faulty"),
            Self::Interleaved(who) => {
                write!(
                    f,
                    "a piece of another message, from {who}, came in between and was dropped; give each sender an endpoint"
                )
            }
            Self::Corrupt(corrupt) => corrupt.fmt(f),
        }
    }
}

impl core::error::Error for LargeError {}

/// A long message on its way in.
#[derive(Debug)]
pub struct Assembly<'b> {
    buffer: &'b mut [u8],
    source: Option<Address>,
    total: u32,
    have: u32,
}

impl<'b> Assembly<'b> {
    /// One that assembles into `buffer`.
    #[must_use]
    pub fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, source: None, total: 0, have: 0 }
    }

    /// The last whole message; nothing while one is on its way.
    #[must_use]
    pub fn message(&self) -> &[u8] {
        let len = if self.source.is_none() { self.have as usize } else { 0 };
        self.buffer.get(..len).unwrap_or(&[])
    }

    /// Takes a message or a piece in; says from whom once a message is whole.
    ///
    /// # Errors
    /// If it cannot be. Except for [`LargeError::Interleaved`], what was assembled is gone.
    pub fn take<P: Platform, R: Role>(&mut self, received: &Message<'_, P, R>) -> Result<Option<Address>, LargeError> {
        let from = received.source();
        let most = self.buffer.len();
        if !received.is_fragment() {
            if self.source.is_some() {
                return Err(if self.source == Some(from) { self.drop_it() } else { LargeError::Interleaved(from) });
            }
            let len = received.len();
            let to = self.buffer.get_mut(..len).ok_or(LargeError::TooLong { total: len as u32, most })?;
            received.read(0, to).map_err(|OutOfBounds { .. }| LargeError::Malformed)?;
            (self.have, self.total) = (len as u32, len as u32);
            return Ok(Some(from));
        }
        if self.source.is_some_and(|source| source != from) {
            return Err(LargeError::Interleaved(from));
        }
        let result = self.piece(received);
        if result.is_err() {
            (self.source, self.have, self.total) = (None, 0, 0);
        }
        result
    }

    fn drop_it(&mut self) -> LargeError {
        let expected = self.have;
        (self.source, self.have, self.total) = (None, 0, 0);
        LargeError::OutOfOrder { offset: 0, expected }
    }

    fn piece<P: Platform, R: Role>(&mut self, received: &Message<'_, P, R>) -> Result<Option<Address>, LargeError> {
        let mut head = [0; Fragment::BYTES];
        received.read(0, &mut head).map_err(|_| LargeError::Malformed)?;
        let Fragment { total, offset } = Fragment::parse(&head);
        if self.source.is_none() {
            (self.have, self.total) = (0, total);
        }
        if offset != self.have || total != self.total {
            return Err(LargeError::OutOfOrder { offset, expected: self.have });
        }
        if total as usize > self.buffer.len() {
            return Err(LargeError::TooLong { total, most: self.buffer.len() });
        }
        let len = (received.len() - Fragment::BYTES) as u32;
        let end = offset.checked_add(len).filter(|&end| end <= total && len > 0).ok_or(LargeError::Malformed)?;
        let to = self.buffer.get_mut(offset as usize..end as usize).ok_or(LargeError::Malformed)?;
        received.read(Fragment::BYTES, to).map_err(|_| LargeError::Malformed)?;
        self.have = end;
        self.source = (end < total).then_some(received.source());
        Ok((end == total).then_some(received.source()))
    }
}

impl<P: Platform, R: Role> Endpoint<'_, P, R> {
    /// Sends a message of any length: in one piece if it fits, else in several, each waiting for a buffer, all together
    /// no longer than `within`.
    ///
    /// # Errors
    /// See [`SendError`]: [`TooLong`](SendError::TooLong) if the other side does not know pieces. Pieces that were sent
    /// before a time-out stay sent; the receiver drops them when the next message begins.
    pub fn send_large_within(
        &self,
        to: Address,
        bytes: &[u8],
        within: Duration,
        clock: &impl Clock,
        sleep: &impl Sleep,
    ) -> Result<(), SendError> {
        let deadline = Deadline::new(clock, within);
        let mut offset = 0;
        loop {
            let left = deadline.left(clock).ok_or(SendError::TimedOut)?;
            let mut loan = self.link.loan_within(left, clock, sleep)?;
            let most = loan.capacity();
            if bytes.len() <= most && offset == 0 {
                drop(loan);
                return self.send_within(to, bytes, left, clock, sleep);
            }
            let total = u32::try_from(bytes.len()).ok().filter(|_| self.link.has_fragments() && most > Fragment::BYTES);
            let total = total.ok_or(SendError::TooLong { len: bytes.len(), most })?;
            let rest = bytes.get(offset..).unwrap_or(&[]);
            let piece = rest.get(..rest.len().min(most - Fragment::BYTES)).unwrap_or(rest);
            let head = Fragment { total, offset: offset as u32 }.emit();
            let room = SendError::TooLong { len: piece.len(), most };
            loan.bytes().write(0, &head).map_err(|_| room)?;
            loan.bytes().write(Fragment::BYTES, piece).map_err(|_| room)?;
            match loan.send_piece(self.address, to, Fragment::BYTES + piece.len()) {
                Ok(()) => offset += piece.len(),
                Err(SendError::NoCredit) => self.await_credit(&deadline, clock, sleep)?,
                Err(other) => return Err(other),
            }
            if offset >= bytes.len() {
                return Ok(());
            }
        }
    }

    /// The next message of any length into `assembly`, in one piece or in several: says from whom, once it is whole.
    /// Waits no longer than `within`; `None` if that was not enough.
    ///
    /// # Errors
    /// See [`LargeError`].
    pub fn receive_large_within(
        &self,
        assembly: &mut Assembly<'_>,
        within: Duration,
        clock: &impl Clock,
        sleep: &impl Sleep,
    ) -> Result<Option<Address>, LargeError> {
        let deadline = Deadline::new(clock, within);
        while let Some(left) = deadline.left(clock) {
            let Some(received) = self.receive_within(left, clock, sleep).map_err(LargeError::Corrupt)? else { break };
            if let Some(from) = assembly.take(&received)? {
                return Ok(Some(from));
            }
        }
        Ok(None)
    }
}
