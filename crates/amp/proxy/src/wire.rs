//! The bytes of calls and answers.

use core::fmt;

/// The bytes in front of the data.
pub const HEADER: usize = 16;
/// The version of the extension.
pub const VERSION: i32 = 1;

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// Open a file.
    Open,
    /// Close one.
    Close,
    /// Write to one, or to the console.
    Write,
    /// Read from one, or from the console.
    Read,
    /// An acknowledgement, which means nothing here.
    Ack,
    /// The remote ends.
    Terminate,
    /// Which version of the extension is spoken.
    Version,
    /// Go to a place in a file.
    Seek,
}

impl Op {
    /// The number on the wire.
    #[must_use]
    pub const fn id(self) -> u32 {
        match self {
            Self::Open => 1,
            Self::Close => 2,
            Self::Write => 3,
            Self::Read => 4,
            Self::Ack => 5,
            Self::Terminate => 6,
            Self::Version => 0x100,
            Self::Seek => 0x101,
        }
    }

    /// The operation with this number.
    #[must_use]
    pub const fn of(id: u32) -> Option<Self> {
        Some(match id {
            1 => Self::Open,
            2 => Self::Close,
            3 => Self::Write,
            4 => Self::Read,
            5 => Self::Ack,
            6 => Self::Terminate,
            0x100 => Self::Version,
            0x101 => Self::Seek,
            _ => return None,
        })
    }
}

/// Why a frame is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WireError {
    /// It ends within its header.
    Short {
        /// How many bytes it has.
        len: usize,
    },
    /// `data_len`: more than there is.
    DataLength {
        /// What it says.
        says: u32,
        /// How many bytes of data there are.
        has: usize,
    },
    /// `id`: nothing that is known.
    Id(u32),
    /// `field2` of a write: longer than the data, or negative.
    Length(i32),
    /// The path of an open has no zero behind it, or is no text.
    Path,
    /// The data of a seek has not 8 bytes.
    Offset(usize),
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { len } => write!(f, "a call of {len} bytes is cut off; it has at least {HEADER}"),
            Self::DataLength { says, has } => write!(f, "data_len is {says}, and there are {has} bytes of data"),
            Self::Id(id) => write!(f, "id is {id:#x}, which is no call"),
            Self::Length(len) => write!(f, "the length (field2) is {len}, which does not fit the data"),
            Self::Path => f.write_str("the path is no text with a zero behind it"),
            Self::Offset(len) => write!(f, "the offset of a seek has 8 bytes, not {len}"),
        }
    }
}

impl core::error::Error for WireError {}

/// A checked view of a call or an answer. After [`new_checked`](Self::new_checked) nothing panics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Frame<T> {
    bytes: T,
}

impl<T: AsRef<[u8]>> Frame<T> {
    /// Checks that the data is there. More bytes than that are ignored.
    ///
    /// # Errors
    /// See [`WireError`].
    pub fn new_checked(bytes: T) -> Result<Self, WireError> {
        let len = bytes.as_ref().len();
        let has = len.checked_sub(HEADER).ok_or(WireError::Short { len })?;
        let frame = Self { bytes };
        let says = frame.word(12);
        if says as usize > has { Err(WireError::DataLength { says, has }) } else { Ok(frame) }
    }

    fn word(&self, at: usize) -> u32 {
        let bytes = self.bytes.as_ref().get(at..at + 4);
        bytes.and_then(|it| it.first_chunk()).map_or(0, |it| u32::from_le_bytes(*it))
    }

    /// The number of the operation.
    pub fn id(&self) -> u32 {
        self.word(0)
    }

    /// The first field.
    pub fn field1(&self) -> i32 {
        self.word(4) as i32
    }

    /// The second field.
    pub fn field2(&self) -> i32 {
        self.word(8) as i32
    }

    /// The data.
    pub fn data(&self) -> &[u8] {
        self.bytes.as_ref().get(HEADER..HEADER + self.word(12) as usize).unwrap_or(&[])
    }
}

/// A call or an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Repr<'a> {
    /// What it is about.
    pub op: Op,
    /// The first field.
    pub field1: i32,
    /// The second field.
    pub field2: i32,
    /// The data.
    pub data: &'a [u8],
}

impl<'a> Repr<'a> {
    /// Reads a frame.
    ///
    /// # Errors
    /// If its id is not known.
    pub fn parse<T: AsRef<[u8]>>(frame: &'a Frame<T>) -> Result<Self, WireError> {
        let op = Op::of(frame.id()).ok_or(WireError::Id(frame.id()))?;
        Ok(Self { op, field1: frame.field1(), field2: frame.field2(), data: frame.data() })
    }

    /// How many bytes it has.
    #[must_use]
    pub const fn buffer_len(&self) -> usize {
        HEADER + self.data.len()
    }

    /// Writes it to the front of `to`; `None` if there is not enough room.
    pub fn emit(&self, to: &mut [u8]) -> Option<usize> {
        let to = to.get_mut(..self.buffer_len())?;
        let (header, data) = to.split_at_mut_checked(HEADER)?;
        let words = [self.op.id(), self.field1 as u32, self.field2 as u32, u32::try_from(self.data.len()).ok()?];
        for (room, word) in header.chunks_exact_mut(4).zip(words) {
            room.copy_from_slice(&word.to_le_bytes());
        }
        data.copy_from_slice(self.data);
        Some(self.buffer_len())
    }
}
