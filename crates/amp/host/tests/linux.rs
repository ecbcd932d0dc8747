//! The kernel's remote cores, against a tree of files and a thread that plays the kernel.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tutti_amp_host::linux::{EndpointFile, LinuxCore, channels, doctor, list};
use tutti_metal::{Clock, Monotonic};
use tutti_remoteproc::life::{Cause, Command, Config, Recovery, Refused, Report, State};
use tutti_remoteproc::testing::{conformance, run};
use tutti_remoteproc::{Platform, RemoteCore};
use tutti_rpmsg::{Address, Name};

/// Does what the kernel does with what is written into `state`.
struct Kernel {
    folder: tempfile::TempDir,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Kernel {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let device = root.join("sys/devices/platform/r5f@1");
        let core = device.join("remoteproc/remoteproc0");
        fs::create_dir_all(&core).unwrap();
        fs::create_dir_all(root.join("sys/class/remoteproc")).unwrap();
        symlink(&core, root.join("sys/class/remoteproc/remoteproc0")).unwrap();
        for (file, text) in [("state", "offline\n"), ("name", "r5f@1\n"), ("firmware", "echo.elf\n")] {
            fs::write(core.join(file), text).unwrap();
        }
        let debug = root.join("sys/kernel/debug/remoteproc/remoteproc0");
        fs::create_dir_all(&debug).unwrap();
        fs::write(debug.join("trace0"), "boot\nready\n").unwrap();
        fs::write(debug.join("recovery"), "enabled\n").unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (state, over) = (core.join("state"), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut was = String::new();
            while !over.load(Ordering::Relaxed) {
                let text = fs::read_to_string(&state).unwrap_or_default();
                let new = match text.as_str() {
                    "start" if was == "detached\n" => "attached\n",
                    "start" => "running\n",
                    "stop" => "offline\n",
                    "detach" => "detached\n",
                    _ => "",
                };
                if text.ends_with('\n') {
                    was = text;
                }
                if !new.is_empty() {
                    // Elsewhere and then into place: nobody is to see half of it.
                    fs::write(state.with_extension("new"), new).unwrap();
                    fs::rename(state.with_extension("new"), &state).unwrap();
                }
                std::thread::sleep(Duration::from_micros(300));
            }
        });
        Self { folder, stop, thread: Some(thread) }
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn core(&self, dump: Option<PathBuf>) -> LinuxCore {
        LinuxCore::new(self.root(), "remoteproc0", Some("lamp.elf".into()), dump)
    }

    fn set(&self, state: &str) {
        fs::write(self.root().join("sys/class/remoteproc/remoteproc0/state"), state).unwrap();
    }
}

impl Drop for Kernel {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[test]
fn the_kernels_cores_are_a_platform_like_any_other() {
    let kernel = Kernel::new();
    assert_eq!(list(kernel.root()), ["remoteproc0"]);
    let core = kernel.core(None);
    assert_eq!(core.name().unwrap(), "r5f@1");
    assert_eq!(core.traces().unwrap(), [("trace0".to_owned(), b"boot\nready\n".to_vec())]);
    conformance(core);
    assert_eq!(kernel.core(None).firmware().unwrap(), "lamp.elf");
    let mut core = RemoteCore::new(kernel.core(None), Config::default()).unwrap();
    run(&mut core, &Monotonic::default(), Command::Start).unwrap();
    let refused = core.command(Monotonic::default().now(), Command::Suspend);
    assert_eq!(refused, Err(Refused::Unsupported(Command::Suspend)), "sysfs has no way to");
}

#[test]
fn a_core_that_the_boot_loader_started_is_attached_to() {
    let kernel = Kernel::new();
    kernel.set("detached\n");
    let clock = Monotonic::default();
    let mut core = RemoteCore::new(kernel.core(None), Config::default()).unwrap();
    assert_eq!(core.state(), State::Detached);
    run(&mut core, &clock, Command::Start).unwrap();
    assert_eq!(core.state(), State::Attached);
    run(&mut core, &clock, Command::Detach).unwrap();
    assert_eq!(kernel.core(None).state().unwrap(), State::Detached);
}

#[test]
fn a_crash_is_noticed_dumped_and_recovered() {
    let kernel = Kernel::new();
    let dump = kernel.root().join("core");
    let clock = Monotonic::default();
    let recovery = Recovery::Immediately { attempts: 3 };
    let mut core = RemoteCore::new(kernel.core(Some(dump.clone())), Config { recovery, ..Config::default() }).unwrap();
    run(&mut core, &clock, Command::Start).unwrap();
    for (number, device) in [(1, "sys/devices/platform/other"), (2, "sys/devices/platform/r5f@1")] {
        let folder = kernel.root().join(format!("sys/class/devcoredump/devcd{number}"));
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(kernel.root().join(device)).unwrap();
        symlink(kernel.root().join(device), folder.join("failing_device")).unwrap();
        fs::write(folder.join("data"), format!("dump {number}")).unwrap();
    }
    let before = core.generation();
    kernel.set("crashed\n");
    core.step(clock.now());
    let reports: Vec<_> = std::iter::from_fn(|| core.poll_report()).collect();
    assert!(reports.contains(&Report::Crashed(Cause::Fault(0), before)), "{reports:?}");
    assert_eq!((core.state(), core.generation()), (State::Running, before.next()), "{reports:?}");
    assert_eq!(fs::read_to_string(dump).unwrap(), "dump 2", "that of this core");
    let freed = kernel.root().join("sys/class/devcoredump/devcd2/data");
    assert_eq!(fs::read_to_string(freed).unwrap(), "1", "and the kernel may forget it");
}

#[test]
fn the_kernels_own_recovery_is_waited_for() {
    let kernel = Kernel::new();
    fs::write(kernel.root().join("sys/class/remoteproc/remoteproc0/recovery"), "enabled\n").unwrap();
    let clock = Monotonic::default();
    let mut core = RemoteCore::new(kernel.core(None), Config::default()).unwrap();
    run(&mut core, &clock, Command::Start).unwrap();
    while core.poll_report().is_some() {}
    let before = core.generation();
    // What the kernel calls it on the way.
    for state in ["crashed\n", "offline\n"] {
        kernel.set(state);
        core.step(clock.now());
        assert_eq!((core.state(), core.poll_report()), (State::Running, None), "{state}");
    }
    kernel.set("running\n");
    core.step(clock.now());
    let reports: Vec<_> = std::iter::from_fn(|| core.poll_report()).collect();
    let crashed = Report::Crashed(Cause::Fault(0), before);
    assert_eq!(reports, [crashed, Report::Now(State::Running, before.next())]);
    // One that does not succeed is waited for no longer than two seconds.
    kernel.set("crashed\n");
    core.step(clock.now());
    assert_eq!((core.state(), core.poll_report()), (State::Running, None));
    std::thread::sleep(Duration::from_millis(2050));
    core.step(clock.now());
    assert_eq!(core.poll_report(), Some(Report::Crashed(Cause::Fault(0), before.next())));
    assert_eq!(core.state(), State::Crashed);
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let kernel = Kernel::new();
    kernel.set("dancing\n");
    let refused = kernel.core(None).find().unwrap_err().to_string();
    assert!(refused.contains("\"dancing\""), "{refused}");
    let missing = LinuxCore::new(kernel.root(), "remoteproc9", None, None).find().unwrap_err().to_string();
    assert!(missing.contains("remoteproc9/state") && missing.contains("CONFIG_REMOTEPROC"), "{missing}");
    let empty = tempfile::tempdir().unwrap();
    let findings = doctor(empty.path());
    assert!(findings.len() >= 3 && findings.iter().all(|finding| !finding.well && finding.advice.is_some()));
    kernel.set("offline\n");
    let well: Vec<_> = doctor(kernel.root()).into_iter().filter(|finding| finding.well).map(|it| it.what).collect();
    assert_eq!(well.len(), 4, "{well:?}");
    let control = kernel.root().join("dev/rpmsg_ctrl0");
    let name = Name::new("lamp").unwrap();
    let refused = EndpointFile::create(kernel.root(), &control, name, Address(7), Address(8)).unwrap_err().to_string();
    assert!(refused.contains("rpmsg_ctrl0") && refused.contains("does the remote run"), "{refused}");
}

#[test]
fn what_remotes_announce_is_found_with_the_core_that_they_are_on() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let of_a_core = root.join("sys/devices/platform/r5f@1/remoteproc/remoteproc3/rproc-virtio.0.auto/virtio1");
    let other = root.join("sys/devices/pci0/virtio2");
    fs::create_dir_all(root.join("sys/bus/rpmsg/devices")).unwrap();
    let announce = |link: &Path, device: &str, name: &str, dst: &str| {
        let place = link.join(device);
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join("name"), name).unwrap();
        fs::write(place.join("dst"), dst).unwrap();
        symlink(&place, root.join("sys/bus/rpmsg/devices").join(device)).unwrap();
        place
    };
    assert_eq!(channels(root), []);
    announce(&of_a_core, "virtio1.lamp.-1.1024", "lamp\n", "0x400\n");
    announce(&other, "virtio2.a.name.with.dots.-1.7", "a.name.with.dots\n", "0x7\n");
    // A driver of the kernel's has this one, and what these say is not what the kernel says.
    fs::create_dir(announce(&other, "virtio2.rpmsg-tty.-1.8", "rpmsg-tty\n", "0x8\n").join("driver")).unwrap();
    announce(&other, "virtio2.odd.-1.9", "odd\n", "9\n");
    announce(&other, "virtio2.large.-1.10", "large\n", "0x100000000\n");
    let found: Vec<_> = channels(root).into_iter().map(|it| (it.device, it.name, it.address.0, it.core)).collect();
    let expected = [
        ("virtio1.lamp.-1.1024", "lamp", 0x400, Some("remoteproc3")),
        ("virtio2.a.name.with.dots.-1.7", "a.name.with.dots", 7, None),
    ];
    assert_eq!(
        found,
        expected.map(|(device, name, at, core)| (device.to_owned(), name.to_owned(), at, core.map(str::to_owned)))
    );
    let refused = channels(root).remove(0).open(Address(5)).unwrap_err().to_string();
    assert!(refused.contains("virtio1") && refused.contains("does the remote run"), "no control device: {refused}");
}

#[test]
fn an_endpoint_is_a_file_of_messages() {
    let folder = tempfile::tempdir().unwrap();
    // A pipe that is open for both directions gives back what was put in, as an echo would.
    let path = folder.path().join("rpmsg0");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o600), 0)
        .unwrap();
    let endpoint = EndpointFile::open(&path).unwrap();
    let mut buffer = [0; 16];
    assert_eq!(endpoint.receive(&mut buffer, Duration::from_millis(1)).unwrap(), None);
    endpoint.send(b"hello").unwrap();
    assert_eq!(endpoint.receive(&mut buffer, Duration::from_secs(1)).unwrap(), Some(5));
    assert_eq!(&buffer[..5], b"hello");
    // Not a control device: the kernel refuses the ioctl, and that is said.
    fs::write(folder.path().join("rpmsg_ctrl0"), "").unwrap();
    let control = folder.path().join("rpmsg_ctrl0");
    let refused = EndpointFile::create(folder.path(), &control, Name::new("x").unwrap(), Address(7), Address(8));
    assert!(refused.is_err());
}
