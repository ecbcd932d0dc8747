//! The form of a standard system in its image: a first stage that the kernel unpacks, and the system itself, which stays
//! compressed in memory (`tutti_init::packed` says how it is entered, and why).
//!
//! ```text
//! initramfs:  archive, plain: /system.squashfs │ archive, compressed: /init, its libraries, modules, settings
//! ```
//!
//! It takes three things of a kernel: memory as a disk, the file system, and its compression. A kernel that is not
//! known to have them gets the whole system as one archive.

use crate::{
    build::Compression,
    cpio::Archive,
    kernel::{Kernel, config::Setting},
    manifest::File,
    parts::Catalogue,
    product::Product,
    resolve::Plan,
    squashfs,
};

/// The packed system in the first stage; `tutti_init::packed::FILE`.
const SYSTEM: &str = "/system.squashfs";

/// What is said of the first stage's files, which are in the system as well.
const FIRST: &str = "initramfs:";

/// Whether a system for this kernel is packed.
pub(crate) fn is_for(kernel: &Kernel, compression: Compression) -> bool {
    let Some(config) = &kernel.config else { return false };
    // The size of a disk that is built in would be in the command line, which is not only ours.
    let disk = config.get("BLK_DEV_RAM") == Some(Setting::Module) && kernel.modules.is_some();
    disk && compression != Compression::None && ["SQUASHFS", "SQUASHFS_ZSTD"].iter().all(|it| config.get(it).is_some())
}

/// The modules that the first stage loads, with why.
pub(crate) fn modules(product: &Product, catalogue: &Catalogue, plan: &Plan) -> Vec<(String, String)> {
    let own = ["brd", "squashfs"].map(|name| (name.to_owned(), "the packed system is mounted by it".to_owned()));
    let parts = plan.parts.keys().filter_map(|name| catalogue.parts.get(name));
    // Without a disk for the state nothing is to be found there.
    let early = parts.filter(|part| part.early && product.state.is_some());
    let needs = early.flat_map(|part| {
        let why = format!("the part {} needs it before the system is there", part.name.value);
        part.needs.modules.iter().map(move |need| (need.value.clone(), why.clone()))
    });
    own.into_iter().chain(needs).collect()
}

/// The initramfs: what the kernel unpacks, and what is in it.
pub(crate) fn initramfs(
    first: &Archive,
    system: &Archive,
    level: i32,
    compress: impl Fn(&[u8]) -> std::io::Result<Vec<u8>>,
) -> std::io::Result<(Vec<u8>, Vec<File>)> {
    let mut carrier = Archive::default();
    carrier.file(SYSTEM, squashfs::write(system, level)?, "the system, which stays compressed in memory");
    let mut files = system.files();
    let first_files = first.files().into_iter().chain(carrier.files());
    files.extend(first_files.map(|file| File { path: format!("{FIRST}{}", file.path), ..file }));
    // What is compressed comes last.
    let bytes = [carrier.to_bytes(), compress(&first.to_bytes())?].concat();
    Ok((bytes, files))
}
