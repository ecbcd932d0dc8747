//! A device that is killed and comes back, seen from one that still has the old connection.

use std::{
    net::Ipv4Addr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use ed25519_dalek::SigningKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tutti_model::DeviceId;

use super::*;
use crate::{
    identity::device_id,
    transport::{Closed, Connection, Protocol, Transport},
};

/// What the fabric can live with: presence has 3 s in all.
const BOUND: Duration = Duration::from_millis(1500);

/// The bound here: an emulated processor has more time, as `TUTTI_SLOW` says.
fn bound() -> Duration {
    let slow = std::env::var("TUTTI_SLOW").ok().and_then(|text| text.parse::<u32>().ok());
    BOUND * slow.unwrap_or(1)
}
const CHILD_KEY: [u8; 32] = [77; 32];
const PARENT_KEY: [u8; 32] = [76; 32];

/// Another process that runs a device, killed when dropped.
struct Remote(Child);

impl Remote {
    fn start(port: u16) -> Self {
        Self::start_and_dial(port, 0)
    }

    /// Runs a device at `port` that dials the one at `dial`, if that is not 0.
    fn start_and_dial(port: u16, dial: u16) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "transport::iroh::restart_tests::child_that_echoes", "--nocapture"])
            .env("TUTTI_TEST_ECHO_PORT", port.to_string())
            .env("TUTTI_TEST_ECHO_DIAL", dial.to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// SIGKILL: nobody is told.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn child_that_echoes() {
    let Ok(port) = std::env::var("TUTTI_TEST_ECHO_PORT") else { return };
    let key = SigningKey::from_bytes(&CHILD_KEY);
    let transport = IrohTransport::bind(IrohConfig { key, port: port.parse().unwrap() }).await.unwrap();
    let dial: u16 = std::env::var("TUTTI_TEST_ECHO_DIAL").unwrap().parse().unwrap();
    if dial != 0 {
        let addr = (Ipv4Addr::LOCALHOST, dial).into();
        let timeout = Duration::from_secs(5);
        serve(transport.connect(parent_id(), vec![addr], Protocol::Pool, timeout).await.unwrap()).await;
    }
    while let Some(connection) = transport.accept().await {
        tokio::spawn(serve(connection));
    }
}

async fn serve(connection: Arc<dyn Connection>) {
    while let Ok((mut send, mut recv)) = connection.accept_bi().await {
        let mut byte = [0];
        if recv.read_exact(&mut byte).await.is_ok() {
            let _ = send.write_all(&byte).await;
            let _ = send.shutdown().await;
        }
    }
}

async fn parent() -> IrohTransport {
    IrohTransport::bind(IrohConfig { key: SigningKey::from_bytes(&PARENT_KEY), port: 0 }).await.unwrap()
}

fn parent_id() -> DeviceId {
    device_id(&SigningKey::from_bytes(&PARENT_KEY))
}

fn free_port() -> u16 {
    std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap().local_addr().unwrap().port()
}

async fn echo(connection: &dyn Connection) {
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    send.write_all(&[7]).await.unwrap();
    let mut byte = [0];
    recv.read_exact(&mut byte).await.unwrap();
    assert_eq!(byte, [7]);
}

/// Dials as the fabric does, again and again, until the device answers; gives the time that the last attempt and the
/// whole took.
async fn redial(transport: &IrohTransport, ports: &[u16]) -> (Arc<dyn Connection>, Duration) {
    let to = device_id(&SigningKey::from_bytes(&CHILD_KEY));
    let addrs: Vec<_> = ports.iter().map(|&port| (Ipv4Addr::LOCALHOST, port).into()).collect();
    let started = Instant::now();
    loop {
        let attempt = transport.connect(to, addrs.clone(), Protocol::Pool, Duration::from_secs(2)).await;
        if let Ok(connection) = attempt {
            return (connection, started.elapsed());
        }
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", attempt.err());
    }
}

/// Kills the device and starts it again, at the same port or at another, and dials while the old connection exists.
async fn killed_and_back(same_port: bool) -> Duration {
    let transport = parent().await;
    let first = free_port();
    let remote = Remote::start(first);
    let (old, _) = redial(&transport, &[first]).await;
    echo(&*old).await;
    remote.kill();

    let second = if same_port { first } else { free_port() };
    let _remote = Remote::start(second);
    // Until it is there: the child's own start is not what is measured.
    while std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, second)).is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let (new, took) = redial(&transport, &[first, second]).await;
    echo(&*new).await;
    assert_eq!(new.remote_addr().map(|addr| addr.port()), Some(second));
    if !same_port {
        assert_eq!(old.closed().await, Closed::Locally, "the silent one was given up");
    }
    took
}

#[tokio::test]
async fn back_at_the_same_port() {
    let took = killed_and_back(true).await;
    assert!(took < bound(), "{took:?}");
}

#[tokio::test]
async fn back_at_another_port() {
    let took = killed_and_back(false).await;
    assert!(took < bound(), "{took:?}");
}

#[tokio::test]
async fn back_from_another_port_by_its_own_dialling() {
    let transport = parent().await;
    let remote = Remote::start_and_dial(free_port(), transport.port());
    let old = transport.accept().await.unwrap();
    echo(&*old).await;
    remote.kill();
    let second = free_port();
    let _remote = Remote::start_and_dial(second, transport.port());
    let new = transport.accept().await.unwrap();
    let started = Instant::now();
    echo(&*new).await;
    let took = started.elapsed();
    assert_eq!(new.remote_addr().map(|addr| addr.port()), Some(second));
    assert!(took < bound(), "{took:?}");
}

#[tokio::test]
async fn a_connection_that_speaks_is_not_given_up() {
    let transport = parent().await;
    let port = free_port();
    let _remote = Remote::start(port);
    let (old, _) = redial(&transport, &[port]).await;
    echo(&*old).await;
    // Iroh takes the path that works, whatever address is given.
    let (new, took) = redial(&transport, &[free_port()]).await;
    echo(&*new).await;
    echo(&*old).await;
    assert!(took < bound(), "{took:?}");
}
