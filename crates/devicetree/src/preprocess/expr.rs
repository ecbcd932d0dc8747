//! `#if` expressions: C's integer arithmetic in 64 bits with a sign.

use super::tokens::{Token, TokenKind};
use crate::expression::{Expression, Wrong};
use crate::syntax::{char_value, number};

struct Condition<'a> {
    tokens: &'a [Token],
    at: usize,
    room: usize,
}

/// The value of an expression whose macros are already expanded.
pub(super) fn evaluate(tokens: &[Token], room: usize) -> Result<i64, String> {
    let mut condition = Condition { tokens, at: 0, room };
    let value = condition.expression()?;
    match condition.token() {
        "" => Ok(value as i64),
        other => Err(format!("'{other}' was not expected")),
    }
}

impl Expression for Condition<'_> {
    type Fault = String;
    const SIGNED: bool = true;
    const PREFIXES: &'static [&'static str] = &["-", "~", "!", "+"];

    fn token(&self) -> &str {
        self.tokens.get(self.at).map_or("", |t| &*t.text)
    }

    fn position(&mut self) -> &mut usize {
        &mut self.at
    }

    fn room(&mut self) -> &mut usize {
        &mut self.room
    }

    fn value(&mut self) -> Result<u64, String> {
        if self.eat("(") {
            let value = self.expression()?;
            return if self.eat(")") { Ok(value) } else { Err("')' is missing".to_owned()) };
        }
        let Some(token) = self.tokens.get(self.at) else { return Err("a value is missing".to_owned()) };
        self.at += 1;
        if token.kind == TokenKind::Name {
            return Ok(0);
        }
        let value = char_value(&token.text).map(u64::from).or_else(|| number(&token.text));
        value.ok_or_else(|| format!("'{}' is not a number", token.text))
    }

    fn fault(&self, _: usize, wrong: Wrong) -> String {
        match wrong {
            Wrong::TooDeep => "it nests too deeply".to_owned(),
            Wrong::NoColon => "':' is missing after '?'".to_owned(),
            Wrong::Division => "division by zero".to_owned(),
        }
    }
}
