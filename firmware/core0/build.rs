//! Tells the linker where this core's memories are.

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    println!("cargo:rustc-link-arg=-L{here}/../an521");
    println!("cargo:rustc-link-arg=-T{here}/core0.x");
    println!("cargo:rustc-link-arg=--nmagic");
    println!("cargo:rerun-if-changed=core0.x");
    println!("cargo:rerun-if-changed=../an521/link.x");
    // The other core's image, which this one carries.
    println!("cargo:rerun-if-env-changed=TUTTI_CORE1");
    match std::env::var("TUTTI_CORE1") {
        Ok(image) => println!("cargo:rerun-if-changed={image}"),
        Err(_) => {
            println!("cargo:warning=TUTTI_CORE1 does not name the image of core 1: build with `cargo xtask firmware`")
        }
    }
}
