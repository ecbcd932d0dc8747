//! Properties: their bytes, and marks that remember what those were written as.

use crate::source::Span;

/// What a value refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// `&label`.
    Label(String),
    /// `&{/path}`.
    Path(String),
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Label(label) => write!(f, "&{label}"),
            Self::Path(path) => write!(f, "&{{{path}}}"),
        }
    }
}

/// What the bytes from an offset on were written as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MarkKind {
    /// `<…>` with cells of so many bits.
    Cells(u8),
    /// `"…"`.
    Text,
    /// `[…]`.
    Bytes,
    /// The four bytes here are the phandle of a node.
    Phandle(Reference),
    /// The text here is the path of a node.
    Path(Reference),
}

/// A mark in a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// Byte offset.
    pub offset: usize,
    /// What starts there.
    pub kind: MarkKind,
    /// Where it is written.
    pub span: Option<Span>,
}

/// A property's value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Value {
    /// The bytes as a blob holds them.
    pub bytes: Vec<u8>,
    /// What they were written as, in order of offset; empty when they came from a blob.
    pub marks: Vec<Mark>,
}

impl Value {
    /// Cells of 32 bits.
    #[must_use]
    pub fn cells(cells: &[u32]) -> Self {
        let bytes = cells.iter().flat_map(|c| c.to_be_bytes()).collect();
        Self { bytes, marks: vec![Mark { offset: 0, kind: MarkKind::Cells(32), span: None }] }
    }

    /// One or more texts.
    #[must_use]
    pub fn texts<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Self {
        let mut value = Self::default();
        for text in texts {
            value.marks.push(Mark { offset: value.bytes.len(), kind: MarkKind::Text, span: None });
            value.bytes.extend_from_slice(text.as_ref().as_bytes());
            value.bytes.push(0);
        }
        value
    }

    /// The value as cells of 32 bits, if its length allows.
    #[must_use]
    pub fn as_cells(&self) -> Option<Vec<u32>> {
        let chunks = self.bytes.chunks_exact(4);
        chunks.remainder().is_empty().then(|| chunks.map(|c| u32::from_be_bytes([c[0], c[1], c[2], c[3]])).collect())
    }

    /// The value as one cell.
    #[must_use]
    pub fn as_cell(&self) -> Option<u32> {
        Some(u32::from_be_bytes(self.bytes.as_slice().try_into().ok()?))
    }

    /// The texts, if it is a list of texts that end in a zero byte.
    #[must_use]
    pub fn as_texts(&self) -> Option<Vec<&str>> {
        let body = self.bytes.strip_suffix(&[0])?;
        body.split(|b| *b == 0).map(|s| std::str::from_utf8(s).ok()).collect()
    }

    /// The first text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        self.as_texts().and_then(|t| t.first().copied())
    }

    /// The phandle references by offset.
    pub fn references(&self) -> impl Iterator<Item = (usize, &Reference, Option<Span>)> {
        self.marks.iter().filter_map(|m| match &m.kind {
            MarkKind::Phandle(r) => Some((m.offset, r, m.span)),
            _ => None,
        })
    }
}

/// A property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Name.
    pub name: String,
    /// Labels before it.
    pub labels: Vec<String>,
    /// Value; empty for a flag.
    pub value: Value,
    /// Where it was last written.
    pub span: Option<Span>,
    pub(crate) deleted: bool,
}

impl Property {
    /// A property of no text.
    #[must_use]
    pub fn new(name: impl Into<String>, value: Value) -> Self {
        Self { name: name.into(), labels: Vec::new(), value, span: None, deleted: false }
    }
}
