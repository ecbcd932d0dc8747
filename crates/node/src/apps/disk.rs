//! What of an instance is on the disk: its record, replaced whole, and the journal that the record names.
//!
//! ```text
//! STATE/apps/instances/ID/
//!   record         see `slots`: where it stands (`tutti_app::handover::Record`), its run-leases (`tutti_app::standby::Record`), of which package it is, which journal is
//!                  its state, and which one a replica of it, if this device is its standby
//!   state-N        its state, or the replica: see `journal`
//!   log, log.old   what it wrote
//! ```
//!
//! Whatever moment a process is killed at, the record names a journal that is whole: a new journal is durable before the record that names
//! it, and the old one is removed after.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Mutex,
};

use serde::{Deserialize, Serialize};
use tutti_app::{
    handover::Record,
    ids::InstanceId,
    package::Manifest,
    standby::{self, Mark},
};
use tutti_model::{
    Name,
    section::{SectionWriter, Sections, Tag},
};

use super::slots::{self, Slots};
use crate::lock::lock;

const SAVED: Tag = Tag(0x0660);
const REPLICA: Tag = Tag(0x0661);
/// As `tutti_app::standby::Record` has it.
const GUARD: Tag = Tag(0x0650);
const RECORD: &str = "record";

/// What is kept of an instance beside its state.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Saved {
    /// Where it stands; none before it was begun.
    pub(crate) record: Option<Record>,
    /// The digest of its package.
    pub(crate) package: [u8; 32],
    /// What its app is called.
    pub(crate) app: Name,
    /// In which version.
    pub(crate) version: String,
    /// Its journal; none if it has no state here.
    pub(crate) journal: Option<u64>,
    /// Somebody stopped it.
    pub(crate) stopped: bool,
    /// Its run-leases, at its home and at its standby.
    pub(crate) guard: Option<standby::Record>,
    /// What this device could go on with as its standby.
    pub(crate) replica: Option<Replica>,
}

/// The last checkpoint of an instance that this device is the standby of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Replica {
    /// Its journal, which may hold a step more than `mark` says.
    pub(crate) number: u64,
    /// Under which agreement.
    pub(crate) pact: u64,
    /// Up to where.
    pub(crate) mark: Mark,
    /// The digest of its package.
    pub(crate) package: [u8; 32],
    /// What its app is called.
    pub(crate) app: Name,
    /// In which version.
    pub(crate) version: String,
}

#[derive(Serialize, Deserialize)]
struct SavedV1 {
    record: Option<Vec<u8>>,
    package: [u8; 32],
    app: Name,
    version: String,
    journal: Option<u64>,
    stopped: bool,
}

fn damaged(what: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("its record is damaged: {what}"))
}

fn damaged_if_invalid(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::InvalidData { damaged(error) } else { error }
}

impl Saved {
    /// Of an instance of this package, to which nothing has happened yet.
    pub(crate) fn new(package: [u8; 32], manifest: &Manifest) -> Self {
        Self { package, app: manifest.name, version: manifest.version.to_string(), ..Self::nothing() }
    }

    /// Of an instance that was never here, but was heard of.
    pub(crate) fn nothing() -> Self {
        let app = Name::new("unknown").expect("it is a name");
        let (version, package) = (String::new(), [0; 32]);
        Self { record: None, package, app, version, journal: None, stopped: false, guard: None, replica: None }
    }

    fn emit(&self) -> io::Result<Vec<u8>> {
        let record = self.record.as_ref().map(Record::save).transpose().map_err(io::Error::other)?;
        let Self { package, journal, stopped, .. } = *self;
        let body = SavedV1 { record, package, app: self.app, version: self.version.clone(), journal, stopped };
        let mut writer = SectionWriter::new();
        writer.push(SAVED, 1, &body).map_err(io::Error::other)?;
        if let Some(replica) = &self.replica {
            writer.push(REPLICA, 1, replica).map_err(io::Error::other)?;
        }
        let mut bytes = writer.finish();
        if let Some(guard) = &self.guard {
            bytes.extend_from_slice(&guard.save().map_err(io::Error::other)?);
        }
        Ok(bytes)
    }

    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let sections = Sections::new_checked(bytes).map_err(damaged)?;
        let body: SavedV1 = sections.one(SAVED).and_then(|section| section.decode()).map_err(damaged)?;
        let record = body.record.map(|record| Record::restore(&record)).transpose().map_err(damaged)?;
        let SavedV1 { package, app, version, journal, stopped, .. } = body;
        let find = |tag| sections.iter().find(|section| section.tag == tag);
        let replica = find(REPLICA).map(|section| section.decode()).transpose().map_err(damaged)?;
        let guard = find(GUARD).map(|_| standby::Record::restore(bytes)).transpose().map_err(damaged)?;
        Ok(Self { record, package, app, version, journal, stopped, guard, replica })
    }
}

/// The folder of one instance.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    record: Mutex<Slots>,
}

impl Folder {
    /// The folder of this instance in that of all. Not made before something is saved in it.
    pub(crate) fn new(all: &Path, instance: InstanceId) -> Self {
        let path = all.join(instance.to_string());
        let record = Mutex::new(Slots::new(&path, RECORD));
        Self { path, record }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What was saved; none if nothing was.
    pub(crate) fn load(&self) -> io::Result<Option<Saved>> {
        slots::load(&self.path.join(RECORD)).map_err(damaged_if_invalid)?.map(|bytes| Saved::parse(&bytes)).transpose()
    }

    /// Makes the folder, if it is not there.
    pub(crate) fn make(&self) -> io::Result<()> {
        fs::create_dir_all(&self.path)
    }

    /// Saves; it is on the disk when this returns.
    pub(crate) fn save(&self, saved: &Saved) -> io::Result<()> {
        self.make()?;
        lock(&self.record).save(&saved.emit()?)
    }

    /// Makes the folder and sees to it that what is saved next is on the disk after one wait for it.
    pub(crate) fn ready(&self) -> io::Result<()> {
        self.make()?;
        lock(&self.record).ready()
    }

    /// The place of a journal.
    pub(crate) fn journal(&self, number: u64) -> PathBuf {
        self.path.join(format!("state-{number:016x}"))
    }

    /// Removes all journals but these.
    pub(crate) fn sweep(&self, keep: &[u64]) {
        let keep: Vec<_> = keep.iter().map(|number| self.journal(*number)).collect();
        let Ok(entries) = fs::read_dir(&self.path) else { return };
        for entry in entries.flatten() {
            let is_journal = entry.file_name().to_string_lossy().starts_with("state-");
            if is_journal && !keep.contains(&entry.path()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Removes everything, if nothing was saved.
    pub(crate) fn remove_if_unused(&self) {
        if matches!(self.load(), Ok(None)) {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// The instances that have a folder.
pub(crate) fn all(folder: &Path) -> Vec<InstanceId> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tutti_app::{handover::Standing, ids::Epoch};
    use tutti_model::DeviceId;

    #[test]
    fn records_read_back_and_damage_is_refused() {
        let all_of = tempfile::tempdir().unwrap();
        let id = InstanceId::from_bytes([3; 16]);
        let folder = Folder::new(all_of.path(), id);
        assert_eq!(folder.load().unwrap(), None);
        folder.ready().unwrap();
        assert_eq!(folder.load().unwrap(), None);
        let epoch = Epoch::first(DeviceId::from_bytes([1; 32]));
        let saved = Saved {
            record: Some(Record { standing: Standing::Home { epoch }, claim: None }),
            package: [7; 32],
            app: Name::new("thermo").unwrap(),
            version: "0.1.0".into(),
            journal: Some(9),
            stopped: true,
            guard: Some(standby::Record { pact: 3, ..standby::Record::default() }),
            replica: Some(Replica {
                number: 11,
                pact: 3,
                mark: Mark { epoch, saves: 5 },
                package: [7; 32],
                app: Name::new("thermo").unwrap(),
                version: "0.1.0".into(),
            }),
        };
        folder.save(&saved).unwrap();
        assert_eq!(folder.load().unwrap(), Some(saved));
        assert_eq!(all(all_of.path()), [id]);
        for number in [9, 10] {
            fs::write(folder.journal(number), b"x").unwrap();
        }
        folder.sweep(&[9]);
        assert!(folder.journal(9).exists() && !folder.journal(10).exists());
        let path = folder.path().join(RECORD);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..60]).unwrap();
        assert_eq!(folder.load().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
