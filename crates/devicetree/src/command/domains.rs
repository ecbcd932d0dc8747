//! `tutti dt domains`: the execution domains as a listing.

use serde::Serialize;

use crate::cells::{self, Region};
use crate::diag::Diags;
use crate::system::{DomainIndex, Relation, System};
use crate::tree::Tree;

/// One execution domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DomainRow {
    /// Its name.
    pub name: String,
    /// Its node.
    pub path: String,
    /// How many domains are around it.
    pub depth: usize,
    /// `id`.
    pub id: Option<u32>,
    /// The system that runs in it.
    pub os: &'static str,
    /// Its CPUs.
    pub cpus: Vec<CpuRow>,
    /// What it is given by `memory` and `sram`.
    pub memory: Vec<MemoryRow>,
    /// Carveouts that it names.
    pub carveouts: Vec<CarveoutRow>,
    /// What its `access` names.
    pub devices: Vec<DeviceRow>,
    /// Whether it also has every device that no domain is given.
    pub has_the_rest: bool,
    /// Agreements with other domains.
    pub relations: Vec<RelationRow>,
}

/// CPUs of one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CpuRow {
    /// The cluster's label or name.
    pub cluster: String,
    /// Bit *n*: the cluster's *n*-th CPU.
    pub mask: u32,
}

/// A stretch of memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MemoryRow {
    /// Where.
    #[serde(flatten)]
    pub region: Region,
    /// By `sram` rather than `memory`.
    pub on_chip: bool,
    /// Whether another domain may have it too.
    pub shared: bool,
}

/// A carveout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CarveoutRow {
    /// Its node.
    pub path: String,
    /// Where; nothing if Linux is to allocate it.
    pub region: Option<Region>,
}

/// A device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceRow {
    /// Its node.
    pub path: String,
    /// Whether another domain may have it too.
    pub shared: bool,
}

/// An agreement with another domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RelationRow {
    /// `remoteproc`, `rpmsg` or `libmetal`.
    pub kind: &'static str,
    /// `to` a remote, or `from` a host.
    pub direction: &'static str,
    /// The other domain's name.
    pub peer: String,
}

impl RelationRow {
    pub(crate) fn new(system: &System<'_>, relation: &Relation) -> Self {
        Self {
            kind: relation.kind.word(),
            direction: if relation.host { "to" } else { "from" },
            peer: system.domains.get(relation.peer).map_or_else(String::new, |d| d.name.clone()),
        }
    }
}

impl std::fmt::Display for RelationRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.kind, self.direction, self.peer)
    }
}

/// All domains, outer before inner.
#[must_use]
pub fn domains(tree: &Tree) -> Vec<DomainRow> {
    let system = System::read(tree, &mut Diags::default());
    (0..system.domains.len()).filter_map(|index| row(&system, index)).collect()
}

fn row(system: &System<'_>, index: DomainIndex) -> Option<DomainRow> {
    let tree = system.tree;
    let domain = system.domains.get(index)?;
    let cluster = |at: usize| system.clusters.get(at).map_or_else(String::new, |c| tree.name_of(c.node));
    let carveout = |node| CarveoutRow {
        path: tree.path(node),
        region: system.carveout(node).map_or_else(|| cells::first_region(tree, node), |c| c.region),
    };
    Some(DomainRow {
        name: domain.name.clone(),
        path: tree.path(domain.node),
        depth: (0..system.domains.len()).filter(|other| *other != index && system.encloses(*other, index)).count(),
        id: domain.id,
        os: domain.os.word(),
        cpus: domain.cpus.iter().map(|c| CpuRow { cluster: cluster(c.cluster), mask: c.mask }).collect(),
        memory: domain
            .grants
            .iter()
            .map(|g| MemoryRow { region: g.region, on_chip: g.sram, shared: g.flags.shared() })
            .collect(),
        carveouts: domain.carveouts().map(carveout).collect(),
        devices: domain
            .access
            .iter()
            .map(|a| DeviceRow { path: tree.path(a.device), shared: a.flags.shared() })
            .collect(),
        has_the_rest: system.is_default(index),
        relations: domain.relations.iter().map(|r| RelationRow::new(system, r)).collect(),
    })
}
