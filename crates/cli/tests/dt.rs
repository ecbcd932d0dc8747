//! `tutti dt` as a program: what it prints, what it writes, and its exit codes. No device runs.

use std::{
    path::Path,
    process::{Command, Output},
};

const CHIP: &str = "examples/devicetree/zynqmp-like.dts";

/// Runs `tutti dt` in the repository's root.
fn dt(args: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Command::new(env!("CARGO_BIN_EXE_tutti")).arg("dt").args(args).current_dir(root).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// All that it says, with its exit code.
fn said(args: &[&str]) -> String {
    let output = dt(args);
    let errors: String = text(&output.stderr).lines().map(|line| format!("2> {line}\n")).collect();
    format!("{}{errors}[exit {}]", text(&output.stdout), output.status.code().unwrap())
}

fn json(args: &[&str], exit: i32) -> serde_json::Value {
    let output = dt(args);
    assert_eq!(output.status.code(), Some(exit), "{args:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}"))
}

/// A folder with a tree in which two domains have the same memory, and one does not know it.
fn disputed() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let tree = "/dts-v1/;\n/ {\n#address-cells = <1>; #size-cells = <1>;\n\
        cpus_a: cpus { #address-cells = <1>; #size-cells = <0>; cpu@0 { device_type = \"cpu\"; reg = <0>; }; };\n\
        cpus_b: cpus-b@1 { compatible = \"cpus,cluster\"; #address-cells = <1>; #size-cells = <0>;\n\
        \tcpu@0 { device_type = \"cpu\"; reg = <0>; }; };\n\
        memory@0 { device_type = \"memory\"; reg = <0x0 0x100000>; };\n\
        domains {\n#address-cells = <1>; #size-cells = <1>;\n\
        one { compatible = \"openamp,domain-v1\"; cpus = <&cpus_a 1 0>; memory = <0x0 0x80000>; };\n\
        two { compatible = \"openamp,domain-v1\"; cpus = <&cpus_b 1 0>; memory = <0x40000 0x40000>; };\n\
        };\n};\n";
    let path = folder.path().join("chip.dts");
    std::fs::write(&path, tree).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

#[test]
fn check_says_what_collides() {
    assert_eq!(said(&["check", CHIP]), "no faults found\n[exit 0]");
    let sound = json(&["check", "--json", CHIP], 0);
    assert_eq!(sound, serde_json::json!({ "errors": 0, "warnings": 0, "findings": [] }));

    let (_folder, chip) = disputed();
    let shown = said(&["check", &chip]);
    assert!(shown.contains("[memory-shared] Error") && shown.contains("chip.dts:11:"), "{shown}");
    assert!(shown.ends_with("1 error, 0 warnings\n[exit 1]"), "{shown}");
    let found = json(&["check", "--json", &chip], 1);
    assert_eq!(found["findings"][0]["code"], "memory-shared");
    let lines: Vec<_> = (0..2).map(|at| found["findings"][0]["places"][at]["line"].clone()).collect();
    assert_eq!(lines, [11, 10]);
    assert_eq!(said(&["check", &chip, "--allow", "memory-shared"]), "no faults found\n[exit 0]");
}

#[test]
fn warnings_fail_only_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("twice.dts");
    std::fs::write(&path, "/dts-v1/;\n/ { a = <1>; a = <2>; };\n").unwrap();
    let path = path.to_str().unwrap();
    assert!(said(&["check", path]).ends_with("0 errors, 1 warning\n[exit 0]"));
    assert!(said(&["check", path, "--strict"]).ends_with("0 errors, 1 warning\n[exit 1]"));
}

#[test]
fn domains_are_listed() {
    insta::assert_snapshot!("dt_domains", said(&["domains", CHIP]));
    let list = json(&["domains", "--json", CHIP], 0);
    let names: Vec<_> = list.as_array().unwrap().iter().map(|domain| domain["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["linux", "rpu0", "rpu1"]);
    assert_eq!(list[1]["relations"][0], serde_json::json!({ "kind": "rpmsg", "direction": "from", "peer": "linux" }));
}

#[test]
fn a_node_is_shown() {
    insta::assert_snapshot!("dt_show", said(&["show", CHIP, "ttc0"]));
    let shown = json(&["show", "--json", CHIP, "/axi-bus/timer@ff110000"], 0);
    assert_eq!(shown["given_to"][0]["domain"], "rpu0");
    assert_eq!(shown["addresses"][0]["start"], 0xff11_0000u32);
    insta::assert_snapshot!("dt_show_nothing", said(&["show", CHIP, "no-such-node"]));
}

#[test]
fn every_domain_is_split() {
    for (chip, domains) in [
        ("zynqmp-like", &["linux", "rpu0", "rpu1"][..]),
        ("stm32mp1-like", &["linux", "m4"]),
        ("mps2-an521", &["core0", "core1"]),
        ("mps2-an386", &["core0"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("made/here");
        for domain in domains {
            let tree = format!("examples/devicetree/{chip}.dts");
            let list = json(&["split", &tree, "--domain", domain, "-o", into.to_str().unwrap(), "--json"], 0);
            for file in list["files"].as_array().unwrap() {
                let path = Path::new(file["path"].as_str().unwrap());
                let size = std::fs::metadata(path).unwrap().len();
                assert_eq!(size, file["size"].as_u64().unwrap(), "{}", path.display());
            }
            // What was written is a device tree with the same words in both forms, and without faults.
            let made = |suffix: &str| into.join(format!("{domain}.{suffix}")).to_str().unwrap().to_owned();
            assert_eq!(said(&["diff", &made("dts"), &made("dtb")]), "[exit 0]", "{chip} {domain}");
            assert_eq!(said(&["check", "--strict", &made("dts")]), "no faults found\n[exit 0]", "{chip} {domain}");
        }
    }
}

#[test]
fn a_tree_with_errors_is_split_only_by_force() {
    let (folder, chip) = disputed();
    let into = folder.path().join("out");
    let args = ["split", &chip, "--domain", "one", "-o", into.to_str().unwrap()];
    let refused = said(&args);
    assert!(refused.contains("[memory-shared]") && refused.contains("nothing was written"), "{refused}");
    assert!(refused.ends_with("[exit 1]") && !into.exists());
    let forced = said(&[&args[..], &["--force"]].concat());
    assert!(forced.ends_with("[exit 0]") && into.join("one.dtb").exists(), "{forced}");
    let unknown = said(&["split", CHIP, "--domain", "rpu7", "-o", into.to_str().unwrap()]);
    assert!(unknown.contains("it has linux, rpu0, rpu1") && unknown.ends_with("[exit 1]"), "{unknown}");
}

#[test]
fn a_tree_goes_through_all_formats_and_stays_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (yaml, blob, source) = (path("chip.yaml"), path("chip.dtb"), path("chip.dts"));
    for [from, to] in [[CHIP, &yaml], [&yaml, &blob], [&blob, &source]] {
        assert!(said(&["convert", from, "-o", to]).ends_with("[exit 0]"));
        assert_eq!(said(&["diff", from, to]), "[exit 0]");
    }
    assert_eq!(said(&["diff", CHIP, &source]), "[exit 0]");
    // Without a file it goes to standard output, as it is.
    assert_eq!(dt(&["convert", &yaml, "--to", "dtb"]).stdout, std::fs::read(&blob).unwrap());
    assert_eq!(dt(&["convert", &blob, "--to", "dts"]).stdout, std::fs::read(&source).unwrap());
    assert!(said(&["convert", CHIP]).ends_with("[exit 2]"));
    assert!(said(&["convert", CHIP, "-o", "/no/such/folder/x.dtb"]).ends_with("[exit 1]"));
}

#[test]
fn diff_tells_difference_from_trouble() {
    let folder = tempfile::tempdir().unwrap();
    let tree = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let one = tree("one.dts", "/dts-v1/;\n/ { a { x = <1>; }; b { }; };\n");
    let other = tree("other.dts", "/dts-v1/;\n/ { c { }; a { x = <2>; }; };\n");
    let broken = tree("broken.dts", "/dts-v1/;\n/ { a };\n");
    assert_eq!(said(&["diff", &one, &other]), "- /b\n+ /c\n~ /a:x: <0x1> -> <0x2>\n[exit 1]");
    assert_eq!(json(&["diff", "--json", &one, &other], 1)[0], serde_json::json!({ "kind": "node-gone", "path": "/b" }));
    for unreadable in [&broken, "/no/such/tree.dts"] {
        assert!(said(&["diff", &one, unreadable]).ends_with("[exit 2]"));
    }
}

#[test]
fn the_map_is_drawn_or_told() {
    let folder = tempfile::tempdir().unwrap();
    let drawing = folder.path().join("map.svg");
    assert!(said(&["map", CHIP, "-o", drawing.to_str().unwrap()]).ends_with("[exit 0]"));
    assert!(std::fs::read_to_string(drawing).unwrap().starts_with("<svg "));
    assert!(said(&["map", CHIP]).starts_with("# Memory map of Zynq-MPSoC-like\n"));
}

#[test]
fn includes_macros_and_what_is_laid_over_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(path("more")).unwrap();
    std::fs::write(path("more/part.h"), "#define VALUE (BASE + 1)\n").unwrap();
    std::fs::write(path("a.dts"), "#include <part.h>\n/dts-v1/;\n/ { n: n { x = <VALUE>; }; };\n").unwrap();
    std::fs::write(path("over.dtso"), "/dts-v1/;\n/plugin/;\n&n { y = \"laid over\"; };\n").unwrap();
    let args =
        ["convert", &path("a.dts"), &path("over.dtso"), "-I", &path("more"), "-D", "BASE=0x41", "-@", "--to", "dts"];
    let shown = said(&args);
    assert!(
        shown.contains("x = <0x42>;") && shown.contains("y = \"laid over\";") && shown.contains("__symbols__"),
        "{shown}"
    );
}

#[test]
fn foreign_text_cannot_drive_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evil.dts");
    std::fs::write(&path, "/dts-v1/;\n/ { a \x1b]0;owned\x07 = <1>; };\n").unwrap();
    let output = dt(&["check", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!output.stdout.contains(&0x1b) && !output.stdout.contains(&7), "{}", text(&output.stdout));
}

#[test]
fn wrong_use_is_exit_code_2() {
    for args in
        [&[][..], &["check"], &["dance"], &["split", CHIP], &["check", CHIP, "--allow", "nonsense"], &["diff", CHIP]]
    {
        assert!(said(args).ends_with("[exit 2]"), "{args:?}");
    }
    for (command, file) in [("domains", "/no/such/tree.dts"), ("map", "README.md")] {
        assert!(said(&[command, file]).ends_with("[exit 1]"), "{command}");
    }
}
