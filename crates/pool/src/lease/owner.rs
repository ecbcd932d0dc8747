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
    BootTime, DeviceId, Name, Sharing,
    message::{HandOver, LeaseMode, Nonce, Refusal, Token},
    section::{SectionError, SectionWriter, Sections, Tag},
};

use super::owner_term;
use crate::limits::{MAX_LEASE, MAX_LEASES, MAX_LEASES_PER_HOLDER, MAX_TOKENS, MIN_LEASE, RESERVATION_KEPT};

const STATE: Tag = Tag(1);

/// Which boot of this machine it is; from `/proc/sys/kernel/random/boot_id` on Linux. Times of one boot mean nothing in
/// another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootId(pub [u8; 16]);

/// A lease on one of this device's resources.
pub(crate) type Key = (Name, Token);

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
    tokens: BTreeMap<Name, u64>,
    leases: BTreeMap<Key, Granted>,
}

/// A claim on a new lease.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub(crate) from: DeviceId,
    pub(crate) name: Name,
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
        let key = (claim.name, hand_over.lease.token);
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
            self.leases.retain(|(name, _), lease| *name != key.0 || lease.phase != Phase::Ended);
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
    pub(crate) fn release(&mut self, from: DeviceId, name: Name, nonce: Nonce) -> Option<Key> {
        let ours = |(key, lease): (&Key, &Granted)| {
            (key.0 == name && lease.holder == from && lease.nonce == nonce && lease.phase != Phase::Ended)
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
        let last = self.tokens.get(&claim.name).copied().unwrap_or(0).max(self.floor);
        let token = last.checked_add(1).ok_or(Refusal::Busy)?;
        self.tokens.insert(claim.name, token);
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
        self.leases.insert((claim.name, Token(token)), granted);
        Ok(Token(token))
    }

    /// The lease that this very request got before.
    fn repeated(&mut self, now: BootTime, claim: &Claim) -> Result<Option<Asked>, Refusal> {
        let same = |((name, _), lease): &(&Key, &mut Granted)| {
            *name == claim.name && lease.holder == claim.from && lease.nonce == claim.nonce
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
        let in_the_way = |(name, token): &Key, lease: &Granted| {
            *name == claim.name
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
    fn not_yours(&self, (name, token): &Key) -> Option<Refusal> {
        let later = |((other, by), lease): (&Key, &Granted)| {
            (other == name && by > token && lease.mode == LeaseMode::Exclusive && lease.phase != Phase::Ended)
                .then_some(Refusal::Superseded { by: *by })
        };
        self.leases.iter().find_map(later)
    }

    /// Keeps the list of tokens short: the resources with the lowest ones that nobody leases now fall back to a
    /// common floor, above all that they ever gave out.
    fn forget_tokens(&mut self) {
        while self.tokens.len() > MAX_TOKENS {
            let leased = |name: &Name| self.leases.keys().any(|(other, _)| other == name);
            let idle = self.tokens.iter().filter(|(name, _)| !leased(name));
            let Some((&name, &token)) = idle.min_by_key(|(_, token)| **token) else { break };
            self.floor = self.floor.max(token);
            self.tokens.remove(&name);
        }
    }

    /// What must survive.
    pub(crate) fn save(&self, boot: BootId) -> Result<Vec<u8>, SectionError> {
        let mut writer = SectionWriter::new();
        writer.push(STATE, 1, &(boot, self.floor, &self.tokens, &self.leases))?;
        Ok(writer.finish())
    }

    /// Takes up what survived. Leases are honoured: within the same boot for the time that is left, after a
    /// reboot (when nobody knows how long the machine was off) for their whole duration from now. Every one of them
    /// was granted before now, so a whole duration is always enough.
    pub(crate) fn restore(bytes: &[u8], boot: BootId, now: BootTime) -> Result<Self, SectionError> {
        type Saved = (BootId, u64, BTreeMap<Name, u64>, BTreeMap<Key, Granted>);
        let (saved_boot, floor, tokens, mut leases): Saved = Sections::new_checked(bytes)?.one(STATE)?.decode()?;
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
