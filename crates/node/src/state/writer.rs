//! The one thread that touches the database.
//!
//! Saves queue up while a commit is under way and then share the next one, so that many at a time cost little more
//! than one. After a failed commit the database is closed and opened again, since `redb` refuses to write before
//! that; a save is answered only when its commit is on disk.

use std::{path::Path, sync::mpsc};

use redb::{Database, Error, ReadableDatabase};

use super::{
    OpenError, SaveError, Table,
    database::{self, Medium},
};

/// How many saves and loads may wait; more of them wait outside.
pub(super) const QUEUE: usize = 64;

pub(super) type Answer<T> = mpsc::SyncSender<Result<T, SaveError>>;

pub(super) enum Job {
    Load { table: Table, key: String, reply: Answer<Option<Vec<u8>>> },
    Write { table: Table, key: String, value: Option<Vec<u8>>, reply: Answer<()> },
    BeginAnew { reply: mpsc::SyncSender<Result<(), OpenError>> },
    Close,
}

/// A write that waits for its commit.
struct Write {
    table: Table,
    key: String,
    value: Option<Vec<u8>>,
    reply: Answer<()>,
}

pub(super) fn run(folder: &Path, medium: &dyn Medium, database: Database, jobs: &mpsc::Receiver<Job>) {
    let mut current = Some(database);
    while let Ok(first) = jobs.recv() {
        let mut writes = Vec::new();
        let mut closing = false;
        for job in std::iter::once(first).chain(std::iter::from_fn(|| jobs.try_recv().ok()).take(QUEUE)) {
            match job {
                Job::Write { table, key, value, reply } => writes.push(Write { table, key, value, reply }),
                Job::Load { table, key, reply } => {
                    // In order: a load sees the saves that were asked for before it.
                    commit(&mut current, folder, medium, std::mem::take(&mut writes));
                    let _ = reply.send(attempt(&mut current, folder, medium, |database| load(database, table, &key)));
                }
                Job::BeginAnew { reply } => {
                    commit(&mut current, folder, medium, std::mem::take(&mut writes));
                    drop(current.take());
                    let begun = database::begin_anew(folder, medium).map(|database| current = Some(database));
                    let _ = reply.send(begun);
                }
                Job::Close => {
                    closing = true;
                    break;
                }
            }
        }
        commit(&mut current, folder, medium, writes);
        if closing {
            break;
        }
    }
    if let Some(database) = current
        && let Err(error) = database.close()
    {
        tracing::warn!(%error, "closing the database failed; what was saved is safe");
    }
}

fn commit(current: &mut Option<Database>, folder: &Path, medium: &dyn Medium, writes: Vec<Write>) {
    if writes.is_empty() {
        return;
    }
    let mut result = attempt(current, folder, medium, |database| store(database, &writes));
    if result.is_err() && writes.len() > 1 {
        // One of them may be too large for what room is left; the others need not fail with it.
        for write in &writes {
            let alone = std::slice::from_ref(write);
            let _ = write.reply.send(attempt(current, folder, medium, |database| store(database, alone)));
        }
        return;
    }
    if let Err(error) = &mut result {
        tracing::error!(%error, "a save failed");
    }
    for write in writes {
        let _ = write.reply.send(result.clone());
    }
}

/// Runs `work`; if it fails, the database is closed and opened again by the next who needs it.
fn attempt<T>(
    current: &mut Option<Database>,
    folder: &Path,
    medium: &dyn Medium,
    work: impl FnOnce(&Database) -> Result<T, Error>,
) -> Result<T, SaveError> {
    let database = match current.take() {
        Some(database) => database,
        None => database::reopen(folder, medium).map_err(|error| match error {
            OpenError::Full { .. } => SaveError::Full,
            OpenError::Corrupt { why, .. } => SaveError::Corrupt(why),
            other => SaveError::Io(other.to_string()),
        })?,
    };
    match work(&database) {
        Ok(done) => {
            *current = Some(database);
            Ok(done)
        }
        Err(error) => Err(database::why(error)),
    }
}

fn load(database: &Database, table: Table, key: &str) -> Result<Option<Vec<u8>>, Error> {
    let transaction = database.begin_read()?;
    let table = transaction.open_table(table.definition())?;
    Ok(table.get(key)?.map(|bytes| bytes.value().to_vec()))
}

fn store(database: &Database, writes: &[Write]) -> Result<(), Error> {
    let transaction = database.begin_write()?;
    for write in writes {
        let mut table = transaction.open_table(write.table.definition())?;
        match &write.value {
            Some(value) => table.insert(write.key.as_str(), value.as_slice())?.is_some(),
            None => table.remove(write.key.as_str())?.is_some(),
        };
    }
    transaction.commit()?;
    Ok(())
}
