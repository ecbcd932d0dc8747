//! dtschema as a judge, where `TUTTI_DT_SCHEMA` names the folder of its programs (PyPI) and `TUTTI_DT_BINDINGS` the
//! kernel's bindings: the trees made for Linux keep to every binding that it knows, the remoteproc nodes among them.
#![allow(clippy::print_stdout, reason = "how much was compared is for whoever runs it")]

use std::path::Path;
use std::process::Command;

use tutti_devicetree::{Disk, Reading, Tree, command, dtb, load};

/// The bindings of what our trees for Linux have; all of them would take a minute to prepare. dtschema has those of the
/// core besides. Whole boards are not among them: ours are no real ones.
const BINDINGS: [&str; 20] = [
    "remoteproc",
    "sram",
    "mailbox",
    "interrupt-controller",
    "firmware/xilinx",
    "serial",
    "timer",
    "power",
    "reset",
    "hwlock",
    "bus",
    "arm/cpus.yaml",
    "arm/psci.yaml",
    "clock/fixed-clock.yaml",
    "clock/st,stm32mp1-rcc.yaml",
    "mfd/st,stm32-timers.yaml",
    "mfd/syscon.yaml",
    "net/cdns,macb.yaml",
    "net/ethernet-controller.yaml",
    "net/can",
];

/// What a program printed on both its outputs.
fn run(program: &Path, args: &[&Path]) -> String {
    let out = Command::new(program).args(args).output().unwrap_or_else(|e| panic!("{}: {e}", program.display()));
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{}: {text}", program.display());
    text
}

#[test]
fn trees_for_linux_keep_to_the_bindings() {
    let (Ok(programs), Ok(bindings)) = (std::env::var("TUTTI_DT_SCHEMA"), std::env::var("TUTTI_DT_BINDINGS")) else {
        return;
    };
    let (programs, bindings) = (Path::new(&programs), Path::new(&bindings));
    let dir = tempfile::tempdir().expect("a temporary folder");
    let schema = dir.path().join("schema.json");
    let chosen: Vec<_> = BINDINGS.iter().map(|name| bindings.join(name)).collect();
    let mut args = vec![Path::new("-j"), Path::new("-o"), &schema];
    args.extend(chosen.iter().map(|path| path.as_path()));
    run(&programs.join("dt-mk-schema"), &args);
    let judged = |tree: &[u8]| {
        let path = dir.path().join("linux.dtb");
        std::fs::write(&path, tree).expect("writable");
        run(&programs.join("dt-validate"), &[Path::new("-s"), &schema, &path])
    };
    for (chip, remote) in [("zynqmp-like", "/remoteproc@ffe00000"), ("stm32mp1-like", "/ahb/m4@10000000")] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../examples/devicetree/{chip}.dts"));
        let loaded = load(&[path.to_str().expect("UTF-8")], &Disk, &Reading::default());
        let (files, _) = command::split(&loaded, "linux").expect("the sample has it");
        let blob = files.into_iter().find(|file| file.name == "linux.dtb").expect("it has a blob").bytes;
        let said = judged(&blob);
        assert!(said.is_empty(), "{chip}: {said}");
        // It does know these bindings: without what is needed there, it complains.
        let mut broken: Tree = dtb::read(&blob, &Default::default()).expect("it was written here");
        let node = broken.find(remote).expect("the remote has a node");
        broken.remove_property(node, "reg");
        broken.remove_property(node, "ranges");
        let said = judged(&dtb::write(&broken));
        assert!(said.contains("is a required property"), "{chip}: {said}");
    }
    println!("compared: schema: 2 trees for Linux with dtschema");
}
