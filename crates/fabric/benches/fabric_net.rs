//! The fabric beside a bare iroh program that does the same, on loopback, in one run.
//!
//! Batches of both are interleaved, so that whatever else the machine does meets both; the figure is the median over
//! the batches. Prints a JSON object a line: `name`, `value`, `unit`, `reference`, `reference_value`, `ratio`.

#![allow(missing_docs, clippy::print_stdout)]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use iroh::{
    Endpoint, EndpointAddr, RelayMode, SecretKey, TransportAddr,
    endpoint::{Connection, presets},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tutti_fabric::{
    Config, Fabric, Incoming, Service, Source,
    clock::MachineClock,
    group::Group,
    store::{MemoryStore, Store},
    transport::{
        Priority, Transport,
        iroh::{IrohConfig, IrohTransport},
    },
};
use tutti_model::{DeviceId, Name, Role, VersionRange, WallTime};

const BATCHES: usize = 31;
const REQUESTS: usize = 300;
const SIZES: [usize; 3] = [16, 1024, 64 * 1024];
const MEBIBYTE: usize = 1 << 20;
const STREAMED: usize = 64 * MEBIBYTE;

fn main() {
    // One thread for each side's runtime would hide what hand-overs between threads cost: the node has two as well.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(run());
    runtime.shutdown_timeout(Duration::from_secs(1));
}

async fn run() {
    let bare = Bare::connect().await;
    let ours = Ours::connect().await;
    for size in SIZES {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        ours.ask(size, REQUESTS).await;
        bare.ask(size, REQUESTS).await;
        for _ in 0..BATCHES {
            a.push(ours.ask(size, REQUESTS).await);
            b.push(bare.ask(size, REQUESTS).await);
        }
        row(&format!("fabric.request.{size}"), median(a), median(b), "us");
    }
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        a.push(ours.stream().await);
        b.push(bare.stream().await);
    }
    row("fabric.stream.1mib", median(a), median(b), "MB/s");
}

fn row(name: &str, value: f64, reference: f64, unit: &str) {
    println!(
        "{{\"name\":\"{name}\",\"value\":{value:.2},\"unit\":\"{unit}\",\"reference\":\"bare iroh\",\
         \"reference_value\":{reference:.2},\"ratio\":{:.3}}}",
        value / reference
    );
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Microseconds of one request, as the median over `count`.
async fn timed<F: Future<Output = ()>>(count: usize, mut ask: impl FnMut() -> F) -> f64 {
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        ask().await;
        took.push(start.elapsed().as_secs_f64() * 1e6);
    }
    median(took)
}

fn rate(start: Instant) -> f64 {
    STREAMED as f64 / 1e6 / start.elapsed().as_secs_f64()
}

/// A program on bare iroh: echoes what comes on a stream, or swallows it if it begins with a 1.
struct Bare {
    _server: Endpoint,
    _client: Endpoint,
    conn: Connection,
}

impl Bare {
    async fn connect() -> Self {
        let bind = |seed: u8| async move {
            Endpoint::builder(presets::Minimal)
                .secret_key(SecretKey::from_bytes(&[seed; 32]))
                .alpns(vec![b"bare".to_vec()])
                .relay_mode(RelayMode::Disabled)
                .clear_address_lookup()
                .bind()
                .await
                .expect("it binds")
        };
        let (server, client) = (bind(1).await, bind(2).await);
        let port = server.bound_sockets().iter().find(|addr| addr.is_ipv4()).expect("IPv4").port();
        let addr = EndpointAddr::from_parts(server.id(), [TransportAddr::Ip(([127, 0, 0, 1], port).into())]);
        let accepting = server.clone();
        tokio::spawn(async move {
            let conn = accepting.accept().await.expect("a connection").await.expect("a handshake");
            while let Ok((mut send, mut recv)) = conn.accept_bi().await {
                tokio::spawn(async move {
                    let mut kind = [0];
                    recv.read_exact(&mut kind).await.expect("a kind");
                    if kind[0] == 1 {
                        swallow(&mut recv).await;
                        send.write_all(&[1]).await.expect("written");
                    } else {
                        let body = recv.read_to_end(MEBIBYTE).await.expect("a body");
                        send.write_all(&body).await.expect("written");
                    }
                    send.finish().expect("finished");
                });
            }
        });
        let conn = client.connect(addr, b"bare").await.expect("connected");
        Self { _server: server, _client: client, conn }
    }

    async fn ask(&self, size: usize, count: usize) -> f64 {
        let mut body = vec![7; size + 1];
        body[0] = 0;
        let body = &body;
        timed(count, || async move {
            let (mut send, mut recv) = self.conn.open_bi().await.expect("a stream");
            send.write_all(body).await.expect("written");
            send.finish().expect("finished");
            assert_eq!(recv.read_to_end(MEBIBYTE).await.expect("a reply").len(), size);
        })
        .await
    }

    async fn stream(&self) -> f64 {
        let chunk = vec![7; MEBIBYTE];
        let (mut send, mut recv) = self.conn.open_bi().await.expect("a stream");
        let start = Instant::now();
        send.write_all(&[1]).await.expect("written");
        for _ in 0..STREAMED / MEBIBYTE {
            send.write_all(&chunk).await.expect("written");
        }
        send.finish().expect("finished");
        recv.read_to_end(1).await.expect("an end");
        rate(start)
    }
}

async fn swallow(recv: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut buffer = vec![0; 256 * 1024];
    while recv.read(&mut buffer).await.expect("readable") > 0 {}
}

/// The same between two members of a group.
struct Ours {
    _server: Fabric,
    client: Fabric,
    to: DeviceId,
}

impl Ours {
    async fn connect() -> Self {
        let keys = [SigningKey::from_bytes(&[3; 32]), SigningKey::from_bytes(&[4; 32])];
        let ids = keys.clone().map(|key| DeviceId::from_bytes(key.verifying_key().to_bytes()));
        let name = Name::new("bench").expect("a name");
        let mut group = Group::found(&keys[0], name, [0; 16], WallTime::default());
        group.add(&keys[0], ids[1], Role::Member, name, [1; 16], WallTime::default()).expect("added");
        let start = |key: SigningKey| {
            let bytes = group.encode();
            async move {
                let transport = IrohTransport::bind(IrohConfig { key: key.clone(), port: 0 }).await.expect("it binds");
                let store = Arc::new(MemoryStore::default());
                store.save("group", &bytes).expect("saved");
                let config = Config {
                    name,
                    key,
                    versions: VersionRange::SUPPORTED,
                    clock: Arc::new(MachineClock),
                    random: Arc::new(rand::random),
                };
                let port = transport.port();
                let transport: Arc<dyn Transport> = Arc::new(transport);
                (Fabric::start(config, transport, store).await.expect("it starts"), port)
            }
        };
        let [key_a, key_b] = keys;
        let ((server, port), (client, _)) = (start(key_a).await, start(key_b).await);
        client.add_addresses(ids[0], &[([127, 0, 0, 1], port).into()], Source::SameHost);
        let mut view = client.view();
        let up = view.wait_for(|view| view.peers[&ids[0]].session.is_some());
        tokio::time::timeout(Duration::from_secs(10), up).await.expect("in time").expect("a session");
        // The session may be one of two that were dialled at once: let that settle.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let mut service = server.serve(Service::TEST);
        tokio::spawn(async move {
            while let Some(incoming) = service.recv().await {
                match incoming {
                    Incoming::Request { body, reply, .. } => reply.send(body),
                    Incoming::Stream { mut channel, .. } => {
                        tokio::spawn(async move {
                            swallow(&mut channel.recv).await;
                            channel.send.write_all(&[1]).await.expect("written");
                            channel.send.shutdown().await.expect("finished");
                        });
                    }
                    Incoming::Notice { .. } => {}
                }
            }
        });
        Self { _server: server, client, to: ids[0] }
    }

    async fn ask(&self, size: usize, count: usize) -> f64 {
        let body = Bytes::from(vec![7; size]);
        timed(count, || {
            let body = body.clone();
            async move {
                let wait = Duration::from_secs(10);
                let reply = self.client.request(self.to, Service::TEST, Priority::Interactive, body, wait).await;
                assert_eq!(reply.expect("a reply").len(), size);
            }
        })
        .await
    }

    async fn stream(&self) -> f64 {
        let chunk = vec![7; MEBIBYTE];
        let opened = self.client.open_stream(self.to, Service::TEST, Priority::Bulk, Bytes::new()).await;
        let mut channel = opened.expect("a stream");
        let start = Instant::now();
        for _ in 0..STREAMED / MEBIBYTE {
            channel.send.write_all(&chunk).await.expect("written");
        }
        channel.send.shutdown().await.expect("finished");
        let mut end = Vec::new();
        channel.recv.read_to_end(&mut end).await.expect("an end");
        rate(start)
    }
}
