//! What this machine has, and what changed since the last look.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use tutti_model::{Name, ResourceDescription, Value};

use crate::{
    backlight, cpu, disk,
    driver::{Driver, DriverError},
    gpio, hwmon, iio, input, led, memory,
    names::name,
    network, power,
    root::SysRoot,
    screen::Screen,
    signal::Signal,
    storage::Storage,
    temperature,
};

/// What to look for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Whether the load of each core is offered besides that of all.
    pub per_core_load: bool,
    /// The most resources to offer. A device record has room for about 500.
    pub max_resources: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { per_core_load: false, max_resources: 256 }
    }
}

/// A driver for each thing that the machine below `root` has. What it lacks is not offered; nothing here fails.
///
/// Costs some hundred small files on a large machine, no bus traffic, and may be called again at any time. All names
/// are different.
pub fn discover(root: &SysRoot, options: &Options) -> Vec<Arc<dyn Driver>> {
    find(root, options).0
}

/// The drivers, and how many there are beyond the most that may be offered.
fn find(root: &SysRoot, options: &Options) -> (Vec<Arc<dyn Driver>>, usize) {
    let found = [
        cpu::discover(root, options),
        memory::discover(root),
        temperature::discover(root),
        disk::discover(root),
        network::discover(root),
        power::discover(root),
        iio::discover(root),
        led::discover(root),
        backlight::discover(root),
        hwmon::discover(root),
        gpio::discover(root),
        input::discover(root),
    ];
    let mut drivers: Vec<_> = found.into_iter().flatten().collect();
    let left_out = drivers.len().saturating_sub(options.max_resources);
    drivers.truncate(options.max_resources);
    let mut taken = BTreeSet::new();
    (drivers.into_iter().map(|driver| distinct(driver, &mut taken)).collect(), left_out)
}

/// Gives the driver another name if another has its name already.
fn distinct(driver: Arc<dyn Driver>, taken: &mut BTreeSet<Name>) -> Arc<dyn Driver> {
    let own = driver.description().name;
    if taken.insert(own) {
        return driver;
    }
    // Short enough that the number stays when the name is cut.
    let start: String = own.as_str().chars().take(16).collect();
    let numbered = (2..).map(|number| {
        if own.as_str().len() < 56 { name(&format!("{own}-{number}")) } else { name(&format!("{start}-{number}")) }
    });
    match numbered.into_iter().find(|name| taken.insert(*name)) {
        Some(name) => Arc::new(Renamed { name, driver }),
        None => driver,
    }
}

/// A driver under another name.
struct Renamed {
    name: Name,
    driver: Arc<dyn Driver>,
}

impl Driver for Renamed {
    fn description(&self) -> ResourceDescription {
        ResourceDescription { name: self.name, ..self.driver.description() }
    }
    fn read(&self) -> Result<Value, DriverError> {
        self.driver.read()
    }
    fn write(&self, value: &Value) -> Result<(), DriverError> {
        self.driver.write(value)
    }
    fn release(&self) -> Result<(), DriverError> {
        self.driver.release()
    }
    fn refresh_every(&self) -> Option<Duration> {
        self.driver.refresh_every()
    }
    fn changes(&self) -> Option<&Signal> {
        self.driver.changes()
    }
    fn origin(&self) -> Option<&Path> {
        self.driver.origin()
    }
    fn storage(&self) -> Option<&Storage> {
        self.driver.storage()
    }
    fn screen(&self) -> Option<&Screen> {
        self.driver.screen()
    }
}

/// What a look found to be different.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Names that are new, or whose resource is described or found differently.
    pub added: Vec<Name>,
    /// Names that are gone.
    pub removed: Vec<Name>,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

/// The drivers of a machine over time. The driver of what stays is kept, with its last samples and whatever it has
/// taken from the machine (a LED's trigger).
pub struct Inventory {
    root: SysRoot,
    options: Options,
    drivers: BTreeMap<Name, Arc<dyn Driver>>,
    left_out: usize,
}

impl Inventory {
    /// Takes a first look.
    pub fn new(root: SysRoot, options: Options) -> Self {
        let mut inventory = Self { root, options, drivers: BTreeMap::new(), left_out: 0 };
        inventory.look();
        inventory
    }

    /// Looks again.
    pub fn look(&mut self) -> Changes {
        let mut changes = Changes::default();
        let mut before = std::mem::take(&mut self.drivers);
        let (all, left_out) = find(&self.root, &self.options);
        self.left_out = left_out;
        for found in all {
            let description = found.description();
            let kept = before
                .remove(&description.name)
                .filter(|driver| driver.origin() == found.origin() && driver.description() == description);
            if kept.is_none() {
                changes.added.push(description.name);
            }
            self.drivers.insert(description.name, kept.unwrap_or(found));
        }
        changes.removed.extend(before.into_keys());
        changes
    }

    /// The drivers by name.
    pub const fn drivers(&self) -> &BTreeMap<Name, Arc<dyn Driver>> {
        &self.drivers
    }

    /// How many resources the machine has beyond [`Options::max_resources`].
    pub const fn left_out(&self) -> usize {
        self.left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tutti_model::Unit;

    struct Fake(&'static str);
    impl Driver for Fake {
        fn description(&self) -> ResourceDescription {
            ResourceDescription::sensor(name(self.0), Unit::EMPTY)
        }
        fn read(&self) -> Result<Value, DriverError> {
            Ok(Value::Int(1))
        }
        fn refresh_every(&self) -> Option<Duration> {
            None
        }
    }

    #[test]
    fn every_name_is_different() {
        let long = "a-very-long-name-that-fills-the-whole-sixty-three-bytes-of-room";
        let mut taken = BTreeSet::new();
        let names: Vec<_> = ["x", "x", "x", "x-2", long, long, long]
            .into_iter()
            .map(|name| distinct(Arc::new(Fake(name)), &mut taken).description().name.to_string())
            .collect();
        assert_eq!(
            names,
            ["x", "x-2", "x-3", "x-2-2", long, "a-very-long-name-2", "a-very-long-name-3"].map(String::from)
        );
    }
}
