//! Debian's packages (a kernel, a rescue shell), for this processor or another, from this machine's own apt sources.
//!
//! apt keeps its state for this in a folder of ours: the machine's own lists and packages stay as they are, and no
//! privileges are needed. What was unpacked once is taken again; [`Cache::refresh`] looks for a newer one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{Kernel, KernelError};

/// No step takes longer.
const LIMIT: Duration = Duration::from_secs(600);

/// Where packages are kept.
#[derive(Debug, Clone)]
pub struct Cache {
    folder: PathBuf,
    /// Look for a newer package although there is one.
    pub refresh: bool,
}

impl Cache {
    /// In this folder; it need not be there.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), refresh: false }
    }

    /// In `$XDG_CACHE_HOME/tutti` or `~/.cache/tutti`.
    pub fn of_user() -> Option<Self> {
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        Some(Self::new(cache.or_else(home)?.join("tutti")))
    }

    /// Whether a package is here already.
    pub fn has(&self, package: &str, architecture: &str) -> bool {
        debian_word(architecture).is_some_and(|word| self.unpacked(package, word).is_dir())
    }

    fn unpacked(&self, package: &str, architecture: &str) -> PathBuf {
        self.folder.join("debian").join(architecture).join("unpacked").join(package)
    }

    /// A kernel package, fetched if it is not here yet. `architecture` is Linux's word.
    ///
    /// # Errors
    /// There is no apt, no such package, or no network.
    pub fn kernel(&self, package: &str, architecture: &str, say: &mut dyn FnMut(&str)) -> Result<Kernel, KernelError> {
        Kernel::of_package(&self.package(package, architecture, say)?)
    }

    /// The folder that a package is unpacked in; it is fetched if it is not here yet.
    ///
    /// # Errors
    /// There is no apt, no such package, or no network.
    pub fn package(
        &self,
        package: &str,
        architecture: &str,
        say: &mut dyn FnMut(&str),
    ) -> Result<PathBuf, KernelError> {
        let fetch = |what: String| KernelError::Fetch(what);
        let debian = debian_word(architecture);
        let architecture = debian.ok_or_else(|| {
            fetch(format!("no package of Debian's is known for {architecture}; name a kernel's files in [kernel]"))
        })?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-.+".contains(c);
        if package.is_empty() || !package.chars().all(allowed) || package.starts_with('-') {
            return Err(fetch(format!("{package:?} is no name of a Debian package")));
        }
        let at = self.folder.join("debian").join(architecture);
        let unpacked = self.unpacked(package, architecture);
        if unpacked.is_dir() && !self.refresh {
            return Ok(unpacked);
        }
        let apt = Apt { at: &at, architecture };
        apt.prepare().map_err(|error| fetch(format!("{}: {error}", at.display())))?;
        if self.refresh || !apt.knows(package) {
            say("asking apt which packages there are");
            apt.run("apt-get", &["update"]).map_err(fetch)?;
        }
        let real = apt.real(package).map_err(fetch)?;
        say(&format!("fetching {real}"));
        let work = at.join(format!("work.{}", std::process::id()));
        let result = apt.unpack(&real, &work).map_err(fetch).and_then(|tree| {
            let _ = fs::remove_dir_all(&unpacked);
            let parent = unpacked.parent().unwrap_or(&at);
            let moved = fs::create_dir_all(parent).and_then(|()| fs::rename(&tree, &unpacked));
            moved.map_err(|error| KernelError::File(unpacked.clone(), error))
        });
        let _ = fs::remove_dir_all(&work);
        result.map(|()| unpacked)
    }
}

/// Debian's word for a processor.
fn debian_word(architecture: &str) -> Option<&'static str> {
    match architecture {
        "x86_64" => Some("amd64"),
        "aarch64" => Some("arm64"),
        _ => None,
    }
}

struct Apt<'a> {
    at: &'a Path,
    architecture: &'a str,
}

impl Apt<'_> {
    fn prepare(&self) -> std::io::Result<()> {
        for folder in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(self.at.join(folder))?;
        }
        fs::write(self.at.join("status"), "")
    }

    fn command(&self, tool: &str, args: &[&str]) -> Command {
        let mut command = Command::new(tool);
        let at = |what: &str, place: &str| format!("{what}={}", self.at.join(place).display());
        let options = [
            format!("APT::Architecture={}", self.architecture),
            format!("APT::Architectures={}", self.architecture),
            "APT::Sandbox::User=".into(),
            at("Dir::State", "state"),
            at("Dir::State::status", "status"),
            at("Dir::Cache", "cache"),
            "Acquire::Languages=none".into(),
            "Acquire::Retries=3".into(),
            "Acquire::http::Timeout=30".into(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
        ];
        command.arg("-q");
        for option in &options {
            command.args(["-o", option]);
        }
        command.args(args);
        command
    }

    fn run(&self, tool: &str, args: &[&str]) -> Result<String, String> {
        run(&mut self.command(tool, args), self.at)
    }

    fn knows(&self, package: &str) -> bool {
        self.run("apt-cache", &["show", package]).is_ok()
    }

    /// The package that another, empty one stands for.
    fn real(&self, package: &str) -> Result<String, String> {
        let text = self.run("apt-cache", &["depends", package])?;
        let depends = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        let kernel = |name: &&str| {
            name.strip_prefix("linux-image-").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        Ok(depends.into_iter().find(kernel).unwrap_or(package).to_owned())
    }

    /// Downloads and unpacks a package below `work`.
    fn unpack(&self, package: &str, work: &Path) -> Result<PathBuf, String> {
        let io = |error: std::io::Error| format!("{}: {error}", work.display());
        let _ = fs::remove_dir_all(work);
        fs::create_dir_all(work).map_err(io)?;
        let mut download = self.command("apt-get", &["download", package]);
        run(download.current_dir(work), self.at)?;
        let is_deb = |path: &PathBuf| path.extension().is_some_and(|end| end == "deb");
        let deb = fs::read_dir(work).map_err(io)?.flatten().map(|entry| entry.path()).find(is_deb);
        let deb = deb.ok_or_else(|| format!("apt downloaded no file for {package}"))?;
        let tree = work.join("tree");
        run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&tree), self.at)?;
        Ok(tree)
    }
}

/// Runs a program to its end, within [`LIMIT`]; what it printed.
fn run(command: &mut Command, at: &Path) -> Result<String, String> {
    let shown = command.get_program().to_string_lossy().into_owned();
    let log = |name: &str| at.join(format!("{name}.{}", std::process::id()));
    let (out, err) = (log("out"), log("err"));
    let create = |path: &Path| fs::File::create(path).map_err(|error| format!("{}: {error}", path.display()));
    command.stdin(Stdio::null()).stdout(create(&out)?).stderr(create(&err)?);
    let mut child = command.spawn().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            format!("there is no {shown} here; on another system than Debian, name the kernel's files in [kernel]")
        }
        _ => format!("{shown}: {error}"),
    })?;
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status.success()),
            Ok(None) if start.elapsed() > LIMIT => break Err(format!("{shown} was not done in {} s", LIMIT.as_secs())),
            Ok(None) => thread::sleep(Duration::from_millis(20)),
            Err(error) => break Err(format!("{shown}: {error}")),
        }
    };
    if status.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let read = |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    let (printed, said) = (read(&out), read(&err));
    let _ = (fs::remove_file(&out), fs::remove_file(&err));
    match status {
        Ok(true) => Ok(printed),
        Ok(false) => Err(format!("{shown} failed: {}", said.trim().lines().last().unwrap_or("it does not say why"))),
        Err(error) => Err(error),
    }
}
