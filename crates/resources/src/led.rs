//! LEDs as actuators: `led-NAME`, a switch where the LED knows only on and off, otherwise 0 to 100 %.
//!
//! Sources: Documentation/ABI/testing/sysfs-class-led and Documentation/leds/leds-class.rst: names are
//! `devicename:colour:function`; `brightness` goes from 0 to `max_brightness`; `trigger` lists the triggers with the
//! active one in brackets, and writing 0 to `brightness` clears it.
//!
//! A LED that the kernel drives by itself (a heartbeat, disk activity) is only taken from it when somebody drives it:
//! the trigger is remembered, set to `none`, and put back when the driver is released or dropped. If this
//! program is killed meanwhile, the trigger stays `none` until the machine restarts or somebody sets it.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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

const CLASS: &str = "/sys/class/leds";
/// LEDs that are offered; one more is left out.
const MAX_LEDS: usize = 64;

const ADVICE: &str = "run it as root, or let a group write it by a udev rule such as SUBSYSTEM==\"leds\", \
     ACTION==\"add\", RUN+=\"/bin/chgrp video /sys%p/brightness /sys%p/trigger\", RUN+=\"/bin/chmod g+w \
     /sys%p/brightness /sys%p/trigger\", and add its user to that group";

pub(crate) fn discover(root: &SysRoot) -> Vec<Arc<dyn Driver>> {
    let leds: Vec<(String, u32)> = root
        .names(CLASS)
        .into_iter()
        .take(MAX_LEDS)
        .filter_map(|led| {
            let max = root.number(format!("{CLASS}/{led}/max_brightness")).ok().filter(|max| *max > 0)?;
            root.exists(format!("{CLASS}/{led}/brightness")).then_some((led, max))
        })
        .collect();
    leds.into_iter().map(|(led, max)| Arc::new(Led::new(root, &led, max)) as Arc<dyn Driver>).collect()
}

/// The colours that the kernel's names use (include/dt-bindings/leds/common.h).
const COLOURS: &[&str] = &[
    "white",
    "red",
    "green",
    "blue",
    "amber",
    "violet",
    "yellow",
    "ir",
    "multicolor",
    "rgb",
    "purple",
    "orange",
    "pink",
    "cyan",
    "lime",
];

struct Led {
    root: SysRoot,
    folder: String,
    origin: PathBuf,
    max: u32,
    description: ResourceDescription,
    /// The trigger that was taken from it; also keeps two writers apart.
    taken: Mutex<Option<String>>,
    changes: Signal,
}

impl Led {
    fn new(root: &SysRoot, led: &str, max: u32) -> Self {
        let folder = format!("{CLASS}/{led}");
        let percent = if max == 1 { "" } else { "%" };
        let mut description = ResourceDescription::actuator(name(&format!("led-{}", lasting(led))), unit(percent));
        if max > 1 {
            description = with(description, [("min", Value::Int(0)), ("max", Value::Int(100))]);
            description = with(description, [("steps", count(u64::from(max)))]);
        }
        if let Some(colour) = led.split(':').find(|part| COLOURS.contains(part)) {
            description = with(description, [("colour", words(colour))]);
        }
        // The function, without the number that tells several LEDs of one function apart.
        if let Some((_, function)) = led.rsplit_once(':').filter(|(_, function)| !function.is_empty()) {
            description = with(description, [("function", words(function))]);
        }
        if !root.may_write(&format!("{folder}/brightness")) {
            description = with(description, [("permitted", Value::Bool(false))]);
        }
        Self {
            root: root.clone(),
            origin: PathBuf::from(&folder),
            folder,
            max,
            description,
            taken: Mutex::new(None),
            changes: Signal::new(),
        }
    }

    fn brightness(&self) -> String {
        format!("{}/brightness", self.folder)
    }

    fn trigger(&self) -> String {
        format!("{}/trigger", self.folder)
    }

    /// Takes the LED from the trigger that drives it.
    fn take(&self, taken: &mut MutexGuard<'_, Option<String>>) -> Result<(), DriverError> {
        // The list of all triggers may be longer than a page (a binary attribute since Linux 5.4).
        let Ok(triggers) = self.root.text(self.trigger(), 64 * 1024) else { return Ok(()) };
        match active_trigger(&triggers) {
            None | Some("none") => Ok(()),
            Some(active) => {
                self.root.write(&self.trigger(), "none", ADVICE)?;
                **taken = Some(active.to_owned());
                Ok(())
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A LED's name without the number of its keyboard, which changes from boot to boot: `input::capslock` of
/// `input3::capslock`.
fn lasting(led: &str) -> String {
    match led.strip_prefix("input").and_then(|rest| rest.split_once("::")) {
        Some((number, function)) if number.bytes().all(|b| b.is_ascii_digit()) => format!("input::{function}"),
        _ => led.to_owned(),
    }
}

/// The trigger in brackets: `timer` of `none [timer] heartbeat`.
pub fn active_trigger(triggers: &str) -> Option<&str> {
    triggers.split_ascii_whitespace().find_map(|word| word.strip_prefix('[')?.strip_suffix(']'))
}

impl Driver for Led {
    fn description(&self) -> ResourceDescription {
        self.description.clone()
    }

    fn read(&self) -> Result<Value, DriverError> {
        let steps: u32 = self.root.number(self.brightness())?;
        Ok(if self.max == 1 { Value::Bool(steps > 0) } else { Value::Float(level::of_steps(steps, self.max)) })
    }

    fn write(&self, value: &Value) -> Result<(), DriverError> {
        let steps = level::steps(level::percent(value)?, self.max);
        {
            let mut taken = self.lock();
            self.take(&mut taken)?;
            self.root.write(&self.brightness(), &steps.to_string(), ADVICE)?;
        }
        self.changes.raise();
        Ok(())
    }

    fn release(&self) -> Result<(), DriverError> {
        let mut taken = self.lock();
        if let Some(trigger) = taken.as_deref() {
            self.root.write(&self.trigger(), trigger, ADVICE)?;
            *taken = None;
        }
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

impl Drop for Led {
    fn drop(&mut self) {
        if let Err(error) = self.release() {
            tracing::warn!(led = %self.description.name, %error, "a LED was not given back to its trigger");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_active_trigger_is_the_one_in_brackets() {
        assert_eq!(active_trigger("none [heartbeat] timer\n"), Some("heartbeat"));
        assert_eq!(active_trigger("[none] timer"), Some("none"));
        assert_eq!(active_trigger("none timer [cut"), None);
    }

    #[test]
    fn a_keyboard_may_get_another_number() {
        assert_eq!(lasting("input12::capslock"), "input::capslock");
        assert_eq!(lasting("tpacpi::power"), "tpacpi::power");
    }
}
