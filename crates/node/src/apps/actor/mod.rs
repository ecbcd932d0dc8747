//! One instance on this device: a thread that owns its machines ([`Keeper`], [`Home`](tutti_app::home::Home)), its app and its disk.
//!
//! Everything that happens to it comes through one bounded queue; what can wait for others (sending, copying, writing, leases) is done by
//! tasks that report back through the same queue. So nothing is locked while an app runs, and an app that takes its time delays nobody but itself.
//!
//! | part | what it does |
//! |---|---|
//! | here | its life, and what comes through the queue |
//! | [`queue`] | how it is reached |
//! | [`people`] | what people want |
//! | [`moves`] | what the machine of moves asks for |
//! | [`running`] | the app at its home: begun, stopped |
//! | [`events`] | what it handles, and what follows from that |
//! | [`durable`] | what is made durable |
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
mod durable;
mod events;
mod guarding;
mod leaving;
mod moves;
mod people;
mod queue;
mod replica;
mod running;
mod show;

pub(crate) use queue::{Ask, Handle, Reply, Want};

use std::{
    io,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    time::{Duration, Instant},
};

use tutti_app::{
    effects::{Effect, Receiver as To},
    handover::{Because, Input, Standing},
    home,
    ids::{Epoch, InstanceId},
    runtime::host::Event,
    standby::{self, Duty, Keeper},
};
use tutti_control::{AppLevel, AppLine, AuditWhat, ErrorCode, ErrorDetail};
use tutti_model::BootTime;

use super::{
    Shared,
    disk::{Folder, Saved},
    lines::Lines,
    packages::Facts,
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
    /// As of which word of the owners it may run: see [`Shared::grants`].
    allowed: u64,
    /// Why the machine would not do what a person wanted.
    refused: Option<Because>,
    idle_since: Option<Instant>,
}

/// Why a person does not get what they want of it.
fn wrong(what: impl Into<String>, hint: &str) -> ErrorDetail {
    ErrorDetail::new(ErrorCode::WrongState, what, hint)
}

/// The same, of what is done only where it runs.
fn not_here(what: &str) -> ErrorDetail {
    wrong(what, "`tutti app ls` shows where it stands")
}

fn does_not_run() -> ErrorDetail {
    not_here("it does not run here now")
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
        let (now, me, allowed) = (shared.clock.now(), shared.me, shared.grants());
        let (mut saved, mut damaged) = (None, None);
        let run = rand::random();
        let keeper = match how {
            Begin::New(facts) => {
                saved = Some(Saved::new(facts.digest, &facts.manifest));
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
            allowed,
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
        self.recheck();
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
            // These only wake it.
            Ask::Recheck | Ask::Bound | Ask::Shutdown => {}
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

    /// It runs here, and may.
    fn runs(&self) -> bool {
        self.live.is_some() && self.keeper.may_run(self.now()).is_some()
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

    /// Makes this what is on the disk.
    fn save(&mut self, saved: Saved) -> io::Result<()> {
        self.folder.save(&saved)?;
        self.saved = Some(saved);
        Ok(())
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
