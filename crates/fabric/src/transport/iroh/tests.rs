//! Two real endpoints on loopback.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tutti_model::DeviceId;

use super::*;
use crate::transport::{CloseCode, Closed, ConnectError, Connection, MAX_DATAGRAM, Priority, Protocol, Transport};

const SOON: Duration = Duration::from_secs(5);

async fn bind(seed: u8) -> IrohTransport {
    bind_at(seed, 0).await.unwrap()
}

async fn bind_at(seed: u8, port: u16) -> Result<IrohTransport, BindError> {
    IrohTransport::bind(IrohConfig { key: SigningKey::from_bytes(&[seed; 32]), port }).await
}

fn loopback(transport: &IrohTransport) -> Vec<SocketAddr> {
    vec![(Ipv4Addr::LOCALHOST, transport.port()).into()]
}

async fn dial(from: &IrohTransport, to: &IrohTransport) -> Result<Arc<dyn Connection>, ConnectError> {
    from.connect(to.local_id(), loopback(to), Protocol::Pool, SOON).await
}

struct Pair {
    a: IrohTransport,
    b: IrohTransport,
    /// As `a`, who dialled, sees it.
    ab: Arc<dyn Connection>,
    ba: Arc<dyn Connection>,
}

async fn pair() -> Pair {
    let (a, b) = tokio::join!(bind(1), bind(2));
    let (ab, ba) = tokio::join!(dial(&a, &b), b.accept());
    Pair { ab: ab.unwrap(), ba: ba.unwrap(), a, b }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.expect("took too long")
}

#[tokio::test]
async fn both_sides_know_each_other() {
    let Pair { a, b, ab, ba } = pair().await;
    assert_eq!((ab.remote_id(), ba.remote_id()), (b.local_id(), a.local_id()));
    assert_eq!((ab.dialled(), ba.dialled()), (true, false));
    assert_eq!((ab.protocol(), ba.protocol()), (Protocol::Pool, Protocol::Pool));
    assert_eq!(ab.remote_addr(), Some(loopback(&b)[0]));
    assert_eq!(ba.remote_addr(), Some(loopback(&a)[0]));
    assert!(ab.rtt().unwrap() < Duration::from_secs(1));
    let pairing = a.connect(b.local_id(), loopback(&b), Protocol::Pair, SOON).await.unwrap();
    assert_eq!(pairing.protocol(), Protocol::Pair);
    assert_eq!(soon(b.accept()).await.unwrap().protocol(), Protocol::Pair);
}

/// A device that was dialled in vain is waited for no longer than the network waits for a dial that was given up; then all is closed.
#[tokio::test]
async fn closing_ends_in_good_order_while_somebody_absent_is_dialled() {
    let a = Arc::new(bind(1).await);
    let silent = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = vec![silent.local_addr().unwrap()];
    let absent = DeviceId::from_bytes(SigningKey::from_bytes(&[9; 32]).verifying_key().to_bytes());
    let dialling = tokio::spawn({
        let a = a.clone();
        async move { a.connect(absent, at, Protocol::Pool, SOON).await.map(|_| ()) }
    });
    // The first packet of the dial has gone.
    let mut packet = [0; 2048];
    tokio::task::spawn_blocking(move || silent.recv(&mut packet)).await.unwrap().unwrap();
    dialling.abort();
    let begun = Instant::now();
    a.close().await;
    let took = begun.elapsed();
    assert!(a.is_ended(), "it was left half closed after {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn streams_carry_bytes_both_ways_and_end_in_good_order() {
    let Pair { ab, ba, a: _a, b: _b } = pair().await;
    let echo = tokio::spawn(async move {
        let (mut send, mut recv) = ba.accept_bi().await.unwrap();
        let mut all = Vec::new();
        recv.read_to_end(&mut all).await.unwrap();
        send.write_all(&all).await.unwrap();
        send.shutdown().await.unwrap();
        let mut one_way = ba.open_uni().await.unwrap();
        one_way.write_all(b"and this").await.unwrap();
        one_way.shutdown().await.unwrap();
    });
    let (mut send, mut recv) = ab.open_bi().await.unwrap();
    for priority in [Priority::Bulk, Priority::Interactive, Priority::Membership] {
        send.set_priority(priority);
    }
    let sent: Vec<u8> = (0..1 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    send.write_all(&sent).await.unwrap();
    send.shutdown().await.unwrap();
    send.shutdown().await.unwrap();
    let mut back = Vec::new();
    soon(recv.read_to_end(&mut back)).await.unwrap();
    assert!(back == sent);
    let mut uni = soon(ab.accept_uni()).await.unwrap();
    let mut text = String::new();
    soon(uni.read_to_string(&mut text)).await.unwrap();
    assert_eq!(text, "and this");
    echo.await.unwrap();
}

#[tokio::test]
async fn a_stream_that_is_reset_or_dropped_is_an_error_at_the_other_end() {
    let Pair { ab, ba, a: _a, b: _b } = pair().await;
    for by_drop in [false, true] {
        let (mut send, _recv) = ab.open_bi().await.unwrap();
        send.write_all(b"half").await.unwrap();
        let (_, mut recv) = soon(ba.accept_bi()).await.unwrap();
        let mut half = [0; 4];
        soon(recv.read_exact(&mut half)).await.unwrap();
        if by_drop {
            drop(send)
        } else {
            send.reset()
        }
        let error = soon(recv.read_to_end(&mut Vec::new())).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
}

#[tokio::test]
async fn a_receiver_that_goes_away_stops_the_sender() {
    let Pair { ab, ba, a: _a, b: _b } = pair().await;
    let mut send = ab.open_uni().await.unwrap();
    send.write_all(b"x").await.unwrap();
    drop(soon(ba.accept_uni()).await.unwrap());
    let error = soon(async {
        loop {
            if let Err(error) = send.write_all(&[0; 1000]).await {
                break error;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe, "{error}");
}

#[tokio::test]
async fn a_stranger_stays_one_however_long_it_waits() {
    let Pair { ab, ba, a: _a, b: _b } = pair().await;
    let mut streams = Vec::new();
    for _ in 0..STRANGER_STREAMS {
        streams.push(soon(ab.open_uni()).await.unwrap());
    }
    let mut first = streams.remove(0);
    soon(first.write_all(&vec![0; STRANGER_WINDOW as usize])).await.unwrap();
    let (taken, opened) = tokio::join!(
        tokio::time::timeout(Duration::from_millis(1500), first.write_all(b"more")),
        tokio::time::timeout(Duration::from_millis(1500), ab.open_uni())
    );
    assert!(taken.is_err() && opened.is_err());
    ba.admit();
    soon(first.write_all(b"more")).await.unwrap();
    for _ in STRANGER_STREAMS..MAX_STREAMS {
        streams.push(soon(ab.open_uni()).await.unwrap());
    }
}

#[tokio::test]
async fn a_receiver_that_does_not_read_holds_up_the_sender() {
    let Pair { ab, ba, a: _a, b: _b } = pair().await;
    ba.admit();
    let mut send = ab.open_uni().await.unwrap();
    let mut sent = 0;
    while let Ok(written) = tokio::time::timeout(Duration::from_millis(300), send.write(&[0; 1 << 16])).await {
        sent += written.unwrap();
        assert!(sent < 20 << 20, "nothing stopped it");
    }
    let mut recv = soon(ba.accept_uni()).await.unwrap();
    let mut buffer = vec![0; sent];
    soon(recv.read_exact(&mut buffer)).await.unwrap();
    soon(send.write_all(b"goes on")).await.unwrap();
}

#[tokio::test]
async fn datagrams_arrive_and_too_large_ones_are_dropped() {
    let Pair { ab, ba, a: _a, b: _b } = pair().await;
    ab.send_datagram(Bytes::from(vec![1; MAX_DATAGRAM + 1])).unwrap();
    ab.send_datagram(Bytes::from(vec![2; MAX_DATAGRAM])).unwrap();
    assert_eq!(soon(ba.recv_datagram()).await.unwrap(), vec![2; MAX_DATAGRAM]);
    // Never waits, however many there are.
    for _ in 0..10_000 {
        ba.send_datagram(Bytes::from(vec![3; MAX_DATAGRAM])).unwrap();
    }
    assert_eq!(soon(ab.recv_datagram()).await.unwrap()[0], 3);
}

#[tokio::test]
async fn fifty_requests_at_once() {
    let Pair { ab, ba, a: _a, b: _b } = pair().await;
    tokio::spawn(async move {
        while let Ok((mut send, mut recv)) = ba.accept_bi().await {
            tokio::spawn(async move {
                let mut request = Vec::new();
                recv.read_to_end(&mut request).await.unwrap();
                send.write_all(&request).await.unwrap();
                send.shutdown().await.unwrap();
            });
        }
    });
    let requests = (0..50u8).map(|n| {
        let ab = ab.clone();
        async move {
            let (mut send, mut recv) = ab.open_bi().await.unwrap();
            send.write_all(&[n; 1000]).await.unwrap();
            send.shutdown().await.unwrap();
            let mut reply = Vec::new();
            recv.read_to_end(&mut reply).await.unwrap();
            assert_eq!(reply, [n; 1000]);
        }
    });
    soon(futures_util::future::join_all(requests)).await;
}

#[tokio::test]
async fn the_reason_for_closing_arrives() {
    let Pair { ab, ba, a: _a, b: _b } = pair().await;
    let (mut send, mut recv) = ab.open_bi().await.unwrap();
    send.write_all(b"x").await.unwrap();
    ab.close(CloseCode::NOT_A_MEMBER, "you are\nno member");
    let seen = soon(ba.closed()).await;
    assert_eq!(seen, Closed::ByPeer(CloseCode::NOT_A_MEMBER, "you areno member".into()));
    assert_eq!(soon(ab.closed()).await, Closed::Locally);
    assert_eq!(ba.open_bi().await.err(), Some(seen.clone()));
    assert_eq!(ba.recv_datagram().await, Err(seen.clone()));
    assert_eq!(ba.send_datagram(Bytes::new()), Err(seen));
    let error = recv.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.get_ref().and_then(|inner| inner.downcast_ref()), Some(&Closed::Locally));
}

#[tokio::test]
async fn a_connection_lives_until_it_is_closed() {
    let Pair { ab, ba, a: _a, b: _b } = pair().await;
    drop(ab);
    assert!(tokio::time::timeout(Duration::from_millis(200), ba.closed()).await.is_err());
}

#[tokio::test]
async fn the_wrong_key_is_told_from_silence() {
    let (a, b, c) = tokio::join!(bind(1), bind(2), bind(3));
    let started = Instant::now();
    let wrong = a.connect(c.local_id(), loopback(&b), Protocol::Pool, SOON).await;
    assert_eq!(wrong.err(), Some(ConnectError::WrongKey));
    assert!(started.elapsed() < Duration::from_secs(1));

    let started = Instant::now();
    let dead = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let timeout = Duration::from_millis(500);
    let silent = a.connect(DeviceId::from_bytes(*b.local_id().as_bytes()), vec![dead], Protocol::Pool, timeout).await;
    assert_eq!(silent.err(), Some(ConnectError::TimedOut));
    assert!(started.elapsed() >= timeout && started.elapsed() < timeout * 2, "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_address_that_now_belongs_to_another_does_not_get_in_the_way() {
    let (a, b, c) = tokio::join!(bind(1), bind(2), bind(3));
    for _ in 0..5 {
        // `c` answers at the first address, and could be quicker.
        let addrs = [loopback(&c), loopback(&b)].concat();
        let connection = a.connect(b.local_id(), addrs, Protocol::Pool, SOON).await.unwrap();
        assert_eq!(connection.remote_id(), b.local_id());
        connection.close(CloseCode::DONE, "");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_cannot_be_dialled_is_refused_at_once() {
    let a = bind(1).await;
    let connect = |to, addrs: &[&str]| {
        a.connect(to, addrs.iter().map(|addr| addr.parse().unwrap()).collect(), Protocol::Pool, SOON)
    };
    let other = bind(2).await.local_id();
    assert_eq!(connect(other, &[]).await.err(), Some(ConnectError::NoAddress));
    assert_eq!(connect(other, &["0.0.0.0:1", "1.2.3.4:0", "[fe80::1]:9"]).await.err(), Some(ConnectError::NoAddress));
    assert!(matches!(connect(a.local_id(), &["127.0.0.1:9"]).await.err(), Some(ConnectError::Network(_))));
    let no_key = DeviceId::from_bytes(std::array::from_fn(|at| if at == 0 { 2 } else { 0 }));
    assert!(connect(no_key, &["127.0.0.1:9"]).await.is_err());
}

#[tokio::test]
async fn closing_tells_the_others_and_is_quick() {
    let Pair { a, b, ab, ba } = pair().await;
    let started = Instant::now();
    tokio::join!(a.close(), a.close());
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(soon(ba.closed()).await, Closed::ByPeer(CloseCode::SHUTDOWN, "the device shuts down".into()));
    assert_eq!(soon(ab.closed()).await, Closed::Locally);
    assert!(soon(a.accept()).await.is_none());
    assert_eq!(dial(&a, &b).await.err(), Some(ConnectError::Closed));
}

#[tokio::test]
async fn closing_waits_for_nobody() {
    let Pair { a, b, ab: _ab, ba: _ba } = pair().await;
    // A dialler without an answer, a caller of accept, and a peer that is gone without a word.
    let dead = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let a = Arc::new(a);
    let dialling = tokio::spawn({
        // Nobody whom a connection exists with: iroh would use the path of that one.
        let (a, to, addr) = (a.clone(), bind(3).await.local_id(), dead.local_addr().unwrap());
        async move { a.connect(to, vec![addr], Protocol::Pair, SOON).await.err() }
    });
    let accepting = tokio::spawn({
        let a = a.clone();
        async move { a.accept().await.is_none() }
    });
    std::mem::forget(b);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let started = Instant::now();
    a.close().await;
    assert!(started.elapsed() <= Duration::from_secs(1), "{:?}", started.elapsed());
    assert!(soon(accepting).await.unwrap());
    let refused = soon(dialling).await.unwrap();
    assert!(matches!(refused, Some(ConnectError::Closed | ConnectError::TimedOut)), "{refused:?}");
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let a = bind(1).await;
    let refused = bind_at(2, a.port()).await.err().unwrap();
    assert!(matches!(refused, BindError::PortInUse { port } if port == a.port()), "{refused}");
    assert!(refused.to_string().contains(&a.port().to_string()));
    a.close().await;
    let port = a.port();
    drop(a);
    let again = soon(async {
        loop {
            match bind_at(2, port).await {
                Ok(again) => break again,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    })
    .await;
    assert_eq!(again.port(), port);
}

#[tokio::test]
async fn this_machine_is_reached_at_the_addresses_it_names() {
    let (a, b) = tokio::join!(bind(1), bind(2));
    assert!(b.local_addrs().iter().all(|addr| addr.port() == b.port()));
    assert_eq!(b.same_host_addrs()[0], loopback(&b)[0]);
    for addrs in [b.local_addrs(), b.same_host_addrs()] {
        let connection = a.connect(b.local_id(), addrs, Protocol::Pool, SOON).await.unwrap();
        connection.close(CloseCode::DONE, "");
    }
    a.network_changed().await;
    dial(&a, &b).await.unwrap();
}

#[tokio::test]
async fn connections_from_one_address_are_bounded() {
    let (a, b) = tokio::join!(bind(1), bind(2));
    b.registry().pretend(Ipv4Addr::LOCALHOST.into(), MAX_PER_IP - 1);
    let last = dial(&a, &b).await.unwrap();
    soon(b.accept()).await.unwrap();
    let refused = soon(dial(&a, &b).await.unwrap().closed()).await;
    assert_eq!(refused, Closed::ByPeer(CloseCode::BUSY, "too many connections".into()));
    last.close(CloseCode::DONE, "");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let again = dial(&a, &b).await.unwrap();
    soon(b.accept()).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(200), again.closed()).await.is_err());
}

#[tokio::test]
async fn connections_that_nobody_takes_are_bounded() {
    let (a, b) = tokio::join!(bind(1), bind(2));
    let mut refused = 0;
    for _ in 0..accept::QUEUE + 3 {
        let connection = dial(&a, &b).await.unwrap();
        refused += usize::from(tokio::time::timeout(Duration::from_millis(20), connection.closed()).await.is_ok());
    }
    assert!((1..=3).contains(&refused), "{refused}");
}
