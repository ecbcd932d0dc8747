//! Satellites behind a real device: a board on a Unix socket and one on a serial line (a pseudo terminal), listed, read, followed
//! and driven from *another* device of the group; gone when they are, and back when they are.

#![allow(clippy::print_stdout, reason = "what a test measured is for whoever runs it")]

mod support;

use std::{
    fs::File,
    io::{Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::{UnixListener, UnixStream},
    },
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use support::{Device, Host, eventually};
use tutti_control::{
    ErrorCode, LeaseMode, LeaseRequest, LinkRequest, LinkState, Presence, Role, SetValue, Value, client::ResourceFilter,
};
use tutti_model::{BootTime, Name, ResourceKind, Text, Unit};
use tutti_satellite::{
    About, Denied, Input, Level, MAX_FRAME, Measure, Resource, Satellite,
    serial::{Decoder, encode, line_len},
};

#[test]
#[ignore = "run by the other tests in processes of its own"]
fn device() {
    support::device();
}

fn about(name: &str) -> About {
    let (architecture, os) = (Text::lossy("thumbv8m"), Text::lossy("embassy"));
    About { name: Name::new(name).unwrap(), architecture, os, firmware: Text::lossy("7.1") }
}

fn resources() -> [Resource; 2] {
    let resource = |name, kind, unit, writable| Resource {
        name: Name::new(name).unwrap(),
        kind,
        unit: Unit::new(unit).unwrap(),
        readable: true,
        writable,
        simulated: true,
    };
    [resource("temperature", ResourceKind::Sensor, "°C", false), resource("lamp", ResourceKind::Actuator, "", true)]
}

/// One board's own life: what it measures, and its lamp.
struct Board {
    satellite: Satellite<'static, 4>,
    count: i64,
    lamp: Measure,
}

impl Board {
    fn new(name: &str, session: u32) -> Self {
        let resources: &'static [Resource] = Box::leak(Box::new(resources()));
        let satellite = Satellite::new(about(name), resources, session);
        Self { satellite, count: 0, lamp: Measure::Bool(false) }
    }

    fn measure(&mut self, resource: usize) -> Measure {
        self.count += 1;
        if resource == 0 { Measure::Float(20.0 + self.count as f64) } else { self.lamp }
    }

    fn frame(&mut self, now: BootTime, frame: &[u8]) -> Option<(u8, Vec<u8>)> {
        match self.satellite.handle(now, frame)? {
            Input::Read { request, resource } => {
                let measure = self.measure(resource);
                self.satellite.answer(request, Ok(Some(measure)));
            }
            Input::Set { request, measure: lamp @ Measure::Bool(_), .. } => {
                self.lamp = lamp;
                self.satellite.log(Level::Info, "the lamp was set");
                self.satellite.answer(request, Ok(None));
            }
            Input::Set { request, .. } => self.satellite.answer(request, Err(Denied::BadValue)),
            Input::Relayed { child, frame } => return Some((child, frame.to_vec())),
        }
        None
    }

    fn due(&mut self, now: BootTime) {
        while let Some(resource) = self.satellite.due(now) {
            let measure = self.measure(resource);
            self.satellite.reading(now, resource, measure);
        }
    }
}

/// What the test does to the boards.
#[derive(Default)]
struct Wires {
    /// The boards hang: the line is open and nothing is said.
    hangs: AtomicBool,
    /// The line is cut.
    cut: AtomicBool,
}

/// Boards on a line of bytes: `near`, and `far` behind it. Until the line is cut.
fn run_boards(mut line: impl Read + Write + AsFd, wires: &Wires, near: &str, far: Option<&str>) {
    let started = Instant::now();
    let session = std::process::id() ^ u32::try_from(started.elapsed().as_nanos() & 0xffff).unwrap();
    let now = || BootTime::from_nanos(1 + u64::try_from(started.elapsed().as_nanos()).unwrap());
    let (mut near, mut far) = (Board::new(near, session), far.map(|name| Board::new(name, session ^ 0x5555)));
    let mut decoder = Decoder::default();
    let mut bytes = [0; 512];
    let mut out = vec![0; line_len(MAX_FRAME)];
    while !wires.cut.load(Ordering::Relaxed) {
        if wires.hangs.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        }
        let mut send = |line: &mut dyn Write, frame: &[u8]| {
            let len = encode(frame, &mut out).unwrap();
            line.write_all(&out[..len]).is_ok()
        };
        let mut poll = [rustix::event::PollFd::new(&line, rustix::event::PollFlags::IN)];
        let pause = rustix::time::Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
        let ready = rustix::event::poll(&mut poll, Some(&pause)).unwrap_or(0);
        let read = if ready == 0 { 0 } else { line.read(&mut bytes).unwrap_or(0) };
        if ready > 0 && read == 0 {
            return;
        }
        for byte in &bytes[..read] {
            let Some(frame) = decoder.push(*byte) else { continue };
            if let (Some((1, frame)), Some(far)) = (near.frame(now(), frame), &mut far) {
                far.frame(now(), &frame);
            }
        }
        near.due(now());
        let mut frame = [0; MAX_FRAME];
        while let Some(len) = near.satellite.poll_transmit(now(), &mut frame) {
            if !send(&mut line, &frame[..len]) {
                return;
            }
        }
        if let Some(far) = &mut far {
            far.due(now());
            let mut inner = [0; MAX_FRAME];
            while let Some(len) = far.satellite.poll_transmit(now(), &mut inner) {
                if let Some(len) = near.satellite.relay(1, &inner[..len], &mut frame)
                    && !send(&mut line, &frame[..len])
                {
                    return;
                }
            }
        }
    }
}

/// A process that listens on a socket and is a board for whoever connects.
struct OnSocket {
    wires: Arc<Wires>,
    thread: Option<JoinHandle<()>>,
}

impl OnSocket {
    fn start(path: &Path, near: &'static str, far: Option<&'static str>) -> Self {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let wires = Arc::new(Wires::default());
        let shared = wires.clone();
        let thread = std::thread::spawn(move || {
            while !shared.cut.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => {
                        stream.set_nonblocking(false).unwrap();
                        run_boards(stream, &shared, near, far);
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        Self { wires, thread: Some(thread) }
    }
}

impl Drop for OnSocket {
    fn drop(&mut self) {
        self.wires.cut.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn paired(host: &Host) -> (Device, Device) {
    let (kitchen, attic) = (host.start("kitchen"), host.start("attic"));
    attic.pair_with(&kitchen, Role::Member).await;
    attic.sees("kitchen", Presence::Online).await;
    kitchen.sees("attic", Presence::Online).await;
    (kitchen, attic)
}

fn to(link: String, name: Option<&str>) -> LinkRequest {
    LinkRequest { link, name: name.map(str::to_owned) }
}

/// Whether a device of this name is listed, and its resources are.
async fn shows(on: &Device, name: &str) -> bool {
    let listed = async || {
        let devices = on.client.devices().await.unwrap();
        devices.iter().any(|device| device.name == name && device.via.is_some())
    };
    let before = listed().await;
    let filter = ResourceFilter::default();
    let offered = on.client.resources(&filter).await.unwrap().iter().any(|one| one.device_name == name);
    let after = listed().await;
    // It may have come or gone between the questions.
    assert!(before || after || !offered, "{name} offers something and is not there");
    after && offered
}

/// How long it takes until it is shown, or is not any more.
async fn until(on: &Device, name: &str, shown: bool) -> Duration {
    let begun = Instant::now();
    eventually(&format!("{} shows {name}: {shown}", on.name), async || shows(on, name).await == shown).await;
    begun.elapsed()
}

/// With what a shared machine adds.
const GONE: Duration = Duration::from_secs(3);

#[tokio::test]
async fn a_board_on_a_socket_is_used_from_another_device_and_goes_and_comes_back() {
    let host = Host::new();
    let (kitchen, attic) = paired(&host).await;
    let socket = host.folder.path().join("board.sock");
    let board = OnSocket::start(&socket, "sensor-board", Some("far-board"));

    let link = kitchen.client.connect_satellite(&to(format!("unix:{}", socket.display()), None)).await.unwrap();
    assert_eq!((link.name.as_str(), link.satellites.len()), ("board", 0));
    until(&attic, "sensor-board", true).await;
    until(&attic, "far-board", true).await;
    until(&kitchen, "sensor-board", true).await;
    let kitchens_id = kitchen.client.device().await.unwrap().id;
    let devices = attic.client.devices().await.unwrap();
    let entry = devices.iter().find(|device| device.name == "sensor-board").unwrap();
    assert_eq!(entry.via.as_deref(), Some(kitchens_id.as_str()));
    assert_eq!((entry.architecture.as_str(), entry.software.as_str(), entry.role), ("thumbv8m", "7.1", None));
    assert_eq!((entry.kind.as_str(), entry.presence), ("microcontroller", Presence::Online));
    let link = kitchen.client.satellites().await.unwrap().remove(0);
    assert_eq!((link.state, link.satellites.len(), link.dropped), (LinkState::Joined, 2, 0));
    assert_eq!((link.satellites[0].depth, link.satellites[1].depth), (0, 1));

    // Read, followed and driven from the other device, and from its host.
    for device in [&attic, &kitchen] {
        for name in ["sensor-board", "far-board"] {
            let reading = device.client.read(name, "temperature").await.unwrap();
            assert!(reading.value.as_f64().unwrap() > 20.0 && reading.simulated);
            assert_eq!(reading.unit, "°C");
            let every = Some(Duration::from_millis(100));
            let mut follow = device.client.follow(name, "temperature", every).await.unwrap();
            let first = follow.next().await.unwrap().unwrap().value;
            let second = loop {
                let next = follow.next().await.unwrap().unwrap().value;
                if next != first {
                    break next;
                }
            };
            assert!(second.as_f64() > first.as_f64());
            for on in [true, false] {
                let set = SetValue { value: Value::Bool(on), token: None };
                assert!(device.client.set(name, "lamp", &set).await.unwrap().token.is_some(), "it was leased");
                assert_eq!(device.client.read(name, "lamp").await.unwrap().value, Value::Bool(on));
            }
            let odd = SetValue { value: Value::Text("bright".into()), token: None };
            let refused = device.client.set(name, "lamp", &odd).await.unwrap_err();
            assert_eq!(refused.code(), Some(ErrorCode::BadValue));
        }
    }
    // A lease of one keeps the other out.
    let wish = LeaseRequest { resource: "sensor-board/lamp".into(), mode: LeaseMode::Exclusive, duration_ms: None };
    let lease = attic.client.take_lease(&wish).await.unwrap();
    let on = SetValue { value: Value::Bool(true), token: None };
    assert_eq!(kitchen.client.set("sensor-board", "lamp", &on).await.unwrap_err().code(), Some(ErrorCode::Held));
    attic.client.release_lease(&lease.id).await.unwrap();

    // It hangs: nothing closes, and still it is gone in time.
    let id = entry.id.clone();
    board.wires.hangs.store(true, Ordering::Relaxed);
    let took = until(&attic, "sensor-board", false).await;
    assert!(took < GONE + Duration::from_secs(1), "gone after {took:?}");
    println!("a satellite that hangs is gone at another device after {took:?}");
    assert!(!shows(&attic, "far-board").await, "and whoever is behind it");
    let refused = attic.client.read(&id, "temperature").await.unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::NoSuchDevice));
    board.wires.hangs.store(false, Ordering::Relaxed);
    until(&attic, "sensor-board", true).await;
    let devices = attic.client.devices().await.unwrap();
    assert!(devices.iter().any(|device| device.id == id), "under the same id");

    // Its process ends.
    drop(board);
    let took = until(&attic, "sensor-board", false).await;
    assert!(took < GONE, "gone after {took:?}");
    println!("a satellite whose process ended is gone at another device after {took:?}");
    let link = kitchen.client.satellites().await.unwrap().remove(0);
    assert_eq!(link.state, LinkState::Waiting);
    assert!(link.last_error.is_some_and(|why| !why.is_empty()));
    let _board = OnSocket::start(&socket, "sensor-board", None);
    until(&attic, "sensor-board", true).await;

    // A device that is killed takes its satellites with it and brings them back: links are kept.
    kitchen.kill();
    eventually("offline", async || {
        let devices = attic.client.devices().await.unwrap();
        devices.iter().all(|device| device.name != "sensor-board" || device.presence == Presence::Offline)
    })
    .await;
    let kitchen = host.start("kitchen");
    attic.sees("kitchen", Presence::Online).await;
    attic.sees("sensor-board", Presence::Online).await;
    // It is shown with its host until that says anew which satellites it has.
    eventually("it is read again", async || attic.client.read("sensor-board", "temperature").await.is_ok()).await;
    kitchen.client.disconnect_satellite("board").await.unwrap();
    until(&attic, "sensor-board", false).await;
    assert!(kitchen.client.satellites().await.unwrap().is_empty());
    let refused = kitchen.client.disconnect_satellite("board").await.unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::NoSuchLink));
}

/// A pseudo terminal: the board's end, and the path of the device's end.
fn pseudo_terminal() -> (File, String) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let path = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
    (File::from(master), path)
}

#[tokio::test]
async fn a_board_on_a_serial_line_is_called_as_the_user_wants() {
    let host = Host::new();
    let (kitchen, attic) = paired(&host).await;
    let (line, path) = pseudo_terminal();
    let wires = Arc::new(Wires::default());
    let shared = wires.clone();
    let board = std::thread::spawn(move || run_boards(line, &shared, "usurper", None));
    let request = to(format!("serial:{path}@115200"), Some("bench"));
    let link = kitchen.client.connect_satellite(&request).await.unwrap();
    assert_eq!((link.name.as_str(), link.link), ("bench", format!("serial:{path}")));
    until(&attic, "bench", true).await;
    assert!(attic.client.read("bench", "temperature").await.unwrap().value.as_f64().unwrap() > 20.0);
    // Neither a second link to the same line, nor one of the same name, nor one that is none.
    let again = kitchen.client.connect_satellite(&request).await.unwrap_err();
    assert_eq!(again.code(), Some(ErrorCode::NameTaken));
    let wrong = kitchen.client.connect_satellite(&to("tcp:x".into(), None)).await.unwrap_err();
    assert_eq!(wrong.code(), Some(ErrorCode::BadRequest));
    wires.cut.store(true, Ordering::Relaxed);
    board.join().unwrap();
    let took = until(&attic, "bench", false).await;
    assert!(took < GONE + Duration::from_secs(1), "gone after {took:?}");
}

#[tokio::test]
async fn a_hostile_satellite_usurps_nobody_and_floods_nobody() {
    let host = Host::new();
    let (kitchen, attic) = paired(&host).await;
    let socket = host.folder.path().join("hostile.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let request = to(format!("unix:{}", socket.display()), None);
    kitchen.client.connect_satellite(&request).await.unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
    let sent = Arc::new(Mutex::new(0_u64));
    let counter = sent.clone();
    // It calls itself like a member, begins anew as often as it can, and sends rubbish in between.
    let flood = std::thread::spawn(move || {
        let end = Instant::now() + Duration::from_secs(4);
        let (mut session, mut out) = (0, vec![0; line_len(MAX_FRAME)]);
        let mut answers = UnixStream::try_clone(&stream).unwrap();
        std::thread::spawn(move || std::io::copy(&mut answers, &mut std::io::sink()));
        while Instant::now() < end {
            session += 1;
            let mut satellite = Satellite::<0>::new(about("attic"), &[], session);
            let mut frame = [0; MAX_FRAME];
            let hello = satellite.poll_transmit(BootTime::ZERO, &mut frame).unwrap();
            let len = encode(&frame[..hello], &mut out).unwrap();
            let rubbish = [0xa5; 700];
            for bytes in [&out[..len], &rubbish, &[0]] {
                *counter.lock().unwrap() += bytes.len() as u64;
                if stream.write_all(bytes).is_err() {
                    break;
                }
            }
        }
    });
    let seq = async |device: &Device| device.client.timeline().await.unwrap().len();
    let before = seq(&kitchen).await;
    let mut slowest = Duration::ZERO;
    while !flood.is_finished() {
        let begun = Instant::now();
        // The device of that name is still the one that is meant, and answers.
        kitchen.client.read("attic", "room-temperature").await.unwrap();
        slowest = slowest.max(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    flood.join().unwrap();
    assert!(slowest < Duration::from_secs(2), "a reading took {slowest:?}");
    let happened = seq(&kitchen).await - before;
    assert!(happened < 60, "{happened} things happened");
    let sent = *sent.lock().unwrap();
    assert!(sent < 9 << 20, "{sent} bytes were taken within 4 s");
    let devices = attic.client.devices().await.unwrap();
    let members = devices.iter().filter(|device| device.name == "attic" && device.via.is_none()).count();
    assert_eq!(members, 1);
}

/// One request to the console's door; the answer as it is.
async fn of_page(address: &str, method: &str, target: &str, headers: &[&str], body: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let len = body.len();
    let head =
        format!("{method} {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {len}\r\n");
    stream.write_all(format!("{head}{headers}\r\n{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

#[tokio::test]
async fn a_page_runs_no_program_and_opens_no_line() {
    let host = Host::new();
    let kitchen = host.start("kitchen");
    let link = kitchen.client.console(&tutti_control::ConsoleRequest::default()).await.unwrap().url;
    let (address, token) = link.strip_prefix("http://").unwrap().split_once("/#login=").unwrap();
    let login = format!("{{\"token\":\"{token}\"}}");
    let answer = of_page(address, "POST", "/login", &["x-tutti-console: login"], &login).await;
    let after = |mark: &str| answer.split_once(mark).unwrap().1;
    let cookie = format!("Cookie: {}", after("set-cookie: ").split(';').next().unwrap());
    let key = format!("x-tutti-console: {}", after("\"key\":\"").split('"').next().unwrap());
    let pass = [cookie.as_str(), key.as_str()];
    let cores = of_page(address, "GET", "/v1/cores", &pass, "").await;
    assert!(cores.starts_with("HTTP/1.1 200"), "it may look: {cores}");
    let program = r#"{"firmware":"/bin/true"}"#;
    for (target, body) in [
        ("/v1/cores/x/do/start", program),
        ("/v1/cores/x/do/st%61rt", program),
        ("/v1/satellites", r#"{"link":"unix:/tmp/x"}"#),
    ] {
        let refused = of_page(address, "POST", target, &pass, body).await;
        assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("a page in a browser may not"), "{refused}");
    }
    assert!(kitchen.client.cores().await.unwrap().is_empty());
    assert!(kitchen.client.satellites().await.unwrap().is_empty());
}
