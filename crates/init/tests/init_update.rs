//! New systems on a real kernel: one that joins, one that does not, one that cannot be started, and power cuts at seeded
//! moments on the way. Part of the layer `init`. `TUTTI_POWER_CUTS` says how many cuts, `TUTTI_POWER_SEED` where they begin.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the layer reads how each part went")]

mod support;

use std::{fs, path::PathBuf, time::Instant};

use support::{Machine, kernel};
use tempfile::TempPath;
use tutti_update::testing::{Made, key};

/// A device of version 1.0.0 with an image on its second disk, which it installs at once.
struct Device {
    machine: Machine,
    state: TempPath,
    _image: TempPath,
}

fn settings(version: &str, stand_in: &str) -> String {
    let key: String = key(1).0.verifying_key().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "product = \"gateway\"\nversion = \"{version}\"\n[state]\ndevice = \"/dev/ubda\"\n[network]\nmode = \"none\"\n\
         [node.environment]\nSTAND_IN = \"{stand_in}\"\n[update]\nkey = \"{key}\"\ndeadline = 10\n"
    )
}

impl Device {
    /// The new system has a node that does this.
    fn new(kernel: PathBuf, stand_in: &str) -> Self {
        let mut new = Machine::new(kernel.clone());
        new.settings = settings("2.0.0", stand_in);
        Self::with_image(kernel, &Made::new("gateway", "2.0.0", &new.image()).sign(&key(1).0))
    }

    fn with_image(kernel: PathBuf, image: &[u8]) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        // A disk has whole blocks.
        let mut bytes = image.to_vec();
        bytes.resize(bytes.len().next_multiple_of(4096), 0);
        fs::write(file.path(), bytes).unwrap();
        let image = file.into_temp_path();
        let state = support::disk();
        let mut machine = Machine::new(kernel).disk(&state).disk(&image);
        machine.settings = settings("1.0.0", "updates");
        Self { machine, state, _image: image }
    }

    fn renew(&mut self) {
        let state = support::disk();
        self.machine.set_disk(0, &state);
        self.state = state;
    }
}

fn has(seen: &[String], what: &str) -> bool {
    seen.iter().any(|line| line.contains(what))
}

#[test]
fn a_new_system_that_joins_stays() {
    let Some(kernel) = kernel() else { return };
    let device = Device::new(kernel, "joins");
    let begin = Instant::now();
    let mut running = device.machine.boot();
    let seen = running.until("has joined the pool: it is good");
    assert!(has(&seen, "stand-in: installed 2.0.0 in slot a"), "{seen:#?}");
    assert!(has(&seen, "starting gateway 2.0.0 from slot a"), "{seen:#?}");
    let took = begin.elapsed();
    running.ask("poweroff");
    let mut running = device.machine.boot();
    let seen = running.until("the node is ready");
    assert!(has(&seen, "starting gateway 2.0.0 from slot a") && !has(&seen, "on trial"), "{seen:#?}");
    running.ask("poweroff");
    println!("ok update good: from 1.0.0 to 2.0.0 in {:.1} s, and it stays", took.as_secs_f64());
}

#[test]
fn a_new_system_that_does_not_join_is_given_up() {
    let Some(kernel) = kernel() else { return };
    let device = Device::new(kernel, "");
    // Only once: the old one would install it again.
    let mut running = device.machine.boot();
    running.until("starting gateway 2.0.0 from slot a");
    let seen = running.until("the one before it runs again");
    assert!(has(&seen, "has not joined the pool within 10 s"), "{seen:#?}");
    let seen = running.until("the node is ready");
    assert!(has(&seen, "tutti: version") && !has(&seen, "starting gateway 2.0.0"), "{seen:#?}");
    println!("ok update fallback: 2.0.0 did not join, 1.0.0 runs again");
}

#[test]
fn a_new_system_that_cannot_be_started_is_given_up_at_once() {
    let Some(kernel) = kernel() else { return };
    for (system, why) in [(&b"nonsense"[..], "neither cpio"), (&[0; 5000][..], "it has no /init")] {
        let image = Made::new("gateway", "2.0.0", system).sign(&key(1).0);
        let device = Device::with_image(kernel.clone(), &image);
        let mut running = device.machine.boot();
        running.until("stand-in: installed 2.0.0");
        let seen = running.until("the node is ready");
        assert!(has(&seen, "slot a cannot be started") && has(&seen, why), "{seen:#?}");
    }
    println!("ok update unfit: two systems that cannot be started, 1.0.0 runs");
}

/// Power is cut at seeded moments between switching on and the new system's joining. Each time the device is
/// switched on again it runs the old system or the new one, and comes to the new one in the end.
#[test]
fn a_power_cut_leaves_the_old_system_or_the_new_one() {
    let Some(kernel) = kernel() else { return };
    let number = |name: &str, or: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or);
    let (cuts, seed) = (number("TUTTI_POWER_CUTS", 30), number("TUTTI_POWER_SEED", 1));
    let mut device = Device::new(kernel, "joins");
    let begin = Instant::now();
    let mut running = device.machine.boot();
    running.until("stand-in: installed 2.0.0");
    let installed = begin.elapsed();
    running.until("has joined the pool: it is good");
    let whole = begin.elapsed();
    drop(running);

    let mut random = seed | 1;
    let (mut old, mut new) = (0, 0);
    for cut in 0..cuts {
        device.renew();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // Most of what can go wrong goes wrong until it is installed, which is the smaller part of the time.
        let within = if cut % 3 == 0 { whole } else { installed };
        let after = within.mul_f64((random >> 33) as f64 / f64::from(1u32 << 31));
        let cut_off = device.machine.boot();
        std::thread::sleep(after);
        // Nobody asks it to end: what the kernel had not written yet is gone.
        drop(cut_off);
        let mut running = device.machine.boot();
        let seen = running.until("the node is ready");
        assert!(!has(&seen, "cannot be mounted"), "seed {seed}, cut {cut} after {after:?}: {seen:#?}");
        let (is_new, on_trial) = (has(&seen, "starting gateway 2.0.0 from slot a"), has(&seen, "on trial"));
        if is_new {
            new += 1
        } else {
            old += 1
        }
        if !is_new || on_trial {
            running.until("has joined the pool: it is good");
        }
    }
    let whole = whole.as_secs_f64();
    println!(
        "ok update power: {cuts} cuts within {whole:.1} s: {old} times the old system, {new} times the new one; seed {seed}"
    );
}
