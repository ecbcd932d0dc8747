//! An instance at its home: events in, one at a time; what they did made durable; only then the world is told.
//!
//! [`Home`] is sans-I/O. The driver runs the app, keeps its state, and carries effects.
//!
//! ```text
//!   sender        Home              driver: app                store                 receiver
//!   ──── event ──► judged, queued
//!                  Run ───────────► handles it
//!                      ◄─ Ran(effects) ──
//!                  outbox += effects
//!                  Persist ───────► what changed, ledger, outbox ─────► durable
//!   (next events run meanwhile; what they did is saved together, next)
//!                      ◄─ Persisted ─────────────────────────────────────
//!   ◄──── Ack ───
//!                  Send(effect) ──────────────────────────────────────────────────────► judged, applied, durable
//!                      ◄─ Delivered ─────────────────────────────────────────────────────
//! ```
//!
//! So an acknowledged event is on the disk with everything it did, and nobody has seen an effect that a crash could undo.
//! A crash, a trap or a move between any two of these steps makes the sender say the event again, or this home (or the next) the
//! effect; the ledgers on both ends know them ([`effects`](crate::effects)).
//!
//! Bounds: [`MAX_WAITING`] events wait; an event has at most [`MAX_EVENT_EFFECTS`] effects of [`MAX_EVENT_BYTES`]; while the outbox has no
//! room for as many, no event is taken.

use std::{collections::VecDeque, time::Duration};

use serde::{Deserialize, Serialize};
use tutti_model::BootTime;

use crate::{
    effects::{Effect, Ledger, Outbox, Receiver, Verdict},
    handover::{RETRY, Ticket},
    ids::{EffectId, Epoch, InstanceId},
};

/// The most events that may wait to be handled.
pub const MAX_WAITING: usize = 256;
/// The most effects that one event may have.
pub const MAX_EVENT_EFFECTS: usize = 64;
/// The most bytes of them.
pub const MAX_EVENT_BYTES: usize = 64 * 1024;
/// How often an effect that is not acknowledged is sent again.
pub const RESEND: Duration = Duration::from_secs(1);
/// How often the same event may end the app before it is given up.
pub const MAX_TRAPS: u8 = 3;

/// What is kept with the app's own state, and moves with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Kept {
    /// Whose events have been applied.
    pub ledger: Ledger,
    /// What the world is yet to know.
    pub outbox: Outbox,
    /// How often it has been saved: along the life of an instance, whatever has more is later.
    pub saves: u64,
}

/// An event that came from another instance, which wants it acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// Who.
    pub from: InstanceId,
    /// In which epoch it is at home now.
    pub home: Epoch,
    /// The effect that the event is to it.
    pub id: EffectId,
    /// See [`Effect::previous`].
    pub previous: Option<EffectId>,
}

/// Something that the app is to handle. `E` is what the driver makes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incoming<E> {
    /// Who wants it acknowledged; `None` for timers, readings and what a person does.
    pub origin: Option<Origin>,
    /// What it is.
    pub event: E,
}

/// What happens.
#[derive(Clone, Debug, PartialEq)]
pub enum Input<E> {
    /// An event arrives.
    Event(Incoming<E>),
    /// The answer to [`Output::Run`]: it is handled, with these effects, within the bounds of one event.
    Ran(Vec<(Receiver, Vec<u8>)>),
    /// The answer to [`Output::Run`]: the app ended itself, or was ended. The driver has thrown its state away.
    Trapped,
    /// The answer to [`Output::Restore`].
    Restored,
    /// The answer to [`Output::Persist`].
    Persisted(Ticket),
    /// The same; it may or may not be on the disk.
    PersistFailed(Ticket),
    /// A receiver has this effect durably, and all before it.
    Delivered(Receiver, EffectId),
    /// A receiver has heard of a later home.
    Superseded(Epoch),
    /// Come to rest, for a move or to stop. Each time, it is said when that is so ([`Output::Paused`]).
    Pause,
    /// Stand still at once: nothing leaves any more, neither effects nor acknowledgements. What is under way may end and be saved.
    Halt,
    /// Go on: it was not moved after all, or may run again.
    Resume,
    /// Time has passed.
    Tick,
}

/// What to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Output<E> {
    /// Let the app handle this. One at a time.
    Run(E),
    /// Make durable, as one: what changed in the app's state up to now, and this. If it failed, it is asked for again with the same ticket: what the app has
    /// done since does not belong to it, so the state is that of the first time.
    Persist(Ticket, Kept),
    /// Begin anew from the state that was last made durable.
    Restore,
    /// Tell the sender that its event is applied for good.
    Ack(Origin),
    /// Tell the sender that it has been succeeded.
    Refuse(Origin, Epoch),
    /// Tell whoever sent this that the queue is full; it comes again.
    Busy(Incoming<E>),
    /// Send this effect; it is durable. May be lost.
    Send(Effect),
    /// This event has ended the app [`MAX_TRAPS`] times and is given up.
    Poisoned(E),
    /// Everything is at rest and durable; it has this with it.
    Paused(Kept),
    /// Somebody has heard of a later home than this one.
    Stale(Epoch),
}

#[derive(Clone, Debug)]
struct Saving {
    ticket: Ticket,
    kept: Kept,
    acks: Vec<Origin>,
    last: u64,
    again: Option<BootTime>,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Home<E> {
    epoch: Epoch,
    now: BootTime,
    waiting: VecDeque<Incoming<E>>,
    running: Option<Incoming<E>>,
    restoring: bool,
    traps: u8,
    /// As of the last event that was handled.
    kept: Kept,
    /// As of the last save.
    durable: Kept,
    /// Handled, not yet being saved.
    acks: Vec<Origin>,
    dirty: bool,
    saving: Option<Saving>,
    /// Effects up to this one may leave.
    released: u64,
    /// Effects up to this one have been sent since [`resend`](Self::resend) was set.
    sent: u64,
    resend: Option<BootTime>,
    pausing: bool,
    paused: bool,
    halted: bool,
    last_ticket: u64,
    out: VecDeque<Output<E>>,
}

impl<E: Clone> Home<E> {
    /// At home since `epoch`, with what was kept.
    pub fn new(now: BootTime, epoch: Epoch, kept: Kept) -> Self {
        let released = kept.outbox.last_sequence();
        let mut it = Self {
            epoch,
            now,
            waiting: VecDeque::new(),
            running: None,
            restoring: false,
            traps: 0,
            durable: kept.clone(),
            kept,
            acks: Vec::new(),
            dirty: false,
            saving: None,
            released,
            sent: 0,
            resend: None,
            pausing: false,
            paused: false,
            halted: false,
            last_ticket: 0,
            out: VecDeque::new(),
        };
        it.advance();
        it
    }

    /// Takes an input at this time.
    pub fn handle(&mut self, now: BootTime, input: Input<E>) {
        self.now = self.now.max(now);
        match input {
            Input::Event(incoming) if self.waiting.len() < MAX_WAITING => self.waiting.push_back(incoming),
            Input::Event(incoming) => self.out.push_back(Output::Busy(incoming)),
            Input::Ran(effects) => self.on_ran(effects),
            Input::Trapped => self.on_trapped(),
            Input::Restored => self.restoring = false,
            Input::Persisted(ticket) => self.on_persisted(ticket),
            Input::PersistFailed(ticket) => {
                let again = Some(self.now + RETRY);
                if let Some(saving) = self.saving.as_mut().filter(|saving| saving.ticket == ticket) {
                    saving.again = again;
                }
            }
            Input::Delivered(to, id) => {
                self.kept.outbox.acknowledged(to, id);
                self.durable.outbox.acknowledged(to, id);
                if let Some(saving) = &mut self.saving {
                    saving.kept.outbox.acknowledged(to, id);
                }
            }
            Input::Superseded(by) if by > self.epoch => self.out.push_back(Output::Stale(by)),
            Input::Superseded(_) => {}
            Input::Pause => (self.pausing, self.paused) = (true, false),
            Input::Halt => (self.pausing, self.halted) = (true, true),
            Input::Resume => (self.pausing, self.paused, self.halted) = (false, false, false),
            Input::Tick => {}
        }
        self.advance();
    }

    /// The next thing to do, oldest first.
    pub fn poll_output(&mut self) -> Option<Output<E>> {
        self.out.pop_front()
    }

    /// When to call [`handle`](Self::handle) with [`Input::Tick`] at the latest.
    pub fn poll_timeout(&self) -> Option<BootTime> {
        let again = self.saving.as_ref().and_then(|saving| saving.again);
        let resend = self.resend.filter(|_| !self.paused && !self.halted);
        [again, resend].into_iter().flatten().min()
    }

    /// The events that wait. A source that pauses passes those without an origin on; others come again.
    pub fn waiting(&self) -> impl Iterator<Item = &Incoming<E>> {
        self.waiting.iter()
    }

    fn on_ran(&mut self, effects: Vec<(Receiver, Vec<u8>)>) {
        let Some(incoming) = self.running.take() else { return };
        self.traps = 0;
        for (to, body) in effects {
            // There was room for the most that one event may do before it was begun.
            let pushed = self.kept.outbox.push(self.epoch, to, body);
            debug_assert!(pushed.is_ok(), "the driver lets no event have more effects than it may");
        }
        self.acks.extend(incoming.origin);
        self.dirty = true;
    }

    /// What was handled since the last save is undone; whoever wants it acknowledged says it again.
    fn on_trapped(&mut self) {
        let Some(incoming) = self.running.take() else { return };
        self.traps += 1;
        if self.traps >= MAX_TRAPS {
            self.traps = 0;
            self.out.push_back(Output::Poisoned(incoming.event));
        } else {
            self.waiting.push_front(incoming);
        }
        let saved = self.saving.as_ref().map_or(&self.durable, |saving| &saving.kept);
        self.kept = saved.clone();
        self.acks.clear();
        self.dirty = false;
        self.restoring = true;
        // What is being saved is what it begins anew from, once it is there.
        if self.saving.is_none() {
            self.out.push_back(Output::Restore);
        }
    }

    fn on_persisted(&mut self, ticket: Ticket) {
        let Some(saving) = self.saving.take_if(|saving| saving.ticket == ticket) else { return };
        self.durable = saving.kept;
        self.released = saving.last;
        if !self.halted {
            // Whoever is not told says it again, and is told then.
            self.out.extend(saving.acks.into_iter().map(Output::Ack));
        }
        if self.restoring {
            self.out.push_back(Output::Restore);
        }
    }

    fn advance(&mut self) {
        let now = self.now;
        if let Some(saving) = self.saving.as_mut().filter(|saving| saving.again.is_some_and(|at| at <= now)) {
            saving.again = None;
            self.out.push_back(Output::Persist(saving.ticket, saving.kept.clone()));
        }
        let busy = |it: &Self| it.running.is_some() || it.restoring;
        if !busy(self) && self.dirty && self.saving.is_none() {
            self.save();
        }
        while !busy(self) && !self.pausing {
            let Some(incoming) = self.next() else { break };
            self.out.push_back(Output::Run(incoming.event.clone()));
            self.running = Some(incoming);
        }
        if self.pausing && !self.paused && !self.halted && !busy(self) && !self.dirty && self.saving.is_none() {
            self.paused = true;
            self.out.push_back(Output::Paused(self.kept.clone()));
        }
        self.send();
    }

    /// The next event that is to be handled at all.
    fn next(&mut self) -> Option<Incoming<E>> {
        while self.kept.outbox.has_room(MAX_EVENT_EFFECTS, MAX_EVENT_BYTES) {
            let incoming = self.waiting.pop_front()?;
            let Some(origin) = incoming.origin else { return Some(incoming) };
            match self.kept.ledger.judge(origin.from, origin.home, origin.id, origin.previous) {
                Verdict::Apply => return Some(incoming),
                // It is applied, but perhaps not durable: it is acknowledged with the next save.
                Verdict::Repeat if self.dirty => self.acks.push(origin),
                Verdict::Repeat => match &mut self.saving {
                    Some(saving) => saving.acks.push(origin),
                    None => self.out.push_back(Output::Ack(origin)),
                },
                Verdict::Gap => {}
                Verdict::Superseded(by) => self.out.push_back(Output::Refuse(origin, by)),
            }
        }
        None
    }

    fn save(&mut self) {
        self.last_ticket += 1;
        self.kept.saves += 1;
        let (ticket, kept) = (Ticket(self.last_ticket), self.kept.clone());
        let last = kept.outbox.last_sequence();
        self.out.push_back(Output::Persist(ticket, kept.clone()));
        self.saving = Some(Saving { ticket, kept, acks: std::mem::take(&mut self.acks), last, again: None });
        self.dirty = false;
    }

    /// Sends what may leave: at once what is new, all of it again now and then. Nothing leaves while paused: the next home sends it.
    fn send(&mut self) {
        if self.paused || self.halted {
            return;
        }
        if self.resend.is_some_and(|at| at <= self.now) {
            (self.resend, self.sent) = (None, 0);
        }
        for effect in self.durable.outbox.waiting() {
            if effect.id.sequence > self.sent && effect.id.sequence <= self.released {
                self.out.push_back(Output::Send(effect.clone()));
            }
        }
        self.sent = self.sent.max(self.released);
        if self.durable.outbox.is_empty() {
            self.resend = None;
        } else {
            self.resend.get_or_insert(self.now + RESEND);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tutti_model::DeviceId;

    const T0: BootTime = BootTime::from_nanos(1);

    fn home() -> Home<u8> {
        Home::new(T0, Epoch::first(DeviceId::from_bytes([1; 32])), Kept::default())
    }

    fn outputs(of: &mut Home<u8>) -> Vec<Output<u8>> {
        std::iter::from_fn(|| of.poll_output()).collect()
    }

    fn from_other(sequence: u64) -> Input<u8> {
        let epoch = Epoch::first(DeviceId::from_bytes([2; 32]));
        let id = EffectId { epoch, sequence };
        let origin = Origin { from: InstanceId::from_bytes([9; 16]), home: epoch, id, previous: None };
        Input::Event(Incoming { origin: Some(origin), event: sequence as u8 })
    }

    fn to() -> Receiver {
        Receiver::Instance(InstanceId::from_bytes([3; 16]))
    }

    #[test]
    fn nothing_is_acknowledged_or_sent_before_it_is_durable() {
        let mut home = home();
        home.handle(T0, from_other(1));
        assert_eq!(outputs(&mut home), [Output::Run(1)]);
        home.handle(T0, from_other(2));
        home.handle(T0, Input::Ran(vec![(to(), vec![7])]));
        let out = outputs(&mut home);
        let [Output::Persist(first, kept), Output::Run(2)] = &out[..] else { panic!("{out:?}") };
        assert_eq!(kept.outbox.waiting().count(), 1);
        home.handle(T0, Input::Ran(vec![]));
        assert_eq!(outputs(&mut home), []);
        home.handle(T0, Input::Persisted(*first));
        let out = outputs(&mut home);
        assert!(
            matches!(&out[..], [Output::Ack(origin), Output::Persist(..), Output::Send(_)] if origin.id.sequence == 1)
        );
    }

    #[test]
    fn a_repeat_is_acknowledged_only_when_the_first_is_durable() {
        let mut home = home();
        home.handle(T0, from_other(1));
        outputs(&mut home);
        home.handle(T0, Input::Ran(vec![]));
        let out = outputs(&mut home);
        let [Output::Persist(ticket, _)] = out[..] else { panic!("{out:?}") };
        home.handle(T0, from_other(1));
        assert_eq!(outputs(&mut home), []);
        home.handle(T0, Input::Persisted(ticket));
        assert_eq!(outputs(&mut home).len(), 2);
        home.handle(T0, from_other(1));
        assert!(matches!(outputs(&mut home)[..], [Output::Ack(_)]));
    }

    #[test]
    fn a_pause_waits_until_everything_is_at_rest() {
        let mut home = home();
        home.handle(T0, from_other(1));
        outputs(&mut home);
        home.handle(T0, Input::Pause);
        home.handle(T0, from_other(2));
        home.handle(T0, Input::Ran(vec![(to(), vec![])]));
        let out = outputs(&mut home);
        let [Output::Persist(ticket, _)] = out[..] else { panic!("{out:?}") };
        home.handle(T0, Input::Persisted(ticket));
        assert!(matches!(outputs(&mut home)[..], [Output::Ack(_), Output::Paused(_)]));
        assert_eq!(home.waiting().count(), 1);
        home.handle(T0, Input::Resume);
        assert!(matches!(outputs(&mut home)[..], [Output::Run(2), Output::Send(_)]));
    }

    #[test]
    fn nothing_leaves_once_it_is_halted_and_nothing_is_lost_by_it() {
        let mut home = home();
        home.handle(T0, from_other(1));
        home.handle(T0, Input::Ran(vec![(to(), vec![7])]));
        outputs(&mut home);
        home.handle(T0, Input::Halt);
        home.handle(T0, from_other(2));
        home.handle(T0, Input::Persisted(Ticket(1)));
        assert_eq!((outputs(&mut home), home.poll_timeout()), (vec![], None));
        home.handle(T0, Input::Resume);
        assert!(matches!(outputs(&mut home)[..], [Output::Run(2), Output::Send(_)]));
        home.handle(T0, from_other(1));
        home.handle(T0, Input::Ran(vec![]));
        assert!(matches!(outputs(&mut home)[..], [Output::Persist(..)]));
        home.handle(T0, Input::Persisted(Ticket(2)));
        assert!(matches!(outputs(&mut home)[..], [Output::Ack(_), Output::Ack(_)]));
    }

    #[test]
    fn an_event_that_ends_the_app_again_and_again_is_given_up() {
        let mut home = home();
        home.handle(T0, from_other(1));
        let mut given_up = false;
        for _ in 0..MAX_TRAPS {
            assert!(outputs(&mut home).contains(&Output::Run(1)));
            home.handle(T0, Input::Trapped);
            let out = outputs(&mut home);
            assert!(out.contains(&Output::Restore));
            given_up |= out.contains(&Output::Poisoned(1));
            // The ledger is as it was; the same event counts as new.
            home.handle(T0, Input::Restored);
        }
        assert!(given_up && outputs(&mut home).is_empty());
    }

    #[test]
    fn a_full_outbox_stops_events_until_receivers_answer() {
        let mut home = home();
        let mut run = 0;
        for sequence in 1..=40 {
            home.handle(T0, from_other(sequence));
            while let Some(output) = home.poll_output() {
                match output {
                    Output::Run(_) => {
                        run += 1;
                        home.handle(T0, Input::Ran(vec![(to(), vec![0; MAX_EVENT_BYTES])]));
                    }
                    Output::Persist(ticket, _) => home.handle(T0, Input::Persisted(ticket)),
                    _ => {}
                }
            }
        }
        assert_eq!(run, crate::effects::MAX_BYTES / MAX_EVENT_BYTES);
        let last = home.durable.outbox.waiting().last().unwrap().id;
        home.handle(T0, Input::Delivered(to(), last));
        assert!(outputs(&mut home).contains(&Output::Run(run as u8 + 1)));
    }

    #[test]
    fn effects_are_sent_again_until_they_are_acknowledged() {
        let mut home = home();
        home.handle(T0, from_other(1));
        home.handle(T0, Input::Ran(vec![(to(), vec![])]));
        home.handle(T0, Input::Persisted(Ticket(1)));
        outputs(&mut home);
        let at = home.poll_timeout().unwrap();
        home.handle(at, Input::Tick);
        let out = outputs(&mut home);
        let [Output::Send(effect)] = &out[..] else { panic!("{out:?}") };
        home.handle(at, Input::Delivered(effect.to, effect.id));
        assert_eq!(home.poll_timeout(), None);
    }
}
