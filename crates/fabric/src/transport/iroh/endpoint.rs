//! Binding, dialling, closing.

use std::{
    fmt, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use ::iroh::{
    Endpoint, EndpointAddr, EndpointId, SecretKey, TransportAddr,
    dns::DnsResolver,
    endpoint::{self as quic, BindOpts, ConnectOptions, PortmapperConfig, QuicTransportConfig, VarInt, presets},
};
use ed25519_dalek::SigningKey;
use futures_util::{FutureExt, future::BoxFuture};
use rand::RngExt;
use tokio::{
    sync::{Mutex, mpsc, watch},
    task::JoinHandle,
    time,
};
use tutti_model::DeviceId;
use zeroize::Zeroizing;

use super::{
    DATAGRAM_QUEUE, MAX_ADDRS, MAX_STREAMS, RECEIVE_WINDOW, SEND_WINDOW, STRANGER_STREAMS, STRANGER_WINDOW,
    STREAM_WINDOW, SUSPECT_AFTER, accept, addressee, connection::IrohConnection, errors, local, registry::Registry,
};
use crate::{
    addresses::dialable,
    transport::{CloseCode, ConnectError, Connection, Protocol, Transport},
};

/// The longest that closing takes. A dial that nobody has answered is waited for as long as three probes of it take (RFC 9000, section 10.2), nine times
/// [`INITIAL_RTT`]; an endpoint that is left before it has ended says so as an error.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(1400);
/// How often another port is tried when one that was free is taken in between.
const PORT_ATTEMPTS: usize = 16;
/// Before the first answer: on the networks that this is for, answers come sooner than the 333 ms of RFC 9002, and a lost
/// first packet is repeated after three times this.
const INITIAL_RTT: Duration = Duration::from_millis(100);
/// A connection on which nothing is heard for so long is over.
const IDLE_TIMEOUT_MS: u32 = 30_000;

/// How to bind.
pub struct IrohConfig {
    /// The device's key.
    pub key: SigningKey,
    /// The UDP port, the same for IPv4 and IPv6; 0 for any that is free.
    pub port: u16,
}

/// Why the network cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum BindError {
    /// Another process has the port.
    PortInUse {
        /// The port.
        port: u16,
    },
    /// The operating system said no.
    Socket {
        /// The port that was asked for.
        port: u16,
        /// What it said.
        error: io::Error,
    },
    /// iroh could not start.
    Start(String),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortInUse { port } => write!(
                f,
                "UDP port {port} is in use by another program; stop that one, or choose another port (0 for any free one)"
            ),
            Self::Socket { port, error } => write!(f, "could not open UDP port {port}: {error}"),
            Self::Start(why) => write!(f, "could not start the network: {why}"),
        }
    }
}

impl std::error::Error for BindError {}

/// The network of iroh. Must be used within a tokio runtime.
pub struct IrohTransport {
    endpoint: Endpoint,
    id: DeviceId,
    registry: Arc<Registry>,
    accepted: Mutex<mpsc::Receiver<Arc<dyn Connection>>>,
    acceptor: JoinHandle<()>,
    closed: watch::Sender<bool>,
}

impl IrohTransport {
    /// Opens the port.
    pub async fn bind(config: IrohConfig) -> Result<Self, BindError> {
        let key = SecretKey::from_bytes(&Zeroizing::new(config.key.to_bytes()));
        let endpoint = if config.port == 0 { bind_any(key).await? } else { bind_port(key, config.port).await? };
        let registry = Arc::new(Registry::default());
        let (sender, receiver) = mpsc::channel(accept::QUEUE);
        let acceptor = tokio::spawn(accept::run(endpoint.clone(), registry.clone(), sender));
        Ok(Self {
            id: DeviceId::from_bytes(*endpoint.id().as_bytes()),
            endpoint,
            registry,
            accepted: Mutex::new(receiver),
            acceptor,
            closed: watch::Sender::new(false),
        })
    }

    /// The UDP port, the same for IPv4 and IPv6.
    pub fn port(&self) -> u16 {
        self.endpoint.bound_sockets().first().map_or(0, SocketAddr::port)
    }

    /// The addresses at which other processes of this machine reach this one, the quickest first.
    pub fn same_host_addrs(&self) -> Vec<SocketAddr> {
        let loopback = self.endpoint.bound_sockets().into_iter().map(|bound| match bound {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, bound.port())),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::LOCALHOST, bound.port())),
        });
        let mut addrs: Vec<_> = loopback.collect();
        addrs.extend(self.local_addrs().into_iter().filter(|addr| !addr.ip().is_loopback()));
        addrs
    }

    #[cfg(test)]
    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Whether nothing of it is left.
    #[cfg(test)]
    pub(super) fn is_ended(&self) -> bool {
        self.endpoint.is_closed()
    }

    async fn dial(
        &self,
        to: DeviceId,
        addrs: Vec<SocketAddr>,
        protocol: Protocol,
    ) -> Result<Arc<dyn Connection>, ConnectError> {
        let addrs: Vec<_> = addrs.into_iter().filter_map(dialable).take(MAX_ADDRS).map(TransportAddr::Ip).collect();
        if addrs.is_empty() {
            return Err(ConnectError::NoAddress);
        }
        let id = EndpointId::from_bytes(to.as_bytes())
            .map_err(|_| ConnectError::Network("its id is not a possible key".into()))?;
        let target = EndpointAddr::from_parts(id, addrs);
        let older: Vec<_> =
            self.registry.with(to).into_iter().map(|connection| (heard(&connection), connection)).collect();
        let connection = tokio::select! {
            result = self.attempt(to, &target, protocol) => result?,
            () = give_up_silent(older) => self.attempt(to, &target, protocol).await?,
        };
        if self.is_closed() {
            return Err(ConnectError::Closed);
        }
        if !self.registry.adopt(to, &connection, None) {
            connection.close(VarInt::from_u32(CloseCode::BUSY.0), b"too many connections");
            return Err(ConnectError::Network("this device has too many connections".into()));
        }
        Ok(Arc::new(IrohConnection::new(connection, protocol, self.registry.clone())))
    }

    async fn attempt(
        &self,
        to: DeviceId,
        target: &EndpointAddr,
        protocol: Protocol,
    ) -> Result<quic::Connection, ConnectError> {
        let hint = addressee::hint(to, rand::rng().random());
        let limits = match protocol {
            Protocol::Pool => transport_config(MAX_STREAMS, RECEIVE_WINDOW),
            Protocol::Pair => transport_config(STRANGER_STREAMS, STRANGER_WINDOW),
        };
        let options = ConnectOptions::new().with_additional_alpns(vec![hint]).with_transport_config(limits);
        let connecting = self.endpoint.connect_with_opts(target.clone(), protocol.alpn(), options);
        let connection = connecting.await.map_err(errors::dialling)?.await.map_err(errors::connecting)?;
        if connection.alpn() != protocol.alpn() {
            connection.close(VarInt::from_u32(CloseCode::VERSION.0), b"unknown protocol");
            return Err(ConnectError::Refused("it does not speak this protocol".into()));
        }
        Ok(connection)
    }

    fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }
}

/// How many packets were heard on a connection.
fn heard(connection: &quic::Connection) -> u64 {
    connection.stats().udp_rx.datagrams
}

/// Waits a moment and closes the connections on which nothing was heard meanwhile. Ends only if there were some: then it
/// is worth while to dial again.
async fn give_up_silent(older: Vec<(u64, quic::Connection)>) {
    if !older.is_empty() {
        time::sleep(SUSPECT_AFTER).await;
        let mut silent = older.into_iter().filter(|(before, connection)| heard(connection) == *before).peekable();
        if silent.peek().is_some() {
            for (_, connection) in silent {
                connection.close(VarInt::from_u32(CloseCode::SILENT.0), b"silent while it was dialled again");
            }
            return;
        }
    }
    std::future::pending().await
}

impl Transport for IrohTransport {
    fn local_id(&self) -> DeviceId {
        self.id
    }

    fn local_addrs(&self) -> Vec<SocketAddr> {
        local::reachable(&self.endpoint.bound_sockets())
    }

    fn connect(
        &self,
        to: DeviceId,
        addrs: Vec<SocketAddr>,
        protocol: Protocol,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Arc<dyn Connection>, ConnectError>> {
        async move {
            if self.is_closed() {
                return Err(ConnectError::Closed);
            }
            time::timeout(timeout, self.dial(to, addrs, protocol)).await.unwrap_or(Err(ConnectError::TimedOut))
        }
        .boxed()
    }

    fn accept(&self) -> BoxFuture<'_, Option<Arc<dyn Connection>>> {
        async {
            let mut closed = self.closed.subscribe();
            let next = async { self.accepted.lock().await.recv().await };
            tokio::select! {
                biased;
                _ = closed.wait_for(|closed| *closed) => None,
                next = next => next,
            }
        }
        .boxed()
    }

    fn network_changed(&self) -> BoxFuture<'_, ()> {
        self.endpoint.network_change().boxed()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            if self.closed.send_replace(true) {
                return;
            }
            self.registry.close_all(CloseCode::SHUTDOWN, "the device shuts down");
            // Who has not got the word by then will notice the silence.
            let _ = time::timeout(CLOSE_TIMEOUT, self.endpoint.close()).await;
            self.acceptor.abort();
        }
        .boxed()
    }
}

impl Drop for IrohTransport {
    fn drop(&mut self) {
        self.acceptor.abort();
        self.registry.close_all(CloseCode::SHUTDOWN, "the device shuts down");
    }
}

/// Binds a port that is free for both families.
async fn bind_any(key: SecretKey) -> Result<Endpoint, BindError> {
    let mut last = BindError::PortInUse { port: 0 };
    for _ in 0..PORT_ATTEMPTS {
        let free = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| socket.local_addr());
        let port = free.map_err(|error| BindError::Socket { port: 0, error })?.port();
        match bind_port(key.clone(), port).await {
            Err(taken @ BindError::PortInUse { .. }) => last = taken,
            other => return other,
        }
    }
    Err(last)
}

async fn bind_port(key: SecretKey, port: u16) -> Result<Endpoint, BindError> {
    // Without IPv6 in the kernel there is nothing to bind; with it, a port that is taken there is an error too.
    let has_v6 = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok();
    let start = |error: &dyn fmt::Display| BindError::Start(error.to_string());
    let mut builder = Endpoint::builder(presets::Minimal)
        .secret_key(key)
        .alpns(Protocol::ALL.map(|protocol| protocol.alpn().to_vec()).to_vec())
        .transport_config(transport_config(STRANGER_STREAMS, STRANGER_WINDOW))
        .clear_relay_transports()
        .clear_address_lookup()
        .portmapper_config(PortmapperConfig::Disabled)
        // Never asked: there is nothing to look up. Named so that the system's settings are not read.
        .dns_resolver(DnsResolver::with_nameserver(SocketAddr::from((Ipv4Addr::LOCALHOST, 53))))
        .clear_ip_transports()
        .bind_addr((Ipv4Addr::UNSPECIFIED, port))
        .map_err(|error| start(&error))?;
    if has_v6 {
        let required = BindOpts::default().set_is_required(true);
        builder =
            builder.bind_addr_with_opts((Ipv6Addr::UNSPECIFIED, port), required).map_err(|error| start(&error))?;
    }
    builder.bind().await.map_err(|error| match error {
        quic::BindError::Sockets { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
            BindError::PortInUse { port }
        }
        quic::BindError::Sockets { source, .. } => BindError::Socket { port, error: source },
        other => start(&other),
    })
}

/// The limits that this side sets for the other one.
fn transport_config(streams: u32, receive_window: u32) -> QuicTransportConfig {
    QuicTransportConfig::builder()
        .max_concurrent_bidi_streams(streams.into())
        .max_concurrent_uni_streams(streams.into())
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(receive_window.into())
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(Some(DATAGRAM_QUEUE))
        .datagram_send_buffer_size(DATAGRAM_QUEUE)
        .max_idle_timeout(Some(VarInt::from_u32(IDLE_TIMEOUT_MS).into()))
        .initial_rtt(INITIAL_RTT)
        .build()
}
