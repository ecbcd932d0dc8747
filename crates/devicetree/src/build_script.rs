//! For a firmware's `build.rs`: its addresses come from the tree, so that the two cannot disagree.
//!
//! ```no_run
//! // build.rs
//! let out = std::env::var("OUT_DIR").expect("cargo sets it");
//! match tutti_devicetree::build_script::firmware("../chip.dts", "rpu0", &out) {
//!     Ok(lines) => lines.iter().for_each(|line| println!("{line}")),
//!     Err(faults) => panic!("{faults}"),
//! }
//! ```
//!
//! Then, in the firmware, and the linker finds `memory.x`:
//!
//! ```ignore
//! #[allow(dead_code)]
//! mod domain {
//!     include!(concat!(env!("OUT_DIR"), "/domain.rs"));
//! }
//! ```
//!
//! A tree with faults builds no firmware. `tests/generated.rs` builds one with cargo.

use std::path::Path;

use crate::command;
use crate::diag::Diags;
use crate::emit;
use crate::load::{Reading, load};
use crate::source::Disk;
use crate::system::System;

/// Writes `domain.rs`, `memory.x` and, for a remote that a host starts, `resource_table.bin` into `out`; returns the
/// lines that the build script prints for Cargo.
///
/// # Errors
/// The text of the faults, with their source lines.
pub fn firmware(tree: &str, domain: &str, out: &str) -> Result<Vec<String>, String> {
    let mut loaded = load(&[tree], &Disk, &Reading::default());
    command::check(&mut loaded);
    if loaded.diags.has_errors() {
        return Err(loaded.render(false));
    }
    let system = System::read(&loaded.tree, &mut Diags::default());
    let index = system.domain(domain).ok_or_else(|| {
        let names: Vec<&str> = system.domains.iter().map(|d| d.name.as_str()).collect();
        format!("{tree} has no domain '{domain}'; it has: {}", names.join(", "))
    })?;
    let layout = emit::layout(&system, index).ok_or("the domain has no layout")?;
    let write = |name: &str, bytes: &[u8]| {
        let path = Path::new(out).join(name);
        std::fs::write(&path, bytes).map_err(|e| format!("cannot write {}: {e}", path.display()))
    };
    write("domain.rs", emit::rust_constants(&layout).as_bytes())?;
    write("memory.x", emit::memory_x(&layout).as_bytes())?;
    if let Some(table) = emit::resource_table(&layout).map_err(|e| e.to_string())? {
        write("resource_table.bin", &table)?;
    }
    let mut lines = vec![format!("cargo:rustc-link-search={out}")];
    lines.extend(loaded.sources.files().iter().map(|f| format!("cargo:rerun-if-changed={}", f.name)));
    Ok(lines)
}
