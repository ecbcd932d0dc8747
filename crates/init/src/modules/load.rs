//! Asking the kernel to load modules.
//!
//! A compressed file is given to the kernel as it is (`MODULE_INIT_COMPRESSED_FILE`, Linux 5.17 with
//! `CONFIG_MODULE_DECOMPRESS`); a kernel that cannot read it says so, and the image is to have it uncompressed then.
//!
//! The kernel itself asks for modules too, when somebody mounts a kind of file system or uses a cipher that it has no
//! code for: it runs `/proc/sys/kernel/modprobe -q -- NAME` (`kernel/module/kmod.c`). [`answer_kernel`] is that program.

use std::{
    collections::BTreeSet,
    ffi::{CStr, CString},
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::io::Errno;

use crate::cmdline;

use super::{MAX_LIST, Modules, NoSuchModule, name_of};

/// `MODULE_INIT_COMPRESSED_FILE` of `include/uapi/linux/module.h`.
const COMPRESSED: i32 = 4;

/// How often, and how long apart, the kernel is asked again while the module's own set-up says "not yet".
const AGAIN: (u32, Duration) = (20, Duration::from_millis(50));

/// Why a module was not loaded.
#[derive(Debug)]
pub enum LoadError {
    /// The lists do not have it.
    Unknown,
    /// Its file, or one that it needs, cannot be read.
    File(PathBuf, io::Error),
    /// The kernel cannot read this compressed file.
    Compressed(PathBuf),
    /// The kernel refused it.
    Refused(PathBuf, Errno),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("no list in the image has it; add it to the product's modules"),
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Compressed(path) => {
                write!(f, "this kernel cannot read {}; the image is to have it uncompressed", path.display())
            }
            Self::Refused(path, error) => write!(f, "the kernel refuses {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for LoadError {}

impl From<NoSuchModule> for LoadError {
    fn from(_: NoSuchModule) -> Self {
        Self::Unknown
    }
}

/// The modules of the running kernel's release, and which of them were loaded.
pub struct Loader {
    folder: PathBuf,
    modules: Modules,
    loaded: BTreeSet<String>,
    /// Names of hardware that were looked up.
    seen: BTreeSet<String>,
    /// The kernel's command line, which may have parameters for modules.
    line: String,
}

/// The most names of hardware that are remembered; more than any machine has.
const MAX_SEEN: usize = 16_384;

impl Loader {
    /// Reads the lists below `/lib/modules`, or wherever `base` is. Without them there is nothing to load.
    pub fn new(base: &Path) -> Self {
        let folder = base.join(rustix::system::uname().release().to_string_lossy().as_ref());
        let list = |name: &str| {
            let mut text = Vec::new();
            // An image without modules has no lists, and that is no fault.
            let _ = File::open(folder.join(name)).map(|file| file.take(MAX_LIST).read_to_end(&mut text));
            String::from_utf8_lossy(&text).into_owned()
        };
        let modules = Modules::new(&list("modules.alias"), &list("modules.dep"), &list("modules.builtin"));
        Self { folder, modules, loaded: BTreeSet::new(), seen: BTreeSet::new(), line: cmdline::text() }
    }

    /// How many modules the image has.
    pub fn available(&self) -> usize {
        self.modules.len()
    }

    /// Loads what drives hardware of this name; returns the modules that are new, and those that failed.
    pub fn drive(&mut self, modalias: &str) -> (Vec<String>, Vec<(String, LoadError)>) {
        let (mut new, mut failed) = (Vec::new(), Vec::new());
        if self.seen.len() < MAX_SEEN && !self.seen.insert(modalias.to_owned()) {
            return (new, failed);
        }
        let wanted: Vec<String> = self.modules.for_hardware(modalias).into_iter().map(str::to_owned).collect();
        for module in wanted {
            match self.load(&module) {
                Ok(true) => new.push(module),
                Ok(false) => {}
                // Several modules may claim a device that only one of them drives.
                Err(LoadError::Refused(_, Errno::NODEV)) => {}
                Err(error) => failed.push((module, error)),
            }
        }
        (new, failed)
    }

    /// Loads a module and what it needs. Returns whether it was not there before. Behind the module's name there may be
    /// parameters for it, parted by spaces: `i2c-stub chip_addr=0x48`. Those of the kernel's command line come after them.
    ///
    /// # Errors
    /// See [`LoadError`].
    pub fn load(&mut self, module: &str) -> Result<bool, LoadError> {
        let (module, parameters) = module.split_once(' ').unwrap_or((module, ""));
        let module = name_of(module);
        if self.loaded.contains(&module) {
            return Ok(false);
        }
        let files: Vec<PathBuf> =
            self.modules.files_for(&module)?.into_iter().map(|file| self.folder.join(file)).collect();
        let mut new = false;
        for file in files {
            let name = name_of(&file.to_string_lossy());
            if !self.loaded.contains(&name) {
                let own = if name == module { parameters } else { "" };
                let all = [own, &cmdline::for_module(&self.line, &name)].join(" ");
                let all = CString::new(all.trim()).map_err(|_| LoadError::Unknown)?;
                new |= insert(&file, &all)?;
                self.loaded.insert(name);
            }
        }
        Ok(new)
    }
}

/// Whether it was not there before.
fn insert(path: &Path, parameters: &CStr) -> Result<bool, LoadError> {
    let compressed = path.extension().is_some_and(|end| end != "ko");
    let flags = if compressed { COMPRESSED } else { 0 };
    let open = || File::open(path).map_err(|error| LoadError::File(path.to_owned(), error));
    let mut tries = AGAIN.0;
    loop {
        match rustix::system::finit_module(open()?, parameters, flags) {
            Ok(()) => return Ok(true),
            Err(Errno::EXIST) => return Ok(false),
            Err(Errno::BUSY | Errno::AGAIN | Errno::INTR) if tries > 0 => {
                tries -= 1;
                std::thread::sleep(AGAIN.1);
            }
            Err(Errno::INVAL | Errno::NOEXEC | Errno::OPNOTSUPP) if compressed => {
                return Err(LoadError::Compressed(path.to_owned()));
            }
            Err(error) => return Err(LoadError::Refused(path.to_owned(), error)),
        }
    }
}

/// What the kernel asks `modprobe` for, by these arguments; none if it is somebody else who asks.
pub fn kernel_asks(arguments: &[String]) -> Option<&str> {
    match arguments {
        [_, quiet, end, name] if quiet == "-q" && end == "--" => Some(name),
        _ => None,
    }
}

/// Loads what the kernel asks for: a module, or whatever has this alias. Returns whether it is there now.
pub fn answer_kernel(base: &Path, name: &str) -> bool {
    let mut loader = Loader::new(base);
    match loader.load(name) {
        Ok(_) => true,
        Err(LoadError::Unknown) => {
            let wanted: Vec<String> = loader.modules.for_hardware(name).into_iter().map(str::to_owned).collect();
            !wanted.is_empty() && wanted.iter().all(|module| loader.load(module).is_ok())
        }
        Err(_) => false,
    }
}

/// Tells the kernel to ask this program for modules from now on.
///
/// # Errors
/// If the kernel cannot load modules at all, there is nowhere to write it.
pub fn register(program: &CStr) -> io::Result<()> {
    std::fs::write("/proc/sys/kernel/modprobe", program.to_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_told_from_others() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(kernel_asks(&words("/init -q -- fs-ext4")), Some("fs-ext4"));
        assert_eq!(kernel_asks(&words("/init")), None);
        assert_eq!(kernel_asks(&words("/init -q fs-ext4")), None);
    }

    #[test]
    fn without_lists_nothing_is_found_and_nothing_fails() {
        let folder = tempfile::tempdir().unwrap();
        let mut loader = Loader::new(folder.path());
        assert_eq!(loader.available(), 0);
        assert!(matches!(loader.load("x"), Err(LoadError::Unknown)));
        let (new, failed) = loader.drive("pci:v1");
        assert!(new.is_empty() && failed.is_empty());
    }
}
