//! The layer `arm64`: the workspace built for 64-bit Arm and run under qemu's user mode; then a whole emulated machine
//! boots an image with what was built, and joins a pool with a device of this one (the test `image`).
//!
//! Two compilers will do. rustup's, if it has the target's standard library. Where rustup cannot download that, Debian's
//! (`rustc-web`, from the security updates), of which Debian has the library for every processor: `arm64_library.sh` unpacks
//! it into the target folder.
//!
//! The demo and several tests start their own program again, so a runner in front of cargo's test programs would not
//! do. `arm64.sh` makes the kernel start such programs by qemu, in a namespace of their own.
//!
//! Emulation is dear: what is not optimised becomes so slow that devices give each other up, as a dial may take 2 s. So
//! what is built here is optimised a little, and the demo's bounds are [`SLOW`] times as long: it is checked that
//! all works, not how fast. The product's own limits stay what they are.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use super::kinds::{Kind, said, selection, some_steps, some_tests};
use crate::{
    cargo::{cargo, cargo_path, has_target},
    needs::Need,
    process::{Program, target_dir},
};

pub(crate) const TARGET: &str = "aarch64-unknown-linux-gnu";

/// What building for it needs of the machine.
pub(crate) const TO_BUILD: [Need; 2] = [
    Need::Arm64Compiler,
    Need::Program { name: "aarch64-linux-gnu-gcc", package: "gcc-aarch64-linux-gnu libc6-dev-arm64-cross" },
];

/// What the layer needs.
pub(crate) const NEEDS: &[Need] = &[
    TO_BUILD[0],
    TO_BUILD[1],
    Need::Program { name: "qemu-aarch64", package: "qemu-user" },
    Need::Program { name: "qemu-system-aarch64", package: "qemu-system-arm" },
    Need::Apt,
];

/// What names the programs to the image's test.
pub(super) const IMAGE_PROGRAMS: &str = "TUTTI_IMAGE_ARM64";

/// The parts of the image's test that must have been seen.
pub(super) const IMAGE: [&str; 3] = ["arm64-same", "arm64", "arm64-left"];

/// Makes the kernel start programs for Arm.
const SCRIPT: &str = "xtask/src/test/arm64.sh";

/// Fetches Debian's library into [`folder`].
const LIBRARY: &str = "xtask/src/test/arm64_library.sh";

/// The packages of Debian's compiler.
pub(crate) const DEBIAN: &str = "rustc-web cargo-web rust-web-src";

/// What the demo's bounds are multiplied by.
const SLOW: &str = "10";

/// Where the C library for Arm is, from Debian's cross compiler.
const LIBRARIES: &str = "/usr/aarch64-linux-gnu";

/// Tests that find the emulator's faults and not ours, and the fault. All others run.
const EMULATOR: [(&str, &str); 10] = [
    (
        "commands::offer::tests::the_last_line_of_a_command_is_the_value",
        "it makes vfork a fork (linux-user/syscall.c), so nobody hears that a program cannot be started; it only ends \
         with 127",
    ),
    ("discovery::mdns::tests::two_devices_see_each_other_change_and_go", NO_MULTICAST),
    ("discovery::mdns::tests::starting_over_finds_everybody_again", NO_MULTICAST),
    ("discovery::mdns::tests::a_flood_of_invented_devices_is_heard_and_counted_and_the_real_one_stays", NO_MULTICAST),
    (
        "files_in_excess_are_refused_and_closed",
        "it keeps the descriptors that a message has too many of (version 7.2, do_sendrecvmsg_locked)",
    ),
    ("a_policy_keeps_what_it_says", NO_OPENAT2),
    ("a_file_is_written_read_and_sought_in", NO_OPENAT2),
    ("handles_bytes_and_lengths_are_bounded", NO_OPENAT2),
    ("there_is_no_way_out_of_the_folder", NO_OPENAT2),
    ("what_is_no_plain_file_is_not_kept_and_nothing_waits_for_it", NO_OPENAT2),
];

const NO_OPENAT2: &str = "it answers ENOSYS to openat2, without which the proxy opens nothing (version 7.2)";

const NO_MULTICAST: &str =
    "it answers ENOPROTOOPT to IP_MULTICAST_IF and IPV6_MULTICAST_IF of four bytes (version 7.2, linux-user/syscall.c)";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compiler {
    Rustup,
    Debian,
}

impl Compiler {
    /// The one to take, if there is one.
    fn found() -> Option<Self> {
        match has_target(TARGET) {
            true => Some(Self::Rustup),
            false => debian_is_new_enough().then_some(Self::Debian),
        }
    }

    /// Says which one it is.
    fn chosen() -> Result<Self, String> {
        let compiler = Self::found().ok_or("there is no compiler for 64-bit Arm")?;
        println!(
            "arm64: compiled by {}",
            match compiler {
                Self::Rustup => "rustup's toolchain, which has the target",
                Self::Debian => "Debian's rustc, with Debian's library for it",
            }
        );
        Ok(compiler)
    }

    fn cargo(self) -> OsString {
        match self {
            Self::Rustup => cargo_path(),
            Self::Debian => "/usr/bin/cargo".into(),
        }
    }

    /// What is done first.
    fn prepare(self) -> Option<Program> {
        (self == Self::Debian).then(|| Program::new("sh").args([LIBRARY]).args([folder()]))
    }
}

/// Whether something here can compile for Arm.
pub(crate) fn has_compiler() -> bool {
    Compiler::found().is_some()
}

/// Whether Debian's compiler and the library's source are there, and as new as this workspace demands.
pub(crate) fn debian_is_new_enough() -> bool {
    let source = Path::new("/usr/lib/rustlib/src/rust/library/std/Cargo.toml");
    if !source.exists() || !Path::new("/usr/bin/cargo").exists() {
        return false;
    }
    let version = Program::new("/usr/bin/rustc").args(["--version"]).output().unwrap_or_default();
    let found = version_in(&String::from_utf8_lossy(&version));
    found.is_some_and(|found| Some(found) >= version_in(concat!("rustc ", env!("CARGO_PKG_RUST_VERSION"))))
}

/// 1 and 96 in `rustc 1.96.0 (ac68faa20 2026-05-25)`.
fn version_in(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split_whitespace().nth(1)?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

pub(crate) fn steps() -> Result<Vec<Program>, String> {
    let compiler = Compiler::chosen()?;
    let tests = selection(Kind::Unit)?;
    let tests: Vec<_> = tests.iter().map(String::as_str).collect();
    let all = ["test", "--workspace", "--no-fail-fast"];
    let but: Vec<_> = EMULATOR.iter().flat_map(|(test, _)| ["--skip", *test]).collect();
    let steps = [
        run(compiler, &["build", "--workspace", "--all-targets"], &[]),
        run(compiler, &[&all[..], &tests].concat(), &but),
        demo(),
        boots(),
    ];
    Ok(compiler.prepare().into_iter().chain(steps).collect())
}

pub(crate) fn check(output: &str) -> Result<String, String> {
    some_steps(output)?;
    Ok(format!("{}; {}", some_tests(output)?, said(output, &IMAGE)?))
}

/// A target folder of its own: another compiler's work would only lie beside this one's, and the two can build at the same
/// time.
fn folder() -> PathBuf {
    target_dir().join("arm64")
}

/// Where what is built for it is.
fn built() -> PathBuf {
    folder().join(TARGET)
}

/// The steps that build the programs of a device, and where these are then.
pub(crate) fn programs(release: bool) -> Result<(Vec<Program>, PathBuf), String> {
    let args = ["build", "--workspace", "--bins", "--release"];
    let args = if release { &args[..] } else { &args[..3] };
    build(args, folder(), if release { "release" } else { "debug" })
}

/// The same without apps, which is half of the work, for the layer `image`; in a folder of their own, so that nobody takes
/// them for those above.
pub(super) fn programs_without_apps() -> Result<(Vec<Program>, PathBuf), String> {
    let args = ["build", "--bins", "-p", "tutti-cli", "-p", "tutti-init", "--no-default-features"];
    build(&args, target_dir().join("arm64-image"), "debug")
}

fn build(args: &[&str], folder: PathBuf, profile: &str) -> Result<(Vec<Program>, PathBuf), String> {
    let compiler = Compiler::chosen()?;
    let at = folder.join(TARGET).join(profile);
    let build = told(Program::new(compiler.cargo()), compiler, args, folder, &[]);
    Ok((compiler.prepare().into_iter().chain([build]).collect(), at))
}

/// An image with what the first step built boots in an emulator of a whole machine. Its test is a program of this one.
fn boots() -> Program {
    let test = ["test", "--workspace", "--test", "image", "arm64", "--", "--nocapture", "--test-threads=1"];
    cargo(test).env(IMAGE_PROGRAMS, built().join("debug"))
}

/// The demo, by the command that the first step built. (`cargo run` would choose features for the command alone, and build
/// most of it again.)
fn demo() -> Program {
    let command = built().join("debug/tutti");
    emulated(Program::new("sh").args([SCRIPT]).args([command.as_os_str()]).args(["demo", "--check"]))
}

/// What both sorts of steps are told.
fn emulated(program: Program) -> Program {
    program.env("QEMU_LD_PREFIX", LIBRARIES).env("TUTTI_SLOW", SLOW)
}

/// A cargo command for Arm; what it builds can be run.
fn run(compiler: Compiler, args: &[&str], to_program: &[&str]) -> Program {
    let program = Program::new("sh").args([SCRIPT]).args([compiler.cargo()]);
    emulated(told(program, compiler, args, folder(), to_program))
}

/// What cargo is told. Nobody debugs what is built here, or builds it often.
fn told(cargo: Program, compiler: Compiler, args: &[&str], into: PathBuf, to_program: &[&str]) -> Program {
    let program = cargo
        .args(args)
        .args(["--target", TARGET])
        .args(["--target-dir".as_ref(), into.as_os_str()])
        .args((!to_program.is_empty()).then_some("--"))
        .args(to_program)
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc")
        .env("CC_aarch64_unknown_linux_gnu", "aarch64-linux-gnu-gcc")
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env("CARGO_INCREMENTAL", "0");
    match compiler {
        Compiler::Rustup => program,
        Compiler::Debian => {
            let library = format!("--sysroot={}", folder().join("sysroot").display());
            program.env("RUSTC", "/usr/bin/rustc").env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS", library)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version_in("rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)"), Some((1, 96)));
        assert!(version_in("rustc 1.100.0") > version_in("rustc 1.95"));
        assert_eq!(version_in(""), None);
        assert!(version_in(concat!("rustc ", env!("CARGO_PKG_RUST_VERSION"))).is_some());
    }

    #[test]
    fn it_has_passed_when_an_image_booted_too() {
        let all: String = IMAGE.iter().map(|part| format!("ok {part}: 7 of {part}\n")).collect();
        let all = format!("{all}test result: ok. 3 passed; 0 failed\nStep  time  bound\nstart  1 s  3 s\n");
        assert!(check(&all).unwrap().ends_with("7 of arm64; 7 of arm64-left"));
        let without = check(&all.replace("ok arm64-left", "arm64-left"));
        assert!(without.unwrap_err().contains("arm64-left"));
    }

    #[test]
    fn what_cargo_is_told_and_what_the_program_is_told_are_apart() {
        let shown = run(Compiler::Debian, &["run", "-q"], &["demo", "--check"]).shown().to_owned();
        assert!(shown.contains("cargo run -q --target aarch64-unknown-linux-gnu --target-dir"), "{shown}");
        assert!(shown.ends_with(" -- demo --check"), "{shown}");
        let shown = run(Compiler::Rustup, &["build"], &[]).shown().to_owned();
        assert!(shown.contains(" build --target aarch64-unknown-linux-gnu") && !shown.contains(" -- "), "{shown}");
    }
}
