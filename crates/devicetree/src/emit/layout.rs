//! A domain's view in numbers: every address as its own CPUs see it. All generated code comes from this.

use crate::cells::Region;
use crate::system::{DomainIndex, OsType, RelationKind, System, routes};
use crate::tree::{NodeId, Tree};

/// What a region is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegionKind {
    /// Main memory.
    Memory,
    /// On-chip memory.
    Sram,
    /// Reserved, for firmware or sharing.
    Carveout,
}

/// A region with a name fit for code.
#[derive(Debug, Clone)]
pub struct Named {
    /// `UPPER_SNAKE`.
    pub name: String,
    /// The node, for carveouts and memories that have one.
    pub node: Option<NodeId>,
    /// As this domain's CPUs see it.
    pub region: Region,
    /// As the root sees it.
    pub global: Region,
    /// What it is.
    pub kind: RegionKind,
    /// Whether another domain has it too.
    pub shared: bool,
}

/// A device.
#[derive(Debug, Clone)]
pub struct Device {
    /// `UPPER_SNAKE`.
    pub name: String,
    /// The node.
    pub node: NodeId,
    /// First `compatible`.
    pub compatible: String,
    /// Registers.
    pub region: Option<Region>,
    /// Interrupt specifiers at this domain's controller.
    pub interrupts: Vec<Vec<u32>>,
    /// Their numbers as programmers write them: what a GIC's interrupt id or an NVIC's line is.
    pub numbers: Vec<u32>,
    /// Those that `interrupt-names` names, in `UPPER_SNAKE`.
    pub named: Vec<(String, u32)>,
    /// `clock-frequency` and `current-speed`, as far as it has them: what a driver divides by what.
    pub rates: Vec<(&'static str, u32)>,
}

/// An RPMsg or libmetal channel.
#[derive(Debug, Clone)]
pub struct Channel {
    /// The other domain's name.
    pub peer: String,
    /// Whether this side is the host (for RPMsg: the virtio driver).
    pub host: bool,
    /// RPMsg or libmetal.
    pub kind: RelationKind,
    /// Vrings: first the one that carries messages from the remote to the host.
    pub vrings: Vec<Named>,
    /// Descriptors in each.
    pub num: u32,
    /// All other shared memory.
    pub buffers: Vec<Named>,
    /// Doorbells with their channel cells.
    pub mbox: Vec<(Device, Vec<u32>)>,
    /// Timers.
    pub timers: Vec<Device>,
}

/// Everything of one domain.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Its name.
    pub domain: String,
    /// Its system.
    pub os: OsType,
    /// `id`.
    pub id: Option<u32>,
    /// Memory, on-chip memory, carveouts.
    pub regions: Vec<Named>,
    /// Devices it is given.
    pub devices: Vec<Device>,
    /// Channels to other domains.
    pub channels: Vec<Channel>,
    /// Memory that firmware is loaded into, if a host loads it: names among `regions`.
    pub firmware: Vec<Named>,
}

/// A name for code out of a label or node name.
pub(crate) fn upper(tree: &Tree, node: NodeId) -> String {
    let n = tree.node(node);
    let name = n.labels.first().map_or(n.name.as_str(), String::as_str);
    upper_text(name)
}

pub(crate) fn upper_text(name: &str) -> String {
    let text: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    if text.starts_with(|c: char| c.is_ascii_digit()) || text.is_empty() { format!("_{text}") } else { text }
}

/// A domain's layout.
#[must_use]
pub fn layout(system: &System<'_>, index: DomainIndex) -> Option<Layout> {
    let tree = system.tree;
    let domain = system.domains.get(index)?;
    let cluster = domain.cpus.first().and_then(|c| system.clusters.get(c.cluster));
    let local = |region: Region| cluster.and_then(|c| c.sees_region(region)).unwrap_or(region);
    let mut regions: Vec<Named> = Vec::new();
    let mut count = [0usize; 2];
    for grant in &domain.grants {
        let node = system.memories.iter().find(|m| m.region.contains(grant.region)).map(|m| m.node);
        let whole = system.memories.iter().any(|m| m.region == grant.region);
        let slot = usize::from(grant.sram);
        let name = match node.filter(|n| whole && !tree.node(*n).labels.is_empty()) {
            Some(node) => upper(tree, node),
            None => format!("{}{}", if grant.sram { "SRAM" } else { "MEMORY" }, count[slot]),
        };
        count[slot] += 1;
        let kind = if grant.sram { RegionKind::Sram } else { RegionKind::Memory };
        regions.push(Named {
            name,
            node,
            region: local(grant.region),
            global: grant.region,
            kind,
            shared: grant.flags.shared(),
        });
    }
    let carveout = |node: NodeId| -> Option<Named> {
        let global = match system.carveout(node) {
            Some(c) => c.region?,
            None => crate::cells::first_region(tree, node)?,
        };
        let kind = if system.carveout(node).is_some() { RegionKind::Carveout } else { RegionKind::Sram };
        let users = system.domains.iter().filter(|d| d.carveouts().any(|c| c == node)).count();
        Some(Named {
            name: upper(tree, node),
            node: Some(node),
            region: local(global),
            global,
            kind,
            shared: users > 1,
        })
    };
    for node in domain.carveouts() {
        if let Some(named) = carveout(node)
            && !regions.iter().any(|r| r.global == named.global)
        {
            regions.push(named);
        }
    }
    let device = |node: NodeId| device_of(system, index, node);
    let channels = domain
        .relations
        .iter()
        .filter(|r| r.kind != RelationKind::Remoteproc)
        .map(|r| {
            let shared: Vec<Named> = r.carveouts.iter().filter_map(|c| carveout(*c)).collect();
            let (vrings, buffers) = shared.into_iter().partition(|n| n.name.contains("VRING"));
            Channel {
                peer: system.domains.get(r.peer).map(|d| d.name.clone()).unwrap_or_default(),
                host: r.host,
                kind: r.kind,
                vrings,
                num: r.vring_num,
                buffers,
                mbox: r.mbox.iter().map(|(n, args)| (device(*n), args.clone())).collect(),
                timers: r.timer.iter().map(|t| device(*t)).collect(),
            }
        })
        .collect();
    // What the host says it loads this domain's firmware into, as this domain sees it.
    let firmware = system
        .domains
        .iter()
        .flat_map(|d| &d.relations)
        .filter(|r| r.kind == RelationKind::Remoteproc && r.host && r.peer == index)
        .flat_map(|r| &r.elfload)
        .filter_map(|n| carveout(*n))
        .collect();
    Some(Layout {
        domain: domain.name.clone(),
        os: domain.os,
        id: domain.id,
        regions: distinct(regions),
        devices: domain.access.iter().map(|a| device(a.device)).collect(),
        channels,
        firmware,
    })
}

/// Two regions of one name get numbers.
fn distinct(mut regions: Vec<Named>) -> Vec<Named> {
    for i in 1..regions.len() {
        let base = regions[i].name.clone();
        let mut n = 1;
        while regions[..i].iter().any(|r| r.name == regions[i].name) {
            regions[i].name = format!("{base}_{n}");
            n += 1;
        }
    }
    regions
}

fn device_of(system: &System<'_>, index: DomainIndex, node: NodeId) -> Device {
    let tree = system.tree;
    let cluster = system.domains.get(index).and_then(|d| d.cpus.first()).and_then(|c| system.clusters.get(c.cluster));
    let visible = |controller: NodeId| {
        let places = crate::cells::regions(tree, controller);
        places.is_empty() || cluster.is_none_or(|c| places.iter().any(|p| c.sees(tree, controller, *p).is_some()))
    };
    let seen: Vec<_> = routes(tree, &system.phandles, node).into_iter().filter(|r| visible(r.controller)).collect();
    let gic = |controller: NodeId| {
        let names = tree.node(controller).property("compatible").and_then(|p| p.value.as_texts()).unwrap_or_default();
        names.iter().any(|n| n.contains("gic") || n.contains("pl390"))
    };
    let numbers: Vec<u32> = seen.iter().filter_map(|r| interrupt_number(&r.cells, gic(r.controller))).collect();
    let interrupts = seen.into_iter().map(|r| r.cells).collect();
    let names = tree.node(node).property("interrupt-names").and_then(|p| p.value.as_texts()).unwrap_or_default();
    let names: Vec<String> = names.into_iter().map(upper_text).collect();
    // A device some of whose interrupts end elsewhere has names for those too: which is whose cannot be told then.
    let distinct = (1..names.len()).all(|i| !names[..i].contains(&names[i]));
    let whole = names.len() == numbers.len() && distinct;
    let named = names.into_iter().zip(numbers.iter().copied()).filter(|_| whole).collect();
    let rate = |name, property: &str| Some((name, tree.node(node).cell(property)?));
    let rates = [rate("CLOCK_FREQUENCY", "clock-frequency"), rate("CURRENT_SPEED", "current-speed")];
    Device {
        name: upper(tree, node),
        node,
        compatible: tree.node(node).text("compatible").unwrap_or("").to_owned(),
        region: system.address_for(index, node),
        interrupts,
        numbers,
        named,
        rates: rates.into_iter().flatten().collect(),
    }
}

/// A GIC has three cells: kind (0 shared, 1 private), number within the kind, trigger. Other controllers have the
/// number first, or second where a map passes a GIC's three cells through.
fn interrupt_number(cells: &[u32], gic: bool) -> Option<u32> {
    match cells {
        [0, n, _] if gic => n.checked_add(32),
        [1, n, _] if gic => n.checked_add(16),
        [_, n, _] => Some(*n),
        [n, ..] => Some(*n),
        [] => None,
    }
}
