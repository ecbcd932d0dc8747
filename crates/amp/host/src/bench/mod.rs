//! Round trips and rates between two processes, each pinned to a core, beside the limit of the machine in the same run.
//!
//! Every round measures every row once: the limit, the subject, the limit again. Where the two readings of the limit
//! differ by more than a fifth, the measurement is discarded: another program was in the way. What is printed is the
//! median of the limits and of the ratios of what is left.
//!
//! **Two virtual cores may share a physical one**, and a hypervisor moves them as it likes. `/sys` tells of siblings
//! on real hardware; elsewhere both cores do plain arithmetic at the same time, before and after each measurement: who
//! shares a core slows the other down. The round trip of a bare cache line tells neighbours from cores on different
//! dies. Only measurements in the most usual state are printed together; what state that was is in the rows
//! `amp.cores.apart` and `amp.line`, and in words on standard error.
//!
//! | row | reference |
//! |---|---|
//! | `amp.line`, `amp.cores.apart` | none: a cache line written to and fro, without a payload; the share of measurements on cores of their own |
//! | `amp.rtt.N.polled` | a cache line written to and fro, with the same payload copied in and out on both sides |
//! | `amp.rtt.N.polled.min`, `.median`, `.p99` | none: single round trips, the clock's own time included |
//! | `amp.rate.N.batched`, `.single` | a ring for one producer and one consumer with slots as large as our buffers, both indices published per message |
//! | `amp.rate.16.layout` | the same, beside which the lines of a virtqueue with RPMsg's header are written and read, without a check or an endpoint: the limit of the layout |
//! | `amp.copy.N.zero_copy`, `.copying` | `memcpy` of as many bytes that the other core has just written |
//! | `amp.copy.N.handover` | the same bytes written here and read there with one flag between, no protocol at all |
//! | `amp.copy.N.beside_private` | `memcpy` within one core's own cache |
//! | `amp.rtt.N.interrupt`, `.eventfd` | a bare ping-pong over the same doorbells (futex, eventfd) |
//! | `amp.rate.N.interrupt`, `amp.rtt.N.pipe`, `amp.rate.N.pipe` | a pair of pipes |

mod link;
mod plain;
mod rounds;
mod rows;
mod run;

pub use rounds::measure;
pub use rows::Row;
pub use run::{Options, main, serve_if_child};
