//! Walking the tree of a storage in the order of its paths.

use std::{io, os::fd::OwnedFd};

use rustix::{
    fs::{AtFlags, Dir, FileType, Stat, statat},
    io::Errno,
};

use super::{MAX_DEPTH, MAX_FILES, StoragePath, Stored, beneath, path::check_name, stored};

/// The most files one page lists.
pub const MAX_PAGE: usize = 1000;

/// Some of the files of a storage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The files, in byte order of their paths.
    pub files: Vec<Stored>,
    /// If there are more: what to give as `after` to go on.
    pub next: Option<StoragePath>,
}

/// Lists files; see [`super::Storage::list`].
pub(super) fn page(root: &OwnedFd, prefix: &str, after: Option<&str>, limit: usize) -> io::Result<Page> {
    let limit = limit.clamp(1, MAX_PAGE);
    let mut page = Page::default();
    walk(root, prefix, after, &mut |path, stat| {
        let Ok(file) = StoragePath::new(path).map_err(Into::into).and_then(|path| stored(path, stat)) else {
            return true;
        };
        if page.files.len() == limit {
            page.next = page.files.last().map(|last| last.path.clone());
            return false;
        }
        page.files.push(file);
        true
    })?;
    Ok(page)
}

/// Visits the plain files whose paths begin with `prefix` and come after `after`, in byte order, until `visit` says
/// false. What a path could not name (links, devices, names that are not UTF-8, folders too deep) is passed over,
/// and so is what vanishes meanwhile.
pub(super) fn walk(
    root: &OwnedFd,
    prefix: &str,
    after: Option<&str>,
    visit: &mut dyn FnMut(&str, &Stat) -> bool,
) -> io::Result<()> {
    let mut walk = Walk { prefix, after, visit };
    walk.folder(root, &mut String::new(), 1).map(drop)
}

struct Walk<'a> {
    prefix: &'a str,
    after: Option<&'a str>,
    visit: &'a mut dyn FnMut(&str, &Stat) -> bool,
}

impl Walk<'_> {
    /// Visits what is in one folder; false when it was told to stop. `path` ends with `/` unless it is the root's.
    fn folder(&mut self, folder: &OwnedFd, path: &mut String, depth: usize) -> io::Result<bool> {
        let mut entries: Vec<(String, Stat)> = Vec::new();
        for entry in Dir::read_from(folder)?.take(MAX_FILES as usize + 2) {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if check_name(name).is_err() {
                continue;
            }
            let stat = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error.into()),
            };
            // With the slash that follows it, a folder sorts where the paths of its files do.
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => entries.push((name.to_owned(), stat)),
                FileType::Directory => entries.push((format!("{name}/"), stat)),
                _ => {}
            }
        }
        entries.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let len = path.len();
        for (name, stat) in entries {
            path.truncate(len);
            path.push_str(&name);
            let go_on = match name.strip_suffix('/') {
                None => !self.wants_file(path) || (self.visit)(path, &stat),
                Some(_) if depth >= MAX_DEPTH || !self.wants_folder(path) => true,
                Some(name) => match beneath::open_folder(folder, name) {
                    Ok(below) => self.folder(&below, path, depth + 1)?,
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => true,
                    Err(error) => return Err(error.into()),
                },
            };
            if !go_on {
                return Ok(false);
            }
        }
        path.truncate(len);
        Ok(true)
    }

    fn wants_file(&self, path: &str) -> bool {
        path.starts_with(self.prefix) && self.after.is_none_or(|after| path > after)
    }

    /// Whether any path that begins with `folder` is wanted.
    fn wants_folder(&self, folder: &str) -> bool {
        let by_prefix = folder.starts_with(self.prefix) || self.prefix.starts_with(folder);
        let by_after = self.after.is_none_or(|after| folder > after || after.starts_with(folder));
        by_prefix && by_after
    }
}
