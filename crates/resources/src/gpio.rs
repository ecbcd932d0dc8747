//! Lines of GPIO chips (`/dev/gpiochip*`, the character device's interface of `include/uapi/linux/gpio.h`, version 2).
//!
//! Only lines with a name are offered, and only while nobody else uses them: the name says that somebody who knows the
//! board has meant it to be used. An input is a sensor; an output is an actuator. A line that is an input now is
//! driven only if `/etc/tutti/gpio-outputs` lists its name, a line for each: driving what something else drives as well
//! can destroy both.
//!
//! A line that is driven is held from the first value until it is released; what it does then is the chip's business.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use gpiocdev::{
    Request,
    chip::Chip,
    line::{self, Direction},
};
use tutti_model::{ResourceDescription, Unit, Value};

use crate::{
    driver::{Driver, DriverError},
    names::{name, with, words},
    root::SysRoot,
};

/// Where the lines that may be driven are listed.
const OUTPUTS: &str = "/etc/tutti/gpio-outputs";

/// Who we say we are; a line with this consumer is ours.
const CONSUMER: &str = "tutti";

/// Lines of a chip that are looked at.
const MAX_LINES: u32 = 512;

/// Chips that are looked at.
const MAX_CHIPS: usize = 64;

const ADVICE: &str = "give this user access to it, as the group gpio has on many systems";

pub(crate) fn discover(root: &SysRoot) -> Vec<Arc<dyn Driver>> {
    // What is below another root has no devices that could be asked.
    if !root.is_real() {
        return Vec::new();
    }
    let outputs = root.read(OUTPUTS, 64 * 1024).unwrap_or_default();
    let outputs = String::from_utf8_lossy(&outputs).into_owned();
    let chips = root.names("/sys/bus/gpio/devices").into_iter().filter(|chip| chip.starts_with("gpiochip"));
    chips.take(MAX_CHIPS).flat_map(|chip| of_chip(&Path::new("/dev").join(chip), &outputs)).collect()
}

fn of_chip(path: &Path, outputs: &str) -> Vec<Arc<dyn Driver>> {
    // One that this user may not open, or that has just gone, has nothing to offer.
    let Ok(chip) = Chip::from_path(path) else { return Vec::new() };
    let Ok(about) = chip.info() else { return Vec::new() };
    let lines: Vec<line::Info> =
        (0..about.num_lines.min(MAX_LINES)).filter_map(|offset| chip.line_info(offset).ok()).collect();
    let offers = offers(&about.label, &lines, outputs);
    offers
        .into_iter()
        .map(|Offer { offset, description }| {
            let line = Line { chip: path.to_owned(), offset, description, driven: Mutex::default() };
            Arc::new(line) as Arc<dyn Driver>
        })
        .collect()
}

/// A line that is offered.
#[derive(Debug, PartialEq)]
struct Offer {
    offset: u32,
    description: ResourceDescription,
}

/// Which lines of a chip are offered, and as what.
fn offers(chip: &str, lines: &[line::Info], outputs: &str) -> Vec<Offer> {
    let listed = |name: &str| outputs.lines().any(|line| line.trim() == name);
    let offered = lines.iter().filter(|line| !line.name.is_empty() && (!line.used || line.consumer == CONSUMER));
    offered
        .map(|line| {
            let output = line.direction == Direction::Output || listed(&line.name);
            let own = name(&format!("gpio-{}", line.name));
            let description = if output {
                ResourceDescription::actuator(own, Unit::EMPTY)
            } else {
                ResourceDescription::sensor(own, Unit::EMPTY)
            };
            let properties =
                [("quantity", words("level")), ("chip", words(chip)), ("line", Value::Int(line.offset.into()))];
            Offer { offset: line.offset, description: with(description, properties) }
        })
        .collect()
}

struct Line {
    chip: PathBuf,
    offset: u32,
    description: ResourceDescription,
    /// The line as long as it is driven.
    driven: Mutex<Option<Request>>,
}

impl Line {
    fn failed(&self, error: &impl fmt::Display) -> DriverError {
        let why = error.to_string();
        // The crate's errors name the system's only in words.
        if why.contains("EACCES") || why.contains("Permission denied") {
            return DriverError::NotPermitted { path: self.chip.clone(), advice: ADVICE };
        }
        if !self.chip.exists() {
            return DriverError::Gone(self.chip.clone());
        }
        DriverError::Unavailable { path: self.chip.clone(), why }
    }

    fn request(&self, ask: impl FnOnce(&mut gpiocdev::request::Builder)) -> Result<Request, DriverError> {
        let mut builder = Request::builder();
        builder.on_chip(&self.chip).with_consumer(CONSUMER).with_line(self.offset);
        ask(&mut builder);
        builder.request().map_err(|error| self.failed(&error))
    }
}

impl Driver for Line {
    fn description(&self) -> ResourceDescription {
        self.description.clone()
    }

    fn read(&self) -> Result<Value, DriverError> {
        let driven = self.driven.lock().unwrap_or_else(PoisonError::into_inner);
        let value = match &*driven {
            Some(request) => request.value(self.offset),
            None => self
                .request(|ask| {
                    ask.as_is();
                })?
                .value(self.offset),
        };
        value.map(|value| Value::Bool(value == line::Value::Active)).map_err(|error| self.failed(&error))
    }

    fn write(&self, value: &Value) -> Result<(), DriverError> {
        if !self.description.writable {
            return Err(DriverError::NotWritable);
        }
        let wanted = match value {
            Value::Bool(true) | Value::Int(1) => line::Value::Active,
            Value::Bool(false) | Value::Int(0) => line::Value::Inactive,
            other => return Err(DriverError::WrongType { takes: "on or off", given: other.word() }),
        };
        let mut driven = self.driven.lock().unwrap_or_else(PoisonError::into_inner);
        match &*driven {
            Some(request) => request.set_value(self.offset, wanted).map_err(|error| self.failed(&error)),
            None => {
                *driven = Some(self.request(|ask| {
                    ask.as_output(wanted);
                })?);
                Ok(())
            }
        }
    }

    fn release(&self) -> Result<(), DriverError> {
        *self.driven.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(())
    }

    fn refresh_every(&self) -> Option<Duration> {
        Some(Duration::from_millis(500))
    }

    fn origin(&self) -> Option<&Path> {
        Some(&self.chip)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(offset: u32, name: &str, direction: Direction) -> line::Info {
        line::Info { offset, name: name.into(), direction, ..line::Info::default() }
    }

    #[test]
    fn named_lines_that_nobody_uses_are_offered() {
        let lines = [
            line(0, "door", Direction::Input),
            line(1, "", Direction::Input),
            line(2, "RELAY_1", Direction::Output),
            line::Info { used: true, consumer: "reset".into(), ..line(3, "phy-reset", Direction::Output) },
            line::Info { used: true, consumer: CONSUMER.into(), ..line(4, "ours", Direction::Output) },
            line(5, "valve", Direction::Input),
        ];
        let found = offers("gpio-sim.0", &lines, "# what the board drives\nvalve\n");
        let found: Vec<_> = found
            .iter()
            .map(|offer| (offer.offset, offer.description.name.as_str(), offer.description.writable))
            .collect();
        let expected =
            [(0, "gpio-door", false), (2, "gpio-relay-1", true), (4, "gpio-ours", true), (5, "gpio-valve", true)];
        assert_eq!(found, expected);
    }

    #[test]
    fn another_root_has_no_lines() {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(tree.path().join("sys/bus/gpio/devices/gpiochip0")).unwrap();
        assert!(discover(&SysRoot::new(tree.path()).unwrap()).is_empty());
    }
}
