//! A client of the control API: a method for each route; those of `apps` and `cores` stand by themselves.
//!
//! Each request has its own connection, which is cheap on one machine and leaves nothing to keep alive. A request
//! ends within [`Client::timeout`]; a stream of events when nothing, not even the `ping` of every 15 s, came for
//! [`STREAM_SILENCE`]; a transfer when it has not moved for [`TRANSFER_STALL`]. Bodies are at most [`MAX_BODY`].

mod apps;
mod cores;
mod error;
mod http;
mod sse;
mod stream;
mod transfer;

use std::{fmt, marker::PhantomData, net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use tokio::io::AsyncRead;

pub use self::{
    error::ClientError,
    http::path,
    sse::{MAX_EVENT, SseError, SseEvent, SseParser},
    stream::{ChangeStream, EventStream},
    transfer::{Download, Quota},
};
use crate::{
    routes::Method,
    types::{
        Check, Command, ConsoleLink, ConsoleRequest, Controlled, Device, DeviceInfo, GroupInfo, Happening, History,
        JoinRequest, Joined, Lease, LeaseRequest, NearbyDevice, OfferRequest, Offered, PairingOffer, PairingRequest,
        PairingStatus, Reading, RecoveryWords, Rename, RenewLease, Resource, Role, RoleChange, ScreenFrame,
        ScreenRequest, SetValue, StorageList, Stored,
    },
};

/// The largest JSON body that is taken, in bytes.
pub const MAX_BODY: usize = 8 << 20;

/// How long a stream of events may be silent: three pings.
pub const STREAM_SILENCE: Duration = Duration::from_secs(45);

/// How long a transfer of a file may stand still.
pub const TRANSFER_STALL: Duration = Duration::from_secs(30);

/// How long a request may take unless [`Client::timeout`] says otherwise. A device answers for others within 10 s.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(20);

/// Where a device's control API is.
#[derive(Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket.
    Unix(PathBuf),
    /// Loopback TCP, with the token.
    Tcp {
        /// The address.
        addr: SocketAddr,
        /// The content of the file `api-token` in the device's state folder.
        token: String,
    },
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp { addr, .. } => write!(f, "{addr}"),
        }
    }
}

/// Does not show the token.
impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

/// Which resources: all that match every field that is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourceFilter {
    /// The kind.
    pub kind: Option<String>,
    /// The device: name, id or beginning of an id.
    pub device: Option<String>,
    /// The resource's name.
    pub name: Option<String>,
    /// Properties: `key=value`.
    pub properties: Vec<String>,
}

/// A client of one device's control API.
#[derive(Debug, Clone)]
pub struct Client {
    endpoint: Endpoint,
    timeout: Duration,
}

impl Client {
    /// A client of the device there. Connects with each request.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, timeout: DEFAULT_TIMEOUT }
    }

    /// A client of the device with this Unix socket.
    pub fn unix(socket: impl Into<PathBuf>) -> Self {
        Self::new(Endpoint::Unix(socket.into()))
    }

    /// The same with another bound on the time of a request.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Where it connects to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// This device.
    pub async fn device(&self) -> Result<DeviceInfo, ClientError> {
        self.json(Method::Get, "/v1/device", Nothing).await
    }

    /// Renames this device.
    pub async fn rename(&self, name: &str) -> Result<DeviceInfo, ClientError> {
        self.json(Method::Patch, "/v1/device", Some(&Rename { name: name.into() })).await
    }

    /// The devices of the group.
    pub async fn devices(&self) -> Result<Vec<Device>, ClientError> {
        self.json(Method::Get, "/v1/devices", Nothing).await
    }

    /// Forgets a device.
    pub async fn forget(&self, device: &str) -> Result<(), ClientError> {
        self.done(Method::Delete, &path(&["v1", "devices", device]), Nothing).await
    }

    /// Changes a device's role.
    pub async fn set_role(&self, device: &str, role: Role) -> Result<(), ClientError> {
        self.done(Method::Put, &path(&["v1", "devices", device, "role"]), Some(&RoleChange { role })).await
    }

    /// Devices that are not in the group.
    pub async fn nearby(&self) -> Result<Vec<NearbyDevice>, ClientError> {
        self.json(Method::Get, "/v1/nearby", Nothing).await
    }

    /// Lets a device in.
    pub async fn offer_pairing(&self, role: Role) -> Result<PairingOffer, ClientError> {
        self.json(Method::Post, "/v1/pairing", Some(&PairingRequest { role, ticket_life_ms: None })).await
    }

    /// The same with a ticket that counts for this long.
    pub async fn offer_pairing_for(&self, role: Role, ticket_life: Duration) -> Result<PairingOffer, ClientError> {
        let ticket_life_ms = Some(u64::try_from(ticket_life.as_millis()).unwrap_or(u64::MAX));
        self.json(Method::Post, "/v1/pairing", Some(&PairingRequest { role, ticket_life_ms })).await
    }

    /// How the latest pairing stands.
    pub async fn pairing(&self) -> Result<PairingStatus, ClientError> {
        self.json(Method::Get, "/v1/pairing", Nothing).await
    }

    /// Cancels the pairing.
    pub async fn cancel_pairing(&self) -> Result<(), ClientError> {
        self.done(Method::Delete, "/v1/pairing", Nothing).await
    }

    /// Enters another device's group.
    pub async fn join(&self, request: &JoinRequest) -> Result<Joined, ClientError> {
        self.json(Method::Post, "/v1/join", Some(request)).await
    }

    /// Leaves the group.
    pub async fn leave(&self) -> Result<GroupInfo, ClientError> {
        self.json(Method::Post, "/v1/group/leave", Nothing).await
    }

    /// Exports the recovery words.
    pub async fn export_recovery(&self) -> Result<RecoveryWords, ClientError> {
        self.json(Method::Post, "/v1/group/recovery", Nothing).await
    }

    /// Makes this device an owner again.
    pub async fn recover(&self, words: &str) -> Result<GroupInfo, ClientError> {
        self.json(Method::Post, "/v1/group/recover", Some(&RecoveryWords { words: words.into() })).await
    }

    /// What the devices of the group offer.
    pub async fn resources(&self, filter: &ResourceFilter) -> Result<Vec<Resource>, ClientError> {
        let single = [("kind", &filter.kind), ("device", &filter.device), ("name", &filter.name)];
        let mut query: Vec<(&str, &str)> =
            single.iter().filter_map(|(key, value)| value.as_deref().map(|value| (*key, value))).collect();
        query.extend(filter.properties.iter().map(|property| ("property", property.as_str())));
        self.json(Method::Get, &http::with_query("/v1/resources", &query), Nothing).await
    }

    /// Takes a reading now.
    pub async fn read(&self, device: &str, name: &str) -> Result<Reading, ClientError> {
        self.json(Method::Get, &path(&["v1", "resources", device, name]), Nothing).await
    }

    /// Sets a resource to a value.
    pub async fn set(&self, device: &str, name: &str, request: &SetValue) -> Result<Controlled, ClientError> {
        self.json(Method::Put, &path(&["v1", "resources", device, name]), Some(request)).await
    }

    /// Readings as they change.
    pub async fn follow(
        &self,
        device: &str,
        name: &str,
        interval: Option<Duration>,
    ) -> Result<EventStream<Reading>, ClientError> {
        let interval = interval.map(|interval| interval.as_millis().to_string());
        let query: Vec<_> = interval.iter().map(|interval| ("interval_ms", interval.as_str())).collect();
        let target = http::with_query(&path(&["v1", "resources", device, name, "follow"]), &query);
        self.events_of(Method::Get, &target, "reading", Nothing).await
    }

    /// Takes a lease.
    pub async fn take_lease(&self, request: &LeaseRequest) -> Result<Lease, ClientError> {
        self.json(Method::Post, "/v1/leases", Some(request)).await
    }

    /// The leases taken through the API.
    pub async fn leases(&self) -> Result<Vec<Lease>, ClientError> {
        self.json(Method::Get, "/v1/leases", Nothing).await
    }

    /// Renews a lease.
    pub async fn renew_lease(&self, id: &str, request: &RenewLease) -> Result<Lease, ClientError> {
        self.json(Method::Put, &path(&["v1", "leases", id]), Some(request)).await
    }

    /// Releases a lease.
    pub async fn release_lease(&self, id: &str) -> Result<(), ClientError> {
        self.done(Method::Delete, &path(&["v1", "leases", id]), Nothing).await
    }

    /// Offers a resource of this device, or refreshes it.
    pub async fn offer(&self, name: &str, request: &OfferRequest) -> Result<Offered, ClientError> {
        self.json(Method::Put, &path(&["v1", "offers", name]), Some(request)).await
    }

    /// The resources offered through the API.
    pub async fn offers(&self) -> Result<Vec<Offered>, ClientError> {
        self.json(Method::Get, "/v1/offers", Nothing).await
    }

    /// Withdraws an offered resource.
    pub async fn withdraw(&self, name: &str) -> Result<(), ClientError> {
        self.done(Method::Delete, &path(&["v1", "offers", name]), Nothing).await
    }

    /// The values that others set an offered resource to.
    pub async fn commands(&self, name: &str) -> Result<EventStream<Command>, ClientError> {
        self.events_of(Method::Get, &path(&["v1", "offers", name, "commands"]), "command", Nothing).await
    }

    /// The files of a storage resource.
    pub async fn files(&self, device: &str, name: &str, prefix: &str) -> Result<StorageList, ClientError> {
        let query: &[_] = if prefix.is_empty() { &[] } else { &[("prefix", prefix)] };
        self.json(Method::Get, &http::with_query(&path(&["v1", "storage", device, name]), query), Nothing).await
    }

    /// Fetches a file.
    pub async fn fetch(&self, device: &str, name: &str, file: &str) -> Result<Download, ClientError> {
        transfer::fetch(self, &http::file_path(device, name, file)).await
    }

    /// Stores a file.
    pub async fn store(
        &self,
        device: &str,
        name: &str,
        file: &str,
        source: impl AsyncRead + Send + Sync + Unpin + 'static,
    ) -> Result<Stored, ClientError> {
        transfer::send(self, Method::Put, &http::file_path(device, name, file), source).await
    }

    /// Removes a file.
    pub async fn remove(&self, device: &str, name: &str, file: &str) -> Result<(), ClientError> {
        self.done(Method::Delete, &http::file_path(device, name, file), Nothing).await
    }

    /// Opens a screen of this device.
    pub async fn open_screen(
        &self,
        name: &str,
        request: &ScreenRequest,
    ) -> Result<EventStream<ScreenFrame>, ClientError> {
        self.events_of(Method::Put, &path(&["v1", "screens", name]), "frame", Some(request)).await
    }

    /// What a display of this device shows.
    pub async fn frames(&self, name: &str) -> Result<EventStream<ScreenFrame>, ClientError> {
        self.events_of(Method::Get, &path(&["v1", "screens", name, "frames"]), "frame", Nothing).await
    }

    /// Live changes.
    pub async fn changes(&self) -> Result<ChangeStream, ClientError> {
        stream::changes(self).await
    }

    /// The values of a resource within the last hour.
    pub async fn history(&self, device: &str, name: &str) -> Result<History, ClientError> {
        self.json(Method::Get, &path(&["v1", "resources", device, name, "history"]), Nothing).await
    }

    /// What happened in the group.
    pub async fn timeline(&self) -> Result<Vec<Happening>, ClientError> {
        self.json(Method::Get, "/v1/timeline", Nothing).await
    }

    /// Shuts the console's door for browsers of other machines.
    pub async fn shut_console(&self) -> Result<(), ClientError> {
        self.done(Method::Delete, "/v1/console", Nothing).await
    }

    /// A link that opens the console.
    pub async fn console(&self, request: &ConsoleRequest) -> Result<ConsoleLink, ClientError> {
        self.json(Method::Post, "/v1/console", Some(request)).await
    }

    /// Numbers for Prometheus.
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let what = "GET /metrics";
        let bytes = self.whole(what, Method::Get, "/metrics", Nothing).await?;
        String::from_utf8(bytes.to_vec())
            .map_err(|error| ClientError::Garbled { what: what.into(), why: error.to_string() })
    }

    /// The device's checks of itself.
    pub async fn doctor(&self) -> Result<Vec<Check>, ClientError> {
        self.json(Method::Get, "/v1/doctor", Nothing).await
    }

    /// Stops the device.
    pub async fn shutdown(&self) -> Result<(), ClientError> {
        self.done(Method::Post, "/v1/shutdown", Nothing).await
    }

    /// The description that the device gives of its API.
    pub async fn description(&self) -> Result<serde_json::Value, ClientError> {
        self.json(Method::Get, "/v1/openapi.json", Nothing).await
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ClientError> {
        let what = format!("{method} {target}");
        let bytes = self.whole(&what, method, target, body).await?;
        serde_json::from_slice(&bytes).map_err(|error| ClientError::Garbled { what, why: error.to_string() })
    }

    async fn done(&self, method: Method, target: &str, body: Option<&impl Serialize>) -> Result<(), ClientError> {
        self.whole(&format!("{method} {target}"), method, target, body).await.map(|_| ())
    }

    /// Asks, and takes the whole answer, within the time.
    async fn whole(
        &self,
        what: &str,
        method: Method,
        target: &str,
        body: Option<&impl Serialize>,
    ) -> Result<bytes::Bytes, ClientError> {
        let body = http::json_body(what, body)?;
        let work = async { http::send(self, what, method, target, body).await?.collect(MAX_BODY).await };
        self.within(what, work).await
    }

    async fn events_of<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &str,
        name: &'static str,
        body: Option<&impl Serialize>,
    ) -> Result<EventStream<T>, ClientError> {
        let what = format!("{method} {target}");
        let body = http::json_body(&what, body)?;
        let response = self.within(&what, http::send(self, &what, method, target, body)).await?;
        Ok(EventStream { raw: stream::RawStream::new(what, response), name, body: PhantomData })
    }

    async fn within<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        tokio::time::timeout(self.timeout, work)
            .await
            .unwrap_or_else(|_| Err(ClientError::TimedOut { what: what.to_owned(), after: self.timeout }))
    }
}

/// No body.
#[allow(non_upper_case_globals)]
const Nothing: Option<&()> = None;
