//! A connection and its streams.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use ::iroh::{
    TransportAddr,
    endpoint::{self as quic, ConnectionError, ReadError, SendDatagramError, Side, VarInt},
};
use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tutti_model::DeviceId;

use super::{MAX_STREAMS, RECEIVE_WINDOW, errors, registry::Registry};
use crate::transport::{
    BiStream, CloseCode, Closed, Connection, MAX_DATAGRAM, Priority, Protocol, RecvStream, SendStream, Traffic,
};

/// What a stream is reset with: the reason matters to nobody.
const RESET: VarInt = VarInt::from_u32(0);

pub(super) struct IrohConnection {
    inner: quic::Connection,
    remote: DeviceId,
    protocol: Protocol,
    registry: Arc<Registry>,
}

impl IrohConnection {
    pub(super) fn new(inner: quic::Connection, protocol: Protocol, registry: Arc<Registry>) -> Self {
        let remote = DeviceId::from_bytes(*inner.remote_id().as_bytes());
        Self { inner, remote, protocol, registry }
    }

    /// Why the connection is over, given what iroh says.
    fn over(&self, error: ConnectionError) -> Closed {
        match errors::closed(error) {
            // What iroh says once the endpoint is gone.
            Closed::Network(_) if self.registry.is_closing() => Closed::Locally,
            other => other,
        }
    }

    /// What `look` sees on the path that is used now.
    fn on_path<T>(&self, look: impl Fn(&quic::Path<'_>) -> Option<T>) -> Option<T> {
        let paths = self.inner.paths();
        paths.iter().find(|path| path.is_selected()).or_else(|| paths.iter().next()).and_then(|path| look(&path))
    }
}

impl Connection for IrohConnection {
    fn remote_id(&self) -> DeviceId {
        self.remote
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        self.on_path(|path| match path.remote_addr() {
            TransportAddr::Ip(addr) => Some(SocketAddr::new(addr.ip().to_canonical(), addr.port())),
            _ => None,
        })
    }

    fn protocol(&self) -> Protocol {
        self.protocol
    }

    fn dialled(&self) -> bool {
        self.inner.side() == Side::Client
    }

    fn admit(&self) {
        if !self.dialled() {
            self.inner.set_max_concurrent_bi_streams(MAX_STREAMS.into());
            self.inner.set_max_concurrent_uni_streams(MAX_STREAMS.into());
            self.inner.set_receive_window(RECEIVE_WINDOW.into());
        }
    }

    fn rtt(&self) -> Option<Duration> {
        self.on_path(|path| Some(path.rtt()))
    }

    fn traffic(&self) -> Traffic {
        let stats = self.inner.stats();
        Traffic { sent: stats.udp_tx.bytes, received: stats.udp_rx.bytes }
    }

    fn open_bi(&self) -> BoxFuture<'_, Result<BiStream, Closed>> {
        async {
            let (send, recv) = self.inner.open_bi().await.map_err(|error| self.over(error))?;
            Ok(bi(send, recv))
        }
        .boxed()
    }

    fn accept_bi(&self) -> BoxFuture<'_, Result<BiStream, Closed>> {
        async {
            let (send, recv) = self.inner.accept_bi().await.map_err(|error| self.over(error))?;
            Ok(bi(send, recv))
        }
        .boxed()
    }

    fn open_uni(&self) -> BoxFuture<'_, Result<Box<dyn SendStream>, Closed>> {
        async {
            let send = self.inner.open_uni().await.map_err(|error| self.over(error))?;
            Ok(Box::new(Sending::new(send)) as Box<dyn SendStream>)
        }
        .boxed()
    }

    fn accept_uni(&self) -> BoxFuture<'_, Result<Box<dyn RecvStream>, Closed>> {
        async {
            let recv = self.inner.accept_uni().await.map_err(|error| self.over(error))?;
            Ok(Box::new(Receiving(recv)) as Box<dyn RecvStream>)
        }
        .boxed()
    }

    fn send_datagram(&self, bytes: Bytes) -> Result<(), Closed> {
        if bytes.len() > MAX_DATAGRAM {
            return Ok(());
        }
        match self.inner.send_datagram(bytes) {
            // In a full queue, the oldest make room. The other faults mean that this one does not fit the path.
            Ok(())
            | Err(SendDatagramError::TooLarge | SendDatagramError::UnsupportedByPeer | SendDatagramError::Disabled) => {
                Ok(())
            }
            Err(SendDatagramError::ConnectionLost(lost)) => Err(self.over(lost)),
        }
    }

    fn recv_datagram(&self) -> BoxFuture<'_, Result<Bytes, Closed>> {
        async { self.inner.read_datagram().await.map_err(|error| self.over(error)) }.boxed()
    }

    fn close(&self, code: CloseCode, reason: &str) {
        self.inner.close(VarInt::from_u32(code.0), reason.as_bytes());
    }

    fn closed(&self) -> BoxFuture<'_, Closed> {
        async { self.over(self.inner.closed().await) }.boxed()
    }
}

fn bi(send: quic::SendStream, recv: quic::RecvStream) -> BiStream {
    (Box::new(Sending::new(send)), Box::new(Receiving(recv)))
}

struct Sending {
    inner: quic::SendStream,
    /// Whether it ended in either way.
    ended: bool,
}

impl Sending {
    fn new(inner: quic::SendStream) -> Self {
        let mut stream = Self { inner, ended: false };
        stream.set_priority(Priority::default());
        stream
    }
}

impl SendStream for Sending {
    fn set_priority(&mut self, priority: Priority) {
        let urgency = match priority {
            Priority::Bulk => 0,
            Priority::Interactive => 1,
            Priority::Membership => 2,
        };
        // A stream that has ended has no bytes left to order.
        let _ = self.inner.set_priority(urgency);
    }

    fn reset(&mut self) {
        self.ended = true;
        // Has ended already: nothing left to drop.
        let _ = self.inner.reset(RESET);
    }
}

impl AsyncWrite for Sending {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes).map_err(errors::write)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.ended, true) {
            // Fails only if the stream has ended without this half knowing: the other side refused it.
            if self.inner.finish().is_err() {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        // Left to itself, the stream would end as if all had been said.
        if !self.ended {
            self.reset();
        }
    }
}

struct Receiving(quic::RecvStream);

impl AsyncRead for Receiving {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        AsyncRead::poll_read(Pin::new(&mut self.0), cx, buffer).map_err(|error| match error.downcast::<ReadError>() {
            Ok(fault) => errors::read(fault),
            Err(other) => other,
        })
    }
}

impl RecvStream for Receiving {}
