//! Leases: how long each side counts, what the owner of a resource remembers, what a holder believes.
//!
//! # Time
//! No two clocks agree, but each runs at most 1 % too fast or too slow ([`DRIFT`]). So durations are counted, never
//! moments compared: the holder counts `duration − 1 %` from when it *sent* its request, the owner `duration + 1 %`
//! from when it *granted*, which is later. In true time the holder stops before `duration` has gone by since
//! sending and the owner waits at least until `duration` has gone by since granting: whatever the network does
//! between, the holder has stopped believing before the owner lets anybody else in. Both run on a clock that counts
//! suspend, for a laptop that sleeps through its lease must know on waking.

use std::time::Duration;

pub(crate) mod holder;
pub(crate) mod owner;

/// The most that a clock may run fast or slow: one part in this many.
pub(crate) const DRIFT: u32 = 100;

/// How long a holder believes in a lease, by its own clock, from sending the request.
pub(crate) fn holder_term(duration: Duration) -> Duration {
    duration.saturating_sub(duration / DRIFT + Duration::from_nanos(1))
}

/// How long an owner honours a lease, by its own clock, from granting it.
pub(crate) fn owner_term(duration: Duration) -> Duration {
    duration.saturating_add(duration / DRIFT + Duration::from_nanos(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_holder_stops_before_the_fastest_owner() {
        for millis in [1, 999, 1_000, 30_000, 299_999, 300_000] {
            let duration = Duration::from_millis(millis);
            // True time = local time / rate.
            let holder = holder_term(duration).as_secs_f64() / 0.99;
            let owner = owner_term(duration).as_secs_f64() / 1.01;
            assert!(holder <= owner, "{duration:?}: {holder} {owner}");
        }
    }
}
