//! What a board has for the pool: parts, each of which is one resource of its satellite.
//!
//! A part is a feature of this crate, called as the product file of an image calls it: what is left out is not compiled. An image
//! makes a list of the parts that it has, and asks for [`resources`] in the same order.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "lamp")]
mod lamp;
#[cfg(feature = "thermometer")]
pub mod thermometer;

#[cfg(feature = "lamp")]
pub use lamp::Lamp;
#[cfg(feature = "thermometer")]
pub use thermometer::Thermometer;

use tutti_model::{Name, ResourceKind, Unit};
use tutti_satellite::{Denied, Measure, Resource};

/// One resource.
pub trait Part {
    /// What the satellite says of it; `None` if its name is none.
    fn resource(&self) -> Option<Resource>;

    /// Its value now.
    ///
    /// # Errors
    /// If it has none.
    fn read(&self) -> Result<Measure, Denied>;

    /// Gives it a value.
    ///
    /// # Errors
    /// If it takes none, or not this one.
    fn set(&self, _: Measure) -> Result<(), Denied> {
        Err(Denied::NoSuchResource)
    }
}

/// What the satellite says of all of them; `None` if a name is none, or there are no parts.
pub fn resources<const N: usize>(parts: &[&dyn Part; N]) -> Option<[Resource; N]> {
    let mut all = [parts.first()?.resource()?; N];
    for (resource, part) in all.iter_mut().zip(parts) {
        *resource = part.resource()?;
    }
    Some(all)
}

/// A sensor that is not simulated.
#[must_use]
pub fn sensor(name: &str, unit: &str) -> Option<Resource> {
    Some(Resource {
        name: Name::new(name).ok()?,
        kind: ResourceKind::Sensor,
        unit: Unit::new(unit).ok()?,
        readable: true,
        writable: false,
        simulated: false,
    })
}

/// How long the board has run.
pub struct Uptime;

impl Part for Uptime {
    fn resource(&self) -> Option<Resource> {
        sensor("uptime", "s")
    }
    fn read(&self) -> Result<Measure, Denied> {
        Ok(Measure::Int(embassy_time::Instant::now().as_secs() as i64))
    }
}
