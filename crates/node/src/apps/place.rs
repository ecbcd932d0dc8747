//! Where an app fits: the pool as `tutti-placement` sees it.

use std::collections::BTreeMap;

use tutti_app::package::Manifest;
use tutti_control::{
    AppInstance, AppsState, ErrorCode, ErrorDetail, InstanceState, PlaceObstacle, PlaceOption, PlaceWhy,
};
use tutti_model::{DeviceId, Unit};
use tutti_placement::{Alternative, App, Device, Instance, Planner, Sort, Want, World};
use tutti_pool::Presence;

use super::{Apps, packages::Facts, rooms::promised};

impl Apps {
    /// The device where a new instance fits best.
    pub(super) fn best_place(&self, facts: &Facts) -> Result<DeviceId, ErrorDetail> {
        let (world, at) = self.world(&facts.manifest, None);
        let plan = tutti_placement::plan(&world);
        let found = plan.moves.iter().find(|it| it.instance == at).map(|it| it.to);
        found.ok_or_else(|| {
            let why = Planner::new(&world).why(at).map(|why| obstacles(self, &why.obstacles)).unwrap_or_default();
            let why: Vec<String> = why.iter().map(|it| format!("{} not: {}", it.devices, it.why)).collect();
            let what = format!("no device can run {}: {}", facts.manifest.name, why.join(", "));
            ErrorDetail::new(
                ErrorCode::DoesNotFit,
                what,
                "`tutti place why` shows each reason; or name a device with --on",
            )
        })
    }

    /// Why an app would be placed where, or an instance is where it is.
    pub(super) fn why(&self, facts: &Facts, instance: Option<&AppInstance>) -> PlaceWhy {
        let (world, at) = self.world(&facts.manifest, instance);
        let mut planner = Planner::new(&world);
        planner.plan();
        let why = planner.why(at);
        let option = |it: &Alternative| PlaceOption {
            device: it.device.to_string(),
            device_name: self.0.name_of(it.device),
            cost: it.cost,
            terms: it.terms.iter().map(ToString::to_string).collect(),
        };
        let mut it = PlaceWhy {
            app: facts.manifest.name.to_string(),
            instance: instance.map(|instance| instance.id.clone()),
            best: None,
            others: Vec::new(),
            obstacles: Vec::new(),
        };
        if let Some(why) = why {
            it.best = why.home.as_ref().map(option);
            it.others = why.others.iter().map(option).collect();
            it.obstacles = obstacles(self, &why.obstacles);
        }
        it
    }

    /// The pool, all its instances, and one of this app: the one named, or a new one.
    fn world(&self, manifest: &Manifest, instance: Option<&AppInstance>) -> (World, usize) {
        let shared = &self.0;
        let catalogue = shared.pool.catalogue();
        let runs_apps = shared.who_runs_apps();
        let devices = catalogue.devices.values().filter(|device| device.via.is_none()).map(|device| {
            let behind = catalogue.devices.values().filter(|it| it.via == Some(device.device));
            let offered = std::iter::once(device).chain(behind).flat_map(|it| it.resources());
            let sort = |it: &tutti_model::ResourceDescription| Sort { kind: it.kind, unit: known(it.unit) };
            let room = shared.room_of(device.device);
            Device {
                id: device.device,
                online: device.presence != Presence::Offline && runs_apps.contains(&device.device),
                site: 0,
                memory: room.memory,
                cpu: room.cpu,
                busy: room.busy,
                resources: offered.map(sort).collect(),
            }
        });
        let mut world = World { devices: devices.collect(), ..World::default() };
        let mut places = BTreeMap::new();
        let mut app_of = |world: &mut World, name: &str, memory: u64, cpu: u32, wants: Vec<Want>| {
            *places.entry(name.to_owned()).or_insert_with(|| {
                world.apps.push(App { memory, cpu, wants });
                world.apps.len() - 1
            })
        };
        let wants = manifest
            .wants
            .values()
            .map(|want| Want { sort: Sort { kind: want.kind, unit: want.unit }, required: want.required });
        let (memory, cpu) = (u64::from(manifest.limits.memory_kib) * 1024, manifest.limits.cpu);
        let mine = app_of(&mut world, manifest.name.as_str(), memory, cpu, wants.collect());
        let mut at = None;
        let AppsState { apps, instances, .. } = self.state();
        for other in instances {
            let runs = matches!(other.state, InstanceState::Running | InstanceState::Moving | InstanceState::Starting);
            let Ok(home) = other.device.parse::<DeviceId>() else { continue };
            if !runs {
                continue;
            }
            // What the others want is of no matter here; that they take room is.
            let (memory, cpu) = promised(&other, &apps);
            let app = app_of(&mut world, &other.app, memory, cpu, Vec::new());
            if instance.is_some_and(|instance| instance.id == other.id) {
                at = Some(world.instances.len());
            }
            world.instances.push(Instance { app, home: Some(home), pinned: None });
        }
        let at = at.unwrap_or_else(|| {
            world.instances.push(Instance { app: mine, home: None, pinned: None });
            world.instances.len() - 1
        });
        (world, at)
    }
}

/// A unit, if there is one.
fn known(unit: Unit) -> Option<Unit> {
    (!unit.as_str().is_empty()).then_some(unit)
}

fn obstacles(apps: &Apps, all: &[(tutti_placement::Obstacle, usize)]) -> Vec<PlaceObstacle> {
    let why = |obstacle: &tutti_placement::Obstacle| match obstacle {
        tutti_placement::Obstacle::Pinned(device) => format!("its owner wants it on {}", apps.0.name_of(*device)),
        other => other.to_string(),
    };
    all.iter().map(|(obstacle, count)| PlaceObstacle { devices: *count as u32, why: why(obstacle) }).collect()
}
