//! What can go wrong with a group.

use std::fmt;

use tutti_model::{DeviceId, Name, Role, section::SectionError};

use super::{
    Merge,
    entry::{EntryFault, EntryHash},
    evaluate::{Departure, Removal},
    graph::MAX_ENTRIES,
};

/// Why something about a group was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GroupError {
    /// An entry that somebody sent is bad. The good ones beside it were kept.
    BadEntry {
        /// Its place in what was sent.
        index: usize,
        /// Its hash.
        hash: EntryHash,
        /// What is wrong with it.
        fault: EntryFault,
        /// What the good ones did.
        merge: Box<Merge>,
    },
    /// Bytes that should be a whole group are not made of the sections that they should be.
    Malformed(SectionError),
    /// A group of more than [`MAX_ENTRIES`] entries.
    TooLarge {
        /// How many it has, or would need at least.
        entries: usize,
    },
    /// Bytes that should be a whole group lack this entry.
    Incomplete(EntryHash),
    /// Bytes that should be a group hold no entry.
    Empty,
    /// The device that wants to do this is not in the group.
    NotAMember {
        /// Which device.
        device: DeviceId,
        /// Why, if it was once.
        removed: Option<Removal>,
    },
    /// The device that wants to do this is in the group, but is no owner.
    NotAnOwner {
        /// What it is.
        role: Role,
    },
    /// The device is in the group already.
    AlreadyAMember {
        /// What it is.
        role: Role,
    },
    /// The device that this is about is not in the group.
    UnknownDevice {
        /// Which device.
        device: DeviceId,
        /// Why, if it was once.
        removed: Option<Removal>,
    },
    /// The device has that role already.
    SameRole(Role),
    /// The group would be left without an owner.
    LastOwner,
    /// There are recovery words already, set by an owner that is no less senior.
    RecoverySet,
    /// There are no recovery words for this group.
    NoRecovery,
    /// These are not the recovery words of this group.
    WrongRecovery,
    /// An app of a later version than this has been allowed.
    Downgrade {
        /// The least version.
        floor: (u16, u16, u16),
    },
    /// No app of this name is allowed.
    UnknownApp(Name),
    /// The entry could not be added.
    Refused(EntryFault),
    /// The entry would change nothing, because of others that this device has not seen as parts of one history.
    NoEffect,
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadEntry { index, hash, fault, .. } => {
                let [a, b, c, d, ..] = hash.0;
                write!(f, "group entry {index} ({a:02x}{b:02x}{c:02x}{d:02x}..) refused: {fault}")
            }
            Self::Malformed(error) => write!(f, "not a group: {error}"),
            Self::TooLarge { entries } => write!(f, "a group of {entries} entries; {MAX_ENTRIES} are allowed"),
            Self::Incomplete(hash) => write!(f, "the group lacks its entry {hash}"),
            Self::Empty => f.write_str("a group without a founding entry"),
            Self::NotAMember { device, removed } => {
                write!(f, "{} is not in this group", device.short())?;
                why(f, removed)?;
                f.write_str("; pair it first")
            }
            Self::NotAnOwner { role } => write!(f, "this device is a {role} here; only an owner may do this"),
            Self::AlreadyAMember { role } => write!(f, "the device is in the group already, as {role}"),
            Self::UnknownDevice { device, removed } => {
                write!(f, "{} is not in this group", device.short())?;
                why(f, removed)
            }
            Self::SameRole(role) => write!(f, "the device is {role} already"),
            Self::LastOwner => {
                f.write_str("the group would be left without an owner; make another device an owner first")
            }
            Self::RecoverySet => f.write_str(
                "the group has recovery words already; a more senior owner or a device that used them can replace them",
            ),
            Self::NoRecovery => f.write_str("no recovery words were ever exported for this group"),
            Self::WrongRecovery => f.write_str("these are not the recovery words of this group"),
            Self::Downgrade { floor: (major, minor, patch) } => write!(
                f,
                "version {major}.{minor}.{patch} has been allowed, and an older one is not gone back to; remove the app first"
            ),
            Self::UnknownApp(name) => write!(f, "no app is called {name}"),
            Self::Refused(fault) => write!(f, "the group cannot take this: {fault}"),
            Self::NoEffect => f.write_str("this would change nothing; wait until the devices have synchronised"),
        }
    }
}

fn why(f: &mut fmt::Formatter<'_>, removed: &Option<Removal>) -> fmt::Result {
    match removed {
        Some(Removal { how: Departure::Left, .. }) => f.write_str(" any more: it left"),
        Some(Removal { how: Departure::Removed, by, .. }) => write!(f, " any more: {} removed it", by.short()),
        Some(Removal { how: Departure::Cancelled, by, .. }) => {
            write!(f, " any more: {} removed or demoted the owner that had added it", by.short())
        }
        None => Ok(()),
    }
}

impl std::error::Error for GroupError {}
