//! The chip's System Device Tree: where it is, and what it says of memory.
//!
//! The files named by `--device-tree` count; without, the first that is there of `system.dts`, `system.dtb` and
//! `system.yaml` in the state folder; without, the blob that the kernel was started with (`/sys/firmware/fdt`), if it
//! describes domains. A tree is read when somebody asks, so that one that was mended needs no restart; one at a time, since
//! a large one costs memory. What a tree may cost is bounded by [`Limits`] and, for the map, by [`MAX_BLOCKS`].

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use tutti_control::{MemoryBlock, MemoryDomain, MemoryMap};
use tutti_devicetree::{Diags, Disk, Limits, Loaded, Options, Reading, Severity, emit, load, system::System};

use crate::lock::lock;

/// The most boxes that a map may have; a real chip has dozens.
const MAX_BLOCKS: usize = 2048;

/// The largest file that is read, in bytes. The trees of chips have up to some hundred KiB.
const MAX_FILE: usize = 4 << 20;

/// What a tree in the state folder is called.
const IN_STATE: [&str; 3] = ["system.dts", "system.dtb", "system.yaml"];

/// The tree that the kernel was started with, below the root.
const OF_KERNEL: &str = "sys/firmware/fdt";

/// Where the tree is looked for.
#[derive(Clone, Debug)]
pub(crate) struct Trees {
    named: Vec<PathBuf>,
    folder: PathBuf,
    kernel: PathBuf,
    turn: Arc<Mutex<()>>,
}

/// Why there is no map.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoMap {
    /// There is no tree.
    NoTree,
    /// It cannot be read; with what is wrong first.
    Bad { file: String, why: String },
    /// It describes no domains, so that nobody has anything.
    NoDomains { file: String },
    /// It has too many stretches of memory to be drawn.
    TooMany { file: String },
}

impl fmt::Display for NoMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoTree => f.write_str("this device has no System Device Tree"),
            Self::Bad { file, why } => write!(f, "{file} cannot be read: {why}"),
            Self::NoDomains { file } => write!(f, "{file} describes no domains"),
            Self::TooMany { file } => write!(f, "{file} has more than {MAX_BLOCKS} stretches of memory to draw"),
        }
    }
}

impl NoMap {
    /// What to do next.
    pub(crate) fn hint(&self) -> &'static str {
        match self {
            Self::NoTree => "start it with --device-tree FILE, or put one into its state folder as system.dts",
            Self::Bad { .. } | Self::TooMany { .. } => "`tutti dt check` names each fault of it, with its place",
            Self::NoDomains { .. } => "a System Device Tree has them below /domains; examples/devicetree shows some",
        }
    }
}

impl Trees {
    pub(crate) fn new(named: Vec<PathBuf>, folder: &Path, root: &Path) -> Self {
        Self { named, folder: folder.to_path_buf(), kernel: root.join(OF_KERNEL), turn: Arc::default() }
    }

    /// Reads the tree and makes the map of it. Blocks.
    pub(crate) fn map(&self) -> Result<MemoryMap, NoMap> {
        let _turn = lock(&self.turn);
        let ours = if self.named.is_empty() {
            let there = IN_STATE.iter().map(|name| self.folder.join(name)).find(|path| path.is_file());
            there.into_iter().collect()
        } else {
            self.named.clone()
        };
        if !ours.is_empty() {
            return map(&ours);
        }
        // Every device with a boot loader that reads device trees has that one; few of them describe domains.
        match map(std::slice::from_ref(&self.kernel)) {
            Ok(map) => Ok(map),
            Err(_) => Err(NoMap::NoTree),
        }
    }
}

fn map(files: &[PathBuf]) -> Result<MemoryMap, NoMap> {
    let names: Vec<String> = files.iter().map(|path| path.to_string_lossy().into_owned()).collect();
    let file = names.join(", ");
    let limits = Limits { file: MAX_FILE, text: 4 * MAX_FILE, ..Limits::default() };
    let reading = Reading { options: Options { limits, ..Options::default() }, symbols: false };
    let loaded = load(&names.iter().map(String::as_str).collect::<Vec<_>>(), &Disk, &reading);
    if let Some(why) = first_error(&loaded) {
        return Err(NoMap::Bad { file, why });
    }
    let tree = &loaded.tree;
    let system = System::read(tree, &mut Diags::default());
    if system.domains.is_empty() {
        return Err(NoMap::NoDomains { file });
    }
    let held: usize = system.domains.iter().map(|domain| domain.grants.len() + domain.carveouts().count()).sum();
    if system.memories.len() + held > MAX_BLOCKS || system.domains.len() > MAX_BLOCKS {
        return Err(NoMap::TooMany { file });
    }
    let domains = system.domains.iter().map(|domain| MemoryDomain {
        name: domain.name.clone(),
        cpus: domain
            .cpus
            .iter()
            .filter_map(|of| {
                let numbers: Vec<_> = (0..32).filter(|n| of.mask >> n & 1 == 1).map(|n| n.to_string()).collect();
                Some(format!("{} {}", tree.name_of(system.clusters.get(of.cluster)?.node), numbers.join(", ")))
            })
            .collect(),
    });
    let blocks = emit::blocks(&system).into_iter().map(|block| MemoryBlock {
        domain: block.column.checked_sub(1).and_then(|at| u32::try_from(at).ok()),
        start: format!("{:#x}", block.region.start),
        size: format!("{:#x}", block.region.size),
        name: block.label,
        carveout: block.carveout,
        shared: block.shared,
    });
    Ok(MemoryMap {
        model: tree.node(tree.root()).text("model").unwrap_or_default().to_owned(),
        domains: domains.collect(),
        blocks: blocks.collect(),
        files: names,
    })
}

/// The first error, with its place.
fn first_error(loaded: &Loaded) -> Option<String> {
    let error = loaded.diags.list.iter().find(|found| found.severity == Severity::Error)?;
    let place = error.places.first().and_then(|place| loaded.sources.locate(place.span?));
    let place = place.and_then(|(file, range, _)| {
        let file = loaded.sources.file(file)?;
        let line = file.text.get(..range.start)?.lines().count().max(1);
        Some(format!(", {} line {line}", file.name))
    });
    let text = format!("{}{}", error.message, place.unwrap_or_default());
    Some(text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/devicetree/zynqmp-like.dts");

    #[test]
    fn the_map_says_who_has_what() {
        let folder = tempfile::tempdir().unwrap();
        let trees = Trees::new(vec![EXAMPLE.into()], folder.path(), folder.path());
        let map = trees.map().unwrap();
        assert_eq!(map.model, "Zynq-MPSoC-like");
        let names: Vec<_> = map.domains.iter().map(|domain| domain.name.as_str()).collect();
        assert_eq!(names, ["linux", "rpu0", "rpu1"]);
        assert_eq!(map.domains[0].cpus, ["cpus_a53 0, 1, 2, 3"]);
        assert!(map.blocks.iter().any(|block| block.domain.is_none() && !block.carveout));
        assert!(map.blocks.iter().any(|block| block.domain == Some(1) && block.carveout));
        let known = |block: &MemoryBlock| block.domain.is_none_or(|at| (at as usize) < map.domains.len());
        assert!(map.blocks.iter().all(known));
        for hex in map.blocks.iter().flat_map(|block| [&block.start, &block.size]) {
            assert!(hex.strip_prefix("0x").is_some_and(|it| u64::from_str_radix(it, 16).is_ok()), "{hex}");
        }
    }

    #[test]
    fn the_tree_is_looked_for_where_it_may_be_and_what_is_wrong_with_it_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let trees = Trees::new(Vec::new(), folder.path(), folder.path());
        assert_eq!(trees.map(), Err(NoMap::NoTree));
        // The kernel's has no domains: that is as good as none.
        std::fs::create_dir_all(folder.path().join("sys/firmware")).unwrap();
        let plain = tutti_devicetree::from_text("a.dts", "/dts-v1/; / { model = \"plain\"; };");
        let blob = tutti_devicetree::dtb::write(&plain.tree);
        std::fs::write(folder.path().join(OF_KERNEL), blob).unwrap();
        assert_eq!(trees.map(), Err(NoMap::NoTree));
        let example = load(&[EXAMPLE], &Disk, &Reading::default());
        std::fs::write(folder.path().join(OF_KERNEL), tutti_devicetree::dtb::write(&example.tree)).unwrap();
        assert_eq!(trees.map().unwrap().domains.len(), 3);
        // One in the state folder goes before it, well or not.
        let own = folder.path().join("system.dts");
        std::fs::write(&own, "/dts-v1/;\n/ { a = <1>; b = ; };").unwrap();
        let Err(NoMap::Bad { file, why }) = trees.map() else { panic!("{:?}", trees.map()) };
        assert!(file.ends_with("system.dts") && why.contains("line 2"), "{file}: {why}");
        std::fs::write(&own, "/dts-v1/; / { model = \"plain\"; };").unwrap();
        assert!(matches!(trees.map(), Err(NoMap::NoDomains { .. })), "{:?}", trees.map());
        // One that was named and is not there is a fault, not another tree.
        let named = Trees::new(vec!["/nowhere.dts".into()], folder.path(), folder.path());
        assert!(matches!(named.map(), Err(NoMap::Bad { .. })));
    }

    #[test]
    fn a_map_of_too_much_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let many: String = (0..=MAX_BLOCKS)
            .map(|n| format!("m{n}: memory@{n:x} {{ device_type = \"memory\"; reg = <{n} 1>; }};\n"))
            .collect();
        let text = format!(
            "/dts-v1/; / {{ #address-cells = <1>; #size-cells = <1>; {many} \
             domains {{ a {{ compatible = \"openamp,domain-v1\"; }}; }}; }};"
        );
        std::fs::write(folder.path().join("system.dts"), text).unwrap();
        let trees = Trees::new(Vec::new(), folder.path(), folder.path());
        assert!(matches!(trees.map(), Err(NoMap::TooMany { .. })), "{:?}", trees.map().map(|map| map.blocks.len()));
    }
}
