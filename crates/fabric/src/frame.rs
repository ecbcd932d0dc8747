//! Messages on streams: a four-byte little-endian length, then so many bytes.
//!
//! Reading trusts nothing: the length is checked before anything is set aside, memory grows only with what has
//! arrived, a pause within a message is bounded and so is the whole.

use std::{fmt, io};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use crate::timing;

/// Why a message could not be read.
#[derive(Debug)]
pub(crate) enum FrameError {
    /// The stream ended in good order where a message could have begun.
    End,
    /// The other side says that a longer message follows than it may send.
    TooLong { length: u32, max: usize },
    /// It stopped in the middle, or never began.
    Stalled,
    /// The stream broke.
    Broken(io::Error),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("the stream ended early"),
            Self::TooLong { length, max } => write!(f, "announced a message of {length} bytes; {max} are allowed"),
            Self::Stalled => f.write_str("stopped in the middle of a message"),
            Self::Broken(error) => error.fmt(f),
        }
    }
}

impl FrameError {
    /// Whether it is the other side's fault rather than the network's.
    pub(crate) fn is_misbehaviour(&self) -> bool {
        matches!(self, Self::TooLong { .. } | Self::Stalled)
    }
}

/// Reads the next message, of at most `max` bytes, waiting for its first byte as long as the caller likes.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin + ?Sized), max: usize) -> Result<Bytes, FrameError> {
    let mut first = [0];
    if stream.read(&mut first).await.map_err(FrameError::Broken)? == 0 {
        return Err(FrameError::End);
    }
    let mut length = [first[0], 0, 0, 0];
    within(stream.read_exact(&mut length[1..])).await?;
    read_body(stream, u32::from_le_bytes(length), max).await
}

/// Reads `length` bytes if they are at most `max`.
pub(crate) async fn read_body(
    stream: &mut (impl AsyncRead + Unpin + ?Sized),
    length: u32,
    max: usize,
) -> Result<Bytes, FrameError> {
    let wanted = usize::try_from(length).ok().filter(|&wanted| wanted <= max);
    let wanted = wanted.ok_or(FrameError::TooLong { length, max })?;
    let read = async {
        let mut body = BytesMut::with_capacity(wanted.min(64 * 1024));
        let mut rest = stream.take(wanted as u64);
        while body.len() < wanted {
            if within(rest.read_buf(&mut body)).await? == 0 {
                return Err(FrameError::Broken(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(body.freeze())
    };
    timeout(timing::MESSAGE, read).await.unwrap_or(Err(FrameError::Stalled))
}

/// Writes one message. The caller bounds how long it may take.
pub(crate) async fn write(stream: &mut (impl AsyncWrite + Unpin + ?Sized), body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut message = BytesMut::with_capacity(4 + body.len());
    message.extend_from_slice(&length.to_le_bytes());
    message.extend_from_slice(body);
    stream.write_all(&message).await?;
    stream.flush().await
}

/// Bounds one step of reading.
pub(crate) async fn within<T>(step: impl Future<Output = io::Result<T>>) -> Result<T, FrameError> {
    match timeout(timing::PAUSE, step).await {
        Err(_) => Err(FrameError::Stalled),
        Ok(Err(error)) => Err(FrameError::Broken(error)),
        Ok(Ok(value)) => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whole_messages_arrive_and_the_end_is_told_from_a_cut() {
        let (mut a, mut b) = tokio::io::duplex(64);
        let writer = tokio::spawn(async move {
            write(&mut a, b"").await.unwrap();
            write(&mut a, &[7; 1000]).await.unwrap();
            a.write_all(&[5, 0, 0, 0, 1]).await.unwrap();
        });
        assert_eq!(read(&mut b, 10).await.unwrap(), Bytes::new());
        assert_eq!(read(&mut b, 1000).await.unwrap(), vec![7; 1000]);
        assert!(matches!(read(&mut b, 10).await, Err(FrameError::Broken(_))));
        writer.await.unwrap();
        assert!(matches!(read(&mut b, 10).await, Err(FrameError::End)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_gigabyte_is_refused_before_it_comes_and_half_a_message_in_bounded_time() {
        let (mut a, mut b) = tokio::io::duplex(64);
        a.write_all(&(1u32 << 30).to_le_bytes()).await.unwrap();
        assert!(matches!(read(&mut b, 1 << 20).await, Err(FrameError::TooLong { length: 0x4000_0000, .. })));
        a.write_all(&[9, 0, 0, 0, 1, 2]).await.unwrap();
        let start = tokio::time::Instant::now();
        assert!(matches!(read(&mut b, 1 << 20).await, Err(FrameError::Stalled)));
        assert!(start.elapsed() <= timing::PAUSE * 2);
    }
}
