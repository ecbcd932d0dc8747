//! The first program of a Tutti device that has no distribution beneath it.
//!
//! The kernel starts `tutti-init` as its first process; from there on it is alone. In this order it
//!
//! 1. mounts what the kernel offers ([`mounts`]), reads the kernel's command line ([`cmdline`]) and the image's
//!    settings ([`settings`]);
//! 2. loads modules by what the hardware says it is ([`modules`], [`uevent`]), now and for what is plugged in later;
//! 3. mounts the state partition;
//! 4. sets up network and clock;
//! 5. starts the node and keeps it alive ([`supervise`]), its log in a bounded ring ([`ring`]), the hardware
//!    watchdog fed only while the node lives;
//! 6. on a signal, ends all of it in the opposite order ([`power`]).
//!
//! # Rules
//!
//! The first process may not end, and nobody is there to help it. So every wait has an end; a step that fails is told on
//! the console and in the log, in words and with what to do, and the next one is taken; the device goes without
//! what failed. Without a state partition the state is in memory; without a network the node still runs. Only where
//! there is nothing to be run at all, the device says so and starts anew after a while, since what failed may be there the next
//! time.
//!
//! # What is trusted
//!
//! The image, which is what this program is part of, and the kernel. Not trusted are the network, whatever is plugged in
//! (which chooses what modules are loaded, but only among those of the image), and the state partition after a power cut.
//!
//! What decides is without I/O and tested for itself; the rest is run for real, under user-mode Linux
//! (the layer `init`).
#![forbid(unsafe_code)]

mod boot;
mod button;
mod clock;
pub mod cmdline;
pub mod cpio;
mod devices;
mod gpio;
mod kernel_log;
mod log;
pub mod modules;
pub mod mounts;
pub mod net;
pub mod notify;
mod once;
mod other_kernel;
pub mod packed;
mod pid1;
pub mod power;
mod process;
pub mod ring;
pub mod settings;
mod signals;
pub mod supervise;
pub mod uevent;
mod watchdog;

pub use pid1::run;
