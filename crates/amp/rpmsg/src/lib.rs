//! RPMsg: addressed messages between the cores of one chip, as the Linux kernel (`virtio_rpmsg_bus`), the OpenAMP
//! library and rpmsg-lite speak it.
//!
//! One core is the [`Host`], the virtio driver, which owns all buffers; the other is the [`Remote`], the device. Both
//! have [`Link`]s, and a link has endpoints, each with an address of 32 bits. A message goes from one address to
//! another, in one buffer, and is never cut off: what does not fit is refused before it is sent.
//!
//! # Sending and receiving
//!
//! | | copying | without a copy |
//! |---|---|---|
//! | send now, or not at all | [`Endpoint::try_send`] | [`Link::try_loan`] → fill → [`Loan::send`] |
//! | wait, but not for ever | [`Endpoint::send_within`] | [`Link::loan_within`] |
//! | wait in any executor | [`Endpoint::send`] | [`Link::loan`] |
//! | many at once | [`Endpoint::try_send_all`] | [`Loan::stage`], then one [`Link::publish`] |
//! | receive | [`Message::read`] | [`Message::bytes`], held as long as you like |
//! | receive many at once | the same, of each in a [`Batch`] | |
//!
//! A [`Loan`] that is dropped unsent goes back to where it came from; a [`Received`] goes back to the other side
//! when it is dropped. Buffers are the back-pressure: who keeps them all makes the other side wait.
//!
//! # Longer messages, and endpoints that are not read
//!
//! Both need the other side's consent by a feature bit; without it not a byte differs. Messages longer than a buffer
//! go in pieces ([`Endpoint::send_large_within`], [`Assembly`]); buffers can be larger than 512 bytes ([`Sizes`]); an
//! endpoint may bound what its peer has under way ([`Endpoint::set_window`]).
//!
//! # How two sides find each other
//!
//! Through the vdev of a resource table, with [`Attachment`] on the remote and [`Attaching`] on the host; or at a
//! place that both know since they were built, with [`StaticVrings`]. `crates/amp/PORTING.md` leads through a port to
//! a chip.
//!
//! # The life of a message, and why each ordering is enough
//!
//! ```text
//!      sender                        shared memory                     receiver
//!  1  loan      take a free buffer (its line is asked for, to be written)
//!  2  fill      plain writes ─────▶ payload
//!  3  send      plain writes ─────▶ header, ring entry
//!               store release ────▶ ring index ──── load acquire ──▶  poll      sees 2 and 3 whole
//!     (fence, and a look whether to ring, if the receiver sleeps)      header: once, copied, checked
//!  4                                payload ◀─────── volatile reads    bytes     as often as one likes
//!  5                                ring entry ◀──── plain write       drop      the buffer goes back
//!  6  loan      load acquire ◀───── ring index ◀──── store release     settle    many at once: see below
//!     sees that 4 is over, so it may write into the buffer again
//! ```
//!
//! The one release in 3 orders payload, header and entry before the index; the acquire orders the receiver's reads
//! behind it; 5 and 6 are the same the other way round, and keep the next filling behind the last reading. Nothing in
//! between needs an order of its own. Buffers that were read are published a quarter of the queue at a time, or as
//! soon as the receiver finds nothing more: until then the sender has others.
//!
//! # Names
//!
//! An endpoint with a name is announced to the other side ([`Link::endpoint`]) and taken back when it is dropped.
//! What the other side announces binds the endpoint of the same name here, if there is one, and stands in a table
//! ([`Link::service`]) in any case.
//!
//! # The other side is hostile
//!
//! The ring below checks indices, ids, lengths and addresses ([`tutti_virtio`]); here, a header is copied out once and
//! its length is held against its buffer before anybody sees the message. A lie is a [`Corrupt`], and everything stops
//! until [`Link::reset`]. Messages to nobody and name-service messages of odd lengths do no harm: they are given back
//! and counted ([`Stats`]). Payload can change while it is looked at, which is why it is read through [`Bytes`], not
//! as a slice.
//!
//! # An echo service
//!
//! ```
//! use tutti_rpmsg::{Address, Heap, Host, HostSetup, Link, Name, Platform, Remote, RemoteSetup};
//! use tutti_metal::{DeviceAddr, Local, Owned, Silent};
//! use tutti_virtio::{Layout, QueueSize, Vring};
//!
//! enum Desktop {}
//! impl Platform for Desktop {
//!     type Memory = Owned;
//!     type Doorbell = Silent;
//!     type Locks = Local;
//!     type Storage = Heap;
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let memory = Owned::allocate(0x10000, DeviceAddr(0x3ed0_0000))?;
//! let size = QueueSize::new(16)?;
//! let vring = |at| Vring::new(memory.clone(), Layout::legacy(size, 4096, at)?);
//! let host = HostSetup::new([vring(0)?, vring(0x2000)?], memory.clone(), 0x4000);
//! let host = Link::<Desktop, Host>::new(host, Silent, Heap { endpoints: 16 })?;
//! let remote = RemoteSetup::new([vring(0)?, vring(0x2000)?], memory.clone());
//! let remote = Link::<Desktop, Remote>::new(remote, Silent, Heap { endpoints: 16 })?;
//!
//! let echo = remote.endpoint(Some(Name::new("echo")?), Address::ANY)?;
//! host.poll()?;
//! let to = host.service(0).expect("announced").address;
//!
//! let caller = host.endpoint(None, Address::ANY)?;
//! caller.try_send(to, b"hello")?;
//! let question = echo.try_receive()?.expect("sent");
//! let mut answer = remote.try_loan()?;
//! let mut text = [0; 5];
//! question.read(0, &mut text)?;
//! answer.bytes().write(0, &text)?;
//! answer.send(echo.address(), question.source(), 5)?;
//! assert_eq!(caller.try_receive()?.expect("answered").len(), 5);
//! # Ok(())
//! # }
//! ```
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod attach;
mod batch;
mod endpoint;
mod ends;
mod error;
mod extensions;
mod future;
mod incoming;
mod large;
mod link;
mod message;
mod queue;
mod registry;
mod setup;
mod storage;
mod wait;
mod wire;

pub use attach::{AttachError, Attaching, Attachment, Change};
pub use batch::Batch;
pub use endpoint::Endpoint;
pub use ends::{Host, Remote, Role};
pub use error::{EndpointError, SendError, SetupError};
pub use extensions::{F_CREDITS, F_FRAGMENTS, F_SIZES, Sizes};
pub use future::{LoanFuture, ReceiveFuture};
pub use incoming::Stats;
pub use large::{Assembly, LargeError};
pub use link::{Link, Platform};
pub use message::{Loan, Message, Received};
pub use registry::Service;
pub use setup::{HostSetup, RemoteSetup, StaticVrings};
#[cfg(feature = "alloc")]
pub use storage::Heap;
pub use storage::{Inline, Storage};
pub use tutti_virtio::{Bytes, BytesMut, Corrupt};
pub use wire::{Address, Announcement, F_NS, HEADER, Header, LARGEST_BUFFER, Name, NameError, VIRTIO_ID};
