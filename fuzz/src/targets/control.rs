//! The control API: what a client reads from a device, and what a device reads from whoever may use its socket.

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};
use tutti_control::{
    Check, Command, Controlled, Device, DeviceInfo, ErrorBody, Event, GroupInfo, JoinRequest, Joined, Lease,
    LeaseRequest, NearbyDevice, OfferRequest, Offered, PairingOffer, PairingRequest, PairingStatus, Reading,
    RecoveryWords, Rename, RenewLease, Resource, RoleChange, RuntimeEntry, ScreenFrame, ScreenRequest, SetValue,
    StorageList, Stored, Value,
    client::{SseEvent, SseParser, path},
};

/// A stream of events. Cut into pieces wherever, it gives the same events; those that are understood can be written and
/// read again.
pub(crate) fn event_stream(bytes: &[u8]) {
    let whole = parse([bytes]);
    for size in [1, 2, 7] {
        assert_eq!(parse(bytes.chunks(size)), whole, "in pieces of {size}");
    }
    // Pieces may be empty.
    assert_eq!(parse(bytes.chunks(1).flat_map(|byte| [byte, &[]])), whole);
    for event in whole.unwrap_or_default() {
        let Ok(Some(event)) = Event::parse(&event.name, &event.data) else { continue };
        let data = event.data().expect("what was read can be written");
        let again = Event::parse(event.name(), &data).expect("what was written can be read");
        assert_eq!(format!("{again:?}"), format!("{:?}", Some(event)));
    }
}

fn parse<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<SseEvent>> {
    let mut parser = SseParser::default();
    let mut events = Vec::new();
    for piece in pieces {
        parser.feed(piece).ok()?;
        events.extend(std::iter::from_fn(|| parser.take()));
    }
    Some(events)
}

/// A JSON body of any of the API's types: what is accepted can be written and reads the same.
pub(crate) fn json(bytes: &[u8]) {
    answers(bytes);
    requests(bytes);
    body::<RuntimeEntry>(bytes);
}

fn answers(bytes: &[u8]) {
    body::<Value>(bytes);
    body::<ErrorBody>(bytes);
    body::<DeviceInfo>(bytes);
    body::<Device>(bytes);
    body::<GroupInfo>(bytes);
    body::<NearbyDevice>(bytes);
    body::<Check>(bytes);
    body::<Resource>(bytes);
    body::<Reading>(bytes);
    body::<Controlled>(bytes);
    body::<PairingOffer>(bytes);
    body::<PairingStatus>(bytes);
    body::<Joined>(bytes);
    body::<RecoveryWords>(bytes);
    body::<Lease>(bytes);
    body::<Offered>(bytes);
    body::<Command>(bytes);
    body::<ScreenFrame>(bytes);
    body::<StorageList>(bytes);
    body::<Stored>(bytes);
}

fn requests(bytes: &[u8]) {
    body::<Rename>(bytes);
    body::<RoleChange>(bytes);
    body::<SetValue>(bytes);
    body::<PairingRequest>(bytes);
    body::<JoinRequest>(bytes);
    body::<LeaseRequest>(bytes);
    body::<RenewLease>(bytes);
    body::<OfferRequest>(bytes);
    body::<ScreenRequest>(bytes);
}

fn body<T: Serialize + DeserializeOwned + Debug>(bytes: &[u8]) {
    let Ok(body) = serde_json::from_slice::<T>(bytes) else { return };
    let written = serde_json::to_vec(&body).expect("what was read can be written");
    let again = serde_json::from_slice::<T>(&written).expect("what was written can be read");
    // The JSON reader may be off in the last digit of a number, so only what has settled is compared.
    let settled = serde_json::to_vec(&again).expect("what was read can be written");
    let third = serde_json::from_slice::<T>(&settled).expect("what was written can be read");
    assert_eq!(format!("{third:?}").len(), format!("{again:?}").len());
}

/// What somebody types as a value, and the segments of a request's path.
pub(crate) fn words(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    assert!(Value::from_word(&text).as_f64().is_none_or(f64::is_finite));
    let segments: Vec<&str> = text.split('\n').collect();
    let path = path(&segments);
    assert!(path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#')));
    assert_eq!(path.matches('/').count(), segments.len());
    assert!(path.split('/').all(|segment| segment != "." && segment != ".."));
}

pub(crate) fn words_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let seeds = ["on", "-12", "2.5e3", "1e999", "v1\nresources\nKüche\na b/c?d#e", "..\n.\n...", "nan"];
    let names = ["switch", "count", "measure", "large", "path", "dots", "word"];
    names.into_iter().zip(seeds.map(|seed| seed.as_bytes().to_vec())).collect()
}

const RESOURCE: &str = r#"{"id":"ab/t","device":"ab","device_name":"kitchen","name":"t","kind":"sensor","unit":"°C","properties":{"max":105.5,"model":"k10","raw":{"base64":"AP8="}},"access":{"read":"members","control":"owners"},"readable":true,"writable":false,"sharing":"shared","simulated":true,"online":true,"value":21.5,"at":1750000000000,"lease":{"holder":"cd","holder_name":"hall","token":7,"expires_in_ms":900}}"#;

pub(crate) fn event_stream_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let text = |name, text: String| (name, text.into_bytes());
    vec![
        text("resources", format!("event: resources\ndata: [{RESOURCE}]\n\nevent: ping\ndata: \n\n")),
        text("lines", "event: devices\r\ndata: [\r\ndata: ]\r\n\r\n: comment\rid: 3\rdata\r\r".into()),
        text("pairing", "event:pairing\ndata:{\"state\":\"open\",\"tries_left\":3}\n\n".into()),
        text("leases", "event: leases\ndata: [{\"id\":\"a\",\"resource\":\"b/c\",\"token\":1,\"mode\":\"shared\",\"expires_in_ms\":5}]\n\n".into()),
    ]
}

pub(crate) fn json_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let seeds = [
        ("resource", RESOURCE),
        (
            "device",
            r#"{"id":"ab","name":"kitchen","kind":"board","architecture":"aarch64","os":"Linux","profile":"standard","software":"0.1.0","role":"owner","presence":"online","me":true,"resources":3,"source":"mdns"}"#,
        ),
        ("refusal", r#"{"error":{"code":"no_such_device","message":"m","hint":"h"}}"#),
        ("set", r#"{"value":{"base64":"aGVsbG8="},"token":3}"#),
        ("lease", r#"{"resource":"kitchen/lamp","mode":"exclusive","duration_ms":5000}"#),
        (
            "offer",
            r#"{"kind":"sensor","unit":"°C","value":21.5,"properties":{"a":null},"ttl_ms":1000,"writable":true,"sharing":"exclusive"}"#,
        ),
        ("join", r#"{"device":"kitchen","code":"042917","ticket":null}"#),
        ("screen", r#"{"columns":80,"rows":24,"text":["a"],"width":1,"height":1,"pixels":"AAAA"}"#),
        ("storage", r#"{"files":[{"path":"a/b","size":1,"modified":2}],"used":1,"quota":2}"#),
        (
            "runtime",
            r#"{"id":"ab","name":"kitchen","pid":4711,"state_dir":"/s","socket":"/r/a.sock","addrs":["127.0.0.1:1"],"pairing_open":false}"#,
        ),
        ("deep", "[[[[[[[[[[[[[[[[{\"a\":[[[[[[]]]]]]}]]]]]]]]]]]]]]]]"),
        ("numbers", "1e308"),
    ];
    seeds.map(|(name, text)| (name, text.as_bytes().to_vec())).into()
}
