//! The real network: QUIC over UDP, dialled by public key, with [iroh](https://docs.rs/iroh).
//!
//! Fully offline: no relay, no DNS, no address lookup, no port mapping. Who is dialled is reached at the addresses
//! given, over IPv4 or IPv6, or not at all. A default route is not needed.
//!
//! # What others may try, and what meets it
//!
//! - *Many handshakes* (`accept`): at most [`MAX_HALF_OPEN`] are under way, a few for each address; beyond that they
//!   are dropped unread. From half of that on, whoever comes has to prove its address first (a QUIC retry: no state).
//! - *Many connections*: [`MAX_CONNECTIONS`] in all and [`MAX_PER_IP`] for each address that dials in.
//! - *Much data*: a connection that came in takes [`STRANGER_WINDOW`] bytes on [`STRANGER_STREAMS`] streams until the
//!   fabric says that a member is at its other end, then [`RECEIVE_WINDOW`] and [`MAX_STREAMS`]. Time admits nobody.
//!   Datagrams nobody fetches push out older ones.
//! - *Answering for another*: whoever answers at an address of the device that is dialled, and has another key, spoils
//!   the attempt if it comes first. An honest device does this without knowing, when it has got an address that was
//!   another's. So the dialler says, blinded, whom it means (`addressee`), and others hold their answer back.
//!
//! # What iroh does, and what is done about it
//!
//! - It sends the packets of a new handshake only where its older connection to that device goes. When the device has
//!   restarted elsewhere, they go nowhere until the older connection times out after 15 s. So an older connection on
//!   which nothing is heard while a new one is dialled is given up ([`SUSPECT_AFTER`]).
//! - Path keep-alives are 5 s at most and path time-outs 15 s at most. The fabric's own heartbeat is faster than
//!   either, so neither matters.
//! - It drops the interface of IPv6 link-local addresses; those are not used.

mod accept;
mod addressee;
mod connection;
mod endpoint;
mod errors;
mod local;
mod registry;

pub use endpoint::{BindError, IrohConfig, IrohTransport};

use std::time::Duration;

/// The most handshakes of others that are under way at once.
pub const MAX_HALF_OPEN: usize = 128;
/// The most of those from one address.
pub const MAX_HALF_OPEN_PER_IP: usize = 16;
/// The most connections in all; half of them are kept for those that this device dials.
pub const MAX_CONNECTIONS: usize = 1024;
/// The most connections that were dialled from one address.
pub const MAX_PER_IP: usize = 64;
/// How long the handshake of somebody who dials this device may take.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// The most streams of either sort that a member may have open.
pub const MAX_STREAMS: u32 = 256;
/// The most bytes that the other side may send ahead on one stream (iroh's own default: 100 ms at 100 Mbit/s).
pub const STREAM_WINDOW: u32 = 1_250_000;
/// The most bytes that a member may send ahead on all streams of a connection.
pub const RECEIVE_WINDOW: u32 = 16 << 20;
/// The most streams of either sort that a stranger may have open: whoever has just dialled, and for pairing.
pub const STRANGER_STREAMS: u32 = 4;
/// The most bytes that a stranger may send ahead on all of them.
pub const STRANGER_WINDOW: u32 = 256 << 10;
/// The most bytes on their way to the other side.
pub const SEND_WINDOW: u64 = 10_000_000;
/// The most bytes of datagrams that wait in either direction.
pub const DATAGRAM_QUEUE: usize = 64 << 10;

/// The most addresses of one device that are dialled at once.
pub const MAX_ADDRS: usize = 32;
/// For how long an older connection may be silent while a new one to the same device is dialled.
pub const SUSPECT_AFTER: Duration = Duration::from_secs(1);

#[cfg(all(test, feature = "sim"))]
mod conformance_tests;
#[cfg(test)]
mod measure_tests;
#[cfg(test)]
mod restart_tests;
#[cfg(test)]
mod tests;
