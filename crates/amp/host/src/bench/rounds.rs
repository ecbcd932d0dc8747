//! The process that asks: what it measures in a round, and what the cores are to each other meanwhile.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tutti_metal::{Memory, Silent};
use tutti_rpmsg::Host;

use super::link::{self, HERE, Links, THERE};
use super::plain;
use super::rows::{self, Cores, Row, Sample, Spec};
use super::run::{
    CHILD, DEVICE, DONE, EVENT, FUTEX, Failed, JOB, Job, LARGE, LINK_BELLS, Laps, Options, PAUSE, POLLED, Patience,
    Shared, Side, TAKEN, TOTAL, WHAT, WIDE_SPSC, duplicate, pin, side,
};
use crate::mapping::{load, store};
use crate::{EventBell, FutexBell, Mapping, socket};

/// The process that asks, and measures.
struct Bench {
    side: Side<Host>,
    job: u16,
    /// How long [`BURN`] turns take a core of one's own.
    alone: Duration,
}

/// Turns of arithmetic by which cores that are one are found out: some ten microseconds.
const BURN: u32 = 6000;
/// Round trips of a bare cache line before and after each row.
const LINE: u32 = 200;

/// Measures all rows, with a second process of the same program; says besides, in words, on what kind of cores.
///
/// # Errors
/// If there are not two cores, or the second process does not answer.
pub fn measure(
    options: &Options,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<(Vec<Row>, String), Box<dyn std::error::Error>> {
    parent(options, progress).map_err(Failed::into_error)
}

fn parent(options: &Options, progress: &mut dyn FnMut(usize, usize)) -> Result<(Vec<Row>, String), Failed> {
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
    let before = rustix::thread::sched_getaffinity(None)?;
    pin(0)?;
    let alone = (0..200).map(|_| plain::burn(BURN)).min().unwrap_or_default();
    // The child would inherit it.
    rustix::thread::sched_setaffinity(None, &before)?;
    let (mine, theirs) = UnixStream::pair()?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(&options.child).env(CHILD, "1").stdin(Stdio::from(OwnedFd::from(theirs)));
    let mut child = Guarded(command.spawn()?);
    pin(0)?;
    let fds = &shared.events;
    socket::send(&mine, &[memory.keeper().as_fd(), fds[0].as_fd(), fds[1].as_fd()])?;
    socket::send(&mine, &[fds[2].as_fd(), fds[3].as_fd(), shared.to_parent[0].as_fd()])?;
    socket::send(&mine, &[shared.to_parent[1].as_fd(), shared.to_child[0].as_fd(), shared.to_child[1].as_fd()])?;
    let mut bench = Bench { side: side(&shared, 0, links)?, job: 0, alone };
    let result = bench.all(options, progress);
    if result.is_ok() && bench.start(Job::Quit, 0, 0).is_ok() {
        child.0.wait()?;
    }
    let _ = rustix::thread::sched_setaffinity(None, &before);
    result
}

/// A process that does not outlive its owner.
struct Guarded(Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Whether the kernel knows the two cores to be one.
fn siblings() -> bool {
    let list = std::fs::read_to_string("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list");
    list.is_ok_and(|list| list.trim().split([',', '-']).count() > 1)
}

impl Bench {
    fn all(&mut self, options: &Options, progress: &mut dyn FnMut(usize, usize)) -> Result<(Vec<Row>, String), Failed> {
        let wanted = |spec: &Spec| options.only.as_deref().is_none_or(|only| spec.name.contains(only));
        let specs: Vec<_> = rows::specs().into_iter().filter(wanted).collect();
        let (mut samples, mut laps) = (vec![Vec::new(); specs.len()], vec![Vec::new(); specs.len()]);
        let (mut states, mut measured) = (Vec::new(), 0);
        // The first round warms up.
        for round in 0..=options.rounds {
            for (i, spec) in specs.iter().enumerate() {
                let (cores, sample, singles) = self.sample(spec)?;
                if round == 0 {
                    continue;
                }
                measured += 1;
                states.push(cores);
                samples[i].extend(sample);
                laps[i].extend(singles.into_iter().map(|nanos| (nanos, cores)));
            }
            progress(round, options.rounds);
        }
        let usual = Cores::usual(&states);
        let apart = states.iter().filter(|cores| cores.apart).count();
        let mut rows = vec![
            Row::alone("amp.cores.apart", apart as f64 / states.len().max(1) as f64, "share"),
            Row::alone("amp.line", usual.line, "ns"),
        ];
        for (i, spec) in specs.iter().enumerate() {
            rows.extend(rows::rows(spec, &samples[i], &laps[i], &usual));
        }
        let kept: usize = samples.iter().flatten().filter(|sample| sample.cores.like(&usual)).count();
        let kind = if siblings() {
            "two threads of one physical core, says the kernel"
        } else if usual.apart {
            "two physical cores"
        } else {
            "two virtual cores that share a physical one: each slows the other down"
        };
        let line = usual.line;
        Ok((rows, format!("{kind}, {line:.0} ns for a cache line to and fro; {kept} of {measured} measurements kept")))
    }

    /// One measurement of one row; none if the limit or the kind of cores changed meanwhile.
    fn sample(&mut self, spec: &Spec) -> Result<(Cores, Option<Sample>, Vec<u32>), Failed> {
        let &Spec { count, size, limit, ours, batch, .. } = spec;
        let mut none = Laps::default();
        let cores = self.cores()?;
        let before = self.time(limit, count, size, 1, &mut none)?.as_nanos() as f64;
        let subject = self.time(ours, count, size, batch, &mut none)?.as_nanos() as f64;
        let after = self.time(limit, count, size, 1, &mut none)?.as_nanos() as f64;
        let mut laps = Laps::default();
        if spec.single {
            laps = Laps::counting();
            self.time(ours, count, size, batch, &mut laps)?;
        }
        let still = self.cores()?.like(&cores);
        let kept = still && (before - after).abs() <= 0.2 * before.min(after);
        let sample = Sample { limit: (before + after) / 2.0, ours: subject, cores };
        Ok((cores, kept.then_some(sample), laps.nanos))
    }

    fn cores(&mut self) -> Result<Cores, Failed> {
        let line = self.time(Job::FlagsAnswer, LINE, 0, 1, &mut Laps::default())?.as_nanos() as f64;
        Ok(Cores { apart: self.apart()?, line: line / f64::from(LINE) })
    }

    /// Whether both cores compute as fast together as one alone.
    fn apart(&mut self) -> Result<bool, Failed> {
        if siblings() {
            return Ok(false);
        }
        let mut fastest = Duration::MAX;
        for _ in 0..2 {
            // The other one starts a little later and goes on a little longer.
            self.start(Job::Burn, 4 * BURN, 0)?;
            fastest = fastest.min((0..3).map(|_| plain::burn(BURN)).min().unwrap_or_default());
            self.until(DONE)?;
        }
        Ok(fastest < self.alone * 13 / 10)
    }

    /// Gives the other process a job, and returns when it has taken it.
    fn start(&mut self, job: Job, count: u32, size: usize) -> Result<(), Failed> {
        let side = &self.side;
        side.flags.clear();
        side.spsc.clear();
        side.wide.clear();
        side.blocks.clear();
        side.memory.put(WHAT, &(job as u32))?;
        side.memory.put(WHAT + 4, &count)?;
        side.memory.put(WHAT + 8, &(size as u32))?;
        self.job = self.job.wrapping_add(1);
        store(&side.memory, JOB, self.job);
        self.until(TAKEN)
    }

    fn until(&self, word: usize) -> Result<(), Failed> {
        let mut patience = Patience::default();
        while load(&self.side.memory, word) != self.job {
            patience.spin()?;
        }
        Ok(())
    }

    fn time(&mut self, job: Job, count: u32, size: usize, batch: u32, laps: &mut Laps) -> Result<Duration, Failed> {
        if job == Job::Memcpy {
            return Ok(plain::memcpy(count, size, usize::from(WIDE_SPSC.2)));
        }
        self.start(job, count, size)?;
        let start = Instant::now();
        let side = &mut self.side;
        let mut took = None;
        match job {
            Job::Quit | Job::Memcpy | Job::Burn => {}
            Job::FlagsAnswer => side.flags.ask(count, size)?,
            Job::SpscSink => side.spsc.stream(count, size)?,
            Job::BareSink => plain::Bare(&side.spsc).stream(count, size, batch)?,
            Job::WideSpscSink => side.wide.stream(count, size)?,
            Job::BlocksSink => side.blocks.stream(count, size)?,
            Job::BlocksFill => took = Some(side.blocks.copy_foreign(count, size)?),
            Job::PipeAnswer => side.pipes.ask(count, size)?,
            Job::PipeSink => side.pipes.stream(count, size)?,
            Job::FutexAnswer => plain::ring_and_wait(count, &side.bell, &side.sleeper)?,
            Job::EventAnswer => plain::ring_and_wait(count, &side.events[0], &side.events[1])?,
            Job::LinkFutexAnswer | Job::LinkFutexSink => {
                let end = (&side.links.futex, side.links.futex.endpoint(None, HERE)?);
                if job == Job::LinkFutexSink {
                    link::stream_asleep(&end, THERE, count, size, &side.link_sleeper)?;
                } else {
                    link::ask_asleep(&end, THERE, count, size, &side.link_sleeper, laps)?;
                }
            }
            Job::LinkEventAnswer => {
                let end = (&side.links.event, side.links.event.endpoint(None, HERE)?);
                link::ask_asleep(&end, THERE, count, size, &side.events[3], laps)?;
            }
            Job::LinkBatchSink => {
                let link = &side.links.polled;
                link.ignore();
                let end = (link, link.endpoint(None, HERE)?);
                link::stream_batches(&end, THERE, count, size, batch)?;
            }
            Job::LinkAnswer | Job::LinkSink | Job::LinkRead | Job::LargeAnswer | Job::LargeSink | Job::LargeRead => {
                let Links { polled, large, .. } = &side.links;
                let link = if matches!(job, Job::LinkAnswer | Job::LinkSink | Job::LinkRead) { polled } else { large };
                link.ignore();
                let end = (link, link.endpoint(None, HERE)?);
                if matches!(job, Job::LinkAnswer | Job::LargeAnswer) {
                    link::ask(&end, THERE, count, size, laps)?;
                } else {
                    link::stream(&end, THERE, count, size, batch)?;
                }
            }
        }
        self.until(DONE)?;
        let pauses = match job {
            Job::FutexAnswer | Job::EventAnswer | Job::LinkFutexAnswer | Job::LinkEventAnswer => PAUSE * 2 * count,
            _ => Duration::ZERO,
        };
        Ok(took.unwrap_or_else(|| start.elapsed()).saturating_sub(pauses))
    }
}
