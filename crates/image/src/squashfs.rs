//! A read-only file system that Linux mounts as it is: SquashFS 4.0, compressed by Zstandard.
//!
//! An archive for the kernel ([`cpio`](crate::cpio)) is unpacked as a whole into memory that nothing can take back. A system in this form
//! stays compressed, and the kernel unpacks a block when a page of it is used; under pressure such a page is dropped, since
//! it can be had again.
//!
//! ```text
//! superblock (96) | data blocks | inodes | directories | the one owner | where that is (8)
//! ```
//!
//! The form is that of `fs/squashfs/squashfs_fs.h` of Linux. Inodes and directories are written in blocks of 8 KiB, each
//! compressed if that helps, and are pointed at by the place of the block and the place in it; so children are
//! written before the folders that list them. Ends of files are blocks of their own: a system has few small files. Like an archive,
//! the same files make the same bytes: sorted, owned by root, without times. Blocks are compressed each for itself, on all
//! processors, which changes nothing in them.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::cpio::{Archive, Kind};

/// The bytes of a data block: the least that is unpacked at once.
const BLOCK_LOG: u16 = 15;
const BLOCK: usize = 1 << BLOCK_LOG;
/// The bytes of a block of inodes or of a directory.
const META: usize = 8192;
/// Set in the length of a block that is not compressed: of data, of anything else.
const PLAIN_DATA: u32 = 1 << 24;
const PLAIN_META: u16 = 1 << 15;
/// Nothing is there.
const NONE: u64 = u64::MAX;
/// No ends of files together, no extended attributes.
const FLAGS: u16 = 0x0010 | 0x0200;
const ZSTD: u16 = 6;
/// The most entries behind one header of a directory.
const RUN: usize = 256;
/// Loop devices, disks and memory have blocks of this size at most.
const PADDING: usize = 4096;

/// The file system with these files.
///
/// # Errors
/// The compressor fails, or it has more or larger files than the form can say.
pub fn write(archive: &Archive, level: i32) -> io::Result<Vec<u8>> {
    let root = Node::of(archive)?;
    let mut out = vec![0; SUPERBLOCK];
    let files: Vec<(&str, &[u8])> = archive
        .entries()
        .filter_map(|(path, _, kind)| match kind {
            Kind::File(bytes) => Some((path, bytes.as_slice())),
            _ => None,
        })
        .collect();
    let pieces: Vec<&[u8]> = files.iter().flat_map(|(_, bytes)| bytes.chunks(BLOCK)).collect();
    let mut blocks = compress_all(&pieces, level)?.into_iter();
    let mut data = BTreeMap::new();
    for (path, bytes) in files {
        let start = number(out.len())?;
        let mut sizes = Vec::new();
        for (piece, block) in bytes.chunks(BLOCK).zip(blocks.by_ref()) {
            let (block, plain) = block.as_deref().map_or((piece, PLAIN_DATA), |block| (block, 0));
            sizes.push(number(block.len())? | plain);
            out.extend_from_slice(block);
        }
        data.insert(path, (start, sizes));
    }
    let mut tables = Tables { inodes: Meta::new(level)?, folders: Meta::new(level)?, data };
    let place = tables.put(&root, root.count)?;
    let inodes = number(out.len())?;
    out.extend(tables.inodes.end()?);
    let folders = number(out.len())?;
    out.extend(tables.folders.end()?);
    // The one owner is root.
    let mut owners = Meta::new(level)?;
    owners.put(&0u32.to_le_bytes())?;
    let owner = out.len() as u64;
    out.extend(owners.end()?);
    let index = out.len() as u64;
    out.extend(owner.to_le_bytes());
    let used = out.len() as u64;

    let mut head = Vec::with_capacity(SUPERBLOCK);
    for word in [0x7371_7368, root.count, 0, 1 << BLOCK_LOG, 0] {
        head.extend(u32::to_le_bytes(word));
    }
    for half in [ZSTD, BLOCK_LOG, FLAGS, 1, 4, 0] {
        head.extend(half.to_le_bytes());
    }
    for long in [place.reference(), used, index, NONE, inodes.into(), folders.into(), NONE, NONE] {
        head.extend(long.to_le_bytes());
    }
    out.splice(..SUPERBLOCK, head);
    out.resize(out.len().next_multiple_of(PADDING), 0);
    Ok(out)
}

const SUPERBLOCK: usize = 96;

fn number(value: usize) -> io::Result<u32> {
    u32::try_from(value).map_err(|_| too_much())
}

fn half(value: usize) -> io::Result<u16> {
    u16::try_from(value).map_err(|_| too_much())
}

fn too_much() -> io::Error {
    io::Error::other("the system is larger than its file system can say")
}

/// Each piece compressed; none where that does not make it smaller.
fn compress_all(pieces: &[&[u8]], level: i32) -> io::Result<Vec<Option<Vec<u8>>>> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(vec![None; pieces.len()]);
    let work = || -> io::Result<()> {
        let mut compressor = zstd::bulk::Compressor::new(level)?;
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(piece) = pieces.get(at) else { return Ok(()) };
            let block = Some(compressor.compress(piece)?).filter(|block| block.len() < piece.len());
            done.lock().unwrap_or_else(PoisonError::into_inner)[at] = block;
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from).min(pieces.len());
    thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().try_for_each(|thread| thread.join().map_err(|_| io::Error::other("a thread has died"))?)
    })?;
    Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// A file or folder, with what is in it, by name.
struct Node<'a> {
    path: &'a str,
    kind: &'a Kind,
    mode: u16,
    inside: BTreeMap<&'a str, Node<'a>>,
    /// How many there are: this one, and all in it.
    count: u32,
}

impl<'a> Node<'a> {
    /// The root of all entries.
    fn of(archive: &'a Archive) -> io::Result<Self> {
        let mut root = Self::new("", 0o755, &Kind::Folder);
        // A folder comes before what is in it.
        for (path, mode, kind) in archive.entries() {
            let mut at = &mut root;
            let mut names = path.split('/').peekable();
            while let Some(name) = names.next() {
                at.count += 1;
                at = match names.peek() {
                    Some(_) => at.inside.get_mut(name).ok_or_else(too_much)?,
                    None => at.inside.entry(name).or_insert_with(|| Self::new(path, mode, kind)),
                };
            }
        }
        // Of one folder's entries, the last may not be too far from the first.
        if u32::from(u16::MAX) < root.count { Err(too_much()) } else { Ok(root) }
    }

    const fn new(path: &'a str, mode: u32, kind: &'a Kind) -> Self {
        Self { path, kind, mode: (mode & 0o7777) as u16, inside: BTreeMap::new(), count: 1 }
    }

    /// Of inodes and of entries in directories.
    const fn sort(&self) -> u16 {
        match self.kind {
            Kind::Folder => 1,
            Kind::File(_) => 2,
            Kind::Link(_) => 3,
            Kind::Device { .. } => 5,
        }
    }
}

/// Where something is in a table: its block, from the table's beginning, and the place in that.
#[derive(Debug, Clone, Copy)]
struct Place {
    block: u32,
    offset: u16,
}

impl Place {
    fn reference(self) -> u64 {
        u64::from(self.block) << 16 | u64::from(self.offset)
    }
}

/// A table of small things, in compressed blocks.
struct Meta {
    compressor: zstd::bulk::Compressor<'static>,
    out: Vec<u8>,
    block: Vec<u8>,
}

impl Meta {
    fn new(level: i32) -> io::Result<Self> {
        Ok(Self { compressor: zstd::bulk::Compressor::new(level)?, out: Vec::new(), block: Vec::new() })
    }

    /// Where the next thing goes.
    fn here(&self) -> io::Result<Place> {
        Ok(Place { block: number(self.out.len())?, offset: half(self.block.len())? })
    }

    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(META - self.block.len()));
            self.block.extend_from_slice(now);
            bytes = later;
            if self.block.len() == META {
                self.close()?;
            }
        }
        Ok(())
    }

    fn close(&mut self) -> io::Result<()> {
        let packed = self.compressor.compress(&self.block)?;
        let smaller = packed.len() < self.block.len();
        let (bytes, plain) = if smaller { (&packed, 0) } else { (&self.block, PLAIN_META) };
        self.out.extend((half(bytes.len())? | plain).to_le_bytes());
        self.out.extend_from_slice(bytes);
        self.block.clear();
        Ok(())
    }

    fn end(mut self) -> io::Result<Vec<u8>> {
        if !self.block.is_empty() {
            self.close()?;
        }
        Ok(self.out)
    }
}

struct Tables<'a> {
    inodes: Meta,
    folders: Meta,
    /// Where the data of each file begins, and the lengths of its blocks.
    data: BTreeMap<&'a str, (u32, Vec<u32>)>,
}

impl Tables<'_> {
    /// Writes a node behind everything that is in it; where it is. Its number is `own`, those of what is in it are below.
    fn put(&mut self, node: &Node<'_>, own: u32) -> io::Result<Place> {
        self.put_below(node, own, own + 1)
    }

    fn put_below(&mut self, node: &Node<'_>, own: u32, parent: u32) -> io::Result<Place> {
        let mut inode = Vec::new();
        // Of root's, both of them, at the beginning of time.
        for half in [node.sort(), node.mode, 0, 0] {
            inode.extend(half.to_le_bytes());
        }
        let words = |list: &[u32]| list.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>();
        inode.extend(words(&[0, own]));
        match node.kind {
            Kind::Folder => {
                let mut entries = Vec::new();
                let mut last = own;
                for (name, inner) in node.inside.iter().rev() {
                    // Its own number is the highest of all that are in it.
                    last -= 1;
                    entries.push((*name, inner, last));
                    last -= inner.count - 1;
                }
                entries.reverse();
                let mut listed = Vec::new();
                for (name, inner, number) in entries {
                    listed.push((name, inner.sort(), number, self.put_below(inner, number, own)?));
                }
                let list = self.folders.here()?;
                let length = half(self.list(&listed)? + 3)?;
                let folders = node.inside.values().filter(|inner| matches!(inner.kind, Kind::Folder)).count();
                inode.extend(words(&[list.block, number(folders + 2)?]));
                inode.extend([length, list.offset].map(u16::to_le_bytes).concat());
                inode.extend(words(&[parent]));
            }
            Kind::File(bytes) => {
                let (start, sizes) = self.data.remove(node.path).ok_or_else(too_much)?;
                inode.extend(words(&[start, u32::MAX, 0, number(bytes.len())?]));
                inode.extend(words(&sizes));
            }
            Kind::Link(to) => {
                inode.extend(words(&[1, number(to.len())?]));
                inode.extend(to.bytes());
            }
            // `new_encode_dev` of `include/linux/kdev_t.h`.
            Kind::Device { major, minor } => {
                inode.extend(words(&[1, minor & 0xff | major << 8 | (minor & !0xff) << 12]));
            }
        }
        let place = self.inodes.here()?;
        self.inodes.put(&inode)?;
        Ok(place)
    }

    /// Writes a directory's entries; their length.
    fn list(&mut self, entries: &[(&str, u16, u32, Place)]) -> io::Result<usize> {
        let mut length = 0;
        let mut left = entries;
        while let Some((_, _, base, first)) = left.first() {
            // Those behind one header are in the same block.
            let run = left.iter().take(RUN).take_while(|(_, _, number, place)| {
                place.block == first.block && number - base <= i16::MAX.cast_unsigned().into()
            });
            let (now, later) = left.split_at(run.count());
            let header = [number(now.len() - 1)?, first.block, *base];
            let mut bytes: Vec<u8> = header.into_iter().flat_map(u32::to_le_bytes).collect();
            for (name, sort, number, place) in now {
                let far = u16::try_from(number - base).map_err(|_| too_much())?;
                let last = half(name.len())?.checked_sub(1).filter(|last| *last < 256).ok_or_else(too_much)?;
                bytes.extend([place.offset, far, *sort, last].into_iter().flat_map(u16::to_le_bytes));
                bytes.extend(name.bytes());
            }
            length += bytes.len();
            self.folders.put(&bytes)?;
            left = later;
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader of the form finds: each path with its mode, and what is there.
    struct Reader<'a> {
        bytes: &'a [u8],
        found: BTreeMap<String, (u16, Kind)>,
        numbers: Vec<u32>,
    }

    fn u16_at(bytes: &[u8], at: usize) -> usize {
        u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap()).into()
    }

    fn u32_at(bytes: &[u8], at: usize) -> usize {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    }

    fn u64_at(bytes: &[u8], at: usize) -> usize {
        u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize
    }

    fn unpacked(bytes: &[u8], most: usize) -> Vec<u8> {
        zstd::bulk::decompress(bytes, most).unwrap()
    }

    impl Reader<'_> {
        /// What is in a table from this place on, up to where the table ends.
        fn table(&self, table: usize, end: usize, block: usize, offset: usize) -> Vec<u8> {
            let mut out = Vec::new();
            let mut at = table + block;
            while at < end {
                let length = u16_at(self.bytes, at);
                let (plain, length) = (length >> 15 == 1, length & 0x7fff);
                let packed = &self.bytes[at + 2..at + 2 + length];
                out.extend(if plain { packed.to_vec() } else { unpacked(packed, META) });
                at += 2 + length;
            }
            out.split_off(offset)
        }

        fn walk(&mut self, path: &str, reference: usize, parent: usize) {
            let (inodes, folders) = (u64_at(self.bytes, 64), u64_at(self.bytes, 72));
            let owners = u64_at(self.bytes, u64_at(self.bytes, 48));
            let inode = self.table(inodes, folders, reference >> 16, reference & 0xffff);
            let (sort, mode, own) = (u16_at(&inode, 0), u16_at(&inode, 2), u32_at(&inode, 12));
            assert_eq!((u16_at(&inode, 4), u16_at(&inode, 6), u32_at(&inode, 8)), (0, 0, 0), "{path}");
            self.numbers.push(own as u32);
            let kind = match sort {
                1 => {
                    let (block, length, offset) = (u32_at(&inode, 16), u16_at(&inode, 24), u16_at(&inode, 26));
                    assert_eq!(u32_at(&inode, 28), parent, "{path}");
                    let list = self.table(folders, owners, block, offset);
                    let list = &list[..length - 3];
                    let (mut at, mut names, mut inner) = (0, Vec::new(), 0);
                    while at < list.len() {
                        let (count, block, base) = (u32_at(list, at) + 1, u32_at(list, at + 4), u32_at(list, at + 8));
                        assert!(count <= RUN);
                        at += 12;
                        for _ in 0..count {
                            let (offset, far) = (u16_at(list, at), u16_at(list, at + 2));
                            let (sort, name) = (u16_at(list, at + 4), u16_at(list, at + 6) + 1);
                            let name = std::str::from_utf8(&list[at + 8..at + 8 + name]).unwrap();
                            at += 8 + name.len();
                            names.push(name.to_owned());
                            inner += usize::from(sort == 1);
                            let before = self.numbers.len();
                            self.walk(&format!("{path}/{name}"), block << 16 | offset, own);
                            assert_eq!(*self.numbers.last().unwrap() as usize, base + far, "{path}/{name}");
                            assert!(self.numbers.len() > before);
                        }
                    }
                    assert!(names.is_sorted(), "they are looked for in this order: {names:?}");
                    assert_eq!(u32_at(&inode, 20), inner + 2, "{path}");
                    // It is looked at before what is in it, and comes behind it.
                    self.numbers.retain(|number| *number as usize != own);
                    self.numbers.push(own as u32);
                    Kind::Folder
                }
                2 => {
                    let (mut start, length) = (u32_at(&inode, 16), u32_at(&inode, 28));
                    assert_eq!(u32_at(&inode, 20), u32::MAX as usize);
                    let mut data = Vec::new();
                    for at in 0..length.div_ceil(BLOCK) {
                        let size = u32_at(&inode, 32 + 4 * at);
                        let (plain, size) = (size & PLAIN_DATA as usize != 0, size & 0xff_ffff);
                        let packed = &self.bytes[start..start + size];
                        data.extend(if plain { packed.to_vec() } else { unpacked(packed, BLOCK) });
                        start += size;
                    }
                    assert_eq!(data.len(), length, "{path}");
                    Kind::File(data)
                }
                3 => Kind::Link(String::from_utf8(inode[24..24 + u32_at(&inode, 20)].to_vec()).unwrap()),
                5 => {
                    let number = u32_at(&inode, 20) as u32;
                    Kind::Device { major: number >> 8 & 0xfff, minor: number & 0xff | number >> 12 & 0xff00 }
                }
                other => panic!("{path} is of the sort {other}"),
            };
            self.found.insert(path.trim_matches('/').to_owned(), (mode as u16, kind));
        }
    }

    fn sample() -> Archive {
        let mut archive = Archive::default();
        archive.program("/usr/bin/large", (0..3 * BLOCK as u32 + 5).flat_map(u32::to_le_bytes).collect(), "");
        let mut noise = 1u64;
        let mut random = || {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (noise >> 56) as u8
        };
        archive.file("/etc/noise", (0..BLOCK + 1).map(|_| random()).collect(), "");
        archive.file("/etc/empty", Vec::new(), "");
        archive.put("/tmp", 0o1777, Kind::Folder, "");
        archive.put("/dev/console", 0o600, Kind::Device { major: 5, minor: 257 }, "");
        archive.put("/sbin", 0o777, Kind::Link("usr/bin".into()), "");
        archive.put("/a-b", 0o755, Kind::Folder, "");
        // More than one header and more than one block has room for.
        for number in 0..900 {
            archive.file(&format!("/a/{number:04}-with-a-name-of-some-length"), vec![7; number], "");
        }
        archive
    }

    #[test]
    fn what_is_written_is_found() {
        let archive = sample();
        let bytes = write(&archive, 3).unwrap();
        assert_eq!((&bytes[..4], bytes.len() % PADDING), (&b"hsqs"[..], 0));
        let mut reader = Reader { bytes: &bytes, found: BTreeMap::new(), numbers: Vec::new() };
        let count = u32_at(&bytes, 4);
        reader.walk("", u64_at(&bytes, 32), count + 1);
        assert_eq!(reader.found.remove(""), Some((0o755, Kind::Folder)));
        let wanted: BTreeMap<_, _> =
            archive.entries().map(|(path, mode, kind)| (path.to_owned(), (mode as u16, kind.clone()))).collect();
        assert!(reader.found == wanted, "{:?}", reader.found.keys());
        reader.numbers.sort_unstable();
        assert!(reader.numbers.iter().copied().eq(1..=count as u32), "each has a number of its own");
        // The kernel wants the owners' list to be the last thing that is counted.
        assert_eq!(u64_at(&bytes, 40), u64_at(&bytes, 48) + 8);
    }

    #[test]
    fn the_same_files_make_the_same_bytes() {
        assert!(write(&sample(), 3).unwrap() == write(&sample(), 3).unwrap());
    }

    #[test]
    fn nothing_is_a_folder() {
        let bytes = write(&Archive::default(), 3).unwrap();
        let mut reader = Reader { bytes: &bytes, found: BTreeMap::new(), numbers: Vec::new() };
        reader.walk("", u64_at(&bytes, 32), 2);
        assert_eq!(reader.found.len(), 1);
    }
}
