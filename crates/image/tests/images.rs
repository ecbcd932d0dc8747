//! Images: the same product makes the same bytes, whatever is altered is refused, and the reader of a device's updates
//! takes what we write.
#![allow(missing_docs)]

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use ed25519_dalek::SigningKey;
use tutti_image::{
    Project,
    build::{self, BuildError, Compression, Image, Options, Programs, SETTINGS},
    bundle::{Bundle, BundleError, Head},
    diff,
    kernel::{Config, Kernel, least},
    resolve::Why,
};
use tutti_init::cpio::Target;

const PRODUCT: &str = "name = \"box\"\nversion = \"1.2.3\"\nparts = [\"storage\", \"gpio\"]\nparts-from = [\"own.toml\"]\n\
    [hardware]\nboard = \"qemu-x86-64\"\n[state]\ndevice = \"/dev/vda\"\n[network]\nmode = \"static\"\n\
    address = \"10.0.0.2/24\"\ngateway = \"10.0.0.1\"\n";

/// A module that says this of itself: one section of names, one of texts.
fn module(modinfo: &str) -> Vec<u8> {
    let names = b"\0.modinfo\0";
    let (names_at, text_at) = (64, 64 + names.len());
    let table = text_at + modinfo.len();
    let mut elf = vec![0; 64];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    elf[0x28..0x30].copy_from_slice(&(table as u64).to_le_bytes());
    (elf[0x3a], elf[0x3c], elf[0x3e]) = (64, 3, 1);
    elf.extend(names);
    elf.extend(modinfo.bytes());
    for (name, at, length) in [(0u32, 0, 0), (0, names_at, names.len()), (1, text_at, modinfo.len())] {
        let mut section = [0; 64];
        section[..4].copy_from_slice(&name.to_le_bytes());
        section[4] = 1;
        section[24..32].copy_from_slice(&(at as u64).to_le_bytes());
        section[32..40].copy_from_slice(&(length as u64).to_le_bytes());
        elf.extend(section);
    }
    elf
}

/// A package of a kernel with a few modules, unpacked.
fn kernel(folder: &Path, config: &str) -> Kernel {
    let modules = folder.join("lib/modules/6.0-x");
    let put = |path: PathBuf, bytes: &[u8]| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    put(folder.join("boot/vmlinuz-6.0-x"), b"a kernel");
    put(folder.join("boot/config-6.0-x"), config.as_bytes());
    for (path, says) in [
        ("fs/ext4.ko", "depends=jbd2\0softdep=pre: crc32c\0alias=fs-ext4\0"),
        ("fs/jbd2.ko", "depends=\0"),
        ("crypto/crc32c_generic.ko", "alias=crc32c\0depends=\0"),
        ("drivers/virtio_net.ko", "alias=virtio:d00000001v*\0depends=\0"),
        ("drivers/virtio_pci.ko", "depends=\0"),
        ("drivers/other.ko", "depends=jbd2\0"),
        ("drivers/block/brd.ko", "depends=\0"),
        ("fs/squashfs.ko", "depends=\0"),
    ] {
        put(modules.join("kernel").join(path), &module(says));
    }
    put(modules.join("modules.builtin"), b"kernel/drivers/block/virtio_blk.ko\n");
    Kernel::of_package(folder).unwrap()
}

const CONFIG: &str = "CONFIG_64BIT=y\nCONFIG_BINFMT_ELF=y\nCONFIG_BLK_DEV_INITRD=y\nCONFIG_PROC_FS=y\nCONFIG_PROC_SYSCTL=y\n\
    CONFIG_SYSFS=y\nCONFIG_TMPFS=y\nCONFIG_TTY=y\nCONFIG_PRINTK=y\nCONFIG_EPOLL=y\nCONFIG_EVENTFD=y\nCONFIG_FUTEX=y\n\
    CONFIG_POSIX_TIMERS=y\nCONFIG_FILE_LOCKING=y\nCONFIG_ADVISE_SYSCALLS=y\nCONFIG_UNIX=y\nCONFIG_SHMEM=y\nCONFIG_INET=y\n\
    CONFIG_IP_MULTICAST=y\nCONFIG_ACPI=y\nCONFIG_SERIAL_8250=y\nCONFIG_SERIAL_8250_CONSOLE=y\nCONFIG_INPUT=y\nCONFIG_VT=y\n\
    CONFIG_SERIO=y\nCONFIG_SERIO_I8042=y\nCONFIG_KEYBOARD_ATKBD=y\nCONFIG_EXT4_FS=m\nCONFIG_GPIO_CDEV=y\n";

struct Stage {
    folder: tempfile::TempDir,
    key: SigningKey,
}

impl Stage {
    fn new(product: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = "[extra]\nabout = \"e\"\nprofiles = [\"standard\"]\n[extra.files]\n\"/opt/hello\" = \"hello.sh\"\n";
        for (name, text) in [("product.toml", product), ("own.toml", own), ("hello.sh", "#!/bin/sh\n")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self { folder, key: SigningKey::from_bytes(&[9; 32]) }
    }

    fn build(&self, config: &str) -> Result<Image, BuildError> {
        self.build_for(&kernel(&self.folder.path().join("kernel"), config))
    }

    fn build_for(&self, kernel: &Kernel) -> Result<Image, BuildError> {
        let project =
            Project::read(&self.folder.path().join("product.toml")).map_err(|it| BuildError::Faults(Box::new(it)))?;
        // Any program with its libraries will do here.
        let own = std::env::current_exe().unwrap();
        let programs = Programs { tutti: own.clone(), without_apps: None, init: own, shell: None };
        let options = Options { programs: &programs, compression: Compression::Zstd(1), key: &self.key };
        build::build(&project, Some(kernel), &options, &mut |_| ())
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_same_product_makes_the_same_bytes_with_all_that_it_needs() {
    let (first, second) = (Stage::new(PRODUCT).build(CONFIG).unwrap(), Stage::new(PRODUCT).build(CONFIG).unwrap());
    assert!(first.bytes == second.bytes, "it differs");
    assert_eq!(diff::diff(&first.manifest, &second.manifest), []);
    let files: Vec<_> = first.manifest.members.iter().flat_map(|it| &it.files).map(|it| it.path.as_str()).collect();
    let modules = "/lib/modules/6.0-x/";
    for wanted in [
        "/init",
        "/usr/bin/tutti",
        "/lib64/ld-linux-x86-64.so.2",
        SETTINGS,
        "/lib/modules/6.0-x/kernel/fs/ext4.ko",
        "/lib/modules/6.0-x/kernel/fs/jbd2.ko",
        "/lib/modules/6.0-x/kernel/crypto/crc32c_generic.ko",
        "/lib/modules/6.0-x/kernel/drivers/virtio_net.ko",
        "/lib/modules/6.0-x/modules.dep",
    ] {
        assert!(files.contains(&wanted), "{wanted} is missing in {files:?}");
    }
    assert!(!files.iter().any(|it| it.starts_with(modules) && it.contains("other")), "what nobody needs is not in");
    assert!(first.manifest.members.iter().flat_map(|it| &it.files).all(|it| !it.why.is_empty()));
    // What the first process is told is what it reads.
    let settings: tutti_init::settings::Settings = first.manifest.settings.parse().unwrap();
    assert_eq!((settings.hostname.as_str(), settings.version.as_str()), ("box", "1.2.3"));
    assert_eq!(settings.network.address.map(|it| it.prefix), Some(24));
    assert!(settings.update.is_some() && settings.node.join.is_none());
    let once = [vec!["doctor".to_owned()]];
    let archive = build::overlay(&first.manifest, Some("a ticket"), &["--no-hardware".into()], &once);
    let text = String::from_utf8_lossy(&archive).into_owned();
    let told = text.split_once(&format!("{}\0", &SETTINGS[1..])).unwrap().1.trim_start_matches('\0');
    let told: tutti_init::settings::Settings =
        told.split("07070100").next().unwrap().trim_end_matches('\0').parse().unwrap();
    assert_eq!((told.node.join.as_deref(), told.node.arguments), (Some("a ticket"), vec!["--no-hardware".to_owned()]));
    assert_eq!(told.node.once, once);
}

/// The plain files of an archive.
#[derive(Default)]
struct Files(BTreeMap<PathBuf, Vec<u8>>);

impl Target for Files {
    fn folder(&mut self, _: &Path, _: u32) -> io::Result<()> {
        Ok(())
    }
    fn file(&mut self, path: &Path, _: u32, content: &mut dyn io::Read) -> io::Result<()> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        self.0.insert(path.into(), bytes);
        Ok(())
    }
    fn link(&mut self, _: &Path, _: &str) -> io::Result<()> {
        Ok(())
    }
    fn device(&mut self, _: &Path, _: u32, _: u32, _: u32) -> io::Result<()> {
        Ok(())
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_system_stays_packed_where_the_kernel_can_read_it() {
    let config = format!("{CONFIG}CONFIG_BLK_DEV_RAM=m\nCONFIG_SQUASHFS=m\nCONFIG_SQUASHFS_ZSTD=y\n");
    let (image, again) = (Stage::new(PRODUCT).build(&config).unwrap(), Stage::new(PRODUCT).build(&config).unwrap());
    assert!(image.bytes == again.bytes, "it differs");
    let bundle = Bundle::parse(&image.bytes).unwrap();
    let mut first = Files::default();
    tutti_init::cpio::unpack(bundle.member("initramfs").unwrap(), &mut first).unwrap();
    let has = |path: &str| first.0.contains_key(Path::new(path.trim_start_matches('/')));
    let modules = "lib/modules/6.0-x/kernel";
    // What finds the state, and what enters the system; nothing else.
    for wanted in ["/init", SETTINGS, tutti_init::packed::FILE, "/lib64/ld-linux-x86-64.so.2"] {
        assert!(has(wanted), "{wanted}");
    }
    for wanted in ["drivers/block/brd.ko", "fs/squashfs.ko", "fs/ext4.ko", "crypto/crc32c_generic.ko"] {
        assert!(has(&format!("{modules}/{wanted}")), "{wanted}");
    }
    assert!(!has("/usr/bin/tutti") && !has(&format!("{modules}/drivers/virtio_net.ko")));
    assert!(first.0[Path::new("system.squashfs")].starts_with(b"hsqs"));
    let files: Vec<_> = image.manifest.members.iter().flat_map(|it| &it.files).map(|it| it.path.as_str()).collect();
    for listed in ["/usr/bin/tutti", "/lib/modules/6.0-x/kernel/drivers/virtio_net.ko", "initramfs:/system.squashfs"] {
        assert!(files.contains(&listed), "{listed} is missing in {files:?}");
    }
}

/// A kernel that was built for the product alone has everything built in: nothing is loaded, and nobody asks for it.
#[test]
#[cfg(target_arch = "x86_64")]
fn a_kernel_of_its_own_has_no_modules() {
    let stage = Stage::new(&PRODUCT.replace("\"gpio\"", "\"own\""));
    let own =
        "[own]\nabout = \"e\"\nprofiles = [\"standard\"]\n[own.needs]\nmodules = [\"my-driver speed=3 way=up\"]\n";
    fs::write(stage.folder.path().join("own.toml"), own).unwrap();
    let project = Project::read(&stage.folder.path().join("product.toml")).unwrap();
    let fragment = least::fragment(&project, &least::options(&project).unwrap());
    let of = |config: String| {
        let config = Some(Config::parse(&config));
        Kernel { release: "6.12.1".into(), image: std::env::current_exe().unwrap(), config, modules: None }
    };
    let image = stage.build_for(&of(fragment.clone())).unwrap();
    assert!(
        image.manifest.command_line.ends_with(" my_driver.speed=3 my_driver.way=up"),
        "{}",
        image.manifest.command_line
    );
    let bundle = Bundle::parse(&image.bytes).unwrap();
    let mut first = Files::default();
    tutti_init::cpio::unpack(bundle.member("initramfs").unwrap(), &mut first).unwrap();
    // It is packed, and what the first process is told to load is there already, for it and for the kernel.
    assert!(first.0.contains_key(Path::new("system.squashfs")));
    let list = |name: &str| {
        String::from_utf8(first.0[Path::new(&format!("lib/modules/6.12.1/modules.{name}"))].clone()).unwrap()
    };
    let modules = tutti_init::modules::Modules::new(&list("alias"), &list("dep"), &list("builtin"));
    let settings: tutti_init::settings::Settings = image.manifest.settings.parse().unwrap();
    assert!(settings.modules.iter().any(|it| it == "virtio_net") && modules.is_empty());
    let names = settings.modules.iter().map(|words| words.split(' ').next().unwrap());
    for module in names.chain(["brd", "squashfs"]) {
        assert_eq!(modules.files_for(module), Ok(Vec::new()), "{module}");
    }
    let refused = |config: String| match stage.build_for(&of(config)) {
        Err(BuildError::Faults(faults)) => faults.render(false),
        other => panic!("{other:?}"),
    };
    let shown = refused(fragment.replace("CONFIG_EXT4_FS=y\n", ""));
    assert!(shown.contains("needs the module ext4") && shown.contains("CONFIG_EXT4_FS=y"), "{shown}");
    let shown = refused(fragment.replace("RAM_SIZE=1048576", "RAM_SIZE=64"));
    assert!(shown.contains("larger BLK_DEV_RAM_SIZE"), "{shown}");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_system_on_a_disk_is_known_by_its_digest() {
    let config = format!("{CONFIG}CONFIG_BLK_DEV_RAM=m\nCONFIG_SQUASHFS=m\nCONFIG_SQUASHFS_ZSTD=y\n");
    let product = format!("{PRODUCT}[system]\ndevice = \"/dev/vdb\"\n");
    let image = Stage::new(&product).build(&config).unwrap();
    let bundle = Bundle::parse(&image.bytes).unwrap();
    let settings: tutti_init::settings::Settings = image.manifest.settings.parse().unwrap();
    let told = settings.system.unwrap();
    let system = bundle.member("system").unwrap();
    assert_eq!((told.device.to_string().as_str(), told.size), ("/dev/vdb", system.len() as u64));
    assert!(tutti_update::image::has_digest(&mut &*system, told.size, &told.digest).unwrap());
    let mut first = Files::default();
    tutti_init::cpio::unpack(bundle.member("initramfs").unwrap(), &mut first).unwrap();
    // The first stage is told the same, and has no system in it.
    assert_eq!(first.0[Path::new(SETTINGS.trim_start_matches('/'))], image.manifest.settings.as_bytes());
    assert!(!first.0.contains_key(Path::new(tutti_init::packed::FILE.trim_start_matches('/'))));
    let refused = |product: &str, config: &str| match Stage::new(product).build(config) {
        Err(BuildError::Faults(faults)) => faults.render(false),
        other => panic!("{other:?}"),
    };
    assert!(refused(&product, CONFIG).contains("not known to mount a system from a disk"));
    let same = product.replace("/dev/vdb", "/dev/vda");
    assert!(refused(&same, &config).contains("cannot be on the same partition"));
}

#[test]
#[cfg(target_arch = "x86_64")]
fn files_of_own_parts_are_carried_and_seen_in_a_difference() {
    let plain = Stage::new(PRODUCT).build(CONFIG).unwrap();
    let more = PRODUCT.replace("\"gpio\"", "\"gpio\", \"extra\"").replace("1.2.3", "1.2.4");
    let more = Stage::new(&more).build(CONFIG).unwrap();
    let found: Vec<_> = diff::diff(&plain.manifest, &more.manifest).into_iter().map(|it| it.what).collect();
    // Of the settings the version alone differs, which is as long as before.
    assert_eq!(found, ["version", "part extra", "member initramfs", "/opt/hello"]);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_kernel_without_what_a_part_needs_is_refused() {
    let said = |config: &str| match Stage::new(PRODUCT).build(config) {
        Err(BuildError::Faults(faults)) => faults.render(false),
        other => panic!("{other:?}"),
    };
    let shown = said(&CONFIG.replace("CONFIG_GPIO_CDEV=y\n", ""));
    assert!(shown.contains("the part gpio needs CONFIG_GPIO_CDEV, which the kernel 6.0-x lacks"), "{shown}");
    assert!(shown.contains("it is wanted here") && shown.contains("product.toml:3"), "{shown}");
    let stage = Stage::new(&PRODUCT.replace("\"gpio\"", "\"input\""));
    match stage.build(&format!("{CONFIG}CONFIG_INPUT=y\n")) {
        Err(BuildError::Faults(faults)) => {
            let shown = faults.render(false);
            assert!(shown.contains("the part input needs the module evdev, which the kernel 6.0-x lacks"), "{shown}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
#[cfg(target_arch = "x86_64")]
fn what_is_altered_is_refused() {
    let image = Stage::new(PRODUCT).build(CONFIG).unwrap();
    let bytes = &image.bytes;
    let head = Head::parse(bytes).unwrap();
    assert_eq!(head.length, bytes.len() as u64);
    // Every byte of the head, and some of each member.
    let start = usize::try_from(head.members[0].start).unwrap();
    let of_members = head.members.iter().flat_map(|it| [it.start, it.start + 5, it.end - 1]);
    for at in (0..start).step_by(7).chain(of_members.map(|at| usize::try_from(at).unwrap())) {
        let mut altered = bytes.clone();
        altered[at] ^= 1;
        assert!(Bundle::parse(&altered).is_err(), "byte {at} is not looked at");
    }
    for cut in [0, 7, 8, start - 1, start, bytes.len() - 1] {
        assert!(
            matches!(Bundle::parse(&bytes[..cut]), Err(BundleError::Short { wanted }) if wanted > cut as u64),
            "{cut}"
        );
    }
    let longer = [bytes.as_slice(), b"x"].concat();
    assert_eq!(Bundle::parse(&longer).unwrap_err(), BundleError::Trailing);
}

#[test]
#[cfg(target_arch = "x86_64")]
fn the_reader_of_updates_takes_it() {
    let stage = Stage::new(PRODUCT);
    let image = stage.build(CONFIG).unwrap();
    let key = tutti_update::image::Key::new(*stage.key.verifying_key().as_bytes());
    let mut from = image.bytes.as_slice();
    let head = tutti_update::Head::read(&mut from, key).unwrap();
    assert_eq!((head.manifest.product.as_str(), head.manifest.version.to_string().as_str()), ("box", "1.2.3"));
    assert_eq!(head.image_len(), image.bytes.len() as u64);
    head.check_members(&mut from).unwrap();
}

#[test]
fn a_board_brings_its_own_parts() {
    let stage = Stage::new(&PRODUCT.replace("qemu-x86-64", "qemu-arm64"));
    let project = Project::read(&stage.folder.path().join("product.toml")).unwrap();
    assert_eq!(project.plan.parts.get("power-button"), Some(&Why::OfBoard));
    assert!(project.modules().iter().any(|(module, _)| module == "gpio_keys"));
    let project = Project::read(&Stage::new(PRODUCT).folder.path().join("product.toml")).unwrap();
    assert_eq!(project.plan.parts.get("power-button"), None);
}

#[test]
fn programs_of_another_processor_are_refused_with_where_to_get_those_of_its_own() {
    let own = std::env::current_exe().unwrap();
    let stage = Stage::new(PRODUCT);
    let (text, missing) = (stage.folder.path().join("product.toml"), stage.folder.path().join("tutti-init"));
    let programs =
        |init: &Path| Programs { tutti: own.clone(), without_apps: None, init: init.to_owned(), shell: None };
    assert!(programs(&own).check(std::env::consts::ARCH).is_ok());
    let other = if cfg!(target_arch = "aarch64") { "x86_64" } else { "aarch64" };
    let error = programs(&own).check(other).unwrap_err();
    assert!(error.to_string().ends_with(&format!("is for {}, and the device is {other}", std::env::consts::ARCH)));
    let builds = ["cargo xtask programs aarch64", "--target x86_64-unknown-linux-gnu"];
    assert!(builds.iter().any(|it| error.help().contains(it)) && error.help().contains(other), "{}", error.help());
    let error = programs(&missing).check(std::env::consts::ARCH).unwrap_err();
    assert!(error.to_string().contains("tutti-init") && error.help().contains("--programs"), "{error}");
    assert!(programs(&text).check(std::env::consts::ARCH).unwrap_err().to_string().contains("no program"));
}
