//! Carrying out what the pool has allowed: readings, values, and the serving side of streams.

use std::{sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep_until, timeout},
};
use tutti_model::{
    Name,
    message::{Content, MessageError, Refusal, StorageEntry, StreamFrame},
};

use super::{
    frames::{CHUNK, StreamError, finish, read_chunk, write_frame},
    local::{Caller, LocalResources},
    network::Channel,
};
use crate::{
    io::{Performed, Work},
    limits::{MAX_LISTED, PERFORM_TIMEOUT},
};

/// So many entries in one frame: with the longest paths still below the largest frame.
const ENTRIES_PER_FRAME: usize = 256;

/// The longest time between two readings of a stream.
const LONGEST_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// A reading, or a value set.
pub(super) async fn answer(
    local: &dyn LocalResources,
    name: Name,
    work: Work,
    caller: Caller,
) -> Result<Performed, Refusal> {
    match work {
        Work::Read => in_time(local.read(name)).await.map(Performed::Reading),
        Work::Write(value) => in_time(local.write(name, value, caller)).await.map(|()| Performed::Done),
        _ => Err(Refusal::Unsupported),
    }
}

async fn in_time<T>(what: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    timeout(PERFORM_TIMEOUT, what).await.unwrap_or(Err(Refusal::TimedOut))
}

/// Why serving a stream ended before its time.
enum Ended {
    /// The resource says no: the other side is told.
    Refused(Refusal),
    /// The other side is gone, or the stream is broken: nobody is left to tell.
    Gone,
}

impl From<Refusal> for Ended {
    fn from(why: Refusal) -> Self {
        Self::Refused(why)
    }
}

impl From<StreamError> for Ended {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Broken(_) => Self::Gone,
            StreamError::Unreadable(MessageError::TooLong { max }) => {
                Self::Refused(Refusal::TooLarge { max: max as u64 })
            }
            StreamError::Unreadable(_) => Self::Refused(Refusal::Malformed),
        }
    }
}

/// Serves a stream to its end. The channel comes back for a last word, unless it broke.
pub(super) async fn serve(
    local: &Arc<dyn LocalResources>,
    name: Name,
    work: Work,
    channel: &mut Channel,
) -> Result<Performed, Refusal> {
    let served = match work {
        Work::Follow { min_interval } => follow(local.as_ref(), name, min_interval, channel).await,
        Work::List { prefix } => list(local.as_ref(), name, prefix, channel).await,
        Work::Get(path) => get(local.as_ref(), name, path, channel).await,
        Work::Put { path, size } => put(local.as_ref(), name, path, size, channel).await,
        Work::Delete(path) => delete(local.as_ref(), name, path, channel).await,
        Work::Read | Work::Write(_) => Err(Ended::Refused(Refusal::Unsupported)),
    };
    match served {
        Ok(()) | Err(Ended::Gone) => Ok(Performed::Done),
        Err(Ended::Refused(why)) => Err(why),
    }
}

/// The last word on a stream that is refused or cut.
pub(super) async fn refuse(mut channel: Channel, why: Refusal) {
    if write_frame(&mut channel.send, &StreamFrame::Refused(why)).await.is_ok() {
        // If that fails, the other side sees a broken stream instead of an ended one.
        let _ = finish(&mut channel.send).await;
    }
}

async fn follow(
    local: &dyn LocalResources,
    name: Name,
    min_interval: Duration,
    channel: &mut Channel,
) -> Result<(), Ended> {
    let min_interval = min_interval.min(LONGEST_INTERVAL);
    let mut readings = local.follow(name)?;
    readings.mark_changed();
    let mut not_before = Instant::now();
    let mut nothing = [0; 1];
    loop {
        tokio::select! {
            biased;
            // The reader says nothing on this stream but that it goes.
            _ = channel.recv.read(&mut nothing) => return Ok(()),
            next = async {
                sleep_until(not_before).await;
                readings.changed().await
            } => if next.is_err() {
                // The resource is gone.
                return Err(Ended::Refused(Refusal::NoSuchResource));
            },
        }
        let latest = readings.borrow_and_update().clone();
        if let Some(reading) = latest {
            not_before = Instant::now() + min_interval;
            write_frame(&mut channel.send, &StreamFrame::Reading(reading)).await?;
        }
    }
}

async fn list(local: &dyn LocalResources, name: Name, prefix: String, channel: &mut Channel) -> Result<(), Ended> {
    let listing = in_time(local.list(name, prefix)).await?;
    let shown: &[StorageEntry] = listing.entries.get(..MAX_LISTED).unwrap_or(&listing.entries);
    for page in shown.chunks(ENTRIES_PER_FRAME) {
        write_frame(&mut channel.send, &StreamFrame::Entries(page.to_vec())).await?;
    }
    write_frame(&mut channel.send, &StreamFrame::Usage(listing.usage)).await?;
    Ok(finish(&mut channel.send).await?)
}

async fn get(
    local: &dyn LocalResources,
    name: Name,
    path: tutti_model::message::StoragePath,
    channel: &mut Channel,
) -> Result<(), Ended> {
    let file = in_time(local.get(name, path)).await?;
    let content = Content { size: file.size, modified: file.modified };
    write_frame(&mut channel.send, &StreamFrame::Content(content)).await?;
    let mut bytes = file.bytes.take(file.size);
    let mut buffer = vec![0; CHUNK];
    let mut left = file.size;
    while left > 0 {
        // A file that became shorter, or cannot be read: without the promised bytes the reader knows that it broke.
        let read = bytes.read(&mut buffer).await.map_err(|_| Ended::Gone)?;
        let Some(chunk) = buffer.get(..read).filter(|chunk| !chunk.is_empty()) else { return Err(Ended::Gone) };
        let sent = timeout(crate::limits::STREAM_PATIENCE, channel.send.write_all(chunk)).await;
        sent.map_err(|_| Ended::Gone)?.map_err(|_| Ended::Gone)?;
        left -= read as u64;
    }
    Ok(finish(&mut channel.send).await?)
}

async fn put(
    local: &dyn LocalResources,
    name: Name,
    path: tutti_model::message::StoragePath,
    size: Option<u64>,
    channel: &mut Channel,
) -> Result<(), Ended> {
    let mut sink = in_time(local.put(name, path, size)).await?;
    write_frame(&mut channel.send, &StreamFrame::Done(())).await?;
    let mut buffer = Vec::new();
    let mut came = 0_u64;
    while let Some(length) = read_chunk(&mut channel.recv, &mut buffer).await? {
        came = came.saturating_add(length as u64);
        if let Some(size) = size.filter(|size| came > *size) {
            return Err(Ended::Refused(Refusal::TooLarge { max: size }));
        }
        let written = timeout(crate::limits::STREAM_PATIENCE, sink.write_all(&buffer)).await;
        written.map_err(|_| Refusal::TimedOut)?.map_err(|error| write_refusal(&error))?;
    }
    if size.is_some_and(|size| came != size) {
        return Err(Ended::Refused(Refusal::Malformed));
    }
    timeout(crate::limits::STREAM_PATIENCE, sink.commit()).await.map_err(|_| Refusal::TimedOut)??;
    write_frame(&mut channel.send, &StreamFrame::Done(())).await?;
    Ok(finish(&mut channel.send).await?)
}

/// A sink says that its quota is used up by [`std::io::ErrorKind::QuotaExceeded`] or `StorageFull`.
fn write_refusal(error: &std::io::Error) -> Refusal {
    match error.kind() {
        std::io::ErrorKind::QuotaExceeded | std::io::ErrorKind::StorageFull => Refusal::NoSpace { free: 0 },
        _ => Refusal::failed(error),
    }
}

async fn delete(
    local: &dyn LocalResources,
    name: Name,
    path: tutti_model::message::StoragePath,
    channel: &mut Channel,
) -> Result<(), Ended> {
    in_time(local.delete(name, path)).await?;
    write_frame(&mut channel.send, &StreamFrame::Done(())).await?;
    Ok(finish(&mut channel.send).await?)
}
