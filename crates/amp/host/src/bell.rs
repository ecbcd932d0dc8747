//! Doorbells between processes.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::thread::futex;
use tutti_metal::{Doorbell, OutOfBounds, Sleep, Wake};

use crate::SharedMemory;
use crate::mapping::SharedWord;

pub(crate) fn timespec(duration: Duration) -> Timespec {
    let tv_sec = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec, tv_nsec: i64::from(duration.subsec_nanos()) }
}

/// A doorbell over an `eventfd`: one process rings it, the other sleeps on it, or waits for it in `epoll`.
#[derive(Debug)]
pub struct EventBell(OwnedFd);

impl EventBell {
    /// A new one.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn create() -> Result<Self, std::io::Error> {
        Ok(Self(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// One that was inherited or passed.
    #[must_use]
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl AsFd for EventBell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Doorbell for EventBell {
    fn ring(&self, _: u32) {
        // Would-block means that 2^64 - 2 rings wait already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }
}

impl Sleep for EventBell {
    fn sleep(&self, at_most: Duration) -> Wake {
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        // An interrupted poll is a wake-up for nothing, which is allowed.
        let _ = rustix::event::poll(&mut fds, Some(&timespec(at_most)));
        match rustix::io::read(&self.0, &mut [0; 8]) {
            Ok(_) => Wake::Rung,
            Err(_) => Wake::TimedOut,
        }
    }
}

/// Rings by counting a word in shared memory up, and waking the thread that waits on it, if one does.
///
/// The word at `at` counts rings; the one behind it says whether somebody sleeps, so that a ring for one who is awake
/// costs no system call. A peer that overwrites either only spoils its own ring.
#[derive(Clone, Debug)]
pub struct FutexBell {
    count: SharedWord,
    sleeping: SharedWord,
}

impl FutexBell {
    /// The doorbell whose two words are at `at`, a multiple of 4.
    ///
    /// # Errors
    /// If they are not inside.
    pub fn new(memory: &SharedMemory, at: usize) -> Result<Self, OutOfBounds> {
        let second = at.saturating_add(4);
        Ok(Self { count: SharedWord::new(memory.clone(), at)?, sleeping: SharedWord::new(memory.clone(), second)? })
    }

    /// The end that hears it. Only one thread may sleep on it at a time.
    #[must_use]
    pub fn sleeper(&self) -> FutexSleeper {
        let heard = AtomicU32::new(self.count.atomic().load(Ordering::Acquire));
        FutexSleeper { bell: self.clone(), heard }
    }
}

impl Doorbell for FutexBell {
    fn ring(&self, _: u32) {
        // Sequentially consistent on both words, as is the sleeper: either it sees the new count, or this sees it
        // asleep.
        self.count.atomic().fetch_add(1, Ordering::SeqCst);
        if self.sleeping.atomic().load(Ordering::SeqCst) != 0 {
            let _ = futex::wake(self.count.atomic(), futex::Flags::empty(), 1);
        }
    }
}

/// The end of a [`FutexBell`] that hears it.
#[derive(Debug)]
pub struct FutexSleeper {
    bell: FutexBell,
    heard: AtomicU32,
}

impl Sleep for FutexSleeper {
    fn sleep(&self, at_most: Duration) -> Wake {
        let heard = self.heard.load(Ordering::Relaxed);
        let count = self.bell.count.atomic();
        if count.load(Ordering::Acquire) == heard && !at_most.is_zero() {
            let began = Instant::now();
            self.bell.sleeping.atomic().store(1, Ordering::SeqCst);
            // A ring that was heard without sleeping may wake the sleep after it: only the count tells.
            while count.load(Ordering::SeqCst) == heard {
                let left = at_most.saturating_sub(began.elapsed());
                let slept = futex::wait(count, futex::Flags::empty(), heard, Some(&timespec(left)));
                if left.is_zero() || slept == Err(Errno::INTR) {
                    break;
                }
            }
            self.bell.sleeping.atomic().store(0, Ordering::Relaxed);
        }
        let now = count.load(Ordering::Acquire);
        self.heard.store(now, Ordering::Relaxed);
        if now == heard { Wake::TimedOut } else { Wake::Rung }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_wake_ends_no_sleep() {
        let memory = crate::Mapping::create(4096, tutti_metal::DeviceAddr(0)).unwrap();
        let bell = FutexBell::new(&memory, 0).unwrap();
        let sleeper = bell.sleeper();
        let began = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // What is left of a ring that was heard before: a wake-up, and the count stays.
                for _ in 0..20 {
                    let _ = futex::wake(bell.count.atomic(), futex::Flags::empty(), 1);
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
            assert_eq!(sleeper.sleep(Duration::from_millis(100)), Wake::TimedOut);
        });
        assert!(began.elapsed() >= Duration::from_millis(100));
        bell.ring(0);
        assert_eq!(sleeper.sleep(Duration::from_secs(5)), Wake::Rung);
    }
}
