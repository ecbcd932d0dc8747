//! What a request holds, or a refusal in the form that every refusal has.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;
use tutti_control::ErrorCode;

use super::error::ApiError;

/// The largest JSON body: an image of [`MAX_MESSAGE`](tutti_fabric::MAX_MESSAGE) bytes in base64, and some more.
pub(crate) const MAX_JSON: usize = 3 << 19;

/// A JSON body. An empty one counts as `{}`, since every field of most requests has a default.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let bytes = Bytes::from_request(request, state).await.map_err(|refused| match refused.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                ApiError::new(ErrorCode::TooLarge, format!("the body has more than {MAX_JSON} bytes"), "send less")
            }
            _ => ApiError::bad_request("the body did not arrive whole"),
        })?;
        let json = if bytes.is_empty() { b"{}" } else { bytes.as_ref() };
        serde_json::from_slice(json).map(Self).map_err(|error| ApiError::bad_request(format!("the body: {error}")))
    }
}

/// The parameters in the path.
pub(crate) struct In<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for In<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(values)) => Ok(Self(values)),
            Err(refused) => Err(ApiError::bad_request(format!("the path: {}", refused.body_text()))),
        }
    }
}

/// The query parameters, in order, repeats included.
pub(crate) struct Asked(Vec<(String, String)>);

impl Asked {
    /// The values of a parameter, removed from what is left to look at.
    pub(crate) fn take_all(&mut self, name: &str) -> Vec<String> {
        let (taken, left) = std::mem::take(&mut self.0).into_iter().partition(|(key, _)| key == name);
        self.0 = left;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    /// The value of a parameter that may be given once.
    pub(crate) fn take(&mut self, name: &str) -> Result<Option<String>, ApiError> {
        let mut values = self.take_all(name);
        match values.len() {
            0 | 1 => Ok(values.pop()),
            _ => Err(ApiError::bad_request(format!("the query has several of `{name}`"))),
        }
    }

    /// Refuses what nobody took: a misspelt filter must not look like "nothing matches".
    pub(crate) fn end(self) -> Result<(), ApiError> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(ApiError::bad_request(format!("this route takes no query parameter `{name}`"))),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(pairs)) => Ok(Self(pairs)),
            Err(refused) => Err(ApiError::bad_request(format!("the query: {}", refused.body_text()))),
        }
    }
}
