//! draft
#![no_std]
#![deny(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(test, feature = "std"))]
extern crate std;

mod bytes;
pub mod elf;
mod placed;
mod space;
pub mod table;

pub use placed::{Placed, placed_words};
pub use space::{NotMapped, Place, Space, Spaces};
