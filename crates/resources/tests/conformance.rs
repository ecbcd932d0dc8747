//! What every driver promises, held against all of them: the hardware of the fixture trees, and what is made up, offered
//! from outside, stored and shown.

mod support;

use std::{path::Path, sync::Arc, time::Duration};

use support::Tree;
use tutti_model::{BootTime, Name, ResourceDescription, ResourceKind, Sharing, Unit, Value};
use tutti_resources::{
    Driver, DriverError, Offers, Options, Screen, Storage, discover,
    outside::Offer,
    screen::Size,
    simulated::{Simulated, simulated},
};

/// Holds one driver against the promises of [`Driver`].
fn conforms(driver: &dyn Driver) {
    let description = driver.description();
    let name = description.name;
    assert_eq!(driver.description(), description, "{name}: the description does not change by itself");
    assert!(description.readable || description.writable, "{name}: good for nothing");
    assert!(description.properties.len() <= 16, "{name}");
    assert!(
        driver.refresh_every().is_some() || driver.changes().is_some() || description.kind == ResourceKind::Sensor,
        "{name}: nobody would notice a change"
    );
    assert!(driver.refresh_every().is_none_or(|every| every >= Duration::from_millis(500)), "{name}: too often");

    let before = driver.read();
    match &before {
        Ok(value) => {
            assert!(description.readable, "{name}: read although it says that it cannot be");
            assert!(value.as_f64().is_none_or(f64::is_finite), "{name}: {value}");
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert_eq!(*error == DriverError::NotReadable, !description.readable, "{name}: {error}");
        }
    }
    assert_eq!(driver.storage().is_some(), description.kind == ResourceKind::Storage, "{name}");
    assert_eq!(driver.screen().is_some(), description.kind == ResourceKind::Display, "{name}");

    if let Err(DriverError::WrongType { takes, .. }) = driver.write(&Value::Bytes(vec![0; 3])) {
        assert!(takes.len() <= tutti_resources::MAX_TAKES, "{name}: {takes:?} does not fit into a refusal");
    }
    if description.kind == ResourceKind::Storage {
        assert!(matches!(driver.write(&Value::Int(1)), Err(DriverError::WrongType { .. })), "{name}: it takes files");
    } else if !description.writable {
        assert_eq!(driver.write(&Value::Int(1)), Err(DriverError::NotWritable), "{name}");
    } else if description.kind == ResourceKind::Actuator {
        assert_eq!(description.sharing, Sharing::Exclusive, "{name}: one at a time drives it");
        for bad in [Value::Float(f64::NAN), Value::Int(-1), Value::Float(1e9), Value::Text("x".into())] {
            let refused = driver.write(&bad).unwrap_err();
            assert!(
                matches!(
                    refused,
                    DriverError::OutOfRange { .. } | DriverError::WrongType { .. } | DriverError::NobodyListens
                ),
                "{name}: {refused}"
            );
            assert_eq!(driver.read(), before, "{name}: a refused value changed it");
        }
    }
    driver.release().unwrap();
}

/// Drives an actuator of percents or switches through its range.
fn drives(driver: &dyn Driver) {
    let name = driver.description().name;
    for on in [true, false] {
        let seen = driver.changes().map_or(0, |changes| changes.generation());
        driver.write(&Value::Bool(on)).unwrap();
        assert_eq!(driver.read().unwrap().as_f64().unwrap() > 0.0, on, "{name}");
        if let Some(changes) = driver.changes() {
            assert_eq!(changes.wait_past(seen, Duration::from_secs(1)), seen + 1, "{name}: the change is told");
        }
    }
    driver.write(&Value::Float(100.0)).unwrap();
    assert!([Value::Bool(true), Value::Float(100.0)].contains(&driver.read().unwrap()), "{name}");
}

#[test]
fn hardware() {
    for machine in ["laptop", "board", "server", "container"] {
        let tree = Tree::copy(machine);
        // The display's light and its measure are two files; the kernel moves the second one with the first.
        for light in ["backlight/intel_backlight", "backlight/10-0045"] {
            if tree.path(&format!("sys/class/{light}")).exists() {
                tree.remove(&format!("sys/class/{light}/actual_brightness"));
            }
        }
        for driver in discover(&tree.root(), &Options::default()) {
            conforms(driver.as_ref());
            assert!(driver.origin().is_some_and(Path::is_absolute), "{}", driver.description().name);
            if driver.description().writable {
                drives(driver.as_ref());
            }
        }
    }
}

#[test]
fn made_up() {
    for driver in simulated(Simulated::ALL, 1) {
        conforms(driver.as_ref());
        if driver.description().writable {
            drives(driver.as_ref());
        }
    }
}

#[test]
fn from_outside() {
    let offers = Offers::new();
    let lamp = Name::new("lamp").unwrap();
    let mut description = ResourceDescription::actuator(lamp, Unit::EMPTY);
    description.properties.insert(Name::new("min").unwrap(), Value::Int(0));
    description.properties.insert(Name::new("max").unwrap(), Value::Int(100));
    let offer = Offer { description, value: Some(Value::Int(0)), ttl: Duration::from_secs(60) };
    let sensor = ResourceDescription::sensor(Name::new("weather").unwrap(), Unit::EMPTY);
    offers.put(BootTime::ZERO, offer.clone()).unwrap();
    offers.put(BootTime::ZERO, Offer { description: sensor, value: None, ttl: Duration::from_secs(60) }).unwrap();
    for driver in offers.drivers() {
        conforms(driver.as_ref());
    }
    // A program that does what it is told, as the one behind a lamp would.
    let offers = Arc::new(offers);
    let commands = offers.listen(&lamp).unwrap();
    let program = std::thread::spawn({
        let offers = offers.clone();
        move || {
            while let Ok(Some(value)) = commands.next(Duration::from_secs(10)) {
                offers.put(BootTime::ZERO, Offer { value: Some(value), ..offer.clone() }).unwrap();
            }
        }
    });
    let driver = offers.drivers().remove(0);
    for level in [5, 70, 0] {
        let seen = driver.changes().unwrap().generation();
        driver.write(&Value::Int(level)).unwrap();
        driver.changes().unwrap().wait_past(seen, Duration::from_secs(10));
        assert_eq!(driver.read(), Ok(Value::Int(level)));
    }
    offers.withdraw(&lamp).unwrap();
    program.join().unwrap();
}

#[test]
fn stored_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    conforms(&Storage::open(Name::new("shelf").unwrap(), folder.path(), 100).unwrap());
    conforms(&Screen::new(Name::new("window").unwrap(), Size::default()));
}
