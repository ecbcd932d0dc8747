//! Core 1's life.

use core::cell::RefCell;

use embassy_futures::select::select;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::channel::Channel;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Instant, Timer};
use mps2::remote::{Core1, Fault};
use mps2::uart::DUMP;
use mps2::{clock, mhu, say};
use parts::{Part, sensor};
use tutti_metal::Clock as _;
use tutti_remoteproc::RemoteCore;
use tutti_remoteproc::life::{Action, Cause, Command, Config, Generation, Recovery, Report, Stage, State};
use tutti_satellite::{Denied, Measure, Resource};

use crate::messages::Wish;

/// How long core 1 may go without a heartbeat: forty of them.
const WATCHDOG: core::time::Duration = core::time::Duration::from_secs(2);

/// How long core 1 has to stop once it was asked to.
const GRACE: core::time::Duration = core::time::Duration::from_millis(500);

/// Core 1, shared by the tasks of this core.
pub(crate) struct Chip {
    core: RefCell<RemoteCore<Core1>>,
    /// Its state has changed.
    pub(crate) changed: Signal<NoopRawMutex, ()>,
    /// What is wanted of it over RPMsg.
    pub(crate) wishes: Channel<NoopRawMutex, Wish, 2>,
    /// What was typed for it.
    pub(crate) typed: RefCell<Typed>,
    /// When it was last started.
    pub(crate) started: core::cell::Cell<Instant>,
}

/// A line that was typed for core 1, until it asks for it.
#[derive(Default)]
pub(crate) struct Typed {
    bytes: [[u8; 16]; 4],
    len: usize,
}

impl Typed {
    /// Keeps a line in place of the last one; what is too long is cut off.
    pub(crate) fn put(&mut self, text: &str) {
        let room = self.bytes.as_flattened_mut();
        self.len = text.len().min(room.len());
        for (room, byte) in room.iter_mut().zip(text.bytes()) {
            *room = byte;
        }
    }
    /// Gives it out, once.
    pub(crate) fn take(&mut self, to: &mut [u8]) -> usize {
        let len = core::mem::take(&mut self.len).min(to.len());
        for (to, byte) in to.iter_mut().zip(self.bytes.as_flattened().iter().take(len)) {
            *to = *byte;
        }
        len
    }
}

impl Chip {
    pub(crate) fn new(firmware: &'static [u8]) -> Result<Self, Fault> {
        let config = Config {
            watchdog: Some(WATCHDOG),
            grace: Some(GRACE),
            recovery: Recovery::BackOff {
                first: core::time::Duration::from_millis(10),
                most: core::time::Duration::from_secs(1),
                attempts: 8,
            },
            well_after: core::time::Duration::from_secs(2),
            ..Config::default()
        };
        let core = RemoteCore::new(Core1::new(firmware, keep)?, config)?;
        Ok(Self {
            core: RefCell::new(core),
            changed: Signal::new(),
            wishes: Channel::new(),
            typed: RefCell::default(),
            started: core::cell::Cell::new(Instant::from_micros(0)),
        })
    }

    /// In which generation core 1 runs, if it does.
    pub(crate) fn runs(&self) -> Option<Generation> {
        let core = self.core.borrow();
        (core.state() == State::Running).then(|| core.generation())
    }

    /// How often it was started.
    pub(crate) fn generation(&self) -> Generation {
        self.core.borrow().generation()
    }

    pub(crate) fn with<R>(&self, work: impl FnOnce(&Core1) -> R) -> R {
        work(self.core.borrow().platform())
    }

    /// The link with core 1 cannot go on, and core 1 has not ended: what it wrote cannot be.
    pub(crate) fn distrust(&self, generation: Generation) {
        if self.runs() == Some(generation) {
            self.core.borrow_mut().platform_mut().distrust();
        }
    }

    /// Tells core 1's life something; errors are said.
    pub(crate) fn command(&self, command: Command) {
        let now = clock::Now.now();
        if let Err(refused) = self.core.borrow_mut().command(now, command) {
            say!("core1: {refused}");
        }
        self.reports();
    }

    /// Waits until core 1 does not run any more, but not much longer than it has for that.
    pub(crate) async fn stopped(&self) {
        let until = Instant::now() + Duration::from_secs(2);
        while self.runs().is_some() && Instant::now() < until {
            Timer::after_millis(2).await;
        }
    }

    /// Starts core 1, and looks after it.
    pub(crate) async fn run(&self) {
        self.command(Command::Start);
        loop {
            self.core.borrow_mut().step(clock::Now.now());
            self.reports();
            select(mhu::PARKED.wait(), Timer::after_millis(5)).await;
        }
    }

    fn reports(&self) {
        loop {
            let Some(report) = self.core.borrow_mut().poll_report() else { return };
            self.report(report);
        }
    }

    fn report(&self, report: Report) {
        match report {
            Report::Now(state, generation) => {
                if state == State::Running {
                    self.started.set(Instant::now());
                }
                if matches!(state, State::Offline(Stage::Configured)) && self.with(Core1::has_stopped) {
                    say!("core1: stopped as it was asked to");
                }
                let dumped = self.core.borrow_mut().platform_mut().take_dumped();
                if dumped > 0 {
                    say!("core1: its core dump has {dumped} bytes");
                }
                match state {
                    State::Offline(stage) => say!("core1: {state}, {stage:?}"),
                    _ => say!("core1: {state} ({})", generation.0),
                }
                self.changed.signal(());
            }
            Report::Done(command) => say!("core1: {} done", command.word()),
            Report::Failed(_, action, failure) => {
                let core = self.core.borrow();
                match core.fault() {
                    Some(fault) => say!("core1: {action:?} failed: {fault}"),
                    None => say!("core1: {action:?} failed: {failure:?}"),
                }
                if action == Action::Halt {
                    say!("core1: forced stop is not supported by this board");
                }
            }
            Report::Crashed(cause, generation) => match cause {
                Cause::Fault(status) => say!("core1: fault {status:#x} in generation {}", generation.0),
                Cause::Watchdog => say!("core1: no heartbeat in generation {}", generation.0),
                Cause::Corrupt => say!("core1: wrote what cannot be in generation {}", generation.0),
                Cause::Ended => say!("core1: ended in generation {}", generation.0),
            },
            Report::Restart(_) => say!("core1: starts again"),
            Report::GivenUp => say!("core1: crashed too often and stays as it is; type start"),
        }
    }
}

/// As a part of the board: how often it was started.
impl Part for Chip {
    fn resource(&self) -> Option<Resource> {
        sensor("core1-starts", "")
    }
    fn read(&self) -> Result<Measure, Denied> {
        Ok(Measure::Int(i64::from(self.generation().0)))
    }
}

/// Core dumps leave by the third line.
fn keep(bytes: &[u8]) -> bool {
    DUMP.write(bytes) == bytes.len()
}
