//! Continuation: how a running instance moves to another device, so that it is never at two homes and never at none for
//! longer than its devices are apart.
//!
//! [`HandOver`] is one instance on one device: sans-I/O, driven by [`handle`](HandOver::handle),
//! [`poll_output`](HandOver::poll_output) and [`poll_timeout`](HandOver::poll_timeout).
//!
//! ```text
//!   source                                                          target
//!   ──────                                                          ──────
//!   runs
//!   Move(to) ── Offer(attempt, epoch, next, package) ─────────────► granted? fits? room?      Consider
//!            ◄──────────────────────────────────────── Accept ──
//!   Copy     ══ package if absent, state, what changed since … ════► on its disk as it comes
//!   (runs all the while; ends when little changes between rounds)
//!   Reserve  every lease, at its owner, for the target
//!   Pause    ── no event is taken from here on ──
//!   SendRest ══ what changed since the last round, digest ══════════► whole? digest right?
//!                                                                   disk: Prepared            Stored
//!            ◄────────────────────────────────────── Prepared ──    (never starts by itself)
//!   disk: Leaving(next)  ◄── the point of no return
//!            ── Commit(next) ──────────────────────────────────────► disk: Home(next)
//!                                                                   runs                      Start
//!            ◄────────────────────────────────── Settled(next) ──
//!   disk: Gone; the state is removed                                                         Remove
//! ```
//!
//! # Why there are never two
//! A device runs an instance only while its disk says `Home`. The target's disk says so only after `Commit`, which is
//! sent only after the source's disk says `Leaving`. Before that write the source may give up at any moment (time-out,
//! lost link, refusal, restart): it runs on, and whatever the target has of the attempt is void, because an
//! attempt that the source does not know of is answered by `Abort`. Once the write has *begun*, nothing but that write ends it,
//! for it may be on the disk even if it seemed to fail.
//!
//! # Why there is one as soon as there can be
//! Each standing but `Home`, `Gone` and `Stray` is somebody's turn, and whoever waits asks again: the source repeats
//! `Commit`, the target repeats `Prepared`, both at once when the other comes up and each [`RETRY`] then. Every answer depends on
//! durable facts only, so it may be lost, repeated and late.
//!
//! # When a device never comes back
//! Between commit and contact no copy runs, and listings say that it waits ([`HandOver::waiting_for`]). An owner's
//! signed [`Warrant`] ends that ([`Input::Recover`]): the copy here goes on in a new branch. Should the other come back, it is told
//! by `Supersede`, stops, and keeps its copy as a stray for the owner to look at. If it had moved on meanwhile, it says so and
//! the next one is told.
//!
//! # Attacks, and how each is met
//! | attack | what meets it |
//! |---|---|
//! | a member offers an app that nobody allowed, or claims a state larger than agreed | [`Output::Consider`]: the driver holds it against the owner's grant; bytes are bounded by the offer |
//! | a member says `Commit` for what another prepared, or `Settled` in another's place | counted only from the device that the record names |
//! | a member voids others' copies by `Supersede` | the driver hands it on only with a warrant of an owner ([`Warrant::verify`]) |
//! | messages of an old attempt are shown again | attempts are random and never used again; epochs only grow |
//! | a target that never answers, a source that never ends | [`ANSWER`], [`PAUSE`], [`PROGRESS`]: the instance runs on at the source |
//! | a snapshot with rights in it | it carries none: grants and leases are checked at the target |

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use tutti_model::{BootTime, DeviceId};

mod io;
mod message;
mod record;
mod source;
mod succession;
mod target;

pub use io::{Because, Event, Input, Output, Ticket};
pub use message::{Claim, MAX_MESSAGE, Message, MessageError, Offer, Warrant, Why};
pub use record::{Record, Standing};

use crate::{
    ids::{Attempt, Epoch, InstanceId},
    standby::Terms,
};

/// How long the other side may take to answer an offer, and owners of leases to reserve them.
pub const ANSWER: Duration = Duration::from_secs(5);
/// How long an instance may stand still for a move before it runs on at the source.
pub const PAUSE: Duration = Duration::from_secs(10);
/// How long a copy may go without progress.
pub const PROGRESS: Duration = Duration::from_secs(15);
/// How often what waits for the other side is said again.
pub const RETRY: Duration = Duration::from_millis(500);

/// What is under way and lost by a restart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Phase {
    Idle,
    /// Source: the offer is out.
    Asking(Offer),
    /// Source: the state is copied while it runs.
    Copying(Try),
    /// Source: leases are reserved.
    Reserving(Try),
    /// Source: paused; the rest is sent, and `Prepared` awaited.
    Finishing(Try),
    /// Target: an offer is considered.
    Considering(Offer, DeviceId),
    /// Target: bytes come in.
    Receiving(Offer, DeviceId),
}

/// A try to move, at the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Try {
    attempt: Attempt,
    to: DeviceId,
    next: Epoch,
}

/// What waits for a write.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Saving {
    ticket: Ticket,
    record: Record,
    /// When to try again, after it failed.
    again: Option<BootTime>,
}

/// One instance on one device. See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandOver {
    me: DeviceId,
    instance: InstanceId,
    now: BootTime,
    durable: Option<Record>,
    saving: Option<Saving>,
    phase: Phase,
    deadline: Option<BootTime>,
    retry: Option<BootTime>,
    connected: BTreeSet<DeviceId>,
    /// Who guards it, to be told to a target.
    terms: Option<Terms>,
    /// Whether a keeper sees to run-leases here: without one, nothing comes here that needs them.
    kept: bool,
    /// Whether the driver has been told that it may run.
    started: bool,
    last_ticket: u64,
    out: VecDeque<Output>,
}

impl HandOver {
    /// The instance as this device goes on with it, from what its store says; `None` if it says nothing.
    pub fn new(now: BootTime, me: DeviceId, instance: InstanceId, saved: Option<Record>) -> Self {
        let mut it = Self {
            me,
            instance,
            now,
            durable: saved,
            saving: None,
            phase: Phase::Idle,
            deadline: None,
            retry: None,
            connected: BTreeSet::new(),
            terms: None,
            kept: false,
            started: false,
            last_ticket: 0,
            out: VecDeque::new(),
        };
        it.settle();
        it
    }

    /// A new instance, to start here. It runs once its record is durable.
    pub fn install(now: BootTime, me: DeviceId, instance: InstanceId) -> Self {
        let mut it = Self::new(now, me, instance, None);
        it.save(Standing::Home { epoch: Epoch::first(me) }, None);
        it
    }

    /// Takes an input at this time. `now` never runs backwards; if it seems to, it is taken to stand still.
    pub fn handle(&mut self, now: BootTime, input: Input) {
        self.now = self.now.max(now);
        match input {
            Input::PeerUp(device) => {
                self.connected.insert(device);
                self.say_again(Some(device));
            }
            Input::PeerDown(device) => {
                self.connected.remove(&device);
                self.on_peer_down(device);
            }
            Input::Message(from, message) => self.on_message(from, message),
            Input::Move { to, attempt, package, size } => self.on_move(to, attempt, package, size),
            Input::Cancel => self.on_cancel(),
            Input::Considered(attempt, verdict) => self.on_considered(attempt, verdict),
            Input::Progress(attempt) => self.on_progress(attempt),
            Input::Copied(attempt, result) => self.on_copied(attempt, result),
            Input::Reserved(attempt, result) => self.on_reserved(attempt, result),
            Input::Stored(attempt, result) => self.on_stored(attempt, result),
            Input::Persisted(ticket) => self.on_persisted(ticket),
            Input::PersistFailed(ticket) => self.on_persist_failed(ticket),
            Input::Recover(warrant) => self.on_recover(warrant),
            Input::Retire => self.on_retire(),
            Input::Discard => self.on_discard(),
            Input::Tick => {}
        }
        self.on_time();
        self.settle();
    }

    /// The next thing to do, oldest first.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call [`handle`](Self::handle) with [`Input::Tick`] at the latest.
    pub fn poll_timeout(&self) -> Option<BootTime> {
        let again = self.saving.as_ref().and_then(|saving| saving.again);
        [self.deadline, self.retry, again].into_iter().flatten().min()
    }

    /// What the disk says.
    pub fn record(&self) -> Option<&Record> {
        self.durable.as_ref()
    }

    /// Whether it may run here now, and in which epoch.
    pub fn may_run(&self) -> Option<Epoch> {
        let Some(Standing::Home { epoch }) = self.standing() else { return None };
        let stays = |saving: &Saving| matches!(saving.record.standing, Standing::Home { .. });
        let paused = matches!(self.phase, Phase::Finishing(_));
        (!paused && self.saving.as_ref().is_none_or(stays)).then_some(*epoch)
    }

    /// Whom listings show it to be waiting for: the copy is decided to be there, but it has not said that it knows; or
    /// it is prepared here and that device has not said whose it is.
    pub fn waiting_for(&self) -> Option<DeviceId> {
        match self.standing()? {
            Standing::Leaving { next, .. } => Some(next.home),
            Standing::Prepared { source, .. } => Some(*source),
            _ => None,
        }
    }

    /// Where the instance stands.
    pub(crate) fn standing(&self) -> Option<&Standing> {
        self.durable.as_ref().map(|record| &record.standing)
    }

    pub(crate) fn claim(&self) -> Option<Claim> {
        self.durable.as_ref().and_then(|record| record.claim.clone())
    }

    /// The latest epoch that the record knows to have begun.
    pub(crate) fn floor(&self) -> Option<Epoch> {
        self.standing().and_then(Standing::floor)
    }

    /// Who guards it, from now on: offers say so.
    pub(crate) fn guard_by(&mut self, terms: Option<Terms>) {
        (self.terms, self.kept) = (terms, true);
    }

    /// Whether there is a session with that device.
    pub(crate) fn reaches(&self, device: DeviceId) -> bool {
        self.connected.contains(&device)
    }

    /// Whether no move and no write is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.phase == Phase::Idle && self.saving.is_none()
    }

    /// Whether a write is under way: where it stands will be known then.
    pub(crate) fn is_writing(&self) -> bool {
        self.saving.is_some()
    }

    /// Whether the copy here is being given up, or has been.
    pub(crate) fn strays(&self) -> bool {
        let saving = self.saving.as_ref().map(|saving| &saving.record.standing);
        matches!(saving.or(self.standing()), Some(Standing::Stray { .. }))
    }

    // --- messages --------------------------------------------------------------------------------------------

    fn on_message(&mut self, from: DeviceId, message: Message) {
        if from == self.me {
            return;
        }
        // What a message asks for may hang on a write that is under way. Whoever sent it says it again.
        if self.saving.is_some() {
            if let Message::Offer(Offer { attempt, .. }) = message
                && !matches!(self.standing(), Some(Standing::Leaving { .. }))
            {
                self.send(from, Message::Refuse(attempt, Why::Busy));
            }
            return;
        }
        match message {
            Message::Offer(offer) => self.on_offer(from, offer),
            Message::Accept(attempt) => self.on_accept(from, attempt),
            Message::Refuse(attempt, why) => self.on_refuse(from, attempt, why),
            Message::Prepared(attempt) => self.on_prepared(from, attempt),
            Message::Commit(attempt, next) => self.on_commit(from, attempt, next),
            Message::Settled(next) => self.on_settled(from, next),
            Message::Abort(attempt) => self.on_abort(from, attempt),
            Message::Missing(attempt) => self.on_missing(from, attempt),
            Message::Supersede(epoch, warrant) => self.on_supersede(from, epoch, warrant),
            Message::Yielded(epoch, to) => self.on_yielded(from, epoch, to),
        }
    }

    /// Says to `to`, or to everybody it concerns, what this device waits for.
    fn say_again(&mut self, to: Option<DeviceId>) {
        let mut said = Vec::new();
        match self.durable.as_ref().map(|record| (&record.standing, &record.claim)) {
            Some((Standing::Leaving { attempt, next, .. }, _)) => {
                said.push((next.home, Message::Commit(*attempt, *next)))
            }
            Some((Standing::Prepared { attempt, source, .. }, _)) => said.push((*source, Message::Prepared(*attempt))),
            Some((Standing::Home { epoch }, Some(Claim { warrant, rival: Some(rival) }))) => {
                said.push((*rival, Message::Supersede(*epoch, warrant.clone())));
            }
            _ => {}
        }
        if let Phase::Asking(offer) = &self.phase {
            said.push((offer.next.home, Message::Offer(offer.clone())));
        }
        self.retry = (!said.is_empty()).then(|| self.now + RETRY);
        // While a write is under way, it is not yet known what holds.
        said.retain(|(whom, _)| to.is_none_or(|to| to == *whom) && self.saving.is_none());
        for (whom, message) in said {
            self.send(whom, message);
        }
    }

    pub(crate) fn send(&mut self, to: DeviceId, message: Message) {
        if self.connected.contains(&to) {
            self.out.push_back(Output::Send(to, message));
        }
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.out.push_back(Output::Event(event));
    }

    // --- what is durable -------------------------------------------------------------------------------------

    /// Begins to make a standing durable. Only one write is under way at a time.
    fn save(&mut self, standing: Standing, claim: Option<Claim>) {
        self.last_ticket += 1;
        let (ticket, record) = (Ticket(self.last_ticket), Record { standing, claim });
        self.saving = Some(Saving { ticket, record: record.clone(), again: None });
        self.deadline = None;
        // If it must not run any longer, that is said before anything is written.
        self.settle();
        self.out.push_back(Output::Persist(ticket, record));
    }

    fn on_persisted(&mut self, ticket: Ticket) {
        let Some(saving) = self.saving.take_if(|saving| saving.ticket == ticket) else { return };
        let before = self.durable.replace(saving.record);
        self.on_standing(before.map(|record| record.standing));
        self.say_again(None);
    }

    /// It may be on the disk or not, so there is only one way: to write it again.
    fn on_persist_failed(&mut self, ticket: Ticket) {
        let again = Some(self.now + RETRY);
        if let Some(saving) = self.saving.as_mut().filter(|saving| saving.ticket == ticket) {
            saving.again = again;
        }
    }

    /// What follows from a new standing.
    fn on_standing(&mut self, before: Option<Standing>) {
        match self.standing().cloned() {
            Some(Standing::Leaving { attempt, next, .. }) => {
                self.phase = Phase::Idle;
                self.event(Event::Decided(attempt, next.home));
            }
            Some(Standing::Home { epoch }) => {
                match before {
                    Some(Standing::Prepared { source, next, .. }) if next == epoch => {
                        self.send(source, Message::Settled(next));
                    }
                    // The standby has taken over, with this or with what is newer.
                    Some(Standing::Prepared { attempt, next, .. }) if next.branch == epoch.branch => {
                        self.out.push_back(Output::Release(attempt));
                    }
                    _ => {}
                }
            }
            Some(Standing::Gone { .. }) => {
                match before {
                    Some(Standing::Leaving { attempt, next, .. }) => self.event(Event::Moved(attempt, next.home)),
                    Some(Standing::Prepared { attempt, .. }) => self.out.push_back(Output::Release(attempt)),
                    _ => {}
                }
                self.out.push_back(Output::Remove);
            }
            Some(Standing::Stray { .. } | Standing::Prepared { .. }) | None => {}
        }
    }

    // --- time ------------------------------------------------------------------------------------------------

    fn on_time(&mut self) {
        if self.deadline.is_some_and(|at| at <= self.now) {
            self.deadline = None;
            self.give_up_moving(Because::TookTooLong);
            self.give_up_receiving();
        }
        if self.retry.is_some_and(|at| at <= self.now) {
            self.say_again(None);
        }
        let now = self.now;
        if let Some(saving) = self.saving.as_mut().filter(|saving| saving.again.is_some_and(|at| at <= now)) {
            saving.again = None;
            self.out.push_back(Output::Persist(saving.ticket, saving.record.clone()));
        }
    }

    /// Tells the driver when it may run and when not.
    fn settle(&mut self) {
        match (self.may_run(), self.started) {
            (Some(epoch), false) => self.out.push_back(Output::Start(epoch)),
            (None, true) => self.out.push_back(Output::Stop),
            _ => return,
        }
        self.started = !self.started;
    }
}

/// For the checkers of all states: what makes no difference is made equal.
#[cfg(test)]
impl HandOver {
    /// As at `now`, with every timer that is set still to go off. A write that is under way is the first.
    pub(crate) fn forget_time(&mut self, now: BootTime) {
        self.now = now;
        self.deadline = self.deadline.map(|_| now + PROGRESS);
        self.retry = self.retry.map(|_| now + RETRY);
        self.last_ticket = 0;
        if let Some(saving) = &mut self.saving {
            saving.ticket = Ticket(1);
            saving.again = saving.again.map(|_| now + RETRY);
            self.last_ticket = 1;
        }
    }

    /// Every timer that is set goes off at once.
    pub(crate) fn hurry(&mut self, deadlines: bool) {
        let now = self.now;
        self.retry = self.retry.map(|_| now);
        if deadlines {
            self.deadline = self.deadline.map(|_| now);
        }
        if let Some(saving) = &mut self.saving {
            saving.again = saving.again.map(|_| now);
        }
    }

    /// What is being written.
    pub(crate) fn writing(&self) -> Option<&Record> {
        self.saving.as_ref().map(|saving| &saving.record)
    }
}

#[cfg(test)]
mod check;
#[cfg(test)]
mod tests;
