//! Leases on this device's resources, from the request to the answer.
//!
//! A grant takes two things, in any order: its token is durable, and what was under way under earlier leases has
//! stopped. Only then does anybody hear of it. So no restart gives a token out twice, and no effect of an earlier
//! lease follows one of a later.

use tutti_model::{
    BootTime, DeviceId, Operation, ResourceId,
    message::{
        HandOver, LeaseMode, LeaseRelease, LeaseRenew, LeaseRequest, LeaseReserve, LeaseTake, Refusal, Reply, explain,
    },
};

use super::{Pool, ReplyTo, serve::Wish};
use crate::{
    io::grant,
    lease::owner::{Asked, Claim, Key, granted_duration, mode_of},
    limits::{GRANT_PATIENCE, MAX_REQUESTS},
};

pub(super) const KEY: &str = "pool/leases";

/// A lease that is being granted.
#[derive(Debug)]
pub(super) struct Granting {
    reply: ReplyTo,
    durable: bool,
    duration: std::time::Duration,
    pub(super) deadline: BootTime,
}

/// What goes on once the granted leases are durable.
#[derive(Debug)]
pub(super) enum Waiter {
    Grant(Key),
    Extended { reply: ReplyTo, from: DeviceId, key: Key, mode: LeaseMode, duration: std::time::Duration },
    Done(ReplyTo),
}

impl Pool {
    pub(super) fn on_lease_request(
        &mut self,
        from: DeviceId,
        ask: &LeaseRequest,
        reply: ReplyTo,
    ) -> Result<(), Refusal> {
        let (offered, _) = self.admit(from, ask.resource, Wish::LEASE.operation)?;
        let sharing = offered.sharing;
        if ask.mode != mode_of(sharing) {
            return Err(Refusal::WrongMode { sharing });
        }
        self.check_waiters()?;
        let claim = Claim { from, resource: ask.resource, mode: ask.mode, duration: ask.duration, nonce: ask.nonce };
        let asked = self.granted.request(self.now, claim)?;
        self.asked(claim, asked, reply);
        Ok(())
    }

    pub(super) fn on_lease_take(&mut self, from: DeviceId, take: &LeaseTake, reply: ReplyTo) -> Result<(), Refusal> {
        let hand_over = HandOver::verify(&take.hand_over).map_err(|_| Refusal::BadHandOver)?;
        let resource = hand_over.lease.resource;
        let (offered, _) = self.admit(from, resource, Wish::LEASE.operation)?;
        let mode = mode_of(offered.sharing);
        self.check_waiters()?;
        let claim = Claim { from, resource, mode, duration: take.duration, nonce: take.nonce };
        let asked = self.granted.take(self.now, claim, &hand_over)?;
        self.asked(claim, asked, reply);
        Ok(())
    }

    pub(super) fn on_lease_renew(&mut self, from: DeviceId, renew: &LeaseRenew, reply: ReplyTo) -> Result<(), Refusal> {
        self.admit(from, renew.lease.resource, Wish::LEASE.operation)?;
        self.check_waiters()?;
        let key = (renew.lease.resource, renew.lease.token);
        let mode = self.granted.renew(self.now, from, &key, renew.duration)?;
        self.extended(from, key, mode, renew.duration, reply);
        Ok(())
    }

    /// Answered at once: a restart that has not heard of it only keeps others out a little longer.
    pub(super) fn on_lease_release(
        &mut self,
        from: DeviceId,
        release: &LeaseRelease,
        reply: ReplyTo,
    ) -> Result<(), Refusal> {
        match self.granted.release(from, release.resource, release.nonce) {
            Some(key) => {
                if let Some(granting) = self.granting.remove(&key) {
                    self.reply(granting.reply, Reply::Refused(Refusal::StaleToken));
                }
                self.grants_changed();
                self.revalidate();
            }
            None if !self.own.is_or_hosts(release.resource.device) => return Err(Refusal::NoSuchResource),
            None => {}
        }
        self.reply(reply, Reply::Done(()));
        Ok(())
    }

    pub(super) fn on_lease_reserve(
        &mut self,
        from: DeviceId,
        reserve: &LeaseReserve,
        reply: ReplyTo,
    ) -> Result<(), Refusal> {
        let resource = reserve.lease.resource;
        self.admit(from, resource, Operation::Control)?;
        // Whoever is to take it must be allowed to have it.
        self.admit(reserve.to, resource, Operation::Control)?;
        self.check_waiters()?;
        self.granted.reserve(from, &(resource, reserve.lease.token), reserve.to)?;
        self.granted_slot.changed_for(self.now, Waiter::Done(reply));
        Ok(())
    }

    fn check_waiters(&self) -> Result<(), Refusal> {
        if self.granted_slot.waiters() >= MAX_REQUESTS { Err(Refusal::Busy) } else { Ok(()) }
    }

    fn asked(&mut self, claim: Claim, asked: Asked, reply: ReplyTo) {
        match asked {
            Asked::Begun(token) | Asked::Again(token) => {
                let key = (claim.resource, token);
                let duration = granted_duration(claim.duration);
                let deadline = self.now + GRANT_PATIENCE;
                let granting = Granting { reply, durable: false, duration, deadline };
                if let Some(earlier) = self.granting.insert(key, granting) {
                    self.reply(earlier.reply, Reply::Refused(Refusal::Busy));
                }
                self.granted_slot.changed_for(self.now, Waiter::Grant(key));
                // An earlier run of the same device may have been in the way, or the lease that is taken over.
                self.drop_dead_grants();
                self.revalidate();
            }
            Asked::Extended(token) => {
                self.extended(claim.from, (claim.resource, token), claim.mode, claim.duration, reply);
            }
        }
    }

    fn extended(&mut self, from: DeviceId, key: Key, mode: LeaseMode, duration: std::time::Duration, reply: ReplyTo) {
        let duration = granted_duration(duration);
        self.granted_slot.changed_for(self.now, Waiter::Extended { reply, from, key, mode, duration });
    }

    pub(super) fn grants_saved(&mut self, waiters: Vec<Waiter>) {
        for waiter in waiters {
            match waiter {
                Waiter::Grant(key) => {
                    if let Some(granting) = self.granting.get_mut(&key) {
                        granting.durable = true;
                    }
                    self.finish_grants(Some(key.0));
                }
                Waiter::Extended { reply, from, key, mode, duration } => {
                    let answer = match self.granted.check(from, &key) {
                        Ok(()) => Reply::Lease(grant(key.0, key.1, mode, duration)),
                        Err(why) => Reply::Refused(why),
                    };
                    self.reply(reply, answer);
                    self.leases_changed = true;
                    self.peers.values_mut().for_each(|peer| peer.leases_changed(self.now));
                }
                Waiter::Done(reply) => self.reply(reply, Reply::Done(())),
            }
        }
    }

    pub(super) fn grants_not_saved(&mut self, waiters: Vec<Waiter>, why: &str) {
        for waiter in waiters {
            let reply = match waiter {
                Waiter::Grant(key) => {
                    self.granted.abort(&key);
                    self.granting.remove(&key).map(|granting| granting.reply)
                }
                Waiter::Extended { reply, .. } | Waiter::Done(reply) => Some(reply),
            };
            if let Some(reply) = reply {
                self.reply(reply, Reply::Refused(Refusal::Failed(explain(&why))));
            }
        }
    }

    /// Grants what is durable and in nobody's way any more.
    pub(super) fn finish_grants(&mut self, on: Option<ResourceId>) {
        let ready: Vec<Key> = self
            .granting
            .iter()
            .filter(|((of, _), granting)| granting.durable && on.is_none_or(|on| on == *of))
            .filter(|(key @ (of, token), _)| {
                let mode = self.granted.get(key).map_or(LeaseMode::Shared, |granted| granted.mode);
                !self.ops.in_the_way(*of, *token, mode)
            })
            .map(|(key, _)| *key)
            .collect();
        for key in ready {
            let Some(granting) = self.granting.remove(&key) else { continue };
            match self.granted.commit(self.now, &key) {
                Some(mode) => {
                    let grant = grant(key.0, key.1, mode, granting.duration);
                    self.reply(granting.reply, Reply::Lease(grant));
                }
                None => {
                    self.granted.abort(&key);
                    self.reply(granting.reply, Reply::Refused(Refusal::Busy));
                }
            }
            self.grants_changed();
        }
    }

    /// Grants that take too long are not made.
    pub(super) fn expire_grants(&mut self) {
        let now = self.now;
        let late: Vec<Key> =
            self.granting.iter().filter(|(_, granting)| granting.deadline <= now).map(|(key, _)| *key).collect();
        for key in late {
            self.granted.abort(&key);
            if let Some(granting) = self.granting.remove(&key) {
                self.reply(granting.reply, Reply::Refused(Refusal::Busy));
            }
            self.grants_changed();
        }
    }

    /// Grants that were begun and whose lease is gone again.
    fn drop_dead_grants(&mut self) {
        let granted = &self.granted;
        let dead: Vec<Key> = self.granting.keys().filter(|key| granted.get(key).is_none()).copied().collect();
        for key in dead {
            if let Some(granting) = self.granting.remove(&key) {
                self.reply(granting.reply, Reply::Refused(Refusal::StaleToken));
            }
        }
    }
}
