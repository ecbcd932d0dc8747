//! What this core has: a sensor, which is made up, and a lamp, which is an LED of the board.

use core::sync::atomic::{AtomicU32, Ordering};

use an521::hardware::LEDS;
use tutti_model::{BootTime, Name, ResourceKind, Text, Unit};
use tutti_satellite::{Denied, Measure, Resource};

/// Where the temperature starts, in tenths of a degree.
static BASE: AtomicU32 = AtomicU32::new(205);

/// Sets the made-up temperature off by something.
pub(crate) fn spoil(by: u32) {
    BASE.store(205 + by % 10, Ordering::Relaxed);
}

/// The list of them; `None` if a name is none.
pub(crate) fn all() -> Option<[Resource; 2]> {
    Some([
        Resource {
            name: Name::new("temperature").ok()?,
            kind: ResourceKind::Sensor,
            unit: Unit::new("°C").ok()?,
            readable: true,
            writable: false,
            simulated: true,
        },
        Resource {
            name: Name::new("lamp").ok()?,
            kind: ResourceKind::Actuator,
            unit: Text::EMPTY,
            readable: true,
            writable: true,
            simulated: false,
        },
    ])
}

/// Reads one.
pub(crate) fn read(index: usize, now: BootTime) -> Result<Measure, Denied> {
    match index {
        // A slow saw tooth of two degrees in twenty seconds.
        0 => {
            let tenths = (now.as_nanos() / 1_000_000_000 % 20) as u32;
            Ok(Measure::Float(f64::from(BASE.load(Ordering::Relaxed) + tenths) / 10.0))
        }
        1 => Ok(Measure::Bool(LEDS.read() & 1 != 0)),
        _ => Err(Denied::NoSuchResource),
    }
}

/// Sets one.
pub(crate) fn set(index: usize, measure: Measure) -> Result<(), Denied> {
    match (index, measure) {
        (1, Measure::Bool(on)) => {
            LEDS.write(LEDS.read() & !1 | u32::from(on));
            Ok(())
        }
        (1, _) => Err(Denied::BadValue),
        _ => Err(Denied::NoSuchResource),
    }
}
