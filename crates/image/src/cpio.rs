//! Archives that the kernel unpacks into its first file system: cpio's form *newc* (`Documentation/driver-api/early-userspace/buffer-format.rst`
//! of Linux).
//!
//! The same files make the same bytes: they are sorted by path, owned by root, and have no time. A folder that a file is in comes before it by
//! itself. The crate `cpio` 0.4 would spare no more than `record`.

use std::collections::BTreeMap;

use tutti_update::newc;

use crate::manifest;

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file with its bytes.
    File(Vec<u8>),
    /// A link to another path.
    Link(String),
    /// A character device.
    Device {
        /// Its driver's number.
        major: u32,
        /// Its own.
        minor: u32,
    },
}

/// What is at a path, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    kind: Kind,
    mode: u32,
    why: String,
}

/// The files of an archive.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Archive(BTreeMap<String, Entry>);

/// Bits of the file's type in its mode, see inode(7).
const FOLDER: u32 = 0o040_000;
const LINK: u32 = 0o120_000;
const DEVICE: u32 = 0o020_000;

impl Archive {
    /// Puts something at an absolute path, with the folders above it; what was there is replaced.
    pub fn put(&mut self, path: &str, mode: u32, kind: Kind, why: impl Into<String>) {
        let path = path.trim_matches('/');
        for (at, _) in path.match_indices('/') {
            let folder = Entry { kind: Kind::Folder, mode: 0o755, why: String::new() };
            self.0.entry(path[..at].to_owned()).or_insert(folder);
        }
        self.0.insert(path.to_owned(), Entry { kind, mode, why: why.into() });
    }

    /// Puts a file that anybody may read.
    pub fn file(&mut self, path: &str, bytes: Vec<u8>, why: impl Into<String>) {
        self.put(path, 0o644, Kind::File(bytes), why);
    }

    /// Puts a program.
    pub fn program(&mut self, path: &str, bytes: Vec<u8>, why: impl Into<String>) {
        self.put(path, 0o755, Kind::File(bytes), why);
    }

    /// Whether something is at this path.
    pub fn contains(&self, path: &str) -> bool {
        self.0.contains_key(path.trim_matches('/'))
    }

    /// The bytes of a file.
    pub fn read(&self, path: &str) -> Option<&[u8]> {
        match &self.0.get(path.trim_matches('/'))?.kind {
            Kind::File(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The files for the manifest.
    pub fn files(&self) -> Vec<manifest::File> {
        let file = |(path, entry): (&String, &Entry)| match &entry.kind {
            Kind::File(bytes) => {
                Some(manifest::File { path: format!("/{path}"), size: bytes.len() as u64, why: entry.why.clone() })
            }
            _ => None,
        };
        self.0.iter().filter_map(file).collect()
    }

    /// Everything that is in it, by path without the first `/`: mode and kind; folders before what is in them.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, u32, &Kind)> {
        self.0.iter().map(|(path, entry)| (path.as_str(), entry.mode, &entry.kind))
    }

    /// The archive's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (index, (path, entry)) in self.0.iter().enumerate() {
            let (bit, data, major, minor): (_, &[u8], _, _) = match &entry.kind {
                Kind::Folder => (FOLDER, &[], 0, 0),
                Kind::File(bytes) => (newc::FILE, bytes, 0, 0),
                Kind::Link(to) => (LINK, to.as_bytes(), 0, 0),
                Kind::Device { major, minor } => (DEVICE, &[], *major, *minor),
            };
            let inode = u32::try_from(index + 1).unwrap_or(u32::MAX);
            record(&mut out, path, inode, bit | entry.mode, (major, minor), data);
        }
        record(&mut out, newc::TRAILER, 0, 0, (0, 0), &[]);
        out
    }
}

/// One record with its data.
fn record(out: &mut Vec<u8>, name: &str, inode: u32, mode: u32, device: (u32, u32), data: &[u8]) {
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    out.extend(newc::head(name, inode, mode, device, length));
    out.extend_from_slice(data);
    out.resize(out.len().next_multiple_of(newc::ALIGN), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_that_of_the_kernel() {
        let mut archive = Archive::default();
        archive.program("/a/b", b"hi".to_vec(), "because");
        archive.put("/dev/console", 0o600, Kind::Device { major: 5, minor: 1 }, "");
        archive.put("init", 0o777, Kind::Link("/a/b".into()), "");
        let bytes = archive.to_bytes();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).unwrap().replace('\0', "~");
        let expected = "070701000000010000\
41ed000000000000000000000001000000000000000000000000000000000000000000000000000000020000000\
0a~070701000000020000\
81ed00000000000000000000000100000000000000020000000000000000000000000000000000000004000000\
00a/b~~~hi~~070701000000030000\
41ed00000000000000000000000100000000000000000000000000000000000000000000000000000004000000\
00dev~~~070701000000040000\
2180000000000000000000000001000000000000000000000000000000000000000500000001000000\
0c00000000dev/console~~~070701000000050000\
a1ff00000000000000000000000100000000000000040000000000000000000000000000000000000005000000\
00init~/a/b0707010000000000000000000000000000000000000001000000000000000000000000000000000000000000000000\
0000000b00000000TRAILER!!!~~~~";
        let squeeze = |text: &str| text.replace('~', "");
        assert_eq!(squeeze(&text), squeeze(expected));
        assert_eq!(archive.files().len(), 1);
    }

    /// GNU cpio reads what we write, where it is installed.
    #[test]
    fn cpio_reads_it() {
        let mut archive = Archive::default();
        archive.file("/etc/x", vec![7; 1001], "");
        archive.put("/l", 0o777, Kind::Link("etc/x".into()), "");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.cpio");
        std::fs::write(&path, archive.to_bytes()).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let listed = std::process::Command::new("cpio").args(["-t", "--quiet"]).stdin(file).output();
        // Where it is not installed, the form is held by the test above alone.
        let Ok(listed) = listed else { return };
        assert!(listed.status.success());
        assert_eq!(String::from_utf8(listed.stdout).unwrap(), "etc\netc/x\nl\n");
    }
}
