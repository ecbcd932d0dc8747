//! Who has which memory, as the tree has it.
//!
//! | in the tree | who |
//! |---|---|
//! | `ssram1` | core 0's code |
//! | `isram` | core 0's data, the parking stub's among it |
//! | `core1_code` | core 1's code, written by core 0 |
//! | `core1_data` | core 1's data, its resource table among it |
//! | `vdev0vring0`, `vdev0vring1`, `vdev0buffer`, `core1_words`, `core1_trace` | shared: queues, buffers, words, trace |
//!
//! The first four go to the linker (`memory.x`), the others to here.

use tutti_metal::{DeviceAddr, OutOfBounds, Region};

use crate::hardware::window;
use crate::tree::core0;

/// Core 1's code, its vectors first, and its data.
pub const CORE1: (u32, u32) =
    around(&[(core0::CORE1_CODE_START, core0::CORE1_CODE_SIZE), (core0::CORE1_DATA_START, core0::CORE1_DATA_SIZE)]);
/// Core 1's data.
pub const CORE1_RAM: (u32, u32) = around(&[(core0::CORE1_DATA_START, core0::CORE1_DATA_SIZE)]);
/// What both share.
pub const SHARED: (u32, u32) = around(&[
    (core0::VDEV0VRING0_START, core0::VDEV0VRING0_SIZE),
    (core0::VDEV0VRING1_START, core0::VDEV0VRING1_SIZE),
    (core0::VDEV0BUFFER_START, core0::VDEV0BUFFER_SIZE),
    (core0::CORE1_WORDS_START, core0::CORE1_WORDS_SIZE),
    (core0::CORE1_TRACE_START, core0::CORE1_TRACE_SIZE),
]);

/// From the first byte of these regions to the last, which leaves out nothing between them: one window is opened for all.
const fn around(regions: &[(usize, usize)]) -> (u32, u32) {
    let (mut from, mut to, mut sum) = (usize::MAX, 0, 0);
    let mut i = 0;
    while i < regions.len() {
        let (start, size) = regions[i];
        (from, to, sum) =
            (if start < from { start } else { from }, if start + size > to { start + size } else { to }, sum + size);
        i += 1;
    }
    assert!(to - from == sum, "these regions do not lie side by side in the device tree");
    (from as u32, sum as u32)
}

/// Where in [`SHARED`] an address of the tree is.
const fn offset(address: usize) -> usize {
    address - SHARED.0 as usize
}

/// Where in [`SHARED`] core 0 says in which generation core 1 runs.
pub const GENERATION: usize = offset(core0::CORE1_WORDS_START);
/// Where core 1 counts up as long as its executor runs.
pub const HEARTBEAT: usize = GENERATION + 4;
/// Where core 0 asks core 1 to stop, by [`ASKED`], and core 1 says that it has, by [`STOPPED`].
pub const STOP: usize = GENERATION + 8;
/// See [`STOP`].
pub const ASKED: u32 = 1;
/// See [`STOP`].
pub const STOPPED: u32 = 2;
/// The queues, each of [`ENTRIES`] and this alignment.
pub const QUEUES: [u32; 2] = [core0::RPMSG_CORE1_VRING0 as u32, core0::RPMSG_CORE1_VRING1 as u32];
/// What the first of them may take.
pub const QUEUE: usize = core0::VDEV0VRING0_SIZE;
/// Where in [`SHARED`] the buffers are, those of both queues.
pub const BUFFERS: usize = offset(core0::RPMSG_CORE1_SHARED);
/// What a buffer holds.
pub const BUFFER: u32 = 512;
/// How many entries a queue has.
pub const ENTRIES: usize = core0::RPMSG_CORE1_VRING_NUM as usize;
/// The alignment of a queue.
pub const ALIGN: u32 = core0::RPMSG_CORE1_VRING_ALIGN;
/// Core 1's trace.
pub const TRACE: (u32, u32) = around(&[(core0::CORE1_TRACE_START, core0::CORE1_TRACE_SIZE)]);

const _: () =
    assert!(2 * ENTRIES * BUFFER as usize <= core0::RPMSG_CORE1_SHARED_SIZE, "the buffers of both queues do not fit");
const _: () = assert!(STOP + 4 - GENERATION <= core0::CORE1_WORDS_SIZE, "the words do not fit");

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
