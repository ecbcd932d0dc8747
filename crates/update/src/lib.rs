//! Two systems on one device, and which of them runs.
//!
//! A device has the system that its boot medium came with, *built in*, and two *slots* for systems that came later, each
//! a whole signed image ([`image`]). The [`record`] says which one is good, and which is on trial; it is decided anew
//! at every start, before anything else, by the first program of the device.
//!
//! ```text
//!             install (verified, written, verified again)          joins the pool
//!   good: A ───────────────────────────────────────▶ trial: B ───────────────────▶ good: B
//!      ▲                                               │ does not join in time, dies, is cut off
//!      └───────────────────────────────────────────────┘ as often as it has tries
//! ```
//!
//! # What can go wrong, and what happens then
//!
//! - *Power cut at any moment*: a slot is written while another system is good; it counts only once the record says so.
//!   The record is in two files of which one is written at a time, each with a checksum: of the two the newer one that
//!   is whole holds ([`slots`]).
//! - *A new system that hangs, crashes or cannot reach its pool*: it has so many starts, counted before it starts, and so
//!   many seconds. Then the good one runs again, and says why.
//! - *An altered image, or one signed by another*: refused when it comes, and checked again at every start: a disk
//!   is written to by others, and ages.
//! - *An older image, validly signed, with holes that were mended since*: refused below the highest version that was
//!   good. Going back to an older version takes an image of a higher one, or a new boot medium.
//! - *Another product's image with the same key*: refused.
//!
//! - *Another kernel than the one that runs*: started by that one, as [`kernel`] says, where that can be done.
//!
//! The built-in system is the root of this: its key decides. A thief who can write the boot medium can replace it, as
//! on every device without a boot loader that verifies it.
#![forbid(unsafe_code)]

pub mod carried;
pub mod image;
pub mod kernel;
pub mod newc;
pub mod record;
pub mod slots;
pub mod system;
#[cfg(feature = "test-utils")]
pub mod testing;
mod version;

pub use carried::Carried;
pub use image::{Head, ImageError};
pub use kernel::{Machine, NoWay, Way};
pub use record::{Choice, Failure, Record, Slot};
pub use slots::{InstallError, Slots};
pub use system::System;
pub use version::Version;
