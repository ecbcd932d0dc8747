//! Those who use a device: they read, follow, lease, write and store, here and elsewhere, whatever the weather.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{RngExt, rngs::SmallRng};
use tokio::{
    io::AsyncReadExt,
    time::{sleep, timeout},
};
use tutti_fabric::{Fabric, Service, transport::Priority};
use tutti_model::{
    DeviceId, ResourceId, Value,
    message::{LeaseMode, Request, StoragePath, Token, Write},
    signed::Signed,
};
use tutti_pool::{HeldLease, PoolError, driver::PoolHandle};

use super::{device::Around, house::name, watch::Watch};

/// Words by which leases are handed over, on their way outside of the pool.
pub type Mailboxes = Mutex<BTreeMap<DeviceId, Vec<Signed>>>;

pub async fn watch_leases(pool: PoolHandle, watch: Arc<Watch>) {
    let mut books = pool.lease_books();
    while books.changed().await.is_ok() {
        watch.beliefs_changed();
    }
}

pub async fn watch_group(fabric: Fabric, watch: Arc<Watch>) {
    let mut view = fabric.view();
    loop {
        let members = view.borrow_and_update().group.members.keys().copied().collect();
        watch.sees_group(fabric.id(), members);
        if view.changed().await.is_err() {
            return;
        }
    }
}

pub struct User {
    pool: PoolHandle,
    fabric: Fabric,
    around: Around,
    watch: Arc<Watch>,
    rng: SmallRng,
}

impl User {
    pub fn new(pool: PoolHandle, fabric: Fabric, around: Around, watch: Arc<Watch>, rng: SmallRng) -> Self {
        Self { pool, fabric, around, watch, rng }
    }

    pub async fn run(mut self) {
        loop {
            sleep(Duration::from_millis(self.rng.random_range(5..300))).await;
            let owner = self.around.all[self.rng.random_range(0..self.around.all.len())];
            // That it fails is to be expected here: the checks say what may not happen.
            let _ = self.use_something(owner).await;
        }
    }

    async fn use_something(&mut self, owner: DeviceId) -> Result<(), PoolError> {
        let thing = |what: &str| ResourceId { device: owner, name: name(what) };
        let duration = Duration::from_millis(self.rng.random_range(500..8_000));
        let renewed = self.rng.random_bool(0.3);
        let held = self.pool.leases().held.clone();
        let mine = (!held.is_empty()).then(|| held[self.rng.random_range(0..held.len())]);
        match (self.rng.random_range(0..22), mine) {
            (0..4, _) => {
                self.pool.read(thing("warmth")).await?;
                self.watch.read(self.pool.me(), owner);
            }
            (4, _) => self.follow(thing("warmth")).await?,
            (5, Some(lease)) => drop(self.pool.renew(lease.lease, duration).await?),
            (6, Some(lease)) => self.pool.release(lease.lease).await?,
            (7, Some(lease)) => self.hand_over(lease).await?,
            (8, _) => {
                let word = self
                    .around
                    .mailboxes
                    .lock()
                    .expect("nobody panics with it")
                    .get_mut(&self.pool.me())
                    .and_then(Vec::pop);
                if let Some(word) = word {
                    self.pool.take(word, duration, renewed).await?;
                    self.watch.count("leases taken over");
                }
            }
            (9..14, Some(lease)) => self.pool.write(lease.lease.resource, Value::Bool(true), None).await?,
            (14, _) => drop(self.pool.control(thing("lamp"), Value::Bool(true)).await?),
            (15, _) => self.replay(thing("lamp")).await,
            (16, _) => self.store(thing("disk")).await?,
            (17, _) => self.fetch(thing("disk")).await?,
            _ => {
                // Often the same lamp, so that there is something to fight over.
                let first = ResourceId { device: self.around.all[0], name: name("lamp") };
                let lamp = if self.rng.random_bool(0.6) { first } else { thing("lamp") };
                self.pool.acquire(lamp, LeaseMode::Exclusive, duration, renewed).await?;
            }
        }
        Ok(())
    }

    async fn follow(&mut self, sensor: ResourceId) -> Result<(), PoolError> {
        let mut readings = self.pool.follow(sensor, Duration::ZERO).await?;
        for _ in 0..3 {
            let Ok(Some(reading)) = timeout(Duration::from_secs(1), readings.next()).await else { break };
            reading?;
            self.watch.read(self.pool.me(), sensor.device);
            self.watch.count("readings followed");
        }
        Ok(())
    }

    async fn hand_over(&mut self, held: HeldLease) -> Result<(), PoolError> {
        let to = self.around.all[self.rng.random_range(0..self.around.all.len())];
        self.pool.reserve(held.lease, to).await?;
        let word = self.pool.hand_over(held.lease).await?;
        self.watch.count("leases handed over");
        self.around.mailboxes.lock().expect("nobody panics with it").entry(to).or_default().push(word);
        Ok(())
    }

    /// A confused or dishonest device acts under a token that it may have had once.
    async fn replay(&mut self, lamp: ResourceId) {
        let token = self.rng.random_bool(0.9).then(|| Token(self.rng.random_range(0..30)));
        let write = Request::Write(Write { resource: lamp, value: Value::Bool(false), token });
        let Ok(bytes) = write.emit() else { return };
        let asked = self.fabric.request(
            lamp.device,
            Service::POOL,
            Priority::Interactive,
            bytes.into(),
            Duration::from_secs(5),
        );
        if asked.await.is_ok() {
            self.watch.count("old tokens tried");
        }
    }

    /// Stores a run of equal bytes, under a path that others write to as well.
    async fn store(&mut self, disk: ResourceId) -> Result<(), PoolError> {
        let path = StoragePath::new(["a", "b"][self.rng.random_range(0..2)]).expect("a path");
        let bytes = vec![self.rng.random(); self.rng.random_range(0..20_000)];
        self.pool.put(disk, path, Some(bytes.len() as u64), &mut bytes.as_slice()).await?;
        self.watch.count("things stored");
        Ok(())
    }

    async fn fetch(&mut self, disk: ResourceId) -> Result<(), PoolError> {
        let entries = self.pool.list(disk, "").await?.entries;
        let Some(entry) = entries.first() else { return Ok(()) };
        let mut download = self.pool.get(disk, entry.path.clone()).await?;
        let mut bytes = Vec::new();
        if download.read_to_end(&mut bytes).await.is_ok() {
            self.watch.count("things fetched");
            if bytes.len() as u64 != download.size || bytes.iter().any(|byte| Some(byte) != bytes.first()) {
                self.watch.broken(format!("{} gave {} bytes of different writes", disk, bytes.len()));
            }
        }
        Ok(())
    }
}
