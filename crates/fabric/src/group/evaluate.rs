//! What the group is, according to its entries: rules 1 to 7 of the [module](super).

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use serde::Serialize;
use tutti_model::{DeviceId, Name, Role, WallTime};

use super::{
    bits::Bits,
    conflict::{Conflicts, states_role},
    entry::{Action, EntryHash},
    grant::{Granted, grants},
    graph::{Graph, Node, Rank},
};

/// How often the evaluation is begun anew because an entry would have taken away the last owner; each time that
/// entry is void. After so many, which takes as many attempts of the only owners to leave, whatever else could take
/// ownership from anybody beside or after the next one is void as well, to keep the time bounded.
const MAX_CORRECTIONS: usize = 16;

/// A device in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// What it may do.
    pub role: Role,
    /// The entry that added it: what a removal names.
    pub add: EntryHash,
    /// What it was called then.
    pub name: Name,
    /// When it was added, by the clock of whoever did.
    pub since: WallTime,
    /// Who added it: itself if it founded the group, the recovery key if recovery words did.
    pub added_by: DeviceId,
}

/// That a device was in the group once and is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Removal {
    /// Who did it.
    pub by: DeviceId,
    /// When, by that device's clock.
    pub at: WallTime,
    /// What happened.
    pub how: Departure,
}

/// How a device came to be no member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Departure {
    /// It left.
    Left,
    /// An owner removed it.
    Removed,
    /// The owner that added it was itself removed or demoted, by somebody who did not know of the new member.
    Cancelled,
}

/// The result.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) members: BTreeMap<DeviceId, Member>,
    pub(super) removed: BTreeMap<DeviceId, Removal>,
    /// For each owner the place of the entry by which it is one.
    pub(super) authority: BTreeMap<DeviceId, usize>,
    /// The place of the entry that set the recovery key.
    pub(super) recovery: Option<usize>,
    /// The places of the entries that count.
    pub(super) counting: Bits,
    /// What apps are allowed.
    pub(super) grants: BTreeMap<Name, Granted>,
}

/// Evaluates a graph. Two graphs with the same entries give the same, in whatever order they came.
pub(super) fn evaluate(graph: &Graph) -> State {
    if graph.nodes().is_empty() {
        return State::default();
    }
    let conflicts = Conflicts::of(graph);
    let standings = standings(graph);
    let (mut void, mut corrections) = (Bits::default(), 0);
    loop {
        let cuts = conflicts.resolve(&void);
        let counts = conflicts.counting(&cuts);
        match Replay::run(graph, &standings, &counts) {
            Ok(replay) => {
                let mut state = replay.finish(&conflicts, &cuts);
                state.grants = grants(graph, &state.counting);
                return state;
            }
            Err(last) => {
                void.insert(last);
                corrections += 1;
                if corrections > MAX_CORRECTIONS {
                    let before = &graph.nodes()[last].past;
                    takers(graph).filter(|&at| !before.contains(at)).for_each(|at| void.insert(at));
                }
            }
        }
    }
}

/// The entries that can take ownership from somebody.
fn takers(graph: &Graph) -> impl Iterator<Item = usize> {
    let gives = graph.nodes().iter().filter_map(|node| node.gives);
    let owners: BTreeSet<DeviceId> =
        gives.filter(|gives| gives.role == Role::Owner).map(|gives| gives.device).collect();
    let takes = move |node: &Node| match (&node.entry.action, node.gives) {
        (Action::Remove { device, .. }, _) => owners.contains(device),
        (_, Some(gives)) => gives.role < Role::Owner && owners.contains(&gives.device),
        _ => false,
    };
    graph.nodes().iter().enumerate().filter(move |(_, node)| takes(node)).map(|(at, _)| at)
}

/// The places where each device was added.
fn standings(graph: &Graph) -> BTreeMap<DeviceId, Vec<usize>> {
    let mut standings: BTreeMap<DeviceId, Vec<usize>> = BTreeMap::new();
    for (at, node) in graph.nodes().iter().enumerate() {
        if let Some(gives) = node.gives.filter(|_| node.is_standing()) {
            standings.entry(gives.device).or_default().push(at);
        }
    }
    standings
}

/// Applies the counting entries one by one, in an order that never lets a later one go before an earlier one.
struct Replay<'a> {
    graph: &'a Graph,
    standings: &'a BTreeMap<DeviceId, Vec<usize>>,
    counts: &'a [bool],
    seats: BTreeMap<usize, Seat>,
    owners: usize,
}

/// One standing while the entries are applied.
#[derive(Clone, Debug, Default)]
struct Seat {
    begun: bool,
    ended: bool,
    /// For each role (guest, member, owner) the statements of it that hold: those that know of every lower one.
    holding: [Vec<usize>; 3],
    /// For each role the last statements of it.
    stated: [Vec<usize>; 3],
}

impl Seat {
    fn role(&self) -> Option<Role> {
        let holds = |role: &Role| !self.holding[*role as usize].is_empty();
        [Role::Owner, Role::Member, Role::Guest].into_iter().find(holds).filter(|_| self.begun && !self.ended)
    }

    fn owns(&self) -> bool {
        self.role() == Some(Role::Owner)
    }

    /// Rule 5. Entries are applied in causal order, so a statement can only know of those before it.
    fn state(&mut self, at: usize, role: Role, past: &Bits) {
        let role = role as usize;
        let known = |places: &Vec<usize>| places.iter().all(|&place| past.contains(place));
        if self.stated[..role].iter().all(known) {
            self.holding[role].push(at);
        }
        self.holding[role + 1..].iter_mut().for_each(Vec::clear);
        self.stated[role].retain(|&place| !past.contains(place));
        self.stated[role].push(at);
    }
}

impl<'a> Replay<'a> {
    /// Applies all counting entries, or gives the first that would leave the group without an owner. Of several
    /// that could come next, those that take ownership away come last, and of those the one against the most senior
    /// owner: so that one is kept.
    fn run(graph: &'a Graph, standings: &'a BTreeMap<DeviceId, Vec<usize>>, counts: &'a [bool]) -> Result<Self, usize> {
        let mut this = Self { graph, standings, counts, seats: BTreeMap::new(), owners: 0 };
        let mut ranks: BTreeMap<usize, Rank> = BTreeMap::new();
        for (_, node) in graph.nodes().iter().enumerate().filter(|&(at, _)| counts[at]) {
            if let Some(gives) = node.gives.filter(|gives| gives.role == Role::Owner) {
                let rank = ranks.entry(gives.standing).or_insert(node.rank);
                *rank = node.rank.min(*rank);
            }
        }
        // The most senior owner from whom each entry takes ownership.
        let against: Vec<Option<Rank>> = (0..graph.nodes().len())
            .map(|at| {
                let gives_it = graph.nodes()[at].gives.is_some_and(|gives| gives.role == Role::Owner);
                let touched = this.touched(at).filter(|&standing| counts[at] && standing != at && !gives_it);
                touched.filter_map(|standing| ranks.get(&standing).copied()).min()
            })
            .collect();
        for at in graph.ordered(|at| against[at].map(Reverse)).into_iter().filter(|&at| counts[at]) {
            this.apply(at);
            if this.owners == 0 {
                return Err(at);
            }
        }
        Ok(this)
    }

    /// The standings that an entry may end or state a role for.
    fn touched(&self, at: usize) -> impl Iterator<Item = usize> + use<'_, 'a> {
        let device = match self.graph.nodes()[at].entry.action {
            Action::Remove { device, .. } => Some(device),
            _ => self.graph.nodes()[at].gives.map(|gives| gives.device),
        };
        let standings = device.and_then(|device| self.standings.get(&device)).into_iter().flatten().copied();
        standings.filter(move |&standing| self.ends(at, standing) || states_role(self.graph, at, standing))
    }

    /// Whether an entry ends a standing: a removal ends all that it knows of, and so does adding the device anew.
    fn ends(&self, at: usize, standing: usize) -> bool {
        let node = &self.graph.nodes()[at];
        let ends = matches!(node.entry.action, Action::Remove { .. }) || node.is_standing();
        ends && node.past.contains(standing)
    }

    fn apply(&mut self, at: usize) {
        let graph = self.graph;
        let node = &graph.nodes()[at];
        let touched: Vec<usize> = self.touched(at).collect();
        for standing in touched {
            let ends = self.ends(at, standing);
            let seat = self.seats.entry(standing).or_default();
            let owned = seat.owns();
            seat.begun |= standing == at;
            seat.ended |= ends;
            if let Some(gives) = node.gives.filter(|_| !ends) {
                seat.state(at, gives.role, &node.past);
            }
            let owns = seat.owns();
            self.owners = self.owners + usize::from(owns) - usize::from(owned);
        }
    }

    fn finish(self, conflicts: &Conflicts<'_>, cuts: &Bits) -> State {
        let nodes = self.graph.nodes();
        let counting: Bits = (0..nodes.len()).filter(|&at| self.counts[at]).collect();
        // The keys that count follow each other, so the last in this order is the last in every order.
        let recovery = counting.iter().filter(|&at| nodes[at].recovery_key().is_some()).last();
        let mut state = State { counting, recovery, ..State::default() };
        for (&device, standings) in self.standings {
            let seats = standings.iter().filter_map(|&at| Some((self.seats.get(&at)?.role()?, at)));
            // Of two that were added at the same time: the higher role (a lower one would have been stated about
            // both), then the more senior.
            let best = seats.max_by_key(|&(role, at)| (role, Reverse(nodes[at].rank)));
            if let Some((role, at)) = best {
                let (name, node) = (name_in(&nodes[at].entry.action), &nodes[at]);
                let Some(name) = name else { continue };
                let (since, added_by) = (node.entry.at, node.entry.author);
                state.members.insert(device, Member { role, add: node.hash, name, since, added_by });
                let grants = self.seats.get(&at).map_or(&[][..], |seat| &seat.holding[Role::Owner as usize]);
                let grant = grants.iter().copied().min_by_key(|&grant| nodes[grant].rank);
                state.authority.extend(grant.map(|grant| (device, grant)));
            } else if let Some(removal) = self.removal(device, standings, conflicts, cuts) {
                state.removed.insert(device, removal);
            }
        }
        state
    }

    /// What ended the membership of a device, for people to read: the latest by the clocks of those who did it.
    fn removal(
        &self,
        device: DeviceId,
        standings: &[usize],
        conflicts: &Conflicts<'_>,
        cuts: &Bits,
    ) -> Option<Removal> {
        let nodes = self.graph.nodes();
        let ended = cuts.iter().filter(|&cut| {
            matches!(nodes[cut].entry.action, Action::Remove { device: whom, .. } if whom == device)
                && standings.iter().any(|&at| self.counts[at] && self.ends(cut, at))
        });
        let cancelled = standings.iter().filter(|&&at| !self.counts[at]).flat_map(|&at| conflicts.defeaters(at, cuts));
        let latest = |cut: &usize| (nodes[*cut].entry.at, nodes[*cut].hash);
        let (cut, removed) = match ended.max_by_key(latest) {
            Some(cut) => (cut, true),
            None => (cancelled.max_by_key(latest)?, false),
        };
        let (by, at) = (nodes[cut].entry.author, nodes[cut].entry.at);
        let how = match removed {
            true if by == device => Departure::Left,
            true => Departure::Removed,
            false => Departure::Cancelled,
        };
        Some(Removal { by, at, how })
    }
}

/// What an entry calls the device that it adds.
fn name_in(action: &Action) -> Option<Name> {
    match *action {
        Action::Found { name, .. } | Action::Add { name, .. } | Action::Recover { name, .. } => Some(name),
        _ => None,
    }
}
