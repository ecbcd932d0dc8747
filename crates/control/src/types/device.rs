//! Devices, and the group that they form.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;

words! {
    /// What a device may do in its trust group.
    Role {
        /// Only what a resource's policy gives to guests.
        Guest = "guest",
        /// Uses the pool and offers resources to it.
        Member = "member",
        /// Besides, pairs and forgets devices and changes roles.
        Owner = "owner",
    }
}

words! {
    /// Whether a device can be reached.
    Presence {
        /// It is the device that answers.
        Myself = "self",
        /// It is connected.
        Online = "online",
        /// It is not.
        Offline = "offline",
    }
}

words! {
    /// How a device was discovered.
    Source {
        /// It announces itself on the local network.
        Mdns = "mdns",
        /// It runs on this host.
        SameHost = "same-host",
        /// A ticket told of it.
        Ticket = "ticket",
        /// It was known before.
        Saved = "saved",
        /// It connected by itself.
        Observed = "observed",
    }
}

words! {
    /// The outcome of a check.
    CheckState {
        /// As it should be.
        Ok = "ok",
        /// Something will not work, or not always.
        Warn = "warn",
        /// Nothing will work before this is mended.
        Fail = "fail",
    }
}

/// The device that answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeviceInfo {
    /// Its id: 64 hexadecimal digits.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// The version of its software.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Where it keeps its key, group and data.
    pub state_dir: String,
    /// The group that it is in.
    pub group: GroupInfo,
    /// For how long it has run.
    pub uptime_ms: u64,
    /// Where other devices can reach it: `address:port`.
    pub addresses: Vec<String>,
    /// Where this API is to be had.
    pub api: ApiAddresses,
}

/// Where the control API is to be had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiAddresses {
    /// The Unix socket.
    pub socket: String,
    /// The loopback TCP address, if it was asked for. The token is in the file `api-token` of the state folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp: Option<String>,
}

/// The group that a device is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GroupInfo {
    /// The group's id, hexadecimal.
    pub id: String,
    /// This device's role in it.
    pub role: Role,
    /// How many devices are in it, this one included.
    pub members: u32,
    /// Whether this device is the only one.
    pub alone: bool,
}

/// A new name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rename {
    /// 1 to 63 bytes of letters, digits, `-`, `_` and `.`.
    pub name: String,
}

/// A device of the group: a member, the answering device itself, or a satellite behind one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Device {
    /// Its id: 64 hexadecimal digits.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// `laptop`, `board`, `server`, `microcontroller`, …; empty as long as it has not described itself.
    pub kind: String,
    /// Its processor architecture.
    pub architecture: String,
    /// Its operating system and version.
    pub os: String,
    /// The profile that its image was built from.
    pub profile: String,
    /// The version of its software.
    pub software: String,
    /// Its role in the group; none for a satellite, which acts with its host's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Whether it can be reached.
    pub presence: Presence,
    /// The time to it and back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
    /// What the connection with it has carried so far; begins anew when it is connected to again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// How long ago it was last heard of; none if never, or if it is the answering device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen_ms_ago: Option<u64>,
    /// Where it is reached now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The id of the device that it is reached through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// How many resources it offers.
    pub resources: u32,
    /// What it has to run apps with; none if it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room: Option<DeviceRoom>,
    /// Why the last attempt to reach it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// What a device has to run apps with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceRoom {
    /// Bytes of memory; none if it does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// How many processors; none if it does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processors: Option<u32>,
    /// How many bytes of memory its apps may have together; none if it does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_apps: Option<u64>,
    /// Bytes of memory that other things than Tutti have now, coarsely; none if it has not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_taken: Option<u64>,
    /// Thousandths of a processor that other things than Tutti take now, coarsely; none if it has not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processors_taken: Option<u32>,
}

/// Bytes on the network, with what the protocol adds and what had to be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Traffic {
    /// To the other device.
    pub sent: u64,
    /// From the other device.
    pub received: u64,
}

/// A new role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoleChange {
    /// The role.
    pub role: Role,
}

/// A device that was discovered and is not in the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NearbyDevice {
    /// The id that it claims.
    pub id: String,
    /// The name that it claims.
    pub name: String,
    /// Where it says it is: `address:port`.
    pub addresses: Vec<String>,
    /// How it was discovered.
    pub source: Source,
    /// Whether it shows a pairing code now.
    pub pairing_open: bool,
}

/// One check of `doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// What was checked, in a word or two.
    pub name: String,
    /// How it came out.
    pub ok: CheckState,
    /// What was found.
    pub what: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}
