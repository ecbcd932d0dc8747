//! Apps: written once, run where they fit, moved while they run.
#![forbid(unsafe_code)]

pub mod carry;
pub mod effects;
pub mod handover;
pub mod home;
pub mod ids;
pub mod package;
#[cfg(feature = "runtime")]
pub mod runtime;
pub mod snapshot;
