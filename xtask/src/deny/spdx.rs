//! Licence expressions (SPDX 2.3, annex D), as far as `Cargo.toml` files use them.
//!
//! `OR` is weaker than `AND`; `A WITH B` is a licence of its own; `A/B` is an old way to write `A OR B`.

/// Whether an expression can be met with licences that `allowed` permits.
pub(super) fn permits(expression: &str, allowed: &mut dyn FnMut(&str) -> bool) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut parser = Parser { words: &words, allowed };
    let met = parser.any()?;
    match parser.words.first() {
        None => Ok(met),
        Some(word) => Err(format!("{word:?} is out of place")),
    }
}

struct Parser<'a> {
    words: &'a [&'a str],
    allowed: &'a mut dyn FnMut(&str) -> bool,
}

impl<'a> Parser<'a> {
    fn take(&mut self) -> Option<&'a str> {
        let (first, rest) = self.words.split_first()?;
        self.words = rest;
        Some(first)
    }

    fn took(&mut self, word: &str) -> bool {
        let is_next = self.words.first() == Some(&word);
        if is_next {
            self.take();
        }
        is_next
    }

    fn any(&mut self) -> Result<bool, String> {
        let mut met = self.all()?;
        while self.took("OR") {
            met |= self.all()?;
        }
        Ok(met)
    }

    fn all(&mut self) -> Result<bool, String> {
        let mut met = self.one()?;
        while self.took("AND") {
            met &= self.one()?;
        }
        Ok(met)
    }

    fn one(&mut self) -> Result<bool, String> {
        match self.take() {
            None => Err("it ends too early".into()),
            Some("(") => {
                let met = self.any()?;
                if self.took(")") { Ok(met) } else { Err("a bracket is not closed".into()) }
            }
            Some(word @ (")" | "OR" | "AND" | "WITH")) => Err(format!("{word:?} is out of place")),
            Some(id) if self.took("WITH") => {
                let exception = self.take().ok_or("it ends after WITH")?;
                Ok((self.allowed)(&format!("{id} WITH {exception}")))
            }
            Some(id) => Ok((self.allowed)(id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mit_and_bsd(expression: &str) -> Result<bool, String> {
        permits(expression, &mut |id| ["MIT", "BSD-3-Clause", "Apache-2.0 WITH LLVM-exception"].contains(&id))
    }

    #[test]
    fn expressions_are_met_or_not() {
        for met in [
            "MIT",
            "GPL-2.0-only OR MIT",
            "GPL-2.0-only/MIT",
            "MIT AND BSD-3-Clause",
            "(MIT OR Apache-2.0) AND BSD-3-Clause",
            "Apache-2.0 WITH LLVM-exception",
            "GPL-2.0-only AND Zlib OR MIT",
        ] {
            assert_eq!(mit_and_bsd(met), Ok(true), "{met}");
        }
        for unmet in ["Zlib", "MIT AND Zlib", "(MIT OR Zlib) AND ISC", "Apache-2.0", "MIT AND (ISC OR Zlib)"] {
            assert_eq!(mit_and_bsd(unmet), Ok(false), "{unmet}");
        }
    }

    #[test]
    fn nonsense_is_an_error() {
        for wrong in ["", "MIT OR", "MIT MIT", "(MIT", "MIT)", "AND", "MIT WITH"] {
            assert!(mit_and_bsd(wrong).is_err(), "{wrong}");
        }
    }
}
