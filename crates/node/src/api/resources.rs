//! What the devices of the group offer, and its use.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, response::Response};
use futures_util::stream;
use tutti_control::{Controlled, ErrorCode, LeaseHolder, Reading, Resource, SetValue};
use tutti_model::{
    Name, ResourceId, ResourceKind,
    message::{LeaseMode, Token},
};
use tutti_pool::{Presence, Query, ResourceEntry};

use super::{
    error::ApiError,
    extract::{Asked, Body, In},
    refused, sse,
};
use crate::{
    convert::{self, millis},
    node::Node,
};

/// The time between two readings that are followed: at least, at most, and if nothing is said.
const INTERVALS: (Duration, Duration, Duration) =
    (Duration::from_millis(50), Duration::from_secs(3600), Duration::from_secs(1));

/// `GET /v1/resources`
pub(super) async fn list(State(node): State<Arc<Node>>, mut asked: Asked) -> Result<Json<Vec<Resource>>, ApiError> {
    let bad = |what: &str, error: &dyn std::fmt::Display| ApiError::bad_request(format!("{what}: {error}"));
    let mut query = Query::default();
    if let Some(kind) = asked.take("kind")? {
        query.kind = Some(kind.parse::<ResourceKind>().map_err(|error| bad("`kind`", &error))?);
    }
    if let Some(device) = asked.take("device")? {
        query.device = Some(node.resolve(&device)?.id);
    }
    if let Some(name) = asked.take("name")? {
        query.name = Some(Name::new(&name).map_err(|error| bad("`name`", &error))?);
    }
    for property in asked.take_all("property") {
        query.properties.push(property.parse().map_err(|error| bad("`property`", &error))?);
    }
    asked.end()?;
    node.locals.look(Duration::from_secs(2));
    Ok(Json(matching(&node, &query)))
}

/// `GET /v1/resources/{device}/{name}`
pub(super) async fn read(
    State(node): State<Arc<Node>>,
    In((device, name)): In<(String, String)>,
) -> Result<Json<Reading>, ApiError> {
    let resource = find(&node, &device, &name)?;
    let reading = node.pool.read(resource).await.map_err(|error| refused::pool(&node, error))?;
    if resource.device != node.fabric.id() {
        node.followed.heard(resource, reading.clone());
    }
    Ok(Json(show_reading(&node, resource, &reading)))
}

/// `PUT /v1/resources/{device}/{name}`
pub(super) async fn control(
    State(node): State<Arc<Node>>,
    In((device, name)): In<(String, String)>,
    Body(SetValue { value, token }): Body<SetValue>,
) -> Result<Json<Controlled>, ApiError> {
    let resource = find(&node, &device, &name)?;
    let wanted = convert::model_value(value.clone());
    let used = match token.map(Token) {
        Some(token) => node.pool.write(resource, wanted, Some(token)).await.map(|()| Some(token)),
        None => node.pool.control(resource, wanted).await,
    };
    let used = used.map_err(|error| refused::pool(&node, error))?;
    Ok(Json(Controlled {
        device: resource.device.to_string(),
        device_name: node.name_of(resource.device),
        name: resource.name.to_string(),
        value,
        token: used.map(|token| token.0),
    }))
}

/// `GET /v1/resources/{device}/{name}/follow`
pub(super) async fn follow(
    State(node): State<Arc<Node>>,
    In((device, name)): In<(String, String)>,
    mut asked: Asked,
) -> Result<Response, ApiError> {
    let resource = find(&node, &device, &name)?;
    let (least, most, usual) = INTERVALS;
    let interval = match asked.take("interval_ms")? {
        None => usual,
        Some(text) => match text.parse() {
            Ok(wanted) => Duration::from_millis(wanted).clamp(least, most),
            Err(_) => return Err(ApiError::bad_request("`interval_ms` is a whole number of milliseconds")),
        },
    };
    asked.end()?;
    let slot = node.streams.take()?;
    let readings = node.pool.follow(resource, interval).await.map_err(|error| refused::pool(&node, error))?;
    let events = stream::unfold((node, Some(readings)), move |(node, readings)| async move {
        let mut readings = readings?;
        match readings.next().await {
            Some(Ok(reading)) => {
                let event = sse::event("reading", &show_reading(&node, resource, &reading));
                Some((event, (node, Some(readings))))
            }
            None => None,
            Some(Err(error)) => Some((sse::event("error", &refused::pool(&node, error).0), (node, None))),
        }
    });
    Ok(slot.answer(events))
}

/// The resource that a path names. It need not be in the catalogue yet: its device decides.
pub(super) fn find(node: &Node, device: &str, name: &str) -> Result<ResourceId, ApiError> {
    let device = node.resolve(device)?;
    let Ok(name) = Name::new(name) else { return Err(no_such(node, device.id, name)) };
    let resource = ResourceId { device: device.id, name };
    let catalogue = node.catalogue();
    let known = catalogue.device(device.id).is_some_and(|device| device.record.is_some());
    if known && catalogue.resource(&resource).is_none() {
        return Err(no_such(node, device.id, name.as_str()));
    }
    Ok(resource)
}

fn no_such(node: &Node, device: tutti_model::DeviceId, name: &str) -> ApiError {
    let catalogue = node.catalogue();
    let offered = catalogue.device(device).map(|device| device.resources()).unwrap_or_default();
    ApiError::new(
        ErrorCode::NoSuchResource,
        format!("{} offers nothing called {name:?}", node.name_of(device)),
        "`tutti resources` lists what there is",
    )
    .candidates(offered.iter().map(|resource| resource.name.to_string()).collect())
}

/// Every resource, as lists and events show them.
pub(crate) fn all(node: &Node) -> Vec<Resource> {
    matching(node, &Query::default())
}

fn matching(node: &Node, query: &Query) -> Vec<Resource> {
    let (catalogue, leases, now) = (node.catalogue(), node.pool.leases(), node.clock.now());
    let mut found: Vec<_> = catalogue
        .query(query)
        .map(|entry| {
            let mut resource = show(node, &entry);
            let lease = leases
                .known
                .iter()
                .find(|known| {
                    known.lease.resource == entry.id() && known.mode == LeaseMode::Exclusive && known.until > now
                })
                .copied();
            resource.lease = lease.map(|known| LeaseHolder {
                holder: known.holder.to_string(),
                holder_name: node.name_of(known.holder),
                token: known.lease.token.0,
                expires_in_ms: millis(known.until.since(now)),
            });
            resource
        })
        .collect();
    let mine = node.fabric.id().to_string();
    found.sort_by(|a, b| {
        let key = |one: &Resource| (one.device != mine, one.device_name.clone(), one.device.clone(), one.name.clone());
        key(a).cmp(&key(b))
    });
    found
}

fn show(node: &Node, entry: &ResourceEntry<'_>) -> Resource {
    let (device, resource, id) = (entry.device, entry.resource, entry.id());
    let latest = match device.presence {
        Presence::Myself => node.locals.latest(&resource.name),
        _ => node.followed.latest(&id),
    };
    Resource {
        id: format!("{}/{}", device.name, resource.name),
        device: device.device.to_string(),
        device_name: device.name.to_string(),
        name: resource.name.to_string(),
        kind: resource.kind.to_string(),
        unit: resource.unit.to_string(),
        properties: resource.properties.iter().map(|(name, value)| (name.to_string(), convert::value(value))).collect(),
        access: convert::access(resource.access),
        readable: resource.readable,
        writable: resource.writable,
        sharing: convert::sharing(resource.sharing),
        simulated: resource.simulated,
        online: device.presence != Presence::Offline,
        value: latest.as_ref().map(|reading| convert::value(&reading.value)),
        at: latest.map(|reading| reading.at.as_unix_millis()),
        lease: None,
    }
}

fn show_reading(node: &Node, resource: ResourceId, reading: &tutti_model::Reading) -> Reading {
    let catalogue = node.catalogue();
    let described = catalogue.resource(&resource);
    Reading {
        device: resource.device.to_string(),
        device_name: node.name_of(resource.device),
        name: resource.name.to_string(),
        value: convert::value(&reading.value),
        unit: described.map(|entry| entry.resource.unit.to_string()).unwrap_or_default(),
        at: reading.at.as_unix_millis(),
        simulated: described.is_some_and(|entry| entry.resource.simulated),
    }
}
