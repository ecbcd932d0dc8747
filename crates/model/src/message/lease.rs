//! Leases as they are spoken of: tokens, nonces, grants, hand-overs.

use core::{fmt, time::Duration};

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

use super::{MessageError, one_section, section};
use crate::{
    id::{DeviceId, ResourceId},
    section::Tag,
    signed::{Context, Signed},
};

const HAND_OVER: Tag = Tag(0x0501);

/// A fencing token: of two leases on one resource, the later one has the higher token. A resource's device obeys
/// only the tokens of leases that are in force, whatever their holders believe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
pub struct Token(pub u64);

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token {}", self.0)
    }
}

/// How a lease excludes others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LeaseMode {
    /// Others may hold one as well.
    Shared,
    /// Nobody else holds one.
    Exclusive,
}

impl LeaseMode {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Exclusive => "exclusive",
        }
    }
}

/// Names one request for a lease, so that a repeat of it is known as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Nonce {
    /// Random, drawn when the asking program starts: leases of an earlier run of the same device have no holder
    /// any more.
    pub run: u64,
    /// Counts the requests of that run.
    pub count: u64,
}

/// One lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LeaseId {
    /// On what.
    pub resource: ResourceId,
    /// Which one.
    pub token: Token,
}

impl fmt::Display for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.resource, self.token)
    }
}

/// The answer to a granted request or renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The lease.
    pub lease: LeaseId,
    /// Its mode.
    pub mode: LeaseMode,
    /// How long it lasts. The holder counts from when it sent its request.
    pub duration: Duration,
}

/// What the holder of a reserved lease says when it gives the lease away: from now on it is `to`'s, not mine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOver {
    /// The lease that ends.
    pub lease: LeaseId,
    /// Its holder, who signs.
    pub from: DeviceId,
    /// Who may take it.
    pub to: DeviceId,
}

impl HandOver {
    /// Signs it; the key must be that of `from`.
    pub fn sign(&self, key: &SigningKey) -> Result<Signed, MessageError> {
        Ok(Signed::sign(Context::LEASE_HANDOVER, section(HAND_OVER, 1, self)?, key))
    }

    /// What a hand-over claims, before its signature is checked: to find out where to show it.
    pub fn peek(signed: &Signed) -> Result<Self, MessageError> {
        one_section(signed.unverified(), &[HAND_OVER])?.decode().map_err(Into::into)
    }

    /// What it says, if whoever it names as the old holder signed it.
    pub fn verify(signed: &Signed) -> Result<Self, MessageError> {
        let claim = Self::peek(signed)?;
        signed.verify(Context::LEASE_HANDOVER, claim.from).map_err(MessageError::Signature)?;
        Ok(claim)
    }
}

/// A lease as its owner tells others about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseInfo {
    /// The lease.
    pub lease: LeaseId,
    /// Its mode.
    pub mode: LeaseMode,
    /// Who holds it.
    pub holder: DeviceId,
    /// How much longer, if it is not renewed.
    pub remaining: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Name;

    #[test]
    fn a_hand_over_is_the_old_holders_word() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let from = DeviceId::from_bytes(key.verifying_key().to_bytes());
        let resource = ResourceId { device: DeviceId::from_bytes([1; 32]), name: Name::new("lamp").unwrap() };
        let lease = LeaseId { resource, token: Token(3) };
        let hand_over = HandOver { lease, from, to: DeviceId::from_bytes([2; 32]) };
        let signed = hand_over.sign(&key).unwrap();
        assert_eq!(HandOver::verify(&signed), Ok(hand_over));
        let forged = hand_over.sign(&SigningKey::from_bytes(&[8; 32])).unwrap();
        assert_eq!(HandOver::verify(&forged), Err(MessageError::Signature(crate::signed::BadSignature)));
        let record = Signed::sign(Context::DEVICE_RECORD, signed.unverified().to_vec(), &key);
        assert!(HandOver::verify(&record).is_err(), "a signature made for another purpose");
    }
}
