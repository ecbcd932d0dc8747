//! What storage resources keep: paths and listings.

use alloc::string::String;
use core::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de::Error};

use crate::time::WallTime;

/// The longest path, in bytes.
pub const MAX_PATH_LEN: usize = 512;

/// Where something is stored within a storage resource: parts of 1 to 255 bytes joined by `/`, none of them `.` or
/// `..`, no control characters, no backslash; at most [`MAX_PATH_LEN`] bytes. It never leads out of the storage.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct StoragePath(String);

/// The text is not a path within a storage resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadPath;

impl fmt::Display for BadPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a path: give names joined by '/', none of them empty, '.' or '..', at most {MAX_PATH_LEN} bytes")
    }
}

impl core::error::Error for BadPath {}

impl StoragePath {
    /// Checks a path.
    pub fn new(path: &str) -> Result<Self, BadPath> {
        let part_ok = |part: &str| !part.is_empty() && part.len() <= 255 && part != "." && part != "..";
        let char_ok = |c: char| !c.is_control() && c != '\\';
        if path.len() <= MAX_PATH_LEN && path.split('/').all(part_ok) && path.chars().all(char_ok) {
            Ok(Self(path.into()))
        } else {
            Err(BadPath)
        }
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StoragePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for StoragePath {
    type Err = BadPath;
    fn from_str(path: &str) -> Result<Self, BadPath> {
        Self::new(path)
    }
}

impl<'de> Deserialize<'de> for StoragePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let path = <&str>::deserialize(deserializer)?;
        Self::new(path).map_err(D::Error::custom)
    }
}

/// One stored thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageEntry {
    /// Where.
    pub path: StoragePath,
    /// Its bytes.
    pub size: u64,
    /// When it was last changed, by its device's calendar clock.
    pub modified: WallTime,
}

/// How full a storage resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StorageUsage {
    /// Bytes in use.
    pub used: u64,
    /// The most bytes that it keeps.
    pub quota: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        for good in ["a", "a/b.txt", "Küche/été 2.jpg", "..a/b..", &"x".repeat(255)] {
            assert_eq!(StoragePath::new(good).map(|path| path.as_str().len()), Ok(good.len()));
        }
        for bad in ["", "/", "/etc", "a/", "a//b", ".", "..", "a/../b", "a\\b", "a\0", "a\n", &"x".repeat(256)] {
            assert_eq!(StoragePath::new(bad), Err(BadPath), "{bad:?}");
        }
        assert_eq!(StoragePath::new(&"abc/".repeat(200)), Err(BadPath));
        let bytes = postcard::to_allocvec("../x").unwrap();
        assert!(postcard::from_bytes::<StoragePath>(&bytes).is_err(), "nor by deserialising");
    }
}
