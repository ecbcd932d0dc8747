//! What it costs a device to show the console's page while 60 devices change 2,000 values a second: processor, memory, and what
//! goes to the page.
//!
//! The device is the `tutti` that users get. The crowd is 59 further devices that this program runs in another process of its own;
//! their sensors change once a second through their own control API. The page is a reader of the stream that the page reads,
//! without a browser, whose own cost the layer `browser` measures, with 200 devices.
//!
//! Two hundred real ones do not fit on one machine: each is linked with each, and what 40,000 sessions say to show that they live
//! takes more than two processors. `TUTTI_CROWD=20` for another number of devices.
//!
//! Prints a JSON object a line: `name`, `value`, `unit`.

#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr)]

mod support;

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;
use tutti_control::{Client, JoinRequest, OfferRequest, Role};
use tutti_model::Name;
use tutti_node::Options;

use support::{MIB, TUTTI, resident, row};

const FOLDER: &str = "TUTTI_CROWD_FOLDER";
const HOST: &str = "TUTTI_CROWD_HOST";
/// Values that change each second, of all devices together.
const VALUES: usize = 2000;
/// How long each state is measured.
const SPAN: Duration = Duration::from_secs(20);
/// How long the crowd may take to come together.
const PATIENCE: Duration = Duration::from_secs(600);

fn main() {
    let devices = std::env::var("TUTTI_CROWD").ok().and_then(|text| text.parse().ok()).unwrap_or(60).max(2);
    if let (Some(folder), Ok(host)) = (std::env::var_os(FOLDER), std::env::var(HOST)) {
        return crowd(devices, Path::new(&folder), &host);
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let device = Device::start(folder.path());
    let mut crowd = Command::new(std::env::current_exe().expect("this program"))
        .env(FOLDER, folder.path())
        .env(HOST, &device.socket)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map(Ended)
        .expect("the crowd starts");
    let begun = Instant::now();
    let mut line = String::new();
    BufReader::new(crowd.0.stdout.take().expect("is piped")).read_line(&mut line).expect("the crowd speaks");
    assert_eq!(line.trim(), "together", "the crowd did not come together");
    eprintln!("{devices} devices are one pool after {:.0} s", begun.elapsed().as_secs_f64());

    std::thread::sleep(Duration::from_secs(5));
    row("console.load.unwatched", device.share(), "%");
    let page = Page::open(&device.socket);
    // What it follows is being taken up.
    std::thread::sleep(Duration::from_secs(10));
    page.start();
    let share = device.share();
    let (values, kinds, bytes) = page.seen();
    row("console.load.watched", share, "%");
    row("console.load.values", values / SPAN.as_secs_f64(), "/s");
    row("console.load.resources", kinds as f64, "resources");
    row("console.load.bytes", bytes / SPAN.as_secs_f64() / 1024.0, "KiB/s");
    row("console.load.memory", resident(device.process.0.id()) / MIB, "MiB");
    drop(page);
    drop(crowd);
}

/// A process that ends with its owner.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The device that is measured.
struct Device {
    process: Ended,
    socket: String,
}

impl Device {
    fn start(folder: &Path) -> Self {
        let mut process = Command::new(TUTTI)
            .args([
                "up",
                "--foreground",
                "--exit-with-stdin",
                "--no-mdns",
                "--no-hardware",
                "--name",
                "console",
                "--state",
            ])
            .arg(folder.join("console"))
            .env("TUTTI_RUNTIME_DIR", folder.join("console-run"))
            .env("TUTTI_LOG", "error")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map(Ended)
            .expect("tutti runs");
        let mut line = String::new();
        BufReader::new(process.0.stdout.take().expect("is piped")).read_line(&mut line).expect("it speaks");
        let socket = line.split_whitespace().last().expect("ready, name, id, socket").to_owned();
        Self { process, socket }
    }

    /// Processor time that it takes in [`SPAN`], in per cent of one processor.
    fn share(&self) -> f64 {
        let (before, start) = (self.ticks(), Instant::now());
        std::thread::sleep(SPAN);
        let seconds = (self.ticks() - before) / rustix::param::clock_ticks_per_second() as f64;
        100.0 * seconds / start.elapsed().as_secs_f64()
    }

    fn ticks(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.0.id())).expect("it runs");
        let fields: Vec<f64> = stat
            .rsplit(')')
            .next()
            .into_iter()
            .flat_map(str::split_whitespace)
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse().ok())
            .collect();
        fields.iter().sum()
    }
}

/// A reader of what the page reads.
struct Page {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    reader: Option<std::thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    values: f64,
    bytes: f64,
    resources: BTreeSet<String>,
}

impl Page {
    fn open(socket: &str) -> Self {
        let mut stream = UnixStream::connect(socket).expect("the device listens");
        let path = "/v1/events?values=apart&timeline=yes&cores=yes&apps=yes";
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("it is asked");
        stream.set_read_timeout(Some(Duration::from_secs(1))).expect("a time-out");
        let (seen, stop) = (Arc::<Mutex<Seen>>::default(), Arc::new(AtomicBool::new(false)));
        let (noting, stopped) = (seen.clone(), stop.clone());
        let reader = std::thread::spawn(move || read(stream, &noting, &stopped));
        Self { seen, stop, reader: Some(reader) }
    }

    /// Counts from now on.
    fn start(&self) {
        *self.seen.lock().expect("no panics") = Seen::default();
    }

    /// Values, how many different resources they were of, and bytes.
    fn seen(&self) -> (f64, usize, f64) {
        let seen = self.seen.lock().expect("no panics");
        (seen.values, seen.resources.len(), seen.bytes)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

fn read(mut stream: UnixStream, seen: &Mutex<Seen>, stop: &AtomicBool) {
    let (mut rest, mut chunk) = (Vec::new(), vec![0; 64 * 1024]);
    while !stop.load(Ordering::Relaxed) {
        let len = match stream.read(&mut chunk) {
            Ok(0) => return,
            Ok(len) => len,
            Err(_) => continue,
        };
        rest.extend_from_slice(&chunk[..len]);
        let mut seen = seen.lock().expect("no panics");
        seen.bytes += len as f64;
        while let Some(end) = rest.windows(2).position(|it| it == b"\n\n") {
            let block: Vec<u8> = rest.drain(..end + 2).collect();
            let text = String::from_utf8_lossy(&block);
            // Chunks of HTTP begin with their length, in lines of their own.
            let event = text.lines().any(|line| line == "event: values");
            let data = text.lines().find_map(|line| line.strip_prefix("data: "));
            if let (true, Some(Ok(Value::Array(all)))) = (event, data.map(serde_json::from_str)) {
                seen.values += all.len() as f64;
                seen.resources.extend(all.iter().map(|it| format!("{}/{}", it["device"], it["name"])));
            }
        }
    }
}

/// Is the other devices, until standard input is closed.
fn crowd(devices: usize, folder: &Path, host: &str) {
    let each = VALUES.div_ceil(devices - 1);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let host = Client::unix(host).timeout(Duration::from_secs(60));
        let mut clients = Vec::new();
        for n in 1..devices {
            let socket = member(folder, n).await;
            let client = Client::unix(socket).timeout(Duration::from_secs(60));
            join(&host, &client).await;
            clients.push(client);
        }
        for (n, client) in clients.into_iter().enumerate() {
            tokio::spawn(change(n, client, each));
        }
        let together = tokio::time::timeout(PATIENCE, async {
            loop {
                let resources = host.resources(&Default::default()).await.expect("a list");
                if resources.iter().filter(|it| it.online && it.name.starts_with("sensor")).count()
                    >= (devices - 1) * each
                {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        println!("{}", if together.await.is_ok() { "together" } else { "too late" });
        let (sender, closed) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || sender.send(std::io::copy(&mut std::io::stdin(), &mut std::io::sink())));
        let _ = closed.await;
    });
}

/// Lets a device into the pool. With two hundred of them on one machine, each linked with each, that may take more than one try.
async fn join(host: &Client, guest: &Client) {
    for _ in 0..20 {
        let ticket = host.offer_pairing(Role::Member).await.expect("a ticket").ticket;
        match guest.join(&JoinRequest { ticket: Some(ticket), ..JoinRequest::default() }).await {
            Ok(_) => return,
            Err(error) => eprintln!("not yet: {error}"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("a device could not join");
}

/// Starts a device that sees nobody but whom it is told of, and gives the socket of its control API.
async fn member(folder: &Path, n: usize) -> PathBuf {
    let name = format!("device-{n:03}");
    let mut options = Options::new(folder.join(&name), folder.join(format!("{name}-run")));
    options.name = Name::new(&name).ok();
    options.mdns = false;
    options.hardware = false;
    options.storage = None;
    let (sender, ready) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let told = |ready: tutti_node::Ready| drop(sender.send(ready.socket));
        tutti_node::run(options, told, std::future::pending()).await.expect("a device runs");
    });
    ready.await.expect("it is ready")
}

/// Changes the values of a device's sensors once a second, spread over it.
async fn change(n: usize, client: Client, sensors: usize) {
    let mut every = tokio::time::interval(Duration::from_secs(1) / sensors as u32);
    for turn in 0.. {
        every.tick().await;
        let value = (turn / sensors) as f64 + n as f64 / 1000.0;
        let offer = OfferRequest { value: Some(tutti_control::Value::Float(value)), ..OfferRequest::of_kind("sensor") };
        // One that was not taken is followed by the next.
        let _ = client.offer(&format!("sensor-{}", turn % sensors), &offer).await;
    }
}
