//! The ring of messages to the host, looked at from outside of its driver: by a host that counts positions, and by one that
//! finds a ring whose driver is dead.
//!
//! Nothing here is written. Everything read is checked: indices against the ring's size, ids against its
//! descriptors, buffers against the memory, lengths against buffers.

use tutti_metal::{DeviceAddr, Memory};
use tutti_rpmsg::{HEADER, Header};
use tutti_virtio::{Corrupt, Field, Layout};

use crate::SharedMemory;

/// The ring.
#[derive(Clone, Debug)]
pub(super) struct UsedRing {
    memory: SharedMemory,
    layout: Layout,
}

/// A message that lies in the ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lying {
    pub(super) header: Header,
    at: usize,
}

impl UsedRing {
    pub(super) fn new(memory: SharedMemory, layout: Layout) -> Self {
        Self { memory, layout }
    }

    pub(super) fn size(&self) -> u16 {
        self.layout.size.get()
    }

    /// The remote's index.
    pub(super) fn index(&self) -> Result<u16, Corrupt> {
        let index = self.word::<u16>(self.layout.used + 2)?;
        self.memory.fence();
        Ok(index)
    }

    /// How many messages lie behind `taken`.
    pub(super) fn behind(&self, taken: u16) -> Result<u16, Corrupt> {
        let index = self.index()?;
        let count = index.wrapping_sub(taken);
        if count > self.size() {
            let limit = u64::from(taken.wrapping_add(self.size()));
            return Err(Corrupt { field: Field::UsedIndex, value: u64::from(index), limit });
        }
        Ok(count)
    }

    /// The message at this index.
    pub(super) fn at(&self, index: u16) -> Result<Lying, Corrupt> {
        let n = self.size();
        let element = self.layout.used + 4 + 8 * usize::from(index & (n - 1));
        let (id, used) = (self.word::<u32>(element)?, self.word::<u32>(element + 4)?);
        if id >= u32::from(n) {
            return Err(Corrupt { field: Field::UsedId, value: u64::from(id), limit: u64::from(n) });
        }
        let descriptor = self.layout.descriptors + 16 * id as usize;
        let (address, len) = (self.word::<u64>(descriptor)?, self.word::<u32>(descriptor + 8)?);
        let used = used.min(len);
        let beyond = Corrupt { field: Field::DescriptorAddress, value: address, limit: self.memory.len() as u64 };
        let at = self.memory.offset_of(DeviceAddr(address), len).map_err(|_| beyond)?;
        let mut bytes = [0; HEADER];
        if (used as usize) < HEADER || self.memory.copy_out(at, &mut bytes).is_err() {
            return Err(Corrupt { field: Field::MessageBuffer, value: u64::from(used), limit: HEADER as u64 });
        }
        let header = Header::parse(&bytes);
        let most = used as usize - HEADER;
        if usize::from(header.len) > most {
            let value = u64::from(header.len);
            return Err(Corrupt { field: Field::MessageLength, value, limit: most as u64 });
        }
        Ok(Lying { header, at: at + HEADER })
    }

    /// Its contents.
    pub(super) fn contents(&self, message: &Lying) -> Vec<u8> {
        let mut bytes = vec![0; usize::from(message.header.len)];
        // Checked when it was looked at.
        let _ = self.memory.copy_out(message.at, &mut bytes);
        bytes
    }

    fn word<T: tutti_metal::Word>(&self, at: usize) -> Result<T, Corrupt> {
        let outside = Corrupt { field: Field::DescriptorAddress, value: at as u64, limit: self.memory.len() as u64 };
        self.memory.get(at).map_err(|_| outside)
    }
}
