//! The limits: what the machine does without any protocol.

use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::time::Duration;

use tutti_metal::{Doorbell, Memory, Sleep, Wake};

use super::run::{Failed, Patience};
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

/// A ring for one producer and one consumer: an index each on its own line, slots of 512 bytes.
pub(super) struct Spsc {
    pub(super) memory: SharedMemory,
    pub(super) at: usize,
}

const SLOT: usize = 512;
const SLOTS: u16 = 256;

impl Spsc {
    pub(super) const BYTES: usize = 4096 + SLOT * SLOTS as usize;

    fn slot(&self, index: u16) -> usize {
        self.at + 4096 + SLOT * usize::from(index % SLOTS)
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
            while head.wrapping_sub(tail) == SLOTS {
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
            sum = bytes.fold(sum, |sum, word| sum.wrapping_add(word));
            signal(&self.memory, self.flags + 128, (tail as u16).wrapping_add(1));
        }
        Ok(sum)
    }
}

/// `memcpy` between private blocks, over the working set of the link.
pub(super) fn memcpy(count: u32, size: usize, blocks: usize) {
    let source = vec![7u8; size];
    let mut targets = vec![vec![0u8; size]; blocks];
    for i in 0..count as usize {
        let target = &mut targets[i % blocks];
        target.copy_from_slice(black_box(&source));
        black_box(target);
    }
}

/// A bare ping-pong over doorbells: the one who asks.
pub(super) fn ring_and_wait(count: u32, bell: &impl Doorbell, sleep: &impl Sleep) -> Result<(), Failed> {
    for _ in 0..count {
        bell.ring(0);
        wait(sleep)?;
    }
    Ok(())
}

/// The one who answers.
pub(super) fn wait_and_ring(count: u32, bell: &impl Doorbell, sleep: &impl Sleep) -> Result<(), Failed> {
    for _ in 0..count {
        wait(sleep)?;
        bell.ring(0);
    }
    Ok(())
}

fn wait(sleep: &impl Sleep) -> Result<(), Failed> {
    match sleep.sleep(Duration::from_secs(5)) {
        Wake::Rung => Ok(()),
        Wake::TimedOut => Err(Failed::Silence),
    }
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
