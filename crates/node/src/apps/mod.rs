//! Apps on this device: the driver of `tutti-app`.
//!
//! | part | what it does |
//! |---|---|
//! | [`actor`] | one instance: a thread with its machines, its app and its disk |
//! | [`binder`] | what an app's wants are met by; leases |
//! | [`effects`] | effects on their way, and the ledgers of this device's resources |
//! | [`net`], [`wire`] | what devices say to each other about apps; packages and state as streams |
//! | [`disk`], [`journal`], [`packages`], [`lines`] | what is on the disk |
//! | [`engines`] | wasmtime, begun with the first app |
//! | [`listing`] | what several devices say about an instance, made one |
//! | [`place`] | where an app fits |
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
mod disk;
mod effects;
mod engines;
mod hands;
mod journal;
mod lines;
mod listing;
mod net;
mod packages;
mod picture;
mod place;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use ed25519_dalek::SigningKey;
use tokio::{
    sync::{Semaphore, oneshot, watch},
    time::timeout,
};
use tutti_app::{
    ids::InstanceId,
    package::{Grant, Manifest, Package, Version},
    standby::{Duty, Settings},
};
use tutti_control::{
    App, AppInstance, AppLine, AppWant, AppsState, AuditLine, AuditWhat, ErrorCode, ErrorDetail, InstanceState,
    PlaceWhy,
};
use tutti_fabric::{
    Fabric, Service, View,
    clock::Clock,
    group::{AppGrant, Granted},
};
use tutti_model::{DeviceId, Name, Role};
use tutti_pool::driver::PoolHandle;

use crate::{locals::Locals, lock::lock, satellites::Satellites, sources::Sources, state::State};

use self::{
    actor::{Ask, Begin, Handle, Want},
    effects::Ledgers,
    engines::Engines,
    lines::Lines,
    packages::{Facts, KeepError, Packages},
    wire::{Answer, Order},
};

/// The most instances that have a thread at a time, those that are only asked about included.
const MAX_ACTORS: usize = 256;
/// The most memory of one instance here, whatever its manifest says.
const MAX_MEMORY_KIB: u32 = 512 << 10;
/// How long an instance may take to begin before whoever asked for it is answered all the same.
const BEGIN: Duration = Duration::from_secs(30);
/// How long an instance may take to do what a person wants.
const OBEY: Duration = Duration::from_secs(20);
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
    engines: Engines,
    ledgers: Ledgers,
    audit: Lines<AuditLine>,
    actors: Mutex<BTreeMap<InstanceId, Handle>>,
    others: Mutex<BTreeMap<DeviceId, AppsState>>,
    connected: Mutex<BTreeSet<DeviceId>>,
    /// Something of this device's own has changed.
    changes: watch::Sender<u64>,
    /// Something that is shown has changed.
    shown: watch::Sender<u64>,
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
            engines: Engines::new(folder.join("cache")),
            ledgers: Ledgers::new(folder.join("ledgers")),
            audit,
            folder,
            actors: Mutex::default(),
            others: Mutex::default(),
            connected: Mutex::default(),
            changes: watch::Sender::new(0),
            shown: watch::Sender::new(0),
            carrying: Semaphore::new(64),
            requests: Arc::new(Semaphore::new(64)),
            runtime: tokio::runtime::Handle::current(),
        });
        let apps = Self(shared);
        let queue = apps.0.fabric.serve(Service::APPS);
        tokio::spawn(apps.clone().serve(queue));
        tokio::spawn(apps.clone().keep_in_touch());
        let all = disk::all(&apps.0.instances());
        for instance in all {
            let folder = disk::Folder::new(&apps.0.instances(), instance);
            let gone = |saved: &disk::Saved| {
                let standing = saved.record.as_ref().map(|record| &record.standing);
                let gone = matches!(standing, Some(tutti_app::handover::Standing::Gone { .. }));
                gone && !matches!(
                    saved.guard.and_then(|guard| guard.duty),
                    Some(Duty::Granting { .. } | Duty::Over { .. })
                )
            };
            // What was only heard of has a thread when somebody asks.
            if !matches!(folder.load(), Ok(found) if found.as_ref().is_none_or(gone)) {
                apps.0.actor_for(instance);
            }
        }
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

    // --- what there is ---------------------------------------------------------------------------------------

    /// Apps and instances, as the control API shows them.
    pub(crate) fn state(&self) -> AppsState {
        let instances = self.0.instances_now();
        let view = self.0.view();
        let others = lock(&self.0.others);
        let apps = view.group.grants.values().map(|granted| {
            let mut app = match self.0.best(granted) {
                Some(facts) => show_app(granted, Some(&facts)),
                None => {
                    let elsewhere = others.values().flat_map(|state| &state.apps).find(|app| {
                        app.name == granted.grant.name.as_str() && app.author == granted.grant.author.to_string()
                    });
                    let mut app = elsewhere.cloned().unwrap_or_else(|| show_app(granted, None));
                    app.here = false;
                    app
                }
            };
            app.instances = instances.iter().filter(|instance| instance.app == app.name).count() as u32;
            app
        });
        let apps = apps.collect();
        drop(others);
        AppsState { apps, instances }
    }

    /// The instance that a person means: by its id, the beginning of it, or its app's name; with `@DEVICE` behind it the copy on that device, which
    /// may be one that was given up.
    pub(crate) fn resolve(&self, word: &str) -> Result<AppInstance, ErrorDetail> {
        let (word, at) = word.rsplit_once('@').map_or((word, None), |(word, at)| (word, Some(at)));
        let mut all = self.0.instances_now();
        all.retain(|it| at.is_none_or(|at| it.device_name == at || it.device == at));
        let named: Vec<_> = all.iter().filter(|it| it.id == word || it.app == word).collect();
        let meant = match named.len() {
            0 if word.len() >= 6 => all.iter().filter(|it| it.id.starts_with(&word.to_ascii_lowercase())).collect(),
            _ => named,
        };
        // What was given up is meant only if there is no other copy.
        let lives: BTreeSet<&str> =
            meant.iter().filter(|it| it.state != InstanceState::GivenUp).map(|it| it.id.as_str()).collect();
        let meant: Vec<_> = meant
            .iter()
            .filter(|it| it.state != InstanceState::GivenUp || !lives.contains(it.id.as_str()))
            .copied()
            .collect();
        let say = |it: &&AppInstance| format!("{} ({} on {})", &it.id[..8.min(it.id.len())], it.app, it.device_name);
        match &meant[..] {
            [one] => Ok((*one).clone()),
            [] => Err(ErrorDetail::new(
                ErrorCode::NoSuchInstance,
                format!("no instance is called {word:?}, and no id begins so"),
                "`tutti app ls` lists them",
            )
            .with_candidates(all.iter().map(|it| say(&it)).collect())),
            several => Err(ErrorDetail::new(
                ErrorCode::Ambiguous,
                format!("{} instances are meant by {word:?}", several.len()),
                "name it by its id, or by the first six digits or more of it, with @DEVICE behind it if that is not enough",
            )
            .with_candidates(several.iter().map(say).collect())),
        }
    }

    fn app(&self, name: &str) -> Result<Granted, ErrorDetail> {
        let view = self.0.view();
        let found = Name::new(name).ok().and_then(|name| view.group.grants.get(&name).cloned());
        found.ok_or_else(|| {
            let hint =
                "`tutti app ls` lists those that are installed; an owner installs one with `tutti app install FILE`";
            let all = view.group.grants.keys().map(ToString::to_string).collect();
            ErrorDetail::new(ErrorCode::NoSuchApp, format!("no app is called {name:?}"), hint).with_candidates(all)
        })
    }

    /// An app's package, here or got from a device that has it.
    async fn facts(&self, name: &str) -> Result<Facts, ErrorDetail> {
        let granted = self.app(name)?;
        if let Some(facts) = self.0.best(&granted) {
            return Ok(facts);
        }
        let having: Vec<(DeviceId, [u8; 32])> = {
            let others = lock(&self.0.others);
            let online = |device: &DeviceId| self.0.is_connected(*device);
            let author = granted.grant.author.to_string();
            others
                .iter()
                .filter(|(device, _)| online(device))
                .flat_map(|(device, state)| state.apps.iter().map(move |app| (device, app)))
                .filter(|(_, app)| app.name == name && app.author == author && app.here)
                .filter_map(|(device, app)| Some((*device, digest_of(app.digest.as_deref()?)?)))
                .collect()
        };
        let mut why = "no device in sight has its package".to_owned();
        for (device, digest) in having.into_iter().take(4) {
            match self.0.fetch_package(device, digest).await {
                Ok(()) => {
                    if let Some(facts) = self.0.best(&granted) {
                        return Ok(facts);
                    }
                }
                Err(error) => why = error,
            }
        }
        let hint = "install it again on this device, or wait for a device that has it";
        Err(ErrorDetail::new(ErrorCode::Offline, format!("{name} cannot be had: {why}"), hint))
    }

    // --- what people want ------------------------------------------------------------------------------------

    /// Installs an app: an owner allows it, and this device keeps its package.
    pub(crate) async fn install(&self, bytes: Vec<u8>) -> Result<App, ErrorDetail> {
        let shared = self.0.clone();
        if shared.view().group.my_role() != Role::Owner {
            let hint = "do it on an owner: `tutti devices` shows the roles";
            return Err(ErrorDetail::new(ErrorCode::NotOwner, "only owners of the group install apps", hint));
        }
        let checking = shared.clone();
        let checked = tokio::task::spawn_blocking(move || {
            let bad =
                |why: String| ErrorDetail::new(ErrorCode::BadPackage, why, "build it again with `tutti app build`");
            let package = Package::parse(&bytes).map_err(|error| bad(error.to_string()))?;
            if package.manifest().limits.memory_kib > MAX_MEMORY_KIB {
                return Err(bad(format!("an app may have at most {MAX_MEMORY_KIB} KiB of memory here")));
            }
            checking.engines.load(&package).map_err(|error| bad(error.to_string()))?;
            let known = checking.packages.find(package.digest()).is_some();
            let facts = checking.packages.keep(&bytes).map_err(|error| match error {
                KeepError::Package(error) => bad(error.to_string()),
                error => ErrorDetail::new(ErrorCode::StorageFailed, error.to_string(), "make room, then try again"),
            })?;
            Ok((facts, known))
        });
        let (facts, known) = checked.await.unwrap_or_else(|_| Err(internal()))?;
        let Version(major, minor, patch) = facts.manifest.version;
        let mut wants: Vec<Name> = facts.manifest.wants.keys().copied().collect();
        wants.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        let grant = AppGrant {
            author: facts.author,
            name: facts.manifest.name,
            floor: (major, minor, patch),
            wants,
            memory_kib: facts.manifest.limits.memory_kib,
        };
        let same = shared.view().group.grants.get(&grant.name).is_some_and(|it| it.grant == grant);
        if !same && let Err(error) = shared.fabric.allow_app(grant).await {
            if !known {
                shared.packages.remove_one(&facts.digest);
            }
            let hint = "`tutti app rm` takes back what was allowed before";
            return Err(ErrorDetail::new(ErrorCode::NotGranted, error.to_string(), hint));
        }
        let name = facts.manifest.name.to_string();
        shared.audit(&name, None, AuditWhat::Installed, format!("version {}", facts.manifest.version));
        shared.changed();
        let granted = self.app(&name)?;
        Ok(show_app(&granted, Some(&facts)))
    }

    /// Allows an app no longer.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), ErrorDetail> {
        let granted = self.app(name)?;
        if self.0.view().group.my_role() != Role::Owner {
            let hint = "do it on an owner: `tutti devices` shows the roles";
            return Err(ErrorDetail::new(ErrorCode::NotOwner, "only owners of the group remove apps", hint));
        }
        let left: Vec<_> = self.0.instances_now().into_iter().filter(|it| it.app == name).collect();
        if let Some(one) = left.first() {
            let what = format!("{} instances of it are left, one on {}", left.len(), one.device_name);
            let hint = "end them first: `tutti app rm INSTANCE`";
            return Err(ErrorDetail::new(ErrorCode::WrongState, what, hint));
        }
        let hint = "try again in a moment";
        let removed = self.0.fabric.disallow_app(granted.grant.name).await;
        removed.map_err(|error| ErrorDetail::new(ErrorCode::Internal, error.to_string(), hint))?;
        self.0.packages.remove(granted.grant.name, &self.used_packages());
        self.0.audit(name, None, AuditWhat::Removed, String::new());
        self.0.changed();
        Ok(())
    }

    fn used_packages(&self) -> Vec<[u8; 32]> {
        let folder = self.0.instances();
        let saved = disk::all(&folder).into_iter().filter_map(|it| disk::Folder::new(&folder, it).load().ok()?);
        let packages = |saved: disk::Saved| {
            let own = saved.journal.map(|_| saved.package);
            own.into_iter().chain(saved.replica.map(|replica| replica.package))
        };
        saved.flat_map(packages).collect()
    }

    /// An app's icon.
    pub(crate) async fn icon(&self, name: &str) -> Result<Vec<u8>, ErrorDetail> {
        let facts = self.facts(name).await?;
        let shared = self.0.clone();
        let icon = tokio::task::spawn_blocking(move || {
            let package = shared.packages.load(&facts.digest).ok()?;
            package.icon().map(<[u8]>::to_vec)
        });
        let none = || ErrorDetail::new(ErrorCode::NoSuchFile, format!("{name} has no icon"), "");
        icon.await.ok().flatten().ok_or_else(none)
    }

    /// Begins an instance: there, or where it fits best.
    pub(crate) async fn run(
        &self,
        name: &str,
        on: Option<DeviceId>,
        standby: Option<(DeviceId, Settings)>,
    ) -> Result<AppInstance, ErrorDetail> {
        let facts = self.facts(name).await?;
        let on = match on {
            Some(on) => on,
            None => self.best_place(&facts)?,
        };
        if let Some((standby, _)) = standby {
            if standby == on {
                let what = format!("{} cannot be the standby of what runs on it", self.0.name_of(on));
                return Err(ErrorDetail::new(ErrorCode::BadRequest, what, "name another device"));
            }
            self.check_standby(standby, &facts).await?;
        }
        let begun = self.run_on(name, on, &facts).await?;
        let Some((standby, settings)) = standby else { return Ok(begun) };
        match self.act(&begun, Want::Guard(standby, settings)).await {
            Ok(shown) => Ok(shown),
            Err(error) => {
                // It was asked for with a standby or not at all.
                let _ = self.act(&begun, Want::End).await;
                Err(error)
            }
        }
    }

    /// Whether an app could go on at that device, which gets its package.
    async fn check_standby(&self, standby: DeviceId, facts: &Facts) -> Result<(), ErrorDetail> {
        let (name, digest) = (self.0.name_of(standby), facts.digest);
        let checked = if let Some(obstacle) = &facts.obstacle {
            Err(obstacle.clone())
        } else if standby == self.0.me {
            let shared = self.0.clone();
            let checked = tokio::task::spawn_blocking(move || shared.fit(&digest).map(|_| ()));
            checked.await.map_err(|_| internal())?.map_err(|(_, why)| why)
        } else {
            self.0.offer_to_guard(standby, None, digest).await
        };
        checked.map_err(|why| {
            let what = format!("{name} cannot be its standby: {why}");
            ErrorDetail::new(ErrorCode::DoesNotFit, what, "name another device, or run it without a standby")
        })
    }

    async fn run_on(&self, name: &str, on: DeviceId, facts: &Facts) -> Result<AppInstance, ErrorDetail> {
        if on == self.0.me {
            return self.run_here(facts.digest, None).await;
        }
        let there = self.0.name_of(on);
        let brought = self.0.bring_package(on, facts.digest, |_| {}).await;
        brought.map_err(|why| {
            ErrorDetail::new(ErrorCode::Unreachable, format!("{name} on {there}: {why}"), "try again")
        })?;
        self.order(on, Order::Run(facts.digest)).await
    }

    /// Begins an instance on this device. It has the package.
    async fn run_here(&self, digest: [u8; 32], by: Option<DeviceId>) -> Result<AppInstance, ErrorDetail> {
        let shared = self.0.clone();
        let checking = shared.clone();
        let checked = tokio::task::spawn_blocking(move || {
            let refuse = |code, why: String| ErrorDetail::new(code, why, "`tutti app ls` lists what is installed");
            let package = checking.packages.load(&digest);
            let package = package.map_err(|error| refuse(ErrorCode::NoSuchApp, error.to_string()))?;
            checking.granted(&package).map_err(|why| refuse(ErrorCode::NotGranted, why))?;
            if let Some(want) = checking.missing(package.manifest()) {
                let what = format!("nothing in the pool is what it requires as {want}");
                return Err(ErrorDetail::new(ErrorCode::DoesNotFit, what, "`tutti resources` lists what there is"));
            }
            checking.packages.find(&digest).ok_or_else(internal)
        });
        let facts = checked.await.unwrap_or_else(|_| Err(internal()))?;
        let id = InstanceId::from_bytes(rand::random());
        let handle = {
            let mut actors = lock(&shared.actors);
            if actors.len() >= MAX_ACTORS {
                let what = format!("this device has {MAX_ACTORS} instances");
                return Err(ErrorDetail::new(ErrorCode::TooMany, what, "end one, or run it elsewhere"));
            }
            let begun = actor::begin(&shared, id, Begin::New(facts));
            let handle = begun.map_err(|error| {
                ErrorDetail::new(ErrorCode::StorageFailed, error.to_string(), "make room, or check the disk")
            })?;
            actors.insert(id, handle.clone());
            handle
        };
        if let Some(by) = by {
            tracing::info!(instance = %id, by = %shared.name_of(by), "an instance is begun for another device");
        }
        let begun = Instant::now();
        let mut changes = shared.changes.subscribe();
        loop {
            let shown = handle.show();
            let is_begun = |it: &&AppInstance| it.state != InstanceState::Starting;
            match shown.as_ref().filter(is_begun) {
                Some(shown) if shown.state == InstanceState::Failed => {
                    let why = shown.reason.clone().unwrap_or_default();
                    return Err(ErrorDetail::new(
                        ErrorCode::DoesNotFit,
                        why,
                        format!("`tutti app rm {id}` removes it"),
                    ));
                }
                Some(shown) => return Ok(shown.clone()),
                None if begun.elapsed() > BEGIN => {
                    let late = ErrorDetail::new(ErrorCode::TimedOut, "it is still being begun", "look: `tutti app ls`");
                    return shown.ok_or(late);
                }
                None => _ = timeout(Duration::from_millis(200), changes.changed()).await,
            }
        }
    }

    /// Has something done to an instance, wherever it is.
    pub(crate) async fn act(&self, instance: &AppInstance, want: Want) -> Result<AppInstance, ErrorDetail> {
        let id: InstanceId = instance.id.parse().map_err(|_| internal())?;
        let at: DeviceId = instance.device.parse().map_err(|_| internal())?;
        if at == self.0.me || matches!(want, Want::Recover) {
            return self.order_here(id, want).await;
        }
        let order = match want {
            Want::Move(to) => Order::Move(id, *to.as_bytes()),
            Want::Cancel => Order::Cancel(id),
            Want::Stop => Order::Stop(id),
            Want::Start => Order::Start(id),
            Want::End => Order::End(id),
            Want::Tell(text) => Order::Tell(id, text),
            Want::Guard(standby, settings) => Order::Guard(id, *standby.as_bytes(), settings),
            Want::Recover => return Err(internal()),
        };
        self.order(at, order).await
    }

    async fn order_here(&self, id: InstanceId, want: Want) -> Result<AppInstance, ErrorDetail> {
        let actor = self.0.find_actor(id).ok_or_else(|| unknown(&id))?;
        let (reply, answer) = oneshot::channel();
        actor.tell(Ask::Person(want, reply));
        match timeout(OBEY, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(unknown(&id)),
            Err(_) => Err(ErrorDetail::new(ErrorCode::TimedOut, "it is busy", "look: `tutti app ls`")),
        }
    }

    async fn order(&self, at: DeviceId, order: Order) -> Result<AppInstance, ErrorDetail> {
        let body = self.order_raw(at, order).await?;
        serde_json::from_slice(&body).map_err(|_| misbehaved(&self.0.name_of(at)))
    }

    async fn order_raw(&self, at: DeviceId, order: Order) -> Result<Vec<u8>, ErrorDetail> {
        let answer = self.0.ask(at, &wire::Ask::Do(order)).await;
        let hint = "try again when `tutti devices` shows it online";
        match answer.map_err(|why| ErrorDetail::new(ErrorCode::Offline, why, hint))? {
            Answer::Done(body) => Ok(body),
            Answer::Refused(body) => {
                Err(serde_json::from_slice(&body).unwrap_or_else(|_| misbehaved(&self.0.name_of(at))))
            }
            _ => Err(misbehaved(&self.0.name_of(at))),
        }
    }

    /// The lines of an instance's log behind this number, and if it is here what tells of more.
    pub(crate) async fn log(
        &self,
        instance: &AppInstance,
        after: u64,
    ) -> Result<(Vec<AppLine>, Option<watch::Receiver<u64>>), ErrorDetail> {
        let id: InstanceId = instance.id.parse().map_err(|_| internal())?;
        let at: DeviceId = instance.device.parse().map_err(|_| internal())?;
        if at == self.0.me {
            let actor = self.0.find_actor(id).ok_or_else(|| unknown(&id))?;
            return Ok((actor.log.after(after), Some(actor.log.last())));
        }
        let body = self.order_raw(at, Order::Log(id, after)).await?;
        let lines = serde_json::from_slice(&body).map_err(|_| misbehaved(&self.0.name_of(at)))?;
        Ok((lines, None))
    }

    /// The audit log behind this number.
    pub(crate) fn audited(&self, after: u64) -> Vec<AuditLine> {
        self.0.audit.after(after)
    }

    /// Why an app would be placed where.
    pub(crate) async fn place_why(&self, name: &str, instance: Option<&str>) -> Result<PlaceWhy, ErrorDetail> {
        let facts = self.facts(name).await?;
        let instance = instance.map(|word| self.resolve(word)).transpose()?;
        Ok(self.why(&facts, instance.as_ref()))
    }

    /// Whether this device is an owner of the group.
    pub(crate) fn is_owner(&self) -> bool {
        self.0.is_owner(self.0.me)
    }
}

/// For the API: what may be wanted of an instance.
pub(crate) use actor::Want as Wanted;

fn internal() -> ErrorDetail {
    ErrorDetail::new(ErrorCode::Internal, "a fault in this device", "see the device's log")
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

fn digest_of(text: &str) -> Option<[u8; 32]> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

fn show_app(granted: &Granted, facts: Option<&Facts>) -> App {
    let grant = &granted.grant;
    let manifest = facts.map(|facts| facts.manifest.clone());
    let wants = manifest.iter().flat_map(|manifest| manifest.wants.iter()).map(|(name, want)| AppWant {
        name: name.to_string(),
        kind: want.kind.to_string(),
        unit: want.unit.map(|unit| unit.to_string()),
        required: want.required,
        granted: grant.wants.contains(name),
        min: want.min,
        max: want.max,
    });
    let (major, minor, patch) = grant.floor;
    App {
        name: grant.name.to_string(),
        version: manifest.as_ref().map(|manifest| manifest.version.to_string()),
        about: manifest.as_ref().map(|manifest| manifest.about.clone()).unwrap_or_default(),
        author: grant.author.to_string(),
        digest: facts.map(|facts| packages::hex(&facts.digest)),
        size: facts.map_or(0, |facts| facts.size),
        here: facts.is_some(),
        icon: facts.is_some_and(|facts| facts.icon),
        wants: wants.collect(),
        memory_kib: manifest.as_ref().map_or(grant.memory_kib, |manifest| manifest.limits.memory_kib),
        cpu: manifest.as_ref().map_or(0, |manifest| manifest.limits.cpu),
        obstacle: facts.and_then(|facts| facts.obstacle.clone()),
        floor: Version(major, minor, patch).to_string(),
        granted_by: granted.by.to_string(),
        granted_at: granted.at.as_unix_millis(),
        instances: 0,
    }
}

impl Shared {
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

    /// The device through which another one is reached.
    fn host_of(&self, device: DeviceId) -> Option<DeviceId> {
        self.pool.catalogue().device(device).map(|entry| entry.via.unwrap_or(device))
    }

    // --- grants ----------------------------------------------------------------------------------------------

    /// Whether an owner allows this package to run; else why not.
    fn granted(&self, package: &Package) -> Result<(), String> {
        let view = self.view();
        let found = view.group.grants.get(&package.manifest().name).ok_or("no owner allows an app of this name")?;
        let grant = &found.grant;
        let (major, minor, patch) = grant.floor;
        let grant = Grant {
            author: grant.author,
            name: grant.name,
            floor: Version(major, minor, patch),
            wants: grant.wants.clone(),
            memory_kib: grant.memory_kib.min(MAX_MEMORY_KIB),
        };
        grant.covers(package).map_err(|error| error.to_string())
    }

    fn granted_wants(&self, app: Name) -> Vec<Name> {
        self.view().group.grants.get(&app).map(|it| it.grant.wants.clone()).unwrap_or_default()
    }

    /// The best package here of what was granted.
    fn best(&self, granted: &Granted) -> Option<Facts> {
        let (major, minor, patch) = granted.grant.floor;
        self.packages.best(granted.grant.name, granted.grant.author, Version(major, minor, patch))
    }

    fn missing(&self, manifest: &Manifest) -> Option<Name> {
        binder::missing(&self.pool.catalogue(), manifest)
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

    /// How many instances there are here, and how many bytes of memory they have.
    fn used(&self) -> (usize, u64) {
        let mine = self.mine().instances;
        (mine.len(), mine.iter().map(|it| it.memory).sum())
    }

    /// What this device tells the others.
    fn mine(&self) -> AppsState {
        let instances = lock(&self.actors).values().filter_map(Handle::show).collect();
        let view = self.view();
        let grants = view.group.grants.values();
        let apps = grants.filter_map(|granted| Some(show_app(granted, Some(&self.best(granted)?)))).collect();
        AppsState { apps, instances }
    }

    fn heard(&self, from: DeviceId, state: AppsState) {
        lock(&self.others).insert(from, state);
        self.shown.send_modify(|count| *count += 1);
    }

    fn forget_strangers(&self, members: &BTreeSet<DeviceId>) {
        lock(&self.others).retain(|device, _| members.contains(device));
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

    /// All instances of the group, each once, and copies that were given up.
    fn instances_now(&self) -> Vec<AppInstance> {
        let mut all = self.mine().instances;
        for (device, state) in lock(&self.others).iter() {
            let away = !self.is_connected(*device);
            all.extend(state.instances.iter().cloned().map(|mut it| {
                if away && it.state != InstanceState::GivenUp {
                    it.state = InstanceState::Away;
                    it.moving = None;
                }
                it
            }));
        }
        listing::merge(all)
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

    // --- words -----------------------------------------------------------------------------------------------

    fn audit(&self, app: &str, instance: Option<InstanceId>, what: AuditWhat, about: String) {
        let at = self.clock.wall().as_unix_millis();
        let instance = instance.map(|instance| instance.to_string());
        self.audit.add(AuditLine { number: 0, at, app: app.to_owned(), instance, what, about });
    }
}
