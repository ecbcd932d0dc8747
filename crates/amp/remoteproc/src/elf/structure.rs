//! The three structures of an ELF file that matter for loading.

use tutti_metal::DeviceAddr;

use super::LoadError;
use crate::bytes::{part, word};

pub(crate) const PT_LOAD: u32 = 1;
pub(crate) const PT_NOTE: u32 = 4;
const SHT_NOBITS: u32 = 8;

/// The width of an executable's addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// 32 bits.
    Elf32,
    /// 64 bits.
    Elf64,
}

impl Class {
    /// The bytes of the file header.
    #[must_use]
    pub const fn header_len(self) -> usize {
        match self {
            Self::Elf32 => 52,
            Self::Elf64 => 64,
        }
    }

    pub(crate) const fn segment_len(self) -> usize {
        match self {
            Self::Elf32 => 32,
            Self::Elf64 => 56,
        }
    }

    pub(crate) const fn section_len(self) -> usize {
        match self {
            Self::Elf32 => 40,
            Self::Elf64 => 64,
        }
    }
}

/// The kind of processor, as `e_machine` names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Machine(pub u16);

impl Machine {
    /// 32-bit x86.
    pub const X86: Self = Self(3);
    /// 32-bit Arm.
    pub const ARM: Self = Self(40);
    /// 64-bit x86.
    pub const X86_64: Self = Self(62);
    /// 64-bit Arm.
    pub const AARCH64: Self = Self(183);
    /// RISC-V.
    pub const RISCV: Self = Self(243);

    /// Its name, if it is one that remote cores have.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            3 => "x86",
            40 => "arm",
            62 => "x86-64",
            94 => "xtensa",
            140 => "ti-c6000",
            144 => "ti-pru",
            164 => "hexagon",
            183 => "aarch64",
            189 => "microblaze",
            243 => "risc-v",
            _ => return None,
        })
    }
}

/// The header of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// The width of its addresses.
    pub class: Class,
    /// For which processor it is.
    pub machine: Machine,
    /// Where it starts.
    pub entry: DeviceAddr,
    /// Where in the file the program headers are, and how many.
    pub segments: (u64, u16),
    /// Where the section headers are, and how many; none if they were stripped.
    pub sections: (u64, u16),
    /// Which section holds the names of the others.
    pub names: u16,
}

/// Reads numbers of a structure whose length was checked.
struct Fields<'a>(Class, &'a [u8]);

impl Fields<'_> {
    fn half(&self, at: usize) -> u16 {
        part(self.1, at, 2).map_or(0, |it| u16::from_le_bytes([it[0], it[1]]))
    }
    fn word(&self, at: usize) -> u32 {
        word(self.1, at).unwrap_or(0)
    }
    /// A word of the class's width, at the place that it has in each.
    fn wide(&self, narrow: usize, wide: usize) -> u64 {
        match self.0 {
            Class::Elf32 => u64::from(self.word(narrow)),
            Class::Elf64 => u64::from(self.word(wide)) | u64::from(self.word(wide + 4)) << 32,
        }
    }
    fn either<T>(&self, narrow: T, wide: T) -> T {
        match self.0 {
            Class::Elf32 => narrow,
            Class::Elf64 => wide,
        }
    }
}

impl Header {
    /// Reads the header at the start of a file: 52 bytes for 32 bits, 64 for 64.
    ///
    /// # Errors
    /// If it is no executable for a little-endian processor, or names impossible structures.
    pub fn parse(bytes: &[u8]) -> Result<Self, LoadError> {
        let refuse = |field, value| LoadError::Header { field, value };
        let ident =
            part(bytes, 0, 16).ok_or(LoadError::Truncated { field: "e_ident", end: 16, file: bytes.len() as u64 })?;
        if &ident[..4] != b"\x7fELF" {
            return Err(refuse("e_ident (magic)", u64::from(word(ident, 0).unwrap_or(0))));
        }
        let class = match ident[4] {
            1 => Class::Elf32,
            2 => Class::Elf64,
            other => return Err(refuse("e_ident (class)", u64::from(other))),
        };
        if ident[5] != 1 {
            return Err(refuse("e_ident (byte order)", u64::from(ident[5])));
        }
        let len = class.header_len();
        let bytes = part(bytes, 0, len).ok_or(LoadError::Truncated {
            field: "e_ident",
            end: len as u64,
            file: bytes.len() as u64,
        })?;
        let fields = Fields(class, bytes);
        let kind = fields.half(16);
        if kind != 2 && kind != 3 {
            return Err(refuse("e_type", u64::from(kind)));
        }
        let at = fields.either(42, 54);
        let [segment_len, segments, section_len, sections, names] = [0, 2, 4, 6, 8].map(|more| fields.half(at + more));
        if segments == 0 || segments == u16::MAX {
            return Err(refuse("e_phnum", u64::from(segments)));
        }
        if usize::from(segment_len) != class.segment_len() {
            return Err(refuse("e_phentsize", u64::from(segment_len)));
        }
        let section_at = fields.wide(32, 40);
        let sections = if section_at == 0 { 0 } else { sections };
        if sections > 0 && usize::from(section_len) != class.section_len() {
            return Err(refuse("e_shentsize", u64::from(section_len)));
        }
        if sections > 4096 {
            return Err(refuse("e_shnum", u64::from(sections)));
        }
        if sections > 0 && names >= sections {
            return Err(refuse("e_shstrndx", u64::from(names)));
        }
        Ok(Self {
            class,
            machine: Machine(fields.half(18)),
            entry: DeviceAddr(fields.wide(24, 24)),
            segments: (fields.wide(28, 32), segments),
            sections: (section_at, sections),
            names,
        })
    }
}

/// A part of a file that is to be in memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Its type: only 1, `PT_LOAD`, is loaded.
    pub kind: u32,
    /// Where it is in the file.
    pub offset: u64,
    /// Where it belongs.
    pub da: DeviceAddr,
    /// How many bytes of it are in the file.
    pub in_file: u64,
    /// How many it has in memory; those that are not in the file are zero.
    pub in_memory: u64,
    /// 1 to run, 2 to write, 4 to read.
    pub flags: u32,
}

impl Segment {
    pub(crate) const NONE: Self = Self { kind: 0, offset: 0, da: DeviceAddr(0), in_file: 0, in_memory: 0, flags: 0 };

    /// Reads a program header, which has the length that its class says; what is missing reads as zero.
    #[must_use]
    pub fn parse(class: Class, bytes: &[u8]) -> Self {
        let fields = Fields(class, bytes);
        Self {
            kind: fields.word(0),
            offset: fields.wide(4, 8),
            da: DeviceAddr(fields.wide(12, 24)),
            in_file: fields.wide(16, 32),
            in_memory: fields.wide(20, 40),
            flags: fields.either(fields.word(24), fields.word(4)),
        }
    }
}

/// A named part of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Section {
    /// Where in the table of names its own is.
    pub name: u32,
    /// Its address.
    pub da: DeviceAddr,
    /// Where it is in the file.
    pub offset: u64,
    /// How many bytes.
    pub len: u64,
    /// Whether it has bytes in the file at all.
    pub present: bool,
}

impl Section {
    /// Reads a section header, which has the length that its class says; what is missing reads as zero.
    #[must_use]
    pub fn parse(class: Class, bytes: &[u8]) -> Self {
        let fields = Fields(class, bytes);
        Self {
            name: fields.word(0),
            da: DeviceAddr(fields.wide(12, 16)),
            offset: fields.wide(16, 24),
            len: fields.wide(20, 32),
            present: fields.word(4) != SHT_NOBITS,
        }
    }
}
