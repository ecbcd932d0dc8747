//! A folder with a quota as a resource: `put`, `get`, `list`, `delete`.
//!
//! # Attacks and faults, and how each is met
//!
//! - *A path that leaves the folder*: a [`StoragePath`] is a row of plain names; besides, the kernel resolves it with
//!   `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS` (openat2(2)), or step by step with `O_NOFOLLOW` where it cannot.
//! - *A link, pipe or device planted in the folder*: only plain files are listed, counted, read or replaced.
//! - *Many writers at once to get past the quota*: every byte is booked before it is written. Quota counts what is
//!   stored and what is arriving, so while a file is replaced both its versions count, as they do on the disk.
//! - *A stream that stops, is too long, or a full disk*: a file arrives in `.tutti-incoming` in the folder and takes
//!   its place by rename(2) when it is whole and on the disk; until then, what was there stays. A failed upload
//!   leaves nothing.
//! - *Power cut, kill -9*: leftovers of uploads are removed, and what is stored is counted anew, when the folder is
//!   opened. An upload that was acknowledged has been synced, its folder included.
//! - *Two processes on one folder*: the second is refused (flock(2) on `.tutti-incoming`).

mod beneath;
mod error;
mod listing;
mod path;
mod upload;

use std::{
    fs::{self, File},
    io::{self, Read},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustix::{
    fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat},
    io::Errno,
};
use tutti_model::{Name, ResourceDescription, ResourceKind, Sharing, Value, WallTime};

pub use error::StorageError;
pub use listing::{MAX_PAGE, Page};
pub use path::{MAX_DEPTH, PathError, StoragePath};
pub use upload::Upload;

use crate::{
    driver::{Driver, DriverError},
    names::{count, unit, with, words},
    signal::Signal,
};

/// Where uploads are until they are whole. Names that begin like this are not for users.
const INCOMING: &str = ".tutti-incoming";
/// The most files one storage holds, so that empty files cannot use up a disk either.
pub const MAX_FILES: u64 = 100_000;
/// The most uploads at one time; each holds an open file.
pub const MAX_UPLOADS: usize = 64;

/// A folder with a quota. Clones are the same storage.
#[derive(Clone)]
pub struct Storage(Arc<Inner>);

struct Inner {
    description: ResourceDescription,
    path: PathBuf,
    root: OwnedFd,
    /// Locked as long as the storage is open.
    incoming: OwnedFd,
    quota: u64,
    books: Mutex<Books>,
    /// Held while names in the tree change.
    tree: Mutex<()>,
    changes: Signal,
}

/// What is stored and what is arriving.
#[derive(Default)]
struct Books {
    stored: u64,
    files: u64,
    arriving: u64,
    uploads: usize,
    /// Makes the names in `.tutti-incoming` different.
    started: u64,
}

/// How full a storage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of all stored files.
    pub used: u64,
    /// Bytes booked for uploads that are under way.
    pub arriving: u64,
    /// Bytes that both may come to together.
    pub quota: u64,
    /// How many files are stored.
    pub files: u64,
}

/// A stored file as listings show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its path in the storage.
    pub path: StoragePath,
    /// Its length in bytes.
    pub size: u64,
    /// When it was last changed.
    pub modified: WallTime,
}

/// An open stored file. It stays what it was when it was opened, even if it is replaced or deleted meanwhile.
#[derive(Debug)]
pub struct StoredFile {
    /// What it is.
    pub stored: Stored,
    file: io::Take<File>,
}

impl Read for StoredFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Storage {
    /// Opens the folder, creating it if it does not exist, removes what interrupted uploads left and counts what is
    /// stored.
    ///
    /// # Errors
    /// [`StorageError::InUse`], [`StorageError::NotPermitted`], [`StorageError::Io`].
    pub fn open(name: Name, folder: &Path, quota: u64) -> Result<Self, StorageError> {
        let at = |what: &'static str| move |error: io::Error| StorageError::io(what, &error);
        fs::create_dir_all(folder).map_err(at("creating the folder"))?;
        let path = folder.canonicalize().map_err(at("opening the folder"))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root =
            rustix::fs::open(&path, flags, Mode::empty()).map_err(|error| at("opening the folder")(error.into()))?;
        match rustix::fs::mkdirat(&root, INCOMING, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(StorageError::io("creating the folder for uploads", &error.into())),
        }
        let incoming = rustix::fs::openat(&root, INCOMING, flags, Mode::empty())
            .map_err(|error| at("opening the folder for uploads")(error.into()))?;
        match rustix::fs::flock(&incoming, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(StorageError::InUse(path)),
            Err(error) => return Err(StorageError::io("locking the folder", &error.into())),
        }
        let mut description = with(
            ResourceDescription::sensor(name, unit("B")),
            [("quantity", words("storage-used")), ("quota", count(quota))],
        );
        description.kind = ResourceKind::Storage;
        description.writable = true;
        description.sharing = Sharing::Shared;
        let inner = Inner {
            description,
            path,
            root,
            incoming,
            quota,
            books: Mutex::default(),
            tree: Mutex::default(),
            changes: Signal::new(),
        };
        inner.clean().map_err(at("removing what interrupted uploads left"))?;
        inner.count().map_err(at("counting what is stored"))?;
        Ok(Self(Arc::new(inner)))
    }

    /// Begins an upload that is given its bytes piece by piece. If `len` is known, all of it is booked at once, and
    /// the upload must turn out to be exactly that long.
    ///
    /// # Errors
    /// [`StorageError::OverQuota`], [`StorageError::TooManyFiles`], [`StorageError::TooManyUploads`],
    /// [`StorageError::DiskFull`], [`StorageError::Io`].
    pub fn begin(&self, path: StoragePath, len: Option<u64>) -> Result<Upload, StorageError> {
        Upload::begin(self.0.clone(), path, len)
    }

    /// Stores all that `from` gives, replacing what was there.
    ///
    /// # Errors
    /// Those of [`Storage::begin`] and [`Upload::finish`], and [`StorageError::Sender`] if `from` fails. Then what was
    /// there before stays.
    pub fn put(&self, path: StoragePath, len: Option<u64>, from: &mut dyn Read) -> Result<Stored, StorageError> {
        let mut upload = self.begin(path, len)?;
        let mut chunk = vec![0; 64 * 1024];
        loop {
            match from.read(&mut chunk) {
                Ok(0) => return upload.finish(),
                Ok(len) => upload.write(chunk.get(..len).unwrap_or_default())?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StorageError::Sender(error.to_string())),
            }
        }
    }

    /// Opens a stored file.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::IsAFolder`], [`StorageError::NotAFile`], [`StorageError::Io`].
    pub fn get(&self, path: &StoragePath) -> Result<StoredFile, StorageError> {
        // A pipe with no writer would hold an open without NONBLOCK for ever.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = beneath::open(&self.0.root, path.as_str(), flags).map_err(|error| match error {
            Errno::NOENT | Errno::NOTDIR => StorageError::NotFound(path.clone()),
            Errno::LOOP | Errno::NXIO => StorageError::NotAFile(path.clone()),
            error => StorageError::io("opening the file", &error.into()),
        })?;
        let stat = rustix::fs::fstat(&file).map_err(|error| StorageError::io("opening the file", &error.into()))?;
        let stored = stored(path.clone(), &stat)?;
        let file = File::from(file).take(stored.size);
        Ok(StoredFile { stored, file })
    }

    /// Deletes a stored file, and the folders that it leaves empty. Returns what it was.
    ///
    /// # Errors
    /// [`StorageError::NotFound`], [`StorageError::IsAFolder`], [`StorageError::NotAFile`], [`StorageError::Io`].
    pub fn delete(&self, path: &StoragePath) -> Result<Stored, StorageError> {
        let gone = self.0.delete(path)?;
        self.0.changes.raise();
        Ok(gone)
    }

    /// Files whose paths begin with `prefix`, in byte order, those after `after` only, at most `limit` (and at most
    /// [`MAX_PAGE`]) of them.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page, StorageError> {
        listing::page(&self.0.root, prefix, after, limit).map_err(|error| StorageError::io("listing the files", &error))
    }

    /// How full it is.
    pub fn usage(&self) -> Usage {
        let books = self.0.books();
        Usage { used: books.stored, arriving: books.arriving, quota: self.0.quota, files: books.files }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.0.path
    }
}

impl Inner {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes what interrupted uploads left. Only uploads are ever put there, so only files are looked for.
    fn clean(&self) -> io::Result<()> {
        let folder = rustix::fs::Dir::read_from(&self.incoming)?;
        for entry in folder {
            let entry = entry?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                rustix::fs::unlinkat(&self.incoming, entry.file_name(), AtFlags::empty())?;
            }
        }
        Ok(())
    }

    fn count(&self) -> io::Result<()> {
        let mut books = self.books();
        (books.stored, books.files) = (0, 0);
        listing::walk(&self.root, "", None, &mut |_, stat| {
            books.stored = books.stored.saturating_add(size(stat));
            books.files += 1;
            true
        })
    }

    fn delete(&self, path: &StoragePath) -> Result<Stored, StorageError> {
        let _held = self.tree.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = |error: Errno| match error {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP => StorageError::NotFound(path.clone()),
            error => StorageError::io("deleting the file", &error.into()),
        };
        let (parent, file) = path.split();
        let folder = beneath::open_folder(&self.root, parent).map_err(failed)?;
        let stat = rustix::fs::statat(&folder, file, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        let gone = stored(path.clone(), &stat)?;
        rustix::fs::unlinkat(&folder, file, AtFlags::empty()).map_err(failed)?;
        {
            let mut books = self.books();
            books.stored = books.stored.saturating_sub(gone.size);
            books.files = books.files.saturating_sub(1);
        }
        rustix::fs::fsync(&folder).map_err(failed)?;
        beneath::remove_empty(&self.root, parent);
        Ok(gone)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Closing alone would not do: a child that was just forked holds the same lock until it executes its program.
        if let Err(error) = rustix::fs::flock(&self.incoming, FlockOperation::Unlock) {
            tracing::warn!(%error, folder = %self.path.display(), "the folder was not unlocked");
        }
    }
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

/// What the kernel says about a file, if it is one.
fn stored(path: StoragePath, stat: &Stat) -> Result<Stored, StorageError> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(Stored { path, size: size(stat), modified: modified(stat) }),
        FileType::Directory => Err(StorageError::IsAFolder(path)),
        _ => Err(StorageError::NotAFile(path)),
    }
}

#[allow(
    clippy::useless_conversion,
    clippy::unnecessary_fallible_conversions,
    reason = "the fields' types differ between architectures"
)]
fn modified(stat: &Stat) -> WallTime {
    let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
    let nanos = u64::try_from(stat.st_mtime_nsec).unwrap_or(0);
    WallTime::from_unix_millis(seconds.saturating_mul(1000).saturating_add(nanos / 1_000_000))
}

impl Driver for Storage {
    fn description(&self) -> ResourceDescription {
        self.0.description.clone()
    }

    /// The bytes that are stored.
    fn read(&self) -> Result<Value, DriverError> {
        Ok(count(self.usage().used))
    }

    /// Takes no values: files are stored with [`Storage::put`].
    fn write(&self, value: &Value) -> Result<(), DriverError> {
        Err(DriverError::WrongType { takes: "files, each under a path", given: value.word() })
    }

    fn refresh_every(&self) -> Option<Duration> {
        None
    }

    fn changes(&self) -> Option<&Signal> {
        Some(&self.0.changes)
    }

    fn origin(&self) -> Option<&Path> {
        Some(&self.0.path)
    }

    fn storage(&self) -> Option<&Storage> {
        Some(self)
    }
}
