//! A remote core that is a process: its life, its messages, its crashes, and hosts that are killed.
//!
//! The remote and the killed hosts are this test program itself, started again: see `remote_program` and `host_program`.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tutti_amp_host::process::{Delivery, InboxError, ProcessConfig, ProcessCore, RemotePort, Shutdown, Work};
use tutti_metal::{Clock, Memory, Monotonic, Sleep};
use tutti_remoteproc::RemoteCore;
use tutti_remoteproc::life::{Cause, Command as Do, Config, Recovery, Report, State};
use tutti_remoteproc::table::{Claim, Entry, Label, Trace, Vdev};
use tutti_remoteproc::testing::{conformance, run};
use tutti_rpmsg::{Address, Name, SendError};
use tutti_virtio::VringEntry;

const QUEUE: VringEntry = VringEntry { da: u32::MAX, align: 4096, num: 64, notifyid: 0 };

tutti_remoteproc::resource_table! {
    /// What the remote below asks for.
    static TABLE = &[
        Entry::Trace(Trace { da: Claim(0x3ed0_3000), len: 0x800, name: Label::literal("talk") }),
        Entry::Vdev(Vdev::rpmsg(&[QUEUE, VringEntry { notifyid: 1, ..QUEUE }])),
    ];
}

const COMMANDS: Address = Address(100);
const NOTES: &str = "TUTTI_TEST_NOTES";
const FINAL: &str = "TUTTI_TEST_FINAL";

fn append(path: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(path).unwrap()
}

/// The firmware: echoes, counts for ever if it is told to, notes what it was sent, crashes if it is told to.
#[test]
#[ignore = "the remote of the other tests"]
fn remote_program() {
    let Ok(mut port) = RemotePort::join() else { return };
    assert!(TABLE.region(tutti_metal::DeviceAddr(0)).is_ok());
    let mut notes = std::env::var_os(NOTES).map(|path| append(Path::new(&path)));
    let mut note = |line: String| {
        if let Some(notes) = &mut notes {
            notes.write_all(line.as_bytes()).unwrap();
        }
    };
    note(format!("start {}\n", std::process::id()));
    let link = port.link(8).unwrap();
    let commands = link.endpoint(Some(Name::new("commands").unwrap()), COMMANDS).unwrap();
    let mut trace = port.trace("talk").expect("the table has one");
    writeln!(trace, "generation {}", port.generation().0).unwrap();
    let mut outbox: VecDeque<(Address, Vec<u8>)> = VecDeque::new();
    let (mut counting, mut count) = (None, 0u64);
    let born = Instant::now();
    // If a test forgets about it, it ends by itself.
    while born.elapsed() < Duration::from_secs(240) {
        port.heartbeat();
        while let Some(message) = commands.try_receive().unwrap() {
            let mut bytes = vec![0; message.len()];
            message.read(0, &mut bytes).unwrap();
            let (text, source) = (String::from_utf8(bytes).unwrap(), message.source());
            drop(message);
            match text.split_once(' ').unwrap_or((&text, "")) {
                ("echo", rest) => outbox.push_back((source, rest.as_bytes().to_vec())),
                ("count", _) => counting = Some(source),
                ("note", rest) => note(format!("got {rest}\n")),
                ("finish", _) => {
                    counting = None;
                    outbox.push_back((source, format!("end {count}").into_bytes()));
                }
                ("crash", _) => {
                    writeln!(trace, "crashing as told").unwrap();
                    std::process::abort();
                }
                ("lie", rest) => {
                    let (at, value) = rest.split_once(' ').unwrap();
                    commands.try_send(source, b"as told").unwrap();
                    std::thread::sleep(Duration::from_millis(50));
                    port.memory().put(at.parse().unwrap(), &value.parse::<u16>().unwrap()).unwrap();
                }
                ("stop", _) => return port.end(),
                _ => outbox.push_back((source, b"what?".to_vec())),
            }
        }
        if port.work() == Work::Relink {
            // Everything that had arrived was taken just above; what could not be answered waits in the outbox.
            if port.relink(&link).is_err() {
                std::thread::sleep(Duration::from_millis(1));
            }
            continue;
        }
        if let Some(to) = counting
            && outbox.is_empty()
        {
            outbox.push_back((to, count.to_string().into_bytes()));
            count += 1;
        }
        let mut stuck = false;
        while let Some((to, bytes)) = outbox.front() {
            match commands.try_send(*to, bytes) {
                Ok(()) => {
                    outbox.pop_front();
                }
                Err(SendError::NoBuffer) => {
                    stuck = true;
                    break;
                }
                Err(error) => panic!("{error}"),
            }
        }
        if (stuck || counting.is_none()) && !link.listen().unwrap() {
            port.sleep(Duration::from_millis(if stuck { 1 } else { 20 }));
        }
    }
}

fn config(folder: &Path, notes: Option<&Path>) -> ProcessConfig {
    let program = std::env::current_exe().unwrap();
    let mut config = ProcessConfig::new(program, folder.join("remote.sock"));
    config.arguments = ["--exact", "remote_program", "--include-ignored", "--nocapture"].map(Into::into).into();
    config.environment = notes.map(|path| (NOTES.into(), path.into())).into_iter().collect();
    config.shutdown = Some(Shutdown { to: COMMANDS, bytes: b"stop".to_vec() });
    config.dump = Some(folder.join("core"));
    config
}

/// A folder that only this user can write to.
fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("tutti-process").tempdir().unwrap()
}

struct Stopped(RemoteCore<ProcessCore>, Monotonic);

impl Drop for Stopped {
    fn drop(&mut self) {
        // Whatever happened, no process stays behind.
        if self.0.state() == State::Detached {
            let _ = self.0.command(self.1.now(), Do::Attach);
        }
        let _ = self.0.command(self.1.now(), Do::Stop);
        for _ in 0..600 {
            self.0.step(self.1.now());
            if !matches!(self.0.state(), State::Running | State::Attached) {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn started(config: ProcessConfig, life: Config) -> Stopped {
    let clock = Monotonic::default();
    let mut core = RemoteCore::new(ProcessCore::new(config), life).unwrap();
    let command = if core.state() == State::Detached { Do::Attach } else { Do::Start };
    if let Err(report) = run(&mut core, &clock, command) {
        panic!("{report:?}: {:?}", core.fault().map(ToString::to_string));
    }
    Stopped(core, clock)
}

fn life() -> Config {
    Config { grace: Some(Duration::from_secs(5)), ..Config::default() }
}

#[test]
fn a_process_is_a_platform_like_any_other() {
    let folder = folder();
    conformance(ProcessCore::new(config(folder.path(), None)));
}

fn ask(core: &mut RemoteCore<ProcessCore>, text: &str) -> Option<Delivery> {
    let link = core.platform().link().unwrap();
    let endpoint = link.endpoint(None, Address(7)).unwrap();
    endpoint.try_send(COMMANDS, text.as_bytes()).unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while Instant::now() < end {
        if let Some(delivery) = core.platform_mut().receive(&[&endpoint]).unwrap() {
            return Some(delivery);
        }
        if !link.listen().unwrap() {
            core.platform().bell().unwrap().sleep(Duration::from_millis(50));
        }
    }
    None
}

#[test]
fn it_talks_crashes_is_dumped_and_comes_back_fifty_times() {
    let folder = folder();
    let recovery = Recovery::Immediately { attempts: 100 };
    let watchdog = Some(Duration::from_secs(3));
    let Stopped(core, clock) = &mut started(config(folder.path(), None), Config { recovery, watchdog, ..life() });
    let rounds = if std::env::var_os("TUTTI_LONG_TESTS").is_some() { 50 } else { 8 };
    for round in 0..rounds {
        let generation = core.generation();
        let answer = ask(core, &format!("echo hello {round}")).expect("an answer");
        assert_eq!(answer.bytes, format!("hello {round}").into_bytes());
        let mut text = Vec::new();
        core.platform_mut().trace("talk", &mut |piece| text.extend_from_slice(piece)).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), format!("generation {}\n", generation.0));
        assert_eq!(core.platform_mut().trace("none", &mut |_| {}), None);
        let link = core.platform().link().unwrap();
        link.endpoint(None, Address(9)).unwrap().try_send(COMMANDS, b"crash").unwrap();
        let end = Instant::now() + Duration::from_secs(10);
        let mut reports = vec![];
        while core.generation() == generation && Instant::now() < end {
            core.step(clock.now());
            reports.extend(std::iter::from_fn(|| core.poll_report()));
            std::thread::sleep(Duration::from_millis(1));
        }
        // It aborts: signal 6.
        assert!(reports.contains(&Report::Crashed(Cause::Fault(6), generation)), "{reports:?}");
        assert_eq!((core.state(), core.generation()), (State::Running, generation.next()), "{reports:?}");
        let core_file = fs::read(folder.path().join("core")).unwrap();
        let words = b"crashing as told";
        assert!(core_file.starts_with(b"\x7fELF") && core_file.windows(words.len()).any(|bytes| bytes == words));
    }
}

/// Whoever holds an endpoint may still send when its life is over, and says goodbye when it drops it.
#[test]
fn what_is_held_of_an_old_life_cannot_harm_the_next() {
    let folder = folder();
    let Stopped(core, clock) = &mut started(config(folder.path(), None), life());
    for round in 0..3 {
        let link = core.platform().link().unwrap();
        let held = link.endpoint(Name::new("held").ok(), Address::ANY).unwrap();
        held.try_send(COMMANDS, b"echo before").unwrap();
        for command in [Do::Stop, Do::Start] {
            run(core, clock, command).unwrap();
        }
        // The new firmware is listening.
        ask(core, "echo first").expect("an answer");
        for _ in 0..5 {
            let _ = held.try_send(COMMANDS, b"crash");
        }
        drop(held);
        std::thread::sleep(Duration::from_millis(50));
        let answer = ask(core, &format!("echo hello {round}")).expect("an answer");
        assert_eq!(answer.bytes, format!("hello {round}").into_bytes());
    }
}

#[test]
fn what_cannot_be_started_says_why() {
    let folder = folder();
    let fault = |config: ProcessConfig| {
        let mut core = RemoteCore::new(ProcessCore::new(config), life()).unwrap();
        assert!(run(&mut core, &Monotonic::default(), Do::Start).is_err());
        core.fault().unwrap().to_string()
    };
    let missing = ProcessConfig { program: "/nowhere/firmware".into(), ..config(folder.path(), None) };
    assert!(fault(missing).starts_with("cannot read the program:"));
    let text = folder.path().join("text");
    fs::write(&text, "no program at all ".repeat(10)).unwrap();
    assert!(fault(ProcessConfig { program: text, ..config(folder.path(), None) }).starts_with("e_ident (magic)"));
    let small = ProcessConfig { memory: 0x8000, ..config(folder.path(), None) };
    assert!(fault(small).contains("of a memory of 32768; give the remote more"));
    let strange = ProcessConfig { program: "/bin/true".into(), ..config(folder.path(), None) };
    assert!(fault(strange).starts_with("cannot hand the memory over"));
    use std::os::unix::fs::PermissionsExt;
    let open = folder.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let unsafe_socket = ProcessConfig { socket: open.join("socket"), ..config(folder.path(), None) };
    assert!(fault(unsafe_socket).contains("writable by nobody else"));
}

/// A host that writes down what it is delivered, together with its position, and is killed in the middle of that.
#[test]
#[ignore = "the hosts of the test below"]
fn host_program() {
    let Some(notes) = std::env::var_os(NOTES) else { return };
    let folder = Path::new(&notes).parent().unwrap().to_owned();
    let (last, finishing) = (std::env::var_os(FINAL).is_some(), folder.join("host"));
    let written = fs::read_to_string(&finishing).unwrap_or_default();
    let done = written.lines().rev().find_map(|line| line.split_once(' ')?.0.parse::<u64>().ok());
    let mut log = append(&finishing);
    let mut sent_log = append(&folder.join("sent"));
    let mut core = std::mem::ManuallyDrop::new(started(config(&folder, Some(Path::new(&notes))), life()));
    let (core, clock) = (&mut core.0, Monotonic::default());
    let fresh = core.state() == State::Running;
    let mut deliver = |core: &mut RemoteCore<ProcessCore>, delivery: Delivery| {
        let text = String::from_utf8(delivery.bytes).unwrap();
        if done.is_none_or(|done| delivery.position > done) {
            log.write_all(format!("{} {text}\n", delivery.position).as_bytes()).unwrap();
        }
        core.platform_mut().commit();
        text.starts_with("end")
    };
    let mut ended = false;
    while core.platform().link().is_none() {
        match core.platform_mut().receive(&[]) {
            Ok(Some(delivery)) => ended |= deliver(core, delivery),
            Err(InboxError::NotLinked) => core.platform_mut().relink().unwrap(),
            other => panic!("{other:?}"),
        }
    }
    let link = core.platform().link().unwrap();
    let endpoint = link.endpoint(None, Address(7)).unwrap();
    if fresh {
        endpoint.try_send(COMMANDS, b"count").unwrap();
    }
    let end = Instant::now() + Duration::from_secs(30);
    let (mut next, mut asked) = (0u64, false);
    let id = std::process::id();
    while !ended && Instant::now() < end {
        while let Some(delivery) = core.platform_mut().receive(&[&endpoint]).unwrap() {
            ended |= deliver(core, delivery);
        }
        if last && !asked {
            asked = endpoint.try_send(COMMANDS, b"finish").is_ok();
        } else if endpoint.try_send(COMMANDS, format!("note {id}-{next}").as_bytes()).is_ok() {
            // It was published, and only then written down.
            sent_log.write_all(format!("{id}-{next}\n").as_bytes()).unwrap();
            next += 1;
        }
        core.step(clock.now());
        if !link.listen().unwrap() {
            core.platform().bell().unwrap().sleep(Duration::from_millis(1));
        }
    }
    assert!(ended, "the remote never said that it had ended");
    drop(endpoint);
    let core: &mut RemoteCore<ProcessCore> = core;
    run(core, &clock, Do::Stop).unwrap();
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn hosts_are_killed_and_nothing_is_lost_or_repeated_and_the_remote_never_restarts() {
    let folder = folder();
    let notes = folder.path().join("notes");
    let host = |last: bool| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "host_program", "--include-ignored", "--nocapture"]).env(NOTES, &notes);
        if last {
            command.env(FINAL, "1");
        }
        Killed(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    };
    let seed = std::env::var("TUTTI_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0x5eed_u64);
    let rounds = if std::env::var_os("TUTTI_LONG_TESTS").is_some() { 300 } else { 25 };
    // An emulated host needs longer to start, so it lives longer too.
    let slow = std::env::var("TUTTI_SLOW").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut random = seed;
    for _ in 0..rounds {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let host = host(false);
        std::thread::sleep(slow * Duration::from_millis(15 + (random >> 33) % 100));
        drop(host);
    }
    let mut host = host(true);
    let status = host.0.wait().unwrap();
    assert!(status.success(), "seed {seed}: the last host failed");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let (log, notes, sent) = (read("host"), read("notes"), read("sent"));
    assert_eq!(notes.matches("start ").count(), 1, "seed {seed}: the remote was started once");
    // To the host: every number once, in order, and positions that only grow.
    let lines: Vec<(u64, &str)> =
        log.lines().filter_map(|line| line.split_once(' ')).map(|(at, text)| (at.parse().unwrap(), text)).collect();
    assert!(lines.windows(2).all(|pair| pair[0].0 < pair[1].0), "seed {seed}: a position came twice");
    let (end, numbers) = lines.split_last().unwrap();
    for (expected, (position, text)) in numbers.iter().enumerate() {
        assert_eq!(*text, expected.to_string(), "seed {seed}: at position {position}");
    }
    assert_eq!(end.1, format!("end {}", numbers.len()), "seed {seed}");
    // To the remote: whatever was published, once.
    let mut got: Vec<&str> = notes.lines().filter_map(|line| line.strip_prefix("got ")).collect();
    let count = got.len();
    got.sort_unstable();
    got.dedup();
    assert_eq!(got.len(), count, "seed {seed}: something came twice");
    for id in sent.lines() {
        assert!(got.binary_search(&id).is_ok(), "seed {seed}: {id} was published and never came");
    }
    assert!(numbers.len() > rounds && count > rounds, "{} and {count} messages", numbers.len());
}

#[test]
fn letting_go_and_coming_back_finds_what_was_not_done_with() {
    let folder = folder();
    let Stopped(core, clock) = &mut started(config(folder.path(), None), life());
    let answer = ask(core, "echo x").expect("an answer");
    run(core, clock, Do::Detach).unwrap();
    run(core, clock, Do::Attach).unwrap();
    assert_eq!(core.state(), State::Attached);
    // The answer; and the announcement before it, if both had come by the first look.
    let found = core.platform().to_deliver();
    assert!((1..=2).contains(&found), "{found}");
    assert!(core.platform().link().is_none() && core.platform_mut().relink().is_err(), "it is to be delivered first");
    assert_eq!(core.platform_mut().receive(&[]), Ok(Some(answer.clone())), "the same message at the same position");
    assert_eq!(core.platform_mut().receive(&[]), Err(InboxError::NotLinked));
    core.platform_mut().relink().unwrap();
    let next = ask(core, "echo again").expect("an answer");
    assert_eq!(next.bytes, b"again");
    assert!(next.position > answer.position);
    core.platform_mut().commit();
    assert_eq!(core.platform().committed(), next.position + 1);
}

/// The remote writes `value` at `at`, and says so.
fn lie(core: &mut RemoteCore<ProcessCore>, at: usize, value: u16) {
    assert!(ask(core, &format!("lie {at} {value}")).is_some());
    core.platform_mut().commit();
}

#[test]
fn a_remote_that_lies_is_refused_by_what_it_says() {
    let folder = folder();
    let notes = folder.path().join("notes");
    let Stopped(core, clock) = &mut started(config(folder.path(), Some(&notes)), life());
    // The queue to the host is at 0x4000, its used ring a page on; the index jumps far ahead.
    lie(core, 0x5002, 0x4000);
    let link = core.platform().link().unwrap();
    let endpoint = link.endpoint(None, Address(7)).unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    let refused = loop {
        match core.platform_mut().receive(&[&endpoint]) {
            Err(refused) => break refused.to_string(),
            Ok(delivery) => assert!(delivery.is_none() && Instant::now() < end, "{delivery:?}"),
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    assert!(refused.contains("used.idx"), "{refused}");
    drop(endpoint);
    run(core, clock, Do::Detach).unwrap();
    run(core, clock, Do::Attach).unwrap();
    assert!(
        core.platform().link().is_none() && core.platform_mut().relink().is_err(),
        "what was lost is to be heard of"
    );
    let refused = core.platform_mut().receive(&[]).unwrap_err().to_string();
    assert!(refused.contains("used.idx"), "{refused}");
    core.platform_mut().relink().unwrap();
    assert_eq!(ask(core, "echo well again").map(|it| it.bytes), Some(b"well again".to_vec()));
    core.platform_mut().commit();
    // The header itself: then it cannot even be attached to, but a new start is possible once it is gone.
    lie(core, 0, 0);
    std::thread::sleep(Duration::from_millis(100));
    run(core, clock, Do::Detach).unwrap();
    assert!(run(core, clock, Do::Attach).is_err());
    assert!(core.fault().unwrap().to_string().contains("not of a process remote"));
    let pid = fs::read_to_string(folder.path().join("notes")).unwrap();
    let pid =
        pid.split_whitespace().nth(1).and_then(|word| rustix::process::Pid::from_raw(word.parse().ok()?)).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
