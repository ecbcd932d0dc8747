//! The handle of the fabric: what the rooms above use.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use tokio::{
    sync::{Semaphore, mpsc, watch},
    time::timeout,
};
use tutti_model::{DeviceId, Name, Role, VersionRange};

use crate::{
    addresses::AddressBook,
    clock::Clock,
    core::{Core, LearnError, Parts, Random, alone, keys},
    desk::{Offer, OfferDesk, OfferError},
    discovery::DiscoveryEvent,
    error::{GroupChangeError, StartError},
    group::{AppGrant, Group, GroupId},
    join::{self, JoinError, JoinTarget},
    pairing::{Joined, OFFER_LIFE},
    recovery::RecoveryWords,
    service::{Channel, FabricError, Incoming, Service},
    session,
    store::{Store, run_blocking},
    timing,
    transport::{CloseCode, Connection, Priority, Protocol, Transport},
    view::{RemovedFrom, Source, View},
};

/// The most connections that are being set up at once: with members, and with everybody else.
const MEMBERS_IN_SETUP: usize = 64;
const STRANGERS_IN_SETUP: usize = 8;

/// What a fabric is started with.
#[derive(Clone)]
pub struct Config {
    /// What this device is called in a group that it founds.
    pub name: Name,
    /// Its key. The transport must have the same one.
    pub key: SigningKey,
    /// The protocol versions that it speaks; [`VersionRange::SUPPORTED`] but for tests.
    pub versions: VersionRange,
    /// Its clocks.
    pub clock: Arc<dyn Clock>,
    /// Where nonces come from; the operating system, `Arc::new(rand::random)`, but for simulations. Keys and codes
    /// never come from here.
    pub random: Random,
}

/// One device's part of the fabric. Clones share it.
#[derive(Clone)]
pub struct Fabric {
    core: Arc<Core>,
    desk: OfferDesk,
}

impl Fabric {
    /// Starts: loads the state (or founds a group of one), takes connections, and dials the other members.
    /// Needs a tokio runtime. It runs until [`shutdown`](Self::shutdown).
    ///
    /// # Errors
    /// If the state cannot be read, or does not hold what it should: nothing is changed then.
    pub async fn start(
        config: Config,
        transport: Arc<dyn Transport>,
        store: Arc<dyn Store>,
    ) -> Result<Self, StartError> {
        let saved = store.clone();
        let (group, removed, addresses) = run_blocking(move || {
            Ok::<_, crate::store::StoreError>((
                saved.load(keys::GROUP)?,
                saved.load(keys::REMOVED)?,
                saved.load(keys::ADDRESSES)?,
            ))
        })
        .await??;
        let me = transport.local_id();
        let (group, is_new) = match group {
            Some(bytes) => (Group::decode(&bytes).map_err(StartError::Group)?, false),
            None => (alone(&config.key, config.name, (config.random)(), config.clock.as_ref()), true),
        };
        if group.role_of(me).is_none() {
            return Err(StartError::NotMine);
        }
        if is_new {
            let (store, bytes) = (store.clone(), group.encode());
            run_blocking(move || store.save(keys::GROUP, &bytes)).await??;
        }
        let removed = removed.filter(|bytes| !bytes.is_empty()).and_then(|bytes| {
            let (group, by, by_name) = postcard::from_bytes(&bytes).ok()?;
            Some(RemovedFrom { group, by, by_name })
        });
        // Addresses are only hints: what cannot be read is learnt again.
        let book = addresses.and_then(|bytes| AddressBook::decode(&bytes, config.clock.now()).ok()).unwrap_or_default();
        let core = Core::new(Parts {
            name: config.name,
            key: config.key,
            versions: config.versions,
            random: config.random,
            transport,
            store,
            clock: config.clock,
            group,
            removed,
            book,
        });
        let desk = OfferDesk::start(core.clone()).await?;
        tokio::spawn(accept(core.clone(), desk.clone()));
        tokio::spawn(save_addresses(core.clone()));
        Ok(Self { core, desk })
    }

    /// This device.
    pub fn id(&self) -> DeviceId {
        self.core.me
    }

    /// The addresses at which others can dial this device.
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.core.transport.local_addrs()
    }

    /// The state of everything, now and at every change.
    pub fn view(&self) -> watch::Receiver<Arc<View>> {
        self.core.view()
    }

    /// The clock that the fabric runs on.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.core.clock.clone()
    }

    /// Takes over a service: what other members send to it from now on. The queue is bounded; when it is full,
    /// senders wait.
    pub fn serve(&self, service: Service) -> mpsc::Receiver<Incoming> {
        self.core.serve(service)
    }

    /// Asks a service of another member and waits for its answer, at most `within`. Both at most
    /// [`MAX_MESSAGE`](crate::service::MAX_MESSAGE) bytes.
    pub async fn request(
        &self,
        to: DeviceId,
        service: Service,
        priority: Priority,
        body: Bytes,
        within: Duration,
    ) -> Result<Bytes, FabricError> {
        let session = self.core.session(to)?;
        let asked = session.request(service, priority, &body);
        timeout(within, asked).await.unwrap_or(Err(FabricError::TimedOut))
    }

    /// Tells a service of another member something. It arrives once, or the session breaks; notices may overtake
    /// each other.
    pub async fn notify(
        &self,
        to: DeviceId,
        service: Service,
        priority: Priority,
        body: Bytes,
    ) -> Result<(), FabricError> {
        let session = self.core.session(to)?;
        let told = session.notify(service, priority, &body);
        timeout(timing::MESSAGE, told).await.unwrap_or(Err(FabricError::TimedOut))
    }

    /// Opens a byte stream to a service of another member.
    pub async fn open_stream(
        &self,
        to: DeviceId,
        service: Service,
        priority: Priority,
        header: Bytes,
    ) -> Result<Channel, FabricError> {
        let session = self.core.session(to)?;
        let opened = session.open_stream(service, priority, &header);
        timeout(timing::ANSWER, opened).await.unwrap_or(Err(FabricError::TimedOut))
    }

    // --- discovery -----------------------------------------------------------------------------------------

    /// Takes in what discovery sees.
    pub fn discovery(&self, event: DiscoveryEvent) {
        match event {
            DiscoveryEvent::Found(nearby) if nearby.device != self.core.me => {
                let now = self.core.clock.now();
                let (device, addrs, source) = (nearby.device, nearby.addrs.clone(), nearby.source);
                let news = self.core.look_mut(|state| {
                    state.book.heard(device, source, &addrs, now);
                    state.nearby.found(nearby)
                });
                if news {
                    self.core.update(|state| Core::wake_dialler(state, device));
                }
            }
            DiscoveryEvent::Found(_) => {}
            DiscoveryEvent::Lost { device, source } => self.core.update(|state| {
                state.book.vanished(device, source);
                state.nearby.lost(device, source);
            }),
        }
    }

    /// Notes where a device might be reached.
    pub fn add_addresses(&self, device: DeviceId, addrs: &[SocketAddr], source: Source) {
        let now = self.core.clock.now();
        self.core.update(|state| {
            state.book.heard(device, source, addrs, now);
            Core::wake_dialler(state, device);
        });
    }

    /// The machine's network may have changed: look again.
    pub async fn network_changed(&self) {
        self.core.transport.network_changed().await;
    }

    /// The name for groups and offers from now on.
    pub fn set_name(&self, name: Name) {
        self.core.update(|state| state.name = name);
    }

    // --- the group -----------------------------------------------------------------------------------------

    /// Offers to pair: a code to read out, and a ticket. A new offer takes the place of an open one. How it goes
    /// shows in [`View::offer`].
    pub async fn offer_pairing(&self, role: Role) -> Result<Offer, OfferError> {
        self.offer_pairing_for(role, OFFER_LIFE).await
    }

    /// The same with a ticket that lives longer, up to [`MAX_TICKET_LIFE`](crate::pairing::MAX_TICKET_LIFE): for one that no
    /// person hands on, such as a device finds in its image. It stays good for one device; the code dies as any.
    pub async fn offer_pairing_for(&self, role: Role, ticket_life: Duration) -> Result<Offer, OfferError> {
        self.desk.offer(role, ticket_life).await
    }

    /// Takes an offer back.
    pub async fn cancel_pairing(&self) {
        self.desk.cancel().await;
    }

    /// Enters the group of a device that offers to pair. This device must be alone in its own.
    pub async fn join(&self, target: JoinTarget) -> Result<Joined, JoinError> {
        join::join(&self.core, target).await
    }

    /// Removes a device from the group. Returns when the removal is saved here; the members that can be reached
    /// learn of it at once.
    pub async fn forget(&self, device: DeviceId) -> Result<(), GroupChangeError> {
        let (wall, nonce) = (self.core.clock.wall(), (self.core.random)());
        Ok(self.core.append(move |group, key| group.remove(key, device, nonce, wall)).await?)
    }

    /// Gives a member another role.
    pub async fn set_role(&self, device: DeviceId, role: Role) -> Result<(), GroupChangeError> {
        let (wall, nonce) = (self.core.clock.wall(), (self.core.random)());
        Ok(self.core.append(move |group, key| group.set_role(key, device, role, nonce, wall)).await?)
    }

    /// Allows an app on the group's devices.
    pub async fn allow_app(&self, grant: AppGrant) -> Result<(), GroupChangeError> {
        let (wall, nonce) = (self.core.clock.wall(), (self.core.random)());
        Ok(self.core.append(move |group, key| group.allow(key, grant, nonce, wall)).await?)
    }

    /// Allows no app of this name any longer.
    pub async fn disallow_app(&self, name: Name) -> Result<(), GroupChangeError> {
        let (wall, nonce) = (self.core.clock.wall(), (self.core.random)());
        Ok(self.core.append(move |group, key| group.disallow(key, name, nonce, wall)).await?)
    }

    /// Leaves the group; this device is then alone in a new one. The members that can be reached learn of it;
    /// if none can, the others go on listing this device until somebody forgets it.
    pub async fn leave(&self) -> Result<(), GroupChangeError> {
        if self.core.group().members().len() == 1 {
            return Err(GroupChangeError::Alone);
        }
        let (wall, nonce) = (self.core.clock.wall(), (self.core.random)());
        self.core.append(move |group, key| group.leave(key, nonce, wall)).await?;
        // It was this device's own wish, so there is nothing to report.
        Ok(self.core.forget_removal().await?)
    }

    /// Makes the recovery words of the group, once: whoever has them can make a device an owner.
    pub async fn export_recovery(&self) -> Result<String, GroupChangeError> {
        let words = RecoveryWords::from_entropy(rand::random());
        let public = words.signing_key().verifying_key();
        let (wall, nonce) = (self.core.clock.wall(), (self.core.random)());
        self.core.append(move |group, key| group.set_recovery(key, &public, nonce, wall)).await?;
        Ok(words.words().to_string())
    }

    /// Makes this device an owner again with the group's recovery words.
    pub async fn recover(&self, words: &str) -> Result<(), GroupChangeError> {
        let recovery = RecoveryWords::parse(words).map_err(GroupChangeError::Words)?.signing_key();
        let (me, name) = (self.core.me, self.core.look(|state| state.name));
        let (wall, nonce) = (self.core.clock.wall(), (self.core.random)());
        Ok(self.core.append(move |group, _| group.recover(&recovery, me, name, nonce, wall)).await?)
    }

    /// The group's id.
    pub fn group_id(&self) -> GroupId {
        self.core.group().id()
    }

    /// The live session with a member: its generation.
    pub fn session_with(&self, device: DeviceId) -> Option<u64> {
        self.core.session(device).ok().map(|session| session.generation)
    }

    /// Opens a bare stream to a member, without the header that a service expects: for tests of what a broken
    /// member can do.
    #[cfg(feature = "sim")]
    pub async fn raw_stream(&self, to: DeviceId) -> Result<Channel, FabricError> {
        let session = self.core.session(to)?;
        let (send, recv) = session.conn.open_bi().await.map_err(|closed| FabricError::Lost(closed.to_string()))?;
        Ok(Channel { send, recv })
    }

    /// Ends all sessions, telling the other sides, and saves the address book. Takes at most a second and a half.
    pub async fn shutdown(&self) {
        self.core.close();
        let (book, store) = (self.core.look(|state| state.book.encode()), self.core.store.clone());
        let saved = timeout(timing::GOODBYE, run_blocking(move || store.save(keys::ADDRESSES, &book)));
        let _ = tokio::join!(saved, self.core.transport.close());
    }
}

impl From<LearnError> for GroupChangeError {
    fn from(error: LearnError) -> Self {
        match error {
            LearnError::Group(error) => Self::Group(error),
            LearnError::Store(error) => Self::Store(error),
        }
    }
}

/// Takes connections until the transport is closed.
async fn accept(core: Arc<Core>, desk: OfferDesk) {
    let members = Arc::new(Semaphore::new(MEMBERS_IN_SETUP));
    let strangers = Arc::new(Semaphore::new(STRANGERS_IN_SETUP));
    while let Some(conn) = core.transport.accept().await {
        match conn.protocol() {
            Protocol::Pair => desk.connected(conn),
            Protocol::Pool => {
                let is_member = core.group().role_of(conn.remote_id()).is_some();
                let slots = if is_member { &members } else { &strangers };
                match slots.clone().try_acquire_owned() {
                    Ok(slot) => {
                        tokio::spawn(set_up(core.clone(), conn, slot));
                    }
                    Err(_) => conn.close(CloseCode::BUSY, "too many connections at once; try again"),
                }
            }
        }
    }
}

async fn set_up(core: Arc<Core>, conn: Arc<dyn Connection>, slot: tokio::sync::OwnedSemaphorePermit) {
    session::start(core, conn).await;
    drop(slot);
}

/// Saves the address book when it has changed, at most every ten seconds; within one where there is somebody new, whom after a
/// power cut perhaps nothing else finds again.
async fn save_addresses(core: Arc<Core>) {
    const LOOK: Duration = Duration::from_secs(1);
    const LOOKS: u32 = 10;
    let mut closing = core.closing.subscribe();
    let (mut saved, mut known, mut looks) = (Vec::new(), 0, 0);
    loop {
        if timeout(LOOK, closing.wait_for(|closing| *closing)).await.is_ok() {
            return;
        }
        looks += 1;
        let lasting = core.look(|state| state.book.lasting());
        if lasting <= known && looks < LOOKS {
            continue;
        }
        (known, looks) = (lasting, 0);
        let book = core.look_mut(|state| {
            state.book.expire(core.clock.now());
            state.book.encode()
        });
        if book != saved {
            match core.save(keys::ADDRESSES, book.clone()).await {
                Ok(()) => saved = book,
                Err(error) => tracing::warn!(%error, "the address book could not be saved; trying again"),
            }
        }
    }
}
