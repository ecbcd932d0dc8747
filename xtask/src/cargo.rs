//! Questions to cargo and the tools beside it.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::Program;

/// Cargo, as the same one that runs xtask.
pub(crate) fn cargo<A: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = A>) -> Program {
    Program::new(cargo_path()).args(args)
}

/// Where that one is.
pub(crate) fn cargo_path() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// `cargo metadata` of the workspace.
pub(crate) fn metadata(args: &[&str]) -> Result<Value, String> {
    let output = cargo(["metadata", "--format-version", "1"]).args(args).output()?;
    serde_json::from_slice(&output).map_err(|error| format!("cargo metadata: {error}"))
}

/// A test or benchmark target of the workspace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    pub(crate) package: String,
    pub(crate) name: String,
}

/// The workspace's targets of this kind (`test`, `bench`).
pub(crate) fn targets(kind: &str) -> Result<Vec<Target>, String> {
    Ok(targets_of(&metadata(&["--no-deps"])?, kind))
}

fn targets_of(metadata: &Value, kind: &str) -> Vec<Target> {
    let list = |value: &Value, field: &str| value[field].as_array().cloned().unwrap_or_default();
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for package in list(metadata, "packages") {
        for target in list(&package, "targets") {
            if list(&target, "kind").iter().any(|it| it == kind) {
                found.push(Target { package: text(&package, "name"), name: text(&target, "name") });
            }
        }
    }
    found.sort();
    found
}

/// Where this toolchain's own programs are.
fn sysroot() -> Result<PathBuf, String> {
    let output = Program::new("rustc").args(["--print", "sysroot"]).output()?;
    Ok(PathBuf::from(String::from_utf8_lossy(&output).trim()))
}

/// The compiler that also lints.
pub(crate) fn clippy_driver() -> Result<PathBuf, String> {
    let path = sysroot()?.join("bin/clippy-driver");
    if path.exists() { Ok(path) } else { Err(format!("there is no {}", path.display())) }
}

/// Whether the toolchain has the standard library of this target.
pub(crate) fn has_target(target: &str) -> bool {
    sysroot().is_ok_and(|root| root.join("lib/rustlib").join(target).join("lib").is_dir())
}

/// Whether this program is on the path.
pub(crate) fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
    // Where Debian keeps what only root uses.
    places.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    places.iter().any(|place| is_file(&place.join(name)))
}

fn is_file(path: &Path) -> bool {
    path.metadata().is_ok_and(|it| it.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_found_by_kind() {
        let metadata = serde_json::json!({"packages": [
            {"name": "b", "targets": [{"kind": ["test"], "name": "sim_two"}, {"kind": ["lib"], "name": "b"}]},
            {"name": "a", "targets": [{"kind": ["test"], "name": "sim_one"}]},
        ]});
        let target = |package: &str, name: &str| Target { package: package.into(), name: name.into() };
        assert_eq!(targets_of(&metadata, "test"), [target("a", "sim_one"), target("b", "sim_two")]);
        assert_eq!(targets_of(&metadata, "bench"), []);
        assert_eq!(targets_of(&serde_json::json!(null), "test"), []);
    }

    #[test]
    fn programs_are_looked_for_on_the_path() {
        assert!(has_program("sh"));
        assert!(!has_program("no-such-program"));
    }
}
