//! Our device against the front end of the `vhost` crate, with our own driver in the memory behind it.

mod common;

use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tutti_amp_host::vhost::{Connection, Offer, Unsealed, VhostError};
use tutti_amp_host::{Mapping, SharedMemory};
use tutti_metal::{DeviceAddr, Doorbell, Memory, Mutexed};
use tutti_rpmsg::{Address, Heap, Host, HostSetup, Link, Name, Platform};
use tutti_virtio::{Features, Layout, QueueSize, Vring};
use vhost::vhost_user::message::{VhostUserConfigFlags, VhostUserProtocolFeatures as Protocol};
use vhost::vhost_user::{Frontend, VhostUserFrontend};
use vhost::{VhostBackend, VhostUserMemoryRegionInfo, VringConfigData};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

const ENTRIES: u16 = 64;
const LONG: Duration = Duration::from_secs(10);

enum Driver {}

impl Platform for Driver {
    type Memory = SharedMemory;
    type Doorbell = Kicks;
    type Locks = Mutexed;
    type Storage = Heap;
}

#[derive(Clone)]
struct Kicks(Arc<[EventFd; 2]>);

impl Doorbell for Kicks {
    fn ring(&self, queue: u32) {
        let _ = self.0[queue as usize].write(1);
    }
}

/// A device in a thread, and a front end that is connected to it.
struct Machine {
    front: Frontend,
    memory: SharedMemory,
    kicks: Kicks,
    calls: [EventFd; 2],
    over: Arc<AtomicBool>,
    device: Option<JoinHandle<Result<(), VhostError>>>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let _ = self.device.take().map(JoinHandle::join);
    }
}

fn pair() -> [EventFd; 2] {
    [0, 1].map(|_| EventFd::new(EFD_NONBLOCK).unwrap())
}

impl Machine {
    fn new() -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&over);
        let offer = Offer { config: vec![0x00, 0x02, 0, 0, 9], ..Offer::default() };
        let mut connection = Connection::new(theirs, offer, Unsealed::Refuse).unwrap();
        let device = std::thread::spawn(move || common::serve(&mut connection, &|| ends.load(Ordering::SeqCst)));
        let memory = Mapping::create(1 << 20, DeviceAddr(0x4000_0000)).unwrap();
        let mut front = Frontend::from_stream(ours, 2);
        front.set_owner().unwrap();
        let features = front.get_features().unwrap();
        assert_eq!(features & (1 << 32 | 1 << 30 | 3 << 28 | 1), 1 << 32 | 1 << 30 | 3 << 28 | 1);
        front.set_features(features).unwrap();
        let protocol = front.get_protocol_features().unwrap();
        front.set_protocol_features(protocol).unwrap();
        assert!(protocol.contains(Protocol::MQ | Protocol::CONFIG | Protocol::REPLY_ACK | Protocol::BACKEND_REQ));
        front.set_hdr_flags(vhost::vhost_user::message::VhostUserHeaderFlag::NEED_REPLY);
        let device = Some(device);
        let mut it = Self { front, memory, kicks: Kicks(Arc::new(pair())), calls: pair(), over, device };
        it.share_memory();
        it
    }

    fn share_memory(&mut self) {
        let region = VhostUserMemoryRegionInfo {
            guest_phys_addr: self.memory.device_base().0,
            memory_size: self.memory.len() as u64,
            userspace_addr: self.memory.pointer(0).unwrap() as u64,
            mmap_offset: 0,
            mmap_handle: self.memory.keeper().as_fd().as_raw_fd(),
        };
        self.front.set_mem_table(&[region]).unwrap();
    }

    /// The modern layout: three tables wherever they are.
    fn layout(queue: usize) -> Layout {
        let at = 0x8000 * queue;
        let size = QueueSize::new(u32::from(ENTRIES)).unwrap();
        Layout { size, descriptors: at + 0x4000, available: at + 0x1002, used: at + 0x2004 }
    }

    fn start(&mut self, base: [u16; 2]) {
        let user = self.memory.pointer(0).unwrap() as u64;
        for (queue, base) in base.into_iter().enumerate() {
            let layout = Self::layout(queue);
            self.front.set_vring_num(queue, ENTRIES).unwrap();
            let at = VringConfigData {
                queue_max_size: ENTRIES,
                queue_size: ENTRIES,
                flags: 0,
                desc_table_addr: user + layout.descriptors as u64,
                used_ring_addr: user + layout.used as u64,
                avail_ring_addr: user + layout.available as u64,
                log_addr: None,
            };
            self.front.set_vring_addr(queue, &at).unwrap();
            self.front.set_vring_base(queue, base).unwrap();
            self.front.set_vring_call(queue, &self.calls[queue]).unwrap();
            self.front.set_vring_kick(queue, &self.kicks.0[queue]).unwrap();
            self.front.set_vring_enable(queue, true).unwrap();
        }
        // The driver is ready, and the device may send.
        self.kicks.ring(0);
    }

    /// A driver that starts anew.
    fn link(&self, features: Features) -> Link<Driver, Host> {
        let vring = |queue| Vring::new(self.memory.clone(), Self::layout(queue)).unwrap();
        let mut setup = HostSetup::new([vring(0), vring(1)], self.memory.clone(), 0x2_0000);
        setup.features = features;
        Link::new(setup, self.kicks.clone(), Heap { endpoints: 32 }).unwrap()
    }
}

fn all() -> Features {
    Offer::default().features
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < LONG, "{what}: not within {LONG:?}");
        std::thread::sleep(Duration::from_micros(50));
    }
}

fn service(link: &Link<Driver, Host>, name: &str) -> Option<Address> {
    link.poll().unwrap();
    let name = Name::new(name).unwrap();
    (0..).map_while(|index| link.service(index)).find(|it| it.name == name).map(|it| it.address)
}

/// Echoes of messages of these lengths, each checked.
fn echo(link: &Link<Driver, Host>, to: Address, lengths: impl IntoIterator<Item = usize>) {
    let end = link.endpoint(None, Address::ANY).unwrap();
    for (round, len) in lengths.into_iter().enumerate() {
        let sent: Vec<u8> = (0..len).map(|i| (i * 31 + round) as u8).collect();
        until("a buffer", || end.try_send(to, &sent).ok());
        let back = until("an echo", || end.try_receive().unwrap());
        let mut got = vec![0; back.len()];
        back.read(0, &mut got).unwrap();
        assert_eq!(got, sent, "round {round}");
    }
}

#[test]
fn messages_of_every_size_are_echoed_over_an_announced_service() {
    let mut machine = Machine::new();
    let link = machine.link(all());
    machine.start([0, 0]);
    let raw = until("rpmsg-raw", || service(&link, "rpmsg-raw"));
    assert!(service(&link, "rpmsg-tty").is_some());
    echo(&link, raw, 0..=496);
    echo(&link, common::ECHO, (0..=496).rev());
}

#[test]
fn without_event_indices_and_indirect_descriptors_it_works_too() {
    let mut machine = Machine::new();
    let few = all().0 & !(3 << 28) | 1 << 30;
    machine.front.set_features(few).unwrap();
    let link = machine.link(Features(few));
    machine.start([0, 0]);
    let raw = until("rpmsg-raw", || service(&link, "rpmsg-raw"));
    echo(&link, raw, 0..100);
}

#[test]
fn names_come_and_go_in_both_directions() {
    let mut machine = Machine::new();
    let link = machine.link(all());
    machine.start([0, 0]);
    let ours = link.endpoint(Some(Name::new("ours").unwrap()), Address(40)).unwrap();
    let orders = link.endpoint(None, Address::ANY).unwrap();
    let order = |text: &str| {
        until("a buffer", || orders.try_send(common::CONTROL, text.as_bytes()).ok());
        let answer = until(text, || orders.try_receive().unwrap());
        let mut bytes = vec![0; answer.len()];
        answer.read(0, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(order("services"), "ours@40");
    drop(ours);
    assert_eq!(order("services"), "");
    let address: u32 = order("open lamp").parse().unwrap();
    assert_eq!(until("lamp", || service(&link, "lamp")), Address(address));
    assert_eq!(order("close"), "closed");
    until("no lamp", || service(&link, "lamp").is_none().then_some(()));
}

#[test]
fn a_driver_that_is_bound_again_finds_everything_anew() {
    let mut machine = Machine::new();
    for round in 0..5 {
        let link = machine.link(all());
        machine.start([0, 0]);
        let raw = until("rpmsg-raw", || service(&link, "rpmsg-raw"));
        echo(&link, raw, 0..20 + round);
        // As Linux does it, as QEMU does it, and by a reset.
        match round {
            0 | 1 => (0..2).rev().for_each(|queue| machine.front.set_vring_enable(queue, false).unwrap()),
            2 => (0..2).for_each(|queue| _ = machine.front.get_vring_base(queue).unwrap()),
            _ => {
                machine.front.reset_device().unwrap();
                machine.front.set_features(all().0 | 1 << 30).unwrap();
            }
        }
        // The device may not touch the rings any more, so they can be cleared.
        drop(link);
        if round == 1 {
            machine.share_memory();
        }
    }
}

#[test]
fn a_stopped_queue_says_where_it_would_go_on_and_goes_on_there() {
    let mut machine = Machine::new();
    let link = machine.link(all());
    machine.start([0, 0]);
    let raw = until("rpmsg-raw", || service(&link, "rpmsg-raw"));
    let end = link.endpoint(None, Address::ANY).unwrap();
    echo(&link, raw, 0..200);
    for round in 0..3u8 {
        let base = [0, 1].map(|queue| machine.front.get_vring_base(queue).unwrap() as u16);
        assert!(base[0] >= 200 && base[1] >= 200, "{base:?}");
        // Said while nobody is there, and heard by who comes next.
        end.try_send(common::ECHO, &[round; 7]).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        assert!(end.try_receive().unwrap().is_none());
        machine.start(base);
        let back = until("the echo", || end.try_receive().unwrap());
        assert_eq!(back.len(), 7);
        drop(back);
        echo(&link, common::ECHO, 0..50);
    }
}

#[test]
fn memory_that_is_described_anew_while_the_rings_run_is_gone_over_to() {
    let mut machine = Machine::new();
    let link = machine.link(all());
    machine.start([0, 0]);
    let raw = until("rpmsg-raw", || service(&link, "rpmsg-raw"));
    echo(&link, raw, 0..100);
    let end = link.endpoint(None, Address::ANY).unwrap();
    for round in 0..5u8 {
        // Said before, and answered from one memory or the other: once.
        end.try_send(common::ECHO, &[round; 9]).unwrap();
        machine.share_memory();
        let back = until("the echo", || end.try_receive().unwrap());
        assert_eq!((back.len(), back.bytes().get::<u8>(0)), (9, Ok(round)));
        drop(back);
        echo(&link, common::ECHO, 0..60);
        assert!(end.try_receive().unwrap().is_none());
    }
}

#[test]
fn the_config_space_is_there_to_be_read() {
    let mut machine = Machine::new();
    let (_, read) = machine.front.get_config(0, 5, VhostUserConfigFlags::empty(), &[0; 5]).unwrap();
    assert_eq!(read, [0x00, 0x02, 0, 0, 9]);
}

#[test]
fn the_socket_for_requests_of_the_device_is_kept_open() {
    let mut machine = Machine::new();
    let (ours, theirs) = UnixStream::pair().unwrap();
    machine.front.set_backend_request_fd(&theirs).unwrap();
    drop(theirs);
    ours.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    let error = std::io::Read::read(&mut &ours, &mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "it was closed");
}

#[test]
fn a_driver_that_breaks_the_rings_is_survived_and_can_start_anew() {
    let mut machine = Machine::new();
    let link = machine.link(all());
    machine.start([0, 0]);
    let raw = until("rpmsg-raw", || service(&link, "rpmsg-raw"));
    // An index far ahead, on the queue to the device.
    machine.memory.put(Machine::layout(1).available + 2, &0x7000u16).unwrap();
    machine.kicks.ring(1);
    let end = link.endpoint(None, Address::ANY).unwrap();
    let _ = end.try_send(raw, b"unheard");
    std::thread::sleep(Duration::from_millis(100));
    drop(end);
    (0..2).for_each(|queue| machine.front.set_vring_enable(queue, false).unwrap());
    drop(link);
    let link = machine.link(all());
    machine.start([0, 0]);
    let raw = until("rpmsg-raw", || service(&link, "rpmsg-raw"));
    echo(&link, raw, 0..50);
}
