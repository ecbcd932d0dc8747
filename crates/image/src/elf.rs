//! What an image needs to know of programs, libraries, modules and firmware: the System V ABI's ELF, little-endian, 32 and
//! 64 bits. Every offset comes from the file and is held against its length; nothing panics.

use std::ops::Range;

/// The most headers that are looked at.
const MAX_HEADERS: u64 = 65_535;

/// A file that is an ELF file.
#[derive(Debug, Clone, Copy)]
pub struct Elf<'a> {
    bytes: &'a [u8],
    wide: bool,
}

/// A stretch of the file that is loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// What it is: 1 loaded, 2 dynamic, 3 interpreter.
    pub kind: u32,
    /// Where it is in the file.
    pub file: Range<u64>,
    /// Where it runs.
    pub virt: u64,
    /// Where it is loaded.
    pub phys: u64,
    /// How long it is in memory.
    pub length: u64,
}

/// A section.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Section<'a> {
    name: &'a str,
    kind: u32,
    flags: u64,
    size: u64,
    bytes: &'a [u8],
}

/// What a microcontroller's program takes, by the sections that are loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Takes {
    /// Code, constants, the initial values of data.
    pub flash: u64,
    /// Data, what is zeroed, the stack.
    pub ram: u64,
}

impl<'a> Elf<'a> {
    /// A view of the file; `None` if it is none, or big-endian.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let wide = match bytes.get(..7)? {
            [0x7f, b'E', b'L', b'F', 1, 1, 1] => false,
            [0x7f, b'E', b'L', b'F', 2, 1, 1] => true,
            _ => return None,
        };
        Some(Self { bytes, wide })
    }

    /// Whether it is of 64 bits.
    pub fn is_wide(&self) -> bool {
        self.wide
    }

    /// The processor, by its number in the ABI.
    pub fn machine(&self) -> u16 {
        self.number(0x12, 2).and_then(|it| u16::try_from(it).ok()).unwrap_or(0)
    }

    fn number(&self, at: u64, width: u64) -> Option<u64> {
        let bytes = self.range(at..at.checked_add(width)?)?;
        let mut all = [0; 8];
        all.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(u64::from_le_bytes(all))
    }

    fn range(&self, range: Range<u64>) -> Option<&'a [u8]> {
        self.bytes.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
    }

    /// Its segments.
    pub fn segments(&self) -> Vec<Segment> {
        // Offsets of the fields of a header: file's offset, virtual address, physical address, sizes.
        let (table, at, each, width, fields) = match self.wide {
            true => (0x20, 0x36, 56, 8, [8, 16, 24, 32, 40]),
            false => (0x1c, 0x2a, 32, 4, [4, 8, 12, 16, 20]),
        };
        let Some(((table, size), count)) =
            self.number(table, width).zip(self.number(at, 2)).zip(self.number(at + 2, 2))
        else {
            return Vec::new();
        };
        let segment = |index: u64| {
            let at = table.checked_add(index.checked_mul(size)?)?;
            let field = |offset: u64| self.number(at.checked_add(offset)?, width);
            let offset = field(fields[0])?;
            Some(Segment {
                kind: u32::try_from(self.number(at, 4)?).ok()?,
                file: offset..offset.checked_add(field(fields[3])?)?,
                virt: field(fields[1])?,
                phys: field(fields[2])?,
                length: field(fields[4])?,
            })
        };
        if size < each { Vec::new() } else { (0..count).map_while(segment).collect() }
    }

    fn sections(&self) -> Vec<Section<'a>> {
        let (table, at, width, fields) = match self.wide {
            true => (0x28, 0x3a, 8, [8, 24, 32]),
            false => (0x20, 0x2e, 4, [8, 16, 20]),
        };
        let read = || {
            let (table, size) = (self.number(table, width)?, self.number(at, 2)?);
            let (count, names) = (self.number(at + 2, 2)?, self.number(at + 4, 2)?);
            let field = |index: u64, offset: u64, width: u64| {
                self.number(table.checked_add(index.checked_mul(size)?)?.checked_add(offset)?, width)
            };
            let data = |index: u64| {
                let offset = field(index, fields[1], width)?;
                let length = field(index, fields[2], width)?;
                // What is zeroed has no bytes in the file.
                let absent = field(index, 4, 4)? == 8;
                let end = if absent { offset } else { offset.checked_add(length)? };
                Some((self.range(offset..end).unwrap_or_default(), length))
            };
            let (strings, _) = data(names)?;
            let section = |index: u64| {
                let name = strings.get(usize::try_from(field(index, 0, 4)?).ok()?..)?;
                let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
                let (bytes, size) = data(index)?;
                Some(Section {
                    name: std::str::from_utf8(name).unwrap_or_default(),
                    kind: u32::try_from(field(index, 4, 4)?).ok()?,
                    flags: field(index, fields[0], width)?,
                    size,
                    bytes,
                })
            };
            Some((0..count.min(MAX_HEADERS)).map_while(section).collect())
        };
        read().unwrap_or_default()
    }

    /// The bytes of a section.
    pub fn section(&self, name: &str) -> Option<&'a [u8]> {
        self.sections().into_iter().find(|section| section.name == name).map(|section| section.bytes)
    }

    /// What a microcontroller needs for it.
    pub fn takes(&self) -> Takes {
        const WRITE: u64 = 1;
        const ALLOCATED: u64 = 2;
        let mut takes = Takes::default();
        for section in self.sections().iter().filter(|section| section.flags & ALLOCATED != 0) {
            let zeroed = section.kind == 8;
            takes.flash = takes.flash.saturating_add(if zeroed { 0 } else { section.size });
            takes.ram = takes.ram.saturating_add(if zeroed || section.flags & WRITE != 0 { section.size } else { 0 });
        }
        takes
    }

    /// The program that starts it, if it is not static.
    pub fn interpreter(&self) -> Option<&'a str> {
        let segment = self.segments().into_iter().find(|segment| segment.kind == 3)?;
        text(self.range(segment.file)?)
    }

    /// The libraries that it needs.
    pub fn libraries(&self) -> Vec<&'a str> {
        let width = if self.wide { 8 } else { 4 };
        let segments = self.segments();
        let entries = || {
            let dynamic = segments.iter().find(|segment| segment.kind == 2)?;
            let count = (dynamic.file.end - dynamic.file.start) / (2 * width);
            let entry = |index: u64| {
                let at = dynamic.file.start.checked_add(index.checked_mul(2 * width)?)?;
                Some((self.number(at, width)?, self.number(at.checked_add(width)?, width)?))
            };
            Some((0..count.min(MAX_HEADERS)).map_while(entry).take_while(|(tag, _)| *tag != 0).collect::<Vec<_>>())
        };
        let entries = entries().unwrap_or_default();
        // DT_STRTAB is an address: it is in the segment that is loaded there.
        let names = entries.iter().find(|(tag, _)| *tag == 5).and_then(|(_, address)| {
            let fits = |it: &&Segment| it.kind == 1 && *address >= it.virt && address - it.virt < it.length;
            let segment = segments.iter().find(fits)?;
            segment.file.start.checked_add(address - segment.virt)
        });
        let name = |offset: u64| {
            let start = usize::try_from(names?.checked_add(offset)?).ok()?;
            text(self.bytes.get(start..)?)
        };
        entries.iter().filter(|(tag, _)| *tag == 1).filter_map(|(_, offset)| name(*offset)).collect()
    }

    /// The file without what is not loaded: symbols and what debuggers read. Only for what is run, not for modules.
    pub fn stripped(&self) -> Vec<u8> {
        let end = self.segments().iter().filter(|it| it.kind == 1).map(|it| it.file.end).max().unwrap_or(0);
        let mut out = self.range(0..end).unwrap_or(self.bytes).to_vec();
        // No section headers: their place, their number, and which of them has the names.
        let fields = if self.wide { [0x28..0x30, 0x3c..0x40] } else { [0x20..0x24, 0x30..0x34] };
        for field in fields {
            if let Some(bytes) = out.get_mut(field) {
                bytes.fill(0);
            }
        }
        out
    }
}

/// The text up to the zero that ends it.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes.split(|byte| *byte == 0).next()?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn own() -> Vec<u8> {
        std::fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    #[test]
    fn a_program_names_its_libraries_and_runs_when_it_is_stripped() {
        use std::os::unix::fs::PermissionsExt;
        let bytes = own();
        let elf = Elf::new(&bytes).unwrap();
        assert!(elf.is_wide() && elf.interpreter().unwrap().starts_with("/lib"));
        assert!(elf.libraries().iter().any(|it| it.starts_with("libc.so")));
        let stripped = elf.stripped();
        assert!(stripped.len() < bytes.len());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        std::fs::write(&path, stripped).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let listed = std::process::Command::new(&path).arg("--list").output().unwrap();
        assert!(listed.status.success() && !listed.stdout.is_empty());
    }

    proptest! {
        #[test]
        fn nothing_panics(changes in prop::collection::vec((0usize..4096, any::<u8>()), 1..20), cut in 0usize..20_000) {
            let mut bytes = own();
            bytes.truncate(20_000 - cut);
            for (at, byte) in changes {
                if let Some(it) = bytes.get_mut(at) {
                    *it = byte;
                }
            }
            if let Some(elf) = Elf::new(&bytes) {
                let _ = (elf.segments(), elf.takes(), elf.interpreter(), elf.libraries(), elf.stripped(), elf.section("x"));
            }
        }
    }
}
