//! Whole moves in virtual time: three devices with slow disks, a network that loses and delays, a sender whose events must be
//! applied once each, a receiver that must see each effect once, and something that goes wrong at a seeded point.
//!
//! At every step at most one device may run the instance. After the trouble is over, exactly one does within 3 s, and no
//! acknowledged event or effect was lost or applied twice. `TUTTI_SIM_SEEDS` is the number of seeds (2,000 without it); a
//! failure prints its seed, and `TUTTI_SIM_SEED` runs that one alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tutti_app::{
    effects::{Effect, Ledger, Outbox, Receiver, Verdict},
    handover::{self, HandOver, Message, RETRY, Record, Standing, Ticket},
    home::{self, Home, Incoming, Kept, Origin},
    ids::{Attempt, EffectId, Epoch, InstanceId},
};
use tutti_model::{BootTime, DeviceId};

const INSTANCE: InstanceId = InstanceId::from_bytes([7; 16]);
const SENDER: InstanceId = InstanceId::from_bytes([8; 16]);
const LAMP: Receiver = Receiver::Instance(InstanceId::from_bytes([9; 16]));
const EVENTS: u32 = 60;
const DEVICES: usize = 3;

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_micros(from * 1000 + self.below((to - from) * 1000 + 1))
    }
}

/// The app: it remembers what it was told, in order, and lights a lamp each time.
type Told = Vec<u32>;

#[derive(Clone, Debug, Default, PartialEq)]
struct State {
    told: Told,
    kept: Kept,
}

#[derive(Clone, Debug, Default)]
struct Disk {
    record: Option<Record>,
    state: State,
    staged: BTreeMap<Attempt, State>,
}

#[derive(Clone, Debug)]
enum Write {
    Record(Ticket, Record),
    State(Ticket, State),
    Stage(Attempt, State),
}

struct Node {
    mover: HandOver,
    home: Option<(Epoch, Home<u32>)>,
    told: Told,
    /// For whom the pause is.
    pausing: Option<(Attempt, usize)>,
    /// Writes reach the disk in this order.
    writing: Vec<Write>,
}

struct Device {
    node: Option<Node>,
    disk: Disk,
    /// Grows with each start: what was under way before is not heard any more.
    run: u32,
}

#[derive(Clone, Debug)]
enum Happening {
    /// To a device, from another.
    Message(usize, usize, Message),
    Rest(usize, Attempt, State),
    /// A device's driver has an answer.
    Answer(usize, u32, handover::Input),
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
    SendEvents,
    Wake(usize, u32),
}

struct World {
    rng: Rng,
    now: BootTime,
    agenda: BTreeMap<(BootTime, u64), Happening>,
    serial: u64,
    devices: Vec<Device>,
    cut: BTreeSet<(usize, usize)>,
    sender: Outbox,
    asked: u32,
    acknowledged: BTreeSet<u32>,
    lamp: Ledger,
    lamp_line: BootTime,
    lit: Vec<u32>,
    attempts: u64,
    moved: u64,
    decided: u64,
    calm: bool,
    /// How much has happened at this very moment.
    standstill: u32,
}

fn id(of: usize) -> DeviceId {
    DeviceId::from_bytes([of as u8 + 1; 32])
}

fn place(of: DeviceId) -> usize {
    usize::from(of.as_bytes()[0]) - 1
}

fn link(a: usize, b: usize) -> (usize, usize) {
    (a.min(b), a.max(b))
}

fn sender_epoch() -> Epoch {
    Epoch::first(DeviceId::from_bytes([99; 32]))
}

impl World {
    fn new(seed: u64) -> Self {
        let now = BootTime::from_nanos(1);
        let device = |of: usize| {
            let standing = Standing::Home { epoch: Epoch::first(id(0)) };
            let record = (of == 0).then_some(Record { standing, claim: None });
            Device { node: None, disk: Disk { record, ..Disk::default() }, run: 0 }
        };
        let mut world = Self {
            rng: Rng(seed),
            now,
            agenda: BTreeMap::new(),
            serial: 0,
            devices: (0..DEVICES).map(device).collect(),
            cut: BTreeSet::new(),
            sender: Outbox::default(),
            asked: 0,
            acknowledged: BTreeSet::new(),
            lamp: Ledger::default(),
            lamp_line: now,
            lit: Vec::new(),
            attempts: 0,
            moved: 0,
            decided: 0,
            calm: false,
            standstill: 0,
        };
        (0..DEVICES).for_each(|of| world.start(of));
        world.later(Duration::ZERO, Happening::SendEvents);
        world.later(Duration::from_millis(50), Happening::Move);
        world
    }

    fn later(&mut self, after: Duration, what: Happening) {
        self.serial += 1;
        self.agenda.insert((self.now + after, self.serial), what);
    }

    /// Over the network: late, or never.
    fn over(&mut self, from: usize, to: usize, what: Happening) {
        if !self.cut.contains(&link(from, to)) && (self.calm || !self.rng.chance(3)) {
            let late = self.rng.millis(1, 30);
            self.later(late, what);
        }
    }

    // --- things that go wrong --------------------------------------------------------------------------------

    fn start(&mut self, of: usize) {
        if self.devices[of].node.is_some() {
            return;
        }
        let device = &mut self.devices[of];
        device.run += 1;
        let mover = HandOver::new(self.now, id(of), INSTANCE, device.disk.record.clone());
        device.node = Some(Node { mover, home: None, told: vec![], pausing: None, writing: vec![] });
        for other in (0..DEVICES).filter(|other| *other != of) {
            self.notice_soon(of, other);
        }
        self.settle(of);
    }

    fn kill(&mut self, of: usize) {
        let Some(node) = self.devices[of].node.take() else { return };
        // Of what was being written, the disk has as much as it got to.
        for write in node.writing {
            if self.rng.chance(50) {
                break;
            }
            self.write(of, &write);
        }
        for other in (0..DEVICES).filter(|other| *other != of) {
            self.notice_soon(of, other);
        }
        let back = self.rng.millis(100, 6000);
        self.later(back, Happening::Start(of));
    }

    fn cut(&mut self, a: usize, b: usize) {
        self.cut.insert(link(a, b));
        self.notice_soon(a, b);
        let back = self.rng.millis(100, 6000);
        self.later(back, Happening::Heal(a, b));
    }

    /// Both sides of a link learn, each when it will, whether there is a session now.
    fn notice_soon(&mut self, a: usize, b: usize) {
        let there = !self.cut.contains(&link(a, b)) && [a, b].iter().all(|it| self.devices[*it].node.is_some());
        for (of, other) in [(a, b), (b, a)] {
            let late = if there { self.rng.millis(1, 50) } else { self.rng.millis(1, 2200) };
            if there {
                // A new session: the old one, if it is not yet missed, ends first.
                self.later(late, Happening::Noticed(of, other, false));
            }
            self.later(late, Happening::Noticed(of, other, there));
        }
    }

    // --- disks -----------------------------------------------------------------------------------------------

    fn write(&mut self, of: usize, write: &Write) {
        let disk = &mut self.devices[of].disk;
        match write.clone() {
            Write::Record(_, record) => {
                let was = disk.record.replace(record).map(|record| record.standing);
                if let (Some(Standing::Prepared { attempt, .. }), Some(Standing::Home { .. })) =
                    (was, disk.record.as_ref().map(|record| &record.standing))
                {
                    disk.state = disk.staged.remove(&attempt).expect("what was prepared is there");
                }
            }
            Write::State(_, state) => disk.state = state,
            Write::Stage(attempt, state) => _ = disk.staged.insert(attempt, state),
        }
    }

    fn begin_write(&mut self, of: usize, write: Write) {
        let Some(node) = &mut self.devices[of].node else { return };
        node.writing.push(write);
        let (run, late) = (self.devices[of].run, self.rng.millis(1, 15));
        self.later(late, Happening::Written(of, run));
    }

    fn written(&mut self, of: usize) {
        let Some(node) = &mut self.devices[of].node else { return };
        let write = node.writing.remove(0);
        self.write(of, &write);
        match write {
            Write::Record(ticket, _) => self.mover(of, handover::Input::Persisted(ticket)),
            Write::State(ticket, _) => self.home(of, home::Input::Persisted(ticket)),
            Write::Stage(attempt, _) => self.mover(of, handover::Input::Stored(attempt, Ok(()))),
        }
    }

    // --- the drivers -----------------------------------------------------------------------------------------

    fn mover(&mut self, of: usize, input: handover::Input) {
        let now = self.now;
        if let Some(node) = &mut self.devices[of].node {
            node.mover.handle(now, input);
        }
        self.settle(of);
    }

    fn home(&mut self, of: usize, input: home::Input<u32>) {
        let now = self.now;
        if let Some((_, home)) = self.devices[of].node.as_mut().and_then(|node| node.home.as_mut()) {
            home.handle(now, input);
        }
        self.settle(of);
    }

    /// Does what the machines of a device ask for.
    fn settle(&mut self, of: usize) {
        while let Some(output) = self.devices[of].node.as_mut().and_then(|node| node.mover.poll_output()) {
            self.on_mover(of, output);
        }
        loop {
            let Some(node) = &mut self.devices[of].node else { return };
            let Some((epoch, home)) = &mut node.home else { break };
            let epoch = *epoch;
            let Some(output) = home.poll_output() else { break };
            self.on_home(of, epoch, output);
        }
        if let Some(node) = &self.devices[of].node {
            let home = node.home.as_ref().and_then(|(_, home)| home.poll_timeout());
            if let Some(at) = [node.mover.poll_timeout(), home].into_iter().flatten().min() {
                let run = self.devices[of].run;
                self.later(at.since(self.now), Happening::Wake(of, run));
            }
        }
        self.check();
    }

    fn on_mover(&mut self, of: usize, output: handover::Output) {
        use handover::{Input, Output};
        let run = self.devices[of].run;
        match output {
            Output::Send(to, message) => {
                let (_, message) = Message::parse(&message.emit(INSTANCE).unwrap()).unwrap();
                self.over(of, place(to), Happening::Message(place(to), of, message));
            }
            Output::Persist(ticket, record) => self.begin_write(of, Write::Record(ticket, record)),
            Output::Consider(_, offer) => {
                let verdict = if self.calm || self.rng.chance(95) { Ok(()) } else { Err(handover::Why::Full) };
                self.later(Duration::ZERO, Happening::Answer(of, run, Input::Considered(offer.attempt, verdict)));
            }
            Output::Copy(attempt, _) => {
                let late = self.rng.millis(10, 150);
                self.later(late, Happening::Answer(of, run, Input::Copied(attempt, Ok(()))));
            }
            Output::Reserve(attempt, _) => {
                let verdict = if self.calm || self.rng.chance(95) { Ok(()) } else { Err(handover::Why::Failed) };
                let late = self.rng.millis(1, 20);
                self.later(late, Happening::Answer(of, run, Input::Reserved(attempt, verdict)));
            }
            Output::Stop => self.home(of, home::Input::Pause),
            Output::SendRest(attempt, to) => {
                if let Some(node) = &mut self.devices[of].node {
                    node.pausing = Some((attempt, place(to)));
                }
            }
            Output::Start(epoch) => {
                let (now, device) = (self.now, &mut self.devices[of]);
                let Some(node) = &mut device.node else { return };
                node.pausing = None;
                if node.home.as_ref().is_some_and(|(since, _)| *since == epoch) {
                    return self.home(of, home::Input::Resume);
                }
                node.told = device.disk.state.told.clone();
                node.home = Some((epoch, Home::new(now, epoch, device.disk.state.kept.clone())));
            }
            Output::Remove => {
                if let Some(node) = &mut self.devices[of].node {
                    node.home = None;
                }
                self.devices[of].disk.state = State::default();
            }
            Output::Release(attempt) => _ = self.devices[of].disk.staged.remove(&attempt),
            Output::Event(handover::Event::Moved(..)) => self.moved += 1,
            Output::Event(handover::Event::Decided(..)) => self.decided += 1,
            Output::Event(_) => {}
        }
    }

    fn on_home(&mut self, of: usize, epoch: Epoch, output: home::Output<u32>) {
        use home::Output;
        let run = self.devices[of].run;
        let Some(node) = &mut self.devices[of].node else { return };
        match output {
            Output::Run(event) => {
                let late = self.rng.millis(0, 3);
                self.later(late, Happening::Handled(of, run, event));
            }
            Output::Persist(ticket, kept) => {
                let state = State { told: node.told.clone(), kept };
                self.begin_write(of, Write::State(ticket, state));
            }
            Output::Ack(origin) => {
                let late = self.rng.millis(1, 30);
                self.later(late, Happening::Ack(origin));
            }
            Output::Send(effect) => {
                // A stream: in order.
                let at = (self.now + self.rng.millis(1, 30)).max(self.lamp_line);
                self.lamp_line = at;
                if self.rng.chance(90) {
                    self.later(at.since(self.now), Happening::Lit(of, epoch, effect));
                }
            }
            Output::Paused(kept) => {
                let state = State { told: node.told.clone(), kept };
                if let Some((attempt, to)) = node.pausing.take() {
                    self.over(of, to, Happening::Rest(to, attempt, state));
                }
            }
            Output::Restore | Output::Poisoned(_) | Output::Stale(_) | Output::Refuse(..) => {
                panic!("seed: {output:?} cannot come here")
            }
            Output::Busy(_) => {}
        }
    }

    // --- what happens ----------------------------------------------------------------------------------------

    fn runs(&self, of: usize) -> bool {
        self.devices[of].node.as_ref().is_some_and(|node| node.mover.may_run().is_some())
    }

    fn check(&self) {
        let running: Vec<_> = (0..DEVICES).filter(|of| self.runs(*of)).collect();
        assert!(running.len() <= 1, "{running:?} all run");
    }

    fn same_run(&self, of: usize, run: u32) -> bool {
        self.devices[of].run == run && self.devices[of].node.is_some()
    }

    fn step(&mut self) -> bool {
        let Some(((at, _), what)) = self.agenda.pop_first() else { return false };
        self.standstill = if at > self.now { 0 } else { self.standstill + 1 };
        assert!(self.standstill < 10_000, "time stands still at {what:?}");
        self.now = self.now.max(at);
        match what {
            Happening::Message(to, from, message) => self.mover(to, handover::Input::Message(id(from), message)),
            Happening::Rest(to, attempt, state) => self.begin_write(to, Write::Stage(attempt, state)),
            Happening::Answer(of, run, input) if self.same_run(of, run) => self.mover(of, input),
            Happening::Handled(of, run, event) if self.same_run(of, run) => {
                if let Some(node) = &mut self.devices[of].node {
                    node.told.push(event);
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
                    Verdict::Apply => self.lit.push(u32::from_le_bytes(effect.body[..].try_into().unwrap())),
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
            Happening::SendEvents => {
                if self.asked < EVENTS {
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
                let now = self.now;
                let Some(node) = &mut self.devices[of].node else { return true };
                let due = |at: Option<BootTime>| at.is_some_and(|at| at <= now);
                if due(node.mover.poll_timeout()) {
                    self.mover(of, handover::Input::Tick);
                } else if due(node.home.as_ref().and_then(|(_, home)| home.poll_timeout())) {
                    self.home(of, home::Input::Tick);
                }
            }
            _ => {}
        }
        true
    }

    fn run_until(&mut self, end: BootTime) {
        while self.agenda.first_key_value().is_some_and(|((at, _), _)| *at <= end) {
            self.step();
        }
        self.now = self.now.max(end);
    }

    /// Everything is repaired, and stays so.
    fn heal(&mut self) {
        self.calm = true;
        self.cut.clear();
        (0..DEVICES).for_each(|of| self.start(of));
        for a in 0..DEVICES {
            (a + 1..DEVICES).for_each(|b| self.notice_soon(a, b));
        }
        // Sessions are there within 50 ms.
        self.run_until(self.now + Duration::from_millis(50) + Duration::from_secs(3));
    }
}

/// What a run was like: how many moves were decided and completed.
fn run(seed: u64) -> (u64, u64) {
    let mut world = World::new(seed);
    let steps = 300 + world.rng.below(2500);
    let second = steps + world.rng.below(800);
    for step in 0..second + 200 {
        if step == steps || step == second {
            // Whoever has to do with a move is hit most often.
            let of = world.rng.below(DEVICES as u64) as usize;
            let waits = |of: &usize| {
                world.devices[*of].node.as_ref().is_some_and(|node| {
                    node.mover.waiting_for().is_some() || (node.home.is_some() && node.mover.may_run().is_none())
                })
            };
            let of = (0..DEVICES).find(waits).filter(|_| world.rng.chance(60)).unwrap_or(of);
            if world.rng.chance(70) {
                world.kill(of);
            } else {
                world.cut(of, (of + 1) % DEVICES);
            }
        }
        world.step();
    }
    world.heal();
    let running: Vec<_> = (0..DEVICES).filter(|of| world.runs(*of)).collect();
    assert_eq!(running.len(), 1, "{running:?} run 3 s after healing");
    let waits = |device: &Device| device.node.as_ref().and_then(|node| node.mover.waiting_for());
    let records: Vec<_> = world.devices.iter().map(|device| &device.disk.record).collect();
    assert!(world.devices.iter().all(|device| waits(device).is_none()), "somebody still waits: {records:#?}");
    world.run_until(world.now + Duration::from_secs(30) + RETRY);
    let expected: Vec<u32> = (1..=EVENTS).collect();
    let home = &world.devices[running[0]];
    assert_eq!(home.node.as_ref().unwrap().told, expected, "what the app was told");
    assert_eq!(home.disk.state.told, expected, "what the disk says the app was told");
    assert_eq!(world.lit, expected, "what the lamp was told");
    assert_eq!(world.acknowledged.len(), expected.len());
    (world.decided, world.moved)
}

#[test]
#[expect(clippy::print_stderr, reason = "how much was moved is of interest")]
fn kills_and_cuts_at_seeded_points() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("TUTTI_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TUTTI_SIM_SEEDS").unwrap_or(2000),
    };
    let (mut decided, mut moved) = (0, 0);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let result = std::panic::catch_unwind(|| run(seed));
        let Ok((more, done)) = result else { panic!("failed with TUTTI_SIM_SEED={seed}") };
        decided += more;
        moved += done;
    }
    eprintln!("{count} seeds: {decided} moves decided, {moved} seen to end at their sources");
    assert!(count == 1 || moved > count, "the simulation must move something");
}
