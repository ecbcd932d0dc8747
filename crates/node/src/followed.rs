//! Values of other devices' resources, followed for those who look at live values here.
//!
//! Nobody follows anything for its own sake: only while the event stream has readers, at most [`MOST`] resources, at
//! most one value a second of each. What was followed last keeps its latest value, whose time tells its age.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{sync::watch, task::JoinHandle, time::Instant};
use tutti_model::{Reading, ResourceId, ResourceKind};
use tutti_pool::Presence;

use crate::lock::lock;
use crate::node::Node;

/// The most resources followed at once.
const MOST: usize = 2048;

/// The least time between two values of one.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long after a follow broke it is tried again.
const RETRY: Duration = Duration::from_secs(3);

/// What is followed, and what was heard.
pub(crate) struct Followed {
    table: Arc<Mutex<Table>>,
    changes: Arc<watch::Sender<u64>>,
}

#[derive(Default)]
struct Table {
    values: BTreeMap<ResourceId, Reading>,
    tasks: BTreeMap<ResourceId, (JoinHandle<()>, Instant)>,
}

impl Followed {
    pub(crate) fn new() -> Self {
        Self { table: Arc::default(), changes: Arc::new(watch::Sender::new(0)) }
    }

    /// Grows with every value.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The latest value of a resource, if one was heard.
    pub(crate) fn latest(&self, resource: &ResourceId) -> Option<Reading> {
        lock(&self.table).values.get(resource).cloned()
    }

    /// The latest value of a resource that is followed now.
    pub(crate) fn current(&self, resource: &ResourceId) -> Option<Reading> {
        let table = lock(&self.table);
        table.tasks.get(resource).filter(|(task, _)| !task.is_finished())?;
        table.values.get(resource).cloned()
    }

    /// Notes a value that was heard in another way.
    pub(crate) fn heard(&self, resource: ResourceId, reading: Reading) {
        note(&self.table, &self.changes, resource, reading);
    }

    /// Follows what can be followed now, and nothing else.
    pub(crate) fn follow_all(&self, node: &Node) {
        let catalogue = node.catalogue();
        let all: BTreeSet<ResourceId> = catalogue.resources().map(|entry| entry.id()).collect();
        let wanted: BTreeSet<ResourceId> = catalogue
            .resources()
            .filter(|entry| entry.device.presence == Presence::Online)
            .filter(|entry| entry.resource.readable && entry.resource.kind != ResourceKind::Display)
            .map(|entry| entry.id())
            .take(MOST)
            .collect();
        let mut table = lock(&self.table);
        table.values.retain(|resource, _| all.contains(resource));
        table.tasks.retain(|resource, (task, begun)| {
            let stays = wanted.contains(resource);
            if !stays {
                task.abort();
            }
            stays && !(task.is_finished() && begun.elapsed() >= RETRY)
        });
        for resource in wanted {
            table.tasks.entry(resource).or_insert_with(|| {
                let (pool, shared, changes) = (node.pool.clone(), self.table.clone(), self.changes.clone());
                let task = tokio::spawn(async move {
                    let Ok(mut readings) = pool.follow(resource, INTERVAL).await else { return };
                    while let Some(Ok(reading)) = readings.next().await {
                        note(&shared, &changes, resource, reading);
                    }
                });
                (task, Instant::now())
            });
        }
    }

    /// Follows nothing any more.
    pub(crate) fn release(&self) {
        for (task, _) in std::mem::take(&mut lock(&self.table).tasks).into_values() {
            task.abort();
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        self.release();
    }
}

fn note(table: &Mutex<Table>, changes: &watch::Sender<u64>, resource: ResourceId, reading: Reading) {
    lock(table).values.insert(resource, reading);
    changes.send_modify(|count| *count += 1);
}
