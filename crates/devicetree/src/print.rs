//! Device-tree source out of a tree. What was written as text, bytes or reference is written so again; for values
//! from a blob the form is guessed as `dtc` guesses it.

use std::fmt::Write as _;

use crate::source::Sources;
use crate::tree::{MarkKind, NodeId, Property, Reference, Tree, Value};

/// Source text for a tree. With `sources`, the comments before nodes and properties come along.
#[must_use]
pub fn to_dts(tree: &Tree, sources: Option<&Sources>) -> String {
    let mut out = String::from("/dts-v1/;\n");
    if tree.plugin {
        out.push_str("/plugin/;\n");
    }
    for (at, len) in &tree.reservations {
        let _ = writeln!(out, "/memreserve/ {at:#018x} {len:#018x};");
    }
    out.push('\n');
    let mut printer = Printer { tree, sources, out, plugin: tree.plugin };
    printer.node(tree.root(), 0);
    printer.out
}

/// Source text of one node.
#[must_use]
pub fn node_to_dts(tree: &Tree, id: NodeId, sources: Option<&Sources>) -> String {
    let mut printer = Printer { tree, sources, out: String::new(), plugin: false };
    printer.node(id, 0);
    printer.out
}

/// Source text of a value, as it stands behind `=`.
#[must_use]
pub fn value_to_dts(tree: &Tree, value: &Value) -> String {
    let mut out = String::new();
    write_value(&mut out, tree, value);
    out
}

struct Printer<'a> {
    tree: &'a Tree,
    sources: Option<&'a Sources>,
    out: String,
    plugin: bool,
}

impl Printer<'_> {
    fn indent(&mut self, depth: usize) {
        self.out.extend(std::iter::repeat_n('\t', depth));
    }

    fn comments(&mut self, span: Option<crate::source::Span>, depth: usize) {
        let (Some(sources), Some(span)) = (self.sources, span) else { return };
        for comment in sources.comments_before(span) {
            for (i, line) in comment.lines().enumerate() {
                self.indent(depth);
                let line = line.trim();
                if i > 0 && line.starts_with('*') {
                    self.out.push(' ');
                }
                self.out.push_str(line);
                self.out.push('\n');
            }
        }
    }

    fn node(&mut self, id: NodeId, depth: usize) {
        let node = self.tree.node(id);
        self.comments(node.span, depth);
        self.indent(depth);
        if node.omit_if_no_ref {
            self.out.push_str("/omit-if-no-ref/ ");
        }
        for label in &node.labels {
            let _ = write!(self.out, "{label}: ");
        }
        let _ = writeln!(self.out, "{} {{", if node.name.is_empty() { "/" } else { &node.name });
        for property in node.properties() {
            self.property(property, depth + 1);
        }
        let mut blank = node.properties().next().is_some();
        for child in self.tree.children(id) {
            // The compiler writes these again.
            let name = self.tree.node(child).name.as_str();
            if depth == 0 && self.plugin && matches!(name, "__fixups__" | "__local_fixups__" | "__symbols__") {
                continue;
            }
            if blank {
                self.out.push('\n');
            }
            blank = true;
            self.node(child, depth + 1);
        }
        self.indent(depth);
        self.out.push_str("};\n");
    }

    fn property(&mut self, property: &Property, depth: usize) {
        self.comments(property.span, depth);
        self.indent(depth);
        for label in &property.labels {
            let _ = write!(self.out, "{label}: ");
        }
        self.out.push_str(&property.name);
        if !property.value.bytes.is_empty() {
            self.out.push_str(" = ");
            write_value(&mut self.out, self.tree, &property.value);
        }
        self.out.push_str(";\n");
    }
}

fn write_value(out: &mut String, tree: &Tree, value: &Value) {
    let kinds: Vec<_> = value.marks.iter().filter(|m| !matches!(m.kind, MarkKind::Phandle(_))).collect();
    let covered = kinds.first().is_some_and(|m| m.offset == 0) && kinds.iter().all(|m| m.offset <= value.bytes.len());
    if !covered {
        return guess(out, &value.bytes);
    }
    let mut first = true;
    for (i, mark) in kinds.iter().enumerate() {
        let end = kinds.get(i + 1).map_or(value.bytes.len(), |m| m.offset);
        let Some(bytes) = value.bytes.get(mark.offset..end) else { continue };
        if bytes.is_empty() {
            continue;
        }
        if !first {
            out.push_str(", ");
        }
        first = false;
        match &mark.kind {
            MarkKind::Path(reference) if tree.resolve(reference).is_some() => {
                let _ = write!(out, "{reference}");
            }
            MarkKind::Text | MarkKind::Path(_) => match bytes.split_last() {
                Some((0, text)) => quote(out, text),
                _ => hex(out, bytes),
            },
            MarkKind::Cells(bits @ (8 | 16 | 64)) if bytes.len() % usize::from(bits / 8) == 0 => {
                let _ = write!(out, "/bits/ {bits} ");
                cells(out, bytes, usize::from(bits / 8), |_| None);
            }
            MarkKind::Cells(32) if bytes.len().is_multiple_of(4) => cells(out, bytes, 4, |at| {
                let (_, reference, _) = value.references().find(|(o, ..)| *o == mark.offset + at)?;
                known(tree, reference).then(|| reference.clone())
            }),
            _ => hex(out, bytes),
        }
    }
}

fn known(tree: &Tree, reference: &Reference) -> bool {
    tree.plugin || tree.resolve(reference).is_some()
}

fn cells(out: &mut String, bytes: &[u8], width: usize, reference: impl Fn(usize) -> Option<Reference>) {
    out.push('<');
    for (i, cell) in bytes.chunks(width).enumerate() {
        if i > 0 {
            out.push(' ');
        }
        match reference(i * width) {
            Some(reference) => {
                let _ = write!(out, "{reference}");
            }
            None => {
                let number = cell.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
                let _ = write!(out, "{number:#x}");
            }
        }
    }
    out.push('>');
}

fn hex(out: &mut String, bytes: &[u8]) {
    out.push('[');
    for (i, byte) in bytes.iter().enumerate() {
        let _ = write!(out, "{}{byte:02x}", if i > 0 { " " } else { "" });
    }
    out.push(']');
}

fn quote(out: &mut String, text: &[u8]) {
    out.push('"');
    for byte in text {
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\t' => out.push_str("\\t"),
            b'\r' => out.push_str("\\r"),
            0x20..=0x7e => out.push(char::from(*byte)),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push('"');
}

fn guess(out: &mut String, bytes: &[u8]) {
    let printable = |b: &u8| matches!(b, 0x20..=0x7e | 0x07..=0x0d);
    let zeros = bytes.iter().filter(|b| **b == 0).count();
    let texts =
        bytes.last() == Some(&0) && bytes.iter().all(|b| *b == 0 || printable(b)) && zeros <= bytes.len() - zeros;
    if texts {
        for (i, text) in bytes[..bytes.len() - 1].split(|b| *b == 0).enumerate() {
            if i > 0 {
                out.push_str(", ");
            }
            quote(out, text);
        }
    } else if bytes.len().is_multiple_of(4) {
        cells(out, bytes, 4, |_| None);
    } else {
        hex(out, bytes);
    }
}
