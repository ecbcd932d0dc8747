//! A counter that grows with every change, to wait on or to be called by.

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The most hooks one signal calls; more are refused.
const MAX_HOOKS: usize = 16;

type Hook = Arc<dyn Fn() + Send + Sync>;

/// Tells that something changed. Nothing is queued: whoever is slow sees the latest generation and misses none.
#[derive(Default)]
pub struct Signal {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    generation: u64,
    hooks: Vec<Hook>,
}

impl Signal {
    /// A signal at generation 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Something changed: wakes everybody who waits and calls the hooks.
    pub fn raise(&self) {
        let hooks = {
            let mut state = self.lock();
            state.generation += 1;
            state.hooks.clone()
        };
        self.changed.notify_all();
        for hook in hooks {
            hook();
        }
    }

    /// Has `hook` called after every change, on the thread that made it; it must return at once. False if there
    /// are too many already.
    pub fn hook(&self, hook: impl Fn() + Send + Sync + 'static) -> bool {
        let mut state = self.lock();
        let room = state.hooks.len() < MAX_HOOKS;
        if room {
            state.hooks.push(Arc::new(hook));
        }
        room
    }

    /// How many changes there were.
    pub fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// Waits until there is a generation later than `seen`, or for `timeout`; returns the present one.
    pub fn wait_past(&self, seen: u64, timeout: Duration) -> u64 {
        let until = Instant::now() + timeout;
        let mut state = self.lock();
        while state.generation <= seen {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.generation
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal").field("generation", &self.generation()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn wakes_waiters_and_calls_hooks() {
        let signal = Arc::new(Signal::new());
        let calls = Arc::new(AtomicU32::new(0));
        let counter = calls.clone();
        assert!(signal.hook(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        }));
        assert_eq!(signal.wait_past(0, Duration::from_millis(1)), 0);
        let waiter = std::thread::spawn({
            let signal = signal.clone();
            move || signal.wait_past(0, Duration::from_secs(10))
        });
        signal.raise();
        assert_eq!(waiter.join().unwrap(), 1);
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        assert_eq!(signal.wait_past(0, Duration::ZERO), 1);
    }

    #[test]
    fn hooks_are_bounded() {
        let signal = Signal::new();
        assert!((0..MAX_HOOKS).all(|_| signal.hook(|| ())));
        assert!(!signal.hook(|| ()));
    }
}
