//! The grammar: reads tokens, builds the lossless tree, and reports what it expected where.

mod values;

use super::lex::{self, Kind, Mode};
use super::{Construct, SyntaxNode, SyntaxTree, Token};
use crate::diag::{Code, Diag, Diags};
use crate::source::{Limits, Span};

/// Parses `text[range]`. Spans in messages and tokens count from the start of `text`.
#[must_use]
pub fn parse(text: &str, range: Span, limits: &Limits) -> (SyntaxTree, Diags) {
    let end = (range.end as usize).min(text.len());
    let start = (range.start as usize).min(end);
    let mut p = Parser {
        bytes: &text.as_bytes()[..end],
        text,
        at: start,
        tree: SyntaxTree { text: start as u32..end as u32, ..SyntaxTree::default() },
        solid_end: 0,
        last_byte: start,
        diags: Diags::default(),
        limits,
        depth: 0,
        stopped: false,
    };
    p.tree.tokens.reserve((end - start) / 5);
    p.trivia();
    let file = p.open(Construct::File);
    while !p.stopped && p.peek(Mode::Name).0 != Kind::End {
        p.top_level();
    }
    if p.stopped && p.at < end {
        p.push(Kind::Bad, end);
    }
    p.solid_end = p.tree.tokens.len();
    if let Some(node) = p.tree.nodes.get_mut(file) {
        node.tokens.start = 0;
    }
    p.close(file);
    (p.tree, p.diags)
}

struct Parser<'a> {
    bytes: &'a [u8],
    text: &'a str,
    at: usize,
    tree: SyntaxTree,
    /// Behind the last token that is no trivia.
    solid_end: usize,
    last_byte: usize,
    diags: Diags,
    limits: &'a Limits,
    depth: usize,
    stopped: bool,
}

impl Parser<'_> {
    fn push(&mut self, kind: Kind, end: usize) {
        self.tree.tokens.push(Token { kind, start: self.at as u32 });
        self.at = end;
    }

    fn trivia(&mut self) {
        while let Some((kind, end)) = lex::trivia(self.bytes, self.at) {
            self.push(kind, end);
        }
    }

    fn peek(&self, mode: Mode) -> (Kind, usize) {
        lex::token(self.bytes, self.at, mode)
    }

    fn bump(&mut self, (kind, end): (Kind, usize)) {
        if kind == Kind::End {
            return;
        }
        self.push(kind, end);
        self.solid_end = self.tree.tokens.len();
        self.last_byte = end;
        self.trivia();
    }

    fn open(&mut self, construct: Construct) -> usize {
        let first = self.tree.tokens.len() as u32;
        self.tree.nodes.push(SyntaxNode { construct, tokens: first..first, end: 0 });
        self.tree.nodes.len() - 1
    }

    fn close(&mut self, node: usize) {
        let end = self.tree.nodes.len() as u32;
        if let Some(node) = self.tree.nodes.get_mut(node) {
            node.tokens.end = (self.solid_end as u32).max(node.tokens.start);
            node.end = end;
        }
    }

    fn report(&mut self, diag: Diag) {
        self.diags.push(diag);
        if self.diags.list.len() >= self.limits.messages {
            self.stopped = true;
        }
    }

    fn found(&self, (kind, end): (Kind, usize)) -> String {
        match kind {
            Kind::End => "the end of the file".to_owned(),
            Kind::Bad if self.bytes.get(self.at) == Some(&b'"') => "a string that is never closed".to_owned(),
            _ => {
                let text = self.text.get(self.at..end).unwrap_or("?");
                let short: String = text.chars().take(30).collect();
                format!("'{short}'")
            }
        }
    }

    /// Reports that something else was expected here.
    fn expected(&mut self, what: &str, mode: Mode) {
        let next = self.peek(mode);
        let message = format!("expected {what}, found {}", self.found(next));
        let mut diag = Diag::error(Code::Syntax, Span::new(self.at, next.1.max(self.at)), message);
        if next.0 == Kind::Bad && self.bytes.get(self.at) == Some(&b'/') {
            diag = diag.help(format!("the directives are: {}", lex::DIRECTIVES.join(", ")));
        }
        self.report(diag);
    }

    fn eat(&mut self, punct: u8, mode: Mode) -> bool {
        let next = self.peek(mode);
        let hit = next.0 == Kind::Punct(punct);
        if hit {
            self.bump(next);
        }
        hit
    }

    /// The `;` behind a construct; without it reading goes on as if it were there when the next line looks like one.
    fn semicolon(&mut self, after: &str) {
        if self.eat(b';', Mode::Name) {
            return;
        }
        let next = self.peek(Mode::Value);
        let message = format!("expected ';' after {after}, found {}", self.found(next));
        let at = self.last_byte;
        self.report(
            Diag::error(Code::Syntax, Span::new(at.saturating_sub(1), at), message).note("';' is missing behind this"),
        );
        let same_line = !self.text.get(at..self.at).unwrap_or("").contains('\n');
        if same_line
            || !matches!(
                self.peek(Mode::Name).0,
                Kind::Name | Kind::Label | Kind::Punct(b'}') | Kind::Ref | Kind::Directive
            )
        {
            self.skip();
        }
    }

    /// To behind the next `;`, or to a `}` or the end, over whole `{…}` groups.
    fn skip(&mut self) {
        let mut depth = 0usize;
        loop {
            let next = self.peek(Mode::Value);
            match next.0 {
                Kind::End => return,
                Kind::Punct(b'{') => depth += 1,
                Kind::Punct(b'}') if depth == 0 => return,
                Kind::Punct(b'}') => {
                    depth -= 1;
                    if depth == 0 {
                        self.bump(next);
                        self.eat(b';', Mode::Name);
                        return;
                    }
                }
                Kind::Punct(b';') if depth == 0 => return self.bump(next),
                _ => {}
            }
            self.bump(next);
        }
    }

    fn directive(&self, next: (Kind, usize)) -> &str {
        if next.0 == Kind::Directive { self.text.get(self.at..next.1).unwrap_or("") } else { "" }
    }

    fn top_level(&mut self) {
        let next = self.peek(Mode::Name);
        let directive = self.directive(next).to_owned();
        match directive.as_str() {
            "/dts-v1/" | "/plugin/" => {
                let node = self.open(Construct::Header);
                self.bump(next);
                self.semicolon(&directive);
                self.close(node);
                return;
            }
            "/delete-node/" | "/omit-if-no-ref/" => return self.marked(&directive, next),
            _ => {}
        }
        let node = self.open(Construct::Node);
        let mut labelled = false;
        loop {
            let label = self.peek(Mode::Name);
            if label.0 != Kind::Label {
                break;
            }
            labelled = true;
            self.bump(label);
        }
        let next = self.peek(Mode::Name);
        match next.0 {
            Kind::Directive if self.directive(next) == "/memreserve/" => {
                if let Some(n) = self.tree.nodes.get_mut(node) {
                    n.construct = Construct::Reservation;
                }
                self.bump(next);
                for what in ["the address", "the length"] {
                    let number = self.peek(Mode::Value);
                    match number.0 {
                        Kind::Number | Kind::Char => self.bump(number),
                        Kind::Punct(b'(') => self.parenthesis(),
                        _ => {
                            self.expected(&format!("{what} to reserve"), Mode::Value);
                            break;
                        }
                    }
                }
                self.semicolon("/memreserve/");
            }
            Kind::Punct(b'/') | Kind::Ref | Kind::PathRef => {
                self.bump(next);
                self.body("the node");
            }
            _ => {
                let what =
                    if labelled { "'/' or a reference behind the label" } else { "'/ {', '&label {', or a directive" };
                self.expected(what, Mode::Name);
                if next.0 == Kind::Punct(b'}') {
                    self.bump(next);
                    self.eat(b';', Mode::Name);
                } else {
                    self.skip();
                }
            }
        }
        self.close(node);
    }

    fn marked(&mut self, directive: &str, next: (Kind, usize)) {
        let construct = match directive {
            "/delete-node/" => Construct::DeleteNode,
            "/delete-property/" => Construct::DeleteProperty,
            _ => Construct::OmitIfNoRef,
        };
        let node = self.open(construct);
        self.bump(next);
        let target = self.peek(Mode::Name);
        match target.0 {
            Kind::Ref | Kind::PathRef | Kind::Name => {
                self.bump(target);
                self.semicolon(directive);
            }
            _ => {
                self.expected(&format!("a name or reference behind {directive}"), Mode::Name);
                self.skip();
            }
        }
        self.close(node);
    }

    /// `{ … };`
    fn body(&mut self, what: &str) {
        let brace = self.at;
        if !self.eat(b'{', Mode::Name) {
            self.expected(&format!("'{{' to open {what}"), Mode::Name);
            return self.skip();
        }
        self.depth += 1;
        if self.depth > self.limits.depth {
            let message = format!("nodes nest deeper than {}", self.limits.depth);
            self.report(Diag::error(Code::Limit, Span::new(brace, brace + 1), message));
            self.stopped = true;
            return;
        }
        let mut nodes_seen: Option<usize> = None;
        while !self.stopped {
            let next = self.peek(Mode::Name);
            match next.0 {
                Kind::Punct(b'}') => {
                    self.bump(next);
                    self.depth -= 1;
                    return self.semicolon("the node's '}'");
                }
                Kind::End => {
                    self.report(
                        Diag::error(Code::Syntax, Span::new(brace, brace + 1), "this '{' is never closed")
                            .help("add '};' at the end of the node"),
                    );
                    self.depth -= 1;
                    return;
                }
                _ => self.item(&mut nodes_seen),
            }
        }
    }

    fn item(&mut self, nodes_seen: &mut Option<usize>) {
        let next = self.peek(Mode::Name);
        let directive = self.directive(next).to_owned();
        let omit = directive == "/omit-if-no-ref/";
        if matches!(directive.as_str(), "/delete-node/" | "/delete-property/") {
            if directive == "/delete-property/" {
                self.order(*nodes_seen);
            }
            return self.marked(&directive, next);
        }
        let node = self.open(Construct::Property);
        if omit {
            self.bump(next);
        }
        let mut next = self.peek(Mode::Name);
        while next.0 == Kind::Label {
            self.bump(next);
            next = self.peek(Mode::Name);
        }
        if self.directive(next) == "/omit-if-no-ref/" {
            self.bump(next);
            next = self.peek(Mode::Name);
        }
        if next.0 != Kind::Name {
            let help = matches!(next.0, Kind::Ref | Kind::PathRef);
            self.expected("a property or node name", Mode::Name);
            if help && let Some(last) = self.diags.list.pop() {
                self.diags.push(last.help("references to nodes stand at the top level, outside '/ { … };'"));
            }
            self.skip();
            return self.close(node);
        }
        let start = self.at;
        self.bump(next);
        let behind = self.peek(Mode::Value);
        match behind.0 {
            Kind::Punct(b'{') => {
                *nodes_seen = Some(start);
                if let Some(n) = self.tree.nodes.get_mut(node) {
                    n.construct = Construct::Node;
                }
                self.body("the node");
            }
            Kind::Punct(b';') => {
                self.order(*nodes_seen);
                self.bump(behind);
            }
            Kind::Punct(b'=') => {
                self.order(*nodes_seen);
                self.bump(behind);
                self.values();
                self.semicolon("the property's value");
            }
            _ => {
                let name = self.text.get(start..next.1).unwrap_or("").to_owned();
                let same_line = !self.text.get(next.1..self.at).unwrap_or("").contains('\n');
                if same_line || behind.0 == Kind::End {
                    self.expected(&format!("'=', ';' or '{{' behind '{name}'"), Mode::Value);
                    self.skip();
                } else {
                    self.semicolon(&format!("'{name}'"));
                }
            }
        }
        self.close(node);
    }

    fn order(&mut self, nodes_seen: Option<usize>) {
        if let Some(node) = nodes_seen {
            let at = Span::new(self.at.min(self.last_byte), self.last_byte.max(self.at));
            let diag = Diag::error(
                Code::Syntax,
                Span::new(at.start as usize, at.end as usize),
                "properties must stand before the node's children",
            )
            .note("this property comes too late")
            .at(Span::new(node, node + 1), "after this child");
            self.report(diag);
        }
    }
}
