//! What a System Device Tree says: clusters, memories, carveouts, execution domains and their relations.
//!
//! By the System Device Tree specification (devicetree.org, in lopper's repository), chapters 2 to 5. Where it is
//! silent, these are our rules:
//!
//! - **Cells of `memory` and `sram`**: `#address-cells` and `#size-cells` of the domain itself, else of the nearest
//!   node above that has them.
//! - **Flags** ([`Flags`]): one cell; bit 0 *shared*, bit 2 *allow-secure*, bit 4 *read-only*, bit 6 *requested*
//!   (the bits that lopper's YAML expansion sets; its "timeshare" is our "shared"). Implicit defaults hold where
//!   an entry has no flag cells.
//! - **Sharing**: memory or a device may be in two domains only if both entries have *shared* set. A carveout is
//!   shared by being named by both. A domain within another shares with it without saying so.
//! - **CPU masks**: bit *n* is the cluster's *n*-th CPU node.
//! - **The default domain** is the one on `/cpus`; it has every device that no other domain is given. Every other
//!   domain has what its `access` names.
//! - **Relations**: `remote`, `host`, `elfload`, `carveouts`, `mbox` and `timer` stand in the relation node or in
//!   `relation0`, `relation1`, … below it.

mod domain;
mod interrupts;

pub use domain::{Access, CpuUse, Domain, Firewall, Flags, Grant, OsType, Relation, RelationKind};
pub use interrupts::{Route, parent as interrupt_parent, routes};

use std::collections::HashMap;

use crate::cells::{self, Place, Region};
use crate::diag::Diags;
use crate::tree::{NodeId, Tree};

/// Index of a domain in [`System::domains`].
pub type DomainIndex = usize;

/// A CPU cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Its node.
    pub node: NodeId,
    /// Whether it is `/cpus`.
    pub default: bool,
    /// Its CPU nodes in order.
    pub cpus: Vec<NodeId>,
    /// Its `address-map`, if it has one.
    pub map: Vec<Mapping>,
}

/// One entry of an `address-map`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// Address for the cluster's CPUs.
    pub local: u64,
    /// The memory, device or bus that is mapped.
    pub target: NodeId,
    /// Address in the root's space, or in the bus's if it is indirect.
    pub root: u64,
    /// Bytes.
    pub size: u64,
}

impl Cluster {
    /// Where the cluster's CPUs see a place; `None` if they do not.
    #[must_use]
    pub fn sees(&self, tree: &Tree, node: NodeId, place: Place) -> Option<Region> {
        let region = match place {
            Place::Nowhere => return None,
            Place::Root(r) | Place::Behind(_, r) => r,
        };
        let mapped = self.map.iter().find_map(|m| {
            let fits = match place {
                Place::Behind(bus, _) => m.target == bus || tree.is_within(node, m.target),
                _ => tree.is_within(node, m.target),
            };
            let window = Region::new(m.root, m.size)?;
            (fits && window.contains(region))
                .then(|| Region::new(m.local.checked_add(region.start - m.root)?, region.size))?
        });
        match place {
            _ if mapped.is_some() => mapped,
            // What no map mentions the default cluster sees where it is.
            Place::Root(_) if self.default || self.map.is_empty() => Some(region),
            _ => None,
        }
    }

    /// Where the cluster sees an address of the root's space, whatever is there.
    #[must_use]
    pub fn sees_region(&self, region: Region) -> Option<Region> {
        let mapped = self.map.iter().find_map(|m| {
            let window = Region::new(m.root, m.size)?;
            window.contains(region).then(|| Region::new(m.local.checked_add(region.start - m.root)?, region.size))?
        });
        mapped.or_else(|| (self.default || self.map.is_empty()).then_some(region))
    }
}

/// A memory that the tree describes.
#[derive(Debug, Clone)]
pub struct MemoryNode {
    /// Its node.
    pub node: NodeId,
    /// Where.
    pub region: Region,
    /// On-chip (`mmio-sram`) rather than main memory.
    pub sram: bool,
}

/// A child of `/reserved-memory`, or of a domain's.
#[derive(Debug, Clone)]
pub struct Carveout {
    /// Its node.
    pub node: NodeId,
    /// Where; `None` if it is to be allocated.
    pub region: Option<Region>,
    /// The domain whose `reserved-memory` it is in; `None` for the top one.
    pub within: Option<DomainIndex>,
}

/// A System Device Tree, understood.
#[derive(Debug, Clone)]
pub struct System<'t> {
    /// The tree.
    pub tree: &'t Tree,
    /// Nodes by phandle.
    pub phandles: HashMap<u32, NodeId>,
    /// Clusters, `/cpus` first if there is one.
    pub clusters: Vec<Cluster>,
    /// Memories.
    pub memories: Vec<MemoryNode>,
    /// Reserved memory.
    pub carveouts: Vec<Carveout>,
    /// Domains, outer before inner.
    pub domains: Vec<Domain>,
}

impl<'t> System<'t> {
    /// Reads a tree's system; what is malformed is reported and left out.
    #[must_use]
    pub fn read(tree: &'t Tree, diags: &mut Diags) -> Self {
        let mut system = Self {
            tree,
            phandles: tree.phandles(),
            clusters: Vec::new(),
            memories: Vec::new(),
            carveouts: Vec::new(),
            domains: Vec::new(),
        };
        system.read_clusters(diags);
        system.read_memories();
        domain::read(&mut system, diags);
        system.read_carveouts();
        system
    }

    fn read_clusters(&mut self, diags: &mut Diags) {
        let tree = self.tree;
        let cpus = tree.find_exact("/cpus");
        let others = tree.walk().filter(|id| Some(*id) != cpus && tree.node(*id).is_compatible("cpus,cluster"));
        for node in cpus.into_iter().chain(others) {
            let map = self.address_map(node, diags);
            let cpus_in = tree
                .children(node)
                .filter(|c| tree.node(*c).text("device_type") == Some("cpu") || tree.node(*c).base_name() == "cpu")
                .collect();
            self.clusters.push(Cluster { node, default: Some(node) == cpus, cpus: cpus_in, map });
        }
    }

    fn address_map(&self, cluster: NodeId, diags: &mut Diags) -> Vec<Mapping> {
        let node = self.tree.node(cluster);
        let Some(property) = node.property("address-map") else { return Vec::new() };
        let a = node.cell_count("#ranges-address-cells", 1);
        let s = node.cell_count("#ranges-size-cells", 1);
        let r = cells::child_cells(self.tree, self.tree.root()).0;
        let all = property.value.as_cells().unwrap_or_default();
        let size = a.saturating_add(1).saturating_add(r).saturating_add(s);
        if all.is_empty() || size > 16 || !all.len().is_multiple_of(size) {
            diags.push(
                crate::check::fault(
                    self.tree,
                    cluster,
                    Some("address-map"),
                    crate::Code::Cells,
                    format!("'address-map' has {} cells, which is no multiple of {size}", all.len()),
                )
                .note(format!("{a} of address, a phandle, {r} of root address, {s} of size")),
            );
            return Vec::new();
        }
        all.chunks(size)
            .filter_map(|g| {
                let target = self.phandles.get(&g[a]).copied();
                if target.is_none() {
                    diags.push(crate::check::fault(
                        self.tree,
                        cluster,
                        Some("address-map"),
                        crate::Code::DanglingPhandle,
                        format!("'address-map' names phandle {:#x}, which no node has", g[a]),
                    ));
                }
                Some(Mapping {
                    local: cells::number(&g[..a]),
                    target: target?,
                    root: cells::number(&g[a + 1..a + 1 + r]),
                    size: cells::number(&g[a + 1 + r..]),
                })
            })
            .collect()
    }

    fn read_memories(&mut self) {
        for node in self.tree.walk() {
            let n = self.tree.node(node);
            let main = n.text("device_type") == Some("memory");
            let sram = n.is_compatible("mmio-sram");
            if !(main || sram) || !n.is_enabled() {
                continue;
            }
            for place in cells::regions(self.tree, node) {
                if let Place::Root(region) | Place::Behind(_, region) = place {
                    self.memories.push(MemoryNode { node, region, sram });
                }
            }
        }
    }

    fn read_carveouts(&mut self) {
        let top = self.tree.find_exact("/reserved-memory").map(|n| (n, None));
        let own = self
            .domains
            .iter()
            .enumerate()
            .filter_map(|(i, d)| Some((self.tree.child(d.node, "reserved-memory")?, Some(i))));
        let parents: Vec<_> = top.into_iter().chain(own).collect();
        for (parent, within) in parents {
            for node in self.tree.children(parent) {
                // A domain's reserved-memory addresses are the root's, however deep it stands.
                let region = cells::reg(self.tree, node).ok().and_then(|r| r.first().copied());
                self.carveouts.push(Carveout { node, region, within });
            }
        }
    }

    /// A domain by name, label or path.
    #[must_use]
    pub fn domain(&self, name: &str) -> Option<DomainIndex> {
        self.domains.iter().position(|d| {
            let node = self.tree.node(d.node);
            d.name == name
                || node.labels.iter().any(|l| l == name.trim_start_matches('&'))
                || self.tree.path(d.node) == name
        })
    }

    /// Whether one is the other or is around it.
    #[must_use]
    pub fn related(&self, a: DomainIndex, b: DomainIndex) -> bool {
        self.encloses(a, b) || self.encloses(b, a)
    }

    /// Whether `outer` is `inner` or around it.
    #[must_use]
    pub fn encloses(&self, outer: DomainIndex, inner: DomainIndex) -> bool {
        let mut at = Some(inner);
        while let Some(i) = at {
            if i == outer {
                return true;
            }
            at = self.domains.get(i).and_then(|d| d.parent);
        }
        false
    }

    /// Whether a domain runs on `/cpus`, and so has what nobody else is given.
    #[must_use]
    pub fn is_default(&self, domain: DomainIndex) -> bool {
        self.domains
            .get(domain)
            .is_some_and(|d| d.cpus.iter().any(|c| self.clusters.get(c.cluster).is_some_and(|c| c.default)))
    }

    /// The domains whose `access` names a device, its bus or something on it.
    pub fn owners(&self, device: NodeId) -> impl Iterator<Item = (DomainIndex, &Access)> {
        self.domains
            .iter()
            .enumerate()
            .flat_map(|(i, d)| d.access.iter().map(move |a| (i, a)))
            .filter(move |(_, a)| self.tree.is_within(device, a.device))
    }

    /// The carveout of a node.
    #[must_use]
    pub fn carveout(&self, node: NodeId) -> Option<&Carveout> {
        self.carveouts.iter().find(|c| c.node == node)
    }

    /// Where a domain's CPUs see a node's first region.
    #[must_use]
    pub fn address_for(&self, domain: DomainIndex, node: NodeId) -> Option<Region> {
        let domain = self.domains.get(domain)?;
        let cluster = self.clusters.get(domain.cpus.first()?.cluster)?;
        if let Some(carveout) = self.carveout(node) {
            return cluster.sees_region(carveout.region?);
        }
        cells::regions(self.tree, node).into_iter().find_map(|place| cluster.sees(self.tree, node, place))
    }
}
