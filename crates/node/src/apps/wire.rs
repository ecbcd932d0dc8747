//! What devices say to each other about apps: [`tutti_app::wire`], and what is in a listing.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tutti_control::AppsState;

pub(crate) use tutti_app::wire::{Answer, Ask, CheckpointHead, Header, Notice, Order, parse};

/// What a device says of itself now and then. Versions that do not know how busy a device is pass that over, or say nothing of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Listing {
    /// Its packages and instances.
    #[serde(flatten)]
    pub(crate) state: AppsState,
    /// What other things on it take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) taken: Option<Taken>,
}

/// What other things than Tutti take of a device, in coarse steps (see `tutti_resources::load`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taken {
    /// Thousandths of a processor.
    pub(crate) processors: u32,
    /// Bytes of memory.
    pub(crate) memory: u64,
}

/// Something as bytes.
pub(crate) fn emit(what: &impl Serialize) -> Bytes {
    tutti_app::wire::emit(what).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Devices of before and after the word on how busy one is read each other's listings.
    #[test]
    fn a_listing_is_read_with_and_without_how_busy_the_device_is() {
        let before = serde_json::to_vec(&AppsState::default()).unwrap();
        let read: Listing = serde_json::from_slice(&before).unwrap();
        assert_eq!(read, Listing { state: AppsState::default(), taken: None });
        assert_eq!(serde_json::to_vec(&read).unwrap(), before);
        let taken = Some(Taken { processors: 250, memory: 1 << 30 });
        let now = serde_json::to_vec(&Listing { taken, ..read.clone() }).unwrap();
        assert_eq!(serde_json::from_slice::<AppsState>(&now).unwrap(), read.state);
        assert_eq!(serde_json::from_slice::<Listing>(&now).unwrap().taken, taken);
    }
}
