//! Tells the linker where this core's memories are.

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    println!("cargo:rustc-link-arg=-L{here}/../an521");
    println!("cargo:rustc-link-arg=-T{here}/core1.x");
    println!("cargo:rustc-link-arg=--nmagic");
    println!("cargo:rerun-if-changed=core1.x");
    println!("cargo:rerun-if-changed=../an521/link.x");
}
