//! The door for browsers: the page for everybody, the control API for whoever is logged in.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use tutti_control::{ErrorBody, ErrorCode, ErrorDetail};

use crate::{
    assets::ASSETS,
    guard::{self, Door, KEY_HEADER},
    sessions::{Code, Entry, LINK_LIFE, Pass, SESSION_LIFE, Secret, Sessions},
};

/// The largest body of a login.
const MAX_LOGIN: usize = 1024;

/// Who is let in, and for how long.
pub struct Console {
    door: Door,
    now: Box<dyn Fn() -> Duration + Send + Sync>,
    sessions: Mutex<Sessions>,
}

/// A way in for one browser.
pub struct Invitation {
    /// What comes after the door's address in a link.
    pub fragment: String,
    /// What can be typed instead; none on loopback, where any user of the machine could guess.
    pub code: Option<Code>,
    /// For how long both count.
    pub life: Duration,
}

/// What the page sends to come in.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Login {
    Token(String),
    Code(String),
}

/// What it gets besides the cookie.
#[derive(Serialize)]
struct Admitted {
    key: String,
    expires_in_ms: u64,
}

struct Refused(ErrorDetail);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::FORBIDDEN);
        (status, Json(ErrorBody { error: self.0 })).into_response()
    }
}

impl Console {
    /// Nobody is let in yet. `now` is a clock that never goes back, and goes on while the machine sleeps.
    pub fn new(door: Door, now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self { door, now: Box::new(now), sessions: Mutex::default() }
    }

    /// Lets one browser in. None if the operating system has no randomness to give.
    pub fn invite(&self) -> Option<Invitation> {
        let token = Secret::random()?;
        let code = match self.door {
            Door::Loopback => None,
            Door::Network => Some(Code::random()?),
        };
        self.sessions().offer((self.now)(), token, code);
        Some(Invitation { fragment: format!("#login={}", token.hex()), code, life: LINK_LIFE })
    }

    /// The page, the login, and behind it `api`, which must have no door of its own.
    pub fn router(self: Arc<Self>, api: Router) -> Router {
        let own = Router::new()
            .route("/login", post(login))
            .route("/logout", post(logout))
            .layer(DefaultBodyLimit::max(MAX_LOGIN))
            .with_state(self.clone());
        let own = ASSETS.iter().fold(own, |router, asset| {
            router.route(asset.path, get(|| async { ([(header::CONTENT_TYPE, asset.media)], asset.bytes) }))
        });
        own.fallback_service(api).layer(middleware::from_fn_with_state(self, stand_guard))
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, headers: &HeaderMap) -> Result<Entry, Refused> {
        let found = guard::pass(self.door, headers).and_then(|pass| self.sessions().find((self.now)(), &pass));
        found.ok_or_else(|| {
            Refused(ErrorDetail::new(
                ErrorCode::Unauthorized,
                "this browser is not logged in, or its time is over",
                self.door.advice(),
            ))
        })
    }
}

/// Every request comes by here; what is not named public needs a session.
async fn stand_guard(State(console): State<Arc<Console>>, request: Request, next: Next) -> Response {
    let mut response = match admit(&console, &request) {
        Err(refused) => refused.into_response(),
        Ok(None) => next.run(request).await,
        Ok(Some(session)) => cut_off(next.run(request).await, session),
    };
    guard::protect(response.headers_mut());
    response
}

fn admit(console: &Console, request: &Request) -> Result<Option<Entry>, Refused> {
    let path = request.uri().path();
    let page = ASSETS.iter().any(|asset| asset.path == path);
    guard::check(console.door, request.method(), page, request.headers()).map_err(Refused)?;
    if page || path == "/login" {
        return Ok(None);
    }
    let session = console.admit(request.headers())?;
    if path == "/v1/console" {
        return Err(Refused(ErrorDetail::new(
            ErrorCode::NotAllowed,
            "a console makes no further links",
            "run `tutti console` on the device",
        )));
    }
    Ok(Some(session))
}

/// Ends a stream with its session.
fn cut_off(response: Response, session: Entry) -> Response {
    let streams = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|media| media.as_bytes().starts_with(b"text/event-stream"));
    if !streams {
        return response;
    }
    let Entry { left, mut lives } = session;
    let over = Box::pin(tokio::time::timeout(left, async move { while lives.changed().await.is_ok() {} }));
    response.map(|body| Body::from_stream(body.into_data_stream().take_until(over)))
}

async fn login(State(console): State<Arc<Console>>, headers: HeaderMap, body: Bytes) -> Result<Response, Refused> {
    let refused = |code, what: &str| Refused(ErrorDetail::new(code, what, console.door.advice()));
    // No form and no page elsewhere can send this header.
    if headers.get(KEY_HEADER).is_none_or(|value| value != "login") {
        return Err(refused(ErrorCode::CrossOrigin, "another page than the console's own asked for this"));
    }
    let no_login = || refused(ErrorCode::BadRequest, "the link is not whole, or the code has not six digits");
    let login: Login = serde_json::from_slice(&body).map_err(|_| no_login())?;
    let (Some(cookie), Some(key)) = (Secret::random(), Secret::random()) else {
        return Err(refused(ErrorCode::Internal, "the operating system has no randomness to give"));
    };
    let (now, pass) = ((console.now)(), Pass { cookie, key });
    let (entered, what) = match login {
        Login::Token(token) => {
            let token = Secret::parse(&token).ok_or_else(no_login)?;
            let entered = console.sessions().enter(now, &token, pass);
            (entered, "the link was used before, or is older than two minutes")
        }
        Login::Code(code) => {
            let code = Code::parse(&code).ok_or_else(no_login)?;
            let entered = console.sessions().enter_by_code(now, &code, pass);
            (
                entered,
                "the code is wrong, was used before, or is older than two minutes; after three wrong ones none counts",
            )
        }
    };
    if !entered {
        return Err(refused(ErrorCode::Unauthorized, what));
    }
    let life = SESSION_LIFE.as_secs();
    let (name, attributes) = (console.door.cookie(), console.door.attributes());
    let line = format!("{name}={}; {attributes}; Max-Age={life}", cookie.hex());
    let admitted = Admitted { key: key.hex(), expires_in_ms: life * 1000 };
    let mut response = Json(admitted).into_response();
    if let Ok(line) = HeaderValue::from_str(&line) {
        response.headers_mut().insert(header::SET_COOKIE, line);
    }
    Ok(response)
}

async fn logout(State(console): State<Arc<Console>>, headers: HeaderMap) -> Response {
    if let Some(pass) = guard::pass(console.door, &headers) {
        console.sessions().leave(&pass);
    }
    let gone = format!("{}=; {}; Max-Age=0", console.door.cookie(), console.door.attributes());
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Ok(line) = HeaderValue::from_str(&gone) {
        response.headers_mut().insert(header::SET_COOKIE, line);
    }
    response
}
