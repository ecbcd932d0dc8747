//! Keeping the latest values fresh.
//!
//! Each driver says how often its value is worth taking. That often it is taken while somebody looks
//! ([`Locals::look`]) or follows it ([`Locals::follow`]); while nobody does, [`IDLE`] times more rarely, so that an idle device costs next to nothing
//! and still has something to show at once. What changes by itself is taken when it says so.

use std::{sync::atomic::Ordering, time::Duration};

use tutti_model::{BootTime, Name, Reading};

use super::Locals;

/// How much more rarely values are taken while nobody looks.
const IDLE: u32 = 20;

/// The least time between two readings of one driver.
const MIN_INTERVAL: Duration = Duration::from_millis(200);

/// The longest time between two looks at what is due.
const MAX_WAIT: Duration = Duration::from_secs(10);

impl Locals {
    /// Takes values as they are due, for ever.
    pub(crate) async fn poll(self) {
        loop {
            let (due, next) = self.due();
            let taken = due.into_iter().map(|name| {
                let this = self.clone();
                async move {
                    // What cannot be read now keeps its latest value, whose time tells its age.
                    if let Ok(value) = this.call(&name, |driver| driver.read()).await {
                        this.keep(&name, Reading { value, at: this.shared.clock.wall() });
                    }
                }
            });
            futures_util::future::join_all(taken).await;
            let wait = next.since(self.shared.clock.now()).clamp(Duration::from_millis(20), MAX_WAIT);
            let _ = tokio::time::timeout(wait, self.shared.wake.notified()).await;
        }
    }

    /// What is due now, and when the next will be.
    fn due(&self) -> (Vec<Name>, BootTime) {
        let now = self.shared.clock.now();
        let anybody_looks = self.interest_until() > now;
        let mut next = now + MAX_WAIT;
        let mut due = Vec::new();
        for (name, entry) in self.entries().iter_mut().filter(|(_, entry)| entry.description.readable) {
            let every = entry.driver.refresh_every().map(|every| every.max(MIN_INTERVAL));
            let looking = anybody_looks || entry.latest.receiver_count() > 0;
            if looking && let Some(every) = every {
                // Somebody began to look since this was planned.
                entry.due = entry.due.min(now + every);
            }
            let changed = entry.changed.swap(false, Ordering::AcqRel);
            let never = entry.latest.borrow().is_none() && entry.due <= now;
            if changed || never || every.is_some() && entry.due <= now {
                due.push(*name);
                let factor = if looking { 1 } else { IDLE };
                entry.due = now + every.unwrap_or(MAX_WAIT) * factor;
            }
            if every.is_some() || entry.latest.borrow().is_none() {
                next = next.min(entry.due);
            }
        }
        (due, next)
    }

    fn interest_until(&self) -> BootTime {
        self.shared.interest.lock().unwrap_or_else(std::sync::PoisonError::into_inner).until
    }
}
