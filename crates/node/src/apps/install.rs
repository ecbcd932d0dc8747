//! What owners allow, and this device keeps: apps are installed and removed, and packages got from where they are.

use std::path::Path;

use tutti_app::package::{Package, Version};
use tutti_control::{App, AuditWhat, ErrorCode, ErrorDetail};
use tutti_fabric::group::{AppGrant, Granted};
use tutti_model::{DeviceId, Name};

use crate::lock::lock;

use super::{
    Apps, MAX_MEMORY_KIB, disk, internal,
    listing::show_app,
    packages::{Facts, KeepError},
};

/// What becomes of the instances of an app that is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// They run on, and so the app is not removed.
    Keep,
    /// They stop.
    Stop,
}

impl Apps {
    /// Installs an app: an owner allows it, and this device keeps its package.
    pub(crate) async fn install(&self, bytes: Vec<u8>) -> Result<App, ErrorDetail> {
        let shared = self.0.clone();
        self.owners_only("install")?;
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

    /// Allows an app no longer. Instances that are left stop as soon as their devices hear of it, and keep their state.
    pub(crate) async fn remove(&self, name: &str, left: Left) -> Result<(), ErrorDetail> {
        let granted = self.app(name)?;
        self.owners_only("remove")?;
        let instances: Vec<_> = self.0.instances_now().into_iter().filter(|it| it.app == name).collect();
        if let Some(one) = instances.first().filter(|_| left == Left::Keep) {
            let what = format!("{} instances of it are left, one on {}", instances.len(), one.device_name);
            let hint = "end them first: `tutti app rm INSTANCE`; or stop them all with it: `--stop-instances`";
            return Err(ErrorDetail::new(ErrorCode::WrongState, what, hint));
        }
        let hint = "try again in a moment";
        let removed = self.0.fabric.disallow_app(granted.grant.name).await;
        removed.map_err(|error| ErrorDetail::new(ErrorCode::Internal, error.to_string(), hint))?;
        let (shared, name_of) = (self.0.clone(), granted.grant.name);
        let removing = move || shared.packages.remove(name_of, &used_packages(&shared.instances()));
        tokio::task::spawn_blocking(removing).await.map_err(|_| internal())?;
        let about = match instances.len() {
            0 => String::new(),
            more => format!("{more} instances of it were left"),
        };
        self.0.audit(name, None, AuditWhat::Removed, about);
        self.0.changed();
        Ok(())
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

    /// Refuses what only owners do to apps, unless this device is one.
    pub(super) fn owners_only(&self, what: &str) -> Result<(), ErrorDetail> {
        if self.is_owner() {
            return Ok(());
        }
        let hint = "do it on an owner: `tutti devices` shows the roles";
        Err(ErrorDetail::new(ErrorCode::NotOwner, format!("only owners of the group {what} apps"), hint))
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
    pub(super) async fn facts(&self, name: &str) -> Result<Facts, ErrorDetail> {
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
}

pub(super) fn digest_of(text: &str) -> Option<[u8; 32]> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

/// The packages of instances and replicas that are here.
fn used_packages(folder: &Path) -> Vec<[u8; 32]> {
    let saved = disk::all(folder).into_iter().filter_map(|it| disk::Folder::new(folder, it).load().ok()?);
    let packages = |saved: disk::Saved| {
        let own = saved.journal.map(|_| saved.package);
        own.into_iter().chain(saved.replica.map(|replica| replica.package))
    };
    saved.flat_map(packages).collect()
}
