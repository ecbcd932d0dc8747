//! The layer `apps`: the example apps built anew, compared with those that are committed, and run.
//!
//! `apps/build.sh` builds them with Debian's compiler, whose bytes they are; once Debian has another one, they can only be
//! built. The tests of the runtime are those of the layer `unit`, with what is committed.

use crate::{cargo::cargo, needs::Need, process::Program};

pub(crate) const NEEDS: &[Need] = &[
    Need::Build,
    Need::File { path: "/usr/lib/rustlib/src/rust/library/std/Cargo.toml", package: "rust-web-src" },
    Need::File { path: "/usr/bin/rustc", package: "rustc-web" },
    Need::File { path: "/usr/bin/cargo", package: "cargo-web" },
    Need::File { path: "/usr/bin/wasm-ld-14", package: "lld-14" },
];

pub(crate) fn steps() -> Vec<Program> {
    vec![
        Program::new("sh").args(["apps/build.sh", "--check"]),
        cargo(["test", "--workspace", "--lib", "--", "runtime"]),
    ]
}

/// How many apps were the same, or could be built at least.
pub(crate) fn same(output: &str) -> Result<String, String> {
    let count = |word: &str| output.lines().filter(|line| line.starts_with(word)).count();
    match (count("same: "), count("built: ")) {
        (0, 0) => Err("no app was compared".into()),
        (same, 0) => Ok(format!("{same} apps are as committed")),
        (_, built) => {
            Ok(format!("{built} apps can be built; the compiler is not the one that the committed ones are of"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apps_that_were_compared_are_counted() {
        assert_eq!(same("same: a.wasm\nx\nsame: b.wasm\n"), Ok("2 apps are as committed".into()));
        assert!(same("built: a.wasm, by another compiler (x)\n").unwrap().contains("1 apps can be built"));
        assert!(same("").is_err());
    }
}
