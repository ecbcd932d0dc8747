//! The other cores.

use std::sync::Arc;

use axum::{Extension, Json, body::Body as Stream, extract::State, http::StatusCode, response::Response};
use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use futures_util::stream;
use tutti_control::{
    Check, CheckState, Core, CoreAction, CoreCrash, CoreKind, CoreLine, CorePing, CoreRequest, CoreState, ErrorCode,
    StopMessage,
};
use tutti_model::Name;
use tutti_remoteproc::life::{Command, Refused, State as LifeState};

use super::{
    console::FromPage,
    error::ApiError,
    extract::{Asked, Body, In},
    offers, refused, sse,
};
use crate::{
    cores::{CoreError, Origin, Shown, log::Line, worker::Crash},
    node::Node,
};

/// How many bytes of a core dump are read at a time.
const CHUNK: usize = 64 * 1024;

/// `GET /v1/cores`
pub(super) async fn list(State(node): State<Arc<Node>>) -> Json<Vec<Core>> {
    Json(node.cores.list().await.iter().map(|core| show(&node, core)).collect())
}

/// The same as far as it can be had at once.
pub(super) fn glance(node: &Node) -> Option<Vec<Core>> {
    Some(node.cores.glance()?.iter().map(|core| show(node, core)).collect())
}

/// `GET /v1/cores/{name}`
pub(super) async fn info(State(node): State<Arc<Node>>, In(name): In<String>) -> Result<Json<Core>, ApiError> {
    let core = node.cores.find(&named(&name)?).await.map_err(core_error)?;
    Ok(Json(show(&node, &core)))
}

/// `POST /v1/cores/{name}/do/{action}`
pub(super) async fn act(
    State(node): State<Arc<Node>>,
    page: Option<Extension<FromPage>>,
    In((name, action)): In<(String, String)>,
    Body(request): Body<CoreRequest>,
) -> Result<Json<Core>, ApiError> {
    let action: CoreAction = action.parse().map_err(ApiError::bad_request)?;
    if action != CoreAction::Start && request != CoreRequest::default() {
        return Err(ApiError::bad_request(format!(
            "{action} takes no firmware, no arguments and no message; stop it, then start it with them"
        )));
    }
    if request != CoreRequest::default() {
        FromPage::refuse(page, "say which program is to run")?;
    }
    let name = if action == CoreAction::Start { offers::parse(&name)? } else { named(&name)? };
    let one = |command| vec![command];
    let done = match action {
        CoreAction::Start => {
            let stop_message = request.stop_message.map(read_stop_message).transpose()?;
            node.cores.start_core(name, request.firmware, request.arguments, stop_message).await
        }
        CoreAction::Stop => node.cores.act(&name, one(Command::Stop)).await,
        CoreAction::Restart => node.cores.act(&name, vec![Command::Stop, Command::Start]).await,
        CoreAction::Suspend => node.cores.act(&name, one(Command::Suspend)).await,
        CoreAction::Resume => node.cores.act(&name, one(Command::Resume)).await,
        CoreAction::Attach => node.cores.act(&name, one(Command::Attach)).await,
        CoreAction::Detach => node.cores.act(&name, one(Command::Detach)).await,
    };
    done.map_err(core_error)?;
    let core = node.cores.find(&name).await.map_err(core_error)?;
    Ok(Json(show(&node, &core)))
}

fn read_stop_message(message: StopMessage) -> Result<(u32, Vec<u8>), ApiError> {
    let bytes = HEXLOWER_PERMISSIVE.decode(message.bytes.as_bytes());
    let bytes = bytes.map_err(|_| ApiError::bad_request("the bytes of a message are pairs of hexadecimal digits"))?;
    Ok((message.endpoint, bytes))
}

/// `DELETE /v1/cores/{name}`
pub(super) async fn forget(State(node): State<Arc<Node>>, In(name): In<String>) -> Result<StatusCode, ApiError> {
    node.cores.forget(&named(&name)?).await.map_err(core_error)?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/cores/{name}/log`
pub(super) async fn log(
    State(node): State<Arc<Node>>,
    In(name): In<String>,
    mut asked: Asked,
) -> Result<Json<Vec<CoreLine>>, ApiError> {
    let after = after(&mut asked)?;
    asked.end()?;
    let core = node.cores.find(&named(&name)?).await.map_err(core_error)?;
    Ok(Json(core.desk.log.after(after).into_iter().map(line).collect()))
}

/// `GET /v1/cores/{name}/log/follow`
pub(super) async fn follow(
    State(node): State<Arc<Node>>,
    In(name): In<String>,
    mut asked: Asked,
) -> Result<Response, ApiError> {
    let after = after(&mut asked)?;
    asked.end()?;
    let desk = node.cores.find(&named(&name)?).await.map_err(core_error)?.desk;
    let slot = node.streams.take()?;
    let mut last = desk.log.last();
    last.mark_changed();
    let waiting: std::collections::VecDeque<Line> = std::collections::VecDeque::new();
    let events = stream::unfold((desk, last, waiting, after), |(desk, mut last, mut waiting, mut after)| async move {
        while waiting.is_empty() {
            last.changed().await.ok()?;
            last.borrow_and_update();
            waiting.extend(desk.log.after(after));
        }
        let next = waiting.pop_front()?;
        after = next.number;
        Some((sse::event("line", &line(next)), (desk, last, waiting, after)))
    });
    Ok(slot.answer(events))
}

fn after(asked: &mut Asked) -> Result<u64, ApiError> {
    match asked.take("after")? {
        None => Ok(0),
        Some(text) => text.parse().map_err(|_| ApiError::bad_request("`after` is the number of a line")),
    }
}

/// `GET /v1/cores/{name}/dump`
pub(super) async fn dump(State(node): State<Arc<Node>>, In(name): In<String>) -> Result<Response, ApiError> {
    use tokio::io::AsyncReadExt;
    let file = node.cores.dump(&named(&name)?).await.map_err(core_error)?;
    let pieces = stream::unfold(tokio::fs::File::from_std(file), |mut file| async move {
        let mut chunk = vec![0; CHUNK];
        match file.read(&mut chunk).await {
            Ok(0) => None,
            Ok(len) => {
                chunk.truncate(len);
                Some((Ok(bytes::Bytes::from(chunk)), file))
            }
            Err(error) => Some((Err(error), file)),
        }
    });
    let answer =
        Response::builder().header("content-type", "application/octet-stream").body(Stream::from_stream(pieces));
    answer.map_err(|_| ApiError::internal("a core dump's answer"))
}

/// `POST /v1/cores/{name}/ping`
pub(super) async fn ping(State(node): State<Arc<Node>>, In(name): In<String>) -> Result<Json<CorePing>, ApiError> {
    let took = node.cores.ping(&named(&name)?).await.map_err(core_error)?;
    Ok(Json(CorePing { round_trip_us: (took.as_secs_f64() * 1e7).round() / 10.0 }))
}

/// `GET /v1/doctor/cores`
pub(super) async fn doctor(State(node): State<Arc<Node>>) -> Json<Vec<Check>> {
    let findings = node.cores.doctor().await;
    let check = |finding: tutti_amp_host::linux::DoctorFinding| Check {
        name: finding.what.split_once(':').map_or(finding.what.as_str(), |(name, _)| name).replace(' ', "-"),
        ok: if finding.well { CheckState::Ok } else { CheckState::Warn },
        what: finding.what,
        advice: finding.advice.map(str::to_owned),
    };
    Json(findings.into_iter().map(check).collect())
}

fn show(node: &Node, core: &Shown) -> Core {
    let status = core.desk.status();
    let (kind, firmware, arguments, stop_message) = match &core.origin {
        Origin::Process(program) => (
            CoreKind::Process,
            program.file.display().to_string(),
            program.arguments.clone(),
            program
                .stop_message
                .as_ref()
                .map(|(endpoint, bytes)| StopMessage { endpoint: *endpoint, bytes: HEXLOWER.encode(bytes) }),
        ),
        Origin::Linux(firmware) => (CoreKind::Linux, firmware.clone().unwrap_or_default(), Vec::new(), None),
    };
    let behind = node.satellites.on(&crate::cores::worker::place(core.desk.name.as_str()));
    Core {
        name: core.desk.name.to_string(),
        kind,
        state: match status.state {
            LifeState::Offline(_) => CoreState::Offline,
            LifeState::Suspended => CoreState::Suspended,
            LifeState::Running => CoreState::Running,
            LifeState::Crashed => CoreState::Crashed,
            LifeState::Attached => CoreState::Attached,
            LifeState::Detached => CoreState::Detached,
        },
        firmware,
        arguments,
        stop_message,
        generation: status.generation.0,
        recoveries: status.recoveries,
        crashes: status.crashes.into_iter().map(crash).collect(),
        linked: status.linked,
        satellites: behind.iter().map(|joined| joined.satellite.identity.name.to_string()).collect(),
        last_error: status.last_error,
    }
}

fn crash(crash: Crash) -> CoreCrash {
    CoreCrash { at: crash.at.as_unix_millis(), generation: crash.generation.0, what: crash.what }
}

fn line(line: Line) -> CoreLine {
    CoreLine { number: line.number, at: line.at.as_unix_millis(), text: line.text }
}

fn named(name: &str) -> Result<Name, ApiError> {
    Name::new(name).map_err(|_| core_error(CoreError::Unknown))
}

fn core_error(error: CoreError) -> ApiError {
    let (code, hint) = match error {
        CoreError::Save(error) => return refused::save(error),
        CoreError::Unknown => {
            (ErrorCode::NoSuchCore, "`tutti amp ls` lists the cores; name a firmware to start a new one")
        }
        CoreError::Refused(Refused::Unsupported(_)) | CoreError::Unsupported(_) => {
            (ErrorCode::Unsupported, "`tutti amp doctor` says what this machine can do")
        }
        CoreError::NoPing => (ErrorCode::Unsupported, "start it, or use a firmware with such an endpoint"),
        CoreError::Refused(Refused::State(..)) => (ErrorCode::WrongState, "`tutti amp info` shows its state"),
        CoreError::Refused(Refused::Busy(_)) | CoreError::Busy => (ErrorCode::Busy, "try again when it is done"),
        CoreError::Failed(_) => (ErrorCode::ResourceFailed, "`tutti amp log` may say more"),
        CoreError::Bad(_) => (ErrorCode::BadRequest, ""),
        CoreError::Gone => (ErrorCode::Stopping, "start the device again"),
        CoreError::TooMany => (ErrorCode::TooMany, "forget one that is not needed"),
    };
    ApiError::new(code, error.to_string(), hint)
}
