//! A peer that owns the whole shared memory, against a whole link: headers, announcements, lengths, and the rings
//! below.
//!
//! Steps and seed as for the ring (`TUTTI_HOSTILE_STEPS`, `TUTTI_HOSTILE_SEED`): one change before each read.

use std::cell::{Cell, RefCell};

use tutti_metal::testing::Intercepted;
use tutti_metal::{DeviceAddr, Doorbell, Local, Memory, Owned};
use tutti_rpmsg::{
    Address, F_CREDITS, F_FRAGMENTS, F_NS, Heap, Host, HostSetup, Link, Name, Platform, Remote, RemoteSetup, Role,
    SendError,
};
use tutti_virtio::{Features, Layout, QueueSize, Vring};

const BASE: u64 = 0x3ed0_0000;
const N: u32 = 8;

thread_local! {
    static CHANCE: RefCell<u64> = const { RefCell::new(1) };
    static STEPS: Cell<u64> = const { Cell::new(0) };
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

fn chance() -> u64 {
    CHANCE.with_borrow_mut(|state| {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state
    })
}

fn lie(memory: &Owned, at: usize, len: usize) {
    if QUIET.get() {
        return;
    }
    STEPS.set(STEPS.get() + 1);
    let random = chance();
    let plausible = chance() % u64::from(N + 1);
    match random % 16 {
        0 => memory.put(at, &(chance() as u8)).unwrap(),
        1..5 if len == 2 => {
            let now: u16 = memory.get(at).unwrap_or(0);
            memory.put(at, &now.wrapping_add(plausible as u16)).unwrap_or(());
        }
        5 if len == 2 => memory.put(at, &(plausible as u16)).unwrap_or(()),
        6 if len == 4 => memory.put(at, &(plausible as u32)).unwrap_or(()),
        // An address or the rest of a descriptor, mostly of a kind that is taken.
        7 | 8 if len == 8 => {
            memory.put(at, &(BASE + 8 * (chance() % 0x4020) + u64::from(plausible == 0))).unwrap_or(())
        }
        9..12 if len == 8 => {
            let flags = [0, 2, 0, 2, 0, 2, 0, 2, 7][plausible as usize];
            memory.put(at, &((16 + chance() % 600) | flags << 32)).unwrap_or(());
        }
        // A message for somebody: an endpoint, the name service, nobody.
        9..13 if len == 16 => {
            let to = [1024, 1025, 53, 7][plausible as usize % 4];
            memory.copy_in(at + 4, &u32::to_le_bytes(to)).unwrap_or(());
            let length = [40u16, chance() as u16 % 500, 0, chance() as u16][random as usize / 16 % 4];
            memory.copy_in(at + 12, &length.to_le_bytes()).unwrap_or(());
            let flags = [0u16, 1 << 14, 1 << 15, 0][random as usize / 64 % 4];
            memory.copy_in(at + 14, &flags.to_le_bytes()).unwrap_or(());
        }
        13 => memory.put(chance() as usize % 0x600, &(chance() as u8)).unwrap(),
        14 => memory.put(chance() as usize % memory.len(), &(chance() as u8)).unwrap(),
        _ => {}
    }
}

type Hooked = Intercepted<Owned, fn(&Owned, usize, usize)>;

enum Attacked {}
struct Quiet;
impl Doorbell for Quiet {
    fn ring(&self, _: u32) {}
}
impl Platform for Attacked {
    type Memory = Hooked;
    type Doorbell = Quiet;
    type Locks = Local;
    type Storage = Heap;
}

fn vrings<M: Memory>(memory: &M) -> [Vring<M>; 2] {
    let size = QueueSize::new(N).unwrap();
    [0, 0x400].map(|at| Vring::new(memory.clone(), Layout::legacy(size, 64, at).unwrap()).unwrap())
}

/// What an application does, at random, and what must hold for it. Returns how many faults were reported, and how many
/// messages were believed.
fn survive<R: Role>(
    link: &Link<Attacked, R>,
    features: Features,
    memory: &Owned,
    wanted: u64,
    before_reset: fn(&Owned),
) -> (u64, u64) {
    let mut ends = [
        link.endpoint(Some(Name::new("echo").unwrap()), Address(1024)).unwrap(),
        link.endpoint(None, Address(1025)).unwrap(),
    ];
    ends[1].set_window(3);
    let ends = ends;
    let mut held = Vec::new();
    let mut loans = Vec::new();
    let (mut faults, mut believed) = (0, 0);
    while STEPS.get() < wanted {
        let before = STEPS.get();
        let end = &ends[chance() as usize % 2];
        let fault = match chance() % 9 {
            0..3 => match end.try_receive() {
                Ok(Some(received)) => {
                    believed += 1;
                    assert!(received.len() <= memory.len() && received.destination() == end.address());
                    let mut bytes = vec![0; received.len()];
                    received.read(0, &mut bytes).expect("the whole message is inside");
                    assert!(received.read(1, &mut bytes).is_err(), "and nothing behind it");
                    held.push(received);
                    // Each buffer of the queue is here at most once.
                    assert!(held.len() <= N as usize);
                    None
                }
                Ok(None) => None,
                Err(fault) => Some(fault),
            },
            3 => match end.try_send(Address(9), &[1; 40]) {
                Err(SendError::Corrupt(fault)) => Some(fault),
                Ok(()) | Err(SendError::NoBuffer | SendError::NoCredit | SendError::TooLong { .. }) => None,
                Err(other) => panic!("{other}"),
            },
            4 => {
                held.truncate(chance() as usize % (held.len() + 1));
                loans.truncate(1);
                None
            }
            5 => match link.try_loan() {
                Ok(mut loan) => {
                    let bytes = vec![3; loan.capacity().min(4096)];
                    loan.bytes().write(0, &bytes).expect("the whole capacity is inside");
                    loans.push(loan);
                    None
                }
                Err(SendError::Corrupt(fault)) => Some(fault),
                Err(_) => None,
            },
            6 => match end.try_receive_all() {
                Ok(batch) => {
                    believed += batch.len() as u64;
                    assert!(batch.len() + held.len() <= N as usize);
                    for message in batch.iter() {
                        assert!(message.len() <= memory.len() && message.destination() == end.address());
                        let mut bytes = vec![0; message.len()];
                        message.read(0, &mut bytes).expect("the whole message is inside");
                        assert!(message.read(1, &mut bytes).is_err(), "and nothing behind it");
                    }
                    None
                }
                Err(fault) => Some(fault),
            },
            7 => match end.try_send_all(Address(9), &[&[1; 40], &[2; 500], &[3]]) {
                Err(SendError::Corrupt(fault)) => Some(fault),
                Ok(..=3) | Err(SendError::NoBuffer | SendError::NoCredit | SendError::TooLong { .. }) => None,
                other => panic!("{other:?}"),
            },
            _ => link.on_interrupt().and_then(|_| link.listen()).err(),
        };
        // A queue's length of messages, a few reads each.
        assert!(STEPS.get() - before < 40 * u64::from(N), "{} reads in one call", STEPS.get() - before);
        if fault.is_some() {
            faults += 1;
            QUIET.set(true);
            before_reset(memory);
            link.reset(features);
            held.clear();
            loans.clear();
            QUIET.set(false);
        }
    }
    (faults, believed)
}

/// What an honest host would set up: the lies then start from something that is believed.
fn offer(memory: &Owned) {
    memory.copy_in(0, &[0; 0x800]).unwrap();
    for (queue, flags) in [(0, 2u64), (0x400, 0)] {
        for i in 0..N as usize {
            let addr = BASE + 0x1000 + (queue + i * 64) as u64 * 8;
            memory.put(queue + 16 * i, &addr).unwrap();
            memory.put(queue + 16 * i + 8, &(512 | flags << 32)).unwrap();
            memory.put(queue + 16 * N as usize + 4 + 2 * i, &(i as u16)).unwrap();
        }
        memory.put(queue + 16 * N as usize + 2, &(N as u16)).unwrap();
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().map_or(default, |text| text.parse().expect("a number"))
}

fn run(one: impl Fn(Owned, Hooked, Features, u64) -> (u64, u64)) {
    let wanted = number("TUTTI_HOSTILE_STEPS", 400_000);
    let first = number("TUTTI_HOSTILE_SEED", 1);
    let (mut faults, mut believed) = (0, 0);
    for seed in first..first + 10 {
        CHANCE.set(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        STEPS.set(0);
        QUIET.set(true);
        let raw = Owned::allocate(0x20000, DeviceAddr(BASE)).unwrap();
        let of = |bit: u64, feature| if seed & bit == 0 { Features::NONE } else { feature };
        let features = F_NS.with(of(1, Features::EVENT_IDX)).with(of(2, F_CREDITS)).with(of(4, F_FRAGMENTS));
        let hooked: Hooked = Intercepted::new(raw.clone(), lie);
        let (more, also) = one(raw, hooked, features, wanted / 10);
        faults += more;
        believed += also;
    }
    assert!(faults > wanted / 2000, "only {faults} faults");
    assert!(believed > wanted / 2000, "only {believed} messages were believed: the lies do not go deep");
}

#[test]
fn a_remote_survives_a_host_that_changes_any_byte() {
    run(|raw, memory, features, wanted| {
        let setup = RemoteSetup { features, ..RemoteSetup::new(vrings(&memory), memory.clone()) };
        let link = Link::<Attacked, Remote>::new(setup, Quiet, Heap { endpoints: 8 }).unwrap();
        offer(&raw);
        QUIET.set(false);
        survive(&link, features, &raw, wanted, offer)
    });
}

#[test]
fn a_host_survives_a_remote_that_changes_any_byte() {
    run(|raw, memory, features, wanted| {
        let setup = HostSetup { features, ..HostSetup::new(vrings(&memory), memory.clone(), 0x1000) };
        let link = Link::<Attacked, Host>::new(setup, Quiet, Heap { endpoints: 8 }).unwrap();
        QUIET.set(false);
        survive(&link, features, &raw, wanted, |_| ())
    });
}
