//! What the fabric shows of itself: one value, replaced whole at every change, so that whoever is slow misses
//! intermediate states but never the latest.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use tutti_model::{BootTime, DeviceId, Name, ProtocolVersion, Role};

use crate::{
    group::{Granted, GroupId},
    pairing::OfferStatus,
    transport::Traffic,
};

/// The state of the fabric at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// The trust group, as this device knows it.
    pub group: Arc<GroupView>,
    /// Every other member.
    pub peers: BTreeMap<DeviceId, Peer>,
    /// Devices that discovery sees and that are not in the group.
    pub nearby: BTreeMap<DeviceId, Nearby>,
    /// The latest offer to pair, open or over.
    pub offer: Option<OfferStatus>,
    /// If this device was in a group and was removed from it: by whom, and which group.
    pub removed: Option<RemovedFrom>,
}

/// The trust group, without its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// Its id, the hash of its first entry.
    pub id: GroupId,
    /// This device.
    pub me: DeviceId,
    /// Every member, this device included.
    pub members: BTreeMap<DeviceId, MemberView>,
    /// What apps are allowed, by their names.
    pub grants: BTreeMap<Name, Granted>,
}

/// One member, as the group's history names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// What it may do.
    pub role: Role,
    /// Its name when it was added; its own record has the current one.
    pub name: Name,
}

impl GroupView {
    /// The role of a device, if it is a member.
    pub fn role_of(&self, device: DeviceId) -> Option<Role> {
        self.members.get(&device).map(|member| member.role)
    }

    /// The role of this device.
    pub fn my_role(&self) -> Role {
        self.role_of(self.me).unwrap_or(Role::Guest)
    }

    /// Whether this device is the only member.
    pub fn is_alone(&self) -> bool {
        self.members.len() <= 1
    }
}

/// A member other than this device.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Peer {
    /// The live session with it, if there is one.
    pub session: Option<Session>,
    /// When it was last heard.
    pub last_seen: Option<BootTime>,
    /// Why it cannot be reached now, if that is known.
    pub trouble: Option<Trouble>,
    /// Where it might be reached.
    pub addrs: Vec<SocketAddr>,
}

/// Why a member cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// Dialling it fails.
    Dialling(crate::transport::ConnectError),
    /// It answered, and the session could not be set up or broke.
    Session(String),
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dialling(error) => error.fmt(f),
            Self::Session(why) => f.write_str(why),
        }
    }
}

/// A live session with a member.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// Differs for each session, so that down-and-up again is never mistaken for nothing.
    pub generation: u64,
    /// The version that both speak.
    pub version: ProtocolVersion,
    /// Where the member is reached.
    pub addr: Option<SocketAddr>,
    /// The round-trip time.
    pub rtt: Option<Duration>,
    /// What it has carried.
    pub traffic: Traffic,
    /// Since when.
    pub since: BootTime,
}

/// A device that discovery sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearby {
    /// Who it says it is. Proved only when it is dialled.
    pub device: DeviceId,
    /// What it says it is called.
    pub name: Name,
    /// Where it says it can be reached.
    pub addrs: Vec<SocketAddr>,
    /// Whether it says that it offers to pair now.
    pub pairing_open: bool,
    /// How it was found.
    pub source: Source,
}

/// How an address became known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// Multicast DNS on a local network.
    Mdns,
    /// The runtime folder of this machine.
    SameHost,
    /// A ticket.
    Ticket,
    /// Used before.
    Saved,
    /// A connection came from there.
    Observed,
}

/// This device was removed from a group, or left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemovedFrom {
    /// The group that it was in.
    pub group: GroupId,
    /// Who removed it.
    pub by: DeviceId,
    /// What that device was called.
    pub by_name: Option<Name>,
}
