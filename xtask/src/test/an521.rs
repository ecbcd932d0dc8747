//! The layer `an521`: the firmware of both cores of an emulated AMP chip, end to end.
//!
//! QEMU's mps2-an521 has two Cortex-M33. The tests that drive it are in `crates/satellite/tests/an521`, which reads core 0's
//! console, takes core 1's dumps and is the host of both satellites, and `crates/cli/tests/an521.rs`, which has them in a
//! pool. They say how each part went; this file holds the sizes against their goals too.

use std::path::PathBuf;

use super::layers::some_tests;
use crate::{
    cargo::cargo,
    firmware::{self, Image},
    needs::{self, Need},
    process::Program,
};

/// What the layer needs of the machine.
pub(crate) const NEEDS: &[Need] =
    &[Need::Build, Need::FirmwareCompiler, EMULATOR, Need::Program { name: "gdb-multiarch", package: "gdb-multiarch" }];

const EMULATOR: Need = Need::Program { name: "qemu-system-arm", package: "qemu-system-arm" };

/// The most that the complete remote may take: flash, and RAM with its stack.
const MOST: [u32; 2] = [40 << 10, 12 << 10];

/// The parts that must have been seen.
const PARTS: [&str; 9] =
    ["messages", "crashes", "restarts", "satellites", "lost", "deaf", "instructions", "pool", "unplugged"];

pub(crate) fn steps() -> Result<Vec<Program>, String> {
    // One test is the host of the satellites itself, the other has real devices be it.
    let tests = cargo(["test", "--workspace", "--test", "an521", "--", "--nocapture", "--test-threads=1"])
        .env("TUTTI_AN521", Image::Core0.path())
        .env("TUTTI_AN521_CORE1", Image::Core1.path());
    Ok(firmware::steps()?.into_iter().chain([tests]).collect())
}

/// Builds what the benchmark runs: the setting that tells it where.
pub(crate) fn image() -> Result<Vec<(&'static str, PathBuf)>, String> {
    needs::install(&[EMULATOR]);
    if let Some(missing) = needs::missing(&[EMULATOR]) {
        return Err(missing);
    }
    firmware::build_now()?;
    Ok(vec![("TUTTI_AN521", Image::Core0.path())])
}

pub(crate) fn check(output: &str) -> Result<String, String> {
    some_tests(output)?;
    let said = parts(output)?;
    let size = Image::Core1.size()?;
    if size.flash > MOST[0] || size.ram > MOST[1] {
        return Err(format!("core 1 takes {size}; at most {} and {} were promised", MOST[0], MOST[1]));
    }
    Ok(format!("{said}; core 1 takes {size}"))
}

/// What the test said of its parts; if one is missing, it did not come to its end.
fn parts(output: &str) -> Result<String, String> {
    let said: Vec<_> = output.lines().filter_map(|line| line.strip_prefix("ok ")?.split_once(": ")).collect();
    match PARTS.iter().find(|part| !said.iter().any(|(name, _)| name == *part)) {
        Some(part) => Err(format!("the part {part} was not reached")),
        None => Ok(said.iter().map(|(_, what)| *what).collect::<Vec<_>>().join("; ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_passed_when_all_parts_were_seen() {
        let all: String = PARTS.iter().map(|part| format!("noise\nok {part}: 7 of {part}\n")).collect();
        assert!(parts(&all).unwrap().starts_with("7 of messages; 7 of crashes"));
        assert!(parts(&all.replace("ok lost", "lost")).unwrap_err().contains("lost"));
    }
}
