//! What happened on the network, in order, for people and for comparing two runs.

use std::{fmt, net::SocketAddr, time::Duration};

use tutti_model::DeviceId;

use crate::transport::{Closed, Protocol};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Virtual time since the network was made.
    pub at: Duration,
    /// The device that did it, or that sent the packet; none for what concerns all.
    pub from: Option<DeviceId>,
    /// The other device, if there is one.
    pub to: Option<DeviceId>,
    /// What it was.
    pub what: What,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum What {
    /// A transport listens.
    Bound(SocketAddr),
    /// A transport has been closed.
    Unbound,
    /// A device fell over without a word.
    Crashed,
    /// A device dials an address.
    Dialled(SocketAddr),
    /// The dialling side has a connection.
    Connected(Protocol),
    /// The accepting side has a connection.
    Accepted(Protocol),
    /// A packet of this many bytes arrived.
    Delivered(Packet, usize),
    /// A packet was lost.
    Lost(Packet),
    /// A datagram will arrive twice.
    Repeated,
    /// A datagram found the queue full.
    Dropped,
    /// A packet of a stream found the path cut, and waits to be sent again.
    Parked(Packet),
    /// One side of a connection is over.
    Over(Closed),
    /// Somebody was cut off, or may reach others again.
    CutsChanged,
}

/// The kinds of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Packet {
    /// Part of setting up a connection.
    Handshake,
    /// Bytes of a stream, or its end.
    Data,
    /// What keeps streams in order: credit, resets, stops.
    Control,
    /// A datagram.
    Datagram,
    /// Shows that the path is alive.
    Ping,
    /// The end of a connection.
    Close,
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12.6}", self.at.as_secs_f64())?;
        if let Some(from) = self.from {
            write!(f, " {}", from.short())?;
        }
        if let Some(to) = self.to {
            write!(f, " > {}", to.short())?;
        }
        write!(f, " {:?}", self.what)
    }
}
