//! The pool: one view of all devices and what they offer, and the right to use it.
//!
//! Every fact has one owner. A device is the only authority on itself and on its resources; the pool is the merge of what
//! all devices say about themselves. There is no leader, and nothing waits for a majority: two devices alone on a
//! boat are a whole pool.
//!
//! - [`Pool`] is the machine: sans-I/O, driven by [`Pool::handle`], [`Pool::poll_output`] and
//!   [`Pool::poll_timeout`]. All rules are in it, and the simulations drive it in virtual time.
//! - [`Catalogue`] is what it shows: devices, presence, resources; [`Query`] finds things in it.
//! - [`driver`] binds the machine to the fabric, a store and this device's resources, and gives a
//!   [`PoolHandle`](driver::PoolHandle) to the rooms above.
//!
//! # The life of a record
//!
//! ```text
//!   kitchen                          hall                             attic (has no session with kitchen)
//!   ───────                          ────                             ─────
//!   its resources change
//!   sign as number 8
//!   save ── durable
//!        ── Record(8) ─────────────► signature? member? newer?
//!                                    catalogue: kitchen is 8
//!                                    ── Digest: kitchen 8 ──────────► has 7
//!                                    ◄─────────── Digest: kitchen 7 ──
//!                                    ── Record(8), as signed ───────► signature? member? newer?
//!                                                                     catalogue: kitchen is 8
//!   forgotten by an owner            kitchen's record vanishes,       the same, as soon as the news
//!                                    and those of its satellites      of the group get there
//! ```
//!
//! - The number only grows, because it is durable before it is seen. If a backup was restored and others know a
//!   higher one, they say so, and the next record goes above it.
//! - On contact both sides send a digest of all records (version 1 peers: all records), and then what the other
//!   lacks. Digests are repeated now and then, so a lost notice is made up for.
//! - A satellite's record is signed by its host, whose own record lists the satellites that are there. It counts while the
//!   host is a member and the satellite is not, and until a later record of the host's does not list it any more: so
//!   satellites vanish with one record, and nobody has to remember those that were. Both bear the same number, so
//!   whichever comes first, a satellite is never taken for one that is over.
//! - Whoever wants something of a satellite asks its host, which checks policy and leases as for its own resources.
//!
//! # The life of a lease
//!
//! ```text
//!   holder                                owner of the resource                    disk of the owner
//!   ──────                                ─────────────────────                    ─────────────────
//!   t₀ ── LeaseRequest(30 s) ───────────► member? policy? free?
//!                                         t₁: token 5, until t₁ + 30.3 s
//!                                         ── tokens, leases ─────────────────────► durable
//!                                         wait until what was under way under
//!                                         earlier tokens has stopped
//!   believe until t₀ + 29.7 s ◄────────── Lease(token 5, 30 s)
//!   ── Write(token 5) ──────────────────► 5 in force, for this holder? perform
//!   t₀ + 10 s ── LeaseRenew ────────────► until now + 30.3 s ────────────────────► durable
//!   believe longer ◄───────────────────── Lease(token 5, 30 s)
//!
//!   a) ── LeaseRelease ─────────────────► free at once; what is under way is cut
//!   b) holder gone or cut off:            free when its time is over
//!      stops believing by itself, before
//!   c) owner restarts:                    same boot: the time that is left; after a reboot: all of it again
//!
//!   ── LeaseReserve(to attic) ──────────► remembered ────────────────────────────► durable
//!   hand over: sign, stop believing
//!        ── the signed word ──► attic
//!                               attic ── LeaseTake(the word) ──► reserved for attic? signed by the holder?
//!                                                        token 5 is void, token 6 ► durable
//!                               attic ◄── Lease(token 6) ──
//!   ── Write(token 5) ──────────────────► refused: superseded by 6
//! ```
//!
//! # Attacks, and how each is met
//! | attack | what meets it |
//! |---|---|
//! | a record altered, invented or replayed | signature, number, membership: [`Catalogue`] |
//! | a member speaks for another | only one's own record and one's satellites' count |
//! | a member floods | every set has a size in [`limits`]; records are fetched when their turn comes, not queued |
//! | a digest claims a high number for this device | only a record with this device's signature moves its number |
//! | a device acts after its lease | the owner checks the token of each operation, and cuts what runs |
//! | a forgotten device goes on | each request is checked against the group; what runs for it is cut |
//! | an old hand-over is shown again | the reservation is void once anybody got a later lease |
//! | bytes that are no message | an error or a refusal; nothing panics, nothing is kept |
//! | a clock that is set | nothing depends on calendar time; leases run on time since boot |
//!
//! What is not met: a clock that runs more than 1 % wrong; a state folder of an *owner* restored from a backup while
//! its leases are in force (its tokens would repeat; records recover from that, leases only by their time).
#![forbid(unsafe_code)]

pub mod driver;
pub mod limits;

mod catalogue;
mod error;
mod group;
mod io;
mod lease;
mod machine;

pub use catalogue::{
    BadFilter, Catalogue, DeviceEntry, Lookup, Presence, PropertyFilter, PropertyTest, Query, RecordRefusal,
    ResourceEntry,
};
pub use error::{PoolError, RestoreError, Subject};
pub use group::{Group, Member};
pub use io::{
    Answer, CallId, Command, Event, HeldLease, Identity, Input, KnownLease, Output, PerformId, Performed, RequestId,
    Satellite, SendError, Ticket, Work,
};
pub use lease::owner::BootId;
pub use machine::{KEYS, Pool, Setup};
