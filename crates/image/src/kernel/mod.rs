//! A Linux kernel with its configuration and its modules: Debian's package ([`debian`]), or files that a product names.

pub mod config;
pub mod debian;
pub mod modules;

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

pub use config::Config;

/// The largest kernel, in bytes.
const MAX_KERNEL: u64 = 256 << 20;

/// A kernel, whole.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// Its version, as its modules' folder is called.
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
            release: modules.and_then(name).unwrap_or_else(|| "named by the product".into()),
            image: image.into(),
            config: config.map(Config::read).transpose()?,
            modules: modules.map(Path::to_path_buf),
        })
    }

    /// The bytes that are booted.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn read(&self) -> Result<Vec<u8>, KernelError> {
        read_at_most(&self.image, MAX_KERNEL)
    }
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
