//! A clock, and waiting that ends.

use core::time::Duration;

/// A moment on a clock that only runs forwards, in nanoseconds since some start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Instant(pub u64);

impl Instant {
    /// The moment `later` afterwards; the end of time if there is none.
    #[must_use]
    pub const fn after(self, later: Duration) -> Self {
        let nanos = later.as_nanos();
        Self(if nanos > u64::MAX as u128 { u64::MAX } else { self.0.saturating_add(nanos as u64) })
    }

    /// How long ago `earlier` was; zero if it is still to come.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Something that knows the time. It never goes back.
pub trait Clock {
    /// The time now.
    fn now(&self) -> Instant;
}

impl<C: Clock + ?Sized> Clock for &C {
    fn now(&self) -> Instant {
        (**self).now()
    }
}

/// The moment at which a wait gives up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Deadline(pub Instant);

impl Deadline {
    /// `within` from now.
    pub fn new(clock: &impl Clock, within: Duration) -> Self {
        Self(clock.now().after(within))
    }

    /// What is left of it; `None` once it has passed.
    pub fn left(&self, clock: &impl Clock) -> Option<Duration> {
        let now = clock.now();
        (now < self.0).then(|| self.0.since(now))
    }
}

/// The monotonic clock of the operating system.
#[cfg(feature = "std")]
#[derive(Clone, Copy, Debug)]
pub struct Monotonic(std::time::Instant);

#[cfg(feature = "std")]
impl Default for Monotonic {
    fn default() -> Self {
        Self(std::time::Instant::now())
    }
}

#[cfg(feature = "std")]
impl Clock for Monotonic {
    fn now(&self) -> Instant {
        Instant(u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}
