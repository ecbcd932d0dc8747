//! A small file that is replaced often and has to be on the disk each time.
//!
//! To replace a file by renaming another one over it takes several waits for the disk: the contents, then the folder. So this file has two slots
//! which are written by turns, in place: one wait.
//!
//! ```text
//! file = slot 0, slot 1: equal halves, of whole sectors
//! slot = sequence (u64, little-endian), length (u32), BLAKE3 of both and of the body (32), body
//! ```
//!
//! The sound slot with the higher sequence counts. A write that a crash tears leaves the slot before it, which is what counted until
//! then, for the one that was last durable is never written over. After a failed write it is not known which one that is: the next write
//! replaces the file as a whole. So does the first of a process, and one that does not fit.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use crate::state::write_file;

/// What disks write at once.
const SECTOR: usize = 4096;
/// The bytes in front of a body.
const HEAD: usize = 44;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Slots {
    folder: PathBuf,
    name: &'static str,
    open: Option<Open>,
}

/// A file of which it is known what is on the disk.
#[derive(Debug)]
struct Open {
    file: File,
    /// The bytes of a slot.
    slot: usize,
    /// The sequence that is durable. It is in the slot of its parity.
    last: u64,
}

fn slot_of(sequence: u64, body: &[u8]) -> Vec<u8> {
    let front = [&sequence.to_le_bytes()[..], &(body.len() as u32).to_le_bytes()].concat();
    [&front, &digest(&front, body)[..], body].concat()
}

fn digest(front: &[u8], body: &[u8]) -> [u8; 32] {
    *blake3::Hasher::new().update(front).update(body).finalize().as_bytes()
}

/// The sequence and the body of a sound slot.
fn sound(slot: &[u8]) -> Option<(u64, &[u8])> {
    let (head, rest) = slot.split_first_chunk::<HEAD>()?;
    let (sequence, rest_of_head) = head.split_first_chunk::<8>()?;
    let (length, expected) = rest_of_head.split_first_chunk::<4>()?;
    let body = rest.get(..u32::from_le_bytes(*length) as usize)?;
    (digest(&head[..12], body) == *expected).then_some((u64::from_le_bytes(*sequence), body))
}

/// What a file says; none if there is no such file, or if it was only made ready.
///
/// # Errors
/// If it cannot be read, or neither slot is sound.
pub(crate) fn load(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let latest = [sound(first), sound(second)].into_iter().flatten().max_by_key(|(sequence, _)| *sequence);
    match latest {
        Some((_, [])) => Ok(None),
        Some((_, body)) => Ok(Some(body.to_vec())),
        None => Err(io::Error::new(io::ErrorKind::InvalidData, "neither of its two slots is whole")),
    }
}

impl Slots {
    /// The file of this name. Nothing is read or written yet.
    pub(crate) fn new(folder: &Path, name: &'static str) -> Self {
        Self { folder: folder.to_path_buf(), name, open: None }
    }

    /// Sees to it that the next save is a quick one. What the file says stays.
    pub(crate) fn ready(&mut self) -> io::Result<()> {
        if self.fits(0) {
            return Ok(());
        }
        let body = load(&self.folder.join(self.name))?.unwrap_or_default();
        self.replace(&body)
    }

    /// Makes this what the file says; it is on the disk when this returns. After an error it may be there or not.
    pub(crate) fn save(&mut self, body: &[u8]) -> io::Result<()> {
        let fits = self.fits(body.len());
        // Put back once it is known again what is on the disk.
        let Some(mut open) = self.open.take().filter(|_| fits) else { return self.replace(body) };
        let next = open.last + 1;
        let at = (next % 2) * open.slot as u64;
        open.file.write_all_at(&slot_of(next, body), at)?;
        open.file.sync_data()?;
        open.last = next;
        self.open = Some(open);
        Ok(())
    }

    /// Whether the open file is still the one of that name, and a body of this length fits.
    fn fits(&self, length: usize) -> bool {
        let Some(open) = &self.open else { return false };
        let (there, mine) = (fs::metadata(self.folder.join(self.name)), open.file.metadata());
        let same =
            matches!((there, mine), (Ok(there), Ok(mine)) if (there.dev(), there.ino()) == (mine.dev(), mine.ino()));
        same && HEAD + length <= open.slot
    }

    fn replace(&mut self, body: &[u8]) -> io::Result<()> {
        self.open = None;
        // As much again, lest it is soon too small.
        let slot = (HEAD + 2 * body.len()).next_multiple_of(SECTOR);
        let mut bytes = slot_of(2, body);
        bytes.resize(2 * slot, 0);
        write_file(&self.folder, self.name, &bytes)?;
        let file = OpenOptions::new().read(true).write(true).open(self.folder.join(self.name));
        self.open = file.ok().map(|file| Open { file, slot, last: 2 });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(body: &[u8]) -> Option<Vec<u8>> {
        Some(body.to_vec())
    }

    #[test]
    fn what_was_saved_last_is_there_and_the_file_stays_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it");
        let mut slots = Slots::new(folder.path(), "it");
        assert_eq!(load(&path).unwrap(), None);
        slots.ready().unwrap();
        assert_eq!(load(&path).unwrap(), None);
        let inode = fs::metadata(&path).unwrap().ino();
        for n in 0..9u8 {
            slots.save(&[n; 30]).unwrap();
            assert_eq!(load(&path).unwrap(), some(&[n; 30]));
        }
        slots.ready().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
        // What does not fit is there all the same, and so is what another process says.
        slots.save(&[1; 9000]).unwrap();
        assert_eq!(load(&path).unwrap(), some(&[1; 9000]));
        Slots::new(folder.path(), "it").save(b"another").unwrap();
        assert_eq!(load(&path).unwrap(), some(b"another"));
        slots.save(b"mine").unwrap();
        assert_eq!(load(&path).unwrap(), some(b"mine"));
        let mut later = Slots::new(folder.path(), "it");
        later.ready().unwrap();
        assert_eq!(load(&path).unwrap(), some(b"mine"));
    }

    #[test]
    fn a_torn_write_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("it");
        let mut slots = Slots::new(folder.path(), "it");
        (0..4u8).for_each(|n| slots.save(&[n; 300]).unwrap());
        let before = fs::read(&path).unwrap();
        slots.save(&[4; 300]).unwrap();
        let after = fs::read(&path).unwrap();
        let written: Vec<usize> = (0..after.len()).filter(|at| after[*at] != before[*at]).collect();
        for cut in 0..written.len() {
            // The disk may have written any part of it: here the front, there the rest.
            for front in [true, false] {
                let mut torn = before.clone();
                let part = if front { &written[..cut] } else { &written[cut + 1..] };
                part.iter().for_each(|at| torn[*at] = after[*at]);
                fs::write(&path, &torn).unwrap();
                assert_eq!(load(&path).unwrap(), some(&[3; 300]), "torn at {cut}");
            }
        }
        let mut both = after.clone();
        [60, both.len() / 2 + 60].iter().for_each(|at| both[*at] ^= 1);
        fs::write(&path, &both).unwrap();
        assert_eq!(load(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        for cut in 0..after.len() {
            let _ = sound(&after[..cut]);
        }
    }
}
