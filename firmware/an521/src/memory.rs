//! Who has which memory.
//!
//! | from | length | who |
//! |---|---|---|
//! | 0x1000_0000 | 4 MiB | core 0's code |
//! | 0x3000_0000 | 128 KiB | core 0's data, the parking stub's among it |
//! | 0x3800_0000 | 64 KiB | core 1's code, written by core 0 |
//! | 0x3801_0000 | 16 KiB | core 1's data, its resource table among it |
//! | 0x3810_0000 | 32 KiB | shared: words, queues, buffers, trace |

use tutti_metal::{DeviceAddr, OutOfBounds, Region};

use crate::hardware::window;

/// Core 1's code, its vectors first, and its data.
pub const CORE1: (u32, u32) = (0x3800_0000, 0x1_4000);
/// Core 1's data.
pub const CORE1_RAM: (u32, u32) = (0x3801_0000, 0x4000);
/// What both share.
pub const SHARED: (u32, u32) = (0x3810_0000, 0x8000);

/// Where in [`SHARED`] core 0 says in which generation core 1 runs.
pub const GENERATION: usize = 0;
/// Where core 1 counts up as long as its executor runs.
pub const HEARTBEAT: usize = 4;
/// Where core 0 asks core 1 to stop, by [`ASKED`], and core 1 says that it has, by [`STOPPED`].
pub const STOP: usize = 8;
/// See [`STOP`].
pub const ASKED: u32 = 1;
/// See [`STOP`].
pub const STOPPED: u32 = 2;
/// The queues, each of [`ENTRIES`] and this alignment.
pub const QUEUES: [u32; 2] = [SHARED.0 + 0x1000, SHARED.0 + 0x1400];
/// Buffers of 512 bytes, those of both queues.
pub const BUFFERS: usize = 0x2000;
/// How many entries a queue has.
pub const ENTRIES: usize = 8;
/// The alignment of a queue.
pub const ALIGN: u32 = 16;
/// Core 1's trace.
pub const TRACE: (u32, u32) = (SHARED.0 + 0x6000, 0x800);

/// What both share, to be reached from either core.
///
/// # Errors
/// None on this board.
pub fn shared() -> Result<Region<'static>, OutOfBounds> {
    window(SHARED.0 as usize, SHARED.1 as usize)
}

/// Core 1's own memory as core 0 sees it. Core 1 itself has references into it, and must not call this.
///
/// # Errors
/// On core 1.
pub fn core1() -> Result<Region<'static>, OutOfBounds> {
    match crate::hardware::Core::this() {
        crate::hardware::Core::First => window(CORE1.0 as usize, CORE1.1 as usize),
        crate::hardware::Core::Second => Err(OutOfBounds { at: u64::from(CORE1.0), len: 0, region: 0 }),
    }
}

/// An address of core 1's, which both cores call the same.
#[must_use]
pub fn device(address: u32) -> DeviceAddr {
    DeviceAddr(u64::from(address))
}
