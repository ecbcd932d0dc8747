//! Every state that a home, its standby and the network between them can get into, with the very machines that run in the product, hand-over
//! included.
//!
//! The network is as bad as can be: what was once said stays in flight forever. A write may reach the disk or not when its device crashes. Timers go off
//! at any time but those of run-leases, which go by the clock: time passes in halves of a lease, the home's clock running slow and the standby's fast by
//! as much as they are allowed; nobody need notice that it has. What is bounded is the number of moves, crashes and events, and how often the standby is
//! named and taken away.
//!
//! In every state: at most one runs; it has everything that its standby has ever acknowledged; no two effects have one name. From every state: once all are
//! up and reach each other, exactly one runs within some seconds, and nobody else thinks that it is the home.
//!
//! Faults that a machine could have are found: [`Fault`]. `TUTTI_LONG_TESTS=1` allows more of everything.

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use super::*;

mod world;

use world::{Action, Bounds, World};

/// Mistakes that the checker has to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fault {
    /// The home counts its run-lease from when the answer came.
    CountsFromTheAnswer,
    /// Neither allows for clocks that differ.
    NoDrift,
    /// A standby that is restarted does not count its promise anew.
    ForgetsItsPromise,
    /// The home runs at once when it is restarted.
    RunsWithoutAsking,
    /// The target of a move is not told of the standby.
    TargetKnowsNothing,
}

impl Keeper {
    pub(super) fn mistaken(&self, asked: BootTime, lease: Duration) -> (BootTime, Duration) {
        match self.fault {
            Some(Fault::CountsFromTheAnswer) => (self.now, lease),
            Some(Fault::NoDrift) => (asked, longer(lease) + Duration::from_nanos(lease.as_nanos() as u64 / 8000)),
            _ => (asked, lease),
        }
    }

    pub(super) fn mistaken_promise(&self, until: BootTime, lease: Duration) -> BootTime {
        if self.fault == Some(Fault::NoDrift) { self.now + lease } else { until }
    }
}

/// Visits every state; gives back how many there are, or what is wrong in one.
fn explore(start: World, most: usize) -> Result<usize, String> {
    let mut seen = HashSet::from([crate::fingerprint(&start)]);
    let mut trail: Vec<(usize, Option<Action>)> = vec![(0, None)];
    let (mut queue, mut healed) = (VecDeque::from([(0, start)]), HashSet::new());
    while let Some((at, world)) = queue.pop_front() {
        let mut heals = |restart| world.clone().heal(restart, &mut healed);
        if let Err(what) = world.check().and_then(|()| heals(false)).and_then(|()| heals(true)) {
            let mut path = Vec::new();
            let mut step = at;
            while let (before, Some(action)) = &trail[step] {
                path.push(format!("{action:?}"));
                step = *before;
            }
            path.reverse();
            return Err(format!("{what}\n{}\n{world:#?}", path.join("\n")));
        }
        for action in world.actions() {
            let mut next = world.clone();
            next.act(&action);
            if seen.insert(crate::fingerprint(&next)) {
                trail.push((at, Some(action)));
                queue.push_back((trail.len() - 1, next));
            }
        }
        assert!(seen.len() <= most, "there are more than {most} states");
    }
    Ok(seen.len())
}

const BOUNDS: Bounds = Bounds {
    devices: 2,
    moves: (1, 0),
    crashes: 0,
    events: 0,
    guards: 1,
    unguards: 0,
    prefer: Prefer::One,
    fault: None,
};

#[test]
#[expect(clippy::print_stderr, reason = "how many states there were is of interest")]
fn at_most_one_runs_in_every_state_and_exactly_one_after_healing() {
    let mut bounds = vec![BOUNDS];
    if std::env::var_os("TUTTI_LONG_TESTS").is_some() {
        bounds.extend([
            Bounds { events: 1, ..BOUNDS },
            Bounds { crashes: 1, ..BOUNDS },
            Bounds { unguards: 1, ..BOUNDS },
            Bounds { moves: (1, 1), ..BOUNDS },
            Bounds { devices: 3, moves: (2, 1), ..BOUNDS },
            Bounds { prefer: Prefer::Available, ..BOUNDS },
        ]);
    }
    for bounds in bounds {
        let begun = std::time::Instant::now();
        let states = explore(World::new(bounds), usize::MAX).unwrap_or_else(|what| panic!("{what}"));
        eprintln!("{bounds:?}: {states} states in {:?}", begun.elapsed());
        assert!(states > 100);
    }
}

#[test]
fn what_is_done_wrong_is_found() {
    for (fault, bounds) in [
        (Fault::CountsFromTheAnswer, BOUNDS),
        (Fault::NoDrift, BOUNDS),
        (Fault::ForgetsItsPromise, Bounds { crashes: 1, ..BOUNDS }),
        (Fault::RunsWithoutAsking, Bounds { crashes: 1, ..BOUNDS }),
        (Fault::TargetKnowsNothing, Bounds { devices: 3, moves: (2, 1), ..BOUNDS }),
    ] {
        let what = explore(World::new(Bounds { fault: Some(fault), ..bounds }), 3_000_000);
        assert!(what.is_err_and(|what| what.contains("run")), "{fault:?} is not found");
    }
}
