//! The pool in Prometheus' text format 0.0.4, from what the control API shows.
//!
//! Source of the format: Prometheus, "Exposition formats": label values escape `\`, `"` and line ends.

use std::fmt::Write;

use tutti_control::{Device, DeviceInfo, Lease, Presence, Resource, Traffic};

/// The media type.
pub const MEDIA: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the numbers are made of.
pub struct Facts<'a> {
    /// This device.
    pub device: &'a DeviceInfo,
    /// The devices of the group.
    pub devices: &'a [Device],
    /// What they offer.
    pub resources: &'a [Resource],
    /// The leases that this device holds.
    pub leases: &'a [Lease],
    /// Bytes of memory that this process has resident, where that is known.
    pub resident: Option<u64>,
}

/// The text.
pub fn render(facts: &Facts<'_>) -> String {
    let mut page = Page(String::new());
    let Facts { device, devices, resources, leases, resident } = facts;
    page.family("tutti_info", "gauge", "This device: always 1.");
    page.sample(
        "tutti_info",
        &[("id", &device.id), ("name", &device.name), ("version", &device.version), ("group", &device.group.id)],
        1.0,
    );
    page.family("tutti_uptime_seconds", "gauge", "How long this device has run.");
    page.sample("tutti_uptime_seconds", &[], device.uptime_ms as f64 / 1e3);
    page.family("tutti_group_members", "gauge", "Devices in the group.");
    page.sample("tutti_group_members", &[], f64::from(device.group.members));
    page.family("tutti_leases_held", "gauge", "Leases taken through this device's control API.");
    page.sample("tutti_leases_held", &[], leases.len() as f64);
    if let Some(bytes) = resident {
        page.family("process_resident_memory_bytes", "gauge", "Memory of the device's process.");
        page.sample("process_resident_memory_bytes", &[], *bytes as f64);
    }
    let mut each = |name, kind, help, value: &dyn Fn(&Device) -> Option<f64>| {
        page.family(name, kind, help);
        for one in *devices {
            if let Some(value) = value(one) {
                page.sample(name, &[("device", &one.name), ("id", &one.id)], value);
            }
        }
    };
    let traffic = |of: fn(Traffic) -> u64| move |one: &Device| one.traffic.map(|traffic| of(traffic) as f64);
    each("tutti_device_up", "gauge", "Whether a device of the group can be reached from here.", &|one| {
        Some(f64::from(u8::from(one.presence != Presence::Offline)))
    });
    each("tutti_device_round_trip_seconds", "gauge", "The round trip to a device.", &|one| {
        one.rtt_ms.map(|rtt| rtt / 1e3)
    });
    each(
        "tutti_device_sent_bytes_total",
        "counter",
        "Bytes on the network to a device since it was connected to.",
        &traffic(|traffic| traffic.sent),
    );
    each(
        "tutti_device_received_bytes_total",
        "counter",
        "Bytes on the network from a device since it was connected to.",
        &traffic(|traffic| traffic.received),
    );
    each("tutti_device_resources", "gauge", "Resources that a device offers.", &|one| Some(f64::from(one.resources)));
    page.family(
        "tutti_resource_value",
        "gauge",
        "The latest value seen of a resource, where it is a number or a switch.",
    );
    for one in *resources {
        if let Some(value) = one.value.as_ref().and_then(tutti_control::Value::as_f64) {
            let labels = [
                ("device", one.device_name.as_str()),
                ("id", &one.device),
                ("resource", &one.name),
                ("kind", &one.kind),
                ("unit", &one.unit),
            ];
            page.sample("tutti_resource_value", &labels, value);
        }
    }
    page.0
}

struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let _ = write!(self.0, "{}{label}=\"", if at == 0 { '{' } else { ',' });
            for c in text.chars() {
                match c {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    c => self.0.push(c),
                }
            }
            self.0.push('"');
        }
        let number = match value {
            value if value.is_nan() => "NaN".to_owned(),
            f64::INFINITY => "+Inf".to_owned(),
            f64::NEG_INFINITY => "-Inf".to_owned(),
            value => value.to_string(),
        };
        let _ = writeln!(self.0, "{} {number}", if labels.is_empty() { "" } else { "}" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn labels_are_escaped_and_numbers_written_as_the_format_says() {
        let mut page = Page(String::new());
        page.family("a", "gauge", "Help.");
        page.sample("a", &[("x", "q\"b\\n\nz"), ("y", "")], f64::NAN);
        page.sample("b", &[], 1.5);
        page.sample("b", &[], f64::NEG_INFINITY);
        let expected = "# HELP a Help.\n# TYPE a gauge\na{x=\"q\\\"b\\\\n\\nz\",y=\"\"} NaN\nb 1.5\nb -Inf\n";
        assert_eq!(page.0, expected);
    }

    proptest! {
        /// Whatever others call their things, a sample stays one line.
        #[test]
        fn a_sample_is_one_line(text in any::<String>(), value in any::<f64>()) {
            let mut page = Page(String::new());
            page.sample("name", &[("label", &text)], value);
            prop_assert_eq!(page.0.matches('\n').count(), 1);
            prop_assert!(page.0.ends_with('\n'));
        }
    }
}
