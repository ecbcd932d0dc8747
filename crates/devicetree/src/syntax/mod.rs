//! Device-tree source as a lossless tree: every byte of the text is in exactly one token, comments and blanks
//! included, and every construct is a node over a range of tokens. The typed tree ([`crate::tree`]) is made from
//! this one; editors and formatters can work on it directly.
//!
//! [`parse`] never fails: what it cannot read becomes [`Kind::Bad`] tokens, with a message, and reading goes on at
//! the next `;` or `}`.

mod lex;
mod parse;

pub(crate) use lex::unescape;
pub use lex::{Kind, char_value, number};
pub use parse::parse;

use std::ops::Range;

/// A token: its kind and where it starts; it ends where the next one starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// First byte, counted from the start of the text.
    pub start: u32,
}

/// What a node of the syntax tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Construct {
    /// The whole text.
    File,
    /// `/dts-v1/;` or `/plugin/;`.
    Header,
    /// `/memreserve/ address length;`.
    Reservation,
    /// `name { … };`, `/ { … };` or `&label { … };`.
    Node,
    /// `name;` or `name = value, …;`.
    Property,
    /// `/delete-node/ name;` or `/delete-node/ &label;`.
    DeleteNode,
    /// `/delete-property/ name;`.
    DeleteProperty,
    /// `/omit-if-no-ref/ &label;`.
    OmitIfNoRef,
    /// `<…>`, with `/bits/ n` if there.
    Cells,
    /// `[…]`.
    Bytes,
    /// `"…"`, `&label` or `&{/path}` as a value.
    Single,
    /// `/incbin/("file", offset, length)`.
    Incbin,
}

/// A node: tokens, and the nodes inside it, which follow it directly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxNode {
    /// What it is.
    pub construct: Construct,
    /// Its tokens, without blanks at either end.
    pub tokens: Range<u32>,
    /// Index of the first node behind everything inside this one.
    pub end: u32,
}

/// A lossless tree: nodes in the order in which they begin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyntaxTree {
    /// All tokens.
    pub tokens: Vec<Token>,
    /// All nodes; the first is the file.
    pub nodes: Vec<SyntaxNode>,
    /// Where the text begins and ends.
    pub text: Range<u32>,
}

impl SyntaxTree {
    /// The bytes of a token.
    #[must_use]
    pub fn range(&self, token: usize) -> Range<usize> {
        let start = self.tokens.get(token).map_or(self.text.end, |t| t.start);
        let end = self.tokens.get(token + 1).map_or(self.text.end, |t| t.start);
        start as usize..end as usize
    }

    /// The nodes directly inside `node`.
    pub fn children(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        let end = self.nodes.get(node).map_or(0, |n| n.end as usize);
        let mut next = node + 1;
        std::iter::from_fn(move || {
            (next < end).then(|| {
                let this = next;
                next = self.nodes.get(this).map_or(end, |n| (n.end as usize).max(this + 1));
                this
            })
        })
    }

    /// Indices of the tokens of a node that are not blanks or comments.
    pub fn solid(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        let range = self.nodes.get(node).map_or(0..0, |n| n.tokens.clone());
        (range.start as usize..range.end as usize).filter(|i| self.tokens.get(*i).is_some_and(|t| !t.kind.is_trivia()))
    }

    /// The text again, from the tokens; equal to what was read.
    #[must_use]
    pub fn to_text(&self, text: &str) -> String {
        (0..self.tokens.len()).filter_map(|i| text.get(self.range(i))).collect()
    }
}
