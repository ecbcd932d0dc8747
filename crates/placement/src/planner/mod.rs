//! The planner: a world, put in order for quick answers.

mod books;
mod improve;

use std::{
    cell::Cell,
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap},
    fmt,
};

use tutti_model::DeviceId;

use crate::{App, Device, FULL_LOAD, INERTIA, Instance, MAX_WANTS, Plan, Sort, Want, World};

/// How many instances on a changed device's site are looked at.
const MOST_NEAR: usize = 1024;
/// How many instances elsewhere that would gain are looked at for a device that has something new for them.
const MOST_COME: usize = 512;
/// How many of an app's instances elsewhere are asked whether they would gain, those first that have to go furthest for what they want.
const MOST_ASKED: usize = 128;
/// The points of an instance that runs nowhere, or where it cannot be.
pub(crate) const NOWHERE: u32 = u32::MAX;

/// There is no such device in the world that is planned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownDevice(pub DeviceId);

impl fmt::Display for UnknownDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no device {} to plan for; make a new planner", self.0.short())
    }
}

impl std::error::Error for UnknownDevice {}

pub(crate) struct DeviceState {
    pub(crate) device: Device,
    pub(crate) memory_used: u64,
    pub(crate) cpu_used: u32,
    /// Which of the world's wants it meets, by their places.
    meets: Vec<bool>,
    /// The place of its site.
    site: usize,
    instances: BTreeSet<usize>,
    /// What its load costs, as it stands in [`Planner::loads`].
    load: u32,
}

/// One sort that some app wants, and where it is.
struct Wanted {
    sort: Sort,
    total: u32,
    /// On how many devices of each site.
    at_site: Vec<u32>,
    apps: Vec<usize>,
}

/// Devices by what they would cost for their load.
type Heap = BinaryHeap<Reverse<(u32, usize)>>;

pub(crate) struct AppState {
    pub(crate) app: App,
    /// The places of its wants among all, and whether they are required.
    wants: Vec<(usize, bool)>,
    /// Its instances by what their wants cost at home.
    instances: BTreeSet<(u32, usize)>,
    /// Devices by resource points, then by load. May hold entries that are out of date, never lacks one.
    heaps: Option<BTreeMap<u32, Heap>>,
    entries: usize,
}

/// A world with a memory. See the crate's documentation.
pub struct Planner {
    pub(crate) devices: Vec<DeviceState>,
    places: HashMap<DeviceId, usize>,
    site_places: HashMap<u32, usize>,
    /// The devices of each site.
    sites: Vec<Vec<usize>>,
    wanted: Vec<Wanted>,
    pub(crate) apps: Vec<AppState>,
    pub(crate) instances: Vec<Instance>,
    /// Where each instance is, by the place of the device.
    pub(crate) homes: Vec<Option<usize>>,
    /// What each instance's wants cost at home, or [`NOWHERE`].
    pub(crate) at_home: Vec<u32>,
    /// How many devices' load costs how much.
    pub(crate) loads: BTreeMap<u32, usize>,
    work: Cell<u64>,
}

impl Planner {
    /// Puts a world in order. Of two devices with one id the first counts; an instance of an app that is not there is left alone.
    pub fn new(world: &World) -> Self {
        let mut wanted: Vec<Wanted> = Vec::new();
        let mut apps = Vec::new();
        for (place, app) in world.apps.iter().enumerate() {
            let mut wants = Vec::new();
            for Want { sort, required } in app.wants.iter().take(MAX_WANTS) {
                let at = wanted.iter().position(|it| it.sort == *sort).unwrap_or_else(|| {
                    wanted.push(Wanted { sort: *sort, total: 0, at_site: Vec::new(), apps: Vec::new() });
                    wanted.len() - 1
                });
                wants.push((at, *required));
                wanted[at].apps.push(place);
            }
            apps.push(AppState { app: app.clone(), wants, instances: BTreeSet::new(), heaps: None, entries: 0 });
        }
        let mut it = Self {
            devices: Vec::new(),
            places: HashMap::new(),
            site_places: HashMap::new(),
            sites: Vec::new(),
            wanted,
            apps,
            instances: world.instances.clone(),
            homes: vec![None; world.instances.len()],
            at_home: vec![NOWHERE; world.instances.len()],
            loads: BTreeMap::new(),
            work: Cell::new(0),
        };
        for device in &world.devices {
            let place = it.devices.len();
            if it.places.contains_key(&device.id) {
                continue;
            }
            it.places.insert(device.id, place);
            let site = it.site(device.site);
            it.sites[site].push(place);
            let state = DeviceState {
                device: Device { online: false, resources: Vec::new(), ..device.clone() },
                memory_used: 0,
                cpu_used: 0,
                meets: vec![false; it.wanted.len()],
                site,
                instances: BTreeSet::new(),
                load: 0,
            };
            *it.loads.entry(0).or_default() += 1;
            it.devices.push(state);
            it.set(place, device);
        }
        for (place, instance) in world.instances.iter().enumerate() {
            let Some(app) = it.apps.get_mut(instance.app) else { continue };
            app.instances.insert((NOWHERE, place));
            if let Some(home) = instance.home.and_then(|home| it.places.get(&home).copied()) {
                it.settle(place, home);
            }
        }
        it
    }

    /// What should be done about all of it. The planner then takes that as done.
    pub fn plan(&mut self) -> Plan {
        self.improve((0..self.instances.len()).collect())
    }

    /// One device has changed (it is told by its id): what should be done about that. Looks only at instances that it concerns: those on it,
    /// and, if something that apps want came or went with it, those on its site, those that can run nowhere now, and of those that might like to
    /// come as many as have room.
    ///
    /// # Errors
    /// [`UnknownDevice`].
    pub fn change(&mut self, device: &Device) -> Result<Plan, UnknownDevice> {
        let place = *self.places.get(&device.id).ok_or(UnknownDevice(device.id))?;
        let before = self.devices[place].meets.clone();
        let old_site = self.devices[place].device.site;
        if device.site != old_site {
            // Moved to another network: gone from one, come to another.
            let away = Device { online: false, ..self.devices[place].device.clone() };
            self.set(place, &away);
            let (old, new) = (self.devices[place].site, self.site(device.site));
            self.sites[old].retain(|it| *it != place);
            self.sites[new].push(place);
            self.devices[place].site = new;
        }
        self.set(place, device);
        let now = &self.devices[place].meets;
        let changed: Vec<usize> = (0..now.len()).filter(|want| before[*want] != now[*want]).collect();
        let mut concerned: Vec<usize> = self.devices[place].instances.iter().copied().collect();
        if !changed.is_empty() {
            // What was near them may be far now, or the reverse.
            let near = self.sites[self.devices[place].site].iter();
            concerned.extend(near.flat_map(|place| self.devices[*place].instances.iter().copied()).take(MOST_NEAR));
        }
        let mut apps = BTreeSet::new();
        for want in changed {
            let (wanted, came) = (&self.wanted[want], self.devices[place].meets[want]);
            if came {
                apps.extend(wanted.apps.iter().copied());
            } else if wanted.total == 0 {
                // The last of its sort is gone: whoever requires it can run nowhere.
                let nowhere =
                    |app: &usize| self.apps[*app].instances.range((NOWHERE, 0)..).map(|(_, instance)| *instance);
                let lost = wanted.apps.iter().flat_map(nowhere).filter(|instance| self.homes[*instance].is_some());
                concerned.extend(lost);
            }
        }
        let mut come = MOST_COME;
        for app in apps {
            let before = concerned.len();
            self.who_would_gain(app, come, &mut concerned);
            come -= concerned.len() - before;
        }
        concerned.sort_unstable();
        concerned.dedup();
        Ok(self.improve(concerned))
    }

    /// Adds those instances of an app, at most so many, that run nowhere or would gain by a move to the best device that there is now.
    fn who_would_gain(&mut self, app: usize, most: usize, concerned: &mut Vec<usize>) {
        let Some((best, _)) = self.best(app) else { return };
        let heaviest = self.loads.last_key_value().map_or(0, |(load, _)| *load);
        let (mut asked, mut found) = (0, 0);
        for &(points, instance) in self.apps[app].instances.iter().rev() {
            // At those behind it, even the fullest device costs too little for a gain.
            let most_it_costs = points.saturating_add(heaviest);
            if found == most || asked == MOST_ASKED || most_it_costs <= best.saturating_add(INERTIA) {
                break;
            }
            asked += 1;
            let load = self.homes[instance].map_or(0, |home| self.devices[home].load);
            if points.saturating_add(load) > best.saturating_add(INERTIA) {
                concerned.push(instance);
                found += 1;
            }
        }
        self.worked(asked);
    }

    /// Where an instance is, after what was planned.
    pub fn home(&self, instance: usize) -> Option<DeviceId> {
        Some(self.devices[(*self.homes.get(instance)?)?].device.id)
    }

    /// How much it has done so far: how often it has weighed a device for an app, and how many entries it has put into heaps or taken out. The
    /// same on every machine, unlike the time that it takes.
    pub fn work(&self) -> u64 {
        self.work.get()
    }

    fn worked(&self, steps: usize) {
        self.work.set(self.work.get() + steps as u64);
    }

    // --- costs -----------------------------------------------------------------------------------------------

    /// What the app's wants cost on a device; `None` if it cannot do without one that is nowhere.
    pub(crate) fn points(&self, app: usize, device: usize) -> Option<u32> {
        self.worked(1);
        let wants = self.apps[app].wants.iter();
        wants.map(|(want, required)| self.points_of(*want, *required, device)).sum()
    }

    fn points_of(&self, want: usize, required: bool, device: usize) -> Option<u32> {
        let (wanted, state) = (&self.wanted[want], &self.devices[device]);
        let preferred = if state.meets[want] {
            0
        } else if wanted.at_site[state.site] > 0 {
            100
        } else if wanted.total > 0 {
            500
        } else if required {
            return None;
        } else {
            return Some(500);
        };
        Some(if required { 2 * preferred } else { preferred })
    }

    /// Each want with its points.
    pub(crate) fn terms(&self, app: usize, device: usize) -> impl Iterator<Item = (Want, Option<u32>)> + '_ {
        let wants = self.apps[app].wants.iter();
        wants.map(move |(want, required)| {
            let sort = self.wanted[*want].sort;
            (Want { sort, required: *required }, self.points_of(*want, *required, device))
        })
    }

    /// What the device's load costs with this much more; `None` if there is no room.
    pub(crate) fn load(&self, device: usize, memory: u64, cpu: u32) -> Option<u32> {
        let state = &self.devices[device];
        let memory = state.memory_used.checked_add(memory)?;
        let cpu = state.cpu_used.checked_add(cpu)?;
        if !state.device.online || memory > state.device.memory || cpu > state.device.cpu {
            return None;
        }
        let share = |used: u64, of: u64| if of == 0 { 0 } else { (u128::from(used) * 1000 / u128::from(of)).min(1000) };
        let busy = u64::from(cpu) + u64::from(state.device.busy);
        let share = share(busy, u64::from(state.device.cpu)).max(share(memory, state.device.memory));
        Some((share * share * u128::from(FULL_LOAD) / 1_000_000) as u32)
    }

    /// What an instance costs where it is; `None` if it cannot be there.
    pub(crate) fn cost_at_home(&self, instance: usize) -> Option<u32> {
        let home = self.homes[instance]?;
        let pinned = self.instances[instance].pinned.and_then(|id| self.places.get(&id).copied());
        if pinned.is_some_and(|pinned| pinned != home) {
            return None;
        }
        Some(self.points(self.instances[instance].app, home)? + self.load(home, 0, 0)?)
    }

    pub(crate) fn place_of(&self, device: DeviceId) -> Option<usize> {
        self.places.get(&device).copied()
    }
}
