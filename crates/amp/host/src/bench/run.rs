//! The two processes, the repetitions, and the rows.

use std::fmt;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::thread::CpuSet;
use tutti_metal::{DeviceAddr, Memory, Silent};
use tutti_rpmsg::{Host, Remote, Role};

use super::link::{self, HERE, Links, Place, THERE};
use super::plain::{self, Blocks, Flags, Pipes, Spsc};
use crate::mapping::{load, store};
use crate::{EventBell, FutexBell, FutexSleeper, Mapping, SharedMemory, socket};

const CHILD: &str = "TUTTI_AMP_BENCH_CHILD";
const DEVICE: DeviceAddr = DeviceAddr(0x1000_0000);

// The control block: the number of the job, and of the last one taken and done; then the job.
const JOB: usize = 0;
const TAKEN: usize = 128;
const DONE: usize = 256;
const WHAT: usize = 384;
// Flags of the plain ping-pong with room for a payload, bells, flags of the blocks.
const FLAGS: [usize; 2] = [0x1_0000, 0x3_0000];
const BELLS: [usize; 2] = [0x1000, 0x1080];
const LINK_BELLS: [usize; 2] = [0x1100, 0x1180];
const BLOCK_FLAGS: usize = 0x2000;
const SPSC: usize = 0x5_0000;
const POLLED: Place = Place { at: 0x10_0000, entries: 256, buffer: 512 };
const FUTEX: Place = Place { at: 0x20_0000, entries: 256, buffer: 512 };
const EVENT: Place = Place { at: 0x30_0000, entries: 256, buffer: 512 };
const LARGE: Place = Place { at: 0x40_0000, entries: 8, buffer: 65_024 };
const BLOCKS: usize = 0x60_0000;
const TOTAL: usize = 0x80_0000;
const _: () = assert!(SPSC + Spsc::BYTES < 0x10_0000);

/// Why there are no figures.
#[derive(Debug)]
pub(super) enum Failed {
    /// The other process did not answer in time.
    Silence,
    /// Something else, in its own words.
    Other(Box<dyn std::error::Error>),
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence => f.write_str("the other process did not answer within five seconds"),
            Self::Other(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::Other(Box::new(error))
    }
}

/// A bound on polling that costs a register: the clock is read every million turns.
#[derive(Default)]
pub(super) struct Patience {
    turns: u32,
    since: Option<Instant>,
}

impl Patience {
    #[inline(always)]
    pub(super) fn spin(&mut self) -> Result<(), Failed> {
        self.turns = self.turns.wrapping_add(1);
        if self.turns.is_multiple_of(1 << 20) { self.check() } else { Ok(()) }
    }

    #[cold]
    fn check(&mut self) -> Result<(), Failed> {
        let since = *self.since.get_or_insert_with(Instant::now);
        if since.elapsed() > Duration::from_secs(5) { Err(Failed::Silence) } else { Ok(()) }
    }
}

/// What the other process is to do.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Job {
    Quit,
    FlagsAnswer,
    SpscSink,
    BlocksSink,
    PipeAnswer,
    PipeSink,
    FutexAnswer,
    EventAnswer,
    LinkAnswer,
    LinkSink,
    LargeAnswer,
    LargeSink,
    LargeRead,
    LinkFutexAnswer,
    LinkEventAnswer,
}

const JOBS: [Job; 15] = [
    Job::Quit,
    Job::FlagsAnswer,
    Job::SpscSink,
    Job::BlocksSink,
    Job::PipeAnswer,
    Job::PipeSink,
    Job::FutexAnswer,
    Job::EventAnswer,
    Job::LinkAnswer,
    Job::LinkSink,
    Job::LargeAnswer,
    Job::LargeSink,
    Job::LargeRead,
    Job::LinkFutexAnswer,
    Job::LinkEventAnswer,
];

/// One line of the result.
#[derive(Clone, Debug)]
pub struct Row {
    /// As in `amp.rtt.16.polled`.
    pub name: String,
    /// The median of ours.
    pub value: f64,
    /// Of both values.
    pub unit: &'static str,
    /// What it is held against.
    pub reference: &'static str,
    /// The median of that.
    pub reference_value: f64,
    /// The median of the ratios of single repetitions.
    pub ratio: f64,
    /// How many repetitions were kept, and how many were run.
    pub kept: (usize, usize),
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, unit, reference, reference_value, ratio, kept: (kept, runs) } = self;
        write!(
            f,
            "{{\"name\":\"{name}\",\"value\":{value:.1},\"unit\":\"{unit}\",\"reference\":\"{reference}\",\
             \"reference_value\":{reference_value:.1},\"ratio\":{ratio:.3},\"kept\":{kept},\"runs\":{runs}}}"
        )
    }
}

/// What both processes have.
struct Side<R: Role> {
    memory: SharedMemory,
    flags: Flags,
    spsc: Spsc,
    blocks: Blocks,
    pipes: Pipes,
    bell: FutexBell,
    sleeper: FutexSleeper,
    link_sleeper: FutexSleeper,
    /// Rings the other side; heard by this one.
    events: [EventBell; 4],
    links: Links<R>,
}

/// Runs the benchmark, or the part of its second process. Figures go to standard output, one JSON object a line.
pub fn main() -> ExitCode {
    let result = if std::env::var_os(CHILD).is_some() { child() } else { parent() };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "amp_rpmsg: {error}");
            ExitCode::FAILURE
        }
    }
}

fn pin(core: usize) -> Result<(), Failed> {
    let allowed = rustix::thread::sched_getaffinity(None)?;
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect();
    let Some(&core) = cores.get(core) else {
        return Err(Failed::Other("two cores are needed, and this process may use only one".into()));
    };
    let mut set = CpuSet::new();
    set.set(core);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

fn duplicate(fd: impl AsFd) -> Result<OwnedFd, Failed> {
    Ok(fd.as_fd().try_clone_to_owned()?)
}

struct Shared {
    memory: SharedMemory,
    /// To the parent, to the child; and the same for the links.
    events: [OwnedFd; 4],
    to_parent: [OwnedFd; 2],
    to_child: [OwnedFd; 2],
}

fn side<R: Role>(shared: &Shared, me: usize, links: Links<R>) -> Result<Side<R>, Failed> {
    let memory = shared.memory.clone();
    let other = 1 - me;
    let (from, to) =
        if me == 0 { (&shared.to_parent, &shared.to_child) } else { (&shared.to_child, &shared.to_parent) };
    let event = |i: usize| Ok::<_, Failed>(EventBell::from_fd(duplicate(&shared.events[i])?));
    Ok(Side {
        flags: Flags { memory: memory.clone(), mine: FLAGS[me], theirs: FLAGS[other] },
        spsc: Spsc { memory: memory.clone(), at: SPSC },
        blocks: Blocks {
            memory: memory.clone(),
            flags: BLOCK_FLAGS,
            at: BLOCKS,
            count: LARGE.entries as u16,
            stride: LARGE.buffer as usize,
        },
        pipes: Pipes { from: duplicate(&from[0])?.into(), to: duplicate(&to[1])?.into() },
        bell: FutexBell::new(&memory, BELLS[other])?,
        sleeper: FutexBell::new(&memory, BELLS[me])?.sleeper(),
        link_sleeper: FutexBell::new(&memory, LINK_BELLS[me])?.sleeper(),
        events: [event(other)?, event(me)?, event(2 + other)?, event(2 + me)?],
        memory,
        links,
    })
}

fn child() -> Result<(), Failed> {
    pin(1)?;
    let socket = UnixStream::from(duplicate(std::io::stdin())?);
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut passed = Vec::new();
    for _ in 0..3 {
        passed.extend(socket::receive(&socket)?);
    }
    let passed: [OwnedFd; 9] = passed.try_into().map_err(|_| Failed::Silence)?;
    let [memory, a, b, c, d, e, f, g, h] = passed;
    let memory = Mapping::open(memory, DEVICE)?;
    let shared = Shared { memory: memory.clone(), events: [a, b, c, d], to_parent: [e, f], to_child: [g, h] };
    let links = Links::<Remote> {
        polled: POLLED.remote(&memory, Silent)?,
        large: LARGE.remote(&memory, Silent)?,
        futex: FUTEX.remote(&memory, FutexBell::new(&memory, LINK_BELLS[0])?)?,
        event: EVENT.remote(&memory, EventBell::from_fd(duplicate(&shared.events[2])?))?,
    };
    let mut side = side(&shared, 1, links)?;
    serve(&mut side)
}

fn serve(side: &mut Side<Remote>) -> Result<(), Failed> {
    let Links { polled, large, futex, event } = &side.links;
    let polled = (polled, polled.endpoint(None, THERE)?);
    let large = (large, large.endpoint(None, THERE)?);
    let futex = (futex, futex.endpoint(None, THERE)?);
    let event = (event, event.endpoint(None, THERE)?);
    polled.0.ignore();
    large.0.ignore();
    let mut last = 0u16;
    loop {
        let since = Instant::now();
        while load(&side.memory, JOB) == last {
            if since.elapsed() > Duration::from_secs(30) {
                return Err(Failed::Silence);
            }
            std::thread::yield_now();
        }
        last = last.wrapping_add(1);
        let what: u32 = side.memory.get(WHAT)?;
        let count: u32 = side.memory.get(WHAT + 4)?;
        let size = side.memory.get::<u32>(WHAT + 8)? as usize;
        let job = JOBS.get(what as usize).copied().unwrap_or(Job::Quit);
        side.flags.clear();
        store(&side.memory, TAKEN, last);
        match job {
            Job::Quit => return Ok(()),
            Job::FlagsAnswer => side.flags.answer(count, size)?,
            Job::SpscSink => side.spsc.sink(count, size)?,
            Job::BlocksSink => drop(std::hint::black_box(side.blocks.sink(count, size)?)),
            Job::PipeAnswer => side.pipes.answer(count, size)?,
            Job::PipeSink => side.pipes.sink(count, size)?,
            Job::FutexAnswer => plain::wait_and_ring(count, &side.bell, &side.sleeper)?,
            Job::EventAnswer => plain::wait_and_ring(count, &side.events[0], &side.events[1])?,
            Job::LinkAnswer => link::answer(&polled, count, size)?,
            Job::LinkSink => drop(link::sink(&polled, count, size, true)?),
            Job::LargeAnswer => link::answer(&large, count, size)?,
            Job::LargeSink => drop(link::sink(&large, count, size, true)?),
            Job::LargeRead => drop(std::hint::black_box(link::sink(&large, count, size, false)?)),
            Job::LinkFutexAnswer => link::answer_asleep(&futex, count, size, &side.link_sleeper)?,
            Job::LinkEventAnswer => link::answer_asleep(&event, count, size, &side.events[3])?,
        }
        store(&side.memory, DONE, last);
    }
}

/// The process that asks, and measures.
struct Bench<'a> {
    side: Side<Host>,
    job: u16,
    repetitions: usize,
    only: Option<String>,
    child: &'a mut Child,
}

fn parent() -> Result<(), Failed> {
    let memory = Mapping::create(TOTAL, DEVICE)?;
    let event = || duplicate(EventBell::create()?);
    let (to_parent, to_child) = (rustix::pipe::pipe()?, rustix::pipe::pipe()?);
    let shared = Shared {
        memory: memory.clone(),
        events: [event()?, event()?, event()?, event()?],
        to_parent: to_parent.into(),
        to_child: to_child.into(),
    };
    let links = Links::<Host> {
        polled: POLLED.host(&memory, Silent)?,
        large: LARGE.host(&memory, Silent)?,
        futex: FUTEX.host(&memory, FutexBell::new(&memory, LINK_BELLS[1])?)?,
        event: EVENT.host(&memory, EventBell::from_fd(duplicate(&shared.events[3])?))?,
    };
    let (mine, theirs) = UnixStream::pair()?;
    let mut child =
        Command::new(std::env::current_exe()?).env(CHILD, "1").stdin(Stdio::from(OwnedFd::from(theirs))).spawn()?;
    // Only now: the child would inherit it.
    pin(0)?;
    let fds = &shared.events;
    socket::send(&mine, &[memory.keeper().as_fd(), fds[0].as_fd(), fds[1].as_fd()])?;
    socket::send(&mine, &[fds[2].as_fd(), fds[3].as_fd(), shared.to_parent[0].as_fd()])?;
    socket::send(&mine, &[shared.to_parent[1].as_fd(), shared.to_child[0].as_fd(), shared.to_child[1].as_fd()])?;
    let number = |name: &str, default| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    let side = side(&shared, 0, links)?;
    let only = std::env::var("TUTTI_AMP_BENCH_ONLY").ok();
    let mut bench =
        Bench { side, job: 0, repetitions: number("TUTTI_AMP_BENCH_REPETITIONS", 41), only, child: &mut child };
    let result = bench.all();
    let quit = bench.start(Job::Quit, 0, 0);
    if result.is_err() || quit.is_err() {
        let _ = bench.child.kill();
    }
    bench.child.wait()?;
    result
}

impl Bench<'_> {
    fn all(&mut self) -> Result<(), Failed> {
        for size in [16, 64, 496] {
            self.compare(
                &format!("amp.rtt.{size}.polled"),
                "flag_round_trip",
                "ns",
                2000,
                size,
                Job::FlagsAnswer,
                Job::LinkAnswer,
            )?;
        }
        for size in [4096, 65_000] {
            self.compare(
                &format!("amp.rtt.{size}.polled"),
                "flag_round_trip",
                "ns",
                100,
                size,
                Job::FlagsAnswer,
                Job::LargeAnswer,
            )?;
        }
        for size in [16, 64, 496] {
            self.compare(
                &format!("amp.rate.{size}.batched"),
                "spsc_ring",
                "msg/s",
                20_000,
                size,
                Job::SpscSink,
                Job::LinkSink,
            )?;
        }
        self.compare_as(
            "amp.rate.16.single",
            "spsc_ring",
            "msg/s",
            (20_000, 16),
            (Job::SpscSink, Job::LinkSink),
            true,
        )?;
        for size in [4096, 65_000] {
            self.compare(
                &format!("amp.copy.{size}.zero_copy"),
                "memcpy",
                "MB/s",
                400,
                size,
                Job::Quit,
                Job::LargeRead,
            )?;
            self.compare(
                &format!("amp.handover.{size}.zero_copy"),
                "flag_handover",
                "MB/s",
                400,
                size,
                Job::BlocksSink,
                Job::LargeRead,
            )?;
            self.compare(&format!("amp.copy.{size}.copying"), "memcpy", "MB/s", 400, size, Job::Quit, Job::LargeSink)?;
        }
        self.compare("amp.rtt.16.futex", "futex_round_trip", "ns", 300, 16, Job::FutexAnswer, Job::LinkFutexAnswer)?;
        self.compare(
            "amp.rtt.16.eventfd",
            "eventfd_round_trip",
            "ns",
            300,
            16,
            Job::EventAnswer,
            Job::LinkEventAnswer,
        )?;
        self.compare("amp.rtt.16.pipe", "pipe_round_trip", "ns", 300, 16, Job::PipeAnswer, Job::LinkAnswer)?;
        self.compare("amp.rate.16.pipe", "pipe", "msg/s", 5000, 16, Job::PipeSink, Job::LinkSink)
    }

    #[expect(clippy::too_many_arguments, reason = "one row of a table")]
    fn compare(
        &mut self,
        name: &str,
        reference: &'static str,
        unit: &'static str,
        count: u32,
        size: usize,
        limit: Job,
        ours: Job,
    ) -> Result<(), Failed> {
        self.compare_as(name, reference, unit, (count, size), (limit, ours), false)
    }

    fn compare_as(
        &mut self,
        name: &str,
        reference: &'static str,
        unit: &'static str,
        (count, size): (u32, usize),
        (limit, ours): (Job, Job),
        single: bool,
    ) -> Result<(), Failed> {
        if self.only.as_deref().is_some_and(|only| !name.contains(only)) {
            return Ok(());
        }
        let (mut kept, mut references, mut ratios, mut values) = (0, Vec::new(), Vec::new(), Vec::new());
        for run in 0..=self.repetitions {
            let before = self.time(limit, count, size, single)?.as_nanos() as f64;
            let subject = self.time(ours, count, size, single)?.as_nanos() as f64;
            let after = self.time(limit, count, size, single)?.as_nanos() as f64;
            // The first run warms up.
            if run > 0 && (before - after).abs() <= 0.2 * before.min(after) {
                kept += 1;
                let limit = (before + after) / 2.0;
                references.push(limit);
                values.push(subject);
                ratios.push(if unit == "ns" { subject / limit } else { limit / subject });
            }
        }
        let each = |nanos: f64| match unit {
            "ns" => nanos / f64::from(count),
            "msg/s" => f64::from(count) * 1e9 / nanos,
            _ => f64::from(count) * size as f64 * 1e3 / nanos,
        };
        let row = Row {
            name: name.into(),
            value: each(median(&mut values)),
            unit,
            reference,
            reference_value: each(median(&mut references)),
            ratio: median(&mut ratios),
            kept: (kept, self.repetitions),
        };
        writeln!(std::io::stdout(), "{row}")?;
        Ok(())
    }

    /// Gives the other process a job, and returns when it has taken it.
    fn start(&mut self, job: Job, count: u32, size: usize) -> Result<u16, Failed> {
        let side = &self.side;
        side.flags.clear();
        side.spsc.clear();
        side.blocks.clear();
        side.memory.put(WHAT, &(job as u32))?;
        side.memory.put(WHAT + 4, &count)?;
        side.memory.put(WHAT + 8, &(size as u32))?;
        self.job = self.job.wrapping_add(1);
        store(&side.memory, JOB, self.job);
        self.until(TAKEN)?;
        Ok(self.job)
    }

    fn until(&self, word: usize) -> Result<(), Failed> {
        let mut patience = Patience::default();
        while load(&self.side.memory, word) != self.job {
            patience.spin()?;
        }
        Ok(())
    }

    fn time(&mut self, job: Job, count: u32, size: usize, single: bool) -> Result<Duration, Failed> {
        if job == Job::Quit {
            let start = Instant::now();
            plain::memcpy(count, size, LARGE.entries as usize);
            return Ok(start.elapsed());
        }
        self.start(job, count, size)?;
        let start = Instant::now();
        let side = &mut self.side;
        match job {
            Job::Quit => {}
            Job::FlagsAnswer => side.flags.ask(count, size)?,
            Job::SpscSink => side.spsc.stream(count, size)?,
            Job::BlocksSink => side.blocks.stream(count, size)?,
            Job::PipeAnswer => side.pipes.ask(count, size)?,
            Job::PipeSink => side.pipes.stream(count, size)?,
            Job::FutexAnswer => plain::ring_and_wait(count, &side.bell, &side.sleeper)?,
            Job::EventAnswer => plain::ring_and_wait(count, &side.events[0], &side.events[1])?,
            Job::LinkFutexAnswer => {
                let end = (&side.links.futex, side.links.futex.endpoint(None, HERE)?);
                link::ask_asleep(&end, THERE, count, size, &side.link_sleeper)?;
            }
            Job::LinkEventAnswer => {
                let end = (&side.links.event, side.links.event.endpoint(None, HERE)?);
                link::ask_asleep(&end, THERE, count, size, &side.events[3])?;
            }
            _ => {
                let Links { polled, large, .. } = &side.links;
                let link = if matches!(job, Job::LinkAnswer | Job::LinkSink) { polled } else { large };
                link.ignore();
                let end = (link, link.endpoint(None, HERE)?);
                let batch = if single { 1 } else { (count / 8).clamp(1, 32) };
                match job {
                    Job::LinkAnswer | Job::LargeAnswer => link::ask(&end, THERE, count, size)?,
                    Job::LinkSink => link::stream(&end, THERE, count, size, batch)?,
                    _ => link::stream(&end, THERE, count, size, 1)?,
                }
            }
        }
        self.until(DONE)?;
        Ok(start.elapsed())
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
