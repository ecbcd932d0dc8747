//! Writing tables, at run time and while a firmware is compiled, by the same code.

use core::fmt;

use super::{CARVEOUT, DEVMEM, Entry, HEADER, TRACE, VDEV, VDEV_FIXED, VERSION, VRING};

/// Why no table was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EmitError {
    /// The buffer is too short.
    TooShort {
        /// How many bytes the table has.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// A virtio device has more queues than its entry can count.
    Vrings(usize),
}

impl fmt::Display for EmitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { needed, found } => {
                write!(f, "the table has {needed} bytes and the buffer only {found}; ask buffer_len first")
            }
            Self::Vrings(count) => write!(f, "a virtio device has at most 255 queues, not {count}"),
        }
    }
}

impl core::error::Error for EmitError {}

/// How many bytes the table with these entries has.
#[must_use]
pub const fn buffer_len(entries: &[Entry<'_>]) -> usize {
    words(entries) * 4
}

/// Writes the table with these entries, and says how long it is.
///
/// # Errors
/// See [`EmitError`].
pub fn emit(entries: &[Entry<'_>], to: &mut [u8]) -> Result<usize, EmitError> {
    let (needed, found) = (buffer_len(entries), to.len());
    let to = to.get_mut(..needed).ok_or(EmitError::TooShort { needed, found })?;
    for entry in entries {
        if let Entry::Vdev(vdev) = entry
            && vdev.vrings.len() > 255
        {
            return Err(EmitError::Vrings(vdev.vrings.len()));
        }
    }
    emit_words(entries, to.as_chunks_mut().0);
    Ok(needed)
}

/// The number of words that the table has.
pub(crate) const fn words(entries: &[Entry<'_>]) -> usize {
    let mut total = HEADER / 4 + entries.len();
    let mut i = 0;
    while i < entries.len() {
        total += entry_words(&entries[i]);
        i += 1;
    }
    total
}

const fn entry_words(entry: &Entry<'_>) -> usize {
    1 + match entry {
        Entry::Carveout(_) | Entry::Devmem(_) => 13,
        Entry::Trace(_) => 11,
        Entry::Vdev(vdev) => VDEV_FIXED / 4 + VRING / 4 * vdev.vrings.len() + vdev.config.len().div_ceil(4),
        Entry::Vendor(vendor) | Entry::Unknown(vendor) => vendor.bytes.len().div_ceil(4),
    }
}

/// Writes the table into exactly as many words as it has.
pub(crate) const fn emit_words(entries: &[Entry<'_>], to: &mut [[u8; 4]]) {
    let mut writer = Writer { to, at: 0 };
    writer.put(VERSION);
    writer.put(entries.len() as u32);
    writer.put(0);
    writer.put(0);
    let mut at = HEADER / 4 + entries.len();
    let mut i = 0;
    while i < entries.len() {
        writer.put(4 * at as u32);
        at += entry_words(&entries[i]);
        i += 1;
    }
    let mut i = 0;
    while i < entries.len() {
        writer.entry(&entries[i]);
        i += 1;
    }
}

struct Writer<'a> {
    to: &'a mut [[u8; 4]],
    at: usize,
}

impl Writer<'_> {
    const fn put(&mut self, word: u32) {
        self.to[self.at] = word.to_le_bytes();
        self.at += 1;
    }

    /// Bytes, filled up to whole words with zeros.
    const fn bytes(&mut self, bytes: &[u8]) {
        let mut i = 0;
        while i < bytes.len() {
            let mut word = [0; 4];
            let mut j = 0;
            while j < 4 && i + j < bytes.len() {
                word[j] = bytes[i + j];
                j += 1;
            }
            self.to[self.at] = word;
            self.at += 1;
            i += 4;
        }
    }

    const fn memory(&mut self, kind: u32, place: [u32; 4], name: &super::Label) {
        self.put(kind);
        let mut i = 0;
        while i < 4 {
            self.put(place[i]);
            i += 1;
        }
        self.put(0);
        self.bytes(name.field());
    }

    const fn entry(&mut self, entry: &Entry<'_>) {
        match entry {
            Entry::Carveout(it) => self.memory(CARVEOUT, [it.da.0, it.pa.0, it.len, it.flags], &it.name),
            Entry::Devmem(it) => self.memory(DEVMEM, [it.da.0, it.pa.0, it.len, it.flags], &it.name),
            Entry::Trace(it) => {
                self.put(TRACE);
                self.put(it.da.0);
                self.put(it.len);
                self.put(0);
                self.bytes(it.name.field());
            }
            Entry::Vdev(it) => {
                self.put(VDEV);
                self.put(it.id);
                self.put(it.notifyid);
                self.put(it.offered.0 as u32);
                self.put(it.accepted.0 as u32);
                self.put(it.config.len() as u32);
                self.bytes(&[it.status.0, it.vrings.len() as u8, 0, 0]);
                let mut i = 0;
                while let Some(vring) = it.vrings.get(i) {
                    self.put(vring.da);
                    self.put(vring.align);
                    self.put(vring.num);
                    self.put(vring.notifyid);
                    self.put(0);
                    i += 1;
                }
                self.bytes(it.config);
            }
            Entry::Vendor(it) | Entry::Unknown(it) => {
                self.put(it.kind);
                self.bytes(it.bytes);
            }
        }
    }
}
