//! Who else is there: on the local network ([`mdns`]) and on this machine ([`samehost`]).
//!
//! Both speak through one channel of [`DiscoveryEvent`]s. What they say is a claim: anybody on the network can announce
//! any id with any name and address. It becomes a fact when the device is dialled and proves its key. Until then it is
//! good for a listing, and for an address worth trying.

#[cfg(feature = "iroh")]
pub mod mdns;
pub mod samehost;
pub(crate) mod table;
#[cfg(any(feature = "iroh", feature = "fuzzing"))]
pub(crate) mod txt;

use tokio::sync::mpsc;
use tutti_model::{DeviceId, Name};

use crate::{Nearby, Source};

pub use table::MAX_DEVICES;

/// The most addresses that are taken from one source for one device.
pub const MAX_ADDRS: usize = 16;
/// How many events wait at most. Sources keep what does not fit, and drop what is outdated by then.
pub const EVENT_QUEUE: usize = 256;

/// What a source of discovery says.
#[derive(Clone, Debug, PartialEq)]
pub enum DiscoveryEvent {
    /// The device is there, or something about it changed. Replaces what the same source said of it before.
    Found(Nearby),
    /// The source sees the device no more.
    Lost {
        /// Which device.
        device: DeviceId,
        /// Who says so.
        source: Source,
    },
}

impl DiscoveryEvent {
    /// The device that it is about.
    pub fn device(&self) -> DeviceId {
        match self {
            Self::Found(nearby) => nearby.device,
            Self::Lost { device, .. } => *device,
        }
    }
}

/// A channel that several sources can share.
pub fn channel() -> (mpsc::Sender<DiscoveryEvent>, mpsc::Receiver<DiscoveryEvent>) {
    mpsc::channel(EVENT_QUEUE)
}

/// What this device says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Its id.
    pub device: DeviceId,
    /// Its name.
    pub name: Name,
    /// The UDP port at which it is reached.
    pub port: u16,
    /// Whether it has a pairing code on offer.
    pub pairing_open: bool,
}
