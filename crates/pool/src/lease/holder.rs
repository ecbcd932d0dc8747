//! The leases that this device holds on its own or others' resources: what it may believe, and until when.
//!
//! # The phases of a lease here
//! ```text
//!  Asking ──(granted)──► Held ──(given back)──► Returning ──(owner told, or its time is over)──► gone
//!    │                    │ ▲ └─(handed over)──► gone
//!    │                    └─┘ renewed
//!    ├──(refused)──► gone └──(refused, or its time is over)──► lost
//!    └──(no answer)──► Returning: it may have been granted
//! ```
//! A belief ends the moment it is given up here, before the owner hears of it, and never lasts longer than
//! [`holder_term`] from when the request or renewal behind it was sent.

use std::{collections::BTreeMap, time::Duration};

use tutti_model::{
    BootTime, DeviceId, ResourceId,
    message::{Grant, LeaseId, LeaseMode, Nonce, Token},
};

use super::holder_term;
use crate::io::HeldLease;

#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) resource: ResourceId,
    pub(crate) mode: LeaseMode,
    pub(crate) phase: Phase,
    /// What is asked for when it is renewed.
    pub(crate) duration: Duration,
    /// Whether it is renewed by itself.
    pub(crate) renewed: bool,
    /// Until when it is believed in, or, while it is given back, until when the owner may think it held.
    pub(crate) until: BootTime,
    /// When to renew, or to try again to give back.
    pub(crate) next: BootTime,
    /// Whether a request about it is under way.
    pub(crate) under_way: bool,
    /// To whom its transfer is reserved, as the owner confirmed.
    pub(crate) reserved: Option<DeviceId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Asking,
    Held(Token),
    Returning,
}

/// Everything that this device holds, by the request that it came from.
#[derive(Debug, Default)]
pub(crate) struct Holds {
    holds: BTreeMap<Nonce, Hold>,
}

impl Holds {
    pub(crate) fn len(&self) -> usize {
        self.holds.len()
    }

    pub(crate) fn ask(&mut self, nonce: Nonce, resource: ResourceId, mode: LeaseMode, sent: Sent, renewed: bool) {
        let hold = Hold {
            resource,
            mode,
            phase: Phase::Asking,
            duration: sent.duration,
            renewed,
            until: sent.at,
            next: sent.at,
            under_way: true,
            reserved: None,
        };
        self.holds.insert(nonce, hold);
    }

    /// The owner granted it. `None` if the answer took so long that it is over already, or nobody asked.
    pub(crate) fn granted(&mut self, now: BootTime, nonce: Nonce, grant: &Grant, sent: BootTime) -> Option<HeldLease> {
        let hold = self.holds.get_mut(&nonce)?;
        // An owner may give less than was asked for. More is not believed.
        let duration = grant.duration.min(hold.duration.max(crate::limits::MIN_LEASE));
        let until = sent + holder_term(duration);
        if hold.phase != Phase::Asking || until <= now {
            return None;
        }
        hold.phase = Phase::Held(grant.lease.token);
        hold.mode = grant.mode;
        hold.duration = duration;
        hold.until = until;
        hold.next = sent + duration / 3;
        hold.under_way = false;
        hold.view()
    }

    /// The owner renewed it. `None` if it is not held any more.
    pub(crate) fn extended(&mut self, now: BootTime, nonce: Nonce, grant: &Grant, sent: Sent) -> Option<HeldLease> {
        let hold = self.holds.get_mut(&nonce)?;
        hold.under_way = false;
        let duration = grant.duration.min(sent.duration.max(crate::limits::MIN_LEASE));
        if hold.phase != Phase::Held(grant.lease.token) || hold.until <= now {
            return None;
        }
        hold.duration = duration;
        hold.until = hold.until.max(sent.at + holder_term(duration));
        hold.next = sent.at + duration / 3;
        hold.view()
    }

    /// From now on it is not held; its owner is to be told. `owner_until`: when the owner has surely forgotten it.
    pub(crate) fn give_back(&mut self, now: BootTime, nonce: Nonce, owner_until: BootTime) {
        if let Some(hold) = self.holds.get_mut(&nonce) {
            hold.phase = Phase::Returning;
            hold.until = owner_until;
            hold.next = now;
            hold.under_way = false;
        }
    }

    pub(crate) fn remove(&mut self, nonce: Nonce) -> Option<Hold> {
        self.holds.remove(&nonce)
    }

    /// Those whose time is over. Whoever is given back is simply forgotten.
    pub(crate) fn expire(&mut self, now: BootTime) -> Vec<Hold> {
        let mut lost = Vec::new();
        self.holds.retain(|_, hold| match hold.phase {
            Phase::Asking => true,
            _ if hold.until > now => true,
            Phase::Returning => false,
            Phase::Held(_) => {
                lost.push(hold.clone());
                false
            }
        });
        lost
    }

    pub(crate) fn get(&self, nonce: Nonce) -> Option<&Hold> {
        self.holds.get(&nonce)
    }

    pub(crate) fn get_mut(&mut self, nonce: Nonce) -> Option<&mut Hold> {
        self.holds.get_mut(&nonce)
    }

    /// The lease with this token, if it is believed in now.
    pub(crate) fn find(&self, now: BootTime, lease: &LeaseId) -> Option<(Nonce, &Hold)> {
        self.holds
            .iter()
            .find(|(_, hold)| {
                hold.resource == lease.resource && hold.phase == Phase::Held(lease.token) && hold.until > now
            })
            .map(|(nonce, hold)| (*nonce, hold))
    }

    /// The one on this resource that stands in the way of another: held or asked for exclusively.
    pub(crate) fn exclusive_on(&self, now: BootTime, resource: &ResourceId) -> bool {
        self.holds.values().any(|hold| {
            hold.resource == *resource
                && hold.mode == LeaseMode::Exclusive
                && match hold.phase {
                    Phase::Asking => true,
                    Phase::Held(_) => hold.until > now,
                    Phase::Returning => false,
                }
        })
    }

    /// Those with something to send now: a renewal, or word that they are given back.
    pub(crate) fn due(&self, now: BootTime, reachable: impl Fn(DeviceId) -> bool) -> Vec<Nonce> {
        self.holds
            .iter()
            .filter(|(_, hold)| hold.is_waiting() && hold.next <= now && reachable(hold.resource.device))
            .map(|(nonce, _)| *nonce)
            .collect()
    }

    /// When something is due or over next.
    pub(crate) fn next(&self, reachable: impl Fn(DeviceId) -> bool) -> Option<BootTime> {
        let waiting = |hold: &&Hold| hold.is_waiting() && reachable(hold.resource.device);
        let due = self.holds.values().filter(waiting).map(|hold| hold.next);
        let over = self.holds.values().filter(|hold| hold.phase != Phase::Asking).map(|hold| hold.until);
        due.chain(over).min()
    }

    /// These devices can be reached again: what waits for them need not wait longer.
    pub(crate) fn hurry(&mut self, now: BootTime, reachable: impl Fn(DeviceId) -> bool) {
        for hold in self.holds.values_mut().filter(|hold| hold.is_waiting() && reachable(hold.resource.device)) {
            // A renewal that is not due yet stays so.
            if hold.phase == Phase::Returning || hold.next <= now + hold.duration / 3 {
                hold.next = now;
            }
        }
    }

    pub(crate) fn held(&self, now: BootTime) -> impl Iterator<Item = HeldLease> {
        self.holds.values().filter(move |hold| hold.until > now).filter_map(Hold::view)
    }
}

/// When a request was sent, and for how long it asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) at: BootTime,
    pub(crate) duration: Duration,
}

impl Hold {
    /// Whether it waits for its time to say something.
    fn is_waiting(&self) -> bool {
        !self.under_way
            && match self.phase {
                Phase::Asking => false,
                Phase::Held(_) => self.renewed,
                Phase::Returning => true,
            }
    }

    fn view(&self) -> Option<HeldLease> {
        let Phase::Held(token) = self.phase else { return None };
        Some(HeldLease {
            lease: LeaseId { resource: self.resource, token },
            mode: self.mode,
            duration: self.duration,
            until: self.until,
            renewed: self.renewed,
            reserved: self.reserved,
        })
    }
}
