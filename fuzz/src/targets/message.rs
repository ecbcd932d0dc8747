//! What the pools of two devices say to each other.

use std::{
    path::{Component, Path},
    time::Duration,
};

use ed25519_dalek::SigningKey;
use tutti_model::{
    DeviceId, Name, ResourceId, Value, WallTime,
    message::{
        Content, Delete, Digest, DigestEntry, Follow, Get, Grant, HandOver, LeaseEnded, LeaseId, LeaseInfo, LeaseMode,
        LeaseRelease, LeaseRenew, LeaseRequest, LeaseReserve, LeaseTake, Leases, List, MAX_MESSAGE_LEN, MAX_PATH_LEN,
        MessageError, Nonce, Notice, Put, Read, Refusal, Reply, Request, StorageEntry, StoragePath, StorageUsage,
        StreamFrame, StreamHeader, Token, Write,
    },
    signed::{Context, Signed},
};
use tutti_resources::storage;

/// A target for one kind of message: what is accepted comes out as something that reads the same.
macro_rules! target {
    ($name:ident, $kind:ident) => {
        pub(crate) fn $name(bytes: &[u8]) {
            let Ok(message) = $kind::parse(bytes) else { return };
            assert!(bytes.len() <= MAX_MESSAGE_LEN);
            match message.emit() {
                // Not compared for equality: a measure may be "not a number", which equals nothing.
                Ok(emitted) => {
                    assert_eq!(format!("{:?}", $kind::parse(&emitted)), format!("{:?}", Ok::<_, MessageError>(message)))
                }
                Err(error) => assert!(matches!(error, MessageError::TooLong { .. }), "{error}"),
            }
        }
    };
}

target!(notice, Notice);
target!(request, Request);
target!(reply, Reply);
target!(stream_header, StreamHeader);
target!(stream_frame, StreamFrame);

/// A promise to hand a lease over: what verifies was signed by the one who gives.
pub(crate) fn hand_over(bytes: &[u8]) {
    let Ok((signed, _)) = postcard::take_from_bytes::<Signed>(bytes) else { return };
    let peeked = HandOver::peek(&signed);
    let Ok(verified) = HandOver::verify(&signed) else { return };
    assert_eq!(peeked, Ok(verified));
    assert_eq!(signed.verify(Context::LEASE_HANDOVER, verified.from), Ok(signed.unverified()));
    assert!(signed.verify(Context::GROUP_ENTRY, verified.from).is_err());
}

/// A path within a storage, by the pool's rules and by those of the driver: what is accepted stays in the storage.
pub(crate) fn storage_path(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let pool = StoragePath::new(text).map(|path| path.as_str().to_owned());
    let driver = storage::StoragePath::new(text).map(|path| path.as_str().to_owned());
    assert!(pool.as_ref().is_ok_and(|path| path.len() <= MAX_PATH_LEN) || pool.is_err());
    for path in [pool.ok(), driver.ok()].into_iter().flatten() {
        assert_eq!(path, text);
        let parts: Vec<_> = Path::new(text).components().collect();
        assert!(parts.iter().all(|part| matches!(part, Component::Normal(_))) && !text.contains('\0'));
        assert_eq!(parts.len(), text.split('/').count());
    }
}

pub(crate) fn storage_path_seeds() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("plain", b"photos/2026/Kueche 1.jpg".to_vec()),
        ("letters", "Bücher/日本.txt".into()),
        ("dots", b"a/.../..b/.hidden".to_vec()),
        ("up", b"a/../../etc/passwd".to_vec()),
        ("long", [vec![b'x'; 255], vec![b'/'], vec![b'y'; 255]].concat()),
    ]
}

fn resource() -> ResourceId {
    ResourceId { device: DeviceId::from_bytes([0xaa; 32]), name: Name::new("lamp").expect("a valid name") }
}

fn lease() -> LeaseId {
    LeaseId { resource: resource(), token: Token(9) }
}

fn path() -> StoragePath {
    StoragePath::new("photos/1.jpg").expect("a valid path")
}

const TOKEN: Option<Token> = Some(Token(9));
const DURATION: Duration = Duration::from_millis(10_500);
const NONCE: Nonce = Nonce { run: 1, count: 2 };
const MODIFIED: WallTime = WallTime::from_unix_millis(1_750_000_000_000);

fn signed_hand_over() -> Signed {
    let key = SigningKey::from_bytes(&[7; 32]);
    let from = DeviceId::from_bytes(key.verifying_key().to_bytes());
    let promise = HandOver { lease: lease(), from, to: DeviceId::from_bytes([3; 32]) };
    promise.sign(&key).expect("an example can be signed")
}

fn named<const N: usize>(messages: [(&'static str, Result<Vec<u8>, MessageError>); N]) -> Vec<(&'static str, Vec<u8>)> {
    messages.map(|(name, bytes)| (name, bytes.expect("an example can be written"))).into()
}

pub(crate) fn notice_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let key = SigningKey::from_bytes(&[7; 32]);
    let entry =
        DigestEntry { device: resource().device, via: Some(DeviceId::from_bytes([5; 32])), seq: 300, mark: [1; 8] };
    let holder = DeviceId::from_bytes([3; 32]);
    let info = LeaseInfo { lease: lease(), mode: LeaseMode::Exclusive, holder, remaining: DURATION };
    let record = Signed::sign(Context::DEVICE_RECORD, b"any bytes".to_vec(), &key);
    named([
        ("record", Notice::Record(record).emit()),
        ("digest", Notice::Digest(Digest { whole: true, entries: vec![entry; 2] }).emit()),
        ("leases", Notice::Leases(Leases { revision: 4, leases: vec![info] }).emit()),
        ("lease_ended", Notice::LeaseEnded(LeaseEnded { lease: lease(), why: refusal() }).emit()),
    ])
}

pub(crate) fn request_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let (resource, lease) = (resource(), lease());
    let write = Write { resource, value: Value::Text("on".into()), token: TOKEN };
    let ask = LeaseRequest { resource, mode: LeaseMode::Shared, duration: DURATION, nonce: NONCE };
    let take = LeaseTake { hand_over: signed_hand_over(), duration: DURATION, nonce: NONCE };
    named([
        ("read", Request::Read(Read { resource }).emit()),
        ("write", Request::Write(write).emit()),
        ("lease_request", Request::LeaseRequest(ask).emit()),
        ("lease_renew", Request::LeaseRenew(LeaseRenew { lease, duration: DURATION }).emit()),
        ("lease_release", Request::LeaseRelease(LeaseRelease { resource, nonce: NONCE }).emit()),
        ("lease_reserve", Request::LeaseReserve(LeaseReserve { lease, to: DeviceId::from_bytes([3; 32]) }).emit()),
        ("lease_take", Request::LeaseTake(take).emit()),
    ])
}

pub(crate) fn reply_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let grant = Grant { lease: lease(), mode: LeaseMode::Exclusive, duration: DURATION };
    named([
        ("reading", Reply::Reading(reading()).emit()),
        ("done", Reply::Done(()).emit()),
        ("lease", Reply::Lease(grant).emit()),
        ("refused", Reply::Refused(refusal()).emit()),
    ])
}

pub(crate) fn stream_header_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let resource = resource();
    named([
        ("follow", StreamHeader::Follow(Follow { resource, min_interval: DURATION }).emit()),
        ("list", StreamHeader::List(List { resource, prefix: "photos/".into() }).emit()),
        ("get", StreamHeader::Get(Get { resource, path: path() }).emit()),
        ("put", StreamHeader::Put(Put { resource, path: path(), size: Some(70_000), token: TOKEN }).emit()),
        ("delete", StreamHeader::Delete(Delete { resource, path: path(), token: None }).emit()),
    ])
}

pub(crate) fn stream_frame_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let entry = StorageEntry { path: path(), size: 70_000, modified: MODIFIED };
    named([
        ("reading", StreamFrame::Reading(reading()).emit()),
        ("content", StreamFrame::Content(Content { size: 70_000, modified: MODIFIED }).emit()),
        ("entries", StreamFrame::Entries(vec![entry]).emit()),
        ("usage", StreamFrame::Usage(StorageUsage { used: 1, quota: 1 << 30 }).emit()),
        ("done", StreamFrame::Done(()).emit()),
        ("refused", StreamFrame::Refused(refusal()).emit()),
    ])
}

pub(crate) fn hand_over_seeds() -> Vec<(&'static str, Vec<u8>)> {
    vec![("promise", postcard::to_allocvec(&signed_hand_over()).expect("bytes have a postcard form"))]
}

fn refusal() -> Refusal {
    Refusal::HeldBy { holder: DeviceId::from_bytes([3; 32]), remaining: DURATION }
}

fn reading() -> tutti_model::Reading {
    tutti_model::Reading { value: Value::Float(21.5), at: MODIFIED }
}
