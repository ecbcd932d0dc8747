//! Gives phandles, fills references in, drops unused `/omit-if-no-ref/` nodes, and writes the nodes that overlays
//! need: `__symbols__`, `__fixups__`, `__local_fixups__`. The order of everything is `dtc`'s.

use std::collections::{HashMap, HashSet};

use crate::diag::{Code, Diag, Diags};
use crate::source::Limits;
use crate::tree::{Mark, MarkKind, NodeId, Property, Reference, Tree, Value};

/// Completes a tree that came from source.
pub(crate) fn resolve(tree: &mut Tree, symbols: bool, limits: &Limits, diags: &mut Diags) {
    names(tree);
    let mut phandles = Phandles::explicit(tree, diags);
    let order: Vec<NodeId> = tree.walk().collect();
    for id in &order {
        fill_phandles(tree, *id, &mut phandles, limits, diags);
    }
    for id in &order {
        fill_paths(tree, *id, limits, diags);
    }
    for id in &order {
        let node = tree.node(*id);
        if node.omit_if_no_ref && !node.referenced && !node.deleted && (!symbols || node.labels.is_empty()) {
            tree.remove(*id);
        }
    }
    if symbols {
        add_symbols(tree, &mut phandles);
    }
    if tree.plugin {
        add_fixups(tree);
        add_local_fixups(tree);
    }
}

/// A `name` property that repeats the node's name is left out of blobs.
fn names(tree: &mut Tree) {
    for id in tree.walk().collect::<Vec<_>>() {
        let node = tree.node(id);
        if node.text("name").is_some_and(|n| n == node.base_name()) {
            tree.remove_property(id, "name");
        }
    }
}

struct Phandles {
    used: HashSet<u32>,
    next: u32,
}

impl Phandles {
    fn explicit(tree: &Tree, diags: &mut Diags) -> Self {
        let mut used: HashMap<u32, NodeId> = HashMap::new();
        for id in tree.walk() {
            let Some(property) = tree.node(id).property("phandle").or_else(|| tree.node(id).property("linux,phandle"))
            else {
                continue;
            };
            // `phandle = <&self>` asks for one.
            if property.value.references().next().is_some() {
                continue;
            }
            let span = property.span.unwrap_or_default();
            match property.value.as_cell() {
                None | Some(0 | u32::MAX) => diags.push(Diag::error(
                    Code::Phandle,
                    span,
                    format!("{}: a phandle is one cell, neither 0 nor 0xffffffff", tree.path(id)),
                )),
                Some(phandle) => {
                    if let Some(first) = used.insert(phandle, id) {
                        let first_span = tree.node(first).property("phandle").and_then(|p| p.span).unwrap_or_default();
                        diags.push(
                            Diag::error(Code::Phandle, span, format!("phandle {phandle:#x} is given to two nodes"))
                                .note(format!("to {}", tree.path(id)))
                                .at(first_span, format!("and to {}", tree.path(first))),
                        );
                    }
                }
            }
        }
        Self { used: used.into_keys().collect(), next: 1 }
    }

    fn of(&mut self, tree: &mut Tree, id: NodeId) -> u32 {
        if let Some(phandle) = tree.node(id).phandle() {
            return phandle;
        }
        while self.used.contains(&self.next) {
            self.next += 1;
        }
        let phandle = self.next;
        self.used.insert(phandle);
        let node = tree.node_mut(id);
        node.properties.push(Property::new("phandle", Value::cells(&[phandle])));
        phandle
    }
}

fn fill_phandles(tree: &mut Tree, id: NodeId, phandles: &mut Phandles, limits: &Limits, diags: &mut Diags) {
    for index in 0..tree.node(id).properties.len() {
        let Some(property) = tree.node(id).properties.get(index).filter(|p| !p.deleted) else { continue };
        let wanted: Vec<_> = property.value.references().map(|(at, r, span)| (at, r.clone(), span)).collect();
        let own = property.name == "phandle";
        for (at, reference, span) in wanted {
            let phandle = match tree.resolve(&reference) {
                Some(target) if own && target == id => {
                    // Its own phandle, now.
                    while phandles.used.contains(&phandles.next) {
                        phandles.next += 1;
                    }
                    phandles.used.insert(phandles.next);
                    phandles.next
                }
                Some(target) => {
                    tree.node_mut(target).referenced = true;
                    phandles.of(tree, target)
                }
                None if tree.plugin => u32::MAX,
                None => {
                    if diags.list.len() < limits.messages {
                        let diag = Diag::error(
                            Code::UnknownReference,
                            span.unwrap_or_default(),
                            format!("nothing is called {reference}"),
                        );
                        diags.push(match suggestion(tree, &reference) {
                            Some(near) => diag.help(format!("did you mean {near}?")),
                            None => diag,
                        });
                    }
                    continue;
                }
            };
            let property = &mut tree.node_mut(id).properties[index];
            if let Some(slot) = property.value.bytes.get_mut(at..at + 4) {
                slot.copy_from_slice(&phandle.to_be_bytes());
            }
        }
    }
}

fn fill_paths(tree: &mut Tree, id: NodeId, limits: &Limits, diags: &mut Diags) {
    for index in 0..tree.node(id).properties.len() {
        let Some(property) = tree.node(id).properties.get(index).filter(|p| !p.deleted) else { continue };
        if !property.value.marks.iter().any(|m| matches!(m.kind, MarkKind::Path(_))) {
            continue;
        }
        let mut value = property.value.clone();
        let mut added = 0;
        for mark in &mut value.marks {
            mark.offset += added;
            let MarkKind::Path(reference) = &mark.kind else { continue };
            let Some(target) = tree.resolve(reference) else {
                if diags.list.len() < limits.messages {
                    let message = format!("nothing is called {reference}");
                    diags.push(Diag::error(Code::UnknownReference, mark.span.unwrap_or_default(), message));
                }
                continue;
            };
            tree.node_mut(target).referenced = true;
            let mut path = tree.path(target).into_bytes();
            path.push(0);
            added += path.len();
            value.bytes.splice(mark.offset..mark.offset, path);
        }
        tree.node_mut(id).properties[index].value = value;
    }
}

fn add_symbols(tree: &mut Tree, phandles: &mut Phandles) {
    let labelled: Vec<(NodeId, Vec<String>)> = tree
        .walk()
        .filter(|id| !tree.node(*id).labels.is_empty())
        .map(|id| (id, tree.node(id).labels.clone()))
        .collect();
    if labelled.is_empty() {
        return;
    }
    let root = tree.root();
    let node = tree.ensure_child(root, "__symbols__");
    for (id, labels) in labelled {
        for label in labels {
            let path = tree.path(id);
            if tree.node(node).property(&label).is_none() {
                tree.node_mut(node).properties.push(Property::new(label, Value::texts([path])));
            }
            phandles.of(tree, id);
        }
    }
}

fn add_fixups(tree: &mut Tree) {
    let mut entries: Vec<(String, String)> = Vec::new();
    for id in tree.walk() {
        for property in tree.node(id).properties() {
            for (at, reference, _) in property.value.references() {
                if let (Reference::Label(label), None) = (reference, tree.resolve(reference)) {
                    entries.push((label.clone(), format!("{}:{}:{at}", tree.path(id), property.name)));
                }
            }
        }
    }
    if entries.is_empty() {
        return;
    }
    let root = tree.root();
    let node = tree.ensure_child(root, "__fixups__");
    for (label, entry) in entries {
        append(tree, node, &label, entry.as_bytes(), Some(0));
    }
}

/// Adds bytes to a property, made if it is not there.
fn append(tree: &mut Tree, node: NodeId, name: &str, bytes: &[u8], end: Option<u8>) {
    let node = tree.node_mut(node);
    let index = node.properties.iter().position(|p| p.name == name && !p.deleted).unwrap_or_else(|| {
        node.properties.push(Property::new(name, Value::default()));
        node.properties.len() - 1
    });
    let value = &mut node.properties[index].value;
    let kind = if end.is_some() { MarkKind::Text } else { MarkKind::Cells(32) };
    value.marks.push(Mark { offset: value.bytes.len(), kind, span: None });
    value.bytes.extend_from_slice(bytes);
    value.bytes.extend(end);
}

fn add_local_fixups(tree: &mut Tree) {
    let mut entries: Vec<(Vec<String>, String, u32)> = Vec::new();
    for id in tree.walk() {
        for property in tree.node(id).properties() {
            for (at, reference, _) in property.value.references() {
                if tree.resolve(reference).is_some() {
                    let steps = tree.path(id).split('/').filter(|s| !s.is_empty()).map(str::to_owned).collect();
                    entries.push((steps, property.name.clone(), at as u32));
                }
            }
        }
    }
    if entries.is_empty() {
        return;
    }
    let root = tree.root();
    let top = tree.ensure_child(root, "__local_fixups__");
    for (steps, name, at) in entries {
        let node = steps.iter().fold(top, |node, step| tree.ensure_child(node, step));
        append(tree, node, &name, &at.to_be_bytes(), None);
    }
}

/// The label nearest to one that nothing has.
pub(crate) fn suggestion(tree: &Tree, reference: &Reference) -> Option<String> {
    let Reference::Label(wanted) = reference else { return None };
    nearest(wanted, tree.labels()).map(|near| format!("&{near}"))
}

/// The word nearest to `wanted`, if one is near.
pub(crate) fn nearest<'a>(wanted: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (wanted.len() / 3).clamp(1, 3);
    words
        .filter(|w| w.len().abs_diff(wanted.len()) <= allowed && w.len() < 64 && wanted.len() < 64)
        .map(|w| (distance(wanted.as_bytes(), w.as_bytes()), w))
        .filter(|(d, _)| *d <= allowed)
        .min()
        .map(|(_, w)| w)
}

fn distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let cost = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row.last().copied().unwrap_or(0)
}
