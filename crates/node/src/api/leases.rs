//! Leases that programs take through the API. They are renewed only by `PUT` and end with their time.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, http::StatusCode};
use tutti_control::{ErrorCode, Lease, LeaseRequest, RenewLease};
use tutti_pool::HeldLease;

use super::{
    error::ApiError,
    extract::{Body, In},
    refused, resources,
};
use crate::{
    convert::{self, millis},
    node::Node,
};

/// How long a lease lasts if nothing is said.
const USUAL: Duration = Duration::from_secs(30);

/// `POST /v1/leases`
pub(super) async fn take(
    State(node): State<Arc<Node>>,
    Body(request): Body<LeaseRequest>,
) -> Result<Json<Lease>, ApiError> {
    let Some((device, name)) = request.resource.split_once('/') else {
        return Err(ApiError::bad_request("`resource` is a device and a name: kitchen/lamp"));
    };
    let resource = resources::find(&node, device, name)?;
    let mode = convert::model_lease_mode(request.mode);
    let duration = request.duration_ms.map_or(USUAL, Duration::from_millis);
    let held = node.pool.acquire(resource, mode, duration, false).await;
    let held = held.map_err(|error| refused::pool(&node, error))?;
    Ok(Json(show(&node, &held)))
}

/// `GET /v1/leases`
pub(super) async fn list(State(node): State<Arc<Node>>) -> Json<Vec<Lease>> {
    Json(all(&node))
}

/// `PUT /v1/leases/{id}`
pub(super) async fn renew(
    State(node): State<Arc<Node>>,
    In(id): In<String>,
    Body(RenewLease { duration_ms }): Body<RenewLease>,
) -> Result<Json<Lease>, ApiError> {
    let held = find(&node, &id)?;
    let duration = duration_ms.map_or(held.duration, Duration::from_millis);
    let held = node.pool.renew(held.lease, duration).await.map_err(|error| refused::pool(&node, error))?;
    Ok(Json(show(&node, &held)))
}

/// `DELETE /v1/leases/{id}`
pub(super) async fn release(State(node): State<Arc<Node>>, In(id): In<String>) -> Result<StatusCode, ApiError> {
    let held = find(&node, &id)?;
    node.pool.release(held.lease).await.map_err(|error| refused::pool(&node, error))?;
    Ok(StatusCode::NO_CONTENT)
}

/// The leases that still count.
pub(super) fn all(node: &Node) -> Vec<Lease> {
    let now = node.clock.now();
    let leases = node.pool.leases();
    leases.held.iter().filter(|held| held.until > now).map(|held| show(node, held)).collect()
}

fn find(node: &Node, id: &str) -> Result<HeldLease, ApiError> {
    let leases = node.pool.leases();
    let found = leases.held.iter().find(|held| id_of(held) == id).copied();
    found.filter(|held| held.until > node.clock.now()).ok_or_else(|| {
        ApiError::new(ErrorCode::LeaseLost, format!("there is no lease {id:?}, or it has ended"), "take a new one")
    })
}

/// Says which lease it is to whoever took it; the token makes it the only one of its name.
fn id_of(held: &HeldLease) -> String {
    let resource = held.lease.resource;
    format!("{}-{}-{}", resource.device.short(), resource.name, held.lease.token.0)
}

fn show(node: &Node, held: &HeldLease) -> Lease {
    let resource = held.lease.resource;
    Lease {
        id: id_of(held),
        resource: format!("{}/{}", node.name_of(resource.device), resource.name),
        token: held.lease.token.0,
        mode: convert::lease_mode(held.mode),
        expires_in_ms: millis(held.until.since(node.clock.now())),
    }
}
