//! Interrupts between cores, from both ends.

use core::time::Duration;

use crate::Clock;

/// Makes the other side look at a queue.
///
/// The contract: everything that this core wrote before `ring` is visible to the other side when it wakes; a ring is
/// never lost, though several may be felt as one; `ring` does not wait for the other side. Nothing relies on
/// this for memory safety, so the trait is safe to implement: a doorbell that breaks its word makes waits time out.
pub trait Doorbell {
    /// Whether rings reach anybody. Where it is false, the rings never pay for the barrier that a decision to ring
    /// takes: the other side polls.
    const HEARD: bool = true;

    /// Rings for the queue with this notify id.
    fn ring(&self, queue: u32);
}

impl<D: Doorbell> Doorbell for &D {
    const HEARD: bool = D::HEARD;
    #[inline(always)]
    fn ring(&self, queue: u32) {
        (**self).ring(queue);
    }
}

/// The doorbell of a side whose peer polls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Doorbell for Silent {
    const HEARD: bool = false;
    #[inline(always)]
    fn ring(&self, _: u32) {}
}

/// Why a sleep ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wake {
    /// The other side rang, now or since the last sleep; or it may have.
    Rung,
    /// It did not.
    TimedOut,
}

/// Sleeps until the other side rings.
///
/// The contract: a ring that came after the last `sleep` returned makes the next one return at once (so that
/// check-then-sleep loses nothing); `sleep` returns when `at_most` has passed, give or take the clock's tick.
pub trait Sleep {
    /// Sleeps, but never longer than `at_most`.
    fn sleep(&self, at_most: Duration) -> Wake;
}

impl<S: Sleep> Sleep for &S {
    fn sleep(&self, at_most: Duration) -> Wake {
        (**self).sleep(at_most)
    }
}

/// Does not sleep: gives the core a moment and reports a possible ring. For cores that poll.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spin;

impl Sleep for Spin {
    #[inline(always)]
    fn sleep(&self, _: Duration) -> Wake {
        core::hint::spin_loop();
        Wake::Rung
    }
}

/// A doorbell and sleeper of a side that is alone: it never hears anything, and sleeps by the clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Never<C>(pub C);

impl<C: Clock> Sleep for Never<C> {
    fn sleep(&self, at_most: Duration) -> Wake {
        let end = crate::Deadline::new(&self.0, at_most);
        while end.left(&self.0).is_some() {
            core::hint::spin_loop();
        }
        Wake::TimedOut
    }
}

impl<C> Doorbell for Never<C> {
    const HEARD: bool = false;
    fn ring(&self, _: u32) {}
}
