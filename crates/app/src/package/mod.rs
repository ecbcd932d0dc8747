//! An app as one file: manifest, component and icon, signed by its author.
//!
//! | tag | section | contents |
//! |---|---|---|
//! | 0640 | manifest | the text of `app.toml` |
//! | 0641 | component | WebAssembly |
//! | 0642 | icon, if there is one | PNG |
//! | 0643 | signature | author's key (32), signature (64) |
//!
//! In that order, once each, and nothing else: one app by one author has one form in bytes, so its [`digest`](Package::digest) (BLAKE3 of the
//! file) names it. The signature covers the digests of the other sections. A registry of OCI artefacts carries the file as its only layer, of
//! media type [`MEDIA_TYPE`].
//!
//! # What a signature says, and what not
//! That the holder of the author's key made this file. Whether that author may put anything on this device, in which least version and with what
//! rights, is an owner's [`Grant`]; a package never speaks for itself. A manifest that names less than its code wants gets an app that is refused at run
//! time; one that names more shows more to the owner who grants it.

use std::fmt;

use ed25519_dalek::SigningKey;
use tutti_model::{
    DeviceId, Name,
    section::{Section, SectionError, SectionWriter, Sections, Tag},
    signed::{BadSignature, Context, Signed},
};

mod manifest;

pub use manifest::{Installers, Limits, MAX_MANIFEST, MAX_WANTS, Manifest, ManifestError, Version, Want};

/// What a registry calls the file.
pub const MEDIA_TYPE: &str = "application/vnd.tutti.app.v1";
/// The largest package, in bytes.
pub const MAX_PACKAGE: usize = 64 << 20;
/// The largest icon, in bytes.
pub const MAX_ICON: usize = 256 << 10;

const MANIFEST: Tag = Tag(0x0640);
const COMPONENT: Tag = Tag(0x0641);
const ICON: Tag = Tag(0x0642);
const SIGNATURE: Tag = Tag(0x0643);
const SIGNED: Context = Context("tutti 1 app package");

/// Why a file is no package.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PackageError {
    /// More bytes than a package, or its icon, may have.
    TooLarge,
    /// Not made of sections.
    Sections(SectionError),
    /// Not the sections of a package in their order.
    Layout,
    /// The manifest is wrong.
    Manifest(ManifestError),
    /// The component is not WebAssembly.
    NotWasm,
    /// The icon is not PNG.
    NotPng,
    /// Altered, or not signed by the key that it names.
    Signature,
}

impl fmt::Display for PackageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge => write!(f, "a package has at most {MAX_PACKAGE} bytes, its icon {MAX_ICON}"),
            Self::Sections(error) => write!(f, "this is no app package: {error}"),
            Self::Layout => f.write_str("this is no app package, or one of a later version"),
            Self::Manifest(error) => error.fmt(f),
            Self::NotWasm => f.write_str("the package holds no WebAssembly component"),
            Self::NotPng => f.write_str("the icon is not PNG"),
            Self::Signature => f.write_str("the package was altered after its author signed it; get it again"),
        }
    }
}

impl std::error::Error for PackageError {}

impl From<SectionError> for PackageError {
    fn from(error: SectionError) -> Self {
        Self::Sections(error)
    }
}

/// A package that has been checked.
#[derive(Clone, Debug)]
pub struct Package {
    manifest: Manifest,
    author: DeviceId,
    component: Vec<u8>,
    icon: Option<Vec<u8>>,
    digest: [u8; 32],
}

impl Package {
    /// The file of an app.
    pub fn make(
        manifest: &str,
        component: &[u8],
        icon: Option<&[u8]>,
        key: &SigningKey,
    ) -> Result<Vec<u8>, PackageError> {
        let mut writer = SectionWriter::new();
        writer.push_raw(MANIFEST, 1, manifest.as_bytes())?.push_raw(COMPONENT, 1, component)?;
        if let Some(icon) = icon {
            writer.push_raw(ICON, 1, icon)?;
        }
        let unsigned = writer.finish();
        let signed = Signed::sign(SIGNED, blake3::hash(&unsigned).as_bytes().to_vec(), key);
        let mut last = SectionWriter::new();
        let signature = [key.verifying_key().as_bytes().as_slice(), signed.signature()].concat();
        last.push_raw(SIGNATURE, 1, &signature)?;
        let file = [unsigned, last.finish()].concat();
        Self::parse(&file)?;
        Ok(file)
    }

    /// Checks a file: its layout, its manifest, its author's signature. Not yet whether the component runs.
    pub fn parse(file: &[u8]) -> Result<Self, PackageError> {
        if file.len() > MAX_PACKAGE {
            return Err(PackageError::TooLarge);
        }
        let sections: Vec<Section<'_>> = Sections::new_checked(file)?.iter().take(5).collect();
        let tags: Vec<Tag> = sections.iter().map(|section| section.tag).collect();
        let icon = match tags[..] {
            [MANIFEST, COMPONENT, SIGNATURE] => None,
            [MANIFEST, COMPONENT, ICON, SIGNATURE] => Some(sections[2].payload),
            _ => return Err(PackageError::Layout),
        };
        let (Some(last), true) = (sections.last(), sections.iter().all(|section| section.version == 1)) else {
            return Err(PackageError::Layout);
        };
        let (author, signature) = last.payload.split_first_chunk::<32>().ok_or(PackageError::Layout)?;
        let signature: [u8; 64] = signature.try_into().map_err(|_| PackageError::Layout)?;
        let author = DeviceId::from_bytes(*author);
        let unsigned = &file[..file.len() - last.payload.len() - 8];
        Signed::from_parts(blake3::hash(unsigned).as_bytes().to_vec(), signature)
            .verify(SIGNED, author)
            .map_err(|BadSignature| PackageError::Signature)?;
        let text = std::str::from_utf8(sections[0].payload);
        let text = text.map_err(|_| PackageError::Manifest(ManifestError("it is not UTF-8".into())))?;
        let manifest = Manifest::parse(text).map_err(PackageError::Manifest)?;
        let component = sections[1].payload;
        // The magic number, and layer 1: a component.
        if component.get(..8) != Some(b"\0asm\x0d\0\x01\0") {
            return Err(PackageError::NotWasm);
        }
        if icon.is_some_and(|icon| icon.len() > MAX_ICON) {
            return Err(PackageError::TooLarge);
        }
        if icon.is_some_and(|icon| !icon.starts_with(b"\x89PNG\r\n\x1a\n")) {
            return Err(PackageError::NotPng);
        }
        Ok(Self {
            manifest,
            author,
            component: component.to_vec(),
            icon: icon.map(<[u8]>::to_vec),
            digest: *blake3::hash(file).as_bytes(),
        })
    }

    /// What its manifest says.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Who signed it.
    pub fn author(&self) -> DeviceId {
        self.author
    }

    /// WebAssembly.
    pub fn component(&self) -> &[u8] {
        &self.component
    }

    /// PNG.
    pub fn icon(&self) -> Option<&[u8]> {
        self.icon.as_deref()
    }

    /// What names the file: its BLAKE3 digest.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

/// What an owner allows: apps of this name by this author, from this version on, with these of their wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Whose apps.
    pub author: DeviceId,
    /// Of which name.
    pub name: Name,
    /// The least version; a higher one is not gone back from.
    pub floor: Version,
    /// Which of the wants it may use, by name.
    pub wants: Vec<Name>,
    /// KiB of memory.
    pub memory_kib: u32,
}

/// Why a package is not covered by a grant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotGranted {
    /// Another name.
    Name,
    /// Another author: an owner must install it anew.
    Author,
    /// An older version than the least.
    Downgrade {
        /// The least.
        floor: Version,
    },
    /// It requires something that was not granted.
    Want(Name),
    /// It wants more memory than was granted.
    Memory,
}

impl fmt::Display for NotGranted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => f.write_str("no owner has allowed an app of this name"),
            Self::Author => f.write_str("it is by another author than the one allowed; an owner has to install it"),
            Self::Downgrade { floor } => write!(f, "it is older than {floor}, the least version allowed"),
            Self::Want(name) => write!(f, "it requires {name}, which no owner has allowed it"),
            Self::Memory => f.write_str("it wants more memory than an owner has allowed it"),
        }
    }
}

impl std::error::Error for NotGranted {}

impl Grant {
    /// Whether this package may be run by it.
    pub fn covers(&self, package: &Package) -> Result<(), NotGranted> {
        self.covers_what(package.manifest(), package.author())
    }

    /// Whether a package with this manifest by this author may be run by it.
    pub fn covers_what(&self, manifest: &Manifest, author: DeviceId) -> Result<(), NotGranted> {
        if manifest.name != self.name {
            return Err(NotGranted::Name);
        }
        if author != self.author {
            return Err(NotGranted::Author);
        }
        if manifest.version < self.floor {
            return Err(NotGranted::Downgrade { floor: self.floor });
        }
        if manifest.limits.memory_kib > self.memory_kib {
            return Err(NotGranted::Memory);
        }
        let missing = manifest.wants.iter().find(|(name, want)| want.required && !self.wants.contains(name));
        missing.map_or(Ok(()), |(name, _)| Err(NotGranted::Want(*name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = include_str!("../../../../apps/thermo/app.toml");
    const WASM: &[u8] = b"\0asm\x0d\0\x01\0";
    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

    fn key() -> SigningKey {
        SigningKey::from_bytes(&[5; 32])
    }

    fn grant() -> Grant {
        let wants = vec![Name::new("thermometer").unwrap(), Name::new("screen").unwrap()];
        let author = DeviceId::from_bytes(key().verifying_key().to_bytes());
        Grant { author, name: Name::new("thermo").unwrap(), floor: Version(0, 1, 0), wants, memory_kib: 1024 }
    }

    #[test]
    fn a_package_reads_as_it_was_made() {
        let file = Package::make(TOML, WASM, Some(PNG), &key()).unwrap();
        let package = Package::parse(&file).unwrap();
        assert_eq!((package.component(), package.icon()), (WASM, Some(PNG)));
        assert_eq!(package.digest(), blake3::hash(&file).as_bytes());
        assert_eq!(grant().covers(&package), Ok(()));
    }

    #[test]
    fn no_byte_can_be_altered() {
        let file = Package::make(TOML, WASM, None, &key()).unwrap();
        for at in 0..file.len() {
            let mut altered = file.clone();
            altered[at] ^= 1;
            assert!(Package::parse(&altered).is_err(), "byte {at}");
            assert!(Package::parse(&file[..at]).is_err(), "the first {at} bytes");
        }
        assert!(Package::parse(&[file.as_slice(), b"\0"].concat()).is_err());
    }

    #[test]
    fn what_is_no_app_is_not_made() {
        assert_eq!(Package::make(TOML, b"\0asm\x01\0\0\0", None, &key()), Err(PackageError::NotWasm));
        assert_eq!(Package::make(TOML, WASM, Some(b"GIF"), &key()), Err(PackageError::NotPng));
        assert!(matches!(Package::make("x", WASM, None, &key()), Err(PackageError::Manifest(_))));
    }

    #[test]
    fn a_grant_covers_what_it_says_and_nothing_else() {
        let package = Package::parse(&Package::make(TOML, WASM, None, &key()).unwrap()).unwrap();
        let other = SigningKey::from_bytes(&[6; 32]);
        let forged = Package::parse(&Package::make(TOML, WASM, None, &other).unwrap()).unwrap();
        assert_eq!(grant().covers(&forged), Err(NotGranted::Author));
        let floor = Version(0, 2, 0);
        assert_eq!(Grant { floor, ..grant() }.covers(&package), Err(NotGranted::Downgrade { floor }));
        let missing = Name::new("thermometer").unwrap();
        assert_eq!(Grant { wants: vec![], ..grant() }.covers(&package), Err(NotGranted::Want(missing)));
        assert_eq!(Grant { memory_kib: 1, ..grant() }.covers(&package), Err(NotGranted::Memory));
        assert_eq!(Grant { name: missing, ..grant() }.covers(&package), Err(NotGranted::Name));
    }
}
