//! Written by `cargo run --bin seed-corpus`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tutti_fuzz::run("app_wire", bytes));
