//! What xtask reads of `deny.toml`.

use std::{collections::BTreeMap, fmt};

use super::toml::{self, Value};

#[derive(Debug)]
pub(super) struct Config {
    pub(super) targets: Vec<String>,
    pub(super) allowed: Vec<String>,
    /// Licences that one package may have besides.
    pub(super) exceptions: BTreeMap<String, Vec<String>>,
    pub(super) skips: Vec<Skip>,
    pub(super) registries: Vec<String>,
}

/// A version that may be used beside another.
#[derive(Debug)]
pub(super) struct Skip {
    name: String,
    version: Vec<u64>,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version: Vec<_> = self.version.iter().map(u64::to_string).collect();
        write!(f, "{}:{}", self.name, version.join("."))
    }
}

impl Skip {
    /// Reads `name:version`, the version as far as it says what is compatible: `syn:2`, `base64:0.22`. There, the
    /// prefix match made here and cargo-deny's requirement mean the same.
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not name:version, with a version like 2 or 0.22");
        let (name, version) = text.split_once(':').ok_or_else(wrong)?;
        let version: Vec<u64> = version.split('.').map(str::parse).collect::<Result<_, _>>().map_err(|_| wrong())?;
        match version.split_last() {
            Some((last, before)) if *last > 0 && before.iter().all(|part| *part == 0) => {
                Ok(Self { name: name.into(), version })
            }
            _ => Err(wrong()),
        }
    }

    pub(super) fn matches(&self, name: &str, version: &str) -> bool {
        let mut parts = version.split(['.', '-', '+']).map(|part| part.parse().ok());
        name == self.name && self.version.iter().all(|part| parts.next() == Some(Some(*part)))
    }
}

impl Config {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let document = toml::parse(text)?;
        let get = |section: &str, key: &str| document.get(section).and_then(|section| section.get(key));
        let strings = |section: &str, key: &str| match get(section, key) {
            None => Err(format!("[{section}] wants {key}")),
            Some(value) => value.strings().ok_or_else(|| format!("[{section}] {key} wants a list of strings")),
        };
        let tables = |section: &str, key: &str| match get(section, key) {
            None => Ok(Vec::new()),
            Some(Value::List(items)) => items.iter().map(|item| item.table(key)).collect(),
            Some(_) => Err(format!("[{section}] {key} wants a list of tables")),
        };
        if get("bans", "multiple-versions") != Some(&Value::Text("deny".into())) {
            return Err("[bans] wants multiple-versions = \"deny\"".into());
        }
        let mut exceptions = BTreeMap::new();
        for table in tables("licenses", "exceptions")? {
            let allow = table.get("allow").and_then(Value::strings).ok_or("an exception wants a list allow")?;
            exceptions.insert(field(table, "crate")?, allow);
        }
        let mut skips = Vec::new();
        for table in tables("bans", "skip")? {
            let skip = Skip::parse(&field(table, "crate")?)?;
            if field(table, "reason")?.trim().is_empty() {
                return Err(format!("{skip} wants a reason"));
            }
            skips.push(skip);
        }
        Ok(Self {
            targets: strings("graph", "targets")?,
            allowed: strings("licenses", "allow")?,
            exceptions,
            skips,
            registries: strings("sources", "allow-registry")?,
        })
    }
}

fn field(table: &toml::Table, key: &str) -> Result<String, String> {
    match table.get(key) {
        Some(Value::Text(text)) => Ok(text.clone()),
        _ => Err(format!("an entry wants a text {key}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skip_names_what_is_compatible() {
        let skip = Skip::parse("base64:0.22").unwrap();
        assert!(skip.matches("base64", "0.22.1") && skip.matches("base64", "0.22.0-pre"));
        assert!(!skip.matches("base64", "0.23.0") && !skip.matches("base6", "0.22.1") && !skip.matches("base64", "0"));
        assert!(Skip::parse("syn:2").unwrap().matches("syn", "2.0.119"));
        for wrong in ["syn", "syn:", "syn:2.1", "syn:0", "syn:x", "syn@2"] {
            assert!(Skip::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for (text, named) in [
            ("", "multiple-versions"),
            ("[bans]\nmultiple-versions = \"deny\"", "targets"),
            ("[bans]\nmultiple-versions = \"deny\"\nskip = [{ crate = \"syn:2\" }]", "reason"),
            ("[bans]\nmultiple-versions = \"deny\"\nskip = [{ crate = \"syn:2\", reason = \" \" }]", "syn:2"),
        ] {
            let error = Config::parse(text).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
