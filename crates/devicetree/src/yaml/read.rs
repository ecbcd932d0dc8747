//! From YAML values to nodes and properties.

use super::value::{Kind, Yaml};
use crate::cells;
use crate::diag::{Code, Diag, Diags};
use crate::source::{Limits, Span};
use crate::system::Flags;
use crate::tree::{Mark, MarkKind, NodeId, Property, Reference, Tree, Value};

pub(super) fn read(tree: &mut Tree, top: &Yaml, limits: &Limits, diags: &mut Diags) {
    let mut reader = Reader { tree, limits, diags, pending: Vec::new() };
    let root = reader.tree.root();
    let Kind::Map(map) = &top.kind else {
        reader.fault(top.span, "a mapping of nodes and properties is expected at the top");
        return;
    };
    if reader.tree.node(root).span.is_none() {
        reader.tree.node_mut(root).span = Some(top.span);
    }
    let map: Vec<_> = map.iter().filter(|(k, ..)| k != "definitions").cloned().collect();
    reader.node(root, &map, Context::Plain);
    reader.settle();
}

/// A property whose names are looked up when all nodes are there.
struct Pending {
    node: NodeId,
    property: String,
    span: Span,
    parts: Vec<Part>,
}

enum Part {
    Name(String, Span),
    Cell(u32),
}

#[derive(Clone, Copy, PartialEq)]
enum Context {
    Plain,
    Domains,
    Domain,
    Relation,
}

struct Reader<'a> {
    tree: &'a mut Tree,
    limits: &'a Limits,
    diags: &'a mut Diags,
    pending: Vec<Pending>,
}

type Entries = [(String, Span, Yaml)];

impl Reader<'_> {
    fn fault(&mut self, span: Span, message: impl Into<String>) {
        if self.diags.list.len() < self.limits.messages {
            self.diags.push(Diag::error(Code::Yaml, span, message));
        }
    }

    fn node(&mut self, id: NodeId, map: &Entries, context: Context) {
        // Cells first: lists of start and size need them.
        let (first, rest): (Vec<_>, Vec<_>) = map.iter().partition(|(k, ..)| k.starts_with('#'));
        for (key, span, value) in first.into_iter().chain(rest) {
            self.entry(id, key, *span, value, context);
        }
    }

    fn entry(&mut self, id: NodeId, key: &str, span: Span, value: &Yaml, context: Context) {
        if key.contains('!') {
            let message = format!("the conditional key '{key}' is left out: only lopper applies these");
            return self.diags.push(Diag::error(Code::Yaml, span, message).warning());
        }
        if key == "$label" {
            for label in value.list().iter().filter_map(Yaml::text) {
                if self.tree.add_label(id, label).is_err() {
                    self.fault(value.span, format!("label '{label}' is already taken"));
                }
            }
            return;
        }
        if matches!(context, Context::Domain | Context::Relation) && self.special(id, key, span, value, context) {
            return;
        }
        if let Kind::Map(map) = &value.kind {
            return self.child(id, key, span, map, context);
        }
        if key == "start" && self.in_reserved(id) || key == "size" && self.in_reserved(id) {
            return self.start_size(id, key, span, value);
        }
        self.property(id, key, span, value);
    }

    fn child(&mut self, parent: NodeId, key: &str, span: Span, map: &Entries, context: Context) {
        let existing = self.tree.child(parent, key).or_else(|| {
            let by_label =
                self.tree.by_label(key).filter(|n| self.tree.parent(*n) == Some(parent) || context == Context::Plain);
            by_label.or_else(|| {
                let mut fits = self.tree.children(parent).filter(|c| self.tree.node(*c).base_name() == key);
                fits.next().filter(|_| fits.next().is_none())
            })
        });
        let id = match existing {
            Some(id) => id,
            None => {
                if self.tree.len() >= self.limits.nodes {
                    return self.fault(span, format!("more than {} nodes", self.limits.nodes));
                }
                let usable = |b: u8| b.is_ascii_alphanumeric() || b",._+*#?@-".contains(&b);
                if key.is_empty() || !key.bytes().all(usable) {
                    return self.fault(span, format!("'{key}' is not a node name"));
                }
                let id = self.tree.add_child(parent, key);
                self.tree.node_mut(id).span = Some(span);
                id
            }
        };
        let top = parent == self.tree.root();
        let inner = match context {
            _ if top && key == "domains" => Context::Domains,
            Context::Domains => Context::Domain,
            Context::Domain if key == "domains" => Context::Domains,
            Context::Domain if matches!(key, "chosen" | "reserved-memory") => Context::Plain,
            Context::Domain | Context::Relation => Context::Relation,
            Context::Plain => Context::Plain,
        };
        if inner == Context::Domains || key == "reserved-memory" {
            for name in ["#address-cells", "#size-cells"] {
                if self.tree.node(id).property(name).is_none() && !map.iter().any(|(k, ..)| k == name) {
                    self.tree.set_cells(id, name, &[2]);
                }
            }
        }
        self.node(id, map, inner);
    }

    fn in_reserved(&self, id: NodeId) -> bool {
        self.tree.parent(id).is_some_and(|p| self.tree.parent(p).is_some())
    }

    /// `start:` and `size:` of a carveout, or of a helper node, are its `reg`.
    fn start_size(&mut self, id: NodeId, key: &str, span: Span, value: &Yaml) {
        let Some(number) = value.number() else { return self.fault(value.span, format!("'{key}' is no number")) };
        let (a, s) = self.tree.parent(id).map_or((2, 1), |p| cells::child_cells(self.tree, p));
        let mut now = self
            .tree
            .node(id)
            .property("reg")
            .and_then(|p| p.value.as_cells())
            .filter(|c| c.len() == a + s)
            .unwrap_or_else(|| vec![0; a + s]);
        let (range, count) = if key == "start" { (0..a, a) } else { (a..a + s, s) };
        if let Some(slot) = now.get_mut(range) {
            slot.copy_from_slice(&cells::to_cells(number, count));
        }
        self.set(id, "reg", span, Value::cells(&now));
    }

    fn set(&mut self, id: NodeId, name: &str, span: Span, value: Value) {
        if self.tree.node(id).properties.len() >= self.limits.properties {
            return self.fault(span, "too many properties in one node");
        }
        let usable = |b: u8| b.is_ascii_alphanumeric() || b",._+*#?@-".contains(&b);
        if name.is_empty() || !name.bytes().all(usable) {
            return self.fault(span, format!("'{name}' is not a property name"));
        }
        self.tree.set(id, Property { span: Some(span), ..Property::new(name, value) });
    }

    fn property(&mut self, id: NodeId, key: &str, span: Span, value: &Yaml) {
        let whole = span.to(value.span);
        match value.boolean() {
            Some(true) => return self.set(id, key, whole, Value::default()),
            Some(false) => {
                self.tree.remove_property(id, key);
                return;
            }
            None => {}
        }
        if let Kind::Scalar { text, plain } = &value.kind {
            if text.is_empty() && *plain {
                return self.set(id, key, whole, Value::default());
            }
            if matches!(key, "ranges" | "no-map") && value.number() == Some(1) {
                return self.set(id, key, whole, Value::default());
            }
            if matches!(key, "interrupt-parent") {
                self.pending.push(Pending {
                    node: id,
                    property: key.to_owned(),
                    span: whole,
                    parts: vec![Part::Name(text.clone(), value.span)],
                });
                return;
            }
        }
        let list = value.list();
        if list.iter().any(|v| v.get("start").is_some() || v.get("size").is_some()) {
            let (a, s) = self.tree.parent(id).map_or((2, 1), |p| cells::child_cells(self.tree, p));
            let cells = self.pairs(list, a, s);
            return self.set(id, key, whole, Value::cells(&cells));
        }
        let bits: usize = match value.tag.as_deref() {
            Some("u8") => 8,
            Some("u16") => 16,
            Some("u64") => 64,
            _ => 32,
        };
        let flat: Vec<&Yaml> = list.iter().flat_map(|v| v.list().iter()).collect();
        let numbers: Vec<Option<u64>> = flat.iter().map(|v| v.number()).collect();
        let tagged = value.tag.as_deref() == Some("cells");
        let refers = |v: &Yaml| tagged && v.text().is_some_and(|t| t.starts_with('&'));
        if !flat.is_empty() && numbers.iter().all(Option::is_some) {
            let mut out = Value {
                bytes: Vec::new(),
                marks: vec![Mark { offset: 0, kind: MarkKind::Cells(bits as u8), span: None }],
            };
            for (number, at) in numbers.iter().flatten().zip(&flat) {
                // One number may need two cells.
                let wide = if bits == 32 && *number > u64::from(u32::MAX) { 64 } else { bits };
                if wide < 64 && number >> wide != 0 {
                    self.fault(at.span, format!("{number:#x} does not fit in {wide} bits"));
                }
                out.bytes.extend_from_slice(&number.to_be_bytes()[8 - wide / 8..]);
            }
            return self.set(id, key, whole, out);
        }
        if flat.iter().any(|v| refers(v)) && flat.iter().zip(&numbers).all(|(v, n)| n.is_some() || refers(v)) {
            let parts = flat
                .iter()
                .zip(&numbers)
                .map(|(v, n)| match n {
                    Some(n) => Part::Cell(*n as u32),
                    None => Part::Name(v.text().unwrap_or("").trim_start_matches('&').to_owned(), v.span),
                })
                .collect();
            self.pending.push(Pending { node: id, property: key.to_owned(), span: whole, parts });
            return;
        }
        let texts: Option<Vec<&str>> = flat.iter().map(|v| v.text()).collect();
        match texts {
            Some(texts) if key == "compatible" => {
                let split: Vec<&str> = texts.iter().flat_map(|t| t.split(", ")).map(str::trim).collect();
                self.set(id, key, whole, Value::texts(split));
            }
            Some(texts) => self.set(id, key, whole, Value::texts(texts)),
            None => {
                self.fault(value.span, format!("the value of '{key}' is neither texts, numbers, nor start and size"))
            }
        }
    }

    fn pairs(&mut self, list: &[Yaml], a: usize, s: usize) -> Vec<u32> {
        let mut cells = Vec::new();
        for entry in list {
            for (key, count) in [("start", a), ("size", s)] {
                match entry.get(key).map(|v| (v, v.number())) {
                    Some((_, Some(n))) => cells.extend(cells::to_cells(n, count)),
                    Some((v, None)) => self.fault(v.span, format!("'{key}' is no number")),
                    None => self.fault(entry.span, format!("'{key}' is missing")),
                }
            }
        }
        cells
    }

    /// The forms that only domains and relations have. Says whether it was one.
    fn special(&mut self, id: NodeId, key: &str, span: Span, value: &Yaml, context: Context) -> bool {
        let whole = span.to(value.span);
        match (context, key) {
            (Context::Domain, "cpus") => {
                let mut parts = Vec::new();
                for entry in value.list() {
                    let Some(cluster) = entry.get("cluster").and_then(|c| Some((c.text()?.to_owned(), c.span))) else {
                        self.fault(entry.span, "an entry of 'cpus' needs 'cluster'");
                        continue;
                    };
                    parts.push(Part::Name(cluster.0, cluster.1));
                    parts.push(Part::Cell(entry.get("cpumask").and_then(Yaml::number).unwrap_or(0) as u32));
                    let mode = entry.get("mode");
                    let el = mode.and_then(|m| m.get("el").and_then(Yaml::number).or(m.number())).unwrap_or(0) as u32;
                    let secure = [mode.and_then(|m| m.get("secure")), entry.get("secure")]
                        .into_iter()
                        .flatten()
                        .any(|s| s.boolean() == Some(true));
                    parts.push(Part::Cell(el | if secure { 1 << 31 } else { 0 }));
                }
                self.pending.push(Pending { node: id, property: key.to_owned(), span: whole, parts });
            }
            (Context::Domain, "memory" | "sram") => self.grants(id, key, whole, value),
            (Context::Domain, "access") => self.access(id, whole, value),
            (Context::Domain, "reserved-memory") if !matches!(value.kind, Kind::Map(_)) => {
                self.names(id, key, whole, value)
            }
            (Context::Domain, "access-implicit-default" | "memory-implicit-default" | "sram-implicit-default") => {
                let flags = self.flags(value);
                self.set(id, key, whole, Value::cells(&[flags]));
            }
            (Context::Domain, "firewallconf") => self.firewall(id, whole, value),
            (Context::Domain, "parent") => {
                self.diags.push(
                    Diag::error(
                        Code::Yaml,
                        span,
                        "'parent' is left out: put the domain inside the outer one's 'domains'",
                    )
                    .warning(),
                );
            }
            (Context::Relation, "remote" | "host" | "elfload" | "carveouts" | "mbox" | "timer" | "remoteproc")
                if !matches!(value.kind, Kind::Map(_)) =>
            {
                self.names(id, key, whole, value);
            }
            _ => return false,
        }
        true
    }

    fn flags(&mut self, value: &Yaml) -> u32 {
        if let Kind::Map(map) = &value.kind {
            let mut flags = 0;
            for (name, span, on) in map {
                match Flags::NAMES.iter().find(|(n, _)| n == name) {
                    Some((_, bit)) if on.boolean() == Some(true) || on.number() == Some(1) => flags |= bit,
                    Some(_) => {}
                    None => {
                        let known: Vec<&str> = Flags::NAMES.iter().map(|(n, _)| *n).collect();
                        let diag = Diag::error(Code::Flags, *span, format!("'{name}' is no flag this program knows"))
                            .warning();
                        self.diags.push(diag.help(known.join(", ")));
                    }
                }
            }
            return flags;
        }
        value.list().iter().filter_map(Yaml::number).fold(0, |f, n| f | n as u32)
    }

    fn grants(&mut self, id: NodeId, key: &str, span: Span, value: &Yaml) {
        let list: Vec<&Yaml> = value.list().iter().filter(|v| v.text() != Some("*")).collect();
        let mut at = Some(id);
        let mut cells_of = |name| loop {
            match at {
                Some(n) if self.tree.node(n).property(name).is_some() => {
                    break self.tree.node(n).cell_count(name, 2);
                }
                Some(n) => at = self.tree.parent(n),
                None => break 2,
            }
        };
        let a = cells_of("#address-cells");
        let s = cells_of("#size-cells");
        let flagged = list.iter().any(|v| v.get("flags").is_some());
        let mut cells = Vec::new();
        for entry in list {
            // `dev` alone: the region of that memory.
            let of_dev = entry
                .get("dev")
                .and_then(Yaml::text)
                .and_then(|d| self.tree.look_up(d))
                .and_then(|n| cells::first_region(self.tree, n));
            let start = entry.get("start").and_then(Yaml::number).or(of_dev.map(|r| r.start));
            let size = entry.get("size").and_then(Yaml::number).or(of_dev.map(|r| r.size));
            let (Some(start), Some(size)) = (start, size) else {
                self.fault(entry.span, format!("an entry of '{key}' needs 'start' and 'size'"));
                continue;
            };
            cells.extend(cells::to_cells(start, a));
            cells.extend(cells::to_cells(size, s));
            if flagged {
                let flags = entry.get("flags").map_or(0, |f| self.flags(f));
                cells.push(flags);
            }
        }
        if flagged {
            self.tree.set_cells(id, &format!("#{key}-flags-cells"), &[1]);
        }
        if !cells.is_empty() {
            self.set(id, key, span, Value::cells(&cells));
        }
    }

    fn access(&mut self, id: NodeId, span: Span, value: &Yaml) {
        let mut entries: Vec<(String, Span, u32)> = Vec::new();
        let flagged = value.list().iter().any(|v| v.get("flags").is_some());
        for entry in value.list() {
            let flags = entry.get("flags").map_or(0, |f| self.flags(f));
            match entry.get("dev") {
                Some(dev) => {
                    entries.extend(dev.list().iter().filter_map(|d| Some((d.text()?.to_owned(), d.span, flags))))
                }
                None => match entry.text() {
                    Some(text) => entries.push((text.to_owned(), entry.span, flags)),
                    None => self.fault(entry.span, "an entry of 'access' needs 'dev'"),
                },
            }
        }
        // One device named twice (lopper's overlays do) is one.
        let mut parts = Vec::new();
        let mut seen: Vec<String> = Vec::new();
        for (name, at, flags) in entries {
            if name == "*" || seen.contains(&name) {
                continue;
            }
            seen.push(name.clone());
            parts.push(Part::Name(name, at));
            parts.extend(flagged.then_some(Part::Cell(flags)));
        }
        if flagged {
            self.tree.set_cells(id, "#access-flags-cells", &[1]);
        }
        self.pending.push(Pending { node: id, property: "access".to_owned(), span, parts });
    }

    fn names(&mut self, id: NodeId, key: &str, span: Span, value: &Yaml) {
        let flat = value.list().iter().flat_map(|v| v.list().iter());
        let mut parts = Vec::new();
        for v in flat {
            match (v.number(), v.text()) {
                (Some(n), _) => parts.push(Part::Cell(n as u32)),
                (None, Some(t)) => parts.push(Part::Name(t.to_owned(), v.span)),
                _ => self.fault(v.span, format!("'{key}' names nodes")),
            }
        }
        self.pending.push(Pending { node: id, property: key.to_owned(), span, parts });
    }

    fn firewall(&mut self, id: NodeId, span: Span, value: &Yaml) {
        let mut parts = Vec::new();
        for entry in value.list() {
            let (action, priority) = match entry.get("block") {
                Some(b) if matches!(b.text(), Some("never")) => (1, 0),
                Some(b) if matches!(b.text(), Some("always")) => (0, 0),
                Some(b) => (2, b.number().unwrap_or(0) as u32),
                None => {
                    self.fault(entry.span, "an entry of 'firewallconf' needs 'block'");
                    continue;
                }
            };
            match entry.get("domain").and_then(|d| Some((d.text()?.to_owned(), d.span))) {
                Some((name, at)) => parts.extend([Part::Name(name, at), Part::Cell(action), Part::Cell(priority)]),
                None => self.set(id, "firewallconf-default", span, Value::cells(&[action, priority])),
            }
        }
        if !parts.is_empty() {
            self.pending.push(Pending { node: id, property: "firewallconf".to_owned(), span, parts });
        }
    }

    /// Looks all names up.
    fn settle(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            let mut value = Value::cells(&[]);
            for part in &pending.parts {
                match part {
                    Part::Cell(cell) => value.bytes.extend(cell.to_be_bytes()),
                    Part::Name(name, span) => {
                        let Some(target) = self.look_up(name) else {
                            let names: Vec<String> = self.tree.walk().map(|n| self.tree.node(n).name.clone()).collect();
                            let near = crate::resolve::nearest(
                                name,
                                self.tree.labels().chain(names.iter().map(String::as_str)),
                            )
                            .map(str::to_owned);
                            let mut diag =
                                Diag::error(Code::UnknownReference, *span, format!("no node is called '{name}'"));
                            if let Some(near) = near {
                                diag = diag.help(format!("did you mean '{near}'?"));
                            }
                            if self.diags.list.len() < self.limits.messages {
                                self.diags.push(diag);
                            }
                            continue;
                        };
                        let reference = match self.tree.node(target).labels.first() {
                            Some(label) => Reference::Label(label.clone()),
                            None => Reference::Path(self.tree.path(target)),
                        };
                        value.marks.push(Mark {
                            offset: value.bytes.len(),
                            kind: MarkKind::Phandle(reference),
                            span: Some(*span),
                        });
                        value.bytes.extend(u32::MAX.to_be_bytes());
                    }
                }
            }
            self.set(pending.node, &pending.property, pending.span, value);
        }
    }

    fn look_up(&self, name: &str) -> Option<NodeId> {
        self.tree.look_up(name).or_else(|| {
            // A carveout that both the tree and a domain have: the tree's.
            let top = self.tree.find_exact("/reserved-memory")?;
            self.tree.child(top, name)
        })
    }
}
