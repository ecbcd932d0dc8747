//! Both ends of a satellite's link, and the line between them.

use std::time::Duration;

use tutti_model::{BootTime, Name, ResourceKind, Text, Unit, WallTime};
use tutti_satellite::{
    About, Input, MAX_EVENTS, MAX_FRAME, Measure, Resource, Satellite, SatelliteHost,
    serial::{Decoder, encode, line_len},
};

fn at(millis: u64) -> BootTime {
    BootTime::from_nanos(millis * 1_000_000)
}

fn resources() -> [Resource; 1] {
    let (name, unit) = (Name::new("lamp").expect("a valid name"), Unit::EMPTY);
    [Resource { name, kind: ResourceKind::Actuator, unit, readable: true, writable: true, simulated: true }]
}

fn satellite(resources: &[Resource]) -> Satellite<'_, 2> {
    let text = Text::lossy("x");
    let name = Name::new("board").expect("a valid name");
    Satellite::new(About { name, architecture: text, os: text, firmware: text }, resources, 7)
}

/// Frames, each behind two bytes with its length (low byte first, at most 9 bits).
fn frames(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut rest, mut frames) = (bytes, Vec::new());
    while let [low, high, behind @ ..] = rest {
        let len = usize::from(u16::from_le_bytes([*low, *high & 1]));
        let (frame, behind) = behind.split_at(behind.len().min(len));
        frames.push(frame);
        rest = behind;
    }
    frames
}

fn push(to: &mut Vec<u8>, frame: &[u8]) {
    to.extend_from_slice(&(frame.len() as u16).to_le_bytes());
    to.extend_from_slice(frame);
}

/// Frames arrive 100 ms apart; what is kept stays bounded, and every frame sent fits.
pub(crate) fn host(bytes: &[u8]) {
    let mut host = SatelliteHost::new();
    for (number, frame) in frames(bytes).into_iter().enumerate() {
        let now = at(100 * number as u64);
        host.handle(now, frame);
        let joined = host.joined().is_some();
        let _ = host.read(now, 0);
        let _ = host.set(now, 0, Measure::Int(1));
        assert!(joined || host.subscribe(0, Some(Duration::from_secs(1))).is_err());
        for _ in 0..20 {
            let Some(sent) = host.poll_transmit(now, WallTime::from_unix_millis(0)) else { break };
            assert!(sent.len() <= MAX_FRAME);
        }
    }
    assert!(std::iter::from_fn(|| host.poll_event()).count() <= MAX_EVENTS * 9 * 9);
}

/// The same for the small end.
pub(crate) fn small(bytes: &[u8]) {
    let resources = resources();
    let mut small = satellite(&resources);
    let mut buffer = [0; MAX_FRAME];
    for (number, frame) in frames(bytes).into_iter().enumerate() {
        let now = at(100 * number as u64);
        match small.handle(now, frame) {
            Some(Input::Read { request, resource }) => {
                assert_eq!(resource, 0);
                small.answer(request, Ok(Some(Measure::Bool(true))));
            }
            Some(Input::Set { request, resource, .. }) => {
                assert_eq!(resource, 0);
                small.answer(request, Ok(None));
            }
            Some(Input::Relayed { frame, .. }) => assert!(frame.len() <= MAX_FRAME),
            None => {}
        }
        while let Some(resource) = small.due(now) {
            small.reading(now, resource, Measure::Int(4));
        }
        let mut sent = 0;
        while small.poll_transmit(now, &mut buffer).is_some() {
            sent += 1;
            assert!(sent < 50, "it sends without end");
        }
        let _ = small.poll_timeout(now);
    }
}

/// A whole conversation, seen from each end.
fn conversation() -> [Vec<u8>; 2] {
    let resources = resources();
    let (mut small, mut host) = (satellite(&resources), SatelliteHost::new());
    let (mut up, mut down) = (Vec::new(), Vec::new());
    let mut buffer = [0; MAX_FRAME];
    for step in 0..8 {
        let now = at(100 * step);
        small.reading(now, 0, Measure::Float(1.5));
        while let Some(len) = small.poll_transmit(now, &mut buffer) {
            push(&mut up, &buffer[..len]);
            host.handle(now, &buffer[..len]);
        }
        if step == 3 {
            host.set(now, 0, Measure::Bool(true)).expect("it is joined by now");
            host.subscribe(0, Some(Duration::from_millis(100))).expect("it is joined by now");
        }
        while let Some(frame) = host.poll_transmit(now, WallTime::from_unix_millis(1_750_000_000_000)) {
            push(&mut down, &frame);
            if let Some(Input::Set { request, .. }) = small.handle(now, &frame) {
                small.answer(request, Ok(None));
            }
        }
    }
    [up, down]
}

pub(crate) fn host_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let [up, _] = conversation();
    vec![("conversation", up)]
}

pub(crate) fn small_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let [_, down] = conversation();
    vec![("conversation", down)]
}

/// What comes off a line goes onto it again as it was.
pub(crate) fn line(bytes: &[u8]) {
    let mut decoder = Decoder::default();
    for byte in bytes {
        if let Some(frame) = decoder.push(*byte) {
            let mut line = vec![0; line_len(frame.len())];
            let len = encode(frame, &mut line).expect("it was a frame");
            let mut other = Decoder::default();
            let mut again = None;
            for byte in &line[..len] {
                again = other.push(*byte).map(<[u8]>::to_vec);
            }
            assert_eq!(again.as_deref(), Some(frame));
        }
    }
}

pub(crate) fn line_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut bytes = vec![1, 2, 0];
    for frame in [&b"hello"[..], &[0, 0, 1], &[7; 300]] {
        let mut line = vec![0; line_len(frame.len())];
        let len = encode(frame, &mut line).expect("there is room");
        bytes.extend_from_slice(&line[..len]);
    }
    vec![("frames", bytes)]
}
