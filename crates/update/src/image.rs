//! A signed image as whoever runs it sees it. `tutti-image` writes it; its module `bundle` has the whole form:
//!
//! | tag | section | contents |
//! |---|---|---|
//! | 0700 | manifest | JSON; of it this module wants the product, the version, and the members |
//! | 0701 | signature | update key (32), signature (64) over the manifest's BLAKE3 digest |
//! | 0702 | member, as often as the manifest lists | its bytes, in the manifest's order |
//!
//! Each section has a header of tag (2), version (2, always 1) and length (4), little-endian. The manifest and its
//! signature come first, so that an image can be refused before the rest of it has come.
//!
//! Nothing here panics on foreign bytes, and nothing is read whole that is longer than [`MAX_HEAD`].

use std::{
    fmt,
    io::{self, Read},
};

use serde::Deserialize;
use tutti_model::{
    DeviceId,
    signed::{Context, Signed},
};

use crate::version::Version;

/// The longest manifest.
pub const MAX_MANIFEST: usize = 1 << 20;
/// The longest beginning of an image: manifest, signature and their headers.
pub const MAX_HEAD: usize = MAX_MANIFEST + 2 * HEADER + SIGNATURE;
/// The most members.
pub const MAX_MEMBERS: usize = 32;

pub(crate) const MANIFEST_TAG: u16 = 0x0700;
pub(crate) const SIGNATURE_TAG: u16 = 0x0701;
pub(crate) const MEMBER_TAG: u16 = 0x0702;
pub(crate) const SIGNED: Context = Context("tutti 1 image");
const HEADER: usize = 8;
const SIGNATURE: usize = 96;

/// Who signs images: an Ed25519 public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key(DeviceId);

impl Key {
    /// From its bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(DeviceId::from_bytes(bytes))
    }

    /// From 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text
            .bytes()
            .map(|byte| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
            .collect::<Option<_>>()?;
        let bytes: Vec<u8> = digits.chunks_exact(2).map(|two| two[0] << 4 | two[1]).collect();
        (digits.len() == 64).then(|| bytes.try_into().ok().map(Self::new))?
    }
}

/// Why bytes are no image that can be taken.
#[derive(Debug)]
#[non_exhaustive]
pub enum ImageError {
    /// They are no image, or one of a later form.
    Form(&'static str),
    /// The manifest is not what it should be.
    Manifest(String),
    /// Signed by another key than this device knows.
    Signer,
    /// Altered after it was signed.
    Signature,
    /// A member was altered, or the image is cut off.
    Member(String),
    /// It has no system for Linux to run.
    NoSystem,
    /// It cannot be read.
    Io(io::Error),
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(what) => write!(f, "this is no image of Tutti: {what}"),
            Self::Manifest(what) => write!(f, "the image's manifest is wrong: {what}"),
            Self::Signer => f.write_str("it is signed by another key than this device takes updates from"),
            Self::Signature => f.write_str("it was altered after it was signed; get it again"),
            Self::Member(name) => write!(f, "its {name} was altered or cut off after it was signed; get it again"),
            Self::NoSystem => f.write_str("it has no initramfs: it is for another sort of device"),
            Self::Io(error) => write!(f, "it cannot be read: {error}"),
        }
    }
}

impl std::error::Error for ImageError {}

impl From<io::Error> for ImageError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The manifest, as far as it is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Manifest {
    format: u32,
    /// Which product.
    pub product: String,
    /// Which version of it.
    pub version: Version,
    /// For which processor, as Linux calls it; empty if it does not say.
    #[serde(default)]
    pub architecture: String,
    /// For which kernel, as that says itself; empty if it does not say.
    #[serde(default)]
    pub kernel: String,
    /// What it is made of.
    #[serde(default)]
    parts: Vec<Part>,
    members: Vec<Member>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Part {
    name: String,
}

impl Manifest {
    /// Whether it is for the kernel of this release, or says nothing of kernels. What it says may have more than the release in it.
    pub fn is_for_kernel(&self, release: &str) -> bool {
        self.kernel.is_empty() || self.kernel.split([' ', '/']).any(|word| word == release)
    }

    /// Whether this part is in it.
    pub fn has_part(&self, name: &str) -> bool {
        self.parts.iter().any(|part| part.name == name)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Member {
    name: String,
    role: String,
    size: u64,
    digest: String,
}

/// The checked beginning of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// What it says of itself.
    pub manifest: Manifest,
    /// How long the manifest and its signature are together.
    len: u64,
}

impl Head {
    /// Reads and checks the beginning of an image, and leaves the rest.
    ///
    /// # Errors
    /// See [`ImageError`]; nothing that is not signed by this key gets further than its length.
    pub fn read(from: &mut impl Read, key: Key) -> Result<Self, ImageError> {
        let manifest = section(from, MANIFEST_TAG, MAX_MANIFEST)?;
        let signature = section(from, SIGNATURE_TAG, SIGNATURE)?;
        let (signer, signature) =
            signature.split_first_chunk::<32>().ok_or(ImageError::Form("its signature is cut"))?;
        let signature = signature.try_into().map_err(|_| ImageError::Form("its signature is cut"))?;
        if Key::new(*signer) != key {
            return Err(ImageError::Signer);
        }
        let digest = blake3::hash(&manifest).as_bytes().to_vec();
        Signed::from_parts(digest, signature).verify(SIGNED, key.0).map_err(|_| ImageError::Signature)?;
        let len = (2 * HEADER + manifest.len() + SIGNATURE) as u64;
        let manifest: Manifest =
            serde_json::from_slice(&manifest).map_err(|error| ImageError::Manifest(error.to_string()))?;
        if manifest.format != 1 {
            return Err(ImageError::Form("its form is of a later version"));
        }
        if manifest.members.len() > MAX_MEMBERS {
            return Err(ImageError::Manifest("it has too many members".into()));
        }
        if !manifest.members.iter().any(|member| member.role == "initramfs") {
            return Err(ImageError::NoSystem);
        }
        let head = Self { manifest, len };
        if head.manifest.members.iter().any(|member| member.size > u64::from(u32::MAX)) {
            return Err(ImageError::Manifest("a member is larger than 4 GiB".into()));
        }
        Ok(head)
    }

    /// How long the members are whose role is one of these; none if there is no such member.
    pub fn size_of(&self, roles: &[&str]) -> Option<u64> {
        let of = self.manifest.members.iter().filter(|member| roles.contains(&member.role.as_str()));
        of.map(|member| member.size).reduce(u64::saturating_add)
    }

    /// How long the whole image is.
    pub fn image_len(&self) -> u64 {
        self.manifest.members.iter().fold(self.len, |len, member| len + HEADER as u64 + member.size)
    }

    /// Reads and checks the members, from where [`Head::read`] has stopped.
    ///
    /// # Errors
    /// [`ImageError::Member`], [`ImageError::Io`].
    pub fn check_members(&self, from: &mut impl Read) -> Result<(), ImageError> {
        self.take_members(from, |_, _| Ok(()))
    }

    /// Gives each member with its role to `take`, which reads as much of it as it likes, from where [`Head::read`] has
    /// stopped. What was taken counts only if this returns without error: members are checked while they are read.
    ///
    /// # Errors
    /// [`ImageError::Member`], [`ImageError::Io`], and what `take` returns.
    pub fn take_members(
        &self,
        from: &mut impl Read,
        mut take: impl FnMut(&str, &mut dyn Read) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        for member in &self.manifest.members {
            let mut checked = Checked::begin(from, member)?;
            take(&member.role, &mut checked)?;
            io::copy(&mut checked, &mut io::sink())?;
            checked.end()?;
        }
        Ok(())
    }
}

/// Whether the next `size` bytes have this BLAKE3 digest, in hexadecimal digits.
///
/// # Errors
/// They cannot be read.
pub fn has_digest(from: &mut impl Read, size: u64, digest: &str) -> io::Result<bool> {
    let mut hasher = blake3::Hasher::new();
    let read = io::copy(&mut from.take(size), &mut Digesting(&mut hasher))?;
    Ok(read == size && hasher.finalize().to_hex().as_str() == digest)
}

struct Digesting<'a>(&'a mut blake3::Hasher);

impl io::Write for Digesting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn section(from: &mut impl Read, tag: u16, most: usize) -> Result<Vec<u8>, ImageError> {
    let len = header(from, tag)?;
    let len = usize::try_from(len).ok().filter(|len| *len <= most).ok_or(ImageError::Form("a section is too long"))?;
    let mut bytes = vec![0; len];
    from.read_exact(&mut bytes).map_err(cut)?;
    Ok(bytes)
}

fn header(from: &mut impl Read, tag: u16) -> Result<u32, ImageError> {
    let mut header = [0; HEADER];
    from.read_exact(&mut header).map_err(cut)?;
    let [tag_low, tag_high, 1, 0, length @ ..] = header else { return Err(ImageError::Form("it begins otherwise")) };
    if u16::from_le_bytes([tag_low, tag_high]) != tag {
        return Err(ImageError::Form("it begins otherwise"));
    }
    Ok(u32::from_le_bytes(length))
}

fn cut(error: io::Error) -> ImageError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ImageError::Form("it is cut off"),
        _ => ImageError::Io(error),
    }
}

/// A member that is checked while it is read.
struct Checked<'a, R> {
    from: &'a mut R,
    member: &'a Member,
    left: u64,
    hasher: blake3::Hasher,
}

impl<'a, R: Read> Checked<'a, R> {
    fn begin(from: &'a mut R, member: &'a Member) -> Result<Self, ImageError> {
        let wrong = || ImageError::Member(member.name.clone());
        let len = header(from, MEMBER_TAG).map_err(|error| match error {
            ImageError::Io(error) => ImageError::Io(error),
            _ => wrong(),
        })?;
        if u64::from(len) != member.size {
            return Err(wrong());
        }
        Ok(Self { from, member, left: member.size, hasher: blake3::Hasher::new() })
    }

    fn end(self) -> Result<(), ImageError> {
        let same = self.left == 0 && self.hasher.finalize().to_hex().as_str() == self.member.digest;
        if same { Ok(()) } else { Err(ImageError::Member(self.member.name.clone())) }
    }
}

impl<R: Read> Read for Checked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        // Behind the end nobody is asked: to a reader of parts, nothing read is the end of a part.
        if most == 0 {
            return Ok(0);
        }
        let buffer = buffer.get_mut(..most).unwrap_or_default();
        let len = self.from.read(buffer)?;
        self.hasher.update(buffer.get(..len).unwrap_or_default());
        self.left -= len as u64;
        Ok(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Made, key};
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<Vec<u8>, ImageError> {
        let mut from = bytes;
        let head = Head::read(&mut from, key(1).1)?;
        let mut all = Vec::new();
        head.take_members(&mut from, |role, member| {
            if role == "initramfs" {
                member.read_to_end(&mut all)?;
            }
            Ok(())
        })?;
        Ok(all)
    }

    /// A reader as devices have them, which takes nothing read for the end of something.
    struct Parts<'a>(&'a [u8]);

    impl Read for Parts<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            assert!(!buffer.is_empty(), "it is asked for nothing");
            self.0.read(buffer)
        }
    }

    #[test]
    fn a_reader_is_not_asked_for_nothing() {
        let image = Made::new("gateway", "1.2.0", b"the system").kernel(b"a kernel").sign(&key(1).0);
        let mut from = Parts(&image);
        let head = Head::read(&mut from, key(1).1).unwrap();
        head.check_members(&mut from).unwrap();
    }

    #[test]
    fn a_digest_is_of_so_many_bytes() {
        let digest = blake3::hash(b"the system").to_hex();
        assert!(has_digest(&mut &b"the system and more"[..], 10, &digest).unwrap());
        assert!(!has_digest(&mut &b"the systen and more"[..], 10, &digest).unwrap());
        assert!(!has_digest(&mut &b"the syst"[..], 10, &digest).unwrap());
    }

    #[test]
    fn an_image_is_read() {
        let image = Made::new("gateway", "1.2.0", b"the system").kernel(b"a kernel").sign(&key(1).0);
        assert_eq!(read(&image).unwrap(), b"the system");
        let mut from = image.as_slice();
        let head = Head::read(&mut from, key(1).1).unwrap();
        assert_eq!((head.manifest.product.as_str(), head.manifest.version), ("gateway", Version([1, 2, 0])));
        assert_eq!(head.image_len(), image.len() as u64);
        head.check_members(&mut from).unwrap();
        assert!(from.is_empty());
    }

    #[test]
    fn any_altered_byte_is_found_and_any_cut() {
        let image = Made::new("gateway", "1.2.0", b"the system").sign(&key(1).0);
        let whole = |bytes: &[u8]| -> Result<(), ImageError> {
            let mut from = bytes;
            Head::read(&mut from, key(1).1)?.check_members(&mut from)
        };
        whole(&image).unwrap();
        for at in 0..image.len() {
            let mut altered = image.clone();
            altered[at] ^= 0x10;
            assert!(whole(&altered).is_err(), "byte {at}");
            assert!(whole(&image[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn each_refusal_says_why() {
        let made = Made::new("gateway", "1.2.0", b"the system");
        assert!(matches!(read(&made.clone().sign(&key(2).0)), Err(ImageError::Signer)));
        let mut liar = made.clone().sign(&key(2).0);
        let at = liar.windows(32).position(|bytes| bytes == key(2).0.verifying_key().as_bytes()).unwrap();
        liar[at..at + 32].copy_from_slice(key(1).0.verifying_key().as_bytes());
        assert!(matches!(read(&liar), Err(ImageError::Signature)));
        assert!(matches!(read(&made.clone().role("firmware").sign(&key(1).0)), Err(ImageError::NoSystem)));
        assert!(matches!(read(b"#!/bin/sh\necho"), Err(ImageError::Form(_))));
        assert!(matches!(read(&Made::new("gateway", "new", b"").sign(&key(1).0)), Err(ImageError::Manifest(_))));
    }

    #[test]
    fn keys_are_hexadecimal() {
        let hex: String = key(1).0.verifying_key().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(Key::from_hex(&hex), Some(key(1).1));
        assert_eq!(Key::from_hex(&hex[1..]), None);
        assert_eq!(Key::from_hex(&hex.replace(&hex[..1], "g")), None);
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
        }
    }
}
