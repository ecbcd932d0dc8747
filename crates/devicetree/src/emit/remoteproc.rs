//! Linux remoteproc nodes for the remotes that a host domain starts.
//!
//! - The relation names a `remoteproc` node that the chip's description already has (STM32MP1's `st,stm32mp1-m4`):
//!   it gets `memory-region`, `mboxes`, `mbox-names` and `status = "okay"`.
//! - A Cortex-R5 on a Xilinx chip: a subsystem node by Linux' binding `xlnx,zynqmp-r5fss.yaml`, as chapter 5 of the
//!   System Device Tree specification shows it. Its driver claims the core's memories for itself, so their own nodes,
//!   which the driver of `mmio-sram` would claim before it, are left out.
//! - Anything else: a node of our own, `tutti,remoteproc`, with the same properties.
//!
//! `memory-region` is in Linux' order: firmware, buffers, vring 0, vring 1.

use super::prune::Pruned;
use crate::cells::{self, Region};
use crate::system::{DomainIndex, Relation, RelationKind, System};
use crate::tree::{NodeId, Property, Value};

pub(super) fn add(system: &System<'_>, index: DomainIndex, out: &mut Pruned) {
    let domain = &system.domains[index];
    for relation in domain.relations.iter().filter(|r| r.kind == RelationKind::Remoteproc && r.host) {
        let rpmsg = domain.relations.iter().find(|r| r.kind == RelationKind::Rpmsg && r.peer == relation.peer);
        let node = match relation.driver {
            Some(driver) => {
                out.tree.set_texts(driver, "status", &["okay"]);
                Some(driver)
            }
            None if is_xilinx_r5(system, relation.peer) => xilinx(system, relation, out),
            None => Some(generic(system, relation, out)),
        };
        let Some(node) = node else { continue };
        fill(system, relation, rpmsg, node, relation.driver.is_some(), out);
    }
}

fn fill(
    system: &System<'_>,
    relation: &Relation,
    rpmsg: Option<&Relation>,
    node: NodeId,
    existing: bool,
    out: &mut Pruned,
) {
    let tree = system.tree;
    let mut regions: Vec<NodeId> = relation.elfload.iter().copied().filter(|n| system.carveout(*n).is_some()).collect();
    if let Some(rpmsg) = rpmsg {
        let (vrings, buffers): (Vec<NodeId>, Vec<NodeId>) =
            rpmsg.carveouts.iter().partition(|c| tree.node(**c).name.contains("vring"));
        // STM32's driver wants its vrings and buffers by their names, in any order; Xilinx' wants this one.
        regions.extend(buffers);
        regions.extend(vrings);
    }
    if !regions.is_empty() {
        let list: Vec<_> = regions.into_iter().map(|r| (r, Vec::new())).collect();
        let value = out.tree.phandle_value(&list);
        out.tree.set(node, Property::new("memory-region", value));
    }
    if let Some(rpmsg) = rpmsg.filter(|r| !r.mbox.is_empty()) {
        let cells = |n: NodeId| tree.node(n).cell_count("#mbox-cells", 0);
        let mut list = rpmsg.mbox.clone();
        // A mailbox named alone stands for its two channels.
        if let [(only, args)] = &list[..]
            && args.is_empty()
            && cells(*only) == 1
        {
            list = vec![(*only, vec![0]), (*only, vec![1])];
        }
        let value = out.tree.phandle_value(&list);
        let names: Vec<String> = match (existing, list.len()) {
            (true, n) => (0..n).map(|i| format!("vq{i}")).collect(),
            (false, 2) => vec!["tx".to_owned(), "rx".to_owned()],
            (false, n) => (0..n).map(|i| format!("channel{i}")).collect(),
        };
        out.tree.set(node, Property::new("mboxes", value));
        out.tree.set(node, Property::new("mbox-names", Value::texts(&names)));
    }
}

fn is_xilinx_r5(system: &System<'_>, remote: DomainIndex) -> bool {
    let tree = system.tree;
    let chip = tree.node(tree.root()).property("compatible").and_then(|p| p.value.as_texts()).unwrap_or_default();
    let r5 = system.domains[remote].cpus.first().and_then(|c| system.clusters.get(c.cluster)).is_some_and(|c| {
        c.cpus.first().is_some_and(|cpu| {
            tree.node(*cpu).is_compatible("arm,cortex-r5") || tree.node(*cpu).is_compatible("arm,cortex-r5f")
        })
    });
    r5 && chip.iter().any(|c| c.starts_with("xlnx,"))
}

fn xilinx(system: &System<'_>, relation: &Relation, out: &mut Pruned) -> Option<NodeId> {
    let remote = system.domains.get(relation.peer)?;
    let used = remote.cpus.first()?;
    let lockstep = used.mode >> 30 & 1;
    let tcms: Vec<(NodeId, Region, Region)> = relation
        .elfload
        .iter()
        .filter(|n| system.carveout(**n).is_none())
        .filter_map(|n| Some((*n, cells::first_region(system.tree, *n)?, system.address_for(relation.peer, *n)?)))
        .collect();
    let base = tcms.first().map_or(0, |(_, global, _)| global.start);
    let chip = system.tree.node(system.tree.root());
    let kind = if chip
        .property("compatible")
        .is_some_and(|p| p.value.as_texts().unwrap_or_default().iter().any(|c| c.contains("versal")))
    {
        ("xlnx,versal-r5fss", "xlnx,versal-r5f")
    } else {
        ("xlnx,zynqmp-r5fss", "xlnx,zynqmp-r5f")
    };
    let tree = &mut out.tree;
    let root = tree.root();
    let (a, _) = cells::child_cells(tree, root);
    let node = tree.ensure_child(root, &format!("remoteproc@{base:x}"));
    tree.set_texts(node, "compatible", &[kind.0]);
    tree.set_cells(node, "#address-cells", &[2]);
    tree.set_cells(node, "#size-cells", &[2]);
    let mut ranges = Vec::new();
    let mut reg = Vec::new();
    for (_, global, local) in &tcms {
        ranges.extend(
            cells::to_cells(local.start, 2)
                .into_iter()
                .chain(cells::to_cells(global.start, a))
                .chain(cells::to_cells(global.size, 2)),
        );
        reg.extend(cells::to_cells(local.start, 2).into_iter().chain(cells::to_cells(local.size, 2)));
    }
    tree.set_cells(node, "ranges", &ranges);
    tree.set_cells(node, "xlnx,cluster-mode", &[lockstep]);
    tree.set_cells(node, "xlnx,tcm-mode", &[lockstep]);
    // Which of the two R5: by the TCM that is its own.
    let which = u32::from(base & 0xff_0000 == 0xe9_0000);
    let core = tree.ensure_child(node, &format!("r5f@{which}"));
    tree.set_texts(core, "compatible", &[kind.1]);
    tree.set_cells(core, "reg", &reg);
    let names: Vec<&str> = ["atcm0", "btcm0", "atcm1", "btcm1"].into_iter().take(tcms.len()).collect();
    tree.set_texts(core, "reg-names", &names);
    for (memory, ..) in &tcms {
        tree.remove(*memory);
    }
    let domains: Vec<(NodeId, Vec<u32>)> = tcms
        .iter()
        .filter_map(|(n, ..)| {
            let property = system.tree.node(*n).property("power-domains")?;
            let (uses, _) = crate::refs::uses(system.tree, &system.phandles, *n, property)?;
            let first = uses.first()?;
            Some((first.target?, first.args.clone()))
        })
        .collect();
    if let Some((provider, _)) = domains.first() {
        // The core's own domain comes first: 7 and 8 are the two R5 in Xilinx' firmware.
        let mut all = vec![(*provider, vec![7 + which])];
        all.extend(domains);
        let value = tree.phandle_value(&all);
        tree.set(core, Property::new("power-domains", value));
    }
    Some(core)
}

fn generic(system: &System<'_>, relation: &Relation, out: &mut Pruned) -> NodeId {
    let remote = &system.domains[relation.peer];
    let root = out.tree.root();
    let node = out.tree.ensure_child(root, &format!("remoteproc-{}", remote.name));
    out.tree.set_texts(node, "compatible", &["tutti,remoteproc"]);
    if let Some(id) = remote.id {
        out.tree.set_cells(node, "tutti,domain", &[id]);
    }
    let srams: Vec<_> =
        relation.elfload.iter().filter(|n| system.carveout(**n).is_none()).map(|n| (*n, Vec::new())).collect();
    if !srams.is_empty() {
        let value = out.tree.phandle_value(&srams);
        out.tree.set(node, Property::new("sram", value));
    }
    node
}
