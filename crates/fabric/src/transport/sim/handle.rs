//! The handles that the fabric holds: thin, all state is in the world.

use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tutti_model::DeviceId;

use super::{
    connection::{Claimed, HalfId},
    dial::DialId,
    stream::{Direction, StreamId},
    world::{EndpointId, Shared},
};
use crate::transport::{
    BiStream, CloseCode, Closed, ConnectError, Connection, Priority, Protocol, RecvStream, SendStream, Traffic,
    Transport,
};

/// One device's transport on a simulated network. When the last handle is dropped it stops listening.
pub struct SimTransport {
    shared: Arc<Shared>,
    endpoint: EndpointId,
    device: DeviceId,
}

impl SimTransport {
    pub(super) fn new(shared: Arc<Shared>, endpoint: EndpointId, device: DeviceId) -> Self {
        Self { shared, endpoint, device }
    }

    /// Moves this transport to another address, as when a device joins another network. Its connections follow;
    /// whoever dials the old address finds nobody. Returns whether the address was free and the transport open.
    pub fn move_to(&self, addr: SocketAddr) -> bool {
        self.shared.enter(|world| world.rebind(self.endpoint, addr))
    }

    fn handle(&self, (half, remote, protocol): Claimed) -> Arc<dyn Connection> {
        Arc::new(SimConnection(Arc::new(Claim { shared: self.shared.clone(), half, remote, protocol })))
    }
}

impl Drop for SimTransport {
    fn drop(&mut self) {
        self.shared.enter(|world| world.unbind(self.endpoint));
    }
}

/// Forgets a dial whose future is dropped.
struct Dialling<'a> {
    shared: &'a Shared,
    dial: DialId,
}

impl Drop for Dialling<'_> {
    fn drop(&mut self) {
        self.shared.enter(|world| world.forget_dial(self.dial));
    }
}

impl Transport for SimTransport {
    fn local_id(&self) -> DeviceId {
        self.device
    }

    fn local_addrs(&self) -> Vec<SocketAddr> {
        self.shared.enter(|world| {
            let endpoint = world.endpoints.get(&self.endpoint).filter(|endpoint| endpoint.open);
            endpoint.map(|endpoint| endpoint.addr).into_iter().collect()
        })
    }

    fn connect(
        &self,
        to: DeviceId,
        addrs: Vec<SocketAddr>,
        protocol: Protocol,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Arc<dyn Connection>, ConnectError>> {
        Box::pin(async move {
            let dial = self.shared.enter(|world| world.dial(self.endpoint, to, addrs, protocol, timeout))?;
            let dialling = Dialling { shared: &self.shared, dial };
            let half = poll_fn(|cx| dialling.shared.enter(|world| world.poll_dial(dial, cx))).await?;
            Ok(self.handle(half))
        })
    }

    fn accept(&self) -> BoxFuture<'_, Option<Arc<dyn Connection>>> {
        Box::pin(async move {
            let half = poll_fn(|cx| self.shared.enter(|world| world.poll_incoming(self.endpoint, cx))).await?;
            Some(self.handle(half))
        })
    }

    fn network_changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.shared.enter(|world| {
                world.unbind(self.endpoint);
                for half in world.halves_of(self.endpoint) {
                    world.close(half, CloseCode::SHUTDOWN, "the device shuts down");
                }
            });
        })
    }
}

/// One end of a connection, shared by its handle and its streams; when the last of them goes it is closed.
struct Claim {
    shared: Arc<Shared>,
    half: HalfId,
    remote: DeviceId,
    protocol: Protocol,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.shared.enter(|world| world.release(self.half));
    }
}

struct SimConnection(Arc<Claim>);

impl SimConnection {
    async fn open(&self, direction: Direction) -> Result<StreamId, Closed> {
        poll_fn(|cx| self.0.shared.enter(|world| world.poll_open(self.0.half, direction, cx))).await
    }

    async fn accepted(&self, direction: Direction) -> Result<StreamId, Closed> {
        poll_fn(|cx| self.0.shared.enter(|world| world.poll_accept(self.0.half, direction, cx))).await
    }

    fn send(&self, stream: StreamId) -> Box<dyn SendStream> {
        Box::new(SimSend { claim: self.0.clone(), stream })
    }

    fn recv(&self, stream: StreamId) -> Box<dyn RecvStream> {
        Box::new(SimRecv { claim: self.0.clone(), stream })
    }
}

impl Connection for SimConnection {
    fn remote_id(&self) -> DeviceId {
        self.0.remote
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        self.0.shared.enter(|world| world.remote_addr(self.0.half))
    }

    fn protocol(&self) -> Protocol {
        self.0.protocol
    }

    fn dialled(&self) -> bool {
        self.0.half.dialler
    }

    fn rtt(&self) -> Option<Duration> {
        self.0.shared.enter(|world| world.halves.get(&self.0.half).and_then(|half| half.rtt))
    }

    fn traffic(&self) -> Traffic {
        let traffic = self.0.shared.enter(|world| world.halves.get(&self.0.half).map(|half| half.traffic));
        traffic.unwrap_or_default()
    }

    fn open_bi(&self) -> BoxFuture<'_, Result<BiStream, Closed>> {
        Box::pin(async {
            let stream = self.open(Direction::Bi).await?;
            Ok((self.send(stream), self.recv(stream)))
        })
    }

    fn accept_bi(&self) -> BoxFuture<'_, Result<BiStream, Closed>> {
        Box::pin(async {
            let stream = self.accepted(Direction::Bi).await?;
            Ok((self.send(stream), self.recv(stream)))
        })
    }

    fn open_uni(&self) -> BoxFuture<'_, Result<Box<dyn SendStream>, Closed>> {
        Box::pin(async { self.open(Direction::Uni).await.map(|stream| self.send(stream)) })
    }

    fn accept_uni(&self) -> BoxFuture<'_, Result<Box<dyn RecvStream>, Closed>> {
        Box::pin(async { self.accepted(Direction::Uni).await.map(|stream| self.recv(stream)) })
    }

    fn send_datagram(&self, bytes: Bytes) -> Result<(), Closed> {
        self.0.shared.enter(|world| world.send_datagram(self.0.half, bytes))
    }

    fn recv_datagram(&self) -> BoxFuture<'_, Result<Bytes, Closed>> {
        Box::pin(poll_fn(|cx| self.0.shared.enter(|world| world.poll_datagram(self.0.half, cx))))
    }

    fn close(&self, code: CloseCode, reason: &str) {
        self.0.shared.enter(|world| world.close(self.0.half, code, reason));
    }

    fn closed(&self) -> BoxFuture<'_, Closed> {
        Box::pin(poll_fn(|cx| self.0.shared.enter(|world| world.poll_closed(self.0.half, cx))))
    }
}

struct SimSend {
    claim: Arc<Claim>,
    stream: StreamId,
}

impl SendStream for SimSend {
    fn set_priority(&mut self, priority: Priority) {
        self.claim.shared.enter(|world| world.set_priority(self.claim.half, self.stream, priority));
    }

    fn reset(&mut self) {
        self.claim.shared.enter(|world| world.reset(self.claim.half, self.stream));
    }
}

impl AsyncWrite for SimSend {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.claim.shared.enter(|world| world.poll_write(self.claim.half, self.stream, bytes, cx))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.claim.shared.enter(|world| world.finish(self.claim.half, self.stream)))
    }
}

impl Drop for SimSend {
    fn drop(&mut self) {
        self.claim.shared.enter(|world| world.drop_sender(self.claim.half, self.stream));
    }
}

struct SimRecv {
    claim: Arc<Claim>,
    stream: StreamId,
}

impl RecvStream for SimRecv {}

impl AsyncRead for SimRecv {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.claim.shared.enter(|world| world.poll_read(self.claim.half, self.stream, buf, cx))
    }
}

impl Drop for SimRecv {
    fn drop(&mut self) {
        self.claim.shared.enter(|world| world.drop_receiver(self.claim.half, self.stream));
    }
}
