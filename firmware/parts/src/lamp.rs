//! A lamp: an LED of the board.

use mps2::hardware::Register;
use tutti_model::{Name, ResourceKind, Text};
use tutti_satellite::{Denied, Measure, Resource};

use crate::Part;

/// The first LED of a register of LEDs, which no other core writes.
pub struct Lamp(pub Register);

impl Part for Lamp {
    fn resource(&self) -> Option<Resource> {
        Some(Resource {
            name: Name::new("lamp").ok()?,
            kind: ResourceKind::Actuator,
            unit: Text::EMPTY,
            readable: true,
            writable: true,
            simulated: false,
        })
    }
    fn read(&self) -> Result<Measure, Denied> {
        Ok(Measure::Bool(self.0.read() & 1 != 0))
    }
    fn set(&self, measure: Measure) -> Result<(), Denied> {
        let Measure::Bool(on) = measure else { return Err(Denied::BadValue) };
        self.0.write(self.0.read() & !1 | u32::from(on));
        Ok(())
    }
}
