//! Two or three pools joined by a network in memory, with tokio's time paused.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::AtomicU64, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use futures_util::{
    future::{BoxFuture, FutureExt},
    stream::{BoxStream, StreamExt},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{mpsc, oneshot, watch},
};
use tutti_model::{
    AccessPolicy, Audience, BootTime, DeviceId, Name, ProtocolVersion, Reading, ResourceDescription, ResourceId,
    ResourceKind, Role, Sharing, Text, Unit, Value, WallTime,
    message::{LeaseMode, Refusal, StorageEntry, StoragePath, StorageUsage},
};

use super::*;
use crate::{
    catalogue::Presence,
    error::PoolError,
    group::{Group, Member},
    io::SendError,
};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

// --- a network in memory ---------------------------------------------------------------------------------------

type Inbox = mpsc::Sender<Incoming>;

/// Everybody's inbox, and who is in the group.
struct Hub {
    inboxes: Mutex<BTreeMap<DeviceId, Inbox>>,
    members: watch::Sender<BTreeMap<DeviceId, Role>>,
    /// Counts changes, so that sessions differ.
    unplugged: watch::Sender<Vec<DeviceId>>,
}

impl Hub {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            inboxes: Mutex::default(),
            members: watch::channel(BTreeMap::new()).0,
            unplugged: watch::channel(Vec::new()).0,
        })
    }

    fn inbox(&self, to: DeviceId) -> Result<Inbox, SendError> {
        if self.unplugged.borrow().contains(&to) || !self.members.borrow().contains_key(&to) {
            return Err(SendError::NotConnected);
        }
        self.inboxes.lock().unwrap().get(&to).cloned().ok_or(SendError::NotConnected)
    }
}

struct Cable {
    me: DeviceId,
    hub: Arc<Hub>,
    inbox: Mutex<Option<mpsc::Receiver<Incoming>>>,
}

impl Network for Cable {
    fn sessions(&self) -> BoxStream<'static, Sessions> {
        let (me, mut members, unplugged) = (self.me, self.hub.members.subscribe(), self.hub.unplugged.subscribe());
        members.mark_changed();
        futures_util::stream::unfold((members, unplugged), move |(mut members, mut unplugged)| async move {
            tokio::select! {
                changed = members.changed() => changed.ok()?,
                changed = unplugged.changed() => changed.ok()?,
            }
            let group = members.borrow_and_update().clone();
            let gone = unplugged.borrow_and_update().clone();
            let member = |(id, role): (&DeviceId, &Role)| (*id, Member { role: *role, name: name("newcomer") });
            let peer = |id: &DeviceId| (*id, (ProtocolVersion::CURRENT, gone.len() as u64 + 1));
            let there = |id: &&DeviceId| **id != me && !gone.contains(id) && !gone.contains(&me);
            let peers = group.keys().filter(there).map(peer).collect();
            let group = Group { members: group.iter().map(member).collect() };
            Some((Sessions { group, peers }, (members, unplugged)))
        })
        .boxed()
    }

    fn incoming(&self) -> BoxStream<'static, Incoming> {
        let inbox = self.inbox.lock().unwrap().take().unwrap();
        futures_util::stream::unfold(inbox, |mut inbox| async move { Some((inbox.recv().await?, inbox)) }).boxed()
    }

    fn request(&self, to: DeviceId, bytes: Bytes, _: Duration) -> BoxFuture<'static, Result<Bytes, SendError>> {
        let (from, inbox) = (self.me, self.hub.inbox(to));
        async move {
            let (sender, answer) = oneshot::channel();
            let reply = Box::new(move |bytes| drop(sender.send(bytes)));
            inbox?.send(Incoming::Request { from, bytes, reply }).await.map_err(|_| SendError::NotConnected)?;
            answer.await.map_err(|_| SendError::Lost("no answer".into()))
        }
        .boxed()
    }

    fn notify(&self, to: DeviceId, bytes: Bytes) -> BoxFuture<'static, Result<(), SendError>> {
        let (from, inbox) = (self.me, self.hub.inbox(to));
        async move { inbox?.send(Incoming::Notice { from, bytes }).await.map_err(|_| SendError::NotConnected) }.boxed()
    }

    fn open(&self, to: DeviceId, _: bool, header: Bytes) -> BoxFuture<'static, Result<Channel, SendError>> {
        let (from, inbox) = (self.me, self.hub.inbox(to));
        async move {
            let (here, there) = tokio::io::duplex(8192);
            let channel = |end| {
                let (recv, send) = tokio::io::split(end);
                Channel { send: Box::new(send), recv: Box::new(recv) }
            };
            let stream = Incoming::Stream { from, header, channel: channel(there) };
            inbox?.send(stream).await.map_err(|_| SendError::NotConnected)?;
            Ok(channel(here))
        }
        .boxed()
    }
}

// --- resources, a store ------------------------------------------------------------------------------------------

#[derive(Default)]
struct Memory(Mutex<BTreeMap<String, Vec<u8>>>);

impl Store for Memory {
    fn load(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().unwrap().get(key).cloned())
    }
    fn save(&self, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        self.0.lock().unwrap().insert(key.into(), bytes.to_vec());
        Ok(())
    }
}

struct House {
    offers: watch::Sender<Arc<Vec<ResourceDescription>>>,
    warmth: watch::Sender<Option<Reading>>,
    writes: Mutex<Vec<(Value, Caller)>>,
    files: Arc<Mutex<BTreeMap<StoragePath, Vec<u8>>>>,
    writes_take: AtomicU64,
}

fn reading(count: i64) -> Reading {
    Reading { value: Value::Int(count), at: WallTime::from_unix_millis(5) }
}

impl House {
    fn new() -> Arc<Self> {
        let mut disk = ResourceDescription::actuator(name("disk"), Unit::EMPTY);
        disk.kind = ResourceKind::Storage;
        disk.sharing = Sharing::Shared;
        let mut safe = ResourceDescription::sensor(name("safe"), Unit::EMPTY);
        safe.access = AccessPolicy { read: Audience::Owners, control: Audience::Nobody };
        let offers = vec![
            ResourceDescription::sensor(name("warmth"), Unit::new("°C").unwrap()),
            ResourceDescription::actuator(name("lamp"), Unit::EMPTY),
            disk,
            safe,
        ];
        Arc::new(Self {
            offers: watch::channel(Arc::new(offers)).0,
            warmth: watch::channel(Some(reading(20))).0,
            writes: Mutex::default(),
            files: Arc::default(),
            writes_take: AtomicU64::new(0),
        })
    }
}

struct Sink {
    path: StoragePath,
    bytes: Vec<u8>,
    files: Arc<Mutex<BTreeMap<StoragePath, Vec<u8>>>>,
}

impl tokio::io::AsyncWrite for Sink {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        if self.bytes.len() + bytes.len() > 1_000_000 {
            return std::task::Poll::Ready(Err(std::io::ErrorKind::QuotaExceeded.into()));
        }
        self.bytes.extend_from_slice(bytes);
        std::task::Poll::Ready(Ok(bytes.len()))
    }
    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}

impl StorageSink for Sink {
    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<(), Refusal>> {
        async move {
            self.files.lock().unwrap().insert(self.path, self.bytes);
            Ok(())
        }
        .boxed()
    }
}

impl LocalResources for House {
    fn describe(&self) -> watch::Receiver<Arc<Vec<ResourceDescription>>> {
        self.offers.subscribe()
    }
    fn read(&self, _: Name) -> BoxFuture<'_, Result<Reading, Refusal>> {
        let latest = self.warmth.borrow().clone();
        async move { latest.ok_or(Refusal::Busy) }.boxed()
    }
    fn write(&self, _: Name, value: Value, caller: Caller) -> BoxFuture<'_, Result<(), Refusal>> {
        async move {
            tokio::time::sleep(Duration::from_millis(self.writes_take.load(Ordering::SeqCst))).await;
            self.writes.lock().unwrap().push((value, caller));
            Ok(())
        }
        .boxed()
    }
    fn follow(&self, _: Name) -> Result<watch::Receiver<Option<Reading>>, Refusal> {
        Ok(self.warmth.subscribe())
    }
    fn list(&self, _: Name, prefix: String) -> BoxFuture<'_, Result<Listing, Refusal>> {
        let files = self.files.lock().unwrap();
        let shown = files.iter().filter(|(path, _)| path.as_str().starts_with(&prefix));
        let entry = |(path, bytes): (&StoragePath, &Vec<u8>)| StorageEntry {
            path: path.clone(),
            size: bytes.len() as u64,
            modified: WallTime::default(),
        };
        let entries: Vec<_> = shown.map(entry).collect();
        let used = entries.iter().map(|entry| entry.size).sum();
        async move { Ok(Listing { entries, usage: StorageUsage { used, quota: 1_000_000 } }) }.boxed()
    }
    fn get(&self, _: Name, path: StoragePath) -> BoxFuture<'_, Result<StoredFile, Refusal>> {
        let bytes = self.files.lock().unwrap().get(&path).cloned();
        async move {
            let bytes = bytes.ok_or(Refusal::NotFound)?;
            let (size, modified) = (bytes.len() as u64, WallTime::default());
            Ok(StoredFile { size, modified, bytes: Box::new(std::io::Cursor::new(bytes)) })
        }
        .boxed()
    }
    fn put(
        &self,
        _: Name,
        path: StoragePath,
        size: Option<u64>,
    ) -> BoxFuture<'_, Result<Box<dyn StorageSink>, Refusal>> {
        let sink = Sink { path, bytes: Vec::new(), files: self.files.clone() };
        async move {
            match size {
                Some(size) if size > 1_000_000 => Err(Refusal::NoSpace { free: 1_000_000 }),
                _ => Ok(Box::new(sink) as Box<dyn StorageSink>),
            }
        }
        .boxed()
    }
    fn delete(&self, _: Name, path: StoragePath) -> BoxFuture<'_, Result<(), Refusal>> {
        let removed = self.files.lock().unwrap().remove(&path);
        async move { removed.map(drop).ok_or(Refusal::NotFound) }.boxed()
    }
}

// --- a device ----------------------------------------------------------------------------------------------------

struct Device {
    pool: PoolHandle,
    house: Arc<House>,
    id: DeviceId,
}

impl Device {
    fn thing(&self, what: &str) -> ResourceId {
        ResourceId { device: self.id, name: name(what) }
    }
}

fn clock() -> Clock {
    let start = tokio::time::Instant::now();
    Arc::new(move || (BootTime::ZERO + Duration::from_secs(100) + start.elapsed(), WallTime::from_unix_millis(1)))
}

async fn device(hub: &Arc<Hub>, number: u8, called: &str, role: Role) -> Device {
    let signing_key = SigningKey::from_bytes(&[number; 32]);
    let id = DeviceId::from_bytes(signing_key.verifying_key().to_bytes());
    let (inbox, from_others) = mpsc::channel(64);
    hub.inboxes.lock().unwrap().insert(id, inbox);
    hub.members.send_modify(|members| _ = members.insert(id, role));
    let identity = Identity {
        name: name(called),
        kind: Text::lossy("test"),
        architecture: Text::EMPTY,
        os: Text::EMPTY,
        profile: Text::EMPTY,
        software: Text::EMPTY,
    };
    let config = Config { signing_key, identity, boot: BootId([number; 16]), clock: clock() };
    let cable = Arc::new(Cable { me: id, hub: hub.clone(), inbox: Mutex::new(Some(from_others)) });
    let house = House::new();
    let pool = start(config, cable, Arc::new(Memory::default()), house.clone()).await.unwrap();
    Device { pool, house, id }
}

async fn pair() -> (Arc<Hub>, Device, Device) {
    let hub = Hub::new();
    let a = device(&hub, 1, "attic", Role::Owner).await;
    let b = device(&hub, 2, "bath", Role::Member).await;
    for it in [&a, &b] {
        let mut catalogues = it.pool.catalogues();
        let all_there = |catalogue: &Arc<crate::Catalogue>| {
            catalogue.devices.len() == 2
                && catalogue.devices.values().all(|it| it.record.is_some() && it.presence != Presence::Offline)
        };
        tokio::time::timeout(Duration::from_secs(5), catalogues.wait_for(all_there)).await.unwrap().unwrap();
    }
    (hub, a, b)
}

// --- the tests ---------------------------------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn reads_and_writes_go_both_to_others_and_to_oneself() {
    let (_hub, a, b) = pair().await;
    for (asker, owner) in [(&a, &b), (&a, &a)] {
        assert_eq!(asker.pool.read(owner.thing("warmth")).await, Ok(reading(20)));
        let lamp = owner.thing("lamp");
        let refused = asker.pool.write(lamp, Value::Bool(true), None).await.unwrap_err();
        let PoolError::Refused { why: Refusal::LeaseNeeded, .. } = refused else { panic!("{refused}") };
        asker.pool.control(lamp, Value::Bool(true)).await.unwrap();
        let (value, caller) = owner.house.writes.lock().unwrap().pop().unwrap();
        assert_eq!((value, caller.device), (Value::Bool(true), a.id));
        assert!(caller.token.is_some());
    }
    let safe = b.pool.read(a.thing("safe")).await.unwrap_err();
    assert_eq!(safe.to_string(), "attic/safe: attic refused: a member may not read it; only owners of the group may");
    assert_eq!(a.pool.read(a.thing("safe")).await, Ok(reading(20)), "a device may do all with its own");
}

#[tokio::test(start_paused = true)]
async fn errors_name_the_device_and_the_reason() {
    let (hub, a, b) = pair().await;
    let nothing = a.pool.read(b.thing("nothing")).await.unwrap_err();
    assert_eq!(nothing.to_string(), "bath/nothing: bath refused: it offers nothing by this name");
    hub.unplugged.send_modify(|gone| gone.push(b.id));
    tokio::time::sleep(Duration::from_millis(10)).await;
    let offline = a.pool.read(b.thing("warmth")).await.unwrap_err();
    assert_eq!(
        offline.to_string(),
        "bath/warmth: bath cannot be reached now; check that it is switched on and on the network"
    );
    let stranger = ResourceId { device: DeviceId::from_bytes([9; 32]), name: name("x") };
    assert_eq!(a.pool.read(stranger).await, Err(PoolError::UnknownDevice(stranger.device)));
    a.pool.stop().await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(a.pool.read(a.thing("warmth")).await, Err(PoolError::Stopped));
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_kept_while_it_is_used_and_given_back() {
    let (_hub, a, b) = pair().await;
    let lamp = b.thing("lamp");
    let holding = a.pool.hold(lamp, LeaseMode::Exclusive, Duration::from_secs(3)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(holding.is_held(), "renewed by itself");
    let refused = b.pool.acquire(lamp, LeaseMode::Exclusive, Duration::from_secs(3), false).await.unwrap_err();
    let PoolError::Refused { why: Refusal::HeldBy { holder, .. }, .. } = refused else { panic!("{refused}") };
    assert_eq!(holder, a.id);
    let known = b.pool.leases().known.clone();
    assert_eq!(known.first().map(|known| (known.lease, known.holder)), Some((holding.id(), a.id)));
    drop(holding);
    tokio::time::sleep(Duration::from_millis(100)).await;
    b.pool.acquire(lamp, LeaseMode::Exclusive, Duration::from_secs(3), false).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_lease_moves_to_another_device_by_hand_over() {
    let (_hub, a, b) = pair().await;
    let lamp = b.thing("lamp");
    let held = a.pool.acquire(lamp, LeaseMode::Exclusive, Duration::from_secs(30), false).await.unwrap();
    let early = a.pool.hand_over(held.lease).await;
    assert_eq!(early.unwrap_err(), PoolError::NotReserved(held.lease));
    a.pool.reserve(held.lease, b.id).await.unwrap();
    let word = a.pool.hand_over(held.lease).await.unwrap();
    assert!(!a.pool.holds(&held.lease));
    let taken = b.pool.take(word, Duration::from_secs(30), false).await.unwrap();
    assert!(taken.lease.token > held.lease.token);
    assert!(b.pool.holds(&taken.lease));
    let late = a.pool.write(lamp, Value::Bool(true), Some(held.lease.token)).await;
    assert_eq!(late, Err(PoolError::NotHeld(held.lease)));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_nobody_waited_for_is_given_back() {
    let (_hub, a, b) = pair().await;
    let lamp = b.thing("lamp");
    let impatient = a.pool.acquire(lamp, LeaseMode::Exclusive, Duration::from_secs(60), true);
    assert!(tokio::time::timeout(Duration::ZERO, impatient).await.is_err());
    tokio::time::sleep(Duration::from_secs(1)).await;
    b.pool.acquire(lamp, LeaseMode::Exclusive, Duration::from_secs(3), false).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_write_under_way_is_stopped_when_its_device_is_forgotten() {
    let (hub, a, b) = pair().await;
    let lamp = a.thing("lamp");
    b.pool.acquire(lamp, LeaseMode::Exclusive, Duration::from_secs(60), false).await.unwrap();
    a.house.writes_take.store(3_000, Ordering::SeqCst);
    let writer = b.pool.clone();
    let writing = tokio::spawn(async move { writer.write(lamp, Value::Bool(true), None).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut readings = b.pool.follow(a.thing("warmth"), Duration::ZERO).await.unwrap();
    assert_eq!(readings.next().await, Some(Ok(reading(20))));
    // Only the attic has heard of it so far.
    hub.members.send_if_modified(|members| members.remove(&b.id).is_some());
    assert!(writing.await.unwrap().is_err());
    assert!(readings.next().await.unwrap().is_err(), "streams are cut");
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(a.house.writes.lock().unwrap().is_empty());
    assert!(b.pool.read(a.thing("warmth")).await.is_err());
    assert!(a.pool.read(b.thing("warmth")).await.is_err());
    assert_eq!(a.pool.catalogue().devices.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_follows_slowly_gets_the_latest() {
    let (_hub, a, b) = pair().await;
    for owner in [&b, &a] {
        owner.house.warmth.send_replace(Some(reading(20)));
        let mut readings = a.pool.follow(owner.thing("warmth"), Duration::from_secs(1)).await.unwrap();
        assert_eq!(readings.next().await, Some(Ok(reading(20))));
        for count in 0..5_000 {
            owner.house.warmth.send_replace(Some(reading(count)));
            if count % 100 == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(readings.next().await, Some(Ok(reading(4_999))));
    }
}

#[tokio::test(start_paused = true)]
async fn stored_bytes_come_back_whole_or_not_at_all() {
    let (_hub, a, b) = pair().await;
    let big: Vec<u8> = (0..300_000_u32).map(|i| i as u8).collect();
    let path = |text: &str| StoragePath::new(text).unwrap();
    for owner in [&b, &a] {
        let disk = owner.thing("disk");
        a.pool.put(disk, path("a/big"), Some(big.len() as u64), &mut big.as_slice()).await.unwrap();
        a.pool.put(disk, path("a/empty"), None, &mut [].as_slice()).await.unwrap();
        let mut download = a.pool.get(disk, path("a/big")).await.unwrap();
        let mut back = Vec::new();
        download.read_to_end(&mut back).await.unwrap();
        assert!(back == big);
        let listing = a.pool.list(disk, "a/").await.unwrap();
        let paths: Vec<_> = listing.entries.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!((paths, listing.usage.used), (vec!["a/big", "a/empty"], 300_000));

        // Fewer bytes than promised, more, too many for the quota, and a caller that gives up half way.
        let short = a.pool.put(disk, path("b"), Some(5), &mut b"1234".as_slice()).await;
        assert!(matches!(short, Err(PoolError::Refused { why: Refusal::Malformed, .. })), "{short:?}");
        let long = a.pool.put(disk, path("b"), Some(3), &mut b"1234".as_slice()).await;
        assert!(matches!(long, Err(PoolError::Refused { why: Refusal::TooLarge { max: 3 }, .. })), "{long:?}");
        let huge = vec![0; 2_000_000];
        let full = a.pool.put(disk, path("b"), None, &mut huge.as_slice()).await;
        assert!(matches!(full, Err(PoolError::Refused { why: Refusal::NoSpace { .. }, .. })), "{full:?}");
        let (mut half, mut reader) = tokio::io::duplex(100);
        half.write_all(b"some").await.unwrap();
        let gave_up = tokio::time::timeout(Duration::from_secs(1), a.pool.put(disk, path("b"), None, &mut reader));
        assert!(gave_up.await.is_err());
        tokio::time::sleep(Duration::from_millis(100)).await;

        let missing = a.pool.get(disk, path("b")).await.unwrap_err();
        assert!(matches!(missing, PoolError::Refused { why: Refusal::NotFound, .. }), "{missing}");
        a.pool.delete(disk, path("a/big")).await.unwrap();
        assert_eq!(a.pool.list(disk, "").await.unwrap().entries.len(), 1);
        let sensor = a.pool.list(owner.thing("warmth"), "").await.unwrap_err();
        assert!(matches!(sensor, PoolError::Refused { why: Refusal::Unsupported, .. }), "{sensor}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_resource_times_out_by_name() {
    let (_hub, a, b) = pair().await;
    a.house.writes_take.store(60_000, Ordering::SeqCst);
    b.pool.acquire(a.thing("lamp"), LeaseMode::Exclusive, Duration::from_secs(60), false).await.unwrap();
    let slow = b.pool.write(a.thing("lamp"), Value::Bool(true), None).await.unwrap_err();
    assert_eq!(slow.to_string(), "attic/lamp: attic refused: the resource did not answer its device in time");
}

#[tokio::test(start_paused = true)]
async fn what_is_offered_and_called_shows_everywhere() {
    let (_hub, a, b) = pair().await;
    b.pool.rename(name("bathroom")).await.unwrap();
    b.house.offers.send_modify(|offers| drop(Arc::make_mut(offers).pop()));
    let mut catalogues = a.pool.catalogues();
    let shown = |catalogue: &Arc<crate::Catalogue>| {
        let entry = catalogue.device(b.id);
        entry.is_some_and(|entry| entry.name == name("bathroom") && entry.resources().len() == 3)
    };
    tokio::time::timeout(Duration::from_secs(5), catalogues.wait_for(shown)).await.unwrap().unwrap();
}
