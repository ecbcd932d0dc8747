//! One remote core of the kernel's.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tutti_remoteproc::Platform;
use tutti_remoteproc::life::{Abilities, Action, Cause, Generation, Sign, State};

use super::{Channel, channels};

/// How long the kernel may take to start or stop a core.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long the kernel may take to recover a core that crashed; after that it counts as lost.
const RECOVERY: Duration = Duration::from_secs(2);
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
    /// The kernel does not find the firmware.
    Firmware(String),
    /// It does not wait to be started.
    Runs(State),
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
            Self::Firmware(name) => {
                write!(f, "the kernel finds no firmware {name:?}; it looks in /lib/firmware, ")?;
                f.write_str("and where the kernel's parameter firmware_class.path says")
            }
            Self::Runs(state) => write!(f, "the remote is {state} already; somebody else leads it: stop it first"),
            Self::NoDump => f.write_str(
                "the kernel kept no core dump; it makes one when it recovers the remote by itself, if both were enabled \
                 before the crash: echo enabled > /sys/class/remoteproc/…/recovery, and …/coredump",
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
    /// Since when it is seen not to run, while the kernel may still recover it.
    lost: Option<Instant>,
    /// The dump that was there before, or was kept already.
    old_dump: Option<PathBuf>,
    /// The dump by which a crash was noticed.
    noticed: Option<PathBuf>,
}

impl LinuxCore {
    /// The core `id` (`remoteproc0`) below `root` (`/`). With a `firmware`, that file of the kernel's firmware folder is what
    /// it is to load; core dumps go to `dump`.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>, id: &str, firmware: Option<String>, dump: Option<PathBuf>) -> Self {
        let (root, id, generation) = (root.into(), id.to_owned(), Generation(0));
        Self { root, id, firmware, dump, generation, last: None, lost: None, old_dump: None, noticed: None }
    }

    /// What its firmware has announced on the kernel's RPMsg bus.
    #[must_use]
    pub fn channels(&self) -> Vec<Channel> {
        channels(&self.root).into_iter().filter(|channel| channel.core.as_ref() == Some(&self.id)).collect()
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

    fn start(&mut self, generation: Generation) -> Result<(), LinuxFault> {
        // The kernel counts who has started a core: of one that runs or has crashed, `start` adds one to the count, does
        // nothing, and says that all is well.
        match self.state()? {
            State::Offline(_) | State::Detached => {}
            state => return Err(LinuxFault::Runs(state)),
        }
        self.want_dumps();
        self.change("start", &[State::Running, State::Attached]).map_err(|fault| match fault {
            LinuxFault::File { error, .. } if error.kind() == io::ErrorKind::NotFound => {
                LinuxFault::Firmware(self.firmware().unwrap_or_default())
            }
            fault => fault,
        })?;
        self.watch(generation)
    }

    fn attach(&mut self) -> Result<Generation, LinuxFault> {
        self.want_dumps();
        if self.state()? == State::Detached {
            self.change("start", &[State::Attached, State::Running])?;
        }
        let generation = Generation(self.generation.0.max(1));
        self.watch(generation)?;
        Ok(generation)
    }

    fn halt(&mut self) -> Result<(), LinuxFault> {
        // The kernel answers when a recovery that it is in the middle of is over, so this is asked for in every state.
        let stopped = self.change("stop", &[State::of_word("offline").unwrap_or(State::Detached)]);
        // It refuses what is stopped already.
        if stopped.is_err() && !matches!(self.state()?, State::Offline(_)) {
            return stopped;
        }
        (self.last, self.lost) = (None, None);
        Ok(())
    }

    /// From now on it is in this generation, and looked after.
    fn watch(&mut self, generation: Generation) -> Result<(), LinuxFault> {
        (self.generation, self.last, self.lost) = (generation, Some(self.state()?), None);
        Ok(())
    }

    /// Has the kernel keep dumps, if they are wanted. (Kernels before 5.10 have the setting elsewhere: there it is not
    /// changed.)
    fn want_dumps(&mut self) {
        if self.dump.is_some() {
            let _ = write(&self.file("coredump"), "enabled");
            self.old_dump = self.kernels_dump();
        }
    }

    /// Whether the kernel itself starts this core again after a crash.
    fn kernel_recovers(&self) -> bool {
        read(&self.file("recovery")).is_ok_and(|word| word == "enabled")
    }

    /// Where the kernel's dump of this core is, if it has one.
    fn kernels_dump(&self) -> Option<PathBuf> {
        let own = fs::canonicalize(self.file("")).ok()?;
        let entries = fs::read_dir(self.root.join("sys/class/devcoredump")).into_iter().flatten().flatten();
        // The dump's device is the core itself, or the hardware that it belongs to.
        let ours = |dump: &PathBuf| fs::canonicalize(dump.join("failing_device")).is_ok_and(|it| own.starts_with(it));
        entries.map(|entry| entry.path()).find(ours)
    }

    fn fresh_dump(&self) -> Option<PathBuf> {
        self.kernels_dump().filter(|dump| Some(dump) != self.old_dump.as_ref())
    }

    /// Copies the kernel's core dump of this core out, and lets the kernel free it.
    fn keep_dump(&mut self) -> Result<(), LinuxFault> {
        let to = self.dump.as_ref().ok_or(LinuxFault::NoDump)?;
        let dump = self.fresh_dump().ok_or(LinuxFault::NoDump)?;
        let data = dump.join("data");
        let fault = |error| LinuxFault::File { path: data.clone(), error };
        let mut from = fs::File::open(&data).map_err(fault)?.take(MOST_DUMP);
        let mut file = fs::File::create(to).map_err(|error| LinuxFault::File { path: to.clone(), error })?;
        io::copy(&mut from, &mut file).map_err(fault)?;
        // The kernel takes it away some time after this.
        self.old_dump = Some(dump);
        write(&data, "1")
    }

    /// The core is in this state, which is not the one that it should be in.
    fn is_lost(&mut self, state: State) -> Option<(Generation, Sign)> {
        // In the middle of its recovery the kernel calls a core crashed, then offline, then running.
        if self.kernel_recovers() && self.lost.get_or_insert_with(Instant::now).elapsed() < RECOVERY {
            return None;
        }
        (self.last, self.lost) = (Some(state), None);
        let sign = if state == State::Crashed { Sign::Crashed(Cause::Fault(0)) } else { Sign::Ended };
        Some((self.generation, sign))
    }

    /// The core runs. It may have been recovered meanwhile.
    fn runs(&mut self, last: State, state: State) -> Option<(Generation, Sign)> {
        let was_lost = self.lost.take().is_some() || matches!(last, State::Crashed | State::Offline(_));
        self.last = Some(state);
        let dump = if self.dump.is_some() { self.fresh_dump() } else { None };
        let dumped = dump.is_some() && dump != self.noticed;
        if !was_lost && !dumped {
            return None;
        }
        self.noticed = dump.or(self.noticed.take());
        let old = self.generation;
        self.generation = old.next();
        Some((old, Sign::Restarted(Cause::Fault(0))))
    }
}

impl Platform for LinuxCore {
    type Fault = LinuxFault;

    fn abilities(&self) -> Abilities {
        // The kernel lets go only of what it has attached to, not of what it started.
        let detach = matches!(self.state(), Ok(State::Attached | State::Detached));
        Abilities { ask: false, suspend: false, dump: self.dump.is_some(), detach, ..Abilities::ALL }
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
            Action::Start(generation) => self.start(generation)?,
            Action::Halt => self.halt()?,
            Action::Attach => return self.attach().map(Some),
            Action::Detach => {
                self.change("detach", &[State::Detached])?;
                (self.last, self.lost) = (None, None);
            }
            Action::Dump => self.keep_dump()?,
            Action::Ask | Action::Suspend | Action::Resume => return Err(LinuxFault::Unsupported(action)),
        }
        Ok(None)
    }

    fn observe(&mut self) -> Option<(Generation, Sign)> {
        let last = self.last?;
        let state = self.state().ok()?;
        match state {
            State::Running | State::Attached => self.runs(last, state),
            State::Crashed | State::Offline(_) if state != last => self.is_lost(state),
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
