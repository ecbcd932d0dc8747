//! A remote core that is a process of this machine: for development, for tests, and for programs that are to crash alone.
//!
//! It has what a real one has: memory that both sides see (a `memfd`), doorbells (`eventfd`), a resource table, queues, a
//! trace, a heartbeat. [`ProcessCore`] is the host's side, a [`Platform`](tutti_remoteproc::Platform) with a
//! [`Link`] on it; [`RemotePort`] is what the program itself uses. Suspending is `SIGSTOP`.
//!
//! # A host that dies, and comes back
//!
//! The remote keeps the descriptors of the memory and the doorbells, and listens on a socket of its own. A host that was killed
//! with `kill -9` and started again connects there, is handed them back, and goes on: no restart of the firmware.
//! What was under way is in the rings, which outlive their driver:
//!
//! ```text
//!      new host                               shared memory                     remote
//!  1 connect ──────────────────────────────── socket ──────────────────────────▶ hands descriptors over
//!  2 wanted epoch + 1, ring ─────────────────▶ header ──────────────────────────▶ takes in all that the old host
//!                                                                                 published, answers, then says
//!  3 sees that ◀──────────────────────────────  header ◀───────────────────────── agreed epoch + 1, and is quiet
//!  4 delivers what the remote had published, one message after the other, each with its position, and commits each
//!  5 zeroes the rings, offers its buffers
//!  6 linked epoch + 1, ring ─────────────────▶ header ──────────────────────────▶ forgets its indices, goes on
//! ```
//!
//! *To the remote*: it never died, and takes everything that was published before it agrees. *To the host*: each message has
//! a position, its place in the order of the ring since the start of the generation. [`ProcessCore::commit`] notes
//! in the shared header that everything before a position is done with; the next host begins there. What a message
//! *did* is the application's own business: who writes the position down together with the effect, in one
//! write, and begins behind it, has every message exactly once, whenever the host is killed; who only commits has it at
//! least once. A host that is killed within 5 leaves a mark in the header, so the next one does not read half-zeroed rings.
//!
//! # The other side is hostile
//!
//! The remote is another program. Whatever is read from the memory is checked: header words against what they may
//! be, ring indices against the size of the ring, buffers against the memory, lengths against buffers. It is waited for, but
//! never longer than a few seconds. Who may connect to its socket is up to the folder that it lies in, which must belong to
//! this user and be closed to others.

mod config;
mod control;
mod core;
mod inbox;
mod layout;
mod remote;
mod ring;

pub use self::core::ProcessCore;
pub use config::{ProcessConfig, ProcessFault, Shutdown};
pub use inbox::{Delivery, InboxError};
pub use layout::{DEVICE, LayoutFault};
pub use remote::{JoinError, PortError, RemotePort, Work};

use tutti_metal::Mutexed;
use tutti_rpmsg::{Heap, Host, Link, Platform, Remote};

use crate::{EventBell, SharedMemory};

/// What both ends of a link with a process stand on.
#[derive(Clone, Copy, Debug)]
pub enum Processes {}

impl Platform for Processes {
    type Memory = SharedMemory;
    type Doorbell = EventBell;
    type Locks = Mutexed;
    type Storage = Heap;
}

/// The host's end.
pub type HostLink = Link<Processes, Host>;
/// The remote's end.
pub type RemoteLink = Link<Processes, Remote>;
