//! Streams of events.

use std::{fmt, marker::PhantomData};

use serde::de::DeserializeOwned;

use super::{
    Client, ClientError, STREAM_SILENCE, http,
    http::Answer,
    sse::{SseEvent, SseParser},
};
use crate::{routes::Method, types::Event};

/// Events as they arrive. Dropping it ends the stream.
pub(super) struct RawStream {
    what: String,
    answer: Answer,
    parser: SseParser,
}

impl RawStream {
    pub(super) fn new(what: String, answer: Answer) -> Self {
        Self { what, answer, parser: SseParser::default() }
    }

    /// The next event; none when the device ended the stream. May be dropped and called again.
    async fn next(&mut self) -> Result<Option<SseEvent>, ClientError> {
        loop {
            if let Some(event) = self.parser.take() {
                return Ok(Some(event));
            }
            let chunk = tokio::time::timeout(STREAM_SILENCE, self.answer.chunk())
                .await
                .map_err(|_| ClientError::TimedOut { what: self.what.clone(), after: STREAM_SILENCE })?;
            let Some(chunk) = chunk? else { return Ok(None) };
            self.parser.feed(&chunk).map_err(|error| ClientError::from_sse(&self.what, error))?;
        }
    }

    fn garbled(&self, error: &serde_json::Error) -> ClientError {
        ClientError::Garbled { what: self.what.clone(), why: error.to_string() }
    }
}

/// A stream of one sort of event.
pub struct EventStream<T> {
    pub(super) raw: RawStream,
    pub(super) name: &'static str,
    pub(super) body: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> EventStream<T> {
    /// The next one; none when the device ended the stream. May be dropped and called again.
    pub async fn next(&mut self) -> Result<Option<T>, ClientError> {
        while let Some(event) = self.raw.next().await? {
            if event.name == self.name {
                return serde_json::from_str(&event.data).map(Some).map_err(|error| self.raw.garbled(&error));
            }
        }
        Ok(None)
    }
}

impl<T> fmt::Debug for EventStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventStream({})", self.raw.what)
    }
}

/// The stream of all changes.
pub struct ChangeStream {
    raw: RawStream,
}

impl ChangeStream {
    /// The next one; none when the device ended the stream. May be dropped and called again.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        while let Some(event) = self.raw.next().await? {
            if let Some(event) = Event::parse(&event.name, &event.data).map_err(|error| self.raw.garbled(&error))? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }
}

impl fmt::Debug for ChangeStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChangeStream({})", self.raw.what)
    }
}

pub(super) async fn changes(client: &Client) -> Result<ChangeStream, ClientError> {
    let what = "GET /v1/events";
    let body = http::json_body(what, super::Nothing)?;
    let answer = client.within(what, http::send(client, what, Method::Get, "/v1/events", body)).await?;
    Ok(ChangeStream { raw: RawStream::new(what.to_owned(), answer) })
}
