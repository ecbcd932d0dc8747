//! The trust group: which devices accept each other, and as what.
//!
//! A group is a graph of signed entries ([`Entry`]), each linked by hash to those that its author knew. There is no
//! server and no vote: every device holds the whole graph, adds entries to it and merges what others added, and
//! evaluates it by the rules below. Two devices with the same entries see the same group, in whatever order the
//! entries came to them. This module is pure logic: bytes in, bytes out; time and randomness are arguments.
//!
//! # The rules
//!
//! Words: the *past* of an entry is all that its links lead to. Two entries of which neither is in the other's past
//! are *concurrent*. A *standing* is one membership of one device; it begins with the entry that added the device
//! ([`Action::Found`], [`Action::Add`], [`Action::Recover`]) and is named by that entry's hash.
//!
//! 1. **Authority comes from the past.** Every entry but the root names one entry in its past as its *authority*: the
//!    one that made its author an owner. (To leave a group, the one that added it is enough.) An entry counts only if
//!    its authority counts, and so on down to the root. An entry whose author was never made an owner in its past is
//!    not even taken in.
//! 2. **A removal defeats what it does not know.** It ends every standing of the device that is in its past. Of the
//!    entries that the device signed by such a standing only those in the past of the removal count. A removal names
//!    the entry that added the device, so it says nothing about a standing that began elsewhere or later: to come
//!    back takes a new `Add`, and inherits nothing.
//! 3. **Seniority breaks cycles.** If the entries that defeat each other form a cycle (A removes B while B removes
//!    A; or a ring of three), the one by the most senior author counts and those that would defeat it do not, nor
//!    what rests on them; the rest follows by rule 2. Seniority is that of the authority that an entry names: fewer
//!    delegations from the root, then (only among equals) the later use of recovery words, then the lower hash of
//!    the authority, then the lower hash of the entry. Outside of cycles seniority means nothing: any owner may
//!    remove any other.
//! 4. **Adding a member anew replaces its standing**, as if it was removed just before.
//! 5. **The lower role wins.** What gives a role to a standing holds unless something that gives it a lower one is
//!    not in its past; the highest role that holds is the device's. Of two concurrent changes the lower wins, and
//!    a later change wins over an earlier one. Losing ownership defeats, as in rule 2, what the device signs as an
//!    owner without having been made one again *after* that. If two owners add a device at the same time, the lower
//!    role applies to both standings.
//! 6. **The first recovery key stands**, unless a more senior owner sets another; the entry that sets it then defeats
//!    uses of the old key that it does not know. Whoever used recovery words is as near to the root as the owner who
//!    set them and goes before it, so the words can always be renewed by whoever has them.
//! 7. **There is always an owner.** All counting entries are gone through in causal order, where there is a choice
//!    those first that take ownership from nobody, then those against the more junior owners. The first that would
//!    leave no owner is void, and rules 2 to 6 are applied anew without it.
//! 8. **What apps are allowed.** An owner's [`Action::Allow`] stands until an entry that knows of it allows or disallows
//!    an app of that name. A disallowance at the same time wins, so that what was taken back is not given by who had not heard;
//!    of two allowances at the same time the one of the higher version wins, then the lower hash. With its author's standing,
//!    by rules 1 and 2, goes what the author allowed without the removal's knowing it.
//!
//! What counts is thus a function of the set of entries: rules 1, 2, 4, 5 and 6 make a fixed relation "defeats"
//! between entries, whose grounded extension is taken (Dung 1995), with rule 3 for its cycles. Each step decides at
//! least one entry and each correction of rule 7 voids at least one, so it ends.
//!
//! The ideas come from Keyhive's convergent capabilities (delegations and revocations as a signed graph, seniority
//! by delegation depth), p2panda-auth's strong removal (concurrent acts of the removed do not count), Matrix's
//! state resolution (authority judged in the past of an event, power before hashes) and Kleppmann's and
//! others' work on Byzantine fault-tolerant replicated data (hash links).
//!
//! # Attacks, and what meets them
//!
//! * *A removed owner back-dates entries*, forking from before its removal: they are not in the removal's past, so
//!   they do not count (rule 2); nor does anything that rests on them, such as owners it adds this way (rule 1).
//!   The one thing that this wins is what the design grants to seniority: against a removal by a junior owner it can
//!   still claim to have removed that one at the same time (rule 3).
//! * *Dummies.* Devices that an attacker makes owners are further from the root than it is, so they win no cycle that
//!   it would lose. (By recovery words that it set itself they are as near, and win among equals.) Choosing hashes
//!   helps only among exact equals, where somebody has to win, and not with its own authority, which another owner
//!   signed.
//! * *An owner back-dates a removal* to before what another owner did: this undoes that owner's later entries.
//!   A removal is worth that much by rule 2, and nothing can tell it from that of an honest owner that was cut off.
//!   A removal of that owner which does not have the harm in its past undoes the harm; no method here makes one.
//! * *Rings of removals* among three or more owners: rule 3 treats them as it does pairs.
//! * *Equivocation*: entries by one key that do not know of each other are concurrent entries like any others.
//! * *A member or guest signs what only an owner may*: refused when it arrives (rule 1), so it uses up no room.
//! * *An entry of another group*, or a second root: every entry names its group, which is the root's hash.
//! * *Altered entries*: the hash covers bytes and signature, the signature is strict, links are hashes.
//! * *Floods.* A group holds at most [`MAX_ENTRIES`]; the founder signs at most [`FOUNDER_SHARE`] of them, any other
//!   owner together with all that came in through it [`LINEAGE_SHARE`], and who is no owner [`PLAIN_SHARE`]. So a
//!   flooding owner leaves room for the founder, and for owners that came in by another way, to remove it. Which part
//!   of a flood beyond its share is kept depends on what came first; so that this separates nobody, what another
//!   owner has built upon is taken all the same. A group whose founder floods it, or several owners together, is
//!   full: only a new one helps.
//! * *Orphans* (entries whose parents never come): at most [`MAX_HELD`] are held, the oldest go first.
//! * *Deep, wide and tangled graphs*: no recursion; sets of entries are bit sets, so that time and memory grow with
//!   the square of the number of entries, but by a bit for each pair; rule 7 starts anew 16 times before it treats
//!   all further attempts together. A full group that contradicts itself all over takes seconds unoptimised.
//! * *Actions of a later version* are kept, relayed and linked to, and count for nothing.

mod author;
mod bits;
mod codec;
mod conflict;
mod entry;
mod error;
mod evaluate;
mod grant;
mod graph;
mod merge;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use tutti_model::{DeviceId, Name, Role, signed::Signed};

pub use codec::MAX_ENCODED_LEN;
pub use entry::{Action, Entry, EntryFault, EntryHash, GroupId, MAX_ENTRY_LEN, MAX_PARENTS};
pub use error::GroupError;
pub use evaluate::{Departure, Member, Removal};
pub use grant::{AppGrant, Granted, MAX_GRANTED_WANTS};
pub use graph::{FOUNDER_SHARE, LINEAGE_SHARE, MAX_ENTRIES, PLAIN_SHARE};
pub use merge::{MAX_HELD, Merge};

use evaluate::State;
use graph::Graph;
use merge::Pool;

/// One device's copy of a trust group. Clones share the entries.
#[derive(Clone)]
pub struct Group {
    graph: Graph,
    state: State,
    held: Pool,
    arrivals: u64,
}

impl Group {
    fn empty() -> Self {
        Self { graph: Graph::default(), state: State::default(), held: Pool::new(), arrivals: 0 }
    }

    /// Replaces the result of the evaluation; says whether it is another.
    fn set_state(&mut self, state: State) -> bool {
        let key = |state: &State| state.recovery.map(|at| self.graph.nodes()[at].hash);
        let changed = self.state.members != state.members
            || self.state.removed != state.removed
            || self.state.grants != state.grants
            || key(&self.state) != key(&state);
        self.state = state;
        changed
    }

    /// The group's id: the hash of its root.
    pub fn id(&self) -> GroupId {
        GroupId(self.graph.nodes().first().map_or([0; 32], |root| root.hash.0))
    }

    /// How many entries it has.
    #[allow(clippy::len_without_is_empty)] // There is always the root.
    pub fn len(&self) -> usize {
        self.graph.nodes().len()
    }

    /// Everybody who is in the group now.
    pub fn members(&self) -> &BTreeMap<DeviceId, Member> {
        &self.state.members
    }

    /// What a device may do; none if it is not in the group.
    pub fn role_of(&self, device: DeviceId) -> Option<Role> {
        self.members().get(&device).map(|member| member.role)
    }

    /// Why a device that was in the group once is no more.
    pub fn removed(&self, device: DeviceId) -> Option<Removal> {
        self.state.removed.get(&device).copied()
    }

    /// What apps are allowed, by their names.
    pub fn grants(&self) -> &BTreeMap<Name, Granted> {
        &self.state.grants
    }

    /// The public half of the key that the recovery words stand for, if any were exported.
    pub fn recovery_key(&self) -> Option<DeviceId> {
        self.state.recovery.and_then(|at| self.graph.nodes().get(at)?.recovery_key())
    }

    /// The entries that nothing follows yet, ascending. Two copies with the same heads have the same entries.
    pub fn heads(&self) -> Vec<EntryHash> {
        self.graph.heads().iter().copied().collect()
    }

    /// All entries, ascending by hash.
    pub fn hashes(&self) -> impl Iterator<Item = EntryHash> {
        self.graph.hashes()
    }

    /// Whether an entry is here.
    pub fn contains(&self, hash: EntryHash) -> bool {
        self.graph.contains(hash)
    }

    /// Whether an entry is here and has its effect.
    pub fn counts(&self, hash: EntryHash) -> bool {
        self.graph.place(hash).is_some_and(|at| self.state.counting.contains(at))
    }

    /// What an entry says.
    pub fn entry(&self, hash: EntryHash) -> Option<&Entry> {
        self.graph.place(hash).and_then(|at| self.graph.nodes().get(at)).map(|node| &node.entry)
    }

    /// The entries that somebody who has `theirs` lacks, each after its parents.
    pub fn missing_from(&self, theirs: &BTreeSet<EntryHash>) -> Vec<Signed> {
        let lacking = self.graph.nodes().iter().filter(|node| !theirs.contains(&node.hash));
        lacking.map(|node| node.signed.clone()).collect()
    }
}

impl PartialEq for Group {
    /// Whether both hold the same entries (and therefore see the same members).
    fn eq(&self, other: &Self) -> bool {
        self.graph.heads() == other.graph.heads()
    }
}

impl Eq for Group {}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roles: BTreeMap<_, _> = self.members().iter().map(|(device, member)| (device, member.role)).collect();
        f.debug_struct("Group").field("id", &self.id()).field("entries", &self.len()).field("members", &roles).finish()
    }
}
