use std::os::unix::fs::FileTypeExt;

use axum::{middleware, routing::get};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::{
    api::{guard, guard::Token},
    stop::StopSwitch,
};

struct Running {
    dir: TempDir,
    tcp: Option<SocketAddr>,
    stop: StopSwitch,
    server: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start(limits: Limits, tcp: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let token = Token::load_or_create(dir.path()).unwrap();
        let slow = || async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            "slow"
        };
        let router = Router::new()
            .route("/", get(async || "hello"))
            .route("/slow", get(slow))
            .layer(middleware::from_fn_with_state(Some(token), guard::check));
        let tcp = tcp.then(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        let listeners = Listeners::bind(&dir.path().join("api.sock"), tcp).await.unwrap();
        let stop = StopSwitch::new();
        let tcp = listeners.tcp();
        let server = tokio::spawn(listeners.serve(router, limits, stop.subscribe()));
        Self { dir, tcp, stop, server }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("api.sock")
    }

    /// Sends `request` and gives all that comes back until the other side closes.
    async fn ask(&self, request: &str) -> String {
        let stream = UnixStream::connect(self.socket()).await.unwrap();
        exchange(stream, request).await
    }

    async fn ask_tcp(&self, headers: &str) -> String {
        let stream = tokio::net::TcpStream::connect(self.tcp.unwrap()).await.unwrap();
        exchange(stream, &format!("GET / HTTP/1.1\r\nConnection: close\r\n{headers}\r\n")).await
    }

    async fn stop(self) -> TempDir {
        self.stop.stop();
        tokio::time::timeout(Duration::from_secs(5), self.server).await.unwrap().unwrap();
        self.dir
    }
}

async fn exchange(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), read).await.expect("the server closes").unwrap();
    answer
}

const PLAIN: &str = "GET / HTTP/1.1\r\nHost: any.thing\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn the_socket_is_for_its_owner_and_goes_with_the_server() {
    let running = Running::start(Limits::default(), false).await;
    let found = fs::metadata(running.socket()).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    assert!(running.ask(PLAIN).await.ends_with("hello"), "by the socket neither token nor host matter");
    let dir = running.stop().await;
    assert!(!dir.path().join("api.sock").exists());
}

#[tokio::test]
async fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("api.sock");
    drop(UnixListener::bind(&socket).unwrap());
    let first = Listeners::bind(&socket, None).await.unwrap();
    assert!(matches!(Listeners::bind(&socket, None).await, Err(BindError::InUse(_))));
    drop(first);
    assert!(!socket.exists());
    let file = dir.path().join("file.sock");
    fs::write(&file, "precious").unwrap();
    assert!(matches!(Listeners::bind(&file, None).await, Err(BindError::Socket(..))));
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    let long = dir.path().join("x".repeat(120));
    assert!(matches!(Listeners::bind(&long, None).await, Err(BindError::TooLong(_))));
    let open = Some(SocketAddr::from(([0, 0, 0, 0], 0)));
    assert!(matches!(Listeners::bind(&socket, open).await, Err(BindError::NotLoopback(_))));
}

#[tokio::test]
async fn tcp_wants_the_token_and_a_loopback_host() {
    let running = Running::start(Limits::default(), true).await;
    let token = fs::read_to_string(running.dir.path().join(tutti_control::runtime::TOKEN_FILE)).unwrap();
    let token = token.trim();
    let status = |answer: String| answer.split(' ').nth(1).unwrap().to_owned();
    let with_token = format!("Host: localhost\r\nAuthorization: Bearer {token}\r\n");
    let answer = running.ask_tcp(&with_token).await;
    assert!(answer.ends_with("hello"), "{answer}");
    assert!(!answer.to_lowercase().contains("access-control"), "no page of another origin may read it");
    assert_eq!(status(running.ask_tcp("Host: localhost\r\n").await), "401");
    assert_eq!(status(running.ask_tcp("Host: localhost\r\nAuthorization: Bearer 00\r\n").await), "401");
    let rebound = format!("Host: evil.example\r\nAuthorization: Bearer {token}\r\n");
    let refused = running.ask_tcp(&rebound).await;
    assert!(refused.contains("forbidden-host"), "{refused}");
    assert_eq!(status(running.ask_tcp(&format!("Authorization: Bearer {token}\r\n")).await), "403", "no host at all");
    running.stop().await;
}

#[tokio::test]
async fn silence_and_half_a_head_are_cut_off() {
    let limits = Limits { head: Duration::from_millis(200), ..Limits::default() };
    let running = Running::start(limits, false).await;
    assert_eq!(running.ask("").await, "");
    assert_eq!(running.ask("GET / HTTP/1.1\r\nHo").await, "");
    // After an answer, a connection that is kept open says nothing more either.
    let answer = running.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(answer.ends_with("hello"), "{answer}");
    running.stop().await;
}

#[tokio::test]
async fn more_connections_than_places_wait() {
    let limits = Limits { connections: 2, head: Duration::from_millis(500), ..Limits::default() };
    let running = Running::start(limits, false).await;
    let _silent =
        [UnixStream::connect(running.socket()).await.unwrap(), UnixStream::connect(running.socket()).await.unwrap()];
    tokio::time::sleep(Duration::from_millis(50)).await;
    let begun = std::time::Instant::now();
    assert!(running.ask(PLAIN).await.ends_with("hello"));
    assert!(begun.elapsed() > Duration::from_millis(200), "it waited until a silent one was cut off");
    running.stop().await;
}

#[tokio::test]
async fn what_is_under_way_is_answered_before_the_end() {
    let running = Running::start(Limits::default(), false).await;
    let stream = UnixStream::connect(running.socket()).await.unwrap();
    let asked = tokio::spawn(async move { exchange(stream, &PLAIN.replace("/ ", "/slow ")).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    running.stop().await;
    assert!(asked.await.unwrap().ends_with("slow"));
}

#[tokio::test]
async fn a_huge_head_is_refused() {
    let running = Running::start(Limits::default(), false).await;
    let huge = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Huge: {}\r\n\r\n", "x".repeat(100_000));
    let mut stream = UnixStream::connect(running.socket()).await.unwrap();
    // The server may close before all of it is sent.
    let _ = stream.write_all(huge.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
    running.stop().await;
}
