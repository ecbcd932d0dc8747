//! The layer `arm64`: the workspace built for 64-bit Arm and run under qemu's user mode.
//!
//! Two compilers will do. rustup's, if it has the target's standard library. Where rustup cannot download that, Debian's
//! (`rustc-web`, from the security updates), which has the library as source: cargo builds it along, which takes a
//! minute of a processor, once.
//!
//! The demo and several tests start their own program again, so a runner in front of cargo's test programs would not
//! do. `arm64.sh` makes the kernel start such programs by qemu, in a namespace of their own.
//!
//! Under emulation on a machine that does other things besides, everything takes ten times as long and more, so the
//! demo's bounds are [`SLOW`] times as long. They check that it works, not how fast it is.

use std::path::Path;

use super::layers::{Kind, selection};
use crate::{
    cargo::{cargo_path, has_target},
    process::Program,
};

pub(crate) const TARGET: &str = "aarch64-unknown-linux-gnu";

/// The packages of Debian's compiler.
pub(crate) const DEBIAN: &str = "rustc-web cargo-web rust-web-src";

/// What the demo's bounds are multiplied by.
const SLOW: &str = "10";

/// Where the C library for Arm is, from Debian's cross compiler.
const LIBRARIES: &str = "/usr/aarch64-linux-gnu";

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

fn debian_is_new_enough() -> bool {
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
    Ok(vec![
        run(compiler, &["build", "--workspace", "--all-targets"], &[]),
        run(compiler, &[&all[..], &tests].concat(), &[]),
        run(compiler, &["run", "-q"], &["demo", "--check"]),
    ])
}

/// A cargo command for Arm, what it builds runnable.
fn run(compiler: Compiler, args: &[&str], to_program: &[&str]) -> Program {
    let program =
        Program::new("unshare").args(["--user", "--map-root-user", "--mount", "sh", "xtask/src/test/arm64.sh"]);
    let program = match compiler {
        Compiler::Rustup => program.args([cargo_path()]).args(args),
        Compiler::Debian => program
            .args(["/usr/bin/cargo"])
            .args(args)
            .args(["-Zbuild-std=std,panic_abort,test"])
            .env("RUSTC", "/usr/bin/rustc")
            .env("RUSTC_BOOTSTRAP", "1"),
    };
    program
        .args(["--target", TARGET])
        .args((!to_program.is_empty()).then_some("--"))
        .args(to_program)
        .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", "aarch64-linux-gnu-gcc")
        .env("CC_aarch64_unknown_linux_gnu", "aarch64-linux-gnu-gcc")
        .env("QEMU_LD_PREFIX", LIBRARIES)
        .env("TUTTI_SLOW", SLOW)
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
            shown.ends_with(
                "run -q -Zbuild-std=std,panic_abort,test --target aarch64-unknown-linux-gnu -- demo --check"
            )
        );
        let shown = run(Compiler::Rustup, &["build"], &[]).shown().to_owned();
        assert!(shown.ends_with(" build --target aarch64-unknown-linux-gnu"), "{shown}");
    }
}
