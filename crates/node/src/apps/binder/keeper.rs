//! The task behind the bindings of an instance: it leases, follows and reads, and gives leases back.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use tutti_app::{
    handover::Why,
    home::Incoming,
    ids::InstanceId,
    runtime::{host::Event, input::Hand},
};
use tutti_control::AuditWhat;
use tutti_model::{
    DeviceId, Name, ResourceId, ResourceKind, Value,
    message::{HandOver, LeaseId, LeaseMode},
    signed::Signed,
};
use tutti_pool::driver::PoolHandle;

use super::{
    super::{
        Shared,
        actor::{Ask, Handle},
        hands::Hands,
    },
    Bound, Command, Slot, Table, bound,
    choose::choose,
};
use crate::lock::lock;

/// How long a lease lasts without being renewed.
const LEASE: Duration = Duration::from_secs(30);
/// How often what is not there is looked for again.
const AGAIN: Duration = Duration::from_secs(2);
/// How often a resource is read that the app does not follow, in milliseconds.
const SELDOM: u32 = 1000;
/// How long reserving and handing over may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// See the module's documentation.
pub(super) struct Keeper {
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
    /// One that waits for its first command.
    pub(super) fn new(
        shared: Arc<Shared>,
        app: Name,
        instance: InstanceId,
        handle: Handle,
        table: Arc<Mutex<Table>>,
    ) -> Self {
        let (follows, following) = (BTreeMap::new(), BTreeMap::new());
        Self { shared, app, instance, handle, table, follows, following, hands: Hands::default(), going: false }
    }

    pub(super) async fn run(mut self, mut asked: mpsc::UnboundedReceiver<Command>) {
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
