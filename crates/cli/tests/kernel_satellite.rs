//! A remote core that announces itself to the Linux kernel, in the pool: part of the layer `linux-peer`, which builds the kernel.
//!
//! The kernel is user-mode Linux (`TUTTI_LINUX`). Its RPMsg bus leads, by virtio, to a thread of this test, which is the remote core: our
//! remote end of RPMsg, with the satellite protocol on it. In the kernel run this test once more, as its first program, and a device.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the layer reads how each part went")]

mod support;
#[path = "../../amp/host/tests/uml/mod.rs"]
mod uml;

use std::{
    fs,
    io::Write as _,
    os::unix::{fs::FileTypeExt, net::UnixListener},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::{
    fs::{CWD, FileType, Mode, makedev, mknodat},
    mount::{MountFlags, mount},
};
use support::device::{Device, Plan, TUTTI, eventually};
use tutti_amp_host::vhost::{CallBell, Connection, Event, GuestMemory, Offer, Rings, Unsealed};
use tutti_metal::Mutexed;
use tutti_model::{BootTime, Name, ResourceKind, Text, Unit};
use tutti_rpmsg::{Address, Heap, Link, Platform, Remote};
use tutti_satellite::{About, Denied, Input, MAX_FRAME, Measure, Resource, Satellite};
use uml::{Linux, again, program, setting, this_program};

/// The whole run takes some fifteen seconds.
const LIMIT: Duration = Duration::from_secs(180);
const INSIDE: &str = "TUTTI_INSIDE_LINUX";
const S: fn(u64) -> Duration = Duration::from_secs;

#[test]
fn a_core_that_announces_itself_to_the_kernel_is_in_the_pool() {
    let Some(kernel) = std::env::var_os("TUTTI_LINUX") else {
        eprintln!("skipped: `cargo xtask test linux-peer` builds the kernel and runs this");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("rpmsg");
    let mut files = this_program();
    files.extend(program(Path::new(TUTTI), TUTTI.trim_start_matches('/')));
    let silent = Arc::new(AtomicBool::new(false));
    let listener = UnixListener::bind(&socket).unwrap();
    let core = silent.clone();
    std::thread::spawn(move || remote_core(&listener, &core));

    let mut plug = setting("virtio_uml.device=", &socket);
    plug.push(":7");
    let words = again(INSIDE).into_iter().chain([plug]);
    let linux = Linux::start(Path::new(&kernel), folder.path(), &files, "1280M", words);
    linux.passes(LIMIT, &[], "kernel-satellite.log", |line, typed| {
        if ["BE SILENT", "SPEAK"].contains(&line) {
            silent.store(line == "BE SILENT", Ordering::Relaxed);
            writeln!(typed, "done").unwrap();
        }
    });
}

// --- the remote core -------------------------------------------------------------------------------------------

enum Vhost {}

impl Platform for Vhost {
    type Memory = GuestMemory;
    type Doorbell = CallBell;
    type Locks = Mutexed;
    type Storage = Heap;
}

/// Serves the kernel until the test ends.
fn remote_core(listener: &UnixListener, silent: &AtomicBool) {
    let (socket, _) = listener.accept().unwrap();
    // User-mode Linux does not seal its memory; here it is as trusted as this test.
    let mut connection = Connection::new(socket, Offer::default(), Unsealed::Accept).unwrap();
    loop {
        match connection.step(Duration::from_millis(50)) {
            Ok(Event::Started(rings)) => live(&mut connection, &rings, silent),
            Ok(_) => {}
            Err(_) => return,
        }
    }
}

/// One life of its firmware: a temperature and a lamp.
fn live(connection: &mut Connection, rings: &Rings, silent: &AtomicBool) {
    let link = Link::<Vhost, Remote>::new(rings.setup(), rings.bell.clone(), Heap { endpoints: 8 }).unwrap();
    let open = |name| link.endpoint(tutti_rpmsg::Name::new(name).ok(), Address::ANY).unwrap();
    let (end, other) = (open("tutti-satellite"), open("something-else"));
    let resource = |name: &str, kind, unit: &str, writable| Resource {
        name: Name::new(name).unwrap(),
        kind,
        unit: Unit::new(unit).unwrap(),
        readable: true,
        writable,
        simulated: true,
    };
    let resources = [
        resource("die-temperature", ResourceKind::Sensor, "°C", false),
        resource("lamp", ResourceKind::Actuator, "", true),
    ];
    let about = About {
        name: Name::new("brain").unwrap(),
        architecture: Text::lossy("thread"),
        os: Text::lossy("none"),
        firmware: Text::lossy("1"),
    };
    let mut satellite = Satellite::<4>::new(about, &resources, 7);
    let (born, mut lamp, mut bytes) = (Instant::now(), false, [0; MAX_FRAME]);
    loop {
        let now = BootTime::from_nanos(u64::try_from(born.elapsed().as_nanos()).unwrap());
        let value = |resource, lamp| if resource == 0 { Measure::Float(41.5) } else { Measure::Bool(lamp) };
        while let Some(message) = end.try_receive().unwrap() {
            let frame = &mut bytes[..message.len()];
            message.read(0, frame).unwrap();
            match satellite.handle(now, frame) {
                Some(Input::Read { request, resource }) => satellite.answer(request, Ok(Some(value(resource, lamp)))),
                Some(Input::Set { request, resource: 1, measure: Measure::Bool(on) }) => {
                    lamp = on;
                    satellite.answer(request, Ok(None));
                }
                Some(Input::Set { request, .. }) => satellite.answer(request, Err(Denied::BadValue)),
                _ => {}
            }
        }
        while other.try_receive().unwrap().is_some() {}
        while let Some(resource) = satellite.due(now) {
            satellite.reading(now, resource, value(resource, lamp));
        }
        while !silent.load(Ordering::Relaxed)
            && let Ok(peer) = end.peer()
            && let Some(len) = satellite.poll_transmit(now, &mut bytes)
        {
            let _ = end.try_send(peer, &bytes[..len]);
        }
        let patience = if link.listen().unwrap() { Duration::ZERO } else { Duration::from_millis(10) };
        match connection.step(patience) {
            Ok(Event::Stopping) => return connection.halted(link.halt()),
            Ok(_) => _ = link.on_interrupt().unwrap(),
            Err(_) => return,
        }
    }
}

// --- what runs in the kernel -----------------------------------------------------------------------------------

/// Not a test of its own.
#[test]
fn inside() {
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    println!();
    prepare();
    let begun = Instant::now();
    fs::create_dir("/here").unwrap();
    let box_ = Plan::new(Path::new("/here"), "box").start();
    let joined = joined(&box_);
    println!("ok satellite joined: {joined:?} after the device was up");
    let view = box_.view_of("brain").unwrap();
    assert_eq!((&view["via"], &view["kind"]), (&box_.id().into(), &"core".into()));
    let links = box_.json(&["satellite", "ls"]);
    let link = links[0]["link"].as_str().unwrap();
    assert!(link.starts_with("rpmsg:virtio") && link.contains("tutti-satellite"), "{links}");
    assert_eq!(
        (links.as_array().unwrap().len(), &links[0]["state"]),
        (1, &"joined".into()),
        "no other service: {links}"
    );
    let refused = box_.run(&["satellite", "disconnect", links[0]["name"].as_str().unwrap()]);
    assert!(!refused.ok && refused.err.contains("as long as a core announces it"), "{}", refused.err);

    box_.must(&["set", "brain/lamp", "on"]);
    assert_eq!(box_.json(&["read", "brain/lamp"])["value"], true);
    println!("ok satellite used: its lamp is on");

    ask("BE SILENT");
    let took = eventually(S(4), "it is gone", || box_.view_of("brain").is_none());
    println!("ok satellite gone: {took:?} after its last word");
    ask("SPEAK");
    self::joined(&box_);

    // One endpoint for one that was killed and one that came after it.
    let files = endpoints();
    let box_ = box_.kill().start();
    self::joined(&box_);
    assert_eq!(box_.json(&["read", "brain/lamp"])["value"], true, "the core has not noticed");
    assert_eq!((endpoints(), files), (1, 1));
    println!("ok satellite again: after the device was killed; {:?} in all", begun.elapsed());
    box_.stop();
    assert_eq!(endpoints(), 0, "a device that goes takes its endpoint with it");
    println!("ALL PASSED");
}

fn joined(device: &Device) -> Duration {
    eventually(S(10), "it is read", || device.reading("brain/die-temperature") == Ok(41.5))
}

fn ask(what: &str) {
    println!("{what}");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).unwrap();
}

fn prepare() {
    for (kind, place) in [("proc", "/proc"), ("sysfs", "/sys")] {
        fs::create_dir_all(place).unwrap();
        mount(kind, place, kind, MountFlags::empty(), None).unwrap();
    }
    for (name, minor) in [("null", 3), ("zero", 5), ("urandom", 9)] {
        node(&format!("/dev/{name}"), 1, minor);
    }
    // Here is no devtmpfs and no udev.
    std::thread::spawn(|| {
        loop {
            for entry in fs::read_dir("/sys/class/rpmsg").into_iter().flatten().flatten() {
                let file = Path::new("/dev").join(entry.file_name());
                let number = fs::read_to_string(entry.path().join("dev")).unwrap_or_default();
                if let Some((major, minor)) = number.trim().split_once(':')
                    && !file.exists()
                {
                    node(file.to_str().unwrap(), major.parse().unwrap(), minor.parse().unwrap());
                }
            }
            let _ = fs::read_dir("/dev").unwrap().flatten().try_for_each(|entry| {
                let gone = entry.file_name().to_string_lossy().starts_with("rpmsg")
                    && entry.file_type().is_ok_and(|kind| kind.is_char_device())
                    && !Path::new("/sys/class/rpmsg").join(entry.file_name()).exists();
                if gone { fs::remove_file(entry.path()) } else { Ok(()) }
            });
            std::thread::sleep(Duration::from_millis(10));
        }
    });
}

fn node(path: &str, major: u32, minor: u32) {
    mknodat(CWD, path, FileType::CharacterDevice, Mode::from_raw_mode(0o666), makedev(major, minor)).unwrap();
}

/// How many endpoints the kernel has for programs.
fn endpoints() -> usize {
    let entries = fs::read_dir("/sys/class/rpmsg").into_iter().flatten().flatten();
    entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with("rpmsg_ctrl")).count()
}
