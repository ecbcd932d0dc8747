//! What a node implements to offer its resources.
//!
//! The pool has checked who asks, the resource's policy and the lease before any of these is called; the resource
//! checks the value. Each call is dropped when it takes longer than [`PERFORM_TIMEOUT`](crate::limits::PERFORM_TIMEOUT) or
//! is not allowed any more: then nothing more of it may happen.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};
use tutti_model::{
    DeviceId, Name, Reading, ResourceDescription, Role, Value, WallTime,
    message::{Refusal, StorageEntry, StoragePath, StorageUsage, Token},
};

use crate::io::Satellite;

/// For whom something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Which device.
    pub device: DeviceId,
    /// Its role in the group.
    pub role: Role,
    /// The lease that it acts under, for things that fence by themselves.
    pub token: Option<Token>,
}

/// What is stored, and how full the storage is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// What is stored, by path; at most [`MAX_LISTED`](crate::limits::MAX_LISTED).
    pub entries: Vec<StorageEntry>,
    /// How full the storage is.
    pub usage: StorageUsage,
}

/// A stored thing, open for reading.
pub struct StoredFile {
    /// Its bytes; so many are read.
    pub size: u64,
    /// When it was last changed.
    pub modified: WallTime,
    /// The bytes.
    pub bytes: Box<dyn AsyncRead + Send + Unpin>,
}

/// Where bytes to be stored go. Nothing is visible before [`commit`](Self::commit); dropped without it, nothing is left.
pub trait StorageSink: AsyncWrite + Send + Unpin {
    /// All bytes have come: keeps them, in place of what was there. When this returns, they survive a crash.
    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<(), Refusal>>;
}

/// The resources of one device: of this one, or of a satellite of it.
pub trait LocalResources: Send + Sync + 'static {
    /// What is offered, now and at every change.
    fn describe(&self) -> watch::Receiver<Arc<Vec<ResourceDescription>>>;

    /// The satellites that this device hosts, now and at every change. None, unless it says otherwise.
    fn satellites(&self) -> watch::Receiver<Arc<Vec<Satellite>>> {
        watch::channel(Arc::default()).1
    }

    /// The resources of one of them, if it is there.
    fn of_satellite(&self, _device: DeviceId) -> Option<Arc<dyn LocalResources>> {
        None
    }

    /// Takes a reading.
    fn read(&self, name: Name) -> BoxFuture<'_, Result<Reading, Refusal>>;

    /// Sets a value.
    fn write(&self, name: Name, value: Value, caller: Caller) -> BoxFuture<'_, Result<(), Refusal>>;

    /// Readings as they come; whoever is slow sees the latest. None until there is a first one.
    fn follow(&self, name: Name) -> Result<watch::Receiver<Option<Reading>>, Refusal>;

    /// Lists what is stored under paths that begin with `prefix`.
    fn list(&self, _name: Name, _prefix: String) -> BoxFuture<'_, Result<Listing, Refusal>> {
        unsupported()
    }

    /// Opens what is stored.
    fn get(&self, _name: Name, _path: StoragePath) -> BoxFuture<'_, Result<StoredFile, Refusal>> {
        unsupported()
    }

    /// Begins to store something, `size` bytes if that is known: the time to say that there is no room.
    fn put(
        &self,
        _name: Name,
        _path: StoragePath,
        _size: Option<u64>,
    ) -> BoxFuture<'_, Result<Box<dyn StorageSink>, Refusal>> {
        unsupported()
    }

    /// Removes what is stored.
    fn delete(&self, _name: Name, _path: StoragePath) -> BoxFuture<'_, Result<(), Refusal>> {
        unsupported()
    }
}

fn unsupported<T: Send + 'static>() -> BoxFuture<'static, Result<T, Refusal>> {
    std::future::ready(Err(Refusal::Unsupported)).boxed()
}
