//! The console: links to it, and its door, which is opened when somebody first asks for a link.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{Json, extract::State, http::header, response::IntoResponse};
use tokio::{sync::Mutex, task::JoinHandle};
use tutti_console::{
    Console,
    metrics::{self, Facts},
};
use tutti_control::{ConsoleLink, ConsoleRequest, ErrorCode};

use super::{
    device,
    error::ApiError,
    extract::Body,
    leases, resources, routes,
    server::{Limits, Listeners},
};
use crate::{convert::millis, error::RunError, node::Node};

/// The door for browsers: shut until somebody asks for a link, then open until the device stops.
#[derive(Default)]
pub(crate) struct ConsoleDoor {
    open: Mutex<Option<Open>>,
}

struct Open {
    address: SocketAddr,
    console: Arc<Console>,
    serving: JoinHandle<()>,
}

impl ConsoleDoor {
    /// Waits until nothing is served any more. To be called after the stop.
    pub(crate) async fn closed(&self) {
        if let Some(open) = self.open.lock().await.take() {
            // It ended by itself, within its bound.
            let _ = open.serving.await;
        }
    }

    async fn link(&self, node: &Arc<Node>, port: Option<u16>) -> Result<ConsoleLink, ApiError> {
        let mut door = self.open.lock().await;
        let open = match &mut *door {
            Some(open) if !open.serving.is_finished() => open,
            door => door.insert(Open::at(node, port.unwrap_or(0)).await?),
        };
        if let Some(port) = port
            && port != 0
            && port != open.address.port()
        {
            return Err(ApiError::new(
                ErrorCode::BadRequest,
                format!("the console is served at port {} already", open.address.port()),
                "leave the port out, or start the device anew",
            ));
        }
        let (fragment, life) =
            open.console.link().ok_or_else(|| ApiError::internal("there is no randomness to be had"))?;
        Ok(ConsoleLink { url: format!("http://{}/{fragment}", open.address), expires_in_ms: millis(life) })
    }
}

impl Open {
    async fn at(node: &Arc<Node>, port: u16) -> Result<Self, ApiError> {
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let failed = |why: String| {
            ApiError::new(
                ErrorCode::BadRequest,
                format!("the console cannot be served at {wanted}: {why}"),
                "name another port, or none",
            )
        };
        let listeners = Listeners::console(wanted).await.map_err(|error| failed(RunError::from(error).to_string()))?;
        let address = listeners.tcp().ok_or_else(|| failed("it has no address".into()))?;
        let clock = node.clock.clone();
        let start = node.started;
        let console = Arc::new(Console::new(move || clock.now().since(start)));
        let router = console.clone().router(routes::bare(node.clone()));
        let serving = tokio::spawn(listeners.serve(router, Limits::default(), node.stop.subscribe()));
        tracing::info!(%address, "the console is served");
        Ok(Self { address, console, serving })
    }
}

/// `POST /v1/console`
pub(super) async fn link(
    State(node): State<Arc<Node>>,
    Body(ConsoleRequest { port }): Body<ConsoleRequest>,
) -> Result<Json<ConsoleLink>, ApiError> {
    node.console.link(&node, port).await.map(Json)
}

/// `GET /metrics`
pub(super) async fn metrics(State(node): State<Arc<Node>>) -> impl IntoResponse {
    let facts = Facts {
        device: &device::info(&node),
        devices: &device::devices(&node),
        resources: &resources::all(&node),
        leases: &leases::all(&node),
        resident: resident(),
    };
    ([(header::CONTENT_TYPE, metrics::MEDIA)], metrics::render(&facts))
}

/// `VmRSS` of `/proc/self/status`, in KiB there (proc_pid_status(5)).
fn resident() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}
