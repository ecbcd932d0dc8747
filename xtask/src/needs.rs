//! What the layers need of the machine, and how it is got.
//!
//! Nothing is installed without being named first. As root, Debian packages are installed by apt; parts of the Rust
//! toolchain by rustup, which needs no root. What cannot be had is named with what to do about it.

use std::{fmt, fs, path::Path, time::Duration};

use crate::{
    cargo::{clippy_driver, has_program},
    firmware,
    process::{Program, Progress, target_dir},
    test::{arm64, linux_peer},
};

/// Something that a layer cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// The whole workspace with its tests, built.
    Build,
    /// The right to change the network of a namespace.
    Root,
    /// A program, and the Debian packages that it takes.
    Program { name: &'static str, package: &'static str },
    /// A file, and the Debian package that it comes with.
    File { path: &'static str, package: &'static str },
    /// `cargo fmt`.
    Rustfmt,
    /// The linting compiler.
    Clippy,
    /// Rust for 64-bit Arm: of rustup or of Debian.
    Arm64Compiler,
    /// Rust for the microcontrollers of `firmware/`: of rustup or of Debian.
    FirmwareCompiler,
    /// Debian's packages as files.
    Apt,
    /// Python that makes virtual environments.
    PythonVenv,
    /// A Linux kernel that was built before, or its source and what builds it.
    LinuxSource,
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Build => f.write_str("the build"),
            Self::Root => f.write_str("root"),
            Self::Program { name, .. } => f.write_str(name),
            Self::File { path, .. } => f.write_str(path),
            Self::Rustfmt => f.write_str("rustfmt"),
            Self::Clippy => f.write_str("clippy"),
            Self::Arm64Compiler => write!(f, "Rust for {}", arm64::TARGET),
            Self::FirmwareCompiler => write!(f, "Rust for {} and {}", firmware::TARGET, firmware::TARGET_M4),
            Self::Apt => f.write_str("Debian's apt"),
            Self::PythonVenv => f.write_str("Python with venv"),
            Self::LinuxSource => f.write_str("the source of Linux (on x86-64)"),
        }
    }
}

impl Need {
    pub(crate) fn met(self) -> bool {
        match self {
            Self::Build => true,
            Self::Root => is_root(),
            Self::Program { name, .. } => has_program(name),
            Self::File { path, .. } => Path::new(path).exists(),
            Self::Rustfmt => Program::new("rustfmt").args(["--version"]).output().is_ok(),
            Self::Clippy => clippy_driver().is_ok(),
            Self::Arm64Compiler => arm64::has_compiler(),
            Self::FirmwareCompiler => firmware::has_compiler(),
            Self::Apt => has_program("apt-get") && has_program("dpkg-deb"),
            // Debian's Python has the module without what it installs.
            Self::PythonVenv => Program::new("python3").args(["-c", "import venv, ensurepip"]).output().is_ok(),
            Self::LinuxSource => linux_peer::can_build(),
        }
    }

    /// What to type to get it.
    fn cure(self) -> String {
        match self {
            Self::Build => String::new(),
            Self::Root => "run this as root".into(),
            Self::Program { package, .. } | Self::File { package, .. } => format!("apt-get install {package}"),
            Self::Rustfmt => "rustup component add rustfmt".into(),
            Self::Clippy => "rustup component add clippy".into(),
            Self::Arm64Compiler => {
                format!("rustup target add {}, or apt-get install {}", arm64::TARGET, arm64::DEBIAN)
            }
            Self::FirmwareCompiler => {
                let targets = [firmware::TARGET, firmware::TARGET_M4].join(" ");
                format!("rustup target add {targets}, or apt-get install {}", firmware::DEBIAN)
            }
            Self::Apt => "run this on Debian, whose kernel packages are compared with".into(),
            Self::PythonVenv => "apt-get install python3-venv".into(),
            Self::LinuxSource => format!("apt-get install {}", linux_peer::DEBIAN),
        }
    }

    /// The Debian packages that meet it.
    fn package(self) -> Option<&'static str> {
        match self {
            Self::Program { package, .. } | Self::File { package, .. } => Some(package),
            Self::Arm64Compiler => Some(arm64::DEBIAN),
            Self::FirmwareCompiler => Some(firmware::DEBIAN),
            Self::PythonVenv => Some("python3-venv"),
            Self::LinuxSource => Some(linux_peer::DEBIAN),
            _ => None,
        }
    }

    fn for_rustup(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Rustfmt => Some(&["component", "add", "rustfmt"]),
            Self::Clippy => Some(&["component", "add", "clippy"]),
            Self::Arm64Compiler => Some(&["target", "add", arm64::TARGET]),
            Self::FirmwareCompiler => Some(&["target", "add", firmware::TARGET, firmware::TARGET_M4]),
            _ => None,
        }
    }
}

/// What is missing of these needs and how to get it, as a sentence; nothing if all are met.
pub(crate) fn missing(needs: &[Need]) -> Option<String> {
    let missing: Vec<_> = needs.iter().filter(|need| !need.met()).collect();
    if missing.is_empty() {
        return None;
    }
    let each = |need: &&Need| format!("needs {need} ({})", need.cure());
    Some(missing.iter().map(each).collect::<Vec<_>>().join(", "))
}

/// Installs what is missing of these needs as far as that is possible here.
///
/// # Errors
/// What is missing then, and how to get it.
pub(crate) fn demand(needs: &[Need]) -> Result<(), String> {
    install(needs);
    missing(needs).map_or(Ok(()), Err)
}

/// Installs what is missing of these needs as far as that is possible here, saying so first. What cannot be installed
/// stays missing: the layers that need it say so.
pub(crate) fn install(needs: &[Need]) {
    let missing: Vec<_> = needs.iter().copied().filter(|need| !need.met()).collect();
    let mut packages: Vec<_> =
        missing.iter().filter_map(|need| need.package()).flat_map(str::split_whitespace).collect();
    packages.sort_unstable();
    packages.dedup();
    if !packages.is_empty() {
        let names = packages.join(" ");
        if is_root() && has_program("apt-get") {
            println!("installing with apt: {names}");
            apt(&packages);
        } else {
            println!("not root, so not installed: {names}");
            println!("  to get all layers: sudo apt-get install {names}");
        }
    }
    // What Debian's packages have met by now needs no download.
    for args in missing.iter().filter(|need| !need.met()).filter_map(|need| need.for_rustup()) {
        if has_program("rustup") {
            println!("installing: rustup {}", args.join(" "));
            run(Program::new("rustup").args(args));
        }
    }
}

fn apt(packages: &[&str]) {
    let install = || {
        Program::new("apt-get")
            .args(["install", "-y", "-q", "--no-install-recommends"])
            .args(packages)
            .env("DEBIAN_FRONTEND", "noninteractive")
    };
    // The lists may be absent (as in a fresh container) or out of date.
    if !run(install()) && run(Program::new("apt-get").args(["update", "-q"])) {
        run(install());
    }
}

/// Runs an installer; shows what it said if it failed.
fn run(program: Program) -> bool {
    let folder = target_dir().join("xtask");
    let log = folder.join("setup.log");
    let _ = fs::create_dir_all(&folder);
    let _ = fs::remove_file(&log);
    let mut progress = Progress::new(program.shown());
    let result = program.run(&log, None, Duration::from_secs(600), &mut progress);
    progress.clear();
    if let Err(error) = &result {
        print!("{}", fs::read_to_string(&log).unwrap_or_default());
        println!("  that did not work: {error}");
    }
    result.is_ok()
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    effective_user(&fs::read_to_string(Path::new("/proc/self/status")).unwrap_or_default()) == Some(0)
}

fn effective_user(status: &str) -> Option<u32> {
    let ids = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    ids.split_whitespace().nth(1)?.parse().ok()
}

/// Whether this is a run that nobody watches, where nothing may be left out.
pub(crate) fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|ci| !matches!(ci.as_str(), "" | "0" | "false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_effective_user_decides() {
        assert_eq!(effective_user("Name:\tx\nUid:\t1000\t0\t0\t0\n"), Some(0));
        assert_eq!(effective_user("Uid:\t1000\t1000\t0\t0\n"), Some(1000));
        assert_eq!(effective_user(""), None);
    }

    #[test]
    fn what_is_missing_is_named_with_its_cure() {
        assert_eq!(missing(&[Need::Build, Need::Program { name: "sh", package: "dash" }]), None);
        let absent = Need::Program { name: "no-such-program", package: "nothing" };
        assert_eq!(missing(&[absent]).as_deref(), Some("needs no-such-program (apt-get install nothing)"));
    }
}
