//! The state that the parts of the fabric share, and the rules for changing it.
//!
//! The group changes in one place (`install` in [`group`]): saved first, then shown, then acted upon. Whoever is no
//! longer in it loses its session there and then.

mod group;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use ed25519_dalek::SigningKey;
use tokio::{
    sync::{Notify, Semaphore, mpsc, watch},
    task::AbortHandle,
    time::{Instant, timeout_at},
};
use tutti_model::{BootTime, DeviceId, Name, VersionRange};

use crate::{
    addresses::AddressBook,
    clock::Clock,
    dialler,
    group::Group,
    nearby::NearbyTable,
    pairing::{BurntCodes, OfferStatus},
    service::{FabricError, Incoming, Service},
    session::{Session, wire::Hello},
    store::{Store, StoreError, run_blocking},
    timing,
    transport::Transport,
    view::{self, GroupView, MemberView, Peer, RemovedFrom, Trouble, View},
};

pub(crate) use group::LearnError;

/// The names that the fabric saves under.
pub(crate) mod keys {
    pub(crate) const GROUP: &str = "group";
    pub(crate) const REMOVED: &str = "removed-from";
    pub(crate) const ADDRESSES: &str = "addresses";
    pub(crate) const OFFER: &str = "pairing-offer";
}

/// Where incarnations and the nonces of the group's entries come from.
pub type Random = Arc<dyn Fn() -> [u8; 16] + Send + Sync>;

pub(crate) struct Core {
    pub(crate) me: DeviceId,
    pub(crate) key: SigningKey,
    versions: VersionRange,
    incarnation: u64,
    pub(crate) random: Random,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    state: Mutex<State>,
    /// Whoever changes the group holds this from reading it until the change is saved and installed.
    group_turn: tokio::sync::Mutex<()>,
    /// One proof of membership is checked at a time: a stranger cannot buy more of the processor than that.
    proof_turn: Semaphore,
    view: watch::Sender<Arc<View>>,
    /// Counts changes of the group; sessions tell the other side.
    pub(crate) group_changes: watch::Sender<u64>,
    services: watch::Sender<BTreeMap<Service, mpsc::Sender<Incoming>>>,
    started: Instant,
    /// True once the fabric shuts down.
    pub(crate) closing: watch::Sender<bool>,
}

pub(crate) struct State {
    pub(crate) name: Name,
    group: Arc<Group>,
    group_view: Arc<GroupView>,
    peers: BTreeMap<DeviceId, PeerState>,
    pub(crate) book: AddressBook,
    pub(crate) nearby: NearbyTable,
    pub(crate) offer: Option<OfferStatus>,
    /// Codes that failed here and are not tried again.
    pub(crate) burnt: BurntCodes,
    removed: Option<RemovedFrom>,
    next_generation: u64,
}

struct PeerState {
    session: Option<Arc<Session>>,
    /// The one that lost to another, as long as something is under way on it.
    retiring: Weak<Session>,
    last_seen: Option<BootTime>,
    trouble: Option<Trouble>,
    /// Dial now.
    wake: Arc<Notify>,
    dialler: AbortHandle,
}

/// What a core is made of.
pub(crate) struct Parts {
    pub(crate) name: Name,
    pub(crate) key: SigningKey,
    pub(crate) versions: VersionRange,
    pub(crate) random: Random,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) group: Group,
    pub(crate) removed: Option<RemovedFrom>,
    pub(crate) book: AddressBook,
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let me = parts.transport.local_id();
        let group = Arc::new(parts.group);
        let group_view = Arc::new(show_group(me, &group));
        let view = View {
            group: group_view.clone(),
            peers: BTreeMap::new(),
            nearby: BTreeMap::new(),
            offer: None,
            removed: parts.removed.clone(),
        };
        let core = Arc::new(Self {
            me,
            key: parts.key,
            versions: parts.versions,
            incarnation: u64::from_le_bytes(first_half((parts.random)())),
            random: parts.random,
            transport: parts.transport,
            store: parts.store,
            clock: parts.clock,
            state: Mutex::new(State {
                name: parts.name,
                group,
                group_view,
                peers: BTreeMap::new(),
                book: parts.book,
                nearby: NearbyTable::default(),
                offer: None,
                burnt: BurntCodes::new(),
                removed: parts.removed,
                next_generation: 0,
            }),
            group_turn: tokio::sync::Mutex::new(()),
            proof_turn: Semaphore::new(1),
            view: watch::Sender::new(Arc::new(view)),
            group_changes: watch::Sender::new(0),
            services: watch::Sender::default(),
            started: Instant::now(),
            closing: watch::Sender::new(false),
        });
        let mut state = core.lock();
        core.reconcile(&mut state);
        core.publish(&state);
        drop(state);
        core
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can panic half-way through a change: each change is a single assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and shows the change.
    pub(crate) fn update<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let out = change(&mut state);
        self.publish(&state);
        out
    }

    /// Changes what the view does not show.
    pub(crate) fn look_mut<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.lock())
    }

    /// Looks at the state.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    pub(crate) fn view(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    pub(crate) fn group(&self) -> Arc<Group> {
        self.lock().group.clone()
    }

    pub(crate) fn versions(&self) -> VersionRange {
        self.versions
    }

    /// What this device says of itself at the start of a session.
    pub(crate) fn hello(&self) -> Hello {
        let group = self.group();
        Hello { versions: self.versions, group: group.id(), incarnation: self.incarnation, heads: group.heads() }
    }

    /// Saves on a blocking thread.
    pub(crate) async fn save(&self, key: &'static str, bytes: Vec<u8>) -> Result<(), StoreError> {
        let store = self.store.clone();
        run_blocking(move || store.save(key, &bytes)).await?
    }

    /// One dialler for each other member, none for anybody else; sessions with anybody else end.
    fn reconcile(self: &Arc<Self>, state: &mut State) {
        let group = state.group_view.clone();
        let now = self.clock.now();
        state.peers.retain(|device, peer| {
            let stays = group.members.contains_key(device);
            if !stays {
                state.book.pin(*device, false, now);
                peer.dialler.abort();
                for session in peer.session.iter().cloned().chain(peer.retiring.upgrade()) {
                    session.revoke();
                }
            }
            stays
        });
        for &device in group.members.keys().filter(|&&device| device != self.me) {
            state.book.pin(device, true, now);
            state.peers.entry(device).or_insert_with(|| {
                let wake = Arc::new(Notify::new());
                let dialler = tokio::spawn(dialler::run(self.clone(), device, wake.clone())).abort_handle();
                PeerState { session: None, retiring: Weak::new(), last_seen: None, trouble: None, wake, dialler }
            });
        }
    }

    /// Stops dialling and ends all sessions.
    pub(crate) fn close(&self) {
        self.closing.send_replace(true);
        for peer in self.lock().peers.values() {
            peer.dialler.abort();
        }
    }

    // --- sessions ------------------------------------------------------------------------------------------

    /// The live session with a member.
    pub(crate) fn session(&self, device: DeviceId) -> Result<Arc<Session>, FabricError> {
        let state = self.lock();
        let peer = state.peers.get(&device).ok_or(FabricError::NotAMember)?;
        peer.session.clone().ok_or_else(|| {
            FabricError::NotConnected(match &peer.trouble {
                Some(Trouble::Dialling(error)) => Some(error.clone()),
                _ => None,
            })
        })
    }

    /// A number for the next session.
    pub(crate) fn next_generation(&self) -> u64 {
        let mut state = self.lock();
        state.next_generation += 1;
        state.next_generation
    }

    /// Makes a session the live one, unless another with the same device is preferred. Gives the one that has to
    /// go, if there is one: it may be the new one.
    pub(crate) fn register(&self, session: &Arc<Session>) -> Option<Arc<Session>> {
        self.update(|state| {
            let Some(peer) = state.peers.get_mut(&session.remote) else { return Some(session.clone()) };
            if let Some(addr) = session.conn.remote_addr() {
                state.book.proved(session.remote, addr, self.clock.now());
            }
            if let Some(old) = peer.session.take() {
                let keep_old = session.loses_to(&old, self.me, self.clock.now());
                let (live, loser) = if keep_old { (old, session.clone()) } else { (session.clone(), old) };
                peer.session = Some(live);
                // At most one of them goes on besides the live one, however often a member dials.
                if let Some(earlier) = std::mem::replace(&mut peer.retiring, Arc::downgrade(&loser)).upgrade() {
                    earlier.replaced();
                }
                return Some(loser);
            }
            peer.session = Some(session.clone());
            peer.trouble = None;
            None
        })
    }

    /// A session is over.
    pub(crate) fn unregister(&self, session: &Session, why: &str) {
        self.update(|state| {
            let Some(peer) = state.peers.get_mut(&session.remote) else { return };
            if peer.session.as_ref().is_some_and(|live| live.generation == session.generation) {
                peer.session = None;
                peer.last_seen = Some(session.last_heard());
                peer.trouble = Some(Trouble::Session(why.to_owned()));
                peer.wake.notify_one();
            }
        });
    }

    /// Notes why a member cannot be reached, if there is no session with it.
    pub(crate) fn note_trouble(&self, device: DeviceId, trouble: Trouble) {
        let mut state = self.lock();
        let Some(peer) = state.peers.get_mut(&device) else { return };
        if peer.session.is_none() && peer.trouble.as_ref() != Some(&trouble) {
            peer.trouble = Some(trouble);
            self.publish(&state);
        }
    }

    /// Dials a member at once.
    pub(crate) fn wake_dialler(state: &State, device: DeviceId) {
        if let Some(peer) = state.peers.get(&device)
            && peer.session.is_none()
        {
            peer.wake.notify_one();
        }
    }

    // --- services ------------------------------------------------------------------------------------------

    pub(crate) fn serve(&self, service: Service) -> mpsc::Receiver<Incoming> {
        let (send, recv) = mpsc::channel(crate::service::QUEUE);
        self.services.send_modify(|services| drop(services.insert(service, send)));
        recv
    }

    /// Where messages for a service go. Right after the start, when sessions are up before the rooms above are, waits
    /// for it.
    pub(crate) async fn service(&self, service: Service) -> Option<mpsc::Sender<Incoming>> {
        let mut services = self.services.subscribe();
        let known = services.wait_for(|services| services.contains_key(&service));
        timeout_at(self.started + timing::SETTLE, known).await.ok()?.ok()?.get(&service).cloned()
    }

    // --- the view ------------------------------------------------------------------------------------------

    /// Shows the state. Called with the lock held, so that views appear in the order of the changes.
    fn publish(&self, state: &State) {
        let now = self.clock.now();
        let peers = state.peers.iter().map(|(&device, peer)| (device, show_peer(peer, device, &state.book, now)));
        let view = View {
            group: state.group_view.clone(),
            peers: peers.collect(),
            nearby: state.nearby.strangers(&state.group_view),
            offer: state.offer.clone(),
            removed: state.removed.clone(),
        };
        self.view.send_replace(Arc::new(view));
    }
}

/// A group of one, with this device as its owner.
pub(crate) fn alone(key: &SigningKey, name: Name, nonce: [u8; 16], clock: &dyn Clock) -> Group {
    Group::found(key, name, nonce, clock.wall())
}

fn first_half([a, b, c, d, e, f, g, h, ..]: [u8; 16]) -> [u8; 8] {
    [a, b, c, d, e, f, g, h]
}

fn show_group(me: DeviceId, group: &Group) -> GroupView {
    let members = group.members().iter();
    GroupView {
        id: group.id(),
        me,
        members: members.map(|(&id, member)| (id, MemberView { role: member.role, name: member.name })).collect(),
        grants: group.grants().clone(),
    }
}

fn show_peer(peer: &PeerState, device: DeviceId, book: &AddressBook, now: BootTime) -> Peer {
    let session = peer.session.as_ref().map(|session| view::Session {
        generation: session.generation,
        version: session.version,
        addr: session.conn.remote_addr(),
        rtt: session.conn.rtt(),
        traffic: session.conn.traffic(),
        since: session.since,
    });
    let last_seen = peer.session.as_ref().map(|session| session.last_heard()).or(peer.last_seen);
    Peer { session, last_seen, trouble: peer.trouble.clone(), addrs: book.dial(device, now) }
}
