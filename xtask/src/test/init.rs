//! The layer `init`: devices that `tutti-init` boots, on a real kernel.
//!
//! The kernel is that of the layer `linux-peer`. Each test boots machines of its own, which are processes of this user:
//! `init_boot` brings devices up and switches them off, `init_network` is the network of one, `init_update` gives them new
//! systems and cuts their power at seeded moments (six of them; `--full`: 30).

use super::{layers::Context, linux_peer};
use crate::{cargo::cargo, needs::Need, process::Program};

pub(crate) const NEEDS: &[Need] = &[
    Need::Build,
    Need::LinuxSource,
    Need::File { path: "/sbin/mke2fs", package: "e2fsprogs" },
    Need::File { path: "/sbin/debugfs", package: "e2fsprogs" },
];

const TESTS: [&str; 4] = ["init_boot", "init_hardware", "init_network", "init_update"];

pub(crate) fn steps(context: &Context) -> Result<Vec<Program>, String> {
    let (mut steps, kernel) = linux_peer::kernel()?;
    // The stand-in for the node is an example, which tests that are named do not build.
    steps.push(cargo(["build", "-p", "tutti-init", "--examples"]));
    let cuts = if context.full || std::env::var_os("TUTTI_FULL").is_some() { "100" } else { "30" };
    let named = TESTS.iter().flat_map(|test| ["--test", test]);
    let tests = cargo(["test", "-p", "tutti-init"]).args(named).args(["--", "--nocapture", "--test-threads=2"]);
    steps.push(tests.env("TUTTI_LINUX", kernel).env("TUTTI_POWER_CUTS", cuts));
    Ok(steps)
}

/// The tests say how each part went; without these lines they have tested nothing.
pub(crate) fn check(output: &str) -> Result<String, String> {
    let parts: Vec<_> = output.lines().filter_map(|line| line.strip_prefix("ok ")).collect();
    let wanted = [
        "boot 2",
        "boot log",
        "boot supervision",
        "boot faults",
        "boot reboot",
        "network",
        "hardware",
        "update good",
        "update fallback",
        "update unfit",
        "update power",
    ];
    match wanted.iter().find(|wanted| !parts.iter().any(|part| part.starts_with(**wanted))) {
        Some(missing) => Err(format!("{missing} was not tested")),
        None => Ok(parts.iter().find_map(|part| part.strip_prefix("update power: ")).unwrap_or_default().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_passed_when_every_part_was_seen() {
        assert!(check("").is_err() && check("ok boot 2: x\n").is_err());
    }
}
