//! The linter: faults of a description that otherwise show as a hang, a bus error or silent corruption.
//!
//! Each fault names the places that collide. [`Code`] says which fault; what each one means:
//!
//! | code | fault |
//! |---|---|
//! | `cells`, `unit-address`, `dangling-phandle` | `reg`, `ranges` and reference lists that do not have the length their bus or provider asks for; names that do not match `reg`; phandles that no node has |
//! | `domain-property`, `flags`, `duplicate-id` | a domain's properties are malformed, have unknown flags or repeat an id |
//! | `unknown-cluster`, `unknown-cpu`, `cpu-shared` | a domain runs on what is no cluster, on CPUs the cluster lacks, or on another domain's CPUs |
//! | `outside-memory`, `memory-shared` | memory that is not there; memory of two domains without the *shared* flag on both |
//! | `device-shared`, `unreachable` | a device granted twice; a device or memory that the domain's CPUs do not see |
//! | `carveout-overlap`, `carveout-outside`, `carveout-not-granted` | carveouts that overlap, lie outside every memory, or that only one side of a relation has |
//! | `vring` | vrings that are not aligned, too small, or not two |
//! | `mailbox`, `interrupt` | a mailbox or interrupt that belongs to another domain or reaches no controller of this one |
//! | `relation`, `nesting`, `firewall` | relations without counterpart; inner domains with more than the outer; firewall entries that protect nothing |

mod basic;
mod domains;
mod relations;

use crate::diag::{Code, Diag, Diags, Place, Severity};
use crate::system::System;
use crate::tree::{NodeId, Tree};

/// A place in a tree: a node, or a property of it.
#[must_use]
pub fn at(tree: &Tree, node: NodeId, property: Option<&str>, note: impl Into<String>) -> Place {
    let n = tree.node(node);
    let span = property.and_then(|p| n.property(p)).and_then(|p| p.span).or(n.span);
    let path = tree.path(node);
    let path = property.map_or_else(|| path.clone(), |p| format!("{path}:{p}"));
    Place { span, path, note: note.into() }
}

/// A fault at a place in a tree.
#[must_use]
pub(crate) fn fault(tree: &Tree, node: NodeId, property: Option<&str>, code: Code, message: impl Into<String>) -> Diag {
    Diag::bare(code, Severity::Error, message).place(at(tree, node, property, ""))
}

/// Checks a tree: what holds for every device tree, and what holds for its domains.
#[must_use]
pub fn check(tree: &Tree) -> Diags {
    let mut diags = Diags::default();
    let system = System::read(tree, &mut diags);
    basic::check(&system, &mut diags);
    if !system.domains.is_empty() {
        domains::check(&system, &mut diags);
        relations::check(&system, &mut diags);
    }
    diags
}
