//! The form of a standard system in its image: a first stage that the kernel unpacks, and the system itself, which stays
//! compressed in memory (`tutti_init::packed` says how it is entered, and why).
//!
//! ```text
//! initramfs:  archive, plain: /system.squashfs │ archive, compressed: /init, its libraries, modules, settings
//! ```
//!
//! or, with a disk for the system, the compressed archive as the initramfs and the system as a member of its own.
//!
//! It takes three things of a kernel: memory as a disk, the file system, and its compression. A kernel that is not
//! known to have them gets the whole system as one archive. Memory as a disk has its size from its module's parameter; built in, the
//! kernel's configuration says it (what is not written to takes no memory).

use crate::{
    build::Compression,
    cpio::Archive,
    kernel::{Kernel, config::Setting, modules::Chosen},
    manifest::File,
    parts::Catalogue,
    product::Product,
    resolve::Plan,
};

/// The packed system in the first stage; `tutti_init::packed::FILE`.
const SYSTEM: &str = "/system.squashfs";

/// What is said of the first stage's files, which are in the system as well.
const FIRST: &str = "initramfs:";

/// The modules that a first stage needs to enter a packed system.
const OWN: [&str; 2] = ["brd", "squashfs"];

/// Whether a system for this kernel is packed.
pub(crate) fn is_for(kernel: &Kernel, compression: Compression) -> bool {
    let Some(config) = &kernel.config else { return false };
    let disk = match config.get("BLK_DEV_RAM") {
        Some(Setting::Module) => kernel.modules.is_some(),
        Some(Setting::Yes) => most(kernel).is_some(),
        None => false,
    };
    disk && compression != Compression::None && ["SQUASHFS", "SQUASHFS_ZSTD"].iter().all(|it| config.get(it).is_some())
}

/// The bytes that a disk in memory has room for, if that is said by the kernel's configuration, which counts in KiB.
pub(crate) fn most(kernel: &Kernel) -> Option<u64> {
    let config = kernel.config.as_ref().filter(|_| kernel.has_built_in("BLK_DEV_RAM"))?;
    config.value("BLK_DEV_RAM_SIZE")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The modules that the first stage loads, with why.
pub(crate) fn modules(product: &Product, catalogue: &Catalogue, plan: &Plan) -> Vec<(String, String)> {
    let own = OWN.map(|name| (name.to_owned(), "the packed system is mounted by it".to_owned()));
    let parts = plan.parts.keys().filter_map(|name| catalogue.parts.get(name));
    // Without a disk nothing is to be found there.
    let early = parts.filter(|part| part.early && (product.state.is_some() || product.system.is_some()));
    let needs = early.flat_map(|part| {
        let why = format!("the part {} needs it before the system is there", part.name.value);
        part.needs.modules.iter().map(move |need| (need.value.clone(), why.clone()))
    });
    own.into_iter().chain(needs).collect()
}

/// What the first process is told of a kernel that has everything built in: nothing is to be loaded. `wanted` are the modules of the parts.
pub(crate) fn all_built_in(wanted: &[(String, String)]) -> Chosen {
    Chosen::all_built_in(OWN.into_iter().chain(wanted.iter().map(|(name, _)| name.as_str())))
}

/// The initramfs with the system in it: what the kernel unpacks. `first` is the first stage, compressed.
pub(crate) fn with_system(system: Vec<u8>, first: &[u8]) -> Vec<u8> {
    let mut carrier = Archive::default();
    carrier.file(SYSTEM, system, "");
    // What is compressed comes last.
    [&carrier.to_bytes(), first].concat()
}

/// The first stage's files, apart from those of the system. `packed` is the length of the system in it.
pub(crate) fn files(first: &Archive, packed: Option<usize>) -> Vec<File> {
    let why = "the system, which stays compressed in memory".to_owned();
    let packed = packed.map(|size| File { path: SYSTEM.into(), size: size as u64, why });
    let files = first.files().into_iter().chain(packed);
    files.map(|file| File { path: format!("{FIRST}{}", file.path), ..file }).collect()
}
