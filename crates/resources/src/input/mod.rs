//! Buttons, switches, knobs and the like: `/dev/input/event*` (`Documentation/input/event-codes.rst`,
//! `include/uapi/linux/input.h`).
//!
//! The value is the last thing that happened, in a word or two: `power pressed`, `dial -1`, `switch 0 on`.
//!
//! # What is typed stays here
//!
//! A device with the letters is a keyboard: what is typed on it includes secrets, and is never offered, nor is what a
//! pointer does, which tells where such a keyboard on a screen is touched. `tutti doctor` says that they were left out.
//!
//! A thread waits for events as long as somebody uses the device; it ends with the driver.

mod event;

use std::{
    fs::File,
    io::{Read, Write},
    os::{
        fd::AsFd,
        unix::{fs::OpenOptionsExt, net::UnixStream},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    fs::OFlags,
};
use tutti_model::{ResourceDescription, ResourceKind, Unit, Value};

use crate::{
    driver::{Driver, DriverError},
    names::{name, tell_apart, with, words},
    root::SysRoot,
    signal::Signal,
};

pub use event::Capabilities;

const CLASS: &str = "/sys/class/input";
const ADVICE: &str = "give this user access to it, as the group input has on many systems";

/// Events that are read at one time.
const AT_ONCE: usize = 64;

/// Why a device of the class input is not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Private {
    /// One can type text on it.
    Keyboard,
    /// It points at things.
    Pointer,
}

/// A device of the class input.
struct Found {
    /// `event3`.
    node: String,
    what: String,
    place: Option<String>,
    capabilities: Capabilities,
}

fn all(root: &SysRoot) -> Vec<Found> {
    let nodes = root.names(CLASS).into_iter().filter(|node| node.starts_with("event"));
    nodes
        .filter_map(|node| {
            let about = |what: &str| root.attribute(format!("{CLASS}/{node}/device/{what}"));
            let bits = |what: &str| about(&format!("capabilities/{what}")).unwrap_or_default();
            let capabilities = Capabilities::parse(&bits("ev"), &bits("key"), &bits("rel"), &bits("abs"), &bits("sw"));
            let what = about("name").ok().filter(|what| !what.is_empty())?;
            let place = about("phys").ok().filter(|place| !place.is_empty());
            Some(Found { node, what, place, capabilities })
        })
        .collect()
}

/// What is not offered, and why.
pub fn private(root: &SysRoot) -> Vec<(String, Private)> {
    all(root).into_iter().filter_map(|found| Some((found.what, found.capabilities.private()?))).collect()
}

pub(crate) fn discover(root: &SysRoot) -> Vec<Arc<dyn Driver>> {
    let mut found = all(root);
    found.retain(|found| found.capabilities.private().is_none() && found.capabilities.says_something());
    // Its file comes a moment after what sysfs says of it; until then there is nothing to listen to.
    found.retain(|found| !root.is_real() || root.exists(format!("/dev/input/{}", found.node)));
    let named: Vec<_> = found.iter().map(|found| (format!("input-{}", found.what), found.place.clone())).collect();
    let names = tell_apart(&named);
    found
        .into_iter()
        .zip(names)
        .map(|(found, own)| {
            let description = ResourceDescription::sensor(name(&own), Unit::EMPTY);
            let description = ResourceDescription { kind: ResourceKind::Input, ..description };
            let description = with(description, [("quantity", words("event")), ("device", words(&found.what))]);
            let path = PathBuf::from(format!("/dev/input/{}", found.node));
            Arc::new(Input { root: root.clone(), path, description, shared: Arc::default(), wake: OnceLock::new() })
                as Arc<dyn Driver>
        })
        .collect()
}

struct Input {
    root: SysRoot,
    path: PathBuf,
    description: ResourceDescription,
    shared: Arc<Shared>,
    /// Closing it ends the thread.
    wake: OnceLock<UnixStream>,
}

#[derive(Default)]
struct Shared {
    last: Mutex<Option<Result<String, DriverError>>>,
    changes: Signal,
}

impl Shared {
    fn set(&self, last: Result<String, DriverError>) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
        self.changes.raise();
    }
}

impl Input {
    /// Begins to listen, once.
    fn listen(&self) {
        if self.wake.get().is_some() {
            return;
        }
        let Ok((wake, end)) = UnixStream::pair() else { return };
        if self.wake.set(wake).is_err() {
            return;
        }
        let (shared, path) = (self.shared.clone(), self.root.locate(&self.path));
        let listening = thread::Builder::new().name("input".into()).spawn(move || {
            if let Err(error) = follow(&path, &end, &shared) {
                shared.set(Err(DriverError::from_io(&path, &error, ADVICE)));
            }
        });
        if let Err(error) = listening {
            self.shared.set(Err(DriverError::Unavailable { path: self.path.clone(), why: error.to_string() }));
        }
    }
}

/// Reads events until the driver is gone or the device is.
fn follow(path: &Path, end: &UnixStream, shared: &Shared) -> std::io::Result<()> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let mut file = File::options().read(true).custom_flags(flags).open(path)?;
    let mut buffer = [0; event::LEN * AT_ONCE];
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(file.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(end.as_fd(), PollFlags::IN),
        ];
        // Both ends of this wait are ours: the driver's end closes the one, the device's the other.
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if !fds[1].revents().is_empty() {
            return Ok(());
        }
        match file.read(&mut buffer) {
            Ok(0) => return Err(rustix::io::Errno::NODEV.into()),
            Ok(len) => {
                let read = buffer.get(..len).unwrap_or_default();
                if let Some(last) = read.chunks_exact(event::LEN).filter_map(event::words).next_back() {
                    shared.set(Ok(last));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl Driver for Input {
    fn description(&self) -> ResourceDescription {
        self.description.clone()
    }

    fn read(&self) -> Result<Value, DriverError> {
        self.listen();
        match &*self.shared.last.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Ok(last)) => Ok(Value::Text(last.clone())),
            Some(Err(error)) => Err(error.clone()),
            None => Ok(Value::Text(String::new())),
        }
    }

    fn refresh_every(&self) -> Option<Duration> {
        None
    }

    fn changes(&self) -> Option<&Signal> {
        self.listen();
        Some(&self.shared.changes)
    }

    fn origin(&self) -> Option<&Path> {
        Some(&self.path)
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        if let Some(mut wake) = self.wake.take() {
            // Closing it would do.
            let _ = wake.write_all(&[0]);
        }
    }
}
