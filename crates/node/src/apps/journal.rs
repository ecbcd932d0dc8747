//! The state of an instance as a file of steps ([`tutti_app::step`]). What a crash leaves of the last one is cut off at the next start.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use tutti_app::step::{self, Found};

pub(crate) use tutti_app::step::{Kept, Step, emit};

/// The most bytes of a patch of an app with so much memory: all of it, and what stands around it.
pub(crate) const fn max_patch(memory: usize) -> usize {
    memory + memory / 8 + (64 << 10)
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
        let damaged = |why: io::Error| io::Error::new(why.kind(), format!("{}: {why}", path.display()));
        let mut reader = io::BufReader::new(&it.file);
        while let Found::Step(step, len) = step::next(&mut reader, size - it.len, max_patch).map_err(damaged)? {
            each(*step)?;
            it.len += len;
            if it.first == 0 {
                it.first = it.len;
            }
        }
        drop(reader);
        if it.len < size {
            it.file.set_len(it.len)?;
            it.file.sync_data()?;
        }
        Ok(it)
    }

    /// Adds a step. It is on the disk when this returns; after an error the file is as it was.
    pub(crate) fn append(&mut self, step: &[u8]) -> io::Result<()> {
        let mut write = || {
            self.file.seek(SeekFrom::Start(self.len))?;
            self.file.write_all(step)?;
            self.file.sync_data()
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
        (1..=3).for_each(|events| journal.append(&step(events)).unwrap());
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
        journal.append(&step(9)).unwrap();
        assert_eq!(read(&path).unwrap(), [1, 2, 9]);
    }

    #[test]
    fn damage_in_front_of_others_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let bytes = [step(1), step(2), step(3)].concat();
        for at in
            (step::HEAD..2 * step(1).len()).step_by(7).filter(|at| !(step(1).len()..step(1).len() + 8).contains(at))
        {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            assert_eq!(read(&path).unwrap_err().kind(), io::ErrorKind::InvalidData, "byte {at}");
        }
    }
}
