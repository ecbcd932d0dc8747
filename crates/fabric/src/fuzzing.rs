//! The private parsers of foreign bytes, with what must hold of whatever they accept, for the fuzz targets of this
//! repository. Not part of the interface.

use std::{collections::BTreeMap, net::SocketAddr};

use tutti_model::{DeviceId, Name, VersionRange, signed::Signed};

use crate::{
    discovery::{Announcement, MAX_ADDRS, samehost::Registration, table::Sighting, txt},
    frame::{self, FrameError},
    group::{EntryHash, GroupId},
    service::Service,
    session::wire::{Control, Hello, MAX_CONTROL, Status, StreamKind, batches, parse_stream_header, stream_header},
};

/// A message on the control stream: what is accepted can be written, and reads the same.
pub fn control(bytes: &[u8]) {
    let Ok(Some(message)) = Control::parse(bytes) else { return };
    let emitted = message.emit().expect("a message that was read can be written");
    assert_eq!(Control::parse(&emitted), Ok(Some(message.clone())));
    if let Control::Entries { entries, .. } = message {
        let cut = batches(entries.clone());
        let fits = |batch: &Control| batch.emit().is_ok_and(|bytes| bytes.len() <= MAX_CONTROL);
        // A single entry may be as long as the message that it came in.
        assert!(bytes.len() > MAX_CONTROL / 2 || cut.iter().all(fits));
        let joined: Vec<Signed> = cut.into_iter().flat_map(entries_of).collect();
        assert_eq!(joined, entries);
    }
}

fn entries_of(message: Control) -> Vec<Signed> {
    match message {
        Control::Entries { entries, .. } => entries,
        _ => Vec::new(),
    }
}

/// One message of each sort.
pub fn control_seeds(entries: Vec<Signed>) -> Vec<(&'static str, Vec<u8>)> {
    let hello = Hello {
        versions: VersionRange::SUPPORTED,
        group: GroupId([1; 32]),
        incarnation: 77,
        heads: vec![EntryHash([2; 32])],
    };
    let messages = [
        ("hello", Control::Hello(hello)),
        ("prove", Control::Prove),
        ("known", Control::Known(vec![EntryHash([2; 32]), EntryHash([3; 32])])),
        ("entries", Control::Entries { entries, last: true }),
        ("ready", Control::Ready),
    ];
    messages.map(|(name, message)| (name, message.emit().expect("an example can be written"))).into()
}

/// What comes on a service's stream: a header, a status, messages behind their lengths. `bytes` arrive and then the
/// stream ends.
pub async fn stream(bytes: &[u8]) {
    if let Some(status) = bytes.first().copied().and_then(Status::from_byte) {
        assert_eq!(Some(status as u8), bytes.first().copied());
    }
    let mut rest = match bytes.split_first_chunk::<7>() {
        Some((header, rest)) => {
            if let Some((kind, service, length)) = parse_stream_header(*header) {
                assert_eq!(stream_header(kind, service, length), *header);
                let body = frame::read_body(&mut &*rest, length, MAX_CONTROL).await;
                assert_eq!(body.is_ok(), length as usize <= rest.len().min(MAX_CONTROL));
            }
            rest
        }
        None => bytes,
    };
    loop {
        let before = rest;
        match frame::read(&mut rest, MAX_CONTROL).await {
            Ok(message) => assert_eq!(before.get(4..4 + message.len()), Some(message.as_ref())),
            Err(FrameError::End) => return assert!(before.is_empty()),
            Err(FrameError::TooLong { length, max }) => return assert!(length as usize > max),
            Err(FrameError::Broken(_)) => return,
            Err(FrameError::Stalled) => panic!("a stream that has ended does not stall"),
        }
    }
}

/// Streams as peers begin them.
pub fn stream_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let begin = |kind, length| stream_header(kind, Service(1), length).to_vec();
    let framed = |body: &[u8]| [&(body.len() as u32).to_le_bytes(), body].concat();
    vec![
        ("request", [begin(StreamKind::Request, 5), b"hello".to_vec()].concat()),
        ("stream", [begin(StreamKind::Stream, 0), framed(b"one"), framed(b""), framed(b"three")].concat()),
        ("boast", [begin(StreamKind::Request, u32::MAX), framed(b"little")].concat()),
        ("half", framed(b"cut")[..6].to_vec()),
    ]
}

/// A TXT record in its wire form (RFC 6763, section 6): strings behind their lengths, each a key, `=` and a value.
pub fn txt(bytes: &[u8]) {
    let mut said: BTreeMap<String, &[u8]> = BTreeMap::new();
    let mut rest = bytes;
    while let Some((&length, after)) = rest.split_first() {
        let (string, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        if let Some(at) = string.iter().position(|byte| *byte == b'=') {
            said.entry(String::from_utf8_lossy(&string[..at]).to_lowercase()).or_insert(&string[at + 1..]);
        }
    }
    let addr: SocketAddr = ([10, 0, 0, 1], 7).into();
    let Some(sighting) = txt::parse(|key| said.get(key).copied(), vec![addr]) else { return };
    let Sighting { device, name, pairing_open, .. } = sighting.clone();
    let announcement = Announcement { device, name, port: addr.port(), pairing_open };
    let properties: BTreeMap<_, _> = txt::properties(&announcement).into_iter().collect();
    let again = txt::parse(|key| properties.get(key).map(String::as_bytes), vec![addr]);
    assert_eq!(again, Some(sighting));
}

/// Records as devices announce them.
pub fn txt_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let record = |pairing_open| {
        let name = Name::new("Küche").expect("a valid name");
        let announcement = Announcement { device: DeviceId::from_bytes([0xab; 32]), name, port: 7, pairing_open };
        let strings = txt::properties(&announcement).into_iter().map(|(key, value)| format!("{key}={value}"));
        strings.flat_map(|string| [vec![string.len() as u8], string.into_bytes()].concat()).collect()
    };
    vec![("quiet", record(false)), ("pairing", record(true))]
}

/// The file in which a device on the same host says that it is there.
pub fn registration(bytes: &[u8]) {
    let Some((said, sighting)) = Registration::parse(bytes) else { return };
    assert!(sighting.addrs.len() <= MAX_ADDRS && sighting.addrs.iter().all(|addr| addr.port() != 0));
    let written = serde_json::to_vec(&said).expect("what was read can be written");
    assert_eq!(Registration::parse(&written), Some((said, sighting)));
}

/// Files as devices write them.
pub fn registration_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let said = Registration {
        id: DeviceId::from_bytes([0xab; 32]).to_string(),
        name: "Küche".into(),
        pid: 4711,
        state_dir: "/var/lib/tutti".into(),
        socket: "/run/tutti/a.sock".into(),
        addrs: vec![([127, 0, 0, 1], 4001).into(), "[::1]:4002".parse().expect("an address"), ([0, 0, 0, 0], 1).into()],
        pairing_open: true,
    };
    vec![("usual", serde_json::to_vec_pretty(&said).expect("an example can be written"))]
}
