//! The side of a move that takes: looks at the offer, puts what comes on the disk and into an app that is warm by the time it is this device's.

use std::sync::Arc;

use tutti_app::{
    handover::{Input, Offer, Why},
    ids::Attempt,
    package::Package,
    runtime::{App, Limits, Running, StartError, host},
    snapshot::Image,
};
use tutti_model::DeviceId;

use super::{
    Actor,
    durable::follow,
    running::{Parts, limits_of},
};
use crate::apps::{
    Shared,
    binder::Binder,
    disk::Saved,
    journal::{Journal, Kept, Step},
};

/// The most instances that one device has.
const MOST: usize = 128;

/// A move that is under way to here.
pub(super) struct Arriving {
    pub(super) attempt: Attempt,
    source: DeviceId,
    package: Package,
    /// When the owners' word on it was looked at: see [`Shared::grants`].
    pub(super) allowed: u64,
    app: Arc<App>,
    limits: Limits,
    binder: Option<Binder>,
    running: Running,
    image: Option<Image>,
    kept: Kept,
    journal: Journal,
    pub(super) number: u64,
    whole: bool,
}

impl Arriving {
    /// What the disk is to say when it is whole.
    pub(super) fn saved(&self, before: Option<&Saved>) -> Saved {
        Saved {
            journal: Some(self.number),
            guard: before.and_then(|saved| saved.guard),
            replica: before.and_then(|saved| saved.replica.clone()),
            ..Saved::new(*self.package.digest(), self.package.manifest())
        }
    }

    /// What there is to go on from at once; nothing if it is not whole.
    pub(super) fn into_parts(self) -> Option<(Parts, u32)> {
        let Self { app, limits, running, binder, image, kept, journal, whole, package, .. } = self;
        let binder = binder.filter(|_| whole)?;
        let cpu = package.manifest().limits.cpu;
        Some((Parts { app, limits, running, binder, image, kept, journal: Some(journal) }, cpu))
    }
}

impl Shared {
    /// Holds a package against the owner's grant and against what there is here: whether an instance of it could come.
    pub(in crate::apps) fn fit(&self, digest: &[u8; 32]) -> Result<(Package, Arc<App>, Limits), (Why, String)> {
        let failed = |error: &dyn std::fmt::Display| (Why::Failed, error.to_string());
        let package = self.packages.load(digest).map_err(|error| failed(&error))?;
        self.granted(&package).map_err(|why| (Why::NotGranted, why))?;
        let manifest = package.manifest();
        if let Some(name) = self.missing(manifest) {
            return Err((Why::Unfit, format!("nothing here or in the pool is what it requires as {name}")));
        }
        let limits = limits_of(manifest.limits.memory_kib);
        if self.own_instances().len() >= MOST {
            return Err((Why::Full, format!("it has {MOST} instances")));
        }
        self.room_for(manifest).map_err(|why| (Why::Full, why))?;
        let app = self.engines.load(&package).map_err(|error| failed(&error))?;
        if let Some(obstacle) = app.obstacle() {
            return Err((Why::Unfit, obstacle.to_string()));
        }
        Ok((package, app, limits))
    }

    /// A package that is here and allowed, ready to run.
    pub(super) fn runnable(&self, digest: &[u8; 32]) -> Result<(Package, Arc<App>, Limits), String> {
        let package = self.packages.load(digest).map_err(|error| format!("its package: {error}"))?;
        self.granted(&package)?;
        let app = self.engines.load(&package).map_err(|error| error.to_string())?;
        let limits = limits_of(package.manifest().limits.memory_kib);
        Ok((package, app, limits))
    }
}

impl Actor {
    /// A fresh instance of an app, and what it sees: nothing is leased or followed yet.
    pub(super) fn fresh(
        &self,
        package: &Package,
        app: &Arc<App>,
        limits: Limits,
    ) -> Result<(Running, Binder), StartError> {
        let binder = Binder::prepare(&self.shared, self.id, package.manifest(), self.handle.clone());
        let _ticking = self.shared.engines.ticking();
        Ok((app.start(limits, binder.world())?, binder))
    }

    /// May it come here?
    pub(super) fn consider(&mut self, from: DeviceId, offer: Offer) {
        let attempt = offer.attempt;
        let verdict = match self.prepare(from, &offer) {
            Ok(arriving) => {
                self.arriving = Some(arriving);
                Ok(())
            }
            Err((why, text)) => {
                let name = self.shared.name_of(from);
                tracing::info!(instance = %self.id, from = %name, "an instance was not taken: {text}");
                self.turned_away("", format!("offered by {name}: {text}"));
                Err(why)
            }
        };
        self.mover(Input::Considered(attempt, verdict));
    }

    /// Holds an offer against the owner's grant and against what there is here, and makes ready for what comes.
    fn prepare(&self, from: DeviceId, offer: &Offer) -> Result<Arriving, (Why, String)> {
        let failed = |error: &dyn std::fmt::Display| (Why::Failed, error.to_string());
        let allowed = self.shared.grants();
        let (package, app, limits) = self.shared.fit(&offer.package)?;
        if offer.size > limits.memory as u64 {
            return Err((Why::Full, "it is larger than its app may be".into()));
        }
        let (running, binder) = self.fresh(&package, &app, limits).map_err(|error| failed(&error))?;
        let number = rand::random();
        self.folder.ready().map_err(|error| failed(&error))?;
        let journal = Journal::create(&self.folder.journal(number)).map_err(|error| failed(&error))?;
        let image = running.fresh().cloned();
        Ok(Arriving {
            attempt: offer.attempt,
            source: from,
            package,
            allowed,
            app,
            limits,
            binder: Some(binder),
            running,
            image,
            kept: Kept::default(),
            journal,
            number,
            whole: false,
        })
    }

    /// A step has come. Gives whether there may be more.
    pub(super) fn on_step(&mut self, attempt: Attempt, from: DeviceId, step: Step, bytes: &[u8]) -> bool {
        let mine = |it: &&mut Arriving| (it.attempt, it.source) == (attempt, from) && !it.whole;
        if self.arriving.as_mut().filter(mine).is_none() {
            return false;
        }
        let last = step.kept.last;
        match self.take_step(step, bytes) {
            Ok(()) if last => {
                self.mover(Input::Stored(attempt, Ok(())));
                false
            }
            Ok(()) => {
                self.mover(Input::Progress(attempt));
                true
            }
            Err(why) => {
                tracing::warn!(instance = %self.id, "what came of an instance is not taken: {why}");
                self.mover(Input::Stored(attempt, Err(Why::Damaged)));
                false
            }
        }
    }

    fn take_step(&mut self, step: Step, bytes: &[u8]) -> Result<(), String> {
        let Some(arriving) = &mut self.arriving else { return Err("nobody waits for it".into()) };
        let before = arriving.image.take().ok_or("what came before was damaged")?;
        let image = follow(&before, &step.patch, arriving.limits)?;
        {
            let _ticking = self.shared.engines.ticking();
            let host: host::Kept = step.kept.host.clone();
            arriving.running.restore(&image, host).map_err(|error| error.to_string())?;
        }
        // Each is on the disk while the app still runs there, so that only the last one is waited for while it stands still.
        arriving.journal.append(bytes).map_err(|error| error.to_string())?;
        arriving.whole = step.kept.last;
        arriving.image = Some(image);
        if let Some(binder) = arriving.binder.as_ref().filter(|_| step.kept.last) {
            binder.expect(step.kept.leases.clone());
        }
        arriving.kept = step.kept;
        Ok(())
    }

    /// What came of an attempt is not needed.
    pub(super) fn let_go(&mut self, attempt: Attempt) {
        if let Some(arriving) = self.arriving.take_if(|arriving| arriving.attempt == attempt) {
            let path = arriving.journal.path().to_path_buf();
            drop(arriving);
            let _ = std::fs::remove_file(path);
        }
    }
}
