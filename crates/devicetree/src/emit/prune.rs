//! A device tree for one domain: the chip as that domain may see it.
//!
//! - Other clusters, CPUs outside the mask, `/domains` and what only System Device Trees have are left out.
//! - The default domain keeps every device but those that others are given; any other domain keeps what its
//!   `access` names, what those devices need (clocks, resets, pins, …), and its interrupt controller.
//! - Memory becomes what the domain is given. Memory of others inside it becomes `reserved-memory` with `no-map`.
//! - `address-map` is applied: registers and buses stand where this domain's CPUs see them.
//! - The interrupt map that serves several controllers becomes one `interrupt-parent`.
//! - Host domains get a remoteproc node for each remote ([`super::remoteproc`]).
//! - A property that still refers to something left out is dropped, and said so in [`Pruned::notes`].

use std::collections::HashSet;

use super::remoteproc;
use crate::cells::{self, Place, Region};
use crate::refs;
use crate::system::{DomainIndex, System, routes};
use crate::tree::{NodeId, Property, Tree, Value};

/// A domain's tree.
#[derive(Debug, Clone)]
pub struct Pruned {
    /// The tree.
    pub tree: Tree,
    /// What was dropped and why.
    pub notes: Vec<String>,
}

/// Makes a domain's tree.
#[must_use]
pub fn prune(system: &System<'_>, index: DomainIndex) -> Option<Pruned> {
    let domain = system.domains.get(index)?;
    let mut out = Pruned { tree: system.tree.clone(), notes: Vec::new() };
    let keep = Keep::decide(system, index);
    for id in system.tree.walk().collect::<Vec<_>>() {
        if !out.tree.node(id).deleted && keep.drops(system, index, id) {
            out.tree.remove(id);
        }
    }
    clusters(system, index, &mut out.tree);
    memory(system, index, &mut out);
    interrupts(system, index, &mut out.tree);
    addresses(system, index, &mut out.tree);
    own_nodes(system, domain.node, &mut out.tree);
    remoteproc::add(system, index, &mut out);
    dangling(system, &mut out);
    Some(out)
}

struct Keep {
    default: bool,
    /// Kept with everything below.
    whole: HashSet<NodeId>,
    /// Kept for what is below.
    path: HashSet<NodeId>,
}

impl Keep {
    fn decide(system: &System<'_>, index: DomainIndex) -> Self {
        let tree = system.tree;
        let domain = &system.domains[index];
        let mut keep = Self { default: system.is_default(index), whole: HashSet::new(), path: HashSet::new() };
        if keep.default {
            return keep;
        }
        let mut todo: Vec<NodeId> = domain.access.iter().map(|a| a.device).collect();
        let inner = system.domains.iter().enumerate().filter(|(i, _)| system.encloses(index, *i));
        for (_, d) in inner {
            todo.extend(d.access.iter().map(|a| a.device));
            todo.extend(d.carveouts());
            todo.extend(d.relations.iter().flat_map(|r| r.mbox.iter().map(|(n, _)| *n).chain(r.timer.iter().copied())));
            todo.extend(d.cpus.iter().filter_map(|c| system.clusters.get(c.cluster)).map(|c| c.node));
        }
        for grant in &domain.grants {
            todo.extend(system.memories.iter().filter(|m| m.region.overlaps(grant.region)).map(|m| m.node));
        }
        while let Some(id) = todo.pop() {
            if !keep.whole.insert(id) {
                continue;
            }
            let mut up = tree.parent(id);
            while let Some(parent) = up {
                keep.path.insert(parent);
                up = tree.parent(parent);
            }
            for below in tree.walk_from(id) {
                for property in tree
                    .node(below)
                    .properties()
                    .filter(|p| !matches!(p.name.as_str(), "address-map" | "interrupt-parent" | "interrupt-map"))
                {
                    let Some((uses, _)) = refs::uses(tree, &system.phandles, below, property) else { continue };
                    todo.extend(uses.into_iter().filter_map(|u| u.target).filter(|t| !others_own(system, index, *t)));
                }
                let reached = routes(tree, &system.phandles, below).into_iter().map(|r| r.controller);
                todo.extend(reached.filter(|c| visible(system, index, *c)));
            }
        }
        keep
    }

    fn drops(&self, system: &System<'_>, index: DomainIndex, id: NodeId) -> bool {
        let tree = system.tree;
        let Some(parent) = tree.parent(id) else { return false };
        let node = tree.node(id);
        if parent == tree.root() && node.name == "domains" {
            return true;
        }
        if let Some(cluster) = system.clusters.iter().position(|c| c.node == id) {
            return !system.domains[index].cpus.iter().any(|c| c.cluster == cluster);
        }
        if let Some((cluster, cpu)) =
            system.clusters.iter().enumerate().find_map(|(i, c)| Some((i, c.cpus.iter().position(|n| *n == id)?)))
        {
            let mask = system.domains[index].cpus.iter().filter(|c| c.cluster == cluster).fold(0, |m, c| m | c.mask);
            return cpu >= 32 || mask >> cpu & 1 == 0;
        }
        if node.is_compatible("indirect-bus") && !visible(system, index, id) {
            return true;
        }
        let is_carveout = system.carveout(id).is_some();
        let always = parent == tree.root()
            && matches!(node.name.as_str(), "chosen" | "aliases" | "reserved-memory" | "__symbols__");
        if self.default {
            let needed =
                system.domains[index].relations.iter().any(|r| r.elfload.contains(&id) || r.carveouts.contains(&id));
            return !is_carveout && !always && !needed && others_own(system, index, id);
        }
        if is_carveout {
            return !self.whole.contains(&id);
        }
        let inside = || {
            let mut at = Some(id);
            std::iter::from_fn(move || {
                let this = at?;
                at = tree.parent(this);
                Some(this)
            })
        };
        !always && !self.path.contains(&id) && !inside().any(|n| self.whole.contains(&n))
    }
}

/// Whether the CPUs of a domain see a node: its registers, or for a bus, itself.
fn visible(system: &System<'_>, index: DomainIndex, id: NodeId) -> bool {
    let tree = system.tree;
    system.domains[index].cpus.iter().filter_map(|c| system.clusters.get(c.cluster)).any(|cluster| {
        if tree.node(id).is_compatible("indirect-bus") {
            return cluster.map.iter().any(|m| tree.is_within(m.target, id) || tree.is_within(id, m.target));
        }
        let places = cells::regions(tree, id);
        places.is_empty() || places.iter().any(|p| cluster.sees(tree, id, *p).is_some())
    })
}

/// Whether a node is given to other domains and not to this one.
fn others_own(system: &System<'_>, index: DomainIndex, id: NodeId) -> bool {
    let mut others = false;
    for (owner, _) in system.owners(id) {
        if system.encloses(index, owner) || system.encloses(owner, index) {
            return false;
        }
        others = true;
    }
    if system.memories.iter().any(|m| m.node == id && m.sram) {
        let region = cells::first_region(system.tree, id);
        let has =
            |i: DomainIndex| region.is_some_and(|r| system.domains[i].grants.iter().any(|g| g.region.overlaps(r)));
        if has(index) {
            return false;
        }
        others |= (0..system.domains.len()).any(has);
    }
    others
}

fn clusters(system: &System<'_>, index: DomainIndex, tree: &mut Tree) {
    for used in &system.domains[index].cpus {
        let Some(cluster) = system.clusters.get(used.cluster) else { continue };
        for name in ["address-map", "#ranges-address-cells", "#ranges-size-cells", "#cpus-mask-cells", "bus-master-id"]
        {
            tree.remove_property(cluster.node, name);
        }
        if tree.node(cluster.node).text("compatible") == Some("cpus,cluster") {
            tree.remove_property(cluster.node, "compatible");
        }
        let root = tree.root();
        if tree.child(root, "cpus").is_none() && tree.parent(cluster.node) == Some(root) {
            // A dropped /cpus leaves its name free, but not its place in the list of names.
            if let Some(old) = tree.child_with_deleted(root, "cpus") {
                tree.rename(old, "cpus dropped");
            }
            tree.rename(cluster.node, "cpus");
        }
    }
}

fn memory(system: &System<'_>, index: DomainIndex, out: &mut Pruned) {
    let domain = &system.domains[index];
    let tree = &mut out.tree;
    let root = tree.root();
    let (a, s) = cells::child_cells(tree, root);
    let granted: Vec<Region> = domain.grants.iter().filter(|g| !g.sram).map(|g| g.region).collect();
    let main: Vec<NodeId> =
        system.memories.iter().filter(|m| !m.sram && !tree.node(m.node).deleted).map(|m| m.node).collect();
    if !granted.is_empty()
        && let Some(first) = main.first()
    {
        let cells: Vec<u32> = granted
            .iter()
            .flat_map(|r| cells::to_cells(r.start, a).into_iter().chain(cells::to_cells(r.size, s)))
            .collect();
        tree.set_cells(*first, "reg", &cells);
        let name = format!("memory@{:x}", granted[0].start);
        if tree.node(*first).name != name && tree.child_with_deleted(root, &name).is_none() {
            tree.rename(*first, name);
        }
        for other in main.iter().filter(|m| *m != first) {
            tree.remove(*other);
        }
    } else if !system.is_default(index) {
        for node in main {
            let named = domain.carveouts().any(|c| c == node);
            if granted.is_empty() && !named {
                tree.remove(node);
            }
        }
    }
    // Others' memory inside this domain's.
    let mine: Vec<Region> = if granted.is_empty() && system.is_default(index) {
        system.memories.iter().filter(|m| !m.sram).map(|m| m.region).collect()
    } else {
        granted
    };
    for (i, other) in system.domains.iter().enumerate() {
        if system.related(i, index) {
            continue;
        }
        for grant in other.grants.iter().filter(|g| !g.sram && !g.flags.shared()) {
            if !mine.iter().any(|m| m.overlaps(grant.region)) {
                continue;
            }
            let parent = tree.ensure_child(root, "reserved-memory");
            if tree.node(parent).property("ranges").is_none() {
                tree.set_cells(parent, "#address-cells", &[a as u32]);
                tree.set_cells(parent, "#size-cells", &[s as u32]);
                tree.set_flag(parent, "ranges");
            }
            let (a, s) = cells::child_cells(tree, parent);
            let node = tree.ensure_child(parent, &format!("domain-memory@{:x}", grant.region.start));
            tree.set_texts(node, "compatible", &["openamp,domain-memory-v1"]);
            let mut cells = cells::to_cells(grant.region.start, a);
            cells.extend(cells::to_cells(grant.region.size, s));
            tree.set_cells(node, "reg", &cells);
            tree.set_flag(node, "no-map");
        }
    }
}

/// A bus that sends its lines to several controllers gets the one that this domain has.
fn interrupts(system: &System<'_>, index: DomainIndex, tree: &mut Tree) {
    for bus in tree.walk().collect::<Vec<_>>() {
        if tree.node(bus).property("interrupt-map").is_none()
            || tree.node(bus).property("interrupt-controller").is_some()
        {
            continue;
        }
        let zero = tree
            .node(bus)
            .property("interrupt-map-mask")
            .and_then(|p| p.value.as_cells())
            .is_some_and(|m| m.iter().all(|c| *c == 0));
        if !zero {
            continue;
        }
        let reached: Vec<NodeId> = system
            .tree
            .walk_from(bus)
            .flat_map(|n| routes(system.tree, &system.phandles, n))
            .map(|r| r.controller)
            .collect();
        let mapped = map_targets(system, bus);
        let Some(controller) =
            reached.into_iter().chain(mapped).find(|c| !tree.node(*c).deleted && visible(system, index, *c))
        else {
            continue;
        };
        for name in ["interrupt-map", "interrupt-map-mask", "interrupt-map-pass-thru", "#interrupt-cells"] {
            tree.remove_property(bus, name);
        }
        let value = tree.phandle_value(&[(controller, Vec::new())]);
        tree.set(bus, Property::new("interrupt-parent", value));
    }
}

fn map_targets(system: &System<'_>, bus: NodeId) -> Vec<NodeId> {
    let cells = system.tree.node(bus).property("interrupt-map").and_then(|p| p.value.as_cells()).unwrap_or_default();
    cells
        .iter()
        .filter_map(|c| system.phandles.get(c))
        .copied()
        .filter(|n| system.tree.node(*n).property("interrupt-controller").is_some())
        .collect()
}

/// Puts registers where this domain's CPUs see them.
fn addresses(system: &System<'_>, index: DomainIndex, tree: &mut Tree) {
    let Some(cluster) = system.domains[index].cpus.first().and_then(|c| system.clusters.get(c.cluster)) else { return };
    let root = tree.root();
    let (a, s) = cells::child_cells(tree, root);
    for id in tree.walk().collect::<Vec<_>>() {
        let Some(parent) = tree.parent(id) else { continue };
        if system.clusters.iter().any(|c| tree.is_within(id, c.node)) {
            continue;
        }
        if tree.node(id).is_compatible("indirect-bus") {
            let windows: Vec<u32> = cluster
                .map
                .iter()
                .filter(|m| m.target == id)
                .flat_map(|m| {
                    let (ca, cs) = cells::child_cells(tree, id);
                    let mut w = cells::to_cells(m.root, ca);
                    w.extend(cells::to_cells(m.local, a));
                    w.extend(cells::to_cells(m.size, cs));
                    w
                })
                .collect();
            tree.set_texts(id, "compatible", &["simple-bus"]);
            let value = if windows.is_empty() { Value::default() } else { Value::cells(&windows) };
            tree.set(id, Property::new("ranges", value));
            continue;
        }
        let carveout = system.carveout(id).is_some();
        if parent != root && !carveout {
            continue;
        }
        let Ok(regions) = cells::reg(tree, id) else { continue };
        let seen: Vec<Region> = regions
            .iter()
            .map(|r| {
                let mapped =
                    if carveout { cluster.sees_region(*r) } else { cluster.sees(system.tree, id, Place::Root(*r)) };
                mapped.or_else(|| cluster.sees_region(*r)).unwrap_or(*r)
            })
            .collect();
        if seen != regions && !seen.is_empty() {
            let (a, s) = if carveout { cells::child_cells(tree, parent) } else { (a, s) };
            let cells: Vec<u32> = seen
                .iter()
                .flat_map(|r| cells::to_cells(r.start, a).into_iter().chain(cells::to_cells(r.size, s)))
                .collect();
            tree.set_cells(id, "reg", &cells);
            let name = format!("{}@{:x}", tree.node(id).base_name(), seen[0].start);
            if tree.child_with_deleted(parent, &name).is_none() {
                tree.rename(id, name);
            }
        }
    }
}

/// The domain's own `chosen` becomes the tree's.
fn own_nodes(system: &System<'_>, domain: NodeId, tree: &mut Tree) {
    let Some(own) = system.tree.child(domain, "chosen") else { return };
    let root = tree.root();
    let chosen = tree.ensure_child(root, "chosen");
    for property in system.tree.node(own).properties() {
        tree.set(chosen, property.clone());
    }
}

/// Drops what refers to nodes that are gone.
fn dangling(system: &System<'_>, out: &mut Pruned) {
    let phandles = out.tree.phandles();
    let gone = |tree: &Tree, phandle: u32| {
        !phandles.contains_key(&phandle) && system.phandles.get(&phandle).is_some_and(|n| tree.node(*n).deleted)
    };
    for id in out.tree.walk().collect::<Vec<_>>() {
        let path = out.tree.path(id);
        let listing = matches!(path.as_str(), "/aliases" | "/chosen" | "/__symbols__");
        let mut drop: Vec<(String, String)> = Vec::new();
        for property in out.tree.node(id).properties() {
            if let Some((uses, _)) = refs::uses_beyond(&out.tree, system.tree, &system.phandles, id, property)
                && let Some(target) = uses.iter().find(|u| gone(&out.tree, u.phandle)).and_then(|u| u.target)
            {
                drop.push((property.name.clone(), system.tree.name_of(target)));
            } else if listing && let Some(text) = property.value.as_text() {
                let target = text.split(':').next().unwrap_or("");
                let alias = || {
                    let aliases = system.tree.find_exact("/aliases")?;
                    system.tree.node(aliases).text(target).map(str::to_owned)
                };
                let is_path = target.starts_with('/');
                let old = if is_path {
                    Some(target.to_owned())
                } else if path == "/chosen" {
                    alias()
                } else {
                    None
                };
                if let Some(node) = old.and_then(|p| system.tree.find_exact(&p)) {
                    if out.tree.node(node).deleted {
                        drop.push((property.name.clone(), system.tree.name_of(node)));
                    } else if is_path && out.tree.path(node) != target {
                        drop.push((property.name.clone(), String::new()));
                    }
                }
            }
        }
        for (name, target) in drop {
            if target.is_empty() {
                // Only renamed: the new path.
                let old = out.tree.node(id).text(&name).unwrap_or("").to_owned();
                if let Some(node) = system.tree.find_exact(&old) {
                    let new = out.tree.path(node);
                    out.tree.set_texts(id, &name, &[&new]);
                }
                continue;
            }
            out.tree.remove_property(id, &name);
            if path != "/__symbols__" {
                out.notes
                    .push(format!("{path}:{name} left out: it refers to {target}, which this domain does not have"));
            }
        }
    }
}
