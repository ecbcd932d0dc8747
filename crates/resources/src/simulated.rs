//! Made-up resources for the demo and for trying things out, each marked `simulated`.
//!
//! A value is a pure function of the seed and the time since the start, so that a scenario can be repeated; only the lamp
//! remembers what it was set to.

use std::{
    f64::consts::TAU,
    fmt,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tutti_model::{BootTime, ResourceDescription, ResourceKind, Value};

use crate::{
    clock::boot_time,
    driver::{Driver, DriverError},
    level,
    names::{name, unit, with, words},
    signal::Signal,
};

/// What can be simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Simulated {
    /// `room-temperature`: wanders around 21 °C.
    RoomTemperature,
    /// `light-level`: day and night within two minutes, with clouds.
    LightLevel,
    /// `lamp`: an actuator from 0 to 100 %.
    Lamp,
    /// `knob`: an input from 0 to 100 % that somebody turns now and then.
    Knob,
}

impl Simulated {
    /// Everything that can be simulated.
    pub const ALL: &'static [Self] = &[Self::RoomTemperature, Self::LightLevel, Self::Lamp, Self::Knob];

    /// Its word, which is also its resource's name.
    pub const fn word(self) -> &'static str {
        match self {
            Self::RoomTemperature => "room-temperature",
            Self::LightLevel => "light-level",
            Self::Lamp => "lamp",
            Self::Knob => "knob",
        }
    }

    /// Its value at a time after the start; `None` for what is set, not measured.
    pub fn value(self, seed: u64, after: Duration) -> Option<f64> {
        let seconds = after.as_secs_f64();
        let day = TAU * seconds / DAY.as_secs_f64();
        let noise = |channel: u64, period: f64| noise(seed ^ (channel << 56), seconds / period);
        match self {
            Self::RoomTemperature => {
                let degrees = 21.0 + 0.8 * day.sin() + 0.9 * noise(1, 37.0) + 0.2 * noise(2, 5.0);
                Some((degrees * 10.0).round() / 10.0)
            }
            Self::LightLevel => {
                let clouds = 0.8 + 0.2 * noise(3, 11.0);
                Some((day.sin().max(0.0) * 900.0 * clouds + 2.0).round())
            }
            Self::Knob => {
                // Turned at the start of each stretch of six seconds, in steps of five, or left alone.
                let stretch = (seconds / 6.0).floor();
                Some((10.0 + 10.0 * noise_at(seed ^ (4 << 56), stretch as i64 / 2)).round() * 5.0)
            }
            Self::Lamp => None,
        }
    }

    fn description(self) -> ResourceDescription {
        let sensor = |of: &str| ResourceDescription::sensor(name(self.word()), unit(of));
        let range = [("min", Value::Int(0)), ("max", Value::Int(100))];
        let description = match self {
            Self::RoomTemperature => with(sensor("°C"), [("quantity", words("temperature"))]),
            Self::LightLevel => with(sensor("lx"), [("quantity", words("illuminance"))]),
            Self::Lamp => with(ResourceDescription::actuator(name(self.word()), unit("%")), range),
            Self::Knob => with(ResourceDescription { kind: ResourceKind::Input, ..sensor("%") }, range),
        };
        ResourceDescription { simulated: true, ..description }
    }
}

impl fmt::Display for Simulated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// The word names nothing that can be simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownSimulation;

impl fmt::Display for UnknownSimulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nothing of that name can be simulated; known are")?;
        Simulated::ALL.iter().try_for_each(|known| write!(f, " {known}"))
    }
}

impl std::error::Error for UnknownSimulation {}

impl FromStr for Simulated {
    type Err = UnknownSimulation;
    fn from_str(word: &str) -> Result<Self, UnknownSimulation> {
        Self::ALL.iter().copied().find(|known| known.word() == word).ok_or(UnknownSimulation)
    }
}

/// How long a simulated day lasts.
const DAY: Duration = Duration::from_secs(120);

/// Makes the resources, each once. Different seeds give rooms that differ.
pub fn simulated(what: &[Simulated], seed: u64) -> Vec<Arc<dyn Driver>> {
    let start = boot_time();
    Simulated::ALL
        .iter()
        .filter(|kind| what.contains(kind))
        .map(|&what| {
            let set = AtomicU64::new(0f64.to_bits());
            let description = what.description();
            Arc::new(SimulatedDriver { what, seed, start, description, set, changes: Signal::new() }) as Arc<dyn Driver>
        })
        .collect()
}

struct SimulatedDriver {
    what: Simulated,
    seed: u64,
    start: BootTime,
    description: ResourceDescription,
    /// What the lamp was set to: the bits of a float.
    set: AtomicU64,
    changes: Signal,
}

impl Driver for SimulatedDriver {
    fn description(&self) -> ResourceDescription {
        self.description.clone()
    }

    fn read(&self) -> Result<Value, DriverError> {
        let measured = self.what.value(self.seed, boot_time().since(self.start));
        Ok(Value::Float(measured.unwrap_or_else(|| f64::from_bits(self.set.load(Ordering::Relaxed)))))
    }

    fn write(&self, value: &Value) -> Result<(), DriverError> {
        if !self.description.writable {
            return Err(DriverError::NotWritable);
        }
        self.set.store(level::percent(value)?.to_bits(), Ordering::Relaxed);
        self.changes.raise();
        Ok(())
    }

    fn refresh_every(&self) -> Option<Duration> {
        (!self.description.writable).then_some(Duration::from_secs(1))
    }

    fn changes(&self) -> Option<&Signal> {
        self.description.writable.then_some(&self.changes)
    }
}

/// Smooth noise from -1 to 1: a random height at each whole number, joined by smooth curves.
fn noise(seed: u64, at: f64) -> f64 {
    let cell = at.floor();
    let (a, b) = (noise_at(seed, cell as i64), noise_at(seed, (cell as i64).wrapping_add(1)));
    let within = at - cell;
    a + (b - a) * within * within * (3.0 - 2.0 * within)
}

/// A random height from -1 to 1 (the finaliser of SplitMix64; Steele, Lea and Flood 2014).
fn noise_at(seed: u64, cell: i64) -> f64 {
    let mut bits = seed.wrapping_add((cell as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^= bits >> 31;
    (bits >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_is_marked_and_does_what_it_says() {
        let drivers = simulated(Simulated::ALL, 7);
        assert_eq!(drivers.len(), Simulated::ALL.len());
        for driver in &drivers {
            let description = driver.description();
            assert!(description.simulated && description.readable);
            assert!(matches!(driver.read(), Ok(Value::Float(_))));
            assert_eq!(description.name.as_str().parse::<Simulated>().unwrap().description(), description);
            let written = driver.write(&Value::Int(30));
            if description.writable {
                assert_eq!((written, driver.read()), (Ok(()), Ok(Value::Float(30.0))));
            } else {
                assert_eq!(written, Err(DriverError::NotWritable));
            }
        }
    }

    #[test]
    fn a_day_has_light_and_dark_and_seeds_differ() {
        let light = |seconds| Simulated::LightLevel.value(1, Duration::from_secs(seconds)).unwrap();
        assert!(light(30) > 400.0);
        assert!(light(90) < 10.0);
        let room = |seed| (0..60).map(move |s| Simulated::RoomTemperature.value(seed, Duration::from_secs(s)));
        assert!(!room(1).eq(room(2)));
        assert!(room(1).eq(room(1)));
        let knob: std::collections::BTreeSet<_> =
            (0..240).map(|s| Simulated::Knob.value(1, Duration::from_secs(s)).unwrap() as i64).collect();
        assert!(knob.len() > 3, "{knob:?}");
    }

    proptest! {
        #[test]
        fn values_are_believable(seed: u64, millis in 0u64..1 << 40) {
            let at = |what: Simulated, more| what.value(seed, Duration::from_millis(millis + more)).unwrap();
            prop_assert!((18.0..=24.0).contains(&at(Simulated::RoomTemperature, 0)));
            prop_assert!((0.0..=1000.0).contains(&at(Simulated::LightLevel, 0)));
            prop_assert!((0.0..=100.0).contains(&at(Simulated::Knob, 0)));
            let step = at(Simulated::RoomTemperature, 100) - at(Simulated::RoomTemperature, 0);
            prop_assert!(step.abs() <= 0.3, "a room does not jump by {step} °C");
        }
    }
}
