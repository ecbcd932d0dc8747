//! A kernel's modules, and the lists that the device finds them by.
//!
//! A package has the modules without the lists; depmod(8) makes those where a package is installed, of all 4,000 modules. An image has the
//! few that its parts name, with what these need, so its lists are made here: each module says in its section `.modinfo` what it
//! needs (`depends=`, and `softdep=pre:` for what it asks for by another name at run time) and which hardware it
//! drives (`alias=`). The forms are those of modules.dep(5).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{KernelError, read_at_most};
use crate::elf::Elf;

/// The largest module. Debian's largest has 30 MB.
const MAX_MODULE: u64 = 128 << 20;
/// The most modules that a kernel may have.
const MAX_MODULES: usize = 65_536;
/// How deep folders of modules may be.
const MAX_DEPTH: usize = 12;

/// Why a module cannot be in the image.
#[derive(Debug)]
pub enum ModuleError {
    /// The kernel has none of this name.
    Unknown(String),
    /// Its file cannot be read.
    File(KernelError),
    /// Its file is no module, or is compressed in a way that cannot be undone here.
    Form(PathBuf),
}

impl fmt::Display for ModuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "the kernel has no module {name}"),
            Self::File(error) => error.fmt(f),
            Self::Form(path) => write!(f, "{} is no module of Linux that can be read", path.display()),
        }
    }
}

impl std::error::Error for ModuleError {}

/// What a module says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    /// The modules that it needs.
    pub depends: Vec<String>,
    /// What it asks for at run time, by names that may be aliases.
    pub softly: Vec<String>,
    /// The hardware that it drives, as patterns.
    pub aliases: Vec<String>,
}

impl Info {
    /// From the section `.modinfo`: texts, each ended by a zero.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut info = Self::default();
        for entry in bytes.split(|byte| *byte == 0).filter_map(|entry| std::str::from_utf8(entry).ok()) {
            match entry.split_once('=') {
                Some(("depends", list)) => {
                    info.depends = list.split(',').filter(|it| !it.is_empty()).map(plain).collect()
                }
                Some(("alias", alias)) if !alias.contains(char::is_whitespace) => info.aliases.push(alias.to_owned()),
                Some(("softdep", list)) => {
                    let before = list.split_once("pre:").map_or("", |(_, list)| list);
                    let before = before.split_once("post:").map_or(before, |(list, _)| list);
                    info.softly.extend(before.split_whitespace().map(plain));
                }
                _ => {}
            }
        }
        info
    }
}

/// A module's name as the kernel knows it.
pub(crate) fn plain(name: &str) -> String {
    name.replace('-', "_")
}

/// A module's name without its parameters.
pub(crate) fn bare(words: &str) -> &str {
    words.split_whitespace().next().unwrap_or_default()
}

/// Its name by its file's, if that is a module's.
fn name_of(file: &str) -> Option<String> {
    file.split_once(".ko").filter(|(_, end)| matches!(*end, "" | ".xz" | ".zst" | ".gz")).map(|(name, _)| plain(name))
}

/// A module that was chosen.
#[derive(Debug, Clone)]
pub struct Module {
    /// Where it is, below the modules' folder.
    pub path: String,
    /// Its bytes, not compressed.
    pub bytes: Vec<u8>,
    /// What it says of itself.
    pub info: Info,
    /// Why it is in.
    pub why: String,
}

/// The modules of a kernel.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    files: BTreeMap<String, PathBuf>,
    builtin: BTreeSet<String>,
    builtin_list: String,
    builtin_aliases: BTreeSet<String>,
    /// Which modules have which alias: read once it is asked for, as all modules have to be read for it.
    aliases: Option<BTreeMap<String, String>>,
}

impl Store {
    /// Those in this folder and below it, beside `modules.builtin`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn open(folder: &Path) -> Result<Self, ModuleError> {
        let read = |name: &str| read_at_most(&folder.join(name), 16 << 20).unwrap_or_default();
        let builtin_list = String::from_utf8_lossy(&read("modules.builtin")).into_owned();
        let builtin = builtin_list.lines().filter_map(|line| name_of(line.rsplit('/').next()?)).collect();
        // `module.alias=NAME`, each ended by a zero.
        let modinfo = read("modules.builtin.modinfo");
        let entries = modinfo.split(|byte| *byte == 0).filter_map(|it| std::str::from_utf8(it).ok());
        let alias =
            |entry: &str| Some(plain(entry.split_once('=')?.0.strip_suffix(".alias").and(entry.split_once('='))?.1));
        let builtin_aliases = entries.filter_map(alias).collect();
        let mut store = Self {
            folder: folder.into(),
            files: BTreeMap::new(),
            builtin,
            builtin_list,
            builtin_aliases,
            aliases: None,
        };
        store.walk(folder, 0).map_err(ModuleError::File)?;
        Ok(store)
    }

    fn walk(&mut self, folder: &Path, depth: usize) -> Result<(), KernelError> {
        let of = |error| KernelError::File(folder.into(), error);
        for entry in fs::read_dir(folder).map_err(of)? {
            let entry = entry.map_err(of)?;
            let (kind, path) = (entry.file_type().map_err(of)?, entry.path());
            if kind.is_dir() && depth < MAX_DEPTH {
                self.walk(&path, depth + 1)?;
            } else if let Some(name) = entry.file_name().to_str().and_then(name_of)
                && self.files.len() < MAX_MODULES
            {
                self.files.insert(name, path);
            }
        }
        Ok(())
    }

    /// Whether the kernel has this module, as a file or built in. Parameters behind its name do not matter.
    pub fn has(&self, name: &str) -> bool {
        let name = plain(bare(name));
        self.files.contains_key(&name) || self.builtin.contains(&name)
    }

    /// These modules, by their names with or without parameters, with all that they need; what is built in is left out.
    ///
    /// # Errors
    /// One is not there, or cannot be read.
    pub fn choose(&mut self, wanted: &[(String, String)]) -> Result<Chosen, ModuleError> {
        let mut chosen = BTreeMap::new();
        let mut open: Vec<(String, String)> = wanted.to_vec();
        while let Some((name, why)) = open.pop() {
            let name = plain(bare(&name));
            if chosen.contains_key(&name) || self.builtin.contains(&name) {
                continue;
            }
            let path = self.files.get(&name).cloned().ok_or_else(|| ModuleError::Unknown(name.clone()))?;
            let bytes = unpacked(&path)?;
            let info = info_of(&bytes).ok_or_else(|| ModuleError::Form(path.clone()))?;
            open.extend(info.depends.iter().map(|need| (need.clone(), format!("the module {name} needs it"))));
            for soft in &info.softly {
                if let Some(provider) = self.provider(soft) {
                    open.push((provider, format!("the module {name} asks for {soft}")));
                }
            }
            let place = path.strip_prefix(&self.folder).unwrap_or(&path);
            let place = place.to_string_lossy();
            let place = place.split_once(".ko").map_or(place.to_string(), |(stem, _)| format!("{stem}.ko"));
            chosen.insert(name, Module { path: place, bytes, info, why });
        }
        Ok(Chosen { modules: chosen, builtin: self.builtin_list.clone() })
    }

    /// The module that is meant by a name or an alias; none if it is built in, or nothing has it.
    fn provider(&mut self, name: &str) -> Option<String> {
        if self.builtin.contains(name) || self.builtin_aliases.contains(name) {
            return None;
        }
        if self.files.contains_key(name) {
            return Some(name.to_owned());
        }
        let files = &self.files;
        let aliases = self.aliases.get_or_insert_with(|| {
            let mut aliases = BTreeMap::new();
            for (module, path) in files {
                let info = unpacked(path).ok().and_then(|bytes| info_of(&bytes)).unwrap_or_default();
                for alias in info.aliases.iter().map(|alias| plain(alias)).filter(|alias| !alias.contains([':', '*'])) {
                    // Of several, the one that needs no special processor.
                    let generic = module.ends_with("generic");
                    if generic || !aliases.contains_key(&alias) {
                        aliases.insert(alias, module.clone());
                    }
                }
            }
            aliases
        });
        aliases.get(name).cloned()
    }
}

fn info_of(bytes: &[u8]) -> Option<Info> {
    Elf::new(bytes)?.section(".modinfo").map(Info::parse)
}

/// The bytes of a module, decompressed if need be.
fn unpacked(path: &Path) -> Result<Vec<u8>, ModuleError> {
    let wrong = || ModuleError::Form(path.into());
    let most = usize::try_from(MAX_MODULE).unwrap_or(usize::MAX);
    let end = path.extension().map(|end| end.to_string_lossy().into_owned()).unwrap_or_default();
    let bytes = || read_at_most(path, MAX_MODULE).map_err(ModuleError::File);
    match end.as_str() {
        "ko" => bytes(),
        "zst" => {
            let mut out = Vec::new();
            let compressed = bytes()?;
            let decoder = zstd::Decoder::new(compressed.as_slice()).map_err(|_| wrong())?;
            let mut limited = std::io::Read::take(decoder, MAX_MODULE + 1);
            std::io::Read::read_to_end(&mut limited, &mut out).map_err(|_| wrong())?;
            if out.len() > most { Err(wrong()) } else { Ok(out) }
        }
        // Of these two the machine's own programs know more than we.
        other => {
            let program = if other == "xz" { "xz" } else { "gzip" };
            let output = Command::new(program).arg("-dc").arg(path).output().map_err(|_| wrong())?;
            if output.status.success() && output.stdout.len() <= most { Ok(output.stdout) } else { Err(wrong()) }
        }
    }
}

/// The modules of an image.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// By name.
    pub modules: BTreeMap<String, Module>,
    builtin: String,
}

impl Chosen {
    /// Nothing to load, and these built in: what the first process is told on a kernel without a folder of modules.
    pub fn all_built_in<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: BTreeSet<_> = names.into_iter().map(|name| plain(bare(name))).collect();
        Self { modules: BTreeMap::new(), builtin: names.iter().map(|name| format!("kernel/{name}.ko\n")).collect() }
    }

    /// `modules.dep`: each module with all that it needs, also by way of others, what is loaded first last.
    pub fn dep(&self) -> String {
        let line = |(name, module): (&String, &Module)| {
            let mut order = Vec::new();
            self.order(name, &mut order, 0);
            let needs = order.iter().rev().filter(|it| *it != name).filter_map(|it| self.modules.get(it.as_str()));
            let needs: String = needs.map(|it| format!(" {}", it.path)).collect();
            format!("{}:{needs}\n", module.path)
        };
        self.modules.iter().map(line).collect()
    }

    /// What is to be loaded for a module in order, itself last.
    fn order(&self, name: &str, order: &mut Vec<String>, depth: usize) {
        let Some(module) = self.modules.get(name).filter(|_| depth < 32 && !order.iter().any(|it| it == name)) else {
            return;
        };
        for need in module.info.depends.iter().chain(&module.info.softly) {
            self.order(need, order, depth + 1);
        }
        for soft in &module.info.softly {
            // It may be meant by an alias.
            let by_alias =
                self.modules.iter().find(|(_, it)| it.info.aliases.iter().any(|alias| plain(alias) == *soft));
            if let Some((provider, _)) = by_alias {
                self.order(provider, order, depth + 1);
            }
        }
        order.push(name.to_owned());
    }

    /// `modules.alias`: which patterns of hardware each drives.
    pub fn alias(&self) -> String {
        let lines = self
            .modules
            .iter()
            .flat_map(|(name, module)| module.info.aliases.iter().map(move |alias| format!("alias {alias} {name}\n")));
        lines.collect()
    }

    /// `modules.builtin`.
    pub fn builtin(&self) -> &str {
        &self.builtin
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_module_says_what_it_needs() {
        let info = Info::parse(
            b"license=GPL\0depends=mbcache,jbd2\0alias=fs-ext4\0softdep=pre: crc32c post: x\0alias=pci:v0*\0alias=a b\0name=ext4\0",
        );
        assert_eq!(info.depends, ["mbcache", "jbd2"]);
        assert_eq!(info.softly, ["crc32c"]);
        assert_eq!(info.aliases, ["fs-ext4", "pci:v0*"]);
    }

    #[test]
    fn what_is_loaded_first_stands_last() {
        let module = |path: &str, depends: &[&str]| Module {
            path: path.into(),
            bytes: Vec::new(),
            info: Info { depends: depends.iter().map(|it| (*it).to_owned()).collect(), ..Info::default() },
            why: String::new(),
        };
        let modules = [("a", module("a.ko", &["b"])), ("b", module("b.ko", &["c"])), ("c", module("c.ko", &[]))];
        let modules = modules.map(|(name, module)| (name.to_owned(), module)).into();
        let chosen = Chosen { modules, builtin: String::new() };
        assert_eq!(chosen.dep(), "a.ko: b.ko c.ko\nb.ko: c.ko\nc.ko:\n");
    }

    #[test]
    fn names_are_read_off_files() {
        assert_eq!(name_of("i2c-stub.ko").as_deref(), Some("i2c_stub"));
        assert_eq!(name_of("x.ko.xz").as_deref(), Some("x"));
        assert!(name_of("x.koala").is_none() && name_of("x").is_none());
        assert_eq!((bare("i2c-stub chip_addr=0x48"), bare("x"), bare("")), ("i2c-stub", "x", ""));
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            Info::parse(&bytes);
        }
    }
}
