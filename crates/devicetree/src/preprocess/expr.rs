//! `#if` expressions: C's integer arithmetic in 64 bits.

use super::{Token, is_name};

struct Cursor<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
}

/// The value of an expression whose macros are already expanded.
pub(super) fn evaluate(tokens: &[Token], depth: usize) -> Result<i64, String> {
    let mut cursor = Cursor { tokens, at: 0, depth };
    let value = cursor.ternary()?;
    match cursor.peek() {
        "" => Ok(value),
        other => Err(format!("'{other}' was not expected")),
    }
}

fn level(operator: &str) -> Option<u8> {
    Some(match operator {
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
        _ => return None,
    })
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> &'a str {
        self.tokens.get(self.at).map_or("", |t| &*t.text)
    }

    fn eat(&mut self, text: &str) -> bool {
        let hit = self.peek() == text && !text.is_empty();
        self.at += usize::from(hit);
        hit
    }

    fn ternary(&mut self) -> Result<i64, String> {
        self.depth = self.depth.checked_sub(1).ok_or("it nests too deeply")?;
        let condition = self.binary(1)?;
        let value = if self.eat("?") {
            let yes = self.ternary()?;
            if !self.eat(":") {
                return Err("':' is missing after '?'".to_owned());
            }
            let no = self.ternary()?;
            if condition != 0 { yes } else { no }
        } else {
            condition
        };
        self.depth += 1;
        Ok(value)
    }

    fn binary(&mut self, floor: u8) -> Result<i64, String> {
        let mut left = self.unary()?;
        while let Some(own) = level(self.peek()).filter(|l| *l >= floor) {
            let operator = self.peek();
            self.at += 1;
            let right = self.binary(own + 1)?;
            left = match operator {
                "||" => i64::from(left != 0 || right != 0),
                "&&" => i64::from(left != 0 && right != 0),
                "|" => left | right,
                "^" => left ^ right,
                "&" => left & right,
                "==" => i64::from(left == right),
                "!=" => i64::from(left != right),
                "<" => i64::from(left < right),
                ">" => i64::from(left > right),
                "<=" => i64::from(left <= right),
                ">=" => i64::from(left >= right),
                "<<" => left.checked_shl(right as u32).unwrap_or(0),
                ">>" => left.checked_shr(right as u32).unwrap_or(0),
                "+" => left.wrapping_add(right),
                "-" => left.wrapping_sub(right),
                "*" => left.wrapping_mul(right),
                // `0 && 1/0` is fine in C; so a division by zero that nothing depends on gives zero.
                "/" if right != 0 => left.wrapping_div(right),
                "%" if right != 0 => left.wrapping_rem(right),
                _ => return Err("division by zero".to_owned()),
            };
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<i64, String> {
        let mut operators = Vec::new();
        while matches!(self.peek(), "!" | "-" | "~" | "+") {
            operators.push(self.peek());
            self.at += 1;
        }
        let mut value = self.primary()?;
        for operator in operators.iter().rev() {
            value = match *operator {
                "!" => i64::from(value == 0),
                "-" => value.wrapping_neg(),
                "~" => !value,
                _ => value,
            };
        }
        Ok(value)
    }

    fn primary(&mut self) -> Result<i64, String> {
        if self.eat("(") {
            let value = self.ternary()?;
            if !self.eat(")") {
                return Err("')' is missing".to_owned());
            }
            return Ok(value);
        }
        let Some(token) = self.tokens.get(self.at) else { return Err("a value is missing".to_owned()) };
        self.at += 1;
        if is_name(token.kind) {
            return Ok(0);
        }
        if let Some(value) = crate::syntax::char_value(&token.text) {
            return Ok(i64::from(value));
        }
        crate::syntax::number(&token.text).map(|n| n as i64).ok_or_else(|| format!("'{}' is not a number", token.text))
    }
}
