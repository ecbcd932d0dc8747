//! Loading, as a machine that asks for parts of the file.

use core::fmt;

use tutti_metal::{DeviceAddr, Memory};

use super::{Class, Header, PT_LOAD, Section, Segment};
use crate::{NotMapped, Spaces};

/// Why a firmware is not loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoadError {
    /// A field of the file header.
    Header {
        /// Which.
        field: &'static str,
        /// What stands in it.
        value: u64,
    },
    /// Something reaches beyond the end of the file.
    Truncated {
        /// Which field says so.
        field: &'static str,
        /// Where it would end.
        end: u64,
        /// Where the file ends.
        file: u64,
    },
    /// A field of a segment.
    Segment {
        /// Which segment.
        index: u16,
        /// Which field.
        field: &'static str,
        /// What stands in it.
        value: u64,
    },
    /// Two segments have addresses in common.
    Overlap {
        /// One of them.
        index: u16,
        /// The other.
        with: u16,
    },
    /// More segments to load than there is room for.
    TooMany {
        /// How much room there is.
        most: usize,
    },
    /// A segment, or the resource table, is nowhere in the remote's memories.
    NotMapped(NotMapped),
    /// The bytes that were handed over are not those that were wanted.
    Unwanted,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header { field, value } => {
                write!(f, "{field} is {value:#x}: this is no executable for a little-endian remote core")
            }
            Self::Truncated { field, end, file } => {
                write!(f, "{field} reaches to byte {end:#x} of a file of {file:#x} bytes; copy the firmware again")
            }
            Self::Segment { index, field, value } => {
                write!(f, "segment {index}: {field} is {value:#x}, which cannot be; build the firmware again")
            }
            Self::Overlap { index, with } => {
                write!(f, "segment {index}: p_paddr and p_memsz overlap those of segment {with}; see the linker script")
            }
            Self::TooMany { most } => {
                write!(f, "e_phnum: more than {most} segments are to be loaded; join some in the linker script")
            }
            Self::NotMapped(error) => write!(f, "p_paddr: {error}"),
            Self::Unwanted => f.write_str("the loader was given another part of the file than it asked for"),
        }
    }
}

impl core::error::Error for LoadError {}

impl From<NotMapped> for LoadError {
    fn from(error: NotMapped) -> Self {
        Self::NotMapped(error)
    }
}

/// The part of the file that is wanted next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Want {
    /// Where it starts.
    pub offset: u64,
    /// How many bytes.
    pub len: usize,
}

/// What was loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Image {
    /// The file's header.
    pub header: Header,
    /// Where it starts.
    pub entry: DeviceAddr,
    /// The resource table: where the firmware sees it, and where it is in the file.
    pub table: Option<Section>,
    /// How many bytes were written into the remote's memories, zeros included.
    pub written: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Ident,
    Header(Class),
    Segment(u16),
    Names,
    Section(u16),
    /// The name of this section.
    Name(u16, Section),
    /// Bytes of the `usize`-th segment to load, from this far on.
    Data(usize, u64),
    Done,
}

const TABLE: &[u8; 16] = b".resource_table\0";

/// Loads a firmware with at most `SEGMENTS` parts. See [`load`] for how it is driven.
///
/// Nothing is written before every header was checked. If `into` is `None` in [`give`](Self::give), nothing is written at
/// all: the loader then only checks the file and finds its resource table.
#[derive(Clone, Debug)]
pub struct Loader<const SEGMENTS: usize = 16> {
    file: u64,
    most: usize,
    step: Step,
    header: Option<Header>,
    names: Section,
    segments: [Segment; SEGMENTS],
    count: usize,
    table: Option<Section>,
    written: u64,
}

const NO_SECTION: Section = Section { name: 0, da: DeviceAddr(0), offset: 0, len: 0, present: false };

impl<const SEGMENTS: usize> Loader<SEGMENTS> {
    /// For a file of `file` bytes, of which the caller can hand over `most` at a time, at least 64.
    #[must_use]
    pub const fn new(file: u64, most: usize) -> Self {
        Self {
            file,
            most: if most < 64 { 64 } else { most },
            step: Step::Ident,
            header: None,
            names: NO_SECTION,
            segments: [Segment::NONE; SEGMENTS],
            count: 0,
            table: None,
            written: 0,
        }
    }

    /// The part of the file that is wanted next; `None` when everything is done.
    ///
    /// # Errors
    /// If a header points beyond the end of the file.
    pub fn want(&self) -> Result<Option<Want>, LoadError> {
        let (class, segments, sections) = match self.header {
            Some(header) => (header.class, header.segments, header.sections),
            None => (Class::Elf32, (0, 0), (0, 0)),
        };
        let (field, offset, len) = match self.step {
            Step::Ident => ("e_ident", 0, 16),
            Step::Header(class) => ("e_ident", 0, class.header_len()),
            Step::Segment(index) => self.entry("e_phoff", segments.0, index, class.segment_len())?,
            Step::Names => {
                let index = self.header.map_or(0, |header| header.names);
                self.entry("e_shoff", sections.0, index, class.section_len())?
            }
            Step::Section(index) => self.entry("e_shoff", sections.0, index, class.section_len())?,
            Step::Name(_, section) => {
                let truncated = LoadError::Truncated { field: "sh_name", end: u64::MAX, file: self.file };
                let at = self.names.offset.checked_add(u64::from(section.name)).ok_or(truncated)?;
                ("sh_name", at, TABLE.len())
            }
            Step::Data(at, done) => {
                let segment = self.segments.get(at).copied().unwrap_or(Segment::NONE);
                let len = (segment.in_file - done).min(self.most as u64);
                ("p_filesz", segment.offset + done, len as usize)
            }
            Step::Done => return Ok(None),
        };
        self.inside(field, offset, len as u64)?;
        Ok(Some(Want { offset, len }))
    }

    /// Takes the part that was wanted.
    ///
    /// # Errors
    /// See [`LoadError`]. The loader is of no use then.
    pub fn give<M: Memory>(&mut self, bytes: &[u8], into: Option<&Spaces<'_, M>>) -> Result<(), LoadError> {
        if self.want()?.is_none_or(|want| want.len != bytes.len()) {
            return Err(LoadError::Unwanted);
        }
        self.step = match self.step {
            Step::Ident => match bytes.get(4) {
                Some(2) => Step::Header(Class::Elf64),
                _ => Step::Header(Class::Elf32),
            },
            Step::Header(_) => {
                self.header = Some(Header::parse(bytes)?);
                Step::Segment(0)
            }
            Step::Segment(index) => {
                let header = self.header.ok_or(LoadError::Unwanted)?;
                self.take_segment(index, Segment::parse(header.class, bytes), into)?;
                match index + 1 {
                    next if next < header.segments.1 => Step::Segment(next),
                    _ if header.sections.1 > 0 => Step::Names,
                    _ => self.first_data(into)?,
                }
            }
            Step::Names => {
                let header = self.header.ok_or(LoadError::Unwanted)?;
                self.names = Section::parse(header.class, bytes);
                Step::Section(0)
            }
            Step::Section(index) => {
                let header = self.header.ok_or(LoadError::Unwanted)?;
                let section = Section::parse(header.class, bytes);
                // A name that does not fit into the table of names, or the file, is another one's.
                let end = u64::from(section.name).checked_add(TABLE.len() as u64);
                let named = end.is_some_and(|end| {
                    end <= self.names.len && self.names.offset.checked_add(end).is_some_and(|end| end <= self.file)
                });
                if named { Step::Name(index, section) } else { self.next_section(index, into)? }
            }
            Step::Name(index, section) => {
                if bytes == TABLE {
                    self.take_table(section)?;
                    self.first_data(into)?
                } else {
                    self.next_section(index, into)?
                }
            }
            Step::Data(at, done) => self.take_data(at, done, bytes, into)?,
            Step::Done => return Err(LoadError::Unwanted),
        };
        Ok(())
    }

    /// What was loaded, once [`want`](Self::want) wants nothing any more.
    #[must_use]
    pub fn image(&self) -> Option<Image> {
        let header = self.header.filter(|_| self.step == Step::Done)?;
        Some(Image { header, entry: header.entry, table: self.table, written: self.written })
    }

    /// The segments to load, once all headers were looked at.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        self.segments.get(..self.count).unwrap_or(&[])
    }

    fn entry(
        &self,
        field: &'static str,
        base: u64,
        index: u16,
        len: usize,
    ) -> Result<(&'static str, u64, usize), LoadError> {
        let at = base.checked_add(u64::from(index) * len as u64);
        Ok((field, at.ok_or(LoadError::Truncated { field, end: u64::MAX, file: self.file })?, len))
    }

    fn inside(&self, field: &'static str, offset: u64, len: u64) -> Result<(), LoadError> {
        let end = offset.saturating_add(len);
        if end > self.file { Err(LoadError::Truncated { field, end, file: self.file }) } else { Ok(()) }
    }

    fn take_segment<M: Memory>(
        &mut self,
        index: u16,
        segment: Segment,
        into: Option<&Spaces<'_, M>>,
    ) -> Result<(), LoadError> {
        let Segment { kind, offset, da, in_file, in_memory, .. } = segment;
        if kind != PT_LOAD || in_memory == 0 {
            return Ok(());
        }
        if in_file > in_memory {
            return Err(LoadError::Segment { index, field: "p_filesz", value: in_file });
        }
        self.inside("p_offset and p_filesz", offset, in_file)?;
        let end = da.checked_add(in_memory).ok_or(LoadError::Segment { index, field: "p_memsz", value: in_memory })?;
        for (with, other) in self.segments().iter().enumerate() {
            // Sums of segments that were taken were checked.
            if da < DeviceAddr(other.da.0 + other.in_memory) && other.da < end {
                return Err(LoadError::Overlap { index, with: with as u16 });
            }
        }
        if let Some(spaces) = into {
            spaces.locate(da, in_memory)?;
        }
        *self.segments.get_mut(self.count).ok_or(LoadError::TooMany { most: SEGMENTS })? = segment;
        self.count += 1;
        Ok(())
    }

    fn take_table(&mut self, section: Section) -> Result<(), LoadError> {
        if section.present {
            self.inside(".resource_table (sh_offset and sh_size)", section.offset, section.len)?;
            self.table = Some(section);
        }
        Ok(())
    }

    fn next_section<M: Memory>(&mut self, index: u16, into: Option<&Spaces<'_, M>>) -> Result<Step, LoadError> {
        let sections = self.header.map_or(0, |header| header.sections.1);
        if index + 1 < sections { Ok(Step::Section(index + 1)) } else { self.first_data(into) }
    }

    fn first_data<M: Memory>(&mut self, into: Option<&Spaces<'_, M>>) -> Result<Step, LoadError> {
        match into {
            Some(_) => self.begin(0, into),
            None => Ok(Step::Done),
        }
    }

    /// The first segment from `at` on that has bytes in the file; those without are zeroed on the way.
    fn begin<M: Memory>(&mut self, mut at: usize, into: Option<&Spaces<'_, M>>) -> Result<Step, LoadError> {
        while let Some(segment) = self.segments().get(at).copied() {
            if segment.in_file > 0 {
                return Ok(Step::Data(at, 0));
            }
            self.zero_rest(segment, into)?;
            at += 1;
        }
        Ok(Step::Done)
    }

    fn zero_rest<M: Memory>(&mut self, segment: Segment, into: Option<&Spaces<'_, M>>) -> Result<(), LoadError> {
        // The sum was checked when the segment was taken.
        let from = DeviceAddr(segment.da.0 + segment.in_file);
        let rest = segment.in_memory - segment.in_file;
        if let Some(spaces) = into {
            spaces.zero(from, rest)?;
            self.written += rest;
        }
        Ok(())
    }

    fn take_data<M: Memory>(
        &mut self,
        at: usize,
        done: u64,
        bytes: &[u8],
        into: Option<&Spaces<'_, M>>,
    ) -> Result<Step, LoadError> {
        let segment = self.segments().get(at).copied().ok_or(LoadError::Unwanted)?;
        if let Some(spaces) = into {
            spaces.write(DeviceAddr(segment.da.0 + done), bytes)?;
            self.written += bytes.len() as u64;
        }
        let done = done + bytes.len() as u64;
        if done < segment.in_file {
            return Ok(Step::Data(at, done));
        }
        self.zero_rest(segment, into)?;
        self.begin(at + 1, into)
    }
}

/// Loads a firmware that is in memory.
///
/// # Errors
/// See [`LoadError`]; unless it is about the data itself, nothing was written.
pub fn load<M: Memory>(file: &[u8], into: &Spaces<'_, M>) -> Result<Image, LoadError> {
    drive::<M, 16>(file, Some(into))
}

/// Finds the resource table of a firmware that is in memory, without loading it.
///
/// # Errors
/// See [`LoadError`].
pub fn locate_table(file: &[u8]) -> Result<(Image, Option<&[u8]>), LoadError> {
    let image = drive::<tutti_metal::Region<'_>, 64>(file, None)?;
    let table = image.table.and_then(|section| {
        let (at, len) = (usize::try_from(section.offset).ok()?, usize::try_from(section.len).ok()?);
        crate::bytes::part(file, at, len)
    });
    Ok((image, table))
}

fn drive<M: Memory, const N: usize>(file: &[u8], into: Option<&Spaces<'_, M>>) -> Result<Image, LoadError> {
    let mut loader = Loader::<N>::new(file.len() as u64, usize::MAX);
    while let Some(Want { offset, len }) = loader.want()? {
        let bytes = usize::try_from(offset).ok().and_then(|at| crate::bytes::part(file, at, len));
        loader.give(bytes.ok_or(LoadError::Unwanted)?, into)?;
    }
    loader.image().ok_or(LoadError::Unwanted)
}
