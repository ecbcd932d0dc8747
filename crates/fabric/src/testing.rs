//! Whole devices on a simulated network, for the tests of this room and of those above it.
//!
//! A [`SimDevice`] is everything of a device that matters to the fabric: a key, a disk (in memory) and a running
//! [`Fabric`]. It can be crashed and started again on the same disk.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ed25519_dalek::SigningKey;
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use tokio::time::timeout;
use tutti_model::{DeviceId, Name, Role, VersionRange, WallTime};

use crate::{
    Config, Fabric,
    clock::VirtualClock,
    group::Group,
    store::{MemoryStore, Store, StoreError},
    transport::sim::SimNet,
    view::{Source, View},
};

/// A device on a simulated network.
pub struct SimDevice {
    /// Its key.
    pub key: SigningKey,
    /// Its id.
    pub id: DeviceId,
    /// Its name.
    pub name: Name,
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its disk.
    pub store: Arc<MemoryStore>,
    /// What it speaks.
    pub versions: VersionRange,
    /// Its clock.
    pub clock: VirtualClock,
    net: SimNet,
    fabric: Option<Fabric>,
    disk: Arc<Disk>,
    random: Arc<Mutex<SmallRng>>,
}

/// A device's disk as one run of the device sees it: once that has crashed, nothing of it gets written any more.
struct Disk {
    store: Arc<MemoryStore>,
    powered: AtomicBool,
}

impl Disk {
    fn of(store: &Arc<MemoryStore>) -> Arc<Self> {
        Arc::new(Self { store: store.clone(), powered: AtomicBool::new(true) })
    }
}

impl Store for Disk {
    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.load(key)
    }

    fn save(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        match self.powered.load(Ordering::Relaxed) {
            true => self.store.save(key, bytes),
            false => Err(StoreError("the device is off".into())),
        }
    }
}

impl SimDevice {
    /// A device that is switched off and alone. `number` (from 1) makes its key, name and address.
    pub fn new(net: &SimNet, number: u8) -> Self {
        let key = SigningKey::from_bytes(&[number; 32]);
        let name = Name::sanitize(&format!("device-{number}"), Name::new("device").expect("is a name"));
        let store = Arc::default();
        Self {
            id: DeviceId::from_bytes(key.verifying_key().to_bytes()),
            key,
            name,
            addr: SocketAddr::from(([10, 0, 0, number], 4000)),
            disk: Disk::of(&store),
            store,
            random: Arc::new(Mutex::new(SmallRng::seed_from_u64(net.seed() << 8 | u64::from(number)))),
            versions: VersionRange::SUPPORTED,
            clock: VirtualClock::new(),
            net: net.clone(),
            fabric: None,
        }
    }

    /// Several devices in one group, switched off, that know each other's addresses. The first founded the group
    /// and is its owner; `role` is that of the others.
    pub fn group_of(net: &SimNet, count: u8, role: Role) -> Vec<Self> {
        let devices: Vec<Self> = (1..=count).map(|number| Self::new(net, number)).collect();
        let Some((founder, others)) = devices.split_first() else { return devices };
        let mut group = Group::found(&founder.key, founder.name, [0; 16], WallTime::default());
        for device in others {
            group
                .add(&founder.key, device.id, role, device.name, [1; 16], WallTime::default())
                .expect("the founder adds whom it likes");
        }
        for device in &devices {
            device.store.save("group", &group.encode()).expect("memory does not fail");
        }
        devices
    }

    /// Switches it on.
    pub async fn start(&mut self) {
        let random = self.random.clone();
        let config = Config {
            name: self.name,
            key: self.key.clone(),
            versions: self.versions,
            clock: Arc::new(self.clock),
            random: Arc::new(move || random.lock().expect("nobody panics with it").random()),
        };
        self.disk = Disk::of(&self.store);
        let transport = self.net.transport(self.id, self.addr);
        self.fabric = Some(Fabric::start(config, transport, self.disk.clone()).await.expect("it starts"));
    }

    /// Its disk in this run, for the rooms above: after a crash nothing is saved there.
    pub fn disk(&self) -> Arc<dyn Store> {
        self.disk.clone()
    }

    /// Tells it where the others are, as discovery would.
    pub fn meet(&self, others: &[Self]) {
        for other in others.iter().filter(|other| other.id != self.id) {
            self.fabric().add_addresses(other.id, &[other.addr], Source::Mdns);
        }
    }

    /// Its fabric.
    ///
    /// # Panics
    /// If it is switched off.
    pub fn fabric(&self) -> &Fabric {
        self.fabric.as_ref().expect("the device is on")
    }

    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        self.fabric.is_some()
    }

    /// It falls over: nobody is told.
    pub async fn crash(&mut self) {
        self.net.crash(self.id);
        self.disk.powered.store(false, Ordering::Relaxed);
        if let Some(fabric) = self.fabric.take() {
            fabric.shutdown().await;
        }
    }

    /// Switches it off in good order.
    pub async fn stop(&mut self) {
        if let Some(fabric) = self.fabric.take() {
            fabric.shutdown().await;
        }
    }

    /// What it sees now.
    pub fn view(&self) -> Arc<View> {
        self.fabric().view().borrow().clone()
    }

    /// Whether it has a session with the other device.
    pub fn sees(&self, other: DeviceId) -> bool {
        self.view().peers.get(&other).is_some_and(|peer| peer.session.is_some())
    }

    /// Waits until what it sees is as wished; gives how long that took.
    ///
    /// # Panics
    /// If it takes longer than `within`, with what it sees instead.
    pub async fn wait_for(&self, within: Duration, what: &str, wish: impl Fn(&View) -> bool) -> Duration {
        let start = tokio::time::Instant::now();
        let mut view = self.fabric().view();
        let met = timeout(within, view.wait_for(|view| wish(view))).await.is_ok_and(|found| found.is_ok());
        assert!(
            met,
            "seed {}: {} did not see {what} within {within:?}: {:#?}",
            self.net.seed(),
            self.name,
            self.view()
        );
        start.elapsed()
    }
}

/// Switches all devices on and introduces them to each other.
pub async fn start_all(devices: &mut [SimDevice]) {
    for device in devices.iter_mut() {
        device.start().await;
    }
    for device in devices.iter() {
        device.meet(devices);
    }
}

/// Waits until every device that is on sees every other member that is on.
///
/// # Panics
/// If that takes longer than `within`.
pub async fn all_see_each_other(devices: &[SimDevice], within: Duration) {
    let deadline = tokio::time::Instant::now() + within;
    for device in devices.iter().filter(|device| device.is_on()) {
        let on: Vec<DeviceId> =
            devices.iter().filter(|other| other.is_on() && other.id != device.id).map(|other| other.id).collect();
        let left = deadline.saturating_duration_since(tokio::time::Instant::now()).max(Duration::from_millis(1));
        device
            .wait_for(left, "every other member", |view| {
                let live = |id: &DeviceId| view.peers.get(id).is_none_or(|peer| peer.session.is_some());
                on.iter().all(live)
            })
            .await;
    }
}

/// The seeds that a simulation runs: `default` of them, or as many as `TUTTI_SIM_SEEDS` says, or the one that
/// `TUTTI_SIM_SEED` names (which is what a failure tells to set).
pub fn seeds(default: u64) -> Vec<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("TUTTI_SIM_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("TUTTI_SIM_SEEDS").unwrap_or(default)).collect(),
    }
}
