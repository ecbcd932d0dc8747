//! Takes what both cores' domains have from the device tree of the board.

use std::env;
use std::path::PathBuf;

use tutti_devicetree::build_script;

/// Names another tree: a board that was laid out otherwise.
const TREE: &str = "TUTTI_AN521_TREE";

fn main() {
    println!("cargo:rerun-if-env-changed={TREE}");
    let tree = env::var(TREE).unwrap_or_else(|_| "../../examples/devicetree/mps2-an521.dts".to_owned());
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    for domain in ["core0", "core1"] {
        match build_script::constants(&tree, domain, &out.join(format!("{domain}.rs"))) {
            Ok(lines) => lines.iter().for_each(|line| println!("{line}")),
            Err(faults) => panic!("{faults}"),
        }
    }
}
