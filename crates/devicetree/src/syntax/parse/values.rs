//! The grammar of values: cells, bytes, texts, references, arithmetic.

use super::{Construct, Kind, Mode, Parser};
use crate::diag::{Code, Diag};
use crate::source::Span;

impl Parser<'_> {
    /// Everything behind `=`.
    pub(super) fn values(&mut self) {
        loop {
            let mut next = self.peek(Mode::Value);
            while next.0 == Kind::Label {
                self.bump(next);
                next = self.peek(Mode::Value);
            }
            let directive = self.directive(next);
            match next.0 {
                Kind::Text | Kind::Ref | Kind::PathRef => {
                    let node = self.open(Construct::Single);
                    self.bump(next);
                    self.close(node);
                }
                Kind::Punct(b'<') => self.cells(None),
                Kind::Pair(b'<', _) => {
                    // `<<expr` cannot start a value: two brackets were meant.
                    self.expected("a value", Mode::Value);
                    return self.skip_value();
                }
                Kind::Directive if directive == "/bits/" => self.cells(Some(next)),
                Kind::Directive if directive == "/incbin/" => {
                    let node = self.open(Construct::Incbin);
                    self.bump(next);
                    if self.peek(Mode::Value).0 == Kind::Punct(b'(') {
                        self.parenthesis();
                    } else {
                        self.expected("'(\"FILE\")' behind /incbin/", Mode::Value);
                    }
                    self.close(node);
                }
                Kind::Punct(b'[') => self.byte_string(next),
                _ => {
                    self.expected("a value: <cells>, [bytes], \"text\" or &label", Mode::Value);
                    if next.0 == Kind::Number
                        && let Some(last) = self.diags.list.pop()
                    {
                        self.diags.push(last.help("numbers stand in angle brackets: <1>"));
                    }
                    return self.skip_value();
                }
            }
            let mut next = self.peek(Mode::Value);
            while next.0 == Kind::Label {
                self.bump(next);
                next = self.peek(Mode::Value);
            }
            if next.0 != Kind::Punct(b',') {
                return;
            }
            self.bump(next);
        }
    }

    fn skip_value(&mut self) {
        loop {
            let next = self.peek(Mode::Value);
            if matches!(next.0, Kind::End | Kind::Punct(b';' | b'}' | b'{')) {
                return;
            }
            self.bump(next);
        }
    }

    fn cells(&mut self, bits: Option<(Kind, usize)>) {
        let node = self.open(Construct::Cells);
        if let Some(next) = bits {
            self.bump(next);
            let width = self.peek(Mode::Value);
            if width.0 == Kind::Number {
                self.bump(width);
            } else {
                self.expected("8, 16, 32 or 64 behind /bits/", Mode::Value);
            }
        }
        let open = self.at;
        if !self.eat(b'<', Mode::Value) {
            self.expected("'<' behind /bits/", Mode::Value);
            self.skip_value();
            return self.close(node);
        }
        loop {
            let next = self.peek(Mode::Value);
            match next.0 {
                Kind::Punct(b'>') => {
                    self.bump(next);
                    break;
                }
                Kind::Pair(b'>', b'>') => {
                    // `<(1) >>`: the first closes.
                    self.bump((Kind::Punct(b'>'), self.at + 1));
                    break;
                }
                Kind::Number | Kind::Char | Kind::Ref | Kind::PathRef | Kind::Label | Kind::Name => self.bump(next),
                Kind::Punct(b'(') => self.parenthesis(),
                Kind::End | Kind::Punct(b';' | b'}' | b'{') => {
                    let message = format!("expected '>' to close this cell list, found {}", self.found(next));
                    self.report(Diag::error(Code::Syntax, Span::new(open, open + 1), message).note("opened here"));
                    break;
                }
                Kind::Punct(b',') => {
                    self.expected("a cell", Mode::Value);
                    if let Some(last) = self.diags.list.pop() {
                        self.diags.push(last.help("cells are separated by blanks, not commas"));
                    }
                    self.bump(next);
                }
                Kind::Punct(_) | Kind::Pair(..) => {
                    self.expected("a cell", Mode::Value);
                    if let Some(last) = self.diags.list.pop() {
                        self.diags.push(last.help("arithmetic in a cell list stands in parentheses: <(1 + 2)>"));
                    }
                    self.bump(next);
                }
                _ => {
                    self.expected("a cell", Mode::Value);
                    self.bump(next);
                }
            }
            if self.stopped {
                break;
            }
        }
        self.close(node);
    }

    fn byte_string(&mut self, open: (Kind, usize)) {
        let node = self.open(Construct::Bytes);
        let start = self.at;
        self.bump((open.0, open.1));
        loop {
            let next = self.peek(Mode::Bytes);
            match next.0 {
                Kind::Byte | Kind::Label => self.bump(next),
                Kind::Punct(b']') => {
                    self.bump(next);
                    break;
                }
                Kind::End | Kind::Punct(b';' | b'}' | b'{') => {
                    let message = format!("expected ']' to close this byte string, found {}", self.found(next));
                    self.report(Diag::error(Code::Syntax, Span::new(start, start + 1), message).note("opened here"));
                    break;
                }
                _ => {
                    self.expected("a byte of two hexadecimal digits", Mode::Bytes);
                    self.bump(next);
                }
            }
            if self.stopped {
                break;
            }
        }
        self.close(node);
    }

    /// From `(` to the matching `)`; the evaluator looks inside.
    pub(super) fn parenthesis(&mut self) {
        let open = self.at;
        let mut depth = 0usize;
        loop {
            let next = self.peek(Mode::Value);
            match next.0 {
                Kind::Punct(b'(') => depth += 1,
                Kind::Punct(b')') => {
                    self.bump(next);
                    depth -= 1;
                    if depth == 0 {
                        return;
                    }
                    continue;
                }
                Kind::End | Kind::Punct(b';' | b'{' | b'}') => {
                    self.report(Diag::error(Code::Syntax, Span::new(open, open + 1), "this '(' is never closed"));
                    return;
                }
                _ => {}
            }
            self.bump(next);
        }
    }
}
