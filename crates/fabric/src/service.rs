//! What the rooms above say to each other over a session: requests, notices and byte streams, each to a service.

use std::fmt;

use bytes::Bytes;
use tokio::sync::oneshot;
use tutti_model::DeviceId;

use crate::transport::{ConnectError, RecvStream, SendStream};

/// Which room above a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Service(pub u16);

impl Service {
    /// The pool: records, leases, readings.
    pub const POOL: Self = Self(1);
    /// Apps: their packages, moves and effects.
    pub const APPS: Self = Self(2);
    /// Benchmarks and tests: whatever they register.
    pub const TEST: Self = Self(0xFFFF);
}

/// The longest request, reply, notice or stream header, in bytes.
pub const MAX_MESSAGE: usize = 1 << 20;

/// How many messages wait for a service before senders are made to wait.
pub const QUEUE: usize = 64;

/// What another member sends to a service. The sender was a member with a live session when it came in.
#[derive(Debug)]
pub enum Incoming {
    /// Wants an answer.
    Request {
        /// From whom.
        from: DeviceId,
        /// What it says.
        body: Bytes,
        /// Where the answer goes; dropping it tells the sender that there will be none.
        reply: Reply,
    },
    /// Wants none.
    Notice {
        /// From whom.
        from: DeviceId,
        /// What it says.
        body: Bytes,
    },
    /// Opens a byte stream.
    Stream {
        /// From whom.
        from: DeviceId,
        /// What it is for.
        header: Bytes,
        /// The stream.
        channel: Channel,
    },
}

/// Where the answer to a request goes.
#[derive(Debug)]
pub struct Reply(pub(crate) oneshot::Sender<Bytes>);

impl Reply {
    /// Answers. At most [`MAX_MESSAGE`] bytes; a longer answer is not sent and the other side is told so.
    pub fn send(self, body: Bytes) {
        // The only way to fail is that nobody waits any more, which concerns nobody.
        let _ = self.0.send(body);
    }
}

/// A byte stream in both directions, with back-pressure: writing waits while the reader is behind.
pub struct Channel {
    /// To the other side. `shutdown` ends it in good order; dropping it without that resets it.
    pub send: Box<dyn SendStream>,
    /// From the other side.
    pub recv: Box<dyn RecvStream>,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Channel")
    }
}

/// Why a message did not get through.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FabricError {
    /// The device is not in the trust group.
    NotAMember,
    /// The device is in the group and cannot be reached now.
    NotConnected(Option<ConnectError>),
    /// No answer in time. The request may have been carried out.
    TimedOut,
    /// The message is too long.
    TooLarge {
        /// The most bytes that a message may have.
        max: usize,
    },
    /// The session broke while the message was under way. The request may have been carried out.
    Lost(String),
    /// Nothing on that device answers for the service.
    NoSuchService,
    /// The service there took the request and gave no answer.
    NoAnswer,
}

impl fmt::Display for FabricError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAMember => f.write_str("it is not in the trust group"),
            Self::NotConnected(None) => f.write_str("it cannot be reached now"),
            Self::NotConnected(Some(error)) => write!(f, "it cannot be reached now: {error}"),
            Self::TimedOut => f.write_str("it did not answer in time"),
            Self::TooLarge { max } => write!(f, "the message is longer than {max} bytes"),
            Self::Lost(why) => write!(f, "the connection broke: {why}"),
            Self::NoSuchService => f.write_str("it does not run that service"),
            Self::NoAnswer => f.write_str("it took the request and gave no answer"),
        }
    }
}

impl std::error::Error for FabricError {}
