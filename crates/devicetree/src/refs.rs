//! Which cells of which properties are phandles. In trees from source the marks say so; in blobs only the bindings
//! do, and this is the part of them that almost every board uses (dt-schema's core, and Linux's documentation).

use crate::tree::{NodeId, Property, Tree};
use std::collections::HashMap;

/// How many cells follow a phandle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Args {
    None,
    /// As many as the target's property says.
    By(&'static str),
}

const EXACT: [(&str, Args); 44] = [
    ("interrupt-parent", Args::None),
    ("interrupts-extended", Args::By("#interrupt-cells")),
    ("clocks", Args::By("#clock-cells")),
    ("assigned-clocks", Args::By("#clock-cells")),
    ("assigned-clock-parents", Args::By("#clock-cells")),
    ("power-domains", Args::By("#power-domain-cells")),
    ("resets", Args::By("#reset-cells")),
    ("phys", Args::By("#phy-cells")),
    ("dmas", Args::By("#dma-cells")),
    ("mboxes", Args::By("#mbox-cells")),
    ("iommus", Args::By("#iommu-cells")),
    ("pwms", Args::By("#pwm-cells")),
    ("hwlocks", Args::By("#hwlock-cells")),
    ("io-channels", Args::By("#io-channel-cells")),
    ("interconnects", Args::By("#interconnect-cells")),
    ("thermal-sensors", Args::By("#thermal-sensor-cells")),
    ("sound-dai", Args::By("#sound-dai-cells")),
    ("msi-parent", Args::By("#msi-cells")),
    ("cooling-device", Args::By("#cooling-cells")),
    ("gpios", Args::By("#gpio-cells")),
    ("nvmem-cells", Args::By("#nvmem-cell-cells")),
    ("memory-region", Args::None),
    ("sram", Args::None),
    ("phy-handle", Args::None),
    ("operating-points-v2", Args::None),
    ("cpu-idle-states", Args::None),
    ("next-level-cache", Args::None),
    ("remote-endpoint", Args::None),
    ("fixed-link", Args::None),
    ("mmc-pwrseq", Args::None),
    ("rotation-sensor", Args::None),
    ("backlight", Args::None),
    ("panel", Args::None),
    ("ddc-i2c-bus", Args::None),
    ("vcc-supply", Args::None),
    ("trip", Args::None),
    ("gpu-opp-table", Args::None),
    ("interrupt-affinity", Args::None),
    ("cpu", Args::None),
    ("required-opps", Args::None),
    ("remote", Args::None),
    ("host", Args::None),
    ("elfload", Args::None),
    ("carveouts", Args::None),
];

fn args_of(tree: &Tree, id: NodeId, name: &str) -> Option<Args> {
    if matches!(name, "sram" | "cpu" | "remote" | "host" | "panel" | "fixed-link") && !is_reference(tree, id, name) {
        return None;
    }
    // A hog's `gpios` are the controller's own lines.
    if name == "gpios" && tree.node(id).property("gpio-hog").is_some() {
        return None;
    }
    if let Some((_, args)) = EXACT.iter().find(|(n, _)| *n == name) {
        return Some(*args);
    }
    if let Some(rest) = name.strip_prefix("pinctrl-") {
        return rest.bytes().all(|b| b.is_ascii_digit()).then_some(Args::None);
    }
    if name.ends_with("-supply") {
        return Some(Args::None);
    }
    (name.ends_with("-gpios") && !matches!(name, "nr-gpios" | "snps,nr-gpios")).then_some(Args::By("#gpio-cells"))
}

/// Names that are references only in some places.
fn is_reference(tree: &Tree, id: NodeId, name: &str) -> bool {
    match name {
        // In a domain it is a list of regions.
        "sram" => !tree.node(id).is_compatible("openamp,domain-v1"),
        "remote" | "host" => tree.parent(id).is_some(),
        "cpu" => tree.node(id).property("cpu").is_some_and(|p| p.value.bytes.len() == 4),
        _ => false,
    }
}

/// A phandle in a value, with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// Byte offset.
    pub offset: usize,
    /// The phandle.
    pub phandle: u32,
    /// The node, if there is one.
    pub target: Option<NodeId>,
    /// The cells behind it.
    pub args: Vec<u32>,
}

/// What is wrong with a list of references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UseFault {
    /// No node has this phandle.
    Dangling {
        /// The phandle.
        phandle: u32,
        /// Which cell of the value.
        cell: usize,
    },
    /// The list ends within an entry.
    Short {
        /// The provider of the last entry.
        target: NodeId,
        /// The property that says how many cells follow.
        by: &'static str,
        /// How many it says.
        wanted: usize,
        /// How many there are.
        found: usize,
    },
    /// The provider does not say how many cells follow.
    Unsaid {
        /// The provider.
        target: NodeId,
        /// The property it lacks.
        by: &'static str,
    },
    /// Not a whole number of cells.
    Odd,
}

/// The references of a property, as far as they can be read; `None` if it holds none.
#[must_use]
pub fn uses(
    tree: &Tree,
    phandles: &HashMap<u32, NodeId>,
    id: NodeId,
    property: &Property,
) -> Option<(Vec<Use>, Option<UseFault>)> {
    uses_beyond(tree, tree, phandles, id, property)
}

/// The same for a node of a tree that was made of another one: what it refers to is looked up in that one, where it is
/// still whole. The node itself may be new.
pub(crate) fn uses_beyond(
    own: &Tree,
    tree: &Tree,
    phandles: &HashMap<u32, NodeId>,
    id: NodeId,
    property: &Property,
) -> Option<(Vec<Use>, Option<UseFault>)> {
    let Some(args) = args_of(own, id, &property.name) else { return marked(tree, phandles, property) };
    let Some(cells) = property.value.as_cells() else { return Some((Vec::new(), Some(UseFault::Odd))) };
    let mut list = Vec::new();
    let mut at = 0;
    while let Some(phandle) = cells.get(at).copied() {
        // Zero is an empty place in a list.
        if phandle == 0 || (phandle == u32::MAX && tree.plugin) {
            at += 1;
            continue;
        }
        let Some(target) = phandles.get(&phandle).copied() else {
            return Some((list, Some(UseFault::Dangling { phandle, cell: at })));
        };
        let count = match args {
            Args::None => 0,
            Args::By(by) => match (by, tree.node(target).cell(by)) {
                (_, Some(n)) => n as usize,
                ("#nvmem-cell-cells" | "#msi-cells", None) => 0,
                _ => return Some((list, Some(UseFault::Unsaid { target, by }))),
            },
        };
        let behind = at + 1;
        let Some(end) = behind.checked_add(count).filter(|e| *e <= cells.len()) else {
            let Args::By(by) = args else { break };
            return Some((list, Some(UseFault::Short { target, by, wanted: count, found: cells.len() - behind })));
        };
        list.push(Use { offset: at * 4, phandle, target: Some(target), args: cells[behind..end].to_vec() });
        at = end;
    }
    Some((list, None))
}

/// From the marks that source left: each reference with the cells up to the next.
fn marked(tree: &Tree, phandles: &HashMap<u32, NodeId>, property: &Property) -> Option<(Vec<Use>, Option<UseFault>)> {
    let starts: Vec<usize> = property.value.references().map(|(at, ..)| at).collect();
    if starts.is_empty() {
        return None;
    }
    Some((split(tree, phandles, property, &starts), None))
}

fn split(_tree: &Tree, phandles: &HashMap<u32, NodeId>, property: &Property, starts: &[usize]) -> Vec<Use> {
    let bytes = &property.value.bytes;
    let cell = |at: usize| bytes.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    starts
        .iter()
        .enumerate()
        .filter_map(|(i, at)| {
            let end = starts.get(i + 1).copied().unwrap_or(bytes.len());
            let phandle = cell(*at)?;
            let args = (at + 4..end).step_by(4).map_while(cell).collect();
            Some(Use { offset: *at, phandle, target: phandles.get(&phandle).copied(), args })
        })
        .collect()
}

/// A list of phandles with `cells` behind each; where source marked the references, the marks decide.
#[must_use]
pub fn list(
    tree: &Tree,
    phandles: &HashMap<u32, NodeId>,
    property: &Property,
    cells: impl Fn(NodeId) -> usize,
) -> Vec<Use> {
    let starts: Vec<usize> = property.value.references().map(|(at, ..)| at).collect();
    if !starts.is_empty() {
        return split(tree, phandles, property, &starts);
    }
    let words = property.value.as_cells().unwrap_or_default();
    let mut out = Vec::new();
    let mut at = 0;
    while let Some(phandle) = words.get(at).copied() {
        let target = phandles.get(&phandle).copied();
        let end = (at + 1 + target.map_or(0, &cells)).min(words.len());
        out.push(Use { offset: at * 4, phandle, target, args: words[at + 1..end].to_vec() });
        at = end;
    }
    out
}
