//! The helper for build scripts, on the trees that things in this repository are built from: another tree makes other constants and
//! linker regions, and one with a fault builds nothing and says what collides. The layer `an521` does the same with the
//! firmware itself.

use std::path::{Path, PathBuf};

use tutti_devicetree::build_script::{constants, firmware};

const AN521: &str = "examples/devicetree/mps2-an521.dts";
const PROCESS: &str = "crates/amp/host/src/process/process.dts";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A copy of a tree in a folder of its own, with these words changed, each of which it must have.
fn copy(tree: &str, changes: &[(&str, &str)]) -> (tempfile::TempDir, String) {
    let mut text = read(&root().join(tree));
    for (from, to) in changes {
        assert!(text.contains(from), "{tree} has no {from:?}");
        text = text.replace(from, to);
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("chip.dts");
    std::fs::write(&path, text).expect("writable");
    let path = path.to_str().expect("UTF-8").to_owned();
    (folder, path)
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The value of a constant, as it is written.
fn value<'a>(text: &'a str, name: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.strip_prefix("pub const ")?.strip_prefix(name)?.strip_prefix(": "));
    let line = line.unwrap_or_else(|| panic!("there is no {name} in {text}"));
    line.split_once(" = ").expect("a value").1.trim_end_matches(';')
}

/// What a domain's constants are, and its linker regions.
fn built(tree: &str, domain: &str) -> Result<(String, String, Vec<String>), String> {
    let out = tempfile::tempdir().expect("a temporary folder");
    let lines = firmware(tree, domain, out.path().to_str().expect("UTF-8"))?;
    Ok((read(&out.path().join("domain.rs")), read(&out.path().join("memory.x")), lines))
}

#[test]
fn another_tree_of_the_board_is_another_firmware() {
    let names = ["VDEV0VRING0_START", "RPMSG_CORE1_SHARED", "CORE1_TRACE_START", "CORE1_WORDS_START", "UART1_BASE"];
    let numbers =
        ["UART1_INTERRUPT_RX", "RPMSG_CORE1_DOORBELL_INTERRUPT", "RPMSG_CORE1_VRING_NUM", "SYSTICK_CLOCK_FREQUENCY"];
    let all = |text: &str| names.iter().chain(&numbers).map(|name| value(text, name).to_owned()).collect::<Vec<_>>();
    let original = root().join(AN521);
    let (constants, regions, lines) = built(original.to_str().expect("UTF-8"), "core0").expect("it has no faults");
    assert_eq!(
        all(&constants),
        ["0x38100000", "0x38104000", "0x38107000", "0x38106000", "0x50201000", "34", "6", "8", "20000000"]
    );
    assert!(regions.contains("FLASH                : ORIGIN = 0x10000000, LENGTH = 0x400000"), "{regions}");
    assert!(lines.iter().any(|line| line == &format!("cargo:rerun-if-changed={}", original.display())), "{lines:?}");

    let (_folder, moved) = copy(
        AN521,
        &[
            ("38100000", "38110000"),
            ("38104000", "38114000"),
            ("38106000", "38116000"),
            ("38107000", "38117000"),
            ("38102000", "38112000"),
            ("<35 3>, <34 3>", "<45 3>, <44 3>"),
            ("<6 3>", "<9 3>"),
            ("vring-num = <8>", "vring-num = <4>"),
            ("MAIN_CLOCK\t20000000", "MAIN_CLOCK\t25000000"),
            ("serial@50201000", "serial@50208000"),
            ("reg = <UART(1) 0x1000>", "reg = <0x50208000 0x1000>"),
        ],
    );
    for (domain, host) in [("core0", "CORE1"), ("core1", "CORE0")] {
        let (constants, regions, _) = built(&moved, domain).expect("it has no faults");
        if domain == "core0" {
            assert_eq!(
                all(&constants),
                ["0x38110000", "0x38114000", "0x38117000", "0x38116000", "0x50208000", "44", "9", "4", "25000000"]
            );
        }
        assert_eq!(value(&constants, &format!("RPMSG_{host}_VRING1")), "0x38112000");
        assert!(regions.contains("CORE1_TRACE          : ORIGIN = 0x38117000, LENGTH = 0x800"), "{regions}");
    }
}

/// The second core's code and data are two regions of the tree, and what the first loads it into.
#[test]
fn where_the_second_core_is_linked_follows_the_tree() {
    let (_folder, moved) = copy(
        AN521,
        &[
            ("core1-data@38010000", "core1-data@38008000"),
            ("reg = <0x38010000 0x4000>", "reg = <0x38008000 0x6000>"),
            ("reg = <0x38000000 0x10000>", "reg = <0x38000000 0x8000>"),
        ],
    );
    let (constants, regions, _) = built(&moved, "core1").expect("it has no faults");
    assert!(regions.contains("FLASH                : ORIGIN = 0x38000000, LENGTH = 0x8000"), "{regions}");
    assert!(regions.contains("RAM                  : ORIGIN = 0x38008000, LENGTH = 0x6000"), "{regions}");
    assert_eq!(value(&constants, "RPMSG_CORE0_VRING_ALIGN"), "4096");
    let (constants, ..) = built(&moved, "core0").expect("it has no faults");
    assert_eq!((value(&constants, "CORE1_DATA_START"), value(&constants, "CORE1_DATA_SIZE")), ("0x38008000", "0x6000"));
}

#[test]
fn the_memory_of_a_process_follows_its_tree() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let to = folder.path().join("process.rs");
    let original = root().join(PROCESS);
    constants(original.to_str().expect("UTF-8"), "remote", &to).expect("it has no faults");
    let text = read(&to);
    assert_eq!([value(&text, "WHOLE_START"), value(&text, "VDEV0BUFFER_START")], ["0x3ed00000", "0x3ed0a000"]);
    let (_folder, moved) = copy(PROCESS, &[("3ed", "4ed"), ("4ed02000 0x2000", "4ed02000 0x1000")]);
    constants(&moved, "remote", &to).expect("it has no faults");
    let text = read(&to);
    assert_eq!([value(&text, "WHOLE_START"), value(&text, "VDEV0BUFFER_START")], ["0x4ed00000", "0x4ed0a000"]);
    assert_eq!(value(&text, "LOG_SIZE"), "0x1000");
}

#[test]
fn a_tree_in_which_something_collides_builds_nothing() {
    let clash = |tree: &str, domain: &str, changes: &[(&str, &str)]| {
        let (folder, path) = copy(tree, changes);
        let out = tempfile::tempdir().expect("a temporary folder");
        let said = firmware(&path, domain, out.path().to_str().expect("UTF-8")).expect_err("it has a fault");
        assert_eq!(std::fs::read_dir(out.path()).expect("a folder").count(), 0, "something was written");
        assert!(said.contains("chip.dts:"), "{said}");
        said.replace(folder.path().to_str().expect("UTF-8"), "")
    };
    insta::assert_snapshot!(
        "build_script_queues_collide",
        clash(
            AN521,
            "core1",
            &[("vdev0vring1@38102000", "vdev0vring1@38101000"), ("reg = <0x38102000", "reg = <0x38101000")]
        )
    );
    let said = clash(AN521, "core0", &[("access = <&fpgaio 0>,", "access = <&fpgaio 0>, <&uart1 0>,")]);
    assert!(said.contains("uart1 is given to both 'core0' and 'core1'"), "{said}");
    let said = clash(AN521, "core0", &[("sram = <0x30000000 0x20000>", "sram = <0x38000000 0x20000>")]);
    assert!(said.contains("belongs to both 'core0' and 'core1'"), "{said}");
    let said = clash(PROCESS, "remote", &[("reg = <0x3ed02000 0x2000>", "reg = <0x3ed02000 0x3000>")]);
    assert!(said.contains("carveouts log and vdev0vring0 overlap"), "{said}");
    let said = clash(PROCESS, "remote", &[("reg = <0x3ed07000 0x3000>", "reg = <0x3ed07000 0x1000>")]);
    assert!(said.contains("256 descriptors need"), "{said}");
}

#[test]
fn a_domain_that_is_not_there_is_named() {
    let original = root().join(AN521);
    let said = built(original.to_str().expect("UTF-8"), "core2").expect_err("there is no such domain");
    assert!(said.ends_with("has no domain 'core2'; it has: core0, core1"), "{said}");
    assert!(built("/no/such/tree.dts", "core0").is_err());
}
