//! Entering a group, and coming back into one.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Role, words};

/// Lets a device in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PairingRequest {
    /// The role that the new device gets: `member` if left out.
    #[serde(default = "member")]
    pub role: Role,
    /// For how long the ticket counts: two minutes if left out, an hour at most. The code never counts for longer than two
    /// minutes. More is for a ticket that no person hands on, such as a device finds in its image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket_life_ms: Option<u64>,
}

const fn member() -> Role {
    Role::Member
}

/// What the new device needs to know: one of code and ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PairingOffer {
    /// Six digits to type on the other device.
    pub code: String,
    /// The same with an address and a secret, to copy or to scan.
    pub ticket: String,
    /// The role that the new device gets.
    pub role: Role,
    /// For how long the ticket counts; the code counts for two minutes at most.
    pub expires_in_ms: u64,
}

words! {
    /// How a pairing stands.
    PairingState {
        /// No code is or was shown since the device started.
        None = "none",
        /// A code is shown.
        Open = "open",
        /// A device came in.
        Paired = "paired",
        /// Three wrong codes were tried, or the offer was cancelled; `why` tells.
        Failed = "failed",
        /// The time ran out.
        Expired = "expired",
    }
}

/// How the latest pairing stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PairingStatus {
    /// The state.
    pub state: PairingState,
    /// How many wrong codes may still be tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries_left: Option<u8>,
    /// For how long the offer still counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_ms: Option<u64>,
    /// The id of the device that came in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl PairingStatus {
    /// A status with nothing but its state.
    pub const fn of(state: PairingState) -> Self {
        Self { state, tries_left: None, expires_in_ms: None, device: None, name: None, why: None }
    }
}

/// Enters another device's group: by `device` and `code`, or by `ticket`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct JoinRequest {
    /// The name or id of a nearby device that shows a code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The code that it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Its ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<String>,
}

/// The group that was entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Joined {
    /// Its id.
    pub group: String,
    /// The id of the device that let this one in.
    pub host: String,
    /// Its name.
    pub host_name: String,
    /// This device's role.
    pub role: Role,
}

/// The words with which a device can make itself an owner of its group again. Whoever has them owns the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RecoveryWords {
    /// The words, separated by spaces.
    pub words: String,
}
