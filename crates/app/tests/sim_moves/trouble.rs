//! What goes wrong, and how it is repaired.

use std::time::Duration;

use tutti_app::handover::HandOver;

use crate::world::{DEVICES, Happening, INSTANCE, Node, World, id, link};

impl World {
    pub(crate) fn start(&mut self, of: usize) {
        if self.devices[of].node.is_some() {
            return;
        }
        let device = &mut self.devices[of];
        device.run += 1;
        let mover = HandOver::new(self.now, id(of), INSTANCE, device.disk.record.clone());
        device.node = Some(Node { mover, home: None, told: vec![], pausing: None, writing: vec![] });
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
}
