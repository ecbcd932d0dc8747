//! Documentation, linted while it is tested.
//!
//! `cargo doc` would compile every dependency once more (as `cargo check` does), for a minute or two. `cargo test
//! --doc` uses what the tests have built, and starts rustdoc for each library with all that it needs. So the `doc`
//! layer has cargo start xtask in place of rustdoc ([`stand_in`]), which runs rustdoc twice: once to write the
//! documentation, with warnings denied, and once as it was told, to test the examples.

use std::{
    env,
    ffi::{OsStr, OsString},
    process::{Command, ExitCode, Stdio},
};

use crate::{
    cargo::cargo,
    process::{Program, target_dir},
};

/// Set to the real rustdoc when xtask is started in its place.
const REAL: &str = "TUTTI_XTASK_RUSTDOC";

/// `cargo test --doc` with xtask in rustdoc's place.
pub(crate) fn test_and_lint() -> Result<Program, String> {
    let me = env::current_exe().map_err(|error| format!("where is xtask? {error}"))?;
    let real = env::var_os("RUSTDOC").unwrap_or_else(|| "rustdoc".into());
    Ok(cargo(["test", "--workspace", "--doc", "--no-fail-fast"]).env("RUSTDOC", me).env(REAL, real))
}

/// Does rustdoc's work, if this process was started in its place.
pub(crate) fn stand_in() -> Option<ExitCode> {
    let real = env::var_os(REAL)?;
    let args: Vec<OsString> = env::args_os().skip(1).collect();
    let run = |args: &[OsString]| {
        let status = Command::new(&real).args(args).stdin(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    let documented = !args.iter().any(|arg| arg == "--test") || run(&to_document(&args, &target_dir()));
    // Tested even if the first failed, so that one run shows all there is to mend.
    let tested = run(&args);
    Some(if documented && tested { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The arguments of a run that tests, made into those of one that writes documentation and denies warnings.
fn to_document(args: &[OsString], target: &std::path::Path) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if ["--test", "--nocapture"].iter().any(|it| arg == it) {
            continue;
        }
        if takes_a_value(arg) {
            args.next();
        } else if !is_for_tests(arg) {
            kept.push(arg.clone());
        }
    }
    kept.extend(["-D", "warnings", "--out-dir"].map(OsString::from));
    kept.push(target.join("doc").into());
    kept
}

const FOR_TESTS: [&str; 4] = ["--test-args", "--test-run-directory", "--test-builder", "--test-runtool"];

fn takes_a_value(arg: &OsStr) -> bool {
    FOR_TESTS.iter().any(|it| arg == *it)
}

fn is_for_tests(arg: &OsStr) -> bool {
    let arg = arg.to_string_lossy();
    FOR_TESTS.iter().any(|it| arg.strip_prefix(it).is_some_and(|rest| rest.starts_with('=')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_tests_is_left_out() {
        let args =
            ["--crate-name", "a", "--test", "src/lib.rs", "--test-run-directory", "d", "--test-args=-q", "-L", "x"];
        let args: Vec<_> = args.map(OsString::from).into();
        let kept = to_document(&args, "t".as_ref());
        assert_eq!(kept, ["--crate-name", "a", "src/lib.rs", "-L", "x", "-D", "warnings", "--out-dir", "t/doc"]);
    }
}
