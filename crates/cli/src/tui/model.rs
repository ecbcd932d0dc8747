//! What the live view shows: the pool as the events tell it, with the recent past of its values.

use std::collections::BTreeMap;

use tutti_control::{Device, Event, GroupInfo, NearbyDevice, Presence, Reading, Resource, Value};

use super::spark::History;

/// The most resources whose past is kept.
const MAX_HISTORIES: usize = 2048;

/// The pool as it is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pool {
    /// The devices of the group.
    pub(crate) devices: Vec<Device>,
    /// What they offer.
    pub(crate) resources: Vec<Resource>,
    /// Devices outside the group.
    pub(crate) nearby: Vec<NearbyDevice>,
    /// The group.
    pub(crate) group: Option<GroupInfo>,
    /// Why it is not up to date, if it is not.
    pub(crate) trouble: Option<String>,
    histories: BTreeMap<(String, String), History>,
}

impl Pool {
    /// Takes a change.
    pub(crate) fn apply(&mut self, event: Event) {
        self.trouble = None;
        match event {
            Event::Devices(devices) => self.devices = devices,
            Event::Nearby(nearby) => self.nearby = nearby,
            Event::Group(group) => self.group = Some(group),
            Event::Resources(resources) => self.replace(resources),
            _ => {}
        }
    }

    /// Takes a reading.
    pub(crate) fn reading(&mut self, reading: Reading) {
        let key = (reading.device, reading.name);
        let resource = self.resources.iter_mut().find(|one| (&one.device, &one.name) == (&key.0, &key.1));
        // Only of what is still there.
        if let Some(resource) = resource {
            remember(&mut self.histories, key, &reading.value);
            resource.value = Some(reading.value);
            resource.at = Some(reading.at);
        }
    }

    /// The recent past of a resource.
    pub(crate) fn line(&self, resource: &Resource, width: usize) -> String {
        let key = (resource.device.clone(), resource.name.clone());
        self.histories.get(&key).map_or_else(String::new, |history| history.line(width))
    }

    /// What to read next: what gives readings on devices that can be reached, at most `most`.
    pub(crate) fn to_read(&self, most: usize) -> Vec<(String, String)> {
        let wanted = |one: &&Resource| {
            one.online && one.readable && matches!(one.kind.as_str(), "sensor" | "actuator" | "input")
        };
        let key = |one: &Resource| (one.device.clone(), one.name.clone());
        self.resources.iter().filter(wanted).take(most).map(key).collect()
    }

    /// How many devices can be reached, this one included.
    pub(crate) fn online(&self) -> usize {
        self.devices.iter().filter(|device| device.presence != Presence::Offline).count()
    }

    fn replace(&mut self, mut resources: Vec<Resource>) {
        for fresh in &mut resources {
            let key = (fresh.device.clone(), fresh.name.clone());
            let known = self.resources.iter().find(|one| one.device == fresh.device && one.name == fresh.name);
            match (&fresh.value, known) {
                // A reading that was taken here may be newer than what came with the event.
                (_, Some(known)) if known.at > fresh.at => {
                    fresh.value = known.value.clone();
                    fresh.at = known.at;
                }
                (Some(value), known) if known.is_none_or(|known| known.at != fresh.at) => {
                    remember(&mut self.histories, key, value);
                }
                _ => {}
            }
        }
        self.resources = resources;
        if self.histories.len() > MAX_HISTORIES {
            let there: std::collections::BTreeSet<_> =
                self.resources.iter().map(|one| (one.device.as_str(), one.name.as_str())).collect();
            self.histories.retain(|(device, name), _| there.contains(&(device.as_str(), name.as_str())));
        }
    }
}

fn remember(histories: &mut BTreeMap<(String, String), History>, key: (String, String), value: &Value) {
    if let Some(value) = value.as_f64() {
        histories.entry(key).or_default().push(value);
    }
}
