//! The thread that leads the life of one core: orders, the platform's steps, traces, and the satellites behind its link.
//!
//! A thread, because a platform may take a second to start or stop a core. Whoever wants something leaves an order and rings;
//! what there is to see stands on the [`Desk`].
//!
//! # The satellites of a core
//! A core whose firmware has an RPMsg endpoint named [`SERVICE`] is a satellite, and so are those behind it. The frames
//! are those of `tutti-satellite`, one in each message. An endpoint named [`PING`] gives back what it is sent.

use std::{
    collections::{BTreeMap, VecDeque},
    os::fd::AsFd,
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;
use tutti_amp_host::{EventBell, process::HostLink};
use tutti_fabric::clock::Clock;
use tutti_metal::{Clock as _, Doorbell, Monotonic, Sleep};
use tutti_model::{Name, WallTime};
use tutti_remoteproc::{
    RemoteCore,
    life::{Action, Cause, Command, Failure, Generation, Refused, Report, Stage, State},
};
use tutti_rpmsg::Address;

use super::{
    CoreError,
    back::Back,
    log::Log,
    radio::{PING, Pinger, RATE, Radio},
};
use crate::lock::lock;
use crate::satellites::{Budget, Kind, Pace, SERVICE, Satellites, Station};

/// The longest sleep of a worker whose core runs.
const NAP: Duration = Duration::from_millis(100);
/// The longest sleep of one whose core does not.
const IDLE: Duration = Duration::from_secs(1);
/// How many orders wait.
const ORDERS: usize = 16;
/// How many of its crashes are remembered.
const CRASHES: usize = 16;
/// How many messages are taken in one turn, so that a core that never stops sending keeps nothing else waiting.
const MESSAGES: usize = 64;

/// What there is to see of a core.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    pub(crate) state: State,
    pub(crate) generation: Generation,
    /// How often it was started again by itself.
    pub(crate) recoveries: u32,
    pub(crate) crashes: VecDeque<Crash>,
    pub(crate) linked: bool,
    pub(crate) last_error: Option<String>,
}

/// A crash of a core.
#[derive(Clone, Debug)]
pub(crate) struct Crash {
    pub(crate) at: WallTime,
    /// Of the life that it ended.
    pub(crate) generation: Generation,
    pub(crate) what: String,
}

impl Status {
    const UNKNOWN: Self = Self {
        state: State::Offline(Stage::Bare),
        generation: Generation(0),
        recoveries: 0,
        crashes: VecDeque::new(),
        linked: false,
        last_error: None,
    };
}

/// What the worker and everybody else share.
pub(crate) struct Desk {
    pub(crate) name: Name,
    pub(crate) log: Log,
    status: Mutex<Status>,
    bell: Mutex<Option<EventBell>>,
    orders: mpsc::SyncSender<Order>,
}

/// What somebody wants of a core.
pub(super) enum Order {
    /// These, one after the other.
    Do(Vec<Command>, oneshot::Sender<Result<(), CoreError>>),
    /// Keep what is in its memory; say where.
    Dump(oneshot::Sender<Result<PathBuf, CoreError>>),
    /// See how long a message takes there and back.
    Ping(Pinger),
    /// The worker is to end; the core is to be stopped before, or let go.
    End { stop: bool },
}

impl Desk {
    pub(super) fn new(name: Name) -> (Arc<Self>, mpsc::Receiver<Order>) {
        let (orders, receiver) = mpsc::sync_channel(ORDERS);
        let (status, bell) = (Mutex::new(Status::UNKNOWN), Mutex::default());
        (Arc::new(Self { name, log: Log::new(), status, bell, orders }), receiver)
    }

    pub(crate) fn status(&self) -> Status {
        lock(&self.status).clone()
    }

    /// Leaves an order.
    pub(super) fn order(&self, order: Order) -> Result<(), CoreError> {
        self.orders.try_send(order).map_err(|error| match error {
            mpsc::TrySendError::Full(_) => CoreError::Busy,
            mpsc::TrySendError::Disconnected(_) => CoreError::Gone,
        })?;
        self.ring();
        Ok(())
    }

    fn ring(&self) {
        if let Some(bell) = &*lock(&self.bell) {
            bell.ring(0);
        }
    }
}

/// What a worker is made from.
pub(super) struct Setup {
    pub(super) desk: Arc<Desk>,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) satellites: Satellites,
    pub(super) clock: Arc<dyn Clock>,
    /// Start the core if it does not run.
    pub(super) start: bool,
}

/// Commands under way.
struct Doing {
    now: Command,
    then: VecDeque<Command>,
    reply: Option<oneshot::Sender<Result<(), CoreError>>>,
}

struct Worker<B: Back> {
    core: RemoteCore<B>,
    setup: Setup,
    time: Monotonic,
    doing: Option<Doing>,
    seen: BTreeMap<String, Vec<u8>>,
    pace: Pace,
    recoveries: u32,
    crashes: VecDeque<Crash>,
    last_error: Option<String>,
    /// The link of a core that wrote what cannot be: nothing is read from it any more.
    deaf: Option<Arc<HostLink>>,
    pings: VecDeque<Pinger>,
    /// Told to end, and whether to stop the core before; and whether that was tried.
    ended: Option<bool>,
    stopping: bool,
    traces_at: Instant,
}

/// Leads the life of a core until it is told to end.
pub(super) fn run<B: Back>(platform: B, setup: Setup) {
    let core = match RemoteCore::new(platform, B::config()) {
        Ok(core) => core,
        Err(fault) => {
            let fault = fault.to_string();
            tracing::warn!(core = %setup.desk.name, "the core cannot be led: {fault}");
            lock(&setup.desk.status).last_error = Some(fault.clone());
            return refuse_all(&setup, &fault);
        }
    };
    let (start, time) = (setup.start, Monotonic::default());
    let mut worker = Worker {
        core,
        setup,
        time,
        doing: None,
        seen: BTreeMap::new(),
        pace: Pace::default(),
        recoveries: 0,
        crashes: VecDeque::new(),
        last_error: None,
        deaf: None,
        pings: VecDeque::new(),
        ended: None,
        stopping: false,
        traces_at: Instant::now(),
    };
    let kernel = worker.core.platform().kernel_state();
    match worker.core.state() {
        State::Detached if kernel != Some(State::Detached) => worker.begin(vec![Command::Attach], None),
        State::Offline(_) if start => worker.begin(vec![Command::Start], None),
        _ => {}
    }
    worker.live();
}

/// A core that cannot even be looked at answers every order with why, until the worker is told to end.
fn refuse_all(setup: &Setup, fault: &str) {
    let failed = || CoreError::Failed(fault.to_owned());
    while let Ok(order) = setup.orders.recv() {
        match order {
            Order::Do(_, reply) => drop(reply.send(Err(failed()))),
            Order::Dump(reply) => drop(reply.send(Err(failed()))),
            Order::Ping(reply) => drop(reply.send(Err(failed()))),
            Order::End { .. } => return,
        }
    }
}

impl<B: Back> Worker<B> {
    fn live(&mut self) {
        loop {
            let pause = self.turn();
            if self.is_over() {
                return;
            }
            if let Some(link) = self.core.platform().link().filter(|link| !self.is_deaf(link)) {
                self.linked(&link);
                if self.is_over() {
                    return;
                }
                continue;
            }
            for reply in std::mem::take(&mut self.pings) {
                let round = self.core.platform_mut().ping().ok_or(CoreError::NoPing);
                let _ = reply.send(round.and_then(|round| round.map_err(CoreError::Failed)));
            }
            match self.setup.orders.recv_timeout(pause) {
                Ok(order) => self.take(order),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// One turn of everything but the link: orders, the life, the traces. How long the next may wait.
    fn turn(&mut self) -> Duration {
        while let Ok(order) = self.setup.orders.try_recv() {
            self.take(order);
        }
        let now = self.time.now();
        let due = self.core.step(now);
        self.reports();
        if self.core.state() == State::Attached
            && self.core.platform().link().is_none()
            && let Err(why) = self.core.platform_mut().settle()
        {
            self.trouble(why);
        }
        if self.ended == Some(true) && self.doing.is_none() && !self.stopping && self.runs() {
            self.stopping = true;
            self.begin(vec![Command::Stop], None);
        }
        if self.traces_at.elapsed() >= NAP {
            self.traces_at = Instant::now();
            self.read_traces();
        }
        self.publish();
        let active = !matches!(self.core.state(), State::Offline(_) | State::Crashed | State::Detached);
        let most = if active || self.doing.is_some() { NAP } else { IDLE };
        due.map_or(most, |due| Duration::from_nanos(due.0.saturating_sub(now.0)).clamp(Duration::from_millis(1), most))
    }

    fn is_over(&self) -> bool {
        match self.ended {
            None => false,
            Some(false) => true,
            Some(true) => self.doing.is_none() && (self.stopping || !self.runs()),
        }
    }

    fn runs(&self) -> bool {
        !matches!(self.core.state(), State::Offline(_) | State::Detached)
    }

    // --- orders ----------------------------------------------------------------------------------------------

    fn take(&mut self, order: Order) {
        match order {
            Order::Do(commands, reply) if self.doing.is_none() => self.begin(commands, Some(reply)),
            Order::Do(_, reply) => drop(reply.send(Err(CoreError::Busy))),
            Order::Dump(reply) => drop(reply.send(self.dump())),
            Order::Ping(reply) if self.pings.len() < ORDERS => self.pings.push_back(reply),
            Order::Ping(reply) => drop(reply.send(Err(CoreError::Busy))),
            Order::End { stop } => self.ended = Some(stop),
        }
    }

    fn begin(&mut self, commands: Vec<Command>, reply: Option<oneshot::Sender<Result<(), CoreError>>>) {
        let mut then = VecDeque::from(commands);
        let Some(now) = then.pop_front() else { return };
        // Where nothing sleeps, waking is not a question of the state.
        let never = now == Command::Resume && !self.core.platform().abilities().suspend;
        let refused =
            if never { Some(Refused::Unsupported(now)) } else { self.core.command(self.time.now(), now).err() };
        match refused {
            None => {
                self.last_error = None;
                self.doing = Some(Doing { now, then, reply });
            }
            Some(refused) => {
                if let Some(reply) = reply {
                    let _ = reply.send(Err(CoreError::Refused(refused)));
                } else {
                    self.trouble(refused.to_string());
                }
            }
        }
        self.reports();
    }

    fn dump(&mut self) -> Result<PathBuf, CoreError> {
        if !self.core.platform().abilities().dump {
            return Err(CoreError::Unsupported("this platform keeps no core dumps"));
        }
        let path = self.core.platform().keeps_dump_at();
        let path = path.ok_or(CoreError::Unsupported("no place for core dumps is known"))?;
        match self.core.state() {
            // What is there is that of the crash, or of before the last stop.
            State::Crashed | State::Offline(_) if path.is_file() => Ok(path),
            State::Offline(_) => Err(CoreError::Failed("it does not run, and no crash of it was kept".into())),
            _ => match self.core.platform_mut().perform(Action::Dump) {
                Ok(_) => Ok(path),
                Err(fault) => Err(CoreError::Failed(fault.to_string())),
            },
        }
    }

    // --- what is reported ------------------------------------------------------------------------------------

    fn reports(&mut self) {
        while let Some(report) = self.core.poll_report() {
            let at = self.setup.clock.wall();
            match report {
                Report::Now(state, generation) => {
                    self.setup.desk.log.line(at, &format!("-- {state}, generation {}", generation.0));
                    tracing::info!(core = %self.setup.desk.name, %state, generation = generation.0, "a core changed");
                }
                Report::Done(done) => self.done(done),
                Report::Failed(_, action, failure) => self.failed(action, failure),
                Report::Crashed(cause, generation) => {
                    let why = crash(cause);
                    self.setup.desk.log.line(at, &format!("-- {why}"));
                    if self.crashes.len() == CRASHES {
                        self.crashes.pop_front();
                    }
                    self.crashes.push_back(Crash { at, generation, what: why.clone() });
                    self.last_error = Some(why);
                }
                Report::Restart(_) => self.recoveries += 1,
                Report::GivenUp => self.trouble("it crashed too often and stays as it is; start it again".into()),
            }
        }
    }

    fn done(&mut self, done: Command) {
        let Some(doing) = self.doing.take_if(|doing| doing.now == done) else { return };
        if done == Command::Stop {
            // Its last words, before its memory is another's.
            self.read_traces();
        }
        if !doing.then.is_empty() {
            return self.begin(doing.then.into(), doing.reply);
        }
        self.publish();
        if let Some(reply) = doing.reply {
            let _ = reply.send(Ok(()));
        }
    }

    fn failed(&mut self, action: Action, failure: Failure) {
        let why = match (failure, self.core.fault()) {
            (Failure::Platform, Some(fault)) => fault.to_string(),
            (Failure::Platform, None) => format!("{action:?} failed"),
            (Failure::TimedOut, _) => format!("{action:?} was not done in time"),
            (Failure::Crashed, _) => format!("it crashed during {action:?}; see its log"),
        };
        self.trouble(why.clone());
        if let Some(Doing { reply: Some(reply), .. }) = self.doing.take() {
            let _ = reply.send(Err(CoreError::Failed(why)));
        }
    }

    fn trouble(&mut self, why: String) {
        if self.last_error.as_ref() != Some(&why) {
            tracing::warn!(core = %self.setup.desk.name, "{why}");
            self.setup.desk.log.line(self.setup.clock.wall(), &format!("-- {why}"));
        }
        self.last_error = Some(why);
    }

    fn read_traces(&mut self) {
        let (desk, at) = (self.setup.desk.clone(), self.setup.clock.wall());
        self.core.platform_mut().traces(&mut self.seen, &mut |bytes| desk.log.bytes(at, bytes));
    }

    fn publish(&self) {
        let platform = self.core.platform();
        let state = match (self.core.state(), platform.kernel_state()) {
            // Somebody else may start and stop the kernel's cores, too.
            (State::Offline(_) | State::Detached, Some(kernel)) => kernel,
            (state, _) => state,
        };
        let status = Status {
            state,
            generation: self.core.generation(),
            recoveries: self.recoveries,
            crashes: self.crashes.clone(),
            linked: platform.link().is_some(),
            last_error: self.last_error.clone(),
        };
        *lock(&self.setup.desk.status) = status;
    }

    // --- the link --------------------------------------------------------------------------------------------

    fn is_deaf(&self, link: &Arc<HostLink>) -> bool {
        self.deaf.as_ref().is_some_and(|deaf| Arc::ptr_eq(deaf, link))
    }

    /// As long as this link is the core's.
    fn linked(&mut self, link: &Arc<HostLink>) {
        let open = |name| {
            let name = tutti_rpmsg::Name::new(name).ok();
            link.endpoint(name, Address::ANY)
        };
        let (Ok(satellite), Ok(ping)) = (open(SERVICE), open(PING)) else {
            self.deaf = Some(link.clone());
            return self.trouble("its link has no room for endpoints".into());
        };
        let desk = self.setup.desk.clone();
        let (station, asks) = Station::new(
            place(desk.name.as_str()).into(),
            None,
            Kind::Core,
            self.pace,
            self.setup.satellites.clone(),
            self.setup.clock.clone(),
            Arc::new(move || desk.ring()),
        );
        let bell = self.core.platform().bell().and_then(|bell| bell.as_fd().try_clone_to_owned().ok());
        *lock(&self.setup.desk.bell) = bell.map(EventBell::from_fd);
        let mut radio = Radio { satellite, ping, station, asks, pinging: None, budget: Budget::new(RATE) };
        loop {
            let pause = self.turn();
            let current = self.core.platform().link();
            if self.is_over() || current.is_none_or(|current| !Arc::ptr_eq(&current, link)) {
                break;
            }
            match self.exchange(&mut radio) {
                Ok(true) => continue,
                Ok(false) => {}
                Err(why) => {
                    self.deaf = Some(link.clone());
                    self.trouble(format!("it wrote what cannot be, and is stopped: {why}"));
                    self.begin(vec![Command::Stop], None);
                    break;
                }
            }
            let due = radio.station.timeout().map(|at| at.since(self.setup.clock.now()));
            let pause = due.map_or(pause, |due| due.min(pause)).max(Duration::from_millis(1));
            if let Some(bell) = self.core.platform().bell() {
                bell.sleep(pause);
            }
        }
        *lock(&self.setup.desk.bell) = None;
        self.pace = radio.station.close();
    }

    /// What there is to be said and heard now. Whether there is more.
    fn exchange(&mut self, radio: &mut Radio<'_>) -> Result<bool, String> {
        let mut taken = 0;
        while taken < MESSAGES && radio.budget.is_left() {
            let Some((to_ping, bytes)) = self.hear(radio)? else { break };
            taken += 1;
            radio.budget.spend(1);
            if to_ping {
                radio.pong(&bytes);
            } else {
                radio.station.frame(&bytes);
            }
        }
        for line in radio.station.take_log() {
            self.setup.desk.log.line(self.setup.clock.wall(), &line);
        }
        while let Ok(ask) = radio.asks.try_recv() {
            radio.station.ask(ask);
        }
        while let Some(reply) = self.pings.pop_front() {
            if radio.pinging.is_some() {
                self.pings.push_front(reply);
                break;
            }
            radio.send_ping(reply);
        }
        radio.expire_ping();
        for _ in 0..MESSAGES {
            let Some(frame) = radio.station.transmit() else { break };
            if let Ok(peer) = radio.satellite.peer() {
                // Without room for it the frame is lost, and said again.
                let _ = radio.satellite.try_send(peer, &frame);
            }
        }
        let more = self.core.platform().link().map_or(Ok(false), |link| link.listen());
        let more = more.map_err(|corrupt| corrupt.to_string())?;
        Ok((taken == MESSAGES || more) && radio.budget.is_left())
    }

    fn hear(&mut self, radio: &Radio<'_>) -> Result<Option<(bool, Vec<u8>)>, String> {
        self.core.platform_mut().hear(&radio.satellite, &radio.ping)
    }
}

/// What the link with a core is called among all that lead to satellites.
pub(crate) fn place(name: &str) -> String {
    format!("core/{name}")
}

fn crash(cause: Cause) -> String {
    match cause {
        Cause::Fault(number) => format!("it crashed: fault {number}"),
        Cause::Watchdog => "it gave no sign of life for too long and counts as crashed".into(),
        Cause::Ended => "it ended without having been asked to".into(),
        Cause::Corrupt => "it wrote what cannot be".into(),
    }
}
