//! A peer that owns the whole shared memory, and changes any byte between every two reads.
//!
//! Every step is one change of memory by the peer and one read by the honest side. `TUTTI_HOSTILE_STEPS` says how many
//! (a bounded share by default), `TUTTI_HOSTILE_SEED` from where; a failure prints its seed. What must hold: no panic,
//! no access outside (`Intercepted` checks each), no endless loop (each call makes a bounded number of reads), every
//! piece inside the memory, each publication delivered at most once; and after a fault is reported, a reset makes the
//! ring work again.

mod common;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use common::{BASE, BUFFERS, Chance, owned, steps, vring};
use tutti_metal::testing::Intercepted;
use tutti_metal::{DeviceAddr, Memory, Owned};
use tutti_virtio::{Chain, Corrupt, Device, DeviceSlot, Driver, DriverSlot, Features, Part, Piece, Whole};

/// The bytes that the queue itself takes; most of the peer's changes go here.
const QUEUE: u64 = 0x400;

struct Peer {
    chance: RefCell<Chance>,
    steps: Cell<u64>,
    reads: Cell<u64>,
    quiet: Cell<bool>,
    n: u64,
}

impl Peer {
    fn new(seed: u64, n: u32) -> Self {
        let chance = RefCell::new(Chance::new(seed));
        Self { chance, steps: Cell::new(0), reads: Cell::new(0), quiet: Cell::new(false), n: u64::from(n) }
    }

    /// One lie: often a plausible one, near what the honest side expects to find, so that faults lie deep.
    fn lie(&self, memory: &Owned, at: usize, len: usize) {
        self.reads.set(self.reads.get() + 1);
        if self.quiet.get() {
            return;
        }
        self.steps.set(self.steps.get() + 1);
        let mut chance = self.chance.borrow_mut();
        match chance.below(16) {
            // The very word that is about to be read.
            0 => memory.put(at, &(chance.next() as u8)).unwrap(),
            1..5 if len == 2 => {
                let now: u16 = memory.get(at).unwrap_or(0);
                memory.put(at, &now.wrapping_add(chance.below(self.n + 2) as u16)).unwrap_or(());
            }
            5..7 if len == 2 => memory.put(at, &(chance.below(self.n + 1) as u16)).unwrap_or(()),
            7 if len == 4 => memory.put(at, &(chance.below(self.n + 1) as u32)).unwrap_or(()),
            8..10 if len == 8 => {
                let addr = BASE + chance.below(0x1_0100);
                memory.put(at, &addr).unwrap_or(());
            }
            10..12 if len == 8 => {
                let (len, flags, next) = (chance.below(600), chance.below(8), chance.below(self.n + 1));
                memory.put(at, &(len | flags << 32 | next << 48)).unwrap_or(());
            }
            12 => memory.put(chance.below(QUEUE) as usize, &(chance.next() as u8)).unwrap(),
            13 => memory.put(chance.below(memory.len() as u64) as usize, &(chance.next() as u8)).unwrap(),
            _ => {}
        }
    }

    fn bounded<R>(&self, most: u64, call: impl FnOnce() -> R) -> R {
        let before = self.reads.get();
        let result = call();
        let reads = self.reads.get() - before;
        assert!(reads <= most, "{reads} reads in one call");
        result
    }
}

fn features(chance: &mut Chance) -> Features {
    [Features::NONE, Features::EVENT_IDX, Features::INDIRECT_DESC, Features::EVENT_IDX.with(Features::INDIRECT_DESC)]
        [chance.below(4) as usize]
}

/// How often each side is fooled, reports it and starts anew; and how many buffers it believed in.
fn device_against_peer(seed: u64, wanted: u64) -> (u64, u64) {
    let n = 8;
    let raw = owned();
    let peer = Peer::new(seed, n);
    let memory = Intercepted::new(raw, |memory: &Owned, at, len| peer.lie(memory, at, len));
    let mut chance = Chance::new(!seed);
    let features = features(&mut chance);
    let mut device = Device::new(vring(&memory, n), memory.clone(), features, [DeviceSlot::default(); 8]).unwrap();
    let mut held: Vec<u16> = Vec::new();
    let (mut faults, mut believed) = (0, 0);
    while peer.steps.get() < wanted {
        let mut pieces = [Piece::default(); 4];
        // The index, the entry, and two reads for each of at most five descriptors; or the short way, with one
        // descriptor.
        let short = chance.one_in(2);
        let popped = peer.bounded(12, || if short { whole(&mut device, &mut pieces) } else { device.pop(&mut pieces) });
        match popped {
            Ok(Some(chain)) => {
                believed += 1;
                assert!(!held.contains(&chain.head), "seed {seed}: a buffer that is here was delivered again");
                assert!(chain.head < n as u16 && (1..=4).contains(&chain.pieces));
                for piece in &pieces[..chain.pieces] {
                    assert!(memory.check(piece.at, piece.len as usize).is_ok(), "seed {seed}: a piece outside");
                }
                held.push(chain.head);
                assert!(held.len() <= n as usize);
            }
            Ok(None) => {}
            Err(fault) => {
                faults += 1;
                refused_until_reset(&fault, device.pop(&mut pieces), seed);
                held.clear();
                device.reset(features);
                continue;
            }
        }
        if !held.is_empty() && chance.one_in(2) {
            let head = held.swap_remove(chance.below(held.len() as u64) as usize);
            device.complete(head, 0).unwrap();
            assert!(device.complete(head, 0).is_err());
            let _ = peer.bounded(1, || device.publish());
        }
        if chance.one_in(8) && peer.bounded(1, || device.listen()).is_err() {
            faults += 1;
            held.clear();
            device.reset(features);
        }
    }
    (faults, believed)
}

/// A buffer by the short way, in the words of the long one.
fn whole<M: Memory>(
    device: &mut Device<M, [DeviceSlot; 8]>,
    pieces: &mut [Piece; 4],
) -> Result<Option<Chain>, Corrupt> {
    let Some(Whole { head, at, len, writable }) = device.next_whole() else {
        return device.corrupt().map_or(Ok(None), Err);
    };
    pieces[0] = Piece { at, len, writable };
    let (readable, room) = if writable { (0, len) } else { (len, 0) };
    Ok(Some(Chain { head, pieces: 1, readable, writable: room }))
}

fn refused_until_reset<T: std::fmt::Debug + PartialEq>(fault: &Corrupt, again: Result<T, Corrupt>, seed: u64) {
    assert_eq!(again, Err(*fault), "seed {seed}: a fault stays until the reset");
    assert!(!fault.to_string().is_empty());
}

fn driver_against_peer(seed: u64, wanted: u64) -> (u64, u64) {
    let n = 8;
    let raw = owned();
    let peer = Peer::new(seed, n);
    let memory = Intercepted::new(raw.clone(), |memory: &Owned, at, len| peer.lie(memory, at, len));
    let mut chance = Chance::new(!seed);
    let features = features(&mut chance);
    let mut driver = Driver::new(vring(&memory, n), features, [DriverSlot::default(); 8]).unwrap();
    let mut out: HashSet<u32> = HashSet::new();
    let (mut token, mut faults, mut believed) = (0u32, 0, 0);
    while peer.steps.get() < wanted {
        for _ in 0..chance.below(4) {
            let count = 1 + chance.below(3) as usize;
            let part = Part { addr: DeviceAddr(BASE + BUFFERS as u64), len: 100, writable: chance.one_in(2) };
            let added = match chance.one_in(3) && features.has(Features::INDIRECT_DESC) {
                true => driver.add_indirect(&memory, 0x8000, &[part; 3][..count], token),
                false if count == 1 => driver.add_one(part, token),
                false => driver.add(&[part; 3][..count], token),
            };
            if added.is_ok() {
                assert!(out.insert(token));
                token = token.wrapping_add(1);
            }
        }
        let _ = peer.bounded(1, || driver.publish());
        // The index and the element.
        let short = chance.one_in(2);
        let popped = peer.bounded(3, || match short {
            true => {
                driver.next_to_read(&memory).map_or_else(|| driver.corrupt().map_or(Ok(None), Err), |it| Ok(Some(it)))
            }
            false => driver.pop(),
        });
        match popped {
            Ok(Some(used)) => {
                believed += 1;
                assert!(out.remove(&used.token), "seed {seed}: a buffer came back twice, or was never out");
                assert!(used.written <= 300, "seed {seed}: more than was lent");
            }
            Ok(None) if !chance.one_in(8) || peer.bounded(1, || driver.listen()).is_ok() => {}
            other => {
                if let Err(fault) = other {
                    refused_until_reset(&fault, driver.pop(), seed);
                }
                faults += 1;
                out.clear();
                driver.reset(features);
                // The peer is honest for a while: everything must work again.
                peer.quiet.set(true);
                goes_round(&mut driver, &raw, features, seed);
                peer.quiet.set(false);
                driver.reset(features);
            }
        }
        assert!(
            u32::from(driver.free()) + out.len() as u32 <= n + out.len() as u32 && driver.out() as usize <= out.len()
        );
    }
    (faults, believed)
}

fn goes_round<M: Memory, T: tutti_virtio::Table<DriverSlot>>(
    driver: &mut Driver<M, T>,
    memory: &Owned,
    features: Features,
    seed: u64,
) {
    let mut device = Device::new(vring(memory, 8), memory.clone(), features, [DeviceSlot::default(); 8]).unwrap();
    for token in 0..20 {
        let part = Part { addr: DeviceAddr(BASE + BUFFERS as u64), len: 5, writable: true };
        driver.add(&[part], token).unwrap();
        driver.publish_quietly();
        let mut pieces = [Piece::default(); 1];
        let chain = device.pop(&mut pieces).unwrap().expect("sent");
        device.complete(chain.head, 5).unwrap();
        device.publish_quietly();
        assert_eq!(driver.pop().unwrap().map(|used| used.token), Some(token), "seed {seed}: after a reset");
    }
}

fn run(side: fn(u64, u64) -> (u64, u64)) {
    let wanted = steps("TUTTI_HOSTILE_STEPS", 400_000);
    let first = steps("TUTTI_HOSTILE_SEED", 1);
    let (mut faults, mut believed) = (0, 0);
    for seed in first..first + 20 {
        let (more, also) = side(seed, wanted / 20);
        faults += more;
        believed += also;
    }
    assert!(faults > wanted / 1000, "the peer found only {faults} lies in {wanted} steps");
    assert!(believed > wanted / 1000, "only {believed} of its buffers were believed: its lies do not go deep");
}

#[test]
fn a_device_survives_a_driver_that_changes_any_byte() {
    run(device_against_peer);
}

#[test]
fn a_driver_survives_a_device_that_changes_any_byte() {
    run(driver_against_peer);
}
