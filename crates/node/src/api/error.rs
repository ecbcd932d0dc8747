//! Refusals as the API sends them.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use tutti_control::{ErrorBody, ErrorCode, ErrorDetail};

/// A refusal: status, code, what happened, what to do next.
#[derive(Debug, Clone)]
pub(crate) struct ApiError(pub(crate) ErrorDetail);

impl ApiError {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self(ErrorDetail::new(code, message, hint))
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::BadRequest, message, "GET /v1/openapi.json describes every request")
    }

    pub(crate) fn internal(what: &str) -> Self {
        Self::new(ErrorCode::Internal, format!("a fault in the device itself: {what}"), "see its log")
    }

    pub(crate) fn candidates(self, candidates: Vec<String>) -> Self {
        Self(self.0.with_candidates(candidates))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, Json(ErrorBody { error: self.0 })).into_response()
    }
}
