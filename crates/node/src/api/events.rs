//! `GET /v1/events`: live changes.
//!
//! One task ([`Hub::run`]) makes the bodies, at most five times a second and only while somebody reads them, so the
//! cost does not grow with the number of readers. A reader gets the latest state of what differs from what it was
//! sent last: the slow miss states in between, never the last one.
//!
//! A reader may have the values of resources apart from the rest: with hundreds of resources that spares both sides
//! most of the bytes, since descriptions seldom change and values always do. What it was sent last is compared with
//! what is now, for each reader by itself.
//!
//! While there are readers, this device's own values are kept fresh, and the values of other devices are followed
//! ([`Followed`](crate::followed::Followed)).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use futures_util::{StreamExt, stream};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use tutti_control::{Resource, ResourceState};

use super::{apps, cores, device, error::ApiError, extract::Asked, leases, pairing, resources};
use crate::{node::Node, stop::Stop};

/// The least time between two states.
const COALESCE: Duration = Duration::from_millis(200);

/// How often what changes steadily (round-trip times, times left) is shown anew.
const REFRESH: Duration = Duration::from_secs(1);

/// For how long after the last reader values are still followed: readers come back.
const LINGER: Duration = Duration::from_secs(5);

/// The events, in the order in which a new reader gets them. Of [`RESOURCES`] and [`DESCRIBED`] it gets one.
const NAMES: [&str; 10] =
    ["group", "devices", "nearby", "resources", "resources", "leases", "pairing", "timeline", "cores", "apps"];

/// Resources whole.
const RESOURCES: usize = 3;

/// Resources without what is told apart.
const DESCRIBED: usize = 4;

/// What happened.
const TIMELINE: usize = 7;

/// The other cores.
const CORES: usize = 8;

/// Apps and their instances.
const APPS: usize = 9;

/// One state of everything, as it is sent.
#[derive(Default)]
struct Snapshot {
    serial: u64,
    bodies: [Arc<str>; NAMES.len()],
    /// What changes often of each resource, in the order of [`DESCRIBED`].
    values: Arc<Vec<ResourceState>>,
}

/// Where readers get the states from.
pub(crate) struct Hub {
    latest: watch::Sender<Arc<Snapshot>>,
    came: Notify,
}

impl Hub {
    pub(crate) fn new() -> Self {
        Self { latest: watch::Sender::new(Arc::default()), came: Notify::new() }
    }

    /// Makes states as long as there are readers, until the stop.
    pub(crate) async fn run(&self, node: &Arc<Node>, mut stop: Stop) {
        loop {
            tokio::select! {
                () = stop.requested() => return,
                () = self.came.notified() => {}
            }
            tokio::select! {
                () = stop.requested() => return,
                () = self.serve(node) => {}
            }
            node.followed.release();
        }
    }

    /// Makes states until nobody has read them for a while.
    async fn serve(&self, node: &Arc<Node>) {
        let (mut view, mut catalogue) = (node.fabric.view(), node.pool.catalogues());
        let (mut values, mut remote) = (node.locals.values(), node.followed.changes());
        let (mut leases, mut timeline) = (node.pool.lease_books(), node.timeline.changes());
        let mut changed = apps::changes(node);
        let mut last_read = Instant::now();
        loop {
            node.locals.look(LINGER);
            node.followed.follow_all(node);
            view.mark_unchanged();
            catalogue.mark_unchanged();
            values.mark_unchanged();
            leases.mark_unchanged();
            remote.mark_unchanged();
            timeline.mark_unchanged();
            changed.mark_unchanged();
            self.publish(node);
            tokio::time::sleep(COALESCE).await;
            tokio::select! {
                _ = view.changed() => {}
                _ = catalogue.changed() => {}
                _ = values.changed() => {}
                _ = remote.changed() => {}
                _ = leases.changed() => {}
                _ = timeline.changed() => {}
                _ = changed.changed() => {}
                () = self.came.notified() => {}
                () = tokio::time::sleep(REFRESH - COALESCE) => {}
            }
            if self.latest.receiver_count() > 0 {
                last_read = Instant::now();
            } else if last_read.elapsed() >= LINGER {
                return;
            }
        }
    }

    fn publish(&self, node: &Node) {
        let (view, now) = (node.view(), node.clock.now());
        let whole = resources::all(node);
        let resources = json(&whole);
        let (described, values) = split(whole);
        let fresh = [
            json(&device::group_info(&view)),
            json(&device::devices(node)),
            json(&device::nearby_devices(&view)),
            resources,
            json(&described),
            json(&leases::all(node)),
            json(&pairing::pairing_status(&view, now)),
            json(&node.timeline.all()),
            // While something is being done to a core, what was known before stands.
            cores::glance(node).map_or_else(|| self.latest.borrow().bodies[CORES].to_string(), |all| json(&all)),
            json(&apps::state(node)),
        ];
        self.latest.send_modify(|latest| {
            let bodies = std::array::from_fn(|at| {
                let (old, new) = (&latest.bodies[at], &fresh[at]);
                // What did not change stays the very same, by which readers know it.
                if **old == **new { old.clone() } else { Arc::from(new.as_str()) }
            });
            let values = if *latest.values == values { latest.values.clone() } else { Arc::new(values) };
            *latest = Arc::new(Snapshot { serial: latest.serial + 1, bodies, values });
        });
    }

    /// States from one made after now.
    fn subscribe(&self) -> (watch::Receiver<Arc<Snapshot>>, u64) {
        let reader = self.latest.subscribe();
        let serial = reader.borrow().serial;
        self.came.notify_one();
        (reader, serial)
    }
}

fn json(body: &impl serde::Serialize) -> String {
    // The bodies are plain structs and lists with text keys, which always serialise.
    serde_json::to_string(body).unwrap_or_default()
}

/// Takes apart what changes often of resources and what does not.
fn split(mut resources: Vec<Resource>) -> (Vec<Resource>, Vec<ResourceState>) {
    let state = |resource: &mut Resource| ResourceState {
        device: resource.device.clone(),
        name: resource.name.clone(),
        value: resource.value.take(),
        at: resource.at.take(),
        lease: resource.lease.take(),
    };
    let states = resources.iter_mut().map(state).collect();
    (resources, states)
}

/// What of `now` a reader does not have that was sent `before`. Both are in the order of resources.
fn news<'a>(before: &[ResourceState], now: &'a [ResourceState]) -> Vec<&'a ResourceState> {
    let is = |a: &ResourceState, b: &ResourceState| (&a.device, &a.name) == (&b.device, &b.name);
    let same_places = before.len() == now.len() && before.iter().zip(now).all(|(a, b)| is(a, b));
    if same_places {
        return before.iter().zip(now).filter(|(old, new)| old != new).map(|(_, new)| new).collect();
    }
    // Resources came or went.
    let known: BTreeMap<_, _> = before.iter().map(|one| ((&one.device, &one.name), one)).collect();
    now.iter().filter(|one| known.get(&(&one.device, &one.name)) != Some(one)).collect()
}

/// What a reader asked for, and was sent last.
#[derive(Default)]
struct Reader {
    apart: bool,
    timeline: bool,
    cores: bool,
    apps: bool,
    bodies: [Arc<str>; NAMES.len()],
    values: Arc<Vec<ResourceState>>,
}

impl Reader {
    fn asked(mut asked: Asked) -> Result<Self, ApiError> {
        let mut is = |name: &str, word: &str| match asked.take(name)? {
            None => Ok(false),
            Some(given) if given == word => Ok(true),
            Some(given) => Err(ApiError::bad_request(format!("`{name}` may be {word:?}, not {given:?}"))),
        };
        let (apart, timeline) = (is("values", "apart")?, is("timeline", "yes")?);
        let (cores, apps) = (is("cores", "yes")?, is("apps", "yes")?);
        asked.end()?;
        Ok(Self { apart, timeline, cores, apps, ..Self::default() })
    }

    /// The events that bring it from what it was sent to `state`.
    fn advance(&mut self, state: &Snapshot) -> Vec<axum::response::sse::Event> {
        let mut events = Vec::new();
        for (at, (name, body)) in NAMES.iter().zip(&state.bodies).enumerate() {
            let wanted = match at {
                RESOURCES => !self.apart,
                DESCRIBED => self.apart,
                TIMELINE => self.timeline,
                CORES => self.cores,
                APPS => self.apps,
                _ => true,
            };
            if wanted && !Arc::ptr_eq(body, &self.bodies[at]) && !body.is_empty() {
                events.push(axum::response::sse::Event::default().event(*name).data(&**body));
                self.bodies[at] = body.clone();
            }
        }
        if self.apart && !Arc::ptr_eq(&state.values, &self.values) {
            let news = news(&self.values, &state.values);
            if !news.is_empty() {
                events.push(axum::response::sse::Event::default().event("values").data(json(&news)));
            }
            self.values = state.values.clone();
        }
        events
    }
}

/// `GET /v1/events`
pub(super) async fn stream(State(node): State<Arc<Node>>, asked: Asked) -> Result<Response, ApiError> {
    let reader = Reader::asked(asked)?;
    let slot = node.streams.take()?;
    let (states, after) = node.hub.subscribe();
    let events = stream::unfold((states, after, reader), |(mut states, after, mut reader)| async move {
        let state = states.wait_for(|state| state.serial > after).await.ok().map(|state| Arc::clone(&state))?;
        let news = reader.advance(&state);
        Some((stream::iter(news), (states, state.serial, reader)))
    });
    Ok(slot.answer(events.flatten()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tutti_control::Value;

    fn state(name: &str, value: i64) -> ResourceState {
        let value = Some(Value::Int(value));
        ResourceState { device: "aa".into(), name: name.into(), value, at: Some(1), lease: None }
    }

    fn names(before: &[ResourceState], now: &[ResourceState]) -> Vec<String> {
        news(before, now).into_iter().map(|one| one.name.clone()).collect()
    }

    #[test]
    fn only_what_changed_is_news() {
        let before = [state("a", 1), state("b", 2), state("c", 3)];
        assert_eq!(names(&[], &before), ["a", "b", "c"]);
        assert!(names(&before, &before).is_empty());
        assert_eq!(names(&before, &[state("a", 1), state("b", 9), state("c", 3)]), ["b"]);
        assert_eq!(names(&before, &[state("b", 2), state("c", 3), state("d", 4)]), ["d"]);
        assert_eq!(names(&before, &[state("c", 4)]), ["c"]);
    }

    #[test]
    fn values_may_be_had_apart() {
        let mut apart = Reader { apart: true, ..Reader::default() };
        let mut snapshot = Snapshot { serial: 1, values: Arc::new(vec![state("a", 1)]), ..Snapshot::default() };
        snapshot.bodies[RESOURCES] = Arc::from("[1]");
        snapshot.bodies[DESCRIBED] = Arc::from("[2]");
        snapshot.bodies[TIMELINE] = Arc::from("[3]");
        assert_eq!(apart.advance(&snapshot).len(), 2, "resources and values");
        assert!(apart.advance(&snapshot).is_empty());
        snapshot.values = Arc::new(vec![state("a", 2)]);
        assert_eq!(apart.advance(&snapshot).len(), 1, "values alone");
        assert_eq!(
            Reader { timeline: true, ..Reader::default() }.advance(&snapshot).len(),
            2,
            "resources and timeline"
        );
        assert_eq!(Reader::default().advance(&snapshot).len(), 1, "as before there were these wishes");
    }
}
