//! Where the fabric keeps what must survive.

use std::{collections::BTreeMap, fmt, sync::Mutex};

/// Small values under names, durable. Implementations may block; the fabric calls them on blocking threads.
pub trait Store: Send + Sync + 'static {
    /// The value last saved under the name.
    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// Saves a value. When this returns, the value survives a crash; if it fails, the old value is still there.
    fn save(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError>;
}

/// The operating system would not keep or give back the state. Carries its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreError(pub String);

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the state folder failed: {}", self.0)
    }
}

impl std::error::Error for StoreError {}

/// Runs work that may block where it blocks nobody. In a simulation, where a thread of its own would finish at a moment
/// that no seed decides, it is done at once.
pub fn run_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, StoreError>> + Send + 'static {
    #[cfg(feature = "sim")]
    if crate::transport::sim::on_this_thread() {
        return futures_util::future::Either::Left(std::future::ready(Ok(work())));
    }
    let running = tokio::task::spawn_blocking(work);
    let done = async move { running.await.map_err(|error| StoreError(error.to_string())) };
    #[cfg(feature = "sim")]
    return futures_util::future::Either::Right(done);
    #[cfg(not(feature = "sim"))]
    done
}

/// A store in memory: for tests and simulations, where "durable" means that it outlives the simulated crash.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<BTreeMap<String, Vec<u8>>>);

impl Store for MemoryStore {
    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().map_err(|_| StoreError("poisoned".into()))?.get(key).cloned())
    }

    fn save(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.0.lock().map_err(|_| StoreError("poisoned".into()))?.insert(key.to_owned(), bytes.to_vec());
        Ok(())
    }
}
