//! `app.toml`: what an app is, what it would have, and what it may use at most.
//!
//! ```toml
//! name = "thermo"
//! version = "0.1.0"
//! about = "Shows any temperature sensor on any display"
//!
//! [wants.thermometer]
//! kind = "sensor"
//! unit = "°C"
//! required = true
//! min = -40.0            # its range must reach so far
//! max = 60.0
//!
//! [wants.screen]
//! kind = "display"
//!
//! [limits]
//! memory-kib = 4096
//! cpu = 50               # thousandths of a processor
//! storage-kib = 0
//!
//! [install]
//! by = "owners"          # or "members"
//! ```

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::Deserialize;
use tutti_model::{Name, ResourceKind, Unit};

/// The largest manifest, in bytes.
pub const MAX_MANIFEST: usize = 64 * 1024;
/// The most wants.
pub const MAX_WANTS: usize = 32;
/// The most memory that an app may ask for, in KiB: 1 GiB.
pub(super) const MAX_MEMORY_KIB: u32 = 1 << 20;

/// A version: three numbers, compared one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Version(pub u16, pub u16, pub u16);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

impl FromStr for Version {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let mut numbers = text.split('.').map(|it| {
            let plain = !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit());
            it.parse::<u16>().ok().filter(|_| plain)
        });
        match (numbers.next(), numbers.next(), numbers.next(), numbers.next()) {
            (Some(Some(major)), Some(Some(minor)), Some(Some(patch)), None) => Ok(Self(major, minor, patch)),
            _ => Err(format!("{text:?} is no version; write three numbers, as in 1.2.3")),
        }
    }
}

impl TryFrom<String> for Version {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// What `app.toml` says.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// What it is called.
    pub name: Name,
    /// Which version it is.
    pub version: Version,
    /// One line for people.
    pub about: String,
    /// What it would have, by the names that it uses in its code.
    pub wants: BTreeMap<Name, Want>,
    /// What it may use at most.
    pub limits: Limits,
    /// Who may install it.
    pub install: Installers,
}

/// Something that an app would have.
#[derive(Clone, Debug, PartialEq)]
pub struct Want {
    /// What sort of thing.
    pub kind: ResourceKind,
    /// In which unit; any, if there is none.
    pub unit: Option<Unit>,
    /// Whether it cannot do without.
    pub required: bool,
    /// How low its range must reach.
    pub min: Option<f64>,
    /// How high its range must reach.
    pub max: Option<f64>,
}

/// What an app may use at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Limits {
    /// KiB of memory.
    pub memory_kib: u32,
    /// Thousandths of a processor.
    pub cpu: u32,
    /// KiB of files.
    pub storage_kib: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_kib: 4096, cpu: 50, storage_kib: 0 }
    }
}

/// Who may install an app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Installers {
    /// Owners of the group.
    #[default]
    Owners,
    /// Members too, for themselves.
    Members,
}

/// What is wrong with a manifest: what, where, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError(pub String);

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "app.toml: {}", self.0)
    }
}

impl std::error::Error for ManifestError {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    version: Version,
    #[serde(default)]
    about: String,
    #[serde(default)]
    wants: BTreeMap<String, RawWant>,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    install: RawInstall,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWant {
    kind: String,
    unit: Option<String>,
    #[serde(default)]
    required: bool,
    min: Option<f64>,
    max: Option<f64>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawInstall {
    #[serde(default)]
    by: Installers,
}

impl Manifest {
    /// Reads `app.toml`.
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        let wrong = |what: String| ManifestError(what);
        if text.len() > MAX_MANIFEST {
            return Err(wrong(format!("it is longer than {MAX_MANIFEST} bytes")));
        }
        let raw: Raw = toml::from_str(text).map_err(|error| wrong(error.to_string().trim_end().to_owned()))?;
        let name = |text: &str| Name::new(text).map_err(|error| wrong(format!("the name {text:?}: {error}")));
        if raw.wants.len() > MAX_WANTS {
            return Err(wrong(format!("it has more than {MAX_WANTS} wants")));
        }
        if raw.limits.memory_kib == 0 || raw.limits.memory_kib > MAX_MEMORY_KIB || raw.limits.cpu > 1_000_000 {
            return Err(wrong(format!("limits: memory-kib is from 1 to {MAX_MEMORY_KIB}, cpu at most 1000000")));
        }
        if raw.about.len() > 200 || raw.about.chars().any(char::is_control) {
            return Err(wrong("about is one line of at most 200 bytes".into()));
        }
        let mut wants = BTreeMap::new();
        for (key, want) in raw.wants {
            let of = |what: String| wrong(format!("wants.{key}: {what}"));
            let known = want.kind.parse().ok().filter(|kind| ResourceKind::ALL.contains(kind));
            let words: Vec<_> = ResourceKind::ALL.iter().filter_map(|kind| kind.word()).collect();
            let kind =
                known.ok_or_else(|| of(format!("there is no kind {:?}; there are {}", want.kind, words.join(", "))))?;
            let unit =
                want.unit.map(|it| Unit::new(&it).map_err(|error| of(format!("unit {it:?}: {error}")))).transpose()?;
            let finite = [want.min, want.max].into_iter().flatten().all(f64::is_finite);
            let ordered = want.min.zip(want.max).is_none_or(|(min, max)| min <= max);
            if !finite || !ordered {
                return Err(of("min and max are numbers, and min is not above max".into()));
            }
            let want = Want { kind, unit, required: want.required, min: want.min, max: want.max };
            wants.insert(name(&key)?, want);
        }
        Ok(Self {
            name: name(&raw.name)?,
            version: raw.version,
            about: raw.about,
            wants,
            limits: raw.limits,
            install: raw.install.by,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THERMO: &str = include_str!("../../../../apps/thermo/app.toml");

    #[test]
    fn a_manifest_is_read() {
        let manifest = Manifest::parse(THERMO).unwrap();
        assert_eq!(manifest.name.as_str(), "thermo");
        assert_eq!(manifest.version, Version(0, 1, 0));
        let want = &manifest.wants[&Name::new("thermometer").unwrap()];
        assert_eq!((want.kind, want.required, want.unit.is_some()), (ResourceKind::Sensor, true, true));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (from, to, named) in [
            ("name = \"thermo\"", "name = \"a b\"", "a b"),
            ("version = \"0.1.0\"", "version = \"0.1\"", "1.2.3"),
            ("version = \"0.1.0\"", "version = \"0.1.+1\"", "1.2.3"),
            ("kind = \"sensor\"", "kind = \"sensors\"", "wants.thermometer: there is no kind \"sensors\""),
            ("required = true", "required = true\nmin = 9.0\nmax = 1.0", "min"),
            ("required = true", "requird = true", "requird"),
            ("memory-kib = 1024", "memory-kib = 0", "memory-kib"),
        ] {
            assert!(THERMO.contains(from), "{from}");
            let error = Manifest::parse(&THERMO.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        assert!(Manifest::parse(&" ".repeat(MAX_MANIFEST + 1)).is_err());
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert!(version("0.10.0") > version("0.9.9") && version("1.0.0") > version("0.65535.9"));
    }
}
