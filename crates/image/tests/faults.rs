//! Product files that are wrong, and what is said of each: file, line, and a way out.
#![allow(missing_docs)]

use std::fs;

use tutti_image::Project;

/// What is said of a product whose file has this text; other files lie beside it.
fn said(text: &str, others: &[(&str, &[u8])]) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in others {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let path = folder.path().join("product.toml");
    fs::write(&path, text).unwrap();
    let faults = match Project::read(&path) {
        Ok(project) => panic!("nothing is wrong with it: {:?}", project.plan.parts),
        Err(faults) => faults,
    };
    let json = faults.to_json();
    for fault in json.as_array().unwrap() {
        assert!(fault["help"].is_string() || fault["code"] == "cycle", "there is no way out of {fault}");
        assert!(fault["places"].as_array().unwrap().iter().all(|place| place["line"].as_u64().unwrap() > 0));
    }
    // The folder differs from run to run.
    let shown = faults.render(false);
    shown.replace(&format!("{}/", folder.path().display()), "").replace(&"-".repeat(60), "")
}

fn product(parts: &str, more: &str) -> String {
    format!("name = \"thing\"\nversion = \"1.0.0\"\nparts = [{parts}]\n{more}\n[hardware]\nboard = \"qemu-x86-64\"\n")
}

macro_rules! refused {
    ($name:ident, $said:expr) => {
        #[test]
        fn $name() {
            insta::assert_snapshot!($said);
        }
    };
}

refused!(an_unknown_part, said(&product("\"storge\", \"camera\"", ""), &[]));
refused!(an_unknown_board, said(&product("", "").replace("qemu-x86-64", "qemu-x68"), &[]));
refused!(an_unknown_word, said(&product("", "colour = \"red\""), &[]));
refused!(a_version_that_is_none, said(&product("", "").replace("1.0.0", "1.0"), &[]));
refused!(a_text_that_is_no_toml, said("name = \"x\nversion", &[]));
refused!(a_limit_that_is_no_size, said(&(product("", "") + "[limits]\nram = \"lots\"\n"), &[]));
refused!(
    hardware_that_is_missing,
    said(
        "name = \"x\"
version = \"1.0.0\"
profile = \"mini\"
parts = [\"second-core\"]
[hardware]
board = \"mps2-an386\"
\
     [firmware]
image = \"x.elf\"
",
        &[]
    )
);
refused!(a_part_for_a_board_without_it, said(&product("\"network-e1000\"", ""), &[]));
refused!(a_part_of_another_profile, said(&product("\"thermometer\"", ""), &[]));
refused!(an_impossible_limit, said(&(product("\"compute\", \"storage\"", "") + "[limits]\nram = \"60 MiB\"\n"), &[]));
refused!(a_limit_that_no_part_can_help, said(&(product("", "") + "[limits]\nram = \"1 MiB\"\n"), &[]));
refused!(
    a_program_for_a_microcontroller_without_one,
    said("name = \"x\"\nversion = \"1.0.0\"\nprofile = \"mini\"\n[hardware]\nboard = \"mps2-an386\"\n", &[])
);
refused!(a_board_of_another_profile, said(&product("", "profile = \"mini\""), &[]));
refused!(a_group_without_its_ticket, said(&(product("", "") + "[group]\njoin = \"ticket\"\n"), &[]));
refused!(
    a_network_without_its_address,
    said(&(product("", "") + "[network]\nmode = \"static\"\naddress = \"10.0.0.300/24\"\n"), &[])
);
refused!(control_characters, said(&product("\"\\u001b[2J\"", ""), &[]));

const CIRCLE: &str = "\
[camera]
about = \"a camera\"
profiles = [\"standard\"]
needs.parts = [\"codec\"]
[codec]
about = \"makes pictures small\"
profiles = [\"standard\"]
needs.parts = [\"camera\"]
";

refused!(
    a_circle_of_own_parts,
    said(&product("\"camera\"", "parts-from = [\"own.toml\"]"), &[("own.toml", CIRCLE.as_bytes())])
);
refused!(a_file_of_parts_that_is_missing, said(&product("", "parts-from = [\"own.toml\"]"), &[]));
refused!(
    an_own_part_with_the_name_of_another,
    said(
        &product("", "parts-from = [\"own.toml\"]"),
        &[("own.toml", b"[storage]\nabout = \"mine\"\nprofiles = [\"standard\"]\n")]
    )
);
refused!(
    an_interface_that_nothing_gives,
    said(
        &product("\"radio\"", "parts-from = [\"own.toml\"]"),
        &[(
            "own.toml",
            b"[radio]\nabout = \"r\"\nprofiles = [\"standard\"]\nneeds.interfaces = [\"antena\"]\n\
            [mast]\nabout = \"m\"\nprofiles = [\"standard\"]\ngives.interfaces = [\"antenna\"]\n"
        )]
    )
);
refused!(
    parts_that_cannot_be_together,
    said(
        &product("\"fast\", \"small\"", "parts-from = [\"own.toml\"]"),
        &[(
            "own.toml",
            b"[fast]\nabout = \"f\"\nprofiles = [\"standard\"]\nconflicts = [\"small\"]\n\
            [small]\nabout = \"s\"\nprofiles = [\"standard\"]\n"
        )]
    )
);

/// A firmware whose one segment is loaded here.
fn firmware(address: u32, length: u32) -> Vec<u8> {
    let mut elf = vec![0; 52 + 32];
    elf[..7].copy_from_slice(b"\x7fELF\x01\x01\x01");
    let mut put = |at: usize, value: u32| elf[at..at + 4].copy_from_slice(&value.to_le_bytes());
    put(0x1c, 52);
    put(0x2a, 32 | 1 << 16);
    let segment = [1, 0, address, address, 0, length, 5, 4];
    segment.iter().enumerate().for_each(|(index, value)| put(52 + 4 * index, *value));
    elf
}

const TREE: &str = include_str!("../../../examples/devicetree/zynqmp-like.dts");

fn with_cores(cores: &[(&str, &str)], others: &[(&str, &[u8])]) -> String {
    let mut text = "name = \"thing\"\nversion = \"1.0.0\"\n[hardware]\ntree = \"chip.dts\"\ndomain = \"linux\"\n\
        [kernel]\nfile = \"vmlinuz\"\n"
        .to_owned();
    for (domain, file) in cores {
        text += &format!("[[core]]\ndomain = \"{domain}\"\nfirmware = \"{file}\"\n");
    }
    said(&text, &[&[("chip.dts", TREE.as_bytes())], others].concat())
}

refused!(firmware_outside_of_its_memory, with_cores(&[("rpu0", "a.elf")], &[("a.elf", &firmware(0x7000_0000, 64))]));
refused!(firmware_that_is_missing, with_cores(&[("rpu0", "a.elf")], &[]));
refused!(firmware_that_is_none, with_cores(&[("rpu0", "a.elf")], &[("a.elf", b"hello")]));
refused!(
    two_that_want_the_same_addresses,
    with_cores(&[("rpu0", "a.elf"), ("rpu0", "b.elf")], &[("a.elf", &firmware(0, 64)), ("b.elf", &firmware(32, 64))])
);
refused!(a_core_that_the_tree_has_not, with_cores(&[("rpu7", "a.elf")], &[("a.elf", &firmware(0, 64))]));
