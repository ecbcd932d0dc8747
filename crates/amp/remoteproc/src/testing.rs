//! Firmwares made in memory, a remote core that exists only in memory, and the suite for platforms.

use std::collections::VecDeque;
use std::string::String;
use std::vec::Vec;

use tutti_metal::{Clock, DeviceAddr, Instant, Monotonic};

use crate::elf::{Class, Machine};
use crate::life::{Abilities, Action, Cause, Command, Config, Generation, Recovery, Refused, Report, Sign, State};
use crate::platform::{Platform, RemoteCore};

/// An executable to be made.
#[derive(Clone, Debug)]
pub struct Firmware {
    /// The width of its addresses.
    pub class: Class,
    /// Its processor.
    pub machine: Machine,
    /// Where it starts.
    pub entry: u64,
    /// Address, contents and length in memory of each part.
    pub segments: Vec<(DeviceAddr, Vec<u8>, u64)>,
    /// Address and contents of the resource table.
    pub table: Option<(DeviceAddr, Vec<u8>)>,
}

impl Firmware {
    /// The bytes of the file: header, program headers, contents, names, section headers.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let wide = self.class == Class::Elf64;
        let (header, segment) = if wide { (64, 56) } else { (52, 32) };
        let put = |out: &mut Vec<u8>, value: u64| {
            let bytes = value.to_le_bytes();
            out.extend_from_slice(if wide { &bytes } else { &bytes[..4] });
        };
        let word = |out: &mut Vec<u8>, value: u32| out.extend_from_slice(&value.to_le_bytes());
        let half = |out: &mut Vec<u8>, value: u16| out.extend_from_slice(&value.to_le_bytes());
        let mut contents = Vec::new();
        let base = header + segment * self.segments.len();
        let mut headers = Vec::new();
        for (da, bytes, in_memory) in &self.segments {
            let offset = (base + contents.len()) as u64;
            contents.extend_from_slice(bytes);
            word(&mut headers, 1);
            if wide {
                word(&mut headers, 6);
            }
            for value in [offset, da.0, da.0, bytes.len() as u64, *in_memory] {
                put(&mut headers, value);
            }
            if !wide {
                word(&mut headers, 6);
            }
            put(&mut headers, 4);
        }
        let table = self.table.as_ref().map(|(da, bytes)| {
            let at = base + contents.len();
            contents.extend_from_slice(bytes);
            (*da, at, bytes.len())
        });
        let names_at = base + contents.len();
        contents.extend_from_slice(b"\0.shstrtab\0.resource_table\0");
        let sections_at = base + contents.len();
        let mut sections = Vec::new();
        let mut section = |name: u32, kind: u32, da: u64, at: usize, len: usize| {
            word(&mut sections, name);
            word(&mut sections, kind);
            put(&mut sections, 0);
            put(&mut sections, da);
            put(&mut sections, at as u64);
            put(&mut sections, len as u64);
            word(&mut sections, 0);
            word(&mut sections, 0);
            put(&mut sections, 4);
            put(&mut sections, 0);
        };
        section(0, 0, 0, 0, 0);
        section(1, 3, 0, names_at, 27);
        let count = 2 + u16::from(table.is_some());
        if let Some((da, at, len)) = table {
            section(11, 1, da.0, at, len);
        }
        let mut out = Vec::new();
        out.extend_from_slice(b"\x7fELF");
        out.extend_from_slice(&[if wide { 2 } else { 1 }, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        half(&mut out, 2);
        half(&mut out, self.machine.0);
        word(&mut out, 1);
        put(&mut out, self.entry);
        put(&mut out, header as u64);
        put(&mut out, sections_at as u64);
        word(&mut out, 0);
        half(&mut out, header as u16);
        half(&mut out, segment as u16);
        half(&mut out, self.segments.len() as u16);
        half(&mut out, if wide { 64 } else { 40 });
        half(&mut out, count);
        half(&mut out, 1);
        out.extend(headers);
        out.extend(contents);
        out.extend(sections);
        out
    }
}

/// A remote core that exists only as this struct: for tests of whatever drives one.
#[derive(Debug)]
pub struct FakeCore {
    /// What it can do.
    pub abilities: Abilities,
    /// In which generation it runs, if it does.
    pub running: Option<Generation>,
    /// What was done to it.
    pub log: Vec<Action>,
    /// What it will be noticed to do.
    pub signs: VecDeque<(Generation, Sign)>,
    /// Which actions fail.
    pub failing: Vec<Action>,
    /// Whether it stops when it is asked to.
    pub obeys: bool,
}

impl Default for FakeCore {
    fn default() -> Self {
        Self {
            abilities: Abilities::ALL,
            running: None,
            log: Vec::new(),
            signs: VecDeque::new(),
            failing: Vec::new(),
            obeys: true,
        }
    }
}

impl FakeCore {
    /// It crashes.
    pub fn crash(&mut self, cause: Cause) {
        if let Some(generation) = self.running {
            self.signs.push_back((generation, Sign::Crashed(cause)));
        }
    }
}

impl Platform for FakeCore {
    type Fault = String;

    fn abilities(&self) -> Abilities {
        self.abilities
    }
    fn find(&mut self) -> Result<Option<Generation>, String> {
        Ok(self.running)
    }
    fn perform(&mut self, action: Action) -> Result<Option<Generation>, String> {
        self.log.push(action);
        if self.failing.contains(&action) {
            return Err("it was told to fail".into());
        }
        match action {
            Action::Start(generation) => self.running = Some(generation),
            Action::Halt => self.running = None,
            Action::Ask if self.obeys => {
                self.signs.extend(self.running.map(|generation| (generation, Sign::Ended)));
            }
            Action::Attach if self.running.is_none() => return Err("it does not run".into()),
            Action::Attach => return Ok(self.running),
            _ => {}
        }
        Ok(None)
    }
    fn observe(&mut self) -> Option<(Generation, Sign)> {
        self.signs.pop_front()
    }
}

/// What every platform must pass: lives of its core, one after the other, on the real clock. The core is to do nothing but
/// run, and stop when it is asked to.
///
/// # Panics
/// If it does not pass.
pub fn conformance<P: Platform>(platform: P)
where
    P::Fault: core::fmt::Debug,
{
    let clock = Monotonic::default();
    let abilities = platform.abilities();
    let config =
        Config { grace: Some(core::time::Duration::from_secs(5)), recovery: Recovery::Never, ..Config::default() };
    let mut core = RemoteCore::new(platform, config).expect("whether it runs");
    assert!(matches!(core.state(), State::Offline(_)), "the suite starts with a core that does not run");
    let mut last = Generation(0);
    for round in 0..3 {
        run(&mut core, &clock, Command::Start).unwrap_or_else(|report| panic!("round {round}: {report:?}"));
        assert_eq!(core.state(), State::Running);
        assert_ne!(core.generation(), last, "each start is a new generation");
        last = core.generation();
        assert_eq!(core.platform_mut().find().ok().flatten(), Some(last), "a running core is found");
        assert!(core.command(clock.now(), Command::Start).is_err(), "it cannot be started twice");
        if abilities.suspend {
            run(&mut core, &clock, Command::Suspend).expect("suspend");
            run(&mut core, &clock, Command::Resume).expect("resume");
        } else {
            assert_eq!(core.command(clock.now(), Command::Suspend), Err(Refused::Unsupported(Command::Suspend)));
        }
        if abilities.detach && abilities.attach {
            run(&mut core, &clock, Command::Detach).expect("detach");
            assert_eq!(core.state(), State::Detached);
            run(&mut core, &clock, Command::Attach).expect("attach");
            assert_eq!((core.state(), core.generation()), (State::Attached, last), "attaching is no restart");
        }
        run(&mut core, &clock, Command::Stop).unwrap_or_else(|report| panic!("round {round}: {report:?}"));
        assert!(matches!(core.state(), State::Offline(_)), "{:?}", core.state());
        assert_eq!(core.platform_mut().find().ok().flatten(), None, "a stopped core is not found");
    }
}

/// Carries a command out on the real clock, to its end.
///
/// # Errors
/// The report of its failure.
///
/// # Panics
/// If it does not end within ten seconds.
pub fn run<P: Platform>(core: &mut RemoteCore<P>, clock: &impl Clock, command: Command) -> Result<(), Report> {
    while core.poll_report().is_some() {}
    if let Err(refused) = core.command(clock.now(), command) {
        panic!("{refused}");
    }
    let end = clock.now().after(core::time::Duration::from_secs(10));
    while clock.now() < end {
        core.step(clock.now());
        while let Some(report) = core.poll_report() {
            match report {
                Report::Done(done) if done == command => return Ok(()),
                Report::Failed(..) => return Err(report),
                _ => {}
            }
        }
        std::thread::sleep(core::time::Duration::from_millis(1));
    }
    panic!("{command:?} did not end in time");
}

/// A moment so many milliseconds after the start, for tests in virtual time.
#[must_use]
pub const fn at_millis(millis: u64) -> Instant {
    Instant(millis * 1_000_000)
}
