//! What the `tutti dt` commands do, as functions: each takes what was read and gives data, text or files back.
//! Reading and writing files, arguments and exit codes are the caller's.

mod domains;
mod show;

pub use domains::{CarveoutRow, CpuRow, DeviceRow, DomainRow, MemoryRow, RelationRow, domains};
pub use show::{AddressRow, InterruptRow, OwnerRow, Shown, ViewRow, show};

use crate::check;
use crate::diag::{Diags, Severity};
use crate::emit;
use crate::load::Loaded;
use crate::system::{OsType, System};
use crate::tree::Tree;
use crate::{dtb, print, yaml};

/// Formats of a whole tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Source.
    Dts,
    /// Blob.
    Dtb,
    /// YAML.
    Yaml,
}

impl Format {
    /// By a file name's ending.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        match path.rsplit('.').next()? {
            "dts" | "dtsi" | "dtso" => Some(Self::Dts),
            "dtb" | "dtbo" => Some(Self::Dtb),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

/// Reads the linter's findings and the reader's together. `loaded.diags` holds all of them afterwards.
pub fn check(loaded: &mut Loaded) {
    if !loaded.diags.has_errors() {
        let found = check::check(&loaded.tree);
        loaded.diags.list.extend(found.list);
    }
}

/// How many errors and warnings there are.
#[must_use]
pub fn counts(diags: &Diags) -> (usize, usize) {
    let errors = diags.list.iter().filter(|d| d.severity == Severity::Error).count();
    (errors, diags.list.len() - errors)
}

/// One line that sums a check up.
#[must_use]
pub fn summary(diags: &Diags) -> String {
    let (errors, warnings) = counts(diags);
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    if errors + warnings == 0 {
        "no faults found".to_owned()
    } else {
        format!("{}, {}", count(errors, "error"), count(warnings, "warning"))
    }
}

/// The tree in another format. Comments come along where the target has a place for them.
#[must_use]
pub fn convert(loaded: &Loaded, format: Format) -> Vec<u8> {
    match format {
        Format::Dts => print::to_dts(&loaded.tree, Some(&loaded.sources)).into_bytes(),
        Format::Dtb => dtb::write(&loaded.tree),
        Format::Yaml => yaml::to_yaml(&loaded.tree).into_bytes(),
    }
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its name, without directory.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// All files of one domain, and notes on what was left out.
#[must_use]
pub fn split(loaded: &Loaded, domain: &str) -> Option<(Vec<Output>, Vec<String>)> {
    let system = System::read(&loaded.tree, &mut Diags::default());
    let index = system.domain(domain)?;
    let layout = emit::layout(&system, index)?;
    let pruned = emit::prune(&system, index)?;
    let name = &layout.domain;
    let mut notes = pruned.notes;
    let file = |suffix: &str, bytes: Vec<u8>| Output { name: format!("{name}{suffix}"), bytes };
    let mut files = vec![
        file(".dts", print::to_dts(&pruned.tree, Some(&loaded.sources)).into_bytes()),
        file(".dtb", dtb::write(&pruned.tree)),
    ];
    if layout.os != OsType::Linux {
        files.push(file(".rs", emit::rust_constants(&layout).into_bytes()));
        files.push(file("-memory.x", emit::memory_x(&layout).into_bytes()));
        files.push(file("-platform_info.h", emit::c_header(&layout).into_bytes()));
    }
    if layout.os == OsType::Zephyr {
        files.push(file(".overlay", emit::zephyr_overlay(&layout).into_bytes()));
    }
    match emit::resource_table(&layout) {
        Ok(table) => files.extend(table.map(|bytes| file("-resource_table.bin", bytes))),
        Err(error) => notes.push(format!("no resource table: {error}")),
    }
    Some((files, notes))
}

/// The memory map: SVG if the name ends so, else Markdown.
#[must_use]
pub fn map(tree: &Tree, path: &str) -> String {
    let system = System::read(tree, &mut Diags::default());
    if path.ends_with(".svg") { emit::svg_map(&system) } else { emit::markdown_map(&system) }
}
