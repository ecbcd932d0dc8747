//! Letting devices in, entering a group, leaving it, recovering it.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, http::StatusCode};
use tutti_control::{
    GroupInfo, JoinRequest, Joined, PairingOffer, PairingRequest, PairingState, PairingStatus, RecoveryWords,
};
use tutti_fabric::{
    JoinTarget, View,
    group::GroupId,
    pairing::{MAX_TICKET_LIFE, OFFER_LIFE, Outcome},
};
use tutti_model::{BootTime, DeviceId, Name};

use super::{device::group_info, error::ApiError, extract::Body, refused};
use crate::{
    convert::{self, millis},
    node::Node,
};

/// `POST /v1/pairing`
pub(super) async fn offer(
    State(node): State<Arc<Node>>,
    Body(PairingRequest { role, ticket_life_ms }): Body<PairingRequest>,
) -> Result<Json<PairingOffer>, ApiError> {
    let ticket_life = ticket_life_ms.map_or(OFFER_LIFE, Duration::from_millis);
    if !(OFFER_LIFE..=MAX_TICKET_LIFE).contains(&ticket_life) {
        let [least, most] = [OFFER_LIFE, MAX_TICKET_LIFE].map(millis);
        return Err(ApiError::bad_request(format!("`ticket_life_ms` is from {least} to {most}")));
    }
    let offer = node.fabric.offer_pairing_for(convert::model_role(role), ticket_life);
    let offer = offer.await.map_err(refused::offer)?;
    Ok(Json(PairingOffer {
        code: offer.code,
        ticket: offer.ticket,
        role: convert::role(offer.role),
        expires_in_ms: millis(offer.expires_in),
    }))
}

/// `GET /v1/pairing`
pub(super) async fn status(State(node): State<Arc<Node>>) -> Json<PairingStatus> {
    Json(pairing_status(&node.view(), node.clock.now()))
}

/// `DELETE /v1/pairing`
pub(super) async fn cancel(State(node): State<Arc<Node>>) -> StatusCode {
    node.fabric.cancel_pairing().await;
    StatusCode::NO_CONTENT
}

/// `POST /v1/join`
pub(super) async fn join(
    State(node): State<Arc<Node>>,
    Body(request): Body<JoinRequest>,
) -> Result<Json<Joined>, ApiError> {
    let target = match (request.device, request.code, request.ticket) {
        (None, None, Some(ticket)) => JoinTarget::Ticket(ticket.parse().map_err(refused::ticket)?),
        (Some(device), Some(code), None) => {
            let code = code.parse().map_err(refused::code)?;
            JoinTarget::Code { device: node.resolve_nearby(&device)?.id, code }
        }
        _ => return Err(ApiError::bad_request("give either `device` and `code`, or `ticket`")),
    };
    let joined = node.fabric.join(target).await.map_err(refused::join)?;
    Ok(Json(Joined {
        group: GroupId(joined.group).to_string(),
        host: joined.host.to_string(),
        host_name: joined.host_name.to_string(),
        role: convert::role(joined.role),
    }))
}

/// `POST /v1/group/leave`
pub(super) async fn leave(State(node): State<Arc<Node>>) -> Result<Json<GroupInfo>, ApiError> {
    node.fabric.leave().await.map_err(refused::group)?;
    Ok(Json(group_info(&node.view())))
}

/// `POST /v1/group/recovery`
pub(super) async fn export(State(node): State<Arc<Node>>) -> Result<Json<RecoveryWords>, ApiError> {
    let words = node.fabric.export_recovery().await.map_err(refused::group)?;
    Ok(Json(RecoveryWords { words }))
}

/// `POST /v1/group/recover`
pub(super) async fn recover(
    State(node): State<Arc<Node>>,
    Body(RecoveryWords { words }): Body<RecoveryWords>,
) -> Result<Json<GroupInfo>, ApiError> {
    node.fabric.recover(&words).await.map_err(refused::group)?;
    Ok(Json(group_info(&node.view())))
}

pub(crate) fn pairing_status(view: &View, now: BootTime) -> PairingStatus {
    let Some(offer) = &view.offer else { return PairingStatus::of(PairingState::None) };
    // A ticket may outlive its code.
    let tries = if now < offer.code_expires { offer.tries_left } else { 0 };
    let status = |state| PairingStatus { tries_left: Some(tries), ..PairingStatus::of(state) };
    let of_device = |state, device: &DeviceId, name: &Name| PairingStatus {
        device: Some(device.to_string()),
        name: Some(name.to_string()),
        ..status(state)
    };
    match &offer.outcome {
        None => PairingStatus { expires_in_ms: Some(millis(offer.expires.since(now))), ..status(PairingState::Open) },
        Some(Outcome::Paired(device, name)) => of_device(PairingState::Paired, device, name),
        Some(outcome @ Outcome::Unconfirmed(device, name)) => {
            PairingStatus { why: Some(outcome.to_string()), ..of_device(PairingState::Failed, device, name) }
        }
        Some(Outcome::Expired) => status(PairingState::Expired),
        Some(outcome) => PairingStatus { why: Some(outcome.to_string()), ..status(PairingState::Failed) },
    }
}
