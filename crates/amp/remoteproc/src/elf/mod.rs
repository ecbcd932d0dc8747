//! Executables: their structures, and putting them where they belong.
//!
//! The structures are those of the System V ABI (chapters 4 and 5), little-endian, of 32 and 64 bits. The rules are
//! Linux's (`drivers/remoteproc/remoteproc_elf_loader.c`): segments of type `PT_LOAD` go to their *physical* address, which is
//! the device address; bytes beyond the file's are zero; the resource table is the section `.resource_table`.
//!
//! [`Loader`] asks for the parts of the file that it wants, one after the other, so that the file may be in memory
//! ([`load`]), on a disk, or behind a slow link, and no larger piece of it is ever held than the caller's buffer.
//!
//! # Attacks, and how each is met
//!
//! | a file | is met by |
//! |---|---|
//! | cut off, or whose headers point beyond its end | every range is held against the file's length before it is asked for |
//! | with ranges that wrap around | sums are checked; nothing is computed modulo anything |
//! | that claims gigabytes of zeros | every segment is held against the memories before the first byte is written |
//! | with thousands of segments or sections | segments beyond the loader's table, and sections beyond 4,096, are refused |
//! | whose segments overlap in memory | refused: the result would depend on their order |
//! | whose name table is in itself, or its own header | it is only ever compared with a constant |
//!
//! A refusal ([`LoadError`]) names the field, as the ABI does, and its value; nothing has been written then.

mod load;
mod structure;

pub use load::{Image, LoadError, Loader, Want, load, locate_table};
pub use structure::{Class, Header, Machine, Section, Segment};
pub(crate) use structure::{PT_LOAD, PT_NOTE};
