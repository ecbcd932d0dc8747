//! The two processes: what both have, and what the second one does.

use std::ffi::OsString;
use std::fmt;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::thread::CpuSet;
use tutti_metal::{DeviceAddr, Memory, Silent};
use tutti_rpmsg::{Remote, Role};

use super::link::{self, Links, Place, THERE};
use super::plain::{self, Blocks, Flags, Pipes, Spsc};
use super::rounds::measure;
use crate::mapping::{load, store};
use crate::{EventBell, FutexBell, FutexSleeper, Mapping, SharedMemory, socket};

pub(super) const CHILD: &str = "TUTTI_AMP_BENCH_CHILD";
pub(super) const DEVICE: DeviceAddr = DeviceAddr(0x1000_0000);

// The control block: the number of the job, and of the last one taken and done; then the job.
pub(super) const JOB: usize = 0;
pub(super) const TAKEN: usize = 128;
pub(super) const DONE: usize = 256;
pub(super) const WHAT: usize = 384;
// Flags of the plain ping-pong with room for a payload, bells, flags of the blocks.
const FLAGS: [usize; 2] = [0x1_0000, 0x3_0000];
const BELLS: [usize; 2] = [0x1000, 0x1080];
pub(super) const LINK_BELLS: [usize; 2] = [0x1100, 0x1180];
const BLOCK_FLAGS: usize = 0x2000;
pub(super) const POLLED: Place = Place { at: 0x10_0000, entries: 256, buffer: 512 };
pub(super) const LARGE: Place = Place { at: 0x40_0000, entries: 8, buffer: 65_024 };
pub(super) const FUTEX: Place = Place { at: 0x60_0000, entries: 16, buffer: 65_024 };
pub(super) const EVENT: Place = Place { at: 0x90_0000, entries: 16, buffer: 65_024 };
const SPSC: (usize, usize, u16) = (0xc0_0000, 512, 256);
pub(super) const WIDE_SPSC: (usize, usize, u16) = (0xd0_0000, 65_024, 8);
const BLOCKS: usize = 0xe0_0000;
pub(super) const TOTAL: usize = 0x100_0000;

/// Why there are no figures.
#[derive(Debug)]
pub(super) enum Failed {
    /// The other process did not answer in time.
    Silence,
    /// Something else, in its own words.
    Other(Box<dyn std::error::Error>),
}

impl Failed {
    pub(super) fn into_error(self) -> Box<dyn std::error::Error> {
        match self {
            Self::Silence => Box::from(self.to_string()),
            Self::Other(error) => error,
        }
    }
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

/// So long everybody works before he rings, so that the other one is asleep by then: a ring for one who is only
/// about to fall asleep costs next to nothing, and would be measured now and then. It is not counted.
pub(super) const PAUSE: Duration = Duration::from_micros(5);

pub(super) fn pause() {
    let start = Instant::now();
    while start.elapsed() < PAUSE {
        std::hint::spin_loop();
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

/// When single round trips ended, if anybody wants to know.
#[derive(Default)]
pub(super) struct Laps {
    last: Option<Instant>,
    /// What each round trip spends on waiting on purpose.
    pub(super) pauses: Duration,
    pub(super) nanos: Vec<u32>,
}

impl Laps {
    pub(super) fn counting() -> Self {
        Self { last: Some(Instant::now()), ..Self::default() }
    }

    #[inline(always)]
    pub(super) fn lap(&mut self) {
        if let Some(last) = &mut self.last {
            let now = Instant::now();
            let took = (now - *last).saturating_sub(self.pauses);
            self.nanos.push(u32::try_from(took.as_nanos()).unwrap_or(u32::MAX));
            *last = now;
        }
    }
}

/// What the other process is to do.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Job {
    Quit,
    Burn,
    Memcpy,
    FlagsAnswer,
    SpscSink,
    BareSink,
    WideSpscSink,
    BlocksSink,
    BlocksFill,
    PipeAnswer,
    PipeSink,
    FutexAnswer,
    EventAnswer,
    LinkAnswer,
    LinkSink,
    LinkBatchSink,
    LinkRead,
    LargeAnswer,
    LargeSink,
    LargeRead,
    LinkFutexAnswer,
    LinkEventAnswer,
    LinkFutexSink,
}

const JOBS: [Job; 23] = [
    Job::Quit,
    Job::Burn,
    Job::Memcpy,
    Job::FlagsAnswer,
    Job::SpscSink,
    Job::BareSink,
    Job::WideSpscSink,
    Job::BlocksSink,
    Job::BlocksFill,
    Job::PipeAnswer,
    Job::PipeSink,
    Job::FutexAnswer,
    Job::EventAnswer,
    Job::LinkAnswer,
    Job::LinkSink,
    Job::LinkBatchSink,
    Job::LinkRead,
    Job::LargeAnswer,
    Job::LargeSink,
    Job::LargeRead,
    Job::LinkFutexAnswer,
    Job::LinkEventAnswer,
    Job::LinkFutexSink,
];

/// What both processes have.
pub(super) struct Side<R: Role> {
    pub(super) memory: SharedMemory,
    pub(super) flags: Flags,
    pub(super) spsc: Spsc,
    pub(super) wide: Spsc,
    pub(super) blocks: Blocks,
    pub(super) pipes: Pipes,
    pub(super) bell: FutexBell,
    pub(super) sleeper: FutexSleeper,
    pub(super) link_sleeper: FutexSleeper,
    /// Rings the other side; heard by this one.
    pub(super) events: [EventBell; 4],
    pub(super) links: Links<R>,
}

/// How to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// How often each row is measured.
    pub rounds: usize,
    /// Only rows whose name contains this.
    pub only: Option<String>,
    /// What the second process is started with: the arguments that lead it to [`serve_if_child`].
    pub child: Vec<OsString>,
}

impl Options {
    /// By the environment: `TUTTI_AMP_BENCH_ROUNDS`, `TUTTI_AMP_BENCH_ONLY`.
    fn of_environment() -> Self {
        let rounds = std::env::var("TUTTI_AMP_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok());
        Self { rounds: rounds.unwrap_or(101), only: std::env::var("TUTTI_AMP_BENCH_ONLY").ok(), child: Vec::new() }
    }
}

/// The benchmark as a program: figures go to standard output, one JSON object a line.
pub fn main() -> ExitCode {
    let result = match serve_if_child() {
        Some(served) => served,
        None => measure(&Options::of_environment(), &mut |_, _| ()).map(|(rows, remark)| {
            let _ = writeln!(std::io::stderr(), "amp: {remark}");
            let mut out = std::io::stdout();
            for row in rows {
                let _ = writeln!(out, "{row}");
            }
        }),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "amp: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The part of the second process, if this is it; to be called first thing by a program that calls [`measure`].
#[must_use]
pub fn serve_if_child() -> Option<Result<(), Box<dyn std::error::Error>>> {
    std::env::var_os(CHILD)?;
    Some(child().map_err(Failed::into_error))
}

pub(super) fn pin(core: usize) -> Result<(), Failed> {
    let allowed = rustix::thread::sched_getaffinity(None)?;
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core)).collect();
    let Some(&core) = cores.get(core) else {
        return Err(Failed::Other("two cores are needed, and this process may use only one".into()));
    };
    let mut set = CpuSet::new();
    set.set(core);
    Ok(rustix::thread::sched_setaffinity(None, &set)?)
}

pub(super) fn duplicate(fd: impl AsFd) -> Result<OwnedFd, Failed> {
    Ok(fd.as_fd().try_clone_to_owned()?)
}

pub(super) struct Shared {
    pub(super) memory: SharedMemory,
    /// To the parent, to the child; and the same for the links.
    pub(super) events: [OwnedFd; 4],
    pub(super) to_parent: [OwnedFd; 2],
    pub(super) to_child: [OwnedFd; 2],
}

pub(super) fn side<R: Role>(shared: &Shared, me: usize, links: Links<R>) -> Result<Side<R>, Failed> {
    let memory = shared.memory.clone();
    let other = 1 - me;
    let (from, to) =
        if me == 0 { (&shared.to_parent, &shared.to_child) } else { (&shared.to_child, &shared.to_parent) };
    let event = |i: usize| Ok::<_, Failed>(EventBell::from_fd(duplicate(&shared.events[i])?));
    Ok(Side {
        flags: Flags { memory: memory.clone(), mine: FLAGS[me], theirs: FLAGS[other] },
        spsc: Spsc { memory: memory.clone(), at: SPSC.0, slot: SPSC.1, slots: SPSC.2 },
        wide: Spsc { memory: memory.clone(), at: WIDE_SPSC.0, slot: WIDE_SPSC.1, slots: WIDE_SPSC.2 },
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
            Job::Memcpy => {}
            Job::Burn => drop(plain::burn(count)),
            Job::FlagsAnswer => side.flags.answer(count, size)?,
            Job::SpscSink => side.spsc.sink(count, size)?,
            Job::BareSink => plain::Bare(&side.spsc).sink(count, size)?,
            Job::WideSpscSink => side.wide.sink(count, size)?,
            Job::BlocksSink => drop(std::hint::black_box(side.blocks.sink(count, size)?)),
            Job::BlocksFill => side.blocks.fill(count, size)?,
            Job::PipeAnswer => side.pipes.answer(count, size)?,
            Job::PipeSink => side.pipes.sink(count, size)?,
            Job::FutexAnswer => plain::wait_and_ring(count, &side.bell, &side.sleeper)?,
            Job::EventAnswer => plain::wait_and_ring(count, &side.events[0], &side.events[1])?,
            Job::LinkAnswer => link::answer(&polled, count, size)?,
            Job::LinkSink => drop(link::sink(&polled, count, size, true)?),
            Job::LinkBatchSink => link::sink_batches(&polled, count, size)?,
            Job::LinkRead => drop(std::hint::black_box(link::sink(&polled, count, size, false)?)),
            Job::LargeAnswer => link::answer(&large, count, size)?,
            Job::LargeSink => drop(link::sink(&large, count, size, true)?),
            Job::LargeRead => drop(std::hint::black_box(link::sink(&large, count, size, false)?)),
            Job::LinkFutexAnswer => link::answer_asleep(&futex, count, size, &side.link_sleeper)?,
            Job::LinkEventAnswer => link::answer_asleep(&event, count, size, &side.events[3])?,
            Job::LinkFutexSink => link::sink_asleep(&futex, count, size, &side.link_sleeper)?,
        }
        store(&side.memory, DONE, last);
    }
}
