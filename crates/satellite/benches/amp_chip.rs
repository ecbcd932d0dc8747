//! What the remote core of an emulated chip costs: instructions of both cores together, and bytes.
//!
//! QEMU's mps2-an521 runs `firmware/core0`, which runs `firmware/core1`. With `-icount` its clock counts instructions, one a nanosecond, so the
//! figures are the same on every machine. `TUTTI_AN521` names the image; `cargo xtask bench amp` builds it.

#![allow(missing_docs, clippy::print_stdout)]

#[allow(dead_code, reason = "the tests do more with it")]
#[path = "../tests/an521/board.rs"]
mod board;

use std::{path::PathBuf, time::Duration};

use board::Board;

const SHORT: Duration = Duration::from_secs(20);
const ROUNDS: u32 = 20_000;

fn main() {
    let image = std::env::var_os("TUTTI_AN521").map(PathBuf::from);
    let image = image.expect("TUTTI_AN521 names core 0's image; `cargo xtask bench amp` builds it");
    let mut board = Board::start(&image, &["-icount", "shift=0"]);
    let first = board.wait_for("link: first message ", SHORT);
    let first: u64 = first.split(' ').next().and_then(|us| us.parse().ok()).expect("a time");
    row("amp.chip.start", first * 1000);
    board.wait_for("core1| found tutti-clock", SHORT);
    row("amp.chip.rtt", board.echo(ROUNDS, 16) * 1000 / u64::from(ROUNDS));
}

fn row(name: &str, instructions: u64) {
    println!(r#"{{"name": "{name}", "value": {instructions}, "unit": "instructions"}}"#);
}
