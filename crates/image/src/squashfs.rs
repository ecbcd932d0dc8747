//! A read-only file system that Linux mounts as it is: SquashFS 4.0, compressed by Zstandard.
//!
//! An archive for the kernel ([`cpio`](crate::cpio)) is unpacked as a whole into memory that nothing can take back. A system in this form
//! stays compressed, and the kernel unpacks a block when a page of it is used; under pressure such a page is dropped, since
//! it can be had again.
//!
//! `backhand` writes it. Like an archive, the same files make the same bytes: sorted, owned by root, without times. Files never share their
//! data, since it tells equal ones by a hash of 64 bits alone. It compresses on one processor: a system of 60 MiB takes 14 s of it
//! at level 19. A folder's count of links is that of all in it, and by custom that of its folders; programs that walk folders take it
//! as a hint at most.

use std::io::{self, Cursor};

use backhand::{
    BackhandError, FilesystemCompressor, FilesystemWriter, NodeHeader,
    compression::{CompressionOptions, Compressor, Zstd},
};

use crate::cpio::{Archive, Kind};

/// The bytes of a data block: the least that is unpacked at once.
const BLOCK: u32 = 32 * 1024;
/// Loop devices, disks and memory have blocks of this size at most.
const PADDING_KIB: u32 = 4;
/// The longest name that Linux looks up (`NAME_MAX`).
const NAME: usize = 255;

/// The file system with these files.
///
/// # Errors
/// The compressor fails or has no such level, or there is what the form or Linux cannot say.
pub fn write(archive: &Archive, level: i32) -> io::Result<Vec<u8>> {
    let level = u32::try_from(level).map_err(|_| io::Error::other("a level of compression is not negative"))?;
    let mut system = FilesystemWriter::default();
    let zstd = CompressionOptions::Zstd(Zstd { compression_level: level });
    system.set_compressor(FilesystemCompressor::new(Compressor::Zstd, Some(zstd)).map_err(other)?);
    system.set_block_size(BLOCK);
    system.set_kib_padding(PADDING_KIB);
    system.set_no_duplicate_files(false);
    system.set_root_mode(0o755);
    for (path, mode, kind) in archive.entries() {
        if path.split('/').any(|name| NAME < name.len()) {
            return Err(io::Error::other(format!("{path:?} has a name of more than {NAME} bytes")));
        }
        let header = NodeHeader::new((mode & 0o7777) as u16, 0, 0, 0);
        match kind {
            Kind::Folder => system.push_dir(path, header),
            Kind::File(bytes) => system.push_file(bytes.as_slice(), path, header),
            Kind::Link(to) => system.push_symlink(to, path, header),
            // `new_encode_dev` of `include/linux/kdev_t.h`.
            Kind::Device { major, minor } => {
                system.push_char_device(minor & 0xff | major << 8 | (minor & !0xff) << 12, path, header)
            }
        }
        .map_err(|error| io::Error::other(format!("{path:?}: {error}")))?;
    }
    let mut out = Cursor::new(Vec::new());
    system.write(&mut out).map_err(other)?;
    Ok(out.into_inner())
}

fn other(error: BackhandError) -> io::Error {
    io::Error::other(error)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, env, fs, io::Read, process::Command};

    use backhand::{FilesystemReader, InnerNode};

    use super::*;

    /// What is at a path.
    type Found = BTreeMap<String, (u32, Kind)>;

    fn wanted(archive: &Archive) -> Found {
        archive.entries().map(|(path, mode, kind)| (path.to_owned(), (mode, kind.clone()))).collect()
    }

    fn device(number: u32) -> Kind {
        Kind::Device { major: number >> 8 & 0xfff, minor: number & 0xff | number >> 12 & 0xfff00 }
    }

    /// What its writer finds in it again.
    fn found(bytes: &[u8]) -> Found {
        let system = FilesystemReader::from_reader(Cursor::new(bytes)).unwrap();
        assert_eq!((system.block_size, system.mod_time), (BLOCK, 0));
        let each = |node: &backhand::Node<_>| {
            let path = node.fullpath.to_str().unwrap().trim_matches('/').to_owned();
            assert_eq!((node.header.uid, node.header.gid, node.header.mtime), (0, 0, 0), "{path}");
            let kind = match &node.inner {
                InnerNode::Dir(_) => Kind::Folder,
                InnerNode::File(file) => {
                    let mut bytes = Vec::new();
                    system.file(file).reader().read_to_end(&mut bytes).unwrap();
                    Kind::File(bytes)
                }
                InnerNode::Symlink(link) => Kind::Link(link.link.to_str().unwrap().to_owned()),
                InnerNode::CharacterDevice(of) => device(of.device_number),
                other => panic!("{path} is {other:?}"),
            };
            (path, (u32::from(node.header.permissions), kind))
        };
        system.files().map(each).collect()
    }

    fn sample() -> Archive {
        let mut archive = Archive::default();
        archive.program("/usr/bin/large", (0..3 * BLOCK + 5).flat_map(u32::to_le_bytes).collect(), "");
        let mut noise = 1u64;
        let mut random = || {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (noise >> 56) as u8
        };
        archive.file("/etc/noise", (0..=BLOCK).map(|_| random()).collect(), "");
        archive.file("/etc/empty", Vec::new(), "");
        archive.file("/etc/whole", vec![1; BLOCK as usize], "");
        archive.file("/etc/zeros", vec![0; 2 * BLOCK as usize + 1], "");
        archive.file("/etc/zeros-again", vec![0; 2 * BLOCK as usize + 1], "");
        archive.put("/tmp", 0o1777, Kind::Folder, "");
        archive.put("/dev/console", 0o600, Kind::Device { major: 5, minor: 257 }, "");
        archive.put("/sbin", 0o777, Kind::Link("usr/bin".into()), "");
        archive.put("/a-b", 0o755, Kind::Folder, "");
        // More than one header and more than one block has room for, and more than a short inode can say.
        for number in 0..2000 {
            archive.file(&format!("/a/{number:04}-with-a-name-of-some-length"), vec![7; number % 1000], "");
        }
        archive
    }

    #[test]
    fn what_is_written_is_found() {
        let archive = sample();
        let bytes = write(&archive, 3).unwrap();
        assert_eq!((&bytes[..4], bytes.len() % 4096), (&b"hsqs"[..], 0));
        let mut found = found(&bytes);
        assert_eq!(found.remove(""), Some((0o755, Kind::Folder)));
        assert!(found == wanted(&archive), "{:?}", found.keys());
    }

    #[test]
    fn the_same_files_make_the_same_bytes() {
        assert!(write(&sample(), 3).unwrap() == write(&sample(), 3).unwrap());
    }

    #[test]
    fn nothing_is_a_folder() {
        let bytes = write(&Archive::default(), 3).unwrap();
        assert_eq!(found(&bytes).into_iter().collect::<Vec<_>>(), [(String::new(), (0o755, Kind::Folder))]);
    }

    #[test]
    fn what_linux_cannot_look_up_is_refused() {
        let mut archive = Archive::default();
        archive.file(&format!("/etc/{}", "n".repeat(NAME)), Vec::new(), "");
        assert!(write(&archive, 3).is_ok());
        archive.file(&format!("/etc/{}", "n".repeat(NAME + 1)), Vec::new(), "");
        assert!(write(&archive, 3).unwrap_err().to_string().contains("255 bytes"));
        assert!(write(&Archive::default(), -1).is_err());
    }

    /// The program of those who made the form finds the same: owners, times, modes, targets, numbers, every byte. It says so in one file: a line
    /// for each path, and behind them all data.
    #[test]
    fn another_reader_finds_the_same() {
        let mut archive = sample();
        let folder = tempfile::tempdir().unwrap();
        let [image, listed] = ["image", "listed"].map(|name| folder.path().join(name));
        fs::write(&image, write(&archive, 3).unwrap()).unwrap();
        let done = Command::new("unsquashfs").args(["-n", "-q", "-pf"]).args([&listed, &image]).output();
        let Ok(done) = done else {
            // The layer `image` brings it.
            assert!(env::var_os("CI").is_none(), "unsquashfs is missing: apt-get install squashfs-tools");
            return;
        };
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let listed = fs::read(listed).unwrap();
        let mark = b"#\n# START OF DATA - DO NOT MODIFY\n#\n";
        let at = listed.windows(mark.len()).position(|bytes| bytes == mark).unwrap();
        let (lines, data) = (str::from_utf8(&listed[..at]).unwrap(), &listed[at + mark.len()..]);
        let mut found = Found::new();
        for line in lines.lines().filter(|line| !line.starts_with('#')) {
            let words: Vec<_> = line.split(' ').collect();
            let [path, sort, time, mode, user, group, ref rest @ ..] = words[..] else { panic!("{line}") };
            assert_eq!([time, user, group], ["0"; 3], "{line}");
            let number = |at: usize| rest[at].parse::<usize>().unwrap();
            let kind = match sort {
                "D" => Kind::Folder,
                "R" => Kind::File(data[number(1)..][..number(0)].to_vec()),
                "S" => Kind::Link(rest[0].to_owned()),
                // It splits the number as it was before minor numbers had more than eight bits.
                "C" => device(u32::try_from(number(0) << 8 | number(1)).unwrap()),
                _ => panic!("{line}"),
            };
            found.insert(path.to_owned(), (u32::from_str_radix(mode, 8).unwrap(), kind));
        }
        archive.put("/", 0o755, Kind::Folder, "");
        let mut wanted = wanted(&archive);
        let root = wanted.remove("").unwrap();
        wanted.insert("/".into(), root);
        assert!(found == wanted, "{lines}");
    }
}
