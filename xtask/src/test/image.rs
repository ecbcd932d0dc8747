//! The layer `image`: products become images, and these boot, in emulators and as user-mode Linux, and join a pool.
//!
//! The tests are `crates/cli/tests/image.rs`: a standard image (also for 64-bit Arm, with programs without apps, which take half
//! as long to build) and a mini image in QEMU, by software alone, and the same system as user-mode Linux, by the kernel of
//! the layer `linux-peer`; and `image_update.rs`: such devices get new systems by `tutti update`.
//! They say how each part went. The first process by itself is the layer `init`.

use super::{
    arm64,
    kinds::{said, some_tests},
    linux_peer,
};
use crate::{
    cargo::cargo,
    firmware::{self, Image},
    needs::Need,
    process::Program,
};

/// What the layer needs of the machine.
pub(crate) const NEEDS: &[Need] = &[
    Need::Build,
    Need::Apt,
    Need::FirmwareCompiler,
    Need::LinuxSource,
    Need::Program { name: "qemu-system-x86_64", package: "qemu-system-x86" },
    Need::Program { name: "qemu-system-arm", package: "qemu-system-arm" },
    Need::Program { name: "qemu-system-aarch64", package: "qemu-system-arm" },
    arm64::TO_BUILD[0],
    arm64::TO_BUILD[1],
    Need::File { path: "/sbin/mke2fs", package: "e2fsprogs" },
    // A unit test of `tutti-image` reads by it what is written.
    Need::Program { name: "unsquashfs", package: "squashfs-tools" },
];

/// The parts that must have been seen.
const PARTS: [&str; 19] = [
    "same",
    "standard",
    "left",
    "mini",
    "unplugged",
    "an386",
    "parts",
    "user-mode",
    "pause",
    "update",
    "fallback",
    "cut",
    "kernel",
    "carried app",
    "carried core",
    "gpio",
    "panel",
    "rescue",
    "products",
];

/// The most that a mini image may take: flash, and RAM with its stack.
const MOST: [u32; 2] = [64 << 10, 24 << 10];

pub(crate) fn steps() -> Result<Vec<Program>, String> {
    let (mut steps, kernel) = linux_peer::kernel()?;
    steps.extend(firmware::steps(&[Image::Core0, Image::An386]));
    let (arm64, programs) = arm64::programs_without_apps()?;
    steps.extend(arm64);
    let named = ["test", "--workspace", "--no-fail-fast", "--test", "image", "--test", "image_update"];
    let tests = cargo(named)
        .args(["--", "--nocapture", "--test-threads=1"])
        .env("TUTTI_IMAGE_FIRMWARE", Image::Core0.path())
        .env("TUTTI_IMAGE_AN386", Image::An386.path())
        .env(arm64::IMAGE_PROGRAMS, programs)
        .env("TUTTI_LINUX", kernel);
    steps.push(tests);
    Ok(steps)
}

pub(crate) fn check(output: &str) -> Result<String, String> {
    let said = parts(output)?;
    Ok(format!("{said}; the an386's takes {}", Image::An386.size_within(MOST)?))
}

/// What the tests said of their parts; if one is missing, they did not come to their end.
fn parts(output: &str) -> Result<String, String> {
    some_tests(output)?;
    said(output, &[&PARTS[..], &arm64::IMAGE].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_passed_when_all_parts_were_seen() {
        let all: String =
            PARTS.iter().chain(&arm64::IMAGE).map(|part| format!("noise\nok {part}: 7 of {part}\n")).collect();
        let all = format!("{all}test result: ok. 3 passed; 0 failed\n");
        assert!(parts(&all).unwrap().starts_with("7 of same; 7 of standard"));
        assert!(parts(&all.replace("ok mini", "mini")).unwrap_err().contains("mini"));
    }
}
