//! Backlights of screens as actuators: `backlight-NAME`, 0 to 100 %.
//!
//! Source: Documentation/ABI/stable/sysfs-class-backlight: `brightness` from 0 to `max_brightness`;
//! `actual_brightness` is what the hardware does.
//!
//! Whatever is asked for between 0 and 1 % gives 1 %, so that dimming never makes a screen unreadable; 0 itself is
//! somebody's explicit wish and is passed on (on many panels it turns the light off). Releasing changes nothing.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tutti_model::{ResourceDescription, Value};

use crate::{
    driver::{Driver, DriverError},
    level,
    names::{count, name, unit, with, words},
    root::SysRoot,
    signal::Signal,
};

const CLASS: &str = "/sys/class/backlight";
/// Backlights that are offered; one more is left out.
const MAX_BACKLIGHTS: usize = 8;

const ADVICE: &str = "run it as root, or let a group write it by a udev rule such as SUBSYSTEM==\"backlight\", \
     ACTION==\"add\", RUN+=\"/bin/chgrp video /sys%p/brightness\", RUN+=\"/bin/chmod g+w /sys%p/brightness\", and \
     add its user to that group";

pub(crate) fn discover(root: &SysRoot) -> Vec<Arc<dyn Driver>> {
    root.names(CLASS)
        .into_iter()
        .take(MAX_BACKLIGHTS)
        .filter_map(|light| {
            let folder = format!("{CLASS}/{light}");
            let max = root.number(format!("{folder}/max_brightness")).ok().filter(|max: &u32| *max > 0)?;
            root.exists(format!("{folder}/brightness"))
                .then(|| Arc::new(Backlight::new(root, &light, folder, max)) as Arc<dyn Driver>)
        })
        .collect()
}

struct Backlight {
    root: SysRoot,
    brightness: String,
    actual: String,
    origin: PathBuf,
    max: u32,
    description: ResourceDescription,
    changes: Signal,
}

impl Backlight {
    fn new(root: &SysRoot, light: &str, folder: String, max: u32) -> Self {
        let brightness = format!("{folder}/brightness");
        let actual = format!("{folder}/actual_brightness");
        let mut description = with(
            ResourceDescription::actuator(name(&format!("backlight-{light}")), unit("%")),
            [
                ("quantity", words("brightness")),
                ("min", Value::Int(0)),
                ("max", Value::Int(100)),
                ("steps", count(u64::from(max))),
            ],
        );
        if !root.may_write(&brightness) {
            description = with(description, [("permitted", Value::Bool(false))]);
        }
        Self {
            actual: if root.exists(&actual) { actual } else { brightness.clone() },
            root: root.clone(),
            brightness,
            origin: PathBuf::from(folder),
            max,
            description,
            changes: Signal::new(),
        }
    }
}

/// The steps to set for a percentage: at least 1 % unless it is 0.
fn steps(percent: f64, max: u32) -> u32 {
    if percent > 0.0 { level::steps(percent.max(1.0), max) } else { 0 }
}

impl Driver for Backlight {
    fn description(&self) -> ResourceDescription {
        self.description.clone()
    }

    fn read(&self) -> Result<Value, DriverError> {
        Ok(Value::Float(level::of_steps(self.root.number(&self.actual)?, self.max)))
    }

    fn write(&self, value: &Value) -> Result<(), DriverError> {
        let steps = steps(level::percent(value)?, self.max);
        self.root.write(&self.brightness, &steps.to_string(), ADVICE)?;
        self.changes.raise();
        Ok(())
    }

    fn refresh_every(&self) -> Option<Duration> {
        Some(Duration::from_secs(2))
    }

    fn changes(&self) -> Option<&Signal> {
        Some(&self.changes)
    }

    fn origin(&self) -> Option<&Path> {
        Some(&self.origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimming_never_goes_below_one_percent() {
        assert_eq!(steps(0.0, 1000), 0);
        assert_eq!(steps(0.001, 1000), 10);
        assert_eq!(steps(0.5, 7), 1);
        assert_eq!(steps(100.0, 1000), 1000);
    }
}
