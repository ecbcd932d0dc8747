//! From the lossless tree to the typed one: merges definitions in order, applies deletions, evaluates cells.

use std::collections::HashMap;

use crate::diag::{Code, Diag, Diags};
use crate::eval::Eval;
use crate::expression::Expression as _;
use crate::source::{Files, Limits, Sources, Span};
use crate::syntax::{Construct, Kind, SyntaxTree, char_value, number, unescape};
use crate::tree::{Mark, MarkKind, NodeId, Property, Reference, Tree, Value};

/// Builds the tree that `syntax` describes into `tree`.
pub(crate) fn lower(
    tree: &mut Tree,
    syntax: &SyntaxTree,
    sources: &Sources,
    files: &dyn Files,
    limits: &Limits,
    diags: &mut Diags,
) {
    let mut lower = Lower {
        tree,
        syntax,
        sources,
        text: sources.text(),
        files,
        limits,
        diags,
        fragments: 0,
        label_spans: HashMap::new(),
    };
    lower.file();
}

struct Lower<'a> {
    tree: &'a mut Tree,
    syntax: &'a SyntaxTree,
    sources: &'a Sources,
    text: &'a str,
    files: &'a dyn Files,
    limits: &'a Limits,
    diags: &'a mut Diags,
    fragments: usize,
    label_spans: HashMap<String, Span>,
}

/// What stands before a construct's name, and the name.
struct Head<'a> {
    labels: Vec<(&'a str, Span)>,
    omit: bool,
    name: &'a str,
    kind: Kind,
    span: Span,
}

impl<'a> Lower<'a> {
    fn token_text(&self, token: usize) -> &'a str {
        self.text.get(self.syntax.range(token)).unwrap_or("")
    }

    fn token_span(&self, token: usize) -> Span {
        let range = self.syntax.range(token);
        Span::new(range.start, range.end)
    }

    fn kind(&self, token: usize) -> Kind {
        self.syntax.tokens.get(token).map_or(Kind::End, |t| t.kind)
    }

    fn error(&mut self, code: Code, span: Span, message: impl Into<String>) {
        if self.diags.list.len() < self.limits.messages {
            self.diags.push(Diag::error(code, span, message));
        }
    }

    fn push(&mut self, diag: Diag) {
        if self.diags.list.len() < self.limits.messages {
            self.diags.push(diag);
        }
    }

    fn file(&mut self) {
        let items: Vec<usize> = self.syntax.children(0).collect();
        let version = items.iter().any(|i| self.header(*i) == Some("/dts-v1/"));
        if !version && let Some(first) = items.first() {
            let at = self.syntax.solid(*first).next().map(|t| self.token_span(t)).unwrap_or_default();
            self.push(
                Diag::error(Code::Syntax, at, "the file does not begin with '/dts-v1/;'")
                    .help("add '/dts-v1/;' as the first line"),
            );
        }
        self.tree.plugin |= items.iter().any(|i| self.header(*i) == Some("/plugin/"));
        for item in items {
            match self.syntax.nodes[item].construct {
                Construct::Reservation => self.reservation(item),
                Construct::Node => self.top_node(item),
                Construct::DeleteNode | Construct::OmitIfNoRef => self.top_mark(item),
                _ => {}
            }
        }
    }

    fn header(&self, item: usize) -> Option<&'a str> {
        (self.syntax.nodes.get(item)?.construct == Construct::Header)
            .then(|| self.syntax.solid(item).next().map(|t| self.token_text(t)))?
    }

    fn reservation(&mut self, item: usize) {
        let tokens: Vec<usize> = self.syntax.solid(item).filter(|t| self.kind(*t) != Kind::Label).skip(1).collect();
        let mut eval = Eval::new(self.text, self.syntax, &tokens, self.limits.depth);
        match (eval.value(), eval.value()) {
            (Ok(at), Ok(len)) => self.tree.reservations.push((at, len)),
            (Err((span, message)), _) | (_, Err((span, message))) => self.error(Code::Number, span, message),
        }
    }

    fn head(&self, item: usize) -> Option<Head<'a>> {
        let mut head = Head { labels: Vec::new(), omit: false, name: "", kind: Kind::End, span: Span::default() };
        for token in self.syntax.solid(item) {
            let text = self.token_text(token);
            match self.kind(token) {
                Kind::Label => head.labels.push((text.strip_suffix(':').unwrap_or(text), self.token_span(token))),
                Kind::Directive => head.omit = true,
                kind => {
                    head.name = text.strip_prefix('\\').unwrap_or(text);
                    head.kind = kind;
                    head.span = self.token_span(token);
                    return Some(head);
                }
            }
        }
        None
    }

    fn reference(kind: Kind, text: &str) -> Option<Reference> {
        match kind {
            Kind::Ref => Some(Reference::Label(text.strip_prefix('&')?.to_owned())),
            Kind::PathRef => Some(Reference::Path(text.strip_prefix("&{")?.strip_suffix('}')?.to_owned())),
            _ => None,
        }
    }

    fn unknown(&mut self, reference: &Reference, span: Span) {
        let diag = Diag::error(Code::UnknownReference, span, format!("nothing is called {reference}"));
        let diag = match crate::resolve::suggestion(self.tree, reference) {
            Some(near) => diag.help(format!("did you mean {near}?")),
            None => diag,
        };
        self.push(diag);
    }

    fn top_node(&mut self, item: usize) {
        let Some(head) = self.head(item) else { return };
        let target = match head.kind {
            Kind::Punct(b'/') => self.tree.root(),
            kind => {
                let Some(reference) = Self::reference(kind, head.name) else { return };
                if self.tree.plugin {
                    self.fragment(&reference, head.span)
                } else if let Some(id) = self.tree.resolve(&reference) {
                    id
                } else {
                    return self.unknown(&reference, head.span);
                }
            }
        };
        if self.tree.node(target).span.is_none() {
            self.tree.node_mut(target).span = Some(head.span);
        }
        self.label(target, &head);
        self.body(item, target);
    }

    /// `&label { … }` in an overlay.
    fn fragment(&mut self, reference: &Reference, span: Span) -> NodeId {
        let name = format!("fragment@{}", self.fragments);
        self.fragments += 1;
        let root = self.tree.root();
        let fragment = self.tree.add_child(root, name);
        self.tree.node_mut(fragment).span = Some(span);
        let property = match reference {
            Reference::Label(_) => {
                let mut value = Value::cells(&[u32::MAX]);
                value.marks.push(Mark { offset: 0, kind: MarkKind::Phandle(reference.clone()), span: Some(span) });
                Property { span: Some(span), ..Property::new("target", value) }
            }
            Reference::Path(path) => {
                Property { span: Some(span), ..Property::new("target-path", Value::texts([path])) }
            }
        };
        self.tree.set(fragment, property);
        self.tree.add_child(fragment, "__overlay__")
    }

    fn top_mark(&mut self, item: usize) {
        let omit = self.syntax.nodes[item].construct == Construct::OmitIfNoRef;
        let Some(token) = self.syntax.solid(item).nth(1) else { return };
        let span = self.token_span(token);
        let Some(reference) = Self::reference(self.kind(token), self.token_text(token)) else {
            return self.error(Code::Delete, span, "at the top level a node is named by '&label' or '&{/path}'");
        };
        match self.tree.resolve(&reference) {
            Some(id) if omit => self.tree.node_mut(id).omit_if_no_ref = true,
            Some(id) => self.tree.remove(id),
            None => self.unknown(&reference, span),
        }
    }

    fn label(&mut self, id: NodeId, head: &Head<'_>) {
        for (label, span) in head.labels.iter().rev() {
            match self.tree.add_label(id, label) {
                Ok(()) => {
                    self.label_spans.entry((*label).to_owned()).or_insert(*span);
                }
                Err(owner) => {
                    let mut diag =
                        Diag::error(Code::DuplicateLabel, *span, format!("label '{label}' is already taken"))
                            .note(format!("given to {}", self.tree.path(id)));
                    if let Some(first) = self.label_spans.get(*label) {
                        diag = diag.at(*first, format!("and to {}", self.tree.path(owner)));
                    }
                    self.push(diag);
                }
            }
        }
    }

    fn body(&mut self, item: usize, target: NodeId) {
        let items: Vec<usize> = self.syntax.children(item).collect();
        let mut seen: HashMap<(&str, bool), Span> = HashMap::with_capacity(items.len());
        for item in items {
            let construct = self.syntax.nodes[item].construct;
            match construct {
                Construct::DeleteNode | Construct::DeleteProperty => {
                    let Some(token) = self.syntax.solid(item).nth(1) else { continue };
                    let name = self.token_text(token);
                    let is_node = construct == Construct::DeleteNode;
                    if let Some(reference) = Self::reference(self.kind(token), name) {
                        match self.tree.resolve(&reference) {
                            Some(id) if is_node => self.tree.remove(id),
                            _ => self.unknown(&reference, self.token_span(token)),
                        }
                    } else if is_node {
                        if let Some(id) = self.tree.child(target, name) {
                            self.tree.remove(id);
                        }
                    } else {
                        self.tree.remove_property(target, name);
                    }
                    // What is deleted may be defined again in the same body.
                    seen.remove(&(name, is_node));
                }
                Construct::Node | Construct::Property => {
                    let Some(head) = self.head(item).filter(|h| h.kind == Kind::Name) else { continue };
                    let is_node = construct == Construct::Node;
                    if let Some(first) = seen.insert((head.name, is_node), head.span) {
                        let what = if is_node { "node" } else { "property" };
                        let diag = Diag::error(
                            Code::DuplicateName,
                            head.span,
                            format!("{what} '{}' is defined twice in one body", head.name),
                        )
                        .note("again; both are merged, and this one wins")
                        .at(first, "first")
                        .warning();
                        self.push(diag);
                    }
                    if is_node { self.child(item, target, &head) } else { self.property(item, target, &head) }
                }
                _ => {}
            }
        }
    }

    fn child(&mut self, item: usize, parent: NodeId, head: &Head<'_>) {
        let id = match self.tree.child_with_deleted(parent, head.name) {
            Some(id) => {
                self.tree.node_mut(id).deleted = false;
                id
            }
            None => {
                if self.tree.len() >= self.limits.nodes {
                    return self.error(Code::Limit, head.span, format!("more than {} nodes", self.limits.nodes));
                }
                if head.name.bytes().filter(|b| *b == b'@').count() > 1
                    || head.name.starts_with('@')
                    || head.name.ends_with('@')
                {
                    self.error(
                        Code::BadName,
                        head.span,
                        format!("'{}' is not a node name: NAME or NAME@ADDRESS is expected", head.name),
                    );
                }
                let id = self.tree.add_child(parent, head.name);
                let node = self.tree.node_mut(id);
                node.span = Some(head.span);
                node.omit_if_no_ref = head.omit;
                id
            }
        };
        self.label(id, head);
        self.body(item, id);
    }

    fn property(&mut self, item: usize, target: NodeId, head: &Head<'_>) {
        if self.tree.node(target).properties.len() >= self.limits.properties {
            return self.error(
                Code::Limit,
                head.span,
                format!("more than {} properties in one node", self.limits.properties),
            );
        }
        let mut value = Value::default();
        let pieces: Vec<usize> = self.syntax.children(item).collect();
        let mut span = head.span;
        for piece in pieces {
            if let Some(last) = self.syntax.solid(piece).last() {
                span = head.span.to(self.token_span(last));
            }
            self.piece(piece, &mut value);
        }
        let labels = head.labels.iter().map(|(l, _)| (*l).to_owned()).collect();
        self.tree.set(target, Property { name: head.name.to_owned(), labels, value, span: Some(span), deleted: false });
    }

    fn piece(&mut self, piece: usize, value: &mut Value) {
        let tokens: Vec<usize> = self.syntax.solid(piece).collect();
        let offset = value.bytes.len();
        match self.syntax.nodes[piece].construct {
            Construct::Cells => self.cells(&tokens, value),
            Construct::Bytes => {
                value.marks.push(Mark { offset, kind: MarkKind::Bytes, span: None });
                let bytes = tokens.iter().filter(|t| self.kind(**t) == Kind::Byte);
                let parsed: Vec<u8> = bytes.filter_map(|t| u8::from_str_radix(self.token_text(*t), 16).ok()).collect();
                value.bytes.extend(parsed);
            }
            Construct::Single => {
                let Some(token) = tokens.first().copied() else { return };
                let text = self.token_text(token);
                let span = Some(self.token_span(token));
                if let Some(reference) = Self::reference(self.kind(token), text) {
                    value.marks.push(Mark { offset, kind: MarkKind::Path(reference), span });
                } else {
                    let inner = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or("");
                    value.marks.push(Mark { offset, kind: MarkKind::Text, span });
                    value.bytes.extend(unescape(inner));
                    value.bytes.push(0);
                }
            }
            Construct::Incbin => self.incbin(&tokens, value),
            _ => {}
        }
    }

    fn cells(&mut self, tokens: &[usize], value: &mut Value) {
        let mut bits = 32u8;
        let mut at = 0;
        if let Some(first) = tokens.first()
            && self.kind(*first) == Kind::Directive
        {
            let width = tokens.get(1).copied().unwrap_or(*first);
            match number(self.token_text(width)) {
                Some(n @ (8 | 16 | 32 | 64)) => bits = n as u8,
                _ => {
                    let span = self.token_span(width);
                    self.error(
                        Code::Number,
                        span,
                        format!("'{}' is no width of a cell: 8, 16, 32 or 64", self.token_text(width)),
                    );
                }
            }
            at = 2;
        }
        value.marks.push(Mark { offset: value.bytes.len(), kind: MarkKind::Cells(bits), span: None });
        while let Some(token) = tokens.get(at).copied() {
            let text = self.token_text(token);
            let offset = value.bytes.len();
            match self.kind(token) {
                Kind::Number | Kind::Char => {
                    let parsed =
                        if self.kind(token) == Kind::Char { char_value(text).map(u64::from) } else { number(text) };
                    let span = self.token_span(token);
                    let cell = parsed.unwrap_or_else(|| {
                        self.error(Code::Number, span, format!("'{text}' is not a number that fits in 64 bits"));
                        0
                    });
                    self.append(value, cell, bits, span);
                }
                kind @ (Kind::Ref | Kind::PathRef) => {
                    let span = self.token_span(token);
                    if bits != 32 {
                        self.error(Code::Number, span, format!("a reference takes a cell of 32 bits, not {bits}"));
                    }
                    if let Some(reference) = Self::reference(kind, text) {
                        value.marks.push(Mark { offset, kind: MarkKind::Phandle(reference), span: Some(span) });
                    }
                    self.append(value, u64::from(u32::MAX), bits.max(32), span);
                }
                Kind::Punct(b'(') => {
                    let mut eval = Eval::new(self.text, self.syntax, &tokens[at..], self.limits.depth);
                    let result = eval.value();
                    let used = eval.at.max(1);
                    let end = tokens.get(at + used - 1).copied().unwrap_or(token);
                    let span = self.token_span(token).to(self.token_span(end));
                    match result {
                        Ok(cell) => {
                            self.append(value, cell, bits, span);
                            at += used;
                        }
                        Err((at_span, message)) => {
                            self.error(Code::Number, at_span, message);
                            self.append(value, 0, bits, span);
                            // Past the matching parenthesis.
                            let mut depth = 0usize;
                            while let Some(t) = tokens.get(at) {
                                match self.kind(*t) {
                                    Kind::Punct(b'(') => depth += 1,
                                    Kind::Punct(b')') => depth -= 1,
                                    _ => {}
                                }
                                at += 1;
                                if depth == 0 {
                                    break;
                                }
                            }
                        }
                    }
                    continue;
                }
                Kind::Name => {
                    let span = self.token_span(token);
                    let diag = Diag::error(
                        Code::Macro,
                        span,
                        format!("'{text}' is not a number, and no macro of that name is defined"),
                    )
                    .help("is an #include of its header missing?");
                    self.push(diag);
                    self.append(value, 0, bits, span);
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn append(&mut self, value: &mut Value, cell: u64, bits: u8, span: Span) {
        if bits < 64 {
            let mask = (1u64 << bits) - 1;
            if cell > mask && (cell | mask) != u64::MAX {
                self.error(Code::Number, span, format!("{cell:#x} does not fit in a cell of {bits} bits"));
            }
        }
        let bytes = cell.to_be_bytes();
        value.bytes.extend_from_slice(&bytes[8 - usize::from(bits / 8)..]);
    }

    fn incbin(&mut self, tokens: &[usize], value: &mut Value) {
        let Some(name) = tokens.iter().copied().find(|t| self.kind(*t) == Kind::Text) else {
            let span = tokens.first().map(|t| self.token_span(*t)).unwrap_or_default();
            return self.error(Code::Syntax, span, "/incbin/ needs a file name in quotes");
        };
        let span = self.token_span(name);
        let inner = self.token_text(name).trim_matches('"').to_owned();
        let dir = self.sources.position(span).and_then(|p| p.file.rsplit_once('/').map(|(d, _)| d.to_owned()));
        let path = match dir {
            Some(dir) if !inner.starts_with('/') => format!("{dir}/{inner}"),
            _ => inner,
        };
        let mut numbers = Vec::new();
        let rest: Vec<usize> = tokens.iter().copied().skip_while(|t| *t != name).skip(1).collect();
        let mut at = 0;
        while rest.get(at).is_some_and(|t| self.kind(*t) == Kind::Punct(b',')) {
            let mut eval = Eval::new(self.text, self.syntax, &rest[at + 1..], self.limits.depth);
            match eval.value() {
                Ok(n) => numbers.push(n),
                Err((span, message)) => return self.error(Code::Number, span, message),
            }
            at += 1 + eval.at;
        }
        let bytes = match self.files.read(&path, self.limits.file) {
            Ok(bytes) => bytes,
            Err(error) => return self.error(Code::File, span, format!("cannot read '{path}': {error}")),
        };
        let from = numbers.first().map_or(0, |n| usize::try_from(*n).unwrap_or(usize::MAX));
        let len =
            numbers.get(1).map_or(bytes.len().saturating_sub(from), |n| usize::try_from(*n).unwrap_or(usize::MAX));
        value.marks.push(Mark { offset: value.bytes.len(), kind: MarkKind::Bytes, span: Some(span) });
        match from.checked_add(len).and_then(|to| bytes.get(from..to)) {
            Some(part) => value.bytes.extend_from_slice(part),
            None => self.error(Code::File, span, format!("'{path}' has {} bytes, too few for this part", bytes.len())),
        }
    }
}
