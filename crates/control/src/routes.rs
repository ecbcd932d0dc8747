//! Every route, once.
//!
//! The description is made from this table, the device's router is held against it by a test, and
//! [`Client`](crate::Client) has one method for each line.

use std::{borrow::Cow, fmt};

use utoipa::{
    ToSchema,
    openapi::{RefOr, Schema},
};

use crate::types::{
    App, AppInstance, AppLine, AuditLine, CarriedApp, Check, Command, ConsoleLink, ConsoleRequest, Controlled, Core,
    CoreLine, CorePing, CoreRequest, Device, DeviceInfo, GroupInfo, Happening, History, InstallCarried, JoinRequest,
    Joined, Lease, LeaseRequest, LinkRequest, MemoryMap, MoveRequest, NearbyDevice, OfferRequest, Offered,
    PairingOffer, PairingRequest, PairingStatus, PlaceWhy, Reading, RecoverInstance, RecoveryWords, Rename, RenewLease,
    Resource, RoleChange, RunRequest, SatelliteLink, ScreenFrame, ScreenRequest, SetValue, StandbyForetold,
    StandbyRequest, StorageList, Stored, TellInstance,
};

/// An HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// Looks, changes nothing.
    Get,
    /// Sets; the same again changes nothing more.
    Put,
    /// Does or creates.
    Post,
    /// Changes a part.
    Patch,
    /// Removes.
    Delete,
}

impl Method {
    /// As in the request line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// A type of a body, known by its schema.
#[derive(Clone, Copy)]
pub struct TypeOf {
    /// Its name.
    pub name: fn() -> Cow<'static, str>,
    /// Its schema.
    pub schema: fn() -> RefOr<Schema>,
    /// Collects the schemas that it refers to.
    pub schemas: fn(&mut Vec<(String, RefOr<Schema>)>),
}

const fn of<T: ToSchema>() -> TypeOf {
    TypeOf { name: T::name, schema: T::schema, schemas: T::schemas }
}

/// What a body holds.
#[derive(Clone, Copy)]
pub enum Body {
    /// Nothing (204).
    None,
    /// One of these, as JSON.
    Json(TypeOf),
    /// A JSON array of these.
    List(TypeOf),
    /// Server-sent events with this name, each with one of these as JSON, and `ping` each 15 s.
    Events(&'static str, TypeOf),
    /// Server-sent events as [`Event`](crate::Event) has them, and `ping` each 15 s.
    Changes,
    /// A file's bytes, streamed.
    Bytes,
    /// An OpenAPI document.
    Description,
    /// Text of this media type.
    Text(&'static str),
}

/// A query parameter. All are optional.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub what: &'static str,
    /// Whether it may be given several times.
    pub repeated: bool,
}

/// A route.
#[derive(Clone, Copy)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with `{name}` for one segment and `{*name}` for the rest, as axum writes it.
    pub path: &'static str,
    /// What it does. The first sentence is its title.
    pub what: &'static str,
    /// Its query parameters.
    pub query: &'static [Query],
    /// The body of the request.
    pub request: Body,
    /// The body of the answer.
    pub response: Body,
}

impl Route {
    /// The status of an answer that is not an error.
    pub const fn status(&self) -> u16 {
        match self.response {
            None => 204,
            _ => 200,
        }
    }

    /// The path as OpenAPI writes it: without the `*`.
    pub fn openapi_path(&self) -> String {
        self.path.replace("{*", "{")
    }

    /// The names of the parameters in the path.
    pub fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).map(|name| {
            // `*` marks a parameter that takes the rest of the path.
            name.strip_prefix('*').unwrap_or(name)
        })
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

const fn route(method: Method, path: &'static str, request: Body, response: Body, what: &'static str) -> Route {
    Route { method, path, what, query: &[], request, response }
}

const fn with_query(query: &'static [Query], route: Route) -> Route {
    Route { query, ..route }
}

const fn one(name: &'static str, what: &'static str) -> Query {
    Query { name, what, repeated: false }
}

use Body::{Bytes, Changes, Description, Events, Json, List, None, Text};
use Method::{Delete, Get, Patch, Post, Put};

/// The query parameters of `GET /v1/resources`.
const RESOURCE_QUERY: &[Query] = &[
    one("kind", "Only resources of this kind."),
    one("device", "Only those of this device: its name, its id, or the first six digits or more of the id."),
    one("name", "Only those with this name."),
    Query { name: "property", what: "Only those with this property: `key=value`.", repeated: true },
];

/// The query parameters of a log.
const LOG_QUERY: &[Query] = &[one("after", "Only the lines behind the one with this number.")];

/// The query parameters of `DELETE /v1/apps/{app}`.
const REMOVE_QUERY: &[Query] = &[one(
    "instances",
    "`stop`: also if instances are left. Each stops as soon as its device hears of it, and keeps its state.",
)];

/// The query parameters of `GET /v1/place/{app}`.
const PLACE_QUERY: &[Query] =
    &[one("instance", "Explain where this instance is, rather than where a new one would be.")];

/// The query parameters of `GET /v1/events`.
const EVENT_QUERY: &[Query] = &[
    one(
        "values",
        "`apart`: resources come without values and leases; what changes of those comes as `values`, all of \
        them first, then a list of ResourceState with only what changed.",
    ),
    one("timeline", "`yes`: also `timeline`, as `GET /v1/timeline`, whenever something happens."),
    one("cores", "`yes`: also `cores`, as `GET /v1/cores`."),
    one("apps", "`yes`: also `apps`: an AppsState, as `GET /v1/apps` and `GET /v1/instances`."),
];

/// Every route.
#[rustfmt::skip]
pub const ROUTES: &[Route] = &[
    route(Get, "/v1/device", None, Json(of::<DeviceInfo>()), "This device."),
    route(Patch, "/v1/device", Json(of::<Rename>()), Json(of::<DeviceInfo>()), "Renames this device."),
    route(Get, "/v1/devices", None, List(of::<Device>()), "The devices of the group, this one first."),
    route(Delete, "/v1/devices/{device}", None, None,
        "Forgets a device. Owners only. Each member refuses it as soon as it learns of it."),
    route(Put, "/v1/devices/{device}/role", Json(of::<RoleChange>()), None, "Changes a device's role. Owners only."),
    route(Get, "/v1/nearby", None, List(of::<NearbyDevice>()), "Devices that were discovered and are not in the group."),
    route(Post, "/v1/pairing", Json(of::<PairingRequest>()), Json(of::<PairingOffer>()),
        "Lets a device in. Owners only. One code counts at a time: a new one replaces the old."),
    route(Get, "/v1/pairing", None, Json(of::<PairingStatus>()), "How the latest pairing stands."),
    route(Delete, "/v1/pairing", None, None, "Cancels the pairing."),
    route(Post, "/v1/join", Json(of::<JoinRequest>()), Json(of::<Joined>()),
        "Enters another device's group. This device must be alone in its own."),
    route(Post, "/v1/group/leave", None, Json(of::<GroupInfo>()),
        "Leaves the group. This device is then the owner of a new group of one."),
    route(Post, "/v1/group/recovery", None, Json(of::<RecoveryWords>()),
        "Exports the recovery words of the group. Owners only, and once."),
    route(Post, "/v1/group/recover", Json(of::<RecoveryWords>()), Json(of::<GroupInfo>()),
        "Makes this device an owner of its group again."),
    with_query(RESOURCE_QUERY, route(Get, "/v1/resources", None, List(of::<Resource>()), "What the devices of the group offer.")),
    route(Get, "/v1/resources/{device}/{name}", None, Json(of::<Reading>()), "Takes a reading now."),
    route(Put, "/v1/resources/{device}/{name}", Json(of::<SetValue>()), Json(of::<Controlled>()),
        "Sets a resource to a value. An exclusive one is leased for the moment if no token is given."),
    with_query(&[one("interval_ms", "The least time between two readings: 1000 if left out.")],
        route(Get, "/v1/resources/{device}/{name}/follow", None, Events("reading", of::<Reading>()),
            "Readings as they change.")),
    route(Get, "/v1/resources/{device}/{name}/history", None, Json(of::<History>()),
        "The values of the last hour, as far as this device saw them."),
    route(Get, "/v1/timeline", None, List(of::<Happening>()),
        "What happened in the group since this device started: the last 500, the oldest first."),
    route(Post, "/v1/leases", Json(of::<LeaseRequest>()), Json(of::<Lease>()),
        "Takes a lease. It ends with its time unless it is renewed."),
    route(Get, "/v1/leases", None, List(of::<Lease>()), "The leases taken through this API."),
    route(Put, "/v1/leases/{id}", Json(of::<RenewLease>()), Json(of::<Lease>()), "Renews a lease."),
    route(Delete, "/v1/leases/{id}", None, None, "Releases a lease."),
    route(Put, "/v1/offers/{name}", Json(of::<OfferRequest>()), Json(of::<Offered>()),
        "Offers a resource of this device, or refreshes it. It is withdrawn when its time ends without a refresh."),
    route(Get, "/v1/offers", None, List(of::<Offered>()), "The resources offered through this API."),
    route(Delete, "/v1/offers/{name}", None, None, "Withdraws an offered resource."),
    route(Get, "/v1/offers/{name}/commands", None, Events("command", of::<Command>()),
        "The values that others set an offered resource to, for the program behind it to obey."),
    with_query(&[one("prefix", "Only files whose path begins so.")],
        route(Get, "/v1/storage/{device}/{name}", None, Json(of::<StorageList>()), "The files of a storage resource.")),
    route(Get, "/v1/storage/{device}/{name}/{*path}", None, Bytes,
        "A file. The header `X-Tutti-Quota: USED/QUOTA` tells the storage's fill in bytes."),
    route(Put, "/v1/storage/{device}/{name}/{*path}", Bytes, Json(of::<Stored>()),
        "Stores a file whole, in place of one with the same path. What is there stays until all of it has arrived."),
    route(Delete, "/v1/storage/{device}/{name}/{*path}", None, None, "Removes a file."),
    route(Put, "/v1/screens/{name}", Json(of::<ScreenRequest>()), Events("frame", of::<ScreenFrame>()),
        "Opens a screen: a display resource of this device that stays as long as the answer is being read."),
    route(Get, "/v1/screens/{name}/frames", None, Events("frame", of::<ScreenFrame>()),
        "What a display of this device shows, and each change of it."),
    route(Post, "/v1/satellites", Json(of::<LinkRequest>()), Json(of::<SatelliteLink>()),
        "Looks for a satellite on a link, from now on. It joins the pool through this device, which vouches for it."),
    route(Get, "/v1/satellites", None, List(of::<SatelliteLink>()), "The links to satellites, and who is there."),
    route(Delete, "/v1/satellites/{name}", None, None, "Closes a link for good. The satellites behind it are gone."),
    route(Get, "/v1/cores", None, List(of::<Core>()), "The other cores: processes of this device's own, and the kernel's."),
    route(Get, "/v1/cores/{name}", None, Json(of::<Core>()), "A core."),
    route(Delete, "/v1/cores/{name}", None, None, "Forgets a core that is a process and does not run."),
    route(Post, "/v1/cores/{name}/do/{action}", Json(of::<CoreRequest>()), Json(of::<Core>()),
        "Has something done to a core. The action is start, stop, restart, suspend, resume, attach or detach; the answer comes when it is done."),
    with_query(LOG_QUERY, route(Get, "/v1/cores/{name}/log", None, List(of::<CoreLine>()),
        "The last lines that a core and its satellites wrote.")),
    with_query(LOG_QUERY, route(Get, "/v1/cores/{name}/log/follow", None, Events("line", of::<CoreLine>()),
        "The same, and each line as it comes.")),
    route(Get, "/v1/cores/{name}/dump", None, Bytes,
        "A core's memory as an ELF core file: taken now if it runs, else that of its crash."),
    route(Post, "/v1/cores/{name}/ping", None, Json(of::<CorePing>()),
        "Sends a message to a core's endpoint `tutti-ping`, which gives it back."),
    route(Get, "/v1/memory-map", None, Json(of::<MemoryMap>()),
        "Who has which memory of this chip, by its System Device Tree. Empty if it has none: most devices have none, and need none."),
    route(Get, "/v1/doctor/cores", None, List(of::<Check>()), "What keeps this machine's cores from being used."),
    route(Get, "/v1/apps", None, List(of::<App>()), "The apps that owners of the group allow."),
    route(Post, "/v1/apps", Bytes, Json(of::<App>()),
        "Installs an app: the body is its package. Owners only; with this an owner allows the app what its manifest wants, in the whole group."),
    with_query(REMOVE_QUERY, route(Delete, "/v1/apps/{app}", None, None,
        "Removes an app, if no instance of it is left. Owners only; no device of the group takes it any longer.")),
    route(Get, "/v1/apps/{app}/icon", None, Bytes, "An app's icon: PNG."),
    route(Post, "/v1/apps/{app}/run", Json(of::<RunRequest>()), Json(of::<AppInstance>()),
        "Begins a new instance of an app, on a device or where it fits best."),
    route(Get, "/v1/carried", None, List(of::<CarriedApp>()),
        "The apps that images of devices carry, of this device and of those that are connected."),
    route(Post, "/v1/carried/{app}/install", Json(of::<InstallCarried>()), Json(of::<App>()),
        "Installs an app that a device carries, as if this owner had its package. Owners only."),
    with_query(PLACE_QUERY, route(Get, "/v1/place/{app}", None, Json(of::<PlaceWhy>()),
        "Why an app would run where, and not elsewhere.")),
    route(Get, "/v1/instances", None, List(of::<AppInstance>()), "The instances of apps in the group."),
    route(Get, "/v1/instances/{instance}", None, Json(of::<AppInstance>()),
        "An instance: by its id, the first six digits or more of it, or its app's name if there is but one."),
    route(Delete, "/v1/instances/{instance}", None, None,
        "Ends an instance for good, with its state; or discards a copy that was given up."),
    route(Post, "/v1/instances/{instance}/move", Json(of::<MoveRequest>()), Json(of::<AppInstance>()),
        "Moves an instance while it runs. The answer comes when the move has begun; `moving` tells its progress, and `reason` if it came to nothing."),
    route(Delete, "/v1/instances/{instance}/move", None, Json(of::<AppInstance>()),
        "Gives a move up, if it is not decided."),
    route(Put, "/v1/instances/{instance}/standby", Json(of::<StandbyRequest>()), Json(of::<AppInstance>()),
        "Names who goes on with an instance if its home is lost, in place of whoever does now. The answer comes when that device has a copy."),
    route(Delete, "/v1/instances/{instance}/standby", None, Json(of::<AppInstance>()),
        "Takes its standby away from an instance: nobody goes on with it any more if its home is lost."),
    route(Post, "/v1/standby", Json(of::<StandbyRequest>()), Json(of::<StandbyForetold>()),
        "What a standby would mean, beforehand. Nothing is changed."),
    route(Post, "/v1/instances/{instance}/stop", None, Json(of::<AppInstance>()),
        "Stops an instance. Its state is kept."),
    route(Post, "/v1/instances/{instance}/start", None, Json(of::<AppInstance>()),
        "Lets an instance that was stopped, or failed, go on."),
    route(Post, "/v1/instances/{instance}/recover", Json(of::<RecoverInstance>()), Json(of::<AppInstance>()),
        "Goes on from the copy here, if the device that it waits for is lost for good. Owners only."),
    route(Post, "/v1/instances/{instance}/tell", Json(of::<TellInstance>()), None, "Tells an instance something."),
    with_query(LOG_QUERY, route(Get, "/v1/instances/{instance}/log", None, List(of::<AppLine>()),
        "The last lines that an instance wrote at the home where it is now.")),
    with_query(LOG_QUERY, route(Get, "/v1/instances/{instance}/log/follow", None, Events("line", of::<AppLine>()),
        "The same, and each line as it comes.")),
    with_query(LOG_QUERY, route(Get, "/v1/audit", None, List(of::<AuditLine>()),
        "What apps did with what they were granted, on this device.")),
    with_query(EVENT_QUERY, route(Get, "/v1/events", None, Changes,
        "Live changes: devices, nearby, resources, pairing, group and leases, each whole, the present state first.")),
    route(Get, "/v1/doctor", None, List(of::<Check>()), "Why do I see nobody? Checks of this device and its network."),
    route(Post, "/v1/console", Json(of::<ConsoleRequest>()), Json(of::<ConsoleLink>()),
        "Makes a link that opens the console in a browser of this machine, or of another, once. The console itself may not ask."),
    route(Delete, "/v1/console", None, None,
        "Shuts the console's door for browsers of other machines, and ends what they have open."),
    route(Get, "/metrics", None, Text("text/plain"), "Numbers for Prometheus, in its text format 0.0.4."),
    route(Post, "/v1/shutdown", None, None, "Stops this device cleanly."),
    route(Get, "/v1/openapi.json", None, Description, "This description."),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_route_is_there_twice() {
        let unique: BTreeSet<_> = ROUTES.iter().map(|route| (route.method, route.openapi_path())).collect();
        assert_eq!(unique.len(), ROUTES.len());
    }

    #[test]
    fn parameters_are_read_from_the_path() {
        let all = |path| route(Get, path, None, None, "").path_parameters().collect::<Vec<_>>();
        assert_eq!(all("/v1/storage/{device}/{name}/{*path}"), ["device", "name", "path"]);
        assert!(all("/v1/device").is_empty());
    }

    #[test]
    fn the_table() {
        let table: String = ROUTES.iter().map(|route| format!("{:6} {}\n", route.method, route.path)).collect();
        insta::assert_snapshot!(table);
    }
}
