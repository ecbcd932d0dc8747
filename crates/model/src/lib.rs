//! The vocabulary of Tutti: what devices call themselves, what they offer, and what they say to each other.
//!
//! Every node of the pool shares these types, from a server to a microcontroller, so this crate is `no_std`.
//! Without the `alloc` feature it holds ids, inline texts, kinds, times, access rules and the section reader;
//! with it (the default) also values, records and messages that own their contents.
//!
//! # Bytes on the wire
//!
//! Everything that travels or is signed is a row of **sections** ([`section`]): a tag, a version and a length in
//! front of a [postcard](https://postcard.jamesmunns.com/wire-format) payload. A reader skips the sections that it
//! does not know and passes them on untouched; within a section, newer versions only append fields. A signature
//! ([`signed`]) covers the bytes as they were received, never a re-encoding.
//!
//! # Robustness
//!
//! No function of this crate panics on any input, and none allocates more than a small multiple of the bytes that
//! it was given. Every parser here has a fuzz target under `fuzz/`.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

pub mod access;
pub mod id;
pub mod kind;
#[cfg(feature = "alloc")]
pub mod message;
#[cfg(feature = "alloc")]
pub mod record;
pub mod section;
#[cfg(feature = "alloc")]
pub mod signed;
pub mod text;
pub mod time;
#[cfg(feature = "alloc")]
pub mod value;
pub mod version;

pub use access::{AccessPolicy, Audience, Operation, Role};
pub use id::{DeviceId, ResourceId};
pub use kind::ResourceKind;
#[cfg(feature = "alloc")]
pub use record::{Capacity, DeviceRecord, ResourceDescription, Sharing, SignedRecord};
pub use text::{Name, Text, Unit};
pub use time::{BootTime, WallTime};
#[cfg(feature = "alloc")]
pub use value::{Reading, Value};
pub use version::{ProtocolVersion, VersionRange};
