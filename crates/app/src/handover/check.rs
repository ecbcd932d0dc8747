//! Every state that two devices and the network between them can get into, with the very machine that runs in the product.
//!
//! The network is as bad as can be: what was once said stays in flight forever, so it may arrive at any time, in any order, again
//! and again, or never. A write may reach the disk or not when its device crashes. Timers go off at any time, links break
//! while both sides live, and either side notices when it will. What is bounded is the number of moves, crashes, broken links and
//! events that are applied.
//!
//! In every state: at most one side may run, and whoever runs has every event that was ever applied. From every state: once
//! both are up and connected, exactly one runs, within 3 s of virtual time.
//!
//! `TUTTI_LONG_TESTS=1` allows more of everything.

use std::collections::{BTreeSet, HashSet, VecDeque};

use super::*;

const INSTANCE: InstanceId = InstanceId::from_bytes([7; 16]);
const DEVICES: [DeviceId; 2] = [DeviceId::from_bytes([1; 32]), DeviceId::from_bytes([2; 32])];
const ZERO: BootTime = BootTime::ZERO;

/// What its driver has been asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::large_enum_variant, reason = "there are two of them at most")]
enum Todo {
    Persist(Ticket, Record),
    Consider(Attempt),
    Copy(Attempt),
    Reserve(Attempt),
    SendRest(Attempt),
    /// The rest has arrived: this many events are in it.
    Store(Attempt, u8),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Side {
    /// `None` while it is down.
    machine: Option<HandOver>,
    disk: Option<Record>,
    todo: BTreeSet<Todo>,
    /// How many events the state on the disk has in it, and those of attempts.
    applied: u8,
    staged: BTreeSet<(Attempt, u8)>,
    connected: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    sides: [Side; 2],
    said: BTreeSet<(usize, Message)>,
    moves: u8,
    crashes: u8,
    cuts: u8,
    /// How many events were applied in all, and how many more may be.
    applied: u8,
    events: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Action {
    Deliver(usize, Message),
    Do(usize, Todo),
    Fail(usize, Todo),
    Apply(usize),
    Move(usize),
    Cancel(usize),
    Retry(usize),
    Deadline(usize),
    Down(usize),
    Up(usize),
    /// With or without what was being written.
    Crash(usize, bool),
    Restart(usize),
}

fn index(of: DeviceId) -> usize {
    usize::from(of == DEVICES[1])
}

impl World {
    fn new(moves: u8, crashes: u8, cuts: u8, events: u8) -> Self {
        let side = |me: usize| {
            let home = Standing::Home { epoch: Epoch::first(DEVICES[0]) };
            let disk = (me == 0).then_some(Record { standing: home, claim: None });
            let mut machine = HandOver::new(ZERO, DEVICES[me], INSTANCE, disk.clone());
            machine.handle(ZERO, Input::PeerUp(DEVICES[1 - me]));
            Side {
                machine: Some(machine),
                disk,
                todo: BTreeSet::new(),
                applied: 0,
                staged: BTreeSet::new(),
                connected: true,
            }
        };
        let mut world =
            Self { sides: [side(0), side(1)], said: BTreeSet::new(), moves, crashes, cuts, applied: 0, events };
        world.settle();
        world
    }

    fn actions(&self) -> Vec<Action> {
        let mut all: Vec<Action> =
            self.said.iter().map(|(to, message)| Action::Deliver(*to, message.clone())).collect();
        for (me, side) in self.sides.iter().enumerate() {
            let Some(machine) = &side.machine else {
                all.push(Action::Restart(me));
                continue;
            };
            all.extend(side.todo.iter().map(|todo| Action::Do(me, todo.clone())));
            all.extend(side.todo.iter().map(|todo| Action::Fail(me, todo.clone())));
            if machine.may_run().is_some() && self.events > 0 {
                all.push(Action::Apply(me));
            }
            if machine.may_run().is_some() && self.moves > 0 {
                all.push(Action::Move(me));
            }
            if matches!(machine.phase, Phase::Finishing(_)) {
                all.push(Action::Cancel(me));
            }
            if machine.retry.is_some() {
                all.push(Action::Retry(me));
            }
            if machine.deadline.is_some() || machine.saving.as_ref().is_some_and(|it| it.again.is_some()) {
                all.push(Action::Deadline(me));
            }
            let other = self.sides[1 - me].machine.is_some();
            if side.connected && (self.cuts > 0 || !other) {
                all.push(Action::Down(me));
            }
            if !side.connected && other {
                all.push(Action::Up(me));
            }
            if self.crashes > 0 {
                all.push(Action::Crash(me, false));
                if machine.saving.is_some() {
                    all.push(Action::Crash(me, true));
                }
            }
        }
        all
    }

    fn handle(&mut self, me: usize, now: BootTime, input: Input) {
        if let Some(machine) = &mut self.sides[me].machine {
            machine.handle(now, input);
        }
    }

    fn act(&mut self, action: &Action) {
        match action.clone() {
            Action::Deliver(to, message) => self.handle(to, ZERO, Input::Message(DEVICES[1 - to], message)),
            Action::Do(me, todo) => self.perform(me, todo),
            Action::Fail(me, todo) => {
                self.sides[me].todo.remove(&todo);
                let failed = Err(Why::Failed);
                let input = match todo {
                    Todo::Persist(ticket, _) => Input::PersistFailed(ticket),
                    Todo::Consider(attempt) => Input::Considered(attempt, failed),
                    Todo::Copy(attempt) => Input::Copied(attempt, failed),
                    Todo::Reserve(attempt) => Input::Reserved(attempt, failed),
                    // The stream breaks: nobody hears of it.
                    Todo::SendRest(_) => Input::Tick,
                    Todo::Store(attempt, _) => Input::Stored(attempt, failed),
                };
                self.handle(me, ZERO, input);
            }
            Action::Apply(me) => {
                self.sides[me].applied += 1;
                self.applied += 1;
                self.events -= 1;
            }
            Action::Move(me) => {
                let attempt = Attempt(u64::from(self.moves));
                self.moves -= 1;
                self.handle(me, ZERO, Input::Move { to: DEVICES[1 - me], attempt, package: [0; 32], size: 0 });
            }
            Action::Cancel(me) => self.handle(me, ZERO, Input::Cancel),
            Action::Retry(me) => self.handle(me, ZERO + RETRY, Input::Tick),
            Action::Deadline(me) => self.handle(me, ZERO + PROGRESS, Input::Tick),
            Action::Down(me) => {
                if self.sides[1 - me].machine.is_some() {
                    self.cuts -= 1;
                }
                self.sides[me].connected = false;
                self.handle(me, ZERO, Input::PeerDown(DEVICES[1 - me]));
            }
            Action::Up(me) => {
                self.sides[me].connected = true;
                self.handle(me, ZERO, Input::PeerUp(DEVICES[1 - me]));
            }
            Action::Crash(me, written) => {
                self.crashes -= 1;
                let side = &mut self.sides[me];
                if let Some(saving) = side.machine.take().and_then(|machine| machine.saving).filter(|_| written) {
                    Self::write(side, saving.record);
                }
                side.todo.clear();
                side.connected = false;
            }
            Action::Restart(me) => {
                let disk = self.sides[me].disk.clone();
                self.sides[me].machine = Some(HandOver::new(ZERO, DEVICES[me], INSTANCE, disk));
            }
        }
        self.settle();
    }

    fn perform(&mut self, me: usize, todo: Todo) {
        self.sides[me].todo.remove(&todo);
        match todo {
            Todo::Persist(ticket, record) => {
                Self::write(&mut self.sides[me], record);
                self.handle(me, ZERO, Input::Persisted(ticket));
            }
            Todo::Consider(attempt) => self.handle(me, ZERO, Input::Considered(attempt, Ok(()))),
            Todo::Copy(attempt) => self.handle(me, ZERO, Input::Copied(attempt, Ok(()))),
            Todo::Reserve(attempt) => self.handle(me, ZERO, Input::Reserved(attempt, Ok(()))),
            // What is sent is what there is at that moment, whether or not the pause has ended meanwhile.
            Todo::SendRest(attempt) => {
                let todo = Todo::Store(attempt, self.sides[me].applied);
                let target = &mut self.sides[1 - me];
                if target.machine.is_some() {
                    target.todo.insert(todo);
                }
            }
            Todo::Store(attempt, applied) => {
                self.sides[me].staged.insert((attempt, applied));
                self.handle(me, ZERO, Input::Stored(attempt, Ok(())));
            }
        }
    }

    /// The disk, with what was staged under the attempt becoming the state.
    fn write(side: &mut Side, record: Record) {
        let was = side.disk.replace(record).map(|record| record.standing);
        if let (Some(Standing::Prepared { attempt, .. }), Some(Standing::Home { .. })) =
            (was, side.disk.as_ref().map(|record| &record.standing))
        {
            // If the rest had come twice, the first would have been what was prepared.
            let staged: Vec<_> = side.staged.iter().filter(|(of, _)| *of == attempt).collect();
            side.applied = staged.first().map_or(u8::MAX, |(_, applied)| *applied);
        }
    }

    /// Collects what the machines ask for, and forgets what makes no difference.
    fn settle(&mut self) {
        for me in 0..2 {
            let Some(machine) = &mut self.sides[me].machine else { continue };
            let mut todo = BTreeSet::new();
            while let Some(output) = machine.poll_output() {
                match output {
                    Output::Send(to, message) => _ = self.said.insert((index(to), message)),
                    Output::Persist(ticket, record) => _ = todo.insert(Todo::Persist(ticket, record)),
                    Output::Consider(_, offer) => _ = todo.insert(Todo::Consider(offer.attempt)),
                    Output::Copy(attempt, _) => _ = todo.insert(Todo::Copy(attempt)),
                    Output::Reserve(attempt, _) => _ = todo.insert(Todo::Reserve(attempt)),
                    Output::SendRest(attempt, _) => _ = todo.insert(Todo::SendRest(attempt)),
                    _ => {}
                }
            }
            machine.forget_time(ZERO);
            let one = |todo| if let Todo::Persist(_, record) = todo { Todo::Persist(Ticket(1), record) } else { todo };
            self.sides[me].todo.extend(todo.into_iter().map(one));
        }
    }

    fn running(&self) -> Vec<usize> {
        let runs = |side: &Side| side.machine.as_ref().is_some_and(|machine| machine.may_run().is_some());
        (0..2).filter(|me| runs(&self.sides[*me])).collect()
    }

    fn check(&self) -> Result<(), String> {
        match self.running()[..] {
            [] => Ok(()),
            [one] if self.sides[one].applied == self.applied => Ok(()),
            [one] => Err(format!("{one} has {} of {} events", self.sides[one].applied, self.applied)),
            _ => Err("two run".into()),
        }
    }

    /// Nothing more goes wrong: both come up and connect, and three seconds pass. Perhaps both are switched off and on before, so that
    /// only what the disks say counts.
    fn heal(mut self, restart: bool) -> Result<(), String> {
        self.said.clear();
        for me in 0..2 {
            if restart {
                self.crashes = self.crashes.saturating_add(1);
                self.act(&Action::Crash(me, false));
            }
            if self.sides[me].machine.is_none() {
                self.act(&Action::Restart(me));
            }
            // Whatever session there was is over.
            self.handle(me, ZERO, Input::PeerDown(DEVICES[1 - me]));
            self.settle();
        }
        self.said.clear();
        (0..2).for_each(|me| self.act(&Action::Up(me)));
        for _ in 0..6 {
            loop {
                self.check()?;
                let said = std::mem::take(&mut self.said);
                let todo: Vec<_> =
                    (0..2).flat_map(|me| self.sides[me].todo.iter().cloned().map(move |todo| (me, todo))).collect();
                if said.is_empty() && todo.is_empty() {
                    break;
                }
                todo.into_iter().for_each(|(me, todo)| self.act(&Action::Do(me, todo)));
                said.into_iter().for_each(|(to, message)| self.act(&Action::Deliver(to, message)));
            }
            (0..2).for_each(|me| self.act(&Action::Retry(me)));
        }
        let waits = self.sides.iter().any(|side| side.machine.as_ref().and_then(HandOver::waiting_for).is_some());
        match self.running().len() {
            1 if !waits => self.check(),
            1 => Err("one runs, but somebody still waits after both were connected".into()),
            running => Err(format!("{running} run after both were connected")),
        }
    }
}

/// Visits every state; gives back how many there are.
fn explore(start: World) -> usize {
    let mut seen = HashSet::from([crate::fingerprint(&start)]);
    let mut trail: Vec<(usize, Option<Action>)> = vec![(0, None)];
    let mut queue = VecDeque::from([(0, start)]);
    while let Some((at, world)) = queue.pop_front() {
        if let Err(what) =
            world.check().and_then(|()| world.clone().heal(false)).and_then(|()| world.clone().heal(true))
        {
            let mut path = Vec::new();
            let mut step = at;
            while let (before, Some(action)) = &trail[step] {
                path.push(format!("{action:?}"));
                step = *before;
            }
            path.reverse();
            panic!("{what}\n{}\n{world:#?}", path.join("\n"));
        }
        for action in world.actions() {
            let mut next = world.clone();
            next.act(&action);
            if seen.insert(crate::fingerprint(&next)) {
                trail.push((at, Some(action)));
                queue.push_back((trail.len() - 1, next));
            }
        }
    }
    seen.len()
}

#[test]
#[expect(clippy::print_stderr, reason = "how many states there were is of interest")]
fn at_most_one_runs_in_every_state_and_exactly_one_after_healing() {
    // Moves, crashes, broken links, events.
    let mut bounds = vec![(1, 1, 0, 1), (1, 0, 1, 1)];
    if std::env::var_os("TUTTI_LONG_TESTS").is_some() {
        bounds.extend([(2, 0, 0, 0), (1, 2, 1, 1), (2, 1, 0, 1), (2, 0, 1, 1)]);
    }
    for (moves, crashes, cuts, events) in bounds {
        let begun = std::time::Instant::now();
        let states = explore(World::new(moves, crashes, cuts, events));
        let took = begun.elapsed();
        eprintln!("{moves} moves, {crashes} crashes, {cuts} cuts, {events} events: {states} states in {took:?}");
        assert!(states > 100);
    }
}
