//! The time, in microseconds since this core started, by its SysTick.

use core::cell::{Cell, RefCell};
use core::task::Waker;

use critical_section::Mutex;
use embassy_time_driver::Driver;
use embassy_time_queue_utils::Queue;

use crate::hardware::{ICSR, SYSTICK};
use crate::tree::core0;

/// Counts of the timer in a microsecond.
const PER_MICRO: u32 = core0::SYSTICK_CLOCK_FREQUENCY / 1_000_000;
const _: () = assert!(PER_MICRO > 0 && PER_MICRO <= (1 << 24) / TICK, "SysTick has 24 bits");
/// How often it wakes who waits, in microseconds: the finest wait there is.
pub const TICK: u32 = 2_000;
/// SysTick's interrupt is pending.
const PENDING: u32 = 1 << 26;

struct Clock {
    ticks: Mutex<Cell<u64>>,
    queue: Mutex<RefCell<Queue>>,
}

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock {
    ticks: Mutex::new(Cell::new(0)),
    queue: Mutex::new(RefCell::new(Queue::new())),
});

impl Driver for Clock {
    fn now(&self) -> u64 {
        critical_section::with(|section| {
            let mut ticks = self.ticks.borrow(section).get();
            let mut left = SYSTICK[2].read();
            if ICSR.read() & PENDING != 0 {
                // It has come round, and the handler has not run yet: what is left may be from before.
                (ticks, left) = (ticks + 1, SYSTICK[2].read());
            }
            ticks * u64::from(TICK) + u64::from((TICK * PER_MICRO - 1).saturating_sub(left) / PER_MICRO)
        })
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|section| {
            self.queue.borrow_ref_mut(section).schedule_wake(at, waker);
        });
    }
}

/// Starts it.
pub(crate) fn start() {
    let [control, reload, current] = SYSTICK;
    reload.write(TICK * PER_MICRO - 1);
    current.write(0);
    // Counts this core's clock, and interrupts.
    control.write(0b111);
}

/// SysTick's interrupt.
pub(crate) extern "C" fn on_tick() {
    critical_section::with(|section| {
        let ticks = CLOCK.ticks.borrow(section);
        ticks.set(ticks.get() + 1);
        let now = ticks.get() * u64::from(TICK);
        CLOCK.queue.borrow_ref_mut(section).next_expiration(now);
    });
}

/// The same time for what does not know embassy.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now;

impl tutti_metal::Clock for Now {
    fn now(&self) -> tutti_metal::Instant {
        tutti_metal::Instant(CLOCK.now() * 1000)
    }
}
