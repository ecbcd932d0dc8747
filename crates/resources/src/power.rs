//! Batteries and mains: `battery-BAT0` in percent, its `-status` and `-power` in W, and `mains-AC` on or off.
//!
//! Source: Documentation/ABI/testing/sysfs-class-power: `capacity` in percent; `energy_*` in µWh, `charge_*` in µAh,
//! `power_now` in µW, `current_now` in µA (negative on some machines while discharging), `voltage_now` in µV; `online`
//! 0, 1 or 2. A battery with `scope` `Device` powers something else, such as a mouse.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tutti_model::{ResourceDescription, Value};

use crate::{
    driver::{Driver, DriverError},
    names::{name, unit, with, words},
    root::SysRoot,
};

const CLASS: &str = "/sys/class/power_supply";
/// Supplies that are offered; one more is left out.
const MAX_SUPPLIES: usize = 16;

pub(crate) fn discover(root: &SysRoot) -> Vec<Arc<dyn Driver>> {
    let supplies: Vec<(String, String)> = root
        .names(CLASS)
        .into_iter()
        .take(MAX_SUPPLIES)
        .filter_map(|supply| Some((root.attribute(format!("{CLASS}/{supply}/type")).ok()?, supply)))
        .collect();
    let has_mains = supplies.iter().any(|(kind, _)| kind == "Mains");
    let mut drivers: Vec<Arc<dyn Driver>> = Vec::new();
    for (kind, supply) in &supplies {
        let aspects: &[Aspect] = match kind.as_str() {
            "Battery" | "UPS" => &[Aspect::Capacity, Aspect::Status, Aspect::Power],
            "Mains" => &[Aspect::Online],
            // What charges a phone or a board; on a laptop each socket has one, and they say less than `Mains`.
            "USB" | "Wireless" if !has_mains => &[Aspect::Online],
            _ => &[],
        };
        let offered = aspects.iter().map(|aspect| Supply::new(root, supply, kind, *aspect));
        drivers.extend(offered.filter(Supply::is_there).map(|supply| Arc::new(supply) as Arc<dyn Driver>));
    }
    drivers
}

/// What is measured of a supply.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Aspect {
    Capacity,
    Status,
    Power,
    Online,
}

struct Supply {
    root: SysRoot,
    folder: String,
    origin: PathBuf,
    aspect: Aspect,
    description: ResourceDescription,
}

impl Supply {
    fn new(root: &SysRoot, supply: &str, kind: &str, aspect: Aspect) -> Self {
        let folder = format!("{CLASS}/{supply}");
        let what = if aspect == Aspect::Online { "mains" } else { "battery" };
        let lower = supply.to_lowercase();
        let own = lower.strip_prefix(what).unwrap_or(&lower).trim_matches(['-', '_']);
        let base = if own.is_empty() { what.to_owned() } else { format!("{what}-{own}") };
        let (suffix, of, quantity) = match aspect {
            Aspect::Capacity => ("", "%", "charge"),
            Aspect::Status => ("-status", "", "status"),
            Aspect::Power => ("-power", "W", "power"),
            Aspect::Online => ("", "", "online"),
        };
        let mut description = with(
            ResourceDescription::sensor(name(&format!("{base}{suffix}")), unit(of)),
            [("quantity", words(quantity)), ("type", words(kind))],
        );
        if let Some(model) = root.attribute(format!("{folder}/model_name")).ok().filter(|model| !model.is_empty()) {
            description = with(description, [("model", words(&model))]);
        }
        if root.attribute(format!("{folder}/scope")).is_ok_and(|scope| scope == "Device") {
            description = with(description, [("powers", words("accessory"))]);
        }
        Self { root: root.clone(), origin: PathBuf::from(&folder), folder, aspect, description }
    }

    fn is_there(&self) -> bool {
        let has = |attribute: &str| self.root.exists(self.path(attribute));
        match self.aspect {
            Aspect::Capacity => has("capacity") || has("energy_now") || has("charge_now"),
            Aspect::Status => has("status"),
            Aspect::Power => has("power_now") || (has("current_now") && has("voltage_now")),
            Aspect::Online => has("online"),
        }
    }

    fn path(&self, attribute: &str) -> String {
        format!("{}/{attribute}", self.folder)
    }

    /// A figure in millionths, as most of them are.
    fn micro(&self, attribute: &str) -> Result<f64, DriverError> {
        Ok(self.root.measure(self.path(attribute))? / 1e6)
    }

    fn capacity(&self) -> Result<f64, DriverError> {
        let from_gauge = self.root.measure(self.path("capacity"));
        for what in ["energy", "charge"] {
            if from_gauge.is_ok() {
                break;
            }
            let (now, full) = (self.micro(&format!("{what}_now")), self.micro(&format!("{what}_full")));
            if let (Ok(now), Ok(full)) = (now, full)
                && full > 0.0
            {
                return Ok((now / full * 100.0).clamp(0.0, 100.0));
            }
        }
        match from_gauge {
            // Some gauges give a little more than 100 right after charging.
            Ok(percent) => Ok(percent.clamp(0.0, 100.0)),
            Err(DriverError::Gone(path)) if self.root.exists(&self.folder) => Err(DriverError::Unavailable {
                path,
                why: "there is no gauge, and no charge to compute it from".into(),
            }),
            Err(error) => Err(error),
        }
    }

    fn power(&self) -> Result<f64, DriverError> {
        // Only the amount: whether it flows in or out, the status says; drivers disagree about the sign.
        match self.micro("power_now") {
            Ok(watts) => Ok(watts.abs()),
            Err(error) => match (self.micro("current_now"), self.micro("voltage_now")) {
                (Ok(amperes), Ok(volts)) => Ok((amperes * volts).abs()),
                _ => Err(error),
            },
        }
    }
}

impl Driver for Supply {
    fn description(&self) -> ResourceDescription {
        self.description.clone()
    }

    fn read(&self) -> Result<Value, DriverError> {
        match self.aspect {
            Aspect::Capacity => self.capacity().map(Value::Float),
            Aspect::Power => self.power().map(Value::Float),
            Aspect::Status => {
                let status = self.root.attribute(self.path("status"))?;
                match status.as_str() {
                    "Charging" | "Discharging" | "Full" | "Not charging" | "Unknown" => {
                        Ok(Value::Text(status.to_lowercase()))
                    }
                    _ => Err(DriverError::garbage(&self.root.locate(self.path("status")), status.as_bytes())),
                }
            }
            Aspect::Online => Ok(Value::Bool(self.root.number::<u8>(self.path("online"))? > 0)),
        }
    }

    fn refresh_every(&self) -> Option<Duration> {
        Some(Duration::from_secs(if matches!(self.aspect, Aspect::Status | Aspect::Online) { 2 } else { 10 }))
    }

    fn origin(&self) -> Option<&Path> {
        Some(&self.origin)
    }
}
