//! Every route once, with what answers it.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    handler::Handler,
    middleware::{self, Next},
    response::Response,
    routing::{self, MethodRouter},
};
use tutti_control::{
    ErrorCode, ROUTES,
    routes::{Body, Method},
};

use super::{
    apps, console, cores, device, doctor,
    error::ApiError,
    events, extract,
    guard::{self, Token},
    history, leases, offers, pairing, resources, satellites, screens, storage, system, tree,
};
use crate::node::Node;

/// How long an answer may take. Joining a large group over a slow link takes longest (60 s).
const ANSWER_WITHIN: Duration = Duration::from_secs(90);

/// A route and what answers it.
struct Entry {
    method: Method,
    path: &'static str,
    handler: MethodRouter<Arc<Node>>,
}

impl Entry {
    /// Whether its body or answer streams: then it has bounds of its own on how long it may be silent.
    fn streams(&self) -> bool {
        let described = ROUTES.iter().find(|route| (route.method, route.path) == (self.method, self.path));
        described.is_some_and(|route| {
            [route.request, route.response]
                .iter()
                .any(|body| matches!(body, Body::Bytes | Body::Events(..) | Body::Changes))
        })
    }
}

fn on<H, T>(method: Method, path: &'static str, handler: H) -> Entry
where
    H: Handler<T, Arc<Node>>,
    T: 'static,
{
    let handler = match method {
        Method::Get => routing::get(handler),
        Method::Put => routing::put(handler),
        Method::Post => routing::post(handler),
        Method::Patch => routing::patch(handler),
        Method::Delete => routing::delete(handler),
    };
    Entry { method, path, handler }
}

#[rustfmt::skip]
fn table() -> Vec<Entry> {
    use Method::{Delete, Get, Patch, Post, Put};
    vec![
        on(Get, "/v1/device", device::show),
        on(Patch, "/v1/device", device::rename),
        on(Get, "/v1/devices", device::list),
        on(Delete, "/v1/devices/{device}", device::forget),
        on(Put, "/v1/devices/{device}/role", device::set_role),
        on(Get, "/v1/nearby", device::nearby),
        on(Post, "/v1/pairing", pairing::offer),
        on(Get, "/v1/pairing", pairing::status),
        on(Delete, "/v1/pairing", pairing::cancel),
        on(Post, "/v1/join", pairing::join),
        on(Post, "/v1/group/leave", pairing::leave),
        on(Post, "/v1/group/recovery", pairing::export),
        on(Post, "/v1/group/recover", pairing::recover),
        on(Get, "/v1/resources", resources::list),
        on(Get, "/v1/resources/{device}/{name}", resources::read),
        on(Put, "/v1/resources/{device}/{name}", resources::control),
        on(Get, "/v1/resources/{device}/{name}/follow", resources::follow),
        on(Get, "/v1/resources/{device}/{name}/history", history::of_resource),
        on(Get, "/v1/timeline", history::timeline),
        on(Post, "/v1/leases", leases::take),
        on(Get, "/v1/leases", leases::list),
        on(Put, "/v1/leases/{id}", leases::renew),
        on(Delete, "/v1/leases/{id}", leases::release),
        on(Put, "/v1/offers/{name}", offers::offer),
        on(Get, "/v1/offers", offers::list),
        on(Delete, "/v1/offers/{name}", offers::withdraw),
        on(Get, "/v1/offers/{name}/commands", offers::commands),
        on(Get, "/v1/storage/{device}/{name}", storage::list),
        on(Get, "/v1/storage/{device}/{name}/{*path}", storage::fetch),
        on(Put, "/v1/storage/{device}/{name}/{*path}", storage::store),
        on(Delete, "/v1/storage/{device}/{name}/{*path}", storage::remove),
        on(Put, "/v1/screens/{name}", screens::open),
        on(Get, "/v1/screens/{name}/frames", screens::frames),
        on(Post, "/v1/satellites", satellites::connect),
        on(Get, "/v1/satellites", satellites::list),
        on(Delete, "/v1/satellites/{name}", satellites::disconnect),
        on(Get, "/v1/cores", cores::list),
        on(Get, "/v1/cores/{name}", cores::info),
        on(Delete, "/v1/cores/{name}", cores::forget),
        on(Post, "/v1/cores/{name}/do/{action}", cores::act),
        on(Get, "/v1/cores/{name}/log", cores::log),
        on(Get, "/v1/cores/{name}/log/follow", cores::follow),
        on(Get, "/v1/cores/{name}/dump", cores::dump),
        on(Post, "/v1/cores/{name}/ping", cores::ping),
        on(Get, "/v1/memory-map", tree::map),
        on(Get, "/v1/doctor/cores", cores::doctor),
        on(Get, "/v1/apps", apps::list),
        on(Post, "/v1/apps", apps::install),
        on(Delete, "/v1/apps/{app}", apps::remove),
        on(Get, "/v1/apps/{app}/icon", apps::icon),
        on(Post, "/v1/apps/{app}/run", apps::run),
        on(Get, "/v1/carried", apps::carried),
        on(Post, "/v1/carried/{app}/install", apps::install_carried),
        on(Get, "/v1/place/{app}", apps::why),
        on(Get, "/v1/instances", apps::instances),
        on(Get, "/v1/instances/{instance}", apps::instance),
        on(Delete, "/v1/instances/{instance}", apps::end),
        on(Post, "/v1/instances/{instance}/move", apps::begin_move),
        on(Delete, "/v1/instances/{instance}/move", apps::cancel_move),
        on(Put, "/v1/instances/{instance}/standby", apps::set_standby),
        on(Delete, "/v1/instances/{instance}/standby", apps::remove_standby),
        on(Post, "/v1/standby", apps::foretell),
        on(Post, "/v1/instances/{instance}/stop", apps::stop),
        on(Post, "/v1/instances/{instance}/start", apps::start),
        on(Post, "/v1/instances/{instance}/recover", apps::recover),
        on(Post, "/v1/instances/{instance}/tell", apps::tell),
        on(Get, "/v1/instances/{instance}/log", apps::log),
        on(Get, "/v1/instances/{instance}/log/follow", apps::follow),
        on(Get, "/v1/audit", apps::audit),
        on(Get, "/v1/events", events::stream),
        on(Get, "/v1/doctor", doctor::checks),
        on(Post, "/v1/console", console::link),
        on(Delete, "/v1/console", console::shut),
        on(Get, "/metrics", console::metrics),
        on(Post, "/v1/shutdown", system::shutdown),
        on(Get, "/v1/openapi.json", system::description),
    ]
}

/// The whole API of a device, for those who may.
pub(crate) fn router(node: Arc<Node>, token: Option<Token>) -> Router {
    bare(node).layer(middleware::from_fn_with_state(token, guard::check))
}

/// The whole API, without a guard.
pub(super) fn bare(node: Arc<Node>) -> Router {
    let router = table().into_iter().fold(Router::new(), |router, entry| {
        let handler =
            if entry.streams() { entry.handler } else { entry.handler.layer(middleware::from_fn(answer_in_time)) };
        router.route(entry.path, handler)
    });
    router
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(extract::MAX_JSON))
        .with_state(node)
}

async fn answer_in_time(request: Request, next: Next) -> Result<Response, ApiError> {
    tokio::time::timeout(ANSWER_WITHIN, next.run(request)).await.map_err(|_| {
        ApiError::new(
            ErrorCode::TimedOut,
            format!("there was no answer within {} s", ANSWER_WITHIN.as_secs()),
            "look at the state before trying again: it may have been done",
        )
    })
}

async fn no_such_route(request: Request) -> ApiError {
    ApiError::new(
        ErrorCode::NoSuchRoute,
        format!("there is no {}", request.uri().path()),
        "GET /v1/openapi.json describes every route",
    )
}

async fn method_not_allowed(request: Request) -> ApiError {
    ApiError::new(
        ErrorCode::MethodNotAllowed,
        format!("{} does not take {}", request.uri().path(), request.method()),
        "GET /v1/openapi.json describes every route",
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The description is made from the same list, so both directions hold for it, too.
    #[test]
    fn every_route_is_described_and_every_description_has_a_route() {
        let answered: BTreeSet<_> = table().iter().map(|entry| (entry.method, entry.path)).collect();
        let described: BTreeSet<_> = ROUTES.iter().map(|route| (route.method, route.path)).collect();
        assert_eq!(answered, described);
        assert_eq!(answered.len(), table().len(), "a route is there twice");
    }
}
