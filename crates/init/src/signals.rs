//! Signals, as what a loop can wait for.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustix::process::Signal;
use signal_hook::consts::{SIGCHLD, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};

use crate::{log::Log, pid1::despair, power::Goal};

/// Signals that end the sleep of the loop.
pub(crate) struct Signals {
    wake: UnixStream,
    wanted: Arc<AtomicUsize>,
}

impl Signals {
    pub(crate) fn new(log: &mut Log) -> Self {
        let wanted = Arc::new(AtomicUsize::new(0));
        let (wake, sender) = UnixStream::pair().unwrap_or_else(|error| {
            log.say(format_args!("no pair of sockets: {error}; signals are noticed late"));
            despair()
        });
        let register = || -> io::Result<()> {
            wake.set_nonblocking(true)?;
            for signal in [SIGINT, SIGTERM, SIGUSR1, SIGUSR2, Signal::POWER.as_raw()] {
                let number = usize::try_from(signal).unwrap_or_default();
                signal_hook::flag::register_usize(signal, wanted.clone(), number)?;
                signal_hook::low_level::pipe::register(signal, sender.try_clone()?)?;
            }
            signal_hook::low_level::pipe::register(SIGCHLD, sender.try_clone()?)?;
            Ok(())
        };
        if let Err(error) = register() {
            log.say(format_args!("signals will not be heard: {error}"));
        }
        Self { wake, wanted }
    }

    pub(crate) fn goal(&self) -> Option<Goal> {
        Goal::of_signal(i32::try_from(self.wanted.swap(0, Ordering::Relaxed)).ok()?)
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    pub(crate) fn drain(&mut self) {
        let mut bytes = [0; 64];
        while matches!(io::Read::read(&mut self.wake, &mut bytes), Ok(1..)) {}
    }
}
