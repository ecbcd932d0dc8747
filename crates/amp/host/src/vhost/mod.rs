//! The device's side of vhost-user: RPMsg's remote role for a driver in another process, in that process's memory.
//!
//! The front end is whoever owns that memory: QEMU or user-mode Linux with a kernel inside, or a program of its own. It connects to
//! a Unix socket, passes its memory and a file to wake each side per queue, and says where the rings are. Then the two sides
//! meet in the rings only, which are [`tutti_virtio`]'s; the socket is silent until something is to change.
//!
//! ```text
//!   socket ──▶ wire (bytes) ──▶ session (what was said, sans I/O) ──▶ Connection ──▶ Rings ──▶ tutti_rpmsg::Link
//!                                                                       │   ▲
//!   files of the front end ──▶ table (checked) ──▶ GuestMemory ◀────────┘   └── kick files
//! ```
//!
//! [`Connection::step`] waits, for a bounded time, and says what happened. When it says [`Event::Started`], a link is made
//! from the [`Rings`]; when it says [`Event::Stopping`], that link is to be [halted](tutti_rpmsg::Link::halt), since the driver
//! may reuse its memory as soon as it is answered, which is what the next step does. So a driver that is unbound and bound again, or a machine that is reset, only makes a new link. An
//! [offer](Offer) says what drivers may take.
//!
//! # The front end is hostile
//!
//! * It can say anything in any order: every request is checked against what was said before ([`Session`]); what cannot be is
//!   [`Refused`] with the field and the value, and the connection is over.
//! * It can stop in the middle of a message, or read no answers: each message has a second to come or go.
//! * It can pass files that block: they are made not to.
//! * It can say that rings lie anywhere: an address counts only if it lies in one region whole, as for every buffer later.
//! * It can shorten a file under our mapping, which would end this process with a signal: memory that is not sealed against
//!   that is refused, unless one says that this front end is trusted ([`Unsealed`]).
//! * It can pass more files than fit: they are closed, and the message refused.
//! * It can kick without end: that costs processor time, which [`Connection::step`] leaves to its caller to bound.

mod connection;
mod error;
mod session;
mod table;
pub mod wire;

pub use connection::{CallBell, Connection, Event, Rings};
pub use error::{Refused, VhostError};
pub use session::{Effect, Offer, QUEUES, Queue, Session};
pub use table::{GuestRegion, MOST_REGIONS, Table, TableError};

pub use crate::mapping::{GuestMemory, GuestMemoryError, Unsealed};
