//! Which entries count when they contradict each other: rules 2 to 6 of the [module](super).
//!
//! An entry that takes something away (a *cut*) defeats the entries that need what it took and that it does not
//! know of. That makes a directed graph over the cuts. Where it has no cycle, one pass decides: what nobody counting
//! defeats counts. Where it has one (A removes B while B removes A; a ring of three), the most senior entry of the
//! cycle counts, and what would defeat it does not.

use std::collections::BTreeMap;

use tutti_model::{DeviceId, Role};

use super::{
    bits::Bits,
    entry::Action,
    graph::{Graph, Node},
};

/// Who defeats whom, if they count. Depends on the entries alone.
pub(super) struct Conflicts<'a> {
    graph: &'a Graph,
    /// All entries that can defeat others.
    cuts: Bits,
    /// For each entry, the cuts that defeat it or anything in its chain of authority.
    defeated_by: Vec<Bits>,
    /// For each cut, the cuts that it defeats so.
    defeats: Vec<Bits>,
    /// For each entry, those that name it as their authority.
    carries: Vec<Vec<usize>>,
}

impl<'a> Conflicts<'a> {
    pub(super) fn of(graph: &'a Graph) -> Self {
        let nodes = graph.nodes();
        let mut cuts = Bits::default();
        let mut about_device: BTreeMap<DeviceId, Vec<usize>> = BTreeMap::new();
        let mut about_key = Vec::new();
        for (at, node) in nodes.iter().enumerate() {
            match (&node.entry.action, node.gives) {
                (Action::SetRole { .. }, Some(gives)) if gives.role == Role::Owner => continue,
                (Action::Remove { device, .. }, _) => about_device.entry(*device).or_default().push(at),
                (Action::Add { .. } | Action::Recover { .. } | Action::SetRole { .. }, Some(gives)) => {
                    about_device.entry(gives.device).or_default().push(at);
                }
                (Action::SetRecovery { .. } | Action::Found { recovery: Some(_), .. }, _) => about_key.push(at),
                _ => continue,
            }
            cuts.insert(at);
        }
        let mut defeated_by: Vec<Bits> = Vec::with_capacity(nodes.len());
        for (at, node) in nodes.iter().enumerate() {
            let author = about_device.get(&node.entry.author).filter(|_| node.acts_for.is_some());
            let key = Some(&about_key).filter(|_| is_about_key(node));
            let unknown_to = |cut: &&usize| **cut != at && !nodes[**cut].past.contains(at);
            let candidates = author.into_iter().chain(key).flatten().filter(unknown_to);
            let mut bits: Bits = candidates.copied().filter(|&cut| takes_from(graph, cut, at)).collect();
            if let Some(authority) = node.authority {
                bits.union(&defeated_by[authority]);
            }
            defeated_by.push(bits);
        }
        let mut defeats = vec![Bits::default(); nodes.len()];
        for at in cuts.iter() {
            defeated_by[at].iter().for_each(|cut| defeats[cut].insert(at));
        }
        let mut carries = vec![Vec::new(); nodes.len()];
        for (at, node) in nodes.iter().enumerate() {
            node.authority.into_iter().for_each(|authority| carries[authority].push(at));
        }
        Self { graph, cuts, defeated_by, defeats, carries }
    }

    /// Decides which cuts count, given those that do not in any case.
    pub(super) fn resolve(&self, void: &Bits) -> Bits {
        let mut open = self.cuts.clone();
        for at in void.iter() {
            self.carried_by(at).into_iter().for_each(|at| open.remove(at));
        }
        let mut waits: Vec<usize> = vec![0; self.defeated_by.len()];
        let mut ready = Vec::new();
        for at in open.iter() {
            waits[at] = self.defeated_by[at].common(&open).count();
            if waits[at] == 0 {
                ready.push(at);
            }
        }
        let mut round = Round { conflicts: self, open, waits, ready };
        let mut counting = Bits::default();
        loop {
            while let Some(at) = round.ready.pop() {
                if !round.open.contains(at) {
                    continue;
                }
                round.open.remove(at);
                counting.insert(at);
                for loser in self.defeats[at].common(&round.open.clone()) {
                    round.lose(loser);
                }
            }
            if round.open.is_empty() {
                return counting;
            }
            for cycle in self.first_cycles(&round.open) {
                let Some(winner) = cycle.iter().min_by_key(|&at| self.graph.seniority(at)) else { continue };
                for loser in self.defeated_by[winner].common(&round.open.clone()) {
                    round.lose(loser);
                }
            }
        }
    }

    /// For each entry whether it counts, given the counting cuts.
    pub(super) fn counting(&self, cuts: &Bits) -> Vec<bool> {
        let mut counting: Vec<bool> = Vec::with_capacity(self.carries.len());
        for (at, node) in self.graph.nodes().iter().enumerate() {
            let defeated = match self.cuts.contains(at) {
                true => !cuts.contains(at),
                false => self.defeated_by[at].intersects(cuts),
            };
            counting.push(!defeated && node.authority.is_none_or(|authority| counting[authority]));
        }
        counting
    }

    /// An entry and all that have it in their chain of authority.
    fn carried_by(&self, at: usize) -> Vec<usize> {
        let (mut found, mut next) = (vec![at], 0);
        while let Some(&at) = found.get(next) {
            found.extend(&self.carries[at]);
            next += 1;
        }
        found
    }

    /// The counting cuts that defeat an entry.
    pub(super) fn defeaters<'b>(&'b self, at: usize, counting: &'b Bits) -> impl Iterator<Item = usize> + 'b {
        self.defeated_by[at].common(counting)
    }

    /// The strongly connected components of the open cuts that no open cut outside of them defeats (Kosaraju's
    /// algorithm, over bit sets). There is at least one if any cut is open.
    fn first_cycles(&self, open: &Bits) -> Vec<Bits> {
        let mut fresh = open.clone();
        let mut finished = Vec::new();
        for start in open.iter() {
            let mut path = Vec::new();
            if fresh.contains(start) {
                fresh.remove(start);
                path.push(start);
            }
            while let Some(&at) = path.last() {
                if let Some(next) = self.defeats[at].first_common(&fresh) {
                    fresh.remove(next);
                    path.push(next);
                } else {
                    finished.push(at);
                    path.pop();
                }
            }
        }
        let mut fresh = open.clone();
        let mut found = Vec::new();
        for &start in finished.iter().rev().filter(|&&at| open.contains(at)) {
            if !fresh.contains(start) {
                continue;
            }
            fresh.remove(start);
            let mut component: Bits = [start].into_iter().collect();
            let mut path = vec![start];
            while let Some(&at) = path.last() {
                if let Some(next) = self.defeated_by[at].first_common(&fresh) {
                    fresh.remove(next);
                    component.insert(next);
                    path.push(next);
                } else {
                    path.pop();
                }
            }
            let inward = |at: usize| self.defeated_by[at].common(open).all(|cut| component.contains(cut));
            if component.iter().all(inward) {
                found.push(component);
            }
        }
        found
    }
}

/// The state of [`Conflicts::resolve`].
struct Round<'a, 'b> {
    conflicts: &'b Conflicts<'a>,
    /// Neither counting nor defeated so far.
    open: Bits,
    /// How many cuts may still defeat each.
    waits: Vec<usize>,
    /// Open cuts that nothing can defeat any more.
    ready: Vec<usize>,
}

impl Round<'_, '_> {
    /// A cut does not count, and neither does what rests on it.
    fn lose(&mut self, loser: usize) {
        for lost in self.conflicts.carried_by(loser) {
            if !self.open.contains(lost) {
                continue;
            }
            self.open.remove(lost);
            for freed in self.conflicts.defeats[lost].common(&self.open) {
                self.waits[freed] -= 1;
                if self.waits[freed] == 0 {
                    self.ready.push(freed);
                }
            }
        }
    }
}

fn is_about_key(node: &Node) -> bool {
    matches!(node.entry.action, Action::SetRecovery { .. } | Action::Recover { .. })
}

/// Whether `cut`, which does not have the entry `at` in its past, takes from it what it needs.
fn takes_from(graph: &Graph, cut: usize, at: usize) -> bool {
    let nodes = graph.nodes();
    let (cut_node, node) = (&nodes[cut], &nodes[at]);
    // It was made after the cut, or by something granted after it.
    let after = |place: Option<usize>| place.is_some_and(|place| nodes[place].past.contains(cut));
    let known = |standing: usize| cut_node.past.contains(standing);
    let author_is = |device: DeviceId| node.acts_for.is_some() && node.entry.author == device;
    match cut_node.entry.action {
        // Rules 2 and 4: every standing of the device that the cut knows of has ended.
        Action::Remove { device, .. } | Action::Recover { device, .. } if author_is(device) => {
            node.acts_for.is_some_and(known)
        }
        Action::Add { device, .. } if author_is(device) => {
            node.acts_for.is_some_and(known) || lowers(graph, cut, at) && !after(node.authority)
        }
        // Rule 5: ownership ended, unless it was given again later.
        Action::SetRole { device, .. } if author_is(device) => lowers(graph, cut, at) && !after(node.authority),
        // Rule 6: the first key stands, unless a more senior owner set the second.
        Action::SetRecovery { .. } | Action::Found { .. } => match node.entry.action {
            Action::SetRecovery { .. } if node.past.contains(cut) => graph.author_rank(cut) <= graph.author_rank(at),
            Action::SetRecovery { .. } => graph.seniority(cut) < graph.seniority(at),
            // A new key ends the old one's.
            Action::Recover { .. } => node.authority.is_some_and(known),
            _ => false,
        },
        _ => false,
    }
}

/// Whether a statement of a lower role than owner is about the standing that the author acts for, and it needs to
/// be an owner.
fn lowers(graph: &Graph, cut: usize, at: usize) -> bool {
    let node = &graph.nodes()[at];
    let lower = graph.nodes()[cut].gives.is_some_and(|gives| gives.role < Role::Owner);
    lower && !node.entry.leaves() && node.acts_for.is_some_and(|standing| states_role(graph, cut, standing))
}

/// Whether an entry that gives a role to a device says so about this standing of it: rule 5.
pub(super) fn states_role(graph: &Graph, at: usize, standing: usize) -> bool {
    let nodes = graph.nodes();
    let node = &nodes[at];
    let Some(gives) = node.gives.filter(|gives| nodes[standing].gives.is_some_and(|to| to.device == gives.device))
    else {
        return false;
    };
    let lower = gives.role < Role::Owner;
    match node.entry.action {
        Action::SetRole { .. } => gives.standing == standing || lower && node.past.contains(standing),
        _ if at == standing => true,
        // Two owners added the device at the same time.
        Action::Add { .. } => lower && !node.past.contains(standing) && !nodes[standing].past.contains(at),
        _ => false,
    }
}
