//! Devices as users run them, each a process of its own, for the benchmarks of whole devices.
#![allow(dead_code, reason = "each benchmark uses a part of it")]

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

pub(crate) const TUTTI: &str = env!("CARGO_BIN_EXE_tutti");
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const MIB: f64 = 1024.0 * 1024.0;

pub(crate) fn row(name: &str, value: f64, unit: &str) {
    println!("{{\"name\":\"{name}\",\"value\":{value:.2},\"unit\":\"{unit}\"}}");
}

pub(crate) fn millis(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

pub(crate) fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The resident memory of a process, in bytes.
pub(crate) fn resident(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line VmRSS");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).expect("KiB") * 1024.0
}

/// `joiner` enters the group of `owner` by the code that it shows.
pub(crate) fn pair(owner: &Device, joiner: &Device) {
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
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) state: PathBuf,
    runtime: PathBuf,
    process: Child,
}

impl Device {
    pub(crate) fn start(folder: &Path, name: &str, port: u16) -> Self {
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

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(TUTTI);
        command.arg("--state").arg(&self.state).args(args).env("TUTTI_RUNTIME_DIR", &self.runtime);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    pub(crate) fn json(&self, args: &[&str]) -> Option<Value> {
        let out = self.command(args).arg("--json").output().expect("tutti runs");
        out.status.success().then(|| serde_json::from_slice(&out.stdout).expect("JSON"))
    }

    /// Starts the demo's coprocessor as another core of it.
    pub(crate) fn start_core(&self) {
        let mut starting = self.command(&["amp", "start", "core", TUTTI, "--", "demo-core", "core"]);
        let status = starting.stdout(Stdio::null()).status().expect("tutti runs");
        assert!(status.success(), "the core does not start");
    }

    /// How many other devices are there; not their cores.
    pub(crate) fn online(&self) -> usize {
        let devices = self.json(&["devices"]).unwrap_or_default();
        let there = |device: &&Value| device["presence"] == "online" && device["via"].is_null();
        devices.as_array().map_or(0, |list| list.iter().filter(there).count())
    }

    pub(crate) fn nearby(&self) -> usize {
        self.json(&["nearby"]).and_then(|list| list.as_array().map(Vec::len)).unwrap_or(0)
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> f64 {
        resident(self.process.id())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.command(&["down"]).stdout(Stdio::null()).status();
        self.kill();
    }
}
