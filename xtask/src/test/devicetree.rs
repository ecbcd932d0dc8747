//! The layer `devicetree`: device trees against everybody else's tools, on everybody else's trees.
//!
//! `devicetree.sh` fetches those, once, into the target folder: Debian's arm64 blobs, the kernel's sources and schemas,
//! lopper and dtschema. All of it is compared in every run; `--full` only makes more random trees.

use std::path::PathBuf;

use super::layers::Context;
use crate::{
    cargo::cargo,
    needs::{self, Need},
    process::{Program, target_dir},
};

/// What the layer needs of the machine.
pub(crate) const NEEDS: &[Need] = &[
    Need::Build,
    Need::Apt,
    Need::Program { name: "dtc", package: "device-tree-compiler" },
    Need::Program { name: "cpp", package: "cpp" },
    Need::Program { name: "nm", package: "binutils" },
    Need::Program { name: "xz", package: "xz-utils" },
    Need::PythonVenv,
];

/// What the benchmark `dt` needs of it.
const NEEDS_OF_PEERS: &[Need] = &[
    Need::Program { name: "dtc", package: "device-tree-compiler" },
    Need::Program { name: "cpp", package: "cpp" },
    Need::PythonVenv,
];

/// The integration tests that compare.
const TESTS: [&str; 5] = ["boards", "generated", "lopper", "random", "schema"];

/// How many random trees, and how many with `--full`.
const CASES: [&str; 2] = ["20000", "200000"];

fn folder() -> PathBuf {
    target_dir().join("devicetree")
}

fn fetch(what: &[&str]) -> Program {
    Program::new("sh").args(["xtask/src/test/devicetree.sh"]).args([folder()]).args(what)
}

pub(crate) fn steps(context: &Context) -> Result<Vec<Program>, String> {
    let at = |path: &str| folder().join(path);
    let tests = cargo(["test", "--workspace", "--no-fail-fast"])
        .args(TESTS.iter().flat_map(|test| ["--test", test]))
        .args(["--", "--nocapture"])
        .env("TUTTI_DT_BLOBS", at("blobs"))
        .env("TUTTI_DT_KERNEL", at("kernel"))
        .env("TUTTI_DT_BINDINGS", at("bindings/Documentation/devicetree/bindings"))
        .env("TUTTI_DT_SCHEMA", at("peers/bin"))
        .env("TUTTI_DT_LOPPER", at("peers/bin/lopper"))
        .env("TUTTI_DT_FIRMWARE", "1")
        .env("TUTTI_DT_CASES", CASES[usize::from(context.full)]);
    Ok(vec![fetch(&["blobs", "kernel", "bindings", "peers"]), tests])
}

/// What the tests say of how much they compared; if one of them says nothing, it compared nothing.
pub(crate) fn compared(output: &str) -> Result<String, String> {
    let said: Vec<_> = output.lines().filter_map(|line| line.strip_prefix("compared: ")).collect();
    let missing = TESTS.iter().find(|test| !said.iter().any(|line| line.starts_with(&format!("{test}: "))));
    match missing {
        Some(test) => Err(format!("the test {test} compared nothing")),
        None => Ok(said.iter().filter_map(|line| Some(line.split_once(": ")?.1)).collect::<Vec<_>>().join("; ")),
    }
}

/// Gets lopper for the benchmark: the settings that tell it where.
pub(crate) fn peers() -> Result<Vec<(&'static str, PathBuf)>, String> {
    needs::demand(NEEDS_OF_PEERS)?;
    fetch(&["peers"]).output()?;
    Ok(vec![("TUTTI_DT_LOPPER", folder().join("peers/bin/lopper"))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_compared_nothing_has_not_passed() {
        let mut said: String = TESTS.iter().map(|test| format!("compared: {test}: 7 of {test}\nnoise\n")).collect();
        assert!(compared(&said).unwrap().starts_with("7 of boards; 7 of generated; "));
        said = said.replace("compared: lopper: ", "");
        assert!(compared(&said).unwrap_err().contains("lopper"));
    }

    #[test]
    fn only_the_number_of_random_trees_depends_on_the_command() {
        let shown = |full| -> Vec<String> {
            let steps = steps(&Context { seeds: None, full, path: None }).unwrap();
            steps.iter().map(|step| step.shown().to_owned()).collect()
        };
        assert_eq!(shown(false), shown(true));
        assert!(shown(false)[1].contains("--test boards --test generated"));
    }
}
