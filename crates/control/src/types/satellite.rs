//! Satellites: devices without a network that join through this one.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;

words! {
    /// How a link to satellites stands.
    LinkState {
        /// There is nothing at its other end; it is tried again.
        Waiting = "waiting",
        /// It is open; the satellite has not said what it is yet.
        Open = "open",
        /// It is open, and a satellite is there.
        Joined = "joined",
    }
}

/// Looks for a satellite on a link, from now on and after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LinkRequest {
    /// `serial:/dev/ttyACM0`, `serial:/dev/ttyACM0@115200` or `unix:/path`.
    pub link: String,
    /// What to call the link, and the satellite at its end; if left out, the link is called after its path and the satellite
    /// what it calls itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A link to satellites.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SatelliteLink {
    /// Its name on this device.
    pub name: String,
    /// What it is: as it was asked for; `core:NAME` for a remote core, whose link comes and goes with it.
    pub link: String,
    /// How it stands.
    pub state: LinkState,
    /// Who is there; the nearest first.
    pub satellites: Vec<LinkedSatellite>,
    /// Why it is not open, or what was wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// How many damaged frames were dropped since it was opened.
    pub dropped: u32,
}

/// A satellite on a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LinkedSatellite {
    /// Its id, which this device gave it.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The version of its firmware, in its own words.
    pub firmware: String,
    /// How many satellites its frames pass on the way.
    pub depth: u32,
    /// How many resources it offers.
    pub resources: u32,
}
