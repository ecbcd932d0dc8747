//! Speed beside `dtc` and lopper in the same run, on the sample chip with 3,000 more devices. For `cargo xtask bench dt`,
//! which gets both and holds the rows against SPECIFICATION.md.
//!
//! - `dt.parse`: source to blob in memory; beside it `dtc -I dts -O dtb` on the same file, less what it takes for an
//!   empty tree (its start). Interleaved, the fastest of several each.
//! - `dt.split`: the same source read and split for one domain into all its files, the slower of before and after;
//!   beside it lopper (`TUTTI_DT_LOPPER` names its program) reading and writing the tree once, which is less work.
//! - `dt.check`: the linter on the same tree.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it is a benchmark")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use tutti_devicetree::{Memory, Reading, command, dtb, load};

/// The sample chip with 3,000 more devices, each with clocks, interrupts and registers.
fn tree() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/devicetree/zynqmp-like.dts");
    let chip = std::fs::read_to_string(path).expect("the sample is there");
    let mut out = chip;
    out.push_str("\n&axi {\n");
    for i in 0..3000 {
        let base = 0xfe00_0000u32 + i * 0x1000;
        let _ = write!(
            out,
            "\tdev{i}: device@{base:x} {{\n\t\tcompatible = \"vendor,device-{}\", \"vendor,device\";\n\t\treg = <0x0 {base:#x} 0x0 0x1000>;\n\t\tinterrupts = <0 {} 4>;\n\t\tclocks = <&ref_clk>, <&ref_clk>;\n\t\tclock-names = \"core\", \"bus\";\n\t\tstatus = \"{}\";\n\t}};\n",
            i % 17,
            i % 960,
            if i % 3 == 0 { "disabled" } else { "okay" },
        );
    }
    out.push_str("};\n");
    out
}

/// How long it takes, in milliseconds.
fn time(run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64() * 1e3
}

/// The fastest of several.
fn best(runs: usize, mut run: impl FnMut()) -> f64 {
    (0..runs).map(|_| time(&mut run)).fold(f64::MAX, f64::min)
}

fn row(name: &str, value: f64, reference: Option<(&str, f64)>) {
    let mut object = serde_json::json!({ "name": name, "value": value, "unit": "ms" });
    if let Some((what, theirs)) = reference {
        object["reference"] = what.into();
        object["reference_value"] = theirs.into();
    }
    println!("{object}");
}

fn process(program: &str, args: &[&str], dir: &Path) -> bool {
    let mut command = Command::new(program);
    command.args(args).current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn main() {
    let text = tree();
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(dir.path().join("big.dts"), &text).expect("writable");
    std::fs::write(dir.path().join("empty.dts"), "/dts-v1/;\n/ { };\n").expect("writable");
    let files = Memory::default().with("big.dts", text.as_str());
    let read = || load(&["big.dts"], &files, &Reading::default());
    let loaded = read();
    assert!(!loaded.diags.has_errors(), "{}", loaded.render(false));

    let dtc = |file: &str| {
        let args = ["-q", "-I", "dts", "-O", "dtb", "-o", "out.dtb", file];
        time(|| assert!(process("dtc", &args, dir.path()), "dtc fails on {file}"))
    };
    let parse = || time(|| drop(black_box(dtb::write(&read().tree))));
    let rounds: Vec<_> = (0..15).map(|_| [parse(), dtc("big.dts"), dtc("empty.dts")]).collect();
    let least = |which: usize| rounds.iter().map(|round| round[which]).fold(f64::MAX, f64::min);
    row("dt.parse", least(0), Some(("dtc, less its start", least(1) - least(2))));

    let split = || {
        best(5, || {
            let loaded = read();
            drop(black_box(command::split(&loaded, "linux").expect("the sample has it")));
        })
    };
    let before = split();
    // It takes minutes, so once.
    let lopper = std::env::var("TUTTI_DT_LOPPER").ok().map(|program| {
        eprintln!("lopper reads and writes 3,000 nodes; that takes minutes");
        let args = ["-f", "--permissive", "big.dts", "lopper.dts"];
        time(|| assert!(process(&program, &args, dir.path()), "{program} fails"))
    });
    row("dt.split", before.max(split()), lopper.map(|time| ("lopper, reading and writing", time)));

    row("dt.check", best(5, || drop(black_box(tutti_devicetree::check::check(&loaded.tree)))), None);
}
