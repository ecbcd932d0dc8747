//! The layer `apps`: the example apps built anew, compared with those that are committed, and run; and a new app, from nothing
//! to a package.
//!
//! `apps/build.sh` builds them with Debian's compiler, whose bytes they are; once Debian has another one, they can only be
//! built. The tests of the runtime are those of the layer `unit`, with what is committed, and with the app in Python, which is
//! built here and not kept.

use crate::{
    cargo::cargo,
    needs::Need,
    process::{Program, target_dir},
};

pub(crate) const NEEDS: &[Need] = &[
    Need::Build,
    Need::File { path: "/usr/lib/rustlib/src/rust/library/std/Cargo.toml", package: "rust-web-src" },
    Need::File { path: "/usr/bin/rustc", package: "rustc-web" },
    Need::File { path: "/usr/bin/cargo", package: "cargo-web" },
    Need::File { path: "/usr/bin/wasm-ld-14", package: "lld-14" },
    Need::PythonVenv,
];

pub(crate) fn steps() -> Vec<Program> {
    let python = target_dir().join("xtask/daily");
    let runtime = cargo(["test", "--workspace", "--lib", "--", "runtime::tests", "--include-ignored"]);
    vec![
        Program::new("sh").args(["apps/build.sh", "--check"]),
        Program::new("sh").args([std::ffi::OsStr::new("apps/daily/build.sh"), python.as_os_str()]),
        runtime.env("TUTTI_DAILY_WASM", python.join("daily.wasm")),
        cargo(["test", "--workspace", "--test", "app", "--", "--include-ignored"])
            .env("TUTTI_APP_TARGET", target_dir().join("xtask/app-new")),
    ]
}

/// How many apps were the same, or could be built at least.
pub(crate) fn same(output: &str) -> Result<String, String> {
    let in_python = output.lines().any(|line| line.starts_with("built: daily.wasm"));
    if !in_python {
        return Err("the app in Python was not built".into());
    }
    let count = |word: &str| output.lines().filter(|line| line.starts_with(word) && line.contains(".wasm")).count();
    match (count("same: "), count("built: ") - 1) {
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
        const DAILY: &str = "built: daily.wasm, 18 bytes\n";
        assert_eq!(same(&format!("same: a.wasm\nx\nsame: b.wasm\n{DAILY}")), Ok("2 apps are as committed".into()));
        assert!(same(&format!("built: a.wasm, by another (x)\n{DAILY}")).unwrap().contains("1 apps can be built"));
        assert!(same(DAILY).is_err() && same("same: a.wasm\n").is_err());
    }
}
