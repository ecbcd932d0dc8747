//! The targets, one file for each room or door.

pub(crate) mod amp;
pub(crate) mod app;
pub(crate) mod control;
pub(crate) mod device;
pub(crate) mod devicetree;
pub(crate) mod fabric;
pub(crate) mod group;
pub(crate) mod image;
pub(crate) mod kernel;
pub(crate) mod message;
pub(crate) mod model;
pub(crate) mod pairing;
pub(crate) mod rpmsg;
pub(crate) mod satellite;
pub(crate) mod screen;
pub(crate) mod ticket;
pub(crate) mod vhost;
