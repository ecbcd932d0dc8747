//! Files in the storage resources of the group. Bodies stream: neither way is more than a piece held in memory.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    Json,
    body::{Body, BodyDataStream, Bytes},
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use futures_util::{Stream, stream};
use tokio::{
    io::{AsyncRead, AsyncReadExt, ReadBuf},
    time::{Instant, Sleep},
};
use tutti_control::{ErrorCode, StorageEntry, StorageList, Stored, client::Quota};
use tutti_model::{ResourceId, message::StoragePath};
use tutti_pool::driver::Download;

use super::{
    error::ApiError,
    extract::{Asked, In},
    refused, resources,
};
use crate::node::Node;

/// How long whoever sends a file may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// The bytes of a piece.
const PIECE: usize = 64 * 1024;

/// `GET /v1/storage/{device}/{name}`
pub(super) async fn list(
    State(node): State<Arc<Node>>,
    In((device, name)): In<(String, String)>,
    mut asked: Asked,
) -> Result<Json<StorageList>, ApiError> {
    let prefix = asked.take("prefix")?.unwrap_or_default();
    asked.end()?;
    let storage = resources::find(&node, &device, &name)?;
    let listing = node.pool.list(storage, &prefix).await.map_err(|error| refused::pool(&node, error))?;
    let entries = listing.entries.into_iter().map(|entry| StorageEntry {
        path: entry.path.as_str().to_owned(),
        size: entry.size,
        modified: entry.modified.as_unix_millis(),
    });
    Ok(Json(StorageList { entries: entries.collect(), used: listing.usage.used, quota: listing.usage.quota }))
}

/// `GET /v1/storage/{device}/{name}/{*path}`
pub(super) async fn fetch(
    State(node): State<Arc<Node>>,
    In((device, name, path)): In<(String, String, String)>,
) -> Result<Response, ApiError> {
    let (storage, path) = find(&node, &device, &name, &path)?;
    let download = node.pool.get(storage, path.clone()).await.map_err(|error| refused::pool(&node, error))?;
    let mut response = Response::builder()
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .header(header::CONTENT_LENGTH, download.size);
    // How full it is comes with a listing; of this one path only, which costs little.
    if let Ok(listing) = node.pool.list(storage, path.as_str()).await {
        let quota = Quota { used: listing.usage.used, quota: listing.usage.quota };
        response = response.header(Quota::HEADER, quota.to_string());
    }
    response.body(Body::from_stream(pieces(download))).map_err(|_| ApiError::internal("an answer could not be made"))
}

/// `PUT /v1/storage/{device}/{name}/{*path}`
pub(super) async fn store(
    State(node): State<Arc<Node>>,
    In((device, name, path)): In<(String, String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Stored>, ApiError> {
    let (storage, path) = find(&node, &device, &name, &path)?;
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let mut arriving = Arriving::new(body);
    let stored = node.pool.put(storage, path.clone(), declared, &mut arriving).await;
    stored.map_err(|error| refused::pool(&node, error))?;
    Ok(Json(Stored { path: path.as_str().to_owned(), size: arriving.came }))
}

/// `DELETE /v1/storage/{device}/{name}/{*path}`
pub(super) async fn remove(
    State(node): State<Arc<Node>>,
    In((device, name, path)): In<(String, String, String)>,
) -> Result<StatusCode, ApiError> {
    let (storage, path) = find(&node, &device, &name, &path)?;
    node.pool.delete(storage, path).await.map_err(|error| refused::pool(&node, error))?;
    Ok(StatusCode::NO_CONTENT)
}

fn find(node: &Node, device: &str, name: &str, path: &str) -> Result<(ResourceId, StoragePath), ApiError> {
    let storage = resources::find(node, device, name)?;
    let path = StoragePath::new(path).map_err(|error| {
        ApiError::new(ErrorCode::BadPath, format!("{path:?}: {error}"), "name a file such as folder/file")
    })?;
    Ok((storage, path))
}

/// A download as a body.
fn pieces(download: Download) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold(Some(download), |download| async move {
        let mut download = download?;
        let mut piece = vec![0; PIECE];
        match download.read(&mut piece).await {
            Ok(0) => None,
            Ok(len) => {
                piece.truncate(len);
                Some((Ok(Bytes::from(piece)), Some(download)))
            }
            // The connection is cut, so that whoever reads does not take a part for the whole.
            Err(error) => Some((Err(error), None)),
        }
    })
}

/// A body as it arrives. One that is silent for too long, or breaks, is an error, never an end.
struct Arriving {
    stream: BodyDataStream,
    piece: Bytes,
    came: u64,
    patience: Pin<Box<Sleep>>,
}

impl Arriving {
    fn new(body: Body) -> Self {
        let patience = Box::pin(tokio::time::sleep(PATIENCE));
        Self { stream: body.into_data_stream(), piece: Bytes::new(), came: 0, patience }
    }
}

impl AsyncRead for Arriving {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.piece.is_empty() {
            match Pin::new(&mut this.stream).poll_next(cx) {
                Poll::Ready(Some(Ok(piece))) => this.piece = piece,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(io::Error::other(error))),
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    ready!(this.patience.as_mut().poll(cx));
                    let silent = format!("nothing came for {} s", PATIENCE.as_secs());
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, silent)));
                }
            }
        }
        this.patience.as_mut().reset(Instant::now() + PATIENCE);
        let part = this.piece.split_to(this.piece.len().min(buf.remaining()));
        this.came += part.len() as u64;
        buf.put_slice(&part);
        Poll::Ready(Ok(()))
    }
}
