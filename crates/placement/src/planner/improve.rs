//! What a planner does about instances: the best device for each, and whether a move there is worth it.

use std::{cmp::Reverse, collections::BTreeMap};

use tutti_model::DeviceId;

use super::Planner;
use crate::{INERTIA, Move, Plan};

impl Planner {
    /// The best device for one more instance of an app, with its cost.
    pub(crate) fn best(&mut self, app: usize) -> Option<(u32, usize)> {
        if self.apps[app].heaps.is_none() {
            let mut lists: BTreeMap<u32, Vec<Reverse<(u32, usize)>>> = BTreeMap::new();
            for device in 0..self.devices.len() {
                if let Some((points, load)) = self.entry(app, device) {
                    lists.entry(points).or_default().push(Reverse((load, device)));
                }
            }
            self.apps[app].entries = lists.values().map(Vec::len).sum();
            self.apps[app].heaps = Some(lists.into_iter().map(|(points, list)| (points, list.into())).collect());
        }
        let mut heaps = self.apps[app].heaps.take()?;
        let mut best: Option<(u32, usize)> = None;
        for (&points, heap) in &mut heaps {
            if best.is_some_and(|(cost, _)| cost <= points) {
                break;
            }
            while let Some(&Reverse((load, device))) = heap.peek() {
                match self.entry(app, device) {
                    Some(now) if now == (points, load) => {
                        let cost = points + load;
                        best = best.filter(|(least, _)| *least <= cost).or(Some((cost, device)));
                        break;
                    }
                    // Its load has grown: it stands further down.
                    Some((same, now)) if same == points && now > load => {
                        self.worked(2);
                        heap.pop();
                        heap.push(Reverse((now, device)));
                    }
                    // Full, away, or under other points: if so, it stands there too.
                    _ => {
                        self.worked(1);
                        heap.pop();
                        self.apps[app].entries = self.apps[app].entries.saturating_sub(1);
                    }
                }
            }
        }
        self.apps[app].heaps = Some(heaps);
        best
    }

    /// First those that cannot stay, the largest first; then those that would gain; then those for which there was no room.
    pub(super) fn improve(&mut self, concerned: Vec<usize>) -> Plan {
        let known = |it: &usize| self.apps.get(self.instances[*it].app).is_some();
        let concerned: Vec<usize> = concerned.into_iter().filter(known).collect();
        let mut plan = Plan::default();
        let mut forced = Vec::new();
        for &instance in &concerned {
            if self.cost_at_home(instance).is_none() {
                forced.push((instance, self.homes[instance].map(|home| self.devices[home].device.id)));
                self.leave(instance);
            }
        }
        let size = |instance: usize| {
            let app = &self.apps[self.instances[instance].app].app;
            (Reverse(app.memory), Reverse(app.cpu), instance)
        };
        forced.sort_by_key(|(instance, _)| size(*instance));
        let waiting = self.house(forced, &mut plan);
        for instance in concerned {
            let Some(here) = self.cost_at_home(instance).filter(|_| self.instances[instance].pinned.is_none()) else {
                continue;
            };
            let Some((there, to)) = self.best(self.instances[instance].app) else { continue };
            if here > there.saturating_add(INERTIA) {
                let from = self.home(instance);
                self.leave(instance);
                self.settle(instance, to);
                plan.moves.push(Move { instance, from, to: self.devices[to].device.id, gain: Some(here - there) });
            }
        }
        // Whoever moved left room.
        plan.homeless = self.house(waiting, &mut plan).into_iter().map(|(instance, _)| instance).collect();
        plan.homeless.sort_unstable();
        plan
    }

    /// Finds a place for each of these, which came from somewhere or nowhere; gives back those for which there is none.
    fn house(&mut self, those: Vec<(usize, Option<DeviceId>)>, plan: &mut Plan) -> Vec<(usize, Option<DeviceId>)> {
        let mut left = Vec::new();
        for (instance, from) in those {
            match self.place_for(instance) {
                Some((_, to)) => {
                    self.settle(instance, to);
                    let from = from.or(self.instances[instance].home);
                    plan.moves.push(Move { instance, from, to: self.devices[to].device.id, gain: None });
                }
                None => left.push((instance, from)),
            }
        }
        left
    }

    fn place_for(&mut self, instance: usize) -> Option<(u32, usize)> {
        let app = self.instances[instance].app;
        let Some(pinned) = self.instances[instance].pinned else { return self.best(app) };
        let place = *self.places.get(&pinned)?;
        let (points, load) = self.entry(app, place)?;
        Some((points + load, place))
    }
}
