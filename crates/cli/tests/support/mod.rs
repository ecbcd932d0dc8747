//! What the tests with real devices share.
#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod booted;
pub(crate) mod device;
pub(crate) mod hosts;
