//! One remote core of the kernel's.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tutti_remoteproc::Platform;
use tutti_remoteproc::life::{Abilities, Action, Cause, Generation, Sign, State};

/// How long the kernel may take to start or stop a core.
const PATIENCE: Duration = Duration::from_secs(8);
/// A core dump that is longer is cut off.
const MOST_DUMP: u64 = 1 << 30;

/// Why something was not done to a core of the kernel's.
#[derive(Debug)]
pub enum LinuxFault {
    /// A file could not be read or written.
    File {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        error: io::Error,
    },
    /// The state is a word that this version does not know.
    State(String),
    /// The kernel did not do it in time, or went elsewhere.
    Stayed {
        /// What was written.
        asked: &'static str,
        /// The state that it is in.
        state: String,
    },
    /// There is no core dump of it.
    NoDump,
    /// It cannot be done from user space.
    Unsupported(Action),
}

impl fmt::Display for LinuxFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, error } => {
                write!(f, "{}: {error}", path.display())?;
                f.write_str(match error.kind() {
                    io::ErrorKind::PermissionDenied => {
                        "; this takes root, or a udev rule that gives the file to a group"
                    }
                    io::ErrorKind::NotFound => "; has the kernel a driver for this remote (CONFIG_REMOTEPROC)?",
                    io::ErrorKind::ResourceBusy => "; somebody else uses the remote",
                    io::ErrorKind::InvalidInput => "; the kernel's log says why: dmesg",
                    _ => "",
                })
            }
            Self::State(word) => write!(f, "the kernel calls the state {word:?}, which is not known here"),
            Self::Stayed { asked, state } => {
                write!(f, "the remote is {state} after it was told to {asked}; the kernel's log says why: dmesg")
            }
            Self::NoDump => f.write_str(
                "the kernel kept no core dump; enable it beforehand: echo enabled > /sys/class/remoteproc/…/coredump",
            ),
            Self::Unsupported(action) => write!(f, "the kernel offers no way for {action:?} from user space"),
        }
    }
}

impl std::error::Error for LinuxFault {}

/// Reads a small file of the kernel's, without the line's end.
fn read(path: &Path) -> Result<String, LinuxFault> {
    let fault = |error| LinuxFault::File { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    fs::File::open(path).and_then(|file| file.take(4096).read_to_end(&mut bytes)).map_err(fault)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

fn write(path: &Path, text: &str) -> Result<(), LinuxFault> {
    let open = fs::OpenOptions::new().write(true).truncate(true).open(path);
    let written = open.and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()));
    written.map_err(|error| LinuxFault::File { path: path.to_owned(), error })
}

/// The names (`remoteproc0`, …) of all cores below this root, in order of their numbers.
#[must_use]
pub fn list(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("sys/class/remoteproc")).into_iter().flatten().flatten();
    let mut names: Vec<(u32, String)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            Some((name.strip_prefix("remoteproc")?.parse().ok()?, name))
        })
        .collect();
    names.sort();
    names.into_iter().map(|(_, name)| name).collect()
}

/// One remote core.
#[derive(Debug)]
pub struct LinuxCore {
    root: PathBuf,
    id: String,
    firmware: Option<String>,
    dump: Option<PathBuf>,
    generation: Generation,
    last: Option<State>,
}

impl LinuxCore {
    /// The core `id` (`remoteproc0`) below `root` (`/`). With a `firmware`, that file of the kernel's firmware folder is what
    /// it is to load; core dumps go to `dump`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, id: &str, firmware: Option<String>, dump: Option<PathBuf>) -> Self {
        Self { root: root.into(), id: id.to_owned(), firmware, dump, generation: Generation(0), last: None }
    }

    /// A file of it in sysfs.
    fn file(&self, name: &str) -> PathBuf {
        self.root.join("sys/class/remoteproc").join(&self.id).join(name)
    }

    /// What the driver calls it.
    ///
    /// # Errors
    /// If there is no such core.
    pub fn name(&self) -> Result<String, LinuxFault> {
        read(&self.file("name"))
    }

    /// The firmware that it loads, or has loaded.
    ///
    /// # Errors
    /// If there is no such core.
    pub fn firmware(&self) -> Result<String, LinuxFault> {
        read(&self.file("firmware"))
    }

    /// Where its core dumps go.
    #[must_use]
    pub fn dump_file(&self) -> Option<&Path> {
        self.dump.as_deref()
    }

    /// The state, in the kernel's words.
    ///
    /// # Errors
    /// If there is no such core, or the word is not known.
    pub fn state(&self) -> Result<State, LinuxFault> {
        let word = read(&self.file("state"))?;
        State::of_word(&word).ok_or(LinuxFault::State(word))
    }

    /// The text of its trace buffers, as the kernel shows it, by name.
    ///
    /// # Errors
    /// If debugfs cannot be read.
    pub fn traces(&self) -> Result<Vec<(String, Vec<u8>)>, LinuxFault> {
        let folder = self.root.join("sys/kernel/debug/remoteproc").join(&self.id);
        let fault = |error| LinuxFault::File { path: folder.clone(), error };
        let mut traces = Vec::new();
        for entry in fs::read_dir(&folder).map_err(fault)? {
            let entry = entry.map_err(fault)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("trace") {
                let mut text = Vec::new();
                let file = fs::File::open(entry.path()).map_err(fault)?;
                file.take(1 << 24).read_to_end(&mut text).map_err(fault)?;
                traces.push((name, text));
            }
        }
        traces.sort();
        Ok(traces)
    }

    /// Asks for a change, and waits until the kernel has made it.
    fn change(&self, word: &'static str, to: &[State]) -> Result<(), LinuxFault> {
        write(&self.file("state"), word)?;
        // The kernel is done when the write returns; some drivers finish a little later.
        let end = Instant::now() + PATIENCE;
        loop {
            let state = read(&self.file("state"))?;
            if State::of_word(&state).is_some_and(|state| to.contains(&state)) {
                return Ok(());
            }
            if Instant::now() > end || state == State::Crashed.word() {
                return Err(LinuxFault::Stayed { asked: word, state });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn load(&self) -> Result<(), LinuxFault> {
        match &self.firmware {
            Some(firmware) => write(&self.file("firmware"), firmware),
            None => self.firmware().map(|_| ()),
        }
    }

    fn attach(&mut self) -> Result<Generation, LinuxFault> {
        if self.state()? == State::Detached {
            self.change("start", &[State::Attached, State::Running])?;
        }
        self.generation = Generation(self.generation.0.max(1));
        self.last = Some(self.state()?);
        Ok(self.generation)
    }

    /// Copies the kernel's core dump of this core out, and lets the kernel free it.
    fn keep_dump(&self) -> Result<(), LinuxFault> {
        let to = self.dump.as_ref().ok_or(LinuxFault::NoDump)?;
        let folder = self.root.join("sys/class/devcoredump");
        let own = fs::canonicalize(self.file("")).ok();
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            // The dump's device is the core itself, or the hardware that it belongs to.
            let failing = fs::canonicalize(entry.path().join("failing_device")).ok();
            let ours = own.as_ref().zip(failing.as_ref()).is_some_and(|(own, failing)| own.starts_with(failing));
            if !ours {
                continue;
            }
            let data = entry.path().join("data");
            let fault = |error| LinuxFault::File { path: data.clone(), error };
            let mut from = fs::File::open(&data).map_err(fault)?.take(MOST_DUMP);
            let mut file = fs::File::create(to).map_err(|error| LinuxFault::File { path: to.clone(), error })?;
            io::copy(&mut from, &mut file).map_err(fault)?;
            return write(&data, "1");
        }
        Err(LinuxFault::NoDump)
    }
}

impl Platform for LinuxCore {
    type Fault = LinuxFault;

    fn abilities(&self) -> Abilities {
        Abilities { ask: false, suspend: false, dump: self.dump.is_some(), ..Abilities::ALL }
    }

    fn find(&mut self) -> Result<Option<Generation>, LinuxFault> {
        let state = self.state()?;
        let runs = matches!(state, State::Running | State::Attached | State::Detached | State::Suspended);
        Ok(runs.then_some(Generation(self.generation.0.max(1))))
    }

    fn perform(&mut self, action: Action) -> Result<Option<Generation>, LinuxFault> {
        match action {
            Action::Configure | Action::Release => drop(self.state()?),
            Action::Load => self.load()?,
            Action::Start(generation) => {
                self.change("start", &[State::Running, State::Attached])?;
                (self.generation, self.last) = (generation, Some(State::Running));
            }
            Action::Halt => {
                // A core that the kernel has stopped by itself is stopped.
                if !matches!(self.state()?, State::Offline(_)) {
                    self.change("stop", &[State::of_word("offline").unwrap_or(State::Detached)])?;
                }
                self.last = None;
            }
            Action::Attach => return self.attach().map(Some),
            Action::Detach => {
                self.change("detach", &[State::Detached])?;
                self.last = None;
            }
            Action::Dump => self.keep_dump()?,
            Action::Ask | Action::Suspend | Action::Resume => return Err(LinuxFault::Unsupported(action)),
        }
        Ok(None)
    }

    fn observe(&mut self) -> Option<(Generation, Sign)> {
        let last = self.last?;
        let state = self.state().ok()?;
        if state == last {
            return None;
        }
        self.last = Some(state);
        match state {
            State::Crashed => Some((self.generation, Sign::Crashed(Cause::Fault(0)))),
            State::Offline(_) => Some((self.generation, Sign::Ended)),
            _ => None,
        }
    }
}

/// Something that keeps remote cores from being used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DoctorFinding {
    /// Whether it is as it should be.
    pub well: bool,
    /// What was looked at, and found.
    pub what: String,
    /// What to do about it.
    pub advice: Option<&'static str>,
}

/// Looks at what the kernel offers below `root`.
#[must_use]
pub fn doctor(root: &Path) -> Vec<DoctorFinding> {
    let mut findings = Vec::new();
    let mut say = |well: bool, what: String, advice: &'static str| {
        findings.push(DoctorFinding { well, what, advice: (!well).then_some(advice) });
    };
    let class = root.join("sys/class/remoteproc");
    let there = class.is_dir();
    say(
        there,
        format!("remoteproc in the kernel: {}", yes(there)),
        "build the kernel with CONFIG_REMOTEPROC and the driver of this chip",
    );
    let cores = list(root);
    if there {
        let found = !cores.is_empty();
        say(
            found,
            format!("remote cores: {}", cores.len()),
            "the device tree must describe them, and their driver be loaded",
        );
    }
    for id in &cores {
        let state = class.join(id).join("state");
        let open = fs::OpenOptions::new().write(true).open(&state).is_ok();
        say(
            open,
            format!("{id} may be started: {}", yes(open)),
            "run as root, or give the file to a group by a udev rule",
        );
    }
    let debug = root.join("sys/kernel/debug/remoteproc");
    let traced = fs::read_dir(&debug).is_ok();
    say(
        traced,
        format!("traces can be read: {}", yes(traced)),
        "mount debugfs (mount -t debugfs none /sys/kernel/debug) and run as root",
    );
    let control = fs::read_dir(root.join("dev")).into_iter().flatten().flatten();
    let control = control.filter(|entry| entry.file_name().to_string_lossy().starts_with("rpmsg_ctrl")).count() > 0;
    say(
        control,
        format!("RPMsg endpoints can be made: {}", yes(control)),
        "build the kernel with CONFIG_RPMSG_CTRL and CONFIG_RPMSG_CHAR; the devices appear when a remote runs that talks",
    );
    findings
}

fn yes(well: bool) -> &'static str {
    if well { "yes" } else { "no" }
}
