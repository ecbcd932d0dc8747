//! What running and moving apps costs, with the app `hostile`, whose memory grows as it is told.
//!
//! - `app.dispatch.warm`: one event into a warm instance, what it did collected; beside it the same call in bare wasmtime, by turns.
//! - `app.dispatch.more`: how much more that is, the median over the turns.
//! - `app.neighbour.p99`: an event of an instance while four others loop, recurse, eat memory and flood their storage.
//! - `app.start.cached`: from the component's bytes to a fresh instance, native code in the cache.
//! - `app.idle.host`: resident memory of each of 1,000 idle instances, what it has of its own memory included.
//! - `app.move.SIZE.work`: what stands between the last event here and the first there once the state was copied beforehand and 5 % of its pages have
//!   changed since: capture, difference, bytes, reading, applying, restoring. No network and no disk: those are the node's. Its parts are `.capture`,
//!   `.differ` (up to bytes), `.follow` (from bytes to an image) and `.restore` (up to the first event there).
//! - `app.move.SIZE.whole`: the same without a copy beforehand, as a stop and restart with the state in a file would have it.
//! - `app.snapshot.SIZE.rate`: a whole snapshot, from the guest's memory to bytes.
//! - `app.checkpoint.SIZE.take`: what a checkpoint for a standby adds while the app stands still, 5 % of the pages changed; and `.follow`: what it takes
//!   the standby to go on from it.
//!
//! With the argument `moves` only the last three groups.
#![allow(clippy::print_stdout, reason = "it is a benchmark")]

use std::{
    hint::black_box,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use tutti_app::{
    ids::InstanceId,
    runtime::{
        App, Engine, Kind, Limits, Running,
        host::{Event, Failure, Resources},
    },
    snapshot::{Image, MAX_PAGES, PAGE, Patch},
    step::{self, HEAD, Kept},
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
    println!("{}", json!({ "name": name, "value": value, "unit": unit }));
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

/// The component's `resumed`, called as wasmtime alone would, with what it imports left out.
fn bare() -> impl FnMut() {
    let engine = wasmtime::Engine::default();
    let component = wasmtime::component::Component::from_binary(&engine, APP).expect("it is a component");
    let mut linker = wasmtime::component::Linker::new(&engine);
    linker.define_unknown_imports_as_traps(&component).expect("it imports functions");
    let mut store = wasmtime::Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &component).expect("it starts");
    let events = instance.get_export_index(&mut store, None, "tutti:app/events@0.1.0").expect("it handles events");
    let resumed = instance.get_export_index(&mut store, Some(&events), "resumed").expect("it can be resumed");
    let resumed = instance.get_typed_func::<(), ()>(&mut store, resumed).expect("it takes nothing");
    move || resumed.call(&mut store, ()).expect("it is well")
}

/// One event each millisecond or so, while others do their worst.
fn neighbour(engine: &Arc<Engine>) -> f64 {
    let stop = Arc::new(AtomicBool::new(false));
    let ticks = Limits { memory: 8 << 20, ticks: 20 };
    let mut threads = Vec::new();
    for what in ["loop", "recursion", "memory", "kv"] {
        let (engine, stop) = (engine.clone(), stop.clone());
        threads.push(std::thread::spawn(move || {
            let app = engine.load(APP).expect("it is an app");
            while !stop.load(Ordering::Relaxed) {
                let mut it = app.start(ticks, Box::new(Nothing)).expect("it starts");
                let _ = it.handle(&told(what));
            }
        }));
    }
    // The clock ends last: without it nothing ends an app that loops.
    let (ended, clock) = (Arc::new(AtomicBool::new(false)), engine.clone());
    let ends = ended.clone();
    let ticking = std::thread::spawn(move || {
        while !ends.load(Ordering::Relaxed) {
            clock.tick();
            std::thread::sleep(tutti_app::runtime::TICK);
        }
    });
    let app = engine.load(APP).expect("it is an app");
    let mut it = app.start(LIMITS, Box::new(Nothing)).expect("it starts");
    let mut times: Vec<Duration> = (0..3000)
        .map(|_| {
            std::thread::sleep(Duration::from_millis(1));
            time(|| _ = it.handle(&Event::Resumed).expect("it is well")).0
        })
        .collect();
    stop.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|thread| thread.join().expect("it ends"));
    ended.store(true, Ordering::Relaxed);
    ticking.join().expect("it ends");
    times.sort();
    times[times.len() * 99 / 100].as_secs_f64()
}

/// What computing a move costs.
fn moves(app: &App, name: &str, kib: usize) {
    let started = || app.start(LIMITS, Box::new(Nothing)).expect("it starts");
    let (mut wholes, mut works, mut parts) = (Vec::new(), Vec::new(), [const { Vec::new() }; 4]);
    for _ in 0..9 {
        let mut here = started();
        here.handle(&told(&format!("fill {kib}"))).expect("it has the memory");
        let fresh = here.fresh().expect("it can be carried").clone();
        // What the target has before the pause, or what stopping and beginning again with the state in a file takes.
        let (took, (base, mut there, arrived)) = time(|| {
            let (base, first) = here.snapshot(None).expect("it can be carried");
            let bytes = first.emit().expect("it is small enough");
            let mut there = started();
            let arrived = Patch::parse(&bytes, MAX_PAGES).and_then(|it| it.apply(&fresh)).expect("it is sound");
            there.restore(&arrived, here.kept().clone()).expect("it fits");
            (base, there, arrived)
        });
        wholes.push(took);
        here.handle(&told(&format!("touch {}", kib / 20))).expect("it is well");
        let (capture, now) = time(|| here.capture().expect("it can be carried"));
        let (differ, bytes) = time(|| now.since(&base).emit().expect("it is small enough"));
        let (follow, image) =
            time(|| Patch::parse(&bytes, MAX_PAGES).and_then(|it| it.apply(&arrived)).expect("it is sound"));
        let (restore, _) = time(|| {
            there.restore(&image, here.kept().clone()).expect("it fits");
            there.handle(&Event::Resumed).expect("it is well");
        });
        let all = [capture, differ, follow, restore];
        works.push(all.iter().sum());
        parts.iter_mut().zip(all).for_each(|(part, took)| part.push(took));
    }
    row(&format!("app.move.{name}.work"), median(works) * 1e3, "ms");
    for (part, took) in ["capture", "differ", "follow", "restore"].into_iter().zip(parts) {
        row(&format!("app.move.{name}.work.{part}"), median(took) * 1e3, "ms");
    }
    row(&format!("app.move.{name}.whole"), median(wholes) * 1e3, "ms");
}

/// What a checkpoint costs at home and at its standby.
fn checkpoints(app: &App, name: &str, kib: usize) {
    let sealed = |patch: &Patch| step::emit(&Kept::default(), &patch.emit().expect("it is small enough"));
    let (mut takes, mut follows, mut wholes) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..9 {
        let mut here = app.start(LIMITS, Box::new(Nothing)).expect("it starts");
        here.handle(&told(&format!("fill {kib}"))).expect("it has the memory");
        let fresh = here.fresh().expect("it can be carried").clone();
        let (took, (base, first)) = time(|| {
            let (base, first) = here.snapshot(None).expect("it can be carried");
            (base, sealed(&first))
        });
        wholes.push(took);
        let standby = followed(&fresh, &first);
        here.handle(&told(&format!("touch {}", kib / 20))).expect("it is well");
        let (took, (_, patch)) = time(|| here.snapshot(Some(&base)).expect("it can be carried"));
        takes.push(took);
        let bytes = sealed(&patch);
        follows.push(time(|| followed(&standby, &bytes)).0);
    }
    row(&format!("app.snapshot.{name}.rate"), kib as f64 / 1024.0 / median(wholes), "MiB/s");
    row(&format!("app.checkpoint.{name}.take"), median(takes) * 1e3, "ms");
    row(&format!("app.checkpoint.{name}.follow"), median(follows) * 1e3, "ms");
}

/// The state that a step leads to.
fn followed(before: &Image, bytes: &[u8]) -> Image {
    let (head, bodies) = bytes.split_first_chunk::<HEAD>().expect("it has a head");
    let (kept, patch) = bodies.split_at(step::lengths(head, MAX_PAGES as usize * PAGE).expect("it is small enough").0);
    let step = step::parse(head, kept, patch.to_vec()).expect("it is sound");
    Patch::parse(&step.patch, MAX_PAGES).and_then(|patch| patch.apply(before)).expect("it follows")
}

/// What events and idle instances cost.
fn events(app: &App, cache: &Path) {
    let mut running = app.start(LIMITS, Box::new(Nothing)).expect("it starts");
    let event = Event::Resumed;
    let each = |running: &mut Running| {
        let (took, ()) = time(|| (0..1000).for_each(|_| _ = black_box(running.handle(&event).expect("it is well"))));
        took / 1000
    };
    let mut bare = bare();
    let mut alone = || time(|| (0..1000).for_each(|_| bare())).0 / 1000;
    each(&mut running);
    alone();
    // By turns, each first as often as the other.
    let turns: Vec<_> = (0..101)
        .map(|turn| {
            let first = (turn % 2 == 0).then(&mut alone);
            let ours = each(&mut running);
            (ours, first.unwrap_or_else(&mut alone))
        })
        .collect();
    let more = turns.iter().map(|(ours, bare)| ours.saturating_sub(*bare)).collect();
    let (ours, bare): (Vec<_>, Vec<_>) = turns.into_iter().unzip();
    let warm = json!({
        "name": "app.dispatch.warm", "value": median(ours) * 1e6, "unit": "us",
        "reference": "bare wasmtime", "reference_value": median(bare) * 1e6,
    });
    println!("{warm}");
    row("app.dispatch.more", median(more) * 1e6, "us");

    let before = resident();
    let idle: Vec<Running> = (0..1000).map(|_| app.start(LIMITS, Box::new(Nothing)).expect("it starts")).collect();
    row("app.idle.host", (resident() - before) / 1000.0, "KiB");
    drop(idle);

    let engine = Arc::new(Engine::new(Kind::Cranelift, Some(cache)).expect("an engine"));
    row("app.neighbour.p99", neighbour(&engine) * 1e3, "ms");
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
    if std::env::args().all(|argument| argument != "moves") {
        events(app, folder.path());
    }
    for (name, kib) in [("64kib", 64), ("1mib", 1024), ("64mib", 64 * 1024)] {
        moves(app, name, kib);
        checkpoints(app, name, kib);
    }
}
