use proptest::prelude::*;

use super::*;

fn id(n: u32) -> DeviceId {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    DeviceId::from_bytes(bytes)
}

fn sort(kind: ResourceKind) -> Sort {
    Sort { kind, unit: None }
}

fn device(n: u32, site: u32, resources: &[ResourceKind]) -> Device {
    let resources = resources.iter().map(|kind| sort(*kind)).collect();
    Device { id: id(n), online: true, site, memory: 100, cpu: 1000, busy: 0, resources }
}

fn app(wants: &[(ResourceKind, bool)]) -> App {
    let wants = wants.iter().map(|(kind, required)| Want { sort: sort(*kind), required: *required }).collect();
    App { memory: 10, cpu: 100, wants }
}

fn instance(app: usize, home: Option<u32>) -> Instance {
    Instance { app, home: home.map(id), pinned: None }
}

use ResourceKind::{Camera, Display, Sensor};

#[test]
fn an_app_goes_to_what_it_wants() {
    let world = World {
        devices: vec![device(1, 0, &[]), device(2, 0, &[Sensor, Display]), device(3, 1, &[Sensor])],
        apps: vec![app(&[(Sensor, true), (Display, false)])],
        instances: vec![instance(0, None)],
    };
    let plan = plan(&world);
    assert_eq!(plan.moves, [Move { instance: 0, from: None, to: id(2), gain: None }]);
}

#[test]
fn small_gains_move_nothing_and_large_ones_do() {
    let mut world = World {
        devices: vec![device(1, 0, &[]), device(2, 0, &[Sensor])],
        apps: vec![app(&[(Sensor, true)])],
        instances: vec![instance(0, Some(1))],
    };
    assert_eq!(plan(&world), Plan::default(), "200 points are less than the move");
    world.devices[1].site = 1;
    assert_eq!(plan(&world).moves[0].gain, Some(1000));
}

#[test]
fn what_cannot_run_is_said_with_the_reason() {
    let world = World {
        devices: vec![device(1, 0, &[]), Device { online: false, ..device(2, 0, &[Camera]) }],
        apps: vec![app(&[(Camera, true)])],
        instances: vec![instance(0, Some(1))],
    };
    let mut planner = Planner::new(&world);
    assert_eq!(planner.plan(), Plan { moves: vec![], homeless: vec![0] });
    let text = planner.why(0).unwrap().to_string();
    assert_eq!(
        text,
        "on no device that it can run on\n1 not: not reachable\n1 not: no camera anywhere in the pool, which it requires\n"
    );
}

#[test]
fn a_pin_counts_more_than_any_gain() {
    let mut world = World {
        devices: vec![device(1, 0, &[]), device(2, 1, &[Sensor])],
        apps: vec![app(&[(Sensor, true)])],
        instances: vec![Instance { pinned: Some(id(1)), ..instance(0, Some(2)) }],
    };
    assert_eq!(plan(&world).moves[0].to, id(1));
    world.instances[0].home = Some(id(1));
    assert_eq!(plan(&world), Plan::default());
}

#[test]
fn a_lost_device_gives_its_instances_to_others() {
    let world = World {
        devices: vec![device(1, 0, &[Sensor]), device(2, 0, &[Sensor]), device(3, 1, &[])],
        apps: vec![app(&[(Sensor, true)])],
        instances: (0..8).map(|_| instance(0, Some(1))).collect(),
    };
    let mut planner = Planner::new(&world);
    assert_eq!(planner.plan(), Plan::default());
    let lost = Device { online: false, ..world.devices[0].clone() };
    let plan = planner.change(&lost).unwrap();
    assert_eq!(plan.moves.len(), 8);
    assert!(plan.homeless.is_empty() && plan.moves.iter().all(|it| it.from == Some(id(1)) && it.gain.is_none()));
    assert!(planner.change(&device(9, 0, &[])).is_err());
}

#[test]
fn a_device_that_is_too_small_is_not_chosen_and_the_reason_has_the_numbers() {
    const MIB: u64 = 1 << 20;
    let small = |n, memory, cpu| Device { memory, cpu, ..device(n, 0, &[Sensor]) };
    let mut world = World {
        devices: vec![
            small(1, 32 * MIB, 1000),
            small(2, 3 * MIB / 2, 1000),
            small(3, 128 * MIB, 50),
            small(4, 64 * MIB, 1000),
        ],
        apps: vec![App { memory: 64 * MIB, ..app(&[(Sensor, true)]) }],
        instances: vec![instance(0, None)],
    };
    assert_eq!(plan(&world).moves[0].to, id(4));
    world.devices.pop();
    let mut planner = Planner::new(&world);
    assert_eq!(planner.plan().homeless, [0]);
    assert_eq!(
        planner.why(0).unwrap().to_string(),
        "on no device that it can run on\n2 not: needs 64 MiB of memory, has from 1.5 MiB to 32 MiB\n\
         1 not: needs 0.1 of a processor, has 0.05\n"
    );
    // What runs there already takes of it.
    world.devices.truncate(1);
    world.apps[0].memory = 20 * MIB;
    world.instances.push(instance(0, Some(1)));
    let why = Planner::new(&world).why(0).unwrap();
    assert_eq!(why.obstacles[0].0.to_string(), "needs 20 MiB of memory, has 12 MiB");
}

#[test]
fn load_is_spread_and_what_else_a_device_does_counts() {
    let mut world = World {
        devices: vec![device(1, 0, &[]), device(2, 0, &[]), device(3, 0, &[])],
        apps: vec![app(&[])],
        instances: (0..9).map(|_| instance(0, None)).collect(),
    };
    let count = |world: &World| {
        let plan = plan(world);
        let on = |n| plan.moves.iter().filter(|it| it.to == id(n)).count();
        [on(1), on(2), on(3)]
    };
    assert_eq!(count(&world), [3, 3, 3]);
    world.devices[1].busy = 400;
    let spread = count(&world);
    assert!(spread[1] < spread[0] && spread.iter().sum::<usize>() == 9, "{spread:?}");
    // However busy, it is better than none.
    world.devices.iter_mut().for_each(|device| device.busy = 5000);
    assert_eq!(count(&world).iter().sum::<usize>(), 9);
    // Of two that do nothing, the one with more memory left.
    world.devices.iter_mut().for_each(|device| (device.busy, device.cpu) = (0, 100_000));
    world.devices[0].memory = 20;
    world.instances.truncate(1);
    assert_eq!(count(&world), [0, 1, 0]);
}

#[test]
fn it_explains_a_choice() {
    let world = World {
        devices: vec![device(1, 0, &[Sensor]), device(2, 0, &[])],
        apps: vec![app(&[(Sensor, true)])],
        instances: vec![instance(0, None)],
    };
    let mut planner = Planner::new(&world);
    planner.plan();
    assert_eq!(
        planner.why(0).unwrap().to_string(),
        "on 0000000100: 4 points\n  0: sensor is there\n  4 for how busy it is\ninstead on 0000000200: 204 points\n"
    );
}

/// Devices on networks of ten, with five instances each.
fn large(devices: u32) -> World {
    let mut random = fastrand::Rng::with_seed(7);
    let kinds = [Sensor, Display, Camera, ResourceKind::Actuator, ResourceKind::Storage, ResourceKind::Input];
    let mut some =
        |most: usize| -> Vec<ResourceKind> { (0..random.usize(..=most)).map(|_| kinds[random.usize(..6)]).collect() };
    let of =
        |n: u32, kinds: Vec<ResourceKind>| Device { memory: 1000, cpu: 4000, ..device(n, n % (devices / 10), &kinds) };
    let devices: Vec<Device> = (0..devices).map(|n| of(n, some(4))).collect();
    let apps = (0..40).map(|n| {
        let wants: Vec<_> = some(3).into_iter().map(|kind| (kind, n % 3 == 0)).collect();
        App { memory: 1 + n % 16, cpu: 20 + 10 * (n % 30) as u32, ..app(&wants) }
    });
    let apps: Vec<App> = apps.collect();
    let instances = (0..5 * devices.len()).map(|n| instance(n % apps.len(), None)).collect();
    World { devices, apps, instances }
}

/// The most work of changes of every seventh device: lost, back, without what it offers, as before.
fn most_work(world: &World) -> u64 {
    let mut planner = Planner::new(world);
    planner.plan();
    let mut most = 0;
    for device in world.devices.iter().step_by(7) {
        let lost = Device { online: false, ..device.clone() };
        let bare = Device { resources: Vec::new(), ..device.clone() };
        for changed in [&lost, device, &bare, device] {
            let before = planner.work();
            planner.change(changed).unwrap();
            most = most.max(planner.work() - before);
        }
    }
    most
}

/// Counted, not timed: what one changed device costs does not grow with the pool.
#[test]
fn a_change_costs_what_is_near_it_and_not_what_there_is() {
    let (small, large) = (most_work(&large(200)), most_work(&large(800)));
    assert!(small > 100 && large < 2 * small, "{small} steps among 200 devices, {large} among 800");
}

fn world() -> impl Strategy<Value = World> {
    let kinds = prop::sample::subsequence(vec![Sensor, Display, Camera], 0..=3);
    let load = prop::sample::select(vec![0u32, 100, 700]);
    let devices = prop::collection::vec((0u32..4, kinds, 0u64..60, 0u32..600, load, any::<bool>()), 1..12);
    let wants = prop::collection::vec((prop::sample::select(vec![Sensor, Display, Camera]), any::<bool>()), 0..3);
    let apps = prop::collection::vec((wants, 1u64..20, 1u32..200), 1..4);
    let instances = prop::collection::vec((any::<prop::sample::Index>(), prop::option::of(0u32..12), 0u8..8), 0..24);
    (devices, apps, instances).prop_map(|(devices, apps, instances)| {
        let devices: Vec<Device> = (0..)
            .zip(devices)
            .map(|(n, (site, kinds, memory, cpu, busy, online))| Device {
                memory,
                cpu,
                busy,
                online,
                ..device(n, site, &kinds)
            })
            .collect();
        let apps: Vec<App> = apps.into_iter().map(|(wants, memory, cpu)| App { memory, cpu, ..app(&wants) }).collect();
        let instances = instances
            .into_iter()
            .map(|(of, home, pin)| {
                let pinned = (pin == 0).then(|| id(u32::from(pin)));
                Instance { pinned, ..instance(of.index(apps.len()), home) }
            })
            .collect();
        World { devices, apps, instances }
    })
}

/// The world after a plan was carried out.
fn after(world: &World, plan: &Plan) -> World {
    let mut next = world.clone();
    for it in &plan.moves {
        next.instances[it.instance].home = Some(it.to);
    }
    for homeless in &plan.homeless {
        next.instances[*homeless].home = None;
    }
    next
}

fn used(world: &World, device: &Device) -> (u64, u32) {
    let here = world.instances.iter().filter(|it| it.home == Some(device.id)).map(|it| &world.apps[it.app]);
    here.fold((0, 0), |(memory, cpu), app| (memory + app.memory, cpu + app.cpu))
}

/// The cheapest device for an instance, found by looking at each.
fn cheapest(planner: &Planner, world: &World, app: usize) -> Option<u32> {
    let App { memory, cpu, .. } = world.apps[app];
    let each =
        (0..world.devices.len()).filter_map(|it| Some(planner.points(app, it)? + planner.load(it, memory, cpu)?));
    each.min()
}

proptest! {
    #[test]
    fn what_is_placed_fits_and_nothing_moves_twice(world in world()) {
        let plan = plan(&world);
        let next = after(&world, &plan);
        for device in &next.devices {
            let (memory, cpu) = used(&next, device);
            let arrived = plan.moves.iter().any(|it| it.to == device.id);
            prop_assert!(!arrived || (device.online && memory <= device.memory && cpu <= device.cpu));
        }
        let again = crate::plan(&next);
        // Nobody who has a place must leave it. Who has none may find one once somebody else has gained by moving.
        let gained = again.moves.iter().any(|it| it.gain.is_some());
        let fine = |it: &Move| it.gain.is_some() || (gained && plan.homeless.contains(&it.instance));
        prop_assert!(again.moves.iter().all(fine), "{again:?}");
        prop_assert_eq!(crate::plan(&world), plan, "the same world, the same plan");
    }

    /// The heaps find what a look at every device finds, whatever has changed before.
    #[test]
    fn the_best_is_the_best(world in world(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()), 0..8)) {
        let mut planner = Planner::new(&world);
        planner.plan();
        for (which, like, online) in changes {
            let like = world.devices[like.index(world.devices.len())].clone();
            let id = world.devices[which.index(world.devices.len())].id;
            planner.change(&Device { id, online, ..like }).unwrap();
            for app in 0..world.apps.len() {
                let expected = cheapest(&planner, &world, app);
                prop_assert_eq!(planner.best(app).map(|(cost, _)| cost), expected);
            }
        }
        // What it remembers is what it would find out.
        for (at, instance) in world.instances.iter().enumerate() {
            let points = planner.homes[at].and_then(|home| planner.points(instance.app, home));
            prop_assert_eq!(planner.at_home[at], points.unwrap_or(planner::NOWHERE));
        }
        let mut loads = std::collections::BTreeMap::new();
        (0..planner.devices.len()).for_each(|it| *loads.entry(planner.load(it, 0, 0).unwrap_or(0)).or_insert(0) += 1);
        prop_assert_eq!(&planner.loads, &loads);
        // Nobody is left where he cannot be while there is room.
        for (at, instance) in world.instances.iter().enumerate() {
            prop_assert!(planner.homes[at].is_none_or(|_| planner.cost_at_home(at).is_some() || instance.pinned.is_some()));
        }
    }
}
