//! An image as one file: what is in it, who signed it, and then its members.
//!
//! | tag | section | contents |
//! |---|---|---|
//! | 0700 | manifest | JSON, [`Manifest`] |
//! | 0701 | signature | update key (32), signature (64) over the manifest's BLAKE3 digest |
//! | 0702 | member, as often as the manifest lists | its bytes, in the manifest's order |
//!
//! The manifest comes first and is signed alone: whoever receives an image knows after a few KiB whether it wants it, and
//! then checks each member by the digest that the manifest has of it ([`Head`], for files that come in pieces). The same
//! product makes the same bytes: there is no time, no path and no machine's name in it.
//!
//! # What a signature says
//! That the holder of the update key made the image. Whether a device takes it is the device's to say: it knows its update key
//! from the image that it runs, and refuses others, other products and older versions.

use std::fmt;

use ed25519_dalek::SigningKey;
use tutti_model::{
    DeviceId,
    section::{SectionWriter, Tag},
    signed::{BadSignature, Context, Signed},
};

use crate::manifest::{Manifest, ManifestError};

/// The largest manifest, in bytes.
pub const MAX_MANIFEST: usize = 1 << 20;

const MANIFEST: Tag = Tag(0x0700);
const SIGNATURE: Tag = Tag(0x0701);
const MEMBER: Tag = Tag(0x0702);
const SIGNED: Context = Context("tutti 1 image");
const HEADER: usize = 8;
const SIGNATURE_LEN: usize = 96;

/// Why a file is no image.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BundleError {
    /// It ends too early: so many bytes are wanted before anything can be said.
    Short {
        /// The least length.
        wanted: u64,
    },
    /// Not the sections of an image in their order.
    Layout,
    /// The manifest is too large or not what it should be.
    Manifest(ManifestError),
    /// Altered, or not signed by the key that it names.
    Signature,
    /// A member is not the one that the manifest lists.
    Member(String),
    /// There are bytes behind the last member.
    Trailing,
    /// A member is too large for an image.
    TooLarge(String),
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short { wanted } => write!(f, "the image is cut off: it has {wanted} bytes or more; get it again"),
            Self::Layout => f.write_str("this is no image of Tutti, or one of a later version"),
            Self::Manifest(error) => write!(f, "the image's manifest is wrong: {error}"),
            Self::Signature => f.write_str("the image was altered after it was signed; get it again"),
            Self::Member(name) => write!(f, "{name} in the image was altered after it was signed; get it again"),
            Self::Trailing => f.write_str("there are bytes behind the image's end; get it again"),
            Self::TooLarge(name) => write!(f, "{name} is larger than the 4 GiB that a member may have"),
        }
    }
}

impl std::error::Error for BundleError {}

/// The checked beginning of an image: enough to decide whether one wants the rest.
#[derive(Debug, Clone)]
pub struct Head {
    /// What is in it.
    pub manifest: Manifest,
    /// Whose signature it has.
    pub signer: DeviceId,
    /// Where each member's bytes are in the file, in the manifest's order.
    pub members: Vec<std::ops::Range<u64>>,
    /// The length of the whole file.
    pub length: u64,
}

impl Head {
    /// Reads and checks it from the first bytes of a file. [`BundleError::Short`] says how many are needed at least.
    pub fn parse(bytes: &[u8]) -> Result<Self, BundleError> {
        let (manifest, rest) = section(bytes, 0, MANIFEST, MAX_MANIFEST)?;
        let (signature, _) = section(bytes, rest, SIGNATURE, SIGNATURE_LEN)?;
        let (signer, signature) = signature.split_first_chunk::<32>().ok_or(BundleError::Layout)?;
        let signature: [u8; 64] = signature.try_into().map_err(|_| BundleError::Layout)?;
        let signer = DeviceId::from_bytes(*signer);
        Signed::from_parts(blake3::hash(manifest).as_bytes().to_vec(), signature)
            .verify(SIGNED, signer)
            .map_err(|BadSignature| BundleError::Signature)?;
        let manifest = Manifest::parse(manifest).map_err(BundleError::Manifest)?;
        let mut at = (rest + HEADER + SIGNATURE_LEN) as u64;
        let mut members = Vec::with_capacity(manifest.members.len());
        for member in &manifest.members {
            let begin = at + HEADER as u64;
            at = begin.checked_add(member.size).ok_or(BundleError::Layout)?;
            members.push(begin..at);
        }
        Ok(Self { manifest, signer, members, length: at })
    }
}

/// The payload of the section at `at`, which must have this tag, and where it ends.
fn section(bytes: &[u8], at: usize, tag: Tag, most: usize) -> Result<(&[u8], usize), BundleError> {
    let short = |wanted: usize| BundleError::Short { wanted: wanted as u64 };
    let header = bytes.get(at..at + HEADER).ok_or_else(|| short(at + HEADER))?;
    let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    let length = usize::try_from(length).map_err(|_| BundleError::Layout)?;
    if header[..2] != tag.0.to_le_bytes() || header[2..4] != [1, 0] || length > most {
        return Err(BundleError::Layout);
    }
    let end = at + HEADER + length;
    Ok((bytes.get(at + HEADER..end).ok_or_else(|| short(end))?, end))
}

/// A whole image that has been checked.
#[derive(Debug, Clone)]
pub struct Bundle<'a> {
    /// What is in it, and by whom.
    pub head: Head,
    bytes: &'a [u8],
}

impl<'a> Bundle<'a> {
    /// Checks a whole file: signature, every member, nothing behind.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BundleError> {
        let head = Head::parse(bytes)?;
        if (bytes.len() as u64) < head.length {
            return Err(BundleError::Short { wanted: head.length });
        }
        if bytes.len() as u64 > head.length {
            return Err(BundleError::Trailing);
        }
        let bundle = Self { head, bytes };
        for (index, member) in bundle.head.manifest.members.iter().enumerate() {
            let range = &bundle.head.members[index];
            let begin = usize::try_from(range.start).map_err(|_| BundleError::Layout)?;
            let wrong = || BundleError::Member(member.name.clone());
            let (payload, _) = section(bytes, begin - HEADER, MEMBER, usize::MAX).map_err(|_| wrong())?;
            if payload.len() as u64 != member.size || digest(payload) != member.digest {
                return Err(wrong());
            }
        }
        Ok(bundle)
    }

    fn payload(&self, index: usize) -> Option<&'a [u8]> {
        let range = self.head.members.get(index)?;
        self.bytes.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
    }

    /// The bytes of a member.
    pub fn member(&self, name: &str) -> Option<&'a [u8]> {
        self.payload(self.head.manifest.members.iter().position(|member| member.name == name)?)
    }
}

/// A member's name in the manifest is made of this: BLAKE3, in hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// The file of an image: `members` in the manifest's order.
pub fn make(manifest: &Manifest, members: &[Vec<u8>], key: &SigningKey) -> Result<Vec<u8>, BundleError> {
    let too_large = |name: &str| BundleError::TooLarge(name.to_owned());
    let text = manifest.to_json();
    let signed = Signed::sign(SIGNED, blake3::hash(text.as_bytes()).as_bytes().to_vec(), key);
    let signature = [key.verifying_key().as_bytes().as_slice(), signed.signature()].concat();
    let mut writer = SectionWriter::new();
    writer.push_raw(MANIFEST, 1, text.as_bytes()).map_err(|_| too_large("the manifest"))?;
    writer.push_raw(SIGNATURE, 1, &signature).map_err(|_| too_large("the signature"))?;
    for (member, bytes) in manifest.members.iter().zip(members) {
        writer.push_raw(MEMBER, 1, bytes).map_err(|_| too_large(&member.name))?;
    }
    let file = writer.finish();
    Bundle::parse(&file)?;
    Ok(file)
}
