//! `GET /v1/events`: live changes.
//!
//! One task ([`Hub::run`]) makes the bodies, at most five times a second and only while somebody reads them, so the
//! cost does not grow with the number of readers. A reader gets the latest state of what differs from what it was
//! sent last: the slow miss states in between, never the last one.
//!
//! While there are readers, this device's own values are kept fresh, and the values of other devices are followed
//! ([`Followed`](crate::followed::Followed)).

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use futures_util::{StreamExt, stream};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};

use super::{device, error::ApiError, leases, pairing, resources};
use crate::{node::Node, stop::Stop};

/// The least time between two states.
const COALESCE: Duration = Duration::from_millis(200);

/// How often what changes steadily (round-trip times, times left) is shown anew.
const REFRESH: Duration = Duration::from_secs(1);

/// For how long after the last reader values are still followed: readers come back.
const LINGER: Duration = Duration::from_secs(5);

/// The events, in the order in which a new reader gets them.
const NAMES: [&str; 6] = ["group", "devices", "nearby", "resources", "leases", "pairing"];

/// One state of everything, as it is sent.
#[derive(Default)]
struct Snapshot {
    serial: u64,
    bodies: [Arc<str>; NAMES.len()],
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
        let mut leases = node.pool.lease_books();
        let mut last_read = Instant::now();
        loop {
            node.locals.look(LINGER);
            node.followed.follow_all(node);
            view.mark_unchanged();
            catalogue.mark_unchanged();
            values.mark_unchanged();
            leases.mark_unchanged();
            remote.mark_unchanged();
            self.publish(node);
            tokio::time::sleep(COALESCE).await;
            tokio::select! {
                _ = view.changed() => {}
                _ = catalogue.changed() => {}
                _ = values.changed() => {}
                _ = remote.changed() => {}
                _ = leases.changed() => {}
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
        let fresh = [
            json(&device::group_info(&view)),
            json(&device::devices(node)),
            json(&device::nearby_devices(&view)),
            json(&resources::all(node)),
            json(&leases::all(node)),
            json(&pairing::pairing_status(&view, now)),
        ];
        self.latest.send_modify(|latest| {
            let bodies = std::array::from_fn(|at| {
                let (old, new) = (&latest.bodies[at], &fresh[at]);
                // What did not change stays the very same, by which readers know it.
                if **old == **new { old.clone() } else { Arc::from(new.as_str()) }
            });
            *latest = Arc::new(Snapshot { serial: latest.serial + 1, bodies });
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

/// `GET /v1/events`
pub(super) async fn stream(State(node): State<Arc<Node>>) -> Result<Response, ApiError> {
    let slot = node.streams.take()?;
    let (reader, after) = node.hub.subscribe();
    let sent: [Arc<str>; NAMES.len()] = Default::default();
    let events = stream::unfold((reader, after, sent), |(mut reader, after, mut sent)| async move {
        let state = reader.wait_for(|state| state.serial > after).await.ok().map(|state| Arc::clone(&state))?;
        let mut news = Vec::new();
        for ((name, body), sent) in NAMES.iter().zip(&state.bodies).zip(&mut sent) {
            if !Arc::ptr_eq(body, sent) && !body.is_empty() {
                news.push(axum::response::sse::Event::default().event(*name).data(&**body));
                *sent = body.clone();
            }
        }
        let after = state.serial;
        Some((stream::iter(news), (reader, after, sent)))
    });
    Ok(slot.answer(events.flatten()))
}
