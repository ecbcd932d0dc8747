//! One simulated device: its clock, its disk, and its pool while it runs.

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::SigningKey;
use tutti_model::{
    AccessPolicy, Audience, BootTime, DeviceId, Name, ResourceDescription, ResourceId, Role, Text, Unit, WallTime,
    message::{LeaseId, Token},
    signed::Signed,
};
use tutti_pool::{BootId, CallId, Group, Identity, Member, PerformId, Pool, RequestId, Satellite, Setup, Work};

use super::rng::Rng;

/// True time, in nanoseconds.
pub type True = u64;
pub const MS: True = 1_000_000;
pub const SECOND: True = 1_000 * MS;

/// A clock that starts anywhere and runs too fast or too slow.
#[derive(Clone, Copy)]
pub struct Clock {
    started: True,
    base: u64,
    /// Millionths too fast.
    drift: i64,
}

impl Clock {
    pub fn new(rng: &mut Rng, now: True, most: i64) -> Self {
        let drift = match rng.below(4) {
            0 => -most,
            1 => most,
            _ => rng.below(2 * most as u64 + 1) as i64 - most,
        };
        Self { started: now, base: rng.range(SECOND, 100_000 * SECOND), drift }
    }

    /// A clock that runs so many millionths too fast.
    pub fn with_drift(drift: i64) -> Self {
        Self { started: 0, base: SECOND, drift }
    }

    pub fn local(&self, now: True) -> BootTime {
        let since = i128::from(now - self.started);
        let local = i128::from(self.base) + since + since * i128::from(self.drift) / 1_000_000;
        BootTime::from_nanos(local as u64)
    }

    /// The first true time at which the clock shows at least this.
    pub fn reaches(&self, local: BootTime) -> True {
        let since = i128::from(local.as_nanos().saturating_sub(self.base));
        self.started + (since * 1_000_000 / (1_000_000 + i128::from(self.drift))) as u64 + 2
    }
}

/// An operation under way at a device.
pub struct Running {
    pub resource: ResourceId,
    pub work: Work,
    pub from: DeviceId,
    pub token: Option<Token>,
    pub cut: bool,
}

/// What a call of a device was for.
pub enum Call {
    Read(DeviceId),
    Reserve(LeaseId, usize),
    HandOver(usize),
    Acquire,
    Take,
    Other,
}

pub struct Device {
    pub index: usize,
    pub key: SigningKey,
    pub id: DeviceId,
    pub clock: Clock,
    pub boot: BootId,
    pub disk: BTreeMap<&'static str, Vec<u8>>,
    /// A copy of the disk that somebody may restore.
    pub backup: Option<Vec<u8>>,
    pub pool: Option<Pool>,
    /// Counts starts: what belongs to an earlier one is dropped.
    pub run: u64,
    pub group_version: usize,
    pub group: Group,
    pub renames: u64,
    pub name: Name,
    pub closed: bool,
    /// How many satellites it has now. Those of a host that crashes are gone.
    pub things: usize,
    pub calls: BTreeMap<CallId, Call>,
    pub last_call: u64,
    pub requests: BTreeSet<RequestId>,
    /// Calls of others: who asked, in which of its runs, under which number.
    pub foreign: BTreeMap<CallId, (usize, u64, RequestId)>,
    pub running: BTreeMap<PerformId, Running>,
    pub hand_overs: Vec<Signed>,
    pub tick_at: Option<True>,
}

impl Device {
    pub fn new(index: usize, rng: &mut Rng, most_drift: i64) -> Self {
        let key = SigningKey::from_bytes(&[index as u8 + 1; 32]);
        Self {
            index,
            id: DeviceId::from_bytes(key.verifying_key().to_bytes()),
            key,
            clock: Clock::new(rng, 0, most_drift),
            boot: BootId([index as u8; 16]),
            disk: BTreeMap::new(),
            backup: None,
            pool: None,
            run: 0,
            group_version: 0,
            group: Group::default(),
            renames: 0,
            name: name(&format!("device-{index}")),
            closed: false,
            things: 0,
            calls: BTreeMap::new(),
            last_call: 0,
            requests: BTreeSet::new(),
            foreign: BTreeMap::new(),
            running: BTreeMap::new(),
            hand_overs: Vec::new(),
            tick_at: None,
        }
    }

    pub fn lamp(&self) -> ResourceId {
        ResourceId { device: self.id, name: name("lamp") }
    }

    pub fn resources(&self) -> Vec<ResourceDescription> {
        let mut lamp = ResourceDescription::actuator(name("lamp"), Unit::EMPTY);
        if self.closed {
            lamp.access = AccessPolicy { read: Audience::Guests, control: Audience::Owners };
        }
        vec![ResourceDescription::sensor(name("warmth"), Unit::EMPTY), lamp]
    }

    /// The id of one of its satellites.
    pub fn thing(&self, number: usize) -> DeviceId {
        let mut bytes = *self.id.as_bytes();
        bytes[0] = number as u8;
        DeviceId::from_bytes(bytes)
    }

    /// The satellites that it has now.
    pub fn satellites(&self) -> Vec<Satellite> {
        let thing = |number| {
            let name = name(&format!("thing-{}-{number}", self.index));
            let identity = Identity { name, ..self.identity() };
            Satellite { device: self.thing(number), identity, resources: self.resources() }
        };
        (0..self.things).map(thing).collect()
    }

    fn identity(&self) -> Identity {
        Identity {
            name: self.name,
            kind: Text::lossy("simulated"),
            architecture: Text::EMPTY,
            os: Text::EMPTY,
            profile: Text::EMPTY,
            software: Text::EMPTY,
            capacity: None,
        }
    }

    /// Starts its pool from what is on its disk.
    pub fn start(&mut self, now: True, run: u64) {
        let setup = Setup {
            signing_key: self.key.clone(),
            identity: self.identity(),
            resources: self.resources(),
            boot: self.boot,
            run,
            saved: self.disk.clone(),
        };
        let pool = Pool::new(self.clock.local(now), wall(now), setup, self.group.clone());
        self.pool = Some(pool.expect("what a pool saved it can read"));
    }

    /// Everything that is only in memory is gone.
    pub fn crash(&mut self) {
        self.pool = None;
        self.things = 0;
        self.run += 1;
        self.calls.clear();
        self.requests.clear();
        self.foreign.clear();
        self.running.clear();
        self.hand_overs.clear();
        self.tick_at = None;
    }

    pub fn call(&mut self, call: Call) -> CallId {
        self.last_call += 1;
        self.calls.insert(CallId(self.last_call), call);
        CallId(self.last_call)
    }

    /// The members as this device knows them.
    pub fn members(&self) -> BTreeSet<DeviceId> {
        self.group.members.keys().copied().collect()
    }
}

pub fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

pub fn wall(now: True) -> WallTime {
    WallTime::from_unix_millis(now / MS)
}

pub fn member(role: Role) -> Member {
    Member { role, name: name("newcomer") }
}
