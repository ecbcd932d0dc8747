//! The other cores: those that are processes of this device's own, and those of this machine's kernel.
//!
//! | part | what it does |
//! |---|---|
//! | here | which cores there are; those that are processes are kept in the device's state |
//! | [`worker`] | the thread that leads the life of one core, and the satellites behind its link |
//! | [`carried`] | those that the image of this device carries the firmware of |
//! | [`back`] | what the back ends of `tutti-amp-host` can do |
//! | [`radio`] | what goes over the link with a core |
//! | [`log`] | what a core wrote for people |
//!
//! # A device that is killed, and comes back
//! A process remote outlives its host and listens on a socket in the runtime folder. The next start of the device finds it
//! there and attaches: no restart of the firmware. A device that is stopped in good order stops its processes; the
//! kernel's cores stay as they are.
//!
//! # What a hostile core can do
//! What `tutti-amp-host` and `tutti-satellite` leave it: nothing but lies, which are checked, and a flood, which is read at
//! a bounded rate. A core that writes what cannot be is stopped. Its log is bounded and made harmless. Which program is run is
//! up to whoever may use the control API, which is this user alone.

mod back;
mod carried;
pub(crate) mod log;
mod radio;
pub(crate) mod worker;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, fs,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, oneshot};
use tutti_amp_host::{
    linux::{self, LinuxCore},
    process::{ProcessConfig, ProcessCore, Shutdown},
};
use tutti_fabric::clock::Clock;
use tutti_model::{DeviceId, Name};
use tutti_remoteproc::life::{Command, Refused, State as CoreState};
use tutti_rpmsg::Address;
use tutti_update::carried::{MOST_ARGUMENTS, MOST_STOP};

use self::worker::{Desk, Order, Setup};
use crate::{
    satellites::Satellites,
    state::{SaveError, State},
};

/// The key of the cores in the settings.
const KEY: &str = "cores";
/// The most cores that are processes.
const MOST: usize = 16;
/// How long an order may take. A platform's action has ten seconds; a restart has two.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the workers may take to end.
const END: Duration = Duration::from_secs(5);

/// What a process core is made from, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Program {
    /// The firmware.
    pub(crate) file: PathBuf,
    /// Its arguments.
    pub(crate) arguments: Vec<String>,
    /// The endpoint and the bytes of the message that asks it to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stop_message: Option<(u32, Vec<u8>)>,
}

/// Where a core comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Origin {
    /// A process of this device's own.
    Process(Program),
    /// The kernel's core of this name (`remoteproc0`), with the firmware that it was given here.
    Linux(Option<String>),
}

#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    name: String,
    program: Program,
    /// Whether it is to run.
    wanted: bool,
}

/// Why something was not done with a core.
#[derive(Debug)]
pub(crate) enum CoreError {
    /// There is none of this name.
    Unknown,
    /// It makes no sense in its state, or the platform has no way to.
    Refused(Refused),
    /// The platform has no way to.
    Unsupported(&'static str),
    /// Its firmware has no endpoint that gives back what it is sent.
    NoPing,
    /// It was tried and failed.
    Failed(String),
    /// What was asked for is not right.
    Bad(String),
    /// Something else is under way.
    Busy,
    /// It is not led any more.
    Gone,
    /// There are [`MOST`] already.
    TooMany,
    /// It could not be kept for the next start.
    Save(SaveError),
}

impl fmt::Display for CoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("there is no core of this name"),
            Self::Refused(refused) => refused.fmt(f),
            Self::Unsupported(why) => f.write_str(why),
            Self::NoPing => write!(
                f,
                "the core does not run, or its firmware has no endpoint {:?} that this device can reach",
                radio::PING
            ),
            Self::Failed(why) | Self::Bad(why) => f.write_str(why),
            Self::Busy => f.write_str("something else is under way with this core"),
            Self::Gone => f.write_str("the core is not led any more"),
            Self::TooMany => write!(f, "there are {MOST} cores that are processes already"),
            Self::Save(error) => error.fmt(f),
        }
    }
}

/// A core that is led.
struct Led {
    origin: Origin,
    wanted: bool,
    desk: Arc<Desk>,
    thread: JoinHandle<()>,
}

/// A core, to be shown.
pub(crate) struct Shown {
    pub(crate) origin: Origin,
    pub(crate) desk: Arc<Desk>,
}

/// All cores. Clones share them.
#[derive(Clone)]
pub(crate) struct Cores(Arc<Shared>);

struct Shared {
    me: DeviceId,
    satellites: Satellites,
    clock: Arc<dyn Clock>,
    state: State,
    runtime: PathBuf,
    root: PathBuf,
    cores: Mutex<BTreeMap<Name, Led>>,
}

/// Where cores and what is theirs are found.
pub(crate) struct Places {
    /// For sockets; only this user's.
    pub(crate) runtime: PathBuf,
    /// Below which the kernel's cores are looked for.
    pub(crate) root: PathBuf,
}

impl Cores {
    /// Those that are kept, led from now on: attached to if they run, started if they are to.
    pub(crate) async fn start(
        me: DeviceId,
        satellites: Satellites,
        clock: Arc<dyn Clock>,
        state: State,
        Places { runtime, root }: Places,
    ) -> Result<Self, SaveError> {
        let kept: Vec<Kept> = state.load_list(KEY).await?;
        let cores = Self(Arc::new(Shared { me, satellites, clock, state, runtime, root, cores: Mutex::default() }));
        {
            let mut led = cores.0.cores.lock().await;
            for Kept { name, program, wanted } in kept {
                let Ok(name) = Name::new(&name) else { continue };
                match cores.lead(name, Origin::Process(program), wanted) {
                    Ok(core) => drop(led.insert(name, core)),
                    Err(error) => tracing::error!(%name, %error, "a core is left out"),
                }
            }
        }
        Ok(cores)
    }

    /// All of them, in order of their names.
    pub(crate) async fn list(&self) -> Vec<Shown> {
        let mut led = self.0.cores.lock().await;
        self.shown(&mut led)
    }

    /// The same for whoever cannot wait: none while something is being done to one of them.
    pub(crate) fn glance(&self) -> Option<Vec<Shown>> {
        let mut led = self.0.cores.try_lock().ok()?;
        Some(self.shown(&mut led))
    }

    /// One of them.
    pub(crate) async fn find(&self, name: &Name) -> Result<Shown, CoreError> {
        let found = self.list().await.into_iter().find(|core| core.desk.name == *name);
        found.ok_or(CoreError::Unknown)
    }

    /// Starts a core, with another firmware if one is named. A name that is new is a new process.
    pub(crate) async fn start_core(
        &self,
        name: Name,
        firmware: Option<String>,
        arguments: Vec<String>,
        stop_message: Option<(u32, Vec<u8>)>,
    ) -> Result<(), CoreError> {
        let mut led = self.0.cores.lock().await;
        self.look_for_kernels(&mut led);
        let before = led.get(&name);
        let origin = match (before.map(|core| &core.origin), firmware) {
            (None, None) => return Err(CoreError::Unknown),
            (Some(origin), None) => origin.clone(),
            (Some(Origin::Linux(_)), Some(_)) if !arguments.is_empty() || stop_message.is_some() => {
                return Err(CoreError::Bad("the kernel's cores take no arguments and no message to stop".into()));
            }
            (Some(Origin::Linux(_)), Some(firmware)) => Origin::Linux(Some(checked_firmware(firmware)?)),
            (None | Some(Origin::Process(_)), Some(file)) => {
                Origin::Process(checked_program(file, arguments, stop_message)?)
            }
        };
        let is_new = before.is_none_or(|core| core.origin != origin);
        if is_new {
            let runs = before
                .is_some_and(|core| !matches!(core.desk.status().state, CoreState::Offline(_) | CoreState::Crashed));
            if runs {
                return Err(CoreError::Bad(format!("{name} runs with another firmware; stop it first")));
            }
            let processes = led.values().filter(|core| matches!(core.origin, Origin::Process(_))).count();
            if before.is_none() && processes >= MOST {
                return Err(CoreError::TooMany);
            }
            if let Some(old) = led.remove(&name) {
                self.end(old, true).await;
            }
            led.insert(name, self.lead(name, origin, false)?);
        }
        let Some(core) = led.get_mut(&name) else { return Err(CoreError::Unknown) };
        core.wanted = true;
        let desk = core.desk.clone();
        self.save(&led).await?;
        drop(led);
        do_all(&desk, vec![Command::Start]).await
    }

    /// Has commands carried out, one after the other.
    pub(crate) async fn act(&self, name: &Name, commands: Vec<Command>) -> Result<(), CoreError> {
        let desk = self.find(name).await?.desk;
        let wanted = match commands.last() {
            Some(Command::Stop) => Some(false),
            Some(Command::Start) => Some(true),
            _ => None,
        };
        if let Some(wanted) = wanted {
            let mut led = self.0.cores.lock().await;
            if let Some(core) = led.get_mut(name) {
                core.wanted = wanted;
            }
            self.save(&led).await?;
        }
        do_all(&desk, commands).await
    }

    /// Forgets a process that does not run.
    pub(crate) async fn forget(&self, name: &Name) -> Result<(), CoreError> {
        let mut led = self.0.cores.lock().await;
        let core = led.get(name).ok_or(CoreError::Unknown)?;
        if matches!(core.origin, Origin::Linux(_)) {
            return Err(CoreError::Unsupported("the kernel's cores are there as long as the kernel says so"));
        }
        if !matches!(core.desk.status().state, CoreState::Offline(_) | CoreState::Crashed) {
            return Err(CoreError::Bad(format!("{name} runs; stop it first")));
        }
        if let Some(core) = led.remove(name) {
            self.end(core, true).await;
        }
        self.save(&led).await
    }

    /// Keeps what is in a core's memory; where.
    pub(crate) async fn dump(&self, name: &Name) -> Result<fs::File, CoreError> {
        let path = ask(&self.find(name).await?.desk, Order::Dump).await?;
        let opened = tokio::task::spawn_blocking(move || back::open_dump(&path)).await;
        opened.map_err(|error| CoreError::Failed(error.to_string()))?.map_err(CoreError::Failed)
    }

    /// How long a message takes to a core and back.
    pub(crate) async fn ping(&self, name: &Name) -> Result<Duration, CoreError> {
        ask(&self.find(name).await?.desk, Order::Ping).await
    }

    /// What the kernel offers, and keeps from being used.
    pub(crate) async fn doctor(&self) -> Vec<linux::DoctorFinding> {
        let root = self.0.root.clone();
        tokio::task::spawn_blocking(move || linux::doctor(&root)).await.unwrap_or_default()
    }

    /// Ends all workers: processes are stopped, the kernel's cores stay as they are.
    pub(crate) async fn stop(&self) {
        let led = std::mem::take(&mut *self.0.cores.lock().await);
        let ending = led.into_values().map(|core| {
            let stop = matches!(core.origin, Origin::Process(_));
            self.end(core, stop)
        });
        futures_util::future::join_all(ending).await;
    }

    async fn end(&self, core: Led, stop: bool) {
        if core.desk.order(Order::End { stop }).is_err() {
            tracing::warn!(core = %core.desk.name, "the worker of a core takes no orders and is left to itself");
            return;
        }
        let joined = tokio::task::spawn_blocking(move || core.thread.join());
        if tokio::time::timeout(END, joined).await.is_err() {
            tracing::warn!("the worker of a core did not end in time");
        }
    }

    fn shown(&self, led: &mut BTreeMap<Name, Led>) -> Vec<Shown> {
        self.look_for_kernels(led);
        led.values().map(|core| Shown { origin: core.origin.clone(), desk: core.desk.clone() }).collect()
    }

    /// Leads what the kernel has, too.
    fn look_for_kernels(&self, led: &mut BTreeMap<Name, Led>) {
        let there: Vec<Name> = linux::list(&self.0.root).iter().filter_map(|id| Name::new(id).ok()).collect();
        for name in &there {
            if !led.contains_key(name) {
                match self.lead(*name, Origin::Linux(None), false) {
                    Ok(core) => drop(led.insert(*name, core)),
                    Err(error) => tracing::warn!(%name, %error, "a core of the kernel's is left out"),
                }
            }
        }
        let gone: Vec<Name> = led
            .iter()
            .filter(|(name, core)| matches!(core.origin, Origin::Linux(_)) && !there.contains(name))
            .map(|(name, _)| *name)
            .collect();
        for core in gone.iter().filter_map(|name| led.remove(name)) {
            // If its queue is full it ends with the process.
            let _ = core.desk.order(Order::End { stop: false });
        }
    }

    fn lead(&self, name: Name, origin: Origin, start: bool) -> Result<Led, CoreError> {
        let (desk, orders) = Desk::new(name);
        let setup = Setup {
            desk: desk.clone(),
            orders,
            satellites: self.0.satellites.clone(),
            clock: self.0.clock.clone(),
            start,
        };
        let dump = self.dump_file(&name)?;
        let thread = std::thread::Builder::new().name(format!("core {name}"));
        let spawned = match &origin {
            Origin::Process(program) => {
                let mut config = ProcessConfig::new(&program.file, self.socket(&name));
                config.arguments = program.arguments.iter().map(OsString::from).collect();
                config.shutdown = program.stop_message.clone().map(|(to, bytes)| Shutdown { to: Address(to), bytes });
                config.dump = Some(dump);
                thread.spawn(move || worker::run(ProcessCore::new(config), setup))
            }
            Origin::Linux(firmware) => {
                let core = LinuxCore::new(&self.0.root, name.as_str(), firmware.clone(), Some(dump));
                thread.spawn(move || worker::run(core, setup))
            }
        };
        let thread = spawned.map_err(|error| CoreError::Failed(format!("no thread for it: {error}")))?;
        Ok(Led { origin, wanted: start, desk, thread })
    }

    /// Where a process listens for its host. Short, since the system wants it so.
    fn socket(&self, name: &Name) -> PathBuf {
        let hash = blake3::hash(name.as_str().as_bytes()).to_hex();
        self.0.runtime.join(format!("{}-{}.core", self.0.me.short(), hash.get(..8).unwrap_or_default()))
    }

    fn dump_file(&self, name: &Name) -> Result<PathBuf, CoreError> {
        let folder = self.0.state.folder().join("cores");
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(|error| CoreError::Failed(format!("{} cannot be made: {error}", folder.display())))?;
        Ok(folder.join(format!("{name}.core")))
    }

    async fn save(&self, led: &BTreeMap<Name, Led>) -> Result<(), CoreError> {
        let kept: Vec<Kept> = led
            .iter()
            .filter_map(|(name, core)| match &core.origin {
                Origin::Process(program) => {
                    Some(Kept { name: name.to_string(), program: program.clone(), wanted: core.wanted })
                }
                Origin::Linux(_) => None,
            })
            .collect();
        self.0.state.save_list(KEY, &kept).await.map_err(CoreError::Save)
    }
}

async fn do_all(desk: &Desk, commands: Vec<Command>) -> Result<(), CoreError> {
    ask(desk, |reply| Order::Do(commands, reply)).await
}

async fn ask<T>(
    desk: &Desk,
    order: impl FnOnce(oneshot::Sender<Result<T, CoreError>>) -> Order,
) -> Result<T, CoreError> {
    let (reply, answer) = oneshot::channel();
    desk.order(order(reply))?;
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(CoreError::Gone),
        Err(_) => Err(CoreError::Failed("it was not done in time; see its state before trying again".into())),
    }
}

fn checked_program(
    file: String,
    arguments: Vec<String>,
    stop_message: Option<(u32, Vec<u8>)>,
) -> Result<Program, CoreError> {
    let (most, bytes) = MOST_ARGUMENTS;
    if !Path::new(&file).is_absolute() {
        return Err(CoreError::Bad("the firmware is named by its whole path, which begins with a slash".into()));
    }
    if arguments.len() > most || arguments.iter().map(String::len).sum::<usize>() > bytes {
        return Err(CoreError::Bad(format!("a program takes at most {most} arguments of {bytes} bytes together")));
    }
    if file.contains('\0') || arguments.iter().any(|argument| argument.contains('\0')) {
        return Err(CoreError::Bad("a program's path and arguments hold no zero".into()));
    }
    if stop_message.as_ref().is_some_and(|(_, bytes)| bytes.len() > MOST_STOP) {
        return Err(CoreError::Bad(format!("a message that asks to stop has at most {MOST_STOP} bytes")));
    }
    Ok(Program { file: file.into(), arguments, stop_message })
}

/// The kernel looks for firmware in its own folders, by a name.
fn checked_firmware(firmware: String) -> Result<String, CoreError> {
    let well = !firmware.is_empty()
        && firmware.len() < 256
        && !firmware.starts_with('/')
        && !firmware.split('/').any(|part| part == "..")
        && !firmware.chars().any(char::is_control);
    if well {
        Ok(firmware)
    } else {
        Err(CoreError::Bad("the kernel's cores load firmware by its name in /lib/firmware".into()))
    }
}
