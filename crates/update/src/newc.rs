//! One record of the archives that the kernel unpacks at its start: cpio's form *newc*
//! (`Documentation/driver-api/early-userspace/buffer-format.rst` of Linux).
//!
//! A record is a head of thirteen numbers and the name, then the data; each is padded with zeros to a multiple of [`ALIGN`]. The
//! last one is [`TRAILER`], without data. Archives may follow each other, a plain one at a multiple of [`ALIGN`].

/// What a record begins with.
pub const MAGIC: &[u8; 6] = b"070701";

/// What everything begins at a multiple of.
pub const ALIGN: usize = 4;

/// The name of the last record.
pub const TRAILER: &str = "TRAILER!!!";

/// The bits of a plain file's mode, see inode(7).
pub const FILE: u32 = 0o100_000;

/// A record's head, padded.
pub fn head(name: &str, inode: u32, mode: u32, device: (u32, u32), length: u32) -> Vec<u8> {
    let name_length = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
    // Inode, mode, user, group, links, time, length, device (two), device of a device (two), name's length, checksum.
    let fields = [inode, mode, 0, 0, 1, 0, length, 0, 0, device.0, device.1, name_length, 0];
    let mut out = MAGIC.to_vec();
    fields.iter().for_each(|field| out.extend(format!("{field:08x}").bytes()));
    out.extend(name.bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(ALIGN), 0);
    out
}
