//! What owners allow apps: rule 8 of the [module](super).
//!
//! The group knows no packages; it keeps an owner's word that apps of one name by one author, from one version on, may use so and so
//! much, and hands it to every member with the rest of its history.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tutti_model::{DeviceId, Name, WallTime};

use super::{
    bits::Bits,
    entry::{Action, EntryHash},
    graph::Graph,
};

/// The most of an app's wants that a grant names.
pub const MAX_GRANTED_WANTS: usize = 32;

/// What an owner allows an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppGrant {
    /// Whose apps: the author's key.
    pub author: DeviceId,
    /// Of which name.
    pub name: Name,
    /// From which version on, as three numbers.
    pub floor: (u16, u16, u16),
    /// Which of its wants it may use, by its own words for them; ascending, each once.
    pub wants: Vec<Name>,
    /// How many KiB of memory one instance may use.
    pub memory_kib: u32,
}

impl AppGrant {
    /// Whether it has the form that every grant has.
    pub(super) fn is_sound(&self) -> bool {
        self.wants.len() <= MAX_GRANTED_WANTS && self.wants.is_sorted_by(|a, b| a.as_str() < b.as_str())
    }
}

/// A grant in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// What is allowed.
    pub grant: AppGrant,
    /// The entry that says so.
    pub entry: EntryHash,
    /// Which owner.
    pub by: DeviceId,
    /// When, by that owner's clock.
    pub at: WallTime,
}

/// The grants in force, given which entries count.
pub(super) fn grants(graph: &Graph, counting: &Bits) -> BTreeMap<Name, Granted> {
    let nodes = graph.nodes();
    let mut about: BTreeMap<Name, Vec<usize>> = BTreeMap::new();
    for at in counting.iter() {
        match &nodes[at].entry.action {
            Action::Allow(grant) => about.entry(grant.name).or_default().push(at),
            Action::Disallow { name } => about.entry(*name).or_default().push(at),
            _ => {}
        }
    }
    let mut found = BTreeMap::new();
    for (name, places) in about {
        let allows = |at: usize| matches!(nodes[at].entry.action, Action::Allow(_));
        let stands = |at: &usize| {
            allows(*at)
                && places.iter().filter(|&&other| other != *at).all(|&other| match allows(other) {
                    // A later word replaces it.
                    true => !nodes[other].past.contains(*at),
                    // Of "yes" and "no" at the same time, "no" holds.
                    false => nodes[*at].past.contains(other),
                })
        };
        let granted = |at: usize| match &nodes[at].entry.action {
            Action::Allow(grant) => Some(Granted {
                grant: grant.clone(),
                entry: nodes[at].hash,
                by: nodes[at].entry.author,
                at: nodes[at].entry.at,
            }),
            _ => None,
        };
        // Of two at the same time, the higher version is not gone back from.
        let best = places.iter().copied().filter(stands).filter_map(granted);
        if let Some(best) = best.max_by_key(|it| (it.grant.floor, std::cmp::Reverse(it.entry))) {
            found.insert(name, best);
        }
    }
    found
}
