//! How fast a large pool is planned: 10,000 devices on 500 networks, 50,000 instances of 200 apps.
//!
//! - `place.all`: all of it from nothing, the planner's own set-up included.
//! - `place.again`: the same world once it is so: nothing is to be done.
//! - `place.change.worst`: one device changes (lost, back, without its resources), the slowest of 300 changes, each the quickest
//!   of three times.
//! - `place.change.median`: their median.
//! - `place.change.work`: the most work of one of them, in devices that were weighed and entries that were moved: the same on every machine.
#![allow(clippy::print_stdout, reason = "it is a benchmark")]

use std::{hint::black_box, time::Instant};

use tutti_model::{DeviceId, ResourceKind};
use tutti_placement::{App, Device, Instance, Planner, Sort, Want, World, plan};

fn world() -> World {
    let mut random = fastrand::Rng::with_seed(1);
    let mut below = |n: u64| random.u64(..n);
    let mut some = |most: u64| -> Vec<Sort> {
        let count = below(most + 1);
        (0..count)
            .map(|_| Sort { kind: ResourceKind::ALL[below(ResourceKind::ALL.len() as u64) as usize], unit: None })
            .collect()
    };
    let mut devices = Vec::new();
    for n in 0u32..10_000 {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&n.to_be_bytes());
        let id = DeviceId::from_bytes(id);
        devices.push(Device {
            id,
            online: true,
            site: n % 500,
            memory: 256 << 20,
            cpu: 4000,
            busy: 0,
            resources: some(4),
        });
    }
    let mut apps = Vec::new();
    for n in 0..200 {
        let wants = some(3).into_iter().map(|sort| Want { sort, required: n % 3 == 0 }).collect();
        apps.push(App { memory: (1 + n % 16) << 20, cpu: 20 + 10 * (n % 30) as u32, wants });
    }
    let instances = (0..50_000).map(|n| Instance { app: n % apps.len(), home: None, pinned: None }).collect();
    World { devices, apps, instances }
}

fn row(name: &str, value: f64, unit: &str) {
    println!("{}", serde_json::json!({ "name": name, "value": value, "unit": unit }));
}

fn time<T>(run: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let result = run();
    (start.elapsed().as_secs_f64() * 1e3, result)
}

fn main() {
    let world = world();
    let (all, first) = time(|| plan(black_box(&world)));
    assert_eq!((first.moves.len(), first.homeless.len()), (50_000, 0));
    row("place.all", all, "ms");

    let mut settled = world.clone();
    first.moves.iter().for_each(|it| settled.instances[it.instance].home = Some(it.to));
    let (again, second) = time(|| plan(black_box(&settled)));
    assert!(second.moves.len() < 50, "{}", second.moves.len());
    row("place.again", again, "ms");

    // The same changes three times over; of each the quickest counts, since whatever else the machine does only makes it slower.
    let (mut times, mut work) = (vec![f64::INFINITY; 300], 0);
    for _ in 0..3 {
        let mut planner = Planner::new(&settled);
        planner.plan();
        let changes = (0..100).flat_map(|n| {
            let device = &settled.devices[n * 97];
            let lost = Device { online: false, ..device.clone() };
            let bare = Device { resources: Vec::new(), ..device.clone() };
            [lost, device.clone(), bare]
        });
        for (quickest, changed) in times.iter_mut().zip(changes) {
            let before = planner.work();
            let (took, plan) = time(|| planner.change(black_box(&changed)));
            assert!(plan.is_ok());
            *quickest = quickest.min(took);
            work = work.max(planner.work() - before);
        }
    }
    times.sort_by(f64::total_cmp);
    row("place.change.median", times[times.len() / 2], "ms");
    row("place.change.worst", times[times.len() - 1], "ms");
    row("place.change.work", work as f64, "steps");
}
