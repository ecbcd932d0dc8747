//! lopper as a peer, where `TUTTI_DT_LOPPER` names its program (PyPI, 1.6; it needs pyyaml, packaging and anytree
//! besides what it declares). Its `domain_access` makes a domain's tree of our Zynq-MPSoC-like sample; the domain's
//! devices must be the same as ours, and every other difference must be one of those below.
#![allow(clippy::print_stdout, reason = "how much was compared is for whoever runs it")]

use std::path::Path;
use std::process::Command;

use tutti_devicetree::diff::{Difference, diff};
use tutti_devicetree::{Diags, Disk, Limits, Reading, Tree, dtb, emit, load, system::System};

/// Differences that are meant, by what the difference's text begins with after its sign, and the sentence that
/// decides each (of the System Device Tree specification where it has one).
const DECIDED: [(&str, &str); 23] = [
    ("/domains", "the domain's tree is an ordinary device tree: what only System Device Trees have is left out (ours)"),
    (
        "/cpus-r5@0",
        "a domain's own cluster becomes /cpus: \"This domain is compatible with the current base specification\" (chapter 3)",
    ),
    ("/cpus:compatible", "cpus,cluster is a System Device Tree binding (chapter 2)"),
    ("/cpus", "as above"),
    (
        "/sram@ffe",
        "\"If a hardware resource … is not explicitly mapped …, it should be treated as if it is not addressable\", and it stands at the cluster's address (chapter 2); Linux' remoteproc driver has the memories of its core itself",
    ),
    ("/sram@0", "as above: the R5 sees its own memory there"),
    ("/sram@20000", "as above"),
    ("/sram@fffc0000", "a bare-metal domain has the on-chip memory that its sram names (chapter 3), not all"),
    ("/reserved-memory/", "reserved-memory of a domain holds what that domain names (chapter 7)"),
    ("/apu-bus", "a device's interrupt controller is kept; lopper's tree refers to one that it dropped"),
    ("/remoteproc@ffe00000", "chapter 5; lopper makes it in another step, openamp_xlnx"),
    (
        "/rpu-bus:compatible",
        "an indirect bus that the address-map maps is an ordinary bus for that cluster (chapter 2)",
    ),
    ("/rpu-bus:ranges", "as above"),
    ("/rpu-bus", "\"gic_r5 is not visible to /cpus because indirect bus nodes do not automatically map\" (chapter 2)"),
    ("/timer", "a domain that is not on /cpus has what its access names (chapter 3)"),
    ("/firmware", "as above"),
    ("/:interrupt-parent", "lopper loses the reference: its controller's node is gone"),
    (
        "/axi-bus:#interrupt-cells",
        "of the controllers in the map only the domain's own is left, so the map is one interrupt-parent",
    ),
    ("/axi-bus:interrupt-map", "as above; lopper takes the cells of another controller for the map's phandle"),
    ("/axi-bus:interrupt-parent", "as above"),
    ("/aliases:", "an alias of a node that the domain does not have is left out"),
    ("/chosen:", "as above"),
    ("/clock-ref", "a clock that no device of the domain uses is left out"),
];

fn run(program: &str, args: &[&str], dir: &Path) -> String {
    let out = Command::new(program).args(args).current_dir(dir).output().unwrap_or_else(|e| panic!("{program}: {e}"));
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{program} {args:?}: {text}");
    text
}

fn devices(tree: &Tree) -> Vec<String> {
    let bus = tree.find("/axi-bus").expect("the bus stays");
    tree.children(bus).map(|c| tree.node(c).name.clone()).collect()
}

#[test]
fn domains_agree_with_lopper() {
    let Ok(lopper) = std::env::var("TUTTI_DT_LOPPER") else { return };
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/devicetree/zynqmp-like.dts");
    let dir = tempfile::tempdir().expect("a temporary folder");
    std::fs::copy(&sample, dir.path().join("chip.dts")).expect("the sample is there");
    let loaded = load(&[sample.to_str().expect("UTF-8")], &Disk, &Reading::default());
    let system = System::read(&loaded.tree, &mut Diags::default());
    for domain in ["linux", "rpu0", "rpu1"] {
        run(
            &lopper,
            &[
                "-f",
                "--permissive",
                "--enhanced",
                "chip.dts",
                "theirs.dts",
                "--",
                "domain_access",
                "-t",
                &format!("/domains/{domain}"),
            ],
            dir.path(),
        );
        // -f: lopper's tree refers to nodes that it dropped.
        run("dtc", &["-q", "-f", "-I", "dts", "-O", "dtb", "-o", "theirs.dtb", "theirs.dts"], dir.path());
        let bytes = std::fs::read(dir.path().join("theirs.dtb")).expect("dtc wrote it");
        let theirs = dtb::read(&bytes, &Limits::default()).expect("dtc's blob reads");
        let ours = emit::prune(&system, system.domain(domain).expect("the sample has it")).expect("it splits").tree;
        // rpu1 says nothing of #access-flags-cells: "If absent, the default value is zero" (chapter 3). lopper takes one
        // cell of flags all the same, and so the second device for the first one's flags.
        let lost = if domain == "rpu1" { "mailbox@ff990800" } else { "" };
        let agreed: Vec<String> = devices(&ours).into_iter().filter(|d| d != lost).collect();
        assert_eq!(devices(&theirs), agreed, "devices of {domain}");
        let found = diff(&theirs, &ours);
        let open: Vec<&Difference> = found
            .iter()
            .filter(|d| lost.is_empty() || !d.to_string().contains(lost))
            .filter(|d| !DECIDED.iter().any(|(what, _)| d.to_string()[2..].starts_with(what)))
            .collect();
        assert!(open.is_empty(), "{domain}: {open:#?}");
    }
    println!("compared: lopper: 3 domains with lopper");
}
