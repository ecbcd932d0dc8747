//! Loading: both widths, from memory and as a stream, and files that lie.
#![forbid(unsafe_code)]

use proptest::prelude::*;
use tutti_metal::{DeviceAddr, Memory, Owned, PhysAddr};
use tutti_remoteproc::elf::{Class, LoadError, Loader, Machine, load, locate_table};
use tutti_remoteproc::testing::Firmware;
use tutti_remoteproc::{Space, Spaces};

const TEXT: DeviceAddr = DeviceAddr(0);
const RAM: DeviceAddr = DeviceAddr(0x2000_0000);

/// A tightly coupled memory at 0 for its core, and a RAM; both elsewhere on the bus.
fn memories() -> [Space<Owned>; 2] {
    let owned = |len, at| Owned::allocate(len, DeviceAddr(at)).unwrap();
    [
        Space { name: "tcm", da: TEXT, pa: PhysAddr(0xffe0_0000), memory: owned(0x1000, 0xffe0_0000) },
        Space { name: "ram", da: RAM, pa: PhysAddr(0x8000_0000), memory: owned(0x4000, 0x8000_0000) },
    ]
}

fn firmware(class: Class) -> Firmware {
    Firmware {
        class,
        machine: Machine::ARM,
        entry: 0x11,
        segments: vec![
            (TEXT, (0..200u8).collect(), 200),
            (RAM, vec![7; 100], 0x300),
            (DeviceAddr(RAM.0 + 0x1000), vec![], 0x500),
        ],
        table: Some((DeviceAddr(RAM.0 + 0x20), vec![1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
    }
}

fn dirty(spaces: &Spaces<'_, Owned>) {
    for space in spaces.0 {
        space.memory.copy_in(0, &vec![0xee; space.memory.len()]).unwrap();
    }
}

fn check_loaded(spaces: &Spaces<'_, Owned>) {
    let read = |da, len| {
        let mut bytes = vec![0; len];
        spaces.read(da, &mut bytes).unwrap();
        bytes
    };
    assert_eq!(read(TEXT, 200), (0..200u8).collect::<Vec<_>>());
    assert_eq!(read(DeviceAddr(200), 1), [0xee], "nothing is written behind a segment");
    assert_eq!(read(RAM, 100), [7; 100]);
    assert_eq!(read(DeviceAddr(RAM.0 + 100), 0x300 - 100), [0; 0x300 - 100], "what is not in the file is zero");
    assert_eq!(read(DeviceAddr(RAM.0 + 0x300), 1), [0xee]);
    assert_eq!(read(DeviceAddr(RAM.0 + 0x1000), 0x500), [0; 0x500]);
    assert_eq!(read(DeviceAddr(RAM.0 + 0x1500), 1), [0xee]);
}

#[test]
fn both_widths_load_from_memory() {
    for class in [Class::Elf32, Class::Elf64] {
        let memories = memories();
        let spaces = Spaces(&memories);
        dirty(&spaces);
        let image = load(&firmware(class).build(), &spaces).unwrap();
        check_loaded(&spaces);
        assert_eq!((image.entry, image.header.machine, image.header.class), (DeviceAddr(0x11), Machine::ARM, class));
        assert_eq!(image.written, 200 + 0x300 + 0x500);
        assert_eq!(image.table.map(|table| (table.da, table.len)), Some((DeviceAddr(RAM.0 + 0x20), 16)));
    }
}

#[test]
fn a_stream_asks_for_what_it_wants_and_never_for_more_than_fits() {
    let file = firmware(Class::Elf64).build();
    let memories = memories();
    let spaces = Spaces(&memories);
    dirty(&spaces);
    let mut loader = Loader::<4>::new(file.len() as u64, 64);
    let mut pieces = 0;
    while let Some(want) = loader.want().unwrap() {
        assert!(want.len <= 64);
        let start = want.offset as usize;
        loader.give(&file[start..start + want.len], Some(&spaces)).unwrap();
        pieces += 1;
    }
    check_loaded(&spaces);
    assert!(pieces > 10 && loader.image().is_some());
    let mut loader = Loader::<4>::new(file.len() as u64, 64);
    assert_eq!(loader.give(&file[..15], Some(&spaces)), Err(LoadError::Unwanted));
}

#[test]
fn addresses_are_confirmed_in_one_memory_or_not_at_all() {
    let memories = memories();
    let spaces = Spaces(&memories);
    let place = spaces.locate(DeviceAddr(RAM.0 + 0x10), 0x3ff0).unwrap();
    assert_eq!((place.space, place.at, place.pa), (1, 0x10, PhysAddr(0x8000_0010)));
    assert!(spaces.pointer(RAM, 4).unwrap().is_some());
    for (da, len) in [(0xfff, 2), (RAM.0 + 0x10, 0x3ff1), (RAM.0 - 1, 1), (u64::MAX, 1), (RAM.0, u64::MAX)] {
        let refused = spaces.locate(DeviceAddr(da), len).unwrap_err();
        assert_eq!((refused.da, refused.len), (DeviceAddr(da), len));
    }
}

#[test]
fn the_table_is_found_without_loading() {
    let file = firmware(Class::Elf32).build();
    let (image, table) = locate_table(&file).unwrap();
    assert_eq!((table.map(<[u8]>::len), image.written), (Some(16), 0));
    let without = Firmware { table: None, ..firmware(Class::Elf32) }.build();
    assert_eq!(locate_table(&without).unwrap().1, None);
}

fn refusal(change: impl FnOnce(&mut Vec<u8>)) -> LoadError {
    let mut file = firmware(Class::Elf32).build();
    change(&mut file);
    let memories = memories();
    let spaces = Spaces(&memories);
    dirty(&spaces);
    let refused = load(&file, &spaces).expect_err("a file that lies");
    let mut bytes = vec![0; 0x4000];
    spaces.read(RAM, &mut bytes).unwrap();
    assert!(bytes.iter().all(|&byte| byte == 0xee), "nothing was written: {refused}");
    refused
}

fn set(file: &mut [u8], at: usize, value: u32) {
    file[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

#[test]
fn each_lie_is_refused_by_its_field_and_nothing_is_written() {
    // Offsets of 32-bit files: e_phoff 28, e_shoff 32, e_phentsize 42, e_phnum 44, e_shentsize 46, e_shnum 48, e_shstrndx 50;
    // program header 0 at 52: p_offset +4, p_paddr +12, p_filesz +16, p_memsz +20.
    let named = |change: fn(&mut Vec<u8>), field: &str| {
        let text = refusal(change).to_string();
        assert!(text.starts_with(field) || text.contains(&format!(": {field}")), "{field}: {text}");
    };
    named(|file| file[0] = 0, "e_ident (magic)");
    named(|file| file[4] = 3, "e_ident (class)");
    named(|file| file[5] = 2, "e_ident (byte order)");
    named(|file| file[16] = 1, "e_type");
    named(|file| file[44] = 0, "e_phnum");
    named(|file| file[44..46].fill(0xff), "e_phnum");
    named(|file| file[42] = 31, "e_phentsize");
    named(|file| file[46] = 1, "e_shentsize");
    named(|file| file[48..50].fill(0xff), "e_shnum");
    named(|file| file[50] = 9, "e_shstrndx");
    named(|file| set(file, 28, u32::MAX), "e_phoff");
    named(|file| set(file, 32, u32::MAX - 8), "e_shoff");
    named(|file| set(file, 52 + 4, u32::MAX), "p_offset and p_filesz");
    named(|file| set(file, 52 + 16, 201), "p_filesz");
    named(|file| set(file, 52 + 20, 0x1001), "p_paddr");
    named(|file| set(file, 52 + 20, u32::MAX), "p_paddr");
    named(|file| set(file, 52 + 12, 0xffff_ffff), "p_paddr");
    named(|file| file.truncate(20), "e_ident");
    named(|file| file.clear(), "e_ident");
    assert_eq!(refusal(|file| set(file, 84 + 12, 0x64)), LoadError::Overlap { index: 1, with: 0 });
    let (huge, mut many) = (firmware(Class::Elf64), firmware(Class::Elf32));
    let mut file = huge.build();
    file[64 + 40..64 + 48].fill(0xff);
    let memories = memories();
    let refused = load(&file, &Spaces(&memories));
    assert_eq!(refused.unwrap_err(), LoadError::NotMapped(tutti_remoteproc::NotMapped { da: TEXT, len: u64::MAX }));
    file[64 + 24..64 + 32].fill(0xff);
    assert!(matches!(load(&file, &Spaces(&memories)), Err(LoadError::Segment { field: "p_memsz", .. })));
    many.segments = (0..17).map(|i| (DeviceAddr(i * 16), vec![1], 1)).collect();
    assert_eq!(load(&many.build(), &Spaces(&memories)), Err(LoadError::TooMany { most: 16 }));
}

#[test]
fn names_that_point_at_themselves_are_only_names() {
    let mut file = firmware(Class::Elf32).build();
    let sections = u32::from_le_bytes(file[32..36].try_into().unwrap()) as usize;
    // The table of names lies over the headers of the sections, its own among them.
    set(&mut file, sections + 40 + 16, sections as u32);
    set(&mut file, sections + 40 + 20, 120);
    assert_eq!(locate_table(&file).unwrap().1, None);
    // A name far outside the table is no name.
    let mut file = firmware(Class::Elf32).build();
    set(&mut file, sections + 80, u32::MAX);
    assert_eq!(locate_table(&file).unwrap().1, None);
    // The section itself reaches beyond the file.
    let mut file = firmware(Class::Elf32).build();
    set(&mut file, sections + 80 + 20, u32::MAX);
    assert!(matches!(
        locate_table(&file),
        Err(LoadError::Truncated { field: ".resource_table (sh_offset and sh_size)", .. })
    ));
}

proptest! {
    #[test]
    fn a_damaged_file_loads_or_is_refused(
        wide in any::<bool>(), at in 0usize..600, value in any::<[u8; 8]>(), len in 1usize..9, cut in 0usize..1200,
    ) {
        let mut file = firmware(if wide { Class::Elf64 } else { Class::Elf32 }).build();
        let at = at % (file.len() - 8);
        file[at..at + len.min(8)].copy_from_slice(&value[..len.min(8)]);
        file.truncate(file.len().min(cut.max(600)));
        let memories = memories();
        let _ = load(&file, &Spaces(&memories));
        let _ = locate_table(&file);
    }

    #[test]
    fn any_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let memories = memories();
        prop_assert!(load(&bytes, &Spaces(&memories)).is_err());
    }
}
