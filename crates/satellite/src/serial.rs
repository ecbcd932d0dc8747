//! Frames on a line of bytes: a checksum behind each, all of it without zeros by
//! [COBS](https://doi.org/10.1109/90.769765) (Cheshire and Baker), and a zero between them.
//!
//! A reader that comes late, or loses bytes, is back in step at the next zero. The checksum is CRC-16/X-25 (ISO/IEC 13239),
//! low byte first.

use crate::wire::MAX_FRAME;

/// The most bytes that a frame of `len` takes on the line.
#[must_use]
pub const fn line_len(len: usize) -> usize {
    len + 2 + (len + 2) / 254 + 2
}

/// The checksum of some bytes.
#[must_use]
pub fn checksum(bytes: &[u8]) -> u16 {
    let mut crc = 0xffffu16;
    for byte in bytes {
        crc ^= u16::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x8408 } else { crc >> 1 };
        }
    }
    !crc
}

/// Writes a frame as it goes onto the line, its zero included; `None` if `to` is too short ([`line_len`] suffices) or the
/// frame longer than [`MAX_FRAME`].
pub fn encode(frame: &[u8], to: &mut [u8]) -> Option<usize> {
    if frame.len() > MAX_FRAME || to.len() < line_len(frame.len()) {
        return None;
    }
    let crc = checksum(frame).to_le_bytes();
    let (mut code_at, mut code, mut at) = (0, 1u8, 1);
    for byte in frame.iter().chain(&crc) {
        if *byte != 0 {
            *to.get_mut(at)? = *byte;
            at += 1;
            code += 1;
        }
        if *byte == 0 || code == 0xff {
            *to.get_mut(code_at)? = code;
            (code_at, code, at) = (at, 1, at + 1);
        }
    }
    *to.get_mut(code_at)? = code;
    *to.get_mut(at)? = 0;
    Some(at + 1)
}

/// Takes bytes from the line and gives frames.
#[derive(Clone, Debug)]
pub struct Decoder {
    bytes: [u8; MAX_FRAME + 2],
    len: usize,
    /// Bytes until the next code, and whether a zero stands there.
    left: u8,
    zero: bool,
    /// This frame is damaged or too long: wait for the next zero.
    skip: bool,
    dropped: u32,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { bytes: [0; MAX_FRAME + 2], len: 0, left: 0, zero: false, skip: false, dropped: 0 }
    }
}

impl Decoder {
    /// Takes one byte; gives a frame if it ends one that is whole.
    pub fn push(&mut self, byte: u8) -> Option<&[u8]> {
        if byte == 0 {
            return self.end();
        }
        if self.skip {
            return None;
        }
        if self.left == 0 {
            if self.zero {
                self.store(0);
            }
            self.left = byte - 1;
            self.zero = byte != 0xff;
        } else {
            self.left -= 1;
            self.store(byte);
        }
        None
    }

    /// How many frames were dropped: damaged, or too long.
    #[must_use]
    pub fn dropped(&self) -> u32 {
        self.dropped
    }

    fn store(&mut self, byte: u8) {
        match self.bytes.get_mut(self.len) {
            Some(slot) => {
                *slot = byte;
                self.len += 1;
            }
            None => self.skip = true,
        }
    }

    fn end(&mut self) -> Option<&[u8]> {
        let (len, whole) = (self.len, self.left == 0 && !self.skip);
        let begun = len > 0 || self.left > 0 || self.skip;
        (self.len, self.left, self.zero, self.skip) = (0, 0, false, false);
        let frame = self.bytes.get(..len).filter(|_| whole).and_then(|bytes| bytes.split_last_chunk::<2>());
        match frame {
            Some((frame, crc)) if checksum(frame) == u16::from_le_bytes(*crc) => Some(frame),
            _ => {
                self.dropped = self.dropped.saturating_add(u32::from(begun));
                None
            }
        }
    }
}
