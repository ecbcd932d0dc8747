//! What people read when a tree is wrong: one snapshot for each message of the readers.

use tutti_devicetree::{Memory, Reading, load};

fn message(name: &str, files: &[(&str, &str)]) {
    let memory = files.iter().fold(Memory::default(), |m, (n, t)| m.with(n, *t));
    let mut reading = Reading::default();
    reading.options.include = vec!["include".to_owned()];
    // Bombs end the same way at any limit, only later.
    reading.options.limits.macro_steps = 1 << 18;
    let names: Vec<&str> = files.iter().map(|(n, _)| *n).filter(|n| !n.contains('/')).collect();
    let loaded = load(&names, &memory, &reading);
    assert!(!loaded.diags.list.is_empty(), "{name}: no message");
    insta::assert_snapshot!(name, loaded.render(false));
}

/// Each text stands inside the root node.
const IN_ROOT: [(&str, &str); 30] = [
    ("missing_semicolon", "a = <1>\n\tb = <2>;"),
    ("missing_semicolon_after_flag", "a\n\tb = <2>;"),
    ("missing_semicolon_after_node", "a { }\n\tb { };"),
    ("cells_not_closed", "a = <1 2;\n\tb;"),
    ("bytes_not_closed", "a = [01 02;\n\tb;"),
    ("string_not_closed", "a = \"text;\n\tb;"),
    ("number_outside_brackets", "a = 5;"),
    ("comma_in_cells", "a = <1, 2>;"),
    ("arithmetic_without_parentheses", "a = <1 + 2>;"),
    ("parenthesis_not_closed", "a = <(1 + 2>;"),
    ("division_by_zero", "a = <(1 / (2 - 2))>;"),
    ("calculating_with_a_reference", "l: n { };\n\t};\n/ { a = <(&l + 1)>;"),
    ("operator_without_value", "a = <(1 +)>;"),
    ("two_values_in_parentheses", "a = <(1 2)>;"),
    ("number_too_big", "a = <0x123456789>;"),
    ("number_of_more_than_64_bits", "a = <0x12345678901234567>;"),
    ("digit_beyond_octal", "a = <089>;"),
    ("byte_out_of_range", "a = /bits/ 8 <256>;"),
    ("odd_width", "a = /bits/ 12 <1>;"),
    ("reference_in_wide_cells", "l: n { };\n\tb = /bits/ 64 <&l>;"),
    ("unknown_label", "uart0: serial { };\n\t};\n/ { console = <&uart1>;"),
    ("unknown_path", "console = &{/soc/serial};"),
    ("macro_not_defined", "a = <GPIO_ACTIVE_LOW>;"),
    ("reference_inside_a_node", "&l { status = \"okay\"; };"),
    ("property_after_child", "n { };\n\ta = <1>;"),
    ("half_a_byte", "a = [0 12];"),
    ("unknown_directive", "/delete-nod/ a;"),
    ("defined_twice", "a = <1>;\n\ta = <2>;"),
    ("label_taken", "x: a { };\n\tx: b { };"),
    ("bad_node_name", "a@@1 { };"),
];

#[test]
fn inside_the_root() {
    for (name, text) in IN_ROOT {
        message(name, &[("chip.dts", &format!("/dts-v1/;\n\n/ {{\n\t{text}\n}};\n"))]);
    }
}

const WHOLE: [(&str, &str); 26] = [
    ("no_version", "/ { };\n"),
    ("node_not_closed", "/dts-v1/;\n/ {\n\ta {\n\t\tb;\n\t};\n"),
    ("nothing_at_top", "/dts-v1/;\nserial {\n};\n"),
    ("closed_too_often", "/dts-v1/;\n/ {\n};\n};\n"),
    ("unknown_label_at_top", "/dts-v1/;\n/ { i2c0: i2c { }; };\n&i2c1 { status = \"okay\"; };\n"),
    ("delete_what_is_not_there", "/dts-v1/;\n/ { };\n/delete-node/ &gone;\n"),
    ("delete_by_name_at_top", "/dts-v1/;\n/ { a { }; };\n/delete-node/ a;\n"),
    ("reserve_without_length", "/dts-v1/;\n/memreserve/ 0x1000;\n/ { };\n"),
    ("phandle_twice", "/dts-v1/;\n/ {\n\ta { phandle = <1>; };\n\tb { phandle = <1>; };\n};\n"),
    ("phandle_zero", "/dts-v1/;\n/ {\n\ta { phandle = <0>; };\n};\n"),
    ("include_missing", "/dts-v1/;\n#include <dt-bindings/gpio/none.h>\n/ { };\n"),
    ("include_without_name", "/dts-v1/;\n#include\n/ { };\n"),
    ("include_loop", "/dts-v1/;\n#include \"chip.dts\"\n/ { };\n"),
    ("old_include_without_name", "/dts-v1/;\n/include/ ;\n/ { };\n"),
    ("if_not_closed", "/dts-v1/;\n#ifdef A\n/ { };\n"),
    ("else_without_if", "/dts-v1/;\n#else\n/ { };\n"),
    ("endif_without_if", "/dts-v1/;\n#endif\n/ { };\n"),
    ("else_after_else", "/dts-v1/;\n#if 1\n#else\n#else\n#endif\n/ { };\n"),
    ("condition_without_value", "/dts-v1/;\n#if 1 +\n#endif\n/ { };\n"),
    ("condition_with_junk", "/dts-v1/;\n#if 1 2\n#endif\n/ { };\n"),
    ("error_directive", "/dts-v1/;\n#error \"choose a board\"\n/ { };\n"),
    ("define_without_name", "/dts-v1/;\n#define\n/ { };\n"),
    ("define_with_bad_parameters", "/dts-v1/;\n#define F(a b) a\n/ { };\n"),
    ("macro_with_too_few_arguments", "/dts-v1/;\n#define F(a, b) a b\n/ { x = <F(1)>; };\n"),
    ("macro_call_not_closed", "/dts-v1/;\n#define F(a) a\n/ { x = <F(1>; };\n"),
    ("macro_defined_again", "/dts-v1/;\n#define N 1\n#define N 2\n/ { x = <N>; };\n"),
];

#[test]
fn whole_files() {
    for (name, text) in WHOLE {
        message(name, &[("chip.dts", text)]);
    }
}

#[test]
fn bombs_end() {
    // Ten levels of ten: 10^10 tokens if somebody let them.
    let mut bomb = String::from("/dts-v1/;\n#define A0 1\n");
    for i in 1..=10 {
        let line = format!("A{} ", i - 1).repeat(10);
        bomb.push_str(&format!("#define A{i} {line}\n"));
    }
    bomb.push_str("/ { x = <A10>; };\n");
    message("macro_bomb", &[("chip.dts", &bomb)]);
    let call = format!("{}1{}", "F(".repeat(300), ")".repeat(300));
    message("nested_macro_calls", &[("chip.dts", &format!("/dts-v1/;\n#define F(a) a a\n/ {{ x = <{call}>; }};\n"))]);
    let mut doubling: Vec<(String, String)> =
        vec![("chip.dts".to_owned(), "/dts-v1/;\n#include \"x/0\"\n/ { };\n".to_owned())];
    doubling.extend((0..60).map(|i| (format!("x/{i}"), format!("#include \"{0}\"\n#include \"{0}\"\n", i + 1))));
    doubling.push(("x/60".to_owned(), "\n".to_owned()));
    let doubling: Vec<(&str, &str)> = doubling.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
    message("doubling_includes", &doubling);
    message("nested_yaml", &[("chip.yaml", &"[".repeat(100_000))]);
    message("nested_nodes", &[("chip.dts", &format!("/dts-v1/;\n/ {{ {}", "a { ".repeat(100_000)))]);
    message(
        "nested_parentheses",
        &[("chip.dts", &format!("/dts-v1/;\n/ {{ a = <{}1{}>; }};\n", "(".repeat(10_000), ")".repeat(10_000)))],
    );
    let laughs = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned()
        + &('b'..='i')
            .map(|c| {
                let p = char::from(c as u8 - 1);
                format!("{c}: &{c} [{}]\n", vec![format!("*{p}"); 9].join(", "))
            })
            .collect::<String>();
    message("yaml_laughs", &[("chip.yaml", &laughs)]);
}

const YAML: [(&str, &str); 8] = [
    ("yaml_syntax", "a: [1, 2\nb: 3\n"),
    ("yaml_top_is_a_list", "- a\n- b\n"),
    ("yaml_key_twice", "a:\n  x: 1\n  x: 2\n"),
    (
        "yaml_unknown_device",
        "axi:\n  serial0: { compatible: x }\ndomains:\n  d:\n    compatible: openamp,domain-v1\n    access:\n      - dev: serial1\n",
    ),
    ("yaml_memory_without_size", "domains:\n  d:\n    compatible: openamp,domain-v1\n    memory:\n      - start: 1M\n"),
    (
        "yaml_unknown_flag",
        "domains:\n  d:\n    compatible: openamp,domain-v1\n    memory:\n      - { start: 0, size: 4K, flags: { shred: true } }\n",
    ),
    ("yaml_conditional", "axi:\n  t: { compatible!linux: uio }\n"),
    ("yaml_mixed_list", "a: { x: [1, { b: 2 }] }\n"),
];

#[test]
fn yaml() {
    for (name, text) in YAML {
        message(name, &[("chip.yaml", text)]);
    }
}

#[test]
fn overlays() {
    let base = "/dts-v1/;\n/ { a: a { }; };\n";
    message("overlay_unknown_label", &[("chip.dts", base), ("over.dtso", "/dts-v1/;\n/plugin/;\n&b { x; };\n")]);
    message("overlay_unknown_path", &[("chip.dts", base), ("over.dtso", "/dts-v1/;\n/plugin/;\n&{/b} { x; };\n")]);
}

#[test]
fn blobs_are_refused_by_name() {
    use tutti_devicetree::dtb::{read, write};
    let limits = tutti_devicetree::Limits::default();
    let good = write(&tutti_devicetree::from_text("a.dts", "/dts-v1/;\n/ { a { b = <1>; }; };\n").tree);
    let broken = |at: usize, byte: u8| {
        let mut blob = good.clone();
        blob[at] = byte;
        read(&blob, &limits).map(|_| ()).map_err(|e| e.to_string())
    };
    assert!(read(&good, &limits).is_ok());
    let all = [
        ("magic", broken(0, 0)),
        ("longer than it is", broken(5, 1)),
        ("version", broken(23, 99)),
        ("structure outside", broken(9, 1)),
        ("strings outside", broken(13, 1)),
        ("first token", broken(59, 7)),
        ("a name", broken(68, b'\n')),
        ("cut", read(&good[..good.len() - 9], &limits).map(|_| ()).map_err(|e| e.to_string())),
        ("empty", read(&[], &limits).map(|_| ()).map_err(|e| e.to_string())),
    ];
    assert!(all.iter().all(|(_, r)| r.is_err()), "{all:?}");
    insta::assert_debug_snapshot!("blob_errors", all);
}
