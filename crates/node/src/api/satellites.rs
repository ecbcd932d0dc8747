//! The links to satellites, and who is there.

use std::sync::Arc;

use axum::{Extension, Json, extract::State, http::StatusCode};
use tutti_control::{ErrorCode, LinkRequest, LinkState, LinkedSatellite, SatelliteLink};
use tutti_model::Name;

use super::{
    console::FromPage,
    error::ApiError,
    extract::{Body, In},
    offers, refused,
};
use crate::{
    cores::worker as cores,
    node::Node,
    satellites::{
        Joined,
        links::{LinkError, Status},
        spec::Spec,
    },
};

/// `POST /v1/satellites`
pub(super) async fn connect(
    State(node): State<Arc<Node>>,
    page: Option<Extension<FromPage>>,
    Body(LinkRequest { link, name }): Body<LinkRequest>,
) -> Result<Json<SatelliteLink>, ApiError> {
    FromPage::refuse(page, "open a line or socket of this machine")?;
    let spec: Spec = link.parse().map_err(|error| {
        ApiError::new(
            ErrorCode::BadRequest,
            format!("`link`: {error}"),
            "`tutti satellite connect --help` shows examples",
        )
    })?;
    let called = name.as_deref().map(offers::parse).transpose()?;
    let name = node.links.connect(spec, called).await.map_err(link_error)?;
    let status = node.links.list().await.into_iter().find(|status| status.name == name);
    status.map(|status| Json(show(&node, status))).ok_or_else(|| link_error(LinkError::Unknown))
}

/// `GET /v1/satellites`
pub(super) async fn list(State(node): State<Arc<Node>>) -> Json<Vec<SatelliteLink>> {
    let mut all: Vec<_> = node.links.list().await.into_iter().map(|status| show(&node, status)).collect();
    for core in node.cores.list().await {
        let status = core.desk.status();
        let satellites = on(&node, &cores::place(core.desk.name.as_str()));
        // The link of a core is there as long as its firmware has one.
        if status.linked && !satellites.is_empty() {
            all.push(SatelliteLink {
                name: core.desk.name.to_string(),
                link: format!("core:{}", core.desk.name),
                state: LinkState::Joined,
                satellites,
                last_error: None,
                dropped: 0,
            });
        }
    }
    Json(all)
}

/// `DELETE /v1/satellites/{name}`
pub(super) async fn disconnect(State(node): State<Arc<Node>>, In(name): In<String>) -> Result<StatusCode, ApiError> {
    let name = Name::new(&name).map_err(|_| link_error(LinkError::Unknown))?;
    node.links.disconnect(&name).await.map_err(link_error)?;
    Ok(StatusCode::NO_CONTENT)
}

fn show(node: &Node, status: Status) -> SatelliteLink {
    let satellites = on(node, &status.place());
    SatelliteLink {
        state: status.state(!satellites.is_empty()),
        name: status.name.to_string(),
        link: status.spec.to_string(),
        satellites,
        last_error: status.last_error,
        dropped: status.dropped,
    }
}

/// Who is there on a link, the nearest first.
fn on(node: &Node, place: &str) -> Vec<LinkedSatellite> {
    node.satellites.on(place).iter().map(|joined| satellite(joined)).collect()
}

fn satellite(joined: &Joined) -> LinkedSatellite {
    let satellite = &joined.satellite;
    LinkedSatellite {
        id: satellite.device.to_string(),
        name: satellite.identity.name.to_string(),
        firmware: satellite.identity.software.to_string(),
        depth: u32::try_from(joined.depth()).unwrap_or(u32::MAX),
        resources: u32::try_from(satellite.resources.len()).unwrap_or(u32::MAX),
    }
}

fn link_error(error: LinkError) -> ApiError {
    let (code, hint) = match error {
        LinkError::Save(error) => return refused::save(error),
        LinkError::Taken(_) => {
            (ErrorCode::NameTaken, "`tutti satellite ls` lists the links; disconnect that one first")
        }
        LinkError::TooMany => (ErrorCode::TooMany, "disconnect one that is not needed"),
        LinkError::Found(_) => (ErrorCode::BadRequest, "`tutti amp stop` stops the core"),
        LinkError::Unknown => (ErrorCode::NoSuchLink, "`tutti satellite ls` lists the links"),
    };
    ApiError::new(code, error.to_string(), hint)
}
