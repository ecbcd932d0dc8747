//! Streams: buffers at both ends, credit between them.
//!
//! A writer fills a buffer of [`SEND_BUFFER`] bytes and waits when it is full. The path takes from it what the
//! receiver's credit allows; the receiver gives more credit as its reader consumes. So at most
//! `SEND_BUFFER + WINDOW` bytes of a stream are on their way.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    task::{Context, Poll},
};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::ReadBuf;

use super::{
    connection::HalfId,
    link::{Frame, Turn},
    world::{Waiters, World},
};
use crate::transport::{Closed, Priority};

/// What a writer may be ahead of the path.
pub(super) const SEND_BUFFER: usize = 64 * 1024;

/// What the path may be ahead of the reader.
pub(super) const WINDOW: u64 = 256 * 1024;

/// How many streams of one direction the other side may have open (quinn's default).
pub(super) const MAX_STREAMS: u64 = 100;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Direction {
    Uni,
    Bi,
}

/// One stream of a connection; the same at both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamId {
    pub(super) direction: Direction,
    /// Whether the side that dialled opened it.
    by_dialler: bool,
    index: u64,
}

impl StreamId {
    /// A number below 32 that neighbouring streams of a connection do not share.
    pub(super) fn residue(self) -> u8 {
        let index = u8::try_from(self.index % 8).unwrap_or(0);
        u8::from(self.direction == Direction::Bi) << 4 | u8::from(self.by_dialler) << 3 | index
    }
}

#[derive(Default)]
pub(super) struct SendHalf {
    pub(super) priority: Priority,
    /// Its place in the row of those that wait for the path.
    pub(super) turn: Option<Turn>,
    buffer: BytesMut,
    sent: u64,
    credit: u64,
    finished: bool,
    end_sent: bool,
    stopped: bool,
    /// Whether its writer has gone, so that it goes too once all is sent.
    orphaned: bool,
    writing: Waiters,
}

impl SendHalf {
    fn new() -> Self {
        Self { credit: WINDOW, ..Self::default() }
    }

    pub(super) fn has_something_to_send(&self) -> bool {
        if self.buffer.is_empty() { self.finished && !self.end_sent } else { self.sent < self.credit }
    }
}

#[derive(Default)]
pub(super) struct RecvHalf {
    /// Whether anything has arrived, so that it may be accepted.
    announced: bool,
    ready: VecDeque<Bytes>,
    early: BTreeMap<u64, Bytes>,
    arrived: u64,
    read: u64,
    credited: u64,
    end: Option<u64>,
    reset: bool,
    /// Whether its reader has seen the end, of either kind.
    done: bool,
    reading: Waiters,
}

impl RecvHalf {
    fn new(announced: bool) -> Self {
        Self { announced, credited: WINDOW, ..Self::default() }
    }

    fn complete(&self) -> bool {
        self.end == Some(self.arrived)
    }
}

/// How many streams of one direction there are.
pub(super) struct Budget {
    /// Opened by this side so far, and how many it may have opened.
    pub(super) opened: u64,
    pub(super) allowed: u64,
    /// How many the other side has been told that it may open.
    granted: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { opened: 0, allowed: MAX_STREAMS, granted: MAX_STREAMS }
    }
}

/// What is true of an end of a connection that has no such stream any more.
fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "this stream is over")
}

impl World {
    pub(super) fn send_half(&mut self, half: HalfId, stream: StreamId) -> Option<&mut SendHalf> {
        self.halves.get_mut(&half)?.sends.get_mut(&stream)
    }

    fn recv_half(&mut self, half: HalfId, stream: StreamId) -> Option<&mut RecvHalf> {
        self.halves.get_mut(&half)?.recvs.get_mut(&stream)
    }

    /// Opens a stream, at both ends: the other end shows it only when something arrives.
    pub(super) fn open_stream(&mut self, half: HalfId, direction: Direction) -> Option<StreamId> {
        let mine = self.halves.get_mut(&half)?;
        let budget = mine.budgets.entry(direction).or_default();
        if budget.opened >= budget.allowed {
            return None;
        }
        let stream = StreamId { direction, by_dialler: half.dialler, index: budget.opened };
        budget.opened += 1;
        mine.sends.insert(stream, SendHalf::new());
        if direction == Direction::Bi {
            mine.recvs.insert(stream, RecvHalf::new(true));
        }
        if let Some(theirs) = self.halves.get_mut(&half.other()).filter(|theirs| theirs.over.is_none()) {
            theirs.recvs.insert(stream, RecvHalf::new(false));
            if direction == Direction::Bi {
                theirs.sends.insert(stream, SendHalf::new());
            }
            theirs.parts.insert(stream, if direction == Direction::Bi { 2 } else { 1 });
        }
        Some(stream)
    }

    pub(super) fn poll_write(
        &mut self,
        half: HalfId,
        stream: StreamId,
        bytes: &[u8],
        cx: &Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if let Some(over) = self.over(half) {
            return Poll::Ready(Err(over.into()));
        }
        let Some(send) = self.send_half(half, stream) else { return Poll::Ready(Err(gone())) };
        if send.stopped {
            let stopped = io::Error::new(io::ErrorKind::ConnectionReset, "the other side wants no more of this stream");
            return Poll::Ready(Err(stopped));
        }
        if send.finished {
            return Poll::Ready(Err(gone()));
        }
        let taken = bytes.len().min(SEND_BUFFER.saturating_sub(send.buffer.len()));
        if taken == 0 && !bytes.is_empty() {
            send.writing.add(cx);
            return Poll::Pending;
        }
        send.buffer.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        self.line_up(half, stream);
        Poll::Ready(Ok(taken))
    }

    /// Ends a stream in good order.
    pub(super) fn finish(&mut self, half: HalfId, stream: StreamId) -> io::Result<()> {
        if let Some(over) = self.over(half) {
            return Err(over.into());
        }
        match self.send_half(half, stream) {
            Some(send) if !send.stopped => send.finished = true,
            _ => return Err(gone()),
        }
        self.line_up(half, stream);
        Ok(())
    }

    pub(super) fn set_priority(&mut self, half: HalfId, stream: StreamId, priority: Priority) {
        if let Some(send) = self.send_half(half, stream) {
            send.priority = priority;
            self.step_out(half, stream);
            self.line_up(half, stream);
        }
    }

    /// Ends a stream at once, unless all of it has been sent already.
    pub(super) fn reset(&mut self, half: HalfId, stream: StreamId) {
        self.step_out(half, stream);
        let send = self.halves.get_mut(&half).and_then(|half| half.sends.remove(&stream));
        let Some(send) = send else { return };
        self.wake_all(send.writing);
        if !send.end_sent {
            self.send_frame(half, Frame::Reset(stream));
            self.part_done(half, stream);
        }
    }

    /// Its writer has gone: what is finished is still sent, anything else is reset.
    pub(super) fn drop_sender(&mut self, half: HalfId, stream: StreamId) {
        match self.send_half(half, stream) {
            Some(send) if send.finished && !send.end_sent && !send.stopped => send.orphaned = true,
            Some(_) => self.reset(half, stream),
            None => (),
        }
    }

    /// The next bytes of a stream that go over the path.
    pub(super) fn next_data(&mut self, half: HalfId, stream: StreamId, most: usize) -> Option<Frame> {
        let send = self.send_half(half, stream).filter(|send| send.has_something_to_send())?;
        let credit = usize::try_from(send.credit.saturating_sub(send.sent)).unwrap_or(usize::MAX);
        let bytes = send.buffer.split_to(most.min(credit).min(send.buffer.len())).freeze();
        let offset = send.sent;
        send.sent += bytes.len() as u64;
        let end = send.finished && send.buffer.is_empty();
        send.end_sent |= end;
        let gone = end && send.orphaned;
        self.wake(|world| world.send_half(half, stream).map(|send| &mut send.writing));
        if end {
            self.part_done(half, stream);
        }
        if gone {
            self.halves.get_mut(&half)?.sends.remove(&stream);
        }
        Some(Frame::Data { stream, offset, bytes, end })
    }

    pub(super) fn poll_read(
        &mut self,
        half: HalfId,
        stream: StreamId,
        buf: &mut ReadBuf<'_>,
        cx: &Context<'_>,
    ) -> Poll<io::Result<()>> {
        let over = self.over(half);
        let Some(recv) = self.recv_half(half, stream) else {
            return Poll::Ready(Err(over.map_or_else(gone, io::Error::from)));
        };
        let before = buf.remaining();
        while let Some(chunk) = recv.ready.front_mut().filter(|_| buf.remaining() > 0) {
            let taken = chunk.len().min(buf.remaining());
            buf.put_slice(&chunk.split_to(taken));
            if !chunk.has_remaining() {
                recv.ready.pop_front();
            }
        }
        let taken = before - buf.remaining();
        if taken > 0 {
            recv.read += taken as u64;
            // Asked for in quarters of the window, as QUIC does.
            if recv.end.is_none() && recv.read + WINDOW >= recv.credited + WINDOW / 4 {
                recv.credited = recv.read + WINDOW;
                let credit = Frame::Credit(stream, recv.credited);
                self.send_frame(half, credit);
            }
            return Poll::Ready(Ok(()));
        }
        if before == 0 {
            return Poll::Ready(Ok(()));
        }
        let (reset, complete) = (recv.reset, recv.complete());
        if reset || complete {
            if !std::mem::replace(&mut recv.done, true) {
                self.part_done(half, stream);
            }
            let reset_error = || io::Error::new(io::ErrorKind::ConnectionReset, "the other side cut this stream short");
            return Poll::Ready(if reset { Err(reset_error()) } else { Ok(()) });
        }
        if let Some(over) = over {
            return Poll::Ready(Err(over.into()));
        }
        recv.reading.add(cx);
        Poll::Pending
    }

    /// Its reader has gone: the sender is told to stop.
    pub(super) fn drop_receiver(&mut self, half: HalfId, stream: StreamId) {
        let recv = self.halves.get_mut(&half).and_then(|half| half.recvs.remove(&stream));
        let Some(recv) = recv.filter(|recv| !recv.done) else { return };
        if !recv.complete() && !recv.reset {
            self.send_frame(half, Frame::Stop(stream));
        }
        self.part_done(half, stream);
    }

    pub(super) fn on_data(&mut self, half: HalfId, stream: StreamId, offset: u64, bytes: Bytes, end: bool) {
        let Some(recv) = self.recv_half(half, stream).filter(|recv| !recv.reset) else { return };
        if end {
            recv.end = Some(offset + bytes.len() as u64);
        }
        if !bytes.is_empty() {
            recv.early.insert(offset, bytes);
        }
        while let Some(bytes) = recv.early.remove(&recv.arrived) {
            recv.arrived += bytes.len() as u64;
            recv.ready.push_back(bytes);
        }
        self.wake(|world| world.recv_half(half, stream).map(|recv| &mut recv.reading));
        self.announce(half, stream);
    }

    pub(super) fn on_reset(&mut self, half: HalfId, stream: StreamId) {
        let Some(recv) = self.recv_half(half, stream).filter(|recv| !recv.complete()) else { return };
        recv.reset = true;
        recv.ready.clear();
        recv.early.clear();
        self.wake(|world| world.recv_half(half, stream).map(|recv| &mut recv.reading));
        self.announce(half, stream);
    }

    pub(super) fn on_stop(&mut self, half: HalfId, stream: StreamId) {
        self.step_out(half, stream);
        let Some(send) = self.send_half(half, stream).filter(|send| !send.end_sent) else { return };
        if send.orphaned {
            self.reset(half, stream);
            return;
        }
        send.stopped = true;
        send.buffer.clear();
        self.wake(|world| world.send_half(half, stream).map(|send| &mut send.writing));
    }

    pub(super) fn on_credit(&mut self, half: HalfId, stream: StreamId, upto: u64) {
        if let Some(send) = self.send_half(half, stream) {
            send.credit = send.credit.max(upto);
            self.line_up(half, stream);
        }
    }

    pub(super) fn on_streams(&mut self, half: HalfId, direction: Direction, upto: u64) {
        let Some(mine) = self.halves.get_mut(&half) else { return };
        let budget = mine.budgets.entry(direction).or_default();
        budget.allowed = budget.allowed.max(upto);
        self.wake(|world| world.halves.get_mut(&half).map(|half| half.opening.entry(direction).or_default()));
    }

    /// Puts a stream of the other side in the queue of those to be accepted, once.
    fn announce(&mut self, half: HalfId, stream: StreamId) {
        let Some(mine) = self.halves.get_mut(&half) else { return };
        let Some(recv) = mine.recvs.get_mut(&stream).filter(|recv| !recv.announced) else { return };
        recv.announced = true;
        mine.arrived.entry(stream.direction).or_default().push_back(stream);
        self.wake(|world| world.halves.get_mut(&half).map(|half| half.accepting.entry(stream.direction).or_default()));
    }

    /// One half of a stream is done with; when all of a stream of the other side is, it may open another.
    fn part_done(&mut self, half: HalfId, stream: StreamId) {
        let Some(mine) = self.halves.get_mut(&half) else { return };
        let Some(parts) = mine.parts.get_mut(&stream) else { return };
        *parts -= 1;
        if *parts > 0 {
            return;
        }
        mine.parts.remove(&stream);
        let budget = mine.budgets.entry(stream.direction).or_default();
        budget.granted += 1;
        let more = Frame::Streams(stream.direction, budget.granted);
        self.send_frame(half, more);
    }
}

/// Everything that waits for streams of a connection that is over.
pub(super) fn waiters_of(
    sends: &mut BTreeMap<StreamId, SendHalf>,
    recvs: &mut BTreeMap<StreamId, RecvHalf>,
) -> Vec<Waiters> {
    let writing = sends.values_mut().map(|send| std::mem::take(&mut send.writing));
    let reading = recvs.values_mut().map(|recv| std::mem::take(&mut recv.reading));
    writing.chain(reading).collect()
}

/// Why nothing more can be done on a connection, if so.
impl World {
    pub(super) fn over(&self, half: HalfId) -> Option<Closed> {
        match self.halves.get(&half) {
            Some(half) => half.over.clone(),
            None => Some(Closed::Locally),
        }
    }
}
