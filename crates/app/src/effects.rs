//! What an instance does to the world: exactly once, whatever is lost, repeated or moved.
//!
//! An app does not send; it puts an [`Effect`] into its [`Outbox`], which is part of its durable state. Effects leave from
//! there, after the state that made them is on the disk, and stay until the receiver has said that *its* disk
//! has them. So nothing that was acknowledged is lost with a home; it may be sent again instead, perhaps by the next
//! home. The receiver's [`Ledger`] tells repeats apart.
//!
//! # What the receiver goes by
//! - [`EffectId`]s of one instance grow: by epoch, then by sequence. What is not above the last one applied is a repeat.
//! - `previous` is the effect before it that the same receiver has yet to acknowledge. If that is above the last one applied,
//!   something in between is missing: [`Verdict::Gap`]; it will be sent again.
//! - After a fail-over the instance goes on from a checkpoint, and what it then makes has the same sequence numbers as
//!   what the lost home had made, but a later epoch: they are new effects, not repeats.
//! - A home of an earlier epoch than the receiver has heard of is refused: [`Verdict::Superseded`].
//!
//! # Sizes
//! An outbox holds [`MAX_EFFECTS`] and [`MAX_BYTES`]; when it is full, the instance gets no event until there is room. A ledger
//! remembers [`MAX_SENDERS`]; beyond that it forgets whom it heard of longest ago.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use tutti_model::ResourceId;

use crate::ids::{EffectId, Epoch, InstanceId};

/// The most effects that may wait to be acknowledged.
pub const MAX_EFFECTS: usize = 1024;
/// The most bytes of them.
pub const MAX_BYTES: usize = 1 << 20;
/// The most instances that a ledger remembers.
pub const MAX_SENDERS: usize = 4096;

/// Whom an effect is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Receiver {
    /// A resource of some device.
    Resource(ResourceId),
    /// Another instance.
    Instance(InstanceId),
}

/// Something that an instance has done and a receiver is to know.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Effect {
    /// Its name.
    pub id: EffectId,
    /// The one before it that the same receiver has yet to acknowledge.
    pub previous: Option<EffectId>,
    /// For whom.
    pub to: Receiver,
    /// What.
    pub body: Vec<u8>,
}

/// There is no room for another effect: receivers do not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl std::fmt::Display for Full {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("too many effects wait for receivers that do not answer; it goes on when they do")
    }
}

impl std::error::Error for Full {}

/// The effects of one instance that are yet to be acknowledged, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Outbox {
    last: u64,
    effects: VecDeque<Effect>,
}

impl Outbox {
    /// Adds an effect that was made in this epoch.
    ///
    /// # Errors
    /// [`Full`]; the outbox is then as it was.
    pub fn push(&mut self, epoch: Epoch, to: Receiver, body: Vec<u8>) -> Result<EffectId, Full> {
        if self.effects.len() >= MAX_EFFECTS || self.bytes().saturating_add(body.len()) > MAX_BYTES {
            return Err(Full);
        }
        let id = EffectId { epoch, sequence: self.last.checked_add(1).ok_or(Full)? };
        self.last = id.sequence;
        let previous = self.effects.iter().rev().find(|effect| effect.to == to).map(|effect| effect.id);
        self.effects.push_back(Effect { id, previous, to, body });
        Ok(id)
    }

    /// The receiver has it, durably, and with it everything that was before it for the same receiver.
    pub fn acknowledged(&mut self, to: Receiver, id: EffectId) {
        self.effects.retain(|effect| effect.to != to || effect.id > id);
        // A receiver that has lost it in a fail-over must not wait for what nobody has any more.
        if let Some(first) = self.effects.iter_mut().find(|effect| effect.to == to) {
            first.previous = None;
        }
    }

    /// What is yet to be acknowledged, oldest first.
    pub fn waiting(&self) -> impl Iterator<Item = &Effect> {
        self.effects.iter()
    }

    /// The number of the last effect that was ever added.
    pub fn last_sequence(&self) -> u64 {
        self.last
    }

    /// Whether as many more of as many bytes together would fit.
    pub fn has_room(&self, effects: usize, bytes: usize) -> bool {
        self.effects.len() + effects <= MAX_EFFECTS && self.bytes() + bytes <= MAX_BYTES
    }

    /// Whether there is nothing to be acknowledged.
    pub fn is_empty(&self) -> bool {
        self.effects.is_empty()
    }

    fn bytes(&self) -> usize {
        self.effects.iter().map(|effect| effect.body.len()).sum()
    }

    /// Whether this is what an outbox can be: for one that came from elsewhere.
    pub fn is_sound(&self) -> bool {
        let mut before: BTreeMap<Receiver, EffectId> = BTreeMap::new();
        let sound = |effect: &Effect| {
            let last = before.insert(effect.to, effect.id);
            // What was before it may have been acknowledged since.
            last.is_none_or(|last| last < effect.id && effect.previous == Some(last))
                && effect.id.sequence <= self.last
                && effect.previous.is_none_or(|previous| previous < effect.id)
        };
        self.effects.len() <= MAX_EFFECTS && self.bytes() <= MAX_BYTES && self.effects.iter().all(sound)
    }
}

/// What to do about an effect that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Apply it, make that durable together with the ledger, then acknowledge it.
    Apply,
    /// It was applied: acknowledge it.
    Repeat,
    /// Something before it is missing: say nothing, it comes again.
    Gap,
    /// It is from a home that the instance has left: say so.
    Superseded(Epoch),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Seen {
    /// The latest epoch of a home that it was heard from.
    home: Epoch,
    last: Option<EffectId>,
    /// When it was last heard from, in effects applied.
    tick: u64,
}

/// What a receiver remembers of those it gets effects from. Durable, with what it applies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ledger {
    senders: BTreeMap<InstanceId, Seen>,
    ticks: u64,
}

impl Ledger {
    /// What to do about an effect that `from`, now at home in epoch `home`, sends. After [`Verdict::Apply`] it counts as applied.
    pub fn judge(&mut self, from: InstanceId, home: Epoch, id: EffectId, previous: Option<EffectId>) -> Verdict {
        self.ticks += 1;
        let tick = self.ticks;
        let seen = self.senders.entry(from).or_insert(Seen { home, last: None, tick });
        seen.tick = tick;
        if home < seen.home {
            return Verdict::Superseded(seen.home);
        }
        seen.home = home;
        let verdict = if seen.last.is_some_and(|last| id <= last) {
            Verdict::Repeat
        } else if previous > seen.last {
            Verdict::Gap
        } else {
            seen.last = Some(id);
            Verdict::Apply
        };
        if self.senders.len() > MAX_SENDERS
            && let Some(oldest) = self.senders.iter().min_by_key(|(_, seen)| seen.tick).map(|(from, _)| *from)
        {
            self.senders.remove(&oldest);
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tutti_model::DeviceId;

    fn instance(n: u8) -> InstanceId {
        InstanceId::from_bytes([n; 16])
    }

    fn epoch(number: u64) -> Epoch {
        Epoch { number, ..Epoch::first(DeviceId::from_bytes([1; 32])) }
    }

    #[test]
    fn an_outbox_is_bounded_in_number_and_bytes() {
        let to = Receiver::Instance(instance(1));
        let mut outbox = Outbox::default();
        for _ in 0..MAX_EFFECTS {
            outbox.push(epoch(1), to, vec![]).unwrap();
        }
        assert_eq!(outbox.push(epoch(1), to, vec![]), Err(Full));
        let mut outbox = Outbox::default();
        outbox.push(epoch(1), to, vec![0; MAX_BYTES]).unwrap();
        assert_eq!(outbox.push(epoch(1), to, vec![0]), Err(Full));
        assert!(outbox.is_sound());
    }

    #[test]
    fn after_a_fail_over_the_same_number_is_another_effect() {
        let (from, mut ledger) = (instance(1), Ledger::default());
        let id = |number, sequence| EffectId { epoch: epoch(number), sequence };
        assert_eq!(ledger.judge(from, epoch(1), id(1, 5), None), Verdict::Apply);
        assert_eq!(ledger.judge(from, epoch(2), id(1, 5), None), Verdict::Repeat);
        assert_eq!(ledger.judge(from, epoch(2), id(2, 5), Some(id(1, 4))), Verdict::Apply);
        assert_eq!(ledger.judge(from, epoch(1), id(1, 6), None), Verdict::Superseded(epoch(2)));
        assert_eq!(ledger.judge(from, epoch(2), id(2, 7), Some(id(2, 6))), Verdict::Gap);
    }

    #[test]
    fn a_ledger_forgets_the_quietest() {
        let mut ledger = Ledger::default();
        let id = EffectId { epoch: epoch(1), sequence: 1 };
        for n in 0..=MAX_SENDERS as u32 {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&n.to_le_bytes());
            assert_eq!(ledger.judge(InstanceId::from_bytes(bytes), epoch(1), id, None), Verdict::Apply);
        }
        assert_eq!(ledger.senders.len(), MAX_SENDERS);
    }

    #[test]
    fn a_receiver_that_lost_what_it_had_acknowledged_gets_what_follows() {
        let (from, to) = (instance(1), Receiver::Instance(instance(2)));
        let (mut outbox, mut ledger) = (Outbox::default(), Ledger::default());
        let ids: Vec<_> = (0..3).map(|_| outbox.push(epoch(1), to, vec![]).unwrap()).collect();
        let judge = |ledger: &mut Ledger, effect: &Effect| ledger.judge(from, epoch(1), effect.id, effect.previous);
        let all: Vec<_> = outbox.waiting().cloned().collect();
        assert_eq!(judge(&mut ledger, &all[0]), Verdict::Apply);
        let checkpoint = ledger.clone();
        assert_eq!(judge(&mut ledger, &all[1]), Verdict::Apply);
        outbox.acknowledged(to, ids[1]);
        // It goes on from its checkpoint: the second is lost, the third is not held up by that.
        let mut ledger = checkpoint;
        assert_eq!(judge(&mut ledger, outbox.waiting().next().unwrap()), Verdict::Apply);
        assert!(outbox.is_sound());
    }

    proptest! {
        /// However often, late and out of order effects arrive and acknowledgements are lost: each is applied once, in order.
        #[test]
        fn each_effect_is_applied_once(picks in prop::collection::vec((any::<prop::sample::Index>(), 0u8..4), 1..400)) {
            let receivers = [instance(8), instance(9)].map(Receiver::Instance);
            let mut outbox = Outbox::default();
            let mut ledgers = [Ledger::default(), Ledger::default()];
            let mut applied: [Vec<u64>; 2] = [vec![], vec![]];
            let (mut flying, mut made, mut home) = (Vec::<(Epoch, Effect)>::new(), [vec![], vec![]], 1);
            for (pick, what) in picks {
                match what {
                    0 => {
                        let which = pick.index(2);
                        made[which].push(outbox.push(epoch(home), receivers[which], vec![]).unwrap().sequence);
                    }
                    1 => flying.extend(outbox.waiting().map(|effect| (epoch(home), effect.clone()))),
                    2 if !flying.is_empty() => {
                        let (sender, effect) = flying[pick.index(flying.len())].clone();
                        let which = usize::from(effect.to == receivers[1]);
                        match ledgers[which].judge(instance(1), sender, effect.id, effect.previous) {
                            Verdict::Apply => applied[which].push(effect.id.sequence),
                            Verdict::Repeat if pick.index(2) == 0 => outbox.acknowledged(effect.to, effect.id),
                            _ => {}
                        }
                    }
                    // It moves, with its outbox.
                    _ => home += 1,
                }
                prop_assert!(outbox.is_sound());
            }
            for effect in outbox.clone().waiting() {
                let which = usize::from(effect.to == receivers[1]);
                if ledgers[which].judge(instance(1), epoch(home), effect.id, effect.previous) == Verdict::Apply {
                    applied[which].push(effect.id.sequence);
                }
            }
            prop_assert_eq!(applied, made);
        }
    }
}
