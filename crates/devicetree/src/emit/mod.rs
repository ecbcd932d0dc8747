//! What each domain gets out of the one description.
//!
//! | for | function |
//! |---|---|
//! | Linux, or any system that reads a device tree | [`prune`] (then [`crate::print::to_dts`] or [`crate::dtb::write`]) |
//! | a Rust firmware | [`rust_constants`], [`memory_x`] |
//! | a C firmware on OpenAMP or libmetal | [`c_header`] |
//! | Zephyr | [`zephyr_overlay`] |
//! | the firmware's `.resource_table` section | [`resource_table`] |
//! | people | [`markdown_map`], [`svg_map`]; [`blocks`] for those who draw it themselves |

mod code;
mod layout;
mod map;
mod prune;
mod remoteproc;
mod resource_table;

pub use code::{c_header, memory_x, rust_constants, zephyr_overlay};
pub use layout::{Channel, Device, Layout, Named, RegionKind, layout};
pub use map::{Block, blocks, markdown_map, svg_map};
pub use prune::{Pruned, prune};
pub use resource_table::{TableError, resource_table};
