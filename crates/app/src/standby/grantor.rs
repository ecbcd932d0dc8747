//! The standby's side: it grants run-leases, keeps checkpoints, and takes over when the home is silent.

use tutti_model::{BootTime, DeviceId};

use super::{Duty, Event, Keeper, Mark, Message, Output, Question, Record, Terms, longer};
use crate::{
    handover::{ANSWER, RETRY, Standing, Why},
    ids::Epoch,
};

/// A home that asks to be guarded, before that is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asking {
    pub(super) from: DeviceId,
    pub(super) question: Question,
    pub(super) terms: Terms,
    pub(super) epoch: Epoch,
}

/// What is known at the standby, and lost by a restart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Grantor {
    /// Nothing is started before then.
    pub(super) promise: Option<BootTime>,
    /// The checkpoint that is here, and under which pact.
    pub(super) held: Option<(u64, Mark)>,
    /// Whether it may be guarded here is being considered, until then.
    pub(super) considering: Option<(Asking, BootTime)>,
    /// This question is answered once it is durable that it may be.
    pub(super) granting: Option<Asking>,
    /// How many saves the home is known to have.
    heard: u64,
    /// When the checkpoint is to be adopted (again); `None` while that is under way.
    adopt_at: Option<BootTime>,
    /// It is the durable state.
    adopted: Option<Epoch>,
}

impl Grantor {
    pub(super) fn new(now: BootTime, record: &Record, held: Option<(u64, Mark)>) -> Self {
        let promise = match &record.duty {
            // It was granted before now; so it ends before this.
            Some(Duty::Granting { terms, .. }) => Some(now + longer(terms.settings.lease)),
            _ => None,
        };
        Self { promise, held, considering: None, granting: None, heard: 0, adopt_at: Some(now), adopted: None }
    }

    /// For the checker of all states: timers that have begun go off some time.
    #[cfg(test)]
    pub(super) fn forget_time(&mut self, now: BootTime) {
        self.considering = self.considering.map(|(asking, _)| (asking, now + ANSWER));
        self.adopt_at = self.adopt_at.map(|_| now + RETRY);
    }

    /// For the checker: they do.
    #[cfg(test)]
    pub(super) fn hurry(&mut self, now: BootTime, deadlines: bool) {
        self.adopt_at = self.adopt_at.map(|_| now);
        if deadlines {
            self.considering = self.considering.map(|(asking, _)| (asking, now));
        }
    }

    pub(super) fn adopt_again(&mut self, at: BootTime) {
        self.adopt_at = Some(at);
    }
}

impl Keeper {
    pub(super) fn grantor_timeout(&self) -> Option<BootTime> {
        let it = &self.grantor;
        let considering = it.considering.as_ref().map(|(_, until)| *until);
        let adopt = it.adopt_at.filter(|_| self.adopts().is_some());
        let promise = it.promise.filter(|_| self.could_take_over().is_some());
        [considering, adopt, promise].into_iter().flatten().min()
    }

    // --- run-leases ------------------------------------------------------------------------------------------

    pub(super) fn on_renew(&mut self, from: DeviceId, question: Question, terms: Terms, epoch: Epoch, saves: u64) {
        if self.saving.is_some() {
            // What is said may hang on it; the home asks again.
            return;
        }
        let asking = Asking { from, question, terms, epoch };
        if terms.standby != self.me || epoch.home != from || !terms.settings.are_sound() {
            return self.send(from, Message::Refused(terms.pact, Why::Damaged));
        }
        if let Some(floor) = self.durable.floor.filter(|floor| epoch < *floor) {
            return self.succeed(from, terms.pact, floor);
        }
        match self.durable.duty {
            Some(Duty::Over { pact, .. } | Duty::Released { pact }) if terms.pact <= pact => match self.home() {
                Some(mine) if mine != epoch => self.send(from, Message::Succeeded(terms.pact, mine, None)),
                _ => self.send(from, Message::Released(pact)),
            },
            Some(Duty::Granting { terms: mine, .. }) if terms.pact < mine.pact => {
                self.send(from, Message::Released(terms.pact));
            }
            Some(Duty::Granting { terms: mine, granted }) if mine.pact == terms.pact => {
                self.grantor.heard = saves;
                if mine == terms && granted == epoch {
                    return self.grant(asking);
                }
                self.grantor.granting = Some(asking);
                self.save(Record { duty: Some(Duty::Granting { terms, granted: epoch }), ..self.durable });
            }
            _ => self.consider(asking),
        }
    }

    /// Says that something later has begun, and what from if that was here.
    fn succeed(&mut self, to: DeviceId, pact: u64, floor: Epoch) {
        let from = match self.durable.duty {
            Some(Duty::Over { by, from, .. }) if by == floor => from,
            _ => None,
        };
        self.send(to, Message::Succeeded(pact, floor, from));
    }

    fn consider(&mut self, asking: Asking) {
        let refuse = match self.handover.standing() {
            None | Some(Standing::Gone { .. }) if self.handover.is_idle() => None,
            Some(Standing::Stray { .. }) => Some(Why::Stray),
            _ => Some(Why::Busy),
        };
        // What has ended here is not guarded again.
        let refuse = refuse.or(self.handover.floor().filter(|floor| *floor > asking.epoch).map(|_| Why::Superseded));
        if let Some(why) = refuse {
            return self.send(asking.from, Message::Refused(asking.terms.pact, why));
        }
        match &mut self.grantor.considering {
            Some((mine, _)) if (mine.from, mine.terms) == (asking.from, asking.terms) => {
                mine.question = asking.question
            }
            Some(_) => self.send(asking.from, Message::Refused(asking.terms.pact, Why::Busy)),
            None => {
                self.grantor.considering = Some((asking, self.now + ANSWER));
                self.out.push_back(Output::Consider(asking.from, asking.terms));
            }
        }
    }

    pub(super) fn on_considered(&mut self, verdict: Result<(), Why>) {
        let Some((asking, _)) = self.grantor.considering.take() else { return };
        let Asking { from, terms, epoch, .. } = asking;
        let free = self.saving.is_none() && self.handover.is_idle() && self.home().is_none();
        if let Err(why) = verdict.and(if free { Ok(()) } else { Err(Why::Busy) }) {
            return self.send(from, Message::Refused(terms.pact, why));
        }
        self.grantor.granting = Some(asking);
        let pact = self.durable.pact.max(terms.pact);
        self.save(Record { pact, duty: Some(Duty::Granting { terms, granted: epoch }), ..self.durable });
    }

    /// Counts from here, after what makes it hold is durable.
    fn grant(&mut self, asking: Asking) {
        let until = self.now + longer(asking.terms.settings.lease);
        #[cfg(test)]
        let until = self.mistaken_promise(until, asking.terms.settings.lease);
        self.grantor.promise = Some(self.grantor.promise.map_or(until, |promise| promise.max(until)));
        let held = self.grantor.held.filter(|(pact, _)| *pact == asking.terms.pact).map(|(_, mark)| mark);
        self.send(asking.from, Message::Granted(asking.question, held));
    }

    pub(super) fn on_release(&mut self, from: DeviceId, pact: u64, epoch: Epoch) {
        if self.saving.is_some() || epoch.home != from {
            return;
        }
        if let Some(floor) = self.durable.floor.filter(|floor| epoch < *floor) {
            return self.succeed(from, pact, floor);
        }
        match self.durable.duty {
            Some(Duty::Released { pact: last }) if pact <= last => self.send(from, Message::Released(last)),
            Some(Duty::Granting { terms, granted }) if (terms.pact, granted) == (pact, epoch) => {
                self.save(Record { duty: Some(Duty::Released { pact }), ..self.durable });
            }
            _ => {}
        }
    }

    /// Something of a later branch says that nothing below its epoch may run. Whether that has yet to be written here.
    pub(super) fn void_below(&mut self, epoch: Epoch) -> bool {
        let pact = match self.durable.duty {
            Some(Duty::Granting { terms, .. }) => terms.pact,
            Some(Duty::Over { pact, .. }) => pact,
            _ => return false,
        };
        if self.durable.floor >= Some(epoch) {
            return false;
        }
        if self.saving.is_none() {
            self.save(Record { duty: Some(Duty::Over { pact, by: epoch, from: None }), ..self.durable });
        }
        true
    }

    /// What follows from another duty, once it is durable.
    pub(super) fn on_duty(&mut self, before: Option<Duty>) {
        let granting = self.grantor.granting.take();
        match self.durable.duty {
            Some(Duty::Granting { .. }) => {
                if let Some(asking) = granting {
                    self.grant(asking);
                }
            }
            Some(Duty::Released { pact }) if before != self.durable.duty => {
                if let Some(Duty::Granting { granted, .. }) = before {
                    self.send(granted.home, Message::Released(pact));
                }
                self.forget();
            }
            Some(Duty::Over { by, from: Some(_), .. }) if before != self.durable.duty && by.home == self.me => {
                self.grantor.adopt_at = Some(self.now);
            }
            Some(Duty::Over { .. }) if before != self.durable.duty => self.forget(),
            _ => {}
        }
    }

    fn forget(&mut self) {
        self.grantor.promise = None;
        if self.grantor.held.take().is_some() {
            self.out.push_back(Output::Forget);
        }
    }

    // --- checkpoints -----------------------------------------------------------------------------------------

    pub(super) fn on_stored(&mut self, pact: u64, mark: Mark) {
        let Some(Duty::Granting { terms, granted }) = self.durable.duty else { return };
        if terms.pact == pact && mark.epoch <= granted {
            self.grantor.held = Some((pact, mark));
            self.send(mark.epoch.home, Message::Have(pact, mark));
        }
    }

    pub(super) fn on_unfit(&mut self, pact: u64) {
        if let Some(Duty::Granting { terms, granted }) = self.durable.duty
            && terms.pact == pact
        {
            self.send(granted.home, Message::Want(pact));
        }
    }

    // --- fail-over -------------------------------------------------------------------------------------------

    /// What it would be taken over with, once the promise is over.
    fn could_take_over(&self) -> Option<(Terms, Epoch, Mark)> {
        let Some(Duty::Granting { terms, granted }) = self.durable.duty else { return None };
        let (_, mark) = self.grantor.held.filter(|(pact, _)| *pact == terms.pact)?;
        // If the instance has come here or gone on from here, its line has left this duty behind.
        let vacant = matches!(self.handover.standing(), None | Some(Standing::Gone { .. } | Standing::Prepared { .. }));
        let free = vacant && self.handover.floor() <= Some(granted) && self.saving.is_none();
        let free = free && !self.handover.is_writing();
        free.then_some((terms, granted, mark))
    }

    /// In which epoch this device has taken over but is not yet the home.
    pub(super) fn adopts(&self) -> Option<Epoch> {
        let Some(Duty::Over { by, from: Some(_), .. }) = self.durable.duty else { return None };
        let vacant = matches!(self.handover.standing(), None | Some(Standing::Gone { .. } | Standing::Prepared { .. }));
        (vacant && by.home == self.me && self.handover.floor() < Some(by)).then_some(by)
    }

    /// Whether it is being taken over: what comes of a move then comes too late.
    pub(super) fn takes_over(&self) -> bool {
        let duty = self.saving.as_ref().and_then(|saving| saving.record.duty);
        let begins = matches!(duty, Some(Duty::Over { by, from: Some(_), .. }) if by.home == self.me);
        let new = duty != self.durable.duty;
        (begins && new) || self.adopts().is_some()
    }

    pub(super) fn on_adopted(&mut self, epoch: Epoch) {
        if let Some(Duty::Over { from: Some(mark), .. }) = self.durable.duty
            && self.adopts() == Some(epoch)
            && self.grantor.adopted.replace(epoch) != Some(epoch)
        {
            self.event(Event::TookOver { epoch, mark, heard: self.grantor.heard.max(mark.saves) });
        }
    }

    pub(super) fn advance_grantor(&mut self) {
        if self.grantor.considering.is_some_and(|(_, until)| until <= self.now) {
            self.grantor.considering = None;
        }
        if let Some(Duty::Granting { terms, granted }) = self.durable.duty
            && let Some(floor) = self.handover.floor().filter(|floor| *floor > granted)
            && self.saving.is_none()
        {
            self.save(Record { duty: Some(Duty::Over { pact: terms.pact, by: floor, from: None }), ..self.durable });
        }
        if let Some((terms, granted, mark)) = self.could_take_over()
            && self.grantor.promise.is_some_and(|promise| promise <= self.now)
            && let Some(by) = granted.taken_over_at(self.me)
        {
            self.grantor.considering = None;
            let duty = Some(Duty::Over { pact: terms.pact, by, from: Some(mark) });
            self.save(Record { duty, terms: None, ..self.durable });
        }
        let Some(epoch) = self.adopts() else { return };
        if self.grantor.adopted == Some(epoch) {
            self.handover.take_over(epoch);
            // If a write of its own is under way, then after that.
            self.grantor.adopt_at = Some(self.now + RETRY).filter(|_| self.handover.floor() < Some(epoch));
        } else if self.grantor.adopt_at.take_if(|at| *at <= self.now).is_some() {
            self.out.push_back(Output::Adopt(epoch));
        }
    }
}
