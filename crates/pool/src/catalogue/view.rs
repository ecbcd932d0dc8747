//! The catalogue as others see it: one value, replaced whole on every change.

use std::{collections::BTreeMap, sync::Arc};

use tutti_model::{DeviceId, Name, ResourceDescription, ResourceId, Role, SignedRecord, WallTime};

use super::{Key, Records};
use crate::group::Group;

/// Whether a device can be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Presence {
    /// It is this device.
    Myself,
    /// There is a session with it, or with its host.
    Online,
    /// It cannot be reached from here.
    Offline,
}

/// One device of the pool.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceEntry {
    /// Which.
    pub device: DeviceId,
    /// What it calls itself; until its record is known, what it was called when it joined.
    pub name: Name,
    /// Its role; none for a satellite.
    pub role: Option<Role>,
    /// Whether it can be used now.
    pub presence: Presence,
    /// For a satellite, the host that it is reached through.
    pub via: Option<DeviceId>,
    /// Its own description, if it is known.
    pub record: Option<Arc<SignedRecord>>,
    /// When this device learned that description, by its own calendar clock.
    pub learned: Option<WallTime>,
}

impl DeviceEntry {
    /// What it offers.
    pub fn resources(&self) -> &[ResourceDescription] {
        self.record.as_ref().map_or(&[], |record| &record.record().resources)
    }
}

/// One resource of the pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResourceEntry<'a> {
    /// Whose it is.
    pub device: &'a DeviceEntry,
    /// What it is.
    pub resource: &'a ResourceDescription,
}

impl ResourceEntry<'_> {
    /// Its id.
    pub fn id(&self) -> ResourceId {
        ResourceId { device: self.device.device, name: self.resource.name }
    }
}

/// All devices of the pool with what they offer, as this device knows them.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalogue {
    /// This device.
    pub me: DeviceId,
    /// Every member and satellite.
    pub devices: BTreeMap<DeviceId, DeviceEntry>,
}

impl Catalogue {
    pub(crate) fn new(me: DeviceId, group: &Group, records: &Records, online: impl Fn(DeviceId) -> bool) -> Self {
        let presence = |device| match device {
            device if device == me => Presence::Myself,
            device if online(device) => Presence::Online,
            _ => Presence::Offline,
        };
        let mut devices: BTreeMap<DeviceId, DeviceEntry> = group
            .members
            .iter()
            .map(|(&device, member)| {
                let entry = records.get(&Key::own(device));
                let entry = DeviceEntry {
                    device,
                    name: entry.map_or(member.name, |entry| entry.record.record().name),
                    role: Some(member.role),
                    presence: presence(device),
                    via: None,
                    record: entry.map(|entry| entry.record.clone()),
                    learned: entry.map(|entry| entry.learned),
                };
                (device, entry)
            })
            .collect();
        let satellites = records.iter().filter_map(|(key, entry)| Some((key.device, key.via?, entry)));
        for (device, host, entry) in satellites {
            if records.host_of(device) != Some(host) {
                continue;
            }
            // A satellite of this device's own is as present as its host's word says: it is here.
            let presence = if host == me { Presence::Online } else { presence(host) };
            let entry = DeviceEntry {
                device,
                name: entry.record.record().name,
                role: None,
                presence,
                via: Some(host),
                record: Some(entry.record.clone()),
                learned: Some(entry.learned),
            };
            devices.insert(device, entry);
        }
        Self { me, devices }
    }

    /// One device.
    pub fn device(&self, device: DeviceId) -> Option<&DeviceEntry> {
        self.devices.get(&device)
    }

    /// One resource.
    pub fn resource(&self, id: &ResourceId) -> Option<ResourceEntry<'_>> {
        let device = self.devices.get(&id.device)?;
        let resource = device.record.as_ref()?.record().resource(&id.name)?;
        Some(ResourceEntry { device, resource })
    }

    /// Every resource, by device and then in the order in which its device names them.
    pub fn resources(&self) -> impl Iterator<Item = ResourceEntry<'_>> {
        self.devices
            .values()
            .flat_map(|device| device.resources().iter().map(move |resource| ResourceEntry { device, resource }))
    }
}
