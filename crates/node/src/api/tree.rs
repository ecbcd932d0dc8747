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
    match map {
        Ok(map) => Ok(Json(map)),
        Err(NoMap::NoTree) => Ok(Json(MemoryMap::default())),
        Err(no_map) => Err(ApiError::new(ErrorCode::BadTree, no_map.to_string(), no_map.hint())),
    }
}
