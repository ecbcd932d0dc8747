//! What a device's driver does: the disk, the app, the network.

use std::time::Duration;

use tutti_app::{
    handover::{self, Message, Standing},
    home::{self, Home},
    ids::Epoch,
};

use crate::world::{Happening, INSTANCE, State, World, Write, place};

impl World {
    pub(crate) fn write(&mut self, of: usize, write: &Write) {
        let disk = &mut self.devices[of].disk;
        match write.clone() {
            Write::Record(_, record) => {
                let was = disk.record.replace(record).map(|record| record.standing);
                if let (Some(Standing::Prepared { attempt, .. }), Some(Standing::Home { .. })) =
                    (was, disk.record.as_ref().map(|record| &record.standing))
                {
                    disk.state = disk.staged.remove(&attempt).expect("what was prepared is there");
                }
            }
            Write::State(_, state) => disk.state = state,
            Write::Stage(attempt, state) => _ = disk.staged.insert(attempt, state),
        }
    }

    pub(crate) fn begin_write(&mut self, of: usize, write: Write) {
        let Some(node) = &mut self.devices[of].node else { return };
        node.writing.push(write);
        let (run, late) = (self.devices[of].run, self.rng.millis(1, 15));
        self.later(late, Happening::Written(of, run));
    }

    pub(crate) fn written(&mut self, of: usize) {
        let Some(node) = &mut self.devices[of].node else { return };
        let write = node.writing.remove(0);
        self.write(of, &write);
        match write {
            Write::Record(ticket, _) => self.mover(of, handover::Input::Persisted(ticket)),
            Write::State(ticket, _) => self.home(of, home::Input::Persisted(ticket)),
            Write::Stage(attempt, _) => self.mover(of, handover::Input::Stored(attempt, Ok(()))),
        }
    }

    pub(crate) fn mover(&mut self, of: usize, input: handover::Input) {
        let now = self.now;
        if let Some(node) = &mut self.devices[of].node {
            node.mover.handle(now, input);
        }
        self.settle(of);
    }

    pub(crate) fn home(&mut self, of: usize, input: home::Input<u32>) {
        let now = self.now;
        if let Some((_, home)) = self.devices[of].node.as_mut().and_then(|node| node.home.as_mut()) {
            home.handle(now, input);
        }
        self.settle(of);
    }

    /// Does what the machines of a device ask for.
    pub(crate) fn settle(&mut self, of: usize) {
        while let Some(output) = self.devices[of].node.as_mut().and_then(|node| node.mover.poll_output()) {
            self.on_mover(of, output);
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
            if let Some(at) = [node.mover.poll_timeout(), home].into_iter().flatten().min() {
                let run = self.devices[of].run;
                self.later(at.since(self.now), Happening::Wake(of, run));
            }
        }
        self.check();
    }

    fn on_mover(&mut self, of: usize, output: handover::Output) {
        use handover::{Input, Output};
        let run = self.devices[of].run;
        match output {
            Output::Send(to, message) => {
                let (_, message) = Message::parse(&message.emit(INSTANCE).unwrap()).unwrap();
                self.over(of, place(to), Happening::Message(place(to), of, message));
            }
            Output::Persist(ticket, record) => self.begin_write(of, Write::Record(ticket, record)),
            Output::Consider(_, offer) => {
                let verdict = if self.calm || self.rng.chance(95) { Ok(()) } else { Err(handover::Why::Full) };
                self.later(Duration::ZERO, Happening::Answer(of, run, Input::Considered(offer.attempt, verdict)));
            }
            Output::Copy(attempt, _) => {
                let late = self.rng.millis(10, 150);
                self.later(late, Happening::Answer(of, run, Input::Copied(attempt, Ok(()))));
            }
            Output::Reserve(attempt, _) => {
                let verdict = if self.calm || self.rng.chance(95) { Ok(()) } else { Err(handover::Why::Failed) };
                let late = self.rng.millis(1, 20);
                self.later(late, Happening::Answer(of, run, Input::Reserved(attempt, verdict)));
            }
            Output::Stop => self.home(of, home::Input::Pause),
            Output::SendRest(attempt, to) => {
                if let Some(node) = &mut self.devices[of].node {
                    node.pausing = Some((attempt, place(to)));
                }
            }
            Output::Start(epoch) => {
                let (now, device) = (self.now, &mut self.devices[of]);
                let Some(node) = &mut device.node else { return };
                node.pausing = None;
                if node.home.as_ref().is_some_and(|(since, _)| *since == epoch) {
                    return self.home(of, home::Input::Resume);
                }
                node.told = device.disk.state.told.clone();
                node.home = Some((epoch, Home::new(now, epoch, device.disk.state.kept.clone())));
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
                let state = State { told: node.told.clone(), kept };
                self.begin_write(of, Write::State(ticket, state));
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
            Output::Restore | Output::Poisoned(_) | Output::Stale(_) | Output::Refuse(..) => {
                panic!("seed: {output:?} cannot come here")
            }
            Output::Busy(_) => {}
        }
    }
}
