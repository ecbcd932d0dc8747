//! Figures beside bare iroh with its own defaults, in the same run. Run with `TUTTI_MEASURE=1` and `--nocapture`; the
//! promises are held by the benchmarks, in an optimised build.
#![expect(clippy::print_stdout, reason = "what was measured is the result")]

use std::{
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use ::iroh::{Endpoint, EndpointAddr, SecretKey, endpoint::presets};
use ed25519_dalek::SigningKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::transport::{CloseCode, Connection, Priority, Protocol, Transport};

const ROUNDS: usize = 500;
const BULK: usize = 64 << 20;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

async fn ours() -> (IrohTransport, IrohTransport) {
    let bind = |seed: u8| IrohTransport::bind(IrohConfig { key: SigningKey::from_bytes(&[seed; 32]), port: 0 });
    (bind(1).await.unwrap(), bind(2).await.unwrap())
}

async fn bare() -> (Endpoint, Endpoint, EndpointAddr) {
    let bind = |seed: u8| {
        Endpoint::builder(presets::Minimal)
            .secret_key(SecretKey::from_bytes(&[seed; 32]))
            .alpns(vec![b"bare".to_vec()])
            .clear_ip_transports()
            .bind_addr((Ipv4Addr::LOCALHOST, 0))
            .unwrap()
            .bind()
    };
    let (a, b) = (bind(3).await.unwrap(), bind(4).await.unwrap());
    let addr = EndpointAddr::new(b.id()).with_ip_addr(b.bound_sockets()[0]);
    (a, b, addr)
}

async fn ours_connected() -> (IrohTransport, IrohTransport, Arc<dyn Connection>, Arc<dyn Connection>) {
    let (a, b) = ours().await;
    let addr = (Ipv4Addr::LOCALHOST, b.port()).into();
    let (ab, ba) =
        tokio::join!(a.connect(b.local_id(), vec![addr], Protocol::Pool, Duration::from_secs(5)), b.accept());
    (a, b, ab.unwrap(), ba.unwrap())
}

fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures() {
    if std::env::var_os("TUTTI_MEASURE").is_none() {
        println!("skipped: set TUTTI_MEASURE=1");
        return;
    }
    connect_latency().await;
    request_reply().await;
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        let (our, their) = bulk().await;
        ours.push(our);
        bare.push(their);
    }
    let rate = |elapsed: Duration| BULK as f64 / elapsed.as_secs_f64() / 1e6;
    println!("64 MiB on one stream: {:.0} MB/s, bare iroh {:.0} MB/s", rate(median(ours)), rate(median(bare)));
    idle().await;
}

async fn connect_latency() {
    let (a, b) = ours().await;
    let addr = (Ipv4Addr::LOCALHOST, b.port()).into();
    let mut times = Vec::new();
    for _ in 0..50 {
        let started = Instant::now();
        let dialling = a.connect(b.local_id(), vec![addr], Protocol::Pool, Duration::from_secs(5));
        let (connection, accepted) = tokio::join!(dialling, b.accept());
        times.push(started.elapsed());
        connection.unwrap().close(CloseCode::DONE, "");
        accepted.unwrap().closed().await;
    }
    let ours = median(times);
    let (a, b, addr) = bare().await;
    let mut times = Vec::new();
    for _ in 0..50 {
        let started = Instant::now();
        let accepting = async { b.accept().await.unwrap().await.unwrap() };
        let (connection, accepted) = tokio::join!(a.connect(addr.clone(), b"bare"), accepting);
        times.push(started.elapsed());
        connection.unwrap().close(0u32.into(), b"");
        accepted.closed().await;
    }
    println!("connect and accept on loopback: {ours:?}, bare iroh {:?}", median(times));
}

async fn request_reply() {
    let (_a, _b, ab, ba) = ours_connected().await;
    tokio::spawn(async move {
        while let Ok((mut send, mut recv)) = ba.accept_bi().await {
            let mut request = [0; 16];
            recv.read_exact(&mut request).await.unwrap();
            send.write_all(&request).await.unwrap();
            send.shutdown().await.unwrap();
        }
    });
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let (mut send, mut recv) = ab.open_bi().await.unwrap();
        send.write_all(&[1; 16]).await.unwrap();
        send.shutdown().await.unwrap();
        recv.read_exact(&mut [0; 16]).await.unwrap();
        times.push(started.elapsed());
    }
    let ours = median(times);
    let (a, b, addr) = bare().await;
    let accepting = async { b.accept().await.unwrap().await.unwrap() };
    let (ab, ba) = tokio::join!(a.connect(addr, b"bare"), accepting);
    let ab = ab.unwrap();
    tokio::spawn(async move {
        while let Ok((mut send, mut recv)) = ba.accept_bi().await {
            let mut request = [0; 16];
            recv.read_exact(&mut request).await.unwrap();
            send.write_all(&request).await.unwrap();
            send.finish().unwrap();
        }
    });
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let (mut send, mut recv) = ab.open_bi().await.unwrap();
        send.write_all(&[1; 16]).await.unwrap();
        send.finish().unwrap();
        recv.read_exact(&mut [0; 16]).await.unwrap();
        times.push(started.elapsed());
    }
    println!("request and reply of 16 bytes: {ours:?}, bare iroh {:?}", median(times));
}

async fn bulk() -> (Duration, Duration) {
    let chunk = vec![7; 1 << 20];
    let (_a, _b, ab, ba) = ours_connected().await;
    let sending = async {
        let mut send = ab.open_uni().await.unwrap();
        send.set_priority(Priority::Bulk);
        for _ in 0..BULK / chunk.len() {
            send.write_all(&chunk).await.unwrap();
        }
        send.shutdown().await.unwrap();
    };
    let receiving = async {
        let mut recv = ba.accept_uni().await.unwrap();
        let mut buffer = vec![0; 1 << 16];
        while recv.read(&mut buffer).await.unwrap() > 0 {}
    };
    let started = Instant::now();
    tokio::join!(sending, receiving);
    let ours = started.elapsed();
    let (a, b, addr) = bare().await;
    let accepting = async { b.accept().await.unwrap().await.unwrap() };
    let (ab, ba) = tokio::join!(a.connect(addr, b"bare"), accepting);
    let ab = ab.unwrap();
    let sending = async {
        let mut send = ab.open_uni().await.unwrap();
        for _ in 0..BULK / chunk.len() {
            send.write_all(&chunk).await.unwrap();
        }
        send.finish().unwrap();
    };
    let receiving = async {
        let mut recv = ba.accept_uni().await.unwrap();
        let mut buffer = vec![0; 1 << 16];
        while recv.read(&mut buffer).await.unwrap().is_some() {}
    };
    let started = Instant::now();
    tokio::join!(sending, receiving);
    (ours, started.elapsed())
}

async fn idle() {
    const SPAN: Duration = Duration::from_secs(10);
    let before = cpu();
    tokio::time::sleep(SPAN).await;
    println!("this process with nothing: {:.3} % of a core", percent(cpu() - before, SPAN));
    let (_a, _b) = ours().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = cpu();
    tokio::time::sleep(SPAN).await;
    println!("two idle endpoints: {:.3} % of a core", percent(cpu() - before, SPAN));
    let (_a, _b, _ab, _ba) = ours_connected().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = cpu();
    tokio::time::sleep(SPAN).await;
    println!("four, two of them connected: {:.3} % of a core", percent(cpu() - before, SPAN));
}

fn percent(used: Duration, of: Duration) -> f64 {
    100.0 * used.as_secs_f64() / of.as_secs_f64()
}
