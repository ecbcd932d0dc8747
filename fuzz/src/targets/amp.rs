//! What remote cores and their firmware files say.

use tutti_metal::{DeviceAddr, Memory, Owned, PhysAddr};
use tutti_proxy::{Errno, Files, HEADER, Policy, Server, Whence, call};
use tutti_remoteproc::{
    Space, Spaces,
    elf::{Class, Machine, load, locate_table},
    table::{Carveout, Claim, Entry, Label, Lint, PhysClaim, Severity, Table, Trace, Vdev, Vendor, buffer_len, emit},
    testing::Firmware,
    trace::TraceReader,
};
use tutti_virtio::VringEntry;

/// What is accepted has all its entries, and can be written again.
pub(crate) fn resource_table(bytes: &[u8]) {
    let malformed = Lint::new(bytes).filter(|finding| finding.severity == Severity::Malformed).count();
    let Ok(table) = Table::new_checked(bytes) else { return };
    assert_eq!(malformed, 0);
    let entries: Vec<Entry<'_>> = table.entries().take(1000).collect();
    assert_eq!(entries.len(), table.len().min(1000));
    if entries.len() < 40 {
        let mut again = vec![0; buffer_len(&entries)];
        assert_eq!(emit(&entries, &mut again), Ok(again.len()));
        assert!(Table::new_checked(again.as_slice()).is_ok());
    }
}

fn table() -> Vec<u8> {
    let queue = |notifyid| VringEntry { da: u32::MAX, align: 4096, num: 256, notifyid };
    let queues = [queue(0), queue(1)];
    let (da, pa, name) = (Claim(0x3ed0_0000), PhysClaim::ANY, Label::literal("text"));
    let entries = [
        Entry::Carveout(Carveout { da, pa, len: 0x1000, flags: 0, name }),
        Entry::Vdev(Vdev { config: &[1, 2, 3, 4], ..Vdev::rpmsg(&queues) }),
        Entry::Trace(Trace { da, len: 256, name }),
        Entry::Vendor(Vendor { kind: 128, bytes: &[8, 0, 0, 0] }),
    ];
    let mut bytes = vec![0; buffer_len(&entries)];
    emit(&entries, &mut bytes).expect("the buffer is as long as the table");
    bytes
}

pub(crate) fn resource_table_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let empty = [1u32, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
    vec![("usual", table()), ("empty", empty)]
}

/// A file is loaded into a small memory, or refused; its table can be looked for in any case.
pub(crate) fn firmware(bytes: &[u8]) {
    let base = DeviceAddr(0x1000);
    let memory = Owned::allocate(4096, base).expect("a small memory");
    let space = [Space { name: "ram", da: base, pa: PhysAddr(base.0), memory }];
    if let Ok(image) = load(bytes, &Spaces(&space)) {
        assert!(image.written <= 4096);
    }
    if let Ok((_, Some(table))) = locate_table(bytes) {
        resource_table(table);
    }
}

pub(crate) fn firmware_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let firmware = |class, machine| {
        let base = DeviceAddr(0x1000);
        let segments = vec![(base, vec![7; 40], 100), (DeviceAddr(0x1800), vec![], 64)];
        Firmware { class, machine, entry: 0x1001, segments, table: Some((DeviceAddr(0x1040), table())) }.build()
    };
    vec![("narrow", firmware(Class::Elf32, Machine::ARM)), ("wide", firmware(Class::Elf64, Machine::AARCH64))]
}

/// The first byte says how long the buffer is; it is read twice, as it stands and with what follows written over it.
pub(crate) fn trace(bytes: &[u8]) {
    let Some((len, bytes)) = bytes.split_first() else { return };
    let memory = Owned::allocate(4096, DeviceAddr(0)).expect("a small memory");
    let len = usize::from(*len);
    let mut reader = TraceReader::new();
    for piece in bytes.chunks(256) {
        memory.copy_in(0, piece).expect("a piece fits");
        let mut total = 0;
        let traced = reader.read(&memory, 0, len, &mut |text| total += text.len()).expect("inside");
        assert!(total == traced.bytes && total <= len);
    }
}

pub(crate) fn trace_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let counted = [&[64][..], b"TTRC\x05\0\0\0hello"].concat();
    vec![("plain", b"\x40boot\nready\n\0".to_vec()), ("counted", counted)]
}

/// Files that are only lengths.
struct Lengths;

impl Files for Lengths {
    type File = (u64, u64);

    fn open(&mut self, path: &str, _: i32, mode: i32, _: bool) -> Result<(u64, u64), Errno> {
        assert!(!path.contains('\0') && mode & !0o666 == 0);
        Ok((0, 0))
    }
    fn read(&mut self, file: &mut (u64, u64), to: &mut [u8]) -> Result<usize, Errno> {
        let len = to.len().min(usize::try_from(file.1.saturating_sub(file.0)).unwrap_or(usize::MAX));
        file.0 += len as u64;
        Ok(len)
    }
    fn write(&mut self, file: &mut (u64, u64), bytes: &[u8]) -> Result<usize, Errno> {
        file.0 += bytes.len() as u64;
        file.1 = file.1.max(file.0);
        assert!(file.1 <= 1000, "the policy was kept");
        Ok(bytes.len())
    }
    fn seek(&mut self, file: &mut (u64, u64), whence: Whence, offset: i64) -> Result<u64, Errno> {
        let from = match whence {
            Whence::Start => 0,
            Whence::Here => file.0,
            Whence::End => file.1,
        };
        file.0 = from.checked_add_signed(offset).ok_or(Errno::INVAL)?;
        Ok(file.0)
    }
    fn position(&mut self, file: &mut (u64, u64)) -> Result<u64, Errno> {
        Ok(file.0)
    }
    fn console_write(&mut self, _: &[u8]) {}
    fn console_read(&mut self, to: &mut [u8]) -> usize {
        to.len().min(3)
    }
}

/// Calls one after the other, each behind a byte with its length.
pub(crate) fn proxy_calls(bytes: &[u8]) {
    let policy = Policy { quota: 2000, longest: 1000, ..Policy::default() };
    let mut server: Server<Lengths, 4> = Server::new(Lengths, policy);
    let mut rest = bytes;
    while let Some((len, behind)) = rest.split_first() {
        let (frame, behind) = behind.split_at(behind.len().min(usize::from(*len)));
        rest = behind;
        let mut answer = [0; 100];
        if let Ok(Some(len)) = server.handle(frame, &mut answer) {
            assert!((HEADER..=100).contains(&len) && answer[..4] == frame[..4]);
        }
        assert!(server.open_files() <= 4);
    }
}

pub(crate) fn proxy_calls_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let mut calls = Vec::new();
    let mut add = |make: &dyn Fn(&mut [u8]) -> Option<usize>| {
        let mut frame = [0; 100];
        let len = make(&mut frame).expect("a hundred bytes suffice");
        calls.push(len as u8);
        calls.extend_from_slice(&frame[..len]);
    };
    add(&call::version);
    add(&|to| call::open("a.txt", 0o102, 0o644, to));
    add(&|to| call::write(1, b"hello", to));
    add(&|to| call::write(3, b"hello", to));
    add(&|to| call::seek(3, 0, 1, to));
    add(&|to| call::read(3, 10, to));
    add(&|to| call::close(3, to));
    add(&call::terminate);
    vec![("session", calls)]
}
