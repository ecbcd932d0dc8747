//! The console and the files of a remote core, served by its host: OpenAMP's *proxy operations*.
//!
//! * [`Frame`] and [`Repr`] are the bytes of a call, as the C library sends them ("rpmsg retarget"), and of a versioned
//!   extension for what those lack: error numbers and seeking.
//! * [`Server`] serves calls under a [`Policy`]. It is told what arrived and says what to answer; what it may reach
//!   is a [`Files`]: `Folder` on Linux (feature `std`), anything else in a test.
//! * [`call`] makes the calls, for a firmware.
//!
//! # On the wire
//!
//! Everything is little-endian (OpenAMP `lib/include/openamp/rpmsg_retarget.h`): `id: u32, field1: i32, field2: i32,
//! data_len: u32`, then `data_len` bytes.
//!
//! | id | call | field1 | field2 | data | the answer's field1 |
//! |---|---|---|---|---|---|
//! | 1 | open | flags, as Linux numbers them | mode | path and a zero | a handle, or -1 |
//! | 2 | close | handle | | | 0, or -1 |
//! | 3 | write | handle | length | the bytes (for handle 1 and a zero) | how many were written, or -1 |
//! | 4 | read | handle | length | | how many were read, or -1; they are the data |
//! | 5 | acknowledge | | | | none |
//! | 6 | the remote ends | | | | none |
//! | 0x100 | version | the newest one spoken | | | the one to be used: 1 |
//! | 0x101 | seek | handle | 0 start, 1 here, 2 end | offset, 8 bytes | 0, or -1; the new position is the data, 8 bytes |
//!
//! An answer repeats the id. Where field1 is -1, field2 is the number of the error as Linux has it, which the C library
//! leaves 0 and does not look at.
//!
//! # Attacks, and how each is met
//!
//! | a remote | is met by |
//! |---|---|
//! | opens `/etc/shadow`, `../x`, a link out of the folder, `/proc/self/…` | the kernel resolves beneath the folder and follows no links (`openat2`); an old kernel without that call serves no files |
//! | opens a pipe or a device that somebody put there, to hang the host | nothing is waited for when opening, and only plain files are kept |
//! | opens files without end | a table of handles with a fixed size; error 24 |
//! | writes until the disk is full, or one byte at 2^60 | a quota for all that it writes, and the longest file; errors 28, 27 |
//! | sends lengths that are not those of the frame | refused by name ([`WireError`]) |
#![cfg_attr(not(any(test, feature = "std")), no_std)]
#![forbid(unsafe_code)]

pub mod call;
#[cfg(feature = "std")]
mod folder;
mod server;
mod wire;

#[cfg(feature = "std")]
pub use folder::Folder;
pub use server::{Errno, Files, Policy, Server, Whence};
pub use wire::{Frame, HEADER, Op, Repr, VERSION, WireError};
