//! Every interleaving of two cores over a ring of two entries, with the memory model's reorderings.
//!
//! The ring's data words are loom cells, so a read that is not ordered behind its write is an error; indices and event
//! words are loom atomics. A lost wake-up is a deadlock, which loom reports. At most [`PREEMPTIONS`] preemptions
//! per execution are explored by default (`LOOM_MAX_PREEMPTIONS` sets another bound).

mod common;

use std::sync::Arc as StdArc;

use common::layout;
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU16, Ordering, fence};
use loom::sync::{Arc, Notify};
use tutti_metal::{DeviceAddr, Memory, Word};
use tutti_virtio::{Device, DeviceSlot, Driver, DriverSlot, Features, Part, Piece, Vring};

const PREEMPTIONS: usize = 3;
const BYTES: usize = 512;
const BUFFERS: usize = 256;

/// Shared memory in which the six signals of a queue of two entries are atomics, and all else are cells.
#[derive(Clone)]
struct Modelled(Arc<Words>);

struct Words {
    /// What is left out on purpose, to see that it is missed.
    without: Without,
    signals: Vec<(usize, AtomicU16)>,
    data: Vec<UnsafeCell<u8>>,
    places: StdArc<[usize; 6]>,
}

// SAFETY: the cells are raced for only if the ring's orderings are wrong, which is what loom is here to find out.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

#[derive(Clone, Copy, PartialEq)]
enum Without {
    Nothing,
    Fences,
    Release,
}

impl Modelled {
    fn new(without: Without) -> Self {
        let layout = layout(2);
        let places = [
            layout.available,
            layout.available + 2,
            layout.available + 8,
            layout.used,
            layout.used + 2,
            layout.used + 20,
        ];
        Self(Arc::new(Words {
            without,
            signals: places.iter().map(|&at| (at, AtomicU16::new(0))).collect(),
            data: (0..BYTES).map(|_| UnsafeCell::new(0)).collect(),
            places: StdArc::new(places),
        }))
    }

    fn signal(&self, at: usize) -> Option<&AtomicU16> {
        let i = self.0.places.iter().position(|&place| place == at)?;
        Some(&self.0.signals[i].1)
    }
}

// SAFETY: the vectors check every access; orderings are loom's own, as the contract wants them.
unsafe impl Memory for Modelled {
    fn len(&self) -> usize {
        BYTES
    }
    fn device_base(&self) -> DeviceAddr {
        DeviceAddr(0)
    }
    unsafe fn read<T: Word>(&self, at: usize) -> T {
        let mut value = 0;
        for i in 0..T::BYTES {
            // SAFETY: loom checks that nobody writes the cell meanwhile.
            value |= self.0.data[at + i].with(|byte| u64::from(unsafe { *byte })) << (8 * i);
        }
        T::from_u64(value)
    }
    unsafe fn write<T: Word>(&self, at: usize, value: T) {
        if T::BYTES == 2
            && let Some(signal) = self.signal(at)
        {
            // Zeroing at the start.
            return signal.store(value.into_u64() as u16, Ordering::Relaxed);
        }
        for i in 0..T::BYTES {
            // SAFETY: loom checks that nobody uses the cell meanwhile.
            self.0.data[at + i].with_mut(|byte| unsafe { *byte = (value.into_u64() >> (8 * i)) as u8 });
        }
    }
    unsafe fn load(&self, at: usize) -> u16 {
        self.signal(at).expect("a signal").load(Ordering::Acquire)
    }
    unsafe fn store(&self, at: usize, value: u16) {
        let order = if self.0.without == Without::Release { Ordering::Relaxed } else { Ordering::Release };
        self.signal(at).expect("a signal").store(value, order);
    }
    unsafe fn read_bytes(&self, at: usize, to: &mut [u8]) {
        for (i, byte) in to.iter_mut().enumerate() {
            // SAFETY: as `read`.
            *byte = unsafe { self.read(at + i) };
        }
    }
    unsafe fn write_bytes(&self, at: usize, from: &[u8]) {
        for (i, byte) in from.iter().enumerate() {
            // SAFETY: as `write`.
            unsafe { self.write(at + i, *byte) };
        }
    }
    fn fence(&self) {
        if self.0.without != Without::Fences {
            fence(Ordering::SeqCst);
        }
    }
}

fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(model);
}

/// `messages` go from a driver to a device and back, over two entries; each side sleeps whenever it finds nothing.
fn pass(messages: u8, batch: u8, features: Features, preemptions: usize) {
    pass_without(Without::Nothing, messages, batch, features, preemptions);
}

fn pass_without(without: Without, messages: u8, batch: u8, features: Features, preemptions: usize) {
    check(preemptions, move || {
        let memory = Modelled::new(without);
        let ring = || Vring::new(memory.clone(), layout(2)).unwrap();
        let mut driver = Driver::new(ring(), features, [DriverSlot::default(); 2]).unwrap();
        let mut device = Device::new(ring(), memory.clone(), features, [DeviceSlot::default(); 2]).unwrap();
        let (to_device, to_driver) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (bell, sleeper) = (to_driver.clone(), to_device.clone());
        let far = loom::thread::spawn(move || {
            let mut pieces = [Piece::default(); 1];
            let mut next = 0;
            while next < messages {
                device.ignore();
                while let Some(chain) = device.pop(&mut pieces).unwrap() {
                    // SAFETY: one byte, inside.
                    let byte: u8 = unsafe { device.buffers().read(pieces[0].at) };
                    assert_eq!(byte, next, "each message once, in order, complete");
                    // SAFETY: one byte, inside.
                    unsafe { device.buffers().write(pieces[0].at, byte + 100) };
                    device.complete(chain.head, 1).unwrap();
                    next += 1;
                    if device.publish() {
                        bell.notify();
                    }
                }
                if next < messages && !device.listen().unwrap() {
                    sleeper.wait();
                }
            }
        });
        let (mut sent, mut back) = (0, 0);
        while back < messages {
            driver.ignore();
            while sent < messages && sent - back < 2 {
                for _ in 0..batch {
                    if sent < messages && sent - back < 2 {
                        let at = BUFFERS + usize::from(sent % 2);
                        // SAFETY: one byte, inside.
                        unsafe { memory.write(at, sent) };
                        driver
                            .add(&[Part { addr: DeviceAddr(at as u64), len: 1, writable: true }], u32::from(sent))
                            .unwrap();
                        sent += 1;
                    }
                }
                if driver.publish() {
                    to_device.notify();
                }
            }
            while let Some(used) = driver.pop().unwrap() {
                assert_eq!((used.token, used.written), (u32::from(back), 1));
                // SAFETY: one byte, inside.
                let byte: u8 = unsafe { memory.read(BUFFERS + usize::from(back % 2)) };
                assert_eq!(byte, back + 100, "the answer is complete");
                back += 1;
            }
            if back < messages && (sent == messages || sent - back == 2) && !driver.listen().unwrap() {
                to_driver.wait();
            }
        }
        far.join().unwrap();
    });
}

#[test]
fn one_message_is_never_lost_with_flags() {
    pass(1, 1, Features::NONE, PREEMPTIONS);
}

#[test]
fn one_message_is_never_lost_with_event_indices() {
    pass(1, 1, Features::EVENT_IDX, PREEMPTIONS);
}

#[test]
fn two_published_one_by_one_with_flags() {
    pass(2, 1, Features::NONE, 2);
}

#[test]
fn two_published_one_by_one_with_event_indices() {
    pass(2, 1, Features::EVENT_IDX, 2);
}

#[test]
fn three_through_two_entries_published_in_batches() {
    pass(3, 2, Features::EVENT_IDX, 1);
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_the_fences_a_wake_up_is_lost_and_this_finds_it() {
    pass_without(Without::Fences, 1, 1, Features::NONE, PREEMPTIONS);
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_the_fences_event_indices_lose_one_too() {
    pass_without(Without::Fences, 1, 1, Features::EVENT_IDX, PREEMPTIONS);
}

#[test]
#[should_panic(expected = "ausality")]
fn without_release_a_message_arrives_before_its_bytes_and_this_finds_it() {
    pass_without(Without::Release, 1, 1, Features::NONE, PREEMPTIONS);
}
