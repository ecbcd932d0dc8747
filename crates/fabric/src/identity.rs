//! The device's key: one Ed25519 secret in one file that only this device's user can read.
//!
//! ```text
//! tutti device key 1                                                  what it is, and the version of this format
//! 0707070707070707070707070707070707070707070707070707070707070707    the secret (RFC 8032)
//! 532817b53cd0deb8                                                    the first 8 bytes of BLAKE3 of the lines above
//! ```
//!
//! Whoever has the secret is the device, so the file is looked at with suspicion:
//!
//! - *Somebody else may have read or replaced it*: it must be a plain file (no link) that belongs to this user, with
//!   no right for group or others, in a folder that not everybody may write to.
//! - *It is damaged*: the checksum tells. A damaged key is never replaced by itself: the group knows this device by its
//!   key, and a copy may exist. [`set_aside`] moves it away once a person said so.
//! - *It comes from a newer version*: told from damage by the first line.
//!
//! It is created so that a crash at any moment leaves either no key or the whole key: written to a temporary file,
//! synced, given its name without replacing another, folder synced. Of two processes that race, one wins and both use
//! its key. A temporary file that a crash left behind is removed by the next start.

use std::{
    fmt, fs,
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use ed25519_dalek::SigningKey;
use rand::CryptoRng;
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use tutti_model::DeviceId;
use zeroize::{Zeroize, Zeroizing};

const HEADER: &str = "tutti device key ";
const VERSION: u32 = 1;
const CHECK_BYTES: usize = 8;
/// A key file is about a hundred bytes; a newer version may need more.
const MAX_LEN: u64 = 4096;
/// How often creation starts again when other processes come and go in between.
const ATTEMPTS: usize = 8;

/// The id that a key stands for.
pub fn device_id(key: &SigningKey) -> DeviceId {
    DeviceId::from_bytes(key.verifying_key().to_bytes())
}

/// Why there is no key to work with.
#[derive(Debug)]
#[non_exhaustive]
pub enum IdentityError {
    /// Group or others have rights on the file.
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Everybody may write to the folder, and so replace the file.
    FolderExposed {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file belongs to somebody else.
    NotOurs {
        /// The key file.
        path: PathBuf,
        /// The user whose it is.
        owner: u32,
        /// The user that this process runs as.
        user: u32,
    },
    /// There is a link, a folder or the like where the file should be.
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file holds something else than a key.
    Corrupt {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The file was written by a newer version of Tutti.
    Newer {
        /// The key file.
        path: PathBuf,
        /// The version of its format.
        version: u32,
    },
    /// The operating system said no.
    Io {
        /// What it was about.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What it said.
        error: io::Error,
    },
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exposed { path, mode } => write!(
                f,
                "the device key {path:?} can be read or changed by other users (mode {mode:03o}); if nobody can have \
                 copied it, run: chmod 600 {path:?}"
            ),
            Self::FolderExposed { path, mode } => write!(
                f,
                "every user may replace the device key, because the folder {path:?} is open to all (mode \
                 {mode:03o}); run: chmod 700 {path:?}"
            ),
            Self::NotOurs { path, owner, user } => write!(
                f,
                "the device key {path:?} belongs to user {owner}, but this is user {user}; start as that user, or \
                 choose another state folder"
            ),
            Self::NotAFile { path } => write!(
                f,
                "{path:?} is not a plain file, and the device key is read from nothing else; put the file itself there"
            ),
            Self::Corrupt { path, why } => write!(
                f,
                "the device key {path:?} is damaged ({why}) and is left as it is: with a copy this stays the same \
                 device, without one it has to be paired again as a new one"
            ),
            Self::Newer { path, version } => write!(
                f,
                "the device key {path:?} was written by a newer Tutti (format {version}; this one reads up to \
                 {VERSION}); install that version or a later one"
            ),
            Self::Io { path, doing, error } => write!(f, "could not {doing} {path:?}: {error}"),
        }
    }
}

impl std::error::Error for IdentityError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        if let Self::Io { error, .. } = self { Some(error) } else { None }
    }
}

/// The key in the file at `path`; a new one, made from `rng` and stored durably, if there is no such file.
///
/// The folder must exist.
pub fn load_or_create(path: &Path, rng: &mut impl CryptoRng) -> Result<SigningKey, IdentityError> {
    for _ in 0..ATTEMPTS {
        if let Some(key) = load(path)? {
            remove_leftovers(path);
            return Ok(key);
        }
        create(path, rng)?;
    }
    Err(failed(path, "settle on")(io::Error::other("other processes keep creating and removing it")))
}

/// The key in the file at `path`, or `None` if there is no such file.
pub fn load(path: &Path) -> Result<Option<SigningKey>, IdentityError> {
    check_folder(folder(path))?;
    let opened = fs::OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits().cast_signed())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(_) if path.symlink_metadata().is_ok_and(|found| !found.is_file()) => {
            return Err(IdentityError::NotAFile { path: path.into() });
        }
        Err(error) => return Err(failed(path, "open")(error)),
    };
    // What was opened is examined, not what the path names a moment later.
    let found = file.metadata().map_err(failed(path, "examine"))?;
    let (mode, owner, user) = (found.mode() & 0o7777, found.uid(), rustix::process::geteuid().as_raw());
    if !found.is_file() {
        return Err(IdentityError::NotAFile { path: path.into() });
    }
    if owner != user {
        return Err(IdentityError::NotOurs { path: path.into(), owner, user });
    }
    if mode & 0o077 != 0 {
        return Err(IdentityError::Exposed { path: path.into(), mode });
    }
    // Reserved at once, so that growing leaves no copy of the secret behind.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_LEN as usize + 1));
    file.take(MAX_LEN).read_to_end(&mut text).map_err(failed(path, "read"))?;
    parse(&text).map(Some).map_err(|fault| fault.at(path))
}

/// Moves a key file that cannot be used out of the way, and says where it is now. Only on a person's word: what is
/// moved may be the only copy of the device's identity.
pub fn set_aside(path: &Path) -> Result<PathBuf, IdentityError> {
    for number in 1..=999 {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".aside-{number}"));
        let aside = PathBuf::from(name);
        match renameat_with(CWD, path, CWD, &aside, RenameFlags::NOREPLACE) {
            Ok(()) => {
                sync_folder(path)?;
                return Ok(aside);
            }
            Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(failed(path, "move aside")(error.into())),
        }
    }
    Err(failed(path, "move aside")(io::Error::other("999 files were moved aside before; remove some")))
}

/// Stores a new key unless there is one by now.
fn create(path: &Path, rng: &mut impl CryptoRng) -> Result<(), IdentityError> {
    let mut secret = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *secret);
    let text = render(&secret);
    let mut tag = [0; 8];
    rng.fill_bytes(&mut tag);
    let mut name = leftover_prefix(path);
    name.push_str(&HEXLOWER.encode(&tag));
    let temporary = folder(path).join(name);

    let written = write_new(&temporary, &text).map_err(failed(&temporary, "write"));
    let published = written.and_then(|()| publish(&temporary, path).map_err(failed(path, "create")));
    // Gone already if it was published by renaming, or if another process came first and cleared it away.
    let _ = fs::remove_file(&temporary);
    published?;
    sync_folder(path)
}

fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags((OFlags::NOFOLLOW | OFlags::CLOEXEC).bits().cast_signed())
        .open(path)?;
    // A umask takes rights away, and the owner needs both of these.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(text)?;
    file.sync_all()
}

/// Gives the temporary file its name unless there is a file with that name.
fn publish(temporary: &Path, path: &Path) -> io::Result<()> {
    use rustix::io::Errno;
    match renameat_with(CWD, temporary, CWD, path, RenameFlags::NOREPLACE) {
        // Not every file system can rename without replacing (renameat2(2)); most of those can link.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => match fs::hard_link(temporary, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        },
        // Another process came first; after it published, it may also have cleared the temporary file away.
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(Errno::NOENT) if path.exists() => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes temporary files of processes that died while creating the key. Once the key is there, none is needed:
/// who still writes one finds the name taken.
fn remove_leftovers(path: &Path) {
    let prefix = leftover_prefix(path);
    for entry in fs::read_dir(folder(path)).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn leftover_prefix(path: &Path) -> String {
    format!(".{}.new-", path.file_name().unwrap_or_default().to_string_lossy())
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn check_folder(folder: &Path) -> Result<(), IdentityError> {
    let found = fs::metadata(folder).map_err(failed(folder, "look into the folder"))?;
    let mode = found.mode() & 0o7777;
    // With the sticky bit, only a file's owner may rename or remove it (/tmp).
    if mode & 0o002 != 0 && mode & 0o1000 == 0 {
        return Err(IdentityError::FolderExposed { path: folder.into(), mode });
    }
    Ok(())
}

fn sync_folder(path: &Path) -> Result<(), IdentityError> {
    let folder = folder(path);
    fs::File::open(folder).and_then(|opened| opened.sync_all()).map_err(failed(folder, "write down the change in"))
}

fn failed<'a>(path: &'a Path, doing: &'static str) -> impl FnOnce(io::Error) -> IdentityError + 'a {
    move |error| IdentityError::Io { path: path.into(), doing, error }
}

fn render(secret: &[u8; 32]) -> Zeroizing<Vec<u8>> {
    let mut text = Zeroizing::new(Vec::with_capacity(256));
    text.extend_from_slice(format!("{HEADER}{VERSION}\n").as_bytes());
    let mut digits = Zeroizing::new([0; 64]);
    HEXLOWER.encode_mut(secret, &mut *digits);
    text.extend_from_slice(&*digits);
    text.push(b'\n');
    let check = checksum(&text);
    text.extend_from_slice(check.as_bytes());
    text.push(b'\n');
    text
}

fn checksum(text: &[u8]) -> String {
    HEXLOWER.encode(&blake3::hash(text).as_bytes()[..CHECK_BYTES])
}

#[derive(Debug, PartialEq, Eq)]
enum Fault {
    Corrupt(&'static str),
    Newer(u32),
}

impl Fault {
    fn at(self, path: &Path) -> IdentityError {
        match self {
            Self::Corrupt(why) => IdentityError::Corrupt { path: path.into(), why },
            Self::Newer(version) => IdentityError::Newer { path: path.into(), version },
        }
    }
}

fn parse(text: &[u8]) -> Result<SigningKey, Fault> {
    if text.is_empty() {
        return Err(Fault::Corrupt("it is empty"));
    }
    let text = str::from_utf8(text).map_err(|_| Fault::Corrupt("it is not text"))?;
    let (header, rest) = text.split_once('\n').ok_or(Fault::Corrupt("it is cut off"))?;
    let version = header
        .strip_prefix(HEADER)
        .and_then(|number| number.parse().ok())
        .ok_or(Fault::Corrupt("it does not begin like a device key"))?;
    match version {
        VERSION => {}
        newer if newer > VERSION => return Err(Fault::Newer(newer)),
        _ => return Err(Fault::Corrupt("it has an impossible version")),
    }
    let (digits, check) = rest.split_once('\n').ok_or(Fault::Corrupt("it is cut off"))?;
    let covered = header.len() + 1 + digits.len() + 1;
    let check = check.strip_suffix('\n').ok_or(Fault::Corrupt("it is cut off"))?;
    if text.get(..covered).is_none_or(|covered| checksum(covered.as_bytes()) != check) {
        return Err(Fault::Corrupt("the checksum does not match"));
    }
    let mut secret: [u8; 32] = tutti_model::id::read_hex(digits).ok_or(Fault::Corrupt("the secret is no key"))?;
    let key = SigningKey::from_bytes(&secret);
    secret.zeroize();
    Ok(key)
}

#[cfg(test)]
mod tests;
