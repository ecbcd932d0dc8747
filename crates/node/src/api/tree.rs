//! The memory map of the chip.

use std::sync::Arc;

use axum::{Json, extract::State};
use tutti_control::{ErrorCode, MemoryMap};

use super::error::ApiError;
use crate::{node::Node, tree::NoMap};

/// `GET /v1/memory-map`
pub(super) async fn map(State(node): State<Arc<Node>>) -> Result<Json<MemoryMap>, ApiError> {
    let trees = node.trees.clone();
    let map = tokio::task::spawn_blocking(move || trees.map()).await;
    let map = map.map_err(|_| ApiError::internal("reading the device tree"))?;
    map.map(Json).map_err(|no_map| {
        let code = if no_map == NoMap::NoTree { ErrorCode::NoTree } else { ErrorCode::BadTree };
        ApiError::new(code, no_map.to_string(), no_map.hint())
    })
}
