//! The side that gives: from the owner's wish to the point of no return, and until the target knows.

use tutti_model::DeviceId;

use super::{ANSWER, Because, Event, HandOver, Message, Offer, Output, PAUSE, PROGRESS, Phase, Standing, Try, Why};
use crate::ids::{Attempt, Epoch};

impl HandOver {
    pub(super) fn on_move(&mut self, to: DeviceId, attempt: Attempt, package: [u8; 32], size: u64) {
        let refused = |why| Event::Refused(why);
        let Some(Standing::Home { epoch }) = self.standing() else {
            return self.event(refused(Because::NotHere));
        };
        let epoch = *epoch;
        if self.phase != Phase::Idle || self.saving.is_some() {
            return self.event(refused(Because::Moving));
        }
        if to == self.me {
            return self.event(refused(Because::AlreadyThere));
        }
        let Some(next) = epoch.moved_to(to).filter(|_| self.connected.contains(&to)) else {
            return self.event(refused(Because::NotConnected));
        };
        let claim = self.claim();
        self.phase = Phase::Asking(Offer { attempt, epoch, next, package, size, claim, terms: self.terms });
        self.deadline = Some(self.now + ANSWER);
        self.say_again(Some(to));
    }

    pub(super) fn on_accept(&mut self, from: DeviceId, attempt: Attempt) {
        let Some(it) = self.asking().filter(|it| (it.attempt, it.to) == (attempt, from)) else { return };
        self.phase = Phase::Copying(it);
        self.deadline = Some(self.now + PROGRESS);
        self.out.push_back(Output::Copy(attempt, from));
    }

    fn asking(&self) -> Option<Try> {
        let Phase::Asking(Offer { attempt, next, .. }) = self.phase else { return None };
        Some(Try { attempt, to: next.home, next })
    }

    pub(super) fn on_progress(&mut self, attempt: Attempt) {
        let copying = match &self.phase {
            Phase::Copying(it) => it.attempt == attempt,
            Phase::Receiving(offer, _) => offer.attempt == attempt,
            _ => false,
        };
        if copying && self.saving.is_none() {
            self.deadline = Some(self.now + PROGRESS);
        }
    }

    pub(super) fn on_copied(&mut self, attempt: Attempt, result: Result<(), Why>) {
        let Phase::Copying(it) = self.phase else { return };
        if it.attempt != attempt {
            return;
        }
        match result {
            Ok(()) => {
                self.phase = Phase::Reserving(it);
                self.deadline = Some(self.now + ANSWER);
                self.out.push_back(Output::Reserve(attempt, it.to));
            }
            Err(why) => self.give_up_moving(Because::Failed(why)),
        }
    }

    pub(super) fn on_reserved(&mut self, attempt: Attempt, result: Result<(), Why>) {
        let Phase::Reserving(it) = self.phase else { return };
        if it.attempt != attempt {
            return;
        }
        match result {
            Ok(()) => {
                self.phase = Phase::Finishing(it);
                self.deadline = Some(self.now + PAUSE);
                self.settle();
                self.out.push_back(Output::SendRest(attempt, it.to));
            }
            Err(why) => self.give_up_moving(Because::Failed(why)),
        }
    }

    /// The target has it all. From here on there is no way back.
    pub(super) fn on_prepared(&mut self, from: DeviceId, attempt: Attempt) {
        match (&self.phase, self.standing()) {
            (Phase::Finishing(it), Some(Standing::Home { epoch }))
                if (it.attempt, it.to) == (attempt, from) && it.next > *epoch =>
            {
                let (epoch, next, claim) = (*epoch, it.next, self.claim());
                self.save(Standing::Leaving { epoch, attempt, next }, claim);
            }
            (_, Some(Standing::Leaving { attempt: mine, next, .. })) if (*mine, next.home) == (attempt, from) => {
                let next = *next;
                self.send(from, Message::Commit(attempt, next));
            }
            // It began here and is known to have come to nothing, or it never did.
            _ => self.send(from, Message::Abort(attempt)),
        }
    }

    /// The target knows: nothing is needed here any longer.
    pub(super) fn on_settled(&mut self, from: DeviceId, epoch: Epoch) {
        if let Some(Standing::Leaving { next, .. }) = self.standing()
            && *next == epoch
            && epoch.home == from
        {
            let claim = self.claim();
            self.save(Standing::Gone { until: epoch }, claim);
        }
    }

    pub(super) fn on_missing(&mut self, from: DeviceId, attempt: Attempt) {
        if let Some(Standing::Leaving { next, attempt: mine, .. }) = self.standing()
            && (next.home, *mine) == (from, attempt)
        {
            self.event(Event::LostAtTarget(from));
        }
    }

    pub(super) fn on_refuse(&mut self, from: DeviceId, attempt: Attempt, why: Why) {
        if self.trying().is_some_and(|it| (it.attempt, it.to) == (attempt, from)) {
            self.give_up_moving(Because::Refused(why));
        }
    }

    pub(super) fn on_cancel(&mut self) {
        if self.trying().is_none() {
            let why = match self.standing() {
                Some(Standing::Leaving { .. }) => Because::Decided,
                _ => Because::NotHere,
            };
            return self.event(Event::Refused(why));
        }
        if self.saving.is_some() {
            return self.event(Event::Refused(Because::Decided));
        }
        self.give_up_moving(Because::Cancelled);
    }

    pub(super) fn on_peer_down(&mut self, device: DeviceId) {
        if self.trying().is_some_and(|it| it.to == device) {
            self.give_up_moving(Because::NotConnected);
        }
        if let Phase::Considering(_, from) | Phase::Receiving(_, from) = &self.phase
            && *from == device
        {
            self.give_up_receiving();
        }
    }

    /// The try that is under way here, up to the point of no return.
    fn trying(&self) -> Option<Try> {
        match self.phase {
            Phase::Asking(_) => self.asking(),
            Phase::Copying(it) | Phase::Reserving(it) | Phase::Finishing(it) => Some(it),
            _ => None,
        }
    }

    /// It runs on here: unless the point of no return may have been passed.
    pub(super) fn give_up_moving(&mut self, why: Because) {
        let Some(it) = self.trying() else { return };
        if self.saving.is_some() {
            return;
        }
        self.phase = Phase::Idle;
        self.deadline = None;
        self.send(it.to, Message::Abort(it.attempt));
        self.out.push_back(Output::Release(it.attempt));
        self.event(Event::NotMoved(it.attempt, why));
    }
}
