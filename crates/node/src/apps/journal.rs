//! The state of an instance as a file: a whole snapshot, then what changed since, each step whole or not at all. The same steps
//! go over the network when an instance moves.
//!
//! ```text
//! step = length of "kept" (u32, little-endian), length of the patch (u32), BLAKE3 of both lengths and both bodies (32), kept, patch
//! ```
//!
//! A step counts once it is on the disk with the right digest. What a crash leaves of the last one is cut off at the next start; damage
//! in front of others is refused, since what was acknowledged behind it would be lost without a word.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tutti_app::{home, runtime::host};
use tutti_model::signed::Signed;

/// The bytes in front of each step.
pub(crate) const HEAD: usize = 40;
/// The most bytes of what is kept beside the app's own state.
pub(crate) const MAX_KEPT: usize = 4 << 20;

/// What goes with the app's own state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Kept {
    /// What the host keeps for it.
    pub(crate) host: host::Kept,
    /// Whose events were applied, and what the world is yet to know.
    pub(crate) home: home::Kept,
    /// How many events it has handled.
    pub(crate) events: u64,
    /// In the last step of a move: leases that go along.
    pub(crate) leases: Vec<Signed>,
    /// It is the last step of a move.
    pub(crate) last: bool,
}

/// A step, read.
#[derive(Debug)]
pub(crate) struct Step {
    /// What goes with it.
    pub(crate) kept: Kept,
    /// What changed in the app's state, as `tutti_app::snapshot` has it; empty for an app that cannot be carried.
    pub(crate) patch: Vec<u8>,
}

/// Why bytes are no step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadStep {
    /// A length is above its bound.
    TooLarge,
    /// The digest is another.
    Digest,
    /// What is kept cannot be read, or is not what it can be.
    Kept,
}

impl fmt::Display for BadStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "it is larger than the app may be",
            Self::Digest => "it is damaged",
            Self::Kept => "what is kept with it makes no sense",
        })
    }
}

/// A step as bytes.
pub(crate) fn emit(kept: &Kept, patch: &[u8]) -> Vec<u8> {
    // Plain maps and lists: they have a form in bytes.
    let kept = postcard::to_allocvec(kept).unwrap_or_default();
    let lengths = [(kept.len() as u32).to_le_bytes(), (patch.len() as u32).to_le_bytes()].concat();
    let digest = digest(&lengths, &kept, patch);
    [&lengths, &digest[..], &kept, patch].concat()
}

fn digest(lengths: &[u8], kept: &[u8], patch: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(lengths).update(kept).update(patch);
    *hasher.finalize().as_bytes()
}

/// The lengths in a head, if they are within bounds.
pub(crate) fn lengths(head: &[u8; HEAD], max_patch: usize) -> Result<(usize, usize), BadStep> {
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize;
    let (kept, patch) = (number(0), number(4));
    if kept > MAX_KEPT || patch > max_patch { Err(BadStep::TooLarge) } else { Ok((kept, patch)) }
}

/// Reads a step whose head promised these bodies.
pub(crate) fn parse(head: &[u8; HEAD], kept: &[u8], patch: Vec<u8>) -> Result<Step, BadStep> {
    if digest(&head[..8], kept, &patch) != head[8..] {
        return Err(BadStep::Digest);
    }
    let kept: Kept = postcard::from_bytes(kept).map_err(|_| BadStep::Kept)?;
    if !kept.host.is_sound() || !kept.home.outbox.is_sound() {
        return Err(BadStep::Kept);
    }
    Ok(Step { kept, patch })
}

/// A file of steps.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
    len: u64,
    /// The bytes of the first step: a whole snapshot.
    first: u64,
}

impl Journal {
    /// A new one, in place of any of that name.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
        Ok(Self { file, path: path.to_path_buf(), len: 0, first: 0 })
    }

    /// Opens one and gives its steps away, in order. A torn end is cut off.
    pub(crate) fn open(
        path: &Path,
        max_patch: usize,
        mut each: impl FnMut(Step) -> io::Result<()>,
    ) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let size = file.metadata()?.len();
        let mut it = Self { file, path: path.to_path_buf(), len: 0, first: 0 };
        let damaged = |why: BadStep| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()));
        let mut reader = io::BufReader::new(&it.file);
        while it.len + HEAD as u64 <= size {
            let mut head = [0; HEAD];
            reader.read_exact(&mut head)?;
            let lengths = lengths(&head, max_patch);
            let end = lengths.map(|(kept, patch)| it.len + (HEAD + kept + patch) as u64);
            let (Ok((kept_len, patch_len)), Ok(end)) = (lengths, end) else { break };
            if end > size {
                break;
            }
            let (mut kept, mut patch) = (vec![0; kept_len], vec![0; patch_len]);
            reader.read_exact(&mut kept)?;
            reader.read_exact(&mut patch)?;
            match parse(&head, &kept, patch) {
                Ok(step) => each(step)?,
                // Something whole stands behind it, or it was whole when it was written: not what a crash leaves.
                Err(why) if end < size || why != BadStep::Digest => return Err(damaged(why)),
                Err(_) => break,
            }
            it.len = end;
            if it.first == 0 {
                it.first = end;
            }
        }
        drop(reader);
        if it.len < size {
            it.file.set_len(it.len)?;
            it.file.sync_data()?;
        }
        Ok(it)
    }

    /// Adds a step. If `durable`, it is on the disk when this returns. After an error the file is as it was.
    pub(crate) fn append(&mut self, step: &[u8], durable: bool) -> io::Result<()> {
        let mut write = || {
            self.file.seek(SeekFrom::Start(self.len))?;
            self.file.write_all(step)?;
            if durable { self.file.sync_data() } else { Ok(()) }
        };
        if let Err(error) = write() {
            let _ = self.file.set_len(self.len);
            return Err(error);
        }
        self.len += step.len() as u64;
        if self.first == 0 {
            self.first = self.len;
        }
        Ok(())
    }

    /// Whether it is time to begin another one with a whole snapshot.
    pub(crate) fn is_long(&self) -> bool {
        self.len > self.first.saturating_mul(3) + (4 << 20)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(events: u64) -> Vec<u8> {
        emit(&Kept { events, ..Kept::default() }, &vec![events as u8; 300])
    }

    fn read(path: &Path) -> io::Result<Vec<u64>> {
        let mut found = Vec::new();
        Journal::open(path, 1 << 20, |step| {
            assert!(step.patch.iter().all(|byte| *byte == step.kept.events as u8));
            found.push(step.kept.events);
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn what_was_written_is_there_wherever_the_end_is_torn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let mut journal = Journal::create(&path).unwrap();
        (1..=3).for_each(|events| journal.append(&step(events), true).unwrap());
        assert_eq!(read(&path).unwrap(), [1, 2, 3]);
        let whole = std::fs::read(&path).unwrap();
        let two = 2 * step(1).len();
        for cut in two..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(read(&path).unwrap(), [1, 2], "cut at {cut}");
            assert_eq!(std::fs::metadata(&path).unwrap().len(), two as u64);
        }
        // Zeros, as some file systems leave them.
        let mut torn = whole.clone();
        torn[two + 60..].fill(0);
        std::fs::write(&path, &torn).unwrap();
        assert_eq!(read(&path).unwrap(), [1, 2]);
        // Goes on behind it.
        let mut journal = Journal::open(&path, 1 << 20, |_| Ok(())).unwrap();
        journal.append(&step(9), true).unwrap();
        assert_eq!(read(&path).unwrap(), [1, 2, 9]);
    }

    #[test]
    fn damage_in_front_of_others_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let bytes = [step(1), step(2), step(3)].concat();
        for at in (HEAD..2 * step(1).len()).step_by(7).filter(|at| !(step(1).len()..step(1).len() + 8).contains(at)) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::InvalidData, "byte {at}");
        }
    }

    #[test]
    fn lengths_are_bounded() {
        let mut head = [0; HEAD];
        head[4..8].copy_from_slice(&5000u32.to_le_bytes());
        assert_eq!(lengths(&head, 4999), Err(BadStep::TooLarge));
        assert_eq!(lengths(&head, 5000), Ok((0, 5000)));
        head[..4].fill(255);
        assert_eq!(lengths(&head, 5000), Err(BadStep::TooLarge));
    }
}
