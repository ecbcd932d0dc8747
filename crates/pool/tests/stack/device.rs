//! One device with all its rooms: the fabric on the simulated network, the pool on the fabric, and those who use it.

use std::{collections::BTreeMap, sync::Arc};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::task::JoinSet;
use tutti_fabric::{
    Store,
    clock::{Clock as _, VirtualClock},
    testing::SimDevice,
};
use tutti_model::{DeviceId, Text};
use tutti_pool::{
    BootId, Identity, KEYS,
    driver::{self, Config},
};

use super::{
    house::House,
    user::{self, Mailboxes},
    watch::{Running, Watch},
};

pub struct Device {
    pub sim: SimDevice,
    pub house: Arc<House>,
    /// What happens on it while it runs; ends with a crash.
    tasks: JoinSet<()>,
    rng: SmallRng,
    watch: Arc<Watch>,
    /// The pool's part of its disk when it last started.
    at_start: BTreeMap<&'static str, Vec<u8>>,
}

/// What is around a device.
#[derive(Clone)]
pub struct Around {
    pub all: Arc<[DeviceId]>,
    pub mailboxes: Arc<Mailboxes>,
    /// How many use each device at once.
    pub users: usize,
}

impl Device {
    pub fn new(mut sim: SimDevice, seed: u64, sensors: usize, watch: Arc<Watch>) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let most = if watch.faults.wild_clocks { 150_000 } else { 10_000 };
        let drift = match rng.random_range(0..4) {
            0 => -most,
            1 => most,
            _ => rng.random_range(-most..=most),
        };
        sim.clock = VirtualClock::with_drift(drift);
        let house = House::new(sim.id, rng.random(), sensors, watch.clone());
        Self { sim, house, tasks: JoinSet::new(), rng, watch, at_start: BTreeMap::new() }
    }

    pub fn id(&self) -> DeviceId {
        self.sim.id
    }

    pub async fn start(&mut self, around: &Around) {
        self.sim.start().await;
        let (fabric, clock) = (self.sim.fabric().clone(), self.sim.clock);
        let load = |key: &'static str| Some((key, self.sim.store.load(key).ok()??));
        self.at_start = KEYS.into_iter().filter_map(load).collect();
        let identity = Identity {
            name: self.sim.name,
            kind: Text::lossy("simulated"),
            architecture: Text::EMPTY,
            os: Text::EMPTY,
            profile: Text::EMPTY,
            software: Text::EMPTY,
            capacity: None,
        };
        let config = Config {
            signing_key: self.sim.key.clone(),
            identity,
            boot: BootId(clock.boot()),
            clock: Arc::new(move || (clock.now(), clock.wall())),
        };
        let started = driver::start(config, Arc::new(fabric.clone()), self.sim.disk(), self.house.clone());
        let pool = started.await.expect("what a pool saved it can read");
        self.watch.started(self.id(), Running { pool: pool.clone(), fabric: fabric.clone(), clock });
        self.tasks.spawn(user::watch_leases(pool.clone(), self.watch.clone()));
        self.tasks.spawn(user::watch_group(fabric.clone(), self.watch.clone()));
        for _ in 0..around.users {
            let rng = SmallRng::seed_from_u64(self.rng.random());
            let me = user::User::new(pool.clone(), fabric.clone(), around.clone(), self.watch.clone(), rng);
            self.tasks.spawn(me.run());
        }
    }

    /// It falls over; its disk survives.
    pub async fn crash(&mut self) {
        self.tasks.abort_all();
        self.tasks = JoinSet::new();
        if let Some(running) = self.watch.running(self.id()) {
            self.watch.crashed(self.id());
            self.sim.crash().await;
            running.pool.stop().await;
        }
        if self.watch.faults.lying_disks {
            for (key, bytes) in &self.at_start {
                self.sim.store.save(key, bytes).expect("memory does not fail");
            }
        }
        if self.rng.random_bool(0.3) {
            self.sim.clock = self.sim.clock.rebooted();
        }
    }

    /// Those who use it go home.
    pub fn rest(&mut self) {
        self.tasks.abort_all();
        self.tasks = JoinSet::new();
        if let Some(running) = self.watch.running(self.id()) {
            self.tasks.spawn(user::watch_leases(running.pool, self.watch.clone()));
            self.tasks.spawn(user::watch_group(running.fabric, self.watch.clone()));
        }
    }
}
