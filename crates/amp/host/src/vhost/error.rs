//! What can go wrong with a front end.

use std::fmt;

use tutti_metal::OutOfBounds;
use tutti_virtio::LayoutError;

use crate::mapping::GuestMemoryError;

/// A request that cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// It is of another version of the protocol, or an answer.
    Flags(u32),
    /// We do not know it, or have not offered it.
    Request(u32),
    /// It is too short or too long.
    Length {
        /// Which one.
        request: u32,
        /// How many bytes it has.
        len: usize,
    },
    /// Another number of files came with it.
    Files {
        /// Which one.
        request: u32,
        /// How many ought to.
        expected: usize,
        /// How many did.
        found: usize,
    },
    /// It takes features that were not offered.
    Features(u64),
    /// There is no such queue.
    Queue(u32),
    /// A queue cannot have so many entries.
    RingSize(u32),
    /// A queue's index has 16 bits.
    Base(u32),
    /// A queue is described while it runs.
    Running(u32),
    /// A queue is to be looked at all the time, instead of being kicked.
    NoKick,
    /// The config space cannot be changed.
    ConfigIsFixed,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flags(flags) => write!(f, "a message with flags {flags:#x} is no request of version 1"),
            Self::Request(request) => write!(f, "request {request} is unknown here, and was not offered"),
            Self::Length { request, len } => write!(f, "request {request} cannot have {len} bytes"),
            Self::Files { request, expected, found } => {
                write!(f, "request {request} came with {found} files, not {expected}")
            }
            Self::Features(bits) => write!(f, "feature bits {bits:#x} were taken without having been offered"),
            Self::Queue(queue) => write!(f, "there is no queue {queue}; RPMsg has 0 and 1"),
            Self::RingSize(size) => write!(f, "a queue cannot have {size} entries"),
            Self::Base(base) => write!(f, "a queue cannot go on at index {base}"),
            Self::Running(queue) => {
                write!(f, "queue {queue} was described anew while it runs; it is to be stopped first")
            }
            Self::NoKick => f.write_str("a queue came without a file to kick it by"),
            Self::ConfigIsFixed => f.write_str("the config space of this device cannot be written"),
        }
    }
}

impl std::error::Error for Refused {}

/// Why a connection is over.
#[derive(Debug)]
pub enum VhostError {
    /// The front end has gone.
    Gone,
    /// It stopped in the middle of a message, or did not read our answer.
    Stalled,
    /// It passed more files than fit into a message.
    TooManyFiles,
    /// It asked for something that cannot be.
    Refused(Refused),
    /// Its memory cannot be mapped.
    Memory(GuestMemoryError),
    /// A queue does not lie in its memory.
    Outside {
        /// Which queue.
        queue: usize,
        /// What does not.
        address: OutOfBounds,
    },
    /// A queue cannot lie where it says.
    Layout {
        /// Which queue.
        queue: usize,
        /// Why not.
        error: LayoutError,
    },
    /// The kernel refused.
    Os(std::io::Error),
}

impl fmt::Display for VhostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("the front end has closed the connection"),
            Self::Stalled => f.write_str("the front end stopped in the middle of a message; it may hang"),
            Self::TooManyFiles => f.write_str("the front end passed more files than a message can have"),
            Self::Refused(refused) => write!(f, "the front end was refused: {refused}"),
            Self::Memory(error) => error.fmt(f),
            Self::Outside { queue, address } => write!(f, "queue {queue} is not in the front end's memory: {address}"),
            Self::Layout { queue, error } => write!(f, "queue {queue} cannot be as the front end says: {error}"),
            Self::Os(error) => write!(f, "the connection to the front end failed: {error}"),
        }
    }
}

impl std::error::Error for VhostError {}

impl From<Refused> for VhostError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<GuestMemoryError> for VhostError {
    fn from(error: GuestMemoryError) -> Self {
        Self::Memory(error)
    }
}

impl From<rustix::io::Errno> for VhostError {
    fn from(error: rustix::io::Errno) -> Self {
        use rustix::io::Errno;
        match error {
            Errno::CONNRESET | Errno::PIPE => Self::Gone,
            other => Self::Os(other.into()),
        }
    }
}
