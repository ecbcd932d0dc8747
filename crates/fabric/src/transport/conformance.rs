//! What every [`Transport`] must do, as one suite that runs over all of them.
//!
//! Each function is one case. It makes fresh transports from a [`Factory`], assumes nothing about the clock (its
//! bounds hold in real time and are generous), and panics with what was broken. [`transport_conformance!`](crate::transport_conformance) makes a test of
//! each:
//!
//! ```text
//! tutti_fabric::transport_conformance!(#[tokio::test(start_paused = true)], MyFactory::new());
//! ```

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::{BoxFuture, join_all};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep, timeout},
};
use tutti_model::DeviceId;

use super::{
    BiStream, CloseCode, Closed, ConnectError, Connection, MAX_DATAGRAM, Protocol, RecvStream, SendStream, Transport,
};

/// Makes the transports that a case needs.
pub trait Factory: Send + Sync {
    /// A new transport with a key of its own, which the others from this factory can reach.
    fn transport(&self) -> BoxFuture<'_, Arc<dyn Transport>>;

    /// An address at which nothing listens.
    fn silent_addr(&self) -> SocketAddr;
}

/// Makes a test of each case: `transport_conformance!(#[attribute of each test], expression that makes a factory)`.
#[macro_export]
macro_rules! transport_conformance {
    (#[$test:meta], $factory:expr) => {
        $crate::transport_conformance!(@each #[$test], $factory,
            both_sides_know_each_other
            the_protocol_is_carried
            a_silent_address_times_out
            no_address_is_an_error
            a_wrong_key_is_noticed
            a_dial_can_be_given_up
            one_listener_serves_many
            two_connections_live_side_by_side
            uni_streams_go_both_ways
            bi_streams_go_both_ways
            a_mebibyte_arrives_whole
            traffic_is_counted_at_both_ends
            half_a_stream_can_be_closed
            a_stream_shows_once_written
            a_reset_is_seen
            a_dropped_sender_resets
            a_dropped_receiver_stops_the_sender
            a_writer_waits_for_its_reader
            a_stalled_stream_holds_up_no_other
            opening_waits_for_the_other_side
            many_streams_at_once
            datagrams_arrive
            too_large_datagrams_do_not
            a_close_is_seen_with_its_reason
            nothing_works_after_a_close
            a_closed_transport_says_so
        );
    };
    (@each #[$test:meta], $factory:expr, $($case:ident)*) => {
        $(
            #[$test]
            async fn $case() {
                $crate::transport::conformance::$case(&$factory).await;
            }
        )*
    };
}

/// Longer than anything takes that works.
const BOUND: Duration = Duration::from_secs(20);

/// Long enough to be sure that something does not happen.
const PAUSE: Duration = Duration::from_millis(500);

async fn bounded<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(BOUND, future).await {
        Ok(done) => done,
        Err(_) => panic!("{what}: not within {BOUND:?}"),
    }
}

struct Pair {
    a: Arc<dyn Transport>,
    b: Arc<dyn Transport>,
    /// The connection as `a` has it, which dialled.
    dialled: Arc<dyn Connection>,
    /// The same as `b` has it.
    accepted: Arc<dyn Connection>,
}

async fn connect(
    a: &Arc<dyn Transport>,
    b: &Arc<dyn Transport>,
    protocol: Protocol,
) -> (Arc<dyn Connection>, Arc<dyn Connection>) {
    let dial = a.connect(b.local_id(), b.local_addrs(), protocol, BOUND);
    let (dialled, accepted) = bounded("connecting", async { tokio::join!(dial, b.accept()) }).await;
    let accepted = accepted.expect("the transport is open");
    accepted.admit();
    (dialled.expect("the dial succeeds"), accepted)
}

async fn pair(factory: &dyn Factory) -> Pair {
    let (a, b) = (factory.transport().await, factory.transport().await);
    let (dialled, accepted) = connect(&a, &b, Protocol::Pool).await;
    Pair { a, b, dialled, accepted }
}

/// Bytes that differ from place to place, so that a wrong order or a gap shows.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at ^ (at >> 8).wrapping_mul(31) ^ (at >> 16).wrapping_mul(101)) as u8).collect()
}

async fn write_all(send: &mut Box<dyn SendStream>, bytes: &[u8]) {
    bounded("writing", send.write_all(bytes)).await.expect("the stream takes bytes");
}

async fn finish(send: &mut Box<dyn SendStream>) {
    bounded("finishing", send.shutdown()).await.expect("the stream ends");
}

async fn read_to_end(recv: &mut Box<dyn RecvStream>) -> Vec<u8> {
    let mut all = Vec::new();
    bounded("reading to the end", recv.read_to_end(&mut all)).await.expect("the stream ends in good order");
    all
}

async fn open_uni(connection: &Arc<dyn Connection>) -> Box<dyn SendStream> {
    bounded("opening", connection.open_uni()).await.expect("the connection is open")
}

async fn accept_uni(connection: &Arc<dyn Connection>) -> Box<dyn RecvStream> {
    bounded("accepting", connection.accept_uni()).await.expect("the connection is open")
}

async fn open_bi(connection: &Arc<dyn Connection>) -> BiStream {
    bounded("opening", connection.open_bi()).await.expect("the connection is open")
}

async fn accept_bi(connection: &Arc<dyn Connection>) -> BiStream {
    bounded("accepting", connection.accept_bi()).await.expect("the connection is open")
}

/// A connection proves who is at its other end, at both ends.
pub async fn both_sides_know_each_other(factory: &dyn Factory) {
    let Pair { a, b, dialled, accepted } = pair(factory).await;
    assert_ne!(a.local_id(), b.local_id());
    assert_eq!(dialled.remote_id(), b.local_id());
    assert_eq!(accepted.remote_id(), a.local_id());
    assert!(dialled.dialled() && !accepted.dialled());
    assert!(dialled.rtt().is_none_or(|rtt| rtt < BOUND));
    assert!(!a.local_addrs().is_empty());
}

/// Both sides see which protocol was dialled.
pub async fn the_protocol_is_carried(factory: &dyn Factory) {
    let (a, b) = (factory.transport().await, factory.transport().await);
    for protocol in Protocol::ALL {
        let (dialled, accepted) = connect(&a, &b, protocol).await;
        assert_eq!((dialled.protocol(), accepted.protocol()), (protocol, protocol));
    }
}

/// A dial that nobody answers ends when its time is up, not before and not much later.
pub async fn a_silent_address_times_out(factory: &dyn Factory) {
    let (a, absent) = (factory.transport().await, factory.transport().await.local_id());
    let (start, limit) = (Instant::now(), Duration::from_secs(1));
    let result = a.connect(absent, vec![factory.silent_addr()], Protocol::Pool, limit).await;
    assert_eq!(result.err(), Some(ConnectError::TimedOut));
    let took = start.elapsed();
    assert!(took >= limit && took < limit + Duration::from_secs(2), "it took {took:?}");
}

/// Without an address there is nothing to dial.
pub async fn no_address_is_an_error(factory: &dyn Factory) {
    let a = factory.transport().await;
    let result = bounded("dialling", a.connect(DeviceId::from_bytes([7; 32]), vec![], Protocol::Pool, BOUND)).await;
    assert_eq!(result.err(), Some(ConnectError::NoAddress));
}

/// Whoever answers with another key is not connected to, and its own key stays reachable.
pub async fn a_wrong_key_is_noticed(factory: &dyn Factory) {
    let [a, b, other] = [factory.transport().await, factory.transport().await, factory.transport().await];
    let result = bounded("dialling", a.connect(other.local_id(), b.local_addrs(), Protocol::Pool, BOUND / 2)).await;
    assert_eq!(result.err(), Some(ConnectError::WrongKey));
    let nobody = timeout(PAUSE, b.accept()).await;
    assert!(nobody.is_err(), "a failed dial is not accepted");
    connect(&a, &b, Protocol::Pool).await;
}

/// Dropping a dial gives up; the next one works.
pub async fn a_dial_can_be_given_up(factory: &dyn Factory) {
    let (a, b) = (factory.transport().await, factory.transport().await);
    let dial = a.connect(b.local_id(), vec![factory.silent_addr()], Protocol::Pool, BOUND);
    assert!(timeout(Duration::from_millis(50), dial).await.is_err());
    connect(&a, &b, Protocol::Pool).await;
}

/// Several devices dial one at the same time.
pub async fn one_listener_serves_many(factory: &dyn Factory) {
    let [a, b, hub] = [factory.transport().await, factory.transport().await, factory.transport().await];
    let dial = |from: &Arc<dyn Transport>| {
        let (from, to, addrs) = (from.clone(), hub.local_id(), hub.local_addrs());
        async move { from.connect(to, addrs, Protocol::Pool, BOUND).await }
    };
    let accept = async { [hub.accept().await, hub.accept().await] };
    let (first, second, accepted) = bounded("connecting", async { tokio::join!(dial(&a), dial(&b), accept) }).await;
    assert!(first.is_ok() && second.is_ok());
    let mut who: Vec<_> = accepted.into_iter().flatten().map(|connection| connection.remote_id()).collect();
    let mut expected = vec![a.local_id(), b.local_id()];
    who.sort();
    expected.sort();
    assert_eq!(who, expected);
}

/// A second connection between the same two devices leaves the first alone.
pub async fn two_connections_live_side_by_side(factory: &dyn Factory) {
    let Pair { a, b, dialled, accepted } = pair(factory).await;
    let (back, forth) = connect(&b, &a, Protocol::Pool).await;
    back.close(CloseCode::DUPLICATE, "one is enough");
    assert_eq!(bounded("closing", forth.closed()).await, Closed::ByPeer(CloseCode::DUPLICATE, "one is enough".into()));
    let mut send = open_uni(&dialled).await;
    write_all(&mut send, b"still here").await;
    finish(&mut send).await;
    assert_eq!(read_to_end(&mut accept_uni(&accepted).await).await, b"still here");
}

/// One-way streams carry bytes from either side.
pub async fn uni_streams_go_both_ways(factory: &dyn Factory) {
    let Pair { a: _a, b: _b, dialled, accepted } = pair(factory).await;
    for (from, to) in [(&dialled, &accepted), (&accepted, &dialled)] {
        let mut send = open_uni(from).await;
        write_all(&mut send, b"one way").await;
        finish(&mut send).await;
        assert_eq!(read_to_end(&mut accept_uni(to).await).await, b"one way");
    }
}

/// Two-way streams carry bytes both ways, whoever opened them.
pub async fn bi_streams_go_both_ways(factory: &dyn Factory) {
    let Pair { a: _a, b: _b, dialled, accepted } = pair(factory).await;
    for (from, to) in [(&dialled, &accepted), (&accepted, &dialled)] {
        let (mut send, mut recv) = open_bi(from).await;
        write_all(&mut send, b"ping").await;
        let (mut answer, mut question) = accept_bi(to).await;
        let mut got = [0; 4];
        bounded("reading", question.read_exact(&mut got)).await.expect("four bytes");
        assert_eq!(&got, b"ping");
        write_all(&mut answer, b"pong").await;
        bounded("reading", recv.read_exact(&mut got)).await.expect("four bytes");
        assert_eq!(&got, b"pong");
    }
}

/// What is read is what was written, in order, both ways at once.
pub async fn a_mebibyte_arrives_whole(factory: &dyn Factory) {
    let Pair { a: _a, b: _b, dialled, accepted } = pair(factory).await;
    let bytes = pattern(1 << 20);
    let exchange = async |(mut send, mut recv): BiStream| {
        let write = async {
            write_all(&mut send, &bytes).await;
            finish(&mut send).await;
        };
        tokio::join!(write, read_to_end(&mut recv)).1
    };
    let left = async { exchange(open_bi(&dialled).await).await };
    let right = async { exchange(accept_bi(&accepted).await).await };
    let (left, right) = tokio::join!(left, right);
    assert!(left == bytes, "what the dialling side read differs");
    assert!(right == bytes, "what the accepting side read differs");
}

/// Both ends count what goes to and fro, each at least the bytes that were written.
pub async fn traffic_is_counted_at_both_ends(factory: &dyn Factory) {
    let Pair { a: _a, b: _b, dialled, accepted } = pair(factory).await;
    let before = (dialled.traffic(), accepted.traffic());
    let mut send = open_uni(&dialled).await;
    write_all(&mut send, &pattern(100_000)).await;
    finish(&mut send).await;
    read_to_end(&mut accept_uni(&accepted).await).await;
    let (sent, received) = (dialled.traffic().sent - before.0.sent, accepted.traffic().received - before.1.received);
    assert!((100_000..200_000).contains(&sent), "{sent} bytes were sent");
    assert!((100_000..200_000).contains(&received), "{received} bytes were received");
    assert!(accepted.traffic().sent - before.1.sent < 50_000, "nothing was written the other way");
}

/// The end of one direction leaves the other open.
pub async fn half_a_stream_can_be_closed(factory: &dyn Factory) {
    let Pair { a: _a, b: _b, dialled, accepted } = pair(factory).await;
    let (mut send, mut recv) = open_bi(&dialled).await;
    write_all(&mut send, b"question").await;
    finish(&mut send).await;
    let (mut answer, mut question) = accept_bi(&accepted).await;
    assert_eq!(read_to_end(&mut question).await, b"question");
    write_all(&mut answer, b"answer").await;
    finish(&mut answer).await;
    assert_eq!(read_to_end(&mut recv).await, b"answer");
}

/// A stream is accepted once something was written to it, not when it is opened.
pub async fn a_stream_shows_once_written(factory: &dyn Factory) {
    let Pair { a: _a, b: _b, dialled, accepted } = pair(factory).await;
    let (mut send, _recv) = open_bi(&dialled).await;
    assert!(timeout(PAUSE, accepted.accept_bi()).await.is_err(), "nothing was written yet");
    write_all(&mut send, b"now").await;
    let (_answer, mut recv) = accept_bi(&accepted).await;
    finish(&mut send).await;
    assert_eq!(read_to_end(&mut recv).await, b"now");
}

/// A reader learns that its stream was cut short.
pub async fn a_reset_is_seen(factory: &dyn Factory) {
    cut_short(factory, |mut send| send.reset()).await;
}

/// A sender that is dropped before its end cuts the stream short: half a message never looks like a whole one.
pub async fn a_dropped_sender_resets(factory: &dyn Factory) {
    cut_short(factory, drop).await;
}

async fn cut_short(factory: &dyn Factory, cut: impl FnOnce(Box<dyn SendStream>)) {
    let Pair { a: _a, b: _b, dialled, accepted } = pair(factory).await;
    let mut send = open_uni(&dialled).await;
    write_all(&mut send, b"half").await;
    let mut recv = accept_uni(&accepted).await;
    let mut got = [0; 4];
    bounded("reading", recv.read_exact(&mut got)).await.expect("four bytes");
    cut(send);
    let end = bounded("reading on", recv.read(&mut got)).await;
    assert!(end.is_err(), "a stream that was cut short ends with an error, not {end:?}");
}

/// A sender whose receiver is gone gets an error instead of writing for ever.
pub async fn a_dropped_receiver_stops_the_sender(factory: &dyn Factory) {
    let Pair { a: _a, b: _b, dialled, accepted } = pair(factory).await;
    let mut send = open_uni(&dialled).await;
    write_all(&mut send, b"start").await;
    drop(accept_uni(&accepted).await);
    let stopped = async {
        while send.write_all(&[0; 1000]).await.is_ok() {
            sleep(Duration::from_millis(1)).await;
        }
    };
    bounded("stopping", stopped).await;
    uni_still_works(&dialled, &accepted).await;
}

async fn uni_still_works(from: &Arc<dyn Connection>, to: &Arc<dyn Connection>) {
    let mut send = open_uni(from).await;
    write_all(&mut send, b"as ever").await;
    finish(&mut send).await;
    assert_eq!(read_to_end(&mut accept_uni(to).await).await, b"as ever");
}

/// What a stream may hold on its way; more means that memory is not bounded.
const FAR_AHEAD: usize = 32 << 20;

/// Writes until the stream takes no more for a while; how much it took.
async fn write_until_stalled(send: &mut Box<dyn SendStream>) -> usize {
    let chunk = pattern(16 * 1024);
    let mut written = 0;
    while let Ok(taken) = timeout(PAUSE, send.write(&chunk)).await {
        written += taken.expect("the stream takes bytes");
        assert!(written < FAR_AHEAD, "the writer is {written} bytes ahead of its reader");
    }
    written
}

/// A writer whose reader does not read is made to wait, and goes on when it does.
pub async fn a_writer_waits_for_its_reader(factory: &dyn Factory) {
    let Pair { a: _a, b: _b, dialled, accepted } = pair(factory).await;
    let mut send = open_uni(&dialled).await;
    let written = write_until_stalled(&mut send).await;
    assert!(written > 0);
    let mut recv = accept_uni(&accepted).await;
    let (rest, got) = tokio::join!(
        async {
            write_all(&mut send, &pattern(1 << 20)).await;
            finish(&mut send).await;
            1 << 20
        },
        read_to_end(&mut recv)
    );
    assert_eq!(got.len(), written + rest);
}

/// A stream that nobody reads leaves the others alone.
pub async fn a_stalled_stream_holds_up_no_other(factory: &dyn Factory) {
    let Pair { a: _a, b: _b, dialled, accepted } = pair(factory).await;
    let mut stalled = open_uni(&dialled).await;
    write_until_stalled(&mut stalled).await;
    let _unread = accept_uni(&accepted).await;
    uni_still_works(&dialled, &accepted).await;
}

/// A side cannot open streams without limit: it waits until the other is done with some.
pub async fn opening_waits_for_the_other_side(factory: &dyn Factory) {
    let Pair { a: _a, b: _b, dialled, accepted } = pair(factory).await;
    let mut open = Vec::new();
    while let Ok(send) = timeout(PAUSE, dialled.open_uni()).await {
        let mut send = send.expect("the connection is open");
        write_all(&mut send, b"x").await;
        finish(&mut send).await;
        open.push(send);
        assert!(open.len() < 10_000, "{} streams are open and more may be", open.len());
    }
    for _ in 0..open.len() {
        assert_eq!(read_to_end(&mut accept_uni(&accepted).await).await, b"x");
    }
    uni_still_works(&dialled, &accepted).await;
}

/// More streams than may be open at once, all in use at the same time.
pub async fn many_streams_at_once(factory: &dyn Factory) {
    const STREAMS: usize = 300;
    let Pair { a: _a, b: _b, dialled, accepted } = pair(factory).await;
    let echo = async {
        let mut tasks = Vec::new();
        for _ in 0..STREAMS {
            let (mut send, mut recv) = accept_bi(&accepted).await;
            tasks.push(tokio::spawn(async move {
                let bytes = read_to_end(&mut recv).await;
                write_all(&mut send, &bytes).await;
                finish(&mut send).await;
            }));
        }
        join_all(tasks).await.into_iter().for_each(|task| task.expect("the echo works"));
    };
    let ask = join_all((0..STREAMS).map(|n| {
        let dialled = dialled.clone();
        async move {
            let (mut send, mut recv) = open_bi(&dialled).await;
            let bytes = pattern(1000 + n);
            write_all(&mut send, &bytes).await;
            finish(&mut send).await;
            assert!(read_to_end(&mut recv).await == bytes, "stream {n} came back changed");
        }
    }));
    bounded("all the streams", async { tokio::join!(echo, ask) }).await;
}

/// Datagrams of every permitted size arrive unchanged, if not each at the first try.
pub async fn datagrams_arrive(factory: &dyn Factory) {
    let Pair { a: _a, b: _b, dialled, accepted } = pair(factory).await;
    for (from, to) in [(&dialled, &accepted), (&accepted, &dialled)] {
        for len in [1, MAX_DATAGRAM / 2, MAX_DATAGRAM] {
            let sent = Bytes::from(pattern(len));
            let again = async {
                loop {
                    from.send_datagram(sent.clone()).expect("the connection is open");
                    sleep(Duration::from_millis(50)).await;
                }
            };
            let arrived = async {
                // What is left of the size before may still come in.
                while to.recv_datagram().await.expect("the connection is open") != sent {}
            };
            let either = async {
                tokio::select! {
                    biased;
                    () = arrived => (),
                    () = again => (),
                }
            };
            bounded("a datagram", either).await;
        }
    }
}

/// A datagram that is too large is refused or dropped, never cut, and does no harm.
pub async fn too_large_datagrams_do_not(factory: &dyn Factory) {
    let Pair { a: _a, b: _b, dialled, accepted } = pair(factory).await;
    let _refused_or_dropped = dialled.send_datagram(Bytes::from(vec![1; 1 << 17]));
    let got = timeout(PAUSE, accepted.recv_datagram()).await;
    assert!(got.is_err(), "it arrived as {:?} bytes", got.map(|got| got.map(|got| got.len())));
    uni_still_works(&dialled, &accepted).await;
}

/// The other side learns code and reason; this side knows that it was itself.
pub async fn a_close_is_seen_with_its_reason(factory: &dyn Factory) {
    for dialler_closes in [true, false] {
        let Pair { a: _a, b: _b, dialled, accepted } = pair(factory).await;
        let (closes, sees) = if dialler_closes { (dialled, accepted) } else { (accepted, dialled) };
        closes.close(CloseCode::NOT_A_MEMBER, "not in the group");
        assert_eq!(bounded("closing", closes.closed()).await, Closed::Locally);
        let seen = bounded("the other side's closing", sees.closed()).await;
        assert_eq!(seen, Closed::ByPeer(CloseCode::NOT_A_MEMBER, "not in the group".into()));
    }
}

/// Everything that waits on a connection ends when it is closed, at both ends, and nothing new begins.
pub async fn nothing_works_after_a_close(factory: &dyn Factory) {
    let Pair { a: _a, b: _b, dialled, accepted } = pair(factory).await;
    let (mut send, mut recv) = open_bi(&dialled).await;
    write_all(&mut send, b"x").await;
    let (mut answer, mut question) = accept_bi(&accepted).await;
    bounded("reading", question.read_exact(&mut [0])).await.expect("one byte");
    let waiting = async {
        let mut byte = [0];
        tokio::join!(accepted.accept_bi(), accepted.accept_uni(), accepted.recv_datagram(), question.read(&mut byte))
    };
    let close = async {
        sleep(Duration::from_millis(20)).await;
        dialled.close(CloseCode::DONE, "done");
    };
    let ((bi, uni, datagram, read), ()) = bounded("closing", async { tokio::join!(waiting, close) }).await;
    let why = Some(Closed::ByPeer(CloseCode::DONE, "done".into()));
    assert_eq!((bi.err(), uni.err(), datagram.err()), (why.clone(), why.clone(), why));
    assert!(read.is_err() && answer.write_all(b"x").await.is_err());
    assert!(send.write_all(b"x").await.is_err() && recv.read(&mut [0]).await.is_err());
    for connection in [&dialled, &accepted] {
        assert!(bounded("opening", connection.open_bi()).await.is_err());
        assert!(bounded("opening", connection.open_uni()).await.is_err());
        assert!(bounded("accepting", connection.accept_uni()).await.is_err());
        assert!(connection.send_datagram(Bytes::from_static(b"x")).is_err());
        assert!(bounded("receiving", connection.recv_datagram()).await.is_err());
    }
}

/// Closing a transport ends what waits on it, closes its connections, and leaves it unusable.
pub async fn a_closed_transport_says_so(factory: &dyn Factory) {
    let Pair { a, b, dialled, accepted } = pair(factory).await;
    let (accepting, dialling) = (b.clone(), b.clone());
    let accepting = tokio::spawn(async move { accepting.accept().await.is_none() });
    let (absent, nowhere) = (DeviceId::from_bytes([7; 32]), factory.silent_addr());
    let dialling =
        tokio::spawn(async move { dialling.connect(absent, vec![nowhere], Protocol::Pool, BOUND).await.err() });
    sleep(Duration::from_millis(50)).await;
    let start = Instant::now();
    bounded("closing", b.close()).await;
    assert!(start.elapsed() < Duration::from_secs(3), "closing took {:?}", start.elapsed());
    assert!(bounded("accepting", accepting).await.expect("no panic"), "accept ends with nothing");
    assert!(bounded("dialling", dialling).await.expect("no panic").is_some());
    assert!(bounded("accepting", b.accept()).await.is_none());
    let dial = bounded("dialling", b.connect(a.local_id(), a.local_addrs(), Protocol::Pool, BOUND)).await;
    assert_eq!(dial.err(), Some(ConnectError::Closed));
    assert_eq!(bounded("closing", accepted.closed()).await, Closed::Locally);
    let seen = bounded("the other side's closing", dialled.closed()).await;
    assert!(matches!(seen, Closed::ByPeer(CloseCode::SHUTDOWN, _)), "{seen:?}");
}
