//! The console: links to it, and its doors, each opened when somebody first asks for a link: HTTP on loopback for browsers
//! of this machine, HTTPS at every address for those of others.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    pin::pin,
    sync::Arc,
};

use axum::{
    Extension, Json,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
};
use tokio::{sync::Mutex, task::JoinHandle};
use tokio_rustls::TlsAcceptor;
use tutti_console::{
    Console, Door,
    metrics::{self, Facts},
    tls::Identity,
};
use tutti_control::{ConsoleLink, ConsoleRequest, ErrorCode, NetworkLink};
use tutti_resources::load::parse_resident;

use super::{
    device,
    error::ApiError,
    extract::Body,
    leases, resources, routes,
    server::{Limits, Listeners},
};
use crate::{convert::millis, error::RunError, node::Node, state::write_file, stop::StopSwitch};

/// The file in the state folder with the certificate for browsers of other machines, and its key.
const IDENTITY_FILE: &str = "console.pem";

/// Marks what a page in a browser asks for. It uses what there is; what runs a program of its choice, or opens a file
/// of this machine as a line, is for the command alone, so that whoever gets hold of a page has not got the account.
#[derive(Clone, Copy)]
pub(super) struct FromPage;

impl FromPage {
    /// Refuses what a page may not.
    pub(super) fn refuse(page: Option<Extension<Self>>, what: &str) -> Result<(), ApiError> {
        match page {
            None => Ok(()),
            Some(_) => Err(ApiError::new(
                ErrorCode::NotAllowed,
                format!("a page in a browser may not {what}"),
                "use the command `tutti` on this machine",
            )),
        }
    }
}

/// The doors for browsers: shut until somebody asks for a link, then open until the device stops.
#[derive(Default)]
pub(crate) struct ConsoleDoor {
    loopback: Mutex<Option<Open>>,
    network: Mutex<Option<Open>>,
}

struct Open {
    address: SocketAddr,
    /// Of the door's certificate, where it has one.
    fingerprint: Option<String>,
    console: Arc<Console>,
    shut: StopSwitch,
    serving: JoinHandle<()>,
}

impl ConsoleDoor {
    /// Waits until nothing is served any more. To be called after the stop.
    pub(crate) async fn closed(&self) {
        for door in [&self.loopback, &self.network] {
            if let Some(open) = door.lock().await.take() {
                open.ended().await;
            }
        }
    }

    /// Makes a link by this door, which is opened if it is not yet.
    async fn link(&self, node: &Arc<Node>, door: Door, port: Option<u16>) -> Result<ConsoleLink, ApiError> {
        let mut place = match door {
            Door::Loopback => self.loopback.lock().await,
            Door::Network => self.network.lock().await,
        };
        let open = match &mut *place {
            Some(open) if !open.serving.is_finished() => open,
            place => place.insert(Open::new(node, door, port.unwrap_or(0)).await?),
        };
        if let Some(port) = port
            && port != 0
            && port != open.address.port()
        {
            return Err(ApiError::new(
                ErrorCode::BadRequest,
                format!("the console is served at port {} already", open.address.port()),
                match door {
                    Door::Loopback => "leave the port out, or start the device anew",
                    Door::Network => "leave the port out, or shut the door first (`tutti console --network --shut`)",
                },
            ));
        }
        open.link()
    }
}

impl Open {
    async fn new(node: &Arc<Node>, door: Door, port: u16) -> Result<Self, ApiError> {
        let failed = |why: String| {
            ApiError::new(
                ErrorCode::BadRequest,
                format!("the console cannot be served at port {port}: {why}"),
                "name another port, or none",
            )
        };
        let (listeners, fingerprint) = match door {
            Door::Loopback => (Listeners::console((Ipv4Addr::LOCALHOST, port).into()).await, None),
            Door::Network => {
                let (tls, fingerprint) = identity(node).await?;
                (Listeners::console_on_network(port, tls).await, Some(fingerprint))
            }
        };
        let listeners = listeners.map_err(|error| failed(RunError::from(error).to_string()))?;
        let address = listeners.tcp().ok_or_else(|| failed("it has no address".into()))?;
        let clock = node.clock.clone();
        let start = node.started;
        let console = Arc::new(Console::new(door, move || clock.now().since(start)));
        let router = console.clone().router(routes::bare(node.clone()).layer(Extension(FromPage)));
        let shut = StopSwitch::new();
        let (mut device, door, switch) = (node.stop.subscribe(), shut.subscribe(), shut.clone());
        let serving = tokio::spawn(async move {
            let mut serve = pin!(listeners.serve(router, Limits::default(), door));
            tokio::select! {
                () = &mut serve => {}
                () = device.requested() => {
                    switch.stop();
                    serve.await;
                }
            }
        });
        tracing::info!(%address, tls = fingerprint.is_some(), "the console is served");
        Ok(Self { address, fingerprint, console, shut, serving })
    }

    fn link(&self) -> Result<ConsoleLink, ApiError> {
        let invitation = self.console.invite().ok_or_else(|| ApiError::internal("there is no randomness to be had"))?;
        let expires_in_ms = millis(invitation.life);
        let (Some(fingerprint), Some(code)) = (&self.fingerprint, invitation.code) else {
            let url = format!("http://{}/{}", self.address, invitation.fragment);
            return Ok(ConsoleLink { url, expires_in_ms, network: None });
        };
        let at = |ip| format!("https://{}/{}", SocketAddr::new(ip, self.address.port()), invitation.fragment);
        let urls: Vec<_> = addresses().into_iter().map(at).collect();
        let url = urls.first().cloned().ok_or_else(|| {
            ApiError::new(
                ErrorCode::BadRequest,
                "this machine is in no network by which a browser elsewhere could come",
                "connect it to one; `tutti doctor` shows its interfaces",
            )
        })?;
        let network = NetworkLink { urls, code: code.to_string(), fingerprint: fingerprint.clone() };
        Ok(ConsoleLink { url, expires_in_ms, network: Some(network) })
    }

    /// Waits until it serves nobody any more.
    async fn ended(self) {
        // It ended by itself, within its bound.
        let _ = self.serving.await;
    }
}

/// By which other machines may reach this one: version 4 first, as it is the shorter to read; no addresses that mean
/// something on one link only.
fn addresses() -> Vec<IpAddr> {
    let found = if_addrs::get_if_addrs().unwrap_or_default();
    let usable = found.iter().filter(|found| !found.is_loopback() && !found.is_link_local()).map(|found| found.ip());
    let mut all: Vec<_> = usable.collect();
    all.sort_by_key(IpAddr::is_ipv6);
    all.dedup();
    all
}

/// The certificate for browsers of other machines: the one in the state folder, or a new one that is kept there.
async fn identity(node: &Arc<Node>) -> Result<(TlsAcceptor, String), ApiError> {
    let (folder, name) = (node.state.folder().to_path_buf(), node.name());
    let path = folder.join(IDENTITY_FILE);
    let advice = format!("see to it that {} can be read and written, or remove it to get a new one", path.display());
    let failed = move |why: String| {
        ApiError::new(ErrorCode::Internal, format!("there is no certificate for the console: {why}"), advice)
    };
    let load = move || -> Result<_, String> {
        let identity = match fs::read_to_string(&path) {
            Ok(text) => Identity::parse(&text).map_err(|error| error.to_string())?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let identity = Identity::generate(name.as_str()).map_err(|error| error.to_string())?;
                let text = identity.pem().map_err(|error| error.to_string())?;
                write_file(&folder, IDENTITY_FILE, text.as_bytes()).map_err(|error| error.to_string())?;
                identity
            }
            Err(error) => return Err(error.to_string()),
        };
        let fingerprint = identity.fingerprint();
        Ok((TlsAcceptor::from(identity.server().map_err(|error| error.to_string())?), fingerprint))
    };
    match tokio::task::spawn_blocking(load).await {
        Ok(loaded) => loaded.map_err(failed),
        Err(error) => Err(ApiError::internal(&error.to_string())),
    }
}

/// `POST /v1/console`
pub(super) async fn link(
    State(node): State<Arc<Node>>,
    Body(ConsoleRequest { port, network }): Body<ConsoleRequest>,
) -> Result<Json<ConsoleLink>, ApiError> {
    let door = if network { Door::Network } else { Door::Loopback };
    node.console.link(&node, door, port).await.map(Json)
}

/// `DELETE /v1/console`
pub(super) async fn shut(State(node): State<Arc<Node>>) -> StatusCode {
    if let Some(open) = node.console.network.lock().await.take() {
        open.shut.stop();
        open.ended().await;
    }
    StatusCode::NO_CONTENT
}

/// `GET /metrics`
pub(super) async fn metrics(State(node): State<Arc<Node>>) -> impl IntoResponse {
    let facts = Facts {
        device: &device::info(&node),
        devices: &device::devices(&node),
        resources: &resources::all(&node),
        leases: &leases::all(&node),
        resident: fs::read_to_string("/proc/self/status").ok().as_deref().and_then(parse_resident),
    };
    ([(header::CONTENT_TYPE, metrics::MEDIA)], metrics::render(&facts))
}
