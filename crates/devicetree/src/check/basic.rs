//! What holds for every device tree: lengths, names, references.

use super::{at, fault};
use crate::cells;
use crate::diag::{Code, Diags};
use crate::refs::{self, UseFault};
use crate::system::System;
use crate::tree::{NodeId, Tree};

pub(super) fn check(system: &System<'_>, diags: &mut Diags) {
    let tree = system.tree;
    // Overlays and their helper nodes speak of another tree.
    let skip = |id: NodeId| {
        let mut at = Some(id);
        while let Some(n) = at {
            if matches!(tree.node(n).name.as_str(), "__fixups__" | "__local_fixups__" | "__symbols__" | "__overlay__") {
                return true;
            }
            at = tree.parent(n);
        }
        false
    };
    for id in tree.walk().filter(|id| !skip(*id)) {
        lengths(tree, id, diags);
        unit_address(tree, id, diags);
        references(system, id, diags);
    }
}

fn lengths(tree: &Tree, id: NodeId, diags: &mut Diags) {
    let node = tree.node(id);
    let in_domain = node.is_compatible("openamp,domain-v1");
    if let Some(parent) = tree.parent(id) {
        // A bus without #size-cells where it has #address-cells means an old binding's own layout.
        let said = tree.node(parent).property("#address-cells").is_some() || tree.parent(parent).is_none();
        if let Err(error) = cells::reg(tree, id) {
            let mut diag = fault(tree, id, Some("reg"), Code::Cells, format!("{}: {error}", tree.path(id)));
            if said {
                diag = diag.place(at(tree, parent, Some("#address-cells"), "the bus says so here"));
            } else {
                diag = diag.warning().help(format!(
                    "{} has no #address-cells and #size-cells, so 2 and 1 are assumed",
                    tree.path(parent)
                ));
            }
            diags.push(diag);
        }
        if !in_domain && let Err(error) = cells::ranges(tree, id) {
            diags.push(fault(tree, id, Some("ranges"), Code::Cells, format!("{}: {error}", tree.path(id))));
        }
    }
    for name in ["#address-cells", "#size-cells"] {
        match node.property(name) {
            Some(p) if p.value.as_cell().is_none_or(|n| n > 4) => {
                diags.push(fault(
                    tree,
                    id,
                    Some(name),
                    Code::Cells,
                    format!("'{name}' of {} is not one cell of at most 4", tree.path(id)),
                ));
            }
            _ => {}
        }
    }
}

fn unit_address(tree: &Tree, id: NodeId, diags: &mut Diags) {
    let node = tree.node(id);
    let Some((_, unit)) = node.name.split_once('@') else { return };
    let Some(parent) = tree.parent(id) else { return };
    // Only where the name is an address: on buses that the CPUs address.
    let bus = tree.node(parent);
    let plain = tree.parent(parent).is_none()
        || ["simple-bus", "indirect-bus", "simple-mfd"].iter().any(|c| bus.is_compatible(c))
        || bus.name == "reserved-memory";
    let (Ok(unit), Ok(regions)) = (u64::from_str_radix(unit, 16), cells::reg(tree, id)) else { return };
    if let Some(first) = regions.first().filter(|r| plain && r.start != unit) {
        let message = format!("'{}' says {unit:#x}, its reg begins at {:#x}", node.name, first.start);
        diags.push(
            fault(tree, id, None, Code::UnitAddress, message)
                .note("the name")
                .place(at(tree, id, Some("reg"), "the address"))
                .warning(),
        );
    }
}

fn references(system: &System<'_>, id: NodeId, diags: &mut Diags) {
    let tree = system.tree;
    for property in tree.node(id).properties() {
        // System::read has looked at these.
        if matches!(property.name.as_str(), "access" | "address-map") {
            continue;
        }
        let Some((_, Some(error))) = refs::uses(tree, &system.phandles, id, property) else { continue };
        let name = property.name.as_str();
        let place = format!("'{name}' of {}", tree.path(id));
        let diag = match error {
            UseFault::Dangling { phandle, cell } => fault(
                tree,
                id,
                Some(name),
                Code::DanglingPhandle,
                format!("{place} names phandle {phandle:#x}, which no node has"),
            )
            .note(format!("cell {cell}")),
            UseFault::Short { target, by, wanted, found } => fault(
                tree,
                id,
                Some(name),
                Code::Cells,
                format!("{place} ends after {found} of {wanted} cells for {}", tree.name_of(target)),
            )
            .place(at(tree, target, Some(by), format!("{by} asks for {wanted}"))),
            UseFault::Unsaid { target, by } => fault(
                tree,
                id,
                Some(name),
                Code::Cells,
                format!("{place} names {}, which has no {by}", tree.name_of(target)),
            )
            .place(at(tree, target, None, "the provider"))
            .warning(),
            UseFault::Odd => {
                fault(tree, id, Some(name), Code::Cells, format!("{place} does not consist of cells of 32 bits"))
            }
        };
        diags.push(diag);
    }
    let node = tree.node(id);
    if let (Some(p), Some(parent)) =
        (node.property("interrupts"), crate::system::interrupt_parent(tree, &system.phandles, id))
    {
        let width = tree.node(parent).cell_count("#interrupt-cells", 1).max(1);
        let cells = p.value.as_cells().map_or(1, |c| c.len());
        if p.value.as_cells().is_none() || !cells.is_multiple_of(width) {
            diags.push(
                fault(
                    tree,
                    id,
                    Some("interrupts"),
                    Code::Cells,
                    format!("'interrupts' of {} has {cells} cells, which is no multiple of {width}", tree.path(id)),
                )
                .place(at(
                    tree,
                    parent,
                    Some("#interrupt-cells"),
                    format!("{} asks for {width}", tree.name_of(parent)),
                )),
            );
        }
    }
}
