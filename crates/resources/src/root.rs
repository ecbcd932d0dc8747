//! The folder that stands for `/`, and bounded access to the small files below it.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Component, Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use rustix::{
    fs::{self, Access, AtFlags, CWD, FileType, Mode, OFlags, StatVfs},
    io::Errno,
};

use crate::{driver::DriverError, names::natural_order};

/// An attribute of sysfs is at most one page (Documentation/filesystems/sysfs.rst).
const MAX_ATTRIBUTE: usize = 4096;

/// Entries of one folder that are looked at.
const MAX_NAMES: usize = 4096;

/// Links that are followed on the way to a file, as many as the kernel follows (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// A folder that stands for `/`: drivers find `/proc`, `/sys` and `/etc/os-release` below it.
///
/// Below another root than `/`, symbolic links are followed as if the folder were `/`, so that a fixture tree never
/// shows what the real machine has.
#[derive(Clone, Debug)]
pub struct SysRoot {
    path: PathBuf,
    /// Open unless it is `/` itself.
    folder: Option<Arc<OwnedFd>>,
}

impl Default for SysRoot {
    fn default() -> Self {
        Self { path: PathBuf::from("/"), folder: None }
    }
}

impl SysRoot {
    /// The folder at `path`.
    ///
    /// # Errors
    /// Whatever opening it gives: it must exist and be a folder.
    pub fn new(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref().canonicalize()?;
        if path == Path::new("/") {
            return Ok(Self::default());
        }
        let folder = fs::open(&path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { path, folder: Some(Arc::new(folder)) })
    }

    /// Whether it is the real machine's `/`.
    pub const fn is_real(&self) -> bool {
        self.folder.is_none()
    }

    /// Where `path` (which begins with `/`) is for the rest of the machine.
    pub fn locate(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.path.join(path.strip_prefix("/").unwrap_or(path)).components().collect()
    }

    /// What the file holds.
    ///
    /// # Errors
    /// What the operating system says; `EFBIG` if it is longer than `max` bytes, `EINVAL` if it is not a plain file.
    pub fn read(&self, path: impl AsRef<Path>, max: usize) -> io::Result<Vec<u8>> {
        let file = self.open(path.as_ref(), OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        if FileType::from_raw_mode(fs::fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(Errno::INVAL.into());
        }
        let mut bytes = Vec::new();
        let mut chunk = [0; 4096];
        loop {
            match rustix::io::read(&file, &mut chunk) {
                Ok(0) => return Ok(bytes),
                Ok(len) => bytes.extend_from_slice(chunk.get(..len).unwrap_or_default()),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            if bytes.len() > max {
                return Err(Errno::FBIG.into());
            }
        }
    }

    /// The file as text without the space around it; what is not UTF-8 is replaced.
    pub(crate) fn text(&self, path: impl AsRef<Path>, max: usize) -> Result<String, DriverError> {
        let bytes = self.read(&path, max).map_err(|error| self.error(path, &error))?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// One attribute of sysfs as text.
    pub(crate) fn attribute(&self, path: impl AsRef<Path>) -> Result<String, DriverError> {
        self.text(path, MAX_ATTRIBUTE)
    }

    /// One attribute of sysfs as a number.
    pub(crate) fn number<T: FromStr>(&self, path: impl AsRef<Path>) -> Result<T, DriverError> {
        let text = self.attribute(&path)?;
        text.parse().map_err(|_| DriverError::garbage(&self.locate(path), text.as_bytes()))
    }

    /// One attribute of sysfs as a finite number that may have a fraction.
    pub(crate) fn measure(&self, path: impl AsRef<Path>) -> Result<f64, DriverError> {
        let text = self.attribute(&path)?;
        let number = text.parse().ok().filter(|number: &f64| number.is_finite());
        number.ok_or_else(|| DriverError::garbage(&self.locate(path), text.as_bytes()))
    }

    /// Writes an attribute of sysfs, which must exist.
    pub(crate) fn write(&self, path: &str, text: &str, advice: &'static str) -> Result<(), DriverError> {
        let write = || -> io::Result<()> {
            let file =
                self.open(Path::new(path), OFlags::WRONLY | OFlags::TRUNC | OFlags::NONBLOCK | OFlags::NOCTTY)?;
            if FileType::from_raw_mode(fs::fstat(&file)?.st_mode) != FileType::RegularFile {
                return Err(Errno::INVAL.into());
            }
            // One call: an attribute's store method sees exactly what one write(2) carries.
            let written = rustix::io::retry_on_intr(|| rustix::io::write(&file, text.as_bytes()))?;
            if written == text.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
        };
        write().map_err(|error| DriverError::from_io(&self.locate(path), &error, advice))
    }

    /// The names in a folder in natural order (`hwmon2` before `hwmon10`); none if it cannot be listed.
    pub(crate) fn names(&self, path: impl AsRef<Path>) -> Vec<String> {
        let list = || -> io::Result<Vec<String>> {
            let folder = self.open(path.as_ref(), OFlags::RDONLY | OFlags::DIRECTORY)?;
            let mut names = Vec::new();
            for entry in fs::Dir::new(folder)?.take(MAX_NAMES) {
                match entry?.file_name().to_str() {
                    Ok(name) if !name.starts_with('.') => names.push(name.to_owned()),
                    _ => {}
                }
            }
            Ok(names)
        };
        let mut names = list().unwrap_or_default();
        names.sort_unstable_by(|a, b| natural_order(a, b));
        names
    }

    /// Whether there is something at `path`, following links.
    pub(crate) fn exists(&self, path: impl AsRef<Path>) -> bool {
        self.open(path.as_ref(), OFlags::PATH).is_ok()
    }

    /// The last name of where the symbolic link at `path` leads.
    pub(crate) fn link_name(&self, path: impl AsRef<Path>) -> Option<String> {
        let link = self.open(path.as_ref(), OFlags::PATH | OFlags::NOFOLLOW).ok()?;
        let target = fs::readlinkat(&link, c"", Vec::new()).ok()?;
        let target = target.to_str().ok()?;
        target.rsplit('/').find(|name| !name.is_empty()).map(str::to_owned)
    }

    /// Whether this user may write the file. Asked of the kernel without opening it, since opening may do something.
    pub(crate) fn may_write(&self, path: &str) -> bool {
        self.open(Path::new(path), OFlags::PATH).is_ok_and(|file| {
            let through = PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file)));
            fs::accessat(CWD, &through, Access::WRITE_OK, AtFlags::empty()).is_ok()
        })
    }

    /// How full the filesystem at the folder `path` is.
    pub(crate) fn filesystem(&self, path: &Path) -> io::Result<StatVfs> {
        Ok(fs::fstatvfs(self.open(path, OFlags::PATH | OFlags::DIRECTORY)?)?)
    }

    pub(crate) fn error(&self, path: impl AsRef<Path>, error: &io::Error) -> DriverError {
        DriverError::from_io(&self.locate(path), error, "run it as a user that may read this file")
    }

    fn open(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        let Some(folder) = &self.folder else {
            return Ok(fs::open(path, flags, Mode::empty())?);
        };
        Ok(open_within(folder, path, flags)?)
    }
}

/// Opens `path` as if `root` were `/`: step by step, reading each symbolic link and never letting the kernel follow
/// one. (`RESOLVE_IN_ROOT` of openat2(2) does the same, but emulators and old kernels lack it.)
fn open_within(root: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let step = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut folders: Vec<OwnedFd> = Vec::new();
    let mut links = 0;
    // What is still to be walked, the next name last.
    let mut ahead: Vec<OsString> = Vec::new();
    push_names(&mut ahead, path);
    while let Some(name) = ahead.pop() {
        if name == ".." {
            folders.pop();
            continue;
        }
        let at = folders.last().unwrap_or(root);
        let found = fs::openat(at, &name, step, Mode::empty())?;
        let kind = FileType::from_raw_mode(fs::fstat(&found)?.st_mode);
        if kind == FileType::Symlink && !(ahead.is_empty() && flags.contains(OFlags::NOFOLLOW)) {
            links += 1;
            if links > MAX_LINKS {
                return Err(Errno::LOOP);
            }
            let target = fs::readlinkat(&found, c"", Vec::new())?;
            let target = Path::new(OsStr::from_bytes(target.as_bytes()));
            if target.is_absolute() {
                folders.clear();
            }
            push_names(&mut ahead, target);
        } else if ahead.is_empty() {
            return fs::openat(at, &name, flags | OFlags::NOFOLLOW, Mode::empty());
        } else {
            folders.push(found);
        }
    }
    fs::openat(folders.last().unwrap_or(root), ".", flags, Mode::empty())
}

fn push_names(ahead: &mut Vec<OsString>, path: &Path) {
    ahead.extend(path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn tree() -> (tempfile::TempDir, SysRoot) {
        let folder = tempfile::tempdir().unwrap();
        let root = SysRoot::new(folder.path()).unwrap();
        (folder, root)
    }

    #[test]
    fn reads_are_bounded() {
        let (folder, root) = tree();
        std::fs::write(folder.path().join("small"), " 42 \n").unwrap();
        std::fs::File::create(folder.path().join("huge")).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(root.number("/small"), Ok(42));
        assert!(matches!(root.attribute("/huge"), Err(DriverError::Unavailable { .. })));
        assert!(matches!(root.attribute("/none"), Err(DriverError::Gone(_))));
        assert!(matches!(root.attribute("/"), Err(DriverError::Unavailable { .. })));
    }

    #[test]
    fn a_pipe_does_not_hang_a_reader_or_a_writer() {
        let (folder, root) = tree();
        fs::mkfifoat(CWD, folder.path().join("pipe"), Mode::RWXU).unwrap();
        assert!(root.attribute("/pipe").is_err());
        assert!(root.write("/pipe", "1", "").is_err());
    }

    #[test]
    fn links_stay_in_the_tree() {
        let (folder, root) = tree();
        std::fs::create_dir(folder.path().join("etc")).unwrap();
        std::fs::write(folder.path().join("etc/hostname"), "fixture").unwrap();
        symlink("/etc/hostname", folder.path().join("absolute")).unwrap();
        symlink("../../../../../../etc/hostname", folder.path().join("climbs")).unwrap();
        symlink("loop", folder.path().join("loop")).unwrap();
        assert_eq!(root.attribute("/absolute").as_deref(), Ok("fixture"));
        assert_eq!(root.attribute("/climbs").as_deref(), Ok("fixture"));
        symlink("../etc", folder.path().join("etc/up")).unwrap();
        assert_eq!(root.attribute("/etc/up/up/hostname").as_deref(), Ok("fixture"));
        assert_eq!(root.attribute("/../etc/../etc/hostname").as_deref(), Ok("fixture"));
        assert!(root.exists("/etc/.."));
        assert!(root.attribute("/loop").is_err());
        assert!(root.attribute("/etc/hostname/x").is_err());
        assert_eq!(root.link_name("/climbs").as_deref(), Some("hostname"));
        assert_eq!(root.link_name("/etc/hostname"), None);
    }

    #[test]
    fn names_come_in_natural_order() {
        let (folder, root) = tree();
        for name in ["cpu10", "cpu2", "cpu1", ".hidden"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        assert_eq!(root.names("/"), ["cpu1", "cpu2", "cpu10"]);
        assert!(root.names("/none").is_empty());
    }

    #[test]
    fn garbage_is_shown_escaped() {
        let (folder, root) = tree();
        std::fs::write(folder.path().join("bad"), b"\x1b[31m\xff\0").unwrap();
        let error = root.number::<u32>("/bad").unwrap_err();
        assert!(!error.to_string().chars().any(char::is_control), "{error}");
    }
}
