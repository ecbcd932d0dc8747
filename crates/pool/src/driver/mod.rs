//! The async driver: binds a [`Pool`] to the fabric, a store and this device's resources.
//!
//! One task owns the machine and is the only one to touch it: it feeds it what happens and starts what it wants done.
//! Everything that can wait (sending, saving, reading a sensor, serving a stream) runs in a task of its own with a
//! time limit and reports back through one bounded queue. The machine bounds how many there are.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::sync::{broadcast, mpsc, watch};
use tutti_fabric::{Store, StoreError, run_blocking};
use tutti_model::{BootTime, WallTime};

use crate::{
    error::RestoreError,
    io::Identity,
    lease::owner::BootId,
    machine::{KEYS, Pool, Setup},
};

mod actor;
mod client;
mod frames;
mod handle;
mod local;
mod network;
mod perform;

pub use client::{Download, Readings};
pub use handle::{Holding, LeaseBook, PoolHandle};
pub use local::{Caller, Listing, LocalResources, StorageSink, StoredFile};
pub use network::{Channel, Incoming, Network, Sessions};

/// The clocks: time since boot, suspend included, and calendar time.
pub type Clock = Arc<dyn Fn() -> (BootTime, WallTime) + Send + Sync>;

/// What a pool is started with.
pub struct Config {
    /// This device's key.
    pub signing_key: ed25519_dalek::SigningKey,
    /// What this device is.
    pub identity: Identity,
    /// Which boot of the machine this is.
    pub boot: BootId,
    /// The clocks.
    pub clock: Clock,
}

/// Why the pool could not start.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum StartError {
    /// The store would not give back what it keeps.
    Store(StoreError),
    /// What it keeps cannot be used.
    Restore(RestoreError),
    /// The network ended before it began.
    Network,
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Store(StoreError(why)) => write!(f, "the saved state cannot be read: {why}"),
            Self::Restore(error) => error.fmt(f),
            Self::Network => f.write_str("the network is shutting down"),
        }
    }
}

impl std::error::Error for StartError {}

/// How many events wait for whoever listens; who is slower misses the oldest.
const EVENTS: usize = 256;
/// How many calls of this device wait for the machine; then callers wait.
const CALLS: usize = 64;
/// How many reports of tasks wait for the machine; then tasks wait.
const REPORTS: usize = 1024;
/// How long starting may take to read the saved state and learn the group.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// Starts the pool of this device. It runs until [`PoolHandle::stop`] or until the last handle is dropped.
pub async fn start(
    config: Config,
    network: Arc<dyn Network>,
    store: Arc<dyn Store>,
    local: Arc<dyn LocalResources>,
) -> Result<PoolHandle, StartError> {
    let saved = load(store.clone()).await?;
    let mut sessions = network.sessions();
    let first = tokio::time::timeout(START_TIMEOUT, futures_util::StreamExt::next(&mut sessions)).await;
    let first = first.ok().flatten().ok_or(StartError::Network)?;
    let (mut described, mut satellites) = (local.describe(), local.satellites());
    // Those that are there already are news to the machine.
    satellites.mark_changed();
    let resources = described.borrow_and_update().as_ref().clone();
    let setup = Setup {
        signing_key: config.signing_key,
        identity: config.identity,
        resources,
        boot: config.boot,
        run: rand::random(),
        saved,
    };
    let (now, wall) = (config.clock)();
    let pool = Pool::new(now, wall, setup, first.group.clone()).map_err(StartError::Restore)?;
    let (calls, from_handles) = mpsc::channel(CALLS);
    let (reports, from_tasks) = mpsc::channel(REPORTS);
    let (catalogue, catalogues) = watch::channel(pool.catalogue());
    let (leases, lease_books) = watch::channel(Arc::new(LeaseBook::of(&pool, now)));
    let (events, _) = broadcast::channel(EVENTS);
    let handle = PoolHandle::new(pool.me(), calls, catalogues, lease_books, events.clone(), config.clock.clone());
    let incoming = network.incoming();
    let actor = actor::Actor {
        pool,
        network,
        store,
        local,
        clock: config.clock,
        reports,
        catalogue,
        leases,
        events,
        tasks: tokio::task::JoinSet::new(),
        last_call: 0,
        parked: BTreeMap::new(),
        cuts: BTreeMap::new(),
        generations: BTreeMap::new(),
    };
    tokio::spawn(
        actor.run(first, actor::Sources { sessions, incoming, described, satellites, from_handles, from_tasks }),
    );
    Ok(handle)
}

async fn load(store: Arc<dyn Store>) -> Result<BTreeMap<&'static str, Vec<u8>>, StartError> {
    let loading = run_blocking(move || {
        let load = |key: &'static str| Ok(store.load(key)?.map(|bytes| (key, bytes)));
        KEYS.into_iter().map(load).filter_map(Result::transpose).collect::<Result<_, StoreError>>()
    });
    let stuck = || StartError::Store(StoreError(format!("no answer within {} s", START_TIMEOUT.as_secs())));
    let loaded = tokio::time::timeout(START_TIMEOUT, loading).await.map_err(|_| stuck())?;
    loaded.map_err(StartError::Store)?.map_err(StartError::Store)
}

#[cfg(test)]
mod tests;
