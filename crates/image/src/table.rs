//! A firmware's resource table, held against what the device tree says: where the two disagree, and which node of the tree has it otherwise.
//!
//! A table may leave an address to the host (all ones), and may have more than the tree asks for: a trace, a vendor's entries. What it says
//! must be so in the tree: memory that it names lies in the domain's, and its virtio devices have the tree's rings.

use tutti_devicetree::{
    emit::{self, Layout, Named},
    system::RelationKind,
    tree::NodeId,
};
use tutti_remoteproc::table::{Carveout, Claim, Entry, PhysClaim, Table, Vdev};

/// What a table can leave open: all ones.
const OPEN: u32 = u32::MAX;

/// One thing in which the two disagree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Difference {
    /// In words: what the firmware's table says, and what the tree says.
    pub(crate) what: String,
    /// The node that says otherwise; none if it is the domain as a whole.
    pub(crate) node: Option<NodeId>,
}

/// Where a firmware's table disagrees with the tree.
pub(crate) fn differences(layout: &Layout, own: &[u8]) -> Vec<Difference> {
    let whole = |what: String| vec![Difference { what, node: None }];
    let own = match Table::new_checked(own) {
        Ok(table) => table,
        Err(finding) => return whole(format!("it cannot be read: {finding}")),
    };
    let tree = match emit::resource_table(layout) {
        Ok(tree) => tree.unwrap_or_default(),
        Err(error) => return whole(format!("the tree has none: {error}")),
    };
    let tree = if tree.is_empty() { None } else { Table::new_checked(tree.as_slice()).ok() };
    let wanted: Vec<Entry<'_>> = tree.iter().flat_map(Table::entries).collect();
    let said: Vec<Entry<'_>> = own.entries().collect();
    let mut found = Vec::new();
    carveouts(layout, &wanted, &said, &mut found);
    devices(layout, &wanted, &said, &mut found);
    for entry in &said {
        let (what, da, len) = match entry {
            Entry::Carveout(it) => (format!("the carveout {}", it.name), it.da, it.len),
            Entry::Trace(it) => (format!("the trace {}", it.name), it.da, it.len),
            _ => continue,
        };
        found.extend(outside(layout, &what, da, len));
    }
    found
}

fn carveouts(layout: &Layout, wanted: &[Entry<'_>], said: &[Entry<'_>], found: &mut Vec<Difference>) {
    fn all<'e>(entries: &'e [Entry<'_>]) -> impl Iterator<Item = &'e Carveout> {
        entries.iter().filter_map(|entry| match entry {
            Entry::Carveout(carveout) => Some(carveout),
            _ => None,
        })
    }
    // The tree's are made of its regions, in their order.
    let regions = layout.firmware.iter().filter(|region| region.kind == emit::RegionKind::Carveout);
    for (wanted, region) in all(wanted).zip(regions) {
        let name = wanted.name;
        let Some(own) = all(said).find(|own| own.name == name) else {
            found.push(of(region, format!("it has no carveout {name}, and the tree has one")));
            continue;
        };
        if own.da != wanted.da && own.da != Claim(OPEN) {
            let what = format!("it has the carveout {name} at {:#x}, and the tree at {:#x}", own.da.0, wanted.da.0);
            found.push(of(region, what));
        } else if own.pa != wanted.pa && own.pa != PhysClaim(OPEN) {
            let what =
                format!("on the bus it has the carveout {name} at {:#x}, and the tree at {:#x}", own.pa.0, wanted.pa.0);
            found.push(of(region, what));
        } else if own.len > wanted.len {
            let what = format!("its carveout {name} has {:#x} bytes, and the tree's {:#x}", own.len, wanted.len);
            found.push(of(region, what));
        }
    }
}

fn devices(layout: &Layout, wanted: &[Entry<'_>], said: &[Entry<'_>], found: &mut Vec<Difference>) {
    fn all<'e, 'b>(entries: &'e [Entry<'b>]) -> Vec<&'e Vdev<'b>> {
        let vdev = |entry: &'e Entry<'b>| match entry {
            Entry::Vdev(vdev) => Some(vdev),
            _ => None,
        };
        entries.iter().filter_map(vdev).collect()
    }
    let (wanted, said) = (all(wanted), all(said));
    if wanted.len() != said.len() {
        let what = format!("it has {} virtio devices, and the tree {}", said.len(), wanted.len());
        found.push(Difference { what, node: None });
        return;
    }
    let channels = layout.channels.iter().filter(|channel| channel.kind == RelationKind::Rpmsg && !channel.host);
    for ((wanted, own), channel) in wanted.into_iter().zip(said).zip(channels) {
        if own.vrings.len() != wanted.vrings.len() {
            let what =
                format!("its virtio device has {} rings, and the tree's {}", own.vrings.len(), wanted.vrings.len());
            found.push(Difference { what, node: None });
            continue;
        }
        for ((wanted, own), region) in wanted.vrings.iter().zip(own.vrings.iter()).zip(&channel.vrings) {
            let name = region.name.to_lowercase();
            if own.da != wanted.da && own.da != OPEN {
                found.push(of(region, format!("it has {name} at {:#x}, and the tree at {:#x}", own.da, wanted.da)));
            } else if own.num != wanted.num {
                let what = format!("its {name} has {} entries, and the tree's {}", own.num, wanted.num);
                found.push(of(region, what));
            }
        }
    }
}

/// What is said of memory that the domain does not have.
fn outside(layout: &Layout, what: &str, da: Claim, len: u32) -> Option<Difference> {
    let (start, end) = (u64::from(da.0), u64::from(da.0) + u64::from(len));
    let regions = layout.regions.iter().chain(&layout.firmware);
    let is_home = |named: &Named| {
        let region = named.region;
        start >= region.start && end <= region.start.saturating_add(region.size)
    };
    let known = da == Claim(OPEN) || regions.into_iter().any(is_home);
    let what = || {
        format!("it has {what} at {start:#x} to {:#x}, which is no memory of {}", end.saturating_sub(1), layout.domain)
    };
    (!known).then(|| Difference { what: what(), node: None })
}

fn of(region: &Named, what: String) -> Difference {
    Difference { what, node: region.node }
}
