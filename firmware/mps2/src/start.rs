//! An image's vectors, its reset, and the executor.
#![allow(unsafe_code, reason = "nothing has been set up yet when this runs, and it hands statics to the executor")]

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, Ordering};

use embassy_executor::{Spawner, raw};

use crate::{clock, hardware};

/// An interrupt's handler.
pub type Handler = extern "C" fn();

/// How many interrupts there is room for in vectors.
pub const INTERRUPTS: usize = if cfg!(feature = "an386") { 32 } else { 128 };

/// What starts an image's tasks.
pub trait Image {
    /// Spawns them. Interrupts are on, and the time runs.
    fn start(spawner: Spawner);
}

/// A core's vectors: the stack, then exceptions from 1 (reset) on.
#[repr(C)]
pub struct Vectors {
    stack: *const u8,
    reset: unsafe extern "C" fn() -> !,
    system: [Handler; 14],
    interrupts: [Handler; INTERRUPTS],
}

// SAFETY: it is only ever read.
unsafe impl Sync for Vectors {}

unsafe extern "C" {
    static stack_top: u8;
    #[cfg(feature = "an521")]
    static stack_bottom: u8;
}

impl Vectors {
    /// The vectors of an image with these interrupts. The others end in a fault.
    ///
    /// # Panics
    /// If there is no such interrupt; in a static, that is an error of the compiler.
    #[must_use]
    pub const fn new<I: Image>(interrupts: &[(u8, Handler)]) -> Self {
        let mut system = [unexpected as Handler; 14];
        system[13] = clock::on_tick;
        let mut all = [unexpected as Handler; INTERRUPTS];
        let mut i = 0;
        while i < interrupts.len() {
            let (number, handler) = interrupts[i];
            all[number as usize] = handler;
            i += 1;
        }
        Self { stack: &raw const stack_top, reset: reset::<I>, system, interrupts: all }
    }
}

/// A fault, or an interrupt that was not asked for. On core 1 of an AN521 the resident stub takes faults, and looks at them from core 0; on core
/// 0 a fault within a fault handler ends the emulator, and stops a real board.
extern "C" fn unexpected() {
    hardware::fault()
}

/// Makes an image: what starts its tasks, and the handlers of its interrupts.
#[macro_export]
macro_rules! image {
    ($start:path, { $($number:expr => $handler:path),* $(,)? }) => {
        /// This image, for its reset.
        enum This {}
        impl $crate::start::Image for This {
            fn start(spawner: $crate::Spawner) {
                $start(spawner)
            }
        }
        #[unsafe(link_section = ".vectors")]
        #[used]
        static VECTORS: $crate::start::Vectors = $crate::start::Vectors::new::<This>(&[$(($number, $handler)),*]);
    };
}

/// Sets the stack's limit, copies initial values (unless they were loaded where they belong), zeroes the rest, and goes.
unsafe extern "C" fn reset<I: Image>() -> ! {
    unsafe extern "C" {
        static mut data_start: u32;
        static mut data_end: u32;
        static data_load: u32;
        static mut bss_start: u32;
        static mut bss_end: u32;
    }
    // SAFETY: the stack is all above its limit. (A Cortex-M4 knows none: there, what overflows runs out of memory, as the stack
    // stands at the bottom of it.)
    #[cfg(feature = "an521")]
    unsafe {
        core::arch::asm!("msr msplim, {}", in(reg) &raw const stack_bottom, options(nostack, preserves_flags));
    }
    // SAFETY: the symbols are the linker's; nothing has run yet that uses what lies between them.
    unsafe {
        let (mut to, mut from) = (&raw mut data_start, &raw const data_load);
        while to < &raw mut data_end && to.cast_const() != from {
            to.write_volatile(from.read_volatile());
            (to, from) = (to.add(1), from.add(1));
        }
        let mut to = &raw mut bss_start;
        while to < &raw mut bss_end {
            to.write_volatile(0);
            to = to.add(1);
        }
    }
    run::<I>()
}

struct Place(UnsafeCell<MaybeUninit<raw::Executor>>);
// SAFETY: only `run` touches it, once, on the one thread that there is.
unsafe impl Sync for Place {}
static EXECUTOR: Place = Place(UnsafeCell::new(MaybeUninit::uninit()));

/// Something is to be polled.
static AWAKE: AtomicBool = AtomicBool::new(false);

#[unsafe(export_name = "__pender")]
fn pender(_: *mut ()) {
    AWAKE.store(true, Ordering::Release);
}

/// The executor: polls what is awake, and sleeps. (Embassy's own for this processor sleeps by `wfe`, which emulators take for
/// no instruction at all.)
fn run<I: Image>() -> ! {
    // SAFETY: this runs once, and it is the only reference; it never returns.
    let executor: &'static raw::Executor =
        unsafe { (*EXECUTOR.0.get()).write(raw::Executor::new(core::ptr::null_mut())) };
    clock::start();
    I::start(executor.spawner());
    loop {
        // SAFETY: not called by any task or interrupt, so never within itself.
        unsafe { executor.poll() };
        hardware::sleep_unless(|| AWAKE.swap(false, Ordering::Acquire));
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // The message is not formatted: where it happened is in the core dump, and formatting takes kilobytes.
    hardware::fault()
}
