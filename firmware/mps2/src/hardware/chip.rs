//! What there is on a chip with two cores: who this is, how the other one is started, doorbells, memory that both see.

use core::arch::asm;

use tutti_metal::{DeviceAddr, OutOfBounds, Region};

use super::Register;
use crate::tree::{core0, core1};

/// Which core this is.
const CPUID: Register = Register::of(core0::CPU_IDENTITY_BASE, 0x0);
/// Where core 1 finds its first vectors.
pub(crate) const INITSVTOR1: Register = Register::of(core0::SYSTEM_CONTROL_BASE, 0x114);
/// Which cores wait before their first instruction.
pub(crate) const CPUWAIT: Register = Register::of(core0::SYSTEM_CONTROL_BASE, 0x118);
/// The board's two LEDs, which are core 1's.
pub const LEDS: Register = Register::of(core1::FPGAIO_BASE, 0x0);

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

/// Masks the interrupts of this core for ever: for the one who tests what happens then.
pub fn go_deaf() {
    // SAFETY: interrupts that are not taken break no promise of memory safety.
    unsafe { asm!("cpsid i", options(nostack, preserves_flags)) }
}

/// Reads where there is nothing, in no tree either: for the one who tests what happens then.
#[must_use]
pub fn read_nowhere() -> u32 {
    Register(0x9000_0000).read()
}
