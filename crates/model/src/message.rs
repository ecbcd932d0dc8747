//! What the pools of two devices say to each other.
//!
//! Each message is one [section](crate::section) whose tag says what it is; other sections beside it are skipped, so
//! that a later version can add to a message, and fields behind those listed here are ignored, so that it can
//! add to a section.
//!
//! | tag | message | fields |
//! |---|---|---|
//! | | **notices**: one way, in any order | |
//! | 0101 | [`Notice::Record`] | signed bytes, signature |
//! | 0102 | [`Notice::Digest`] | whole, entries: (device, via, seq, mark) … |
//! | 0103 | [`Notice::Leases`] | revision, leases: (lease, mode, holder, remaining) … |
//! | 0104 | [`Notice::LeaseEnded`] | lease, why |
//! | | **requests**: one [`Reply`] each | |
//! | 0201 | [`Request::Read`] | resource |
//! | 0202 | [`Request::Write`] | resource, value, token |
//! | 0203 | [`Request::LeaseRequest`] | resource, mode, duration, nonce |
//! | 0204 | [`Request::LeaseRenew`] | lease, duration |
//! | 0205 | [`Request::LeaseRelease`] | resource, nonce |
//! | 0206 | [`Request::LeaseReserve`] | lease, to |
//! | 0207 | [`Request::LeaseTake`] | signed hand-over, duration, nonce |
//! | | **replies** | |
//! | 0301 | [`Reply::Reading`] | value, moment |
//! | 0302 | [`Reply::Done`] | |
//! | 0303 | [`Reply::Lease`] | lease, mode, duration |
//! | 0304 | [`Reply::Refused`] | code, sentence, details |
//! | | **headers** of byte streams | |
//! | 0401 | [`StreamHeader::Follow`] | resource, least interval |
//! | 0402 | [`StreamHeader::List`] | resource, prefix |
//! | 0403 | [`StreamHeader::Get`] | resource, path |
//! | 0404 | [`StreamHeader::Put`] | resource, path, size, token |
//! | 0405 | [`StreamHeader::Delete`] | resource, path, token |
//! | | **frames** on streams, each behind its length (32 bits, little-endian) | |
//! | 0411 | [`StreamFrame::Reading`] | value, moment |
//! | 0412 | [`StreamFrame::Content`] | size, modified; that many raw bytes follow |
//! | 0413 | [`StreamFrame::Entries`] | (path, size, modified) … |
//! | 0414 | [`StreamFrame::Usage`] | used, quota |
//! | 0415 | [`StreamFrame::Done`] | |
//! | 0416 | [`StreamFrame::Refused`] | code, sentence, details |
//! | 0501 | [`HandOver`], signed | lease, from, to |
//!
//! # Sizes
//! A message has at most [`MAX_MESSAGE_LEN`] bytes; a frame on a stream at most [`MAX_FRAME_LEN`]. Reading checks the
//! size first, and never allocates more than a small multiple of what arrived.

use alloc::{string::String, vec::Vec};
use core::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    id::{DeviceId, ResourceId},
    section::{Section, SectionError, SectionWriter, Sections, Tag},
    signed::{BadSignature, Signed},
    time::WallTime,
    value::{Reading, Value},
};

mod lease;
mod refusal;
mod storage;

pub use lease::{Grant, HandOver, LeaseId, LeaseInfo, LeaseMode, Nonce, Token};
pub use refusal::{Explanation, Refusal, explain};
pub use storage::{BadPath, MAX_PATH_LEN, StorageEntry, StoragePath, StorageUsage};

/// The largest message, in bytes.
pub const MAX_MESSAGE_LEN: usize = 1 << 20;

/// The largest frame on a stream, in bytes.
pub const MAX_FRAME_LEN: usize = 256 * 1024;

/// Why bytes are not a message of the sort that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageError {
    /// More bytes than a message may have.
    TooLong {
        /// The most allowed.
        max: usize,
    },
    /// It is not made of the sections it should be.
    Sections(SectionError),
    /// No section in it is of a sort that this version knows.
    Unknown,
    /// It holds more than one message.
    Ambiguous,
    /// It is signed by somebody else, or altered.
    Signature(BadSignature),
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { max } => write!(f, "the message is longer than {max} bytes"),
            Self::Sections(error) => error.fmt(f),
            Self::Unknown => f.write_str("the message is of an unknown sort; the other side may be newer"),
            Self::Ambiguous => f.write_str("the message is two messages"),
            Self::Signature(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for MessageError {}

impl From<SectionError> for MessageError {
    fn from(error: SectionError) -> Self {
        Self::Sections(error)
    }
}

/// A message of one section.
fn section<T: Serialize>(tag: Tag, version: u16, body: &T) -> Result<Vec<u8>, MessageError> {
    let mut writer = SectionWriter::new();
    writer.push(tag, version, body)?;
    let bytes = writer.finish();
    if bytes.len() > MAX_MESSAGE_LEN { Err(MessageError::TooLong { max: MAX_MESSAGE_LEN }) } else { Ok(bytes) }
}

/// The one section of a message whose tag is among those given.
fn one_section<'a>(bytes: &'a [u8], tags: &[Tag]) -> Result<Section<'a>, MessageError> {
    if bytes.len() > MAX_MESSAGE_LEN {
        return Err(MessageError::TooLong { max: MAX_MESSAGE_LEN });
    }
    let mut known = Sections::new_checked(bytes)?.iter().filter(|section| tags.contains(&section.tag));
    match (known.next(), known.next()) {
        (Some(section), None) => Ok(section),
        (None, _) => Err(MessageError::Unknown),
        (Some(_), Some(_)) => Err(MessageError::Ambiguous),
    }
}

macro_rules! messages {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident($body:ty) = $tag:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        // A message lives for a moment, between the wire and whoever acts on it.
        #[allow(clippy::large_enum_variant)]
        pub enum $name { $($(#[$variant_doc])* $variant($body),)* }

        impl $name {
            const TAGS: &[Tag] = &[$(Tag($tag)),*];

            /// The message as bytes.
            ///
            /// # Errors
            /// [`MessageError::TooLong`]: what the receiver would refuse is not made.
            pub fn emit(&self) -> Result<Vec<u8>, MessageError> {
                match self { $(Self::$variant(body) => section(Tag($tag), 1, body),)* }
            }

            /// Reads a message of this version or a later one.
            pub fn parse(bytes: &[u8]) -> Result<Self, MessageError> {
                let section = one_section(bytes, Self::TAGS)?;
                match section.tag.0 {
                    $($tag => Ok(Self::$variant(section.decode()?)),)*
                    _ => Err(MessageError::Unknown),
                }
            }
        }
    };
}

messages! {
    /// One way; nothing comes back.
    Notice {
        /// A device record that the sender holds: its own, or one that it passes on.
        Record(Signed) = 0x0101;
        /// Which records the sender holds (protocol version 2).
        Digest(Digest) = 0x0102;
        /// The leases that the sender has granted, as far as the receiver may see the resources.
        Leases(Leases) = 0x0103;
        /// A lease of the receiver is over before its time.
        LeaseEnded(LeaseEnded) = 0x0104;
    }
}

messages! {
    /// Asks the device that owns a resource for something.
    Request {
        /// Take a reading.
        Read(Read) = 0x0201;
        /// Set a value.
        Write(Write) = 0x0202;
        /// Grant a lease.
        LeaseRequest(LeaseRequest) = 0x0203;
        /// Let a lease last longer.
        LeaseRenew(LeaseRenew) = 0x0204;
        /// A lease is given back.
        LeaseRelease(LeaseRelease) = 0x0205;
        /// Let another device take the lease over, once it shows the holder's hand-over.
        LeaseReserve(LeaseReserve) = 0x0206;
        /// Take over a lease that was handed over.
        LeaseTake(LeaseTake) = 0x0207;
    }
}

messages! {
    /// The answer to a [`Request`].
    Reply {
        /// A reading.
        Reading(Reading) = 0x0301;
        /// It is done.
        Done(()) = 0x0302;
        /// A lease was granted or renewed.
        Lease(Grant) = 0x0303;
        /// It was not done.
        Refused(Refusal) = 0x0304;
    }
}

messages! {
    /// What a byte stream to a resource's device is for.
    StreamHeader {
        /// Readings as they come: frames of [`StreamFrame::Reading`] until either side ends it.
        Follow(Follow) = 0x0401;
        /// What is stored: frames of [`StreamFrame::Entries`], then [`StreamFrame::Usage`].
        List(List) = 0x0402;
        /// What is stored under a path: [`StreamFrame::Content`], then the bytes.
        Get(Get) = 0x0403;
        /// Store the bytes that follow: chunks, each behind its length (32 bits, little-endian), and an empty one as
        /// the end, so that a stream which breaks is not taken for one that ended. Answered by [`StreamFrame::Done`]
        /// before the bytes (go ahead) and again when they are safe.
        Put(Put) = 0x0404;
        /// Remove what is stored under a path; answered by [`StreamFrame::Done`].
        Delete(Delete) = 0x0405;
    }
}

messages! {
    /// What comes back on a byte stream. Instead of any of them, [`StreamFrame::Refused`] may come and ends it.
    StreamFrame {
        /// A reading.
        Reading(Reading) = 0x0411;
        /// The bytes that follow.
        Content(Content) = 0x0412;
        /// Some of what is stored.
        Entries(Vec<StorageEntry>) = 0x0413;
        /// That was all; and how full the storage is.
        Usage(StorageUsage) = 0x0414;
        /// It is done.
        Done(()) = 0x0415;
        /// It was not done, or is over.
        Refused(Refusal) = 0x0416;
    }
}

/// A fingerprint of a record's signed bytes, to tell apart two records with the same sequence number.
pub type Mark = [u8; 8];

/// One record that the sender of a [`Digest`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestEntry {
    /// The device that it describes.
    pub device: DeviceId,
    /// The host that vouches for it, if it is a satellite.
    pub via: Option<DeviceId>,
    /// Its sequence number; 0 for "I have none".
    pub seq: u64,
    /// Its fingerprint.
    pub mark: Mark,
}

/// Which records the sender holds.
///
/// Whoever gets it sends the records in which it is ahead. If the digest is `whole`, that includes those that it
/// does not list; if not, the receiver also answers with a digest (not whole) of what it lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Whether it lists all that the sender holds.
    pub whole: bool,
    /// The records.
    pub entries: Vec<DigestEntry>,
}

/// The leases that the sender has granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leases {
    /// Grows with each such notice of one run; of two, the higher one counts.
    pub revision: u64,
    /// The leases.
    pub leases: Vec<LeaseInfo>,
}

/// A lease is over before its time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeaseEnded {
    /// Which.
    pub lease: LeaseId,
    /// Why.
    pub why: Refusal,
}

/// Asks for a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// Of what.
    pub resource: ResourceId,
}

/// Sets a value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Write {
    /// Of what.
    pub resource: ResourceId,
    /// To what.
    pub value: Value,
    /// The lease under which this happens; needed for resources that have one user at a time.
    pub token: Option<Token>,
}

/// Asks for a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRequest {
    /// On what.
    pub resource: ResourceId,
    /// In which mode.
    pub mode: LeaseMode,
    /// For how long; the grant may say less.
    pub duration: Duration,
    /// Names this request: a repeat with the same nonce gets the same lease.
    pub nonce: Nonce,
}

/// Lets a lease last longer: `duration` from now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRenew {
    /// Which.
    pub lease: LeaseId,
    /// How long; the grant may say less.
    pub duration: Duration,
}

/// Gives a lease back. Named by its request, so that a lease whose grant was never heard of can be given back too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRelease {
    /// On what.
    pub resource: ResourceId,
    /// The request that it was granted for.
    pub nonce: Nonce,
}

/// Reserves the transfer of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseReserve {
    /// Which.
    pub lease: LeaseId,
    /// To whom.
    pub to: DeviceId,
}

/// Takes over a reserved lease.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeaseTake {
    /// The old holder's [`HandOver`].
    pub hand_over: Signed,
    /// For how long; the grant may say less.
    pub duration: Duration,
    /// Names this request.
    pub nonce: Nonce,
}

/// Asks for readings as they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Follow {
    /// Of what.
    pub resource: ResourceId,
    /// At most one in this time; what comes between is left out, the latest value wins.
    pub min_interval: Duration,
}

/// Asks what is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// In what.
    pub resource: ResourceId,
    /// Only paths that begin with this.
    pub prefix: String,
}

/// Asks for what is stored under a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Get {
    /// In what.
    pub resource: ResourceId,
    /// Where.
    pub path: StoragePath,
}

/// Stores something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// In what.
    pub resource: ResourceId,
    /// Where; what was there is replaced.
    pub path: StoragePath,
    /// How many bytes will come, if known: then fewer or more are an error.
    pub size: Option<u64>,
    /// The lease under which this happens.
    pub token: Option<Token>,
}

/// Removes something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delete {
    /// In what.
    pub resource: ResourceId,
    /// Where.
    pub path: StoragePath,
    /// The lease under which this happens.
    pub token: Option<Token>,
}

/// The raw bytes that follow on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// How many.
    pub size: u64,
    /// When they were last changed.
    pub modified: WallTime,
}

impl Request {
    /// The device that is asked, if the request says so: a hand-over that cannot be read does not.
    pub fn resource(&self) -> Option<ResourceId> {
        match self {
            Self::Read(read) => Some(read.resource),
            Self::Write(write) => Some(write.resource),
            Self::LeaseRequest(request) => Some(request.resource),
            Self::LeaseRenew(renew) => Some(renew.lease.resource),
            Self::LeaseRelease(release) => Some(release.resource),
            Self::LeaseReserve(reserve) => Some(reserve.lease.resource),
            Self::LeaseTake(take) => HandOver::peek(&take.hand_over).ok().map(|claim| claim.lease.resource),
        }
    }
}

impl StreamHeader {
    /// The resource that it is about.
    pub fn resource(&self) -> ResourceId {
        match self {
            Self::Follow(follow) => follow.resource,
            Self::List(list) => list.resource,
            Self::Get(get) => get.resource,
            Self::Put(put) => put.resource,
            Self::Delete(delete) => delete.resource,
        }
    }
}

#[cfg(test)]
mod tests;
