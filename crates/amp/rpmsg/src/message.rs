//! Buffers on loan, and messages received: who holds one owns it, and dropping it gives it back.

use core::ops::Deref;

use tutti_metal::OutOfBounds;
use tutti_virtio::{Bytes, BytesMut};

use crate::ends::Buffer;
use crate::extensions::FRAGMENT;
use crate::link::{Link, Platform};
use crate::{Address, HEADER, Header, Role, SendError};

/// A buffer to fill and send. Dropped unsent, it goes back.
#[must_use = "a loan that is not sent only goes back"]
pub struct Loan<'a, P: Platform, R: Role> {
    pub(crate) link: &'a Link<P, R>,
    pub(crate) buffer: Buffer,
    pub(crate) generation: u32,
    pub(crate) sent: bool,
}

impl<P: Platform, R: Role> Loan<'_, P, R> {
    /// How many bytes a message in it can have.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// Its bytes, to be filled where they are.
    #[inline(always)]
    pub fn bytes(&mut self) -> BytesMut<'_, P::Memory> {
        let view = BytesMut::new(&self.link.memory, self.buffer.at + HEADER, self.capacity());
        // The queue has checked that the buffer lies in this memory; an empty view is never seen.
        view.unwrap_or_else(|_| BytesMut::empty(&self.link.memory))
    }

    /// Sends the first `len` bytes, and everything staged before.
    ///
    /// # Errors
    /// If `len` is more than its capacity, the link was reset meanwhile, or is corrupt. The buffer has gone back then.
    #[inline(always)]
    pub fn send(self, from: Address, to: Address, len: usize) -> Result<(), SendError> {
        self.submit(from, to, len, 0, true)
    }

    /// Puts the first `len` bytes in line. They leave with the next message that is sent, or with
    /// [`Link::publish`]: one look of the other side then finds them all.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    #[inline(always)]
    pub fn stage(self, from: Address, to: Address, len: usize) -> Result<(), SendError> {
        self.submit(from, to, len, 0, false)
    }

    /// Sends the first `len` bytes as a piece of a longer message.
    pub(crate) fn send_piece(self, from: Address, to: Address, len: usize) -> Result<(), SendError> {
        self.submit(from, to, len, FRAGMENT, true)
    }

    #[inline(always)]
    fn submit(mut self, from: Address, to: Address, len: usize, flags: u16, now: bool) -> Result<(), SendError> {
        let most = self.capacity();
        let len = if len <= most { u16::try_from(len).ok() } else { None }.ok_or(SendError::TooLong { len, most })?;
        let header = Header { source: from, destination: to, len, flags };
        self.link.send(self.buffer, self.generation, header, now)?;
        self.sent = true;
        Ok(())
    }
}

impl<P: Platform, R: Role> Drop for Loan<'_, P, R> {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.sent {
            self.link.put_back(self.buffer, self.generation);
        }
    }
}

/// A message as it lies in its buffer, which somebody holds: a [`Received`] or a [`Batch`](crate::Batch).
pub struct Message<'a, P: Platform, R: Role> {
    pub(crate) link: &'a Link<P, R>,
    pub(crate) buffer: Buffer,
    pub(crate) header: Header,
}

impl<P: Platform, R: Role> Message<'_, P, R> {
    /// Who sent it.
    #[must_use]
    pub fn source(&self) -> Address {
        self.header.source
    }

    /// To whom.
    #[must_use]
    pub fn destination(&self) -> Address {
        self.header.destination
    }

    /// How many bytes it has: as the header said when it was read, once, and fitting its buffer.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.header.len)
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.header.len == 0
    }

    /// Whether it is only a piece of a longer one: see [`Assembly`](crate::Assembly).
    #[must_use]
    pub fn is_fragment(&self) -> bool {
        self.header.flags & FRAGMENT != 0 && self.link.has_fragments()
    }

    /// Its bytes, where they are. The other side ought to leave them alone, and may not.
    #[must_use]
    #[inline(always)]
    pub fn bytes(&self) -> Bytes<'_, P::Memory> {
        let view = Bytes::new(&self.link.memory, self.buffer.at + HEADER, self.len());
        // Checked against the buffer when the header was read; an empty view is never seen.
        view.unwrap_or_else(|_| Bytes::empty(&self.link.memory))
    }

    /// Copies the bytes from `at` on into `to`, which they must fill.
    ///
    /// # Errors
    /// If there are not so many.
    #[inline(always)]
    pub fn read(&self, at: usize, to: &mut [u8]) -> Result<(), OutOfBounds> {
        self.bytes().read(at, to)
    }
}

/// A message. As long as it is held, its buffer is too; dropped, it goes back to the other side.
#[must_use = "a message that is dropped is lost"]
pub struct Received<'a, P: Platform, R: Role> {
    pub(crate) message: Message<'a, P, R>,
    pub(crate) generation: u32,
}

impl<'a, P: Platform, R: Role> Deref for Received<'a, P, R> {
    type Target = Message<'a, P, R>;

    #[inline(always)]
    fn deref(&self) -> &Message<'a, P, R> {
        &self.message
    }
}

impl<P: Platform, R: Role> Drop for Received<'_, P, R> {
    #[inline(always)]
    fn drop(&mut self) {
        self.message.link.done(self.message.buffer, self.generation);
    }
}
