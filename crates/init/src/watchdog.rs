//! The hardware watchdog (`Documentation/watchdog/watchdog-api.rst`): once its file is open, the hardware starts the
//! machine anew unless something is written to it in time. `V` before closing switches it off, where the driver allows it.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use crate::log::Log;

/// How often it is fed, unless its own time asks for more.
const EVERY: Duration = Duration::from_secs(5);

/// The watchdog, if there is one.
pub(crate) struct Watchdog {
    file: Option<File>,
    every: Duration,
    fed: Option<Instant>,
    let_go: bool,
}

impl Watchdog {
    pub(crate) const fn none() -> Self {
        Self { file: None, every: EVERY, fed: None, let_go: false }
    }

    pub(crate) fn open(path: Option<&Path>, log: &mut Log) -> Self {
        let Some(path) = path else { return Self::none() };
        match fs::OpenOptions::new().write(true).open(path) {
            Ok(file) => {
                let timeout = timeout(path);
                match timeout {
                    Some(time) => {
                        log.say(format_args!("the watchdog starts the device anew after {} s", time.as_secs()))
                    }
                    None => log.say("the watchdog runs; it does not say for how long it waits"),
                }
                // Drivers that do not say wait for 60 s, few for less than 15.
                let every = timeout.map_or(EVERY, |time| (time / 3).min(EVERY));
                Self { file: Some(file), every, ..Self::none() }
            }
            Err(error) => {
                log.say(format_args!(
                    "{}: {error}; a device that hangs has to be switched off by hand",
                    path.display()
                ));
                Self::none()
            }
        }
    }

    /// Feeds it if that is due and the node lives.
    pub(crate) fn feed(&mut self, alive: bool, now: Instant, log: &mut Log) {
        let Some(file) = &mut self.file else { return };
        if !alive {
            if !std::mem::replace(&mut self.let_go, true) {
                log.say("the node has been away for too long: the watchdog is not fed any more");
            }
            return;
        }
        self.let_go = false;
        if self.fed.is_none_or(|fed| now >= fed + self.every) {
            self.fed = Some(now);
            if let Err(error) = file.write_all(b"1") {
                log.say(format_args!("the watchdog cannot be fed: {error}"));
                self.file = None;
            }
        }
    }

    /// Leaves it, armed or not.
    pub(crate) fn end(&mut self, armed: bool) {
        if let Some(file) = &mut self.file {
            // Fed once more, so that there is time for the rest.
            let _ = file.write_all(if armed { b"1" } else { b"V" });
        }
        if armed {
            // Closing the file might switch it off.
            std::mem::forget(self.file.take());
        }
        self.file = None;
    }
}

/// What the driver says by sysfs, if the kernel has that.
fn timeout(path: &Path) -> Option<Duration> {
    let name = path.file_name()?.to_str()?;
    let name = if name == "watchdog" { "watchdog0" } else { name };
    let text = fs::read_to_string(format!("/sys/class/watchdog/{name}/timeout")).ok()?;
    text.trim().parse().ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
}
