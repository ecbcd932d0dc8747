//! The app at its home.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tutti_app::{
    effects::Receiver,
    handover::Ticket,
    home::{self, Home, Incoming, Output},
    ids::Epoch,
    runtime::{
        App, Limits, Running,
        host::{self, Act, Event, Level},
    },
    snapshot::{Image, PAGE, Patch},
    standby,
};
use tutti_control::{AppLevel, AuditWhat, ErrorCode, ErrorDetail};
use tutti_model::{Name, Reading, WallTime};

use super::{Actor, Ask, Reply, guarding::Sent};
use crate::apps::{
    binder::Binder,
    effects::Body,
    journal::{self, Journal, Kept},
};

/// How many events in a row may be given up before the app is not begun again by itself.
const MAX_POISONED: u8 = 5;
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
    app: Arc<App>,
    limits: Limits,
    pub(super) running: Option<Running>,
    /// What of it the standby has.
    pub(super) sent: Sent,
    journal: Option<Journal>,
    writing: Option<Writing>,
    /// Timers that are queued.
    ringing: BTreeSet<u32>,
    follows: BTreeMap<String, u32>,
    stopping: Option<Reply>,
    poisoned: u8,
    share: Share,
}

/// A state on its way to the disk.
struct Writing {
    ticket: Ticket,
    image: Option<Image>,
    kept: Kept,
    step: Arc<Vec<u8>>,
    /// It begins a new journal.
    number: Option<u64>,
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
struct Share {
    thousandths: u32,
    debt: Duration,
    since: Instant,
}

impl Share {
    fn new(thousandths: u32) -> Self {
        Self { thousandths: thousandths.max(1), debt: Duration::ZERO, since: Instant::now() }
    }

    /// How long to wait before the next event.
    fn wait(&mut self) -> Duration {
        let earned = self.since.elapsed().mul_f64(f64::from(self.thousandths) / 1000.0);
        self.since = Instant::now();
        self.debt = self.debt.saturating_sub(earned);
        let over = self.debt.saturating_sub(AHEAD);
        over.mul_f64(1000.0 / f64::from(self.thousandths)).min(Duration::from_millis(200))
    }

    fn used(&mut self, time: Duration) {
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
        let arrived = self.arriving.take().and_then(|arriving| arriving.into_parts());
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
        let package = self.shared.packages.load(&saved.package).map_err(|error| format!("its package: {error}"))?;
        self.shared.granted(&package)?;
        let app = self.shared.engines.load(&package).map_err(|error| error.to_string())?;
        let manifest = package.manifest();
        let limits = limits_of(manifest.limits.memory_kib);
        let binder = Binder::start(&self.shared, self.id, manifest, self.handle.clone(), Vec::new());
        let running = {
            let _ticking = self.shared.engines.ticking();
            app.start(limits, binder.world()).map_err(|error| error.to_string())?
        };
        let cpu = manifest.limits.cpu;
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

    /// What a journal leads to.
    pub(super) fn read_state(
        &self,
        number: u64,
        fresh: Option<Image>,
        limits: Limits,
    ) -> Result<(Journal, Option<Image>, Kept), String> {
        let (mut image, mut kept) = (fresh, Kept::default());
        let journal = Journal::open(&self.folder.journal(number), max_patch(limits), |step| {
            if let Some(before) = image.take().filter(|_| !step.patch.is_empty()) {
                image = Some(follow(&before, &step.patch, limits).map_err(io::Error::other)?);
            }
            kept = step.kept;
            Ok(())
        });
        let journal = journal.map_err(|error| format!("its state cannot be read: {error}"))?;
        Ok((journal, image, kept))
    }

    /// It does not run any more, and is not begun again by itself.
    pub(super) fn fail(&mut self, why: String) {
        self.note(AppLevel::System, format!("it does not run: {why}"));
        self.live = None;
        self.failed = true;
        self.reason = Some(why);
    }

    /// What it runs by may have been taken back.
    pub(super) fn recheck(&mut self) {
        let Some(saved) = self.saved.as_ref().filter(|_| self.live.is_some()) else { return };
        let allowed = self.shared.packages.load(&saved.package).map_err(|error| error.to_string());
        if let Err(why) = allowed.and_then(|package| self.shared.granted(&package)) {
            self.audit(AuditWhat::Refused, why.clone());
            self.fail(why);
        }
    }

    /// Stops it at rest, and says so then.
    pub(super) fn stop(&mut self, reply: Reply) {
        let Some(saved) = self.saved.as_mut().filter(|saved| saved.record.is_some() && !saved.stopped) else {
            let error =
                ErrorDetail::new(ErrorCode::WrongState, "it does not run here", "`tutti app ls` shows its state");
            let _ = reply.send(Err(error));
            return;
        };
        saved.stopped = true;
        if let Err(error) = self.folder.save(saved) {
            saved.stopped = false;
            let hint = "make room, or check the disk";
            let _ = reply.send(Err(ErrorDetail::new(ErrorCode::StorageFailed, error.to_string(), hint)));
            return;
        }
        let now = self.now();
        match &mut self.live {
            Some(live) => {
                live.stopping = Some(reply);
                live.home.handle(now, home::Input::Pause);
            }
            None => {
                let shown = self.describe_gone();
                let _ = reply.send(Ok(self.describe().unwrap_or(shown)));
            }
        }
        self.settle();
    }

    /// Lets it go on that was stopped, or failed.
    pub(super) fn restart(&mut self) -> Result<(), ErrorDetail> {
        let wrong = |what: &str, hint: &str| Err(ErrorDetail::new(ErrorCode::WrongState, what, hint));
        let Some(epoch) = self.keeper.may_run(self.now()) else {
            return wrong("it does not stand here now", "`tutti app ls` shows where it stands");
        };
        let Some(saved) = self.saved.as_mut().filter(|_| self.live.is_none()) else {
            return wrong("it runs already", "");
        };
        saved.stopped = false;
        if let Err(error) = self.folder.save(saved) {
            saved.stopped = true;
            let hint = "make room, or check the disk";
            return Err(ErrorDetail::new(ErrorCode::StorageFailed, error.to_string(), hint));
        }
        self.start(epoch);
        self.settle();
        match (&self.live, &self.reason) {
            (None, Some(why)) => Err(ErrorDetail::new(ErrorCode::DoesNotFit, why.clone(), "")),
            _ => Ok(()),
        }
    }

    // --- events ----------------------------------------------------------------------------------------------

    pub(super) fn on_reading(&mut self, name: String, reading: Reading) {
        if self.live.as_ref().is_some_and(|live| live.follows.contains_key(&name)) {
            self.home(home::Input::Event(Incoming { origin: None, event: Event::Reading(name, reading) }));
        }
    }

    /// Queues the timers that are due.
    pub(super) fn ring_timers(&mut self) {
        let (now, wall) = (self.now(), self.shared.clock.wall());
        let Some(live) = &mut self.live else { return };
        let Some(running) = &live.running else { return };
        let due: Vec<u32> = running.kept().timers.iter().filter(|(_, at)| **at <= wall).map(|(id, _)| *id).collect();
        let mut rang = false;
        for id in due {
            if live.ringing.insert(id) {
                rang = true;
                let event = Incoming { origin: None, event: Event::Timer(id) };
                live.home.handle(now, home::Input::Event(event));
            }
        }
        if rang {
            self.settle();
        }
    }

    pub(super) fn on_home(&mut self, output: Output<Event>) {
        match output {
            Output::Run(event) => self.handle_event(&event),
            // Said again: by this home when it may, by who waits for it, or by the next.
            Output::Ack(_) | Output::Refuse(..) | Output::Send(_) if !self.may_leave() => {}
            Output::Persist(ticket, kept) => self.persist_state(ticket, kept),
            Output::Restore => self.begin_anew(),
            Output::Ack(origin) => {
                self.shared.applied(origin.from, origin.home.home, Receiver::Instance(self.id), origin.id)
            }
            Output::Refuse(origin, by) => self.shared.superseded(origin.from, origin.home.home, by),
            Output::Busy(incoming) => {
                // Who wants it acknowledged says it again; a timer goes off again; of readings a later one comes.
                if let (Event::Timer(id), Some(live)) = (&incoming.event, &mut self.live) {
                    live.ringing.remove(id);
                }
            }
            Output::Send(effect) => {
                let Some(epoch) = self.live.as_ref().map(|live| live.epoch) else { return };
                self.carry(epoch, effect);
            }
            Output::Poisoned(event) => {
                let what = match &event {
                    Event::Timer(id) => format!("timer {id}"),
                    Event::Reading(name, _) => format!("a reading of {name}"),
                    Event::Key(name, _) => format!("a key at {name}"),
                    Event::Pointer(name, ..) => format!("a pointer at {name}"),
                    Event::Message(from, _) => format!("a message of {from}"),
                    Event::Changed(name, _) => format!("a change of {name}"),
                    Event::Started => "its beginning".into(),
                    Event::Resumed => "going on".into(),
                };
                self.note(AppLevel::System, format!("{what} ended it {} times and is left out", home::MAX_TRAPS));
                let Some(live) = &mut self.live else { return };
                live.poisoned += 1;
                if let Event::Timer(id) = event {
                    live.ringing.remove(&id);
                    if let Some(running) = &mut live.running {
                        running.forget_timer(id);
                    }
                }
                if live.poisoned >= MAX_POISONED || event == Event::Started {
                    let why = self.reason.clone().unwrap_or_else(|| "it ends itself again and again".into());
                    self.fail(why);
                }
            }
            Output::Paused(kept) => {
                let Some(live) = &mut self.live else { return };
                if let Some(reply) = live.stopping.take() {
                    self.live = None;
                    self.note(AppLevel::System, "it was stopped".into());
                    let shown = self.describe_gone();
                    let _ = reply.send(Ok(self.describe().unwrap_or(shown)));
                } else {
                    self.at_rest(kept);
                }
            }
            Output::Stale(by) => {
                // Who that is tells it by an owner's word.
                let text = format!("a receiver knows of a later home of it, on {}", self.shared.name_of(by.home));
                self.note(AppLevel::System, text);
            }
        }
    }

    fn handle_event(&mut self, event: &Event) {
        let Some(live) = &mut self.live else { return };
        let wait = live.share.wait();
        if !wait.is_zero() {
            // It alone waits: this thread is its own.
            std::thread::sleep(wait);
        }
        let begun = Instant::now();
        let result = match &mut live.running {
            Some(running) => {
                let _ticking = self.shared.engines.ticking();
                running.handle(event)
            }
            None => Err(tutti_app::runtime::Trap { reason: "it is not there".into() }),
        };
        live.share.used(begun.elapsed());
        if let Event::Timer(id) = event {
            live.ringing.remove(id);
        }
        let now = self.shared.clock.now();
        let did = match result {
            Ok(did) => did,
            Err(trap) => {
                live.running = None;
                live.ringing.clear();
                self.restarts += 1;
                self.reason = Some(trap.to_string());
                self.note(AppLevel::System, trap.to_string());
                if let Some(live) = &mut self.live {
                    live.home.handle(now, home::Input::Trapped);
                }
                return;
            }
        };
        live.events += 1;
        live.poisoned = 0;
        let follows = live.running.as_ref().map(|running| &running.kept().follows);
        if let Some(follows) = follows.filter(|follows| **follows != live.follows) {
            live.follows = follows.clone();
            live.binder.follow(&live.follows);
        }
        for (level, text) in did.log {
            let level = match level {
                Level::Debug => AppLevel::Debug,
                Level::Info => AppLevel::Info,
                Level::Warn => AppLevel::Warn,
                Level::Error => AppLevel::Error,
            };
            self.note(level, text);
        }
        let effects: Vec<_> = did.acts.into_iter().filter_map(|act| self.effect_of(act)).collect();
        if let Some(live) = &mut self.live {
            live.home.handle(now, home::Input::Ran(effects));
        }
    }

    /// What an app wants done, with whom it is to be done.
    fn effect_of(&self, act: Act) -> Option<(Receiver, Vec<u8>)> {
        let live = self.live.as_ref()?;
        match act {
            Act::Set { name, value } => {
                let resource = live.binder.resource(&name)?;
                self.audit(AuditWhat::Set, format!("{} to {value}", live.binder.label(&name)));
                Some((Receiver::Resource(resource), Body::Set(value).emit()))
            }
            Act::Show { name, shapes } => {
                let resource = live.binder.resource(&name)?;
                if live.binder.first_use(&name) {
                    self.audit(AuditWhat::Showed, live.binder.label(&name));
                }
                Some((Receiver::Resource(resource), Body::Show(shapes).emit()))
            }
            // What a person told it, it answers to its log.
            Act::Send { to, body } if to == super::NOBODY => {
                self.note(AppLevel::Info, String::from_utf8_lossy(&body).into_owned());
                None
            }
            Act::Send { to, body } => {
                if live.binder.first_use(&to.to_string()) {
                    self.audit(AuditWhat::Sent, to.to_string());
                }
                Some((Receiver::Instance(to), body))
            }
        }
    }

    // --- what is durable -------------------------------------------------------------------------------------

    fn persist_state(&mut self, ticket: Ticket, kept: home::Kept) {
        let Some(live) = &mut self.live else { return };
        if live.writing.as_ref().is_none_or(|writing| writing.ticket != ticket) {
            let Some(running) = &mut live.running else { return };
            let long = live.journal.as_ref().is_none_or(Journal::is_long);
            let host = running.kept().clone();
            let (image, patch) = if running.fresh().is_some() {
                let _ticking = self.shared.engines.ticking();
                let base = live.image.as_ref().filter(|_| !long);
                match running
                    .snapshot(base)
                    .map_err(|error| error.to_string())
                    .and_then(|(image, patch)| Ok((Some(image), patch.emit().map_err(|error| error.to_string())?)))
                {
                    Ok(taken) => taken,
                    Err(why) => return self.fail(format!("its state cannot be taken: {why}")),
                }
            } else {
                (None, Vec::new())
            };
            let events = live.events;
            let kept = Kept { host, home: kept, events, leases: Vec::new(), last: false };
            let step = Arc::new(journal::emit(&kept, &patch));
            let number = long.then(rand::random);
            live.writing = Some(Writing { ticket, image, kept, step, number });
        }
        let (Some(writing), handle) = (&mut live.writing, self.handle.clone()) else { return };
        let journal = live.journal.take();
        if journal.is_none() {
            // A write failed; what it left is not gone on with.
            writing.number.get_or_insert_with(rand::random);
        }
        let path = writing.number.map(|number| self.folder.journal(number));
        let step = writing.step.clone();
        self.shared.runtime.spawn_blocking(move || {
            let written = match (path, journal) {
                (Some(path), _) => Journal::create(&path).and_then(|mut journal| {
                    journal.append(&step, true)?;
                    Ok(journal)
                }),
                (None, Some(mut journal)) => journal.append(&step, true).map(|()| journal),
                (None, None) => Err(io::Error::other("the journal is not there")),
            };
            handle.insist(Ask::Wrote(ticket, written));
        });
    }

    pub(super) fn on_wrote(&mut self, ticket: Ticket, result: io::Result<Journal>) {
        let Some(live) = &mut self.live else { return };
        let Some(writing) = live.writing.as_ref().filter(|writing| writing.ticket == ticket) else { return };
        let written = result.and_then(|journal| {
            if let (Some(number), Some(saved)) = (writing.number, &mut self.saved) {
                let before = saved.journal.replace(number);
                if let Err(error) = self.folder.save(saved) {
                    saved.journal = before;
                    return Err(error);
                }
            }
            Ok(journal)
        });
        let input = match written {
            Ok(journal) => {
                live.journal = Some(journal);
                let begun = live.writing.take().is_some_and(|writing| {
                    (live.image, live.durable) = (writing.image, writing.kept);
                    writing.number.is_some()
                });
                let saves = live.durable.home.saves;
                if begun {
                    self.sweep();
                }
                self.keeper.handle(self.now(), standby::Input::Saved(saves));
                home::Input::Persisted(ticket)
            }
            Err(error) => {
                // A step that is not a whole snapshot needs the journal that it follows, which may be torn now.
                let whole = live.writing.as_ref().is_some_and(|writing| writing.number.is_some());
                if !whole && let Err(why) = self.reopen() {
                    return self.fail(why);
                }
                let text = format!("its state cannot be written, and it waits: {error}");
                self.note(AppLevel::System, text.clone());
                self.reason = Some(text);
                home::Input::PersistFailed(ticket)
            }
        };
        self.home(input);
    }

    /// Opens the journal again after a failed write.
    fn reopen(&mut self) -> Result<(), String> {
        let number = self.saved.as_ref().and_then(|saved| saved.journal).ok_or("its journal is not known")?;
        let path = self.folder.journal(number);
        let Some(live) = &mut self.live else { return Ok(()) };
        let opened = Journal::open(&path, max_patch(live.limits), |_| Ok(()));
        live.journal = Some(opened.map_err(|error| format!("its journal cannot be opened again: {error}"))?);
        Ok(())
    }

    /// Begins anew from the state that is durable, after the app ended itself.
    fn begin_anew(&mut self) {
        let now = self.now();
        let Some(live) = &mut self.live else { return };
        let _ticking = self.shared.engines.ticking();
        let begun = live.app.start(live.limits, live.binder.world()).map_err(|error| error.to_string());
        let restored = begun.and_then(|mut running| {
            if let Some(image) = &live.image {
                running.restore(image, live.durable.host.clone()).map_err(|error| error.to_string())?;
            }
            Ok(running)
        });
        match restored {
            Ok(running) => {
                live.running = Some(running);
                live.home.handle(now, home::Input::Restored);
                // What was never durable begins as if it was new.
                let again = match live.image {
                    Some(_) => Some(Event::Resumed),
                    None => (live.events > 0).then_some(Event::Started),
                };
                if let Some(event) = again {
                    live.home.handle(now, home::Input::Event(Incoming { origin: None, event }));
                }
            }
            Err(why) => self.fail(why),
        }
    }

    /// The state as it is now, and what makes it of `base`.
    pub(super) fn snapshot(&mut self, base: Option<&Image>) -> Result<(Image, Patch), String> {
        let running = self.live.as_mut().and_then(|live| live.running.as_mut()).ok_or("it does not run")?;
        let _ticking = self.shared.engines.ticking();
        running.snapshot(base).map_err(|error| error.to_string())
    }

    /// What is kept beside it now.
    pub(super) fn host_kept(&self) -> Option<(host::Kept, u64)> {
        let live = self.live.as_ref()?;
        Some((live.running.as_ref()?.kept().clone(), live.events))
    }

    /// The package that it is of.
    pub(super) fn package(&self) -> Option<([u8; 32], Name)> {
        self.saved.as_ref().map(|saved| (saved.package, saved.app))
    }
}

/// The most bytes of a patch of an app with these limits: all of its memory, and what stands around it.
pub(super) fn max_patch(limits: Limits) -> usize {
    limits.memory + limits.memory / 8 + (64 << 10)
}

/// The image that a patch leads to.
pub(super) fn follow(image: &Image, patch: &[u8], limits: Limits) -> Result<Image, String> {
    let pages = (limits.memory / PAGE) as u32;
    let patch = Patch::parse(patch, pages).map_err(|error| error.to_string())?;
    patch.apply(image).map_err(|error| error.to_string())
}
