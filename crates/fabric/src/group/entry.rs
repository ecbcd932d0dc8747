//! One entry of a group's graph, as bytes and as fields.
//!
//! | section | version | fields |
//! |---|---|---|
//! | 1 header | 1 | group (none in the root), parents, authority (none in the root), author, time, nonce |
//! | 16 found | 1 | name of the founding device, public recovery key (or none) |
//! | 17 add | 1 | device, role, name |
//! | 18 remove | 1 | device, the entry that added it |
//! | 19 set role | 1 | device, the entry that added it, role |
//! | 20 set recovery | 1 | public recovery key |
//! | 21 recover | 1 | device, name |
//! | 22 allow | 1 | an app's author, name, least version, wants, KiB of memory |
//! | 23 disallow | 1 | an app's name |
//!
//! An entry has the header and exactly one action. An entry with no action that this version knows is
//! [`Action::Unknown`]: kept, relayed and linked to, but without effect. Other sections beside a known action are
//! left alone. An entry's hash covers its bytes *and* its signature, so the whole of what is relayed is linked.

use std::fmt;

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use tutti_model::{
    DeviceId, Name, Role, WallTime, id,
    section::{SectionError, SectionWriter, Sections, Tag},
    signed::{BadSignature, Context, Signed},
};

use super::grant::AppGrant;

/// The most bytes of one entry, without its signature.
pub const MAX_ENTRY_LEN: usize = 4096;

/// The most parents that one entry names.
pub const MAX_PARENTS: usize = 16;

const HEADER: Tag = Tag(1);
const FOUND: Tag = Tag(16);
const ADD: Tag = Tag(17);
const REMOVE: Tag = Tag(18);
const SET_ROLE: Tag = Tag(19);
const SET_RECOVERY: Tag = Tag(20);
const RECOVER: Tag = Tag(21);
const ALLOW: Tag = Tag(22);
const DISALLOW: Tag = Tag(23);

/// Which group: the hash of its founding entry.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupId(pub [u8; 32]);

/// Which entry: BLAKE3 of its bytes followed by its signature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EntryHash(pub [u8; 32]);

impl EntryHash {
    /// The hash of an entry as it was received.
    pub fn of(signed: &Signed) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(signed.unverified()).update(signed.signature());
        Self(*hasher.finalize().as_bytes())
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        id::write_hex(&self.0, f)
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GroupId({self})")
    }
}

impl fmt::Display for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        id::write_hex(&self.0, f)
    }
}

impl fmt::Debug for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EntryHash({self})")
    }
}

/// What an entry does to the group.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// The root: its author founds the group and is its first owner.
    Found {
        /// What the founding device is called.
        name: Name,
        /// The public half of the recovery key, if there is one from the start.
        recovery: Option<DeviceId>,
    },
    /// A device becomes a member.
    Add {
        /// Which device.
        device: DeviceId,
        /// What it may do.
        role: Role,
        /// What it is called.
        name: Name,
    },
    /// A device stops being a member. Signed by the device itself, it leaves.
    Remove {
        /// Which device.
        device: DeviceId,
        /// The entry that added it.
        add: EntryHash,
    },
    /// A device's role changes.
    SetRole {
        /// Which device.
        device: DeviceId,
        /// The entry that added it.
        add: EntryHash,
        /// What it may do from now on.
        role: Role,
    },
    /// Recovery words begin to work.
    SetRecovery {
        /// The public half of the key that they stand for.
        key: DeviceId,
    },
    /// A device becomes an owner by the recovery words. Signed by the recovery key, not by a device.
    Recover {
        /// Which device.
        device: DeviceId,
        /// What it is called.
        name: Name,
    },
    /// An app may run on the group's devices.
    Allow(AppGrant),
    /// No app of this name may, until one is allowed again.
    Disallow {
        /// The app's name.
        name: Name,
    },
    /// Something of a later version.
    Unknown,
}

/// Why an entry was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryFault {
    /// Larger than [`MAX_ENTRY_LEN`].
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// Not made of the sections that it should be.
    Sections(SectionError),
    /// It has two actions that exclude each other.
    TwoActions,
    /// Its parents are not 1 to [`MAX_PARENTS`] different hashes in ascending order (none in a founding entry), or
    /// a founding entry names a group or an authority, or another entry does not.
    Links,
    /// It belongs to another group.
    OtherGroup,
    /// Its author did not sign it.
    Signature(BadSignature),
    /// The authority that it names is not in its past or says nothing about its author.
    Authority,
    /// Its author has not been made an owner in its past, and only an owner may do this.
    NotAnOwner {
        /// Who signed it.
        author: DeviceId,
    },
    /// It removes, or changes the role of, a device by an entry in its past that did not add that device.
    Target {
        /// The device.
        device: DeviceId,
    },
    /// It allows an app too many wants, or names them out of order.
    Grant,
    /// The group is full.
    Full,
    /// Its author, or whoever that one was added by, has used up its share of the group's room.
    OverShare {
        /// Who signed it.
        author: DeviceId,
    },
}

impl EntryFault {
    /// Whether an honest device never sends such an entry. Lack of room is nobody's fault but the author's: another
    /// device may have had room for what this one has not.
    pub fn is_misbehaviour(&self) -> bool {
        !matches!(self, Self::Full | Self::OverShare { .. })
    }
}

impl fmt::Display for EntryFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { len } => write!(f, "it has {len} bytes; {MAX_ENTRY_LEN} are allowed"),
            Self::Sections(error) => error.fmt(f),
            Self::TwoActions => f.write_str("it has two actions"),
            Self::Links => write!(f, "its links are not in order (1 to {MAX_PARENTS} sorted parents, a group)"),
            Self::OtherGroup => f.write_str("it belongs to another group"),
            Self::Signature(error) => error.fmt(f),
            Self::Authority => f.write_str("nothing before it gives its author the standing that it claims"),
            Self::NotAnOwner { author } => write!(f, "{} signed it, who was never made an owner", author.short()),
            Self::Target { device } => write!(f, "it names an entry that did not add {}", device.short()),
            Self::Grant => f.write_str("it allows an app too many wants, or names them out of order"),
            Self::Full => f.write_str("the group has no room for more entries; found a new one"),
            Self::OverShare { author } => {
                write!(f, "{} has used up its share of the group; an owner should remove it", author.short())
            }
        }
    }
}

impl std::error::Error for EntryFault {}

impl From<SectionError> for EntryFault {
    fn from(error: SectionError) -> Self {
        Self::Sections(error)
    }
}

/// What an entry says. Nothing about it is believed before its signature and its past are checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The group; none in the root.
    pub group: Option<GroupId>,
    /// The entries just before it, ascending; none in the root.
    pub parents: Vec<EntryHash>,
    /// The entry in its past by which its author may say this: the one that made it an owner (to leave, the one that
    /// added it; in [`Action::Recover`], the one that set the recovery key). None in the root.
    pub authority: Option<EntryHash>,
    /// Whose key signed it: a device, or in [`Action::Recover`] the recovery key.
    pub author: DeviceId,
    /// When, by the author's clock. For showing only.
    pub at: WallTime,
    /// Makes the hash unlike any other.
    pub nonce: [u8; 16],
    /// What it does.
    pub action: Action,
}

#[derive(Serialize, Deserialize)]
struct HeaderV1 {
    group: Option<GroupId>,
    parents: Vec<EntryHash>,
    authority: Option<EntryHash>,
    author: DeviceId,
    at: WallTime,
    nonce: [u8; 16],
}

impl Entry {
    /// Reads an entry. Its form is checked, neither its signature nor its past.
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryFault> {
        if bytes.len() > MAX_ENTRY_LEN {
            return Err(EntryFault::TooLong { len: bytes.len() });
        }
        let sections = Sections::new_checked(bytes)?;
        let header: HeaderV1 = sections.one(HEADER)?.decode()?;
        let entry = Self {
            group: header.group,
            parents: header.parents,
            authority: header.authority,
            author: header.author,
            at: header.at,
            nonce: header.nonce,
            action: parse_action(sections)?,
        };
        entry.check_links()?;
        Ok(entry)
    }

    /// The entry as bytes. [`Action::Unknown`] has none of its own.
    pub fn emit(&self) -> Result<Vec<u8>, EntryFault> {
        self.check_links()?;
        let header = HeaderV1 {
            group: self.group,
            parents: self.parents.clone(),
            authority: self.authority,
            author: self.author,
            at: self.at,
            nonce: self.nonce,
        };
        let mut writer = SectionWriter::new();
        writer.push(HEADER, 1, &header)?;
        match &self.action {
            Action::Found { name, recovery } => writer.push(FOUND, 1, &(name, recovery))?,
            Action::Add { device, role, name } => writer.push(ADD, 1, &(device, role, name))?,
            Action::Remove { device, add } => writer.push(REMOVE, 1, &(device, add))?,
            Action::SetRole { device, add, role } => writer.push(SET_ROLE, 1, &(device, add, role))?,
            Action::SetRecovery { key } => writer.push(SET_RECOVERY, 1, &key)?,
            Action::Recover { device, name } => writer.push(RECOVER, 1, &(device, name))?,
            Action::Allow(grant) => writer.push(ALLOW, 1, grant)?,
            Action::Disallow { name } => writer.push(DISALLOW, 1, name)?,
            Action::Unknown => &mut writer,
        };
        Ok(writer.finish())
    }

    /// Signs it. The key must be that of `author`.
    pub fn sign(&self, key: &SigningKey) -> Result<Signed, EntryFault> {
        Ok(Signed::sign(Context::GROUP_ENTRY, self.emit()?, key))
    }

    fn check_links(&self) -> Result<(), EntryFault> {
        let ascending = self.parents.is_sorted_by(|a, b| a < b);
        let linked = match self.action {
            Action::Found { .. } => self.group.is_none() && self.parents.is_empty() && self.authority.is_none(),
            _ => self.group.is_some() && !self.parents.is_empty() && self.authority.is_some(),
        };
        if linked && ascending && self.parents.len() <= MAX_PARENTS { Ok(()) } else { Err(EntryFault::Links) }
    }

    /// Whether its author takes itself out of the group, which needs no ownership.
    pub(super) fn leaves(&self) -> bool {
        matches!(self.action, Action::Remove { device, .. } if device == self.author)
    }
}

fn parse_action(sections: Sections<'_>) -> Result<Action, EntryFault> {
    let mut action = Action::Unknown;
    for section in sections.iter() {
        let found = match section.tag {
            FOUND => section.decode().map(|(name, recovery)| Action::Found { name, recovery })?,
            ADD => section.decode().map(|(device, role, name)| Action::Add { device, role, name })?,
            REMOVE => section.decode().map(|(device, add)| Action::Remove { device, add })?,
            SET_ROLE => section.decode().map(|(device, add, role)| Action::SetRole { device, add, role })?,
            SET_RECOVERY => section.decode().map(|key| Action::SetRecovery { key })?,
            RECOVER => section.decode().map(|(device, name)| Action::Recover { device, name })?,
            ALLOW => {
                let grant: AppGrant = section.decode()?;
                if !grant.is_sound() {
                    return Err(EntryFault::Grant);
                }
                Action::Allow(grant)
            }
            DISALLOW => section.decode().map(|name| Action::Disallow { name })?,
            _ => continue,
        };
        if action != Action::Unknown {
            return Err(EntryFault::TwoActions);
        }
        action = found;
    }
    Ok(action)
}
