//! The database file: opened, checked, begun anew, moved aside.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use redb::{
    Builder, Database, DatabaseError, Error, ReadableDatabase, StorageError, TableDefinition, backends::FileBackend,
};

use super::{FORMAT, OpenError, Reset, SaveError, Table, error::is_full, folder};

/// Its name in the state folder.
pub(super) const FILE: &str = "state.redb";

/// How much of the file is kept in memory. The default would be 1 GiB.
const CACHE: usize = 4 << 20;

const META: TableDefinition<'static, &str, u32> = TableDefinition::new("meta");
const VERSION: &str = "format";

impl Table {
    pub(super) const fn definition(self) -> TableDefinition<'static, &'static str, &'static [u8]> {
        TableDefinition::new(match self {
            Self::Fabric => "fabric",
            Self::Pool => "pool",
            Self::Settings => "settings",
        })
    }
}

/// Where databases are kept. The tests put a small disk here.
pub(super) trait Medium: Send {
    /// Opens the database at `path`, which is made (0600) if `create`.
    fn open(&self, builder: &Builder, path: &Path, create: bool) -> Result<Database, DatabaseError>;
}

/// The file system.
pub(super) struct Files;

impl Medium for Files {
    fn open(&self, builder: &Builder, path: &Path, create: bool) -> Result<Database, DatabaseError> {
        builder.create_with_backend(open_file(path, create)?)
    }
}

pub(super) fn open_file(path: &Path, create: bool) -> Result<FileBackend, DatabaseError> {
    let file = OpenOptions::new().read(true).write(true).create_new(create).mode(0o600).open(path);
    FileBackend::new(file.map_err(StorageError::from)?)
}

/// Opens the database of a folder that is locked and of a known version, or begins a new one.
pub(super) fn open(folder: &Path, reset: Reset, medium: &dyn Medium) -> Result<Database, OpenError> {
    let path = folder.join(FILE);
    let exists = path.try_exists().map_err(|error| OpenError::io(&path, "open", &error))?;
    if !exists {
        return create(folder, medium);
    }
    match open_existing(&path, medium) {
        Err(OpenError::Corrupt { .. }) if reset == Reset::IfDamaged => begin_anew(folder, medium),
        other => other,
    }
}

/// Moves the database aside and begins a new one.
pub(super) fn begin_anew(folder: &Path, medium: &dyn Medium) -> Result<Database, OpenError> {
    let path = folder.join(FILE);
    let aside = free_name(&path);
    fs::rename(&path, &aside).map_err(|error| OpenError::io(&path, "move aside", &error))?;
    tracing::warn!(file = %aside.display(), "the database was moved aside; a new one is begun");
    create(folder, medium)
}

/// Opens the database again after a failed commit: `redb` lets nothing more be written until then.
pub(super) fn reopen(folder: &Path, medium: &dyn Medium) -> Result<Database, OpenError> {
    open_existing(&folder.join(FILE), medium)
}

/// A new database is complete before it gets its name, so that a crash leaves none rather than half of one.
fn create(folder: &Path, medium: &dyn Medium) -> Result<Database, OpenError> {
    let (temporary, path) = (folder.join(format!("{FILE}.new")), folder.join(FILE));
    let failed = |error: Error| explain(&path, error);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(OpenError::io(&temporary, "remove", &error));
        }
        _ => {}
    }
    let begin = || -> Result<(), Error> {
        let database = medium.open(&builder(), &temporary, true)?;
        let transaction = database.begin_write()?;
        transaction.open_table(META)?.insert(VERSION, FORMAT)?;
        for table in [Table::Fabric, Table::Pool, Table::Settings] {
            transaction.open_table(table.definition())?;
        }
        transaction.commit()?;
        database.close()?;
        Ok(())
    };
    if let Err(error) = begin() {
        let _ = fs::remove_file(&temporary);
        return Err(failed(error));
    }
    fs::rename(&temporary, &path)
        .and_then(|()| folder::sync_folder(folder))
        .map_err(|error| OpenError::io(&path, "create", &error))?;
    open_existing(&path, medium)
}

fn open_existing(path: &Path, medium: &dyn Medium) -> Result<Database, OpenError> {
    // `redb` would take an empty file for a new database; ours get their name when they are complete.
    if fs::metadata(path).map_err(|error| OpenError::io(path, "open", &error))?.len() == 0 {
        return Err(OpenError::Corrupt { file: path.to_path_buf(), why: "it is empty".into() });
    }
    let attempt = || -> Result<(Database, Option<u32>), Error> {
        let database = medium.open(&builder(), path, false)?;
        let version = {
            let transaction = database.begin_read()?;
            let table = transaction.open_table(META)?;
            table.get(VERSION)?.map(|version| version.value())
        };
        for table in [Table::Fabric, Table::Pool, Table::Settings] {
            database.begin_read()?.open_table(table.definition())?;
        }
        Ok((database, version))
    };
    // Some damage trips assertions inside `redb` in debug builds, where a release returns an error.
    let opened = catch_unwind(AssertUnwindSafe(attempt))
        .unwrap_or_else(|_| Err(Error::Corrupted("what it says about itself is contradictory".into())));
    match opened.map_err(|error| explain(path, error))? {
        (database, Some(1..=FORMAT)) => Ok(database),
        (_, Some(found)) if found > FORMAT => {
            let folder = path.parent().unwrap_or(path).to_path_buf();
            Err(OpenError::Newer { folder, found })
        }
        _ => Err(OpenError::Corrupt { file: path.to_path_buf(), why: "it does not say its version".into() }),
    }
}

/// Every page's checksum is verified: the file is small, and damage is to be found now rather than in use.
fn builder() -> Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    builder
}

fn free_name(path: &Path) -> PathBuf {
    (1u32..)
        .map(|n| path.with_extension(format!("redb.aside-{n}")))
        .find(|candidate| !candidate.exists())
        .unwrap_or_else(|| path.with_extension("redb.aside"))
}

fn explain(path: &Path, error: Error) -> OpenError {
    let corrupt = |why: String| OpenError::Corrupt { file: path.to_path_buf(), why };
    match error {
        Error::Io(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
            corrupt(if error.kind() == io::ErrorKind::InvalidData {
                "it is not a database".into()
            } else {
                "it is cut off".into()
            })
        }
        Error::Io(error) => OpenError::io(path, "open", &error),
        Error::DatabaseAlreadyOpen => {
            OpenError::Locked { folder: path.parent().unwrap_or(path).to_path_buf(), pid: None }
        }
        Error::Corrupted(why) => corrupt(why),
        other => corrupt(other.to_string()),
    }
}

/// Why a transaction failed.
pub(super) fn why(error: Error) -> SaveError {
    match error {
        Error::Io(error) if is_full(&error) => SaveError::Full,
        Error::Io(error) => SaveError::Io(error.to_string()),
        Error::Corrupted(why) => SaveError::Corrupt(why),
        other => SaveError::Io(other.to_string()),
    }
}
