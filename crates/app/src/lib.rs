//! Apps: written once, run where they fit, moved while they run.
#![forbid(unsafe_code)]

pub mod effects;
pub mod handover;
pub mod home;
pub mod ids;
