//! A kernel's configuration: `CONFIG_X=y`, `=m`, `=1024`, `="text"`, and what is not set.

use std::{collections::BTreeMap, path::Path};

use super::{KernelError, read_at_most};

/// The largest configuration. Debian's has 260 KB.
const MAX_CONFIG: u64 = 4 << 20;

/// The longest name or value of an option.
const MAX_WORD: usize = 128;

/// What an option is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// Built in.
    Yes,
    /// A module.
    Module,
}

/// The options that are set, without `CONFIG_`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Config(BTreeMap<String, String>);

impl Config {
    /// From the text of a `.config`; lines that are none are skipped.
    pub fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let (name, value) = line.strip_prefix("CONFIG_")?.split_once('=')?;
            Some((name.to_owned(), value.trim_end().to_owned()))
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// Reads the file.
    pub(super) fn read(path: &Path) -> Result<Self, KernelError> {
        Ok(Self::parse(&String::from_utf8_lossy(&read_at_most(path, MAX_CONFIG)?)))
    }

    /// What this option is, if it is one that is either there or not, and set.
    pub fn get(&self, name: &str) -> Option<Setting> {
        match self.value(name)? {
            "y" => Some(Setting::Yes),
            "m" => Some(Setting::Module),
            _ => None,
        }
    }

    /// What stands behind this option.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// Whether this can be an option's name, without `CONFIG_`.
pub fn is_option(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=MAX_WORD).contains(&name.len()) && name.chars().all(plain) && !name.starts_with("CONFIG_")
}

/// Whether this can stand behind an option: `y`, a number, or a text in quotes.
pub fn is_value(value: &str) -> bool {
    let text = || value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let number = value.strip_prefix("0x").map_or_else(
        || !value.is_empty() && value.chars().all(|c| c.is_ascii_digit()),
        |hex| !hex.is_empty() && hex.chars().all(|c| c.is_ascii_hexdigit()),
    );
    let plain = |c: char| (c.is_ascii_graphic() || c == ' ') && !"\"\\".contains(c);
    value.len() <= MAX_WORD && (value == "y" || number || text().is_some_and(|text| text.chars().all(plain)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let config = Config::parse("CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=m\nCONFIG_D=\"y\"\nE=y\nCONFIG_F=12\n");
        assert_eq!(config.get("A"), Some(Setting::Yes));
        assert_eq!(config.get("C"), Some(Setting::Module));
        assert!(["B", "D", "E", "F"].iter().all(|name| config.get(name).is_none()));
        assert_eq!((config.value("F"), config.value("D"), config.value("B")), (Some("12"), Some("\"y\""), None));
    }

    #[test]
    fn what_would_be_another_line_is_refused() {
        assert!(["NET", "64BIT", "UML_NET_VECTOR"].into_iter().all(is_option));
        for bad in ["", "A=y\nCONFIG_B", "A B", "CONFIG_NET", "Ä", &"A".repeat(129)] {
            assert!(!is_option(bad), "{bad:?}");
        }
        assert!(["y", "0", "1048576", "0x10", "\"a text\"", "\"\""].into_iter().all(is_value));
        for bad in ["", "n", "m", "-1", "0x", "y\ny", "\"", "\"a\nb\"", "\"a\"b\"", "\"\\\"", "text"] {
            assert!(!is_value(bad), "{bad:?}");
        }
    }
}
