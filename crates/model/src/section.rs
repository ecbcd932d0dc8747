//! Sections: the frame around everything that travels or is signed.
//!
//! ```text
//! offset  size  field
//!      0     2  tag      what it is (little-endian, like all numbers here)
//!      2     2  version  of the payload; newer versions only append fields
//!      4     4  length   of the payload in bytes
//!      8     …  payload  postcard
//! ```
//!
//! A message is one or more sections, one behind the other, with nothing between and nothing after. A reader
//! looks for the tags it knows and leaves the others as they are; whoever keeps or relays a message keeps the
//! bytes. Within a payload a reader takes the fields it knows and ignores what follows; a field that an older
//! writer did not send gets the default that the section's documentation names.

use core::fmt;

use serde::Deserialize;
#[cfg(feature = "alloc")]
use {alloc::vec::Vec, serde::Serialize};

/// Byte ranges of the header.
mod field {
    use core::ops::Range;
    pub(super) const TAG: Range<usize> = 0..2;
    pub(super) const VERSION: Range<usize> = 2..4;
    pub(super) const LENGTH: Range<usize> = 4..8;
    pub(super) const HEADER: usize = 8;
}

/// What a section is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(pub u16);

/// Why bytes are not the sections that they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SectionError {
    /// The bytes end within the section that begins at this offset.
    Truncated {
        /// Where the section begins.
        at: usize,
    },
    /// A section that must be there is not.
    Missing(Tag),
    /// A section that may be there once is there twice.
    Repeated(Tag),
    /// The payload of this section does not hold what its version says.
    Malformed(Tag),
    /// A section's payload is larger than its length field can say.
    TooLong(Tag),
}

impl fmt::Display for SectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { at } => write!(f, "the section at byte {at} is cut off"),
            Self::Missing(tag) => write!(f, "section {} is missing", tag.0),
            Self::Repeated(tag) => write!(f, "section {} is there twice", tag.0),
            Self::Malformed(tag) => write!(f, "section {} does not hold what it should", tag.0),
            Self::TooLong(tag) => write!(f, "section {} would exceed 4 GiB", tag.0),
        }
    }
}

impl core::error::Error for SectionError {}

/// One section, borrowed from a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section<'a> {
    /// What it is.
    pub tag: Tag,
    /// The version of its payload.
    pub version: u16,
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Section<'a> {
    /// Decodes the fields of `T` from the front of the payload; what a newer version appended is ignored.
    pub fn decode<T: Deserialize<'a>>(&self) -> Result<T, SectionError> {
        self.decode_front().map(|(value, _)| value)
    }

    /// Like [`decode`](Self::decode), and gives what follows: the fields of newer versions.
    pub fn decode_front<T: Deserialize<'a>>(&self) -> Result<(T, &'a [u8]), SectionError> {
        postcard::take_from_bytes(self.payload).map_err(|_| SectionError::Malformed(self.tag))
    }
}

/// A checked view of a message: a row of whole sections.
///
/// [`new_checked`](Self::new_checked) looks at every header; after that no accessor fails or panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sections<'a>(&'a [u8]);

impl<'a> Sections<'a> {
    /// Checks that `bytes` are whole sections.
    pub fn new_checked(bytes: &'a [u8]) -> Result<Self, SectionError> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let at = bytes.len() - rest.len();
            (_, rest) = split_first(rest).ok_or(SectionError::Truncated { at })?;
        }
        Ok(Self(bytes))
    }

    /// The sections in order.
    pub fn iter(self) -> impl Iterator<Item = Section<'a>> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (section, behind) = split_first(rest)?;
            rest = behind;
            Some(section)
        })
    }

    /// The one section with this tag, or an error if there is none or more than one.
    pub fn one(self, tag: Tag) -> Result<Section<'a>, SectionError> {
        self.at_most_one(tag)?.ok_or(SectionError::Missing(tag))
    }

    /// The section with this tag if there is one; an error if there is more than one.
    pub fn at_most_one(self, tag: Tag) -> Result<Option<Section<'a>>, SectionError> {
        let mut found = self.iter().filter(|section| section.tag == tag);
        let first = found.next();
        if found.next().is_some() { Err(SectionError::Repeated(tag)) } else { Ok(first) }
    }

    /// The bytes of all sections.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

fn split_first(bytes: &[u8]) -> Option<(Section<'_>, &[u8])> {
    let header = bytes.get(..field::HEADER)?;
    let half = |range: core::ops::Range<usize>| u16::from_le_bytes([header[range.start], header[range.start + 1]]);
    let length = u32::from_le_bytes(header[field::LENGTH].try_into().ok()?);
    let (payload, rest) = bytes[field::HEADER..].split_at_checked(usize::try_from(length).ok()?)?;
    Some((Section { tag: Tag(half(field::TAG)), version: half(field::VERSION), payload }, rest))
}

/// Builds a message, section by section.
#[cfg(feature = "alloc")]
#[derive(Clone, Debug, Default)]
pub struct SectionWriter(Vec<u8>);

#[cfg(feature = "alloc")]
impl SectionWriter {
    /// An empty message.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a section with the postcard form of `value`.
    ///
    /// # Errors
    /// [`SectionError::Malformed`] if `value` has no postcard form (a sequence of unknown length, say);
    /// [`SectionError::TooLong`] beyond 4 GiB. The message is then as it was before.
    pub fn push<T: Serialize>(&mut self, tag: Tag, version: u16, value: &T) -> Result<&mut Self, SectionError> {
        let payload = postcard::to_allocvec(value).map_err(|_| SectionError::Malformed(tag))?;
        self.push_raw(tag, version, &payload)
    }

    /// Appends a section with these payload bytes.
    pub fn push_raw(&mut self, tag: Tag, version: u16, payload: &[u8]) -> Result<&mut Self, SectionError> {
        let length = u32::try_from(payload.len()).map_err(|_| SectionError::TooLong(tag))?;
        self.0.extend_from_slice(&tag.0.to_le_bytes());
        self.0.extend_from_slice(&version.to_le_bytes());
        self.0.extend_from_slice(&length.to_le_bytes());
        self.0.extend_from_slice(payload);
        Ok(self)
    }

    /// Appends a section unchanged.
    pub fn push_section(&mut self, section: Section<'_>) -> Result<&mut Self, SectionError> {
        self.push_raw(section.tag, section.version, section.payload)
    }

    /// The message.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_bytes() {
        let mut writer = SectionWriter::new();
        writer.push(Tag(0x0102), 3, &(1u8, true)).unwrap().push_raw(Tag(9), 1, b"").unwrap();
        assert_eq!(
            writer.finish(),
            [
                [0x02, 0x01, 0x03, 0x00, 0x02, 0x00, 0x00, 0x00].as_slice(),
                &[0x01, 0x01],
                &[0x09, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00],
            ]
            .concat()
        );
    }

    #[test]
    fn a_newer_version_appends_and_an_older_reader_ignores_it() {
        let mut writer = SectionWriter::new();
        writer.push(Tag(1), 2, &(7u32, "new field")).unwrap();
        let bytes = writer.finish();
        let section = Sections::new_checked(&bytes).unwrap().one(Tag(1)).unwrap();
        assert_eq!(section.decode::<u32>(), Ok(7));
        let (_, newer) = section.decode_front::<u32>().unwrap();
        assert_eq!(postcard::from_bytes::<&str>(newer).unwrap(), "new field");
    }

    #[test]
    fn what_is_cut_off_missing_or_twice_is_named() {
        let mut writer = SectionWriter::new();
        writer.push_raw(Tag(1), 1, b"ab").unwrap().push_raw(Tag(1), 1, b"cd").unwrap();
        let bytes = writer.finish();
        assert_eq!(Sections::new_checked(&bytes[..19]), Err(SectionError::Truncated { at: 10 }));
        let sections = Sections::new_checked(&bytes).unwrap();
        assert_eq!(sections.one(Tag(1)), Err(SectionError::Repeated(Tag(1))));
        assert_eq!(sections.one(Tag(2)), Err(SectionError::Missing(Tag(2))));
        assert_eq!(sections.at_most_one(Tag(2)), Ok(None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_whole_sections_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(sections) = Sections::new_checked(&bytes) {
                let mut writer = SectionWriter::new();
                for section in sections.iter() {
                    writer.push_section(section).unwrap();
                }
                prop_assert_eq!(writer.finish(), bytes);
            }
        }
    }
}
