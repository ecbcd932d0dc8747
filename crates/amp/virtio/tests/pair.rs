//! Both ends of ours against each other, and against a plain queue as the model: chains, tables, both ways of
//! suppression, caches that do not snoop, and indices that wrap.

mod common;

use std::collections::{HashMap, VecDeque};

use common::{BASE, BUFFERS, Chance, owned, vring};
use proptest::prelude::*;
use tutti_metal::testing::Incoherent;
use tutti_metal::{DeviceAddr, Memory};
use tutti_virtio::{AddError, Device, DeviceSlot, Driver, DriverSlot, Features, Part, Piece};

const PART: usize = 64;

/// What the model expects of a buffer on its way to the device.
struct Expected {
    token: u32,
    parts: Vec<Part>,
}

/// Runs `steps` random operations, and says how many buffers went round.
fn run<M: Memory>(near: &M, far: &M, n: u32, features: Features, seed: u64, steps: usize) -> usize {
    let mut chance = Chance::new(seed);
    let mut driver = Driver::new(vring(near, n), features, vec![DriverSlot::default(); n as usize]).unwrap();
    let mut device =
        Device::new(vring(far, n), far.clone(), features, vec![DeviceSlot::default(); n as usize]).unwrap();
    // Each part has its own place in memory: a free one is taken, and given back with its buffer. Tables too.
    let mut places: Vec<usize> = (0..4 * n as usize).map(|i| BUFFERS + i * PART).collect();
    let mut added: VecDeque<Expected> = VecDeque::new();
    let mut on_offer: VecDeque<Expected> = VecDeque::new();
    let mut at_device: Vec<(u16, Expected)> = Vec::new();
    let mut completed: VecDeque<(Expected, u32)> = VecDeque::new();
    let mut used: VecDeque<(Expected, u32)> = VecDeque::new();
    let mut contents: HashMap<u32, (usize, Vec<Part>)> = HashMap::new();
    let (mut token, mut round) = (0u32, 0);
    let (mut driver_sleeps, mut device_sleeps) = (false, false);
    for _ in 0..steps {
        match chance.below(9) {
            0..3 => {
                let indirect = features.has(Features::INDIRECT_DESC) && chance.one_in(2);
                let count = 1 + chance.below(3) as usize;
                let readable = chance.below(count as u64 + 1) as usize;
                if places.len() < count + 1 {
                    continue;
                }
                let table = places.pop().unwrap();
                let parts: Vec<Part> = (0..count)
                    .map(|i| {
                        let at = places.pop().unwrap();
                        let len = 1 + chance.below(PART as u64) as u32;
                        if i < readable {
                            let bytes: Vec<u8> = (0..len).map(|i| (token + i) as u8).collect();
                            near.copy_in(at, &bytes).unwrap();
                            near.clean(at, bytes.len());
                        }
                        Part { addr: near.addr_of(at), len, writable: i >= readable }
                    })
                    .collect();
                let free = driver.free();
                let result = match indirect {
                    true => driver.add_indirect(near, table, &parts, token),
                    false => driver.add(&parts, token),
                };
                let needs = if indirect { 1 } else { count };
                if usize::from(free) >= needs && count <= n as usize {
                    assert_eq!(result, Ok(()));
                    added.push_back(Expected { token, parts: parts.clone() });
                    contents.insert(token, (table, parts));
                    token += 1;
                } else {
                    assert!(matches!(result, Err(AddError::Full | AddError::Parts)), "{result:?}");
                    places.extend(parts.iter().map(|part| (part.addr.0 - BASE) as usize));
                    places.push(table);
                }
            }
            3 => {
                let any = !added.is_empty();
                on_offer.append(&mut added);
                let wakes = driver.publish();
                assert!(!device_sleeps || wakes == any, "the device sleeps, and was not woken");
                device_sleeps &= !wakes;
            }
            4 => {
                let mut pieces = [Piece::default(); 3];
                match (device.pop(&mut pieces).unwrap(), on_offer.pop_front()) {
                    (None, None) => {}
                    (Some(chain), Some(expected)) => {
                        assert_eq!(chain.pieces, expected.parts.len());
                        for (piece, part) in pieces.iter().zip(&expected.parts) {
                            let got = (far.addr_of(piece.at), piece.len, piece.writable);
                            assert_eq!(got, (part.addr, part.len, part.writable));
                            if !piece.writable {
                                let mut bytes = vec![0; piece.len as usize];
                                far.invalidate(piece.at, bytes.len());
                                far.copy_out(piece.at, &mut bytes).unwrap();
                                let sent = (0..part.len).map(|i| (expected.token + i) as u8);
                                assert!(bytes.iter().copied().eq(sent), "what was sent arrives");
                            }
                        }
                        at_device.push((chain.head, expected));
                    }
                    (got, model) => panic!("the device got {got:?}, but the model says {}", model.is_some()),
                }
            }
            5 if !at_device.is_empty() => {
                // In any order.
                let i = chance.below(at_device.len() as u64) as usize;
                let (head, expected) = at_device.swap_remove(i);
                let room: u32 = expected.parts.iter().filter(|part| part.writable).map(|part| part.len).sum();
                let written = chance.below(u64::from(room) + 1) as u32;
                assert!(device.complete(head, 1 + PART as u32 * 3).is_err());
                device.complete(head, written).unwrap();
                assert!(device.complete(head, written).is_err(), "a buffer goes back once");
                completed.push_back((expected, written));
            }
            6 => {
                let any = !completed.is_empty();
                used.append(&mut completed);
                let wakes = device.publish();
                assert!(!driver_sleeps || wakes == any, "the driver sleeps, and was not woken");
                driver_sleeps &= !wakes;
            }
            7 => match (driver.pop().unwrap(), used.pop_front()) {
                (None, None) => {}
                (Some(back), Some((expected, written))) => {
                    assert_eq!((back.token, back.written), (expected.token, written));
                    let (table, parts) = contents.remove(&back.token).unwrap();
                    places.push(table);
                    places.extend(parts.iter().map(|part| (part.addr.0 - BASE) as usize));
                    round += 1;
                }
                (got, model) => panic!("the driver got {got:?}, but the model says {}", model.is_some()),
            },
            8 => match chance.below(4) {
                0 => {
                    let any = driver.listen().unwrap();
                    assert_eq!(any, !used.is_empty());
                    driver_sleeps = !any;
                }
                1 => {
                    let any = device.listen().unwrap();
                    assert_eq!(any, !on_offer.is_empty());
                    device_sleeps = !any;
                }
                2 => {
                    driver.ignore();
                    driver_sleeps = false;
                }
                _ => {
                    device.ignore();
                    device_sleeps = false;
                }
            },
            _ => {}
        }
    }
    round
}

fn features(event_idx: bool, indirect: bool) -> Features {
    let mut features = Features::NONE;
    if event_idx {
        features = features.with(Features::EVENT_IDX);
    }
    if indirect {
        features = features.with(Features::INDIRECT_DESC);
    }
    features
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn a_ring_behaves_like_a_plain_queue(
        seed: u64, log in 0u32..7, event_idx: bool, indirect: bool
    ) {
        let memory = owned();
        run(&memory, &memory, 1 << log, features(event_idx, indirect), seed, 3000);
    }

    #[test]
    fn it_does_so_between_caches_that_do_not_snoop(
        seed: u64, log in 0u32..6, event_idx: bool, indirect: bool
    ) {
        let (near, far) = Incoherent::pair(owned(), seed);
        run(&near, &far, 1 << log, features(event_idx, indirect), seed, 400);
    }
}

#[test]
fn indices_wrap_at_65_536_without_a_seam() {
    for event_idx in [false, true] {
        let memory = owned();
        let round = run(&memory, &memory, 32, features(event_idx, true), 11, 1_500_000);
        assert!(round > 66_000, "only {round} buffers went round");
    }
}

#[test]
fn a_reset_forgets_everything_and_the_ring_works_again() {
    let memory = owned();
    let mut driver = Driver::new(vring(&memory, 4), Features::NONE, [DriverSlot::default(); 4]).unwrap();
    let mut device =
        Device::new(vring(&memory, 4), memory.clone(), Features::NONE, [DeviceSlot::default(); 4]).unwrap();
    let part = [Part { addr: DeviceAddr(BASE + BUFFERS as u64), len: 8, writable: true }];
    let mut pieces = [Piece::default(); 1];
    for token in 0..10 {
        for _ in 0..3 {
            driver.add(&part, token).unwrap();
        }
        driver.publish_quietly();
        let chain = device.pop(&mut pieces).unwrap().unwrap();
        device.complete(chain.head, 8).unwrap();
        device.publish_quietly();
        assert_eq!(driver.pop().unwrap().unwrap().token, token);
        let held = device.pop(&mut pieces).unwrap().unwrap();
        driver.reset(Features::NONE);
        device.reset(Features::NONE);
        assert_eq!((driver.free(), driver.out(), device.held()), (4, 0, 0));
        assert!(device.complete(held.head, 0).is_err(), "what was held before the reset is gone");
        assert_eq!((device.pop(&mut pieces), driver.pop()), (Ok(None), Ok(None)));
    }
}

#[test]
fn misuse_by_the_caller_is_an_error_that_says_so() {
    let memory = owned();
    let mut driver = Driver::new(vring(&memory, 2), Features::NONE, [DriverSlot::default(); 2]).unwrap();
    let part = |writable| Part { addr: DeviceAddr(BASE), len: u32::MAX, writable };
    assert_eq!(driver.add(&[], 0), Err(AddError::Parts));
    assert_eq!(driver.add(&[part(false); 3], 0), Err(AddError::Parts));
    assert_eq!(driver.add(&[part(true), part(false)], 0), Err(AddError::Order));
    assert_eq!(driver.add(&[part(false), part(false)], 0), Err(AddError::TooLong));
    assert_eq!(driver.add_indirect(&memory, BUFFERS, &[part(false)], 0), Err(AddError::Indirect));
    assert!(Driver::new(vring(&memory, 4), Features::NONE, [DriverSlot::default(); 2]).is_err());
}
