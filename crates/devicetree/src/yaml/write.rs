//! A tree as YAML.

use std::fmt::Write as _;

use crate::cells::{self, Region};
use crate::diag::Diags;
use crate::refs;
use crate::system::{Flags, System};
use crate::tree::{MarkKind, NodeId, Property, Tree, Value};

/// The YAML form of a tree. Phandles become names; `reg`, memory and domains get their simplified forms.
#[must_use]
pub fn to_yaml(tree: &Tree) -> String {
    let mut diags = Diags::default();
    let system = System::read(tree, &mut diags);
    let mut out = String::from("# A System Device Tree in YAML form.\n");
    let mut todo = vec![(tree.root(), 0usize)];
    // Recursion would follow the depth of the tree, which every reader bounds; a stack keeps it flat all the same.
    while let Some((id, depth)) = todo.pop() {
        if id != tree.root() {
            let _ = writeln!(out, "{}{}:", "  ".repeat(depth - 1), key(&tree.node(id).name));
        }
        let mut lines = node_lines(&system, id);
        let children: Vec<NodeId> = tree.children(id).collect();
        if lines.is_empty() && children.is_empty() && id != tree.root() {
            // An empty mapping, on the line of its key.
            out.pop();
            out.push_str(" {}\n");
        }
        for line in &mut lines {
            let _ = writeln!(out, "{}{line}", "  ".repeat(depth));
        }
        todo.extend(children.into_iter().rev().map(|c| (c, depth + 1)));
    }
    out
}

fn key(name: &str) -> String {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b",._+@-".contains(&b))
        && name.starts_with(|c: char| c.is_ascii_alphabetic());
    if plain { name.to_owned() } else { quote(name) }
}

fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn node_lines(system: &System<'_>, id: NodeId) -> Vec<String> {
    let tree = system.tree;
    let node = tree.node(id);
    let mut lines = Vec::new();
    if !node.labels.is_empty() {
        let labels: Vec<String> = node.labels.iter().rev().map(|l| quote(l)).collect();
        lines.push(format!("$label: [{}]", labels.join(", ")));
    }
    let domain = system.domains.iter().find(|d| d.node == id);
    for property in node.properties() {
        let name = property.name.as_str();
        if matches!(name, "phandle" | "linux,phandle") {
            continue;
        }
        if let Some(domain) = domain {
            let name_of = |n: NodeId| quote(&unique_name(tree, n));
            match name {
                "#access-flags-cells" | "#memory-flags-cells" | "#sram-flags-cells" => continue,
                "cpus" if !domain.cpus.is_empty() => {
                    lines.push("cpus:".to_owned());
                    for used in &domain.cpus {
                        let cluster = system.clusters.get(used.cluster).map_or_else(String::new, |c| name_of(c.node));
                        lines.push(format!(
                            "  - {{ cluster: {cluster}, cpumask: {:#x}, mode: {{ secure: {}, el: {:#x} }} }}",
                            used.mask,
                            used.mode >> 31 == 1,
                            used.mode & 0x7fff_ffff
                        ));
                    }
                    continue;
                }
                "memory" | "sram" => {
                    lines.push(format!("{name}:"));
                    let grants: Vec<_> = domain.grants.iter().filter(|g| g.sram == (name == "sram")).collect();
                    let flags = flags(tree, id, name, &mut grants.iter().map(|g| g.flags));
                    for (grant, flags) in grants.iter().zip(flags) {
                        lines.push(format!("  - {{ {}{flags} }}", pair(grant.region)));
                    }
                    continue;
                }
                "access" => {
                    lines.push("access:".to_owned());
                    let flags = flags(tree, id, name, &mut domain.access.iter().map(|a| a.flags));
                    for (access, flags) in domain.access.iter().zip(flags) {
                        lines.push(format!("  - {{ dev: {}{flags} }}", name_of(access.device)));
                    }
                    continue;
                }
                _ => {}
            }
        }
        lines.push(format!("{}: {}", key(name), value(system, id, property)));
    }
    lines
}

/// A name by which the reader finds the node again.
fn unique_name(tree: &Tree, id: NodeId) -> String {
    tree.node(id).labels.first().cloned().unwrap_or_else(|| tree.path(id))
}

fn pair(region: Region) -> String {
    format!("start: {:#x}, size: {:#x}", region.start, region.size)
}

/// The flags of a property's entries. Where none has any but there are cells for them, the first entry says so: it is
/// not the same as having none, for which the domain's implicit defaults hold.
fn flags(tree: &Tree, id: NodeId, property: &str, all: &mut dyn Iterator<Item = Flags>) -> Vec<String> {
    let mut texts: Vec<String> = all.map(flag_words).collect();
    let cells = tree.node(id).cell(&format!("#{property}-flags-cells")).unwrap_or(0);
    if cells > 0
        && texts.iter().all(String::is_empty)
        && let Some(first) = texts.first_mut()
    {
        *first = ", flags: 0".to_owned();
    }
    texts
}

fn flag_words(flags: Flags) -> String {
    if flags.0 == 0 {
        return String::new();
    }
    if flags.unknown() != 0 {
        return format!(", flags: {:#x}", flags.0);
    }
    let mut names = Vec::new();
    let mut said = 0;
    for (name, bit) in Flags::NAMES {
        if flags.0 & bit != 0 && said & bit == 0 {
            names.push(format!("{name}: true"));
            said |= bit;
        }
    }
    format!(", flags: {{ {} }}", names.join(", "))
}

fn value(system: &System<'_>, id: NodeId, property: &Property) -> String {
    let tree = system.tree;
    let bytes = &property.value.bytes;
    if bytes.is_empty() {
        return "true".to_owned();
    }
    if property.name == "reg"
        && let Ok(regions) = cells::reg(tree, id)
        && tree.parent(id).is_some_and(|p| matches!(cells::child_cells(tree, p), (1 | 2, 1 | 2)))
    {
        let pairs: Vec<String> = regions.iter().map(|r| format!("{{ {} }}", pair(*r))).collect();
        return format!("[{}]", pairs.join(", "));
    }
    if let Some((uses, None)) = refs::uses(tree, &system.phandles, id, property)
        && !uses.is_empty()
    {
        let at: Vec<(usize, NodeId)> = uses.iter().filter_map(|u| Some((u.offset, u.target?))).collect();
        let parts: Vec<String> = bytes
            .chunks(4)
            .enumerate()
            .map(|(i, c)| match at.iter().find(|(o, _)| *o == i * 4) {
                Some((_, target)) => quote(&format!("&{}", unique_name(tree, *target))),
                None => format!(
                    "{:#x}",
                    cells::number(&[u32::from_be_bytes([
                        c[0],
                        c.get(1).copied().unwrap_or(0),
                        c.get(2).copied().unwrap_or(0),
                        c.get(3).copied().unwrap_or(0)
                    ])])
                ),
            })
            .collect();
        return format!("!cells [{}]", parts.join(", "));
    }
    if is_text(&property.value)
        && let Some(texts) = property.value.as_texts()
    {
        let texts: Vec<String> = texts.iter().map(|t| quote(t)).collect();
        return if texts.len() == 1 { texts.concat() } else { format!("[{}]", texts.join(", ")) };
    }
    let bits = property.value.marks.iter().find_map(|m| match m.kind {
        MarkKind::Cells(bits) if bits != 32 => Some(bits),
        MarkKind::Bytes => Some(8),
        _ => None,
    });
    let width = match bits {
        Some(bits) if bytes.len().is_multiple_of(usize::from(bits / 8)) => usize::from(bits / 8),
        _ if bytes.len().is_multiple_of(4) => 4,
        _ => 1,
    };
    let tag = match width {
        1 => "!u8 ",
        2 => "!u16 ",
        8 => "!u64 ",
        _ => "",
    };
    let cells: Vec<String> =
        bytes.chunks(width).map(|c| format!("{:#x}", c.iter().fold(0u64, |n, b| n << 8 | u64::from(*b)))).collect();
    format!("{tag}[{}]", cells.join(", "))
}

fn is_text(value: &Value) -> bool {
    if value.marks.is_empty() {
        let printable = |b: &u8| *b == 0 || (0x20..=0x7e).contains(b);
        let zeros = value.bytes.iter().filter(|b| **b == 0).count();
        return value.bytes.last() == Some(&0)
            && value.bytes.iter().all(printable)
            && zeros <= value.bytes.len() - zeros;
    }
    value.marks.iter().all(|m| matches!(m.kind, MarkKind::Text | MarkKind::Path(_)))
}
