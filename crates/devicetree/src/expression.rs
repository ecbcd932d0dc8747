//! C's integer expressions, for cell lists and `#if`: which operator binds how tightly, and what it gives. Numbers have 64
//! bits; whether the first of them is a sign, each kind of expression says.

/// What can be wrong with an expression whose values are fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It nests deeper than there is room for.
    TooDeep,
    /// `? :` without its `:`.
    NoColon,
    /// By zero.
    Division,
}

/// The operators between two values, by how tightly they bind.
const OPERATORS: [(&str, u8); 18] = [
    ("||", 1),
    ("&&", 2),
    ("|", 3),
    ("^", 4),
    ("&", 5),
    ("==", 6),
    ("!=", 6),
    ("<", 7),
    (">", 7),
    ("<=", 7),
    (">=", 7),
    ("<<", 8),
    (">>", 8),
    ("+", 9),
    ("-", 9),
    ("*", 10),
    ("/", 10),
    ("%", 10),
];

/// An expression's tokens, and how far it is read.
pub(crate) trait Expression {
    /// Its errors.
    type Fault;
    /// Whether the first bit of a number is its sign.
    const SIGNED: bool;
    /// The operators that may stand before a value.
    const PREFIXES: &'static [&'static str];

    /// The next token's text; empty at the end.
    fn token(&self) -> &str;
    /// Which token is next.
    fn position(&mut self) -> &mut usize;
    /// How much deeper it may nest.
    fn room(&mut self) -> &mut usize;
    /// Reads a number, or an expression in parentheses.
    fn value(&mut self) -> Result<u64, Self::Fault>;
    /// The error for the token of this position.
    fn fault(&self, position: usize, wrong: Wrong) -> Self::Fault;

    /// Takes the next token if it is this one.
    fn eat(&mut self, text: &str) -> bool {
        let hit = self.token() == text;
        *self.position() += usize::from(hit);
        hit
    }

    /// Reads a whole expression.
    fn expression(&mut self) -> Result<u64, Self::Fault> {
        let at = *self.position();
        let Some(room) = self.room().checked_sub(1) else { return Err(self.fault(at, Wrong::TooDeep)) };
        *self.room() = room;
        let mut value = self.operation(1)?;
        if self.eat("?") {
            let yes = self.expression()?;
            if !self.eat(":") {
                let at = *self.position();
                return Err(self.fault(at, Wrong::NoColon));
            }
            let no = self.expression()?;
            value = if value == 0 { no } else { yes };
        }
        *self.room() += 1;
        Ok(value)
    }

    /// Reads values and the operators between them that bind at least so tightly.
    fn operation(&mut self, least: u8) -> Result<u64, Self::Fault> {
        let mut left = self.prefixed()?;
        loop {
            let operator = OPERATORS.into_iter().find(|(text, level)| *text == self.token() && *level >= least);
            let Some((operator, level)) = operator else { return Ok(left) };
            let at = *self.position();
            *self.position() += 1;
            let right = self.operation(level + 1)?;
            left = apply(operator, left, right, Self::SIGNED).ok_or_else(|| self.fault(at, Wrong::Division))?;
        }
    }

    /// Reads a value with the operators before it.
    fn prefixed(&mut self) -> Result<u64, Self::Fault> {
        let mut operators = Vec::new();
        while let Some(operator) = Self::PREFIXES.iter().find(|text| **text == self.token()) {
            operators.push(*operator);
            *self.position() += 1;
        }
        let value = self.value()?;
        Ok(operators.into_iter().rev().fold(value, |value, operator| match operator {
            "-" => value.wrapping_neg(),
            "~" => !value,
            "!" => u64::from(value == 0),
            _ => value,
        }))
    }
}

/// What an operator gives; nothing if it divides by zero.
fn apply(operator: &str, left: u64, right: u64, signed: bool) -> Option<u64> {
    let (a, b) = (left as i64, right as i64);
    let bits = u32::try_from(right).unwrap_or(64);
    let less = if signed { a < b } else { left < right };
    Some(match operator {
        "||" => u64::from(left != 0 || right != 0),
        "&&" => u64::from(left != 0 && right != 0),
        "|" => left | right,
        "^" => left ^ right,
        "&" => left & right,
        "==" => u64::from(left == right),
        "!=" => u64::from(left != right),
        "<" => u64::from(less),
        ">=" => u64::from(!less),
        ">" => u64::from(!less && left != right),
        "<=" => u64::from(less || left == right),
        "<<" => left.checked_shl(bits).unwrap_or(0),
        ">>" if signed => a.checked_shr(bits).unwrap_or(0) as u64,
        ">>" => left.checked_shr(bits).unwrap_or(0),
        "+" => left.wrapping_add(right),
        "-" => left.wrapping_sub(right),
        "*" => left.wrapping_mul(right),
        _ if right == 0 => return None,
        "/" if signed => a.wrapping_div(b) as u64,
        "/" => left / right,
        _ if signed => a.wrapping_rem(b) as u64,
        _ => left % right,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sign_matters_where_it_does_in_c() {
        let minus = |n: u64| n.wrapping_neg();
        assert_eq!(apply("<", minus(1), 0, true), Some(1));
        assert_eq!(apply("<", minus(1), 0, false), Some(0));
        assert_eq!(apply(">>", minus(8), 2, true), Some(minus(2)));
        assert_eq!(apply(">>", minus(8), 62, false), Some(3));
        assert_eq!(apply("/", minus(7), 2, true), Some(minus(3)));
        assert_eq!(apply("%", minus(7), 2, true), Some(minus(1)));
        assert_eq!(apply("/", 1 << 63, minus(1), true), Some(1 << 63));
        for signed in [false, true] {
            assert_eq!(apply("/", 1, 0, signed), None);
            assert_eq!(apply("%", 1, 0, signed), None);
            assert_eq!(apply("<<", 1, 64, signed), Some(0));
            assert_eq!(apply(">=", 2, 2, signed), Some(1));
            assert_eq!(apply(">", 2, 2, signed), Some(0));
        }
    }
}
