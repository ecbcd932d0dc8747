//! Registers, interrupts and windows of memory: what cannot be had without unsafe code, behind functions that can be called
//! without.
#![allow(unsafe_code, reason = "the one module that reaches registers, special instructions and fixed addresses")]

use core::arch::asm;

use tutti_metal::{DeviceAddr, OutOfBounds, Region};

use crate::tree::{core0, core1};

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
/// Which core this is.
const CPUID: Register = Register::of(core0::CPU_IDENTITY_BASE, 0x0);
/// Where core 1 finds its first vectors.
pub(crate) const INITSVTOR1: Register = Register::of(core0::SYSTEM_CONTROL_BASE, 0x114);
/// Which cores wait before their first instruction.
pub(crate) const CPUWAIT: Register = Register::of(core0::SYSTEM_CONTROL_BASE, 0x118);
/// The board's two LEDs, which are core 1's.
pub const LEDS: Register = Register::of(core1::FPGAIO_BASE, 0x0);

/// The enabling register of this interrupt, and its bit there.
pub(crate) const fn enable_of(interrupt: u8) -> (Register, u32) {
    (Register::of(core0::NVIC0_BASE, 4 * (interrupt as usize / 32)), 1 << (interrupt % 32))
}

/// An interrupt's number, as vectors have it.
pub(crate) const fn interrupt(number: u32) -> u8 {
    assert!(number < crate::start::INTERRUPTS as u32, "the subsystem has no such interrupt");
    number as u8
}

/// One of the two message handling units.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mhu(usize);

impl Mhu {
    pub(crate) const MESSAGES: Self = Self(core0::RPMSG_CORE1_DOORBELL);
    pub(crate) const PARKING: Self = Self(core0::MHU1_BASE);

    /// What rings the given core.
    pub(crate) const fn set(self, core: Core) -> Register {
        Register::of(self.0, 0x4 + core.shift())
    }
    /// What takes the given core's rings back.
    pub(crate) const fn clear(self, core: Core) -> Register {
        Register::of(self.0, 0x8 + core.shift())
    }
}

/// The serial lines: data, state, control, interrupt status, divider.
pub(crate) const UARTS: [[Register; 5]; 3] =
    [uart(core0::UART0_BASE), uart(core0::UART1_BASE), uart(core0::UART2_BASE)];

const fn uart(at: usize) -> [Register; 5] {
    [Register::of(at, 0x0), Register::of(at, 0x4), Register::of(at, 0x8), Register::of(at, 0xc), Register::of(at, 0x10)]
}

/// One of the two cores.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Core {
    /// The one that starts by itself.
    First,
    /// The one that the first starts.
    Second,
}

impl Core {
    /// The core that runs this.
    #[must_use]
    pub fn this() -> Self {
        if CPUID.read() == 0 { Self::First } else { Self::Second }
    }
    /// The one that does not.
    #[must_use]
    pub fn other() -> Self {
        if CPUID.read() == 0 { Self::Second } else { Self::First }
    }
    const fn shift(self) -> usize {
        match self {
            Self::First => 0,
            Self::Second => 0x10,
        }
    }
}

/// Memory that both cores see at `start`, which they call so too.
pub(crate) fn window(start: usize, len: usize) -> Result<Region<'static>, OutOfBounds> {
    // SAFETY: called by `memory` only, for external memory that no image of this board has in its linker script, other than
    // that of core 1, which core 0 has no reference into. There are no caches.
    unsafe { Region::from_raw(start as *mut u8, len, DeviceAddr(start as u64)) }
}

/// Everything that this core wrote is there before what follows.
#[inline(always)]
pub(crate) fn barrier() {
    // SAFETY: a barrier changes nothing. It may not be moved over accesses to memory, hence no `nomem`.
    unsafe { asm!("dsb", options(nostack, preserves_flags)) }
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

/// Masks the interrupts of this core for ever: for the one who tests what happens then.
pub fn go_deaf() {
    // SAFETY: interrupts that are not taken break no promise of memory safety.
    unsafe { asm!("cpsid i", options(nostack, preserves_flags)) }
}

/// Ends in a fault, by an instruction that is none.
pub fn fault() -> ! {
    // SAFETY: the instruction never completes.
    unsafe { asm!("udf #0", options(noreturn)) }
}

/// Reads where there is nothing, in no tree either: for the one who tests what happens then.
#[must_use]
pub fn read_nowhere() -> u32 {
    Register(0x9000_0000).read()
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
