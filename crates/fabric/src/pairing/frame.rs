//! What travels: the frames of an attempt, and how they are cut out of a byte stream.
//!
//! On the stream each frame is its length (four bytes, little-endian) and a message of
//! [sections](tutti_model::section). Exactly one section of a frame has one of the tags below; sections with other tags
//! are skipped. From the reply on, a frame ends with a section that holds a code (see [`keys`](super::keys)) over all of
//! the attempt, the bytes of this frame included: nothing can be added, taken away or altered.
//!
//! | tag | frame | from | fields of version 1 |
//! |---|---|---|---|
//! | 80 | challenge | host | oldest and newest version spoken, nonce (32 bytes) |
//! | 81 | hello | joiner | version chosen, mode (1 code, 2 ticket), share, ticket proof if any |
//! | 82 | reply | host | share, tries left after this one if counted |
//! | 83 | confirm | joiner | the joiner's name |
//! | 84 | group | host | group id, role, the host's name |
//! | 85 | group bytes | host | the encoded group, raw; in the same frame as 84 |
//! | 86 | receipt | joiner | none |
//! | 87 | refused | both | why (see [`Refusal`]), tries left if that is known |
//! | 88 | code | both | 32 bytes, raw; last in frames 82, 83, 84 and 86 |

use std::fmt;

use serde::{Deserialize, Serialize};
use tutti_model::{
    Name, Role, VersionRange,
    section::{Section, SectionError, SectionWriter, Sections, Tag},
};

use super::{
    keys::Mac,
    pake::{BadShare, Share},
    secret::Mode,
};

/// The largest frame in bytes, but for the one with the group.
pub const MAX_FRAME: usize = 4 * 1024;

/// The largest group that can be handed over, in bytes. An entry of the graph takes some 250 bytes, so this holds
/// 16,000 of them: room for a pool of several thousand devices with its history.
pub const MAX_GROUP: usize = 4 * 1024 * 1024;

/// The largest frame with a group.
pub(super) const MAX_GROUP_FRAME: usize = MAX_GROUP + MAX_FRAME;

const VERSION: u16 = 1;
const GROUP_BYTES: Tag = Tag(85);
const CODE: Tag = Tag(88);

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameKind {
    /// The host's opening.
    Challenge,
    /// The joiner's share.
    Hello,
    /// The host's share and confirmation.
    Reply,
    /// The joiner's confirmation.
    Confirm,
    /// The group.
    Group,
    /// The joiner has the group.
    Receipt,
    /// An end, with the reason.
    Refused,
}

impl FrameKind {
    const ALL: [Self; 7] =
        [Self::Challenge, Self::Hello, Self::Reply, Self::Confirm, Self::Group, Self::Receipt, Self::Refused];

    const fn tag(self) -> Tag {
        Tag(match self {
            Self::Challenge => 80,
            Self::Hello => 81,
            Self::Reply => 82,
            Self::Confirm => 83,
            Self::Group => 84,
            Self::Receipt => 86,
            Self::Refused => 87,
        })
    }
}

impl FrameKind {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Challenge => "challenge",
            Self::Hello => "hello",
            Self::Reply => "reply",
            Self::Confirm => "confirmation",
            Self::Group => "group",
            Self::Receipt => "receipt",
            Self::Refused => "refusal",
        }
    }
}

impl fmt::Display for FrameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// How the other side broke the protocol. Always ends the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A frame is longer than one may be at this point.
    TooLong {
        /// The length announced.
        len: usize,
        /// The longest allowed.
        max: usize,
    },
    /// A frame is not made of the sections it should be.
    Garbled(SectionError),
    /// A frame that is none of those of pairing, or several in one.
    NotAFrame,
    /// A frame came that was not due.
    OutOfTurn {
        /// What came.
        got: FrameKind,
        /// What was due; nothing if it was this side's turn to speak.
        due: Option<FrameKind>,
    },
    /// The share of the key exchange is not valid.
    Share(BadShare),
    /// The code in this frame does not match: altered on the way, or made without the key.
    Forged(FrameKind),
    /// The version chosen is not one of those offered.
    Version(u16),
    /// It claims to be this very device.
    Oneself,
    /// The group that it handed over is not valid, or does not have this device in it.
    BadGroup,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len, max } => write!(f, "it sent a frame of {len} bytes where {max} are allowed"),
            Self::Garbled(error) => write!(f, "it sent a garbled frame: {error}"),
            Self::NotAFrame => f.write_str("it sent something that is not a pairing frame"),
            Self::OutOfTurn { got, due: Some(due) } => write!(f, "it sent its {got} where its {due} was due"),
            Self::OutOfTurn { got, due: None } => write!(f, "it sent its {got} where nothing was due"),
            Self::Share(error) => error.fmt(f),
            Self::Forged(kind) => write!(f, "the code in its {kind} does not match: altered, or made without the key"),
            Self::Version(version) => write!(f, "it chose version {version}, which was not offered"),
            Self::Oneself => f.write_str("it claims to be this device"),
            Self::BadGroup => f.write_str("the group that it handed over is not valid"),
        }
    }
}

impl std::error::Error for Fault {}

impl From<BadShare> for Fault {
    fn from(error: BadShare) -> Self {
        Self::Share(error)
    }
}

impl From<SectionError> for Fault {
    fn from(error: SectionError) -> Self {
        Self::Garbled(error)
    }
}

/// Why one side ends the attempt, as it tells the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The host shows no code.
    NoOffer,
    /// The code and the ticket were too old.
    Expired,
    /// Somebody else is trying, or too many are.
    Busy,
    /// The code had its three wrong tries.
    CodeDead,
    /// Another device has used the offer.
    Taken,
    /// The ticket is not of this offer.
    WrongTicket,
    /// The code was wrong.
    WrongCode,
    /// No version in common.
    Version,
    /// The other side broke the protocol.
    Misbehaved,
    /// The side that says so could not do its part: its disk is full, it may not pair any more.
    Failed,
    /// The other side took too long.
    TimedOut,
    /// The person at this side gave up.
    Cancelled,
    /// Something that a newer version says.
    Other(u16),
}

impl From<u16> for Refusal {
    fn from(code: u16) -> Self {
        match code {
            1 => Self::NoOffer,
            2 => Self::Expired,
            3 => Self::Busy,
            4 => Self::CodeDead,
            5 => Self::Taken,
            6 => Self::WrongTicket,
            7 => Self::WrongCode,
            8 => Self::Version,
            9 => Self::Misbehaved,
            10 => Self::Failed,
            11 => Self::TimedOut,
            12 => Self::Cancelled,
            other => Self::Other(other),
        }
    }
}

impl From<Refusal> for u16 {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoOffer => 1,
            Refusal::Expired => 2,
            Refusal::Busy => 3,
            Refusal::CodeDead => 4,
            Refusal::Taken => 5,
            Refusal::WrongTicket => 6,
            Refusal::WrongCode => 7,
            Refusal::Version => 8,
            Refusal::Misbehaved => 9,
            Refusal::Failed => 10,
            Refusal::TimedOut => 11,
            Refusal::Cancelled => 12,
            Refusal::Other(code) => code,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoOffer => "no code is being shown",
            Self::Expired => "the code or ticket has expired",
            Self::Busy => "another attempt is under way",
            Self::CodeDead => "the code had too many wrong tries",
            Self::Taken => "another device has used this code or ticket",
            Self::WrongTicket => "the ticket is not valid here",
            Self::WrongCode => "the code is wrong",
            Self::Version => "no version of the pairing protocol in common",
            Self::Misbehaved => "the other side broke the protocol",
            Self::Failed => "the side that says so could not do its part",
            Self::TimedOut => "the other side took too long",
            Self::Cancelled => "cancelled",
            Self::Other(code) => return write!(f, "for a reason that this version does not know ({code})"),
        })
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Challenge {
    pub(super) versions: VersionRange,
    pub(super) nonce: [u8; 32],
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Hello {
    pub(super) version: u16,
    mode: u8,
    pub(super) share: Share,
    /// With a ticket: the code, under the ticket's key, over the challenge and the fields before.
    pub(super) proof: Option<Mac>,
}

impl Hello {
    pub(super) fn new(version: u16, mode: Mode, share: Share, proof: Option<Mac>) -> Self {
        Self { version, mode: mode.code(), share, proof }
    }

    pub(super) fn mode(&self) -> Result<Mode, Fault> {
        Mode::from_code(self.mode).ok_or(Fault::Garbled(SectionError::Malformed(FrameKind::Hello.tag())))
    }

    /// What the proof covers besides the challenge.
    pub(super) fn proven(&self) -> Vec<u8> {
        [self.version.to_le_bytes().as_slice(), &[self.mode], &self.share].concat()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Reply {
    pub(super) share: Share,
    pub(super) tries_left: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Confirm {
    pub(super) name: Name,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct GroupHeader {
    pub(super) id: [u8; 32],
    pub(super) role: Role,
    pub(super) host_name: Name,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Refused {
    reason: u16,
    tries_left: Option<u8>,
}

/// A frame, checked as far as that goes without keys.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Frame<'a> {
    Challenge(Challenge),
    Hello(Hello),
    Reply(Reply),
    Confirm(Confirm),
    Group(GroupHeader, &'a [u8]),
    Receipt,
    Refused(Refusal, Option<u8>),
}

impl<'a> Frame<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, Fault> {
        let sections = Sections::new_checked(bytes)?;
        let mut known = sections
            .iter()
            .filter_map(|section| FrameKind::ALL.into_iter().find(|kind| kind.tag() == section.tag).zip(Some(section)));
        let (Some((kind, section)), None) = (known.next(), known.next()) else { return Err(Fault::NotAFrame) };
        Ok(match kind {
            FrameKind::Challenge => Self::Challenge(section.decode()?),
            FrameKind::Hello => Self::Hello(section.decode()?),
            FrameKind::Reply => Self::Reply(section.decode()?),
            FrameKind::Confirm => Self::Confirm(section.decode()?),
            FrameKind::Group => {
                let Section { payload, .. } = sections.one(GROUP_BYTES)?;
                if payload.len() > MAX_GROUP {
                    return Err(Fault::TooLong { len: payload.len(), max: MAX_GROUP });
                }
                Self::Group(section.decode()?, payload)
            }
            FrameKind::Receipt => Self::Receipt,
            FrameKind::Refused => {
                let refused: Refused = section.decode()?;
                Self::Refused(refused.reason.into(), refused.tries_left)
            }
        })
    }

    pub(super) const fn kind(&self) -> FrameKind {
        match self {
            Self::Challenge(_) => FrameKind::Challenge,
            Self::Hello(_) => FrameKind::Hello,
            Self::Reply(_) => FrameKind::Reply,
            Self::Confirm(_) => FrameKind::Confirm,
            Self::Group(..) => FrameKind::Group,
            Self::Receipt => FrameKind::Receipt,
            Self::Refused(..) => FrameKind::Refused,
        }
    }

    /// The frame as sections, without the length in front.
    pub(super) fn emit(&self) -> Vec<u8> {
        let mut writer = SectionWriter::new();
        let tag = self.kind().tag();
        let written = match self {
            Self::Challenge(fields) => writer.push(tag, VERSION, fields),
            Self::Hello(fields) => writer.push(tag, VERSION, fields),
            Self::Reply(fields) => writer.push(tag, VERSION, fields),
            Self::Confirm(fields) => writer.push(tag, VERSION, fields),
            Self::Group(fields, bytes) => {
                writer.push(tag, VERSION, fields).and_then(|writer| writer.push_raw(GROUP_BYTES, VERSION, bytes))
            }
            Self::Receipt => writer.push_raw(tag, VERSION, &[]),
            Self::Refused(reason, tries_left) => {
                writer.push(tag, VERSION, &Refused { reason: (*reason).into(), tries_left: *tries_left })
            }
        };
        written.expect("our own frames have a postcard form and are far below 4 GiB");
        writer.finish()
    }
}

/// The frame with a code at its end.
pub(super) fn with_code(frame: Vec<u8>, code: &Mac) -> Vec<u8> {
    let mut writer = SectionWriter::new();
    writer.push_raw(CODE, VERSION, code).expect("32 bytes are far below 4 GiB");
    [frame, writer.finish()].concat()
}

/// The frame without the code at its end, and the code.
pub(super) fn split_code(frame: &[u8]) -> Option<(&[u8], &Mac)> {
    let sections = Sections::new_checked(frame).ok()?;
    let last = sections.iter().last().filter(|last| last.tag == CODE && last.version == VERSION)?;
    let code = last.payload.as_array::<32>()?;
    Some((&frame[..frame.len().checked_sub(8 + code.len())?], code))
}

/// A frame with its length in front, as it goes on the stream.
pub(super) fn on_stream(frame: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 + frame.len());
    bytes.extend_from_slice(&(frame.len() as u32).to_le_bytes());
    bytes.extend_from_slice(frame);
    bytes
}

/// Cuts frames out of a byte stream. Holds at most one unfinished frame besides what was pushed last.
#[derive(Default)]
pub(super) struct Deframer(Vec<u8>);

impl Deframer {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next whole frame; nothing while it has not arrived; an error as soon as its length is known to exceed
    /// `max`.
    pub(super) fn next(&mut self, max: usize) -> Result<Option<Vec<u8>>, Fault> {
        let Some((length, rest)) = self.0.split_first_chunk::<4>() else { return Ok(None) };
        let len = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        if len > max {
            return Err(Fault::TooLong { len, max });
        }
        let Some(frame) = rest.get(..len) else { return Ok(None) };
        let frame = frame.to_vec();
        self.0.drain(..4 + len);
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tutti_model::ProtocolVersion;

    use super::*;

    fn examples() -> Vec<Vec<u8>> {
        let name = Name::new("kitchen").unwrap();
        let versions = VersionRange { min: ProtocolVersion(1), max: ProtocolVersion(2) };
        [
            Frame::Challenge(Challenge { versions, nonce: [0xaa; 32] }),
            Frame::Hello(Hello::new(1, Mode::Ticket, [0xbb; 32], Some([0xcc; 32]))),
            Frame::Reply(Reply { share: [0xdd; 32], tries_left: Some(2) }),
            Frame::Confirm(Confirm { name }),
            Frame::Group(GroupHeader { id: [0x22; 32], role: Role::Member, host_name: name }, b"group"),
            Frame::Receipt,
            Frame::Refused(Refusal::WrongCode, Some(1)),
        ]
        .iter()
        .map(|frame| {
            let bytes = frame.emit();
            assert_eq!(Frame::parse(&bytes).as_ref(), Ok(frame));
            bytes
        })
        .collect()
    }

    #[test]
    fn golden_bytes() {
        let shown: Vec<String> = examples().iter().map(|frame| data_encoding::HEXLOWER.encode(frame)).collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        50000100220000000102aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        51000100430000000102bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb01cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc
        5200010022000000dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd0102
        5300010008000000076b69746368656e
        5400010029000000222222222222222222222222222222222222222222222222222222222222222201076b69746368656e550001000500000067726f7570
        5600010000000000
        5700010003000000070101
        ");
    }

    #[test]
    fn a_code_is_taken_off_as_it_was_put_on() {
        let frame = Frame::Receipt.emit();
        let sealed = with_code(frame.clone(), &[7; 32]);
        assert_eq!(split_code(&sealed), Some((frame.as_slice(), &[7; 32])));
        assert_eq!(Frame::parse(&sealed), Ok(Frame::Receipt));
        assert_eq!(split_code(&frame), None);
        assert_eq!(split_code(&[sealed.clone(), frame].concat()), None, "the code is last");
        assert_eq!(split_code(&sealed[..sealed.len() - 1]), None);
    }

    #[test]
    fn refusals_keep_their_numbers() {
        for code in 0..20u16 {
            assert_eq!(u16::from(Refusal::from(code)), code);
        }
    }

    #[test]
    fn a_section_of_the_future_is_skipped_and_two_frames_in_one_are_refused() {
        let [challenge, hello, ..] = &examples()[..] else { unreachable!() };
        let mut unknown = SectionWriter::new();
        unknown.push_raw(Tag(900), 7, b"future").unwrap();
        let extended = [challenge.clone(), unknown.finish()].concat();
        assert_eq!(Frame::parse(&extended), Frame::parse(challenge));
        assert_eq!(Frame::parse(&[challenge.clone(), hello.clone()].concat()), Err(Fault::NotAFrame));
        assert_eq!(Frame::parse(&[challenge.clone(), challenge.clone()].concat()), Err(Fault::NotAFrame));
        assert_eq!(Frame::parse(&[]), Err(Fault::NotAFrame));
    }

    #[test]
    fn a_length_that_is_too_large_is_refused_before_its_bytes_come() {
        let mut deframer = Deframer::default();
        deframer.push(&[0, 0, 0]);
        assert_eq!(deframer.next(MAX_FRAME), Ok(None));
        deframer.push(&[0x40]);
        assert_eq!(deframer.next(MAX_FRAME), Err(Fault::TooLong { len: 1 << 30, max: MAX_FRAME }));
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in(cuts in proptest::collection::vec(1usize..40, 0..60)) {
            let frames = examples();
            let stream: Vec<u8> = frames.iter().flat_map(|frame| on_stream(frame)).collect();
            let mut deframer = Deframer::default();
            let (mut rest, mut out) = (stream.as_slice(), Vec::new());
            for cut in cuts.into_iter().chain([usize::MAX]) {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                deframer.push(now);
                while let Some(frame) = deframer.next(MAX_FRAME).unwrap() {
                    out.push(frame);
                }
                rest = later;
            }
            prop_assert_eq!(out, frames);
        }

        #[test]
        fn any_bytes_are_a_frame_or_a_fault(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Frame::parse(&bytes);
        }
    }
}
