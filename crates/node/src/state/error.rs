//! Why a state folder cannot be used, and why a save failed: what happened, why, and what to do next.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

/// Why a state folder cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process uses it.
    Locked {
        /// The folder.
        folder: PathBuf,
        /// That process, if it said.
        pid: Option<u32>,
    },
    /// A newer version of the software wrote it. Nothing was touched.
    Newer {
        /// The folder.
        folder: PathBuf,
        /// Its version.
        found: u32,
    },
    /// What is in it is damaged. Nothing was touched.
    Corrupt {
        /// The damaged file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file system is full.
    Full {
        /// The folder.
        folder: PathBuf,
    },
    /// The operating system said no.
    Io {
        /// What was tried: "create", "write", …
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What it said.
        why: String,
    },
}

impl OpenError {
    pub(crate) fn io(path: &Path, doing: &'static str, error: &io::Error) -> Self {
        if is_full(error) {
            let folder = path.parent().filter(|_| !path.is_dir()).unwrap_or(path);
            return Self::Full { folder: folder.to_path_buf() };
        }
        Self::Io { doing, path: path.to_path_buf(), why: error.to_string() }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Locked { .. } => "stop that process first, or choose another folder with --state".into(),
            Self::Newer { .. } => {
                "install the newer version again, or choose another folder with --state; nothing was changed".into()
            }
            Self::Corrupt { file, .. } => format!(
                "restore {} from a backup; or start with --reset-corrupt, which moves the damaged file aside and \
                 begins anew: the device keeps its key but forgets its group",
                file.display()
            ),
            Self::Full { .. } => "make room on that file system and start again; nothing was lost".into(),
            Self::Io { .. } => {
                "check that the folder exists and that this user may write to it, or choose another with --state".into()
            }
        }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { folder, pid: Some(pid) } => {
                write!(f, "the state folder {} is used by another process, {pid}", folder.display())
            }
            Self::Locked { folder, pid: None } => {
                write!(f, "the state folder {} is used by another process", folder.display())
            }
            Self::Newer { folder, found } => write!(
                f,
                "the state folder {} was written by a newer version of Tutti (format {found}, this one knows {})",
                folder.display(),
                super::FORMAT
            ),
            Self::Corrupt { file, why } => write!(f, "{} is damaged: {why}", file.display()),
            Self::Full { folder } => write!(f, "the file system that holds {} is full", folder.display()),
            Self::Io { doing, path, why } => write!(f, "cannot {doing} {}: {why}", path.display()),
        }
    }
}

impl std::error::Error for OpenError {}

/// Why something could not be saved or loaded. What was saved before is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SaveError {
    /// The file system is full.
    Full,
    /// The database is damaged.
    Corrupt(String),
    /// The operating system said no.
    Io(String),
    /// The state was closed: the device shuts down.
    Closed,
}

impl fmt::Display for SaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("nothing can be saved: the file system that holds the state folder is full"),
            Self::Corrupt(why) => write!(f, "the database in the state folder is damaged: {why}"),
            Self::Io(why) => write!(f, "the state folder cannot be read or written: {why}"),
            Self::Closed => f.write_str("this device is shutting down"),
        }
    }
}

impl std::error::Error for SaveError {}

/// Full disk, or no quota left.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
