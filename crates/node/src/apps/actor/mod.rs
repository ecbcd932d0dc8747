//! One instance on this device: a thread that owns its machines ([`Keeper`], [`Home`](tutti_app::home::Home)), its app and its disk.
//!
//! Everything that happens to it comes through one bounded queue; what can wait for others (sending, copying, writing, leases) is done by
//! tasks that report back through the same queue. So nothing is locked while an app runs, and an app that takes its time delays nobody but itself.
//!
//! | part | what it does |
//! |---|---|
//! | here | the queue, what people ask for, what [`Keeper`] asks for |
//! | [`running`] | the app at its home: events, what is made durable, timers |
//! | [`leaving`] | the side of a move that gives |
//! | [`arriving`] | the side that takes |
//! | [`guarding`] | checkpoints and run-leases, as its home |
//! | [`replica`] | what a standby keeps, and goes on with |
//! | [`show`] | what people see of it |
//!
//! # What keeps it from running twice
//! The app runs only between `Start` and `Stop` or `Halt`, which the machine says before anything else is done about it; and the
//! record is written by this thread, synchronously, in the order in which the machine wants it. The journal is written beside it by another thread, but no
//! step of a move is made before what was being written is there.

mod arriving;
mod guarding;
mod leaving;
mod replica;
mod running;
mod show;

use std::{
    io,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use tutti_app::{
    effects::{Effect, Receiver as To},
    handover::{Because, Event as Moved, Input, Message, Output, Record, Standing, Ticket, Warrant, Why},
    home::{self, Incoming},
    ids::{Attempt, EffectId, Epoch, InstanceId},
    runtime::host::Event,
    standby::{self, Duty, Keeper, Mark, Settings},
};
use tutti_control::{AppInstance, AppLevel, AppLine, AuditWhat, ErrorCode, ErrorDetail, MovePhase};
use tutti_model::{BootTime, DeviceId, Reading, signed::Signed};

use crate::lock::lock;

use super::{
    Shared,
    disk::{Folder, Saved},
    journal::{Journal, Step},
    lines::Lines,
    packages::Facts,
    wire::CheckpointHead,
};

use self::{arriving::Arriving, guarding::Guarding, leaving::Leaving, running::Live};

/// How many things may wait for an instance; what repeats itself is dropped beyond that.
const QUEUE: usize = 1024;
/// The longest that a thread sleeps.
const NAP: Duration = Duration::from_secs(30);
/// How long an instance that is not here any more keeps its thread.
const LINGER: Duration = Duration::from_secs(3);
/// The most bytes of each of the two files of a log.
const LOG: u64 = 64 * 1024;

/// Who a person is, to an app.
pub(super) const NOBODY: InstanceId = InstanceId::from_bytes([0; 16]);

/// The answer to what a person asked for.
pub(crate) type Reply = oneshot::Sender<Result<AppInstance, ErrorDetail>>;

/// What happens to an instance.
pub(crate) enum Ask {
    /// A session begins or ends.
    Peer(DeviceId, bool),
    /// A step of a move.
    Message(DeviceId, Message),
    /// Something to handle.
    Event(Incoming<Event>),
    /// A reading of what it follows.
    Reading(String, Reading),
    /// A receiver has an effect.
    Delivered(To, EffectId),
    /// A receiver has heard of a later home.
    Superseded(Epoch),
    /// A step of the journal was written, or not.
    Wrote(Ticket, io::Result<Journal>),
    /// What a person wants.
    Person(Want, Reply),
    /// The package is at the target, or cannot be.
    PackageThere(Attempt, Result<(), String>),
    /// So many bytes have come or gone.
    Progress(Attempt, u64),
    /// A round of a copy is at the target, or never will be.
    Sent(Attempt, Result<(), String>),
    /// Leases are reserved for the target.
    Reserved(Attempt, Result<(), Why>),
    /// Leases are handed over to it.
    HandedOver(Attempt, Vec<Signed>),
    /// A step of the state that comes in; whether to go on is answered.
    Step(Attempt, DeviceId, Box<Step>, Vec<u8>, oneshot::Sender<bool>),
    /// What a home or a standby of it says.
    Guard(DeviceId, standby::Message),
    /// That device is about to ask whether it may be guarded here, and this is its package.
    Expect(DeviceId, [u8; 32]),
    /// A standby could go on with it, or not.
    StandbyReady(DeviceId, Settings, Result<(), String>),
    /// Some of this checkpoint has gone, or it never will be there.
    CheckpointSent(Mark, Result<(), String>),
    /// A checkpoint has come.
    Checkpoint(DeviceId, CheckpointHead, Box<Step>, Vec<u8>, oneshot::Sender<()>),
    /// Grants have changed.
    Recheck,
    /// What the wants are met by has changed.
    Bound,
    /// The device stops.
    Shutdown,
}

/// What a person may want of an instance.
#[derive(Clone, Debug)]
pub(crate) enum Want {
    Move(DeviceId),
    Cancel,
    Stop,
    Start,
    End,
    Recover,
    Tell(String),
    Guard(DeviceId, Settings),
}

/// Where an instance is reached.
#[derive(Clone)]
pub(crate) struct Handle {
    queue: SyncSender<Ask>,
    pub(crate) shown: Arc<Mutex<Option<AppInstance>>>,
    pub(crate) log: Arc<Lines<AppLine>>,
}

impl Handle {
    /// Tells it something that is said again if it is lost.
    pub(crate) fn tell(&self, ask: Ask) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(ask) {
            tracing::debug!("an instance is too busy; what it is told comes again");
        }
    }

    /// Tells it something that is not said again. Blocks while its queue is full.
    pub(crate) fn insist(&self, ask: Ask) {
        let _ = self.queue.send(ask);
    }

    /// A line of its log, said by this device.
    pub(crate) fn log_system(&self, shared: &Shared, text: &str) {
        let at = shared.clock.wall().as_unix_millis();
        self.log.add(AppLine { number: 0, at, level: AppLevel::System, text: text.to_owned() });
    }

    /// What people see of it.
    pub(crate) fn show(&self) -> Option<AppInstance> {
        lock(&self.shown).clone()
    }
}

/// How an instance begins on this device.
pub(crate) enum Begin {
    /// With what is on the disk, if anything.
    Stored,
    /// Anew, of this package.
    New(Facts),
}

/// See the module's documentation.
pub(super) struct Actor {
    shared: Arc<Shared>,
    id: InstanceId,
    folder: Folder,
    /// What is on the disk.
    saved: Option<Saved>,
    /// Why what is on the disk cannot be used: then nothing is done with it.
    damaged: Option<String>,
    keeper: Keeper,
    live: Option<Live>,
    leaving: Option<Leaving>,
    arriving: Option<Arriving>,
    guarding: Guarding,
    queue: Receiver<Ask>,
    handle: Handle,
    /// What was wrong last.
    reason: Option<String>,
    /// It is not begun again by itself.
    failed: bool,
    restarts: u32,
    /// Why the machine would not do what a person wanted.
    refused: Option<Because>,
    idle_since: Option<Instant>,
}

/// Begins an instance's thread.
pub(super) fn begin(shared: &Arc<Shared>, id: InstanceId, how: Begin) -> io::Result<Handle> {
    let (sender, queue) = sync_channel(QUEUE);
    let folder = Folder::new(&shared.instances(), id);
    if matches!(how, Begin::New(_)) {
        folder.make()?;
    }
    let log = Arc::new(Lines::open(folder.path().join("log"), LOG));
    let handle = Handle { queue: sender, shown: Arc::default(), log };
    let (shared, mine) = (shared.clone(), handle.clone());
    let peers = shared.peers();
    let name = format!("app-{}", &id.to_string()[..8]);
    std::thread::Builder::new().name(name).spawn(move || {
        let mut actor = Actor::new(shared, id, folder, how, queue, mine);
        for peer in peers {
            actor.mover(Input::PeerUp(peer));
        }
        actor.run();
    })?;
    Ok(handle)
}

impl Actor {
    fn new(
        shared: Arc<Shared>,
        id: InstanceId,
        folder: Folder,
        how: Begin,
        queue: Receiver<Ask>,
        handle: Handle,
    ) -> Self {
        let (now, me) = (shared.clock.now(), shared.me);
        let (mut saved, mut damaged) = (None, None);
        let run = rand::random();
        let keeper = match how {
            Begin::New(facts) => {
                saved = Some(Saved {
                    record: None,
                    package: facts.digest,
                    app: facts.manifest.name,
                    version: facts.manifest.version.to_string(),
                    journal: None,
                    stopped: false,
                    guard: None,
                    replica: None,
                });
                Keeper::install(now, me, id, run)
            }
            Begin::Stored => {
                match folder.load() {
                    Ok(found) => saved = found,
                    Err(error) => damaged = Some(error.to_string()),
                }
                let known = replica::known(&folder, saved.as_ref());
                if damaged.is_none() {
                    folder.sweep(&replica::journals(saved.as_ref()));
                }
                let known = known.unwrap_or_else(|why| {
                    damaged.get_or_insert(why);
                    standby::Saved::default()
                });
                Keeper::new(now, me, id, run, known)
            }
        };
        Self {
            shared,
            id,
            folder,
            saved,
            damaged,
            keeper,
            live: None,
            leaving: None,
            arriving: None,
            guarding: Guarding::default(),
            queue,
            handle,
            reason: None,
            failed: false,
            restarts: 0,
            refused: None,
            idle_since: None,
        }
    }

    fn run(mut self) {
        // At once, for what is here is asked for before it is made ready to run.
        self.show();
        self.settle();
        self.show();
        loop {
            let wait = self.wait();
            let mut first = match self.queue.recv_timeout(wait) {
                Ok(Ask::Shutdown) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(ask) => Some(ask),
                Err(RecvTimeoutError::Timeout) => None,
            };
            // So many at once, then time and people have their turn.
            for _ in 0..64 {
                let Some(ask) = first.take().or_else(|| self.queue.try_recv().ok()) else { break };
                if matches!(ask, Ask::Shutdown) {
                    return;
                }
                self.on(ask);
            }
            self.tick();
            self.show();
            if self.is_over() {
                break;
            }
        }
    }

    /// Nothing of it is here but the word that it was: its thread can be begun again when somebody asks.
    fn is_over(&mut self) -> bool {
        let here = self.live.is_some() || self.leaving.is_some() || self.arriving.is_some() || self.damaged.is_some();
        let gone = matches!(self.standing(), None | Some(Standing::Gone { .. }));
        let guards = matches!(self.keeper.record().duty, Some(Duty::Granting { .. }));
        if here || guards || !gone || self.keeper.poll_timeout().is_some() {
            self.idle_since = None;
            return false;
        }
        if self.idle_since.get_or_insert_with(Instant::now).elapsed() < LINGER {
            return false;
        }
        // Whoever found it in the list before has said what it wanted; whoever comes after begins another thread.
        self.shared.forget(self.id);
        while let Ok(ask) = self.queue.try_recv() {
            self.on(ask);
        }
        self.folder.remove_if_unused();
        true
    }

    fn wait(&self) -> Duration {
        let now = self.now();
        let home = self.live.as_ref().and_then(|live| live.home.poll_timeout());
        let machines = [self.keeper.poll_timeout(), home].into_iter().flatten().min().map(|at| at.since(now));
        let timers = self.live.as_ref().and_then(|live| live.next_timer(self.shared.clock.wall()));
        let idle = self.idle_since.map(|_| LINGER);
        [machines, timers, idle].into_iter().flatten().min().unwrap_or(NAP).min(NAP)
    }

    fn now(&self) -> BootTime {
        self.shared.clock.now()
    }

    fn tick(&mut self) {
        let now = self.now();
        if self.keeper.poll_timeout().is_some_and(|at| at <= now) {
            self.keep(standby::Input::Tick);
        }
        if self.live.as_ref().and_then(|live| live.home.poll_timeout()).is_some_and(|at| at <= now) {
            self.home(home::Input::Tick);
        }
        self.ring_timers();
    }

    fn on(&mut self, ask: Ask) {
        if let Some(why) = &self.damaged {
            if let Ask::Person(_, reply) = ask {
                let hint =
                    "restore the folder of this device from a backup, or forget the instance by removing its folder";
                let _ = reply.send(Err(ErrorDetail::new(ErrorCode::StorageFailed, why.clone(), hint)));
            }
            return;
        }
        match ask {
            Ask::Peer(device, true) => self.mover(Input::PeerUp(device)),
            Ask::Peer(device, false) => self.mover(Input::PeerDown(device)),
            Ask::Message(from, message) => {
                if self.is_lawful(&message) {
                    self.mover(Input::Message(from, message));
                }
            }
            Ask::Event(incoming) => self.home(home::Input::Event(incoming)),
            Ask::Reading(name, reading) => self.on_reading(name, reading),
            Ask::Delivered(to, id) => self.home(home::Input::Delivered(to, id)),
            Ask::Superseded(by) => self.home(home::Input::Superseded(by)),
            Ask::Wrote(ticket, result) => self.on_wrote(ticket, result),
            Ask::Person(want, reply) => self.on_person(want, reply),
            Ask::PackageThere(attempt, result) => self.on_package(attempt, result),
            Ask::Progress(attempt, bytes) => self.on_progress(attempt, bytes),
            Ask::Sent(attempt, result) => self.on_sent(attempt, result),
            Ask::Reserved(attempt, result) => self.mover(Input::Reserved(attempt, result)),
            Ask::HandedOver(attempt, leases) => self.send_last(attempt, leases),
            Ask::Step(attempt, from, step, bytes, reply) => {
                let _ = reply.send(self.on_step(attempt, from, *step, &bytes));
            }
            Ask::Guard(from, message) => self.keep(standby::Input::Message(from, message)),
            Ask::Expect(from, digest) => self.guarding.expected = Some((from, digest)),
            Ask::StandbyReady(standby, settings, result) => self.on_standby_ready(standby, settings, result),
            Ask::CheckpointSent(mark, result) => self.on_checkpoint_sent(mark, result),
            Ask::Checkpoint(from, head, step, bytes, reply) => {
                self.on_checkpoint(from, head, &step, &bytes);
                let _ = reply.send(());
            }
            Ask::Recheck => self.recheck(),
            Ask::Bound | Ask::Shutdown => {}
        }
    }

    /// Whether what another device says about branches is by an owner's word.
    fn is_lawful(&self, message: &Message) -> bool {
        let owners = |warrant: &Warrant, branch: u32| {
            warrant.verify(self.id, branch).is_ok() && self.shared.is_owner(warrant.owner)
        };
        match message {
            Message::Supersede(epoch, warrant) => owners(warrant, epoch.branch),
            Message::Offer(offer) if offer.epoch.branch > 0 => {
                offer.claim.as_ref().is_some_and(|claim| owners(&claim.warrant, offer.epoch.branch))
            }
            _ => true,
        }
    }

    // --- the machine of moves --------------------------------------------------------------------------------

    fn mover(&mut self, input: Input) {
        self.keep(standby::Input::Move(input));
    }

    fn keep(&mut self, input: standby::Input) {
        self.keeper.handle(self.now(), input);
        self.settle();
    }

    /// Where it stands, by what the disk says.
    fn standing(&self) -> Option<&Standing> {
        self.keeper.handover().record().map(|record| &record.standing)
    }

    fn home(&mut self, input: home::Input<Event>) {
        let now = self.now();
        if let Some(live) = &mut self.live {
            live.home.handle(now, input);
        }
        self.settle();
    }

    /// Does what the machines ask for, until they ask for nothing.
    fn settle(&mut self) {
        loop {
            if let Some(output) = self.keeper.poll_output() {
                self.on_keeper(output);
            } else if let Some(output) = self.live.as_mut().and_then(|live| live.home.poll_output()) {
                self.on_home(output);
            } else {
                return;
            }
        }
    }

    fn on_mover(&mut self, output: Output) {
        match output {
            Output::Send(to, message) => match message.emit(self.id) {
                Ok(bytes) => self.shared.say(to, bytes),
                Err(error) => tracing::error!(%error, "a step of a move cannot be said"),
            },
            Output::Persist(ticket, record) => {
                let input = match self.persist_record(record) {
                    Ok(()) => Input::Persisted(ticket),
                    Err(error) => {
                        self.note(AppLevel::System, format!("its record cannot be written: {error}"));
                        Input::PersistFailed(ticket)
                    }
                };
                // The caller goes on until nothing is asked for.
                self.keeper.handle(self.now(), standby::Input::Move(input));
            }
            Output::Consider(from, offer) => self.consider(from, offer),
            Output::Copy(attempt, to) => self.copy(attempt, to),
            Output::Reserve(attempt, to) => self.reserve(attempt, to),
            Output::SendRest(attempt, _) => {
                if let Some(leaving) = self.leaving.as_mut().filter(|leaving| leaving.attempt == attempt) {
                    leaving.rest = true;
                    leaving.phase = MovePhase::Pausing;
                    leaving.rested = Some(Instant::now());
                }
            }
            Output::Release(attempt) => self.release(attempt),
            // These are the keeper's.
            Output::Start(_) | Output::Stop => {}
            Output::Remove => {
                self.live = None;
                if let Some(saved) = &mut self.saved {
                    saved.journal = None;
                }
                self.sweep();
            }
            Output::Event(event) => self.on_moved(event),
        }
    }

    /// Makes the record durable, and with it which journal is the state. The app does not run here any more before a record says so.
    fn persist_record(&mut self, record: Record) -> io::Result<()> {
        let stays = matches!(record.standing, Standing::Home { .. });
        if !stays {
            self.live = None;
        }
        let arrived = match record.standing {
            Standing::Prepared { attempt, .. } => self.arriving.as_ref().filter(|it| it.attempt == attempt),
            _ => None,
        };
        let mut saved = match (arrived, &self.saved) {
            (Some(arriving), before) => arriving.saved(before.as_ref()),
            (None, Some(saved)) => saved.clone(),
            (None, None) => Saved::nothing(),
        };
        if matches!(record.standing, Standing::Gone { .. }) {
            saved.journal = None;
        }
        saved.record = Some(record);
        let begun = Instant::now();
        self.folder.save(&saved)?;
        if let Some(leaving) = self.leaving.as_mut().filter(|leaving| leaving.recorded.is_zero()) {
            leaving.recorded = begun.elapsed();
        }
        self.saved = Some(saved);
        Ok(())
    }

    fn on_moved(&mut self, event: Moved) {
        let name = |device: DeviceId| self.shared.name_of(device);
        match event {
            Moved::NotMoved(attempt, because) => {
                if self.leaving.as_ref().is_some_and(|leaving| leaving.attempt == attempt) {
                    let to = self.leaving.as_ref().map(|leaving| name(leaving.to)).unwrap_or_default();
                    self.not_moved(format!("it was not moved to {to}: {because}"));
                }
            }
            Moved::Decided(_, to) => {
                let text = format!("it is {}'s now; waiting for it to say so", name(to));
                self.note(AppLevel::System, text);
            }
            Moved::Moved(_, to) => {
                let mut text = name(to);
                let paused = self.leaving.take().and_then(|it| Some((it.rested?.elapsed(), it.recorded)));
                if let Some((paused, recorded)) = paused {
                    let millis = |it: Duration| it.as_secs_f64() * 1e3;
                    let (paused, recorded) = (millis(paused), millis(recorded));
                    text.push_str(&format!(
                        "; it stood still for {paused:.2} ms, its record here took {recorded:.2} ms"
                    ));
                }
                self.note(AppLevel::System, format!("it has moved to {text}"));
                self.audit(AuditWhat::Left, text);
            }
            Moved::LostAtTarget(to) => {
                let text = format!(
                    "{} has lost what it was sent; `tutti app recover --accept-loss` goes on from the copy here",
                    name(to)
                );
                self.reason = Some(text.clone());
                self.note(AppLevel::System, text);
            }
            Moved::Superseded(by) => {
                let text = format!("an owner gave this copy up; {} goes on with another", name(by.home));
                self.reason = Some(text.clone());
                self.note(AppLevel::System, text);
            }
            Moved::Refused(because) => {
                if self.leaving.as_ref().is_some_and(|leaving| leaving.phase == MovePhase::Asking) {
                    self.not_moved(because.to_string());
                }
                self.refused = Some(because);
            }
        }
    }

    // --- people ----------------------------------------------------------------------------------------------

    fn on_person(&mut self, want: Want, reply: Reply) {
        self.refused = None;
        let wrong = |what: &str, hint: &str| Err(ErrorDetail::new(ErrorCode::WrongState, what, hint));
        let result = match want {
            Want::Guard(standby, settings) => match self.begin_guard(standby, settings) {
                // Answered when it is so.
                Ok(()) => return self.guarding.wait(reply),
                Err(error) => Err(error),
            },
            Want::Stop | Want::End if self.guard().is_some() => return self.unguard_for(want, reply),
            Want::Move(to) => self.begin_move(to),
            Want::Cancel => self.cancel_move(),
            Want::Stop => {
                if self.leaving.is_some() {
                    wrong("it is being moved", "wait for that to end, or cancel it")
                } else {
                    return self.stop(reply);
                }
            }
            Want::Start => self.restart(),
            Want::End => {
                let stray = matches!(self.standing(), Some(Standing::Stray { .. }));
                self.mover(if stray { Input::Discard } else { Input::Retire });
                match self.refused.take() {
                    Some(because) => wrong(&because.to_string(), "`tutti app ls` shows where it stands"),
                    None => {
                        self.audit(AuditWhat::Ended, "by a person".into());
                        Ok(())
                    }
                }
            }
            Want::Recover => self.recover(),
            Want::Tell(text) => {
                if self.live.is_none() {
                    wrong("it does not run here now", "`tutti app ls` shows where it stands")
                } else {
                    let event = Event::Message(NOBODY, text.into_bytes());
                    self.home(home::Input::Event(Incoming { origin: None, event }));
                    Ok(())
                }
            }
        };
        let shown = self.describe().unwrap_or_else(|| self.describe_gone());
        let _ = reply.send(result.map(|()| shown));
    }

    fn recover(&mut self) -> Result<(), ErrorDetail> {
        let base = match self.standing().cloned() {
            Some(Standing::Leaving { next, .. } | Standing::Prepared { next, .. }) => next,
            Some(Standing::Stray { by, .. }) => by,
            // Its standby is lost.
            Some(Standing::Home { epoch }) if self.guard().is_some() => epoch,
            _ => {
                let hint = "only a copy that waits for a device that is lost can be recovered";
                return Err(ErrorDetail::new(ErrorCode::WrongState, "there is nothing to recover here", hint));
            }
        };
        let branch = base.branch.saturating_add(1);
        let warrant = Warrant::sign(self.id, branch, self.shared.me, &self.shared.key);
        self.mover(Input::Recover(warrant));
        match self.refused.take() {
            Some(Because::AlreadyThere) => {
                let what = "it is at home here, and the run-lease of its standby lasts";
                let hint = "try again when it is over, or reach the standby";
                Err(ErrorDetail::new(ErrorCode::WrongState, what, hint))
            }
            Some(because) => Err(ErrorDetail::new(ErrorCode::WrongState, because.to_string(), "try again in a moment")),
            None => {
                self.note(AppLevel::System, "an owner accepted the loss of other copies; it goes on here".into());
                Ok(())
            }
        }
    }

    // --- words -----------------------------------------------------------------------------------------------

    fn note(&self, level: AppLevel, text: String) {
        let at = self.shared.clock.wall().as_unix_millis();
        self.handle.log.add(AppLine { number: 0, at, level, text });
    }

    fn audit(&self, what: AuditWhat, about: String) {
        let app = self.saved.as_ref().map(|saved| saved.app.to_string()).unwrap_or_default();
        self.shared.audit(&app, Some(self.id), what, about);
    }

    /// Sends an effect on its way.
    fn carry(&self, epoch: Epoch, effect: Effect) {
        let token = match effect.to {
            To::Resource(resource) => self.live.as_ref().and_then(|live| live.binder.token(&resource)),
            To::Instance(_) => None,
        };
        self.shared.carry(self.id, epoch, effect, token);
    }
}
