//! Random trees: what is printed reads as the same bytes, what is written reads as the same tree, what is laid in
//! YAML comes back; and where `dtc` is installed, it says the same bytes in both directions. `TUTTI_DT_CASES` sets how many.
#![allow(clippy::print_stdout, reason = "how much was compared is for whoever runs it")]

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

/// Several trees beside each other make one, so that `dtc` need not be started for each.
const TOGETHER: u32 = 16;

#[test]
fn dtc_says_the_same_both_ways() {
    if Command::new("dtc").arg("--version").output().is_err() {
        return;
    }
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| dir.path().join(name);
    let dtc = |args: &[&str]| {
        let out = Command::new("dtc").arg("-q").args(args).current_dir(dir.path()).output().expect("dtc runs");
        if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
    };
    let runs = (cases() / TOGETHER).max(1);
    let mut runner = TestRunner::new(Config { cases: runs, failure_persistence: None, ..Config::default() });
    let together = prop::collection::vec((any::<u8>(), recipe()), TOGETHER as usize);
    runner
        .run(&together, |children| {
            let text = source(&Recipe { properties: Vec::new(), children, label: false });
            let ours = compile(&text);
            // Our blob is dtc's.
            std::fs::write(path("a.dts"), &text).expect("writable");
            let done = dtc(&["-@", "-I", "dts", "-O", "dtb", "-o", "a.dtb", "a.dts"]);
            prop_assert!(done.is_ok(), "{:?}\n{}", done, text);
            let blob = std::fs::read(path("a.dtb")).expect("dtc wrote it");
            prop_assert_eq!(&dtb::write(&ours), &blob, "{}", text);
            // What we print of it, dtc makes the same blob of.
            let read = dtb::read(&blob, &Limits::default()).expect("dtc wrote it");
            std::fs::write(path("b.dts"), print::to_dts(&read, None)).expect("writable");
            let done = dtc(&["-I", "dts", "-O", "dtb", "-o", "b.dtb", "b.dts"]);
            prop_assert!(done.is_ok(), "{:?}\n{}", done, text);
            prop_assert_eq!(&std::fs::read(path("b.dtb")).expect("dtc wrote it"), &blob, "{}", text);
            // And we make of what dtc prints what dtc makes of it: not always the same as before, as it prints the
            // texts "" and "00" as "\000".
            let done = dtc(&["-I", "dtb", "-O", "dts", "-o", "c.dts", "a.dtb"]);
            prop_assert!(done.is_ok(), "{:?}\n{}", done, text);
            let done = dtc(&["-I", "dts", "-O", "dtb", "-o", "c.dtb", "c.dts"]);
            prop_assert!(done.is_ok(), "{:?}\n{}", done, text);
            let printed = std::fs::read(path("c.dts")).expect("dtc wrote it");
            let again = load(&["c.dts"], &Memory::default().with("c.dts", printed), &Reading::default());
            prop_assert!(!again.diags.has_errors(), "{}", again.render(false));
            let theirs = std::fs::read(path("c.dtb")).expect("dtc wrote it");
            prop_assert_eq!(&dtb::write(&again.tree), &theirs, "{}", text);
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
    println!("compared: random: {} random trees with dtc, both ways", runs * TOGETHER);
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
            tutti_devicetree::fuzz::yaml(&bytes);
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
