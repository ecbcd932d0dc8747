//! The asking side of streams.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, ReadBuf},
    sync::watch,
    task::AbortHandle,
};
use tutti_model::{
    Reading, WallTime,
    message::{Content, MessageError, StorageUsage, StreamFrame},
};

use super::{
    frames::{CHUNK, StreamError, finish, read_frame, write_chunk},
    local::Listing,
    network::Channel,
};
use crate::{
    error::{PoolError, Subject},
    limits::{MAX_LISTED, STREAM_PATIENCE},
};

/// What a follower has of the resource so far.
#[derive(Clone, Default)]
enum Latest {
    #[default]
    Nothing,
    Reading(Reading),
    Over(Arc<PoolError>),
}

/// Readings of a resource as they come. Whoever is slow gets the latest, not all. Dropped, the stream ends.
pub struct Readings {
    latest: watch::Receiver<Latest>,
    reader: AbortHandle,
}

impl Readings {
    pub(super) fn new(subject: Subject, channel: Channel) -> Self {
        let (sender, latest) = watch::channel(Latest::Nothing);
        let reader = tokio::spawn(async move {
            // All of it: an `async move` would take `recv` alone, and dropping `send` breaks the stream.
            let mut channel = channel;
            loop {
                // As long as the session lives there may be nothing new for any time.
                let next = match read_frame(&mut channel.recv, None).await {
                    Ok(Some(StreamFrame::Reading(reading))) => Latest::Reading(reading),
                    Ok(other) => Latest::Over(Arc::new(unexpected(subject, other))),
                    Err(error) => Latest::Over(Arc::new(broken(subject, error))),
                };
                let over = matches!(next, Latest::Over(_));
                if sender.send(next).is_err() || over {
                    return;
                }
            }
        });
        Self { latest, reader: reader.abort_handle() }
    }

    /// The next reading, or why there will be none; after that, nothing. Waits as long as it takes.
    pub async fn next(&mut self) -> Option<Result<Reading, PoolError>> {
        self.latest.changed().await.ok()?;
        let latest = self.latest.borrow_and_update().clone();
        match latest {
            Latest::Nothing => None,
            Latest::Reading(reading) => Some(Ok(reading)),
            Latest::Over(error) => Some(Err(error.as_ref().clone())),
        }
    }
}

impl Drop for Readings {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// Stored bytes on their way here.
pub struct Download {
    /// How many.
    pub size: u64,
    /// When they were last changed.
    pub modified: WallTime,
    left: u64,
    channel: Channel,
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download").field("size", &self.size).field("left", &self.left).finish_non_exhaustive()
    }
}

impl AsyncRead for Download {
    /// Ends after exactly [`size`](Self::size) bytes; if the stream ends before, that is an error.
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left == 0 || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let room = buf.remaining().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        std::task::ready!(Pin::new(&mut self.channel.recv).poll_read(cx, &mut part))?;
        let filled = part.filled().len();
        if filled == 0 {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the stream ended early")));
        }
        buf.advance(filled);
        self.left -= filled as u64;
        Poll::Ready(Ok(()))
    }
}

pub(super) async fn download(subject: Subject, mut channel: Channel) -> Result<Download, PoolError> {
    match first_frame(subject, &mut channel).await? {
        StreamFrame::Content(Content { size, modified }) => Ok(Download { size, modified, left: size, channel }),
        other => Err(unexpected(subject, Some(other))),
    }
}

pub(super) async fn upload(
    subject: Subject,
    mut channel: Channel,
    bytes: &mut (impl AsyncRead + Unpin),
) -> Result<(), PoolError> {
    expect_done(subject, &mut channel).await?;
    let mut buffer = vec![0; CHUNK];
    let sending = async {
        loop {
            let read = bytes.read(&mut buffer).await?;
            write_chunk(&mut channel.send, buffer.get(..read).unwrap_or(&[])).await?;
            if read == 0 {
                return Ok(());
            }
        }
    };
    // Whoever stores may refuse at any time: then writing breaks, and what it says counts more than that.
    let mut recv = channel.recv;
    let answer = {
        let mut sending = std::pin::pin!(sending);
        let mut answering = std::pin::pin!(read_frame(&mut recv, None));
        tokio::select! {
            biased;
            answer = &mut answering => answer,
            sent = &mut sending => {
                let answer = tokio::time::timeout(STREAM_PATIENCE, &mut answering).await;
                match (sent, answer) {
                    (Ok(()), Ok(answer)) | (Err(_), Ok(answer @ Ok(Some(_)))) => answer,
                    (Err(error), _) => Err(error),
                    (Ok(()), Err(_)) => Err(StreamError::Broken("no word that the bytes are safe".into())),
                }
            }
        }
    };
    match answer {
        // If the farewell fails, the bytes are safe all the same.
        Ok(Some(StreamFrame::Done(()))) => {
            let _ = finish(&mut channel.send).await;
            Ok(())
        }
        Ok(other) => Err(unexpected(subject, other)),
        Err(error) => Err(broken(subject, error)),
    }
}

pub(super) async fn list(subject: Subject, mut channel: Channel) -> Result<Listing, PoolError> {
    let mut entries = Vec::new();
    loop {
        match first_frame(subject, &mut channel).await? {
            StreamFrame::Entries(page) if entries.len() + page.len() <= MAX_LISTED => entries.extend(page),
            StreamFrame::Usage(usage @ StorageUsage { .. }) => return Ok(Listing { entries, usage }),
            other => return Err(unexpected(subject, Some(other))),
        }
    }
}

pub(super) async fn expect_done(subject: Subject, channel: &mut Channel) -> Result<(), PoolError> {
    match first_frame(subject, channel).await? {
        StreamFrame::Done(()) => Ok(()),
        other => Err(unexpected(subject, Some(other))),
    }
}

async fn first_frame(subject: Subject, channel: &mut Channel) -> Result<StreamFrame, PoolError> {
    let frame = read_frame(&mut channel.recv, Some(STREAM_PATIENCE)).await.map_err(|error| broken(subject, error))?;
    frame.ok_or_else(|| unexpected(subject, None))
}

fn unexpected(subject: Subject, frame: Option<StreamFrame>) -> PoolError {
    match frame {
        Some(StreamFrame::Refused(why)) => PoolError::Refused { subject: Box::new(subject), why },
        Some(_) => PoolError::Misbehaved { subject: Box::new(subject), what: MessageError::Unknown },
        None => PoolError::Broken { subject: Box::new(subject), why: "it ended early".into() },
    }
}

fn broken(subject: Subject, error: StreamError) -> PoolError {
    match error {
        StreamError::Broken(why) => PoolError::Broken { subject: Box::new(subject), why },
        StreamError::Unreadable(what) => PoolError::Misbehaved { subject: Box::new(subject), what },
    }
}
