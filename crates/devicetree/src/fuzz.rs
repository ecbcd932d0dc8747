//! One function for each kind of foreign bytes: for the fuzz targets in `fuzz/`, and for property tests. Each reads the
//! bytes, and what was read must survive being written and read again. They panic on a broken promise only.

use crate::diag::Diags;
use crate::load::{Reading, load};
use crate::overlay;
use crate::source::{Limits, Memory, Span};
use crate::{check, command, dtb, emit, print, syntax, system};

/// Small limits, so that a fuzzer finds slow paths and not long inputs.
fn limits() -> Limits {
    Limits {
        file: 1 << 20,
        text: 4 << 20,
        includes: 8,
        depth: 32,
        nodes: 1 << 14,
        properties: 1 << 10,
        macro_steps: 1 << 18,
        messages: 20,
    }
}

fn reading() -> Reading {
    Reading { options: crate::Options { limits: limits(), ..Default::default() }, symbols: false }
}

/// Source: the syntax tree must hold every byte; a tree without errors must survive printing.
pub fn source(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let (tree, _) = syntax::parse(&text, Span::new(0, text.len()), &limits());
    assert_eq!(tree.to_text(&text), text, "the syntax tree lost bytes");
    let files = Memory::default().with("in.dts", text.as_bytes()).with("in.dtsi", "/ { included; };\n");
    let loaded = load(&["in.dts"], &files, &reading());
    let _ = loaded.render(false);
    if !loaded.diags.has_errors() {
        let blob = dtb::write(&loaded.tree);
        let printed = print::to_dts(&loaded.tree, None);
        let again = load(&["again.dts"], &Memory::default().with("again.dts", printed.as_bytes()), &reading());
        assert!(!again.diags.has_errors(), "what was printed cannot be read:\n{}\n{printed}", again.render(false));
        assert!(dtb::write(&again.tree) == blob, "what was printed reads as another tree:\n{printed}");
        everything(&loaded.tree);
    }
}

/// A blob: what can be read must be written and read again as the same.
pub fn blob(bytes: &[u8]) {
    if let Ok(tree) = dtb::read(bytes, &limits()) {
        let blob = dtb::write(&tree);
        let again = dtb::read(&blob, &limits()).expect("what was written can be read");
        assert!(crate::diff::diff(&tree, &again).is_empty());
        everything(&tree);
    }
}

/// An overlay blob on a fixed base.
pub fn overlay(bytes: &[u8]) {
    if let Ok(over) = dtb::read(bytes, &limits()) {
        let mut base = load(
            &["base.dts"],
            &Memory::default().with("base.dts", "/dts-v1/;\n/ { a: a { }; b: b { c: c { x = <&a>; }; }; };\n"),
            &Reading { symbols: true, ..reading() },
        )
        .tree;
        if overlay::apply(&mut base, &over).is_ok() {
            let _ = dtb::write(&base);
        }
    }
}

/// YAML.
pub fn yaml(bytes: &[u8]) {
    let loaded = load(&["in.yaml"], &Memory::default().with("in.yaml", bytes), &reading());
    let _ = loaded.render(false);
    if !loaded.diags.has_errors() {
        everything(&loaded.tree);
    }
}

/// Checks, splits and draws whatever the tree is.
fn everything(tree: &crate::Tree) {
    let _ = check::check(tree);
    let system = system::System::read(tree, &mut Diags::default());
    for index in 0..system.domains.len().min(4) {
        if let Some(pruned) = emit::prune(&system, index) {
            let _ = dtb::write(&pruned.tree);
        }
        if let Some(layout) = emit::layout(&system, index) {
            let _ = (
                emit::rust_constants(&layout),
                emit::memory_x(&layout),
                emit::c_header(&layout),
                emit::zephyr_overlay(&layout),
            );
            let _ = emit::resource_table(&layout);
        }
    }
    let _ = (emit::svg_map(&system), emit::markdown_map(&system), crate::yaml::to_yaml(tree), command::domains(tree));
}
