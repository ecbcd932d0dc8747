//! What can go wrong, by operation.

use core::fmt;

/// What the other side wrote into shared memory does not fit. The queue stays still until it is reset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Corrupt {
    /// Which field it is.
    pub field: Field,
    /// What was in it.
    pub value: u64,
    /// What it was held against: a maximum, or the last good value.
    pub limit: u64,
}

/// A field that the other side writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// `avail.idx`: further ahead than the queue is long.
    AvailIndex,
    /// An entry of `avail.ring`: not a descriptor.
    AvailEntry,
    /// An entry of `avail.ring`: a buffer that the device already holds.
    AvailEntryRepeated,
    /// `used.idx`: further ahead than there are buffers out.
    UsedIndex,
    /// The id of a used element: not a descriptor.
    UsedId,
    /// The id of a used element: not the head of a buffer that is out.
    UsedIdRepeated,
    /// The length of a used element: more than the buffer can hold.
    UsedLength,
    /// The address of a descriptor: not inside the memory for buffers.
    DescriptorAddress,
    /// The lengths of a chain: together more than 32 bits hold.
    DescriptorLength,
    /// The flags of a descriptor: unknown, not agreed on, or a readable part behind a writable one.
    DescriptorFlags,
    /// The next descriptor: not one.
    DescriptorNext,
    /// A chain with more parts than this device takes, or without an end.
    ChainLength,
    /// The length of a table of descriptors: not a multiple of 16, zero, or too long.
    IndirectLength,
    /// The length in the header of a message: beyond its buffer.
    MessageLength,
    /// The buffer of a message: too small for its header, or in more than one piece.
    MessageBuffer,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AvailIndex => "avail.idx (further ahead than the queue is long)",
            Self::AvailEntry => "avail.ring (not a descriptor)",
            Self::AvailEntryRepeated => "avail.ring (a buffer that is already here)",
            Self::UsedIndex => "used.idx (further ahead than there are buffers out)",
            Self::UsedId => "used.ring.id (not a descriptor)",
            Self::UsedIdRepeated => "used.ring.id (not a buffer that is out)",
            Self::UsedLength => "used.ring.len (longer than the buffer)",
            Self::DescriptorAddress => "desc.addr (outside of the memory for buffers)",
            Self::DescriptorLength => "desc.len (the chain is too long)",
            Self::DescriptorFlags => "desc.flags",
            Self::DescriptorNext => "desc.next (not a descriptor)",
            Self::ChainLength => "desc.next (more parts than are taken, or no end)",
            Self::IndirectLength => "desc.len of an indirect table",
            Self::MessageLength => "len in a message's header (beyond its buffer)",
            Self::MessageBuffer => "a message's buffer (too small, or in pieces)",
        })
    }
}

impl fmt::Display for Corrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the other side wrote {:#x} into {}, against {:#x}; reset the queue, and the other side, to go on",
            self.value, self.field, self.limit
        )
    }
}

impl core::error::Error for Corrupt {}

/// Why there is no queue at a place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LayoutError {
    /// The number of entries is zero, not a power of two, or above 32,768.
    Size(u32),
    /// The alignment is zero, not a power of two, or above a gigabyte.
    Align(u32),
    /// A table does not start where its kind must: descriptors at 16, available at 2, used at 4 bytes.
    Misaligned(usize),
    /// The queue does not fit into the memory.
    Outside {
        /// How far it would reach.
        end: usize,
        /// How much there is.
        memory: usize,
    },
    /// The private table has fewer slots than the queue has entries.
    Slots {
        /// How many are needed.
        needed: usize,
        /// How many there are.
        found: usize,
    },
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(n) => write!(f, "a queue of {n} entries: it must be a power of two, at most 32,768"),
            Self::Align(n) => write!(f, "an alignment of {n}: it must be a power of two, at most 2^30"),
            Self::Misaligned(at) => write!(f, "a table of the queue at offset {at:#x} is not aligned"),
            Self::Outside { end, memory } => {
                write!(
                    f,
                    "the queue ends at {end:#x}, behind the {memory:#x} bytes of its memory; enlarge the carveout"
                )
            }
            Self::Slots { needed, found } => {
                write!(
                    f,
                    "the queue has {needed} entries, but there is room for {found}; raise the capacity or lower the size"
                )
            }
        }
    }
}

impl core::error::Error for LayoutError {}

/// Why a buffer was not added.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddError {
    /// There are not enough free descriptors now; take used buffers back and try again.
    Full,
    /// A buffer needs at least one part, and at most as many as the queue has entries.
    Parts,
    /// Readable parts come before writable ones.
    Order,
    /// The parts together are longer than 32 bits hold.
    TooLong,
    /// Tables of descriptors were not agreed on, or the table does not fit its place.
    Indirect,
    /// The queue is corrupt.
    Corrupt(Corrupt),
}

impl fmt::Display for AddError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("all descriptors are in use; take used buffers back and try again"),
            Self::Parts => f.write_str("a buffer has at least one part and at most as many as the queue has entries"),
            Self::Order => f.write_str("a readable part follows a writable one; put the readable ones first"),
            Self::TooLong => f.write_str("the parts together are longer than 4 GiB; split the buffer"),
            Self::Indirect => {
                f.write_str("indirect descriptors were not agreed on, or their table does not fit its place")
            }
            Self::Corrupt(corrupt) => corrupt.fmt(f),
        }
    }
}

impl core::error::Error for AddError {}

/// Why a buffer was not given back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CompleteError {
    /// The device does not hold such a buffer (any more: the queue may have been reset since).
    NotHeld,
    /// More bytes were written than the writable parts hold.
    TooLong {
        /// How many were said to be written.
        written: u32,
        /// How many there is room for.
        room: u32,
    },
}

impl fmt::Display for CompleteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHeld => {
                f.write_str("this buffer is not held; it was given back already, or the queue was reset since")
            }
            Self::TooLong { written, room } => write!(f, "{written} bytes cannot have been written into {room}"),
        }
    }
}

impl core::error::Error for CompleteError {}
