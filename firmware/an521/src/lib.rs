//! The MPS2 board with FPGA image AN521, for both of its cores: two Cortex-M33 in one SSE-200 subsystem.
//!
//! | module | what it is |
//! |---|---|
//! | [`tree`] | what the board's device tree says: every address, interrupt and clock rate of the other modules |
//! | [`hardware`] | registers, interrupts, memory windows: the unsafe code of what runs on this board |
//! | [`start`] | an image's vectors, its reset, and embassy's executor, which sleeps by `wfi` |
//! | [`clock`] | the time, by each core's SysTick |
//! | [`mhu`] | the doorbells between the cores |
//! | [`uart`] | the serial lines |
//! | [`memory`] | who has which memory |
//! | [`park`] | the resident stub that the second core rests in, and how it is told to go |
//! | [`remote`] | the second core as a [`Platform`](tutti_remoteproc::Platform) of remoteproc |
//!
//! # Sources
//! Arm's application note AN521 (memory map, interrupts, UARTs), the technical reference of CoreLink SSE-200 (system control,
//! MHU, CPU identity), the Armv8-M architecture reference (exceptions), CMSDK's (APB UART).
#![no_std]
#![deny(unsafe_code)]

pub mod clock;
pub mod hardware;
pub mod memory;
pub mod mhu;
pub mod park;
pub mod remote;
pub mod start;
pub mod tree;
pub mod uart;

pub use embassy_executor::Spawner;
