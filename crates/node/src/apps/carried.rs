//! Apps that the image of a device carries.
//!
//! A carried package lies on the shelf: it is offered to the group ([`CarriedApp`]), and given to whoever asks for it by its digest. It
//! becomes an installed app by an owner's signed grant and in no other way:
//!
//! ```text
//!              an owner elsewhere: `tutti app install --from DEVICE NAME` (the package comes over the pool)
//!   on the shelf ──────────────────────────────────────────────────▶ allowed ──▶ kept ──▶ run here, if the product says so
//!              this device is an owner itself, and nobody has removed the app
//! ```
//!
//! - *An image grants itself nothing.* What is not covered by a grant of the group's history is neither kept nor run. A device that
//!   is an owner signs with its own key what its image carries, as a person would on it; each app once in a group, so that
//!   an app which was removed stays so.
//! - *What is kept outlasts the image*: an allowed package goes to the other packages, so that an instance goes on after an update to an image
//!   without it.
//! - *An instance is begun once in a group*: whoever ends it has ended it, and finds it not begun again after the next start. One that is here from the
//!   time before (its device was alone, say, and has entered a group) goes on instead.
//! - A package may be in the image and yet not be sound; it is then left out, with the reason for `tutti doctor`.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout_at};
use tutti_app::package::MAX_PACKAGE;
use tutti_control::{App, CarriedApp, ErrorCode, ErrorDetail, InstanceState};
use tutti_fabric::group::GroupId;
use tutti_model::{DeviceId, Name, Role};
use tutti_update::carried;

use super::{
    Apps, Shared, Wanted, install::digest_of, internal, listing::show_wants, misbehaved, packages, packages::Facts,
    streams,
};
use crate::{carried::Board, lock::lock, state::State};

/// The key of what was done, in the settings.
const KEY: &str = "carried-apps";
/// How many of these are remembered; those of the latest groups.
const MARKS: usize = 8 * carried::MOST;
/// How long a device that is alone waits before it is an owner for its image: it may be about to enter a group.
const ALONE: Duration = Duration::from_secs(3);
/// The pauses before something is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(20));

/// What is on the shelf.
#[derive(Default)]
pub(super) struct Shelf(Mutex<BTreeMap<Name, Item>>);

/// A carried package.
#[derive(Clone)]
struct Item {
    facts: Facts,
    file: PathBuf,
    run: bool,
}

/// What was done with a carried app in a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    group: [u8; 32],
    name: String,
    /// It was allowed once: its removal is somebody's will.
    allowed: bool,
    /// Its instance was begun.
    begun: bool,
}

/// The marks of all groups, the latest last.
struct Marks {
    all: Vec<Mark>,
    state: State,
}

impl Marks {
    async fn load(state: State) -> Self {
        let all = state.load_list(KEY).await.unwrap_or_else(|error| {
            tracing::error!(%error, "what was done with carried apps is not known");
            Vec::new()
        });
        Self { all, state }
    }

    fn of(&self, group: GroupId, name: Name) -> Mark {
        let found = self.all.iter().find(|mark| mark.group == group.0 && mark.name == name.as_str());
        let none = || Mark { group: group.0, name: name.to_string(), allowed: false, begun: false };
        found.cloned().unwrap_or_else(none)
    }

    /// Keeps a mark. It is on the disk when this returns.
    async fn keep(&mut self, mark: &Mark) -> Result<(), String> {
        if self.all.contains(mark) {
            return Ok(());
        }
        self.all.retain(|other| (other.group, &other.name) != (mark.group, &mark.name));
        self.all.push(mark.clone());
        let excess = self.all.len().saturating_sub(MARKS);
        self.all.drain(..excess);
        self.state.save_list(KEY, &self.all).await.map_err(|error| error.to_string())
    }
}

impl Shared {
    /// What the image of this device carries, as others are told.
    pub(super) fn carried_here(&self) -> Vec<CarriedApp> {
        let (device, device_name) = (self.me.to_string(), self.name_of(self.me));
        let show = |item: &Item| {
            let manifest = &item.facts.manifest;
            CarriedApp {
                name: manifest.name.to_string(),
                version: manifest.version.to_string(),
                about: manifest.about.clone(),
                author: item.facts.author.to_string(),
                digest: packages::hex(&item.facts.digest),
                size: item.facts.size,
                device: device.clone(),
                device_name: device_name.clone(),
                installed: self.allowed(&item.facts).is_ok(),
                run: item.run,
                wants: show_wants(manifest, &self.granted_wants(manifest.name)),
                memory_kib: manifest.limits.memory_kib,
            }
        };
        lock(&self.carried.0).values().map(show).collect()
    }

    /// A package of this device's, kept or carried.
    pub(super) fn package_bytes(&self, digest: &[u8; 32]) -> io::Result<Vec<u8>> {
        match self.packages.read(digest) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            read => return read,
        }
        let file = lock(&self.carried.0).values().find(|it| it.facts.digest == *digest).map(|it| it.file.clone());
        read_package(&file.ok_or(io::ErrorKind::NotFound)?)
    }
}

fn read_package(file: &Path) -> io::Result<Vec<u8>> {
    if std::fs::metadata(file)?.len() > MAX_PACKAGE as u64 {
        return Err(io::Error::other("it is too large"));
    }
    std::fs::read(file)
}

impl Apps {
    /// Puts what the image carries on the shelf. What cannot be used is said on the board.
    pub(crate) async fn carry(&self, apps: Vec<carried::App>, board: &Board) {
        let reading = tokio::task::spawn_blocking(move || {
            apps.into_iter()
                .map(|app| {
                    let bytes = read_package(&app.file).map_err(|error| error.to_string());
                    let facts = bytes.and_then(|bytes| packages::facts(&bytes).map_err(|error| error.to_string()));
                    (app, facts)
                })
                .collect::<Vec<_>>()
        });
        for (app, facts) in reading.await.unwrap_or_default() {
            match facts {
                Ok(facts) => {
                    let item = Item { facts, file: app.file, run: app.run };
                    lock(&self.0.carried.0).insert(item.facts.manifest.name, item);
                }
                Err(why) => board.waits(&app.file.display().to_string(), format!("it is left out: {why}")),
            }
        }
        self.0.changed();
    }

    /// What is carried in the group and can be had now: by this device, and by those that are connected.
    pub(crate) fn carried(&self) -> Vec<CarriedApp> {
        let mut all = self.0.carried_here();
        let others = lock(&self.0.others);
        let there = others.iter().filter(|(device, _)| self.0.is_connected(**device));
        all.extend(there.flat_map(|(_, state)| state.carried.iter().cloned()));
        all
    }

    /// Installs an app that a device carries, for an owner: as from its file, which is got from there.
    pub(crate) async fn install_carried(&self, name: &str, from: Option<DeviceId>) -> Result<App, ErrorDetail> {
        self.owners_only("install")?;
        let all = self.carried();
        let from_id = from.map(|device| device.to_string());
        let fits = |it: &&CarriedApp| it.name == name && from_id.as_ref().is_none_or(|from| it.device == *from);
        let meant: Vec<_> = all.iter().filter(fits).collect();
        let say = |it: &CarriedApp| format!("{} {} on {}", it.name, it.version, it.device_name);
        let Some(first) = meant.first() else {
            let what = match from {
                Some(device) => format!("{} carries no app that is called {name:?}", self.0.name_of(device)),
                None => format!("no device in sight carries an app that is called {name:?}"),
            };
            let none = ErrorDetail::new(ErrorCode::NoSuchApp, what, "`tutti app ls` lists what is carried");
            return Err(none.with_candidates(all.iter().map(say).collect()));
        };
        if meant.iter().any(|it| it.digest != first.digest) {
            let what = format!("different apps are carried that are called {name:?}");
            let several = ErrorDetail::new(ErrorCode::Ambiguous, what, "name the device with --from DEVICE");
            return Err(several.with_candidates(meant.iter().map(|it| say(it)).collect()));
        }
        let device: DeviceId = first.device.parse().map_err(|_| internal())?;
        let digest = digest_of(&first.digest).ok_or_else(|| misbehaved(&first.device_name))?;
        let bytes = if device == self.0.me {
            let shared = self.0.clone();
            let read = tokio::task::spawn_blocking(move || shared.package_bytes(&digest)).await;
            read.map_err(|_| internal())?.map_err(|error| error.to_string())
        } else {
            self.0.fetch_bytes(device, digest).await
        };
        let bytes = bytes.map_err(|why| {
            let what = format!("{name} cannot be had from {}: {why}", first.device_name);
            ErrorDetail::new(ErrorCode::Offline, what, "try again when `tutti devices` shows it online")
        })?;
        self.install(bytes).await
    }

    /// Installs what is carried if this device may, keeps what is allowed, and runs what is to run; for ever.
    pub(crate) async fn take_up_carried(self, state: State, board: &Board) {
        if lock(&self.0.carried.0).is_empty() {
            return;
        }
        let mut marks = Marks::load(state).await;
        let mut view = self.0.fabric.view();
        let begun = Instant::now();
        let (mut seen, mut pause) = (None, PAUSES.0);
        loop {
            let group = view.borrow_and_update().group.clone();
            let early = group.is_alone() && begun.elapsed() < ALONE;
            // What is decided here depends on these alone; presence and the like change all the time.
            let key = (group.id, group.my_role(), group.grants.clone(), early);
            let mut due = begun + ALONE;
            if !early {
                if seen.as_ref() != Some(&key) {
                    pause = PAUSES.0;
                }
                if self.look_at_carried(&mut marks, board).await {
                    due = Instant::now() + PAUSES.1;
                    pause = PAUSES.0;
                } else {
                    due = Instant::now() + pause;
                    pause = (pause * 2).min(PAUSES.1);
                }
            }
            seen = Some(key);
            loop {
                match timeout_at(due, view.changed()).await {
                    Ok(Err(_)) => return,
                    Err(_) => break,
                    Ok(Ok(())) => {
                        let group = view.borrow_and_update().group.clone();
                        let now = (group.id, group.my_role(), group.grants.clone(), early && group.is_alone());
                        if seen.as_ref() != Some(&now) {
                            break;
                        }
                    }
                }
            }
        }
    }

    /// Looks at everything on the shelf once. Whether there is nothing left to do.
    async fn look_at_carried(&self, marks: &mut Marks, board: &Board) -> bool {
        let items: Vec<_> = lock(&self.0.carried.0).values().cloned().collect();
        let mut all = true;
        for item in items {
            let name = item.facts.manifest.name;
            let what = format!("the app {name}");
            match self.take_up(&item, marks).await {
                Ok(None) => board.done(&what),
                Ok(Some(waits)) => board.waits(&what, waits),
                Err(why) => {
                    board.waits(&what, why);
                    all = false;
                }
            }
        }
        all
    }

    /// Does what there is to do with one. What it waits for, if it is up to others; an error if it is to be tried again.
    async fn take_up(&self, item: &Item, marks: &mut Marks) -> Result<Option<String>, String> {
        let shared = &self.0;
        let name = item.facts.manifest.name;
        let group = shared.view().group.clone();
        let mut mark = marks.of(group.id, name);
        if let Err(why) = shared.allowed(&item.facts) {
            let is_new = !group.grants.contains_key(&name) && !mark.allowed;
            if group.my_role() != Role::Owner || !is_new {
                let own = shared.name_of(shared.me);
                return Ok(Some(format!("{why}; an owner allows it with: tutti app install --from {own} {name}")));
            }
            let bytes = self.carried_bytes(item).await?;
            self.install(bytes).await.map_err(|error| error.message)?;
        }
        if !mark.allowed {
            mark.allowed = true;
            marks.keep(&mark).await?;
        }
        if shared.packages.find(&item.facts.digest).is_none() {
            let bytes = self.carried_bytes(item).await?;
            let keeping = shared.clone();
            let kept = tokio::task::spawn_blocking(move || keeping.packages.keep(&bytes).map(|_| ())).await;
            kept.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
            shared.changed();
        }
        if item.run && !mark.begun {
            self.begin_carried(item).await?;
            mark.begun = true;
            marks.keep(&mark).await?;
        }
        Ok(None)
    }

    /// Runs it here; or lets the instance go on that is here.
    async fn begin_carried(&self, item: &Item) -> Result<(), String> {
        let name = item.facts.manifest.name;
        let own = self.0.own_instances().into_iter().find(|it| it.app == name.as_str());
        let begun = match own {
            None => self.run_here(item.facts.digest, None).await.map(|_| ()),
            Some(it) if it.state == InstanceState::Failed => self.act(&it, Wanted::Start).await.map(|_| ()),
            Some(_) => Ok(()),
        };
        begun.map_err(|error| format!("it cannot be run yet: {}", error.message))
    }

    async fn carried_bytes(&self, item: &Item) -> Result<Vec<u8>, String> {
        let (file, digest) = (item.file.clone(), item.facts.digest);
        let reading = tokio::task::spawn_blocking(move || {
            let bytes = read_package(&file).map_err(|error| error.to_string())?;
            streams::is_the_one(&bytes, &digest).map(|()| bytes)
        });
        reading.await.map_err(|error| error.to_string())?
    }
}
