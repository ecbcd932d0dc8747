//! The layer `arm64`: the workspace built for 64-bit Arm and run under qemu's user mode.
//!
//! Two compilers will do. rustup's, if it has the target's standard library. Where rustup cannot download that, Debian's
//! (`rustc-web`, from the security updates), which has the library as source: cargo builds it along, which takes a
//! minute of a processor, once.
//!
//! The demo and several tests start their own program again, so a runner in front of cargo's test programs would not
//! do. `arm64.sh` makes the kernel start such programs by qemu, in a namespace of their own.
//!
//! Emulation is dear: what is not optimised becomes so slow that devices give each other up, as a dial may take 2 s. So
//! what is built here is optimised a little, and the demo's bounds are [`SLOW`] times as long: it is checked that
//! all works, not how fast. The product's own limits stay what they are.

use std::path::Path;

use super::layers::{Kind, selection};
use crate::{
    cargo::{cargo_path, has_target},
    process::{Program, target_dir},
};

pub(crate) const TARGET: &str = "aarch64-unknown-linux-gnu";

/// Makes the kernel start programs for Arm.
const SCRIPT: &str = "xtask/src/test/arm64.sh";

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

/// The compiler to take, if there is one.
fn compiler() -> Option<Compiler> {
    match has_target(TARGET) {
        true => Some(Compiler::Rustup),
        false => debian_is_new_enough().then_some(Compiler::Debian),
    }
}

/// Whether something here can compile for Arm.
pub(crate) fn has_compiler() -> bool {
    compiler().is_some()
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
    let compiler = compiler().ok_or("there is no compiler for 64-bit Arm")?;
    println!(
        "arm64: compiled by {}",
        match compiler {
            Compiler::Rustup => "rustup's toolchain, which has the target",
            Compiler::Debian => "Debian's rustc, with the standard library from source",
        }
    );
    let tests = selection(Kind::Unit)?;
    let tests: Vec<_> = tests.iter().map(String::as_str).collect();
    let all = ["test", "--workspace", "--no-fail-fast"];
    let but: Vec<_> = EMULATOR.iter().flat_map(|(test, _)| ["--skip", *test]).collect();
    Ok(vec![
        run(compiler, &["build", "--workspace", "--all-targets"], &[]),
        run(compiler, &[&all[..], &tests].concat(), &but),
        demo(),
    ])
}

/// The demo, by the command that the first step built. (`cargo run` would choose features for the command alone, and build
/// most of it again.)
fn demo() -> Program {
    let command = target_dir().join("arm64").join(TARGET).join("debug/tutti");
    emulated(Program::new("sh").args([SCRIPT]).args([command.as_os_str()]).args(["demo", "--check"]))
}

/// What both sorts of steps are told.
fn emulated(program: Program) -> Program {
    program.env("QEMU_LD_PREFIX", LIBRARIES).env("TUTTI_SLOW", SLOW)
}

/// A cargo command for Arm; what it builds can be run. It has a target folder of its own: another compiler's work would
/// only lie beside this one's, and the two can build at the same time.
fn run(compiler: Compiler, args: &[&str], to_program: &[&str]) -> Program {
    let program = Program::new("sh").args([SCRIPT]);
    let program = match compiler {
        Compiler::Rustup => program.args([cargo_path()]).args(args),
        Compiler::Debian => program
            .args(["/usr/bin/cargo"])
            .args(args)
            .args(["-Zbuild-std=std,panic_abort,test"])
            .env("RUSTC", "/usr/bin/rustc")
            .env("RUSTC_BOOTSTRAP", "1"),
    };
    let program = program
        .args(["--target", TARGET])
        .args(["--target-dir".as_ref(), target_dir().join("arm64").as_os_str()])
        .args((!to_program.is_empty()).then_some("--"))
        .args(to_program)
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc")
        .env("CC_aarch64_unknown_linux_gnu", "aarch64-linux-gnu-gcc")
        .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1");
    emulated(program)
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
    fn what_cargo_is_told_and_what_the_program_is_told_are_apart() {
        let shown = run(Compiler::Debian, &["run", "-q"], &["demo", "--check"]).shown().to_owned();
        assert!(
            shown.contains("run -q -Zbuild-std=std,panic_abort,test --target aarch64-unknown-linux-gnu"),
            "{shown}"
        );
        assert!(shown.ends_with(" -- demo --check"), "{shown}");
        let shown = run(Compiler::Rustup, &["build"], &[]).shown().to_owned();
        assert!(shown.contains(" build --target aarch64-unknown-linux-gnu") && !shown.contains(" -- "), "{shown}");
    }
}
