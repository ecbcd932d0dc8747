//! Paths in a storage: rows of plain names, checked when they are made.

use std::{fmt, str::FromStr};

use super::INCOMING;

/// The most names in one path.
pub const MAX_DEPTH: usize = 16;
/// The longest path, in bytes.
const MAX_PATH: usize = 1024;
/// The longest name, in bytes, of nearly every filesystem.
const MAX_NAME: usize = 255;

/// Where a file is in a storage: `holiday/2026/beach.jpg`.
///
/// One to 16 names with `/` between them, 1024 bytes in all; each name has 1 to 255 bytes and is neither `.` nor `..`,
/// has no control characters, and does not begin with `.tutti` in any case (that is where uploads are, and some
/// filesystems do not tell cases apart).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoragePath(String);

/// Why a path was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathError {
    /// It is longer than 1024 bytes or has more than 16 names.
    TooLong,
    /// It begins or ends with `/`, has two in a row, or is empty.
    EmptyName,
    /// One of its names is longer than 255 bytes.
    NameTooLong,
    /// One of its names is `.` or `..`, which could lead out of the storage.
    Dots,
    /// It has a control character.
    BadCharacter(char),
    /// One of its names begins with `.tutti`.
    Reserved,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the path is refused: ")?;
        match self {
            Self::TooLong => write!(f, "it is longer than {MAX_PATH} bytes or {MAX_DEPTH} names; shorten it"),
            Self::EmptyName => f.write_str("it begins or ends with '/' or has an empty name; write it like a/b.txt"),
            Self::NameTooLong => write!(f, "one of its names is longer than {MAX_NAME} bytes; shorten it"),
            Self::Dots => f.write_str("'.' and '..' are not names in a storage; leave them out"),
            Self::BadCharacter(c) => write!(f, "it contains {c:?}; leave it out"),
            Self::Reserved => f.write_str("names that begin with '.tutti' are reserved; choose another"),
        }
    }
}

impl std::error::Error for PathError {}

impl StoragePath {
    /// Checks and copies `path`.
    ///
    /// # Errors
    /// [`PathError`] says what is wrong with it.
    pub fn new(path: &str) -> Result<Self, PathError> {
        if path.len() > MAX_PATH || path.split('/').count() > MAX_DEPTH {
            return Err(PathError::TooLong);
        }
        path.split('/').try_for_each(check_name)?;
        Ok(Self(path.to_owned()))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder (empty for the storage's own) and the file's name in it.
    pub(super) fn split(&self) -> (&str, &str) {
        self.0.rsplit_once('/').unwrap_or(("", &self.0))
    }
}

/// Whether a path may have this name in it.
pub(super) fn check_name(name: &str) -> Result<(), PathError> {
    let reserved = INCOMING.get(..6).unwrap_or(INCOMING);
    if name.is_empty() {
        Err(PathError::EmptyName)
    } else if name.len() > MAX_NAME {
        Err(PathError::NameTooLong)
    } else if name == "." || name == ".." {
        Err(PathError::Dots)
    } else if let Some(c) = name.chars().find(|c| c.is_control()) {
        Err(PathError::BadCharacter(c))
    } else if name.get(..reserved.len()).is_some_and(|start| start.eq_ignore_ascii_case(reserved)) {
        Err(PathError::Reserved)
    } else {
        Ok(())
    }
}

impl fmt::Display for StoragePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for StoragePath {
    type Err = PathError;
    fn from_str(path: &str) -> Result<Self, PathError> {
        Self::new(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_rows_of_plain_names_are_paths() {
        for good in ["a", "a/b.txt", ".hidden", "ä ö/…", "..a", "a\\b", &"x/".repeat(15), &"x".repeat(255)] {
            assert!(StoragePath::new(good.trim_end_matches('/')).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("", PathError::EmptyName),
            ("/etc/passwd", PathError::EmptyName),
            ("a//b", PathError::EmptyName),
            ("a/", PathError::EmptyName),
            ("../x", PathError::Dots),
            ("a/../../x", PathError::Dots),
            ("a/./b", PathError::Dots),
            ("a\0b", PathError::BadCharacter('\0')),
            ("a\nb", PathError::BadCharacter('\n')),
            (".tutti-incoming/0", PathError::Reserved),
            (".TUTTI-Incoming/0", PathError::Reserved),
            (&"x".repeat(256), PathError::NameTooLong),
            (&"x/".repeat(17), PathError::TooLong),
            (&"xxxxxxxxx/".repeat(110), PathError::TooLong),
        ] {
            assert_eq!(StoragePath::new(bad), Err(why), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_taken_stays_below(path in "[a./\\\\\u{0}-\u{2}é]{0,12}") {
            if let Ok(path) = StoragePath::new(&path) {
                let plain = std::path::Path::new(path.as_str())
                    .components()
                    .all(|part| matches!(part, std::path::Component::Normal(_)));
                prop_assert!(plain);
            }
        }
    }
}
