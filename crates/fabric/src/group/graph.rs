//! The graph itself: which entries are in it, what precedes what, and what is refused.
//!
//! Everything checked here about an entry depends on its bytes and its past alone, so that every device refuses the
//! same entries in whatever order they arrive. (The exceptions are the limits on room, [`Graph::has_room`].)

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    sync::Arc,
};

use tutti_model::{DeviceId, Role, signed::Signed};

use super::{
    bits::Bits,
    entry::{Action, Entry, EntryFault, EntryHash, GroupId},
};

/// The most entries of one group.
pub const MAX_ENTRIES: usize = 8192;

/// How many entries the founder itself may sign; the rest is room for the others.
pub const FOUNDER_SHARE: usize = MAX_ENTRIES / 4 * 3;

/// How many entries a device that the founder added may sign, together with all that come in through it.
pub const LINEAGE_SHARE: usize = MAX_ENTRIES / 4;

/// How many entries a device may sign that has only been a member or a guest.
pub const PLAIN_SHARE: usize = 16;

/// How senior a standing is; the lower, the more senior.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    /// Delegations from the root.
    pub(super) depth: u32,
    /// Counts down with every use of recovery words: whoever used them last goes before its equals.
    pub(super) freshness: u32,
    /// The entry that gave the standing.
    pub(super) hash: EntryHash,
}

/// That an entry makes a device something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gives {
    pub(super) device: DeviceId,
    pub(super) role: Role,
    /// The place of the entry that added the device.
    pub(super) standing: usize,
}

/// An entry in its place.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) hash: EntryHash,
    pub(super) signed: Signed,
    pub(super) entry: Entry,
    /// All that precedes it.
    pub(super) past: Bits,
    /// The place of its authority.
    pub(super) authority: Option<usize>,
    /// The place of the entry that added its author.
    pub(super) acts_for: Option<usize>,
    /// Whom it makes what.
    pub(super) gives: Option<Gives>,
    /// How senior those are that it makes owners.
    pub(super) rank: Rank,
    /// Whose share the entries count towards that have this one as their authority.
    lineage: usize,
}

impl Node {
    /// Whether it stands for the beginning of a membership.
    pub(super) fn is_standing(&self) -> bool {
        matches!(self.entry.action, Action::Found { .. } | Action::Add { .. } | Action::Recover { .. })
    }

    /// The key with which [`Action::Recover`] entries must be signed from here on.
    pub(super) fn recovery_key(&self) -> Option<DeviceId> {
        match self.entry.action {
            Action::Found { recovery, .. } => recovery,
            Action::SetRecovery { key } => Some(key),
            _ => None,
        }
    }
}

/// A part of the group's room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Share {
    /// Of the founder (0) or of a device that it added and all that came in through it, by the place of that entry.
    Lineage(usize),
    /// Of a device that is no owner, by the place of the entry that made it what it is.
    Plain(usize),
}

/// What the checks against its past found out about an entry.
#[derive(Debug)]
struct Facts {
    past: Bits,
    authority: Option<usize>,
    acts_for: Option<usize>,
    gives: Option<Gives>,
    rank: Rank,
    lineage: usize,
}

/// Accepted entries, each after all of its parents. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    nodes: Vec<Arc<Node>>,
    places: BTreeMap<EntryHash, usize>,
    heads: BTreeSet<EntryHash>,
    /// How many entries count towards each share.
    used: BTreeMap<Share, usize>,
}

impl Graph {
    /// Takes an entry whose signature was checked and whose parents are all here.
    pub(super) fn accept(&mut self, hash: EntryHash, signed: Signed, entry: Entry) -> Result<(), EntryFault> {
        let facts = self.check(hash, &entry)?;
        if self.nodes.len() >= MAX_ENTRIES {
            return Err(EntryFault::Full);
        }
        let Facts { past, authority, acts_for, gives, rank, lineage } = facts;
        for (share, _) in self.shares(authority, &entry) {
            *self.used.entry(share).or_default() += 1;
        }
        for parent in &entry.parents {
            self.heads.remove(parent);
        }
        self.heads.insert(hash);
        self.places.insert(hash, self.nodes.len());
        self.nodes.push(Arc::new(Node { hash, signed, entry, past, authority, acts_for, gives, rank, lineage }));
        Ok(())
    }

    fn check(&self, hash: EntryHash, entry: &Entry) -> Result<Facts, EntryFault> {
        let place = self.nodes.len();
        let Some(root) = self.nodes.first() else {
            let rank = Rank { depth: 0, freshness: u32::MAX, hash };
            let gives = Some(Gives { device: entry.author, role: Role::Owner, standing: place });
            let facts = Facts { past: Bits::default(), authority: None, acts_for: None, gives, rank, lineage: place };
            return if entry.group.is_none() { Ok(facts) } else { Err(EntryFault::OtherGroup) };
        };
        if entry.group != Some(GroupId(root.hash.0)) {
            return Err(EntryFault::OtherGroup);
        }
        let mut past = Bits::default();
        for parent in &entry.parents {
            let parent = self.place(*parent).ok_or(EntryFault::Links)?;
            past.insert(parent);
            past.union(&self.nodes[parent].past);
        }
        let before = |hash: EntryHash| self.place(hash).filter(|&at| past.contains(at));
        let authority = entry.authority.and_then(before).ok_or(EntryFault::Authority)?;
        let acts_for = self.check_author(entry, authority)?;
        let added = |device: DeviceId, add: EntryHash| {
            let adds = |at: &usize| self.nodes[*at].is_standing() && self.gives_to(*at, device);
            before(add).filter(adds).ok_or(EntryFault::Target { device })
        };
        let gives = match entry.action {
            Action::Add { device, role, .. } => Some(Gives { device, role, standing: place }),
            Action::Recover { device, .. } => Some(Gives { device, role: Role::Owner, standing: place }),
            Action::SetRole { device, add, role } => Some(Gives { device, role, standing: added(device, add)? }),
            Action::Remove { device, add } => added(device, add).map(|_| None)?,
            _ => None,
        };
        let rank = self.rank_beneath(authority, matches!(entry.action, Action::Recover { .. }), hash);
        let lineage = if authority == 0 { place } else { self.nodes[authority].lineage };
        Ok(Facts { past, authority: Some(authority), acts_for, gives, rank, lineage })
    }

    /// Checks that the authority is the author's and is enough; gives the entry that added the author.
    fn check_author(&self, entry: &Entry, authority: usize) -> Result<Option<usize>, EntryFault> {
        let node = &self.nodes[authority];
        if matches!(entry.action, Action::Recover { .. }) {
            return if node.recovery_key() == Some(entry.author) { Ok(None) } else { Err(EntryFault::Authority) };
        }
        let given = node.gives.filter(|gives| gives.device == entry.author).ok_or(EntryFault::Authority)?;
        let anyone = entry.leaves() || entry.action == Action::Unknown;
        if given.role == Role::Owner || anyone {
            Ok(Some(given.standing))
        } else {
            Err(EntryFault::NotAnOwner { author: entry.author })
        }
    }

    fn gives_to(&self, at: usize, device: DeviceId) -> bool {
        self.nodes[at].gives.is_some_and(|gives| gives.device == device)
    }

    /// An owner's delegates are one further from the root than it. Whoever uses recovery words is as far as the
    /// owner who set them, and goes before it.
    fn rank_beneath(&self, authority: usize, recovers: bool, hash: EntryHash) -> Rank {
        let node = &self.nodes[authority];
        if !recovers {
            return Rank { depth: node.rank.depth.saturating_add(1), freshness: u32::MAX, hash };
        }
        let setter = self.author_rank(authority);
        Rank { depth: setter.depth, freshness: setter.freshness.saturating_sub(1), hash }
    }

    /// How senior the author of an entry is by the authority that it names.
    pub(super) fn author_rank(&self, at: usize) -> Rank {
        let node = &self.nodes[at];
        node.authority.map_or(node.rank, |authority| self.nodes[authority].rank)
    }

    /// Which of the entries is the more senior: the lower.
    pub(super) fn seniority(&self, at: usize) -> (Rank, EntryHash) {
        (self.author_rank(at), self.nodes[at].hash)
    }

    /// The shares that an entry counts towards, each with its size. Nothing limits the use of recovery words but
    /// the room of the whole group: who has them must get in when everybody else has used up theirs.
    fn shares(&self, authority: Option<usize>, entry: &Entry) -> impl Iterator<Item = (Share, usize)> + use<> {
        let authority = authority.filter(|_| !matches!(entry.action, Action::Recover { .. }));
        let lineage = authority.map(|at| match at {
            0 => (Share::Lineage(0), FOUNDER_SHARE),
            _ => (Share::Lineage(self.nodes[at].lineage), LINEAGE_SHARE),
        });
        let plain = authority.filter(|&at| self.nodes[at].gives.is_some_and(|gives| gives.role < Role::Owner));
        lineage.into_iter().chain(plain.map(|at| (Share::Plain(at), PLAIN_SHARE)))
    }

    /// Whether an entry whose authority is here is within its author's shares.
    ///
    /// What this says depends on what arrived first. So an entry beyond its share is still taken when an entry of
    /// an owner that is within its own share has it in its past ([`super::merge`]).
    pub(super) fn has_room(&self, entry: &Entry) -> bool {
        let authority = entry.authority.and_then(|hash| self.place(hash));
        let used = |share: Share| self.used.get(&share).copied().unwrap_or(0);
        self.shares(authority, entry).all(|(share, size)| used(share) < size)
    }

    pub(super) fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    pub(super) fn place(&self, hash: EntryHash) -> Option<usize> {
        self.places.get(&hash).copied()
    }

    pub(super) fn contains(&self, hash: EntryHash) -> bool {
        self.places.contains_key(&hash)
    }

    /// Hashes in ascending order.
    pub(super) fn hashes(&self) -> impl Iterator<Item = EntryHash> + '_ {
        self.places.keys().copied()
    }

    /// Entries that are nobody's parents, in ascending order.
    pub(super) fn heads(&self) -> &BTreeSet<EntryHash> {
        &self.heads
    }

    /// The one order that follows causality and, where that leaves a choice, takes the least key first. It depends
    /// on nothing but the entries and the keys.
    pub(super) fn ordered<K: Ord>(&self, key: impl Fn(usize) -> K) -> Vec<usize> {
        let mut waits: Vec<usize> = self.nodes.iter().map(|node| node.entry.parents.len()).collect();
        let mut children: Vec<Vec<usize>> = vec![Vec::new(); self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate() {
            for parent in node.entry.parents.iter().filter_map(|hash| self.place(*hash)) {
                children[parent].push(at);
            }
        }
        let entry = |at: usize| Reverse((key(at), self.nodes[at].hash, at));
        let mut ready: BinaryHeap<_> = self.nodes.first().map(|_| entry(0)).into_iter().collect();
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some(Reverse((_, _, at))) = ready.pop() {
            order.push(at);
            for &child in &children[at] {
                waits[child] -= 1;
                if waits[child] == 0 {
                    ready.push(entry(child));
                }
            }
        }
        order
    }
}
