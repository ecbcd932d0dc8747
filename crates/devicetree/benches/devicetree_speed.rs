//! Speed against `dtc` and lopper in the same run. Prints one JSON object a line:
//! `{name, value, unit, reference, reference_value, ratio}`; `ratio` is the reference's time over ours.
//!
//! - `dt.parse`: a tree of 3,000 nodes, source to blob in memory, against `dtc -I dts -O dtb` on the same file,
//!   less what starting `dtc` on an empty tree takes. `dt.parse.process` compares whole processes.
//! - `dt.split`: the same tree read and split for one domain, against lopper (`TUTTI_DT_LOPPER` names its program)
//!   reading and writing the same tree, which is less work than splitting it.
#![allow(clippy::print_stdout, reason = "it is a benchmark")]

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

/// The fastest of several runs, in milliseconds.
fn best(runs: usize, mut run: impl FnMut()) -> f64 {
    (0..runs)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64() * 1e3
        })
        .fold(f64::MAX, f64::min)
}

fn line(name: &str, value: f64, reference: Option<(&str, f64)>) {
    let mut object = serde_json::json!({ "name": name, "value": value, "unit": "ms" });
    if let Some((what, theirs)) = reference {
        object["reference"] = what.into();
        object["reference_value"] = theirs.into();
        object["ratio"] = (theirs / value).into();
    }
    println!("{object}");
}

fn process(program: &str, args: &[&str], dir: &Path) -> bool {
    Command::new(program)
        .args(args)
        .current_dir(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|s| s.success())
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

    let ours = best(15, || {
        black_box(dtb::write(&read().tree));
    });
    let dtc = |file: &str| {
        best(15, || assert!(process("dtc", &["-q", "-I", "dts", "-O", "dtb", "-o", "out.dtb", file], dir.path())))
    };
    let reference = process("dtc", &["--version"], dir.path()).then(|| dtc("big.dts") - dtc("empty.dts"));
    line("dt.parse", ours, reference.map(|r| ("dtc, less its start", r)));

    let check = best(5, || {
        let _ = black_box(tutti_devicetree::check::check(&loaded.tree));
    });
    line("dt.check", check, None);

    let split = best(5, || {
        let loaded = read();
        black_box(command::split(&loaded, "linux").expect("the sample has it"));
    });
    let lopper = std::env::var("TUTTI_DT_LOPPER").ok().map(|program| {
        best(2, || {
            assert!(process(&program, &["-f", "--permissive", "big.dts", "lopper.dts"], dir.path()), "{program} fails");
        })
    });
    line("dt.split", split, lopper.map(|l| ("lopper, reading and writing", l)));
}
