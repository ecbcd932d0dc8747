//! The clock that leases and presence are measured with.

use std::time::Duration;

use tutti_model::{BootTime, WallTime};

/// Tells the time. Two of them: the machine's, and tokio's for simulations in virtual time.
pub trait Clock: Send + Sync + 'static {
    /// Time since the machine started, suspend included.
    fn now(&self) -> BootTime;
    /// Calendar time.
    fn wall(&self) -> WallTime;
    /// Which start of the machine [`now`](Self::now) counts from.
    fn boot(&self) -> [u8; 16];
}

/// The machine's clocks: `CLOCK_BOOTTIME` and `CLOCK_REALTIME`.
#[derive(Debug, Clone, Copy, Default)]
pub struct MachineClock;

impl Clock for MachineClock {
    fn now(&self) -> BootTime {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let nanos = u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0);
        BootTime::from_nanos(nanos)
    }

    fn wall(&self) -> WallTime {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        WallTime::from_unix_millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// The kernel's boot id; where there is none, a random one, so that nothing outlives a restart of the program.
    fn boot(&self) -> [u8; 16] {
        static BOOT: std::sync::OnceLock<[u8; 16]> = std::sync::OnceLock::new();
        *BOOT.get_or_init(|| {
            let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
            let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
            tutti_model::id::read_hex(&digits).unwrap_or_else(rand::random)
        })
    }
}

/// tokio's clock, which a test can pause: virtual time since it was made, and a calendar that starts in 2026. It may
/// run too fast or too slow.
#[derive(Debug, Clone, Copy)]
pub struct VirtualClock {
    start: tokio::time::Instant,
    drift: i32,
    boots: u8,
}

impl VirtualClock {
    /// A clock that starts now.
    pub fn new() -> Self {
        Self::with_drift(0)
    }

    /// A clock that starts now and runs so many millionths too fast.
    pub fn with_drift(drift: i32) -> Self {
        Self { start: tokio::time::Instant::now(), drift, boots: 1 }
    }

    /// The same clock after its machine was started anew.
    #[must_use]
    pub fn rebooted(self) -> Self {
        Self { boots: self.boots.wrapping_add(1), ..Self::with_drift(self.drift) }
    }

    fn elapsed(&self) -> Duration {
        let real = i128::try_from(self.start.elapsed().as_nanos()).unwrap_or(i128::MAX);
        let shown = real.saturating_add(real.saturating_mul(self.drift.into()) / 1_000_000);
        Duration::from_nanos(u64::try_from(shown).unwrap_or(0))
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> BootTime {
        BootTime::ZERO + self.elapsed()
    }

    fn wall(&self) -> WallTime {
        let millis = u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX);
        WallTime::from_unix_millis(1_767_225_600_000_u64.saturating_add(millis))
    }

    fn boot(&self) -> [u8; 16] {
        [self.boots; 16]
    }
}
