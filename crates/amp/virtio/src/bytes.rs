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
        // SAFETY: inside the view, just checked, which is inside the memory: `new` has checked that, and lengths never
        // change.
        unsafe { self.memory.read_bytes(at, to) };
        Ok(())
    }

    /// Reads a little-endian word, which must be aligned in memory.
    ///
    /// # Errors
    /// If it is not inside, or not aligned.
    #[inline(always)]
    pub fn get<T: Word>(&self, at: usize) -> Result<T, OutOfBounds> {
        self.memory.get(self.inside(at, T::BYTES)?)
    }

    /// Goes over all bytes where they are, 64 at a time as little-endian words, each read once; the last block is
    /// filled up with zeros. Faster than words one by one: the words of a block do not wait for each other.
    #[inline]
    pub fn fold<A>(&self, start: A, mut step: impl FnMut(A, &[u64; 8]) -> A) -> A {
        const BLOCK: usize = 64;
        let mut result = start;
        let mut block = [0; BLOCK];
        let whole = self.len / BLOCK * BLOCK;
        for at in (0..whole).step_by(BLOCK) {
            // SAFETY: the whole view was checked to be inside, and the block is inside the view.
            unsafe { self.memory.read_bytes(self.at + at, &mut block) };
            result = step(result, &words(&block));
        }
        if self.len > whole {
            block = [0; BLOCK];
            if let Some(rest) = block.get_mut(..self.len - whole) {
                // SAFETY: as above.
                unsafe { self.memory.read_bytes(self.at + whole, rest) };
            }
            result = step(result, &words(&block));
        }
        result
    }

    /// The bytes themselves, without a copy; `None` if the memory has no fixed place.
    ///
    /// # Safety
    /// Nobody writes to them while the slice lives: the other side is trusted to keep to the protocol, and on this
    /// side no [`BytesMut`] over them is used. With a hostile peer this is undefined behaviour; use
    /// [`read`](Self::read).
    #[must_use]
    pub unsafe fn as_slice(&self) -> Option<&'a [u8]> {
        let pointer = self.memory.pointer(self.at)?;
        // SAFETY: `new` has checked that the bytes lie in the memory, which lives as long as `'a`; that nobody writes
        // to them is the caller's promise.
        Some(unsafe { core::slice::from_raw_parts(pointer, self.len) })
    }
}

#[inline(always)]
fn words(block: &[u8; 64]) -> [u64; 8] {
    let (words, _) = block.as_chunks::<8>();
    core::array::from_fn(|i| words.get(i).map_or(0, |word| u64::from_le_bytes(*word)))
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
        // SAFETY: inside the view, just checked, which is inside the memory: `new` has checked that, and lengths never
        // change.
        unsafe { self.0.memory.write_bytes(at, from) };
        Ok(())
    }

    /// Copies bytes from other shared memory to the start, each read once.
    ///
    /// # Errors
    /// If they do not fit.
    pub fn copy_from<N: Memory>(&mut self, from: &Bytes<'_, N>) -> Result<(), OutOfBounds> {
        self.0.inside(0, from.len())?;
        let mut block = [0; 64];
        for at in (0..from.len()).step_by(block.len()) {
            let len = block.len().min(from.len() - at);
            if let Some(part) = block.get_mut(..len) {
                from.read(at, part)?;
                self.write(at, part)?;
            }
        }
        Ok(())
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
