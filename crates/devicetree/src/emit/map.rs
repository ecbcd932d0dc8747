//! Who has which memory: a table, and a drawing.
//!
//! The drawing is not to scale (a vring beside a gigabyte would vanish): each stretch between two boundaries gets
//! a height by the logarithm of its size, gaps are drawn as breaks. One column for what the chip has, one for
//! each domain; carveouts lie over the domain's memory, shared ones are hatched.

use std::fmt::Write as _;

use crate::cells::{self, Region};
use crate::command::RelationRow;
use crate::system::System;

/// A box of the drawing: a stretch of memory, and who has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// 0 for what the chip has; for what a domain has, its place in [`System::domains`] and one more.
    pub column: usize,
    /// Where it is.
    pub region: Region,
    /// The name of its node.
    pub label: String,
    /// Whether it is a carveout rather than memory.
    pub carveout: bool,
    /// Whether two domains have it, neither of which is within the other.
    pub shared: bool,
}

fn size(bytes: u64) -> String {
    const UNITS: [(&str, u32); 4] = [("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];
    for (unit, shift) in UNITS {
        let whole = bytes >> shift;
        if whole > 0 {
            let rest = bytes & ((1 << shift) - 1);
            return if rest == 0 {
                format!("{whole} {unit}")
            } else {
                format!("{:.1} {unit}", bytes as f64 / (1u64 << shift) as f64)
            };
        }
    }
    "0 B".to_owned()
}

/// The boxes of the drawing. The work grows with the square of their number.
#[must_use]
pub fn blocks(system: &System<'_>) -> Vec<Block> {
    let tree = system.tree;
    let mut list: Vec<Block> = system
        .memories
        .iter()
        .map(|m| Block { column: 0, region: m.region, label: tree.name_of(m.node), carveout: false, shared: false })
        .collect();
    for (i, domain) in system.domains.iter().enumerate() {
        for grant in &domain.grants {
            let others = system.domains.iter().enumerate().any(|(j, d)| {
                j != i && !system.related(i, j) && d.grants.iter().any(|g| g.region.overlaps(grant.region))
            });
            let label = system.memories.iter().find(|m| m.region == grant.region).map_or_else(
                || if grant.sram { "on-chip".to_owned() } else { "memory".to_owned() },
                |m| tree.name_of(m.node),
            );
            list.push(Block { column: i + 1, region: grant.region, label, carveout: false, shared: others });
        }
        for node in domain.carveouts() {
            let Some(region) = system.carveout(node).map_or_else(|| cells::first_region(tree, node), |c| c.region)
            else {
                continue;
            };
            if list.iter().any(|b| b.column == i + 1 && b.region == region) {
                continue;
            }
            list.push(Block { column: i + 1, region, label: tree.name_of(node), carveout: true, shared: false });
        }
    }
    list.retain(|b| b.region.size > 0);
    // What one names as a carveout the other may have as its memory.
    let held: Vec<(usize, Region)> = list.iter().map(|b| (b.column, b.region)).filter(|(c, _)| *c > 0).collect();
    for block in list.iter_mut().filter(|b| b.column > 0) {
        let other = |(column, region): &(usize, Region)| {
            *region == block.region && *column != block.column && !system.related(column - 1, block.column - 1)
        };
        block.shared |= held.iter().any(other);
    }
    list
}

/// The map as Markdown: memory, devices, channels.
#[must_use]
pub fn markdown_map(system: &System<'_>) -> String {
    let tree = system.tree;
    let model = tree.node(tree.root()).text("model").unwrap_or("this chip");
    let mut out = format!("# Memory map of {model}\n\n| start | end | size | what | who |\n|---|---|---|---|---|\n");
    let mut rows: Vec<(Region, String, String)> = Vec::new();
    for memory in &system.memories {
        let kind = if memory.sram { "on-chip memory" } else { "memory" };
        let users: Vec<&str> = system
            .domains
            .iter()
            .filter(|d| d.grants.iter().any(|g| g.region.overlaps(memory.region)))
            .map(|d| d.name.as_str())
            .collect();
        rows.push((memory.region, format!("{kind} {}", tree.name_of(memory.node)), users.join(", ")));
    }
    for carveout in &system.carveouts {
        let Some(region) = carveout.region else { continue };
        let users: Vec<&str> = system
            .domains
            .iter()
            .filter(|d| d.carveouts().any(|c| c == carveout.node))
            .map(|d| d.name.as_str())
            .collect();
        rows.push((region, format!("carveout {}", tree.name_of(carveout.node)), users.join(", ")));
    }
    rows.sort_by_key(|(r, ..)| (r.start, std::cmp::Reverse(r.size)));
    for (region, what, who) in rows {
        let who = if who.is_empty() { "nobody" } else { &who };
        let _ = writeln!(
            out,
            "| {:#010x} | {:#010x} | {} | {what} | {who} |",
            region.start,
            region.last(),
            size(region.size)
        );
    }
    out.push_str("\n## Devices\n\n| device | registers | who |\n|---|---|---|\n");
    let mut devices: Vec<_> = system.domains.iter().flat_map(|d| d.access.iter().map(|a| a.device)).collect();
    devices.sort_by_key(|d| cells::first_region(tree, *d).map_or(u64::MAX, |r| r.start));
    devices.dedup();
    for device in devices {
        let users: Vec<&str> = system.owners(device).map(|(i, _)| system.domains[i].name.as_str()).collect();
        let place = cells::first_region(tree, device)
            .map_or_else(|| "none".to_owned(), |r| format!("{:#010x}, {}", r.start, size(r.size)));
        let _ = writeln!(out, "| {} | {place} | {} |", tree.name_of(device), users.join(", "));
    }
    out.push_str("\n## Domains\n\n| domain | CPUs | channels |\n|---|---|---|\n");
    for domain in &system.domains {
        let cpus: Vec<String> = domain
            .cpus
            .iter()
            .filter_map(|c| Some(format!("{} {:#x}", tree.name_of(system.clusters.get(c.cluster)?.node), c.mask)))
            .collect();
        let channels: Vec<String> = domain.relations.iter().map(|r| RelationRow::new(system, r).to_string()).collect();
        let _ = writeln!(out, "| {} | {} | {} |", domain.name, cpus.join(", "), channels.join(", "));
    }
    out
}

const COLOURS: [&str; 8] = ["#4e79a7", "#f28e2b", "#59a14f", "#b07aa1", "#e15759", "#76b7b2", "#9c755f", "#edc948"];
const LEFT: f64 = 130.0;
const TOP: f64 = 96.0;
const WIDTH: f64 = 190.0;
const GAP: f64 = 18.0;

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The map as a drawing.
#[must_use]
pub fn svg_map(system: &System<'_>) -> String {
    let blocks = blocks(system);
    let mut edges: Vec<u128> = blocks
        .iter()
        .flat_map(|b| [u128::from(b.region.start), u128::from(b.region.start) + u128::from(b.region.size)])
        .collect();
    edges.sort_unstable();
    edges.dedup();
    // Heights from low addresses at the top to high ones at the bottom.
    let mut y = TOP;
    let mut at: Vec<(u128, f64)> = Vec::with_capacity(edges.len());
    let mut breaks: Vec<f64> = Vec::new();
    for (i, edge) in edges.iter().enumerate() {
        if let Some(before) = i.checked_sub(1).and_then(|i| edges.get(i)) {
            let used =
                blocks.iter().any(|b| u128::from(b.region.start) <= *before && u128::from(b.region.last()) >= edge - 1);
            if used {
                let bits = ((edge - before) as f64).log2();
                y += (bits * 2.4).clamp(26.0, 84.0);
            } else {
                breaks.push(y + 13.0);
                y += 26.0;
            }
        }
        at.push((*edge, y));
    }
    let place = |address: u128| at.iter().find(|(a, _)| *a == address).map_or(TOP, |(_, y)| *y);
    let columns = system.domains.len() + 1;
    let width = LEFT + columns as f64 * (WIDTH + GAP) + 24.0;
    let height = y + 70.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" font-family=\"DejaVu Sans, Arial, sans-serif\">\n"
    );
    out.push_str("<defs><pattern id=\"shared\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><rect width=\"3\" height=\"8\" fill=\"#ffffff\" fill-opacity=\"0.2\"/></pattern></defs>\n");
    let _ = writeln!(out, "<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>");
    let model = system.tree.node(system.tree.root()).text("model").unwrap_or("Memory map");
    let _ = writeln!(
        out,
        "<text x=\"24\" y=\"34\" font-size=\"20\" font-weight=\"bold\" fill=\"#222222\">{}</text>",
        escape(model)
    );
    let _ = writeln!(
        out,
        "<text x=\"24\" y=\"54\" font-size=\"12\" fill=\"#666666\">who has which memory; heights are not to scale</text>"
    );
    for column in 0..columns {
        let x = LEFT + column as f64 * (WIDTH + GAP);
        let title = if column == 0 { "the chip" } else { system.domains[column - 1].name.as_str() };
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" font-size=\"14\" font-weight=\"bold\" text-anchor=\"middle\" fill=\"#222222\">{}</text>",
            x + WIDTH / 2.0,
            TOP - 16.0,
            escape(title)
        );
    }
    let mut last_label = f64::MIN;
    for (address, y) in &at {
        let _ = writeln!(
            out,
            "<line x1=\"{}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#dddddd\" stroke-width=\"1\"/>",
            LEFT - 8.0,
            width - 24.0
        );
        if y - last_label >= 12.0 {
            let _ = writeln!(
                out,
                "<text x=\"{}\" y=\"{}\" font-size=\"11\" font-family=\"DejaVu Sans Mono, monospace\" text-anchor=\"end\" fill=\"#555555\">{address:#010x}</text>",
                LEFT - 14.0,
                y + 4.0
            );
            last_label = *y;
        }
    }
    for y in breaks {
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" font-size=\"12\" text-anchor=\"end\" fill=\"#aaaaaa\">⋮</text>",
            LEFT - 50.0,
            y + 4.0
        );
    }
    let mut order: Vec<&Block> = blocks.iter().collect();
    order.sort_by_key(|b| (b.column, b.carveout, std::cmp::Reverse(b.region.size)));
    for block in order {
        let inset = if block.carveout { 16.0 } else { 0.0 };
        let x = LEFT + block.column as f64 * (WIDTH + GAP) + inset;
        let w = WIDTH - inset;
        let (top, bottom) = (
            place(u128::from(block.region.start)),
            place(u128::from(block.region.start) + u128::from(block.region.size)),
        );
        let fill = if block.column == 0 { "#e4e4e4" } else { COLOURS[(block.column - 1) % COLOURS.len()] };
        let opacity = if block.column == 0 || block.carveout { 1.0 } else { 0.34 };
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"{}\" width=\"{w}\" height=\"{}\" rx=\"3\" fill=\"{fill}\" fill-opacity=\"{opacity}\" stroke=\"#444444\" stroke-opacity=\"0.55\"/>",
            top + 1.0,
            bottom - top - 2.0
        );
        if block.shared {
            let _ = writeln!(
                out,
                "<rect x=\"{x}\" y=\"{}\" width=\"{w}\" height=\"{}\" rx=\"3\" fill=\"url(#shared)\"/>",
                top + 1.0,
                bottom - top - 2.0
            );
        }
        // A memory's label stands in its first free stretch, above the carveouts that cover it.
        let covered = blocks
            .iter()
            .filter(|c| c.column == block.column && c.carveout && !block.carveout && block.region.contains(c.region))
            .map(|c| place(u128::from(c.region.start)))
            .fold(bottom, f64::min);
        let room = if covered - top >= 20.0 { covered } else { bottom };
        let middle = (top + room) / 2.0;
        let colour = if block.carveout && block.column > 0 { "#ffffff" } else { "#222222" };
        let text = format!("{}  {}", block.label, size(block.region.size));
        let fits = (w - 12.0) / 6.4;
        let text =
            if (text.chars().count() as f64) > fits { block.label.chars().take(fits as usize).collect() } else { text };
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" font-size=\"11\" text-anchor=\"middle\" fill=\"{colour}\">{}</text>",
            x + w / 2.0,
            middle + 4.0,
            escape(&text)
        );
    }
    let y = height - 34.0;
    let _ = writeln!(
        out,
        "<rect x=\"{LEFT}\" y=\"{y}\" width=\"26\" height=\"14\" fill=\"{0}\" fill-opacity=\"0.34\" stroke=\"#444444\"/><text x=\"{1}\" y=\"{2}\" font-size=\"11\" fill=\"#444444\">given to the domain</text>",
        COLOURS[0],
        LEFT + 34.0,
        y + 11.0
    );
    let _ = writeln!(
        out,
        "<rect x=\"{0}\" y=\"{y}\" width=\"26\" height=\"14\" fill=\"{1}\" stroke=\"#444444\"/><text x=\"{2}\" y=\"{3}\" font-size=\"11\" fill=\"#444444\">carveout</text>",
        LEFT + 170.0,
        COLOURS[0],
        LEFT + 204.0,
        y + 11.0
    );
    let _ = writeln!(
        out,
        "<rect x=\"{0}\" y=\"{y}\" width=\"26\" height=\"14\" fill=\"{1}\" stroke=\"#444444\"/><rect x=\"{0}\" y=\"{y}\" width=\"26\" height=\"14\" fill=\"url(#shared)\"/><text x=\"{2}\" y=\"{3}\" font-size=\"11\" fill=\"#444444\">shared</text>",
        LEFT + 280.0,
        COLOURS[0],
        LEFT + 314.0,
        y + 11.0
    );
    out.push_str("</svg>\n");
    out
}
