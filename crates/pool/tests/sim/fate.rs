//! What devices want and what befalls them: users, crashes, partitions, peace.

use tutti_model::{
    ResourceId, Value,
    message::{Request, StreamHeader, Write},
};
use tutti_pool::{BootId, Command, Input, RequestId};

use super::{
    checks::Check,
    device::{Call, Clock, MS, SECOND, name},
    world::{Event, World},
};

impl World {
    /// Something random.
    pub fn stir(&mut self) -> Check {
        let device = self.rng.below(self.devices.len() as u64) as usize;
        let other = self.rng.below(self.devices.len() as u64) as usize;
        match self.rng.below(1000) {
            0..12 => self.crash(device),
            12..30 => self.partition(),
            30..60 => self.links.values_mut().for_each(|link| link.blocked = false),
            60..75 => self.break_link(device, other),
            75..90 => self.change_group(),
            90..105 => {
                self.devices[device].renames += 1;
                let renamed = name(&format!("device-{device}-{}", self.devices[device].renames));
                self.devices[device].name = renamed;
                self.give(device, Input::Rename(renamed))?;
            }
            105..115 => {
                self.devices[device].closed ^= true;
                let resources = self.devices[device].resources();
                self.give(device, Input::Resources(resources))?;
            }
            115..120 => self.devices[device].backup = self.devices[device].disk.get(tutti_pool::KEYS[0]).cloned(),
            120..160 => self.replay_old_token(device, other)?,
            160..175 if self.devices[device].pool.is_some() => {
                self.devices[device].things = self.rng.below(3) as usize;
                let satellites = self.devices[device].satellites();
                self.checks.count("changes of satellites");
                self.give(device, Input::Satellites(satellites))?;
            }
            _ => self.use_something(device, other)?,
        }
        self.connect();
        self.spread_group();
        Ok(())
    }

    fn use_something(&mut self, device: usize, other: usize) -> Check {
        let mut lamp = self.devices[other].lamp();
        if self.rng.chance(250) {
            // Of a satellite, be it there or not.
            lamp.device = self.devices[other].thing(0);
        }
        let now = self.now;
        let it = &self.devices[device];
        let Some(pool) = &it.pool else { return Ok(()) };
        let held = pool.held(it.clock.local(now));
        let duration = std::time::Duration::from_millis(self.rng.range(500, 8_000));
        let renewed = self.rng.chance(300);
        let mine = (!held.is_empty()).then(|| self.rng.pick(&held).lease);
        let command = match (self.rng.below(12), mine) {
            (0..3, _) => {
                let warmth = ResourceId { name: name("warmth"), ..lamp };
                let host = self.devices[other].id;
                let call = self.devices[device].call(Call::Read(host));
                return self.give(device, Input::Command { call, command: Command::Read(warmth) });
            }
            (3, Some(lease)) => Command::Renew { lease, duration },
            (4, Some(lease)) => Command::Release(lease),
            (5, Some(lease)) => {
                let to = self.devices[other].id;
                let call = self.devices[device].call(Call::Reserve(lease, other));
                return self.give(device, Input::Command { call, command: Command::Reserve { lease, to } });
            }
            (6, _) if !it.hand_overs.is_empty() => {
                let hand_over = self.rng.pick(&it.hand_overs).clone();
                let call = self.devices[device].call(Call::Take);
                let command = Command::Take { hand_over, duration, renewed };
                return self.give(device, Input::Command { call, command });
            }
            (7, _) => Command::Open(StreamHeader::Follow(tutti_model::message::Follow {
                resource: ResourceId { name: name("warmth"), ..lamp },
                min_interval: std::time::Duration::ZERO,
            })),
            (8..11, Some(lease)) => Command::Write { resource: lease.resource, value: Value::Bool(true), token: None },
            _ => {
                // Often the same lamp, so that there is something to fight over.
                let resource = if self.rng.chance(700) { self.devices[0].lamp() } else { lamp };
                return self.acquire(device, resource);
            }
        };
        let call = self.devices[device].call(Call::Other);
        self.give(device, Input::Command { call, command })
    }

    pub fn acquire(&mut self, device: usize, resource: ResourceId) -> Check {
        let mode = tutti_model::message::LeaseMode::Exclusive;
        // Long ones are rare, and where drift shows.
        let most = if self.rng.chance(150) { 25_000 } else { 6_000 };
        let duration = std::time::Duration::from_millis(self.rng.range(500, most));
        let renewed = self.rng.chance(200);
        let call = self.devices[device].call(Call::Acquire);
        self.give(device, Input::Command { call, command: Command::Acquire { resource, mode, duration, renewed } })
    }

    /// A dishonest or confused device acts under a token that it may have had once.
    fn replay_old_token(&mut self, from: usize, to: usize) -> Check {
        let token = tutti_model::message::Token(self.rng.below(30));
        let resource = self.devices[to].lamp();
        let token = if self.rng.chance(900) { Some(token) } else { None };
        let write = Request::Write(Write { resource, value: Value::Bool(false), token });
        let Ok(bytes) = write.emit() else { return Ok(()) };
        let id = RequestId(u64::MAX);
        let from_run = self.devices[from].run;
        self.after(MS, to, Event::Request { from, from_run, id, bytes: bytes.into() });
        Ok(())
    }

    pub fn crash(&mut self, device: usize) {
        if self.devices[device].pool.is_none() {
            return;
        }
        self.checks.count("crashes");
        self.devices[device].crash();
        for other in 0..self.devices.len() {
            self.break_link(device, other);
        }
        let reboot = self.rng.chance(300);
        let down = if self.rng.chance(500) { self.rng.range(MS, SECOND) } else { self.rng.range(SECOND, 15 * SECOND) };
        self.after(down, device, Event::Restart { reboot });
    }

    pub fn restart(&mut self, device: usize, reboot: bool) -> Check {
        if self.devices[device].pool.is_some() {
            return Ok(());
        }
        if reboot {
            let most = if self.faults.wild_clocks { 150_000 } else { 10_000 };
            self.devices[device].clock = Clock::new(&mut self.rng, self.now, most);
            let boot = self.rng.next().to_le_bytes();
            self.devices[device].boot = BootId([boot, boot].concat().try_into().unwrap_or_default());
        }
        if let Some(old) = self.devices[device].backup.take().filter(|_| !self.calm) {
            self.checks.count("backups restored");
            self.devices[device].disk.insert(tutti_pool::KEYS[0], old);
        }
        let run = self.rng.next();
        let now = self.now;
        self.devices[device].start(now, run);
        self.check_up(device);
        self.drain(device)?;
        self.connect();
        Ok(())
    }

    pub fn check_up(&mut self, device: usize) {
        self.after(0, device, Event::Tick);
    }

    fn partition(&mut self) {
        let cut = self.rng.below(1 << self.devices.len());
        for ((a, b), link) in &mut self.links {
            link.blocked = (cut >> a ^ cut >> b) & 1 == 1;
        }
        self.checks.count("partitions");
    }

    /// From now on nothing bad happens, and everybody is there.
    pub fn heal(&mut self) -> Check {
        self.calm = true;
        self.links.values_mut().for_each(|link| link.blocked = false);
        for device in 0..self.devices.len() {
            self.restart(device, false)?;
        }
        for _ in 0..20 {
            self.connect();
            self.spread_group();
            self.run_until(self.now + SECOND)?;
        }
        Ok(())
    }

    /// A command of a device, for scenarios; its outcome shows in what the device holds.
    pub fn command(&mut self, device: usize, command: Command) -> Check {
        let call = self.devices[device].call(Call::Other);
        self.give(device, Input::Command { call, command })
    }
}
