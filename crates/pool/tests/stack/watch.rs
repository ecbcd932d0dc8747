//! Who watches over a run: what devices believe, do and read is reported here as it happens, and checked at that very
//! moment of true time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;
use tutti_fabric::{
    Fabric,
    clock::{Clock, VirtualClock},
};
use tutti_model::{DeviceId, ResourceId, message::Token};
use tutti_pool::driver::PoolHandle;

use super::checks::{Check, Checks, Violation};

/// How the world breaks what the stack relies on, to show that the checks would notice.
#[derive(Clone, Copy, Default, Debug)]
pub struct Faults {
    /// Disks say "durable" and forget all that the pool saved in a crash.
    pub lying_disks: bool,
    /// Clocks run up to 15 % wrong.
    pub wild_clocks: bool,
    /// Operations that were told to stop do not.
    pub deaf_drivers: bool,
}

/// One device while it runs.
#[derive(Clone)]
pub struct Running {
    pub pool: PoolHandle,
    pub fabric: Fabric,
    pub clock: VirtualClock,
}

#[derive(Default)]
struct State {
    checks: Checks,
    running: BTreeMap<DeviceId, Running>,
    members: BTreeMap<DeviceId, BTreeSet<DeviceId>>,
    /// When which device learnt that another was removed.
    removed: BTreeMap<(DeviceId, DeviceId), Instant>,
    violation: Option<Violation>,
}

#[derive(Default)]
pub struct Watch {
    pub faults: Faults,
    state: Mutex<State>,
}

/// What was under way to a device when it was forgotten may still arrive; it is nothing that was read after that.
const UNDER_WAY: Duration = Duration::from_secs(1);

impl Watch {
    pub fn new(faults: Faults) -> Self {
        Self { faults, ..Self::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    pub fn started(&self, device: DeviceId, running: Running) {
        self.state().running.insert(device, running);
    }

    pub fn crashed(&self, device: DeviceId) {
        let mut state = self.state();
        state.running.remove(&device);
        state.checks.count("crashes");
    }

    pub fn running(&self, device: DeviceId) -> Option<Running> {
        self.state().running.get(&device).cloned()
    }

    pub fn all_running(&self) -> Vec<Running> {
        self.state().running.values().cloned().collect()
    }

    pub fn count(&self, what: &'static str) {
        self.state().checks.count(what);
    }

    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.state().checks.counts.clone()
    }

    /// What went wrong first.
    pub fn verdict(&self) -> Check {
        self.state().violation.take().map_or(Ok(()), Err)
    }

    /// `viewer` sees the group so from now on.
    pub fn sees_group(&self, viewer: DeviceId, members: BTreeSet<DeviceId>) {
        let mut state = self.state();
        let before = state.members.insert(viewer, members.clone()).unwrap_or_default();
        for gone in before.difference(&members) {
            state.removed.insert((viewer, *gone), Instant::now());
            state.checks.count("removals learnt");
        }
    }

    /// Somebody's leases have changed: nobody else may believe the same at this moment.
    pub fn beliefs_changed(&self) {
        let mut state = self.state();
        let check = state.check_beliefs();
        state.judge(check);
    }

    /// Something was done to a resource.
    pub fn effect(&self, resource: ResourceId, token: Option<Token>, from: DeviceId) {
        let mut state = self.state();
        let check = state
            .check_beliefs()
            .and_then(|()| {
                let members = state.members_of(resource.device, Duration::ZERO);
                state.checks.serves(resource.device, from, &members)
            })
            .and_then(|()| state.checks.effect(resource, token));
        state.judge(check);
    }

    /// `reader` has got a reading of `owner`.
    pub fn read(&self, reader: DeviceId, owner: DeviceId) {
        let mut state = self.state();
        let mine = state.members_of(reader, Duration::ZERO);
        let theirs = state.members_of(owner, UNDER_WAY);
        let check = state.checks.reads(reader, owner, &mine).and_then(|()| state.checks.serves(owner, reader, &theirs));
        state.judge(check);
    }

    pub fn broken(&self, what: String) {
        self.state().judge(Err(Violation(what)));
    }
}

impl State {
    fn check_beliefs(&mut self) -> Check {
        let believed = |(device, running): (&DeviceId, &Running)| {
            let now = running.clock.now();
            let held = running.pool.leases().held.clone();
            (*device, held.into_iter().filter(|held| held.until > now).collect())
        };
        let all: Vec<_> = self.running.iter().map(believed).collect();
        self.checks.beliefs(&all)
    }

    /// The members as a device knows them, or knew them so long ago.
    fn members_of(&self, device: DeviceId, grace: Duration) -> BTreeSet<DeviceId> {
        let mut members = self.members.get(&device).cloned().unwrap_or_default();
        let late = self.removed.iter().filter(|((viewer, _), at)| *viewer == device && at.elapsed() < grace);
        members.extend(late.map(|((_, gone), _)| *gone));
        members
    }

    fn judge(&mut self, check: Check) {
        if let (Err(violation), None) = (check, &self.violation) {
            self.violation = Some(violation);
        }
    }
}
