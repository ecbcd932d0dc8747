//! Apps on this device: the driver of `tutti-app`.
//!
//! | part | what it does |
//! |---|---|
//! | [`actor`] | one instance: a thread with its machines, its app and its disk |
//! | [`binder`] | what an app's wants are met by; leases |
//! | [`effects`] | effects on their way, and the ledgers of this device's resources |
//! | [`net`], [`wire`] | what devices say to each other about apps |
//! | [`streams`] | packages and state on their way |
//! | [`disk`], [`slots`], [`journal`], [`packages`], [`lines`] | what is on the disk |
//! | [`engines`] | wasmtime, begun with the first app |
//! | [`grants`] | what owners allow |
//! | [`install`] | apps installed and removed |
//! | [`listing`] | what people see; what several devices say about an instance, made one |
//! | [`orders`] | what people want of instances, here or elsewhere |
//! | [`place`], [`rooms`] | where an app fits, and how much room devices have |
//! | [`carried`] | apps that the image of this device, or of another, carries |
//! | [`picture`] | what displays are told |
//!
//! Nothing of this costs a thread or an engine before the first app: a device without apps has two tasks that wait.
//!
//! # Who may what
//! Owners install, remove and recover: what they say is signed into the group's history ([`AppGrant`]) or into a warrant, and each device holds
//! packages, offers and claims against that before it believes them. Members run, move and stop. What apps do with what they were granted is in the
//! audit log of the device where they did it.

mod actor;
mod binder;
mod carried;
mod disk;
mod effects;
mod engines;
mod grants;
mod hands;
mod install;
mod journal;
mod lines;
mod listing;
mod net;
mod orders;
mod packages;
mod picture;
mod place;
mod rooms;
mod slots;
mod streams;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::{Arc, Mutex, atomic::AtomicU64},
};

use ed25519_dalek::SigningKey;
use tokio::sync::{Semaphore, watch};
use tutti_app::{ids::InstanceId, standby::Duty};
use tutti_control::{AppInstance, AppsState, AuditLine, AuditWhat, ErrorCode, ErrorDetail, InstanceState};
use tutti_fabric::{Fabric, Service, View, clock::Clock};
use tutti_model::{DeviceId, Role};
use tutti_pool::driver::PoolHandle;
use tutti_resources::SysRoot;

use crate::{locals::Locals, lock::lock, satellites::Satellites, sources::Sources, state::State};

use self::{
    actor::{Ask, Begin, Handle},
    effects::Ledgers,
    engines::Engines,
    lines::Lines,
    listing::show_app,
    packages::Packages,
    rooms::Rooms,
};

/// The most instances that have a thread at a time, those that are only asked about included.
const MAX_ACTORS: usize = 256;
/// The most memory of one instance here, whatever its manifest says.
const MAX_MEMORY_KIB: u32 = 512 << 10;
/// The same in bytes.
const MAX_MEMORY: usize = MAX_MEMORY_KIB as usize * 1024;
/// The most bytes of each of the two files of the audit log.
const AUDIT: u64 = 512 * 1024;

/// Apps on this device. Clones share them.
#[derive(Clone)]
pub(crate) struct Apps(Arc<Shared>);

/// What all instances share.
pub(crate) struct Shared {
    me: DeviceId,
    key: SigningKey,
    clock: Arc<dyn Clock>,
    fabric: Fabric,
    pool: PoolHandle,
    locals: Locals,
    sources: Sources,
    satellites: Satellites,
    folder: PathBuf,
    packages: Packages,
    carried: carried::Shelf,
    engines: Engines,
    ledgers: Ledgers,
    audit: Lines<AuditLine>,
    actors: Mutex<BTreeMap<InstanceId, Handle>>,
    others: Mutex<BTreeMap<DeviceId, AppsState>>,
    rooms: Rooms,
    connected: Mutex<BTreeSet<DeviceId>>,
    /// Something of this device's own has changed.
    changes: watch::Sender<u64>,
    /// Something that is shown has changed.
    shown: watch::Sender<u64>,
    /// Grows whenever owners allow something else than before.
    grants: AtomicU64,
    carrying: Semaphore,
    requests: Arc<Semaphore>,
    runtime: tokio::runtime::Handle,
}

/// What apps stand on.
pub(crate) struct Ground<'a> {
    pub(crate) key: &'a SigningKey,
    pub(crate) clock: &'a Arc<dyn Clock>,
    pub(crate) state: &'a State,
    pub(crate) fabric: &'a Fabric,
    pub(crate) pool: &'a PoolHandle,
    pub(crate) locals: &'a Locals,
    pub(crate) sources: &'a Sources,
    pub(crate) satellites: &'a Satellites,
    /// Where the machine is looked at.
    pub(crate) root: &'a SysRoot,
}

impl Apps {
    /// Goes on with the instances that are on the disk.
    ///
    /// # Errors
    /// If the folder cannot be used.
    pub(crate) async fn start(ground: Ground<'_>) -> io::Result<Self> {
        let folder = ground.state.folder().join("apps");
        let opening = folder.clone();
        let opened = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&opening)?;
            let packages = Packages::open(opening.join("packages"))?;
            Ok::<_, io::Error>((packages, Lines::open(opening.join("audit"), AUDIT)))
        });
        let (packages, audit) = opened.await.map_err(io::Error::other)??;
        let shared = Arc::new(Shared {
            me: ground.pool.me(),
            key: ground.key.clone(),
            clock: ground.clock.clone(),
            fabric: ground.fabric.clone(),
            pool: ground.pool.clone(),
            locals: ground.locals.clone(),
            sources: ground.sources.clone(),
            satellites: ground.satellites.clone(),
            packages,
            carried: carried::Shelf::default(),
            engines: Engines::new(folder.join("cache")),
            ledgers: Ledgers::new(folder.join("ledgers")),
            audit,
            folder,
            actors: Mutex::default(),
            others: Mutex::default(),
            rooms: Rooms::new(ground.root.clone()),
            connected: Mutex::default(),
            changes: watch::Sender::new(0),
            shown: watch::Sender::new(0),
            grants: AtomicU64::new(0),
            carrying: Semaphore::new(64),
            requests: Arc::new(Semaphore::new(64)),
            runtime: tokio::runtime::Handle::current(),
        });
        let apps = Self(shared);
        let queue = apps.0.fabric.serve(Service::APPS);
        tokio::spawn(apps.clone().serve(queue));
        tokio::spawn(apps.clone().keep_in_touch());
        let shared = apps.0.clone();
        let begun = tokio::task::spawn_blocking(move || shared.begin_stored());
        begun.await.map_err(io::Error::other)?;
        Ok(apps)
    }

    /// Stops every instance's thread. What they have not made durable is done again after the next start.
    pub(crate) fn stop(&self) {
        for (_, actor) in std::mem::take(&mut *lock(&self.0.actors)) {
            actor.tell(Ask::Shutdown);
        }
    }

    /// Grows whenever something changes that is shown.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.0.shown.subscribe()
    }
}

/// For the API: what may be wanted of an instance, and of those that are left of an app.
pub(crate) use {actor::Want as Wanted, install::Left};

fn internal() -> ErrorDetail {
    ErrorDetail::new(ErrorCode::Internal, "a fault in this device", "see the device's log")
}

fn not_saved(error: &io::Error) -> ErrorDetail {
    ErrorDetail::new(ErrorCode::StorageFailed, error.to_string(), "make room, or check the disk")
}

fn misbehaved(name: &str) -> ErrorDetail {
    ErrorDetail::new(
        ErrorCode::PeerMisbehaved,
        format!("{name} answers what makes no sense"),
        "update the older device",
    )
}

fn unknown(id: &InstanceId) -> ErrorDetail {
    ErrorDetail::new(ErrorCode::NoSuchInstance, format!("instance {id} is not here"), "`tutti app ls` lists them")
}

impl Shared {
    /// Goes on with the instances that are on the disk. Blocks.
    fn begin_stored(self: &Arc<Self>) {
        for instance in disk::all(&self.instances()) {
            let gone = |saved: &disk::Saved| {
                let standing = saved.record.as_ref().map(|record| &record.standing);
                let gone = matches!(standing, Some(tutti_app::handover::Standing::Gone { .. }));
                gone && !matches!(
                    saved.guard.and_then(|guard| guard.duty),
                    Some(Duty::Granting { .. } | Duty::Over { .. })
                )
            };
            let found = disk::Folder::new(&self.instances(), instance).load();
            // What was only heard of has a thread when somebody asks.
            if !matches!(found, Ok(found) if found.as_ref().is_none_or(gone)) {
                self.actor_for(instance);
            }
        }
    }

    fn instances(&self) -> PathBuf {
        self.folder.join("instances")
    }

    fn view(&self) -> Arc<View> {
        self.fabric.view().borrow().clone()
    }

    fn name_of(&self, device: DeviceId) -> String {
        match self.pool.catalogue().device(device) {
            Some(device) => device.name.to_string(),
            None => device.short().to_string(),
        }
    }

    fn role_of(&self, device: DeviceId) -> Option<Role> {
        self.view().group.role_of(device)
    }

    fn is_owner(&self, device: DeviceId) -> bool {
        self.role_of(device) == Some(Role::Owner)
    }

    /// Whether a device may do more than a guest.
    fn is_member(&self, device: DeviceId) -> bool {
        self.role_of(device).is_some_and(|role| role >= Role::Member)
    }

    /// The device through which another one is reached.
    fn host_of(&self, device: DeviceId) -> Option<DeviceId> {
        self.pool.catalogue().device(device).map(|entry| entry.via.unwrap_or(device))
    }

    // --- instances -------------------------------------------------------------------------------------------

    /// An instance's thread, if it has one or anything is known of it on the disk.
    fn find_actor(self: &Arc<Self>, id: InstanceId) -> Option<Handle> {
        if let Some(handle) = lock(&self.actors).get(&id) {
            return Some(handle.clone());
        }
        let known = disk::Folder::new(&self.instances(), id).path().exists();
        known.then(|| self.actor_for(id)).flatten()
    }

    /// An instance's thread; begun, if there is none.
    fn actor_for(self: &Arc<Self>, id: InstanceId) -> Option<Handle> {
        let mut actors = lock(&self.actors);
        if let Some(handle) = actors.get(&id) {
            return Some(handle.clone());
        }
        if actors.len() >= MAX_ACTORS {
            tracing::warn!(instance = %id, "there are too many instances; this one is not answered for");
            return None;
        }
        match actor::begin(self, id, Begin::Stored) {
            Ok(handle) => {
                actors.insert(id, handle.clone());
                Some(handle)
            }
            Err(error) => {
                tracing::error!(instance = %id, %error, "an instance's thread cannot be begun");
                None
            }
        }
    }

    fn forget(&self, id: InstanceId) {
        lock(&self.actors).remove(&id);
        self.changed();
    }

    fn tell_all(&self, ask: impl Fn() -> Ask) {
        lock(&self.actors).values().for_each(|actor| actor.tell(ask()));
    }

    fn peers(&self) -> Vec<DeviceId> {
        lock(&self.connected).iter().copied().collect()
    }

    fn connected(&self, device: DeviceId, up: bool) {
        let mut connected = lock(&self.connected);
        if up {
            connected.insert(device)
        } else {
            connected.remove(&device)
        };
        drop(connected);
        self.shown.send_modify(|count| *count += 1);
    }

    fn is_connected(&self, device: DeviceId) -> bool {
        self.fabric.session_with(device).is_some()
    }

    /// The instances that are here.
    fn own_instances(&self) -> Vec<AppInstance> {
        lock(&self.actors).values().filter_map(Handle::show).collect()
    }

    /// What this device tells the others.
    fn mine(&self) -> AppsState {
        let view = self.view();
        let grants = view.group.grants.values();
        let apps = grants.filter_map(|granted| Some(show_app(granted, Some(&self.best(granted)?)))).collect();
        AppsState { apps, instances: self.own_instances(), carried: self.carried_here() }
    }

    fn heard(&self, from: DeviceId, state: AppsState) {
        lock(&self.others).insert(from, state);
        self.shown.send_modify(|count| *count += 1);
    }

    /// This runs at another device, which may not have told everybody yet.
    fn heard_of(&self, at: DeviceId, running: AppInstance) {
        if let Some(state) = lock(&self.others).get_mut(&at) {
            let told = |it: &AppInstance| it.state == InstanceState::Running && it.epoch == running.epoch;
            let has_room = state.instances.len() < MAX_ACTORS;
            match state.instances.iter_mut().find(|it| it.id == running.id) {
                Some(known) if told(known) => {}
                Some(known) => *known = running,
                None if has_room => state.instances.push(running),
                None => {}
            }
        }
        self.shown.send_modify(|count| *count += 1);
    }

    fn forget_strangers(&self, members: &BTreeSet<DeviceId>) {
        lock(&self.others).retain(|device, _| members.contains(device));
        self.rooms.forget_strangers(members);
    }

    /// Something of this device's own has changed.
    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
        self.shown.send_modify(|count| *count += 1);
    }

    /// The devices that run apps: those that tell of theirs.
    fn who_runs_apps(&self) -> BTreeSet<DeviceId> {
        lock(&self.others).keys().copied().chain([self.me]).collect()
    }

    /// The device where an instance is at home, as far as is known.
    fn home_of(&self, instance: InstanceId) -> Option<DeviceId> {
        if lock(&self.actors).get(&instance).and_then(Handle::show).is_some_and(|it| it.waiting_for.is_none()) {
            return Some(self.me);
        }
        let id = instance.to_string();
        let found = self.instances_now().into_iter().find(|it| it.id == id && it.state != InstanceState::GivenUp)?;
        found.device.parse().ok()
    }

    /// Why a device is no standby of what runs on it.
    fn runs_there(&self, device: DeviceId) -> ErrorDetail {
        let what = format!("{} cannot be the standby of what runs on it", self.name_of(device));
        ErrorDetail::new(ErrorCode::BadRequest, what, "name another device")
    }

    // --- words -----------------------------------------------------------------------------------------------

    fn audit(&self, app: &str, instance: Option<InstanceId>, what: AuditWhat, about: String) {
        let at = self.clock.wall().as_unix_millis();
        let instance = instance.map(|instance| instance.to_string());
        self.audit.add(AuditLine { number: 0, at, app: app.to_owned(), instance, what, about });
    }
}
