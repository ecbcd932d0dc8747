//! What this device itself offers: the drivers in use, their latest values, and calls to them that cannot hang
//! the device.
//!
//! Drivers block, and a faulty bus may block them for ever. So every call runs on a thread that may block, there
//! are at most [`CALLS`] of them at a time, whoever waits does so for at most [`PATIENCE`], and a driver that has not
//! come back is not called again before it has.
//!
//! [`poll`] keeps the latest values fresh as long as somebody looks at them.

mod poll;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, Semaphore, watch};
use tutti_fabric::clock::Clock;
use tutti_model::{
    BootTime, Name, Reading, ResourceDescription, ResourceKind,
    message::{Refusal, explain},
};
use tutti_resources::{Driver, DriverError};

use crate::lock::lock;

/// Calls to drivers at a time.
const CALLS: usize = 4;

/// How long a call may take before whoever asked is told that there is no answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The drivers of this device. Clones share them.
#[derive(Clone)]
pub(crate) struct Locals {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    patience: Duration,
    entries: Mutex<BTreeMap<Name, Entry>>,
    descriptions: watch::Sender<Arc<Vec<ResourceDescription>>>,
    /// Counts changes of latest values.
    values: watch::Sender<u64>,
    /// A driver's value changed by itself.
    wake: Notify,
    calls: Arc<Semaphore>,
    interest: Mutex<Interest>,
}

#[derive(Default)]
struct Interest {
    until: BootTime,
}

struct Entry {
    driver: Arc<dyn Driver>,
    description: ResourceDescription,
    latest: watch::Sender<Option<Reading>>,
    /// When its value is worth taking again.
    due: BootTime,
    /// A call to it is under way.
    busy: Arc<AtomicBool>,
    /// Its value changed by itself since it was taken.
    changed: Arc<AtomicBool>,
}

impl Locals {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_patience(clock, PATIENCE)
    }

    fn with_patience(clock: Arc<dyn Clock>, patience: Duration) -> Self {
        let shared = Arc::new(Shared {
            clock,
            patience,
            entries: Mutex::default(),
            descriptions: watch::Sender::new(Arc::default()),
            values: watch::Sender::new(0),
            wake: Notify::new(),
            calls: Arc::new(Semaphore::new(CALLS)),
            interest: Mutex::default(),
        });
        Self { shared }
    }

    /// Uses these drivers from now on. Whatever is the same driver as before keeps its latest value. Of two with
    /// one name, the first counts.
    pub(crate) fn replace(&self, drivers: impl IntoIterator<Item = Arc<dyn Driver>>) {
        let now = self.shared.clock.now();
        let mut entries = self.entries();
        let mut before = std::mem::take(&mut *entries);
        for driver in drivers {
            let description = driver.description();
            let name = description.name;
            let entry = match before.remove(&name) {
                Some(entry) if Arc::ptr_eq(&entry.driver, &driver) => Entry { description, ..entry },
                _ => self.entry(driver, description, now),
            };
            entries.entry(name).or_insert(entry);
        }
        let descriptions: Vec<_> = entries.values().map(|entry| entry.description.clone()).collect();
        drop(entries);
        self.shared.descriptions.send_if_modified(|shown| {
            let changed = **shown != descriptions;
            if changed {
                *shown = Arc::new(descriptions);
            }
            changed
        });
        self.shared.wake.notify_one();
    }

    fn entry(&self, driver: Arc<dyn Driver>, description: ResourceDescription, now: BootTime) -> Entry {
        let changed = Arc::new(AtomicBool::new(false));
        if let Some(signal) = driver.changes() {
            let (shared, flag) = (Arc::downgrade(&self.shared), changed.clone());
            signal.hook(move || {
                flag.store(true, Ordering::Release);
                if let Some(shared) = shared.upgrade() {
                    shared.wake.notify_one();
                }
            });
        }
        Entry { driver, description, latest: watch::Sender::new(None), due: now, busy: Arc::default(), changed }
    }

    /// What is offered, now and at every change.
    pub(crate) fn descriptions(&self) -> watch::Receiver<Arc<Vec<ResourceDescription>>> {
        self.shared.descriptions.subscribe()
    }

    /// Grows whenever a latest value changes.
    pub(crate) fn values(&self) -> watch::Receiver<u64> {
        self.shared.values.subscribe()
    }

    /// The latest value of a resource, if it has one.
    pub(crate) fn latest(&self, name: &Name) -> Option<Reading> {
        self.entries().get(name)?.latest.borrow().clone()
    }

    /// The latest value of a resource, now and at every change. As long as what is returned lives, it is kept fresh.
    pub(crate) fn follow(&self, name: &Name) -> Option<watch::Receiver<Option<Reading>>> {
        let latest = self.entries().get(name)?.latest.subscribe();
        self.shared.wake.notify_one();
        Some(latest)
    }

    /// The driver of a resource.
    pub(crate) fn driver(&self, name: &Name) -> Option<Arc<dyn Driver>> {
        Some(self.entries().get(name)?.driver.clone())
    }

    /// Takes a reading now.
    pub(crate) async fn read(&self, name: &Name) -> Result<Reading, Refusal> {
        let value = self.call(name, |driver| driver.read()).await?;
        let reading = Reading { value, at: self.shared.clock.wall() };
        self.keep(name, reading.clone());
        Ok(reading)
    }

    /// Changes something by a driver, whose value is then taken anew.
    pub(crate) async fn change(
        &self,
        name: &Name,
        work: impl FnOnce(&dyn Driver) -> Result<(), DriverError> + Send + 'static,
    ) -> Result<(), Refusal> {
        self.call(name, work).await?;
        if let Some(entry) = self.entries().get(name) {
            entry.changed.store(true, Ordering::Release);
        }
        self.shared.wake.notify_one();
        Ok(())
    }

    /// Calls a driver where it may block.
    pub(crate) async fn call<T: Send + 'static>(
        &self,
        name: &Name,
        work: impl FnOnce(&dyn Driver) -> Result<T, DriverError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (driver, busy) = {
            let entries = self.entries();
            let entry = entries.get(name).ok_or(Refusal::NoSuchResource)?;
            (entry.driver.clone(), entry.busy.clone())
        };
        let calls = self.shared.calls.clone();
        let answer = tokio::time::timeout(self.shared.patience, async move {
            let turn = take_turn(&busy).await;
            let slot = calls.acquire_owned().await.map_err(|_| Refusal::Busy)?;
            tokio::task::spawn_blocking(move || {
                let _until_it_came_back = (turn, slot);
                work(driver.as_ref())
            })
            .await
            .map_err(|_| Refusal::Failed(explain(&"its driver is broken")))?
            .map_err(|error| refusal(&error))
        });
        answer.await.unwrap_or(Err(Refusal::TimedOut))
    }

    /// Somebody looks at the values for the time being: they are kept fresh for `duration` from now.
    pub(crate) fn look(&self, duration: Duration) {
        let mut interest = lock(&self.shared.interest);
        let now = self.shared.clock.now();
        let was_over = interest.until <= now;
        interest.until = interest.until.max(now + duration);
        if was_over {
            self.shared.wake.notify_one();
        }
    }

    /// The actuators that this user may not drive, with the file that is shut. Looks at the file system.
    pub(crate) fn shut_actuators(&self) -> Vec<(Name, PathBuf)> {
        let actuators: Vec<_> = self
            .entries()
            .values()
            .filter(|entry| entry.description.kind == ResourceKind::Actuator)
            .filter_map(|entry| Some((entry.description.name, entry.driver.origin()?.join("brightness"))))
            .collect();
        actuators
            .into_iter()
            .filter(|(_, file)| {
                rustix::fs::access(file, rustix::fs::Access::WRITE_OK) == Err(rustix::io::Errno::ACCESS)
            })
            .collect()
    }

    /// Keeps a value as the latest.
    fn keep(&self, name: &Name, reading: Reading) {
        let changed = match self.entries().get(name) {
            None => false,
            Some(entry) => {
                let changed = entry.latest.borrow().as_ref().is_none_or(|latest| latest.value != reading.value);
                entry.latest.send_replace(Some(reading));
                changed
            }
        };
        if changed {
            self.shared.values.send_modify(|count| *count += 1);
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<Name, Entry>> {
        lock(&self.shared.entries)
    }
}

/// The turn of one call to a driver; given back when the call comes back.
struct Turn(Arc<AtomicBool>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

async fn take_turn(busy: &Arc<AtomicBool>) -> Turn {
    // Calls take milliseconds and rarely meet: asking again is simpler than a queue, and as bounded.
    while busy.swap(true, Ordering::AcqRel) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Turn(busy.clone())
}

/// What a driver's error is to whoever asked from another device.
fn refusal(error: &DriverError) -> Refusal {
    match error {
        DriverError::NotReadable => Refusal::NotReadable,
        DriverError::NotWritable => Refusal::NotWritable,
        DriverError::WrongType { takes, .. } => Refusal::WrongType { needs: tutti_model::Text::lossy(takes) },
        DriverError::OutOfRange { min, max } => {
            Refusal::OutOfRange(explain(&format_args!("give one from {min} to {max}")))
        }
        DriverError::BadImage(_) => Refusal::OutOfRange(explain(error)),
        DriverError::TooLarge { max, .. } => Refusal::TooLarge { max: *max as u64 },
        DriverError::Busy { .. } => Refusal::Busy,
        DriverError::Gone(_) | DriverError::Withdrawn => Refusal::NoSuchResource,
        other => Refusal::Failed(explain(other)),
    }
}

#[cfg(test)]
mod tests;
