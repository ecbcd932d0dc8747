//! Which controllers a device's interrupts reach: parents, `interrupts-extended`, and `interrupt-map` on the way
//! up, which in a System Device Tree sends one line to several controllers.

use std::collections::HashMap;

use crate::tree::{NodeId, Tree};

/// One interrupt at one controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The controller.
    pub controller: NodeId,
    /// The specifier, in the controller's cells.
    pub cells: Vec<u32>,
}

/// A device's interrupt parent before any map.
#[must_use]
pub fn parent(tree: &Tree, phandles: &HashMap<u32, NodeId>, device: NodeId) -> Option<NodeId> {
    let mut at = Some(device);
    while let Some(id) = at {
        let node = tree.node(id);
        if let Some(phandle) = node.cell("interrupt-parent") {
            return phandles.get(&phandle).copied();
        }
        if id != device && (node.property("interrupt-controller").is_some() || node.property("interrupt-map").is_some())
        {
            return Some(id);
        }
        at = tree.parent(id);
    }
    None
}

/// All controllers that a device's interrupts reach.
#[must_use]
pub fn routes(tree: &Tree, phandles: &HashMap<u32, NodeId>, device: NodeId) -> Vec<Route> {
    let node = tree.node(device);
    if let Some(property) = node.property("interrupts-extended") {
        let width = |id: NodeId| tree.node(id).cell_count("#interrupt-cells", 1);
        return crate::refs::list(tree, phandles, property, width)
            .into_iter()
            .filter_map(|u| Some(Route { controller: u.target?, cells: u.args }))
            .collect();
    }
    let (Some(property), Some(parent)) = (node.property("interrupts"), parent(tree, phandles, device)) else {
        return Vec::new();
    };
    let width = tree.node(parent).cell_count("#interrupt-cells", 1).max(1);
    let cells = property.value.as_cells().unwrap_or_default();
    let mut list = Vec::new();
    for specifier in cells.chunks_exact(width) {
        list.extend(mapped(tree, phandles, parent, specifier));
    }
    list
}

/// Through an `interrupt-map` if the parent has one. Unit addresses of children do not matter where the mask leaves
/// them out, which is the only form that System Device Trees use; other maps are left to the operating system.
fn mapped(tree: &Tree, phandles: &HashMap<u32, NodeId>, nexus: NodeId, specifier: &[u32]) -> Vec<Route> {
    let node = tree.node(nexus);
    let Some(map) = node.property("interrupt-map").and_then(|p| p.value.as_cells()) else {
        return vec![Route { controller: nexus, cells: specifier.to_vec() }];
    };
    let address = node.cell_count("#address-cells", 0);
    let width = specifier.len();
    // The specification's example gives the interrupt cells alone, without child address cells.
    let mask = node.property("interrupt-map-mask").and_then(|p| p.value.as_cells()).unwrap_or_default();
    let child = if mask.len() == width { width } else { address + width };
    let mut list = Vec::new();
    let mut at = 0;
    while let Some(phandle) = map.get(at + child) {
        let Some(controller) = phandles.get(phandle).copied() else { break };
        let parent = tree.node(controller);
        let cells = parent.cell_count("#interrupt-cells", 1);
        let start = at + child + 1;
        let with_address = parent.cell_count("#address-cells", 0);
        // Which of the two forms is the entry? The one whose next phandle is one.
        let plain = start + cells;
        let full = start + with_address + cells;
        let ends = |end: usize| end == map.len() || map.get(end + child).is_some_and(|p| phandles.contains_key(p));
        let (from, end) = if ends(full) || !ends(plain) { (start + with_address, full) } else { (start, plain) };
        if mask.iter().skip(child - width).all(|m| *m == 0) {
            list.push(Route { controller, cells: specifier.to_vec() });
        } else if let (Some(want), Some(out)) = (map.get(at + child - width..at + child), map.get(from..end))
            && want == specifier
        {
            list.push(Route { controller, cells: out.to_vec() });
        }
        at = end;
    }
    list
}
