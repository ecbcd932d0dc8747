//! The devices, what flies between them, and everything that can happen next.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Duration,
};

use super::{super::*, Fault};
use crate::{
    handover::{Input as Moved, Message as Said, Output as Move, Standing, Why},
    ids::Attempt,
};

pub(super) const INSTANCE: InstanceId = InstanceId::from_bytes([7; 16]);
pub(super) const DEVICES: [DeviceId; 3] =
    [DeviceId::from_bytes([1; 32]), DeviceId::from_bytes([2; 32]), DeviceId::from_bytes([3; 32])];
pub(super) const NOW: BootTime = BootTime::from_nanos(1 << 40);
pub(super) const LEASE: Duration = Duration::from_secs(1);
/// What passes at a home while half a lease passes, and at a standby.
pub(super) const PASSES: [Duration; 2] = [Duration::from_millis(495), Duration::from_millis(505)];

/// The events that an app has handled.
type App = Vec<u8>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Todo {
    Record(Record),
    Standing(handover::Record),
    ConsiderGuard,
    Adopt(Epoch),
    Consider(Attempt),
    Copy(Attempt),
    Reserve(Attempt),
    SendRest(Attempt, DeviceId),
    Store(Attempt, App),
}

/// What is in flight.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Flies {
    Move(Said),
    Guard(Message),
    Checkpoint(u64, Mark, App),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Side {
    /// `None` while it is down.
    machine: Option<Keeper>,
    disk: Disk,
    app: App,
    checkpoint: Option<(u64, Mark, App)>,
    staged: BTreeMap<Attempt, App>,
    todo: BTreeSet<Todo>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Disk {
    standing: Option<handover::Record>,
    guard: Option<Record>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Bounds {
    pub(super) devices: usize,
    /// To which device the home may move it, and how often.
    pub(super) moves: (usize, u8),
    pub(super) crashes: u8,
    pub(super) events: u8,
    pub(super) guards: u8,
    pub(super) unguards: u8,
    pub(super) prefer: Prefer,
    pub(super) fault: Option<Fault>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    sides: Vec<Side>,
    flies: BTreeSet<(usize, usize, Flies)>,
    left: Bounds,
    /// What a standby has acknowledged to a home.
    safe: App,
    /// What was done in the world, by name.
    effects: BTreeMap<(Epoch, usize), u8>,
    wrong: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Action {
    Deliver(usize, usize, Flies),
    Do(usize, Todo),
    Fail(usize, Todo),
    Apply(usize),
    Move(usize),
    Guard(usize),
    Unguard(usize),
    /// Half a lease passes.
    Wait,
    Tick(usize),
    Retry(usize),
    Deadline(usize),
    /// With or without what was being written of each record.
    Crash(usize, bool, bool),
    Restart(usize),
}

pub(super) fn index(of: DeviceId) -> usize {
    usize::from(of.as_bytes()[0]) - 1
}

impl World {
    pub(super) fn new(left: Bounds) -> Self {
        let side = |me: usize| {
            let home = Standing::Home { epoch: Epoch::first(DEVICES[0]) };
            let standing = (me == 0).then_some(handover::Record { standing: home, claim: None });
            Side {
                machine: None,
                disk: Disk { standing, guard: None },
                app: vec![],
                checkpoint: None,
                staged: BTreeMap::new(),
                todo: BTreeSet::new(),
            }
        };
        let mut world = Self {
            sides: (0..left.devices).map(side).collect(),
            flies: BTreeSet::new(),
            left,
            safe: vec![],
            effects: BTreeMap::new(),
            wrong: None,
        };
        (0..left.devices).for_each(|me| world.start(me));
        world.settle();
        world
    }

    fn start(&mut self, me: usize) {
        let side = &mut self.sides[me];
        let saved = Saved {
            standing: side.disk.standing.clone(),
            guard: side.disk.guard,
            checkpoint: side.checkpoint.as_ref().map(|(pact, mark, _)| (*pact, *mark)),
            saves: side.app.len() as u64,
        };
        let mut machine = Keeper::new(NOW, DEVICES[me], INSTANCE, me as u64, saved);
        machine.fault = self.left.fault;
        if machine.fault == Some(Fault::ForgetsItsPromise) && machine.grantor.promise.is_some() {
            machine.grantor.promise = Some(NOW);
        }
        if machine.fault == Some(Fault::RunsWithoutAsking) {
            machine.holder.lease = machine.home().map(|epoch| (epoch, NOW + LEASE));
        }
        for other in (0..self.left.devices).filter(|other| *other != me) {
            machine.handle(NOW, Input::Move(Moved::PeerUp(DEVICES[other])));
        }
        side.machine = Some(machine);
    }

    pub(super) fn actions(&self) -> Vec<Action> {
        let mut all = vec![Action::Wait];
        all.extend(self.flies.iter().map(|(from, to, what)| Action::Deliver(*from, *to, what.clone())));
        for (me, side) in self.sides.iter().enumerate() {
            let Some(machine) = &side.machine else {
                all.push(Action::Restart(me));
                continue;
            };
            all.extend(side.todo.iter().map(|todo| Action::Do(me, todo.clone())));
            all.extend(side.todo.iter().map(|todo| Action::Fail(me, todo.clone())));
            all.extend([Action::Tick(me), Action::Retry(me), Action::Deadline(me)]);
            if machine.may_run(NOW).is_some() {
                if self.left.events > 0 {
                    all.push(Action::Apply(me));
                }
                if self.left.moves.1 > 0 && self.left.moves.0 != me {
                    all.push(Action::Move(me));
                }
                if self.left.guards > 0 && me != 1 {
                    all.push(Action::Guard(me));
                }
                if self.left.unguards > 0 && machine.record().terms.is_some() {
                    all.push(Action::Unguard(me));
                }
            }
            if self.left.crashes > 0 {
                all.push(Action::Crash(me, false, false));
                let (guard, standing) = (machine.saving.is_some(), machine.handover.writing().is_some());
                all.extend(guard.then_some(Action::Crash(me, true, false)));
                all.extend(standing.then_some(Action::Crash(me, false, true)));
                all.extend((guard && standing).then_some(Action::Crash(me, true, true)));
            }
        }
        all
    }

    fn handle(&mut self, me: usize, input: Input) {
        if let Some(machine) = &mut self.sides[me].machine {
            machine.handle(NOW, input);
        }
    }

    pub(super) fn act(&mut self, action: &Action) {
        match action.clone() {
            Action::Deliver(from, to, what) => self.deliver(from, to, what),
            Action::Do(me, todo) => self.perform(me, todo),
            Action::Fail(me, todo) => {
                self.sides[me].todo.remove(&todo);
                let failed = Err(Why::Failed);
                let input = match todo {
                    Todo::Record(_) => Input::PersistFailed(Ticket(1)),
                    Todo::Standing(_) => Input::Move(Moved::PersistFailed(Ticket(1))),
                    Todo::ConsiderGuard => Input::Considered(failed),
                    Todo::Adopt(_) => Input::NotAdopted,
                    Todo::Consider(attempt) => Input::Move(Moved::Considered(attempt, failed)),
                    Todo::Copy(attempt) => Input::Move(Moved::Copied(attempt, failed)),
                    Todo::Reserve(attempt) => Input::Move(Moved::Reserved(attempt, failed)),
                    Todo::SendRest(..) => Input::Tick,
                    Todo::Store(attempt, _) => Input::Move(Moved::Stored(attempt, failed)),
                };
                self.handle(me, input);
            }
            Action::Apply(me) => {
                let event = self.left.events;
                self.left.events -= 1;
                let side = &mut self.sides[me];
                side.app.push(event);
                let saves = side.app.len();
                let epoch = side.machine.as_ref().and_then(|it| it.may_run(NOW)).expect("it runs");
                if self.effects.insert((epoch, saves), event).is_some() {
                    self.wrong = Some(format!("two effects have the name {epoch:?}, {saves}"));
                }
                self.handle(me, Input::Saved(saves as u64));
            }
            Action::Move(me) => {
                let (to, left) = self.left.moves;
                self.left.moves.1 -= 1;
                let attempt = Attempt(u64::from(left));
                let input = Moved::Move { to: DEVICES[to], attempt, package: [0; 32], size: 0 };
                self.handle(me, Input::Move(input));
            }
            Action::Guard(me) => {
                self.left.guards -= 1;
                let (every, most_lost) = (Duration::from_millis(100), Duration::from_secs(1));
                let settings = Settings { lease: LEASE, every, most_lost, prefer: self.left.prefer };
                self.handle(me, Input::Guard(DEVICES[1], settings));
            }
            Action::Unguard(me) => {
                self.left.unguards -= 1;
                self.handle(me, Input::Unguard);
            }
            Action::Wait => self.wait(),
            Action::Tick(me) => self.handle(me, Input::Tick),
            Action::Retry(me) => self.hurry(me, false),
            Action::Deadline(me) => self.hurry(me, true),
            Action::Crash(me, guard, standing) => {
                self.left.crashes = self.left.crashes.saturating_sub(1);
                let machine = self.sides[me].machine.take();
                if let Some(record) = machine.as_ref().and_then(|it| it.saving.as_ref()).filter(|_| guard) {
                    self.sides[me].disk.guard = Some(record.record);
                }
                if let Some(record) = machine.as_ref().and_then(|it| it.handover.writing()).filter(|_| standing) {
                    Self::write(&mut self.sides[me], record.clone());
                }
                self.sides[me].todo.clear();
            }
            Action::Restart(me) => self.start(me),
        }
        self.settle();
    }

    fn hurry(&mut self, me: usize, deadlines: bool) {
        if let Some(machine) = &mut self.sides[me].machine {
            machine.handover.hurry(deadlines);
            machine.holder.hurry(NOW, deadlines);
            machine.grantor.hurry(NOW, deadlines);
            if let Some(saving) = &mut machine.saving {
                saving.again = saving.again.map(|_| NOW);
            }
            machine.handle(NOW, Input::Tick);
        }
    }

    /// Clocks differ as much as they may.
    fn wait(&mut self) {
        for (me, side) in self.sides.iter_mut().enumerate() {
            let Some(machine) = &mut side.machine else { continue };
            let back = |at: BootTime| {
                let nanos = at.as_nanos() - PASSES[usize::from(me == 1)].as_nanos() as u64;
                BootTime::from_nanos(nanos.max((NOW.as_nanos()) - LEASE.as_nanos() as u64))
            };
            if let Some((_, at, _)) = &mut machine.holder.asked {
                *at = back(*at);
            }
            machine.holder.lease = machine.holder.lease.map(|(epoch, until)| (epoch, back(until).max(NOW)));
            machine.grantor.promise = machine.grantor.promise.map(|until| back(until).max(NOW));
        }
    }

    fn deliver(&mut self, from: usize, to: usize, what: Flies) {
        match what {
            Flies::Move(message) => self.handle(to, Input::Move(Moved::Message(DEVICES[from], message))),
            Flies::Guard(message) => {
                if let (Message::Have(_, mark), Some(machine)) = (&message, &self.sides[to].machine)
                    && machine.record().terms.is_some()
                    && machine.home() == Some(mark.epoch)
                    && self.safe.len() < mark.saves as usize
                {
                    self.safe = self.sides[to].app[..mark.saves as usize].to_vec();
                }
                self.handle(to, Input::Message(DEVICES[from], message));
            }
            Flies::Checkpoint(pact, mark, app) => {
                let side = &mut self.sides[to];
                if side.machine.is_some() && side.checkpoint.as_ref().is_none_or(|it| (it.0, it.1) < (pact, mark)) {
                    side.checkpoint = Some((pact, mark, app));
                    self.handle(to, Input::Stored(pact, mark));
                }
            }
        }
    }

    fn perform(&mut self, me: usize, todo: Todo) {
        self.sides[me].todo.remove(&todo);
        match todo {
            Todo::Record(record) => {
                self.sides[me].disk.guard = Some(record);
                self.handle(me, Input::Persisted(Ticket(1)));
            }
            Todo::Standing(record) => {
                Self::write(&mut self.sides[me], record);
                self.handle(me, Input::Move(Moved::Persisted(Ticket(1))));
            }
            Todo::ConsiderGuard => self.handle(me, Input::Considered(Ok(()))),
            Todo::Adopt(epoch) => {
                let side = &mut self.sides[me];
                let staged = std::mem::take(&mut side.staged).into_values();
                let all = staged.chain(side.checkpoint.iter().map(|(_, _, app)| app.clone()));
                side.app = all.max_by_key(Vec::len).unwrap_or_default();
                let saves = side.app.len() as u64;
                self.handle(me, Input::Saved(saves));
                self.handle(me, Input::Adopted(epoch));
            }
            Todo::Consider(attempt) => self.handle(me, Input::Move(Moved::Considered(attempt, Ok(())))),
            Todo::Copy(attempt) => self.handle(me, Input::Move(Moved::Copied(attempt, Ok(())))),
            Todo::Reserve(attempt) => self.handle(me, Input::Move(Moved::Reserved(attempt, Ok(())))),
            Todo::SendRest(attempt, to) => {
                let todo = Todo::Store(attempt, self.sides[me].app.clone());
                let target = &mut self.sides[index(to)];
                if target.machine.is_some() {
                    target.todo.insert(todo);
                }
            }
            Todo::Store(attempt, app) => {
                let saves = app.len() as u64;
                self.sides[me].staged.entry(attempt).or_insert(app);
                self.handle(me, Input::Move(Moved::Stored(attempt, Ok(()))));
                self.handle(me, Input::Saved(saves));
            }
        }
    }

    /// The disk, with what was staged under the attempt becoming the state.
    fn write(side: &mut Side, record: handover::Record) {
        let was = side.disk.standing.replace(record).map(|record| record.standing);
        if let (Some(Standing::Prepared { attempt, next, .. }), Some(Standing::Home { epoch })) =
            (was, side.disk.standing.as_ref().map(|record| &record.standing))
            && next == *epoch
        {
            side.app = side.staged.remove(&attempt).unwrap_or_else(|| vec![u8::MAX]);
        }
    }

    /// Collects what the machines ask for, and forgets what makes no difference.
    fn settle(&mut self) {
        for me in 0..self.sides.len() {
            let side = &mut self.sides[me];
            let Some(machine) = &mut side.machine else {
                self.dead_questions(me, None);
                continue;
            };
            let mut fly = Vec::new();
            while let Some(output) = machine.poll_output() {
                match output {
                    Output::Send(to, message) => fly.push((me, index(to), Flies::Guard(message))),
                    Output::Move(Move::Send(to, message)) => fly.push((me, index(to), Flies::Move(message))),
                    Output::Checkpoint(to, pact, _) => {
                        let epoch = machine.home().expect("only a home has checkpoints made");
                        let mark = Mark { epoch, saves: side.app.len() as u64 };
                        fly.push((me, index(to), Flies::Checkpoint(pact, mark, side.app.clone())));
                    }
                    Output::Persist(_, record) => _ = side.todo.insert(Todo::Record(record)),
                    Output::Move(Move::Persist(_, record)) => _ = side.todo.insert(Todo::Standing(record)),
                    Output::Consider(..) => _ = side.todo.insert(Todo::ConsiderGuard),
                    Output::Adopt(epoch) => _ = side.todo.insert(Todo::Adopt(epoch)),
                    Output::Forget => side.checkpoint = None,
                    Output::Move(Move::Consider(_, offer)) => _ = side.todo.insert(Todo::Consider(offer.attempt)),
                    Output::Move(Move::Copy(attempt, _)) => _ = side.todo.insert(Todo::Copy(attempt)),
                    Output::Move(Move::Reserve(attempt, _)) => _ = side.todo.insert(Todo::Reserve(attempt)),
                    Output::Move(Move::SendRest(attempt, to)) => _ = side.todo.insert(Todo::SendRest(attempt, to)),
                    Output::Move(Move::Release(attempt)) => _ = side.staged.remove(&attempt),
                    _ => {}
                }
            }
            if self.left.fault == Some(Fault::TargetKnowsNothing) {
                for (_, _, what) in &mut fly {
                    if let Flies::Move(Said::Offer(offer)) = what {
                        offer.terms = None;
                    }
                }
            }
            machine.handover.forget_time(NOW);
            machine.holder.forget_time(NOW);
            machine.grantor.forget_time(NOW);
            machine.last_ticket = 0;
            if let Some(saving) = &mut machine.saving {
                saving.ticket = Ticket(1);
                saving.again = saving.again.map(|_| NOW + RETRY);
                machine.last_ticket = 1;
            }
            let question = machine.holder.only_question();
            self.flies.extend(fly);
            self.dead_questions(me, question);
        }
    }

    /// A question that is out is the first; others are all alike, and their answers nothing.
    fn dead_questions(&mut self, me: usize, live: Option<u64>) {
        let rename = |question: Question| match live {
            _ if question.run != me as u64 => Some(question),
            Some(number) if question.number == number => Some(Question { number: 1, ..question }),
            _ => None,
        };
        let dead = Question { run: 99, number: 0 };
        let one = |(from, to, what)| {
            let what = match what {
                Flies::Guard(Message::Renew(question, terms, epoch, saves)) => {
                    Flies::Guard(Message::Renew(rename(question).unwrap_or(dead), terms, epoch, saves))
                }
                Flies::Guard(Message::Granted(question, mark)) => {
                    Flies::Guard(Message::Granted(rename(question)?, mark))
                }
                other => other,
            };
            Some((from, to, what))
        };
        self.flies = std::mem::take(&mut self.flies).into_iter().filter_map(one).collect();
        self.flies.retain(|(_, _, what)| !matches!(what, Flies::Guard(Message::Granted(it, _)) if *it == dead));
        // Whoever is about to answer one knows it by the same name.
        for machine in self.sides.iter_mut().filter_map(|side| side.machine.as_mut()) {
            let considering = machine.grantor.considering.as_mut().map(|(asking, _)| asking);
            for asking in considering.into_iter().chain(machine.grantor.granting.as_mut()) {
                asking.question = rename(asking.question).unwrap_or(dead);
            }
        }
    }

    fn running(&self) -> Vec<usize> {
        let runs = |side: &Side| side.machine.as_ref().is_some_and(|machine| machine.may_run(NOW).is_some());
        (0..self.sides.len()).filter(|me| runs(&self.sides[*me])).collect()
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        let running = self.running();
        if running.len() > 1 && self.left.prefer == Prefer::One {
            return Err(format!("{running:?} run"));
        }
        match running.iter().find(|it| !self.sides[**it].app.starts_with(&self.safe)) {
            Some(it) if self.left.prefer == Prefer::One => {
                Err(format!("{it} has {:?}, its standby acknowledged {:?}", self.sides[*it].app, self.safe))
            }
            _ => Ok(()),
        }
    }

    /// Nothing more goes wrong: all come up and reach each other, and some seconds pass.
    /// What has been seen to heal is not healed again.
    pub(super) fn heal(mut self, restart: bool, healed: &mut HashSet<u128>) -> Result<(), String> {
        self.flies.clear();
        for me in 0..self.sides.len() {
            if restart {
                self.act(&Action::Crash(me, false, false));
            }
            if self.sides[me].machine.is_none() {
                self.act(&Action::Restart(me));
            }
        }
        self.flies.clear();
        self.left = Bounds { moves: (0, 0), crashes: 0, events: 0, guards: 0, unguards: 0, ..self.left };
        if !healed.insert(crate::fingerprint(&self)) {
            return Ok(());
        }
        for round in 0..14 {
            loop {
                self.check()?;
                let flies = std::mem::take(&mut self.flies);
                let todo: Vec<_> = (0..self.sides.len())
                    .flat_map(|me| self.sides[me].todo.iter().cloned().map(move |todo| (me, todo)))
                    .collect();
                if flies.is_empty() && todo.is_empty() {
                    break;
                }
                todo.into_iter().for_each(|(me, todo)| self.act(&Action::Do(me, todo)));
                flies.into_iter().for_each(|(from, to, what)| self.act(&Action::Deliver(from, to, what)));
            }
            if round % 4 == 3 {
                self.act(&Action::Wait);
            }
            (0..self.sides.len()).for_each(|me| self.act(&Action::Retry(me)));
        }
        let homes = self.sides.iter().filter_map(|side| side.machine.as_ref()?.home()).count();
        let waits = self
            .sides
            .iter()
            .any(|side| side.machine.as_ref().and_then(|machine| machine.handover.waiting_for()).is_some());
        match self.running().len() {
            1 if homes == 1 && !waits => Ok(()),
            running => {
                Err(format!("{running} run, {homes} are home, {waits}: somebody waits, after all were connected"))
            }
        }
    }
}
