//! Devices on this machine find each other by files in one folder.
//!
//! Each running device writes `<id>.json` into the runtime folder and looks at the files of the others once a second:
//! listing a folder and asking for the times of its files costs microseconds, needs no privileges, and works where
//! nothing can be watched. The same file tells the command line where the device's control socket is.
//!
//! The folder belongs to one user and nobody else may enter it; otherwise it is refused, since whoever can write to it
//! could send the user's commands to a socket of his own. What is in the files is checked all the same: sizes and counts
//! are bounded, and a file that says nonsense is ignored.
//!
//! A device that was killed leaves its file. It is told by its process being gone, or, when the number of the process
//! has been given to another, by the lock on its state folder not being held; such a file is ignored at once and removed
//! a little later. Should that ever hit a living device, it writes its file again within a second.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    io::{self, Read, Write},
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::{
    fs::{FlockOperation, OFlags, flock},
    process::{Pid, test_kill_process},
};
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
    time,
};
use tutti_model::{DeviceId, Name};

use super::{
    DiscoveryEvent, MAX_ADDRS, MAX_DEVICES,
    table::{Sighting, Table},
};
use crate::{Source, addresses::dialable};

/// How often the folder is looked at.
pub const INTERVAL: Duration = Duration::from_secs(1);
/// A file is a few hundred bytes.
const MAX_FILE: u64 = 16 << 10;
/// How many entries of the folder are looked at: each device has a file and a socket, and more may be on their way.
const MAX_ENTRIES: usize = 4 * MAX_DEVICES;
/// For how many looks in a row a file has to be stale before it is removed.
const LOOKS_BEFORE_REMOVAL: u8 = 5;
/// The longest that ending takes.
const SHUTDOWN: Duration = Duration::from_millis(500);

/// What a running device says in its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// Its id, in hexadecimal digits; also the file's name.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// The folder that it keeps its state in.
    pub state_dir: PathBuf,
    /// The socket of its control API.
    pub socket: PathBuf,
    /// Where it is reached from this machine.
    pub addrs: Vec<SocketAddr>,
    /// Whether it has a pairing code on offer.
    pub pairing_open: bool,
}

impl Registration {
    /// The file's contents, checked.
    pub(crate) fn parse(text: &[u8]) -> Option<(Self, Sighting)> {
        let said: Self = serde_json::from_slice(text).ok()?;
        let addrs: Vec<_> = said.addrs.iter().filter_map(|&addr| dialable(addr)).take(MAX_ADDRS).collect();
        let sighting = Sighting {
            device: said.id.parse().ok()?,
            name: Name::new(&said.name).ok()?,
            addrs,
            pairing_open: said.pairing_open,
        };
        Some((said, sighting))
    }
}

/// Why the runtime folder cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum SameHostError {
    /// It belongs to another user.
    NotOurs {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Others may enter it.
    Exposed {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is a link or a file.
    NotAFolder {
        /// What was found.
        path: PathBuf,
    },
    /// The operating system said no.
    Io {
        /// What it was about.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What it said.
        error: io::Error,
    },
}

impl fmt::Display for SameHostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cure = "remove it, or name another folder in TUTTI_RUNTIME_DIR";
        match self {
            Self::NotOurs { path, owner } => {
                write!(f, "the runtime folder {path:?} belongs to another user ({owner}); {cure}")
            }
            Self::Exposed { path, mode } => write!(
                f,
                "other users may enter the runtime folder {path:?} (mode {mode:03o}); run: chmod 700 {path:?}"
            ),
            Self::NotAFolder { path } => write!(f, "the runtime folder {path:?} is not a folder; {cure}"),
            Self::Io { path, doing, error } => write!(f, "could not {doing} {path:?}: {error}"),
        }
    }
}

impl std::error::Error for SameHostError {}

fn failed<'a>(path: &'a Path, doing: &'static str) -> impl FnOnce(io::Error) -> SameHostError + 'a {
    move |error| SameHostError::Io { path: path.into(), doing, error }
}

/// Makes sure that there is such a folder, that it is this user's, and that nobody else may enter it.
pub fn prepare_folder(path: &Path) -> Result<(), SameHostError> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(path, "create")(error)),
        _ => {}
    }
    let found = fs::symlink_metadata(path).map_err(failed(path, "examine"))?;
    let mode = found.mode() & 0o7777;
    if !found.is_dir() {
        Err(SameHostError::NotAFolder { path: path.into() })
    } else if found.uid() != rustix::process::geteuid().as_raw() {
        Err(SameHostError::NotOurs { path: path.into(), owner: found.uid() })
    } else if mode & 0o077 != 0 {
        Err(SameHostError::Exposed { path: path.into(), mode })
    } else {
        Ok(())
    }
}

/// This device's place among those of the machine. Ends with [`shutdown`](Self::shutdown); when it is dropped, only the
/// file stays behind.
pub struct SameHost {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    folder: PathBuf,
    registration: Mutex<Registration>,
    changed: Notify,
    closing: Notify,
}

impl SameHost {
    /// Writes this device's file and begins to look for others.
    pub async fn start(
        folder: PathBuf,
        registration: Registration,
        events: mpsc::Sender<DiscoveryEvent>,
    ) -> Result<Self, SameHostError> {
        prepare_folder(&folder)?;
        write_own(&folder, &registration)?;
        let shared = Arc::new(Shared {
            folder,
            registration: Mutex::new(registration),
            changed: Notify::new(),
            closing: Notify::new(),
        });
        let task = tokio::spawn(run(shared.clone(), events));
        Ok(Self { shared, task })
    }

    /// Changes what this device says of itself. The id stays.
    pub fn update(&self, change: impl FnOnce(&mut Registration)) {
        let mut registration = self.shared.registration();
        let id = registration.id.clone();
        change(&mut registration);
        registration.id = id;
        drop(registration);
        self.shared.changed.notify_one();
    }

    /// Removes the file. Takes at most half a second.
    pub async fn shutdown(mut self) {
        self.shared.closing.notify_one();
        let _ = time::timeout(SHUTDOWN, &mut self.task).await;
        let _ = fs::remove_file(self.shared.own_file());
    }
}

impl Drop for SameHost {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn registration(&self) -> std::sync::MutexGuard<'_, Registration> {
        self.registration.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own_file(&self) -> PathBuf {
        file_of(&self.folder, &self.registration().id)
    }
}

async fn run(shared: Arc<Shared>, events: mpsc::Sender<DiscoveryEvent>) {
    let mut watcher = Watcher::new(&shared.registration().id);
    let mut ticks = time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shared.closing.notified() => return,
            () = shared.changed.notified() => {}
            _ = ticks.tick() => {}
        }
        // Files, so away from the tasks that must not wait.
        let registration = shared.registration().clone();
        let folder = shared.folder.clone();
        let looked = tokio::task::spawn_blocking(move || {
            keep_own(&folder, &registration);
            watcher.look(&folder);
            watcher
        });
        let Ok(back) = looked.await else { return };
        watcher = back;
        if watcher.table.tell(&events).is_none() {
            return;
        }
    }
}

fn file_of(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.json"))
}

/// Writes the file again if it is gone or says something else. When that fails, the next look tries again.
fn keep_own(folder: &Path, registration: &Registration) {
    let path = file_of(folder, &registration.id);
    let said = read(&path).and_then(|text| serde_json::from_slice::<Registration>(&text).ok());
    if said.as_ref() != Some(registration)
        && let Err(error) = write_own(folder, registration)
    {
        tracing::warn!(%error, "this device's file in the runtime folder could not be written");
    }
}

/// Nobody ever sees half a file: it is written under another name first.
fn write_own(folder: &Path, registration: &Registration) -> Result<(), SameHostError> {
    let path = file_of(folder, &registration.id);
    let temporary = folder.join(format!(".{}.{}", registration.id, std::process::id()));
    let text = serde_json::to_vec_pretty(registration).map_err(|error| failed(&path, "describe")(error.into()))?;
    let write = || {
        // One that a crash left behind is ours, or of a process with this number that is gone.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(&temporary)?.write_all(&text)?;
        fs::rename(&temporary, &path)
    };
    write().map_err(failed(&path, "write"))
}

/// The contents of a plain file of bounded size.
fn read(path: &Path) -> Option<Vec<u8>> {
    let file = open(path)?;
    let mut text = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut text).ok()?;
    (text.len() as u64 <= MAX_FILE).then_some(text)
}

/// Opens a plain file without following a link or waiting for a pipe.
fn open(path: &Path) -> Option<fs::File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits().cast_signed();
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    file.metadata().ok()?.is_file().then_some(file)
}

/// What tells whether a file changed: replaced files have another inode.
type Stamp = (u64, i64, i64, u64);

struct Seen {
    stamp: Stamp,
    /// `None` for a file that says nonsense.
    said: Option<(Registration, Sighting)>,
    /// How many looks in a row found it stale.
    stale: u8,
}

/// The files of the others.
struct Watcher {
    own: String,
    files: BTreeMap<String, Seen>,
    table: Table,
}

impl Watcher {
    fn new(own: &str) -> Self {
        Self { own: own.to_owned(), files: BTreeMap::new(), table: Table::new(Source::SameHost) }
    }

    fn look(&mut self, folder: &Path) {
        let mut there = BTreeSet::new();
        for entry in fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_ENTRIES) {
            let name = entry.file_name();
            let Some(id) = name.to_str().and_then(|name| name.strip_suffix(".json")) else { continue };
            if id == self.own || id.parse::<DeviceId>().is_err() || there.len() >= MAX_DEVICES {
                continue;
            }
            let Ok(found) = entry.metadata() else { continue };
            let stamp = (found.ino(), found.mtime(), found.mtime_nsec(), found.len());
            self.look_at(id, &entry.path(), stamp);
            there.insert(id.to_owned());
        }
        self.files.retain(|id, _| there.contains(id));
        let alive = self.files.iter().filter(|(_, seen)| seen.stale == 0).map(|(id, _)| id.clone()).collect();
        self.table.keep_only(&alive);
    }

    fn look_at(&mut self, id: &str, path: &Path, stamp: Stamp) {
        if self.files.get(id).is_none_or(|seen| seen.stamp != stamp) {
            let said = read(path).and_then(|text| Registration::parse(&text)).filter(|(said, _)| said.id == id);
            self.files.insert(id.to_owned(), Seen { stamp, said, stale: 0 });
        }
        let Some(seen) = self.files.get_mut(id) else { return };
        let Some((said, sighting)) = &seen.said else { return };
        if is_running(said) {
            seen.stale = 0;
            self.table.see(id, sighting.clone());
        } else {
            seen.stale = seen.stale.saturating_add(1);
            if seen.stale == LOOKS_BEFORE_REMOVAL {
                let _ = fs::remove_file(path);
            }
        }
    }
}

/// Whether the device that wrote the file still runs.
fn is_running(said: &Registration) -> bool {
    let pid = i32::try_from(said.pid).ok().and_then(Pid::from_raw);
    match pid.map(test_kill_process) {
        // It is another user's, so it exists.
        Some(Ok(()) | Err(rustix::io::Errno::PERM)) => {}
        _ => return false,
    }
    // A lock that can be had is not held. Where it cannot be tried, the process has to be proof enough.
    match open(&said.state_dir.join("lock")) {
        Some(lock) => flock(&lock, FlockOperation::NonBlockingLockShared).is_err(),
        None => true,
    }
}

#[cfg(test)]
mod tests;
