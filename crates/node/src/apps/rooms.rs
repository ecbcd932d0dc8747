//! How much room devices have for apps.
//!
//! | what | where a device says it | how often |
//! |---|---|---|
//! | memory, processors, how much of the memory apps may have | in its signed record ([`Capacity`]) | once, after its start |
//! | what other things on it take of both | beside the listing of its apps ([`Taken`]), which goes to each connected device anyway | a step at a time, at most every [`LOOK`] |
//!
//! A record is saved and passed on by every device of the group; how busy one is changes too often for that, and matters only to those that are
//! connected to it. Whoever lies about either harms itself: it gets apps that do not fit, or none.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tutti_app::package::Manifest;
use tutti_control::{App, AppInstance, DeviceRoom, InstanceState};
use tutti_model::{DeviceId, record::Capacity};
use tutti_placement::{Obstacle, Short};
use tutti_resources::{Gauge, SysRoot};

use super::{Apps, Shared, net::REFRESH, wire::Taken};
use crate::lock::lock;

/// What a device has for apps that does not say how much it has: bytes of memory, and thousandths of a processor.
const UNSAID: (u64, u32) = (1 << 30, 2000);
/// How often this device looks how busy it is: before each listing that is said anew.
const LOOK: Duration = REFRESH.saturating_sub(Duration::from_secs(1));
/// What an instance may take of a processor whose app is not known.
const CPU: u32 = 50;

/// What a device has for apps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Bytes of memory for all of them.
    pub(super) memory: u64,
    /// Thousandths of a processor.
    pub(super) cpu: u32,
    /// Thousandths of a processor that other things take.
    pub(super) busy: u32,
}

impl Room {
    fn of(capacity: Option<Capacity>, taken: Taken) -> Self {
        let Capacity { memory, processors, for_apps } = capacity.unwrap_or_default();
        let for_apps = for_apps.unwrap_or(UNSAID.0);
        // What is not there cannot be had, whatever apps may have.
        let memory = if memory == 0 { for_apps } else { for_apps.min(memory.saturating_sub(taken.memory)) };
        let cpu = if processors == 0 { UNSAID.1 } else { u32::from(processors) * 1000 };
        Self { memory, cpu, busy: taken.processors.min(cpu) }
    }
}

/// What an instance may come to take: bytes of memory, and thousandths of a processor; nothing if it does not run.
pub(super) fn promised(instance: &AppInstance, apps: &[App]) -> (u64, u32) {
    let app = apps.iter().find(|app| app.name == instance.app);
    let (memory, cpu) = app.map_or((0, CPU), |app| (u64::from(app.memory_kib) * 1024, app.cpu));
    match instance.state {
        InstanceState::Starting | InstanceState::Running | InstanceState::Moving | InstanceState::Waiting => {
            (memory.max(instance.memory), cpu)
        }
        _ => (instance.memory, 0),
    }
}

/// How busy devices are.
pub(super) struct Rooms {
    gauge: Arc<Mutex<Gauge>>,
    looked: Mutex<Option<Instant>>,
    taken: Mutex<BTreeMap<DeviceId, Taken>>,
}

impl Rooms {
    pub(super) fn new(root: SysRoot) -> Self {
        Self { gauge: Arc::new(Mutex::new(Gauge::new(root))), looked: Mutex::default(), taken: Mutex::default() }
    }

    /// Looks how busy this device is, unless it was looked at lately.
    pub(super) async fn look(&self, me: DeviceId) -> Taken {
        let due = lock(&self.looked).is_none_or(|looked| looked.elapsed() >= LOOK);
        if due {
            *lock(&self.looked) = Some(Instant::now());
            let gauge = self.gauge.clone();
            if let Ok(load) = tokio::task::spawn_blocking(move || lock(&gauge).look()).await {
                let taken = Taken { processors: load.processors, memory: load.memory };
                lock(&self.taken).insert(me, taken);
            }
        }
        self.taken(me).unwrap_or_default()
    }

    /// Another device says how busy it is, or nothing of it.
    pub(super) fn heard(&self, from: DeviceId, taken: Option<Taken>) {
        let mut all = lock(&self.taken);
        match taken {
            Some(taken) => all.insert(from, taken),
            None => all.remove(&from),
        };
    }

    pub(super) fn forget_strangers(&self, members: &BTreeSet<DeviceId>) {
        lock(&self.taken).retain(|device, _| members.contains(device));
    }

    fn taken(&self, device: DeviceId) -> Option<Taken> {
        lock(&self.taken).get(&device).copied()
    }
}

impl Shared {
    fn capacity_of(&self, device: DeviceId) -> Option<Capacity> {
        self.pool.catalogue().device(device)?.record.as_ref()?.record().capacity
    }

    /// What a device has for apps.
    pub(super) fn room_of(&self, device: DeviceId) -> Room {
        Room::of(self.capacity_of(device), self.rooms.taken(device).unwrap_or_default())
    }

    /// Whether an instance of an app may come to this device: whether all that are here may take what they may, and there is still enough.
    pub(super) fn room_for(&self, manifest: &Manifest) -> Result<(), String> {
        let mine = self.mine();
        let used: u64 = mine.instances.iter().map(|it| promised(it, &mine.apps).0).sum();
        let all = self.capacity_of(self.me).and_then(|capacity| capacity.for_apps).unwrap_or(UNSAID.0);
        let (needs, left) = (u64::from(manifest.limits.memory_kib) * 1024, all.saturating_sub(used));
        if needs > left {
            return Err(Obstacle::Memory(Short { needs, least: left, most: left }).to_string());
        }
        Ok(())
    }
}

impl Apps {
    /// How busy a device is, added to what it has.
    pub(crate) fn show_taken(&self, device: DeviceId, room: &mut DeviceRoom) {
        let taken = self.0.rooms.taken(device);
        room.memory_taken = taken.map(|taken| taken.memory);
        room.processors_taken = taken.map(|taken| taken.processors);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_what_may_be_had_and_is_there() {
        const MIB: u64 = 1 << 20;
        let taken = |memory, processors| Taken { processors, memory };
        let capacity = Capacity { memory: 512 * MIB, processors: 4, for_apps: Some(256 * MIB) };
        let room = |memory, cpu, busy| Room { memory, cpu, busy };
        assert_eq!(Room::of(None, Taken::default()), room(UNSAID.0, UNSAID.1, 0), "a device of an older version");
        assert_eq!(Room::of(Some(capacity), taken(100 * MIB, 250)), room(256 * MIB, 4000, 250));
        assert_eq!(Room::of(Some(capacity), taken(400 * MIB, 9000)), room(112 * MIB, 4000, 4000));
        assert_eq!(Room::of(Some(capacity), taken(u64::MAX, 0)).memory, 0);
        let unknown = Capacity { memory: 0, processors: 0, for_apps: Some(32 * MIB) };
        assert_eq!(Room::of(Some(unknown), taken(5, 0)), room(32 * MIB, UNSAID.1, 0));
    }
}
