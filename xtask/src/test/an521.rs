//! The layer `an521`: the firmware of both cores of an emulated AMP chip, end to end.
//!
//! QEMU's mps2-an521 has two Cortex-M33. The tests that drive it are in `crates/satellite/tests/an521`, which reads core 0's
//! console, takes core 1's dumps and is the host of both satellites, and `crates/cli/tests/an521.rs`, which has them in a
//! pool. They say how each part went; this file holds the sizes against their goals too.
//!
//! The firmware's addresses come from the board's device tree. That none of them stands anywhere else is shown by firmware that is
//! built from a tree in which all of them are others, as far as the board allows it, and that works the same; and a tree in
//! which regions collide builds nothing. The small board, an AN386, has the same satellite, and is driven by the same test.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::kinds::{said, some_tests};
use crate::{
    cargo::cargo,
    firmware::{self, Image},
    needs::{self, Need},
    process::{Program, root, target_dir},
};

/// What the layer needs of the machine.
pub(crate) const NEEDS: &[Need] =
    &[Need::Build, Need::FirmwareCompiler, EMULATOR, Need::Program { name: "gdb-multiarch", package: "gdb-multiarch" }];

const EMULATOR: Need = Need::Program { name: "qemu-system-arm", package: "qemu-system-arm" };

/// The most that the complete remote may take: flash, and RAM with its stack.
const MOST: [u32; 2] = [40 << 10, 12 << 10];

/// The parts that must have been seen.
const PARTS: [&str; 11] = [
    "messages",
    "crashes",
    "restarts",
    "satellites",
    "lost",
    "deaf",
    "instructions",
    "pool",
    "unplugged",
    "moved",
    "an386",
];

/// Another layout of the same board: what is replaced by what in its tree.
const MOVED: [(&str, &str); 19] = [
    // Core 0's data.
    ("sram = <0x30000000 0x20000>", "sram = <0x30008000 0x10000>"),
    // Core 1's program.
    ("core1-code@38000000", "core1-code@38040000"),
    ("reg = <0x38000000 0x10000>", "reg = <0x38040000 0xc000>"),
    ("core1-data@38010000", "core1-data@3804c000"),
    ("reg = <0x38010000 0x4000>", "reg = <0x3804c000 0x6000>"),
    ("sram = <0x38000000 0x14000>", "sram = <0x38040000 0x12000>"),
    // What they share, in another order, and with fewer buffers.
    ("38100000", "381c4000"),
    ("38102000", "381c2000"),
    ("reg = <0x38104000 0x2000>", "reg = <0x381c6000 0x1000>"),
    ("@38104000", "@381c6000"),
    ("38106000", "381c7000"),
    ("reg = <0x38107000 0x800>", "reg = <0x381c8000 0x400>"),
    ("@38107000", "@381c8000"),
    ("vring-num = <8>", "vring-num = <4>"),
    // The doorbells change places.
    ("(0x50003000 + (n) * 0x1000)", "(0x50004000 - (n) * 0x1000)"),
    ("mhu0: mailbox@50003000", "mhu0: mailbox@50004000"),
    ("mhu1: mailbox@50004000", "mhu1: mailbox@50003000"),
    ("interrupts = <6 3>;", "interrupts = <0x7 3>;"),
    ("interrupts = <7 3>;", "interrupts = <0x6 3>;"),
];

/// A layout with a fault: core 1's queues lie on each other.
const COLLIDES: [(&str, &str); 1] = [("reg = <0x38102000", "reg = <0x38101000")];

fn folder() -> PathBuf {
    target_dir().join("an521")
}

/// The board's tree with these words changed, as a file of this name.
fn tree(name: &str, changes: &[(&str, &str)]) -> Result<PathBuf, String> {
    let read = |path: &Path| fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    let mut text = read(&root().join(firmware::TREE))?;
    for (from, to) in changes {
        if !text.contains(from) {
            return Err(format!("{} has no {from:?}; change the layer's trees with it", firmware::TREE));
        }
        text = text.replace(from, to);
    }
    let path = folder().join(name);
    let written = fs::create_dir_all(folder()).and_then(|()| fs::write(&path, text));
    written.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

pub(crate) fn steps() -> Result<Vec<Program>, String> {
    let moved = folder().join("moved");
    let first = firmware::steps_for(&tree("moved.dts", &MOVED)?, &moved);
    // One test is the host of the satellites itself, the other has real devices be it.
    let tests = cargo(["test", "--workspace", "--test", "an521", "--", "--nocapture", "--test-threads=1"])
        .env("TUTTI_AN521", Image::Core0.path())
        .env("TUTTI_AN521_CORE1", Image::Core1.path())
        .env("TUTTI_AN521_MOVED", moved)
        .env("TUTTI_AN386", Image::An386.path());
    let own = firmware::steps(&[Image::Core0, Image::An386]);
    Ok(first.into_iter().chain(own).chain([tests]).collect())
}

/// Builds what the benchmark runs: the setting that tells it where.
pub(crate) fn image() -> Result<Vec<(&'static str, PathBuf)>, String> {
    needs::demand(&[EMULATOR])?;
    firmware::build_now(firmware::steps(&[Image::Core0]))?;
    Ok(vec![("TUTTI_AN521", Image::Core0.path())])
}

pub(crate) fn check(output: &str) -> Result<String, String> {
    some_tests(output)?;
    let said = parts(output)?;
    let size = Image::Core1.size_within(MOST)?;
    let refused = firmware::refusal(&tree("collides.dts", &COLLIDES)?)?;
    if !refused.contains("carveouts vdev0vring0 and vdev0vring1 overlap") {
        return Err(format!(
            "the firmware was not built from a tree in which regions collide, but for another reason: {refused}"
        ));
    }
    Ok(format!("{said}; core 1 takes {size}"))
}

/// What the test said of its parts; if one is missing, it did not come to its end.
fn parts(output: &str) -> Result<String, String> {
    said(output, &PARTS)
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

    #[test]
    fn the_trees_are_changes_of_the_boards_own() {
        let moved = fs::read_to_string(tree("test-moved.dts", &MOVED).unwrap()).unwrap();
        for address in ["30000000", "38000000", "38010000"] {
            assert!(!moved.contains(&format!("sram = <0x{address}")), "{address}");
        }
        assert!(moved.contains("core1-code@38040000") && moved.contains("interrupts = <0x6 3>;"));
        assert!(tree("test-collides.dts", &COLLIDES).is_ok());
        assert!(tree("test-none.dts", &[("no such words", "")]).unwrap_err().contains("change the layer's trees"));
    }
}
