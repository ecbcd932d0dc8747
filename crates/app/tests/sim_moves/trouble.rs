//! What goes wrong, and how it is repaired.

use std::time::Duration;

use tutti_app::{
    handover::{self, Standing},
    standby::{Duty, Input, Keeper, Saved},
};

use crate::world::{DEVICES, Fault, Happening, INSTANCE, Node, SETTINGS, World, id, link};

impl World {
    pub(crate) fn start(&mut self, of: usize) {
        if self.devices[of].node.is_some() {
            return;
        }
        let now = self.clock(of);
        let fault = self.plan.fault;
        let device = &mut self.devices[of];
        device.run += 1;
        let mut guard = device.disk.guard;
        if let Some(guard) = &mut guard {
            guard.terms = guard.terms.filter(|_| fault != Some(Fault::ForgetsTerms));
            let forgets = fault == Some(Fault::ForgetsTheEnd) && matches!(guard.duty, Some(Duty::Over { .. }));
            guard.duty = guard.duty.filter(|_| !forgets);
        }
        let saved = Saved {
            standing: device.disk.record.clone(),
            guard,
            checkpoint: device.disk.checkpoint.as_ref().map(|(pact, mark, _)| (*pact, *mark)),
            saves: device.disk.state.kept.saves,
        };
        let keeper = Keeper::new(now, id(of), INSTANCE, u64::from(device.run), saved);
        device.node = Some(Node { keeper, home: None, told: vec![], saving: None, pausing: None, writing: vec![] });
        for other in (0..DEVICES).filter(|other| *other != of) {
            self.notice_soon(of, other);
        }
        self.settle(of);
    }

    pub(crate) fn kill(&mut self, of: usize) {
        let Some(node) = self.devices[of].node.take() else { return };
        // Of what was being written, the disk has as much as it got to.
        for write in node.writing {
            if self.rng.chance(50) {
                break;
            }
            self.write(of, &write);
        }
        for other in (0..DEVICES).filter(|other| *other != of) {
            self.notice_soon(of, other);
        }
        let back = self.rng.millis(100, 6000);
        self.later(back, Happening::Start(of));
    }

    pub(crate) fn cut(&mut self, a: usize, b: usize) {
        self.cut.insert(link(a, b));
        self.notice_soon(a, b);
        let back = self.rng.millis(100, 6000);
        self.later(back, Happening::Heal(a, b));
    }

    /// Both sides of a link learn, each when it will, whether there is a session now.
    pub(crate) fn notice_soon(&mut self, a: usize, b: usize) {
        let there = !self.cut.contains(&link(a, b)) && [a, b].iter().all(|it| self.devices[*it].node.is_some());
        for (of, other) in [(a, b), (b, a)] {
            let late = if there { self.rng.millis(1, 50) } else { self.rng.millis(1, 2200) };
            if there {
                // A new session: the old one, if it is not yet missed, ends first.
                self.later(late, Happening::Noticed(of, other, false));
            }
            self.later(late, Happening::Noticed(of, other, there));
        }
    }

    /// Everything is repaired, and stays so.
    pub(crate) fn heal(&mut self) {
        self.calm = true;
        self.cut.clear();
        (0..DEVICES).for_each(|of| self.start(of));
        for a in 0..DEVICES {
            (a + 1..DEVICES).for_each(|b| self.notice_soon(a, b));
        }
        // Sessions are there within 50 ms.
        self.run_until(self.now + Duration::from_millis(50) + Duration::from_secs(3));
    }

    /// The owner of the instance names standbys, changes them and takes them away, and clears copies that were given up.
    pub(crate) fn on_owner(&mut self) {
        if self.calm {
            return;
        }
        if let Some(of) = (0..DEVICES).find(|of| self.runs(*of)) {
            let to = (of + 1 + self.rng.below(DEVICES as u64 - 1) as usize) % DEVICES;
            let guarded = self.devices[of].node.as_ref().is_some_and(|node| node.keeper.record().terms.is_some());
            if !guarded || self.rng.chance(10) {
                self.keeper(of, Input::Guard(id(to), SETTINGS));
            } else if self.rng.chance(3) {
                self.keeper(of, Input::Unguard);
            }
        }
        for of in 0..DEVICES {
            let record = self.devices[of].disk.record.as_ref();
            if record.is_some_and(|it| matches!(it.standing, Standing::Stray { .. })) && self.rng.chance(50) {
                self.mover(of, handover::Input::Discard);
            }
        }
        let late = self.rng.millis(100, 400);
        self.later(late, Happening::Owner);
    }
}
