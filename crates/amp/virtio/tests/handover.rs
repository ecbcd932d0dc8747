//! A device that leaves a queue to another one, while the driver goes on.

mod common;

use common::{BUFFERS, layout, owned, vring};
use proptest::prelude::*;
use tutti_metal::{Memory, Owned};
use tutti_virtio::{Device, DeviceSlot, Driver, DriverSlot, Features, Part, Piece};

type Dev = Device<Owned, Vec<DeviceSlot>>;

fn device(memory: &Owned, n: u32) -> Dev {
    Device::new(vring(memory, n), memory.clone(), Features::NONE, vec![DeviceSlot::default(); n as usize]).unwrap()
}

fn driver(memory: &Owned, n: u32) -> Driver<Owned, Vec<DriverSlot>> {
    Driver::new(vring(memory, n), Features::NONE, vec![DriverSlot::default(); n as usize]).unwrap()
}

fn add(driver: &mut Driver<Owned, Vec<DriverSlot>>, memory: &Owned, tokens: std::ops::Range<u32>) {
    for token in tokens {
        let addr = memory.addr_of(BUFFERS + 64 * token as usize % 0x1000);
        driver.add(&[Part { addr, len: 64, writable: true }], token).unwrap();
    }
    driver.publish_quietly();
}

fn take(device: &mut Dev, count: usize) -> Vec<u16> {
    let mut piece = [Piece::default(); 1];
    (0..count).map(|_| device.pop(&mut piece).unwrap().expect("a buffer").head).collect()
}

fn bytes(memory: &Owned) -> Vec<u8> {
    let mut all = vec![0; memory.len()];
    memory.copy_out(0, &mut all).unwrap();
    all
}

#[test]
fn once_halted_it_leaves_the_memory_alone() {
    let memory = owned();
    let (mut driver, mut device) = (driver(&memory, 8), device(&memory, 8));
    add(&mut driver, &memory, 0..6);
    let taken = take(&mut device, 3);
    device.complete(taken[0], 7).unwrap();
    // What was completed is still handed over.
    assert_eq!(device.halt(), Some(1));
    assert_eq!(driver.pop().unwrap().map(|used| (used.token, used.written)), Some((0, 7)));
    let before = bytes(&memory);
    assert!(device.complete(taken[1], 1).is_err() && !device.publish());
    assert_eq!(device.pop(&mut [Piece::default()]), Ok(None));
    assert_eq!(device.listen(), Ok(false));
    device.ignore();
    device.publish_quietly();
    assert_eq!(device.held(), 0);
    assert!(bytes(&memory) == before);
    // A reset is what brings it back.
    device.reset(Features::NONE);
    device.resume(1);
    assert_eq!(take(&mut device, 5).len(), 5);
}

#[test]
fn it_cannot_be_handed_over_with_an_older_buffer_out_than_what_was_given_back() {
    let memory = owned();
    let (mut driver, mut device) = (driver(&memory, 8), device(&memory, 8));
    add(&mut driver, &memory, 0..3);
    let taken = take(&mut device, 3);
    device.complete(taken[1], 0).unwrap();
    device.complete(taken[2], 0).unwrap();
    assert_eq!(device.halt(), None);
}

/// rpmsg-lite's host starts with all its buffers in the used ring.
#[test]
fn it_gives_back_from_the_index_on_that_it_finds() {
    let memory = owned();
    let mut driver = driver(&memory, 8);
    memory.put(layout(8).used + 2, &8u16).unwrap();
    let mut device = device(&memory, 8);
    add(&mut driver, &memory, 0..2);
    let taken = take(&mut device, 2);
    device.complete(taken[0], 5).unwrap();
    device.publish_quietly();
    assert_eq!(memory.get::<u16>(layout(8).used + 2), Ok(9));
    assert_eq!(memory.get::<u32>(layout(8).used + 4), Ok(u32::from(taken[0])));
    assert_eq!(device.halt(), Some(1));
}

proptest! {
    /// One device after the other, each for a few buffers: the driver gets each of its buffers back once, in order.
    #[test]
    fn nothing_is_lost_or_doubled_however_often_it_changes_hands(
        lives in prop::collection::vec((0usize..6, 0usize..6), 1..60),
    ) {
        let memory = owned();
        let mut driver = driver(&memory, 8);
        let (mut position, mut next, mut back) = (0, 0, 0);
        for (taken, completed) in lives {
            let room = u32::from(driver.free());
            add(&mut driver, &memory, next..next + room);
            next += room;
            let mut device = device(&memory, 8);
            device.resume(position);
            let heads = take(&mut device, taken);
            for head in heads.iter().take(completed) {
                device.complete(*head, 0).unwrap();
            }
            position = device.halt().expect("in order");
            while let Some(used) = driver.pop().unwrap() {
                prop_assert_eq!(used.token, back);
                back += 1;
            }
        }
        prop_assert_eq!(u32::from(position), back % 0x1_0000);
    }
}
