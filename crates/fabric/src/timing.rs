//! Every duration that the fabric waits for, in one place.
//!
//! The promise behind the first four: a device that dies is noticed within 3 s, and one that returns is back
//! within 3 s, on a network that loses one packet in ten.

use std::time::Duration;

/// How often a session says that it lives.
///
/// More often than the design's one second: with 10 % of packets lost, the six heartbeats whose loss ends a session are
/// lost once in 10⁶ (every four days of such a network); two in a row are lost every 35 seconds.
pub const HEARTBEAT: Duration = Duration::from_millis(350);

/// A session that was silent for so long is over.
pub const SILENCE: Duration = Duration::from_millis(2200);

/// How often a member that is away is dialled.
pub const REDIAL: Duration = Duration::from_secs(1);

/// How long one attempt to dial may take. Longer than [`REDIAL`], so that attempts overlap: a fresh one meets a
/// device that has just returned, an older one may still succeed over a slow link.
pub const DIAL: Duration = Duration::from_secs(2);

/// How long the other side may take for each step of setting up a session.
pub const HANDSHAKE_STEP: Duration = Duration::from_secs(5);

/// How long setting up a session may take in all.
pub const HANDSHAKE: Duration = Duration::from_secs(15);

/// A message that has begun to arrive must go on arriving: the longest pause within one.
pub const PAUSE: Duration = Duration::from_secs(5);

/// How long a message may take to arrive in all.
pub const MESSAGE: Duration = Duration::from_secs(60);

/// How long a service may take to answer a request before the other side is told that it failed.
pub const ANSWER: Duration = Duration::from_secs(60);

/// A session younger than this may be one of two that both sides dialled at the same moment.
pub const SIMULTANEOUS: Duration = Duration::from_secs(2);

/// The loser of two simultaneous sessions is closed once nothing has been under way on it for two of these: time for
/// the other side to know that it lost, and for the last answer to arrive.
pub const RETIRE: Duration = Duration::from_secs(1);

/// How long after the start what others send may wait for the room above that it is for.
pub const SETTLE: Duration = Duration::from_secs(5);

/// How long leaving a group waits for somebody to hear of it, and how long shutting down may take.
pub const GOODBYE: Duration = Duration::from_secs(1);

/// How long a pairing attempt may take in all.
pub const PAIRING: Duration = Duration::from_secs(15);
