//! The update key: whoever has it makes images that the product's devices take.
//!
//! A file of one line, `tutti update key` and 64 hexadecimal digits: the secret half. It is made by the first build, for its owner alone (mode 0600).

use std::{
    fmt, fs,
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER_PERMISSIVE;
use ed25519_dalek::SigningKey;

const WORDS: &str = "tutti update key ";

/// Why there is no key.
#[derive(Debug)]
pub enum KeyError {
    /// The file cannot be read or written.
    File(PathBuf, io::Error),
    /// It holds something else.
    Form(PathBuf),
    /// Others than its owner may read it.
    Open(PathBuf),
    /// There is no randomness.
    Random(io::Error),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "the update key {}: {error}", path.display()),
            Self::Form(path) => {
                write!(
                    f,
                    "{} holds no update key; name another file, or take it away to have a new key made",
                    path.display()
                )
            }
            Self::Open(path) => {
                write!(f, "others may read the update key {0}: chmod 600 {0}", path.display())
            }
            Self::Random(error) => write!(f, "no update key can be made: {error}"),
        }
    }
}

impl std::error::Error for KeyError {}

/// The key in this file; a new one if there is no file. Says whether it is new.
///
/// # Errors
/// See [`KeyError`].
pub fn load_or_make(path: &Path) -> Result<(SigningKey, bool), KeyError> {
    let of = |error| KeyError::File(path.into(), error);
    match fs::metadata(path) {
        Ok(about) if about.permissions().mode() & 0o077 != 0 => return Err(KeyError::Open(path.into())),
        Ok(about) if about.len() > 1024 => return Err(KeyError::Form(path.into())),
        Ok(_) => {
            let text = fs::read_to_string(path).map_err(of)?;
            let digits = text.trim().strip_prefix(WORDS).unwrap_or_default();
            let secret =
                HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).ok().and_then(|it| <[u8; 32]>::try_from(it).ok());
            return secret.map(|it| (SigningKey::from_bytes(&it), false)).ok_or_else(|| KeyError::Form(path.into()));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(of(error)),
    }
    let mut secret = [0; 32];
    let random = fs::File::open("/dev/urandom").and_then(|mut file| io::Read::read_exact(&mut file, &mut secret));
    random.map_err(KeyError::Random)?;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(of)?;
    let line = format!("{WORDS}{}\n", HEXLOWER_PERMISSIVE.encode(&secret));
    file.write_all(line.as_bytes()).and_then(|()| file.sync_all()).map_err(of)?;
    Ok((SigningKey::from_bytes(&secret), true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_kept_to_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("update.key");
        let (first, new) = load_or_make(&path).unwrap();
        assert!(new);
        let (second, new) = load_or_make(&path).unwrap();
        assert!(!new && first.to_bytes() == second.to_bytes());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(load_or_make(&path), Err(KeyError::Open(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "something else").unwrap();
        assert!(matches!(load_or_make(&path), Err(KeyError::Form(_))));
    }
}
