//! Resources that outside programs offer through this device.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, http::StatusCode, response::Response};
use futures_util::stream;
use tutti_control::{Command, ErrorCode, OfferRequest, Offered};
use tutti_model::{AccessPolicy, Name, ResourceDescription, ResourceKind, Unit};
use tutti_resources::outside::{DEFAULT_TTL, OfferError};

use super::{
    error::ApiError,
    extract::{Body, In},
    sse,
};
use crate::{
    convert::{self, millis},
    node::Node,
    sources::PutError,
};

/// How long one wait for a command takes; then it is looked whether anybody still listens.
const ONE_WAIT: Duration = Duration::from_millis(500);

/// `PUT /v1/offers/{name}`
pub(super) async fn offer(
    State(node): State<Arc<Node>>,
    In(name): In<String>,
    Body(request): Body<OfferRequest>,
) -> Result<Json<Offered>, ApiError> {
    let ttl = request.ttl_ms.map_or(DEFAULT_TTL, Duration::from_millis);
    let value = request.value.clone().map(convert::model_value);
    let description = describe(&name, request)?;
    let name = description.name;
    node.sources.put(description, value, ttl).map_err(|error| match error {
        PutError::NameTaken => taken(&name),
        PutError::Offer(error) => refused(&error),
    })?;
    let offered = all(&node).into_iter().find(|offered| offered.name == name.as_str());
    offered.map(Json).ok_or_else(|| refused(&OfferError::Unknown(name)))
}

/// `GET /v1/offers`
pub(super) async fn list(State(node): State<Arc<Node>>) -> Json<Vec<Offered>> {
    Json(all(&node))
}

/// `DELETE /v1/offers/{name}`
pub(super) async fn withdraw(State(node): State<Arc<Node>>, In(name): In<String>) -> Result<StatusCode, ApiError> {
    node.sources.withdraw(&parse(&name)?).map_err(|error| refused(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/offers/{name}/commands`
pub(super) async fn commands(State(node): State<Arc<Node>>, In(name): In<String>) -> Result<Response, ApiError> {
    let slot = node.streams.take()?;
    let listener = Arc::new(node.sources.listen(&parse(&name)?).map_err(|error| refused(&error))?);
    let events = stream::unfold((node, listener), |(node, listener)| async move {
        loop {
            let waiting = listener.clone();
            // Ends when the resource is withdrawn or another program listens.
            match tokio::task::spawn_blocking(move || waiting.next(ONE_WAIT)).await.ok()?.ok()? {
                None => {}
                Some((value, from)) => {
                    let command = Command {
                        value: convert::value(&value),
                        from: from.map(|from| from.to_string()).unwrap_or_default(),
                        from_name: from.map(|from| node.name_of(from)).unwrap_or_default(),
                    };
                    return Some((sse::event("command", &command), (node, listener)));
                }
            }
        }
    });
    Ok(slot.answer(events))
}

pub(super) fn parse(name: &str) -> Result<Name, ApiError> {
    Name::new(name).map_err(|error| ApiError::bad_request(format!("{name:?} cannot be a name: {error}")))
}

pub(super) fn taken(name: &Name) -> ApiError {
    ApiError::new(
        ErrorCode::NameTaken,
        format!("this device has another resource called {name}"),
        "choose another name; `tutti resources` lists those taken",
    )
}

fn describe(name: &str, request: OfferRequest) -> Result<ResourceDescription, ApiError> {
    let bad = |what: &str, error: &dyn std::fmt::Display| ApiError::bad_request(format!("{what}: {error}"));
    let properties = request.properties.into_iter().map(|(name, value)| {
        let name = Name::new(&name).map_err(|error| bad(&format!("the property {name:?}"), &error))?;
        Ok::<_, ApiError>((name, convert::model_value(value)))
    });
    Ok(ResourceDescription {
        name: parse(name)?,
        kind: request.kind.parse::<ResourceKind>().map_err(|error| bad("`kind`", &error))?,
        unit: Unit::new(&request.unit).map_err(|error| bad("`unit`", &error))?,
        properties: properties.collect::<Result<_, _>>()?,
        access: AccessPolicy::default(),
        readable: false,
        writable: request.writable,
        sharing: convert::model_sharing(request.sharing),
        simulated: request.simulated,
    })
}

fn all(node: &Node) -> Vec<Offered> {
    let now = node.clock.now();
    node.sources
        .offered()
        .into_iter()
        .map(|status| Offered {
            name: status.description.name.to_string(),
            kind: status.description.kind.to_string(),
            unit: status.description.unit.to_string(),
            value: status.value.as_ref().map(convert::value),
            at: node.sources.refreshed(&status.description.name).as_unix_millis(),
            writable: status.description.writable,
            expires_in_ms: millis(status.expires.since(now)),
        })
        .collect()
}

fn refused(error: &OfferError) -> ApiError {
    let (code, hint) = match error {
        OfferError::TooMany => (ErrorCode::TooMany, ""),
        OfferError::BadTtl => (ErrorCode::BadRequest, "leave out `ttl_ms` for 60 s"),
        OfferError::BadValue => (ErrorCode::BadValue, ""),
        OfferError::BadProperty(_) => (ErrorCode::BadRequest, ""),
        OfferError::Unknown(_) => (ErrorCode::NoSuchOffer, ""),
        OfferError::NotWritable(_) => (ErrorCode::NotWritable, ""),
        _ => (ErrorCode::BadRequest, ""),
    };
    ApiError::new(code, error.to_string(), hint)
}
