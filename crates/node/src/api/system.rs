//! Stopping the device, and what the API says of itself.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};

use super::error::ApiError;
use crate::node::Node;

/// `POST /v1/shutdown`
pub(super) async fn shutdown(State(node): State<Arc<Node>>) -> StatusCode {
    tracing::info!("asked to stop through the control API");
    node.request_stop();
    StatusCode::NO_CONTENT
}

/// `GET /v1/openapi.json`
pub(super) async fn description() -> Result<impl IntoResponse, ApiError> {
    let json = tutti_control::openapi().to_json().map_err(|_| ApiError::internal("the description is broken"))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], json))
}
