//! What a running device costs, and how fast devices find, miss and meet each other: with the `tutti` that users get,
//! as separate processes on this machine.
//!
//! Prints a JSON object a line: `name`, `value`, `unit`. Times are medians over the rounds. The presence figures wait
//! on timers of the fabric, so they move little with the machine.

#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr)]

mod support;

use std::time::{Duration, Instant};

use support::{Device, MIB, TUTTI, median, millis, pair, row, wait};

const ROUNDS: usize = 5;

fn main() {
    row("fabric.node.binary", std::fs::metadata(TUTTI).expect("the binary").len() as f64 / MIB, "MiB");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let alone = Device::start(folder.path(), "alone", 9);
    std::thread::sleep(Duration::from_secs(10));
    row("fabric.node.memory", alone.resident() / MIB, "MiB");
    drop(alone);

    let mut meet = Vec::new();
    let mut found = Vec::new();
    let mut missed = Vec::new();
    let mut returned = Vec::new();
    let mut core = Vec::new();
    for round in 0..ROUNDS {
        let folder = folder.path().join(round.to_string());
        let names = ["a", "b", "c"];
        let start = Instant::now();
        let devices: Vec<Device> = names.iter().map(|name| Device::start(&folder, name, 0)).collect();
        wait("they discover each other", || devices.iter().all(|device| device.nearby() >= 2));
        found.push(millis(start));
        for joiner in &devices[1..] {
            pair(&devices[0], joiner);
        }
        wait("they are one pool", || devices.iter().all(|device| device.online() == 2));
        drop(devices);

        let start = Instant::now();
        let mut devices: Vec<Device> = names.iter().map(|name| Device::start(&folder, name, 0)).collect();
        wait("they see each other again", || devices.iter().all(|device| device.online() == 2));
        meet.push(millis(start));

        let start = Instant::now();
        devices[0].start_core();
        wait("its core is read", || devices[2].json(&["read", "core/die-temperature"]).is_some());
        core.push(millis(start));

        // The killed one is the last, so that the others can be asked.
        std::thread::sleep(Duration::from_secs(3));
        let mut killed = devices.pop().expect("three devices");
        killed.kill();
        let start = Instant::now();
        wait("the killed one is missed", || devices.iter().all(|device| device.online() == 1));
        missed.push(millis(start));
        let start = Instant::now();
        let _back = Device::start(&folder, "c", 0);
        wait("it is back", || devices.iter().all(|device| device.online() == 2));
        returned.push(millis(start));
    }
    row("fabric.node.discovery", median(found), "ms");
    row("fabric.node.start-to-pool", median(meet), "ms");
    row("fabric.node.core.start", median(core), "ms");
    row("fabric.node.presence.lost", median(missed), "ms");
    row("fabric.node.presence.returned", median(returned), "ms");
}
