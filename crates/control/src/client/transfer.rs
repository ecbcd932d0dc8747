//! Files to and from storage resources, streamed: of neither more than a piece is held in memory.

use std::{
    fmt, io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, ReadBuf};

use super::{Client, ClientError, MAX_BODY, TRANSFER_STALL, http, http::Answer};
use crate::routes::Method;

/// The bytes of a piece of a file.
const PIECE: usize = 64 * 1024;

/// How full a storage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Bytes used by all files.
    pub used: u64,
    /// Bytes that all files together may use.
    pub quota: u64,
}

impl Quota {
    /// The header that tells it: `USED/QUOTA`.
    pub const HEADER: &str = "x-tutti-quota";

    fn parse(text: &str) -> Option<Self> {
        let (used, quota) = text.split_once('/')?;
        Some(Self { used: used.trim().parse().ok()?, quota: quota.trim().parse().ok()? })
    }
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.used, self.quota)
    }
}

/// A file that is being fetched. Dropping it ends the transfer.
pub struct Download {
    what: String,
    answer: Answer,
    expected: Option<u64>,
    arrived: u64,
}

impl Download {
    /// The file's size, if the device told it.
    pub fn size(&self) -> Option<u64> {
        self.expected
    }

    /// How full the storage is, if the device told it.
    pub fn quota(&self) -> Option<Quota> {
        Quota::parse(self.answer.header(Quota::HEADER)?)
    }

    /// The next bytes; none at the end of the file. A file that ends early is an error.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        let chunk = tokio::time::timeout(TRANSFER_STALL, self.answer.chunk())
            .await
            .map_err(|_| ClientError::TimedOut { what: self.what.clone(), after: TRANSFER_STALL })??;
        self.arrived += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        match (&chunk, self.expected) {
            (None, Some(expected)) if self.arrived != expected => Err(ClientError::Lost {
                what: self.what.clone(),
                why: format!("{} of {expected} bytes arrived", self.arrived),
            }),
            _ => Ok(chunk),
        }
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Download({}, {} bytes so far)", self.what, self.arrived)
    }
}

pub(super) async fn fetch(client: &Client, target: &str) -> Result<Download, ClientError> {
    let what = format!("{} {target}", Method::Get);
    let body = http::json_body(&what, super::Nothing)?;
    let answer = client.within(&what, http::send(client, &what, Method::Get, target, body)).await?;
    let expected = answer.header("content-length").and_then(|length| length.parse().ok());
    Ok(Download { what, answer, expected, arrived: 0 })
}

/// Sends what a source holds as a body, and takes the answer.
pub(super) async fn send<T: DeserializeOwned>(
    client: &Client,
    method: Method,
    target: &str,
    source: impl AsyncRead + Send + Sync + Unpin + 'static,
) -> Result<T, ClientError> {
    let what = format!("{method} {target}");
    let moved = Arc::new(AtomicU64::new(0));
    let body = http::streamed(ReaderBody { source, moved: moved.clone(), buffer: vec![0; PIECE], ended: false });
    let work = async {
        let bytes = http::send(client, &what, method, target, body).await?.collect(MAX_BODY).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| ClientError::Garbled { what: what.clone(), why: error.to_string() })
    };
    let mut work = std::pin::pin!(work);
    let mut before = 0;
    loop {
        match tokio::time::timeout(TRANSFER_STALL, &mut work).await {
            Ok(done) => return done,
            Err(_) => {
                let now = moved.load(Ordering::Relaxed);
                if now == before {
                    return Err(ClientError::TimedOut { what: what.clone(), after: TRANSFER_STALL });
                }
                before = now;
            }
        }
    }
}

/// A body that is read from a source as the connection takes it.
struct ReaderBody<R> {
    source: R,
    moved: Arc<AtomicU64>,
    buffer: Vec<u8>,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Body for ReaderBody<R> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if this.ended {
            return Poll::Ready(None);
        }
        let mut buffer = ReadBuf::new(&mut this.buffer);
        let outcome = ready!(Pin::new(&mut this.source).poll_read(context, &mut buffer));
        let piece = Bytes::copy_from_slice(buffer.filled());
        Poll::Ready(match outcome {
            Err(error) => {
                this.ended = true;
                Some(Err(io::Error::new(error.kind(), SourceFailed(error))))
            }
            Ok(()) if piece.is_empty() => {
                this.ended = true;
                None
            }
            Ok(()) => {
                this.moved.fetch_add(piece.len() as u64, Ordering::Relaxed);
                Some(Ok(Frame::data(piece)))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

/// Marks the error of a source, so that it is not taken for one of the connection.
#[derive(Debug)]
pub(super) struct SourceFailed(io::Error);

impl fmt::Display for SourceFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SourceFailed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_read_as_they_print() {
        let quota = Quota { used: 3, quota: 1000 };
        assert_eq!(Quota::parse(&quota.to_string()), Some(quota));
        assert_eq!(Quota::parse("3"), None);
        assert_eq!(Quota::parse("-3/4"), None);
    }
}
