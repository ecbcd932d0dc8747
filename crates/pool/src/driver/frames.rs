//! Frames and chunks on byte streams: a length (32 bits, little-endian), then so many bytes. Every wait is bounded.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};
use tutti_model::message::{MAX_FRAME_LEN, MessageError, StreamFrame};

use crate::limits::STREAM_PATIENCE;

/// The largest chunk of stored bytes.
pub(super) const CHUNK: usize = 64 * 1024;

/// Why nothing more comes from, or goes to, the other side.
#[derive(Debug)]
pub(super) enum StreamError {
    /// The stream ended where it may not, broke, or stood still.
    Broken(String),
    /// What came is no frame.
    Unreadable(MessageError),
}

impl From<io::Error> for StreamError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Broken("it ended early".into()),
            _ => Self::Broken(error.to_string()),
        }
    }
}

async fn patiently<T>(what: impl Future<Output = io::Result<T>>) -> Result<T, StreamError> {
    match timeout(STREAM_PATIENCE, what).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(StreamError::Broken(format!("nothing moved for {} s", STREAM_PATIENCE.as_secs()))),
    }
}

pub(super) async fn write_frame(to: &mut (impl AsyncWrite + Unpin), frame: &StreamFrame) -> Result<(), StreamError> {
    write_chunk(to, &frame.emit().map_err(StreamError::Unreadable)?).await
}

/// The next frame; none if the stream ended between two. Waits as long as `first` for it to begin.
pub(super) async fn read_frame(
    from: &mut (impl AsyncRead + Unpin),
    first: Option<Duration>,
) -> Result<Option<StreamFrame>, StreamError> {
    let length = read_length(from, first, MAX_FRAME_LEN).await?;
    let Some(length) = length else { return Ok(None) };
    let mut bytes = vec![0; length];
    patiently(from.read_exact(&mut bytes)).await?;
    StreamFrame::parse(&bytes).map(Some).map_err(StreamError::Unreadable)
}

/// An empty chunk is the end.
pub(super) async fn write_chunk(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), StreamError> {
    let too_long = StreamError::Unreadable(MessageError::TooLong { max: MAX_FRAME_LEN });
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= MAX_FRAME_LEN as u32).ok_or(too_long)?;
    patiently(async {
        to.write_all(&length.to_le_bytes()).await?;
        to.write_all(bytes).await?;
        to.flush().await
    })
    .await
}

/// The next chunk into `buffer`; none at the end, which has to come.
pub(super) async fn read_chunk(
    from: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
) -> Result<Option<usize>, StreamError> {
    let early = || StreamError::Broken("it ended early".into());
    let length = read_length(from, Some(STREAM_PATIENCE), MAX_FRAME_LEN).await?.ok_or_else(early)?;
    if length == 0 {
        return Ok(None);
    }
    buffer.resize(length, 0);
    patiently(from.read_exact(buffer)).await?;
    Ok(Some(length))
}

async fn read_length(
    from: &mut (impl AsyncRead + Unpin),
    first: Option<Duration>,
    max: usize,
) -> Result<Option<usize>, StreamError> {
    let mut length = [0; 4];
    let begin = from.read(&mut length[..1]);
    let begun = match first {
        Some(first) => match timeout(first, begin).await {
            Ok(begun) => begun?,
            Err(_) => return Err(StreamError::Broken(format!("nothing came for {} s", first.as_secs()))),
        },
        None => begin.await?,
    };
    if begun == 0 {
        return Ok(None);
    }
    patiently(from.read_exact(&mut length[1..])).await?;
    let length = u32::from_le_bytes(length) as usize;
    if length > max { Err(StreamError::Unreadable(MessageError::TooLong { max })) } else { Ok(Some(length)) }
}

/// Ends a stream in good order.
pub(super) async fn finish(to: &mut (impl AsyncWrite + Unpin)) -> Result<(), StreamError> {
    patiently(to.shutdown()).await
}
