//! The whole state of an app, made so that one which follows another costs what differs.
//!
//! Memory is kept in pieces of 4 KiB, sixteen to a page, which images share: a later image has its own copy only of the pieces that were written. So
//! an image is taken by comparing the app's memory with the last one, and finding what differs between two of them is mostly finding
//! out that a page is the same allocation.
//!
//! # Digests
//! The digest of an image is BLAKE3 of its globals and of BLAKE3 of each page of 64 KiB. A piece keeps its chaining value, the node of its page's
//! BLAKE3 tree that stands for it (section 2.1 of the BLAKE3 paper): when one piece of a page changes, one is hashed again and fifteen
//! nodes are merged; the digest is the one that hashing all of it would give.

use std::{
    array, fmt,
    sync::{Arc, LazyLock},
};

use blake3::{
    Hasher,
    hazmat::{ChainingValue, HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root},
};

use super::{BLOCK, Digest, PAGE};

/// The unit of memory that images share, in bytes.
const PIECE: usize = 4096;
/// How many make a page.
const PIECES: usize = PAGE / PIECE;

/// The whole state of an app. Clones share what they have in common, as do images made from one another.
#[derive(Clone, PartialEq, Eq)]
pub struct Image {
    globals: Vec<u64>,
    pages: Vec<Arc<Page>>,
}

#[derive(Clone, PartialEq, Eq)]
struct Page {
    pieces: [Arc<Piece>; PIECES],
    digest: Digest,
}

#[derive(Clone, PartialEq, Eq)]
struct Piece {
    bytes: [u8; PIECE],
    /// What stands for it in the tree of its page, at its place there.
    value: ChainingValue,
}

/// What memory is before it is written: one page for all.
static ZERO: LazyLock<Arc<Page>> = LazyLock::new(|| {
    let bytes = [0; PIECE];
    let pieces = array::from_fn(|at| Arc::new(Piece { bytes, value: value_of(&bytes, at) }));
    let digest = digest_of(&pieces);
    Arc::new(Page { pieces, digest })
});

fn value_of(bytes: &[u8; PIECE], at: usize) -> ChainingValue {
    let mut hasher = Hasher::new();
    hasher.set_input_offset((at * PIECE) as u64).update(bytes);
    hasher.finalize_non_root()
}

/// BLAKE3 of a page, from the values of its pieces.
fn digest_of(pieces: &[Arc<Piece>; PIECES]) -> Digest {
    let mut values: [ChainingValue; PIECES] = array::from_fn(|at| pieces[at].value);
    let mut count = PIECES;
    while count > 2 {
        for at in 0..count / 2 {
            values[at] = merge_subtrees_non_root(&values[2 * at], &values[2 * at + 1], Mode::Hash);
        }
        count /= 2;
    }
    *merge_subtrees_root(&values[0], &values[1], Mode::Hash).as_bytes()
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image({} globals, {} pages)", self.globals.len(), self.pages.len())
    }
}

impl Image {
    /// The state with these globals and this memory, which is cut to whole pages.
    pub fn new(globals: Vec<u64>, memory: impl AsRef<[u8]>) -> Self {
        let memory = memory.as_ref();
        let whole = memory.len() / PAGE * PAGE;
        let mut draft = Draft::new(None, whole / PAGE);
        draft.write(0, &memory[..whole]);
        draft.finish(globals)
    }

    /// Its mutable globals, as bits.
    pub fn globals(&self) -> &[u64] {
        &self.globals
    }

    /// How many pages of memory it has.
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// How many bytes of memory it has.
    pub fn size(&self) -> usize {
        self.pages.len() * PAGE
    }

    /// A copy of its memory.
    pub fn memory(&self) -> Vec<u8> {
        let mut memory = Vec::with_capacity(self.size());
        for page in &self.pages {
            page.pieces.iter().for_each(|piece| memory.extend_from_slice(&piece.bytes));
        }
        memory
    }

    /// A digest of all of it.
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::new();
        hasher.update(b"tutti 1 app image");
        hasher.update(&(self.globals.len() as u64).to_le_bytes());
        self.globals.iter().for_each(|global| _ = hasher.update(&global.to_le_bytes()));
        self.pages.iter().for_each(|page| _ = hasher.update(&page.digest));
        *hasher.finalize().as_bytes()
    }

    /// Where the memory differs from `base` (which counts as zero beyond its end): the first byte, and the bytes; whole blocks, in order.
    /// What differs at a stretch may come in several.
    pub fn changes_since<'a>(&'a self, base: &Self) -> Vec<(usize, &'a [u8])> {
        let mut changes = Vec::new();
        let zero = &*ZERO;
        for (nth, page) in self.pages.iter().enumerate() {
            let before = base.pages.get(nth).unwrap_or(zero);
            if Arc::ptr_eq(page, before) || page.digest == before.digest {
                continue;
            }
            for (at, (piece, before)) in page.pieces.iter().zip(&before.pieces).enumerate() {
                if !Arc::ptr_eq(piece, before) && piece.value != before.value {
                    changes_of(nth * PAGE + at * PIECE, piece, before, &mut changes);
                }
            }
        }
        changes
    }
}

fn changes_of<'a>(from: usize, piece: &'a Piece, before: &Piece, changes: &mut Vec<(usize, &'a [u8])>) {
    let mut begun = None;
    let pairs = piece.bytes.chunks_exact(BLOCK).zip(before.bytes.chunks_exact(BLOCK));
    for (nth, (now, was)) in pairs.enumerate() {
        match (now == was, begun) {
            (false, None) => begun = Some(nth * BLOCK),
            (true, Some(start)) => {
                changes.push((from + start, &piece.bytes[start..nth * BLOCK]));
                begun = None;
            }
            _ => {}
        }
    }
    changes.extend(begun.map(|start| (from + start, &piece.bytes[start..])));
}

/// An image in the making: another one, or nothing, and what was written over it.
pub(crate) struct Draft {
    pages: Vec<Arc<Page>>,
    /// Which pieces of each page were written: a bit for each.
    written: Vec<u16>,
}

impl Draft {
    /// So many pages, as in `base` and zero beyond it.
    pub(crate) fn new(base: Option<&Image>, pages: usize) -> Self {
        let mut all = base.map_or_else(Vec::new, |base| base.pages.clone());
        all.resize(pages, ZERO.clone());
        Self { pages: all, written: vec![0; pages] }
    }

    /// What stands at `at` from now on. What it stood for already costs a comparison. The caller keeps to the pages that there are.
    pub(crate) fn write(&mut self, mut at: usize, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (page, nth, within) = (at / PAGE, at % PAGE / PIECE, at % PIECE);
            let (now, rest) = bytes.split_at(bytes.len().min(PIECE - within));
            let end = within + now.len();
            if self.pages[page].pieces[nth].bytes[within..end] != *now {
                let piece = &mut Arc::make_mut(&mut self.pages[page]).pieces[nth];
                match <&[u8; PIECE]>::try_from(now) {
                    // Nothing of what was there is copied first.
                    Ok(bytes) => *piece = Arc::new(Piece { bytes: *bytes, value: ChainingValue::default() }),
                    Err(_) => Arc::make_mut(piece).bytes[within..end].copy_from_slice(now),
                }
                self.written[page] |= 1 << nth;
            }
            (at, bytes) = (at + now.len(), rest);
        }
    }

    /// The image with these globals.
    pub(crate) fn finish(self, globals: Vec<u64>) -> Image {
        let Self { mut pages, written } = self;
        for (page, written) in pages.iter_mut().zip(written).filter(|(_, written)| *written != 0) {
            // Both were made anew by `write`, so that nothing is copied here.
            let page = Arc::make_mut(page);
            for at in (0..PIECES).filter(|at| written & (1 << at) != 0) {
                let piece = Arc::make_mut(&mut page.pieces[at]);
                piece.value = value_of(&piece.bytes, at);
            }
            page.digest = digest_of(&page.pieces);
        }
        Image { globals, pages }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Patch;
    use proptest::prelude::*;

    #[test]
    fn the_digest_of_a_page_is_that_of_its_bytes() {
        let memory: Vec<u8> = (0..3 * PAGE as u32).map(|at| (at * 7 / 5 % 251) as u8).collect();
        let image = Image::new(vec![], &memory);
        for (page, bytes) in image.pages.iter().zip(memory.chunks(PAGE)) {
            assert_eq!(page.digest, *blake3::hash(bytes).as_bytes());
        }
        assert_eq!(ZERO.digest, *blake3::hash(&[0; PAGE]).as_bytes());
    }

    #[test]
    fn what_is_not_written_is_shared() {
        let before = Image::new(vec![], vec![3; 4 * PAGE]);
        let mut draft = Draft::new(Some(&before), 5);
        draft.write(PAGE, &[3; 2 * PAGE]);
        draft.write(2 * PAGE + 5000, &[4; 10]);
        let after = draft.finish(vec![]);
        let same: Vec<bool> = after.pages.iter().zip(&before.pages).map(|(a, b)| Arc::ptr_eq(a, b)).collect();
        assert_eq!(same, [true, true, false, true]);
        let shared = after.pages[2].pieces.iter().zip(&before.pages[2].pieces).filter(|(a, b)| Arc::ptr_eq(a, b));
        assert_eq!(shared.count(), PIECES - 1);
        assert!(Arc::ptr_eq(&after.pages[4], &ZERO));
    }

    /// What an app does after a restart: the steps of its journal, one after the other, on the image of a fresh instance. However large it is, each
    /// copies no more than it writes.
    #[test]
    fn steps_of_a_journal_copy_what_they_write_and_share_the_rest() {
        let fresh = Image::new(vec![0], vec![3; 64 * PAGE]);
        let (mut last, mut led) = (fresh.clone(), fresh.clone());
        for step in 1..=12 {
            let mut draft = Draft::new(Some(&last), 64);
            draft.write(step * 5 * PAGE, &[step as u8 + 3; 10]);
            let next = draft.finish(vec![step as u64]);
            let bytes = next.since(&last).emit().unwrap();
            led = Patch::parse(&bytes, 64).unwrap().apply(&led).unwrap();
            last = next;
            let pieces = led.pages.iter().zip(&fresh.pages).flat_map(|(a, b)| a.pieces.iter().zip(&b.pieces));
            assert_eq!(pieces.filter(|(a, b)| !Arc::ptr_eq(a, b)).count(), step);
        }
        assert_eq!(led, last);
    }

    proptest! {
        #[test]
        fn a_draft_is_what_was_written(
            before in prop::collection::vec((0usize..3 * PAGE, 1usize..9000, any::<u8>()), 0..6),
            writes in prop::collection::vec((0usize..3 * PAGE, 1usize..9000, any::<u8>()), 0..12),
            pages in 1usize..4,
        ) {
            let write = |memory: &mut Vec<u8>, (at, len, byte): &(usize, usize, u8)| {
                let at = at % memory.len();
                let end = (at + len).min(memory.len());
                memory[at..end].fill(*byte);
                (at, end)
            };
            let mut memory = vec![0; 2 * PAGE];
            before.iter().for_each(|it| _ = write(&mut memory, it));
            let base = Image::new(vec![7], &memory);
            let mut draft = Draft::new(Some(&base), pages);
            memory.resize(pages * PAGE, 0);
            for it in &writes {
                let (at, end) = write(&mut memory, it);
                draft.write(at, &memory[at..end]);
            }
            let image = draft.finish(vec![8]);
            prop_assert_eq!(&image, &Image::new(vec![8], &memory));
            prop_assert_eq!(image.digest(), Image::new(vec![8], &memory).digest());
            prop_assert_eq!(image.memory(), memory);
        }
    }
}
