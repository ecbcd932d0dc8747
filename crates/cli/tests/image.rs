//! Products become images, and these boot and join a pool. By the layer `image`, which names the firmware, the kernel of
//! user-mode Linux and programs for 64-bit Arm in `TUTTI_IMAGE_FIRMWARE`, `TUTTI_IMAGE_AN386`, `TUTTI_LINUX` and
//! `TUTTI_IMAGE_ARM64` (so does the layer `arm64` the last); the layer `own-kernel` names a kernel in `TUTTI_OWN_KERNEL`. What is not
//! named is not booted.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the layer reads what each part says")]

#[path = "image/carried.rs"]
mod carried;
#[path = "image/own_kernel.rs"]
mod own_kernel;
#[path = "image/rescue.rs"]
mod rescue;
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use support::{
    booted::{BOOT, Booted, built, built_with, json, named, product},
    device::{Device, Plan, eventually},
};

const S: fn(u64) -> Duration = Duration::from_secs;

/// Two devices of one group on this machine.
fn pool(folder: &Path) -> (Device, Device) {
    let studio = Plan::new(folder, "studio").start();
    let attic = Plan::new(folder, "attic").start();
    attic.join(&studio);
    (studio, attic)
}

/// Boots a standard image, and uses it from a device of this machine. (Only from the one whose ticket it has: it is behind a
/// translation of addresses, and of others it knows none.)
fn boots_and_joins(studio: &Device, image: &Path, more: &[&str]) -> (Booted, f64) {
    let node = ["--node=--simulate", "--node=room-temperature,lamp"];
    let booted = Booted::start(studio, image, &[&["--join"], more, &node].concat());
    eventually(BOOT, "it joins the pool", || studio.sees(&["gateway"]));
    eventually(S(20), "its sensor is read", || {
        studio.reading("gateway/room-temperature").is_ok_and(|degrees| (10.0..35.0).contains(&degrees))
    });
    // What it offers may be known before who may use it.
    eventually(S(10), "its lamp is set", || studio.run(&["set", "gateway/lamp", "70"]).ok);
    assert_eq!(studio.reading("gateway/lamp").unwrap(), 70.0);
    let ready = booted.seconds("the node is ready,").expect("it says when its node is ready");
    (booted, ready)
}

fn gone(on: &Device, name: &str) -> Duration {
    eventually(S(20), &format!("{name} is gone"), || !on.sees(&[name]))
}

#[test]
fn a_standard_image_joins_from_an_emulator() {
    if named("TUTTI_IMAGE_FIRMWARE").is_some() {
        joins_from_an_emulator(["same", "standard", "left"], "qemu-x86-64", &[]);
    }
}

#[test]
fn a_standard_image_for_arm64_joins_from_an_emulator() {
    let Some(programs) = named("TUTTI_IMAGE_ARM64") else { return };
    let programs = programs.display().to_string();
    let parts = ["arm64-same", "arm64", "arm64-left"];
    joins_from_an_emulator(parts, "qemu-arm64", &["--programs", &programs]);
}

/// Builds the gateway for a board, boots it, uses it and switches it off; `parts` are what these are called.
fn joins_from_an_emulator(parts: [&str; 3], board: &str, options: &[&str]) {
    let [same, boots, left] = parts;
    let folder = tempfile::tempdir().unwrap();
    let board = format!("board = {board:?}");
    let changes = [("image = \"15 MiB\"", "image = \"64 MiB\""), ("board = \"qemu-x86-64\"", board.as_str())];
    let product = product("gateway", folder.path(), &changes);
    let first = built_with(&product, options);
    let bytes = fs::read(&first).unwrap();
    let begun = Instant::now();
    let again = built_with(&product, options);
    assert!(again == first && fs::read(&first).unwrap() == bytes, "the same product makes the same bytes");
    println!("\nok {same}: built twice, the same {} bytes, {:.1?}", bytes.len(), begun.elapsed());
    let inspected = json(&["inspect", "--json", &first.display().to_string()]);
    assert_eq!(inspected["manifest"]["product"], "gateway");
    assert_eq!(json(&["ls", "--json", &first.parent().unwrap().display().to_string()])[0]["version"], "0.1.0");

    let studio = Plan::new(folder.path(), "studio").start();
    let (booted, ready) = boots_and_joins(&studio, &first, &["--ram", "256 MiB"]);
    let used = studio.reading("gateway/memory-used").expect("it says what it uses") / f64::from(1 << 20);
    println!(
        "\nok {boots}: Debian's kernel in QEMU, its node ready {ready:.1} s after the start, used from another device, {used:.0} MiB in use"
    );
    let took = booted.end();
    let all = gone(&studio, "gateway");
    println!("\nok {left}: switched off in {took:.1?}, gone from another device {all:.1?} later");
}

#[test]
fn a_mini_image_joins_by_its_serial_line() {
    let Some(firmware) = named("TUTTI_IMAGE_FIRMWARE") else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = format!("image = {:?}", firmware.display().to_string());
    let image = built(&product("sensor", folder.path(), &[("source = \"../..\"", &file)]));
    let (studio, attic) = pool(folder.path());
    let booted = Booted::start(&studio, &image, &["--join"]);
    // The link is called by the product, and so is the satellite at its end.
    for core in ["sensor", "an521-core1"] {
        eventually(S(60), &format!("{core} joins"), || attic.sees(&[core]));
    }
    eventually(S(20), "its sensor is read", || {
        attic.reading("an521-core1/temperature").is_ok_and(|degrees| (20.0..24.0).contains(&degrees))
    });
    attic.must(&["set", "an521-core1/lamp", "on"]);
    println!("\nok mini: both cores of an an521 in the pool, a sensor read and a lamp switched from another device");
    let took = booted.end();
    eventually(S(10), "it is gone", || attic.view_of("an521-core1").is_none() && attic.view_of("sensor").is_none());
    println!("\nok unplugged: ended in {took:.1?}, and gone");
}

/// The sensor as a product for another board: what it cannot have is left out, and its limits are those of a small one.
fn small_sensor(name: &str, folder: &Path, parts: &str, firmware: &str) -> PathBuf {
    let changes = [
        ("name = \"sensor\"", &*format!("name = \"{name}\"")),
        ("board = \"mps2-an521\"", "board = \"mps2-an386\""),
        ("parts = [\"thermometer\", \"lamp\", \"second-core\"]", &format!("parts = [{parts}]")),
        ("source = \"../..\"", firmware),
        ("flash = \"128 KiB\"", "flash = \"64 KiB\""),
        ("ram = \"64 KiB\"", "ram = \"24 KiB\""),
    ];
    let folder = folder.join(name);
    fs::create_dir_all(&folder).unwrap();
    built(&product("sensor", &folder, &changes))
}

#[test]
fn the_small_board_joins_too() {
    let Some(firmware) = named("TUTTI_IMAGE_AN386") else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = format!("image = {:?}", firmware.display().to_string());
    let image = small_sensor("greenhouse", folder.path(), "\"thermometer\", \"lamp\"", &file);
    let (studio, attic) = pool(folder.path());
    let booted = Booted::start(&studio, &image, &["--join"]);
    eventually(S(60), "the board joins", || attic.sees(&["greenhouse"]));
    eventually(S(20), "its sensor is read", || {
        attic.reading("greenhouse/temperature").is_ok_and(|degrees| (20.0..24.0).contains(&degrees))
    });
    for (word, on) in [("on", true), ("off", false)] {
        attic.must(&["set", "greenhouse/lamp", word]);
        assert_eq!(attic.json(&["read", "greenhouse/lamp"])["value"], on);
    }
    println!("\nok an386: a Cortex-M4 in the pool, its sensor read and its lamp switched from another device");
    let took = booted.end();
    eventually(S(10), "it is gone", || attic.view_of("greenhouse").is_none());
    println!("\nok gone: the emulator ended in {took:.1?}");
}

/// The parts of a product are the features of its firmware: what is left out is neither in the program nor in the pool.
#[test]
fn parts_that_are_left_out_are_not_in_the_program() {
    if named("TUTTI_IMAGE_AN386").is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let source = format!("source = {:?}", source.display().to_string());
    let firmware = |name: &str, parts: &str| {
        let image = small_sensor(name, folder.path(), parts, &source);
        let inspected = json(&["inspect", "--json", &image.display().to_string()]);
        let members = inspected["manifest"]["members"].as_array().unwrap();
        (members[0]["size"].as_u64().unwrap(), image)
    };
    let (both, _) = firmware("both", "\"thermometer\", \"lamp\"");
    let (lamp, image) = firmware("only-lamp", "\"lamp\"");
    let (none, _) = firmware("bare", "");
    assert!(none < lamp && lamp < both, "{none}, {lamp} and {both} bytes");
    let studio = Plan::new(folder.path(), "studio").start();
    let booted = Booted::start(&studio, &image, &["--join"]);
    eventually(S(60), "the board joins", || studio.sees(&["only-lamp"]));
    studio.must(&["set", "only-lamp/lamp", "on"]);
    assert!(studio.reading("only-lamp/uptime").is_ok());
    assert!(studio.reading("only-lamp/temperature").is_err(), "there is no thermometer in it");
    println!(
        "\nok parts: {both} bytes with both drivers, {lamp} with one, {none} with none; what is left out is not offered"
    );
    drop(booted);
}

#[test]
fn the_same_system_is_a_program_of_this_machine() {
    let Some(kernel) = named("TUTTI_LINUX") else { return };
    let folder = tempfile::tempdir().unwrap();
    let kernel = format!(
        "board = \"user-mode-linux\"

[kernel]
file = {kernel:?}"
    );
    let changes = [
        ("board = \"qemu-x86-64\"", kernel.as_str()),
        // Nothing is compressed for a kernel that does not say what it can unpack.
        ("image = \"15 MiB\"", "image = \"256 MiB\""),
        (", \"watchdog\"", ""),
        ("[system]\ndevice = \"/dev/vda\"\n", ""),
    ];
    let image = built(&product("gateway", folder.path(), &changes));
    let studio = Plan::new(folder.path(), "studio").start();
    let begun = Instant::now();
    let (booted, ready) = boots_and_joins(&studio, &image, &["--ram", "512 MiB"]);
    let joined = begun.elapsed();
    drop(booted);
    let all = gone(&studio, "gateway");
    assert!(all < S(5), "gone after {all:?}");
    println!(
        "\nok user-mode: its node ready {ready:.1} s after the start, used from another device {joined:.1?} after the command, gone {all:.1?} after its end"
    );
}
