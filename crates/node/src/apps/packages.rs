//! The packages that this device has: files that are called by what they hold, within a quota.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard},
};

use tutti_app::package::{Manifest, Package, PackageError, Version};
use tutti_model::{DeviceId, Name};

use crate::lock::lock;
use crate::state::write_file;

/// The most bytes of all packages together.
const QUOTA: u64 = 512 << 20;
/// The most packages.
const MOST: usize = 256;

/// Why a package was not kept.
#[derive(Debug)]
pub(crate) enum KeepError {
    /// It is none.
    Package(PackageError),
    /// There is no room for it among the others.
    Full,
    /// The disk.
    Io(io::Error),
}

impl fmt::Display for KeepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Package(error) => error.fmt(f),
            Self::Full => {
                write!(f, "packages may take {} MiB here, and {MOST} of them be kept; remove one", QUOTA >> 20)
            }
            Self::Io(error) => write!(f, "the package could not be written: {error}"),
        }
    }
}

/// What there is to know of a package without reading it again.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) digest: [u8; 32],
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) author: DeviceId,
    pub(crate) size: u64,
    pub(crate) icon: bool,
    /// Why it cannot be moved while it runs.
    pub(crate) obstacle: Option<String>,
}

/// The store. Blocks.
pub(crate) struct Packages {
    folder: PathBuf,
    /// By digest. Their components stay on the disk until they are needed.
    known: Mutex<BTreeMap<[u8; 32], Facts>>,
}

impl Packages {
    /// Those in this folder. What is no package any more is left alone, and said.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        let mut known = BTreeMap::new();
        for entry in fs::read_dir(&folder)?.flatten().take(2 * MOST) {
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| name.len() == 64) else { continue };
            match fs::read(entry.path()).map_err(KeepError::Io).and_then(|bytes| facts(&bytes)) {
                Ok(facts) if hex(&facts.digest) == name => _ = known.insert(facts.digest, facts),
                Ok(_) => tracing::error!(file = name, "a package is not what it is called; it is not used"),
                Err(error) => tracing::error!(file = name, %error, "a package cannot be used"),
            }
        }
        Ok(Self { folder, known: Mutex::new(known) })
    }

    /// Keeps a package. The same again changes nothing.
    pub(crate) fn keep(&self, bytes: &[u8]) -> Result<Facts, KeepError> {
        let facts = facts(bytes)?;
        let digest = facts.digest;
        let mut known = self.lock();
        if let Some(known) = known.get(&digest) {
            return Ok(known.clone());
        }
        let used: u64 = known.values().map(|facts| facts.size).sum();
        if known.len() >= MOST || used + facts.size > QUOTA {
            return Err(KeepError::Full);
        }
        write_file(&self.folder, &hex(&digest), bytes).map_err(KeepError::Io)?;
        known.insert(digest, facts.clone());
        Ok(facts)
    }

    /// One of them.
    pub(crate) fn find(&self, digest: &[u8; 32]) -> Option<Facts> {
        self.lock().get(digest).cloned()
    }

    /// One of them, whole.
    pub(crate) fn load(&self, digest: &[u8; 32]) -> Result<Package, KeepError> {
        let package = Package::parse(&self.read(digest).map_err(KeepError::Io)?).map_err(KeepError::Package)?;
        if package.digest() == digest { Ok(package) } else { Err(KeepError::Package(PackageError::Signature)) }
    }

    /// The file of one.
    pub(crate) fn read(&self, digest: &[u8; 32]) -> io::Result<Vec<u8>> {
        fs::read(self.folder.join(hex(digest)))
    }

    /// The highest version of an app by this author, not below the least.
    pub(crate) fn best(&self, name: Name, author: DeviceId, floor: Version) -> Option<Facts> {
        let known = self.lock();
        let fits = known
            .values()
            .filter(|facts| facts.manifest.name == name && facts.author == author && facts.manifest.version >= floor);
        fits.max_by_key(|facts| facts.manifest.version).cloned()
    }

    /// Removes one.
    pub(crate) fn remove_one(&self, digest: &[u8; 32]) {
        if self.lock().remove(digest).is_some() {
            let _ = fs::remove_file(self.folder.join(hex(digest)));
        }
    }

    /// Removes all of an app but those that are used.
    pub(crate) fn remove(&self, name: Name, used: &[[u8; 32]]) {
        let mut known = self.lock();
        known.retain(|digest, facts| {
            let goes = facts.manifest.name == name && !used.contains(digest);
            if goes {
                let _ = fs::remove_file(self.folder.join(hex(digest)));
            }
            !goes
        });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<[u8; 32], Facts>> {
        lock(&self.known)
    }
}

/// What there is to know of a package.
pub(super) fn facts(bytes: &[u8]) -> Result<Facts, KeepError> {
    let package = Package::parse(bytes).map_err(KeepError::Package)?;
    let obstacle = tutti_app::carry::check_component(package.component()).err().map(|it| it.to_string());
    Ok(Facts {
        digest: *package.digest(),
        manifest: Arc::new(package.manifest().clone()),
        author: package.author(),
        size: bytes.len() as u64,
        icon: package.icon().is_some(),
        obstacle,
    })
}

/// A digest as a file's name.
pub(crate) fn hex(digest: &[u8; 32]) -> String {
    data_encoding::HEXLOWER.encode(digest)
}
