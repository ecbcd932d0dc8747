//! Arithmetic in cell lists: `<(1 + 2)>`.

use crate::source::Span;
use crate::syntax::{Kind, SyntaxTree, char_value, number};

/// Evaluates `(…)` and plain numbers: 64 bits, unsigned, as `dtc` does.
pub(crate) struct Eval<'a> {
    text: &'a str,
    syntax: &'a SyntaxTree,
    tokens: &'a [usize],
    /// How many tokens were used.
    pub(crate) at: usize,
    depth: usize,
}

pub(crate) type Evaluated = Result<u64, (Span, String)>;

impl<'a> Eval<'a> {
    pub(crate) fn new(text: &'a str, syntax: &'a SyntaxTree, tokens: &'a [usize], depth: usize) -> Self {
        Self { text, syntax, tokens, at: 0, depth }
    }

    fn peek(&self) -> (Kind, &'a str, Span) {
        match self.tokens.get(self.at).or(self.tokens.last()) {
            None => (Kind::End, "", Span::default()),
            Some(token) => {
                let range = self.syntax.range(*token);
                let span = Span::new(range.start, range.end);
                if self.at >= self.tokens.len() {
                    return (Kind::End, "", span);
                }
                let kind = self.syntax.tokens.get(*token).map_or(Kind::End, |t| t.kind);
                (kind, self.text.get(range).unwrap_or(""), span)
            }
        }
    }

    fn eat(&mut self, text: &str) -> bool {
        let hit = self.peek().1 == text;
        self.at += usize::from(hit);
        hit
    }

    pub(crate) fn primary(&mut self) -> Evaluated {
        let (kind, text, span) = self.peek();
        match kind {
            Kind::Number => {
                self.at += 1;
                number(text).ok_or_else(|| (span, format!("'{text}' is not a number that fits in 64 bits")))
            }
            Kind::Char => {
                self.at += 1;
                char_value(text).map(u64::from).ok_or_else(|| (span, format!("{text} is not one character")))
            }
            Kind::Punct(b'(') => {
                self.at += 1;
                self.depth =
                    self.depth.checked_sub(1).ok_or_else(|| (span, "parentheses nest too deeply".to_owned()))?;
                let value = self.ternary()?;
                self.depth += 1;
                if self.eat(")") {
                    return Ok(value);
                }
                let (kind, text, span) = self.peek();
                Err((
                    span,
                    if kind == Kind::End {
                        "expected ')'".to_owned()
                    } else {
                        format!("expected an operator or ')', found '{text}'")
                    },
                ))
            }
            Kind::Name => Err((span, format!("'{text}' is not a number, and no macro of that name is defined"))),
            Kind::Ref => Err((span, "a reference cannot be calculated with".to_owned())),
            Kind::End => Err((span, "a value is missing".to_owned())),
            _ => Err((span, format!("expected a value, found '{text}'"))),
        }
    }

    fn ternary(&mut self) -> Evaluated {
        let condition = self.binary(1)?;
        if self.eat("?") {
            let yes = self.nested()?;
            if !self.eat(":") {
                return Err((self.peek().2, "expected ':' of '? :'".to_owned()));
            }
            let no = self.nested()?;
            return Ok(if condition != 0 { yes } else { no });
        }
        Ok(condition)
    }

    fn nested(&mut self) -> Evaluated {
        let span = self.peek().2;
        self.depth = self.depth.checked_sub(1).ok_or_else(|| (span, "the expression nests too deeply".to_owned()))?;
        let value = self.ternary()?;
        self.depth += 1;
        Ok(value)
    }

    fn binary(&mut self, floor: u8) -> Evaluated {
        let mut left = self.unary()?;
        loop {
            let (_, operator, span) = self.peek();
            let own = match operator {
                "||" => 1,
                "&&" => 2,
                "|" => 3,
                "^" => 4,
                "&" => 5,
                "==" | "!=" => 6,
                "<" | ">" | "<=" | ">=" => 7,
                "<<" | ">>" => 8,
                "+" | "-" => 9,
                "*" | "/" | "%" => 10,
                _ => return Ok(left),
            };
            if own < floor {
                return Ok(left);
            }
            self.at += 1;
            let right = self.binary(own + 1)?;
            let shift = u32::try_from(right).unwrap_or(64);
            left = match operator {
                "||" => u64::from(left != 0 || right != 0),
                "&&" => u64::from(left != 0 && right != 0),
                "|" => left | right,
                "^" => left ^ right,
                "&" => left & right,
                "==" => u64::from(left == right),
                "!=" => u64::from(left != right),
                "<" => u64::from(left < right),
                ">" => u64::from(left > right),
                "<=" => u64::from(left <= right),
                ">=" => u64::from(left >= right),
                "<<" => left.checked_shl(shift).unwrap_or(0),
                ">>" => left.checked_shr(shift).unwrap_or(0),
                "+" => left.wrapping_add(right),
                "-" => left.wrapping_sub(right),
                "*" => left.wrapping_mul(right),
                "/" => left.checked_div(right).ok_or((span, "division by zero".to_owned()))?,
                _ => left.checked_rem(right).ok_or((span, "division by zero".to_owned()))?,
            };
        }
    }

    fn unary(&mut self) -> Evaluated {
        let from = self.at;
        while matches!(self.peek().1, "-" | "~" | "!") {
            self.at += 1;
        }
        let operators = self.at - from;
        let mut value = self.primary()?;
        for i in (from..from + operators).rev() {
            let range = self.tokens.get(i).map_or(0..0, |t| self.syntax.range(*t));
            value = match self.text.get(range) {
                Some("-") => value.wrapping_neg(),
                Some("~") => !value,
                _ => u64::from(value == 0),
            };
        }
        Ok(value)
    }
}
