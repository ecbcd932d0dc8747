//! Device trees for chips with several kinds of processors: one description in, every core's configuration out.
//!
//! ```text
//!  .dts/.dtsi ─ preprocess ─ syntax (lossless) ─ lower ─┐
//!  .dtb/.dtbo ─ dtb ───────────────────────────────────┼─ tree ─ resolve ─ overlay ─┬─ print, dtb, yaml
//!  .yaml ────── yaml ──────────────────────────────────┘                            ├─ check   (faults, with places)
//!                                                                                   └─ system ─ emit (one set per domain)
//! ```
//!
//! - [`load()`] reads files of any of the three forms and merges them; [`command`] holds what `tutti dt` does with
//!   the result; [`build_script`] is for a firmware's `build.rs`.
//! - [`system`] is the System Device Tree: clusters, domains, relations. It states our rules where the
//!   specification is silent, the one for sharing among them.
//! - [`check`](mod@check) lists every fault that it finds, [`emit`] everything that it makes.
//!
//! # Hostile input
//! Trees come from vendors, blobs from boot loaders, overlays from anywhere. [`Limits`] bounds length, nesting,
//! nodes, macro work and messages; each reader's documentation names its attacks. No reader panics or recurses
//! without a bound; [`fuzz`] has one function for each kind of input, which `fuzz/` feeds; `tests/bounds.rs` measures.
//!
//! # What is not there
//! lopper's conditional YAML keys (`compatible!linux`) and its vendor assists beyond remoteproc nodes; `interrupt-map`
//! with unit-address masks is left as it is; the preprocessor has no `#include_next` and no `__has_include`.
#![forbid(unsafe_code)]

pub mod build_script;
pub mod cells;
pub mod check;
pub mod command;
pub mod diag;
pub mod diff;
pub mod dtb;
pub mod emit;
mod eval;
mod expression;
pub mod fuzz;
pub mod load;
mod lower;
pub mod overlay;
mod preprocess;
pub mod print;
pub mod refs;
mod resolve;
pub mod source;
pub mod syntax;
pub mod system;
pub mod tree;
pub mod yaml;

pub use diag::{Code, Diag, Diags, Place, Severity};
pub use load::{Loaded, Reading, from_text, load};
pub use preprocess::Options;
pub use source::{Disk, Files, Limits, Memory, Position, Sources, Span};
pub use tree::{NodeId, Reference, Tree};
