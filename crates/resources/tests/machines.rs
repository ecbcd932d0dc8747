//! What whole machines offer: the committed fixture trees as snapshots, hostile ones, changing ones, and this one.

mod support;

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt,
    sync::Arc,
    time::{Duration, Instant},
};

use support::{Tree, fixture};
use tutti_model::{DeviceId, DeviceRecord, Name, ResourceKind, Text, Value};
use tutti_resources::{Driver, DriverError, Inventory, Options, SysRoot, describe_machine, discover};

/// One line for each resource. What is read of disks is the disk that the fixture lies on, so it is left out.
fn offers(root: &SysRoot) -> String {
    let mut out = String::new();
    let facts = describe_machine(root);
    let host = facts.host_name.map(|name| name.to_string()).unwrap_or_default();
    writeln!(out, "{} | {} | {} | {} | {host}", facts.kind, facts.architecture, facts.model, facts.os).unwrap();
    writeln!(out, "{} cores, {} bytes", facts.cores, facts.memory).unwrap();
    for driver in discover(root, &Options::default()) {
        let description = driver.description();
        let disk = description.name.as_str().starts_with("disk-");
        let value = match driver.read() {
            Ok(_) if disk => "…".to_owned(),
            Ok(value) => format!("{value} {}", description.unit).trim_end().to_owned(),
            Err(error) => error.to_string().replace(&root.locate("/").display().to_string(), "ROOT"),
        };
        let properties: Vec<_> = description
            .properties
            .iter()
            .map(
                |(key, value)| {
                    if disk && key.as_str() == "total" { "total=…".into() } else { format!("{key}={value}") }
                },
            )
            .collect();
        let kind = if description.writable { "actuator" } else { "sensor" };
        writeln!(out, "{kind} {} = {value} [{}]", description.name, properties.join(" ")).unwrap();
    }
    out
}

fn named(root: &SysRoot, name: &str) -> Arc<dyn Driver> {
    discover(root, &Options::default())
        .into_iter()
        .find(|driver| driver.description().name.as_str() == name)
        .unwrap_or_else(|| panic!("{name} is not offered"))
}

#[test]
fn known_machines_offer_what_they_have() {
    for machine in ["laptop", "board", "server", "container"] {
        // A copy belongs to whoever runs the test, so that all may write its LEDs.
        let tree = Tree::copy(machine);
        insta::assert_snapshot!(machine, offers(&tree.root()));
    }
}

#[test]
fn each_core_is_offered_when_asked_for() {
    let root = SysRoot::new(fixture("laptop")).unwrap();
    let mut options = Options::default();
    options.per_core_load = true;
    let names: Vec<_> = discover(&root, &options)
        .iter()
        .map(|driver| driver.description().name.to_string())
        .filter(|name| name.starts_with("cpu-load"))
        .collect();
    assert_eq!(names, ["cpu-load", "cpu-load-0", "cpu-load-1", "cpu-load-2", "cpu-load-3"]);
    options.max_resources = 3;
    let mut more = options.clone();
    more.max_resources = 1000;
    let all = discover(&root, &more).len();
    assert_eq!(discover(&root, &options).len(), 3);
    assert_eq!(Inventory::new(root, options).left_out(), all - 3);
}

#[test]
fn this_machine_has_a_processor_and_memory() {
    let root = SysRoot::default();
    let start = Instant::now();
    let drivers = discover(&root, &Options::default());
    assert!(start.elapsed() < Duration::from_secs(5), "looking took {:?}", start.elapsed());
    let mut names = BTreeSet::new();
    for driver in &drivers {
        let description = driver.description();
        assert!(names.insert(description.name), "{} twice", description.name);
        assert!(!description.simulated && description.readable);
        match driver.read() {
            Ok(value) => assert!(value.as_f64().is_none_or(f64::is_finite), "{}: {value}", description.name),
            // A chip may be asleep, but nothing may be read that a machine like this does not have.
            Err(error) => assert!(!matches!(error, DriverError::NotReadable), "{}: {error}", description.name),
        }
    }
    let read = |name: &str| {
        let driver = drivers.iter().find(|driver| driver.description().name.as_str() == name).unwrap();
        driver.read().unwrap().as_f64().unwrap()
    };
    assert!((0.0..=100.0).contains(&read("cpu-load")));
    let facts = describe_machine(&root);
    assert!(read("memory-used") > 0.0 && read("memory-used") < facts.memory as f64);
    assert!(read("memory-available") > 0.0);
    assert!(facts.cores >= 1 && facts.os.as_str().contains("Linux"));
    let record = DeviceRecord {
        device: DeviceId::from_bytes([7; 32]),
        seq: 1,
        name: Name::new("here").unwrap(),
        kind: facts.kind,
        architecture: facts.architecture,
        os: facts.os,
        profile: Text::EMPTY,
        software: Text::EMPTY,
        via: None,
        satellites: None,
        capacity: None,
        resources: drivers.iter().map(|driver| driver.description()).collect(),
    };
    record.emit().expect("what this machine offers fits into a record");
}

#[test]
fn a_busy_processor_shows() {
    let tree = Tree::copy("laptop");
    let load = named(&tree.root(), "cpu-load");
    let received = named(&tree.root(), "net-wlp2s0-received");
    std::thread::sleep(Duration::from_millis(120));
    // 300 more ticks of work, 100 of idling.
    tree.write("proc/stat", "cpu  19380 600 4480 67700 2080 120 180 28 0 0\n");
    let dev = tree.read("proc/net/dev").replace("197073739", "198073739");
    tree.write("proc/net/dev", dev);
    let before: Vec<u64> = fs::read_to_string(fixture("laptop").join("proc/stat")).unwrap().lines().next().unwrap()
        ["cpu ".len()..]
        .split_whitespace()
        .map(|ticks| ticks.parse().unwrap())
        .collect();
    let (user, idle) = (19380 - before[0], 67700 - before[3]);
    let wanted = user as f64 * 100.0 / (user + idle) as f64;
    assert_eq!(load.read(), Ok(Value::Float(wanted)));
    // A million bytes in a little more than 120 ms.
    let rate = received.read().unwrap().as_f64().unwrap();
    assert!(rate > 1e6 / 5.0 && rate <= 1e6 / 0.12, "{rate}");
    // What is gone is an error, and the others go on.
    tree.write("proc/net/dev", "nothing here");
    std::thread::sleep(Duration::from_millis(120));
    assert!(matches!(received.read(), Err(DriverError::Gone(_))));
}

#[test]
fn a_led_is_taken_from_its_trigger_and_given_back() {
    let tree = Tree::copy("board");
    let (trigger, brightness) = ("sys/class/leds/ACT/trigger", "sys/class/leds/ACT/brightness");
    let led = named(&tree.root(), "led-act");
    assert_eq!(led.read(), Ok(Value::Bool(false)));
    assert!(tree.read(trigger).contains("[mmc0]"), "reading takes nothing");
    led.write(&Value::Bool(true)).unwrap();
    assert_eq!((tree.read(trigger).as_str(), tree.read(brightness).as_str()), ("none", "1"));
    assert_eq!(led.read(), Ok(Value::Bool(true)));
    led.release().unwrap();
    assert_eq!(tree.read(trigger), "mmc0");
    // The kernel would show the list again.
    tree.write(trigger, "none [mmc0] timer");
    led.write(&Value::Int(0)).unwrap();
    assert_eq!(tree.read(trigger), "none");
    drop(led);
    assert_eq!(tree.read(trigger), "mmc0", "dropping gives it back too");
}

#[test]
fn levels_are_set_within_their_range() {
    let tree = Tree::copy("laptop");
    let light = named(&tree.root(), "backlight-intel-backlight");
    let brightness = "sys/class/backlight/intel_backlight/brightness";
    light.write(&Value::Float(25.0)).unwrap();
    assert_eq!(tree.read(brightness), "4800");
    light.write(&Value::Float(0.01)).unwrap();
    assert_eq!(tree.read(brightness), "192", "never below one per cent");
    for bad in [Value::Int(101), Value::Float(-0.5), Value::Text("bright".into())] {
        light.write(&bad).unwrap_err();
    }
    assert_eq!(tree.read(brightness), "192", "a refused value changes nothing");
    light.write(&Value::Int(0)).unwrap();
    assert_eq!(tree.read(brightness), "0");
    let keyboard = named(&tree.root(), "led-tpacpi-kbd-backlight");
    keyboard.write(&Value::Int(100)).unwrap();
    assert_eq!(tree.read("sys/class/leds/tpacpi::kbd_backlight/brightness"), "2");
    assert_eq!(named(&tree.root(), "cpu-load").write(&Value::Int(1)), Err(DriverError::NotWritable));
}

#[test]
fn what_may_not_be_written_says_what_to_do() {
    let advice = DriverError::NotPermitted { path: "/x".into(), advice: "add a udev rule" };
    assert_eq!(advice.to_string(), "this program may not use /x; add a udev rule");
    if rustix::process::geteuid().is_root() {
        // Root may write whatever the mode says; the check below is for everybody else.
        return;
    }
    let tree = Tree::copy("board");
    let brightness = tree.path("sys/class/leds/ACT/brightness");
    fs::set_permissions(&brightness, fs::Permissions::from_mode(0o444)).unwrap();
    let led = named(&tree.root(), "led-act");
    assert_eq!(led.description().properties[&Name::new("permitted").unwrap()], Value::Bool(false));
    let error = led.write(&Value::Bool(true)).unwrap_err();
    assert!(matches!(error, DriverError::NotPermitted { .. }) && error.to_string().contains("udev"), "{error}");
}

#[test]
fn hardware_comes_and_goes() {
    let tree = Tree::copy("board");
    let mut inventory = Inventory::new(tree.root(), Options::default());
    let kept = |inventory: &Inventory, name: &str| inventory.drivers()[&Name::new(name).unwrap()].clone();
    let led = kept(&inventory, "led-act");
    led.write(&Value::Bool(true)).unwrap();
    assert!(inventory.look().is_empty(), "nothing changed");
    assert!(Arc::ptr_eq(&led, &kept(&inventory, "led-act")), "what stays is the same driver");
    assert_eq!(tree.read("sys/class/leds/ACT/trigger"), "none", "and keeps what it has taken");

    tree.write("sys/class/leds/green:usb/brightness", "0");
    tree.write("sys/class/leds/green:usb/max_brightness", "255");
    tree.remove("sys/bus/iio/devices/iio:device4");
    let changes = inventory.look();
    assert_eq!(changes.added, [Name::new("led-green-usb").unwrap()]);
    assert_eq!(changes.removed, [Name::new("hmc5883-magnetic-field-x").unwrap()]);

    // The same chip under another number of the kernel's: the name stays, the driver is a new one.
    fs::rename(tree.path("sys/bus/iio/devices/iio:device3"), tree.path("sys/bus/iio/devices/iio:device9")).unwrap();
    let changes = inventory.look();
    let mlx = ["mlx90614-temperature-ambient", "mlx90614-temperature-object"].map(|name| Name::new(name).unwrap());
    assert_eq!((changes.added.as_slice(), changes.removed.len()), (mlx.as_slice(), 0));
    assert_eq!(kept(&inventory, "mlx90614-temperature-object").read(), Ok(Value::Float(26.85)));
}

#[test]
fn a_driver_outlives_its_hardware() {
    let tree = Tree::copy("board");
    let drivers = discover(&tree.root(), &Options::default());
    for folder in ["sys", "proc"] {
        tree.remove(folder);
    }
    for driver in &drivers {
        let name = driver.description().name;
        if !name.as_str().starts_with("disk-") {
            assert!(matches!(driver.read(), Err(DriverError::Gone(_))), "{name}: {:?}", driver.read());
        }
        if driver.description().writable {
            assert!(matches!(driver.write(&Value::Bool(true)), Err(DriverError::Gone(_))), "{name}");
        }
    }
    assert!(discover(&tree.root(), &Options::default()).is_empty());
}

/// A tree in which everything is wrong: files that are huge, binary, empty, missing, pipes, links to themselves and
/// to the outside, folders where files should be.
fn hostile() -> Tree {
    let tree = Tree::empty();
    let huge = |path: &str| {
        tree.write(path, "");
        fs::File::options().write(true).open(tree.path(path)).unwrap().set_len(1 << 40).unwrap();
    };
    let pipe = |path: &str| {
        fs::create_dir_all(tree.path(path).parent().unwrap()).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, tree.path(path), rustix::fs::Mode::RWXU).unwrap();
    };
    let binary: Vec<u8> = (0..=255).cycle().take(3000).collect();
    huge("proc/stat");
    pipe("proc/loadavg");
    tree.write("proc/meminfo", "MemTotal: 18446744073709551615 kB\nMemAvailable: 18446744073709551615 kB\nMemF");
    tree.write(
        "proc/mounts",
        [b"/dev/a / ext4 rw\n/dev/b /\\377\\000 ext4 rw\n/dev/c ../../etc ext4 rw\n", &binary[..]].concat(),
    );
    tree.write("proc/net/dev", "Inter-|\n face |\n ../../x: 1 2 3 4 5 6 7 8 9\n  eth0: 18446744073709551615 0 0 0 0 0 0 0 99999999999999999999999\n  e1: 5 0 0 0 0 0 0 0 7\n");
    tree.write("proc/cpuinfo", &binary);
    tree.write("etc/os-release", [b"PRETTY_NAME=\"\x1b[2J", &binary[..]].concat());
    tree.link("proc/sys/kernel/hostname", "hostname");
    tree.write("sys/class/dmi/id/chassis_type", "999");

    let hwmon = |number: usize, name: &[u8]| {
        let folder = format!("sys/class/hwmon/hwmon{number}");
        tree.write(&format!("{folder}/name"), name);
        folder
    };
    let chip = hwmon(0, b"coretemp");
    tree.write(&format!("{chip}/temp1_input"), "99999999999999999999");
    tree.write(&format!("{chip}/temp1_label"), &binary);
    tree.write(&format!("{chip}/temp2_input"), &binary);
    tree.write(&format!("{chip}/temp3_input"), "-274000");
    tree.write(&format!("{chip}/temp99999999999_input"), "1");
    tree.write(&format!("{chip}/temp_input"), "1");
    tree.write(&format!("{chip}/tempx_input"), "1");
    pipe(&format!("{chip}/temp4_input"));
    huge(&format!("{chip}/temp5_input"));
    tree.link(&format!("{chip}/temp6_input"), "temp6_input");
    fs::create_dir_all(tree.path(&format!("{chip}/temp7_input"))).unwrap();
    hwmon(1, &binary);
    hwmon(2, b"");
    tree.link("sys/class/hwmon/hwmon3", "hwmon3");
    tree.link("sys/class/hwmon/hwmon4", "../../../../../../../../etc");
    tree.write("sys/class/hwmon/hwmon5", "a file");
    tree.link("sys/class/thermal/thermal_zone0", ".");
    tree.write("sys/class/thermal/thermal_zone1/type", "x".repeat(4000));
    tree.write("sys/class/thermal/thermal_zone1/temp", "nan");

    for (supply, kind) in [("BAT0", "Battery"), ("BAT1", "Battery"), ("AC", "Mains")] {
        tree.write(&format!("sys/class/power_supply/{supply}/type"), kind);
    }
    tree.write("sys/class/power_supply/BAT0/capacity", "900");
    tree.write("sys/class/power_supply/BAT0/status", "On fire\x1b[2J");
    tree.write("sys/class/power_supply/BAT0/power_now", "inf");
    tree.write("sys/class/power_supply/BAT1/energy_now", "5");
    tree.write("sys/class/power_supply/BAT1/energy_full", "0");
    tree.write("sys/class/power_supply/AC/online", "yes");
    let iio = "sys/bus/iio/devices/iio:device0";
    tree.write(&format!("{iio}/name"), "");
    tree.write(&format!("{iio}/in_temp_raw"), "1e308");
    tree.write(&format!("{iio}/in_temp_scale"), "1e308");
    tree.write(&format!("{iio}/in_pressure_input"), "");
    tree.write(&format!("{iio}/in_voltage0_raw"), "5");
    pipe(&format!("{iio}/in_voltage0_scale"));
    for number in 0..200 {
        tree.write(&format!("{iio}/in_voltage{number}_raw"), "1");
    }
    for (led, max) in [("none", ""), ("zero", "0"), ("negative", "-1"), ("much", "4294967295"), ("pipe", "1")] {
        tree.write(&format!("sys/class/leds/{led}/max_brightness"), max);
        tree.write(&format!("sys/class/leds/{led}/brightness"), "77777777777");
    }
    tree.remove("sys/class/leds/pipe/brightness");
    pipe("sys/class/leds/pipe/brightness");
    pipe("sys/class/leds/much/trigger");
    tree.write("sys/class/backlight/x/max_brightness", &binary);
    tree
}

#[test]
fn a_hostile_tree_costs_errors_only() {
    let tree = hostile();
    let root = tree.root();
    let start = Instant::now();
    let drivers = discover(&root, &Options::default());
    let mut out = String::new();
    for driver in &drivers {
        let description = driver.description();
        assert!(description.name.as_str().len() < 64);
        for (key, value) in &description.properties {
            let printable = !value.to_string().chars().any(char::is_control);
            assert!(printable && value.to_string().len() < 64, "{key}={value}");
        }
        let answer = match driver.read() {
            Ok(value) => value.to_string(),
            Err(error) => {
                let text = error.to_string().replace(&root.locate("/").display().to_string(), "ROOT");
                assert!(!text.chars().any(char::is_control), "{text:?}");
                text
            }
        };
        if description.kind == ResourceKind::Actuator {
            // Whatever it says, it neither hangs nor panics.
            let _ = driver.write(&Value::Bool(true));
        }
        if !description.name.as_str().starts_with("disk-") {
            writeln!(out, "{} = {answer}", description.name).unwrap();
        }
    }
    let facts = describe_machine(&root);
    assert!(!facts.os.as_str().chars().any(char::is_control));
    assert_eq!((facts.kind.as_str(), facts.host_name, facts.cores), ("computer", None, 0));
    assert!(start.elapsed() < Duration::from_secs(5), "it took {:?}", start.elapsed());
    // Sixty more of one sort follow.
    let shown: String = out
        .lines()
        .filter(|line| !line.starts_with("iio-voltage-") || line.starts_with("iio-voltage-0"))
        .fold(String::new(), |text, line| text + line + "\n");
    insta::assert_snapshot!("hostile", shown);
}
