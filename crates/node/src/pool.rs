//! This device's resources as the pool uses them, and the pool started with them.

use std::sync::{Arc, OnceLock};

use ed25519_dalek::SigningKey;
use futures_util::future::{BoxFuture, FutureExt};
use tokio::{sync::watch, task::spawn_blocking};
use tutti_fabric::Fabric;
use tutti_model::{
    DeviceId, Name, Reading, ResourceDescription, Value,
    message::{Refusal, StorageEntry, StoragePath, StorageUsage},
};
use tutti_pool::{
    BootId, Catalogue, Identity, Satellite,
    driver::{self, Caller, Config, Listing, LocalResources, PoolHandle, StorageSink, StoredFile},
    limits::MAX_LISTED,
};
use tutti_resources::storage::{self, Storage};

use crate::{
    error::RunError,
    files::{self, FileReader, FileWriter},
    locals::Locals,
    satellites::Satellites,
    sources::Sources,
    state::{State, Table},
    stores::Part,
};

/// Starts the pool with these resources.
pub(crate) async fn start(
    fabric: &Fabric,
    state: &State,
    key: &SigningKey,
    identity: Identity,
    locals: &Locals,
    sources: &Sources,
    satellites: &Satellites,
) -> Result<PoolHandle, RunError> {
    let clock = fabric.clock();
    let config = Config {
        signing_key: key.clone(),
        identity,
        boot: BootId(clock.boot()),
        clock: Arc::new(move || (clock.now(), clock.wall())),
    };
    let names = Arc::new(OnceLock::new());
    let own =
        Own { locals: locals.clone(), sources: sources.clone(), satellites: satellites.clone(), names: names.clone() };
    let store = Arc::new(Part(state.clone(), Table::Pool));
    let pool = driver::start(config, Arc::new(fabric.clone()), store, Arc::new(own)).await.map_err(RunError::Pool)?;
    // Nobody else has set it.
    let _ = names.set(pool.catalogues());
    Ok(pool)
}

/// This device's resources.
struct Own {
    locals: Locals,
    sources: Sources,
    satellites: Satellites,
    /// What the others are called.
    names: Arc<OnceLock<watch::Receiver<Arc<Catalogue>>>>,
}

impl Own {
    fn name_of(&self, device: DeviceId) -> Option<Name> {
        let catalogue = self.names.get()?.borrow().clone();
        Some(catalogue.device(device)?.name)
    }

    fn storage(&self, name: &Name) -> Option<Storage> {
        self.locals.driver(name)?.storage().cloned()
    }

    /// Does something with a storage where it may block.
    async fn with_storage<T: Send + 'static>(
        &self,
        name: Name,
        path: StoragePath,
        work: impl FnOnce(Storage, storage::StoragePath) -> Result<T, storage::StorageError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let storage = self.storage(&name).ok_or(Refusal::Unsupported)?;
        let path = storage::StoragePath::new(path.as_str()).map_err(|error| Refusal::failed(&error))?;
        let done = spawn_blocking(move || work(storage, path)).await;
        done.map_err(|error| Refusal::failed(&error))?.map_err(|error| files::refusal(&error))
    }
}

impl LocalResources for Own {
    fn describe(&self) -> watch::Receiver<Arc<Vec<ResourceDescription>>> {
        self.locals.descriptions()
    }

    fn satellites(&self) -> watch::Receiver<Arc<Vec<Satellite>>> {
        self.satellites.shown()
    }

    fn of_satellite(&self, device: DeviceId) -> Option<Arc<dyn LocalResources>> {
        self.satellites.resources_of(device)
    }

    fn read(&self, name: Name) -> BoxFuture<'_, Result<Reading, Refusal>> {
        async move { self.locals.read(&name).await }.boxed()
    }

    fn write(&self, name: Name, value: Value, caller: Caller) -> BoxFuture<'_, Result<(), Refusal>> {
        let (sources, from) = (self.sources.clone(), self.name_of(caller.device));
        async move { self.locals.change(&name, move |driver| sources.write(driver, &value, caller.device, from)).await }
            .boxed()
    }

    fn follow(&self, name: Name) -> Result<watch::Receiver<Option<Reading>>, Refusal> {
        self.locals.follow(&name).ok_or(Refusal::NoSuchResource)
    }

    fn list(&self, name: Name, prefix: String) -> BoxFuture<'_, Result<Listing, Refusal>> {
        async move {
            let storage = self.storage(&name).ok_or(Refusal::Unsupported)?;
            let listed = spawn_blocking(move || list(&storage, &prefix)).await;
            listed.map_err(|error| Refusal::failed(&error))?.map_err(|error| files::refusal(&error))
        }
        .boxed()
    }

    fn get(&self, name: Name, path: StoragePath) -> BoxFuture<'_, Result<StoredFile, Refusal>> {
        async move {
            let file = self.with_storage(name, path, |storage, path| storage.get(&path)).await?;
            let (size, modified) = (file.stored.size, file.stored.modified);
            Ok(StoredFile { size, modified, bytes: Box::new(FileReader::new(file)) })
        }
        .boxed()
    }

    fn put(
        &self,
        name: Name,
        path: StoragePath,
        size: Option<u64>,
    ) -> BoxFuture<'_, Result<Box<dyn StorageSink>, Refusal>> {
        async move {
            let upload = self.with_storage(name, path, move |storage, path| storage.begin(path, size)).await?;
            Ok(Box::new(FileWriter::new(upload)) as Box<dyn StorageSink>)
        }
        .boxed()
    }

    fn delete(&self, name: Name, path: StoragePath) -> BoxFuture<'_, Result<(), Refusal>> {
        async move { self.with_storage(name, path, |storage, path| storage.delete(&path).map(drop)).await }.boxed()
    }
}

fn list(storage: &Storage, prefix: &str) -> Result<Listing, storage::StorageError> {
    let mut entries = Vec::new();
    let mut after: Option<storage::StoragePath> = None;
    while entries.len() < MAX_LISTED {
        let page = storage.list(prefix, after.as_ref().map(storage::StoragePath::as_str), storage::MAX_PAGE)?;
        entries.extend(page.files.iter().filter_map(|file| {
            // What the pool could not name could not be asked for either.
            let path = StoragePath::new(file.path.as_str()).ok()?;
            Some(StorageEntry { path, size: file.size, modified: file.modified })
        }));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let usage = storage.usage();
    Ok(Listing { entries, usage: StorageUsage { used: usage.used, quota: usage.quota } })
}
