//! Shared memory in a file descriptor.
#![allow(unsafe_code, reason = "the one module of this crate that maps memory")]

mod guest;

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};
use tutti_metal::{Backed, DeviceAddr, Memory, OutOfBounds, Region};

pub use guest::{GuestMemory, GuestMemoryError, Unsealed};

/// Shared memory of this machine: a [`Memory`] that is unmapped with its last handle.
pub type SharedMemory = Backed<Mapping>;

/// A mapped file descriptor.
#[derive(Debug)]
pub struct Mapping {
    file: OwnedFd,
    base: *mut core::ffi::c_void,
    len: usize,
}

// SAFETY: the pointer is only used to unmap, once, and to make regions, which are free to move between threads.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

/// Why there is no shared memory.
#[derive(Debug)]
pub enum MappingError {
    /// The kernel refused.
    Os(std::io::Error),
    /// The file can still shrink, so whoever passed it could end this process with a signal.
    NotSealed,
    /// It is empty, or larger than the address space.
    Length(u64),
}

impl fmt::Display for MappingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Os(error) => write!(f, "the memory could not be mapped: {error}"),
            Self::NotSealed => {
                f.write_str("the memory that was passed can still shrink; seal it with F_SEAL_SHRINK first")
            }
            Self::Length(len) => write!(f, "{len} bytes of shared memory cannot be mapped"),
        }
    }
}

impl std::error::Error for MappingError {}

impl From<rustix::io::Errno> for MappingError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Os(error.into())
    }
}

impl Mapping {
    /// New, zeroed memory of at least `len` bytes, which both sides call `device`, and which nobody can resize.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn create(len: usize, device: DeviceAddr) -> Result<SharedMemory, MappingError> {
        let file = rustix::fs::memfd_create("tutti-amp", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        rustix::fs::ftruncate(&file, len.next_multiple_of(4096) as u64)?;
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Self::open(file, device)
    }

    /// Maps memory that somebody else created.
    ///
    /// # Errors
    /// If it can still shrink, or the kernel refuses.
    pub fn open(file: OwnedFd, device: DeviceAddr) -> Result<SharedMemory, MappingError> {
        if !rustix::fs::fcntl_get_seals(&file)?.contains(SealFlags::SHRINK) {
            return Err(MappingError::NotSealed);
        }
        let bytes = u64::try_from(rustix::fs::fstat(&file)?.st_size).unwrap_or(0);
        let len = usize::try_from(bytes).ok().filter(|&len| len > 0 && isize::try_from(len).is_ok());
        let len = len.ok_or(MappingError::Length(bytes))?;
        let base = map(&file, 0, len, MapFlags::POPULATE)?;
        let keep = Arc::new(Self { file, base, len });
        // SAFETY: `len` bytes are mapped until `keep` is dropped, cannot be truncated, and nothing refers to them.
        let region = unsafe { Region::from_raw(base.cast(), len, device) };
        let region = region.map_err(|_| MappingError::Length(bytes))?;
        // SAFETY: as above.
        Ok(unsafe { Backed::new(keep, region) })
    }

    /// Maps what a device's file has from the page at `offset` on: `bytes` bytes, from `skip` on in that page.
    ///
    /// # Errors
    /// If the kernel refuses, or what stands in for the device is a plain file that is too short.
    pub(crate) fn open_device(
        file: OwnedFd,
        offset: usize,
        skip: usize,
        bytes: usize,
        device: DeviceAddr,
    ) -> Result<SharedMemory, MappingError> {
        let len = skip + bytes;
        let found = rustix::fs::fstat(&file)?;
        let plain = rustix::fs::FileType::from_raw_mode(found.st_mode).is_file();
        if plain && u64::try_from(found.st_size).unwrap_or(0) < (offset + len) as u64 {
            return Err(MappingError::Length(len as u64));
        }
        let base = map(&file, offset, len, MapFlags::empty())?;
        let keep = Arc::new(Self { file, base, len });
        // SAFETY: `skip` lies inside of what was mapped.
        let start = unsafe { base.byte_add(skip) };
        // SAFETY: `bytes` bytes are mapped until `keep` is dropped, a device's do not go away, and nothing refers to
        // them.
        let region = unsafe { Region::from_raw(start.cast(), bytes, device) };
        let region = region.map_err(|_| MappingError::Length(bytes as u64))?;
        // SAFETY: as above.
        Ok(unsafe { Backed::new(keep, region) })
    }
}

/// A new mapping of a file, to read and write.
fn map(file: &OwnedFd, offset: usize, len: usize, flags: MapFlags) -> Result<*mut core::ffi::c_void, MappingError> {
    let rights = ProtFlags::READ | ProtFlags::WRITE;
    let flags = MapFlags::SHARED | flags;
    // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
    Ok(unsafe { rustix::mm::mmap(core::ptr::null_mut(), len, rights, flags, file, offset as u64) }?)
}

impl AsFd for Mapping {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `open`, unmapped only here, and every region over it belongs to a handle that is gone. An
        // error could only leave it mapped.
        let _ = unsafe { rustix::mm::munmap(self.base, self.len) };
    }
}

/// A word of shared memory, for the kernel to wait on.
#[derive(Clone, Debug)]
pub(crate) struct SharedWord {
    memory: SharedMemory,
    at: usize,
}

impl SharedWord {
    pub(crate) fn new(memory: SharedMemory, at: usize) -> Result<Self, OutOfBounds> {
        // Checks place and alignment.
        memory.get::<u32>(at)?;
        Ok(Self { memory, at })
    }

    #[inline(always)]
    pub(crate) fn atomic(&self) -> &AtomicU32 {
        let pointer = self.memory.pointer(self.at).unwrap_or(core::ptr::null_mut());
        debug_assert!(!pointer.is_null());
        // SAFETY: `new` has checked that the word is inside and aligned, so the pointer is not null; atomics tolerate
        // writers elsewhere; the mapping lives as long as `self`.
        unsafe { AtomicU32::from_ptr(pointer.cast()) }
    }
}

/// Reads a signal of the benchmark's own, at an even place inside.
#[inline(always)]
pub(crate) fn load(memory: &SharedMemory, at: usize) -> u16 {
    assert!(at.is_multiple_of(2) && memory.check(at, 2).is_ok());
    // SAFETY: inside and even, just checked.
    unsafe { memory.load(at) }
}

/// Writes a signal of the benchmark's own, at an even place inside.
#[inline(always)]
pub(crate) fn store(memory: &SharedMemory, at: usize, value: u16) {
    assert!(at.is_multiple_of(2) && memory.check(at, 2).is_ok());
    // SAFETY: inside and even, just checked.
    unsafe { memory.store(at, value) }
}
