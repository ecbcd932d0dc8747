//! One HTTP exchange over one connection.

use std::{fmt::Write, io, pin::Pin};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Either, Empty, Full, combinators::BoxBody};
use hyper::{
    Request, Response,
    body::{Body, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    task::AbortHandle,
};

use super::{Client, ClientError, Endpoint};
use crate::{
    error::{ErrorBody, ErrorCode, ErrorDetail},
    routes::Method,
};

/// What is sent: nothing, some JSON, or a stream.
pub(super) type Outgoing = Either<Either<Empty<Bytes>, Full<Bytes>>, BoxBody<Bytes, io::Error>>;

/// The most bytes that are read of an error's body.
const MAX_ERROR: usize = 64 * 1024;

/// An answer with status below 400 whose body is still to be read. Dropping it closes the connection.
pub(super) struct Answer {
    what: String,
    response: Response<Incoming>,
    _connection: Connection,
}

/// Closes a connection when it is dropped.
struct Connection(AbortHandle);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The next bytes of the body; none at its end. May be dropped and called again.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            let frame = self.response.body_mut().frame().await;
            match frame.map(|frame| frame.map(hyper::body::Frame::into_data)) {
                None => return Ok(None),
                Some(Ok(Ok(data))) => return Ok(Some(data)),
                Some(Ok(Err(_trailers))) => {}
                Some(Err(error)) => return Err(lost(&self.what, &error)),
            }
        }
    }

    /// The whole body, if it is at most `max` bytes.
    pub(super) async fn collect(mut self, max: usize) -> Result<Bytes, ClientError> {
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if whole.len() + chunk.len() > max {
                return Err(ClientError::TooLarge { what: self.what, max });
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    }
}

/// JSON to send, or nothing.
pub(super) fn json_body(what: &str, body: Option<&impl Serialize>) -> Result<Outgoing, ClientError> {
    Ok(Either::Left(match body {
        None => Either::Left(Empty::new()),
        Some(body) => Either::Right(Full::from(
            serde_json::to_vec(body)
                .map_err(|error| ClientError::Garbled { what: what.to_owned(), why: error.to_string() })?,
        )),
    }))
}

/// Connects, asks, and waits for the head of the answer. A refusal is an error.
pub(super) async fn send(
    client: &Client,
    what: &str,
    method: Method,
    target: &str,
    body: Outgoing,
) -> Result<Answer, ClientError> {
    let stream = connect(&client.endpoint).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|error| lost(what, &error))?;
    let connection = Connection(tokio::spawn(connection).abort_handle());

    let mut request = Request::builder().method(method.word()).uri(target);
    request = match &client.endpoint {
        Endpoint::Unix(_) => request.header(header::HOST, "localhost"),
        Endpoint::Tcp { addr, token } => {
            request.header(header::HOST, addr.to_string()).header(header::AUTHORIZATION, format!("Bearer {token}"))
        }
    };
    if matches!(body, Either::Left(Either::Right(_))) {
        request = request.header(header::CONTENT_TYPE, "application/json");
    }
    let request =
        request.body(body).map_err(|error| ClientError::Garbled { what: what.to_owned(), why: error.to_string() })?;
    let response = sender.send_request(request).await.map_err(|error| lost(what, &error))?;
    let answer = Answer { what: what.to_owned(), response, _connection: connection };
    let status = answer.response.status().as_u16();
    if (200..300).contains(&status) { Ok(answer) } else { Err(refusal(status, answer).await) }
}

trait Stream: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

async fn connect(endpoint: &Endpoint) -> Result<Pin<Box<dyn Stream>>, ClientError> {
    let stream: io::Result<Pin<Box<dyn Stream>>> = match endpoint {
        Endpoint::Unix(path) => UnixStream::connect(path).await.map(|stream| Box::pin(stream) as _),
        // The token must not leave this machine.
        Endpoint::Tcp { addr, .. } if !addr.ip().is_loopback() => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "the control API is only spoken on loopback addresses"))
        }
        Endpoint::Tcp { addr, .. } => TcpStream::connect(addr).await.map(|stream| Box::pin(stream) as _),
    };
    stream.map_err(|error| ClientError::Connect { endpoint: endpoint.clone(), error })
}

/// What a refusal says; if it says nothing that can be read, what its status means.
async fn refusal(status: u16, answer: Answer) -> ClientError {
    let what = answer.what.clone();
    let detail = match answer.collect(MAX_ERROR).await.map(|body| serde_json::from_slice::<ErrorBody>(&body)) {
        Ok(Ok(body)) => body.error,
        _ => ErrorDetail::new(
            ErrorCode::Unknown,
            format!("{what}: the device answered with HTTP status {status} and no reason"),
            "compare the versions of this program and of the device: tutti status",
        ),
    };
    ClientError::Refused { status, detail }
}

/// What a device leaves that is killed, or crashes.
const CUT_SHORT: &str = "it ended in the middle of an answer";

/// A broken connection, with the innermost cause, which is the one that tells something. If what broke it is that the
/// thing to be sent could not be read, that is the error.
fn lost(what: &str, error: &hyper::Error) -> ClientError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let io = cause.downcast_ref::<io::Error>();
    let cut_short = || error.is_incomplete_message() || io.is_some_and(|io| io.kind() == io::ErrorKind::UnexpectedEof);
    match io {
        Some(error) if error.get_ref().is_some_and(|inner| inner.is::<super::transfer::SourceFailed>()) => {
            ClientError::Source(io::Error::new(error.kind(), error.to_string()))
        }
        _ if cut_short() => ClientError::Lost { what: what.to_owned(), why: CUT_SHORT.to_owned() },
        _ => ClientError::Lost { what: what.to_owned(), why: cause.to_string() },
    }
}

/// A path of these segments, each escaped.
pub fn path(segments: &[&str]) -> String {
    segments.iter().fold(String::new(), |mut path, segment| {
        path.push('/');
        // A segment of dots would be taken for a step within the path.
        if matches!(*segment, "." | "..") {
            path.push_str(&segment.replace('.', "%2E"));
        } else {
            escape(segment, &mut path);
        }
        path
    })
}

/// The path of a file in a storage resource: its `/` stay.
pub(super) fn file_path(device: &str, name: &str, file: &str) -> String {
    let mut segments = vec!["v1", "storage", device, name];
    segments.extend(file.split('/'));
    path(&segments)
}

pub(super) fn with_query(target: &str, query: &[(&str, &str)]) -> String {
    query.iter().enumerate().fold(target.to_owned(), |mut target, (at, (key, value))| {
        target.push(if at == 0 { '?' } else { '&' });
        escape(key, &mut target);
        target.push('=');
        escape(value, &mut target);
        target
    })
}

/// Appends `text` with all but the unreserved characters (RFC 3986, 2.3) percent-encoded.
fn escape(text: &str, out: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// A body to stream.
pub(super) fn streamed(body: impl Body<Data = Bytes, Error = io::Error> + Send + Sync + 'static) -> Outgoing {
    Either::Right(BoxBody::new(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped() {
        assert_eq!(path(&["v1", "resources", "Küche", "a b/c"]), "/v1/resources/K%C3%BCche/a%20b%2Fc");
        assert_eq!(file_path("k", "storage", "a/../b?.txt"), "/v1/storage/k/storage/a/%2E%2E/b%3F.txt");
        assert_eq!(with_query("/x", &[("property", "a=b&c"), ("kind", "sensor")]), "/x?property=a%3Db%26c&kind=sensor");
        assert_eq!(with_query("/x", &[]), "/x");
    }
}
