//! What strangers and liars can do to real devices over a real network: processes of this program on loopback, and
//! opponents that speak the protocol by hand on the same transport.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what a test measured is for whoever runs it")]

mod support;

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use insta::assert_snapshot;
use support::device::{Device, Plan, eventually};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    time::timeout,
};
use tutti_fabric::{
    Config, Fabric, Incoming, JoinError, JoinTarget, Service, Source,
    clock::MachineClock,
    group::{EntryHash, Group, GroupId},
    pairing::JoinError as PairingError,
    store::{MemoryStore, Store},
    transport::{
        BiStream, CloseCode, Closed, Connection, Priority, Protocol, Transport,
        iroh::{IrohConfig, IrohTransport},
    },
};
use tutti_model::{
    DeviceId, Name, SignedRecord, VersionRange,
    message::{Digest, Notice},
    section::{SectionWriter, Sections, Tag},
    signed::Signed,
};

const S: fn(u64) -> Duration = Duration::from_secs;

/// The messages of a session's control stream that opponents make by hand (`session/wire.rs` of the fabric).
const HELLO: Tag = Tag(1);
const PROVE: Tag = Tag(2);
const ENTRIES: Tag = Tag(4);

/// Two members of one group, of which the first is the one that is attacked.
struct Scene {
    folder: tempfile::TempDir,
    anna: Device,
    bert: Device,
    id: DeviceId,
    addrs: Vec<SocketAddr>,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let anna = Plan::new(folder.path(), "anna").env("TUTTI_LOG", "info,tutti_fabric=debug").start();
        let bert = Plan::new(folder.path(), "bert").start();
        bert.join(&anna);
        eventually(S(5), "they see each other", || anna.sees(&["bert"]) && bert.sees(&["anna"]));
        // Of two sessions from dialling at the same moment one is given up within a second.
        std::thread::sleep(S(2));
        let status = anna.json(&["status"]);
        let addrs = status["addresses"].as_array().unwrap().iter().map(|addr| addr.as_str().unwrap().parse().unwrap());
        let addrs = addrs.map(|addr: SocketAddr| SocketAddr::from(([127, 0, 0, 1], addr.port()))).take(1).collect();
        let id = status["id"].as_str().unwrap().parse().unwrap();
        Self { folder, anna, bert, id, addrs }
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// How many sessions between the two members have ended so far.
    fn sessions_over(&self) -> usize {
        let bert: DeviceId = self.bert.id().parse().unwrap();
        let bert = bert.short().to_string();
        self.anna.log().lines().filter(|line| line.contains("session over") && line.contains(&bert)).count()
    }

    /// The two members have noticed nothing.
    fn unharmed(&self, sessions_over: usize) {
        assert_eq!(self.sessions_over(), sessions_over, "the members' session has suffered");
        assert!(self.anna.sees(&["bert"]) && self.bert.sees(&["anna"]));
        assert!(self.bert.reading("anna/room-temperature").is_ok());
    }

    async fn dial(&self, from: &IrohTransport, protocol: Protocol) -> Arc<dyn Connection> {
        from.connect(self.id, self.addrs.clone(), protocol, S(10)).await.expect("the address is right")
    }
}

async fn network(key: &SigningKey) -> IrohTransport {
    IrohTransport::bind(IrohConfig { key: key.clone(), port: 0 }).await.expect("there is a port")
}

fn random_key() -> SigningKey {
    SigningKey::from_bytes(&rand::random())
}

/// A device in this process that has a network and a memory, and a group of its own.
struct Opponent {
    key: SigningKey,
    store: Arc<MemoryStore>,
    network: Arc<IrohTransport>,
    fabric: Fabric,
}

impl Opponent {
    async fn new(name: &str) -> Self {
        let key = random_key();
        let network = Arc::new(network(&key).await);
        let store = Arc::new(MemoryStore::default());
        let config = Config {
            name: Name::new(name).unwrap(),
            key: key.clone(),
            versions: VersionRange::SUPPORTED,
            clock: Arc::new(MachineClock),
            random: Arc::new(rand::random),
        };
        let fabric = Fabric::start(config, network.clone(), store.clone()).await.unwrap();
        Self { key, store, network, fabric }
    }
}

/// How the other side has closed the connection.
async fn closed(conn: &Arc<dyn Connection>, within: Duration) -> (CloseCode, String) {
    match timeout(within, conn.closed()).await {
        Ok(Closed::ByPeer(code, why)) => (code, why),
        other => panic!("not closed by the other side within {within:?}: {other:?}"),
    }
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).unwrap().to_le_bytes(), body].concat()
}

fn message(tag: Tag, body: &impl serde::Serialize) -> Vec<u8> {
    let mut writer = SectionWriter::new();
    writer.push(tag, 1, body).unwrap();
    framed(&writer.finish())
}

/// The hello of somebody who knows the group's id: it is no secret to those who were members once.
fn hello(group: GroupId) -> Vec<u8> {
    message(HELLO, &(VersionRange::SUPPORTED, group, 1u64, Vec::<EntryHash>::new()))
}

/// The next message on a stream: its tag and its payload. `None` if there is none.
async fn hear(streams: &mut BiStream) -> Option<(Tag, Vec<u8>)> {
    let mut length = [0; 4];
    timeout(S(10), streams.1.read_exact(&mut length)).await.ok()?.ok()?;
    let mut body = vec![0; u32::from_le_bytes(length) as usize];
    timeout(S(10), streams.1.read_exact(&mut body)).await.ok()?.ok()?;
    let sections = Sections::new_checked(&body).expect("it speaks in sections");
    sections.iter().next().map(|section| (section.tag, section.payload.to_vec()))
}

/// Opens a session as far as being asked for proof, and shows these entries.
async fn prove(
    scene: &Scene,
    from: &IrohTransport,
    group: GroupId,
    entries: &[Signed],
) -> (Arc<dyn Connection>, BiStream) {
    let conn = scene.dial(from, Protocol::Pool).await;
    let mut streams = conn.open_bi().await.unwrap();
    streams.0.write_all(&hello(group)).await.unwrap();
    assert_eq!(
        hear(&mut streams).await.map(|(tag, _)| tag),
        Some(PROVE),
        "a stranger was told more than to prove itself"
    );
    streams.0.write_all(&message(ENTRIES, &(true, entries))).await.unwrap();
    (conn, streams)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_reaches_nothing_but_pairing() {
    let scene = Scene::new();
    let over = scene.sessions_over();
    let stranger = network(&random_key()).await;
    let service = [Service::POOL.0.to_le_bytes().as_slice(), &7u32.to_le_bytes(), b"request"].concat();
    let request = [&[0][..], &service].concat();
    // What it says first, how the device has to end that, and within which time.
    let patience = S(20);
    let cases: [(&str, Vec<u8>, &[CloseCode], Duration); 6] = [
        ("nothing", vec![], &[CloseCode::SILENT], patience),
        ("half a hello", vec![200, 0, 0, 0, 1, 2, 3], &[CloseCode::MISBEHAVED, CloseCode::SILENT], patience),
        ("1 GiB announced", (1u32 << 30).to_le_bytes().to_vec(), &[CloseCode::MISBEHAVED], S(3)),
        ("garbage", framed(&[0xFF; 90]), &[CloseCode::MISBEHAVED], S(3)),
        ("a request to the pool", request.clone(), &[CloseCode::MISBEHAVED, CloseCode::SILENT], patience),
        ("the hello of another group", hello(GroupId([7; 32])), &[CloseCode::NOT_A_MEMBER], S(3)),
    ];
    let attempts = cases.iter().map(|(what, bytes, codes, within)| {
        let (scene, stranger) = (&scene, &stranger);
        async move {
            let conn = scene.dial(stranger, Protocol::Pool).await;
            let mut heard = Vec::new();
            if !bytes.is_empty() {
                let (mut send, mut recv) = conn.open_bi().await.unwrap();
                send.write_all(bytes).await.unwrap();
                let _ = timeout(*within, recv.read_to_end(&mut heard)).await;
            }
            let (code, why) = closed(&conn, *within).await;
            assert!(codes.contains(&code), "{what}: {code:?} {why}");
            assert_eq!(heard, b"", "{what}: it was told something");
            println!("{what}: closed with {code:?}, {why:?}");
        }
    });
    futures_util::future::join_all(attempts).await;

    // Services on streams of their own, beside a control stream that is under way.
    let conn = scene.dial(&stranger, Protocol::Pool).await;
    let (mut control, _answers) = conn.open_bi().await.unwrap();
    control.write_all(&[90, 0, 0, 0]).await.unwrap();
    let (mut send, mut recv) = conn.open_bi().await.unwrap();
    send.write_all(&request).await.unwrap();
    let mut notice = conn.open_uni().await.unwrap();
    notice.write_all(&service).await.unwrap();
    let _ = conn.send_datagram(Bytes::from_static(b"\x01"));
    let mut heard = Vec::new();
    let _ = timeout(patience, recv.read_to_end(&mut heard)).await;
    assert_eq!(heard, b"", "a service answered a stranger");
    closed(&conn, patience).await;

    // On the pairing protocol, without an offer, there is a polite no.
    let conn = scene.dial(&stranger, Protocol::Pair).await;
    assert_eq!(closed(&conn, S(10)).await.0, CloseCode::DONE);
    scene.unharmed(over);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_kills_the_code_and_leaves_the_ticket() {
    let scene = Scene::new();
    let over = scene.sessions_over();
    let offer = scene.anna.offer();
    let right: u32 = offer.code().parse().unwrap();
    let (stop, wrong, dead) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let attackers = futures_util::future::join_all((0..12).map(|_| Opponent::new("mallory"))).await;
    let attack = futures_util::future::join_all(attackers.iter().enumerate().map(|(at, attacker)| {
        let (scene, stop, wrong, dead) = (&scene, &stop, &wrong, &dead);
        async move {
            attacker.fabric.add_addresses(scene.id, &scene.addrs, Source::Ticket);
            for attempt in 1.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let guess = (right + 1 + at as u32 * 10_000 + attempt) % 1_000_000;
                let code = format!("{guess:06}").parse().unwrap();
                match attacker.fabric.join(JoinTarget::Code { device: scene.id, code }).await {
                    Ok(joined) => panic!("in with a wrong code: {joined:?}"),
                    Err(JoinError::Pairing(PairingError::WrongCode { .. })) => wrong.fetch_add(1, Ordering::Relaxed),
                    Err(JoinError::Pairing(PairingError::CodeDead)) => dead.fetch_add(1, Ordering::Relaxed),
                    Err(_) => 0,
                };
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }));
    let defence = async {
        let started = std::time::Instant::now();
        while dead.load(Ordering::Relaxed) == 0 {
            assert!(started.elapsed() < S(20), "the code is not dead after {wrong:?} wrong ones");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let took = started.elapsed();
        let (cleo, late) = tokio::task::block_in_place(|| {
            let cleo = Plan::new(scene.folder(), "cleo").start();
            eventually(S(5), "the offer is seen", || {
                cleo.json(&["nearby"]).as_array().is_some_and(|all| !all.is_empty())
            });
            let late = cleo.run(&["pair", "anna", "--code", &offer.code()]);
            assert!(cleo.run(&["pair", &offer.ticket()]).ok, "the ticket does not get in during the attack");
            (cleo, late)
        });
        stop.store(true, Ordering::Relaxed);
        println!("dead after {took:?} and {wrong:?} wrong codes, {dead:?} turned away after that");
        (cleo, late)
    };
    let (_, (cleo, late)) = tokio::join!(attack, defence);
    assert!(wrong.load(Ordering::Relaxed) <= 3, "{wrong:?} wrong codes were tried");
    assert_snapshot!(late.said(&[]), @r"
    exit code 1
    error: cannot enter the group of anna
      why: the code had too many wrong tries; use the ticket, or make a new code on the other device
    ");
    offer.paired();
    eventually(S(5), "the ticket's holder is in", || {
        scene.anna.sees(&["bert", "cleo"]) && cleo.sees(&["anna", "bert"])
    });
    scene.unharmed(over);
}

/// The next record of a device, newer than this, that another member sends to one in this process.
async fn records(incoming: &mut mpsc::Receiver<Incoming>, of: DeviceId, seq_above: u64) -> SignedRecord {
    loop {
        let Some(Incoming::Notice { body, .. }) = incoming.recv().await else { continue };
        let Ok(Notice::Record(signed)) = Notice::parse(&body) else { continue };
        let record = SignedRecord::verify(signed).expect("honest devices send sound records");
        if record.record().device == of && record.record().seq > seq_above {
            return record;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn altered_and_replayed_statements_are_refused_by_name() {
    let scene = Scene::new();
    // A member, let in as a person would; what it does from then on is its own.
    let offer = scene.anna.offer();
    let mallory = Opponent::new("mallory").await;
    let mut incoming = mallory.fabric.serve(Service::POOL);
    mallory.fabric.join(JoinTarget::Ticket(offer.ticket().parse().unwrap())).await.unwrap();
    let ticket = offer.ticket();
    offer.paired();
    let mut view = mallory.fabric.view();
    let up = view.wait_for(|view| view.peers.get(&scene.id).is_some_and(|peer| peer.session.is_some()));
    timeout(S(5), up).await.unwrap().unwrap();
    let tell = async |notice: Notice| {
        let body = Bytes::from(notice.emit().unwrap());
        mallory.fabric.notify(scene.id, Service::POOL, Priority::Interactive, body).await.unwrap();
    };

    // A record: altered, and an older one once there is a newer.
    let bert: DeviceId = scene.bert.id().parse().unwrap();
    // Who says that it has nothing is sent everything; the other side's pool may not know of the session yet.
    let mut ask = async |above: u64| {
        loop {
            tell(Notice::Digest(Digest { whole: true, entries: vec![] })).await;
            if let Ok(record) = timeout(S(1), records(&mut incoming, bert, above)).await {
                return record;
            }
        }
    };
    let record = timeout(S(10), ask(0)).await.expect("the records come");
    let bytes = record.signed().unverified();
    let at = bytes.windows(4).position(|word| word == b"bert").expect("its name is in it");
    let forged = [&bytes[..at], b"evil", &bytes[at + 4..]].concat();
    tell(Notice::Record(Signed::from_parts(forged, *record.signed().signature()))).await;
    eventually(S(5), "the log names the fault of the record", || {
        scene.anna.log().contains("device record refused: the signature does not match")
    });
    scene.bert.must(&["rename", "bertram"]);
    let newer = timeout(S(10), ask(record.record().seq)).await.expect("the newer record comes");
    eventually(S(5), "the new name is known", || scene.anna.sees(&["bertram"]));
    tell(Notice::Record(record.signed().clone())).await;
    let answer = timeout(S(10), records(&mut incoming, bert, record.record().seq)).await.expect("it is put right");
    assert!(answer.record().seq >= newer.record().seq, "the sender of an old record is not told the newer one");
    assert!(scene.anna.sees(&["bertram"]) && scene.anna.view_of("bert").is_none(), "an old record was taken");

    // Membership: forgotten, mallory shows the history that once made it a member.
    let history = Group::decode(&mallory.store.load("group").unwrap().unwrap()).unwrap();
    assert!(history.role_of(DeviceId::from_bytes(mallory.key.verifying_key().to_bytes())).is_some());
    let entries = history.missing_from(&BTreeSet::new());
    tokio::task::block_in_place(|| scene.anna.must(&["forget", "mallory", "--yes"]));
    mallory.fabric.shutdown().await;
    mallory.network.close().await;
    let network = network(&mallory.key).await;
    let (conn, mut streams) = prove(&scene, &network, history.id(), &entries).await;
    assert_eq!(hear(&mut streams).await.map(|(tag, _)| tag), Some(ENTRIES), "it is not told what removed it");
    let (code, why) = closed(&conn, S(10)).await;
    assert_eq!((code, why.as_str()), (CloseCode::NOT_A_MEMBER, "not a member of this group: pair again"));
    // The same with an entry altered: made an owner in the place of a member, say. Any bit will do.
    let mut forged = entries.clone();
    let last = forged.last_mut().unwrap();
    let mut bytes = last.unverified().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    *last = Signed::from_parts(bytes, *last.signature());
    let stranger = self::network(&random_key()).await;
    let (conn, _streams) = prove(&scene, &stranger, history.id(), &forged).await;
    let (code, why) = closed(&conn, S(10)).await;
    assert_eq!(code, CloseCode::MISBEHAVED, "{why}");
    assert!(why.contains("group entry") && why.contains("signature does not match"), "{why}");
    // Honest entries that are about others make nobody a member.
    let (conn, _streams) = prove(&scene, &stranger, history.id(), &entries).await;
    assert_eq!(closed(&conn, S(10)).await.0, CloseCode::NOT_A_MEMBER);

    // Tickets: a used one, and altered ones.
    let cleo = Plan::new(scene.folder(), "cleo").start();
    let address = scene.addrs[0].to_string();
    let said = |ticket: &str| cleo.run(&["pair", ticket]).said(&[(&address, "[address]"), (ticket, "[ticket]")]);
    assert_snapshot!(said(&ticket), @r"
    exit code 1
    error: cannot enter the group of the device of the ticket
      why: another device has used this code or ticket; make a new one on the other device
    ");
    let mut altered = ticket.clone().into_bytes();
    let at = altered.len() / 2;
    altered[at] = if altered[at] == b'a' { b'b' } else { b'a' };
    assert_snapshot!(said(std::str::from_utf8(&altered).unwrap()), @r"
    exit code 1
    error: cannot enter the group of the device of the ticket
      why: the ticket is mistyped or a part of it is missing; copy all of it again
     next: copy the whole ticket from the other device
    ");
    assert_snapshot!(said(&ticket[..ticket.len() - 9]), @r"
    exit code 1
    error: cannot enter the group of the device of the ticket
      why: the ticket is mistyped or a part of it is missing; copy all of it again
     next: copy the whole ticket from the other device
    ");
    assert!(scene.anna.sees(&["bertram"]) && scene.bert.sees(&["anna"]));
}

/// Begins a message and sends without end, on more and more streams, as much as the other side takes.
async fn pour(conn: &Arc<dyn Connection>, start: &[u8], piece: &[u8], sent: &AtomicUsize) -> std::io::Result<()> {
    let (mut send, _recv) = conn.open_bi().await?;
    send.write_all(start).await?;
    let mut streams = Vec::new();
    loop {
        send.write_all(piece).await?;
        let mut another = conn.open_uni().await?;
        another.write_all(piece).await?;
        streams.push(another);
        sent.fetch_add(2 * piece.len(), Ordering::Relaxed);
    }
}

/// Strangers have machines of their own: what this process takes of the processor, the devices shall not lack.
fn stand_aside() {
    for thread in std::fs::read_dir("/proc/self/task").unwrap() {
        let id = thread
            .unwrap()
            .file_name()
            .to_str()
            .and_then(|id| id.parse().ok())
            .and_then(rustix::process::Pid::from_raw);
        // A thread that has just ended takes nothing any more.
        let _ = rustix::process::setpriority_process(id, 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_costs_bounded_memory() {
    /// By how much a device may grow. Far below what the opponents announce and try to send.
    const GROWTH: u64 = 64 << 20;
    let scene = Scene::new();
    let over = scene.sessions_over();
    let before = scene.anna.resident();
    stand_aside();
    let (stop, sent, connections) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let strangers = futures_util::future::join_all((0..40).map(async |_| network(&random_key()).await)).await;
    let flood = futures_util::future::join_all(strangers.iter().enumerate().map(|(at, stranger)| {
        let (scene, stop, sent, connections) = (&scene, &stop, &sent, &connections);
        async move {
            let piece = vec![0x55; 64 << 10];
            for round in at.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                let protocol = Protocol::ALL[round % 2];
                let dialled = stranger.connect(scene.id, scene.addrs.clone(), protocol, S(2)).await;
                let Ok(conn) = dialled else { continue };
                connections.fetch_add(1, Ordering::Relaxed);
                let start = match round % 3 {
                    0 => vec![1, 0, 0],
                    1 => (1u32 << 30).to_le_bytes().to_vec(),
                    _ => 900_000u32.to_le_bytes().to_vec(),
                };
                let _ = timeout(S(2), pour(&conn, &start, &piece, sent)).await;
            }
        }
    }));
    let watch = async {
        let mut peak = before;
        for _ in 0..100 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            peak = peak.max(scene.anna.resident());
        }
        stop.store(true, Ordering::Relaxed);
        peak
    };
    let (_, peak) = tokio::join!(flood, watch);
    let mib = |bytes: u64| bytes >> 20;
    println!(
        "{connections:?} connections, {} MiB sent: resident {} MiB before, {} MiB at most",
        sent.load(Ordering::Relaxed) >> 20,
        mib(before),
        mib(peak)
    );
    assert!(connections.load(Ordering::Relaxed) >= 100, "it was no flood");
    assert!(peak - before < GROWTH, "grew from {} to {} MiB", mib(before), mib(peak));
    scene.unharmed(over);
    // Afterwards others can come in as ever.
    let cleo = Plan::new(scene.folder(), "cleo").start();
    cleo.join(&scene.anna);
    eventually(S(5), "a new member is in", || scene.anna.sees(&["bert", "cleo"]));
}
