//! The side that takes: from the offer until the source's word that it is this device's.

use tutti_model::DeviceId;

use super::{ANSWER, HandOver, Message, Offer, Output, PROGRESS, Phase, Standing, Why};
use crate::ids::{Attempt, Epoch};

impl HandOver {
    pub(super) fn on_offer(&mut self, from: DeviceId, offer: Offer) {
        let refuse = |why| Message::Refuse(offer.attempt, why);
        // The one that we wait for offers it itself: so it knows that it is its own.
        if let Some(Standing::Leaving { next, .. }) = self.standing()
            && *next == offer.epoch
            && from == next.home
        {
            return self.on_settled(from, offer.epoch);
        }
        match &self.phase {
            // It is offered again because the answer was lost, or is not there yet.
            Phase::Considering(mine, source) if (mine, *source) == (&offer, from) => return,
            Phase::Receiving(mine, source) if (mine, *source) == (&offer, from) => {
                return self.send(from, Message::Accept(offer.attempt));
            }
            _ => {}
        }
        let answer = if offer.epoch.home != from || offer.epoch.moved_to(self.me) != Some(offer.next) {
            Some(Why::Damaged)
        } else if offer.terms.is_some() && !self.kept {
            Some(Why::NoStandby)
        } else if self.floor().is_some_and(|floor| floor > offer.epoch) {
            Some(Why::Superseded)
        } else {
            match self.standing() {
                Some(Standing::Stray { .. }) => Some(Why::Stray),
                Some(Standing::Gone { .. }) | None if self.phase == Phase::Idle => None,
                _ => Some(Why::Busy),
            }
        };
        match answer {
            Some(why) => self.send(from, refuse(why)),
            None => {
                self.deadline = Some(self.now + ANSWER);
                self.out.push_back(Output::Consider(from, offer.clone()));
                self.phase = Phase::Considering(offer, from);
            }
        }
    }

    pub(super) fn on_considered(&mut self, attempt: Attempt, verdict: Result<(), Why>) {
        let Phase::Considering(offer, from) = &self.phase else { return };
        if offer.attempt != attempt {
            return;
        }
        let (offer, from) = (offer.clone(), *from);
        match verdict {
            Ok(()) => {
                self.send(from, Message::Accept(attempt));
                self.phase = Phase::Receiving(offer, from);
                self.deadline = Some(self.now + PROGRESS);
            }
            Err(why) => {
                self.phase = Phase::Idle;
                self.deadline = None;
                self.send(from, Message::Refuse(attempt, why));
            }
        }
    }

    pub(super) fn on_stored(&mut self, attempt: Attempt, result: Result<(), Why>) {
        let Phase::Receiving(offer, from) = &self.phase else { return };
        if offer.attempt != attempt || self.saving.is_some() {
            return;
        }
        let (offer, source) = (offer.clone(), *from);
        self.phase = Phase::Idle;
        self.deadline = None;
        match result {
            Ok(()) => {
                let before = self.floor();
                let standing = Standing::Prepared { attempt, source, next: offer.next, before };
                self.save(standing, offer.claim);
            }
            Err(why) => {
                self.send(source, Message::Refuse(attempt, why));
                self.out.push_back(Output::Release(attempt));
            }
        }
    }

    pub(super) fn on_commit(&mut self, from: DeviceId, attempt: Attempt, next: Epoch) {
        match self.standing() {
            Some(Standing::Prepared { attempt: mine, source, next: awaited, .. })
                if (*mine, *source, *awaited) == (attempt, from, next) =>
            {
                let claim = self.claim();
                self.save(Standing::Home { epoch: next }, claim);
            }
            _ if next.home != self.me => {}
            // It began here, and may have ended since.
            _ if self.floor().is_some_and(|floor| floor >= next) => self.send(from, Message::Settled(next)),
            _ => self.send(from, Message::Missing(attempt)),
        }
    }

    /// The source goes on by itself.
    pub(super) fn on_abort(&mut self, from: DeviceId, attempt: Attempt) {
        let receiving = match &self.phase {
            Phase::Considering(offer, source) | Phase::Receiving(offer, source) => {
                (offer.attempt, *source) == (attempt, from)
            }
            _ => false,
        };
        if receiving {
            self.give_up_receiving();
        }
        if let Some(Standing::Prepared { attempt: mine, source, next, before }) = self.standing()
            && (*mine, *source) == (attempt, from)
        {
            // What began before `next` is all that is known for sure.
            let until = before.unwrap_or(Epoch { number: next.number.saturating_sub(1), home: *source, ..*next });
            let claim = self.claim();
            self.save(Standing::Gone { until }, claim);
        }
    }

    /// Lets go of what came in so far.
    pub(super) fn give_up_receiving(&mut self) {
        let (Phase::Considering(offer, from) | Phase::Receiving(offer, from)) = &self.phase else { return };
        if self.saving.is_some() {
            return;
        }
        let (attempt, from) = (offer.attempt, *from);
        self.phase = Phase::Idle;
        self.deadline = None;
        self.send(from, Message::Refuse(attempt, Why::Failed));
        self.out.push_back(Output::Release(attempt));
    }
}
