//! The home's side: it asks for run-leases, stops in time, and has checkpoints made.

use tutti_model::{BootTime, DeviceId};

use super::{Event, Keeper, Mark, Message, NotGuarded, Output, Prefer, Question, Record, Settings, Terms, shorter};
use crate::{
    handover::{self, ANSWER, Offer, PROGRESS, RETRY, Why},
    ids::{Attempt, Epoch},
};

/// What is known at the home, and lost by a restart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Holder {
    run: u64,
    questions: u64,
    /// The stay here that the rest is about.
    stay: Option<Epoch>,
    /// The question that is out, when it was first asked, and for which epoch.
    pub(super) asked: Option<(Question, BootTime, Epoch)>,
    /// When to ask (again).
    pub(super) ask_at: Option<BootTime>,
    /// Which epoch may run until when.
    pub(super) lease: Option<(Epoch, BootTime)>,
    /// A standby that has been asked, until when.
    pub(super) proposed: Option<(Terms, BootTime)>,
    /// The standby is asked to let go, until then; and who is asked next.
    releasing: Option<(BootTime, Option<(DeviceId, Settings)>)>,
    /// An owner's word ends the terms.
    pub(super) parting: bool,
    /// What an offer to this device said about its standby.
    pub(super) incoming: Option<(Attempt, Option<Terms>)>,
    /// It is being moved here, and waits for the terms to be durable.
    arriving: Option<Attempt>,
    /// How many saves are durable here.
    saves: u64,
    /// Since when the oldest save waits that the standby has not.
    waits_since: Option<BootTime>,
    /// What the standby has, if that is known.
    pub(super) replicated: Option<Mark>,
    /// The first one under new terms is not there yet: until then nobody can take over, so nothing is held back for it.
    first: bool,
    /// What the standby has is not known since a restart, and so not how long work has waited.
    unknown: bool,
    /// What the standby has was made in this run, and can be built upon.
    based: bool,
    /// A checkpoint under way: which, since when, and until when it must have gone on.
    sending: Option<(Mark, BootTime, BootTime)>,
    /// When the next one may begin.
    next_at: Option<BootTime>,
}

impl Holder {
    pub(super) fn new(run: u64, stay: Option<Epoch>, saves: u64, guarded: bool) -> Self {
        Self {
            run,
            questions: 0,
            stay,
            asked: None,
            ask_at: None,
            lease: None,
            proposed: None,
            releasing: None,
            parting: false,
            incoming: None,
            arriving: None,
            saves,
            waits_since: None,
            replicated: None,
            first: false,
            unknown: guarded,
            based: false,
            sending: None,
            next_at: None,
        }
    }

    #[cfg(test)]
    pub(super) fn saves(&self) -> u64 {
        self.saves
    }

    /// For the checker of all states: as if no time passed but for run-leases.
    #[cfg(test)]
    pub(super) fn forget_time(&mut self, now: BootTime) {
        let later = now + PROGRESS;
        self.ask_at = self.ask_at.map(|_| later);
        self.proposed = self.proposed.map(|(terms, _)| (terms, later));
        self.releasing = self.releasing.map(|(_, then)| (later, then));
        self.waits_since = None;
        self.sending = self.sending.map(|(mark, _, _)| (mark, now, later));
        self.next_at = None;
    }

    /// For the checker: timers go off.
    #[cfg(test)]
    pub(super) fn hurry(&mut self, now: BootTime, deadlines: bool) {
        self.ask_at = None;
        if deadlines {
            self.proposed = self.proposed.map(|(terms, _)| (terms, now));
            self.releasing = self.releasing.map(|(_, then)| (now, then));
            self.sending = self.sending.map(|(mark, _, _)| (mark, now, now));
        }
    }

    /// For the checker: the question that is out becomes the first. Which one it was.
    #[cfg(test)]
    pub(super) fn only_question(&mut self) -> Option<u64> {
        self.questions = u64::from(self.asked.is_some());
        let asked = self.asked.as_mut()?;
        Some(std::mem::replace(&mut asked.0.number, 1))
    }
}

impl Keeper {
    /// Whether a run-lease for this epoch, if one is needed, lasts.
    pub(super) fn has_leave(&self, epoch: Epoch, now: BootTime) -> bool {
        match &self.durable.terms {
            None => true,
            Some(terms) => terms.settings.prefer == Prefer::Available || self.lease_lasts(epoch, now),
        }
    }

    fn lease_lasts(&self, epoch: Epoch, now: BootTime) -> bool {
        self.holder.lease.is_some_and(|(of, until)| of == epoch && now < until)
    }

    /// Whether there is a standby that has granted a run-lease.
    pub(super) fn leased(&self, now: BootTime) -> bool {
        self.durable.terms.is_some() && self.home().is_some_and(|epoch| self.lease_lasts(epoch, now))
    }

    /// Whether more would be lost by a fail-over than was agreed, if it ran on.
    pub(super) fn is_behind(&self, epoch: Epoch, now: BootTime) -> bool {
        let Some(terms) = &self.durable.terms else { return false };
        let late = self.holder.waits_since.is_some_and(|since| now >= since + terms.settings.patience());
        // Alone, it runs on by choice.
        (self.holder.unknown || late) && !self.holder.first && self.lease_lasts(epoch, now)
    }

    /// Whether it may move away: its standby has to know this home before there is a next one.
    pub(super) fn may_leave(&self) -> bool {
        let steady = self.holder.proposed.is_none() && self.holder.releasing.is_none() && self.saving.is_none();
        // Until its duty is known to be over, this device could take over from where it has been.
        let free = !matches!(self.durable.duty, Some(super::Duty::Granting { .. }));
        let it = &self.holder;
        let has_mine = |had: Mark| Some(had.epoch) == self.home() || had.saves >= it.saves;
        let safe = self.leased(self.now) && (it.first || it.replicated.is_some_and(has_mine));
        steady && free && (self.durable.terms.is_none() || safe)
    }

    pub(super) fn holder_timeout(&self) -> Option<BootTime> {
        let it = &self.holder;
        let home = self.home();
        let ends = it.lease.map(|(_, until)| until).filter(|until| home.is_some() && *until > self.now);
        let behind = match (&self.durable.terms, it.waits_since) {
            (Some(terms), Some(since)) => Some(since + terms.settings.patience()).filter(|at| *at > self.now),
            _ => None,
        };
        let checkpoint = it.sending.map(|(_, _, deadline)| deadline).or(it.next_at).filter(|at| *at > self.now);
        let ask = it.ask_at.filter(|_| self.asks().is_some() || it.releasing.is_some());
        let waits = [it.proposed.map(|(_, until)| until), it.releasing.as_ref().map(|(until, _)| *until)];
        let waits = waits.into_iter().filter(|_| self.saving.is_none());
        [ask, ends, behind, checkpoint].into_iter().chain(waits).flatten().min()
    }

    // --- who is the standby ----------------------------------------------------------------------------------

    pub(super) fn on_guard(&mut self, standby: DeviceId, settings: Settings) {
        let refuse = |why| Event::Unguarded(Some(why));
        let busy = self.holder.proposed.is_some() || self.holder.releasing.is_some() || self.saving.is_some();
        let why = match self.home() {
            None => Some(NotGuarded::NotHere),
            _ if standby == self.me => Some(NotGuarded::Itself),
            _ if !settings.are_sound() => Some(NotGuarded::Settings),
            _ if busy || !self.handover.is_idle() => Some(NotGuarded::Busy),
            _ if !self.handover.reaches(standby) => Some(NotGuarded::NoAnswer),
            _ => None,
        };
        match why {
            Some(why) => self.event(refuse(why)),
            None if self.durable.terms.is_some() => self.release(Some((standby, settings))),
            None => self.propose(standby, settings, self.durable.pact + 1),
        }
    }

    fn propose(&mut self, standby: DeviceId, settings: Settings, pact: u64) {
        self.holder.proposed = Some((Terms { standby, pact, settings }, self.now + ANSWER));
        (self.holder.asked, self.holder.ask_at) = (None, Some(self.now));
    }

    pub(super) fn on_unguard(&mut self) {
        if self.durable.terms.is_none() || self.home().is_none() {
            self.holder.proposed = None;
            return self.event(Event::Unguarded(None));
        }
        if self.holder.releasing.is_some() || self.saving.is_some() || !self.handover.is_idle() {
            return self.event(Event::Unguarded(Some(NotGuarded::Busy)));
        }
        self.release(None);
    }

    fn release(&mut self, then: Option<(DeviceId, Settings)>) {
        self.holder.releasing = Some((self.now + ANSWER, then));
        self.say_release();
    }

    fn say_release(&mut self) {
        let (Some(terms), Some(epoch)) = (self.durable.terms, self.home()) else { return };
        self.holder.ask_at = Some(self.now + RETRY);
        self.send(terms.standby, Message::Release(terms.pact, epoch));
    }

    pub(super) fn on_refused(&mut self, from: DeviceId, pact: u64, why: Why) {
        if self.holder.proposed.is_some_and(|(terms, _)| (terms.standby, terms.pact) == (from, pact)) {
            self.holder.proposed = None;
            self.event(Event::Unguarded(Some(NotGuarded::Refused(why))));
        }
    }

    /// The standby guards nothing under this pact.
    pub(super) fn on_released(&mut self, from: DeviceId, pact: u64) {
        if let Some((terms, _)) = self.holder.proposed
            && terms.standby == from
            && terms.pact <= pact
        {
            return self.propose(from, terms.settings, pact.saturating_add(1));
        }
        let Some(terms) = self.durable.terms.filter(|terms| terms.standby == from && terms.pact <= pact) else {
            return;
        };
        if self.saving.is_none() && self.home().is_some() && self.handover.is_idle() {
            let pact = self.durable.pact.max(terms.pact);
            self.save(Record { pact, terms: None, ..self.durable });
        }
    }

    /// What follows from other terms, once they are durable.
    pub(super) fn on_terms(&mut self, before: Option<Terms>) {
        let terms = self.durable.terms;
        if let Some(attempt) = self.holder.arriving.take() {
            self.handover.handle(self.now, handover::Input::Stored(attempt, Ok(())));
        }
        if terms == before {
            return;
        }
        let it = &mut self.holder;
        (it.proposed, it.sending, it.next_at, it.replicated) = (None, None, None, None);
        (it.unknown, it.based) = (false, false);
        it.first = terms.is_some() && self.handover.may_run().is_some();
        it.waits_since = None;
        match self.holder.releasing.take() {
            Some((_, then)) if terms.is_none() => match then {
                Some((standby, settings)) => self.propose(standby, settings, self.durable.pact + 1),
                None => self.event(Event::Unguarded(None)),
            },
            _ if terms.is_none() && self.home().is_some() => {
                let why = Some(NotGuarded::Released).filter(|_| !std::mem::take(&mut self.holder.parting));
                self.event(Event::Unguarded(why));
            }
            _ => {}
        }
    }

    // --- run-leases ------------------------------------------------------------------------------------------

    /// On which terms a run-lease is to be asked for, and for which epoch.
    fn asks(&self) -> Option<(Terms, Epoch)> {
        let epoch = self.home()?;
        let terms = self.holder.proposed.map(|(terms, _)| terms).or(self.durable.terms)?;
        Some((terms, epoch))
    }

    /// Asks the question that is out, or a new one if that is too old to be of use.
    fn ask(&mut self, terms: Terms, epoch: Epoch) {
        let lease = terms.settings.lease;
        let fresh = |asked: &(Question, BootTime, Epoch)| asked.2 == epoch && self.now.since(asked.1) < lease / 2;
        let (question, asked, _) = self.holder.asked.filter(fresh).unwrap_or_else(|| {
            self.holder.questions += 1;
            (Question { run: self.holder.run, number: self.holder.questions }, self.now, epoch)
        });
        self.holder.asked = Some((question, asked, epoch));
        self.holder.ask_at = Some(self.now + RETRY.min(lease / 4));
        self.send(terms.standby, Message::Renew(question, terms, epoch, self.holder.saves));
    }

    pub(super) fn on_granted(&mut self, from: DeviceId, question: Question, held: Option<Mark>) {
        let Some((terms, epoch)) = self.asks().filter(|(terms, _)| terms.standby == from) else { return };
        let Some((_, asked, _)) = self.holder.asked.filter(|it| (it.0, it.2) == (question, epoch)) else { return };
        let new = self.holder.proposed.is_some();
        if new && (self.saving.is_some() || !self.handover.is_idle()) {
            // A move has begun, and its target does not know the standby.
            return;
        }
        let lease = terms.settings.lease;
        #[cfg(test)]
        let (asked, lease) = self.mistaken(asked, lease);
        self.holder.lease = Some((epoch, asked + shorter(lease)));
        self.holder.asked = None;
        self.holder.ask_at = Some((asked + lease / 3).max(self.now));
        if new {
            return self.save(Record { pact: terms.pact, terms: Some(terms), ..self.durable });
        }
        if let Some(mark) = held.filter(|mark| self.holder.sending.is_some_and(|sending| sending.0 <= *mark)) {
            // Its word got lost.
            self.on_have(from, terms.pact, mark);
        } else if self.holder.sending.is_none() {
            self.holder.based &= self.holder.replicated == held;
            (self.holder.replicated, self.holder.first) = (held, held.is_none());
        }
        if held.is_some_and(|held| held.saves >= self.holder.saves) {
            self.holder.waits_since = None;
        }
        // Without a checkpoint nobody takes over, and nothing can be lost.
        if held.is_none_or(|held| held.saves >= self.holder.saves) {
            self.holder.unknown = false;
        }
    }

    /// The standby says that something later has begun.
    pub(super) fn on_succeeded(&mut self, from: DeviceId, pact: u64, by: Epoch, mark: Option<Mark>) {
        let Some(epoch) = self.home() else { return };
        let Some(terms) = self.durable.terms.filter(|terms| terms.standby == from && terms.pact <= pact) else {
            return;
        };
        if by < epoch {
            // An owner has said otherwise since: it is the standby that has to yield.
            if let Some(claim) = self.handover.claim() {
                self.handover.send(from, handover::Message::Supersede(epoch, claim.warrant));
            }
        } else if self.handover.succeeded(by) {
            let (saves, both) = (self.holder.saves, terms.settings.prefer == Prefer::Available);
            self.settle();
            self.event(Event::Succeeded { by, from: mark, saves, both });
        }
    }

    // --- a move to here --------------------------------------------------------------------------------------

    /// Why an offer cannot be accepted, for its terms.
    pub(super) fn refuses(&self, offer: &Offer) -> Option<Why> {
        let terms = offer.terms?;
        if !terms.settings.are_sound() {
            return Some(Why::Damaged);
        }
        (terms.standby != self.me && !self.handover.reaches(terms.standby)).then_some(Why::NoStandby)
    }

    /// Before a copy that has arrived counts as prepared, the terms that came with it are durable. Whether they are.
    pub(super) fn takes_terms(&mut self, attempt: Attempt) -> bool {
        let Some((_, terms)) = self.holder.incoming.filter(|(of, _)| *of == attempt) else { return true };
        // A standby that becomes the home is nobody's standby any more.
        let pact = terms.map_or(0, |terms| terms.pact).max(self.durable.pact);
        let record = Record { pact, terms: terms.filter(|terms| terms.standby != self.me), ..self.durable };
        if record == self.durable && self.saving.is_none() {
            return true;
        }
        // If a write is under way, this one follows it.
        self.holder.arriving = Some(attempt);
        if self.saving.is_none() {
            self.save(record);
        } else {
            self.holder.arriving = None;
            self.handover.handle(self.now, handover::Input::Stored(attempt, Err(Why::Busy)));
        }
        false
    }

    // --- checkpoints -----------------------------------------------------------------------------------------

    pub(super) fn on_saved(&mut self, saves: u64) {
        if saves > self.holder.saves {
            self.holder.saves = saves;
            self.holder.waits_since.get_or_insert(self.now);
        }
    }

    pub(super) fn on_sent(&mut self) {
        let deadline = self.now + self.stall();
        if let Some((_, _, until)) = &mut self.holder.sending {
            *until = deadline;
        }
    }

    /// How long a checkpoint may go without progress.
    fn stall(&self) -> std::time::Duration {
        self.durable.terms.map_or(PROGRESS, |terms| terms.settings.lease.min(PROGRESS))
    }

    /// The link to a device is gone, and with it what was on its way.
    pub(super) fn on_peer_down(&mut self, device: DeviceId) {
        if self.durable.terms.is_some_and(|terms| terms.standby == device) && self.holder.sending.take().is_some() {
            self.holder.based = false;
        }
    }

    pub(super) fn on_not_sent(&mut self) {
        self.holder.sending = None;
        self.holder.next_at = Some(self.now + RETRY);
    }

    pub(super) fn on_have(&mut self, from: DeviceId, pact: u64, mark: Mark) {
        let Some(terms) = self.durable.terms.filter(|it| (it.standby, it.pact) == (from, pact)) else { return };
        let Some((_, begun, _)) = self.holder.sending.take_if(|sending| sending.0 <= mark) else { return };
        let it = &mut self.holder;
        (it.replicated, it.based, it.unknown) = (Some(mark), true, false);
        it.waits_since = (it.saves > mark.saves).then_some(begun);
        it.next_at = Some(begun + terms.settings.every);
        if std::mem::take(&mut it.first) {
            self.event(Event::Guarded(from));
        }
    }

    pub(super) fn on_want(&mut self, from: DeviceId, pact: u64) {
        if self.durable.terms.is_some_and(|terms| (terms.standby, terms.pact) == (from, pact)) {
            (self.holder.based, self.holder.sending, self.holder.next_at) = (false, None, None);
        }
    }

    /// Begins a checkpoint, if it is time and there is something new.
    fn checkpoint(&mut self, terms: Terms, epoch: Epoch) {
        let it = &mut self.holder;
        if it.sending.is_some_and(|(_, _, until)| until <= self.now) {
            (it.sending, it.based) = (None, false);
        }
        let mark = Mark { epoch, saves: it.saves };
        let new = it.replicated.is_none_or(|had| had.saves < mark.saves);
        let due = it.next_at.is_none_or(|at| at <= self.now) && it.sending.is_none();
        if new && due && self.handover.may_run().is_some() && self.handover.reaches(terms.standby) {
            self.holder.sending = Some((mark, self.now, self.now + self.stall()));
            let base = self.holder.replicated.filter(|_| self.holder.based);
            self.out.push_back(Output::Checkpoint(terms.standby, terms.pact, base));
        }
    }

    /// What was known of an earlier stay says nothing about this one.
    pub(super) fn begin_stay(&mut self) {
        let (home, it) = (self.home(), &mut self.holder);
        if it.stay != home {
            it.stay = home;
            (it.saves, it.waits_since, it.unknown) = (0, None, false);
            (it.replicated, it.based, it.first) = (None, false, false);
            (it.sending, it.next_at, it.lease) = (None, None, None);
            (it.proposed, it.releasing) = (None, None);
        }
    }

    pub(super) fn advance_holder(&mut self) {
        if self.holder.proposed.is_some_and(|(_, until)| until <= self.now) && self.saving.is_none() {
            self.holder.proposed = None;
            self.event(Event::Unguarded(Some(NotGuarded::NoAnswer)));
        }
        if self.holder.releasing.as_ref().is_some_and(|(until, _)| *until <= self.now) && self.saving.is_none() {
            self.holder.releasing = None;
            self.event(Event::Unguarded(Some(NotGuarded::Held)));
        }
        if self.holder.parting && self.home().is_some() && self.saving.is_none() && self.handover.is_idle() {
            // The new branch is durable.
            if self.durable.terms.is_some() {
                self.save(Record { terms: None, ..self.durable });
            } else {
                self.holder.parting = false;
            }
        }
        if let Some((_, until)) = self.holder.lease
            && until <= self.now
        {
            self.holder.lease = None;
            // Whoever stands still for it is told when that begins.
            if self.durable.terms.is_some_and(|it| it.settings.prefer == Prefer::Available) && self.home().is_some() {
                self.event(Event::Alone);
            }
        }
        let due = self.holder.ask_at.is_none_or(|at| at <= self.now);
        if self.holder.releasing.is_some() && due {
            self.say_release();
        } else if let Some((terms, epoch)) = self.asks().filter(|_| due) {
            self.ask(terms, epoch);
        }
        if let (Some(terms), Some(epoch)) = (self.durable.terms, self.home())
            && self.holder.proposed.is_none()
            && self.lease_lasts(epoch, self.now)
        {
            self.checkpoint(terms, epoch);
        }
    }
}
