//! Why a request did not succeed.

use std::{fmt, io, time::Duration};

use super::{Endpoint, SseError};
use crate::error::{ErrorCode, ErrorDetail};

/// Why a request did not succeed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// Nothing can be connected to there.
    Connect {
        /// Where.
        endpoint: Endpoint,
        /// Why not.
        error: io::Error,
    },
    /// The device refused; it says why.
    Refused {
        /// The HTTP status.
        status: u16,
        /// Why.
        detail: ErrorDetail,
    },
    /// No answer came in time.
    TimedOut {
        /// What was asked: `GET /v1/device`.
        what: String,
        /// How long was waited.
        after: Duration,
    },
    /// The connection broke.
    Lost {
        /// What was asked.
        what: String,
        /// The library's word for it.
        why: String,
    },
    /// The answer is larger than this client takes.
    TooLarge {
        /// What was asked.
        what: String,
        /// The most bytes taken.
        max: usize,
    },
    /// The answer is not what the description promises.
    Garbled {
        /// What was asked.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// What was to be sent could not be read.
    Source(io::Error),
}

impl ClientError {
    /// The reason that the device gave, if it is one that refused.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { detail, .. } => Some(detail.code),
            _ => None,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> String {
        match self {
            Self::Connect { error, .. } if error.kind() == io::ErrorKind::PermissionDenied => {
                "run this as the user who started the device (with sudo, if that is root)".into()
            }
            Self::Connect { .. } => "start the device with: tutti up".into(),
            Self::Refused { detail, .. } => detail.hint.clone(),
            Self::TimedOut { .. } => "see whether the device is busy or stuck with: tutti status".into(),
            Self::Lost { .. } => "see whether the device still runs with: tutti status".into(),
            Self::TooLarge { .. } => "ask for less, by kind or device".into(),
            Self::Garbled { .. } => "compare the versions of this program and of the device: tutti status".into(),
            Self::Source(_) => "see whether the file is there and readable".into(),
        }
    }

    pub(super) fn from_sse(what: &str, error: SseError) -> Self {
        Self::Garbled { what: what.into(), why: error.to_string() }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect { endpoint, error } => write!(f, "cannot connect to {endpoint}: {error}"),
            Self::Refused { detail, .. } => f.write_str(&detail.message),
            Self::TimedOut { what, after } => write!(f, "{what}: no answer within {} s", after.as_secs_f32()),
            Self::Lost { what, why } => write!(f, "{what}: the connection to the device broke: {why}"),
            Self::TooLarge { what, max } => write!(f, "{what}: the answer is larger than {max} bytes"),
            Self::Garbled { what, why } => write!(f, "{what}: the answer makes no sense: {why}"),
            Self::Source(error) => write!(f, "what was to be sent cannot be read: {error}"),
        }
    }
}

impl std::error::Error for ClientError {}
