//! Carveouts, vrings, mailboxes: what two domains agree on.

use super::{at, fault};
use crate::cells::Region;
use crate::diag::{Code, Diags};
use crate::system::{RelationKind, System};
use crate::tree::NodeId;

/// Linux aligns vrings to pages.
const VRING_ALIGN: u64 = 4096;

/// Bytes of a split vring (VIRTIO 1.2, 2.7): descriptors, available ring, padding, used ring.
#[must_use]
pub(crate) fn vring_size(num: u64, align: u64) -> u64 {
    let driver = 16 * num + 6 + 2 * num;
    driver.next_multiple_of(align) + 6 + 8 * num
}

pub(super) fn check(system: &System<'_>, diags: &mut Diags) {
    carveouts(system, diags);
    for index in 0..system.domains.len() {
        for relation in 0..system.domains[index].relations.len() {
            one(system, index, relation, diags);
        }
    }
}

fn carveouts(system: &System<'_>, diags: &mut Diags) {
    let tree = system.tree;
    let placed: Vec<(NodeId, Region)> =
        system.carveouts.iter().filter_map(|c| Some((c.node, c.region.filter(|r| r.size > 0)?))).collect();
    for (i, (node, region)) in placed.iter().enumerate() {
        for (other, theirs) in &placed[..i] {
            // A domain's own list may repeat an entry of the top one.
            if region.overlaps(*theirs) && !(region == theirs && tree.node(*node).name == tree.node(*other).name) {
                diags.push(
                    fault(
                        tree,
                        *node,
                        Some("reg"),
                        Code::CarveoutOverlap,
                        format!("carveouts {} and {} overlap", tree.name_of(*other), tree.name_of(*node)),
                    )
                    .note(region.to_string())
                    .place(at(tree, *other, Some("reg"), theirs.to_string())),
                );
            }
        }
        let inside = system.memories.iter().any(|m| m.region.contains(*region));
        if !inside {
            let mut diag = fault(
                tree,
                *node,
                Some("reg"),
                Code::CarveoutOutside,
                format!("carveout {} at {region} lies outside every memory", tree.name_of(*node)),
            );
            if let Some(near) = system
                .memories
                .iter()
                .min_by_key(|m| m.region.start.abs_diff(region.start).min(m.region.last().abs_diff(region.start)))
            {
                diag = diag.place(at(tree, near.node, Some("reg"), format!("the nearest memory is {}", near.region)));
            }
            diags.push(diag);
        }
    }
    // A carveout of some domains inside the memory of one that does not name it.
    for (node, region) in &placed {
        let named: Vec<usize> =
            (0..system.domains.len()).filter(|i| system.domains[*i].carveouts().any(|c| c == *node)).collect();
        if named.is_empty() {
            continue;
        }
        for (i, domain) in system.domains.iter().enumerate() {
            if named.iter().any(|n| system.related(*n, i)) {
                continue;
            }
            if let Some(grant) = domain.grants.iter().find(|g| g.region.overlaps(*region) && !g.flags.shared()) {
                let owner = &system.domains[named[0]];
                let property = if grant.sram { "sram" } else { "memory" };
                diags.push(
                    fault(
                        tree,
                        domain.node,
                        Some(property),
                        Code::MemoryShared,
                        format!(
                            "'{}' would use carveout {} of '{}' as its own memory",
                            domain.name,
                            tree.name_of(*node),
                            owner.name
                        ),
                    )
                    .note(format!("'{}' has {}", domain.name, grant.region))
                    .place(at(tree, *node, Some("reg"), format!("{region}, named by '{}'", owner.name)))
                    .help(format!(
                        "name {} in the reserved-memory of '{}' too, or take it out of its memory",
                        tree.name_of(*node),
                        domain.name
                    )),
                );
            }
        }
    }
}

fn one(system: &System<'_>, index: usize, relation: usize, diags: &mut Diags) {
    let tree = system.tree;
    let domain = &system.domains[index];
    let relation = &domain.relations[relation];
    let peer = &system.domains[relation.peer];
    if system.related(index, relation.peer) {
        diags.push(fault(
            tree,
            relation.node,
            None,
            Code::Relation,
            format!("'{}' has a relation with itself or a domain within it", domain.name),
        ));
        return;
    }
    // Messages need both sides to agree; a remoteproc relation stands at the host alone.
    if relation.kind != RelationKind::Remoteproc {
        match peer.relations.iter().find(|r| r.kind == relation.kind && r.peer == index) {
            None => {
                diags.push(
                    fault(
                        tree,
                        relation.node,
                        None,
                        Code::Relation,
                        format!("'{}' has a relation with '{}', which has none back", domain.name, peer.name),
                    )
                    .place(at(tree, peer.node, None, "nothing here names it"))
                    .warning(),
                );
            }
            Some(back) => {
                if back.host == relation.host {
                    diags.push(
                        fault(
                            tree,
                            relation.node,
                            None,
                            Code::Relation,
                            format!("'{}' and '{}' both take the same part", domain.name, peer.name),
                        )
                        .place(at(tree, back.node, None, "and here"))
                        .help("one says 'remote', the other 'host'"),
                    );
                }
                if relation.host && relation.kind == RelationKind::Rpmsg && back.vring_num != relation.vring_num {
                    let says = |domain: &str, num: u32| format!("'{domain}' has {num}");
                    diags.push(
                        fault(
                            tree,
                            relation.node,
                            Some("vring-num"),
                            Code::Vring,
                            format!("'{}' and '{}' have vrings of different length", domain.name, peer.name),
                        )
                        .note(says(&domain.name, relation.vring_num))
                        .place(at(tree, back.node, Some("vring-num"), says(&peer.name, back.vring_num)))
                        .help("give both the same vring-num; without one it is 256"),
                    );
                }
                let missing: Vec<_> = relation.carveouts.iter().filter(|c| !back.carveouts.contains(c)).collect();
                if let Some(first) = missing.first() {
                    diags.push(
                        fault(
                            tree,
                            relation.node,
                            Some("carveouts"),
                            Code::CarveoutNotGranted,
                            format!(
                                "'{}' shares carveout {} with '{}', which does not name it",
                                domain.name,
                                tree.name_of(**first),
                                peer.name
                            ),
                        )
                        .note(format!("'{}' names it", domain.name))
                        .place(at(
                            tree,
                            back.node,
                            Some("carveouts"),
                            format!("'{}' does not", peer.name),
                        )),
                    );
                } else if relation.host
                    && relation.carveouts != back.carveouts
                    && back.carveouts.len() == relation.carveouts.len()
                {
                    diags.push(
                        fault(
                            tree,
                            relation.node,
                            Some("carveouts"),
                            Code::Relation,
                            format!("'{}' and '{}' list their carveouts in different order", domain.name, peer.name),
                        )
                        .place(at(tree, back.node, Some("carveouts"), "the other order"))
                        .warning()
                        .help("the first vring carries messages from the remote to the host"),
                    );
                }
            }
        }
    }
    for carveout in relation.carveouts.iter().chain(&relation.elfload) {
        let listed = |d: &crate::system::Domain| {
            d.reserved.is_empty()
                || d.reserved.contains(carveout)
                || d.access.iter().any(|a| tree.is_within(*carveout, a.device))
        };
        let is_reserved = system.carveout(*carveout).is_some();
        if is_reserved && !listed(domain) {
            diags.push(
                fault(
                    tree,
                    domain.node,
                    Some("reserved-memory"),
                    Code::CarveoutNotGranted,
                    format!(
                        "'{}' uses carveout {} without naming it in its reserved-memory",
                        domain.name,
                        tree.name_of(*carveout)
                    ),
                )
                .note("not named here")
                .place(at(tree, relation.node, Some("carveouts"), "used here")),
            );
        }
    }
    if relation.kind == RelationKind::Rpmsg && relation.host {
        vrings(system, index, relation, diags);
    }
    mailboxes(system, index, relation, diags);
}

fn vrings(system: &System<'_>, index: usize, relation: &crate::system::Relation, diags: &mut Diags) {
    let tree = system.tree;
    let vrings: Vec<NodeId> =
        relation.carveouts.iter().copied().filter(|c| tree.node(*c).name.contains("vring")).collect();
    let num = relation.vring_num;
    if !relation.carveouts.is_empty() && vrings.len() != 2 {
        diags.push(
            fault(
                tree,
                relation.node,
                Some("carveouts"),
                Code::Vring,
                format!("'{}' has {} vrings in its carveouts, not two", system.domains[index].name, vrings.len()),
            )
            .help("one for each direction; a vring is known by 'vring' in its node's name")
            .warning(),
        );
    }
    if !num.is_power_of_two() || num > 32768 {
        diags.push(fault(
            tree,
            relation.node,
            Some("vring-num"),
            Code::Vring,
            format!("a vring of {num} descriptors: a power of two up to 32768 is needed"),
        ));
        return;
    }
    for node in vrings {
        let Some(region) = system.carveout(node).and_then(|c| c.region) else { continue };
        let name = tree.name_of(node);
        if !region.start.is_multiple_of(VRING_ALIGN) {
            diags.push(
                fault(
                    tree,
                    node,
                    Some("reg"),
                    Code::Vring,
                    format!("vring {name} begins at {:#x}, which is not aligned to {VRING_ALIGN} bytes", region.start),
                )
                .place(at(tree, relation.node, Some("carveouts"), "used as a vring here")),
            );
        }
        let needed = vring_size(u64::from(num), VRING_ALIGN);
        if region.size < needed {
            let fits = (0..16).map(|n| 1u64 << n).filter(|n| vring_size(*n, VRING_ALIGN) <= region.size).max();
            let help = match fits {
                Some(fits) => format!(
                    "make it {:#x} bytes, or set vring-num = <{fits}> in the relation",
                    needed.next_multiple_of(VRING_ALIGN)
                ),
                None => format!("make it {:#x} bytes", needed.next_multiple_of(VRING_ALIGN)),
            };
            diags.push(
                fault(
                    tree,
                    node,
                    Some("reg"),
                    Code::Vring,
                    format!("vring {name} has {:#x} bytes; {num} descriptors need {needed:#x}", region.size),
                )
                .place(at(tree, relation.node, Some("carveouts"), "used as a vring here"))
                .help(help),
            );
        }
    }
    let buffers = relation.carveouts.iter().copied().find(|c| tree.node(*c).name.contains("buffer"));
    if let Some((node, region)) = buffers.and_then(|n| Some((n, system.carveout(n)?.region?))) {
        let needed = 2 * u64::from(num) * 512;
        if region.size < needed {
            diags.push(
                fault(
                    tree,
                    node,
                    Some("reg"),
                    Code::Vring,
                    format!(
                        "the buffers {} have {:#x} bytes; two vrings of {num} with 512 bytes each fill {needed:#x}",
                        tree.name_of(node),
                        region.size
                    ),
                )
                .place(at(tree, relation.node, Some("carveouts"), "used here"))
                .warning(),
            );
        }
    }
}

fn mailboxes(system: &System<'_>, index: usize, relation: &crate::system::Relation, diags: &mut Diags) {
    let tree = system.tree;
    let domain = &system.domains[index];
    for (device, property) in
        relation.mbox.iter().map(|(d, _)| (*d, "mbox")).chain(relation.timer.iter().map(|t| (*t, "timer")))
    {
        let owners: Vec<usize> = system.owners(device).map(|(i, _)| i).collect();
        let mine = owners.iter().any(|o| system.related(*o, index));
        let what = if property == "mbox" { "mailbox" } else { "timer" };
        if let Some(other) = owners.first().filter(|_| !mine) {
            let other = &system.domains[*other];
            diags.push(
                fault(
                    tree,
                    relation.node,
                    Some(property),
                    Code::Mailbox,
                    format!(
                        "'{}' rings {what} {}, which belongs to '{}'",
                        domain.name,
                        tree.name_of(device),
                        other.name
                    ),
                )
                .note(format!("used by '{}'", domain.name))
                .place(at(tree, other.node, Some("access"), format!("given to '{}'", other.name)))
                .help("name this domain's own side of the mailbox, or give it to both with the shared flag"),
            );
        } else if !mine && !domain.access.is_empty() && !system.is_default(index) {
            diags.push(
                fault(
                    tree,
                    relation.node,
                    Some(property),
                    Code::Mailbox,
                    format!("'{}' uses {what} {}, which it is not given", domain.name, tree.name_of(device)),
                )
                .place(at(tree, domain.node, Some("access"), "not named here"))
                .help("add it to the domain's access"),
            );
        }
    }
}
