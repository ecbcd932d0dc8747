//! Live changes.

use serde::{Deserialize, Serialize};

use super::{
    AppsState, Core, Device, GroupInfo, Happening, Lease, NearbyDevice, PairingStatus, Resource, ResourceState,
};

/// A change, as `GET /v1/events` tells it: the new state of one thing, whole. One of each comes first; a reader
/// that is slow misses states in between, never the last.
///
/// In the stream the word is the event's name and the body its data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", content = "data", rename_all = "lowercase")]
#[non_exhaustive]
pub enum Event {
    /// As `GET /v1/devices`.
    Devices(Vec<Device>),
    /// As `GET /v1/nearby`.
    Nearby(Vec<NearbyDevice>),
    /// As `GET /v1/resources`.
    Resources(Vec<Resource>),
    /// As `GET /v1/pairing`.
    Pairing(PairingStatus),
    /// As `group` of `GET /v1/device`.
    Group(GroupInfo),
    /// As `GET /v1/leases`.
    Leases(Vec<Lease>),
    /// As `GET /v1/timeline`, if asked for.
    Timeline(Vec<Happening>),
    /// As `GET /v1/cores`, if asked for.
    Cores(Vec<Core>),
    /// As `GET /v1/apps` and `GET /v1/instances`, if asked for.
    Apps(AppsState),
    /// What changed of resources since the last of these, if asked for apart from the resources.
    Values(Vec<ResourceState>),
}

impl Event {
    /// The word for it: the name of the event in the stream.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Devices(_) => "devices",
            Self::Nearby(_) => "nearby",
            Self::Resources(_) => "resources",
            Self::Pairing(_) => "pairing",
            Self::Group(_) => "group",
            Self::Leases(_) => "leases",
            Self::Timeline(_) => "timeline",
            Self::Cores(_) => "cores",
            Self::Apps(_) => "apps",
            Self::Values(_) => "values",
        }
    }

    /// Its data in the stream.
    pub fn data(&self) -> Result<String, serde_json::Error> {
        match self {
            Self::Devices(body) => serde_json::to_string(body),
            Self::Nearby(body) => serde_json::to_string(body),
            Self::Resources(body) => serde_json::to_string(body),
            Self::Pairing(body) => serde_json::to_string(body),
            Self::Group(body) => serde_json::to_string(body),
            Self::Leases(body) => serde_json::to_string(body),
            Self::Timeline(body) => serde_json::to_string(body),
            Self::Cores(body) => serde_json::to_string(body),
            Self::Apps(body) => serde_json::to_string(body),
            Self::Values(body) => serde_json::to_string(body),
        }
    }

    /// Reads one from the stream; none for a name that this version does not know (`ping` among them).
    pub fn parse(name: &str, data: &str) -> Result<Option<Self>, serde_json::Error> {
        Ok(Some(match name {
            "devices" => Self::Devices(serde_json::from_str(data)?),
            "nearby" => Self::Nearby(serde_json::from_str(data)?),
            "resources" => Self::Resources(serde_json::from_str(data)?),
            "pairing" => Self::Pairing(serde_json::from_str(data)?),
            "group" => Self::Group(serde_json::from_str(data)?),
            "leases" => Self::Leases(serde_json::from_str(data)?),
            "timeline" => Self::Timeline(serde_json::from_str(data)?),
            "cores" => Self::Cores(serde_json::from_str(data)?),
            "apps" => Self::Apps(serde_json::from_str(data)?),
            "values" => Self::Values(serde_json::from_str(data)?),
            _ => return Ok(None),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{PairingState, Role};

    #[test]
    fn events_survive_the_stream() {
        let group = GroupInfo { id: "ab".into(), role: Role::Owner, members: 1, alone: true };
        for event in [
            Event::Devices(vec![]),
            Event::Nearby(vec![]),
            Event::Resources(vec![]),
            Event::Pairing(PairingStatus::of(PairingState::Open)),
            Event::Group(group),
            Event::Leases(vec![]),
            Event::Timeline(vec![]),
            Event::Cores(vec![]),
            Event::Apps(AppsState::default()),
            Event::Values(vec![]),
        ] {
            assert_eq!(Event::parse(event.name(), &event.data().unwrap()).unwrap(), Some(event));
        }
        assert_eq!(Event::parse("ping", "").unwrap(), None);
        assert!(Event::parse("devices", "{").is_err());
    }
}
