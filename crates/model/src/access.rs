//! Who may do what: the roles of a trust group, and the policy that each resource carries.

use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What a device may do in its trust group. Ordered: each role may do all that the lesser ones may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Only what a resource's policy gives to guests or to this device by name.
    Guest = 0,
    /// Uses the pool and offers resources to it.
    Member = 1,
    /// Besides, pairs and forgets devices and changes roles.
    Owner = 2,
}

impl Role {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Member => "member",
            Self::Owner => "owner",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The word names no role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownRole;

impl fmt::Display for UnknownRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such role; there are owner, member and guest")
    }
}

impl core::error::Error for UnknownRole {}

impl FromStr for Role {
    type Err = UnknownRole;
    fn from_str(word: &str) -> Result<Self, UnknownRole> {
        [Self::Guest, Self::Member, Self::Owner].into_iter().find(|role| role.word() == word).ok_or(UnknownRole)
    }
}

/// What somebody wants to do with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Operation {
    /// Take a reading, follow its values, list or fetch what it stores.
    Read,
    /// Change it: drive an actuator, draw on a display, store something. Leases are for this.
    Control,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Control => "control",
        })
    }
}

/// The least role that may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Audience {
    /// Only the device that owns the resource.
    Nobody,
    /// Owners of the group.
    Owners,
    /// Owners and members.
    Members,
    /// Everybody in the group.
    Guests,
}

impl Audience {
    /// Whether a device with this role is among them.
    pub const fn includes(self, role: Role) -> bool {
        match self {
            Self::Nobody => false,
            Self::Owners => matches!(role, Role::Owner),
            Self::Members => matches!(role, Role::Owner | Role::Member),
            Self::Guests => true,
        }
    }
}

/// Who may read and who may control a resource. Its owner enforces it; the others see it to know what to offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AccessPolicy {
    /// Who may read.
    pub read: Audience,
    /// Who may control.
    pub control: Audience,
}

impl AccessPolicy {
    /// Members read and control; guests do neither.
    pub const MEMBERS: Self = Self { read: Audience::Members, control: Audience::Members };

    /// Whether the role may do the operation.
    pub const fn allows(self, role: Role, operation: Operation) -> bool {
        match operation {
            Operation::Read => self.read.includes(role),
            Operation::Control => self.control.includes(role),
        }
    }
}

impl Default for AccessPolicy {
    fn default() -> Self {
        Self::MEMBERS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_get_only_what_is_for_guests() {
        let open = AccessPolicy { read: Audience::Guests, control: Audience::Owners };
        assert!(open.allows(Role::Guest, Operation::Read));
        assert!(!open.allows(Role::Guest, Operation::Control));
        assert!(!open.allows(Role::Member, Operation::Control));
        assert!(open.allows(Role::Owner, Operation::Control));
        assert!(!AccessPolicy::default().allows(Role::Guest, Operation::Read));
        assert!(!Audience::Nobody.includes(Role::Owner));
    }
}
