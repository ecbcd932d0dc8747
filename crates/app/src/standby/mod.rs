//! Checkpoint and fail-over: an instance goes on at one named standby when its home is lost, and never at both.
//!
//! [`Keeper`] is one instance on one device, with its [`HandOver`]: sans-I/O, driven by [`handle`](Keeper::handle),
//! [`poll_output`](Keeper::poll_output) and [`poll_timeout`](Keeper::poll_timeout). A driver has a `Keeper` in place of a `HandOver` and does what that
//! asks for as before; starting and stopping are the keeper's.
//!
//! ```text
//!   home                                                            standby
//!   ────                                                            ───────
//!   Guard(standby)
//!            ── Renew(pact, epoch) ────────────────────────────────► room? allowed?           Consider
//!                                                                    disk: Granting(epoch)
//!            ◄───────────────────────────────────────── Granted ──   starts nothing for lease + 1 %
//!   disk: the terms. From here on it runs only under a run-lease
//!            (or without, if availability is preferred)
//!   Checkpoint ══ what was saved since the last one ═══════════════► disk: the checkpoint     Stored
//!            ◄──────────────────────────────────── Have(mark) ──     from here on it can take over
//!   ... and so on: a run-lease each third of its time, a checkpoint each interval ...
//!
//!   is lost, or cut off: at lease − 1 %
//!   after its last answered question: Halt                           at lease + 1 % after its last answer:
//!                                                                    disk: Over(epoch + 2)    Adopt, then HandOver: Home
//!   comes back: Renew(pact, epoch) ───────────────────────────────►
//!            ◄──────────────────── Succeeded(epoch + 2, mark) ──
//!   disk: Stray. Its copy is kept, for its owner to look at
//! ```
//!
//! # Why there are never two
//! The home counts a run-lease from *asking*, the standby from *granting*, which is later; each allows its clock 1 % of drift; both clocks count while
//! the machine sleeps. So the home has stopped ([`may_run`](Keeper::may_run) says no, by the clock, even if nobody has told it the time)
//! before the standby may start. A grant is good for the question that it answers and no other ([`Question`]), so a late one lengthens nothing.
//! The standby's promise is on its disk before the first grant to an epoch; after a restart it counts a whole lease from there, which ends later
//! than any it may have granted.
//!
//! An instance may move meanwhile: the target is told the terms, and needs a run-lease for its own epoch before it runs. It cannot move on without one. So
//! the only epoch beyond the last one that was granted is the next one, and a standby takes over in the one after that ([`Epoch::taken_over_at`]): whoever
//! got the instance in between asks for its lease, learns that it is superseded, and keeps its copy as a stray. A move to the standby itself ends its duty.
//!
//! # What is lost, and what cannot happen twice
//! A fail-over goes on from the last checkpoint. What the lost home saved after it is lost, with the events it had acknowledged since (unless its
//! disk comes back: then that copy is a stray, [`Event::Succeeded`]). [`Settings::foretell`] says beforehand how much that can be, and the home sees
//! to it: work that has waited for a checkpoint longer than half of [`Settings::most_lost`] stops it until the standby has one. A home that is restarted does not know
//! how long its work has waited: it goes on once the standby has all of it.
//!
//! Effects that left after the checkpoint are in the world and cannot be called back. They bear the lost epoch; what the standby makes in their place bears its own,
//! with the same numbers, and is never taken for them ([`EffectId`](crate::ids::EffectId)). What was in the outbox of the checkpoint keeps
//! its name and is sent again; receivers know it ([`Ledger`](crate::effects::Ledger)). Once they have heard of the new home, they refuse the old one.
//!
//! # When availability is preferred
//! The home runs on without a run-lease, so that both may run until they hear of each other. Then the earlier one stops and is kept as a stray, and both
//! are shown; an owner may go on from either ([`handover::Input::Recover`]). Without a run-lease it does not move: a branch has one tip.
//!
//! # When the standby never comes back
//! The home stands still, or runs on alone. It cannot just name another, for it cannot know whether this one has taken over: an owner's
//! [`Warrant`](handover::Warrant) ends that. The home goes on in a new branch without a standby, and the old one is told so if it comes back.
//!
//! # Attacks, and how each is met
//! | attack | what meets it |
//! |---|---|
//! | a member asks for a run-lease of an instance that is not its own | [`Output::Consider`]: the driver holds it against the owner's grant; only the epoch's home may ask |
//! | a member says `Succeeded`, `Released` or `Granted` in the standby's place | counted only from the device that the terms name |
//! | a standby that takes over while the home lives | it was named by the owner, and could as well lie about anything it has; its epoch shows who did it |
//! | old messages are shown again | questions never repeat, pacts and marks grow |
//! | a checkpoint edited by hand | what it can do is what any state can do: see [`snapshot`](crate::snapshot) |

use std::{collections::VecDeque, time::Duration};

use tutti_model::{BootTime, DeviceId};

mod grantor;
mod holder;
mod io;
mod message;
mod record;

pub use io::{Event, Input, NotGuarded, Output};
pub use message::{Message, Question};
pub use record::{Duty, Foretold, Mark, Prefer, Record, Settings, Terms, Unsound};

use crate::{
    handover::{self, HandOver, RETRY, Ticket},
    ids::{Epoch, InstanceId},
};
use grantor::Grantor;
use holder::Holder;

/// A clock runs at most 1 % too fast or too slow.
const DRIFT: u32 = 100;

/// What is left of a duration for who must be done in time.
pub(crate) fn shorter(duration: Duration) -> Duration {
    duration.saturating_sub(duration / DRIFT + Duration::from_nanos(1))
}

/// What a duration may seem to be for who must not be early.
pub(crate) fn longer(duration: Duration) -> Duration {
    duration.saturating_add(duration / DRIFT + Duration::from_nanos(1))
}

/// How an instance stands still or runs, as the driver was last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Run {
    Off,
    Running,
    Stopped,
    Halted,
}

/// What waits for a write.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Saving {
    ticket: Ticket,
    record: Record,
    /// When to try again, after it failed.
    again: Option<BootTime>,
}

/// One instance on one device. See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Keeper {
    me: DeviceId,
    now: BootTime,
    handover: HandOver,
    durable: Record,
    saving: Option<Saving>,
    holder: Holder,
    grantor: Grantor,
    run: Run,
    last_ticket: u64,
    out: VecDeque<Output>,
    #[cfg(test)]
    fault: Option<check::Fault>,
}

/// What a device's store says about an instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Saved {
    /// Where it stands.
    pub standing: Option<handover::Record>,
    /// Its run-leases.
    pub guard: Option<Record>,
    /// Under which pact there is a checkpoint of it here as a standby, and which.
    pub checkpoint: Option<(u64, Mark)>,
    /// How many saves the state here has.
    pub saves: u64,
}

impl Keeper {
    /// The instance as this device goes on with it, from what its store says. `run` is random, for [`Question`]s.
    pub fn new(now: BootTime, me: DeviceId, instance: InstanceId, run: u64, saved: Saved) -> Self {
        let handover = HandOver::new(now, me, instance, saved.standing);
        Self::with(now, me, run, handover, saved.guard.unwrap_or_default(), saved.checkpoint, saved.saves)
    }

    /// A new instance, to start here. It runs once its record is durable.
    pub fn install(now: BootTime, me: DeviceId, instance: InstanceId, run: u64) -> Self {
        let handover = HandOver::install(now, me, instance);
        Self::with(now, me, run, handover, Record::default(), None, 0)
    }

    fn with(
        now: BootTime,
        me: DeviceId,
        run: u64,
        handover: HandOver,
        durable: Record,
        held: Option<(u64, Mark)>,
        saves: u64,
    ) -> Self {
        let stay = match handover.standing() {
            Some(handover::Standing::Home { epoch }) => Some(*epoch),
            _ => None,
        };
        let mut it = Self {
            me,
            now,
            handover,
            durable,
            saving: None,
            holder: Holder::new(run, stay, saves, durable.terms.is_some() && stay.is_some()),
            grantor: Grantor::new(now, &durable, held),
            run: Run::Off,
            last_ticket: 0,
            out: VecDeque::new(),
            #[cfg(test)]
            fault: None,
        };
        it.handover.guard_by(durable.terms);
        it.advance();
        it
    }

    /// Takes an input at this time. `now` never runs backwards; if it seems to, it is taken to stand still.
    pub fn handle(&mut self, now: BootTime, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::Move(input) => self.on_move(input),
            Input::Message(from, message) => self.on_message(from, message),
            Input::Guard(standby, settings) => self.on_guard(standby, settings),
            Input::Unguard => self.on_unguard(),
            Input::Saved(saves) => self.on_saved(saves),
            Input::Sent => self.on_sent(),
            Input::NotSent => self.on_not_sent(),
            Input::Considered(verdict) => self.on_considered(verdict),
            Input::Stored(pact, mark) => self.on_stored(pact, mark),
            Input::Unfit(pact) => self.on_unfit(pact),
            Input::Adopted(epoch) => self.on_adopted(epoch),
            Input::NotAdopted => self.grantor.adopt_again(self.now + RETRY),
            Input::Persisted(ticket) => self.on_persisted(ticket),
            Input::PersistFailed(ticket) => {
                let again = Some(self.now + RETRY);
                if let Some(saving) = self.saving.as_mut().filter(|saving| saving.ticket == ticket) {
                    saving.again = again;
                }
            }
            Input::Tick => {
                self.settle();
                self.handover.handle(self.now, handover::Input::Tick);
            }
        }
        self.advance();
    }

    /// The next thing to do, oldest first.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call [`handle`](Self::handle) with [`Input::Tick`] at the latest.
    pub fn poll_timeout(&self) -> Option<BootTime> {
        let again = self.saving.as_ref().and_then(|saving| saving.again);
        [self.handover.poll_timeout(), again, self.holder_timeout(), self.grantor_timeout()].into_iter().flatten().min()
    }

    /// Whether it may run here at this time, and in which epoch. A driver asks before anything of it leaves.
    pub fn may_run(&self, now: BootTime) -> Option<Epoch> {
        let now = self.now.max(now);
        self.handover.may_run().filter(|epoch| self.has_leave(*epoch, now) && !self.is_behind(*epoch, now))
    }

    /// The hand-over: whom it waits for, and what the disk says.
    pub fn handover(&self) -> &HandOver {
        &self.handover
    }

    /// What the disk says about run-leases.
    pub fn record(&self) -> &Record {
        &self.durable
    }

    // --- what the hand-over is told --------------------------------------------------------------------------

    fn on_move(&mut self, input: handover::Input) {
        use handover::{Because, Event as Told, Message as Said};
        let refuse = |why| Told::Refused(why);
        match &input {
            handover::Input::Move { .. } if !self.may_leave() => return self.handover.event(refuse(Because::NoLease)),
            handover::Input::Retire if self.durable.terms.is_some() && self.home().is_some() => {
                return self.handover.event(refuse(Because::Guarded));
            }
            // What has been taken over and is on its way to be the state here is not disturbed.
            handover::Input::Message(_, Said::Offer(_) | Said::Commit(..)) if self.takes_over() => return,
            handover::Input::Recover(_) if self.takes_over() => {
                return self.handover.event(refuse(Because::Moving));
            }
            handover::Input::Recover(warrant) if self.home().is_some() && !self.leased(self.now) => {
                if let Some(terms) = self.durable.terms {
                    self.handover.part_from(terms.standby, warrant.clone());
                    self.holder.parting = !self.handover.is_idle();
                    return;
                }
            }
            handover::Input::Recover(_) if self.handover.strays() => {
                self.handover.handle(self.now, input);
                self.holder.parting = !self.handover.is_idle();
                return;
            }
            // Whoever else asks is told, before anybody is told that nothing earlier runs.
            handover::Input::Message(from, Said::Supersede(epoch, _))
                if epoch.home == *from && self.void_below(*epoch) =>
            {
                return;
            }
            handover::Input::PeerUp(_) => self.holder.ask_at = None,
            handover::Input::PeerDown(device) => self.on_peer_down(*device),
            handover::Input::Stored(attempt, Ok(())) if !self.takes_terms(*attempt) => return,
            _ => {}
        }
        self.handover.handle(self.now, input);
    }

    fn on_message(&mut self, from: DeviceId, message: Message) {
        if from == self.me {
            return;
        }
        match message {
            Message::Renew(question, terms, epoch, saves) => self.on_renew(from, question, terms, epoch, saves),
            Message::Release(pact, epoch) => self.on_release(from, pact, epoch),
            Message::Granted(question, mark) => self.on_granted(from, question, mark),
            Message::Refused(pact, why) => self.on_refused(from, pact, why),
            Message::Succeeded(pact, by, mark) => self.on_succeeded(from, pact, by, mark),
            Message::Released(pact) => self.on_released(from, pact),
            Message::Have(pact, mark) => self.on_have(from, pact, mark),
            Message::Want(pact) => self.on_want(from, pact),
        }
    }

    // --- what is durable -------------------------------------------------------------------------------------

    /// Begins to make a record durable. Only one write is under way at a time: nobody calls this while one is.
    fn save(&mut self, record: Record) {
        let record = record.with_floor();
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.saving = Some(Saving { ticket, record, again: None });
        self.settle();
        self.out.push_back(Output::Persist(ticket, record));
    }

    fn on_persisted(&mut self, ticket: Ticket) {
        let Some(saving) = self.saving.take_if(|saving| saving.ticket == ticket) else { return };
        let before = std::mem::replace(&mut self.durable, saving.record);
        self.handover.guard_by(self.durable.terms);
        self.on_duty(before.duty);
        self.on_terms(before.terms);
    }

    // --- time ------------------------------------------------------------------------------------------------

    fn advance(&mut self) {
        let now = self.now;
        if let Some(saving) = self.saving.as_mut().filter(|saving| saving.again.is_some_and(|at| at <= now)) {
            saving.again = None;
            self.out.push_back(Output::Persist(saving.ticket, saving.record));
        }
        self.begin_stay();
        self.settle();
        self.drain();
        self.advance_holder();
        self.advance_grantor();
        self.settle();
        self.drain();
    }

    /// Tells the driver when it may run and when not: before whatever follows from that.
    fn settle(&mut self) {
        let epoch = self.handover.may_run();
        let wanted = match epoch {
            None if self.handover.strays() => Run::Halted,
            None => Run::Stopped,
            Some(epoch) if !self.has_leave(epoch, self.now) => Run::Halted,
            Some(epoch) if self.is_behind(epoch, self.now) => Run::Stopped,
            Some(_) => Run::Running,
        };
        let output = match (self.run, wanted, epoch) {
            (Run::Off | Run::Stopped | Run::Halted, Run::Running, Some(epoch)) => Output::Start(epoch),
            (Run::Running, Run::Stopped, _) => Output::Stop,
            (Run::Running | Run::Stopped, Run::Halted, _) => Output::Halt,
            _ => return,
        };
        self.out.push_back(output);
        self.run = wanted;
        match wanted {
            Run::Halted if self.durable.terms.is_some() && !self.handover.strays() => self.event(Event::Alone),
            Run::Stopped if epoch.is_some() => self.event(Event::Behind),
            _ => {}
        }
    }

    /// Passes on what the hand-over asks for.
    fn drain(&mut self) {
        while let Some(output) = self.handover.poll_output() {
            match &output {
                handover::Output::Start(_) | handover::Output::Stop => continue,
                handover::Output::Consider(_, offer) => {
                    if let Some(why) = self.refuses(offer) {
                        self.handover.handle(self.now, handover::Input::Considered(offer.attempt, Err(why)));
                        continue;
                    }
                    self.holder.incoming = Some((offer.attempt, offer.terms));
                }
                // If it stands still already, it comes to rest for this all the same.
                handover::Output::SendRest(..) if !self.out.contains(&Output::Stop) => self.out.push_back(Output::Stop),
                _ => {}
            }
            self.out.push_back(Output::Move(output));
        }
    }

    fn send(&mut self, to: DeviceId, message: Message) {
        if self.handover.reaches(to) {
            self.out.push_back(Output::Send(to, message));
        }
    }

    fn event(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }

    /// In which epoch this device is its home, whether or not it runs.
    fn home(&self) -> Option<Epoch> {
        match self.handover.standing() {
            Some(handover::Standing::Home { epoch }) => Some(*epoch),
            _ => None,
        }
    }
}

#[cfg(test)]
mod check;
#[cfg(test)]
mod tests;
