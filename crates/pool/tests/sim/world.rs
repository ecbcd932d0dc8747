//! Several devices and the network between them, in virtual time, from one seed.
//!
//! The network does what a session of the fabric may do: it delays, reorders notices, loses messages, breaks, comes
//! back under a new generation, and lets each side notice that at another moment. Disks take their time,
//! and a crash may fall between the save and the word that it is done.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use bytes::Bytes;
use tutti_model::{DeviceId, ProtocolVersion, Reading, ResourceId, Role, Value, message::Refusal};
use tutti_pool::{
    Answer, CallId, Command, Input, Output, PerformId, Performed, PoolError, RequestId, SendError, Ticket, Work,
};

use super::{
    checks::{Check, Checks},
    device::{Call, Device, MS, Running, SECOND, True, wall},
    rng::Rng,
};

/// How the world breaks what the pool relies on, to show that the checks would notice.
#[derive(Clone, Copy, Default, Debug)]
pub struct Faults {
    /// Disks say "durable" and forget it all in a crash: the same as a pool that grants before it saves.
    pub lying_disks: bool,
    /// Clocks run up to 15 % wrong: the same as a pool that ignores drift.
    pub wild_clocks: bool,
    /// Operations that were told to stop do not.
    pub deaf_drivers: bool,
    /// Nobody is told who was forgotten.
    pub secret_removals: bool,
}

/// What happens at some moment.
pub enum Event {
    Tick,
    Peer { peer: usize, generation: u64, up: bool },
    Notice { from: usize, bytes: Bytes },
    NoticeDone { to: DeviceId, generation: u64, sent: bool },
    Request { from: usize, from_run: u64, id: RequestId, bytes: Bytes },
    Stream { from: usize, header: Bytes },
    Response { id: RequestId, result: Result<Bytes, SendError> },
    OnDisk { key: &'static str, bytes: Vec<u8> },
    Saved { ticket: Ticket, well: bool },
    PerformOver { id: PerformId },
    Group(usize),
    HandOver(tutti_model::signed::Signed),
    Restart { reboot: bool },
    Retry(ResourceId),
}

pub struct Link {
    pub up: bool,
    pub generation: u64,
    pub version: ProtocolVersion,
    pub blocked: bool,
}

pub struct World {
    pub now: True,
    pub rng: Rng,
    pub devices: Vec<Device>,
    pub checks: Checks,
    pub faults: Faults,
    pub calm: bool,
    pub links: BTreeMap<(usize, usize), Link>,
    /// What each side last heard of each link.
    pub sides: BTreeMap<(usize, usize), u64>,
    pub groups: Vec<BTreeMap<DeviceId, Role>>,
    pub queue: BinaryHeap<Reverse<(True, u64)>>,
    pub events: BTreeMap<u64, (usize, u64, Event)>,
    last: u64,
}

impl World {
    pub fn new(seed: u64, count: usize, faults: Faults) -> Self {
        let mut rng = Rng::new(seed);
        let most_drift = if faults.wild_clocks { 150_000 } else { 10_000 };
        let devices = (0..count).map(|index| Device::new(index, &mut rng, most_drift)).collect();
        Self::of(devices, rng, faults)
    }

    /// A world of these devices.
    pub fn of(devices: Vec<Device>, mut rng: Rng, faults: Faults) -> Self {
        let count = devices.len();
        let roles = devices.iter().map(|device| (device.id, if device.index < 2 { Role::Owner } else { Role::Member }));
        let groups = vec![roles.collect()];
        let mut links = BTreeMap::new();
        for a in 0..count {
            for b in a + 1..count {
                let version = ProtocolVersion(if rng.chance(250) { 1 } else { 2 });
                links.insert((a, b), Link { up: false, generation: 0, version, blocked: false });
            }
        }
        let mut world = Self {
            now: 0,
            rng,
            devices,
            checks: Checks::default(),
            faults,
            calm: false,
            links,
            sides: BTreeMap::new(),
            groups,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            last: 0,
        };
        for index in 0..count {
            world.learn(index, 0);
            let run = world.rng.next();
            world.devices[index].start(0, run);
            world.check_up(index);
        }
        world
    }

    /// Lets time pass until then, checking after every event.
    pub fn run_until(&mut self, end: True) -> Check {
        while let Some(Reverse((at, _))) = self.queue.peek().copied() {
            if at > end {
                break;
            }
            let Some(Reverse((at, number))) = self.queue.pop() else { break };
            self.now = at;
            let Some((device, run, event)) = self.events.remove(&number) else { continue };
            self.happen(device, run, event)?;
            self.check_beliefs()?;
        }
        self.now = end;
        Ok(())
    }

    fn check_beliefs(&mut self) -> Check {
        let now = self.now;
        let held = |device: &Device| Some((device.id, device.pool.as_ref()?.held(device.clock.local(now))));
        let all: Vec<_> = self.devices.iter().filter_map(held).collect();
        self.checks.beliefs(&all)
    }

    fn at(&mut self, at: True, device: usize, event: Event) {
        self.last += 1;
        self.queue.push(Reverse((at.max(self.now), self.last)));
        let run = self.devices[device].run;
        self.events.insert(self.last, (device, run, event));
    }

    pub fn after(&mut self, delay: True, device: usize, event: Event) {
        self.at(self.now + delay, device, event);
    }

    fn happen(&mut self, device: usize, run: u64, event: Event) -> Check {
        if let Event::Restart { reboot } = event {
            return self.restart(device, reboot);
        }
        if let Event::Group(version) = event {
            // Old news that comes late is no news.
            if version < self.devices[device].group_version {
                return Ok(());
            }
            self.learn(device, version);
            return self.give_group(device);
        }
        if self.devices[device].run != run || self.devices[device].pool.is_none() {
            return Ok(());
        }
        match event {
            Event::Tick => {
                self.devices[device].tick_at = None;
                self.give(device, Input::Tick)
            }
            Event::Peer { peer, generation, up } => self.side(device, peer, generation, up),
            Event::Notice { from, bytes } => self.give(device, Input::Notice { from: self.devices[from].id, bytes }),
            Event::NoticeDone { to, generation, sent } => self.give(device, Input::NoticeDone { to, generation, sent }),
            Event::Request { from, from_run, id, bytes } => {
                let asker = self.devices[from].id;
                let call = self.devices[device].call(Call::Other);
                self.devices[device].foreign.insert(call, (from, from_run, id));
                self.give(device, Input::Request { call, from: asker, bytes })
            }
            Event::Stream { from, header } => {
                let asker = self.devices[from].id;
                let call = self.devices[device].call(Call::Other);
                self.give(device, Input::Stream { call, from: asker, header })
            }
            Event::Response { id, result } => {
                if !self.devices[device].requests.remove(&id) {
                    return Ok(());
                }
                self.give(device, Input::Response { id, result })
            }
            Event::OnDisk { key, bytes } => {
                if !self.faults.lying_disks {
                    self.devices[device].disk.insert(key, bytes);
                }
                Ok(())
            }
            Event::Saved { ticket, well } => {
                let failed = || Input::PersistFailed { ticket, why: "no space left".into() };
                self.give(device, if well { Input::Persisted { ticket } } else { failed() })
            }
            Event::PerformOver { id } => self.perform_over(device, id),
            Event::HandOver(signed) => {
                self.devices[device].hand_overs.push(signed);
                Ok(())
            }
            Event::Retry(_) if self.calm => Ok(()),
            Event::Retry(resource) => self.acquire(device, resource),
            Event::Group(_) | Event::Restart { .. } => Ok(()),
        }
    }

    /// Gives an input to a device's pool and does what it wants done.
    pub fn give(&mut self, device: usize, input: Input) -> Check {
        let now = self.now;
        let it = &mut self.devices[device];
        let Some(pool) = &mut it.pool else { return Ok(()) };
        pool.handle(it.clock.local(now), wall(now), input);
        self.drain(device)
    }

    pub fn drain(&mut self, device: usize) -> Check {
        while let Some(output) = self.devices[device].pool.as_mut().and_then(|pool| pool.poll_output()) {
            self.carry_out(device, output)?;
        }
        let it = &self.devices[device];
        let due = it.pool.as_ref().and_then(|pool| pool.poll_timeout()).map(|due| it.clock.reaches(due));
        if let Some(due) = due
            && it.tick_at.is_none_or(|at| due < at)
        {
            self.devices[device].tick_at = Some(due);
            self.at(due.max(self.now + 1), device, Event::Tick);
        }
        Ok(())
    }

    fn carry_out(&mut self, device: usize, output: Output) -> Check {
        match output {
            Output::Notify { to, generation, bytes } => self.notify(device, to, generation, bytes),
            Output::Request { id, to, bytes, timeout } => {
                self.devices[device].requests.insert(id);
                let timeout = timeout.as_nanos() as u64;
                self.after(timeout, device, Event::Response { id, result: Err(SendError::TimedOut) });
                let Some(to) = self.index(to).filter(|to| self.connected(device, *to)) else {
                    self.after(MS, device, Event::Response { id, result: Err(SendError::NotConnected) });
                    return Ok(());
                };
                if !self.lost() {
                    let from_run = self.devices[device].run;
                    let delay = self.delay();
                    self.after(delay, to, Event::Request { from: device, from_run, id, bytes });
                }
            }
            Output::Reply { call, bytes } => {
                self.devices[device].calls.remove(&call);
                let Some((to, to_run, id)) = self.devices[device].foreign.remove(&call) else { return Ok(()) };
                if self.devices[to].run == to_run && self.connected(device, to) && !self.lost() {
                    let delay = self.delay();
                    self.after(delay, to, Event::Response { id, result: Ok(bytes) });
                }
            }
            Output::Perform { id, resource, work, from, token, .. } => {
                let it = &mut self.devices[device];
                self.checks.serves(it.id, from, &it.members())?;
                it.running.insert(id, Running { resource, work, from, token, cut: false });
                let delay =
                    if self.rng.chance(100) { self.rng.range(MS, 3 * SECOND) } else { self.rng.range(0, 20 * MS) };
                self.after(delay, device, Event::PerformOver { id });
            }
            Output::Cut { id, .. } => {
                self.checks.count("operations cut");
                if let Some(running) = self.devices[device].running.get_mut(&id) {
                    running.cut = !self.faults.deaf_drivers;
                }
                if self.faults.deaf_drivers {
                    // It says that it stopped, and does not.
                    let result = Err(Refusal::StaleToken);
                    self.give(device, Input::Performed { id, result })?;
                } else {
                    self.after(5 * MS, device, Event::PerformOver { id });
                }
            }
            Output::Open { to, header, .. } => {
                let Some(to) = self.index(to).filter(|to| self.connected(device, *to)) else { return Ok(()) };
                let delay = self.delay();
                self.after(delay, to, Event::Stream { from: device, header });
            }
            Output::Done { call, result } => self.done(device, call, result)?,
            Output::Persist { ticket, key, bytes } => {
                let to_disk = if self.rng.chance(50) { self.rng.range(0, SECOND) } else { self.rng.range(0, 10 * MS) };
                let word = to_disk + self.rng.range(0, 50 * MS);
                let well = self.calm || !self.rng.chance(20);
                if well || self.rng.chance(500) {
                    self.after(to_disk, device, Event::OnDisk { key, bytes });
                }
                self.after(word, device, Event::Saved { ticket, well });
            }
            Output::Event(event) => match event {
                tutti_pool::Event::LeaseLost { .. } => self.checks.count("leases lost"),
                tutti_pool::Event::Equivocation { .. } => self.checks.count("equivocations"),
                _ => {}
            },
        }
        Ok(())
    }

    fn perform_over(&mut self, device: usize, id: PerformId) -> Check {
        let Some(running) = self.devices[device].running.remove(&id) else { return Ok(()) };
        let result = if running.cut {
            Err(Refusal::StaleToken)
        } else {
            let it = &self.devices[device];
            self.checks.serves(it.id, running.from, &it.members())?;
            if running.work == Work::Read {
                Ok(Performed::Reading(Reading { value: Value::Int(1), at: wall(self.now) }))
            } else {
                if matches!(running.work, Work::Write(_)) {
                    self.checks.effect(running.resource, running.token)?;
                }
                Ok(Performed::Done)
            }
        };
        self.give(device, Input::Performed { id, result })
    }

    fn done(&mut self, device: usize, call: CallId, result: Result<Answer, PoolError>) -> Check {
        let purpose = self.devices[device].calls.remove(&call);
        match (purpose, result) {
            (Some(Call::Read(owner)), Ok(Answer::Reading(_))) => {
                let it = &self.devices[device];
                self.checks.reads(it.id, owner, &it.members())?;
            }
            (Some(Call::Reserve(lease, to)), Ok(_)) => {
                let call = self.devices[device].call(Call::HandOver(to));
                self.give(device, Input::Command { call, command: Command::HandOver(lease) })?;
            }
            (Some(Call::Acquire), Ok(_)) => self.checks.count("leases acquired"),
            (Some(Call::Take), Ok(_)) => self.checks.count("leases taken over"),
            // Whoever was told how long to wait tries again at that very moment: where a mistake by a hair would show.
            (Some(Call::Acquire), Err(PoolError::Refused { subject, why: Refusal::HeldBy { remaining, .. } })) => {
                let wait = remaining.as_nanos() as u64 + self.rng.below(30 * MS);
                self.after(wait, device, Event::Retry(subject.resource));
            }
            (Some(Call::HandOver(to)), Ok(Answer::HandOver(signed))) => {
                self.checks.count("leases handed over");
                let delay = self.delay();
                self.after(delay, to, Event::HandOver(signed));
            }
            _ => {}
        }
        Ok(())
    }
}
