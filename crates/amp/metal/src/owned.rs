//! Memory that lives as long as its last handle: allocated here, or mapped by a back end.

use alloc::sync::Arc;
use core::sync::atomic::AtomicU64;

use crate::{DeviceAddr, Memory, OutOfBounds, Region, Word};

/// A region, and what keeps it in place, which goes with the last handle.
#[derive(Debug)]
pub struct Backed<K: ?Sized> {
    keep: Arc<K>,
    region: Region<'static>,
}

impl<K: ?Sized> Clone for Backed<K> {
    fn clone(&self) -> Self {
        Self { keep: Arc::clone(&self.keep), region: self.region }
    }
}

impl<K: ?Sized> Backed<K> {
    /// A region that `keep` keeps.
    ///
    /// # Safety
    /// The region's bytes stay as [`Region::from_raw`] demands until `keep` is dropped.
    pub unsafe fn new(keep: Arc<K>, region: Region<'static>) -> Self {
        Self { keep, region }
    }

    /// The region, borrowed.
    #[must_use]
    pub fn region(&self) -> Region<'_> {
        self.region
    }

    /// What keeps it in place.
    #[must_use]
    pub fn keeper(&self) -> &K {
        &self.keep
    }

    /// The part of it that starts at `at`, a multiple of 8, and has `len` bytes.
    ///
    /// # Errors
    /// If it is not inside, or not aligned.
    pub fn part(&self, at: usize, len: usize) -> Result<Self, OutOfBounds> {
        Ok(Self { keep: Arc::clone(&self.keep), region: self.region.part(at, len)? })
    }
}

/// Zeroed memory on the heap, aligned to 4,096 bytes: for tests, and for two tasks of one core.
pub type Owned = Backed<[Page]>;

/// 4,096 bytes.
#[derive(Debug)]
#[repr(align(4096))]
pub struct Page(#[expect(dead_code, reason = "only ever reached through the region")] [AtomicU64; 512]);

impl Owned {
    /// At least `len` bytes, which both sides call `device`.
    ///
    /// # Errors
    /// If `device + len` is not an address.
    pub fn allocate(len: usize, device: DeviceAddr) -> Result<Self, OutOfBounds> {
        let pages = len.div_ceil(4096).max(1);
        let keep: Arc<[Page]> = (0..pages).map(|_| Page([const { AtomicU64::new(0) }; 512])).collect();
        let base = keep.as_ptr().cast_mut().cast();
        // SAFETY: the pages are atomics, so writing through a shared pointer is allowed; they live as long as `keep`,
        // and nothing ever makes a reference to their contents.
        let region = unsafe { Region::from_raw(base, pages * 4096, device) }?;
        Ok(Self { keep, region })
    }
}

// SAFETY: hands everything on to a region whose bytes live as long as `self`.
unsafe impl<K: ?Sized> Memory for Backed<K> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.region.len()
    }
    #[inline(always)]
    fn device_base(&self) -> DeviceAddr {
        self.region.device_base()
    }
    #[inline(always)]
    unsafe fn read<T: Word>(&self, at: usize) -> T {
        // SAFETY: the caller's promise, handed on.
        unsafe { self.region.read(at) }
    }
    #[inline(always)]
    unsafe fn write<T: Word>(&self, at: usize, value: T) {
        // SAFETY: the caller's promise, handed on.
        unsafe { self.region.write(at, value) }
    }
    #[inline(always)]
    unsafe fn load(&self, at: usize) -> u16 {
        // SAFETY: the caller's promise, handed on.
        unsafe { self.region.load(at) }
    }
    #[inline(always)]
    unsafe fn store(&self, at: usize, value: u16) {
        // SAFETY: the caller's promise, handed on.
        unsafe { self.region.store(at, value) }
    }
    #[inline(always)]
    unsafe fn read_bytes(&self, at: usize, to: &mut [u8]) {
        // SAFETY: the caller's promise, handed on.
        unsafe { self.region.read_bytes(at, to) }
    }
    #[inline(always)]
    unsafe fn write_bytes(&self, at: usize, from: &[u8]) {
        // SAFETY: the caller's promise, handed on.
        unsafe { self.region.write_bytes(at, from) }
    }
    fn pointer(&self, at: usize) -> Option<*mut u8> {
        self.region.pointer(at)
    }
    #[inline(always)]
    fn prefetch(&self, at: usize) {
        self.region.prefetch(at);
    }
    #[inline(always)]
    fn prefetch_to_write(&self, at: usize) {
        self.region.prefetch_to_write(at);
    }
}
