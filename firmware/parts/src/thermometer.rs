//! A thermometer. The boards have none that an emulator knows, so its readings are made up, and say so.

use core::sync::atomic::{AtomicU32, Ordering};

use embassy_time::Instant;
use tutti_satellite::{Denied, Measure, Resource};

use crate::{Part, sensor};

/// The made-up temperatures, a second each. The processors are used without floating point: they are worked out by the compiler.
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
pub fn calibrate(by: u32) {
    SHIFT.store(by, Ordering::Relaxed);
}

/// The thermometer.
pub struct Thermometer;

impl Part for Thermometer {
    fn resource(&self) -> Option<Resource> {
        Some(Resource { simulated: true, ..sensor("temperature", "°C")? })
    }
    fn read(&self) -> Result<Measure, Denied> {
        let second = Instant::now().as_secs() as u32;
        let index = second.wrapping_add(SHIFT.load(Ordering::Relaxed)) as usize;
        TEMPERATURES.get(index % TEMPERATURES.len()).copied().map(Measure::Float).ok_or(Denied::Failed)
    }
}
