//! Who goes on when a device does not come back: by an owner's word, or by the standby that was named.

use tutti_model::DeviceId;

use super::{Because, Claim, Event, HandOver, Message, Phase, Standing, Warrant};
use crate::ids::Epoch;

impl HandOver {
    /// Goes on from the copy here, in a new branch.
    pub(super) fn on_recover(&mut self, warrant: Warrant) {
        let (base, rival) = match self.standing() {
            _ if self.saving.is_some() => return self.event(Event::Refused(Because::Moving)),
            Some(Standing::Leaving { next, .. }) => (*next, next.home),
            Some(Standing::Prepared { source, next, .. }) => (*next, *source),
            Some(Standing::Stray { by, .. }) => (*by, by.home),
            Some(Standing::Home { .. }) => return self.event(Event::Refused(Because::AlreadyThere)),
            _ => return self.event(Event::Refused(Because::NothingHere)),
        };
        self.begin_branch(base, warrant, rival);
    }

    fn begin_branch(&mut self, base: Epoch, warrant: Warrant, rival: DeviceId) {
        let next = base.recovered_at(self.me).filter(|next| warrant.verify(self.instance, next.branch).is_ok());
        let Some(epoch) = next else { return self.event(Event::Refused(Because::BadWarrant)) };
        self.save(Standing::Home { epoch }, Some(Claim { warrant, rival: Some(rival) }));
    }

    /// An owner accepts the loss of the standby, without which its home, here, must not run it.
    pub(crate) fn part_from(&mut self, standby: DeviceId, warrant: Warrant) {
        match self.standing() {
            Some(Standing::Home { epoch }) if self.saving.is_none() => {
                let epoch = *epoch;
                self.give_up_moving(Because::Void);
                self.begin_branch(epoch, warrant, standby);
            }
            _ => self.event(Event::Refused(Because::Moving)),
        }
    }

    /// Takes over from a home that is out of reach: this device is its standby, and the run-lease is over.
    pub(crate) fn take_over(&mut self, epoch: Epoch) {
        let vacant = matches!(self.standing(), None | Some(Standing::Gone { .. } | Standing::Prepared { .. }));
        if vacant && self.saving.is_none() && self.floor() < Some(epoch) {
            self.give_up_receiving();
            let claim = self.claim();
            self.save(Standing::Home { epoch }, claim);
        }
    }

    /// The standby has taken over from this home.
    pub(crate) fn succeeded(&mut self, by: Epoch) -> bool {
        let Some(Standing::Home { epoch }) = self.standing().cloned() else { return false };
        if epoch >= by || self.saving.is_some() {
            return false;
        }
        self.give_up_moving(Because::Void);
        let claim = self.claim();
        self.save(Standing::Stray { epoch, by }, claim);
        true
    }

    /// Somebody went on in a later branch; or in an earlier one, and has yet to learn of this one. That nothing earlier
    /// runs here is said only once it is durable: the other asks again.
    pub(super) fn on_supersede(&mut self, from: DeviceId, epoch: Epoch, warrant: Warrant) {
        if epoch.home != from {
            return;
        }
        let claim = Some(Claim { warrant, rival: None });
        match self.standing().cloned() {
            Some(Standing::Home { epoch: mine }) if mine > epoch => {
                // It is the other who has to yield, if an owner said so.
                if let Some(Claim { warrant, .. }) = self.claim() {
                    self.send(from, Message::Supersede(mine, warrant));
                }
            }
            Some(Standing::Home { epoch: mine }) => {
                self.give_up_moving(Because::Void);
                self.event(Event::Superseded(epoch));
                self.save(Standing::Stray { epoch: mine, by: epoch }, claim);
            }
            // It was on its way elsewhere, where the other will ask next. What is here is kept, for it may be the last.
            Some(Standing::Leaving { next, .. }) if next < epoch => {
                self.event(Event::Superseded(epoch));
                self.save(Standing::Stray { epoch: next, by: epoch }, claim);
            }
            Some(Standing::Prepared { next, .. }) if next < epoch => self.save(Standing::Gone { until: epoch }, claim),
            Some(Standing::Leaving { next: last, .. } | Standing::Gone { until: last }) => {
                self.give_up_earlier(epoch);
                self.yielded(from, epoch, last);
            }
            Some(Standing::Stray { epoch: last, .. }) => self.yielded(from, epoch, last),
            Some(Standing::Prepared { .. }) => {}
            None => {
                self.give_up_earlier(epoch);
                self.send(from, Message::Yielded(epoch, None));
            }
        }
    }

    /// What comes in of an earlier branch is void.
    fn give_up_earlier(&mut self, than: Epoch) {
        if let Phase::Considering(offer, _) | Phase::Receiving(offer, _) = &self.phase
            && offer.next < than
        {
            self.give_up_receiving();
        }
    }

    fn yielded(&mut self, to: DeviceId, epoch: Epoch, last: Epoch) {
        let elsewhere = Some(last).filter(|last| last.home != self.me && last.home != to);
        self.send(to, Message::Yielded(epoch, elsewhere));
    }

    pub(super) fn on_yielded(&mut self, from: DeviceId, of: Epoch, to: Option<Epoch>) {
        let Some(Standing::Home { epoch }) = self.standing() else { return };
        let (epoch, Some(claim)) = (*epoch, self.claim()) else { return };
        if claim.rival != Some(from) || epoch != of {
            return;
        }
        let rival = to.map(|next| next.home).filter(|home| *home != self.me && *home != from);
        self.save(Standing::Home { epoch }, Some(Claim { rival, ..claim }));
    }

    /// The owner has looked at a copy that was given up and does not want it.
    pub(super) fn on_discard(&mut self) {
        let Some(Standing::Stray { epoch, .. }) = self.standing() else {
            return self.event(Event::Refused(Because::NothingHere));
        };
        let until = *epoch;
        if self.saving.is_none() {
            let claim = self.claim();
            self.save(Standing::Gone { until }, claim);
        }
    }

    pub(super) fn on_retire(&mut self) {
        let Some(Standing::Home { epoch }) = self.standing() else {
            return self.event(Event::Refused(Because::NotHere));
        };
        if self.saving.is_some() || self.phase != Phase::Idle {
            return self.event(Event::Refused(Because::Moving));
        }
        let (until, claim) = (*epoch, self.claim());
        self.save(Standing::Gone { until }, claim);
    }
}
