//! The back end of Linux against the kernel's own remoteproc: part of the layer `linux-peer`, which builds what this
//! takes.
//!
//! `TUTTI_LINUX` is a user-mode Linux kernel with `xtask/src/test/linux_peer/tutti_remote.c` in it, a driver with two
//! remote cores that the kernel leads as it does those of a chip: by sysfs, its firmware loader, its trace files, its
//! recovery, its core dumps. The program that this kernel runs is this test once more, with the libraries that it has
//! loaded.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the layer reads how each part went")]

mod uml;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, mount};
use tutti_amp_host::linux::{LinuxCore, LinuxFault, doctor, list};
use tutti_metal::{Clock, DeviceAddr, Monotonic};
use tutti_remoteproc::elf::{Class, Machine, Segment};
use tutti_remoteproc::life::{Action, Cause, Command, Config, Failure, Generation, Recovery, Report, Stage, State};
use tutti_remoteproc::table::{Carveout, Claim, Entry, Label, PhysClaim, Trace, buffer_len, emit};
use tutti_remoteproc::testing::{Firmware, conformance, run};
use tutti_remoteproc::{Platform, RemoteCore};
use uml::{Linux, again, this_program};

/// The whole run takes some three seconds.
const LIMIT: Duration = Duration::from_secs(90);
/// For whatever the kernel does by itself.
const SOON: Duration = Duration::from_secs(5);

/// What the kernel's program says when each of its parts went well.
const PARTS: [&str; 7] = [
    "ok remoteproc list",
    "ok remoteproc lives",
    "ok remoteproc trace",
    "ok remoteproc refusals",
    "ok remoteproc recovery by the kernel",
    "ok remoteproc recovery by us",
    "ok remoteproc attach",
];

const INSIDE: &str = "TUTTI_INSIDE_LINUX";

#[test]
fn the_kernels_remoteproc() {
    let Some(kernel) = std::env::var_os("TUTTI_LINUX") else {
        eprintln!("skipped: `cargo xtask test linux-peer` builds the kernel and runs this");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let linux = Linux::start(Path::new(&kernel), folder.path(), &this_program(), "256M", again(INSIDE));
    linux.passes(LIMIT, &PARTS, "linux-remoteproc-kernel.log", |_, _| {});
}

/// Not a test of its own: what runs in the kernel, as its only program.
#[test]
fn inside() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    println!();
    prepare();
    everything_is_listed();
    lives_are_as_on_any_platform();
    the_trace_is_read_live();
    what_the_kernel_refuses_is_said();
    the_kernel_recovers_and_it_is_noticed();
    without_the_kernels_recovery_it_is_ours();
    a_core_that_runs_at_boot_is_attached_to();
    println!("ALL PASSED");
}

const MEMORY: u32 = 0x1_0000;
const TRACE: u32 = 0x1_8000;
const DUMP: &str = "/core";

/// A firmware that the driver takes, with its memory and its trace in the resource table.
fn firmware(begins: &[u8], da: u32) -> Firmware {
    let entries = [
        Entry::Carveout(Carveout {
            da: Claim(MEMORY),
            pa: PhysClaim::ANY,
            len: 0x1_0000,
            flags: 0,
            name: Label::literal("tutti-memory"),
        }),
        Entry::Trace(Trace { da: Claim(TRACE), len: 0x1000, name: Label::literal("trace") }),
    ];
    let mut table = vec![0; buffer_len(&entries)];
    emit(&entries, &mut table).unwrap();
    Firmware {
        class: Class::Elf32,
        machine: Machine::ARM,
        entry: MEMORY.into(),
        segments: vec![(DeviceAddr(da.into()), begins.to_vec(), 0x200)],
        table: Some((DeviceAddr((MEMORY + 0x400).into()), table)),
    }
}

fn prepare() {
    for (kind, place) in [("proc", "/proc"), ("sysfs", "/sys"), ("debugfs", "/sys/kernel/debug")] {
        fs::create_dir_all(place).unwrap();
        mount(kind, place, kind, MountFlags::empty(), None).unwrap();
    }
    fs::create_dir_all("/lib/firmware").unwrap();
    let good = firmware(b"TUTI", MEMORY);
    let mut future = good.clone();
    future.table.as_mut().unwrap().1[0] = 2;
    for (name, bytes) in [
        ("good.elf", good.build()),
        ("tutti.elf", good.build()),
        ("text.elf", b"this is no executable, but longer than the header of one; the kernel is to say so".to_vec()),
        ("other.elf", firmware(b"ITUT", MEMORY).build()),
        ("outside.elf", firmware(b"TUTI", 0x4000_0000).build()),
        ("future.elf", future.build()),
        ("tableless.elf", Firmware { table: None, ..good }.build()),
    ] {
        fs::write(format!("/lib/firmware/{name}"), bytes).unwrap();
    }
}

fn core(number: usize, firmware: Option<&str>, dump: bool) -> LinuxCore {
    let dump = dump.then(|| DUMP.into());
    LinuxCore::new("/", &format!("remoteproc{number}"), firmware.map(str::to_owned), dump)
}

fn setting_of(number: usize, name: &str, value: &str) {
    fs::write(format!("/sys/class/remoteproc/remoteproc{number}/{name}"), value).unwrap();
}

fn crash(number: usize) {
    fs::write(format!("/sys/bus/platform/devices/tutti-remote.{number}/crash"), "1").unwrap();
}

/// The one trace of a core that runs.
fn trace(core: &LinuxCore) -> String {
    let mut traces = core.traces().unwrap();
    assert_eq!(traces.len(), 1, "{traces:?}");
    let (name, text) = traces.remove(0);
    assert_eq!(name, "trace0");
    String::from_utf8(text).unwrap()
}

/// In which of its lives the driver's core is, as it says itself.
fn life(core: &LinuxCore) -> u32 {
    let text = trace(core);
    text.lines().next().and_then(|line| line.strip_prefix("life ")?.parse().ok()).unwrap_or_else(|| panic!("{text:?}"))
}

fn beats(core: &LinuxCore) -> usize {
    trace(core).lines().filter(|line| line.starts_with("beat ")).count()
}

fn wait(what: &str, mut until: impl FnMut() -> bool) {
    let end = Instant::now() + SOON;
    while !until() {
        assert!(Instant::now() < end, "{what}: not within {SOON:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// What is reported until this is, and that too.
fn reports_until(core: &mut RemoteCore<LinuxCore>, clock: &Monotonic, last: Report) -> Vec<Report> {
    let mut reports = Vec::new();
    let end = Instant::now() + SOON;
    while !reports.contains(&last) {
        assert!(Instant::now() < end, "{last:?} is not among {reports:?}");
        core.step(clock.now());
        reports.extend(std::iter::from_fn(|| core.poll_report()));
        std::thread::sleep(Duration::from_millis(1));
    }
    reports
}

fn everything_is_listed() {
    let root = Path::new("/");
    assert_eq!(list(root), ["remoteproc0", "remoteproc1"]);
    let (first, second) = (core(0, None, false), core(1, None, false));
    assert_eq!((first.name().unwrap().as_str(), second.name().unwrap().as_str()), ("tutti-remote.0", "tutti-remote.1"));
    assert_eq!(first.state().unwrap(), State::Offline(Stage::Bare));
    assert_eq!(second.state().unwrap(), State::Detached, "it runs since before the kernel");
    assert_eq!(first.firmware().unwrap(), "tutti.elf");
    assert_eq!(first.traces().unwrap(), []);
    let missing: Vec<_> = doctor(root).into_iter().filter(|finding| !finding.well).map(|it| it.what).collect();
    assert_eq!(missing, ["RPMsg endpoints can be made: no"], "these cores have no RPMsg");
    println!("ok remoteproc list: two cores, offline and detached");
}

fn lives_are_as_on_any_platform() {
    conformance(core(0, Some("good.elf"), false));
    assert_eq!(core(0, None, false).firmware().unwrap(), "good.elf");
    println!("ok remoteproc lives: the conformance suite of platforms");
}

fn the_trace_is_read_live() {
    let clock = Monotonic::default();
    let mut core = RemoteCore::new(core(0, None, false), Config::default()).unwrap();
    run(&mut core, &clock, Command::Start).unwrap();
    let before = life(core.platform());
    let first = trace(core.platform());
    wait("three more beats", || beats(core.platform()) >= first.lines().count() + 3);
    assert!(trace(core.platform()).starts_with(&first), "what was there stays");
    assert_eq!(life(core.platform()), before, "of one life");
    run(&mut core, &clock, Command::Stop).unwrap();
    assert_eq!(core.platform().traces().unwrap(), [], "the kernel takes it away");
    println!("ok remoteproc trace: it grows while it is read");
}

fn what_the_kernel_refuses_is_said() {
    let clock = Monotonic::default();
    // What the kernel says is in `asm-generic/errno-base.h`: 8 is ENOEXEC, 22 EINVAL.
    for (name, number) in
        [("text.elf", 22), ("outside.elf", 22), ("future.elf", 22), ("tableless.elf", 22), ("other.elf", 8)]
    {
        let mut core = RemoteCore::new(core(0, Some(name), false), Config::default()).unwrap();
        let failed = run(&mut core, &clock, Command::Start).unwrap_err();
        assert!(
            matches!(failed, Report::Failed(Some(Command::Start), Action::Start(_), Failure::Platform)),
            "{failed:?}"
        );
        match core.fault() {
            Some(LinuxFault::File { path, error }) => {
                assert_eq!((path.file_name(), error.raw_os_error()), (Some("state".as_ref()), Some(number)), "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(core.platform().state().unwrap(), State::Offline(Stage::Bare), "{name}");
    }
    let mut missing = RemoteCore::new(core(0, Some("missing.elf"), false), Config::default()).unwrap();
    run(&mut missing, &clock, Command::Start).unwrap_err();
    let fault = missing.fault().unwrap().to_string();
    assert!(fault.contains("\"missing.elf\"") && fault.contains("/lib/firmware"), "{fault}");

    // None of these keeps it from running what is well, and then:
    let mut runs = core(0, Some("good.elf"), false);
    runs.perform(Action::Load).unwrap();
    runs.perform(Action::Start(Generation(1))).unwrap();
    let busy =
        |fault: LinuxFault| matches!(fault, LinuxFault::File { error, .. } if error.kind() == ErrorKind::ResourceBusy);
    assert!(busy(runs.perform(Action::Load).unwrap_err()), "no other firmware while it runs");
    let twice = runs.perform(Action::Start(Generation(2))).unwrap_err();
    assert!(matches!(twice, LinuxFault::Runs(State::Running)), "{twice}");
    assert!(!runs.abilities().detach, "the kernel started it");
    let detach = runs.perform(Action::Detach).unwrap_err();
    assert!(matches!(&detach, LinuxFault::File { error, .. } if error.raw_os_error() == Some(22)), "{detach}");
    // One that somebody else has started as well, the kernel stops when both want it.
    setting_of(0, "state", "start");
    setting_of(0, "state", "stop");
    assert_eq!(runs.state().unwrap(), State::Running);
    runs.perform(Action::Halt).unwrap();
    runs.perform(Action::Halt).unwrap();
    assert_eq!(runs.state().unwrap(), State::Offline(Stage::Bare), "twice is as well as once");
    println!("ok remoteproc refusals: six firmwares, and four things that make no sense");
}

/// That this is an ELF core of the driver's core: its memory, with the trace up to the crash of this life.
fn check_dump(life: u32) {
    let dump = fs::read(DUMP).unwrap();
    let half = |at: usize| u16::from_le_bytes([dump[at], dump[at + 1]]);
    assert_eq!((&dump[..6], half(16), half(18)), (b"\x7fELF\x01\x01".as_slice(), 4, Machine::ARM.0), "a core, 32 bits");
    assert_eq!((half(28), half(42), half(44)), (52, 32, 1), "of one part");
    let segment = Segment::parse(Class::Elf32, &dump[52..]);
    assert_eq!((segment.kind, segment.da, segment.in_file), (1, DeviceAddr(MEMORY.into()), 0x1_0000));
    let memory = &dump[segment.offset as usize..];
    assert_eq!((memory.len(), &memory[..4]), (0x1_0000, b"TUTI".as_slice()));
    let text = &memory[(TRACE - MEMORY) as usize..];
    let text = String::from_utf8(text.iter().copied().take_while(|byte| *byte != 0).collect()).unwrap();
    assert!(text.starts_with(&format!("life {life}\n")) && text.ends_with(&format!("crash {life}\n")), "{text:?}");
    fs::remove_file(DUMP).unwrap();
}

fn the_kernel_recovers_and_it_is_noticed() {
    let clock = Monotonic::default();
    let mut core = RemoteCore::new(core(0, Some("good.elf"), true), Config::default()).unwrap();
    run(&mut core, &clock, Command::Start).unwrap();
    // The second time nobody looks before all is over, and what is left of it is the dump.
    for late in [false, true] {
        let (before, old) = (core.generation(), life(core.platform()));
        crash(0);
        if late {
            wait("the kernel's recovery", || {
                core.platform().state().unwrap() == State::Running && {
                    core.platform().traces().unwrap().len() == 1 && life(core.platform()) > old
                }
            });
        }
        let reports = reports_until(&mut core, &clock, Report::Now(State::Running, before.next()));
        assert!(reports.contains(&Report::Crashed(Cause::Fault(0), before)), "{reports:?}");
        assert!(!reports.iter().any(|report| matches!(report, Report::Failed(..))), "{reports:?}");
        assert_eq!((core.state(), core.generation()), (State::Running, before.next()));
        assert_eq!(life(core.platform()), old + 1, "started once again, and by the kernel");
        check_dump(old);
        wait("the kernel frees its dump", || {
            fs::read_dir("/sys/class/devcoredump").unwrap().flatten().all(|it| it.file_name() == "disabled")
        });
        for _ in 0..20 {
            core.step(clock.now());
        }
        assert_eq!((core.generation(), core.poll_report()), (before.next(), None), "it is noticed once");
    }
    run(&mut core, &clock, Command::Stop).unwrap();

    // A dump that nobody fetches is not a crash each time that it is looked at.
    let config = Config { dump: false, ..Config::default() };
    let mut careless = RemoteCore::new(self::core(0, None, true), config).unwrap();
    run(&mut careless, &clock, Command::Start).unwrap();
    let before = careless.generation();
    crash(0);
    reports_until(&mut careless, &clock, Report::Now(State::Running, before.next()));
    for _ in 0..20 {
        careless.step(clock.now());
    }
    assert_eq!((careless.generation(), careless.poll_report()), (before.next(), None), "it is noticed once");
    run(&mut careless, &clock, Command::Stop).unwrap();
    // Nor is it one of the next life.
    run(&mut careless, &clock, Command::Start).unwrap();
    careless.step(clock.now());
    assert_eq!(careless.generation(), before.next().next());
    run(&mut careless, &clock, Command::Stop).unwrap();
    let left = fs::read_dir("/sys/class/devcoredump").unwrap().flatten().find(|it| it.file_name() != "disabled");
    fs::write(left.expect("the dump is still there").path().join("data"), "1").unwrap();
    println!("ok remoteproc recovery by the kernel: noticed twice, each with its dump");
}

fn without_the_kernels_recovery_it_is_ours() {
    let clock = Monotonic::default();
    setting_of(0, "recovery", "disabled");
    let recovery = Recovery::Immediately { attempts: 3 };
    let mut ours = RemoteCore::new(core(0, None, true), Config { recovery, ..Config::default() }).unwrap();
    run(&mut ours, &clock, Command::Start).unwrap();
    let (before, old) = (ours.generation(), life(ours.platform()));
    crash(0);
    let reports = reports_until(&mut ours, &clock, Report::Now(State::Running, before.next()));
    assert!(reports.contains(&Report::Crashed(Cause::Fault(0), before)), "{reports:?}");
    let undumped = Report::Failed(None, Action::Dump, Failure::Platform);
    assert!(reports.contains(&undumped) && !Path::new(DUMP).exists(), "the kernel dumps only in its own recovery");
    assert_eq!((ours.generation(), life(ours.platform())), (before.next(), old + 1));
    run(&mut ours, &clock, Command::Stop).unwrap();

    // And if nobody is to recover it, it stays as it is; the kernel would say that all is well if it were started now.
    let mut left = RemoteCore::new(core(0, None, false), Config::default()).unwrap();
    run(&mut left, &clock, Command::Start).unwrap();
    let before = left.generation();
    crash(0);
    reports_until(&mut left, &clock, Report::Crashed(Cause::Fault(0), before));
    assert_eq!((left.state(), left.platform().state().unwrap()), (State::Crashed, State::Crashed));
    let again = left.platform_mut().perform(Action::Start(Generation(9))).unwrap_err();
    assert!(matches!(again, LinuxFault::Runs(State::Crashed)), "{again}");
    // Until somebody tells the kernel to.
    setting_of(0, "recovery", "recover");
    reports_until(&mut left, &clock, Report::Now(State::Running, before.next()));
    crash(0);
    reports_until(&mut left, &clock, Report::Crashed(Cause::Fault(0), before.next()));
    run(&mut left, &clock, Command::Stop).unwrap();
    assert_eq!(left.platform().state().unwrap(), State::Offline(Stage::Bare), "a crashed core can be stopped");
    setting_of(0, "recovery", "enabled");
    println!("ok remoteproc recovery by us: a crash is seen, and the core started once again");
}

fn a_core_that_runs_at_boot_is_attached_to() {
    let clock = Monotonic::default();
    let mut core = RemoteCore::new(core(1, None, true), Config::default()).unwrap();
    assert_eq!(core.state(), State::Detached);
    let mut seen = 0;
    for _ in 0..2 {
        run(&mut core, &clock, Command::Attach).unwrap();
        assert_eq!((core.state(), core.generation()), (State::Attached, Generation(1)));
        assert_eq!(core.platform().state().unwrap(), State::Attached);
        assert_eq!(core.platform().firmware().unwrap(), "unknown", "the kernel has not loaded it");
        assert_eq!(life(core.platform()), 1, "it was not started again");
        wait("it lives on", || beats(core.platform()) > seen);
        seen = beats(core.platform());
        run(&mut core, &clock, Command::Detach).unwrap();
        assert_eq!((core.state(), core.platform().state().unwrap()), (State::Detached, State::Detached));
    }
    // A crash while it is attached: the kernel loads the firmware that it knows, and from then on the core is its own.
    run(&mut core, &clock, Command::Attach).unwrap();
    crash(1);
    reports_until(&mut core, &clock, Report::Now(State::Running, Generation(2)));
    assert_eq!(life(core.platform()), 2);
    check_dump(1);
    run(&mut core, &clock, Command::Stop).unwrap();
    assert_eq!(core.platform().state().unwrap(), State::Offline(Stage::Bare));
    println!("ok remoteproc attach: attached twice without a restart, recovered, stopped");
}
