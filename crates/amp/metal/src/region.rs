//! Coherent memory at a fixed place: the [`Memory`] that most ports use.

use core::marker::PhantomData;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, Ordering};

use crate::{DeviceAddr, Memory, OutOfBounds, Word};

/// From this length on, x86-64 copies with `rep movsb`, which modern processors do a line at a time.
#[cfg(all(target_arch = "x86_64", not(miri)))]
const LONG: usize = 512;

/// A window of coherent shared memory, borrowed for `'m`.
#[derive(Clone, Copy, Debug)]
pub struct Region<'m> {
    base: NonNull<u8>,
    len: usize,
    device: DeviceAddr,
    lives: PhantomData<&'m ()>,
}

// SAFETY: every access is volatile, atomic or assembly, and tolerates writers elsewhere, other threads included.
unsafe impl Send for Region<'_> {}
// SAFETY: as above; a shared handle can do nothing that a copied one cannot.
unsafe impl Sync for Region<'_> {}

impl<'m> Region<'m> {
    /// A region over `len` bytes at `base`, which the other side calls `device`.
    ///
    /// # Errors
    /// If `base` is null or not aligned to 8, or the end is not an address.
    ///
    /// # Safety
    /// For all of `'m` the bytes are mapped for reading and writing, coherent with the other side, and no reference to
    /// any of them exists.
    pub unsafe fn from_raw(base: *mut u8, len: usize, device: DeviceAddr) -> Result<Self, OutOfBounds> {
        let refuse = OutOfBounds { at: base as u64, len: len as u64, region: len };
        let start = NonNull::new(base).ok_or(refuse)?;
        let fits = (base as usize).checked_add(len).is_some() && isize::try_from(len).is_ok();
        if !(base as usize).is_multiple_of(8) || !fits || device.checked_add(len as u64).is_none() {
            return Err(refuse);
        }
        Ok(Self { base: start, len, device, lives: PhantomData })
    }

    /// The part of it that starts at `at`, a multiple of 8, and has `len` bytes.
    ///
    /// # Errors
    /// If it is not inside, or not aligned.
    pub fn part(self, at: usize, len: usize) -> Result<Self, OutOfBounds> {
        self.check(at, len)?;
        if !at.is_multiple_of(8) {
            return Err(OutOfBounds { at: at as u64, len: len as u64, region: self.len });
        }
        Ok(Self { base: self.at(at), len, device: self.addr_of(at), lives: PhantomData })
    }

    #[inline(always)]
    fn at(&self, at: usize) -> NonNull<u8> {
        debug_assert!(at <= self.len);
        // SAFETY: every caller has checked, or was promised, that `at` is not beyond the region.
        unsafe { self.base.add(at) }
    }
}

// SAFETY: `from_raw` was promised the mapping and the absence of references; each access below is volatile, atomic or
// assembly, and the orderings are those of the contract.
unsafe impl Memory for Region<'_> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    fn device_base(&self) -> DeviceAddr {
        self.device
    }

    #[inline(always)]
    unsafe fn read<T: Word>(&self, at: usize) -> T {
        // SAFETY: inside and aligned, as the caller promises.
        unsafe { self.at(at).cast::<T>().read_volatile() }.of_wire()
    }

    #[inline(always)]
    unsafe fn write<T: Word>(&self, at: usize, value: T) {
        // SAFETY: inside and aligned, as the caller promises.
        unsafe { self.at(at).cast::<T>().write_volatile(value.to_wire()) }
    }

    #[inline(always)]
    unsafe fn load(&self, at: usize) -> u16 {
        // SAFETY: inside and aligned, as the caller promises; atomics tolerate other writers.
        u16::from_le(unsafe { AtomicU16::from_ptr(self.at(at).cast().as_ptr()) }.load(Ordering::Acquire))
    }

    #[inline(always)]
    unsafe fn store(&self, at: usize, value: u16) {
        // SAFETY: inside and aligned, as the caller promises; atomics tolerate other writers.
        unsafe { AtomicU16::from_ptr(self.at(at).cast().as_ptr()) }.store(value.to_le(), Ordering::Release);
    }

    #[inline(always)]
    unsafe fn read_bytes(&self, at: usize, to: &mut [u8]) {
        // SAFETY: the source is inside, as the caller promises; the target is a slice of the same length, and cannot
        // overlap since no reference to shared memory exists.
        unsafe { copy::<OUT>(self.at(at).as_ptr(), to.as_mut_ptr(), to.len()) }
    }

    #[inline(always)]
    unsafe fn write_bytes(&self, at: usize, from: &[u8]) {
        // SAFETY: as in `read_bytes`, the other way round.
        unsafe { copy::<IN>(from.as_ptr(), self.at(at).as_ptr(), from.len()) }
    }

    fn pointer(&self, at: usize) -> Option<*mut u8> {
        (at <= self.len).then(|| self.at(at).as_ptr())
    }

    #[inline(always)]
    fn prefetch(&self, at: usize) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        if at < self.len {
            // SAFETY: a prefetch does not fault, and the address is inside.
            unsafe {
                core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(self.at(at).as_ptr().cast())
            }
        }
        #[cfg(all(target_arch = "aarch64", not(miri)))]
        if at < self.len {
            // SAFETY: a prefetch does not fault, and the address is inside.
            unsafe {
                core::arch::asm!("prfm pldl1keep, [{}]", in(reg) self.at(at).as_ptr().addr(), options(nomem, nostack, preserves_flags))
            }
        }
        let _ = at;
    }

    #[inline(always)]
    fn prefetch_to_write(&self, at: usize) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        if at < self.len {
            // SAFETY: a prefetch does not fault, and is a no-op on processors that do not know it; the address is
            // inside. It writes nothing, so the compiler may keep in registers what it has there.
            unsafe {
                core::arch::asm!("prefetchw [{}]", in(reg) self.at(at).as_ptr().addr(), options(nomem, nostack, preserves_flags))
            }
        }
        #[cfg(all(target_arch = "aarch64", not(miri)))]
        if at < self.len {
            // SAFETY: a prefetch does not fault, and the address is inside.
            unsafe {
                core::arch::asm!("prfm pstl1keep, [{}]", in(reg) self.at(at).as_ptr().addr(), options(nomem, nostack, preserves_flags))
            }
        }
        let _ = at;
    }
}

/// Out of shared memory: each word there is read once, by a volatile access.
const OUT: bool = true;
/// Into shared memory: each word there is written once, by a volatile access.
const IN: bool = false;

/// Moves a word between shared memory and private memory. Only the shared side is volatile, so that the compiler may
/// keep the private one in registers.
///
/// # Safety
/// As for plain reads and writes; alignment included.
#[inline(always)]
unsafe fn step<const WAY: bool, T: Copy>(from: *const u8, to: *mut u8) {
    // SAFETY: the caller's promise, handed on.
    unsafe {
        if WAY == OUT {
            to.cast::<T>().write(from.cast::<T>().read_volatile());
        } else {
            to.cast::<T>().write_volatile(from.cast::<T>().read());
        }
    }
}

/// Copies between shared and private memory, in words where both sides are aligned alike.
///
/// # Safety
/// `len` bytes are readable at `from` and writable at `to`, and they do not overlap; the one that `WAY` says is shared
/// memory.
#[inline(always)]
unsafe fn copy<const WAY: bool>(from: *const u8, to: *mut u8, len: usize) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: the caller's promise, handed on.
    unsafe {
        if len >= LONG { copy_long(from, to, len) } else { copy_short::<WAY>(from, to, len) }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    // SAFETY: the caller's promise, handed on.
    unsafe {
        copy_aligned::<WAY>(from, to, len);
    }
}

/// # Safety
/// As for [`copy`].
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline]
unsafe fn copy_long(from: *const u8, to: *mut u8, len: usize) {
    // SAFETY: the direction flag is clear by the calling convention; the ranges are the caller's promise. What the
    // compiler cannot see into it cannot build assumptions on, so a writer elsewhere is harmless.
    unsafe {
        core::arch::asm!("rep movsb", inout("rcx") len => _, inout("rsi") from => _, inout("rdi") to => _,
            options(nostack, preserves_flags));
    }
}

/// x86-64 reads and writes words at any address, so the alignment does not matter.
///
/// # Safety
/// As for [`copy`].
#[cfg(all(target_arch = "x86_64", not(miri)))]
#[inline(always)]
unsafe fn copy_short<const WAY: bool>(from: *const u8, to: *mut u8, len: usize) {
    #[repr(C, packed)]
    #[derive(Clone, Copy)]
    struct Loose<T>(T);
    use core::arch::x86_64::__m128i;
    let mut at = 0;
    // SAFETY: each step is taken only if so many bytes are left; `Loose` has alignment 1.
    unsafe {
        while len - at >= 16 {
            step::<WAY, Loose<__m128i>>(from.add(at), to.add(at));
            at += 16;
        }
        if at == len {
            return;
        }
        if len - at >= 8 {
            step::<WAY, Loose<u64>>(from.add(at), to.add(at));
            at += 8;
        }
        if len - at >= 4 {
            step::<WAY, Loose<u32>>(from.add(at), to.add(at));
            at += 4;
        }
        while len > at {
            step::<WAY, u8>(from.add(at), to.add(at));
            at += 1;
        }
    }
}

/// # Safety
/// As for [`copy`].
#[cfg(not(all(target_arch = "x86_64", not(miri))))]
unsafe fn copy_aligned<const WAY: bool>(from: *const u8, to: *mut u8, len: usize) {
    const WORD: usize = size_of::<usize>();
    let mut at = 0;
    let alike = (from as usize) % WORD == (to as usize) % WORD;
    // SAFETY: `at` stays below `len`; word accesses happen only where both addresses are aligned.
    unsafe {
        while at < len && !(alike && (from as usize + at).is_multiple_of(WORD)) {
            step::<WAY, u8>(from.add(at), to.add(at));
            at += 1;
        }
        while len - at >= WORD {
            step::<WAY, usize>(from.add(at), to.add(at));
            at += WORD;
        }
        while at < len {
            step::<WAY, u8>(from.add(at), to.add(at));
            at += 1;
        }
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn copies_of_every_length_and_alignment_are_exact() {
        let source: Vec<u8> = (0..1200u32).map(|i| (i * 7 % 251) as u8).collect();
        for len in (0..64).chain([511, 512, 513, 1100]) {
            for shift in 0..9 {
                let mut out = vec![0xeeu8; 1200];
                // SAFETY: both buffers hold 1,200 bytes and shift + len is at most 1,109 of them.
                unsafe { copy::<OUT>(source.as_ptr().add(shift), out.as_mut_ptr().add(3), len) };
                assert_eq!(out[3..3 + len], source[shift..shift + len], "{len} bytes, shifted by {shift}");
                assert!(out[..3].iter().chain(&out[3 + len..]).all(|&b| b == 0xee));
            }
        }
    }
}
