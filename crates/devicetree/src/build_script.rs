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
//! A library that several firmwares share takes [`constants`], of each domain that it speaks of: linker regions are for those who
//! link. A tree with faults builds nothing. `firmware/` in this repository is built so, and the memory of a remote core that is a
//! process; `tests/build_script.rs` shows that another tree makes others, and `tests/generated.rs` builds one with cargo.

use std::path::Path;

use crate::command;
use crate::diag::Diags;
use crate::emit::{self, Layout};
use crate::load::{Loaded, Reading, load};
use crate::source::Disk;
use crate::system::System;

/// Writes `domain.rs`, `memory.x` and, for a remote that a host starts, `resource_table.bin` into `out`; returns the
/// lines that the build script prints for Cargo.
///
/// # Errors
/// The text of the faults, with their source lines.
pub fn firmware(tree: &str, domain: &str, out: &str) -> Result<Vec<String>, String> {
    let (loaded, layout) = layout_of(tree, domain)?;
    let at = |name: &str| Path::new(out).join(name);
    write(&at("domain.rs"), emit::rust_constants(&layout).as_bytes())?;
    write(&at("memory.x"), emit::memory_x(&layout).as_bytes())?;
    if let Some(table) = emit::resource_table(&layout).map_err(|e| e.to_string())? {
        write(&at("resource_table.bin"), &table)?;
    }
    let mut lines = vec![format!("cargo:rustc-link-search={out}")];
    lines.extend(watched(&loaded));
    Ok(lines)
}

/// Writes the Rust constants of a domain into the file `to`, and nothing else; returns the lines that the build script prints.
///
/// # Errors
/// The text of the faults, with their source lines.
pub fn constants(tree: &str, domain: &str, to: &Path) -> Result<Vec<String>, String> {
    let (loaded, layout) = layout_of(tree, domain)?;
    write(to, emit::rust_constants(&layout).as_bytes())?;
    Ok(watched(&loaded).collect())
}

/// The domain's layout, by a tree without faults.
fn layout_of(tree: &str, domain: &str) -> Result<(Loaded, Layout), String> {
    let mut loaded = load(&[tree], &Disk, &Reading::default());
    command::check(&mut loaded);
    if loaded.diags.has_errors() {
        return Err(loaded.render(false));
    }
    let layout = {
        let system = System::read(&loaded.tree, &mut Diags::default());
        let index = system.domain(domain).ok_or_else(|| {
            let names: Vec<&str> = system.domains.iter().map(|d| d.name.as_str()).collect();
            format!("{tree} has no domain '{domain}'; it has: {}", names.join(", "))
        })?;
        emit::layout(&system, index).ok_or("the domain has no layout")?
    };
    Ok((loaded, layout))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    std::fs::write(path, bytes).map_err(|e| format!("cannot write {}: {e}", path.display()))
}

/// Every file that was read: when one changes, so may what was built.
fn watched(loaded: &Loaded) -> impl Iterator<Item = String> + '_ {
    loaded.sources.files().iter().map(|f| format!("cargo:rerun-if-changed={}", f.name))
}
