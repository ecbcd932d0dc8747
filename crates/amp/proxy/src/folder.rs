//! A folder of this machine, and nothing outside of it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::vec::Vec;

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};

use crate::server::{Errno, Files, Whence, flag};

/// The most of a console that is kept until somebody fetches it.
const MOST_CONSOLE: usize = 64 << 10;

/// The files of one folder, and a console that is kept in memory.
///
/// Paths are relative to the folder, whatever they look like to the remote. The kernel resolves them
/// (`openat2` with `RESOLVE_BENEATH`, `RESOLVE_NO_SYMLINKS`, `RESOLVE_NO_MAGICLINKS` and `RESOLVE_NO_XDEV`), so nothing that
/// changes meanwhile opens a way out.
#[derive(Debug)]
pub struct Folder {
    folder: OwnedFd,
    console: VecDeque<u8>,
    lost: u64,
    typed: VecDeque<u8>,
}

fn errno(error: rustix::io::Errno) -> Errno {
    match error {
        // A way out, a link, another file system: all of them are not for the remote.
        rustix::io::Errno::XDEV | rustix::io::Errno::LOOP | rustix::io::Errno::NXIO => Errno::ACCES,
        other => Errno(other.raw_os_error()),
    }
}

fn of_io(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::IO, Errno)
}

impl Folder {
    /// Serves what is in this folder.
    ///
    /// # Errors
    /// If it is no folder, or cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self { folder, console: VecDeque::new(), lost: 0, typed: VecDeque::new() })
    }

    /// What the remote wrote to its console since the last time, and how many bytes before that were lost because nobody
    /// fetched them. The bytes are the remote's: make them harmless before showing them.
    pub fn take_console(&mut self) -> (Vec<u8>, u64) {
        (self.console.drain(..).collect(), core::mem::take(&mut self.lost))
    }

    /// Types something for the remote; how much of it was taken.
    pub fn type_in(&mut self, bytes: &[u8]) -> usize {
        let room = MOST_CONSOLE.saturating_sub(self.typed.len()).min(bytes.len());
        self.typed.extend(bytes.iter().take(room));
        room
    }
}

impl Files for Folder {
    type File = File;

    fn open(&mut self, path: &str, flags: i32, mode: i32, write: bool) -> Result<File, Errno> {
        // Nothing is waited for: opening a pipe returns at once, and then it is not kept.
        let mut open = OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        open |= match flags & flag::ACCESS {
            flag::BOTH => OFlags::RDWR,
            flag::WRITE => OFlags::WRONLY,
            _ => OFlags::RDONLY,
        };
        for (number, flag) in
            [(flag::CREATE, OFlags::CREATE), (flag::EXCLUSIVE, OFlags::EXCL), (flag::APPEND, OFlags::APPEND)]
        {
            open.set(flag, write && flags & number != 0);
        }
        let mode = if open.contains(OFlags::CREATE) { Mode::from_raw_mode(mode as u32 & 0o666) } else { Mode::empty() };
        let beneath =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
        let path = path.trim_start_matches("./");
        let fd = rustix::fs::openat2(&self.folder, path, open, mode, beneath).map_err(errno)?;
        let found = rustix::fs::fstat(&fd).map_err(errno)?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(Errno::ACCES);
        }
        // Only now, when it is known to be a file of the folder's.
        if write && flags & flag::TRUNCATE != 0 {
            rustix::fs::ftruncate(&fd, 0).map_err(errno)?;
        }
        Ok(File::from(fd))
    }

    fn read(&mut self, file: &mut File, to: &mut [u8]) -> Result<usize, Errno> {
        file.read(to).map_err(|error| of_io(&error))
    }

    fn write(&mut self, file: &mut File, bytes: &[u8]) -> Result<usize, Errno> {
        file.write(bytes).map_err(|error| of_io(&error))
    }

    fn seek(&mut self, file: &mut File, whence: Whence, offset: i64) -> Result<u64, Errno> {
        let to = match whence {
            Whence::Start => SeekFrom::Start(u64::try_from(offset).map_err(|_| Errno::INVAL)?),
            Whence::Here => SeekFrom::Current(offset),
            Whence::End => SeekFrom::End(offset),
        };
        file.seek(to).map_err(|error| of_io(&error))
    }

    fn position(&mut self, file: &mut File) -> Result<u64, Errno> {
        // A file that is appended to is written at its end, wherever one is.
        let appends = rustix::fs::fcntl_getfl(&*file).map_err(errno)?.contains(OFlags::APPEND);
        if appends {
            return file.metadata().map(|found| found.len()).map_err(|error| of_io(&error));
        }
        file.stream_position().map_err(|error| of_io(&error))
    }

    fn console_write(&mut self, bytes: &[u8]) {
        self.console.extend(bytes);
        let over = self.console.len().saturating_sub(MOST_CONSOLE);
        self.console.drain(..over);
        self.lost += over as u64;
    }

    fn console_read(&mut self, to: &mut [u8]) -> usize {
        let len = to.len().min(self.typed.len());
        for (slot, byte) in to.iter_mut().zip(self.typed.drain(..len)) {
            *slot = byte;
        }
        len
    }
}
