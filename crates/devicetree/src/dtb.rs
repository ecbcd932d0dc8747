//! The flattened form (Devicetree Specification 0.4, chapter 5), version 17.
//!
//! The writer lays blocks out and shares strings as `dtc` does, so that both make the same bytes. The reader is our
//! own because the ready-made ones refuse names of more than 31 characters, which real boards have by the
//! hundred (every label in `__symbols__` is a name).
//!
//! Attacks: every offset and length is checked against the blob; nodes nest no deeper and are no more than
//! [`Limits`] say; names must be of the characters that source can write; what is not read is an error.

use std::collections::HashMap;
use std::fmt;

use crate::source::Limits;
use crate::tree::{Property, Tree, Value};

/// The first four bytes of a blob.
pub const MAGIC: u32 = 0xd00d_feed;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROP: u32 = 3;
const NOP: u32 = 4;
const END: u32 = 9;

/// Why bytes are not a device tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BinaryError {
    /// It does not begin with `d00dfeed`.
    Magic,
    /// It ends at this offset, where more was announced.
    Short(usize),
    /// A version that cannot be read.
    Version(u32),
    /// A header field that points outside.
    Header(&'static str),
    /// A structure token that has no business at this offset.
    Token(usize, u32),
    /// A name at this offset that is no name.
    Name(usize),
    /// Two of one name in this node.
    Duplicate(String),
    /// A limit was reached.
    Limit(&'static str),
}

impl fmt::Display for BinaryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Magic => f.write_str("this is no device tree blob: it does not begin with d00dfeed"),
            Self::Short(at) => write!(f, "the blob ends at byte {at}, where more was announced; is the file cut off?"),
            Self::Version(v) => write!(f, "version {v} of the format cannot be read, only 16 and 17"),
            Self::Header(field) => write!(f, "the header's {field} points outside the blob"),
            Self::Token(at, token) => write!(f, "unexpected token {token:#x} at byte {at}"),
            Self::Name(at) => write!(f, "there is no usable name at byte {at}"),
            Self::Duplicate(path) => write!(f, "{path} is there twice"),
            Self::Limit(what) => write!(f, "the blob has more {what} than this program reads"),
        }
    }
}

impl std::error::Error for BinaryError {}

fn word(bytes: &[u8], at: usize) -> Result<u32, BinaryError> {
    let field = at.checked_add(4).and_then(|end| bytes.get(at..end)).ok_or(BinaryError::Short(bytes.len()))?;
    Ok(u32::from_be_bytes([field[0], field[1], field[2], field[3]]))
}

fn text(bytes: &[u8], at: usize) -> Result<&str, BinaryError> {
    let rest = bytes.get(at..).ok_or(BinaryError::Short(at))?;
    let end = rest.iter().position(|b| *b == 0).ok_or(BinaryError::Short(bytes.len()))?;
    std::str::from_utf8(&rest[..end]).map_err(|_| BinaryError::Name(at))
}

fn named(bytes: &[u8], at: usize) -> Result<&str, BinaryError> {
    let name = text(bytes, at)?;
    let usable = |b: u8| b.is_ascii_alphanumeric() || b",._+*#?@-".contains(&b);
    if name.bytes().all(usable) { Ok(name) } else { Err(BinaryError::Name(at)) }
}

/// Reads a blob.
///
/// # Errors
/// See [`BinaryError`].
pub fn read(blob: &[u8], limits: &Limits) -> Result<Tree, BinaryError> {
    if word(blob, 0)? != MAGIC {
        return Err(BinaryError::Magic);
    }
    let total = word(blob, 4)? as usize;
    let blob = blob.get(..total).ok_or(BinaryError::Short(blob.len()))?;
    let (version, oldest) = (word(blob, 20)?, word(blob, 24)?);
    if !(16..=17).contains(&version) || oldest > 17 {
        return Err(BinaryError::Version(version));
    }
    let structure = word(blob, 8)? as usize;
    let strings = blob.get(word(blob, 12)? as usize..).ok_or(BinaryError::Header("strings block"))?;
    let strings = strings.get(..word(blob, 32)? as usize).ok_or(BinaryError::Header("strings block"))?;
    let block = blob.get(structure..).ok_or(BinaryError::Header("structure block"))?;
    let mut tree = Tree::new();
    tree.boot_cpu = Some(word(blob, 28)?);
    reservations(blob, &mut tree)?;

    let mut at = 0;
    let mut path = Vec::new();
    let mut seen = false;
    loop {
        let here = structure + at;
        let token = word(block, at)?;
        at += 4;
        match token {
            NOP => {}
            BEGIN_NODE => {
                let name = named(block, at)?;
                at = (at + name.len() + 1).next_multiple_of(4);
                let id = match path.last() {
                    None if seen || !name.is_empty() => return Err(BinaryError::Token(here, token)),
                    None => tree.root(),
                    Some(_) if name.is_empty() => return Err(BinaryError::Name(here)),
                    Some(parent) => {
                        if tree.child_with_deleted(*parent, name).is_some() {
                            return Err(BinaryError::Duplicate(format!("{}/{name}", tree.path(*parent))));
                        }
                        tree.add_child(*parent, name)
                    }
                };
                seen = true;
                path.push(id);
                if path.len() > limits.depth {
                    return Err(BinaryError::Limit("nested nodes"));
                }
                if tree.len() > limits.nodes {
                    return Err(BinaryError::Limit("nodes"));
                }
            }
            END_NODE => {
                path.pop().ok_or(BinaryError::Token(here, token))?;
            }
            PROP => {
                let node = *path.last().ok_or(BinaryError::Token(here, token))?;
                let len = word(block, at)? as usize;
                let name = named(strings, word(block, at + 4)? as usize)?;
                if name.is_empty() {
                    return Err(BinaryError::Name(here));
                }
                let end = (at + 8).checked_add(len).ok_or(BinaryError::Short(blob.len()))?;
                let bytes = block.get(at + 8..end).ok_or(BinaryError::Short(blob.len()))?;
                at = end.next_multiple_of(4);
                let properties = &mut tree.node_mut(node).properties;
                if properties.len() >= limits.properties {
                    return Err(BinaryError::Limit("properties in one node"));
                }
                if properties.iter().any(|p| p.name == name) {
                    return Err(BinaryError::Duplicate(format!("property {name} of {}", tree.path(node))));
                }
                properties.push(Property::new(name, Value { bytes: bytes.to_vec(), marks: Vec::new() }));
            }
            END if path.is_empty() && seen => break,
            _ => return Err(BinaryError::Token(here, token)),
        }
    }
    label_from_symbols(&mut tree);
    Ok(tree)
}

fn reservations(blob: &[u8], tree: &mut Tree) -> Result<(), BinaryError> {
    let mut at = word(blob, 16)? as usize;
    loop {
        let mut entry = [0u64; 2];
        for part in &mut entry {
            *part = u64::from(word(blob, at)?) << 32 | u64::from(word(blob, at + 4)?);
            at += 8;
        }
        if entry == [0, 0] {
            return Ok(());
        }
        if tree.reservations.len() >= 1024 {
            return Err(BinaryError::Limit("memory reservations"));
        }
        tree.reservations.push((entry[0], entry[1]));
    }
}

/// The labels that a blob made with `-@` still knows.
fn label_from_symbols(tree: &mut Tree) {
    let Some(symbols) = tree.find_exact("/__symbols__") else { return };
    let labels: Vec<(String, String)> = tree
        .node(symbols)
        .properties()
        .filter_map(|p| Some((p.name.clone(), p.value.as_text()?.to_owned())))
        .filter(|(label, _)| {
            label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !label.as_bytes()[0].is_ascii_digit()
        })
        .collect();
    for (label, path) in labels {
        if let Some(id) = tree.find_exact(&path)
            && tree.add_label(id, &label).is_ok()
        {
            // As the source listed them, not reversed.
            tree.node_mut(id).labels.rotate_left(1);
        }
    }
}

#[derive(Default)]
struct Strings {
    block: Vec<u8>,
    /// Where each text, or tail of one, was first written.
    tails: HashMap<Box<str>, u32>,
}

impl Strings {
    fn offset(&mut self, name: &str) -> u32 {
        if let Some(at) = self.tails.get(name) {
            return *at;
        }
        let start = self.block.len() as u32;
        for (i, _) in name.char_indices() {
            self.tails.entry(name[i..].into()).or_insert(start + i as u32);
        }
        self.tails.entry("".into()).or_insert(start + name.len() as u32);
        self.block.extend_from_slice(name.as_bytes());
        self.block.push(0);
        start
    }
}

/// Writes a tree as a blob.
#[must_use]
pub fn write(tree: &Tree) -> Vec<u8> {
    enum Step {
        Open(crate::tree::NodeId),
        Close,
    }
    let mut strings = Strings::default();
    let mut block: Vec<u8> = Vec::with_capacity(tree.len() * 128);
    let put = |block: &mut Vec<u8>, word: u32| block.extend_from_slice(&word.to_be_bytes());
    let pad = |block: &mut Vec<u8>| block.resize(block.len().next_multiple_of(4), 0);
    let mut todo = vec![Step::Open(tree.root())];
    while let Some(step) = todo.pop() {
        let Step::Open(id) = step else {
            put(&mut block, END_NODE);
            continue;
        };
        let node = tree.node(id);
        put(&mut block, BEGIN_NODE);
        block.extend_from_slice(node.name.as_bytes());
        block.push(0);
        pad(&mut block);
        for property in node.properties() {
            put(&mut block, PROP);
            put(&mut block, property.value.bytes.len() as u32);
            put(&mut block, strings.offset(&property.name));
            block.extend_from_slice(&property.value.bytes);
            pad(&mut block);
        }
        todo.push(Step::Close);
        todo.extend(tree.children(id).rev().map(Step::Open));
    }
    put(&mut block, END);

    let reserve_at = 40usize;
    let structure_at = reserve_at + (tree.reservations.len() + 1) * 16;
    let strings_at = structure_at + block.len();
    let total = strings_at + strings.block.len();
    let header = [
        MAGIC,
        total as u32,
        structure_at as u32,
        strings_at as u32,
        reserve_at as u32,
        17,
        16,
        tree.boot_cpu.unwrap_or_else(|| boot_cpu(tree)),
        strings.block.len() as u32,
        block.len() as u32,
    ];
    let mut blob = Vec::with_capacity(total);
    header.iter().for_each(|w| put(&mut blob, *w));
    for (at, len) in tree.reservations.iter().chain(&[(0, 0)]) {
        blob.extend_from_slice(&at.to_be_bytes());
        blob.extend_from_slice(&len.to_be_bytes());
    }
    blob.extend_from_slice(&block);
    blob.extend_from_slice(&strings.block);
    blob
}

/// The first CPU's number, as `dtc` guesses it.
fn boot_cpu(tree: &Tree) -> u32 {
    tree.find_exact("/cpus")
        .and_then(|cpus| tree.children(cpus).next())
        .and_then(|cpu| tree.node(cpu).cell("reg"))
        .unwrap_or(0)
}
