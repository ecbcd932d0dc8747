//! What the network interfaces carry: `net-eth0-received` and `net-eth0-sent`, in bytes per second.
//!
//! Offered are the interfaces that stand on a device. Where there are none (a container), those that stand on nothing
//! are offered instead, but never the loopback interface.
//!
//! Sources: proc_pid_net(5) for the columns of `/proc/net/dev`, which is read rather than sysfs because it is always
//! that of the network namespace this program runs in; Documentation/ABI/testing/sysfs-class-net for `device`,
//! `speed` (Mbit/s) and `type`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tutti_model::{ResourceDescription, Value};

use crate::{
    driver::{Driver, DriverError},
    names::{name, unit, with, words},
    rate::Meter,
    root::SysRoot,
};

const DEV: &str = "/proc/net/dev";
const CLASS: &str = "/sys/class/net";
const MAX_DEV: usize = 1 << 20;
/// Interfaces that are offered; one more is left out.
const MAX_INTERFACES: usize = 16;

pub(crate) fn discover(root: &SysRoot) -> Vec<Arc<dyn Driver>> {
    let interfaces = root.text(DEV, MAX_DEV).map(|text| parse_dev(&text)).unwrap_or_default();
    let candidates: Vec<&Traffic> = interfaces.iter().filter(|traffic| traffic.interface != "lo").collect();
    let (physical, other): (Vec<&Traffic>, Vec<&Traffic>) =
        candidates.into_iter().partition(|traffic| root.exists(format!("{CLASS}/{}/device", traffic.interface)));
    let offered = if physical.is_empty() { other } else { physical };
    offered
        .into_iter()
        .take(MAX_INTERFACES)
        .flat_map(|traffic| {
            [false, true].map(|sent| Arc::new(NetworkRate::new(root, traffic, sent)) as Arc<dyn Driver>)
        })
        .collect()
}

/// What an interface carried since it came up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Its name.
    pub interface: String,
    /// Bytes received.
    pub received: u64,
    /// Bytes sent.
    pub sent: u64,
}

/// Reads `/proc/net/dev`; its two heading lines and lines that are cut off are left out.
pub fn parse_dev(text: &str) -> Vec<Traffic> {
    text.lines()
        .filter_map(|line| {
            // The last colon: an alias such as `eth0:1` has one in its name.
            let (interface, counters) = line.rsplit_once(':')?;
            let counters: Vec<u64> =
                counters.split_ascii_whitespace().map_while(|counter| counter.parse().ok()).collect();
            let interface = interface.trim();
            let fits = !interface.is_empty() && !interface.contains('/') && !interface.starts_with('.');
            fits.then_some(Traffic {
                interface: interface.to_owned(),
                received: *counters.first()?,
                sent: *counters.get(8)?,
            })
        })
        .collect()
}

struct NetworkRate {
    root: SysRoot,
    interface: String,
    origin: PathBuf,
    sent: bool,
    description: ResourceDescription,
    meter: Meter<1>,
}

impl NetworkRate {
    fn new(root: &SysRoot, traffic: &Traffic, sent: bool) -> Self {
        let interface = traffic.interface.clone();
        let direction = if sent { "sent" } else { "received" };
        let folder = format!("{CLASS}/{interface}");
        let medium = if root.exists(format!("{folder}/wireless")) || root.exists(format!("{folder}/phy80211")) {
            "wireless"
        } else {
            "wired"
        };
        let mut description = with(
            ResourceDescription::sensor(name(&format!("net-{interface}-{direction}")), unit("B/s")),
            [("quantity", words("network-rate")), ("interface", words(&interface))],
        );
        if root.exists(format!("{folder}/device")) {
            description = with(description, [("medium", words(medium))]);
        }
        let start = if sent { traffic.sent } else { traffic.received };
        Self {
            root: root.clone(),
            origin: PathBuf::from(folder),
            interface,
            sent,
            description,
            meter: Meter::new(Some([start])),
        }
    }

    fn bytes(&self) -> Result<[u64; 1], DriverError> {
        let text = self.root.text(DEV, MAX_DEV)?;
        match parse_dev(&text).into_iter().find(|traffic| traffic.interface == self.interface) {
            Some(traffic) => Ok([if self.sent { traffic.sent } else { traffic.received }]),
            None => Err(DriverError::Gone(self.root.locate(&self.origin))),
        }
    }
}

impl Driver for NetworkRate {
    fn description(&self) -> ResourceDescription {
        self.description.clone()
    }

    fn read(&self) -> Result<Value, DriverError> {
        let ([bytes], over) = self.meter.growth(|| self.bytes())?;
        Ok(Value::Float(bytes as f64 / over.as_secs_f64()))
    }

    fn refresh_every(&self) -> Option<Duration> {
        Some(Duration::from_secs(1))
    }

    fn origin(&self) -> Option<&Path> {
        Some(&self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn headings_and_odd_names_are_handled() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes    packets errs|bytes\n\
                    \x20   lo:    3193      29    0    0    0     0          0         0     3193      29    0 0 0 0 0 0\n\
                    eth0:1:100 1 0 0 0 0 0 0 200 1 0 0 0 0 0 0\n  cut: 1 2 3\n ../x: 1 0 0 0 0 0 0 0 2 0\n";
        let found: Vec<_> = parse_dev(text).into_iter().map(|t| (t.interface, t.received, t.sent)).collect();
        assert_eq!(found, [("lo".to_owned(), 3193, 3193), ("eth0:1".to_owned(), 100, 200)]);
    }

    proptest! {
        #[test]
        fn what_the_kernel_prints_is_read(
            interfaces in prop::collection::vec(("[a-z][a-z0-9.-]{0,14}", prop::array::uniform16(any::<u64>())), 0..8)
        ) {
            let mut text = "Inter-| Receive\n face |bytes\n".to_owned();
            for (name, counters) in &interfaces {
                let counters: Vec<_> = counters.iter().map(|counter| format!("{counter:>7}")).collect();
                text += &format!("{name:>6}: {}\n", counters.join(" "));
            }
            let wanted: Vec<_> = interfaces
                .iter()
                .map(|(name, counters)| Traffic { interface: name.clone(), received: counters[0], sent: counters[8] })
                .collect();
            prop_assert_eq!(parse_dev(&text), wanted);
        }

        #[test]
        fn anything_is_survived(text in "([a-z:|/.]{0,8}[0-9 ]{0,60}\n?){0,5}") {
            parse_dev(&text);
        }
    }
}
