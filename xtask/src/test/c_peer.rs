//! The layer `c-peer`: our code live against open-amp and rpmsg-lite, in both roles.
//!
//! Neither is in a package registry, and neither is part of this repository: the user names a folder with their source
//! trees. What is ours are two small programs that take orders (`c_peer/`), compiled against those trees, and the test
//! that takes turns with them (`crates/amp/host/tests/c_peer`). Without the trees, that test plays transcripts of
//! such runs, in the layer `unit`.

use std::path::Path;

use crate::{
    cargo::cargo,
    needs::Need,
    process::{Program, target_dir},
};

pub(crate) const NEEDS: &[Need] = &[
    Need::Program { name: "gcc", package: "gcc libc6-dev" },
    Need::File { path: "/usr/include/sysfs/libsysfs.h", package: "libsysfs-dev" },
];

pub(crate) fn steps(path: Option<&Path>) -> Result<Vec<Program>, String> {
    let path = path.ok_or(
        "it takes source trees: name the folder that holds rpmsg-lite, or open-amp and libmetal, by --path DIR \
         (they are not part of this repository)",
    )?;
    let path = path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
    let out = target_dir().join("xtask/c-peer");
    let test = ["test", "-p", "tutti-amp-host", "--test", "c_peer", "--", "--exact", "live", "--nocapture"];
    Ok(vec![
        Program::new("sh").args(["xtask/src/test/c_peer/build.sh"]).args([&path, &out]),
        cargo(test).env("TUTTI_C_PEER", out),
    ])
}

/// The test says which libraries it has met.
pub(crate) fn check(output: &str) -> Result<String, String> {
    let met: Vec<_> = output.lines().filter_map(|line| line.strip_prefix("ok ")?.split(':').next()).collect();
    if met.is_empty() { Err("it met no C library".into()) } else { Ok(met.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_met_is_named() {
        let output =
            "running 1 test\nok rpmsg-lite as remote: 46 turns of ours, 29 of theirs\nok open-amp as host: 28\n";
        assert_eq!(check(output).as_deref(), Ok("rpmsg-lite as remote, open-amp as host"));
        assert!(check("test live ... ok\n").is_err());
        assert!(steps(None).err().unwrap().contains("--path"));
    }
}
