//! The limits: what the machine does without any protocol.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use tutti_metal::{Doorbell, Memory, Sleep, Wake};

use super::run::{Failed, Patience, pause};
use crate::SharedMemory;

/// Two flags, each with a payload behind it in the same line.
pub(super) struct Flags {
    pub(super) memory: SharedMemory,
    pub(super) mine: usize,
    pub(super) theirs: usize,
}

const PAYLOAD: usize = 8;

impl Flags {
    #[inline(always)]
    fn put(&self, turn: u16, bytes: &[u8]) -> Result<(), Failed> {
        self.memory.copy_in(self.mine + PAYLOAD, bytes)?;
        signal(&self.memory, self.mine, turn);
        Ok(())
    }

    #[inline(always)]
    fn get(&self, turn: u16, bytes: &mut [u8]) -> Result<(), Failed> {
        let mut patience = Patience::default();
        while look(&self.memory, self.theirs) != turn {
            patience.spin()?;
        }
        Ok(self.memory.copy_out(self.theirs + PAYLOAD, bytes)?)
    }

    pub(super) fn ask(&self, count: u32, size: usize) -> Result<(), Failed> {
        let sent = vec![7u8; size];
        let mut got = vec![0u8; size];
        for turn in 1..=count {
            self.put(turn as u16, black_box(&sent))?;
            self.get(turn as u16, &mut got)?;
            black_box(&got);
        }
        Ok(())
    }

    pub(super) fn answer(&self, count: u32, size: usize) -> Result<(), Failed> {
        let mut bytes = vec![0u8; size];
        for turn in 1..=count {
            self.get(turn as u16, &mut bytes)?;
            self.put(turn as u16, black_box(&bytes))?;
        }
        Ok(())
    }

    pub(super) fn clear(&self) {
        signal(&self.memory, self.mine, 0);
    }
}

#[inline(always)]
fn signal(memory: &SharedMemory, at: usize, value: u16) {
    crate::mapping::store(memory, at, value);
}

#[inline(always)]
fn look(memory: &SharedMemory, at: usize) -> u16 {
    crate::mapping::load(memory, at)
}

/// A ring for one producer and one consumer: an index each on its own line, slots as large as the link's buffers.
pub(super) struct Spsc {
    pub(super) memory: SharedMemory,
    pub(super) at: usize,
    pub(super) slot: usize,
    pub(super) slots: u16,
}

impl Spsc {
    #[inline(always)]
    fn slot(&self, index: u16) -> usize {
        self.at + 4096 + self.slot * usize::from(index & (self.slots - 1))
    }

    pub(super) fn clear(&self) {
        signal(&self.memory, self.at, 0);
        signal(&self.memory, self.at + 128, 0);
    }

    pub(super) fn stream(&self, count: u32, size: usize) -> Result<(), Failed> {
        let bytes = vec![7u8; size];
        let (mut head, mut tail) = (0u16, 0u16);
        let mut patience = Patience::default();
        for _ in 0..count {
            while head.wrapping_sub(tail) == self.slots {
                tail = look(&self.memory, self.at + 128);
                patience.spin()?;
            }
            let at = self.slot(head);
            self.memory.put(at, &(size as u32))?;
            self.memory.copy_in(at + 4, black_box(&bytes))?;
            head = head.wrapping_add(1);
            signal(&self.memory, self.at, head);
        }
        Ok(())
    }

    pub(super) fn sink(&self, count: u32, size: usize) -> Result<(), Failed> {
        let mut bytes = vec![0u8; size];
        let (mut head, mut tail) = (0u16, 0u16);
        for _ in 0..count {
            let mut patience = Patience::default();
            while head == tail {
                head = look(&self.memory, self.at);
                patience.spin()?;
            }
            let at = self.slot(tail);
            let len = (self.memory.get::<u32>(at)? as usize).min(size);
            if let Some(to) = bytes.get_mut(..len) {
                self.memory.copy_out(at + 4, to)?;
            }
            black_box(&bytes);
            tail = tail.wrapping_add(1);
            signal(&self.memory, self.at + 128, tail);
        }
        Ok(())
    }
}

/// What the layout of a virtqueue with RPMsg's header demands, and nothing more: entries, used elements, both indices,
/// a header and a payload are written and read, but nothing is checked, and nobody is looked up.
pub(super) struct Bare<'a>(pub(super) &'a Spsc);

impl Bare<'_> {
    // Of the plain ring's place: the indices on its two lines, the entries behind each.
    fn entry(&self, index: u16) -> usize {
        self.0.at + 1024 + 2 * usize::from(index & (self.0.slots - 1))
    }
    fn used(&self, index: u16) -> usize {
        self.0.at + 2048 + 8 * usize::from(index & (self.0.slots - 1))
    }

    pub(super) fn stream(&self, count: u32, size: usize, batch: u32) -> Result<(), Failed> {
        let Spsc { memory, at, slots, .. } = self.0;
        let bytes = vec![7u8; size];
        let (mut head, mut tail, mut seen) = (0u16, 0u16, 0u16);
        let mut patience = Patience::default();
        for sent in 1..=count {
            let id = if head < *slots && sent <= u32::from(*slots) {
                head
            } else {
                while seen == tail {
                    signal(memory, *at, head);
                    seen = look(memory, at + 128);
                    patience.spin()?;
                }
                tail = tail.wrapping_add(1);
                memory.get::<u32>(self.used(tail.wrapping_sub(1)))? as u16
            };
            let slot = self.0.slot(id);
            memory.put(slot, &0x0000_0002_0000_0001u64)?;
            memory.put(slot + 8, &((size as u64) << 32))?;
            memory.copy_in(slot + 16, black_box(&bytes))?;
            memory.put(self.entry(head), &id)?;
            head = head.wrapping_add(1);
            if sent % batch == 0 || sent == count {
                signal(memory, *at, head);
            }
        }
        Ok(())
    }

    pub(super) fn sink(&self, count: u32, size: usize) -> Result<(), Failed> {
        let Spsc { memory, at, slots, .. } = self.0;
        let mut bytes = vec![0u8; size];
        let (mut head, mut tail) = (0u16, 0u16);
        for _ in 0..count {
            let mut patience = Patience::default();
            while head == tail {
                signal(memory, at + 128, tail);
                head = look(memory, *at);
                patience.spin()?;
            }
            let id = memory.get::<u16>(self.entry(tail))?;
            let slot = self.0.slot(id);
            black_box(memory.get::<u64>(slot)?);
            let len = (memory.get::<u64>(slot + 8)? >> 32) as usize;
            if let Some(to) = bytes.get_mut(..len.min(size)) {
                memory.copy_out(slot + 16, to)?;
            }
            black_box(&bytes);
            memory.put(self.used(tail), &u32::from(id))?;
            memory.put(self.used(tail) + 4, &(self.0.slot as u32))?;
            tail = tail.wrapping_add(1);
            if tail.is_multiple_of(slots / 4) {
                signal(memory, at + 128, tail);
            }
        }
        signal(memory, at + 128, tail);
        Ok(())
    }
}

/// Large blocks written on one side and read on the other, with one flag per block between.
pub(super) struct Blocks {
    pub(super) memory: SharedMemory,
    /// Two flags, 128 bytes apart.
    pub(super) flags: usize,
    pub(super) at: usize,
    pub(super) count: u16,
    pub(super) stride: usize,
}

impl Blocks {
    fn block(&self, index: u16) -> usize {
        self.at + self.stride * usize::from(index % self.count)
    }

    pub(super) fn clear(&self) {
        signal(&self.memory, self.flags, 0);
        signal(&self.memory, self.flags + 128, 0);
    }

    pub(super) fn stream(&self, count: u32, size: usize) -> Result<(), Failed> {
        let bytes = vec![7u8; size];
        let mut patience = Patience::default();
        for head in 0..count {
            while (head as u16).wrapping_sub(look(&self.memory, self.flags + 128)) >= self.count {
                patience.spin()?;
            }
            self.memory.copy_in(self.block(head as u16), black_box(&bytes))?;
            signal(&self.memory, self.flags, (head as u16).wrapping_add(1));
        }
        Ok(())
    }

    pub(super) fn sink(&self, count: u32, size: usize) -> Result<u64, Failed> {
        let mut sum = 0u64;
        for tail in 0..count {
            let mut patience = Patience::default();
            while look(&self.memory, self.flags) == tail as u16 {
                patience.spin()?;
            }
            let bytes = tutti_virtio::Bytes::new(&self.memory, self.block(tail as u16), size)?;
            sum = sum.wrapping_add(total(&bytes));
            signal(&self.memory, self.flags + 128, (tail as u16).wrapping_add(1));
        }
        Ok(sum)
    }
}

/// Reads every byte.
#[inline(always)]
pub(super) fn total<M: Memory>(bytes: &tutti_virtio::Bytes<'_, M>) -> u64 {
    let lanes = bytes.fold([0u64; 8], |sums, words| std::array::from_fn(|i| sums[i].wrapping_add(words[i])));
    lanes.iter().fold(0, |sum, lane| sum.wrapping_add(*lane))
}

impl Blocks {
    /// Writes all blocks again and again, whenever the other side asks for it.
    pub(super) fn fill(&self, count: u32, size: usize) -> Result<(), Failed> {
        let bytes = vec![7u8; size];
        for turn in 1..=count.div_ceil(u32::from(self.count)) {
            self.await_flag(self.flags, turn as u16)?;
            for block in 0..self.count {
                self.memory.copy_in(self.block(block), black_box(&bytes))?;
            }
            signal(&self.memory, self.flags + 128, turn as u16);
        }
        Ok(())
    }

    /// `memcpy` out of blocks that the other core has just written: how long the copying alone took.
    pub(super) fn copy_foreign(&self, count: u32, size: usize) -> Result<Duration, Failed> {
        let mut targets = vec![vec![0u8; size]; usize::from(self.count)];
        let mut took = Duration::ZERO;
        for turn in 1..=count.div_ceil(u32::from(self.count)) {
            signal(&self.memory, self.flags, turn as u16);
            self.await_flag(self.flags + 128, turn as u16)?;
            let start = Instant::now();
            for (block, target) in targets.iter_mut().enumerate() {
                self.memory.copy_out(self.block(block as u16), target)?;
                black_box(target);
            }
            took += start.elapsed();
        }
        Ok(took)
    }

    fn await_flag(&self, at: usize, turn: u16) -> Result<(), Failed> {
        let mut patience = Patience::default();
        while look(&self.memory, at) != turn {
            patience.spin()?;
        }
        Ok(())
    }
}

/// `memcpy` between private blocks that only this core touches, over the working set of the link.
pub(super) fn memcpy(count: u32, size: usize, blocks: usize) -> Duration {
    let source = vec![7u8; size];
    let mut targets = vec![vec![0u8; size]; blocks];
    let start = Instant::now();
    for i in 0..count as usize {
        let target = &mut targets[i % blocks];
        target.copy_from_slice(black_box(&source));
        black_box(target);
    }
    start.elapsed()
}

/// Arithmetic that leaves no room for another thread on the same physical core.
pub(super) fn burn(turns: u32) -> Duration {
    let start = Instant::now();
    let mut lanes = [1u64, 2, 3, 4, 5, 6, 7, 8];
    for i in 0..u64::from(turns) {
        for lane in &mut lanes {
            *lane = (lane.wrapping_add(i) ^ (*lane << 1)).wrapping_sub(*lane >> 3);
        }
        black_box(&mut lanes);
    }
    start.elapsed()
}

/// A bare ping-pong over doorbells: the one who asks.
pub(super) fn ring_and_wait(count: u32, bell: &impl Doorbell, sleep: &impl Sleep) -> Result<(), Failed> {
    for _ in 0..count {
        pause();
        bell.ring(0);
        wait(sleep)?;
    }
    Ok(())
}

/// The one who answers.
pub(super) fn wait_and_ring(count: u32, bell: &impl Doorbell, sleep: &impl Sleep) -> Result<(), Failed> {
    for _ in 0..count {
        wait(sleep)?;
        pause();
        bell.ring(0);
    }
    Ok(())
}

fn wait(sleep: &impl Sleep) -> Result<(), Failed> {
    let start = Instant::now();
    // A ring that came late can end the next sleep early, without a ring of its own.
    while sleep.sleep(Duration::from_secs(5)) == Wake::TimedOut {
        if start.elapsed() > Duration::from_secs(5) {
            return Err(Failed::Silence);
        }
    }
    Ok(())
}

/// Two pipes.
pub(super) struct Pipes {
    pub(super) from: File,
    pub(super) to: File,
}

impl Pipes {
    pub(super) fn ask(&mut self, count: u32, size: usize) -> Result<(), Failed> {
        let mut bytes = vec![7u8; size];
        for _ in 0..count {
            self.to.write_all(&bytes)?;
            self.from.read_exact(&mut bytes)?;
        }
        Ok(())
    }

    pub(super) fn answer(&mut self, count: u32, size: usize) -> Result<(), Failed> {
        let mut bytes = vec![0u8; size];
        for _ in 0..count {
            self.from.read_exact(&mut bytes)?;
            self.to.write_all(&bytes)?;
        }
        Ok(())
    }

    pub(super) fn stream(&mut self, count: u32, size: usize) -> Result<(), Failed> {
        let bytes = vec![7u8; size];
        (0..count).try_for_each(|_| Ok(self.to.write_all(&bytes)?))
    }

    pub(super) fn sink(&mut self, count: u32, size: usize) -> Result<(), Failed> {
        let mut bytes = vec![0u8; size];
        (0..count).try_for_each(|_| Ok(self.from.read_exact(&mut bytes)?))
    }
}
