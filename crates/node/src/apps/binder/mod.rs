//! What an app's wants are met by: found in the pool's catalogue, followed as devices come and go, bound anew after a move.
//!
//! An app says the words of its manifest; here each is tied to a resource that meets it, preferably one of this device, and stays with it as long as that is
//! there. A resource that has one user at a time is leased for as long as it is bound; when the instance moves, the lease is reserved for the target at its
//! owner before the pause, and handed over in it.
//!
//! | part | what it does |
//! |---|---|
//! | here | what the instance says and asks, and what its app sees |
//! | [`keeper`] | the task that does it |
//! | [`choose`](mod@choose) | what meets a want best |

mod choose;
mod keeper;

pub(crate) use choose::missing;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use tokio::{sync::mpsc, task::JoinHandle};
use tutti_app::{
    handover::Why,
    ids::InstanceId,
    package::{Manifest, Want},
    runtime::host::{Failure, Resources},
};
use tutti_control::AppBinding;
use tutti_fabric::clock::Clock;
use tutti_model::{
    DeviceId, Name, Reading, ResourceId, WallTime,
    message::{LeaseId, Token},
    signed::Signed,
};
use tutti_pool::Catalogue;

use self::{choose::choose, keeper::Keeper};
use super::{Shared, actor::Handle};
use crate::lock::lock;

/// The bindings of one instance. They end when this is dropped, and leases are given back.
pub(crate) struct Binder {
    table: Arc<Mutex<Table>>,
    commands: mpsc::UnboundedSender<Command>,
    task: JoinHandle<()>,
}

enum Command {
    Go,
    Follow(BTreeMap<String, u32>),
    Reserve(DeviceId, Box<dyn FnOnce(Result<(), Why>) + Send>),
    HandOver(Box<dyn FnOnce(Vec<Signed>) + Send>),
    Keep,
    Rest,
    Allow(Vec<LeaseId>),
}

#[derive(Default)]
struct Table {
    slots: BTreeMap<String, Slot>,
    used: BTreeSet<String>,
    expected: Vec<Signed>,
}

struct Slot {
    want: Want,
    granted: bool,
    bound: Option<Bound>,
    last: Option<Reading>,
}

#[derive(Clone, PartialEq)]
struct Bound {
    resource: ResourceId,
    label: String,
    lease: Option<LeaseId>,
}

impl Binder {
    /// Bindings for an instance: nothing is leased or followed before [`go`](Self::go).
    pub(crate) fn prepare(shared: &Arc<Shared>, instance: InstanceId, manifest: &Manifest, handle: Handle) -> Self {
        let granted = shared.granted_wants(manifest.name);
        let catalogue = shared.pool.catalogue();
        let slots = manifest.wants.iter().map(|(name, want)| {
            let granted = granted.contains(name);
            // What is leased comes with its lease.
            let found = choose(&catalogue, want, None).filter(|(_, exclusive)| granted && !exclusive);
            let bound = found.map(|(resource, _)| bound(&catalogue, resource, None));
            (name.to_string(), Slot { want: want.clone(), granted, bound, last: None })
        });
        let table = Table { slots: slots.collect(), ..Table::default() };
        let table = Arc::new(Mutex::new(table));
        let (commands, asked) = mpsc::unbounded_channel();
        let keeper = Keeper::new(shared.clone(), manifest.name, instance, handle, table.clone());
        let task = shared.runtime.spawn(keeper.run(asked));
        Self { table, commands, task }
    }

    /// The instance runs here from now on.
    pub(crate) fn go(&self) {
        let _ = self.commands.send(Command::Go);
    }

    /// Leases that come with the instance.
    pub(crate) fn expect(&self, leases: Vec<Signed>) {
        lock(&self.table).expected = leases;
    }

    /// What the app sees of the world.
    pub(crate) fn world(&self) -> Box<dyn Resources> {
        Box::new(World(self.table.clone()))
    }

    /// What the app follows from now on.
    pub(crate) fn follow(&self, follows: &BTreeMap<String, u32>) {
        let _ = self.commands.send(Command::Follow(follows.clone()));
    }

    /// What meets a want now.
    pub(crate) fn resource(&self, name: &str) -> Option<ResourceId> {
        lock(&self.table).slots.get(name)?.bound.as_ref().map(|bound| bound.resource)
    }

    /// The token of the lease that is held on a resource.
    pub(crate) fn token(&self, resource: &ResourceId) -> Option<Token> {
        let table = lock(&self.table);
        let bound = table.slots.values().filter_map(|slot| slot.bound.as_ref());
        bound.filter(|bound| bound.resource == *resource).find_map(|bound| bound.lease).map(|lease| lease.token)
    }

    /// What meets a want, for people.
    pub(crate) fn label(&self, name: &str) -> String {
        let table = lock(&self.table);
        let label = table.slots.get(name).and_then(|slot| slot.bound.as_ref()).map(|bound| bound.label.clone());
        label.map_or_else(|| name.to_owned(), |label| format!("{name} ({label})"))
    }

    /// Whether this is used for the first time since it was bound.
    pub(crate) fn first_use(&self, name: &str) -> bool {
        let mut table = lock(&self.table);
        // Whoever names more has been audited enough.
        table.used.len() < 1024 && table.used.insert(name.to_owned())
    }

    /// What every want is met by.
    pub(crate) fn bound(&self) -> Vec<AppBinding> {
        let table = lock(&self.table);
        let binding = |(name, slot): (&String, &Slot)| AppBinding {
            want: name.clone(),
            resource: slot.bound.as_ref().map(|bound| bound.label.clone()),
        };
        table.slots.iter().map(binding).collect()
    }

    /// Has every lease reserved for that device.
    pub(crate) fn reserve(&self, to: DeviceId, done: impl FnOnce(Result<(), Why>) + Send + 'static) {
        let _ = self.commands.send(Command::Reserve(to, Box::new(done)));
    }

    /// Hands all leases over, if there are any; else says so at once.
    pub(crate) fn hand_over(&self, done: impl FnOnce(Vec<Signed>) + Send + 'static) -> bool {
        let any = lock(&self.table).slots.values().any(|slot| slot.bound.as_ref().is_some_and(|it| it.lease.is_some()));
        any && self.commands.send(Command::HandOver(Box::new(done))).is_ok()
    }

    /// It must not run here for now: its leases are given back.
    pub(crate) fn rest(&self) {
        let _ = self.commands.send(Command::Rest);
    }

    /// Owners allow these of its wants, and no others, from now on: what it may not use is let go at once. Those that it could use before, by name.
    pub(crate) fn allow(&self, wants: &[Name]) -> Vec<String> {
        let (mut gone, mut leases) = (Vec::new(), Vec::new());
        for (name, slot) in &mut lock(&self.table).slots {
            let granted = wants.iter().any(|want| want.as_str() == name);
            if slot.granted && !granted {
                gone.push(name.clone());
                slot.last = None;
                leases.extend(slot.bound.take().and_then(|bound| bound.lease));
            }
            slot.granted = granted;
        }
        let _ = self.commands.send(Command::Allow(leases));
        gone
    }

    /// It stays after all: what was handed over is leased again.
    pub(crate) fn keep(&self) {
        let _ = self.commands.send(Command::Keep);
    }
}

impl Drop for Binder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn bound(catalogue: &Catalogue, resource: ResourceId, lease: Option<LeaseId>) -> Bound {
    let device =
        catalogue.device(resource.device).map_or_else(|| resource.device.short().to_string(), |it| it.name.to_string());
    Bound { resource, label: format!("{device}/{}", resource.name), lease }
}

/// What an app sees of it.
struct World(Arc<Mutex<Table>>);

impl Resources for World {
    fn now(&mut self) -> WallTime {
        tutti_fabric::clock::MachineClock.wall()
    }

    fn random(&mut self, bytes: &mut [u8]) {
        rand::fill(bytes);
    }

    fn find(&mut self, name: &str) -> Result<Option<String>, Failure> {
        let table = lock(&self.0);
        let slot = table.slots.get(name).ok_or(Failure::UnknownName)?;
        if slot.granted { Ok(slot.bound.as_ref().map(|bound| bound.label.clone())) } else { Err(Failure::NotAllowed) }
    }

    fn read(&mut self, name: &str) -> Result<Reading, Failure> {
        let table = lock(&self.0);
        let slot = table.slots.get(name).ok_or(Failure::UnknownName)?;
        if !slot.granted {
            return Err(Failure::NotAllowed);
        }
        slot.last.clone().filter(|_| slot.bound.is_some()).ok_or(Failure::NotThere)
    }
}
