//! What this core has: a sensor, which is made up, and a lamp, which is an LED of the board.

use core::sync::atomic::{AtomicU32, Ordering};

use an521::hardware::LEDS;
use tutti_model::{BootTime, Name, ResourceKind, Text, Unit};
use tutti_satellite::{Denied, Measure, Resource};

/// The made-up temperatures, a second each. The processor has no floating point: they are worked out by the compiler.
const TEMPERATURES: [f64; 16] = {
    let mut all = [0.0; 16];
    let mut i = 0;
    while i < 16 {
        // Up and down by a degree.
        all[i] = 20.5 + (if i < 8 { i } else { 16 - i }) as f64 / 8.0;
        i += 1;
    }
    all
};

/// How far the made-up temperatures are shifted.
static SHIFT: AtomicU32 = AtomicU32::new(0);

/// Shifts them: what a sensor that works would do with what it reads.
pub(crate) fn calibrate(by: u32) {
    SHIFT.store(by, Ordering::Relaxed);
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
        0 => {
            let second = (now.as_nanos() / 1_000_000_000) as u32;
            let index = second.wrapping_add(SHIFT.load(Ordering::Relaxed)) as usize;
            TEMPERATURES.get(index % TEMPERATURES.len()).copied().map(Measure::Float).ok_or(Denied::Failed)
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
