//! What meets a want: the choice among what the pool has.

use tutti_app::package::{Manifest, Want};
use tutti_model::{Name, Operation, ResourceDescription, ResourceId, ResourceKind, Role, Sharing, Value};
use tutti_pool::{Catalogue, Presence, ResourceEntry};

/// What meets a want best: what met it before, else something of this device, else of another; and whether it has one user at a time.
pub(super) fn choose(catalogue: &Catalogue, want: &Want, before: Option<ResourceId>) -> Option<(ResourceId, bool)> {
    let role = catalogue.device(catalogue.me).and_then(|device| device.role).unwrap_or(Role::Guest);
    let meets = |entry: &ResourceEntry<'_>| {
        let it = entry.resource;
        let operation = if it.readable && !it.writable { Operation::Read } else { Operation::Control };
        it.kind == want.kind
            && entry.device.presence != Presence::Offline
            && want.unit.is_none_or(|unit| unit == it.unit)
            && reaches(it, want)
            && it.access.allows(role, operation)
    };
    let rank = |entry: &ResourceEntry<'_>| {
        let at = entry.device.via.unwrap_or(entry.device.device);
        (before != Some(entry.id()), at != catalogue.me, entry.device.name, entry.resource.name)
    };
    let best = catalogue.resources().filter(|entry| meets(entry)).min_by_key(|entry| rank(entry))?;
    let exclusive = best.resource.sharing == Sharing::Exclusive && best.resource.kind == ResourceKind::Actuator;
    Some((best.id(), exclusive))
}

/// Whether a resource's range reaches as far as is wanted. One that does not say its range is taken to.
fn reaches(resource: &ResourceDescription, want: &Want) -> bool {
    let bound = |name: &str| match resource.properties.get(&Name::new(name).ok()?)? {
        Value::Float(it) => Some(*it),
        Value::Int(it) => Some(*it as f64),
        _ => None,
    };
    let low = want.min.zip(bound("min")).is_none_or(|(wanted, has)| has <= wanted);
    let high = want.max.zip(bound("max")).is_none_or(|(wanted, has)| has >= wanted);
    low && high
}

/// The first required want of a manifest that nothing in the pool meets.
pub(crate) fn missing(catalogue: &Catalogue, manifest: &Manifest) -> Option<Name> {
    let mut wants = manifest.wants.iter().filter(|(_, want)| want.required);
    wants.find(|(_, want)| choose(catalogue, want, None).is_none()).map(|(name, _)| *name)
}
