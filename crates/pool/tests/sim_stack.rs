//! The whole stack in virtual time: pools over their driver, over the real fabric, over a simulated network that loses,
//! delays and cuts, with devices that crash, clocks that drift, a trust group that changes, and users who never rest.
//!
//! `TUTTI_SIM_SEEDS=300 cargo test -p tutti-pool --test sim_stack` for a longer sweep, `TUTTI_SIM_SEED=17` for one
//! seed alone.
#![allow(clippy::print_stderr, unreachable_pub)]

#[path = "sim/checks.rs"]
mod checks;
#[path = "stack/device.rs"]
mod device;
#[path = "stack/house.rs"]
mod house;
#[path = "stack/user.rs"]
mod user;
#[path = "stack/watch.rs"]
mod watch;
#[path = "stack/world.rs"]
mod world;

use std::{collections::BTreeMap, time::Duration};

use checks::Violation;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use tokio::time::sleep;
use tutti_fabric::{testing::seeds, transport::sim::Conditions};
use tutti_model::{ResourceId, Role, message::LeaseMode};
use watch::{Faults, Running};
use world::{Traffic, World};

const S: fn(u64) -> Duration = Duration::from_secs;

/// How a run went that went well.
struct Outcome {
    counts: BTreeMap<&'static str, u64>,
    /// How long it took until everybody saw the same after the trouble.
    settled: Duration,
    traffic: Traffic,
}

/// One run: trouble, then peace, in which everybody must agree, then the death of a holder.
async fn run(seed: u64, faults: Faults, trouble: Duration) -> Result<Outcome, Violation> {
    let mut rng = SmallRng::seed_from_u64(!seed);
    let conditions = match rng.random_range(0..3) {
        0 => Conditions::default(),
        1 => Conditions::wireless(),
        _ => Conditions::wireless().with_loss(0.1),
    };
    let mut world = World::new(seed, conditions, rng.random_range(3..6), 0, 2, faults).await;
    world.trouble(trouble).await?;
    let settled = world.heal().await?;
    a_dead_holder_lets_go(&mut world).await?;
    Ok(Outcome { counts: world.watch.counts(), settled, traffic: world.traffic() })
}

/// One device holds and renews a lease, dies, and another gets the lease as soon as it may.
async fn a_dead_holder_lets_go(world: &mut World) -> Result<(), Violation> {
    let running = world.watch.all_running();
    for it in &running {
        for held in &it.pool.leases().held {
            // If it is over by now, that is as good.
            let _ = it.pool.release(held.lease).await;
        }
    }
    let may = |owner: &Running, it: &Running| {
        let role = owner.fabric.view().borrow().group.role_of(it.fabric.id());
        it.fabric.id() != owner.fabric.id() && role >= Some(Role::Member)
    };
    let fighters = running.iter().find_map(|owner| {
        let mut others = running.iter().filter(|it| may(owner, it));
        Some((owner, others.next()?, others.next()?))
    });
    let Some((owner, holder, heir)) = fighters else { return Ok(()) };
    let lamp = ResourceId { device: owner.fabric.id(), name: house::name("lamp") };
    let take = |it: &Running, renewed| {
        let pool = it.pool.clone();
        async move { pool.acquire(lamp, LeaseMode::Exclusive, S(4), renewed).await }
    };
    let broken = |what: &str, why: &dyn std::fmt::Display| Violation(format!("{what}: {why}"));
    // A lease of somebody who is forgotten, or was cut off while it gave it back, may last for its time.
    let mut first = take(holder, true).await;
    for _ in 0..20 {
        if first.is_err() {
            sleep(S(1)).await;
            first = take(holder, true).await;
        }
    }
    let first = first.map_err(|why| broken("in peace a lease is not to be had", &why))?;
    sleep(S(15)).await;
    if !holder.pool.holds(&first.lease) {
        return Err(Violation("a lease is not renewed while it is used".into()));
    }
    let (holder, heir) = (holder.fabric.id(), heir.clone());
    let Some(dying) = world.devices.iter_mut().find(|device| device.id() == holder) else { return Ok(()) };
    dying.crash().await;
    sleep(S(4) + Duration::from_millis(200)).await;
    take(&heir, false).await.map_err(|why| broken("the lease of a dead holder is not released", &why))?;
    world.watch.count("dead holders");
    world.watch.verdict()
}

fn replay(seed: u64, test: &str) -> String {
    format!("replay: TUTTI_SIM_SEED={seed} cargo test -p tutti-pool --test sim_stack {test}")
}

#[tokio::test(start_paused = true)]
async fn after_any_trouble_all_is_well() {
    let (mut total, mut slowest) = (BTreeMap::new(), Duration::ZERO);
    let seeds = seeds(8);
    for &seed in &seeds {
        match run(seed, Faults::default(), S(40)).await {
            Ok(outcome) => {
                slowest = slowest.max(outcome.settled);
                outcome.counts.into_iter().for_each(|(what, times)| *total.entry(what).or_insert(0) += times);
            }
            Err(Violation(what)) => panic!("seed {seed}: {what}\n{}", replay(seed, "after_any_trouble")),
        }
    }
    eprintln!("{} seeds, all agreed after {slowest:?} at most: {total:#?}", seeds.len());
    if seeds.len() >= 8 {
        for what in [
            "exclusive leases held",
            "effects under a lease",
            "readings",
            "readings followed",
            "leases handed over",
            "leases taken over",
            "old tokens tried",
            "things stored",
            "things fetched",
            "devices forgotten",
            "devices paired again",
            "removals learnt",
            "partitions",
            "crashes",
            "dead holders",
        ] {
            assert!(total.contains_key(what), "in {} runs there were no {what}: they prove nothing", seeds.len());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_seed_is_one_run() {
    for seed in seeds(1) {
        let mut runs = Vec::new();
        for _ in 0..2 {
            let outcome = run(seed, Faults::default(), S(20)).await;
            let outcome = outcome.unwrap_or_else(|Violation(what)| panic!("seed {seed}: {what}"));
            runs.push((outcome.traffic.hash, outcome.settled, outcome.counts));
        }
        assert_eq!(runs[0], runs[1], "{}", replay(seed, "one_seed"));
    }
}

/// A seed for which a broken world makes the checks fail in the way that is expected.
async fn found_within(tries: u64, faults: Faults, expected: &str) {
    for seed in 1..=tries {
        match run(seed, faults, S(40)).await {
            Err(Violation(what)) if what.contains(expected) => {
                return eprintln!("{faults:?}: seed {seed}: {what}");
            }
            _ => {}
        }
    }
    panic!("{faults:?}: {tries} seeds did not show that {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn disks_that_lie_would_be_noticed() {
    found_within(20, Faults { lying_disks: true, ..Faults::default() }, "/lamp ").await;
}

#[tokio::test(start_paused = true)]
async fn ignoring_drift_would_be_noticed() {
    found_within(20, Faults { wild_clocks: true, ..Faults::default() }, "at once").await;
}

#[tokio::test(start_paused = true)]
async fn effects_of_earlier_leases_would_be_noticed() {
    found_within(20, Faults { deaf_drivers: true, ..Faults::default() }, "was changed under").await;
}
