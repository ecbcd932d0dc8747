//! What a device's driver does: the disk, the app, the network.

use std::time::Duration;

use tutti_app::{
    handover::{self, Message, Standing},
    home::{self, Home, Kept},
    ids::Epoch,
    standby::{self, Duty, Event, Mark},
};

use crate::world::{Fault, Happening, INSTANCE, State, World, Write, id, place};

impl World {
    pub(crate) fn write(&mut self, of: usize, write: &Write) {
        let fault = self.plan.fault;
        let disk = &mut self.devices[of].disk;
        match write.clone() {
            Write::Record(_, record) => {
                let was = disk.record.replace(record).map(|record| record.standing);
                if let (Some(Standing::Prepared { attempt, next, .. }), Some(Standing::Home { epoch })) =
                    (was, disk.record.as_ref().map(|record| &record.standing))
                    && next == *epoch
                {
                    disk.state = disk.staged.remove(&attempt).expect("what was prepared is there");
                }
            }
            Write::State(_, state) => disk.state = state,
            Write::Stage(attempt, state) => _ = disk.staged.insert(attempt, state),
            Write::Guard(_, record) => disk.guard = Some(record),
            Write::Checkpoint(pact, mark, state) => {
                if disk.checkpoint.as_ref().is_none_or(|it| (it.0, it.1) <= (pact, mark)) {
                    disk.checkpoint = Some((pact, mark, state));
                }
            }
            Write::Adopt(_) => {
                let staged = std::mem::take(&mut disk.staged).into_values();
                let all = staged.chain(disk.checkpoint.iter().map(|(_, _, state)| state.clone()));
                disk.state = all.max_by_key(|state| state.kept.saves).expect("there is a checkpoint");
                match fault {
                    Some(Fault::AdoptsNothing) => disk.state = State::default(),
                    Some(Fault::NoLedger) => disk.state.kept.ledger = Kept::default().ledger,
                    _ => {}
                }
            }
        }
    }

    pub(crate) fn begin_write(&mut self, of: usize, write: Write) {
        let Some(node) = &mut self.devices[of].node else { return };
        node.writing.push(write);
        let (run, late) = (self.devices[of].run, self.rng.millis(1, 15));
        self.later(late, Happening::Written(of, run));
    }

    pub(crate) fn written(&mut self, of: usize) {
        use handover::Input as Moved;
        use standby::Input;
        let Some(node) = &mut self.devices[of].node else { return };
        let write = node.writing.remove(0);
        // A disk that says that it failed may have done it all the same.
        let failed = !self.calm && self.rng.chance(2);
        if !failed || self.rng.chance(50) {
            self.write(of, &write);
        }
        if failed {
            match write {
                Write::Record(ticket, _) => self.mover(of, Moved::PersistFailed(ticket)),
                Write::Guard(ticket, _) => self.keeper(of, Input::PersistFailed(ticket)),
                Write::State(ticket, _) => self.home(of, home::Input::PersistFailed(ticket)),
                Write::Stage(attempt, _) => self.mover(of, Moved::Stored(attempt, Err(handover::Why::Failed))),
                Write::Checkpoint(pact, ..) => self.keeper(of, Input::Unfit(pact)),
                Write::Adopt(_) => self.keeper(of, Input::NotAdopted),
            }
            return;
        }
        match write {
            Write::Record(ticket, _) => self.mover(of, Moved::Persisted(ticket)),
            Write::Guard(ticket, _) => self.keeper(of, Input::Persisted(ticket)),
            Write::State(ticket, state) => {
                let ran = self.ran;
                for (event, epoch) in state.told.iter().rev() {
                    if self.saved.contains_key(&(*event, *epoch)) {
                        break;
                    }
                    self.saved.insert((*event, *epoch), ran);
                }
                self.home(of, home::Input::Persisted(ticket));
                self.keeper(of, Input::Saved(state.kept.saves));
            }
            Write::Stage(attempt, _) => self.mover(of, Moved::Stored(attempt, Ok(()))),
            Write::Checkpoint(pact, mark, _) => self.keeper(of, Input::Stored(pact, mark)),
            Write::Adopt(epoch) => self.keeper(of, Input::Adopted(epoch)),
        }
    }

    // --- checkpoints -----------------------------------------------------------------------------------------

    pub(crate) fn on_checkpoint(&mut self, of: usize, pact: u64, mark: Mark, base: Option<Mark>, state: State) {
        let Some(node) = &self.devices[of].node else { return };
        let duty = matches!(node.keeper.record().duty, Some(Duty::Granting { terms, .. }) if terms.pact == pact);
        let held = self.devices[of].disk.checkpoint.as_ref().map(|it| (it.0, it.1));
        if duty && held <= Some((pact, mark)) {
            if base.is_none_or(|base| held == Some((pact, base))) {
                self.begin_write(of, Write::Checkpoint(pact, mark, state));
            } else {
                self.keeper(of, standby::Input::Unfit(pact));
            }
        }
    }

    /// From here on, everything up to this mark has to be there forever.
    pub(crate) fn on_have(&mut self, of: usize, from: usize, pact: u64, mark: Mark) {
        let Some(node) = &self.devices[of].node else { return };
        let said = node.keeper.record().terms.is_some_and(|it| (it.standby, it.pact) == (id(from), pact));
        let Some((_, held, state)) = &self.devices[from].disk.checkpoint else { return };
        if said && *held == mark && state.told.len() > self.safe.len() && self.epoch_of(of) == Some(mark.epoch) {
            self.safe = state.told.clone();
        }
    }

    // --- the drivers -----------------------------------------------------------------------------------------

    pub(crate) fn mover(&mut self, of: usize, input: handover::Input) {
        self.keeper(of, standby::Input::Move(input));
    }

    pub(crate) fn keeper(&mut self, of: usize, input: standby::Input) {
        let now = self.clock(of);
        if let Some(node) = &mut self.devices[of].node {
            node.keeper.handle(now, input);
        }
        self.settle(of);
    }

    pub(crate) fn home(&mut self, of: usize, input: home::Input<u32>) {
        let now = self.clock(of);
        if let Some((_, home)) = self.devices[of].node.as_mut().and_then(|node| node.home.as_mut()) {
            home.handle(now, input);
        }
        self.settle(of);
    }

    /// Does what the machines of a device ask for.
    pub(crate) fn settle(&mut self, of: usize) {
        while let Some(output) = self.devices[of].node.as_mut().and_then(|node| node.keeper.poll_output()) {
            self.on_keeper(of, output);
        }
        loop {
            let Some(node) = &mut self.devices[of].node else { return };
            let Some((epoch, home)) = &mut node.home else { break };
            let epoch = *epoch;
            let Some(output) = home.poll_output() else { break };
            self.on_home(of, epoch, output);
        }
        if let Some(node) = &self.devices[of].node {
            let home = node.home.as_ref().and_then(|(_, home)| home.poll_timeout());
            if let Some(at) = [node.keeper.poll_timeout(), home].into_iter().flatten().min() {
                let (run, late) = (self.devices[of].run, self.until(of, at));
                self.later(late, Happening::Wake(of, run));
            }
        }
        self.check();
    }

    fn on_keeper(&mut self, of: usize, output: standby::Output) {
        use standby::{Input, Output};
        let run = self.devices[of].run;
        match output {
            Output::Move(output) => self.on_mover(of, output),
            Output::Send(to, message) => {
                let (_, message) = standby::Message::parse(&message.emit(INSTANCE).unwrap()).unwrap();
                self.over(of, place(to), Happening::Guard(place(to), of, message));
            }
            Output::Persist(ticket, record) => self.begin_write(of, Write::Guard(ticket, record)),
            Output::Stop => self.home(of, home::Input::Pause),
            Output::Halt => self.home(of, home::Input::Halt),
            Output::Start(epoch) => {
                let now = self.clock(of);
                let device = &mut self.devices[of];
                let Some(node) = &mut device.node else { return };
                node.pausing = None;
                if node.home.as_ref().is_some_and(|(since, _)| *since == epoch) {
                    return self.home(of, home::Input::Resume);
                }
                let State { told, kept } = device.disk.state.clone();
                assert!(told.starts_with(&self.safe), "what its standby had is lost");
                let saves = kept.saves;
                (node.told, node.saving) = (told, None);
                node.home = Some((epoch, Home::new(now, epoch, kept)));
                self.keeper(of, Input::Saved(saves));
            }
            Output::Checkpoint(to, pact, base) => {
                let device = &self.devices[of];
                let Some(Standing::Home { epoch }) = device.disk.record.as_ref().map(|it| &it.standing) else { return };
                let state = device.disk.state.clone();
                let mark = Mark { epoch: *epoch, saves: state.kept.saves };
                self.over(of, place(to), Happening::Checkpoint(place(to), pact, mark, base, state));
                if self.rng.chance(2) {
                    let late = self.rng.millis(1, 30);
                    self.later(late, Happening::Answer(of, run, Input::NotSent));
                }
            }
            Output::Consider(..) => {
                let verdict = if self.calm || self.rng.chance(95) { Ok(()) } else { Err(handover::Why::Full) };
                self.later(Duration::ZERO, Happening::Answer(of, run, Input::Considered(verdict)));
            }
            Output::Adopt(epoch) => self.begin_write(of, Write::Adopt(epoch)),
            Output::Forget => self.devices[of].disk.checkpoint = None,
            Output::Event(Event::TookOver { epoch, .. }) => {
                let ran = self.ran;
                self.took_over.entry(epoch).or_insert(ran);
            }
            Output::Event(_) => {}
        }
    }

    fn on_mover(&mut self, of: usize, output: handover::Output) {
        use handover::{Input, Output};
        let run = self.devices[of].run;
        let answer = |input| Happening::Answer(of, run, standby::Input::Move(input));
        match output {
            Output::Send(to, message) => {
                let (_, message) = Message::parse(&message.emit(INSTANCE).unwrap()).unwrap();
                self.over(of, place(to), Happening::Message(place(to), of, message));
            }
            Output::Persist(ticket, record) => self.begin_write(of, Write::Record(ticket, record)),
            Output::Consider(_, offer) => {
                let verdict = if self.calm || self.rng.chance(95) { Ok(()) } else { Err(handover::Why::Full) };
                self.later(Duration::ZERO, answer(Input::Considered(offer.attempt, verdict)));
            }
            Output::Copy(attempt, _) => {
                let late = self.rng.millis(10, 150);
                self.later(late, answer(Input::Copied(attempt, Ok(()))));
            }
            Output::Reserve(attempt, _) => {
                let verdict = if self.calm || self.rng.chance(95) { Ok(()) } else { Err(handover::Why::Failed) };
                let late = self.rng.millis(1, 20);
                self.later(late, answer(Input::Reserved(attempt, verdict)));
            }
            Output::SendRest(attempt, to) => {
                if let Some(node) = &mut self.devices[of].node {
                    node.pausing = Some((attempt, place(to)));
                }
            }
            Output::Remove => {
                if let Some(node) = &mut self.devices[of].node {
                    node.home = None;
                }
                self.devices[of].disk.state = State::default();
            }
            Output::Release(attempt) => _ = self.devices[of].disk.staged.remove(&attempt),
            Output::Event(handover::Event::Moved(..)) => self.moved += 1,
            Output::Event(handover::Event::Decided(..)) => self.decided += 1,
            Output::Start(_) | Output::Stop => panic!("seed: these are the keeper's"),
            Output::Event(_) => {}
        }
    }

    fn on_home(&mut self, of: usize, epoch: Epoch, output: home::Output<u32>) {
        use home::Output;
        let run = self.devices[of].run;
        let Some(node) = &mut self.devices[of].node else { return };
        match output {
            Output::Run(event) => {
                let late = self.rng.millis(0, 3);
                self.later(late, Happening::Handled(of, run, event));
            }
            Output::Persist(ticket, kept) => {
                // Said again, it is still the state of the first time.
                if node.saving.as_ref().is_none_or(|(of, _)| *of != ticket) {
                    node.saving = Some((ticket, node.told.clone()));
                }
                let told = node.saving.as_ref().map(|(_, told)| told.clone()).unwrap_or_default();
                self.begin_write(of, Write::State(ticket, State { told, kept }));
            }
            Output::Ack(origin) => {
                let late = self.rng.millis(1, 30);
                self.later(late, Happening::Ack(origin));
            }
            Output::Send(effect) => {
                // A stream: in order.
                let at = (self.now + self.rng.millis(1, 30)).max(self.lamp_line);
                self.lamp_line = at;
                if self.rng.chance(90) {
                    self.later(at.since(self.now), Happening::Lit(of, epoch, effect));
                }
            }
            Output::Paused(kept) => {
                let state = State { told: node.told.clone(), kept };
                if let Some((attempt, to)) = node.pausing.take() {
                    self.over(of, to, Happening::Rest(to, attempt, state));
                }
            }
            Output::Restore | Output::Poisoned(_) | Output::Refuse(..) => panic!("seed: {output:?} cannot come here"),
            Output::Stale(_) | Output::Busy(_) => {}
        }
    }
}
