//! What the fabric needs of a network: dial a key, accept, streams, datagrams.
//!
//! Two networks implement it: `iroh` (QUIC over UDP, the real one) and `sim` (virtual time, with latency, loss,
//! reordering, partition and crash from a seed). Both pass the same `conformance` suite. All that the fabric
//! promises is built above this trait, so whatever a simulation shows holds for the real network too.
//!
//! A transport proves who is at the other end ([`Connection::remote_id`]) and keeps what is sent secret and
//! unaltered. It knows nothing of trust groups.

#[cfg(feature = "sim")]
pub mod conformance;
#[cfg(feature = "iroh")]
pub mod iroh;
#[cfg(feature = "sim")]
pub mod sim;

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tutti_model::DeviceId;

/// The protocol that a connection is for, agreed while it is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// Among members of a trust group.
    Pool,
    /// With anybody: pairing, and nothing else.
    Pair,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Pool, Self::Pair];

    /// The name that goes over the wire (ALPN).
    pub const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Pool => b"tutti/pool",
            Self::Pair => b"tutti/pair",
        }
    }
}

/// Why a connection was closed, as the closing side says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(pub u32);

impl CloseCode {
    /// The device shuts down.
    pub const SHUTDOWN: Self = Self(0);
    /// Another connection between the same two devices is used instead.
    pub const DUPLICATE: Self = Self(1);
    /// Whoever dialled is not in the trust group.
    pub const NOT_A_MEMBER: Self = Self(2);
    /// No protocol version in common.
    pub const VERSION: Self = Self(3);
    /// The other side broke the protocol: said too much, too little, or nonsense.
    pub const MISBEHAVED: Self = Self(4);
    /// The other side stopped answering.
    pub const SILENT: Self = Self(5);
    /// The business is done.
    pub const DONE: Self = Self(6);
    /// Too many connections.
    pub const BUSY: Self = Self(7);
}

/// How urgent a stream is. Among streams of one connection, bytes of a more urgent one go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Priority {
    /// Files and the like: whatever is left over.
    Bulk,
    /// A person or a control loop waits for it.
    #[default]
    Interactive,
    /// Membership: before everything else.
    Membership,
}

/// Why a device could not be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// No address is known.
    NoAddress,
    /// Nobody answered in time.
    TimedOut,
    /// Something answered, but not with the key that was dialled.
    WrongKey,
    /// The other side closed the connection while it was set up.
    Refused(String),
    /// The network said no.
    Network(String),
    /// The transport is closed.
    Closed,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress => f.write_str("no address is known for it"),
            Self::TimedOut => f.write_str("it did not answer in time"),
            Self::WrongKey => f.write_str("something else answered at its address"),
            Self::Refused(why) => write!(f, "it refused: {why}"),
            Self::Network(why) => write!(f, "the network failed: {why}"),
            Self::Closed => f.write_str("this device is shutting down"),
        }
    }
}

impl std::error::Error for ConnectError {}

/// A connection is over, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Closed {
    /// This side closed it.
    Locally,
    /// The other side closed it and said why.
    ByPeer(CloseCode, String),
    /// Nothing was heard for too long.
    TimedOut,
    /// Anything else.
    Network(String),
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locally => f.write_str("closed here"),
            Self::ByPeer(_, why) => write!(f, "closed by the other side: {why}"),
            Self::TimedOut => f.write_str("timed out"),
            Self::Network(why) => write!(f, "the network failed: {why}"),
        }
    }
}

impl std::error::Error for Closed {}

impl From<Closed> for io::Error {
    fn from(closed: Closed) -> Self {
        Self::new(io::ErrorKind::ConnectionReset, closed)
    }
}

/// The sending half of a stream. `poll_shutdown` ends it in good order; dropping it without that resets it.
/// Writing waits while the receiver is behind.
pub trait SendStream: AsyncWrite + Send + Sync + Unpin {
    /// How urgent its bytes are from now on.
    fn set_priority(&mut self, priority: Priority);
    /// Ends it at once; what was not delivered is dropped and the receiver gets an error.
    fn reset(&mut self);
}

/// The receiving half of a stream. Dropping it tells the sender to stop.
pub trait RecvStream: AsyncRead + Send + Sync + Unpin {}

/// Both halves.
pub type BiStream = (Box<dyn SendStream>, Box<dyn RecvStream>);

/// A network that devices dial each other on by key.
pub trait Transport: Send + Sync + 'static {
    /// This device.
    fn local_id(&self) -> DeviceId;

    /// The addresses at which other devices can dial this one now.
    fn local_addrs(&self) -> Vec<SocketAddr>;

    /// Dials `to` at the given addresses, all at once, and proves that it holds the key. Takes at most
    /// `timeout`; dropping the future gives up.
    fn connect(
        &self,
        to: DeviceId,
        addrs: Vec<SocketAddr>,
        protocol: Protocol,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<Arc<dyn Connection>, ConnectError>>;

    /// The next connection that somebody dialled, already set up. `None` once the transport is closed.
    fn accept(&self) -> BoxFuture<'_, Option<Arc<dyn Connection>>>;

    /// The machine's interfaces or addresses may have changed.
    fn network_changed(&self) -> BoxFuture<'_, ()>;

    /// Closes every connection, telling the other sides. Takes at most a second and a half.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// What a connection has carried since it began, in bytes on the network: with what the protocol adds, what was sent again
/// and what never arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// To the other side.
    pub sent: u64,
    /// From the other side.
    pub received: u64,
}

/// A connection to a device that has proved its key. Clones of the `Arc` share it; it lives until closed.
pub trait Connection: Send + Sync + 'static {
    /// Who is at the other end.
    fn remote_id(&self) -> DeviceId;

    /// Where it is reached now, if that is an address.
    fn remote_addr(&self) -> Option<SocketAddr>;

    /// What the connection is for.
    fn protocol(&self) -> Protocol;

    /// Whether this side dialled.
    fn dialled(&self) -> bool;

    /// Whoever dialled is a member: from now on it may open more streams and send more ahead than a stranger may.
    /// A network that gives all the same limits has nothing to do.
    fn admit(&self) {}

    /// The smoothed round-trip time.
    fn rtt(&self) -> Option<Duration>;

    /// What it has carried so far.
    fn traffic(&self) -> Traffic;

    /// Opens a stream in both directions. Waits while the other side allows no more of them.
    fn open_bi(&self) -> BoxFuture<'_, Result<BiStream, Closed>>;

    /// The next stream in both directions that the other side opened and wrote to.
    fn accept_bi(&self) -> BoxFuture<'_, Result<BiStream, Closed>>;

    /// Opens a stream in one direction.
    fn open_uni(&self) -> BoxFuture<'_, Result<Box<dyn SendStream>, Closed>>;

    /// The next stream in one direction that the other side opened and wrote to.
    fn accept_uni(&self) -> BoxFuture<'_, Result<Box<dyn RecvStream>, Closed>>;

    /// Sends at most [`MAX_DATAGRAM`] bytes that may be lost, repeated or overtaken. Never waits: what does not
    /// fit in the queue is dropped.
    fn send_datagram(&self, bytes: Bytes) -> Result<(), Closed>;

    /// The next datagram.
    fn recv_datagram(&self) -> BoxFuture<'_, Result<Bytes, Closed>>;

    /// Closes the connection and everything on it, telling the other side why.
    fn close(&self, code: CloseCode, reason: &str);

    /// Waits until the connection is over.
    fn closed(&self) -> BoxFuture<'_, Closed>;
}

/// The largest datagram that every path carries.
pub const MAX_DATAGRAM: usize = 1000;
