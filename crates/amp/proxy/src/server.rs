//! Serving calls under a policy.

use core::fmt;

use crate::wire::{Frame, HEADER, Op, Repr, VERSION, WireError};

/// The number of an error, as Linux has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub i32);

impl Errno {
    /// No such file.
    pub const NOENT: Self = Self(2);
    /// Something failed below.
    pub const IO: Self = Self(5);
    /// No such handle, or not for this.
    pub const BADF: Self = Self(9);
    /// Not allowed.
    pub const ACCES: Self = Self(13);
    /// That makes no sense.
    pub const INVAL: Self = Self(22);
    /// Too many handles.
    pub const MFILE: Self = Self(24);
    /// The file would be too long.
    pub const FBIG: Self = Self(27);
    /// The quota is used up.
    pub const NOSPC: Self = Self(28);
    /// No such call.
    pub const NOSYS: Self = Self(38);
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error {}", self.0)
    }
}

/// From where a seek counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whence {
    /// The start of the file.
    Start,
    /// Where one is.
    Here,
    /// Its end.
    End,
}

/// What a remote may touch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Its console.
    pub console: bool,
    /// Files, for reading.
    pub read: bool,
    /// Files, for writing, and new ones.
    pub write: bool,
    /// How many bytes it may write in all.
    pub quota: u64,
    /// The longest file that it may write.
    pub longest: u64,
}

impl Default for Policy {
    /// Its console, and the folder that it is given, with 16 MiB to write.
    fn default() -> Self {
        Self { console: true, read: true, write: true, quota: 16 << 20, longest: 16 << 20 }
    }
}

/// What a remote reaches. Nothing here may wait for long: whoever serves several remotes waits with it.
pub trait Files {
    /// An open file. Closed when it is dropped.
    type File;

    /// Opens a file. The flags are Linux's; `write` says whether they ask for writing of any sort.
    ///
    /// # Errors
    /// Why not.
    fn open(&mut self, path: &str, flags: i32, mode: i32, write: bool) -> Result<Self::File, Errno>;

    /// Reads from where the file is, and goes on.
    ///
    /// # Errors
    /// Why not.
    fn read(&mut self, file: &mut Self::File, to: &mut [u8]) -> Result<usize, Errno>;

    /// Writes to where the file is, and goes on.
    ///
    /// # Errors
    /// Why not.
    fn write(&mut self, file: &mut Self::File, bytes: &[u8]) -> Result<usize, Errno>;

    /// Goes to a place, and says where that is. Never before the start.
    ///
    /// # Errors
    /// Why not.
    fn seek(&mut self, file: &mut Self::File, whence: Whence, offset: i64) -> Result<u64, Errno>;

    /// Where the next write goes.
    ///
    /// # Errors
    /// Why that cannot be said.
    fn position(&mut self, file: &mut Self::File) -> Result<u64, Errno>;

    /// What the remote writes to its console: its own bytes, to be made harmless before they are shown.
    fn console_write(&mut self, bytes: &[u8]);

    /// What is typed for it; none if nothing is there now.
    fn console_read(&mut self, to: &mut [u8]) -> usize;
}

/// Linux's numbers for the flags of an open (`include/uapi/asm-generic/fcntl.h`).
pub(crate) mod flag {
    pub(crate) const ACCESS: i32 = 0o3;
    pub(crate) const WRITE: i32 = 0o1;
    #[cfg(feature = "std")]
    pub(crate) const BOTH: i32 = 0o2;
    pub(crate) const CREATE: i32 = 0o100;
    pub(crate) const EXCLUSIVE: i32 = 0o200;
    pub(crate) const TRUNCATE: i32 = 0o1000;
    pub(crate) const APPEND: i32 = 0o2000;
    pub(crate) const KNOWN: i32 = ACCESS | CREATE | EXCLUSIVE | TRUNCATE | APPEND;
}

struct Handle<F> {
    file: F,
    read: bool,
    write: bool,
}

/// The first handle of a file; those before are the console's.
const FIRST: i32 = 3;

/// Serves one remote, which may have up to `HANDLES` files open.
pub struct Server<F: Files, const HANDLES: usize = 16> {
    files: F,
    policy: Policy,
    handles: [Option<Handle<F::File>>; HANDLES],
    written: u64,
    over: bool,
}

impl<F: Files, const HANDLES: usize> Server<F, HANDLES> {
    /// Serves these files under this policy.
    pub fn new(files: F, policy: Policy) -> Self {
        Self { files, policy, handles: [const { None }; HANDLES], written: 0, over: false }
    }

    /// Serves one call, and writes the answer to the front of `to`, which bounds how much is read at once. How long it is;
    /// `None` if there is none.
    ///
    /// # Errors
    /// If the frame is none. Where it is clear which call was meant, an answer with an error stands in `to` all the same, of
    /// 16 bytes: a remote that waits for one is not to wait for ever. [`refusal`](Self::refusal) makes it.
    pub fn handle(&mut self, frame: &[u8], to: &mut [u8]) -> Result<Option<usize>, WireError> {
        let frame = Frame::new_checked(frame)?;
        let call = Repr::parse(&frame)?;
        let answer = |outcome: Result<i32, Errno>, to: &mut [u8]| {
            let (field1, field2) = match outcome {
                Ok(value) => (value, 0),
                Err(error) => (-1, error.0),
            };
            Repr { op: call.op, field1, field2, data: &[] }.emit(to)
        };
        Ok(match call.op {
            Op::Ack => None,
            Op::Terminate => {
                self.close_all();
                self.over = true;
                None
            }
            Op::Version => answer(Ok(VERSION.min(call.field1.max(0))), to),
            Op::Open => answer(self.open(call.data, call.field1, call.field2)?, to),
            Op::Close => answer(self.close(call.field1), to),
            Op::Write => answer(self.write(call.field1, call.field2, call.data)?, to),
            Op::Read => self.read(call.field1, call.field2, to),
            Op::Seek => self.seek(call.field1, call.field2, call.data, to)?,
        })
    }

    /// The answer to a frame that was refused, if it names a call at all.
    pub fn refusal(frame: &[u8], to: &mut [u8]) -> Option<usize> {
        let id = frame.first_chunk().map(|id| u32::from_le_bytes(*id))?;
        let op = Op::of(id).filter(|op| !matches!(op, Op::Ack | Op::Terminate))?;
        Repr { op, field1: -1, field2: Errno::INVAL.0, data: &[] }.emit(to)
    }

    /// Closes everything: the remote was stopped, or restarted.
    pub fn close_all(&mut self) {
        self.handles = [const { None }; HANDLES];
    }

    /// How many files are open.
    pub fn open_files(&self) -> usize {
        self.handles.iter().flatten().count()
    }

    /// Whether the remote has said that it ends.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// The files.
    pub fn files(&mut self) -> &mut F {
        &mut self.files
    }

    fn open(&mut self, path: &[u8], flags: i32, mode: i32) -> Result<Result<i32, Errno>, WireError> {
        let path = path.strip_suffix(&[0]).and_then(|path| core::str::from_utf8(path).ok());
        let path = path.filter(|path| !path.contains('\0')).ok_or(WireError::Path)?;
        Ok(self.open_path(path, flags, mode))
    }

    fn open_path(&mut self, path: &str, flags: i32, mode: i32) -> Result<i32, Errno> {
        if flags & !flag::KNOWN != 0 || flags & flag::ACCESS == flag::ACCESS {
            return Err(Errno::INVAL);
        }
        let access = flags & flag::ACCESS;
        let (read, write) = (access != flag::WRITE, access != 0);
        let changes = write || flags & (flag::CREATE | flag::TRUNCATE | flag::APPEND) != 0;
        if (read && !self.policy.read) || (changes && !self.policy.write) || (changes && !write) {
            return Err(Errno::ACCES);
        }
        let at = self.handles.iter().position(Option::is_none).ok_or(Errno::MFILE)?;
        let file = self.files.open(path, flags, mode & 0o666, write)?;
        if let Some(slot) = self.handles.get_mut(at) {
            *slot = Some(Handle { file, read, write });
        }
        i32::try_from(at).map(|at| at + FIRST).map_err(|_| Errno::MFILE)
    }

    fn close(&mut self, handle: i32) -> Result<i32, Errno> {
        if (0..FIRST).contains(&handle) {
            return Ok(0);
        }
        let open = self.handles.get_mut(slot(handle)?).and_then(Option::take);
        open.map(|_| 0).ok_or(Errno::BADF)
    }

    fn write(&mut self, handle: i32, len: i32, data: &[u8]) -> Result<Result<i32, Errno>, WireError> {
        let bytes = usize::try_from(len).ok().and_then(|len| data.get(..len)).ok_or(WireError::Length(len))?;
        Ok(self.write_bytes(handle, bytes).and_then(|len| i32::try_from(len).map_err(|_| Errno::INVAL)))
    }

    fn write_bytes(&mut self, handle: i32, bytes: &[u8]) -> Result<usize, Errno> {
        if handle == 1 || handle == 2 {
            if !self.policy.console {
                return Err(Errno::ACCES);
            }
            self.files.console_write(bytes);
            return Ok(bytes.len());
        }
        let len = bytes.len() as u64;
        let (policy, written) = (self.policy, self.written);
        let taken = self.with(handle, |files, open| {
            if !open.write {
                return Err(Errno::BADF);
            }
            if written.saturating_add(len) > policy.quota {
                return Err(Errno::NOSPC);
            }
            if files.position(&mut open.file)?.saturating_add(len) > policy.longest {
                return Err(Errno::FBIG);
            }
            files.write(&mut open.file, bytes)
        })?;
        self.written = self.written.saturating_add(taken as u64);
        Ok(taken)
    }

    /// Does something with an open file.
    fn with<R>(
        &mut self,
        handle: i32,
        what: impl FnOnce(&mut F, &mut Handle<F::File>) -> Result<R, Errno>,
    ) -> Result<R, Errno> {
        let at = slot(handle)?;
        let open = self.handles.get_mut(at).and_then(Option::as_mut).ok_or(Errno::BADF)?;
        what(&mut self.files, open)
    }

    fn read(&mut self, handle: i32, len: i32, to: &mut [u8]) -> Option<usize> {
        let (header, room) = to.split_at_mut_checked(HEADER)?;
        let most = usize::try_from(len).map(|len| len.min(room.len()));
        let outcome = match (most, room) {
            (Ok(most), room) => self.read_bytes(handle, room.get_mut(..most).unwrap_or(&mut [])),
            (Err(_), _) => Err(Errno::INVAL),
        };
        let (field1, field2, len) = match outcome {
            Ok(len) => (i32::try_from(len).unwrap_or(0), 0, len),
            Err(error) => (-1, error.0, 0),
        };
        Repr { op: Op::Read, field1, field2, data: &[] }.emit(header)?;
        header.get_mut(12..HEADER)?.copy_from_slice(&u32::try_from(len).ok()?.to_le_bytes());
        Some(HEADER + len)
    }

    fn read_bytes(&mut self, handle: i32, to: &mut [u8]) -> Result<usize, Errno> {
        if handle == 0 {
            return if self.policy.console { Ok(self.files.console_read(to).min(to.len())) } else { Err(Errno::ACCES) };
        }
        let len =
            self.with(handle, |files, open| if open.read { files.read(&mut open.file, to) } else { Err(Errno::BADF) })?;
        Ok(len.min(to.len()))
    }

    fn seek(&mut self, handle: i32, whence: i32, data: &[u8], to: &mut [u8]) -> Result<Option<usize>, WireError> {
        let offset = data.try_into().map(i64::from_le_bytes).map_err(|_| WireError::Offset(data.len()))?;
        let whence = match whence {
            0 => Some(Whence::Start),
            1 => Some(Whence::Here),
            2 => Some(Whence::End),
            _ => None,
        };
        let outcome = whence.ok_or(Errno::INVAL);
        let outcome =
            outcome.and_then(|whence| self.with(handle, |files, open| files.seek(&mut open.file, whence, offset)));
        let repr = |field1, field2, data: &[u8], to: &mut [u8]| Repr { op: Op::Seek, field1, field2, data }.emit(to);
        Ok(match outcome {
            Ok(position) => repr(0, 0, &position.to_le_bytes(), to),
            Err(error) => repr(-1, error.0, &[], to),
        })
    }
}

/// Where the file of a handle stands in the table.
fn slot(handle: i32) -> Result<usize, Errno> {
    handle.checked_sub(FIRST).and_then(|at| usize::try_from(at).ok()).ok_or(Errno::BADF)
}
