//! Addresses: `reg`, `ranges` and the way from a device up to the root, or to the bus that hides it.

use std::fmt;

use serde::Serialize;

use crate::tree::{NodeId, Property, Tree};

/// A stretch of addresses that does not wrap around.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Region {
    /// First address.
    pub start: u64,
    /// Bytes.
    pub size: u64,
}

impl Region {
    /// From `start`, `size` bytes; `None` if it runs past the last address.
    #[must_use]
    pub fn new(start: u64, size: u64) -> Option<Self> {
        start.checked_add(size.saturating_sub(1)).map(|_| Self { start, size })
    }

    /// The last address.
    #[must_use]
    pub fn last(self) -> u64 {
        self.start + self.size.saturating_sub(1)
    }

    /// Whether they have an address in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.size > 0 && other.size > 0 && self.start <= other.last() && other.start <= self.last()
    }

    /// Whether all of `other` is in this.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.last() <= self.last() && (self.size > 0 || other.size == 0)
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..{:#x}", self.start, u128::from(self.start) + u128::from(self.size))
    }
}

/// A value whose length does not fit what it describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellFault {
    /// The property.
    pub property: String,
    /// What was expected.
    pub expected: String,
}

impl fmt::Display for CellFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}' {}", self.property, self.expected)
    }
}

/// `#address-cells` and `#size-cells` for the children of a node; 2 and 1 where it does not say.
#[must_use]
pub fn child_cells(tree: &Tree, bus: NodeId) -> (usize, usize) {
    let node = tree.node(bus);
    (node.cell_count("#address-cells", 2), node.cell_count("#size-cells", 1))
}

/// A number out of cells, big end first; cells above 64 bits must be address-space bits and are left out.
#[must_use]
pub fn number(cells: &[u32]) -> u64 {
    cells.iter().rev().take(2).rev().fold(0, |n, c| n << 32 | u64::from(*c))
}

/// A number as cells.
#[must_use]
pub fn to_cells(number: u64, count: usize) -> Vec<u32> {
    (0..count).rev().map(|i| if i > 1 { 0 } else { (number >> (32 * i)) as u32 }).collect()
}

fn groups(property: &Property, size: usize, what: &str) -> Result<Vec<Vec<u32>>, CellFault> {
    let fault = |expected: String| CellFault { property: property.name.clone(), expected };
    let cells = property.value.as_cells().ok_or_else(|| fault("does not consist of cells of 32 bits".to_owned()))?;
    if size == 0 || !cells.len().is_multiple_of(size) {
        return Err(fault(format!("has {} cells, which is no multiple of {size} ({what})", cells.len())));
    }
    Ok(cells.chunks(size).map(<[u32]>::to_vec).collect())
}

/// A node's `reg`, in its bus's addresses.
///
/// # Errors
/// When its length does not fit the bus's cells.
pub fn reg(tree: &Tree, id: NodeId) -> Result<Vec<Region>, CellFault> {
    let (Some(property), Some(bus)) = (tree.node(id).property("reg"), tree.parent(id)) else { return Ok(Vec::new()) };
    let (a, s) = child_cells(tree, bus);
    let what = format!("{a} of address and {s} of size, by {}", tree.path(bus));
    let fault = || CellFault {
        property: "reg".to_owned(),
        expected: "describes a region that runs past the last address".to_owned(),
    };
    groups(property, a + s, &what)?
        .iter()
        .map(|g| Region::new(number(&g[..a]), number(&g[a..])).ok_or_else(fault))
        .collect()
}

/// One entry of `ranges`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Address on the bus.
    pub child: u64,
    /// Address on the parent's.
    pub parent: u64,
    /// Bytes.
    pub size: u64,
}

/// A bus's `ranges`: `None` if it has none, empty if addresses pass through unchanged.
///
/// # Errors
/// When its length does not fit.
pub fn ranges(tree: &Tree, bus: NodeId) -> Result<Option<Vec<Window>>, CellFault> {
    let Some(property) = tree.node(bus).property("ranges") else { return Ok(None) };
    if property.value.bytes.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let (a, s) = child_cells(tree, bus);
    let p = tree.parent(bus).map_or(2, |parent| child_cells(tree, parent).0);
    let what = format!("{a} of child address, {p} of parent address and {s} of size");
    let windows = groups(property, a + p + s, &what)?;
    Ok(Some(
        windows
            .iter()
            .map(|g| Window { child: number(&g[..a]), parent: number(&g[a..a + p]), size: number(&g[a + p..]) })
            .collect(),
    ))
}

/// Where a region of a device lies for the rest of the chip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the root's addresses.
    Root(Region),
    /// Behind an `indirect-bus`: only clusters whose `address-map` names the bus see it, at these addresses of the bus.
    Behind(NodeId, Region),
    /// Behind a bus that translates nothing, such as I2C: no CPU addresses it.
    Nowhere,
}

/// Translates a region of `id`'s bus upwards.
#[must_use]
pub fn translate(tree: &Tree, id: NodeId, region: Region) -> Place {
    let mut region = region;
    let mut at = tree.parent(id);
    while let Some(bus) = at {
        if tree.parent(bus).is_none() {
            return Place::Root(region);
        }
        if tree.node(bus).is_compatible("indirect-bus") {
            return Place::Behind(bus, region);
        }
        match ranges(tree, bus) {
            Ok(Some(windows)) if windows.is_empty() => {}
            Ok(Some(windows)) => {
                let hit = windows.iter().find_map(|w| {
                    let window = Region::new(w.child, w.size)?;
                    window
                        .contains(region)
                        .then(|| Region::new(w.parent.checked_add(region.start - w.child)?, region.size))?
                });
                match hit {
                    Some(up) => region = up,
                    None => return Place::Nowhere,
                }
            }
            _ => return Place::Nowhere,
        }
        at = tree.parent(bus);
    }
    Place::Nowhere
}

/// All regions of a node in the root's addresses, or the hiding bus's.
#[must_use]
pub fn regions(tree: &Tree, id: NodeId) -> Vec<Place> {
    reg(tree, id).unwrap_or_default().into_iter().map(|r| translate(tree, id, r)).collect()
}

/// A node's first region wherever it is addressable.
#[must_use]
pub fn first_region(tree: &Tree, id: NodeId) -> Option<Region> {
    regions(tree, id).into_iter().find_map(|p| match p {
        Place::Root(r) | Place::Behind(_, r) => Some(r),
        Place::Nowhere => None,
    })
}
