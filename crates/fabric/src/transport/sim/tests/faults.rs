//! Cuts, crashes, moves.

use tokio::{io::AsyncReadExt as _, time::sleep};

use super::*;
use crate::transport::{CloseCode, Closed, ConnectError};

#[tokio::test(start_paused = true)]
async fn a_cut_stalls_streams_and_loses_datagrams() {
    let bench = Bench::new(exact()).await;
    let (mut send, mut recv) = bench.stream().await;
    bench.net.partition(&[&[A], &[B]]);
    send.write_all(b"late").await.unwrap();
    bench.dialled.send_datagram(Bytes::from_static(b"lost")).unwrap();
    let mut got = [0; 4];
    assert!(timeout(secs(10), recv.read_exact(&mut got)).await.is_err());
    bench.net.heal();
    bench.dialled.send_datagram(Bytes::from_static(b"kept")).unwrap();
    // The sender probes the path at doubling intervals: at worst as late again as the cut was long.
    let (read, took) = timed(&bench.net, recv.read_exact(&mut got)).await;
    assert_eq!((read.unwrap(), &got), (4, b"late"));
    assert!(took < secs(10), "{took:?}");
    assert_eq!(datagrams(&bench.accepted).await, ["kept"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_when_the_cut_comes_arrives_after_it() {
    let bench = Bench::new(exact()).await;
    let (mut send, mut recv) = bench.stream().await;
    send.write_all(b"late").await.unwrap();
    bench.dialled.send_datagram(Bytes::from_static(b"lost")).unwrap();
    bench.net.isolate(B);
    sleep(secs(2)).await;
    bench.net.rejoin(B);
    let mut got = [0; 4];
    timeout(secs(3), recv.read_exact(&mut got)).await.unwrap().unwrap();
    assert_eq!(&got, b"late");
    assert!(datagrams(&bench.accepted).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_long_cut_ends_connections_at_both_sides_and_healing_does_not_revive_them() {
    let bench = Bench::new(exact()).await;
    bench.net.isolate(A);
    let both = async { tokio::join!(bench.dialled.closed(), bench.accepted.closed()) };
    let (why, took) = timed(&bench.net, both).await;
    assert_eq!(why, (Closed::TimedOut, Closed::TimedOut));
    assert!((secs(25)..secs(31)).contains(&took), "{took:?}");
    bench.net.heal();
    assert_eq!(bench.dialled.open_uni().await.err(), Some(Closed::TimedOut));
    connect(&bench.a, &bench.b).await;
}

#[tokio::test(start_paused = true)]
async fn a_goodbye_into_a_cut_is_never_heard() {
    let bench = Bench::new(exact()).await;
    bench.net.isolate(A);
    bench.dialled.close(CloseCode::DONE, "done");
    sleep(secs(1)).await;
    bench.net.heal();
    assert_eq!(bench.accepted.closed().await, Closed::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn one_direction_can_fail_alone() {
    let bench = Bench::new(exact()).await;
    bench.net.set_link(A, B, exact().with_loss(1.0));
    bench.dialled.send_datagram(Bytes::from_static(b"there")).unwrap();
    bench.accepted.send_datagram(Bytes::from_static(b"back")).unwrap();
    assert_eq!(datagrams(&bench.dialled).await, ["back"]);
    assert!(datagrams(&bench.accepted).await.is_empty());
    assert_eq!(bench.accepted.closed().await, Closed::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_crash_is_noticed_only_by_silence() {
    let bench = Bench::new(exact()).await;
    let (mut send, mut recv) = bench.stream().await;
    bench.net.crash(B);
    assert!(bench.b.accept().await.is_none());
    assert!(matches!(bench.accepted.closed().await, Closed::Network(_)));
    assert!(recv.read(&mut [0]).await.is_err());
    let dial = bench.b.connect(A, vec![addr(1)], Protocol::Pool, secs(1)).await;
    assert_eq!(dial.err(), Some(ConnectError::Closed));
    // The other side is none the wiser, even when the device is back at the same address.
    let again = bench.net.transport(B, addr(2));
    send.write_all(b"hello?").await.unwrap();
    let (why, took) = timed(&bench.net, bench.dialled.closed()).await;
    assert_eq!(why, Closed::TimedOut);
    assert!((secs(25)..secs(31)).contains(&took), "{took:?}");
    assert!(send.write_all(b"x").await.is_err());
    let (dialled, _) = connect(&bench.a, &again).await;
    assert_eq!(dialled.remote_id(), B);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_lives_as_long_as_its_path() {
    let bench = Bench::new(Conditions::wireless()).await;
    assert!(timeout(secs(3600), bench.dialled.closed()).await.is_err());
    assert!(bench.dialled.rtt().is_some_and(|rtt| (millis(4)..millis(61)).contains(&rtt)));
}

#[tokio::test(start_paused = true)]
async fn a_device_that_moves_keeps_its_connections_and_is_dialled_at_its_new_address() {
    let bench = Bench::new(exact()).await;
    assert!(!bench.b.move_to(addr(1)), "that address is taken");
    assert!(bench.b.move_to(addr(9)));
    assert_eq!(bench.b.local_addrs(), [addr(9)]);
    assert_eq!(bench.dialled.remote_addr(), Some(addr(9)));
    bench.stream().await;
    let old = bench.a.connect(B, vec![addr(2)], Protocol::Pool, secs(2)).await;
    assert_eq!(old.err(), Some(ConnectError::TimedOut));
    let both = bench.a.connect(B, vec![addr(2), addr(9)], Protocol::Pool, secs(2)).await;
    assert!(both.is_ok(), "one address that works is enough");
}

#[tokio::test(start_paused = true)]
async fn a_dial_outlasts_a_short_cut() {
    let bench = Bench::new(exact()).await;
    bench.net.isolate(B);
    let heal = async {
        sleep(millis(1500)).await;
        bench.net.heal();
    };
    let (dial, ()) = tokio::join!(bench.a.connect(B, vec![addr(2)], Protocol::Pool, secs(10)), heal);
    assert!(dial.is_ok());
    bench.net.isolate(B);
    let (dial, took) = timed(&bench.net, bench.a.connect(B, vec![addr(2)], Protocol::Pool, secs(10))).await;
    assert_eq!(dial.err(), Some(ConnectError::TimedOut));
    assert_eq!(took, secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_holds_is_closed() {
    let bench = Bench::new(exact()).await;
    let stream = bench.stream().await;
    drop(bench.dialled);
    assert!(timeout(secs(60), bench.accepted.closed()).await.is_err(), "its stream still holds it");
    drop(stream);
    assert_eq!(bench.accepted.closed().await, Closed::ByPeer(CloseCode::SHUTDOWN, String::new()));
}

#[tokio::test(start_paused = true)]
async fn what_arrived_before_the_goodbye_can_still_be_read() {
    let bench = Bench::new(exact()).await;
    let (mut send, mut recv) = bench.stream().await;
    send.write_all(b"last words").await.unwrap();
    send.shutdown().await.unwrap();
    bench.dialled.send_datagram(Bytes::from_static(b"too")).unwrap();
    bench.dialled.close(CloseCode::DONE, "done");
    bench.accepted.closed().await;
    let mut got = Vec::new();
    recv.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"last words");
    assert_eq!(bench.accepted.recv_datagram().await.unwrap(), "too");
    assert_eq!(bench.accepted.recv_datagram().await, Err(Closed::ByPeer(CloseCode::DONE, "done".into())));
}
