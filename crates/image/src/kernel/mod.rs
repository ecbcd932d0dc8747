//! A Linux kernel with its configuration and its modules: Debian's package ([`debian`]), or files that a product names.

mod begins;
pub mod config;
pub mod debian;
pub mod least;
pub mod modules;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use config::Setting;

pub use config::Config;

/// The largest kernel, in bytes.
const MAX_KERNEL: u64 = 256 << 20;

/// The longest name of a release (`__NEW_UTS_LEN` of Linux).
const MAX_RELEASE: usize = 65;

/// A kernel, whole.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// Its version, as its modules' folder is called; empty if it does not say.
    pub release: String,
    /// What is booted.
    pub image: PathBuf,
    /// Its configuration, if it is known.
    pub config: Option<Config>,
    /// The folder that its modules are in, with `kernel/` below it.
    pub modules: Option<PathBuf>,
}

/// Why there is no kernel.
#[derive(Debug)]
pub enum KernelError {
    /// A file cannot be read.
    File(PathBuf, io::Error),
    /// There is none in the folder of an unpacked package.
    Nothing(PathBuf),
    /// A package could not be had.
    Fetch(String),
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Nothing(path) => write!(f, "there is no boot/vmlinuz-VERSION in {}", path.display()),
            Self::Fetch(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for KernelError {}

impl Kernel {
    /// The kernel of a Debian package that was unpacked into a folder.
    ///
    /// # Errors
    /// There is none, or its configuration cannot be read.
    pub fn of_package(folder: &Path) -> Result<Self, KernelError> {
        let boot = folder.join("boot");
        let entries = fs::read_dir(&boot).map_err(|error| KernelError::File(boot.clone(), error))?;
        let release = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("vmlinuz-").map(str::to_owned))
            .max()
            .ok_or_else(|| KernelError::Nothing(folder.into()))?;
        let places = ["lib/modules", "usr/lib/modules"].map(|place| folder.join(place).join(&release));
        Ok(Self {
            image: boot.join(format!("vmlinuz-{release}")),
            config: Some(Config::read(&boot.join(format!("config-{release}")))?),
            modules: places.into_iter().find(|place| place.is_dir()),
            release,
        })
    }

    /// The kernel in these files.
    ///
    /// # Errors
    /// One of them cannot be read.
    pub fn of_files(image: &Path, modules: Option<&Path>, config: Option<&Path>) -> Result<Self, KernelError> {
        if let Err(error) = fs::metadata(image) {
            return Err(KernelError::File(image.into(), error));
        }
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(Self {
            release: match modules.and_then(name) {
                Some(name) => name,
                // A device is not updated by an image for another kernel, so it matters.
                None => release_of(&read_at_most(image, MAX_KERNEL)?).unwrap_or_default(),
            },
            image: image.into(),
            config: config.map(Config::read).transpose()?,
            modules: modules.map(Path::to_path_buf),
        })
    }

    /// Whether this option is built in, as far as the kernel's configuration is known.
    pub fn has_built_in(&self, option: &str) -> bool {
        self.config.as_ref().is_some_and(|config| config.get(option) == Some(Setting::Yes))
    }

    /// Whether it can start another kernel in its own place, which an update brings; none if its configuration is not known.
    pub fn starts_others(&self) -> Option<bool> {
        self.config.as_ref().map(|config| config.get("KEXEC_FILE").is_some())
    }

    /// The bytes that are booted.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn read(&self) -> Result<Vec<u8>, KernelError> {
        read_at_most(&self.image, MAX_KERNEL)
    }
}

/// What a kernel calls itself, as `uname -r` has it: by its header where it is an image for a PC (`Documentation/arch/x86/boot.rst`,
/// `kernel_version`), else by what it says when it starts.
fn release_of(image: &[u8]) -> Option<String> {
    let begin = if image.get(0x202..0x206) == Some(b"HdrS") {
        let at = image.get(0x20e..0x210)?.try_into().ok()?;
        0x200 + usize::from(u16::from_le_bytes(at))
    } else {
        let says = b"Linux version ";
        image.windows(says.len()).position(|bytes| bytes == says)? + says.len()
    };
    let rest = image.get(begin..)?;
    let end = rest.iter().take(MAX_RELEASE).position(|byte| !byte.is_ascii_graphic())?;
    let release = std::str::from_utf8(rest.get(..end)?).ok()?;
    release.starts_with(|c: char| c.is_ascii_digit()).then(|| release.to_owned())
}

/// A file's bytes, if they are not too many.
pub(crate) fn read_at_most(path: &Path, most: u64) -> Result<Vec<u8>, KernelError> {
    let of = |error| KernelError::File(path.into(), error);
    let length = fs::metadata(path).map_err(of)?.len();
    if length > most {
        return Err(of(io::Error::other(format!("it has {length} bytes, and {most} are the most"))));
    }
    fs::read(path).map_err(of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_kernel_says_its_release() {
        let mut image = vec![0; 0x400];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x20e..0x210].copy_from_slice(&0x80u16.to_le_bytes());
        image[0x280..0x290].copy_from_slice(b"6.1.0-56-amd64 (");
        assert_eq!(release_of(&image).as_deref(), Some("6.1.0-56-amd64"));
        assert_eq!(release_of(b"\x7fELF..Linux version 6.12.117 (root@vm)").as_deref(), Some("6.12.117"));
        for none in [&b"nothing"[..], b"Linux version ", b"Linux version %s", &image[..0x288], b""] {
            assert_eq!(release_of(none), None);
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..0x300)) {
            let _ = release_of(&bytes);
            if let Some(at) = bytes.get_mut(0x202..0x206) {
                at.copy_from_slice(b"HdrS");
            }
            let _ = release_of(&bytes);
        }
    }
}
