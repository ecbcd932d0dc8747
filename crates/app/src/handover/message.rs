//! What two devices say to each other about an instance, and how it looks in bytes.
//!
//! | tag | message | fields |
//! |---|---|---|
//! | 0601 | [`Message::Offer`] | instance, attempt, epoch, next, package, size, claim, terms |
//! | 0602 | [`Message::Accept`] | instance, attempt |
//! | 0603 | [`Message::Refuse`] | instance, attempt, why |
//! | 0604 | [`Message::Prepared`] | instance, attempt |
//! | 0605 | [`Message::Commit`] | instance, attempt, next |
//! | 0606 | [`Message::Settled`] | instance, next |
//! | 0607 | [`Message::Abort`] | instance, attempt |
//! | 0608 | [`Message::Missing`] | instance, attempt |
//! | 0609 | [`Message::Supersede`] | instance, epoch, warrant |
//! | 060A | [`Message::Yielded`] | instance, epoch, or where it went |
//!
//! One section a message, as in `tutti_model::message`; unknown sections beside it are skipped.

use std::fmt;

use serde::{Deserialize, Serialize};
use tutti_model::{
    DeviceId,
    section::{SectionError, SectionWriter, Sections, Tag},
    signed::{BadSignature, Context, Signed},
};

use crate::{
    ids::{Attempt, Epoch, InstanceId},
    standby::Terms,
};

/// The largest message, in bytes.
pub const MAX_MESSAGE: usize = 4096;

/// An owner's signed word that what other devices have of an instance is void from a branch on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Warrant {
    /// Who says so.
    pub owner: DeviceId,
    /// What is said and signed: instance, branch, the device that goes on.
    bytes: Vec<u8>,
    signature: Vec<u8>,
}

const WARRANT: Context = Context("tutti 1 app recovery");

impl Warrant {
    /// Says that `home` starts `branch` of `instance`.
    pub fn sign(instance: InstanceId, branch: u32, home: DeviceId, key: &ed25519_dalek::SigningKey) -> Self {
        let bytes = said(instance, branch, home);
        let signed = Signed::sign(WARRANT, bytes, key);
        let owner = DeviceId::from_bytes(key.verifying_key().to_bytes());
        Self { owner, bytes: signed.unverified().to_vec(), signature: signed.signature().to_vec() }
    }

    /// Whether it covers this branch of this instance, begun by any device. That `owner` is an owner is for the caller to know.
    ///
    /// # Errors
    /// [`BadSignature`] if it is altered or about something else.
    pub fn verify(&self, instance: InstanceId, branch: u32) -> Result<(), BadSignature> {
        let signature = self.signature.as_slice().try_into().map_err(|_| BadSignature)?;
        let signed = Signed::from_parts(self.bytes.clone(), signature);
        let bytes = signed.verify(WARRANT, self.owner)?;
        let about = bytes.get(..20).ok_or(BadSignature)?;
        let expected = said(instance, branch, self.owner);
        if bytes.len() == 52 && about == &expected[..20] { Ok(()) } else { Err(BadSignature) }
    }
}

fn said(instance: InstanceId, branch: u32, home: DeviceId) -> Vec<u8> {
    [instance.as_bytes().as_slice(), &branch.to_le_bytes(), home.as_bytes()].concat()
}

/// What is offered to a target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Offer {
    /// The try.
    pub attempt: Attempt,
    /// The epoch in which it runs now.
    pub epoch: Epoch,
    /// The epoch in which it will run at the target.
    pub next: Epoch,
    /// The BLAKE3 digest of its package.
    pub package: [u8; 32],
    /// The bytes of its state now, before compression.
    pub size: u64,
    /// By what right its branch is above the first.
    pub claim: Option<Claim>,
    /// Who guards it: without a run-lease of that standby it will not run at the target.
    pub terms: Option<Terms>,
}

/// By what right a branch above the first goes on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// An owner's word.
    pub warrant: Warrant,
    /// Who may still hold a copy of an earlier branch, and has not yet said otherwise.
    pub rival: Option<DeviceId>,
}

/// Why a target will not have an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Why {
    /// It knows of a later epoch.
    Superseded,
    /// It is busy with another move of the same instance.
    Busy,
    /// It keeps an earlier copy that was given up.
    Stray,
    /// Nobody has allowed the app there.
    NotGranted,
    /// It has not what the app requires.
    Unfit,
    /// Its memory or disk is too small.
    Full,
    /// The package or the state is damaged, or not what was announced.
    Damaged,
    /// Something that it cannot say better.
    Failed,
    /// It does not reach the instance's standby.
    NoStandby,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Superseded => "it knows of a later copy of the instance; list the instances and move that one",
            Self::Busy => "it is busy with another move of the instance; try again in a moment",
            Self::Stray => "it keeps an earlier copy that was given up; look at that one and remove it first",
            Self::NotGranted => "the app is not installed there; let an owner install it",
            Self::Unfit => "it lacks a resource that the app requires",
            Self::Full => "it has too little memory or disk left",
            Self::Damaged => "what arrived is not what was announced",
            Self::Failed => "it failed there; its log says why",
            Self::NoStandby => "it does not reach the instance's standby, without which the instance must not run",
        })
    }
}

/// About one instance, from one device to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::large_enum_variant, reason = "a message lives for a moment")]
pub enum Message {
    /// Source to target: will you have it?
    Offer(Offer),
    /// Target to source: yes; begin copying.
    Accept(Attempt),
    /// Target to source: no, or no longer. Never said once prepared.
    Refuse(Attempt, Why),
    /// Target to source: the whole state is on this device's disk, and will not be started without your word.
    Prepared(Attempt),
    /// Source to target: the instance is yours, in this epoch. The source's disk says so.
    Commit(Attempt, Epoch),
    /// Target to source: this device's disk says that the epoch has begun here (or even ended).
    Settled(Epoch),
    /// Source to target: forget this attempt.
    Abort(Attempt),
    /// Target to source: you committed, but there is nothing here of that attempt: its state was lost.
    Missing(Attempt),
    /// To a device that may hold an earlier copy: an owner has accepted its loss.
    Supersede(Epoch, Warrant),
    /// The answer: nothing earlier runs here, and never will; if it was given away, in which epoch.
    Yielded(Epoch, Option<Epoch>),
}

/// Why bytes are no message about an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageError {
    /// More bytes than [`MAX_MESSAGE`].
    TooLong,
    /// Not made of sections.
    Sections(SectionError),
    /// No section, or several, of a sort that this version knows.
    NotOne,
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the message is longer than {MAX_MESSAGE} bytes"),
            Self::Sections(error) => error.fmt(f),
            Self::NotOne => f.write_str("it is not exactly one message of a known sort; the other side may be newer"),
        }
    }
}

impl std::error::Error for MessageError {}

impl From<SectionError> for MessageError {
    fn from(error: SectionError) -> Self {
        Self::Sections(error)
    }
}

const FIRST: u16 = 0x0601;
const LAST: u16 = 0x060A;

impl Message {
    /// The message about `instance` as bytes.
    ///
    /// # Errors
    /// [`MessageError::TooLong`]: what the receiver would refuse is not made.
    pub fn emit(&self, instance: InstanceId) -> Result<Vec<u8>, MessageError> {
        let mut writer = SectionWriter::new();
        match self {
            Self::Offer(offer) => writer.push(Tag(0x0601), 1, &(instance, offer))?,
            Self::Accept(attempt) => writer.push(Tag(0x0602), 1, &(instance, attempt))?,
            Self::Refuse(attempt, why) => writer.push(Tag(0x0603), 1, &(instance, attempt, why))?,
            Self::Prepared(attempt) => writer.push(Tag(0x0604), 1, &(instance, attempt))?,
            Self::Commit(attempt, next) => writer.push(Tag(0x0605), 1, &(instance, attempt, next))?,
            Self::Settled(next) => writer.push(Tag(0x0606), 1, &(instance, next))?,
            Self::Abort(attempt) => writer.push(Tag(0x0607), 1, &(instance, attempt))?,
            Self::Missing(attempt) => writer.push(Tag(0x0608), 1, &(instance, attempt))?,
            Self::Supersede(epoch, warrant) => writer.push(Tag(0x0609), 1, &(instance, epoch, warrant))?,
            Self::Yielded(epoch, to) => writer.push(Tag(0x060A), 1, &(instance, epoch, to))?,
        };
        let bytes = writer.finish();
        if bytes.len() > MAX_MESSAGE { Err(MessageError::TooLong) } else { Ok(bytes) }
    }

    /// Reads a message of this version or a later one, and what instance it is about.
    pub fn parse(bytes: &[u8]) -> Result<(InstanceId, Self), MessageError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(MessageError::TooLong);
        }
        let mut known = Sections::new_checked(bytes)?.iter().filter(|it| (FIRST..=LAST).contains(&it.tag.0));
        let (Some(section), None) = (known.next(), known.next()) else { return Err(MessageError::NotOne) };
        Ok(match section.tag.0 {
            0x0601 => section.decode().map(|(id, offer)| (id, Self::Offer(offer)))?,
            0x0602 => section.decode().map(|(id, attempt)| (id, Self::Accept(attempt)))?,
            0x0603 => section.decode().map(|(id, attempt, why)| (id, Self::Refuse(attempt, why)))?,
            0x0604 => section.decode().map(|(id, attempt)| (id, Self::Prepared(attempt)))?,
            0x0605 => section.decode().map(|(id, attempt, next)| (id, Self::Commit(attempt, next)))?,
            0x0606 => section.decode().map(|(id, next)| (id, Self::Settled(next)))?,
            0x0607 => section.decode().map(|(id, attempt)| (id, Self::Abort(attempt)))?,
            0x0608 => section.decode().map(|(id, attempt)| (id, Self::Missing(attempt)))?,
            0x0609 => section.decode().map(|(id, epoch, warrant)| (id, Self::Supersede(epoch, warrant)))?,
            _ => section.decode().map(|(id, epoch, to)| (id, Self::Yielded(epoch, to)))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTANCE: InstanceId = InstanceId::from_bytes([7; 16]);

    fn epoch() -> Epoch {
        Epoch::first(DeviceId::from_bytes([1; 32]))
    }

    #[test]
    fn messages_read_as_they_were_written() {
        let key = ed25519_dalek::SigningKey::from_bytes(&[3; 32]);
        let warrant = Warrant::sign(INSTANCE, 1, epoch().home, &key);
        let attempt = Attempt(9);
        let offer = Offer {
            attempt,
            epoch: epoch(),
            next: epoch(),
            package: [5; 32],
            size: 77,
            claim: Some(Claim { warrant: warrant.clone(), rival: None }),
            terms: None,
        };
        for message in [
            Message::Offer(offer),
            Message::Accept(attempt),
            Message::Refuse(attempt, Why::Full),
            Message::Prepared(attempt),
            Message::Commit(attempt, epoch()),
            Message::Settled(epoch()),
            Message::Abort(attempt),
            Message::Missing(attempt),
            Message::Supersede(epoch(), warrant),
            Message::Yielded(epoch(), Some(epoch())),
        ] {
            let bytes = message.emit(INSTANCE).unwrap();
            assert_eq!(Message::parse(&bytes), Ok((INSTANCE, message)));
            assert!(Message::parse(&bytes[..bytes.len() - 1]).is_err());
        }
    }

    #[test]
    fn golden_bytes() {
        let bytes = Message::Prepared(Attempt(300)).emit(INSTANCE).unwrap();
        let expected = [[0x04, 0x06, 1, 0, 18, 0, 0, 0].as_slice(), &[7; 16], &[0xac, 0x02]].concat();
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_warrant_speaks_for_one_branch_of_one_instance() {
        let key = ed25519_dalek::SigningKey::from_bytes(&[3; 32]);
        let warrant = Warrant::sign(INSTANCE, 2, epoch().home, &key);
        assert_eq!(warrant.verify(INSTANCE, 2), Ok(()));
        assert_eq!(warrant.verify(INSTANCE, 3), Err(BadSignature));
        assert_eq!(warrant.verify(InstanceId::from_bytes([8; 16]), 2), Err(BadSignature));
        let mut altered = warrant.clone();
        altered.bytes[51] ^= 1;
        assert_eq!(altered.verify(INSTANCE, 2), Err(BadSignature));
        let other = Warrant { owner: epoch().home, ..warrant };
        assert_eq!(other.verify(INSTANCE, 2), Err(BadSignature));
    }
}
