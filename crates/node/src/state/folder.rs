//! The folder itself: its mode, its lock, its version.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use super::{FORMAT, OpenError};

const LOCK: &str = "lock";
const FORMAT_FILE: &str = "format";

/// Makes the folder (0700) and those above it, if they are not there.
pub(super) fn create(folder: &Path) -> Result<(), OpenError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| OpenError::io(folder, "create the state folder", &error))
}

/// The right to use a folder, held until dropped; the kernel drops it when the process dies, however it dies.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock and leaves this process's id in it.
    pub fn take(folder: &Path) -> Result<Self, OpenError> {
        let path = folder.join(LOCK);
        let failed = |doing| move |error: io::Error| OpenError::io(&folder.join(LOCK), doing, &error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = Read::by_ref(&mut file).take(32).read_to_string(&mut text);
                return Err(OpenError::Locked { folder: folder.to_path_buf(), pid: text.trim().parse().ok() });
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock")(error)),
        }
        // The id is for people. On a full disk the lock works without it.
        let _ = file.set_len(0).and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
        Ok(Self { _file: file })
    }
}

/// Refuses a folder of another version before anything is touched; marks a new one.
///
/// A later version raises this number *before* it changes anything, and the one in the database together with the
/// change, so that whatever moment it is interrupted at, an older version keeps out and a later one knows.
pub(super) fn check_format(folder: &Path) -> Result<(), OpenError> {
    let path = folder.join(FORMAT_FILE);
    match fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse::<u32>() {
            Ok(found) if found > FORMAT => Err(OpenError::Newer { folder: folder.to_path_buf(), found }),
            Ok(1..) => Ok(()),
            Ok(0) | Err(_) => Err(OpenError::Corrupt {
                file: path,
                why: "it should hold the version of this folder, a whole number from 1".into(),
            }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write_new(folder, FORMAT_FILE, format!("{FORMAT}\n").as_bytes())
                .map_err(|error| OpenError::io(&path, "write", &error))
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(OpenError::Corrupt { file: path, why: "it is not text".into() })
        }
        Err(error) => Err(OpenError::io(&path, "read", &error)),
    }
}

/// Writes a file (0600) that appears whole or not at all, replacing the one of that name; durable when it returns.
pub(crate) fn write_new(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let (temporary, path) = (folder.join(format!("{name}.new")), folder.join(name));
    let _ = fs::remove_file(&temporary);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&temporary, &path));
    if let Err(error) = written {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    sync_folder(folder)
}

/// Makes renames and new names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
