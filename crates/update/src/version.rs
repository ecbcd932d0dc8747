//! Versions: three numbers, compared one after the other.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A product's version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(pub [u32; 3]);

/// A text that is no version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadVersion;

impl fmt::Display for BadVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a version is three numbers, such as 1.4.2")
    }
}

impl std::error::Error for BadVersion {}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

impl FromStr for Version {
    type Err = BadVersion;
    fn from_str(text: &str) -> Result<Self, BadVersion> {
        let mut parts = text.split('.').map(|part| match part.bytes().all(|byte| byte.is_ascii_digit()) {
            true => part.parse().map_err(|_| BadVersion),
            false => Err(BadVersion),
        });
        let mut next = || parts.next().ok_or(BadVersion)?;
        let version = [next()?, next()?, next()?];
        if parts.next().is_some() { Err(BadVersion) } else { Ok(Self(version)) }
    }
}

impl TryFrom<String> for Version {
    type Error = BadVersion;
    fn try_from(text: String) -> Result<Self, BadVersion> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_three_numbers() {
        let version = |text: &str| text.parse::<Version>();
        assert_eq!(version("1.20.3"), Ok(Version([1, 20, 3])));
        assert!(version("1.20.3").unwrap() > version("1.3.20").unwrap());
        for bad in ["", "1", "1.2", "1.2.3.4", "1.2.x", "1.2.-3", "1.2.+3", "1..3", "1.2.99999999999"] {
            assert_eq!(version(bad), Err(BadVersion), "{bad}");
        }
        assert_eq!(version("4.5.6").unwrap().to_string(), "4.5.6");
    }
}
