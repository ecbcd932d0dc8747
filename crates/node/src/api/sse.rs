//! Server-sent events: bounded in number, ended when the device stops, with a sign of life each 15 s.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::response::{
    IntoResponse, Response,
    sse::{Event, KeepAlive, Sse},
};
use futures_util::{Stream, StreamExt};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tutti_control::ErrorCode;

use super::error::ApiError;
use crate::stop::Stop;

/// How many streams there may be at a time: half of the connections, so that short requests always find one.
pub(crate) const MAX_STREAMS: usize = 32;

/// How often a stream that has nothing to say says so.
const PING: Duration = Duration::from_secs(15);

/// The places for streams, and what ends them all.
#[derive(Clone)]
pub(crate) struct Streams {
    slots: Arc<Semaphore>,
    stop: Stop,
}

/// A place for one stream.
pub(crate) struct Slot {
    _slot: OwnedSemaphorePermit,
    stop: Stop,
}

impl Streams {
    pub(crate) fn new(stop: Stop) -> Self {
        Self { slots: Arc::new(Semaphore::new(MAX_STREAMS)), stop }
    }

    /// Takes a place. To be done before anything is set up for the stream.
    pub(crate) fn take(&self) -> Result<Slot, ApiError> {
        match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(slot) => Ok(Slot { _slot: slot, stop: self.stop.clone() }),
            Err(_) => Err(ApiError::new(
                ErrorCode::TooMany,
                format!("{MAX_STREAMS} event streams are open already"),
                "close some of them",
            )),
        }
    }
}

impl Slot {
    /// Answers with a stream that ends when `events` does or the device stops.
    pub(crate) fn answer(self, events: impl Stream<Item = Event> + Send + 'static) -> Response {
        let Self { _slot, mut stop } = self;
        let stopped = Box::pin(async move { stop.requested().await });
        let events = events.take_until(stopped).map(move |event| {
            let _held_as_long_as_the_stream = &_slot;
            Ok::<_, Infallible>(event)
        });
        let ping = Event::default().event("ping").data("{}");
        Sse::new(events).keep_alive(KeepAlive::new().interval(PING).event(ping)).into_response()
    }
}

/// An event with JSON data.
pub(crate) fn event(name: &str, data: &impl Serialize) -> Event {
    // The bodies are plain structs and maps with text keys, which always serialise.
    Event::default().event(name).json_data(data).unwrap_or_else(|_| Event::default().event("ping").data("{}"))
}
