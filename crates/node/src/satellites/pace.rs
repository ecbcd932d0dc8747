//! How soon a satellite that comes and goes is shown again.
//!
//! Each coming and each going is a record that the whole group is sent and that is made durable. One that went once is shown
//! as soon as it is back; one that keeps on is shown later and later.

use std::time::Duration;

use tutti_model::BootTime;

/// The wait after the second loss; it doubles with each.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait.
const MOST: Duration = Duration::from_secs(30);
/// Who was there for so long begins anew.
const CALM: Duration = Duration::from_secs(30);

/// The pace of one link.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    shown: BootTime,
    until: BootTime,
    wait: Duration,
}

impl Pace {
    /// Whether one that is there may be shown now.
    pub(crate) fn allows(&self, now: BootTime) -> bool {
        self.until <= now
    }

    /// When it may.
    pub(crate) fn until(&self) -> BootTime {
        self.until
    }

    /// One is shown.
    pub(crate) fn shown(&mut self, now: BootTime) {
        self.shown = now;
    }

    /// One that was shown is gone.
    pub(crate) fn lost(&mut self, now: BootTime) {
        if now.since(self.shown) >= CALM {
            self.wait = Duration::ZERO;
        }
        self.until = now + self.wait;
        self.wait = (self.wait * 2).clamp(FIRST, MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> BootTime {
        BootTime::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn the_first_return_is_shown_at_once_and_many_are_not() {
        let mut pace = Pace::default();
        let (mut now, mut shown) = (at(1_000_000), 0);
        for round in 0..200_u32 {
            if pace.allows(now) {
                pace.shown(now);
                shown += 1;
                pace.lost(now);
            }
            assert!(round != 0 || pace.allows(now), "it may come back once");
            now = now + Duration::from_millis(100);
        }
        assert!(shown <= 8, "{shown} times within 20 s");
        pace.shown(now);
        pace.lost(now + CALM);
        assert!(pace.allows(now + CALM), "calm for a while");
    }
}
