//! The values of the last hour: a point for every ten seconds of each resource whose values are numbers or switches.
//!
//! This device's own resources are noted always (one reading each ten seconds costs next to nothing); those of others
//! while they are followed, which is while somebody looks at live values here. Nothing of it is on disk.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tutti_control::Point;
use tutti_model::{Reading, ResourceId};

use crate::{convert, lock::lock, node::Node, stop::Stop};

/// The time between two points.
pub(crate) const STEP: Duration = Duration::from_secs(10);

/// How far back the points go.
const SPAN: Duration = Duration::from_secs(3600);

/// The most resources of which there are points; of further ones there are none.
const MOST: usize = 512;

/// The points.
#[derive(Default)]
pub(crate) struct History {
    table: Mutex<BTreeMap<ResourceId, VecDeque<Point>>>,
}

impl History {
    /// Notes the latest values each [`STEP`], until the stop.
    pub(crate) async fn run(&self, node: &Node, mut stop: Stop) {
        let mut step = tokio::time::interval(STEP);
        step.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.requested() => return,
                _ = step.tick() => {}
            }
            // Values that are taken now are noted at the next step.
            node.locals.look(Duration::from_secs(1));
            let me = node.fabric.id();
            let now = node.clock.wall().as_unix_millis();
            let catalogue = node.catalogue();
            let latest = catalogue.resources().filter_map(|entry| {
                let id = entry.id();
                let reading = if id.device == me { node.locals.latest(&id.name) } else { node.followed.current(&id) };
                Some((id, reading?))
            });
            self.note(now, latest);
        }
    }

    /// Notes these values, and drops what is too old.
    fn note(&self, now: u64, latest: impl Iterator<Item = (ResourceId, Reading)>) {
        let span = convert::millis(SPAN);
        let mut table = self.table();
        for (resource, reading) in latest {
            let Some(value) = convert::value(&reading.value).as_f64().filter(|value| value.is_finite()) else {
                continue;
            };
            if table.len() >= MOST && !table.contains_key(&resource) {
                continue;
            }
            table.entry(resource).or_default().push_back(Point { at: now, value });
        }
        for points in table.values_mut() {
            // After the clock was set back, what seems to come from the future goes too.
            points.retain(|point| point.at <= now && now - point.at <= span);
        }
        table.retain(|_, points| !points.is_empty());
    }

    /// The points of a resource, the oldest first.
    pub(crate) fn of(&self, resource: &ResourceId) -> Vec<Point> {
        self.table().get(resource).map(|points| points.iter().copied().collect()).unwrap_or_default()
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<ResourceId, VecDeque<Point>>> {
        lock(&self.table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tutti_model::{DeviceId, Name, Value, WallTime};

    fn resource(number: u16) -> ResourceId {
        ResourceId { device: DeviceId::from_bytes([7; 32]), name: Name::new(&format!("r{number}")).unwrap() }
    }

    fn reading(value: Value, at: u64) -> Reading {
        Reading { value, at: WallTime::from_unix_millis(at) }
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let history = History::default();
        let step = convert::millis(STEP);
        for turn in 0..1000 {
            let now = 1_000_000 + turn * step;
            history.note(now, [(resource(1), reading(Value::Int(turn as i64), now))].into_iter());
        }
        let points = history.of(&resource(1));
        assert_eq!(points.len(), 361);
        assert_eq!(points.last().unwrap().value, 999.0);
        assert!(points.windows(2).all(|pair| pair[0].at < pair[1].at));
    }

    #[test]
    fn only_what_is_a_number_is_noted() {
        let history = History::default();
        let now = 5_000_000;
        let values = [
            (resource(1), reading(Value::Text("x".into()), now)),
            (resource(2), reading(Value::Float(f64::NAN), now)),
            (resource(3), reading(Value::Bool(true), now)),
        ];
        history.note(now, values.into_iter());
        let noted: Vec<_> = (1..=3).map(|number| history.of(&resource(number)).len()).collect();
        assert_eq!(noted, [0, 0, 1]);
    }

    #[test]
    fn the_number_of_resources_is_bounded() {
        let history = History::default();
        let many = (0..2000).map(|number| (resource(number), reading(Value::Int(1), 9_000_000)));
        history.note(9_000_000, many);
        assert_eq!(history.table().len(), MOST);
        history.note(1_000, std::iter::empty());
        assert!(history.table().is_empty(), "the clock was set back");
    }
}
