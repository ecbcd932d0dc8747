//! Moves and fail-overs in virtual time: three devices with slow and failing disks and clocks that differ, a network that loses and delays, a sender whose
//! events must be applied once each, a receiver that must see each effect once, and something that goes wrong at seeded points.
//!
//! At every step at most one device may run the instance. After the trouble is over, exactly one does within 3 s; nothing that its standby, if it has
//! one, had acknowledged is lost, and without a fail-over nothing at all; nothing is applied twice; and what a fail-over lost was done in
//! the time that its settings had foretold.
//!
//! `TUTTI_SIM_SEEDS` is the number of seeds for each of the two kinds of run; a failure prints its seed, and `TUTTI_SIM_SEED` runs that one alone.

mod driver;
mod trouble;
mod world;

use std::{collections::BTreeSet, time::Duration};

use tutti_app::{handover::RETRY, standby::Settings};

use world::{DEVICES, Device, Fault, Plan, SETTINGS, World};

/// What a run was like.
#[derive(Default)]
struct Seen {
    decided: u64,
    moved: u64,
    took_over: usize,
    lost: usize,
}

fn run(seed: u64, plan: Plan) -> Seen {
    let mut world = World::new(seed, plan);
    let (count, within) = if plan.guarded { (4, 3000) } else { (2, 800) };
    let mut points = vec![300 + world.rng.below(2500)];
    while points.len() < count {
        points.push(points[points.len() - 1] + world.rng.below(within));
    }
    for step in 0..points[count - 1] + 200 {
        if points.contains(&step) {
            // Whoever has to do with a move or is the home is hit most often.
            let of = world.rng.below(DEVICES as u64) as usize;
            let busy = |of: &usize| {
                world.devices[*of].node.as_ref().is_some_and(|node| {
                    let handover = node.keeper.handover();
                    let pauses = node.home.is_some() && handover.may_run().is_none();
                    handover.waiting_for().is_some() || pauses || (plan.guarded && handover.may_run().is_some())
                })
            };
            let of = (0..DEVICES).find(busy).filter(|_| world.rng.chance(60)).unwrap_or(of);
            if world.rng.chance(70) {
                world.kill(of);
            } else {
                // From one, or from all.
                let all = world.rng.chance(50);
                (1..DEVICES).filter(|far| *far == 1 || all).for_each(|far| world.cut(of, (of + far) % DEVICES));
            }
        }
        world.step();
    }
    world.heal();
    let running: Vec<_> = (0..DEVICES).filter(|of| world.runs(*of)).collect();
    let stand = |device: &Device| (device.disk.record.clone(), device.disk.guard);
    let records: Vec<_> = world.devices.iter().map(stand).collect();
    assert_eq!(running.len(), 1, "{running:?} run 3 s after healing: {records:#?}");
    let waits = |device: &Device| device.node.as_ref().and_then(|node| node.keeper.handover().waiting_for());
    assert!(world.devices.iter().all(|device| waits(device).is_none()), "somebody still waits: {records:#?}");
    world.run_until(world.now + Duration::from_secs(60) + RETRY);
    judge(&world)
}

/// Whether everything that was promised is so, once all is quiet.
fn judge(world: &World) -> Seen {
    let at = (0..DEVICES).find(|of| world.runs(*of)).expect("one runs");
    let home = &world.devices[at];
    let told = &home.node.as_ref().unwrap().told;
    assert_eq!(*told, home.disk.state.told, "what the disk says the app was told");
    assert!(told.starts_with(&world.safe), "what a standby had is lost");
    assert_eq!(world.acknowledged.len(), world.plan.events as usize);

    let events: Vec<u32> = told.iter().map(|(event, _)| *event).collect();
    assert!(events.is_sorted() && events.windows(2).all(|two| two[0] != two[1]), "told twice: {events:?}");
    let ids: BTreeSet<_> = world.lit.iter().map(|(_, id)| *id).collect();
    assert_eq!(ids.len(), world.lit.len(), "an effect was applied twice");
    for (event, epoch) in told {
        let lit = world.lit.iter().filter(|(of, id)| (of, id.epoch) == (event, *epoch)).count();
        assert_eq!(lit, 1, "how often the lamp was lit for event {event}");
    }
    if world.took_over.is_empty() {
        assert_eq!(events, (1..=world.plan.events).collect::<Vec<_>>(), "nothing may be lost without a fail-over");
        assert_eq!(world.lit.len(), events.len());
    }

    // What is lost was saved by a home that was succeeded, within the time foretold before it stopped.
    let mut lost = 0;
    let most = Settings::foretell(&SETTINGS).most_lost.expect("it is bounded");
    // Clocks differ, and what is under way is saved.
    let most = most + most / 50 + Duration::from_millis(100);
    for ((event, epoch), saved) in &world.saved {
        if told.contains(&(*event, *epoch)) {
            continue;
        }
        lost += 1;
        let next = world.took_over.range(epoch..).find(|(by, _)| *by != epoch);
        let (_, stopped) = next.unwrap_or_else(|| panic!("{event} of {epoch:?} is lost without a fail-over"));
        let worked = stopped.saturating_sub(*saved);
        assert!(worked <= most, "{event} was lost {worked:?} of work after it was saved");
    }
    Seen { decided: world.decided, moved: world.moved, took_over: world.took_over.len(), lost }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn all(plan: Plan, usual: u64) -> (u64, Seen) {
    let seeds = match number("TUTTI_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TUTTI_SIM_SEEDS").unwrap_or(usual),
    };
    let mut seen = Seen::default();
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let result = std::panic::catch_unwind(|| run(seed, plan));
        let Ok(one) = result else { panic!("failed with TUTTI_SIM_SEED={seed}") };
        seen.decided += one.decided;
        seen.moved += one.moved;
        seen.took_over += one.took_over;
        seen.lost += one.lost;
    }
    (count, seen)
}

const MOVES: Plan = Plan { events: 60, guarded: false, fault: None };
const GUARDED: Plan = Plan { events: 150, guarded: true, fault: None };

#[test]
#[expect(clippy::print_stderr, reason = "how much was moved is of interest")]
fn moves_with_kills_and_cuts_at_seeded_points() {
    let (count, seen) = all(MOVES, 200);
    eprintln!("{count} seeds: {} moves decided, {} seen to end at their sources", seen.decided, seen.moved);
    assert!(count == 1 || seen.moved > count, "the simulation must move something");
}

#[test]
#[expect(clippy::print_stderr, reason = "how much was lost is of interest")]
fn moves_and_fail_overs_with_kills_and_cuts_at_seeded_points() {
    let (count, seen) = all(GUARDED, 80);
    let Seen { moved, took_over, lost, .. } = seen;
    eprintln!("{count} seeds: {took_over} fail-overs that lost {lost} events, {moved} moves");
    assert!(count == 1 || (seen.moved > count && took_over as u64 > count / 4), "it must move and fail over");
}

#[test]
fn what_is_done_wrong_is_found() {
    for fault in [Fault::ForgetsTerms, Fault::BadClock, Fault::AdoptsNothing, Fault::NoLedger, Fault::ForgetsTheEnd] {
        let plan = Plan { fault: Some(fault), ..GUARDED };
        let found = (0..200).any(|seed| std::panic::catch_unwind(|| run(seed, plan)).is_err());
        assert!(found, "{fault:?} is not found");
    }
}
