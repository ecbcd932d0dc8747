//! The example apps, each told what a person and the world would tell it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::*;
use crate::runtime::{host::Did, input::Hand};

const SKETCH: &[u8] = include_bytes!("../../../../../apps/built/sketch.wasm");
const RELAY: &[u8] = include_bytes!("../../../../../apps/built/relay.wasm");

/// What an app was last seen to show on its screen.
fn shapes(did: &Did) -> Option<&[Shape]> {
    did.acts.iter().rev().find_map(|act| if let Act::Show { shapes, .. } = act { Some(&shapes[..]) } else { None })
}

/// Moves a pointer over the sketch as the page says it, and gives what is shown then.
fn draw(app: &mut Running, hand: &mut Hand, value: &str) -> Option<Vec<Shape>> {
    let event = hand.event("screen", &Value::Text(value.into())).expect("a pointer or a key");
    shapes(&app.handle(&event).unwrap()).map(<[_]>::to_vec)
}

fn line(from: (u16, u16), to: (u16, u16)) -> Shape {
    Shape::Line(from, to)
}

#[test]
fn a_line_that_is_begun_on_one_screen_is_drawn_on_on_another() {
    let (mut app, mut hand) = (start(Kind::Cranelift, SKETCH), Hand::default());
    let first = app.handle(&Event::Started).unwrap();
    assert!(matches!(shapes(&first), Some([Shape::Label(..)])), "an empty sheet says what to do: {first:?}");
    assert_eq!(draw(&mut app, &mut hand, "0.9 0.9 0"), None, "a pointer that is up draws nothing");
    assert_eq!(draw(&mut app, &mut hand, "0.1 0.1 1").unwrap(), [line((100, 100), (100, 100))]);
    assert_eq!(draw(&mut app, &mut hand, "0.2 0.1 1").unwrap(), [line((100, 100), (200, 100))]);
    assert_eq!(draw(&mut app, &mut hand, "0.201 0.101 1"), None, "a hand that trembles draws nothing");
    // Between two events it goes to another device, in the middle of the line.
    let (image, patch) = app.snapshot(None).unwrap();
    let mut there = start(Kind::Pulley, SKETCH);
    let arrived = Patch::parse(&patch.emit().unwrap(), 64).unwrap().apply(there.fresh().unwrap()).unwrap();
    assert_eq!(arrived, image);
    there.restore(&arrived, app.kept().clone()).unwrap();
    let shown = there.handle(&Event::Resumed).unwrap();
    assert_eq!(shapes(&shown).unwrap(), [line((100, 100), (200, 100))], "the drawing is on the other screen");
    let two = [line((100, 100), (200, 100)), line((200, 100), (200, 300))];
    assert_eq!(draw(&mut there, &mut hand, "0.2 0.3 1").unwrap(), two);
    assert_eq!(draw(&mut there, &mut hand, "0.2 0.3 0"), None);
    assert_eq!(draw(&mut there, &mut hand, "0.5 0.5 0"), None, "the line has ended");
    assert_eq!(draw(&mut there, &mut hand, "0.5 0.5 1").unwrap().len(), 3);
    assert_eq!(draw(&mut there, &mut hand, "z").unwrap(), two);
    assert!(matches!(draw(&mut there, &mut hand, "c").unwrap()[..], [Shape::Label(..)]));
    assert_eq!(draw(&mut there, &mut hand, "q"), None);
}

/// Whoever draws and draws gets room from what was drawn first, and every event stays within what an event may send.
#[test]
fn a_full_sheet_makes_room() {
    let (mut app, mut hand) = (start(Kind::Cranelift, SKETCH), Hand::default());
    app.handle(&Event::Started).unwrap();
    let mut most = 0;
    for n in 0..4_000u32 {
        let (x, y) = (n * 7 % 100, n * 13 % 100);
        // Lines of some hundred points, the first of them a very long one.
        let buttons = u32::from(n < 3_500 || n % 100 != 0);
        let shown = draw(&mut app, &mut hand, &format!("0.{x:02} 0.{y:02} {buttons}"));
        most = most.max(shown.map_or(0, |it| it.len()));
    }
    assert!((2_900..=3_000).contains(&most), "{most}");
    let did = app.handle(&told("lines")).unwrap();
    let [Act::Send { body, .. }] = &did.acts[..] else { panic!("{did:?}") };
    let told = String::from_utf8(body.clone()).unwrap();
    let points: u32 = told.split(' ').nth(2).unwrap().parse().unwrap();
    assert!(points <= 3_000, "{told}");
}

/// What the relay set its actuator to, if it did.
fn set(did: &Did) -> Option<Value> {
    did.acts.iter().find_map(|act| match act {
        Act::Set { name, value } if name == "actuator" => Some(value.clone()),
        _ => None,
    })
}

/// A house with a clock, in milliseconds.
#[derive(Clone)]
struct House(Arc<AtomicU64>);

impl Default for House {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(5_000)))
    }
}

impl Resources for House {
    fn now(&mut self) -> WallTime {
        WallTime::from_unix_millis(self.0.load(Ordering::Relaxed))
    }

    fn random(&mut self, _: &mut [u8]) {}

    fn find(&mut self, name: &str) -> Result<Option<String>, Failure> {
        match name {
            "sensor" | "actuator" => Ok(Some(format!("kitchen/{name}"))),
            _ => Err(Failure::UnknownName),
        }
    }

    fn read(&mut self, _: &str) -> Result<Reading, Failure> {
        Err(Failure::NotThere)
    }
}

fn relay() -> Running {
    relay_in(House::default())
}

fn relay_in(house: House) -> Running {
    let engine = Engine::new(Kind::Cranelift, None).unwrap();
    let mut app = engine.load(RELAY).unwrap().start(Limits::default(), Box::new(house)).unwrap();
    app.handle(&Event::Started).unwrap();
    app
}

fn measured(app: &mut Running, value: f64) -> Option<Value> {
    let reading = Reading { value: Value::Float(value), at: WallTime::from_unix_millis(5_000) };
    set(&app.handle(&Event::Reading("sensor".into(), reading)).unwrap())
}

/// What it answers.
fn asked(app: &mut Running, text: &str) -> String {
    let did = app.handle(&told(text)).unwrap();
    let answer =
        did.acts.iter().find_map(|act| if let Act::Send { body, .. } = act { Some(body.clone()) } else { None });
    String::from_utf8(answer.unwrap()).unwrap()
}

#[test]
fn a_rule_holds_with_room_between_its_marks() {
    let house = House::default();
    let mut app = relay_in(house.clone());
    assert_eq!(app.kept().follows["sensor"], 1000);
    let (on, off) = (Some(Value::Bool(true)), Some(Value::Bool(false)));
    let steps = [(20.0, &off), (24.5, &None), (25.0, &None), (25.1, &on), (24.5, &None), (24.0, &None), (23.9, &off)];
    for (value, expected) in steps {
        assert_eq!(&measured(&mut app, value), expected, "at {value}");
    }
    // Another actuator is set as the rule says.
    assert_eq!(measured(&mut app, 30.0), on);
    assert_eq!(set(&app.handle(&Event::Changed("actuator".into(), true)).unwrap()), on);
    // It does not stay on for a sensor that says nothing any more.
    assert_eq!(app.kept().timers[&1], WallTime::from_unix_millis(65_000));
    assert_eq!(set(&app.handle(&Event::Timer(1)).unwrap()), None, "not yet");
    house.0.store(65_000, Ordering::Relaxed);
    assert_eq!(set(&app.handle(&Event::Timer(1)).unwrap()), off);
    assert_eq!(measured(&mut app, 30.0), on);
}

#[test]
fn its_settings_are_kept_and_what_is_wrong_with_them_is_said() {
    let mut app = relay();
    assert_eq!(measured(&mut app, 21.0), Some(Value::Bool(false)));
    for (words, named) in [
        ("above", "wants a value"),
        ("below 30", "over above"),
        ("above x", "\"x\""),
        ("heat 1", "heat"),
        ("on NaN", "NaN"),
    ] {
        let answer = asked(&mut app, words);
        assert!(answer.contains(named), "{words}: {answer}");
    }
    assert_eq!(
        asked(&mut app, "above 20.5 below 19 on 80 off 0.5 silent 0"),
        "above 20.5 below 19 on 80 off 0.5 silent 0; on, 21"
    );
    assert!(app.kept().timers.is_empty());
    assert_eq!(measured(&mut app, 18.0), Some(Value::Float(0.5)));
    assert_eq!(measured(&mut app, 22.0), Some(Value::Int(80)));
    // A later version begins anew, with the same settings.
    let engine = Engine::new(Kind::Cranelift, None).unwrap();
    let mut next = engine.load(RELAY).unwrap().start(Limits::default(), Box::new(House::default())).unwrap();
    let kv = app.kept().kv.clone();
    let fresh = next.fresh().unwrap().clone();
    next.restore(&fresh, Kept { kv, ..Kept::default() }).unwrap();
    next.handle(&Event::Started).unwrap();
    assert!(asked(&mut next, "show").starts_with("above 20.5 below 19 on 80 off 0.5 silent 0; nothing done yet"));
}

/// Built by `apps/daily/build.sh`, which the layer `apps` runs; too large to be kept.
#[test]
#[ignore = "needs TUTTI_DAILY_WASM, the component that apps/daily/build.sh makes"]
fn an_app_in_python_runs_and_says_why_it_cannot_be_moved() {
    let file = std::env::var_os("TUTTI_DAILY_WASM").expect("TUTTI_DAILY_WASM");
    let component = std::fs::read(file).unwrap();
    let engine = Arc::new(Engine::new(Kind::Cranelift, None).unwrap());
    let _ticking = Ticking::new(&engine);
    let app = engine.load(&component).unwrap();
    let why = app.obstacle().expect("it cannot be moved").to_string();
    assert!(why.starts_with("it cannot be moved while it runs: "), "{why}");
    let house = House::default();
    let limits = Limits { memory: 64 << 20, ..Limits::default() };
    let mut app = app.start(limits, Box::new(house.clone())).unwrap();
    app.handle(&Event::Started).unwrap();
    assert_eq!(app.kept().follows["sensor"], 60_000);
    assert_eq!(asked(&mut app, "show"), "no readings yet");
    for value in [20.0, 21.0, 25.0] {
        measured(&mut app, value);
    }
    assert_eq!(asked(&mut app, "show"), "3 readings: lowest 20.00, highest 25.00, median 21.00, wavers by 2.16");
    assert!(matches!(app.snapshot(None), Err(CarryError::Obstacle(_))));
    // Each hour.
    house.0.store(3_605_000, Ordering::Relaxed);
    assert_eq!(app.handle(&Event::Timer(1)).unwrap().log.len(), 1);
}
