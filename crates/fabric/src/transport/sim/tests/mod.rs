//! What the simulation promises beyond the conformance suite: faults, limits, and the same run twice.

mod conformance;
mod faults;
mod limits;
mod replay;

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};
use tutti_model::DeviceId;

use super::{Conditions, SimNet, SimTransport};
use crate::transport::{Connection, Protocol, RecvStream, SendStream, Transport};

/// Two devices with a connection between them, on paths that take exactly [`LATENCY`].
struct Bench {
    net: SimNet,
    a: Arc<SimTransport>,
    b: Arc<SimTransport>,
    dialled: Arc<dyn Connection>,
    accepted: Arc<dyn Connection>,
}

const LATENCY: Duration = Duration::from_millis(10);
const A: DeviceId = DeviceId::from_bytes([1; 32]);
const B: DeviceId = DeviceId::from_bytes([2; 32]);
const C: DeviceId = DeviceId::from_bytes([3; 32]);

fn addr(n: u8) -> SocketAddr {
    ([10, 0, 0, n], 1).into()
}

fn exact() -> Conditions {
    Conditions::default().with_latency(LATENCY..=LATENCY)
}

impl Bench {
    async fn new(conditions: Conditions) -> Self {
        let net = SimNet::new(42);
        net.set_default(conditions);
        let (a, b) = (net.transport(A, addr(1)), net.transport(B, addr(2)));
        let (dialled, accepted) = connect(&a, &b).await;
        Self { net, a, b, dialled, accepted }
    }

    /// A stream from the dialling to the accepting side that has carried its first byte.
    async fn stream(&self) -> (Box<dyn SendStream>, Box<dyn RecvStream>) {
        let mut send = self.dialled.open_uni().await.unwrap();
        send.write_all(b"-").await.unwrap();
        let mut recv = self.accepted.accept_uni().await.unwrap();
        recv.read_exact(&mut [0]).await.unwrap();
        (send, recv)
    }
}

async fn connect(from: &SimTransport, to: &SimTransport) -> (Arc<dyn Connection>, Arc<dyn Connection>) {
    let dial = from.connect(to.local_id(), to.local_addrs(), Protocol::Pool, Duration::from_secs(20));
    let (dialled, accepted) = tokio::join!(dial, to.accept());
    (dialled.unwrap(), accepted.unwrap())
}

/// All datagrams that arrive until none has for a second.
async fn datagrams(connection: &Arc<dyn Connection>) -> Vec<Bytes> {
    let mut all = Vec::new();
    while let Ok(bytes) = timeout(Duration::from_secs(1), connection.recv_datagram()).await {
        all.push(bytes.unwrap());
    }
    all
}

/// What a future makes, and the virtual time that it took.
async fn timed<T>(net: &SimNet, future: impl Future<Output = T>) -> (T, Duration) {
    let start = net.elapsed();
    (future.await, net.elapsed() - start)
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
