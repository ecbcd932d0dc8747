//! Tells the linker where this core's memories are, which the device tree of the board says.

use std::env;

/// Names another tree: a board that was laid out otherwise.
const TREE: &str = "TUTTI_AN521_TREE";

fn main() {
    println!("cargo:rerun-if-env-changed={TREE}");
    let tree = env::var(TREE).unwrap_or_else(|_| "../../examples/devicetree/mps2-an521.dts".to_owned());
    let out = env::var("OUT_DIR").expect("cargo sets it");
    match tutti_devicetree::build_script::firmware(&tree, "core1", &out) {
        Ok(lines) => lines.iter().for_each(|line| println!("{line}")),
        Err(faults) => panic!("{faults}"),
    }
    let here = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    println!("cargo:rustc-link-arg=-L{here}/../mps2");
    println!("cargo:rustc-link-arg=-T{here}/core1.x");
    println!("cargo:rustc-link-arg=--nmagic");
    println!("cargo:rerun-if-changed=core1.x");
    println!("cargo:rerun-if-changed=../mps2/link.x");
}
