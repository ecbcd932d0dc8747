//! The bytes of vhost-user messages, from the specification in QEMU's documentation (`docs/interop/vhost-user.rst`)
//! and the front ends in QEMU and in Linux (`arch/um/drivers/virtio_uml.c`).
//!
//! A message is a header (`request, flags, size: u32`, in the byte order of the machine, which both ends share) and
//! `size` bytes; files travel beside it. [`Request::parse`] cannot panic, whatever the bytes.

use super::Refused;
use super::table::{GuestRegion, MOST_REGIONS};

/// The bytes of a message's header.
pub const HEADER: usize = 12;

/// The most bytes behind a header: a table of regions, or a config space of [`MOST_CONFIG`].
pub const MOST_PAYLOAD: usize = 512;

/// The longest config space.
pub const MOST_CONFIG: usize = 256;

/// The version, in the lowest two bits of the flags.
const VERSION: u32 = 1;
const VERSION_MASK: u32 = 3;
const REPLY: u32 = 4;
const NEED_REPLY: u32 = 8;

/// A message's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageHeader {
    /// What is asked.
    pub request: u32,
    /// Whether an answer is wanted even if there is nothing to say.
    pub need_reply: bool,
    /// How many bytes follow.
    pub size: usize,
}

impl MessageHeader {
    /// Reads a header of a request.
    ///
    /// # Errors
    /// If it is of another version, an answer, or announces more than [`MOST_PAYLOAD`].
    pub fn parse(bytes: &[u8; HEADER]) -> Result<Self, Refused> {
        let word = |at: usize| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let [request, flags, size] = [word(0), word(4), word(8)];
        if flags & VERSION_MASK != VERSION || flags & REPLY != 0 {
            return Err(Refused::Flags(flags));
        }
        if size as usize > MOST_PAYLOAD {
            return Err(Refused::Length { request, len: size as usize });
        }
        Ok(Self { request, need_reply: flags & NEED_REPLY != 0, size: size as usize })
    }
}

/// An answer to `request`: its bytes, header included.
#[must_use]
pub fn reply(request: u32, payload: &[u8]) -> Vec<u8> {
    let words = [request, VERSION | REPLY, payload.len() as u32];
    words.iter().flat_map(|word| word.to_ne_bytes()).chain(payload.iter().copied()).collect()
}

/// What front ends ask.
#[expect(missing_docs, reason = "named as in the specification")]
pub mod request {
    pub const GET_FEATURES: u32 = 1;
    pub const SET_FEATURES: u32 = 2;
    pub const SET_OWNER: u32 = 3;
    pub const RESET_OWNER: u32 = 4;
    pub const SET_MEM_TABLE: u32 = 5;
    pub const SET_VRING_NUM: u32 = 8;
    pub const SET_VRING_ADDR: u32 = 9;
    pub const SET_VRING_BASE: u32 = 10;
    pub const GET_VRING_BASE: u32 = 11;
    pub const SET_VRING_KICK: u32 = 12;
    pub const SET_VRING_CALL: u32 = 13;
    pub const SET_VRING_ERR: u32 = 14;
    pub const GET_PROTOCOL_FEATURES: u32 = 15;
    pub const SET_PROTOCOL_FEATURES: u32 = 16;
    pub const GET_QUEUE_NUM: u32 = 17;
    pub const SET_VRING_ENABLE: u32 = 18;
    pub const SET_BACKEND_REQ_FD: u32 = 21;
    pub const GET_CONFIG: u32 = 24;
    pub const SET_CONFIG: u32 = 25;
    pub const RESET_DEVICE: u32 = 34;
    pub const SET_STATUS: u32 = 39;
    pub const GET_STATUS: u32 = 40;
}

/// The protocol's own feature bits that we have.
#[expect(missing_docs, reason = "named as in the specification")]
pub mod protocol {
    pub const MQ: u64 = 1 << 0;
    pub const REPLY_ACK: u64 = 1 << 3;
    pub const BACKEND_REQ: u64 = 1 << 5;
    pub const CONFIG: u64 = 1 << 9;
    pub const RESET_DEVICE: u64 = 1 << 13;
    pub const STATUS: u64 = 1 << 16;
    pub const ALL: u64 = MQ | REPLY_ACK | BACKEND_REQ | CONFIG | RESET_DEVICE | STATUS;
}

/// A request, of the right length.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Request {
    /// Which features are offered?
    GetFeatures,
    /// These are taken.
    SetFeatures(u64),
    /// The connection has an owner.
    SetOwner,
    /// Everything back to the start: the old way and the new.
    Reset,
    /// The front end's memory; a file for each.
    SetMemTable(Vec<GuestRegion>),
    /// How many entries a queue has.
    SetVringNum {
        /// Which queue.
        queue: u32,
        /// How many.
        num: u32,
    },
    /// Where its tables are, in the front end's own addresses.
    SetVringAddr {
        /// Which queue.
        queue: u32,
        /// Where they are.
        at: RingAddress,
    },
    /// At which index it goes on.
    SetVringBase {
        /// Which queue.
        queue: u32,
        /// The index.
        base: u32,
    },
    /// Stop a queue; at which index would it go on?
    GetVringBase {
        /// Which queue.
        queue: u32,
    },
    /// A file that wakes us; or none.
    SetVringKick(FileFor),
    /// A file that wakes the driver; or none.
    SetVringCall(FileFor),
    /// A file that would tell of errors; or none.
    SetVringErr(FileFor),
    /// Which of the protocol's features are there?
    GetProtocolFeatures,
    /// These are taken.
    SetProtocolFeatures(u64),
    /// How many queues are there?
    GetQueueNum,
    /// Let a queue run, or wait.
    SetVringEnable {
        /// Which queue.
        queue: u32,
        /// Whether it may run.
        on: bool,
    },
    /// A socket for requests of our own.
    SetBackendReq,
    /// What is in the config space?
    GetConfig {
        /// From where on.
        offset: u32,
        /// How much.
        size: u32,
    },
    /// A change to the config space.
    SetConfig,
    /// The virtio status.
    SetStatus(u64),
    /// What is it?
    GetStatus,
}

/// Where a queue's tables are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RingAddress {
    /// The descriptors.
    pub descriptors: u64,
    /// The used ring.
    pub used: u64,
    /// The available ring.
    pub available: u64,
}

/// Which queue a file is for, and whether it comes along.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileFor {
    /// Which queue.
    pub queue: u32,
    /// Whether there is one.
    pub comes: bool,
}

impl Request {
    /// Reads what follows a header.
    ///
    /// # Errors
    /// If we do not know the request, or its length is wrong.
    pub fn parse(request: u32, payload: &[u8]) -> Result<Self, Refused> {
        let wrong = Refused::Length { request, len: payload.len() };
        let none = || if payload.is_empty() { Ok(()) } else { Err(wrong) };
        let exactly = |len: usize| if payload.len() == len { Ok(()) } else { Err(wrong) };
        let word = |at: usize| payload.get(at..at + 4).and_then(|it| it.try_into().ok()).map(u32::from_ne_bytes);
        let long = |at: usize| payload.get(at..at + 8).and_then(|it| it.try_into().ok()).map(u64::from_ne_bytes);
        let one_long = || exactly(8).and_then(|()| long(0).ok_or(wrong));
        let two_words = || exactly(8).and_then(|()| word(0).zip(word(4)).ok_or(wrong));
        let file = || {
            let value = one_long()?;
            Ok(FileFor { queue: (value & 0xff) as u32, comes: value & 0x100 == 0 })
        };
        Ok(match request {
            request::GET_FEATURES => none().map(|()| Self::GetFeatures)?,
            request::SET_FEATURES => Self::SetFeatures(one_long()?),
            request::SET_OWNER => none().map(|()| Self::SetOwner)?,
            request::RESET_OWNER | request::RESET_DEVICE => none().map(|()| Self::Reset)?,
            request::SET_MEM_TABLE => {
                let count = word(0).ok_or(wrong)? as usize;
                // Linux always sends room for two; what follows the last region is not looked at.
                if count > MOST_REGIONS || payload.len() < 8 + 32 * count {
                    return Err(wrong);
                }
                let region = |at: usize| {
                    let [guest, len, user, offset] = [long(at)?, long(at + 8)?, long(at + 16)?, long(at + 24)?];
                    Some(GuestRegion { guest, len, user, offset })
                };
                let regions = (0..count).map(|index| region(8 + 32 * index)).collect::<Option<_>>();
                Self::SetMemTable(regions.ok_or(wrong)?)
            }
            request::SET_VRING_NUM => two_words().map(|(queue, num)| Self::SetVringNum { queue, num })?,
            request::SET_VRING_ADDR => {
                // `index, flags: u32; descriptors, used, available, log: u64`
                exactly(40)?;
                let at = long(8).zip(long(16)).zip(long(24));
                let ((descriptors, used), available) = at.ok_or(wrong)?;
                let at = RingAddress { descriptors, used, available };
                Self::SetVringAddr { queue: word(0).ok_or(wrong)?, at }
            }
            request::SET_VRING_BASE => two_words().map(|(queue, base)| Self::SetVringBase { queue, base })?,
            request::GET_VRING_BASE => two_words().map(|(queue, _)| Self::GetVringBase { queue })?,
            request::SET_VRING_KICK => Self::SetVringKick(file()?),
            request::SET_VRING_CALL => Self::SetVringCall(file()?),
            request::SET_VRING_ERR => Self::SetVringErr(file()?),
            request::GET_PROTOCOL_FEATURES => none().map(|()| Self::GetProtocolFeatures)?,
            request::SET_PROTOCOL_FEATURES => Self::SetProtocolFeatures(one_long()?),
            request::GET_QUEUE_NUM => none().map(|()| Self::GetQueueNum)?,
            request::SET_VRING_ENABLE => two_words().map(|(queue, on)| Self::SetVringEnable { queue, on: on != 0 })?,
            request::SET_BACKEND_REQ_FD => none().map(|()| Self::SetBackendReq)?,
            request::GET_CONFIG => {
                // `offset, size, flags: u32`, and room for the answer.
                let (offset, size) = word(0).zip(word(4)).ok_or(wrong)?;
                if word(8).is_none() || size as usize > MOST_CONFIG {
                    return Err(wrong);
                }
                Self::GetConfig { offset, size }
            }
            request::SET_CONFIG => Self::SetConfig,
            request::SET_STATUS => Self::SetStatus(one_long()?),
            request::GET_STATUS => none().map(|()| Self::GetStatus)?,
            other => return Err(Refused::Request(other)),
        })
    }

    /// How many files come with it.
    pub(crate) fn files(&self) -> usize {
        match self {
            Self::SetMemTable(regions) => regions.len(),
            Self::SetVringKick(file) | Self::SetVringCall(file) | Self::SetVringErr(file) => usize::from(file.comes),
            Self::SetBackendReq => 1,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    #[test]
    fn headers_of_requests_are_read_and_others_refused() {
        let header = |list: [u32; 3]| MessageHeader::parse(&words(&list).try_into().unwrap());
        assert_eq!(header([5, 1, 72]), Ok(MessageHeader { request: 5, need_reply: false, size: 72 }));
        assert_eq!(header([1, 9, 0]), Ok(MessageHeader { request: 1, need_reply: true, size: 0 }));
        for flags in [0, 2, 3, 5] {
            assert_eq!(header([1, flags, 0]), Err(Refused::Flags(flags)));
        }
        assert_eq!(header([1, 1, 513]), Err(Refused::Length { request: 1, len: 513 }));
        assert_eq!(reply(1, &7u64.to_ne_bytes()), words(&[1, 5, 8, 7, 0]));
    }

    #[test]
    fn a_table_of_linux_has_room_for_two_regions_and_says_how_many_there_are() {
        let mut bytes = words(&[1, 0]);
        for long in [0x60_0000u64, 0x7a0_0000, 0x60_0000, 0x60_0000, 0, 0, 0, 0] {
            bytes.extend(long.to_ne_bytes());
        }
        let region = GuestRegion { guest: 0x60_0000, len: 0x7a0_0000, user: 0x60_0000, offset: 0x60_0000 };
        let parsed = Request::parse(request::SET_MEM_TABLE, &bytes);
        assert_eq!(parsed, Ok(Request::SetMemTable(vec![region])));
        assert_eq!(parsed.unwrap().files(), 1);
        bytes[0] = 3;
        assert_eq!(Request::parse(5, &bytes), Err(Refused::Length { request: 5, len: 72 }));
        bytes[..4].fill(0xff);
        assert!(Request::parse(5, &bytes).is_err());
    }

    #[test]
    fn rings_and_files_are_read() {
        let mut bytes = words(&[1, 0]);
        for long in [0x1000u64, 0x3000, 0x2000, u64::MAX] {
            bytes.extend(long.to_ne_bytes());
        }
        let at = RingAddress { descriptors: 0x1000, used: 0x3000, available: 0x2000 };
        assert_eq!(Request::parse(9, &bytes), Ok(Request::SetVringAddr { queue: 1, at }));
        let none = Request::SetVringCall(FileFor { queue: 1, comes: false });
        assert_eq!(Request::parse(13, &0x101u64.to_ne_bytes()), Ok(none));
        let some = Request::SetVringKick(FileFor { queue: 1, comes: true });
        assert_eq!(Request::parse(12, &1u64.to_ne_bytes()), Ok(some));
        assert_eq!(Request::parse(77, &[]), Err(Refused::Request(77)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(kind in 0u32..64, payload in prop::collection::vec(any::<u8>(), 0..MOST_PAYLOAD)) {
            if let Ok(request) = Request::parse(kind, &payload) {
                prop_assert!(request.files() <= MOST_REGIONS);
            }
        }
    }
}
