//! What an app does to others on the same device, in the worst case: nothing but take its share.
//!
//! The app `hostile` of `apps/built` does what a message tells it to. What each misdeed ends with is in the tests of the runtime; here it is what the
//! neighbours notice, and what a package that lies gets.
#![cfg(feature = "runtime")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ed25519_dalek::SigningKey;
use tutti_app::{
    ids::InstanceId,
    package::{Grant, NotGranted, Package, Version},
    runtime::{
        Engine, Kind, Limits, TICK,
        host::{Act, Event, Failure, Resources},
    },
    snapshot::PAGE,
};
use tutti_model::{DeviceId, Name, Reading, WallTime};

const HOSTILE: &[u8] = include_bytes!("../../../apps/built/hostile.wasm");
const COUNTER: &[u8] = include_bytes!("../../../apps/built/counter.wasm");

/// It says that it wants nothing, and little of it.
const LIES: &str = r#"
name = "hostile"
version = "0.2.0"
about = "Harmless"

[limits]
memory-kib = 2048
"#;

struct Nothing;

impl Resources for Nothing {
    fn now(&mut self) -> WallTime {
        WallTime::default()
    }

    fn random(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
    }

    fn find(&mut self, _: &str) -> Result<Option<String>, Failure> {
        Err(Failure::UnknownName)
    }

    fn read(&mut self, _: &str) -> Result<Reading, Failure> {
        Err(Failure::UnknownName)
    }
}

fn told(text: &str) -> Event {
    Event::Message(InstanceId::from_bytes([1; 16]), text.as_bytes().to_vec())
}

/// What goes on until it is dropped.
struct Busy(Arc<AtomicBool>, Vec<JoinHandle<()>>);

impl Busy {
    fn new() -> Self {
        Self(Arc::new(AtomicBool::new(false)), Vec::new())
    }

    fn go(&mut self, mut step: impl FnMut() + Send + 'static) {
        let stop = self.0.clone();
        self.1.push(thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                step();
            }
        }));
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        for thread in self.1.drain(..) {
            // One that has panicked has said so.
            let _ = thread.join();
        }
    }
}

/// The promise is 20 ms, on a machine that is otherwise idle: `app.neighbour.p99` measures it. Here it is that nobody waits for a hostile app's turn to
/// end, which takes 100 ms each time.
#[test]
fn neighbours_of_hostile_apps_are_served() {
    let engine = Arc::new(Engine::new(Kind::Cranelift, None).unwrap());
    let mut counter = engine.load(COUNTER).unwrap().start(Limits::default(), Box::new(Nothing)).unwrap();
    let ended = Arc::new(AtomicU32::new(0));
    // The clock ends last: without it nothing ends an app that loops.
    let mut clock = Busy::new();
    let ticking = engine.clone();
    clock.go(move || {
        ticking.tick();
        thread::sleep(TICK);
    });
    let mut busy = Busy::new();
    for what in ["loop", "recursion", "memory", "kv", "panic"] {
        let (app, ended) = (engine.load(HOSTILE).unwrap(), ended.clone());
        busy.go(move || {
            let mut it = app.start(Limits { memory: 8 << 20, ticks: 20 }, Box::new(Nothing)).unwrap();
            let result = it.handle(&told(what));
            assert_eq!(result.is_err(), what != "kv", "{what}");
            ended.fetch_add(1, Ordering::Relaxed);
        });
    }
    let mut times = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1500) || ended.load(Ordering::Relaxed) < 20 {
        let at = Instant::now();
        counter.handle(&told("add 1")).unwrap();
        times.push(at.elapsed());
        thread::sleep(Duration::from_millis(1));
        assert!(begun.elapsed() < Duration::from_secs(60), "the hostile apps are not ended");
    }
    drop(busy);
    let did = counter.handle(&told("show")).unwrap();
    let [Act::Send { body, .. }] = &did.acts[..] else { panic!("{did:?}") };
    assert!(body.starts_with(format!("{} ", times.len()).as_bytes()), "it has counted everything");
    times.sort();
    let p99 = times[times.len() * 99 / 100];
    assert!(p99 < Duration::from_millis(90), "{p99:?} of {} events", times.len());
}

/// A manifest is a claim: what it does not ask for it does not get, and its limits hold whatever the component does.
#[test]
fn a_manifest_that_lies_gains_nothing() {
    let key = SigningKey::from_bytes(&[5; 32]);
    let package = Package::parse(&Package::make(LIES, HOSTILE, None, &key).unwrap()).unwrap();
    let author = DeviceId::from_bytes(key.verifying_key().to_bytes());
    let grant =
        Grant { author, name: Name::new("hostile").unwrap(), floor: Version(0, 2, 0), wants: vec![], memory_kib: 2048 };
    assert_eq!(grant.covers(&package), Ok(()));
    let memory = package.manifest().limits.memory_kib as usize * 1024;
    let engine = Engine::new(Kind::Cranelift, None).unwrap();
    let app = engine.load(package.component()).unwrap();
    let start = || app.start(Limits { memory, ticks: 1000 }, Box::new(Nothing)).unwrap();
    // What it did not name is not there for it.
    let said = start().handle(&told("names")).unwrap().log.pop().unwrap().1;
    assert_eq!(said, "[false, false, false, false, false]");
    // It grows to its limit and not beyond, and is ended.
    let mut it = start();
    it.handle(&told("fill 1024")).unwrap();
    assert!(it.capture().unwrap().size() <= memory);
    let mut it = start();
    assert!(it.handle(&told("fill 4096")).is_err());
    // An older version of itself, with another lie, is not what was allowed.
    let older = LIES.replace("0.2.0", "0.1.9");
    let older = Package::parse(&Package::make(&older, HOSTILE, None, &key).unwrap()).unwrap();
    assert_eq!(grant.covers(&older), Err(NotGranted::Downgrade { floor: Version(0, 2, 0) }));
    // More memory than it was allowed is asked for in vain, and so is less than the component needs.
    let larger = LIES.replace("2048", "4096");
    let larger = Package::parse(&Package::make(&larger, HOSTILE, None, &key).unwrap()).unwrap();
    assert_eq!(grant.covers(&larger), Err(NotGranted::Memory));
    assert!(app.start(Limits { memory: PAGE / 2, ticks: 1000 }, Box::new(Nothing)).is_err());
}
