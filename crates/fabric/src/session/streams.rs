//! The services' streams of a session, both sides of them.

use std::sync::Arc;

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Semaphore, oneshot},
    task::JoinSet,
    time::timeout,
};

use super::{
    Session,
    wire::{Status, StreamKind, parse_stream_header, stream_header},
};
use crate::{
    core::Core,
    frame::{self, FrameError, within},
    service::{Channel, FabricError, Incoming, MAX_MESSAGE, Reply, Service},
    timing,
    transport::{BiStream, CloseCode, Priority, RecvStream},
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
        session.conn.close(CloseCode::MISBEHAVED, &error.to_string());
    }
}

/// Reads a body within the session's budget of bytes.
async fn body(session: &Session, recv: &mut dyn RecvStream, length: u32, budget: &Semaphore) -> Option<Bytes> {
    let read = async {
        let fits = usize::try_from(length).is_ok_and(|length| length <= MAX_MESSAGE);
        let wanted = if fits { length } else { 0 };
        let _held = timeout(timing::MESSAGE, budget.acquire_many(wanted)).await.map_err(|_| FrameError::Stalled)?;
        frame::read_body(recv, length, MAX_MESSAGE).await
    };
    read.await.inspect_err(|error| judge(session, error)).ok()
}

async fn serve_uni(core: Arc<Core>, session: Arc<Session>, mut recv: Box<dyn RecvStream>, budget: Arc<Semaphore>) {
    let mut header = [0; 6];
    if let Err(error) = within(recv.read_exact(&mut header)).await {
        return judge(&session, &error);
    }
    let [s0, s1, length @ ..] = header;
    let service = Service(u16::from_le_bytes([s0, s1]));
    let Some(body) = body(&session, recv.as_mut(), u32::from_le_bytes(length), &budget).await else { return };
    if let Some(queue) = core.service(service) {
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
        return session.conn.close(CloseCode::MISBEHAVED, "opened a stream of no known kind");
    };
    let Some(body) = body(&session, recv.as_mut(), length, &budget).await else { return };
    let from = session.remote;
    let Some(queue) = core.service(service) else {
        return answer(send, Status::NoSuchService, &[]).await;
    };
    match kind {
        StreamKind::Stream => {
            if timeout(timing::MESSAGE, send.write_all(&[Status::Ok as u8])).await.is_ok() {
                let channel = Channel { send, recv };
                let _ = timeout(timing::MESSAGE, queue.send(Incoming::Stream { from, header: body, channel })).await;
            }
        }
        StreamKind::Request => {
            let (reply, answered) = oneshot::channel();
            let request = Incoming::Request { from, body, reply: Reply(reply) };
            let asked = async {
                queue.send(request).await.ok()?;
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
async fn answer(mut send: Box<dyn crate::transport::SendStream>, status: Status, body: &[u8]) {
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
    fn lost(&self) -> impl Fn(std::io::Error) -> FabricError + use<> {
        |error| FabricError::Lost(error.to_string())
    }

    /// Asks a service of the other side.
    pub(crate) async fn request(
        &self,
        service: Service,
        priority: Priority,
        body: &[u8],
    ) -> Result<Bytes, FabricError> {
        let (mut send, mut recv) = self.open(StreamKind::Request, service, priority, body).await?;
        send.shutdown().await.map_err(self.lost())?;
        let mut header = [0; 5];
        recv.read_exact(&mut header).await.map_err(self.lost())?;
        let [status, length @ ..] = header;
        match Status::from_byte(status) {
            Some(Status::Ok) => {}
            Some(Status::NoSuchService) => return Err(FabricError::NoSuchService),
            Some(Status::NoAnswer) | None => return Err(FabricError::NoAnswer),
        }
        match frame::read_body(recv.as_mut(), u32::from_le_bytes(length), MAX_MESSAGE).await {
            Ok(body) => Ok(body),
            Err(error) => {
                judge(self, &error);
                Err(FabricError::Lost(error.to_string()))
            }
        }
    }

    /// Tells a service of the other side.
    pub(crate) async fn notify(&self, service: Service, priority: Priority, body: &[u8]) -> Result<(), FabricError> {
        let length = length_of(body)?;
        let mut send = self.conn.open_uni().await.map_err(|closed| FabricError::Lost(closed.to_string()))?;
        send.set_priority(priority);
        let mut message = Vec::with_capacity(6 + body.len());
        message.extend_from_slice(&service.0.to_le_bytes());
        message.extend_from_slice(&length.to_le_bytes());
        message.extend_from_slice(body);
        send.write_all(&message).await.map_err(self.lost())?;
        send.shutdown().await.map_err(self.lost())
    }

    /// Opens a byte stream to a service of the other side.
    pub(crate) async fn open_stream(
        &self,
        service: Service,
        priority: Priority,
        header: &[u8],
    ) -> Result<Channel, FabricError> {
        let (send, mut recv) = self.open(StreamKind::Stream, service, priority, header).await?;
        let mut status = [0];
        recv.read_exact(&mut status).await.map_err(self.lost())?;
        match Status::from_byte(status[0]) {
            Some(Status::Ok) => Ok(Channel { send, recv }),
            Some(Status::NoSuchService) => Err(FabricError::NoSuchService),
            Some(Status::NoAnswer) | None => Err(FabricError::NoAnswer),
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
        let (mut send, recv) = self.conn.open_bi().await.map_err(|closed| FabricError::Lost(closed.to_string()))?;
        send.set_priority(priority);
        let mut message = Vec::with_capacity(7 + body.len());
        message.extend_from_slice(&stream_header(kind, service, length));
        message.extend_from_slice(body);
        send.write_all(&message).await.map_err(self.lost())?;
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
