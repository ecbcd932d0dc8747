//! Latency, bandwidth, priority, loss, repetition, overtaking, queues.

use futures_util::future::join_all;
use tokio::io::AsyncReadExt as _;

use super::*;
use crate::transport::Priority;

#[tokio::test(start_paused = true)]
async fn setting_up_takes_one_and_a_half_round_trips() {
    let net = SimNet::new(1);
    net.set_default(exact());
    let (a, b) = (net.transport(A, addr(1)), net.transport(B, addr(2)));
    let dial = timed(&net, a.connect(B, b.local_addrs(), Protocol::Pair, secs(1)));
    let ((dialled, dialled_after), (accepted, accepted_after)) = tokio::join!(dial, timed(&net, b.accept()));
    assert!(accepted.is_some());
    assert_eq!((dialled_after, accepted_after), (LATENCY * 2, LATENCY * 3));
    assert_eq!(dialled.unwrap().rtt(), Some(LATENCY * 2));
}

#[tokio::test(start_paused = true)]
async fn a_limited_path_takes_its_time() {
    let bench = Bench::new(exact().with_bandwidth(100_000)).await;
    let (mut send, mut recv) = bench.stream().await;
    let transfer = async {
        let write = async {
            send.write_all(&[7; 200_000]).await.unwrap();
            send.shutdown().await.unwrap();
        };
        let mut got = Vec::new();
        tokio::join!(write, recv.read_to_end(&mut got)).1.unwrap();
        got.len()
    };
    let (got, took) = timed(&bench.net, transfer).await;
    assert_eq!(got, 200_000);
    assert!((millis(2000)..millis(2200)).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn urgent_bytes_overtake_bulk_on_a_limited_path() {
    let bench = Bench::new(exact().with_bandwidth(100_000)).await;
    let (mut bulk, mut bulk_in) = bench.stream().await;
    bulk.set_priority(Priority::Bulk);
    let (mut urgent, mut urgent_in) = bench.stream().await;
    let writer = tokio::spawn(async move { bulk.write_all(&[0; 500_000]).await });
    let drain = tokio::spawn(async move { tokio::io::copy(&mut bulk_in, &mut tokio::io::sink()).await });
    tokio::time::sleep(secs(1)).await;
    let ask = async {
        urgent.write_all(b"now").await.unwrap();
        urgent_in.read_exact(&mut [0; 3]).await.unwrap();
    };
    let ((), took) = timed(&bench.net, ask).await;
    // One packet of bulk that is on its way out (12 ms), its own, and the latency.
    assert!(took <= LATENCY + millis(15), "{took:?}");
    // At the same priority it waits its turn, no longer than bulk does.
    urgent.set_priority(Priority::Bulk);
    let (mut later, mut later_in) = bench.stream().await;
    later.set_priority(Priority::Bulk);
    let ask = async {
        later.write_all(b"now").await.unwrap();
        later_in.read_exact(&mut [0; 3]).await.unwrap();
    };
    let ((), took) = timed(&bench.net, ask).await;
    assert!(took <= LATENCY + millis(40), "{took:?}");
    assert!(!writer.is_finished(), "bulk is still on its way");
    drain.abort();
}

#[tokio::test(start_paused = true)]
async fn connections_share_a_limited_path() {
    let bench = Bench::new(exact().with_bandwidth(100_000)).await;
    let (second, second_in) = connect(&bench.a, &bench.b).await;
    let transfer = async |from: Arc<dyn Connection>, to: Arc<dyn Connection>| {
        let mut send = from.open_uni().await.unwrap();
        let write = async {
            send.write_all(&[7; 50_000]).await.unwrap();
            send.shutdown().await.unwrap();
        };
        let read = async {
            let mut got = Vec::new();
            to.accept_uni().await.unwrap().read_to_end(&mut got).await.unwrap();
        };
        timed(&bench.net, async { tokio::join!(write, read) }).await.1
    };
    let first = transfer(bench.dialled.clone(), bench.accepted.clone());
    let (first, second) = tokio::join!(first, transfer(second, second_in));
    for took in [first, second] {
        assert!((millis(980)..millis(1200)).contains(&took), "{first:?} {second:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn datagrams_are_lost_repeated_and_overtaken_as_told() {
    let conditions = Conditions { loss: 0.2, duplicate: 0.1, reorder: 0.3, ..exact() };
    let bench = Bench::new(conditions).await;
    let send = async {
        for n in 0..1000_u16 {
            bench.dialled.send_datagram(Bytes::copy_from_slice(&n.to_be_bytes())).unwrap();
            tokio::time::sleep(millis(1)).await;
        }
    };
    let ((), got) = tokio::join!(send, datagrams(&bench.accepted));
    let mut kinds = got.clone();
    kinds.sort();
    kinds.dedup();
    assert!((750..850).contains(&kinds.len()), "{} of 1000 arrived", kinds.len());
    let repeated = got.len() - kinds.len();
    assert!((50..120).contains(&repeated), "{repeated} arrived twice");
    let overtaken = got.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!(overtaken > 100, "{overtaken} were overtaken");
}

#[tokio::test(start_paused = true)]
async fn jitter_alone_does_not_change_the_order() {
    let bench = Bench::new(Conditions::default().with_latency(millis(1)..=millis(50))).await;
    for n in 0..100 {
        bench.dialled.send_datagram(Bytes::copy_from_slice(&[n])).unwrap();
        tokio::time::sleep(millis(1)).await;
    }
    let got = datagrams(&bench.accepted).await;
    assert!(got.len() == 100 && got.is_sorted());
}

#[tokio::test(start_paused = true)]
async fn queues_are_bounded() {
    let bench = Bench::new(Conditions { queue: 10_000, ..exact().with_bandwidth(10_000) }).await;
    for _ in 0..100 {
        bench.dialled.send_datagram(Bytes::from(vec![0; 1000])).unwrap();
    }
    let got = datagrams(&bench.accepted).await.len();
    assert!((9..=11).contains(&got), "{got} of 100 fit");
    bench.net.set_default(exact());
    for _ in 0..1000 {
        bench.dialled.send_datagram(Bytes::from_static(b"x")).unwrap();
    }
    tokio::time::sleep(secs(1)).await;
    assert_eq!(datagrams(&bench.accepted).await.len(), 256);
}

#[tokio::test(start_paused = true)]
async fn dials_that_nobody_accepts_pile_up_no_further_than_the_backlog() {
    let bench = Bench::new(exact()).await;
    let dial = || bench.a.connect(B, vec![addr(2)], Protocol::Pair, secs(5));
    let dialled = join_all((0..100).map(|_| dial())).await;
    assert_eq!(dialled.iter().filter(|dialled| dialled.is_ok()).count(), 64);
    drop(dialled);
    tokio::time::sleep(secs(1)).await;
    connect(&bench.a, &bench.b).await;
}

#[tokio::test(start_paused = true)]
async fn streams_that_are_over_leave_nothing_behind() {
    let bench = Bench::new(Conditions::wireless().with_bandwidth(1_000_000)).await;
    for n in 0..300 {
        let (mut send, mut recv) = bench.dialled.open_bi().await.unwrap();
        send.write_all(&[n as u8; 3000]).await.unwrap();
        let (answer, mut question) = bench.accepted.accept_bi().await.unwrap();
        match n % 4 {
            0 => send.shutdown().await.unwrap(),
            1 => send.reset(),
            2 => drop(question.read(&mut [0]).await.unwrap()),
            _ => {
                send.write_all(&[0; 60_000]).await.unwrap();
                send.shutdown().await.unwrap();
            }
        }
        drop(send);
        if n % 4 == 0 {
            question.read_to_end(&mut Vec::new()).await.unwrap();
        }
        drop((answer, question));
        let _reset = recv.read(&mut [0]).await;
    }
    tokio::time::sleep(secs(5)).await;
    bench.net.shared.enter(|world| {
        assert_eq!(world.halves.len(), 2);
        for half in world.halves.values() {
            assert_eq!((half.sends.len(), half.recvs.len(), half.parts.len(), half.parked.len()), (0, 0, 0, 0));
        }
    });
}
