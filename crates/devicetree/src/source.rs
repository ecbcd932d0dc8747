//! Where text comes from and how a position finds its way back to it.
//!
//! Every parser works on one text: what the preprocessor made of all files. A [`Span`] is a range of that
//! text; [`Sources`] knows for each stretch of it which file it was copied from, or which macro call it
//! replaces. YAML files are copied whole. So one kind of position serves every input and every message.
//!
//! Attacks met here: a file may not be longer than [`Limits::file`], all text together not longer than
//! [`Limits::text`]; [`Disk`] reads no more than that from a device or pipe that never ends.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read;
use std::path::PathBuf;

/// What reading foreign text may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file.
    pub file: usize,
    /// Bytes of all text after preprocessing.
    pub text: usize,
    /// Nested `#include` and `/include/`.
    pub includes: usize,
    /// Nested nodes, parentheses or YAML collections.
    pub depth: usize,
    /// Nodes in a tree.
    pub nodes: usize,
    /// Properties in one node.
    pub properties: usize,
    /// Tokens that all macro calls together may produce or visit.
    pub macro_steps: usize,
    /// Messages before reading stops.
    pub messages: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file: 16 << 20,
            text: 64 << 20,
            includes: 64,
            depth: 64,
            nodes: 1 << 18,
            properties: 1 << 13,
            macro_steps: 4 << 20,
            messages: 50,
        }
    }
}

/// A range of the text that all inputs together make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Byte after the last.
    pub end: u32,
}

impl Span {
    /// The range from `start` to `end`.
    #[must_use]
    pub fn new(start: usize, end: usize) -> Self {
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { start: clamp(start), end: clamp(end.max(start)) }
    }

    /// From the start of this to the end of `other`.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { start: self.start, end: other.end.max(self.start) }
    }
}

/// Which file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub(crate) u32);

/// One input file.
#[derive(Debug, Clone)]
pub struct File {
    /// As the user or an include line named it, joined with the directory it was found in.
    pub name: String,
    /// What it holds.
    pub text: String,
    lines: Vec<u32>,
    /// `#line` and `# 1 "file"`: from this byte on, lines count from there, in that file.
    pub(crate) renumbered: Vec<Renumber>,
}

/// One `#line`.
#[derive(Debug, Clone)]
pub(crate) struct Renumber {
    pub(crate) from: u32,
    pub(crate) line: u32,
    pub(crate) name: Option<String>,
}

/// A place as people write it; both numbers count from one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct Position {
    /// File name.
    pub file: String,
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

#[derive(Debug, Clone, Copy)]
enum Origin {
    /// Copied byte for byte from here on.
    Copy { file: FileId, offset: u32 },
    /// All of it replaces this range of a file.
    Replaces { file: FileId, start: u32, end: u32 },
}

/// All input text and where each stretch of it came from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<File>,
    text: String,
    segments: Vec<(u32, Origin)>,
}

impl Sources {
    /// No text yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file without making it part of the text.
    pub(crate) fn add_file(&mut self, name: String, text: String) -> FileId {
        let mut lines = vec![0];
        lines.extend(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i as u32 + 1));
        self.files.push(File { name, text, lines, renumbered: Vec::new() });
        FileId(self.files.len() as u32 - 1)
    }

    pub(crate) fn renumber(&mut self, file: FileId, renumber: Renumber) {
        if let Some(f) = self.files.get_mut(file.0 as usize) {
            f.renumbered.push(renumber);
        }
    }

    /// The files read so far.
    #[must_use]
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// One file.
    #[must_use]
    pub fn file(&self, id: FileId) -> Option<&File> {
        self.files.get(id.0 as usize)
    }

    /// The text that spans point into.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a span; empty when it is not one of these sources.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// Appends `range` of a file to the text.
    pub(crate) fn copy(&mut self, file: FileId, range: std::ops::Range<usize>) {
        let Some(f) = self.files.get(file.0 as usize) else { return };
        let Some(piece) = f.text.get(range.clone()) else { return };
        if piece.is_empty() {
            return;
        }
        let at = self.text.len() as u32;
        let continues = match self.segments.last() {
            Some((start, Origin::Copy { file: last, offset })) => {
                *last == file && (at - start) + offset == range.start as u32
            }
            _ => false,
        };
        if !continues {
            self.segments.push((at, Origin::Copy { file, offset: range.start as u32 }));
        }
        self.text.push_str(piece);
    }

    /// Appends `text`, which stands for `range` of a file.
    pub(crate) fn replace(&mut self, file: FileId, range: std::ops::Range<usize>, text: &str) {
        let at = self.text.len() as u32;
        self.segments.push((at, Origin::Replaces { file, start: range.start as u32, end: range.end as u32 }));
        self.text.push_str(text);
    }

    /// Reads a whole file into the text, for inputs that no preprocessor touches.
    pub(crate) fn add_whole(&mut self, name: String, text: String) -> (FileId, Span) {
        let len = text.len();
        let file = self.add_file(name, text);
        let start = self.text.len();
        self.copy(file, 0..len);
        (file, Span::new(start, start + len))
    }

    fn origin(&self, at: u32) -> Option<(u32, Origin)> {
        let next = self.segments.partition_point(|(start, _)| *start <= at);
        self.segments.get(next.checked_sub(1)?).copied()
    }

    /// The file range that a span came from, in whole characters, and whether a macro call stands between the two.
    #[must_use]
    pub fn locate(&self, span: Span) -> Option<(FileId, std::ops::Range<usize>, bool)> {
        let (start, origin) = self.origin(span.start)?;
        let (file, from, expanded) = match origin {
            Origin::Copy { file, offset } => (file, (offset + (span.start - start)) as usize, false),
            Origin::Replaces { file, start, .. } => (file, start as usize, true),
        };
        let last = span.end.saturating_sub(1).max(span.start);
        let to = match self.origin(last) {
            Some((start, Origin::Copy { file: f, offset })) if f == file => (offset + (last - start) + 1) as usize,
            Some((_, Origin::Replaces { file: f, end, .. })) if f == file => end as usize,
            _ => from + 1,
        };
        let text = &self.file(file)?.text;
        let from = text.floor_char_boundary(from);
        Some((file, from..text.ceil_char_boundary(to.max(from)), expanded))
    }

    /// Where a span starts, in the user's words.
    #[must_use]
    pub fn position(&self, span: Span) -> Option<Position> {
        let (file, range, _) = self.locate(span)?;
        self.position_in(file, range.start)
    }

    /// The line of a byte, counted from one.
    pub(crate) fn row_in(&self, file: FileId, offset: usize) -> u32 {
        self.file(file).map_or(0, |f| f.lines.partition_point(|start| *start as usize <= offset) as u32)
    }

    pub(crate) fn position_in(&self, file: FileId, offset: usize) -> Option<Position> {
        let f = self.file(file)?;
        let row = f.lines.partition_point(|start| *start as usize <= offset).saturating_sub(1);
        let start = *f.lines.get(row)? as usize;
        let column = f.text.get(start..offset).map_or(0, |s| s.chars().count()) as u32 + 1;
        let mut position = Position { file: f.name.clone(), line: row as u32 + 1, column };
        if let Some(r) = f.renumbered.iter().rev().find(|r| r.from as usize <= offset) {
            let from = f.lines.partition_point(|start| *start <= r.from).saturating_sub(1);
            position.line = r.line.saturating_add((row - from.min(row)) as u32);
            if let Some(name) = &r.name {
                position.file.clone_from(name);
            }
        }
        Some(position)
    }

    /// The comments that stand directly before a span, in order; comments after code on the same line as the
    /// previous item belong to that item and are left out.
    #[must_use]
    pub fn comments_before(&self, span: Span) -> Vec<&str> {
        let mut found = Vec::new();
        let mut rest = self.text.get(..span.start as usize).unwrap_or("");
        loop {
            rest = rest.trim_end();
            if rest.ends_with("*/") {
                let Some(start) = rest.rfind("/*") else { break };
                found.push(&rest[start..]);
                rest = &rest[..start];
            } else {
                let line = rest.rfind('\n').map_or(0, |i| i + 1);
                let trimmed = rest[line..].trim_start();
                if !trimmed.starts_with("//") {
                    break;
                }
                found.push(trimmed);
                rest = &rest[..line];
            }
        }
        if let Some(last) = found.last() {
            let at = last.as_ptr() as usize - self.text.as_ptr() as usize;
            let before = self.text[..at].rsplit('\n').next().unwrap_or("");
            if !before.trim().is_empty() {
                found.pop();
            }
        }
        found.reverse();
        found
    }
}

/// Why a file could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileError {
    /// No such file.
    Missing,
    /// It is longer than [`Limits::file`].
    TooLong,
    /// The operating system's words.
    Io(String),
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("no such file"),
            Self::TooLong => f.write_str("the file is longer than this program reads"),
            Self::Io(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for FileError {}

/// Where included files are found. Paths use `/`.
pub trait Files {
    /// The whole file, if it is no longer than `limit` bytes.
    ///
    /// # Errors
    /// See [`FileError`].
    fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, FileError>;
}

/// The file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, FileError> {
        let path = PathBuf::from(path);
        let file = std::fs::File::open(&path).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => FileError::Missing,
            _ => FileError::Io(e.to_string()),
        })?;
        if file.metadata().is_ok_and(|m| m.is_dir()) {
            return Err(FileError::Missing);
        }
        let mut bytes = Vec::new();
        file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(|e| FileError::Io(e.to_string()))?;
        if bytes.len() > limit { Err(FileError::TooLong) } else { Ok(bytes) }
    }
}

/// Files held in memory: for tests, for build scripts that have none, and for hosts without a file system.
#[derive(Debug, Clone, Default)]
pub struct Memory(pub BTreeMap<String, Vec<u8>>);

impl Memory {
    /// One file.
    #[must_use]
    pub fn with(mut self, name: &str, text: impl Into<Vec<u8>>) -> Self {
        self.0.insert(name.to_owned(), text.into());
        self
    }
}

impl Files for Memory {
    fn read(&self, path: &str, limit: usize) -> Result<Vec<u8>, FileError> {
        match self.0.get(path) {
            None => Err(FileError::Missing),
            Some(bytes) if bytes.len() > limit => Err(FileError::TooLong),
            Some(bytes) => Ok(bytes.clone()),
        }
    }
}
