//! One Tutti device: the rooms composed, its durable state, and its control API.
//!
//! [`run`] makes a device out of [`Options`] and runs it until it is told to stop. What it is made of:
//!
//! | part | what it does |
//! |---|---|
//! | [`state`] | one folder, one process, one crash-safe database: what was acknowledged is there after any crash |
//! | `discovery` | tells others of this device, and the fabric of others |
//! | `locals`, `sources` | this device's resources: drivers called where they may block, their latest values |
//! | `pool`, `files` | the same as the pool uses them |
//! | `satellites` | devices without a network that join through this one |
//! | `update` | new systems for a device that boots by `tutti-init` |
//! | `carried` | what the image of this device carries: apps, and other cores' firmware |
//! | `followed` | values of other devices' resources, for those who look at live values here |
//! | `apps` | apps: their packages, instances, moves and effects (feature `apps`) |
//! | `api` | the control API: every route, who may come in, what a request may cost |
//!
//! ```text
//!            control API (Unix socket, loopback TCP with a token)
//!                 │
//!               node ──── pool ──── fabric ──── iroh
//!              │    ╲       │ ╲        │ ╲
//!          locals    state ─┴──────────┘  discovery (mDNS, runtime folder)
//!              │
//!           drivers (hardware, storage, screens, outside programs, simulated)
//! ```
//!
//! # A device's life
//! 1. Its state folder is locked and its database checked; its key is read, or made at the first start.
//! 2. The rooms start, each on what it stands on; whatever fails is a [`RunError`] that says what to do, and nothing in
//!    the folder was changed that would stop the next start.
//! 3. `ready` is called. From here on nothing but the user's word ends it: a full disk, lost interfaces, drivers that
//!    hang, other devices that misbehave each cost what they concern.
//! 4. It stops: requests under way get two seconds, the others are told goodbye, the database is closed. A device that
//!    is killed instead loses nothing that it had acknowledged.
//!
//! No decision depends on the calendar: a clock that says 1970 is a warning of the doctor and nothing else.
#![forbid(unsafe_code)]

mod api;
#[cfg(feature = "apps")]
mod apps;
mod carried;
mod convert;
mod cores;
mod discovery;
mod error;
mod files;
mod followed;
mod history;
mod locals;
mod lock;
mod node;
mod options;
mod pool;
mod resolve;
mod run;
mod satellites;
mod sources;
pub mod state;
mod stop;
mod stores;
mod timeline;
mod tree;
mod update;

pub use error::{ApiError, RunError};
pub use options::{Options, Ready, StorageOptions};
pub use run::{IDENTITY, run};

use std::io;

/// The tokio runtime for one device: two threads for what never blocks, and room for what does.
///
/// # Errors
/// If the operating system gives no threads.
pub fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(64)
        .thread_name("tutti")
        .enable_all()
        .build()
}
