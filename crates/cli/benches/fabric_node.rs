//! What a running device costs, and how fast devices find, miss and meet each other: with the `tutti` that users get,
//! as separate processes on this machine.
//!
//! Prints a JSON object a line: `name`, `value`, `unit`. Times are medians over the rounds. The presence figures wait
//! on timers of the fabric, so they move little with the machine.

#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr)]

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

const TUTTI: &str = env!("CARGO_BIN_EXE_tutti");
const ROUNDS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(20);

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

const MIB: f64 = 1024.0 * 1024.0;

fn row(name: &str, value: f64, unit: &str) {
    println!("{{\"name\":\"{name}\",\"value\":{value:.2},\"unit\":\"{unit}\"}}");
}

fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// `joiner` enters the group of `owner` by the code that it shows.
fn pair(owner: &Device, joiner: &Device) {
    let mut offering = owner.command(&["pair", "--json"]).stdout(Stdio::piped()).spawn().expect("tutti runs");
    let mut line = String::new();
    BufReader::new(offering.stdout.take().expect("is piped")).read_line(&mut line).expect("an offer");
    let offer: Value = serde_json::from_str(&line).expect("the offer is JSON");
    let code = offer["code"].as_str().expect("a code").to_owned();
    let joined = joiner.command(&["pair", &owner.name, "--code", &code]).stdout(Stdio::null()).status();
    assert!(joined.expect("tutti runs").success(), "pairing failed");
    let _ = offering.wait();
}

/// A device as a process of its own, ended when dropped.
struct Device {
    name: String,
    state: PathBuf,
    runtime: PathBuf,
    process: Child,
}

impl Device {
    fn start(folder: &Path, name: &str, port: u16) -> Self {
        let (state, runtime) = (folder.join(name), folder.join("run"));
        std::fs::create_dir_all(folder).expect("a folder");
        let port = if port == 0 { "0".to_owned() } else { (42_000 + port).to_string() };
        let process = Command::new(TUTTI)
            .args(["up", "--foreground", "--no-mdns", "--name", name, "--port", &port, "--state"])
            .arg(&state)
            .env("TUTTI_RUNTIME_DIR", &runtime)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join(format!("{name}.log"))).expect("a log"))
            .spawn()
            .expect("tutti runs");
        let device = Self { name: name.to_owned(), state, runtime, process };
        wait("a device is up", || device.json(&["status"]).is_some());
        device
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(TUTTI);
        command.arg("--state").arg(&self.state).args(args).env("TUTTI_RUNTIME_DIR", &self.runtime);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn json(&self, args: &[&str]) -> Option<Value> {
        let out = self.command(args).arg("--json").output().expect("tutti runs");
        out.status.success().then(|| serde_json::from_slice(&out.stdout).expect("JSON"))
    }

    /// Starts the demo's coprocessor as another core of it.
    fn start_core(&self) {
        let mut starting = self.command(&["amp", "start", "core", TUTTI, "--", "demo-core", "core"]);
        let status = starting.stdout(Stdio::null()).status().expect("tutti runs");
        assert!(status.success(), "the core does not start");
    }

    fn online(&self) -> usize {
        let devices = self.json(&["devices"]).unwrap_or_default();
        devices.as_array().map_or(0, |list| list.iter().filter(|device| device["presence"] == "online").count())
    }

    fn nearby(&self) -> usize {
        self.json(&["nearby"]).and_then(|list| list.as_array().map(Vec::len)).unwrap_or(0)
    }

    fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Resident memory in bytes.
    fn resident(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line VmRSS");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).expect("KiB") * 1024.0
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.command(&["down"]).stdout(Stdio::null()).status();
        self.kill();
    }
}
