//! One Tutti device: the rooms composed, its durable state, and its control API.
#![forbid(unsafe_code)]

mod api;
mod convert;
mod discovery;
mod error;
mod files;
mod followed;
mod locals;
mod node;
mod options;
mod pool;
mod resolve;
mod run;
mod sources;
pub mod state;
mod stop;
mod stores;

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
