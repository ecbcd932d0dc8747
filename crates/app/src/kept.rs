//! What the host keeps for an app beside the app's own state.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tutti_model::WallTime;

/// The most bytes of keys and values in an app's `kv`.
pub const MAX_KV: usize = 64 * 1024;
/// The most timers that are set at a time.
pub const MAX_TIMERS: usize = 64;

/// What the host keeps for an app: moves along.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Its own small store.
    pub kv: BTreeMap<String, Vec<u8>>,
    /// When which timer goes off, by calendar time.
    pub timers: BTreeMap<u32, WallTime>,
    /// What it follows, and at which least interval in milliseconds.
    pub follows: BTreeMap<String, u32>,
}

impl Kept {
    /// The bytes of keys and values together.
    pub(crate) fn kv_size(&self) -> usize {
        self.kv.iter().map(|(key, value)| key.len() + value.len()).sum()
    }

    /// Whether it is within its bounds: for what came from elsewhere.
    pub fn is_sound(&self) -> bool {
        self.kv_size() <= MAX_KV && self.timers.len() <= MAX_TIMERS && self.follows.len() <= MAX_TIMERS
    }
}
