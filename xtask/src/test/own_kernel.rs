//! The layer `own-kernel`: a kernel that is built for one product alone, from the fragment that `tutti image kernel` writes of it, and the
//! product booted on it in as much memory as a distribution's kernel would not even begin in.
//!
//! The test is `crates/cli/tests/image/own_kernel.rs`, and the script that builds the kernel `own_kernel.sh`. The benchmark `image` measures on
//! the same kernel.

use std::{fs, path::PathBuf, time::Duration};

use super::{
    kinds::{said, some_tests},
    linux_peer,
};
use crate::{
    cargo::cargo,
    needs::{self, Need},
    process::{Program, Progress, target_dir},
};

/// What building the kernel needs of the machine.
const TO_BUILD: [Need; 2] =
    [Need::LinuxSource, Need::File { path: "/usr/include/gelf.h", package: "libelf-dev libssl-dev" }];

/// What the layer needs.
pub(crate) const NEEDS: &[Need] =
    &[Need::Build, TO_BUILD[0], TO_BUILD[1], Need::Program { name: "qemu-system-x86_64", package: "qemu-system-x86" }];

/// The parts that must have been seen.
const PARTS: [&str; 3] = ["own kernel", "own-kernel boots", "own-kernel left"];

/// The product that the kernel is for.
const PRODUCT: &str = "products/gateway";

/// The variable that names the kernel to tests and benchmarks.
const VARIABLE: &str = "TUTTI_OWN_KERNEL";

/// For the benchmark, to which neither the kernel nor the optimised `tutti` may be there yet.
const LIMIT: Duration = Duration::from_secs(3600);

fn link() -> PathBuf {
    target_dir().join("xtask/own-kernel")
}

/// What builds the kernel, if it is not there, and where it is then. `tutti` says what it is built by; `how` is how that is compiled.
fn kernel(how: &[&str]) -> Result<(Vec<Program>, PathBuf), String> {
    let fragment = target_dir().join("xtask/own-kernel.config");
    let write = cargo(["run", "-q"]).args(how).args(["--", "image", "kernel", PRODUCT, "-o"]).args([&fragment]);
    let (source, version) = linux_peer::source()?;
    let build = Program::new("sh").args(["xtask/src/test/own_kernel.sh"]).args([link()]).args([source, &version]);
    Ok((vec![write, build.args([fragment])], link().join("bzImage")))
}

pub(crate) fn steps() -> Result<Vec<Program>, String> {
    let (mut steps, kernel) = kernel(&[])?;
    // What a device has in the end: 64 MiB are too few for programs that are not optimised.
    steps.push(cargo(["build", "--release", "-p", "tutti-cli", "-p", "tutti-init"]));
    let test = ["test", "--workspace", "--test", "image", "own_kernel", "--", "--nocapture", "--test-threads=1"];
    steps.push(cargo(test).env(VARIABLE, kernel).env("TUTTI_OWN_PROGRAMS", target_dir().join("release")));
    Ok(steps)
}

pub(crate) fn check(output: &str) -> Result<String, String> {
    some_tests(output)?;
    said(output, &PARTS)
}

/// Builds the kernel for the benchmark: the setting that tells it where.
pub(crate) fn for_bench() -> Result<Vec<(&'static str, PathBuf)>, String> {
    needs::install(&TO_BUILD);
    if let Some(missing) = needs::missing(&TO_BUILD) {
        println!("without a kernel of the product's own: {missing}");
        return Ok(Vec::new());
    }
    let (steps, kernel) = kernel(&["--release", "-p", "tutti-cli"])?;
    let log = target_dir().join("xtask/own-kernel.log");
    let _ = fs::remove_file(&log);
    let mut progress = Progress::new("own-kernel");
    for step in steps {
        if let Err(error) = step.run(&log, None, LIMIT, &mut progress) {
            progress.clear();
            return Err(format!("{error}; see {}", log.display()));
        }
    }
    progress.clear();
    Ok(vec![(VARIABLE, kernel)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_passed_when_the_device_was_seen_to_leave() {
        let all: String = PARTS.iter().map(|part| format!("ok {part}: 7 of {part}\n")).collect();
        let all = format!("{all}test result: ok. 1 passed; 0 failed\n");
        assert!(check(&all).unwrap().ends_with("7 of own-kernel left"));
        assert!(check(&all.replace("ok own-kernel left", "left")).is_err() && check("").is_err());
    }
}
