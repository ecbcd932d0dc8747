//! One product file in, a signed image for every core of a device out.
//!
//! ```text
//!  product.toml ─ product ─┐
//!  parts.toml ─── parts ───┼─ resolve (least set, with reasons) ─┐
//!  boards.toml, chip.dts ──┘                                     ├─ build ─ manifest + members ─ bundle (signed)
//!  Debian's kernel, files ─────────── kernel ────────────────────┘             │
//!                                                  inspect, diff, emulate ◀────┘
//! ```
//!
//! - A [`product`] says what a device is to do; [`parts`] say what that takes; [`board`] or a device tree say what there
//!   is. [`resolve`](mod@resolve) finds the least set of parts, or says which wish collides with which limit.
//! - [`bundle`] is the file of an image: a signed [`manifest`] and its members.
//! - Whatever is wrong with a product is a [`fault`]: file, line, and a way out.
//!
//! # Hostile input
//! Product files and parts come from vendors, kernels from packages, images from anywhere. Every text has a largest size, every
//! list a longest length, the search a number of steps; what is read of an image is checked against its signature
//! before it is used, and names in it become files only if they are plain.
#![forbid(unsafe_code)]

pub mod board;
pub mod build;
pub mod bundle;
mod carry;
pub mod cpio;
pub mod diff;
pub mod elf;
pub mod emulate;
pub mod fault;
pub mod firmware;
pub mod kernel;
pub mod key;
pub mod manifest;
pub mod parts;
pub mod product;
pub mod project;
pub mod resolve;
pub mod size;
pub mod squashfs;
mod stage;
mod system;
mod table;
mod tree;
pub mod usernet;

pub use project::Project;
