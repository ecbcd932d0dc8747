//! Rates out of counters that only grow.

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use tutti_model::BootTime;

use crate::{clock::boot_time, driver::DriverError};

/// How far apart two samples must be for a rate to mean something.
pub(crate) const WINDOW: Duration = Duration::from_millis(100);

/// Two samples of `N` counters that grow, and what they grew by between them.
///
/// Sans-I/O: who samples passes the time and the counts. Samples closer together than 100 ms are ignored, so that
/// many readers do not shrink the window to nothing: they all see the growth over the last full one.
///
/// A counter that went back was reset (an interface that came back, a 32-bit counter that wrapped): nobody knows what
/// it grew by, so it counts as nothing for that one window.
#[derive(Debug, Clone)]
pub(crate) struct Rate<const N: usize> {
    taken: BootTime,
    counts: [u64; N],
    grown: Option<([u64; N], Duration)>,
}

impl<const N: usize> Rate<N> {
    /// Begins with a first sample.
    pub(crate) const fn new(now: BootTime, counts: [u64; N]) -> Self {
        Self { taken: now, counts, grown: None }
    }

    /// Takes a sample and returns by how much each counter grew over how long, or how long to wait before there is an
    /// answer.
    ///
    /// # Errors
    /// The time that must pass before the first answer, at most 100 ms.
    pub(crate) fn sample(&mut self, now: BootTime, counts: [u64; N]) -> Result<([u64; N], Duration), Duration> {
        let elapsed = now.since(self.taken);
        if elapsed >= WINDOW {
            let mut grown = counts;
            for (new, old) in grown.iter_mut().zip(self.counts) {
                *new = new.saturating_sub(old);
            }
            self.grown = Some((grown, elapsed));
            self.taken = now;
            self.counts = counts;
        }
        self.grown.ok_or(WINDOW.saturating_sub(elapsed))
    }
}

/// A [`Rate`] on the real clock, for a driver's `&self`.
#[derive(Debug)]
pub(crate) struct Meter<const N: usize>(Mutex<Option<Rate<N>>>);

impl<const N: usize> Meter<N> {
    /// Begins with the counts of now, if they can be had, so that the first reading need not wait.
    pub(crate) fn new(counts: Option<[u64; N]>) -> Self {
        Self(Mutex::new(counts.map(|counts| Rate::new(boot_time(), counts))))
    }

    /// By how much the counters grew over how long. Waits for at most 100 ms, right after the start only.
    pub(crate) fn growth(
        &self,
        counts: impl Fn() -> Result<[u64; N], DriverError>,
    ) -> Result<([u64; N], Duration), DriverError> {
        loop {
            let sample = counts()?;
            let answer = {
                let mut rate = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                let now = boot_time();
                rate.get_or_insert_with(|| Rate::new(now, sample)).sample(now, sample)
            };
            match answer {
                Ok(growth) => return Ok(growth),
                // The clock does go on while we sleep, so this comes round at most twice.
                Err(wait) => thread::sleep(wait.min(WINDOW)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> BootTime {
        BootTime::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn waits_for_a_window_then_counts() {
        let mut rate = Rate::new(at(0), [100]);
        assert_eq!(rate.sample(at(40), [150]), Err(Duration::from_millis(60)));
        assert_eq!(rate.sample(at(200), [300]), Ok(([200], Duration::from_millis(200))));
        assert_eq!(rate.sample(at(250), [900]), Ok(([200], Duration::from_millis(200))), "too soon: the last window");
        assert_eq!(rate.sample(at(300), [900]), Ok(([600], Duration::from_millis(100))));
        assert_eq!(rate.sample(at(1300), [50]), Ok(([0], Duration::from_secs(1))), "the counter began anew");
        assert_eq!(rate.sample(at(2300), [80]), Ok(([30], Duration::from_secs(1))));
    }

    proptest! {
        #[test]
        fn growth_adds_up(steps in prop::collection::vec((100u64..5000, 0u64..1_000_000), 1..50)) {
            let (mut now, mut count, mut sum) = (0, 7, 0);
            let mut rate = Rate::new(at(0), [count]);
            for (millis, growth) in steps {
                now += millis;
                count += growth;
                let (grown, over) = rate.sample(at(now), [count]).unwrap();
                prop_assert_eq!(over, Duration::from_millis(millis));
                sum += grown[0];
            }
            prop_assert_eq!(sum, count - 7);
        }

        #[test]
        fn any_samples_are_taken(samples in prop::collection::vec((any::<u64>(), any::<[u64; 3]>()), 0..50)) {
            let mut rate = Rate::new(BootTime::ZERO, [0; 3]);
            for (now, counts) in samples {
                if let Err(wait) = rate.sample(BootTime::from_nanos(now), counts) {
                    prop_assert!(wait <= WINDOW);
                }
            }
        }
    }
}
