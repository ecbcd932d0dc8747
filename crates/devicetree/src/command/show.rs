//! `tutti dt show`: one node, with where it is, who reaches it, who has it, and its source.

use std::fmt;

use serde::Serialize;

use crate::cells::{self, Place, Region};
use crate::diag::Diags;
use crate::load::Loaded;
use crate::print;
use crate::source::Position;
use crate::system::{System, routes};

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// Its path.
    pub path: String,
    /// Where its text stands, if there is text.
    pub defined: Option<Position>,
    /// Its registers or memory.
    pub addresses: Vec<AddressRow>,
    /// Where which cluster's CPUs see them.
    pub seen_by: Vec<ViewRow>,
    /// Which controllers its interrupts reach.
    pub interrupts: Vec<InterruptRow>,
    /// The domains whose `access` names it.
    pub given_to: Vec<OwnerRow>,
    /// It as source.
    pub source: String,
}

/// A stretch of addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AddressRow {
    /// Where.
    #[serde(flatten)]
    pub region: Region,
    /// The bus that hides it, if one does.
    pub behind: Option<String>,
}

/// What a cluster sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ViewRow {
    /// The cluster's label or name.
    pub cluster: String,
    /// Where.
    #[serde(flatten)]
    pub region: Region,
}

/// An interrupt at a controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InterruptRow {
    /// The controller's label or name.
    pub controller: String,
    /// The specifier, in the controller's cells.
    pub cells: Vec<u32>,
}

/// A domain that has the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnerRow {
    /// The domain's name.
    pub domain: String,
    /// Whether another domain may have it too.
    pub shared: bool,
}

/// A node by path, label or alias; nothing if there is none.
#[must_use]
pub fn show(loaded: &Loaded, name: &str) -> Option<Shown> {
    let tree = &loaded.tree;
    let id = tree.look_up(name)?;
    let system = System::read(tree, &mut Diags::default());
    let places = cells::regions(tree, id);
    let addresses = places.iter().filter_map(|place| match place {
        Place::Root(region) => Some(AddressRow { region: *region, behind: None }),
        Place::Behind(bus, region) => Some(AddressRow { region: *region, behind: Some(tree.name_of(*bus)) }),
        Place::Nowhere => None,
    });
    let seen_by = system.clusters.iter().flat_map(|cluster| {
        let seen = places.iter().filter_map(|place| cluster.sees(tree, id, *place));
        seen.map(|region| ViewRow { cluster: tree.name_of(cluster.node), region })
    });
    let routes = routes(tree, &system.phandles, id).into_iter();
    Some(Shown {
        path: tree.path(id),
        defined: tree.node(id).span.and_then(|span| loaded.sources.position(span)),
        addresses: addresses.collect(),
        seen_by: seen_by.collect(),
        interrupts: routes
            .map(|route| InterruptRow { controller: tree.name_of(route.controller), cells: route.cells })
            .collect(),
        given_to: system
            .owners(id)
            .filter_map(|(domain, access)| {
                let domain = system.domains.get(domain)?.name.clone();
                Some(OwnerRow { domain, shared: access.flags.shared() })
            })
            .collect(),
        source: print::node_to_dts(tree, id, Some(&loaded.sources)),
    })
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.path)?;
        if let Some(position) = &self.defined {
            writeln!(f, "  defined    {position}")?;
        }
        for AddressRow { region, behind } in &self.addresses {
            let behind = behind.as_ref().map_or_else(String::new, |bus| format!(" behind {bus}"));
            writeln!(f, "  addresses  {region}{behind}")?;
        }
        for ViewRow { cluster, region } in &self.seen_by {
            writeln!(f, "  seen by    {cluster} at {region}")?;
        }
        for InterruptRow { controller, cells } in &self.interrupts {
            let cells: Vec<String> = cells.iter().map(u32::to_string).collect();
            writeln!(f, "  interrupt  {} at {controller}", cells.join(" "))?;
        }
        for OwnerRow { domain, shared } in &self.given_to {
            writeln!(f, "  given to   {domain}{}", if *shared { ", shared" } else { "" })?;
        }
        write!(f, "\n{}", self.source)
    }
}
