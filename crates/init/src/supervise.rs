//! Keeping the node alive: a state machine without I/O.
//!
//! ```text
//!             start                READY=1             no heartbeat, or not ready in time
//!   Waiting ────────▶ Starting ────────────▶ Running ──────────────▶ Ending (killed) ──┐
//!      ▲                  │ exit                │ exit                                  │
//!      └──── back-off ◀───┴─────────────────────┴───────────────────────────────────────┘
//!   any ── stop ──▶ Ending (asked, after a while killed) ──▶ Stopped
//! ```
//!
//! The back-off doubles from [`Limits::first_pause`] to [`Limits::longest_pause`], and begins anew after the node has
//! run well for [`Limits::well_after`]. The hardware watchdog is fed by [`Supervisor::feed`]: for as long as the node is
//! alive, or has not been away for longer than [`Limits::patience`]; then the hardware is to start everything anew.

use std::time::{Duration, Instant};

/// How long what may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From starting to `READY=1`.
    pub ready_within: Duration,
    /// Between two heartbeats.
    pub heartbeat_within: Duration,
    /// From asking it to end to killing it.
    pub end_within: Duration,
    /// The pause before the first restart.
    pub first_pause: Duration,
    /// No pause is longer.
    pub longest_pause: Duration,
    /// After running so long, the pauses begin anew.
    pub well_after: Duration,
    /// How long the node may be away before the hardware watchdog is let go.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            ready_within: seconds(90),
            heartbeat_within: seconds(30),
            end_within: seconds(10),
            first_pause: Duration::from_millis(200),
            longest_pause: seconds(30),
            well_after: seconds(60),
            patience: seconds(180),
        }
    }
}

/// What to do with the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start it.
    Start,
    /// Ask it to end.
    Terminate,
    /// End it.
    Kill(Reason),
}

/// Why it is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// It was not ready in time.
    NotReady,
    /// Its heartbeat stopped.
    Silent,
    /// It did not end when asked.
    DoesNotEnd,
}

impl Reason {
    /// In words, behind "the node was killed: ".
    pub const fn words(self) -> &'static str {
        match self {
            Self::NotReady => "it was not ready in time",
            Self::Silent => "its heartbeat stopped",
            Self::DoesNotEnd => "it did not end when asked to",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting {
        until: Instant,
    },
    Starting {
        since: Instant,
    },
    Running {
        since: Instant,
        heard: Instant,
    },
    /// Killed at `by` unless it has been already.
    Ending {
        by: Instant,
        killed: bool,
    },
    Stopped,
}

/// The node's keeper.
#[derive(Debug)]
pub struct Supervisor {
    limits: Limits,
    state: State,
    stopping: bool,
    pause: Duration,
    /// Since when it has not been running.
    away: Option<Instant>,
    starts: u32,
}

impl Supervisor {
    /// Starts it at once.
    pub fn new(now: Instant, limits: Limits) -> Self {
        let state = State::Waiting { until: now };
        Self { limits, state, stopping: false, pause: limits.first_pause, away: Some(now), starts: 0 }
    }

    /// It could not be started, or has ended.
    pub fn ended(&mut self, now: Instant) {
        let well = matches!(self.state, State::Running { since, .. } if now >= since + self.limits.well_after);
        if well {
            self.pause = self.limits.first_pause;
        }
        self.away.get_or_insert(now);
        if self.stopping {
            self.state = State::Stopped;
        } else {
            self.state = State::Waiting { until: now + self.pause };
            self.pause = (self.pause * 2).min(self.limits.longest_pause);
        }
    }

    /// It said `READY=1`.
    pub fn ready(&mut self, now: Instant) {
        if let State::Starting { .. } = self.state {
            self.state = State::Running { since: now, heard: now };
            self.away = None;
        }
    }

    /// It said `WATCHDOG=1`.
    pub fn heartbeat(&mut self, now: Instant) {
        if let State::Running { heard, .. } = &mut self.state {
            *heard = now;
        }
    }

    /// It is to end and stay so.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// What to do now, if anything.
    pub fn poll(&mut self, now: Instant) -> Option<Action> {
        match self.state {
            State::Waiting { .. } if self.stopping => {
                self.state = State::Stopped;
                None
            }
            State::Starting { .. } | State::Running { .. } if self.stopping => {
                self.state = State::Ending { by: now + self.limits.end_within, killed: false };
                Some(Action::Terminate)
            }
            State::Waiting { until } if now >= until => {
                self.state = State::Starting { since: now };
                self.starts = self.starts.saturating_add(1);
                Some(Action::Start)
            }
            State::Starting { since } if now >= since + self.limits.ready_within => {
                Some(self.kill(now, Reason::NotReady))
            }
            State::Running { heard, .. } if now >= heard + self.limits.heartbeat_within => {
                Some(self.kill(now, Reason::Silent))
            }
            State::Ending { by, killed: false } if now >= by => Some(self.kill(now, Reason::DoesNotEnd)),
            _ => None,
        }
    }

    fn kill(&mut self, now: Instant, reason: Reason) -> Action {
        self.away.get_or_insert(now);
        self.state = State::Ending { by: now, killed: true };
        Action::Kill(reason)
    }

    /// When [`Supervisor::poll`] has something to do if nothing happens before.
    pub fn next(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Starting { since } => Some(since + self.limits.ready_within),
            State::Running { heard, .. } => Some(heard + self.limits.heartbeat_within),
            State::Ending { by, killed: false } => Some(by),
            State::Ending { .. } | State::Stopped => None,
        }
    }

    /// Whether the hardware watchdog is to be fed.
    pub fn feed(&self, now: Instant) -> bool {
        self.away.is_none_or(|since| now < since + self.limits.patience)
    }

    /// Whether it runs and is ready.
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// Whether it was stopped for good.
    pub fn is_stopped(&self) -> bool {
        self.state == State::Stopped
    }

    /// How often it was started.
    pub const fn starts(&self) -> u32 {
        self.starts
    }

    /// How long it pauses before its next start, if it pauses.
    pub fn pausing(&self, now: Instant) -> Option<Duration> {
        match self.state {
            State::Waiting { until } => Some(until.saturating_duration_since(now)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits {
        ready_within: Duration::from_secs(90),
        heartbeat_within: Duration::from_secs(30),
        end_within: Duration::from_secs(10),
        first_pause: Duration::from_millis(200),
        longest_pause: Duration::from_secs(30),
        well_after: Duration::from_secs(60),
        patience: Duration::from_secs(180),
    };

    fn s(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_node_that_dies_again_and_again_is_started_ever_more_rarely() {
        let begin = Instant::now();
        let (mut now, mut keeper) = (begin, Supervisor::new(begin, LIMITS));
        let mut pauses = Vec::new();
        for _ in 0..10 {
            now = now.max(keeper.next().unwrap());
            assert_eq!(keeper.poll(now), Some(Action::Start));
            keeper.ended(now);
            pauses.push(keeper.pausing(now).unwrap().as_millis());
        }
        assert_eq!(pauses, [200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
        assert!(keeper.feed(begin + s(179)) && !keeper.feed(begin + s(180)), "the hardware begins anew");
        // It runs well at last: the pauses begin anew.
        now = keeper.next().unwrap();
        keeper.poll(now);
        keeper.ready(now);
        assert!(keeper.feed(now + s(1000)));
        (0..7).for_each(|n| keeper.heartbeat(now + s(10 * n)));
        keeper.ended(now + s(61));
        assert_eq!(keeper.pausing(now + s(61)), Some(LIMITS.first_pause));
    }

    #[test]
    fn a_silent_node_is_killed_and_started_again() {
        let now = Instant::now();
        let mut keeper = Supervisor::new(now, LIMITS);
        keeper.poll(now);
        keeper.ready(now + s(1));
        keeper.heartbeat(now + s(20));
        assert_eq!(keeper.poll(now + s(49)), None);
        assert_eq!(keeper.poll(now + s(50)), Some(Action::Kill(Reason::Silent)));
        assert_eq!(keeper.poll(now + s(51)), None, "once is enough");
        keeper.ended(now + s(51));
        assert_eq!(keeper.poll(now + s(52)), Some(Action::Start));
        assert_eq!(keeper.poll(now + s(142)), Some(Action::Kill(Reason::NotReady)));
    }

    #[test]
    fn it_is_stopped_in_good_time_from_every_state() {
        let now = Instant::now();
        let mut keeper = Supervisor::new(now, LIMITS);
        keeper.stop();
        assert_eq!(keeper.poll(now), None);
        assert!(keeper.is_stopped());
        let mut keeper = Supervisor::new(now, LIMITS);
        keeper.poll(now);
        keeper.stop();
        assert_eq!(keeper.poll(now), Some(Action::Terminate));
        assert_eq!(keeper.poll(now + s(10)), Some(Action::Kill(Reason::DoesNotEnd)));
        keeper.ended(now + s(10));
        assert!(keeper.is_stopped());
        assert_eq!(keeper.poll(now + s(1000)), None);
    }

    proptest! {
        /// Whatever happens: it is never started twice at once, and something always comes next until it has stopped.
        #[test]
        fn it_never_gets_stuck(events in prop::collection::vec((0u8..6, 0u64..100), 0..200)) {
            let mut now = Instant::now();
            let mut keeper = Supervisor::new(now, LIMITS);
            let mut alive = false;
            for (event, seconds) in events {
                now += s(seconds);
                match event {
                    0 if alive => { alive = false; keeper.ended(now) }
                    1 => keeper.ready(now),
                    2 => keeper.heartbeat(now),
                    3 if seconds > 97 => keeper.stop(),
                    _ => {}
                }
                match keeper.poll(now) {
                    Some(Action::Start) => {
                        prop_assert!(!alive);
                        alive = true;
                    }
                    Some(_) => prop_assert!(alive),
                    None => {}
                }
                prop_assert!(alive || keeper.next().is_some() || keeper.is_stopped());
            }
        }
    }
}
