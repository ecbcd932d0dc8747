//! What a device remembers: one folder, locked by one process, holding one crash-safe database.
//!
//! ```text
//! STATE/             0700
//!   lock             flock held while a process uses the folder; holds its process id
//!   format           the version of what is in the folder, readable without opening the database
//!   state.redb       fabric, pool, settings
//!   identity, …      the other rooms' own files
//! ```
//!
//! # Promises
//! - A save is on disk when it returns; saves that wait at the same time share one commit (`writer`).
//! - The process may be killed at any instant: what was acknowledged is there at the next start, what was not is
//!   there whole or not at all. A database is born under another name and renamed when it is complete.
//! - A folder of a newer version is refused before anything in it is touched.
//! - A damaged database is refused; it is moved aside, never deleted, and only when asked to.
//! - A full disk fails saves, and says so; what was saved can still be loaded, and the first save after room was
//!   made works again.
//! - Two processes never share a folder: the second is told the first one's process id.

mod database;
mod error;
mod folder;
mod list;
mod writer;

pub use error::{OpenError, SaveError};
pub use folder::Lock;
pub(crate) use folder::write_new as write_file;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::JoinHandle,
};

use crate::lock::lock;

use self::{
    database::{Files, Medium},
    writer::{Job, QUEUE},
};

/// The version of the folder that this build reads and writes.
pub const FORMAT: u32 = 1;

/// Which room a key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// The trust group, known addresses.
    Fabric,
    /// Sequence numbers, fencing tokens, granted leases.
    Pool,
    /// What the user chose: the name.
    Settings,
}

/// What becomes of a damaged database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// It is refused.
    Never,
    /// It is moved aside and a new one begun.
    IfDamaged,
}

/// A device's durable state. Clones share it; it is closed when [`State::close`] is called or the last one drops.
#[derive(Clone)]
pub struct State {
    shared: Arc<Shared>,
}

struct Shared {
    folder: PathBuf,
    jobs: mpsc::SyncSender<Job>,
    thread: Mutex<Option<JoinHandle<()>>>,
    _lock: Lock,
}

impl State {
    /// Opens the folder, making it if it is not there.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(folder: &Path, reset: Reset) -> Result<Self, OpenError> {
        Self::open_on(folder, reset, Box::new(Files))
    }

    fn open_on(folder: &Path, reset: Reset, medium: Box<dyn Medium>) -> Result<Self, OpenError> {
        folder::create(folder)?;
        let lock = Lock::take(folder)?;
        folder::check_format(folder)?;
        let database = database::open(folder, reset, medium.as_ref())?;
        let (jobs, queue) = mpsc::sync_channel(QUEUE);
        let path = folder.to_path_buf();
        let thread = std::thread::Builder::new()
            .name("state".into())
            .stack_size(512 * 1024)
            .spawn(move || writer::run(&path, medium.as_ref(), database, &queue))
            .map_err(|error| OpenError::io(folder, "start the thread for", &error))?;
        let thread = Mutex::new(Some(thread));
        Ok(Self { shared: Arc::new(Shared { folder: folder.to_path_buf(), jobs, thread, _lock: lock }) })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.shared.folder
    }

    /// The bytes saved under a key. Blocks.
    pub fn load(&self, table: Table, key: &str) -> Result<Option<Vec<u8>>, SaveError> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.send(Job::Load { table, key: key.into(), reply })?;
        answer.recv().map_err(|_| SaveError::Closed)?
    }

    /// Saves bytes under a key; they are on disk when this returns. Blocks.
    pub fn save(&self, table: Table, key: &str, bytes: &[u8]) -> Result<(), SaveError> {
        self.write(table, key, Some(bytes.to_vec()))
    }

    /// Removes a key, just as durably. Blocks.
    pub fn remove(&self, table: Table, key: &str) -> Result<(), SaveError> {
        self.write(table, key, None)
    }

    /// Moves the database aside, sound as it may be, and begins a new one: what it says is of no use to a device that
    /// has another key now. Blocks.
    pub fn begin_anew(&self) -> Result<(), OpenError> {
        let closed = || OpenError::Io {
            doing: "begin anew in",
            path: self.shared.folder.clone(),
            why: SaveError::Closed.to_string(),
        };
        let (reply, answer) = mpsc::sync_channel(1);
        self.send(Job::BeginAnew { reply }).map_err(|_| closed())?;
        answer.recv().map_err(|_| closed())?
    }

    /// Waits for what is being saved, closes the database and gives the folder back. Later saves fail. Blocks.
    pub fn close(&self) {
        let thread = lock(&self.shared.thread).take();
        if let Some(thread) = thread {
            let _ = self.shared.jobs.send(Job::Close);
            let _ = thread.join();
        }
    }

    fn write(&self, table: Table, key: &str, value: Option<Vec<u8>>) -> Result<(), SaveError> {
        let (reply, answer) = mpsc::sync_channel(1);
        self.send(Job::Write { table, key: key.into(), value, reply })?;
        answer.recv().map_err(|_| SaveError::Closed)?
    }

    fn send(&self, job: Job) -> Result<(), SaveError> {
        self.shared.jobs.send(job).map_err(|_| SaveError::Closed)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = self.jobs.send(Job::Close);
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
