//! Hardware that the kernel hands to user space: UIO's regions and interrupts
//! (`Documentation/driver-api/uio-howto.rst`, `drivers/uio/uio.c`).
//!
//! A driver (`uio_pdrv_genirq` with a line in the device tree, or a chip's own) makes `/dev/uioN` and describes it in
//! `/sys/class/uio/uioN`: its name, and for each region its address, size and name. A region is mapped at page N of the
//! device file; an interrupt counts a number up, which a read of four bytes waits for; writing a 1 lets the next
//! interrupt through, where the driver has masked it.
//!
//! So a core of the same chip that is not Linux's is a [`Uio`] with a shared window ([`Uio::map`]), an interrupt to
//! sleep on ([`Sleep`] is implemented), and a register to ring by ([`RegisterBell`]), in the same or another region.
//!
//! The description comes from the kernel and the files are root's, so they are trusted not to shrink; what is written
//! in them is checked all the same, since drivers differ. The region must be memory, not registers with side effects,
//! if rings are to lie in it; [`RegisterBell`] writes single words only.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use tutti_metal::{DeviceAddr, Doorbell, Memory, OutOfBounds, PhysAddr, Sleep, Wake};

use crate::bell::timespec;
use crate::{Mapping, MappingError, SharedMemory};

/// The most regions that a device has (`MAX_UIO_MAPS`).
pub const MOST_MAPS: usize = 5;

/// Longer than anything that the kernel writes into these files.
const MOST_TEXT: u64 = 4096;

/// Why a UIO device is of no use.
#[derive(Debug)]
pub enum UioError {
    /// There is none of this name.
    NotFound(String),
    /// A file could not be read or opened.
    File(PathBuf, io::Error),
    /// A file says something that cannot be.
    Text(PathBuf, String),
    /// It has no such region.
    NoMap {
        /// Which one was asked for.
        map: usize,
        /// How many there are.
        maps: usize,
    },
    /// A region could not be mapped.
    Map(MappingError),
    /// A region does not start at a multiple of 8.
    Unaligned(PhysAddr),
}

impl fmt::Display for UioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(name) => {
                write!(f, "no UIO device is called {name}; is its driver loaded? See /sys/class/uio/*/name")
            }
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Text(path, text) => write!(f, "{} says {text:?}, which is no address or size", path.display()),
            Self::NoMap { map, maps } => write!(f, "the UIO device has {maps} regions, not a region {map}"),
            Self::Map(error) => error.fmt(f),
            Self::Unaligned(address) => write!(f, "the region at {address} does not start at a multiple of 8"),
        }
    }
}

impl std::error::Error for UioError {}

/// A region, as its driver describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UioMap {
    /// Its name, if it has one.
    pub name: String,
    /// Where it starts on the bus.
    pub address: PhysAddr,
    /// Its length in bytes.
    pub len: usize,
    /// Where it starts in its first page.
    offset: usize,
}

/// A device of the kernel's user-space I/O.
#[derive(Debug)]
pub struct Uio {
    name: String,
    maps: Vec<UioMap>,
    file: OwnedFd,
    /// Whether an interrupt was heard and may have to be let through again.
    heard: AtomicBool,
}

impl Uio {
    /// The first device of this name.
    ///
    /// # Errors
    /// If there is none, or it cannot be opened: that takes the right to its device file.
    pub fn find(name: &str) -> Result<Self, UioError> {
        Self::find_in(Path::new("/sys/class/uio"), Path::new("/dev"), name)
    }

    /// The same among the devices described in `class`, whose files are in `devices`.
    ///
    /// # Errors
    /// As there.
    pub fn find_in(class: &Path, devices: &Path, name: &str) -> Result<Self, UioError> {
        let list = fs::read_dir(class).map_err(|error| UioError::File(class.into(), error))?;
        let mut found: Vec<_> = list.flatten().map(|entry| entry.path()).collect();
        found.sort();
        for path in found {
            if text(&path.join("name")).is_ok_and(|found| found == name) {
                return Self::open(&path, &devices.join(path.file_name().unwrap_or_default()));
            }
        }
        Err(UioError::NotFound(name.into()))
    }

    /// The device that is described in the folder `about`, and whose file is `device`.
    ///
    /// # Errors
    /// If the one cannot be read or the other not opened.
    pub fn open(about: &Path, device: &Path) -> Result<Self, UioError> {
        let name = text(&about.join("name"))?;
        let mut maps = Vec::new();
        while maps.len() < MOST_MAPS {
            let folder = about.join("maps").join(format!("map{}", maps.len()));
            if !folder.is_dir() {
                break;
            }
            let address = number(&folder.join("addr"))?;
            let size = folder.join("size");
            let len = number(&size)?;
            // Drivers of before Linux 2.6.31 have none.
            let offset = folder.join("offset");
            let offset = if offset.exists() { number(&offset)? } else { address % page() as u64 };
            let fits = usize::try_from(len).ok().filter(|len| (1..=isize::MAX as usize / 2).contains(len));
            let (Some(len), true) = (fits, offset < page() as u64) else {
                return Err(UioError::Text(size, format!("{len:#x} bytes, from {offset:#x} on")));
            };
            let name = text(&folder.join("name")).unwrap_or_default();
            maps.push(UioMap { name, address: PhysAddr(address), len, offset: offset as usize });
        }
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::open(device, flags, Mode::empty());
        let file = file.map_err(|error| UioError::File(device.into(), error.into()))?;
        Ok(Self { name, maps, file, heard: AtomicBool::new(false) })
    }

    /// What its driver calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its regions.
    #[must_use]
    pub fn maps(&self) -> &[UioMap] {
        &self.maps
    }

    /// Maps a region, which the other side calls `device`; for most chips that is its address on the bus.
    ///
    /// # Errors
    /// If there is no such region, it is not aligned to 8, or the kernel refuses.
    pub fn map(&self, map: usize, device: DeviceAddr) -> Result<SharedMemory, UioError> {
        let region = self.maps.get(map).ok_or(UioError::NoMap { map, maps: self.maps.len() })?;
        if !region.offset.is_multiple_of(8) {
            return Err(UioError::Unaligned(region.address));
        }
        let file = self.file.try_clone().map_err(|error| UioError::Map(MappingError::Os(error)))?;
        Mapping::open_device(file, map * page(), region.offset, region.len, device).map_err(UioError::Map)
    }

    /// Lets the next interrupt through, with drivers that mask each one. [`sleep`](Sleep::sleep) does it by itself.
    ///
    /// # Errors
    /// If the kernel refuses; drivers that mask nothing say [`Unsupported`](io::ErrorKind::Unsupported).
    pub fn unmask(&self) -> io::Result<()> {
        rustix::io::write(&self.file, &1u32.to_ne_bytes())?;
        Ok(())
    }
}

impl AsFd for Uio {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Sleep for Uio {
    /// Sleeps until the next interrupt. One that came since the last sleep is not lost: the kernel counts them. The one
    /// that was heard last is let through again only now, when its cause has been dealt with.
    fn sleep(&self, at_most: Duration) -> Wake {
        if self.heard.swap(false, Ordering::Relaxed) {
            // A driver that masks nothing refuses this, and needs it not.
            let _ = self.unmask();
        }
        let mut fds = [PollFd::new(&self.file, PollFlags::IN)];
        // An interrupted poll is a wake-up for nothing, which is allowed.
        let _ = rustix::event::poll(&mut fds, Some(&timespec(at_most)));
        match rustix::io::read(&self.file, &mut [0; 4]) {
            Ok(4) => {
                self.heard.store(true, Ordering::Relaxed);
                Wake::Rung
            }
            _ => Wake::TimedOut,
        }
    }
}

/// Rings by writing a word into a register that makes the chip interrupt the other core.
#[derive(Clone, Debug)]
pub struct RegisterBell<M> {
    registers: M,
    at: usize,
    value: u32,
}

impl<M: Memory> RegisterBell<M> {
    /// The register at `at`, a multiple of 4, and what to write into it.
    ///
    /// # Errors
    /// If it does not lie in the region.
    pub fn new(registers: M, at: usize, value: u32) -> Result<Self, OutOfBounds> {
        registers.check(at, 4)?;
        if !at.is_multiple_of(4) {
            return Err(OutOfBounds { at: at as u64, len: 4, region: registers.len() });
        }
        Ok(Self { registers, at, value })
    }
}

impl<M: Memory> Doorbell for RegisterBell<M> {
    fn ring(&self, _: u32) {
        // The other core is to see first what it is woken for.
        self.registers.fence();
        // `new` has checked the place.
        let _ = self.registers.put(self.at, &self.value);
    }
}

fn page() -> usize {
    rustix::param::page_size()
}

fn text(path: &Path) -> Result<String, UioError> {
    let read = || {
        let mut text = String::new();
        fs::File::open(path)?.take(MOST_TEXT).read_to_string(&mut text)?;
        Ok(text.trim().to_owned())
    };
    read().map_err(|error| UioError::File(path.into(), error))
}

fn number(path: &Path) -> Result<u64, UioError> {
    let text = text(path)?;
    let digits = text.strip_prefix("0x").unwrap_or(&text);
    // A sign is none of the kernel's.
    let parsed = if digits.starts_with('+') { None } else { u64::from_str_radix(digits, 16).ok() };
    parsed.ok_or_else(|| UioError::Text(path.into(), text.chars().take(40).collect()))
}
