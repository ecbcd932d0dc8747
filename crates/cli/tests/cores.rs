//! Other cores, through the command: one that is a process joins the pool, is used from another device, sleeps, crashes, is dumped, outlives
//! a host that is killed; and those of the kernel's, on a fixture tree that a small kernel stands behind.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a test measured is for whoever runs it")]

mod support;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use support::device::{Device, Plan, TUTTI, eventually};

const S: fn(u64) -> Duration = Duration::from_secs;

/// What a core's `info` says.
fn info(device: &Device, core: &str) -> Value {
    device.json(&["amp", "info", core])
}

fn log(device: &Device, core: &str) -> String {
    device.must(&["amp", "log", core])
}

/// Whether a device is listed, or anything of it is offered.
fn is_there(on: &Device, name: &str) -> bool {
    let offered = on.json(&["resources"]);
    let offers = offered.as_array().is_some_and(|all| all.iter().any(|one| one["device_name"] == name));
    on.view_of(name).is_some() || offers
}

fn gone(on: &Device, name: &str, within: Duration) -> Duration {
    eventually(within, &format!("{name} is gone"), || !is_there(on, name))
}

fn readable(on: &Device, of: &str) -> Duration {
    eventually(S(10), &format!("{} reads {of}", on.name), || on.reading(of).is_ok_and(|degrees| degrees > 30.0))
}

#[test]
fn a_core_that_is_a_process_is_in_the_pool_and_outlives_a_host_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let kitchen = Plan::new(folder.path(), "kitchen").start();
    let attic = Plan::new(folder.path(), "attic").start();
    attic.join(&kitchen);

    // A name that is new and a program are a new core.
    assert_eq!(kitchen.json(&["amp", "ls"]), serde_json::json!([]));
    let unknown = kitchen.run(&["amp", "start", "brain"]);
    assert!(!unknown.ok && unknown.err.contains("no core of this name"), "{}", unknown.err);
    let begun = Instant::now();
    kitchen.must(&["amp", "start", "brain", TUTTI, "--stop-message", "100:00", "--", "demo-core", "brain-core"]);
    let core = info(&kitchen, "brain");
    assert_eq!(core["stop_message"], serde_json::json!({ "endpoint": 100, "bytes": "00" }));
    assert_eq!((&core["state"], &core["kind"], &core["generation"]), (&"running".into(), &"process".into(), &1.into()));
    readable(&attic, "brain-core/die-temperature");
    println!("from start to the first reading at another device: {:?}", begun.elapsed());
    let entry = attic.view_of("brain-core").unwrap();
    assert_eq!((&entry["via"], &entry["kind"]), (&kitchen.id().into(), &"core".into()));
    assert_eq!(info(&kitchen, "brain")["satellites"], serde_json::json!(["brain-core"]));

    let links = kitchen.json(&["satellite", "ls"]);
    assert_eq!((&links[0]["link"], &links[0]["state"]), (&"core:brain".into(), &"joined".into()));

    // Driven from the other device; its log says so; a message goes there and back.
    attic.must(&["set", "brain-core/lamp", "on"]);
    assert_eq!(attic.json(&["read", "brain-core/lamp"])["value"], true);
    eventually(S(3), "its log", || log(&kitchen, "brain").contains("the lamp is on"));
    assert!(log(&kitchen, "brain").contains("brain-core: life 1 begins"));
    let ping = kitchen.json(&["amp", "ping", "brain"]);
    assert!(ping["round_trip_us"].as_f64().is_some_and(|us| us > 0.0 && us < 2e6), "{ping}");
    println!("a message to the core and back through the control API's worker: {} us", ping["round_trip_us"]);

    // It sleeps: gone from the pool in time, and back when it wakes.
    kitchen.must(&["amp", "suspend", "brain"]);
    assert_eq!(info(&kitchen, "brain")["state"], "suspended");
    let took = gone(&attic, "brain-core", S(4));
    println!("a core that sleeps is gone from another device after {took:?}");
    kitchen.must(&["amp", "resume", "brain"]);
    readable(&attic, "brain-core/die-temperature");

    // It crashes: a new life, and the memory of the old one. The lamp's old light is gone with it.
    attic.run(&["set", "brain-core/fault", "on"]);
    eventually(S(5), "it is started again", || {
        let core = info(&kitchen, "brain");
        core["generation"] == 2 && core["state"] == "running" && core["recoveries"] == 1
    });
    eventually(S(5), "the new life's lamp is off", || {
        attic.run(&["read", "brain-core/lamp", "--json"]).out.contains("\"value\": false")
    });
    assert!(log(&kitchen, "brain").contains("it crashed: fault 6"), "{}", log(&kitchen, "brain"));
    let crashes = info(&kitchen, "brain")["crashes"].clone();
    assert_eq!((&crashes[0]["generation"], &crashes[0]["what"]), (&1.into(), &"it crashed: fault 6".into()));
    assert!(kitchen.must(&["amp", "info", "brain"]).contains("it crashed: fault 6"));
    let dump = folder.path().join("dump");
    kitchen.must(&["amp", "dump", "brain", "-o", dump.to_str().unwrap()]);
    let dumped = fs::read(&dump).unwrap();
    assert!(dumped.starts_with(b"\x7fELF") && dumped.windows(6).any(|bytes| bytes == b"life 2"), "{}", dumped.len());

    // Let go of, and taken over.
    kitchen.must(&["amp", "detach", "brain"]);
    assert_eq!(info(&kitchen, "brain")["state"], "detached");
    kitchen.must(&["amp", "attach", "brain"]);
    assert_eq!(
        (&info(&kitchen, "brain")["state"], &info(&kitchen, "brain")["generation"]),
        (&"attached".into(), &2.into())
    );
    readable(&attic, "brain-core/die-temperature");
    attic.must(&["set", "brain-core/lamp", "on"]);

    // Its host is killed with -9: the next one finds it, and what it kept in its memory is as it was.
    let id = attic.view_of("brain-core").unwrap()["id"].clone();
    let kitchen = kitchen.kill().start();
    eventually(S(10), "it is attached to", || info(&kitchen, "brain")["state"] == "attached");
    readable(&attic, "brain-core/die-temperature");
    assert_eq!(info(&kitchen, "brain")["generation"], 2, "no restart of the firmware");
    assert_eq!(attic.json(&["read", "brain-core/lamp"])["value"], true, "nor of what it remembers");
    assert_eq!(attic.view_of("brain-core").unwrap()["id"], id);
    eventually(S(3), "it saw the new host", || log(&kitchen, "brain").contains("a new host is there"));
    assert!(!log(&kitchen, "brain").contains("life 3"));

    // What makes no sense now is refused with what to do.
    for (words, says) in [
        (["amp", "start", "brain"], "cannot start"),
        (["amp", "resume", "brain"], "cannot resume"),
        (["amp", "forget", "brain"], "stop it first"),
    ] {
        let refused = kitchen.run(&words);
        assert!(!refused.ok && refused.err.contains(says), "{words:?}: {}", refused.err);
    }
    assert!(!log(&kitchen, "brain").contains("asked to stop"));
    kitchen.must(&["amp", "restart", "brain"]);
    assert!(log(&kitchen, "brain").contains("asked to stop"), "{}", log(&kitchen, "brain"));
    assert_eq!(info(&kitchen, "brain")["state"], "running");
    readable(&attic, "brain-core/die-temperature");
    kitchen.must(&["amp", "stop", "brain"]);
    let took = gone(&attic, "brain-core", S(3));
    println!("a core that was stopped is gone from another device after {took:?}");
    kitchen.must(&["amp", "start", "brain"]);
    readable(&attic, "brain-core/die-temperature");

    // A device that is stopped in good order takes its processes with it, and starts them again with it.
    let runtime = folder.path().join("run");
    let left = || {
        fs::read_dir(&runtime).unwrap().filter_map(|file| file.ok()?.file_name().into_string().ok()).collect::<Vec<_>>()
    };
    assert!(left().iter().any(|name| name.ends_with(".core")));
    let plan = kitchen.stop();
    assert!(!left().iter().any(|name| name.ends_with(".core")), "{:?}", left());
    let kitchen = plan.start();
    readable(&attic, "brain-core/die-temperature");
    assert_eq!(info(&kitchen, "brain")["state"], "running");
    kitchen.must(&["amp", "stop", "brain"]);
    kitchen.must(&["amp", "forget", "brain"]);
    assert_eq!(kitchen.json(&["amp", "ls"]), serde_json::json!([]));
}

#[test]
fn what_cannot_be_a_core_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let kitchen = Plan::new(folder.path(), "kitchen").start();
    let text = folder.path().join("text");
    fs::write(&text, "no program at all ".repeat(10)).unwrap();
    let refused = kitchen.run(&["amp", "start", "odd", text.to_str().unwrap()]);
    assert!(!refused.ok && refused.err.contains("e_ident"), "{}", refused.err);
    // A program that is no remote core is ended, and the device is as well as before.
    let refused = kitchen.run(&["amp", "start", "true", "/bin/true"]);
    assert!(!refused.ok && refused.err.contains("cannot hand the memory over"), "{}", refused.err);
    let core = info(&kitchen, "true");
    assert!(core["last_error"].as_str().is_some_and(|why| why.contains("hand the memory over")), "{core}");
    assert!(!kitchen.run(&["amp", "ping", "true"]).ok);
    assert!(kitchen.reading("kitchen/room-temperature").is_ok());
}

/// What the kernel does with a core's files: a thread that obeys what is written to `state`.
struct Kernel {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Kernel {
    fn start(core: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let over = stop.clone();
        let thread = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let state = fs::read_to_string(core.join("state")).unwrap_or_default();
                let next = match state.trim() {
                    "start" => "running\n",
                    "stop" => "offline\n",
                    "detach" => "detached\n",
                    _ => "",
                };
                if !next.is_empty() {
                    fs::write(core.join("state"), next).unwrap();
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn file(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// What the kernel shows when the firmware of remoteproc0 announces a service, and an endpoint for it has been made.
fn announce(root: &Path, service: &str, at: u32, source: u32) {
    let link = root.join("sys/devices/platform/m4/remoteproc/remoteproc0/rproc-virtio.0.auto/virtio0");
    let channel = format!("virtio0.{service}.-1.{at}");
    file(&link.join(&channel), "name", &format!("{service}\n"));
    file(&link.join(&channel), "dst", &format!("{at:#x}\n"));
    let end = link.join("virtio0.rpmsg_ctrl.0.0/rpmsg/rpmsg0");
    file(&end, "src", &format!("{source}\n"));
    file(&end, "dst", &format!("{at}\n"));
    for folder in ["sys/bus/rpmsg/devices", "sys/class/rpmsg", "dev"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, root.join("dev/rpmsg0"), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    symlink(&end, root.join("sys/class/rpmsg/rpmsg0")).unwrap();
    symlink(link.join(&channel), root.join("sys/bus/rpmsg/devices").join(&channel)).unwrap();
}

#[test]
fn cores_of_the_kernels_are_led_as_far_as_linux_lets() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let core = root.join("sys/class/remoteproc/remoteproc0");
    file(&core, "name", "m4@10000000.rproc\n");
    file(&core, "state", "offline\n");
    file(&core, "firmware", "rproc-m4-fw\n");
    file(&root, "sys/kernel/debug/remoteproc/remoteproc0/trace0", "");
    let _kernel = Kernel::start(core.clone());
    let device = Plan::new(folder.path(), "board").with(["--sysfs", root.to_str().unwrap()]).start();
    let listed = device.json(&["amp", "ls"]);
    assert_eq!((&listed[0]["name"], &listed[0]["kind"]), (&"remoteproc0".into(), &"linux".into()));
    eventually(S(3), "its state", || info(&device, "remoteproc0")["state"] == "offline");

    device.must(&["amp", "start", "remoteproc0", "other.elf"]);
    assert_eq!(info(&device, "remoteproc0")["state"], "running");
    assert_eq!(fs::read_to_string(core.join("firmware")).unwrap().trim(), "other.elf");
    fs::write(root.join("sys/kernel/debug/remoteproc/remoteproc0/trace0"), "hello from the m4\n\x1b[2J\n").unwrap();
    eventually(S(3), "its trace", || log(&device, "remoteproc0").contains("hello from the m4"));
    assert!(!log(&device, "remoteproc0").contains('\x1b'), "made harmless");
    for action in ["suspend", "resume"] {
        let refused = device.run(&["amp", action, "remoteproc0"]);
        assert!(!refused.ok && refused.err.contains("no way to"), "{action}: {}", refused.err);
    }
    // A message there and back, once its firmware has announced the service; a pipe that gives back what it is given is its endpoint.
    let refused = device.run(&["amp", "ping", "remoteproc0"]);
    assert!(!refused.ok && refused.err.contains("tutti-ping"), "{}", refused.err);
    announce(&root, "tutti-ping", 1025, 0x258);
    let ping = device.json(&["amp", "ping", "remoteproc0"]);
    assert!(ping["round_trip_us"].as_f64().is_some_and(|us| us > 0.0 && us < 2e6), "{ping}");

    let refused = device.run(&["amp", "start", "remoteproc0", "../../etc/passwd"]);
    assert!(!refused.ok && refused.err.contains("by its name in /lib/firmware"), "{}", refused.err);
    device.must(&["amp", "restart", "remoteproc0"]);
    let refused = device.run(&["amp", "detach", "remoteproc0"]);
    assert!(!refused.ok && refused.err.contains("no way to detach"), "the kernel started it: {}", refused.err);
    // A device that goes leaves the kernel's cores as they are.
    let device = device.stop().start();
    eventually(S(3), "it is taken over", || {
        info(&device, "remoteproc0")["state"] == "running" || info(&device, "remoteproc0")["state"] == "attached"
    });
    device.must(&["amp", "stop", "remoteproc0"]);
    assert_eq!(fs::read_to_string(core.join("state")).unwrap().trim(), "offline");

    // The kernel lets go of what runs since before it did.
    let device = device.stop();
    file(&core, "state", "detached\n");
    let device = device.start();
    eventually(S(3), "it is found", || info(&device, "remoteproc0")["state"] == "detached");
    for (action, state) in [("attach", "attached"), ("detach", "detached")] {
        device.must(&["amp", action, "remoteproc0"]);
        assert_eq!(info(&device, "remoteproc0")["state"], state);
    }

    let checks = device.json(&["amp", "doctor"]);
    let says = |name: &str| checks.as_array().unwrap().iter().find(|check| check["name"] == name).cloned();
    assert_eq!(says("remoteproc-in-the-kernel").unwrap()["ok"], "ok");
    let control = says("RPMsg-endpoints-can-be-made").unwrap();
    assert!(control["ok"] == "warn" && control["advice"].as_str().unwrap().contains("CONFIG_RPMSG_CTRL"), "{control}");
    // The kernel takes it away.
    fs::remove_dir_all(&core).unwrap();
    assert_eq!(device.json(&["amp", "ls"]), serde_json::json!([]));
}

#[test]
fn a_core_of_the_kernels_is_started_with_what_the_image_carries() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    let core = root.join("sys/class/remoteproc/remoteproc0");
    for (name, holds) in [("name", "m4@10000000.rproc\n"), ("state", "offline\n"), ("firmware", "rproc-m4-fw\n")] {
        file(&core, name, holds);
    }
    let _kernel = Kernel::start(core.clone());
    let list = folder.path().join("carried.json");
    let carry = |firmware: &str| {
        let kernel = serde_json::json!({ "file": firmware, "processor": "m4@10000000.rproc" });
        let cores = serde_json::json!([{ "name": "m4", "firmware": { "kernel": kernel } }]);
        fs::write(&list, serde_json::json!({ "cores": cores }).to_string()).unwrap();
    };
    let loads = || fs::read_to_string(core.join("firmware")).unwrap().trim().to_owned();
    carry("m4.elf");
    let paths = [root.to_str().unwrap(), list.to_str().unwrap()];
    let plan = Plan::new(folder.path(), "board").with(["--sysfs", paths[0], "--carried", paths[1]]);
    let device = plan.start();
    let runs = |device: &Device| info(device, "remoteproc0")["state"] == "running";
    eventually(S(5), "it is started with the device", || runs(&device) && loads() == "m4.elf");
    assert!(device.json(&["doctor"]).to_string().contains("all that the image carries was taken up"));

    // The kernel's cores run on when the device stops; the next image may have another firmware for them.
    let plan = device.stop();
    assert_eq!(fs::read_to_string(core.join("state")).unwrap().trim(), "running");
    carry("newer.elf");
    let device = plan.start();
    eventually(S(5), "it is started anew", || runs(&device) && loads() == "newer.elf");
}
