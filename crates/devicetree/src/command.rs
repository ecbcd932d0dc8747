//! What the `tutti dt` commands do, as functions: each takes what was read and gives text or files back. Reading
//! and writing files, arguments and exit codes are the caller's.

use std::fmt::Write as _;

use crate::cells;
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

/// One line that sums a check up.
#[must_use]
pub fn summary(diags: &Diags) -> String {
    let errors = diags.list.iter().filter(|d| d.severity == Severity::Error).count();
    let warnings = diags.list.len() - errors;
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

/// The domains as a table for people.
#[must_use]
pub fn domains(tree: &Tree) -> String {
    let system = System::read(tree, &mut Diags::default());
    if system.domains.is_empty() {
        return "there are no execution domains: /domains has no node compatible with openamp,domain-v1\n".to_owned();
    }
    let mut rows = vec![["DOMAIN", "OS", "CPUS", "MEMORY", "DEVICES", "RELATIONS"].map(str::to_owned)];
    for (i, domain) in system.domains.iter().enumerate() {
        let depth = (0..system.domains.len()).filter(|j| *j != i && system.encloses(*j, i)).count();
        let cpus: Vec<String> = domain
            .cpus
            .iter()
            .map(|c| {
                format!(
                    "{} {:#x}",
                    system.clusters.get(c.cluster).map_or_else(String::new, |c| tree.name_of(c.node)),
                    c.mask
                )
            })
            .collect();
        let bytes: u64 = domain.grants.iter().fold(0, |n, g| n.saturating_add(g.region.size));
        let relations: Vec<String> = domain
            .relations
            .iter()
            .map(|r| {
                format!(
                    "{} {} {}",
                    format!("{:?}", r.kind).to_lowercase(),
                    if r.host { "to" } else { "from" },
                    system.domains[r.peer].name
                )
            })
            .collect();
        rows.push([
            format!("{}{}", "  ".repeat(depth), domain.name),
            match domain.os {
                OsType::FreeRtos => "freertos".to_owned(),
                os => format!("{os:?}").to_lowercase(),
            },
            cpus.join(", "),
            format!("{bytes:#x} in {}", domain.grants.len()),
            if system.is_default(i) {
                format!("{} and the rest", domain.access.len())
            } else {
                domain.access.len().to_string()
            },
            relations.join(", "),
        ]);
    }
    table(&rows)
}

fn table(rows: &[[String; 6]]) -> String {
    let width = |c: usize| rows.iter().map(|r| r[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let line: Vec<String> = row.iter().zip(&widths).map(|(cell, w)| format!("{cell:<w$}")).collect();
        let _ = writeln!(out, "{}", line.join("  ").trim_end());
    }
    out
}

/// A node with where it is, who has it, and its source.
#[must_use]
pub fn show(loaded: &Loaded, name: &str) -> Option<String> {
    let tree = &loaded.tree;
    let id = tree.look_up(name)?;
    let system = System::read(tree, &mut Diags::default());
    let mut out = format!("{}\n", tree.path(id));
    if let Some(position) = tree.node(id).span.and_then(|s| loaded.sources.position(s)) {
        let _ = writeln!(out, "  defined    {position}");
    }
    for place in cells::regions(tree, id) {
        match place {
            cells::Place::Root(region) => {
                let _ = writeln!(out, "  addresses  {region}");
            }
            cells::Place::Behind(bus, region) => {
                let _ = writeln!(out, "  addresses  {region} behind {}", tree.name_of(bus));
            }
            cells::Place::Nowhere => {}
        }
    }
    for cluster in &system.clusters {
        for place in cells::regions(tree, id) {
            if let Some(region) = cluster.sees(tree, id, place) {
                let _ = writeln!(out, "  seen by    {} at {region}", tree.name_of(cluster.node));
            }
        }
    }
    for route in crate::system::routes(tree, &system.phandles, id) {
        let cells: Vec<String> = route.cells.iter().map(u32::to_string).collect();
        let _ = writeln!(out, "  interrupt  {} at {}", cells.join(" "), tree.name_of(route.controller));
    }
    for (domain, access) in system.owners(id) {
        let shared = if access.flags.shared() { ", shared" } else { "" };
        let _ = writeln!(out, "  given to   {}{shared}", system.domains[domain].name);
    }
    out.push('\n');
    out.push_str(&print::node_to_dts(tree, id, Some(&loaded.sources)));
    Some(out)
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
    match emit::resource_entries(&layout) {
        Ok(entries) if entries.is_empty() => {}
        Ok(_) => match emit::resource_table(&layout) {
            Ok(bytes) => files.push(file("-resource_table.bin", bytes)),
            Err(error) => notes.push(format!("no resource table: {error}")),
        },
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
