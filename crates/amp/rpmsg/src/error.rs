//! What can go wrong, by operation.

use core::fmt;

use tutti_metal::OutOfBounds;
use tutti_virtio::{Corrupt, LayoutError};

/// Why a message was not sent, or no buffer for it was lent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SendError {
    /// The other side has not given a buffer back yet; try again when it has.
    NoBuffer,
    /// None came back in time.
    TimedOut,
    /// The message is longer than a buffer holds.
    TooLong {
        /// How many bytes it has.
        len: usize,
        /// How many fit.
        most: usize,
    },
    /// The endpoint does not know yet to whom: it has neither been told nor heard from anybody.
    NoPeer,
    /// The receiving endpoint has a window, and it is full; try again when it has read some.
    NoCredit,
    /// The link was reset since the buffer was lent.
    Stale,
    /// The link is corrupt.
    Corrupt(Corrupt),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBuffer => f.write_str("all buffers are on their way; try again when the other side has read some"),
            Self::TimedOut => f.write_str("the other side gave no buffer back in time; it may be busy or stopped"),
            Self::TooLong { len, most } => {
                write!(
                    f,
                    "a message of {len} bytes does not fit into a buffer for {most}; split it, or enlarge the buffers"
                )
            }
            Self::NoPeer => {
                f.write_str("nobody is at the other end yet; name a destination, or wait for a first message")
            }
            Self::NoCredit => f.write_str("the receiver takes no more for now; try again when it has read some"),
            Self::Stale => f.write_str("the link was reset since this buffer was lent; take a new one"),
            Self::Corrupt(corrupt) => corrupt.fmt(f),
        }
    }
}

impl core::error::Error for SendError {}

impl From<Corrupt> for SendError {
    fn from(corrupt: Corrupt) -> Self {
        Self::Corrupt(corrupt)
    }
}

/// Why there is no endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EndpointError {
    /// Another endpoint has this address.
    Taken,
    /// The address is not one for endpoints: it is the name service's.
    Reserved,
    /// The table is full.
    Full {
        /// How many endpoints it holds.
        most: usize,
    },
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken => f.write_str("another endpoint has this address; choose another, or ask for any"),
            Self::Reserved => f.write_str("address 53 is the name service's; choose another, or ask for any"),
            Self::Full { most } => {
                write!(f, "all {most} endpoints are in use; close one, or give the link a larger table")
            }
        }
    }
}

impl core::error::Error for EndpointError {}

/// Why there is no link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetupError {
    /// A queue cannot be as it was described.
    Layout(LayoutError),
    /// The buffers do not fit into their memory.
    Buffers(OutOfBounds),
    /// Buffers must hold a header, and at most 65,535 bytes behind it.
    BufferSize(u32),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout(error) => error.fmt(f),
            Self::Buffers(error) => write!(f, "the buffers do not fit: {error}"),
            Self::BufferSize(size) => write!(f, "buffers of {size} bytes: choose a multiple of 8 from 24 to 65,544"),
        }
    }
}

impl core::error::Error for SetupError {}

impl From<LayoutError> for SetupError {
    fn from(error: LayoutError) -> Self {
        Self::Layout(error)
    }
}
