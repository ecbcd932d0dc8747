//! The doorbell of the STM32MP1 and STM32WB: the inter-processor communication controller, second processor's side.
//!
//! Registers as in the reference manual RM0436, section "IPCC": for processor 2 a control register at +0x10, mask at
//! +0x14, set/clear at +0x18, and processor 1's status, by which this side is called, at +0x0c. A channel that one
//! side sets stays occupied until the other side clears it; ringing an occupied channel again is felt as one ring, as
//! the contract of a [`Doorbell`] allows.

use tutti_metal::Doorbell;

/// The controller's registers for the second processor.
#[derive(Clone, Copy)]
pub struct Ipcc {
    base: usize,
}

const CONTROL: usize = 0x10;
const MASK: usize = 0x14;
const SET_CLEAR: usize = 0x18;
const STATUS_OF_FIRST: usize = 0x0c;

impl Ipcc {
    /// The controller at `base`: 0x4c00_1000 on an STM32MP15.
    ///
    /// # Safety
    /// The registers are there, clocked, and nobody else uses the second processor's.
    pub unsafe fn new(base: usize) -> Self {
        let ipcc = Self { base };
        // An interrupt when the other side rings; channels 1 and 2 are open.
        ipcc.write(CONTROL, 1);
        ipcc.write(MASK, !0b11);
        ipcc
    }

    /// Takes the other side's rings: which channels it rang, from bit 0 on.
    pub fn take(&self) -> u32 {
        let rung = self.read(STATUS_OF_FIRST) & 0b11;
        if rung != 0 {
            self.write(SET_CLEAR, rung);
        }
        rung
    }

    fn read(&self, at: usize) -> u32 {
        // SAFETY: `new` was promised the registers.
        unsafe { ((self.base + at) as *const u32).read_volatile() }
    }

    fn write(&self, at: usize, value: u32) {
        // SAFETY: `new` was promised the registers.
        unsafe { ((self.base + at) as *mut u32).write_volatile(value) };
    }
}

impl Doorbell for Ipcc {
    fn ring(&self, queue: u32) {
        // What was written to shared memory is there before the other side is called: the window is not cached on this
        // core, and a fence completes the writes.
        core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
        self.write(SET_CLEAR, 1 << (16 + (queue & 1)));
    }
}
