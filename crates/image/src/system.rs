//! The files of a standard system: everything that Linux unpacks into memory and runs.
//!
//! Programs come without what only debuggers read, and with the libraries that they name, where their loader looks for
//! them. What is here is read-only as far as the system goes: state is elsewhere, on a partition or in memory.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use crate::{
    cpio::{Archive, Kind},
    elf::Elf,
    kernel::modules::Chosen,
    product::{Group, Network, Product},
};

/// The folders that a system has to find.
const FOLDERS: [&str; 10] =
    ["/dev", "/proc", "/sys", "/run", "/tmp", "/state", "/mnt", "/var/lib/tutti", "/etc/tutti", "/root"];

/// The most libraries of one program.
const MAX_LIBRARIES: usize = 64;

/// The programs of a system.
#[derive(Debug, Clone)]
pub struct Programs {
    /// The command `tutti`, which is also the node.
    pub tutti: PathBuf,
    /// The same without what runs apps, for products that do not; half as large.
    pub without_apps: Option<PathBuf>,
    /// The first process.
    pub init: PathBuf,
    /// The shell for a product that asks for a rescue shell.
    pub shell: Option<PathBuf>,
}

/// Where the rescue shell is.
pub(crate) const SHELL: &str = "/bin/busybox";

/// Why a program cannot be in the image.
#[derive(Debug)]
pub enum ProgramError {
    /// It cannot be read.
    File(PathBuf, std::io::Error),
    /// It is no program.
    Form(PathBuf),
    /// It is a program of another processor.
    Processor {
        /// Which program.
        path: PathBuf,
        /// What it is for, as far as that is known.
        of: Option<&'static str>,
        /// What it has to be for.
        wanted: String,
    },
    /// A library is nowhere.
    Library {
        /// Which.
        name: String,
        /// Who needs it.
        of: PathBuf,
    },
}

impl std::fmt::Display for ProgramError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Form(path) => write!(f, "{} is no program of Linux", path.display()),
            Self::Processor { path, of, wanted } => {
                let of = of.unwrap_or("another processor");
                write!(f, "{} is for {of}, and the device is {wanted}", path.display())
            }
            Self::Library { name, of } => write!(f, "{} needs {name}, which is not on this machine", of.display()),
        }
    }
}

impl std::error::Error for ProgramError {}

impl ProgramError {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::File(path, _) | Self::Form(path) => {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                format!(
                    "build it in Tutti's sources (cargo build -p tutti-cli -p tutti-init), and name the folder that {name} is in: --programs DIR"
                )
            }
            Self::Processor { wanted, .. } => {
                let build = match wanted.as_str() {
                    "aarch64" => "cargo xtask programs aarch64 --release".to_owned(),
                    other => {
                        format!("cargo build --release --target {other}-unknown-linux-gnu -p tutti-cli -p tutti-init")
                    }
                };
                format!(
                    "build both for it in Tutti's sources ({build}), and name the folder that they are in: --programs DIR"
                )
            }
            Self::Library { .. } => {
                "install it; Debian has libraries of another processor in packages such as libc6-arm64-cross".into()
            }
        }
    }
}

impl Programs {
    /// Whether they are there and for this processor, which is soon said.
    ///
    /// # Errors
    /// One is not.
    pub fn check(&self, architecture: &str) -> Result<(), ProgramError> {
        let all = [&self.tutti, &self.init].into_iter().chain(&self.without_apps);
        all.into_iter().try_for_each(|path| fits(path, &head(path)?, architecture))
    }
}

/// Processors that Linux runs on, by its words, with their numbers in the ABI.
const MACHINES: [(&str, u16); 3] = [("x86_64", 62), ("aarch64", 183), ("riscv64", 243)];

/// Whether it is for this processor.
pub(crate) fn is_for(elf: &Elf<'_>, architecture: &str) -> bool {
    elf.is_wide() && MACHINES.contains(&(architecture, elf.machine()))
}

/// A program of this processor.
fn read(path: &Path, architecture: &str) -> Result<Vec<u8>, ProgramError> {
    let bytes = fs::read(path).map_err(|error| ProgramError::File(path.into(), error))?;
    fits(path, &bytes, architecture).map(|()| bytes)
}

/// As much of a program as says what it is for.
fn head(path: &Path) -> Result<Vec<u8>, ProgramError> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(64).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| ProgramError::File(path.into(), error))
}

/// Whether these bytes begin a program of this processor.
fn fits(path: &Path, bytes: &[u8], architecture: &str) -> Result<(), ProgramError> {
    let elf = Elf::new(bytes).ok_or_else(|| ProgramError::Form(path.into()))?;
    if is_for(&elf, architecture) {
        return Ok(());
    }
    let of = MACHINES.iter().find(|(_, machine)| elf.is_wide() && *machine == elf.machine()).map(|(name, _)| *name);
    Err(ProgramError::Processor { path: path.into(), of, wanted: architecture.to_owned() })
}

/// Where libraries of a processor are: on this machine, and in the image. Debian's places for its own and for those of
/// other processors, and those of other distributions.
fn places(architecture: &str) -> Vec<(PathBuf, &'static str)> {
    let (triple, own) = match architecture {
        "aarch64" => ("aarch64-linux-gnu", "/lib/aarch64-linux-gnu"),
        "riscv64" => ("riscv64-linux-gnu", "/lib/riscv64-linux-gnu"),
        _ => ("x86_64-linux-gnu", "/lib/x86_64-linux-gnu"),
    };
    let places = [
        (format!("/lib/{triple}"), own),
        (format!("/usr/lib/{triple}"), own),
        (format!("/usr/{triple}/lib"), own),
        ("/lib64".into(), "/lib64"),
        ("/usr/lib64".into(), "/lib64"),
        ("/lib".into(), "/lib"),
        ("/usr/lib".into(), "/lib"),
    ];
    places.into_iter().map(|(from, to)| (PathBuf::from(from), to)).collect()
}

/// Puts a program with its libraries into an archive.
///
/// # Errors
/// See [`ProgramError`].
pub(crate) fn put_program(
    archive: &mut Archive,
    from: &Path,
    to: &str,
    architecture: &str,
    why: &str,
) -> Result<(), ProgramError> {
    let bytes = read(from, architecture)?;
    let elf = Elf::new(&bytes).ok_or_else(|| ProgramError::Form(from.into()))?;
    archive.program(to, elf.stripped(), why);
    let places = places(architecture);
    let mut open: Vec<String> = elf.libraries().into_iter().map(str::to_owned).collect();
    let mut seen = BTreeSet::new();
    if let Some(loader) = elf.interpreter() {
        let name = loader.rsplit('/').next().unwrap_or(loader);
        let here = std::iter::once(PathBuf::from(loader)).chain(places.iter().map(|(from, _)| from.join(name)));
        let bytes = here.into_iter().find_map(|path| library(&path, architecture));
        let bytes = bytes.ok_or_else(|| ProgramError::Library { name: loader.into(), of: from.into() })?;
        seen.insert(name.to_owned());
        archive.program(loader, bytes, "starts programs that are not static");
    }
    while let Some(name) = open.pop() {
        if name.contains('/') || seen.len() > MAX_LIBRARIES || !seen.insert(name.clone()) {
            continue;
        }
        let found = places.iter().find_map(|(place, to)| Some((library(&place.join(&name), architecture)?, *to)));
        let (bytes, to) = found.ok_or_else(|| ProgramError::Library { name: name.clone(), of: from.into() })?;
        open.extend(
            Elf::new(&bytes)
                .map(|elf| elf.libraries().into_iter().map(str::to_owned).collect::<Vec<_>>())
                .unwrap_or_default(),
        );
        let program = from.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let path = format!("{to}/{name}");
        if !archive.contains(&path) {
            archive.program(&path, bytes, format!("{program} needs it"));
        }
    }
    Ok(())
}

/// A library's bytes without what only debuggers read, if it is one of this processor.
fn library(path: &Path, architecture: &str) -> Option<Vec<u8>> {
    let bytes = fs::read(path).ok()?;
    let elf = Elf::new(&bytes)?;
    is_for(&elf, architecture).then(|| elf.stripped())
}

/// Puts the folders and devices that a system has to find.
pub(crate) fn put_skeleton(archive: &mut Archive) {
    FOLDERS.iter().for_each(|folder| archive.put(folder, 0o755, Kind::Folder, ""));
    archive.put("/tmp", 0o1777, Kind::Folder, "");
    // The first process writes there who knows addresses.
    archive.put("/etc/resolv.conf", 0o777, Kind::Link("/run/resolv.conf".into()), "");
    // The kernel opens it for the first process before that can make any.
    archive.put("/dev/console", 0o600, Kind::Device { major: 5, minor: 1 }, "");
}

/// Puts modules with their lists.
pub(crate) fn put_modules(archive: &mut Archive, release: &str, chosen: &Chosen) {
    let folder = format!("/lib/modules/{release}");
    for module in chosen.modules.values() {
        archive.file(&format!("{folder}/{}", module.path), module.bytes.clone(), module.why.clone());
    }
    let lists = [("dep", chosen.dep()), ("alias", chosen.alias()), ("builtin", chosen.builtin().to_owned())];
    for (name, text) in lists {
        archive.file(&format!("{folder}/modules.{name}"), text.into_bytes(), "says which module drives which hardware");
    }
}

/// A packed system on a disk.
pub(crate) struct Packed {
    /// Which disk.
    pub(crate) device: String,
    /// Its bytes.
    pub(crate) size: usize,
    /// Their digest.
    pub(crate) digest: String,
}

/// What the first process is told: `/etc/tutti/device.toml`, in the form that `tutti_init::settings` reads.
pub(crate) fn settings(
    product: &Product,
    modules: &[String],
    gpio: &[&str],
    key: &str,
    packed: Option<&Packed>,
    watchdog: bool,
) -> String {
    // A string of JSON is one of TOML.
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let list = |list: &[String]| list.iter().map(|it| quoted(it)).collect::<Vec<_>>().join(", ");
    let mut out = String::new();
    let _ = writeln!(out, "hostname = {}", quoted(&product.name.value));
    let _ = writeln!(out, "product = {}", quoted(&product.name.value));
    let _ = writeln!(out, "version = {}", quoted(&product.version.value.to_string()));
    let _ = writeln!(out, "modules = [{}]", list(modules));
    if !gpio.is_empty() {
        let lines: Vec<_> = gpio.iter().map(|it| quoted(it)).collect();
        let _ = writeln!(out, "gpio-sim = [{}]", lines.join(", "));
    }
    match &product.network {
        Network::Dhcp => out += "\n[network]\nmode = \"dhcp\"\n",
        Network::Static { address, gateway } => {
            let _ = writeln!(out, "\n[network]\nmode = \"static\"\naddress = {}", quoted(address));
            if let Some(gateway) = gateway {
                let _ = writeln!(out, "gateway = {}", quoted(gateway));
            }
        }
    }
    out += "\n[node]\n";
    if let Group::Ticket(ticket) = &product.group {
        let _ = writeln!(out, "join = {}", quoted(ticket));
    }
    if watchdog {
        out += "\n[watchdog]\ndevice = \"/dev/watchdog\"\n";
    }
    if let Some(Packed { device, size, digest }) = packed {
        let _ = writeln!(out, "\n[system]\ndevice = {}\nsize = {size}\ndigest = {}", quoted(device), quoted(digest));
    }
    // Which system to start has to outlast a power cut, so there are updates only where there is a disk.
    if let Some(state) = &product.state {
        let _ = writeln!(out, "\n[state]\ndevice = {}\n\n[update]\nkey = {}", quoted(&state.value), quoted(key));
        if let Some(deadline) = product.deadline {
            let _ = writeln!(out, "deadline = {deadline}");
        }
        if let Some(tries) = product.tries {
            let _ = writeln!(out, "tries = {tries}");
        }
    }
    out
}

/// The same settings with the ticket of another group, more arguments for the node, and commands that are to be done once.
pub(crate) fn for_group(settings: &str, ticket: Option<&str>, arguments: &[String], once: &[Vec<String>]) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let mut more = String::new();
    if let Some(ticket) = ticket {
        let _ = writeln!(more, "join = {}", quoted(ticket));
    }
    let list = |words: &[String]| format!("[{}]", words.iter().map(|it| quoted(it)).collect::<Vec<_>>().join(", "));
    if !arguments.is_empty() {
        let _ = writeln!(more, "arguments = {}", list(arguments));
    }
    if !once.is_empty() {
        let commands: Vec<_> = once.iter().map(|words| list(words)).collect();
        let _ = writeln!(more, "once = [{}]", commands.join(", "));
    }
    let own = |line: &&str| !line.starts_with("join = ") || ticket.is_none();
    let lines = settings.lines().filter(own).map(|line| format!("{line}\n"));
    lines.collect::<String>().replace("[node]\n", &format!("[node]\n{more}"))
}

/// Where the command is, which is the node as well.
pub(crate) const TUTTI: &str = "/usr/bin/tutti";

/// Where the settings are.
pub const SETTINGS: &str = "/etc/tutti/device.toml";
