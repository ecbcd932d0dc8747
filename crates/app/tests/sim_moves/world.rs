//! What there is: devices with their disks, the network's agenda, the sender, the lamp; and what happens next.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tutti_app::{
    effects::{Effect, Ledger, Outbox, Receiver, Verdict},
    handover::{self, Message, Record, Standing, Ticket},
    home::{self, Home, Incoming, Kept, Origin},
    ids::{Attempt, EffectId, Epoch, InstanceId},
    standby::{self, Keeper, Mark, Prefer, Settings},
};
use tutti_model::{BootTime, DeviceId};

pub(crate) const INSTANCE: InstanceId = InstanceId::from_bytes([7; 16]);
pub(crate) const SENDER: InstanceId = InstanceId::from_bytes([8; 16]);
pub(crate) const LAMP: Receiver = Receiver::Instance(InstanceId::from_bytes([9; 16]));
pub(crate) const SETTINGS: Settings = Settings {
    lease: Duration::from_secs(1),
    every: Duration::from_millis(200),
    most_lost: Duration::from_millis(1600),
    prefer: Prefer::One,
};
pub(crate) const DEVICES: usize = 3;

/// Seeded randomness.
pub(crate) struct Rng(fastrand::Rng);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0.u64(..n)
    }

    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_micros(self.0.u64(from * 1000..=to * 1000))
    }
}

/// The app: it remembers what it was told, in order, and at which home, and lights a lamp each time.
pub(crate) type Told = Vec<(u32, Epoch)>;

/// What a run is about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) events: u32,
    /// Whether it is guarded; else it only moves.
    pub(crate) guarded: bool,
    pub(crate) fault: Option<Fault>,
}

/// Mistakes that the checks have to find.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// The store does not keep what was agreed with the standby.
    ForgetsTerms,
    /// One clock runs a tenth too slow.
    BadClock,
    /// A standby goes on with a fresh app.
    AdoptsNothing,
    /// A checkpoint has no ledger.
    NoLedger,
    /// A standby forgets when it is killed that it has taken over.
    ForgetsTheEnd,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct State {
    pub(crate) told: Told,
    pub(crate) kept: Kept,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) record: Option<Record>,
    pub(crate) guard: Option<standby::Record>,
    pub(crate) state: State,
    pub(crate) staged: BTreeMap<Attempt, State>,
    pub(crate) checkpoint: Option<(u64, Mark, State)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Write {
    Record(Ticket, Record),
    State(Ticket, State),
    Stage(Attempt, State),
    Guard(Ticket, standby::Record),
    Checkpoint(u64, Mark, State),
    Adopt(Epoch),
}

pub(crate) struct Node {
    pub(crate) keeper: Keeper,
    pub(crate) home: Option<(Epoch, Home<u32>)>,
    pub(crate) told: Told,
    /// What the app's state was when this save was first asked for.
    pub(crate) saving: Option<(Ticket, Told)>,
    /// For whom the pause is.
    pub(crate) pausing: Option<(Attempt, usize)>,
    /// Writes reach the disk in this order.
    pub(crate) writing: Vec<Write>,
}

pub(crate) struct Device {
    pub(crate) node: Option<Node>,
    pub(crate) disk: Disk,
    /// Grows with each start: what was under way before is not heard any more.
    pub(crate) run: u32,
    /// How much its clock gains in 10,000 parts, and what it showed at first.
    pub(crate) gains: i64,
    pub(crate) began: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// To a device, from another.
    Message(usize, usize, Message),
    Guard(usize, usize, standby::Message),
    /// To a device, from another: pact, mark, the mark that it follows, and what was saved.
    Checkpoint(usize, u64, Mark, Option<Mark>, State),
    Rest(usize, Attempt, State),
    /// A device's driver has an answer.
    Answer(usize, u32, standby::Input),
    Handled(usize, u32, u32),
    Written(usize, u32),
    Event(usize, Effect),
    Ack(Origin),
    Lit(usize, Epoch, Effect),
    Delivered(usize, EffectId),
    Told(usize, Epoch),
    Noticed(usize, usize, bool),
    Start(usize),
    Heal(usize, usize),
    Move,
    Owner,
    SendEvents,
    Wake(usize, u32),
}

pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) now: BootTime,
    pub(crate) agenda: BTreeMap<(BootTime, u64), Happening>,
    pub(crate) serial: u64,
    pub(crate) devices: Vec<Device>,
    pub(crate) cut: BTreeSet<(usize, usize)>,
    pub(crate) sender: Outbox,
    pub(crate) asked: u32,
    pub(crate) acknowledged: BTreeSet<u32>,
    pub(crate) lamp: Ledger,
    pub(crate) lamp_line: BootTime,
    /// What the lamp was told, and by which effect.
    pub(crate) lit: Vec<(u32, EffectId)>,
    pub(crate) plan: Plan,
    /// What a home has heard from its standby to be safe.
    pub(crate) safe: Told,
    /// For how long the instance had run when each event was made durable, by which home.
    pub(crate) saved: BTreeMap<(u32, Epoch), Duration>,
    /// In which epochs it was taken over, and for how long it had run until then.
    pub(crate) took_over: BTreeMap<Epoch, Duration>,
    /// For how long it has run, wherever.
    pub(crate) ran: Duration,
    pub(crate) is_running: bool,
    pub(crate) attempts: u64,
    pub(crate) moved: u64,
    pub(crate) decided: u64,
    pub(crate) calm: bool,
    /// How much has happened at this very moment.
    pub(crate) standstill: u32,
}

pub(crate) fn id(of: usize) -> DeviceId {
    DeviceId::from_bytes([of as u8 + 1; 32])
}

pub(crate) fn place(of: DeviceId) -> usize {
    usize::from(of.as_bytes()[0]) - 1
}

pub(crate) fn link(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

pub(crate) fn sender_epoch() -> Epoch {
    Epoch::first(DeviceId::from_bytes([99; 32]))
}

impl World {
    pub(crate) fn new(seed: u64, plan: Plan) -> Self {
        let now = BootTime::from_nanos(1);
        let mut rng = Rng::new(seed);
        let device = |of: usize| {
            // Within 1 %.
            let gains = if plan.fault == Some(Fault::BadClock) && of == 0 { -1000 } else { rng.below(199) as i64 - 99 };
            let began = rng.below(1 << 40);
            let standing = Standing::Home { epoch: Epoch::first(id(0)) };
            let record = (of == 0).then_some(Record { standing, claim: None });
            Device { node: None, disk: Disk { record, ..Disk::default() }, run: 0, gains, began }
        };
        let devices = (0..DEVICES).map(device).collect();
        let mut world = Self {
            rng,
            now,
            agenda: BTreeMap::new(),
            serial: 0,
            devices,
            cut: BTreeSet::new(),
            sender: Outbox::default(),
            asked: 0,
            acknowledged: BTreeSet::new(),
            lamp: Ledger::default(),
            lamp_line: now,
            lit: Vec::new(),
            plan,
            safe: Vec::new(),
            saved: BTreeMap::new(),
            took_over: BTreeMap::new(),
            ran: Duration::ZERO,
            is_running: false,
            attempts: 0,
            moved: 0,
            decided: 0,
            calm: false,
            standstill: 0,
        };
        (0..DEVICES).for_each(|of| world.start(of));
        world.later(Duration::ZERO, Happening::SendEvents);
        world.later(Duration::from_millis(50), Happening::Move);
        if plan.guarded {
            world.later(Duration::from_millis(20), Happening::Owner);
        }
        world
    }

    /// What the clock of a device shows.
    pub(crate) fn clock(&self, of: usize) -> BootTime {
        let Device { gains, began, .. } = self.devices[of];
        let nanos = i128::from(self.now.as_nanos()) * i128::from(10_000 + gains) / 10_000;
        BootTime::from_nanos(began + nanos as u64)
    }

    /// How long it takes until that clock shows this.
    pub(crate) fn until(&self, of: usize, at: BootTime) -> Duration {
        let nanos = at.since(self.clock(of)).as_nanos() as i128 * 10_000 / i128::from(10_000 + self.devices[of].gains);
        Duration::from_nanos(nanos as u64 + 1)
    }

    pub(crate) fn later(&mut self, after: Duration, what: Happening) {
        self.serial += 1;
        self.agenda.insert((self.now + after, self.serial), what);
    }

    /// Over the network: late, or never.
    pub(crate) fn over(&mut self, from: usize, to: usize, what: Happening) {
        if !self.cut.contains(&link(from, to)) && (self.calm || !self.rng.chance(3)) {
            let late = self.rng.millis(1, 30);
            self.later(late, what);
        }
    }

    pub(crate) fn runs(&self, of: usize) -> bool {
        self.epoch_of(of).is_some()
    }

    /// In which epoch it runs on that device.
    pub(crate) fn epoch_of(&self, of: usize) -> Option<Epoch> {
        self.devices[of].node.as_ref()?.keeper.may_run(self.clock(of))
    }

    pub(crate) fn check(&mut self) {
        let running: Vec<_> = (0..DEVICES).filter(|of| self.runs(*of)).collect();
        assert!(running.len() <= 1, "{running:?} all run");
        self.is_running = !running.is_empty();
    }

    pub(crate) fn same_run(&self, of: usize, run: u32) -> bool {
        self.devices[of].run == run && self.devices[of].node.is_some()
    }

    pub(crate) fn step(&mut self) -> bool {
        let Some(((at, _), what)) = self.agenda.pop_first() else { return false };
        // A timer of the past would go off again and again.
        self.standstill = if at > self.now + Duration::from_micros(1) { 0 } else { self.standstill + 1 };
        assert!(self.standstill < 10_000, "time stands still at {what:?}");
        self.check();
        if self.is_running {
            self.ran += at.since(self.now);
        }
        self.now = self.now.max(at);
        match what {
            Happening::Message(to, from, message) => self.mover(to, handover::Input::Message(id(from), message)),
            Happening::Guard(to, from, message) => {
                if let standby::Message::Have(pact, mark) = message {
                    self.on_have(to, from, pact, mark);
                }
                self.keeper(to, standby::Input::Message(id(from), message));
            }
            Happening::Checkpoint(to, pact, mark, base, state) => self.on_checkpoint(to, pact, mark, base, state),
            Happening::Rest(to, attempt, state) => self.begin_write(to, Write::Stage(attempt, state)),
            Happening::Answer(of, run, input) if self.same_run(of, run) => self.keeper(of, input),
            Happening::Handled(of, run, event) if self.same_run(of, run) => {
                if let Some(node) = &mut self.devices[of].node
                    && let Some((epoch, _)) = &node.home
                {
                    node.told.push((event, *epoch));
                }
                self.home(of, home::Input::Ran(vec![(LAMP, event.to_le_bytes().to_vec())]));
            }
            Happening::Written(of, run) if self.same_run(of, run) => self.written(of),
            Happening::Event(of, effect) => {
                let origin = Origin { from: SENDER, home: sender_epoch(), id: effect.id, previous: effect.previous };
                let event = u32::from_le_bytes(effect.body.try_into().unwrap());
                self.home(of, home::Input::Event(Incoming { origin: Some(origin), event }));
            }
            Happening::Ack(origin) => {
                let all: Vec<_> = self.sender.waiting().filter(|effect| effect.id <= origin.id).cloned().collect();
                self.acknowledged.extend(all.iter().map(|it| u32::from_le_bytes(it.body[..].try_into().unwrap())));
                self.sender.acknowledged(Receiver::Instance(INSTANCE), origin.id);
            }
            Happening::Lit(of, epoch, effect) => {
                match self.lamp.judge(INSTANCE, epoch, effect.id, effect.previous) {
                    Verdict::Apply => {
                        let event = u32::from_le_bytes(effect.body[..].try_into().unwrap());
                        self.lit.push((event, effect.id));
                    }
                    Verdict::Repeat => {}
                    Verdict::Gap => return true,
                    Verdict::Superseded(by) => {
                        self.later(Duration::from_millis(5), Happening::Told(of, by));
                        return true;
                    }
                }
                if self.rng.chance(90) {
                    self.later(Duration::from_millis(5), Happening::Delivered(of, effect.id));
                }
            }
            Happening::Delivered(of, id) => self.home(of, home::Input::Delivered(LAMP, id)),
            Happening::Told(of, by) => {
                // A home of the past can only be one that has stopped.
                assert!(!self.runs(of), "{by:?} is heard of while {of} runs");
            }
            Happening::Noticed(of, other, up) => {
                let there = !self.cut.contains(&link(of, other)) && self.devices[other].node.is_some();
                if !up {
                    self.mover(of, handover::Input::PeerDown(id(other)));
                }
                // If it came back before it was missed, the end of the old session is the start of the new.
                if there {
                    self.mover(of, handover::Input::PeerUp(id(other)));
                }
            }
            Happening::Start(of) => self.start(of),
            Happening::Heal(a, b) => {
                self.cut.remove(&link(a, b));
                self.notice_soon(a, b);
            }
            Happening::Move => {
                if let Some(of) = (0..DEVICES).find(|of| self.runs(*of)).filter(|_| !self.calm) {
                    let to = (of + 1 + self.rng.below(DEVICES as u64 - 1) as usize) % DEVICES;
                    self.attempts += 1;
                    let attempt = Attempt(self.attempts);
                    self.mover(of, handover::Input::Move { to: id(to), attempt, package: [0; 32], size: 0 });
                }
                let late = self.rng.millis(100, 600);
                self.later(late, Happening::Move);
            }
            Happening::Owner => self.on_owner(),
            Happening::SendEvents => {
                if self.asked < self.plan.events {
                    self.asked += 1;
                    let body = self.asked.to_le_bytes().to_vec();
                    self.sender.push(sender_epoch(), Receiver::Instance(INSTANCE), body).unwrap();
                }
                // It does not know where its home is: it tells everybody.
                let waiting: Vec<_> = self.sender.waiting().take(8).cloned().collect();
                for effect in waiting {
                    for of in 0..DEVICES {
                        if self.rng.chance(80) {
                            let late = self.rng.millis(1, 30);
                            self.later(late, Happening::Event(of, effect.clone()));
                        }
                    }
                }
                let late = self.rng.millis(20, 80);
                self.later(late, Happening::SendEvents);
            }
            Happening::Wake(of, run) if self.same_run(of, run) => {
                let now = self.clock(of);
                let Some(node) = &mut self.devices[of].node else { return true };
                let due = |at: Option<BootTime>| at.is_some_and(|at| at <= now);
                if due(node.keeper.poll_timeout()) {
                    self.keeper(of, standby::Input::Tick);
                } else if due(node.home.as_ref().and_then(|(_, home)| home.poll_timeout())) {
                    self.home(of, home::Input::Tick);
                }
            }
            _ => {}
        }
        true
    }

    pub(crate) fn run_until(&mut self, end: BootTime) {
        while self.agenda.first_key_value().is_some_and(|((at, _), _)| *at <= end) {
            self.step();
        }
        self.now = self.now.max(end);
    }
}
