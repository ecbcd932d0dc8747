//! The app at its home: begun, and stopped.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use tutti_app::{
    home::{self, Home, Incoming},
    ids::Epoch,
    runtime::{App, Limits, Running, host::Event},
    snapshot::{Image, PAGE},
    standby,
};
use tutti_control::{AppLevel, AuditWhat, ErrorCode, ErrorDetail};
use tutti_model::{Name, WallTime};

use super::{Actor, Reply, durable::Writing, guarding::Sent, not_here, wrong};
use crate::apps::{
    binder::Binder,
    disk::Saved,
    journal::{Journal, Kept},
    not_saved,
};

/// How many ticks an app has for one event: a second.
const TICKS: u64 = 200;
/// How far an app may be ahead of its share of the processor before it has to wait.
const AHEAD: Duration = Duration::from_secs(1);

/// An app that runs here.
pub(super) struct Live {
    pub(super) epoch: Epoch,
    pub(super) home: Home<Event>,
    pub(super) binder: Binder,
    pub(super) events: u64,
    /// The state that is durable; none before the first, or if the app cannot be carried.
    pub(super) image: Option<Image>,
    /// What is durable beside it.
    pub(super) durable: Kept,
    pub(super) app: Arc<App>,
    pub(super) limits: Limits,
    pub(super) running: Option<Running>,
    /// What of it the standby has.
    pub(super) sent: Sent,
    pub(super) journal: Option<Journal>,
    pub(super) writing: Option<Writing>,
    /// Timers that are queued.
    pub(super) ringing: BTreeSet<u32>,
    pub(super) follows: BTreeMap<String, u32>,
    pub(super) stopping: Option<Reply>,
    pub(super) poisoned: u8,
    pub(super) share: Share,
}

/// What there is to begin an app with.
pub(super) struct Parts {
    pub(super) app: Arc<App>,
    pub(super) limits: Limits,
    pub(super) running: Running,
    pub(super) binder: Binder,
    pub(super) image: Option<Image>,
    pub(super) kept: Kept,
    pub(super) journal: Option<Journal>,
}

/// The share of the processor that an app may use, counted in time that it used beyond it.
pub(super) struct Share {
    thousandths: u32,
    debt: Duration,
    since: Instant,
}

impl Share {
    fn new(thousandths: u32) -> Self {
        Self { thousandths: thousandths.max(1), debt: Duration::ZERO, since: Instant::now() }
    }

    /// How long to wait before the next event.
    pub(super) fn wait(&mut self) -> Duration {
        let earned = self.since.elapsed().mul_f64(f64::from(self.thousandths) / 1000.0);
        self.since = Instant::now();
        self.debt = self.debt.saturating_sub(earned);
        let over = self.debt.saturating_sub(AHEAD);
        over.mul_f64(1000.0 / f64::from(self.thousandths)).min(Duration::from_millis(200))
    }

    pub(super) fn used(&mut self, time: Duration) {
        self.debt += time;
    }
}

impl Live {
    pub(super) fn new(now: tutti_model::BootTime, epoch: Epoch, cpu: u32, parts: Parts) -> Self {
        let Parts { app, limits, running, binder, image, kept, journal } = parts;
        binder.follow(&kept.host.follows);
        binder.go();
        Self {
            epoch,
            home: Home::new(now, epoch, kept.home.clone()),
            binder,
            events: kept.events,
            image,
            follows: kept.host.follows.clone(),
            durable: kept,
            sent: Sent::default(),
            app,
            limits,
            running: Some(running),
            journal,
            writing: None,
            ringing: BTreeSet::new(),
            stopping: None,
            poisoned: 0,
            share: Share::new(cpu),
        }
    }

    /// How long until the next timer goes off that is not queued.
    pub(super) fn next_timer(&self, now: WallTime) -> Option<Duration> {
        let timers = self.running.as_ref().map(|running| &running.kept().timers)?;
        let next =
            timers.iter().filter(|(id, _)| !self.ringing.contains(id)).map(|(_, at)| at.as_unix_millis()).min()?;
        Some(Duration::from_millis(next.saturating_sub(now.as_unix_millis())))
    }
}

/// What an app may use, by its manifest.
pub(super) fn limits_of(memory_kib: u32) -> Limits {
    Limits { memory: (memory_kib as usize * 1024).max(PAGE), ticks: TICKS }
}

impl Actor {
    /// It may run here, in this epoch.
    pub(super) fn start(&mut self, epoch: Epoch) {
        self.failed = false;
        if self.saved.as_ref().is_some_and(|saved| saved.stopped) {
            return;
        }
        let now = self.now();
        if let Some(live) = self.live.as_mut().filter(|live| live.epoch == epoch) {
            live.binder.go();
            live.home.handle(now, home::Input::Resume);
            return;
        }
        // Whatever move was under way, this is another stay.
        self.leaving = None;
        let arriving = self.arriving.take();
        // What was allowed when it was offered may not be any more.
        self.allowed = arriving.as_ref().map_or(self.allowed, |arriving| arriving.allowed);
        let arrived = arriving.and_then(|arriving| arriving.into_parts());
        let from_afar = arrived.is_some();
        let begun = match arrived {
            Some(parts) => Ok(parts),
            None => self.bring_up(),
        };
        match begun {
            Ok((parts, cpu)) => {
                let fresh = parts.image.is_none() || parts.journal.is_none();
                let event = if fresh { Event::Started } else { Event::Resumed };
                let mut live = Live::new(now, epoch, cpu, parts);
                live.home.handle(now, home::Input::Event(Incoming { origin: None, event }));
                let saves = live.durable.home.saves;
                self.live = Some(live);
                self.keeper.handle(now, standby::Input::Saved(saves));
                self.reason = None;
                let what = match (from_afar, fresh) {
                    (true, _) => AuditWhat::Arrived,
                    _ => AuditWhat::Started,
                };
                self.audit(what, self.shared.name_of(self.shared.me));
            }
            Err(why) => self.fail(why),
        }
    }

    /// Makes the app ready to go on from what is on the disk.
    fn bring_up(&self) -> Result<(Parts, u32), String> {
        let saved = self.saved.as_ref().ok_or("there is nothing on the disk to go on from")?;
        let (package, app, limits) = self.shared.runnable(&saved.package)?;
        let (running, binder) = self.fresh(&package, &app, limits).map_err(|error| error.to_string())?;
        let cpu = package.manifest().limits.cpu;
        let mut parts = Parts { app, limits, running, binder, image: None, kept: Kept::default(), journal: None };
        if let Some(number) = saved.journal {
            let fresh = parts.running.fresh().cloned();
            let (journal, image, kept) = self.read_state(number, fresh, limits)?;
            parts.journal = Some(journal);
            let _ticking = self.shared.engines.ticking();
            if let Some(image) = &image {
                let put = parts.running.restore(image, kept.host.clone());
                put.map_err(|error| format!("its state cannot be put back: {error}"))?;
            }
            // Without its memory it begins anew, with what the host kept for it.
            (parts.image, parts.kept) = (image, kept);
        }
        Ok((parts, cpu))
    }

    /// It does not run any more, and is not begun again by itself.
    pub(super) fn fail(&mut self, why: String) {
        self.note(AppLevel::System, format!("it does not run: {why}"));
        self.live = None;
        self.failed = true;
        self.reason = Some(why);
    }

    /// What it runs by may have been taken back since it was looked at last: then it does not run any more, or without what it may not use. Its state
    /// stays, for whoever allows it again or removes it.
    pub(super) fn recheck(&mut self) {
        let allowed = self.shared.grants();
        if allowed == self.allowed {
            return;
        }
        self.allowed = allowed;
        let Some(saved) = self.saved.as_ref().filter(|_| self.live.is_some()) else { return };
        let (app, package) = (saved.app, saved.package);
        let package = self.shared.packages.load(&package).map_err(|error| error.to_string());
        match package.and_then(|package| self.shared.granted(&package)) {
            Ok(()) => self.restrict(app),
            Err(why) => {
                if self.leaving.is_some() {
                    // If it is decided already, its new home looks at the grant itself.
                    let _ = self.cancel_move();
                }
                self.audit(AuditWhat::Refused, why.clone());
                self.fail(why);
            }
        }
    }

    /// It goes on with what it may use now.
    fn restrict(&mut self, app: Name) {
        let Some(live) = &self.live else { return };
        for name in live.binder.allow(&self.shared.granted_wants(app)) {
            let why = format!("{name} may not be used any more: an owner allows the app less than before");
            self.note(AppLevel::System, why.clone());
            self.audit(AuditWhat::Refused, why);
            let now = self.now();
            if let Some(live) = &mut self.live {
                let event = Event::Changed(name, false);
                live.home.handle(now, home::Input::Event(Incoming { origin: None, event }));
            }
        }
    }

    /// Stops it at rest, and says so then.
    pub(super) fn stop(&mut self, reply: Reply) {
        let Some(saved) = self.saved.clone().filter(|saved| saved.record.is_some() && !saved.stopped) else {
            let _ = reply.send(Err(wrong("it does not run here", "`tutti app ls` shows its state")));
            return;
        };
        if let Err(error) = self.save(Saved { stopped: true, ..saved }) {
            let _ = reply.send(Err(not_saved(&error)));
            return;
        }
        let now = self.now();
        match &mut self.live {
            Some(live) => {
                live.stopping = Some(reply);
                live.home.handle(now, home::Input::Pause);
            }
            None => {
                let _ = reply.send(Ok(self.seen()));
            }
        }
        self.settle();
    }

    /// Lets it go on that was stopped, or failed.
    pub(super) fn restart(&mut self) -> Result<(), ErrorDetail> {
        let Some(epoch) = self.keeper.may_run(self.now()) else {
            return Err(not_here("it does not stand here now"));
        };
        let Some(saved) = self.saved.clone().filter(|_| self.live.is_none()) else {
            return Err(wrong("it runs already", ""));
        };
        self.save(Saved { stopped: false, ..saved }).map_err(|error| not_saved(&error))?;
        self.start(epoch);
        self.settle();
        match (&self.live, &self.reason) {
            (None, Some(why)) => Err(ErrorDetail::new(ErrorCode::DoesNotFit, why.clone(), "")),
            _ => Ok(()),
        }
    }

    /// The package that it is of.
    pub(super) fn package(&self) -> Option<([u8; 32], Name)> {
        self.saved.as_ref().map(|saved| (saved.package, saved.app))
    }
}
