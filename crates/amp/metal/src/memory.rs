//! The contract of shared memory.

use core::fmt;

use crate::{DeviceAddr, Word};

/// An access that does not lie inside its region, or is not aligned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfBounds {
    /// Where the access would have started, relative to the region or, for addresses, absolute.
    pub at: u64,
    /// How many bytes it would have touched.
    pub len: u64,
    /// The length of the region.
    pub region: usize,
}

impl fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} bytes at {:#x} are not an aligned part of a region of {} bytes; check the address or enlarge the region",
            self.len, self.at, self.region
        )
    }
}

impl core::error::Error for OutOfBounds {}

/// A handle to memory that another core, process or device reads and writes at the same time.
///
/// Two kinds of words live in it. **Data** (descriptors, ring entries, payloads) is guarded by a protocol: one side
/// owns it at a time, and [`read`](Self::read)/[`write`](Self::write) need no ordering of their own. **Signals**
/// (indices, flags) hand that ownership over: [`load`](Self::load) acquires, [`store`](Self::store) releases.
/// The unchecked methods are for the rings, which check a layout once and then mask every index; everyone else
/// uses the checked [`get`](Self::get), [`put`](Self::put), [`copy_out`](Self::copy_out) and
/// [`copy_in`](Self::copy_in).
///
/// # Safety
/// An implementation promises, for as long as any clone of the handle lives:
///
/// 1. `len()` and `device_base()` never change, and `len()` bytes from the base are mapped for reading and
///    writing; the base is aligned to at least 8 bytes.
/// 2. No Rust reference to any of these bytes exists anywhere (a raw pointer may).
/// 3. Every access is one that the language allows to race with a foreign writer: volatile, atomic or in assembly.
///    What it returns may be any bytes; it must not assume that two reads agree.
/// 4. `load` reads the word once, and no access that follows it in program order is done before it; `store` writes
///    the word once, and no access that precedes it is done after it; `fence` orders everything before it before
///    everything after it, stores before loads included.
/// 5. `clean` makes all earlier writes to the range visible to the other side before it returns; after `invalidate`,
///    reads of the range see what the other side had cleaned before. Both may touch the whole cache lines around the
///    range.
pub unsafe trait Memory: Clone {
    /// How many bytes there are.
    fn len(&self) -> usize;

    /// Whether there are no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the other side calls the first byte.
    fn device_base(&self) -> DeviceAddr;

    /// Reads a word of data.
    ///
    /// # Safety
    /// `at + T::BYTES <= len()`, and `at` is a multiple of `T::BYTES`.
    unsafe fn read<T: Word>(&self, at: usize) -> T;

    /// Writes a word of data.
    ///
    /// # Safety
    /// As for [`read`](Self::read).
    unsafe fn write<T: Word>(&self, at: usize, value: T);

    /// Reads a signal, with acquire ordering.
    ///
    /// # Safety
    /// `at + 2 <= len()`, and `at` is even.
    unsafe fn load(&self, at: usize) -> u16;

    /// Writes a signal, with release ordering.
    ///
    /// # Safety
    /// As for [`load`](Self::load).
    unsafe fn store(&self, at: usize, value: u16);

    /// Copies bytes of data out of shared memory, each read once.
    ///
    /// # Safety
    /// `at + to.len() <= len()`.
    unsafe fn read_bytes(&self, at: usize, to: &mut [u8]);

    /// Copies bytes of data into shared memory.
    ///
    /// # Safety
    /// `at + from.len() <= len()`.
    unsafe fn write_bytes(&self, at: usize, from: &[u8]);

    /// Where the byte at `at` is in this core's address space; for `unsafe` users who trust the peer, and for hardware
    /// that takes addresses. `None` if `at > len()`, or if the memory has no fixed place (a model in a test).
    fn pointer(&self, at: usize) -> Option<*mut u8> {
        let _ = at;
        None
    }

    /// A full barrier.
    fn fence(&self) {
        core::sync::atomic::fence(core::sync::atomic::Ordering::SeqCst);
    }

    /// Says that the line around `at` will be read soon. Out of range is allowed and does nothing.
    #[inline(always)]
    fn prefetch(&self, at: usize) {
        let _ = at;
    }

    /// Says that the line around `at` will be written soon: stores to several lines then wait for them side by side,
    /// not one after another. Out of range is allowed and does nothing.
    #[inline(always)]
    fn prefetch_to_write(&self, at: usize) {
        let _ = at;
    }

    /// Writes the caches of this core back to memory; nothing to do where caches are coherent.
    #[inline(always)]
    fn clean(&self, at: usize, len: usize) {
        let _ = (at, len);
    }

    /// Forgets what the caches of this core hold; nothing to do where caches are coherent.
    #[inline(always)]
    fn invalidate(&self, at: usize, len: usize) {
        let _ = (at, len);
    }

    /// Whether `len` bytes at `at` lie inside.
    #[inline(always)]
    fn check(&self, at: usize, len: usize) -> Result<(), OutOfBounds> {
        match at.checked_add(len) {
            Some(end) if end <= self.len() => Ok(()),
            _ => Err(OutOfBounds { at: at as u64, len: len as u64, region: self.len() }),
        }
    }

    /// Where `len` bytes at a foreign address lie in this region, if they lie in it whole.
    #[inline]
    fn offset_of(&self, addr: DeviceAddr, len: u32) -> Result<usize, OutOfBounds> {
        let refuse = OutOfBounds { at: addr.0, len: u64::from(len), region: self.len() };
        let offset = addr.checked_sub(self.device_base()).ok_or(refuse)?;
        let end = offset.checked_add(u64::from(len)).ok_or(refuse)?;
        if end <= self.len() as u64 { Ok(offset as usize) } else { Err(refuse) }
    }

    /// What the other side calls the byte at `at`.
    #[inline]
    fn addr_of(&self, at: usize) -> DeviceAddr {
        DeviceAddr(self.device_base().0.wrapping_add(at as u64))
    }

    /// Reads a word, checked.
    #[inline]
    fn get<T: Word>(&self, at: usize) -> Result<T, OutOfBounds> {
        aligned::<T, Self>(self, at)?;
        // SAFETY: inside and aligned, just checked.
        Ok(unsafe { self.read(at) })
    }

    /// Writes a word, checked.
    #[inline]
    fn put<T: Word>(&self, at: usize, value: &T) -> Result<(), OutOfBounds> {
        aligned::<T, Self>(self, at)?;
        // SAFETY: inside and aligned, just checked.
        unsafe { self.write(at, *value) };
        Ok(())
    }

    /// Copies bytes out, checked.
    #[inline]
    fn copy_out(&self, at: usize, to: &mut [u8]) -> Result<(), OutOfBounds> {
        self.check(at, to.len())?;
        // SAFETY: inside, just checked.
        unsafe { self.read_bytes(at, to) };
        Ok(())
    }

    /// Copies bytes in, checked.
    #[inline]
    fn copy_in(&self, at: usize, from: &[u8]) -> Result<(), OutOfBounds> {
        self.check(at, from.len())?;
        // SAFETY: inside, just checked.
        unsafe { self.write_bytes(at, from) };
        Ok(())
    }
}

fn aligned<T: Word, M: Memory>(memory: &M, at: usize) -> Result<(), OutOfBounds> {
    memory.check(at, T::BYTES)?;
    if at.is_multiple_of(T::BYTES) {
        Ok(())
    } else {
        Err(OutOfBounds { at: at as u64, len: T::BYTES as u64, region: memory.len() })
    }
}
