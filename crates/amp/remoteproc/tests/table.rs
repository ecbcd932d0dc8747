//! Resource tables: golden bytes, what Linux refuses, and any bytes at all.
//!
//! That this file forbids unsafe code shows that a user of the macro can.
#![forbid(unsafe_code)]

use proptest::prelude::*;
use tutti_metal::{DeviceAddr, Memory};
use tutti_remoteproc::table::{
    Carveout, Claim, Devmem, EmitError, Entry, Finding, Label, Lint, PhysClaim, Severity, Table, Trace, Vdev, Vendor,
    buffer_len, emit,
};
use tutti_virtio::{Features, Status, VdevEntry, VringEntry};

const QUEUES: [VringEntry; 2] = [
    VringEntry { da: u32::MAX, align: 16, num: 8, notifyid: 1 },
    VringEntry { da: 0x2000_0000, align: 4096, num: 256, notifyid: 2 },
];
const ENTRIES: &[Entry<'static>] = &[
    Entry::Carveout(Carveout {
        da: Claim(0x1000_0000),
        pa: PhysClaim(0x3000_0000),
        len: 0x4000,
        flags: 0,
        name: Label::literal("text"),
    }),
    Entry::Vdev(Vdev { config: &[1, 2, 3], ..Vdev::rpmsg(&QUEUES) }),
    Entry::Trace(Trace { da: Claim(0x1000_3000), len: 0x1000, name: Label::literal("log") }),
    Entry::Vendor(Vendor { kind: 200, bytes: &[8, 0, 0, 0, 7, 7, 7, 7] }),
];

tutti_remoteproc::resource_table! {
    /// As a firmware has it.
    static PLACED = ENTRIES;
}

fn emitted(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut bytes = vec![0xaa; buffer_len(entries)];
    assert_eq!(emit(entries, &mut bytes), Ok(bytes.len()));
    bytes
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
}

#[test]
fn a_table_has_the_bytes_that_linux_gives_it() {
    let bytes = emitted(ENTRIES);
    let words = words(&bytes);
    assert_eq!(words[..8], [1, 4, 0, 0, 32, 88, 160, 208], "ver, num, reserved, offsets");
    assert_eq!(words[8..14], [0, 0x1000_0000, 0x3000_0000, 0x4000, 0, 0]);
    assert_eq!(&bytes[56..62], b"text\0\0");
    assert_eq!(words[22..29], [3, 7, 0, 1, 0, 3, 0x0200], "type, id, notifyid, features, gfeatures, config_len, …");
    assert_eq!(words[29..39], [u32::MAX, 16, 8, 1, 0, 0x2000_0000, 4096, 256, 2, 0]);
    assert_eq!(bytes[156..160], [1, 2, 3, 0], "the config space, filled up");
    assert_eq!(words[40..44], [2, 0x1000_3000, 0x1000, 0]);
    assert_eq!(words[52..], [200, 8, 0x0707_0707]);
    assert_eq!(emit(ENTRIES, &mut [0; 100]), Err(EmitError::TooShort { needed: bytes.len(), found: 100 }));
}

#[test]
fn it_reads_as_it_was_written() {
    let bytes = emitted(ENTRIES);
    let table = Table::new_checked(&bytes).unwrap();
    assert_eq!(table.entries().collect::<Vec<_>>(), ENTRIES);
    let mut seen = vec![];
    let all: Result<(), ()> = table.vendor_entries(|vendor| {
        seen.push((vendor.kind, vendor.bytes.len()));
        Ok(())
    });
    assert_eq!((all, seen), (Ok(()), vec![(200, 8)]));
    assert_eq!(table.vendor_entries(|_| Err("not ours")), Err("not ours"));
    assert_eq!(table.lint().collect::<Vec<_>>(), []);
}

#[test]
fn a_placed_table_is_the_same_and_the_handshake_runs_over_it() {
    let region = PLACED.region(DeviceAddr(0x3ed0_0000)).unwrap();
    let mut bytes = vec![0; region.len()];
    region.copy_out(0, &mut bytes).unwrap();
    assert_eq!(bytes, emitted(ENTRIES));
    let at = Table::new_checked(&bytes).unwrap().offset(1).unwrap();
    let vdev = VdevEntry::new(region, at + 4).unwrap();
    assert_eq!((vdev.id(), vdev.queues(), vdev.queue(1).unwrap()), (7, 2, QUEUES[1]));
    vdev.accept(Features(u64::MAX));
    vdev.set_status(Status::DRIVER_OK);
    region.copy_out(0, &mut bytes).unwrap();
    let table = Table::new_checked(&bytes).unwrap();
    let Some(Entry::Vdev(read)) = table.entry(1) else { panic!("it is a vdev") };
    assert_eq!((read.accepted, read.status), (Features(1), Status::DRIVER_OK));
}

/// Where what is written, and the finding: how bad, in which entry, in which field.
type Case = (usize, &'static [u8], Severity, Option<u32>, &'static str);

/// One table for each thing that is wrong, by what is written over a sound one.
#[test]
fn each_fault_is_found_and_named() {
    use Severity::{Depends, Ignored, Malformed, Odd, Refused};
    let sound = emitted(ENTRIES);
    let devmem =
        emitted(&[Entry::Devmem(Devmem { da: Claim(0), pa: PhysClaim(0), len: 16, flags: 0, name: Label::EMPTY })]);
    assert_eq!(Lint::new(&devmem).map(|it| (it.severity, it.field)).collect::<Vec<_>>(), [(Depends, "type")]);
    let cases: &[Case] = &[
        (0, &[2], Malformed, None, "ver"),
        (8, &[1], Refused, None, "reserved"),
        (4, &[0xff, 0xff, 0xff, 0xff], Malformed, None, "num"),
        (4, &[0], Odd, None, "num"),
        (16, &[0xff, 0xff, 0xff, 0xff], Malformed, Some(0), "offset"),
        (16, &[0], Odd, Some(0), "offset"),
        (20, &[216], Ignored, Some(1), "type"),
        (24, &[208], Odd, Some(3), "offset"),
        (24, &[218], Malformed, Some(2), "offset"),
        (32, &[9], Ignored, Some(0), "type"),
        (44, &[0, 0, 0, 0], Odd, Some(0), "len"),
        (44, &[0, 0, 0, 0xff], Refused, Some(0), "len"),
        (52, &[1], Refused, Some(0), "reserved"),
        (56, &[b'a'; 32], Odd, Some(0), "name"),
        (92, &[0], Refused, Some(1), "id"),
        (104, &[1], Odd, Some(1), "gfeatures"),
        (108, &[0xff, 0xff, 0xff, 0xff], Malformed, Some(1), "config_len"),
        (112, &[4], Odd, Some(1), "status"),
        (113, &[3], Refused, Some(1), "num_of_vrings"),
        (113, &[1], Odd, Some(1), "num_of_vrings"),
        (113, &[255], Malformed, Some(1), "num_of_vrings"),
        (115, &[1], Refused, Some(1), "reserved"),
        (120, &[0], Refused, Some(1), "vring.align"),
        (120, &[3], Refused, Some(1), "vring.align"),
        (124, &[0], Refused, Some(1), "vring.num"),
        (124, &[7], Refused, Some(1), "vring.num"),
        (164, &[0xff, 0xff, 0xff, 0xff], Refused, Some(2), "da"),
        (172, &[1], Refused, Some(2), "reserved"),
    ];
    for &(at, change, severity, entry, field) in cases {
        let mut bytes = sound.clone();
        bytes[at..at + change.len()].copy_from_slice(change);
        let found: Vec<Finding> = Lint::new(&bytes).collect();
        let expected = |it: &Finding| (it.severity, it.entry, it.field) == (severity, entry, field);
        assert!(found.iter().any(expected), "{change:?} at {at}: {found:?}");
        assert_eq!(Table::new_checked(&bytes).is_err(), severity == Malformed, "{change:?} at {at}");
    }
    let two = [ENTRIES[0], ENTRIES[0]];
    let found: Vec<_> = Lint::new(&emitted(&two)).map(|it| it.field).collect();
    assert_eq!(found, ["da"], "carveouts in one another");
    assert_eq!(Lint::new(&[]).next().map(|it| it.field), Some("length"));
}

#[test]
fn every_cut_is_refused_or_only_cuts_off_what_nobody_bounds() {
    let bytes = emitted(ENTRIES);
    for len in 0..bytes.len() - 8 {
        assert!(Table::new_checked(&bytes[..len]).is_err(), "{len} bytes of {}", bytes.len());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_a_table_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..400), sound in any::<bool>()) {
        let mut bytes = bytes;
        if sound && bytes.len() >= 20 {
            // Past the header, so that the entries are reached.
            let num = bytes[4] % 8;
            bytes[..8].copy_from_slice(&[1, 0, 0, 0, num, 0, 0, 0]);
            bytes[17..20].fill(0);
        }
        let _ = Lint::new(&bytes).count();
        if let Ok(table) = Table::new_checked(&bytes) {
            prop_assert_eq!(table.entries().count(), table.len());
            let entries: Vec<_> = table.entries().collect();
            // Whatever was read can be written, and then reads the same but for the padding.
            let mut again = vec![0; buffer_len(&entries)];
            emit(&entries, &mut again).unwrap();
            let again = Table::new_checked(again).unwrap();
            for (one, other) in entries.iter().zip(again.entries()) {
                prop_assert_eq!(one.word(), other.word());
            }
        }
    }

    #[test]
    fn what_is_written_reads_the_same(
        da in any::<u32>(), pa in any::<u32>(), len in any::<u32>(), name in "[a-z]{0,31}",
        config in prop::collection::vec(any::<u8>(), 0..9).prop_map(|mut it| { it.resize(it.len() / 4 * 4, 0); it }),
        queues in prop::collection::vec((any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>()), 0..4),
    ) {
        let name = Label::new(&name).unwrap();
        let queues: Vec<_> =
            queues.into_iter().map(|(da, align, num, notifyid)| VringEntry { da, align, num, notifyid }).collect();
        let entries = [
            Entry::Carveout(Carveout { da: Claim(da), pa: PhysClaim(pa), len, flags: da ^ pa, name }),
            Entry::Vdev(Vdev { config: &config, ..Vdev::rpmsg(&queues) }),
            Entry::Trace(Trace { da: Claim(pa), len, name }),
        ];
        let bytes = emitted(&entries);
        let table = Table::new_checked(&bytes).unwrap();
        prop_assert_eq!(table.entries().collect::<Vec<_>>(), entries);
    }
}
