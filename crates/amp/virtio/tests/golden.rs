//! The bytes that a peer sees, written down from the specification.

mod common;

use common::{BASE, BUFFERS, owned};
use tutti_metal::{DeviceAddr, Memory};
use tutti_virtio::{
    Device, DeviceSlot, Driver, DriverSlot, Features, Layout, Part, Piece, QueueSize, Status, VdevEntry, VdevError,
    Vring,
};

fn bytes(memory: &impl Memory, at: usize, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    memory.copy_out(at, &mut bytes).unwrap();
    bytes
}

#[test]
fn descriptors_and_rings_stand_where_the_specification_puts_them() {
    let memory = owned();
    let layout = Layout::legacy(QueueSize::new(256).unwrap(), 4096, 0).unwrap();
    let ring = || Vring::new(memory.clone(), layout).unwrap();
    let mut driver = Driver::new(ring(), Features::EVENT_IDX, vec![DriverSlot::default(); 256]).unwrap();
    let mut device =
        Device::new(ring(), memory.clone(), Features::EVENT_IDX, vec![DeviceSlot::default(); 256]).unwrap();
    let addr = DeviceAddr(BASE + BUFFERS as u64);
    let parts = [Part { addr, len: 16, writable: false }, Part { addr, len: 0x1f0, writable: true }];
    driver.add(&parts, 0).unwrap();
    driver.add(&parts[1..], 0).unwrap();
    assert!(driver.publish(), "avail_event is 0, and the index has passed it");
    assert_eq!(
        bytes(&memory, 0, 48),
        [
            0, 0x40, 0xd0, 0x3e, 0, 0, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0, // addr, len, NEXT, next = 1
            0, 0x40, 0xd0, 0x3e, 0, 0, 0, 0, 0xf0, 1, 0, 0, 2, 0, 0, 0, // addr, len, WRITE
            0, 0x40, 0xd0, 0x3e, 0, 0, 0, 0, 0xf0, 1, 0, 0, 2, 0, 0, 0,
        ]
    );
    assert_eq!(bytes(&memory, 4096, 8), [0, 0, 2, 0, 0, 0, 2, 0], "flags, idx = 2, heads 0 and 2");
    let mut pieces = [Piece::default(); 2];
    let chain = device.pop(&mut pieces).unwrap().unwrap();
    assert_eq!((chain.head, chain.readable, chain.writable), (0, 16, 0x1f0));
    let second = device.pop(&mut pieces).unwrap().unwrap();
    device.complete(second.head, 0x123).unwrap();
    assert!(device.publish());
    assert_eq!(bytes(&memory, 8192, 12), [0, 0, 1, 0, 2, 0, 0, 0, 0x23, 1, 0, 0], "flags, idx = 1, id = 2, len");
    assert_eq!(driver.pop().unwrap().unwrap().written, 0x123);
    assert!(!driver.listen().unwrap());
    assert_eq!(bytes(&memory, 4096 + 4 + 512, 2), [1, 0], "used_event");
    assert!(!device.listen().unwrap());
    assert_eq!(bytes(&memory, 8192 + 4 + 2048, 2), [2, 0], "avail_event");
    assert_eq!(8192 + 4 + 2048 + 2, Layout::legacy_bytes(QueueSize::new(256).unwrap(), 4096).unwrap());
}

#[test]
fn a_vdev_entry_reads_as_linux_writes_it() {
    let memory = owned();
    // struct fw_rsc_vdev behind its type, with two queues of 8 entries aligned to 16, from a real resource table.
    let words: [u32; 16] = [7, 1, 1, 0, 0, 2 << 8, u32::MAX, 16, 8, 2, 0, BASE as u32, 16, 8, 3, 0];
    let table = 0xf000 + 4;
    for (i, word) in words.iter().enumerate() {
        memory.put(table + 4 * i, word).unwrap();
    }
    let entry = VdevEntry::new(memory.clone(), table).unwrap();
    assert_eq!((entry.id(), entry.queues(), entry.offered()), (7, 2, Features(1)));
    assert_eq!(entry.status(), Status::RESET);
    assert!(entry.vring(0, memory.clone()).is_err(), "the host has not chosen a place yet");
    assert!(matches!(entry.queue(2), Err(VdevError::NoSuchQueue { queue: 2, queues: 2 })));
    assert_eq!(entry.vring(1, memory.clone()).unwrap().size(), 8);
    entry.set_queue(0, BASE as u32 + 0x1000, 5).unwrap();
    assert_eq!(entry.vring(0, memory.clone()).unwrap().size(), 8);
    assert_eq!(entry.queue(0).unwrap().notifyid, 5);
    entry.accept(Features(u64::MAX));
    assert_eq!(entry.agreed(), Features(1), "only what was offered");
    memory.put(table + 12, &u32::MAX).unwrap();
    assert_eq!(entry.agreed(), Features(1), "whatever the driver writes");
    for (status, ready) in [(4, true), (7, true), (3, false), (0x44, false), (0x84, false)] {
        entry.set_status(Status(status));
        assert_eq!(memory.get::<u8>(table + 20), Ok(status));
        assert_eq!(entry.status().is_ready(), ready, "{status:#x}");
    }
    for num in [0u32, 3, 1 << 20] {
        memory.put(table + 24 + 8, &num).unwrap();
        assert!(entry.vring(0, memory.clone()).is_err(), "{num} entries");
    }
    memory.put(table + 16, &u32::MAX).unwrap();
    assert!(VdevEntry::new(memory, table).is_err(), "a config space beyond the memory");
}
