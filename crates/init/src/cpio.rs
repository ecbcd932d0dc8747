//! Unpacks a system: the archive that the kernel itself takes at its start
//! (`Documentation/driver-api/early-userspace/buffer-format.rst`), plain, or compressed by gzip or Zstandard.
//!
//! Several archives may follow one another, with zeros between; each may be compressed for itself as long as what is
//! compressed comes last. An archive is signed before it is unpacked here, and yet not believed: no path leads out
//! of the folder, lengths and numbers are bounded, and devices and links are made only below it. The crate `cpio` 0.4 reads the form, but takes
//! a name of up to 4 GiB into memory; it would spare the header's fields alone.

use std::{
    fmt, fs,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink},
    path::{Component, Path, PathBuf},
};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use tutti_update::newc;

/// The most files of a system.
const MAX_FILES: usize = 100_000;
/// The longest name, and the longest target of a link (`PATH_MAX`).
const MAX_NAME: u32 = 4096;
/// The most bytes that a system may have unpacked. It has to fit into memory, which is smaller as a rule.
const MAX_BYTES: u64 = 4 << 30;

const HEADER: usize = 110;

/// Why an archive cannot be unpacked.
#[derive(Debug)]
pub enum UnpackError {
    /// It is no archive, or has something that a system does not need.
    Form(&'static str),
    /// A path that would lead elsewhere.
    Path(String),
    /// It has too many files, or too large ones.
    TooMuch,
    /// It cannot be read, or a file cannot be made.
    Io(io::Error),
}

impl fmt::Display for UnpackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(what) => write!(f, "the archive is wrong: {what}"),
            Self::Path(path) => write!(f, "the archive has the path {path:?}, which leads elsewhere"),
            Self::TooMuch => f.write_str("the archive is too large"),
            Self::Io(error) => write!(f, "the archive cannot be unpacked: {error}"),
        }
    }
}

impl std::error::Error for UnpackError {}

impl From<io::Error> for UnpackError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What an archive is unpacked into.
pub trait Target {
    /// Makes a folder, or changes the mode of one.
    fn folder(&mut self, path: &Path, mode: u32) -> io::Result<()>;
    /// Makes a file.
    fn file(&mut self, path: &Path, mode: u32, content: &mut dyn Read) -> io::Result<()>;
    /// Makes a symbolic link.
    fn link(&mut self, path: &Path, target: &str) -> io::Result<()>;
    /// Makes a device, a pipe or a socket.
    fn device(&mut self, path: &Path, mode: u32, major: u32, minor: u32) -> io::Result<()>;
}

/// A folder to unpack into.
pub struct Folder(pub PathBuf);

impl Target for Folder {
    fn folder(&mut self, path: &Path, mode: u32) -> io::Result<()> {
        let path = self.0.join(path);
        fs::create_dir_all(&path)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }

    fn file(&mut self, path: &Path, mode: u32, content: &mut dyn Read) -> io::Result<()> {
        let path = self.0.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        // A later file of the same name replaces an earlier one; it is not written through a link.
        let _ = fs::remove_file(&path);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        io::copy(content, &mut file)?;
        file.flush()?;
        file.set_permissions(fs::Permissions::from_mode(mode))
    }

    fn link(&mut self, path: &Path, target: &str) -> io::Result<()> {
        let path = self.0.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let _ = fs::remove_file(&path);
        symlink(target, path)
    }

    fn device(&mut self, path: &Path, mode: u32, major: u32, minor: u32) -> io::Result<()> {
        let path = self.0.join(path);
        let _ = fs::remove_file(&path);
        Ok(mknodat(
            CWD,
            path,
            FileType::from_raw_mode(mode),
            Mode::from_raw_mode(mode & 0o7777),
            makedev(major, minor),
        )?)
    }
}

/// Unpacks whatever it is. Returns how many files there were.
///
/// # Errors
/// See [`UnpackError`]; what was unpacked until then is there.
pub fn unpack(from: impl Read, into: &mut dyn Target) -> Result<usize, UnpackError> {
    let mut from = BufReader::with_capacity(64 * 1024, from);
    let mut files = 0;
    loop {
        let begin = from.fill_buf()?;
        match begin {
            [] => return Ok(files),
            [0, ..] => from.consume(1),
            [b'0', ..] => plain(&mut Counted { from: &mut from, count: 0 }, into, &mut files)?,
            [0x1f, 0x8b, ..] => {
                return compressed(flate2::bufread::MultiGzDecoder::new(from), into, files);
            }
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                let decoder = ruzstd::decoding::StreamingDecoder::new(from);
                return compressed(decoder.map_err(|_| UnpackError::Form("its compression is damaged"))?, into, files);
            }
            _ => return Err(UnpackError::Form("it is neither cpio (newc) nor compressed by gzip or zstd")),
        }
    }
}

fn compressed(from: impl Read, into: &mut dyn Target, mut files: usize) -> Result<usize, UnpackError> {
    let mut from = BufReader::with_capacity(64 * 1024, from.take(MAX_BYTES));
    loop {
        match from.fill_buf()? {
            [] => return Ok(files),
            [0, ..] => from.consume(1),
            _ => plain(&mut Counted { from: &mut from, count: 0 }, into, &mut files)?,
        }
    }
}

/// One archive up to its trailer.
fn plain(from: &mut Counted<impl Read>, into: &mut dyn Target, files: &mut usize) -> Result<(), UnpackError> {
    loop {
        let mut header = [0; HEADER];
        from.read_exact(&mut header)?;
        let entry = Entry::parse(&header)?;
        let mut name = vec![0; usize::try_from(entry.name_len).unwrap_or_default()];
        from.read_exact(&mut name)?;
        from.align()?;
        name.pop();
        let name = String::from_utf8(name).map_err(|_| UnpackError::Form("a name is no text"))?;
        if name == newc::TRAILER {
            return Ok(());
        }
        *files += 1;
        if *files > MAX_FILES {
            return Err(UnpackError::TooMuch);
        }
        let path = plain_path(&name)?;
        let mode = entry.mode & 0o7777;
        let mut content = from.by_ref().take(entry.size.into());
        match FileType::from_raw_mode(entry.mode) {
            FileType::Directory => into.folder(&path, mode)?,
            FileType::RegularFile => into.file(&path, mode, &mut content)?,
            FileType::Symlink => {
                if entry.size > MAX_NAME {
                    return Err(UnpackError::Form("the target of a link is too long"));
                }
                let mut target = String::new();
                content.read_to_string(&mut target)?;
                into.link(&path, &target)?;
            }
            FileType::CharacterDevice | FileType::BlockDevice | FileType::Fifo => {
                into.device(&path, entry.mode, entry.major, entry.minor)?;
            }
            _ => return Err(UnpackError::Form("a file is of no known sort")),
        }
        // What was not wanted of it; a file that is cut off ends here.
        let left = content.limit();
        if io::copy(&mut content, &mut io::sink())? != left {
            return Err(UnpackError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        from.align()?;
    }
}

struct Entry {
    mode: u32,
    size: u32,
    major: u32,
    minor: u32,
    name_len: u32,
}

impl Entry {
    fn parse(header: &[u8; HEADER]) -> Result<Self, UnpackError> {
        if !header.starts_with(newc::MAGIC) && !header.starts_with(b"070702") {
            return Err(UnpackError::Form("a file begins otherwise"));
        }
        let field = |number: usize| {
            let digits =
                header.get(6 + 8 * number..14 + 8 * number).and_then(|digits| std::str::from_utf8(digits).ok());
            digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or(UnpackError::Form("a number is none"))
        };
        let entry =
            Self { mode: field(1)?, size: field(6)?, major: field(9)?, minor: field(10)?, name_len: field(11)? };
        let links = field(4)?;
        if !(1..=MAX_NAME).contains(&entry.name_len) {
            return Err(UnpackError::Form("a name is too long"));
        }
        if links > 1 && FileType::from_raw_mode(entry.mode) == FileType::RegularFile {
            return Err(UnpackError::Form("it has hard links"));
        }
        Ok(entry)
    }
}

/// A path below the root.
fn plain_path(name: &str) -> Result<PathBuf, UnpackError> {
    let mut path = PathBuf::new();
    for part in Path::new(name).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return Err(UnpackError::Path(name.to_owned())),
        }
    }
    Ok(path)
}

/// Counts, since everything begins at a multiple of [`newc::ALIGN`].
struct Counted<R> {
    from: R,
    count: u64,
}

impl<R: Read> Counted<R> {
    fn align(&mut self) -> io::Result<()> {
        let gap = usize::try_from(self.count.next_multiple_of(newc::ALIGN as u64) - self.count).unwrap_or_default();
        let mut bytes = [0; newc::ALIGN - 1];
        self.read_exact(bytes.get_mut(..gap).unwrap_or_default())
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.from.read(buffer)?;
        self.count += len as u64;
        Ok(len)
    }
}

/// Takes everything and keeps nothing: for fuzzing.
pub struct Nowhere;

impl Target for Nowhere {
    fn folder(&mut self, path: &Path, _: u32) -> io::Result<()> {
        inside(path)
    }
    fn file(&mut self, path: &Path, _: u32, content: &mut dyn Read) -> io::Result<()> {
        io::copy(&mut content.take(1 << 20), &mut io::sink())?;
        inside(path)
    }
    fn link(&mut self, path: &Path, _: &str) -> io::Result<()> {
        inside(path)
    }
    fn device(&mut self, path: &Path, _: u32, _: u32, _: u32) -> io::Result<()> {
        inside(path)
    }
}

fn inside(path: &Path) -> io::Result<()> {
    assert!(path.is_relative() && path.components().all(|part| matches!(part, Component::Normal(_))), "{path:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(name: &str, mode: u32, data: &[u8]) -> Vec<u8> {
        let fields = [1, mode as usize, 0, 0, 1, 0, data.len(), 0, 0, 0, 0, name.len() + 1, 0];
        let fields = fields.map(|field| format!("{field:08x}"));
        let mut bytes = [b"070701".as_slice(), fields.concat().as_bytes(), name.as_bytes(), &[0]].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn archive() -> Vec<u8> {
        [
            entry("etc", 0o40755, b""),
            entry("etc/name", 0o100_640, b"kitchen"),
            entry("./init", 0o100_755, &[7; 100_001]),
            entry("lib", 0o120_777, b"usr/lib"),
            entry("TRAILER!!!", 0, b""),
        ]
        .concat()
    }

    fn check(folder: &Path) {
        assert_eq!(fs::read_to_string(folder.join("etc/name")).unwrap(), "kitchen");
        assert_eq!(fs::metadata(folder.join("etc/name")).unwrap().permissions().mode() & 0o7777, 0o640);
        assert_eq!(fs::read(folder.join("init")).unwrap(), [7; 100_001]);
        assert_eq!(fs::read_link(folder.join("lib")).unwrap(), Path::new("usr/lib"));
    }

    #[test]
    fn systems_are_unpacked_however_they_are_compressed() {
        let plain = archive();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&plain).unwrap();
        let zstd = ruzstd::encoding::compress_to_vec(plain.as_slice(), ruzstd::encoding::CompressionLevel::Fastest);
        let early = [entry("early", 0o100_644, b"x"), entry("TRAILER!!!", 0, b""), vec![0; 512], zstd.clone()].concat();
        for (bytes, files) in [(plain, 4), (gzip.finish().unwrap(), 4), (zstd, 4), (early, 5)] {
            let folder = tempfile::tempdir().unwrap();
            assert_eq!(unpack(bytes.as_slice(), &mut Folder(folder.path().into())).unwrap(), files);
            check(folder.path());
        }
    }

    #[test]
    fn nothing_leads_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        fs::create_dir(&inner).unwrap();
        for name in ["../out", "a/../../out"] {
            let bytes = entry(name, 0o100_644, b"x");
            let result = unpack(bytes.as_slice(), &mut Folder(inner.clone()));
            assert!(matches!(result, Err(UnpackError::Path(_))), "{name}");
        }
        let absolute = [entry("/out", 0o100_644, b"x"), entry("TRAILER!!!", 0, b"")].concat();
        unpack(absolute.as_slice(), &mut Folder(inner.clone())).unwrap();
        assert!(inner.join("out").exists() && !folder.path().join("out").exists());
    }

    #[test]
    fn what_is_cut_is_an_error() {
        let whole = archive();
        for len in [1, 50, 200, 300, whole.len() - 130] {
            assert!(unpack(&whole[..len], &mut Nowhere).is_err(), "{len}");
        }
        assert!(matches!(unpack(&b"nonsense"[..], &mut Nowhere), Err(UnpackError::Form(_))));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), at in 0usize..800, with in any::<u8>()) {
            let _ = unpack(bytes.as_slice(), &mut Nowhere);
            let mut whole = archive();
            whole[at] = with;
            let _ = unpack(whole.as_slice(), &mut Nowhere);
        }
    }
}
