//! Two real processes that share nothing from birth: memory and doorbells are passed over a Unix socket, then messages
//! go through them; one of the two is killed, and another takes its place.

use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tutti_amp_host::{EventBell, Mapping, SharedMemory, socket};
use tutti_metal::{DeviceAddr, Monotonic, Mutexed};
use tutti_rpmsg::{Address, Heap, Host, HostSetup, Link, Name, Platform, Remote, RemoteSetup};
use tutti_virtio::{Features, Layout, QueueSize, Vring};

const SOCKET: &str = "TUTTI_TWO_PROCESSES_SOCKET";
const DEVICE: DeviceAddr = DeviceAddr(0x3ed0_0000);
const LONG: Duration = Duration::from_secs(20);

enum Process {}

impl Platform for Process {
    type Memory = SharedMemory;
    type Doorbell = EventBell;
    type Locks = Mutexed;
    type Storage = Heap;
}

fn vrings(memory: &SharedMemory) -> [Vring<SharedMemory>; 2] {
    let size = QueueSize::new(32).unwrap();
    [0, 0x2000].map(|at| Vring::new(memory.clone(), Layout::legacy(size, 4096, at).unwrap()).unwrap())
}

fn features() -> Features {
    tutti_rpmsg::F_NS.with(Features::EVENT_IDX)
}

/// Not a test: the other process, when it is told where the socket is. It echoes until it is killed, or nobody has
/// asked for a while.
#[test]
fn the_other_process() {
    let Some(path) = std::env::var_os(SOCKET) else { return };
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let [file, rings_them, rings_us]: [_; 3] = socket::receive(&stream).unwrap().try_into().unwrap();
    let memory = Mapping::open(file, DEVICE).unwrap();
    let mut setup = RemoteSetup::new(vrings(&memory), memory);
    setup.features = features();
    let link = Link::<Process, Remote>::new(setup, EventBell::from_fd(rings_them), Heap { endpoints: 8 }).unwrap();
    let (bell, clock) = (EventBell::from_fd(rings_us), Monotonic::default());
    let echo = link.endpoint(Some(Name::new("echo").unwrap()), Address::ANY).unwrap();
    while let Some(asked) = echo.receive_within(LONG, &clock, &bell).unwrap() {
        let mut bytes = vec![0; asked.len()];
        asked.read(0, &mut bytes).unwrap();
        let to = asked.source();
        drop(asked);
        echo.send_within(to, &bytes, LONG, &clock, &bell).unwrap();
    }
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the other process, and passes it all that it needs.
fn start(path: &Path, listener: &UnixListener, passed: [&dyn AsFd; 3]) -> Running {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_other_process"]).env(SOCKET, path).stdin(Stdio::null()).stdout(Stdio::null());
    let child = Running(command.spawn().unwrap());
    let (stream, _) = listener.accept().unwrap();
    socket::send(&stream, &passed.map(AsFd::as_fd)).unwrap();
    child
}

#[test]
fn messages_pass_between_processes_and_outlive_one_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let memory = Mapping::create(0x2_0000, DEVICE).unwrap();
    let (rings_us, rings_them) = (EventBell::create().unwrap(), EventBell::create().unwrap());
    let again = |bell: &EventBell| EventBell::from_fd(bell.as_fd().try_clone_to_owned().unwrap());
    let mut setup = HostSetup::new(vrings(&memory), memory.clone(), 0x4000);
    setup.features = features();
    let link = Link::<Process, Host>::new(setup, again(&rings_them), Heap { endpoints: 8 }).unwrap();
    let caller = link.endpoint(None, Address::ANY).unwrap();
    let clock = Monotonic::default();

    for life in 0..3u32 {
        let other = start(&path, &listener, [memory.keeper(), &rings_us, &rings_them]);
        let start = Instant::now();
        let to = loop {
            link.poll().unwrap();
            if let Some(service) = link.service(0) {
                break service.address;
            }
            assert!(start.elapsed() < LONG, "the other process announced nothing");
            std::thread::sleep(Duration::from_millis(1));
        };
        for round in 0..1491 {
            let sent: Vec<u8> = (0..round % 497).map(|i| (i + round + life) as u8).collect();
            caller.send_within(to, &sent, LONG, &clock, &rings_us).unwrap();
            let back = caller.receive_within(LONG, &clock, &rings_us).unwrap().expect("an echo in time");
            let mut got = vec![0; back.len()];
            back.read(0, &mut got).unwrap();
            assert_eq!(got, sent, "round {round} of life {life}");
        }
        // Killed with a message on its way; then everything starts anew.
        caller.try_send(to, b"never answered, or too late").unwrap();
        drop(other);
        link.reset(features());
        assert!(link.service(0).is_none());
    }
}
