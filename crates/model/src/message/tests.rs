use ed25519_dalek::SigningKey;
use proptest::prelude::*;

use super::*;
use crate::{signed::Context, text::Name};

fn lamp() -> ResourceId {
    ResourceId { device: DeviceId::from_bytes([0xAA; 32]), name: Name::new("lamp").unwrap() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const DEVICE: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// The lamp: its device's 32 bytes, a length, four letters.
fn lamp_hex() -> String {
    format!("{DEVICE}046c616d70")
}

#[test]
fn golden_bytes_of_notices() {
    let entry = DigestEntry { device: lamp().device, via: None, seq: 300, mark: [1, 2, 3, 4, 5, 6, 7, 8] };
    let digest = Notice::Digest(Digest { whole: true, entries: vec![entry] });
    let expected = format!("02010100{}01 01{DEVICE}00ac020102030405060708", "2d000000").replace(' ', "");
    assert_eq!(hex(&digest.emit().unwrap()), expected);

    let key = SigningKey::from_bytes(&[7; 32]);
    let signed = Signed::sign(Context::DEVICE_RECORD, b"abc".to_vec(), &key);
    let record = Notice::Record(signed.clone());
    assert_eq!(hex(&record.emit().unwrap()), format!("010101004400000003616263{}", hex(signed.signature())));

    let lease = LeaseId { resource: lamp(), token: Token(7) };
    let info =
        LeaseInfo { lease, mode: LeaseMode::Exclusive, holder: lamp().device, remaining: Duration::from_secs(30) };
    let leases = Notice::Leases(Leases { revision: 2, leases: vec![info] });
    let lamp = lamp_hex();
    assert_eq!(hex(&leases.emit().unwrap()), format!("030101004b0000000201{lamp}0701{DEVICE}1e00"));

    let ended = Notice::LeaseEnded(LeaseEnded { lease, why: Refusal::Other { code: 300, text: explain(&"no") } });
    assert_eq!(hex(&ended.emit().unwrap()), format!("040101002c000000{lamp}07ac02026e6f00"));
}

#[test]
fn golden_bytes_of_requests() {
    let lamp_bytes = lamp_hex();
    let lease = LeaseId { resource: lamp(), token: Token(7) };
    let nonce = Nonce { run: 5, count: 6 };
    let duration = Duration::from_millis(1500);
    let all = [
        (Request::Read(Read { resource: lamp() }), format!("0102010025000000{lamp_bytes}")),
        (
            Request::Write(Write { resource: lamp(), value: Value::Bool(true), token: Some(Token(7)) }),
            format!("0202010029000000{lamp_bytes}00010107"),
        ),
        (
            Request::LeaseRequest(LeaseRequest { resource: lamp(), mode: LeaseMode::Exclusive, duration, nonce }),
            format!("030201002e000000{lamp_bytes}010180cab5ee010506"),
        ),
        (Request::LeaseRenew(LeaseRenew { lease, duration }), format!("040201002c000000{lamp_bytes}070180cab5ee01")),
        (Request::LeaseRelease(LeaseRelease { resource: lamp(), nonce }), format!("0502010027000000{lamp_bytes}0506")),
        (
            Request::LeaseReserve(LeaseReserve { lease, to: lamp().device }),
            format!("0602010046000000{lamp_bytes}07{DEVICE}"),
        ),
    ];
    for (request, expected) in all {
        assert_eq!(hex(&request.emit().unwrap()), expected, "{request:?}");
        assert_eq!(Request::parse(&request.emit().unwrap()), Ok(request));
    }
}

#[test]
fn golden_bytes_of_replies_headers_and_frames() {
    let at = WallTime::from_unix_millis(1000);
    let reading = Reply::Reading(Reading { value: Value::Int(-1), at });
    assert_eq!(hex(&reading.emit().unwrap()), "01030100040000000101e807");
    assert_eq!(hex(&Reply::Done(()).emit().unwrap()), "0203010000000000");
    let lease = LeaseId { resource: lamp(), token: Token(7) };
    let grant = Reply::Lease(Grant { lease, mode: LeaseMode::Shared, duration: Duration::from_secs(2) });
    let lamp = lamp_hex();
    assert_eq!(hex(&grant.emit().unwrap()), format!("0303010029000000{lamp}07000200"));

    let path = StoragePath::new("a/b").unwrap();
    let put = StreamHeader::Put(Put { resource: lease.resource, path: path.clone(), size: Some(3), token: None });
    assert_eq!(hex(&put.emit().unwrap()), format!("040401002c000000{lamp}03612f62010300"));
    let follow = StreamHeader::Follow(Follow { resource: lease.resource, min_interval: Duration::from_millis(0) });
    assert_eq!(hex(&follow.emit().unwrap()), format!("0104010027000000{lamp}0000"));
    let entries = StreamFrame::Entries(vec![StorageEntry { path, size: 3, modified: at }]);
    assert_eq!(hex(&entries.emit().unwrap()), "13040100080000000103612f6203e807");
}

#[test]
fn what_a_later_version_adds_is_skipped() {
    let mut bytes = Vec::new();
    let mut writer = SectionWriter::new();
    writer.push_raw(Tag(0x7777), 1, b"new").unwrap();
    bytes.extend(writer.finish());
    let mut writer = SectionWriter::new();
    writer.push(Tag(0x0201), 2, &(Read { resource: lamp() }, "a new field")).unwrap();
    bytes.extend(writer.finish());
    assert_eq!(Request::parse(&bytes), Ok(Request::Read(Read { resource: lamp() })));
}

#[test]
fn what_is_not_one_message_is_refused_by_name() {
    let read = Request::Read(Read { resource: lamp() }).emit().unwrap();
    assert_eq!(Request::parse(&[read.clone(), read.clone()].concat()), Err(MessageError::Ambiguous));
    assert_eq!(Reply::parse(&read), Err(MessageError::Unknown), "a request is no reply");
    assert_eq!(Request::parse(b""), Err(MessageError::Unknown));
    assert_eq!(Request::parse(&vec![0; MAX_MESSAGE_LEN + 1]), Err(MessageError::TooLong { max: MAX_MESSAGE_LEN }));
    let cut = Request::parse(&read[..read.len() - 1]);
    assert_eq!(cut, Err(MessageError::Sections(SectionError::Truncated { at: 0 })));
    let huge = Request::Write(Write { resource: lamp(), value: Value::Bytes(vec![0; MAX_MESSAGE_LEN]), token: None });
    assert_eq!(huge.emit(), Err(MessageError::TooLong { max: MAX_MESSAGE_LEN }));
}

proptest! {
    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = (Notice::parse(&bytes), Request::parse(&bytes), Reply::parse(&bytes));
        let _ = (StreamHeader::parse(&bytes), StreamFrame::parse(&bytes));
    }

    /// Random payloads behind each tag reach further into the decoders than random bytes do.
    #[test]
    fn any_payload_is_a_message_or_an_error(
        row in 0usize..26,
        payload in proptest::collection::vec(any::<u8>(), 0..120),
    ) {
        let tags: Vec<Tag> =
            [Notice::TAGS, Request::TAGS, Reply::TAGS, StreamHeader::TAGS, StreamFrame::TAGS].concat();
        let mut writer = SectionWriter::new();
        writer.push_raw(tags[row % tags.len()], 1, &payload).unwrap();
        let bytes = writer.finish();
        // What is read can be written, and reads as the same again.
        if let Ok(notice) = Notice::parse(&bytes) {
            prop_assert_eq!(Notice::parse(&notice.emit().unwrap()), Ok(notice));
        }
        if let Ok(request) = Request::parse(&bytes) {
            let _ = request.resource();
            let again = Request::parse(&request.emit().unwrap());
            prop_assert_eq!(format!("{again:?}"), format!("{:?}", Ok::<_, MessageError>(request)));
        }
        let _ = (Reply::parse(&bytes), StreamHeader::parse(&bytes), StreamFrame::parse(&bytes));
    }
}
