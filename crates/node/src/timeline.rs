//! What happened in the group since this device started, told from one state to the next.
//!
//! [`Timeline::observe`] compares the state that the control API shows with the one before; it has neither clock nor
//! task inside. It looks at most twice a second, and only when something changed.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tokio::sync::watch;
use tutti_control::{Device, Happening, Presence, Resource, Role, What};

use crate::{api, lock::lock, node::Node, stop::Stop};

/// How many are kept.
const MOST: usize = 500;

/// The least time between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// What happened.
pub(crate) struct Timeline {
    log: Mutex<Log>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Log {
    seen: Option<Seen>,
    happenings: VecDeque<Happening>,
    next: u64,
}

/// What of a state matters here.
#[derive(Default)]
struct Seen {
    devices: BTreeMap<String, SeenDevice>,
    resources: BTreeSet<(String, String)>,
    /// The holder of each leased resource.
    leases: BTreeMap<String, (String, String)>,
}

struct SeenDevice {
    name: String,
    online: bool,
    role: Option<Role>,
    trouble: Option<String>,
}

impl Timeline {
    pub(crate) fn new() -> Self {
        Self { log: Mutex::default(), changes: watch::Sender::new(0) }
    }

    /// Looks at every change, until the stop.
    pub(crate) async fn run(&self, node: &Node, mut stop: Stop) {
        let (mut view, mut catalogue) = (node.fabric.view(), node.pool.catalogues());
        let mut leases = node.pool.lease_books();
        loop {
            view.mark_unchanged();
            catalogue.mark_unchanged();
            leases.mark_unchanged();
            let now = node.clock.wall().as_unix_millis();
            self.observe(now, &api::devices(node), &api::resources(node));
            tokio::select! {
                () = stop.requested() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
            tokio::select! {
                () = stop.requested() => return,
                _ = view.changed() => {}
                _ = catalogue.changed() => {}
                _ = leases.changed() => {}
            }
        }
    }

    /// All that is kept, the oldest first.
    pub(crate) fn all(&self) -> Vec<Happening> {
        self.log().happenings.iter().cloned().collect()
    }

    /// Grows with everything that happens.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Notes what differs from the state before. The first state is where everything begins: nothing happened yet.
    fn observe(&self, now: u64, devices: &[Device], resources: &[Resource]) {
        let fresh = Seen::of(devices, resources);
        let mut log = self.log();
        let before = log.seen.replace(fresh);
        let (Some(before), Some(after)) = (before, &log.seen) else { return };
        let told = tell(&before, after);
        if told.is_empty() {
            return;
        }
        for (what, device, device_name, detail) in told {
            let number = log.next;
            log.next += 1;
            log.happenings.push_back(Happening { number, at: now, what, device, device_name, detail });
            if log.happenings.len() > MOST {
                log.happenings.pop_front();
            }
        }
        let next = log.next;
        drop(log);
        self.changes.send_replace(next);
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        lock(&self.log)
    }
}

impl Seen {
    fn of(devices: &[Device], resources: &[Resource]) -> Self {
        let device = |device: &Device| SeenDevice {
            name: device.name.clone(),
            online: device.presence != Presence::Offline,
            role: device.role,
            trouble: device.last_error.clone(),
        };
        let leases = resources.iter().filter_map(|resource| {
            let lease = resource.lease.as_ref()?;
            Some((resource.id.clone(), (lease.holder.clone(), lease.holder_name.clone())))
        });
        Self {
            devices: devices.iter().map(|one| (one.id.clone(), device(one))).collect(),
            resources: resources.iter().map(|one| (one.device.clone(), one.name.clone())).collect(),
            leases: leases.collect(),
        }
    }
}

type Told = (What, String, String, Option<String>);

fn tell(before: &Seen, after: &Seen) -> Vec<Told> {
    let mut told = Vec::new();
    for (id, device) in &after.devices {
        let mut tell = |what, detail| told.push((what, id.clone(), device.name.clone(), detail));
        let Some(old) = before.devices.get(id) else {
            tell(What::Joined, None);
            continue;
        };
        if old.name != device.name {
            tell(What::Renamed, Some(old.name.clone()));
        }
        if old.role != device.role
            && let Some(role) = device.role
        {
            tell(What::Role, Some(role.to_string()));
        }
        match (old.online, device.online) {
            (false, true) => tell(What::Online, None),
            (true, false) => tell(What::Offline, None),
            _ => {}
        }
        if device.trouble.is_some() && device.trouble != old.trouble {
            tell(What::Trouble, device.trouble.clone());
        }
    }
    for (id, device) in &before.devices {
        if !after.devices.contains_key(id) {
            told.push((What::Left, id.clone(), device.name.clone(), None));
        }
    }
    // Of a device that came or went, its resources are no news.
    let both = |id: &String| before.devices.contains_key(id) && after.devices.contains_key(id);
    let name = |seen: &Seen, id: &String| seen.devices.get(id).map(|device| device.name.clone()).unwrap_or_default();
    for (id, resource) in after.resources.difference(&before.resources).filter(|(id, _)| both(id)) {
        told.push((What::Offered, id.clone(), name(after, id), Some(resource.clone())));
    }
    for (id, resource) in before.resources.difference(&after.resources).filter(|(id, _)| both(id)) {
        told.push((What::Withdrawn, id.clone(), name(after, id), Some(resource.clone())));
    }
    for (resource, (holder, holder_name)) in &after.leases {
        if before.leases.get(resource).is_none_or(|(old, _)| old != holder) {
            told.push((What::Leased, holder.clone(), holder_name.clone(), Some(resource.clone())));
        }
    }
    for (resource, (holder, holder_name)) in &before.leases {
        if !after.leases.contains_key(resource) {
            told.push((What::Released, holder.clone(), holder_name.clone(), Some(resource.clone())));
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(id: &str, presence: Presence) -> Device {
        let json = serde_json::json!({
            "id": id, "name": format!("name-{id}"), "kind": "", "architecture": "", "os": "", "profile": "",
            "software": "", "role": "member", "presence": presence.word(), "resources": 0
        });
        serde_json::from_value(json).unwrap()
    }

    fn resource(device: &str, name: &str, holder: Option<&str>) -> Resource {
        let lease = holder.map(|holder| {
            serde_json::json!({"holder": holder, "holder_name": format!("name-{holder}"), "token": 1, "expires_in_ms": 9})
        });
        let json = serde_json::json!({
            "id": format!("{device}/{name}"), "device": device, "device_name": format!("name-{device}"), "name": name,
            "kind": "sensor", "unit": "", "access": {"read": "guests", "control": "members"}, "readable": true,
            "writable": false, "sharing": "shared", "simulated": false, "online": true, "lease": lease
        });
        serde_json::from_value(json).unwrap()
    }

    fn words(timeline: &Timeline) -> Vec<String> {
        let text = |one: Happening| format!("{} {} {}", one.what, one.device, one.detail.unwrap_or_default());
        timeline.all().into_iter().map(|one| text(one).trim_end().to_owned()).collect()
    }

    #[test]
    fn every_change_is_told_once() {
        let timeline = Timeline::new();
        let (a, b) = (device("a", Presence::Myself), device("b", Presence::Online));
        let lamp = resource("b", "lamp", None);
        timeline.observe(1, std::slice::from_ref(&a), &[]);
        assert!(words(&timeline).is_empty(), "the first state is the beginning");
        timeline.observe(2, &[a.clone(), b.clone()], std::slice::from_ref(&lamp));
        timeline.observe(3, &[a.clone(), b.clone()], &[resource("b", "lamp", Some("a"))]);
        timeline.observe(3, &[a.clone(), b.clone()], &[resource("b", "lamp", Some("a"))]);
        timeline.observe(4, &[a.clone(), b.clone()], &[resource("b", "door", None)]);
        let renamed = Device { name: "attic".into(), role: Some(Role::Owner), ..device("b", Presence::Offline) };
        let troubled = Device { last_error: Some("nobody answers".into()), ..renamed };
        timeline.observe(5, &[a.clone(), troubled], &[resource("b", "door", None)]);
        timeline.observe(6, &[a], &[]);
        let expected = [
            "joined b",
            "leased a b/lamp",
            "offered b door",
            "withdrawn b lamp",
            "released a b/lamp",
            "renamed b name-b",
            "role b owner",
            "offline b",
            "trouble b nobody answers",
            "left b",
        ];
        assert_eq!(words(&timeline), expected);
        assert!(timeline.all().iter().enumerate().all(|(at, one)| one.number == at as u64));
    }

    #[test]
    fn only_the_latest_are_kept() {
        let timeline = Timeline::new();
        for turn in 0..=2 * MOST as u64 {
            let presence = if turn % 2 == 0 { Presence::Online } else { Presence::Offline };
            timeline.observe(turn, &[device("b", presence)], &[]);
        }
        let all = timeline.all();
        assert_eq!((all.len(), all[0].number), (MOST, MOST as u64));
        assert_eq!(*timeline.changes().borrow(), 2 * MOST as u64);
    }
}
