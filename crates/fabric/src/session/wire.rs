//! What travels on a session.
//!
//! The **control stream** is the first one, opened by whoever dialled; its messages are sections (one each) behind
//! a length. All other streams belong to services and begin with a small fixed header:
//!
//! ```text
//! request, stream   kind u8 (0 request, 1 stream) | service u16 | length u32 | body …
//! reply             status u8 (0 ok, 1 no such service, 2 no answer) | length u32 | body
//! notice            service u16 | length u32 | body       (a stream in one direction)
//! heartbeat         [1]                                    (a datagram; other contents count just the same)
//! ```

use serde::{Deserialize, Serialize};
use tutti_model::{
    VersionRange,
    section::{SectionError, SectionWriter, Sections, Tag},
    signed::Signed,
};

use crate::{
    group::{EntryHash, GroupId},
    service::Service,
};

/// The longest message on the control stream: a full list of [`crate::group`]'s most entries fits, and so does
/// any batch that [`batches`] makes.
pub(crate) const MAX_CONTROL: usize = 1 << 20;

/// The most bytes of entries that a device outside the group, as far as is known here, may present as its proof of
/// membership: some 15,000 entries.
pub(crate) const MAX_PROOF: usize = 4 << 20;

/// A heartbeat.
pub(crate) const HEARTBEAT: &[u8] = &[1];

const HELLO: Tag = Tag(1);
const PROVE: Tag = Tag(2);
const KNOWN: Tag = Tag(3);
const ENTRIES: Tag = Tag(4);
const READY: Tag = Tag(5);

/// Who speaks, and what it knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) versions: VersionRange,
    pub(crate) group: GroupId,
    /// Drawn at each start: tells a restarted device from one that only dialled twice.
    pub(crate) incarnation: u64,
    /// The newest entries of the sender's group history.
    pub(crate) heads: Vec<EntryHash>,
}

/// A message on the control stream.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Control {
    Hello(Hello),
    /// "I do not know you as a member: show me the entries that make you one."
    Prove,
    /// Every entry that the sender has.
    Known(Vec<EntryHash>),
    /// Entries that the receiver lacks; more follow unless `last`.
    Entries {
        entries: Vec<Signed>,
        last: bool,
    },
    /// The sender has what the receiver had to tell, and accepts it as a member.
    Ready,
}

impl Control {
    /// The message as bytes.
    pub(crate) fn emit(&self) -> Result<Vec<u8>, SectionError> {
        let mut writer = SectionWriter::new();
        match self {
            Self::Hello(hello) => writer.push(HELLO, 1, hello)?,
            Self::Prove => writer.push(PROVE, 1, &())?,
            Self::Known(hashes) => writer.push(KNOWN, 1, hashes)?,
            Self::Entries { entries, last } => writer.push(ENTRIES, 1, &(last, entries))?,
            Self::Ready => writer.push(READY, 1, &())?,
        };
        Ok(writer.finish())
    }

    /// The first section that this version knows; a message with none is `None` (a newer version's).
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>, SectionError> {
        for section in Sections::new_checked(bytes)?.iter() {
            let message = match section.tag {
                HELLO => Self::Hello(section.decode()?),
                PROVE => Self::Prove,
                KNOWN => Self::Known(section.decode()?),
                ENTRIES => {
                    let (last, entries) = section.decode()?;
                    Self::Entries { entries, last }
                }
                READY => Self::Ready,
                _ => continue,
            };
            return Ok(Some(message));
        }
        Ok(None)
    }

    /// The word for it in error messages.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Self::Hello(_) => "hello",
            Self::Prove => "prove",
            Self::Known(_) => "known",
            Self::Entries { .. } => "entries",
            Self::Ready => "ready",
        }
    }
}

/// Cuts entries into messages that are well below [`MAX_CONTROL`]; at least one, the last marked so.
pub(crate) fn batches(entries: Vec<Signed>) -> Vec<Control> {
    const BATCH: usize = 256 * 1024;
    let mut batches = vec![Vec::new()];
    let mut size = 0;
    for entry in entries {
        size += entry.unverified().len() + 80;
        if size > BATCH {
            size = entry.unverified().len() + 80;
            batches.push(Vec::new());
        }
        if let Some(batch) = batches.last_mut() {
            batch.push(entry);
        }
    }
    let count = batches.len();
    batches.into_iter().enumerate().map(|(at, entries)| Control::Entries { entries, last: at + 1 == count }).collect()
}

/// What a service's stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamKind {
    Request,
    Stream,
}

/// The seven bytes in front of a request's body or a stream's header.
pub(crate) fn stream_header(kind: StreamKind, service: Service, length: u32) -> [u8; 7] {
    let [s0, s1] = service.0.to_le_bytes();
    let [l0, l1, l2, l3] = length.to_le_bytes();
    [matches!(kind, StreamKind::Stream).into(), s0, s1, l0, l1, l2, l3]
}

/// Reads such a header; `None` for a kind that there is not.
pub(crate) fn parse_stream_header(bytes: [u8; 7]) -> Option<(StreamKind, Service, u32)> {
    let [kind, s0, s1, l0, l1, l2, l3] = bytes;
    let kind = match kind {
        0 => StreamKind::Request,
        1 => StreamKind::Stream,
        _ => return None,
    };
    Some((kind, Service(u16::from_le_bytes([s0, s1])), u32::from_le_bytes([l0, l1, l2, l3])))
}

/// How a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Ok = 0,
    NoSuchService = 1,
    NoAnswer = 2,
}

impl Status {
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        [Self::Ok, Self::NoSuchService, Self::NoAnswer].into_iter().find(|status| *status as u8 == byte)
    }
}
