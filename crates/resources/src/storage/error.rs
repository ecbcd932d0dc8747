//! How a storage fails.

use std::{fmt, io, path::PathBuf};

use rustix::io::Errno;

use super::{MAX_FILES, MAX_UPLOADS, PathError, StoragePath};

/// Why a storage did not do what it was asked to. What was stored before stays as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageError {
    /// The path is none that a storage takes.
    BadPath(PathError),
    /// There is no file at this path.
    NotFound(StoragePath),
    /// There is a folder at this path.
    IsAFolder(StoragePath),
    /// There is a link, a pipe or a device at this path; none is ever followed or opened.
    NotAFile(StoragePath),
    /// Something on the way to this path is a file.
    NotAFolder(StoragePath),
    /// It does not fit.
    OverQuota {
        /// Bytes that were to be booked.
        wanted: u64,
        /// Bytes that are free, uploads under way included.
        free: u64,
        /// Bytes that the storage may hold.
        quota: u64,
    },
    /// The disk below the storage is full.
    DiskFull,
    /// The storage holds as many files as it may.
    TooManyFiles,
    /// As many uploads as may be are under way.
    TooManyUploads,
    /// The upload was not as long as was said before.
    WrongLength {
        /// What was said.
        declared: u64,
        /// What came, as far as it was taken.
        came: u64,
    },
    /// Whoever sends the file failed.
    Sender(String),
    /// Another process has the folder.
    InUse(PathBuf),
    /// The user that this program runs as may not do this in the folder.
    NotPermitted(&'static str),
    /// The operating system failed.
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the operating system says.
        why: String,
    },
}

impl StorageError {
    pub(super) fn io(doing: &'static str, error: &io::Error) -> Self {
        match error.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::NOSPC | Errno::DQUOT) => Self::DiskFull,
            Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Self::NotPermitted(doing),
            _ => Self::Io { doing, why: error.to_string() },
        }
    }
}

impl From<PathError> for StorageError {
    fn from(error: PathError) -> Self {
        Self::BadPath(error)
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadPath(error) => error.fmt(f),
            Self::NotFound(path) => write!(f, "there is no file {path} in this storage"),
            Self::IsAFolder(path) => write!(f, "{path} is a folder; name a file in it"),
            Self::NotAFile(path) => write!(f, "{path} is not a plain file; links and devices are not followed"),
            Self::NotAFolder(path) => {
                write!(f, "{path} cannot be stored: one of its folders is the name of a file; choose another path")
            }
            Self::OverQuota { wanted, free, quota } => write!(
                f,
                "it does not fit: {wanted} more bytes are needed and {free} of {quota} are free (a file that is \
                 replaced counts until the new one is complete); delete something first"
            ),
            Self::DiskFull => f.write_str("the disk below this storage is full; make room on it"),
            Self::TooManyFiles => write!(f, "the storage holds {MAX_FILES} files, the most it may; delete some first"),
            Self::TooManyUploads => write!(f, "{MAX_UPLOADS} uploads are under way, the most there may be; try later"),
            Self::WrongLength { declared, came } => {
                write!(f, "the file was said to have {declared} bytes but {came} came; send it again")
            }
            Self::Sender(why) => write!(f, "the file did not arrive: {why}; send it again"),
            Self::InUse(path) => {
                write!(f, "another process uses {}; stop it or choose another folder", path.display())
            }
            Self::NotPermitted(doing) => {
                write!(f, "{doing} is not permitted; give this program's user the right to the folder")
            }
            Self::Io { doing, why } => write!(f, "{doing} failed: {why}"),
        }
    }
}

impl std::error::Error for StorageError {}
