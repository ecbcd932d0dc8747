//! The boards that are known by name: what they are made of, and how they are booted in an emulator.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{manifest::Profile, size::Size};

const BOARDS: &str = include_str!("../data/boards.toml");

/// A board.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Board {
    /// One line for people.
    pub about: String,
    /// What runs on it.
    pub profile: Profile,
    /// Its processor, as Linux calls it.
    pub architecture: String,
    /// The kernel's word for its processor (`make ARCH=`), where it is not the usual one.
    #[serde(default)]
    pub arch: Option<String>,
    /// Its memory.
    pub ram: Size,
    /// Its flash; none if programs come from elsewhere.
    #[serde(default)]
    pub flash: Option<Size>,
    /// What it has, in the words that parts need.
    #[serde(default)]
    pub has: Vec<String>,
    /// The parts that every image for it has, whatever its product wants.
    #[serde(default)]
    pub parts: Vec<String>,
    /// Debian's kernel for it.
    #[serde(default)]
    pub kernel: Option<String>,
    /// Its console, as the kernel's command line names it.
    #[serde(default)]
    pub console: Option<String>,
    /// How an emulator is started as this board.
    #[serde(default)]
    pub emulator: Vec<String>,
    /// What the emulator's monitor takes for the wish that the system may end.
    #[serde(default)]
    pub end: Option<String>,
}

/// All of them, by name.
pub fn boards() -> BTreeMap<String, Board> {
    // The test below reads the same text.
    toml::from_str(BOARDS).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fault::Texts, parts::Catalogue};

    #[test]
    fn every_board_is_whole() {
        let boards: BTreeMap<String, Board> = toml::from_str(BOARDS).unwrap();
        assert!(boards.len() >= 5);
        let parts = Catalogue::own(&mut Texts::default(), &mut Vec::new()).parts;
        for (name, board) in boards {
            assert!(board.ram.0 > 0 && !board.about.is_empty(), "{name}");
            assert_eq!(board.profile == Profile::Mini, board.flash.is_some(), "{name}: flash is what mini needs");
            assert!(board.profile == Profile::Mini || board.console.is_some(), "{name}");
            for part in board.parts.iter().map(|part| &parts[part]) {
                let needs = &part.needs.hardware;
                assert!(needs.iter().all(|need| board.has.contains(&need.value)), "{name}: {}", part.name.value);
            }
            let has_monitor = board.profile == Profile::Standard && !board.emulator.is_empty();
            assert_eq!(has_monitor, board.end.is_some(), "{name}");
        }
    }
}
