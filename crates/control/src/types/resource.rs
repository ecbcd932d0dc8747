//! What devices offer, and its use.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{LeaseHolder, words};
// Under another name: utoipa takes a field of a type called `Value` for one of serde_json, which may be anything.
use crate::Value as AnyValue;

words! {
    /// The least role that may do something.
    Audience {
        /// Only the device that offers it.
        Nobody = "nobody",
        /// Owners of the group.
        Owners = "owners",
        /// Owners and members.
        Members = "members",
        /// Everybody in the group.
        Guests = "guests",
    }
}

words! {
    /// How a resource may be leased.
    Sharing {
        /// Whoever may control it does so.
        Shared = "shared",
        /// One holder at a time.
        Exclusive = "exclusive",
    }
}

/// Who may use a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Access {
    /// Who may read it.
    pub read: Audience,
    /// Who may control it.
    pub control: Audience,
}

/// A resource of a device of the group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Resource {
    /// What people type: `kitchen/lamp`.
    pub id: String,
    /// The id of the device that offers it.
    pub device: String,
    /// Its name.
    pub device_name: String,
    /// The resource's name on that device.
    pub name: String,
    /// `sensor`, `display`, `camera`, `microphone`, `speaker`, `input`, `storage`, `compute`, `inference` or
    /// `actuator`; `kind-N` for one that this version does not know.
    pub kind: String,
    /// The unit of its values; empty for none.
    pub unit: String,
    /// What else is known of it.
    #[serde(default)]
    pub properties: BTreeMap<String, AnyValue>,
    /// Who may use it.
    pub access: Access,
    /// Whether it gives readings.
    pub readable: bool,
    /// Whether it takes values.
    pub writable: bool,
    /// How it may be leased.
    pub sharing: Sharing,
    /// Whether its values are made up.
    pub simulated: bool,
    /// Whether its device can be reached.
    pub online: bool,
    /// The latest value that this device knows of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<AnyValue>,
    /// When that was, by the clock of the device that offers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
    /// Who holds its exclusive lease, as far as this device knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseHolder>,
}

/// A reading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Reading {
    /// The id of the device that took it.
    pub device: String,
    /// Its name.
    pub device_name: String,
    /// The resource's name.
    pub name: String,
    /// What was read.
    pub value: AnyValue,
    /// Its unit; empty for none.
    pub unit: String,
    /// When, by that device's clock: milliseconds since 1970.
    pub at: u64,
    /// Whether it is made up.
    pub simulated: bool,
}

/// A value for a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SetValue {
    /// The value.
    pub value: AnyValue,
    /// The fencing token of the lease to use. Without one, an exclusive resource is leased for the moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<u64>,
}

/// A resource took a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Controlled {
    /// The id of the device that offers it.
    pub device: String,
    /// Its name.
    pub device_name: String,
    /// The resource's name.
    pub name: String,
    /// The value that it took.
    pub value: AnyValue,
    /// The fencing token that was used, where one was needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<u64>,
}
