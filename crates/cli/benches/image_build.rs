//! What an image costs: its build, its size, its boot until it is in the pool, the memory that it then uses; with the `tutti`
//! that users get, Debian's kernel and an emulator that is an interpreter (so seconds are the guest's). Then the same on a kernel that was
//! built for the product alone, if `TUTTI_OWN_KERNEL` names one (with its `config` beside it), as `cargo xtask bench image` does.
//!
//! Prints a JSON object a line: `name`, `value`, `unit`.

#![allow(missing_docs, dead_code, clippy::print_stdout, clippy::print_stderr)]

#[path = "../tests/support/device.rs"]
mod device;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use device::{Device, Plan, TUTTI};

const MIB: f64 = 1024.0 * 1024.0;

/// The memories that are tried, in MiB, the least first.
const MEMORIES: [u32; 13] = [40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120, 128, 160];

/// How long a boot may take before that memory counts as too little.
const BOOT: Duration = Duration::from_secs(60);

fn row(name: &str, value: f64, unit: &str) {
    println!("{{\"name\":\"{name}\",\"value\":{value:.2},\"unit\":\"{unit}\"}}");
}

fn main() {
    first_process();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let product = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../products/gateway/product.toml");
    let own = folder.path().join("product.toml");
    fs::copy(product, &own).expect("the product is there");
    // The first build fetches the kernel, which is not what is measured.
    let image = build(&own);
    let begun = Instant::now();
    build(&own);
    row("image.build", begun.elapsed().as_secs_f64(), "s");
    let studio = Plan::new(folder.path(), "studio").start();
    measure("image", &studio, &image);
    if let Some(kernel) = std::env::var_os("TUTTI_OWN_KERNEL").map(PathBuf::from) {
        let text = fs::read_to_string(&own).expect("the product is there");
        let config = kernel.with_file_name("config");
        fs::write(&own, format!("{text}\n[kernel]\nfile = {kernel:?}\nconfig = {config:?}\n")).expect("it is written");
        measure("image.own-kernel", &studio, &build(&own));
    }
}

/// The rows that begin so.
fn measure(group: &str, studio: &Device, image: &Path) {
    let row = |name: &str, value: f64, unit: &str| row(&format!("{group}.{name}"), value, unit);
    let inspected = json(&["image", "inspect", "--json", &image.display().to_string()]);
    for member in ["initramfs", "system", "kernel"] {
        let members = inspected["manifest"]["members"].as_array().cloned().unwrap_or_default();
        let size = members.iter().find(|it| it["name"] == member).and_then(|it| it["size"].as_f64());
        row(&format!("size.{member}"), size.expect("it has this member") / MIB, "MiB");
    }
    let least = MEMORIES.into_iter().find(|memory| boots(studio, image, *memory).is_some());
    row("ram.least", f64::from(least.expect("it boots in the most")), "MiB");
    let booted = boots(studio, image, 256).expect("it boots");
    row("boot.ready", booted.ready, "s");
    row("boot.joined", booted.joined, "s");
    row("ram.used", booted.used / MIB, "MiB");
}

/// The first process, which is another package's program: optimised, beside `tutti`.
fn first_process() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = Path::new(TUTTI).parent().and_then(Path::parent).expect("it is in a target folder");
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "-q", "-p", "tutti-init", "--target-dir"]).arg(target);
    assert!(command.stdout(Stdio::null()).status().expect("cargo runs").success(), "tutti-init is not built");
}

fn json(args: &[&str]) -> serde_json::Value {
    let ran = Command::new(TUTTI).args(args).stdin(Stdio::null()).output().expect("tutti runs");
    assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stdout));
    serde_json::from_slice(&ran.stdout).expect("it prints JSON")
}

fn build(product: &Path) -> PathBuf {
    let said = json(&["image", "build", "--json", &product.display().to_string()]);
    PathBuf::from(said["file"].as_str().expect("it says which file"))
}

struct Booted(Child);

impl Drop for Booted {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|ended| ended.is_none()) {
            let pid = rustix::process::Pid::from_child(&self.0);
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        }
        let _ = self.0.wait();
    }
}

/// What was seen of a boot.
struct Boot {
    /// When its node was ready, in seconds of the guest's from the kernel's start.
    ready: f64,
    /// When it had met another member of its group, in the same.
    joined: f64,
    /// The bytes that it uses then.
    used: f64,
}

/// Boots it with so much memory; nothing if it does not get into the pool.
fn boots(studio: &Device, image: &Path, memory: u32) -> Option<Boot> {
    let log = image.with_extension(format!("{memory}.log"));
    let file = fs::File::create(&log).expect("a log");
    // Both measure for milliseconds whether a timer is right: a question for hardware, not for an interpreter that has to wait for its turn.
    let patient = ["--append", "no_timer_check tsc=unstable"];
    let mut command = studio.plan.command(&["image", "run", "--join", "--ram", &format!("{memory} MiB")]);
    command.args(patient);
    command.arg(image).stdin(Stdio::null()).stdout(file.try_clone().expect("a log")).stderr(file);
    let mut booted = Booted(command.spawn().expect("tutti runs"));
    let begun = Instant::now();
    while !studio.sees(&["gateway"]) {
        // A kernel that has no room for itself ends at once, and the emulator with it.
        if begun.elapsed() > BOOT || booted.0.try_wait().is_ok_and(|ended| ended.is_some()) {
            return None;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let used = studio.reading("gateway/memory-used").ok()?;
    let after = |what: &str| {
        let said = fs::read_to_string(&log).unwrap_or_default();
        said.lines().find_map(|line| line.split_once(what)?.1.split(' ').next()?.parse().ok())
    };
    // Its console may be behind.
    device::eventually(Duration::from_secs(10), "it says that it is in the pool", || {
        after("it is in the pool, ").is_some_and(|at: f64| at > 0.0)
    });
    let (ready, joined) = (after("the node is ready, ")?, after("it is in the pool, ")?);
    studio.must(&["forget", "gateway", "--yes"]);
    Some(Boot { ready, joined, used })
}
