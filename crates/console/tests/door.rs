//! The door in front of an API of one route and one stream: who is let in, and what every answer carries.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode},
    routing::get,
};
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tutti_console::{
    Console, Door, KEY_HEADER,
    sessions::{LINK_LIFE, MAX_WRONG, SESSION_LIFE},
};

struct Stage {
    host: &'static str,
    console: Arc<Console>,
    seconds: Arc<AtomicU64>,
    router: Router,
}

impl Stage {
    fn new(door: Door, host: &'static str) -> Self {
        let seconds = Arc::new(AtomicU64::new(5));
        let clock = seconds.clone();
        let console = Arc::new(Console::new(door, move || Duration::from_secs(clock.load(Ordering::Relaxed))));
        let beats = || async {
            let beats = stream::repeat("data: x\n\n").then(|beat| async move {
                tokio::time::sleep(Duration::from_millis(5)).await;
                Ok::<_, std::io::Error>(beat)
            });
            ([("content-type", "text/event-stream")], Body::from_stream(beats))
        };
        let api = Router::new().route("/v1/device", get(|| async { "device" })).route("/v1/events", get(beats));
        let router = console.clone().router(api.route("/v1/console", get(|| async { "a link" })));
        Self { host, console, seconds, router }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response<Body> {
        let request = Request::builder().method(method).uri(path).header("host", self.host);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let service = TowerToHyperService::new(self.router.clone());
        let answer = service.call(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        for name in ["content-security-policy", "x-frame-options", "cross-origin-resource-policy", "cache-control"] {
            assert!(answer.headers().contains_key(name), "{path} without {name}");
        }
        assert!(!answer.headers().contains_key("access-control-allow-origin"));
        answer
    }

    async fn log_in(&self, link: &str) -> Result<(String, String), StatusCode> {
        self.log_in_by("token", link.strip_prefix("#login=").unwrap()).await
    }

    async fn log_in_by(&self, what: &str, word: &str) -> Result<(String, String), StatusCode> {
        let body = format!("{{\"{what}\":\"{word}\"}}");
        let answer = self.ask("POST", "/login", &[(KEY_HEADER, "login")], &body).await;
        if answer.status() != StatusCode::OK {
            return Err(answer.status());
        }
        let cookie = answer.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        Ok((cookie, body["key"].as_str().unwrap().to_owned()))
    }
}

#[tokio::test]
async fn a_link_lets_one_browser_in_until_its_time_is_over() {
    let door = Stage::new(Door::Loopback, "127.0.0.1:9");
    assert_eq!(door.ask("GET", "/", &[], "").await.status(), StatusCode::OK, "the page is for everybody");
    let link = door.console.invite().unwrap().fragment;
    let (cookie, key) = door.log_in(&link).await.unwrap();
    assert_eq!(door.log_in(&link).await, Err(StatusCode::UNAUTHORIZED), "a second time");
    let pass = [("cookie", cookie.as_str()), (KEY_HEADER, key.as_str())];
    assert_eq!(door.ask("GET", "/v1/device", &pass, "").await.status(), StatusCode::OK);
    for half in [&pass[..0], &pass[..1], &pass[1..]] {
        assert_eq!(door.ask("GET", "/v1/device", half, "").await.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(door.ask("GET", "/v1/console", &pass, "").await.status(), StatusCode::FORBIDDEN);
    door.seconds.fetch_add(SESSION_LIFE.as_secs(), Ordering::Relaxed);
    assert_eq!(door.ask("GET", "/v1/device", &pass, "").await.status(), StatusCode::UNAUTHORIZED);
    let late = door.console.invite().unwrap().fragment;
    door.seconds.fetch_add(LINK_LIFE.as_secs(), Ordering::Relaxed);
    assert_eq!(door.log_in(&late).await, Err(StatusCode::UNAUTHORIZED));
}

#[tokio::test]
async fn a_stream_ends_with_its_session() {
    let door = Stage::new(Door::Loopback, "127.0.0.1:9");
    let link = door.console.invite().unwrap().fragment;
    let (cookie, key) = door.log_in(&link).await.unwrap();
    let pass = [("cookie", cookie.as_str()), (KEY_HEADER, key.as_str())];
    let mut events = door.ask("GET", "/v1/events", &pass, "").await.into_body().into_data_stream();
    assert!(events.next().await.is_some());
    assert_eq!(door.ask("POST", "/logout", &pass, "").await.status(), StatusCode::NO_CONTENT);
    let rest = tokio::time::timeout(Duration::from_secs(5), events.count()).await;
    assert!(rest.is_ok(), "the stream goes on without its session");
}

#[tokio::test]
async fn on_the_network_a_code_lets_one_browser_in() {
    let door = Stage::new(Door::Network, "10.0.0.1:9");
    let invitation = door.console.invite().unwrap();
    let code = invitation.code.unwrap().to_string();
    let wrong = if code == "000000" { "000001" } else { "000000" };
    assert_eq!(door.log_in_by("code", wrong).await, Err(StatusCode::UNAUTHORIZED));
    for nonsense in ["", "12345", "abcdef"] {
        assert_eq!(door.log_in_by("code", nonsense).await, Err(StatusCode::BAD_REQUEST), "{nonsense:?}");
    }
    let answer = door.ask("POST", "/login", &[(KEY_HEADER, "login")], &format!("{{\"code\":\"{code}\"}}")).await;
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-") && cookie.contains("; Secure; HttpOnly; SameSite=Strict"), "{cookie}");
    assert_eq!(door.log_in_by("code", &code).await, Err(StatusCode::UNAUTHORIZED), "a second time");

    let invitation = door.console.invite().unwrap();
    for _ in 0..MAX_WRONG {
        assert_eq!(door.log_in_by("code", wrong).await, Err(StatusCode::UNAUTHORIZED));
    }
    let code = invitation.code.unwrap().to_string();
    assert_eq!(door.log_in_by("code", &code).await, Err(StatusCode::UNAUTHORIZED), "void");
    assert!(door.log_in(&invitation.fragment).await.is_ok(), "the link still counts");
}

#[tokio::test]
async fn on_loopback_no_code_is_offered() {
    let door = Stage::new(Door::Loopback, "127.0.0.1:9");
    assert!(door.console.invite().unwrap().code.is_none());
    assert_eq!(door.log_in_by("code", "123456").await, Err(StatusCode::UNAUTHORIZED));
}
