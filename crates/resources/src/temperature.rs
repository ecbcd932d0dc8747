//! Temperatures of chips, in °C.
//!
//! A CPU temperature, if there is one, is always called `cpu-temperature`; that chip's other sensors are
//! `cpu-temperature-core-0` and so on; every other sensor is `temperature-CHIP-LABEL`.
//!
//! Sources: Documentation/hwmon/sysfs-interface.rst and Documentation/ABI/testing/sysfs-class-hwmon
//! (`tempN_input` in millidegrees, `tempN_label`, `tempN_fault`); Documentation/ABI/testing/sysfs-class-thermal
//! (`type`, `temp` in millidegrees). A thermal zone may also appear as a hwmon chip that has the zone's type as its
//! name with `_` for `-` and hangs below the zone (drivers/thermal/thermal_hwmon.c); such a zone is offered once.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tutti_model::{ResourceDescription, Value};

use crate::{
    driver::{Driver, DriverError},
    hwmon::{label, refuse_faulty},
    names::{name, natural_order, tell_apart, unit, with, words},
    root::SysRoot,
};

const HWMON: &str = "/sys/class/hwmon";
const THERMAL: &str = "/sys/class/thermal";
/// The name that whoever wants the temperature of the processor can rely on.
pub const CPU_TEMPERATURE: &str = "cpu-temperature";

pub(crate) fn discover(root: &SysRoot) -> Vec<Arc<dyn Driver>> {
    let chips = chips(root);
    let covered: BTreeSet<&str> = chips.iter().map(|chip| chip.name.as_str()).collect();
    let mut sensors: Vec<Sensor> = chips.iter().flat_map(|chip| hwmon_sensors(root, chip)).collect();
    sensors.extend(zones(root, &covered, &chips));
    // The lowest rank is the best claim to be the processor's temperature; the first of equals is it.
    let cpu = sensors
        .iter()
        .enumerate()
        .filter_map(|(index, sensor)| Some((cpu_rank(&sensor.chip, sensor.label.as_deref())?, index)))
        .min()
        .map(|(_, index)| index);
    sensors
        .into_iter()
        .enumerate()
        .map(|(index, sensor)| {
            let resource = if Some(index) == cpu { CPU_TEMPERATURE } else { &sensor.resource };
            let label = sensor.label.as_deref().unwrap_or("");
            let mut description = with(
                ResourceDescription::sensor(name(resource), unit("°C")),
                [("quantity", words("temperature")), ("chip", words(&sensor.chip))],
            );
            if !label.is_empty() {
                description = with(description, [("label", words(label))]);
            }
            Arc::new(Thermometer {
                root: root.clone(),
                description,
                origin: PathBuf::from(&sensor.input),
                input: sensor.input,
                fault: sensor.fault,
            }) as Arc<dyn Driver>
        })
        .collect()
}

/// One hwmon chip.
struct Chip {
    folder: String,
    name: String,
    /// Its device's name on its bus.
    device: Option<String>,
    /// What its sensors' names begin with.
    prefix: String,
}

/// One temperature that was found.
struct Sensor {
    resource: String,
    chip: String,
    label: Option<String>,
    input: String,
    fault: Option<String>,
}

/// The chips in the order of their places on their buses, which unlike the kernel's numbers is the same after a restart.
fn chips(root: &SysRoot) -> Vec<Chip> {
    let mut chips: Vec<Chip> = root
        .names(HWMON)
        .into_iter()
        .filter_map(|folder| {
            let folder = format!("{HWMON}/{folder}");
            let name = root.attribute(format!("{folder}/name")).ok().filter(|name| !name.is_empty())?;
            let device = root.link_name(format!("{folder}/device"));
            Some(Chip { folder, name, device, prefix: String::new() })
        })
        .collect();
    let place = |chip: &Chip| chip.device.clone().unwrap_or_default();
    chips.sort_by(|a, b| natural_order(&place(a), &place(b)));
    let found: Vec<_> = chips.iter().map(|chip| (chip.name.clone(), chip.device.clone())).collect();
    for (chip, distinct) in chips.iter_mut().zip(tell_apart(&found)) {
        chip.prefix = match distinct.strip_prefix(&chip.name) {
            Some(which) if is_cpu_chip(&chip.name) => format!("{CPU_TEMPERATURE}{which}"),
            _ => format!("temperature-{distinct}"),
        };
    }
    chips
}

fn hwmon_sensors(root: &SysRoot, chip: &Chip) -> Vec<Sensor> {
    let files = root.names(&chip.folder);
    let numbers: Vec<&str> = files
        .iter()
        .filter_map(|file| file.strip_prefix("temp")?.strip_suffix("_input"))
        .filter(|number| !number.is_empty() && number.len() < 6 && number.bytes().all(|b| b.is_ascii_digit()))
        .collect();
    numbers
        .iter()
        .map(|number| {
            let path = |what: &str| format!("{}/temp{number}_{what}", chip.folder);
            let (label, suffix) = label(root, &path("label"), number, numbers.len() > 1);
            Sensor {
                resource: format!("{}{suffix}", chip.prefix),
                chip: chip.name.clone(),
                label,
                input: path("input"),
                fault: files.contains(&format!("temp{number}_fault")).then(|| path("fault")),
            }
        })
        .collect()
}

fn zones(root: &SysRoot, covered: &BTreeSet<&str>, chips: &[Chip]) -> Vec<Sensor> {
    root.names(THERMAL)
        .into_iter()
        .filter(|zone| zone.starts_with("thermal_zone"))
        .filter_map(|zone| {
            let kind = root.attribute(format!("{THERMAL}/{zone}/type")).ok().filter(|kind| !kind.is_empty())?;
            let input = format!("{THERMAL}/{zone}/temp");
            // This one is a handle for firmware; its temperature is a constant (int3400_thermal.c).
            let made_up = kind == "INT3400 Thermal";
            let again = covered.contains(kind.replace('-', "_").as_str())
                || chips.iter().any(|chip| chip.device.as_deref() == Some(&zone))
                // The package sensor of Intel processors, which coretemp reads too.
                || (kind == "x86_pkg_temp" && covered.contains("coretemp"));
            (!again && !made_up && root.exists(&input)).then(|| Sensor {
                resource: format!("temperature-{kind}"),
                chip: kind,
                label: None,
                input,
                fault: None,
            })
        })
        .collect()
}

fn is_cpu_chip(chip: &str) -> bool {
    matches!(chip, "coretemp" | "k10temp" | "k8temp" | "zenpower" | "via_cputemp")
}

/// How good a claim a sensor has to be the processor's temperature; the lower the better.
fn cpu_rank(chip: &str, label: Option<&str>) -> Option<u8> {
    let label = label.unwrap_or("");
    if is_cpu_chip(chip) {
        // Tdie is the true temperature of AMD processors; Tctl may have an offset for the fan (hwmon/k10temp.rst).
        return Some(match label {
            "Tdie" => 0,
            _ if label.starts_with("Package id") || label.starts_with("Physical id") => 0,
            "Tctl" => 1,
            _ => 2,
        });
    }
    let chip = chip.replace('-', "_");
    if chip == "x86_pkg_temp" {
        Some(3)
    } else if chip.starts_with("cpu") {
        Some(4)
    } else if chip.starts_with("soc") {
        Some(5)
    } else if label.to_ascii_lowercase().starts_with("cpu") {
        Some(6)
    } else {
        None
    }
}

struct Thermometer {
    root: SysRoot,
    description: ResourceDescription,
    origin: PathBuf,
    input: String,
    fault: Option<String>,
}

impl Driver for Thermometer {
    fn description(&self) -> ResourceDescription {
        self.description.clone()
    }

    fn read(&self) -> Result<Value, DriverError> {
        refuse_faulty(&self.root, self.fault.as_deref(), self.input.as_ref())?;
        let millidegrees: i64 = self.root.number(&self.input)?;
        let degrees = millidegrees as f64 / 1000.0;
        // A thermal zone that has no temperature says -274 °C (THERMAL_TEMP_INVALID of linux/thermal.h).
        if !(-273.15..=2000.0).contains(&degrees) {
            let why = format!("it gives {degrees} °C, which means that it has no temperature now");
            return Err(DriverError::Unavailable { path: self.root.locate(&self.input), why });
        }
        Ok(Value::Float(degrees))
    }

    fn refresh_every(&self) -> Option<Duration> {
        Some(Duration::from_secs(2))
    }

    fn origin(&self) -> Option<&Path> {
        Some(&self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_claim_to_be_the_processor_wins() {
        let ranked = [
            ("k10temp", Some("Tdie")),
            ("k10temp", Some("Tctl")),
            ("coretemp", Some("Core 0")),
            ("x86_pkg_temp", None),
            ("cpu-thermal", None),
            ("soc_thermal", None),
            ("thinkpad", Some("CPU")),
        ];
        let ranks: Vec<_> = ranked.iter().map(|(chip, label)| cpu_rank(chip, *label).unwrap()).collect();
        assert!(ranks.is_sorted(), "{ranks:?}");
        assert_eq!(cpu_rank("acpitz", None), None, "the case, somewhere");
        assert_eq!(cpu_rank("nvme", Some("Composite")), None);
    }
}
