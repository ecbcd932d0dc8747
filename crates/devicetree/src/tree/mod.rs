//! The typed tree: nodes, properties with their bytes, and marks that remember what the bytes were written as.
//!
//! A tree comes from source, from a blob or from YAML, and all that is done with it (checking, splitting,
//! printing) is the same for the three. Positions are kept where there is text.
//!
//! Deleted nodes and properties stay as tombstones, because defining them again must put them back in their old
//! place: this is what `dtc` does, and blobs are compared byte for byte.

mod value;

pub use value::{Mark, MarkKind, Property, Reference, Value};

use std::collections::HashMap;

use crate::source::Span;

/// A node of a [`Tree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) u32);

/// A node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Name with unit address; empty for the root.
    pub name: String,
    /// Labels, the latest first.
    pub labels: Vec<String>,
    /// Where it was first written.
    pub span: Option<Span>,
    pub(crate) properties: Vec<Property>,
    pub(crate) children: Vec<NodeId>,
    pub(crate) parent: Option<NodeId>,
    pub(crate) deleted: bool,
    pub(crate) omit_if_no_ref: bool,
    pub(crate) referenced: bool,
}

impl Node {
    fn new(name: String, parent: Option<NodeId>) -> Self {
        Self {
            name,
            labels: Vec::new(),
            span: None,
            properties: Vec::new(),
            children: Vec::new(),
            parent,
            deleted: false,
            omit_if_no_ref: false,
            referenced: false,
        }
    }

    /// Name without unit address.
    #[must_use]
    pub fn base_name(&self) -> &str {
        self.name.split_once('@').map_or(self.name.as_str(), |(base, _)| base)
    }

    /// The properties in order.
    pub fn properties(&self) -> impl Iterator<Item = &Property> {
        self.properties.iter().filter(|p| !p.deleted)
    }

    /// A property by name.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&Property> {
        self.properties.iter().find(|p| p.name == name && !p.deleted)
    }

    /// A property's one cell.
    #[must_use]
    pub fn cell(&self, name: &str) -> Option<u32> {
        self.property(name)?.value.as_cell()
    }

    /// How many cells something takes, by a property like `#address-cells`. What says more than 16, a blob's noise or an
    /// attack, counts as 16: nobody has such addresses, and nothing is made that large.
    #[must_use]
    pub fn cell_count(&self, name: &str, default: usize) -> usize {
        self.cell(name).map_or(default, |count| count as usize).min(MOST_CELLS)
    }

    /// A property's first text.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.property(name)?.value.as_text()
    }

    /// Whether `compatible` has this entry.
    #[must_use]
    pub fn is_compatible(&self, entry: &str) -> bool {
        self.property("compatible").is_some_and(|p| p.value.bytes.split(|b| *b == 0).any(|s| s == entry.as_bytes()))
    }

    /// Whether `status` allows its use.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.text("status").is_none_or(|s| matches!(s, "okay" | "ok"))
    }

    /// The phandle, if it has one.
    #[must_use]
    pub fn phandle(&self) -> Option<u32> {
        self.cell("phandle").or_else(|| self.cell("linux,phandle"))
    }
}

/// A device tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    nodes: Vec<Node>,
    labels: HashMap<String, NodeId>,
    /// Children by name, for nodes that have many.
    crowded: HashMap<NodeId, HashMap<String, NodeId>>,
    /// `/memreserve/` entries: address and length.
    pub reservations: Vec<(u64, u64)>,
    /// `/plugin/`: an overlay, whose unknown labels the base tree will resolve.
    pub plugin: bool,
    /// The header's boot CPU, when it came from a blob.
    pub boot_cpu: Option<u32>,
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

/// The most cells that an address, a size or a specifier is taken to have.
const MOST_CELLS: usize = 16;

/// Nodes with more children than this get an index.
const CROWD: usize = 32;

impl Tree {
    /// The root only.
    #[must_use]
    pub fn new() -> Self {
        Self {
            nodes: vec![Node::new(String::new(), None)],
            labels: HashMap::new(),
            crowded: HashMap::new(),
            reservations: Vec::new(),
            plugin: false,
            boot_cpu: None,
        }
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> NodeId {
        NodeId(0)
    }

    /// How many nodes were ever made, deleted ones too.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Never: there is always a root.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// A node.
    ///
    /// # Panics
    /// If `id` is another tree's and larger than any of this one.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    /// A node to change. Its name and children are changed through the tree.
    ///
    /// # Panics
    /// As [`Tree::node`].
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0 as usize]
    }

    /// A node's children in order.
    pub fn children(&self, id: NodeId) -> impl DoubleEndedIterator<Item = NodeId> + '_ {
        self.node(id).children.iter().copied().filter(|c| !self.node(*c).deleted)
    }

    /// The parent.
    #[must_use]
    pub fn parent(&self, id: NodeId) -> Option<NodeId> {
        self.node(id).parent
    }

    /// A child by full name, deleted ones included.
    pub(crate) fn child_with_deleted(&self, id: NodeId, name: &str) -> Option<NodeId> {
        match self.crowded.get(&id) {
            Some(index) => index.get(name).copied(),
            None => self.node(id).children.iter().copied().find(|c| self.node(*c).name == name),
        }
    }

    /// A child by full name, unit address included.
    #[must_use]
    pub fn child(&self, id: NodeId, name: &str) -> Option<NodeId> {
        self.child_with_deleted(id, name).filter(|c| !self.node(*c).deleted)
    }

    /// Adds a child; the name must be new to this node.
    pub fn add_child(&mut self, parent: NodeId, name: impl Into<String>) -> NodeId {
        let name = name.into();
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(Node::new(name.clone(), Some(parent)));
        self.node_mut(parent).children.push(id);
        if self.node(parent).children.len() > CROWD {
            if let Some(index) = self.crowded.get_mut(&parent) {
                index.entry(name).or_insert(id);
            } else {
                let mut index = HashMap::new();
                for child in &self.node(parent).children {
                    index.entry(self.node(*child).name.clone()).or_insert(*child);
                }
                self.crowded.insert(parent, index);
            }
        }
        id
    }

    /// The child of that name, made if it is not there.
    pub fn ensure_child(&mut self, parent: NodeId, name: &str) -> NodeId {
        match self.child_with_deleted(parent, name) {
            Some(id) => {
                self.node_mut(id).deleted = false;
                id
            }
            None => self.add_child(parent, name),
        }
    }

    /// Sets a property, in its place if it was there.
    pub fn set(&mut self, id: NodeId, property: Property) {
        let node = self.node_mut(id);
        match node.properties.iter_mut().find(|p| p.name == property.name) {
            Some(old) => *old = property,
            None => node.properties.push(property),
        }
    }

    /// Sets a property of cells.
    pub fn set_cells(&mut self, id: NodeId, name: &str, cells: &[u32]) {
        self.set(id, Property::new(name, Value::cells(cells)));
    }

    /// Sets a property of texts.
    pub fn set_texts(&mut self, id: NodeId, name: &str, texts: &[&str]) {
        self.set(id, Property::new(name, Value::texts(texts)));
    }

    /// Sets a flag.
    pub fn set_flag(&mut self, id: NodeId, name: &str) {
        self.set(id, Property::new(name, Value::default()));
    }

    /// Removes a property; says whether it was there.
    pub fn remove_property(&mut self, id: NodeId, name: &str) -> bool {
        match self.node_mut(id).properties.iter_mut().find(|p| p.name == name && !p.deleted) {
            Some(property) => {
                property.deleted = true;
                true
            }
            None => false,
        }
    }

    /// Removes a node with all that is in it.
    pub fn remove(&mut self, id: NodeId) {
        let mut todo = vec![id];
        while let Some(id) = todo.pop() {
            let node = self.node_mut(id);
            node.deleted = true;
            node.omit_if_no_ref = false;
            for property in &mut node.properties {
                property.deleted = true;
            }
            todo.extend(node.children.iter().copied());
            for label in std::mem::take(&mut node.labels) {
                self.labels.remove(&label);
            }
        }
    }

    /// Gives a node another name; its parent must have none of that name.
    pub fn rename(&mut self, id: NodeId, name: impl Into<String>) {
        if let Some(parent) = self.parent(id) {
            self.crowded.remove(&parent);
        }
        self.node_mut(id).name = name.into();
    }

    /// A value of phandles, each with the cells behind it, written as references where the nodes have labels.
    pub fn phandle_value(&mut self, targets: &[(NodeId, Vec<u32>)]) -> Value {
        let mut value = Value::cells(&[]);
        for (target, args) in targets {
            let phandle = crate::overlay::ensure_phandle(self, *target);
            let reference = match self.node(*target).labels.first() {
                Some(label) => Reference::Label(label.clone()),
                None => Reference::Path(self.path(*target)),
            };
            value.marks.push(Mark { offset: value.bytes.len(), kind: MarkKind::Phandle(reference), span: None });
            value.bytes.extend(std::iter::once(phandle).chain(args.iter().copied()).flat_map(u32::to_be_bytes));
        }
        value
    }

    /// Gives a node a label. A label of another node stays there and that node is returned.
    ///
    /// # Errors
    /// The node that has the label already.
    pub fn add_label(&mut self, id: NodeId, label: &str) -> Result<(), NodeId> {
        match self.labels.get(label) {
            Some(owner) if *owner == id => Ok(()),
            Some(owner) => Err(*owner),
            None => {
                self.labels.insert(label.to_owned(), id);
                self.node_mut(id).labels.insert(0, label.to_owned());
                Ok(())
            }
        }
    }

    /// The node with a label.
    #[must_use]
    pub fn by_label(&self, label: &str) -> Option<NodeId> {
        self.labels.get(label).copied()
    }

    /// All labels.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.labels.keys().map(String::as_str)
    }

    /// The node at an absolute path. A step without unit address finds a node with one if only one fits.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<NodeId> {
        let mut at = self.root();
        for step in path.strip_prefix('/')?.split('/').filter(|s| !s.is_empty()) {
            at = self.child(at, step).or_else(|| {
                let mut fits = self.children(at).filter(|c| self.node(*c).base_name() == step);
                fits.next().filter(|_| fits.next().is_none())
            })?;
        }
        Some(at)
    }

    /// The node at exactly this path.
    #[must_use]
    pub fn find_exact(&self, path: &str) -> Option<NodeId> {
        path.strip_prefix('/')?
            .split('/')
            .filter(|s| !s.is_empty())
            .try_fold(self.root(), |at, step| self.child(at, step))
    }

    /// What a reference means.
    #[must_use]
    pub fn resolve(&self, reference: &Reference) -> Option<NodeId> {
        match reference {
            Reference::Label(label) => self.by_label(label),
            Reference::Path(path) => self.find_exact(path),
        }
    }

    /// A node by `/path`, `&label`, `label`, alias or, if it is the only one, name.
    #[must_use]
    pub fn look_up(&self, text: &str) -> Option<NodeId> {
        if text.starts_with('/') {
            return self.find(text);
        }
        let name = text.strip_prefix('&').unwrap_or(text);
        self.by_label(name)
            .or_else(|| {
                let aliases = self.find_exact("/aliases")?;
                self.find(self.node(aliases).text(name)?)
            })
            .or_else(|| {
                let mut fits = self.walk().filter(|id| self.node(*id).name == name);
                fits.next().filter(|_| fits.next().is_none())
            })
            .or_else(|| {
                let mut fits = self.walk().filter(|id| self.node(*id).base_name() == name);
                fits.next().filter(|_| fits.next().is_none())
            })
    }

    /// A node's path.
    #[must_use]
    pub fn path(&self, id: NodeId) -> String {
        let mut steps = Vec::new();
        let mut at = id;
        while let Some(parent) = self.parent(at) {
            steps.push(self.node(at).name.as_str());
            at = parent;
        }
        if steps.is_empty() {
            return "/".to_owned();
        }
        steps.iter().rev().fold(String::new(), |path, step| path + "/" + step)
    }

    /// How a person would name it: its label, else its path.
    #[must_use]
    pub fn name_of(&self, id: NodeId) -> String {
        self.node(id).labels.first().cloned().unwrap_or_else(|| self.path(id))
    }

    /// All nodes, parents before children, in order.
    pub fn walk(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.walk_from(self.root())
    }

    /// A node and all below it.
    pub fn walk_from(&self, top: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let mut todo = vec![top];
        std::iter::from_fn(move || {
            let id = todo.pop()?;
            todo.extend(self.children(id).rev());
            Some(id)
        })
    }

    /// Nodes by phandle; of two with the same the first counts.
    #[must_use]
    pub fn phandles(&self) -> HashMap<u32, NodeId> {
        let mut map = HashMap::new();
        for id in self.walk() {
            if let Some(phandle) = self.node(id).phandle() {
                map.entry(phandle).or_insert(id);
            }
        }
        map
    }

    /// Whether `id` is `top` or below it.
    #[must_use]
    pub fn is_within(&self, id: NodeId, top: NodeId) -> bool {
        let mut at = Some(id);
        while let Some(node) = at {
            if node == top {
                return true;
            }
            at = self.parent(node);
        }
        false
    }
}
