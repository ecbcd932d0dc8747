//! What differs between two trees, apart from order, positions and phandle numbers.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use crate::print::value_to_dts;
use crate::refs;
use crate::tree::{NodeId, Property, Tree, Value};

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Difference {
    /// A node that only the first tree has.
    NodeGone {
        /// Its path.
        path: String,
    },
    /// A node that only the second has.
    NodeNew {
        /// Its path.
        path: String,
    },
    /// A property with another value; `None` where it is missing.
    Property {
        /// The node's path.
        path: String,
        /// Its name.
        name: String,
        /// In the first tree.
        before: Option<String>,
        /// In the second.
        after: Option<String>,
    },
    /// Other memory reservations.
    Reservations,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |v: &Option<String>| match v {
            None => "absent".to_owned(),
            Some(v) if v.is_empty() => "present".to_owned(),
            Some(v) => v.clone(),
        };
        match self {
            Self::NodeGone { path } => write!(f, "- {path}"),
            Self::NodeNew { path } => write!(f, "+ {path}"),
            Self::Property { path, name, before, after } => {
                write!(f, "~ {path}:{name}: {} -> {}", shown(before), shown(after))
            }
            Self::Reservations => f.write_str("~ /memreserve/"),
        }
    }
}

/// All differences, in the first tree's order.
#[must_use]
pub fn diff(a: &Tree, b: &Tree) -> Vec<Difference> {
    let mut list = Vec::new();
    if a.reservations != b.reservations {
        list.push(Difference::Reservations);
    }
    let (pa, pb) = (a.phandles(), b.phandles());
    let mut todo = vec![(a.root(), b.root())];
    while let Some((x, y)) = todo.pop() {
        properties((a, &pa, x), (b, &pb, y), &mut list);
        let mut pairs = Vec::new();
        for child in a.children(x) {
            match b.child(y, &a.node(child).name) {
                Some(other) => pairs.push((child, other)),
                None => list.push(Difference::NodeGone { path: a.path(child) }),
            }
        }
        for child in b.children(y) {
            if a.child(x, &b.node(child).name).is_none() {
                list.push(Difference::NodeNew { path: b.path(child) });
            }
        }
        todo.extend(pairs.into_iter().rev());
    }
    list
}

type Side<'a> = (&'a Tree, &'a HashMap<u32, NodeId>, NodeId);

fn properties(a: Side<'_>, b: Side<'_>, list: &mut Vec<Difference>) {
    let numbering = |name: &str| matches!(name, "phandle" | "linux,phandle");
    for property in a.0.node(a.2).properties().filter(|p| !numbering(&p.name)) {
        let other = b.0.node(b.2).property(&property.name);
        if other.is_some_and(|o| same(a, property, b, o)) {
            continue;
        }
        list.push(Difference::Property {
            path: a.0.path(a.2),
            name: property.name.clone(),
            before: Some(shown(a.0, &property.value)),
            after: other.map(|o| shown(b.0, &o.value)),
        });
    }
    for property in b.0.node(b.2).properties().filter(|p| !numbering(&p.name)) {
        if a.0.node(a.2).property(&property.name).is_none() {
            let after = Some(shown(b.0, &property.value));
            list.push(Difference::Property { path: b.0.path(b.2), name: property.name.clone(), before: None, after });
        }
    }
}

fn shown(tree: &Tree, value: &Value) -> String {
    if value.bytes.is_empty() { String::new() } else { value_to_dts(tree, value) }
}

/// Equal bytes, or equal but for phandles of the same node.
fn same(a: Side<'_>, p: &Property, b: Side<'_>, q: &Property) -> bool {
    let named = |side: Side<'_>, p: &Property| -> Option<Vec<(usize, String)>> {
        let (uses, _) = refs::uses(side.0, side.1, side.2, p)?;
        Some(uses.into_iter().filter_map(|u| Some((u.offset, side.0.path(u.target?)))).collect())
    };
    if p.value.bytes.len() != q.value.bytes.len() {
        return false;
    }
    let (Some(x), Some(y)) =
        (named(a, p).or_else(|| named(b, q).map(|_| Vec::new())), named(b, q).or_else(|| Some(Vec::new())))
    else {
        return p.value.bytes == q.value.bytes;
    };
    // A side that has lost its marks (a blob) knows the places from the other.
    let places: Vec<usize> = x.iter().chain(&y).map(|(o, _)| *o).collect();
    let cell = |side: Side<'_>, p: &Property, at: usize| -> Option<String> {
        let c = p.value.bytes.get(at..at + 4)?;
        let phandle = u32::from_be_bytes([c[0], c[1], c[2], c[3]]);
        side.1.get(&phandle).map(|n| side.0.path(*n))
    };
    if places.is_empty() {
        return p.value.bytes == q.value.bytes;
    }
    let bytes = |p: &Property| {
        let mut bytes = p.value.bytes.clone();
        for at in &places {
            if let Some(slot) = bytes.get_mut(*at..at + 4) {
                slot.fill(0);
            }
        }
        bytes
    };
    bytes(p) == bytes(q) && places.iter().all(|at| cell(a, p, *at) == cell(b, q, *at))
}
