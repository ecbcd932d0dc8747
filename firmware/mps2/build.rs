//! Takes what the board's domains have from its device tree.

use std::env;
use std::path::PathBuf;

use tutti_devicetree::build_script;

fn main() {
    let has = |feature: &str| env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
    // The variable that names another tree, for a board that was laid out otherwise; the board's own; the domains.
    let (variable, own, domains): (_, _, &[&str]) = match (has("AN521"), has("AN386")) {
        (true, false) => ("TUTTI_AN521_TREE", "mps2-an521.dts", &["core0", "core1"]),
        (false, true) => ("TUTTI_AN386_TREE", "mps2-an386.dts", &["core0"]),
        // The library says what is wrong.
        _ => return,
    };
    println!("cargo:rerun-if-env-changed={variable}");
    let tree = env::var(variable).unwrap_or_else(|_| format!("../../examples/devicetree/{own}"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    for domain in domains {
        match build_script::constants(&tree, domain, &out.join(format!("{domain}.rs"))) {
            Ok(lines) => lines.iter().for_each(|line| println!("{line}")),
            Err(faults) => panic!("{faults}"),
        }
    }
}
