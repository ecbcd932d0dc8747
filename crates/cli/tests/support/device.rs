//! Devices that are up, each a process of the command under test with its own folders.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

pub(crate) const TUTTI: &str = env!("CARGO_BIN_EXE_tutti");

/// How long a device may take to be up, or to say why it will not be.
const UP: Duration = Duration::from_secs(15);

/// How long any other command may take. Pairing waits for 15 s at most.
const PATIENCE: Duration = Duration::from_secs(40);

/// Waits until something holds; gives how long that took.
pub(crate) fn eventually(within: Duration, what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    loop {
        if holds() {
            return start.elapsed();
        }
        assert!(start.elapsed() < within, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether this process may do what only root may. The layer `faults` insists on it; elsewhere a test that needs it
/// is left out, and says so.
pub(crate) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    assert!(root || std::env::var_os("TUTTI_FAULTS").is_none(), "the layer `faults` has to run as root");
    if !root {
        eprintln!("left out: it needs root (`cargo xtask test faults`)");
    }
    root
}

/// What a command gave.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) ok: bool,
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// Runs a command to its end, which has to come in time.
    pub(crate) fn of(mut command: Command, within: Duration) -> Self {
        let shown = format!("{command:?}");
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{shown}: {error}"));
        let read = |pipe: Option<Box<dyn Read + Send>>| {
            let mut pipe = pipe.expect("is piped");
            std::thread::spawn(move || {
                let mut bytes = Vec::new();
                let _ = pipe.read_to_end(&mut bytes);
                String::from_utf8_lossy(&bytes).into_owned()
            })
        };
        let out = read(child.stdout.take().map(|pipe| Box::new(pipe) as _));
        let err = read(child.stderr.take().map(|pipe| Box::new(pipe) as _));
        let start = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                break status;
            }
            if start.elapsed() > within {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{shown} did not end within {within:?}: {}", err.join().unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let text = |thread: std::thread::JoinHandle<String>| thread.join().unwrap_or_default();
        Self { ok: status.success(), code: status.code(), out: text(out), err: text(err) }
    }

    /// The exit code and what the command said, from `error:` on: without the log, and with what differs from run to
    /// run replaced.
    pub(crate) fn said(&self, differing: &[(&str, &str)]) -> String {
        let from = self.err.find("error: ").unwrap_or(0);
        let said = self.err.get(from..).unwrap_or_default().trim_end();
        let said = differing.iter().fold(said.to_owned(), |said, (what, instead)| said.replace(what, instead));
        format!("exit code {}\n{said}", self.code.map_or("none".into(), |code| code.to_string()))
    }
}

/// How to start a device.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    name: String,
    rename: bool,
    wrapper: Vec<OsString>,
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(&'static str, OsString)>,
    pub(crate) state: PathBuf,
    runtime: PathBuf,
    log: PathBuf,
    /// What finds it where its state folder cannot be seen.
    device: Option<String>,
}

impl Plan {
    /// A device of this name with its folders in `folder`. Those of one folder see each other.
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            rename: true,
            wrapper: Vec::new(),
            program: TUTTI.into(),
            args: ["--no-mdns", "--no-hardware", "--simulate", "room-temperature,lamp"].map(Into::into).into(),
            env: Vec::new(),
            state: folder.join(format!("{name}-state")),
            runtime: folder.join("run"),
            log: folder.join(format!("{name}.log")),
            device: None,
        }
    }

    /// On a host of its own, with this machine's hardware and a network to discover others on.
    pub(crate) fn alone_on_its_host(mut self) -> Self {
        self.args.clear();
        self.runtime = self.state.with_file_name(format!("{}-run", self.name));
        self
    }

    /// Run by another program, which becomes the device.
    pub(crate) fn wrapped<T: AsRef<OsStr>>(mut self, wrapper: impl IntoIterator<Item = T>) -> Self {
        self.wrapper = wrapper.into_iter().map(|word| word.as_ref().to_owned()).collect();
        self
    }

    /// With more arguments.
    pub(crate) fn with<T: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// With a variable in its environment.
    pub(crate) fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// Its state folder cannot be seen from outside: commands find it by the runtime folder.
    pub(crate) fn hidden(mut self) -> Self {
        self.device = Some(self.name.clone());
        self
    }

    /// By the name that it has kept.
    pub(crate) fn keeping_its_name(mut self) -> Self {
        self.rename = false;
        self
    }

    /// From a copy of the program, with other folders.
    pub(crate) fn program(mut self, program: PathBuf, state: PathBuf, runtime: PathBuf) -> Self {
        (self.program, self.state, self.runtime) = (program, state, runtime);
        self
    }

    fn up(&self) -> Command {
        let mut words = self.wrapper.iter().cloned().chain([self.program.clone().into()]);
        let mut command = Command::new(words.next().expect("there is the program"));
        command.args(words).args(["up", "--foreground", "--state"]).arg(&self.state);
        if self.rename {
            command.args(["--name", &self.name]);
        }
        command.args(&self.args).env("TUTTI_RUNTIME_DIR", &self.runtime);
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// A command for the device.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(TUTTI);
        match &self.device {
            Some(device) => command.args(["--device", device]),
            None => command.arg("--state").arg(&self.state),
        };
        command.args(args).env("TUTTI_RUNTIME_DIR", &self.runtime);
        command
    }

    /// Starts it and waits until it is up.
    pub(crate) fn start(&self) -> Device {
        let log = fs::File::options().create(true).append(true).open(&self.log).expect("a log file");
        let process =
            self.up().stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("the program is there");
        let mut device = Device { name: self.name.clone(), plan: self.clone(), process };
        let start = Instant::now();
        while !device.run(&["status", "--json"]).ok {
            let ended = device.process.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "{} ended: {ended:?}\n{}", self.name, device.log());
            assert!(start.elapsed() < UP, "{} is not up", self.name);
            std::thread::sleep(Duration::from_millis(50));
        }
        if device.plan.device.is_some() {
            // Its name may change.
            device.plan.device = Some(device.id());
        }
        device
    }

    /// Starts it, which has to fail; gives what it said.
    pub(crate) fn refused(&self) -> Ran {
        let ran = Ran::of(self.up(), UP);
        assert!(!ran.ok, "it came up although it should not: {ran:?}");
        ran
    }
}

/// A device that is up.
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) plan: Plan,
    process: Child,
}

impl Device {
    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Runs a command against it.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        Ran::of(self.plan.command(args), PATIENCE)
    }

    /// Runs a command that has to go well; what it printed.
    pub(crate) fn must(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert!(ran.ok, "{}: {args:?} failed: {}", self.name, ran.err);
        ran.out
    }

    /// Runs a listing.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let out = self.must(&[args, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?} gave no JSON ({error}): {out}"))
    }

    /// Its id.
    pub(crate) fn id(&self) -> String {
        self.json(&["status"])["id"].as_str().expect("a device has an id").to_owned()
    }

    /// What it says of another device of its group.
    pub(crate) fn view_of(&self, other: &str) -> Option<Value> {
        self.json(&["devices"]).as_array()?.iter().find(|device| device["name"] == other).cloned()
    }

    /// Whether it sees all of these.
    pub(crate) fn sees(&self, others: &[&str]) -> bool {
        others.iter().all(|other| self.view_of(other).is_some_and(|device| device["presence"] == "online"))
    }

    /// Takes a reading of another device.
    pub(crate) fn reading(&self, of: &str) -> Result<f64, String> {
        let ran = self.run(&["read", of, "--json"]);
        if !ran.ok {
            return Err(ran.err);
        }
        let value: Value = serde_json::from_str(&ran.out).map_err(|error| error.to_string())?;
        value["value"].as_f64().ok_or_else(|| format!("no number in {value}"))
    }

    /// Offers to pair, as `tutti pair --json` does.
    pub(crate) fn offer(&self) -> Offer {
        let command = self.plan.command(&["pair", "--json"]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = command.expect("tutti runs");
        let mut lines = BufReader::new(child.stdout.take().expect("is piped"));
        let mut line = String::new();
        lines.read_line(&mut line).expect("it prints the offer");
        let offer = serde_json::from_str(&line).unwrap_or_else(|error| panic!("no offer ({error}): {line}"));
        Offer { child, offer, lines }
    }

    /// Enters the group of `owner` with the code that it shows.
    pub(crate) fn join(&self, owner: &Self) {
        let offer = owner.offer();
        eventually(Duration::from_secs(5), "the offer is seen nearby", || {
            let nearby = self.json(&["nearby"]);
            nearby.as_array().is_some_and(|list| list.iter().any(|device| device["name"] == owner.name.as_str()))
        });
        self.must(&["pair", &owner.name, "--code", &offer.code(), "--json"]);
        offer.paired();
    }

    /// kill -9
    pub(crate) fn kill(mut self) -> Plan {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
        self.plan.clone()
    }

    /// Ends it in good order.
    pub(crate) fn stop(mut self) -> Plan {
        self.must(&["down"]);
        let start = Instant::now();
        while self.process.try_wait().expect("a child can be waited for").is_none() {
            assert!(start.elapsed() < UP, "{} does not stop", self.name);
            std::thread::sleep(Duration::from_millis(20));
        }
        self.plan.clone()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.plan.log).unwrap_or_default()
    }

    /// The memory that is resident, in bytes (`VmRSS` of proc_pid_status(5)).
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has memory");
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("it is a number");
        kib * 1024
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if self.process.try_wait().is_ok_and(|ended| ended.is_none()) {
            let mut down = self.plan.command(&["down"]);
            let _ = down.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- log of {} ---\n{}", self.name, lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

/// An open offer to pair.
pub(crate) struct Offer {
    child: Child,
    offer: Value,
    lines: BufReader<ChildStdout>,
}

impl Offer {
    fn word(&self, key: &str) -> String {
        self.offer[key].as_str().unwrap_or_else(|| panic!("no {key} in {}", self.offer)).to_owned()
    }

    /// The six digits.
    pub(crate) fn code(&self) -> String {
        self.word("code")
    }

    /// The ticket.
    pub(crate) fn ticket(&self) -> String {
        self.word("ticket")
    }

    /// Waits until the command says that a device has joined.
    pub(crate) fn paired(mut self) {
        let mut rest = String::new();
        let _ = self.lines.read_to_string(&mut rest);
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "the offer failed: {rest}");
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder's files with what they hold and their rights, for seeing that nothing was touched. Without the lock, which
/// says who has it.
pub(crate) fn contents(folder: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("it can be listed").path();
        let about = fs::symlink_metadata(&path).expect("it is there");
        if about.is_dir() {
            all.extend(contents(&path));
        } else if about.is_file() && path.file_name() != Some("lock".as_ref()) {
            all.insert(path.clone(), (about.mode(), fs::read(&path).expect("it can be read")));
        }
    }
    all
}

/// Changes a file's rights.
pub(crate) fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}
