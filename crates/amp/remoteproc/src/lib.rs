//! Running the other cores of a chip: what OpenAMP and Linux call *remoteproc*.
//!
//! | | module | what it holds |
//! |---|---|---|
//! | what a firmware asks for | [`table`] | resource tables: read, written, linted, placed in an image |
//! | putting it where it belongs | [`elf`] | loading executables, from memory or as a stream |
//! | what addresses mean | [`Spaces`] | device address → physical address → here, over several memories |
//! | being started and stopped, crashing, coming back | [`life`] | a state machine, driven with `now` and events |
//! | doing that to a real core | [`Platform`], [`RemoteCore`] | a trait of four functions, and what drives it |
//! | what it says | [`trace`] | its text, read while it writes |
//! | what is left of it | [`core_dump`] | an ELF core file for `gdb` |
//!
//! Nothing here waits, sleeps or owns a file; nothing allocates. The back ends for Linux are in `tutti-amp-host`.
//!
//! # The other side is hostile
//!
//! A firmware is a file from somewhere, and the core that runs it writes into memory that the host reads. So every length,
//! offset and address is held against what is there before it is used; a refusal names the field. Nothing panics on
//! any bytes (`fuzz/` has a target for each parser).
#![no_std]
#![deny(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod bytes;
pub mod core_dump;
pub mod elf;
pub mod life;
mod placed;
mod platform;
mod space;
pub mod table;
#[cfg(any(test, feature = "test-utils"))]
pub mod testing;
pub mod trace;

pub use placed::{Placed, placed_words};
pub use platform::{Platform, RemoteCore};
pub use space::{NotMapped, Place, Space, Spaces};
