//! Devices for the tests: a network in memory, resources, a store.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use futures_util::{
    future::{BoxFuture, FutureExt},
    stream::{BoxStream, StreamExt},
};
use tokio::sync::{mpsc, oneshot, watch};
use tutti_model::{
    AccessPolicy, Audience, BootTime, DeviceId, Name, ProtocolVersion, Reading, ResourceDescription, ResourceId,
    ResourceKind, Role, Sharing, Text, Unit, Value, WallTime,
    message::{Refusal, StorageEntry, StoragePath, StorageUsage},
};

use super::super::*;
use crate::{
    catalogue::Presence,
    group::{Group, Member},
    io::SendError,
};

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

// --- a network in memory ---------------------------------------------------------------------------------------

type Inbox = mpsc::Sender<Incoming>;

/// Everybody's inbox, and who is in the group.
pub(super) struct Hub {
    inboxes: Mutex<BTreeMap<DeviceId, Inbox>>,
    pub(super) members: watch::Sender<BTreeMap<DeviceId, Role>>,
    /// Counts changes, so that sessions differ.
    pub(super) unplugged: watch::Sender<Vec<DeviceId>>,
    /// Whether notices get lost, and with them all news of descriptions.
    pub(super) quiet: AtomicBool,
}

impl Hub {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            inboxes: Mutex::default(),
            members: watch::channel(BTreeMap::new()).0,
            unplugged: watch::channel(Vec::new()).0,
            quiet: AtomicBool::new(false),
        })
    }

    fn inbox(&self, to: DeviceId) -> Result<Inbox, SendError> {
        if self.unplugged.borrow().contains(&to) || !self.members.borrow().contains_key(&to) {
            return Err(SendError::NotConnected);
        }
        self.inboxes.lock().unwrap().get(&to).cloned().ok_or(SendError::NotConnected)
    }
}

pub(super) struct Cable {
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
        if self.hub.quiet.load(Ordering::Relaxed) {
            return std::future::ready(inbox.map(drop)).boxed();
        }
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

pub(super) struct House {
    pub(super) offers: watch::Sender<Arc<Vec<ResourceDescription>>>,
    pub(super) warmth: watch::Sender<Option<Reading>>,
    pub(super) writes: Mutex<Vec<(Value, Caller)>>,
    files: Arc<Mutex<BTreeMap<StoragePath, Vec<u8>>>>,
    pub(super) writes_take: AtomicU64,
}

pub(super) fn reading(count: i64) -> Reading {
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

pub(super) struct Device {
    pub(super) pool: PoolHandle,
    pub(super) house: Arc<House>,
    pub(super) id: DeviceId,
}

impl Device {
    pub(super) fn thing(&self, what: &str) -> ResourceId {
        ResourceId { device: self.id, name: name(what) }
    }
}

fn clock() -> Clock {
    let start = tokio::time::Instant::now();
    Arc::new(move || (BootTime::ZERO + Duration::from_secs(100) + start.elapsed(), WallTime::from_unix_millis(1)))
}

pub(super) async fn device(hub: &Arc<Hub>, number: u8, called: &str, role: Role) -> Device {
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
        capacity: None,
    };
    let config = Config { signing_key, identity, boot: BootId([number; 16]), clock: clock() };
    let cable = Arc::new(Cable { me: id, hub: hub.clone(), inbox: Mutex::new(Some(from_others)) });
    let house = House::new();
    let pool = start(config, cable, Arc::new(Memory::default()), house.clone()).await.unwrap();
    Device { pool, house, id }
}

pub(super) async fn pair() -> (Arc<Hub>, Device, Device) {
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
