//! A host and a remote, over memory of this process, with and without caches that snoop.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use proptest::prelude::*;
use tutti_metal::testing::Incoherent;
use tutti_metal::{Clock, DeviceAddr, Doorbell, Instant, Local, Memory, Mutexed, Owned, Silent, Sleep, Wake as Woken};
use tutti_rpmsg::{
    Address, Announcement, EndpointError, F_NS, Heap, Host, HostSetup, Inline, Link, Name, Platform, Remote,
    RemoteSetup, SendError,
};
use tutti_virtio::{Features, Layout, QueueSize, Vring};

const BASE: DeviceAddr = DeviceAddr(0x3ed0_0000);

/// A platform over any memory, whose doorbell counts.
struct Desk<M>(core::marker::PhantomData<M>);

#[derive(Clone, Default)]
struct Counter(Rc<Cell<usize>>);

impl Doorbell for Counter {
    fn ring(&self, _: u32) {
        self.0.set(self.0.get() + 1);
    }
}

impl<M: Memory> Platform for Desk<M> {
    type Memory = M;
    type Doorbell = Counter;
    type Locks = Local;
    type Storage = Heap;
}

type HostLink<M> = Link<Desk<M>, Host>;
type RemoteLink<M> = Link<Desk<M>, Remote>;

fn vrings<M: Memory>(memory: &M, n: u32) -> [Vring<M>; 2] {
    let size = QueueSize::new(n).unwrap();
    [0, 0x4000].map(|at| Vring::new(memory.clone(), Layout::legacy(size, 4096, at).unwrap()).unwrap())
}

struct Pair<M: Memory> {
    host: HostLink<M>,
    remote: RemoteLink<M>,
    bells: [Counter; 2],
}

fn pair_over<M: Memory>(near: &M, far: &M, n: u32, features: Features) -> Pair<M> {
    let bells = [Counter::default(), Counter::default()];
    let storage = || Heap { endpoints: 300 };
    let setup = HostSetup { features, ..HostSetup::new(vrings(near, n), near.clone(), 0x8000) };
    let host = Link::new(setup, bells[0].clone(), storage()).unwrap();
    let setup = RemoteSetup { features, ..RemoteSetup::new(vrings(far, n), far.clone()) };
    let remote = Link::new(setup, bells[1].clone(), storage()).unwrap();
    Pair { host, remote, bells }
}

fn pair(n: u32) -> (Owned, Pair<Owned>) {
    let memory = Owned::allocate(0x40000, BASE).unwrap();
    let pair = pair_over(&memory, &memory, n, F_NS);
    (memory, pair)
}

fn text(received: &tutti_rpmsg::Received<'_, impl Platform, impl tutti_rpmsg::Role>) -> Vec<u8> {
    let mut bytes = vec![0; received.len()];
    received.read(0, &mut bytes).unwrap();
    bytes
}

#[test]
fn every_length_up_to_the_buffer_arrives_whole_and_none_is_cut_off() {
    let (_, Pair { host, remote, .. }) = pair(8);
    let (a, b) = (host.endpoint(None, Address(7)).unwrap(), remote.endpoint(None, Address(8)).unwrap());
    for len in 0..=496 {
        let sent: Vec<u8> = (0..len).map(|i| (i + len) as u8).collect();
        a.try_send(b.address(), &sent).unwrap();
        let got = b.try_receive().unwrap().expect("sent");
        assert_eq!((got.source(), got.destination(), text(&got)), (Address(7), Address(8), sent.clone()));
        b.try_send(got.source(), &sent).unwrap();
        drop(got);
        assert_eq!(text(&a.try_receive().unwrap().expect("answered")), sent);
    }
    let long = [0; 497];
    assert_eq!(a.try_send(b.address(), &long), Err(SendError::TooLong { len: 497, most: 496 }));
    assert_eq!(b.try_send(a.address(), &long), Err(SendError::TooLong { len: 497, most: 496 }));
    assert!(b.try_receive().unwrap().is_none() && a.try_receive().unwrap().is_none(), "nothing of it was sent");
}

#[test]
fn names_cross_both_ways_come_and_go() {
    let (_, Pair { host, remote, .. }) = pair(8);
    let name = |text| Name::new(text).unwrap();
    let late = host.endpoint(Some(name("echo")), Address::ANY).unwrap();
    assert_eq!(late.peer(), Err(SendError::NoPeer));
    let echo = remote.endpoint(Some(name("echo")), Address::ANY).unwrap();
    host.poll().unwrap();
    remote.poll().unwrap();
    assert_eq!(host.service(0).map(|service| (service.name, service.address)), Some((name("echo"), echo.address())));
    assert_eq!(late.peer(), Ok(echo.address()), "the endpoint of the same name is bound");
    assert_eq!(echo.peer(), Ok(late.address()), "in both directions, and when the service was there first");
    let address = echo.address();
    drop(echo);
    host.poll().unwrap();
    assert_eq!((host.service(0), late.peer()), (None, Err(SendError::NoPeer)));
    late.try_send(address, b"anybody?").unwrap();
    remote.poll().unwrap();
    assert_eq!(remote.stats().unknown_destination, 1);
    host.endpoint(None, Address(3)).unwrap().try_send(Address::NAME_SERVICE, b"odd").unwrap();
    remote.poll().unwrap();
    assert_eq!(remote.stats().odd_announcement, 1);
}

#[test]
fn without_the_feature_there_is_no_name_service() {
    let memory = Owned::allocate(0x40000, BASE).unwrap();
    let Pair { host, remote, .. } = pair_over(&memory, &memory, 4, Features::NONE);
    let _named = remote.endpoint(Some(Name::new("echo").unwrap()), Address::ANY).unwrap();
    assert_eq!(host.poll(), Ok(0));
    assert_eq!(host.service(0), None);
}

#[test]
fn announcements_wait_for_buffers_instead_of_being_lost() {
    let (_, Pair { host, remote, .. }) = pair(2);
    let names: Vec<_> = (0..9).map(|i| Name::new(&format!("service {i}")).unwrap()).collect();
    let services: Vec<_> = names.iter().map(|&name| remote.endpoint(Some(name), Address::ANY).unwrap()).collect();
    for _ in 0..9 {
        host.poll().unwrap();
        remote.poll().unwrap();
    }
    let mut heard: Vec<_> = (0..).map_while(|i| host.service(i)).map(|service| service.name).collect();
    heard.sort_by_key(|name| name.as_bytes().to_vec());
    assert_eq!(heard, names);
    drop(services);
    for _ in 0..9 {
        host.poll().unwrap();
        remote.poll().unwrap();
    }
    assert_eq!(host.service(0), None, "and so do the farewells");
}

#[test]
fn held_messages_keep_their_buffers_and_the_others_flow_on() {
    let (_, Pair { host, remote, .. }) = pair(4);
    let (a, b) = (host.endpoint(None, Address::ANY).unwrap(), remote.endpoint(None, Address::ANY).unwrap());
    let mut held = Vec::new();
    for i in 0..3u8 {
        a.try_send(b.address(), &[i]).unwrap();
        held.push(b.try_receive().unwrap().unwrap());
    }
    for i in 0..20u8 {
        a.try_send(b.address(), &[i, i]).unwrap();
        assert_eq!(text(&b.try_receive().unwrap().unwrap()), [i, i]);
    }
    a.try_send(b.address(), b"last").unwrap();
    assert_eq!(a.try_send(b.address(), b"more"), Err(SendError::NoBuffer));
    assert!(held.iter().zip(0u8..).all(|(got, i)| text(got) == [i]));
    held.clear();
    assert!(a.try_send(b.address(), b"more").is_ok());
}

#[test]
fn a_loan_that_is_dropped_goes_back_and_one_that_is_staged_leaves_with_the_next() {
    let (_, Pair { host, remote, .. }) = pair(2);
    for (one, other) in [(0, 1), (2, 3)] {
        let (a, b) = (host.endpoint(None, Address(one)).unwrap(), remote.endpoint(None, Address(other)).unwrap());
        for _ in 0..10 {
            let loans = (host.try_loan().unwrap(), host.try_loan().unwrap());
            assert!(matches!(host.try_loan(), Err(SendError::NoBuffer)));
            drop(loans);
        }
        let mut loan = host.try_loan().unwrap();
        assert_eq!(loan.capacity(), 496);
        loan.bytes().write(0, b"staged").unwrap();
        assert!(loan.bytes().write(490, b"too far").is_err());
        loan.stage(a.address(), b.address(), 6).unwrap();
        assert!(b.try_receive().unwrap().is_none());
        a.try_send(b.address(), b"sent").unwrap();
        assert_eq!(text(&b.try_receive().unwrap().unwrap()), b"staged");
        assert_eq!(text(&b.try_receive().unwrap().unwrap()), b"sent");
    }
}

#[test]
fn many_endpoints_each_get_their_own_messages_in_order() {
    let (_, Pair { host, remote, .. }) = pair(16);
    let sender = host.endpoint(None, Address::ANY).unwrap();
    let receivers: Vec<_> = (0..299).map(|_| remote.endpoint(None, Address::ANY).unwrap()).collect();
    let last = remote.endpoint(None, Address(1)).unwrap();
    assert_eq!(remote.endpoint(None, Address(1)).err(), Some(EndpointError::Full { most: 300 }));
    drop(last);
    assert_eq!(remote.endpoint(None, receivers[200].address()).err(), Some(EndpointError::Taken));
    assert_eq!(remote.endpoint(None, Address::NAME_SERVICE).err(), Some(EndpointError::Reserved));
    for first in (0..296).step_by(8) {
        for i in (first..first + 8).rev() {
            sender.try_send(receivers[i].address(), &[i as u8, 0]).unwrap();
            sender.try_send(receivers[i].address(), &[i as u8, 1]).unwrap();
        }
        assert_eq!(sender.try_send(Address(0), b""), Err(SendError::NoBuffer), "sixteen are on their way");
        for (i, receiver) in receivers.iter().enumerate().skip(first).take(8) {
            for part in 0..2 {
                assert_eq!(text(&receiver.try_receive().unwrap().unwrap()), [i as u8, part]);
            }
            assert!(receiver.try_receive().unwrap().is_none());
        }
    }
}

#[test]
fn an_endpoint_that_closes_gives_back_what_waited_for_it() {
    let (_, Pair { host, remote, .. }) = pair(4);
    let a = host.endpoint(None, Address::ANY).unwrap();
    for _ in 0..10 {
        let b = remote.endpoint(None, Address(9)).unwrap();
        for _ in 0..4 {
            a.try_send(Address(9), b"x").unwrap();
        }
        assert_eq!(remote.poll(), Ok(4));
        assert_eq!(b.waiting(), 4);
        assert_eq!(a.try_send(Address(9), b"x"), Err(SendError::NoBuffer));
    }
}

#[test]
fn after_a_reset_of_both_sides_everything_works_again() {
    let (_, Pair { host, remote, .. }) = pair(4);
    let echo = remote.endpoint(Some(Name::new("echo").unwrap()), Address::ANY).unwrap();
    for round in 0..20 {
        host.poll().unwrap();
        assert_eq!(host.service(0).unwrap().address, echo.address(), "announced again in round {round}");
        let a = host.endpoint(None, Address::ANY).unwrap();
        for _ in 0..3 {
            a.try_send(echo.address(), b"old").unwrap();
        }
        let held = echo.try_receive().unwrap().unwrap();
        let stale = (host.try_loan().unwrap(), remote.try_loan().unwrap());
        host.reset(F_NS);
        remote.reset(F_NS);
        assert_eq!(stale.0.send(Address(1), Address(2), 0), Err(SendError::Stale));
        drop((held, stale.1));
        assert!(echo.try_receive().unwrap().is_none(), "what was sent before is gone");
    }
}

#[test]
fn doorbells_ring_when_somebody_listens_and_not_otherwise() {
    for event_idx in [Features::NONE, Features::EVENT_IDX] {
        let memory = Owned::allocate(0x40000, BASE).unwrap();
        let Pair { host, remote, bells } = pair_over(&memory, &memory, 8, F_NS.with(event_idx));
        let (a, b) = (host.endpoint(None, Address::ANY).unwrap(), remote.endpoint(None, Address::ANY).unwrap());
        host.ignore();
        remote.ignore();
        let before = bells[0].0.get();
        for _ in 0..100 {
            a.try_send(b.address(), b"poll").unwrap();
            drop(b.try_receive().unwrap().unwrap());
        }
        assert_eq!((bells[0].0.get(), bells[1].0.get()), (before, 0), "both poll");
        for i in 0..100 {
            assert!(!remote.listen().unwrap());
            a.try_send(b.address(), b"ring").unwrap();
            assert_eq!(bells[0].0.get(), before + i + 1);
            drop(b.try_receive().unwrap().unwrap());
        }
    }
}

/// Time that passes only when somebody sleeps.
#[derive(Default)]
struct Virtual(Cell<u64>);

impl Clock for Virtual {
    fn now(&self) -> Instant {
        Instant(self.0.get())
    }
}

impl Sleep for Virtual {
    fn sleep(&self, at_most: Duration) -> Woken {
        self.0.set(self.0.get() + at_most.as_nanos() as u64 / 2 + 1);
        Woken::TimedOut
    }
}

#[test]
fn waiting_ends() {
    let (_, Pair { host, remote, .. }) = pair(2);
    let (a, b) = (host.endpoint(None, Address::ANY).unwrap(), remote.endpoint(None, Address::ANY).unwrap());
    let time = Virtual::default();
    let within = Duration::from_millis(50);
    assert!(b.receive_within(within, &time, &time).unwrap().is_none());
    assert_eq!(time.now().since(Instant(0)), within);
    a.send_within(b.address(), b"1", within, &time, &time).unwrap();
    a.send_within(b.address(), b"2", within, &time, &time).unwrap();
    assert_eq!(a.send_within(b.address(), b"3", within, &time, &time), Err(SendError::TimedOut));
    assert_eq!(time.now().since(Instant(0)), within * 2);
    assert_eq!(text(&b.receive_within(within, &time, &time).unwrap().unwrap()), b"1");
}

struct CountingWaker(AtomicUsize);
impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn futures_wake_when_a_message_or_a_buffer_comes() {
    let (_, Pair { host, remote, .. }) = pair(2);
    let (a, b) = (host.endpoint(None, Address::ANY).unwrap(), remote.endpoint(None, Address::ANY).unwrap());
    let count = Arc::new(CountingWaker(AtomicUsize::new(0)));
    let waker = Waker::from(count.clone());
    let mut context = Context::from_waker(&waker);
    let mut receive = core::pin::pin!(b.receive());
    assert!(receive.as_mut().poll(&mut context).is_pending());
    let mut send = core::pin::pin!(async {
        for i in 0..3u8 {
            a.send(b.address(), &[i]).await.unwrap();
        }
    });
    assert!(send.as_mut().poll(&mut context).is_pending(), "two buffers, three messages");
    remote.on_interrupt().unwrap();
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
    let Poll::Ready(Ok(first)) = receive.poll(&mut context) else { panic!("it has arrived") };
    drop((first, b.try_receive().unwrap()));
    host.on_interrupt().unwrap();
    assert_eq!(count.0.load(Ordering::Relaxed), 2);
    assert!(send.poll(&mut context).is_ready());
    assert_eq!(text(&b.try_receive().unwrap().unwrap()), [2]);
}

#[test]
fn the_first_bytes_of_a_conversation_are_those_that_linux_expects() {
    let (memory, Pair { host, remote, .. }) = pair(4);
    let echo = remote.endpoint(Some(Name::new("rpmsg-raw").unwrap()), Address::ANY).unwrap();
    let bytes = |at: usize, len| {
        let mut bytes = vec![0; len];
        memory.copy_out(at, &mut bytes).unwrap();
        bytes
    };
    // Queue 0: four writable buffers of 512 bytes on offer, the first one used with 16 + 40 bytes.
    assert_eq!(bytes(0, 16), [0, 0x80, 0xd0, 0x3e, 0, 0, 0, 0, 0, 2, 0, 0, 2, 0, 0, 0]);
    assert_eq!(bytes(64, 12), [0, 0, 4, 0, 0, 0, 1, 0, 2, 0, 3, 0]);
    assert_eq!(bytes(4096, 12), [0, 0, 1, 0, 0, 0, 0, 0, 56, 0, 0, 0]);
    let mut expected = vec![0, 4, 0, 0, 53, 0, 0, 0, 0, 0, 0, 0, 40, 0, 0, 0];
    expected.extend(Announcement { name: Name::new("rpmsg-raw").unwrap(), address: Address(1024), alive: true }.emit());
    assert_eq!(bytes(0x8000, 56), expected);
    // Queue 1: the host's first buffer lies behind those of queue 0, whole, to be read.
    host.endpoint(None, Address(1024)).unwrap().try_send(Address(1024), b"hi").unwrap();
    assert_eq!(bytes(0x4000, 16), [0, 0x88, 0xd0, 0x3e, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes(0x8800, 18), [0, 4, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, b'h', b'i']);
    drop(echo.try_receive().unwrap().unwrap());
    assert_eq!(bytes(0x5000, 12), [0, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0], "used with the whole length, as C hosts want");
    drop(echo);
    host.poll().unwrap();
    assert_eq!(bytes(0x8200 + 16 + 32, 8), [0, 4, 0, 0, 1, 0, 0, 0], "destroyed");
}

/// Random traffic both ways, checked message by message.
fn traffic<M: Memory>(near: &M, far: &M, n: u32, features: Features, steps: &[(u8, u16)]) {
    let Pair { host, remote, .. } = pair_over(near, far, n, features);
    let (a, b) = (host.endpoint(None, Address::ANY).unwrap(), remote.endpoint(None, Address::ANY).unwrap());
    let mut lines = [std::collections::VecDeque::new(), std::collections::VecDeque::new()];
    let (mut held_a, mut held_b) = (Vec::new(), Vec::new());
    for (i, &(what, len)) in steps.iter().enumerate() {
        let bytes: Vec<u8> = (0..usize::from(len) % 497).map(|k| (k ^ i) as u8).collect();
        match what % 6 {
            0 if a.try_send(b.address(), &bytes).is_ok() => lines[0].push_back(bytes),
            1 if b.try_send(a.address(), &bytes).is_ok() => lines[1].push_back(bytes),
            2 => {
                let got = b.try_receive().unwrap();
                assert_eq!(got.as_ref().map(text), lines[0].pop_front());
                held_b.extend(got);
            }
            3 => {
                let got = a.try_receive().unwrap();
                assert_eq!(got.as_ref().map(text), lines[1].pop_front());
                held_a.extend(got);
            }
            4 => drop(held_b.pop()),
            5 => drop(held_a.pop()),
            _ => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn messages_arrive_once_in_order_and_whole(
        steps in prop::collection::vec((any::<u8>(), any::<u16>()), 1..1500), log in 0u32..5, event_idx: bool
    ) {
        let memory = Owned::allocate(0x40000, BASE).unwrap();
        let features = if event_idx { F_NS.with(Features::EVENT_IDX) } else { F_NS };
        traffic(&memory, &memory, 1 << log, features, &steps);
    }

    #[test]
    fn so_they_do_between_caches_that_do_not_snoop(
        steps in prop::collection::vec((any::<u8>(), any::<u16>()), 1..200), log in 0u32..4, seed: u64
    ) {
        let (near, far) = Incoherent::pair(Owned::allocate(0x40000, BASE).unwrap(), seed);
        traffic(&near, &far, 1 << log, F_NS, &steps);
    }
}

enum Threads {}
impl Platform for Threads {
    type Memory = Owned;
    type Doorbell = Silent;
    type Locks = Mutexed;
    type Storage = Inline<16, 8>;
}

#[test]
fn a_link_with_locks_is_shared_between_threads() {
    let memory = Owned::allocate(0x40000, BASE).unwrap();
    let host = Link::<Threads, Host>::new(HostSetup::new(vrings(&memory, 16), memory.clone(), 0x8000), Silent, Inline)
        .unwrap();
    let remote =
        Link::<Threads, Remote>::new(RemoteSetup::new(vrings(&memory, 16), memory.clone()), Silent, Inline).unwrap();
    const EACH: u32 = 2000;
    let addresses = [Address(1), Address(2)];
    std::thread::scope(|scope| {
        for address in addresses {
            let host = &host;
            let receiver = remote.endpoint(None, address).unwrap();
            scope.spawn(move || {
                let sender = host.endpoint(None, address).unwrap();
                for i in 0..EACH {
                    while sender.try_send(address, &i.to_le_bytes()) == Err(SendError::NoBuffer) {
                        std::thread::yield_now();
                    }
                }
            });
            scope.spawn(move || {
                let mut next = 0;
                while next < EACH {
                    match receiver.try_receive().unwrap() {
                        Some(got) => {
                            assert_eq!(got.bytes().get::<u32>(0), Ok(next));
                            next += 1;
                        }
                        None => std::thread::yield_now(),
                    }
                }
            });
        }
    });
}

#[test]
fn storage_that_is_too_small_is_refused() {
    let memory = Owned::allocate(0x40000, BASE).unwrap();
    let setup = HostSetup::new(vrings(&memory, 32), memory.clone(), 0x8000);
    assert!(Link::<Threads, Host>::new(setup, Silent, Inline).is_err(), "32 entries, 16 slots");
    let setup = HostSetup::new(vrings(&memory, 16), memory.clone(), 0x40000 - 512);
    assert!(Link::<Threads, Host>::new(setup, Silent, Inline).is_err(), "the buffers stick out");
    let setup = HostSetup { buffer_size: 20, ..HostSetup::new(vrings(&memory, 16), memory.clone(), 0x8000) };
    assert!(Link::<Threads, Host>::new(setup, Silent, Inline).is_err(), "too small for a header");
}
