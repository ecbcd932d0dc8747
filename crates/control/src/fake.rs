//! A device that answers as a test tells it to: for tests of clients, over a real Unix socket.
//!
//! It reads just enough HTTP for that, and keeps what it was asked. It takes no care of hostile clients.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    task::JoinHandle,
};

use crate::error::{ErrorBody, ErrorCode, ErrorDetail};

/// What was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// The path and the query.
    pub target: String,
    /// The body.
    pub body: String,
}

impl Asked {
    /// The method and the target: `GET /v1/device`.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// What to answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What to write, piece by piece: the head first.
    pub pieces: Vec<Vec<u8>>,
    /// How long to wait before each piece.
    pub pause: Duration,
    /// Whether to keep the connection open afterwards.
    pub linger: bool,
}

impl Answer {
    /// These bytes, whatever they are.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self { pieces: vec![bytes.into()], pause: Duration::ZERO, linger: false }
    }

    /// A status and a body.
    pub fn with(status: u16, media: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: {media}\r\ncontent-length: {}\r\nx-tutti-quota: 5/100\r\n\r\n",
            body.len()
        );
        Self::raw([head.as_bytes(), body].concat())
    }

    /// 200 with JSON.
    pub fn json(body: &impl Serialize) -> Self {
        Self::with(200, "application/json", serde_json::to_vec(body).expect("the types of this crate serialise"))
    }

    /// 204.
    pub fn done() -> Self {
        Self::raw("HTTP/1.1 204 X\r\n\r\n")
    }

    /// A refusal.
    pub fn refused(code: ErrorCode, message: &str, hint: &str) -> Self {
        let body = ErrorBody { error: ErrorDetail::new(code, message, hint) };
        Self { pieces: Self::json(&body).pieces, ..Self::done() }.status(code.status())
    }

    /// Events, each a name and its data, 5 ms apart; then the stream ends.
    pub fn events<'a>(events: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let head = b"HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n".to_vec();
        let events = events.into_iter().map(|(name, data)| format!("event: {name}\ndata: {data}\n\n").into_bytes());
        let pieces = [head].into_iter().chain(events).collect();
        Self { pieces, pause: Duration::from_millis(5), linger: false }
    }

    /// The same, and the connection stays open.
    pub fn lingering(self) -> Self {
        Self { linger: true, ..self }
    }

    fn status(mut self, status: u16) -> Self {
        if let Some(head) = self.pieces.first_mut() {
            let text = String::from_utf8_lossy(head).replacen("HTTP/1.1 200", &format!("HTTP/1.1 {status}"), 1);
            *head = text.into_bytes();
        }
        self
    }
}

/// A device that answers as a test tells it to, until it is dropped.
#[derive(Debug)]
pub struct FakeDevice {
    /// Its socket.
    pub socket: PathBuf,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl FakeDevice {
    /// Listens at `socket` and answers with `answer`.
    pub fn start(
        socket: impl Into<PathBuf>,
        answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let socket = socket.into();
        let listener = UnixListener::bind(&socket)?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let answer = Arc::new(answer);
        let log = asked.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, log) = (answer.clone(), log.clone());
                tokio::spawn(async move { exchange(stream, &*answer, &log).await });
            }
        });
        Ok(Self { socket, asked, task })
    }

    /// What it was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

impl Drop for FakeDevice {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn exchange(
    stream: UnixStream,
    answer: &(dyn Fn(&Asked) -> Answer + Send + Sync),
    log: &Mutex<Vec<Asked>>,
) -> Option<()> {
    let mut stream = BufReader::new(stream);
    let asked = read_request(&mut stream).await?;
    log.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(asked.clone());
    let answer = answer(&asked);
    for piece in &answer.pieces {
        tokio::time::sleep(answer.pause).await;
        stream.write_all(piece).await.ok()?;
        stream.flush().await.ok()?;
    }
    if answer.linger {
        // Until the client closes.
        let mut rest = [0];
        let _ = stream.read(&mut rest).await;
    }
    Some(())
}

async fn read_request(stream: &mut BufReader<UnixStream>) -> Option<Asked> {
    let first = line(stream).await?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut chunked) = (0, false);
    loop {
        let header = line(stream).await?.to_ascii_lowercase();
        match header.split_once(": ") {
            None => break,
            Some(("content-length", value)) => length = value.parse().ok()?,
            Some(("transfer-encoding", value)) => chunked = value == "chunked",
            Some(_) => {}
        }
    }
    let mut body = Vec::new();
    loop {
        if chunked {
            length = usize::from_str_radix(&line(stream).await?, 16).ok()?;
        }
        let start = body.len();
        body.resize(start + length, 0);
        stream.read_exact(body.get_mut(start..)?).await.ok()?;
        if !chunked {
            break;
        }
        line(stream).await?;
        if length == 0 {
            break;
        }
    }
    Some(Asked { method, target, body: String::from_utf8_lossy(&body).into_owned() })
}

async fn line(stream: &mut BufReader<UnixStream>) -> Option<String> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok().filter(|&read| read > 0)?;
    Some(line.trim_end().to_owned())
}
