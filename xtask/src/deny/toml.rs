//! As much TOML as `deny.toml` needs: sections, and keys with strings, booleans, lists and inline tables of them.
//!
//! Anything else is an error, never skipped: what is not understood might be what matters.

use std::collections::BTreeMap;

pub(super) type Table = BTreeMap<String, Value>;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Bool(bool),
    List(Vec<Value>),
    Table(Table),
}

impl Value {
    pub(super) fn strings(&self) -> Option<Vec<String>> {
        let Self::List(items) = self else { return None };
        let text = |item: &Self| if let Self::Text(text) = item { Some(text.clone()) } else { None };
        items.iter().map(text).collect()
    }

    pub(super) fn table(&self, name: &str) -> Result<&Table, String> {
        if let Self::Table(table) = self { Ok(table) } else { Err(format!("an entry of {name} is not a table")) }
    }
}

/// Section by section, what is before the first section under the empty name.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, Table>, String> {
    let mut reader = Reader { text, at: 0 };
    reader.document().map_err(|what| {
        let line = text.get(..reader.at).unwrap_or(text).lines().count().max(1);
        format!("line {line}: {what}")
    })
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Steps over blanks, line ends and comments.
    fn blank(&mut self) {
        loop {
            let trimmed = self.rest().trim_start();
            self.at = self.text.len() - trimmed.len();
            if !trimmed.starts_with('#') {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn took(&mut self, char: char) -> bool {
        self.blank();
        let is_next = self.peek() == Some(char);
        if is_next {
            self.at += char.len_utf8();
        }
        is_next
    }

    fn expect(&mut self, char: char) -> Result<(), String> {
        if self.took(char) { Ok(()) } else { Err(format!("expected {char:?}, found {:?}", self.peek())) }
    }

    fn word(&mut self) -> Result<String, String> {
        self.blank();
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(rest.len());
        if end == 0 {
            return Err(format!("expected a name, found {:?}", self.peek()));
        }
        self.at += end;
        Ok(rest.get(..end).unwrap_or_default().into())
    }

    fn document(&mut self) -> Result<BTreeMap<String, Table>, String> {
        let (mut document, mut section) = (BTreeMap::<String, Table>::new(), String::new());
        loop {
            self.blank();
            if self.peek().is_none() {
                return Ok(document);
            }
            if self.took('[') {
                section = self.word()?;
                self.expect(']')?;
                if document.insert(section.clone(), Table::new()).is_some() {
                    return Err(format!("[{section}] is there twice"));
                }
            } else {
                let table = document.entry(section.clone()).or_default();
                self.pair(table)?;
            }
        }
    }

    fn pair(&mut self, table: &mut Table) -> Result<(), String> {
        let key = self.word()?;
        self.expect('=')?;
        let value = self.value()?;
        match table.insert(key.clone(), value) {
            None => Ok(()),
            Some(_) => Err(format!("{key} is there twice")),
        }
    }

    fn value(&mut self) -> Result<Value, String> {
        if self.took('"') {
            return self.string().map(Value::Text);
        }
        if self.took('[') {
            let mut items = Vec::new();
            while !self.took(']') {
                items.push(self.value()?);
                if !self.took(',') {
                    self.expect(']')?;
                    break;
                }
            }
            return Ok(Value::List(items));
        }
        if self.took('{') {
            let mut table = Table::new();
            while !self.took('}') {
                self.pair(&mut table)?;
                if !self.took(',') {
                    self.expect('}')?;
                    break;
                }
            }
            return Ok(Value::Table(table));
        }
        match self.word()?.as_str() {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            other => Err(format!("{other:?} is not a value that is understood here")),
        }
    }

    /// The rest of a string whose first quote has been read. Escapes are not understood.
    fn string(&mut self) -> Result<String, String> {
        let rest = self.rest();
        let end = rest.find(['"', '\\', '\n']).unwrap_or(rest.len());
        match rest.get(end..).and_then(|rest| rest.chars().next()) {
            Some('"') => (),
            other => return Err(format!("a string must end on its line and have no escapes, found {other:?}")),
        }
        self.at += end + 1;
        Ok(rest.get(..end).unwrap_or_default().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_deny_toml_uses_is_read() {
        let text = "# top\n[a]\nx = \"1\" # one\ny = [\n  \"p\", # first\n  { crate = \"q\", allow = [\"r\"] },\n]\n[b-c]\nz = true\n";
        let document = parse(text).unwrap();
        assert_eq!(document["a"]["x"], Value::Text("1".into()));
        assert_eq!(document["b-c"]["z"], Value::Bool(true));
        let Value::List(items) = &document["a"]["y"] else { panic!("not a list") };
        assert_eq!(items[0], Value::Text("p".into()));
        assert_eq!(items[1].table("y").unwrap()["allow"].strings(), Some(vec!["r".into()]));
    }

    #[test]
    fn anything_else_is_an_error_with_its_line() {
        for (text, line) in [
            ("x", 1),
            ("\n\nx = 5 = 6", 3),
            ("[a]\n[a]", 2),
            ("x = \"a\nb\"", 1),
            ("x = \"\\n\"", 1),
            ("x = [\"a\"", 1),
            ("x = \"a\"\nx = \"b\"", 2),
            ("x = { a = \"b\" \"c\" }", 1),
            ("[[a]]", 1),
            ("x = 'a'", 1),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(&format!("line {line}:")), "{text:?}: {error}");
        }
    }
}
