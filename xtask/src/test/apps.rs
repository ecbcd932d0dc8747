//! The layer `apps`: the example apps built anew, compared with those that are committed, and run.
//!
//! `apps/build.sh` builds them with Debian's compiler, whose bytes they are. The tests of the runtime are then those of the layer
//! `unit`; here they run once more, with what was built.

use crate::{cargo::cargo, needs::Need, process::Program};

pub(crate) const NEEDS: &[Need] = &[
    Need::File { path: "/usr/lib/rustlib/src/rust/library/std/Cargo.toml", package: "rust-web-src" },
    Need::File { path: "/usr/bin/rustc", package: "rustc-web" },
    Need::File { path: "/usr/bin/cargo", package: "cargo-web" },
    Need::File { path: "/usr/bin/wasm-ld-14", package: "lld-14" },
];

pub(crate) fn steps() -> Vec<Program> {
    vec![
        Program::new("sh").args(["apps/build.sh", "--check"]),
        cargo(["test", "-p", "tutti-app", "--lib", "--", "runtime"]),
    ]
}

/// How many apps were the same.
pub(crate) fn same(output: &str) -> Result<String, String> {
    match output.lines().filter(|line| line.starts_with("same: ")).count() {
        0 => Err("no app was compared".into()),
        count => Ok(format!("{count} apps are as committed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apps_that_were_compared_are_counted() {
        assert_eq!(same("same: a.wasm\nx\nsame: b.wasm\n"), Ok("2 apps are as committed".into()));
        assert!(same("").is_err());
    }
}
