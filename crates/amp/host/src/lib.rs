//! Linux back ends of Tutti's inter-core messaging: shared memory in a file descriptor, doorbells over `eventfd` and
//! futexes, and the measurements.
//!
//! Two processes stand in for two cores here, which is how the stack is tested and measured on any machine, and how
//! two programs of one device talk when one of them does not trust the other.
//!
//! * [`SharedMemory`]: a `memfd` that cannot shrink, inherited by a child or passed over a Unix socket
//!   ([`socket`]). What a peer passes is checked for that seal, since a file that shrinks under a mapping ends
//!   its readers with a signal.
//! * [`uio`]: regions and interrupts that the kernel hands to user space, on a real chip.
//! * [`vhost`]: the device's side of vhost-user, for a driver in a virtual machine or in user-mode Linux.
//! * [`EventBell`]: a pair of `eventfd`s, for those who wait in `epoll` (tokio's `AsyncFd`).
//! * [`FutexBell`]: a word in the shared memory; the fastest to wake a thread.
//! * [`process`]: a remote core that is a process of this machine, life cycle and all.
//! * [`linux`]: the remote cores that the Linux kernel runs.
//! * [`mod@bench`]: round trips and rates beside what the machine can do at best, in one run.
//!
//! This crate is the hardware back end of Linux, and so one of those that may use `unsafe`; all of it is in `mapping`,
//! but for the ioctl that makes an RPMsg endpoint, in `linux`.
#![deny(unsafe_code)]

mod bell;
pub mod bench;
pub mod linux;
mod mapping;
pub mod process;
pub mod socket;
pub mod uio;
pub mod vhost;

pub use bell::{EventBell, FutexBell, FutexSleeper};
pub use mapping::{Mapping, MappingError, SharedMemory};
