//! Round trips and rates between two processes, each pinned to a core, beside the limit of the machine in the same run.
//!
//! The limit comes first and last in every repetition, with the subject between; a repetition in which the two
//! readings of the limit differ by more than a fifth is discarded, since then another program (or another virtual core on
//! the same physical one) was in the way. What is printed is the median of the ratios of what is left, one JSON
//! object a line: `name`, `value`, `unit`, `reference`, `reference_value`, `ratio`, and `kept` of `runs`.
//!
//! | row | reference |
//! |---|---|
//! | `amp.rtt.N.polled` | a cache line written to and fro, with the same payload copied in and out on both sides |
//! | `amp.rate.N.batched`, `amp.rate.N.single` | a ring for one producer and one consumer, slots of 512 bytes, both indices published per message |
//! | `amp.copy.N.zero_copy` | `memcpy` of the same bytes over the same working set |
//! | `amp.handover.N.zero_copy` | the same bytes written here and read there with one flag between, no protocol at all |
//! | `amp.rtt.N.futex`, `amp.rtt.N.eventfd` | a bare ping-pong over the same doorbells |
//! | `amp.rtt.N.pipe`, `amp.rate.N.pipe` | two pipes, and ours beside them |

mod link;
mod plain;
mod run;

pub use run::{Row, main};
