//! The device's side of vhost-user: RPMsg's remote role for a driver in another process, in that process's memory.
//!
//! The front end is whoever owns that memory: QEMU or user-mode Linux with a kernel inside, or a program of its own.
//! It connects to a Unix socket, passes its memory and a file to wake each side per queue, and says where the rings
//! are. Then the two sides meet in the rings only, which are [`tutti_virtio`]'s; the socket is silent until something
//! is to change.
//!
//! ```text
//!   socket ──▶ wire (bytes) ──▶ session (what was said, sans I/O) ──▶ Connection ──▶ Rings ──▶ tutti_rpmsg::Link
//!                                                                       │   ▲
//!   files of the front end ──▶ table (checked) ──▶ GuestMemory ◀────────┘   └── kick files
//! ```
//!
//! [`Connection::step`] waits, for a bounded time, and says what happened. When it says [`Event::Started`], a link is
//! made from the [`Rings`]; when it says [`Event::Stopping`], that link is to be [halted](tutti_rpmsg::Link::halt),
//! since the driver may reuse its memory as soon as it is answered, which is what the next step does. So a driver that
//! is unbound and bound again, or a machine that is reset, only makes a new link. An [offer](Offer) says what drivers
//! may take.
//!
//! # The front end is hostile
//!
//! * It can say anything in any order: every request is checked against what was said before ([`Session`]); what
//!   cannot be is [`Refused`] with the field and the value, and the connection is over.
//! * It can stop in the middle of a message, or read no answers: each message has a second to come or go.
//! * It can pass files that block: they are made not to.
//! * It can say that rings lie anywhere: an address counts only if it lies in one region whole, as for every buffer
//!   later.
//! * It can shorten a file under our mapping, which would end this process with a signal: memory that is not sealed
//!   against that is refused, unless one says that this front end is trusted ([`Unsealed`]).
//! * It can pass more files than fit: they are closed, and the message refused.
//! * It can kick without end: that costs processor time, which [`Connection::step`] leaves to its caller to bound.
//!
//! # A remote that echoes
//!
//! ```no_run
//! use std::os::unix::net::UnixListener;
//! use std::time::Duration;
//!
//! use tutti_amp_host::vhost::{CallBell, Connection, Event, GuestMemory, Offer, Unsealed};
//! use tutti_metal::Local;
//! use tutti_rpmsg::{Address, Heap, Link, Name, Platform, Remote};
//!
//! enum Guest {}
//! impl Platform for Guest {
//!     type Memory = GuestMemory;
//!     type Doorbell = CallBell;
//!     type Locks = Local;
//!     type Storage = Heap;
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // User-mode Linux connects to it when it is told virtio_uml.device=/run/rpmsg:7 (and needs Unsealed::Accept).
//! let (socket, _) = UnixListener::bind("/run/rpmsg")?.accept()?;
//! let mut front_end = Connection::new(socket, Offer::default(), Unsealed::Refuse)?;
//! let second = Duration::from_secs(1);
//! loop {
//!     let Event::Started(rings) = front_end.step(second)? else { continue };
//!     let link = Link::<Guest, Remote>::new(rings.setup(), rings.bell.clone(), Heap { endpoints: 16 })?;
//!     link.resume(rings.base);
//!     let echo = link.endpoint(Some(Name::new("rpmsg-raw")?), Address::ANY)?;
//!     loop {
//!         while let Some(asked) = echo.try_receive()? {
//!             let mut bytes = vec![0; asked.len()];
//!             asked.read(0, &mut bytes)?;
//!             echo.try_send(asked.source(), &bytes)?;
//!         }
//!         // Asks to be kicked for the next message, and looks once more: it may have come meanwhile.
//!         let patience = if link.listen()? { Duration::ZERO } else { second };
//!         if let Event::Stopping = front_end.step(patience)? {
//!             front_end.halted(link.halt());
//!             break;
//!         }
//!     }
//! }
//! # }
//! ```

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
