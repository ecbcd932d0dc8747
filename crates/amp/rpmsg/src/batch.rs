//! Many messages at a time, for who has many: locks, the way to an endpoint and the look at the queue are paid once for
//! all of them, and the lines of their buffers travel side by side.
//!
//! Nothing of it shows on the wire: a batch is as many messages, published at once.

use tutti_metal::{Lock, Memory};
use tutti_virtio::{BytesMut, Corrupt};

use crate::ends::{Buffer, End, Outgoing};
use crate::incoming::Arrived;
use crate::link::{Link, Platform, no_buffer, wake_all};
use crate::queue::Queue;
use crate::{Address, Endpoint, HEADER, Header, Message, Role, SendError};

/// How many messages are taken in hand at once.
const MOST: usize = 32;

/// Messages that have arrived, in their order. As long as it is held, their buffers are too; dropped, all of them go
/// back to the other side.
#[must_use = "messages that are dropped are lost"]
pub struct Batch<'a, P: Platform, R: Role> {
    link: &'a Link<P, R>,
    messages: [Arrived; MOST],
    count: usize,
    generation: u32,
}

impl<'a, P: Platform, R: Role> Batch<'a, P, R> {
    /// How many messages there can be.
    pub const MOST: usize = MOST;

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each of them.
    #[inline(always)]
    pub fn iter(&self) -> impl Iterator<Item = Message<'_, P, R>> {
        self.held().iter().map(|arrived| {
            let &Arrived { buffer, header } = arrived;
            Message { link: self.link, buffer, header: Header::parse(&header) }
        })
    }

    #[inline(always)]
    fn held(&self) -> &[Arrived] {
        self.messages.get(..self.count).unwrap_or(&[])
    }
}

impl<P: Platform, R: Role> Drop for Batch<'_, P, R> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.count > 0 {
            let Self { link, generation, .. } = *self;
            let buffers = self.held().iter().map(|arrived| arrived.buffer);
            link.receiving.with(|receiving| receiving.all_done(buffers, generation, &link.bell, link.notify[1]));
        }
    }
}

impl<'a, P: Platform, R: Role> Endpoint<'a, P, R> {
    /// The next messages, as many as there are, but [`Batch::MOST`] at once.
    ///
    /// # Errors
    /// If the other side wrote something that cannot be.
    #[inline(always)]
    pub fn try_receive_all(&self) -> Result<Batch<'a, P, R>, Corrupt> {
        let link = self.link;
        let mut receiving = link.receiving.lock();
        let mut batch =
            Batch { link, messages: [Arrived::default(); MOST], count: 0, generation: receiving.generation };
        batch.count = receiving.receive_many(self.at, &mut batch.messages);
        if batch.count == 0 {
            link.nothing(receiving)?;
        }
        Ok(batch)
    }

    /// Copies messages into buffers and hands them to the other side together: from the first on, as many as there are
    /// buffers (and, of who has a window, credits) for. Says how many.
    ///
    /// # Errors
    /// Why not even the first one was sent; see [`SendError`].
    #[inline(always)]
    pub fn try_send_all(&self, to: Address, messages: &[&[u8]]) -> Result<usize, SendError> {
        let (mut sent, mut stopped) = (0, None);
        for some in messages.chunks(MOST) {
            match if self.link.extended() { self.stage_each(to, some) } else { self.stage(to, some) } {
                Ok(count) => {
                    sent += count;
                    if count < some.len() {
                        break;
                    }
                }
                Err(error) => {
                    stopped = Some(error);
                    break;
                }
            }
        }
        match stopped {
            Some(error) if sent == 0 => Err(error),
            _ => {
                self.link.publish();
                Ok(sent)
            }
        }
    }

    /// Puts up to [`MOST`] messages in line.
    #[inline(always)]
    fn stage(&self, to: Address, messages: &[&[u8]]) -> Result<usize, SendError> {
        let link = self.link;
        let mut buffers = [Buffer::default(); MOST];
        let mut sending = link.sending.lock();
        let generation = sending.generation;
        let most = buffers.len().min(messages.len());
        let count = sending.end.take_many(buffers.get_mut(..most).unwrap_or_default());
        sending.end.queue().prepare();
        let corrupt = sending.end.queue().corrupt();
        drop(sending);
        if count == 0 && !messages.is_empty() {
            return Err(no_buffer(corrupt));
        }
        let buffers = buffers.get(..count).unwrap_or(&[]);
        // All lines set out before the first is written.
        buffers.iter().for_each(|buffer| link.memory.prefetch_to_write(buffer.at));
        let mut filled = 0;
        for (buffer, message) in buffers.iter().zip(messages) {
            let header = Header { source: self.address, destination: to, len: message.len() as u16, flags: 0 };
            if message.len() > buffer.capacity() || !put_message(&link.memory, *buffer, header, message) {
                break;
            }
            filled += 1;
        }
        let mut sending = link.sending.lock();
        if sending.generation != generation {
            return Err(SendError::Stale);
        }
        let (full, rest) = buffers.split_at_checked(filled).unwrap_or((&[], &[]));
        let lengths = messages.iter().map(|message| (HEADER + message.len()) as u32);
        sending.end.submit_many(full.iter().copied().zip(lengths));
        if !rest.is_empty() {
            rest.iter().rev().for_each(|buffer| sending.end.put_back(*buffer));
            wake_all(&mut sending.wakers);
        }
        match (buffers.first(), messages.first()) {
            (Some(buffer), Some(message)) if filled == 0 => {
                Err(SendError::TooLong { len: message.len(), most: buffer.capacity() })
            }
            _ => Ok(filled),
        }
    }

    /// The same, with a credit for each.
    #[cold]
    fn stage_each(&self, to: Address, messages: &[&[u8]]) -> Result<usize, SendError> {
        let mut count = 0;
        for message in messages {
            let mut loan = match self.link.try_loan() {
                Ok(loan) => loan,
                Err(error) => return if count == 0 { Err(error) } else { Ok(count) },
            };
            let (len, most) = (message.len(), loan.capacity());
            let staged = loan.bytes().write(0, message).map_err(|_| SendError::TooLong { len, most });
            match staged.and_then(|()| loan.stage(self.address, to, len)) {
                Ok(()) => count += 1,
                Err(error) => return if count == 0 { Err(error) } else { Ok(count) },
            }
        }
        Ok(count)
    }
}

/// Writes a message into its buffer; false if that does not lie in the memory, which the queue has checked.
#[inline(always)]
fn put_message<M: Memory>(memory: &M, buffer: Buffer, header: Header, bytes: &[u8]) -> bool {
    let written = BytesMut::new(memory, buffer.at, HEADER + bytes.len()).and_then(|mut to| {
        to.write(HEADER, bytes)?;
        to.write(0, &header.emit())
    });
    memory.clean(buffer.at, HEADER + bytes.len());
    written.is_ok()
}
