//! What chips measure besides temperatures: voltages, currents, powers, fans, humidity.
//!
//! Source: Documentation/hwmon/sysfs-interface.rst (`inN_input` in millivolts, `currN_input` in milliamperes,
//! `powerN_input` or `powerN_average` in microwatts, `fanN_input` in revolutions a minute, `humidityN_input` in thousandths
//! of a per cent; `*_label`, `*_fault`). Temperatures are in [`crate::temperature`].

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tutti_model::{ResourceDescription, Value};

use crate::{
    driver::{Driver, DriverError},
    names::{name, natural_order, tell_apart, unit, with, words},
    root::SysRoot,
};

const CLASS: &str = "/sys/class/hwmon";

/// A sort of measurement.
struct Sort {
    file: &'static str,
    ends: &'static [&'static str],
    quantity: &'static str,
    unit: &'static str,
    /// So many of what the file holds are one of the unit.
    scale: f64,
}

const SORTS: [Sort; 5] = [
    Sort { file: "in", ends: &["input"], quantity: "voltage", unit: "V", scale: 1000.0 },
    Sort { file: "curr", ends: &["input"], quantity: "current", unit: "A", scale: 1000.0 },
    Sort { file: "power", ends: &["input", "average"], quantity: "power", unit: "W", scale: 1_000_000.0 },
    Sort { file: "fan", ends: &["input"], quantity: "fan", unit: "rpm", scale: 1.0 },
    Sort { file: "humidity", ends: &["input"], quantity: "humidity", unit: "%", scale: 1000.0 },
];

pub(crate) fn discover(root: &SysRoot) -> Vec<Arc<dyn Driver>> {
    let mut chips: Vec<(String, String, Option<String>)> = root
        .names(CLASS)
        .into_iter()
        .filter_map(|folder| {
            let folder = format!("{CLASS}/{folder}");
            let chip = root.attribute(format!("{folder}/name")).ok().filter(|chip| !chip.is_empty())?;
            let place = root.link_name(format!("{folder}/device"));
            Some((folder, chip, place))
        })
        .collect();
    // What is below a power supply is that supply again, with `_` for `-` (drivers/power/supply/power_supply_hwmon.c), and is
    // offered by `power`.
    let supplies: Vec<_> = root.names("/sys/class/power_supply").iter().map(|name| name.replace('-', "_")).collect();
    chips.retain(|(_, chip, _)| !supplies.contains(chip));
    chips.sort_by(|(_, _, a), (_, _, b)| natural_order(a.as_deref().unwrap_or(""), b.as_deref().unwrap_or("")));
    let named: Vec<_> = chips.iter().map(|(_, chip, place)| (chip.clone(), place.clone())).collect();
    let distinct = tell_apart(&named);
    chips.iter().zip(distinct).flat_map(|((folder, chip, _), own)| of_chip(root, folder, chip, &own)).collect()
}

fn of_chip(root: &SysRoot, folder: &str, chip: &str, own: &str) -> Vec<Arc<dyn Driver>> {
    let files = root.names(folder);
    let mut found: Vec<Arc<dyn Driver>> = Vec::new();
    for sort in &SORTS {
        let numbered = |file: &str| -> Option<(String, String)> {
            let (number, end) = file.strip_prefix(sort.file)?.split_once('_')?;
            let plain = !number.is_empty() && number.len() < 6 && number.bytes().all(|byte| byte.is_ascii_digit());
            (plain && sort.ends.contains(&end)).then(|| (number.to_owned(), end.to_owned()))
        };
        let mut inputs: Vec<_> = files.iter().filter_map(|file| numbered(file)).collect();
        // Of a power that is measured both ways, the one of this moment.
        let now: Vec<_> = inputs.iter().filter(|(_, end)| end == "input").map(|(number, _)| number.clone()).collect();
        inputs.retain(|(number, end)| end == "input" || !now.contains(number));
        let several = inputs.len() > 1;
        for (number, end) in inputs {
            let path = |what: &str| format!("{folder}/{}{number}_{what}", sort.file);
            let (_, suffix) = label(root, &path("label"), &number, several);
            let description = with(
                ResourceDescription::sensor(name(&format!("{}-{own}{suffix}", sort.quantity)), unit(sort.unit)),
                [("quantity", words(sort.quantity)), ("chip", words(chip))],
            );
            found.push(Arc::new(Measure {
                root: root.clone(),
                description,
                input: PathBuf::from(path(&end)),
                fault: Some(path("fault")).filter(|fault| root.exists(fault)),
                scale: sort.scale,
            }));
        }
    }
    found
}

/// What a chip calls one of its inputs, and how the name of its resource ends.
pub(crate) fn label(root: &SysRoot, file: &str, number: &str, several: bool) -> (Option<String>, String) {
    let label = root.attribute(file).ok().filter(|label| !label.is_empty());
    let suffix = match &label {
        Some(label) => format!("-{label}"),
        None if several => format!("-{number}"),
        None => String::new(),
    };
    (label, suffix)
}

/// An error if the chip says, in its file for that, that this input is faulty.
pub(crate) fn refuse_faulty(root: &SysRoot, fault: Option<&str>, input: &Path) -> Result<(), DriverError> {
    if fault.is_some_and(|fault| root.attribute(fault).is_ok_and(|fault| fault == "1")) {
        let why = "the chip reports that this sensor is faulty".to_owned();
        return Err(DriverError::Unavailable { path: root.locate(input), why });
    }
    Ok(())
}

struct Measure {
    root: SysRoot,
    description: ResourceDescription,
    input: PathBuf,
    fault: Option<String>,
    scale: f64,
}

impl Driver for Measure {
    fn description(&self) -> ResourceDescription {
        self.description.clone()
    }

    fn read(&self) -> Result<Value, DriverError> {
        refuse_faulty(&self.root, self.fault.as_deref(), &self.input)?;
        let raw: i64 = self.root.number(&self.input)?;
        Ok(if self.scale == 1.0 { Value::Int(raw) } else { Value::Float(raw as f64 / self.scale) })
    }

    fn refresh_every(&self) -> Option<Duration> {
        Some(Duration::from_secs(2))
    }

    fn origin(&self) -> Option<&Path> {
        Some(&self.input)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_chip_offers_what_it_measures() {
        let tree = tempfile::tempdir().unwrap();
        let chip = tree.path().join("sys/class/hwmon/hwmon3");
        fs::create_dir_all(&chip).unwrap();
        for (file, holds) in [
            ("name", "nct6775"),
            ("in0_input", "1136"),
            ("in0_label", "Vcore"),
            ("in1_input", "3344"),
            ("curr1_input", "-250"),
            ("power1_average", "12500000"),
            ("power1_input", "12000000"),
            ("fan1_input", "1380"),
            ("fan2_input", "0"),
            ("fan2_fault", "1"),
            ("humidity1_input", "45300"),
            ("temp1_input", "40000"),
            ("in_input", "1"),
            ("inx_input", "1"),
        ] {
            fs::write(chip.join(file), format!("{holds}\n")).unwrap();
        }
        let found: Vec<String> = discover(&SysRoot::new(tree.path()).unwrap())
            .iter()
            .map(|driver| {
                let description = driver.description();
                let value = match driver.read() {
                    Ok(Value::Float(value)) => value.to_string(),
                    Ok(value) => value.to_string(),
                    Err(_) => "none".into(),
                };
                format!("{} {value} {}", description.name, description.unit)
            })
            .collect();
        let expected = [
            "voltage-nct6775-vcore 1.136 V",
            "voltage-nct6775-1 3.344 V",
            "current-nct6775 -0.25 A",
            "power-nct6775 12 W",
            "fan-nct6775-1 1380 rpm",
            "fan-nct6775-2 none rpm",
            "humidity-nct6775 45.3 %",
        ];
        assert_eq!(found, expected);
    }
}
