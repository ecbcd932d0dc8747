//! The state of an app between two of its events: its globals and its memory, as an [`Image`]; and what differs between two
//! images, as a [`Patch`] in bytes that can be stored and sent.
//!
//! Between events a guest's stack is empty, so that globals and memory are all there is. A patch against the image of a
//! fresh instance of the same component is a whole snapshot; one against an earlier image is the next step of a copy or a
//! checkpoint. Nothing in it depends on the engine or the width of its pointers.
//!
//! # In bytes
//! One section ([`tutti_model::section`]): base (32), result (32), pages, globals, the length of the blocks, and the blocks
//! compressed (LZ4): for each run of blocks of 64 bytes that differ its first block and its number of blocks, both little-endian in 32
//! bits, then its bytes. Offsets grow; no two runs touch.
//!
//! # The other side is hostile
//! [`Patch::parse`] and [`Patch::apply`] take any bytes: sizes are bounded before anything is allocated ([`MAX_PAGES`], [`MAX_GLOBALS`], the
//! `limit` of the caller), and the digest of what comes out must be the one announced. A digest says that nothing was damaged, not that it is
//! harmless: a snapshot edited by hand gets a guest to do what its own code can do with any memory, within its grants and limits.

use std::fmt;

use serde::{Deserialize, Serialize};
use tutti_model::section::{SectionError, SectionWriter, Sections, Tag};

mod image;

pub(crate) use image::Draft;
pub use image::Image;

/// The unit of difference, in bytes.
pub const BLOCK: usize = 64;
/// A page of WebAssembly, in bytes.
pub const PAGE: usize = 65536;
/// The most pages that an image has: 1 GiB.
pub const MAX_PAGES: u32 = 16384;
/// The most mutable globals.
pub const MAX_GLOBALS: usize = 1024;

const SNAPSHOT: Tag = Tag(0x0630);

/// A BLAKE3 digest.
pub type Digest = [u8; 32];

/// Why bytes are no snapshot, or not one that fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Not made of sections.
    Sections(SectionError),
    /// More memory or globals than may be.
    TooLarge,
    /// Blocks out of order, out of bounds or cut short.
    Malformed,
    /// It is a difference from another image than this one; perhaps of another version of the app.
    OtherBase,
    /// What comes out is not what was announced.
    Damaged,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sections(error) => error.fmt(f),
            Self::TooLarge => f.write_str("the snapshot has more memory than the app may have here"),
            Self::Malformed => f.write_str("the snapshot is malformed"),
            Self::OtherBase => f.write_str("the snapshot does not follow what is here; both sides need the same app"),
            Self::Damaged => f.write_str("the snapshot is damaged; it must be sent again"),
        }
    }
}

impl std::error::Error for SnapshotError {}

impl From<SectionError> for SnapshotError {
    fn from(error: SectionError) -> Self {
        Self::Sections(error)
    }
}

impl Image {
    /// What makes `self` out of `base`.
    pub fn since(&self, base: &Self) -> Patch {
        let changes = self.changes_since(base);
        let mut blocks = Vec::with_capacity(changes.iter().map(|(_, bytes)| 8 + bytes.len()).sum());
        // Where the number of blocks of the last run stands, and the first byte behind that run.
        let mut last = None;
        for (at, bytes) in changes {
            let count = match last {
                Some((count, end)) if end == at => count,
                _ => {
                    blocks.extend_from_slice(&((at / BLOCK) as u32).to_le_bytes());
                    blocks.extend_from_slice(&[0; 4]);
                    blocks.len() - 4
                }
            };
            blocks.extend_from_slice(bytes);
            let run = (blocks.len() - count - 4) / BLOCK;
            blocks[count..count + 4].copy_from_slice(&(run as u32).to_le_bytes());
            last = Some((count, at + bytes.len()));
        }
        Patch {
            base: base.digest(),
            result: self.digest(),
            pages: self.pages() as u32,
            globals: self.globals().to_vec(),
            blocks,
        }
    }
}

/// What differs between two images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    base: Digest,
    result: Digest,
    pages: u32,
    globals: Vec<u64>,
    blocks: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct PatchV1<'a> {
    base: Digest,
    result: Digest,
    pages: u32,
    globals: Vec<u64>,
    len: u32,
    #[serde(borrow)]
    compressed: &'a [u8],
}

impl Patch {
    /// The digest of the image that it follows.
    pub fn base(&self) -> &Digest {
        &self.base
    }

    /// The digest of the image that it leads to.
    pub fn result(&self) -> &Digest {
        &self.result
    }

    /// The bytes that differ, before compression.
    pub fn size(&self) -> usize {
        self.blocks.len()
    }

    /// As bytes.
    ///
    /// # Errors
    /// [`SnapshotError::TooLarge`] beyond 4 GiB.
    pub fn emit(&self) -> Result<Vec<u8>, SnapshotError> {
        let compressed = lz4_flex::block::compress(&self.blocks);
        let body = PatchV1 {
            base: self.base,
            result: self.result,
            pages: self.pages,
            globals: self.globals.clone(),
            len: u32::try_from(self.blocks.len()).map_err(|_| SnapshotError::TooLarge)?,
            compressed: &compressed,
        };
        let mut writer = SectionWriter::new();
        writer.push(SNAPSHOT, 1, &body)?;
        Ok(writer.finish())
    }

    /// Reads a patch to an image of at most so many pages.
    pub fn parse(bytes: &[u8], limit: u32) -> Result<Self, SnapshotError> {
        let section = Sections::new_checked(bytes)?.one(SNAPSHOT)?;
        let body: PatchV1<'_> = section.decode()?;
        let PatchV1 { base, result, pages, globals, len, compressed } = body;
        // In the worst case every other block differs, with 8 bytes in front of each.
        let most = pages as usize * (PAGE + PAGE / BLOCK * 4);
        if pages > limit.min(MAX_PAGES) || globals.len() > MAX_GLOBALS || len as usize > most {
            return Err(SnapshotError::TooLarge);
        }
        // LZ4 makes at most 255 bytes out of one: whoever claims more lies.
        if len as usize > compressed.len().saturating_mul(255) + 64 {
            return Err(SnapshotError::Malformed);
        }
        let blocks = lz4_flex::block::decompress(compressed, len as usize).map_err(|_| SnapshotError::Malformed)?;
        if blocks.len() != len as usize {
            return Err(SnapshotError::Malformed);
        }
        Ok(Self { base, result, pages, globals, blocks })
    }

    /// The image that it leads to from this one.
    pub fn apply(&self, base: &Image) -> Result<Image, SnapshotError> {
        if base.digest() != self.base {
            return Err(SnapshotError::OtherBase);
        }
        let mut draft = Draft::new(Some(base), self.pages as usize);
        let (mut rest, mut free) = (self.blocks.as_slice(), 0);
        while let Some((head, behind)) = rest.split_first_chunk::<8>() {
            let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
            let (first, count) = (number(0), number(4));
            let end = first.checked_add(count).ok_or(SnapshotError::Malformed)?;
            let room = self.pages as usize * (PAGE / BLOCK);
            if count == 0 || first < free || end > room || behind.len() / BLOCK < count {
                return Err(SnapshotError::Malformed);
            }
            let (bytes, behind) = behind.split_at(count * BLOCK);
            draft.write(first * BLOCK, bytes);
            (rest, free) = (behind, end + 1);
        }
        if !rest.is_empty() {
            return Err(SnapshotError::Malformed);
        }
        let image = draft.finish(self.globals.clone());
        if image.digest() == self.result { Ok(image) } else { Err(SnapshotError::Damaged) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn image(pages: usize, writes: &[(usize, u8)]) -> Image {
        let mut memory = vec![0; pages * PAGE];
        for (at, byte) in writes {
            let len = memory.len();
            if len > 0 {
                memory[at % len] = *byte;
            }
        }
        Image::new(vec![1, 2], memory)
    }

    #[test]
    fn what_has_not_changed_is_not_sent() {
        let base = image(4, &[(5, 1)]);
        let next = image(5, &[(5, 1), (100_000, 7), (100_100, 8), (4 * PAGE + 9, 9)]);
        let patch = next.since(&base);
        assert_eq!(patch.size(), 3 * 8 + 3 * BLOCK);
        assert!(patch.emit().unwrap().len() < 200);
        assert_eq!(patch.apply(&base), Ok(next.clone()));
        assert_eq!(patch.apply(&next), Err(SnapshotError::OtherBase));
    }

    #[test]
    fn what_is_altered_or_too_large_is_refused() {
        let base = image(1, &[]);
        let patch = image(1, &[(9, 1)]).since(&base);
        let bytes = patch.emit().unwrap();
        assert_eq!(Patch::parse(&bytes, 0), Err(SnapshotError::TooLarge));
        let mut other = patch.clone();
        other.blocks[9] ^= 1;
        assert_eq!(other.apply(&base), Err(SnapshotError::Damaged));
        for (at, byte) in [(0, 255), (4, 255), (4, 0)] {
            let mut other = patch.clone();
            other.blocks[at] = byte;
            assert!(other.apply(&base).is_err());
        }
        let bomb = Patch { blocks: vec![0; PAGE * 17], pages: 16, ..patch };
        assert!(matches!(Patch::parse(&bomb.emit().unwrap(), 16).map(|it| it.apply(&base)), Ok(Err(_)) | Err(_)));
    }

    proptest! {
        #[test]
        fn patches_lead_from_one_image_to_the_other(
            from in prop::collection::vec((any::<usize>(), any::<u8>()), 0..50),
            to in prop::collection::vec((any::<usize>(), any::<u8>()), 0..50),
            (before, after) in (0usize..4, 0usize..4),
        ) {
            let (base, next) = (image(before, &from), image(after, &to));
            let patch = Patch::parse(&next.since(&base).emit().unwrap(), 4).unwrap();
            prop_assert_eq!(patch.apply(&base), Ok(next.clone()));
            prop_assert_eq!(next.since(&next).size(), 0);
        }
    }
}
