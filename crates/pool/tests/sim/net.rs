//! The network between the devices, and the trust group that spreads over it.

use std::collections::BTreeSet;

use bytes::Bytes;
use tutti_model::{DeviceId, ProtocolVersion, Role};
use tutti_pool::{Group, Input};

use super::{
    checks::Check,
    device::{Device, MS, SECOND, True, member},
    world::{Event, Link, World},
};

impl World {
    // --- the network -----------------------------------------------------------------------------------------

    pub fn index(&self, id: DeviceId) -> Option<usize> {
        self.devices.iter().position(|device| device.id == id)
    }

    pub fn link(&self, a: usize, b: usize) -> Option<&Link> {
        self.links.get(&(a.min(b), a.max(b)))
    }

    pub fn connected(&self, a: usize, b: usize) -> bool {
        self.link(a, b).is_some_and(|link| link.up)
    }

    pub fn delay(&mut self) -> True {
        match self.rng.below(100) {
            0 if !self.calm => self.rng.range(SECOND, 8 * SECOND),
            1..10 => self.rng.range(MS, 400 * MS),
            _ => self.rng.range(MS / 10, 20 * MS),
        }
    }

    pub fn lost(&mut self) -> bool {
        !self.calm && self.rng.chance(50)
    }

    pub fn notify(&mut self, from: usize, to: DeviceId, generation: u64, bytes: Bytes) {
        let there = self
            .index(to)
            .filter(|to| self.link(from, *to).is_some_and(|link| link.up && link.generation == generation));
        let Some(target) = there else {
            let delay = self.rng.range(MS, 50 * MS);
            self.after(delay, from, Event::NoticeDone { to, generation, sent: false });
            return;
        };
        let delay = self.delay();
        if self.lost() {
            // A peer of version 1 has no digests to make up for that: for it the session breaks, as the fabric's
            // sessions do when they lose something.
            if self.link(from, target).is_some_and(|link| link.version == ProtocolVersion::PREVIOUS) {
                self.break_link(from, target);
            }
        } else {
            self.after(delay, target, Event::Notice { from, bytes });
        }
        self.after(delay, from, Event::NoticeDone { to, generation, sent: true });
    }

    pub fn break_link(&mut self, a: usize, b: usize) {
        let Some(link) = self.links.get_mut(&(a.min(b), a.max(b))).filter(|link| link.up) else { return };
        link.up = false;
        let generation = link.generation;
        for (device, peer) in [(a, b), (b, a)] {
            let notices = self.rng.range(0, 3 * SECOND);
            self.after(notices, device, Event::Peer { peer, generation, up: false });
        }
    }

    /// Connects whoever can be: both run, nothing is between them, and each takes the other for a member.
    pub fn connect(&mut self) {
        let pairs: Vec<(usize, usize)> = self.links.keys().copied().collect();
        for (a, b) in pairs {
            let (left, right) = (&self.devices[a], &self.devices[b]);
            let friends = left.group.contains(right.id) && right.group.contains(left.id);
            let both_run = left.pool.is_some() && right.pool.is_some();
            let Some(link) = self.links.get_mut(&(a, b)) else { continue };
            let may = both_run && !link.blocked && friends;
            if link.up && !may {
                self.break_link(a, b);
            } else if !link.up && may {
                link.up = true;
                link.generation += 1;
                let generation = link.generation;
                for (device, peer) in [(a, b), (b, a)] {
                    let delay = self.rng.range(0, 200 * MS);
                    self.after(delay, device, Event::Peer { peer, generation, up: true });
                }
            }
        }
    }

    pub fn side(&mut self, device: usize, peer: usize, generation: u64, up: bool) -> Check {
        let seen = self.sides.entry((device, peer)).or_default();
        if up && generation > *seen {
            *seen = generation;
            let version = self.link(device, peer).map_or(ProtocolVersion::CURRENT, |link| link.version);
            self.give(device, Input::PeerUp { device: self.devices[peer].id, version, generation })?;
            if !self.link(device, peer).is_some_and(|link| link.up && link.generation == generation) {
                return self.give(device, Input::PeerDown { device: self.devices[peer].id });
            }
        } else if !up && generation == *seen {
            return self.give(device, Input::PeerDown { device: self.devices[peer].id });
        }
        Ok(())
    }

    // --- the group -------------------------------------------------------------------------------------------

    pub fn learn(&mut self, device: usize, version: usize) {
        if self.faults.secret_removals && version > 0 {
            return;
        }
        let members = &self.groups[version];
        let it = &mut self.devices[device];
        it.group_version = version;
        let known = |(id, role): (&DeviceId, &Role)| (*id, member(*role));
        it.group = Group {
            // Whoever was removed is alone.
            members: if members.contains_key(&it.id) {
                members.iter().map(known).collect()
            } else {
                [(it.id, member(Role::Owner))].into_iter().collect()
            },
        };
    }

    pub fn give_group(&mut self, device: usize) -> Check {
        let group = self.devices[device].group.clone();
        self.give(device, Input::Group(group))?;
        self.connect();
        Ok(())
    }

    /// News of the group spread over links, before anything else does.
    pub fn spread_group(&mut self) {
        let pairs: Vec<(usize, usize)> = self.links.iter().filter(|(_, link)| !link.blocked).map(|(p, _)| *p).collect();
        for (a, b) in pairs {
            let (va, vb) = (self.devices[a].group_version, self.devices[b].group_version);
            if va == vb || self.devices[a].pool.is_none() || self.devices[b].pool.is_none() {
                continue;
            }
            let behind = if va < vb { a } else { b };
            let delay = self.rng.range(0, 100 * MS);
            self.after(delay, behind, Event::Group(va.max(vb)));
        }
    }

    pub fn change_group(&mut self) {
        let Some(latest) = self.groups.last().cloned() else { return };
        let all: Vec<DeviceId> = self.devices.iter().map(|device| device.id).collect();
        let by = *self.rng.pick(&all[..2]);
        let who = *self.rng.pick(&all[1..]);
        let mut changed = latest.clone();
        if changed.remove(&who).is_none() {
            changed.insert(who, *self.rng.pick(&[Role::Member, Role::Owner, Role::Guest]));
            self.checks.count("devices paired again");
        } else if self.rng.chance(500) {
            changed.insert(who, *self.rng.pick(&[Role::Member, Role::Owner, Role::Guest]));
        } else if by == who || changed.len() < 2 {
            return;
        } else {
            self.checks.count("devices forgotten");
        }
        // Only who knows the latest group can change it: histories do not fork here; the fabric's do, and merge.
        let knows = |device: &&Device| device.id == by && device.group_version + 1 == self.groups.len();
        let Some(by) = self.devices.iter().find(knows).map(|device| device.index) else { return };
        if self.devices[by].pool.is_none() || !latest.contains_key(&self.devices[by].id) {
            return;
        }
        self.groups.push(changed);
        let version = self.groups.len() - 1;
        self.after(0, by, Event::Group(version));
    }

    pub fn members(&self) -> BTreeSet<DeviceId> {
        self.groups.last().map(|group| group.keys().copied().collect()).unwrap_or_default()
    }
}
