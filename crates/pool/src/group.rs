//! The trust group as the pool sees it.

use std::collections::BTreeMap;

use tutti_model::{DeviceId, Name, Role};

/// Who is in the trust group now. Always replaced whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// Every member, this device included.
    pub members: BTreeMap<DeviceId, Member>,
}

/// One member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it may do.
    pub role: Role,
    /// Its name when it joined; shown until its own record is known.
    pub name: Name,
}

impl Group {
    /// Whether the device is a member.
    pub fn contains(&self, device: DeviceId) -> bool {
        self.members.contains_key(&device)
    }

    /// The device's role, if it is a member.
    pub fn role(&self, device: DeviceId) -> Option<Role> {
        self.members.get(&device).map(|member| member.role)
    }

    /// Whether a record of `device`, vouched for by `via` or by itself, counts: members speak for themselves, and
    /// for satellites that are not members.
    pub fn admits(&self, device: DeviceId, via: Option<DeviceId>) -> bool {
        match via {
            None => self.contains(device),
            Some(host) => self.contains(host) && !self.contains(device),
        }
    }
}
