//! Our driver against rust-vmm's `virtio-queue` as the device, over the same memory: random chains, tables, batches,
//! completion in any order, both ways of suppression. `TUTTI_PEER_STEPS` sets the number of operations.

mod common;

use std::collections::HashMap;

use common::{Chance, steps};
use tutti_metal::{DeviceAddr, Memory, Region};
use tutti_virtio::{AddError, Driver, DriverSlot, Features, Layout, Part, QueueSize, Vring};
use virtio_queue::{Queue, QueueT};
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap};

const LEN: usize = 0x10000;
const N: u16 = 16;
const PLACES: usize = 0x4000;

fn run(features: Features, seed: u64, wanted: u64) -> usize {
    let guest = GuestMemoryMmap::<()>::from_ranges(&[(GuestAddress(0), LEN)]).unwrap();
    let base = guest.get_host_address(GuestAddress(0)).unwrap();
    // SAFETY: the mapping is as long as the guest's memory, lives to the end of this function, and `vm-memory` too only
    // makes volatile accesses to it.
    let memory = unsafe { Region::from_raw(base, LEN, DeviceAddr(0)) }.unwrap();
    let layout = Layout::legacy(QueueSize::new(u32::from(N)).unwrap(), 4096, 0).unwrap();
    let ring = Vring::new(memory, layout).unwrap();
    let mut driver = Driver::new(ring, features, [DriverSlot::default(); N as usize]).unwrap();
    let mut device = Queue::new(N).unwrap();
    device.set_size(N);
    device.try_set_desc_table_address(GuestAddress(layout.descriptors as u64)).unwrap();
    device.try_set_avail_ring_address(GuestAddress(layout.available as u64)).unwrap();
    device.try_set_used_ring_address(GuestAddress(layout.used as u64)).unwrap();
    device.set_event_idx(features.has(Features::EVENT_IDX));
    device.set_ready(true);
    assert!(device.is_valid(&guest));

    let mut chance = Chance::new(seed);
    let mut places: Vec<usize> = (0..200).map(|i| PLACES + 64 * i).collect();
    let mut out: HashMap<u32, (Vec<usize>, u32)> = HashMap::new();
    let mut on_offer = std::collections::VecDeque::new();
    let mut staged = Vec::new();
    let mut held = Vec::new();
    let mut expected = std::collections::VecDeque::new();
    let (mut token, mut round) = (0u32, 0);
    for _ in 0..wanted {
        match chance.below(5) {
            0 => {
                let count = 1 + chance.below(3) as usize;
                let readable = chance.below(count as u64 + 1) as usize;
                let mine: Vec<usize> = places.split_off(places.len() - count - 1);
                let parts: Vec<Part> = (0..count)
                    .map(|i| Part { addr: DeviceAddr(mine[i] as u64), len: 4 + i as u32, writable: i >= readable })
                    .collect();
                let added = match features.has(Features::INDIRECT_DESC) && chance.one_in(2) {
                    true => driver.add_indirect(&memory, mine[count], &parts, token),
                    false => driver.add(&parts, token),
                };
                match added {
                    Ok(()) => {
                        memory.put(mine[0], &token).unwrap();
                        out.insert(token, (mine, 0));
                        staged.push((token, parts));
                        token += 1;
                    }
                    Err(AddError::Full) => places.extend(mine),
                    Err(other) => panic!("{other}"),
                }
            }
            1 => {
                on_offer.extend(staged.drain(..));
                let _ = driver.publish();
            }
            2 => match (device.pop_descriptor_chain(&guest), on_offer.pop_front()) {
                (None, None) => {
                    assert!(!device.enable_notification(&guest).unwrap(), "seed {seed}: nothing is there");
                }
                (Some(chain), Some((token, parts))) => {
                    let head = chain.head_index();
                    let seen: Vec<_> = chain
                        .map(|descriptor| (descriptor.addr().0, descriptor.len(), descriptor.is_write_only()))
                        .collect();
                    let sent: Vec<_> = parts.iter().map(|part| (part.addr.0, part.len, part.writable)).collect();
                    assert_eq!(seen, sent, "seed {seed}: the device sees what the driver described");
                    assert_eq!(guest.read_obj::<u32>(GuestAddress(seen[0].0)).unwrap(), token);
                    let room: u32 = parts.iter().filter(|part| part.writable).map(|part| part.len).sum();
                    held.push((head, token, room));
                }
                (got, model) => {
                    panic!("seed {seed}: the device got {}, the model says {}", got.is_some(), model.is_some())
                }
            },
            3 if !held.is_empty() => {
                let (head, token, room) = held.swap_remove(chance.below(held.len() as u64) as usize);
                device.add_used(&guest, head, room).unwrap();
                let _ = device.needs_notification(&guest).unwrap();
                expected.push_back((token, room));
            }
            4 => {
                let popped = driver.pop().unwrap().map(|used| (used.token, used.written));
                assert_eq!(popped, expected.pop_front(), "seed {seed}");
                match popped {
                    Some((token, _)) => {
                        places.extend(out.remove(&token).unwrap().0);
                        round += 1;
                    }
                    None => assert!(!driver.listen().unwrap()),
                }
            }
            _ => {}
        }
    }
    round
}

#[test]
fn virtio_queue_and_our_driver_understand_each_other() {
    let wanted = steps("TUTTI_PEER_STEPS", 600_000) / 4;
    for (seed, features) in [
        Features::NONE,
        Features::EVENT_IDX,
        Features::INDIRECT_DESC,
        Features::EVENT_IDX.with(Features::INDIRECT_DESC),
    ]
    .into_iter()
    .enumerate()
    {
        let round = run(features, seed as u64 + 1, wanted);
        assert!(round as u64 > wanted / 20, "only {round} buffers went round");
    }
}
