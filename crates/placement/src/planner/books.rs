//! The books of a planner: what every change of a device or a home means for costs, loads and heaps.

use std::{cmp::Reverse, collections::BTreeSet};

use super::{NOWHERE, Planner, Wanted};
use crate::{App, Device};

impl Planner {
    /// Takes a device as it is now; its place and its site stay.
    pub(super) fn set(&mut self, place: usize, device: &Device) {
        let meets = |want: &Wanted| device.online && device.resources.iter().any(|it| it.meets(&want.sort));
        let meets: Vec<bool> = self.wanted.iter().map(meets).collect();
        let site = self.devices[place].site;
        let mut apps = BTreeSet::new();
        let mut renewed = BTreeSet::new();
        for (want, now) in meets.iter().enumerate() {
            if *now == self.devices[place].meets[want] {
                continue;
            }
            let wanted = &mut self.wanted[want];
            let before = (wanted.total, wanted.at_site[site]);
            if *now {
                wanted.total += 1;
                wanted.at_site[site] += 1;
            } else {
                wanted.total -= 1;
                wanted.at_site[site] -= 1;
            }
            if (before.1 == 0) != (wanted.at_site[site] == 0) {
                apps.extend(wanted.apps.iter().copied());
            }
            if (before.0 == 0) != (wanted.total == 0) {
                // The first or the last of its sort: all devices' points have changed.
                renewed.extend(wanted.apps.iter().copied());
            }
        }
        self.devices[place].device = device.clone();
        self.devices[place].meets = meets;
        renewed.iter().for_each(|app: &usize| self.apps[*app].heaps = None);
        let near = self.sites[site].clone();
        for app in &apps {
            near.iter().for_each(|other| self.enter(*app, *other));
        }
        self.refresh(place);
        self.weigh_load(place);
        let mut reweighed = self.devices[place].instances.clone();
        if !apps.is_empty() {
            let of_those = |it: &&usize| apps.contains(&self.instances[**it].app);
            let instances = near.iter().flat_map(|other| self.devices[*other].instances.iter().filter(of_those));
            reweighed.extend(instances.copied());
        }
        for app in renewed {
            reweighed.extend(self.apps[app].instances.iter().map(|(_, instance)| *instance));
        }
        reweighed.into_iter().for_each(|instance| self.weigh(instance));
    }

    /// Puts an instance where it belongs among those of its app.
    fn weigh(&mut self, instance: usize) {
        let app = self.instances[instance].app;
        let now = self.homes[instance].and_then(|home| self.points(app, home)).unwrap_or(NOWHERE);
        let before = std::mem::replace(&mut self.at_home[instance], now);
        if before != now {
            self.apps[app].instances.remove(&(before, instance));
            self.apps[app].instances.insert((now, instance));
            self.worked(1);
        }
    }

    /// Counts a device by what its load costs now.
    fn weigh_load(&mut self, device: usize) {
        let now = self.load(device, 0, 0).unwrap_or(0);
        let before = std::mem::replace(&mut self.devices[device].load, now);
        if before == now {
            return;
        }
        if let Some(count) = self.loads.get_mut(&before) {
            *count -= 1;
            if *count == 0 {
                self.loads.remove(&before);
            }
        }
        *self.loads.entry(now).or_default() += 1;
    }

    /// The place of a site, which is made if there is none.
    pub(super) fn site(&mut self, site: u32) -> usize {
        let places = self.sites.len();
        let place = *self.site_places.entry(site).or_insert(places);
        if place == places {
            self.sites.push(Vec::new());
            self.wanted.iter_mut().for_each(|wanted| wanted.at_site.push(0));
        }
        place
    }

    /// Makes sure that a device whose cost has become less stands in the heaps of all apps as it is.
    pub(super) fn refresh(&mut self, device: usize) {
        (0..self.apps.len()).for_each(|app| self.enter(app, device));
    }

    pub(super) fn enter(&mut self, app: usize, device: usize) {
        if self.apps[app].heaps.is_none() {
            return;
        }
        let entry = self.entry(app, device);
        // Heaps grow alike, and one that has grown too much is made anew when it is needed: not all at the same change.
        let limit = 4 * self.devices.len() + 64 + (app % 64) * self.devices.len() / 64;
        let state = &mut self.apps[app];
        if state.entries > limit {
            state.heaps = None;
        } else if let (Some((points, load)), Some(heaps)) = (entry, &mut state.heaps) {
            heaps.entry(points).or_default().push(Reverse((load, device)));
            state.entries += 1;
            self.worked(1);
        }
    }

    pub(super) fn entry(&self, app: usize, device: usize) -> Option<(u32, u32)> {
        let App { memory, cpu, .. } = self.apps[app].app;
        Some((self.points(app, device)?, self.load(device, memory, cpu)?))
    }

    pub(super) fn settle(&mut self, instance: usize, device: usize) {
        let App { memory, cpu, .. } = self.apps[self.instances[instance].app].app;
        let state = &mut self.devices[device];
        state.memory_used = state.memory_used.saturating_add(memory);
        state.cpu_used = state.cpu_used.saturating_add(cpu);
        state.instances.insert(instance);
        self.homes[instance] = Some(device);
        self.weigh(instance);
        self.weigh_load(device);
    }

    pub(super) fn leave(&mut self, instance: usize) {
        let Some(device) = self.homes[instance].take() else { return };
        let App { memory, cpu, .. } = self.apps[self.instances[instance].app].app;
        let state = &mut self.devices[device];
        state.memory_used = state.memory_used.saturating_sub(memory);
        state.cpu_used = state.cpu_used.saturating_sub(cpu);
        state.instances.remove(&instance);
        self.weigh(instance);
        self.weigh_load(device);
        self.refresh(device);
    }
}
