//! Which version of the protocol two nodes speak with each other.
//!
//! A node speaks its own version and the one before. What changed:
//!
//! | version | change |
//! |---|---|
//! | 1 | on contact, each side sends every device record that it holds |
//! | 2 | on contact, each side sends a digest (device, sequence number) and only what the other lacks |
//!
//! Data that is signed once and relayed to many (records, membership entries) does not depend on it: there, newer
//! section versions only append (see [`section`](crate::section)).

use core::fmt;

use serde::{Deserialize, Serialize};

/// A version of the protocol between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProtocolVersion(pub u16);

impl ProtocolVersion {
    /// What this build speaks.
    pub const CURRENT: Self = Self(2);
    /// The version before, which this build still speaks.
    pub const PREVIOUS: Self = Self(1);
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The versions that a node can speak, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRange {
    /// The oldest.
    pub min: ProtocolVersion,
    /// The newest.
    pub max: ProtocolVersion,
}

impl VersionRange {
    /// What this build can speak.
    pub const SUPPORTED: Self = Self { min: ProtocolVersion::PREVIOUS, max: ProtocolVersion::CURRENT };

    /// This version and no other.
    pub const fn only(version: ProtocolVersion) -> Self {
        Self { min: version, max: version }
    }

    /// The newest version that both sides can speak, or none.
    pub fn agree(self, other: Self) -> Option<ProtocolVersion> {
        let newest = self.max.min(other.max);
        (newest >= self.min && newest >= other.min).then_some(newest)
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min == self.max { self.min.fmt(f) } else { write!(f, "{} to {}", self.min, self.max) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_agree_and_strangers_do_not() {
        let range = |min, max| VersionRange { min: ProtocolVersion(min), max: ProtocolVersion(max) };
        assert_eq!(range(1, 2).agree(range(2, 3)), Some(ProtocolVersion(2)));
        assert_eq!(range(1, 2).agree(range(1, 1)), Some(ProtocolVersion(1)));
        assert_eq!(range(1, 2).agree(range(3, 4)), None);
        assert_eq!(range(3, 4).agree(range(1, 2)), None);
        assert_eq!(range(2, 1).agree(range(1, 2)), None, "a range that is inside out agrees with nobody");
    }
}
