//! Applies an overlay: raises its phandles above the base's, resolves its fixups by the base's labels, then merges
//! each fragment into its target, as the kernel and `fdtoverlay` do.

use std::fmt;

use crate::tree::{NodeId, Property, Tree, Value};

/// Why an overlay does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverlayError {
    /// The base has no such label.
    Label(String),
    /// A fragment whose target is not in the base.
    Target(String),
    /// `__fixups__` or `__local_fixups__` names a place that is not there.
    Fixup(String),
    /// No phandles are left above the base's.
    Phandles,
}

impl fmt::Display for OverlayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(label) => {
                write!(
                    f,
                    "the base has no label '{label}'; if the base is a blob, it must be made with symbols (dtc -@)"
                )
            }
            Self::Target(path) => write!(f, "the target of {path} is not in the base"),
            Self::Fixup(place) => write!(f, "the overlay asks to fix '{place}', which it does not have"),
            Self::Phandles => f.write_str("the phandles of base and overlay together exceed 32 bits"),
        }
    }
}

impl std::error::Error for OverlayError {}

/// Merges `overlay` into `base`. After an error the base may hold a part of it.
///
/// # Errors
/// See [`OverlayError`].
pub fn apply(base: &mut Tree, overlay: &Tree) -> Result<(), OverlayError> {
    let mut over = overlay.clone();
    let raise = base.phandles().keys().copied().max().unwrap_or(0);
    raise_phandles(&mut over, raise)?;
    fix(&mut over, base)?;
    for fragment in over.children(over.root()).collect::<Vec<_>>() {
        let Some(content) = over.child(fragment, "__overlay__") else { continue };
        let target = target(base, &over, fragment).ok_or_else(|| OverlayError::Target(over.path(fragment)))?;
        merge(base, target, &over, content);
    }
    symbols(base, &over);
    Ok(())
}

fn raise_phandles(over: &mut Tree, by: u32) -> Result<(), OverlayError> {
    for id in over.walk().collect::<Vec<_>>() {
        for name in ["phandle", "linux,phandle"] {
            if let Some(old) = over.node(id).cell(name) {
                let new = old.checked_add(by).filter(|p| *p != u32::MAX).ok_or(OverlayError::Phandles)?;
                over.set_cells(id, name, &[new]);
            }
        }
    }
    let Some(local) = over.find_exact("/__local_fixups__") else { return Ok(()) };
    for id in over.walk_from(local).collect::<Vec<_>>() {
        let full = over.path(id);
        let path = full.strip_prefix("/__local_fixups__").filter(|p| !p.is_empty()).unwrap_or("/").to_owned();
        let entries: Vec<(String, Vec<u32>)> =
            over.node(id).properties().map(|p| (p.name.clone(), p.value.as_cells().unwrap_or_default())).collect();
        for (name, offsets) in entries {
            let place = || OverlayError::Fixup(format!("{path}:{name}"));
            let target = over.find_exact(&path).ok_or_else(place)?;
            for at in offsets {
                let old = cell_at(over, target, &name, at as usize).ok_or_else(place)?;
                let new = old.checked_add(by).ok_or(OverlayError::Phandles)?;
                put_cell(over, target, &name, at as usize, new);
            }
        }
    }
    Ok(())
}

fn property_mut<'t>(tree: &'t mut Tree, id: NodeId, name: &str) -> Option<&'t mut Property> {
    tree.node_mut(id).properties.iter_mut().find(|p| p.name == name && !p.deleted)
}

fn cell_at(tree: &Tree, id: NodeId, name: &str, at: usize) -> Option<u32> {
    let bytes = tree.node(id).property(name)?.value.bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn put_cell(tree: &mut Tree, id: NodeId, name: &str, at: usize, cell: u32) -> Option<()> {
    let bytes = property_mut(tree, id, name)?.value.bytes.get_mut(at..at.checked_add(4)?)?;
    bytes.copy_from_slice(&cell.to_be_bytes());
    Some(())
}

fn fix(over: &mut Tree, base: &mut Tree) -> Result<(), OverlayError> {
    let Some(fixups) = over.find_exact("/__fixups__") else { return Ok(()) };
    let wanted: Vec<(String, Vec<String>)> = over
        .node(fixups)
        .properties()
        .map(|p| (p.name.clone(), p.value.as_texts().unwrap_or_default().into_iter().map(str::to_owned).collect()))
        .collect();
    for (label, places) in wanted {
        let target = symbol(base, &label).ok_or_else(|| OverlayError::Label(label.clone()))?;
        let phandle = ensure_phandle(base, target);
        for place in places {
            let mut parts = place.rsplitn(3, ':');
            let at = parts.next().and_then(|n| n.parse::<usize>().ok());
            let (name, path) = (parts.next(), parts.next());
            let done = || {
                let id = over.find_exact(path?)?;
                put_cell(over, id, name?, at?, phandle)
            };
            let mut done = done;
            done().ok_or(OverlayError::Fixup(place.clone()))?;
        }
    }
    Ok(())
}

fn symbol(base: &Tree, label: &str) -> Option<NodeId> {
    base.by_label(label).or_else(|| {
        let symbols = base.find_exact("/__symbols__")?;
        base.find_exact(base.node(symbols).text(label)?)
    })
}

/// The node's phandle, given now if it has none.
pub(crate) fn ensure_phandle(tree: &mut Tree, id: NodeId) -> u32 {
    if let Some(phandle) = tree.node(id).phandle() {
        return phandle;
    }
    let used = tree.phandles();
    let phandle = (1..u32::MAX).find(|p| !used.contains_key(p)).unwrap_or(u32::MAX - 1);
    tree.node_mut(id).properties.push(Property::new("phandle", Value::cells(&[phandle])));
    phandle
}

fn target(base: &Tree, over: &Tree, fragment: NodeId) -> Option<NodeId> {
    match over.node(fragment).cell("target") {
        Some(phandle) => base.phandles().get(&phandle).copied(),
        None => base.find_exact(over.node(fragment).text("target-path")?),
    }
}

fn merge(base: &mut Tree, target: NodeId, over: &Tree, from: NodeId) {
    let mut todo = vec![(target, from)];
    while let Some((target, from)) = todo.pop() {
        for property in over.node(from).properties() {
            base.set(target, property.clone());
        }
        for label in &over.node(from).labels {
            // A label that the base has stays where it is.
            let _ = base.add_label(target, label);
        }
        let pairs: Vec<_> = over
            .children(from)
            .map(|child| {
                let id = base.ensure_child(target, &over.node(child).name);
                if base.node(id).span.is_none() {
                    base.node_mut(id).span = over.node(child).span;
                }
                (id, child)
            })
            .collect();
        todo.extend(pairs.into_iter().rev());
    }
}

/// The overlay's own labels become the base's, under their new paths.
fn symbols(base: &mut Tree, over: &Tree) {
    let (Some(ours), Some(theirs)) = (base.find_exact("/__symbols__"), over.find_exact("/__symbols__")) else { return };
    for property in over.node(theirs).properties() {
        let Some(path) = property.value.as_text() else { continue };
        let Some((fragment, rest)) = path.split_once("/__overlay__") else { continue };
        let Some(target) = over.find_exact(fragment).and_then(|f| target(base, over, f)) else { continue };
        let top = base.path(target);
        let full = if top == "/" { rest.to_owned() } else { format!("{top}{rest}") };
        base.set_texts(ours, &property.name, &[&full]);
    }
}
