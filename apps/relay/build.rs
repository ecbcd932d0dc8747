//! A small stack keeps the module at few pages.
fn main() {
    println!("cargo:rustc-link-arg=-zstack-size=16384");
}
