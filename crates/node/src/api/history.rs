//! What was: values of the last hour, and what happened.

use std::sync::Arc;

use axum::{Json, extract::State};
use tutti_control::{Happening, History};

use super::{error::ApiError, extract::In, resources};
use crate::node::Node;

/// `GET /v1/resources/{device}/{name}/history`
pub(super) async fn of_resource(
    State(node): State<Arc<Node>>,
    In((device, name)): In<(String, String)>,
) -> Result<Json<History>, ApiError> {
    let resource = resources::find(&node, &device, &name)?;
    let catalogue = node.catalogue();
    let unit = catalogue.resource(&resource).map(|entry| entry.resource.unit.to_string());
    Ok(Json(History {
        device: resource.device.to_string(),
        device_name: node.name_of(resource.device),
        name: resource.name.to_string(),
        unit: unit.unwrap_or_default(),
        points: node.history.of(&resource),
    }))
}

/// `GET /v1/timeline`
pub(super) async fn timeline(State(node): State<Arc<Node>>) -> Json<Vec<Happening>> {
    Json(node.timeline.all())
}
