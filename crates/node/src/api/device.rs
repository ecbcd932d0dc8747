//! This device and the others of its group.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use tutti_control::{Device, DeviceInfo, ErrorCode, GroupInfo, NearbyDevice, Presence, Rename, RoleChange, Traffic};
use tutti_fabric::view::View;
use tutti_model::{DeviceRecord, Name};
use tutti_pool::DeviceEntry;

use super::{
    error::ApiError,
    extract::{Body, In},
    refused,
};
use crate::{
    convert::{self, millis},
    node::Node,
};

/// `GET /v1/device`
pub(super) async fn show(State(node): State<Arc<Node>>) -> Json<DeviceInfo> {
    Json(info(&node))
}

/// `PATCH /v1/device`
pub(super) async fn rename(
    State(node): State<Arc<Node>>,
    Body(Rename { name }): Body<Rename>,
) -> Result<Json<DeviceInfo>, ApiError> {
    let name = Name::new(&name).map_err(|error| {
        ApiError::new(
            ErrorCode::BadRequest,
            format!("{name:?} cannot be a name: {error}"),
            "a name has 1 to 63 bytes of letters, digits, `-`, `_` and `.`, and begins with a letter or digit",
        )
    })?;
    node.rename(name).await.map_err(refused::save)?;
    Ok(Json(info(&node)))
}

/// `GET /v1/devices`
pub(super) async fn list(State(node): State<Arc<Node>>) -> Json<Vec<Device>> {
    Json(devices(&node))
}

/// `DELETE /v1/devices/{device}`
pub(super) async fn forget(State(node): State<Arc<Node>>, In(word): In<String>) -> Result<StatusCode, ApiError> {
    let device = node.resolve(&word)?;
    node.fabric.forget(device.id).await.map_err(refused::group)?;
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT /v1/devices/{device}/role`
pub(super) async fn set_role(
    State(node): State<Arc<Node>>,
    In(word): In<String>,
    Body(RoleChange { role }): Body<RoleChange>,
) -> Result<StatusCode, ApiError> {
    let device = node.resolve(&word)?;
    node.fabric.set_role(device.id, convert::model_role(role)).await.map_err(refused::group)?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/nearby`
pub(super) async fn nearby(State(node): State<Arc<Node>>) -> Json<Vec<NearbyDevice>> {
    Json(nearby_devices(&node.view()))
}

pub(super) fn info(node: &Node) -> DeviceInfo {
    DeviceInfo {
        id: node.fabric.id().to_string(),
        name: node.name().to_string(),
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        state_dir: node.state.folder().display().to_string(),
        group: group_info(&node.view()),
        uptime_ms: millis(node.clock.now().since(node.started)),
        addresses: node.transport.local_addrs().iter().map(ToString::to_string).collect(),
        api: tutti_control::ApiAddresses {
            socket: node.socket.display().to_string(),
            tcp: node.tcp.map(|address| address.to_string()),
        },
    }
}

pub(crate) fn group_info(view: &View) -> GroupInfo {
    GroupInfo {
        id: view.group.id.to_string(),
        role: convert::role(view.group.my_role()),
        members: u32::try_from(view.group.members.len()).unwrap_or(u32::MAX),
        alone: view.group.is_alone(),
    }
}

pub(crate) fn nearby_devices(view: &View) -> Vec<NearbyDevice> {
    let mut all: Vec<_> = view
        .nearby
        .values()
        .map(|nearby| NearbyDevice {
            id: nearby.device.to_string(),
            name: nearby.name.to_string(),
            addresses: nearby.addrs.iter().map(ToString::to_string).collect(),
            source: convert::source(nearby.source),
            pairing_open: nearby.pairing_open,
        })
        .collect();
    all.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    all
}

/// This device first, then by name.
pub(crate) fn devices(node: &Node) -> Vec<Device> {
    let (view, catalogue, now) = (node.view(), node.catalogue(), node.clock.now());
    let mut all: Vec<_> = catalogue
        .devices
        .values()
        .map(|entry| {
            let mut device = describe(entry);
            if let Some(peer) = view.peers.get(&entry.device) {
                if let Some(session) = &peer.session {
                    device.rtt_ms = session.rtt.map(|rtt| (rtt.as_secs_f64() * 1e6).round() / 1e3);
                    device.traffic = Some(Traffic { sent: session.traffic.sent, received: session.traffic.received });
                    device.address = session.addr.map(|address| address.to_string());
                } else {
                    device.last_error = peer.trouble.as_ref().map(ToString::to_string);
                }
                device.last_seen_ms_ago = peer.last_seen.map(|seen| millis(now.since(seen)));
            }
            #[cfg(feature = "apps")]
            if let Some(room) = &mut device.room {
                node.apps.show_taken(entry.device, room);
            }
            device
        })
        .collect();
    all.sort_by(|a, b| {
        let key = |device: &Device| (device.presence != Presence::Myself, device.name.clone(), device.id.clone());
        key(a).cmp(&key(b))
    });
    all
}

fn describe(entry: &DeviceEntry) -> Device {
    let record = entry.record.as_ref().map(|signed| signed.record());
    let text = |field: fn(&DeviceRecord) -> String| record.map(field).unwrap_or_default();
    Device {
        id: entry.device.to_string(),
        name: entry.name.to_string(),
        kind: text(|record| record.kind.to_string()),
        architecture: text(|record| record.architecture.to_string()),
        os: text(|record| record.os.to_string()),
        profile: text(|record| record.profile.to_string()),
        software: text(|record| record.software.to_string()),
        role: entry.role.map(convert::role),
        presence: convert::presence(entry.presence),
        rtt_ms: None,
        traffic: None,
        last_seen_ms_ago: None,
        address: None,
        via: entry.via.map(|via| via.to_string()),
        resources: u32::try_from(entry.resources().len()).unwrap_or(u32::MAX),
        room: record.and_then(|record| record.capacity).map(convert::room),
        last_error: None,
    }
}
