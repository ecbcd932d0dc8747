//! What running and moving apps costs, with the app `hostile`, whose memory grows as it is told.
//!
//! - `app.dispatch.warm`: one event into a warm instance, what it did collected.
//! - `app.start.cached`: from the component's bytes to a fresh instance, native code in the cache.
//! - `app.idle.host`: resident memory of each of 1,000 idle instances beside its own memory.
//! - `app.move.SIZE.work`: what stands between the last event here and the first there once the state was copied beforehand and 5 % of its pages have
//!   changed since: capture, difference, bytes, reading, applying, restoring. No network and no disk: those are the node's.
//! - `app.move.SIZE.whole`: the same without a copy beforehand, as a stop and restart with the state in a file would have it.
#![allow(clippy::print_stdout, reason = "it is a benchmark")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use tutti_app::{
    ids::InstanceId,
    runtime::{
        Engine, Kind, Limits, Running,
        host::{Event, Failure, Resources},
    },
    snapshot::{MAX_PAGES, Patch},
};
use tutti_model::{Reading, WallTime};

const APP: &[u8] = include_bytes!("../../../apps/built/hostile.wasm");
const LIMITS: Limits = Limits { memory: 256 << 20, ticks: 1_000_000 };

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

fn row(name: &str, value: f64, unit: &str) {
    println!("{}", serde_json::json!({ "name": name, "value": value, "unit": unit }));
}

fn told(text: &str) -> Event {
    Event::Message(InstanceId::from_bytes([1; 16]), text.as_bytes().to_vec())
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_secs_f64()
}

fn time<T>(run: impl FnOnce() -> T) -> (Duration, T) {
    let begun = Instant::now();
    let result = run();
    (begun.elapsed(), result)
}

fn resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("it is Linux");
    let pages: f64 = text.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("the second number");
    pages * 4.0
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = Engine::new(Kind::Cranelift, Some(folder.path())).expect("an engine");
    engine.load(APP).expect("it is an app");
    let (starts, apps): (Vec<_>, Vec<_>) = (0..20)
        .map(|_| {
            time(|| {
                let app = engine.load(APP).expect("it is an app");
                let running = app.start(LIMITS, Box::new(Nothing)).expect("it starts");
                (app, running)
            })
        })
        .unzip();
    row("app.start.cached", median(starts) * 1e3, "ms");

    let (app, _) = &apps[0];
    let mut running = app.start(LIMITS, Box::new(Nothing)).expect("it starts");
    let event = Event::Resumed;
    let each = |running: &mut Running| {
        let (took, ()) = time(|| (0..1000).for_each(|_| _ = black_box(running.handle(&event).expect("it is well"))));
        took / 1000
    };
    each(&mut running);
    row("app.dispatch.warm", median((0..51).map(|_| each(&mut running)).collect()) * 1e6, "us");

    let before = resident();
    let idle: Vec<Running> = (0..1000).map(|_| app.start(LIMITS, Box::new(Nothing)).expect("it starts")).collect();
    let own: usize = idle.iter().filter_map(|it| it.fresh().map(|image| image.memory().len())).sum();
    row("app.idle.host", (resident() - before - own as f64 / 1024.0) / 1000.0, "KiB");
    drop(idle);

    for (name, kib) in [("64kib", 64), ("1mib", 1024), ("64mib", 64 * 1024)] {
        let (mut pauses, mut wholes) = (Vec::new(), Vec::new());
        for _ in 0..9 {
            let mut here = app.start(LIMITS, Box::new(Nothing)).expect("it starts");
            here.handle(&told(&format!("fill {kib}"))).expect("it has the memory");
            let (base, first) = here.snapshot(None).expect("it can be carried");
            let bytes = first.emit().expect("it is small enough");
            let fresh = here.fresh().expect("it can be carried").clone();
            wholes.push(
                time(|| {
                    let (_, patch) = here.snapshot(None).expect("it can be carried");
                    let bytes = patch.emit().expect("it is small enough");
                    let mut there = app.start(LIMITS, Box::new(Nothing)).expect("it starts");
                    let image = Patch::parse(&bytes, MAX_PAGES).and_then(|it| it.apply(&fresh)).expect("it is sound");
                    there.restore(&image, here.kept().clone()).expect("it fits");
                })
                .0,
            );
            // What the target did while the source still ran.
            let mut there = app.start(LIMITS, Box::new(Nothing)).expect("it starts");
            let arrived = Patch::parse(&bytes, MAX_PAGES).and_then(|it| it.apply(&fresh)).expect("it is sound");
            there.restore(&arrived, here.kept().clone()).expect("it fits");
            here.handle(&told(&format!("touch {}", kib / 20))).expect("it is well");
            pauses.push(
                time(|| {
                    let (_, patch) = here.snapshot(Some(&base)).expect("it can be carried");
                    let bytes = patch.emit().expect("it is small enough");
                    let image = Patch::parse(&bytes, MAX_PAGES).and_then(|it| it.apply(&arrived)).expect("it is sound");
                    there.advance(&arrived, &image, here.kept().clone()).expect("it fits");
                    there.handle(&Event::Resumed).expect("it is well");
                })
                .0,
            );
        }
        row(&format!("app.move.{name}.work"), median(pauses) * 1e3, "ms");
        row(&format!("app.move.{name}.whole"), median(wholes) * 1e3, "ms");
    }
}
