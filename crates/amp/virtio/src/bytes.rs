//! A stretch of shared memory that one side owns for a while: a buffer that it was lent, or a message that it received.

use tutti_metal::{Memory, OutOfBounds, Word};

/// Bytes to read. The other side ought to leave them alone, and may not: each call reads afresh.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a, M> {
    memory: &'a M,
    at: usize,
    len: usize,
}

impl<'a, M: Memory> Bytes<'a, M> {
    /// `len` bytes at `at`.
    ///
    /// # Errors
    /// If they do not lie in the memory.
    #[inline(always)]
    pub fn new(memory: &'a M, at: usize, len: usize) -> Result<Self, OutOfBounds> {
        memory.check(at, len)?;
        Ok(Self { memory, at, len })
    }

    /// No bytes at all.
    #[must_use]
    pub fn empty(memory: &'a M) -> Self {
        Self { memory, at: 0, len: 0 }
    }

    /// How many there are.
    #[must_use]
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline(always)]
    fn inside(&self, at: usize, len: usize) -> Result<usize, OutOfBounds> {
        match at.checked_add(len) {
            Some(end) if end <= self.len => Ok(self.at + at),
            _ => Err(OutOfBounds { at: at as u64, len: len as u64, region: self.len }),
        }
    }

    /// Copies the bytes from `at` on into `to`, which they must fill.
    ///
    /// # Errors
    /// If there are not so many.
    #[inline(always)]
    pub fn read(&self, at: usize, to: &mut [u8]) -> Result<(), OutOfBounds> {
        let at = self.inside(at, to.len())?;
        self.memory.copy_out(at, to)
    }

    /// Reads a little-endian word, which must be aligned in memory.
    ///
    /// # Errors
    /// If it is not inside, or not aligned.
    #[inline(always)]
    pub fn get<T: Word>(&self, at: usize) -> Result<T, OutOfBounds> {
        self.memory.get(self.inside(at, T::BYTES)?)
    }

    /// Goes over all bytes where they are, in little-endian words of eight; the last one is filled up with zeros.
    #[inline]
    pub fn fold<A>(&self, start: A, mut step: impl FnMut(A, u64) -> A) -> A {
        let words = self.len / 8;
        let mut result = start;
        if self.at.is_multiple_of(8) {
            for i in 0..words {
                // SAFETY: the whole view was checked to be inside, the word is inside the view, and aligned.
                result = step(result, unsafe { self.memory.read(self.at + 8 * i) });
            }
        } else {
            for i in 0..words {
                result = step(result, u64::from_le_bytes(self.array(8 * i, 8)));
            }
        }
        if self.len > 8 * words {
            result = step(result, u64::from_le_bytes(self.array(8 * words, self.len - 8 * words)));
        }
        result
    }

    fn array(&self, at: usize, len: usize) -> [u8; 8] {
        let mut bytes = [0; 8];
        if let Some(to) = bytes.get_mut(..len) {
            // Inside the view, which is inside the memory: the caller counts up to its length.
            let _ = self.memory.copy_out(self.at + at, to);
        }
        bytes
    }

    /// The bytes themselves, without a copy; `None` if the memory has no fixed place.
    ///
    /// # Safety
    /// Nobody writes to them while the slice lives: the other side is trusted to keep to the protocol, and on this
    /// side no [`BytesMut`] over them is used. With a hostile peer this is undefined behaviour; use [`read`](Self::read).
    #[must_use]
    pub unsafe fn as_slice(&self) -> Option<&'a [u8]> {
        let pointer = self.memory.pointer(self.at)?;
        // SAFETY: `new` has checked that the bytes lie in the memory, which lives as long as `'a`; that nobody writes
        // to them is the caller's promise.
        Some(unsafe { core::slice::from_raw_parts(pointer, self.len) })
    }
}

/// Bytes to fill.
#[derive(Debug)]
pub struct BytesMut<'a, M>(Bytes<'a, M>);

impl<'a, M: Memory> BytesMut<'a, M> {
    /// `len` bytes at `at`.
    ///
    /// # Errors
    /// If they do not lie in the memory.
    #[inline(always)]
    pub fn new(memory: &'a M, at: usize, len: usize) -> Result<Self, OutOfBounds> {
        Bytes::new(memory, at, len).map(Self)
    }

    /// No bytes at all.
    #[must_use]
    pub fn empty(memory: &'a M) -> Self {
        Self(Bytes::empty(memory))
    }

    /// How many there are.
    #[must_use]
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// Copies `from` in, from `at` on.
    ///
    /// # Errors
    /// If it does not fit.
    #[inline(always)]
    pub fn write(&mut self, at: usize, from: &[u8]) -> Result<(), OutOfBounds> {
        let at = self.0.inside(at, from.len())?;
        self.0.memory.copy_in(at, from)
    }

    /// Writes a little-endian word, which must be aligned in memory.
    ///
    /// # Errors
    /// If it is not inside, or not aligned.
    #[inline(always)]
    pub fn put<T: Word>(&mut self, at: usize, value: &T) -> Result<(), OutOfBounds> {
        let at = self.0.inside(at, T::BYTES)?;
        self.0.memory.put(at, value)
    }

    /// The bytes themselves, to be filled in place; `None` if the memory has no fixed place.
    ///
    /// # Safety
    /// As for [`Bytes::as_slice`], and nobody reads them either while the slice lives.
    #[must_use]
    pub unsafe fn as_mut_slice(&mut self) -> Option<&mut [u8]> {
        let pointer = self.0.memory.pointer(self.0.at)?;
        // SAFETY: as in `Bytes::as_slice`; `&mut self` keeps other uses of this view away.
        Some(unsafe { core::slice::from_raw_parts_mut(pointer, self.0.len) })
    }
}
