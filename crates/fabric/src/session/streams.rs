//! The services' streams of a session, both sides of them.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    sync::{Semaphore, SemaphorePermit, oneshot},
    task::JoinSet,
    time::timeout,
};

use super::{
    Session, Use,
    wire::{Status, StreamKind, parse_stream_header, stream_header},
};
use crate::{
    core::Core,
    frame::{self, FrameError, within},
    service::{Channel, FabricError, Incoming, MAX_MESSAGE, Reply, Service},
    timing,
    transport::{BiStream, CloseCode, Priority, RecvStream, SendStream},
};

/// How many streams of one member are served at once, and how many bytes of its messages are held meanwhile: what
/// one member can cost.
const STREAMS: usize = 256;
const BYTES: usize = 8 * MAX_MESSAGE;

/// Serves the streams that the other side opens, until aborted or the connection is over.
pub(super) async fn serve(core: Arc<Core>, session: Arc<Session>) {
    let budget = Arc::new(Semaphore::new(BYTES));
    let mut served = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = served.join_next() => {}
            stream = session.conn.accept_bi(), if served.len() < STREAMS => match stream {
                Ok(stream) => {
                    served.spawn(serve_bi(core.clone(), session.clone(), stream, budget.clone()));
                }
                Err(_) => break,
            },
            stream = session.conn.accept_uni(), if served.len() < STREAMS => match stream {
                Ok(stream) => {
                    served.spawn(serve_uni(core.clone(), session.clone(), stream, budget.clone()));
                }
                Err(_) => break,
            },
        }
    }
}

/// What came in on a stream cannot be used: the other side's fault ends the session, the network's does not.
fn judge(session: &Session, error: &FrameError) {
    if error.is_misbehaviour() {
        session.close(CloseCode::MISBEHAVED, &error.to_string());
    }
}

/// Reads a body within the session's budget of bytes, which it takes up until it is passed on.
async fn body<'a>(
    session: &Session,
    recv: &mut dyn RecvStream,
    length: u32,
    budget: &'a Semaphore,
) -> Option<(Bytes, SemaphorePermit<'a>)> {
    let read = async {
        let fits = usize::try_from(length).is_ok_and(|length| length <= MAX_MESSAGE);
        let wanted = if fits { length } else { 0 };
        let held = timeout(timing::MESSAGE, budget.acquire_many(wanted)).await.ok().and_then(Result::ok);
        let held = held.ok_or(FrameError::Stalled)?;
        Ok((frame::read_body(recv, length, MAX_MESSAGE).await?, held))
    };
    read.await.inspect_err(|error| judge(session, error)).ok()
}

async fn serve_uni(core: Arc<Core>, session: Arc<Session>, mut recv: Box<dyn RecvStream>, budget: Arc<Semaphore>) {
    let mut header = [0; 6];
    if let Err(error) = within(recv.read_exact(&mut header)).await {
        return judge(&session, &error);
    }
    let [s0, s1, length @ ..] = header;
    let _used = session.in_use.clone();
    let queue = core.service(Service(u16::from_le_bytes([s0, s1]))).await;
    let read = body(&session, recv.as_mut(), u32::from_le_bytes(length), &budget).await;
    if let (Some(queue), Some((body, _held))) = (queue, read) {
        let notice = Incoming::Notice { from: session.remote, body };
        let _ = timeout(timing::MESSAGE, queue.send(notice)).await;
    }
}

async fn serve_bi(core: Arc<Core>, session: Arc<Session>, stream: BiStream, budget: Arc<Semaphore>) {
    let (mut send, mut recv) = stream;
    let mut header = [0; 7];
    if let Err(error) = within(recv.read_exact(&mut header)).await {
        return judge(&session, &error);
    }
    let Some((kind, service, length)) = parse_stream_header(header) else {
        return session.close(CloseCode::MISBEHAVED, "opened a stream of no known kind");
    };
    let used = session.in_use.clone();
    let queue = core.service(service).await;
    let Some((body, held)) = body(&session, recv.as_mut(), length, &budget).await else { return };
    let from = session.remote;
    let Some(queue) = queue else {
        return answer(send, Status::NoSuchService, &[]).await;
    };
    match kind {
        StreamKind::Stream => {
            if timeout(timing::MESSAGE, send.write_all(&[Status::Ok as u8])).await.is_ok() {
                let channel = session.channel((send, recv), used);
                let _ = timeout(timing::MESSAGE, queue.send(Incoming::Stream { from, header: body, channel })).await;
            }
        }
        StreamKind::Request => {
            let (reply, answered) = oneshot::channel();
            let request = Incoming::Request { from, body, reply: Reply(reply) };
            let asked = async {
                queue.send(request).await.ok()?;
                drop(held);
                answered.await.ok().filter(|body| body.len() <= MAX_MESSAGE)
            };
            match timeout(timing::ANSWER, asked).await.ok().flatten() {
                Some(body) => answer(send, Status::Ok, &body).await,
                None => answer(send, Status::NoAnswer, &[]).await,
            }
        }
    }
}

/// Sends a reply. If it does not get through, the other side sees the stream break.
async fn answer(mut send: Box<dyn SendStream>, status: Status, body: &[u8]) {
    let written = async {
        // `body` is at most a mebibyte by now.
        let length = u32::try_from(body.len()).unwrap_or(0).to_le_bytes();
        let mut message = Vec::with_capacity(5 + body.len());
        message.push(status as u8);
        message.extend_from_slice(&length);
        message.extend_from_slice(body);
        send.write_all(&message).await?;
        send.shutdown().await
    };
    let _ = timeout(timing::MESSAGE, written).await;
}

impl Session {
    /// Asks a service of the other side.
    pub(crate) async fn request(
        &self,
        service: Service,
        priority: Priority,
        body: &[u8],
    ) -> Result<Bytes, FabricError> {
        let _used = self.in_use.clone();
        let (mut send, mut recv) = self.open(StreamKind::Request, service, priority, body).await?;
        send.shutdown().await.map_err(|error| self.lost(error))?;
        let mut header = [0; 5];
        recv.read_exact(&mut header).await.map_err(|error| self.lost(error))?;
        let [status, length @ ..] = header;
        match Status::from_byte(status) {
            Some(Status::Ok) => {}
            Some(Status::NoSuchService) => return Err(FabricError::NoSuchService),
            Some(Status::NoAnswer) | None => return Err(FabricError::NoAnswer),
        }
        match frame::read_body(recv.as_mut(), u32::from_le_bytes(length), MAX_MESSAGE).await {
            // What it says that was removed meanwhile counts for nothing.
            Ok(_) if self.is_revoked() => Err(FabricError::NotAMember),
            Ok(body) => Ok(body),
            Err(error) => {
                judge(self, &error);
                Err(self.lost(error))
            }
        }
    }

    /// Tells a service of the other side.
    pub(crate) async fn notify(&self, service: Service, priority: Priority, body: &[u8]) -> Result<(), FabricError> {
        let length = length_of(body)?;
        let _used = self.in_use.clone();
        let mut send = self.conn.open_uni().await.map_err(|closed| self.lost(closed))?;
        send.set_priority(priority);
        let mut message = Vec::with_capacity(6 + body.len());
        message.extend_from_slice(&service.0.to_le_bytes());
        message.extend_from_slice(&length.to_le_bytes());
        message.extend_from_slice(body);
        send.write_all(&message).await.map_err(|error| self.lost(error))?;
        send.shutdown().await.map_err(|error| self.lost(error))
    }

    /// Opens a byte stream to a service of the other side.
    pub(crate) async fn open_stream(
        &self,
        service: Service,
        priority: Priority,
        header: &[u8],
    ) -> Result<Channel, FabricError> {
        let used = self.in_use.clone();
        let (send, mut recv) = self.open(StreamKind::Stream, service, priority, header).await?;
        let mut status = [0];
        recv.read_exact(&mut status).await.map_err(|error| self.lost(error))?;
        match Status::from_byte(status[0]) {
            Some(Status::Ok) => Ok(self.channel((send, recv), used)),
            Some(Status::NoSuchService) => Err(FabricError::NoSuchService),
            Some(Status::NoAnswer) | None => Err(FabricError::NoAnswer),
        }
    }

    fn channel(&self, (send, recv): BiStream, used: Use) -> Channel {
        let revoked = || self.revoked.clone();
        Channel {
            send: Box::new(Half { stream: send, revoked: revoked(), _used: used.clone() }),
            recv: Box::new(Half { stream: recv, revoked: revoked(), _used: used }),
        }
    }

    async fn open(
        &self,
        kind: StreamKind,
        service: Service,
        priority: Priority,
        body: &[u8],
    ) -> Result<BiStream, FabricError> {
        let length = length_of(body)?;
        let (mut send, recv) = self.conn.open_bi().await.map_err(|closed| self.lost(closed))?;
        send.set_priority(priority);
        let mut message = Vec::with_capacity(7 + body.len());
        message.extend_from_slice(&stream_header(kind, service, length));
        message.extend_from_slice(body);
        send.write_all(&message).await.map_err(|error| self.lost(error))?;
        Ok((send, recv))
    }
}

/// The length of a message, if it may be sent.
fn length_of(body: &[u8]) -> Result<u32, FabricError> {
    let too_large = FabricError::TooLarge { max: MAX_MESSAGE };
    if body.len() > MAX_MESSAGE {
        return Err(too_large);
    }
    u32::try_from(body.len()).map_err(|_| too_large)
}

/// Half of a byte stream. As long as it is there, its session is in use; once the other side is no longer a member,
/// nothing more comes or goes.
struct Half<S> {
    stream: S,
    revoked: Arc<AtomicBool>,
    _used: Use,
}

impl<S: Unpin> Half<S> {
    fn open(&mut self) -> io::Result<Pin<&mut S>> {
        if self.revoked.load(Ordering::Acquire) {
            let gone = FabricError::NotAMember.to_string();
            return Err(io::Error::new(io::ErrorKind::ConnectionReset, gone));
        }
        Ok(Pin::new(&mut self.stream))
    }
}

impl AsyncRead for Half<Box<dyn RecvStream>> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.open()?.poll_read(cx, buf)
    }
}

impl RecvStream for Half<Box<dyn RecvStream>> {}

impl AsyncWrite for Half<Box<dyn SendStream>> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.open()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.open()?.poll_shutdown(cx)
    }
}

impl SendStream for Half<Box<dyn SendStream>> {
    fn set_priority(&mut self, priority: Priority) {
        self.stream.set_priority(priority);
    }

    fn reset(&mut self) {
        self.stream.reset();
    }
}
