//! The memory that a vhost-user front end shares: several files, side by side as their addresses in descriptors are.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::SealFlags;
use rustix::mm::{MapFlags, ProtFlags};
use tutti_metal::{Backed, DeviceAddr, Memory, OutOfBounds, Region, Word};

use crate::vhost::{Table, TableError};

/// Large pages want to lie at multiples of their size; what is mapped starts at one of the larger usual size.
const LARGE_PAGE: usize = 2 << 20;

/// What to do with memory that the front end could still shorten. Whoever touches a page that is gone is ended by a
/// signal, so a front end that can do that can end this process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Unsealed {
    /// Refuse it: the front end is not trusted.
    #[default]
    Refuse,
    /// Take it: the front end is trusted with this process's life. User-mode Linux does not seal its memory.
    Accept,
}

/// Why the memory of a front end could not be mapped.
#[derive(Debug)]
pub enum GuestMemoryError {
    /// The regions cannot be as they were described.
    Table(TableError),
    /// Some regions came without a file, or files without a region.
    Files {
        /// How many regions there are.
        regions: usize,
        /// How many files.
        files: usize,
    },
    /// The file can still shrink.
    NotSealed {
        /// Of which region.
        region: usize,
    },
    /// The file ends before the region does.
    Short {
        /// Which one.
        region: usize,
        /// How long the file is.
        file: u64,
    },
    /// The kernel refused.
    Os(std::io::Error),
}

impl fmt::Display for GuestMemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(error) => error.fmt(f),
            Self::Files { regions, files } => write!(f, "{regions} memory regions came with {files} files"),
            Self::NotSealed { region } => write!(
                f,
                "the file of memory region {region} can still shrink; let the front end seal it (QEMU: \
                 memory-backend-memfd), or accept unsealed memory from a front end that is trusted"
            ),
            Self::Short { region, file } => {
                write!(f, "the file of memory region {region} ends at {file:#x}, too early")
            }
            Self::Os(error) => write!(f, "the front end's memory could not be mapped: {error}"),
        }
    }
}

impl std::error::Error for GuestMemoryError {}

impl From<TableError> for GuestMemoryError {
    fn from(error: TableError) -> Self {
        Self::Table(error)
    }
}

impl From<rustix::io::Errno> for GuestMemoryError {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Os(error.into())
    }
}

/// A stretch of address space, unmapped when it is dropped.
#[derive(Debug)]
struct Reserved {
    base: *mut core::ffi::c_void,
    len: usize,
}

// SAFETY: the pointer is only used to unmap, once, and to make regions, which are free to move between threads.
unsafe impl Send for Reserved {}
// SAFETY: as above.
unsafe impl Sync for Reserved {}

impl Drop for Reserved {
    fn drop(&mut self) {
        // SAFETY: reserved by `map`, unmapped only here with all that was mapped into it, and every region over it
        // belongs to a handle that is gone.
        let _ = unsafe { rustix::mm::munmap(self.base, self.len) };
    }
}

/// What keeps a front end's memory in place, and knows where its regions are.
#[derive(Debug)]
pub(super) struct Guest {
    table: Table,
    _reserved: Reserved,
}

/// The memory of a vhost-user front end.
///
/// Its regions lie as far from each other as their addresses in descriptors do, so that an offset is an address minus
/// the lowest one. Between them lies private memory that nobody else sees: an offset there is harmless; but an address
/// there is refused by [`offset_of`](Memory::offset_of), as is one that runs from one region into the next.
#[derive(Clone, Debug)]
pub struct GuestMemory(Backed<Guest>);

impl GuestMemory {
    /// Maps the regions of `table`, each from its file.
    ///
    /// # Errors
    /// If a file is missing, too short, or can still shrink and that is to be refused; or the kernel refuses.
    pub fn map(table: Table, files: &[OwnedFd], unsealed: Unsealed) -> Result<Self, GuestMemoryError> {
        let regions = table.regions();
        if files.len() != regions.len() {
            return Err(GuestMemoryError::Files { regions: regions.len(), files: files.len() });
        }
        for (index, (region, file)) in regions.iter().zip(files).enumerate() {
            // Files that know no seals can shrink.
            let sealed = rustix::fs::fcntl_get_seals(file).is_ok_and(|seals| seals.contains(SealFlags::SHRINK));
            if !sealed && unsealed == Unsealed::Refuse {
                return Err(GuestMemoryError::NotSealed { region: index });
            }
            let len = u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0);
            if len < region.offset + region.len {
                return Err(GuestMemoryError::Short { region: index, file: len });
            }
        }
        let rights = ProtFlags::READ | ProtFlags::WRITE;
        let len = table.span() + LARGE_PAGE;
        let holes = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing.
        let base = unsafe { rustix::mm::mmap_anonymous(core::ptr::null_mut(), len, rights, holes) }?;
        let reserved = Reserved { base, len };
        // So that an address and its place here are alike modulo large pages.
        let wanted = table.low() as usize % LARGE_PAGE;
        let skip = (wanted + LARGE_PAGE - base as usize % LARGE_PAGE) % LARGE_PAGE;
        // SAFETY: `skip` is less than the large page that was reserved beyond the span.
        let first = unsafe { base.byte_add(skip) };
        for (region, file) in regions.iter().zip(files) {
            let at = (region.guest - table.low()) as usize;
            let flags = MapFlags::SHARED | MapFlags::FIXED | MapFlags::NORESERVE;
            // SAFETY: the table has checked that the region lies within the span, which was reserved above and holds
            // nothing but other regions, which it does not overlap.
            unsafe { rustix::mm::mmap(first.byte_add(at), region.len as usize, rights, flags, file, region.offset) }?;
        }
        let (low, span) = (table.low(), table.span());
        let keep = Arc::new(Guest { table, _reserved: reserved });
        // SAFETY: the whole span is mapped, with or without a file behind it, until `keep` is dropped, and nothing
        // refers to it. That no file shrinks was checked, or is the caller's risk: a signal, never foreign memory.
        let region = unsafe { Region::from_raw(first.cast(), span, DeviceAddr(low)) };
        let region = region.map_err(|_| GuestMemoryError::Table(TableError::Span(span as u64)))?;
        // SAFETY: as above.
        Ok(Self(unsafe { Backed::new(keep, region) }))
    }

    /// Where `len` bytes lie that the front end calls `user` in its own process, if they lie in one region whole.
    ///
    /// # Errors
    /// If they do not.
    pub fn offset_of_user(&self, user: u64, len: usize) -> Result<usize, OutOfBounds> {
        let found = self.0.keeper().table.offset_of_user(user, len as u64);
        found.ok_or(OutOfBounds { at: user, len: len as u64, region: self.0.len() })
    }
}

// SAFETY: hands everything on to memory that keeps the contract, and finds fewer addresses in it.
unsafe impl Memory for GuestMemory {
    #[inline(always)]
    fn len(&self) -> usize {
        self.0.len()
    }
    #[inline(always)]
    fn device_base(&self) -> DeviceAddr {
        self.0.device_base()
    }
    #[inline(always)]
    unsafe fn read<T: Word>(&self, at: usize) -> T {
        // SAFETY: the caller's promise, handed on.
        unsafe { self.0.read(at) }
    }
    #[inline(always)]
    unsafe fn write<T: Word>(&self, at: usize, value: T) {
        // SAFETY: the caller's promise, handed on.
        unsafe { self.0.write(at, value) }
    }
    #[inline(always)]
    unsafe fn load(&self, at: usize) -> u16 {
        // SAFETY: the caller's promise, handed on.
        unsafe { self.0.load(at) }
    }
    #[inline(always)]
    unsafe fn store(&self, at: usize, value: u16) {
        // SAFETY: the caller's promise, handed on.
        unsafe { self.0.store(at, value) }
    }
    #[inline(always)]
    unsafe fn read_bytes(&self, at: usize, to: &mut [u8]) {
        // SAFETY: the caller's promise, handed on.
        unsafe { self.0.read_bytes(at, to) }
    }
    #[inline(always)]
    unsafe fn write_bytes(&self, at: usize, from: &[u8]) {
        // SAFETY: the caller's promise, handed on.
        unsafe { self.0.write_bytes(at, from) }
    }
    fn pointer(&self, at: usize) -> Option<*mut u8> {
        self.0.pointer(at)
    }
    #[inline(always)]
    fn prefetch(&self, at: usize) {
        self.0.prefetch(at);
    }
    #[inline(always)]
    fn prefetch_to_write(&self, at: usize) {
        self.0.prefetch_to_write(at);
    }
    #[inline]
    fn offset_of(&self, addr: DeviceAddr, len: u32) -> Result<usize, OutOfBounds> {
        let found = self.0.keeper().table.offset_of_guest(addr.0, u64::from(len));
        found.ok_or(OutOfBounds { at: addr.0, len: u64::from(len), region: self.0.len() })
    }
}
