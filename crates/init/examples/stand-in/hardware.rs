//! The kernel's virtual hardware, and the drivers of the pool on it: made, found, read, driven.

use std::{
    error::Error,
    fs,
    path::Path,
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant},
};

use evdev::{AttributeSet, KeyCode, KeyEvent, RelativeAxisCode, RelativeAxisEvent, uinput::VirtualDevice};
use tutti_model::Value;
use tutti_resources::{Driver, Options, SysRoot, discover};

/// For the kernel to do what it was asked, and for `tutti-init` to make files and load modules.
const SOON: Duration = Duration::from_secs(5);

/// Tells how each part went.
pub(crate) fn show() {
    for (what, part) in [("gpio", gpio as fn() -> Result<String, Box<dyn Error>>), ("hwmon", hwmon), ("input", input)] {
        match part() {
            Ok(how) => println!("stand-in: {what} ok: {how}"),
            Err(error) => println!("stand-in: {what} failed: {error}"),
        }
    }
    println!("stand-in: hardware is done");
    if let Err(error) = power_button() {
        println!("stand-in: the power button: {error}");
    }
}

/// The resource of this name, once it is there.
fn find(name: &str) -> Result<Arc<dyn Driver>, String> {
    let end = Instant::now() + SOON;
    loop {
        let found = discover(&SysRoot::default(), &Options::default());
        let names: Vec<String> = found.iter().map(|driver| driver.description().name.to_string()).collect();
        if let Some(driver) = found.into_iter().find(|driver| driver.description().name.as_str() == name) {
            return Ok(driver);
        }
        if Instant::now() >= end {
            return Err(format!("{name} is not among {}", names.join(" ")));
        }
        sleep(Duration::from_millis(50));
    }
}

fn expect(what: &str, driver: &dyn Driver, value: &Value) -> Result<(), String> {
    let end = Instant::now() + SOON;
    loop {
        let read = driver.read().map_err(|error| format!("{what}: {error}"))?;
        if read == *value {
            return Ok(());
        }
        if Instant::now() >= end {
            return Err(format!("{what} is {read}, not {value}"));
        }
        sleep(Duration::from_millis(20));
    }
}

/// A chip of gpio-sim (`Documentation/admin-guide/gpio/gpio-sim.rst`) with a door and a relay.
fn gpio() -> Result<String, Box<dyn Error>> {
    let chip = Path::new("/sys/kernel/config/gpio-sim/board");
    let bank = chip.join("bank0");
    fs::create_dir_all(&bank)?;
    fs::write(bank.join("num_lines"), "4")?;
    for (line, name) in [(0, "door"), (1, "relay")] {
        let line = bank.join(format!("line{line}"));
        fs::create_dir_all(&line)?;
        fs::write(line.join("name"), name)?;
    }
    fs::write(chip.join("live"), "1")?;
    let device = fs::read_to_string(chip.join("dev_name"))?;
    let name = fs::read_to_string(bank.join("chip_name"))?;
    let at = |line: u32, file: &str| {
        Path::new("/sys/devices/platform").join(device.trim()).join(name.trim()).join(format!("sim_gpio{line}/{file}"))
    };

    let door = find("gpio-door")?;
    expect("the door", &*door, &Value::Bool(false))?;
    fs::write(at(0, "pull"), "pull-up")?;
    expect("the door", &*door, &Value::Bool(true))?;
    if door.write(&Value::Bool(true)).is_ok() {
        return Err("an input was driven".into());
    }
    let relay = find("gpio-relay")?;
    for on in [true, false, true] {
        relay.write(&Value::Bool(on)).map_err(|error| error.to_string())?;
        expect("the relay", &*relay, &Value::Bool(on))?;
        let level = fs::read_to_string(at(1, "value"))?;
        if level.trim() != if on { "1" } else { "0" } {
            return Err(format!("the relay's line is {level}").into());
        }
    }
    find("gpio-relay").map_err(|why| format!("while it is driven: {why}"))?;
    relay.release().map_err(|error| error.to_string())?;
    Ok("a door was read and a relay driven".into())
}

/// A thermometer on the bus of i2c-stub: its driver is loaded because the chip says what it is.
fn hwmon() -> Result<String, Box<dyn Error>> {
    let buses = fs::read_dir("/sys/bus/i2c/devices")?;
    let bus = buses.flatten().map(|bus| bus.path()).find(|bus| bus.join("new_device").exists()).ok_or("no bus")?;
    fs::write(bus.join("new_device"), "lm75 0x48")?;
    let thermometer = find("temperature-lm75")?;
    expect("the thermometer", &*thermometer, &Value::Float(0.0))?;
    Ok(format!("{} at 0 °C", thermometer.description().name))
}

/// A button and a dial, and a keyboard that is left alone.
fn input() -> Result<String, Box<dyn Error>> {
    let end = Instant::now() + SOON;
    while !Path::new("/dev/uinput").exists() && Instant::now() < end {
        sleep(Duration::from_millis(20));
    }
    let keys: AttributeSet<KeyCode> = [KeyCode::KEY_MENU].into_iter().collect();
    let axes: AttributeSet<RelativeAxisCode> = [RelativeAxisCode::REL_DIAL].into_iter().collect();
    let panel = VirtualDevice::builder()?.name("front panel").with_keys(&keys)?.with_relative_axes(&axes)?;
    let mut panel = panel.build()?;
    let letters: AttributeSet<KeyCode> = (1..128).map(KeyCode::new).collect();
    let _keyboard = VirtualDevice::builder()?.name("a keyboard").with_keys(&letters)?.build()?;

    let driver = find("input-front-panel")?;
    let changes = driver.changes().ok_or("it does not tell of changes")?;
    let end = Instant::now() + SOON;
    // Until the file is open, what is pressed is not heard.
    loop {
        panel.emit(&[*KeyEvent::new(KeyCode::KEY_MENU, 1)])?;
        panel.emit(&[*KeyEvent::new(KeyCode::KEY_MENU, 0)])?;
        if changes.wait_past(0, Duration::from_millis(100)) > 0 {
            break;
        }
        if Instant::now() >= end {
            return Err(format!("nothing was heard: {:?}", driver.read()).into());
        }
    }
    panel.emit(&[*RelativeAxisEvent::new(RelativeAxisCode::REL_DIAL, -1)])?;
    expect("the panel", &*driver, &Value::Text("dial -1".into()))?;
    let all = discover(&SysRoot::default(), &Options::default());
    if all.iter().any(|driver| driver.description().name.as_str().contains("keyboard")) {
        return Err("a keyboard is offered".into());
    }
    if !tutti_resources::unserved(&SysRoot::default()).iter().any(|left| left.what == "a keyboard") {
        return Err("nobody says that the keyboard is left out".into());
    }
    Ok("a button and a dial were heard, a keyboard was not".into())
}

/// Presses the power button until the device is switched off by it.
fn power_button() -> Result<(), Box<dyn Error>> {
    let keys: AttributeSet<KeyCode> = [KeyCode::KEY_POWER].into_iter().collect();
    let mut button = VirtualDevice::builder()?.name("power button").with_keys(&keys)?.build()?;
    let end = Instant::now() + 2 * SOON;
    while Instant::now() < end {
        sleep(Duration::from_millis(200));
        button.emit(&[*KeyEvent::new(KeyCode::KEY_POWER, 1)])?;
        button.emit(&[*KeyEvent::new(KeyCode::KEY_POWER, 0)])?;
    }
    Err("nobody heard it".into())
}
