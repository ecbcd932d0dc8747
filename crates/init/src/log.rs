//! What is told on the console and kept in the log.

use std::{
    fmt,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};

use crate::{notify::printable, ring::Ring};

/// Where everything is told.
pub(crate) struct Log {
    ring: Ring,
    started: Instant,
}

impl Log {
    pub(crate) fn new() -> Self {
        // As the kernel's own log counts: this program may be the second one, or the third.
        let now = clock_gettime(ClockId::Boottime);
        let since = Duration::try_from(now).unwrap_or_default();
        Self { ring: Ring::default(), started: Instant::now().checked_sub(since).unwrap_or_else(Instant::now) }
    }

    /// Tells something of our own, on the console and in the log.
    pub(crate) fn say(&mut self, what: impl fmt::Display) {
        let line = printable(&format!("tutti: {what}"));
        console(&line);
        self.keep(&line);
    }

    /// Tells a line of the node.
    pub(crate) fn node(&mut self, line: &str) {
        let line = printable(line);
        console(&line);
        self.keep(&line);
    }

    /// Keeps a line of the kernel, which the console has seen already.
    pub(crate) fn kernel(&mut self, line: &str) {
        self.keep(&format!("kernel: {}", printable(line)));
    }

    pub(crate) fn keep_in(&mut self, folder: &Path, bytes: u64) {
        if let Err(error) = self.ring.keep_in(folder, bytes, Instant::now()) {
            self.say(format_args!("the log cannot be kept in {}: {error}; it stays in memory", folder.display()));
        }
    }

    pub(crate) fn tick(&mut self, now: Instant) {
        self.ring.tick(now);
    }

    pub(crate) fn close(&mut self) {
        self.ring.close();
    }

    /// How long it is since the kernel began.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    fn keep(&mut self, line: &str) {
        let since = self.started.elapsed();
        self.ring.line(&format!("[{:>8}.{:03}] {line}", since.as_secs(), since.subsec_millis()), Instant::now());
    }
}

/// A console that is gone or blocked is no reason to stop: what it cannot take is lost to it, not to the log.
fn console(line: &str) {
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(format!("{line}\r\n").as_bytes());
}
