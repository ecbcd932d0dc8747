//! Random trees: what is printed reads as the same bytes, what is written reads as the same tree, what is laid in
//! YAML comes back; and where `dtc` is installed, it makes the same bytes. `TUTTI_DT_CASES` sets how many (`dtc`
//! takes a few milliseconds each, so it gets a sixteenth of them).

use std::process::Command;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tutti_devicetree::tree::{Property, Value};
use tutti_devicetree::{Limits, Memory, NodeId, Reading, Tree, diff::diff, dtb, load, print, syntax, yaml};

fn cases() -> u32 {
    std::env::var("TUTTI_DT_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(256)
}

/// A node as a recipe: properties, children.
#[derive(Debug, Clone)]
struct Recipe {
    properties: Vec<(u8, Kind)>,
    children: Vec<(u8, Recipe)>,
    label: bool,
}

#[derive(Debug, Clone)]
enum Kind {
    Flag,
    Cells(Vec<u32>),
    Texts(Vec<String>),
    Bytes(Vec<u8>),
    Wide(Vec<u64>),
    Refer(u8, Vec<u32>),
    Path(u8),
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Flag),
        prop::collection::vec(any::<u32>(), 1..5).prop_map(Kind::Cells),
        prop::collection::vec("[ -~\t\n]{0,12}", 1..4).prop_map(Kind::Texts),
        prop::collection::vec(any::<u8>(), 1..9).prop_map(Kind::Bytes),
        prop::collection::vec(any::<u64>(), 1..3).prop_map(Kind::Wide),
        (any::<u8>(), prop::collection::vec(any::<u32>(), 0..3)).prop_map(|(n, c)| Kind::Refer(n, c)),
        any::<u8>().prop_map(Kind::Path),
    ]
}

fn recipe() -> impl Strategy<Value = Recipe> {
    let leaf = (prop::collection::vec((any::<u8>(), kind()), 0..5), any::<bool>())
        .prop_map(|(properties, label)| Recipe { properties, children: Vec::new(), label });
    leaf.prop_recursive(4, 40, 5, |inner| {
        (
            prop::collection::vec((any::<u8>(), kind()), 0..5),
            prop::collection::vec((any::<u8>(), inner), 0..5),
            any::<bool>(),
        )
            .prop_map(|(properties, children, label)| Recipe { properties, children, label })
    })
}

/// Source text of a recipe. Labels are `l0`, `l1`, … in order; references go to one of those.
fn source(recipe: &Recipe) -> String {
    fn count(r: &Recipe) -> usize {
        usize::from(r.label) + r.children.iter().map(|(_, c)| count(c)).sum::<usize>()
    }
    fn node(out: &mut String, r: &Recipe, name: &str, next: &mut usize, labels: usize, root: bool) {
        if r.label && !root {
            out.push_str(&format!("l{next}: "));
            *next += 1;
        }
        out.push_str(&format!("{name} {{\n"));
        let mut used = Vec::new();
        for (n, kind) in &r.properties {
            let name =
                ["a", "vendor,some-long-property-name", "#x-cells", "b", "c.d", "interrupts?"][usize::from(*n) % 6];
            if used.contains(&name) {
                continue;
            }
            used.push(name);
            let hex = |c: &[u32]| c.iter().map(|c| format!("{c:#x}")).collect::<Vec<_>>().join(" ");
            let value = match kind {
                Kind::Flag => String::new(),
                Kind::Cells(c) => format!(" = <{}>", hex(c)),
                Kind::Texts(t) => {
                    let t: Vec<String> = t
                        .iter()
                        .map(|t| format!("\"{}\"", t.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")))
                        .collect();
                    format!(" = {}", t.join(", "))
                }
                Kind::Bytes(b) => format!(" = [{}]", b.iter().map(|b| format!("{b:02x}")).collect::<String>()),
                Kind::Wide(w) => {
                    format!(" = /bits/ 64 <{}>, <1>", w.iter().map(|w| format!("{w:#x}")).collect::<Vec<_>>().join(" "))
                }
                Kind::Refer(_, c) if labels == 0 => format!(" = <0x1 {}>", hex(c)),
                Kind::Refer(n, c) => format!(" = <&l{} {}>, <(1 + 2 * 3)>", usize::from(*n) % labels, hex(c)),
                Kind::Path(_) if labels == 0 => String::new(),
                Kind::Path(n) => format!(" = &l{}, \"x\"", usize::from(*n) % labels),
            };
            out.push_str(&format!("{name}{value};\n"));
        }
        for (i, (n, child)) in r.children.iter().enumerate() {
            let name = if n % 2 == 0 { format!("n@{i:x}") } else { format!("node-{i}") };
            node(out, child, &name, next, labels, false);
        }
        out.push_str("};\n");
    }
    let labels = count(recipe) - usize::from(recipe.label);
    let mut out = String::from("/dts-v1/;\n/memreserve/ 0x1000 0x20;\n");
    node(&mut out, recipe, "/", &mut 0, labels, true);
    out
}

fn compile(text: &str) -> Tree {
    let loaded =
        load(&["a.dts"], &Memory::default().with("a.dts", text), &Reading { symbols: true, ..Reading::default() });
    assert!(loaded.diags.list.is_empty(), "{}\n{text}", loaded.render(false));
    loaded.tree
}

fn strip(tree: &Tree) -> Tree {
    // Without symbols, to print and compile again with them.
    let mut tree = tree.clone();
    if let Some(id) = tree.find_exact("/__symbols__") {
        tree.remove(id);
    }
    tree
}

#[test]
fn source_survives() {
    let mut runner = TestRunner::new(Config { cases: cases(), failure_persistence: None, ..Config::default() });
    runner
        .run(&recipe(), |recipe| {
            let text = source(&recipe);
            let (tree, _) = syntax::parse(&text, tutti_devicetree::Span::new(0, text.len()), &Limits::default());
            prop_assert_eq!(tree.to_text(&text), text.as_str());
            let tree = compile(&text);
            let blob = dtb::write(&tree);
            let printed = print::to_dts(&strip(&tree), None);
            prop_assert_eq!(&dtb::write(&compile(&printed)), &blob, "{}", printed);
            let read = dtb::read(&blob, &Limits::default()).expect("it was written here");
            prop_assert_eq!(&dtb::write(&read), &blob);
            prop_assert!(diff(&tree, &read).is_empty(), "{:?}", diff(&tree, &read));
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn yaml_survives() {
    let mut runner = TestRunner::new(Config { cases: cases(), failure_persistence: None, ..Config::default() });
    runner
        .run(&recipe(), |recipe| {
            let text = source(&recipe);
            let loaded = load(&["a.dts"], &Memory::default().with("a.dts", text.as_str()), &Reading::default());
            let yaml = yaml::to_yaml(&loaded.tree);
            let again = load(&["a.yaml"], &Memory::default().with("a.yaml", yaml.as_str()), &Reading::default());
            prop_assert!(again.diags.list.is_empty(), "{}\n{}", again.render(false), yaml);
            let found: Vec<_> = diff(&loaded.tree, &again.tree)
                .into_iter()
                .filter(|d| !matches!(d, tutti_devicetree::diff::Difference::Reservations))
                .collect();
            prop_assert!(found.is_empty(), "{:?}\n{}", found, yaml);
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn dtc_makes_the_same_bytes() {
    if Command::new("dtc").arg("--version").output().is_err() {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let (a, b) = (dir.path().join("a.dts"), dir.path().join("b.dtb"));
    let mut runner =
        TestRunner::new(Config { cases: (cases() / 16).max(16), failure_persistence: None, ..Config::default() });
    runner
        .run(&recipe(), |recipe| {
            let text = source(&recipe);
            std::fs::write(&a, &text).expect("writable");
            let out = Command::new("dtc")
                .args(["-q", "-@", "-I", "dts", "-O", "dtb", "-o"])
                .arg(&b)
                .arg(&a)
                .output()
                .expect("dtc runs");
            prop_assert!(out.status.success(), "{}\n{}", String::from_utf8_lossy(&out.stderr), text);
            prop_assert_eq!(dtb::write(&compile(&text)), std::fs::read(&b).expect("dtc wrote it"), "{}", text);
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn random_bytes_never_panic() {
    let good = dtb::write(&compile("/dts-v1/;\n/ { a: a { b = <&a>; }; };\n"));
    let mut runner = TestRunner::new(Config { cases: cases(), failure_persistence: None, ..Config::default() });
    let strategy = (
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        "[ -~\n]{0,200}",
        prop::collection::vec(any::<u8>(), 0..64),
    );
    runner
        .run(&strategy, |(changes, text, bytes)| {
            let mut blob = good.clone();
            for (at, byte) in changes {
                let at = at.index(blob.len());
                blob[at] = byte;
            }
            tutti_devicetree::fuzz::blob(&blob);
            tutti_devicetree::fuzz::overlay(&blob);
            tutti_devicetree::fuzz::source(text.as_bytes());
            tutti_devicetree::fuzz::source(format!("/dts-v1/;\n/ {{ {text}").as_bytes());
            tutti_devicetree::fuzz::yaml(text.as_bytes());
            tutti_devicetree::fuzz::resource_table(&bytes);
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn trees_made_by_hand_read_back() {
    let mut tree = Tree::new();
    let mut at: NodeId = tree.root();
    for depth in 0..20 {
        for i in 0..40 {
            let id = tree.add_child(at, format!("n{depth}-{i}"));
            tree.set(id, Property::new("p", Value::cells(&[depth, i])));
        }
        at = tree.child(at, &format!("n{depth}-39")).expect("just made");
    }
    let read = dtb::read(&dtb::write(&tree), &Limits::default()).expect("it was written here");
    assert!(diff(&tree, &read).is_empty());
    assert_eq!(tree.find(&tree.path(at)), Some(at));
}
