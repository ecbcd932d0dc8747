//! What an owner's grant says of a package.

use std::sync::atomic::Ordering;

use tutti_app::package::{Grant, Manifest, Package, Version};
use tutti_fabric::group::{AppGrant, Granted};
use tutti_model::Name;

use super::{MAX_MEMORY_KIB, Shared, binder, packages::Facts};

/// The least version that a grant allows.
pub(super) fn floor(grant: &AppGrant) -> Version {
    let (major, minor, patch) = grant.floor;
    Version(major, minor, patch)
}

impl Shared {
    /// Grows whenever owners allow something else than before.
    pub(super) fn grants(&self) -> u64 {
        self.grants.load(Ordering::Relaxed)
    }

    /// Whether an owner allows this package to run; else why not.
    pub(super) fn granted(&self, package: &Package) -> Result<(), String> {
        self.grant_for(package.manifest().name)?.covers(package).map_err(|error| error.to_string())
    }

    /// The same of a package that is not at hand.
    pub(super) fn allowed(&self, facts: &Facts) -> Result<(), String> {
        let grant = self.grant_for(facts.manifest.name)?;
        grant.covers_what(&facts.manifest, facts.author).map_err(|error| error.to_string())
    }

    fn grant_for(&self, app: Name) -> Result<Grant, String> {
        let view = self.view();
        let found = view.group.grants.get(&app).ok_or("no owner allows an app of this name")?;
        let grant = &found.grant;
        Ok(Grant {
            author: grant.author,
            name: grant.name,
            floor: floor(grant),
            wants: grant.wants.clone(),
            memory_kib: grant.memory_kib.min(MAX_MEMORY_KIB),
        })
    }

    pub(super) fn granted_wants(&self, app: Name) -> Vec<Name> {
        self.view().group.grants.get(&app).map(|it| it.grant.wants.clone()).unwrap_or_default()
    }

    /// The best package here of what was granted.
    pub(super) fn best(&self, granted: &Granted) -> Option<Facts> {
        let grant = &granted.grant;
        self.packages.best(grant.name, grant.author, floor(grant))
    }

    pub(super) fn missing(&self, manifest: &Manifest) -> Option<Name> {
        binder::missing(&self.pool.catalogue(), manifest)
    }
}
