//! Leases: the right to use a resource for a while.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words;

words! {
    /// With whom a lease is shared.
    LeaseMode {
        /// With others.
        Shared = "shared",
        /// With nobody.
        Exclusive = "exclusive",
    }
}

/// Asks for a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeaseRequest {
    /// What people type: `kitchen/lamp`.
    pub resource: String,
    /// With whom: exclusive if left out.
    #[serde(default = "exclusive")]
    pub mode: LeaseMode,
    /// For how long: 30 s if left out. The device that offers the resource may grant less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}

const fn exclusive() -> LeaseMode {
    LeaseMode::Exclusive
}

/// A lease that this device holds for a client of this API. Only `PUT` renews it; it ends with its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lease {
    /// Its id.
    pub id: String,
    /// The resource: `kitchen/lamp`.
    pub resource: String,
    /// The fencing token to control the resource with.
    pub token: u64,
    /// With whom it is shared.
    pub mode: LeaseMode,
    /// For how long it still counts.
    pub expires_in_ms: u64,
}

/// Renews a lease.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct RenewLease {
    /// For how long from now: as before if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}

/// Who holds a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeaseHolder {
    /// The id of the device that holds it.
    pub holder: String,
    /// Its name.
    pub holder_name: String,
    /// The lease's fencing token.
    pub token: u64,
    /// For how long it still counts unless it is renewed.
    pub expires_in_ms: u64,
}
