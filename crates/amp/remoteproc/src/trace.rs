//! The text that a firmware writes for people, read while it writes.
//!
//! A trace entry of a resource table names a buffer, and says nothing about what is in it. There are two kinds:
//!
//! * **plain**: text, a zero behind the newest character, and when the buffer is full on from its start. That is what Linux
//!   shows in debugfs and what most firmwares have.
//! * **counted**: begins with a magic number and a count of all bytes ever written, so that a reader knows what it missed.
//!   [`TraceWriter`] makes this kind. Linux shows it with eight odd characters in front.
//!
//! What is read was written by the other side: it may be any bytes, and whoever shows it has to make it harmless.

use core::fmt;

use tutti_metal::{Memory, OutOfBounds};

/// `TTRC`.
const MAGIC: u32 = u32::from_le_bytes(*b"TTRC");
const HEADER: usize = 8;
const CHUNK: usize = 64;

/// How far a trace was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TraceReader {
    /// Plain: where the zero was. `None` before the first look.
    plain: Option<usize>,
    /// Counted: how many bytes were seen.
    seen: Option<u32>,
}

/// What a look at a trace gave.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traced {
    /// How many bytes were handed over.
    pub bytes: usize,
    /// How many were overwritten before they could be read; only counted traces tell.
    pub lost: u32,
}

impl TraceReader {
    /// Starts with the oldest text that is there.
    #[must_use]
    pub const fn new() -> Self {
        Self { plain: None, seen: None }
    }

    /// Hands what was written since the last look to `each`, in pieces: at most one buffer's length.
    ///
    /// # Errors
    /// If the buffer does not lie in the memory.
    pub fn read<M: Memory>(
        &mut self,
        memory: &M,
        at: usize,
        len: usize,
        each: &mut impl FnMut(&[u8]),
    ) -> Result<Traced, OutOfBounds> {
        memory.check(at, len)?;
        if len == 0 {
            return Ok(Traced::default());
        }
        memory.invalidate(at, len);
        let counted = len > HEADER && at.is_multiple_of(4) && memory.get::<u32>(at)? == MAGIC;
        if counted { self.read_counted(memory, at, len, each) } else { self.read_plain(memory, at, len, each) }
    }

    fn read_plain<M: Memory>(
        &mut self,
        memory: &M,
        at: usize,
        len: usize,
        each: &mut impl FnMut(&[u8]),
    ) -> Result<Traced, OutOfBounds> {
        let start = match self.plain.filter(|&start| start < len) {
            Some(start) => start,
            None => oldest(memory, at, len)?,
        };
        let mut chunk = [0; CHUNK];
        let mut done = 0;
        let mut here = start;
        while done < len {
            let most = CHUNK.min(len - here).min(len - done);
            let piece = chunk.get_mut(..most).unwrap_or(&mut []);
            memory.copy_out(at + here, piece)?;
            let text = piece.split(|&byte| byte == 0).next().unwrap_or(&[]);
            if !text.is_empty() {
                each(text);
            }
            done += text.len();
            here = (here + text.len()) % len;
            if text.len() < most {
                break;
            }
        }
        self.plain = Some(here);
        Ok(Traced { bytes: done, lost: 0 })
    }

    fn read_counted<M: Memory>(
        &mut self,
        memory: &M,
        at: usize,
        len: usize,
        each: &mut impl FnMut(&[u8]),
    ) -> Result<Traced, OutOfBounds> {
        let room = (len - HEADER).min(1 << 30) as u32;
        let count: u32 = memory.get(at + 4)?;
        memory.fence();
        let seen = self.seen.unwrap_or(count.saturating_sub(room));
        let fresh = count.wrapping_sub(seen);
        let mut lost = fresh.saturating_sub(room);
        let mut from = seen.wrapping_add(lost);
        let mut bytes = 0;
        let mut chunk = [0; CHUNK];
        while from != count {
            let place = (from % room) as usize;
            let most = (count.wrapping_sub(from) as usize).min(CHUNK).min(room as usize - place);
            let piece = chunk.get_mut(..most).unwrap_or(&mut []);
            memory.copy_out(at + HEADER + place, piece)?;
            memory.fence();
            // What the writer reached meanwhile is no text of before any more.
            let now: u32 = memory.get(at + 4)?;
            let overrun = now.wrapping_sub(from).saturating_sub(room).min(most as u32);
            lost += overrun;
            let kept = piece.get(overrun as usize..).unwrap_or(&[]);
            if !kept.is_empty() {
                each(kept);
            }
            bytes += kept.len();
            from = from.wrapping_add(most as u32);
        }
        self.seen = Some(count);
        Ok(Traced { bytes, lost })
    }
}

/// Where the oldest text of a plain buffer starts: behind the zero if there is text, else at the front.
fn oldest<M: Memory>(memory: &M, at: usize, len: usize) -> Result<usize, OutOfBounds> {
    for i in 0..len.saturating_sub(1) {
        if memory.get::<u8>(at + i)? == 0 {
            return Ok(if memory.get::<u8>(at + i + 1)? == 0 { 0 } else { i + 1 });
        }
    }
    Ok(0)
}

/// Writes a counted trace: the firmware's end.
#[derive(Clone, Debug)]
pub struct TraceWriter<M> {
    memory: M,
    at: usize,
    room: u32,
    count: u32,
}

impl<M: Memory> TraceWriter<M> {
    /// Over the `len` bytes at `at`, a multiple of 4, which it clears.
    ///
    /// # Errors
    /// If they are not inside, or have no room behind the eight bytes of the header.
    pub fn new(memory: M, at: usize, len: usize) -> Result<Self, OutOfBounds> {
        let refuse = OutOfBounds { at: at as u64, len: len as u64, region: memory.len() };
        memory.check(at, len)?;
        let room = len.checked_sub(HEADER).filter(|&room| room > 0 && room <= 1 << 30).ok_or(refuse)? as u32;
        memory.put(at + 4, &0u32)?;
        memory.fence();
        memory.put(at, &MAGIC)?;
        memory.clean(at, HEADER);
        Ok(Self { memory, at, room, count: 0 })
    }

    /// Writes bytes, over the oldest ones if it must.
    pub fn write(&mut self, mut bytes: &[u8]) {
        // More than fits would only overwrite itself.
        if let Some(last) = bytes.len().checked_sub(self.room as usize) {
            self.count = self.count.wrapping_add(last as u32);
            bytes = bytes.get(last..).unwrap_or(bytes);
        }
        while !bytes.is_empty() {
            let place = (self.count % self.room) as usize;
            let (now, later) = bytes.split_at(bytes.len().min(self.room as usize - place));
            // Inside: `new` has checked the whole buffer.
            let _ = self.memory.copy_in(self.at + HEADER + place, now);
            self.memory.clean(self.at + HEADER + place, now.len());
            self.count = self.count.wrapping_add(now.len() as u32);
            bytes = later;
        }
        self.memory.fence();
        let _ = self.memory.put(self.at + 4, &self.count);
        self.memory.clean(self.at, HEADER);
    }
}

impl<M: Memory> fmt::Write for TraceWriter<M> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes());
        Ok(())
    }
}
