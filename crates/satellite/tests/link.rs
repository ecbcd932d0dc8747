//! Satellites and their host over links that lose, repeat, delay and reorder, in virtual time; and over a line of bytes.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use tutti_model::{BootTime, Name, ResourceKind, Text, Unit, Value, WallTime};
use tutti_satellite::serial::{Decoder, checksum, encode, line_len};
use tutti_satellite::{
    About, Denied, Event, Input, Level, MAX_FRAME, Measure, Resource, SILENCE, Satellite, SatelliteHost,
};

fn about(name: &str) -> About {
    let (architecture, os) = (Text::lossy("thumbv8m"), Text::lossy("embassy"));
    About { name: Name::new(name).unwrap(), architecture, os, firmware: Text::lossy("0.1.0") }
}

fn resources() -> [Resource; 2] {
    let resource = |name, kind, writable| Resource {
        name: Name::new(name).unwrap(),
        kind,
        unit: Unit::EMPTY,
        readable: true,
        writable,
        simulated: true,
    };
    [resource("temperature", ResourceKind::Sensor, false), resource("lamp", ResourceKind::Actuator, true)]
}

/// xorshift, so that a failure can be had again from its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % most
    }
}

/// Frames on their way, one list for each direction; percent lost and repeated, and the longest delay, in milliseconds.
struct Wire {
    lost: u64,
    delay: u64,
    way: [Vec<(u64, Vec<u8>)>; 2],
}

impl Wire {
    fn new(lost: u64, delay: u64) -> Self {
        Self { lost, delay, way: [vec![], vec![]] }
    }
    fn put(&mut self, way: usize, now: u64, frame: &[u8], random: &mut Random) {
        for copy in 0..2 {
            let dropped = random.below(100) < self.lost;
            if dropped || (copy == 1 && random.below(100) >= self.lost) {
                continue;
            }
            // Different delays reorder.
            self.way[way].push((now + 1 + random.below(self.delay + 1), frame.to_vec()));
        }
    }
    fn take(&mut self, way: usize, now: u64) -> Vec<Vec<u8>> {
        let (due, later) = std::mem::take(&mut self.way[way]).into_iter().partition(|(at, _)| *at <= now);
        self.way[way] = later;
        let due: Vec<_> = due;
        due.into_iter().map(|(_, frame)| frame).collect()
    }
}

const WALL: u64 = 1_750_000_000_000;

fn at(millis: u64) -> BootTime {
    BootTime::from_nanos(millis * 1_000_000)
}

/// One microcontroller.
struct Board<'r> {
    satellite: Satellite<'r, 4>,
    lamp: bool,
    /// How often each value was set, and whether it runs at all.
    sets: BTreeMap<i64, u32>,
    runs: bool,
}

impl<'r> Board<'r> {
    fn new(name: &str, resources: &'r [Resource], session: u32) -> Self {
        Self {
            satellite: Satellite::new(about(name), resources, session),
            lamp: false,
            sets: BTreeMap::new(),
            runs: true,
        }
    }

    fn work(&mut self, now: u64, input: Option<Input<'_>>) -> Option<(u8, Vec<u8>)> {
        match input? {
            Input::Read { request, resource: 0 } => self.satellite.answer(request, Ok(Some(Measure::Float(21.5)))),
            Input::Read { request, .. } => self.satellite.answer(request, Ok(Some(Measure::Bool(self.lamp)))),
            Input::Set { request, measure: Measure::Int(value), .. } => {
                *self.sets.entry(value).or_default() += 1;
                self.lamp = value % 2 == 1;
                self.satellite.answer(request, Ok(None));
            }
            Input::Set { request, .. } => self.satellite.answer(request, Err(Denied::BadValue)),
            Input::Relayed { child, frame } => return Some((child, frame.to_vec())),
        }
        let _ = now;
        None
    }
}

/// The host, a satellite `near`, and one `far` behind it.
struct World<'r> {
    now: u64,
    random: Random,
    host: SatelliteHost,
    near: Board<'r>,
    far: Board<'r>,
    up: Wire,
    out: Wire,
    events: Vec<(u64, Event)>,
}

impl<'r> World<'r> {
    fn new(seed: u64, lost: u64, delay: u64, resources: &'r [Resource]) -> Self {
        Self {
            now: 0,
            random: Random(seed | 1),
            host: SatelliteHost::new(),
            near: Board::new("near", resources, 100),
            far: Board::new("far", resources, 200),
            up: Wire::new(lost, delay),
            out: Wire::new(lost, delay),
            events: vec![],
        }
    }

    /// One millisecond.
    fn step(&mut self) {
        self.now += 1;
        let (now, time) = (self.now, at(self.now));
        for frame in self.up.take(0, now) {
            self.host.handle(time, &frame);
        }
        while let Some(frame) = self.host.poll_transmit(time, WallTime::from_unix_millis(WALL + now)) {
            assert!(frame.len() <= MAX_FRAME);
            self.up.put(1, now, &frame, &mut self.random);
        }
        while let Some(event) = self.host.poll_event() {
            self.events.push((now, event));
        }
        let mut buffer = [0; MAX_FRAME];
        for frame in self.up.take(1, now) {
            if self.near.runs {
                let input = self.near.satellite.handle(time, &frame);
                if let Some((7, frame)) = self.near.work(now, input) {
                    self.out.put(1, now, &frame, &mut self.random);
                }
            }
        }
        for frame in self.out.take(0, now) {
            if let Some(len) = self.near.satellite.relay(7, &frame, &mut buffer).filter(|_| self.near.runs) {
                self.up.put(0, now, &buffer[..len], &mut self.random);
            }
        }
        for frame in self.out.take(1, now) {
            if self.far.runs {
                let input = self.far.satellite.handle(time, &frame);
                assert!(self.far.work(now, input).is_none());
            }
        }
        for (board, wire) in [(&mut self.near, &mut self.up), (&mut self.far, &mut self.out)] {
            while let Some(resource) = board.satellite.due(time).filter(|_| board.runs) {
                board.satellite.reading(time, resource, Measure::Float(now as f64));
            }
            let due = board.satellite.poll_timeout(time);
            let mut sent = false;
            while let Some(len) = board.satellite.poll_transmit(time, &mut buffer).filter(|_| board.runs) {
                wire.put(0, now, &buffer[..len], &mut self.random);
                sent = true;
            }
            assert!(!sent || due <= time, "something was sent before poll_timeout said so");
        }
    }

    fn run(&mut self, millis: u64) {
        for _ in 0..millis {
            self.step();
        }
    }

    /// Runs until this happens, and gives when.
    fn until(&mut self, most: u64, what: impl Fn(&Event) -> bool) -> u64 {
        let (start, mut seen) = (self.now, self.events.len());
        while self.now < start + most {
            self.step();
            while let Some((when, event)) = self.events.get(seen) {
                seen += 1;
                if what(event) {
                    return when - start;
                }
            }
        }
        panic!("did not happen within {most} ms: {:?}", self.events);
    }
}

/// When, and what.
type Answer = (u64, Result<Option<Measure>, Denied>);

fn joined(name: &'static str) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Joined(about, list) if about.name.as_str() == name && list == &resources())
}

fn behind(what: impl Fn(&Event) -> bool) -> impl Fn(&Event) -> bool {
    move |event| matches!(event, Event::Behind(7, event) if what(event))
}

#[test]
fn a_satellite_joins_is_read_set_and_followed() {
    let list = resources();
    let mut world = World::new(1, 0, 2, &list);
    assert!(world.until(1000, joined("near")) < 100);
    assert!(world.until(2000, behind(joined("far"))) < 1000, "and one behind it");
    assert!(world.near.satellite.is_joined());
    assert_eq!(
        world.near.satellite.wall_time(at(world.now)).map(|it| it.as_unix_millis() / 100),
        Some((WALL + world.now) / 100)
    );
    let request = world.host.read(at(world.now), 0).unwrap();
    assert!(world.until(100, |it| *it == Event::Answered(request, Ok(Some(Measure::Float(21.5))))) < 30);
    let request = world.host.set(at(world.now), 1, Measure::Int(1)).unwrap();
    world.until(100, |it| *it == Event::Answered(request, Ok(None)));
    assert!(world.near.lamp);
    let refused = world.host.set(at(world.now), 1, Measure::Bool(true)).unwrap();
    world.until(100, |it| *it == Event::Answered(refused, Err(Denied::BadValue)));
    let now = at(world.now);
    let far = world.host.behind(7).unwrap();
    let request = far.set(now, 1, Measure::Int(3)).unwrap();
    world.until(200, behind(move |it| *it == Event::Answered(request, Ok(None))));
    assert_eq!(world.far.sets, BTreeMap::from([(3, 1)]));
    world.host.subscribe(0, Some(Duration::from_millis(100))).unwrap();
    world.run(1000);
    let readings =
        |world: &World<'_>| world.events.iter().filter(|(_, it)| matches!(it, Event::Reading { .. })).count();
    assert!((9..=11).contains(&readings(&world)), "{}", readings(&world));
    world.host.subscribe(0, None).unwrap();
    world.run(200);
    let before = readings(&world);
    world.run(500);
    assert_eq!(readings(&world), before);
    world.near.satellite.log(Level::Warn, "hot");
    world.near.satellite.log(Level::Warn, "lost");
    world.until(50, |it| *it == Event::Log(Level::Warn, Text::lossy("hot"), 1));
    assert!(world.host.set(at(world.now), 0, Measure::Int(1)).is_err() && world.host.read(at(world.now), 9).is_err());
    assert_eq!(list[1].description().kind, ResourceKind::Actuator);
    assert_eq!(Value::from(Measure::Int(4)), Value::Int(4));
}

#[test]
fn a_satellite_that_stops_is_noticed_within_three_seconds_and_its_restart_at_once() {
    let list = resources();
    let mut world = World::new(2, 0, 5, &list);
    world.until(2000, behind(joined("far")));
    world.near.runs = false;
    let request = world.host.read(at(world.now), 0).unwrap();
    let noticed = world.until(4000, |it| *it == Event::Lost);
    assert!(noticed <= 3000, "{noticed}");
    assert!(world.events.iter().any(|(_, it)| *it == Event::Answered(request, Err(Denied::Lost))));
    assert!(world.events.iter().any(|(_, it)| *it == Event::Behind(7, Box::new(Event::Lost))), "those behind it, too");
    world.near = Board::new("near", &list, 300);
    assert!(world.until(2000, joined("near")) < 500);
    world.until(4000, behind(joined("far")));
    // It restarts so fast that nobody misses it.
    world.near = Board::new("near", &list, 301);
    world.near.satellite.log(Level::Info, "again");
    let noticed = world.until(1000, |it| *it == Event::Lost);
    assert!(noticed < 500, "{noticed}");
    world.until(1000, joined("near"));
    assert!(world.until(4000, behind(joined("far"))) < 1500, "who is behind it is told that nobody knows it any more");
}

#[test]
fn a_host_that_restarts_has_its_satellites_back_at_once() {
    let list = resources();
    let mut world = World::new(3, 0, 2, &list);
    world.until(2000, behind(joined("far")));
    world.host = SatelliteHost::new();
    assert!(world.until(2000, joined("near")) < 1000);
    world.until(5000, behind(joined("far")));
    // A host that stays away: the satellite notices, and joins when it is back.
    let away = std::mem::replace(&mut world.up, Wire::new(100, 0));
    drop(away);
    world.run(SILENCE.as_millis() as u64 + 600);
    assert!(!world.near.satellite.is_joined());
    world.up = Wire::new(0, 2);
    world.until(2000, joined("near"));
}

#[test]
fn commands_are_carried_out_at_most_once_and_exactly_once_if_answered_on_bad_links() {
    let seeds = if std::env::var_os("TUTTI_LONG_TESTS").is_some() { 300 } else { 12 };
    for seed in 1..=seeds {
        let list = resources();
        let mut world = World::new(seed * 7919, 5 + seed % 20, seed % 40, &list);
        world.until(60_000, joined("near"));
        world.until(60_000, behind(joined("far")));
        let mut asked = BTreeMap::new();
        for value in 0..40i64 {
            let (now, far) = (at(world.now), value % 3 == 0);
            let host = if far { world.host.behind(7) } else { Some(&mut world.host) };
            if let Some(Ok(request)) = host.map(|host| host.set(now, 1, Measure::Int(value))) {
                asked.insert((far, request.0, world.now), value);
            }
            let pause = world.random.below(150);
            world.run(pause);
            if value == 20 && seed % 3 == 0 {
                let session = 1000 + seed as u32;
                let sets = std::mem::take(&mut world.near.sets);
                world.near = Board { sets, ..Board::new("near", &list, session) };
            }
        }
        world.run(12_000);
        let mut answers: BTreeMap<(bool, u16), Vec<Answer>> = BTreeMap::new();
        for (when, event) in &world.events {
            let (far, event) = match event {
                Event::Behind(_, event) => (true, &**event),
                event => (false, event),
            };
            if let Event::Answered(request, outcome) = event {
                answers.entry((far, request.0)).or_default().push((*when, *outcome));
            }
        }
        for ((far, request, when), value) in asked {
            let board = if far { &world.far } else { &world.near };
            let times = board.sets.get(&value).copied().unwrap_or(0);
            let answer = answers[&(far, request)].iter().find(|(then, _)| *then >= when);
            let (_, outcome) = answer.unwrap_or_else(|| panic!("seed {seed}: {value} was never answered"));
            assert!(times <= 1, "seed {seed}: {value} was set {times} times");
            assert!(times == 1 || outcome.is_err(), "seed {seed}: {value} was answered and not set");
        }
        assert!(world.near.sets.len() + world.far.sets.len() > 20, "seed {seed}: hardly anything arrived");
    }
}

#[test]
fn what_a_satellite_can_make_its_host_keep_is_bounded() {
    let list = resources();
    let mut world = World::new(5, 0, 0, &list);
    world.until(1000, joined("near"));
    let now = at(world.now);
    let taken = (0..100).take_while(|_| world.host.read(now, 0).is_ok()).count();
    assert_eq!(taken, tutti_satellite::MAX_REQUESTS);
    // Nobody fetches events any more.
    let mut board = Board::new("near", &list, 1);
    let (mut host, mut buffer) = (SatelliteHost::new(), [0; MAX_FRAME]);
    for millis in 0..3000 {
        let time = at(millis);
        board.satellite.reading(time, 0, Measure::Int(millis as i64));
        while let Some(len) = board.satellite.poll_transmit(time, &mut buffer) {
            host.handle(time, &buffer[..len]);
        }
        while let Some(frame) = host.poll_transmit(time, WallTime::from_unix_millis(0)) {
            board.satellite.handle(time, &frame);
        }
    }
    let events: Vec<_> = std::iter::from_fn(|| host.poll_event()).collect();
    assert_eq!(events.len(), tutti_satellite::MAX_EVENTS);
    assert!(joined("near")(&events[0]), "what cannot be had again is kept");
    // Requests that are never answered, nor anything else: each end comes to its bound and stays well.
    assert!(matches!(events.last(), Some(Event::Reading { .. })));
}

#[test]
fn a_line_of_bytes_carries_frames_and_finds_back_into_step() {
    assert_eq!(checksum(b"123456789"), 0x906e, "the check value of CRC-16/X-25");
    let mut line = [0; line_len(MAX_FRAME)];
    // The examples of the paper, and of its Wikipedia article, without the checksum.
    let len = encode(&[0x11, 0x22, 0x00, 0x33], &mut line).unwrap();
    let crc = checksum(&[0x11, 0x22, 0x00, 0x33]).to_le_bytes();
    assert_eq!(line[..len], [3, 0x11, 0x22, 4, 0x33, crc[0], crc[1], 0]);
    assert_eq!(encode(&[0; MAX_FRAME + 1], &mut line), None);
    let mut decoder = Decoder::default();
    for byte in [9, 9, 9, 0, 0, 0] {
        assert_eq!(decoder.push(byte), None);
    }
    assert_eq!(decoder.dropped(), 1, "nothing is dropped between two zeros");
    let whole = line[..len].iter().find_map(|byte| decoder.push(*byte).map(<[u8]>::to_vec));
    assert_eq!(whole, Some(vec![0x11, 0x22, 0x00, 0x33]));
    for _ in 0..2000 {
        assert_eq!(decoder.push(7), None);
    }
    decoder.push(0);
    assert_eq!(decoder.dropped(), 2, "too long");
}

proptest! {
    #[test]
    fn every_frame_crosses_a_line(frame in prop::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..MAX_FRAME)) {
        let mut line = vec![0; line_len(frame.len())];
        let len = encode(&frame, &mut line).unwrap();
        prop_assert_eq!(line[..len].iter().position(|&byte| byte == 0), Some(len - 1), "one zero, at the end");
        let mut decoder = Decoder::default();
        let mut got = None;
        for &byte in &line[..len] {
            got = decoder.push(byte).map(<[u8]>::to_vec);
        }
        prop_assert_eq!(got, Some(frame));
    }

    #[test]
    fn damage_is_noticed(frame in prop::collection::vec(any::<u8>(), 1..100), at in any::<usize>(), flip in 1u8..=255) {
        let mut line = vec![0; line_len(frame.len())];
        let len = encode(&frame, &mut line).unwrap();
        let at = at % len;
        line[at] ^= flip;
        let mut decoder = Decoder::default();
        for &byte in line[..len].iter().chain(&[0]) {
            if let Some(got) = decoder.push(byte) {
                // One byte differs: the checksum sees every burst of up to 16 bits; a moved zero may by chance not.
                prop_assert!(got != frame || line[at] == 0 || got.is_empty());
            }
        }
    }
}

proptest! {
    // Each case joins first, which takes a simulated second.
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_bytes_do_nothing(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..40)) {
        let list = resources();
        let mut world = World::new(9, 0, 0, &list);
        world.until(2000, behind(joined("far")));
        for frame in frames {
            world.host.handle(at(world.now), &frame);
            world.near.satellite.handle(at(world.now), &frame);
        }
        world.run(50);
        prop_assert!(world.host.joined().is_some() && world.near.satellite.is_joined());
    }
}
