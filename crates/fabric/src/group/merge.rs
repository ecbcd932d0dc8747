//! Taking in what others send, in any order.

use std::collections::{BTreeMap, BTreeSet};

use tutti_model::{
    DeviceId, Role,
    signed::{Context, Signed},
};

use super::{
    Group, Member,
    entry::{Entry, EntryFault, EntryHash},
    error::GroupError,
    evaluate::evaluate,
    graph::Graph,
};

/// The most entries that are held although some of their parents are missing. The oldest make room for new ones;
/// whoever sent them sends them again when asked for what is missing.
pub const MAX_HELD: usize = 256;

/// What taking in entries did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merge {
    /// Entries that are now in the graph and were not before, each after its parents.
    pub added: Vec<EntryHash>,
    /// Whether members, roles, removals or the recovery key are different now.
    pub changed: bool,
    /// Entries that nobody has sent yet and that others need. Ask for these.
    pub waiting_for: Vec<EntryHash>,
}

/// An entry whose signature was checked.
#[derive(Debug, Clone)]
pub(super) struct Held {
    signed: Signed,
    entry: Entry,
    /// Entries that came in later have a higher number.
    arrival: u64,
}

/// Entries that are not in the graph yet.
pub(super) type Pool = BTreeMap<EntryHash, Held>;

impl Group {
    /// Takes in entries, in any order. Those it has already are skipped. Those whose parents are missing are held
    /// until these come, at most [`MAX_HELD`] of them.
    ///
    /// # Errors
    /// [`GroupError::BadEntry`] names the first bad one. All good ones have been taken in nevertheless; the error
    /// says what they did.
    pub fn merge(&mut self, entries: Vec<Signed>) -> Result<Merge, GroupError> {
        let mut intake = Intake::new(&mut self.graph, &mut self.held, Some(owners(&self.state.members)));
        for (index, signed) in entries.into_iter().enumerate() {
            self.arrivals += 1;
            intake.take(index, signed, self.arrivals);
        }
        intake.settle();
        let Intake { added, fault, .. } = intake;
        while self.held.len() > MAX_HELD {
            let oldest = self.held.iter().min_by_key(|(_, held)| held.arrival).map(|(hash, _)| *hash);
            oldest.and_then(|hash| self.held.remove(&hash));
        }
        let waiting_for = missing(&self.graph, &self.held).into_iter().collect();
        let mut merge = Merge { changed: false, waiting_for, added };
        if !merge.added.is_empty() {
            merge.changed = self.set_state(evaluate(&self.graph));
        }
        match fault {
            None => Ok(merge),
            Some((index, hash, fault)) => Err(GroupError::BadEntry { index, hash, fault, merge: Box::new(merge) }),
        }
    }
}

/// Parents of held entries that are neither in the graph nor held.
pub(super) fn missing(graph: &Graph, pool: &Pool) -> BTreeSet<EntryHash> {
    let parents = pool.values().flat_map(|held| held.entry.parents.iter().copied());
    parents.filter(|hash| !graph.contains(*hash) && !pool.contains_key(hash)).collect()
}

fn owners(members: &BTreeMap<DeviceId, Member>) -> BTreeSet<DeviceId> {
    members.iter().filter(|(_, member)| member.role == Role::Owner).map(|(device, _)| *device).collect()
}

/// One batch on its way into a graph.
pub(super) struct Intake<'a> {
    graph: &'a mut Graph,
    pool: &'a mut Pool,
    /// Where each entry of this batch stood.
    indices: BTreeMap<EntryHash, usize>,
    /// Who may vouch for entries beyond their author's share; none if shares do not matter.
    owners: Option<BTreeSet<DeviceId>>,
    pub(super) added: Vec<EntryHash>,
    /// The first bad entry.
    pub(super) fault: Option<(usize, EntryHash, EntryFault)>,
}

impl<'a> Intake<'a> {
    pub(super) fn new(graph: &'a mut Graph, pool: &'a mut Pool, owners: Option<BTreeSet<DeviceId>>) -> Self {
        Self { graph, pool, indices: BTreeMap::new(), owners, added: Vec::new(), fault: None }
    }

    /// Checks all that can be checked without its past, the cheap things first.
    pub(super) fn take(&mut self, index: usize, signed: Signed, arrival: u64) {
        let hash = EntryHash::of(&signed);
        if self.graph.contains(hash) || self.pool.contains_key(&hash) {
            return;
        }
        let foreign = |entry: &Entry| match self.graph.nodes().first() {
            Some(root) => entry.group.is_none_or(|group| group.0 != root.hash.0),
            None => false,
        };
        let checked = Entry::parse(signed.unverified()).and_then(|entry| match foreign(&entry) {
            true => Err(EntryFault::OtherGroup),
            false => match signed.verify(Context::GROUP_ENTRY, entry.author) {
                Ok(_) => Ok(entry),
                Err(error) => Err(EntryFault::Signature(error)),
            },
        });
        match checked {
            Ok(entry) => {
                self.indices.insert(hash, index);
                self.pool.insert(hash, Held { signed, entry, arrival });
            }
            Err(fault) => self.report(index, hash, fault),
        }
    }

    /// Moves what can be moved from the pool into the graph.
    pub(super) fn settle(&mut self) {
        let mut children: BTreeMap<EntryHash, Vec<EntryHash>> = BTreeMap::new();
        let mut ready = BTreeSet::new();
        for (hash, held) in self.pool.iter() {
            held.entry.parents.iter().for_each(|parent| children.entry(*parent).or_default().push(*hash));
            if self.is_ready(&held.entry) {
                ready.insert(*hash);
            }
        }
        // Entries beyond their author's share.
        let mut aside = BTreeSet::new();
        let mut wanted = BTreeSet::new();
        loop {
            while let Some(hash) = ready.pop_first() {
                let Some(held) = self.pool.get(&hash) else { continue };
                if self.owners.is_some() && !wanted.contains(&hash) && !self.graph.has_room(&held.entry) {
                    aside.insert(hash);
                    continue;
                }
                let Some(held) = self.pool.remove(&hash) else { continue };
                match self.graph.accept(hash, held.signed, held.entry) {
                    Ok(()) => {
                        self.added.push(hash);
                        let freed = children.get(&hash).into_iter().flatten().copied();
                        let freed =
                            freed.filter(|child| self.pool.get(child).is_some_and(|held| self.is_ready(&held.entry)));
                        ready.extend(freed.collect::<Vec<_>>());
                    }
                    Err(fault) => self.refuse(hash, fault, &children),
                }
            }
            wanted = self.vouched_for();
            ready = &wanted & &aside;
            if ready.is_empty() {
                break;
            }
            aside = &aside - &ready;
        }
        for hash in aside {
            if let Some(author) = self.pool.get(&hash).map(|held| held.entry.author) {
                self.refuse(hash, EntryFault::OverShare { author }, &children);
            }
        }
    }

    fn is_ready(&self, entry: &Entry) -> bool {
        entry.parents.iter().all(|parent| self.graph.contains(*parent))
    }

    /// What owners within their own share have built upon: it may come in although its author is beyond its own.
    /// Otherwise two devices that had each taken a different part of a flood could never take each other's entries.
    fn vouched_for(&self) -> BTreeSet<EntryHash> {
        let Some(owners) = &self.owners else { return BTreeSet::new() };
        let vouches = |held: &&Held| owners.contains(&held.entry.author) && self.graph.has_room(&held.entry);
        let mut found = BTreeSet::new();
        for voucher in self.pool.values().filter(vouches) {
            let mut path: Vec<EntryHash> = voucher.entry.parents.clone();
            let mut seen = BTreeSet::new();
            while let Some(hash) = path.pop() {
                let Some(held) = self.pool.get(&hash).filter(|_| seen.insert(hash)) else { continue };
                path.extend(&held.entry.parents);
                if held.entry.author != voucher.entry.author {
                    found.insert(hash);
                }
            }
        }
        found
    }

    /// Drops an entry and all that cannot come in without it.
    fn refuse(&mut self, hash: EntryHash, fault: EntryFault, children: &BTreeMap<EntryHash, Vec<EntryHash>>) {
        self.report(self.indices.get(&hash).copied().unwrap_or(usize::MAX), hash, fault);
        self.pool.remove(&hash);
        let mut path = vec![hash];
        while let Some(hash) = path.pop() {
            for child in children.get(&hash).into_iter().flatten() {
                if self.pool.remove(child).is_some() {
                    path.push(*child);
                }
            }
        }
    }

    fn report(&mut self, index: usize, hash: EntryHash, fault: EntryFault) {
        if self.fault.is_none_or(|(first, ..)| index < first) {
            self.fault = Some((index, hash, fault));
        }
    }
}
