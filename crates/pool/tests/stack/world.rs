//! The world of a run: devices, the network between them, and what befalls both.

use std::{
    collections::{BTreeMap, BTreeSet, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tutti_fabric::{
    Fabric, JoinTarget,
    discovery::DiscoveryEvent,
    testing::SimDevice,
    transport::sim::{Conditions, SimNet, What},
    view::{Nearby, Source},
};
use tutti_model::{DeviceId, Role};
use tutti_pool::Catalogue;

use super::{
    checks::{Check, Violation, converged},
    device::{Around, Device},
    watch::{Faults, Running, Watch},
};

/// What the network saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    /// All that happened and when. Not in which order within a nanosecond: tasks that wait for the same thing wake in
    /// none (tokio's `watch` draws one). And not the lengths of packets: random numbers in them differ in length.
    pub hash: u64,
    pub packets: BTreeMap<DeviceId, u64>,
    pub bytes: BTreeMap<DeviceId, u64>,
}

pub struct World {
    pub net: SimNet,
    pub devices: Vec<Device>,
    pub watch: Arc<Watch>,
    pub around: Around,
    rng: SmallRng,
    traffic: Arc<Mutex<Traffic>>,
    pairings: JoinSet<()>,
}

impl World {
    /// Devices in one group, switched on and introduced to each other.
    pub async fn new(
        seed: u64,
        conditions: Conditions,
        count: u8,
        sensors: usize,
        users: usize,
        faults: Faults,
    ) -> Self {
        let net = SimNet::new(seed);
        net.set_default(conditions);
        let traffic = Arc::new(Mutex::new(Traffic::default()));
        let seen = traffic.clone();
        net.on_event(move |event| {
            let mut traffic = seen.lock().expect("nobody panics with it");
            let mut hasher = DefaultHasher::new();
            (event.at, event.from, event.to).hash(&mut hasher);
            match (&event.what, event.from) {
                (What::Delivered(kind, length), Some(from)) => {
                    *traffic.packets.entry(from).or_default() += 1;
                    *traffic.bytes.entry(from).or_default() += *length as u64;
                    format!("{kind:?}").hash(&mut hasher);
                }
                (what, _) => format!("{what:?}").hash(&mut hasher),
            }
            traffic.hash = traffic.hash.wrapping_add(hasher.finish());
        });
        let mut rng = SmallRng::seed_from_u64(seed);
        let watch = Arc::new(Watch::new(faults));
        let sims = SimDevice::group_of(&net, count, Role::Owner);
        let all: Arc<[DeviceId]> = sims.iter().map(|sim| sim.id).collect();
        let around = Around { all, mailboxes: Arc::default(), users };
        let devices = sims.into_iter().map(|sim| Device::new(sim, rng.random(), sensors, watch.clone())).collect();
        let mut world = Self { net, devices, watch, around, rng, traffic, pairings: JoinSet::new() };
        for at in 0..world.devices.len() {
            world.devices[at].start(&world.around).await;
        }
        world.introduce();
        world
    }

    pub fn traffic(&self) -> Traffic {
        self.traffic.lock().expect("nobody panics with it").clone()
    }

    /// Everybody sees everybody on the local network, as multicast DNS would show it.
    pub fn introduce(&self) {
        for device in self.devices.iter().filter(|device| device.sim.is_on()) {
            for other in self.devices.iter().filter(|other| other.sim.is_on() && other.id() != device.id()) {
                device.sim.fabric().discovery(DiscoveryEvent::Found(Nearby {
                    device: other.id(),
                    name: other.sim.name,
                    addrs: vec![other.sim.addr],
                    pairing_open: false,
                    source: Source::Mdns,
                }));
            }
        }
    }

    /// So long, something happens now and then.
    pub async fn trouble(&mut self, lasting: Duration) -> Check {
        let start = Instant::now();
        while start.elapsed() < lasting {
            self.stir().await;
            let pause = self.rng.random_range(20..1500);
            sleep(Duration::from_millis(pause)).await;
            self.watch.verdict()?;
        }
        Ok(())
    }

    async fn stir(&mut self) {
        let count = self.devices.len();
        let (one, other) = (self.rng.random_range(0..count), self.rng.random_range(0..count));
        let (id, on) = (self.devices[other].id(), self.devices[one].sim.is_on());
        match self.rng.random_range(0..20) {
            0 => self.net.isolate(self.devices[one].id()),
            1..4 => self.net.heal(),
            4..6 => {
                let left: Vec<DeviceId> =
                    self.around.all.iter().copied().filter(|_| self.rng.random_bool(0.5)).collect();
                self.net.partition(&[&left]);
                self.watch.count("partitions");
            }
            6 if on => self.devices[one].crash().await,
            7..11 => {
                for at in 0..count {
                    if !self.devices[at].sim.is_on() && self.rng.random_bool(0.7) {
                        self.devices[at].start(&self.around).await;
                    }
                }
                self.introduce();
            }
            // The rules may refuse the next two, which is as good.
            11 if on && one != other => {
                let forgotten = self.devices[one].sim.fabric().forget(id).await;
                forgotten.into_iter().for_each(|()| self.watch.count("devices forgotten"));
            }
            12 if on && one != other => {
                let role = [Role::Guest, Role::Member, Role::Owner, Role::Owner][self.rng.random_range(0..4)];
                let _ = self.devices[one].sim.fabric().set_role(id, role).await;
            }
            13..16 => self.pair_again(),
            16 => self.devices[one].house.offer(self.rng.random_range(0..3)),
            17 => self.devices[one].house.warm(self.rng.random_range(0..100)),
            18 => {
                if let Some(running) = self.watch.running(self.devices[one].id()) {
                    let renamed = super::house::name(&format!("device-{one}-{}", self.rng.random_range(0..100)));
                    // If it fails, the pool has just stopped.
                    let _ = running.pool.rename(renamed).await;
                }
            }
            _ => {}
        }
    }

    /// Somebody who is alone enters the group of somebody else, by a code.
    fn pair_again(&mut self) {
        let running = self.watch.all_running();
        let alone = |it: &&Running| it.fabric.view().borrow().group.is_alone();
        let may = |it: &&Running| it.fabric.view().borrow().group.my_role() == Role::Owner;
        let Some(joiner) = running.iter().find(alone).cloned() else { return };
        let hosts: Vec<&Running> =
            running.iter().filter(may).filter(|it| it.fabric.id() != joiner.fabric.id()).collect();
        let Some(host) = hosts.get(self.rng.random_range(0..hosts.len().max(1))).map(|host| (*host).clone()) else {
            return;
        };
        let role = [Role::Member, Role::Owner][self.rng.random_range(0..2)];
        let watch = self.watch.clone();
        self.pairings.spawn(async move {
            let pairing = pair(host.fabric, joiner.fabric, role);
            if timeout(Duration::from_secs(20), pairing).await == Ok(Some(())) {
                watch.count("devices paired again");
            }
        });
    }

    /// The trouble is over: everything is on and connected, and nobody uses anything any more. Gives how long it
    /// took until everybody saw the same.
    pub async fn heal(&mut self) -> Result<Duration, Violation> {
        self.pairings.abort_all();
        for device in &mut self.devices {
            device.rest();
        }
        for at in 0..self.devices.len() {
            if !self.devices[at].sim.is_on() {
                self.devices[at].start(&self.around).await;
                self.devices[at].rest();
            }
        }
        self.net.heal();
        self.introduce();
        self.settled(Duration::from_secs(3)).await
    }

    /// Waits until everybody sees the same; gives how long that took.
    pub async fn settled(&self, within: Duration) -> Result<Duration, Violation> {
        let mut start = Instant::now();
        let mut tidied = false;
        loop {
            self.watch.verdict()?;
            let Err(violation) = self.agree() else { return Ok(start.elapsed()) };
            if start.elapsed() > within {
                if tidied || !self.forget_strays().await {
                    return Err(Violation(format!("{within:?} after the end of all trouble, {}", violation.0)));
                }
                (start, tidied) = (Instant::now(), true);
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The groups that there are, and the devices that take themselves for members of each.
    fn groups(&self) -> Vec<Vec<Running>> {
        let mut groups: BTreeMap<_, Vec<Running>> = BTreeMap::new();
        for running in self.watch.all_running() {
            groups.entry(running.fabric.group_id()).or_default().push(running);
        }
        groups.into_values().collect()
    }

    /// Whether all devices of each group show the same.
    fn agree(&self) -> Check {
        for group in self.groups() {
            let members: BTreeSet<DeviceId> = group.iter().map(|it| it.fabric.id()).collect();
            let views: Vec<Arc<Catalogue>> = group.iter().map(|it| it.pool.catalogue()).collect();
            converged(&members, &views.iter().map(AsRef::as_ref).collect::<Vec<_>>())?;
        }
        Ok(())
    }

    /// A removal may turn out void after the device that was removed has left for a group of its own: then it
    /// is on the list of the others until somebody forgets it. Does that, and says whether there was one.
    async fn forget_strays(&self) -> bool {
        let mut found = false;
        for group in self.groups() {
            let here: BTreeSet<DeviceId> = group.iter().map(|it| it.fabric.id()).collect();
            let view = |it: &Running| it.fabric.view().borrow().group.clone();
            let listed: BTreeSet<DeviceId> =
                group.iter().flat_map(|it| view(it).members.keys().copied().collect::<Vec<_>>()).collect();
            let Some(owner) = group.iter().find(|it| view(it).my_role() == Role::Owner) else { continue };
            for stray in listed.difference(&here) {
                if owner.fabric.forget(*stray).await.is_ok() {
                    self.watch.count("strays forgotten");
                    found = true;
                }
            }
        }
        found
    }
}

async fn pair(host: Fabric, joiner: Fabric, role: Role) -> Option<()> {
    let offer = host.offer_pairing(role).await.ok()?;
    let code = offer.code.parse().ok()?;
    joiner.join(JoinTarget::Code { device: host.id(), code }).await.ok()?;
    Some(())
}
