//! The leases that this device has granted on its own resources.
//!
//! A table without side effects: the machine around it makes a change durable before anybody hears of it.
//!
//! # The phases of a lease here
//! ```text
//!  request ──► Granting ──(durable, earlier operations stopped)──► Live ──► gone: released, or its time is over
//!                  │                                                 │
//!                  └──(could not be saved, or took too long)──► gone └─(reserved, and its time is over, or taken)─► Ended
//! ```
//! `Granting` already keeps others out. `Ended` keeps nobody out: it only remembers to whom the transfer was
//! reserved, until somebody else gets a lease.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use tutti_model::{
    BootTime, DeviceId, Name, ResourceId, Sharing,
    message::{HandOver, LeaseMode, Nonce, Refusal, Token},
    section::{SectionError, SectionWriter, Sections, Tag},
};

use super::owner_term;
use crate::limits::{MAX_LEASE, MAX_LEASES, MAX_LEASES_PER_HOLDER, MAX_TOKENS, MIN_LEASE, RESERVATION_KEPT};

const STATE: Tag = Tag(1);
/// What concerns the resources of satellites; a version that knows of none passes over it.
const SATELLITES: Tag = Tag(2);

/// Which boot of this machine it is; from `/proc/sys/kernel/random/boot_id` on Linux. Times of one boot mean nothing in
/// another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootId(pub [u8; 16]);

/// A lease on one of this device's resources, or of its satellites'.
pub(crate) type Key = (ResourceId, Token);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Granted {
    pub(crate) holder: DeviceId,
    pub(crate) mode: LeaseMode,
    pub(crate) nonce: Nonce,
    /// The longest that was ever promised: what a reboot makes this device wait.
    pub(crate) duration: Duration,
    pub(crate) until: BootTime,
    pub(crate) reserved: Option<DeviceId>,
    pub(crate) phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Phase {
    Granting,
    Live,
    Ended,
}

/// What a request for a lease comes to.
#[derive(Debug, PartialEq)]
pub(crate) enum Asked {
    /// A new lease, to be granted once that is durable.
    Begun(Token),
    /// The same request again while its lease is being granted.
    Again(Token),
    /// The same request again: the lease it got lasts longer now.
    Extended(Token),
}

/// The leases granted and the tokens given out.
#[derive(Debug, Default)]
pub(crate) struct OwnerLeases {
    /// No token up to this one is ever given out again.
    floor: u64,
    tokens: BTreeMap<ResourceId, u64>,
    leases: BTreeMap<Key, Granted>,
}

/// A claim on a new lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) from: DeviceId,
    pub(crate) resource: ResourceId,
    pub(crate) mode: LeaseMode,
    pub(crate) duration: Duration,
    pub(crate) nonce: Nonce,
}

/// The duration that is granted for one that was asked for.
pub(crate) fn granted_duration(asked: Duration) -> Duration {
    asked.clamp(MIN_LEASE, MAX_LEASE)
}

/// The mode in which a resource is leased.
pub(crate) fn mode_of(sharing: Sharing) -> LeaseMode {
    match sharing {
        Sharing::Shared => LeaseMode::Shared,
        Sharing::Exclusive => LeaseMode::Exclusive,
    }
}

impl OwnerLeases {
    /// Begins to grant a lease, or says why not.
    pub(crate) fn request(&mut self, now: BootTime, claim: Claim) -> Result<Asked, Refusal> {
        if let Some(again) = self.repeated(now, &claim)? {
            return Ok(again);
        }
        self.make_way(now, &claim, None)?;
        self.begin(now, &claim).map(Asked::Begun)
    }

    /// Begins to grant a lease to whom its holder handed it over. The signature was checked.
    pub(crate) fn take(&mut self, now: BootTime, claim: Claim, hand_over: &HandOver) -> Result<Asked, Refusal> {
        if let Some(again) = self.repeated(now, &claim)? {
            return Ok(again);
        }
        let key = (claim.resource, hand_over.lease.token);
        let Some(old) = self.leases.get(&key).filter(|old| old.phase != Phase::Granting) else {
            return Err(self.not_yours(&key).unwrap_or(Refusal::NotReserved));
        };
        if old.holder != hand_over.from || hand_over.to != claim.from {
            return Err(Refusal::BadHandOver);
        }
        if old.reserved != Some(claim.from) {
            return Err(Refusal::NotReserved);
        }
        let claim = Claim { mode: old.mode, ..claim };
        self.make_way(now, &claim, Some(key.1))?;
        let token = self.begin(now, &claim)?;
        // The old holder signed it away; the reservation stays until the new lease is durable.
        if let Some(old) = self.leases.get_mut(&key) {
            old.phase = Phase::Ended;
            old.until = now + RESERVATION_KEPT;
        }
        Ok(Asked::Begun(token))
    }

    /// The lease is durable and nothing older is under way: it counts, and reservations of earlier ones are void.
    /// Gives its mode, or nothing if it is gone or its time is over.
    pub(crate) fn commit(&mut self, now: BootTime, key: &Key) -> Option<LeaseMode> {
        let lease = self.leases.get_mut(key).filter(|lease| lease.phase == Phase::Granting && lease.until > now)?;
        lease.phase = Phase::Live;
        let mode = lease.mode;
        if mode == LeaseMode::Exclusive {
            self.leases.retain(|(of, _), lease| *of != key.0 || lease.phase != Phase::Ended);
        }
        Some(mode)
    }

    /// The lease is not granted after all. Its token is used up.
    pub(crate) fn abort(&mut self, key: &Key) {
        if self.leases.get(key).is_some_and(|lease| lease.phase == Phase::Granting) {
            self.leases.remove(key);
        }
    }

    /// Lets a lease last `duration` from now; gives its mode.
    pub(crate) fn renew(
        &mut self,
        now: BootTime,
        from: DeviceId,
        key: &Key,
        duration: Duration,
    ) -> Result<LeaseMode, Refusal> {
        let lease = self.live_of(from, key)?;
        lease.extend(now, duration);
        Ok(lease.mode)
    }

    /// A lease is given back.
    pub(crate) fn release(&mut self, from: DeviceId, resource: ResourceId, nonce: Nonce) -> Option<Key> {
        let ours = |(key, lease): (&Key, &Granted)| {
            (key.0 == resource && lease.holder == from && lease.nonce == nonce && lease.phase != Phase::Ended)
                .then_some(*key)
        };
        let key = self.leases.iter().find_map(ours)?;
        self.leases.remove(&key);
        Some(key)
    }

    /// Reserves the transfer of a lease.
    pub(crate) fn reserve(&mut self, from: DeviceId, key: &Key, to: DeviceId) -> Result<(), Refusal> {
        self.live_of(from, key)?.reserved = Some(to);
        Ok(())
    }

    /// Whether `from` may act under this token now.
    pub(crate) fn check(&self, from: DeviceId, key: &Key) -> Result<(), Refusal> {
        match self.leases.get(key) {
            Some(lease) if lease.holder == from && lease.phase == Phase::Live => Ok(()),
            _ => Err(self.not_yours(key).unwrap_or(Refusal::StaleToken)),
        }
    }

    /// Drops what is over. Returns whether anything was.
    pub(crate) fn expire(&mut self, now: BootTime) -> bool {
        let over = |lease: &Granted| lease.until <= now && lease.phase != Phase::Granting;
        if !self.leases.values().any(over) {
            return false;
        }
        self.leases.retain(|_, lease| {
            if !over(lease) {
                return true;
            }
            let remembered = lease.phase == Phase::Live && lease.reserved.is_some();
            lease.phase = Phase::Ended;
            lease.until = now + RESERVATION_KEPT;
            remembered
        });
        true
    }

    /// When [`expire`](Self::expire) has something to do next.
    pub(crate) fn next_expiry(&self) -> Option<BootTime> {
        self.leases.values().filter(|lease| lease.phase != Phase::Granting).map(|lease| lease.until).min()
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Granted> {
        self.leases.get(key)
    }

    /// The leases in force.
    pub(crate) fn live(&self) -> impl Iterator<Item = (&Key, &Granted)> {
        self.leases.iter().filter(|(_, lease)| lease.phase == Phase::Live)
    }

    fn live_of(&mut self, from: DeviceId, key: &Key) -> Result<&mut Granted, Refusal> {
        self.check(from, key)?;
        self.leases.get_mut(key).ok_or(Refusal::StaleToken)
    }

    fn begin(&mut self, now: BootTime, claim: &Claim) -> Result<Token, Refusal> {
        let theirs = self.leases.values().filter(|lease| lease.holder == claim.from).count();
        if theirs >= MAX_LEASES_PER_HOLDER || self.leases.len() >= MAX_LEASES {
            return Err(Refusal::Busy);
        }
        let last = self.tokens.get(&claim.resource).copied().unwrap_or(0).max(self.floor);
        let token = last.checked_add(1).ok_or(Refusal::Busy)?;
        self.tokens.insert(claim.resource, token);
        self.forget_tokens();
        let duration = granted_duration(claim.duration);
        let granted = Granted {
            holder: claim.from,
            mode: claim.mode,
            nonce: claim.nonce,
            duration,
            until: now + owner_term(duration),
            reserved: None,
            phase: Phase::Granting,
        };
        self.leases.insert((claim.resource, Token(token)), granted);
        Ok(Token(token))
    }

    /// The lease that this very request got before.
    fn repeated(&mut self, now: BootTime, claim: &Claim) -> Result<Option<Asked>, Refusal> {
        let same = |((of, _), lease): &(&Key, &mut Granted)| {
            *of == claim.resource && lease.holder == claim.from && lease.nonce == claim.nonce
        };
        let Some((&(_, token), lease)) = self.leases.iter_mut().find(same) else { return Ok(None) };
        match lease.phase {
            Phase::Granting => {
                lease.extend(now, claim.duration);
                Ok(Some(Asked::Again(token)))
            }
            // The holder will count from this request: so must its owner.
            Phase::Live => {
                lease.extend(now, claim.duration);
                Ok(Some(Asked::Extended(token)))
            }
            Phase::Ended => Err(Refusal::StaleToken),
        }
    }

    /// Refuses if somebody else is in the way. What the same device asked for earlier is dropped: a device has at most
    /// one exclusive lease on a resource, so by asking again it says that it has given up the one before, or that
    /// the program which held it is gone.
    fn make_way(&mut self, now: BootTime, claim: &Claim, besides: Option<Token>) -> Result<(), Refusal> {
        let in_the_way = |(of, token): &Key, lease: &Granted| {
            *of == claim.resource
                && lease.phase != Phase::Ended
                && Some(*token) != besides
                && (claim.mode == LeaseMode::Exclusive || lease.mode == LeaseMode::Exclusive)
        };
        let earlier = |lease: &Granted| {
            let Nonce { run, count } = lease.nonce;
            lease.holder == claim.from && (run != claim.nonce.run || count < claim.nonce.count)
        };
        match self.leases.iter().find(|(key, lease)| in_the_way(key, lease) && !earlier(lease)) {
            // A request that was overtaken by a later one of the same device.
            Some((_, other)) if other.holder == claim.from => Err(Refusal::StaleToken),
            Some((_, other)) => Err(Refusal::HeldBy { holder: other.holder, remaining: other.until.since(now) }),
            None => {
                self.leases.retain(|key, lease| !(in_the_way(key, lease) && earlier(lease)));
                Ok(())
            }
        }
    }

    /// Why a token is not (any more) what its bearer thinks.
    fn not_yours(&self, (of, token): &Key) -> Option<Refusal> {
        let later = |((other, by), lease): (&Key, &Granted)| {
            (other == of && by > token && lease.mode == LeaseMode::Exclusive && lease.phase != Phase::Ended)
                .then_some(Refusal::Superseded { by: *by })
        };
        self.leases.iter().find_map(later)
    }

    /// Keeps the list of tokens short: the resources with the lowest ones that nobody leases now fall back to a
    /// common floor, above all that they ever gave out.
    fn forget_tokens(&mut self) {
        while self.tokens.len() > MAX_TOKENS {
            let leased = |of: &ResourceId| self.leases.keys().any(|(other, _)| other == of);
            let idle = self.tokens.iter().filter(|(of, _)| !leased(of));
            let Some((&of, &token)) = idle.min_by_key(|(_, token)| **token) else { break };
            self.floor = self.floor.max(token);
            self.tokens.remove(&of);
        }
    }

    /// What must survive. This device's own resources are saved by their names alone.
    pub(crate) fn save(&self, me: DeviceId, boot: BootId) -> Result<Vec<u8>, SectionError> {
        let mut writer = SectionWriter::new();
        let own = |of: &ResourceId| of.device == me;
        let tokens: BTreeMap<&Name, u64> =
            self.tokens.iter().filter(|(of, _)| own(of)).map(|(of, token)| (&of.name, *token)).collect();
        let leases: BTreeMap<(&Name, Token), &Granted> = self
            .leases
            .iter()
            .filter(|((of, _), _)| own(of))
            .map(|((of, token), lease)| ((&of.name, *token), lease))
            .collect();
        writer.push(STATE, 1, &(boot, self.floor, tokens, leases))?;
        let tokens: BTreeMap<&ResourceId, &u64> = self.tokens.iter().filter(|(of, _)| !own(of)).collect();
        let leases: BTreeMap<&Key, &Granted> = self.leases.iter().filter(|((of, _), _)| !own(of)).collect();
        if !tokens.is_empty() || !leases.is_empty() {
            writer.push(SATELLITES, 1, &(tokens, leases))?;
        }
        Ok(writer.finish())
    }

    /// Takes up what survived. Leases are honoured: within the same boot for the time that is left, after a
    /// reboot (when nobody knows how long the machine was off) for their whole duration from now. Every one of them
    /// was granted before now, so a whole duration is always enough.
    pub(crate) fn restore(bytes: &[u8], me: DeviceId, boot: BootId, now: BootTime) -> Result<Self, SectionError> {
        type Saved = (BootId, u64, BTreeMap<Name, u64>, BTreeMap<(Name, Token), Granted>);
        type OfSatellites = (BTreeMap<ResourceId, u64>, BTreeMap<Key, Granted>);
        let sections = Sections::new_checked(bytes)?;
        let (saved_boot, floor, named, leased): Saved = sections.one(STATE)?.decode()?;
        let (mut tokens, mut leases): OfSatellites =
            sections.at_most_one(SATELLITES)?.map(|section| section.decode()).transpose()?.unwrap_or_default();
        let own = |name| ResourceId { device: me, name };
        tokens.extend(named.into_iter().map(|(name, token)| (own(name), token)));
        leases.extend(leased.into_iter().map(|((name, token), lease)| ((own(name), token), lease)));
        for lease in leases.values_mut() {
            let whole = match lease.phase {
                Phase::Ended => now + RESERVATION_KEPT,
                _ => now + owner_term(lease.duration),
            };
            lease.until = if saved_boot == boot { lease.until.min(whole) } else { whole };
            if lease.phase == Phase::Granting {
                // Its holder may have been told just before the end.
                lease.phase = Phase::Live;
            }
        }
        Ok(Self { floor, tokens, leases })
    }
}

impl Granted {
    fn extend(&mut self, now: BootTime, duration: Duration) {
        let duration = granted_duration(duration);
        self.duration = self.duration.max(duration);
        self.until = self.until.max(now + owner_term(duration));
    }
}

#[cfg(test)]
#[path = "owner_tests.rs"]
mod tests;
