//! Execution domains (`openamp,domain-v1`) and the relations between them.

use super::{DomainIndex, System};
use crate::cells::{self, Region};
use crate::check::fault;
use crate::diag::{Code, Diags};
use crate::refs;
use crate::tree::{NodeId, Tree};

/// What an entry of `access`, `memory` or `sram` allows. The specification leaves the bits open; these are ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags(pub u32);

impl Flags {
    /// Another domain may have it too, if it says the same.
    pub const SHARED: u32 = 1;
    /// Reachable from the secure world.
    pub const ALLOW_SECURE: u32 = 1 << 2;
    /// May be read only.
    pub const READ_ONLY: u32 = 1 << 4;
    /// Asked of the platform's firmware at start.
    pub const REQUESTED: u32 = 1 << 6;
    /// Names in YAML, with their bits.
    pub const NAMES: [(&'static str, u32); 5] = [
        ("shared", Self::SHARED),
        ("timeshare", Self::SHARED),
        ("allow-secure", Self::ALLOW_SECURE),
        ("read-only", Self::READ_ONLY),
        ("requested", Self::REQUESTED),
    ];

    /// Whether sharing is agreed to.
    #[must_use]
    pub fn shared(self) -> bool {
        self.0 & Self::SHARED != 0
    }

    /// Bits that mean nothing.
    #[must_use]
    pub fn unknown(self) -> u32 {
        self.0 & !(Self::SHARED | Self::ALLOW_SECURE | Self::READ_ONLY | Self::REQUESTED)
    }
}

/// The system that runs in a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OsType {
    /// None.
    #[default]
    Baremetal,
    /// Linux.
    Linux,
    /// FreeRTOS.
    FreeRtos,
    /// Zephyr.
    Zephyr,
    /// Something else.
    Other,
}

impl OsType {
    /// The word for it, as the specification writes it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Baremetal => "baremetal",
            Self::Linux => "linux",
            Self::FreeRtos => "freertos",
            Self::Zephyr => "zephyr",
            Self::Other => "other",
        }
    }
}

/// Use of a cluster's CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuUse {
    /// Index in [`System::clusters`].
    pub cluster: usize,
    /// Bit *n*: the cluster's *n*-th CPU.
    pub mask: u32,
    /// Execution level, by the cluster's kind: bit 31 secure; bit 30 lockstep on an R5; bits 0–1 the level on an A53.
    pub mode: u32,
}

/// A stretch of memory given to a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Where.
    pub region: Region,
    /// How.
    pub flags: Flags,
    /// By `sram` rather than `memory`.
    pub sram: bool,
}

/// A device given to a domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// Its node.
    pub device: NodeId,
    /// How.
    pub flags: Flags,
}

/// Which agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationKind {
    /// `openamp,remoteproc-v2`: this domain starts the other.
    Remoteproc,
    /// `openamp,rpmsg-v1`: messages.
    Rpmsg,
    /// `libmetal,ipc-v1`: shared memory and an interrupt.
    Libmetal,
}

impl RelationKind {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Remoteproc => "remoteproc",
            Self::Rpmsg => "rpmsg",
            Self::Libmetal => "libmetal",
        }
    }
}

/// An agreement with another domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// Its node.
    pub node: NodeId,
    /// Which.
    pub kind: RelationKind,
    /// The other domain.
    pub peer: DomainIndex,
    /// Whether the other one is the remote (this one is the host).
    pub host: bool,
    /// What the firmware is loaded into.
    pub elfload: Vec<NodeId>,
    /// Shared memory, in the order given.
    pub carveouts: Vec<NodeId>,
    /// Mailbox or doorbell, with its channel cells.
    pub mbox: Vec<(NodeId, Vec<u32>)>,
    /// Timers.
    pub timer: Vec<NodeId>,
    /// The node of the tree that drives the remote (our property `remoteproc`), such as an STM32MP1's `m4`.
    pub driver: Option<NodeId>,
    /// Descriptors in a vring (our property `vring-num`; 256 if absent, as in Linux).
    pub vring_num: u32,
}

/// One `firewallconf` entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Firewall {
    /// Whom it concerns; `None` for everybody not named.
    pub master: Option<NodeId>,
    /// 0 block, 1 allow, 2 block if possible.
    pub action: u32,
    /// Among the desirable, the higher first.
    pub priority: u32,
}

/// An execution domain.
#[derive(Debug, Clone)]
pub struct Domain {
    /// Its node.
    pub node: NodeId,
    /// Its name: the node's.
    pub name: String,
    /// `id`.
    pub id: Option<u32>,
    /// `os,type`.
    pub os: OsType,
    /// The domain around it.
    pub parent: Option<DomainIndex>,
    /// CPUs.
    pub cpus: Vec<CpuUse>,
    /// `memory` and `sram`.
    pub grants: Vec<Grant>,
    /// `access`.
    pub access: Vec<Access>,
    /// `reserved-memory` references.
    pub reserved: Vec<NodeId>,
    /// Relations.
    pub relations: Vec<Relation>,
    /// `firewallconf` and `firewallconf-default`.
    pub firewalls: Vec<Firewall>,
}

impl Domain {
    /// Every carveout that it names, in `reserved-memory` or a relation.
    pub fn carveouts(&self) -> impl Iterator<Item = NodeId> + '_ {
        let relations = self.relations.iter().flat_map(|r| r.carveouts.iter().chain(&r.elfload));
        let mut seen = std::collections::HashSet::new();
        self.reserved.iter().chain(relations).copied().filter(move |n| seen.insert(*n))
    }
}

pub(super) fn read(system: &mut System<'_>, diags: &mut Diags) {
    let Some(top) = system.tree.find_exact("/domains") else { return };
    let mut todo: Vec<(NodeId, Option<DomainIndex>)> = system.tree.children(top).map(|c| (c, None)).collect();
    todo.reverse();
    while let Some((node, parent)) = todo.pop() {
        let mut around = parent;
        if system.tree.node(node).is_compatible("openamp,domain-v1") {
            let domain = read_domain(system, node, parent, diags);
            system.domains.push(domain);
            around = Some(system.domains.len() - 1);
        }
        let children: Vec<_> = system.tree.children(node).map(|c| (c, around)).collect();
        todo.extend(children.into_iter().rev());
    }
    for index in 0..system.domains.len() {
        let relations = read_relations(system, index, diags);
        system.domains[index].relations = relations;
    }
}

fn read_domain(system: &System<'_>, node: NodeId, parent: Option<DomainIndex>, diags: &mut Diags) -> Domain {
    let tree = system.tree;
    let n = tree.node(node);
    let os = n.text("os,type").map_or(OsType::default(), |text| match text.split(',').next().unwrap_or("") {
        "baremetal" => OsType::Baremetal,
        "linux" => OsType::Linux,
        "freertos" => OsType::FreeRtos,
        "zephyr" => OsType::Zephyr,
        "custom" => OsType::Other,
        other if other.starts_with("x-") => OsType::Other,
        other => {
            diags.push(
                fault(
                    tree,
                    node,
                    Some("os,type"),
                    Code::DomainProperty,
                    format!("'{other}' is no system the specification knows"),
                )
                .warning()
                .help("baremetal, linux, freertos, zephyr, custom or x-VENDOR"),
            );
            OsType::Other
        }
    });
    let mut grants = read_grants(system, node, "memory", diags);
    grants.extend(read_grants(system, node, "sram", diags));
    Domain {
        node,
        name: n.name.clone(),
        id: n.cell("id"),
        os,
        parent,
        cpus: read_cpus(system, node, diags),
        grants,
        access: read_access(system, node, diags),
        reserved: n.property("reserved-memory").map_or_else(Vec::new, |p| {
            refs::list(tree, &system.phandles, p, |_| 0).into_iter().filter_map(|u| u.target).collect()
        }),
        relations: Vec::new(),
        firewalls: read_firewalls(system, node),
    }
}

fn read_cpus(system: &System<'_>, node: NodeId, diags: &mut Diags) -> Vec<CpuUse> {
    let tree = system.tree;
    let Some(property) = tree.node(node).property("cpus") else { return Vec::new() };
    let cells = property.value.as_cells().unwrap_or_default();
    if cells.is_empty() || !cells.len().is_multiple_of(3) {
        diags.push(
            fault(
                tree,
                node,
                Some("cpus"),
                Code::DomainProperty,
                format!("'cpus' has {} cells, not three for each cluster", cells.len()),
            )
            .help("cpus = <&CLUSTER MASK MODE>"),
        );
        return Vec::new();
    }
    let mut list = Vec::new();
    for g in cells.chunks_exact(3) {
        let target = system.phandles.get(&g[0]).copied();
        match system.clusters.iter().position(|c| Some(c.node) == target) {
            Some(cluster) => list.push(CpuUse { cluster, mask: g[1], mode: g[2] }),
            None => {
                let name = target.map_or_else(|| format!("phandle {:#x}", g[0]), |t| tree.path(t));
                let mut diag = fault(
                    tree,
                    node,
                    Some("cpus"),
                    Code::UnknownCluster,
                    format!("domain '{}' runs on {name}, which is no CPU cluster", tree.node(node).name),
                )
                .help("a cluster is /cpus or a node compatible with \"cpus,cluster\"");
                if let Some(t) = target {
                    diag = diag.place(crate::check::at(tree, t, None, "this node"));
                }
                diags.push(diag);
            }
        }
    }
    list
}

/// The nearest node from `node` upwards that has a property of one cell.
fn inherited(tree: &Tree, node: NodeId, name: &str, default: usize) -> usize {
    let mut at = Some(node);
    while let Some(id) = at {
        if tree.node(id).cell(name).is_some() {
            return tree.node(id).cell_count(name, 0);
        }
        at = tree.parent(id);
    }
    default
}

fn flags_of(tree: &Tree, node: NodeId, kind: &str, cells: &[u32]) -> Flags {
    if let Some(first) = cells.first() {
        return Flags(*first);
    }
    let implicit = tree.node(node).property(&format!("{kind}-implicit-default"));
    Flags(implicit.and_then(|p| p.value.as_cells()).and_then(|c| c.first().copied()).unwrap_or(0))
}

fn read_grants(system: &System<'_>, node: NodeId, kind: &'static str, diags: &mut Diags) -> Vec<Grant> {
    let tree = system.tree;
    let Some(property) = tree.node(node).property(kind) else { return Vec::new() };
    let a = inherited(tree, node, "#address-cells", 2);
    let s = inherited(tree, node, "#size-cells", 1);
    let f = tree.node(node).cell_count(&format!("#{kind}-flags-cells"), 0);
    let cells = property.value.as_cells().unwrap_or_default();
    let size = a.saturating_add(s).saturating_add(f);
    if cells.is_empty() || size == 0 || size > 16 || !cells.len().is_multiple_of(size) {
        diags.push(
            fault(tree, node, Some(kind), Code::DomainProperty, format!("'{kind}' has {} cells, which is no multiple of {size}", cells.len()))
                .note(format!("{a} of address, {s} of size and {f} of flags"))
                .help(format!("#address-cells and #size-cells come from the domain or above, the flags' number from #{kind}-flags-cells")),
        );
        return Vec::new();
    }
    let mut list = Vec::new();
    for g in cells.chunks_exact(size) {
        match Region::new(cells::number(&g[..a]), cells::number(&g[a..a + s])) {
            Some(region) => {
                list.push(Grant { region, flags: flags_of(tree, node, kind, &g[a + s..]), sram: kind == "sram" })
            }
            None => diags.push(fault(
                tree,
                node,
                Some(kind),
                Code::DomainProperty,
                format!("'{kind}' has a region that runs past the last address"),
            )),
        }
    }
    list
}

fn read_access(system: &System<'_>, node: NodeId, diags: &mut Diags) -> Vec<Access> {
    let tree = system.tree;
    let Some(property) = tree.node(node).property("access") else { return Vec::new() };
    let count = tree.node(node).cell_count("#access-flags-cells", 0);
    let mut list = Vec::new();
    for used in refs::list(tree, &system.phandles, property, |_| count) {
        let Some(device) = used.target else {
            diags.push(fault(
                tree,
                node,
                Some("access"),
                Code::DanglingPhandle,
                format!("'access' names phandle {:#x}, which no node has", used.phandle),
            ));
            continue;
        };
        if used.args.len() != count {
            diags.push(fault(
                tree,
                node,
                Some("access"),
                Code::DomainProperty,
                format!(
                    "'access' gives {} flag cells for {}, #access-flags-cells says {count}",
                    used.args.len(),
                    tree.name_of(device)
                ),
            ));
        }
        list.push(Access { device, flags: flags_of(tree, node, "access", &used.args) });
    }
    list
}

fn read_firewalls(system: &System<'_>, node: NodeId) -> Vec<Firewall> {
    let n = system.tree.node(node);
    let mut list = Vec::new();
    // The chapter spells it both ways.
    for name in ["firewallconf", "firewallconfig"] {
        if let Some(cells) = n.property(name).and_then(|p| p.value.as_cells()) {
            list.extend(cells.chunks_exact(3).map(|g| Firewall {
                master: system.phandles.get(&g[0]).copied(),
                action: g[1],
                priority: g[2],
            }));
        }
        if let Some(cells) = n.property(&format!("{name}-default")).and_then(|p| p.value.as_cells()) {
            list.extend(cells.chunks_exact(2).map(|g| Firewall { master: None, action: g[0], priority: g[1] }));
        }
    }
    list
}

fn read_relations(system: &System<'_>, index: DomainIndex, diags: &mut Diags) -> Vec<Relation> {
    let tree = system.tree;
    let node = system.domains[index].node;
    let mut list = Vec::new();
    let groups = tree.children(node).filter(|c| tree.node(*c).is_compatible("openamp,domain-to-domain-v1"));
    for relation in groups.flat_map(|g| tree.children(g)) {
        let n = tree.node(relation);
        let kind = if n.is_compatible("openamp,remoteproc-v2") || n.is_compatible("openamp,remoteproc-v1") {
            RelationKind::Remoteproc
        } else if n.is_compatible("openamp,rpmsg-v1") {
            RelationKind::Rpmsg
        } else if n.is_compatible("libmetal,ipc-v1") {
            RelationKind::Libmetal
        } else {
            diags.push(
                fault(
                    tree,
                    relation,
                    Some("compatible"),
                    Code::Relation,
                    format!("'{}' is no relation this program knows", n.text("compatible").unwrap_or("")),
                )
                .warning()
                .help("openamp,remoteproc-v2, openamp,rpmsg-v1 or libmetal,ipc-v1"),
            );
            continue;
        };
        let nested: Vec<NodeId> =
            tree.children(relation).filter(|c| tree.node(*c).name.starts_with("relation")).collect();
        let entries = if nested.is_empty() { vec![relation] } else { nested };
        list.extend(entries.into_iter().filter_map(|e| read_relation(system, e, kind, diags)));
    }
    list
}

fn read_relation(system: &System<'_>, node: NodeId, kind: RelationKind, diags: &mut Diags) -> Option<Relation> {
    let tree = system.tree;
    let n = tree.node(node);
    let nodes = |name: &str| -> Vec<NodeId> {
        n.property(name).map_or_else(Vec::new, |p| {
            refs::list(tree, &system.phandles, p, |_| 0).into_iter().filter_map(|u| u.target).collect()
        })
    };
    let host = n.property("remote").is_some();
    let name = if host { "remote" } else { "host" };
    let Some(target) = nodes(name).first().copied() else {
        diags.push(fault(tree, node, None, Code::Relation, "a relation names the other domain by 'remote' or 'host'"));
        return None;
    };
    let Some(peer) = system.domains.iter().position(|d| d.node == target) else {
        diags.push(
            fault(tree, node, Some(name), Code::Relation, format!("{} is no execution domain", tree.path(target)))
                .place(crate::check::at(tree, target, None, "this node")),
        );
        return None;
    };
    let mbox = n.property("mbox").map_or_else(Vec::new, |p| {
        refs::list(tree, &system.phandles, p, |t| tree.node(t).cell_count("#mbox-cells", 0))
            .into_iter()
            .filter_map(|u| Some((u.target?, u.args)))
            .collect()
    });
    Some(Relation {
        node,
        kind,
        peer,
        host,
        elfload: nodes("elfload"),
        carveouts: nodes("carveouts"),
        mbox,
        timer: nodes("timer"),
        driver: nodes("remoteproc").first().copied(),
        vring_num: n.cell("vring-num").unwrap_or(256),
    })
}
