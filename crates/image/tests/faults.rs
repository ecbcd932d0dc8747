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
refused!(an_impossible_limit, said(&(product("\"compute\", \"storage\"", "") + "[limits]\nram = \"35 MiB\"\n"), &[]));
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

/// A firmware with a resource table.
fn with_table(table: &[u8]) -> Vec<u8> {
    let mut elf = firmware(0, 64);
    let names = b"\0.resource_table\0.shstrtab\0";
    let (names_at, table_at) = (elf.len(), elf.len() + names.len());
    let headers_at = table_at + table.len();
    elf.extend(names);
    elf.extend(table);
    for (name, at, length) in [(0u32, 0, 0), (1, table_at, table.len()), (17, names_at, names.len())] {
        let mut header = [0; 40];
        let mut put = |at: usize, value: u32| header[at..at + 4].copy_from_slice(&value.to_le_bytes());
        put(0, name);
        put(4, u32::from(length > 0));
        put(16, u32::try_from(at).unwrap());
        put(20, u32::try_from(length).unwrap());
        elf.extend(header);
    }
    elf[0x20..0x24].copy_from_slice(&u32::try_from(headers_at).unwrap().to_le_bytes());
    (elf[0x2e], elf[0x30], elf[0x32]) = (40, 3, 2);
    elf
}

/// The resource table that the tree says for a domain, with these words changed: an address for another.
fn table(domain: &str, changes: &[(u32, u32)]) -> Vec<u8> {
    use tutti_devicetree::{Reading, diag::Diags, emit, load, source::Disk, system::System};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chip.dts");
    fs::write(&path, TREE).unwrap();
    let loaded = load(&[path.to_str().unwrap()], &Disk, &Reading::default());
    let system = System::read(&loaded.tree, &mut Diags::default());
    let index = system.domains.iter().position(|it| it.name == domain).unwrap();
    let mut table = emit::resource_table(&emit::layout(&system, index).unwrap()).unwrap().expect("the tree has one");
    for (from, to) in changes {
        let from = from.to_le_bytes();
        let at = table.windows(4).position(|window| window == from).expect("it is in the table");
        table[at..at + 4].copy_from_slice(&to.to_le_bytes());
    }
    table
}

const VRING0: u32 = 0x3ed4_0000;

refused!(
    a_resource_table_that_disagrees_with_the_tree,
    with_cores(&[("rpu0", "a.elf")], &[("a.elf", &with_table(&table("rpu0", &[(VRING0, 0x3ed5_0000)])))])
);
refused!(
    a_resource_table_that_cannot_be_read,
    with_cores(&[("rpu0", "a.elf")], &[("a.elf", &with_table(&table("rpu0", &[])[..20]))])
);

/// The tree's own table, and one that leaves addresses to the host, are as good.
#[test]
fn a_resource_table_that_agrees_is_taken() {
    for changes in [&[][..], &[(VRING0, u32::MAX)]] {
        let folder = tempfile::tempdir().unwrap();
        let text = "name = \"thing\"\nversion = \"1.0.0\"\n[hardware]\ntree = \"chip.dts\"\ndomain = \"linux\"\n\
            [kernel]\nfile = \"vmlinuz\"\n[[core]]\ndomain = \"rpu0\"\nfirmware = \"a.elf\"\n";
        for (name, bytes) in [
            ("product.toml", text.as_bytes()),
            ("chip.dts", TREE.as_bytes()),
            ("a.elf", &with_table(&table("rpu0", changes))),
        ] {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        let faults = match Project::read(&folder.path().join("product.toml")) {
            Ok(project) => {
                assert!(["cores", "remoteproc"].iter().all(|part| project.plan.parts.contains_key(*part)));
                continue;
            }
            Err(faults) => faults.render(false),
        };
        // The tree's domain is for no network that is known here, which is all that may be wrong.
        assert!(faults.contains("network-driver") && !faults.contains("resource table"), "{faults}");
    }
}

/// A package of an app of this name.
fn app(name: &str) -> Vec<u8> {
    let manifest = format!("name = {name:?}\nversion = \"0.1.0\"\n");
    let key = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    tutti_app::package::Package::make(&manifest, b"\0asm\x0d\0\x01\0", None, &key).unwrap()
}

refused!(
    an_app_that_is_none,
    said(&product("", "apps = [\"a.tutti\", { file = \"none.tutti\", run = true }]"), &[("a.tutti", b"no package")])
);
refused!(an_app_with_an_unknown_word, said(&product("", "apps = [{ file = \"a.tutti\", start = true }]"), &[]));
refused!(
    two_apps_of_one_name,
    said(&product("", "apps = [\"a.tutti\", \"b.tutti\"]"), &[("a.tutti", &app("relay")), ("b.tutti", &app("relay"))])
);
refused!(
    an_app_for_a_microcontroller,
    said(
        "name = \"x\"\nversion = \"1.0.0\"\nprofile = \"mini\"\napps = [\"a.tutti\"]\n[hardware]\nboard = \"mps2-an386\"\n\
         [firmware]\nimage = \"x.elf\"\n",
        &[("a.tutti", &app("relay"))]
    )
);
refused!(
    a_core_that_is_a_program_and_a_domain,
    said(&(product("", "") + "[[core]]\nname = \"a\"\ndomain = \"b\"\nfirmware = \"c\"\n"), &[])
);
refused!(
    a_core_on_a_board_without_a_tree,
    said(&(product("", "") + "[[core]]\ndomain = \"m4\"\nfirmware = \"a.elf\"\n"), &[])
);
refused!(
    a_core_that_is_no_program_for_the_hardware,
    said(&(product("", "") + "[[core]]\nname = \"brain\"\nfirmware = \"a.elf\"\n"), &[("a.elf", &firmware(0, 64))])
);
refused!(
    a_message_to_stop_that_is_none,
    said(&(product("", "") + "[[core]]\nname = \"a\"\nfirmware = \"c\"\nstop-message = \"stop\"\n"), &[])
);
