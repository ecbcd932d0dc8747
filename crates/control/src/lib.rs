//! The control API of a Tutti device: its types, its description, and a client.
//!
//! What the command line and the console do, any program can do: JSON over HTTP/1.1 on a Unix socket that only its
//! owner may open, and, when asked for, on loopback TCP with a token. Live changes are server-sent events.
//!
//! * [`types`] holds the bodies, [`error`] what a refusal looks like.
//! * [`routes::ROUTES`] lists every route once. The description ([`openapi()`]) is made from it, and the device's
//!   tests hold its router against it, so the three cannot drift apart.
//! * [`host`] tells requests for this machine from those that came by another name.
//! * [`Client`] speaks it. [`Selection`] finds the device to speak to, by the files of [`runtime`].
//!
//! # What the other side may send
//!
//! A client trusts the device it speaks to no further than its own memory and time: bodies, lines and events have
//! a largest size, every wait has an end, and what does not parse is an error that names the route.
#![forbid(unsafe_code)]

pub mod client;
pub mod error;
#[cfg(feature = "test-utils")]
pub mod fake;
pub mod host;
pub mod openapi;
pub mod routes;
pub mod runtime;
pub mod selection;
pub mod types;
pub mod value;

pub use client::{Client, ClientError, Endpoint, EventStream};
pub use error::{ErrorBody, ErrorCode, ErrorDetail};
pub use openapi::openapi;
pub use routes::{ROUTES, Route};
pub use runtime::RuntimeEntry;
pub use selection::{SelectError, Selection};
pub use types::*;
pub use value::Value;
