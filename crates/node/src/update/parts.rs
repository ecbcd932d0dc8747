//! The storage that an image comes to in parts, and the parts read as one.

use std::{
    io::{self, Read},
    path::Path,
    time::Duration,
};

use tutti_model::{AccessPolicy, Audience, Name, ResourceDescription, Value};
use tutti_resources::{
    Driver, DriverError, Signal, Storage,
    storage::{StorageError, StoragePath, StoredFile},
};

use super::PARTS;

/// The most bytes of parts; an image of a device is smaller by far.
const QUOTA: u64 = 1 << 30;

/// The most parts of an image.
pub(super) const MAX_PARTS: u32 = 4096;

/// The storage, for owners only.
#[derive(Clone)]
pub(super) struct Parts(Storage);

impl Parts {
    pub(super) fn open(folder: &Path) -> Result<Self, StorageError> {
        Ok(Self(Storage::open(Name::new(PARTS).expect("it is a name"), folder, QUOTA)?))
    }

    /// The parts of an image, as one.
    pub(super) fn image(&self, name: &str, count: u32) -> Image {
        Image { storage: self.0.clone(), name: name.to_owned(), count, next: 0, open: None }
    }

    /// Removes everything: what was installed, and what nobody came back for.
    pub(super) fn clear(&self) {
        while let Ok(page) = self.0.list("", None, 1000) {
            let removed = page.files.iter().filter(|file| self.0.delete(&file.path).is_ok()).count();
            if removed == 0 {
                return;
            }
        }
    }
}

impl Driver for Parts {
    fn description(&self) -> ResourceDescription {
        let access = AccessPolicy { read: Audience::Owners, control: Audience::Owners };
        ResourceDescription { access, ..self.0.description() }
    }
    fn read(&self) -> Result<Value, DriverError> {
        self.0.read()
    }
    fn write(&self, value: &Value) -> Result<(), DriverError> {
        self.0.write(value)
    }
    fn refresh_every(&self) -> Option<Duration> {
        self.0.refresh_every()
    }
    fn changes(&self) -> Option<&Signal> {
        self.0.changes()
    }
    fn origin(&self) -> Option<&Path> {
        self.0.origin()
    }
    fn storage(&self) -> Option<&Storage> {
        Some(&self.0)
    }
}

/// The parts of an image, read one after the other.
pub(super) struct Image {
    storage: Storage,
    name: String,
    count: u32,
    next: u32,
    open: Option<StoredFile>,
}

impl Read for Image {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // Nothing read means the end of a part only where something was asked for.
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if let Some(part) = &mut self.open {
                match part.read(buffer)? {
                    0 => self.open = None,
                    len => return Ok(len),
                }
            }
            if self.next == self.count {
                return Ok(0);
            }
            let path = format!("{}/{:05}", self.name, self.next);
            let path = StoragePath::new(&path).map_err(|error| io::Error::other(format!("{path}: {error}")))?;
            let part =
                self.storage.get(&path).map_err(|error| io::Error::other(format!("part {}: {error}", self.next)))?;
            self.open = Some(part);
            self.next += 1;
        }
    }
}
