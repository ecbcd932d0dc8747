//! The sample chips in `examples/devicetree`: no faults, and what each domain gets.

use std::path::Path;

use tutti_devicetree::{
    Diags, Disk, Limits, Loaded, Memory, Reading, check, command, diff::diff, dtb, emit, load, system::System,
};
use tutti_remoteproc::table::{Claim, Entry, Table};

const CHIPS: [(&str, &[&str]); 4] = [
    ("zynqmp-like", &["linux", "rpu0", "rpu1"]),
    ("stm32mp1-like", &["linux", "m4"]),
    ("mps2-an521", &["core0", "core1"]),
    ("mps2-an386", &["core0"]),
];

fn chip(name: &str) -> Loaded {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../examples/devicetree/{name}.dts"));
    let mut loaded = load(&[path.to_str().expect("UTF-8")], &Disk, &Reading::default());
    command::check(&mut loaded);
    assert!(loaded.diags.list.is_empty(), "{name}: {}", loaded.render(false));
    loaded
}

#[test]
fn every_domain_gets_a_tree_without_faults() {
    for (name, domains) in CHIPS {
        let loaded = chip(name);
        let system = System::read(&loaded.tree, &mut Diags::default());
        assert_eq!(system.domains.iter().map(|d| d.name.as_str()).collect::<Vec<_>>(), domains);
        for (index, domain) in domains.iter().enumerate() {
            let pruned = emit::prune(&system, index).expect("it splits");
            let found = check::check(&pruned.tree);
            assert!(found.list.is_empty(), "{name} {domain}: {}", found.render(&loaded.sources, false));
            assert!(pruned.tree.find("/domains").is_none() && pruned.tree.find("/cpus").is_some());
            // Source and blob say the same.
            let (files, _) = command::split(&loaded, domain).expect("it splits");
            let dts = &files[0].bytes;
            let again = load(&["a.dts"], &Memory::default().with("a.dts", dts.clone()), &Reading::default());
            assert!(!again.diags.has_errors(), "{name} {domain}: {}", again.render(false));
            let blob = dtb::read(&files[1].bytes, &Limits::default()).expect("a blob");
            assert_eq!(diff(&again.tree, &blob), []);
        }
    }
}

#[test]
fn devices_have_one_owner_unless_both_agree() {
    for (name, domains) in CHIPS {
        let loaded = chip(name);
        let system = System::read(&loaded.tree, &mut Diags::default());
        let trees: Vec<_> = (0..domains.len()).map(|i| emit::prune(&system, i).expect("it splits").tree).collect();
        for domain in &system.domains {
            for access in &domain.access {
                let holders = trees.iter().filter(|t| t.walk().any(|n| n == access.device)).count();
                let owners = system.owners(access.device).count();
                assert_eq!(holders, owners, "{name}: {} is in {holders} trees", loaded.tree.name_of(access.device));
            }
        }
    }
}

fn output(chip_name: &str, domain: &str, file: &str) -> String {
    let loaded = chip(chip_name);
    let (files, notes) = command::split(&loaded, domain).expect("it splits");
    let file = files.into_iter().find(|f| f.name == file).unwrap_or_else(|| panic!("no {file}; {notes:?}"));
    String::from_utf8(file.bytes).expect("text")
}

#[test]
fn generated_files() {
    for (chip, domain, file) in [
        ("zynqmp-like", "linux", "linux.dts"),
        ("stm32mp1-like", "linux", "linux.dts"),
        ("zynqmp-like", "rpu0", "rpu0.overlay"),
        ("zynqmp-like", "rpu0", "rpu0-platform_info.h"),
        ("zynqmp-like", "rpu1", "rpu1-platform_info.h"),
        ("stm32mp1-like", "m4", "m4-memory.x"),
        ("mps2-an521", "core0", "core0.rs"),
        ("mps2-an521", "core1", "core1.rs"),
        ("mps2-an521", "core1", "core1-memory.x"),
        ("mps2-an521", "core1", "core1.dts"),
    ] {
        insta::assert_snapshot!(format!("{chip}_{file}"), output(chip, domain, file));
    }
}

#[test]
fn maps_and_listings() {
    for (name, domains) in CHIPS {
        let loaded = chip(name);
        insta::assert_snapshot!(format!("{name}_map"), command::map(&loaded.tree, "map.md"));
        insta::assert_json_snapshot!(format!("{name}_domains"), command::domains(&loaded.tree));
        let svg = command::map(&loaded.tree, "map.svg");
        // Who is alone shares nothing.
        let shared = if domains.len() > 1 { "vring0" } else { "ssram1" };
        for word in ["<svg", "</svg>", "the chip", shared] {
            assert!(svg.contains(word), "{name}: no {word}");
        }
        assert_eq!(
            svg.matches("<rect").count() + svg.matches("<text").count() + svg.matches("<line").count(),
            svg.matches("/>").count() + svg.matches("</text>").count() - svg.matches("</pattern>").count()
                + svg.matches("<pattern").count()
        );
    }
    insta::assert_snapshot!("show", {
        let shown = command::show(&chip("zynqmp-like"), "ttc0").expect("there is one").to_string();
        // Where the sample lies is not the sample's business.
        shown.lines().filter(|l| !l.contains("defined")).collect::<Vec<_>>().join("\n")
    });
}

#[test]
fn the_resource_table_of_the_second_core() {
    let loaded = chip("mps2-an521");
    let system = System::read(&loaded.tree, &mut Diags::default());
    let layout = emit::layout(&system, 1).expect("it has one");
    let table = emit::resource_table(&layout).expect("32-bit addresses").expect("a host starts it");
    assert_eq!(table.len(), 16 + 3 * 4 + 2 * 56 + 28 + 2 * 20);
    let table = Table::new_checked(table).expect("it is one");
    assert_eq!(table.lint().next(), None);
    let entries: Vec<_> = table.entries().collect();
    let [Entry::Carveout(code), Entry::Carveout(data), Entry::Vdev(vdev)] = entries[..] else { panic!("{entries:?}") };
    assert_eq!((code.da, code.name.to_string()), (Claim(0x3800_0000), "core1_code".to_owned()));
    assert_eq!((data.da, data.name.to_string()), (Claim(0x3801_0000), "core1_data".to_owned()));
    let vrings: Vec<_> = vdev.vrings.iter().map(|vring| (vring.da, vring.num, vring.notifyid)).collect();
    assert_eq!(vrings, [(0x3810_0000, 8, 0), (0x3810_2000, 8, 1)]);
}

#[test]
fn a_yaml_file_of_domains_lies_over_a_tree() {
    let chip = "/dts-v1/;\n/ { #address-cells = <2>; #size-cells = <2>;\n cpus_a53: cpus { #address-cells = <1>; #size-cells = <0>; cpu@0 { device_type = \"cpu\"; reg = <0>; }; };\n memory@0 { device_type = \"memory\"; reg = <0 0 0 0x80000000>; };\n axi: axi { compatible = \"simple-bus\"; #address-cells = <2>; #size-cells = <2>; ranges; serial0: serial@ff000000 { reg = <0 0xff000000 0 0x1000>; }; };\n};\n";
    let domains = "reserved-memory:\n  ranges: true\n  vdev0vring0@9860000: { start: 0x9860000, size: 0x4000, no-map: 1 }\ndomains:\n  apu:\n    compatible: openamp,domain-v1\n    os,type: linux\n    cpus:\n      - { cluster: cpus_a53, cpumask: 0x1, mode: { secure: true, el: 0x3 } }\n    memory:\n      - { start: 0, size: 2G, flags: { read-only: true } }\n    access:\n      - { dev: serial0, flags: { shared: true } }\n    reserved-memory: [ vdev0vring0@9860000 ]\n";
    let loaded = load(
        &["chip.dts", "domains.yaml"],
        &Memory::default().with("chip.dts", chip).with("domains.yaml", domains),
        &Reading::default(),
    );
    assert!(loaded.diags.list.is_empty(), "{}", loaded.render(false));
    let node = loaded.tree.find("/domains/apu").expect("it is there");
    insta::assert_snapshot!("yaml_domain", tutti_devicetree::print::node_to_dts(&loaded.tree, node, None));
    assert!(check::check(&loaded.tree).list.is_empty());
}

#[test]
fn an_overlay_in_source_form_merges() {
    let base = "/dts-v1/;\n/ { x = <&i2c0>; i2c0: i2c { status = \"disabled\"; }; };\n";
    let over = "/dts-v1/;\n/plugin/;\n&i2c0 { status = \"okay\"; sensor: sensor@48 { reg = <0x48>; bus = <&i2c0>; me = <&sensor>; }; };\n";
    let loaded = load(
        &["b.dts", "o.dtso"],
        &Memory::default().with("b.dts", base).with("o.dtso", over),
        &Reading { symbols: true, ..Reading::default() },
    );
    assert!(loaded.diags.list.is_empty(), "{}", loaded.render(false));
    let tree = &loaded.tree;
    let (bus, sensor) = (tree.find("/i2c").expect("bus"), tree.find("/i2c/sensor@48").expect("sensor"));
    assert_eq!(tree.node(bus).text("status"), Some("okay"));
    assert_eq!(tree.node(sensor).cell("bus"), tree.node(bus).phandle());
    assert_eq!(tree.node(sensor).cell("me"), tree.node(sensor).phandle());
}

#[test]
fn comments_come_along() {
    let text = "/dts-v1/;\n\n/ {\n\t/* The console.\n\t * Two lines. */\n\tserial {\n\t\t// Fast.\n\t\tspeed = <115200>; // not this one's\n\t\tparity;\n\t};\n};\n";
    let loaded = tutti_devicetree::from_text("a.dts", text);
    insta::assert_snapshot!("comments", tutti_devicetree::print::to_dts(&loaded.tree, Some(&loaded.sources)));
}
