//! One file on its way into a storage.

use std::{
    fs::File,
    io::Write,
    os::fd::OwnedFd,
    sync::{Arc, PoisonError},
};

use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags},
    io::Errno,
};

use super::{INCOMING, Inner, MAX_FILES, MAX_UPLOADS, StorageError, StoragePath, Stored, beneath, size, stored};

/// One file on its way into a storage. Dropping it before [`Upload::finish`] leaves nothing of it.
pub struct Upload {
    storage: Arc<Inner>,
    path: StoragePath,
    declared: Option<u64>,
    /// Bytes booked in the books as arriving.
    booked: u64,
    came: u64,
    name: String,
    /// `None` once it has its place, or before it has a file.
    file: Option<File>,
}

impl Upload {
    pub(super) fn begin(storage: Arc<Inner>, path: StoragePath, declared: Option<u64>) -> Result<Self, StorageError> {
        let name = {
            let mut books = storage.books();
            if books.uploads >= MAX_UPLOADS {
                return Err(StorageError::TooManyUploads);
            }
            if books.files.saturating_add(books.uploads as u64) >= MAX_FILES {
                return Err(StorageError::TooManyFiles);
            }
            books.uploads += 1;
            books.started += 1;
            format!("{}", books.started)
        };
        // From here on, dropping it undoes what was booked.
        let mut upload = Self { storage, path, declared, booked: 0, came: 0, name, file: None };
        if let Some(len) = declared {
            upload.book(len)?;
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&upload.storage.incoming, &upload.name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| StorageError::io("beginning the upload", &error.into()))?;
        upload.file = Some(File::from(file));
        Ok(upload)
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// [`StorageError::OverQuota`], [`StorageError::WrongLength`], [`StorageError::DiskFull`], [`StorageError::Io`].
    /// The upload cannot be finished after any of them.
    pub fn write(&mut self, piece: &[u8]) -> Result<(), StorageError> {
        let came = self.came.saturating_add(piece.len() as u64);
        if let Some(declared) = self.declared.filter(|declared| came > *declared) {
            self.abandon();
            return Err(StorageError::WrongLength { declared, came });
        }
        if came > self.booked {
            let more = came - self.booked;
            self.book(more).inspect_err(|_| self.abandon())?;
        }
        self.came = came;
        let Some(file) = &mut self.file else {
            return Err(StorageError::Sender("the upload has failed before".to_owned()));
        };
        file.write_all(piece).map_err(|error| {
            self.abandon();
            StorageError::io("storing the file", &error)
        })
    }

    /// Puts the file in its place when it is whole. When this returns, it is on the disk.
    ///
    /// # Errors
    /// [`StorageError::WrongLength`], [`StorageError::IsAFolder`], [`StorageError::NotAFile`],
    /// [`StorageError::NotAFolder`], [`StorageError::DiskFull`], [`StorageError::Io`].
    pub fn finish(mut self) -> Result<Stored, StorageError> {
        let Some(file) = &self.file else {
            return Err(StorageError::Sender("the upload has failed before".to_owned()));
        };
        if let Some(declared) = self.declared.filter(|declared| *declared != self.came) {
            return Err(StorageError::WrongLength { declared, came: self.came });
        }
        file.sync_all().map_err(|error| StorageError::io("storing the file", &error))?;
        let stat = rustix::fs::fstat(file).map_err(|error| StorageError::io("storing the file", &error.into()))?;
        let new = stored(self.path.clone(), &stat)?;
        let changed = self.place(&new)?;
        // In its place: what is left to be undone is only the booking, which `place` has turned into stored bytes.
        self.file = None;
        for folder in changed {
            rustix::fs::fsync(&folder).map_err(|error| StorageError::io("storing the file", &error.into()))?;
        }
        self.storage.changes.raise();
        Ok(new)
    }

    /// Renames the file into its place, and returns the folders that changed by it.
    fn place(&mut self, new: &Stored) -> Result<Vec<OwnedFd>, StorageError> {
        let storage = self.storage.clone();
        let _held = storage.tree.lock().unwrap_or_else(PoisonError::into_inner);
        let (parent, name) = self.path.split();
        let failed = |error: Errno| match error {
            Errno::NOTDIR | Errno::LOOP => StorageError::NotAFolder(self.path.clone()),
            error => StorageError::io("storing the file", &error.into()),
        };
        let placed = beneath::create_folder(&storage.root, parent).map_err(failed).and_then(|(folder, mut changed)| {
            let old = match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(old) => match FileType::from_raw_mode(old.st_mode) {
                    FileType::RegularFile => Some(size(&old)),
                    FileType::Directory => return Err(StorageError::IsAFolder(self.path.clone())),
                    _ => return Err(StorageError::NotAFile(self.path.clone())),
                },
                Err(Errno::NOENT) => None,
                Err(error) => return Err(failed(error)),
            };
            rustix::fs::renameat(&storage.incoming, &self.name, &folder, name).map_err(failed)?;
            changed.push(folder);
            Ok((old, changed))
        });
        let (old, changed) = placed.inspect_err(|_| beneath::remove_empty(&storage.root, parent))?;
        let mut books = storage.books();
        books.arriving = books.arriving.saturating_sub(self.booked);
        books.stored = books.stored.saturating_sub(old.unwrap_or(0)).saturating_add(new.size);
        books.files += u64::from(old.is_none());
        self.booked = 0;
        Ok(changed)
    }

    /// Books more bytes as arriving, if they fit.
    fn book(&mut self, more: u64) -> Result<(), StorageError> {
        let mut books = self.storage.books();
        let free = self.storage.quota.saturating_sub(books.stored).saturating_sub(books.arriving);
        if more > free {
            return Err(StorageError::OverQuota { wanted: more, free, quota: self.storage.quota });
        }
        books.arriving += more;
        self.booked += more;
        Ok(())
    }

    /// Removes what came so far and gives the room back.
    fn abandon(&mut self) {
        if self.file.take().is_some()
            && let Err(error) = rustix::fs::unlinkat(&self.storage.incoming, &self.name, AtFlags::empty())
        {
            tracing::warn!(%error, folder = INCOMING, name = self.name, "a failed upload could not be removed");
        }
        let mut books = self.storage.books();
        books.arriving = books.arriving.saturating_sub(self.booked);
        self.booked = 0;
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.abandon();
        self.storage.books().uploads -= 1;
    }
}
