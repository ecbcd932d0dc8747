//! Whole moves in virtual time: three devices with slow disks, a network that loses and delays, a sender whose events must be
//! applied once each, a receiver that must see each effect once, and something that goes wrong at a seeded point.
//!
//! At every step at most one device may run the instance. After the trouble is over, exactly one does within 3 s, and no
//! acknowledged event or effect was lost or applied twice. `TUTTI_SIM_SEEDS` is the number of seeds (2,000 without it); a
//! failure prints its seed, and `TUTTI_SIM_SEED` runs that one alone.

mod driver;
mod trouble;
mod world;

use std::time::Duration;

use tutti_app::handover::RETRY;

use world::{DEVICES, Device, EVENTS, World};

/// What a run was like: how many moves were decided and completed.
fn run(seed: u64) -> (u64, u64) {
    let mut world = World::new(seed);
    let steps = 300 + world.rng.below(2500);
    let second = steps + world.rng.below(800);
    for step in 0..second + 200 {
        if step == steps || step == second {
            // Whoever has to do with a move is hit most often.
            let of = world.rng.below(DEVICES as u64) as usize;
            let waits = |of: &usize| {
                world.devices[*of].node.as_ref().is_some_and(|node| {
                    node.mover.waiting_for().is_some() || (node.home.is_some() && node.mover.may_run().is_none())
                })
            };
            let of = (0..DEVICES).find(waits).filter(|_| world.rng.chance(60)).unwrap_or(of);
            if world.rng.chance(70) {
                world.kill(of);
            } else {
                world.cut(of, (of + 1) % DEVICES);
            }
        }
        world.step();
    }
    world.heal();
    let running: Vec<_> = (0..DEVICES).filter(|of| world.runs(*of)).collect();
    assert_eq!(running.len(), 1, "{running:?} run 3 s after healing");
    let waits = |device: &Device| device.node.as_ref().and_then(|node| node.mover.waiting_for());
    let records: Vec<_> = world.devices.iter().map(|device| &device.disk.record).collect();
    assert!(world.devices.iter().all(|device| waits(device).is_none()), "somebody still waits: {records:#?}");
    world.run_until(world.now + Duration::from_secs(30) + RETRY);
    let expected: Vec<u32> = (1..=EVENTS).collect();
    let home = &world.devices[running[0]];
    assert_eq!(home.node.as_ref().unwrap().told, expected, "what the app was told");
    assert_eq!(home.disk.state.told, expected, "what the disk says the app was told");
    assert_eq!(world.lit, expected, "what the lamp was told");
    assert_eq!(world.acknowledged.len(), expected.len());
    (world.decided, world.moved)
}

#[test]
#[expect(clippy::print_stderr, reason = "how much was moved is of interest")]
fn kills_and_cuts_at_seeded_points() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("TUTTI_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TUTTI_SIM_SEEDS").unwrap_or(2000),
    };
    let (mut decided, mut moved) = (0, 0);
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let result = std::panic::catch_unwind(|| run(seed));
        let Ok((more, done)) = result else { panic!("failed with TUTTI_SIM_SEED={seed}") };
        decided += more;
        moved += done;
    }
    eprintln!("{count} seeds: {decided} moves decided, {moved} seen to end at their sources");
    assert!(count == 1 || moved > count, "the simulation must move something");
}
