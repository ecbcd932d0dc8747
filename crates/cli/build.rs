//! The optimised command goes without its symbols, which are a fifth of it.
//!
//! Cargo's own `strip` is not for a program whose package has a profile of its own, as this one has (it is built to be small).

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        println!("cargo::rustc-link-arg-bins=-Wl,--strip-all");
    }
}
