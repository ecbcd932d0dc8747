//! What was: the values of the last hour, and what happened in the group.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{LeaseHolder, words};
// Under another name: utoipa takes a field of a type called `Value` for one of serde_json, which may be anything.
use crate::Value as AnyValue;

/// The values that this device saw of a resource within the last hour, the oldest first.
///
/// A device notes its own resources every ten seconds, and those of others while somebody looks at live values here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct History {
    /// The id of the device that offers the resource.
    pub device: String,
    /// Its name.
    pub device_name: String,
    /// The resource's name.
    pub name: String,
    /// The unit of its values; empty for none.
    pub unit: String,
    /// The values. Only numbers and switches are noted.
    pub points: Vec<Point>,
}

/// A value and its moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Point {
    /// When, by this device's clock: milliseconds since 1970.
    pub at: u64,
    /// The value; a switch is 0 or 1.
    pub value: f64,
}

words! {
    /// What sort of thing happened.
    What {
        /// A device came within reach.
        Online = "online",
        /// A device is out of reach.
        Offline = "offline",
        /// A device entered the group.
        Joined = "joined",
        /// A device is no longer in the group.
        Left = "left",
        /// A device has another name; `detail` is the old one.
        Renamed = "renamed",
        /// A device has another role; `detail` is the role.
        Role = "role",
        /// A device cannot be reached; `detail` says why.
        Trouble = "trouble",
        /// A resource is offered; `detail` is its name.
        Offered = "offered",
        /// A resource is offered no more; `detail` is its name.
        Withdrawn = "withdrawn",
        /// A resource was leased to the device; `detail` is the resource.
        Leased = "leased",
        /// A lease of the device ended; `detail` is the resource.
        Released = "released",
    }
}

/// Something that happened in the group, as this device saw it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Happening {
    /// Grows by one from each to the next.
    pub number: u64,
    /// When, by this device's clock: milliseconds since 1970.
    pub at: u64,
    /// What happened.
    pub what: What,
    /// The id of the device it happened to.
    pub device: String,
    /// Its name then.
    pub device_name: String,
    /// More on it, as `what` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What changes often of a resource, apart from what seldom does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ResourceState {
    /// The id of the device that offers it.
    pub device: String,
    /// The resource's name.
    pub name: String,
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

/// Asks for a link to the console.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsoleRequest {
    /// The port to serve the console at, if it is not served yet: any free one if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// For a browser of another machine: over TLS, at every address of this one. Else on 127.0.0.1.
    #[serde(default)]
    pub network: bool,
}

/// A link that opens the console in a browser of this machine, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConsoleLink {
    /// The link. Whoever opens it first is let in, so it is not to be shown to others.
    pub url: String,
    /// For how long it counts.
    pub expires_in_ms: u64,
    /// For a browser of another machine, what a person needs besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<NetworkLink>,
}

/// What a person needs to come in from another machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NetworkLink {
    /// The link by each address of this machine, the likeliest first.
    pub urls: Vec<String>,
    /// What can be typed at the page instead, once: six digits.
    pub code: String,
    /// The SHA-256 of the certificate, as browsers show it, to be compared before their warning is passed over.
    pub fingerprint: String,
}
