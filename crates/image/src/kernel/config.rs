//! A kernel's configuration: `CONFIG_X=y`, `=m`, and what is not set.

use std::{collections::BTreeMap, path::Path};

use super::{KernelError, read_at_most};

/// The largest configuration. Debian's has 260 KB.
const MAX_CONFIG: u64 = 4 << 20;

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
pub struct Config(BTreeMap<String, Setting>);

impl Config {
    /// From the text of a `.config`; lines that are none are skipped.
    pub fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let (name, value) = line.strip_prefix("CONFIG_")?.split_once('=')?;
            let setting = match value {
                "y" => Setting::Yes,
                "m" => Setting::Module,
                _ => return None,
            };
            Some((name.to_owned(), setting))
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// Reads the file.
    pub(super) fn read(path: &Path) -> Result<Self, KernelError> {
        Ok(Self::parse(&String::from_utf8_lossy(&read_at_most(path, MAX_CONFIG)?)))
    }

    /// What this option is, if it is set.
    pub fn get(&self, name: &str) -> Option<Setting> {
        self.0.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let config = Config::parse("CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=m\nCONFIG_D=\"y\"\nE=y\n");
        assert_eq!(config.get("A"), Some(Setting::Yes));
        assert_eq!(config.get("C"), Some(Setting::Module));
        assert!(["B", "D", "E"].iter().all(|name| config.get(name).is_none()));
    }
}
