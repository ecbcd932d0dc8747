//! The control API: what the command and the console do, any program can do.
//!
//! [`routes`] lists every route once, with what answers it; a test holds it against the description that
//! `tutti-control` makes of the API. One file for each group of routes. What a request may cost is bounded in
//! [`server`], [`extract`] and [`sse`]; who may come in is decided in [`guard`].

#[cfg(feature = "apps")]
mod apps;
#[cfg(not(feature = "apps"))]
#[path = "apps_absent.rs"]
mod apps;
mod console;
mod cores;
mod device;
mod doctor;
mod error;
mod events;
mod extract;
mod guard;
mod history;
mod leases;
mod offers;
mod pairing;
mod refused;
mod resources;
mod routes;
mod satellites;
mod screens;
mod server;
mod sse;
mod storage;
mod system;
mod tree;

pub(crate) use self::{
    console::ConsoleDoor,
    device::devices,
    error::ApiError,
    events::Hub,
    guard::Token,
    resources::all as resources,
    routes::router,
    server::{BindError, Limits, Listeners},
    sse::Streams,
};
