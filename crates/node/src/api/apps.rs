//! Apps and their instances.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use axum::{Json, body::Body as Bytes, extract::State, http::StatusCode, response::Response};
use futures_util::{StreamExt, stream};
use tutti_app::standby::{Prefer, Settings};
use tutti_control::{
    App, AppInstance, AppLine, AppsState, AuditLine, CarriedApp, ErrorCode, ErrorDetail, InstallCarried, MoveRequest,
    PlaceWhy, RecoverInstance, RunRequest, StandbyForetold, StandbyRequest, TellInstance,
};
use tutti_model::DeviceId;

use super::{
    console::FromPage,
    error::ApiError,
    extract::{Asked, Body, In},
    sse,
};
use crate::{
    apps::{Left, Wanted},
    node::Node,
};

/// The largest package, in bytes.
const MAX_PACKAGE: usize = 64 << 20;
/// How long a package may stand still on its way in.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often the log of an instance elsewhere is asked for while it is followed.
const LOOK: Duration = Duration::from_millis(400);

impl From<ErrorDetail> for ApiError {
    fn from(detail: ErrorDetail) -> Self {
        Self(detail)
    }
}

/// `GET /v1/apps`
pub(super) async fn list(State(node): State<Arc<Node>>) -> Json<Vec<App>> {
    Json(node.apps.state().apps)
}

/// What the event `apps` says.
pub(super) fn state(node: &Node) -> AppsState {
    node.apps.state()
}

/// Grows with what it says.
pub(super) fn changes(node: &Node) -> tokio::sync::watch::Receiver<u64> {
    node.apps.changes()
}

/// `POST /v1/apps`
pub(super) async fn install(State(node): State<Arc<Node>>, body: Bytes) -> Result<Json<App>, ApiError> {
    let mut package = Vec::new();
    let mut pieces = body.into_data_stream();
    loop {
        let piece = tokio::time::timeout(PATIENCE, pieces.next()).await;
        let piece =
            piece.map_err(|_| ApiError::new(ErrorCode::TimedOut, "the package stopped arriving", "try again"))?;
        let Some(piece) = piece else { break };
        let piece = piece.map_err(|_| ApiError::bad_request("the package did not arrive whole"))?;
        if package.len() + piece.len() > MAX_PACKAGE {
            let what = format!("a package has at most {} MiB", MAX_PACKAGE >> 20);
            return Err(ApiError::new(ErrorCode::TooLarge, what, "make it smaller"));
        }
        package.extend_from_slice(&piece);
    }
    Ok(Json(node.apps.install(package).await?))
}

/// `GET /v1/carried`
pub(super) async fn carried(State(node): State<Arc<Node>>) -> Json<Vec<CarriedApp>> {
    Json(node.apps.carried())
}

/// `POST /v1/carried/{app}/install`
pub(super) async fn install_carried(
    State(node): State<Arc<Node>>,
    In(app): In<String>,
    Body(InstallCarried { from }): Body<InstallCarried>,
) -> Result<Json<App>, ApiError> {
    let from = from.map(|from| device(&node, &from)).transpose()?;
    Ok(Json(node.apps.install_carried(&app, from).await?))
}

/// `DELETE /v1/apps/{app}`
pub(super) async fn remove(
    State(node): State<Arc<Node>>,
    In(app): In<String>,
    mut asked: Asked,
) -> Result<StatusCode, ApiError> {
    let left = match asked.take("instances")?.as_deref() {
        None => Left::Keep,
        Some("stop") => Left::Stop,
        Some(_) => return Err(ApiError::bad_request("`instances` is `stop`, or left out")),
    };
    asked.end()?;
    node.apps.remove(&app, left).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/apps/{app}/icon`
pub(super) async fn icon(State(node): State<Arc<Node>>, In(app): In<String>) -> Result<Response, ApiError> {
    let icon = node.apps.icon(&app).await?;
    let answer = Response::builder().header("content-type", "image/png").header("content-length", icon.len());
    answer.body(Bytes::from(icon)).map_err(|_| ApiError::internal("an icon's answer"))
}

/// `POST /v1/apps/{app}/run`
pub(super) async fn run(
    State(node): State<Arc<Node>>,
    In(app): In<String>,
    Body(RunRequest { on, standby }): Body<RunRequest>,
) -> Result<Json<AppInstance>, ApiError> {
    let on = on.map(|on| device(&node, &on)).transpose()?;
    let standby = standby.map(|request| guarded(&node, &request)).transpose()?;
    Ok(Json(node.apps.run(&app, on, standby).await?))
}

/// `PUT /v1/instances/{instance}/standby`
pub(super) async fn set_standby(
    State(node): State<Arc<Node>>,
    In(instance): In<String>,
    Body(request): Body<StandbyRequest>,
) -> Result<Json<AppInstance>, ApiError> {
    let (standby, settings) = guarded(&node, &request)?;
    act(&node, &instance, Wanted::Guard(standby, settings)).await
}

/// `DELETE /v1/instances/{instance}/standby`
pub(super) async fn remove_standby(
    State(node): State<Arc<Node>>,
    In(instance): In<String>,
) -> Result<Json<AppInstance>, ApiError> {
    act(&node, &instance, Wanted::Unguard).await
}

/// `POST /v1/standby`
pub(super) async fn foretell(
    State(node): State<Arc<Node>>,
    Body(request): Body<StandbyRequest>,
) -> Result<Json<StandbyForetold>, ApiError> {
    let standby = node.resolve(&request.device)?;
    let (_, settings) = guarded(&node, &request)?;
    let millis = |duration: Duration| duration.as_millis() as u64;
    let foretold = settings.foretell();
    Ok(Json(StandbyForetold {
        device: standby.id.to_string(),
        device_name: standby.name.to_string(),
        lease_ms: millis(settings.lease),
        checkpoint_ms: millis(settings.every),
        fail_over_ms: millis(foretold.fail_over),
        most_lost_ms: foretold.most_lost.map(millis),
    }))
}

/// `GET /v1/place/{app}`
pub(super) async fn why(
    State(node): State<Arc<Node>>,
    In(app): In<String>,
    mut asked: Asked,
) -> Result<Json<PlaceWhy>, ApiError> {
    let instance = asked.take("instance")?;
    asked.end()?;
    Ok(Json(node.apps.place_why(&app, instance.as_deref()).await?))
}

/// `GET /v1/instances`
pub(super) async fn instances(State(node): State<Arc<Node>>) -> Json<Vec<AppInstance>> {
    Json(node.apps.state().instances)
}

/// `GET /v1/instances/{instance}`
pub(super) async fn instance(
    State(node): State<Arc<Node>>,
    In(instance): In<String>,
) -> Result<Json<AppInstance>, ApiError> {
    Ok(Json(node.apps.resolve(&instance)?))
}

/// `DELETE /v1/instances/{instance}`
pub(super) async fn end(State(node): State<Arc<Node>>, In(instance): In<String>) -> Result<StatusCode, ApiError> {
    let _ = act(&node, &instance, Wanted::End).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/instances/{instance}/move`
pub(super) async fn begin_move(
    State(node): State<Arc<Node>>,
    In(instance): In<String>,
    Body(MoveRequest { to }): Body<MoveRequest>,
) -> Result<Json<AppInstance>, ApiError> {
    let to = device(&node, &to)?;
    act(&node, &instance, Wanted::Move(to)).await
}

/// `DELETE /v1/instances/{instance}/move`
pub(super) async fn cancel_move(
    State(node): State<Arc<Node>>,
    In(instance): In<String>,
) -> Result<Json<AppInstance>, ApiError> {
    act(&node, &instance, Wanted::Cancel).await
}

/// `POST /v1/instances/{instance}/stop`
pub(super) async fn stop(
    State(node): State<Arc<Node>>,
    In(instance): In<String>,
) -> Result<Json<AppInstance>, ApiError> {
    act(&node, &instance, Wanted::Stop).await
}

/// `POST /v1/instances/{instance}/start`
pub(super) async fn start(
    State(node): State<Arc<Node>>,
    In(instance): In<String>,
) -> Result<Json<AppInstance>, ApiError> {
    act(&node, &instance, Wanted::Start).await
}

/// `POST /v1/instances/{instance}/recover`
pub(super) async fn recover(
    State(node): State<Arc<Node>>,
    page: Option<axum::Extension<FromPage>>,
    In(instance): In<String>,
    Body(RecoverInstance { accept_loss }): Body<RecoverInstance>,
) -> Result<Json<AppInstance>, ApiError> {
    FromPage::refuse(page, "accept the loss of an instance")?;
    if !accept_loss {
        return Err(ApiError::bad_request(
            "`accept_loss` has to be true: what the lost device did is given up for good",
        ));
    }
    if !node.apps.is_owner() {
        let hint = "do it on an owner: `tutti devices` shows the roles";
        return Err(ApiError::new(ErrorCode::NotOwner, "only owners accept the loss of an instance", hint));
    }
    act(&node, &instance, Wanted::Recover).await
}

/// `POST /v1/instances/{instance}/tell`
pub(super) async fn tell(
    State(node): State<Arc<Node>>,
    In(instance): In<String>,
    Body(TellInstance { text }): Body<TellInstance>,
) -> Result<StatusCode, ApiError> {
    let _ = act(&node, &instance, Wanted::Tell(text)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/instances/{instance}/log`
pub(super) async fn log(
    State(node): State<Arc<Node>>,
    In(instance): In<String>,
    mut asked: Asked,
) -> Result<Json<Vec<AppLine>>, ApiError> {
    let after = after(&mut asked)?;
    asked.end()?;
    let instance = node.apps.resolve(&instance)?;
    Ok(Json(node.apps.log(&instance, after).await?.0))
}

/// `GET /v1/instances/{instance}/log/follow`
pub(super) async fn follow(
    State(node): State<Arc<Node>>,
    In(instance): In<String>,
    mut asked: Asked,
) -> Result<Response, ApiError> {
    let after = after(&mut asked)?;
    asked.end()?;
    // Its whole id: it may move while it is followed. Numbers are those of its home, so they begin anew there.
    let first = node.apps.resolve(&instance)?;
    let slot = node.streams.take()?;
    let state = (node, first.id, first.device, after, VecDeque::<AppLine>::new());
    let events = stream::unfold(state, |(node, id, mut home, mut after, mut waiting)| async move {
        while waiting.is_empty() {
            let Ok(instance) = node.apps.resolve(&id) else {
                tokio::time::sleep(LOOK).await;
                continue;
            };
            if instance.device != home {
                (home, after) = (instance.device.clone(), 0);
            }
            let Ok((lines, last)) = node.apps.log(&instance, after).await else {
                tokio::time::sleep(LOOK).await;
                continue;
            };
            waiting.extend(lines);
            if waiting.is_empty() {
                match last {
                    Some(mut last) => _ = tokio::time::timeout(LOOK, last.changed()).await,
                    None => tokio::time::sleep(LOOK).await,
                }
            }
        }
        let next = waiting.pop_front()?;
        after = next.number;
        Some((sse::event("line", &next), (node, id, home, after, waiting)))
    });
    Ok(slot.answer(events))
}

/// `GET /v1/audit`
pub(super) async fn audit(State(node): State<Arc<Node>>, mut asked: Asked) -> Result<Json<Vec<AuditLine>>, ApiError> {
    let after = after(&mut asked)?;
    asked.end()?;
    Ok(Json(node.apps.audited(after)))
}

async fn act(node: &Node, instance: &str, want: Wanted) -> Result<Json<AppInstance>, ApiError> {
    let instance = node.apps.resolve(instance)?;
    Ok(Json(node.apps.act(&instance, want).await?))
}

fn device(node: &Node, word: &str) -> Result<DeviceId, ApiError> {
    Ok(node.resolve(word)?.id)
}

/// Who is to be a standby, and how.
fn guarded(node: &Node, request: &StandbyRequest) -> Result<(DeviceId, Settings), ApiError> {
    let standby = device(node, &request.device)?;
    let millis = |given: Option<u64>| given.map(Duration::from_millis);
    let prefer = if request.available { Prefer::Available } else { Prefer::One };
    let settings = Settings::chosen(millis(request.lease_ms), millis(request.checkpoint_ms), prefer);
    Ok((standby, settings.map_err(|error| ApiError::bad_request(error.to_string()))?))
}

fn after(asked: &mut Asked) -> Result<u64, ApiError> {
    match asked.take("after")? {
        None => Ok(0),
        Some(text) => text.parse().map_err(|_| ApiError::bad_request("`after` is the number of a line")),
    }
}
