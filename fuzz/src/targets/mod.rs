//! The targets, one file for each room.

pub(crate) mod model;
pub(crate) mod pairing;
pub(crate) mod ticket;
