//! Displays of this device: opening one, and watching what it shows.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use data_encoding::BASE64;
use futures_util::{Stream, stream};
use tutti_control::{ErrorCode, ScreenFrame, ScreenRequest};
use tutti_resources::{
    Driver, Screen,
    screen::{Frame, Size},
};

use super::{
    error::ApiError,
    extract::{Body, In},
    offers, sse,
};
use crate::node::Node;

/// How long one wait for a frame takes; then it is looked whether anybody still watches.
const ONE_WAIT: Duration = Duration::from_millis(500);

/// `PUT /v1/screens/{name}`
pub(super) async fn open(
    State(node): State<Arc<Node>>,
    In(name): In<String>,
    Body(ScreenRequest { columns, rows, width, height }): Body<ScreenRequest>,
) -> Result<Response, ApiError> {
    let name = offers::parse(&name)?;
    let slot = node.streams.take()?;
    let size = Size::new(columns, rows);
    let size = width.zip(height).map_or(size, |(width, height)| size.with_pixels(width, height));
    let screen = Screen::new(name, size);
    let open = node.sources.open_screen(screen).map_err(|_| offers::taken(&name))?;
    let screen = open.screen.clone();
    Ok(slot.answer(watch(screen, open)))
}

/// `GET /v1/screens/{name}/frames`
pub(super) async fn frames(State(node): State<Arc<Node>>, In(name): In<String>) -> Result<Response, ApiError> {
    let found = offers::parse(&name).ok().and_then(|name| node.locals.driver(&name));
    let Some(driver) = found.filter(|driver| driver.screen().is_some()) else {
        return Err(ApiError::new(
            ErrorCode::NoSuchScreen,
            format!("this device has no screen called {name:?}"),
            "open one with `tutti screen`",
        ));
    };
    let slot = node.streams.take()?;
    Ok(slot.answer(watch(driver, ())))
}

/// What a display shows now and at every change. `held` lives as long as the stream.
fn watch(
    driver: Arc<dyn Driver>,
    held: impl Send + 'static,
) -> impl Stream<Item = axum::response::sse::Event> + Send + 'static {
    stream::unfold((driver, held, None), |(driver, held, seen)| async move {
        loop {
            let screen = driver.clone();
            let newer = tokio::task::spawn_blocking(move || {
                let frame = match seen {
                    None => screen.screen()?.frame(),
                    Some(seen) => screen.screen()?.wait_newer(seen, ONE_WAIT)?,
                };
                Some((frame.generation, show(&frame)))
            });
            if let Some((generation, frame)) = newer.await.ok()? {
                return Some((sse::event("frame", &frame), (driver, held, Some(generation))));
            }
        }
    })
}

fn show(frame: &Frame) -> ScreenFrame {
    ScreenFrame {
        text: frame.lines.clone(),
        image: frame.image.as_ref().map(|image| BASE64.encode(&image.to_png())),
        from: frame.from.map(|from| from.to_string()),
    }
}
