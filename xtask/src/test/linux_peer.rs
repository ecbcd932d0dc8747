//! The layer `linux-peer`: the Linux kernel's own RPMsg drivers against our vhost-user device, and its own remoteproc
//! against our back end for it.
//!
//! The kernel is user-mode Linux, built once from Debian's source package (some 5 minutes of two processors) and kept
//! outside of the tree, in `~/.cache/tutti` (or `$XDG_CACHE_HOME/tutti`), under the package's version and a hash of what
//! it is built by. For RPMsg its one program is `init.c`, and the test that starts both sides is
//! `crates/amp/host/tests/linux_peer.rs`. For remoteproc the kernel has a driver of ours in it, `tutti_remote.c`, and
//! its one program is the test itself, `crates/amp/host/tests/linux_remoteproc.rs`. A run with the kernel at hand takes
//! ten seconds and no privileges. The layer `init` runs devices on the same kernel.

use std::path::{Path, PathBuf};

use crate::{
    cargo::{cargo, has_program},
    process::{Program, target_dir},
};

/// What builds the kernel and the program in it.
pub(crate) const DEBIAN: &str = "linux-source-6.12 flex bison bc gcc make libc6-dev xz-utils";

const PACKAGE: &str = "linux-source-6.12";
const SOURCE: &str = "/usr/src/linux-source-6.12.tar.xz";
const FOLDER: &str = "xtask/src/test/linux_peer";

/// Whether the kernel is there or can be built, and its program too.
pub(crate) fn can_build() -> bool {
    let tools = ["flex", "bison", "bc", "make", "xz"].iter().all(|tool| has_program(tool));
    let library = Path::new("/usr/lib/x86_64-linux-gnu/libc.a").exists();
    has_program("gcc") && library && (built().is_some() || (tools && Path::new(SOURCE).exists()))
}

/// What builds the kernel, if it is not there, and where it is then.
pub(crate) fn kernel() -> Result<(Vec<Program>, PathBuf), String> {
    let folder = match built() {
        Some(folder) => folder,
        None => cache()?.join(format!("uml-{}-{}", version()?, recipe())),
    };
    let kernel = folder.join("linux");
    let mut steps = Vec::new();
    if !kernel.exists() {
        println!("building Linux in {}, once; some 5 minutes", folder.display());
        let script = [format!("{FOLDER}/kernel.sh"), folder.display().to_string(), SOURCE.into()];
        let ours = ["kernel.config", "tutti_remote.c"].map(|file| format!("{FOLDER}/{file}"));
        steps.push(Program::new("sh").args(script).args(ours));
    }
    Ok((steps, kernel))
}

/// The kernel's source, and its version, for whoever builds another kernel of it.
pub(crate) fn source() -> Result<(&'static str, String), String> {
    Ok((SOURCE, version()?))
}

pub(crate) fn steps() -> Result<Vec<Program>, String> {
    let (mut steps, kernel) = kernel()?;
    let init = target_dir().join("xtask/linux-peer-init");
    let compile = ["-static", "-O1", "-Wall", "-Wextra", "-o"];
    steps.push(Program::new("gcc").args(compile).args([&init]).args([format!("{FOLDER}/init.c")]));
    let tests = ["--test", "linux_peer", "--test", "linux_remoteproc", "--", "--nocapture"];
    let test = ["test", "-p", "tutti-amp-host"].into_iter().chain(tests);
    steps.push(cargo(test).env("TUTTI_LINUX", &kernel).env("TUTTI_LINUX_INIT", init));
    let satellite = ["test", "--workspace", "--test", "kernel_satellite", "--", "--nocapture"];
    steps.push(cargo(satellite).env("TUTTI_LINUX", kernel));
    Ok(steps)
}

/// The tests say how each part went; without these lines they have tested nothing.
pub(crate) fn check(output: &str) -> Result<String, String> {
    let parts: Vec<_> = output.lines().filter_map(|line| line.strip_prefix("ok ")).collect();
    let last = |what: &str| parts.iter().any(|part| part.starts_with(what));
    let echoes = parts.iter().find_map(|part| part.strip_prefix("echo: "));
    match (echoes, last("restart 2"), last("remoteproc attach"), last("satellite again")) {
        (Some(echoes), true, true, true) => Ok(format!("{echoes}; remoteproc too, and a satellite behind its bus")),
        (Some(_), true, true, false) => Err("the satellite did not come to its end".into()),
        (Some(_), true, false, _) => Err("remoteproc did not come to its end".into()),
        _ => Err("it did not come to its end".into()),
    }
}

/// The folder of a kernel that this recipe has built, of whichever version.
fn built() -> Option<PathBuf> {
    let entries = std::fs::read_dir(cache().ok()?).ok()?;
    let mut found: Vec<_> = entries.flatten().map(|entry| entry.path()).filter(|path| is_built(path)).collect();
    found.sort();
    let newest = version().ok().map(|version| format!("uml-{version}-{}", recipe()));
    // With the source at hand, a kernel of another version is out of date.
    found.into_iter().rfind(|path| newest.as_ref().is_none_or(|newest| path.ends_with(newest)))
}

fn is_built(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("uml-") && name.ends_with(&recipe()) && folder.join("linux").exists()
}

fn cache() -> Result<PathBuf, String> {
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let cache = cache.or_else(home).ok_or("neither XDG_CACHE_HOME nor HOME says where to keep the kernel")?;
    Ok(cache.join("tutti"))
}

/// The version of the source package, if it is installed.
fn version() -> Result<String, String> {
    if !Path::new(SOURCE).exists() {
        return Err(format!("there is no {SOURCE}"));
    }
    let version = Program::new("dpkg-query").args(["-W", "-f", "${Version}", PACKAGE]).output()?;
    let version = String::from_utf8_lossy(&version).trim().to_owned();
    // It becomes the name of a folder.
    Ok(version.replace(|char: char| !char.is_ascii_alphanumeric() && !".-+~".contains(char), "_"))
}

/// A hash of what the kernel is built by: FNV-1a, 64 bits.
fn recipe() -> String {
    let parts = [
        include_bytes!("linux_peer/kernel.sh").as_slice(),
        include_bytes!("linux_peer/kernel.config"),
        include_bytes!("linux_peer/tutti_remote.c"),
    ];
    let hash = parts
        .concat()
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_passed_when_its_last_part_was_seen() {
        let first = "ok echo: 20377 messages of 0 to 496 bytes over /dev/rpmsg0, 50 us each\n";
        let peer = format!("running 1 test\n{first}ok restart 2: the device was killed\n");
        let remoteproc = format!("{peer}ok remoteproc attach: attached twice\n");
        let all = format!("{remoteproc}ok satellite again: after the device was killed\n");
        assert!(check(&all).unwrap().starts_with("20377 messages"));
        assert!([&remoteproc, &peer, first, ""].iter().all(|said| check(said).is_err()));
    }
}
