//! Who and when: instances, epochs, attempts, effects.

use std::fmt;

use serde::{Deserialize, Serialize};
use tutti_model::{DeviceId, id};

/// One running copy of an app: 16 random bytes, drawn when it is first run and kept wherever it moves.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InstanceId([u8; 16]);

impl InstanceId {
    /// The id with these bytes.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        id::write_hex(&self.0, f)
    }
}

impl fmt::Debug for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstanceId(")?;
        id::write_hex(&self.0[..5], f)?;
        f.write_str("..)")
    }
}

impl std::str::FromStr for InstanceId {
    type Err = BadInstanceId;
    fn from_str(text: &str) -> Result<Self, BadInstanceId> {
        id::read_hex(text).map(Self).ok_or(BadInstanceId)
    }
}

/// An instance id was not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadInstanceId;

impl fmt::Display for BadInstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an instance id has 32 hexadecimal digits")
    }
}

impl std::error::Error for BadInstanceId {}

/// One stay of an instance at one home. Epochs of an instance are ordered; a later one voids all earlier ones.
///
/// A move counts `number` up by one, a fail-over by two: a move that the standby has not heard of is then earlier. Only an owner's word that a device is lost starts a new `branch`, so whatever the lost
/// device did in the meantime, moves included, is earlier. `home` makes two epochs of two devices differ even if two
/// owners recover the same instance at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch {
    /// How often an owner has accepted a loss.
    pub branch: u32,
    /// How often it has moved, with two more for each fail-over.
    pub number: u64,
    /// Where it runs in this epoch.
    pub home: DeviceId,
}

impl Epoch {
    /// The first: where it was installed.
    pub const fn first(home: DeviceId) -> Self {
        Self { branch: 0, number: 1, home }
    }

    /// The next after a move to `home`; `None` after 2^64 of them.
    pub fn moved_to(self, home: DeviceId) -> Option<Self> {
        Some(Self { number: self.number.checked_add(1)?, home, ..self })
    }

    /// The next after its standby, at `home`, has taken over from the home of this epoch, or from the one that it may have moved to since.
    pub fn taken_over_at(self, home: DeviceId) -> Option<Self> {
        Some(Self { number: self.number.checked_add(2)?, home, ..self })
    }

    /// The next after an owner accepted a loss.
    pub fn recovered_at(self, home: DeviceId) -> Option<Self> {
        Some(Self { branch: self.branch.checked_add(1)?, number: self.number, home })
    }
}

/// One try to move an instance: random, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attempt(pub u64);

/// The name of one effect of an instance on the world: the epoch in which it was *made* and its place there. It keeps the name
/// when it is sent again, by whichever home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EffectId {
    /// When it was made.
    pub epoch: Epoch,
    /// Counts all effects of the instance.
    pub sequence: u64,
}
