//! Sensors of the industrial I/O subsystem: one resource for each input channel, named `CHIP-CHANNEL`.
//!
//! Source: Documentation/ABI/testing/sysfs-bus-iio. A channel gives `in_TYPE[N][_MODIFIER]_input`, which is processed
//! already, or `_raw`, to which `_offset` is added and which is then multiplied by `_scale`; either of these may be
//! shared by all channels of the type (`in_accel_scale` for `in_accel_x_raw`). The units below are those of that
//! document, turned into what people write: °C for its millidegrees, V for its millivolts, and so on.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tutti_model::{ResourceDescription, Value};

use crate::{
    driver::{Driver, DriverError},
    names::{name, tell_apart, unit, with, words},
    root::SysRoot,
};

const DEVICES: &str = "/sys/bus/iio/devices";
/// Channels of one chip that are offered; one more is left out.
const MAX_CHANNELS: usize = 64;

/// (type, what it is called here, unit, factor from the document's unit)
const TYPES: &[(&str, &str, &str, f64)] = &[
    ("accel", "acceleration", "m/s²", 1.0),
    ("activity", "activity", "%", 1.0),
    ("angl", "angle", "rad", 1.0),
    ("anglvel", "angular-velocity", "rad/s", 1.0),
    ("capacitance", "capacitance", "nF", 1.0),
    ("concentration", "concentration", "%", 1.0),
    ("count", "count", "", 1.0),
    ("current", "current", "A", 1e-3),
    ("distance", "distance", "m", 1.0),
    ("electricalconductivity", "conductivity", "S/m", 1.0),
    ("energy", "energy", "J", 1.0),
    ("gravity", "gravity", "m/s²", 1.0),
    ("humidityrelative", "humidity", "%", 1e-3),
    ("illuminance", "illuminance", "lx", 1.0),
    ("incli", "inclination", "°", 1.0),
    ("intensity", "light-intensity", "", 1.0),
    ("magn", "magnetic-field", "µT", 100.0),
    ("ph", "ph", "", 1.0),
    ("positionrelative", "position", "%", 1e-3),
    ("power", "power", "W", 1e-3),
    ("pressure", "pressure", "kPa", 1.0),
    ("proximity", "proximity", "", 1.0),
    ("resistance", "resistance", "Ω", 1.0),
    ("steps", "steps", "", 1.0),
    ("temp", "temperature", "°C", 1e-3),
    ("uvindex", "uv-index", "", 1.0),
    ("velocity", "velocity", "m/s", 1.0),
    ("voltage", "voltage", "V", 1e-3),
];

pub(crate) fn discover(root: &SysRoot) -> Vec<Arc<dyn Driver>> {
    let text = |path: String| root.attribute(path).ok().filter(|text| !text.is_empty());
    let chips: Vec<(String, String)> = root
        .names(DEVICES)
        .into_iter()
        .filter(|device| device.starts_with("iio:device"))
        .map(|device| {
            let folder = format!("{DEVICES}/{device}");
            (text(format!("{folder}/name")).unwrap_or_else(|| "iio".to_owned()), folder)
        })
        .collect();
    // What firmware calls this one (`accel-display`) says more than the chip's name. Where it says nothing, chips of one
    // name are told apart by their nodes in the device tree (`bme280@77`).
    let found: Vec<_> = chips
        .iter()
        .map(|(chip, folder)| {
            let label = text(format!("{folder}/label"));
            (label.unwrap_or_else(|| chip.clone()), root.link_name(format!("{folder}/of_node")))
        })
        .collect();
    chips
        .iter()
        .zip(tell_apart(&found))
        .flat_map(|((chip, folder), prefix)| {
            let files = root.names(folder);
            channels(&files)
                .take(MAX_CHANNELS)
                .map(|found| sensor(root, folder, chip, &prefix, &files, found))
                .collect::<Vec<_>>()
        })
        .collect()
}

fn sensor(
    root: &SysRoot,
    folder: &str,
    chip: &str,
    prefix: &str,
    files: &[String],
    (channel, processed): (Channel, bool),
) -> Arc<dyn Driver> {
    let label = root.attribute(format!("{folder}/{}_label", channel.stem)).ok().filter(|label| !label.is_empty());
    let own = match &label {
        Some(label) => format!("{}-{label}", channel.quantity),
        None => format!("{}{}", channel.quantity, channel.rest),
    };
    let mut description = with(
        ResourceDescription::sensor(name(&format!("{prefix}-{own}")), unit(channel.unit)),
        [("quantity", words(channel.quantity)), ("chip", words(chip))],
    );
    if let Some(label) = label {
        description = with(description, [("label", words(&label))]);
    }
    let shared = |what: &str| {
        channel.shared(what).into_iter().find(|file| files.contains(file)).map(|file| format!("{folder}/{file}"))
    };
    Arc::new(IioSensor {
        root: root.clone(),
        description,
        origin: PathBuf::from(folder),
        input: format!("{folder}/{}_{}", channel.stem, if processed { "input" } else { "raw" }),
        conversion: (!processed).then(|| (shared("offset"), shared("scale"))),
        factor: channel.factor,
    })
}

/// What a channel's file name says.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    /// The file name without `_raw` or `_input`: `in_accel_x`.
    pub stem: String,
    /// Its type in the kernel's words: `accel`.
    pub kind: &'static str,
    /// What it measures.
    pub quantity: &'static str,
    /// What tells it from others of its type: `-x`, or nothing.
    pub rest: String,
    /// The unit of its readings.
    pub unit: &'static str,
    /// Turns the kernel's unit into ours.
    pub factor: f64,
}

impl Channel {
    /// Reads the name of a channel without its `_raw` or `_input`. `None` for what is not a single number (a
    /// quaternion, a timestamp) or has no agreed meaning.
    pub fn parse(stem: &str) -> Option<Self> {
        let body = stem.strip_prefix("in_")?;
        let end = body.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(body.len());
        let (kind, rest) = body.split_at_checked(end)?;
        let &(kind, quantity, unit, factor) = TYPES.iter().find(|(known, ..)| *known == kind)?;
        let rest = rest.trim_start_matches(['_', '-']);
        let rest = if rest.is_empty() { String::new() } else { format!("-{rest}") };
        Some(Self { stem: stem.to_owned(), kind, quantity, rest, unit, factor })
    }

    /// The files that may hold the `offset` or `scale` of this channel, its own first.
    pub fn shared(&self, what: &str) -> Vec<String> {
        let mut files = vec![format!("{}_{what}", self.stem)];
        let rest = self.rest.trim_start_matches('-');
        // `in_voltage0-voltage1` shares `in_voltage-voltage_scale`.
        if rest.contains('-') {
            files.push(format!("in_{0}-{0}_{what}", self.kind));
        }
        // `in_temp0_object` may share `in_temp_object_scale`.
        if let Some((number, modifier)) = rest.split_once('_')
            && number.bytes().all(|b| b.is_ascii_digit())
        {
            files.push(format!("in_{}_{modifier}_{what}", self.kind));
        }
        files.extend([format!("in_{}_{what}", self.kind), format!("in_{what}"), what.to_owned()]);
        files
    }
}

/// The channels among a device's files, with whether each is processed already. A channel that has both forms is
/// taken processed.
fn channels(files: &[String]) -> impl Iterator<Item = (Channel, bool)> {
    files.iter().filter_map(|file| {
        if let Some(stem) = file.strip_suffix("_input") {
            return Some((Channel::parse(stem)?, true));
        }
        let stem = file.strip_suffix("_raw")?;
        let derived = ["_mean", "_peak", "_trough", "_correction"].iter().any(|suffix| stem.ends_with(suffix));
        let again = files.contains(&format!("{stem}_input"));
        if derived || again { None } else { Some((Channel::parse(stem)?, false)) }
    })
}

struct IioSensor {
    root: SysRoot,
    description: ResourceDescription,
    origin: PathBuf,
    input: String,
    /// The files with offset and scale, for a raw channel.
    conversion: Option<(Option<String>, Option<String>)>,
    factor: f64,
}

impl Driver for IioSensor {
    fn description(&self) -> ResourceDescription {
        self.description.clone()
    }

    fn read(&self) -> Result<Value, DriverError> {
        let number = |file: &Option<String>, without: f64| match file {
            Some(file) => self.root.measure(file),
            None => Ok(without),
        };
        let mut value = self.root.measure(&self.input)?;
        if let Some((offset, scale)) = &self.conversion {
            value = (value + number(offset, 0.0)?) * number(scale, 1.0)?;
        }
        value *= self.factor;
        if value.is_finite() {
            Ok(Value::Float(value))
        } else {
            Err(DriverError::garbage(&self.root.locate(&self.input), b"a number too large"))
        }
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

    fn files(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn channels_are_those_that_hold_one_number() {
        let found: Vec<_> = channels(&files(&[
            "in_accel_x_raw",
            "in_accel_x_peak_raw",
            "in_humidityrelative_input",
            "in_temp_input",
            "in_temp_raw",
            "in_rot_quaternion_raw",
            "in_timestamp_en",
            "in_voltage0-voltage1_raw",
            "out_voltage0_raw",
            "name",
        ]))
        .map(|(channel, processed)| (format!("{}{}", channel.quantity, channel.rest), processed))
        .collect();
        let found: Vec<_> = found.iter().map(|(name, processed)| (name.as_str(), *processed)).collect();
        assert_eq!(
            found,
            [("acceleration-x", false), ("humidity", true), ("temperature", true), ("voltage-0-voltage1", false)]
        );
    }

    #[test]
    fn the_nearest_scale_counts() {
        let shared = |stem: &str| Channel::parse(stem).unwrap().shared("scale");
        assert_eq!(shared("in_accel_x")[..2], ["in_accel_x_scale", "in_accel_scale"]);
        assert_eq!(
            shared("in_voltage0-voltage1")[..3],
            ["in_voltage0-voltage1_scale", "in_voltage-voltage_scale", "in_voltage_scale"]
        );
        assert_eq!(shared("in_temp0_object")[..3], ["in_temp0_object_scale", "in_temp_object_scale", "in_temp_scale"]);
    }

    proptest! {
        #[test]
        fn any_name_is_survived(stem in "in_[a-z]{0,12}[0-9_a-z^()+-]{0,12}|.{0,20}") {
            if let Some(channel) = Channel::parse(&stem) {
                prop_assert_eq!(&channel.shared("scale")[0], &format!("{stem}_scale"));
            }
        }
    }
}
