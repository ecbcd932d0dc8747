//! What two cores that share memory need from the hardware, and nothing more.
//!
//! Everything above this crate (rings, messages, life cycle) is plain protocol. What differs from chip to chip is
//! here, as four small traits:
//!
//! | need | trait | who implements it |
//! |---|---|---|
//! | memory that both cores see, and its caches | [`Memory`] (`unsafe`) | [`Region`] for coherent memory; a wrapper around it where caches need care |
//! | to make the other core look | [`Doorbell`] | an interrupt controller, an `eventfd`, a futex |
//! | to sleep until the other core rings | [`Sleep`] | the same |
//! | to know how long one has waited | [`Clock`] | a cycle counter, `CLOCK_MONOTONIC` |
//!
//! Only the first is `unsafe` to implement: a doorbell that never rings costs time, and every wait is bounded; a
//! memory that lies about its length costs soundness.
//!
//! # The other side is hostile
//!
//! Memory that is shared with another core can change between any two reads. So there is no `&[u8]` over it here:
//! bytes are read by volatile or atomic access, each once, into memory of our own, and are looked at there. An
//! address that came from the other side is a [`DeviceAddr`], which is only a claim until
//! [`Memory::offset_of`] has found it inside a region.
//!
//! # Porting to a chip
//!
//! A port is one type: take [`Region::from_raw`] over the shared window that the linker script reserves, add a
//! `Doorbell` that writes the mailbox's set register, and run the suite in `conformance` (feature `test-utils`) on the
//! target or in its simulator. If the window is cached and the caches do not snoop, wrap the region and implement
//! [`Memory::clean`] and [`Memory::invalidate`]; the rings call them at the right moments already, and
//! `testing::Incoherent` shows on a desktop that they do.
//!
//! ```
//! use tutti_metal::{DeviceAddr, Memory, Region};
//!
//! static WINDOW: [core::sync::atomic::AtomicU64; 64] = [const { core::sync::atomic::AtomicU64::new(0) }; 64];
//! // SAFETY: the static is 512 bytes, aligned to 8, lives for ever, and nothing else uses it.
//! let region = unsafe { Region::from_raw(WINDOW.as_ptr().cast_mut().cast(), 512, DeviceAddr(0x3ed0_0000)) }.unwrap();
//! region.put(16, &7u32).unwrap();
//! assert_eq!(region.get::<u32>(16), Ok(7));
//! assert_eq!(region.offset_of(DeviceAddr(0x3ed0_0010), 4), Ok(16));
//! assert!(region.get::<u32>(510).is_err());
//! ```
#![cfg_attr(not(any(test, feature = "std")), no_std)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod addr;
#[cfg(any(test, feature = "test-utils"))]
pub mod conformance;
mod lock;
mod memory;
mod notify;
#[cfg(feature = "alloc")]
mod owned;
mod region;
#[cfg(any(test, feature = "test-utils"))]
pub mod testing;
mod time;
mod word;

pub use addr::{DeviceAddr, PhysAddr};
pub use lock::{Local, Lock, LockFamily, Unshared};
#[cfg(feature = "std")]
pub use lock::{Mutexed, Shared};
pub use memory::{Memory, OutOfBounds};
pub use notify::{Doorbell, Never, Silent, Sleep, Spin, Wake};
#[cfg(feature = "alloc")]
pub use owned::{Backed, Owned, Page};
pub use region::Region;
#[cfg(feature = "std")]
pub use time::Monotonic;
pub use time::{Clock, Deadline, Instant};
pub use word::Word;
