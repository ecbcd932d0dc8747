//! The YAML form of System Device Trees (specification, chapters 6 and 7), in and out.
//!
//! In: node by mapping, property by scalar or list; `start`/`size` pairs with sizes such as `64K`; names instead of
//! phandles; the domains' own forms (`cluster`/`cpumask`/`mode`, `dev`/`flags`, relations); anchors, aliases and the
//! merge keys `<<`, `<<+`, `<<*`. A mapping whose name or label is in the tree already changes that node, so that a
//! YAML file of domains can be laid over a tree in source form.
//!
//! Ours where the chapters are silent: in a list tagged `!cells` a text that begins with `&` is a reference; lists tagged
//! `!u8`, `!u16`, `!u64` are cells of that width; `$label` gives a node's labels. Conditional keys
//! (`compatible!linux`) are applied by no tool but lopper: they are reported and left out.
//!
//! Attacks: aliases are counted as often as they are used, so that a "billion laughs" ends at [`Limits::nodes`];
//! nesting at [`Limits::depth`].

mod read;
mod value;
mod write;

use crate::diag::{Code, Diag, Diags};
use crate::source::{Limits, Sources, Span};
use crate::tree::Tree;

pub use write::to_yaml;

/// Lays a YAML text over a tree.
pub(crate) fn read_into(tree: &mut Tree, sources: &Sources, span: Span, limits: &Limits, diags: &mut Diags) {
    match value::parse(sources.slice(span), span.start, limits) {
        Ok(Some(top)) => read::read(tree, &top, limits, diags),
        Ok(None) => {}
        Err((at, message)) => diags.push(Diag::error(Code::Yaml, at, message)),
    }
}
