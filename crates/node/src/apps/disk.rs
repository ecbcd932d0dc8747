//! What of an instance is on the disk: its record, replaced whole, and the journal that the record names.
//!
//! ```text
//! STATE/apps/instances/ID/
//!   record         where it stands (`tutti_app::handover::Record`), of which package it is, which journal is its state
//!   state-N        its state: see `journal`
//!   log, log.old   what it wrote
//! ```
//!
//! Whatever moment a process is killed at, the record names a journal that is whole: a new journal is durable before the record that names
//! it, and the old one is removed after.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tutti_app::{handover::Record, ids::InstanceId};
use tutti_model::{
    Name,
    section::{SectionWriter, Sections, Tag},
};

use crate::state::write_file;

const SAVED: Tag = Tag(0x0660);
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

impl Saved {
    /// Of an instance that was never here, but was heard of.
    pub(crate) fn nothing() -> Self {
        let app = Name::new("unknown").expect("it is a name");
        Self { record: None, package: [0; 32], app, version: String::new(), journal: None, stopped: false }
    }

    fn emit(&self) -> io::Result<Vec<u8>> {
        let record = self.record.as_ref().map(Record::save).transpose().map_err(io::Error::other)?;
        let Self { package, journal, stopped, .. } = *self;
        let body = SavedV1 { record, package, app: self.app, version: self.version.clone(), journal, stopped };
        let mut writer = SectionWriter::new();
        writer.push(SAVED, 1, &body).map_err(io::Error::other)?;
        Ok(writer.finish())
    }

    fn parse(bytes: &[u8]) -> io::Result<Self> {
        let sections = Sections::new_checked(bytes).map_err(damaged)?;
        let body: SavedV1 = sections.one(SAVED).and_then(|section| section.decode()).map_err(damaged)?;
        let record = body.record.map(|record| Record::restore(&record)).transpose().map_err(damaged)?;
        let SavedV1 { package, app, version, journal, stopped, .. } = body;
        Ok(Self { record, package, app, version, journal, stopped })
    }
}

/// The folder of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// The folder of this instance in that of all. Not made before something is saved in it.
    pub(crate) fn new(all: &Path, instance: InstanceId) -> Self {
        Self(all.join(instance.to_string()))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What was saved; none if nothing was.
    pub(crate) fn load(&self) -> io::Result<Option<Saved>> {
        match fs::read(self.0.join(RECORD)) {
            Ok(bytes) => Saved::parse(&bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the folder, if it is not there.
    pub(crate) fn make(&self) -> io::Result<()> {
        fs::create_dir_all(&self.0)
    }

    /// Saves; it is on the disk when this returns.
    pub(crate) fn save(&self, saved: &Saved) -> io::Result<()> {
        self.make()?;
        write_file(&self.0, RECORD, &saved.emit()?)
    }

    /// The place of a journal.
    pub(crate) fn journal(&self, number: u64) -> PathBuf {
        self.0.join(format!("state-{number:016x}"))
    }

    /// Removes all journals but this one.
    pub(crate) fn sweep(&self, keep: Option<u64>) {
        let keep = keep.map(|number| self.journal(number));
        let Ok(entries) = fs::read_dir(&self.0) else { return };
        for entry in entries.flatten() {
            let is_journal = entry.file_name().to_string_lossy().starts_with("state-");
            if is_journal && keep.as_deref() != Some(&entry.path()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// Removes everything, if nothing was saved.
    pub(crate) fn remove_if_unused(&self) {
        if !self.0.join(RECORD).exists() {
            let _ = fs::remove_dir_all(&self.0);
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
        let epoch = Epoch::first(DeviceId::from_bytes([1; 32]));
        let saved = Saved {
            record: Some(Record { standing: Standing::Home { epoch }, claim: None }),
            package: [7; 32],
            app: Name::new("thermo").unwrap(),
            version: "0.1.0".into(),
            journal: Some(9),
            stopped: true,
        };
        folder.save(&saved).unwrap();
        assert_eq!(folder.load().unwrap(), Some(saved));
        assert_eq!(all(all_of.path()), [id]);
        for number in [9, 10] {
            fs::write(folder.journal(number), b"x").unwrap();
        }
        folder.sweep(Some(9));
        assert!(folder.journal(9).exists() && !folder.journal(10).exists());
        let path = folder.path().join(RECORD);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert_eq!(folder.load().unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
