//! Real apps in real engines. The apps are those of `apps/built`; `hostile` does as it is told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use tutti_model::{Reading, Value, WallTime};

use super::{
    host::{Act, Failure, Kept, Level, Resources, Shape},
    *,
};
use crate::ids::InstanceId;

mod examples;

const COUNTER: &[u8] = include_bytes!("../../../../apps/built/counter.wasm");
const THERMO: &[u8] = include_bytes!("../../../../apps/built/thermo.wasm");
const HOSTILE: &[u8] = include_bytes!("../../../../apps/built/hostile.wasm");
const FRIEND: InstanceId = InstanceId::from_bytes([3; 16]);

struct Desk;

impl Resources for Desk {
    fn now(&mut self) -> WallTime {
        WallTime::from_unix_millis(1_000)
    }

    fn random(&mut self, bytes: &mut [u8]) {
        bytes.fill(4);
    }

    fn find(&mut self, name: &str) -> Result<Option<String>, Failure> {
        match name {
            "screen" => Ok(Some("desk/screen".into())),
            "thermometer" => Ok(Some("kitchen/cpu-temperature".into())),
            _ => Err(Failure::UnknownName),
        }
    }

    fn read(&mut self, name: &str) -> Result<Reading, Failure> {
        self.find(name)?;
        Ok(Reading { value: Value::Float(21.5), at: WallTime::from_unix_millis(1) })
    }
}

fn start(kind: Kind, app: &[u8]) -> Running {
    let engine = Engine::new(kind, None).unwrap();
    engine.load(app).unwrap().start(Limits::default(), Box::new(Desk)).unwrap()
}

fn told(text: &str) -> Event {
    Event::Message(FRIEND, text.as_bytes().to_vec())
}

/// What the counter says of itself.
fn shown(running: &mut Running) -> String {
    let did = running.handle(&told("show")).unwrap();
    let [Act::Send { to, body }] = &did.acts[..] else { panic!("{did:?}") };
    assert_eq!(*to, FRIEND);
    String::from_utf8(body.clone()).unwrap()
}

#[test]
fn an_app_is_told_and_does() {
    let mut counter = start(Kind::Cranelift, COUNTER);
    counter.handle(&Event::Started).unwrap();
    assert_eq!(counter.kept().timers[&1], WallTime::from_unix_millis(61_000));
    let did = counter.handle(&told("add 5")).unwrap();
    let [Act::Show { name, shapes }] = &did.acts[..] else { panic!("{did:?}") };
    assert_eq!((name.as_str(), &shapes[..]), ("screen", &[Shape::Label((500, 500), 200, "5".into())][..]));
    counter.handle(&Event::Key("screen".into(), "-".into())).unwrap();
    assert_eq!(shown(&mut counter), "4 (4 5)");

    let mut thermo = start(Kind::Cranelift, THERMO);
    thermo.handle(&Event::Started).unwrap();
    assert_eq!(thermo.kept().follows["thermometer"], 1000);
    let reading = Reading { value: Value::Float(19.25), at: WallTime::from_unix_millis(1) };
    let did = thermo.handle(&Event::Reading("thermometer".into(), reading)).unwrap();
    let [Act::Show { shapes, .. }] = &did.acts[..] else { panic!("{did:?}") };
    let labels: Vec<_> =
        shapes.iter().filter_map(|it| if let Shape::Label(_, _, it) = it { Some(it) } else { None }).collect();
    assert_eq!(labels, ["kitchen/cpu-temperature", "19.2"]);
}

/// From native code to an interpreter and back; each step through bytes.
#[test]
fn a_running_app_crosses_engines_with_its_state() {
    let mut home = start(Kind::Cranelift, COUNTER);
    home.handle(&Event::Started).unwrap();
    let mut expected = 0;
    for (step, kind) in [Kind::Pulley, Kind::Cranelift, Kind::Pulley, Kind::Cranelift].into_iter().enumerate() {
        for n in 0..300 {
            home.handle(&told(&format!("add {n}"))).unwrap();
            expected += n;
        }
        let before = shown(&mut home);
        assert!(before.starts_with(&format!("{expected} (")), "{before}");
        let (image, patch) = home.snapshot(None).unwrap();
        let bytes = patch.emit().unwrap();
        let mut next = start(kind, COUNTER);
        let fresh = next.fresh().unwrap();
        assert_eq!(fresh, home.fresh().unwrap(), "a fresh instance is the same on every engine");
        let arrived = Patch::parse(&bytes, 64).unwrap().apply(fresh).unwrap();
        assert_eq!(arrived, image);
        next.restore(&arrived, home.kept().clone()).unwrap();
        assert_eq!(read(&mut next), image, "what was put is what is there");
        assert_eq!(shown(&mut next), before);
        assert_eq!(next.kept(), home.kept());
        assert!(bytes.len() < 16_384, "step {step}: {} bytes", bytes.len());
        home = next;
    }
}

/// The state as its memory has it, whatever is known of it.
fn read(running: &mut Running) -> Image {
    (running.known, running.moved_on) = (None, true);
    running.capture().unwrap()
}

#[test]
fn a_state_that_is_taken_or_put_is_that_of_the_memory() {
    let mut it = start(Kind::Cranelift, HOSTILE);
    it.handle(&told("fill 300")).unwrap();
    let first = it.capture().unwrap();
    let kept = it.kept().clone();
    for touched in [1, 7, 300] {
        it.handle(&told(&format!("touch {touched}"))).unwrap();
        let image = it.capture().unwrap();
        assert!(image != first);
        assert_eq!(it.capture().unwrap(), image);
        assert_eq!(read(&mut it), image);
        // Back, over what it did since it was last looked at.
        it.handle(&told("touch 13")).unwrap();
        it.restore(&first, kept.clone()).unwrap();
        assert_eq!(it.capture().unwrap(), first);
        assert_eq!(read(&mut it), first);
    }
}

#[test]
fn what_follows_a_checkpoint_is_small_and_enough() {
    let mut home = start(Kind::Cranelift, HOSTILE);
    home.handle(&told("fill 1024")).unwrap();
    let (base, first) = home.snapshot(None).unwrap();
    home.handle(&told("send")).unwrap();
    let (last, second) = home.snapshot(Some(&base)).unwrap();
    assert!(second.size() * 20 < first.size(), "{} after {}", second.size(), first.size());
    let fresh = home.fresh().unwrap().clone();
    assert_eq!(second.apply(&first.apply(&fresh).unwrap()).unwrap(), last);
    assert!(matches!(second.apply(&fresh), Err(SnapshotError::OtherBase)));
}

#[test]
fn an_app_that_was_not_built_to_be_carried_says_so_when_it_is_loaded() {
    assert_eq!(carry::check_component(COUNTER), Ok(()));
    let engine = Engine::new(Kind::Cranelift, None).unwrap();
    assert!(engine.load(COUNTER).unwrap().obstacle().is_none());
    assert!(engine.load(b"\0asm\x0d\0\x01\0").is_err());
    assert!(matches!(carry::check_component(b"\0asm\x0d\0\x01\0"), Err(Obstacle::NotInstrumented)));
    assert!(matches!(carry::check_component(b"\0asm"), Err(Obstacle::Invalid(_))));
}

/// Ticks an engine until it is dropped.
struct Ticking(Arc<AtomicBool>, Option<std::thread::JoinHandle<()>>);

impl Ticking {
    fn new(engine: &Arc<Engine>) -> Self {
        let (stop, engine) = (Arc::new(AtomicBool::new(false)), engine.clone());
        let seen = stop.clone();
        let thread = std::thread::spawn(move || {
            while !seen.load(Ordering::Relaxed) {
                engine.tick();
                std::thread::sleep(TICK);
            }
        });
        Self(stop, Some(thread))
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        if let Some(thread) = self.1.take() {
            let _ = thread.join();
        }
    }
}

#[test]
fn hostile_apps_are_ended_with_a_reason() {
    for kind in [Kind::Cranelift, Kind::Pulley] {
        let engine = Arc::new(Engine::new(kind, None).unwrap());
        let _ticking = Ticking::new(&engine);
        let app = engine.load(HOSTILE).unwrap();
        let limits = Limits { memory: 8 << 20, ticks: 20 };
        for (what, reason) in
            [("loop", "too long"), ("recursion", "recursed"), ("memory", "unreachable"), ("panic", "unreachable")]
        {
            let mut it = app.start(limits, Box::new(Desk)).unwrap();
            let begun = Instant::now();
            let trap = it.handle(&told(what)).unwrap_err();
            assert!(trap.reason.contains(reason), "{kind:?} {what}: {trap}");
            assert!(begun.elapsed() < Duration::from_secs(5), "{kind:?} {what}: {:?}", begun.elapsed());
            assert!(it.handle(&Event::Resumed).is_err(), "what was ended stays so");
        }
    }
}

#[test]
fn what_is_too_much_is_refused_and_the_app_goes_on() {
    let engine = Engine::new(Kind::Cranelift, None).unwrap();
    let app = engine.load(HOSTILE).unwrap();
    let mut it = app.start(Limits::default(), Box::new(Desk)).unwrap();
    let said = |it: &mut Running, what: &str| it.handle(&told(what)).unwrap().log.pop().unwrap().1;
    assert_eq!(said(&mut it, "timers"), "64");
    assert_eq!(said(&mut it, "show"), "64");
    let kv: usize = said(&mut it, "kv").parse().unwrap();
    assert!((500..host::MAX_KV / 100).contains(&kv), "{kv}");
    let sent: usize = said(&mut it, "send").parse().unwrap();
    assert!((50..=64).contains(&sent), "{sent}");
    assert_eq!(said(&mut it, "names"), "[false, false, false, false, false]");
    assert_eq!(said(&mut it, "random"), "1024");
    let log = it.handle(&told("log")).unwrap().log;
    assert_eq!((log.len(), log.last().unwrap().0), (host::MAX_LINES, Level::Warn));
    assert!(it.kept().is_sound());
}

#[test]
fn a_snapshot_edited_by_hand_harms_nobody_but_its_app() {
    let engine = Arc::new(Engine::new(Kind::Cranelift, None).unwrap());
    let _ticking = Ticking::new(&engine);
    let app = engine.load(COUNTER).unwrap();
    let image = start(Kind::Cranelift, COUNTER).capture().unwrap();
    for seed in 0..40u64 {
        let mut it = app.start(Limits { ticks: 20, ..Limits::default() }, Box::new(Desk)).unwrap();
        let mut state = seed;
        let mut memory = image.memory();
        for byte in &mut memory {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if (state >> 60) == 0 {
                *byte = (state >> 40) as u8;
            }
        }
        let globals = image.globals().iter().map(|it| it ^ (state >> 50)).collect();
        it.restore(&Image::new(globals, memory), Kept::default()).unwrap();
        // It works, or it is ended; nothing else.
        let _ = it.handle(&told("add 1"));
    }
    let mut it = app.start(Limits::default(), Box::new(Desk)).unwrap();
    let large = Image::new(image.globals().to_vec(), vec![0; 1 << 30]);
    assert!(matches!(it.restore(&large, Kept::default()), Err(CarryError::Snapshot(SnapshotError::TooLarge))));
}

#[test]
fn native_code_is_kept_in_the_folder_and_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let load = || {
        let begun = Instant::now();
        Engine::new(Kind::Cranelift, Some(folder.path())).unwrap().load(COUNTER).unwrap();
        begun.elapsed()
    };
    let (cold, warm) = (load(), load());
    assert!(warm < cold, "{warm:?} is not less than {cold:?}");
}
