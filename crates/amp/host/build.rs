//! What lies where in the memory of a remote core that is a process: out of its device tree.

use std::env;
use std::path::PathBuf;

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let tree = "src/process/process.dts";
    match tutti_devicetree::build_script::constants(tree, "remote", &out.join("process.rs")) {
        Ok(lines) => lines.iter().for_each(|line| println!("{line}")),
        Err(faults) => panic!("{faults}"),
    }
}
