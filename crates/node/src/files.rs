//! Stored files as streams of bytes, where reading and writing them may block.
//!
//! Each piece is read or written on a thread that may block, which is held for no longer than the piece takes: a slow
//! reader elsewhere costs a buffer, not a thread.

use std::{
    io::{self, Read},
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_util::future::{BoxFuture, FutureExt};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::{JoinHandle, spawn_blocking},
};
use tutti_model::message::{Refusal, explain};
use tutti_pool::driver::StorageSink;
use tutti_resources::storage::{StorageError, StoredFile, Upload};

/// The bytes of a piece.
const PIECE: usize = 64 * 1024;

/// A stored file that is read.
pub(crate) struct FileReader {
    state: Reading,
    piece: Vec<u8>,
    /// How much of the piece was given away.
    given: usize,
}

enum Reading {
    Idle(Box<StoredFile>),
    Busy(JoinHandle<(Box<StoredFile>, io::Result<Vec<u8>>)>),
    /// It broke.
    Over,
}

impl FileReader {
    pub(crate) fn new(file: StoredFile) -> Self {
        Self { state: Reading::Idle(Box::new(file)), piece: Vec::new(), given: 0 }
    }
}

impl AsyncRead for FileReader {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let this = &mut *self;
            let left = this.piece.get(this.given..).unwrap_or_default();
            if !left.is_empty() {
                let part = left.get(..buf.remaining()).unwrap_or(left);
                buf.put_slice(part);
                this.given += part.len();
                return Poll::Ready(Ok(()));
            }
            match std::mem::replace(&mut this.state, Reading::Over) {
                Reading::Over => return Poll::Ready(Err(broken())),
                Reading::Idle(mut file) => {
                    let mut piece = std::mem::take(&mut this.piece);
                    this.state = Reading::Busy(spawn_blocking(move || {
                        piece.resize(PIECE, 0);
                        let read = file.read(&mut piece).map(|len| {
                            piece.truncate(len);
                            piece
                        });
                        (file, read)
                    }));
                }
                Reading::Busy(mut reading) => match reading.poll_unpin(cx) {
                    Poll::Pending => {
                        this.state = Reading::Busy(reading);
                        return Poll::Pending;
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(Err(broken())),
                    Poll::Ready(Ok((file, read))) => {
                        this.piece = read?;
                        this.given = 0;
                        this.state = Reading::Idle(file);
                        if this.piece.is_empty() {
                            return Poll::Ready(Ok(()));
                        }
                    }
                },
            }
        }
    }
}

/// A file that is stored. Dropped before [`commit`](StorageSink::commit), nothing is left of it.
pub(crate) struct FileWriter {
    state: Writing,
}

enum Writing {
    Idle(Box<Upload>),
    Busy(JoinHandle<(Box<Upload>, Result<(), StorageError>)>),
    /// It broke; what was stored before is still there.
    Over,
}

impl FileWriter {
    pub(crate) fn new(upload: Upload) -> Self {
        Self { state: Writing::Idle(Box::new(upload)) }
    }

    /// Waits until what was given is written.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StorageError>> {
        let Writing::Busy(writing) = &mut self.state else { return Poll::Ready(Ok(())) };
        let done = ready!(writing.poll_unpin(cx));
        self.state = Writing::Over;
        let (upload, written) = done.map_err(|_| StorageError::Sender("storing it broke off".into()))?;
        written?;
        self.state = Writing::Idle(upload);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FileWriter {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_idle(cx)).map_err(|error| to_io(&error))?;
        let Writing::Idle(mut upload) = std::mem::replace(&mut self.state, Writing::Over) else {
            return Poll::Ready(Err(broken()));
        };
        let piece = bytes.get(..PIECE).unwrap_or(bytes).to_vec();
        let taken = piece.len();
        self.state = Writing::Busy(spawn_blocking(move || {
            let written = upload.write(&piece);
            (upload, written)
        }));
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_idle(cx).map_err(|error| to_io(&error))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl StorageSink for FileWriter {
    fn commit(mut self: Box<Self>) -> BoxFuture<'static, Result<(), Refusal>> {
        async move {
            std::future::poll_fn(|cx| self.poll_idle(cx)).await.map_err(|error| refusal(&error))?;
            let Writing::Idle(upload) = self.state else { return Err(Refusal::Failed(explain(&broken()))) };
            let finished = spawn_blocking(move || upload.finish()).await;
            finished.map_err(|error| Refusal::failed(&error))?.map(drop).map_err(|error| refusal(&error))
        }
        .boxed()
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "it broke off before")
}

/// The kinds tell the pool that there is no room.
fn to_io(error: &StorageError) -> io::Error {
    let kind = match error {
        StorageError::OverQuota { .. } => io::ErrorKind::QuotaExceeded,
        StorageError::DiskFull => io::ErrorKind::StorageFull,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error.to_string())
}

/// What a storage's error is to whoever asked from another device.
pub(crate) fn refusal(error: &StorageError) -> Refusal {
    match error {
        StorageError::NotFound(_) => Refusal::NotFound,
        StorageError::OverQuota { free, .. } => Refusal::NoSpace { free: *free },
        StorageError::DiskFull => Refusal::NoSpace { free: 0 },
        StorageError::TooManyUploads => Refusal::Busy,
        other => Refusal::Failed(explain(other)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tutti_model::Name;
    use tutti_resources::storage::{Storage, StoragePath};

    use super::*;

    fn storage(quota: u64) -> (tempfile::TempDir, Storage, StoragePath) {
        let dir = tempfile::tempdir().unwrap();
        let storage = Storage::open(Name::new("storage").unwrap(), &dir.path().join("files"), quota).unwrap();
        (dir, storage, StoragePath::new("a/b").unwrap())
    }

    #[tokio::test]
    async fn what_is_written_is_read() {
        let (_dir, storage, path) = storage(1 << 20);
        for len in [0, 1, PIECE - 1, PIECE, 3 * PIECE + 7] {
            let content: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let mut writer = Box::new(FileWriter::new(storage.begin(path.clone(), None).unwrap()));
            writer.write_all(&content).await.unwrap();
            writer.commit().await.unwrap();
            let mut back = Vec::new();
            FileReader::new(storage.get(&path).unwrap()).read_to_end(&mut back).await.unwrap();
            assert!(back == content, "{len}");
        }
    }

    #[tokio::test]
    async fn what_does_not_fit_leaves_what_was_there() {
        let (_dir, storage, path) = storage(200_000);
        let mut writer = Box::new(FileWriter::new(storage.begin(path.clone(), None).unwrap()));
        writer.write_all(b"old").await.unwrap();
        writer.commit().await.unwrap();
        let mut writer = Box::new(FileWriter::new(storage.begin(path.clone(), None).unwrap()));
        let error = writer.write_all(&[7; 300_000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded);
        assert!(writer.commit().await.is_err(), "broken once, broken for good");
        assert_eq!(storage.usage().used, 3);
        let writer = Box::new(FileWriter::new(storage.begin(path.clone(), Some(5)).unwrap()));
        drop(writer);
        assert_eq!((storage.usage().used, storage.usage().arriving), (3, 0));
    }
}
