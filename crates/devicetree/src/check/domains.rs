//! Who has what, and who has it too.

use super::{at, fault};
use crate::cells::{self, Place, Region};
use crate::diag::{Code, Diags};
use crate::system::{Domain, Flags, Grant, System};

pub(super) fn check(system: &System<'_>, diags: &mut Diags) {
    ids(system, diags);
    for index in 0..system.domains.len() {
        cpus(system, index, diags);
        flags(system, index, diags);
        memory(system, index, diags);
        devices(system, index, diags);
        nesting(system, index, diags);
        firewalls(system, index, diags);
    }
    for a in 0..system.domains.len() {
        for b in a + 1..system.domains.len() {
            if !system.related(a, b) {
                pair(system, a, b, diags);
            }
        }
    }
}

fn kind(grant: &Grant) -> &'static str {
    if grant.sram { "sram" } else { "memory" }
}

fn ids(system: &System<'_>, diags: &mut Diags) {
    for (i, domain) in system.domains.iter().enumerate() {
        let Some(id) = domain.id else { continue };
        if let Some(first) = system.domains[..i].iter().find(|d| d.id == Some(id)) {
            diags.push(
                fault(
                    system.tree,
                    domain.node,
                    Some("id"),
                    Code::DuplicateId,
                    format!("domains '{}' and '{}' have the same id {id:#x}", first.name, domain.name),
                )
                .note(format!("of '{}'", domain.name))
                .place(at(system.tree, first.node, Some("id"), format!("of '{}'", first.name))),
            );
        }
    }
}

fn cpus(system: &System<'_>, index: usize, diags: &mut Diags) {
    let domain = &system.domains[index];
    let tree = system.tree;
    if domain.cpus.is_empty() && tree.node(domain.node).property("cpus").is_none() {
        diags.push(
            fault(tree, domain.node, None, Code::UnknownCluster, format!("domain '{}' runs on no CPU", domain.name))
                .help("add cpus = <&CLUSTER MASK MODE>"),
        );
    }
    for used in &domain.cpus {
        let Some(cluster) = system.clusters.get(used.cluster) else { continue };
        let has = cluster.cpus.len();
        let known = if has >= 32 { u32::MAX } else { (1 << has) - 1 };
        if used.mask & !known != 0 || used.mask == 0 {
            let name = tree.name_of(cluster.node);
            let message = if used.mask == 0 {
                format!("domain '{}' uses no CPU of {name}: the mask is 0", domain.name)
            } else {
                format!("domain '{}' uses CPUs {:#x} of {name}, which has {has}", domain.name, used.mask)
            };
            diags.push(
                fault(tree, domain.node, Some("cpus"), Code::UnknownCpu, message)
                    .note("the mask is the second cell")
                    .place(at(tree, cluster.node, None, format!("{has} CPU node{}", if has == 1 { "" } else { "s" }))),
            );
        }
    }
}

fn flags(system: &System<'_>, index: usize, diags: &mut Diags) {
    let domain = &system.domains[index];
    let known = "bit 0 shared, bit 2 allow-secure, bit 4 read-only, bit 6 requested";
    let access = domain.access.iter().map(|a| ("access", a.flags));
    let grants = domain.grants.iter().map(|g| (kind(g), g.flags));
    let mut seen = Vec::new();
    for (name, flags) in access.chain(grants) {
        if flags.unknown() != 0 && !seen.contains(&name) {
            seen.push(name);
            diags.push(
                fault(
                    system.tree,
                    domain.node,
                    Some(name),
                    Code::Flags,
                    format!(
                        "domain '{}' has flags {:#x} in '{name}', of which {:#x} mean nothing",
                        domain.name,
                        flags.0,
                        flags.unknown()
                    ),
                )
                .warning()
                .help(known),
            );
        }
    }
}

/// The parts of `region` that no memory covers, as far as the first.
fn uncovered(system: &System<'_>, region: Region, sram: bool) -> Option<u64> {
    let mut at = region.start;
    loop {
        let hit = system
            .memories
            .iter()
            // Firmware may be staged in main memory, so `sram` may name that too.
            .filter(|m| sram || !m.sram)
            .map(|m| m.region)
            .chain(system.carveouts.iter().filter_map(|c| c.region).filter(|_| sram))
            .filter(|m| m.size > 0 && m.start <= at && at <= m.last())
            .max_by_key(|m| m.last());
        match hit {
            None => return Some(at),
            Some(m) if m.last() >= region.last() => return None,
            Some(m) => at = m.last() + 1,
        }
    }
}

fn memory(system: &System<'_>, index: usize, diags: &mut Diags) {
    let domain = &system.domains[index];
    let tree = system.tree;
    for (i, grant) in domain.grants.iter().enumerate() {
        if grant.region.size == 0 {
            diags.push(
                fault(
                    tree,
                    domain.node,
                    Some(kind(grant)),
                    Code::DomainProperty,
                    format!("domain '{}' is given nothing at {:#x}: the size is 0", domain.name, grant.region.start),
                )
                .warning(),
            );
            continue;
        }
        if let Some(hole) = uncovered(system, grant.region, grant.sram) {
            let what = if grant.sram { "on-chip or main memory" } else { "memory" };
            let mut diag = fault(
                tree,
                domain.node,
                Some(kind(grant)),
                Code::OutsideMemory,
                format!("domain '{}' is given {}, but there is no {what} at {hole:#x}", domain.name, grant.region),
            );
            if let Some(near) = system
                .memories
                .iter()
                .filter(|m| grant.sram || !m.sram)
                .min_by_key(|m| m.region.start.abs_diff(hole).min(m.region.last().abs_diff(hole)))
            {
                diag = diag.place(at(tree, near.node, Some("reg"), format!("the nearest is {}", near.region)));
            }
            diags.push(diag);
        } else if let Some(cluster) = domain.cpus.first().and_then(|c| system.clusters.get(c.cluster))
            && cluster.sees_region(grant.region).is_none()
        {
            diags.push(
                fault(
                    tree,
                    domain.node,
                    Some(kind(grant)),
                    Code::Unreachable,
                    format!("domain '{}' is given {}, which its CPUs do not see", domain.name, grant.region),
                )
                .place(at(tree, cluster.node, Some("address-map"), "no entry here maps it"))
                .help("add it to the cluster's address-map, or give the domain memory that is in it"),
            );
        }
        for other in &domain.grants[..i] {
            if other.region.overlaps(grant.region) && other.sram == grant.sram {
                diags.push(
                    fault(
                        tree,
                        domain.node,
                        Some(kind(grant)),
                        Code::MemoryShared,
                        format!(
                            "domain '{}' is given {} and {}, which overlap",
                            domain.name, other.region, grant.region
                        ),
                    )
                    .warning(),
                );
            }
        }
    }
}

fn devices(system: &System<'_>, index: usize, diags: &mut Diags) {
    let domain = &system.domains[index];
    let tree = system.tree;
    for (i, access) in domain.access.iter().enumerate() {
        let name = tree.name_of(access.device);
        if domain.access[..i].iter().any(|a| a.device == access.device) {
            diags.push(
                fault(
                    tree,
                    domain.node,
                    Some("access"),
                    Code::DeviceShared,
                    format!("domain '{}' is given {name} twice", domain.name),
                )
                .place(at(tree, access.device, None, "this device"))
                .help("remove one of the two entries"),
            );
        }
        let places = cells::regions(tree, access.device);
        let addressable: Vec<Place> = places.into_iter().filter(|p| *p != Place::Nowhere).collect();
        for used in &domain.cpus {
            let Some(cluster) = system.clusters.get(used.cluster) else { continue };
            if !addressable.is_empty() && !addressable.iter().any(|p| cluster.sees(tree, access.device, *p).is_some()) {
                diags.push(
                    fault(
                        tree,
                        domain.node,
                        Some("access"),
                        Code::Unreachable,
                        format!("domain '{}' is given {name}, which its CPUs do not see", domain.name),
                    )
                    .place(at(tree, access.device, None, "this device"))
                    .place(at(
                        tree,
                        cluster.node,
                        Some("address-map"),
                        format!("not in the address map of {}", tree.name_of(cluster.node)),
                    )),
                );
            }
        }
        interrupts(system, index, access.device, diags);
    }
}

/// A device's interrupts must reach a controller that this domain's CPUs see, and that is not another's alone.
fn interrupts(system: &System<'_>, index: usize, device: crate::tree::NodeId, diags: &mut Diags) {
    let domain = &system.domains[index];
    let tree = system.tree;
    let routes = crate::system::routes(tree, &system.phandles, device);
    if routes.is_empty() {
        return;
    }
    let Some(cluster) = domain.cpus.first().and_then(|c| system.clusters.get(c.cluster)) else { return };
    let reaches = |controller| {
        let places = cells::regions(tree, controller);
        let seen = places.is_empty() || places.iter().any(|p| cluster.sees(tree, controller, *p).is_some());
        let mut owners = system.owners(controller).filter(|(i, _)| !system.related(*i, index)).peekable();
        let mine = system.owners(controller).any(|(i, _)| system.related(i, index));
        seen && (mine || owners.peek().is_none())
    };
    if routes.iter().any(|r| reaches(r.controller)) {
        return;
    }
    let controller = routes[0].controller;
    let mut diag = fault(
        tree,
        domain.node,
        Some("access"),
        Code::Interrupt,
        format!(
            "the interrupt of {} goes to {}, which domain '{}' does not have",
            tree.name_of(device),
            tree.name_of(controller),
            domain.name
        ),
    )
    .note(format!("{} is given here", tree.name_of(device)))
    .place(at(tree, controller, None, "its interrupt ends here"));
    if let Some((other, _)) = system.owners(controller).next() {
        let other = &system.domains[other];
        diag = diag.place(at(tree, other.node, Some("access"), format!("which belongs to '{}'", other.name)));
    }
    diags.push(diag.help("route it with an interrupt-map to a controller of this domain's CPUs"));
}

fn nesting(system: &System<'_>, index: usize, diags: &mut Diags) {
    let domain = &system.domains[index];
    let Some(outer) = domain.parent.and_then(|p| system.domains.get(p)) else { return };
    let tree = system.tree;
    let report = |diags: &mut Diags, property: &str, what: String| {
        diags.push(
            fault(
                tree,
                domain.node,
                Some(property),
                Code::Nesting,
                format!("domain '{}' has {what}, which '{}' around it does not have", domain.name, outer.name),
            )
            .place(at(tree, outer.node, Some(property), format!("'{}' has this", outer.name))),
        );
    };
    for used in &domain.cpus {
        let has = outer.cpus.iter().filter(|c| c.cluster == used.cluster).fold(0, |m, c| m | c.mask);
        if !outer.cpus.is_empty() && used.mask & !has != 0 {
            report(diags, "cpus", format!("CPUs {:#x}", used.mask & !has));
        }
    }
    for grant in &domain.grants {
        let mut own = outer.grants.iter().filter(|g| g.sram == grant.sram).peekable();
        if own.peek().is_some() && !own.any(|g| g.region.contains(grant.region)) {
            report(diags, kind(grant), grant.region.to_string());
        }
    }
    for access in &domain.access {
        if !outer.access.is_empty() && !outer.access.iter().any(|a| tree.is_within(access.device, a.device)) {
            report(diags, "access", tree.name_of(access.device));
        }
    }
}

fn firewalls(system: &System<'_>, index: usize, diags: &mut Diags) {
    let domain = &system.domains[index];
    let tree = system.tree;
    if domain.firewalls.is_empty() {
        return;
    }
    for rule in &domain.firewalls {
        if rule.action > 2 {
            diags.push(
                fault(
                    tree,
                    domain.node,
                    None,
                    Code::Firewall,
                    format!("domain '{}' has firewall action {}", domain.name, rule.action),
                )
                .help("0 block, 1 allow, 2 block if possible"),
            );
        }
    }
    for access in &domain.access {
        if !tree.node(access.device).properties().any(|p| p.name.starts_with("firewall-")) {
            diags.push(
                fault(
                    tree,
                    domain.node,
                    Some("access"),
                    Code::Firewall,
                    format!(
                        "domain '{}' asks for firewalls, but none protects {}",
                        domain.name,
                        tree.name_of(access.device)
                    ),
                )
                .place(at(tree, access.device, None, "no firewall-N property here"))
                .warning(),
            );
        }
    }
}

fn pair(system: &System<'_>, a: usize, b: usize, diags: &mut Diags) {
    let tree = system.tree;
    let (x, y) = (&system.domains[a], &system.domains[b]);
    for p in &x.grants {
        for q in &y.grants {
            if p.region.overlaps(q.region) && !(p.flags.shared() && q.flags.shared()) {
                let start = p.region.start.max(q.region.start);
                let common = Region { start, size: p.region.last().min(q.region.last()) - start + 1 };
                let mut diag = fault(
                    tree,
                    y.node,
                    Some(kind(q)),
                    Code::MemoryShared,
                    format!(
                        "{common} belongs to both '{}' and '{}', and {}",
                        x.name,
                        y.name,
                        silent(p.flags, q.flags, x, y)
                    ),
                )
                .note(format!("'{}' has {}", y.name, q.region))
                .place(at(tree, x.node, Some(kind(p)), format!("'{}' has {}", x.name, p.region)));
                diag = diag.help(format!(
                    "if both shall have it, set #{}-flags-cells = <1> and flag bit 0 on both entries",
                    kind(q)
                ));
                diags.push(diag);
            }
        }
    }
    for p in &x.access {
        for q in &y.access {
            let same = tree.is_within(p.device, q.device) || tree.is_within(q.device, p.device);
            if same && !(p.flags.shared() && q.flags.shared()) {
                let name = tree.name_of(if tree.is_within(p.device, q.device) { p.device } else { q.device });
                diags.push(
                    fault(
                        tree,
                        y.node,
                        Some("access"),
                        Code::DeviceShared,
                        format!(
                            "{name} is given to both '{}' and '{}', and {}",
                            x.name,
                            y.name,
                            silent(p.flags, q.flags, x, y)
                        ),
                    )
                    .note(format!("to '{}'", y.name))
                    .place(at(tree, x.node, Some("access"), format!("to '{}'", x.name)))
                    .help("if both shall use it, set #access-flags-cells = <1> and flag bit 0 on both entries"),
                );
            }
        }
    }
    // Below one hypervisor the CPUs are scheduled; at the top two systems cannot have the same.
    if x.parent.is_none() && y.parent.is_none() {
        for p in &x.cpus {
            for q in &y.cpus {
                if p.cluster == q.cluster && p.mask & q.mask != 0 && p.mode == q.mode {
                    let cluster = system.clusters.get(p.cluster).map_or_else(String::new, |c| tree.name_of(c.node));
                    diags.push(
                        fault(
                            tree,
                            y.node,
                            Some("cpus"),
                            Code::CpuShared,
                            format!(
                                "'{}' and '{}' both run on CPUs {:#x} of {cluster} at the same level",
                                x.name,
                                y.name,
                                p.mask & q.mask
                            ),
                        )
                        .note(format!("'{}'", y.name))
                        .place(at(tree, x.node, Some("cpus"), format!("'{}'", x.name))),
                    );
                }
            }
        }
    }
}

fn silent(p: Flags, q: Flags, x: &Domain, y: &Domain) -> String {
    match (p.shared(), q.shared()) {
        (false, false) => "neither says that it is shared".to_owned(),
        (true, _) => format!("only '{}' says that it is shared", x.name),
        (_, true) => format!("only '{}' says that it is shared", y.name),
    }
}
