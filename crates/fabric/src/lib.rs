//! Identity, trust group, pairing, discovery, presence and sessions between Tutti devices.
#![forbid(unsafe_code)]
pub mod addresses;
pub mod clock;
mod core;
mod desk;
mod dialler;
pub mod discovery;
mod error;
mod fabric;
mod frame;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod group;
pub mod identity;
mod join;
mod nearby;
pub mod pairing;
pub mod recovery;
pub mod service;
mod session;
pub mod store;
#[cfg(feature = "sim")]
pub mod testing;
pub mod ticket;
pub mod timing;
pub mod transport;
pub mod view;

pub use self::core::Random;
pub use desk::{Offer, OfferError};
pub use error::{GroupChangeError, StartError};
pub use fabric::{Config, Fabric};
pub use join::{JoinError, JoinTarget};
pub use service::{Channel, FabricError, Incoming, Reply, Service};
pub use store::{Store, StoreError, run_blocking};
pub use view::{GroupView, Nearby, Peer, Session, Source, View};
