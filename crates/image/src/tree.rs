//! The chip that a device tree describes: what each domain has, and whether firmware lies where the tree says that it may.
//!
//! There is one source of addresses. Firmware is compiled with the tree's (`tutti_devicetree::build_script`); here the file
//! that came of it is held against the tree once more, so that an old file or another tree's does not go into an image.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use tutti_devicetree::{
    Reading, command,
    diag::{Diags, Severity},
    emit::{self, Layout},
    load,
    source::{Disk, Sources},
    system::{OsType, System},
    tree::{NodeId, Tree},
};

use crate::{
    carry::MAX_FIRMWARE,
    elf::Elf,
    fault::{Code, Fault, FileId, Span, Texts},
    kernel::read_at_most,
    product::{Core, On, Product, Said},
    table,
};

/// A device tree that was read and has no errors.
#[derive(Debug)]
pub struct Chip {
    domains: Vec<Domain>,
    /// Its file's bytes as a blob, for the kernel.
    pub blob: Vec<u8>,
}

/// What a domain has.
#[derive(Debug)]
pub struct Domain {
    /// Its name.
    pub name: String,
    /// What runs in it.
    pub os: &'static str,
    /// Whether that is Linux.
    pub linux: bool,
    /// Its processor, as Linux calls it.
    pub architecture: &'static str,
    /// What its devices are compatible with.
    pub has: Vec<String>,
    /// Bytes of memory.
    pub ram: u64,
    layout: Layout,
    /// Where the nodes of its memory are in the tree's files.
    places: HashMap<NodeId, Span>,
}

impl Chip {
    /// Reads a tree and checks it.
    pub fn read(path: &Path, said: &Said<String>, texts: &mut Texts, faults: &mut Vec<Fault>) -> Option<Self> {
        if let Err(error) = fs::metadata(path) {
            let fault = Fault::new(Code::File, format!("{} cannot be read: {error}", said.value));
            faults.push(fault.at(&said.span, "named here").help("paths are relative to the product's file"));
            return None;
        }
        let mut loaded = load(&[&path.to_string_lossy()], &Disk, &Reading::default());
        command::check(&mut loaded);
        for diag in loaded.diags.list.iter().filter(|diag| diag.severity == Severity::Error) {
            let mut fault = Fault::new(Code::Tree, diag.message.clone());
            for place in &diag.places {
                let located = place.span.and_then(|span| loaded.sources.locate(span));
                if let Some((file, range, _)) = located
                    && let Some(file) = loaded.sources.file(file)
                {
                    let file = texts.add(file.name.clone(), file.text.clone());
                    fault = fault.at(&Span { file, range }, place.note.clone());
                }
            }
            fault = fault.at(&said.span, "this is the tree");
            faults.push(match &diag.help {
                Some(help) => fault.help(help.clone()),
                None => fault.help("`tutti dt check` says more"),
            });
        }
        if loaded.diags.has_errors() {
            return None;
        }
        let system = System::read(&loaded.tree, &mut Diags::default());
        let mut added = BTreeMap::new();
        let domain = |(index, domain): (usize, &tutti_devicetree::system::Domain)| {
            let layout = emit::layout(&system, index)?;
            let cpu = domain.cpus.first().and_then(|it| system.clusters.get(it.cluster)?.cpus.first());
            let compatible = |word: &str| cpu.is_some_and(|node| loaded.tree.node(*node).is_compatible(word));
            let memory = layout.regions.iter().filter(|it| it.kind != emit::RegionKind::Carveout);
            Some(Domain {
                name: domain.name.clone(),
                os: layout.os.word(),
                linux: layout.os == OsType::Linux,
                architecture: architecture(compatible),
                has: layout.devices.iter().map(|device| device.compatible.clone()).collect(),
                ram: memory.map(|it| it.region.size).sum(),
                places: places(&loaded.tree, &loaded.sources, &layout, texts, &mut added),
                layout,
            })
        };
        let domains = system.domains.iter().enumerate().filter_map(domain).collect();
        Some(Self { domains, blob: command::convert(&loaded, command::Format::Dtb) })
    }

    /// A domain by its name.
    pub fn domain(&self, name: &str) -> Option<&Domain> {
        self.domains.iter().find(|domain| domain.name == name)
    }

    /// All names.
    pub fn names(&self) -> Vec<&str> {
        self.domains.iter().map(|domain| domain.name.as_str()).collect()
    }

    /// Holds the firmware of every core against the memory that its domain has, and against each other.
    pub fn hold_cores(&self, product: &Product, folder: &Path) -> Vec<Fault> {
        let mut faults = Vec::new();
        // Who has taken which addresses, as the whole chip counts them.
        let mut taken: Vec<(u64, u64, &Core)> = Vec::new();
        for core in &product.cores {
            let On::Processor { domain: wanted, .. } = &core.on else { continue };
            let Some(domain) = self.domain(&wanted.value) else {
                let fault = Fault::new(Code::Hardware, format!("the device tree has no domain {:?}", wanted.value));
                faults.push(fault.at(&wanted.span, "this").help(format!("it has {}", self.names().join(", "))));
                continue;
            };
            let bytes = match read_at_most(&folder.join(&core.firmware.value), MAX_FIRMWARE) {
                Ok(bytes) => bytes,
                Err(error) => {
                    let fault = Fault::new(Code::File, error.to_string()).at(&core.firmware.span, "named here");
                    faults.push(fault.help("build the firmware first; paths are relative to the product's file"));
                    continue;
                }
            };
            let Some(elf) = Elf::new(&bytes) else {
                let fault = Fault::new(Code::File, format!("{} is no ELF file", core.firmware.value));
                faults.push(fault.at(&core.firmware.span, "named here").help("name the file that the linker made"));
                continue;
            };
            faults.extend(domain.hold(core, &elf, &mut taken));
        }
        faults
    }
}

impl Domain {
    /// Holds a firmware against this domain's memory and what other cores have taken.
    fn hold<'a>(&self, core: &'a Core, elf: &Elf<'_>, taken: &mut Vec<(u64, u64, &'a Core)>) -> Vec<Fault> {
        let mut faults = Vec::new();
        for segment in elf.segments().iter().filter(|it| it.kind == 1 && it.length > 0) {
            let end = segment.phys.saturating_add(segment.length);
            let home = self.layout.regions.iter().find(|named| {
                let region = named.region;
                segment.phys >= region.start && end <= region.start.saturating_add(region.size)
            });
            let at = format!("{:#x} to {:#x}", segment.phys, end.saturating_sub(1));
            let Some(home) = home else {
                let message =
                    format!("{} would be loaded to {at}, which is no memory of {}", core.firmware.value, self.name);
                let regions: Vec<_> = self.layout.regions.iter().map(shown).collect();
                let regions = regions.join("; ");
                let fault = Fault::new(Code::Address, message).at(&core.firmware.span, "this firmware");
                let help =
                    if regions.is_empty() { "the domain has no memory".into() } else { format!("it has {regions}") };
                faults.push(fault.at(&core.name().span, "this domain").help(help));
                continue;
            };
            let start = home.global.start.saturating_add(segment.phys - home.region.start);
            let end = start.saturating_add(segment.length);
            if let Some((from, to, other)) = taken.iter().find(|(from, to, _)| start < *to && *from < end) {
                let message = format!(
                    "{} and {} both want {:#x} to {:#x}",
                    core.firmware.value,
                    other.firmware.value,
                    start.max(*from),
                    end.min(*to).saturating_sub(1),
                );
                let fault = Fault::new(Code::Address, message).at(&core.firmware.span, "this one");
                let fault = fault.at(&other.firmware.span, "and this one");
                faults.push(fault.help("build each with the addresses of its own domain: `tutti dt split`"));
            }
            taken.push((start, end, core));
        }
        let own = elf.section(".resource_table").unwrap_or_default();
        let differences = if own.is_empty() { Vec::new() } else { table::differences(&self.layout, own) };
        for difference in differences {
            let what = difference.what;
            let message = format!("the resource table in {} is not the device tree's: {what}", core.firmware.value);
            let fault = Fault::new(Code::Address, message).at(&core.firmware.span, "this firmware");
            let fault = match difference.node.and_then(|node| self.places.get(&node)) {
                Some(place) => fault.at(place, "the tree says it here"),
                None => fault.at(&core.name().span, "was built for another tree, or another domain"),
            };
            faults
                .push(fault.help("build it anew with this tree: tutti_devicetree::build_script, or `tutti dt split`"));
        }
        faults
    }
}

/// Where the nodes of a layout's memory are, in texts that faults can point into.
fn places(
    tree: &Tree,
    sources: &Sources,
    layout: &Layout,
    texts: &mut Texts,
    added: &mut BTreeMap<String, FileId>,
) -> HashMap<NodeId, Span> {
    let vrings = layout.channels.iter().flat_map(|channel| &channel.vrings);
    let nodes = layout.regions.iter().chain(&layout.firmware).chain(vrings).filter_map(|named| named.node);
    let place = |node: NodeId| {
        let (file, range, _) = sources.locate(tree.node(node).span?)?;
        let file = sources.file(file)?;
        let added = added.entry(file.name.clone());
        let file = *added.or_insert_with(|| texts.add(file.name.clone(), file.text.clone()));
        Some((node, Span { file, range }))
    };
    nodes.filter_map(place).collect()
}

/// Linux's word for a processor, by what its node is compatible with.
fn architecture(compatible: impl Fn(&str) -> bool) -> &'static str {
    let any = |names: &[&str]| names.iter().any(|name| compatible(name));
    if any(&["arm,cortex-m3", "arm,cortex-m4", "arm,cortex-m7"]) {
        "armv7e-m"
    } else if any(&["arm,cortex-m33", "arm,cortex-m55", "arm,cortex-m85"]) {
        "armv8-m"
    } else if any(&["arm,cortex-r5", "arm,cortex-r5f", "arm,cortex-r52"]) {
        "armv7-r"
    } else if any(&["arm,cortex-a5", "arm,cortex-a7", "arm,cortex-a8", "arm,cortex-a9", "arm,cortex-a15"]) {
        "armv7"
    } else if any(&["riscv"]) {
        "riscv64"
    } else {
        "aarch64"
    }
}

/// A memory with its addresses.
fn shown(named: &emit::Named) -> String {
    let last = named.region.start.saturating_add(named.region.size.saturating_sub(1));
    format!("{} {:#x} to {last:#x}", named.name, named.region.start)
}
