//! What lies where in the memory of a process remote.
//!
//! A page of words for the two sides to agree by, the resource table, and behind it what the table asks for. All of that is in
//! `process.dts`, beside this file, and the constants here are made of it at build time: a tree in which regions collide, or vrings that
//! are too small, builds nothing.
//!
//! The tree has the places of a firmware without a table of its own. One that brings a table is served at run time, as Linux serves
//! one: what it places itself stays there, and what it leaves to the host (queues, carveouts, always the buffers) comes behind, in
//! order; of the tree, it has the first address, the header and the place of its table.

use std::fmt;

use tutti_metal::{DeviceAddr, Memory, OutOfBounds};
use tutti_remoteproc::life::Generation;
use tutti_remoteproc::table::{Claim, Entry, Finding, Label, Severity, Table, Trace, Vdev};
use tutti_virtio::{Layout, LayoutError, QueueSize, VdevEntry, VdevError, Vring, VringEntry};

use crate::SharedMemory;

/// What the tree gives the remote.
#[allow(dead_code, unreachable_pub, reason = "the tree says more than is used here, to whomever it is included by")]
mod tree {
    include!(concat!(env!("OUT_DIR"), "/process.rs"));
}

/// What both sides call the first byte of the memory.
pub const DEVICE: DeviceAddr = DeviceAddr(tree::WHOLE_START as u64);
/// How many bytes of memory there are, unless the configuration says otherwise.
pub(super) const MEMORY: usize = tree::WHOLE_SIZE;

/// `TTP1`.
const MAGIC: u32 = u32::from_le_bytes(*b"TTP1");
const TABLE_AT: usize = tree::TABLE_START - tree::WHOLE_START;
const TABLE_MOST: usize = tree::TABLE_SIZE;
/// Behind the table: free, for what a table asks for.
const FREE_AT: usize = TABLE_AT + TABLE_MOST;
const BUFFER: usize = 512;

const _: () = assert!(tree::HEADER_START == tree::WHOLE_START, "the header is found at the first byte");
const _: () = assert!(Word::Base as usize + 8 <= tree::HEADER_SIZE, "the words of the header do not fit");
const _: () = assert!(TABLE_AT >= tree::HEADER_SIZE && tree::LOG_START - tree::WHOLE_START >= FREE_AT);

const fn queue(at: usize, notifyid: u32) -> VringEntry {
    VringEntry { da: at as u32, align: tree::RPMSG_HOST_VRING_ALIGN, num: tree::RPMSG_HOST_VRING_NUM as u32, notifyid }
}

const QUEUES: [VringEntry; 2] = [queue(tree::RPMSG_HOST_VRING0, 0), queue(tree::RPMSG_HOST_VRING1, 1)];

/// The table of a firmware that brings none: an RPMsg device and a trace, where the tree has them.
pub(super) const USUAL: &[Entry<'static>] = &[
    Entry::Vdev(Vdev::rpmsg(&QUEUES)),
    Entry::Trace(Trace { da: Claim(tree::LOG_START as u32), len: tree::LOG_SIZE as u32, name: Label::literal("log") }),
];

/// A word of the header. The comment says who writes it.
#[derive(Clone, Copy)]
pub(super) enum Word {
    /// Host, before anything else.
    Magic = 0,
    /// Host: where the free part of the memory starts, which is the buffers'.
    Buffers = 4,
    /// Host: in which generation the remote runs.
    Generation = 8,
    /// Remote: counts up while it lives.
    Heartbeat = 12,
    /// Remote: 0 before it runs, 1 while it does, 2 when it has ended well.
    Life = 16,
    /// Host: the epoch of the link that it would like.
    Wanted = 20,
    /// Remote: the epoch for which it has taken everything in and keeps quiet.
    Agreed = 24,
    /// Host: the epoch for which the rings are ready.
    Linked = 28,
    /// Host: 1 while the rings are being zeroed, all messages before having been delivered.
    Resetting = 32,
    /// Host: which entry of the table is the RPMsg device.
    Vdev = 36,
    /// Host, 64 bits: everything before this position was delivered.
    Delivered = 64,
    /// Host, 64 bits: the position of the first message of this epoch.
    Base = 72,
}

/// Why a firmware's table cannot be served.
#[derive(Debug)]
pub enum LayoutFault {
    /// The table itself.
    Table(Finding),
    /// It is longer than the place for it.
    TooLong(usize),
    /// It has no RPMsg device.
    NoRpmsg,
    /// What it asks for does not fit into the memory.
    NoRoom {
        /// How many bytes it takes.
        needed: usize,
        /// How many there are.
        memory: usize,
    },
    /// Something stands at a place of the firmware's choice, which this memory does not have.
    Place(OutOfBounds),
    /// A queue.
    Queue(LayoutError),
    /// The device's entry.
    Vdev(VdevError),
    /// This is not the memory of a process remote, or it was overwritten.
    Header(u32),
}

impl fmt::Display for LayoutFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Table(finding) => write!(f, "the resource table is refused: {finding}"),
            Self::TooLong(len) => write!(f, "the resource table has {len} bytes, and room for {TABLE_MOST}"),
            Self::NoRpmsg => f.write_str("the resource table has no RPMsg device with two queues; add one"),
            Self::NoRoom { needed, memory } => {
                write!(f, "the resource table asks for {needed} bytes of a memory of {memory}; give the remote more")
            }
            Self::Place(error) => write!(f, "the resource table asks for a place that is not there: {error}"),
            Self::Queue(error) => error.fmt(f),
            Self::Vdev(error) => error.fmt(f),
            Self::Header(word) => {
                write!(f, "the header of the shared memory says {word:#x}, which is not of a process remote; stop it")
            }
        }
    }
}

impl std::error::Error for LayoutFault {}

impl From<OutOfBounds> for LayoutFault {
    fn from(error: OutOfBounds) -> Self {
        Self::Place(error)
    }
}

impl From<LayoutError> for LayoutFault {
    fn from(error: LayoutError) -> Self {
        Self::Queue(error)
    }
}

impl From<VdevError> for LayoutFault {
    fn from(error: VdevError) -> Self {
        Self::Vdev(error)
    }
}

/// The header, as either side uses it.
#[derive(Clone, Debug)]
pub(super) struct Header(pub(super) SharedMemory);

impl Header {
    /// The header of memory that was handed over.
    pub(super) fn open(memory: SharedMemory) -> Result<Self, LayoutFault> {
        let header = Self(memory);
        match header.get(Word::Magic) {
            MAGIC if header.0.len() > FREE_AT => Ok(header),
            other => Err(LayoutFault::Header(other)),
        }
    }

    pub(super) fn get(&self, word: Word) -> u32 {
        let value = self.0.get(word as usize).unwrap_or(0);
        // What the other side wrote before this word is to be seen after it.
        self.0.fence();
        value
    }

    pub(super) fn put(&self, word: Word, value: u32) {
        self.0.fence();
        // The header is inside: memory without it is never a header's.
        let _ = self.0.put(word as usize, &value);
    }

    pub(super) fn get_long(&self, word: Word) -> u64 {
        self.0.get(word as usize).unwrap_or(0)
    }

    pub(super) fn put_long(&self, word: Word, value: u64) {
        self.0.fence();
        let _ = self.0.put(word as usize, &value);
    }

    pub(super) fn generation(&self) -> Generation {
        Generation(self.get(Word::Generation))
    }

    /// The bytes of the table, copied out.
    pub(super) fn table(&self) -> Vec<u8> {
        let mut bytes = vec![0; TABLE_MOST];
        let _ = self.0.copy_out(TABLE_AT, &mut bytes);
        bytes
    }

    /// The RPMsg device's entry.
    pub(super) fn vdev(&self) -> Result<VdevEntry<SharedMemory>, LayoutFault> {
        let bytes = self.table();
        let table = Table::new_checked(bytes.as_slice()).map_err(LayoutFault::Table)?;
        let offset = table.offset(self.get(Word::Vdev) as usize).ok_or(LayoutFault::NoRpmsg)?;
        let part = self.0.part(TABLE_AT, TABLE_MOST)?;
        Ok(VdevEntry::new(part, offset + 4)?)
    }

    /// The two queues: to the host, to the remote.
    pub(super) fn vrings(&self) -> Result<[Vring<SharedMemory>; 2], LayoutFault> {
        let vdev = self.vdev()?;
        Ok([vdev.vring(0, self.0.clone())?, vdev.vring(1, self.0.clone())?])
    }

    /// Where the queue to the host lies.
    pub(super) fn queue_to_host(&self) -> Result<Layout, LayoutFault> {
        let entry = self.vdev()?.queue(0)?;
        let size = QueueSize::new(entry.num)?;
        let bytes = Layout::legacy_bytes(size, entry.align)?;
        let at = self.0.offset_of(DeviceAddr(u64::from(entry.da)), u32::try_from(bytes).unwrap_or(u32::MAX))?;
        Ok(Layout::legacy(size, entry.align, at)?)
    }

    /// Where the traces are.
    pub(super) fn traces(&self) -> Vec<(String, usize, usize)> {
        let bytes = self.table();
        let Ok(table) = Table::new_checked(bytes.as_slice()) else { return Vec::new() };
        let entries = table.entries().filter_map(|entry| match entry {
            Entry::Trace(trace) => {
                let at = self.0.offset_of(trace.da.address()?, trace.len).ok()?;
                Some((trace.name.to_string(), at, trace.len as usize))
            }
            _ => None,
        });
        entries.collect()
    }
}

/// Where in the memory something stands that the firmware has chosen a place for.
fn place_of(memory: &SharedMemory, address: DeviceAddr, len: u32) -> Result<usize, LayoutFault> {
    memory.offset_of(address, len).map_err(|error| {
        // What lies in the tree's memory, and behind the end of this one, needs nothing but more of it.
        let end =
            address.checked_sub(DEVICE).and_then(|offset| usize::try_from(offset).ok()?.checked_add(len as usize));
        match end.filter(|end| *end <= MEMORY) {
            Some(needed) => LayoutFault::NoRoom { needed, memory: memory.len() },
            None => LayoutFault::Place(error),
        }
    })
}

/// Behind everything that the firmware has chosen a place for.
fn placed<T: AsRef<[u8]>>(memory: &SharedMemory, table: &Table<T>) -> Result<usize, LayoutFault> {
    let mut end = 0;
    let mut at = |address: DeviceAddr, len: u32| {
        end = end.max(place_of(memory, address, len)? + len as usize);
        Ok::<_, LayoutFault>(())
    };
    for entry in table.entries() {
        match entry {
            Entry::Carveout(carveout) => carveout.da.address().map_or(Ok(()), |address| at(address, carveout.len))?,
            // The host chooses no place for these, so the firmware must have named one that is there.
            Entry::Trace(trace) => at(trace.da.address().unwrap_or_default(), trace.len)?,
            Entry::Vdev(vdev) => {
                for vring in vdev.vrings.iter() {
                    let len = Layout::legacy_bytes(QueueSize::new(vring.num)?, vring.align)?;
                    let len = u32::try_from(len).unwrap_or(u32::MAX);
                    Claim(vring.da).address().map_or(Ok(()), |address| at(address, len))?;
                }
            }
            _ => {}
        }
    }
    Ok(end)
}

/// Serves a firmware's table: checks it, copies it into the memory, and gives everything that it leaves open a place.
pub(super) fn serve(memory: &SharedMemory, table: &[u8]) -> Result<Header, LayoutFault> {
    if table.len() > TABLE_MOST {
        return Err(LayoutFault::TooLong(table.len()));
    }
    let checked = Table::new_checked(table).map_err(LayoutFault::Table)?;
    if let Some(finding) = checked.lint().find(|finding| finding.severity >= Severity::Depends) {
        return Err(LayoutFault::Table(finding));
    }
    let mut bytes = table.to_vec();
    // What the firmware has placed comes first, wherever in the table it stands: nothing is placed onto it.
    let mut room = Room { at: FREE_AT.max(placed(memory, &checked)?), memory: memory.len() };
    let mut buffers = 0;
    let mut rpmsg = None;
    for (index, entry) in checked.entries().enumerate() {
        let at = checked.offset(index).unwrap_or(0);
        match entry {
            Entry::Carveout(carveout) => place(memory, &mut room, &mut bytes, at + 4, carveout.da, carveout.len)?,
            Entry::Vdev(vdev) => {
                for (queue, vring) in vdev.vrings.iter().enumerate() {
                    let len = Layout::legacy_bytes(QueueSize::new(vring.num)?, vring.align)?;
                    let len = u32::try_from(len).unwrap_or(u32::MAX);
                    place(memory, &mut room, &mut bytes, at + 28 + 20 * queue, Claim(vring.da), len)?;
                    buffers += BUFFER * vring.num as usize;
                }
                if vdev.id == tutti_rpmsg::VIRTIO_ID && vdev.vrings.len() == 2 {
                    rpmsg.get_or_insert(index as u32);
                }
            }
            _ => {}
        }
    }
    let rpmsg = rpmsg.ok_or(LayoutFault::NoRpmsg)?;
    let buffers_at = room.take(buffers)?;
    memory.copy_in(0, &[0; FREE_AT])?;
    memory.copy_in(TABLE_AT, &bytes)?;
    let header = Header(memory.clone());
    header.put(Word::Buffers, buffers_at as u32);
    header.put(Word::Vdev, rpmsg);
    header.put(Word::Resetting, 1);
    header.put(Word::Magic, MAGIC);
    Ok(header)
}

struct Room {
    at: usize,
    memory: usize,
}

impl Room {
    fn take(&mut self, len: usize) -> Result<usize, LayoutFault> {
        let at = self.at.next_multiple_of(4096);
        let end = at.saturating_add(len);
        if end > self.memory {
            return Err(LayoutFault::NoRoom { needed: end, memory: self.memory });
        }
        self.at = end;
        Ok(at)
    }
}

/// Gives something a place, if the firmware has not chosen one, and writes it into the table.
fn place(
    memory: &SharedMemory,
    room: &mut Room,
    bytes: &mut [u8],
    field: usize,
    da: Claim,
    len: u32,
) -> Result<(), LayoutFault> {
    if let Some(address) = da.address() {
        let at = place_of(memory, address, len)?;
        room.at = room.at.max(at + len as usize);
        return Ok(());
    }
    let at = room.take(len as usize)?;
    let address = memory.addr_of(at).0 as u32;
    if let Some(word) = bytes.get_mut(field..field + 4) {
        word.copy_from_slice(&address.to_le_bytes());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tutti_remoteproc::table::{buffer_len, emit};

    use super::*;
    use crate::Mapping;

    #[test]
    fn what_the_firmware_has_placed_is_left_alone_wherever_it_stands_in_the_table() {
        let queue = |notifyid| VringEntry { da: u32::MAX, align: 4096, num: 256, notifyid };
        let queues = [queue(0), queue(1)];
        let vdev = Entry::Vdev(Vdev::rpmsg(&queues));
        let da = Claim(DEVICE.0 as u32 + 0x2000);
        let trace = Entry::Trace(Trace { da, len: 0x2000, name: Label::literal("log") });
        for entries in [&[vdev, trace], &[trace, vdev]] {
            let memory = Mapping::create(1 << 20, DEVICE).unwrap();
            let mut table = vec![0; buffer_len(entries)];
            emit(entries, &mut table).unwrap();
            let header = serve(&memory, &table).unwrap();
            let traces = header.traces();
            assert_eq!(traces, [("log".to_owned(), 0x2000, 0x2000)]);
            let to_host = header.queue_to_host().unwrap();
            assert!(to_host.descriptors >= 0x4000, "{to_host:?}");
            assert!(header.get(Word::Buffers) as usize > to_host.used);
        }
    }
    /// What the host finds room for comes to lie where the tree has it too.
    #[test]
    fn a_firmware_without_a_table_has_everything_where_the_tree_says() {
        let memory = Mapping::create(MEMORY, DEVICE).unwrap();
        let mut table = vec![0; buffer_len(USUAL)];
        emit(USUAL, &mut table).unwrap();
        let header = serve(&memory, &table).unwrap();
        let at = |address: usize| address - tree::WHOLE_START;
        assert_eq!(header.queue_to_host().unwrap().descriptors, at(tree::VDEV0VRING0_START));
        assert_eq!(header.vdev().unwrap().queue(1).unwrap().da as usize, tree::VDEV0VRING1_START);
        assert_eq!(header.get(Word::Buffers) as usize, at(tree::VDEV0BUFFER_START));
        assert_eq!(2 * BUFFER * usize::from(tree::RPMSG_HOST_VRING_NUM), tree::VDEV0BUFFER_SIZE);
        assert_eq!(header.traces(), [("log".to_owned(), at(tree::LOG_START), tree::LOG_SIZE)]);
    }

    #[test]
    fn a_place_behind_the_end_asks_for_more_memory_and_one_elsewhere_is_none() {
        let memory = Mapping::create(0x8000, DEVICE).unwrap();
        let mut table = vec![0; buffer_len(USUAL)];
        emit(USUAL, &mut table).unwrap();
        assert!(
            matches!(serve(&memory, &table), Err(LayoutFault::NoRoom { needed, memory: 0x8000 }) if needed > 0x8000)
        );
        for da in [0x1000, DEVICE.0 as u32 + MEMORY as u32] {
            let trace = Entry::Trace(Trace { da: Claim(da), len: 16, name: Label::literal("log") });
            let entries = &[USUAL[0], trace];
            let memory = Mapping::create(MEMORY, DEVICE).unwrap();
            emit(entries, &mut table).unwrap();
            assert!(matches!(serve(&memory, &table), Err(LayoutFault::Place(_))), "{da:#x}");
        }
    }
}
