//! What an image says of itself: members, files, parts, each with the reason why it is there.

use std::fmt;

use serde::{Deserialize, Serialize};
use tutti_app::package::Version;

use crate::bundle::MAX_MANIFEST;

/// The most members.
const MAX_MEMBERS: usize = 32;

/// Which sort of system an image holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Linux, whose first process is Tutti.
    Standard,
    /// A microcontroller.
    Mini,
    /// Another core of the chip, started by the system that carries its firmware.
    Core,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Standard => "standard",
            Self::Mini => "mini",
            Self::Core => "core",
        })
    }
}

/// What a member is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The kernel that is booted.
    Kernel,
    /// The files that the kernel unpacks.
    Initramfs,
    /// The system itself, a file system for a disk; the initramfs only enters it.
    System,
    /// The program of a microcontroller.
    Firmware,
    /// A device tree for the kernel.
    Tree,
}

/// A file of the initramfs.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Where it is, from the root.
    pub path: String,
    /// Bytes before compression.
    pub size: u64,
    /// Why it is there.
    pub why: String,
}

/// A piece of the image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// What it is called.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Bytes.
    pub size: u64,
    /// BLAKE3, in hexadecimal digits.
    pub digest: String,
    /// Why it is there.
    pub why: String,
    /// What it is made of, if it is an archive.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<File>,
}

/// A part that is in the image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Which.
    pub name: String,
    /// Why.
    pub why: String,
}

/// What an image says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Of this form: 1.
    pub format: u32,
    /// The product's name.
    pub product: String,
    /// The product's version.
    pub version: String,
    /// Which sort of system.
    pub profile: Profile,
    /// For which board, or the device tree's name.
    pub board: String,
    /// For which processor, as Linux calls it.
    pub architecture: String,
    /// The kernel's command line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub command_line: String,
    /// Which kernel it is, as it says itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kernel: String,
    /// Whether this kernel can start another, which an update brings, as far as that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_others: Option<bool>,
    /// What the first process is told, as it is in the system.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub settings: String,
    /// The parts in it.
    pub parts: Vec<Part>,
    /// Its pieces, in the file's order.
    pub members: Vec<Member>,
}

/// What is wrong with a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError(pub String);

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Manifest {
    /// Reads one; it may come from anybody.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let wrong = |what: &str| Err(ManifestError(what.to_owned()));
        if bytes.len() > MAX_MANIFEST {
            return wrong("it is too large");
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| ManifestError(error.to_string()))?;
        if manifest.format != 1 {
            return wrong("it has a form that this version does not know");
        }
        if manifest.version.parse::<Version>().is_err() {
            return wrong("its version is not three numbers");
        }
        if tutti_model::Name::new(&manifest.product).is_err() {
            return wrong("its product's name is not one");
        }
        if manifest.members.len() > MAX_MEMBERS {
            return wrong("it has too many members");
        }
        let mut names: Vec<_> = manifest.members.iter().map(|member| member.name.as_str()).collect();
        // They become the names of files.
        let plain = |name: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !name.is_empty() && name.len() <= 64 && !name.starts_with('.') && name.chars().all(allowed)
        };
        if let Some(name) = names.iter().find(|name| !plain(name)) {
            return wrong(&format!("{name:?} is no member's name"));
        }
        names.sort_unstable();
        if names.windows(2).any(|two| two[0] == two[1]) {
            return wrong("it lists a member twice");
        }
        if manifest.members.iter().any(|member| member.size > u64::from(u32::MAX)) {
            return wrong("a member is larger than 4 GiB");
        }
        Ok(manifest)
    }

    /// As it is signed.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// The version as numbers, to be compared.
    pub fn version(&self) -> Option<Version> {
        self.version.parse().ok()
    }

    /// What its file is called.
    pub fn file_name(&self) -> String {
        format!("{}-{}.tutti", self.product, self.version)
    }
}
