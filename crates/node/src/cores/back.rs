//! The back ends: what each can do beyond the life of a core.

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tutti_amp_host::{
    EventBell,
    linux::{EndpointFile, LinuxCore},
    process::{HostLink, InboxError, ProcessCore, Processes},
};
use tutti_remoteproc::{
    Platform,
    life::{Config, Recovery, State},
};
use tutti_rpmsg::{Address, Endpoint, Host};

use super::radio::{PING, PONG};

/// An endpoint of this host on the link with a core.
pub(super) type End<'l> = Endpoint<'l, Processes, Host>;

/// What the worker of a core needs of its back end.
pub(super) trait Back: Platform {
    /// How its lives are led.
    fn config() -> Config;

    /// Hands what was written to each trace since the last time to `each`. `seen` is for the back end to remember by.
    fn traces(&mut self, seen: &mut BTreeMap<String, Vec<u8>>, each: &mut dyn FnMut(&[u8]));

    /// Where core dumps are.
    fn keeps_dump_at(&self) -> Option<PathBuf>;

    /// The state as the platform calls it, where that is not this host's alone to know.
    fn kernel_state(&self) -> Option<State> {
        None
    }

    /// The RPMsg link with it, where that is this process's business.
    fn link(&self) -> Option<Arc<HostLink>> {
        None
    }

    /// What wakes this host.
    fn bell(&self) -> Option<&EventBell> {
        None
    }

    /// The next message for one of two endpoints, and whether it is for the second.
    ///
    /// # Errors
    /// If the core wrote what cannot be.
    fn hear(&mut self, _first: &End<'_>, _second: &End<'_>) -> Result<Option<(bool, Vec<u8>)>, String> {
        Ok(None)
    }

    /// Sends a message that comes back, and says how long that took, where the link is not this process's business. None if the core has no
    /// endpoint for it.
    fn ping(&mut self) -> Option<Result<Duration, String>> {
        None
    }

    /// After an attach: lets go of what was left of the last host's link and makes one of its own.
    fn settle(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// How long the firmware may give no sign of life. Its satellite is gone from the pool much sooner.
const WATCHDOG: Duration = Duration::from_secs(5);

/// How long the firmware has to stop by itself once it was asked to.
const GRACE: Duration = Duration::from_secs(2);

impl Back for ProcessCore {
    fn config() -> Config {
        let (first, most) = (Duration::from_millis(200), Duration::from_secs(30));
        Config {
            watchdog: Some(WATCHDOG),
            // Counts only where there is a message to ask with.
            grace: Some(GRACE),
            recovery: Recovery::BackOff { first, most, attempts: 8 },
            ..Config::default()
        }
    }

    fn traces(&mut self, _: &mut BTreeMap<String, Vec<u8>>, each: &mut dyn FnMut(&[u8])) {
        for name in self.trace_names() {
            let mut lost = 0;
            if let Some(traced) = self.trace(&name, &mut |piece| each(piece)) {
                lost = traced.lost;
            }
            if lost > 0 {
                each(format!("\n({lost} bytes of {name} were overwritten before they were read)\n").as_bytes());
            }
        }
    }

    fn keeps_dump_at(&self) -> Option<PathBuf> {
        self.dump_file().map(Path::to_owned)
    }

    fn link(&self) -> Option<Arc<HostLink>> {
        Self::link(self)
    }

    fn bell(&self) -> Option<&EventBell> {
        Self::bell(self)
    }

    fn hear(&mut self, first: &End<'_>, second: &End<'_>) -> Result<Option<(bool, Vec<u8>)>, String> {
        let delivery = self.receive(&[first, second]).map_err(|error| error.to_string())?;
        Ok(delivery.map(|delivery| (delivery.destination == second.address(), delivery.bytes)))
    }

    fn settle(&mut self) -> Result<(), String> {
        // Frames of satellites are sent again end to end: what waited for the last host is passed over.
        loop {
            match self.receive(&[]) {
                Ok(_) => {}
                Err(InboxError::NotLinked) => break,
                Err(corrupt @ InboxError::Corrupt(_)) => {
                    tracing::warn!(%corrupt, "what a core had sent cannot be read")
                }
            }
        }
        self.relink().map_err(|fault| fault.to_string())
    }
}

/// How much of a trace of the kernel's is remembered to tell what is new.
const MOST_TRACE: usize = 1 << 20;

impl Back for LinuxCore {
    fn config() -> Config {
        // The kernel has a recovery of its own, and makes its dump in it.
        Config { recovery: Recovery::Never, ..Config::default() }
    }

    fn traces(&mut self, seen: &mut BTreeMap<String, Vec<u8>>, each: &mut dyn FnMut(&[u8])) {
        // Without debugfs there are none; the doctor says so.
        for (name, text) in Self::traces(self).unwrap_or_default() {
            let before = seen.entry(name).or_default();
            match text.strip_prefix(before.as_slice()) {
                Some(new) => each(new),
                None => each(&text),
            }
            *before = text;
            before.truncate(MOST_TRACE);
        }
    }

    fn keeps_dump_at(&self) -> Option<PathBuf> {
        self.dump_file().map(Path::to_owned)
    }

    fn kernel_state(&self) -> Option<State> {
        self.state().ok()
    }

    fn ping(&mut self) -> Option<Result<Duration, String>> {
        let channel = self.channels().into_iter().find(|channel| channel.name == PING)?;
        let endpoint = match channel.open(PING_FROM) {
            Ok(endpoint) => endpoint,
            Err(error) => return Some(Err(error.to_string())),
        };
        Some(round(&endpoint).unwrap_or_else(|error| Err(error.to_string())))
    }
}

/// This side's address for pings: below those that the kernel gives to others, and beside that for satellites.
const PING_FROM: Address = Address(0x258);

/// There and back.
fn round(endpoint: &EndpointFile) -> io::Result<Result<Duration, String>> {
    let (mark, since) = (rand::random::<u64>().to_le_bytes(), Instant::now());
    endpoint.send(&mark)?;
    let mut buffer = [0; 512];
    while let Some(left) = PONG.checked_sub(since.elapsed()) {
        let read = endpoint.receive(&mut buffer, left)?;
        if read.and_then(|read| buffer.get(..read)) == Some(&mark) {
            return Ok(Ok(since.elapsed()));
        }
    }
    Ok(Err("it did not answer in time".into()))
}

/// Opens a core dump to be handed out; nothing but a plain file.
pub(super) fn open_dump(path: &Path) -> Result<File, String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(file),
        _ => Err(format!("{} is no plain file", path.display())),
    }
}
