//! The client against a device that answers well, badly, or not at all.

use std::{
    io,
    path::Path,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::io::{AsyncRead, ReadBuf};
use tutti_control::{
    Client, ClientError, Endpoint, ErrorCode, Event, GroupInfo, LeaseMode, LeaseRequest, PairingState, PairingStatus,
    Reading, Role, SetValue, Stored, Value,
    client::{Quota, ResourceFilter},
    fake::{Answer, Asked, FakeDevice},
};

struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn device(&self, answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> (FakeDevice, Client) {
        let device = FakeDevice::start(self.folder.path().join("api.sock"), answer).unwrap();
        let client = Client::unix(&device.socket).timeout(Duration::from_millis(300));
        (device, client)
    }
}

fn reading(value: f64) -> Reading {
    Reading {
        device: "ab".repeat(32),
        device_name: "kitchen".into(),
        name: "temperature".into(),
        value: Value::Float(value),
        unit: "°C".into(),
        at: 1_700_000_000_000,
        simulated: true,
    }
}

#[tokio::test]
async fn requests_are_what_the_table_says() {
    let host = Host::new();
    let (device, client) = host.device(|asked| match asked.line().as_str() {
        "GET /v1/resources?kind=sensor&property=unit%3D%25" => Answer::json(&[0; 0]),
        "GET /v1/resources/kitchen/temperature" => Answer::json(&reading(20.5)),
        "DELETE /v1/devices/kitchen" | "PUT /v1/devices/K%C3%BCche/role" => Answer::done(),
        other => panic!("{other}"),
    });
    let filter =
        ResourceFilter { kind: Some("sensor".into()), properties: vec!["unit=%".into()], ..ResourceFilter::default() };
    assert_eq!(client.resources(&filter).await.unwrap(), []);
    assert_eq!(client.read("kitchen", "temperature").await.unwrap(), reading(20.5));
    client.forget("kitchen").await.unwrap();
    client.set_role("Küche", Role::Guest).await.unwrap();
    assert_eq!(device.asked()[3].body, r#"{"role":"guest"}"#);
}

#[tokio::test]
async fn a_refusal_carries_its_reason() {
    let host = Host::new();
    let (device, client) = host.device(|asked| match asked.method.as_str() {
        "PUT" => Answer::refused(ErrorCode::Held, "studio holds kitchen/lamp", "try again in 4 s"),
        _ => Answer::with(502, "text/html", "<html>"),
    });
    let request = SetValue { value: Value::Bool(true), token: Some(7) };
    let error = client.set("kitchen", "lamp", &request).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::Held));
    assert!(matches!(error, ClientError::Refused { status: 409, .. }));
    assert_eq!((error.to_string(), error.hint()), ("studio holds kitchen/lamp".into(), "try again in 4 s".into()));
    assert_eq!(device.asked()[0].body, r#"{"value":true,"token":7}"#);

    let request = LeaseRequest { resource: "kitchen/lamp".into(), mode: LeaseMode::Shared, duration_ms: None };
    let error = client.take_lease(&request).await.unwrap_err();
    assert_eq!(error.to_string(), "POST /v1/leases: the device answered with HTTP status 502 and no reason");
}

#[tokio::test]
async fn a_device_that_says_nothing_costs_only_the_time() {
    let host = Host::new();
    for answer in ["", "HTTP/1.1 200 X\r\n", "HTTP/1.1 200 X\r\ncontent-length: 5\r\n\r\n{"] {
        let (device, client) = host.device(move |_| Answer::raw(answer).lingering());
        let start = Instant::now();
        let error = client.device().await.unwrap_err();
        assert!(matches!(error, ClientError::TimedOut { .. }), "{answer:?}: {error}");
        assert!(start.elapsed() < Duration::from_secs(3));
        std::fs::remove_file(&device.socket).unwrap();
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_an_error() {
    let host = Host::new();
    let endless = [b"HTTP/1.1 200 X\r\n\r\n".to_vec(), vec![b' '; 9 << 20]].concat();
    let answers: [(&[u8], &str); 5] = [
        (b"SSH-2.0-OpenSSH\r\n", "broke"),
        (b"HTTP/1.1 200 X\r\ncontent-length: 9\r\n\r\n{", "broke"),
        (b"HTTP/1.1 200 X\r\ncontent-length: 2\r\n\r\n{}", "missing field `id`"),
        (b"HTTP/1.1 200 X\r\ncontent-length: 2\r\n\r\n\xff\xff", "makes no sense"),
        (&endless, "larger than 8388608 bytes"),
    ];
    for (answer, expected) in answers {
        let answer = answer.to_vec();
        let (device, client) = host.device(move |_| Answer::raw(answer.clone()));
        let error = client.timeout(Duration::from_secs(5)).device().await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        std::fs::remove_file(&device.socket).unwrap();
    }
}

#[tokio::test]
async fn nobody_listens() {
    let client = Client::unix(Path::new("/nonexistent/tutti.sock"));
    let error = client.device().await.unwrap_err();
    assert!(matches!(error, ClientError::Connect { .. }));
    assert_eq!(error.hint(), "start the device with: tutti up");
}

#[tokio::test]
async fn the_token_stays_on_this_machine() {
    let endpoint = Endpoint::Tcp { addr: "192.0.2.1:80".parse().unwrap(), token: "secret".into() };
    assert_eq!(format!("{endpoint:?}"), "Endpoint(192.0.2.1:80)");
    let error = Client::new(endpoint).device().await.unwrap_err();
    assert!(error.to_string().contains("only spoken on loopback"), "{error}");
}

#[tokio::test]
async fn readings_are_followed() {
    let host = Host::new();
    let (device, client) = host.device(|_| {
        let data = |value| serde_json::to_string(&reading(value)).unwrap();
        Answer::events([("reading", data(1.0)), ("ping", String::new()), ("reading", data(2.0))])
    });
    let mut stream = client.follow("kitchen", "temperature", Some(Duration::from_millis(250))).await.unwrap();
    assert_eq!(stream.next().await.unwrap(), Some(reading(1.0)));
    assert_eq!(stream.next().await.unwrap(), Some(reading(2.0)));
    assert_eq!(stream.next().await.unwrap(), None);
    assert_eq!(device.asked()[0].target, "/v1/resources/kitchen/temperature/follow?interval_ms=250");
}

#[tokio::test]
async fn changes_arrive_typed_and_unknown_ones_are_skipped() {
    let host = Host::new();
    let pairing = PairingStatus { tries_left: Some(3), ..PairingStatus::of(PairingState::Open) };
    let group = GroupInfo { id: "1".into(), role: Role::Owner, members: 2, alone: false };
    let expected = [Event::Pairing(pairing), Event::Group(group)];
    let events: Vec<_> = expected.iter().map(|event| (event.name(), event.data().unwrap())).collect();
    let (_device, client) = host.device(move |_| {
        let [first, second] = [events[0].clone(), events[1].clone()];
        Answer::events([first, ("weather", "{".into()), second, ("devices", "{".into())])
    });
    let mut stream = client.changes().await.unwrap();
    for event in expected {
        assert_eq!(stream.next().await.unwrap(), Some(event));
    }
    assert!(matches!(stream.next().await, Err(ClientError::Garbled { .. })));
}

#[tokio::test]
async fn files_go_both_ways() {
    let host = Host::new();
    let (device, client) = host.device(|asked| match asked.method.as_str() {
        "PUT" => Answer::json(&Stored { path: "a b.txt".into(), size: asked.body.len() as u64 }),
        _ => Answer::with(200, "application/octet-stream", vec![7; 300_000]),
    });
    let text = "x".repeat(200_000);
    let stored = client.store("kitchen", "disk", "notes/a b.txt", io::Cursor::new(text.clone())).await.unwrap();
    assert_eq!(stored.size, 200_000);
    assert_eq!(device.asked()[0].line(), "PUT /v1/storage/kitchen/disk/notes/a%20b.txt");
    assert_eq!(device.asked()[0].body, text);

    let mut download = client.fetch("kitchen", "disk", "x").await.unwrap();
    assert_eq!((download.size(), download.quota()), (Some(300_000), Some(Quota { used: 5, quota: 100 })));
    let mut whole = Vec::new();
    while let Some(chunk) = download.chunk().await.unwrap() {
        whole.extend_from_slice(&chunk);
    }
    assert_eq!(whole, vec![7; 300_000]);
}

/// Reads a little and then fails, as a file on a bad disk does.
struct BadDisk(bool);

impl AsyncRead for BadDisk {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(Err(io::Error::other("bad sector")));
        }
        buffer.put_slice(b"begin");
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_source_that_fails_is_not_taken_for_a_whole_file() {
    let host = Host::new();
    let (device, client) = host.device(|_| Answer::json(&Stored { path: "x".into(), size: 5 }));
    let error = client.store("kitchen", "disk", "x", BadDisk(false)).await.unwrap_err();
    assert_eq!(error.to_string(), "what was to be sent cannot be read: bad sector");
    assert_eq!(device.asked(), [], "the body never ended");
}
