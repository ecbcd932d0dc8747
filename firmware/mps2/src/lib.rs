//! Arm's MPS2 board, with FPGA image AN521, for both of its cores (two Cortex-M33 in one SSE-200 subsystem), or with AN386 (a
//! Cortex-M4): a feature says which.
//!
//! | module | what it is |
//! |---|---|
//! | [`tree`] | what the board's device tree says: every address, interrupt and clock rate of the other modules |
//! | [`hardware`] | registers, interrupts, memory windows: the unsafe code of what runs on this board |
//! | [`start`] | an image's vectors, its reset, and embassy's executor, which sleeps by `wfi` |
//! | [`clock`] | the time, by each core's SysTick |
//! | [`uart`] | the serial lines |
//! | `mhu` | the doorbells between the cores of an AN521, as all that follows |
//! | `memory` | who has which memory |
//! | `park` | the resident stub that the second core rests in, and how it is told to go |
//! | `remote` | the second core as a `Platform` of remoteproc |
//!
//! # Sources
//! Arm's application notes AN521 and AN386 (memory map, interrupts, UARTs), the technical reference of CoreLink SSE-200 (system control,
//! MHU, CPU identity), the Armv7-M and Armv8-M architecture references (exceptions), CMSDK's (APB UART).
#![no_std]
#![deny(unsafe_code)]

#[cfg(not(any(feature = "an521", feature = "an386")))]
compile_error!("which board? build with the feature an521 or an386, as `cargo xtask firmware` does");
#[cfg(all(feature = "an521", feature = "an386"))]
compile_error!("an image is for one board: build with one of the features an521 and an386, not with both");

pub mod clock;
pub mod hardware;
#[cfg(feature = "an521")]
pub mod memory;
#[cfg(feature = "an521")]
pub mod mhu;
#[cfg(feature = "an521")]
pub mod park;
#[cfg(feature = "an521")]
pub mod remote;
pub mod start;
pub mod tree;
pub mod uart;

pub use embassy_executor::Spawner;

/// The board's name.
pub const BOARD: &str = if cfg!(feature = "an386") { "mps2-an386" } else { "mps2-an521" };
/// What its first core is called in the pool, where nobody calls it otherwise.
pub const NAME: &str = if cfg!(feature = "an386") { "an386" } else { "an521-core0" };
/// Its processor, as a satellite says it.
pub const ARCHITECTURE: &str = if cfg!(feature = "an386") { "thumbv7em" } else { "thumbv8m.main" };
