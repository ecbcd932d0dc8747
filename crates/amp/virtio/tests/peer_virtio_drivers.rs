//! `virtio-drivers` as the driver against our device, over the same memory: legacy and modern layouts, tables, both
//! ways of suppression. `TUTTI_PEER_STEPS` sets the number of operations.

mod common;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ptr::NonNull;

use common::{Chance, steps};
use tutti_metal::{DeviceAddr, Memory, Owned, Region};
use tutti_virtio::{Device, DeviceSlot, Features, Layout, Piece, QueueSize, Vring};
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::{DeviceStatus, DeviceType, InterruptStatus, Transport};
use virtio_drivers::{BufferDirection, Hal, PhysAddr};
use zerocopy::{FromBytes, Immutable, IntoBytes};

const LEN: usize = 0x20000;
const N: usize = 8;
const PLACE: usize = 64;

/// Memory that has one address for everybody: pages for queues from the start, places for buffers from the end.
struct Space {
    memory: Owned,
    base: usize,
    pages: usize,
    places: Vec<usize>,
}

thread_local! {
    static SPACE: RefCell<Option<Space>> = const { RefCell::new(None) };
}

fn space<R>(work: impl FnOnce(&mut Space) -> R) -> R {
    SPACE.with_borrow_mut(|space| work(space.as_mut().expect("set up by the test")))
}

enum Desk {}

// SAFETY: pages are handed out once, zeroed and aligned; buffers are copied to places of their own in the same memory.
unsafe impl Hal for Desk {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (PhysAddr, NonNull<u8>) {
        space(|space| {
            let at = space.pages;
            space.pages += 4096 * pages;
            let pointer = NonNull::new(space.memory.pointer(at).unwrap()).unwrap();
            (pointer.as_ptr() as PhysAddr, pointer)
        })
    }
    unsafe fn dma_dealloc(_: PhysAddr, _: NonNull<u8>, _: usize) -> i32 {
        0
    }
    unsafe fn mmio_phys_to_virt(_: PhysAddr, _: usize) -> NonNull<u8> {
        unreachable!("there are no registers")
    }
    unsafe fn share(buffer: NonNull<[u8]>, direction: BufferDirection) -> PhysAddr {
        space(|space| {
            // Tables of descriptors are shared too: each gets as many places as it needs, which lie in a row.
            assert!(buffer.len() <= PLACE);
            let at = space.places.pop().expect("a place");
            if direction != BufferDirection::DeviceToDriver {
                // SAFETY: the caller's buffer is valid for reading.
                space.memory.copy_in(at, unsafe { buffer.as_ref() }).unwrap();
            }
            (space.base + at) as PhysAddr
        })
    }
    unsafe fn unshare(address: PhysAddr, mut buffer: NonNull<[u8]>, direction: BufferDirection) {
        space(|space| {
            let at = address as usize - space.base;
            if direction != BufferDirection::DriverToDevice {
                // SAFETY: the caller's buffer is valid for writing.
                space.memory.copy_out(at, unsafe { buffer.as_mut() }).unwrap();
            }
            space.places.push(at);
        });
    }
}

/// Takes down where the queue is.
struct Wire {
    legacy: bool,
    queue: Option<[usize; 3]>,
}

impl Transport for Wire {
    fn device_type(&self) -> DeviceType {
        DeviceType::Console
    }
    fn read_device_features(&mut self) -> u64 {
        0
    }
    fn write_driver_features(&mut self, _: u64) {}
    fn max_queue_size(&mut self, _: u16) -> u32 {
        N as u32
    }
    fn notify(&mut self, _: u16) {}
    fn get_status(&self) -> DeviceStatus {
        DeviceStatus::empty()
    }
    fn set_status(&mut self, _: DeviceStatus) {}
    fn set_guest_page_size(&mut self, _: u32) {}
    fn requires_legacy_layout(&self) -> bool {
        self.legacy
    }
    fn queue_set(&mut self, _: u16, _: u32, descriptors: PhysAddr, driver: PhysAddr, device: PhysAddr) {
        self.queue = Some([descriptors as usize, driver as usize, device as usize]);
    }
    fn queue_unset(&mut self, _: u16) {}
    fn queue_used(&mut self, _: u16) -> bool {
        false
    }
    fn ack_interrupt(&mut self) -> InterruptStatus {
        InterruptStatus::empty()
    }
    fn read_config_generation(&self) -> u32 {
        0
    }
    fn read_config_space<T: FromBytes + IntoBytes>(&self, _: usize) -> virtio_drivers::Result<T> {
        Err(virtio_drivers::Error::Unsupported)
    }
    fn write_config_space<T: IntoBytes + Immutable>(&mut self, _: usize, _: T) -> virtio_drivers::Result<()> {
        Err(virtio_drivers::Error::Unsupported)
    }
}

type Text = Box<[u8; 24]>;

fn run(legacy: bool, indirect: bool, event_idx: bool, seed: u64, wanted: u64) -> usize {
    let owned = Owned::allocate(LEN, DeviceAddr(0)).unwrap();
    let base = owned.pointer(0).unwrap() as usize;
    let places = (LEN / 2 / PLACE..LEN / PLACE).map(|i| i * PLACE).collect();
    SPACE.set(Some(Space { memory: owned.clone(), base, pages: 0, places }));
    let mut wire = Wire { legacy, queue: None };
    let mut driver = VirtQueue::<Desk, N>::new(&mut wire, 0, indirect, event_idx).unwrap();

    // SAFETY: the allocation lives to the end of this function, and the driver too only uses pointers into it.
    let memory = unsafe { Region::from_raw(base as *mut u8, LEN, DeviceAddr(base as u64)) }.unwrap();
    let size = QueueSize::new(N as u32).unwrap();
    let [descriptors, available, used] = wire.queue.unwrap().map(|address| address - base);
    let layout = Layout { size, descriptors, available, used };
    if legacy {
        assert_eq!(
            Layout::legacy(size, 4096, descriptors),
            Ok(layout),
            "both know where the tables of a legacy queue are"
        );
    }
    let mut features = Features::NONE;
    if event_idx {
        features = features.with(Features::EVENT_IDX);
    }
    if indirect {
        features = features.with(Features::INDIRECT_DESC);
    }
    let ring = Vring::new(memory, layout).unwrap();
    let mut device = Device::new(ring, memory, features, [DeviceSlot::default(); N]).unwrap();

    let mut chance = Chance::new(seed);
    let mut round = 0;
    let mut out: VecDeque<(u16, Text, Text)> = VecDeque::new();
    for i in 0..wanted {
        if chance.one_in(2) {
            let (question, mut answer) = (Box::new([i as u8; 24]), Box::new([0u8; 24]));
            // SAFETY: both buffers are kept, untouched, until they come back.
            if let Ok(token) = unsafe { driver.add(&[&question[..]], &mut [&mut answer[..]]) } {
                out.push_back((token, question, answer));
                if out.len() == 1 {
                    assert!(driver.should_notify() || !event_idx, "seed {seed}: the device had asked to be told");
                }
            } else {
                assert!(out.len() >= N / 2, "seed {seed}: the queue is not full");
            }
        } else {
            let mut pieces = [Piece::default(); 2];
            let popped = device.pop(&mut pieces).unwrap();
            assert_eq!(popped.is_some(), !out.is_empty(), "seed {seed}");
            let Some(chain) = popped else {
                assert!(!device.listen().unwrap());
                continue;
            };
            assert_eq!((chain.pieces, chain.readable, chain.writable), (2, 24, 24));
            let mut bytes = [0; 24];
            memory.copy_out(pieces[0].at, &mut bytes).unwrap();
            memory.copy_in(pieces[1].at, &bytes.map(|byte| !byte)).unwrap();
            device.complete(chain.head, 24).unwrap();
            let _ = device.publish();
            let (token, question, mut answer) = out.pop_front().unwrap();
            assert_eq!(driver.peek_used(), Some(token), "seed {seed}");
            // SAFETY: the buffers that were added with this token.
            let len = unsafe { driver.pop_used(token, &[&question[..]], &mut [&mut answer[..]]) };
            assert_eq!(len, Ok(24));
            assert_eq!(answer.map(|byte| !byte), *question, "seed {seed}: the answer to this question");
            round += 1;
        }
    }
    while let Some(entry) = out.pop_front() {
        // Still shared; the queue goes first.
        std::mem::forget(entry);
    }
    round
}

#[test]
fn virtio_drivers_and_our_device_understand_each_other() {
    let wanted = steps("TUTTI_PEER_STEPS", 400_000) / 8;
    for case in 0..8u64 {
        let round = run(case & 1 != 0, case & 2 != 0, case & 4 != 0, case + 1, wanted);
        assert!(round as u64 > wanted / 10, "only {round} buffers went round");
    }
}
