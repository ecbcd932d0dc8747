//! Files in, one tree out: source, blob or YAML by content and name; several are merged in order.

use crate::diag::{Code, Diag, Diags, Severity};
use crate::preprocess::{self, Options};
use crate::source::{Files, Sources};
use crate::tree::Tree;
use crate::{dtb, lower, overlay, resolve, syntax, yaml};

/// What was read, and what is to be said about it. With errors among the messages the tree holds what could be read.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The text.
    pub sources: Sources,
    /// The tree.
    pub tree: Tree,
    /// Faults.
    pub diags: Diags,
}

impl Loaded {
    /// The messages as text.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        self.diags.render(&self.sources, colour)
    }
}

/// How to read.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Include directories, macros, limits.
    pub options: Options,
    /// Write `__symbols__`, as `dtc -@` does.
    pub symbols: bool,
}

/// Reads files and merges them: the first is the base, each further one a YAML description to merge, or an overlay
/// (source with `/plugin/;`, or a blob) to apply.
#[must_use]
pub fn load(paths: &[&str], files: &dyn Files, reading: &Reading) -> Loaded {
    let mut loaded = Loaded::default();
    let limits = reading.options.limits;
    let mut resolved = false;
    for (i, path) in paths.iter().enumerate() {
        let bytes = match files.read(path, limits.file) {
            Ok(bytes) => bytes,
            Err(error) => {
                loaded.diags.push(Diag::bare(Code::File, Severity::Error, format!("cannot read '{path}': {error}")));
                continue;
            }
        };
        if bytes.starts_with(&dtb::MAGIC.to_be_bytes()) {
            match dtb::read(&bytes, &limits) {
                Ok(tree) if i == 0 => {
                    loaded.tree = tree;
                    resolved = true;
                }
                Ok(over) => {
                    finish(&mut loaded, &mut resolved, reading);
                    apply(&mut loaded, &over, path);
                }
                Err(error) => loaded.diags.push(Diag::bare(Code::Binary, Severity::Error, format!("{path}: {error}"))),
            }
        } else if is_yaml(path) {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let (_, span) = loaded.sources.add_whole((*path).to_owned(), text);
            yaml::read_into(&mut loaded.tree, &loaded.sources, span, &limits, &mut loaded.diags);
            resolved = false;
        } else if i == 0 {
            source(path, files, reading, &mut loaded.sources, &mut loaded.tree, &mut loaded.diags);
        } else {
            let mut over = Tree::new();
            source(path, files, reading, &mut loaded.sources, &mut over, &mut loaded.diags);
            resolve::resolve(&mut over, false, &limits, &mut loaded.diags);
            finish(&mut loaded, &mut resolved, reading);
            apply(&mut loaded, &over, path);
        }
    }
    finish(&mut loaded, &mut resolved, reading);
    loaded
}

fn finish(loaded: &mut Loaded, resolved: &mut bool, reading: &Reading) {
    if !*resolved {
        resolve::resolve(&mut loaded.tree, reading.symbols, &reading.options.limits, &mut loaded.diags);
        *resolved = true;
    }
}

fn apply(loaded: &mut Loaded, over: &Tree, path: &str) {
    if let Err(error) = overlay::apply(&mut loaded.tree, over) {
        loaded.diags.push(Diag::bare(Code::Overlay, Severity::Error, format!("{path}: {error}")));
    }
}

fn source(path: &str, files: &dyn Files, reading: &Reading, sources: &mut Sources, tree: &mut Tree, diags: &mut Diags) {
    let limits = &reading.options.limits;
    let span = preprocess::run(sources, files, path, &reading.options, diags);
    let (parsed, found) = syntax::parse(sources.text(), span, limits);
    diags.list.extend(found.list);
    if diags.list.len() < limits.messages {
        lower::lower(tree, &parsed, sources, files, limits, diags);
    }
}

/// Whether a file's name says that it is YAML.
#[must_use]
pub fn is_yaml(path: &str) -> bool {
    path.ends_with(".yaml") || path.ends_with(".yml")
}

/// Reads one text as source, without files: for tests, fuzzing and documentation.
#[must_use]
pub fn from_text(name: &str, text: &str) -> Loaded {
    load(&[name], &crate::source::Memory::default().with(name, text), &Reading::default())
}
