//! Registers, interrupts and windows of memory: what cannot be had without unsafe code, behind functions that can be called
//! without.
#![allow(unsafe_code, reason = "the one module that reaches registers, special instructions and fixed addresses")]

use core::arch::asm;

use crate::tree::core0;

#[cfg(feature = "an521")]
mod chip;
#[cfg(feature = "an521")]
pub use chip::*;

/// A register of 32 bits of this board. They can only be made here, each for a register that there is: a device's first
/// address, as the device tree has it, and the register's place in the device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Register(usize);

impl Register {
    /// The register so many bytes into a device.
    const fn of(device: usize, offset: usize) -> Self {
        assert!(device.is_multiple_of(4) && offset.is_multiple_of(4) && offset < 0x1000);
        Self(device + offset)
    }

    /// Reads it.
    #[must_use]
    #[inline(always)]
    pub fn read(self) -> u32 {
        // SAFETY: `self` is a register of this board, made in this module; reading one changes no memory.
        unsafe { (self.0 as *const u32).read_volatile() }
    }

    /// Writes it.
    #[inline(always)]
    pub fn write(self, value: u32) {
        // SAFETY: as for `read`. No register that is made here starts a transfer by itself (there is no DMA among them) or
        // moves memory; those that decide which code core 1 runs are the business of `park`.
        unsafe { (self.0 as *mut u32).write_volatile(value) }
    }
}

/// SysTick: control, reload, current value.
pub(crate) const SYSTICK: [Register; 3] = [
    Register::of(core0::SYSTICK_BASE, 0x0),
    Register::of(core0::SYSTICK_BASE, 0x4),
    Register::of(core0::SYSTICK_BASE, 0x8),
];
/// Interrupt control and state.
pub(crate) const ICSR: Register = Register::of(core0::SCB_BASE, 0x4);
/// LEDs of the board that are core 0's: on an AN386 the two beside its buttons, on an AN521 the eight behind the board's controller.
#[cfg(feature = "an386")]
pub const BOARD_LEDS: Register = Register::of(core0::FPGAIO_BASE, 0x0);
/// LEDs of the board that are core 0's.
#[cfg(feature = "an521")]
pub const BOARD_LEDS: Register = Register::of(core0::SCC_BASE, 0x4);

/// The enabling register of this interrupt, and its bit there.
pub(crate) const fn enable_of(interrupt: u8) -> (Register, u32) {
    (Register::of(core0::NVIC0_BASE, 4 * (interrupt as usize / 32)), 1 << (interrupt % 32))
}

/// An interrupt's number, as vectors have it.
pub(crate) const fn interrupt(number: u32) -> u8 {
    assert!(number < crate::start::INTERRUPTS as u32, "the subsystem has no such interrupt");
    number as u8
}

/// The serial lines: data, state, control, interrupt status, divider.
pub(crate) const UARTS: [[Register; 5]; 3] =
    [uart(core0::UART0_BASE), uart(core0::UART1_BASE), uart(core0::UART2_BASE)];

const fn uart(at: usize) -> [Register; 5] {
    [Register::of(at, 0x0), Register::of(at, 0x4), Register::of(at, 0x8), Register::of(at, 0xc), Register::of(at, 0x10)]
}

/// Sleeps until an interrupt is pending, unless `awake` says otherwise once interrupts are masked: check-then-sleep would lose
/// the one that comes in between. A masked interrupt that is pending ends the sleep, and is taken afterwards.
pub(crate) fn sleep_unless(awake: impl FnOnce() -> bool) {
    // SAFETY: masks interrupts, on a core that has them unmasked (by the executor's loop, and by what waits within a task).
    unsafe { asm!("cpsid i", options(nostack, preserves_flags)) }
    if !awake() {
        // SAFETY: waits; what was written before is there before it does.
        unsafe { asm!("dsb", "wfi", options(nostack, preserves_flags)) }
    }
    // SAFETY: undoes the first instruction; the barrier lets pending interrupts be taken here.
    unsafe { asm!("cpsie i", "isb", options(nostack, preserves_flags)) }
}

/// Ends in a fault, by an instruction that is none.
pub fn fault() -> ! {
    // SAFETY: the instruction never completes.
    unsafe { asm!("udf #0", options(noreturn)) }
}

struct Masked;
critical_section::set_impl!(Masked);

// SAFETY: each core has an image and statics of its own, so masking its interrupts is all that keeps others out.
unsafe impl critical_section::Impl for Masked {
    unsafe fn acquire() -> bool {
        let mask: u32;
        // SAFETY: reads the mask, then masks; memory accesses stay behind it, since there is no `nomem`.
        unsafe { asm!("mrs {}, PRIMASK", "cpsid i", out(reg) mask, options(nostack, preserves_flags)) }
        mask & 1 == 0
    }
    unsafe fn release(unmasked: bool) {
        if unmasked {
            // SAFETY: they were unmasked when the section was entered.
            unsafe { asm!("cpsie i", options(nostack, preserves_flags)) }
        }
    }
}
