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

#[cfg(test)]
mod tests {
    use tutti_virtio::QueueSize;

    use super::*;
    use crate::Mapping;

    const BASE: DeviceAddr = DeviceAddr(0x1000_0000);

    fn ring() -> (SharedMemory, UsedRing) {
        let memory = Mapping::create(0x8000, BASE).unwrap();
        let layout = Layout::legacy(QueueSize::new(8).unwrap(), 4096, 0).unwrap();
        let ring = UsedRing::new(memory.clone(), layout);
        // Descriptor 3 is a buffer of 64 bytes at 0x4000 with a message of five, and the first that was used.
        memory.put(16 * 3, &(BASE.0 + 0x4000)).unwrap();
        memory.put(16 * 3 + 8, &64u32).unwrap();
        let header = Header { source: tutti_rpmsg::Address(9), destination: tutti_rpmsg::Address(7), len: 5, flags: 0 };
        memory.copy_in(0x4000, &header.emit()).unwrap();
        memory.copy_in(0x4010, b"hello").unwrap();
        memory.put(0x1002, &1u16).unwrap();
        memory.put(0x1004, &3u32).unwrap();
        memory.put(0x1008, &21u32).unwrap();
        (memory, ring)
    }

    #[test]
    fn a_message_is_read_where_it_lies() {
        let (_, ring) = ring();
        assert_eq!(ring.behind(0), Ok(1));
        let message = ring.at(0).unwrap();
        assert_eq!((message.header.source.0, ring.contents(&message)), (9, b"hello".to_vec()));
        assert_eq!(ring.behind(1), Ok(0));
    }

    #[test]
    fn each_lie_is_named() {
        let lie = |at: usize, value: u64, bytes: usize| {
            let (memory, ring) = ring();
            memory.copy_in(at, &value.to_le_bytes()[..bytes]).unwrap();
            ring.behind(0).and_then(|_| ring.at(0)).map(|_| ()).unwrap_err().field
        };
        assert_eq!(lie(0x1002, 9, 2), Field::UsedIndex);
        assert_eq!(lie(0x1002, 0xffff, 2), Field::UsedIndex);
        assert_eq!(lie(0x1004, 8, 4), Field::UsedId);
        assert_eq!(lie(0x1004, u64::from(u32::MAX), 4), Field::UsedId);
        assert_eq!(lie(0x1008, 15, 4), Field::MessageBuffer);
        assert_eq!(lie(16 * 3, 0, 8), Field::DescriptorAddress);
        assert_eq!(lie(16 * 3, u64::MAX, 8), Field::DescriptorAddress);
        assert_eq!(lie(16 * 3 + 8, 0x7000, 4), Field::DescriptorAddress);
        assert_eq!(lie(16 * 3 + 8, 8, 4), Field::MessageBuffer);
        assert_eq!(lie(0x400c, 6, 2), Field::MessageLength);
        assert_eq!(lie(0x400c, 0xffff, 2), Field::MessageLength);
    }

    #[test]
    fn any_memory_is_read_or_refused() {
        let (memory, ring) = ring();
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = [0usize, 0x1000, 0x4000][random as usize % 3] + (random >> 8) as usize % 128;
            memory.put(at, &((random >> 32) as u8)).unwrap();
            let _ = ring.behind((random >> 20) as u16);
            if let Ok(message) = ring.at((random >> 16) as u16) {
                assert!(ring.contents(&message).len() <= 0x8000);
            }
        }
    }
}
