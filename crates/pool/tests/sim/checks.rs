//! What must hold at every instant and at the end. Knows nothing of how the devices are simulated: whoever drives
//! them, here or over the fabric's simulated network, reports what happens and gets a [`Violation`] back.

use std::collections::{BTreeMap, BTreeSet};

use tutti_model::{
    DeviceId, ResourceId,
    message::{LeaseMode, Token},
};
use tutti_pool::{Catalogue, HeldLease, Presence};

/// A promise that was broken, in words.
#[derive(Debug)]
pub struct Violation(pub String);

pub type Check = Result<(), Violation>;

/// Watches over all devices at once.
#[derive(Default)]
pub struct Checks {
    /// The highest token that anybody ever believed in, per exclusive resource.
    believed: BTreeMap<ResourceId, Token>,
    /// The highest token under which something was done, per exclusive resource.
    done: BTreeMap<ResourceId, Token>,
    /// How often what happened: a run in which nothing happens proves nothing.
    pub counts: BTreeMap<&'static str, u64>,
}

impl Checks {
    pub fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    /// What all devices believe to hold at this instant of true time.
    pub fn beliefs(&mut self, all: &[(DeviceId, Vec<HeldLease>)]) -> Check {
        let mut holders: BTreeMap<ResourceId, (DeviceId, Token)> = BTreeMap::new();
        for (device, held) in all {
            for held in held.iter().filter(|held| held.mode == LeaseMode::Exclusive) {
                let lease = held.lease;
                if let Some((other, token)) = holders.insert(lease.resource, (*device, lease.token)) {
                    return Err(Violation(format!(
                        "{} is held by {} ({token}) and by {} ({}) at once",
                        lease.resource,
                        other.short(),
                        device.short(),
                        lease.token
                    )));
                }
                let highest = self.believed.entry(lease.resource).or_default();
                if lease.token > *highest {
                    *highest = lease.token;
                    *self.counts.entry("exclusive leases held").or_default() += 1;
                }
            }
        }
        Ok(())
    }

    /// Something was done to an exclusive resource: the effect happened now.
    pub fn effect(&mut self, resource: ResourceId, token: Option<Token>) -> Check {
        let Some(token) = token else {
            return Err(Violation(format!("{resource} was changed without a lease")));
        };
        let latest = self.believed.get(&resource).copied().unwrap_or_default();
        let before = self.done.entry(resource).or_default();
        if token < latest || token < *before {
            return Err(Violation(format!(
                "{resource} was changed under {token} after {latest} was granted and {before} was used"
            )));
        }
        *before = token;
        self.count("effects under a lease");
        Ok(())
    }

    /// A resource's device begins or goes on to serve `from`, with the group as that device knows it.
    pub fn serves(&mut self, owner: DeviceId, from: DeviceId, members: &BTreeSet<DeviceId>) -> Check {
        if owner != from && !members.contains(&from) {
            return Err(Violation(format!("{} serves {}, which is forgotten", owner.short(), from.short())));
        }
        Ok(())
    }

    /// A device got a reading, with the group as that device knows it.
    pub fn reads(&mut self, reader: DeviceId, owner: DeviceId, members: &BTreeSet<DeviceId>) -> Check {
        if owner != reader && !members.contains(&owner) {
            return Err(Violation(format!("{} read {}, which is forgotten", reader.short(), owner.short())));
        }
        self.count("readings");
        Ok(())
    }
}

/// All of these views show the same devices with the same records, each of them online.
pub fn converged(members: &BTreeSet<DeviceId>, views: &[&Catalogue]) -> Check {
    type Shown = BTreeMap<DeviceId, (u64, Vec<u8>)>;
    let shown = |view: &Catalogue| -> Shown {
        let record = |entry: &tutti_pool::DeviceEntry| {
            let record = entry.record.as_ref()?;
            Some((entry.device, (record.record().seq, record.signed().unverified().to_vec())))
        };
        view.devices.values().filter_map(record).collect()
    };
    let Some(first) = views.first() else { return Ok(()) };
    let expected = shown(first);
    for view in views {
        let name = view.me.short();
        let devices: BTreeSet<DeviceId> = view.devices.keys().copied().collect();
        if devices != *members {
            return Err(Violation(format!("{name} lists {devices:?} and the members are {members:?}")));
        }
        let offline: Vec<_> = view.devices.values().filter(|entry| entry.presence == Presence::Offline).collect();
        if !offline.is_empty() {
            return Err(Violation(format!("{name} thinks that {offline:?} are offline")));
        }
        let mine = shown(view);
        if mine.len() != members.len() {
            return Err(Violation(format!("{name} lacks records: it has {:?}", mine.keys())));
        }
        if let Some(device) = members.iter().find(|device| mine.get(device) != expected.get(device)) {
            let seq = |shown: &Shown| shown.get(device).map(|(seq, _)| *seq);
            return Err(Violation(format!(
                "{name} and {} differ on {}: {:?} and {:?}",
                first.me.short(),
                device.short(),
                seq(&mine),
                seq(&expected)
            )));
        }
    }
    Ok(())
}
