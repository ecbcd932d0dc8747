//! Opening what lies below a folder, and nothing else.

use std::os::fd::{AsFd, OwnedFd};

use rustix::{
    fs::{AtFlags, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2, unlinkat},
    io::Errno,
};

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY);

/// Opens a checked path below `root`; fails with `ELOOP` or `ENOTDIR` at a symbolic link anywhere in it.
pub(super) fn open(root: &OwnedFd, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match openat2(root, path, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty(), resolve) {
        // A kernel before 5.6, or a sandbox that does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => open_stepwise(root, path, flags),
        other => other,
    }
}

/// The same with the calls of every kernel: name by name, following none.
pub(super) fn open_stepwise(root: &OwnedFd, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    let step = |at: &OwnedFd, name: &str, flags: OFlags| {
        openat(at, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())
    };
    match path.rsplit_once('/') {
        None => step(root, path, flags),
        Some((folders, file)) => {
            let mut names = folders.split('/');
            let first = step(root, names.next().unwrap_or("."), FOLDER)?;
            let last = names.try_fold(first, |at, name| step(&at, name, FOLDER))?;
            step(&last, file, flags)
        }
    }
}

/// Opens a folder below `root`; the empty path is `root` itself.
pub(super) fn open_folder(root: &OwnedFd, path: &str) -> Result<OwnedFd, Errno> {
    if path.is_empty() { openat(root, ".", FOLDER | OFlags::CLOEXEC, Mode::empty()) } else { open(root, path, FOLDER) }
}

/// Opens a folder below `root`, creating what is missing of it. Returns it with every folder in which something was
/// created: each must be synced before the folder is sure to be there after a power cut.
pub(super) fn create_folder(root: &OwnedFd, path: &str) -> Result<(OwnedFd, Vec<OwnedFd>), Errno> {
    let mut at = open_folder(root, "")?;
    let mut changed = Vec::new();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        let created = match mkdirat(at.as_fd(), name, Mode::RWXU) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(error),
        };
        let next = openat(&at, name, FOLDER | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let parent = std::mem::replace(&mut at, next);
        if created {
            changed.push(parent);
        }
    }
    Ok((at, changed))
}

/// Removes a folder and those above it as long as they are empty.
pub(super) fn remove_empty(root: &OwnedFd, path: &str) {
    let mut path = path;
    while !path.is_empty() {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let removed = open_folder(root, parent).and_then(|folder| unlinkat(&folder, name, AtFlags::REMOVEDIR));
        match removed {
            // It was not created before something failed; what is above it may have been.
            Ok(()) | Err(Errno::NOENT) => path = parent,
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    #[test]
    fn no_link_is_followed_either_way() {
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "x").unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        fs::write(folder.path().join("a/b/file"), "y").unwrap();
        symlink(outside.path(), folder.path().join("out")).unwrap();
        symlink(outside.path().join("secret"), folder.path().join("a/secret")).unwrap();
        symlink("b", folder.path().join("a/within")).unwrap();
        symlink("loop", folder.path().join("loop")).unwrap();
        let root = OwnedFd::from(fs::File::open(folder.path()).unwrap());
        for how in [open, open_stepwise] {
            assert!(how(&root, "a/b/file", OFlags::RDONLY).is_ok());
            for refused in ["out/secret", "a/secret", "a/within/file", "loop", "loop/x", "a/b/file/x", "a/none"] {
                let error = how(&root, refused, OFlags::RDONLY).unwrap_err();
                assert!(matches!(error, Errno::LOOP | Errno::NOTDIR | Errno::NOENT), "{refused}: {error}");
            }
        }
        assert!(create_folder(&root, "out/new").is_err());
        assert!(!outside.path().join("new").exists());
    }

    #[test]
    fn folders_come_and_go() {
        let folder = tempfile::tempdir().unwrap();
        let root = OwnedFd::from(fs::File::open(folder.path()).unwrap());
        fs::create_dir(folder.path().join("a")).unwrap();
        fs::write(folder.path().join("a/kept"), "").unwrap();
        assert_eq!(create_folder(&root, "a/b/c").unwrap().1.len(), 2);
        assert!(folder.path().join("a/b/c").is_dir());
        remove_empty(&root, "a/b/c");
        assert!(!folder.path().join("a/b").exists());
        assert!(folder.path().join("a/kept").exists());
    }
}
