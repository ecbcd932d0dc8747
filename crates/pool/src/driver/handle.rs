//! What the rooms above use.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::AsyncRead,
    sync::{broadcast, mpsc, oneshot, watch},
};
use tutti_model::{
    BootTime, DeviceId, Name, Reading, ResourceId, Sharing, Value,
    message::{Delete, Follow, Get, LeaseId, LeaseMode, List, Put, Refusal, StoragePath, StreamHeader, Token},
    signed::Signed,
};

use super::{
    Clock,
    actor::Ask,
    client::{self, Download, Readings},
    local::Listing,
    network::Channel,
};
use crate::{
    catalogue::Catalogue,
    error::{PoolError, Subject},
    io::{Answer, Command, Event, HeldLease, KnownLease},
    limits::{MIN_LEASE, REQUEST_TIMEOUT},
    machine::Pool,
};

/// A call that the machine itself does not end in this time is given up.
const CALL_TIMEOUT: Duration = Duration::from_secs(2 * REQUEST_TIMEOUT.as_secs());
/// The lease that [`PoolHandle::control`] takes.
const SHORT_LEASE: Duration = Duration::from_secs(10);

/// The leases as this device knows them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LeaseBook {
    /// Those that this device holds.
    pub held: Vec<HeldLease>,
    /// Those on this device's resources, and those that other devices told of.
    pub known: Vec<KnownLease>,
}

impl LeaseBook {
    pub(super) fn of(pool: &Pool, now: BootTime) -> Self {
        Self { held: pool.held(now), known: pool.known_leases() }
    }
}

/// The pool of this device. Clones share it; when the last one is dropped, it stops.
#[derive(Clone)]
pub struct PoolHandle {
    me: DeviceId,
    calls: mpsc::Sender<Ask>,
    catalogues: watch::Receiver<Arc<Catalogue>>,
    leases: watch::Receiver<Arc<LeaseBook>>,
    events: broadcast::Sender<Event>,
    clock: Clock,
}

impl PoolHandle {
    pub(super) fn new(
        me: DeviceId,
        calls: mpsc::Sender<Ask>,
        catalogues: watch::Receiver<Arc<Catalogue>>,
        leases: watch::Receiver<Arc<LeaseBook>>,
        events: broadcast::Sender<Event>,
        clock: Clock,
    ) -> Self {
        Self { me, calls, catalogues, leases, events, clock }
    }

    // --- what there is ---------------------------------------------------------------------------------------

    /// This device.
    pub fn me(&self) -> DeviceId {
        self.me
    }

    /// The devices and what they offer, now.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogues.borrow().clone()
    }

    /// The devices and what they offer, now and at every change.
    pub fn catalogues(&self) -> watch::Receiver<Arc<Catalogue>> {
        self.catalogues.clone()
    }

    /// The leases that this device holds or knows of, now.
    pub fn leases(&self) -> Arc<LeaseBook> {
        self.leases.borrow().clone()
    }

    /// The leases, now and at every change.
    pub fn lease_books(&self) -> watch::Receiver<Arc<LeaseBook>> {
        self.leases.clone()
    }

    /// Whether this device may act on the lease at this moment. Ask before each effect.
    pub fn holds(&self, lease: &LeaseId) -> bool {
        let now = (self.clock)().0;
        self.leases.borrow().held.iter().any(|held| held.lease == *lease && held.until > now)
    }

    /// What happens from now on. Whoever is slow misses the oldest.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// This device is called this from now on, as far as the pool shows it. Who keeps the name for the next start is
    /// the node.
    pub async fn rename(&self, name: Name) -> Result<(), PoolError> {
        self.calls.send(Ask::Rename(name)).await.map_err(|_| PoolError::Stopped)
    }

    /// Stops the pool: what is under way ends, and every other call from now on fails.
    pub async fn stop(&self) {
        // If it fails, it has stopped already.
        let _ = self.calls.send(Ask::Stop).await;
    }

    // --- using resources -------------------------------------------------------------------------------------

    /// Takes a reading.
    pub async fn read(&self, resource: ResourceId) -> Result<Reading, PoolError> {
        match self.command(resource, Command::Read(resource)).await? {
            Answer::Reading(reading) => Ok(reading),
            _ => Err(self.no_answer(resource)),
        }
    }

    /// Sets a value: under the lease named, else under one that this device holds, else under none.
    pub async fn write(&self, resource: ResourceId, value: Value, token: Option<Token>) -> Result<(), PoolError> {
        self.command(resource, Command::Write { resource, value, token }).await.map(drop)
    }

    /// Sets a value; if the resource has one user at a time and this device is not the one, takes a short lease for it,
    /// whose token is given.
    pub async fn control(&self, resource: ResourceId, value: Value) -> Result<Option<Token>, PoolError> {
        let now = (self.clock)().0;
        let held = self.leases().held.iter().any(|held| held.lease.resource == resource && held.until > now);
        let sharing = self.catalogue().resource(&resource).map(|entry| entry.resource.sharing);
        if held || sharing != Some(Sharing::Exclusive) {
            match self.write(resource, value.clone(), None).await {
                // Its description has not come yet, or this one is old: nothing was set.
                Err(PoolError::Refused { why: Refusal::LeaseNeeded, .. }) if !held => {}
                done => return done.map(|()| None),
            }
        }
        let lease = self.hold(resource, LeaseMode::Exclusive, SHORT_LEASE).await?;
        let token = lease.id().token;
        let written = self.write(resource, value, Some(token)).await;
        if let Err(error) = lease.release().await {
            tracing::debug!(%error, "a short lease was not given back and ends by itself");
        }
        written.map(|()| Some(token))
    }

    /// Readings as they come, at most one in `min_interval`.
    pub async fn follow(&self, resource: ResourceId, min_interval: Duration) -> Result<Readings, PoolError> {
        let channel = self.open(StreamHeader::Follow(Follow { resource, min_interval })).await?;
        Ok(Readings::new(self.subject(resource), channel))
    }

    // --- leases ----------------------------------------------------------------------------------------------

    /// Takes a lease, which ends with its time unless it is renewed, by [`renew`](Self::renew) or, if `renewed`, by
    /// itself until it is released.
    pub async fn acquire(
        &self,
        resource: ResourceId,
        mode: LeaseMode,
        duration: Duration,
        renewed: bool,
    ) -> Result<HeldLease, PoolError> {
        let command = Command::Acquire { resource, mode, duration, renewed };
        let answer = self.command(resource, command).await?;
        self.lease_of(resource, answer)
    }

    /// Takes a lease that is renewed by itself as long as the value returned lives.
    pub async fn hold(&self, resource: ResourceId, mode: LeaseMode, duration: Duration) -> Result<Holding, PoolError> {
        let held = self.acquire(resource, mode, duration.max(MIN_LEASE), true).await?;
        Ok(Holding { lease: held.lease, pool: Some(self.clone()) })
    }

    /// Lets a lease last `duration` from now.
    pub async fn renew(&self, lease: LeaseId, duration: Duration) -> Result<HeldLease, PoolError> {
        let answer = self.command(lease.resource, Command::Renew { lease, duration }).await?;
        self.lease_of(lease.resource, answer)
    }

    /// Gives a lease back.
    pub async fn release(&self, lease: LeaseId) -> Result<(), PoolError> {
        self.command(lease.resource, Command::Release(lease)).await.map(drop)
    }

    /// Has the transfer of a lease to another device reserved.
    pub async fn reserve(&self, lease: LeaseId, to: DeviceId) -> Result<(), PoolError> {
        self.command(lease.resource, Command::Reserve { lease, to }).await.map(drop)
    }

    /// Hands a lease over to whom it is reserved for: that device takes it with what is returned.
    pub async fn hand_over(&self, lease: LeaseId) -> Result<Signed, PoolError> {
        match self.command(lease.resource, Command::HandOver(lease)).await? {
            Answer::HandOver(signed) => Ok(signed),
            _ => Err(self.no_answer(lease.resource)),
        }
    }

    /// Takes a lease over that another device handed over to this one.
    pub async fn take(&self, hand_over: Signed, duration: Duration, renewed: bool) -> Result<HeldLease, PoolError> {
        let claim = tutti_model::message::HandOver::peek(&hand_over).map_err(|_| PoolError::BadHandOver)?;
        let resource = claim.lease.resource;
        let answer = self.command(resource, Command::Take { hand_over, duration, renewed }).await?;
        self.lease_of(resource, answer)
    }

    // --- storage ---------------------------------------------------------------------------------------------

    /// Lists what is stored under paths that begin with `prefix`.
    pub async fn list(&self, resource: ResourceId, prefix: &str) -> Result<Listing, PoolError> {
        let channel = self.open(StreamHeader::List(List { resource, prefix: prefix.to_owned() })).await?;
        client::list(self.subject(resource), channel).await
    }

    /// Opens what is stored.
    pub async fn get(&self, resource: ResourceId, path: StoragePath) -> Result<Download, PoolError> {
        let channel = self.open(StreamHeader::Get(Get { resource, path })).await?;
        client::download(self.subject(resource), channel).await
    }

    /// Stores bytes until `bytes` ends, `size` of them if that is given. When this returns well, they are safe; if it
    /// fails, what was there before still is.
    pub async fn put(
        &self,
        resource: ResourceId,
        path: StoragePath,
        size: Option<u64>,
        bytes: &mut (impl AsyncRead + Unpin),
    ) -> Result<(), PoolError> {
        let channel = self.open(StreamHeader::Put(Put { resource, path, size, token: None })).await?;
        client::upload(self.subject(resource), channel, bytes).await
    }

    /// Removes what is stored.
    pub async fn delete(&self, resource: ResourceId, path: StoragePath) -> Result<(), PoolError> {
        let mut channel = self.open(StreamHeader::Delete(Delete { resource, path, token: None })).await?;
        client::expect_done(self.subject(resource), &mut channel).await
    }

    // --- how -------------------------------------------------------------------------------------------------

    async fn command(&self, about: ResourceId, command: Command) -> Result<Answer, PoolError> {
        let (reply, answer) = oneshot::channel();
        self.ask(about, Ask::Command { command, reply }, answer).await
    }

    async fn open(&self, header: StreamHeader) -> Result<Channel, PoolError> {
        let (reply, answer) = oneshot::channel();
        self.ask(header.resource(), Ask::Open { header, reply }, answer).await
    }

    async fn ask<T>(
        &self,
        about: ResourceId,
        ask: Ask,
        answer: oneshot::Receiver<Result<T, PoolError>>,
    ) -> Result<T, PoolError> {
        let asking = async {
            self.calls.send(ask).await.map_err(|_| PoolError::Stopped)?;
            answer.await.map_err(|_| PoolError::Stopped)?
        };
        let late = |_| PoolError::TimedOut { subject: Box::new(self.subject(about)), after: CALL_TIMEOUT };
        tokio::time::timeout(CALL_TIMEOUT, asking).await.map_err(late)?
    }

    fn lease_of(&self, about: ResourceId, answer: Answer) -> Result<HeldLease, PoolError> {
        match answer {
            Answer::Lease(held) => Ok(held),
            _ => Err(self.no_answer(about)),
        }
    }

    fn no_answer(&self, about: ResourceId) -> PoolError {
        let what = tutti_model::message::MessageError::Unknown;
        PoolError::Misbehaved { subject: Box::new(self.subject(about)), what }
    }

    fn subject(&self, resource: ResourceId) -> Subject {
        let catalogue = self.catalogues.borrow();
        let device = catalogue.device(resource.device).map_or(resource.name, |entry| entry.name);
        Subject { resource, device }
    }
}

/// A lease that is renewed by itself and given back when this is dropped.
pub struct Holding {
    lease: LeaseId,
    pool: Option<PoolHandle>,
}

impl Holding {
    /// Which.
    pub fn id(&self) -> LeaseId {
        self.lease
    }

    /// Whether it is still held. Ask before each effect.
    pub fn is_held(&self) -> bool {
        self.pool.as_ref().is_some_and(|pool| pool.holds(&self.lease))
    }

    /// Gives it back now.
    pub async fn release(mut self) -> Result<(), PoolError> {
        match self.pool.take() {
            Some(pool) => pool.release(self.lease).await,
            None => Ok(()),
        }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let lease = self.lease;
            // If the pool has stopped, or there is no time left, the lease ends with its time.
            runtime.spawn(async move { pool.release(lease).await });
        }
    }
}
