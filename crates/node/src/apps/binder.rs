//! What an app's wants are met by: found in the pool's catalogue, followed as devices come and go, bound anew after a move.
//!
//! An app says the words of its manifest; here each is tied to a resource that meets it, preferably one of this device, and stays with it as long as that is
//! there. A resource that has one user at a time is leased for as long as it is bound; when the instance moves, the lease is reserved for the target at its
//! owner before the pause, and handed over in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tutti_app::{
    handover::Why,
    home::Incoming,
    ids::InstanceId,
    package::{Manifest, Want},
    runtime::{
        host::{Event, Failure, Resources},
        input::Hand,
    },
};
use tutti_control::{AppBinding, AuditWhat};
use tutti_fabric::clock::Clock;
use tutti_model::{
    DeviceId, Name, Operation, Reading, ResourceId, ResourceKind, Role, Sharing, Value, WallTime,
    message::{HandOver, LeaseId, LeaseMode, Token},
    signed::Signed,
};
use tutti_pool::{Catalogue, Presence, driver::PoolHandle};

use crate::lock::lock;

use super::{
    Shared,
    actor::{Ask, Handle},
    hands::Hands,
};

/// How long a lease lasts without being renewed.
const LEASE: Duration = Duration::from_secs(30);
/// How often what is not there is looked for again.
const AGAIN: Duration = Duration::from_secs(2);
/// How often a resource is read that the app does not follow, in milliseconds.
const SELDOM: u32 = 1000;
/// How long reserving and handing over may take.
const PATIENCE: Duration = Duration::from_secs(4);

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
        let keeper = Keeper {
            shared: shared.clone(),
            app: manifest.name,
            instance,
            handle,
            table: table.clone(),
            follows: BTreeMap::new(),
            following: BTreeMap::new(),
            hands: Hands::default(),
            going: false,
        };
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

/// The task behind it.
struct Keeper {
    shared: Arc<Shared>,
    app: Name,
    instance: InstanceId,
    handle: Handle,
    table: Arc<Mutex<Table>>,
    follows: BTreeMap<String, u32>,
    following: BTreeMap<String, (ResourceId, u32, JoinHandle<()>)>,
    hands: Hands,
    going: bool,
}

impl Keeper {
    async fn run(mut self, mut asked: mpsc::UnboundedReceiver<Command>) {
        let mut catalogues = self.shared.pool.catalogues();
        loop {
            tokio::select! {
                command = asked.recv() => match command {
                    None => return,
                    Some(Command::Go) => self.going = true,
                    Some(Command::Follow(follows)) => self.follows = follows,
                    Some(Command::Reserve(to, done)) => {
                        let result = timeout(PATIENCE, self.reserve(to)).await.unwrap_or(Err(Why::Failed));
                        done(result);
                        continue;
                    }
                    Some(Command::HandOver(done)) => {
                        let leases = timeout(PATIENCE, self.hand_over()).await.unwrap_or_default();
                        done(leases);
                        continue;
                    }
                    Some(Command::Keep) => {}
                    Some(Command::Rest) => self.rest(),
                    Some(Command::Allow(leases)) => leases.into_iter().for_each(|lease| self.give_back(lease)),
                },
                changed = catalogues.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(AGAIN) => {}
            }
            if self.going {
                self.bind().await;
                self.follow();
            }
        }
    }

    /// Ties each want to what meets it now.
    async fn bind(&mut self) {
        let catalogue = self.shared.pool.catalogue();
        let names: Vec<String> = lock(&self.table).slots.keys().cloned().collect();
        for name in names {
            let Some((want, before)) = lock(&self.table)
                .slots
                .get(&name)
                .filter(|slot| slot.granted)
                .map(|slot| (slot.want.clone(), slot.bound.clone()))
            else {
                continue;
            };
            let held = |bound: &Bound| bound.lease.is_none_or(|lease| self.shared.pool.holds(&lease));
            let stays = before.as_ref().filter(|bound| held(bound)).map(|bound| bound.resource);
            let found = choose(&catalogue, &want, stays.or(before.as_ref().map(|bound| bound.resource)));
            let now = match found {
                Some((resource, false)) => Some(bound(&catalogue, resource, None)),
                Some((resource, true)) if stays == Some(resource) => before.clone(),
                Some((resource, true)) => {
                    self.lease(resource).await.map(|lease| bound(&catalogue, resource, Some(lease)))
                }
                None => None,
            };
            if now == before {
                continue;
            }
            if let Some(lease) = before.as_ref().and_then(|bound| bound.lease) {
                let kept = now.as_ref().and_then(|bound| bound.lease);
                if kept != Some(lease) {
                    self.give_back(lease);
                }
            }
            let changed = now.as_ref().map(|it| it.resource) != before.as_ref().map(|it| it.resource);
            {
                let mut table = lock(&self.table);
                table.used.remove(&name);
                if let Some(slot) = table.slots.get_mut(&name) {
                    if !slot.granted {
                        // It was taken back meanwhile.
                        if let Some(lease) = now.and_then(|bound| bound.lease) {
                            self.give_back(lease);
                        }
                        continue;
                    }
                    slot.last = slot.last.take().filter(|_| !changed);
                    slot.bound = now.clone();
                }
            }
            if changed {
                if let Some(bound) = &now {
                    let about = format!("{name} to {}", bound.label);
                    self.shared.audit(self.app.as_str(), Some(self.instance), AuditWhat::Bound, about);
                }
                let event = Event::Changed(name, now.is_some());
                self.handle.tell(Ask::Event(Incoming { origin: None, event }));
                self.handle.tell(Ask::Bound);
            }
        }
    }

    /// Takes a lease over that came with the instance, or a new one.
    async fn lease(&self, resource: ResourceId) -> Option<LeaseId> {
        let of = |signed: &Signed| HandOver::peek(signed).is_ok_and(|it| it.lease.resource == resource);
        let handed = {
            let mut table = lock(&self.table);
            let at = table.expected.iter().position(of);
            at.map(|at| table.expected.remove(at))
        };
        let pool = &self.shared.pool;
        if let Some(handed) = handed {
            match pool.take(handed, LEASE, true).await {
                Ok(held) => return Some(held.lease),
                Err(error) => tracing::info!(instance = %self.instance, %error, "a lease was not taken over"),
            }
        }
        match pool.acquire(resource, LeaseMode::Exclusive, LEASE, true).await {
            Ok(held) => Some(held.lease),
            Err(error) => {
                tracing::debug!(instance = %self.instance, %error, "a want waits for its lease");
                None
            }
        }
    }

    fn give_back(&self, lease: LeaseId) {
        give_back(&self.shared, lease);
    }

    fn rest(&mut self) {
        self.going = false;
        for lease in self.leases() {
            self.give_back(lease);
        }
        for slot in lock(&self.table).slots.values_mut() {
            slot.bound.take_if(|bound| bound.lease.is_some());
        }
    }

    fn leases(&self) -> Vec<LeaseId> {
        lock(&self.table).slots.values().filter_map(|slot| slot.bound.as_ref()?.lease).collect()
    }

    async fn reserve(&self, to: DeviceId) -> Result<(), Why> {
        for lease in self.leases() {
            self.shared.pool.reserve(lease, to).await.map_err(|error| {
                tracing::info!(instance = %self.instance, %error, "a lease cannot be reserved for a move");
                Why::Failed
            })?;
        }
        Ok(())
    }

    async fn hand_over(&self) -> Vec<Signed> {
        let mut handed = Vec::new();
        for lease in self.leases() {
            match self.shared.pool.hand_over(lease).await {
                Ok(signed) => handed.push(signed),
                Err(error) => tracing::info!(instance = %self.instance, %error, "a lease was not handed over"),
            }
            let mut table = lock(&self.table);
            for slot in table.slots.values_mut() {
                slot.bound.take_if(|bound| bound.lease == Some(lease));
            }
        }
        handed
    }

    /// Reads what is bound and can be read: as often as the app wants, or seldom.
    fn follow(&mut self) {
        let wanted: BTreeMap<String, (ResourceId, u32, bool)> = {
            let table = lock(&self.table);
            let reads = |slot: &Slot| matches!(slot.want.kind, ResourceKind::Sensor | ResourceKind::Input);
            let slots = table.slots.iter().filter(|(_, slot)| reads(slot));
            let wanted = slots.filter_map(|(name, slot)| {
                let resource = slot.bound.as_ref()?.resource;
                let interval = self.follows.get(name).copied().unwrap_or(SELDOM).max(20);
                Some((name.clone(), (resource, interval, slot.want.kind == ResourceKind::Input)))
            });
            wanted.collect()
        };
        self.following.retain(|name, (resource, interval, task)| {
            let stays = wanted.get(name).is_some_and(|(to, every, _)| (to, every) == (resource, interval));
            if !stays || task.is_finished() {
                task.abort();
            }
            stays && !task.is_finished()
        });
        for (name, (resource, interval, input)) in wanted {
            if self.following.contains_key(&name) {
                continue;
            }
            let (shared, table, handle, word) =
                (self.shared.clone(), self.table.clone(), self.handle.clone(), name.clone());
            let (app, instance) = (self.app, self.instance);
            let task = tokio::spawn(async move {
                let every = Duration::from_millis(interval.into());
                let Ok(mut readings) = shared.pool.follow(resource, every).await else { return };
                let mut first = true;
                let mut hand = Hand::default();
                while let Some(Ok(reading)) = readings.next().await {
                    if std::mem::take(&mut first) {
                        shared.audit(app.as_str(), Some(instance), AuditWhat::Read, word.clone());
                    }
                    if let Some(slot) = lock(&table).slots.get_mut(&word) {
                        slot.last = Some(reading.clone());
                    }
                    match (&reading.value, input) {
                        (Value::Text(_), true) => {
                            if let Some(event) = hand.event(&word, &reading.value) {
                                handle.tell(Ask::Event(Incoming { origin: None, event }));
                            }
                        }
                        _ => handle.tell(Ask::Reading(word.clone(), reading)),
                    }
                }
            });
            self.following.insert(name, (resource, interval, task));
        }
        let table = lock(&self.table);
        let displays = table.slots.iter().filter(|(_, slot)| slot.want.kind == ResourceKind::Display);
        let displays: Vec<_> =
            displays.filter_map(|(name, slot)| Some((name.clone(), slot.bound.as_ref()?.resource))).collect();
        drop(table);
        self.hands.follow(&self.shared, &self.handle, &displays);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.following.values().for_each(|(_, _, task)| task.abort());
        for lease in self.leases() {
            give_back(&self.shared, lease);
        }
    }
}

fn give_back(shared: &Arc<Shared>, lease: LeaseId) {
    let pool: PoolHandle = shared.pool.clone();
    // If it fails, it ends with its time.
    shared.runtime.spawn(async move { pool.release(lease).await });
}

/// What meets a want best: what met it before, else something of this device, else of another; and whether it has one user at a time.
fn choose(catalogue: &Catalogue, want: &Want, before: Option<ResourceId>) -> Option<(ResourceId, bool)> {
    let role = catalogue.device(catalogue.me).and_then(|device| device.role).unwrap_or(Role::Guest);
    let meets = |entry: &tutti_pool::ResourceEntry<'_>| {
        let it = entry.resource;
        let operation = if it.readable && !it.writable { Operation::Read } else { Operation::Control };
        it.kind == want.kind
            && entry.device.presence != Presence::Offline
            && want.unit.is_none_or(|unit| unit == it.unit)
            && reaches(it, want)
            && it.access.allows(role, operation)
    };
    let rank = |entry: &tutti_pool::ResourceEntry<'_>| {
        let at = entry.device.via.unwrap_or(entry.device.device);
        (before != Some(entry.id()), at != catalogue.me, entry.device.name, entry.resource.name)
    };
    let best = catalogue.resources().filter(|entry| meets(entry)).min_by_key(|entry| rank(entry))?;
    let exclusive = best.resource.sharing == Sharing::Exclusive && best.resource.kind == ResourceKind::Actuator;
    Some((best.id(), exclusive))
}

/// Whether a resource's range reaches as far as is wanted. One that does not say its range is taken to.
fn reaches(resource: &tutti_model::ResourceDescription, want: &Want) -> bool {
    let bound = |name: &str| match resource.properties.get(&Name::new(name).ok()?)? {
        Value::Float(it) => Some(*it),
        Value::Int(it) => Some(*it as f64),
        _ => None,
    };
    let low = want.min.zip(bound("min")).is_none_or(|(wanted, has)| has <= wanted);
    let high = want.max.zip(bound("max")).is_none_or(|(wanted, has)| has >= wanted);
    low && high
}

/// The first required want of a manifest that nothing in the pool meets.
pub(crate) fn missing(catalogue: &Catalogue, manifest: &Manifest) -> Option<Name> {
    let mut wants = manifest.wants.iter().filter(|(_, want)| want.required);
    wants.find(|(_, want)| choose(catalogue, want, None).is_none()).map(|(name, _)| *name)
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
