//! Arithmetic in cell lists: `<(1 + 2)>`. 64 bits without a sign, as `dtc` does it.

use crate::expression::{Expression, Wrong};
use crate::source::Span;
use crate::syntax::{Kind, SyntaxTree, char_value, number};

/// Evaluates `(…)` and plain numbers.
pub(crate) struct Eval<'a> {
    text: &'a str,
    syntax: &'a SyntaxTree,
    tokens: &'a [usize],
    /// How many tokens were used.
    pub(crate) at: usize,
    room: usize,
}

pub(crate) type Evaluated = Result<u64, (Span, String)>;

impl<'a> Eval<'a> {
    pub(crate) fn new(text: &'a str, syntax: &'a SyntaxTree, tokens: &'a [usize], room: usize) -> Self {
        Self { text, syntax, tokens, at: 0, room }
    }

    /// A token; behind the last one, where that is.
    fn look(&self, at: usize) -> (Kind, &'a str, Span) {
        let Some(token) = self.tokens.get(at).or(self.tokens.last()) else { return (Kind::End, "", Span::default()) };
        let range = self.syntax.range(*token);
        let span = Span::new(range.start, range.end);
        if at >= self.tokens.len() {
            return (Kind::End, "", span);
        }
        let kind = self.syntax.tokens.get(*token).map_or(Kind::End, |t| t.kind);
        (kind, self.text.get(range).unwrap_or(""), span)
    }
}

impl Expression for Eval<'_> {
    type Fault = (Span, String);
    const SIGNED: bool = false;
    const PREFIXES: &'static [&'static str] = &["-", "~", "!"];

    fn token(&self) -> &str {
        self.look(self.at).1
    }

    fn position(&mut self) -> &mut usize {
        &mut self.at
    }

    fn room(&mut self) -> &mut usize {
        &mut self.room
    }

    fn value(&mut self) -> Evaluated {
        let (kind, text, span) = self.look(self.at);
        let fault = |what: String| Err((span, what));
        match kind {
            Kind::Number => {
                self.at += 1;
                number(text).map_or_else(|| fault(format!("'{text}' is not a number that fits in 64 bits")), Ok)
            }
            Kind::Char => {
                self.at += 1;
                char_value(text).map_or_else(|| fault(format!("{text} is not one character")), |c| Ok(u64::from(c)))
            }
            Kind::Punct(b'(') => {
                self.at += 1;
                let value = self.expression()?;
                if self.eat(")") {
                    return Ok(value);
                }
                let (kind, text, span) = self.look(self.at);
                let what = match kind {
                    Kind::End => "expected ')'".to_owned(),
                    _ => format!("expected an operator or ')', found '{text}'"),
                };
                Err((span, what))
            }
            Kind::Name => fault(format!("'{text}' is not a number, and no macro of that name is defined")),
            Kind::Ref => fault("a reference cannot be calculated with".to_owned()),
            Kind::End => fault("a value is missing".to_owned()),
            _ => fault(format!("expected a value, found '{text}'")),
        }
    }

    fn fault(&self, position: usize, wrong: Wrong) -> Self::Fault {
        let what = match wrong {
            Wrong::TooDeep => "the expression nests too deeply",
            Wrong::NoColon => "expected ':' of '? :'",
            Wrong::Division => "division by zero",
        };
        (self.look(position).2, what.to_owned())
    }
}
