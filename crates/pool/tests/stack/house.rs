//! The resources of a simulated device: a sensor, an actuator for one at a time, a storage.

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::{BoxFuture, FutureExt};
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::{sync::watch, time::sleep};
use tutti_model::{
    DeviceId, Name, Reading, ResourceDescription, ResourceId, ResourceKind, Sharing, Unit, Value, WallTime,
    message::{Refusal, StorageEntry, StoragePath, StorageUsage},
};
use tutti_pool::driver::{Caller, Listing, LocalResources, StorageSink, StoredFile};

use super::watch::Watch;

pub const QUOTA: usize = 100_000;

type Files = Arc<Mutex<BTreeMap<StoragePath, Vec<u8>>>>;

pub struct House {
    id: DeviceId,
    offers: watch::Sender<Arc<Vec<ResourceDescription>>>,
    warmth: watch::Sender<Option<Reading>>,
    /// They survive crashes.
    files: Files,
    rng: Mutex<SmallRng>,
    watch: Arc<Watch>,
}

pub fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

fn offers(sensors: usize) -> Vec<ResourceDescription> {
    let mut disk = ResourceDescription::actuator(name("disk"), Unit::EMPTY);
    disk.kind = ResourceKind::Storage;
    disk.sharing = Sharing::Shared;
    let more = (0..sensors).map(|n| ResourceDescription::sensor(name(&format!("sensor-{n}")), Unit::EMPTY));
    let few = [
        ResourceDescription::sensor(name("warmth"), Unit::EMPTY),
        ResourceDescription::actuator(name("lamp"), Unit::EMPTY),
        disk,
    ];
    few.into_iter().chain(more).collect()
}

impl House {
    /// With so many sensors besides.
    pub fn new(id: DeviceId, seed: u64, sensors: usize, watch: Arc<Watch>) -> Arc<Self> {
        let first = Reading { value: Value::Int(0), at: WallTime::default() };
        Arc::new(Self {
            id,
            offers: watch::channel(Arc::new(offers(sensors))).0,
            warmth: watch::channel(Some(first)).0,
            files: Files::default(),
            rng: Mutex::new(SmallRng::seed_from_u64(seed)),
            watch,
        })
    }

    /// From now on it offers so many sensors besides.
    pub fn offer(&self, sensors: usize) {
        self.offers.send_replace(Arc::new(offers(sensors)));
    }

    pub fn warm(&self, value: i64) {
        self.warmth.send_replace(Some(Reading { value: Value::Int(value), at: WallTime::default() }));
    }

    /// Mostly at once, now and then longer than a device has patience.
    fn takes(&self) -> Duration {
        let mut rng = self.rng.lock().expect("nobody panics with it");
        let longest = if rng.random_bool(0.15) { 3_000 } else { 20 };
        Duration::from_millis(rng.random_range(0..longest))
    }
}

struct Sink {
    path: StoragePath,
    bytes: Vec<u8>,
    files: Files,
}

impl tokio::io::AsyncWrite for Sink {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.bytes.len() + bytes.len() > QUOTA {
            return Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into()));
        }
        self.bytes.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl StorageSink for Sink {
    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<(), Refusal>> {
        self.files.lock().expect("nobody panics with it").insert(self.path, self.bytes);
        std::future::ready(Ok(())).boxed()
    }
}

impl LocalResources for House {
    fn describe(&self) -> watch::Receiver<Arc<Vec<ResourceDescription>>> {
        self.offers.subscribe()
    }

    fn read(&self, _: Name) -> BoxFuture<'_, Result<Reading, Refusal>> {
        async move {
            sleep(self.takes()).await;
            self.warmth.borrow().clone().ok_or(Refusal::Busy)
        }
        .boxed()
    }

    fn write(&self, thing: Name, _: Value, caller: Caller) -> BoxFuture<'_, Result<(), Refusal>> {
        let (takes, watch) = (self.takes(), self.watch.clone());
        let resource = ResourceId { device: self.id, name: thing };
        let work = async move {
            sleep(takes).await;
            watch.effect(resource, caller.token, caller.device);
        };
        async move {
            if self.watch.faults.deaf_drivers {
                // Whoever stops waiting for it does not stop it.
                return tokio::spawn(work).await.map_err(|_| Refusal::Busy);
            }
            work.await;
            Ok(())
        }
        .boxed()
    }

    fn follow(&self, _: Name) -> Result<watch::Receiver<Option<Reading>>, Refusal> {
        Ok(self.warmth.subscribe())
    }

    fn list(&self, _: Name, prefix: String) -> BoxFuture<'_, Result<Listing, Refusal>> {
        let files = self.files.lock().expect("nobody panics with it");
        let shown = files.iter().filter(|(path, _)| path.as_str().starts_with(&prefix));
        let entry = |(path, bytes): (&StoragePath, &Vec<u8>)| StorageEntry {
            path: path.clone(),
            size: bytes.len() as u64,
            modified: WallTime::default(),
        };
        let entries: Vec<_> = shown.map(entry).collect();
        let used = entries.iter().map(|entry| entry.size).sum();
        std::future::ready(Ok(Listing { entries, usage: StorageUsage { used, quota: QUOTA as u64 } })).boxed()
    }

    fn get(&self, _: Name, path: StoragePath) -> BoxFuture<'_, Result<StoredFile, Refusal>> {
        let bytes = self.files.lock().expect("nobody panics with it").get(&path).cloned();
        let file = bytes.map(|bytes| StoredFile {
            size: bytes.len() as u64,
            modified: WallTime::default(),
            bytes: Box::new(io::Cursor::new(bytes)),
        });
        std::future::ready(file.ok_or(Refusal::NotFound)).boxed()
    }

    fn put(&self, _: Name, path: StoragePath, _: Option<u64>) -> BoxFuture<'_, Result<Box<dyn StorageSink>, Refusal>> {
        let sink: Box<dyn StorageSink> = Box::new(Sink { path, bytes: Vec::new(), files: self.files.clone() });
        std::future::ready(Ok(sink)).boxed()
    }
}
