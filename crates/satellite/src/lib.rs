//! How a microcontroller that is not on the network joins the pool: as the *satellite* of a host that is.
//!
//! ```text
//!   satellite                                   host
//!      hello: versions, record, resources n ─────▶        a new session
//!            ◀───────────────── welcome: version, time
//!      resource 0 … n-1 ─────────────────────────▶        joined: it stands in the pool, with `via`
//!      alive, readings, log ─────────────────────▶
//!            ◀───────────────── alive, subscribe, read, set
//!      answer ───────────────────────────────────▶
//! ```
//!
//! * [`Satellite`] is the small end: no heap, all buffers of a fixed size, one message under way at a time.
//! * [`SatelliteHost`] is the large end (feature `alloc`).
//! * [`serial`] puts frames on a line of bytes. On RPMsg a frame is a message; in one process it is a slice.
//!
//! Both are state machines: they are told the time and what arrived, and say what to send and when to come again. Any link
//! will do that carries frames of up to 512 bytes; it may lose, repeat and reorder them. Requests, answers and
//! descriptions arrive once and in order nevertheless; readings, signs of life and log lines may be lost.
//!
//! A satellite may have satellites behind it: it hands their frames on as they are, and the host keeps a
//! session with each. A message to or from them is sent again end to end, so a relay needs no buffer for it.
//!
//! # When something goes wrong
//!
//! | what | is noticed | and then |
//! |---|---|---|
//! | the satellite stops or crashes | after 2.5 s of silence | the host says [`Event::Lost`], and answers what was under way with *lost*: whether it was done is not known |
//! | it restarts | with its hello, which has another session | the same, at once |
//! | the host stops | after 2.5 s of silence | the satellite says hello until there is one |
//! | the host restarts | with the first frame of a session that it does not know | it says so, and the satellite begins a new one |
//! | a frame is damaged | by the checksum of the line | it is lost |
//!
//! # The other side is hostile
//!
//! A frame that does not decode, is of another session, or comes out of turn does nothing. What a satellite can make its host keep is
//! bounded: 255 resources, 32 requests, 256 events, 8 satellites behind it, 4 behind each other. A command is carried out
//! at most once. A satellite is not authenticated by this protocol: who holds the wire is the satellite, and the host
//! vouches for it; its record says so.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

#[cfg(feature = "alloc")]
mod host;
mod satellite;
pub mod serial;
mod sure;
mod wire;

use core::time::Duration;

#[cfg(feature = "alloc")]
pub use host::{
    ANSWER, Event, MAX_CHILDREN, MAX_DEPTH, MAX_EVENTS, MAX_REQUESTS, Request, RequestError, SatelliteHost,
};
pub use satellite::{Input, Satellite};
pub use wire::{About, Denied, Level, MAX_FRAME, Measure, Resource, VERSION};

/// How often either end gives a sign of life.
pub const ALIVE: Duration = Duration::from_millis(500);
/// How long either end is silent before it counts as gone: less than the 3 s in which the pool is to know.
pub const SILENCE: Duration = Duration::from_millis(2500);
/// How often a satellite that is alone says hello.
pub const HELLO: Duration = Duration::from_millis(300);
