//! The leases that this device holds, and the requests that it has under way.

use tutti_model::{
    ResourceId,
    message::{
        Grant, HandOver, LeaseId, LeaseMode, LeaseRelease, LeaseRenew, LeaseRequest, LeaseReserve, LeaseTake,
        MessageError, Nonce, Refusal, Reply, Request,
    },
    signed::Signed,
};

use super::{Pool, ReplyTo};
use crate::{
    error::PoolError,
    io::{Answer, CallId, Event, Output, RequestId, SendError},
    lease::{
        holder::{Phase, Sent},
        owner_term,
    },
    limits::{MAX_HELD, MAX_REQUESTS, REQUEST_TIMEOUT, RETRY},
};

/// A request under way, and what its answer is for.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) about: ResourceId,
    pub(super) purpose: Purpose,
}

#[derive(Debug)]
pub(super) enum Purpose {
    /// A command wants a reading or to have something done; if it happens under a lease, that one.
    Use { call: CallId, lease: Option<LeaseId> },
    /// A command wants a lease.
    Acquire { call: CallId, nonce: Nonce, sent: Sent },
    /// A lease is to last longer; a command may wait for it.
    Renew { call: Option<CallId>, nonce: Nonce, lease: LeaseId, sent: Sent },
    /// A command wants a transfer reserved.
    Reserve { call: CallId, nonce: Nonce, lease: LeaseId, to: tutti_model::DeviceId },
    /// A lease is given back.
    Return { nonce: Nonce },
}

impl Pool {
    /// Sends a request to a resource's device, which may be this one.
    pub(super) fn send(&mut self, about: ResourceId, request: Request, purpose: Purpose) -> Result<(), PoolError> {
        if self.requests.len() >= MAX_REQUESTS {
            return Err(PoolError::Busy);
        }
        let id = RequestId(self.next_id());
        if self.own.is_or_hosts(about.device) {
            self.requests.insert(id, Pending { about, purpose });
            self.serve(self.me, ReplyTo::Internal(id), request);
            return Ok(());
        }
        let to = self.host_of(about.device).ok_or(PoolError::UnknownDevice(about.device))?;
        let bytes = request.emit().map_err(PoolError::TooLong)?;
        self.requests.insert(id, Pending { about, purpose });
        let request = Output::Request { id, to, bytes: bytes.into(), timeout: REQUEST_TIMEOUT };
        self.out.push_back(request);
        Ok(())
    }

    pub(super) fn on_response(&mut self, id: RequestId, result: Result<Result<Reply, MessageError>, SendError>) {
        let Some(Pending { about, purpose }) = self.requests.remove(&id) else { return };
        let result = match result {
            // What a device says that was removed meanwhile, itself or its host, counts for nothing.
            _ if self.host_of(about.device).is_none() => Err(PoolError::UnknownDevice(about.device)),
            Ok(Ok(Reply::Refused(why))) => Err(PoolError::Refused { subject: self.subject(about), why }),
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(what)) => Err(PoolError::Misbehaved { subject: self.subject(about), what }),
            Err(why) => Err(PoolError::NoAnswer { subject: self.subject(about), why }),
        };
        match purpose {
            Purpose::Use { call, lease } => self.used(call, about, lease, result),
            Purpose::Acquire { call, nonce, sent } => self.acquired(call, about, nonce, sent, result),
            Purpose::Renew { call, nonce, lease, sent } => self.renewed(call, nonce, lease, sent, result),
            Purpose::Reserve { call, nonce, lease, to } => self.reserved(call, nonce, lease, to, result),
            Purpose::Return { nonce } => self.returned(nonce, &result),
        }
    }

    // --- getting one -----------------------------------------------------------------------------------------

    pub(super) fn acquire(
        &mut self,
        call: CallId,
        resource: ResourceId,
        mode: LeaseMode,
        duration: std::time::Duration,
        renewed: bool,
    ) -> Result<(), PoolError> {
        let nonce = self.start_hold(resource, mode)?;
        let sent = Sent { at: self.now, duration };
        let request = Request::LeaseRequest(LeaseRequest { resource, mode, duration, nonce });
        self.holds.ask(nonce, resource, mode, sent, renewed);
        self.send_ask(call, resource, request, nonce, sent)
    }

    pub(super) fn take(
        &mut self,
        call: CallId,
        signed: Signed,
        duration: std::time::Duration,
        renewed: bool,
    ) -> Result<(), PoolError> {
        let hand_over = HandOver::verify(&signed).map_err(|_| PoolError::BadHandOver)?;
        if hand_over.to != self.me {
            return Err(PoolError::BadHandOver);
        }
        let resource = hand_over.lease.resource;
        self.route(resource)?;
        let nonce = self.start_hold(resource, LeaseMode::Exclusive)?;
        let sent = Sent { at: self.now, duration };
        let request = Request::LeaseTake(LeaseTake { hand_over: signed, duration, nonce });
        self.holds.ask(nonce, resource, LeaseMode::Exclusive, sent, renewed);
        self.send_ask(call, resource, request, nonce, sent)
    }

    fn start_hold(&mut self, resource: ResourceId, mode: LeaseMode) -> Result<Nonce, PoolError> {
        if self.holds.len() >= MAX_HELD {
            return Err(PoolError::Busy);
        }
        if mode == LeaseMode::Exclusive && self.holds.exclusive_on(self.now, &resource) {
            return Err(PoolError::AlreadyHeld { subject: self.subject(resource) });
        }
        self.nonces += 1;
        Ok(Nonce { run: self.run, count: self.nonces })
    }

    fn send_ask(
        &mut self,
        call: CallId,
        resource: ResourceId,
        request: Request,
        nonce: Nonce,
        sent: Sent,
    ) -> Result<(), PoolError> {
        let sending = self.send(resource, request, Purpose::Acquire { call, nonce, sent });
        if sending.is_err() {
            self.holds.remove(nonce);
        }
        sending
    }

    fn acquired(
        &mut self,
        call: CallId,
        about: ResourceId,
        nonce: Nonce,
        sent: Sent,
        result: Result<Reply, PoolError>,
    ) {
        let result = match result {
            Ok(Reply::Lease(grant)) if grant.lease.resource == about => {
                match self.holds.granted(self.now, nonce, &grant, sent.at) {
                    Some(held) => {
                        self.leases_changed = true;
                        Ok(Answer::Lease(held))
                    }
                    None => {
                        self.hand_back(nonce, sent);
                        let why = SendError::TimedOut;
                        Err(PoolError::NoAnswer { subject: self.subject(about), why })
                    }
                }
            }
            Ok(_) => {
                self.hand_back(nonce, sent);
                Err(self.wrong_reply(about))
            }
            Err(error @ PoolError::Refused { .. }) => {
                self.holds.remove(nonce);
                Err(error)
            }
            // It may have been granted: the owner is told that nobody wants it.
            Err(error) => {
                self.hand_back(nonce, sent);
                Err(error)
            }
        };
        self.done(call, result);
    }

    /// Something asked for at `sent` is not wanted (any more). The owner may have granted it until the request's
    /// time was over, and counts from then.
    fn hand_back(&mut self, nonce: Nonce, sent: Sent) {
        let granted_by = sent.at + REQUEST_TIMEOUT + REQUEST_TIMEOUT;
        let duration = crate::lease::owner::granted_duration(sent.duration);
        self.holds.give_back(self.now, nonce, granted_by + owner_term(owner_term(duration)));
    }

    // --- keeping it ------------------------------------------------------------------------------------------

    /// Renews what is renewed by itself, and tells owners again about what they were not told yet.
    pub(super) fn renew_holds(&mut self) {
        let due = self.holds.due(self.now, |device| self.is_reachable(device));
        for nonce in due {
            let Some(hold) = self.holds.get(nonce) else { continue };
            let resource = hold.resource;
            let sent = Sent { at: self.now, duration: hold.duration };
            let sending = match hold.phase {
                Phase::Asking => continue,
                Phase::Held(token) => self.send_renew(None, nonce, LeaseId { resource, token }, sent),
                Phase::Returning => {
                    let request = Request::LeaseRelease(LeaseRelease { resource, nonce });
                    self.mark_under_way(nonce, true);
                    self.send(resource, request, Purpose::Return { nonce })
                }
            };
            if sending.is_err() {
                self.retry_later(nonce);
            }
        }
    }

    pub(super) fn renew(
        &mut self,
        call: CallId,
        lease: LeaseId,
        duration: std::time::Duration,
    ) -> Result<(), PoolError> {
        let (nonce, _) = self.holds.find(self.now, &lease).ok_or(PoolError::NotHeld(lease))?;
        self.send_renew(Some(call), nonce, lease, Sent { at: self.now, duration })
    }

    fn send_renew(&mut self, call: Option<CallId>, nonce: Nonce, lease: LeaseId, sent: Sent) -> Result<(), PoolError> {
        self.mark_under_way(nonce, true);
        let request = Request::LeaseRenew(LeaseRenew { lease, duration: sent.duration });
        self.send(lease.resource, request, Purpose::Renew { call, nonce, lease, sent })
    }

    fn renewed(
        &mut self,
        call: Option<CallId>,
        nonce: Nonce,
        lease: LeaseId,
        sent: Sent,
        result: Result<Reply, PoolError>,
    ) {
        let result = match result {
            Ok(Reply::Lease(grant @ Grant { lease: granted, .. })) if granted == lease => {
                match self.holds.extended(self.now, nonce, &grant, sent) {
                    Some(held) => {
                        self.leases_changed = true;
                        Ok(Answer::Lease(held))
                    }
                    None => Err(PoolError::NotHeld(lease)),
                }
            }
            Ok(_) => {
                self.retry_later(nonce);
                Err(self.wrong_reply(lease.resource))
            }
            Err(PoolError::Refused { subject, why }) => {
                if ends_lease(&why) {
                    self.lose(lease, Some(why));
                } else {
                    self.retry_later(nonce);
                }
                Err(PoolError::Refused { subject, why })
            }
            Err(error) => {
                self.retry_later(nonce);
                Err(error)
            }
        };
        if let Some(call) = call {
            self.done(call, result);
        }
    }

    fn mark_under_way(&mut self, nonce: Nonce, under_way: bool) {
        if let Some(hold) = self.holds.get_mut(nonce) {
            hold.under_way = under_way;
        }
    }

    fn retry_later(&mut self, nonce: Nonce) {
        let now = self.now;
        if let Some(hold) = self.holds.get_mut(nonce) {
            hold.under_way = false;
            hold.next = now + RETRY.min(hold.duration / 12);
        }
    }

    // --- giving it up ----------------------------------------------------------------------------------------

    pub(super) fn release(&mut self, call: CallId, lease: LeaseId) -> Result<(), PoolError> {
        let (nonce, hold) = self.holds.find(self.now, &lease).ok_or(PoolError::NotHeld(lease))?;
        let sent = Sent { at: self.now, duration: hold.duration };
        self.hand_back(nonce, sent);
        self.leases_changed = true;
        self.done(call, Ok(Answer::Done));
        Ok(())
    }

    fn returned(&mut self, nonce: Nonce, result: &Result<Reply, PoolError>) {
        match result {
            Ok(_) | Err(PoolError::Refused { .. }) => drop(self.holds.remove(nonce)),
            Err(_) => self.retry_later(nonce),
        }
    }

    pub(super) fn reserve(&mut self, call: CallId, lease: LeaseId, to: tutti_model::DeviceId) -> Result<(), PoolError> {
        let (nonce, _) = self.holds.find(self.now, &lease).ok_or(PoolError::NotHeld(lease))?;
        let request = Request::LeaseReserve(LeaseReserve { lease, to });
        self.send(lease.resource, request, Purpose::Reserve { call, nonce, lease, to })
    }

    fn reserved(
        &mut self,
        call: CallId,
        nonce: Nonce,
        lease: LeaseId,
        to: tutti_model::DeviceId,
        result: Result<Reply, PoolError>,
    ) {
        let result = match result {
            Ok(Reply::Done(())) => {
                if let Some(hold) = self.holds.get_mut(nonce) {
                    hold.reserved = Some(to);
                }
                Ok(Answer::Done)
            }
            Ok(_) => Err(self.wrong_reply(lease.resource)),
            Err(error) => Err(error),
        };
        self.done(call, result);
    }

    pub(super) fn hand_over(&mut self, call: CallId, lease: LeaseId) -> Result<(), PoolError> {
        let (nonce, hold) = self.holds.find(self.now, &lease).ok_or(PoolError::NotHeld(lease))?;
        let to = hold.reserved.ok_or(PoolError::NotReserved(lease))?;
        let signed = HandOver { lease, from: self.me, to }.sign(self.own.signing_key()).map_err(PoolError::TooLong)?;
        self.holds.remove(nonce);
        self.leases_changed = true;
        self.done(call, Ok(Answer::HandOver(signed)));
        Ok(())
    }

    /// A lease is over, against this device's will.
    pub(super) fn lose(&mut self, lease: LeaseId, why: Option<Refusal>) {
        let Some((nonce, _)) = self.holds.find(self.now, &lease) else { return };
        self.holds.remove(nonce);
        self.leases_changed = true;
        self.event(Event::LeaseLost { lease, why });
    }

    pub(super) fn expire_holds(&mut self) {
        for hold in self.holds.expire(self.now) {
            let Phase::Held(token) = hold.phase else { continue };
            self.leases_changed = true;
            self.event(Event::LeaseLost { lease: LeaseId { resource: hold.resource, token }, why: None });
        }
    }

    /// Leases on resources of devices that are not in the pool any more are worth nothing.
    pub(super) fn drop_foreign_holds(&mut self) {
        let foreign: Vec<LeaseId> = self
            .held(self.now)
            .into_iter()
            .map(|held| held.lease)
            .filter(|lease| self.host_of(lease.resource.device).is_none())
            .collect();
        for lease in foreign {
            self.lose(lease, None);
        }
    }

    /// A reading came, or something was done, or not.
    fn used(&mut self, call: CallId, about: ResourceId, lease: Option<LeaseId>, result: Result<Reply, PoolError>) {
        let result = match result {
            Ok(Reply::Done(())) => Ok(Answer::Done),
            Ok(Reply::Reading(reading)) => Ok(Answer::Reading(reading)),
            Ok(_) => Err(self.wrong_reply(about)),
            Err(error) => {
                if let (Some(lease), PoolError::Refused { why, .. }) = (lease, &error)
                    && ends_lease(why)
                {
                    self.lose(lease, Some(*why));
                }
                Err(error)
            }
        };
        self.done(call, result);
    }

    fn wrong_reply(&self, about: ResourceId) -> PoolError {
        PoolError::Misbehaved { subject: self.subject(about), what: MessageError::Unknown }
    }

    fn done(&mut self, call: CallId, result: Result<Answer, PoolError>) {
        self.out.push_back(Output::Done { call, result });
    }
}

/// Whether the owner's answer means that the lease is over.
fn ends_lease(why: &Refusal) -> bool {
    matches!(
        why,
        Refusal::StaleToken | Refusal::Superseded { .. } | Refusal::NotAllowed { .. } | Refusal::NoSuchResource
    )
}
