//! `GET /v1/doctor`: why do I see nobody, why does it not work?
//!
//! Each check says what was found and, unless all is well, what to do about it. What a check needs is collected
//! first ([`Facts`]), so that the verdicts are plain functions.

use std::{fs, net::IpAddr, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc};

use axum::{Json, extract::State};
use tutti_control::{Check, CheckState};
use tutti_fabric::{
    transport::ConnectError,
    view::{RemovedFrom, Trouble, View},
};
use tutti_model::{Name, WallTime};
use tutti_resources::{Unserved, Why, unserved};

use super::error::ApiError;
use crate::{discovery::Health, node::Node};

/// 2024-01-01: a clock before that was never set.
const CLOCK_SET: WallTime = WallTime::from_unix_millis(1_704_067_200_000);

const MIB: u64 = 1 << 20;

/// `GET /v1/doctor`
pub(super) async fn checks(State(node): State<Arc<Node>>) -> Result<Json<Vec<Check>>, ApiError> {
    let facts = tokio::task::spawn_blocking(move || Facts::collect(&node))
        .await
        .map_err(|_| ApiError::internal("the checks broke off"))?;
    Ok(Json(facts.verdicts()))
}

/// A device of the group that is not connected.
struct Missing {
    name: Name,
    trouble: Option<Trouble>,
    addresses: usize,
}

/// What the verdicts go by.
struct Facts {
    /// Addresses of interfaces that are up, without loopback: name and address.
    interfaces: Result<Vec<(String, IpAddr)>, String>,
    addresses: usize,
    discovery: Health,
    members: usize,
    missing: Vec<Missing>,
    nearby: usize,
    removed: Option<RemovedFrom>,
    wall: WallTime,
    state_folder: PathBuf,
    state_mode: Option<u32>,
    state_size: u64,
    disk_free: Option<u64>,
    shut_actuators: Vec<(Name, PathBuf)>,
    /// Hardware that is there and not offered.
    unserved: Vec<Unserved>,
    /// How many things the image carries, and what of it waits for what.
    carried: (usize, Vec<(String, String)>),
}

impl Facts {
    fn collect(node: &Node) -> Self {
        let view = node.view();
        let folder = node.state.folder().to_path_buf();
        Self {
            interfaces: interfaces(),
            addresses: node.transport.local_addrs().len(),
            discovery: node.discovery.borrow().clone(),
            members: view.group.members.len(),
            missing: missing(&view),
            nearby: view.nearby.len(),
            removed: view.removed.clone(),
            wall: node.clock.wall(),
            state_mode: fs::metadata(&folder).ok().map(|found| found.permissions().mode() & 0o777),
            state_size: fs::metadata(folder.join("state.redb")).map_or(0, |found| found.len()),
            disk_free: rustix::fs::statvfs(&folder).ok().map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize)),
            state_folder: folder,
            shut_actuators: node.locals.shut_actuators(),
            unserved: node.hardware.as_ref().map(unserved).unwrap_or_default(),
            carried: node.carried.read(),
        }
    }

    fn verdicts(&self) -> Vec<Check> {
        let mut checks = vec![self.interfaces(), self.port(), self.discovery(), self.group()];
        checks.extend(self.removed.as_ref().map(removed));
        checks.extend(self.missing.iter().map(unreachable));
        checks.extend([self.clock(), self.disk(), self.state()]);
        checks.extend(self.actuators());
        checks.extend(self.hardware());
        checks.extend(self.carried());
        checks
    }

    fn interfaces(&self) -> Check {
        match &self.interfaces {
            Err(why) => warn("interfaces", format!("they cannot be listed: {why}"), "allow this user to use netlink"),
            Ok(found) if found.is_empty() => warn(
                "interfaces",
                "no network interface is up; only devices on this machine can be reached".into(),
                "plug in a cable or join a wireless network; nothing needs to be restarted",
            ),
            Ok(found) => {
                let list: Vec<_> = found.iter().map(|(name, address)| format!("{name} {address}")).collect();
                ok("interfaces", list.join(", "))
            }
        }
    }

    fn port(&self) -> Check {
        match self.addresses {
            0 => fail("port", "no address is open for other devices".into(), "look into the log of this device"),
            count => ok("port", format!("other devices can dial {count} addresses")),
        }
    }

    fn discovery(&self) -> Check {
        match &self.discovery {
            None => warn(
                "discovery",
                "looking for devices on the local network is switched off".into(),
                "start without --no-mdns, or pair by ticket",
            ),
            Some(Err(why)) => warn(
                "discovery",
                format!("looking for devices on the local network fails: {why}"),
                "let UDP port 5353 and multicast through the firewall, or pair by ticket",
            ),
            Some(Ok(())) => {
                ok("discovery", "announcing this device and looking for others on the local network".into())
            }
        }
    }

    fn group(&self) -> Check {
        match (self.members, self.nearby) {
            (0 | 1, 0) => warn(
                "group",
                "this device is alone, and no other is in sight".into(),
                "start `tutti up` on another machine of the same network; if it is not seen within seconds, check \
                 that both are in one network segment and that their firewalls let UDP port 5353 and Tutti's own UDP \
                 port through, or pair by ticket",
            ),
            (0 | 1, nearby) => warn(
                "group",
                format!("this device is alone; {nearby} others are in sight"),
                "`tutti pair` on one device, `tutti pair NAME` on the other",
            ),
            (members, _) => {
                ok("group", format!("{members} devices, {} of the others reached", members - 1 - self.missing.len()))
            }
        }
    }

    fn clock(&self) -> Check {
        if self.wall < CLOCK_SET {
            return warn(
                "clock",
                "the machine's clock was never set; times that are shown are wrong, nothing else is".into(),
                "set it, or switch on time synchronisation (timedatectl set-ntp true)",
            );
        }
        ok("clock", "set".into())
    }

    fn disk(&self) -> Check {
        match self.disk_free {
            None => warn("disk", "how full it is cannot be found out".into(), "check the state folder's file system"),
            Some(free) if free < 8 * MIB => fail(
                "disk",
                format!("{} KiB are left for the state folder; changes cannot be saved", free / 1024),
                "make room: pairing, forgetting and leases need to be saved before they count",
            ),
            Some(free) if free < 100 * MIB => {
                warn("disk", format!("{} MiB are left for the state folder", free / MIB), "make room")
            }
            Some(free) => ok("disk", format!("{} MiB are free", free / MIB)),
        }
    }

    fn state(&self) -> Check {
        let folder = self.state_folder.display();
        match self.state_mode {
            Some(mode) if mode & 0o077 != 0 => {
                let advice = format!("chmod 700 {folder}");
                warn("state", format!("other users can look into {folder} (mode {mode:03o})"), &advice)
            }
            _ if self.state_size > 256 * MIB => warn(
                "state",
                format!("the database in {folder} has {} MiB, far more than it should", self.state_size / MIB),
                "keep a copy of the folder and report this",
            ),
            _ => ok("state", format!("{folder}, {} KiB", self.state_size / 1024)),
        }
    }

    fn actuators(&self) -> Option<Check> {
        let (name, path) = self.shut_actuators.first()?;
        Some(warn(
            "actuators",
            format!(
                "{} can be seen and not controlled: this user may not write {} ({name})",
                if self.shut_actuators.len() == 1 { "one".into() } else { self.shut_actuators.len().to_string() },
                path.display()
            ),
            "give this user's group write access by a udev rule",
        ))
    }
}

impl Facts {
    /// What the image carries and was not taken up, each with the reason.
    fn carried(&self) -> Option<Check> {
        let (count, waiting) = &self.carried;
        let lines: Vec<_> = waiting.iter().map(|(what, why)| format!("{what}: {why}")).collect();
        match (count, lines.is_empty()) {
            (0, true) => None,
            (_, true) => Some(ok("carried", "all that the image carries was taken up".into())),
            _ => {
                let advice = "what waits for an owner goes on by its word, the rest by itself once the reason is gone";
                Some(warn("carried", format!("what the image carries waits\n{}", lines.join("\n")), advice))
            }
        }
    }

    /// What is seen and not offered, each with the reason. Nobody has to do anything about it.
    fn hardware(&self) -> Option<Check> {
        let mut reasons: Vec<Why> = Vec::new();
        self.unserved.iter().for_each(|left| {
            if !reasons.contains(&left.why) {
                reasons.push(left.why);
            }
        });
        let lines = reasons.into_iter().map(|why| {
            let these: Vec<_> =
                self.unserved.iter().filter(|left| left.why == why).map(|left| left.what.as_str()).collect();
            format!("{}: {}", why.words(), these.join(", "))
        });
        let lines: Vec<_> = lines.collect();
        (!lines.is_empty()).then(|| ok("hardware", format!("seen and left alone\n{}", lines.join("\n"))))
    }
}

fn missing(view: &View) -> Vec<Missing> {
    let offline = view.peers.iter().filter(|(_, peer)| peer.session.is_none());
    offline
        .filter_map(|(id, peer)| {
            let name = view.group.members.get(id)?.name;
            Some(Missing { name, trouble: peer.trouble.clone(), addresses: peer.addrs.len() })
        })
        .collect()
}

fn removed(removed: &RemovedFrom) -> Check {
    let by = removed.by_name.map_or_else(|| removed.by.short().to_string(), |name| name.to_string());
    warn(
        "removed",
        format!("this device was removed from its group by {by} and is alone now"),
        "to come back, pair again",
    )
}

fn unreachable(device: &Missing) -> Check {
    let why = device.trouble.as_ref().map_or_else(|| "it was not reached yet".to_owned(), ToString::to_string);
    let advice = match &device.trouble {
        _ if device.addresses == 0 => "start it in the same network, so that it is discovered again",
        Some(Trouble::Dialling(ConnectError::NoAddress)) => {
            "start it in the same network, so that it is discovered again"
        }
        Some(Trouble::Dialling(ConnectError::TimedOut)) => "check that it runs, and that no firewall between drops UDP",
        Some(Trouble::Dialling(ConnectError::WrongKey)) => {
            "its address belongs to another device now; it will be found again once it announces itself"
        }
        Some(Trouble::Dialling(ConnectError::Refused(_))) => "look at `tutti doctor` there: it may have left the group",
        _ => "check that it runs and is in the same network",
    };
    warn("device", format!("{} cannot be reached: {why}", device.name), advice)
}

fn interfaces() -> Result<Vec<(String, IpAddr)>, String> {
    let found = if_addrs::get_if_addrs().map_err(|error| error.to_string())?;
    Ok(found.into_iter().filter(|found| !found.is_loopback()).map(|found| (found.name.clone(), found.ip())).collect())
}

fn ok(name: &str, what: String) -> Check {
    Check { name: name.into(), ok: CheckState::Ok, what, advice: None }
}

fn warn(name: &str, what: String, advice: &str) -> Check {
    Check { name: name.into(), ok: CheckState::Warn, what, advice: Some(advice.into()) }
}

fn fail(name: &str, what: String, advice: &str) -> Check {
    Check { ok: CheckState::Fail, ..warn(name, what, advice) }
}

#[cfg(test)]
mod tests {
    use tutti_model::DeviceId;

    use super::*;

    fn healthy() -> Facts {
        Facts {
            interfaces: Ok(vec![("eth0".into(), [10, 0, 0, 2].into())]),
            addresses: 2,
            discovery: Some(Ok(())),
            members: 3,
            missing: Vec::new(),
            nearby: 0,
            removed: None,
            wall: WallTime::from_unix_millis(1_800_000_000_000),
            state_folder: "/var/lib/tutti".into(),
            state_mode: Some(0o700),
            state_size: 1 << 20,
            disk_free: Some(1 << 30),
            shut_actuators: Vec::new(),
            unserved: Vec::new(),
            carried: (0, Vec::new()),
        }
    }

    /// The names of the checks that are not all right, with how bad they are.
    fn complaints(facts: &Facts) -> Vec<(String, CheckState)> {
        let verdicts = facts.verdicts();
        for check in &verdicts {
            assert_eq!(check.advice.is_some(), check.ok != CheckState::Ok, "{check:?}");
        }
        verdicts.into_iter().filter(|check| check.ok != CheckState::Ok).map(|check| (check.name, check.ok)).collect()
    }

    #[test]
    fn a_healthy_device_has_no_complaints() {
        assert_eq!(complaints(&healthy()), []);
    }

    #[test]
    fn what_is_left_alone_is_said_and_no_complaint() {
        let left = |what: &str, why| Unserved { what: what.into(), why };
        let facts = Facts { unserved: vec![left("Dummy", Why::Sound), left("keys", Why::Private)], ..healthy() };
        assert_eq!(complaints(&facts), []);
        let check = facts.verdicts().into_iter().find(|check| check.name == "hardware").unwrap();
        assert!(check.what.contains("sound is not offered yet: Dummy"), "{}", check.what);
        assert!(check.what.contains("stays on this machine: keys"), "{}", check.what);
    }

    #[test]
    fn each_trouble_is_named() {
        use CheckState::{Fail, Warn};
        let name = Name::new("attic").unwrap();
        let lost = |trouble| Missing { name, trouble, addresses: 1 };
        type Case = (&'static str, CheckState, fn(&mut Facts));
        let cases: [Case; 12] = [
            ("interfaces", Warn, |facts| facts.interfaces = Ok(Vec::new())),
            ("port", Fail, |facts| facts.addresses = 0),
            ("discovery", Warn, |facts| facts.discovery = None),
            ("discovery", Warn, |facts| facts.discovery = Some(Err("no multicast".into()))),
            ("group", Warn, |facts| facts.members = 1),
            ("removed", Warn, |facts| {
                let group = tutti_fabric::group::GroupId([0; 32]);
                facts.removed = Some(RemovedFrom { group, by: DeviceId::from_bytes([7; 32]), by_name: None });
            }),
            ("clock", Warn, |facts| facts.wall = WallTime::from_unix_millis(5)),
            ("disk", Warn, |facts| facts.disk_free = Some(50 << 20)),
            ("disk", Fail, |facts| facts.disk_free = Some(1 << 20)),
            ("carried", Warn, |facts| facts.carried = (2, vec![("the core m4".into(), "it does not start".into())])),
            ("state", Warn, |facts| facts.state_mode = Some(0o755)),
            ("actuators", Warn, |facts| {
                facts.shut_actuators = vec![(Name::new("led").unwrap(), "/sys/class/leds/x/brightness".into())];
            }),
        ];
        for (check, state, spoil) in cases {
            let mut facts = healthy();
            spoil(&mut facts);
            assert_eq!(complaints(&facts), [(check.to_owned(), state)]);
        }
        let mut facts = healthy();
        facts.missing = vec![
            lost(None),
            lost(Some(Trouble::Dialling(ConnectError::TimedOut))),
            lost(Some(Trouble::Session("it fell silent".into()))),
        ];
        facts.members = 4;
        assert_eq!(complaints(&facts), vec![("device".to_owned(), Warn); 3]);
        assert!(facts.verdicts().iter().any(|check| check.what.contains("attic cannot be reached: it did not answer")));
    }
}
